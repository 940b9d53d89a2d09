/** The kit's own devices. Their keys are new each time and live as long as the run. */
import { nodeCrypto } from '../client/platform/crypto-node.ts';
import { randomBytes } from '../client/platform/random.ts';
import type { KeyPair } from '../protocol/crypto.ts';
import { formatDeviceId } from '../protocol/device-id.ts';

export const crypto = nodeCrypto;
export const random = randomBytes;

export interface Device {
  readonly keys: KeyPair;
  readonly id: string;
  readonly name: string;
}

let made = 0;

export function newDevice(name = `kit ${++made}`): Device {
  const keys = crypto.ed25519KeyPair(random(32));
  return { keys, id: formatDeviceId(keys.public), name };
}

/** The device that a data folder holds. */
import { nodeCrypto } from '../client/platform/crypto-node.ts';
import { randomBytes } from '../client/platform/random.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import { initDataDir } from './data-dir.ts';

export interface DeviceOfFolder {
  readonly id: string;
  /** False where there was one already. */
  readonly created: boolean;
}

/** Makes a device in a folder that has none. Throws what initDataDir throws. */
export async function initDevice(dataDir: string, name?: string): Promise<DeviceOfFolder> {
  const { seed, created } = await initDataDir(dataDir, { name, random: randomBytes });
  return { id: formatDeviceId(nodeCrypto.ed25519KeyPair(seed).public), created };
}

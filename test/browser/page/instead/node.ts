/** In the place of what is Node's, for tests of client/ that run in a page: the platform of a page, its primitives, and what little else they use. */
import { portableCrypto } from '../../../../client/platform/crypto-portable.ts';
import { randomBytes as random } from '../../../../client/platform/random.ts';
import { toBase64Url } from '../../../../protocol/bytes.ts';

export { portablePlatform as nodePlatform } from '../../../../client/platform/portable.ts';
export const nodeCrypto = portableCrypto;

export function randomBytes(length: number): Uint8Array {
  const bytes = random(length);
  return Object.assign(bytes, { toString: () => toBase64Url(bytes) });
}

/** Of the journal beside LMDB: there is none. */
export const REGION_BYTES = 0;

const due: (() => void)[] = [];
const turns = new MessageChannel();
turns.port1.onmessage = () => due.shift()!();
Object.assign(globalThis, {
  setImmediate(call: (...args: unknown[]) => void, ...args: unknown[]): void {
    due.push(() => call(...args));
    turns.port2.postMessage(null);
  },
});

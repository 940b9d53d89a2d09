/** Randomness of the platform: the same call in Node and in browsers, there also on pages that are no secure context. */
import type { RandomBytes } from '../../protocol/crypto.ts';

/** getRandomValues refuses more bytes than this in one call. */
const CALL_BYTES_MAX = 65_536;

export const randomBytes: RandomBytes = (length) => {
  const bytes = new Uint8Array(length);
  for (let start = 0; start < length; start += CALL_BYTES_MAX) {
    globalThis.crypto.getRandomValues(bytes.subarray(start, start + CALL_BYTES_MAX));
  }
  return bytes;
};

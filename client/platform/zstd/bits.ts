/**
 * Bits as zstd packs them: read backwards, from the highest bit that is set in the last byte (RFC 8878 section 4.1). A field's first byte holds its lowest bits.
 */
import { TidelogError } from '../../../protocol/errors.ts';

/** What one call may read: four bytes hold that many bits wherever they begin. */
const READ_BITS_MAX = 25;

export function corrupt(what: string): TidelogError {
  return new TidelogError('bad-batch', `its zstd frame cannot be unpacked: ${what}`);
}

/** `floor(log2(value))`, for what is above 0. */
export function highestBit(value: number): number {
  return 31 - Math.clz32(value);
}

export class BackwardBits {
  readonly #bytes: Uint8Array;
  readonly #start: number;
  /** How many are left. */
  left: number;

  /** Those of `bytes` from `start` to `end`. Throws where they don't end as such a stream does. */
  constructor(bytes: Uint8Array, start: number, end: number) {
    const last = end > start ? bytes[end - 1]! : 0;
    if (last === 0) throw corrupt('a stream of bits has no end');
    this.#bytes = bytes;
    this.#start = start;
    this.left = (end - start - 1) * 8 + highestBit(last);
  }

  /** The next `count` (25 at most), which stay. Past the end, zeros. */
  peek(count: number): number {
    const missing = count - this.left;
    if (missing >= 0) return missing >= count ? 0 : this.#at(0, this.left) << missing;
    return this.#at(this.left - count, count);
  }

  /** The next `count`, 32 at most. Throws where there are fewer. */
  read(count: number): number {
    if (count > READ_BITS_MAX) {
      const high = this.read(count - READ_BITS_MAX);
      return high * 2 ** READ_BITS_MAX + this.read(READ_BITS_MAX);
    }
    if ((this.left -= count) < 0) throw corrupt('a stream of bits is too short');
    return this.#at(this.left, count);
  }

  /** The caller makes sure that four bytes can be read from wherever a bit is. */
  #at(bit: number, count: number): number {
    const bytes = this.#bytes;
    const at = this.#start + (bit >>> 3);
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    return (word >>> (bit & 7)) & ((1 << count) - 1);
  }
}

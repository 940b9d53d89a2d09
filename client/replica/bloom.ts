/**
 * Which subjects a block may hold: a Bloom filter of ten bits a subject (1 % false positives with seven probes). It replaces an index
 * entry for each commit and subject, which would double the writes of a bulk sync; a history of one subject then looks at every block's
 * filter, about 1 µs each, and unpacks those few that may hold it.
 */
import { utf8 } from '../../protocol/bytes.ts';

const BITS_PER_SUBJECT = 10;
const PROBES = 7;

export function makeBloom(subjects: Iterable<string>): Uint8Array {
  const distinct = [...new Set(subjects)];
  const bits = Math.max(8, Math.ceil((distinct.length * BITS_PER_SUBJECT) / 8) * 8);
  const bloom = new Uint8Array(bits / 8);
  for (const subject of distinct) {
    const [start, stride] = hash(subject);
    for (let i = 0; i < PROBES; i++) {
      const bit = (start + i * stride) % bits;
      bloom[bit >> 3]! |= 1 << (bit & 7);
    }
  }
  return bloom;
}

export function bloomMayHold(bloom: Uint8Array, subject: string): boolean {
  const bits = bloom.length * 8;
  const [start, stride] = hash(subject);
  for (let i = 0; i < PROBES; i++) {
    const bit = (start + i * stride) % bits;
    if ((bloom[bit >> 3]! & (1 << (bit & 7))) === 0) return false;
  }
  return true;
}

/** Two 32-bit FNV-1a hashes, the second over the first's result: start and stride of the probes. */
function hash(subject: string): [start: number, stride: number] {
  let start = 0x811c9dc5;
  let stride = 0x01000193;
  for (const byte of utf8(subject)) {
    start = Math.imul(start ^ byte, 0x01000193);
    stride = Math.imul(stride ^ byte, 0x85ebca6b);
  }
  // Unsigned after the last operation: `|` makes a signed number, and a negative place is in no filter.
  return [start >>> 0, (stride | 1) >>> 0];
}

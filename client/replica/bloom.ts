/**
 * Which subjects a block may hold: a Bloom filter of ten bits a subject (1 % false positives with seven probes). It replaces an index
 * entry for each commit and subject, which would double the writes of a bulk sync; a history of one subject then looks at every block's
 * filter, about 1 µs each, and unpacks those few that may hold it.
 */
import { utf8 } from '../../protocol/bytes.ts';
import type { PlainBatch } from '../../protocol/plain-batch.ts';

const BITS_PER_SUBJECT = 10;
const PROBES = 7;

/** Of `plain` too, in which a subject that comes twice counts twice. */
export function makeBloom(subjects: Iterable<string>, plain: readonly PlainBatch[] = []): Uint8Array {
  const distinct = [...new Set(subjects)];
  const bits = bitsFor(plain.reduce((sum, { subjectAt }) => sum + subjectAt.length, distinct.length));
  const bloom = new Uint8Array(bits / 8);
  for (const batch of plain) putPlain(bloom, bits, batch);
  for (const subject of distinct) put(bloom, bits, ...hash(subject));
  return bloom;
}

function putPlain(
  bloom: Uint8Array,
  bits: number,
  { raw, subjectAt, subjectBytes, subjectHash: hashes }: PlainBatch,
): void {
  for (let k = 0; k < subjectAt.length; k++) {
    const at = subjectAt[k]!;
    let stride = STRIDE_SEED;
    for (let i = at; i < at + subjectBytes[k]!; i++) stride = Math.imul(stride ^ raw[i]!, STRIDE_PRIME);
    put(bloom, bits, hashes[k]!, (stride | 1) >>> 0);
  }
}

function bitsFor(subjects: number): number {
  return Math.max(8, Math.ceil((subjects * BITS_PER_SUBJECT) / 8) * 8);
}

function put(bloom: Uint8Array, bits: number, start: number, stride: number): void {
  for (let i = 0; i < PROBES; i++) {
    const bit = placeOf(start, stride, i) % bits;
    bloom[bit >> 3]! |= 1 << (bit & 7);
  }
}

/** Kept in 32 bits: a remainder of what is larger costs ten times as much. */
function placeOf(start: number, stride: number, probe: number): number {
  return (start + Math.imul(probe, stride)) >>> 0;
}

export function bloomMayHold(bloom: Uint8Array, subject: string): boolean {
  const bits = bloom.length * 8;
  const [start, stride] = hash(subject);
  for (let i = 0; i < PROBES; i++) {
    const bit = placeOf(start, stride, i) % bits;
    if ((bloom[bit >> 3]! & (1 << (bit & 7))) === 0) return false;
  }
  return true;
}

/** FNV-1a over the bytes of a subject, as in PlainBatch. */
export function subjectHash(subject: string): number {
  return hash(subject)[0];
}

const STRIDE_SEED = 0x01000193;
const STRIDE_PRIME = 0x85ebca6b;

/** Two 32-bit hashes, the first FNV-1a as in PlainBatch: start and stride of the probes. */
function hash(subject: string): [start: number, stride: number] {
  let start = 0x811c9dc5;
  let stride = STRIDE_SEED;
  for (const byte of utf8(subject)) {
    start = Math.imul(start ^ byte, 0x01000193);
    stride = Math.imul(stride ^ byte, STRIDE_PRIME);
  }
  // Unsigned after the last operation: `|` makes a signed number, and a negative place is in no filter.
  return [start >>> 0, (stride | 1) >>> 0];
}

/** Huffman codes of literals (RFC 8878 section 4.2). */
import { BackwardBits, corrupt, highestBit } from './bits.ts';
import { readFseTable, readFseWeights } from './fse.ts';

/** libzstd takes 12, where the RFC says 11; what a node takes, a page must take too. */
const CODE_BITS_MAX = 12;
const WEIGHTS_LOG_MAX = 6;
const SYMBOLS = 256;

export interface HuffmanTable {
  /** Bits of the longest code. */
  readonly bits: number;
  /** For every value of so many bits: the symbol that it begins with, and above it (from bit 8) the width of its code. */
  readonly entries: Uint16Array;
}

/** Reads a table from its description, which begins at `start`. Answers where that ended. */
export function readHuffmanTable(bytes: Uint8Array, start: number, end: number): { table: HuffmanTable; end: number } {
  if (start >= end) throw corrupt('literals are cut off');
  const header = bytes[start]!;
  const isPlain = header >= 128;
  const tableEnd = start + 1 + (isPlain ? (header - 126) >> 1 : header);
  if (tableEnd > end) throw corrupt('literals are cut off');
  let weights: number[] = [];
  if (isPlain) {
    for (let i = 0; i < header - 127; i++) {
      const pair = bytes[start + 1 + (i >> 1)]!;
      weights.push(i % 2 === 0 ? pair >> 4 : pair & 15);
    }
  } else {
    const read = readFseTable(bytes, start + 1, tableEnd, { logMax: WEIGHTS_LOG_MAX, symbolMax: SYMBOLS - 1 });
    weights = readFseWeights(read.table, new BackwardBits(bytes, read.end, tableEnd), SYMBOLS - 1);
  }
  return { table: makeHuffmanTable(weights), end: tableEnd };
}

/** The last weight isn't given: it is what makes the sum a power of two. */
function makeHuffmanTable(given: readonly number[]): HuffmanTable {
  let sum = 0;
  for (const weight of given) {
    if (weight > CODE_BITS_MAX) throw corrupt('a weight is too large');
    if (weight > 0) sum += 1 << (weight - 1);
  }
  if (sum === 0) throw corrupt('no symbol has a code');
  const bits = highestBit(sum) + 1;
  const rest = (1 << bits) - sum;
  if (bits > CODE_BITS_MAX || (rest & (rest - 1)) !== 0) throw corrupt('codes are no tree');
  const weights = [...given, highestBit(rest) + 1];
  const ofLongest = weights.filter((weight) => weight === 1).length;
  if (weights.length > SYMBOLS || ofLongest < 2 || ofLongest % 2 !== 0) throw corrupt('codes are no tree');

  const entries = new Uint16Array(1 << bits);
  let at = 0;
  // The longest codes come first, and among codes of one width the lower symbols.
  for (let weight = 1; weight <= bits; weight++) {
    const width = bits + 1 - weight;
    for (let symbol = 0; symbol < weights.length; symbol++) {
      if (weights[symbol] !== weight) continue;
      const next = at + (1 << (weight - 1));
      entries.fill((width << 8) | symbol, at, next);
      at = next;
    }
  }
  return { bits, entries };
}

/** Fills `target` from one stream, which must hold exactly that. */
export function readHuffmanStream(
  { bits: width, entries }: HuffmanTable,
  stream: BackwardBits,
  target: Uint8Array,
  from: number,
  to: number,
): void {
  for (let i = from; i < to; i++) {
    const entry = entries[stream.peek(width)]!;
    target[i] = entry;
    stream.left -= entry >> 8;
  }
  if (stream.left !== 0) throw corrupt('literals do not end with their stream');
}

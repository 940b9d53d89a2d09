/** FSE tables, which hold lengths, offsets and the weights of Huffman codes (RFC 8878 section 4.1). */
import { corrupt, highestBit, type BackwardBits } from './bits.ts';

/** One entry for each state: what it stands for, and which state comes after it. */
export interface FseTable {
  /** Bits of the first state. */
  readonly log: number;
  readonly symbols: Uint8Array;
  /** What the next state is made of: so many bits that are read, and a number that is added. */
  readonly bits: Uint8Array;
  readonly bases: Uint16Array;
}

/** A table that is given by its counts; −1: less than one. */
export function makeFseTable(counts: ArrayLike<number>, log: number): FseTable {
  const size = 1 << log;
  const symbols = new Uint8Array(size);
  const next = new Uint16Array(counts.length);
  let high = size;
  for (let symbol = 0; symbol < counts.length; symbol++) {
    const count = counts[symbol]!;
    if (count === -1) symbols[--high] = symbol;
    next[symbol] = Math.abs(count);
  }
  const step = (size >> 1) + (size >> 3) + 3;
  let at = 0;
  for (let symbol = 0; symbol < counts.length; symbol++) {
    for (let i = 0; i < counts[symbol]!; i++) {
      symbols[at] = symbol;
      do at = (at + step) & (size - 1);
      while (at >= high);
    }
  }
  const bits = new Uint8Array(size);
  const bases = new Uint16Array(size);
  for (let state = 0; state < size; state++) {
    const count = next[symbols[state]!]!++;
    bits[state] = log - highestBit(count);
    bases[state] = (count << bits[state]!) - size;
  }
  return { log, symbols, bits, bases };
}

/** The table of one symbol, which takes no bits. */
export function oneSymbol(symbol: number): FseTable {
  return { log: 0, symbols: Uint8Array.of(symbol), bits: new Uint8Array(1), bases: new Uint16Array(1) };
}

/** Reads a table from its description between `start` and `end`. Answers where that ended. */
export function readFseTable(
  bytes: Uint8Array,
  start: number,
  end: number,
  { logMax, symbolMax }: { readonly logMax: number; readonly symbolMax: number },
): { table: FseTable; end: number } {
  let bit = start * 8;
  /** Forwards here, and past the end zeros: where it ended is looked at last. */
  const peek = (count: number): number => {
    const at = bit >>> 3;
    const byte = (i: number): number => (at + i < end ? bytes[at + i]! : 0);
    return ((byte(0) | (byte(1) << 8) | (byte(2) << 16)) >>> (bit & 7)) & ((1 << count) - 1);
  };
  const log = peek(4) + 5;
  bit += 4;
  if (log > logMax) throw corrupt('a table is too large');
  const counts: number[] = [];
  let left = 1 << log;
  while (left > 0 && counts.length <= symbolMax) {
    // Of 0 to left + 1, the lower values by one bit fewer where there are fewer values than the bits could tell apart.
    const width = highestBit(left + 1);
    const spare = (1 << (width + 1)) - 2 - left;
    const low = peek(width);
    let value = low;
    if (low < spare) {
      bit += width;
    } else {
      value = peek(width + 1);
      if (value >= 1 << width) value -= spare;
      bit += width + 1;
    }
    const count = value - 1;
    left -= Math.abs(count);
    counts.push(count);
    if (count !== 0) continue;
    for (let more = 3; more === 3;) {
      more = peek(2);
      bit += 2;
      for (let i = 0; i < more; i++) counts.push(0);
      if (bit > end * 8) throw corrupt('a table is cut off');
    }
  }
  const tableEnd = (bit + 7) >>> 3;
  if (left !== 0 || counts.length > symbolMax + 1 || tableEnd > end) throw corrupt('a table is wrong');
  return { table: makeFseTable(counts, log), end: tableEnd };
}

/** Weights of Huffman codes: two states by turns, until the bits are used up. */
export function readFseWeights(table: FseTable, bits: BackwardBits, countMax: number): number[] {
  const weights: number[] = [];
  const states = [bits.read(table.log), bits.read(table.log)];
  for (let turn = 0; ; turn ^= 1) {
    const state = states[turn]!;
    weights.push(table.symbols[state]!);
    if (weights.length >= countMax) throw corrupt('too many weights');
    const width = table.bits[state]!;
    if (width > bits.left) {
      weights.push(table.symbols[states[turn ^ 1]!]!);
      return weights;
    }
    states[turn] = table.bases[state]! + bits.read(width);
  }
}

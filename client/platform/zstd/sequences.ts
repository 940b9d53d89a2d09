/** Sequences: how a block's literals and copies of what came before follow each other (RFC 8878 section 3.1.1.3.2). */
import { corrupt, type BackwardBits } from './bits.ts';
import { makeFseTable, oneSymbol, readFseTable, type FseTable } from './fse.ts';

/** What a length's code stands for: a number, and so many bits that are read and added. */
interface Codes {
  readonly bases: readonly number[];
  readonly bits: readonly number[];
}

interface Kind {
  readonly logMax: number;
  readonly symbolMax: number;
  readonly standard: FseTable;
}

export interface SequenceTables {
  literals: FseTable | null;
  offsets: FseTable | null;
  matches: FseTable | null;
}

/** Where the frame's output is, and what it may copy from. */
export interface Output {
  readonly bytes: Uint8Array;
  /** How much there is of it. */
  length: number;
}

function codesOf(bits: readonly number[], first: number): Codes {
  let base = first;
  const bases = bits.map((width) => {
    const own = base;
    base += 2 ** width;
    return own;
  });
  return { bases, bits };
}

const zeros = (count: number): number[] => Array<number>(count).fill(0);
const LITERALS_CODES = codesOf([...zeros(16), 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], 0);
const MATCH_CODES = codesOf([...zeros(32), 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], 3);

const LITERALS: Kind = {
  logMax: 9,
  symbolMax: 35,
  standard: makeFseTable(
    [4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1],
    6,
  ),
};
const MATCHES: Kind = {
  logMax: 9,
  symbolMax: 52,
  standard: makeFseTable(
    [
      1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
      1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
    ],
    6,
  ),
};
const OFFSETS: Kind = {
  logMax: 8,
  symbolMax: 31,
  standard: makeFseTable(
    [1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1],
    5,
  ),
};

const MODE = { STANDARD: 0, ONE_SYMBOL: 1, GIVEN: 2, AS_BEFORE: 3 } as const;

export interface SequencesHeader {
  readonly count: number;
  /** Where the tables end and the bits begin. */
  readonly end: number;
}

/** Reads how many there are, and their tables, which stay for the blocks that follow. */
export function readSequencesHeader(
  bytes: Uint8Array,
  start: number,
  end: number,
  tables: SequenceTables,
): SequencesHeader {
  let at = start;
  const next = (): number => {
    if (at >= end) throw corrupt('sequences are cut off');
    return bytes[at++]!;
  };
  let count = next();
  if (count === 255) count = (next() | (next() << 8)) + 0x7f00;
  else if (count > 127) count = ((count - 128) << 8) | next();
  if (count === 0) {
    if (at !== end) throw corrupt('bytes follow a block without sequences');
    return { count, end };
  }
  const modes = next();
  if ((modes & 3) !== 0) throw corrupt('reserved bits are set');
  const read = (mode: number, kind: Kind, before: FseTable | null): FseTable => {
    if (mode === MODE.STANDARD) return kind.standard;
    if (mode === MODE.ONE_SYMBOL) {
      const symbol = next();
      if (symbol > kind.symbolMax) throw corrupt('a code is too large');
      return oneSymbol(symbol);
    }
    if (mode === MODE.AS_BEFORE) {
      if (!before) throw corrupt('there is no table before');
      return before;
    }
    const given = readFseTable(bytes, at, end, kind);
    at = given.end;
    return given.table;
  };
  tables.literals = read(modes >> 6, LITERALS, tables.literals);
  tables.offsets = read((modes >> 4) & 3, OFFSETS, tables.offsets);
  tables.matches = read((modes >> 2) & 3, MATCHES, tables.matches);
  return { count, end: at };
}

/**
 * Carries out `count` sequences. Each makes three bytes or more, and none beyond `limit`, so that the work is bounded by what the frame may hold
 * whatever the count says. Answers how many of the literals were used.
 */
export function runSequences(
  bits: BackwardBits,
  count: number,
  tables: SequenceTables,
  literals: Uint8Array,
  /** The last three offsets, the newest first; they stay for the next block. */
  recent: [number, number, number],
  output: Output,
  limit: number,
): number {
  const { literals: lengths, offsets, matches } = tables as Record<keyof SequenceTables, FseTable>;
  const target = output.bytes;
  let length = output.length;
  let used = 0;
  let lengthState = bits.read(lengths.log);
  let offsetState = bits.read(offsets.log);
  let matchState = bits.read(matches.log);
  for (let left = count; left > 0; left--) {
    const lengthCode = lengths.symbols[lengthState]!;
    const offsetCode = offsets.symbols[offsetState]!;
    const matchCode = matches.symbols[matchState]!;
    const offsetValue = 2 ** offsetCode + bits.read(offsetCode);
    const matchLength = MATCH_CODES.bases[matchCode]! + bits.read(MATCH_CODES.bits[matchCode]!);
    const literalLength = LITERALS_CODES.bases[lengthCode]! + bits.read(LITERALS_CODES.bits[lengthCode]!);
    if (left > 1) {
      lengthState = lengths.bases[lengthState]! + bits.read(lengths.bits[lengthState]!);
      matchState = matches.bases[matchState]! + bits.read(matches.bits[matchState]!);
      offsetState = offsets.bases[offsetState]! + bits.read(offsets.bits[offsetState]!);
    }
    const offset = takeOffset(recent, offsetValue, literalLength);
    if (used + literalLength > literals.length) throw corrupt('there are too few literals');
    if (length + literalLength + matchLength > limit) throw corrupt('a block holds more than it may');
    for (const end = used + literalLength; used < end;) target[length++] = literals[used++]!;
    if (offset === 0 || offset > length) throw corrupt('a copy begins before the frame');
    if (offset >= matchLength && matchLength > 32) {
      target.copyWithin(length, length - offset, length - offset + matchLength);
      length += matchLength;
    } else {
      // Byte after byte: it may copy what it has just written.
      for (const end = length + matchLength; length < end; length++) target[length] = target[length - offset]!;
    }
  }
  if (bits.left !== 0) throw corrupt('sequences do not end with their stream');
  output.length = length;
  return used;
}

/** Values of 1 to 3 name a recent offset, without literals the next one. */
function takeOffset(recent: [number, number, number], value: number, literalLength: number): number {
  if (value > 3) {
    recent[2] = recent[1];
    recent[1] = recent[0];
    recent[0] = value - 3;
    return recent[0];
  }
  const which = value - 1 + (literalLength === 0 ? 1 : 0);
  if (which === 0) return recent[0];
  const offset = which === 3 ? recent[0] - 1 : recent[which]!;
  if (which > 1) recent[2] = recent[1];
  recent[1] = recent[0];
  recent[0] = offset;
  return offset;
}

/** The literals of a block: bytes that sequences put between their copies (RFC 8878 section 3.1.1.3.1). */
import { BackwardBits, corrupt } from './bits.ts';
import { readHuffmanStream, readHuffmanTable, type HuffmanTable } from './huffman.ts';

const TYPE = { RAW: 0, ONE_BYTE: 1, PACKED: 2, PACKED_AS_BEFORE: 3 } as const;
/** Below that the four streams can't be told apart. */
const FOUR_STREAMS_BYTES_MIN = 6;

export interface Literals {
  readonly bytes: Uint8Array;
  /** Where the section ended. */
  readonly end: number;
  /** Stays for the blocks that follow. */
  readonly table: HuffmanTable | null;
}

export function readLiterals(
  bytes: Uint8Array,
  start: number,
  end: number,
  before: HuffmanTable | null,
  bytesMax: number,
): Literals {
  if (start >= end) throw corrupt('a block is empty');
  const type = bytes[start]! & 3;
  const format = (bytes[start]! >> 2) & 3;
  const isPacked = type === TYPE.PACKED || type === TYPE.PACKED_AS_BEFORE;
  const headerBytes = isPacked ? [3, 3, 4, 5][format]! : [1, 2, 1, 3][format]!;
  if (start + headerBytes > end) throw corrupt('literals are cut off');
  const at = start + headerBytes;
  // 5 bytes at most, of which the highest fields lie below 2^40.
  let header = 0;
  for (let i = 0; i < headerBytes; i++) header += bytes[start + i]! * 2 ** (8 * i);
  const field = (from: number, width: number): number => Math.floor(header / 2 ** from) % 2 ** width;

  if (!isPacked) {
    const size = headerBytes === 1 ? field(3, 5) : field(4, headerBytes * 8 - 4);
    const own = type === TYPE.RAW ? size : 1;
    if (size > bytesMax) throw corrupt('there are too many literals');
    if (at + own > end) throw corrupt('literals are cut off');
    const found = type === TYPE.RAW ? bytes.subarray(at, at + size) : new Uint8Array(size).fill(bytes[at]!);
    return { bytes: found, end: at + own, table: before };
  }

  const width = [10, 10, 14, 18][format]!;
  const size = field(4, width);
  const sectionEnd = at + field(4 + width, width);
  if (size > bytesMax) throw corrupt('there are too many literals');
  if (sectionEnd > end) throw corrupt('literals are cut off');
  let table = before;
  let streams = at;
  if (type === TYPE.PACKED) ({ table, end: streams } = readHuffmanTable(bytes, at, sectionEnd));
  if (!table) throw corrupt('there is no table before');
  const found = new Uint8Array(size);
  if (format === 0) readHuffmanStream(table, new BackwardBits(bytes, streams, sectionEnd), found, 0, size);
  else readFourStreams(table, bytes, streams, sectionEnd, found);
  return { bytes: found, end: sectionEnd, table };
}

/** The sizes of the first three, two bytes each, and then the four, each with a quarter of the literals. */
function readFourStreams(table: HuffmanTable, bytes: Uint8Array, start: number, end: number, target: Uint8Array): void {
  if (target.length < FOUR_STREAMS_BYTES_MIN || start + 6 > end) throw corrupt('literals are cut off');
  const quarter = (target.length + 3) >> 2;
  let at = start + 6;
  for (let i = 0; i < 4; i++) {
    const streamEnd = i === 3 ? end : at + (bytes[start + 2 * i]! | (bytes[start + 2 * i + 1]! << 8));
    if (streamEnd > end) throw corrupt('literals are cut off');
    const to = i === 3 ? target.length : (i + 1) * quarter;
    readHuffmanStream(table, new BackwardBits(bytes, at, streamEnd), target, i * quarter, to);
    at = streamEnd;
  }
}

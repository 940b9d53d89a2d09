/**
 * The zstd codec of pages: it unpacks, and packs nothing. What a frame must look like is decided in protocol/codec.ts.
 *
 * It is our own, in zstd/, because there was none to lean on: fzstd, the one in pure JavaScript, is made for frames that one trusts. 40 bytes kept it busy for half a
 * minute (a block may say that it holds 98,047 copies of 64 KiB), and frames that libzstd refuses it took, so that a page could have handed on
 * blocks that no node takes. Here every step either makes bytes that the frame may hold or throws, and test/fuzz holds that it judges as libzstd does.
 */
import { checkZstdFrame, readZstdBlock, ZSTD_BLOCK_TYPE, type Codec } from '../../protocol/codec.ts';
import { CODEC } from '../../protocol/constants.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { BackwardBits, corrupt } from './zstd/bits.ts';
import type { HuffmanTable } from './zstd/huffman.ts';
import { readLiterals } from './zstd/literals.ts';
import { readSequencesHeader, runSequences, type Output, type SequenceTables } from './zstd/sequences.ts';

/** Bits are read four bytes at once, wherever they begin. */
const ROOM_BYTES = 4;

/** What a block leaves for those after it. */
interface Frame {
  readonly output: Output;
  readonly tables: SequenceTables;
  readonly recent: [number, number, number];
  huffman: HuffmanTable | null;
}

export const zstdPortable: Codec = {
  number: CODEC.ZSTD,
  pack: null,

  unpack(data, rawBytes) {
    const { blockBytesMax, blocksOffset } = checkZstdFrame(data, rawBytes);
    const bytes = new Uint8Array(data.length + ROOM_BYTES);
    bytes.set(data);
    const output: Output = { bytes: new Uint8Array(rawBytes), length: 0 };
    const frame: Frame = {
      output,
      tables: { literals: null, offsets: null, matches: null },
      recent: [1, 4, 8],
      huffman: null,
    };
    for (let offset = blocksOffset, isLast = false; !isLast;) {
      const block = readZstdBlock(data, offset);
      const limit = Math.min(output.length + blockBytesMax, rawBytes);
      const start = offset + 3;
      if (block.type === ZSTD_BLOCK_TYPE.COMPRESSED) {
        unpackBlock(bytes, start, block.end, frame, limit);
      } else {
        if (output.length + block.size > limit) throw tooLong(rawBytes);
        if (block.type === ZSTD_BLOCK_TYPE.RAW) output.bytes.set(data.subarray(start, block.end), output.length);
        else output.bytes.fill(data[start]!, output.length, output.length + block.size);
        output.length += block.size;
      }
      offset = block.end;
      isLast = block.isLast;
    }
    if (output.length !== rawBytes)
      throw new TidelogError('bad-batch', `its data holds ${output.length} bytes and declares ${rawBytes}`);
    return output.bytes;
  },
};

function unpackBlock(bytes: Uint8Array, start: number, end: number, frame: Frame, limit: number): void {
  const { output, tables, recent } = frame;
  const literals = readLiterals(bytes, start, end, frame.huffman, limit - output.length);
  frame.huffman = literals.table;
  const header = readSequencesHeader(bytes, literals.end, end, tables);
  let used = 0;
  if (header.count > 0) {
    const bits = new BackwardBits(bytes, header.end, end);
    used = runSequences(bits, header.count, tables, literals.bytes, recent, output, limit);
  }
  const rest = literals.bytes.subarray(used);
  if (output.length + rest.length > limit) throw corrupt('a block holds more than it may');
  output.bytes.set(rest, output.length);
  output.length += rest.length;
}

function tooLong(rawBytes: number): TidelogError {
  return new TidelogError('bad-batch', `its data holds more bytes than the ${rawBytes} it declares`);
}

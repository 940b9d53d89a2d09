/**
 * The zstd codec of pages, by fzstd: it unpacks, and packs nothing. What a frame must look like is decided in protocol/codec.ts.
 *
 * fzstd trusts headers. Its one-shot function returns as many bytes as the header declares, however few the blocks hold; and what a
 * block holds beyond the window it drops. So its streaming class is used, which hands out each block (128 KiB at most) as it is, and it
 * is given a header of our own, with a window that any block fits in. Then what really came can be counted, and stopped at the first byte too many.
 */

import { Decompress } from 'fzstd';

import { concat } from '../../protocol/bytes.ts';
import { checkZstdFrame, type Codec } from '../../protocol/codec.ts';
import { CODEC } from '../../protocol/constants.ts';
import { TidelogError } from '../../protocol/errors.ts';

/** A block's largest content, as a power of two. */
const WINDOW_LOG_MIN = 17;

export const zstdPortable: Codec = {
  number: CODEC.ZSTD,
  pack: null,

  unpack(data, rawBytes) {
    const { windowBytes, blocksOffset } = checkZstdFrame(data, rawBytes);
    const raw = new Uint8Array(rawBytes);
    let length = 0;
    const unpacker = new Decompress((block) => {
      if (length + block.length > rawBytes)
        throw new TidelogError('bad-batch', `its data holds more bytes than the ${rawBytes} it declares`);
      raw.set(block, length);
      length += block.length;
    });
    try {
      unpacker.push(concat(headerOf(windowBytes), data.subarray(blocksOffset)), true);
    } catch (error) {
      // Damage shows as fzstd's own errors and as RangeErrors and TypeErrors of reads past a table; all mean the same.
      throw error instanceof TidelogError
        ? error
        : new TidelogError('bad-batch', 'its zstd frame cannot be unpacked', {}, { cause: error });
    }
    if (length !== rawBytes)
      throw new TidelogError('bad-batch', `its data holds ${length} bytes and declares ${rawBytes}`);
    return raw;
  },
};

/** The plainest header: magic number, a descriptor without anything, the window as a power of two (RFC 8878 section 3.1.1.1). */
function headerOf(windowBytes: number): Uint8Array {
  const windowLog = Math.max(WINDOW_LOG_MIN, Math.ceil(Math.log2(windowBytes)));
  return Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, (windowLog - 10) << 3);
}

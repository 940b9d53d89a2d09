/** The zstd codec of Node, by node:zlib. What a frame must look like is decided in protocol/codec.ts. */

import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';

import { checkZstdFrame, type Codec } from '../../protocol/codec.ts';
import { CODEC } from '../../protocol/constants.ts';
import { TidelogError } from '../../protocol/errors.ts';

/** Higher levels cost several times as much and gain little here: most of what remains at level 1 is signatures. */
const LEVEL = 1;
/**
 * zlib fills buffers of this size, each freshly allocated, and joins them. Its 16 KiB take twice as long for a block of a log
 * (160 µs against 76 µs for 55 KB), larger ones no less than this.
 */
const PACK_CHUNK_BYTES_MAX = 64 * 1024;
/** node:zlib accepts no less. */
const CHUNK_BYTES_MIN = 64;

export const zstdNode: Codec = {
  number: CODEC.ZSTD,

  pack(raw) {
    const chunkSize = Math.min(raw.length + CHUNK_BYTES_MIN, PACK_CHUNK_BYTES_MAX);
    return plain(zstdCompressSync(raw, { chunkSize, params: { [constants.ZSTD_c_compressionLevel]: LEVEL } }));
  },

  unpack(data, rawBytes) {
    checkZstdFrame(data, rawBytes);
    let raw: Uint8Array;
    try {
      // One byte more than the result, so that a full buffer doesn't make zlib ask for another.
      raw = plain(
        zstdDecompressSync(data, {
          maxOutputLength: Math.max(1, rawBytes),
          chunkSize: Math.max(CHUNK_BYTES_MIN, rawBytes + 1),
        }),
      );
    } catch (error) {
      throw new TidelogError('bad-batch', 'its zstd frame cannot be unpacked', {}, { cause: error });
    }
    // Also the only sign of a frame that was cut off: node:zlib then answers with nothing, and no error.
    if (raw.length !== rawBytes)
      throw new TidelogError('bad-batch', `its data holds ${raw.length} bytes and declares ${rawBytes}`);
    return raw;
  },
};

/** The same bytes without Buffer's own ideas of `slice` and `toString`. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

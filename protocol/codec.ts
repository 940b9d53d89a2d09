/**
 * The seam for packing a batch's data, and what a zstd frame must look like before anyone unpacks it.
 *
 * Two providers fill the seam: `client/platform/zstd-node.ts` (node:zlib) and `client/platform/zstd-portable.ts` (our own, which can
 * only unpack). Unpackers differ in what they forgive: Node's answers nothing at all for a frame that was cut off, and doesn't mind bytes
 * after the frame. So the frame is judged here, by one rule for all
 * peers, before a byte is allocated for what it claims to hold.
 *
 *   28 B5 2F FD | descriptor 1 | window 0–1 | content size 1–8 | { block header 3, block }…       (RFC 8878 section 3.1.1)
 *
 * The rule: exactly one frame; its header declares the content's size, and that is the size that the batch declares; no dictionary,
 * for both sides would need it; no checksum, for the commits inside carry better ones, and a portable unpacker then needs no XXH64.
 * Every encoder's one-shot function writes such a frame by default.
 */

import { readU32 } from './bytes.ts';
import { BATCH_RAW_BYTES_MAX, CODEC, type CodecNumber } from './constants.ts';
import { TidelogError } from './errors.ts';

export interface Codec {
  readonly number: CodecNumber;
  /** null where this platform can only unpack; such a peer sends with `noneCodec`. */
  readonly pack: ((raw: Uint8Array) => Uint8Array) | null;
  /**
   * The raw bytes: exactly `rawBytes` of them, or it throws `bad-batch`. Neither makes nor allocates more than the caller allows,
   * whatever `data` claims. The result may share memory with `data`.
   */
  unpack(data: Uint8Array, rawBytes: number): Uint8Array;
}

/** Sends bytes as they are. Every peer can do this. */
export const noneCodec: Codec = {
  number: CODEC.NONE,
  pack: (raw) => raw,
  unpack(data, rawBytes) {
    assertRawBytes(rawBytes);
    if (data.length !== rawBytes) throw badSize(data.length, rawBytes);
    return data;
  },
};

/**
 * Memory that a frame may ask an unpacker to keep of what came before: what RFC 8878 section 3.1.1.1.2 advises every decoder to allow,
 * and never less than a frame of the largest batch needs.
 */
const WINDOW_BYTES_MAX = BATCH_RAW_BYTES_MAX;
/** RFC 8878 section 3.1.1.2.4. */
const BLOCK_BYTES_MAX = 128 * 1024;
const MAGIC = 0x28b52ffd;
export const ZSTD_BLOCK_TYPE = { RAW: 0, RLE: 1, COMPRESSED: 2 } as const;

export interface ZstdFrame {
  /** What one block may hold, packed and unpacked. */
  readonly blockBytesMax: number;
  /** Where the header ends and the first block begins. */
  readonly blocksOffset: number;
}

/**
 * Checks a frame against the rule above, and that its blocks could hold `rawBytes`; throws `bad-batch` where not. What it can't see is
 * how much compressed blocks really hold: the unpacker must still stop at `rawBytes`, and compare.
 */
export function checkZstdFrame(data: Uint8Array, rawBytes: number): ZstdFrame {
  assertRawBytes(rawBytes);
  const { contentBytes, windowBytes, blocksOffset } = readZstdHeader(data);
  if (contentBytes !== rawBytes) throw badSize(contentBytes, rawBytes);
  if (windowBytes > WINDOW_BYTES_MAX)
    throw bad(`its zstd window is ${windowBytes} bytes; the most is ${WINDOW_BYTES_MAX}`);

  const blockBytesMax = Math.min(BLOCK_BYTES_MAX, windowBytes);
  let least = 0;
  let most = 0;
  let offset = blocksOffset;
  for (let last = false; !last;) {
    if (offset + 3 > data.length) throw bad('its zstd frame is cut off');
    const { type, size, end, isLast } = readZstdBlock(data, offset);
    last = isLast;
    if (size > blockBytesMax) throw bad('a zstd block is larger than allowed');
    offset = end;
    if (offset > data.length) throw bad('its zstd frame is cut off');
    if (type === ZSTD_BLOCK_TYPE.COMPRESSED) {
      most += blockBytesMax;
    } else if (type === ZSTD_BLOCK_TYPE.RAW || type === ZSTD_BLOCK_TYPE.RLE) {
      least += size;
      most += size;
    } else {
      throw bad('a zstd block has an unknown type');
    }
  }
  if (offset !== data.length) throw bad('bytes follow its zstd frame');
  if (rawBytes < least || rawBytes > most) throw bad('its zstd frame cannot hold what it declares');
  return { blockBytesMax, blocksOffset };
}

export interface ZstdBlock {
  /** One of ZSTD_BLOCK_TYPE, in a frame that was checked. */
  readonly type: number;
  /** Of its content; of what is repeated, how often. */
  readonly size: number;
  readonly end: number;
  readonly isLast: boolean;
}

/** The header at `offset`, of 3 bytes that are there. */
export function readZstdBlock(data: Uint8Array, offset: number): ZstdBlock {
  const header = data[offset]! | (data[offset + 1]! << 8) | (data[offset + 2]! << 16);
  const type = (header >> 1) & 3;
  const size = header >> 3;
  const end = offset + 3 + (type === ZSTD_BLOCK_TYPE.RLE ? 1 : size);
  return { type, size, end, isLast: (header & 1) === 1 };
}

interface ZstdHeader {
  readonly contentBytes: number;
  /** How far back a block may reach. */
  readonly windowBytes: number;
  readonly blocksOffset: number;
}

function readZstdHeader(data: Uint8Array): ZstdHeader {
  if (data.length < 6 || readU32(data, 0) !== MAGIC) throw bad('it is not a zstd frame');
  const descriptor = data[4]!;
  const dictionary = descriptor & 3;
  const checksum = (descriptor >> 2) & 1;
  const reserved = (descriptor >> 3) & 1;
  const singleSegment = (descriptor >> 5) & 1;
  const sizeFlag = descriptor >> 6;
  if (dictionary !== 0) throw bad('its zstd frame needs a dictionary');
  if (checksum !== 0) throw bad('its zstd frame has a checksum, which this protocol leaves out');
  if (reserved !== 0) throw bad('its zstd frame uses a reserved bit');
  if (sizeFlag === 0 && singleSegment === 0) throw bad('its zstd frame does not declare its size');

  const sizeOffset = singleSegment ? 5 : 6;
  const sizeBytes = 1 << sizeFlag;
  const blocksOffset = sizeOffset + sizeBytes;
  if (blocksOffset > data.length) throw bad('its zstd frame is cut off');
  // Past 2^53 the sum is not exact, and needn't be: it only has to differ from every size that is allowed.
  let contentBytes = sizeBytes === 2 ? 256 : 0;
  for (let i = 0; i < sizeBytes; i++) contentBytes += data[sizeOffset + i]! * 2 ** (8 * i);

  if (singleSegment) return { contentBytes, windowBytes: contentBytes, blocksOffset };
  const window = data[5]!;
  const base = 2 ** (10 + (window >> 3));
  return { contentBytes, windowBytes: base + (base / 8) * (window & 7), blocksOffset };
}

function assertRawBytes(rawBytes: number): void {
  if (rawBytes > BATCH_RAW_BYTES_MAX)
    throw new TidelogError('batch-too-large', `it declares ${rawBytes} bytes; the most is ${BATCH_RAW_BYTES_MAX}`);
  if (!Number.isSafeInteger(rawBytes) || rawBytes < 0) throw bad('its declared size is not a size');
}

function badSize(bytes: number, declared: number): TidelogError {
  return bad(`its data holds ${bytes} bytes and declares ${declared}`);
}

function bad(particular: string): TidelogError {
  return new TidelogError('bad-batch', particular);
}

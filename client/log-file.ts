/**
 * A log in a file: what `export --log` writes, `import --log` reads, and a backup is made of. The log's blocks as they are on the wire, in order,
 * between a header that says whose they are and an end that says what they come to. docs/BACKUP.md has the same layout, held equal by a test.
 *
 *   header  "tdlogcpy" 8 | version u32 | space 32 | epoch 8 | after u64 | hash 32
 *   fork    0x03 | proof bytes u32 | hash 32 | proof
 *   block   0x01 | codec u8 | raw bytes u32 | data bytes u32 | last u64 | hash 32 | data
 *   end     0x02 | head u64 | entries u64 | digest 32 | head id 32 | holes u32 | position u64 of each hole | hash 32
 *
 * Each hash is SHA-256 over the hash before it and all else of its own part. So nothing can be altered, left out, put in or put elsewhere without
 * being seen at its place, and the end's hash stands for the whole file. It guards against accidents: who may say what, signatures decide.
 */
import { concat, equal, readU32, readU64, utf8, writeU32, writeU64 } from '../protocol/bytes.ts';
import {
  BATCH_DATA_BYTES_MAX,
  BATCH_RAW_BYTES_MAX,
  CODEC,
  EPOCH_BYTES,
  FORK_BYTES_MAX,
  HASH_BYTES,
  INTEGER_MAX,
  SPACE_ID_BYTES,
} from '../protocol/constants.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { TidelogError } from '../protocol/errors.ts';
import type { BlockData } from './tables.ts';

const LOG_FILE_VERSION = 1;
const MAGIC = utf8('tdlogcpy');
const HEADER_BYTES = 92;
const BLOCK_HEAD_BYTES = 50;
const END_HEAD_BYTES = 85;
const FORK_HEAD_BYTES = 37;
const KIND = { BLOCK: 1, END: 2, FORK: 3 } as const;
/** Of erased commits that nothing explains: far more than any honest log has, and no more memory than a batch may ask for. */
const HOLES_MAX = 262_144;

export interface LogFileHeader {
  readonly space: Uint8Array;
  /** Of the log that it was copied from: its positions mean something there only. */
  readonly epoch: Uint8Array;
  /** The position before its first entry. */
  readonly after: number;
}

export interface LogFileBlock extends BlockData {
  /** Positions of its entries in the log that it was copied from. */
  readonly first: number;
  readonly last: number;
}

export interface LogFileEnd {
  /** Position of the last entry. */
  readonly head: number;
  /** Entries in this file. */
  readonly entries: number;
  /** Of the whole log up to the head: PROTOCOL.md, section 6. */
  readonly digest: Uint8Array;
  /** Id of the entry at the head; zeros where there is none. */
  readonly headId: Uint8Array;
  /** Positions up to the head of erased commits that no revocation explained, ascending. */
  readonly holes: readonly number[];
}

/** A part of a file, as the one who writes it knows it. */
type LogPart =
  | ({ readonly kind: 'header' } & LogFileHeader)
  /** A chain of this space has forked: what stands behind may rest on it. */
  | { readonly kind: 'fork'; readonly proof: Uint8Array }
  | ({ readonly kind: 'block' } & LogFileBlock)
  | ({ readonly kind: 'end' } & LogFileEnd);

/** A part that was read, and where it stood. */
export type PlacedPart = LogPart & {
  /** Byte at which it begins. */
  readonly offset: number;
  /** 0 for the header, then counted on. */
  readonly part: number;
  readonly hash: Uint8Array;
};

/** Puts parts into bytes, one after the other. */
export class LogFileWriter {
  readonly #crypto: Crypto;
  /** Of the part before. */
  hash: Uint8Array = new Uint8Array(0);

  constructor(crypto: Crypto) {
    this.#crypto = crypto;
  }

  header({ space, epoch, after }: LogFileHeader): Uint8Array {
    const head = new Uint8Array(HEADER_BYTES - HASH_BYTES);
    head.set(MAGIC);
    writeU32(head, 8, LOG_FILE_VERSION);
    head.set(space, 12);
    head.set(epoch, 44);
    writeU64(head, 52, after);
    return concat(head, this.#seal(head));
  }

  fork(proof: Uint8Array): Uint8Array {
    const head = new Uint8Array(FORK_HEAD_BYTES - HASH_BYTES);
    head[0] = KIND.FORK;
    writeU32(head, 1, proof.length);
    return concat(head, this.#seal(head, proof), proof);
  }

  block({ codec, rawBytes, data, last }: BlockData & { readonly last: number }): Uint8Array {
    const head = new Uint8Array(BLOCK_HEAD_BYTES - HASH_BYTES);
    head[0] = KIND.BLOCK;
    head[1] = codec;
    writeU32(head, 2, rawBytes);
    writeU32(head, 6, data.length);
    writeU64(head, 10, last);
    return concat(head, this.#seal(head, data), data);
  }

  end({ head: position, entries, digest, headId, holes }: LogFileEnd): Uint8Array {
    const listed = holes.slice(0, HOLES_MAX);
    const head = new Uint8Array(END_HEAD_BYTES + 8 * listed.length);
    head[0] = KIND.END;
    writeU64(head, 1, position);
    writeU64(head, 9, entries);
    head.set(digest, 17);
    head.set(headId, 49);
    writeU32(head, 81, listed.length);
    for (const [i, hole] of listed.entries()) writeU64(head, END_HEAD_BYTES + 8 * i, hole);
    return concat(head, this.#seal(head));
  }

  #seal(...parts: Uint8Array[]): Uint8Array {
    this.hash = this.#crypto.sha256(concat(this.hash, ...parts));
    return this.hash;
  }
}

/**
 * Reads a file part by part. Throws `bad-copy` at the first that isn't as it was written, with `{offset, part, position}` of it; what was given
 * before that is good. What the blocks hold isn't looked at here. `isPiece`: it need not have an end, or anything but its header.
 */
export async function* readLogFile(
  crypto: Crypto,
  chunks: AsyncIterable<Uint8Array>,
  { isPiece = false } = {},
): AsyncGenerator<PlacedPart> {
  const input = new Input(chunks);
  const reader = new Reader(crypto, input);
  yield await reader.header();
  for (;;) {
    const kind = await input.peek();
    if (kind === null && isPiece) return;
    if (kind === KIND.FORK) {
      yield await reader.fork();
      continue;
    }
    if (kind !== KIND.END) {
      yield await reader.block(kind);
      continue;
    }
    yield await reader.end();
    if ((await input.peek()) !== null) reader.refuse('something follows its end');
    return;
  }
}

class Reader {
  readonly #crypto: Crypto;
  readonly #input: Input;
  #hash: Uint8Array = new Uint8Array(0);
  #offset = 0;
  #part = 0;
  #after = 0;
  #position = 0;

  constructor(crypto: Crypto, input: Input) {
    this.#crypto = crypto;
    this.#input = input;
  }

  refuse(why: string): never {
    const { offset, part, position } = { offset: this.#offset, part: this.#part, position: this.#position };
    const where = part === 0 ? `at byte ${offset}` : `at byte ${offset}, after position ${position}`;
    throw new TidelogError('bad-copy', `${where}: ${why}`, { offset, part, position });
  }

  async header(): Promise<PlacedPart> {
    const bytes = await this.#input.take(HEADER_BYTES);
    if (bytes === null || !equal(bytes.subarray(0, 8), MAGIC)) this.refuse('this is no copy of a log');
    // First the hash, which stands in this place in every version: a number that was altered is no newer version.
    const hash = this.#check(bytes, HEADER_BYTES - HASH_BYTES);
    const version = readU32(bytes, 8);
    if (version !== LOG_FILE_VERSION)
      this.refuse(`it is of version ${version}, and this Tidelog knows ${LOG_FILE_VERSION}; update the older one`);
    const space = bytes.slice(12, 12 + SPACE_ID_BYTES);
    const epoch = bytes.slice(44, 44 + EPOCH_BYTES);
    this.#after = this.#position = this.#count(bytes, 52);
    return this.#placed({ kind: 'header', space, epoch, after: this.#after }, hash, HEADER_BYTES);
  }

  async fork(): Promise<PlacedPart> {
    const head = (await this.#input.take(FORK_HEAD_BYTES)) ?? this.refuse('it is cut off within a fork');
    const proofBytes = readU32(head, 1);
    if (proofBytes > FORK_BYTES_MAX) this.refuse('a fork is larger than may be');
    const proof = (await this.#input.take(proofBytes)) ?? this.refuse('it is cut off within a fork');
    const hash = this.#check(head, FORK_HEAD_BYTES - HASH_BYTES, proof);
    return this.#placed({ kind: 'fork', proof }, hash, FORK_HEAD_BYTES + proofBytes);
  }

  /** `kind` is its first byte; null at the end of the bytes. */
  async block(kind: number | null): Promise<PlacedPart> {
    if (kind === null) this.refuse('it is cut off: its end is missing');
    if (kind !== KIND.BLOCK) this.refuse('a part of an unknown kind');
    const head = (await this.#input.take(BLOCK_HEAD_BYTES)) ?? this.refuse('it is cut off within a block');
    const [codec, rawBytes, dataBytes] = [head[1]!, readU32(head, 2), readU32(head, 6)];
    // Before memory is taken for it.
    if (dataBytes > BATCH_DATA_BYTES_MAX || rawBytes > BATCH_RAW_BYTES_MAX)
      this.refuse('a block is larger than may be');
    const data = (await this.#input.take(dataBytes)) ?? this.refuse('it is cut off within a block');
    const hash = this.#check(head, BLOCK_HEAD_BYTES - HASH_BYTES, data);
    const last = this.#count(head, 10);
    if (codec !== CODEC.NONE && codec !== CODEC.ZSTD) this.refuse(`codec ${codec} is unknown`);
    if (last <= this.#position) this.refuse('a block ends before it begins');
    const first = this.#position + 1;
    this.#position = last;
    return this.#placed({ kind: 'block', codec, rawBytes, data, first, last }, hash, BLOCK_HEAD_BYTES + dataBytes);
  }

  async end(): Promise<PlacedPart> {
    const fixed = (await this.#input.take(END_HEAD_BYTES)) ?? this.refuse('it is cut off within its end');
    const count = readU32(fixed, 81);
    if (count > HOLES_MAX) this.refuse('its end is larger than may be');
    const rest = (await this.#input.take(8 * count + HASH_BYTES)) ?? this.refuse('it is cut off within its end');
    const bytes = concat(fixed, rest);
    const hash = this.#check(bytes, bytes.length - HASH_BYTES);
    const head = this.#count(bytes, 1);
    const entries = this.#count(bytes, 9);
    if (head !== this.#position || entries !== head - this.#after) this.refuse('its end counts other entries');
    const holes = Array.from({ length: count }, (_, i) => this.#count(bytes, END_HEAD_BYTES + 8 * i));
    const digest = bytes.slice(17, 49);
    const headId = bytes.slice(49, 81);
    return this.#placed({ kind: 'end', head, entries, digest, headId, holes }, hash, bytes.length);
  }

  /** The hash that follows `head`, if it is that of the part. */
  #check(bytes: Uint8Array, headBytes: number, data: Uint8Array = new Uint8Array(0)): Uint8Array {
    const hash = this.#crypto.sha256(concat(this.#hash, bytes.subarray(0, headBytes), data));
    if (!equal(hash, bytes.subarray(headBytes, headBytes + HASH_BYTES)))
      this.refuse(this.#part === 0 ? 'its header was altered' : 'it was altered here: a hash is another');
    this.#hash = hash;
    return hash;
  }

  #count(bytes: Uint8Array, at: number): number {
    const count = readU64(bytes, at);
    if (count > INTEGER_MAX) this.refuse('a number is too large');
    return count;
  }

  #placed(part: LogPart, hash: Uint8Array, length: number): PlacedPart {
    const placed = { ...part, hash, offset: this.#offset, part: this.#part };
    this.#offset += length;
    this.#part++;
    return placed;
  }
}

/** Bytes by number, from chunks as they come. */
class Input {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** The next byte, which stays; null at the end. */
  async peek(): Promise<number | null> {
    while (this.#chunk.length === 0) {
      const { done, value } = await this.#chunks.next();
      if (done) return null;
      this.#chunk = value;
    }
    return this.#chunk[0]!;
  }

  /** Exactly so many, as bytes of their own; null where there are fewer. */
  async take(count: number): Promise<Uint8Array | null> {
    const taken = new Uint8Array(count);
    for (let at = 0; at < count;) {
      if ((await this.peek()) === null) return null;
      const part = this.#chunk.subarray(0, count - at);
      taken.set(part, at);
      at += part.length;
      this.#chunk = this.#chunk.subarray(part.length);
    }
    return taken;
  }
}

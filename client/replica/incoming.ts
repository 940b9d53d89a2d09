/**
 * A batch on its way in: unpacked, read, linked and verified. Most come by the short way (protocol/plain-batch.ts), which can be gone in another
 * thread; whatever that leaves is read entry by entry.
 */
import { authenticate, type AuthenticBatch } from '../../protocol/authenticate.ts';
import { checkPositions, decodeBatch } from '../../protocol/batch.ts';
import type { Codec } from '../../protocol/codec.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { readPlainBatch, type PlainBatch } from '../../protocol/plain-batch.ts';
import type { BlockData } from '../tables.ts';
import { unpack } from './block.ts';
import { makeBloom } from './bloom.ts';

/** What the short way gives: passes between threads as it is. */
export interface ReadBatch {
  readonly plain: PlainBatch;
  /** For the block's record; null where a body wasn't read. */
  readonly subjects: Uint8Array | null;
}

/** null where the batch isn't for the short way, or is wrong: `readIncoming` then says what it is. */
export function readShort(
  crypto: Crypto,
  codecs: readonly Codec[],
  space: Uint8Array,
  block: BlockData,
  withRecords: boolean,
): ReadBatch | null {
  let raw: Uint8Array;
  try {
    raw = unpack(codecs, block);
  } catch {
    return null;
  }
  const plain = readPlainBatch(crypto, space, raw, withRecords);
  return plain && { plain, subjects: plain.isOther.includes(1) ? null : makeBloom([], [plain]) };
}

export class Incoming {
  readonly #crypto: Crypto;
  readonly #space: Uint8Array;
  readonly short: ReadBatch | null;
  #entries: AuthenticBatch | null;

  constructor(crypto: Crypto, space: Uint8Array, short: ReadBatch | null, entries: AuthenticBatch | null) {
    this.#crypto = crypto;
    this.#space = space;
    this.short = short;
    this.#entries = entries;
  }

  get isEmpty(): boolean {
    return this.short === null && this.#entries!.entries.length === 0;
  }

  /** Entries, gaps included. */
  get count(): number {
    return this.short?.plain.count ?? this.#entries!.entries.length;
  }

  /** Entry by entry; made from the bytes where the short way brought it here. */
  entries(): AuthenticBatch {
    this.#entries ??= authenticate(this.#crypto, this.#space, decodeBatch(this.short!.plain.raw));
    return this.#entries;
  }

  /** The last seq of each chain in it. */
  heads(): Iterable<{ readonly chain: Uint8Array; readonly seq: number }> {
    if (this.short) return this.short.plain.chains.map(({ id, seqLast }) => ({ chain: id, seq: seqLast }));
    const heads = new Map(this.#entries!.entries.map(({ chain, seq }) => [chain, seq]));
    return [...heads].map(([{ id }, seq]) => ({ chain: id, seq }));
  }
}

/** Throws what is wrong with it: `bad-batch`, `batch-too-large`, `bad-key`, `bad-commit`, `unlinked`, `bad-signature`. */
export function readIncoming(
  crypto: Crypto,
  codecs: readonly Codec[],
  space: Uint8Array,
  message: BlockData & { readonly prev: number; readonly last: number },
  short: ReadBatch | null,
): Incoming {
  // More entries than positions: said by checkPositions below.
  if (short && short.plain.count <= message.last - message.prev) return new Incoming(crypto, space, short, null);
  const batch = decodeBatch(unpack(codecs, message));
  checkPositions(batch, message);
  return new Incoming(crypto, space, null, authenticate(crypto, space, batch));
}

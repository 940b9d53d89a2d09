/**
 * The seam for storage: ordered tables of bytes, and one atomic write. LMDB fills it in Node, memory in tests and
 * short-lived peers, IndexedDB in browsers. What the tables mean is decided above it (see `tables.ts`); a store knows none of it.
 *
 * The contract, which `test/contract/store.ts` checks of every store:
 *  - Keys are ordered as unsigned bytes, shorter first where one begins the other. A key is 1 to 1,500 bytes.
 *  - `write` is all or nothing, and resolves only when a power cut could no longer undo it.
 *  - Writes take effect in the order of the calls. What a read sees of a write that hasn't resolved is left open.
 *  - Bytes that a store returns are the caller's own; bytes given to `write` aren't kept after it resolves.
 *  - A failed write rejects with `store-full` or `store-failed` and leaves everything as it was.
 *  - After `close`, everything rejects or throws with `closed`. `close` waits for writes under way.
 */

export const TABLES = [
  'meta',
  'spaces',
  'blocks',
  'blockIndex',
  'chains',
  'knows',
  'state',
  'conflicts',
  'facts',
  'holes',
  'peers',
  'cursors',
] as const;
export type Table = (typeof TABLES)[number];

/** LMDB answers at once, IndexedDB later; callers `await` only what is a promise on the hot path. */
export type MaybePromise<T> = T | Promise<T>;

export interface StoreOp {
  readonly table: Table;
  readonly key: Uint8Array;
  /** null removes the key; removing what isn't there is fine. */
  readonly value: Uint8Array | null;
}

/** At most one lower and one upper bound. */
export interface ScanRange {
  readonly gt?: Uint8Array;
  readonly gte?: Uint8Array;
  readonly lt?: Uint8Array;
  readonly lte?: Uint8Array;
  /** From the upper end downwards. */
  readonly reverse?: boolean;
  /** At most this many; every caller names one, so that nothing grows with the data. */
  readonly limit: number;
}

export type StoreEntry = readonly [key: Uint8Array, value: Uint8Array];

export interface Store {
  /** For people: 'lmdb', 'memory', 'indexeddb'. */
  readonly kind: string;
  get(table: Table, key: Uint8Array): MaybePromise<Uint8Array | undefined>;
  /** Answers in the order of the keys. */
  getMany(table: Table, keys: readonly Uint8Array[]): MaybePromise<(Uint8Array | undefined)[]>;
  scan(table: Table, range: ScanRange): MaybePromise<StoreEntry[]>;
  write(ops: readonly StoreOp[]): Promise<void>;
  /** Bytes that it takes on disk (in memory: roughly). */
  size(): MaybePromise<number>;
  close(): Promise<void>;
}

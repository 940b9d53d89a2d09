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
  'forks',
  'setAside',
] as const;
export type Table = (typeof TABLES)[number];

/** Holds a shared store while `work` goes on. */
export async function held<T>({ shared }: Store, work: () => Promise<T>): Promise<T> {
  if (!shared) return work();
  const release = await shared.hold('work');
  try {
    return await work();
  } finally {
    release();
  }
}

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

/** `write`: of one space's writer, and waits for nobody else who holds the store. `work` may wait for those who do. */
export type Hold = 'write' | 'work';

/** Of a store that several peers of one device have open, of which one at a time writes: the tabs of a browser. */
export interface SharedStore {
  /** Does this one write, and keep the lines to other devices? */
  readonly leads: boolean;
  /**
   * Resolves once this one writes, and what its peer has in memory is what is on the disk; it stays so until the answer is called. Nobody else waits for
   * long, so it must be called soon.
   */
  hold(kind: Hold): Promise<() => void>;
  /** Resolves once the peer's memory has all that was on the disk at the call. */
  catchUp(): Promise<void>;
  /** Another device has a space's log, the one with this epoch, up to a position; those who wrote it may wait for that in another tab. */
  acked(space: string, device: Uint8Array, position: number, epoch: Uint8Array): void;
}

export interface Store {
  /** Absent where nobody else has it open. */
  readonly shared?: SharedStore;
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

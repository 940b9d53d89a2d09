/**
 * The store of a node: one LMDB environment, one named database for each table. The only file that imports `lmdb`. What is large comes here at
 * once, what is small by way of a journal (journaled-store.ts).
 *
 * Writes are taken in groups. While one transaction is on its way to the disk, everything that is written waits; then all that
 * waits goes into the next one, so that any number of writers share one flush and each still gets its own outcome:
 *
 *   write() ─▶ waiting ─▶ one transaction: pages, fdatasync, meta page by O_DSYNC ─▶ resolve
 *                  ▲           │ failed, and there were several: each once more alone
 *                  └───────────┘
 *
 * How lmdb-js is set, and why (measured, and traced with strace):
 *  - `overlappingSync: false`. By default a transaction is visible before it is flushed, and stays so if the flush fails and the
 *    write is rejected. Without it a commit is LMDB's own: what a failed one wrote is not there.
 *    It is also the faster of the two: 3,600 against 3,000 small writes a second one after another, 1.2 against 0.6 M puts in one write.
 *  - `eventTurnBatching: false`. Groups are made above. With it, a failed commit also rejects a promise that nobody can catch.
 *  - A group is written by `batch`, which runs in a thread: a flush of a memory card may take 50 ms, and the process must not stop for it.
 */

import { statfsSync } from 'node:fs';
import { access, open as openFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { open, type Database, type RangeOptions, type RootDatabase } from 'lmdb';

import { TABLES, type ScanRange, type Store, type StoreEntry } from '../client/store.ts';
import { TidelogError } from '../protocol/errors.ts';
import { makeFolder, syncFolder, writeFileDurably } from './durable.ts';
import { checkPages } from './lmdb-pages.ts';
import { JOURNAL_TABLE, openJournaled, type Tables, type TablesOp } from './journaled-store.ts';

const TABLE = { encoding: 'binary', keyEncoding: 'binary' } as const;
const ENVIRONMENT = {
  ...TABLE,
  noSubdir: false,
  compression: false,
  cache: false,
  maxDbs: TABLES.length + 1,
  overlappingSync: false,
  eventTurnBatching: false,
  permissionsMode: 0o600,
};
/**
 * There once data.mdb is. LMDB makes a missing file anew, and an empty one: after a restore that left it out, or a repair of the file system that
 * moved it away, a device would start without its data and say nothing.
 */
const MARK = 'made';
const MARK_TEXT =
  'There is a store in data.mdb beside this file. Whoever opens it and finds none says so, and makes no new one.\n';

/** For fewer it isn't worth it. */
const SORT_OPS_MIN = 1000;
/** Operations after which a group takes no further write: bounds how long the first of it waits for the others. */
const GROUP_OPS_MAX = 50_000;

/**
 * What a disk must have left, beside twice the bytes of a write, for the write to be tried: the tree above the bytes is copied too.
 * Only removals are tried with less. It is looked at beforehand because lmdb-js 3.5.6 overruns a buffer of its own where the
 * system refuses a page, which may end the process (the data stays whole).
 */
const ROOM_BYTES_MIN = 16 * 1024 * 1024;
/** No key comes before it. */
const KEY_FIRST = new Uint8Array(1);

/** How long what the system said of the disk's room is believed for small writes. Each other write asks anew. */
const ROOM_MS = 100;

type Binary = Database<Uint8Array, Uint8Array>;
type TableName = TablesOp['table'];

/**
 * Opens the store in folder `path`, which is made if it isn't there. One process at a time: data-dir.ts sees to that.
 * Its size has no limit of its own: lmdb-js maps more as it grows, so a store is full when the disk is. `isSuspect`: looks at its pages first, lest
 * LMDB end this process, as it may have ended the last one.
 */
export async function openLmdbStore(path: string, { isSuspect = false } = {}): Promise<Store> {
  await makeFolder(path);
  const file = join(path, 'data.mdb');
  const mark = join(path, MARK);
  const isMarked = await exists(mark);
  await assertLmdbFile(file, isMarked);
  if (isSuspect && (await exists(file))) await checkPages(file);
  let root: RootDatabase<Uint8Array, Uint8Array> | undefined;
  try {
    root = open<Uint8Array, Uint8Array>({ path, ...ENVIRONMENT });
    await assertWhole(root, file);
    const tables = openTables(root);
    // LMDB flushes what is in its file, not the names of the file and its folder.
    await syncFolder(path);
    await syncFolder(dirname(path));
    if (!isMarked) await writeFileDurably(mark, MARK_TEXT, 0o600);
    return await openJournaled(new LmdbTables(root, tables, file), join(path, 'journal'));
  } catch (error) {
    await root?.close();
    if (error instanceof TidelogError) throw error;
    throw new TidelogError(openingCodeOf(error, file), `${path}: ${messageOf(error)}`, {}, { cause: error });
  }
}

/** In one transaction: a new store otherwise costs two flushes for each table. */
function openTables(root: RootDatabase<Uint8Array, Uint8Array>): ReadonlyMap<TableName, Binary> {
  const names: TableName[] = [...TABLES, JOURNAL_TABLE];
  return root.transactionSync(() => new Map(names.map((name) => [name, root.openDB({ name, ...TABLE })])));
}

interface Waiting {
  readonly ops: readonly TablesOp[];
  readonly resolve: () => void;
  readonly reject: (error: TidelogError) => void;
}

class LmdbTables implements Tables {
  readonly kind = 'lmdb';
  readonly #root: RootDatabase<Uint8Array, Uint8Array>;
  readonly #tables: ReadonlyMap<TableName, Binary>;
  readonly #file: string;
  #waiting: Waiting[] = [];
  /** The loop that empties `#waiting`; null while there is nothing to do. */
  #writer: Promise<void> | null = null;
  #closing: Promise<void> | null = null;
  #room = { askedMs: Number.NEGATIVE_INFINITY, bytes: 0 };
  /** Set once LMDB refuses to go on, which it does after a meta page that it couldn't write. */
  #broken: TidelogError | null = null;

  constructor(root: RootDatabase<Uint8Array, Uint8Array>, tables: ReadonlyMap<TableName, Binary>, file: string) {
    this.#root = root;
    this.#tables = tables;
    this.#file = file;
  }

  // Reads are synchronous. lmdb-js reads in a snapshot that it drops when the event loop turns, and before it resolves a write: a
  // read after an awaited write sees it, and no caller's `await` keeps old pages from being used again.

  get(table: TableName, key: Uint8Array): Uint8Array | undefined {
    return this.#read(table, (db) => own(db.getBinary(key)));
  }

  getMany(table: TableName, keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
    return this.#read(table, (db) => keys.map((key) => own(db.getBinary(key))));
  }

  scan(table: TableName, range: ScanRange): StoreEntry[] {
    return this.#read(table, (db) => {
      const { reverse = false, limit } = range;
      // Both bounds as the first key that is inside or, above, the first that is outside: nothing lies between a key and itself with a zero.
      const lower = range.gt ? successor(range.gt) : range.gte;
      const upper = range.lte ? successor(range.lte) : range.lt;
      if (limit === 0 || upper?.length === 0) return [];
      const first = lower && lower.length > 0 ? lower : KEY_FIRST;
      const bounds: RangeOptions = reverse
        ? { ...(upper && { start: upper, exclusiveStart: true }), end: first, inclusiveEnd: true }
        : { start: first, ...(upper && { end: upper }) };
      const entries: StoreEntry[] = [];
      for (const { key, value } of db.getRange({ ...bounds, reverse, limit })) entries.push([own(key), own(value)]);
      return entries;
    });
  }

  async write(ops: readonly TablesOp[]): Promise<void> {
    if (this.#closing) throw new TidelogError('closed');
    const written = new Promise<void>((resolve, reject) => this.#waiting.push({ ops, resolve, reject }));
    this.#writer ??= this.#writeAll();
    return written;
  }

  async size(): Promise<number> {
    if (this.#closing) throw new TidelogError('closed');
    return (await stat(this.#file)).size;
  }

  isTight(bytes: number): boolean {
    const nowMs = performance.now();
    if (nowMs - this.#room.askedMs > ROOM_MS) this.#room = { askedMs: nowMs, bytes: roomBytes(this.#file) };
    return this.#room.bytes < bytes + ROOM_BYTES_MIN;
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#writer;
      await this.#root.close();
    })();
    return this.#closing;
  }

  #read<T>(table: TableName, read: (db: Binary) => T): T {
    if (this.#closing) throw new TidelogError('closed');
    try {
      return read(this.#tables.get(table)!);
    } catch (error) {
      throw this.#broken ?? new TidelogError('data-damaged', messageOf(error), {}, { cause: error });
    }
  }

  async #writeAll(): Promise<void> {
    // Lets everyone who writes in this same turn into the first group.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#nextGroup();
      const error = await this.#commit(group);
      if (error && group.length > 1) {
        // Perhaps only one of them is too large for the disk that is left.
        for (const one of group) settle(one, await this.#commit([one]));
      } else {
        for (const one of group) settle(one, error);
      }
    }
    this.#writer = null;
  }

  #nextGroup(): Waiting[] {
    let length = 0;
    for (let ops = 0; length < this.#waiting.length && ops < GROUP_OPS_MAX; length++)
      ops += this.#waiting[length]!.ops.length;
    return this.#waiting.splice(0, length);
  }

  /** One transaction, flushed; null, or why none of it was written. */
  async #commit(group: readonly Waiting[]): Promise<TidelogError | null> {
    if (this.#broken) return this.#broken;
    const bytes = bytesPut(group);
    if (bytes > 0 && roomBytes(this.#file) < 2 * bytes + ROOM_BYTES_MIN) {
      return new TidelogError('store-full', `the disk of ${this.#file} has less than ${ROOM_BYTES_MIN} bytes to spare`);
    }
    try {
      await this.#root.batch(() => {
        for (const { ops } of group) {
          for (const { table, key, value } of inKeyOrder(ops)) {
            const db = this.#tables.get(table)!;
            if (value) void db.put(key, value);
            else void db.remove(key);
          }
        }
      });
      return null;
    } catch (thrown) {
      const cause = await commitErrorOf(thrown);
      if (this.#panics()) {
        this.#broken = new TidelogError(
          'store-failed',
          `the disk failed while the store was updated; restart the node: ${messageOf(cause)}`,
          {},
          { cause },
        );
        return this.#broken;
      }
      return new TidelogError(
        isFull(cause, this.#file) ? 'store-full' : 'store-failed',
        messageOf(cause),
        {},
        { cause },
      );
    }
  }

  /** After a panic LMDB fails all it is asked, but lmdb-js's writer then waits for ever. A read tells without harm. */
  #panics(): boolean {
    try {
      this.#root.resetReadTxn();
      this.#root.getBinary(Buffer.of(0));
      return false;
    } catch {
      return true;
    }
  }
}

/**
 * A bulk sync writes resources in the order in which they were made; in the order of their keys a page is looked for once for all that it takes,
 * and LMDB needs a third less time. Sorting is stable: two writes of one key stay as they were.
 */
function inKeyOrder(ops: readonly TablesOp[]): readonly TablesOp[] {
  if (ops.length < SORT_OPS_MIN) return ops;
  return ops.toSorted((a, b) => (a.table === b.table ? Buffer.compare(a.key, b.key) : a.table < b.table ? -1 : 1));
}

function settle({ resolve, reject }: Waiting, error: TidelogError | null): void {
  if (error) reject(error);
  else resolve();
}

/** lmdb-js rejects with a general error that carries the real one as a promise. */
async function commitErrorOf(thrown: unknown): Promise<unknown> {
  const { commitError } = thrown as { commitError?: Promise<never> };
  if (!commitError) return thrown;
  return commitError.catch((error: unknown) => error);
}

function bytesPut(group: readonly Waiting[]): number {
  let bytes = 0;
  for (const { ops } of group) for (const { key, value } of ops) if (value) bytes += key.length + value.length;
  return bytes;
}

function roomBytes(file: string): number {
  try {
    const { bavail, bsize } = statfsSync(file);
    return bavail * bsize;
  } catch {
    return Infinity;
  }
}

/** LMDB's own "map full", and what systems say of a full disk, quota or file: ENOSPC, EDQUOT, EFBIG; ERROR_DISK_FULL on Windows. */
const FULL_CODES: ReadonlySet<unknown> = new Set(
  process.platform === 'win32' ? [-30792, 112] : [-30792, 28, 122, 69, 27],
);
const EIO = 5;

function isFull(cause: unknown, file: string): boolean {
  const { code } = cause as { code?: unknown };
  // A disk that fills up in the middle of a page gives LMDB a short write, which it calls EIO.
  return FULL_CODES.has(code) || (code === EIO && roomBytes(file) < ROOM_BYTES_MIN);
}

/** LMDB's own codes are negative, and at an opening all mean that the file is not what it should be; the system's are positive. */
function openingCodeOf(cause: unknown, file: string): 'data-damaged' | 'store-full' | 'store-failed' {
  if (isFull(cause, file)) return 'store-full';
  const { code } = cause as { code?: unknown };
  return typeof code === 'number' && code > 0 ? 'store-failed' : 'data-damaged';
}

const LMDB_MAGIC = 0xbeefc0de;
/** Of the format that lmdb-js 3 writes. */
const LMDB_DATA_VERSION = 2;

/** lmdb-js crashes the process for a file that isn't LMDB's, or not of its version. So this looks first. */
async function assertLmdbFile(path: string, wasThere: boolean): Promise<void> {
  const header = new Uint8Array(64);
  let fileBytes: number;
  try {
    const file = await openFile(path, 'r');
    try {
      fileBytes = (await file.stat()).size;
      await file.read(header, 0, header.length, 0);
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      if (wasThere) throw new TidelogError('data-damaged', `${path} is missing`);
      return;
    }
    throw new TidelogError('store-failed', `${path} cannot be read: ${messageOf(error)}`, {}, { cause: error });
  }
  // What a crash leaves between making the file and writing its first page.
  if (fileBytes === 0 && !wasThere) return;
  if (fileBytes === 0) throw new TidelogError('data-damaged', `${path} is empty`);
  // The page header before the magic number is of another length on 32 bits; LMDB's files are in the machine's own byte order.
  const words = new Uint32Array(header.buffer);
  const magic = words.indexOf(LMDB_MAGIC);
  const pageBytes = words[magic + 6] ?? 0;
  if (magic < 0) throw new TidelogError('data-damaged', `${path} is not an LMDB file`);
  if ((words[magic + 1]! & 0xffff) !== LMDB_DATA_VERSION)
    throw new TidelogError('data-damaged', `${path} has an LMDB format that is not known here`);
  // Both meta pages are read without asking whether they are there.
  if (fileBytes < 2 * pageBytes) throw new TidelogError('data-damaged', `${path} is cut off`);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** A page past the end of the file, once touched, ends the process with SIGBUS. */
async function assertWhole(root: RootDatabase<Uint8Array, Uint8Array>, path: string): Promise<void> {
  const { pageSize, lastPageNumber } = root.getStats() as { pageSize: number; lastPageNumber: number };
  const fileBytes = (await stat(path)).size;
  if (fileBytes < (lastPageNumber + 1) * pageSize) throw new TidelogError('data-damaged', `${path} is cut off`);
}

/** The same bytes without Buffer's own ideas of `slice`; lmdb-js has made them for this call. */
function own(bytes: Uint8Array): Uint8Array;
function own(bytes: Uint8Array | undefined): Uint8Array | undefined;
function own(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes && new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

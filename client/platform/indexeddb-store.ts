/**
 * The store of browsers: one IndexedDB database, one object store for each table, keys and values as they are. Works on any page, also on one that is no
 * secure context. The only file that imports `idb`.
 *
 * Writes are taken in groups, as in LMDB's store: while one transaction is on its way to the disk, all that is written waits, and goes into the next one
 * together. So writes take effect in their order although IndexedDB would run transactions over different tables side by side, and many share a flush.
 *
 * `durability: 'strict'`: else Chromium and Firefox report a transaction as complete while it is still in the system's cache.
 *
 * One store at a time writes: a second writer would be a second branch of this device's chain. Tabs agree on one among themselves (browser/tabs.ts), but a
 * tab that the browser froze in the middle doesn't know that another took over. So whoever takes over takes the next number, and each write looks, in its
 * own transaction, whether the number is still its own: where it isn't, nothing is written, and the answer is `data-in-use`.
 */
import { openDB, unwrap, type IDBPDatabase } from 'idb';
import { compare } from '../../protocol/bytes.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { assertKey, assertOps, assertRange, assertTable } from '../store-check.ts';
import { TABLES, type ScanRange, type Store, type StoreEntry, type StoreOp, type Table } from '../store.ts';

/** Raised when a table is added: the upgrade makes those that are missing. */
const LAYOUT = 1;
/** What is of the store itself, and of no table. */
const OWN = 'tidelog';
const WRITER_KEY = 'writer';
/** Operations after which a group takes no further write: bounds how long the first of it waits for the others. */
const GROUP_OPS_MAX = 50_000;
/** IndexedDB takes no larger count. */
const COUNT_MAX = 0xffff_ffff;
/** A tab of an older page closes its database when it is asked to; one that is frozen doesn't hear it. */
const BLOCKED_MS = 10_000;
/** Rows in memory at once while their bytes are counted. */
const COUNTED_ROWS = 256;

export interface IndexedDbOptions {
  /** The database is gone, or another page has taken it: nothing can be read or written any more. Called once. */
  readonly onLost?: (error: TidelogError) => void;
  /**
   * Of one that shares its database: it reads from the start, writes after `takeOver`, and goes on reading when another has taken over, which is told
   * here. Without it the opening takes over, and whoever is taken over is lost.
   */
  readonly onTakenOver?: () => void;
}

interface Waiting {
  readonly ops: readonly StoreOp[];
  readonly resolve: () => void;
  readonly reject: (error: TidelogError) => void;
}

/** Throws `data-newer`, `data-in-use`, `store-full`, `store-failed`. */
export async function openIndexedDbStore(name: string, options: IndexedDbOptions = {}): Promise<IndexedDbStore> {
  let store: IndexedDbStore | null = null;
  const lose = (error: TidelogError): void => store?.lose(error);
  const database = await openDatabase(name, lose);
  try {
    store = new IndexedDbStore(name, database, options);
    if (!options.onTakenOver) await store.takeOver();
    return store;
  } catch (thrown) {
    database.close();
    throw storeError(thrown);
  }
}

async function openDatabase(name: string, lose: (error: TidelogError) => void): Promise<IDBPDatabase> {
  let blocked: ReturnType<typeof setTimeout> | undefined;
  const opening = new Promise<IDBPDatabase>((resolve, reject) => {
    const opened = openDB(name, LAYOUT, {
      upgrade(database) {
        for (const table of [...TABLES, OWN])
          if (!database.objectStoreNames.contains(table)) database.createObjectStore(table);
      },
      blocked() {
        blocked = setTimeout(() => {
          reject(
            new TidelogError('data-in-use', 'a tab with an older version of this page holds the database; close it'),
          );
          // Whenever it is opened after all.
          void opened.then((late) => late.close());
        }, BLOCKED_MS);
      },
      blocking(_current, wanted, event) {
        // What waits for this to be closed is another page; it must not wait for a store that isn't there yet.
        (event.target as IDBDatabase).close();
        lose(
          wanted === null
            ? new TidelogError('closed', 'this page has deleted the database, in another tab or here')
            : new TidelogError('data-in-use', 'a newer version of this page has opened the database; reload the page'),
        );
      },
      terminated() {
        lose(new TidelogError('store-failed', 'the browser closed the database or deleted its data; reload the page'));
      },
    });
    opened.then(resolve, reject);
  });
  try {
    return await opening;
  } catch (thrown) {
    throw storeError(thrown);
  } finally {
    clearTimeout(blocked);
  }
}

export class IndexedDbStore implements Store {
  readonly kind = 'indexeddb';
  readonly #name: string;
  readonly #database: IDBPDatabase;
  readonly #options: IndexedDbOptions;
  /** The number that it took over with; none has 0. */
  #writerNumber = 0;
  #waiting: Waiting[] = [];
  /** The loop that empties `#waiting`; null while there is nothing to do. */
  #writer: Promise<void> | null = null;
  #closing: Promise<void> | null = null;
  #lost: TidelogError | null = null;

  constructor(name: string, database: IDBPDatabase, options: IndexedDbOptions) {
    this.#name = name;
    this.#database = database;
    this.#options = options;
  }

  /** It is the one that writes, from then on. Answers its number: whoever has a larger one took over later. */
  async takeOver(): Promise<number> {
    this.#assertOpen();
    try {
      const taking = this.#database.transaction(OWN, 'readwrite', { durability: 'strict' });
      const own = (((await taking.store.get(WRITER_KEY)) as number | undefined) ?? 0) + 1;
      await Promise.all([taking.store.put(own, WRITER_KEY), taking.done]);
      this.#writerNumber = own;
      return own;
    } catch (thrown) {
      throw this.#lost ?? storeError(thrown);
    }
  }

  lose(error: TidelogError): void {
    if (this.#lost || this.#closing) return;
    this.#lost = error;
    this.#database.close();
    this.#options.onLost?.(error);
  }

  async get(table: Table, key: Uint8Array): Promise<Uint8Array | undefined> {
    assertKey(key);
    return this.#read(table, (rows) => rows.get(key as Key) as Promise<Uint8Array | undefined>);
  }

  async getMany(table: Table, keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    for (const key of keys) assertKey(key);
    return this.#read(table, (rows) =>
      Promise.all(keys.map((key) => rows.get(key as Key) as Promise<Uint8Array | undefined>)),
    );
  }

  async scan(table: Table, range: ScanRange): Promise<StoreEntry[]> {
    assertRange(range);
    const limit = Math.min(range.limit, COUNT_MAX);
    return this.#read(table, async (rows) => {
      const keys = keyRange(range);
      // To IndexedDB a count of 0 is no limit.
      if (limit === 0 || keys === 'empty') return [];
      if (range.reverse) return scanDown(rows, keys, limit);
      const [found, values] = await Promise.all([rows.getAllKeys(keys, limit), rows.getAll(keys, limit)]);
      return found.map((key, i) => [new Uint8Array(key as ArrayBuffer), values[i] as Uint8Array] as const);
    });
  }

  async write(ops: readonly StoreOp[]): Promise<void> {
    this.#assertOpen();
    assertOps(ops);
    if (ops.length === 0) return;
    const written = new Promise<void>((resolve, reject) => this.#waiting.push({ ops, resolve, reject }));
    this.#writer ??= this.#writeAll();
    await written;
  }

  /** Bytes of keys and values. Browsers say how much they keep for a site, but late, rounded, and not on a page that is no secure context. */
  async size(): Promise<number> {
    this.#assertOpen();
    let bytes = 0;
    for (const table of TABLES) {
      for (let gt = new Uint8Array(0); ;) {
        const entries = await this.scan(table, { gt, limit: COUNTED_ROWS });
        for (const [key, value] of entries) bytes += key.length + value.length;
        if (entries.length < COUNTED_ROWS) break;
        gt = entries.at(-1)![0] as Key;
      }
    }
    return bytes;
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#writer;
      this.#database.close();
    })();
    return this.#closing;
  }

  #assertOpen(): void {
    if (this.#closing) throw new TidelogError('closed');
    if (this.#lost) throw this.#lost;
  }

  async #read<T>(table: Table, read: (rows: Rows) => Promise<T>): Promise<T> {
    this.#assertOpen();
    assertTable(table);
    try {
      return await read(this.#database.transaction(table).store as unknown as Rows);
    } catch (thrown) {
      throw this.#lost ?? storeError(thrown);
    }
  }

  async #writeAll(): Promise<void> {
    // Lets everyone who writes in this same turn into the first group.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#nextGroup();
      const error = await this.#commit(group);
      if (error && group.length > 1) {
        // Perhaps only one of them is too large for the room that is left.
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
  #commit(group: readonly Waiting[]): Promise<TidelogError | null> {
    if (this.#lost) return Promise.resolve(this.#lost);
    const tables = new Set<string>([OWN]);
    for (const { ops } of group) for (const { table } of ops) tables.add(table);
    return new Promise((resolve) => {
      let transaction: IDBTransaction;
      let reason: unknown = null;
      try {
        // Of the platform itself: a promise for each of 50,000 operations would be made for nothing.
        transaction = unwrap(this.#database).transaction([...tables], 'readwrite', { durability: 'strict' });
      } catch (thrown) {
        resolve(this.#lost ?? storeError(thrown));
        return;
      }
      transaction.oncomplete = () => resolve(null);
      transaction.onabort = () => resolve(this.#lost ?? storeError(reason ?? transaction.error));
      try {
        this.#assertWriter(transaction, (error) => {
          reason = error;
        });
        for (const { ops } of group) {
          for (const { table, key, value } of ops) {
            const rows = transaction.objectStore(table);
            if (value) rows.put(own(value), key as Key);
            else rows.delete(key as Key);
          }
        }
      } catch (thrown) {
        reason = thrown;
        transaction.abort();
      }
    });
  }

  /** Asked first, so that it is known before anything that was put can be complete. */
  #assertWriter(transaction: IDBTransaction, refuse: (error: TidelogError) => void): void {
    const asked = transaction.objectStore(OWN).get(WRITER_KEY) as IDBRequest<number>;
    asked.onsuccess = () => {
      if (asked.result === this.#writerNumber) {
        // By itself it would be committed only once this page has heard of every put, and until then no other tab can read or write.
        transaction.commit();
        return;
      }
      const error = new TidelogError(
        'data-in-use',
        `another tab has taken over ${this.#name}; nothing of this is written`,
      );
      refuse(error);
      transaction.abort();
      if (this.#options.onTakenOver) this.#options.onTakenOver();
      else this.lose(error);
    };
  }
}

type Key = Uint8Array<ArrayBuffer>;

interface Rows {
  get(key: Key): Promise<unknown>;
  getAll(keys: IDBKeyRange | null, count: number): Promise<unknown[]>;
  getAllKeys(keys: IDBKeyRange | null, count: number): Promise<unknown[]>;
  openCursor(keys: IDBKeyRange | null, direction: 'prev'): Promise<Cursor | null>;
}

interface Cursor {
  readonly key: unknown;
  readonly value: unknown;
  continue(): Promise<Cursor | null>;
}

async function scanDown(rows: Rows, keys: IDBKeyRange | null, limit: number): Promise<StoreEntry[]> {
  const entries: StoreEntry[] = [];
  for (let at = await rows.openCursor(keys, 'prev'); at; at = await at.continue()) {
    entries.push([new Uint8Array(at.key as ArrayBuffer), at.value as Uint8Array]);
    if (entries.length === limit) break;
  }
  return entries;
}

/** null: all of them. IndexedDB refuses to make a range that nothing can be in. */
function keyRange({ gt, gte, lt, lte }: ScanRange): IDBKeyRange | null | 'empty' {
  const lower = gt ?? gte;
  const upper = lt ?? lte;
  if (lower && upper) {
    const order = compare(lower, upper);
    if (order > 0 || (order === 0 && (gt || lt))) return 'empty';
    return IDBKeyRange.bound(lower, upper, gt !== undefined, lt !== undefined);
  }
  if (lower) return IDBKeyRange.lowerBound(lower, gt !== undefined);
  return upper ? IDBKeyRange.upperBound(upper, lt !== undefined) : null;
}

/** A view is kept with all of the memory that it was cut from. */
function own(value: Uint8Array): Uint8Array {
  return value.byteLength === value.buffer.byteLength ? value : value.slice();
}

function settle({ resolve, reject }: Waiting, error: TidelogError | null): void {
  if (error) reject(error);
  else resolve();
}

function storeError(thrown: unknown): TidelogError {
  if (thrown instanceof TidelogError) return thrown;
  const { name, message } = thrown instanceof Error ? thrown : new Error(String(thrown));
  const code = name === 'QuotaExceededError' ? 'store-full' : name === 'VersionError' ? 'data-newer' : 'store-failed';
  return new TidelogError(code, `${name}: ${message}`, {}, { cause: thrown });
}

/** Stores that tests look into, hold up, and break. */
import type { Store, StoreOp, Table } from '../../client/store.ts';
import { toHex } from '../../protocol/bytes.ts';
import { REGION_BYTES } from '../../server/journal.ts';
import { turn } from './turn.ts';

/** Passes everything on, counts the writes, and does what a test says before each. */
export class WrappedStore implements Store {
  readonly kind = 'wrapped';
  readonly inner: Store;
  writes = 0;
  /** Called before each write; what it throws, the write rejects with, and nothing is written. */
  beforeWrite: (ops: readonly StoreOp[], n: number) => void | Promise<void> = () => {};
  /** Called after each write, before it resolves. */
  afterWrite: (ops: readonly StoreOp[], n: number) => void | Promise<void> = () => {};
  /** Called before each read, with the key where it is of one; what it throws, the read throws. */
  beforeRead: (table: Table, key: Uint8Array | null) => void | Promise<void> = () => {};

  constructor(inner: Store) {
    this.inner = inner;
  }

  get(table: Table, key: Uint8Array): ReturnType<Store['get']> {
    const wait = this.beforeRead(table, key);
    return wait ? wait.then(() => this.inner.get(table, key)) : this.inner.get(table, key);
  }
  getMany(table: Table, keys: readonly Uint8Array[]): ReturnType<Store['getMany']> {
    const wait = this.beforeRead(table, null);
    return wait ? wait.then(() => this.inner.getMany(table, keys)) : this.inner.getMany(table, keys);
  }
  scan(...[table, range]: Parameters<Store['scan']>): ReturnType<Store['scan']> {
    const wait = this.beforeRead(table, null);
    return wait ? wait.then(() => this.inner.scan(table, range)) : this.inner.scan(table, range);
  }
  async write(ops: readonly StoreOp[]): Promise<void> {
    const n = ++this.writes;
    await this.beforeWrite(ops, n);
    await this.inner.write(ops);
    await this.afterWrite(ops, n);
  }
  size(): ReturnType<Store['size']> {
    return this.inner.size();
  }
  /** The store under it stays open, for whoever opens it again. */
  async close(): Promise<void> {}
}

/** Answers late, and never equally late, as IndexedDB does: whoever takes it for granted that a read is answered at once fails over it. */
export function lateStore(inner: Store): Store {
  const store = new WrappedStore(inner);
  const wait = async (turnsMax: number): Promise<void> => {
    for (let turns = Math.floor(Math.random() * turnsMax); turns > 0; turns--) await turn();
  };
  store.beforeRead = () => wait(20);
  store.beforeWrite = () => wait(40);
  store.afterWrite = () => wait(20);
  return store;
}

/** Everything in some tables, as text. */
export async function contents(store: Store, ...tables: readonly Table[]): Promise<string[]> {
  const rows: string[] = [];
  for (const table of tables) {
    for (const [key, value] of await store.scan(table, { gte: new Uint8Array([0]), limit: 1_000_000 }))
      rows.push(`${table} ${toHex(key)} ${toHex(value)}`);
  }
  return rows;
}

/** The same rows in another store. */
export async function copyStore(from: Store, to: Store, tables: readonly Table[]): Promise<void> {
  for (const table of tables) {
    const rows = await from.scan(table, { gte: new Uint8Array([0]), limit: 1_000_000 });
    await to.write(rows.map(([key, value]) => ({ table, key, value })));
  }
}

/** Some small writes until the store keeps a journal. */
export async function beginJournal(store: Store): Promise<void> {
  const before = await store.size();
  for (let tries = 0; (await store.size()) < before + 2 * REGION_BYTES; tries++) {
    if (tries > 1000) throw new Error('there is no journal');
    await store.write([{ table: 'meta', key: new Uint8Array([0]), value: null }]);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

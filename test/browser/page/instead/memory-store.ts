/** In the place of client/memory-store.ts, for tests of client/ that run in a page: the same constructor, and the data in IndexedDB. */
import { openIndexedDbStore } from '../../../../client/platform/indexeddb-store.ts';
import type { ScanRange, Store, StoreEntry, StoreOp, Table } from '../../../../client/store.ts';

let made = 0;

export class MemoryStore implements Store {
  readonly kind = 'memory';
  readonly #opened: Promise<Store> = openIndexedDbStore(`test-${++made}`);

  async get(table: Table, key: Uint8Array): Promise<Uint8Array | undefined> {
    return (await this.#opened).get(table, key);
  }
  async getMany(table: Table, keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return (await this.#opened).getMany(table, keys);
  }
  async scan(table: Table, range: ScanRange): Promise<StoreEntry[]> {
    return (await this.#opened).scan(table, range);
  }
  async write(ops: readonly StoreOp[]): Promise<void> {
    return (await this.#opened).write(ops);
  }
  async size(): Promise<number> {
    return (await this.#opened).size();
  }
  async close(): Promise<void> {
    return (await this.#opened).close();
  }
}

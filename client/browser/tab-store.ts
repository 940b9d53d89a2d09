/** A store that the tabs of a site share: what is read is read at once, and to write, its tab takes the lead. */
import type { IndexedDbStore } from '../platform/indexeddb-store.ts';
import type { ScanRange, Store, StoreEntry, StoreOp, Table } from '../store.ts';
import type { Tabs } from './tabs.ts';

export class TabStore implements Store {
  readonly kind = 'indexeddb';
  readonly shared: Tabs;
  readonly #store: IndexedDbStore;

  constructor(store: IndexedDbStore, tabs: Tabs) {
    this.#store = store;
    this.shared = tabs;
  }

  get(table: Table, key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#store.get(table, key);
  }

  getMany(table: Table, keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return this.#store.getMany(table, keys);
  }

  scan(table: Table, range: ScanRange): Promise<StoreEntry[]> {
    return this.#store.scan(table, range);
  }

  async write(ops: readonly StoreOp[]): Promise<void> {
    const release = this.shared.holdNow() ?? (await this.shared.hold('write'));
    try {
      await this.#store.write(ops);
    } finally {
      release();
    }
    this.shared.wrote();
  }

  size(): Promise<number> {
    return this.#store.size();
  }

  async close(): Promise<void> {
    await this.#store.close();
    this.shared.close();
  }
}

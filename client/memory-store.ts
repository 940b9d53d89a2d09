/**
 * The store of tests and short-lived peers: everything in memory, gone with the process.
 *
 * A table is a map by key, and beside it the keys in order. Keys are held as strings with one character per byte, which
 * JavaScript compares in the order that the contract asks for. Logs and indexes append at the end, so an append keeps the order for
 * nothing; any other new key marks it stale, and the next scan sorts (fast, since nearly everything is sorted already).
 */

import { TidelogError } from '../protocol/errors.ts';
import { assertKey, assertOps, assertRange, assertTable } from './store-check.ts';
import { TABLES, type ScanRange, type Store, type StoreEntry, type StoreOp, type Table } from './store.ts';

export class MemoryStore implements Store {
  readonly kind = 'memory';
  readonly #tables = new Map<Table, MemoryTable>(TABLES.map((table) => [table, new MemoryTable()]));
  #closed = false;

  get(table: Table, key: Uint8Array): Uint8Array | undefined {
    assertKey(key);
    return this.#open(table).get(key);
  }

  getMany(table: Table, keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
    for (const key of keys) assertKey(key);
    const open = this.#open(table);
    return keys.map((key) => open.get(key));
  }

  scan(table: Table, range: ScanRange): StoreEntry[] {
    assertRange(range);
    return this.#open(table).scan(range);
  }

  /** Takes effect before it returns, so calls are ordered as they were made. */
  async write(ops: readonly StoreOp[]): Promise<void> {
    if (this.#closed) throw new TidelogError('closed');
    assertOps(ops);
    for (const { table, key, value } of ops) this.#tables.get(table)!.set(key, value);
  }

  size(): number {
    if (this.#closed) throw new TidelogError('closed');
    let bytes = 0;
    for (const table of this.#tables.values()) bytes += table.bytes;
    return bytes;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#tables.clear();
  }

  #open(table: Table): MemoryTable {
    if (this.#closed) throw new TidelogError('closed');
    assertTable(table);
    return this.#tables.get(table)!;
  }
}

class MemoryTable {
  /** Keys and values. */
  bytes = 0;
  /** null: the key was removed, and still stands in `#order`. */
  readonly #values = new Map<string, Uint8Array | null>();
  /** The keys of `#values`, each once. */
  #order: string[] = [];
  #sorted = true;
  #removed = 0;

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#values.get(toText(key))?.slice();
  }

  set(key: Uint8Array, value: Uint8Array | null): void {
    const text = toText(key);
    const before = this.#values.get(text);
    if (value === null) {
      if (!before) return;
      this.#values.set(text, null);
      this.#removed += 1;
      this.bytes -= key.length + before.length;
      return;
    }
    // Not slice(): of a Buffer that would be the caller's own memory.
    this.#values.set(text, new Uint8Array(value));
    if (before) {
      this.bytes += value.length - before.length;
      return;
    }
    this.bytes += key.length + value.length;
    if (before === null) {
      this.#removed -= 1;
      return;
    }
    if (this.#order.length > 0 && text < this.#order.at(-1)!) this.#sorted = false;
    this.#order.push(text);
  }

  scan({ gt, gte, lt, lte, reverse, limit }: ScanRange): StoreEntry[] {
    this.#tidy();
    const start = gt ? this.#position(toText(gt), true) : gte ? this.#position(toText(gte), false) : 0;
    const end = lt ? this.#position(toText(lt), false) : lte ? this.#position(toText(lte), true) : this.#order.length;
    const entries: StoreEntry[] = [];
    const step = reverse ? -1 : 1;
    for (let i = reverse ? end - 1 : start; i >= start && i < end && entries.length < limit; i += step) {
      const text = this.#order[i]!;
      const value = this.#values.get(text);
      if (value) entries.push([fromText(text), value.slice()]);
    }
    return entries;
  }

  #tidy(): void {
    if (this.#removed > this.#order.length / 2) {
      const kept: string[] = [];
      for (const text of this.#order) {
        if (this.#values.get(text)) kept.push(text);
        else this.#values.delete(text);
      }
      this.#order = kept;
      this.#removed = 0;
    }
    if (this.#sorted) return;
    this.#order.sort((a, b) => (a < b ? -1 : 1));
    this.#sorted = true;
  }

  /** How many keys are below `text`, or, with `past`, not above it. */
  #position(text: string, past: boolean): number {
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const key = this.#order[middle]!;
      if (key < text || (past && key === text)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** One character per byte. A key is short enough for one call. */
function toText(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function fromText(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

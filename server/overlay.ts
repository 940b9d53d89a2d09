/** Writes that are on the disk, in the journal, and not in the tables yet: what a read must see before it looks there. */
import { compare } from '../protocol/bytes.ts';
import type { ScanRange, StoreEntry, StoreOp, Table } from '../client/store.ts';

export class Overlay {
  readonly #tables = new Map<Table, Map<string, StoreOp>>();
  /** Keys, each counted once. */
  size = 0;

  /** Later ones stand for earlier ones of the same key. */
  add(ops: readonly StoreOp[]): void {
    for (const op of ops) {
      let table = this.#tables.get(op.table);
      if (!table) this.#tables.set(op.table, (table = new Map()));
      const before = table.size;
      table.set(nameOf(op.key), op);
      this.size += table.size - before;
    }
  }

  get(table: Table, key: Uint8Array): StoreOp | undefined {
    const ofTable = this.#tables.get(table);
    return ofTable && ofTable.get(nameOf(key));
  }

  has(table: Table): boolean {
    return this.#tables.has(table);
  }

  in(table: Table, range: ScanRange): StoreOp[] {
    const found: StoreOp[] = [];
    for (const op of this.#tables.get(table)?.values() ?? []) if (isIn(op.key, range)) found.push(op);
    return found;
  }

  ops(): StoreOp[] {
    return [...this.#tables.values()].flatMap((table) => [...table.values()]);
  }
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}

function isIn(key: Uint8Array, { gt, gte, lt, lte }: ScanRange): boolean {
  if (gt && compare(key, gt) <= 0) return false;
  if (gte && compare(key, gte) < 0) return false;
  if (lt && compare(key, lt) >= 0) return false;
  return !lte || compare(key, lte) <= 0;
}

/** What a scan gives: `below` from the tables, with `above` in their place. Both belong to the range; `below` isn't cut off before its limit. */
export function overlaid(
  below: readonly StoreEntry[],
  above: readonly StoreOp[],
  { reverse = false, limit }: ScanRange,
): StoreEntry[] {
  const sign = reverse ? -1 : 1;
  const sorted = above.toSorted((a, b) => sign * compare(a.key, b.key));
  const entries: StoreEntry[] = [];
  for (let i = 0, k = 0; entries.length < limit && (i < below.length || k < sorted.length);) {
    const order = i === below.length ? 1 : k === sorted.length ? -1 : sign * compare(below[i]![0], sorted[k]!.key);
    if (order < 0) {
      entries.push(below[i++]!);
      continue;
    }
    if (order === 0) i++;
    const { key, value } = sorted[k++]!;
    if (value !== null) entries.push([key.slice(), value.slice()]);
  }
  return entries;
}

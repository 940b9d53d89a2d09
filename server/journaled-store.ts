/**
 * Small writes by way of a journal. A commit of LMDB is two flushes, one after the other, and writes every page on the way to every key:
 * 20 pages for a commit of 600 bytes. A journal needs one flush of the bytes themselves. So:
 *
 *   write() ─▶ waiting ─▶ small ─▶ journal, flushed ─▶ resolve, seen by reads through the overlay
 *                  │                                        ╲ now and then: all of it in one transaction of the tables
 *                  └────▶ large ─▶ what the overlay holds, then this, straight to the tables ─▶ resolve
 *
 * The tables' own transaction also says up to which record they hold the journal, so an opening after a crash writes again what came after:
 * operations name whole values, and each record is whole or not there.
 *
 * The two overlays: `active` takes writes; `frozen` is on its way to the tables, its region of the journal is kept until they have it. What the
 * tables refuse (a full disk) stays in both overlay and journal, is tried again by the next write, and nothing more is taken until they have it.
 */
import { randomBytes } from 'node:crypto';
import { readU64, utf8, writeU64 } from '../protocol/bytes.ts';
import { TidelogError, asTidelogError } from '../protocol/errors.ts';
import { assertKey, assertOps, assertRange, assertTable } from '../client/store-check.ts';
import type { ScanRange, Store, StoreEntry, StoreOp, Table } from '../client/store.ts';
import {
  encodeRecord,
  Journal,
  readJournal,
  recordBytes,
  REGION_BYTES,
  removeJournal,
  SECRET_BYTES,
} from './journal.ts';
import { overlaid, Overlay } from './overlay.ts';

/** The tables below: each write one flushed transaction. */
export interface Tables {
  readonly kind: string;
  get(table: Table | typeof JOURNAL_TABLE, key: Uint8Array): Uint8Array | undefined;
  getMany(table: Table, keys: readonly Uint8Array[]): (Uint8Array | undefined)[];
  scan(table: Table, range: ScanRange): StoreEntry[];
  write(ops: readonly TablesOp[]): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
  /** What they would refuse with `store-full` for want of room. */
  isTight(bytes: number): boolean;
}
export type TablesOp = Omit<StoreOp, 'table'> & { readonly table: Table | typeof JOURNAL_TABLE };

/** Beside the tables of the store: what is known of the journal. */
export const JOURNAL_TABLE = 'journal';
/** There while there is a journal: the secret of its records. */
const SECRET_KEY = utf8('secret');
/** The last record that the tables hold. */
const APPLIED_KEY = utf8('applied');

/** Larger ones would be written twice for a flush that is a small part of them. */
const SMALL_BYTES_MAX = 128 * 1024;
/**
 * Small writes that go to the tables before a journal is made, on the side: it costs a megabyte of zeros and three flushes, and a program that
 * opens the store for one commit needs none.
 */
const WRITES_BEFORE_JOURNAL = 8;
/** Keys in the overlay above which it goes to the tables: a scan looks at each of its table. */
const OVERLAY_KEYS_MAX = 2000;
/**
 * How long at most a write stays out of the tables, which then take a few ms of the disk for themselves: with 100, every fiftieth write of a
 * lively space waited for that.
 */
const OVERLAY_MS_MAX = 1000;

interface Waiting {
  readonly ops: readonly StoreOp[];
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: TidelogError) => void;
}

/** Takes over `tables`, and writes to them what the journal holds from before a crash. */
export async function openJournaled(tables: Tables, path: string): Promise<Store> {
  const secret = tables.get(JOURNAL_TABLE, SECRET_KEY);
  let seq = appliedOf(tables);
  if (secret) {
    const records = await readJournal(path, secret, seq);
    if (records === null) throw new TidelogError('data-damaged', `${path} is missing: what was written last is in it`);
    for (const record of records) {
      if (record.seq !== ++seq) throw new TidelogError('data-damaged', `${path} lacks its record ${seq}`);
    }
    const ops = records.flatMap((record) => record.ops);
    await tables.write([...ops, appliedOp(seq), { table: JOURNAL_TABLE, key: SECRET_KEY, value: null }]);
  }
  // Also what a crash left between removing the secret and removing the file, or before the secret was there.
  await removeJournal(path);
  return new JournaledStore(tables, path, seq);
}

function appliedOf(tables: Tables): number {
  const bytes = tables.get(JOURNAL_TABLE, APPLIED_KEY);
  return bytes ? readU64(bytes, 0) : 0;
}

function appliedOp(seq: number): TablesOp {
  const value = new Uint8Array(8);
  writeU64(value, 0, seq);
  return { table: JOURNAL_TABLE, key: APPLIED_KEY, value };
}

class JournaledStore implements Store {
  readonly kind: string;
  readonly #tables: Tables;
  readonly #path: string;
  #journal: Journal | null = null;
  /** The journal being made, or made. Never rejects. */
  #beginning: Promise<void> | null = null;
  #smallWrites = 0;
  #secret: Uint8Array = new Uint8Array(0);
  /** Not after it failed once: what the system says of a file that failed is not to be relied on. */
  #isJournalUsable = true;
  /** Of the last record; of one that failed too, which must never count. */
  #seq: number;
  /** Of the last record that the tables hold. */
  #appliedSeq: number;
  #region: 0 | 1 = 0;
  /** Where the next record goes. */
  #offset = 0;
  #active = new Overlay();
  #frozen: { readonly overlay: Overlay; readonly seq: number } | null = null;
  /** The frozen overlay on its way to the tables: null, or why it isn't there. Never rejects. */
  #applying: Promise<TidelogError | null> | null = null;
  #waiting: Waiting[] = [];
  /** The loop that empties `#waiting`; null while there is nothing to do. */
  #writer: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isDue = false;
  #closing: Promise<void> | null = null;

  constructor(tables: Tables, path: string, seq: number) {
    this.kind = tables.kind;
    this.#tables = tables;
    this.#path = path;
    this.#seq = seq;
    this.#appliedSeq = seq;
  }

  // ---- reading

  get(table: Table, key: Uint8Array): Uint8Array | undefined {
    this.#assertOpen();
    assertTable(table);
    assertKey(key);
    const op = this.#overlaid(table, key);
    return op ? op.value?.slice() : this.#tables.get(table, key);
  }

  getMany(table: Table, keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
    this.#assertOpen();
    assertTable(table);
    for (const key of keys) assertKey(key);
    const below = this.#tables.getMany(table, keys);
    if (!this.#active.has(table) && !this.#frozen?.overlay.has(table)) return below;
    return keys.map((key, i) => {
      const op = this.#overlaid(table, key);
      return op ? op.value?.slice() : below[i];
    });
  }

  scan(table: Table, range: ScanRange): StoreEntry[] {
    this.#assertOpen();
    assertTable(table);
    assertRange(range);
    const newer = this.#active.in(table, range);
    const older = this.#frozen?.overlay.in(table, range) ?? [];
    if (newer.length === 0 && older.length === 0) return this.#tables.scan(table, range);
    const both = new Overlay();
    both.add(older);
    both.add(newer);
    const above = both.ops();
    // Each removal hides one at the most, and with so many more the limit is reached all the same.
    const removed = above.filter(({ value }) => value === null).length;
    return overlaid(this.#tables.scan(table, { ...range, limit: range.limit + removed }), above, range);
  }

  #overlaid(table: Table, key: Uint8Array): StoreOp | undefined {
    return this.#active.get(table, key) ?? this.#frozen?.overlay.get(table, key);
  }

  async size(): Promise<number> {
    this.#assertOpen();
    return (await this.#tables.size()) + (this.#journal ? 2 * REGION_BYTES : 0);
  }

  #assertOpen(): void {
    if (this.#closing) throw new TidelogError('closed');
  }

  // ---- writing

  async write(ops: readonly StoreOp[]): Promise<void> {
    this.#assertOpen();
    assertOps(ops);
    const written = new Promise<void>((resolve, reject) =>
      this.#waiting.push({ ops, bytes: recordBytes(ops), resolve, reject }),
    );
    this.#writer ??= this.#writeAll();
    return written;
  }

  async #writeAll(): Promise<void> {
    // Lets everyone who writes in this same turn into the first group.
    await Promise.resolve();
    while (this.#waiting.length > 0 || this.#isDue) {
      if (this.#waiting.length > 0) {
        const group = this.#nextSmall();
        if (group.length === 0 || !(await this.#writeSmall(group))) {
          await this.#writeLarge(group.length > 0 ? group : this.#waiting.splice(0));
        }
      }
      if (this.#isDue || this.#active.size > OVERLAY_KEYS_MAX) this.#freeze();
    }
    this.#writer = null;
  }

  /** Those first in line that make one record; none where the first is large. */
  #nextSmall(): Waiting[] {
    let length = 0;
    for (let bytes = 0; length < this.#waiting.length; length++) {
      bytes += this.#waiting[length]!.bytes;
      if (bytes > SMALL_BYTES_MAX) break;
    }
    return this.#waiting.splice(0, length);
  }

  /** false where it is for the tables. */
  async #writeSmall(group: readonly Waiting[]): Promise<boolean> {
    const isRefused = this.#frozen !== null && this.#applying === null;
    if (!this.#isJournalUsable || isRefused || this.#tables.isTight(4 * REGION_BYTES)) return false;
    if (this.#journal === null) {
      if (++this.#smallWrites > WRITES_BEFORE_JOURNAL) this.#beginning ??= this.#begin();
      return false;
    }
    const { record, ops } = encodeRecord(
      this.#secret,
      this.#seq + 1,
      group.map((one) => one.ops),
    );
    if (this.#offset + record.length > REGION_BYTES) {
      if ((await this.#applied()) !== null) return false;
      this.#freeze();
    }
    this.#seq++;
    try {
      await this.#journal!.write(this.#region, this.#offset, record, this.#applying !== null);
    } catch {
      // The disk may have it: its seq is behind what the tables hold before anything else is taken.
      this.#isJournalUsable = false;
      return false;
    }
    this.#offset += record.length;
    this.#active.add(ops);
    this.#wait();
    for (const one of group) one.resolve();
    return true;
  }

  async #writeLarge(group: readonly Waiting[]): Promise<void> {
    const error = await this.#applyAll();
    for (const { reject } of error ? group : []) reject(error!);
    if (error) return;
    await Promise.all(group.map(({ ops, resolve, reject }) => this.#tables.write(ops).then(resolve, reject)));
  }

  async #begin(): Promise<void> {
    let journal: Journal | null = null;
    try {
      journal = await Journal.open(this.#path);
      // The file first: where the tables name a secret, it must be there.
      const secret = new Uint8Array(randomBytes(SECRET_BYTES));
      await this.#tables.write([{ table: JOURNAL_TABLE, key: SECRET_KEY, value: secret }]);
      this.#secret = secret;
      this.#journal = journal;
    } catch {
      this.#isJournalUsable = false;
      await journal?.close();
    }
  }

  // ---- to the tables

  #wait(): void {
    this.#timer ??= setTimeout(() => this.#onTimer(), OVERLAY_MS_MAX).unref();
  }

  #onTimer(): void {
    this.#timer = null;
    if (this.#active.size === 0 || this.#closing) return;
    // Between the writes of the loop, not during one: a record belongs to the region that it went to.
    this.#isDue = true;
    this.#writer ??= this.#writeAll();
  }

  /** What `active` holds is on its way to the tables from now on. Where the last is still on its way, not yet. */
  #freeze(): void {
    this.#isDue = false;
    if (this.#frozen || this.#seq === this.#appliedSeq) return;
    clearTimeout(this.#timer ?? undefined);
    this.#timer = null;
    this.#frozen = { overlay: this.#active, seq: this.#seq };
    this.#active = new Overlay();
    this.#region = this.#region === 0 ? 1 : 0;
    this.#offset = 0;
    this.#apply();
  }

  #apply(): void {
    const { overlay, seq } = this.#frozen!;
    this.#applying = this.#tables.write([...overlay.ops(), appliedOp(seq)]).then(
      () => {
        this.#frozen = null;
        this.#applying = null;
        this.#appliedSeq = seq;
        if (this.#active.size > 0) this.#wait();
        return null;
      },
      (thrown: unknown) => {
        this.#applying = null;
        return asTidelogError(thrown);
      },
    );
  }

  /** Once nothing is frozen; or why it still is. */
  async #applied(): Promise<TidelogError | null> {
    if (this.#applying) await this.#applying;
    if (!this.#frozen) return null;
    this.#apply();
    return this.#applying;
  }

  /** Once the tables hold everything; or why they don't. */
  async #applyAll(): Promise<TidelogError | null> {
    const error = await this.#applied();
    if (error) return error;
    this.#freeze();
    return this.#applied();
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#writer;
      await this.#beginning;
      clearTimeout(this.#timer ?? undefined);
      const error = await this.#applyAll();
      if (this.#journal) {
        await this.#journal.close();
        // What the tables didn't take is in the journal, for the next opening.
        const isApplied =
          error === null &&
          (await this.#tables.write([{ table: JOURNAL_TABLE, key: SECRET_KEY, value: null }]).then(
            () => true,
            () => false,
          ));
        if (isApplied) await removeJournal(this.#path);
      }
      await this.#tables.close();
    })();
    return this.#closing;
  }
}

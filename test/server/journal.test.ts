import { cpSync, mkdtempSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { TABLES, type ScanRange, type Store, type StoreEntry, type StoreOp } from '../../client/store.ts';
import { compare, readU32, toHex, utf8 } from '../../protocol/bytes.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { encodeRecord, Journal, readJournal, REGION_BYTES } from '../../server/journal.ts';
import { openJournaled, type Tables, type TablesOp } from '../../server/journaled-store.ts';
import { openLmdbStore } from '../../server/lmdb-store.ts';
import { beginJournal } from '../support/stores.ts';

const SECRET = new Uint8Array(16).fill(7);
const put = (key: string, value: Uint8Array | null = utf8(key)): StoreOp => ({ table: 'state', key: utf8(key), value });

describe('the journal', () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidelog-journal-'));
    path = join(folder, 'journal');
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** Record `i` puts one key, `i`. Gives where each ends. */
  async function writeRecords(journal: Journal, seqs: readonly number[], region: 0 | 1 = 0): Promise<number[]> {
    let offset = 0;
    const ends: number[] = [];
    for (const seq of seqs) {
      const { record } = encodeRecord(SECRET, seq, [[put(`${seq}`)]]);
      await journal.write(region, offset, record, false);
      ends.push((offset += record.length));
    }
    return ends;
  }
  const seqsOf = async (applied = 0): Promise<number[]> =>
    (await readJournal(path, SECRET, applied))!.map(({ seq }) => seq);

  test('gives back every operation on every table, in the order of the records', async () => {
    const groups: StoreOp[][] = [
      TABLES.map((table) => ({ table, key: utf8(table), value: utf8(`of ${table}`) })),
      [put('removed', null), put('empty', new Uint8Array(0)), put('k'.repeat(1500), new Uint8Array(30_000).fill(255))],
    ];
    const journal = await Journal.open(path);
    const { record, ops } = encodeRecord(SECRET, 8, groups);
    // The region that stands first in the file holds the later one.
    await journal.write(0, 0, encodeRecord(SECRET, 9, [[put('last')]]).record, false);
    await journal.write(1, 0, record, false);
    await journal.close();
    expect(ops).toEqual(groups.flat());
    const found = await readJournal(path, SECRET, 0);
    expect(found).toEqual([
      { seq: 8, ops: groups.flat() },
      { seq: 9, ops: [put('last')] },
    ]);
    expect((await stat(path)).mode & 0o077).toBe(0);
  });

  test('a record that was torn anywhere is not there, and those before it are', async () => {
    const journal = await Journal.open(path);
    const ends = await writeRecords(journal, [1, 2, 3]);
    await journal.close();
    const whole = await readFile(path);
    for (let cut = ends[1]!; cut < ends[2]!; cut++) {
      // The disk keeps what stood there before: zeros here.
      await writeFile(path, Buffer.concat([whole.subarray(0, cut), Buffer.alloc(whole.length - cut)]));
      // Of the last byte nothing is missing where it was a zero.
      if (whole.subarray(cut, ends[2]).some((byte) => byte !== 0))
        expect(await seqsOf(), `cut at ${cut}`).toEqual([1, 2]);
    }
    for (let at = ends[1]!; at < ends[2]!; at++) {
      const damaged = Buffer.from(whole);
      damaged[at]! ^= 1 << (at % 8);
      await writeFile(path, damaged);
      expect(await seqsOf(), `flipped at ${at}`).toEqual([1, 2]);
    }
  });

  test('what stands behind the last record is not taken: older ones, those of another secret, and bytes that somebody put into a value', async () => {
    const journal = await Journal.open(path);
    await writeRecords(journal, [1, 2, 3, 4]);
    await writeRecords(journal, [5, 6]);
    expect(await seqsOf(4)).toEqual([5, 6]);
    const forged = encodeRecord(new Uint8Array(16).fill(8), 7, [[put('forged')]]).record;
    const ends = await writeRecords(journal, [5, 6]);
    await journal.write(0, ends[1]!, forged, false);
    expect(await seqsOf(4)).toEqual([5, 6]);
    await journal.close();
  });

  test('any bytes in its place give records or none', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.nat(2 * REGION_BYTES - 200), async (bytes, at) => {
        const content = new Uint8Array(2 * REGION_BYTES);
        content.set(bytes, at);
        await writeFile(path, content);
        expect(await seqsOf()).toEqual([]);
      }),
      { numRuns: 50 },
    );
  });

  test('a record that is damaged, with a later one behind it, is data-damaged: no power cut does that', async () => {
    const journal = await Journal.open(path);
    const ends = await writeRecords(journal, [5, 6, 7]);
    await journal.close();
    const whole = await readFile(path);
    for (let at = 0; at < ends[1]!; at++) {
      const damaged = Buffer.from(whole);
      damaged[at]! ^= 1 << (at % 8);
      await writeFile(path, damaged);
      await expect(readJournal(path, SECRET, 4), `flipped at ${at}`).rejects.toMatchObject({ code: 'data-damaged' });
    }
    // Those that the tables have may be in any state.
    whole.fill(255, 0, ends[1]);
    await writeFile(path, whole);
    expect(await seqsOf(7)).toEqual([]);
  });

  test('of another size than it was made with is data-damaged', async () => {
    const journal = await Journal.open(path);
    await writeRecords(journal, [1]);
    await journal.close();
    const whole = await readFile(path);
    for (const length of [0, 10, REGION_BYTES, 2 * REGION_BYTES - 1]) {
      await writeFile(path, whole.subarray(0, length));
      await expect(seqsOf(), `${length} bytes`).rejects.toMatchObject({ code: 'data-damaged' });
    }
  });

  describe('of a store', () => {
    async function contentOf(store: Store): Promise<string[]> {
      const entries = await Promise.all(
        TABLES.map(async (table) => [table, await store.scan(table, { limit: 1e6 })] as const),
      );
      return entries.flatMap(([table, rows]) => rows.map(([key, value]) => `${table} ${toHex(key)}=${toHex(value)}`));
    }

    /** What a power cut at this moment would leave, at the latest: all that was acknowledged. */
    function crashed(store: string): string {
      const copy = mkdtempSync(join(folder, 'crashed-'));
      cpSync(store, copy, { recursive: true });
      return copy;
    }

    test('at any moment, what was acknowledged is found again, and nothing of it twice or in another order (random)', async () => {
      const random = fc.record({
        key: fc.nat(60),
        bytes: fc.oneof({ weight: 20, arbitrary: fc.nat(2000) }, { weight: 1, arbitrary: fc.constant(190_000) }),
        isRemoval: fc.boolean(),
        crash: fc.nat(40).map((n) => n === 0),
        pauseMs: fc.oneof({ weight: 30, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constant(120) }),
      });
      let rounds = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(random, { minLength: 300, maxLength: 1500 }), async (steps) => {
          const path = join(folder, `store-${++rounds}`);
          let store = await openLmdbStore(path);
          const model = new Map<string, Uint8Array>();
          const expected = (): string[] =>
            TABLES.flatMap((table) =>
              [...model]
                .filter(([name]) => name.startsWith(`${table} `))
                .map(([name, value]) => [utf8(name.slice(table.length + 1)), value] as const)
                .toSorted(([a], [b]) => compare(a, b))
                .map(([key, value]) => `${table} ${toHex(key)}=${toHex(value)}`),
            );
          let n = 0;
          for (const { key, bytes, isRemoval, crash, pauseMs } of steps) {
            n++;
            const table = TABLES[key % 3]!;
            const value = isRemoval ? null : new Uint8Array(bytes).fill(n);
            const ops: StoreOp[] = [
              { table, key: utf8(`k${key + 10}`), value },
              { table: 'spaces', key: utf8('head'), value: utf8(`${n}`) },
            ];
            await store.write(ops);
            for (const op of ops) {
              const name = `${op.table} ${new TextDecoder().decode(op.key)}`;
              if (op.value === null) model.delete(name);
              else model.set(name, op.value);
            }
            // What is in the tables by now and what isn't yet are one; 'k' + two digits sort as the numbers do.
            const range = { gte: utf8('k10'), lt: utf8(`k${10 + (n % 50)}`), reverse: n % 2 === 0, limit: n % 7 };
            const names = [...model.keys()]
              .filter(
                (name) =>
                  name.startsWith(`${table} k`) && name >= `${table} k10` && name < `${table} k${10 + (n % 50)}`,
              )
              .toSorted();
            if (range.reverse) names.reverse();
            expect(
              (await store.scan(table, range)).map(([key]) => `${table} ${new TextDecoder().decode(key)}`),
            ).toEqual(names.slice(0, range.limit));
            if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
            if (!crash) continue;
            expect(await contentOf(store)).toEqual(expected());
            const copy = crashed(path);
            const found = await openLmdbStore(copy);
            expect(await contentOf(found), `after ${n} writes`).toEqual(expected());
            await found.close();
            await rm(copy, { recursive: true });
          }
          await store.close();
          store = await openLmdbStore(path);
          expect(await contentOf(store)).toEqual(expected());
          await store.close();
        }),
        // Shrinking would take minutes; the seed is printed.
        { numRuns: 4, endOnFailure: true },
      );
    }, 120_000);

    /** Tables in memory, whose writes wait or fail when told to; `saved` is what a power cut would leave of them. */
    class SlowTables implements Tables {
      readonly kind = 'memory';
      readonly #rows = new Map<string, Map<string, StoreEntry>>();
      gate: Promise<void> = Promise.resolve();
      refuses = false;

      #table(name: string): Map<string, StoreEntry> {
        if (!this.#rows.has(name)) this.#rows.set(name, new Map());
        return this.#rows.get(name)!;
      }
      get(table: TablesOp['table'], key: Uint8Array): Uint8Array | undefined {
        return this.#table(table).get(toHex(key))?.[1].slice();
      }
      getMany(table: TablesOp['table'], keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
        return keys.map((key) => this.get(table, key));
      }
      scan(table: TablesOp['table'], { limit }: ScanRange): StoreEntry[] {
        return [...this.#table(table).values()].toSorted(([a], [b]) => compare(a, b)).slice(0, limit);
      }
      async write(ops: readonly TablesOp[]): Promise<void> {
        await this.gate;
        if (this.refuses) throw new TidelogError('store-full');
        for (const { table, key, value } of ops) {
          if (value) this.#table(table).set(toHex(key), [key.slice(), value.slice()]);
          else this.#table(table).delete(toHex(key));
        }
      }
      saved(): SlowTables {
        const copy = new SlowTables();
        for (const [name, rows] of this.#rows) copy.#rows.set(name, new Map(rows));
        return copy;
      }
      async size(): Promise<number> {
        return 0;
      }
      isTight(): boolean {
        return false;
      }
      async close(): Promise<void> {}
    }

    /** What an opening after a power cut at this moment finds. */
    async function foundAfterCrash(tables: SlowTables): Promise<string[]> {
      const copy = join(mkdtempSync(join(folder, 'crashed-')), 'journal');
      cpSync(path, copy);
      const store = await openJournaled(tables.saved(), copy);
      const keys = (await store.scan('state', { limit: 1e6 })).map(([key]) => new TextDecoder().decode(key));
      await store.close();
      return keys;
    }

    test('a removal that is in it alone hides what the tables hold, however it is read', async () => {
      const tables = new SlowTables();
      await tables.write([put('a'), put('b'), put('c')]);
      const store = await openJournaled(tables, path);
      await beginJournal(store);
      await store.write([put('b', null)]);
      expect(tables.get('state', utf8('b'))).toEqual(utf8('b'));
      expect(await store.get('state', utf8('b'))).toBeUndefined();
      expect(await store.getMany('state', [utf8('a'), utf8('b')])).toEqual([utf8('a'), undefined]);
      expect((await store.scan('state', { gte: utf8('a'), lt: utf8('d'), limit: 2 })).map(([key]) => key)).toEqual([
        utf8('a'),
        utf8('c'),
      ]);
      await store.close();
    });

    test('while one region is on its way to the tables, both are found, and a third waits for it', async () => {
      const tables = new SlowTables();
      const store = await openJournaled(tables, path);
      await beginJournal(store);
      const keys: string[] = [];
      let made = 100;
      const write = (): Promise<void> => {
        const key = `k${made++}`;
        return store.write([put(key, new Uint8Array(50_000))]).then(() => void keys.push(key));
      };
      const { promise, resolve } = Promise.withResolvers<void>();
      tables.gate = promise;
      // Ten fill a region.
      for (let i = 0; i < 15; i++) {
        await write();
        expect(await foundAfterCrash(tables)).toEqual(keys);
        expect((await store.scan('state', { limit: 100 })).map(([key]) => new TextDecoder().decode(key))).toEqual(keys);
        const named = keys.map((key) => utf8(key));
        for (const key of named) expect(await store.get('state', key)).toHaveLength(50_000);
        expect((await store.getMany('state', named)).map((value) => value?.length)).toEqual(keys.map(() => 50_000));
      }
      expect(tables.scan('state', { limit: 100 })).toEqual([]);
      const rest = Array.from({ length: 10 }, write);
      await new Promise((resume) => setTimeout(resume, 50));
      expect(keys.length).toBeLessThan(22);
      expect(await foundAfterCrash(tables)).toEqual(keys);
      resolve();
      await Promise.all(rest);
      expect(await foundAfterCrash(tables)).toEqual(keys);
      await store.close();
    });

    test('what the tables refuse stays, nothing more is taken until they take it, and a crash loses none of it', async () => {
      const tables = new SlowTables();
      const store = await openJournaled(tables, path);
      await beginJournal(store);
      await store.write([put('a')]);
      tables.refuses = true;
      // Large: everything before it goes to the tables first.
      await expect(store.write([put('b', new Uint8Array(200_000))])).rejects.toMatchObject({ code: 'store-full' });
      await expect(store.write([put('c')])).rejects.toMatchObject({ code: 'store-full' });
      expect(await store.get('state', utf8('a'))).toEqual(utf8('a'));
      expect(await foundAfterCrash(tables)).toEqual(['a']);
      tables.refuses = false;
      await store.write([put('d')]);
      await store.write([put('a', null)]);
      expect(await foundAfterCrash(tables)).toEqual(['d']);
      tables.refuses = true;
      await store.close();
      expect(await foundAfterCrash(tables), 'a close that the tables refuse leaves the journal').toEqual(['d']);
    });

    test('is gone after a close, and its absence after a crash is said', async () => {
      const own = join(folder, 'store');
      const store = await openLmdbStore(own);
      await beginJournal(store);
      await store.write([put('a')]);
      expect((await stat(join(own, 'journal'))).size).toBe(2 * REGION_BYTES);
      const copy = crashed(own);
      await store.close();
      await expect(stat(join(own, 'journal'))).rejects.toMatchObject({ code: 'ENOENT' });
      await rm(join(copy, 'journal'));
      await expect(openLmdbStore(copy)).rejects.toMatchObject({ code: 'data-damaged' });
    });

    test('that lacks a record in the middle is data-damaged', async () => {
      const own = join(folder, 'store');
      const store = await openLmdbStore(own);
      await beginJournal(store);
      await store.write([put('a')]);
      await store.write([put('b', new Uint8Array(1000))]);
      const copy = crashed(own);
      await store.close();
      const bytes = await readFile(join(copy, 'journal'));
      // The last stands in the other region, as if one had been before it and were not any more.
      let second = 0;
      while (readU32(bytes, second + readU32(bytes, second + 16) + 16) > 0) second += readU32(bytes, second + 16);
      const moved = Buffer.alloc(bytes.length);
      bytes.copy(moved, REGION_BYTES, second, second + 2000);
      await writeFile(join(copy, 'journal'), moved);
      await expect(openLmdbStore(copy)).rejects.toMatchObject({ code: 'data-damaged' });
    });
  });
});

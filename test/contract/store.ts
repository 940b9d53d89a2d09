/**
 * The store's contract (client/store.ts), sentence by sentence, for every store to run:
 *
 *   storeContract('memory', async () => ({ store: new MemoryStore(), dispose: async () => {} }));
 */

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { TABLES, type ScanRange, type Store, type StoreEntry, type StoreOp, type Table } from '../../client/store.ts';
import { compare, equal, fromUtf8, utf8 } from '../../protocol/bytes.ts';

export interface OpenStore {
  readonly store: Store;
  /** Closes the store and opens what it left behind; missing where a store leaves nothing. */
  readonly reopen?: () => Promise<Store>;
  /** Closes and removes everything. */
  readonly dispose: () => Promise<void>;
}

const put = (key: string | Uint8Array, value: string | Uint8Array, table: Table = 'state'): StoreOp => ({
  table,
  key: bytes(key),
  value: bytes(value),
});
const remove = (key: string | Uint8Array, table: Table = 'state'): StoreOp => ({ table, key: bytes(key), value: null });
const bytes = (value: string | Uint8Array): Uint8Array => (typeof value === 'string' ? utf8(value) : value);
const text = (value: Uint8Array | undefined): string | undefined => value && fromUtf8(value);
/** Where there are Buffers, a store must not be misled by their `slice`, which doesn't copy. */
const sharing = (value: string): Uint8Array => {
  const { Buffer } = globalThis as { Buffer?: { from(value: string): Uint8Array } };
  return Buffer?.from(value) ?? utf8(value);
};
const texts = (entries: StoreEntry[]): string[] => entries.map(([key, value]) => `${fromUtf8(key)}=${fromUtf8(value)}`);

export function storeContract(name: string, open: () => Promise<OpenStore>): void {
  describe(`the store contract: ${name}`, () => {
    let opened: OpenStore;
    let store: Store;
    beforeEach(async () => {
      opened = await open();
      store = opened.store;
    });
    afterEach(() => opened.dispose());

    describe('keys and values', () => {
      test('a value comes back as it was written; what was never written is undefined', async () => {
        await store.write([put('a', '1')]);
        expect(text(await store.get('state', utf8('a')))).toBe('1');
        expect(await store.get('state', utf8('b'))).toBeUndefined();
      });

      test('the tables are apart from each other', async () => {
        await store.write(TABLES.map((table) => put('key', table, table)));
        for (const table of TABLES) {
          expect(text(await store.get(table, utf8('key')))).toBe(table);
          expect(texts(await store.scan(table, { limit: 10 }))).toEqual([`key=${table}`]);
        }
      });

      test('a write replaces; null removes, also what is not there', async () => {
        await store.write([put('a', '1'), put('b', '2')]);
        await store.write([put('a', '3'), remove('b'), remove('c')]);
        expect(texts(await store.scan('state', { limit: 10 }))).toEqual(['a=3']);
        await store.write([put('b', '4')]);
        expect(texts(await store.scan('state', { limit: 10 }))).toEqual(['a=3', 'b=4']);
      });

      test('operations of one write take effect in their order', async () => {
        await store.write([put('a', '1'), remove('a'), put('a', '2'), put('b', '1'), remove('b')]);
        expect(texts(await store.scan('state', { limit: 10 }))).toEqual(['a=2']);
      });

      test('keys of 1 and of 1,500 bytes, of any bytes', async () => {
        const keys = [Uint8Array.of(0), Uint8Array.of(255), new Uint8Array(1500), new Uint8Array(1500).fill(255)];
        await store.write(keys.map((key, i) => put(key, `${i}`)));
        for (const [i, key] of keys.entries()) expect(text(await store.get('state', key))).toBe(`${i}`);
        const found = await store.scan('state', { gte: keys[0]!, lte: keys[3]!, limit: 10 });
        expect(found.map(([key]) => key)).toEqual([...keys].sort(compare));
        expect(await store.scan('state', { gt: keys[3]!, limit: 10 })).toEqual([]);
      });

      test('values of no bytes and of 4 MiB', async () => {
        const large = new Uint8Array(4 * 1024 * 1024).map((_, i) => (i * 31) >>> 3);
        await store.write([put('empty', new Uint8Array()), put('large', large)]);
        expect(await store.get('state', utf8('empty'))).toEqual(new Uint8Array());
        expect(equal((await store.get('state', utf8('large')))!, large)).toBe(true);
        const scanned = await store.scan('state', { limit: 10 });
        expect(scanned.map(([, value]) => value.length)).toEqual([0, large.length]);
        expect(equal(scanned[1]![1], large)).toBe(true);
      });

      test('getMany answers in the order of the keys, with a place for each', async () => {
        await store.write([put('a', '1'), put('b', '2'), put('c', '3')]);
        const found = await store.getMany('state', ['c', 'nothing', 'a', 'c'].map(utf8));
        expect(found.map(text)).toEqual(['3', undefined, '1', '3']);
        expect(await store.getMany('state', [])).toEqual([]);
      });
    });

    describe('whose bytes they are', () => {
      test('changing what was given to write, once it has resolved, changes nothing', async () => {
        const op = put(sharing('a'), sharing('1'));
        await store.write([op]);
        op.key.fill(120);
        op.value!.fill(120);
        expect(texts(await store.scan('state', { limit: 10 }))).toEqual(['a=1']);
      });

      test('changing what a read returned changes nothing', async () => {
        await store.write([put('a', '1'), put('b', '2')]);
        (await store.get('state', utf8('a')))!.fill(120);
        (await store.getMany('state', [utf8('a')]))[0]!.fill(120);
        for (const [key, value] of await store.scan('state', { limit: 10 })) {
          key.fill(120);
          value.fill(120);
        }
        expect(texts(await store.scan('state', { limit: 10 }))).toEqual(['a=1', 'b=2']);
        expect(text(await store.get('state', utf8('a')))).toBe('1');
      });

      test('what a read returned stays as it is through later reads and writes', async () => {
        const large = new Uint8Array(100_000).fill(1);
        await store.write([put('a', '1'), put('b', large)]);
        const before = [
          await store.get('state', utf8('a')),
          await store.get('state', utf8('b')),
          ...(await store.scan('state', { limit: 2 })).flat(),
        ];
        await store.write([put('a', '2'), put('b', new Uint8Array(100_000).fill(2))]);
        for (let i = 0; i < 20; i++) await store.write([put(`c${i}`, new Uint8Array(100_000).fill(3))]);
        await store.scan('state', { limit: 100 });
        expect(before).toEqual([utf8('1'), large, utf8('a'), utf8('1'), utf8('b'), large]);
      });

      test('they are plain arrays: slice copies', async () => {
        await store.write([put('a', '123')]);
        const [[key, value]] = (await store.scan('state', { limit: 1 })) as [StoreEntry];
        for (const found of [key, value, (await store.get('state', utf8('a')))!])
          expect(found.constructor).toBe(Uint8Array);
      });
    });

    describe('scans', () => {
      const rows = ['a', 'aa', 'b', 'c', 'd'];
      const scan = async (range: Omit<ScanRange, 'limit'>, limit = 10): Promise<string> =>
        (await store.scan('state', { ...range, limit })).map(([key]) => fromUtf8(key)).join(' ');
      beforeEach(() => store.write(rows.toReversed().map((key) => put(key, key))));

      test('each kind of bound, upwards and downwards', async () => {
        expect(await scan({})).toBe('a aa b c d');
        expect(await scan({ gte: utf8('a') })).toBe('a aa b c d');
        expect(await scan({ gt: utf8('a') })).toBe('aa b c d');
        expect(await scan({ lte: utf8('c') })).toBe('a aa b c');
        expect(await scan({ lt: utf8('c') })).toBe('a aa b');
        expect(await scan({ gt: utf8('a'), lt: utf8('c') })).toBe('aa b');
        expect(await scan({ reverse: true })).toBe('d c b aa a');
        expect(await scan({ reverse: true, gte: utf8('aa'), lte: utf8('c') })).toBe('c b aa');
        expect(await scan({ reverse: true, gt: utf8('aa'), lt: utf8('c') })).toBe('b');
      });

      test('bounds between keys, crossed, equal, empty', async () => {
        expect(await scan({ gt: utf8('ab'), lte: utf8('cc') })).toBe('b c');
        expect(await scan({ gte: utf8('c'), lt: utf8('b') })).toBe('');
        expect(await scan({ gte: utf8('b'), lte: utf8('b') })).toBe('b');
        expect(await scan({ gt: utf8('b'), lte: utf8('b') })).toBe('');
        expect(await scan({ gte: utf8('b'), lt: utf8('b'), reverse: true })).toBe('');
        expect(await scan({ gt: new Uint8Array() })).toBe('a aa b c d');
        expect(await scan({ lt: new Uint8Array() })).toBe('');
        expect(await scan({ lte: new Uint8Array(), reverse: true })).toBe('');
      });

      test('at most the limit, from the end that it starts at', async () => {
        expect(await scan({}, 2)).toBe('a aa');
        expect(await scan({ reverse: true }, 2)).toBe('d c');
        expect(await scan({ gt: utf8('d') }, 2)).toBe('');
        expect(await scan({}, 0)).toBe('');
      });

      test('an empty table', async () => {
        expect(await store.scan('facts', { limit: 5 })).toEqual([]);
        expect(await store.scan('facts', { limit: 5, reverse: true, lt: utf8('a') })).toEqual([]);
      });
    });

    test('random writes and scans, against a sorted list', async () => {
      // Few different bytes, zero and 255 among them, so that keys meet, begin one another and are removed again.
      const key = fc
        .uint8Array({ minLength: 1, maxLength: 5 })
        .map((raw) => raw.map((byte) => [0, 1, 127, 128, 255][byte % 5]!));
      const op = fc.record({ key, value: fc.option(fc.uint8Array({ maxLength: 8 }), { freq: 2 }) });
      const bound = fc.option(fc.tuple(fc.boolean(), fc.oneof(key, fc.constant(new Uint8Array()))), { nil: undefined });
      const range = fc.record({ low: bound, high: bound, reverse: fc.boolean(), limit: fc.nat(12) });
      const step = fc.oneof(fc.array(op, { maxLength: 12 }), range);
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
          let model: StoreEntry[] = [];
          for (const each of steps) {
            if (Array.isArray(each)) {
              await store.write(each.map(({ key, value }) => ({ table: 'state', key, value })));
              for (const { key, value } of each) {
                model = model.filter(([other]) => !equal(other, key));
                if (value) model.push([key, value]);
              }
              model.sort(([a], [b]) => compare(a, b));
              continue;
            }
            const { low, high, reverse, limit } = each;
            const expected = model.filter(
              ([key]) =>
                (!low || compare(key, low[1]) > (low[0] ? 0 : -1)) &&
                (!high || compare(key, high[1]) < (high[0] ? 0 : 1)),
            );
            if (reverse) expected.reverse();
            const found = await store.scan('state', {
              ...(low && { [low[0] ? 'gt' : 'gte']: low[1] }),
              ...(high && { [high[0] ? 'lt' : 'lte']: high[1] }),
              reverse,
              limit,
            });
            expect(found).toEqual(expected.slice(0, limit));
          }
          expect(await store.scan('state', { limit: 1e6 })).toEqual(model);
          await store.write(model.map(([key]) => remove(key)));
        }),
        { numRuns: 200 },
      );
    });

    describe('writes', () => {
      test.each([
        ['an empty key', { table: 'state', key: new Uint8Array(), value: utf8('x') }],
        ['a key of 1,501 bytes', { table: 'state', key: new Uint8Array(1501), value: utf8('x') }],
        ['a key that is no bytes', { table: 'state', key: 'text', value: utf8('x') }],
        ['a value that is no bytes', { table: 'state', key: utf8('x'), value: 'text' }],
        ['a table that does not exist', { table: 'nowhere', key: utf8('x'), value: utf8('x') }],
      ])('are all or nothing: %s in the middle', async (_, wrong) => {
        await store.write([put('before', '1')]);
        const many = Array.from({ length: 3000 }, (_, i) => put(`many${i}`, 'x'));
        const ops = [put('before', '2'), ...many, wrong as unknown as StoreOp, put('after', '3')];
        await expect(store.write(ops)).rejects.toMatchObject({ name: 'TidelogError', code: 'internal' });
        expect(texts(await store.scan('state', { limit: 10 }))).toEqual(['before=1']);
        await store.write([put('after', '4')]);
        expect(texts(await store.scan('state', { limit: 10 }))).toEqual(['after=4', 'before=1']);
      });

      test('take effect in the order of the calls, awaited or not', async () => {
        const writes: Promise<void>[] = [];
        for (let i = 0; i < 300; i++) {
          writes.push(
            store.write([put('last', `${i}`), put(`each${i}`, `${i}`), ...(i > 0 ? [remove(`each${i - 1}`)] : [])]),
          );
          if (i % 70 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
        }
        await Promise.all(writes);
        expect(texts(await store.scan('state', { limit: 10 }))).toEqual(['each299=299', 'last=299']);
      });

      test('are seen by a read right after they resolve', async () => {
        for (let i = 0; i < 100; i++) {
          await store.get('state', utf8('a'));
          await store.write([put('a', `${i}`)]);
          expect(text(await store.get('state', utf8('a')))).toBe(`${i}`);
          expect(texts(await store.scan('state', { limit: 2 }))).toEqual([`a=${i}`]);
        }
      });

      test('of nothing resolve', async () => {
        await store.write([]);
        expect(await store.scan('state', { limit: 2 })).toEqual([]);
      });

      test('of 20,000 operations over several tables', async () => {
        const key = (i: number) => `k${String(i).padStart(6, '0')}`;
        await store.write(Array.from({ length: 20_000 }, (_, i) => put(key(i), `${i}`, i % 2 ? 'state' : 'facts')));
        expect(await store.scan('state', { limit: 30_000 })).toHaveLength(10_000);
        expect(texts(await store.scan('facts', { limit: 2, reverse: true }))).toEqual([
          `${key(19_998)}=19998`,
          `${key(19_996)}=19996`,
        ]);
      });
    });

    test('size grows with what is written', async () => {
      const before = await store.size();
      await store.write([put('a', new Uint8Array(1_000_000))]);
      expect((await store.size()) - before).toBeGreaterThanOrEqual(900_000);
    });

    describe('close', () => {
      test('everything afterwards rejects or throws with closed; closing again is nothing', async () => {
        await store.write([put('a', '1')]);
        await store.close();
        const closed = { name: 'TidelogError', code: 'closed' };
        await expect((async () => store.get('state', utf8('a')))()).rejects.toMatchObject(closed);
        await expect((async () => store.getMany('state', [utf8('a')]))()).rejects.toMatchObject(closed);
        await expect((async () => store.scan('state', { limit: 1 }))()).rejects.toMatchObject(closed);
        await expect((async () => store.size())()).rejects.toMatchObject(closed);
        await expect(store.write([put('a', '2')])).rejects.toMatchObject(closed);
        await store.close();
      });

      test('waits for writes under way, and they are not lost', async () => {
        const { reopen } = opened;
        let resolved = 0;
        const writes = Array.from({ length: 50 }, (_, i) => store.write([put(`k${i}`, 'x')]).then(() => resolved++));
        await store.close();
        expect(resolved).toBe(50);
        await Promise.all(writes);
        if (reopen) expect(await (await reopen()).scan('state', { limit: 100 })).toHaveLength(50);
      });
    });

    test('what was written is there after it is opened again, where a store leaves something', async () => {
      if (!opened.reopen) return;
      await store.write([put('a', '1'), put('b', '2', 'facts')]);
      await store.write([remove('a'), put('c', new Uint8Array(100_000).fill(7))]);
      const again = await opened.reopen();
      expect(await again.get('state', utf8('a'))).toBeUndefined();
      expect(text(await again.get('facts', utf8('b')))).toBe('2');
      expect(await again.get('state', utf8('c'))).toEqual(new Uint8Array(100_000).fill(7));
    });
  });
}

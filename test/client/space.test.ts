/** One space on one peer: what is written is read, what can't be is refused whole, and what fails leaves nothing behind. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { MemoryStore } from '../../client/memory-store.ts';
import type { Space } from '../../client/space.ts';
import type { Chain } from '../../client/replica/view.ts';
import type { Store, StoreOp } from '../../client/store.ts';
import { keyPosition } from '../../client/tables.ts';
import type { LoggedCommit } from '../../client/views.ts';
import { authenticate } from '../../protocol/authenticate.ts';
import { decodeBatch } from '../../protocol/batch.ts';
import type { Change } from '../../protocol/body.ts';
import { toHex } from '../../protocol/bytes.ts';
import { TidelogError, type ErrorCode } from '../../protocol/errors.ts';
import type { Value } from '../../protocol/value.ts';
import { openLmdbStore } from '../../server/lmdb-store.ts';
import { collect, eventually, Network, pair, type Member } from '../support/network.ts';
import { bytesOf, crypto, withCode } from '../support/protocol.ts';
import { contents, WrappedStore } from '../support/stores.ts';

let network = new Network();
const folders: string[] = [];
afterEach(async () => {
  await network.close();
  network = new Network();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function lmdb(): Promise<Store> {
  const folder = await mkdtemp(join(tmpdir(), 'tidelog-space-'));
  folders.push(folder);
  return openLmdbStore(folder);
}

async function spaceOver(store: Store = new MemoryStore()): Promise<{ member: Member; space: Space }> {
  const member = await network.add('laptop', { store, seed: bytesOf('laptop', 32) });
  return { member, space: await member.peer.homeSpace() };
}

function logOf(space: Space, options: Parameters<Space['log']>[0] = {}): Promise<LoggedCommit[]> {
  return collect(space.log(options));
}

function exportOf(space: Space, prefix = ''): Promise<string[]> {
  return collect(space.export(prefix));
}

function subjectsOf(commits: readonly LoggedCommit[]): string[] {
  return commits.flatMap(({ changes }) => changes.map(({ subject }) => subject));
}

/** What can be told at once is thrown; what only the log can tell, `stored` rejects with. */
async function refusalOf(write: () => { stored: Promise<unknown> }): Promise<TidelogError> {
  try {
    await write().stored;
  } catch (thrown) {
    if (thrown instanceof TidelogError) return thrown;
    throw thrown;
  }
  throw new Error('was taken');
}

describe.each([
  ['memory', async (): Promise<Store> => new MemoryStore()],
  ['lmdb', lmdb],
])('reading and writing, %s', (_, openStore) => {
  test('a write is read back with every kind of value, and changes the etag', async () => {
    const { space } = await spaceOver(await openStore());
    const values = {
      text: 'Milk 🥛',
      whole: 42,
      least: -9_007_199_254_740_991,
      most: 9_007_199_254_740_991,
      part: 0.1,
      yes: true,
      none: null,
      bytes: new Uint8Array([0, 255]),
      list: [1, 'two', [null]],
      map: { a: { b: 1 } },
    };
    await space.set('note/1', values).stored;
    const first = (await space.get('note/1'))!;
    expect(first.value).toEqual(values);
    expect(Object.keys(first.value)).toEqual(Object.keys(values).toSorted());
    await space.set('note/1', { whole: 43 }).stored;
    const second = (await space.get('note/1'))!;
    expect(second.etag).not.toBe(first.etag);
    expect(second.meta['whole']!.deviceName).toBe('laptop');
    expect(second.meta['whole']!.time).toBeGreaterThan(first.meta['whole']!.time);
    await space.destroy('note/1').stored;
    expect(await space.get('note/1')).toBeNull();
    expect(space.stats().subjects).toBe(0);
  });

  test('who writes and then reads, reads what was written', async () => {
    const { space } = await spaceOver(await openStore());
    for (let i = 0; i < 20; i++) {
      space.set('note/1', { i });
      expect((await space.get('note/1'))?.value).toEqual({ i });
    }
  });

  test.each([1, 7, 8, 100])('and a write of %i that is refused meanwhile hides nothing', async (count) => {
    const { space } = await spaceOver(await openStore());
    const changes = (v: number): Change[] =>
      Array.from({ length: count }, (_, i) => ({ subject: `note/${i}`, ops: { set: { v } } }));
    for (let v = 0; v < 10; v++) {
      space.commit(changes(v));
      // Refused before anything is on disk; what came ahead of it is still under way then.
      const refused = space.commit(changes(-1), { ifMatch: [{ subject: 'note/0', etag: 'another' }] });
      expect((await space.get(`note/${count - 1}`))?.value).toEqual({ v });
      await expect(refused.stored).rejects.toEqual(withCode('precondition-failed'));
    }
  });

  test('resources are listed by the bytes of their subjects, page by page', async () => {
    const { space } = await spaceOver(await openStore());
    const subjects = ['b', 'a', 'a/2', 'a/10', 'ab', 'A', 'é', 'z', '\u{1f600}', '\uffee', 'a/\u{1f600}'];
    for (const subject of subjects) space.set(subject, { subject });
    await space.set('last', { subject: 'last' }).stored;
    const sorted = [...subjects, 'last'].toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    expect((await space.list({ limit: 100 })).items.map(({ subject }) => subject)).toEqual(sorted);

    for (const limit of [1, 2, 3, sorted.length - 1, sorted.length]) {
      const paged: string[] = [];
      let after: string | undefined;
      do {
        const { items, next } = await space.list({ limit, ...(after !== undefined && { after }) });
        expect(items.length).toBeLessThanOrEqual(limit);
        paged.push(...items.map(({ subject }) => subject));
        after = next ?? undefined;
      } while (after !== undefined);
      expect(paged).toEqual(sorted);
    }
    const { items } = await space.list({ prefix: 'a/', limit: 10 });
    expect(items.map(({ subject }) => subject)).toEqual(['a/10', 'a/2', 'a/\u{1f600}']);
    expect((await space.list({ prefix: 'a/', after: 'a/10', limit: 1 })).items[0]?.subject).toBe('a/2');
    expect((await space.list({ prefix: 'a/', after: 'A', limit: 1 })).items[0]?.subject).toBe('a/10');
    expect((await space.list({ prefix: 'nothing', limit: 1 })).items).toEqual([]);
    // Those of the space itself are seen only by who asks for them.
    expect((await space.list({ prefix: '~', limit: 10 })).items.length).toBe(2);
  });

  test('pages are whole where there are many', async () => {
    const { space } = await spaceOver(await openStore());
    const changes: Change[] = [];
    for (let i = 0; i < 450; i++) changes.push({ subject: `n/${String(i).padStart(3, '0')}`, ops: { set: { i } } });
    await space.commit(changes).stored;
    const { items, next } = await space.list({ prefix: 'n/', limit: 450 });
    expect(items.map(({ value }) => value['i'])).toEqual([...Array(450).keys()]);
    expect(next).toBeNull();
    expect(space.stats().subjects).toBe(450);
  });
});

describe('bad input', () => {
  const deep = (levels: number): Value => (levels === 0 ? 1 : [deep(levels - 1)]);
  const set = (values: unknown): unknown => ({ subject: 'note/1', ops: { set: values } });
  const cases: [what: string, change: unknown, code: ErrorCode][] = [
    ['an empty subject', { subject: '', ops: { set: { a: 1 } } }, 'bad-subject'],
    ['no subject', { ops: { set: { a: 1 } } }, 'bad-subject'],
    ['a subject of 1,025 bytes', { subject: 'x'.repeat(1025), ops: { set: { a: 1 } } }, 'bad-subject'],
    ['a subject of 1,026 bytes in 513 characters', { subject: 'é'.repeat(513), ops: { set: { a: 1 } } }, 'bad-subject'],
    ['a line break in a subject', { subject: 'a\nb', ops: { set: { a: 1 } } }, 'bad-subject'],
    ['half a surrogate pair in a subject', { subject: 'a\ud800', ops: { set: { a: 1 } } }, 'bad-subject'],
    ['a reserved subject', { subject: '~devices/x', ops: { set: { a: 1 } } }, 'reserved-subject'],
    ['the subject ~', { subject: '~', ops: { set: { a: 1 } } }, 'reserved-subject'],
    ['no operations', { subject: 'note/1', ops: {} }, 'bad-change'],
    ['an unknown operation', { subject: 'note/1', ops: { replace: { a: 1 } } }, 'bad-change'],
    ['an empty set', set({}), 'bad-change'],
    ['a set that is a list', set([1]), 'bad-change'],
    ['destroy: false', { subject: 'note/1', ops: { destroy: false } }, 'bad-change'],
    ['an empty unset', { subject: 'note/1', ops: { unset: [] } }, 'bad-change'],
    ['unset of one property twice', { subject: 'note/1', ops: { unset: ['a', 'a'] } }, 'bad-change'],
    ['one property in set and inc', { subject: 'note/1', ops: { set: { a: 1 }, inc: { a: 1 } } }, 'bad-change'],
    ['one property in unset and add', { subject: 'note/1', ops: { unset: ['a'], add: { a: [1] } } }, 'bad-change'],
    ['an add of nothing', { subject: 'note/1', ops: { add: { a: [] } } }, 'bad-change'],
    ['an empty property name', set({ '': 1 }), 'bad-property'],
    ['a property name of 256 bytes', set({ ['x'.repeat(256)]: 1 }), 'bad-property'],
    ['a control character in a property name', set({ 'a\tb': 1 }), 'bad-property'],
    ['the property __proto__', set(JSON.parse('{"__proto__":1}')), 'bad-property'],
    ['NaN', set({ a: Number.NaN }), 'bad-value'],
    ['infinity', set({ a: { b: [Number.POSITIVE_INFINITY] } }), 'bad-value'],
    ['2^53', set({ a: 2 ** 53 }), 'bad-value'],
    ['-2^53', set({ a: -(2 ** 53) }), 'bad-value'],
    ['an inc by a part', { subject: 'note/1', ops: { inc: { a: 0.5 } } }, 'bad-value'],
    ['undefined', set({ a: undefined }), 'bad-value'],
    ['undefined in a list', set({ a: [1, undefined] }), 'bad-value'],
    ['a bigint', set({ a: 1n }), 'bad-value'],
    ['a date', set({ a: new Date() }), 'bad-value'],
    ['a map of the language', set({ a: new Map() }), 'bad-value'],
    ['a function', set({ a: () => {} }), 'bad-value'],
    ['half a surrogate pair', set({ a: 'x\udc00' }), 'bad-value'],
    ['lists 27 deep', set({ a: deep(27) }), 'bad-value'],
    ['a commit of more than 1 MiB', set({ a: 'x'.repeat(1024 * 1024) }), 'commit-too-large'],
  ];
  test.each(cases)('%s', async (_, change, code) => {
    const { member, space } = await spaceOver();
    const before = await contents(member.store, 'state', 'blocks', 'chains', 'spaces');
    expect(
      await refusalOf(() => space.commit([{ subject: 'fine', ops: { set: { a: 1 } } }, change as Change])),
    ).toEqual(withCode(code));
    expect(await contents(member.store, 'state', 'blocks', 'chains', 'spaces')).toEqual(before);
    // And the next one finds everything in its place.
    await space.set('fine', { a: 1 }).stored;
    expect(space.head).toBe(2);
  });

  test('no changes, one subject twice', async () => {
    const { space } = await spaceOver();
    expect(await refusalOf(() => space.commit([]))).toEqual(withCode('bad-change'));
    const change = { subject: 'note/1', ops: { set: { a: 1 } } };
    expect(await refusalOf(() => space.commit([change, change]))).toEqual(withCode('bad-change'));
  });

  test('the deepest value and the longest names are taken', async () => {
    const { space } = await spaceOver();
    const values = { a: deep(26), ['x'.repeat(255)]: 1 };
    await space.set('x'.repeat(1024), values).stored;
    expect((await space.get('x'.repeat(1024)))?.value).toEqual(values);
    await space.set('y', { a: 'x'.repeat(1024 * 1024 - 100) }).stored;
  });

  test('reading a subject that cannot be', async () => {
    const { space } = await spaceOver();
    await expect(space.get('')).rejects.toEqual(withCode('bad-subject'));
    await expect(space.get('x'.repeat(5000))).rejects.toEqual(withCode('bad-subject'));
    expect(() => space.live('a\nb')).toThrow(withCode('bad-subject') as Error);
  });

  test('a commit without members is refused as such', async () => {
    const { space } = await spaceOver();
    const error = await refusalOf(() =>
      space.commitReserved([{ subject: '~devices/x', ops: { set: { role: 'owner' } } }]),
    );
    expect(error).toEqual(withCode('bad-commit'));
    expect(
      await refusalOf(() =>
        space.commitReserved([
          { subject: '~space', ops: { set: { name: 'x' } } },
          { subject: 'note', ops: { set: { a: 1 } } },
        ]),
      ),
    ).toEqual(withCode('bad-commit'));
    await space.set('a', { b: 1 }).stored;
    expect((await logOf(space)).length).toBe(2);
  });
});

describe('conditions', () => {
  test('hold for etag, for anything, for nothing', async () => {
    const { space } = await spaceOver();
    const on = (subject: string, etag: string | null): { ifMatch: { subject: string; etag: string | null }[] } => ({
      ifMatch: [{ subject, etag }],
    });
    await space.set('a', { v: 1 }, on('a', null)).stored;
    expect(await refusalOf(() => space.set('a', { v: 2 }, on('a', null)))).toEqual(withCode('precondition-failed'));
    expect(await refusalOf(() => space.set('b', { v: 2 }, on('b', '*')))).toEqual(withCode('precondition-failed'));
    await space.set('a', { v: 3 }, on('a', '*')).stored;
    const { etag } = (await space.get('a'))!;
    const write = space.set('a', { v: 4 }, on('a', etag));
    // Begun before the first was stored, and judged after it.
    const late = await refusalOf(() => space.set('a', { v: 5 }, on('a', etag)));
    expect(late).toEqual(withCode('precondition-failed'));
    await write.stored;
    expect(late.detail).toEqual({ subject: 'a', etag: (await space.get('a'))!.etag });
    expect((await space.get('a'))?.value).toEqual({ v: 4 });
    expect(space.head).toBe(4);
    // On a subject that the commit doesn't change.
    await space.set('c', { v: 1 }, on('a', '*')).stored;
    expect(await refusalOf(() => space.set('c', { v: 2 }, on('b', '*')))).toEqual(withCode('precondition-failed'));
  });
});

describe('the log', () => {
  test('has every commit in order, from any cursor, by subject and prefix', async () => {
    const { space } = await spaceOver();
    const { cursor } = await space.set('a/1', { v: 1 }).stored;
    await space.set('b/1', { v: 2 }).stored;
    await space.commit([
      { subject: 'a/2', ops: { set: { v: 3 } } },
      { subject: 'b/1', ops: { set: { v: 3 } } },
    ]).stored;
    const all = await logOf(space);
    expect(subjectsOf(all).slice(2)).toEqual(['a/1', 'b/1', 'a/2', 'b/1']);
    expect(all.map(({ deviceName }) => deviceName)).toEqual(['laptop', 'laptop', 'laptop', 'laptop']);
    expect(subjectsOf(await logOf(space, { after: cursor }))).toEqual(['b/1', 'a/2', 'b/1']);
    expect(await logOf(space, { after: '0' })).toEqual(all);
    expect(await logOf(space, { after: all.at(-1)!.cursor })).toEqual([]);
    for (let i = 0; i < all.length; i++) {
      expect((await logOf(space, { after: all[i]!.cursor })).map(({ id }) => id)).toEqual(
        all.slice(i + 1).map(({ id }) => id),
      );
    }
    expect((await logOf(space, { subject: 'b/1' })).map(({ cursor: each }) => each)).toEqual([
      all[2]!.cursor,
      all[3]!.cursor,
    ]);
    expect((await logOf(space, { subject: 'b/1', after: all[2]!.cursor })).length).toBe(1);
    expect((await logOf(space, { prefix: 'a/' })).length).toBe(2);
    expect((await logOf(space, { prefix: '~' })).length).toBe(1);
    expect((await logOf(space, { subject: 'nothing' })).length).toBe(0);
  });

  test('cursors of another epoch, past the end, or made up', async () => {
    const { space } = await spaceOver();
    await space.set('a', { v: 1 }).stored;
    const epoch = toHex(space.epoch);
    const detail = { epoch, floor: 0, head: 2 };
    const other = epoch === '0'.repeat(16) ? '1'.repeat(16) : '0'.repeat(16);
    await expect(logOf(space, { after: `${other}-1` })).rejects.toMatchObject({
      code: 'cursor-epoch',
      detail,
      retry: true,
    });
    await expect(logOf(space, { after: `${epoch}-3` })).rejects.toMatchObject({ code: 'cursor-too-new', detail });
    expect(await logOf(space, { after: `${epoch}-2` })).toEqual([]);
    for (const cursor of [
      '',
      '1',
      `${epoch}-`,
      `${epoch}--1`,
      `${epoch}-01`,
      `${epoch}-1 `,
      `${epoch.toUpperCase()}x-1`,
      'x'.repeat(500),
    ])
      await expect(logOf(space, { after: cursor })).rejects.toEqual(withCode('bad-cursor'));
  });

  test('goes on with what comes, until it is aborted', async () => {
    const { space } = await spaceOver();
    const aborter = new AbortController();
    const seen: string[] = [];
    let first: () => void = () => {};
    const begun = new Promise<void>((resolve) => {
      first = resolve;
    });
    const following = (async () => {
      for await (const commit of space.log({ prefix: 'n/', live: true, signal: aborter.signal })) {
        seen.push(...subjectsOf([commit]));
        first();
      }
    })();
    const ended = expect(following).rejects.toThrow('enough');
    space.set('n/0', { v: 0 });
    await begun;
    for (let i = 1; i < 50; i++) {
      const write = space.set(`n/${i}`, { v: i });
      if (i % 7 === 0) await write.stored;
    }
    await eventually(() => seen.length === 50, 'all have come');
    expect(seen).toEqual([...Array(50).keys()].map((i) => `n/${i}`));
    aborter.abort(new Error('enough'));
    await ended;
  });

  test('a live log ends with `closed` when the peer closes', async () => {
    const { member, space } = await spaceOver();
    const iterator = space.log({ after: space.cursorOf(space.head), live: true })[Symbol.asyncIterator]();
    const next = expect(iterator.next()).rejects.toEqual(withCode('closed'));
    await new Promise((resolve) => setImmediate(resolve));
    await member.peer.close();
    await next;
  });

  test('small blocks are merged, and every cursor goes on being good', async () => {
    const store = new WrappedStore(await lmdb());
    const { member, space } = await spaceOver(store);
    const cursors: string[] = [];
    const written: StoreOp[] = [];
    store.beforeWrite = (ops) => void written.push(...ops);
    const live: string[] = [];
    const aborter = new AbortController();
    const following = (async () => {
      for await (const commit of space.log({ prefix: 'n/', live: true, signal: aborter.signal })) live.push(commit.id);
    })().catch(() => {});
    for (let i = 0; i < 700; i++) cursors.push((await space.set(`n/${i % 10}`, { i }).stored).cursor);
    await eventually(() => live.length === 700, 'the follower has all');
    aborter.abort();
    await following;
    const blocks = await store.scan('blockIndex', { gte: new Uint8Array([0]), limit: 1000 });
    expect(blocks.length).toBeLessThan(60);
    // One for each commit as it comes, one for each 32 and one for each 512: a commit is rewritten twice at the most.
    expect(written.filter(({ table, value }) => table === 'blocks' && value !== null).length).toBeLessThan(
      700 + 700 / 32 + 2,
    );
    const all = await logOf(space);
    expect(all.slice(1).map(({ changes }) => changes[0]!.ops.set!['i'])).toEqual([...Array(700).keys()]);
    expect(live).toEqual(all.slice(1).map(({ id }) => id));
    for (const at of [0, 1, 30, 31, 32, 33, 255, 256, 511, 512, 513, 698, 699]) {
      const rest = await logOf(space, { after: cursors[at]! });
      expect(rest.map(({ id }) => id)).toEqual(all.slice(at + 2).map(({ id }) => id));
    }
    expect((await logOf(space, { subject: 'n/3' })).length).toBe(70);
    const stats = space.stats();
    await member.peer.close();
    const again = (await network.add('again', { store: store.inner, seed: bytesOf('laptop', 32) })).peer.space();
    expect(again.stats()).toEqual(stats);
    expect((await logOf(again)).map(({ id }) => id)).toEqual(all.map(({ id }) => id));
    let bytes = 0;
    for (const [, value] of await store.inner.scan('blocks', { gte: new Uint8Array([0]), limit: 1000 }))
      bytes += value.length - 5;
    expect(stats.blockBytes).toBe(bytes);
  });

  test.each(['a follower', 'a reader of the log', 'a history', 'a vector'])(
    '%s whose block is merged away under it goes on',
    async (kind) => {
      const store = new WrappedStore(new MemoryStore());
      const { space } = await spaceOver(store);
      for (let i = 0; i < 25; i++) await space.set(`n/${i % 3}`, { i }).stored;
      const held = Promise.withResolvers<void>();
      const reached = Promise.withResolvers<void>();
      let reads = 0;
      store.beforeRead = (table) => {
        if (table !== 'blocks' || ++reads !== 4) return undefined;
        reached.resolve();
        return held.promise;
      };
      const reading = (async (): Promise<string[]> => {
        if (kind === 'a reader of the log') return (await logOf(space)).map(({ id }) => id);
        if (kind === 'a history') return (await logOf(space, { prefix: 'n/' })).map(({ id }) => id);
        const from =
          kind === 'a vector'
            ? await space.openFor({ kind: 'vector', heads: [] }, bytesOf('reader', 32))
            : { position: 0, known: new Map<string, number>() };
        let last = from.position;
        while (last < 25) last = (await space.readFor(last, from.known, null, new Set([0, 1])))!.last;
        return [...Array(last).keys()].map(String);
      })();
      reading.catch(() => {});
      await reached.promise;
      for (let i = 0; i < 20; i++) await space.set('more', { i }).stored;
      held.resolve();
      expect((await reading).length).toBeGreaterThanOrEqual(25);
      store.beforeRead = () => {};
    },
  );

  const NOTHING_KNOWN = new Map<string, number>();
  const positions = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i + 1);
  async function sentAfter(space: Space, after: number, known: ReadonlyMap<string, number>): Promise<number[]> {
    const sent: number[] = [];
    for (let at = after; at < 200;) {
      const batch = (await space.readFor(at, known, null, new Set([0])))!;
      sent.push(...positions(at, at + decodeBatch(batch.data).entries.length));
      at = batch.last;
    }
    return sent;
  }
  const positionOf = (space: Space) => (commit: LoggedCommit) => space.positionOf(commit.cursor);
  test.each<[string, (space: Space) => Promise<number[]>]>([
    ['a follower', (space) => sentAfter(space, 0, NOTHING_KNOWN)],
    ['a follower from the middle of a block', (space) => sentAfter(space, 77, NOTHING_KNOWN)],
    ['a follower that has something from elsewhere', (space) => sentAfter(space, 0, new Map([['00'.repeat(32), 1]]))],
    ['a reader of the log', async (space) => (await logOf(space)).map(positionOf(space))],
    ['a history', async (space) => (await logOf(space, { prefix: 'n/' })).map(positionOf(space))],
    [
      'who looks back',
      async (space) => {
        const { items } = await space.newest({ limit: 1000 });
        return items.map(positionOf(space)).reverse();
      },
    ],
    ['who has a commit proven', async (space) => [positionOf(space)((await space.prove(space.cursorOf(195))).commit)]],
  ])(
    '%s has all, in order, where the small blocks at the end are merged whenever one is to be read',
    async (_, read) => {
      const store = new WrappedStore(new MemoryStore());
      const { space } = await spaceOver(store);
      for (let i = 0; i < 199; i++) await space.set(`n/${i % 3}`, { i }).stored;
      expect(space.head).toBe(200);
      const reader = new AsyncLocalStorage<boolean>();
      let writes = 0;
      store.beforeRead = (table, key) => {
        // Not for the writer's own reads, or it would wait for itself.
        if (table !== 'blocks' || key === null || !reader.getStore() || writes > 400) return undefined;
        if (space.head - keyPosition(key) > 64) return undefined;
        return reader.exit(async () => {
          for (let i = 0; i < 64; i++) await space.set('more', { i: ++writes }).stored;
        });
      };
      const has = await reader.run(true, () => read(space));
      expect(writes).toBeGreaterThan(0);
      const asked = has.filter((position) => position <= 200);
      expect(asked).toEqual(positions(asked[0]! - 1, asked.length === 1 ? asked[0]! : 200));
    },
  );

  test('what a follower brings itself while it is read for is left out whole or not at all: a run has no hole', async () => {
    const store = new WrappedStore(new MemoryStore());
    const { space } = await spaceOver(store);
    for (let i = 0; i < 20; i++) await space.set('n', { i }).stored;
    const [{ hex }] = space.chains as [Chain];
    const known = new Map([['00'.repeat(32), 1]]);
    let reads = 0;
    store.beforeRead = (table, key) => {
      // Of the third block, when it has 2 commits.
      if (table === 'blocks' && key !== null && ++reads === 3) known.set(hex, 15);
    };
    const sent: number[] = [];
    for (let at = 0; at < space.head;) {
      const batch = (await space.readFor(at, known, null, new Set([0])))!;
      const { entries } = authenticate(crypto, space.id, decodeBatch(batch.data));
      sent.push(...entries.map(({ seq }) => seq));
      at = batch.last;
    }
    expect(reads).toBeGreaterThan(3);
    expect(sent).toEqual([...Array(22).keys()].slice(1));
  });

  test('a block that is replaced by a larger one with the same end is read as what it is', async () => {
    const store = new WrappedStore(new MemoryStore());
    const { space } = await spaceOver(store);
    const isReading = Promise.withResolvers<void>();
    const isMerged = Promise.withResolvers<void>();
    let reading: Promise<{ after: number; last: number; entries: number }> | null = null;
    let reads = 0;
    store.beforeRead = (table) => {
      if (table !== 'blocks' || ++reads < 7 || reads > 8) return undefined;
      if (reads === 8) {
        isReading.resolve();
        return isMerged.promise;
      }
      // A merge goes on, with the second of its groups: its last block isn't at the head any more, where it would be read from memory. Somebody
      // who has read that block's record waits for its data until the merge is done.
      const after = space.head - 2;
      reading = space.readFor(after, new Map(), null, new Set([0])).then((batch) => {
        return { after, last: batch!.last, entries: decodeBatch(batch!.data).entries.length };
      });
      return isReading.promise;
    };
    store.afterWrite = (ops) => {
      if (ops.some(({ table, value }) => table === 'blocks' && value === null)) isMerged.resolve();
    };
    for (let i = 0; i < 40; i++) await space.set('n', { i }).stored;
    await isMerged.promise;
    const { after, last, entries } = (await reading)!;
    expect(entries).toBe(last - after);
  });
});

describe('export', () => {
  test('is the same for the same state, however it came about, and sorted', async () => {
    const { space } = await spaceOver();
    await space.set('b', { z: { y: 1, x: [{ q: 1, p: 2 }] }, a: new Uint8Array([1]) }).stored;
    await space.commit([{ subject: 'a', ops: { add: { tags: ['y', 'x'] }, inc: { n: 2 } } }]).stored;
    await space.set('gone', { v: 1 }).stored;
    await space.destroy('gone').stored;
    const other = await network.add('other');
    const copy = await other.peer.homeSpace();
    await copy.commit([{ subject: 'a', ops: { add: { tags: ['x'] }, inc: { n: 5 } } }]).stored;
    await copy.commit([{ subject: 'a', ops: { add: { tags: ['y'] }, inc: { n: -3 } } }]).stored;
    await copy.set('b', { a: new Uint8Array([1]), z: { x: [{ p: 2, q: 1 }], y: 1 } }).stored;
    expect(await exportOf(copy)).toEqual(await exportOf(space));
    expect(await exportOf(space)).toEqual([
      '{"subject":"a","inc":{"n":2},"add":{"tags":["x","y"]}}',
      '{"subject":"b","set":{"a":{"$bytes":"AQ"},"z":{"x":[{"p":2,"q":1}],"y":1}}}',
    ]);
    expect(await exportOf(space, 'b')).toEqual((await exportOf(space)).slice(1));
  });
});

describe('live values', () => {
  test('a resource calls back with each change, and not after its end', async () => {
    const { member, space } = await spaceOver();
    using live = space.live('note');
    const seen: unknown[] = [];
    live.subscribe((resource) => seen.push(resource?.value ?? null));
    await eventually(() => seen.length === 1, 'nothing is known to be there');
    await space.set('note', { v: 1 }).stored;
    await eventually(() => seen.length === 2, 'the first change');
    await space.set('other', { v: 1 }).stored;
    await space.destroy('note').stored;
    await eventually(() => seen.length === 3, 'the second change');
    expect(seen).toEqual([null, { v: 1 }, null]);
    await member.peer.close();
    expect(live.value).toBeNull();
  });

  test('a list calls back when one with its prefix comes, changes or goes, and for no other', async () => {
    const { member, space } = await spaceOver();
    const guest = await network.add('guest');
    await pair(member, guest);
    const seen: string[] = [];
    const reads: string[] = [];
    using live = guest.peer.space().liveList({ prefix: 'note/', limit: 3 });
    live.subscribe((notes) =>
      seen.push(notes.map(({ subject, value }) => `${subject} ${value['v'] as number}`).join()),
    );
    await eventually(() => seen.length === 1, 'nothing is known to be there');
    const { list } = guest.peer.space();
    guest.peer.space().list = (options) => {
      reads.push(options.prefix ?? '');
      return list.call(guest.peer.space(), options);
    };
    // From another device, by the short way, and from here.
    await space.set('note/2', { v: 2 }).stored;
    await eventually(() => seen.at(-1) === 'note/2 2', 'one came');
    await guest.peer.space().set('note/1', { v: 1 }).stored;
    await eventually(() => seen.at(-1) === 'note/1 1,note/2 2', 'another came');
    await space.set('note/2', { v: 3 }).stored;
    await eventually(() => seen.at(-1) === 'note/1 1,note/2 3', 'it changed');
    const before = reads.length;
    await guest.peer.space().set('notes', { v: 1 }).stored;
    await guest.peer.space().set('other/1', { v: 1 }).stored;
    expect(reads.length).toBe(before);
    await guest.peer.space().destroy('note/1').stored;
    await eventually(() => seen.at(-1) === 'note/2 3', 'it went');
    for (const i of [4, 5, 6]) await space.set(`note/${i}`, { v: i }).stored;
    await eventually(() => seen.at(-1) === 'note/2 3,note/4 4,note/5 5', 'no more than its limit');
    await guest.peer.close();
    expect(live.value).toHaveLength(3);
  });

  test('a subscriber that throws keeps the value from nobody, and is told', async () => {
    const { space } = await spaceOver();
    const faults: (() => void)[] = [];
    const tell = vi.spyOn(globalThis, 'queueMicrotask').mockImplementation((fault) => void faults.push(fault));
    try {
      using live = space.live('note');
      const seen: unknown[] = [];
      live.subscribe(() => {
        throw new Error('a page has a fault');
      });
      live.subscribe((resource) => seen.push(resource?.value ?? null));
      await eventually(() => seen.length === 1, 'nothing is known to be there');
      await space.set('note', { v: 1 }).stored;
      await eventually(() => seen.length === 2, 'the first change');
      expect(faults).toHaveLength(2);
      expect(faults[0]).toThrow('a page has a fault');
    } finally {
      tell.mockRestore();
    }
  });

  test('a read that fails while the peer closes harms nobody', async () => {
    const store = new WrappedStore(new MemoryStore());
    const { member, space } = await spaceOver(store);
    store.beforeRead = (table) => {
      if (table === 'state') throw new TidelogError('closed');
    };
    const live = space.live('note');
    await new Promise((resolve) => setImmediate(resolve));
    expect(live.value).toBeUndefined();
    store.beforeRead = () => {};
    await space.set('note', { v: 1 }).stored;
    await eventually(() => live.value?.value['v'] === 1, 'the next change is read');
    await member.peer.close();
  });
});

describe('the writer', () => {
  test('many writers share transactions', async () => {
    const store = new WrappedStore(new MemoryStore());
    const { space } = await spaceOver(store);
    store.writes = 0;
    await Promise.all([...Array(1000).keys()].map((i) => space.set(`n/${i}`, { i }).stored));
    expect(store.writes).toBeLessThanOrEqual(2);
    expect(space.head).toBe(1001);
    expect((await logOf(space)).slice(1).map(({ changes }) => changes[0]!.ops.set!['i'])).toEqual([
      ...Array(1000).keys(),
    ]);
  });

  test('a refused commit among others changes nothing of them', async () => {
    const { space } = await spaceOver();
    const writes = [...Array(50).keys()].map((i) =>
      space.set('n', { i }, i % 3 === 1 ? { ifMatch: [{ subject: 'n', etag: 'wrong' }] } : {}).stored.then(
        () => 'stored',
        (thrown: unknown) => (thrown as TidelogError).code,
      ),
    );
    expect(await Promise.all(writes)).toEqual(
      [...Array(50).keys()].map((i) => (i % 3 === 1 ? 'precondition-failed' : 'stored')),
    );
    expect(space.head).toBe(1 + 33);
    expect((await space.get('n'))?.value).toEqual({ i: 48 });
  });

  test.each(['store-full', 'store-failed', null] as const)(
    'a write that fails (%s) leaves nothing behind',
    async (code) => {
      const store = new WrappedStore(new MemoryStore());
      const { member, space } = await spaceOver(store);
      await space.set('n', { v: 1 }).stored;
      const before = {
        stats: space.stats(),
        digest: toHex(space.digest()),
        rows: await contents(store, 'state', 'chains'),
      };
      store.beforeWrite = () => {
        throw code === null ? new Error('power cut') : new TidelogError(code);
      };
      const failed = [...Array(5).keys()].map((i) => space.set('n', { v: 2, i }).stored);
      for (const write of failed) await expect(write).rejects.toEqual(withCode(code ?? 'internal'));
      expect(space.stats()).toEqual(before.stats);
      expect(toHex(space.digest())).toBe(before.digest);
      expect(await contents(store, 'state', 'chains')).toEqual(before.rows);
      store.beforeWrite = () => {};
      await space.set('n', { v: 3 }).stored;
      expect((await space.get('n'))?.value).toEqual({ v: 3 });
      expect(space.chains.map(({ seq }) => seq)).toEqual([3]);
      // The chain links: whoever gets it checks it.
      const phone = await network.add('phone');
      const { link } = await member.peer.invite(space, { role: 'reader', addresses: [member.url] });
      await (
        await phone.peer.join(link)
      ).synced;
      expect(phone.peer.space().digest()).toEqual(space.digest());
    },
  );

  test('a read that fails in the middle of a group refuses that commit and no other', async () => {
    const store = new WrappedStore(new MemoryStore());
    const { member, space } = await spaceOver(store);
    // Of what was never written nothing is read.
    for (const subject of ['a', 'b', 'c']) await space.set(subject, { v: 0 }).stored;
    let reads = 0;
    store.beforeRead = (table) => {
      if (table === 'state' && ++reads === 2) throw new TidelogError('store-failed');
    };
    const outcomes = await Promise.allSettled(['a', 'b', 'c'].map((subject) => space.set(subject, { v: 1 }).stored));
    store.beforeRead = () => {};
    expect(outcomes.some(({ status }) => status === 'rejected')).toBe(true);
    // Whatever was acknowledged is there, and whatever wasn't is not.
    for (const [i, subject] of ['a', 'b', 'c'].entries()) {
      expect((await space.get(subject))?.value, subject).toEqual({ v: outcomes[i]!.status === 'fulfilled' ? 1 : 0 });
    }
    await space.set('d', { v: 1 }).stored;
    const commits = await logOf(space);
    expect(commits.length).toBe(space.head);
    await member.peer.close();
    const again = await network.add('again', { store, seed: bytesOf('laptop', 32) });
    expect(again.peer.space().digest()).toEqual(space.digest());
    const state = await contents(store, 'state');
    await again.peer.space().rebuild();
    expect(await contents(store, 'state')).toEqual(state);
  });

  test('a store that fails for good fails every write, and nothing hangs', async () => {
    const store = new WrappedStore(new MemoryStore());
    const { space } = await spaceOver(store);
    store.beforeWrite = () => {
      throw new TidelogError('store-failed');
    };
    store.beforeRead = () => {
      throw new TidelogError('store-failed');
    };
    await expect(space.set('a', { v: 1 }).stored).rejects.toEqual(withCode('store-failed'));
    await expect(space.set('a', { v: 2 }).stored).rejects.toEqual(withCode('store-failed'));
    store.beforeWrite = () => {};
    store.beforeRead = () => {};
    await space.set('a', { v: 3 }).stored;
    expect((await space.get('a'))?.value).toEqual({ v: 3 });
    expect((await logOf(space)).length).toBe(2);
  });

  test('a listener that throws loses nobody their answer', async () => {
    const { member, space } = await spaceOver();
    member.events.push = () => {
      throw new Error('a fault of the program');
    };
    await space.set('a', { v: 1 }).stored;
    await space.set('a', { v: 2 }).stored;
    expect((await space.get('a'))?.value).toEqual({ v: 2 });
  });

  test('nobody reads of the log what is not yet flushed', async () => {
    const store = new WrappedStore(new MemoryStore());
    const { space } = await spaceOver(store);
    let flush: () => void = () => {};
    const flushed = new Promise<void>((resolve) => {
      flush = resolve;
    });
    let inStore: () => void = () => {};
    const written = new Promise<void>((resolve) => {
      inStore = resolve;
    });
    store.afterWrite = () => {
      inStore();
      return flushed;
    };
    const write = space.set('a', { v: 1 });
    await written;
    expect(await logOf(space)).toHaveLength(1);
    expect(await space.readFor(1, new Map(), null, new Set([0]))).toBeNull();
    flush();
    await write.stored;
    expect(await logOf(space)).toHaveLength(2);
  });

  test('while memory is read anew after a failed write, others see it as it was', async () => {
    const store = new WrappedStore(new MemoryStore());
    const { member, space } = await spaceOver(store);
    await space.set('a', { v: 1 }).stored;
    const before = { digest: toHex(space.digest()), role: space.role, chains: space.chains.length };
    store.beforeWrite = () => {
      throw new TidelogError('store-full');
    };
    const seen: unknown[] = [];
    store.beforeRead = () => {
      seen.push({ digest: toHex(space.digest()), role: space.role, chains: space.chains.length });
    };
    await expect(space.set('a', { v: 2 }).stored).rejects.toEqual(withCode('store-full'));
    store.beforeRead = () => {};
    store.beforeWrite = () => {};
    expect(seen.length).toBeGreaterThan(2);
    for (const each of seen) expect(each).toEqual(before);
    await member.peer.close();
  });

  test('what is written while the state is made anew waits for it', async () => {
    const store = new WrappedStore(new MemoryStore());
    const { member, space } = await spaceOver(store);
    for (let i = 0; i < 50; i++) space.commit([{ subject: 'n', ops: { inc: { count: 1 } } }]);
    const rebuilding = space.rebuild();
    const writes = [...Array(20).keys()].map(() => space.commit([{ subject: 'n', ops: { inc: { count: 1 } } }]).stored);
    store.beforeWrite = () => new Promise((resolve) => setImmediate(resolve));
    writes.push(space.commit([{ subject: 'n', ops: { inc: { count: 1 } } }]).stored);
    await Promise.all([rebuilding, ...writes]);
    expect((await space.get('n'))?.value).toEqual({ count: 71 });
    const again = space.rebuild();
    await member.peer.close();
    await again;
    await expect(space.rebuild()).rejects.toEqual(withCode('closed'));
  });

  test('closing writes what waits and takes nothing more', async () => {
    const { member, space } = await spaceOver();
    const writes = [...Array(20).keys()].map((i) => space.set(`n/${i}`, { i }).stored);
    await member.peer.close();
    await Promise.all(writes);
    expect(await refusalOf(() => space.set('late', { v: 1 }))).toEqual(withCode('closed'));
  });
});

describe('making a space', () => {
  test('a space whose first commit could not be stored is not there', async () => {
    const store = new WrappedStore(new MemoryStore());
    const { peer } = await network.add('laptop', { store, seed: bytesOf('laptop', 32) });
    store.beforeWrite = (ops) => {
      if (ops.some(({ table }) => table === 'blocks')) throw new TidelogError('store-full');
    };
    await expect(peer.homeSpace()).rejects.toEqual(withCode('store-full'));
    store.beforeWrite = () => {};
    const home = await peer.homeSpace();
    await home.set('a', { v: 1 }).stored;
    expect(peer.spaces.length).toBe(1);
  });

  test('a crash before the first commit leaves no space that nobody can write', async () => {
    const store = new WrappedStore(new MemoryStore());
    const first = await network.add('laptop', { store, seed: bytesOf('laptop', 32) });
    let dead = false;
    store.beforeWrite = (ops) => {
      dead ||= ops.some(({ table }) => table === 'blocks');
      if (dead) throw new Error('power cut');
    };
    await expect(first.peer.homeSpace()).rejects.toThrow();
    const again = await network.add('again', { store: store.inner, seed: bytesOf('laptop', 32) });
    const home = await again.peer.homeSpace();
    await home.set('a', { v: 1 }).stored;
    expect(again.peer.spaces.length).toBe(1);
  });

  test('one at a time is made, however many ask', async () => {
    const { peer } = await network.add('laptop', { store: await lmdb() });
    const spaces = await Promise.all([
      peer.homeSpace(),
      peer.homeSpace(),
      peer.createSpace('a'),
      peer.createSpace('b'),
    ]);
    expect(new Set(spaces.map(({ hex }) => hex)).size).toBe(3);
    await Promise.all(spaces.map((space, i) => space.set(`s/${i}`, { i }).stored));
    expect(peer.spaces.map(({ name }) => name).toSorted()).toEqual(['a', 'b', 'home']);
    for (const space of peer.spaces) expect((await logOf(space)).length).toBe(space.head);
  });
});

describe.each([
  ['memory', async (): Promise<Store> => new MemoryStore()],
  ['lmdb', lmdb],
])('opening again, %s', (_, openStore) => {
  test('gives the same', async () => {
    const store = new WrappedStore(await openStore());
    const { member, space } = await spaceOver(store);
    for (let i = 0; i < 100; i++) {
      const write = space.commit([
        { subject: `n/${i % 9}`, ops: { set: { i }, inc: { n: 1 }, add: { tags: [i % 4] } } },
        { subject: 'all', ops: i % 10 === 9 ? { destroy: true } : { remove: { tags: [i] }, add: { list: [i] } } },
      ]);
      if (i % 11 === 0) await write.stored;
    }
    await member.peer.close();
    const again = await network.add('laptop', { store, seed: bytesOf('laptop', 32) });
    const reopened = again.peer.space();
    expect(reopened.stats()).toEqual(space.stats());
    expect(reopened.digest()).toEqual(space.digest());
    expect(reopened.role).toBe('owner');
    expect(reopened.name).toBe('home');
    expect(reopened.vector()).toEqual(space.vector());
    expect(await exportOf(reopened)).toEqual(await exportOf(space));
    expect((await logOf(reopened)).map(({ cursor }) => cursor)).toEqual(
      (await logOf(space)).map(({ cursor }) => cursor),
    );
    await reopened.set('n/1', { after: true }).stored;
    expect(reopened.chains.map(({ seq }) => seq)).toEqual([102]);
    const state = await contents(store, 'state', 'conflicts');
    await reopened.rebuild();
    expect(await contents(store, 'state', 'conflicts')).toEqual(state);
  });
});

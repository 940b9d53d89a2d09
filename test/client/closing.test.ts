/** Closing, while something is under way; and the first writes of a device, which make the space that they go to. */
import { afterEach, describe, expect, test } from 'vitest';
import { open as openDatabase, type Database } from '../../client/database.ts';
import { MemoryStore } from '../../client/memory-store.ts';
import type { Store, StoreOp } from '../../client/store.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { collect, Network } from '../support/network.ts';
import { bytesOf, crypto } from '../support/protocol.ts';
import { WrappedStore } from '../support/stores.ts';

let network = new Network();
afterEach(async () => {
  await network.close();
  network = new Network();
});

/** After `close` everything rejects, as the contract says; what is in it stays for whoever opens it again. */
class ClosingStore extends WrappedStore {
  #isClosed = false;

  #mustBeOpen(): void {
    if (this.#isClosed) throw new TidelogError('closed');
  }
  override async write(ops: readonly StoreOp[]): Promise<void> {
    this.#mustBeOpen();
    return super.write(ops);
  }
  override get(...args: Parameters<Store['get']>): ReturnType<Store['get']> {
    this.#mustBeOpen();
    return super.get(...args);
  }
  override getMany(...args: Parameters<Store['getMany']>): ReturnType<Store['getMany']> {
    this.#mustBeOpen();
    return super.getMany(...args);
  }
  override scan(...args: Parameters<Store['scan']>): ReturnType<Store['scan']> {
    this.#mustBeOpen();
    return super.scan(...args);
  }
  override async close(): Promise<void> {
    this.#isClosed = true;
  }
}

function database(inner: Store, store = new ClosingStore(inner)): Promise<Database> {
  const keys = crypto.ed25519KeyPair(bytesOf('laptop', 32));
  return openDatabase({ store, platform: network.platform(), name: 'laptop', keys });
}

async function valueIn(inner: Store, subject: string): Promise<unknown> {
  const db = await database(inner);
  const got = await db.get(subject);
  await db.close();
  return got?.value ?? null;
}

/** What becomes of a write: 'stored', or the code of what it rejects with. */
function endOf({ stored }: { readonly stored: Promise<unknown> }): Promise<string> {
  return stored.then(
    () => 'stored',
    (thrown: unknown) => (thrown instanceof TidelogError ? thrown.code : String(thrown)),
  );
}

/** Work on the whole log that goes on until `release`. */
async function workAlone(db: Database, store: WrappedStore): Promise<{ worked: Promise<void>; release: () => void }> {
  const [reached, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  store.beforeWrite = () => {
    reached.resolve();
    return gate.promise;
  };
  const worked = db.space.rebuild();
  await reached.promise;
  return { worked, release: () => gate.resolve() };
}

describe('close', () => {
  test('writes what waits behind work on the whole log', async () => {
    const inner = new MemoryStore();
    const store = new ClosingStore(inner);
    const db = await database(inner, store);
    await db.set('a', { v: 1 }).stored;
    const { worked, release } = await workAlone(db, store);
    const written = endOf(db.set('b', { v: 2 }));
    const closed = db.close();
    release();
    await Promise.all([worked, closed]);
    expect(await written).toBe('stored');
    expect(await valueIn(inner, 'b')).toEqual({ v: 2 });
  });

  test('refuses work on the whole log that hasn’t begun, and writes what waits behind it', async () => {
    const inner = new MemoryStore();
    const store = new ClosingStore(inner);
    const db = await database(inner, store);
    await db.set('a', { v: 1 }).stored;
    const { worked, release } = await workAlone(db, store);
    const second = endOf({ stored: db.space.rebuild() });
    const written = endOf(db.set('b', { v: 2 }));
    const closed = db.close();
    release();
    await Promise.all([worked, closed]);
    expect(await second).toBe('closed');
    expect(await written).toBe('stored');
    expect(await valueIn(inner, 'b')).toEqual({ v: 2 });
  });

  test('of two at once neither closes the store before what waits is written', async () => {
    const inner = new MemoryStore();
    const db = await database(inner);
    await db.set('a', { v: 1 }).stored;
    const written = endOf(db.set('b', { v: 2 }));
    await Promise.all([db.close(), db.close()]);
    expect(await written).toBe('stored');
    expect(await valueIn(inner, 'b')).toEqual({ v: 2 });
  });

  test('of a peer waits for what waits to be written, also the second at once', async () => {
    const laptop = await network.add('laptop');
    const space = await laptop.peer.homeSpace();
    let end = 'waits';
    void endOf(space.set('a', { v: 1 })).then((how) => (end = how));
    const first = laptop.peer.close();
    await laptop.peer.close();
    expect(end).toBe('stored');
    await first;
  });

  test('writes the first of all writes too, and what waits with it', async () => {
    const inner = new MemoryStore();
    const db = await database(inner);
    const written = [endOf(db.set('a', { v: 1 })), endOf(db.set('b', { v: 2 }))];
    await db.close();
    expect(await Promise.all(written)).toEqual(['stored', 'stored']);
    expect(await valueIn(inner, 'a')).toEqual({ v: 1 });
    expect(await valueIn(inner, 'b')).toEqual({ v: 2 });
  });

  test('waits for a space that is being made, and lets nobody make another', async () => {
    const inner = new MemoryStore();
    const db = await database(inner);
    const work = endOf({ stored: db.peer.createSpace('work') });
    const closed = db.close();
    const late = endOf({ stored: db.peer.createSpace('late') });
    await closed;
    expect(await work).toBe('stored');
    expect(await late).toBe('closed');
    const again = await database(inner);
    expect(again.peer.spaces.map(({ name, head }) => [name, head])).toEqual([['work', 1]]);
    await again.close();
  });
});

test('what is watched ends when its space is closed, and at once where it is', async () => {
  const db = await database(new MemoryStore());
  await db.set('a', { v: 1 }).stored;
  const { space } = db;
  const before = collect(space.live('a'));
  const closed = db.close();
  const meanwhile = collect(space.live('a'));
  await closed;
  const [one, list] = [collect(space.live('a')), collect(space.liveList({ limit: 1 }))];
  await Promise.all([before, meanwhile, one, list]);
  expect(await one).toEqual([]);
  expect(await list).toEqual([]);
});

test('what is settled behind work on the whole log is written', async () => {
  const inner = new MemoryStore();
  const store = new ClosingStore(inner);
  const db = await database(inner, store);
  await db.set('a', { v: 1 }).stored;
  const { worked, release } = await workAlone(db, store);
  let end = 'waits';
  void endOf(db.set('b', { v: 2 })).then((how) => (end = how));
  const settled = db.space.settled().then(() => end);
  release();
  await worked;
  expect(await settled).toBe('stored');
  await db.close();
});

describe('the first write of a device', () => {
  test('is waited for by a read, as every other', async () => {
    const db = await database(new MemoryStore());
    const { stored } = db.set('a', { v: 1 });
    expect((await db.get('a'))?.value).toEqual({ v: 1 });
    await stored;
    await db.close();
  });

  test('is what a list behind it is of: it is not answered before there is a space', async () => {
    const db = await database(new MemoryStore());
    const { stored } = db.set('a', { v: 1 });
    const spaces = db.list().then(() => db.peer.spaces.length);
    expect(await spaces).toBe(1);
    await stored;
    await db.close();
  });

  test('comes before the second, whenever that is made', async () => {
    const wrong: number[] = [];
    for (let ticks = 0; ticks < 400; ticks++) {
      const db = await database(new MemoryStore());
      const first = db.set('a', { v: 1 });
      for (let i = 0; i < ticks; i++) await Promise.resolve();
      const second = db.set('a', { v: 2 });
      await Promise.all([first.stored, second.stored]);
      if ((await db.get('a'))?.value['v'] !== 2) wrong.push(ticks);
      await db.close();
    }
    expect(wrong).toEqual([]);
  });

  test('is refused at once where it can’t be, and makes no space', async () => {
    const db = await database(new MemoryStore());
    expect(() => db.commit(() => {})).toThrow(expect.objectContaining({ code: 'bad-change' }));
    expect(() => db.set('', { v: 1 })).toThrow(expect.objectContaining({ code: 'bad-subject' }));
    expect(await db.get('a')).toBeNull();
    expect(db.peer.spaces).toEqual([]);
    await db.close();
  });

  test('that fails shows nothing, and the next makes the space', async () => {
    const store = new ClosingStore(new MemoryStore());
    const db = await database(store.inner, store);
    store.beforeWrite = () => {
      throw new TidelogError('store-full');
    };
    const first = endOf(db.set('a', { v: 1 }));
    const second = endOf(db.set('a', { v: 2 }));
    expect(await db.get('a')).toBeNull();
    expect([await first, await second]).toEqual(['store-full', 'store-full']);
    store.beforeWrite = () => {};
    await db.set('a', { v: 3 }).stored;
    expect((await db.get('a'))?.value).toEqual({ v: 3 });
    await db.close();
  });
});

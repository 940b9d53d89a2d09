/** Of a store that several tabs share: what rests on something that was read is written while nobody else may write. */
import { afterEach, describe, expect, test } from 'vitest';

import { MemoryStore } from '../../client/memory-store.ts';
import type { SharedStore, StoreOp } from '../../client/store.ts';
import { toHex } from '../../protocol/bytes.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { ForkedHistory } from '../support/histories.ts';
import { bytesOf } from '../support/protocol.ts';
import { collect, eventually, eventuallySame, Network, pair, type Member } from '../support/network.ts';
import { WrappedStore } from '../support/stores.ts';

let network = new Network();
afterEach(async () => {
  await network.close();
  network = new Network();
});

class Shared extends WrappedStore {
  holders = 0;
  readonly shared: SharedStore = {
    leads: true,
    hold: async () => {
      this.holders++;
      return () => void this.holders--;
    },
    catchUp: async () => {},
    acked: () => {},
  };
}

test('spaces, devices, invites and commits are', async () => {
  const store = new Shared(new MemoryStore());
  const tables = new Set<string>();
  const loose: string[] = [];
  store.beforeWrite = async (ops) => {
    const isHeld = store.holders > 0;
    for (const { table } of ops) {
      tables.add(table);
      if (!isHeld) loose.push(table);
    }
  };
  const laptop = await network.add('laptop');
  const phone = await network.add('phone', { store });
  const tablet = await network.add('tablet');
  await laptop.peer.homeSpace();
  // Another's space is joined, then offered, then one is made here; each lets somebody in.
  await pair(laptop, phone, 'owner');
  const work = await laptop.peer.createSpace('work');
  await laptop.peer.addDevice(phone.peer.id, { space: work });
  await phone.peer.createSpace('mine');
  await pair(phone, tablet);
  await phone.peer.space().set('note', { v: 1 }).stored;
  await eventuallySame([laptop, phone, tablet]);
  expect([...tables]).toEqual(expect.arrayContaining(['spaces', 'peers', 'meta', 'blocks']));
  expect(loose).toEqual([]);
  expect(store.holders).toBe(0);
});

/** Of a tab that leads while something here holds the store, and has given the lead away in between. */
class Follower extends WrappedStore {
  refresh: () => Promise<void> = async () => {};
  #holders = 0;
  #taken: Promise<void> = Promise.resolve();
  readonly shared = {
    leads: false,
    hold: async () => {
      if (this.#holders++ === 0 && !this.shared.leads) {
        this.shared.leads = true;
        this.#taken = this.refresh();
      }
      await this.#taken;
      return () => {
        if (--this.#holders === 0) this.shared.leads = false;
      };
    },
    catchUp: () => this.refresh(),
    acked: () => {},
  };

  override async write(ops: readonly StoreOp[]): Promise<void> {
    const release = await this.shared.hold();
    await super.write(ops).finally(release);
  }
}

/** Two tabs of one device: one that leads, and one that reads what it writes. */
async function twoTabs(): Promise<{
  inner: MemoryStore;
  leader: Member & { readonly store: WrappedStore };
  follower: Member & { readonly store: Follower };
}> {
  const inner = new MemoryStore();
  const store = new WrappedStore(inner);
  const leader = { ...(await network.add('leader', { store, seed: bytesOf('laptop', 32) })), store };
  await leader.peer.homeSpace();
  await leader.peer.space().set('a', { v: 1 }).stored;
  const shared = new Follower(inner);
  const follower = {
    ...(await network.add('follower', { store: shared, seed: bytesOf('laptop', 32) })),
    store: shared,
  };
  shared.refresh = () => follower.peer.refresh();
  return { inner, leader, follower };
}

test('a space that is met while the lead comes here is not finished by what was read before', async () => {
  const { leader, follower } = await twoTabs();
  // The leader makes a space, and its state anew: the flag for that is on the disk.
  const made = await leader.peer.createSpace('made');
  for (let i = 0; i < 3; i++) await made.set('a', { i }).stored;
  const [flagged, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  leader.store.afterWrite = () => {
    flagged.resolve();
    return gate.promise;
  };
  const rebuilt = made.rebuild();
  await flagged.promise;
  // The follower reads what is new. In the middle of it the leader is done, writes on, and hands over.
  let isRecordRead = false;
  let release = (): void => {};
  follower.store.beforeRead = async (table, key) => {
    if (table === 'spaces' && key !== null && toHex(key) === made.hex) isRecordRead = true;
    if (table !== 'chains' || !isRecordRead) return;
    follower.store.beforeRead = () => {};
    gate.resolve();
    await rebuilt;
    for (let i = 3; i < 6; i++) await made.set('a', { i }).stored;
    follower.store.shared.leads = true;
    release = await follower.store.shared.hold();
  };
  await follower.peer.refresh();
  expect(isRecordRead).toBe(true);
  // As with every lead that comes.
  await follower.peer.refresh();
  release();
  follower.peer.lead();
  const here = follower.peer.space('made');
  expect(here.head).toBe(made.head);
  await here.set('b', { v: 1 }).stored;
  expect((await here.audit()).findings).toEqual([]);
});

test('an invite is known to who made it, though another tab led before it was on the disk', async () => {
  const { follower } = await twoTabs();
  const { peer } = follower;
  const { id } = await peer.invite(peer.space(), { role: 'writer', addresses: ['http://laptop'] });
  expect(peer.invites().map((invite) => invite.id)).toEqual([id]);
});

test('no line is opened in a tab that has given the lead away while it dialled', async () => {
  const phone = await network.add('phone');
  await phone.peer.homeSpace();
  let [dialling, gate] = [Promise.withResolvers<void>(), Promise.resolve()];
  const { dial } = network.platform();
  const laptop = await network.add('laptop', {
    platform: {
      dial: async (...args) => {
        dialling.resolve();
        await gate;
        return dial(...args);
      },
    },
  });
  await pair(phone, laptop);
  laptop.peer.undial(phone.url);
  network.cut();
  await eventually(() => laptop.peer.connections().length === 0, 'no line');
  const answering = Promise.withResolvers<void>();
  [dialling, gate] = [Promise.withResolvers<void>(), answering.promise];
  const connecting = laptop.peer.connect(phone.url);
  await dialling.promise;
  await laptop.peer.follow();
  answering.resolve();
  await expect(connecting).rejects.toMatchObject({ code: 'shutting-down' });
  expect(laptop.peer.connections()).toEqual([]);
  // It leads again.
  laptop.peer.lead();
  expect((await laptop.peer.connect(phone.url)).closed).toBe(false);
});

test('a log is read whole in a tab that takes the lead while it reads, behind what another has merged', async () => {
  const { leader, follower } = await twoTabs();
  const { head } = follower.peer.space();
  for (let i = 0; i < 100; i++) await leader.peer.space().set('a', { i }).stored;
  follower.store.beforeRead = (table) => {
    if (table === 'blockIndex') follower.store.shared.leads = true;
  };
  expect(follower.peer.space().head).toBe(head);
  expect((await collect(follower.peer.space().log())).length).toBe(leader.peer.space().head);
});

test('a log whose last block is missing does not keep a tab that follows reading for ever', async () => {
  const { inner, follower } = await twoTabs();
  let refreshes = 0;
  follower.store.refresh = async () => {
    if (++refreshes > 100) throw new Error('it was read anew 100 times');
    await follower.peer.refresh();
  };
  const { head } = follower.peer.space();
  const [last] = await inner.scan('blockIndex', { gte: new Uint8Array([0]), reverse: true, limit: 1 });
  await inner.write([{ table: 'blockIndex', key: last![0], value: null }]);
  expect((await collect(follower.peer.space().log())).length).toBe(head - 1);
});

describe('an audit in a tab that follows', () => {
  test('finds nothing wrong where another tab has just written', async () => {
    const { leader, follower } = await twoTabs();
    await leader.peer.space().set('a', { v: 2 }).stored;
    expect(await follower.peer.space().audit()).toMatchObject({ findings: [], head: leader.peer.space().head });
  });

  test('finds nothing wrong where another tab writes all the time, and is done all the same', async () => {
    const { leader, follower } = await twoTabs();
    for (let i = 0; i < 200; i++) void leader.peer.space().set(`a/${i}`, { i });
    await leader.peer.space().settled();
    let writes = 0;
    // Between two pieces the lead is elsewhere.
    const { refresh, shared } = follower.store;
    follower.store.beforeRead = async (table, key) => {
      if (table !== 'blocks' || key === null || shared.leads) return;
      await leader.peer.space().set(`b/${writes}`, { n: writes++ }).stored;
      await refresh();
    };
    expect((await follower.peer.space().audit()).findings).toEqual([]);
    expect(writes).toBeGreaterThan(0);
  });

  test('finds the last block missing', async () => {
    const { inner, follower } = await twoTabs();
    const { head } = follower.peer.space();
    const [last] = await inner.scan('blockIndex', { gte: new Uint8Array([0]), reverse: true, limit: 1 });
    await inner.write([{ table: 'blockIndex', key: last![0], value: null }]);
    const [first] = (await follower.peer.space().audit()).findings;
    expect(first).toMatchObject({ code: 'data-damaged', position: head - 1 });
  });

  test('begins again where another tab has revoked a device in the middle of it', async () => {
    const { leader, follower } = await twoTabs();
    const phone = await network.add('phone');
    await pair(leader, phone);
    for (let i = 0; i < 5; i++) await phone.peer.space().set(`p/${i}`, { i }).stored;
    await eventuallySame([leader, phone]);
    await follower.peer.refresh();
    const { refresh, shared } = follower.store;
    let isRevoked = false;
    follower.store.beforeRead = async (table, key) => {
      if (table !== 'blocks' || key === null || shared.leads || isRevoked) return;
      isRevoked = true;
      await leader.peer.revokeDevice(leader.peer.space(), phone.peer.id);
      await leader.peer.space().settled();
      await refresh();
    };
    expect((await follower.peer.space().audit()).findings).toEqual([]);
    expect(isRevoked).toBe(true);
  });
});

describe('beside a revocation on its way to the disk', () => {
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

  test.each([
    ['log', 'written'],
    ['log', 'refused'],
    ['state', 'written'],
    ['state', 'refused'],
  ] as const)('an audit of the %s finds nothing wrong, be that %s in the end', async (step, outcome) => {
    const history = new ForkedHistory();
    history.grant('founder', 'twin', 'owner');
    const seen = history.all.at(-1)!;
    // Void by the revocation: one on members, and more others than an audit of the state looks at in one piece.
    const one = history.data('kept', [seen]);
    history.grant('kept', 'guest', 'reader');
    for (let i = 0; i < 100; i++) history.data('kept');
    const store = new WrappedStore(new MemoryStore());
    const receiver = await history.receiver(network, 'receiver', store);
    await receiver.giveAll(history.all);
    const revocation = history.revoke('founder', 'twin', { [history.chainHex('kept')]: 1 }, [one]);
    const [reached, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let given: Promise<string | null> | null = null;
    let isDue = step === 'log';
    store.beforeRead = (table, key) => {
      if (table !== 'blocks' || key === null || given || !isDue) return undefined;
      store.beforeWrite = async () => {
        reached.resolve();
        await gate.promise;
        store.beforeWrite = () => {};
        if (outcome === 'refused') throw new TidelogError('store-failed', 'a test says so');
      };
      given = receiver.give(revocation);
      return reached.promise;
    };
    const onProgress = (_: string, done: number, total: number): void => void (isDue ||= done === total);
    const audit = receiver.space.audit({ onProgress });
    await Promise.race([audit, reached.promise.then(() => sleep(200))]);
    gate.resolve();
    expect(await given).toBe(outcome === 'written' ? null : 'store-failed');
    expect((await audit).findings).toEqual([]);
  });
});

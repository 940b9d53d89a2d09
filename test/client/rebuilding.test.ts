/** While the state is made anew, or what is void is taken out of it, nobody is shown half of it, then or later. */
import { afterEach, describe, expect, test } from 'vitest';
import { MemoryStore } from '../../client/memory-store.ts';
import type { Space } from '../../client/space.ts';
import type { SharedStore } from '../../client/store.ts';
import { ForkedHistory, type Receiver } from '../support/histories.ts';
import { eventually, Network, pair } from '../support/network.ts';
import { bytesOf, deviceOf } from '../support/protocol.ts';
import { WrappedStore } from '../support/stores.ts';

let network = new Network();
afterEach(async () => {
  await network.close();
  network = new Network();
});

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Somebody who holds the branch that counts: the state is made anew when the fork becomes known. */
async function onKept(): Promise<{ store: WrappedStore; receiver: Receiver; space: Space }> {
  const history = new ForkedHistory();
  history.grant('founder', 'twin', 'writer');
  history.data('kept', [history.all.at(-1)!]);
  history.fork();
  history.data('dropped');
  history.data('kept');
  const store = new WrappedStore(new MemoryStore());
  const receiver = await history.receiver(network, 'receiver', store);
  await receiver.giveAll(history.standing());
  return { store, receiver, space: receiver.space };
}

function duringRebuild(store: WrappedStore, look: () => Promise<void>): void {
  let isDropped = false;
  store.beforeWrite = async (ops) => {
    if (ops.some(({ table, value }) => table === 'state' && value === null)) isDropped = true;
    else if (isDropped && ops.some(({ table }) => table === 'state')) {
      isDropped = false;
      await look();
    }
  };
}

describe('while the state is made anew after a fork became known', () => {
  test('a resource that is there is not said to be gone', async () => {
    const { store, receiver, space } = await onKept();
    expect((await space.get('note/kept/0'))?.value).toEqual({ by: 'kept' });
    let seen: unknown = 'not looked';
    duringRebuild(store, async () => {
      seen = await Promise.race([space.get('note/kept/0'), sleep(100).then(() => 'waits')]);
    });
    await receiver.takeFork();
    expect(seen).not.toBe('not looked');
    expect(seen).not.toBeNull();
  });

  test('what devices are called is not forgotten for good', async () => {
    const { store, receiver, space } = await onKept();
    const founder = deviceOf('founder').public;
    duringRebuild(store, async () => {
      await Promise.race([space.nameOf(founder), sleep(100)]);
    });
    await receiver.takeFork();
    expect(await space.nameOf(founder)).toBe('founder');
  });
});

test('what a revocation made void is not read while the disk takes it out', async () => {
  const history = new ForkedHistory();
  history.grant('founder', 'twin', 'writer');
  const grant = history.all.at(-1)!;
  const one = history.data('kept', [grant]);
  history.data('kept');
  const store = new WrappedStore(new MemoryStore());
  const receiver = await history.receiver(network, 'receiver', store);
  const { space } = receiver;
  await receiver.giveAll(history.all);
  expect((await space.get('note/kept/1'))?.value).toEqual({ by: 'kept' });
  let seen: unknown = 'not looked';
  store.beforeWrite = async (ops) => {
    if (!ops.some(({ table, value }) => table === 'state' && value === null)) return;
    seen = await Promise.race([space.get('note/kept/1'), sleep(100).then(() => 'waits')]);
  };
  const revocation = history.revoke('founder', 'twin', { [history.chainHex('kept')]: 1 }, [one]);
  expect(await receiver.give(revocation)).toBeNull();
  expect(await space.get('note/kept/1')).toBeNull();
  expect(seen).toBe('waits');
});

test('what is watched on a mirror is shown once it is one no longer', async () => {
  const laptop = await network.add('laptop');
  const phone = await network.add('phone');
  await laptop.peer.homeSpace();
  await laptop.peer.space().set('note', { v: 1 }).stored;
  await pair(laptop, phone, 'mirror');
  await eventually(() => phone.peer.space().role === 'mirror', 'it is a mirror');
  await phone.peer.space().settled();
  const live = phone.peer.space().live('note');
  await sleep(20);
  expect(live.value).toBeUndefined();
  await laptop.peer.setRole(laptop.peer.space(), phone.peer.id, 'writer');
  await eventually(
    async () =>
      (await phone.peer
        .space()
        .get('note')
        .catch(() => null)) !== null,
    'it has its state',
  );
  await phone.peer.space().settled();
  await sleep(50);
  expect(live.value?.value).toEqual({ v: 1 });
});

class Follower extends WrappedStore {
  refresh: () => Promise<void> = async () => {};
  readonly shared: SharedStore = {
    leads: false,
    hold: async () => () => {},
    catchUp: () => this.refresh(),
    acked: () => {},
  };
}

test('what is watched is shown whole once the new leader has finished what the old one left half made', async () => {
  const inner = new MemoryStore();
  const leaderStore = new WrappedStore(inner);
  const leader = await network.add('leader', { store: leaderStore, seed: bytesOf('laptop', 32) });
  await leader.peer.homeSpace();
  await leader.peer.space().set('a', { v: 1 }).stored;
  const store = new Follower(inner);
  const follower = await network.add('follower', { store, seed: bytesOf('laptop', 32) });
  const live = follower.peer.space().live('a');
  await sleep(10);
  expect(live.value?.value).toEqual({ v: 1 });
  // The test's own end must not wait for the tab that died.
  (leader.peer as { close: () => Promise<void> }).close = async () => {};
  // The leader's tab goes away in the middle of making the state anew.
  let isDropped = false;
  const died = Promise.withResolvers<void>();
  leaderStore.beforeWrite = (ops) => {
    if (isDropped) {
      died.resolve();
      return new Promise(() => {});
    }
    isDropped = ops.some(({ table, value }) => table === 'state' && value === null);
    return undefined;
  };
  void leader.peer.space().rebuild();
  await died.promise;
  await follower.peer.refresh();
  await sleep(10);
  (store.shared as { leads: boolean }).leads = true;
  await follower.peer.refresh();
  follower.peer.lead();
  await sleep(50);
  expect((await follower.peer.space().get('a'))?.value).toEqual({ v: 1 });
  expect(live.value?.value).toEqual({ v: 1 });
});

/** A log that is made anew after a fork, while somebody reads it or waits for something in it. By a store that answers later, that is between any two reads. */
import { afterEach, describe, expect, test } from 'vitest';
import { readLogFile } from '../../client/log-file.ts';
import type { Space } from '../../client/space.ts';
import type { SharedStore, Store, Table } from '../../client/store.ts';
import { keyPosition } from '../../client/tables.ts';
import type { Change } from '../../protocol/body.ts';
import { concat } from '../../protocol/bytes.ts';
import { CODEC } from '../../protocol/constants.ts';
import { TidelogError } from '../../protocol/errors.ts';
import {
  BEFORE_BRANCH,
  deviceId,
  ForkedHistory,
  GUEST_COMMITS,
  GUEST_RESOURCES,
  onDropped,
  Receiver,
  type OnDropped,
} from '../support/histories.ts';
import { bytesOf, crypto } from '../support/protocol.ts';
import { collect, Network } from '../support/network.ts';
import { WrappedStore } from '../support/stores.ts';

let network = new Network();
afterEach(async () => {
  await network.close();
  network = new Network();
});

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Takes a log file into a new peer's copy. Throws where it isn't what its end says. */
async function takeFile(id: Uint8Array, file: Uint8Array): Promise<Space> {
  const { peer } = await network.add('reader');
  const space = await peer.addCopy(id, '');
  const intake = space.intake();
  for await (const part of readLogFile(crypto, once(file))) {
    if (part.kind === 'fork') await space.takeFork(part.proof);
    if (part.kind === 'block') await intake.take(part);
    if (part.kind !== 'end') continue;
    await intake.settled();
    intake.checkEnd(part);
  }
  return space;
}

/** As a tab has it that another writes beside. What it doesn't hear by itself it asks for. */
class FollowerStore extends WrappedStore implements Store {
  refresh: () => Promise<void> = async () => {};
  readonly shared: SharedStore = {
    leads: false,
    hold: () => Promise.reject(new TidelogError('data-in-use')),
    catchUp: () => this.refresh(),
    acked: () => {},
  };
}

describe('a file of a log', () => {
  test.each([
    ['and is shorter then', 0],
    ['and others write on, until it is longer', GUEST_COMMITS],
  ])('that is made anew under way %s is refused, and is good at the next try', async (_, more) => {
    const { history, receiver, space } = await onDropped(network);
    const file = space.exportLog();
    // The header and a block.
    for (let part = 0; part < 2; part++) expect((await file.next()).done).toBe(false);
    await receiver.takeFork();
    for (let i = 0; i < more; i++) expect(await receiver.give(history.data('guest'))).toBeNull();
    await expect(collect(file)).rejects.toMatchObject({ code: 'cursor-epoch', detail: { head: space.head } });
    const again = await takeFile(space.id, concat(...(await collect(space.exportLog()))));
    expect(again.digest()).toEqual(space.digest());
  });

  test('has a fork too that became known under way: what comes behind may rest on it', async () => {
    const history = new ForkedHistory();
    const grants = [history.grant('founder', 'twin', 'writer'), history.grant('founder', 'guest', 'writer')];
    history.data('kept', [grants[0]!]);
    history.fork();
    const dropped = Array.from({ length: 3 }, () => history.data('dropped'));
    history.data('kept');
    const receiver = await history.receiver(network, 'receiver');
    await receiver.giveAll(history.standing());
    const { space } = receiver;
    const file = space.exportLog();
    const parts: Uint8Array[] = [];
    for (let part = 0; part < 2; part++) parts.push((await file.next()).value as Uint8Array);
    await receiver.takeFork();
    // Who wrote it had the other branch, which is longer.
    expect(await receiver.give(history.data('guest', [grants[1]!, dropped[2]!]))).toBeNull();
    for await (const part of file) parts.push(part);
    const taken = await takeFile(space.id, concat(...parts));
    expect(taken.head).toBe(space.head);
  });
});

/** Makes the log anew at the first read of a table from now on: of one row, or of many. */
function anewAtRead({ store, receiver }: OnDropped, table: Table, isOfOne: boolean): void {
  store.beforeRead = (read, key) => {
    if (read !== table || (key !== null) !== isOfOne) return undefined;
    store.beforeRead = () => {};
    return receiver.takeFork();
  };
}

/** The same after a block was read that holds the branch, and before whoever asked for it has it. */
function anewAfterBranch({ store, receiver }: OnDropped): void {
  let isDone = false;
  store.get = async (table, key) => {
    const row = await store.inner.get(table, key);
    if (table !== 'blocks' || keyPosition(key) < BEFORE_BRANCH + 1 || isDone) return row;
    isDone = true;
    await receiver.takeFork();
    return row;
  };
}

const EVERY_CODEC = new Set(Object.values(CODEC));

describe('what resources show', () => {
  test('is all of them, in an export', async () => {
    const { receiver, space } = await onDropped(network);
    let lines = 0;
    for await (const line of space.export('n/')) {
      expect(line).toContain('"n/');
      if (++lines === 10) await receiver.takeFork();
    }
    expect(lines).toBe(GUEST_COMMITS * GUEST_RESOURCES);
  });

  test('is all of them where one space is merged into another', async () => {
    const { store, receiver, space } = await onDropped(network);
    const other = await network.add('other');
    const into = await other.peer.homeSpace();
    let pages = 0;
    store.beforeRead = (table, key) => {
      // The second page.
      if (table !== 'state' || key !== null || ++pages !== 2) return undefined;
      return receiver.takeFork();
    };
    await into.mergeFrom(space);
    expect(pages).toBeGreaterThan(2);
    expect(await collect(into.export('n/'))).toEqual(await collect(space.export('n/')));
    expect((await collect(into.export('n/'))).length).toBe(GUEST_COMMITS * GUEST_RESOURCES);
  });

  test('is who wrote one, in a chain that has another number by then', async () => {
    const made = await onDropped(network);
    // For the names, after the resource was read.
    anewAtRead(made, 'state', false);
    expect(await made.space.get('n/1/1')).toMatchObject({ meta: { text: { device: deviceId('guest') } } });
  });

  test('is one that was read when its row had just gone', async () => {
    const made = await onDropped(network);
    anewAtRead(made, 'state', true);
    expect(await made.space.get('n/1/1')).toMatchObject({ meta: { text: { device: deviceId('guest') } } });
  });

  test('is all of them and who wrote each, in a list', async () => {
    const made = await onDropped(network);
    const { store, receiver, space } = made;
    let scans = 0;
    store.beforeRead = (table, key) => {
      // A page, and the names for its first.
      if (table !== 'state' || key !== null || ++scans !== 2) return undefined;
      return receiver.takeFork();
    };
    const { items, next } = await space.list({ prefix: 'n/', limit: 1000 });
    expect(next).toBeNull();
    expect(items.length).toBe(GUEST_COMMITS * GUEST_RESOURCES);
    expect(new Set(items.map(({ meta }) => meta['text']!.device))).toEqual(new Set([deviceId('guest')]));
  });

  test('is every conflict', async () => {
    const made = await onDropped(network);
    const { history, receiver, space } = made;
    const ops = (by: string): Change[] => [{ subject: 'both', ops: { set: { by } } }];
    for (const by of ['founder', 'guest']) expect(await receiver.give(history.write(by, ops(by)))).toBeNull();
    anewAtRead(made, 'conflicts', false);
    expect((await space.conflicts({ limit: 10 })).items).toMatchObject([{ subject: 'both', property: 'by' }]);
  });

  test('is the same in a tab that follows, and has not heard of it yet', async () => {
    const { store, receiver } = await onDropped(network);
    const following = new FollowerStore(store.inner);
    const tab = await network.add('tab', { store: following, seed: bytesOf('receiver', 32) });
    following.refresh = () => tab.peer.refresh();
    const space = tab.peer.spaces[0]!;
    await receiver.takeFork();
    expect(await space.get('n/1/1')).toMatchObject({ meta: { text: { device: deviceId('guest') } } });
    expect(space.epoch).toEqual(receiver.space.epoch);
  });

  test('is all of them in such a tab', async () => {
    const { store, receiver } = await onDropped(network);
    const following = new FollowerStore(store.inner);
    const tab = await network.add('tab', { store: following, seed: bytesOf('receiver', 32) });
    following.refresh = () => tab.peer.refresh();
    await receiver.takeFork();
    const { items } = await tab.peer.spaces[0]!.list({ prefix: 'n/', limit: 1000 });
    expect(items.length).toBe(GUEST_COMMITS * GUEST_RESOURCES);
  });
});

describe('who reads the log', () => {
  test('back from its end is told that the epoch is another', async () => {
    const made = await onDropped(network);
    anewAtRead(made, 'blocks', true);
    await expect(made.space.newest({ limit: 100 })).rejects.toMatchObject({ code: 'cursor-epoch' });
  });

  test('back from its end is told so too where only the names were still to be read: the cursors would be of another log', async () => {
    const made = await onDropped(network);
    anewAtRead(made, 'state', false);
    await expect(made.space.newest({ limit: 100 })).rejects.toMatchObject({ code: 'cursor-epoch' });
  });

  test('on from a cursor is told so: the new log may not know the chains of a block that was read', async () => {
    const made = await onDropped(network);
    anewAfterBranch(made);
    await expect(collect(made.space.log())).rejects.toMatchObject({ code: 'cursor-epoch' });
  });

  test('for the proof of a commit gets none of another', async () => {
    const made = await onDropped(network);
    const { items } = await made.space.newest({ limit: 100 });
    anewAtRead(made, 'blocks', true);
    await expect(made.space.prove(items[4]!.cursor)).rejects.toMatchObject({ code: 'cursor-epoch' });
  });

  test('for a follower finds no damage in a block whose chains are gone', async () => {
    const made = await onDropped(network);
    anewAfterBranch(made);
    // Who has something from elsewhere is sent small blocks entry by entry.
    const known = new Map([[made.history.chainHex('founder'), 4]]);
    const batch = await made.space.readFor(BEFORE_BRANCH, known, null, EVERY_CODEC);
    expect(batch?.last).toBeGreaterThan(BEFORE_BRANCH);
  });

  test('for a follower finds no damage where a block is just being deleted', async () => {
    const { store, receiver, space } = await onDropped(network);
    const { epoch } = space;
    const deleted = Promise.withResolvers<void>();
    const read = Promise.withResolvers<void>();
    let taken: Promise<void> | null = null;
    store.afterWrite = (ops) => {
      if (!ops.every(({ table, value }) => table === 'blocks' && value === null)) return undefined;
      deleted.resolve();
      return read.promise;
    };
    store.beforeRead = (table, key) => {
      if (table !== 'blocks' || key === null || taken !== null) return undefined;
      taken = receiver.takeFork();
      return deleted.promise;
    };
    const batch = await space.readFor(0, new Map(), null, EVERY_CODEC).finally(() => read.resolve());
    await taken;
    expect(batch?.last).toBeGreaterThan(0);
    expect(space.epoch).not.toEqual(epoch);
  });
});

describe('who waits until a write has reached others', () => {
  const SOMEBODY = bytesOf('somebody', 32);

  /** A device that writes behind the branch, and has nothing of the other. */
  async function memberOf(history: ForkedHistory, device: string): Promise<Receiver> {
    const { seq: forkedAt } = history.proof();
    const member = await network.add(device, { seed: bytesOf(`device ${device}`, 32) });
    const here = new Receiver(history, member, await member.peer.addCopy(history.space, ''));
    await here.giveAll(history.all.filter(({ branch, commit }) => branch !== 'kept' || commit.seq < forkedAt));
    return here;
  }

  test('is told so, also where it stands elsewhere since', async () => {
    const { history } = await onDropped(network);
    const here = await memberOf(history, 'guest');
    const { space } = here;
    const write = space.set('own', { v: 1 });
    await write.stored;
    const { head } = space;
    const reached = write.reached({ peers: 1 });
    await here.takeFork();
    expect(space.head).toBe(head - 3);
    space.noteAcked(SOMEBODY, space.head, space.epoch);
    await reached;
    await write.reached({ peers: 1 });
  });

  test('is not told so by who has only as much of the new log as would have been enough of the old', async () => {
    const { history } = await onDropped(network);
    const here = await memberOf(history, 'guest');
    const { space } = here;
    const write = space.set('own', { v: 1 });
    await write.stored;
    const { epoch, head } = space;
    await here.takeFork();
    // Said of the old log, before they know that it is no more.
    space.noteAcked(SOMEBODY, head, epoch);
    expect(space.ackedBy(SOMEBODY)).toBeNull();
    space.noteAcked(SOMEBODY, space.head - 1, space.epoch);
    const order: string[] = [];
    const reached = write.reached({ peers: 1 }).then(() => order.push('reached'));
    await collect(space.log());
    order.push('they have all');
    space.noteAcked(SOMEBODY, space.head, space.epoch);
    await reached;
    expect(order).toEqual(['they have all', 'reached']);
  });

  test('is told where it was set aside, whatever others have', async () => {
    const history = new ForkedHistory();
    const grant = history.grant('founder', 'twin', 'owner');
    history.data('kept', [grant]);
    history.fork();
    history.grant('dropped', 'guest', 'writer');
    history.data('kept');
    const here = await memberOf(history, 'guest');
    const { space } = here;
    const write = space.set('own', { v: 1 });
    const { id } = await write.stored;
    const reached = write.reached({ peers: 1 }).catch((thrown: unknown) => thrown);
    await here.takeFork();
    space.noteAcked(SOMEBODY, 100, space.epoch);
    expect(await reached).toMatchObject({ code: 'fork', detail: { id } });
    const setAside = await collect(space.branches.setAside());
    expect(setAside.map((commit) => commit.id)).toContain(id);
  });

  test('until one device has all, waits for all of the new log', async () => {
    const { receiver, space } = await onDropped(network);
    const reached = space.reached(SOMEBODY);
    await receiver.takeFork();
    space.noteAcked(SOMEBODY, space.head, space.epoch);
    await reached;
  });

  test('in a tab that follows, and hears what others have before it hears of the new log, is told so', async () => {
    const { store, receiver, space: led } = await onDropped(network);
    const following = new FollowerStore(store.inner);
    const { peer } = await network.add('tab', { store: following, seed: bytesOf('receiver', 32) });
    const space = peer.spaces[0]!;
    const reached = space.reached(SOMEBODY);
    await receiver.takeFork();
    space.noteAcked(SOMEBODY, led.head, led.epoch);
    expect(space.ackedBy(SOMEBODY)).toBeNull();
    await peer.refresh();
    await reached;
    expect(space.ackedBy(SOMEBODY)).toBe(led.head);
  });
});

describe('what was set aside', () => {
  test('is written again once, also where two ask for it at once', async () => {
    const { receiver, space } = await onDropped(network);
    await receiver.takeFork();
    let written = 0;
    const write = async (): Promise<void> => {
      await Promise.resolve();
      written++;
    };
    const both = await Promise.all([space.branches.republish(write), space.branches.republish(write)]);
    expect(written).toBe(3);
    expect(both).toEqual([
      { written: 3, left: 0 },
      { written: 0, left: 0 },
    ]);
  });

  test('is written by the second who asks, where the first could not', async () => {
    const { receiver, space } = await onDropped(network);
    await receiver.takeFork();
    const fails = space.branches.republish(() => Promise.reject(new TidelogError('store-full')));
    const goes = space.branches.republish(async () => {});
    await expect(fails).rejects.toMatchObject({ code: 'store-full' });
    expect(await goes).toEqual({ written: 3, left: 0 });
  });
});

/** Orders of events that are rare: what ends while it is being begun, what fails halfway, and what one peer may make another hold. */
import { afterEach, describe, expect, test } from 'vitest';
import { MemoryStore } from '../../client/memory-store.ts';
import { transportPair } from '../../client/platform/transport-pair.ts';
import type { Space } from '../../client/space.ts';
import type { Table } from '../../client/store.ts';
import type { Transport } from '../../client/transport.ts';
import type { Message, StartsFrom } from '../../protocol/messages.ts';
import { encodeBody } from '../../protocol/body.ts';
import { DEVICES_PREFIX } from '../../protocol/constants.ts';
import { toHex } from '../../protocol/bytes.ts';
import { eventually, Network, pair, type Member } from '../support/network.ts';
import { bytesOf } from '../support/protocol.ts';
import { TestChain } from '../support/chains.ts';
import { RawPeer } from '../support/raw-peer.ts';
import { WrappedStore } from '../support/stores.ts';
import { turn } from '../support/turn.ts';

let network = new Network();
afterEach(async () => {
  await network.close();
  network = new Network();
});

async function hostWithStore(): Promise<{ host: Member; store: WrappedStore }> {
  const store = new WrappedStore(new MemoryStore());
  return { host: await network.add('host', { store }), store };
}

/** Holds the next read of a table up. */
function holdRead(store: WrappedStore, held: Table): { reached: Promise<void>; release: () => void } {
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  store.beforeRead = (table) => {
    if (table !== held) return;
    store.beforeRead = () => {};
    reached.resolve();
    return released.promise;
  };
  return { reached: reached.promise, release: released.resolve };
}

function subscribe(space: Uint8Array, from: StartsFrom): Message {
  return { type: 'SUBSCRIBE_ALL', subscription: 1, space, from, live: true, credit: 4 * 1024 * 1024 };
}

const FROM_NOTHING: StartsFrom = { kind: 'vector', heads: [] };

/** One that was let in, and has been greeted. */
async function memberOf(host: Member, space: Space): Promise<RawPeer> {
  await host.peer.addDevice(new RawPeer(host, 'raw').id, { space });
  const raw = await RawPeer.connect(host, 'raw');
  await raw.next('HELLO');
  return raw;
}

describe('a subscription that ends while it is being opened', () => {
  test('leaves nothing behind for the next one with its number', async () => {
    const { host, store } = await hostWithStore();
    const home = await host.peer.homeSpace();
    const raw = await memberOf(host, home);
    raw.hello();
    const { reached, release } = holdRead(store, 'blockIndex');
    raw.send(subscribe(home.id, FROM_NOTHING));
    await reached;
    raw.send({ type: 'UNSUBSCRIBE', subscription: 1 }, subscribe(home.id, { kind: 'all' }));
    await raw.next('UNSUBSCRIBED');
    for (let i = 0; i < 5; i++) await turn();
    release();
    expect((await raw.next('BATCH')).prev).toBe(0);
    const { last } = await raw.next('CAUGHT_UP');
    await home.set('note', { n: 1 }).stored;
    expect((await raw.next('BATCH')).prev).toBe(last);
  });

  test('because its device was revoked there is not served', async () => {
    const { host, store } = await hostWithStore();
    const home = await host.peer.homeSpace();
    const other = await host.peer.createSpace('other');
    const { id } = new RawPeer(host, 'raw');
    for (const space of [home, other]) await host.peer.addDevice(id, { space });
    const raw = await RawPeer.connect(host, 'raw');
    await raw.next('HELLO');
    raw.hello();
    const { reached, release } = holdRead(store, 'blockIndex');
    raw.send(subscribe(other.id, FROM_NOTHING));
    await reached;
    await host.peer.revokeDevice(other, id);
    release();
    await other.set('secret', { n: 1 }).stored;
    for (let i = 0; i < 5; i++) await turn();
    expect(raw.received.map(({ type }) => type)).not.toContain('BATCH');
    expect((await raw.next('UNSUBSCRIBED')).fault?.code).toBe('unknown-space');
  });
});

describe('what a member may make a peer hold', () => {
  test('heads of spaces that are not here are not kept', async () => {
    const { host } = await hostWithStore();
    const home = await host.peer.homeSpace();
    const raw = await memberOf(host, home);
    raw.hello();
    for (let i = 0; i < 20; i++) {
      const spaces = [...Array(200).keys()].map((j) => ({
        space: bytesOf(`space ${i} ${j}`, 32),
        epoch: bytesOf('epoch', 8),
        head: 1,
        digest: bytesOf('digest', 32),
      }));
      raw.send({ type: 'HEARTBEAT', spaces, time: 1 });
    }
    await eventually(() => raw.connection.bytesIn > 100_000, 'all heartbeats came');
    await turn();
    expect(raw.connection.remoteHeads.size).toBeLessThanOrEqual(host.peer.spaces.length);
  });

  const made = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => ({
      space: bytesOf(`made up ${from + i}`, 32),
      epoch: bytesOf('epoch', 8),
      head: 1,
      digest: bytesOf('digest', 32),
    }));

  test('of spaces that a device makes up few are taken, and a person is told', async () => {
    const { host } = await hostWithStore();
    const home = await host.peer.homeSpace();
    await host.peer.addDevice(new RawPeer(host, 'raw').id, { space: home, name: 'phone' });
    const raw = await RawPeer.connect(host, 'raw');
    await raw.next('HELLO');
    for (let from = 0; from < 2000; from += 200) {
      raw.hello(made(from, 200));
      await turn();
    }
    await eventually(() => host.peer.status().warnings.length > 0, 'it is told');
    for (let i = 0; i < 20; i++) await turn();
    expect(host.peer.status().warnings.join()).toMatch(/^phone offers many spaces, and nothing has come yet of 32/);
    expect(host.peer.spaces.length).toBe(1 + 32);
    // Another device still brings its own.
    await host.peer.addDevice(new RawPeer(host, 'other').id, { space: home });
    const other = await RawPeer.connect(host, 'other');
    await other.next('HELLO');
    other.hello(made(5000, 1));
    await other.next('SUBSCRIBE_ALL');
    expect(host.peer.spaces.length).toBe(1 + 33);
  });

  test('of many honest spaces all are taken on one line, though nothing has come yet when they are offered', async () => {
    const laptop = await network.add('laptop');
    const phone = await network.add('phone');
    await laptop.peer.homeSpace();
    await pair(laptop, phone);
    network.isolate(laptop);
    for (let i = 0; i < 80; i++) {
      const space = await laptop.peer.createSpace(`space ${i}`);
      await laptop.peer.addDevice(phone.peer.id, { space });
    }
    network.reconnect(laptop);
    await phone.peer.connect(laptop.url);
    await eventually(() => laptop.peer.connections().length === 1 && phone.peer.connections().length === 1, 'one line');
    const [connection] = phone.peer.connections();
    await eventually(
      () => phone.peer.spaces.length === 81 && phone.peer.spaces.every(({ head }) => head > 0),
      'all came',
    );
    expect(connection!.closed).toBe(false);
    expect(phone.peer.status().warnings.join()).not.toContain('offers many spaces');
  });

  test('of HELLOs that come while one is dealt with only the last is', async () => {
    const { host, store } = await hostWithStore();
    const home = await host.peer.homeSpace();
    const raw = await memberOf(host, home);
    const released = Promise.withResolvers<void>();
    store.beforeWrite = () => released.promise;
    for (let from = 0; from < 20; from++) raw.hello(made(from, 1));
    await eventually(() => raw.connection.remote?.spaces[0]?.space[0] === made(19, 1)[0]!.space[0], 'all of them came');
    store.beforeWrite = () => {};
    released.resolve();
    await eventually(() => host.peer.spaces.length === 3, 'the first and the last are here');
    for (let i = 0; i < 20; i++) await turn();
    expect(host.peer.spaces.map(({ hex }) => hex).slice(1)).toEqual(
      [...made(0, 1), ...made(19, 1)].map(({ space }) => toHex(space)),
    );
  });

  test('subscriptions that are dropped before their turn are not looked at', async () => {
    const { host, store } = await hostWithStore();
    const home = await host.peer.homeSpace();
    await home.set('note', { n: 1 }).stored;
    const raw = await memberOf(host, home);
    raw.hello();
    const { reached, release } = holdRead(store, 'blockIndex');
    raw.send(subscribe(home.id, FROM_NOTHING));
    await reached;
    let reads = 0;
    store.beforeRead = (table) => {
      if (table === 'blockIndex') reads++;
    };
    for (let subscription = 2; subscription < 1000; subscription++) {
      raw.send({ ...subscribe(home.id, FROM_NOTHING), subscription } as Message, { type: 'UNSUBSCRIBE', subscription });
    }
    await eventually(
      () => raw.received.some((message) => message.type === 'UNSUBSCRIBED' && message.subscription === 999),
      'all of them ended',
    );
    release();
    expect((await raw.next('CAUGHT_UP')).subscription).toBe(1);
    expect(reads).toBeLessThan(10);
  });

  test.each(['HEARTBEAT', 'CAUGHT_UP'] as const)(
    'a flood of %s costs one look at the cursor at a time',
    async (type) => {
      const { host, store } = await hostWithStore();
      const home = await host.peer.homeSpace();
      await host.peer.addDevice(new RawPeer(host, 'raw').id, { space: home });
      const raw = await RawPeer.connect(host, 'raw');
      const subscription = await raw.greet(home.id);
      let reads = 0;
      const released = Promise.withResolvers<void>();
      store.beforeRead = (table) => {
        if (table !== 'cursors') return;
        reads++;
        return released.promise;
      };
      for (let head = 1000; head < 1100; head++) {
        const spaces = [{ space: home.id, epoch: bytesOf('raw epoch', 8), head, digest: home.digest() }];
        if (type === 'HEARTBEAT') raw.send({ type, spaces, time: 1 });
        else raw.send({ type, subscription, last: head, digest: home.digest() });
      }
      await eventually(() => raw.connection.remoteHeads.get(home.hex)?.head === 1099, 'all of them came');
      expect(reads).toBeLessThan(3);
      released.resolve();
    },
  );
});

describe('what others may make a peer do', () => {
  test('a stranger that asks again and again to be let in is reported once', async () => {
    const { host } = await hostWithStore();
    await host.peer.homeSpace();
    const raw = await RawPeer.connect(host, 'stranger');
    for (let i = 0; i < 50; i++) raw.send({ type: 'PAIR', invite: null, name: 'stranger' });
    for (let i = 0; i < 50; i++) await raw.next('REFUSED');
    expect(host.events.filter(({ type }) => type === 'pending').length).toBe(1);
    expect(host.peer.pending().length).toBe(1);
  });

  test('revocations by one who is revoked himself do not have the log read', async () => {
    const { host, store } = await hostWithStore();
    const home = await host.peer.homeSpace();
    await home.set('note', { n: 1 }).stored;
    const lost = new TestChain(home.id, 'lost');
    await host.peer.addDevice(new RawPeer(host, 'lost').id, { space: home, role: 'owner' });
    await host.peer.addDevice(new RawPeer(host, 'raw').id, { space: home });
    const deps = home.chains.map(({ id, seq }) => ({ chain: id, seq }));
    await host.peer.revokeDevice(home, new RawPeer(host, 'lost').id);
    const raw = await RawPeer.connect(host, 'raw');
    const subscription = await raw.greet(home.id);
    let reads = 0;
    store.beforeRead = (table) => {
      if (table === 'blocks') reads++;
    };
    const revoke = { subject: `${DEVICES_PREFIX}${host.peer.id}`, ops: { set: { revoked: {} } } };
    for (let seq = 1; seq <= 10; seq++) {
      lost.write(encodeBody({ time: seq, deps: seq === 1 ? deps : [], changes: [revoke] }));
      raw.batch(subscription, seq - 1, seq, lost.batch(seq, seq));
      await raw.next('ACK');
    }
    expect(home.role).toBe('owner');
    expect(reads).toBe(0);
  });
});

describe('a space', () => {
  test('is found by its id, whatever another one is called', async () => {
    const { host } = await hostWithStore();
    const home = await host.peer.homeSpace();
    await host.peer.createSpace(home.hex);
    expect(host.peer.space(home.hex)).toBe(home);
  });

  test('whose state was being made anew when the store failed is whole at the next write', async () => {
    const { host, store } = await hostWithStore();
    const home = await host.peer.homeSpace();
    await home.set('note/1', { n: 1 }).stored;
    await home.set('note/2', { n: 1 }).stored;
    store.beforeWrite = (ops) => {
      if (ops.some(({ table, value }) => table === 'state' && value !== null)) throw new Error('disk full');
    };
    await expect(home.rebuild()).rejects.toThrow('disk full');
    store.beforeWrite = () => {};
    await home.set('note/2', { m: 1 }).stored;
    expect((await home.get('note/1'))?.value).toEqual({ n: 1 });
    expect((await home.get('note/2'))?.value).toEqual({ n: 1, m: 1 });
    expect(home.stats().subjects).toBe(2);
  });

  test('shows a new name of a device also where somebody was reading the old one', async () => {
    const { host, store } = await hostWithStore();
    const home = await host.peer.homeSpace();
    await home.set('note', { n: 1 }).stored;
    await host.peer.renameDevice(home, host.peer.id, 'before');
    const inner = store.inner;
    const page = Promise.withResolvers<void>();
    const reading = Promise.withResolvers<void>();
    const { scan } = store;
    store.scan = (table, range) => {
      const found = inner.scan(table, range);
      if (table !== 'state') return found;
      store.scan = scan;
      reading.resolve();
      return page.promise.then(() => found);
    };
    const before = home.get('note');
    await reading.promise;
    await host.peer.renameDevice(home, host.peer.id, 'after');
    page.resolve();
    await before;
    expect((await home.get('note'))?.meta['n']?.deviceName).toBe('after');
  });

  test('lets others run while it takes out what a revocation made void', async () => {
    const { host } = await hostWithStore();
    const guest = await network.add('guest');
    await pair(host, guest);
    const there = guest.peer.space();
    await Promise.all([...Array(1500).keys()].map((i) => there.set(`note/${i}`, { i }).stored));
    await there.set('last', { i: 1 }).reached({ peers: 1 });
    const home = host.peer.space();
    const others = { turns: 0, done: false };
    const count = async (): Promise<void> => {
      for (; !others.done; others.turns++) await turn();
    };
    const began = performance.now();
    const counting = count();
    await home.commitReserved([{ subject: `${DEVICES_PREFIX}${guest.peer.id}`, ops: { set: { revoked: {} } } }]).stored;
    const took = performance.now() - began;
    others.done = true;
    await counting;
    expect(await home.get('last')).toBe(null);
    // A walk over the log for each subject took seconds, and nobody else had a turn.
    expect(others.turns).toBeGreaterThan(took / 200);
    expect(took).toBeLessThan(1500);
  });
});

describe('a peer', () => {
  test('that is closed while it dials opens nothing', async () => {
    const dialled = Promise.withResolvers<Transport>();
    const { a } = transportPair();
    const laptop = await network.add('laptop', { platform: { dial: () => dialled.promise } });
    laptop.peer.dial('http://phone');
    await laptop.peer.close();
    dialled.resolve(a);
    for (let i = 0; i < 3; i++) await turn();
    expect(laptop.peer.connections()).toEqual([]);
  });

  test('that gives a connection up before it has greeted keeps none', async () => {
    const { a } = transportPair();
    const laptop = await network.add('laptop', { platform: { dial: () => Promise.resolve(a) } });
    const giveUp = new AbortController();
    const connecting = laptop.peer.connect('http://phone', { signal: giveUp.signal });
    await eventually(() => laptop.peer.connections().length === 1, 'it answers');
    giveUp.abort(new Error('given up'));
    await expect(connecting).rejects.toThrow('given up');
    expect(laptop.peer.connections()).toEqual([]);
  });

  test('whose approval fails goes on listing the device that waits', async () => {
    const { host, store } = await hostWithStore();
    const guest = await network.add('guest');
    const home = await host.peer.homeSpace();
    const joined = guest.peer.ask(host.url);
    joined.catch(() => {});
    await eventually(() => host.peer.pending().length === 1, 'it asks');
    store.beforeWrite = () => {
      throw new Error('disk full');
    };
    await expect(host.peer.approve(guest.peer.id, home)).rejects.toThrow('disk full');
    store.beforeWrite = () => {};
    await host.peer.approve(guest.peer.id, home);
    expect(toHex((await joined).space.id)).toBe(home.hex);
  });
});

describe('a claim that our chain goes further than we know', () => {
  test('makes us begin a new chain once, and not after every write', async () => {
    const { host } = await hostWithStore();
    const home = await host.peer.homeSpace();
    for (let i = 0; i < 5; i++) {
      await home.set('note', { i }).stored;
      const claims = home.chains.map(({ id, seq, head }) => ({ chain: id, seq: seq + 100, id: head }));
      await home.openFor({ kind: 'vector', heads: claims }, bytesOf('claimant', 32));
    }
    // The founding chain, and the one that the first claim had begun.
    expect(home.chains.length).toBe(2);
  });
});

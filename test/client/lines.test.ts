/** Lines where something fails or comes in between: nothing is said that the disk doesn't have, and nobody is left waiting or left out for good. */
import { afterEach, describe, expect, test } from 'vitest';
import { MemoryStore } from '../../client/memory-store.ts';
import type { Space } from '../../client/space.ts';
import { encodeBody } from '../../protocol/body.ts';
import { toHex } from '../../protocol/bytes.ts';
import { TidelogError } from '../../protocol/errors.ts';
import type { Fault } from '../../protocol/messages.ts';
import { TestChain } from '../support/chains.ts';
import { eventually, Network, pair, type Member } from '../support/network.ts';
import { bytesOf, withCode } from '../support/protocol.ts';
import { RawPeer } from '../support/raw-peer.ts';
import { WrappedStore } from '../support/stores.ts';
import { turn } from '../support/turn.ts';

let network = new Network();
/** What a test has a disk wait for; in any case open when it ends, or nothing could be closed. */
let disk = Promise.withResolvers<void>();
afterEach(async () => {
  disk.resolve();
  disk = Promise.withResolvers();
  await network.close();
  network = new Network();
});

/** Long enough for whatever would come, without a clock. */
async function turns(): Promise<void> {
  for (let i = 0; i < 200; i++) await turn();
}

/** A peer made by hand that may write to these spaces of the host. */
async function rawMember(host: Member, spaces: readonly Space[]): Promise<RawPeer> {
  const raw = new RawPeer(host, 'raw');
  raw.cut();
  for (const space of spaces) await host.peer.addDevice(raw.id, { space, role: 'writer' });
  return RawPeer.connect(host, 'raw');
}

function commitOf(space: Space, name: string): TestChain {
  const chain = new TestChain(space.id, name);
  const deps = space.chains.map(({ id, seq }) => ({ chain: id, seq }));
  const changes = [{ subject: 'note', ops: { set: { by: name } } }];
  chain.write(encodeBody({ time: Date.now() * 1000, deps, changes }));
  return chain;
}

test('what is passed over is acknowledged after what came before it in its own space', async () => {
  const store = new WrappedStore(new MemoryStore());
  const host = await network.add('host', { store });
  const home = await host.peer.homeSpace();
  const work = await host.peer.createSpace('work');
  const raw = await rawMember(host, [home, work]);
  await raw.next('HELLO');
  const offered = { epoch: bytesOf('raw epoch', 8), head: 10, digest: bytesOf('raw digest', 32) };
  raw.hello([home, work].map(({ id: space }) => ({ space, ...offered })));
  const asked = [await raw.next('SUBSCRIBE_ALL'), await raw.next('SUBSCRIBE_ALL')];
  const ofHome = asked.find(({ space }) => toHex(space) === home.hex)!.subscription;
  const ofWork = asked.find(({ space }) => toHex(space) === work.hex)!.subscription;
  const { promise: ready } = disk;
  let writes = 0;
  store.beforeWrite = (ops) => (ops.some(({ table }) => table === 'blocks') && ++writes === 1 ? ready : undefined);
  const { head } = work;
  raw.batch(ofHome, 4, 5, commitOf(home, 'raw').batch());
  await eventually(() => writes === 1, 'it is on its way to the disk');
  raw.batch(ofWork, 4, 5, commitOf(work, 'raw').batch());
  await eventually(() => work.head > head, 'the other space is written');
  raw.batch(ofHome, 5, 6, { chains: [], entries: [] });
  await turns();
  const acked = (): number[] =>
    raw.received.flatMap((message) => (message.type === 'ACK' && message.subscription === ofHome ? message.last : []));
  expect(acked()).toEqual([]);
  disk.resolve();
  await eventually(() => acked().length === 2, 'both are acknowledged');
  expect(acked()).toEqual([5, 6]);
});

test('who was offered a space by a grant that was never written follows it no longer', async () => {
  const store = new WrappedStore(new MemoryStore());
  const laptop = await network.add('laptop', { store });
  const phone = await network.add('phone');
  await laptop.peer.homeSpace();
  await pair(laptop, phone);
  const work = await laptop.peer.createSpace('work');
  const { promise: ready } = disk;
  let writes = 0;
  store.beforeWrite = (ops) => (ops.some(({ table }) => table === 'blocks') && ++writes === 1 ? ready : undefined);
  const adding = laptop.peer.addDevice(phone.peer.id, { space: work, role: 'reader' });
  adding.catch(() => {});
  await eventually(() => writes === 1, 'the grant is on its way to the disk');
  network.cut();
  await eventually(() => phone.peer.connections().length === 0, 'the line is down');
  const line = await phone.peer.connect(laptop.url);
  await turns();
  disk.reject(new TidelogError('store-full'));
  await expect(adding).rejects.toEqual(withCode('store-full'));
  expect(work.roleOf(phone.peer.device)).toBeNull();
  await work.set('secret', { v: 1 }).stored;
  await turns();
  const secret = async (): Promise<unknown> =>
    (await phone.peer.spaces.find(({ hex }) => hex === work.hex)?.get('secret')) ?? null;
  expect(await secret()).toBeNull();
  // Once it is let in, it is told so on the same line.
  await laptop.peer.addDevice(phone.peer.id, { space: work, role: 'reader' });
  await eventually(async () => (await secret()) !== null, 'it comes');
  expect(line.closed).toBe(false);
});

test('a member that was none for a while goes on by the line that it has', async () => {
  const founder = await network.add('founder');
  const laptop = await network.add('laptop');
  const stolen = await network.add('stolen');
  const phone = await network.add('phone');
  await founder.peer.homeSpace();
  await pair(founder, laptop, 'owner');
  await pair(founder, stolen, 'owner');
  const home = laptop.peer.space();
  await eventually(() => home.roleOf(stolen.peer.device) === 'owner', 'the laptop knows the other owner');
  network.isolate(founder);
  await laptop.peer.connect(stolen.url);
  await pair(stolen, phone);
  await eventually(() => home.roleOf(phone.peer.device) === 'writer', 'the laptop knows the phone');
  const line = await phone.peer.connect(laptop.url);
  await line.caughtUp();
  phone.peer.undial(stolen.url);
  network.isolate(stolen);
  // The founder hasn't heard of the phone: by whom it was let in had no right to, then.
  await founder.peer.revokeDevice(founder.peer.space(), stolen.peer.id);
  network.reconnect(founder);
  await laptop.peer.connect(founder.url);
  await eventually(() => home.roleOf(phone.peer.device) === null, 'the phone is a stranger');
  await laptop.peer.addDevice(phone.peer.id, { space: home });
  await home.set('note', { v: 1 }).stored;
  await eventually(async () => (await phone.peer.space().get('note')) !== null, 'it comes');
  expect(line.closed).toBe(false);
});

test('who waits for all that another has is told why it will not come', async () => {
  const host = await network.add('host');
  const home = await host.peer.homeSpace();
  const raw = await rawMember(host, [home]);
  const subscription = await raw.greet(home.id);
  const waiting = [raw.connection.caughtUp({ space: home }), raw.connection.caughtUp()];
  const fault: Fault = { code: 'bad-request', retry: false, afterMs: 0, text: '', detail: {} };
  raw.send({ type: 'UNSUBSCRIBED', subscription, fault });
  for (const wait of waiting) await expect(wait).rejects.toEqual(withCode('bad-request'));
});

test('a disk that fails while a subscription is opened costs the line, and the next one goes on', async () => {
  const store = new WrappedStore(new MemoryStore());
  const laptop = await network.add('laptop', { store });
  const phone = await network.add('phone');
  await laptop.peer.homeSpace();
  await pair(laptop, phone);
  network.cut();
  await eventually(() => laptop.peer.connections().length === 0, 'the line is down');
  await phone.peer.space().set('mine', { v: 1 }).stored;
  await laptop.peer.space().set('note', { v: 1 }).stored;
  let failed = 0;
  store.beforeRead = (table) => {
    if (table !== 'blockIndex' || failed > 0 || laptop.peer.connections().length === 0) return;
    failed++;
    throw new TidelogError('store-failed');
  };
  phone.peer.wake();
  await eventually(async () => (await phone.peer.space().get('note')) !== null, 'it comes');
  expect(failed).toBe(1);
});

test('a peer that is closed keeps no line that somebody opens to it', async () => {
  const laptop = await network.add('laptop');
  const phone = await network.add('phone');
  await laptop.peer.homeSpace();
  await pair(laptop, phone);
  await laptop.peer.close();
  await eventually(() => phone.peer.connections().length === 0, 'the line is down');
  await expect(phone.peer.connect(laptop.url)).rejects.toThrow();
  expect(laptop.peer.connections()).toEqual([]);
});

describe('an address that two devices had', () => {
  test.each(['old', 'new'])('is dialled for either: the %s one is there', async (which) => {
    const seed = bytesOf('laptop', 32);
    const store = new WrappedStore(new MemoryStore());
    const laptop = await network.add('laptop', { store, seed });
    await laptop.peer.homeSpace();
    const pis = new Map<string, Member>();
    for (const name of ['old', 'new']) {
      const pi = await network.add('pi', { seed: bytesOf(name, 32) });
      await pair(laptop, pi);
      await laptop.peer.connect(pi.url);
      pi.peer.undial(laptop.url);
      laptop.peer.undial(pi.url);
      network.isolate(pi);
      pis.set(name, pi);
    }
    await laptop.peer.close();
    network.reconnect(pis.get(which)!);
    const again = await network.add('laptop', { store, seed });
    again.peer.dialKnown();
    await eventually(() => again.peer.connectionTo(pis.get(which)!.peer.device) !== null, 'it is reached');
  });
});

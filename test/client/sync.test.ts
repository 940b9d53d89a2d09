/** Peers that sync: what each lacks comes once, in order, whatever happens to the lines between them. */
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { nodePlatform } from '../../client/platform/node.ts';
import { MemoryStore } from '../../client/memory-store.ts';
import type { Space } from '../../client/space.ts';
import { TABLES } from '../../client/store.ts';
import { decodeSpace, encodeSpace } from '../../client/tables.ts';
import { toHex } from '../../protocol/bytes.ts';
import { CREDIT_BYTES_MIN, SILENCE_MAX_MS } from '../../protocol/constants.ts';
import type { Role } from '../../protocol/membership.ts';
import { collect, dump, eventually, eventuallySame, Network, pair, type Member } from '../support/network.ts';
import { bytesOf, withCode } from '../support/protocol.ts';
import { RawPeer } from '../support/raw-peer.ts';
import { contents, copyStore, WrappedStore } from '../support/stores.ts';
import { turn } from '../support/turn.ts';

let network = new Network();
afterEach(async () => {
  await network.close();
  network = new Network();
});

/** Commits that came and were new, and those that came in vain. */
function counted(...members: Member[]): { received: number; duplicates: number } {
  return {
    received: members.reduce((sum, { peer }) => sum + peer.counters.entriesReceived, 0),
    duplicates: members.reduce((sum, { peer }) => sum + peer.counters.duplicates, 0),
  };
}

/** A space of the first that all others are members of; nobody is connected. */
async function membersOf(...names: string[]): Promise<Member[]> {
  const members: Member[] = [];
  for (const name of names) {
    const member = await network.add(name);
    members.push(member);
    if (members.length === 1) await member.peer.homeSpace();
    else await pair(members[0]!, member);
  }
  await eventuallySame(members);
  for (const member of members) network.isolate(member);
  for (const member of members) network.reconnect(member);
  return members;
}

async function writeMany(space: Space, prefix: string, count: number): Promise<void> {
  const writes = [...Array(count).keys()].map((i) => space.set(`${prefix}/${i}`, { i }).stored);
  await Promise.all(writes);
}

describe('two peers', () => {
  test('what one writes live comes back to it now and then, not each by itself', async () => {
    const [writer, reader] = (await membersOf('writer', 'reader')) as [Member, Member];
    const connection = await writer.peer.connect(reader.url);
    await connection.caughtUp();
    const before = reader.peer.counters.batchesOut;
    const startedMs = performance.now();
    const space = writer.peer.space();
    for (let i = 0; i < 100; i++) await space.set('note', { i }).reached({ peers: 1 });
    const head = reader.peer.space().head;
    await eventually(() => connection.cursorIn(space) === head, 'the cursor is at the head');
    // Each is held for 0.1 s, however long the machine takes for them all.
    const echoes = reader.peer.counters.batchesOut - before;
    expect(echoes).toBeLessThanOrEqual(2 + (performance.now() - startedMs) / 100);
    expect(echoes).toBeGreaterThan(0);
    // And what is held keeps back nothing that is news.
    await reader.peer.space().set('note', { by: 'reader' }).reached({ peers: 1 });
    expect((await space.get('note'))?.value['by']).toBe('reader');
  });

  test('pair by a link, and each gets what the other writes', async () => {
    const laptop = await network.add('laptop');
    const phone = await network.add('phone');
    const home = await laptop.peer.homeSpace();
    await home.set('note/1', { title: 'Milk' }).stored;
    await pair(laptop, phone);
    expect((await phone.peer.space().get('note/1'))?.value).toEqual({ title: 'Milk' });
    const write = phone.peer.space().set('note/1', { done: true });
    await write.reached({ peers: 1 });
    expect((await home.get('note/1'))?.value).toEqual({ title: 'Milk', done: true });
    const back = home.set('note/2', { title: 'Bread' });
    await back.reached({ peers: 1 });
    expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
    expect(phone.peer.space().digest()).toEqual(home.digest());
    expect(counted(laptop, phone).duplicates).toBe(0);
  });

  test('that edit one property apart show the same winner and the same conflict, until somebody writes again', async () => {
    const [laptop, phone] = (await membersOf('laptop', 'phone')) as [Member, Member];
    for (const resolver of [laptop, phone]) {
      await laptop.peer.space().set('note', { title: 'by the laptop', same: 1 }).stored;
      await phone.peer.space().set('note', { title: 'by the phone', same: 1 }).stored;
      await (await phone.peer.connect(laptop.url)).caughtUp();
      await eventuallySame([laptop, phone]);
      const views = [(await laptop.peer.space().get('note'))!, (await phone.peer.space().get('note'))!];
      expect(views[0]!.value).toEqual(views[1]!.value);
      for (const { meta } of views) {
        const { conflict } = meta['title']!;
        expect(conflict.map(({ value }) => value).toSorted()).toEqual(['by the laptop', 'by the phone']);
        expect(conflict[0]!.value).toBe(`by the ${conflict[0]!.deviceName}`);
        expect(conflict[0]!.value).toBe(views[0]!.value['title']);
        expect(conflict[0]!.time).toBeGreaterThanOrEqual(conflict[1]!.time);
        expect(meta['same']!.conflict).toEqual([]);
      }
      for (const { peer } of [laptop, phone]) {
        const { items } = await peer.space().conflicts({ limit: 10 });
        expect(items.map(({ subject, property }) => `${subject} ${property}`)).toEqual(['note title']);
        expect(peer.space().stats().conflicts).toBe(1);
      }
      await resolver.peer.space().set('note', { title: 'agreed' }).reached({ peers: 1 });
      await eventuallySame([laptop, phone]);
      for (const { peer } of [laptop, phone]) {
        expect((await peer.space().conflicts({ limit: 10 })).items).toEqual([]);
        expect((await peer.space().get('note'))?.value['title']).toBe('agreed');
        expect(peer.space().stats().conflicts).toBe(0);
      }
      network.isolate(laptop);
      network.isolate(phone);
      network.reconnect(laptop);
      network.reconnect(phone);
    }
    expect(counted(laptop, phone).duplicates).toBe(0);
  });

  test('that count one thing apart, one of them anew: what it had not seen goes on counting', async () => {
    const [laptop, phone] = (await membersOf('laptop', 'phone')) as [Member, Member];
    const inc = (member: Member, n: number): Promise<unknown> =>
      member.peer.space().commit([{ subject: 'count', ops: { inc: { n }, set: { last: n } } }]).stored;
    for (const n of [1, 2, 3]) await inc(laptop, n);
    await (await phone.peer.connect(laptop.url)).caughtUp();
    await eventuallySame([laptop, phone]);
    network.cut();
    for (const n of [10, 20]) await inc(laptop, n);
    await phone.peer.space().commit([{ subject: 'count', ops: { destroy: true, inc: { n: 100 } } }]).stored;
    await turn();
    await (await phone.peer.connect(laptop.url)).caughtUp();
    await eventuallySame([laptop, phone]);
    for (const { peer, store } of [laptop, phone]) {
      expect((await peer.space().get('count'))?.value).toEqual({ n: 130, last: 20 });
      const state = await contents(store, 'state');
      await peer.space().rebuild();
      expect(await contents(store, 'state')).toEqual(state);
    }
  });

  test('that dial each other at once keep one connection, and data flows', async () => {
    for (let i = 0; i < 6; i++) {
      const [laptop, phone] = (await membersOf(`laptop-${i}`, `phone-${i}`)) as [Member, Member];
      const connected = await Promise.allSettled([laptop.peer.connect(phone.url), phone.peer.connect(laptop.url)]);
      expect(connected.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
      await eventually(
        () => laptop.peer.connections().length === 1 && phone.peer.connections().length === 1,
        'one is left',
      );
      await laptop.peer.space().set('a', { v: 1 }).reached({ peers: 1 });
      await phone.peer.space().set('b', { v: 1 }).reached({ peers: 1 });
      await eventuallySame([laptop, phone]);
      expect(laptop.peer.connections().length).toBe(1);
    }
  });

  test('a commit that arrived, and whose ACK did not, has reached the other once it says so', async () => {
    const [laptop, phone] = (await membersOf('laptop', 'phone')) as [Member, Member];
    await (await phone.peer.connect(laptop.url)).caughtUp();
    await eventuallySame([laptop, phone]);
    const before = phone.peer.space().head;
    const write = laptop.peer.space().set('note', { v: 1 });
    while (phone.peer.space().head === before) await Promise.resolve().then(turn);
    network.cut();
    await phone.peer.connect(laptop.url);
    await write.reached({ peers: 1 });
    expect(counted(laptop, phone).duplicates).toBe(0);
  });

  test('a wait for a write to reach others can be aborted', async () => {
    const [laptop] = (await membersOf('laptop', 'phone')) as [Member, Member];
    const aborter = new AbortController();
    const reached = laptop.peer.space().set('a', { v: 1 }).reached({ peers: 1, signal: aborter.signal });
    setImmediate(() => aborter.abort(new Error('enough')));
    await expect(reached).rejects.toThrow('enough');
  });

  test('a space that is joined, and of which nothing has come, cannot be written yet', async () => {
    const laptop = await network.add('laptop');
    const home = await laptop.peer.homeSpace();
    const empty = await network.add('empty', { store: new MemoryStore() });
    const invite = await laptop.peer.invite(home, { role: 'writer', addresses: [laptop.url] });
    const joined = await empty.peer.join(invite.link);
    const early = joined.space.set('a', { v: 1 }).stored;
    await expect(early).rejects.toEqual(withCode('not-a-member'));
    await joined.synced;
    await joined.space.set('a', { v: 1 }).stored;
  });
});

describe('resuming', () => {
  test('by cursor with the same peer, by vector with another: nothing comes twice', async () => {
    const [laptop, phone, pi] = (await membersOf('laptop', 'phone', 'pi')) as [Member, Member, Member];
    await writeMany(laptop.peer.space(), 'a', 300);
    await (await phone.peer.connect(laptop.url)).caughtUp();
    await (await pi.peer.connect(laptop.url)).caughtUp();
    await eventuallySame([laptop, phone, pi]);
    const start = counted(laptop, phone, pi).received;
    // By itself it would come back to the laptop after a while, and of two lines at once both bring the same.
    pi.peer.undial(laptop.url);
    network.cut();
    await writeMany(laptop.peer.space(), 'b', 100);
    await writeMany(phone.peer.space(), 'c', 50);
    await (await phone.peer.connect(laptop.url)).caughtUp();
    await eventuallySame([laptop, phone]);
    network.cut();
    // From the one that it never spoke to about these.
    await (await pi.peer.connect(phone.url)).caughtUp();
    await eventuallySame([laptop, phone, pi]);
    expect(counted(laptop, phone, pi)).toEqual({ received: start + 100 + 50 + 150, duplicates: 0 });
  });

  test('whenever and however often the lines are cut, with both sides writing', async () => {
    const [laptop, phone] = (await membersOf('laptop', 'phone')) as [Member, Member];
    let written = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ turns: fc.nat(40), mine: fc.nat(30), theirs: fc.nat(30) }), {
          minLength: 1,
          maxLength: 6,
        }),
        async (rounds) => {
          const start = counted(laptop, phone).received;
          const before = written;
          for (const { turns, mine, theirs } of rounds) {
            const connecting = phone.peer.connect(laptop.url).catch(() => {});
            const writes = [...Array(mine).keys()].map((i) => laptop.peer.space().set(`l/${i}`, { i }).stored);
            for (let i = 0; i < turns; i++) {
              await turn();
              if (i < theirs) writes.push(phone.peer.space().set(`p/${i % 7}`, { i }).stored);
            }
            network.cut();
            await Promise.all([connecting, ...writes, turn()]);
            written += writes.length;
          }
          await (await phone.peer.connect(laptop.url)).caughtUp();
          await eventuallySame([laptop, phone]);
          // The counters follow a moment later.
          await eventually(() => counted(laptop, phone).received >= start + written - before, 'all are counted');
          expect(counted(laptop, phone)).toEqual({ received: start + written - before, duplicates: 0 });
        },
      ),
      { numRuns: 60 },
    );
    expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
  });

  test('a line that takes the place of another asks for nothing that is still on its way to the disk', async () => {
    const store = new WrappedStore(new MemoryStore());
    const laptop = await network.add('laptop');
    const phone = await network.add('phone', { store });
    await laptop.peer.homeSpace();
    await pair(laptop, phone);
    const disk = Promise.withResolvers<void>();
    store.beforeWrite = async (ops) => {
      if (ops.some(({ table }) => table === 'blocks')) await disk.promise;
    };
    const before = phone.peer.counters.batchesIn;
    // How many go into a batch is a matter of how busy the machine is; some wait behind the first.
    for (let i = 0; phone.peer.counters.batchesIn <= before + 2; i++) {
      await laptop.peer.space().set(`a/${i}`, { i }).stored;
      await turn();
    }
    network.cut();
    await eventually(() => phone.peer.connections().length === 0, 'it knows that the line is down');
    const connecting = phone.peer.connect(laptop.url);
    for (let i = 0; i < 200; i++) await turn();
    disk.resolve();
    await (await connecting).caughtUp();
    await eventuallySame([laptop, phone]);
    expect(phone.peer.counters.duplicates).toBe(0);
  });

  test('nor where what waits behind that was given up, because the line went down while the next was still read', async () => {
    const store = new WrappedStore(new MemoryStore());
    const laptop = await network.add('laptop');
    let reading: PromiseWithResolvers<null> | null = null;
    const phone = await network.add('phone', {
      store,
      platform: { reader: { expect() {}, read: () => reading?.promise ?? null } },
    });
    const home = await laptop.peer.homeSpace();
    await pair(laptop, phone);
    const [looking, disk] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    store.beforeRead = (table) => (table === 'cursors' ? looking.promise : undefined);
    store.beforeWrite = (ops) => (ops.some(({ table }) => table === 'blocks') ? disk.promise : undefined);
    const { counters } = phone.peer;
    const nextBatch = async (subject: string): Promise<void> => {
      const before = counters.batchesIn;
      await home.set(subject, { v: 1 }).stored;
      await eventually(() => counters.batchesIn > before, `${subject} has come`);
    };
    await nextBatch('the first of a write');
    await nextBatch('waits behind it');
    reading = Promise.withResolvers();
    await nextBatch('is still read');
    network.cut();
    await eventually(() => phone.peer.connections().length === 0, 'it knows that the line is down');
    reading.resolve(null);
    reading = null;
    looking.resolve();
    const connecting = phone.peer.connect(laptop.url);
    for (let i = 0; i < 200; i++) await turn();
    disk.resolve();
    await (await connecting).caughtUp();
    await eventuallySame([laptop, phone]);
    expect(counters.duplicates).toBe(0);
  });

  test('a large log is synced cold, cut in the middle, and goes on where it was', async () => {
    const laptop = await network.add('laptop');
    const home = await laptop.peer.homeSpace();
    const count = 20_000;
    for (let i = 0; i < count; i += 2000) {
      await Promise.all(
        [...Array(2000).keys()].map(
          (k) => home.set(`note/${(i + k) % 500}`, { text: randomBytes(450).toString('base64') }).stored,
        ),
      );
    }
    const phone = await network.add('phone');
    const { link } = await laptop.peer.invite(home, { role: 'writer', addresses: [laptop.url] });
    const joined = await phone.peer.join(link);
    while (joined.space.head === 0) await turn();
    network.cut();
    await expect(joined.synced).rejects.toThrow();
    expect(joined.space.head).toBeLessThan(count);
    await (await phone.peer.connect(laptop.url)).caughtUp();
    expect(joined.space.digest()).toEqual(home.digest());
    expect(phone.peer.counters.entriesReceived).toBe(home.head);
    expect(phone.peer.counters.duplicates).toBe(0);
    expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
  });

  test('after the other log began a new epoch, from the vector', async () => {
    const store = new MemoryStore();
    const seed = bytesOf('laptop', 32);
    const laptop = await network.add('laptop', { store: new WrappedStore(store), seed });
    const phone = await network.add('phone');
    await writeMany(await laptop.peer.homeSpace(), 'a', 100);
    await pair(laptop, phone);
    const received = phone.peer.counters.entriesReceived;
    network.isolate(laptop);
    await laptop.peer.close();
    const [[id, bytes]] = (await store.scan('spaces', { gte: new Uint8Array([0]), limit: 1 })) as [
      [Uint8Array, Uint8Array],
    ];
    await store.write([
      { table: 'spaces', key: id, value: encodeSpace({ ...decodeSpace(bytes), epoch: bytesOf('new', 8) }) },
    ]);
    const again = await network.add('laptop', { store, seed });
    await again.peer.space().set('b', { v: 1 }).stored;
    await (await phone.peer.connect(again.url)).caughtUp();
    await eventuallySame([again, phone]);
    expect(phone.peer.counters.entriesReceived).toBe(received + 1);
    expect(phone.peer.counters.duplicates).toBe(0);
  });

  test.each(['cursor-epoch', 'cursor-too-old', 'cursor-too-new'] as const)(
    'a cursor that the other refuses (%s) is replaced by the vector',
    async (code) => {
      const laptop = await network.add('laptop');
      const home = await laptop.peer.homeSpace();
      const raw = new RawPeer(laptop, 'raw');
      await laptop.peer.addDevice(raw.id, { space: home });
      const first = await RawPeer.connect(laptop, 'raw');
      const subscription = await first.greet(home.id, 50);
      first.send({ type: 'CAUGHT_UP', subscription, last: 50, digest: home.digest() });
      await first.next('ACK');
      await eventually(
        async () => (await home.startsFrom(raw.keys.public, bytesOf('raw epoch', 8))).kind === 'cursor',
        'it has a cursor',
      );
      first.cut();
      await first.closed;
      const second = await RawPeer.connect(laptop, 'raw');
      const again = await second.greet(home.id, 50);
      const asked = second.received.find(({ type }) => type === 'SUBSCRIBE_ALL');
      expect(asked).toMatchObject({ from: { kind: 'cursor', seq: 50 } });
      second.send({
        type: 'UNSUBSCRIBED',
        subscription: again,
        fault: { code, retry: true, afterMs: 0, text: '', detail: {} },
      });
      expect(await second.next('SUBSCRIBE_ALL')).toMatchObject({ from: { kind: 'vector' } });
    },
  );
});

describe('more than two', () => {
  test('in a line: what one end writes comes to the other', async () => {
    const members = await membersOf('laptop', 'phone', 'pi', 'tablet');
    for (const [i, member] of members.entries()) if (i > 0) await member.peer.connect(members[i - 1]!.url);
    for (const [i, { peer }] of members.entries()) await writeMany(peer.space(), `from/${i}`, 20);
    await eventuallySame(members);
    const lines = await dump(members[0]!.peer);
    expect(lines.length).toBe(80);
    for (const { peer } of members) expect(await dump(peer)).toEqual(lines);
    expect(counted(...members).duplicates).toBe(0);
  });

  test('in a ring, and each with each: nobody is told what it is known to have', async () => {
    const members = await membersOf('a', 'b', 'c', 'd');
    for (const [i, member] of members.entries())
      for (const other of members.slice(i + 1)) await member.peer.connect(other.url);
    const start = counted(...members);
    for (let round = 0; round < 25; round++) {
      for (const [i, { peer }] of members.entries()) await peer.space().set(`${round}/${i}`, { round }).stored;
      await turn();
    }
    await eventuallySame(members);
    const { received, duplicates } = counted(...members);
    expect(received - start.received).toBe(100 * 3);
    // Where all are connected to all, two tell a third of a commit in the same moment, before either knows that it has it: each may hear it
    // once from each of the others, and no more often than that.
    expect(duplicates - start.duplicates).toBeLessThanOrEqual(100 * 6);
    for (const { peer } of members) expect(await dump(peer)).toEqual(await dump(members[0]!.peer));
  });

  test('two spaces between the same two', async () => {
    const [laptop, phone] = (await membersOf('laptop', 'phone')) as [Member, Member];
    const work = await laptop.peer.createSpace('work');
    const connection = await phone.peer.connect(laptop.url);
    await connection.caughtUp();
    await laptop.peer.addDevice(phone.peer.id, { space: work, role: 'writer' });
    await eventually(() => phone.peer.spaces.length === 2, 'the second is taken');
    await work.set('a', { v: 1 }).reached({ peers: 1 });
    await phone.peer.space('work').set('b', { v: 1 }).reached({ peers: 1 });
    expect(phone.peer.space('work').digest()).toEqual(work.digest());
    expect(await work.get('b')).not.toBeNull();
    expect(await laptop.peer.space('home').get('a')).toBeNull();
  });

  test('many spaces offered one right after the other are each followed once', async () => {
    const store = new WrappedStore(new MemoryStore());
    const laptop = await network.add('laptop');
    const phone = await network.add('phone', { store });
    await laptop.peer.homeSpace();
    await pair(laptop, phone);
    const spaces = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((name) => laptop.peer.createSpace(name)));
    for (const space of spaces) await space.set('x', { v: 1 }).stored;
    store.beforeRead = async () => turn();
    await Promise.all(spaces.map((space) => laptop.peer.addDevice(phone.peer.id, { space, role: 'writer' })));
    await eventually(() => phone.peer.spaces.length === 6, 'all are taken');
    for (const space of spaces) {
      await eventually(() => toHex(phone.peer.space(space.hex).digest()) === toHex(space.digest()), 'all have come');
    }
    expect(phone.peer.counters.duplicates).toBe(0);
    expect(new Set(phone.peer.spaces.map(({ hex }) => hex)).size).toBe(6);
    store.beforeRead = () => {};
  });

  test('a space that two offer at once is taken once', async () => {
    const [laptop, phone] = (await membersOf('laptop', 'phone')) as [Member, Member];
    const store = new WrappedStore(new MemoryStore());
    const tablet = await network.add('tablet', { store });
    await laptop.peer.addDevice(tablet.peer.id, { role: 'writer' });
    await (await phone.peer.connect(laptop.url)).caughtUp();
    await eventuallySame([laptop, phone]);
    await tablet.peer.addDevice(laptop.peer.id);
    await tablet.peer.addDevice(phone.peer.id);
    store.beforeWrite = () => turn();
    await Promise.all([tablet.peer.connect(laptop.url), tablet.peer.connect(phone.url)]);
    await eventually(() => tablet.peer.spaces.length > 0, 'it is taken');
    await eventuallySame([laptop, phone, tablet]);
    expect(tablet.peer.spaces.length).toBe(1);
    await tablet.peer.space().set('a', { v: 1 }).reached({ peers: 2 });
    await eventuallySame([laptop, phone, tablet]);
  });
});

describe('a slow reader', () => {
  async function rawReader(laptop: Member, space: Space): Promise<RawPeer> {
    const raw = new RawPeer(laptop, 'raw');
    await laptop.peer.addDevice(raw.id, { space, role: 'reader' });
    const connected = await RawPeer.connect(laptop, 'raw');
    await connected.next('HELLO');
    connected.hello();
    return connected;
  }

  async function bigLog(laptop: Member): Promise<Space> {
    const home = await laptop.peer.homeSpace();
    for (let i = 0; i < 40; i++) await home.set(`big/${i}`, { bytes: new Uint8Array(randomBytes(300_000)) }).stored;
    return home;
  }

  test('is sent no more than it gave credit for', async () => {
    const laptop = await network.add('laptop');
    const home = await bigLog(laptop);
    const raw = await rawReader(laptop, home);
    raw.send({
      type: 'SUBSCRIBE_ALL',
      subscription: 1,
      space: home.id,
      from: { kind: 'all' },
      live: false,
      credit: CREDIT_BYTES_MIN,
    });
    const received = (): number =>
      raw.received.reduce((sum, each) => sum + (each.type === 'BATCH' ? each.data.length : 0), 0);
    let last = 0;
    let acked = 0;
    while (last < home.head) {
      for (let i = 0; i < 20; i++) await turn();
      expect(received() - acked).toBeLessThanOrEqual(CREDIT_BYTES_MIN);
      const batch = await raw.next('BATCH');
      last = batch.last;
      acked += batch.data.length;
      raw.send({ type: 'ACK', subscription: 1, last, credit: batch.data.length });
    }
    expect((await raw.next('CAUGHT_UP')).last).toBe(home.head);
    expect((await raw.next('UNSUBSCRIBED')).fault).toBeNull();
    expect(acked).toBeGreaterThan(10_000_000);
  });

  test('whose socket is full: nothing more is read for it until it drains', async () => {
    const laptop = await network.add('laptop');
    const home = await bigLog(laptop);
    const raw = await rawReader(laptop, home);
    raw.line.stalled = true;
    raw.send({
      type: 'SUBSCRIBE_ALL',
      subscription: 1,
      space: home.id,
      from: { kind: 'all' },
      live: true,
      credit: 512 * 1024 * 1024,
    });
    for (let i = 0; i < 200; i++) await turn();
    expect(raw.line.mostBuffered).toBeLessThan(4 * 1024 * 1024);
    expect(raw.received.filter(({ type }) => type === 'BATCH')).toEqual([]);
    // Meanwhile others are served.
    await home.set('more', { v: 1 }).stored;
    while (!raw.received.some(({ type }) => type === 'CAUGHT_UP')) {
      raw.line.resume();
      raw.line.stalled = true;
      for (let i = 0; i < 20; i++) await turn();
      expect(raw.line.bufferedBytes).toBeLessThan(4 * 1024 * 1024);
    }
    raw.line.resume();
    const caughtUp = await raw.next('CAUGHT_UP');
    expect(caughtUp.last).toBe(home.head);
    const batches = raw.received.filter((each) => each.type === 'BATCH');
    expect(batches.reduce((at, { prev, last }) => (prev === at ? last : -1), 0)).toBe(home.head);
  });

  test('follows a log whose blocks are merged meanwhile', async () => {
    const laptop = await network.add('laptop', { store: new WrappedStore(new MemoryStore()) });
    const home = await laptop.peer.homeSpace();
    const phones = [await network.add('phone'), await network.add('pi')];
    for (const phone of phones) await pair(laptop, phone);
    (laptop.store as WrappedStore).beforeRead = (table) => (table === 'blocks' ? turn() : undefined);
    for (let i = 0; i < 400; i++) await home.set(`n/${i}`, { i }).stored;
    await eventuallySame([laptop, ...phones]);
    expect(laptop.peer.counters.refusals).toEqual({});
    for (const { peer } of phones) {
      expect(peer.counters.duplicates).toBe(0);
      expect(peer.counters.connectionsOpened).toBe(1);
    }
  });
});

describe('time', () => {
  test('a line that says nothing is ended, and one that says little is not', async () => {
    let nowMs = 1_000_000;
    const laptop = await network.add('laptop', { platform: { nowMs: () => nowMs, after: () => () => {} } });
    const home = await laptop.peer.homeSpace();
    const raw = new RawPeer(laptop, 'raw');
    await laptop.peer.addDevice(raw.id, { space: home });
    const connected = await RawPeer.connect(laptop, 'raw');
    await connected.greet(home.id);
    for (let i = 0; i < 20; i++) {
      nowMs += 14_000;
      connected.connection.tick();
      nowMs += 14_000;
      connected.connection.tick();
      connected.send({ type: 'HEARTBEAT', spaces: [], time: 0 });
      await connected.next('HEARTBEAT');
      await turn();
    }
    expect(connected.closeCode).toBeNull();
    nowMs += SILENCE_MAX_MS + 1;
    connected.connection.tick();
    expect(await connected.refusedWith()).toBe('timeout');
    // A handshake that does not end.
    const mute = new RawPeer(laptop, 'mute');
    nowMs += 10_001;
    mute.connection.tick();
    expect(await mute.closed).toBe(4009);
    // And one after which no HELLO comes.
    const silent = await RawPeer.connect(laptop, 'raw');
    await turn();
    nowMs += 10_001;
    silent.connection.tick();
    expect(await silent.refusedWith()).toBe('timeout');
  });

  test('clocks that differ are reported', async () => {
    const [laptop, phone] = (await membersOf('laptop', 'phone')) as [Member, Member];
    const late = await network.add('late', { platform: { nowUs: () => nodePlatform().nowUs() - 3600 * 1_000_000 } });
    await (await phone.peer.connect(laptop.url)).caughtUp();
    await pair(laptop, late);
    await eventually(() => laptop.peer.status().warnings.length > 0, 'it is noticed');
    expect(laptop.peer.status().warnings.join()).toMatch(/The clock of late differs from this one by -3[56]\d\d s/);
    // Its writes come after what it has seen, all the same.
    await laptop.peer.space().set('note', { v: 1 }).reached({ peers: 2 });
    await late.peer.space().set('note', { v: 2 }).reached({ peers: 1 });
    expect((await laptop.peer.space().get('note'))?.value).toEqual({ v: 2 });
    expect((await laptop.peer.space().get('note'))?.meta['v']?.conflict).toEqual([]);
  });
});

describe('a log that went back', () => {
  async function rolledBack(): Promise<{ laptop: Member; phone: Member; before: string[] }> {
    const store = new MemoryStore();
    const seed = bytesOf('laptop', 32);
    const laptop = await network.add('laptop', { store: new WrappedStore(store), seed });
    const phone = await network.add('phone');
    await writeMany(await laptop.peer.homeSpace(), 'a', 10);
    await pair(laptop, phone);
    await eventuallySame([laptop, phone]);
    const copy = new MemoryStore();
    await copyStore(store, copy, TABLES);
    await writeMany(laptop.peer.space(), 'b', 10);
    await phone.peer.space().set('c', { v: 1 }).reached({ peers: 1 });
    await eventuallySame([laptop, phone]);
    const before = await dump(phone.peer);
    network.isolate(laptop);
    await laptop.peer.close();
    return { laptop: await network.add('laptop', { store: copy, seed }), phone, before };
  }

  test('gets back what it has lost, and begins a new chain', async () => {
    const { laptop, phone, before } = await rolledBack();
    expect(laptop.peer.space().head).toBeLessThan(phone.peer.space().head);
    await (await phone.peer.connect(laptop.url)).caughtUp();
    await eventuallySame([laptop, phone]);
    expect(await dump(laptop.peer)).toEqual(before);
    const chains = laptop.peer.space().chains.length;
    await laptop.peer.space().set('after', { v: 1 }).reached({ peers: 1 });
    await laptop.peer.space().set('after', { v: 2 }).reached({ peers: 1 });
    expect(laptop.peer.space().chains.length).toBe(chains + 1);
    await eventuallySame([laptop, phone]);
    expect(phone.peer.status().warnings).toEqual([]);
    expect((await phone.peer.space().get('after'))?.value).toEqual({ v: 2 });
  });

  test('that wrote before it learned of it is a fork, which is told and not spread', async () => {
    const { laptop, phone } = await rolledBack();
    await laptop.peer.space().set('forked', { v: 1 }).stored;
    const before = toHex(phone.peer.space().digest());
    await phone.peer.connect(laptop.url).catch(() => {});
    const warnings = (): string => [laptop, phone].flatMap(({ peer }) => peer.status().warnings).join();
    await eventually(() => /two different commits/.test(warnings()), 'it is told');
    expect(await phone.peer.space().get('forked')).toBeNull();
    expect(toHex(phone.peer.space().digest())).toBe(before);
    // The phone serves others as before.
    const pi = await network.add('pi');
    await phone.peer.space().set('fine', { v: 1 }).stored;
    await pi.peer.addDevice(phone.peer.id);
    expect(await phone.peer.space().get('fine')).not.toBeNull();
  });
});

describe('roles', () => {
  test.each(['reader', 'mirror'] as const)('a %s gets everything, writes nothing, and serves others', async (role) => {
    const laptop = await network.add('laptop');
    const quiet = await network.add('quiet');
    await writeMany(await laptop.peer.homeSpace(), 'a', 20);
    await pair(laptop, quiet, role);
    await eventuallySame([laptop, quiet]);
    await expect(quiet.peer.space().set('a/1', { v: 1 }).stored).rejects.toEqual(withCode('read-only'));
    expect(quiet.peer.space().head).toBe(laptop.peer.space().head);
    const phone = await network.add('phone');
    await laptop.peer.addDevice(phone.peer.id, { role: 'writer', name: 'phone' });
    await eventuallySame([laptop, quiet]);
    network.isolate(laptop);
    await phone.peer.addDevice(quiet.peer.id);
    await (await phone.peer.connect(quiet.url)).caughtUp();
    await eventuallySame([quiet, phone]);
    await phone.peer.space().set('from the phone', { v: 1 }).reached({ peers: 1 });
    network.reconnect(laptop);
    await quiet.peer.connect(laptop.url);
    await eventuallySame([laptop, quiet, phone]);
    expect(await dump(laptop.peer)).toEqual(await dump(phone.peer));
    // Who becomes a writer may write, from the moment that it knows.
    await laptop.peer.setRole(laptop.peer.space(), quiet.peer.id, 'writer');
    await eventually(() => quiet.peer.space().role === 'writer', 'it knows');
    await quiet.peer.space().set('now', { v: 1 }).reached({ peers: 2 });
    expect(await laptop.peer.space().get('now')).not.toBeNull();
    // And not any more, once it knows that it is a reader.
    await laptop.peer.setRole(laptop.peer.space(), quiet.peer.id, 'reader');
    await eventually(() => quiet.peer.space().role === 'reader', 'it knows again');
    await expect(quiet.peer.space().set('no more', { v: 1 }).stored).rejects.toEqual(withCode('read-only'));
    await eventuallySame([laptop, quiet, phone]);
  });

  test('only owners change members', async () => {
    const [laptop, phone] = (await membersOf('laptop', 'phone')) as [Member, Member];
    const space = phone.peer.space();
    await expect(phone.peer.invite(space, { role: 'writer', addresses: [phone.url] })).rejects.toEqual(
      withCode('not-an-owner'),
    );
    await expect(phone.peer.setRole(space, laptop.peer.id, 'reader')).rejects.toEqual(withCode('not-an-owner'));
    await expect(phone.peer.renameDevice(space, phone.peer.id, 'x')).rejects.toEqual(withCode('not-an-owner'));
    await expect(phone.peer.revokeDevice(space, laptop.peer.id)).rejects.toEqual(withCode('not-an-owner'));
    await expect(space.commitReserved([{ subject: '~space', ops: { set: { name: 'mine' } } }]).stored).rejects.toEqual(
      withCode('not-an-owner'),
    );
    await expect(laptop.peer.revokeDevice(laptop.peer.space(), laptop.peer.id)).rejects.toEqual(withCode('last-owner'));
    await expect(laptop.peer.setRole(laptop.peer.space(), laptop.peer.id, 'reader')).rejects.toEqual(
      withCode('last-owner'),
    );
    await laptop.peer.renameDevice(laptop.peer.space(), phone.peer.id, 'telephone');
    expect((await laptop.peer.devices(laptop.peer.space())).map(({ name }) => name)).toEqual(['laptop', 'telephone']);
  });
});

describe('two changes of roles at once leave an owner', () => {
  const give = ({ peer }: Member, { peer: { id } }: Member, role: Role): Promise<unknown> =>
    peer.setRole(peer.space(), id, role);
  const revoke = ({ peer }: Member, { peer: { id } }: Member): Promise<unknown> => peer.revokeDevice(peer.space(), id);
  const add = ({ peer }: Member, { peer: { id } }: Member): Promise<unknown> =>
    peer.addDevice(id, { space: peer.space(), role: 'writer' });

  test.each([
    ['the other and then itself', (a: Member, b: Member) => [give(a, b, 'writer'), give(a, a, 'writer')], 'last-owner'],
    ['itself and then the other', (a: Member, b: Member) => [give(a, a, 'writer'), give(a, b, 'writer')], 'not-an-owner'], // prettier-ignore
    ['the other revoked, and itself', (a: Member, b: Member) => [revoke(a, b), revoke(a, a)], 'last-owner'],
    [
      'the other added as a writer, and itself revoked',
      (a: Member, b: Member) => [add(a, b), revoke(a, a)],
      'last-owner',
    ],
  ])('%s', async (_, change, code) => {
    const laptop = await network.add('laptop');
    const phone = await network.add('phone');
    await laptop.peer.homeSpace();
    await pair(laptop, phone, 'owner');
    const [first, second] = await Promise.allSettled(change(laptop, phone));
    const owners = laptop.peer.space().members().filter(({ role }) => role === 'owner'); // prettier-ignore
    expect(owners.length).toBe(1);
    expect(first!.status).toBe('fulfilled');
    expect(second).toMatchObject({ reason: { code } });
  });
});

describe('a partial copy', () => {
  test.each([
    ['a prefix', { kind: 'prefix', prefix: 'note/' } as const, ['note/1', 'note/2']],
    ['one subject', { kind: 'subject', subject: 'note/1' } as const, ['note/1']],
  ])('of %s gets what matches and the members, and gives what it writes', async (_, only, expected) => {
    const laptop = await network.add('laptop');
    const home = await laptop.peer.homeSpace();
    const watch = await network.add('watch', { only });
    await home.set('note/1', { v: 1 }).stored;
    await home.set('other', { secret: 'not for the watch' }).stored;
    await home.commit([
      { subject: 'note/2', ops: { set: { v: 2 } } },
      { subject: 'task/2', ops: { set: { v: 2 } } },
    ]).stored;
    await writeMany(home, 'task', 700);
    await pair(laptop, watch);
    const part = watch.peer.space();
    expect(part.digest()).toEqual(home.digest());
    expect((await part.list({ limit: 10 })).items.map(({ subject }) => subject)).toEqual(expected);
    expect((await part.list({ prefix: '~', limit: 10 })).items.length).toBe(3);
    expect((await watch.peer.devices(part)).map(({ name }) => name)).toEqual(['watch', 'laptop']);
    expect(part.stats().commits).toBeLessThan(10);
    expect(part.head).toBeLessThan(20);
    expect(
      (await collect(part.log())).flatMap(({ changes }) => changes).some(({ subject }) => subject === 'other'),
    ).toBe(false);

    await part.set('note/1', { v: 3 }).reached({ peers: 1 });
    expect((await home.get('note/1'))?.value).toEqual({ v: 3 });
    await home.set('note/1', { w: 4 }).stored;
    await home.set('other', { v: 5 }).stored;
    await eventually(() => toHex(part.digest()) === toHex(home.digest()), 'it follows');
    expect((await part.get('note/1'))?.value).toEqual({ v: 3, w: 4 });
    expect((await part.get('note/1'))?.meta['v']?.conflict).toEqual([]);
    expect(counted(laptop, watch).duplicates).toBe(0);

    // Offline on both sides, and again.
    network.cut();
    await part.set('note/1', { v: 'watch' }).stored;
    await home.set('note/1', { v: 'laptop' }).stored;
    await writeMany(home, 'task', 50);
    await (await watch.peer.connect(laptop.url)).caughtUp();
    await eventually(() => toHex(part.digest()) === toHex(home.digest()), 'it follows again');
    expect((await part.get('note/1'))?.value).toEqual((await home.get('note/1'))?.value);
    expect((await part.conflicts({ limit: 10 })).items.length).toBe(1);
    expect(counted(laptop, watch).duplicates).toBe(0);
    const state = await dump(watch.peer);
    await part.rebuild();
    expect(await dump(watch.peer)).toEqual(state);
  });

  test('is no source of a whole one, and harms nobody who asks', async () => {
    const laptop = await network.add('laptop');
    const home = await laptop.peer.homeSpace();
    const watch = await network.add('watch', { only: { kind: 'prefix', prefix: 'note/' } });
    const phone = await network.add('phone');
    await pair(laptop, watch);
    await pair(laptop, phone);
    await eventuallySame([laptop, watch, phone]);
    network.isolate(laptop);
    network.isolate(phone);
    network.reconnect(phone);
    await phone.peer.connect(watch.url);
    await watch.peer.space().set('note/1', { by: 'watch' }).reached({ peers: 1 });
    expect((await phone.peer.space().get('note/1'))?.value).toEqual({ by: 'watch' });
    await phone.peer.space().set('note/2', { by: 'phone' }).reached({ peers: 1 });
    await phone.peer.space().set('task/2', { by: 'phone' }).stored;
    await eventuallySame([watch, phone]);
    network.reconnect(laptop);
    await phone.peer.connect(laptop.url);
    await eventuallySame([laptop, watch, phone]);
    expect((await home.get('note/1'))?.value).toEqual({ by: 'watch' });
    expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
  });

  test('that knows of commits which the other lacks: what depends on them comes by others', async () => {
    const laptop = await network.add('laptop');
    const home = await laptop.peer.homeSpace();
    const watch = await network.add('watch', { only: { kind: 'prefix', prefix: 'note/' } });
    const phone = await network.add('phone');
    await pair(laptop, watch);
    await pair(laptop, phone);
    await eventuallySame([laptop, watch, phone]);
    network.isolate(phone);
    await home.set('task/1', { v: 1 }).reached({ peers: 1 });
    await eventuallySame([laptop, watch]);
    await watch.peer.space().set('note/1', { after: 'task/1' }).reached({ peers: 1 });
    network.isolate(laptop);
    network.reconnect(phone);
    // The phone can't take it, because the watch can't give it what it depends on: it comes by others.
    await phone.peer.connect(watch.url).catch(() => {});
    network.reconnect(laptop);
    await phone.peer.connect(laptop.url);
    await eventuallySame([laptop, watch, phone]);
    expect(await phone.peer.space().get('note/1')).not.toBeNull();
  });
});

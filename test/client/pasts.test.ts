/**
 * What an author had seen decides what its commits replace and whether they count. It must come to everybody: with what is void, with what a
 * filter leaves out, and through runs whose middle nobody can verify.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryStore } from '../../client/memory-store.ts';
import type { Space } from '../../client/space.ts';
import { TABLES } from '../../client/store.ts';
import { authenticate } from '../../protocol/authenticate.ts';
import { decodeBatch, type Batch, type BatchEntry } from '../../protocol/batch.ts';
import { encodeBody, type Change, type Dependency } from '../../protocol/body.ts';
import { toHex } from '../../protocol/bytes.ts';
import { BATCH_RAW_BYTES_MAX, MESSAGE_BYTES_MAX } from '../../protocol/constants.ts';
import { formatDeviceId } from '../../protocol/device-id.ts';
import { TidelogError } from '../../protocol/errors.ts';
import type { Filter, StartsFrom } from '../../protocol/messages.ts';
import { TestChain } from '../support/chains.ts';
import { collect, dump, eventually, eventuallySame, Network, pair, type Member } from '../support/network.ts';
import { bytesOf, crypto, withCode } from '../support/protocol.ts';
import { RawPeer } from '../support/raw-peer.ts';
import { copyStore, WrappedStore } from '../support/stores.ts';

let network: Network;
beforeEach(() => {
  network = new Network();
});
afterEach(() => network.close());

async function membersOf(
  owner: string,
  ...others: readonly (readonly [string, 'owner' | 'writer'])[]
): Promise<Member[]> {
  const first = await network.add(owner);
  await first.peer.homeSpace();
  const members = [first];
  for (const [name, role] of others) {
    const member = await network.add(name);
    await pair(first, member, role);
    members.push(member);
  }
  await eventuallySame(members);
  return members;
}

async function write(member: Member, subject: string, values: Record<string, string | number>): Promise<void> {
  await member.peer.space().set(subject, values).stored;
}

/** There is a line between them, and what was there has come over it. */
async function meet(one: Member, other: Member): Promise<void> {
  await eventually(async () => {
    try {
      await (await one.peer.connect(other.url)).caughtUp();
      return true;
    } catch (thrown) {
      // Where both dialled, one of the lines is closed.
      if (thrown instanceof TidelogError && thrown.code === 'closed') return false;
      throw thrown;
    }
  }, `${one.peer.name} and ${other.peer.name} meet`);
}

/** Only the given lines are up. */
async function onlyLines(all: readonly Member[], ...lines: readonly (readonly [Member, Member])[]): Promise<void> {
  for (const member of all) network.isolate(member);
  for (const [one, other] of lines) {
    network.reconnect(other);
    await meet(one, other);
  }
  for (const line of lines) await eventuallySame(line);
}

/** A new member that the owner lets in, and that gets all it has from `source`. */
async function newcomerFrom(owner: Member, source: Member, all: readonly Member[], name: string): Promise<Member> {
  const member = await network.add(name);
  await owner.peer.addDevice(member.peer.id, { space: owner.peer.space(), role: 'writer', name });
  if (source !== owner) await onlyLines(all, [owner, source]);
  await member.peer.addDevice(source.peer.id);
  await onlyLines([...all, member], [member, source]);
  return member;
}

/** The same commits and the same data, nothing withheld, nobody to blame, and a state that the log gives again. */
async function expectAlike(...members: readonly Member[]): Promise<void> {
  await eventuallySame(members);
  const lines = await dump(members[0]!.peer);
  for (const { peer } of members) {
    expect(await dump(peer), peer.name).toEqual(lines);
    // A revoked one that calls by itself is refused at the door; nothing else is.
    const refusals = Object.keys(peer.counters.refusals).filter((code) => code !== 'device-revoked');
    expect(refusals, peer.name).toEqual([]);
    expect(peer.space().stats().holes, peer.name).toBe(0);
    await peer.space().rebuild();
    expect(await dump(peer), peer.name).toEqual(lines);
  }
}

async function conflictsOf(space: Space): Promise<unknown[]> {
  return (await space.conflicts({ limit: 1000 })).items;
}

describe('a device that is a member already', () => {
  test('joins a second space by a link, and a link that is used is told to be', async () => {
    const [laptop, phone] = (await membersOf('laptop', ['phone', 'writer'])) as [Member, Member];
    const work = await laptop.peer.createSpace('work');
    await work.set('task', { v: 1 }).stored;
    const { link } = await laptop.peer.invite(work, { role: 'writer', addresses: [laptop.url] });
    const joined = await phone.peer.join(link);
    await joined.synced;
    expect((await joined.space.get('task'))?.value).toEqual({ v: 1 });
    await joined.space.set('task', { v: 2 }).reached({ peers: 1 });
    await phone.peer.space().set('note', { v: 3 }).reached({ peers: 1 });
    // The device that has used it is answered again, on the line that is up and on a new one; another isn't.
    const tablet = await network.add('tablet');
    const { head } = work;
    expect((await phone.peer.join(link)).space).toBe(joined.space);
    await expect(tablet.peer.join(link)).rejects.toEqual(withCode('invite-used'));
    network.cut();
    expect((await phone.peer.join(link)).space).toBe(joined.space);
    await expect(tablet.peer.join(link)).rejects.toEqual(withCode('invite-used'));
    expect(work.head).toBe(head);
    expect(phone.peer.spaces.length).toBe(2);
    await (await phone.peer.connect(laptop.url)).caughtUp();
    await phone.peer.space().set('note', { v: 4 }).reached({ peers: 1 });
    expect(work.digest()).toEqual(joined.space.digest());
  });
});

test('a store that goes back again and again to one copy gets another chain each time', async () => {
  const seed = bytesOf('laptop', 32);
  const store = new MemoryStore();
  const first = await network.add('laptop', { seed, store: new WrappedStore(store) });
  await first.peer.homeSpace();
  const phone = await network.add('phone');
  const pi = await network.add('pi');
  await pair(first, phone);
  await pair(first, pi);
  await eventuallySame([first, phone, pi]);
  const copy = new MemoryStore();
  await copyStore(store, copy, TABLES);
  await write(first, 'note', { v: 0 });
  await write(first, 'note', { w: 0 });
  await eventuallySame([first, phone, pi]);
  network.isolate(first);
  await first.peer.close();
  /** Every commit that anybody has ever shown, by chain and seq: what was signed. */
  const signed = new Map<string, Set<string>>();
  const look = ({ peer }: Member): void => {
    for (const { id, seq, head } of peer.space().chains) {
      const place = `${toHex(id)} ${seq}`;
      signed.set(place, (signed.get(place) ?? new Set()).add(toHex(head)));
    }
  };
  for (let round = 1; round <= 3; round++) {
    const again = new MemoryStore();
    await copyStore(copy, again, TABLES);
    const laptop = await network.add('laptop', { seed, store: again });
    // By whom it learns, and who dials, differs. Before it has caught up it can't know.
    await (round === 2 ? meet(pi, laptop) : meet(laptop, phone));
    await eventually(() => laptop.peer.connections().some((each) => each.hasCaughtUp(laptop.peer.space())), 'it knows');
    for (let i = 0; i < 3; i++) {
      await laptop.peer.space().set('note', { v: round, i }).stored;
      look(laptop);
    }
    await meet(laptop, phone);
    await meet(laptop, pi);
    await eventuallySame([laptop, phone, pi]);
    for (const each of [laptop, phone, pi]) look(each);
    const own = laptop.peer.space().chains.filter(({ device }) => toHex(device) === toHex(laptop.peer.device));
    expect(own.length).toBe(1 + round);
    for (const { peer } of [laptop, pi]) expect(await dump(peer)).toEqual(await dump(phone.peer));
    network.isolate(laptop);
    await laptop.peer.close();
  }
  expect([...signed.values()].filter((ids) => ids.size > 1)).toEqual([]);
  for (const { peer } of [phone, pi]) expect(peer.status().warnings).toEqual([]);
});

describe('a filtered copy', () => {
  test.each<[string, Filter]>([
    ['a prefix', { kind: 'prefix', prefix: 'note/' }],
    ['one subject', { kind: 'subject', subject: 'note/1' }],
  ])('of %s shows the conflicts that the whole one has, and no others', async (_, only) => {
    const [laptop, ann, bea] = (await membersOf('laptop', ['ann', 'owner'], ['bea', 'writer'])) as [
      Member,
      Member,
      Member,
    ];
    // Granted by one that isn't the founder.
    const cyd = await network.add('cyd');
    await pair(ann, cyd);
    const watch = await network.add('watch', { only });
    await pair(laptop, watch);
    const writers = [laptop, ann, bea, cyd];
    const home = laptop.peer.space();
    const part = watch.peer.space();
    const expectSamePart = async (): Promise<void> => {
      await eventuallySame([...writers, watch]);
      const isWanted = ({ subject }: { subject: string }): boolean =>
        only.kind === 'subject' ? subject === only.subject : subject.startsWith(only.prefix);
      const whole = (await home.list({ limit: 100 })).items.filter(isWanted);
      expect((await part.list({ limit: 100 })).items).toEqual(whole);
      expect(await conflictsOf(part)).toEqual(((await conflictsOf(home)) as { subject: string }[]).filter(isWanted));
    };

    // By hand: what bea had seen of ann's note is said by a commit that doesn't match, and by nothing after it.
    await ann.peer.space().set('note/1', { title: 'by ann' }).reached({ peers: 1 });
    await eventuallySame([...writers, watch]);
    await write(bea, 'task/1', { after: 'note/1' });
    await write(bea, 'note/1', { title: 'by bea' });
    await expectSamePart();
    expect(await conflictsOf(part)).toEqual([]);
    expect((await part.get('note/1'))?.value).toEqual({ title: 'by bea' });
    expect(part.stats().holes).toBe(0);

    // And at random, apart and together.
    let state = 7;
    const random = (below: number): number => {
      state = (state * 1_103_515 + 12_345) % 2 ** 31;
      return Math.floor((state / 2 ** 31) * below);
    };
    let conflicts = 0;
    for (let round = 0; round < 12; round++) {
      network.cut();
      for (let i = 0; i < 6; i++) {
        const subject = ['note/1', 'note/2', 'task/1', 'task/2', 'task/3'][random(5)]!;
        await write(writers[random(4)]!, subject, { [`v${random(2)}`]: round * 10 + i });
      }
      if (round % 4 === 3) await laptop.peer.renameDevice(home, bea.peer.id, `bea ${round}`);
      if (round % 5 === 4) await write(watch, 'note/1', { v0: -round });
      // Not everybody hears of everything at once.
      const order = [ann, bea, cyd].toSorted(() => random(3) - 1);
      await meet(order[0]!, order[1]!);
      await write(order[1]!, `task/${random(3)}`, { v0: round });
      // A line may be lost again, where another that was still thought alive took its place.
      await eventually(async () => {
        for (const each of [...order, watch]) await meet(each, laptop);
        return eventuallySame([...writers, watch], 200).then(
          () => true,
          () => false,
        );
      }, 'all have the same');
      await expectSamePart();
      conflicts += (await conflictsOf(part)).length;
    }
    expect(conflicts).toBeGreaterThan(0);
    const before = { lines: await dump(watch.peer), conflicts: await conflictsOf(part) };
    await part.rebuild();
    expect({ lines: await dump(watch.peer), conflicts: await conflictsOf(part) }).toEqual(before);
    // One that comes now judges as one that was there from the start.
    const late = await network.add('late', { only });
    await pair(laptop, late);
    await eventuallySame([...writers, watch, late]);
    const shown = async ({ peer }: Member): Promise<unknown> => [
      (await peer.space().list({ prefix: 'note/', limit: 100 })).items,
      await conflictsOf(peer.space()),
    ];
    await eventually(async () => JSON.stringify(await shown(late)) === JSON.stringify(await shown(watch)), 'the same');
    expect(late.peer.space().stats().holes).toBe(0);
  });

  test('gets every commit on ~, whoever wrote it and whatever it asks for', async () => {
    const [laptop, ann] = (await membersOf('laptop', ['ann', 'owner'])) as [Member, Member];
    const home = laptop.peer.space();
    const watch = await network.add('watch', { only: { kind: 'subject', subject: 'nothing' } });
    for (let i = 0; i < 5; i++) {
      await write(laptop, `task/${i}`, { i });
      await ann.peer.renameDevice(ann.peer.space(), laptop.peer.id, `laptop ${i}`);
      await write(ann, `task/${i}`, { i });
    }
    await eventuallySame([laptop, ann]);
    await pair(laptop, watch);
    // Live as well.
    await laptop.peer.setRole(home, ann.peer.id, 'writer');
    const lost = await network.add('lost');
    await pair(laptop, lost, 'owner');
    await laptop.peer.revokeDevice(home, lost.peer.id);
    await write(laptop, 'task/9', { v: 1 });
    await eventuallySame([laptop, ann, watch]);
    const onMembers = async (space: Space): Promise<string[]> =>
      (await collect(space.log()))
        .filter(({ changes }) => changes.some(({ subject }) => subject.startsWith('~')))
        .map(({ id }) => id);
    expect((await onMembers(home)).length).toBeGreaterThan(8);
    expect(await onMembers(watch.peer.space())).toEqual(await onMembers(home));
    expect(await collect(watch.peer.space().export('~'))).toEqual(await collect(home.export('~')));
    expect(watch.peer.space().members()).toEqual(home.members());
    expect((await watch.peer.space().list({ limit: 10 })).items).toEqual([]);
  });
});

describe('what is void', () => {
  test('by an owner who wrote data and then changed members, unseen: newcomers get it from anybody', async () => {
    const [ann, bea, cyd] = (await membersOf('ann', ['bea', 'owner'], ['cyd', 'writer'])) as [Member, Member, Member];
    const all = [ann, bea, cyd];
    await onlyLines(all, [cyd, bea]);
    await write(cyd, 'note', { title: 'by cyd' });
    await eventuallySame([bea, cyd]);
    await write(bea, 'note', { title: 'by bea' });
    await bea.peer.renameDevice(bea.peer.space(), cyd.peer.id, 'renamed by bea');
    await write(bea, 'after', { v: 1 });
    await eventuallySame([bea, cyd]);
    await write(cyd, 'note', { text: 'seen by cyd' });
    network.isolate(bea);
    await ann.peer.revokeDevice(ann.peer.space(), bea.peer.id);
    await onlyLines(all, [cyd, ann]);
    await expectAlike(ann, cyd);
    expect((await ann.peer.space().get('note'))?.value).toEqual({ title: 'by cyd', text: 'seen by cyd' });
    expect(await ann.peer.space().get('after')).toBeNull();
    expect((await ann.peer.devices(ann.peer.space())).map(({ name }) => name)).not.toContain('renamed by bea');
    const fromAnn = await newcomerFrom(ann, ann, all, 'from ann');
    const fromCyd = await newcomerFrom(ann, cyd, [...all, fromAnn], 'from cyd');
    await onlyLines([...all, fromAnn, fromCyd], [cyd, ann], [fromAnn, ann], [fromCyd, cyd]);
    await expectAlike(ann, cyd, fromAnn, fromCyd);
  });

  test('because the grant was, says what its author had seen also after a new grant', async () => {
    const [ann, bea, cyd] = (await membersOf('ann', ['bea', 'owner'], ['cyd', 'writer'])) as [Member, Member, Member];
    const dan = await network.add('dan');
    const all = [ann, bea, cyd, dan];
    await onlyLines(all, [cyd, bea]);
    await pair(bea, dan);
    await write(cyd, 'note', { title: 'by cyd' });
    await write(cyd, 'count', { n: 5 });
    await eventuallySame([bea, cyd, dan]);
    // This one alone names what cyd wrote; it is void as soon as bea's grant is.
    await write(dan, 'note', { text: 'void' });
    await eventuallySame([bea, cyd, dan]);
    await ann.peer.revokeDevice(ann.peer.space(), bea.peer.id);
    await onlyLines(all, [cyd, ann]);
    expect(ann.peer.space().roleOf(dan.peer.device)).toBeNull();
    await ann.peer.addDevice(dan.peer.id, { space: ann.peer.space(), role: 'writer', name: 'dan' });
    await dan.peer.addDevice(ann.peer.id);
    await onlyLines(all, [cyd, ann], [dan, ann]);
    expect(await dan.peer.space().get('note')).toMatchObject({ value: { title: 'by cyd' } });
    const chains = ann.peer.space().chains.length;
    await dan.peer.space().set('note', { title: 'by dan' }).reached({ peers: 1 });
    await dan.peer
      .space()
      .commit([{ subject: 'count', ops: { inc: { n: 1 } } }])
      .reached({ peers: 1 });
    await eventuallySame([ann, cyd, dan]);
    expect(ann.peer.space().chains.length).toBe(chains);

    const fromAnn = await newcomerFrom(ann, ann, all, 'from ann');
    const fromCyd = await newcomerFrom(ann, cyd, [...all, fromAnn], 'from cyd');
    await onlyLines([...all, fromAnn, fromCyd], [cyd, ann], [dan, ann], [fromAnn, ann], [fromCyd, cyd]);
    await expectAlike(ann, cyd, dan, fromAnn, fromCyd);
    for (const { peer } of [ann, cyd, dan, fromAnn, fromCyd]) {
      expect((await peer.space().get('note'))?.value, peer.name).toEqual({ title: 'by dan' });
      expect(await conflictsOf(peer.space()), peer.name).toEqual([]);
    }
  });

  test('changes where a senior owner makes one an owner again, who then is senior to whom it was revoked by', async () => {
    const [ann, bea] = (await membersOf('ann', ['bea', 'owner'])) as [Member, Member];
    const [cyd, dan] = [await network.add('cyd'), await network.add('dan')];
    await pair(bea, cyd, 'owner');
    await pair(bea, dan, 'owner');
    const all = [ann, bea, cyd, dan];
    await eventuallySame(all);
    await onlyLines(all);
    // Neither has seen the other's: cyd was made an owner first, and so its revocation counts.
    await write(cyd, 'note', { by: 'cyd' });
    await write(dan, 'note', { by: 'dan' });
    await cyd.peer.revokeDevice(cyd.peer.space(), dan.peer.id);
    await dan.peer.revokeDevice(dan.peer.space(), cyd.peer.id);
    network.reconnect(cyd);
    await meet(bea, cyd);
    await eventuallySame([bea, cyd]);
    network.isolate(cyd);
    network.isolate(bea);
    // Unseen by bea, the founder makes dan an owner again, and takes its side of it.
    await ann.peer.setRole(ann.peer.space(), dan.peer.id, 'owner');
    network.reconnect(dan);
    await meet(ann, dan);
    await eventuallySame([ann, dan]);
    network.isolate(dan);
    expect(ann.peer.space().isRevoked(cyd.peer.device)).toBe(true);
    network.reconnect(ann);
    await meet(bea, ann);
    await eventuallySame([ann, bea]);
    expect(ann.peer.space().isRevoked(cyd.peer.device)).toBe(true);
    expect(ann.peer.space().isRevoked(dan.peer.device)).toBe(false);
    // What dan wrote was void when it came to bea, and so is not there; it is asked for, as soon as they meet again.
    network.cut();
    await meet(bea, ann);
    await eventually(async () => (await bea.peer.space().get('note'))?.value['by'] === 'dan', 'it has come back');
    await expectAlike(ann, bea);
    const late = await network.add('late');
    await pair(ann, late);
    await eventuallySame([ann, bea, late]);
    await expectAlike(ann, bea, late);
  });
});

describe('a bad signature in the middle of a run', () => {
  const body = (deps: readonly Dependency[], i: number): Uint8Array => {
    const changes: Change[] = [{ subject: `evil/${i}`, ops: { set: { i } } }];
    return encodeBody({ time: Date.now() * 1000, deps, changes });
  };
  const MANY = 12;

  /** Commits 1 to 12 of a chain, of which 3, 4, 7 and 11 are signed badly, in three runs: to 2, to 6 and to 12. And what stands around it. */
  async function withBadRun(): Promise<{
    host: Member;
    home: Space;
    chain: TestChain;
    raw: RawPeer;
    subscription: number;
  }> {
    const host = await network.add('host');
    const home = await host.peer.homeSpace();
    for (let i = 0; i < 5; i++) await home.set(`before/${i}`, { i }).stored;
    const id = formatDeviceId(new TestChain(home.id, 'mallory').device.public);
    await host.peer.addDevice(id, { space: home, role: 'writer', name: 'mallory' });
    const deps = home.chains.map(({ id: chain, seq }) => ({ chain, seq }));
    const chain = new TestChain(home.id, 'mallory');
    for (let seq = 1; seq <= MANY; seq++) {
      const isBad = [3, 4, 7, 11].includes(seq);
      chain.write(body(seq === 1 ? deps : [], seq), isBad ? bytesOf(`bad ${seq}`, 64) : undefined);
    }
    const raw = await RawPeer.connect(host, 'mallory');
    const subscription = await raw.greet(home.id);
    return { host, home, chain, raw, subscription };
  }

  async function give(raw: RawPeer, subscription: number, at: number, batch: Batch): Promise<number> {
    const last = at + batch.entries.length;
    raw.batch(subscription, at, last, batch);
    while ((await raw.next('ACK')).last < last);
    return last;
  }

  async function takeAll({ raw, subscription, chain }: Awaited<ReturnType<typeof withBadRun>>): Promise<void> {
    let at = 0;
    for (const [first, last] of [[1, 2], [3, 6], [7, 12]] as const) at = await give(raw, subscription, at, chain.batch(first, last)); // prettier-ignore
  }

  /** Every batch that the host sends from there on, to one that can't unpack; each is checked as a receiver would. */
  async function readAll(host: Member, home: Space, from: StartsFrom): Promise<Set<string>> {
    const raw = await RawPeer.connect(host, 'reader');
    raw.send({
      type: 'HELLO',
      version: 1,
      name: 'reader',
      agent: 'raw/1',
      capabilities: [],
      limits: { message: MESSAGE_BYTES_MAX, batch: BATCH_RAW_BYTES_MAX },
      spaces: [],
      time: Date.now() * 1000,
    });
    await raw.next('HELLO');
    raw.send({ type: 'SUBSCRIBE_ALL', subscription: 1, space: home.id, from, live: false, credit: 2 ** 24 });
    await raw.next('CAUGHT_UP');
    raw.cut();
    const places = new Set<string>();
    for (const message of raw.received) {
      if (message.type !== 'BATCH') continue;
      const { entries } = authenticate(crypto, home.id, decodeBatch(message.data));
      for (const { chain, seq } of entries) places.add(`${toHex(chain.id)} ${seq}`);
    }
    return places;
  }

  /** From the beginning, from every cursor, and from every vector that cuts that chain: all is there, and every batch verifies. */
  async function expectServed(host: Member, home: Space, chain: TestChain): Promise<void> {
    const id = toHex(home.chains.find(({ device }) => toHex(device) === toHex(chain.device.public))!.id);
    const { epoch } = home.state();
    const mine = (from: number): string[] => Array.from({ length: MANY - from }, (_, i) => `${id} ${from + i + 1}`);
    expect([...(await readAll(host, home, { kind: 'all' }))]).toEqual(expect.arrayContaining(mine(0)));
    const positions = home.head > 60 ? Array.from({ length: 30 }, (_, i) => i) : [...Array(home.head).keys()];
    for (const seq of positions) {
      const places = await readAll(host, home, { kind: 'cursor', epoch, seq });
      expect(places.size, `from ${seq}`).toBe(home.head - seq);
    }
    const others = home.chains.filter(({ id: other }) => toHex(other) !== id);
    for (let seq = 0; seq <= MANY; seq++) {
      const own =
        seq === 0
          ? []
          : [{ chain: home.chains.find((each) => toHex(each.id) === id)!.id, seq, id: chain.commits[seq - 1]!.id }];
      for (const rest of [[], others.map((each) => ({ chain: each.id, seq: each.seq, id: each.head }))]) {
        const places = await readAll(host, home, { kind: 'vector', heads: [...own, ...rest] });
        expect([...places].filter((place) => place.startsWith(id))).toEqual(mine(seq));
      }
    }
  }

  async function expectServedToPeers(host: Member, home: Space): Promise<void> {
    const cold = await network.add('cold');
    await pair(host, cold);
    await eventuallySame([host, cold]);
    expect((await cold.peer.space().list({ prefix: 'evil/', limit: 100 })).items.length).toBe(MANY);
    // And by whoever got it there.
    const far = await network.add('far');
    await host.peer.addDevice(far.peer.id, { space: home, role: 'writer', name: 'far' });
    await eventuallySame([host, cold]);
    await far.peer.addDevice(cold.peer.id);
    await onlyLines([host, cold, far], [far, cold]);
    expect(await dump(far.peer)).toEqual(await dump(cold.peer));
    for (const { peer } of [host, cold, far]) expect(peer.counters.refusals, peer.name).toEqual({});
  }

  async function letReaderIn(host: Member, home: Space): Promise<void> {
    await host.peer.addDevice(new RawPeer(host, 'reader').id, { space: home, role: 'reader', name: 'reader' });
  }

  test('is served from anywhere: cold, by cursor, by vector', async () => {
    const bad = await withBadRun();
    const { host, home, chain } = bad;
    await takeAll(bad);
    for (let i = 0; i < 3; i++) await home.set(`after/${i}`, { i }).stored;
    await letReaderIn(host, home);
    await expectServed(host, home, chain);
    await expectServedToPeers(host, home);
  });

  test.each(['evil/1', 'evil/3', 'evil/4', 'evil/7', 'evil/11', 'evil/12'])(
    'is served to who wants only %s, which a gap would cut out of its run',
    async (subject) => {
      const bad = await withBadRun();
      const { host, chain } = bad;
      await takeAll(bad);
      const partial = await network.add('partial', { only: { kind: 'subject', subject } });
      await pair(host, partial);
      await eventuallySame([host, partial]);
      expect((await partial.peer.space().get(subject))?.value).toEqual({ i: Number(subject.slice(5)) });
      expect(partial.peer.counters.refusals).toEqual({});
      expect(chain.commits.length).toBe(MANY);
    },
  );

  test('is served when its blocks have been merged with others', async () => {
    const bad = await withBadRun();
    const { host, home, chain, raw } = bad;
    await takeAll(bad);
    for (let i = 0; i < 80; i++) await home.set(`after/${i}`, { i }).stored;
    raw.cut();
    await letReaderIn(host, home);
    await expectServed(host, home, chain);
    await expectServedToPeers(host, home);
  });

  test('is served when a part of it came twice, and by different ways', async () => {
    const bad = await withBadRun();
    const { host, home, chain, raw, subscription } = bad;
    const other = await network.add('other');
    await pair(host, other);
    // Two commits by the host, and the rest by mallory, once more from the beginning.
    let at = await give(raw, subscription, 0, chain.batch(1, 2));
    await eventuallySame([host, other]);
    await onlyLines([host, other]);
    const direct = await RawPeer.connect(other, 'mallory');
    await give(direct, await direct.greet(home.id), 0, chain.batch(1, 6));
    direct.cut();
    const again = await RawPeer.connect(host, 'mallory');
    const from = await again.greet(home.id);
    at = 0;
    const shuffled: BatchEntry[] = chain.batch(1, 12).entries as BatchEntry[];
    await give(again, from, at, { chains: [chain.after(0)], entries: shuffled });
    again.cut();
    await letReaderIn(host, home);
    await expectServed(host, home, chain);
    network.reconnect(host);
    await (await other.peer.connect(host.url)).caughtUp();
    await eventuallySame([host, other]);
    expect(other.peer.counters.refusals).toEqual({});
    await expectServed(other, other.peer.space(), chain);
    await expectServedToPeers(host, home);
  });
});

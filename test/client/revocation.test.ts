/** A revoked device: what it wrote after the cut appears nowhere, whichever way it came, and its key is done with. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryStore } from '../../client/memory-store.ts';
import type { LoggedCommit } from '../../client/views.ts';
import { toHex, utf8 } from '../../protocol/bytes.ts';
import { deviceId, ForkedHistory } from '../support/histories.ts';
import { deviceOf, withCode } from '../support/protocol.ts';
import { collect, dump, eventually, eventuallySame, Network, pair, type Member } from '../support/network.ts';
import { contents, WrappedStore } from '../support/stores.ts';

let network: Network;
let owner: Member;
let laptop: Member;
let stolen: Member;

beforeEach(async () => {
  network = new Network();
  owner = await network.add('owner');
  laptop = await network.add('laptop');
  stolen = await network.add('stolen');
  await owner.peer.homeSpace();
  await pair(owner, laptop);
});
afterEach(() => network.close());

/** The device `stolen`, in, and connected to the laptop alone. */
async function stealTo(role: 'owner' | 'writer' = 'writer'): Promise<void> {
  await pair(owner, stolen, role);
  await eventuallySame([owner, laptop, stolen]);
  network.isolate(owner);
  network.isolate(stolen);
  await stolen.peer.connect(laptop.url);
}

async function logOf(member: Member): Promise<LoggedCommit[]> {
  return collect(member.peer.space().log());
}

async function write(member: Member, subject: string, values: Record<string, string | number>): Promise<void> {
  await member.peer.space().set(subject, values).stored;
}

async function joinAll(...members: Member[]): Promise<void> {
  for (const member of members) network.reconnect(member);
  for (const [i, member] of members.entries()) {
    const next = members[i + 1];
    if (next) await member.peer.connect(next.url);
  }
}

/** The same commits, the same data, and a state that the log gives again. */
async function expectAgreement(...members: Member[]): Promise<void> {
  await eventuallySame(members);
  const lines = await dump(members[0]!.peer);
  for (const { peer, store } of members) {
    expect(await dump(peer), peer.name).toEqual(lines);
    const space = peer.space();
    const look = async () => ({ stats: space.stats(), state: await contents(store, 'state', 'conflicts') });
    let before: Awaited<ReturnType<typeof look>>;
    let after: typeof before;
    // What a revoked device has sent may still arrive, void, as an entry of the log that changes nothing else.
    do {
      before = await look();
      await space.rebuild();
      after = await look();
    } while (after.stats.head !== before.stats.head);
    expect(after, peer.name).toEqual(before);
  }
}

test('its connection closes, and its key cannot connect again', async () => {
  await pair(owner, stolen);
  const home = owner.peer.space();
  await stolen.peer.space().set('note', { by: 'stolen' }).reached({ peers: 1 });
  await owner.peer.revokeDevice(home, stolen.peer.id);
  await eventually(() => stolen.peer.connections().length === 0, 'its connection is closed');
  await write(stolen, 'late', { v: 1 });
  await expect(stolen.peer.connect(owner.url)).rejects.toEqual(withCode('device-revoked'));
  expect((await home.get('note'))?.value).toEqual({ by: 'stolen' });
  expect(await home.get('late')).toBeNull();
  expect(home.stats().holes).toBe(0);
  expect((await owner.peer.devices(home)).find(({ id }) => id === stolen.peer.id)).toMatchObject({
    revoked: true,
    role: null,
    connected: false,
    name: 'stolen',
  });
  // It is final: no name, no role, no invite brings that key back.
  await expect(owner.peer.setRole(home, stolen.peer.id, 'writer')).rejects.toEqual(withCode('device-revoked'));
  await expect(owner.peer.addDevice(stolen.peer.id, { space: home })).rejects.toEqual(withCode('device-revoked'));
  const { link } = await owner.peer.invite(home, { role: 'writer', addresses: [owner.url] });
  await expect(stolen.peer.join(link)).rejects.toEqual(withCode('device-revoked'));
});

test('every member closes its connection once the revocation has come to it', async () => {
  await pair(owner, stolen);
  await stolen.peer.connect(laptop.url);
  await eventually(() => laptop.peer.connectionTo(stolen.peer.device) !== null, 'the laptop has it');
  await owner.peer.revokeDevice(owner.peer.space(), stolen.peer.id);
  await eventually(() => laptop.peer.connectionTo(stolen.peer.device) === null, 'the laptop let it go');
  await eventually(() => stolen.peer.connections().length === 0, 'nobody talks to it');
});

describe('what a third peer took before it knew', () => {
  // Blocks are merged from what was read of them a few writes before: see replica/tail.ts.
  test.each(Array.from({ length: 16 }, (_, i) => 26 + i))(
    'is not written again by a merge that was prepared before it was taken out (%i)',
    async (count) => {
      await stealTo();
      await eventually(() => laptop.peer.connectionTo(stolen.peer.device) !== null, 'connected');
      await owner.peer.revokeDevice(owner.peer.space(), stolen.peer.id);
      for (let i = 0; i < count; i++) {
        await stolen.peer.space().set(`n/${i}`, { text: 'by the thief' }).reached({ peers: 1 });
      }
      network.isolate(stolen);
      await joinAll(laptop, owner);
      await eventually(() => laptop.peer.space().isRevoked(stolen.peer.device), 'the laptop knows');
      for (let i = 0; i < 12; i++) await write(laptop, 'after', { i });
      expect((await contents(laptop.store, 'blocks')).join()).not.toContain(toHex(utf8('by the thief')));
      const byThief = (await logOf(laptop)).filter(({ device }) => device === stolen.peer.id);
      expect(byThief.map(({ erased }) => erased)).toEqual(Array(count).fill(true));
      await expectAgreement(laptop, owner);
    },
  );

  test('is taken out there, and gets nowhere else', async () => {
    await write(owner, 'note', { title: 'by the owner' });
    await eventually(async () => (await laptop.peer.space().get('note')) !== null, 'it is there');
    await stealTo();
    await write(stolen, 'early', { v: 1 });
    await eventuallySame([laptop, stolen]);
    // The owner has seen nothing of it: the cut is before its first commit.
    await owner.peer.revokeDevice(owner.peer.space(), stolen.peer.id);
    await write(stolen, 'note', { title: 'by the thief' });
    await write(stolen, 'late', { v: 1 });
    await stolen.peer.space().commit([{ subject: 'count', ops: { inc: { n: 5 }, add: { tags: ['x'] } } }]).stored;
    await eventuallySame([laptop, stolen]);
    expect((await laptop.peer.space().get('note'))?.value).toEqual({ title: 'by the thief' });
    // Someone who has seen it writes on.
    await laptop.peer.space().commit([{ subject: 'count', ops: { inc: { n: 2 }, add: { tags: ['y'] } } }]).stored;
    await write(laptop, 'after', { v: 1 });
    network.isolate(stolen);

    await joinAll(laptop, owner);
    await eventually(() => laptop.peer.space().isRevoked(stolen.peer.device), 'the laptop knows');
    await expectAgreement(laptop, owner);
    for (const member of [laptop, owner]) {
      const space = member.peer.space();
      expect((await space.get('note'))?.value).toEqual({ title: 'by the owner' });
      expect(await space.get('late')).toBeNull();
      expect(await space.get('early')).toBeNull();
      expect((await space.get('count'))?.value).toEqual({ n: 2, tags: ['y'] });
      expect((await space.get('after'))?.value).toEqual({ v: 1 });
      const log = await logOf(member);
      expect(log.filter(({ device }) => device === stolen.peer.id).map(({ erased }) => erased)).toEqual([
        true,
        true,
        true,
        true,
      ]);
      expect(log.filter(({ changes }) => changes.some(({ subject }) => subject === 'late'))).toEqual([]);
      expect((await collect(space.log({ subject: 'note' }))).length).toBe(1);
      expect(space.stats().holes).toBe(0);
      const warnings = member.peer.status().warnings.filter((text) => !text.includes('its one owner'));
      expect(warnings).toEqual([]);
    }
    expect(laptop.events.filter(({ type }) => type === 'swept')).toMatchObject([{ erased: 4 }]);
    // The bodies are gone from the disk, too.
    expect((await contents(laptop.store, 'blocks')).join()).not.toContain(toHex(utf8('by the thief')));

    // A newcomer who gets it from either has the same.
    const tablet = await network.add('tablet');
    await pair(owner, tablet, 'reader');
    await expectAgreement(laptop, owner, tablet);
    expect(tablet.peer.space().stats().holes).toBe(0);
  });

  test('what the owner had seen goes on counting', async () => {
    await pair(owner, stolen);
    await stolen.peer.space().set('early', { v: 1 }).reached({ peers: 1 });
    await eventuallySame([owner, laptop, stolen]);
    network.isolate(owner);
    network.isolate(stolen);
    await owner.peer.revokeDevice(owner.peer.space(), stolen.peer.id);
    await stolen.peer.connect(laptop.url);
    await write(stolen, 'early', { v: 2 });
    await eventuallySame([laptop, stolen]);
    network.isolate(stolen);
    await joinAll(laptop, owner);
    await expectAgreement(laptop, owner);
    expect((await laptop.peer.space().get('early'))?.value).toEqual({ v: 1 });
  });

  test('others may name it in deps: their commits count, and newcomers get them', async () => {
    await stealTo();
    await write(stolen, 'shared', { a: 1 });
    await eventuallySame([laptop, stolen]);
    await write(laptop, 'shared', { b: 1 });
    await owner.peer.revokeDevice(owner.peer.space(), stolen.peer.id);
    network.isolate(stolen);
    await joinAll(laptop, owner);
    await expectAgreement(laptop, owner);
    expect((await owner.peer.space().get('shared'))?.value).toEqual({ b: 1 });
    network.isolate(owner);
    const tablet = await network.add('tablet');
    await tablet.peer.addDevice(laptop.peer.id);
    network.reconnect(owner);
    await owner.peer.addDevice(tablet.peer.id, { space: owner.peer.space(), role: 'reader' });
    await eventuallySame([owner, laptop]);
    network.isolate(owner);
    const connection = await tablet.peer.connect(laptop.url);
    await connection.caughtUp();
    await expectAgreement(laptop, tablet);
  });

  test('a sweep that a crash cut short is finished at the next opening', async () => {
    const store = new WrappedStore(new MemoryStore());
    const seed = new Uint8Array(32).fill(7);
    const desk = await network.add('desk', { store, seed });
    await pair(owner, desk);
    await stealTo();
    await stolen.peer.connect(desk.url);
    await write(stolen, 'late', { v: 1 });
    await eventuallySame([laptop, stolen, desk]);
    network.isolate(stolen);
    await owner.peer.revokeDevice(owner.peer.space(), stolen.peer.id);
    let writes = 0;
    store.beforeWrite = (ops) => {
      // The transaction after the one with the revocation is the sweep's.
      if (writes > 0 || ops.some(({ table }) => table === 'facts')) writes++;
      if (writes > 1) throw new Error('power cut');
    };
    network.isolate(desk);
    network.reconnect(owner);
    await desk.peer.connect(owner.url);
    await eventually(() => writes > 1, 'the power is cut');
    await desk.peer.close();
    expect(JSON.stringify(await contents(store.inner, 'blocks'))).toContain(toHex(utf8('late')));

    const again = await network.add('desk', { store: store.inner, seed });
    expect(await again.peer.space().get('late')).toBeNull();
    await again.peer.connect(owner.url);
    await eventuallySame([owner, again]);
    await expectAgreement(owner, again);
  });
});

describe('a revoked owner', () => {
  test('takes with it whom it let in, and what those wrote', async () => {
    await stealTo('owner');
    const friend = await network.add('friend');
    await write(laptop, 'note', { title: 'fine' });
    await stolen.peer.addDevice(friend.peer.id, { space: stolen.peer.space(), role: 'writer', name: 'friend' });
    network.reconnect(stolen);
    await friend.peer.addDevice(laptop.peer.id);
    await eventuallySame([laptop, stolen]);
    await friend.peer.connect(laptop.url);
    await eventually(() => friend.peer.spaces.length === 1, 'the friend has the space');
    await eventuallySame([laptop, friend]);
    await friend.peer.space().set('note', { title: 'by the friend' }).reached({ peers: 1 });
    await friend.peer.space().set('more', { v: 1 }).reached({ peers: 1 });
    expect((await laptop.peer.space().get('note'))?.value).toEqual({ title: 'by the friend' });
    await owner.peer.revokeDevice(owner.peer.space(), stolen.peer.id);
    network.isolate(stolen);
    await joinAll(laptop, owner);
    await eventually(() => laptop.peer.space().isRevoked(stolen.peer.device), 'the laptop knows');
    await write(friend, 'too late', { v: 1 });
    await expectAgreement(laptop, owner);
    for (const { peer } of [laptop, owner]) {
      expect((await peer.space().get('note'))?.value).toEqual({ title: 'fine' });
      expect(await peer.space().get('more')).toBeNull();
      expect(peer.space().roleOf(friend.peer.device)).toBeNull();
      expect(peer.space().stats().holes).toBe(0);
    }
    expect((await owner.peer.devices(owner.peer.space())).map(({ name }) => name)).not.toContain('friend');

    const tablet = await network.add('tablet');
    await pair(owner, tablet, 'reader');
    await eventuallySame([owner, laptop]);
    await expectAgreement(laptop, owner, tablet);
    expect(tablet.peer.space().stats().holes).toBe(0);
    expect(tablet.peer.status().warnings).toEqual([]);
    // And one who gets it from the laptop, which holds the friend's commits erased by its own sweep.
    const phone = await network.add('phone');
    await owner.peer.addDevice(phone.peer.id, { space: owner.peer.space(), role: 'reader' });
    await phone.peer.addDevice(laptop.peer.id);
    await eventuallySame([owner, laptop]);
    network.isolate(owner);
    await (await phone.peer.connect(laptop.url)).caughtUp();
    await expectAgreement(laptop, phone);
  });

  test('whose grant stands behind an erased commit keeps no newcomer out', async () => {
    await stealTo('owner');
    // The first of its chain says what it had seen, and is erased.
    await write(stolen, 'first', { v: 1 });
    const friend = await network.add('friend');
    await stolen.peer.addDevice(friend.peer.id, { space: stolen.peer.space(), role: 'writer', name: 'friend' });
    network.reconnect(stolen);
    await friend.peer.addDevice(laptop.peer.id);
    await eventuallySame([laptop, stolen]);
    await friend.peer.connect(laptop.url);
    await eventually(() => friend.peer.spaces.length === 1, 'the friend has the space');
    await eventuallySame([laptop, friend]);
    await friend.peer.space().set('more', { v: 1 }).reached({ peers: 1 });
    await owner.peer.revokeDevice(owner.peer.space(), stolen.peer.id);
    network.isolate(stolen);
    await joinAll(laptop, owner);
    await expectAgreement(laptop, owner);
    const tablet = await network.add('tablet');
    await pair(owner, tablet, 'reader');
    await expectAgreement(laptop, owner, tablet);
    expect(tablet.peer.space().stats().holes).toBe(0);
  });

  test('cannot undo its own revocation by not having seen it', async () => {
    const desk = await network.add('desk');
    await pair(owner, desk);
    await eventuallySame([owner, laptop, desk]);
    await stealTo('owner');
    await owner.peer.revokeDevice(owner.peer.space(), stolen.peer.id);
    await stolen.peer.revokeDevice(stolen.peer.space(), owner.peer.id);
    network.reconnect(owner);
    await desk.peer.connect(owner.url);
    await eventuallySame([owner, desk]);
    await eventuallySame([laptop, stolen]);
    network.isolate(stolen);
    network.isolate(owner);
    // The laptop takes the owner for revoked, and talks to it no more: the elder's word comes by others.
    expect(laptop.peer.space().isRevoked(owner.peer.device)).toBe(true);
    await laptop.peer.connect(desk.url);
    await eventually(() => laptop.peer.space().isRevoked(stolen.peer.device), 'the laptop hears it');
    expect(laptop.peer.space().roleOf(owner.peer.device)).toBe('owner');
    network.reconnect(owner);
    await laptop.peer.connect(owner.url);
    await expectAgreement(laptop, desk, owner);
  });

  test('whose revocations become void gives back what they erased', async () => {
    const second = await network.add('second');
    await pair(owner, second, 'owner');
    await pair(owner, stolen);
    await eventuallySame([owner, laptop, second, stolen]);
    network.isolate(second);
    network.isolate(stolen);
    network.isolate(owner);
    // `second` revokes a device that did nothing wrong, and does not see what it wrote last.
    await second.peer.revokeDevice(second.peer.space(), stolen.peer.id);
    await stolen.peer.connect(laptop.url);
    await write(stolen, 'honest', { v: 1 });
    await eventuallySame([laptop, stolen]);
    network.isolate(stolen);
    await second.peer.connect(laptop.url);
    await eventually(() => laptop.peer.space().isRevoked(stolen.peer.device), 'the laptop knows');
    expect(await laptop.peer.space().get('honest')).toBeNull();
    network.isolate(second);
    await owner.peer.revokeDevice(owner.peer.space(), second.peer.id);
    network.isolate(laptop);
    network.reconnect(owner);
    await laptop.peer.connect(owner.url);
    await eventually(() => laptop.peer.space().isRevoked(second.peer.device), 'the laptop knows of the second');
    expect(laptop.peer.space().roleOf(stolen.peer.device)).toBe('writer');
    // The body is asked for where it may be: at its author.
    await eventually(() => laptop.peer.space().stats().holes === 1, 'the sweep has found what it lacks');
    network.reconnect(laptop);
    await stolen.peer.connect(laptop.url);
    await eventually(async () => (await laptop.peer.space().get('honest')) !== null, 'it is back');
    await eventually(async () => (await owner.peer.space().get('honest')) !== null, 'and with the owner');
    await eventuallySame([owner, laptop, stolen]);
    expect(await dump(stolen.peer)).toEqual(await dump(laptop.peer));
  });

  test('whose revocations become void gives back what they took from the list of devices', async () => {
    const h = new ForkedHistory();
    const grants = ['bea', 'dan'].map((name) => h.grant('founder', name, 'owner'));
    const first = h.all[0]!;
    // Nothing else ever says anything of cyd.
    const grant = h.grant('bea', 'cyd', 'writer', [grants[0]!]);
    const byDan = h.revoke('dan', 'bea', {}, [grants[1]!]);
    const ofDan = h.revoke('founder', 'dan', {}, [grant]);
    const receiver = await h.receiver(network, 'receiver');
    const { space } = receiver;
    const cyd = `~devices/${deviceId('cyd')}`;
    await receiver.giveAll([first, ...grants, grant, byDan]);
    expect(await space.get(cyd)).toBeNull();
    await receiver.giveAll([ofDan]);
    expect(space.roleOf(deviceOf('cyd').public)).toBe('writer');
    expect((await space.get(cyd))?.value).toMatchObject({ role: 'writer' });
    const shown = await receiver.shows();
    await space.rebuild();
    expect(await receiver.shows()).toEqual(shown);
  });
});

/** Two devices that come to trust each other: by a link, by a person's approval, by their IDs. And those who don't get in. */
import { afterEach, describe, expect, test } from 'vitest';
import { MemoryStore } from '../../client/memory-store.ts';
import type { Store } from '../../client/store.ts';
import type { PeerEvent } from '../../client/events.ts';
import { toHex } from '../../protocol/bytes.ts';
import { DEVICES_PREFIX, INVITE_LIFE_MS } from '../../protocol/constants.ts';
import { TidelogError } from '../../protocol/errors.ts';
import type { Role } from '../../protocol/membership.ts';
import { decodePairLink, encodePairLink, pairProof, type PairInvite } from '../../protocol/pair-link.ts';
import { collect, dump, eventually, eventuallySame, Network, pair, type Member } from '../support/network.ts';
import { bytesOf, crypto, withCode } from '../support/protocol.ts';
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

async function twoDevices(): Promise<{ laptop: Member; phone: Member }> {
  const laptop = await network.add('laptop');
  await (await laptop.peer.homeSpace()).set('note', { title: 'Milk' }).stored;
  return { laptop, phone: await network.add('phone') };
}

async function laptopWith<S extends Store>(store: S): Promise<{ laptop: Member; phone: Member; store: S }> {
  const laptop = await network.add('laptop', { store });
  await (await laptop.peer.homeSpace()).set('note', { title: 'Milk' }).stored;
  return { laptop, phone: await network.add('phone'), store };
}

async function linkTo(laptop: Member, role: Role = 'writer', addresses = [laptop.url]): Promise<string> {
  return (await laptop.peer.invite(laptop.peer.space(), { role, addresses })).link;
}

/** A link with something else in it. */
function altered(link: string, change: Partial<PairInvite>): string {
  return encodePairLink(crypto, { ...decodePairLink(crypto, link), ...change });
}

function stateOf(laptop: Member, link: string): string | undefined {
  const { id } = decodePairLink(crypto, link);
  return laptop.peer.invites().find((invite) => invite.id === toHex(id))?.state;
}

/** Turned away: not a member of anything, and told nothing. */
async function expectOutside(laptop: Member, phone: Member): Promise<void> {
  expect(phone.peer.spaces).toEqual([]);
  expect(laptop.peer.space().roleOf(phone.peer.device)).toBeNull();
  await eventually(() => laptop.peer.connections().length === 0, 'the line is closed');
  expect(laptop.events.some(({ type }) => type === 'paired')).toBe(false);
}

describe('a link', () => {
  test.each(['owner', 'writer', 'reader', 'mirror'] as const)(
    'lets one device in as %s, and both show the same digits',
    async (role) => {
      const { laptop, phone } = await twoDevices();
      const shown: string[] = [];
      const joined = await phone.peer.join(await linkTo(laptop, role), { onDigits: (digits) => shown.push(digits) });
      await joined.synced;
      expect(joined.role).toBe(role);
      expect(joined.device).toBe(laptop.peer.id);
      expect(joined.digits).toMatch(/^\d{6}$/);
      expect(shown).toEqual([joined.digits]);
      expect(laptop.events.find(({ type }) => type === 'paired')).toMatchObject({
        device: phone.peer.id,
        name: 'phone',
        digits: joined.digits,
        role,
      });
      expect(phone.peer.space().role).toBe(role);
      expect(phone.peer.space().name).toBe('home');
      if (role === 'mirror') await expect(dump(phone.peer)).rejects.toEqual(withCode('log-only'));
      else expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
      expect(phone.peer.space().digest()).toEqual(laptop.peer.space().digest());
      expect((await laptop.peer.devices(laptop.peer.space())).map(({ name, role: has }) => [name, has])).toEqual([
        ['laptop', 'owner'],
        ['phone', role],
      ]);
      expect((await phone.peer.devices(phone.peer.space())).map(({ name }) => name)).toEqual(['phone', 'laptop']);
      const members = await collect(laptop.peer.space().export(DEVICES_PREFIX));
      expect(members.length).toBe(2);
      expect(await collect(phone.peer.space().export(DEVICES_PREFIX))).toEqual(members);
    },
  );

  test('works once', async () => {
    const { laptop, phone } = await twoDevices();
    const link = await linkTo(laptop);
    await (
      await phone.peer.join(link)
    ).synced;
    expect(stateOf(laptop, link)).toBe('used');
    expect(laptop.peer.invites()).toMatchObject([{ usedBy: phone.peer.id, link: null }]);
    const tablet = await network.add('tablet');
    await expect(tablet.peer.join(link)).rejects.toEqual(withCode('invite-used'));
    expect(laptop.peer.space().roleOf(tablet.peer.device)).toBeNull();
    expect(tablet.peer.spaces).toEqual([]);
  });

  test('gives a member that joins by another one the role of that', async () => {
    const { laptop, phone } = await twoDevices();
    await (
      await phone.peer.join(await linkTo(laptop, 'reader'))
    ).synced;
    await (
      await phone.peer.join(await linkTo(laptop, 'owner'))
    ).synced;
    expect(laptop.peer.space().roleOf(phone.peer.device)).toBe('owner');
  });

  test('answers the device that has used it again: PAIRED may have been lost on its way', async () => {
    const { laptop } = await twoDevices();
    const link = await linkTo(laptop, 'reader');
    const { id, secret } = decodePairLink(crypto, link);
    const ask = async (name: string): Promise<RawPeer> => {
      const raw = await RawPeer.connect(laptop, name);
      const proof = pairProof(crypto, secret, raw.handshakeHash, raw.keys.public);
      raw.send({ type: 'PAIR', invite: { id, proof }, name });
      return raw;
    };
    const before = laptop.peer.space().head;
    const first = await ask('phone');
    await eventually(() => laptop.peer.space().roleOf(first.keys.public) === 'reader', 'it is let in');
    await eventually(() => laptop.peer.space().head > before, 'that is on the disk');
    first.cut();
    const { head } = laptop.peer.space();
    const again = await ask('phone');
    expect(await again.next('PAIRED')).toMatchObject({ role: 'reader' });
    expect(laptop.peer.space().head).toBe(head);
    expect(await (await ask('thief')).refusedWith()).toBe('invite-used');
    // With a wrong secret it is like anybody's.
    const guesses = await RawPeer.connect(laptop, 'phone');
    guesses.send({ type: 'PAIR', invite: { id, proof: bytesOf('guess', 32) }, name: 'phone' });
    expect(await guesses.refusedWith()).toBe('invite-used');
  });

  test('works once, also for two who come at the same moment', async () => {
    const { laptop, phone } = await twoDevices();
    const tablet = await network.add('tablet');
    const link = await linkTo(laptop);
    const outcomes = await Promise.allSettled([phone.peer.join(link), tablet.peer.join(link)]);
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'invite-used' } });
    expect(laptop.peer.space().members().length).toBe(2);
  });

  test('that has expired', async () => {
    const { laptop, phone } = await twoDevices();
    const link = await linkTo(laptop);
    network.skewUs += (INVITE_LIFE_MS + 30_000) * 1000;
    // The joiner allows for a clock that differs; the inviter has the last word.
    await expect(phone.peer.join(link)).rejects.toEqual(withCode('invite-expired'));
    expect(stateOf(laptop, link)).toBe('expired');
    network.skewUs += 120_000 * 1000;
    await expect(phone.peer.join(link)).rejects.toEqual(withCode('invite-expired'));
    await expectOutside(laptop, phone);
    // A day later it is forgotten.
    network.skewUs += 25 * 3600 * 1_000_000;
    await linkTo(laptop);
    expect(stateOf(laptop, link)).toBeUndefined();
  });

  test('that was cancelled, or never was', async () => {
    const { laptop, phone } = await twoDevices();
    const link = await linkTo(laptop);
    await laptop.peer.cancelInvite(laptop.peer.invites()[0]!.id);
    await expect(phone.peer.join(link)).rejects.toEqual(withCode('invite-unknown'));
    await expect(phone.peer.join(altered(link, { id: bytesOf('made up', 8) }))).rejects.toEqual(
      withCode('invite-unknown'),
    );
    await expectOutside(laptop, phone);
  });

  test('with a wrong secret is dead after three', async () => {
    const { laptop, phone } = await twoDevices();
    const link = await linkTo(laptop);
    const wrong = altered(link, { secret: bytesOf('guessed', 16) });
    for (let i = 0; i < 3; i++) {
      expect(stateOf(laptop, link)).toBe('open');
      await expect(phone.peer.join(wrong)).rejects.toEqual(withCode('invite-wrong-secret'));
    }
    expect(stateOf(laptop, link)).toBe('dead');
    await expect(phone.peer.join(link)).rejects.toEqual(withCode('invite-dead'));
    await expectOutside(laptop, phone);
  });

  test('with a wrong secret twice, and then the right one', async () => {
    const { laptop, phone } = await twoDevices();
    const link = await linkTo(laptop);
    const wrong = altered(link, { secret: bytesOf('guessed', 16) });
    for (let i = 0; i < 2; i++) await expect(phone.peer.join(wrong)).rejects.toEqual(withCode('invite-wrong-secret'));
    await (
      await phone.peer.join(link)
    ).synced;
    expect(phone.peer.space().role).toBe('writer');
  });

  test('that names another device than the one that answers', async () => {
    const { laptop, phone } = await twoDevices();
    const other = await network.add('other');
    const link = await linkTo(laptop, 'writer', [other.url]);
    await expect(phone.peer.join(link)).rejects.toEqual(withCode('wrong-device'));
    // Who answered in its place learns nothing, not even who asked.
    expect(other.events.filter(({ type }) => type === 'connected')).toEqual([]);
    expect(stateOf(laptop, link)).toBe('open');
    // The next address is the right one.
    const two = await linkTo(laptop, 'writer', ['http://nowhere', other.url, laptop.url]);
    await (
      await phone.peer.join(two)
    ).synced;
    expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
  });

  test('that says another space than it lets into', async () => {
    const { laptop, phone } = await twoDevices();
    const link = altered(await linkTo(laptop), { space: bytesOf('another', 32) });
    await expect(phone.peer.join(link)).rejects.toEqual(withCode('wrong-space'));
    expect(phone.peer.spaces).toEqual([]);
  });

  test('that is none, to nowhere, or to oneself', async () => {
    const { laptop, phone } = await twoDevices();
    const link = await linkTo(laptop);
    for (const text of ['', 'http://laptop', link.slice(0, -3), `${link}x`, link.replace('#pair=', '#pear=')])
      await expect(phone.peer.join(text)).rejects.toEqual(withCode('bad-link'));
    await expect(laptop.peer.join(link)).rejects.toEqual(withCode('self-connect'));
    network.isolate(laptop);
    await expect(phone.peer.join(link)).rejects.toEqual(withCode('unreachable'));
    network.reconnect(laptop);
    await (
      await phone.peer.join(link)
    ).synced;
  });

  test('outlives the inviter’s restart', async () => {
    const store = new MemoryStore();
    const seed = bytesOf('laptop', 32);
    const close = store.close.bind(store);
    store.close = async () => {};
    const laptop = await network.add('laptop', { store, seed });
    await laptop.peer.homeSpace();
    const link = await linkTo(laptop);
    const wrong = altered(link, { secret: bytesOf('guessed', 16) });
    const thief = await network.add('thief');
    for (let i = 0; i < 2; i++) await expect(thief.peer.join(wrong)).rejects.toEqual(withCode('invite-wrong-secret'));
    network.isolate(laptop);
    await laptop.peer.close();
    const again = await network.add('laptop', { store, seed });
    expect(again.peer.invites()).toMatchObject([{ state: 'open', link: null, role: 'writer' }]);
    const phone = await network.add('phone');
    await (
      await phone.peer.join(link)
    ).synced;
    network.isolate(again);
    await again.peer.close();
    const third = await network.add('laptop', { store, seed });
    await expect(thief.peer.join(link)).rejects.toEqual(withCode('invite-used'));
    expect(third.peer.invites()).toMatchObject([{ state: 'used', usedBy: phone.peer.id }]);
    await third.peer.close();
    await close();
  });

  test('is used up even where the inviter’s answer never arrives', async () => {
    const { laptop, phone } = await twoDevices();
    const link = await linkTo(laptop);
    const joining = phone.peer.join(link);
    joining.catch(() => {});
    await eventually(() => stateOf(laptop, link) === 'used', 'it is used');
    network.cut();
    await joining.catch(() => {});
    // It is a member all the same, and gets in by asking.
    const { synced } = await phone.peer.ask(laptop.url);
    await synced;
    expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
  });

  test('lets in by another line, unapproved, who lost the first while it was let in', async () => {
    const { laptop, phone, store } = await laptopWith(new WrappedStore(new MemoryStore()));
    const link = await linkTo(laptop);
    const { promise: ready } = disk;
    let isHeld = false;
    store.beforeWrite = (ops) => {
      if (!ops.some(({ table }) => table === 'meta')) return;
      isHeld = true;
      return ready;
    };
    const joining = phone.peer.join(link);
    joining.catch(() => {});
    await eventually(() => isHeld, 'it is being used');
    network.cut();
    await expect(joining).rejects.toEqual(withCode('unreachable'));
    let isPending = false;
    const asking = phone.peer.ask(laptop.url, { onPending: () => (isPending = true) });
    await eventually(() => isPending, 'it waits for a person');
    disk.resolve();
    await (
      await asking
    ).synced;
    expect(laptop.peer.pending()).toEqual([]);
    expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
  });

  test.each(['with the link', 'without'])(
    'says that a device is let in once that is on the disk, also to one that asks again %s',
    async (how) => {
      const { laptop, phone, store } = await laptopWith(new WrappedStore(new MemoryStore()));
      const link = await linkTo(laptop);
      const begun = Promise.withResolvers<void>();
      const { promise: ready } = disk;
      store.beforeWrite = (ops) => {
        if (!ops.some(({ table }) => table === 'blocks')) return;
        begun.resolve();
        return ready;
      };
      const joining = phone.peer.join(link);
      joining.catch(() => {});
      await begun.promise;
      network.cut();
      await expect(joining).rejects.toEqual(withCode('unreachable'));
      let isAnswered = false;
      const asking = how === 'without' ? phone.peer.ask(laptop.url) : phone.peer.join(link);
      void asking.then(() => (isAnswered = true));
      for (let i = 0; i < 200; i++) await turn();
      expect(isAnswered).toBe(false);
      disk.resolve();
      await (
        await asking
      ).synced;
      expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
    },
  );

  test('that is used only in memory, because the disk is full, lets nobody in', async () => {
    const { laptop, phone, store } = await laptopWith(new WrappedStore(new MemoryStore()));
    const link = await linkTo(laptop);
    let isFull = true;
    store.beforeWrite = (ops) => {
      if (isFull && ops.some(({ table }) => table === 'meta')) throw new TidelogError('store-full');
    };
    // The second time too: else it would be a member by an invite that another can use after the next restart.
    for (let i = 0; i < 2; i++) await expect(phone.peer.join(link)).rejects.toEqual(withCode('store-full'));
    expect(stateOf(laptop, link)).toBe('open');
    expect(laptop.peer.space().roleOf(phone.peer.device)).toBeNull();
    isFull = false;
    await (
      await phone.peer.join(link)
    ).synced;
    expect(stateOf(laptop, link)).toBe('used');
  });

  // Which of two lines in opposite directions stays is decided by the keys: both ways round.
  test.each(['phone', 'tablet', 'watch', 'd'])('lets in a device that the inviter has dialled: %s', async (name) => {
    const laptop = await network.add('laptop', { seed: bytesOf('laptop', 32) });
    const phone = await network.add('phone', { seed: bytesOf(name, 32) });
    await laptop.peer.homeSpace();
    await pair(laptop, phone);
    phone.peer.undial(laptop.url);
    network.cut();
    await eventually(() => laptop.peer.connections().length === 0, 'the line is down');
    await laptop.peer.connect(phone.url);
    const work = await laptop.peer.createSpace('work');
    const { link } = await laptop.peer.invite(work, { role: 'writer', addresses: [laptop.url] });
    const { space, synced } = await phone.peer.join(link);
    await synced;
    expect(space.name).toBe('work');
  });

  test('whose joining is given up', async () => {
    const { laptop, phone } = await twoDevices();
    const link = await linkTo(laptop);
    const aborter = new AbortController();
    aborter.abort(new Error('enough'));
    await expect(phone.peer.join(link, { signal: aborter.signal })).rejects.toThrow();
    await eventually(() => phone.peer.connections().length === 0, 'no line is left');
    expect(phone.peer.spaces).toEqual([]);
  });

  test('is answered once: another answer was not asked for', async () => {
    const { laptop, phone } = await twoDevices();
    await (
      await phone.peer.join(await linkTo(laptop))
    ).synced;
    const [line] = laptop.peer.connections();
    line!.answerPaired({ space: bytesOf('another', 32), spaceName: 'another', role: 'owner' });
    await phone.peer.space().set('note', { by: 'phone' }).reached({ peers: 1 });
    expect(phone.peer.spaces.length).toBe(1);
    expect(laptop.peer.connections()).toEqual([line]);
  });

  test('lets a device that is a member already into a second space', async () => {
    const { laptop, phone } = await twoDevices();
    await pair(laptop, phone);
    const work = await laptop.peer.createSpace('work');
    await work.set('task', { v: 1 }).stored;
    const { link } = await laptop.peer.invite(work, { role: 'writer', addresses: [laptop.url] });
    const joined = await phone.peer.join(link);
    await joined.synced;
    expect(joined.space.name).toBe('work');
    expect((await joined.space.get('task'))?.value).toEqual({ v: 1 });
    await phone.peer.space().set('note', { by: 'phone' }).reached({ peers: 1 });
    expect(phone.peer.spaces.length).toBe(2);
    expect(phone.peer.counters.duplicates).toBe(0);
  });

  test('is made by owners, for roles that there are, and for no longer than it may live', async () => {
    const { laptop, phone } = await twoDevices();
    await pair(laptop, phone);
    const home = laptop.peer.space();
    const addresses = [laptop.url];
    await expect(phone.peer.invite(phone.peer.space(), { role: 'reader', addresses })).rejects.toEqual(
      withCode('not-an-owner'),
    );
    await expect(laptop.peer.invite(home, { role: 'king' as Role, addresses })).rejects.toEqual(withCode('bad-role'));
    for (const lifeMs of [0, -1, Number.NaN, 31 * 24 * 3600_000])
      await expect(laptop.peer.invite(home, { role: 'reader', addresses, lifeMs })).rejects.toEqual(
        withCode('bad-argument'),
      );
  });

  test('by an owner who is none any more lets nobody in', async () => {
    const { laptop, phone } = await twoDevices();
    await pair(laptop, phone, 'owner');
    const { link } = await phone.peer.invite(phone.peer.space(), { role: 'writer', addresses: [phone.url] });
    await laptop.peer.setRole(laptop.peer.space(), phone.peer.id, 'reader');
    await eventuallySame([laptop, phone]);
    const tablet = await network.add('tablet');
    await expect(tablet.peer.join(link)).rejects.toEqual(withCode('not-an-owner'));
    expect(tablet.peer.spaces).toEqual([]);
  });
});

describe('merging', () => {
  test('what a device had goes into the space that it joins', async () => {
    const { laptop, phone } = await twoDevices();
    const own = await phone.peer.homeSpace();
    for (let i = 0; i < 250; i++) own.set(`mine/${i}`, { i });
    await own.commit([{ subject: 'note', ops: { set: { title: 'Bread' }, inc: { n: 3 }, add: { tags: ['a', 'b'] } } }])
      .stored;
    const joined = await phone.peer.join(await linkTo(laptop), { merge: true });
    await joined.synced;
    expect(phone.peer.space()).toBe(joined.space);
    await eventuallySame([laptop, phone]);
    const home = laptop.peer.space();
    expect((await home.list({ prefix: 'mine/', limit: 300 })).items.length).toBe(250);
    // It knew what was there: what it says goes, and nothing is in conflict.
    expect((await home.get('note'))?.value).toEqual({ n: 3, tags: ['a', 'b'], title: 'Bread' });
    expect((await home.conflicts({ limit: 10 })).items).toEqual([]);
    expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
    expect(phone.peer.spaces.length).toBe(2);
  });

  test('without it, both are there, and its own stays the default', async () => {
    const { laptop, phone } = await twoDevices();
    const own = await phone.peer.homeSpace();
    await own.set('mine', { v: 1 }).stored;
    await (
      await phone.peer.join(await linkTo(laptop))
    ).synced;
    expect(phone.peer.spaces.length).toBe(2);
    expect(phone.peer.space()).toBe(own);
    expect(await phone.peer.spaces[1]!.get('note')).not.toBeNull();
    expect(await laptop.peer.space().get('mine')).toBeNull();
    expect(() => phone.peer.space('home')).toThrow(withCode('bad-argument') as Error);
    expect(phone.peer.space(own.hex.slice(0, 8))).toBe(own);
  });
});

describe('asking', () => {
  async function asked(): Promise<{ laptop: Member; phone: Member; joining: ReturnType<Member['peer']['ask']> }> {
    const { laptop, phone } = await twoDevices();
    let isPending = false;
    const joining = phone.peer.ask(laptop.url, {
      onPending: () => {
        isPending = true;
      },
    });
    joining.catch(() => {});
    await eventually(() => isPending, 'it knows that it must wait');
    return { laptop, phone, joining };
  }

  test('and a person approves', async () => {
    const { laptop, phone, joining } = await asked();
    const [pending] = laptop.peer.pending();
    expect(pending).toMatchObject({ id: phone.peer.id, name: 'phone' });
    expect(laptop.events.filter(({ type }) => type === 'pending').length).toBe(1);
    expect(phone.peer.spaces).toEqual([]);
    await laptop.peer.approve(phone.peer.id.toLowerCase(), laptop.peer.space(), 'reader');
    const joined = await joining;
    expect(joined.digits).toBe(pending!.digits);
    expect(joined.role).toBe('reader');
    await joined.synced;
    expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
    expect(laptop.peer.pending()).toEqual([]);
    await expect(laptop.peer.approve(phone.peer.id, laptop.peer.space())).rejects.toEqual(withCode('unknown-device'));
  });

  test('and is let in by its ID instead', async () => {
    const { laptop, phone, joining } = await asked();
    await laptop.peer.addDevice(phone.peer.id, { role: 'reader' });
    const { role, synced } = await joining;
    await synced;
    expect(role).toBe('reader');
    expect(laptop.peer.pending()).toEqual([]);
  });

  /** A person approves while the disk is busy; meanwhile the line is lost, and it asks by another. */
  async function askedAgainWhileApproved(): Promise<{
    laptop: Member;
    phone: Member;
    approving: Promise<void>;
    again: ReturnType<Member['peer']['ask']>;
    /** What it shows now. */
    digits: string;
  }> {
    const { laptop, phone, store } = await laptopWith(new WrappedStore(new MemoryStore()));
    const ask = async (): Promise<{ asking: ReturnType<Member['peer']['ask']>; digits: string }> => {
      let isPending = false;
      let digits = '';
      const asking = phone.peer.ask(laptop.url, {
        onPending: () => (isPending = true),
        onDigits: (shown) => (digits = shown),
      });
      asking.catch(() => {});
      await eventually(() => isPending, 'it waits for a person');
      return { asking, digits };
    };
    const { asking } = await ask();
    const { promise: ready } = disk;
    let isBusy = false;
    store.beforeWrite = (ops) => {
      if (!ops.some(({ table }) => table === 'blocks')) return;
      isBusy = true;
      return ready;
    };
    laptop.peer.space().set('note', { title: 'Bread' });
    await eventually(() => isBusy, 'the disk is busy');
    const approving = laptop.peer.approve(phone.peer.id, laptop.peer.space());
    approving.catch(() => {});
    network.cut();
    await expect(asking).rejects.toEqual(withCode('unreachable'));
    const { asking: again, digits } = await ask();
    return { laptop, phone, approving, again, digits };
  }

  test('again while a person approves: it waits no longer once that is on the disk', async () => {
    const { laptop, approving, again } = await askedAgainWhileApproved();
    disk.resolve();
    await approving;
    await (
      await again
    ).synced;
    expect(laptop.peer.pending()).toEqual([]);
  });

  test('again while a person approves in vain: it still waits, by what it shows now', async () => {
    const { laptop, approving, digits } = await askedAgainWhileApproved();
    disk.reject(new TidelogError('store-full'));
    await expect(approving).rejects.toEqual(withCode('store-full'));
    expect(laptop.peer.pending()).toMatchObject([{ digits }]);
  });

  test('and a person rejects', async () => {
    const { laptop, phone, joining } = await asked();
    await laptop.peer.reject(phone.peer.id);
    await expect(joining).rejects.toEqual(withCode('pairing-rejected'));
    expect(laptop.peer.pending()).toEqual([]);
    await expectOutside(laptop, phone);
  });

  test('and a person approves while it is away: it is let in when it comes again', async () => {
    const { laptop, phone, joining } = await asked();
    network.cut();
    await expect(joining).rejects.toEqual(withCode('unreachable'));
    await eventually(() => laptop.peer.connections().length === 0, 'it is away');
    await laptop.peer.approve(phone.peer.id, laptop.peer.space(), 'writer');
    const { synced } = await phone.peer.ask(laptop.url);
    await synced;
    expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
  });

  test('and approved while it is away, it gets the space by connecting, too', async () => {
    const { laptop, phone, joining } = await asked();
    network.cut();
    await joining.catch(() => {});
    await laptop.peer.approve(phone.peer.id, laptop.peer.space(), 'writer');
    await (await phone.peer.connect(laptop.url)).caughtUp();
    expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
  });

  test('by somebody who is given nothing else, however often', async () => {
    const laptop = await network.add('laptop');
    await laptop.peer.homeSpace();
    const raw = await RawPeer.connect(laptop, 'stranger');
    for (let i = 0; i < 5; i++) raw.send({ type: 'PAIR', invite: null, name: `name ${i}` });
    for (let i = 0; i < 5; i++) expect((await raw.next('REFUSED')).fault.code).toBe('pairing-pending');
    expect(laptop.peer.pending().map(({ name }) => name)).toEqual(['name 4']);
    raw.send({ type: 'HEARTBEAT', spaces: [], time: 0 });
    raw.send({
      type: 'SUBSCRIBE_ALL',
      subscription: 1,
      space: laptop.peer.space().id,
      from: { kind: 'all' },
      live: true,
      credit: 4_000_000,
    });
    expect(await raw.refusedWith()).toBe('not-paired');
    expect(new Set(raw.received.map(({ type }) => type))).toEqual(new Set(['REFUSED', 'ERROR']));
  });

  test('by more strangers than a person can look at: those who asked last are shown', async () => {
    const laptop = await network.add('laptop');
    await laptop.peer.homeSpace();
    for (let i = 0; i < 55; i++) {
      const raw = await RawPeer.connect(laptop, `stranger ${i}`);
      raw.send({ type: 'PAIR', invite: null, name: String(i) });
      expect((await raw.next('REFUSED')).fault.code).toBe('pairing-pending');
      raw.cut();
    }
    expect(laptop.peer.pending().map(({ name }) => Number(name))).toEqual([...Array(50).keys()].map((i) => i + 5));
  });
});

test('a stranger that asked, and had to make room for others, is let go', async () => {
  const laptop = await network.add('laptop');
  await laptop.peer.homeSpace();
  const first = await RawPeer.connect(laptop, 'first');
  first.send({ type: 'PAIR', invite: null, name: 'first' });
  expect((await first.next('REFUSED')).fault.code).toBe('pairing-pending');
  for (let i = 0; i < 50; i++) {
    const raw = await RawPeer.connect(laptop, `stranger ${i}`);
    raw.send({ type: 'PAIR', invite: null, name: String(i) });
    await raw.next('REFUSED');
  }
  expect((await first.next('REFUSED')).fault).toMatchObject({ code: 'too-many', retry: true });
  expect(await first.refusedWith()).toBe('too-many');
  expect(laptop.peer.connections()).toHaveLength(50);
});

describe('by device IDs', () => {
  test('each side adds the other, in either order', async () => {
    for (const first of ['laptop', 'phone'] as const) {
      const { laptop, phone } = await twoDevices();
      const addTo = {
        laptop: () => laptop.peer.addDevice(phone.peer.id, { name: 'phone' }),
        phone: () => phone.peer.addDevice(laptop.peer.id),
      };
      expect(await addTo[first]()).toBe(first === 'laptop');
      await addTo[first === 'laptop' ? 'phone' : 'laptop']();
      await (await phone.peer.connect(laptop.url)).caughtUp();
      expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
      expect(phone.peer.space().role).toBe('writer');
      await network.close();
      network = new Network();
    }
  });

  test('the one who holds the space may dial, too', async () => {
    const { laptop, phone } = await twoDevices();
    await phone.peer.addDevice(laptop.peer.id);
    await laptop.peer.addDevice(phone.peer.id, { role: 'reader' });
    await laptop.peer.connect(phone.url);
    await eventually(() => phone.peer.spaces.length === 1, 'it takes the space');
    await eventuallySame([laptop, phone]);
    expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
  });

  test('one side alone is not enough', async () => {
    const { laptop, phone } = await twoDevices();
    await phone.peer.addDevice(laptop.peer.id);
    await expect(phone.peer.connect(laptop.url)).rejects.toEqual(withCode('not-paired'));
    expect(phone.peer.spaces).toEqual([]);
    // The other way round: a member that trusts nobody takes no space from whoever offers one.
    const tablet = await network.add('tablet');
    await laptop.peer.addDevice(tablet.peer.id);
    await tablet.peer.connect(laptop.url);
    expect(tablet.peer.spaces).toEqual([]);
  });

  test('one that is added twice at once is a member when either says so', async () => {
    const { laptop, phone, store } = await laptopWith(new WrappedStore(new MemoryStore()));
    const { promise: ready } = disk;
    const begun = Promise.withResolvers<void>();
    let writes = 0;
    store.beforeWrite = (ops) => {
      if (!ops.some(({ table }) => table === 'blocks') || ++writes > 1) return;
      begun.resolve();
      return ready;
    };
    const first = laptop.peer.addDevice(phone.peer.id);
    first.catch(() => {});
    await begun.promise;
    const second = laptop.peer.addDevice(phone.peer.id);
    await turn();
    disk.reject(new TidelogError('store-full'));
    await expect(first).rejects.toEqual(withCode('store-full'));
    expect(await second).toBe(true);
    expect(laptop.peer.space().roleOf(phone.peer.device)).toBe('writer');
  });

  test('one whose adding could not be written is not trusted: no space of its own is taken', async () => {
    const store = new WrappedStore(new MemoryStore());
    const laptop = await network.add('laptop', { store });
    const phone = await network.add('phone');
    await phone.peer.homeSpace();
    store.beforeWrite = (ops) => {
      if (ops.some(({ table }) => table === 'peers')) throw new TidelogError('store-full');
    };
    await expect(laptop.peer.addDevice(phone.peer.id)).rejects.toEqual(withCode('store-full'));
    await phone.peer.addDevice(laptop.peer.id);
    await expect(phone.peer.connect(laptop.url)).rejects.toEqual(withCode('not-paired'));
    expect(laptop.peer.spaces).toEqual([]);
  });

  test('an ID that is none, one’s own, or of one who was revoked', async () => {
    const { laptop, phone } = await twoDevices();
    const { peer } = laptop;
    await expect(peer.addDevice('hello')).rejects.toEqual(withCode('bad-device-id'));
    const typo = phone.peer.id.replace(/^./, (first) => (first === 'A' ? 'B' : 'A'));
    await expect(peer.addDevice(typo)).rejects.toMatchObject({ code: 'bad-device-id' });
    await expect(peer.addDevice(peer.id)).rejects.toEqual(withCode('self-connect'));
    await expect(peer.addDevice(phone.peer.id, { role: 'king' as Role })).rejects.toEqual(withCode('bad-role'));
    await expect(peer.addDevice(phone.peer.id, { address: 'nowhere' })).rejects.toEqual(withCode('bad-argument'));
    await expect(peer.revokeDevice(peer.space(), phone.peer.id)).rejects.toEqual(withCode('unknown-device'));
    await expect(peer.renameDevice(peer.space(), phone.peer.id, 'x')).rejects.toEqual(withCode('unknown-device'));
    await peer.addDevice(phone.peer.id.toLowerCase().replaceAll('-', ' '));
    expect(peer.space().roleOf(phone.peer.device)).toBe('writer');
    await peer.revokeDevice(peer.space(), phone.peer.id);
    await expect(peer.addDevice(phone.peer.id)).rejects.toEqual(withCode('device-revoked'));
  });
});

test('a stranger hears not-paired and nothing else', async () => {
  const { laptop, phone } = await twoDevices();
  await expect(phone.peer.connect(laptop.url)).rejects.toEqual(withCode('not-paired'));
  await expect(phone.peer.connect('http://nowhere')).rejects.toEqual(withCode('unreachable'));
  await expect(laptop.peer.connect(laptop.url)).rejects.toEqual(withCode('self-connect'));
  expect(phone.peer.spaces).toEqual([]);
  const told = phone.events.filter(
    (event): event is Extract<PeerEvent, { type: 'connected' }> => event.type === 'connected',
  );
  for (const { connection } of told) expect(connection.remoteHeads.size).toBe(0);
});

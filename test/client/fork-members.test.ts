/** Who may write what past a fork, whatever a peer meets first: the commits, the branch that is kept, or the proof. */
import { afterEach, describe, expect, test } from 'vitest';
import { MemoryStore } from '../../client/memory-store.ts';
import { TABLES, type Store } from '../../client/store.ts';
import { formatDeviceId } from '../../protocol/device-id.ts';
import { deviceId, ForkedHistory, type Receiver, type Written } from '../support/histories.ts';
import { deviceOf } from '../support/protocol.ts';
import { copyStore, WrappedStore } from '../support/stores.ts';
import { eventually, eventuallySame, Network } from '../support/network.ts';

let network = new Network();
afterEach(async () => {
  await network.close();
  network = new Network();
});

/** A peer that gets all this in this order. */
async function receive(
  h: ForkedHistory,
  name: string,
  order: readonly (Written | 'proof')[],
  store?: Store,
): Promise<Receiver> {
  const receiver = await h.receiver(network, name, store);
  for (const each of order) {
    if (each === 'proof') await receiver.takeFork();
    else await receiver.giveAll([each]);
  }
  return receiver;
}

/** What they show, which is the same for all, also after their state was made anew, and by the audit. */
async function expectSame(...receivers: Receiver[]): Promise<void> {
  const shown = await receivers[0]!.shows();
  for (const receiver of receivers) {
    const { space } = receiver;
    const { name } = receiver.member.peer;
    for (const { device, role } of space.members()) {
      const shown = (await space.get(`~devices/${formatDeviceId(device)}`))?.value['role'];
      expect(shown, `${name}: ${formatDeviceId(device)}`).toBe(role);
    }
    expect(await receiver.shows(), name).toEqual(shown);
    await space.rebuild();
    expect(await receiver.shows(), `${name}, rebuilt`).toEqual(shown);
    expect((await space.audit()).findings, `${name}, audited`).toEqual([]);
  }
}

describe('who had seen the dropped branch, and is no owner by the kept one', () => {
  /** The kept branch makes ann a writer; she had seen the other one, and makes cyd a writer, who writes. */
  function story(): { h: ForkedHistory; before: Written[]; kept: Written; after: Written[] } {
    const h = new ForkedHistory();
    const grants = ['twin', 'ann'].map((name) => h.grant('founder', name, 'owner'));
    const first = h.data('kept', [grants[1]!]);
    h.fork();
    const kept = h.grant('kept', 'ann', 'writer');
    const dropped = h.data('dropped');
    const grant = h.grant('ann', 'cyd', 'writer', [grants[1]!, dropped]);
    const note = h.data('cyd', [grants[1]!, grant]);
    return { h, before: [h.all[0]!, ...grants, first], kept, after: [grant, note] };
  }

  test('grants a role all the same: the resource and the role say so, whatever came first', async () => {
    const { h, before, kept, after } = story();
    const early = await receive(h, 'early', [...before, 'proof', ...after, kept]);
    const late = await receive(h, 'late', [...before, 'proof', kept, ...after]);
    const told = await receive(h, 'told', [...before, h.all.find(({ branch }) => branch === 'dropped')!, ...after, 'proof', kept]); // prettier-ignore
    for (const { space } of [early, late, told]) {
      expect((await space.get(`~devices/${deviceId('cyd')}`))?.value).toMatchObject({ role: 'writer' });
      expect(space.roleOf(deviceOf('cyd').public)).toBe('writer');
      expect(space.roleOf(deviceOf('ann').public)).toBe('writer');
      expect(await space.get('note/cyd/0')).not.toBeNull();
    }
    await expectSame(early, late, told);
  });
});

describe('who names the kept branch by its id, and had seen more of the other one', () => {
  test('writes by the role that it has there', async () => {
    const h = new ForkedHistory();
    const twin = h.grant('founder', 'twin', 'owner');
    const ann = h.grant('founder', 'ann', 'writer');
    const first = h.data('kept', [ann]);
    h.fork();
    const owner = h.grant('kept', 'ann', 'owner');
    const writer = h.grant('kept', 'ann', 'writer');
    h.data('dropped');
    // Before ann hears of the fork; and then she has the first commit of the kept branch.
    const note = h.data('ann', [ann, h.data('dropped')]);
    const grant = h.grant('ann', 'cyd', 'writer', [{ byId: owner }]);
    const before = [h.all[0]!, twin, ann, first];
    const early = await receive(h, 'early', [...before, 'proof', owner, note, grant, writer]);
    const late = await receive(h, 'late', [...before, 'proof', owner, writer, note, grant]);
    for (const { space } of [early, late]) {
      expect((await space.get(`~devices/${deviceId('cyd')}`))?.value).toMatchObject({ role: 'writer' });
      expect(space.roleOf(deviceOf('cyd').public)).toBe('writer');
    }
    await expectSame(early, late);
  });

  test('and is an owner by one who is revoked too: by what the id says it counts, also where the fork is heard of last', async () => {
    const h = new ForkedHistory();
    const grants = ['twin', 'bea'].map((name) => h.grant('founder', name, 'owner'));
    const ann = h.grant('founder', 'ann', 'writer');
    const first = h.data('kept', [ann]);
    h.fork();
    const owner = h.grant('kept', 'ann', 'owner');
    const writer = h.grant('kept', 'ann', 'writer');
    h.data('dropped');
    const dropped = h.data('dropped');
    const again = h.grant('bea', 'ann', 'owner', [ann, writer]);
    const note = h.data('ann', [ann, dropped]);
    const grant = h.grant('ann', 'cyd', 'writer', [again, { byId: owner }]);
    const written = h.data('cyd', [ann, grant]);
    const revoked = h.revoke('founder', 'bea', {}, [again]);
    const before = [h.all[0]!, ...grants, ann, first];
    const rest = [owner, writer, again, note, grant, written, revoked];
    const all = [...before, ...rest];
    const early = await receive(h, 'early', [...before, 'proof', ...rest]);
    const late = await receive(h, 'late', [...all, 'proof']);
    for (const receiver of [early, late]) {
      await receiver.giveUntilRest(all);
      expect(receiver.space.roleOf(deviceOf('cyd').public)).toBe('writer');
      expect(await receiver.space.get('note/cyd/0')).not.toBeNull();
    }
    await expectSame(early, late);
  });
});

test('who stands on the dropped branch hears of the fork from one who was let in on the other, and is a stranger to it', async () => {
  const h = new ForkedHistory();
  const twin = h.grant('founder', 'twin', 'owner');
  const ann = h.grant('founder', 'ann', 'owner');
  const first = h.data('kept', [ann]);
  h.fork();
  const kept = h.grant('kept', 'bea', 'writer');
  // Longer than the other, which shows by nothing that is sent; and who is left to tell of it has no role here.
  const dropped = [h.revoke('dropped', 'ann', {}), h.data('dropped')];
  const before = [h.all[0]!, twin, ann, first];
  const told = await h.receiver(network, 'told', new MemoryStore(), 'twin');
  await told.giveAll([...before, ...dropped]);
  const bea = await h.receiver(network, 'bea', new MemoryStore(), 'bea');
  await bea.giveAll([...before, kept]);
  await bea.takeFork();
  const { peer } = told.member;
  await (await peer.connect(bea.member.url)).caughtUp().catch(() => {});
  await eventuallySame([told.member, bea.member]);
  expect(told.space.forks()).toHaveLength(1);
  expect(told.space.isRevoked(deviceOf('ann').public)).toBe(false);
  await eventually(() => peer.connectionTo(bea.member.peer.device) !== null, 'they are connected');
  await expectSame(told, bea);
});

test('as long as of the kept branch less is here than somebody names, nothing rests on it: what comes may take the right away', async () => {
  const h = new ForkedHistory();
  const twin = h.grant('founder', 'twin', 'owner');
  const toBea = h.grant('founder', 'bea', 'writer');
  const first = h.data('kept', [toBea]);
  h.fork();
  const owner = h.grant('kept', 'ann', 'owner');
  const reader = h.grant('kept', 'ann', 'reader');
  // The other branch makes her an owner too, and it is that one which she has seen.
  const other = h.grant('dropped', 'ann', 'owner');
  const last = h.data('dropped');
  const grant = h.grant('ann', 'cyd', 'writer', [toBea, last]);
  const note = h.data('cyd', [toBea, grant]);
  const before = [h.all[0]!, twin, toBea, first];
  const early = await receive(h, 'early', [...before, 'proof', owner]);
  const told = await receive(h, 'told', [...before, other, last, grant, note, 'proof', owner]);
  const late = await receive(h, 'late', [...before, 'proof', owner, reader]);
  for (const receiver of [early, told, late]) {
    await receiver.giveUntilRest([grant, note, reader]);
    await receiver.giveUntilRest([grant, note]);
  }
  await expectSame(early, told, late);
});

describe('a chain that says nothing of members before it forks', () => {
  test('gives a right to who named it by seq, whatever came first', async () => {
    const h = new ForkedHistory();
    const grants = ['twin', 'bea'].map((name) => h.grant('founder', name, 'owner'));
    const first = h.data('kept', [grants[1]!]);
    h.fork();
    const kept = h.grant('kept', 'ann', 'owner');
    h.data('dropped');
    const byBea = h.grant('bea', 'ann', 'owner', [grants[1]!]);
    // By bea, who is revoked then, and by the twin.
    const grant = h.grant('ann', 'cyd', 'writer', [grants[1]!, byBea, kept]);
    const revoked = h.revoke('founder', 'bea', {}, [byBea]);
    const before = [h.all[0]!, ...grants, first];
    const early = await receive(h, 'early', [...before, 'proof', byBea, grant, revoked, kept]);
    const late = await receive(h, 'late', [...before, 'proof', kept, byBea, grant, revoked]);
    for (const { space } of [early, late]) expect(space.roleOf(deviceOf('cyd').public)).toBe('writer');
    await expectSame(early, late);
  });

  test('takes no role away unseen: of two the later, as the resource shows', async () => {
    const h = new ForkedHistory();
    const grants = ['twin', 'ann', 'cyd'].map((name) => h.grant('founder', name, 'owner'));
    const first = h.data('kept', [grants[2]!]);
    h.fork();
    const dropped = h.data('dropped');
    const grant = h.grant('ann', 'cyd', 'writer', [grants[2]!, dropped]);
    const kept = h.grant('kept', 'cyd', 'reader');
    const before = [h.all[0]!, ...grants, first];
    const early = await receive(h, 'early', [...before, 'proof', grant, kept]);
    const late = await receive(h, 'late', [...before, 'proof', kept, grant]);
    for (const { space } of [early, late]) {
      expect((await space.get(`~devices/${deviceId('cyd')}`))?.value).toMatchObject({ role: 'reader' });
      expect(space.roleOf(deviceOf('cyd').public)).toBe('reader');
    }
    await expectSame(early, late);
  });
});

describe('a fork that is heard of after a revocation', () => {
  /** What cyd wrote is void without the fork, and counts with it. */
  function story(): { h: ForkedHistory; before: Written[]; rest: Written[]; data: Written[] } {
    const h = new ForkedHistory();
    const grants = ['twin', 'ann', 'bea'].map((name) => h.grant('founder', name, 'owner'));
    const toCyd = h.grant('founder', 'cyd', 'writer');
    const first = h.data('kept', [toCyd]);
    h.fork();
    // By the kept branch cyd is a reader. By bea, who is revoked then, a writer again: so it may write without revocations, and not with them.
    const kept = h.grant('kept', 'cyd', 'reader');
    const again = h.grant('bea', 'cyd', 'writer', [toCyd, kept]);
    const dropped = h.data('dropped');
    const note = h.data('cyd', [toCyd, again, dropped]);
    const revoked = h.revoke('founder', 'bea', {}, [kept, again, note]);
    // And what ann may have overwritten unseen.
    const shared = h.write('kept', [{ subject: 'shared', ops: { inc: { n: 5 } } }]);
    const over = h.write('ann', [{ subject: 'shared', ops: { set: { n: 1 } } }], [toCyd, shared]);
    return {
      h,
      before: [h.all[0]!, ...grants, toCyd, first, kept],
      rest: [again, note, revoked],
      data: [shared, over],
    };
  }

  test('lets count again what was void by one reading only, and it is asked for', async () => {
    const { h, before, rest } = story();
    const early = await receive(h, 'early', [...before.slice(0, -1), 'proof', before.at(-1)!, ...rest]);
    const late = await receive(h, 'late', [...before, ...rest]);
    expect(await late.space.get('note/cyd/0')).toBeNull();
    await late.takeFork();
    // At once, and not with what comes next.
    expect(late.space.stats().holes).toBe(1);
    await late.giveUntilRest([...before, ...rest]);
    await early.giveUntilRest([...before, ...rest]);
    expect(await early.space.get('note/cyd/0')).not.toBeNull();
    await expectSame(early, late);
  });

  test.each(['rest', 'data'] as const)(
    'and the same where that was interrupted, after any write (%s)',
    async (part) => {
      const { h, before, ...parts } = story();
      const all = [...before, ...parts[part]];
      const wrapped = new WrappedStore(new MemoryStore());
      const late = await receive(h, 'late', all, wrapped);
      const stages: MemoryStore[] = [];
      wrapped.afterWrite = async () => {
        const stage = new MemoryStore();
        await copyStore(wrapped.inner, stage, TABLES);
        stages.push(stage);
      };
      await late.takeFork();
      wrapped.afterWrite = async () => {};
      await late.giveUntilRest(all);
      expect(stages.length).toBeGreaterThan(2);
      for (const [n, stage] of stages.entries()) {
        const reopened = await h.receiver(network, `after write ${n + 1}`, stage);
        expect(reopened.space.forks()).toHaveLength(1);
        await reopened.giveUntilRest(all);
        await expectSame(late, reopened);
      }
    },
  );

  test('and what is void until a branch comes that was named by seq counts from then on', async () => {
    const h = new ForkedHistory();
    const grants = ['twin', 'bea'].map((name) => h.grant('founder', name, 'owner'));
    const first = h.data('kept', [grants[1]!]);
    h.fork();
    const kept = h.grant('kept', 'cyd', 'writer');
    const byBea = h.grant('bea', 'cyd', 'writer', [grants[1]!]);
    const note = h.data('cyd', [byBea, kept]);
    const revoked = h.revoke('founder', 'bea', {}, [byBea]);
    const before = [h.all[0]!, ...grants, first];
    h.data('dropped');
    const late = await receive(h, 'late', [...before, 'proof', byBea, note, revoked]);
    expect(await late.space.get('note/cyd/0')).toBeNull();
    await late.giveAll([kept]);
    expect(late.space.stats().holes).toBe(1);
    await late.giveUntilRest(h.standing());
    const early = await receive(h, 'early', [...before, 'proof', kept, byBea, note, revoked]);
    expect(await early.space.get('note/cyd/0')).not.toBeNull();
    await expectSame(early, late);
  });

  test('makes void what counted only by the branch that was thought to be all there is', async () => {
    const h = new ForkedHistory();
    const grants = ['twin', 'ann', 'bea'].map((name) => h.grant('founder', name, 'owner'));
    const first = h.data('kept', [grants[2]!]);
    h.fork();
    h.data('kept');
    // By the dropped branch cyd is a writer, and by bea, who is revoked then.
    const dropped = h.grant('dropped', 'cyd', 'writer');
    const byBea = h.grant('bea', 'cyd', 'writer', [grants[2]!]);
    const note = h.data('cyd', [grants[2]!, byBea, dropped]);
    const revoked = h.revoke('founder', 'bea', {}, [byBea]);
    const before = [h.all[0]!, ...grants, first];
    const kept = h.all.find(({ branch, commit }) => branch === 'kept' && commit.seq === 2)!;
    const late = await receive(h, 'late', [...before, dropped, byBea, note, revoked]);
    expect(await late.space.get('note/cyd/0')).not.toBeNull();
    await late.takeFork();
    await late.giveAll([kept]);
    const early = await receive(h, 'early', [...before, 'proof', kept, byBea, note, revoked]);
    expect(await late.space.get('note/cyd/0')).toBeNull();
    await expectSame(early, late);
  });
});

test('facts that claim to have seen each other: by what their authors surely had seen, no order matters and no peer fails', async () => {
  const h = new ForkedHistory();
  const grants = ['twin', 'bea'].map((name) => h.grant('founder', name, 'owner'));
  const toAnn = h.grant('bea', 'ann', 'owner', [grants[1]!]);
  const first = h.data('kept', [grants[1]!, toAnn]);
  h.fork();
  const dropped = h.data('dropped');
  const grant = h.grant('ann', 'twin', 'owner', [grants[1]!, toAnn, dropped]);
  // A twin that lies: it writes past the fork on its old chain, and has seen who had seen the other branch.
  const liar = h.grant('kept', 'ann', 'owner', [grant]);
  // What ann says rests on bea alone, but for what the twin says; and that on what ann says, among others.
  const revoked = h.revoke('founder', 'bea', {}, [toAnn, grant, liar]);
  const note = h.data('ann', [liar]);
  const before = [h.all[0]!, ...grants, toAnn, first, 'proof'] as const;
  const all = h.standing();
  const early = await receive(h, 'early', [...before, grant, liar, revoked, note]);
  const late = await receive(h, 'late', [...before, grant, liar, note, revoked]);
  const last = await receive(h, 'last', [...before, grant, revoked, liar, note]);
  for (const receiver of [early, late, last]) await receiver.giveUntilRest(all);
  await expectSame(early, late, last);
  expect(early.space.roleOf(deviceOf('ann').public)).toBe('owner');
  expect(await early.space.get('note/ann/1')).not.toBeNull();
});

/** Who writes, and what it has seen of the others: branch → how many of its commits. */
interface Author {
  readonly branch: string;
  readonly seen: Map<string, number>;
  /** It has met both branches, and names the kept one by id from then on. */
  knowsFork: boolean;
}

const FORK_AT = 2;

function randomHistory(random: () => number): ForkedHistory {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const h = new ForkedHistory();
  const names = ['founder', 'ann', 'bea', 'cyd'];
  const devices = [...names, 'twin'];
  const authors = [...names, 'kept', 'dropped'].map((branch): Author => ({
    branch,
    seen: new Map(),
    knowsFork: false,
  }));
  const lengthOf = (branch: string): number => h.chain(branch).commits.length;
  const written = new Map(h.all.map((each) => [`${each.branch} ${each.commit.seq}`, each]));
  const write = (author: Author): void => {
    const { branch, seen, knowsFork } = author;
    const isTwin = branch === 'kept' || branch === 'dropped';
    const deps = [...seen].flatMap(([of, count]) => {
      if (count === 0 || of === branch || (isTwin && (of === 'kept' || of === 'dropped'))) return [];
      if (of === 'dropped' && (knowsFork || count <= FORK_AT)) return [];
      const last = written.get(`${of} ${count}`)!;
      if (of === 'kept' && !knowsFork && (seen.get('dropped') ?? 0) > FORK_AT) return [];
      return [of === 'kept' && knowsFork && count > FORK_AT ? { byId: last } : last];
    });
    const kind = random();
    const target = pick(devices);
    const cuts = Object.fromEntries(
      (target === 'twin' ? ['kept'] : [target]).flatMap((of) => {
        const count = of === branch ? lengthOf(of) : Math.max(seen.get(of) ?? 0, of === 'kept' ? (seen.get('dropped') ?? 0) : 0); // prettier-ignore
        return count > 0 ? [[h.chainHex(of), count]] : [];
      }),
    );
    const made =
      kind < 0.35
        ? h.data(branch, deps)
        : kind < 0.88
          ? h.grant(branch, target, pick(['owner', 'owner', 'writer', 'writer', 'reader'] as const), deps)
          : h.revoke(branch, target, cuts, deps);
    written.set(`${branch} ${made.commit.seq}`, made);
    seen.set(branch, made.commit.seq);
  };
  const meet = (one: Author, other: Author): void => {
    const both = (author: Author): [number, number] => [author.seen.get('kept') ?? 0, author.seen.get('dropped') ?? 0];
    const [[kept, dropped], [theirKept, theirDropped]] = [both(one), both(other)];
    const isFork = one.knowsFork || other.knowsFork || (Math.max(kept, theirKept) > FORK_AT && Math.max(dropped, theirDropped) > FORK_AT); // prettier-ignore
    // A twin that hears of it writes to another chain from then on, as if it were somebody else.
    if (isFork && (one.branch === 'kept' || one.branch === 'dropped')) return;
    for (const [branch, count] of other.seen) {
      if (branch === 'dropped' && isFork) continue;
      one.seen.set(branch, Math.max(one.seen.get(branch) ?? 0, count));
    }
    one.knowsFork ||= isFork;
  };
  const [founder, ...others] = authors as [Author, ...Author[]];
  founder.seen.set('founder', 1);
  for (const name of devices.slice(1)) {
    const grant = h.grant('founder', name, random() < 0.7 ? 'owner' : 'writer');
    written.set(`founder ${grant.commit.seq}`, grant);
    founder.seen.set('founder', grant.commit.seq);
  }
  for (const author of others) for (const [branch, count] of founder.seen) author.seen.set(branch, count);
  const [kept, dropped] = [authors[4]!, authors[5]!];
  for (let i = 0; i < FORK_AT; i++) write(kept);
  h.fork();
  for (const [branch, count] of kept.seen) dropped.seen.set(branch, count);
  dropped.seen.set('dropped', FORK_AT);
  for (let seq = 1; seq <= FORK_AT; seq++) written.set(`dropped ${seq}`, written.get(`kept ${seq}`)!);
  write(kept);
  write(dropped);
  for (let step = 0; step < 40; step++) {
    const author = pick(authors);
    if (random() < 0.55) meet(author, pick(authors));
    else write(author);
  }
  return h;
}

describe('any history past a fork', () => {
  const seeds = Array.from({ length: process.env['TIDELOG_TEST_LONG'] ? 300 : 15 }, (_, i) => i + 1);
  test.each(seeds)('seed %i: all end alike, whatever came first', async (seed) => {
    const random = mulberry(seed);
    const shuffled = <T>(of: readonly T[]): T[] => of.map((each) => [random(), each] as const).toSorted((a, b) => a[0] - b[0]).map(([, each]) => each); // prettier-ignore
    const h = randomHistory(random);
    const standing = h.standing();
    const receivers: Receiver[] = [];
    for (const kind of ['early', 'late', 'told']) {
      const receiver = await h.receiver(network, kind);
      // As far as it comes in any order without the proof, on either branch.
      const first = kind === 'told' ? h.all.filter(({ branch, commit }) => branch !== 'kept' || commit.seq <= FORK_AT) : standing; // prettier-ignore
      const before =
        kind === 'early' ? standing.slice(0, 9) : shuffled(first).slice(0, Math.floor(random() * first.length));
      for (let tries = 0; tries < 3; tries++) for (const each of before) await receiver.giveInOrder(each);
      await receiver.takeFork();
      if (receiver.space.forks().length === 0) {
        for (const each of standing.slice(0, 5)) await receiver.give(each);
        await receiver.takeFork();
      }
      expect(receiver.space.forks()).toHaveLength(1);
      await receiver.giveUntilRest(shuffled(standing));
      receivers.push(receiver);
    }
    await expectSame(...receivers);
  });
});

function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

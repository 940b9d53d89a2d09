/** A data folder that was copied and runs twice: two commits with one number. Every peer ends with the same branch, and nothing is lost. */
import { afterEach, describe, expect, test } from 'vitest';
import { readLogFile } from '../../client/log-file.ts';
import { MemoryStore } from '../../client/memory-store.ts';
import { TABLES } from '../../client/store.ts';
import type { Transport } from '../../client/transport.ts';
import type { Change } from '../../protocol/body.ts';
import { concat, toHex } from '../../protocol/bytes.ts';
import { ChainHasher, ZERO_ID } from '../../protocol/commit.ts';
import { FORKS_PER_DEVICE_MAX } from '../../protocol/constants.ts';
import type { KeyPair } from '../../protocol/crypto.ts';
import { proveFork, type ForkedCommit } from '../../protocol/fork.ts';
import type { TidelogError } from '../../protocol/errors.ts';
import { bytesOf, crypto, deviceOf } from '../support/protocol.ts';
import { contents, copyStore, WrappedStore } from '../support/stores.ts';
import { collect, dump, eventually, eventuallySame, Network, pair, type Member } from '../support/network.ts';

let network = new Network();
afterEach(async () => {
  await network.close();
  network = new Network();
});

const SEED = bytesOf('laptop', 32);

/** A laptop, its copy, and a phone and others that are paired with it; nobody is connected. */
function copied(...others: Member[]): ReturnType<typeof copiedAfter> {
  return copiedAfter(0, ...others);
}

/** The same, where it has written so many commits of 60 kB before. */
async function copiedAfter(
  count: number,
  ...others: Member[]
): Promise<{ laptop: Member; copy: Member; phone: Member }> {
  const laptop = await network.add('laptop', { seed: SEED });
  const phone = await network.add('phone');
  await laptop.peer.homeSpace();
  await pair(laptop, phone, 'owner');
  for (const other of others) await pair(laptop, other);
  for (let i = 0; i < count; i++)
    await laptop.peer.space().set(`large/${i}`, { bytes: bytesOf(`${i}`, 60_000) }).stored;
  await laptop.peer.space().set('shared', { from: 'before' }).stored;
  await eventuallySame([laptop, phone, ...others]);
  for (const member of [laptop, phone, ...others]) network.isolate(member);
  const store = new MemoryStore();
  await copyStore(laptop.store, store, TABLES);
  const copy = await network.add('copy', { seed: SEED, store });
  network.isolate(copy);
  return { laptop, copy, phone };
}

/** Messages are on their way for a while, both ways. */
function late(transport: Transport): Transport {
  const later = (call: () => void): void => void setTimeout(call, 25);
  return {
    remoteAddress: transport.remoteAddress,
    get bufferedBytes() {
      return transport.bufferedBytes;
    },
    start: ({ onMessage, onDrain, onClose }) =>
      transport.start({ onMessage: (bytes) => later(() => onMessage(bytes)), onDrain, onClose: () => later(onClose) }),
    send: (bytes) => {
      const copy = bytes.slice();
      later(() => transport.send(copy));
    },
    close: (code, reason) => later(() => transport.close(code, reason)),
  };
}

async function write(member: Member, prefix: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await member.peer.space().set(`${prefix}/${i}`, { by: member.peer.name }).stored;
}

/** Everybody meets the phone, until all have the same and nothing moves. */
async function meet(phone: Member, ...others: Member[]): Promise<void> {
  for (const member of [phone, ...others]) network.reconnect(member);
  await eventually(
    async () => {
      // A device has one line to another: the two copies take turns.
      for (const other of others) {
        const connection = await other.peer.connect(phone.url).catch(() => null);
        await connection?.caughtUp().catch(() => {});
        await phone.peer
          .connectionTo(other.peer.device)
          ?.caughtUp()
          .catch(() => {});
      }
      const known = [phone, ...others].map(
        ({ peer }) => `${toHex(peer.space().digest())} ${peer.space().forks().length}`,
      );
      return new Set(known).size === 1;
    },
    'all have the same',
    20_000,
  ).catch((thrown: unknown) => {
    const stories = [phone, ...others].map(({ peer, events }) => {
      const space = peer.space();
      const heads = space.chains.map(({ hex, seq, head }) => `${hex.slice(0, 4)}:${seq}:${toHex(head).slice(0, 4)}`);
      const ends = events
        .slice(-6)
        .map((event) => ('error' in event ? (event.error?.message ?? event.type) : event.type));
      return `${peer.name}: ${heads.join(' ')}, ${space.forks().length} forks; ${ends.join(', ')}`;
    });
    throw new Error(`${String(thrown)}\n${stories.join('\n')}`);
  });
}

async function expectSame(...members: Member[]): Promise<void> {
  // The digest says so before the state is made anew without the dropped branch.
  for (const { peer } of members) await peer.space().settled();
  const first = await dump(members[0]!.peer);
  for (const { peer } of members) {
    expect(await dump(peer), peer.name).toEqual(first);
    const state = await dump(peer);
    await peer.space().rebuild();
    expect(await dump(peer), `${peer.name}, rebuilt`).toEqual(state);
    expect((await peer.space().audit()).findings, `${peer.name}, audited`).toEqual([]);
  }
}

describe('a copied folder', () => {
  test.each([
    [1, 1],
    [1, 3],
    [3, 1],
    [4, 4],
  ])('that wrote %i commits here and %i there', async (here, there) => {
    const { laptop, copy, phone } = await copied();
    await write(laptop, 'laptop', here);
    await write(copy, 'copy', there);
    await meet(phone, laptop, copy);
    await expectSame(phone, laptop, copy);
    for (const { peer } of [phone, laptop, copy]) expect(peer.space().forks(), peer.name).toHaveLength(1);
    const kept = await dump(phone.peer);
    const isLaptops = kept.some((line) => line.includes('"laptop/0"'));
    expect(kept.some((line) => line.includes('"copy/0"'))).toBe(!isLaptops);
    const loser = isLaptops ? copy : laptop;
    const setAside = await loser.store.scan('setAside', { gte: new Uint8Array([0]), limit: 100 });
    expect(setAside).toHaveLength(isLaptops ? there : here);
    // Nobody is shut out.
    await write(laptop, 'later-laptop', 2);
    await write(copy, 'later-copy', 2);
    await write(phone, 'later-phone', 2);
    await meet(phone, laptop, copy);
    await expectSame(phone, laptop, copy);
    expect((await dump(phone.peer)).filter((line) => line.includes('"later-'))).toHaveLength(6);
  });
});

describe('a copied folder of an owner', () => {
  // Which branch is kept is chance: each of them, in six.
  test.each([1, 2, 3, 4, 5, 6])(
    'that takes the right to write from one who knows of the other branch only (%i)',
    async () => {
      const tablet = await network.add('tablet');
      const { laptop, copy, phone } = await copied(tablet);
      await write(laptop, 'laptop', 1);
      for (const member of [laptop, copy, phone, tablet]) network.reconnect(member);
      await (await tablet.peer.connect(laptop.url)).caughtUp();
      await write(tablet, 'tablet', 1);
      await copy.peer.setRole(copy.peer.space(), tablet.peer.id, 'reader');
      // The phone has that before it hears of the tablet's write.
      await (await phone.peer.connect(copy.url)).caughtUp();
      for (const member of [laptop, copy, phone, tablet]) network.isolate(member);
      await meet(phone, laptop, copy, tablet);
      await expectSame(phone, laptop, copy, tablet);
      expect((await dump(phone.peer)).some((line) => line.includes('"tablet/0"'))).toBe(true);
    },
    60_000,
  );
});

test('who named a branch by id and is revoked then: what came too late is void, and the audit has nothing to say', async () => {
  const tablet = await network.add('tablet');
  const { laptop, copy, phone } = await copied(tablet);
  await write(laptop, 'laptop', 1);
  await write(copy, 'copy', 1);
  await meet(phone, laptop, copy, tablet);
  // Names the kept branch by its id.
  await write(tablet, 'tablet', 1);
  await meet(phone, laptop, copy, tablet);
  for (const member of [laptop, copy, phone, tablet]) network.isolate(member);
  await phone.peer.revokeDevice(phone.peer.space(), tablet.peer.id);
  await write(tablet, 'late', 2);
  // By way of one that hasn't heard of the revocation.
  network.reconnect(tablet);
  await (await laptop.peer.connect(tablet.url)).caughtUp();
  network.isolate(tablet);
  await meet(phone, laptop, copy);
  await expectSame(phone, laptop, copy);
  expect((await dump(phone.peer)).some((line) => line.includes('"late/'))).toBe(false);
}, 60_000);

describe('a proof', () => {
  /** Of a chain that is in no log. */
  function proofBy(key: KeyPair, space: Uint8Array, n: number): Uint8Array {
    const nonce = bytesOf(`nonce ${n}`, 8);
    const hasher = new ChainHasher(crypto, { space, device: key.public, nonce });
    const branch = (name: string): ForkedCommit[] => {
      const bodyHash = bytesOf(`${name} ${n}`, 32);
      return [{ bodyHash, signature: hasher.sign(key, 1, ZERO_ID, bodyHash) }];
    };
    const at = { device: key.public, nonce, seq: 1, prev: ZERO_ID };
    return proveFork(crypto, space, at, [branch('one'), branch('other')]).bytes;
  }

  test("of a stranger's chain is passed over, and of a member's own they end somewhere", async () => {
    const laptop = await network.add('laptop', { seed: SEED });
    const phone = await network.add('phone', { seed: bytesOf('device phone', 32) });
    await laptop.peer.homeSpace();
    await pair(laptop, phone);
    const space = laptop.peer.space();
    const before = [await contents(laptop.store, 'forks', 'setAside'), toHex(space.digest())];
    for (let n = 0; n < 5; n++) await space.takeFork(proofBy(deviceOf('stranger'), space.id, n));
    expect([await contents(laptop.store, 'forks', 'setAside'), toHex(space.digest())]).toEqual(before);
    const member = crypto.ed25519KeyPair(bytesOf('device phone', 32));
    expect(toHex(member.public)).toBe(toHex(phone.peer.device));
    await expect(space.takeFork(proofBy(member, bytesOf('another space', 32), 1))).rejects.toMatchObject({
      code: 'bad-fork',
    });
    for (let n = 0; n < FORKS_PER_DEVICE_MAX + 3; n++) await space.takeFork(proofBy(member, space.id, n));
    expect(space.forks()).toHaveLength(FORKS_PER_DEVICE_MAX);
    expect(toHex(space.digest())).toBe(before[1]);
  });
});

describe('setting a branch aside', () => {
  test('is done again where it was interrupted, after any write', async () => {
    const { laptop, copy, phone } = await copied();
    // Enough for several blocks, with others' commits between.
    await write(laptop, 'laptop', 30);
    await write(copy, 'copy', 30);
    await meet(phone, laptop);
    await write(phone, 'phone', 5);
    network.isolate(phone);
    network.isolate(laptop);
    // It would come by itself when the phone can be reached again.
    laptop.peer.undial(phone.url);
    const holders = [laptop, phone, copy];
    // As it is before it hears of the fork, which it does once it dials the phone again.
    expect(laptop.peer.space().forks()).toEqual([]);
    const wrapped = new WrappedStore(new MemoryStore());
    await copyStore(laptop.store, wrapped.inner, TABLES);
    const [proof] = await (async () => {
      for (const member of [phone, copy]) network.reconnect(member);
      await meet(phone, copy);
      return phone.peer.space().forks();
    })();
    for (const { peer } of holders) peer.connections().forEach((connection) => connection.close());
    const stages: MemoryStore[] = [];
    wrapped.afterWrite = async () => {
      const stage = new MemoryStore();
      await copyStore(wrapped.inner, stage, TABLES);
      stages.push(stage);
    };
    const again = await network.add('again', { seed: SEED, store: wrapped });
    network.isolate(again);
    await again.peer.space().takeFork(proof!.bytes);
    const [state, digest] = [await dump(again.peer), toHex(again.peer.space().digest())];
    const rows = await contents(wrapped.inner, 'setAside');
    // Was it this branch that was dropped? If not, there was little to interrupt; the next seed of the devices' clocks will do.
    const isDropped = rows.length > 0;
    expect(stages.length).toBeGreaterThan(isDropped ? 5 : 1);
    for (const [n, stage] of stages.entries()) {
      const reopened = await network.add(`reopened${n}`, { seed: SEED, store: stage });
      network.isolate(reopened);
      await reopened.peer.space().takeFork(proof!.bytes);
      expect(toHex(reopened.peer.space().digest()), `after write ${n + 1}`).toBe(digest);
      expect(await dump(reopened.peer), `after write ${n + 1}`).toEqual(state);
      expect(await contents(stage, 'setAside'), `after write ${n + 1}`).toEqual(rows);
      const numbers = new Set<string>();
      for (const [key] of await stage.scan('blocks', { gte: new Uint8Array([0]), limit: 10_000 }))
        numbers.add(toHex(key.subarray(0, 4)));
      expect(numbers.size, `after write ${n + 1}`).toBe(1);
    }
  });

  test('is written again when somebody asks for it, once', async () => {
    const { laptop, copy, phone } = await copied();
    await write(laptop, 'laptop', 3);
    await write(copy, 'copy', 3);
    await meet(phone, laptop, copy);
    const loser = (await dump(phone.peer)).some((line) => line.includes('"laptop/0"')) ? copy : laptop;
    const { branches } = loser.peer.space();
    const aside = await collect(branches.setAside());
    expect(aside.map(({ changes }) => changes[0]!.subject)).toEqual([0, 1, 2].map((i) => `${loser.peer.name}/${i}`));
    expect(aside.every(({ why, republished }) => why === 'fork' && !republished)).toBe(true);
    const writeAgain = (changes: readonly Change[]): Promise<unknown> => loser.peer.space().commit(changes).stored;
    expect(await branches.republish(writeAgain)).toEqual({ written: 3, left: 0 });
    expect(await branches.republish(writeAgain)).toEqual({ written: 0, left: 0 });
    await meet(phone, laptop, copy);
    await expectSame(phone, laptop, copy);
    for (const name of ['laptop', 'copy'])
      expect((await dump(phone.peer)).filter((line) => line.includes(`"${name}/`))).toHaveLength(3);
  });

  test('goes along in a file of the log: who takes that in ends alike', async () => {
    const tablet = await network.add('tablet');
    const { laptop, copy, phone } = await copied(tablet);
    await write(laptop, 'laptop', 3);
    await write(copy, 'copy', 2);
    // The tablet has one branch, writes on top of it, and brings that in: past the fork nothing but the proof says why this may stand.
    network.reconnect(copy);
    const line = await tablet.peer.connect(copy.url);
    await line.caughtUp();
    tablet.peer.undial(copy.url);
    for (const member of [tablet, copy]) network.isolate(member);
    await write(tablet, 'tablet', 2);
    await meet(phone, laptop, copy, tablet);
    const reader = await network.add('reader');
    const taken = await reader.peer.addCopy(phone.peer.space().id, '');
    const file = concat(...(await collect(phone.peer.space().exportLog())));
    const intake = taken.intake();
    for await (const part of readLogFile(crypto, once(file))) {
      if (part.kind === 'fork') await taken.takeFork(part.proof);
      if (part.kind === 'block') await intake.take(part);
      if (part.kind !== 'end') continue;
      await intake.settled();
      intake.checkEnd(part);
    }
    expect(await collect(taken.export())).toEqual(await dump(phone.peer));
    const audit = await phone.peer.space().audit();
    expect(audit.findings).toEqual([]);
  });

  test('whose copies take turns at one hub gets in what each has, though their logs have one epoch', async () => {
    const { laptop, copy, phone } = await copied();
    await write(copy, 'copy', 20);
    await write(phone, 'phone', 2);
    network.reconnect(phone);
    for (let round = 0; round < 4; round++) {
      await write(phone, `round/${round}`, 1);
      for (const other of [laptop, laptop, copy]) {
        network.reconnect(other);
        const connection = await other.peer.connect(phone.url).catch(() => null);
        await connection?.caughtUp().catch(() => {});
        await phone.peer.connectionTo(other.peer.device)?.caughtUp().catch(() => {}); // prettier-ignore
        // Its turn is over, before it has tried again.
        other.peer.undial(phone.url);
        network.isolate(other);
      }
    }
    expect(await dump(phone.peer)).toContainEqual(expect.stringContaining('"copy/1"'));
  });

  // 120 are more than is sent before the first ACK: the copy has refused what the tablet wrote before it has sent all of the chain.
  test.each([0, 120])(
    'whose copies take turns gets in what each has, also where one shuts out a device that the other let in, and that has read further there (%i before)',
    async (count) => {
      // What they say crosses on its way.
      const tablet = await network.add('tablet', {
        platform: { dial: async (to) => late(await network.platform().dial(to)) },
      });
      const { laptop, copy } = await copiedAfter(count, tablet);
      await write(laptop, 'laptop', 1);
      await copy.peer.setRole(copy.peer.space(), tablet.peer.id, 'reader');
      await write(copy, 'copy', 2);
      const takesTurn = async (other: Member): Promise<void> => {
        network.reconnect(other);
        network.reconnect(tablet);
        const connection = await tablet.peer.connect(other.url).catch(() => null);
        await connection?.caughtUp().catch(() => {});
        await other.peer.connectionTo(tablet.peer.device)?.caughtUp().catch(() => {}); // prettier-ignore
        // Before it has tried again.
        tablet.peer.undial(other.url);
        network.isolate(other);
        await eventually(() => tablet.peer.connections().length === 0, 'its turn is over');
      };
      await takesTurn(laptop);
      await write(tablet, 'tablet', 5);
      // The second time it has a cursor at the end of what it brought.
      for (let turns = 0; turns < 2; turns++) await takesTurn(laptop);
      const all = [tablet, laptop, copy];
      const isSettled = (): boolean => all.every(({ peer }) => peer.space().forks().length === 1);
      for (let round = 0; round < 10 && !isSettled(); round++)
        for (const other of [copy, laptop]) await takesTurn(other);
      expect(all.map(({ peer }) => peer.space().forks().length)).toEqual([1, 1, 1]);
      await meet(tablet, laptop, copy);
      await expectSame(tablet, laptop, copy);
      expect(await dump(tablet.peer)).toContainEqual(expect.stringContaining('"tablet/0"'));
    },
  );

  test('ends a reader of the log that was at work, instead of passing over something', async () => {
    const { laptop, copy, phone } = await copied();
    await write(laptop, 'laptop', 2);
    await write(copy, 'copy', 2);
    const readers = [laptop, copy].map(async ({ peer }) => {
      for await (const _ of peer.space().log({ live: true })) void _;
    });
    const ends = readers.map((reader) => reader.catch((thrown: unknown) => (thrown as TidelogError).code));
    await meet(phone, laptop, copy);
    expect(await Promise.race(ends)).toBe('cursor-epoch');
  });
});

/** What a peer has of commits: those in its log, and those that were set aside; ids, hex. */
async function commitsOf({ peer, store }: Member): Promise<Set<string>> {
  const ids = new Set<string>();
  for await (const { id } of peer.space().log()) ids.add(id);
  for (const [key] of await store.scan('setAside', { gte: new Uint8Array([0]), limit: 10_000 }))
    ids.add(toHex(key.subarray(56)));
  return ids;
}

describe('any story of copies', () => {
  const seeds = Array.from({ length: process.env['TIDELOG_TEST_LONG'] ? 200 : 12 }, (_, i) => i + 1);
  test.each(seeds)('seed %i: all end alike, and nothing that was written is lost', async (seed) => {
    const random = mulberry(seed);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
    const laptop = await network.add('laptop', { seed: SEED });
    const phone = await network.add('phone');
    const tablet = await network.add('tablet');
    const pi = await network.add('pi');
    await laptop.peer.homeSpace();
    await pair(laptop, phone, 'owner');
    await pair(laptop, tablet);
    await pair(laptop, pi, 'mirror');
    await eventuallySame([laptop, phone, tablet, pi]);
    for (const member of [laptop, phone, tablet, pi]) network.isolate(member);
    const members = [laptop, phone, tablet, pi];
    const written = new Set<string>();
    for (let action = 0; action < 40; action++) {
      const kind = random();
      if (kind < 0.08 && members.length < 7) {
        const store = new MemoryStore();
        await copyStore(laptop.store, store, TABLES);
        const copy = await network.add(`copy${members.length}`, { seed: SEED, store });
        network.isolate(copy);
        members.push(copy);
      } else if (kind < 0.3) {
        // Two meet for a while, and then nobody reaches them again.
        const [one, other] = [pick(members), pick(members)];
        if (one === other) continue;
        network.reconnect(one);
        const connection = await other.peer.connect(one.url).catch(() => null);
        await connection?.caughtUp().catch(() => {});
        await one.peer.connectionTo(other.peer.device)?.caughtUp().catch(() => {}); // prettier-ignore
        other.peer.undial(one.url);
        network.isolate(one);
        network.isolate(other);
      } else {
        const writer = pick(members.filter((member) => member !== pi));
        const subject = `n/${Math.floor(random() * 4)}`;
        const space = writer.peer.space();
        const ops = pick([
          { set: { [`p${Math.floor(random() * 2)}`]: Math.floor(random() * 100) } },
          { inc: { count: 1 + Math.floor(random() * 5) } },
          { add: { tags: [pick(['a', 'b', 'c'])] } },
          { remove: { tags: [pick(['a', 'b', 'c'])] } },
          { unset: ['p0'] },
          { destroy: true as const },
        ]);
        written.add((await space.commit([{ subject, ops }]).stored).id);
      }
    }
    const [hub, ...others] = random() < 0.5 ? [phone, laptop, tablet, pi] : [pi, phone, laptop, tablet];
    await meet(hub!, ...others, ...members.slice(4));
    const readable = members.filter((member) => member !== pi);
    await expectSame(...readable);
    const expectNothingLost = async (): Promise<void> => {
      const has = new Set<string>();
      for (const member of members) for (const id of await commitsOf(member)) has.add(id);
      expect([...written].filter((id) => !has.has(id))).toEqual([]);
    };
    await expectNothingLost();
    // Nobody is shut out. Two copies that had written nothing fork only now; after that each has a chain of its own.
    for (const round of ['second', 'third']) {
      for (const { peer } of readable) {
        const stored = await peer.space().set(`${round}/${peer.name}`, { v: 1 }).stored;
        written.add(stored.id);
      }
      await meet(hub!, ...others, ...members.slice(4));
      await expectSame(...readable);
      await expectNothingLost();
    }
    const lines = await dump(phone.peer);
    for (const { peer } of readable)
      expect(
        lines.some((line) => line.includes(`"third/${peer.name}"`)),
        peer.name,
      ).toBe(true);
  });
});

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

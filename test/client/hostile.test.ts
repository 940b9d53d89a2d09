/** Peers that say what they should not: each is refused with its code, nothing changes, and everybody else goes on. */
import { zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryStore } from '../../client/memory-store.ts';
import type { Space } from '../../client/space.ts';
import { decodeBatch, encodeBatch, type Batch, type BatchEntry } from '../../protocol/batch.ts';
import { encodeBody, eraseBody, type Change, type Dependency } from '../../protocol/body.ts';
import { compare, concat, toHex, utf8 } from '../../protocol/bytes.ts';
import { ChainHasher, spaceId, ZERO_ID } from '../../protocol/commit.ts';
import { DEVICES_PREFIX, SUBSCRIPTIONS_MAX } from '../../protocol/constants.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import { proveFork } from '../../protocol/fork.ts';
import type { Role } from '../../protocol/membership.ts';
import type { Message } from '../../protocol/messages.ts';
import { encode } from '../../protocol/msgpack.ts';
import { TestChain } from '../support/chains.ts';
import { collect, dump, eventually, Network, pair, type Member } from '../support/network.ts';
import { bytesOf, crypto } from '../support/protocol.ts';
import { RawPeer } from '../support/raw-peer.ts';
import { contents, WrappedStore } from '../support/stores.ts';

let network: Network;
let store: WrappedStore;
let host: Member;
let honest: Member;
let home: Space;
let before: { digest: string; lines: string[] };

beforeEach(async () => {
  network = new Network();
  store = new WrappedStore(new MemoryStore());
  host = await network.add('host', { store });
  home = await host.peer.homeSpace();
  honest = await network.add('honest');
  await pair(host, honest);
  await home.set('note/1', { title: 'Milk' }).reached({ peers: 1 });
  before = { digest: toHex(home.digest()), lines: await dump(host.peer) };
});
afterEach(() => network.close());

/** A device that the host made a member, and its chain. */
async function member(
  name: string,
  role: Role = 'writer',
): Promise<{ raw: RawPeer; chain: TestChain; deps: Dependency[] }> {
  const chain = new TestChain(home.id, name);
  const raw = new RawPeer(host, name);
  raw.cut();
  await host.peer.addDevice(raw.id, { space: home, role, name });
  before = { digest: toHex(home.digest()), lines: await dump(host.peer) };
  return { raw: await RawPeer.connect(host, name), chain, deps: depsOnAll() };
}

/** All that the host has. */
function depsOnAll(): Dependency[] {
  return home.chains.map(({ id, seq }) => ({ chain: id, seq }));
}

function body(
  deps: readonly Dependency[] = [],
  changes: readonly Change[] = [set('evil', { v: 1 })],
  time = Date.now() * 1000,
): Uint8Array {
  return encodeBody({ time, deps, changes });
}

function set(subject: string, values: Record<string, string | number>): Change {
  return { subject, ops: { set: values } };
}

/** Nothing has changed, and the honest peer goes on as ever. */
async function expectUnharmed(): Promise<void> {
  expect(toHex(home.digest())).toBe(before.digest);
  expect(await dump(host.peer)).toEqual(before.lines);
  await expectWorking();
}

async function expectWorking(): Promise<void> {
  const there = home.set('after/1', { v: Math.random() });
  await there.reached({ peers: 1 });
  const back = honest.peer.space().set('after/2', { v: Math.random() });
  await back.reached({ peers: 1 });
  await eventually(() => toHex(home.digest()) === toHex(honest.peer.space().digest()), 'the honest one has the same');
  expect(await dump(honest.peer)).toEqual(await dump(host.peer));
  const commits = await collect(home.log());
  expect(commits.length).toBe(home.head);
}

describe('bytes that are no message', () => {
  test('garbage in place of a handshake', async () => {
    const raw = new RawPeer(host, 'mallory');
    raw.sendBytes(bytesOf('garbage', 500));
    expect(await raw.closed).toBe(4001);
    expect(host.peer.counters.handshakesFailed).toBe(1);
    await expectUnharmed();
  });

  test('a handshake that breaks off, or never begins, is ended by the clock', async () => {
    const raw = new RawPeer(host, 'mallory');
    const { nowMs } = { nowMs: performance.now() };
    expect(raw.connection.openedMs).toBeLessThanOrEqual(nowMs);
    raw.connection.tick();
    expect(raw.connection.closed).toBe(false);
    raw.cut();
    await raw.closed;
    await expectUnharmed();
  });

  const frames: [what: string, send: (raw: RawPeer) => void, code: ErrorCode][] = [
    ['bytes that do not decrypt', (raw) => raw.sendBytes(bytesOf('x', 100)), 'bad-frame'],
    ['a frame with an unknown flag', (raw) => raw.sendFrame(new Uint8Array([2, 1])), 'bad-frame'],
    ['an empty frame', (raw) => raw.sendFrame(new Uint8Array(0)), 'bad-frame'],
    ['an empty frame with more to follow', (raw) => raw.sendFrame(new Uint8Array([1])), 'bad-frame'],
    ['no bytes at all', (raw) => raw.sendBytes(new Uint8Array(0)), 'bad-frame'],
    [
      'a message that does not end',
      (raw) => {
        const part = new Uint8Array(60_000).fill(1);
        for (let i = 0; i < 80; i++) raw.sendFrame(part);
      },
      'message-too-large',
    ],
    ['a message that is no msgpack', (raw) => raw.sendRaw(new Uint8Array([0xc1])), 'bad-message'],
    ['a message that was cut off', (raw) => raw.sendRaw(encode([7, 1, 2]).subarray(0, 3)), 'bad-message'],
    ['a message with bytes after its end', (raw) => raw.sendRaw(concat(encode([13, 1]), utf8('x'))), 'bad-message'],
    ['a message that is a map', (raw) => raw.sendRaw(encode({ type: 1 })), 'bad-message'],
    ['a message that lacks fields', (raw) => raw.sendRaw(encode([7, 1])), 'bad-message'],
    ['an unknown message that must be understood', (raw) => raw.sendRaw(encode([99])), 'unknown-message'],
    [
      'a version that is not ours',
      (raw) => raw.sendRaw(encode([1, 2, '', '', [], { message: 1, batch: 1 }, [], 0])),
      'unsupported-version',
    ],
    [
      'a version that is not ours, and looks otherwise',
      (raw) => raw.sendRaw(encode([1, 2, { name: 'of the future' }])),
      'unsupported-version',
    ],
  ];
  test.each(frames)('%s', async (_, send, code) => {
    const { raw } = await member('mallory');
    send(raw);
    expect(await raw.refusedWith()).toBe(code);
    await expectUnharmed();
  });

  test('an unknown message that may be ignored is, and so are fields to come', async () => {
    const { raw } = await member('mallory');
    raw.sendRaw(encode([98, 'whatever']));
    const subscription = await raw.greet(home.id);
    raw.sendRaw(encode([9, subscription, 7, new Uint8Array(32), 'a field to come']));
    expect((await raw.next('ACK')).last).toBe(7);
    expect(raw.closeCode).toBeNull();
    await expectUnharmed();
  });
});

describe('strangers', () => {
  const said: Message[] = [
    { type: 'HEARTBEAT', spaces: [], time: 0 },
    {
      type: 'SUBSCRIBE_ALL',
      subscription: 1,
      space: new Uint8Array(32),
      from: { kind: 'all' },
      live: true,
      credit: 4_000_000,
    },
    { type: 'BATCH', subscription: 1, prev: 0, last: 1, codec: 0, rawBytes: 1, data: new Uint8Array(1) },
    { type: 'ACK', subscription: 1, last: 1, credit: 1 },
  ];
  test.each(said.map((message) => [message.type, message] as const))(
    'hear nothing but not-paired: %s',
    async (type, message) => {
      const raw = await RawPeer.connect(host, 'stranger');
      raw.send(message);
      if (type === 'HEARTBEAT') raw.hello();
      expect(await raw.refusedWith()).toBe('not-paired');
      expect(raw.received.map((each) => each.type)).toEqual(['ERROR']);
      await expectUnharmed();
    },
  );

  test('a HELLO gets not-paired and no word of what is here', async () => {
    const raw = await RawPeer.connect(host, 'stranger');
    raw.hello([home.state()]);
    expect(await raw.refusedWith()).toBe('not-paired');
    expect(raw.received.map((each) => each.type)).toEqual(['ERROR']);
    expect(await raw.closed).toBe(4007);
    await expectUnharmed();
  });
});

describe('a batch', () => {
  interface Case {
    readonly what: string;
    readonly code: ErrorCode;
    readonly role?: Role;
    readonly make: (chain: TestChain, deps: Dependency[]) => Batch;
    readonly change?: Parameters<RawPeer['batch']>[4];
  }
  const commits =
    (...bodies: Uint8Array[]) =>
    (chain: TestChain): Batch => {
      for (const each of bodies) chain.write(each);
      return chain.batch();
    };
  /** Bodies that no hash can be made of: refused before anybody looks at the signature. */
  const withBody =
    (wrong: Uint8Array) =>
    (chain: TestChain, deps: Dependency[]): Batch => {
      chain.write(body(deps));
      const entry = chain.entry(1) as Extract<BatchEntry, { kind: 'commit' }>;
      return { chains: [chain.after(0)], entries: [{ ...entry, body: wrong }] };
    };
  const cases: Case[] = [
    {
      what: 'garbage',
      code: 'bad-batch',
      make: commits(body()),
      change: { data: bytesOf('garbage', 300), rawBytes: 300 },
    },
    { what: 'of a size that it has not', code: 'bad-batch', make: commits(body()), change: { rawBytes: 5 } },
    { what: 'zstd that is none', code: 'bad-batch', make: commits(body()), change: { codec: 1 } },
    {
      what: 'a zstd bomb that lies about its size',
      code: 'bad-batch',
      make: commits(body()),
      change: { codec: 1, rawBytes: 1000, data: new Uint8Array(zstdCompressSync(new Uint8Array(200 * 1024 * 1024))) },
    },
    {
      what: 'a zstd bomb that says its size',
      code: 'batch-too-large',
      make: commits(body()),
      change: {
        codec: 1,
        rawBytes: 200 * 1024 * 1024,
        data: new Uint8Array(zstdCompressSync(new Uint8Array(200 * 1024 * 1024))),
      },
    },
    {
      what: 'that ends before it begins',
      code: 'bad-message',
      make: commits(body()),
      change: { prev: 10, last: 9 },
    },
    {
      what: 'that is not linked',
      code: 'unlinked',
      make: (chain, deps) => {
        chain.write(body(deps));
        chain.write(body());
        return chain.batch(2);
      },
    },
    {
      what: 'whose first commit follows nothing',
      code: 'unlinked',
      make: (chain, deps) => {
        chain.write(body(deps));
        const batch = chain.batch();
        return { ...batch, chains: [{ ...batch.chains[0]!, seq: 0, id: bytesOf('x', 32) }] };
      },
    },
    {
      what: 'with a forged signature',
      code: 'bad-signature',
      make: (chain, deps) => {
        chain.write(
          body(deps),
          bytesOf('sig', 64).map((b, i) => (i === 63 ? 0 : b)),
        );
        return chain.batch();
      },
    },
    {
      what: 'with an altered body',
      code: 'bad-signature',
      make: (chain, deps) => {
        chain.write(body(deps));
        const entry = chain.entry(1) as Extract<BatchEntry, { kind: 'commit' }>;
        return { chains: [chain.after(0)], entries: [{ ...entry, body: body(deps, [set('evil', { v: 2 })]) }] };
      },
    },
    {
      what: 'of another space',
      code: 'bad-signature',
      make: (_, deps) => {
        const other = new TestChain(bytesOf('another space', 32), 'mallory');
        other.write(body(deps));
        return other.batch();
      },
    },
    {
      what: 'by a key that is no key',
      code: 'bad-key',
      make: (chain, deps) => {
        chain.write(body(deps));
        return { ...chain.batch(), chains: [{ ...chain.after(0), device: new Uint8Array(32) }] };
      },
    },
    {
      what: 'that lists a chain twice',
      code: 'bad-batch',
      make: (chain, deps) => {
        chain.write(body(deps));
        chain.write(body());
        return { chains: [chain.after(0), chain.after(0)], entries: [chain.entry(1), chain.entry(2)] };
      },
    },
    {
      what: 'that comes before what its author had seen',
      code: 'causal-gap',
      make: (chain, deps) => {
        chain.write(body([...deps, { chain: bytesOf('not yet', 16), seq: 1 }]));
        return chain.batch();
      },
    },
    {
      what: 'that depends on what a chain has not reached',
      code: 'causal-gap',
      make: (chain, [first, ...deps]) => {
        chain.write(body([{ ...first!, seq: first!.seq + 1 }, ...deps]));
        return chain.batch();
      },
    },
    {
      what: 'that depends on itself',
      code: 'bad-commit',
      make: (chain, deps) => {
        chain.write(body(deps));
        const own = new ChainHasher(crypto, { space: home.id, device: chain.device.public, nonce: chain.nonce });
        void own;
        chain.write(body([{ chain: chainIdOf(chain), seq: 1 }]));
        return chain.batch();
      },
    },
    { what: 'by a member that has not seen that it is one', code: 'unauthorized', make: commits(body()) },
    {
      what: 'by a reader',
      code: 'unauthorized',
      role: 'reader',
      make: (chain, deps) => {
        chain.write(body(deps));
        return chain.batch();
      },
    },
    {
      what: 'by a mirror',
      code: 'unauthorized',
      role: 'mirror',
      make: (chain, deps) => {
        chain.write(body(deps));
        return chain.batch();
      },
    },
    {
      what: 'by a stranger',
      code: 'unauthorized',
      make: (_, deps) => {
        const stranger = new TestChain(home.id, 'stranger');
        stranger.write(body(deps));
        return stranger.batch();
      },
    },
    {
      what: 'by a stranger, erased',
      code: 'unauthorized',
      make: (_, deps) => {
        const stranger = new TestChain(home.id, 'stranger');
        stranger.write(body(deps));
        return { chains: [stranger.after(0)], entries: [stranger.erased(1)] };
      },
    },
    {
      what: 'by a writer, on members',
      code: 'unauthorized',
      make: (chain, deps) => {
        chain.write(body(deps, [set(`${DEVICES_PREFIX}${host.peer.id}`, { role: 'reader' })]));
        return chain.batch();
      },
    },
    {
      what: 'by an owner, with a role that is none',
      code: 'bad-commit',
      role: 'owner',
      make: (chain, deps) => {
        chain.write(body(deps, [set(`${DEVICES_PREFIX}${host.peer.id}`, { role: 'king' })]));
        return chain.batch();
      },
    },
    {
      what: 'by an owner, about a device that is none',
      code: 'bad-commit',
      role: 'owner',
      make: (chain, deps) => {
        chain.write(body(deps, [set(`${DEVICES_PREFIX}me`, { role: 'owner' })]));
        return chain.batch();
      },
    },
    {
      what: 'by an owner, on members and others at once',
      code: 'bad-commit',
      role: 'owner',
      make: (chain, deps) => {
        chain.write(body(deps, [set('~space', { name: 'x' }), set('a', { v: 1 })]));
        return chain.batch();
      },
    },
    {
      what: 'whose changes are no msgpack',
      code: 'bad-commit',
      make: commits(new Uint8Array([0x93, 0x01, 0x90, 0xc1])),
    },
    { what: 'whose body is no msgpack', code: 'bad-commit', make: withBody(new Uint8Array([0x93, 0xc1])) },
    { what: 'whose body is empty', code: 'bad-commit', make: withBody(new Uint8Array(0)) },
    { what: 'whose body is of a kind to come', code: 'bad-commit', make: withBody(new Uint8Array([0x94, 1, 2, 3, 4])) },
    {
      what: 'whose body holds no change',
      code: 'bad-commit',
      make: (chain, deps) => {
        chain.write(encode([1, deps.map(({ chain: id, seq }) => [id, seq]), []]));
        return chain.batch();
      },
    },
    {
      what: 'whose body is too large',
      code: 'commit-too-large',
      make: (chain, deps) => {
        chain.write(
          encode([
            1,
            deps.map(({ chain: id, seq }) => [id, seq]),
            [['a', { set: { a: new Uint8Array(1024 * 1024) } }]],
          ]),
        );
        return chain.batch();
      },
    },
    {
      what: 'with a gap',
      code: 'gap-refused',
      make: (chain, deps) => {
        chain.write(body(deps));
        chain.write(body());
        return { chains: [chain.after(0)], entries: [chain.gap(2)] };
      },
    },
  ];

  function chainIdOf(chain: TestChain): Uint8Array {
    return crypto.sha256(concat(utf8('tidelog/1 chain'), chain.space, chain.device.public, chain.nonce)).slice(0, 16);
  }

  test.each(cases.map((each) => [each.what, each] as const))('%s', async (_, { make, code, role, change }) => {
    const { raw, chain, deps } = await member('mallory', role);
    const subscription = await raw.greet(home.id);
    raw.batch(subscription, 0, 5, make(chain, deps), change);
    expect(await raw.refusedWith()).toBe(code);
    await expectUnharmed();
  });

  test('half of which is good is taken not at all', async () => {
    const { raw, chain, deps } = await member('mallory');
    const subscription = await raw.greet(home.id);
    for (let i = 0; i < 9; i++) chain.write(body(i === 0 ? deps : [], [set(`evil/${i}`, { v: 1 })]));
    chain.write(body([{ chain: bytesOf('not yet', 16), seq: 1 }]));
    raw.batch(subscription, 0, 10, chain.batch());
    expect(await raw.refusedWith()).toBe('causal-gap');
    await expectUnharmed();
  });

  test('another commit in the place of one that is there: a fork', async () => {
    const { raw, chain, deps } = await member('mallory');
    const subscription = await raw.greet(home.id);
    chain.write(body(deps, [set('first', { v: 1 })]));
    raw.batch(subscription, 0, 1, chain.batch());
    await raw.next('ACK');
    const other = new TestChain(home.id, 'mallory');
    other.write(body(deps, [set('second', { v: 1 })]));
    raw.batch(subscription, 1, 2, other.batch());
    expect(await raw.refusedWith()).toBe('fork');
    expect(await home.get('second')).toBeNull();
    await expectWorking();
  });

  test('a dropped branch by one who has not heard of the fork is refused, and not set aside again and again', async () => {
    const { raw, chain, deps } = await member('mallory');
    const other = new TestChain(home.id, 'mallory');
    chain.write(body(deps, [set('one', { v: 1 })]));
    other.write(body(deps, [set('other', { v: 1 })]));
    const isOne = compare(chain.last!.id, other.last!.id) < 0;
    const dropped = isOne ? other : chain;
    const subscription = await raw.greet(home.id);
    raw.batch(subscription, 0, 1, dropped.batch());
    await raw.next('ACK');
    const at = { device: chain.device.public, nonce: chain.nonce, seq: 1, prev: ZERO_ID };
    const proof = proveFork(crypto, home.id, at, [[chain.last!], [other.last!]]);
    const epoch = toHex(home.epoch);
    raw.send({ type: 'FORK', space: home.id, proof: proof.bytes });
    await raw.closed;
    expect(toHex(home.epoch)).not.toBe(epoch);
    expect(toHex(home.digest())).toBe(before.digest);
    const aside = await contents(store, 'setAside');
    expect(aside).toHaveLength(1);
    const repaired = toHex(home.epoch);
    const again = await RawPeer.connect(host, 'mallory');
    again.batch(await again.greet(home.id), 0, 1, dropped.batch());
    expect(await again.refusedWith()).toBe('fork');
    expect(toHex(home.epoch)).toBe(repaired);
    expect(await contents(store, 'setAside')).toEqual(aside);
    await eventually(() => honest.peer.space().forks().length === 1, 'the honest one has heard of it');
    const third = await RawPeer.connect(host, 'mallory');
    third.batch(await third.greet(home.id), 0, 1, (isOne ? chain : other).batch());
    await third.next('ACK');
    await eventually(() => honest.peer.connections().length > 0, 'the honest one is back');
    expect((await home.get(isOne ? 'one' : 'other'))?.value).toEqual({ v: 1 });
  });

  test('another commit below the head is passed over, and shows when that branch grows', async () => {
    const { raw, chain, deps } = await member('mallory');
    const subscription = await raw.greet(home.id);
    chain.write(body(deps, [set('first', { v: 1 })]));
    chain.write(body([], [set('first', { v: 2 })]));
    raw.batch(subscription, 0, 2, chain.batch());
    await raw.next('ACK');
    const other = new TestChain(home.id, 'mallory');
    other.write(body(deps, [set('second', { v: 1 })]));
    raw.batch(subscription, 2, 3, other.batch());
    await raw.next('ACK');
    expect(raw.closeCode).toBeNull();
    other.write(body([], [set('second', { v: 2 })]));
    other.write(body([], [set('second', { v: 3 })]));
    raw.batch(subscription, 3, 4, other.batch(3, 3));
    expect(await raw.refusedWith()).toBe('fork');
    expect(await home.get('second')).toBeNull();
    await expectWorking();
  });

  test('with more entries than positions', async () => {
    const { raw, chain, deps } = await member('mallory');
    const subscription = await raw.greet(home.id);
    for (let i = 0; i < 3; i++) chain.write(body(i === 0 ? deps : []));
    raw.batch(subscription, 7, 9, chain.batch(1, 2));
    expect((await raw.next('ACK')).last).toBe(9);
    raw.batch(subscription, 9, 9, chain.batch(3, 3));
    expect(await raw.refusedWith()).toBe('bad-batch');
    await expectWorking();
  });

  test('that begins elsewhere than the last one ended', async () => {
    const { raw, chain, deps } = await member('mallory');
    const subscription = await raw.greet(home.id);
    chain.write(body(deps));
    chain.write(body());
    raw.batch(subscription, 100, 101, chain.batch(1, 1));
    raw.batch(subscription, 102, 103, chain.batch(2, 2));
    expect(await raw.refusedWith()).toBe('cursor-mismatch');
    await expectWorking();
  });

  test('past the credit', async () => {
    const { raw, chain, deps } = await member('mallory');
    const subscription = await raw.greet(home.id);
    let open: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    store.beforeWrite = () => gate;
    for (let i = 0; i < 5; i++) {
      chain.write(
        body(i === 0 ? deps : [], [{ subject: `big/${i}`, ops: { set: { a: bytesOf(`big ${i}`, 1_000_000) } } }]),
      );
      raw.batch(subscription, i, i + 1, chain.batch(i + 1, i + 1));
    }
    expect(await raw.refusedWith()).toBe('credit-exceeded');
    store.beforeWrite = () => {};
    open();
    await expectWorking();
  });

  test('that lists a chain of which it has nothing does not spoil the log', async () => {
    const { raw, chain, deps } = await member('mallory');
    const subscription = await raw.greet(home.id);
    chain.write(body(deps));
    chain.write(body());
    const other = new TestChain(home.id, 'nobody');
    raw.batch(subscription, 0, 2, {
      chains: [chain.after(0), other.after(0)],
      entries: [chain.entry(1), chain.entry(2)],
    });
    expect(await raw.refusedWith()).toBe('bad-batch');
    await expectUnharmed();
  });

  test('that follows a refused one moves no cursor past it', async () => {
    const { raw, chain, deps } = await member('mallory');
    const other = new TestChain(home.id, 'second');
    await host.peer.addDevice(new RawPeer(host, 'second').id, { space: home, role: 'writer' });
    const subscription = await raw.greet(home.id);
    chain.write(body([...deps, { chain: bytesOf('not yet', 16), seq: 1 }]));
    other.write(body(depsOnAll(), [set('second', { v: 1 })]));
    // Both are there before the first is judged.
    let open: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    store.beforeWrite = () => gate;
    const held = home.set('held', { v: 1 });
    await new Promise((resolve) => setImmediate(resolve));
    raw.batch(subscription, 0, 7, chain.batch());
    raw.batch(subscription, 7, 8, other.batch());
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
    store.beforeWrite = () => {};
    open();
    await held.stored;
    expect(await raw.refusedWith()).toBe('causal-gap');
    await home.set('later', { v: 1 }).stored;
    expect(await home.startsFrom(raw.keys.public, bytesOf('raw epoch', 8))).toMatchObject({ kind: 'vector' });
    expect(await home.get('second')).toBeNull();
  });

  test('that comes in one turn with one of a forged signature, behind it, is taken not at all', async () => {
    const { raw, chain, deps } = await member('mallory');
    const other = new TestChain(home.id, 'second');
    await host.peer.addDevice(new RawPeer(host, 'second').id, { space: home, role: 'writer' });
    const subscription = await raw.greet(home.id);
    chain.write(body(deps), bytesOf('forged', 64));
    other.write(body(depsOnAll(), [set('second', { v: 1 })]));
    const { head } = home;
    raw.sendTogether(() => {
      raw.batch(subscription, 0, 7, chain.batch());
      raw.batch(subscription, 7, 8, other.batch());
    });
    expect(await raw.refusedWith()).toBe('bad-signature');
    await home.set('later', { v: 1 }).stored;
    expect(home.head).toBe(head + 1);
    expect(await home.get('second')).toBeNull();
    expect(await home.startsFrom(raw.keys.public, bytesOf('raw epoch', 8))).toMatchObject({ kind: 'vector' });
    await expectWorking();
  });

  test('from the future is taken, reported, and moves no clock', async () => {
    const { raw, chain, deps } = await member('mallory');
    const subscription = await raw.greet(home.id);
    const future = Date.now() * 1000 + 48 * 3600 * 1_000_000;
    chain.write(body(deps, [set('future', { v: 1 })], future));
    raw.batch(subscription, 0, 1, chain.batch());
    await raw.next('ACK');
    expect((await home.get('future'))?.meta['v']?.time).toBe(future);
    expect(home.stats().clockUs).toBeLessThan(future);
    expect(host.events.filter(({ type }) => type === 'future')).toMatchObject([{ device: raw.id, timeUs: future }]);
    expect(host.peer.status().warnings.join()).toMatch(/more than 24 h ahead/);
    // Who has seen it writes after it, whatever its clock says.
    await home.set('future', { v: 2 }).stored;
    expect((await home.get('future'))?.value).toEqual({ v: 2 });
    expect((await home.get('future'))?.meta['v']?.conflict).toEqual([]);
    await expectWorking();
  });

  test('with odd but valid msgpack is taken and goes on byte for byte', async () => {
    const { raw, chain, deps } = await member('mallory');
    const subscription = await raw.greet(home.id);
    const long = (text: string): Uint8Array => concat(new Uint8Array([0xdb, 0, 0, 0, utf8(text).length]), utf8(text));
    const number = (n: number): Uint8Array => new Uint8Array([0xcf, 0, 0, 0, 0, 0, 0, 0, n]);
    const depBytes = deps.map(({ chain: id, seq }) =>
      concat(new Uint8Array([0xdc, 0, 2, 0xc5, 0, 16]), id, number(seq)),
    );
    const odd = concat(
      new Uint8Array([0x93, 0xcb]),
      new Uint8Array(new Float64Array([1_700_000_000_000_000]).buffer).toReversed(),
      new Uint8Array([0xdd, 0, 0, 0, deps.length]),
      ...depBytes,
      new Uint8Array([0xdc, 0, 1, 0xdc, 0, 2]),
      long('odd'),
      new Uint8Array([0xde, 0, 1]),
      long('set'),
      new Uint8Array([0xdf, 0, 0, 0, 1]),
      long('v'),
      number(7),
    );
    chain.write(odd);
    raw.batch(subscription, 0, 1, chain.batch());
    await raw.next('ACK');
    expect((await home.get('odd'))?.value).toEqual({ v: 7 });
    await eventually(() => toHex(honest.peer.space().digest()) === toHex(home.digest()), 'the honest one has it');
    expect((await honest.peer.space().get('odd'))?.value).toEqual({ v: 7 });
    const sent = await honest.peer.space().readFor(0, new Map(), null, new Set([0]));
    const bodies = decodeBatch(sent!.data).entries.map((entry) => (entry.kind === 'commit' ? toHex(entry.body) : ''));
    expect(bodies).toContain(toHex(odd));
    await expectWorking();
  });
});

describe('an erased commit', () => {
  /** Sends a commit erased, and, when asked for it, its body. */
  async function fill(role: Role, make: (deps: Dependency[]) => Uint8Array): Promise<RawPeer> {
    const { raw, chain, deps } = await member('mallory', role);
    chain.write(make(deps));
    const first = await raw.greet(home.id);
    raw.batch(first, 0, 1, { chains: [chain.after(0)], entries: [chain.erased(1)] });
    await Promise.race([raw.next('ACK'), raw.closed]);
    raw.cut();
    await raw.closed;
    const again = await RawPeer.connect(host, 'mallory');
    const second = await again.greet(home.id);
    again.batch(second, 0, 1, chain.batch());
    await Promise.race([again.next('ACK').catch(() => {}), again.closed]);
    return again;
  }

  test('by a reader does not count when its body comes later', async () => {
    await fill('reader', (deps) => body(deps));
    expect(await home.get('evil')).toBeNull();
    await expectWorking();
    await home.rebuild();
    expect(await home.get('evil')).toBeNull();
  });

  test('by a writer, with a body that is no body, does not spoil the log', async () => {
    // All is as it should be up to the changes.
    await fill('writer', (deps) => concat(eraseBody(crypto, body(deps)).stem, new Uint8Array([0xc1, 0xc1])));
    await expectWorking();
    await home.rebuild();
    await expectWorking();
  });

  test('by a writer, that depends on what nobody has, stays a hole', async () => {
    await fill('writer', (deps) => body([...deps, { chain: bytesOf('not yet', 16), seq: 1 }]));
    await expectWorking();
    await home.rebuild();
    expect(await home.get('evil')).toBeNull();
  });

  test('by a writer counts once its body has come', async () => {
    await fill('writer', (deps) => body(deps));
    await eventually(async () => (await home.get('evil')) !== null, 'it counts');
    expect(home.stats().holes).toBe(0);
  });

  test('by an owner, on members, is heeded once its body has come', async () => {
    const third = new RawPeer(host, 'third');
    await fill('owner', (deps) => body(deps, [set(`${DEVICES_PREFIX}${third.id}`, { role: 'writer', name: 'third' })]));
    await eventually(() => home.stats().holes === 0, 'it is filled');
    expect(home.roleOf(third.keys.public)).toBe('writer');
    const chain = new TestChain(home.id, 'third');
    chain.write(body(depsOnAll(), [set('third', { v: 1 })]));
    const raw = await RawPeer.connect(host, 'third');
    raw.batch(await raw.greet(home.id), 0, 1, chain.batch());
    await raw.next('ACK');
    expect((await home.get('third'))?.value).toEqual({ v: 1 });
  });

  test('cannot found a space', async () => {
    const keys = new RawPeer(host, 'founder');
    await host.peer.addDevice(keys.id, { space: home, role: 'writer' });
    const salt = bytesOf('salt', 16);
    const id = spaceId(crypto, keys.keys.public, salt);
    const chain = new TestChain(id, 'founder');
    chain.write(
      encodeBody({
        time: 1,
        deps: [],
        changes: [{ subject: '~space', ops: { set: { owner: keys.keys.public, salt, name: 'new' } } }],
      }),
    );
    const raw = await RawPeer.connect(host, 'founder');
    await raw.next('HELLO');
    raw.hello([{ space: id, epoch: bytesOf('e', 8), head: 1, digest: bytesOf('d', 32) }]);
    const { subscription } = await raw.next('SUBSCRIBE_ALL');
    raw.batch(subscription, 0, 1, { chains: [chain.after(0)], entries: [chain.erased(1)] });
    expect(await raw.refusedWith()).toBe('bad-space');
    await expectWorking();
  });

  test('a space that is not what its id says', async () => {
    const raw = new RawPeer(host, 'founder');
    await host.peer.addDevice(raw.id, { space: home, role: 'writer' });
    const id = bytesOf('a made up id', 32);
    const chain = new TestChain(id, 'founder');
    chain.write(
      encodeBody({
        time: 1,
        deps: [],
        changes: [
          { subject: '~space', ops: { set: { owner: raw.keys.public, salt: bytesOf('salt', 16), name: 'new' } } },
        ],
      }),
    );
    const again = await RawPeer.connect(host, 'founder');
    await again.next('HELLO');
    again.hello([{ space: id, epoch: bytesOf('e', 8), head: 1, digest: bytesOf('d', 32) }]);
    const { subscription } = await again.next('SUBSCRIBE_ALL');
    again.batch(subscription, 0, 1, chain.batch());
    expect(await again.refusedWith()).toBe('bad-space');
    await expectWorking();
  });
});

describe('a subscription', () => {
  const subscribe = (subscription: number, change: object = {}): Message =>
    ({
      type: 'SUBSCRIBE_ALL',
      subscription,
      space: home.id,
      from: { kind: 'all' },
      live: true,
      credit: 4 * 1024 * 1024,
      ...change,
    }) as Message;

  const cases: [what: string, send: (raw: RawPeer) => void | Promise<void>, code: ErrorCode][] = [
    ['with a number in use', (raw) => raw.send(subscribe(1), subscribe(1)), 'bad-message'],
    ['with too little credit', (raw) => raw.send(subscribe(1, { credit: 1000 })), 'bad-message'],
    ['with too much credit', (raw) => raw.send(subscribe(1, { credit: 2 ** 40 })), 'bad-message'],
    [
      'more than there may be',
      (raw) => raw.send(...[...Array(SUBSCRIPTIONS_MAX + 1).keys()].map((i) => subscribe(i))),
      'too-many',
    ],
    [
      'ACK past what was sent',
      async (raw) => {
        raw.send(subscribe(1));
        await raw.next('BATCH');
        raw.send({ type: 'ACK', subscription: 1, last: 99_999, credit: 0 });
      },
      'bad-message',
    ],
    [
      'ACK that goes back',
      async (raw) => {
        raw.send(subscribe(1));
        const { last } = await raw.next('BATCH');
        raw.send(
          { type: 'ACK', subscription: 1, last, credit: 0 },
          { type: 'ACK', subscription: 1, last: last - 1, credit: 0 },
        );
      },
      'bad-message',
    ],
    [
      'ACK that gives more credit than can be',
      async (raw) => {
        raw.send(subscribe(1));
        await raw.next('BATCH');
        raw.send({ type: 'ACK', subscription: 1, last: 0, credit: 2 ** 50 });
      },
      'bad-message',
    ],
    [
      'a BATCH for what nobody asked for',
      (raw) =>
        raw.send({ type: 'BATCH', subscription: 77, prev: 0, last: 0, codec: 0, rawBytes: 0, data: new Uint8Array(0) }),
      'bad-message',
    ],
    [
      'CAUGHT_UP for what nobody asked for',
      (raw) => raw.send({ type: 'CAUGHT_UP', subscription: 77, last: 0, digest: new Uint8Array(32) }),
      'bad-message',
    ],
    [
      'UNSUBSCRIBED for what nobody asked for',
      (raw) => raw.send({ type: 'UNSUBSCRIBED', subscription: 77, fault: null }),
      'bad-message',
    ],
  ];
  test.each(cases)('%s', async (_, send, code) => {
    const { raw } = await member('mallory');
    await raw.next('HELLO');
    raw.hello();
    await send(raw);
    expect(await raw.refusedWith()).toBe(code);
    await expectUnharmed();
  });

  test('before HELLO', async () => {
    const { raw } = await member('mallory');
    raw.send(subscribe(1));
    expect(await raw.refusedWith()).toBe('bad-message');
    await expectUnharmed();
  });

  test('of a space that is not here, with cursors that cannot be: each ends by itself, with its code', async () => {
    const { raw } = await member('mallory');
    await raw.next('HELLO');
    raw.hello();
    const detail = { epoch: toHex(home.epoch), floor: 0, head: home.head };
    raw.send(subscribe(1, { space: bytesOf('nowhere', 32) }));
    expect((await raw.next('UNSUBSCRIBED')).fault).toMatchObject({ code: 'unknown-space' });
    raw.send(subscribe(2, { from: { kind: 'cursor', epoch: bytesOf('x', 8), seq: 1 } }));
    expect((await raw.next('UNSUBSCRIBED')).fault).toMatchObject({ code: 'cursor-epoch', retry: true, detail });
    raw.send(subscribe(3, { from: { kind: 'cursor', epoch: home.epoch, seq: 99_999 } }));
    expect((await raw.next('UNSUBSCRIBED')).fault).toMatchObject({ code: 'cursor-too-new', detail });
    raw.send(subscribe(4));
    expect((await raw.next('CAUGHT_UP')).last).toBe(home.head);
    expect(raw.closeCode).toBeNull();
    await expectUnharmed();
  });

  test.each([
    ['bad-request', 0],
    ['unknown-space', 1],
    ['code-of-the-future', 1],
  ] as const)('of ours that ends with %s: is it asked for again after another HELLO?', async (code, again) => {
    const { raw } = await member('mallory');
    const subscription = await raw.greet(home.id);
    const fault = { code, retry: false, afterMs: 0, text: '', detail: {} };
    raw.send({ type: 'UNSUBSCRIBED', subscription, fault });
    raw.hello([{ space: home.id, epoch: bytesOf('e', 8), head: 0, digest: bytesOf('d', 32) }]);
    // It is answered in order, so whatever came of the HELLO has come by then.
    raw.send(subscribe(7, { live: false, from: { kind: 'vector', heads: [] } }));
    await raw.next('CAUGHT_UP');
    expect(raw.received.filter(({ type }) => type === 'SUBSCRIBE_ALL')).toHaveLength(1 + again);
  });

  test('a vector with another head is a fork', async () => {
    const { raw } = await member('mallory');
    await raw.next('HELLO');
    raw.hello();
    const { id, seq } = home.chains[0]!;
    raw.send(subscribe(1, { from: { kind: 'vector', heads: [{ chain: id, seq, id: bytesOf('another', 32) }] } }));
    const { fault } = await raw.next('UNSUBSCRIBED');
    expect(fault).toMatchObject({ code: 'fork', detail: { chain: toHex(id) } });
    expect(raw.closeCode).toBeNull();
    await expectUnharmed();
  });

  test('asked for and dropped in a flood, by one who reads nothing, ends that one', async () => {
    const { raw } = await member('mallory');
    await raw.next('HELLO');
    raw.hello();
    raw.line.stalled = true;
    raw.line.bufferedBefore = 16 * 1024 * 1024 - 20_000;
    for (let i = 0; i < 500; i++) raw.send(subscribe(i, { space: bytesOf('nowhere', 32) }));
    await raw.closed;
    expect(raw.line.mostBuffered).toBeLessThan(16 * 1024 * 1024 + 1000);
    raw.line.resume();
    await expectWorking();
  });
});

describe('a revoked device', () => {
  test('is told so, and nothing of what it holds is taken', async () => {
    const { raw, chain, deps } = await member('mallory');
    const subscription = await raw.greet(home.id);
    chain.write(body(deps, [set('fine', { v: 1 })]));
    raw.batch(subscription, 0, 1, chain.batch());
    await raw.next('ACK');
    await host.peer.revokeDevice(home, raw.id);
    expect(await raw.refusedWith()).toBe('device-revoked');
    const again = await RawPeer.connect(host, 'mallory');
    expect(await again.refusedWith()).toBe('device-revoked');
    expect(await again.closed).toBe(4008);
    expect((await home.get('fine'))?.value).toEqual({ v: 1 });
    // Through another member: it stands in the log, erased, and changes nothing.
    const other = await member('other', 'mirror');
    chain.write(body([], [set('late', { v: 1 })]));
    other.raw.batch(await other.raw.greet(home.id), 0, 1, chain.batch(2, 2));
    await other.raw.next('ACK');
    expect(await home.get('late')).toBeNull();
    const log = [];
    for await (const commit of home.log()) if (commit.device === raw.id) log.push(commit.erased);
    expect(log).toEqual([false, true]);
    expect(home.stats().holes).toBe(0);
    await expectWorking();
  });
});

test('a raw peer that behaves is served like any other', async () => {
  const { raw } = await member('mallory', 'reader');
  await raw.next('HELLO');
  raw.hello();
  raw.send({
    type: 'SUBSCRIBE_ALL',
    subscription: 5,
    space: home.id,
    from: { kind: 'all' },
    live: false,
    credit: 4 * 1024 * 1024,
  });
  const batch = await raw.next('BATCH');
  const caughtUp = await raw.next('CAUGHT_UP');
  expect(batch.prev).toBe(0);
  expect(caughtUp.last).toBe(home.head);
  expect(toHex(caughtUp.digest)).toBe(toHex(home.digest()));
  raw.send({ type: 'ACK', subscription: 5, last: caughtUp.last, credit: batch.data.length });
  expect((await raw.next('UNSUBSCRIBED')).fault).toBeNull();
  expect(encodeBatch({ chains: [], entries: [] }).length).toBeGreaterThan(0);
  expect(ZERO_ID.length).toBe(32);
});

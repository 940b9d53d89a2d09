/**
 * A member that lies about what others wrote. It holds their signed commits, as every member does, and hands them on altered, in another order,
 * with some left out, too early, in another's name, in another space, or once more. Each is refused with its code and changes nothing; then the
 * honest device comes and brings the same as it is.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import type { Space } from '../../client/space.ts';
import { decodeBatch, type Batch, type BatchEntry } from '../../protocol/batch.ts';
import { encodeBody, eraseBody } from '../../protocol/body.ts';
import { fromHex, toHex } from '../../protocol/bytes.ts';
import { CODEC } from '../../protocol/constants.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import { collect, dump, eventually, Network, pair, type Member } from '../support/network.ts';
import { transportPair } from '../../client/platform/transport-pair.ts';
import { bytesOf, crypto, deviceOf } from '../support/protocol.ts';
import { RawPeer } from '../support/raw-peer.ts';

let network: Network;
let host: Member;
let honest: Member;
let home: Space;

beforeEach(async () => {
  network = new Network();
  host = await network.add('host');
  home = await host.peer.homeSpace();
  honest = await network.add('honest');
  await pair(host, honest);
  await honest.peer.space().set('note/0', { title: 'Milk' }).reached({ peers: 1 });
});
afterEach(() => network.close());

/** What the honest device wrote where the host couldn't hear it, as one batch. */
async function unheard(): Promise<Batch> {
  await eventually(() => toHex(home.digest()) === toHex(honest.peer.space().digest()), 'both have the same');
  const { head } = honest.peer.space();
  network.isolate(host);
  await eventually(() => honest.peer.connections().length === 0, 'the line is down');
  for (let n = 1; n <= 3; n++) await honest.peer.space().set(`note/${n}`, { n }).stored;
  const sent = await honest.peer.space().readFor(head, new Map(), null, new Set([CODEC.NONE]));
  const batch = decodeBatch(sent!.data);
  expect(batch.entries).toHaveLength(3);
  return batch;
}

/** A member that is to lie. */
async function addLiar(space = home, role: 'mirror' | 'writer' = 'mirror'): Promise<void> {
  const { id } = new RawPeer(host, 'liar');
  await host.peer.addDevice(id, { space, role, name: 'liar' });
}

/** The liar on a line to the host, and what it lies about. */
async function liarWithUnheard(space = home): Promise<{ raw: RawPeer; batch: Batch }> {
  await addLiar(space);
  const batch = await unheard();
  return { raw: await RawPeer.connect(host, 'liar'), batch };
}

async function expectUnharmed(before: { digest: string; lines: string[] }): Promise<void> {
  expect(toHex(home.digest())).toBe(before.digest);
  expect(await dump(host.peer)).toEqual(before.lines);
  network.reconnect(host);
  const same = (): boolean => toHex(home.digest()) === toHex(honest.peer.space().digest());
  await eventually(same, 'the honest one brings it as it is', 20_000);
  for (let n = 1; n <= 3; n++) expect((await home.get(`note/${n}`))?.value).toEqual({ n });
  expect((await collect(home.log())).length).toBe(home.head);
}

const commit = (entry: BatchEntry | undefined): Extract<BatchEntry, { kind: 'commit' }> =>
  entry as Extract<BatchEntry, { kind: 'commit' }>;
const forgedBody = encodeBody({ time: 1, deps: [], changes: [{ subject: 'note/2', ops: { set: { n: 666 } } }] });

describe("of others' commits", () => {
  const cases: [what: string, lie: (batch: Batch) => Batch, code: ErrorCode][] = [
    ['in another order', ({ chains, entries: [a, b, c] }) => ({ chains, entries: [b!, a!, c!] }), 'bad-signature'],
    ['the last two swapped', ({ chains, entries: [a, b, c] }) => ({ chains, entries: [a!, c!, b!] }), 'bad-signature'],
    ['without one in the middle', ({ chains, entries: [a, , c] }) => ({ chains, entries: [a!, c!] }), 'bad-signature'],
    [
      'with another body in the middle',
      ({ chains, entries: [a, b, c] }) => ({ chains, entries: [a!, { ...commit(b), body: forgedBody }, c!] }),
      'bad-signature',
    ],
    [
      'with another body at the end',
      ({ chains, entries: [a, b, c] }) => ({ chains, entries: [a!, b!, { ...commit(c), body: forgedBody }] }),
      'bad-signature',
    ],
    [
      "with another's signature",
      ({ chains, entries: [a, b, c] }) => ({
        chains,
        entries: [a!, b!, { ...commit(c), signature: commit(a).signature }],
      }),
      'bad-signature',
    ],
    [
      'as written by itself',
      ({ chains: [chain], entries }) => ({ chains: [{ ...chain!, device: deviceOf('liar').public }], entries }),
      'bad-signature',
    ],
    [
      'in another chain of the same device',
      ({ chains: [chain], entries }) => ({ chains: [{ ...chain!, nonce: bytesOf('nonce', 8) }], entries }),
      'bad-signature',
    ],
    [
      'from the beginning of another chain',
      ({ chains: [chain], entries }) => ({
        chains: [{ ...chain!, nonce: bytesOf('nonce', 8), seq: 0, id: new Uint8Array(32) }],
        entries,
      }),
      'bad-signature',
    ],
    [
      'with seqs that are further on',
      ({ chains: [chain], entries }) => ({ chains: [{ ...chain!, seq: chain!.seq + 10 }], entries }),
      'bad-signature',
    ],
    [
      'erased, with the hash of other changes',
      ({ chains, entries: [a, b, c] }) => {
        const { signature, body } = commit(c);
        const erased = { kind: 'erased', chain: 0, signature, ...eraseBody(crypto, body) } as const;
        return { chains, entries: [a!, b!, { ...erased, changesHash: bytesOf('other', 32) }] };
      },
      'bad-signature',
    ],
  ];
  test.each(cases)('%s', async (_, lie, code) => {
    const { raw, batch } = await liarWithUnheard();
    const before = { digest: toHex(home.digest()), lines: await dump(host.peer) };
    raw.batch(await raw.greet(home.id), 0, 9, lie(batch));
    expect(await raw.refusedWith()).toBe(code);
    await expectUnharmed(before);
  });

  test('the first of which is withheld', async () => {
    const { raw, batch } = await liarWithUnheard();
    const { chains, entries } = batch;
    const before = { digest: toHex(home.digest()), lines: await dump(host.peer) };
    const { id } = (await collect(honest.peer.space().log())).at(-3)!;
    const [chain] = chains;
    const later = { ...chain!, seq: chain!.seq + 1, id: fromHex(id)! };
    raw.batch(await raw.greet(home.id), 0, 9, { chains: [later], entries: entries.slice(1) });
    expect(await raw.refusedWith()).toBe('unlinked');
    await expectUnharmed(before);
  });

  test('that depend on what it withholds come too early', async () => {
    await addLiar();
    const third = await network.add('third');
    await pair(host, third);
    await eventually(() => toHex(home.digest()) === toHex(honest.peer.space().digest()), 'all have the same');
    const batch = await unheard();
    const raw = await RawPeer.connect(host, 'liar');
    // The honest one sees what the third one wrote; the liar hands on what came of it, and not that.
    await third.peer.connect(honest.url);
    const { head } = honest.peer.space();
    await third.peer.space().set('of the third', { v: 1 }).reached({ peers: 1 });
    await honest.peer.space().set('note/3', { n: 3 }).stored;
    const before = { digest: toHex(home.digest()), lines: await dump(host.peer) };
    const own = honest.peer.space().chains.find(({ deviceHex }) => deviceHex === toHex(honest.peer.device))!;
    const others = new Map(
      honest.peer
        .space()
        .chains.filter((chain) => chain !== own)
        .map(({ hex, seq }) => [hex, seq]),
    );
    const sent = await honest.peer.space().readFor(head, others, null, new Set([CODEC.NONE]));
    const last = decodeBatch(sent!.data);
    const subscription = await raw.greet(home.id);
    raw.batch(subscription, 0, 9, batch);
    await raw.next('ACK');
    const between = { digest: toHex(home.digest()), lines: await dump(host.peer) };
    expect(between.digest).not.toBe(before.digest);
    raw.batch(subscription, 9, 10, last);
    expect(await raw.refusedWith()).toBe('causal-gap');
    await expectUnharmed(between);
  });

  test('in another space that both are members of', async () => {
    const other = await host.peer.createSpace('other');
    await host.peer.addDevice(honest.peer.id, { space: other, role: 'writer' });
    const { raw, batch } = await liarWithUnheard(other);
    const before = { digest: toHex(home.digest()), lines: await dump(host.peer) };
    const otherDigest = toHex(other.digest());
    const { chains, entries } = batch;
    raw.batch(await raw.greet(other.id), 0, 9, {
      chains: [{ ...chains[0]!, seq: 0, id: new Uint8Array(32) }],
      entries,
    });
    expect(await raw.refusedWith()).toBe('bad-signature');
    expect(toHex(other.digest())).toBe(otherDigest);
    await expectUnharmed(before);
  });

  test('once more: they are known, and nothing is written twice', async () => {
    const { raw, batch } = await liarWithUnheard();
    const subscription = await raw.greet(home.id);
    raw.batch(subscription, 0, 3, batch);
    await raw.next('ACK');
    const before = { digest: toHex(home.digest()), lines: await dump(host.peer) };
    const { head } = home;
    for (let at = 3; at < 30; at += 3) raw.batch(subscription, at, at + 3, batch);
    for (let at = 3; at < 30; at += 3) await raw.next('ACK');
    expect(home.head).toBe(head);
    await expectUnharmed(before);
  });
});

describe('of where logs stand', () => {
  test('heads, epochs and digests of its own making change nothing here, and nobody else waits for them', async () => {
    const { raw, batch } = await liarWithUnheard();
    const before = { digest: toHex(home.digest()), lines: await dump(host.peer) };
    const subscription = await raw.greet(home.id);
    const say = (epoch: string, head: number, digest: Uint8Array): void =>
      raw.send({
        type: 'HEARTBEAT',
        spaces: [{ space: home.id, epoch: bytesOf(epoch, 8), head, digest }],
        time: Date.now() * 1000,
      });
    for (const head of [0, 1, 1000, Number.MAX_SAFE_INTEGER, 5]) {
      say('raw epoch', head, home.digest());
      say('another epoch', head, home.digest());
      say('raw epoch', head, bytesOf(`digest ${head}`, 32));
    }
    raw.send({ type: 'CAUGHT_UP', subscription, last: Number.MAX_SAFE_INTEGER, digest: bytesOf('digest', 32) });
    await Promise.race([raw.next('ACK'), raw.closed]);
    raw.cut();
    await raw.closed;
    // On its next line it is believed no less, and no more: what it brings is judged by itself.
    const again = await RawPeer.connect(host, 'liar');
    const lied = { chains: batch.chains, entries: [...batch.entries.slice(1), batch.entries[0]!] };
    const next = await again.greet(home.id);
    const request = again.received.find((message) => message.type === 'SUBSCRIBE_ALL');
    const from = request?.type === 'SUBSCRIBE_ALL' && request.from.kind === 'cursor' ? request.from.seq : 0;
    again.batch(next, from, from + 9 > Number.MAX_SAFE_INTEGER ? from : from + 9, lied);
    expect(['bad-signature', 'bad-batch', 'cursor-mismatch', 'bad-message']).toContain(await again.refusedWith());
    await expectUnharmed(before);
  });
});

describe('what was said once on another connection', () => {
  /** What a raw peer puts on the line. */
  function recorded(raw: RawPeer): Uint8Array[] {
    const bytes: Uint8Array[] = [];
    const send = raw.sendBytes.bind(raw);
    raw.sendBytes = (each) => {
      bytes.push(each);
      send(each);
    };
    return bytes;
  }

  test('does not decrypt, though the device and all keys are the same', async () => {
    await addLiar(home, 'writer');
    const raw = await RawPeer.connect(host, 'liar');
    const bytes = recorded(raw);
    await raw.greet(home.id);
    raw.send({ type: 'HEARTBEAT', spaces: [], time: 0 });
    expect(bytes.length).toBeGreaterThan(1);
    raw.cut();
    await raw.closed;
    const before = { digest: toHex(home.digest()), lines: await dump(host.peer) };
    const again = await RawPeer.connect(host, 'liar');
    again.sendBytes(bytes[0]!);
    expect(await again.refusedWith()).toBe('bad-frame');
    expect(toHex(home.digest())).toBe(before.digest);
    expect(await dump(host.peer)).toEqual(before.lines);
  });

  test('on the same one: a frame that comes twice ends it', async () => {
    await addLiar(home, 'writer');
    const raw = await RawPeer.connect(host, 'liar');
    const bytes = recorded(raw);
    await raw.greet(home.id);
    raw.sendBytes(bytes.at(-1)!);
    expect(await raw.refusedWith()).toBe('bad-frame');
  });

  test('a handshake: message 3 is worth nothing to another message 2', async () => {
    const { id } = new RawPeer(host, 'liar');
    await host.peer.addDevice(id, { space: home, role: 'mirror' });
    // Recorded before the first byte goes out: RawPeer's own handshake.
    const first = new RawPeer(host, 'liar');
    const bytes = recorded(first);
    await first.shakeHands();
    expect(bytes.map(({ length }) => length)).toEqual([32, 160]);
    const failed = host.peer.counters.handshakesFailed;
    const { a, b } = transportPair();
    const connection = host.peer.accept(b);
    const closed = new Promise<void>((resolve) =>
      a.start({ onMessage: () => {}, onDrain: () => {}, onClose: () => resolve() }),
    );
    for (const each of bytes) a.send(each);
    await closed;
    expect(connection.established).toBe(false);
    expect(host.peer.counters.handshakesFailed).toBe(failed + 1);
  });
});

/** A member may write without end. What this device keeps of it has a limit, where a person has set one. */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { MemoryStore } from '../../client/memory-store.ts';
import { toHex } from '../../protocol/bytes.ts';
import { eventually, Network, pair, type Member } from '../support/network.ts';
import { WrappedStore } from '../support/stores.ts';

let network: Network;
let host: Member;
let hold: WrappedStore;
let runaway: Member;

beforeEach(async () => {
  network = new Network();
  hold = new WrappedStore(new MemoryStore());
  host = await network.add('host', { store: hold });
  runaway = await network.add('runaway');
  await pair(host, runaway);
});
afterEach(() => network.close());

/** Noise: no compression makes it small. */
const noise = Array.from({ length: 30 }, () => new Uint8Array(randomBytes(50_000)));

async function write(member: Member, from: number, count: number): Promise<void> {
  for (let i = from; i < from + count; i++) await member.peer.space().set(`big/${i}`, { bytes: noise[i]! }).stored;
}

const logBytes = (member: Member): number => member.peer.space().stats().blockBytes;
const isFull = (): boolean => host.peer.counters.refusals['quota-exceeded'] !== undefined;

test('past logBytesMax nothing more is taken: it is said, the line stays, and no cursor moves', async () => {
  host.peer.logBytesMax = 400_000;
  await write(runaway, 0, 20);
  await eventually(isFull, 'the host has enough');
  expect(host.peer.status().warnings.join()).toMatch(/`logBytesMax`: nothing more is taken from runaway/);
  // It goes on writing, and nothing more is taken for that.
  const opened = host.peer.counters.connectionsOpened;
  await write(runaway, 20, 5);
  expect(logBytes(host)).toBeLessThanOrEqual(400_000);
  expect(host.peer.connections()).toHaveLength(1);
  expect(host.peer.counters.connectionsOpened).toBe(opened);
  // What is written here still gets there.
  await host.peer.space().set('mine', { v: 1 }).reached({ peers: 1 });
  expect((await runaway.peer.space().get('mine'))?.value).toEqual({ v: 1 });
});

test('what several bring at once is added up', async () => {
  const others = [await network.add('second'), await network.add('third')];
  for (const other of others) await pair(host, other);
  const all = [runaway, ...others];
  for (const member of all) network.isolate(member);
  network.isolate(host);
  for (const member of all) await write(member, all.indexOf(member) * 8, 8);
  const disk = Promise.withResolvers<void>();
  const before = host.peer.counters.batchesIn;
  const wasWritten = hold.beforeWrite;
  hold.beforeWrite = async (ops) => {
    if (ops.some(({ table }) => table === 'blocks')) await disk.promise;
  };
  host.peer.logBytesMax = 600_000;
  network.reconnect(host);
  for (const { peer } of all) await peer.connect(host.url);
  await eventually(() => host.peer.counters.batchesIn >= before + 3, 'each has brought something');
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  disk.resolve();
  hold.beforeWrite = wasWritten;
  await eventually(isFull, 'the host has enough');
  await Promise.all(all.map(({ peer }) => host.peer.connectionTo(peer.device)!.caughtUp().catch(() => {}))); // prettier-ignore
  expect(logBytes(host)).toBeLessThanOrEqual(600_000);
});

test('who waits for all of it is told', async () => {
  host.peer.logBytesMax = 400_000;
  await write(runaway, 0, 20);
  await eventually(isFull, 'the host has enough');
  const caughtUp = host.peer.connectionTo(runaway.peer.device)!.caughtUp();
  await expect(caughtUp).rejects.toMatchObject({ code: 'quota-exceeded' });
});

test('once it is raised all that was left comes, and is the same everywhere', async () => {
  host.peer.logBytesMax = 400_000;
  await write(runaway, 0, 20);
  await eventually(isFull, 'the host has enough');
  host.peer.logBytesMax = 100_000_000;
  const digests = (): string[] => [host, runaway].map(({ peer }) => toHex(peer.space().digest()));
  await eventually(() => new Set(digests()).size === 1, 'the rest has come', 20_000);
  expect(host.peer.status().warnings.join()).not.toContain('logBytesMax');
  for (let i = 0; i < 20; i++) expect((await host.peer.space().get(`big/${i}`))?.value).toEqual({ bytes: noise[i]! });
  await write(runaway, 20, 1);
  await eventually(() => new Set(digests()).size === 1, 'and goes on coming', 20_000);
});

test('over a new line it is the same: no more is taken, and it goes on once there is room', async () => {
  host.peer.logBytesMax = 400_000;
  await write(runaway, 0, 20);
  await eventually(isFull, 'the host has enough');
  network.cut();
  await eventually(() => (host.peer.counters.refusals['quota-exceeded'] ?? 0) > 1, 'it was offered again', 20_000);
  expect(logBytes(host)).toBeLessThanOrEqual(400_000);
  host.peer.logBytesMax = 0;
  await eventually(() => host.peer.space().head === runaway.peer.space().head, 'the rest has come', 20_000);
});

test('our own writes are not refused: a runaway device can still be revoked', async () => {
  host.peer.logBytesMax = 400_000;
  await write(runaway, 0, 20);
  await eventually(isFull, 'the host has enough');
  await host.peer.revokeDevice(host.peer.space(), runaway.peer.id);
  expect(host.peer.space().isRevoked(runaway.peer.device)).toBe(true);
});

test('who joins a space that is larger than it may be is told so', async () => {
  await write(host, 0, 20);
  const small = await network.add('small');
  small.peer.logBytesMax = 100_000;
  const { link } = await host.peer.invite(host.peer.space(), { role: 'writer', addresses: [host.url] });
  const { synced } = await small.peer.join(link);
  await expect(synced).rejects.toMatchObject({ code: 'quota-exceeded', retry: true });
});

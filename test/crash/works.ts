/**
 * What a node does at length after a revocation or a fork, killed in the middle of it: a sweep, a rebuild of the state, a repair of the log. A story leads up
 * to it with real processes; then the node is killed at a point of it, started again, and looked at.
 */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { MemoryStore } from '../../client/memory-store.ts';
import { Peer } from '../../client/peer.ts';
import { nodePlatform } from '../../client/platform/node.ts';
import { toHex } from '../../protocol/bytes.ts';
import { freePort } from '../../server/demo/free-port.ts';
import { initDevice } from '../../server/device.ts';
import { openPeer } from '../../server/open-peer.ts';
import { collect, eventually } from '../support/network.ts';
import type { POINTS } from './points.ts';
import { Victim, type Kill } from './victim.ts';

const NEVER: Kill = { kind: 'random', afterAcks: Infinity, delayMs: 0 };
/** Commits of each branch, and of each device before. */
const WRITES = 12;

type Point = (typeof POINTS)[number];

/** A data folder that a node is to be started on, whom it meets, and what must be so when all is done. */
interface Story {
  readonly dataDir: string;
  readonly port: number;
  readonly friend: Peer;
  check(exported: string): Promise<void>;
  close(): Promise<void>;
}

async function newPeer(name: string): Promise<Peer> {
  const platform = nodePlatform();
  return Peer.open({
    store: new MemoryStore(),
    platform,
    keys: platform.crypto.ed25519KeyPair(platform.random(32)),
    name,
  });
}

async function started(dataDir: string, port: number, kill: Kill = NEVER): Promise<Victim> {
  const victim = new Victim(dataDir, port, kill);
  if (await victim.up) return victim;
  throw new Error(`it did not start: ${victim.stderr}`);
}

async function stop(victim: Victim): Promise<void> {
  victim.signal('SIGTERM');
  const ended = await victim.ended;
  if (ended !== 0) throw new Error(`a stop that was asked for ended with ${ended}: ${victim.stderr}`);
}

async function letIn(victim: Victim, peer: Peer, role: string): Promise<void> {
  const answer = await victim.request('POST', '/v1/pairing/invites', { role });
  const { link } = (await answer.json()) as { link: string };
  const { synced } = await peer.join(link);
  await synced;
}

/** Ids of what was written. */
async function write(victim: Victim, prefix: string): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < WRITES; i++) {
    const changes = [
      { subject: `${prefix}/${i}`, set: { by: prefix } },
      { subject: 'count', inc: { writes: 1 } },
    ];
    const answer = await victim.request('POST', '/v1/commits', { changes });
    ids.push(((await answer.json()) as { id: string }).id);
  }
  return ids;
}

const exportOf = async (peer: Peer): Promise<string> =>
  (await collect(peer.space().export())).map((line) => `${line}\n`).join('');

async function untilSame(victim: Victim, friend: Peer): Promise<string> {
  let theirs = '';
  const isSame = async (): Promise<boolean> => {
    friend.wake();
    return (theirs = await victim.export()) === (await exportOf(friend));
  };
  await eventually(isSame, 'the two have the same', 60_000);
  return theirs;
}

/** A folder was copied, and both wrote. The friend has the one branch, the node the other: `keeps` says whose counts. */
async function copied(keeps: 'own' | 'other'): Promise<Story> {
  const folder = await mkdtemp(join(tmpdir(), 'tidelog-crash-'));
  const [port, aside] = [await freePort(), await freePort()];
  const dirs = [join(folder, 'one'), join(folder, 'two')] as const;
  const friend = await newPeer('friend');
  await initDevice(dirs[0], 'victim');
  const first = await started(dirs[0], port);
  await write(first, 'before');
  await letIn(first, friend, 'owner');
  await untilSame(first, friend);
  await stop(first);
  await cp(dirs[0], dirs[1], { recursive: true });
  const branches: { dir: string; prefix: string; id: string }[] = [];
  for (const [i, dir] of dirs.entries()) {
    // Where nobody knows it, so that nobody hears of it.
    const victim = await started(dir, aside);
    const prefix = `branch-${i}`;
    const [id] = await write(victim, prefix);
    branches.push({ dir, prefix, id: id! });
    await stop(victim);
  }
  const [kept, dropped] = branches.toSorted((a, b) => (a.id < b.id ? -1 : 1)) as [
    (typeof branches)[0],
    (typeof branches)[0],
  ];
  const [own, other] = keeps === 'own' ? [kept, dropped] : [dropped, kept];
  const met = await started(other.dir, port);
  await untilSame(met, friend);
  await stop(met);
  return {
    dataDir: own.dir,
    port,
    friend,
    check: async (exported) => {
      if (!exported.includes(`"${kept.prefix}/0"`) || exported.includes(`"${dropped.prefix}/0"`))
        throw new Error(`it does not show ${kept.prefix} alone`);
      const opened = await openPeer(own.dir);
      try {
        const setAside = await collect(opened.peer.space().branches.setAside());
        const wanted = keeps === 'own' ? 0 : WRITES;
        if (setAside.length !== wanted)
          throw new Error(`${setAside.length} commits are set aside, and ${wanted} were dropped`);
      } finally {
        await opened.close();
      }
    },
    close: async () => {
      await friend.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A third device wrote to the node; the friend, who had not seen it, has revoked that device. */
async function revoked(): Promise<Story> {
  const folder = await mkdtemp(join(tmpdir(), 'tidelog-crash-'));
  const [port, aside] = [await freePort(), await freePort()];
  const dataDir = join(folder, 'data');
  const [friend, third] = [await newPeer('friend'), await newPeer('third')];
  await initDevice(dataDir, 'victim');
  const first = await started(dataDir, port);
  await write(first, 'before');
  await letIn(first, friend, 'owner');
  await letIn(first, third, 'writer');
  await third.space().set('third/before', { by: 'third' }).reached({ peers: 1 });
  await untilSame(first, friend);
  await stop(first);
  const met = await started(dataDir, aside);
  await third.connect(`http://127.0.0.1:${aside}`);
  for (let i = 0; i < WRITES; i++) await third.space().set(`third/${i}`, { by: 'third' }).reached({ peers: 1 });
  await stop(met);
  await friend.revokeDevice(friend.space(), third.id);
  return {
    dataDir,
    port,
    friend,
    check: async (exported) => {
      if (!exported.includes('"third/before"') || exported.includes('"third/0"'))
        throw new Error('it does not show what the third device wrote up to its revocation, and no more');
    },
    close: async () => {
      await Promise.all([friend.close(), third.close()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Every point of this work, as often as it is met; each write of it by its number. */
export const WORK_POINTS: readonly (readonly [point: Point, nth: number])[] = [
  ['sweep-begun', 1],
  ['sweep-made', 1],
  ...[1, 2, 3, 4].flatMap((nth) => [['rebuild-write', nth] as const, ['rebuild-written', nth] as const]),
  ...[1, 2, 3, 4].flatMap((nth) => [['repair-write', nth] as const, ['repair-written', nth] as const]),
  ...[1, 2, 5].flatMap((nth) => [['clearing-write', nth] as const, ['clearing-written', nth] as const]),
];

function storyOf(point: Point): Promise<Story> {
  if (point.startsWith('sweep-')) return revoked();
  return copied(point.startsWith('rebuild-') ? 'own' : 'other');
}

/** False where the point was not met: the work has fewer writes. Throws what is not as it should be. */
export async function killAtWork(point: Point, nth: number): Promise<boolean> {
  const story = await storyOf(point);
  const { dataDir, port, friend } = story;
  try {
    const victim = await started(dataDir, port, { kind: 'point', point, nth, us: 0 });
    const isSame = untilSame(victim, friend).then(
      () => false,
      () => true,
    );
    const isMet = (await Promise.race([victim.ended.then(() => true), isSame])) || victim.isGone;
    if (isMet && (await victim.ended) !== 'SIGKILL') throw new Error(`it ended by itself: ${victim.stderr}`);
    victim.signal('SIGKILL');
    await victim.ended;
    const again = await started(dataDir, port);
    const exported = await untilSame(again, friend);
    await stop(again);
    await story.check(exported);
    await audit(dataDir, exported, toHex(friend.space().digest()));
    return isMet;
  } finally {
    await story.close();
  }
}

async function audit(dataDir: string, exported: string, digest: string): Promise<void> {
  const opened = await openPeer(dataDir);
  try {
    const space = opened.peer.space();
    if (toHex(space.digest()) !== digest) throw new Error('they show the same, and have not the same commits');
    const { findings } = await space.audit();
    if (findings.length > 0) throw new Error(`an audit finds ${JSON.stringify(findings)}`);
    await space.rebuild();
    if ((await exportOf(opened.peer)) !== exported) throw new Error('the state is not what the log makes');
  } finally {
    await opened.close();
  }
}

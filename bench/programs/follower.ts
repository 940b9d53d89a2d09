/**
 * A peer that comes and goes when it is told to, and says when what another wrote is on its disk and visible to a reader.
 *
 *   fork('bench/programs/follower.ts', [FOLDER])
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nodePlatform, Peer } from '../../client/node.ts';
import { openLmdbStore } from '../../server/lmdb-store.ts';
import { answerCalls, sharedNowMs } from '../calls.ts';

const [folder] = process.argv.slice(2);
if (!folder) throw new Error('usage: follower.ts FOLDER');
await mkdir(folder, { recursive: true });
const platform = nodePlatform();
const store = await openLmdbStore(join(folder, 'store'));
const keys = platform.crypto.ed25519KeyPair(await readSeed(join(folder, 'seed')));

/** What is awaited: subjects `<prefix><i>`, one after the other. */
let awaited: {
  prefix: string;
  seenMs: number[];
  count: number;
  done: () => void;
  looking: boolean;
  again: boolean;
} | null = null;

const peer = await Peer.open({
  store,
  platform,
  keys,
  name: 'follower',
  onEvent: (event) => {
    // It comes when the commits are on this disk.
    if (event.type === 'appended') void look();
  },
});

/** The same key at the next start. */
async function readSeed(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch {
    const seed = platform.random(32);
    await writeFile(path, seed);
    return seed;
  }
}

async function look(): Promise<void> {
  const mine = awaited;
  if (!mine) return;
  mine.again = true;
  if (mine.looking) return;
  mine.looking = true;
  while (mine.again) {
    mine.again = false;
    while (mine.seenMs.length < mine.count && (await peer.space().get(`${mine.prefix}${mine.seenMs.length}`)))
      mine.seenMs.push(sharedNowMs());
  }
  mine.looking = false;
  if (mine.seenMs.length === mine.count) mine.done();
}

let seen: Promise<void> = Promise.resolve();

answerCalls(
  {
    /** Joins, and has all when it answers. ms. */
    async join(link: string): Promise<number> {
      const started = performance.now();
      const { synced } = await peer.join(link);
      await synced;
      return performance.now() - started;
    },
    /** Ends the connections, and opens no others. */
    leave(url: string): void {
      peer.undial(url);
      for (const connection of peer.connections()) connection.close();
    },
    /** From the call of connect until all that they have is on this disk, ms. */
    async comeBack({ url, head }: { url: string; head: number }): Promise<number> {
      const space = peer.space();
      const started = performance.now();
      const connection = await peer.connect(url);
      await connection.caughtUp({ space });
      const ms = performance.now() - started;
      if (space.head < head) throw new Error(`caught up with ${space.head} of ${head} commits`);
      return ms;
    },
    await({ prefix, count }: { prefix: string; count: number }): void {
      const { promise, resolve } = Promise.withResolvers<void>();
      seen = promise;
      awaited = { prefix, count, seenMs: [], done: resolve, looking: false, again: false };
    },
    /** When each of the awaited was there. */
    async seen(): Promise<number[]> {
      await seen;
      return awaited!.seenMs;
    },
    /** µs for each read of a resource, by subjects in no order. */
    async pointReads(subjects: readonly string[]): Promise<number> {
      const space = peer.space();
      const started = performance.now();
      for (const subject of subjects) {
        if ((await space.get(subject)) === null) throw new Error(`${subject} is not there`);
      }
      return ((performance.now() - started) * 1000) / subjects.length;
    },
  },
  async () => {
    await peer.close();
    await store.close();
  },
);

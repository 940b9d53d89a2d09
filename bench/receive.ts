/**
 * A receiver in a process of its own: joins by a link into an empty LMDB store and says, when all is on its disk, what it took.
 *
 *   node bench/receive.ts LINK FOLDER
 */
import { mkdir } from 'node:fs/promises';
import { open } from '../client/node.ts';
import { openLmdbStore } from '../server/lmdb-store.ts';
import { folderBytes, peakMemoryOf } from './support.ts';

export interface Received {
  readonly seconds: number;
  readonly commits: number;
  readonly subjects: number;
  readonly wireBytes: number;
  readonly logBytes: number;
  readonly diskBytes: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number | null;
}

const [link, folder] = process.argv.slice(2);
if (!link || !folder) throw new Error('usage: receive.ts LINK FOLDER');
await mkdir(folder, { recursive: true });
const db = await open({ store: await openLmdbStore(folder), name: 'receiver' });
const cpuBefore = process.cpuUsage();
const started = performance.now();
const { synced, space } = await db.peer.join(link);
await synced;
const seconds = (performance.now() - started) / 1000;
const { user, system } = process.cpuUsage(cpuBefore);
const { commits, subjects, blockBytes } = space.stats();
const wireBytes = db.peer.counters.bytesIn;
await db.close();
const received: Received = {
  seconds,
  commits,
  subjects,
  wireBytes,
  logBytes: blockBytes,
  diskBytes: await folderBytes(folder),
  cpuSeconds: (user + system) / 1_000_000,
  peakBytes: await peakMemoryOf(process.pid),
};
process.stdout.write(`${JSON.stringify(received)}\n`);
process.exit(0);

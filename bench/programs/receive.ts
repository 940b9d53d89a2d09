/**
 * A receiver in a process of its own: joins by a link into an empty LMDB store and says, when all is on its disk, what it took.
 *
 *   node bench/programs/receive.ts LINK FOLDER
 */
import { mkdir } from 'node:fs/promises';
import { open } from '../../client/node.ts';
import { openLmdbStore } from '../../server/lmdb-store.ts';
import { sharedNowMs } from '../calls.ts';
import { memoryOf } from '../proc.ts';
import { folderBytes } from '../support.ts';

export interface Received {
  readonly seconds: number;
  /** When it began, by the machine's shared clock. */
  readonly beganMs: number;
  readonly entries: number;
  readonly subjects: number;
  /** At the WebSocket: Noise's bytes with it, TCP's and WebSocket's own not. */
  readonly bytesIn: number;
  readonly logBytes: number;
  readonly storeBytes: number;
  readonly cpuSeconds: number;
  /** At the end; with the pages of the store's file. */
  readonly residentBytes: number;
}

const [link, folder] = process.argv.slice(2);
if (!link || !folder) throw new Error('usage: receive.ts LINK FOLDER');
await mkdir(folder, { recursive: true });
const db = await open({ store: await openLmdbStore(folder), name: 'receiver' });
const cpuBefore = process.cpuUsage();
const beganMs = sharedNowMs();
const { synced, space } = await db.peer.join(link);
await synced;
const seconds = (sharedNowMs() - beganMs) / 1000;
const { user, system } = process.cpuUsage(cpuBefore);
const { head, subjects, blockBytes } = space.stats();
const { bytesIn } = db.peer.counters;
const { residentBytes } = memoryOf(process.pid);
await db.close();
const received: Received = {
  seconds,
  beganMs,
  entries: head,
  subjects,
  bytesIn,
  logBytes: blockBytes,
  storeBytes: await folderBytes(folder),
  cpuSeconds: (user + system) / 1_000_000,
  residentBytes,
};
process.stdout.write(`${JSON.stringify(received)}\n`);
process.exit(0);

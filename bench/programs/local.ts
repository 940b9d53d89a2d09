/**
 * Local writes through the library into LMDB, each awaited to be on the disk.
 *
 *   node bench/programs/local.ts FOLDER COUNT AT_ONCE [WARM_UP]
 *
 * WARM_UP writes, one at a time, aren't counted.
 */
import { mkdir } from 'node:fs/promises';
import { open } from '../../client/node.ts';
import { openLmdbStore } from '../../server/lmdb-store.ts';
import { sharedNowMs } from '../calls.ts';
import { makeCommits } from '../support.ts';

export interface Local {
  readonly seconds: number;
  /** When it began, by the machine's shared clock. */
  readonly beganMs: number;
  readonly cpuSeconds: number;
}

const [folder, count, atOnce, warmUp = '0'] = process.argv.slice(2);
if (!folder || !count || !atOnce) throw new Error('usage: local.ts FOLDER COUNT AT_ONCE [WARM_UP]');
await mkdir(folder, { recursive: true });
const db = await open({ store: await openLmdbStore(folder), name: 'local' });
await db.set('first', { made: true }).stored;
const commits = [...makeCommits(Number(warmUp) + Number(count), 1)];
let next = 0;
while (next < Number(warmUp)) await db.space.commit(commits[next++]!).stored;
const writer = async (): Promise<void> => {
  while (next < commits.length) await db.space.commit(commits[next++]!).stored;
};
const cpuBefore = process.cpuUsage();
const beganMs = sharedNowMs();
await Promise.all(Array.from({ length: Number(atOnce) }, writer));
const { user, system } = process.cpuUsage(cpuBefore);
const local: Local = {
  seconds: (sharedNowMs() - beganMs) / 1000,
  beganMs,
  cpuSeconds: (user + system) / 1_000_000,
};
await db.close();
process.stdout.write(`${JSON.stringify(local)}\n`);
process.exit(0);

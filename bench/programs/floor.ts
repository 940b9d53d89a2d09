/**
 * The floor: plain lmdb, as it comes, putting the same resources as single values in transactions of 1,000, awaited to be on the disk.
 * The values are made before the clock starts.
 *
 *   node bench/programs/floor.ts FOLDER COMMITS PER_COMMIT
 */
import { open } from 'lmdb';
import { makeCommits } from '../support.ts';

export interface Floor {
  readonly seconds: number;
  readonly records: number;
}

const TRANSACTION_RECORDS = 1000;

const [folder, commits, perCommit] = process.argv.slice(2);
if (!folder || !commits || !perCommit) throw new Error('usage: floor.ts FOLDER COMMITS PER_COMMIT');
const values: Buffer[] = [];
for (const changes of makeCommits(Number(commits), Number(perCommit)))
  for (const { subject, ops } of changes) values.push(Buffer.from(JSON.stringify({ subject, ...ops.set })));
const db = open({ path: folder, encoding: 'binary', keyEncoding: 'uint32' });
const started = performance.now();
for (let from = 0; from < values.length; from += TRANSACTION_RECORDS) {
  const to = Math.min(values.length, from + TRANSACTION_RECORDS);
  await db.transaction(() => {
    for (let i = from; i < to; i++) db.put(i, values[i]!);
  });
}
await db.flushed;
const seconds = (performance.now() - started) / 1000;
await db.close();
const floor: Floor = { seconds, records: values.length };
process.stdout.write(`${JSON.stringify(floor)}\n`);
process.exit(0);

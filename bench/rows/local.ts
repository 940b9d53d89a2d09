/** Local writes, durable: one at a time, and 64 at a time. Beside them the machine's own rate of fdatasync, and plain lmdb, in the same folder. */
import { mkdir, open as openFile } from 'node:fs/promises';
import { join } from 'node:path';
import { open as openLmdb } from 'lmdb';
import { open } from '../../client/node.ts';
import { openLmdbStore } from '../../server/lmdb-store.ts';
import { makeCommits, withFolder, type Figure } from '../support.ts';

async function fsyncRate(folder: string, times: number): Promise<number> {
  const file = await openFile(join(folder, 'fsync'), 'w');
  const page = new Uint8Array(4096);
  const started = performance.now();
  for (let i = 0; i < times; i++) {
    await file.write(page, 0, page.length, (i % 64) * page.length);
    await file.datasync();
  }
  const rate = times / ((performance.now() - started) / 1000);
  await file.close();
  return rate;
}

/** Single values in transactions of 1,000. */
async function lmdbRate(folder: string, records: number): Promise<number> {
  const db = openLmdb({ path: join(folder, 'floor'), encoding: 'binary', keyEncoding: 'uint32' });
  const values = [...makeCommits(records, 1)].map((changes) => Buffer.from(JSON.stringify(changes)));
  const started = performance.now();
  for (let i = 0; i < records; i += 1000) {
    await db.transaction(() => {
      for (let k = i; k < Math.min(records, i + 1000); k++) db.put(k, values[k]!);
    });
  }
  await db.flushed;
  const rate = records / ((performance.now() - started) / 1000);
  await db.close();
  return rate;
}

export async function local(writes: number): Promise<Figure[]> {
  return withFolder(async (folder) => {
    const fsyncs = await fsyncRate(folder, Math.min(writes, 2000));
    const floor = await lmdbRate(folder, writes * 20);
    const store = join(folder, 'store');
    await mkdir(store);
    const db = await open({ store: await openLmdbStore(store), name: 'local' });
    await db.set('note/first', { made: true }).stored;
    const rateOf = async (count: number, atOnce: number): Promise<number> => {
      const started = performance.now();
      let next = 0;
      const writer = async (): Promise<void> => {
        while (next < count) await db.set(`note/${next++}`, { title: 'a note', done: false, n: next }).stored;
      };
      await Promise.all(Array.from({ length: atOnce }, writer));
      return count / ((performance.now() - started) / 1000);
    };
    const figures: Figure[] = [
      { what: 'fdatasync of this machine', value: fsyncs, unit: '/s' },
      { what: 'plain lmdb, transactions of 1,000', value: floor, unit: 'records/s' },
      { what: 'local writes, one at a time', value: await rateOf(writes, 1), unit: 'commits/s' },
      { what: 'local writes, 64 at a time', value: await rateOf(writes * 10, 64), unit: 'commits/s' },
    ];
    await db.close();
    return figures;
  });
}

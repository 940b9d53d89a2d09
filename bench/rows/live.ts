/** A write on one device until it is on another device's disk, and this one knows: there and back, with fsync on both. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { open } from '../../client/node.ts';
import { openLmdbStore } from '../../server/lmdb-store.ts';
import { quantile, startNode, tidelog, withFolder, type Figure } from '../support.ts';

export async function live(writes: number): Promise<Figure[]> {
  return withFolder(async (folder) => {
    const remote = join(folder, 'remote');
    await tidelog('--data', remote, 'init', '--name', 'remote');
    await tidelog('--data', remote, 'set', 'note/0', 'ready=true');
    const node = await startNode(remote);
    try {
      const local = join(folder, 'local');
      await mkdir(local);
      const db = await open({ store: await openLmdbStore(local), name: 'local' });
      const invite = JSON.parse(await tidelog('--data', remote, '--json', 'pair', 'invite', '--no-wait')) as {
        link: string;
      };
      await (
        await db.peer.join(invite.link)
      ).synced;
      await db.set('note/0', { ready: 1 }).reached({ peers: 1 });
      const stored: number[] = [];
      const reached: number[] = [];
      for (let i = 0; i < writes; i++) {
        const started = performance.now();
        const write = db.set(`live/${i}`, { i });
        await write.stored;
        stored.push(performance.now() - started);
        await write.reached({ peers: 1 });
        reached.push(performance.now() - started);
      }
      await db.close();
      return [
        { what: 'live: on my disk', value: quantile(stored, 0.5), unit: 'ms p50' },
        { what: 'live: on the other disk and known here', value: quantile(reached, 0.5), unit: 'ms p50' },
        { what: 'live: on the other disk and known here', value: quantile(reached, 0.99), unit: 'ms p99' },
      ];
    } finally {
      await node.stop();
    }
  });
}

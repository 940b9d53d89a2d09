/**
 * A node that writes when it is told to, in the same process, so that no HTTP is between the write and the clock.
 *
 *   fork('bench/programs/writer.ts', [DATA_DIR])
 */
import { silentLog, startNode } from '../../server/index.ts';
import { answerCalls, sharedNowMs } from '../calls.ts';

const [dataDir] = process.argv.slice(2);
if (!dataDir) throw new Error('usage: writer.ts DATA_DIR');
const node = await startNode({ dataDir, log: silentLog(), port: 0 });

/** When each write began, and when it was on this disk. */
export interface Written {
  readonly beganMs: number[];
  readonly storedMs: number[];
}

interface WriteJob {
  readonly prefix: string;
  readonly count: number;
  readonly atOnce: number;
  /** Wait until another device has each on its disk. */
  readonly reach: boolean;
}

answerCalls(
  {
    url: () => node.url,
    invite: async (role: 'writer' | 'mirror') =>
      (await node.peer.invite(node.peer.space(), { role, addresses: [node.url] })).link,
    head: () => node.peer.space().head,
    async write({ prefix, count, atOnce, reach }: WriteJob): Promise<Written> {
      const space = node.peer.space();
      const written: Written = { beganMs: [], storedMs: [] };
      let next = 0;
      const writer = async (): Promise<void> => {
        while (next < count) {
          const i = next++;
          const began = sharedNowMs();
          const write = space.set(`${prefix}${i}`, { title: 'a note', done: false, i });
          await write.stored;
          written.beganMs[i] = began;
          written.storedMs[i] = sharedNowMs();
          if (reach) await write.reached({ peers: 1 });
        }
      };
      await Promise.all(Array.from({ length: atOnce }, writer));
      return written;
    },
  },
  () => node.stop(),
);

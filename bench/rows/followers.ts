/** Many followers that are connected and wait: what each costs the node, and how long one commit takes to reach all of them. They are light (see light.ts). */
import { setTimeout as sleep } from 'node:timers/promises';
import { Program, sharedNowMs } from '../calls.ts';
import type { Row } from '../lab.ts';
import { newKeys } from '../light.ts';
import { BenchNode } from '../node.ts';
import { memoryOf } from '../proc.ts';
import { median, tidelog } from '../support.ts';

const COMMITS = 7;
/** What the handshakes left is collected by then. */
const SETTLE_MS = 2000;

export const followersRow: Row = {
  name: 'followers',
  async run(lab) {
    const { followers } = lab.sizes;
    const dataDir = lab.path('followed');
    await tidelog('--data', dataDir, 'init', '--name', 'followed');
    await tidelog('--data', dataDir, 'set', 'note/0', 'ready=true');
    // All of them come from one address here.
    const config = { connectionsMax: followers + 10, connectionsPerAddressMax: followers + 10 };
    await BenchNode.configure(dataDir, config);
    const keys = Array.from({ length: followers }, newKeys);
    const before = await BenchNode.start(dataDir);
    await before.addDevices(keys);
    // What making them members left in its memory would hide what their connections take.
    await before.stop();
    const node = await BenchNode.start(dataDir);
    const crowd = new Program('crowd');
    try {
      const { id: space, head, epoch } = await node.space();
      const follow = (some: typeof keys): Promise<number> =>
        crowd.call('follow', {
          url: node.url,
          space,
          seeds: some.map(({ secret }) => secret),
          from: { kind: 'cursor', epoch, seq: head },
        });
      await follow(keys.slice(0, 1));
      await node.write(['warm/0'], { warm: true });
      await sleep(SETTLE_MS);
      const withOne = memoryOf(node.pid).ownBytes;
      const connectMs = await follow(keys.slice(1));
      await sleep(SETTLE_MS);
      const withAll = memoryOf(node.pid).ownBytes;
      const reachedMs: number[] = [];
      for (let i = 0; i < COMMITS; i++) {
        const last = (await node.space()).head;
        const reached = crowd.call<number>('reached', last + 1);
        const began = sharedNowMs();
        await node.write([`fan/${i}`], { title: 'to all', i });
        reachedMs.push((await reached) - began);
      }
      return [
        {
          what: `a follower more, of ${followers.toLocaleString('en')}`,
          value: (withAll - withOne) / 1024 / (followers - 1),
          unit: 'KB',
          better: 'less',
          target: 15,
          note: `from ${(withOne / 1e6).toFixed(0)} to ${(withAll / 1e6).toFixed(0)} MB; connected in ${(connectMs / 1000).toFixed(1)} s`,
        },
        {
          what: `one commit to ${followers.toLocaleString('en')} followers`,
          value: median(reachedMs),
          unit: 'ms',
          better: 'less',
          target: 300,
          note: `written over HTTP; until the last has decrypted it; the first ${reachedMs[0]!.toFixed(0)} ms`,
        },
      ];
    } finally {
      await crowd.stop();
      await node.stop();
    }
  },
};

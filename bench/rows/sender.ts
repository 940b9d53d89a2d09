/**
 * What a cold peer costs the sender. The receivers throw away what they get (see light.ts), so that the sender is never waited for; the first of them isn't
 * counted, because it finds code that has never run.
 */
import { LightPeer, newKeys } from '../light.ts';
import type { Row } from '../lab.ts';
import { BenchNode } from '../node.ts';
import { cpuSecondsOf } from '../proc.ts';
import { median } from '../support.ts';

const RECEIVERS = 4;

export const senderRow: Row = {
  name: 'sender',
  async run(lab) {
    const commits = lab.sizes.commits.at(-1)!;
    const { dataDir } = await lab.sender({ commits, perCommit: 1 });
    const node = await BenchNode.start(dataDir);
    try {
      const keys = Array.from({ length: RECEIVERS }, newKeys);
      await node.addDevices(keys);
      const space = await node.space();
      const spent: number[] = [];
      for (const each of keys) {
        const before = cpuSecondsOf(node.pid);
        const peer = await LightPeer.follow(node.url, each, space.id);
        await peer.caughtUp();
        peer.close();
        spent.push(cpuSecondsOf(node.pid) - before);
      }
      const perCommit = spent.map((seconds) => (seconds * 1e6) / commits);
      return [
        { what: 'sender: CPU for the first cold peer', value: perCommit[0]!, unit: 'µs/commit' },
        {
          what: 'sender: CPU for a cold peer after the first',
          value: median(perCommit.slice(1)),
          unit: 'µs/commit',
          better: 'less',
          target: 1,
          note: `${commits.toLocaleString('en')} commits, all threads, handshake included`,
        },
      ];
    } finally {
      await node.stop();
    }
  },
};

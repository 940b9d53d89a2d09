/**
 * What a cold peer costs the sender: one that takes all it gets at once (see light.ts), and a full node on the same two cores, for which it waits all the
 * time. The first isn't counted, because it finds code that has never run.
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
    const work = { commits, perCommit: 1 };
    const { dataDir } = await lab.sender(work);
    const perCommit = (await toLightPeers(dataDir)).map((seconds) => (seconds * 1e6) / commits);
    const { senderCpuSeconds } = await lab.coldSync(work);
    const later = senderCpuSeconds.length > 1 ? senderCpuSeconds.slice(1) : senderCpuSeconds;
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
      {
        what: 'sender: CPU for a full node after the first',
        value: (median(later) * 1e6) / commits,
        unit: 'µs/commit',
        better: 'less',
        target: 1,
        note: 'the same, with pairing; both on these two cores, so that it waits and is woken for each batch',
      },
    ];
  },
};

/** CPU seconds for each. */
async function toLightPeers(dataDir: string): Promise<number[]> {
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
    return spent;
  } finally {
    await node.stop();
  }
}

/** A write on one device until it is on another's disk and a reader there sees it, one way, with fsync on both. */
import { Program } from '../calls.ts';
import type { Lab, Row } from '../lab.ts';
import { quantile, tidelog } from '../support.ts';
import { settled, Together } from '../together.ts';

export const liveRow: Row = {
  name: 'live',
  async run(lab) {
    const dataDir = lab.path('live');
    await tidelog('--data', dataDir, 'init', '--name', 'writer');
    await tidelog('--data', dataDir, 'set', 'note/0', 'ready=true');
    const before = await bareMs(lab);
    const both = await Together.start(lab, dataDir);
    try {
      const { oneWay, stored } = await both.live(lab.sizes.liveWrites);
      const times = settled(oneWay);
      // Before and after: a shared machine is faster at one moment than at another.
      const bare = [...before, ...(await bareMs(lab))];
      const floor = (q: number) => ({
        what: 'sign, fsync, TCP, verify, fsync, and nothing else',
        value: quantile(bare, q),
      });
      return [
        { what: 'live: to the own disk', value: quantile(settled(stored), 0.5), unit: 'ms p50' },
        {
          what: "live: to the other's disk and a reader there",
          value: quantile(times, 0.5),
          unit: 'ms p50',
          better: 'less',
          target: 1,
          floor: floor(0.5),
        },
        {
          what: "live: to the other's disk and a reader there",
          value: quantile(times, 0.99),
          unit: 'ms p99',
          better: 'less',
          target: 3,
          floor: floor(0.99),
        },
      ];
    } finally {
      await both.stop();
    }
  },
};

/** One way, as `programs/bare.ts` does it; ms of each write. */
async function bareMs(lab: Lab): Promise<number[]> {
  const count = lab.sizes.liveWrites;
  const writer = new Program('bare', [lab.path('bare')]);
  const follower = new Program('bare', [lab.path('bare')]);
  try {
    const port = await follower.call<number>('listen');
    const beganMs = await writer.call<number[]>('write', { port, count });
    const seenMs = await follower.call<number[]>('seen');
    return settled(seenMs.map((ms, i) => ms - beganMs[i]!));
  } finally {
    await writer.stop();
    await follower.stop();
  }
}

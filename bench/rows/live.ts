/** A write on one device until it is on another's disk and a reader there sees it, one way, with fsync on both. */
import { Program } from '../calls.ts';
import type { Lab, Row } from '../lab.ts';
import { quantile, tidelog } from '../support.ts';
import { Together } from '../together.ts';

export const liveRow: Row = {
  name: 'live',
  async run(lab) {
    const dataDir = lab.path('live');
    await tidelog('--data', dataDir, 'init', '--name', 'writer');
    await tidelog('--data', dataDir, 'set', 'note/0', 'ready=true');
    const { liveWrites, warmUp } = lab.sizes;
    const before = await bareMs(lab);
    const both = await Together.start(lab, dataDir);
    try {
      const first = (await both.live(warmUp)).oneWay;
      const { oneWay, stored } = await both.live(liveWrites);
      // Before and after: a shared machine is faster at one moment than at another.
      const bare = [...before, ...(await bareMs(lab))];
      const newlyStarted = `live: the same, the first ${warmUp.toLocaleString('en')} writes of two new processes`;
      const floor = (q: number) => ({
        what: 'sign, fsync, TCP, verify, fsync, and nothing else',
        value: quantile(bare, q),
      });
      return [
        { what: 'live: to the own disk', value: quantile(stored, 0.5), unit: 'ms p50' },
        {
          what: "live: to the other's disk and a reader there",
          value: quantile(oneWay, 0.5),
          unit: 'ms p50',
          better: 'less',
          target: 1,
          floor: floor(0.5),
        },
        {
          what: "live: to the other's disk and a reader there",
          value: quantile(oneWay, 0.99),
          unit: 'ms p99',
          better: 'less',
          target: 3,
          floor: floor(0.99),
        },
        { what: newlyStarted, value: quantile(first, 0.5), unit: 'ms p50' },
        { what: newlyStarted, value: quantile(first, 0.99), unit: 'ms p99' },
      ];
    } finally {
      await both.stop();
    }
  },
};

/** One way, as `programs/bare.ts` does it; ms of each write after as many that aren't counted. */
async function bareMs(lab: Lab): Promise<number[]> {
  const { liveWrites, warmUp } = lab.sizes;
  const count = warmUp + liveWrites;
  const writer = new Program('bare', [lab.path('bare')]);
  const follower = new Program('bare', [lab.path('bare')]);
  try {
    const port = await follower.call<number>('listen');
    const beganMs = await writer.call<number[]>('write', { port, count });
    const seenMs = await follower.call<number[]>('seen');
    return seenMs.map((ms, i) => ms - beganMs[i]!).slice(warmUp);
  } finally {
    await writer.stop();
    await follower.stop();
  }
}

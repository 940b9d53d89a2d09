/** A write on one device until it is on another's disk and a reader there sees it, one way, with fsync on both. */
import type { Row } from '../lab.ts';
import { quantile, tidelog } from '../support.ts';
import { settled, Together } from '../together.ts';
import { fsyncRates } from '../disk.ts';

export const liveRow: Row = {
  name: 'live',
  async run(lab) {
    const dataDir = lab.path('live');
    await tidelog('--data', dataDir, 'init', '--name', 'writer');
    await tidelog('--data', dataDir, 'set', 'note/0', 'ready=true');
    const { appendMs } = await fsyncRates(lab.folder, lab.sizes.liveWrites);
    const both = await Together.start(lab, dataDir);
    try {
      const { oneWay, stored } = await both.live(lab.sizes.liveWrites);
      const times = settled(oneWay);
      // One flush on each disk, one after the other, is the least that it can take.
      const floor = (q: number) => ({ what: 'two appends with fsync', value: 2 * quantile(appendMs, q) });
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

/** Cold sync of an empty mirror: it keeps the log and serves it, and makes no state. */
import type { Row } from '../lab.ts';
import { median } from '../support.ts';

export const mirrorRow: Row = {
  name: 'mirror',
  async run(lab) {
    const figures = [];
    for (const commits of lab.sizes.commits) {
      const { received, recordsPerSecond } = await lab.coldSync({ commits, perCommit: 1 }, 'mirror');
      figures.push({
        what: `cold sync to a mirror, ${commits.toLocaleString('en')}`,
        value: median(received.map(({ seconds }) => commits / seconds)),
        unit: 'commits/s',
        better: 'more' as const,
        target: 400_000,
        floor: { what: 'plain lmdb, same run', value: recordsPerSecond },
        ratioTarget: 0.5,
      });
    }
    return figures;
  },
};

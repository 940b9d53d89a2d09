/** Cold sync of an empty full node: log and state. */
import type { Row } from '../lab.ts';
import type { Figure } from '../report.ts';
import { median } from '../support.ts';

export const coldSyncRow: Row = {
  name: 'cold-sync',
  async run(lab) {
    const figures: Figure[] = [];
    for (const commits of lab.sizes.commits) {
      const label = commits.toLocaleString('en');
      const { received, recordsPerSecond } = await lab.coldSync({ commits, perCommit: 1 });
      figures.push(
        {
          what: `cold sync to a full node, ${label}`,
          value: median(received.map(({ seconds }) => commits / seconds)),
          unit: 'commits/s',
          better: 'more',
          target: 150_000,
          floor: { what: 'plain lmdb, same run', value: recordsPerSecond },
          ratioTarget: 0.2,
        },
        {
          what: `receiver's CPU, ${label}`,
          value: median(received.map(({ cpuSeconds }) => (cpuSeconds * 1e6) / commits)),
          unit: 'µs/commit',
          note: 'all its threads',
        },
        {
          what: `receiver's memory at the end, ${label}`,
          value: median(received.map(({ residentBytes }) => residentBytes / 1e6)),
          unit: 'MB',
          note: "pages of the store's file included",
        },
      );
    }
    return figures;
  },
};

/** Bytes on the wire, counted at the socket, and at the receiver's disk. */
import type { Work } from '../cold-sync.ts';
import type { Lab, Row } from '../lab.ts';
import type { Figure } from '../report.ts';
import { median } from '../support.ts';
import { PER_COMMIT } from './packed.ts';

export const wireRow: Row = {
  name: 'wire',
  async run(lab) {
    return eachWork(lab, async (work, label) => {
      const { wireBytes } = await lab.coldSync(work);
      return [
        {
          what: `wire, ${label}`,
          value: wireBytes / (work.commits * work.perCommit),
          unit: work.perCommit === 1 ? 'bytes/commit' : 'bytes/resource',
          better: 'less',
          target: work.perCommit === 1 ? 110 : 40,
          note: 'both directions at the TCP socket, pairing and handshake too',
        },
      ];
    });
  },
};

export const diskRow: Row = {
  name: 'disk',
  async run(lab) {
    return eachWork(lab, async (work, label) => {
      const { wireBytes, logBytes, received } = await lab.coldSync(work);
      const unit = work.perCommit === 1 ? 'bytes/commit' : 'bytes/resource';
      const resources = work.commits * work.perCommit;
      return [
        {
          what: `log at the receiver ÷ wire, ${label}`,
          value: logBytes / wireBytes,
          unit: '×',
          better: 'less',
          target: 1.1,
        },
        { what: `log at the receiver, ${label}`, value: logBytes / resources, unit },
        {
          what: `whole store at the receiver, ${label}`,
          value: median(received.map(({ storeBytes }) => storeBytes / resources)),
          unit,
          note: "log, state, indexes, LMDB's free pages",
        },
      ];
    });
  },
};

async function eachWork(lab: Lab, figuresOf: (work: Work, label: string) => Promise<Figure[]>): Promise<Figure[]> {
  const { commits, packed } = lab.sizes;
  const works = [
    ...commits.map((each) => ({ commits: each, perCommit: 1 })),
    { commits: packed, perCommit: PER_COMMIT },
  ];
  const figures: Figure[] = [];
  for (const work of works)
    figures.push(...(await figuresOf(work, `${work.commits.toLocaleString('en')} × ${work.perCommit}`)));
  return figures;
}

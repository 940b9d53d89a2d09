/**
 * The sender's memory while ten peers sync from the beginning at the same time, with few commits and with many. The ten throw away what they get
 * (see light.ts), all in one process: ten that store would not fit on two cores, and would take the data more slowly.
 */
import { Program } from '../calls.ts';
import type { Lab, Row } from '../lab.ts';
import { newKeys } from '../light.ts';
import { BenchNode } from '../node.ts';
import { MemoryWatch, memoryOf, type Memory } from '../proc.ts';

const PEERS = 10;

export const memoryRow: Row = {
  name: 'memory',
  async run(lab) {
    const [few, many] = lab.sizes.memory;
    const atFew = await peakWith(lab, few);
    const atMany = await peakWith(lab, many);
    const what = (commits: number): string =>
      `sender's memory, ${PEERS} cold peers, ${commits.toLocaleString('en')} commits`;
    return [
      { what: what(few), value: atFew.peak.ownBytes / 1e6, unit: 'MB peak', note: noteOf(atFew) },
      {
        what: what(many),
        value: atMany.peak.ownBytes / 1e6,
        unit: 'MB peak',
        better: 'less',
        target: 250,
        note: noteOf(atMany),
      },
      {
        what: `sender's memory, many ÷ few commits`,
        value: atMany.peak.ownBytes / atFew.peak.ownBytes,
        unit: '×',
        better: 'less',
        // Equal, but for the noise of two runs.
        target: 1.1,
      },
    ];
  },
};

interface Peak {
  readonly before: Memory;
  readonly peak: Memory;
  readonly commitsPerSecond: number;
}

async function peakWith(lab: Lab, commits: number): Promise<Peak> {
  const { dataDir } = await lab.sender({ commits, perCommit: 1 });
  const node = await BenchNode.start(dataDir);
  const crowd = new Program('crowd');
  try {
    const keys = Array.from({ length: PEERS }, newKeys);
    await node.addDevices(keys);
    const { id: space } = await node.space();
    const before = memoryOf(node.pid);
    const watch = new MemoryWatch(node.pid);
    const seeds = keys.map(({ secret }) => secret);
    const ms = await crowd.call<number>('follow', { url: node.url, space, seeds, from: { kind: 'all' } });
    return { before, peak: watch.stop(), commitsPerSecond: (PEERS * commits * 1000) / ms };
  } finally {
    await crowd.stop();
    await node.stop();
  }
}

function noteOf({ before, peak, commitsPerSecond }: Peak): string {
  const mb = (bytes: number): string => (bytes / 1e6).toFixed(0);
  const mapped = peak.residentBytes - peak.ownBytes;
  return `${mb(before.ownBytes)} before; ${mb(mapped)} more of mapped files; ${Math.round(commitsPerSecond).toLocaleString('en')} commits/s to all together`;
}

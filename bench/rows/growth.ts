/** What a commit costs in a large log against a small one. Each log is measured once: to build the large one takes minutes. */
import { comparisons, measureAtSize, type AtSize } from '../at-size.ts';
import type { Lab, Row } from '../lab.ts';

const MOST = 1.3;

export const growthRow: Row = {
  name: 'growth',
  async run(lab) {
    if (lab.sizes.growth === null) return [];
    const [small, large] = lab.sizes.growth;
    const atSmall = await measure(lab, small);
    const atLarge = await measure(lab, large);
    return comparisons(`${large.toLocaleString('en')} ÷ ${small.toLocaleString('en')} commits`, MOST, atLarge, atSmall);
  },
};

async function measure(lab: Lab, commits: number): Promise<AtSize> {
  const { dataDir } = await lab.buildSender({ commits, perCommit: 1 });
  return measureAtSize(lab, dataDir, commits);
}

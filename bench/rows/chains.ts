/**
 * A space of many devices, each with a chain of its own, against the same commits in one chain. The devices take turns, each with a run of commits, as
 * devices that are used one after the other do. Where every commit is by another device than the one before, a batch holds no run that one
 * signature vouches for, and each commit costs a verification; that is measured beside it, without a target.
 */
import { randomBytes } from 'node:crypto';
import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { toHex } from '../../protocol/bytes.ts';
import { formatDeviceId } from '../../protocol/device-id.ts';
import type { StatusJson } from '../../server/http/status.ts';
import { comparisons, measureAtSize, type AtSize } from '../at-size.ts';
import type { Lab, Row } from '../lab.ts';
import { BenchNode } from '../node.ts';
import type { FeedJob } from '../programs/feed.ts';
import { runProgram, tidelog } from '../support.ts';

const MOST = 2;
const RUN = 50;

export const chainsRow: Row = {
  name: 'chains',
  async run(lab) {
    const { chains, chainCommits, byTurns } = lab.sizes;
    const measure = async (count: number, run: number): Promise<AtSize> =>
      measureAtSize(lab, await feed(lab, count, run), chainCommits);
    const one = await measure(1, RUN);
    const label = `${chains.toLocaleString('en')} chains ÷ 1`;
    const figures = comparisons(`${label}, in runs of ${RUN}`, MOST, await measure(chains, RUN), one);
    if (!byTurns) return figures;
    const mixed = comparisons(`${label}, by turns of 1`, MOST, await measure(chains, 1), one);
    return [...figures, ...mixed.map(({ target: _, better: __, ...figure }) => figure)];
  },
};

/** A node's folder with such a space in it. */
async function feed(lab: Lab, chains: number, run: number): Promise<string> {
  const dataDir = lab.path('chains');
  await tidelog('--data', dataDir, 'init', '--name', 'sender');
  const node = await BenchNode.start(dataDir);
  try {
    const seed = new Uint8Array(randomBytes(32));
    const { device } = await node.request<StatusJson>('GET', '/v1/status');
    // Trusted, so that what it offers is taken.
    await node.request('POST', '/v1/devices', { id: formatDeviceId(nodeCrypto.ed25519KeyPair(seed).public) });
    const commits = lab.sizes.chainCommits;
    const job: FeedJob = { url: node.url, node: device.id, seed: toHex(seed), chains, commits, run };
    await runProgram('feed', [JSON.stringify(job)]);
  } finally {
    await node.stop();
  }
  return dataDir;
}

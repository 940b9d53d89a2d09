/** Cold sync, resume, live and point reads on one log: what the rows compare that hold two logs against each other. */
import { formatNumber, type Figure } from './report.ts';
import type { Lab } from './lab.ts';
import { median, randomOf } from './support.ts';
import { p50, Together } from './together.ts';

export interface AtSize {
  /** µs for each commit; pairing, verification, state and flushes included. */
  readonly coldSync: number;
  /** ms, after an absence of 1,000 commits. */
  readonly resume: number;
  /** ms, one way, p50. */
  readonly live: number;
  /** µs, of resources in no order. */
  readonly pointRead: number;
}

const RESUMES = 5;
const POINT_READS = 5000;

/** `dataDir` holds `note/0` to `note/<commits − 1>`; more is written to it. */
export async function measureAtSize(lab: Lab, dataDir: string, commits: number): Promise<AtSize> {
  const both = await Together.start(lab, dataDir);
  try {
    const random = randomOf(commits);
    const subjects = Array.from({ length: POINT_READS }, () => `note/${random(commits)}`);
    // Twice: the first time finds code that has never run.
    await both.follower.call('pointReads', subjects);
    const pointRead = await both.follower.call<number>('pointReads', subjects);
    const resumes: number[] = [];
    for (let i = 0; i < RESUMES; i++) resumes.push(await both.resume(lab.sizes.missed));
    const { oneWay } = await both.live(lab.sizes.liveWrites);
    return { coldSync: (both.joinMs * 1000) / commits, resume: median(resumes), live: p50(oneWay), pointRead };
  } finally {
    await both.stop();
  }
}

const NAMES: readonly (readonly [keyof AtSize, string, string])[] = [
  ['coldSync', 'cold sync', 'µs/commit'],
  ['resume', 'resume of 1,000', 'ms'],
  ['live', 'live, p50', 'ms'],
  ['pointRead', 'point read', 'µs'],
];

/** Each as a multiple of the other log's. */
export function comparisons(what: string, target: number, with_: AtSize, without: AtSize): Figure[] {
  return NAMES.map(([key, name, unit]) => ({
    what: `${what}: ${name}`,
    value: with_[key] / without[key],
    unit: '×',
    better: 'less' as const,
    target,
    note: `${formatNumber(with_[key])} against ${formatNumber(without[key])} ${unit}`,
  }));
}

/** Cold sync, resume, live and point reads on one log: what the rows compare that hold two logs against each other. */
import { rm } from 'node:fs/promises';
import { formatNumber, type Figure } from './report.ts';
import type { Lab } from './lab.ts';
import { median, randomOf } from './support.ts';
import { p50, Together } from './together.ts';

export interface AtSize {
  /** µs for each commit, without what a join costs that finds a single commit: in a large log that would be spread thinner. */
  readonly coldSync: number;
  /** ms, after an absence of 1,000 commits. */
  readonly resume: number;
  /** ms, one way, p50. */
  readonly live: number;
  /** µs, of resources in no order. */
  readonly pointRead: number;
}

const JOINS = 3;
const RESUMES = 5;
const POINT_READS = 5000;

/** Lab → ms of a join that finds a single commit. */
const joinsOfNothing = new WeakMap<Lab, Promise<number>>();

function joinOfNothing(lab: Lab): Promise<number> {
  let measured = joinsOfNothing.get(lab);
  if (!measured) {
    measured = measureJoinOfNothing(lab);
    joinsOfNothing.set(lab, measured);
  }
  return measured;
}

async function measureJoinOfNothing(lab: Lab): Promise<number> {
  const { dataDir } = await lab.buildSender({ commits: 1, perCommit: 1 });
  const ms: number[] = [];
  for (let i = 0; i < JOINS; i++) {
    const both = await Together.start(lab, dataDir);
    ms.push(both.joinMs);
    await both.stop();
  }
  return median(ms);
}

/** `dataDir` holds `note/0` to `note/<commits − 1>`; more is written to it, and it is removed in the end. */
export async function measureAtSize(lab: Lab, dataDir: string, commits: number): Promise<AtSize> {
  const joinMs = await joinOfNothing(lab);
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
    return {
      coldSync: ((both.joinMs - joinMs) * 1000) / commits,
      resume: median(resumes),
      live: p50(oneWay),
      pointRead,
    };
  } finally {
    await both.stop();
    for (const folder of [dataDir, both.folder]) await rm(folder, { recursive: true, force: true });
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

/**
 * Which commits stand where chains have forked, by 6.1 and 8.4 of PROTOCOL.md and nothing else. Of two commits with one chain, `seq` and `prev` the one with
 * the smaller id stands; what builds upon the other in its chain doesn't, nor what its author could not have written without it.
 */
import type { Commit } from './commits.ts';
import { MembersModel, pasts, type Past } from './model-members.ts';

/** Two commits with one place and one `prev`: by whom anybody knows of them. */
export interface KnownFork {
  readonly chain: string;
  readonly seq: number;
  readonly prev: string;
  readonly ids: readonly [kept: string, dropped: string];
}

/** Chain → the lowest `seq` at which it is known to have forked. */
export type ForkedFrom = ReadonlyMap<string, number>;

export function forkedFrom(forks: Iterable<Pick<KnownFork, 'chain' | 'seq'>>): ForkedFrom {
  const lowest = new Map<string, number>();
  for (const { chain, seq } of forks) lowest.set(chain, Math.min(seq, lowest.get(chain) ?? Number.POSITIVE_INFINITY));
  return lowest;
}

/**
 * Of all these commits, in an order that is causal for each log they come from, those that stand. `forks`: what is known beside them. Where one is taken
 * away that says who may write, others may fall with it: each is judged by what stands of its own past.
 */
export function standingOf(
  commits: readonly Commit[],
  forks: readonly KnownFork[],
  deviceOfId: (id: string) => string,
): Set<Commit> {
  const least = new Map<string, string>();
  const note = (chain: string, seq: number, prev: string, id: string): void => {
    const place = `${chain} ${seq} ${prev}`;
    if (id < (least.get(place) ?? '~')) least.set(place, id);
  };
  for (const { chain, seq, prev, id } of commits) note(chain, seq, prev, id);
  for (const { chain, seq, prev, ids } of forks) for (const id of ids) note(chain, seq, prev, id);
  const from = forkedFromOf(commits, forks);
  const isLeast = ({ chain, seq, prev, id }: Commit): boolean => least.get(`${chain} ${seq} ${prev}`) === id;
  let standing = withTheirPast(commits.filter(isLeast), from);
  for (;;) {
    const pastByCommit = pasts(standing);
    const sure = mergingPasts(standing, pastByCommit, from);
    const members = new MembersModel(standing[0]?.device ?? '', pastByCommit, sure, deviceOfId);
    const refused = new Set(standing.filter((commit) => members.judge(commit) === 'unauthorized'));
    if (refused.size === 0) return new Set(standing);
    // Those alone in whose past nothing else is refused: what they said of others counted for nothing.
    const first = [...refused].filter((commit) => {
      const past = pastByCommit.get(commit)!;
      return ![...refused].some((other) => other !== commit && (past.get(other.chain) ?? 0) >= other.seq);
    });
    const dropped = new Set(first);
    standing = withTheirPast(
      standing.filter((commit) => !dropped.has(commit)),
      from,
    );
  }
}

/** What is known of forks, and what these commits show of them by themselves. */
export function forkedFromOf(commits: readonly Commit[], forks: readonly KnownFork[]): ForkedFrom {
  return forkedFrom([...forks, ...forksAmong(commits)]);
}

/** Places with one `prev` at which several commits stand. */
function forksAmong(commits: readonly Commit[]): Pick<KnownFork, 'chain' | 'seq'>[] {
  const byPlace = Map.groupBy(commits, ({ chain, seq, prev }) => `${chain} ${seq} ${prev}`);
  return [...byPlace.values()].filter(({ length }) => length > 1).map(([commit]) => commit!);
}

/**
 * Without those that lack what they are built upon: the commit before, or one that their author had seen. Of a chain that forked only what stands before the
 * fork is needed: past it a dep counts as all that is there.
 */
function withTheirPast(commits: readonly Commit[], from: ForkedFrom): Commit[] {
  let left = commits;
  for (;;) {
    const ids = new Set(left.map(({ id }) => id));
    const places = new Set(left.map(({ chain, seq }) => `${chain} ${seq}`));
    const has = (chain: string, upTo: number): boolean => {
      const seq = Math.min(upTo, (from.get(chain) ?? Number.POSITIVE_INFINITY) - 1);
      return seq === 0 || places.has(`${chain} ${seq}`);
    };
    const next = left.filter(
      ({ seq, prev, deps }) => (seq === 1 || ids.has(prev)) && [...deps].every(([chain, upTo]) => has(chain, upTo)),
    );
    if (next.length === left.length) return next;
    left = next;
  }
}

/** 8.4: what each commit of a log had seen, for merging. */
export function mergingPasts(
  log: readonly Commit[],
  pastByCommit: ReadonlyMap<Commit, Past>,
  from: ForkedFrom,
): ReadonlyMap<Commit, Past> {
  if (from.size === 0) return pastByCommit;
  const idByPlace = new Map(log.map(({ chain, seq, id }) => [`${chain} ${seq}`, id]));
  const result = new Map<Commit, Past>();
  for (const [chain, own] of Map.groupBy(log, (commit) => commit.chain)) {
    let seen = new Map<string, number>();
    for (const commit of own.toSorted((a, b) => a.seq - b.seq)) {
      seen = new Map(seen);
      for (const [other, seq] of commit.deps) {
        const fork = from.get(other) ?? Number.POSITIVE_INFINITY;
        const named = commit.depIds.get(other);
        const isKept = named !== undefined && idByPlace.get(`${other} ${seq}`) === named;
        const counts = seq < fork || isKept ? seq : fork - 1;
        seen.set(other, Math.max(counts, seen.get(other) ?? 0));
      }
      seen.set(chain, commit.seq - 1);
      result.set(commit, seen);
    }
  }
  return result;
}

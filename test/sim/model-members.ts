/**
 * Who may write, by chapter 7 of PROTOCOL.md and nothing else: slow, and short enough to be read against it. `past` of a commit: for each chain the seq up to
 * which its author had seen it.
 */
import type { Commit } from './commits.ts';

export type Past = ReadonlyMap<string, number>;
type Role = 'owner' | 'writer' | 'reader' | 'mirror';
export type Judgement = 'unauthorized' | 'void' | 'counts';

interface Fact {
  readonly commit: Commit;
  readonly target: string;
  readonly role: Role | null;
  readonly revoked: Readonly<Record<string, number>> | null;
}

/** 4.4: of its own chain everything before it; of others what this or any earlier commit of the chain names. */
export function pasts(commits: Iterable<Commit>): Map<Commit, Past> {
  const result = new Map<Commit, Past>();
  const byChain = Map.groupBy(commits, ({ chain }) => chain);
  for (const [chain, own] of byChain) {
    let seen = new Map<string, number>();
    for (const commit of own.toSorted((a, b) => a.seq - b.seq)) {
      seen = new Map(seen);
      for (const [other, seq] of commit.deps) seen.set(other, Math.max(seq, seen.get(other) ?? 0));
      seen.set(chain, commit.seq - 1);
      result.set(commit, seen);
    }
  }
  return result;
}

export function hadSeen(past: Past, commit: Commit): boolean {
  return (past.get(commit.chain) ?? 0) >= commit.seq;
}

export function changesMembers({ changes }: Commit): boolean {
  return changes !== null && changes.some(([subject]) => subject.startsWith('~'));
}

export class MembersModel {
  readonly #founder: string;
  readonly #pasts: ReadonlyMap<Commit, Past>;
  readonly #surePasts: ReadonlyMap<Commit, Past>;
  /** Chain → its last seq. */
  readonly #heads = new Map<string, number>();
  /** By ascending (time, author key, chain id, seq). */
  readonly #facts: Fact[];
  /** Commits whose revocations count. */
  readonly #counting = new Set<Fact>();
  /** Device → chain → the last that counts; a chain that isn't there: 0. */
  #cuts = new Map<string, ReadonlyMap<string, number>>();
  #authorized = new Map<Fact, boolean>();
  readonly #authorizedWithoutCuts = new Map<Fact, boolean>();

  /**
   * @param surePasts what of it they had surely seen (8.4)
   * @param deviceOfId hex key of a device ID
   */
  constructor(
    founder: string,
    pastByCommit: ReadonlyMap<Commit, Past>,
    surePasts: ReadonlyMap<Commit, Past>,
    deviceOfId: (id: string) => string,
  ) {
    this.#founder = founder;
    this.#pasts = pastByCommit;
    this.#surePasts = surePasts;
    for (const { chain, seq } of pastByCommit.keys())
      this.#heads.set(chain, Math.max(seq, this.#heads.get(chain) ?? 0));
    this.#facts = [...pastByCommit.keys()]
      .flatMap((commit) =>
        (commit.changes ?? []).flatMap(([subject, ops]) => factOf(commit, subject, ops.set, deviceOfId)),
      )
      .sort((a, b) => byPlace(a.commit, b.commit));
    this.#settle();
  }

  /** 7.3, "Which revocations count". */
  #settle(): void {
    for (let hasNew = true; hasNew;) {
      hasNew = false;
      const queued = new Set([this.#founder]);
      for (const owner of queued) {
        const own = this.#facts.filter(({ commit }) => commit.device === owner);
        for (const fact of own) {
          if (fact.revoked === null || this.#counting.has(fact) || !this.#isAuthorized(fact)) continue;
          this.#counting.add(fact);
          hasNew = true;
          this.#cut();
        }
        for (const fact of own) if (fact.role === 'owner' && this.#isAuthorized(fact)) queued.add(fact.target);
      }
    }
  }

  /** For each chain the least of all revocations; one that any of them leaves out has the cut 0. */
  #cut(): void {
    this.#cuts = new Map();
    this.#authorized = new Map();
    const byTarget = Map.groupBy(this.#counting, ({ target }) => target);
    for (const [target, revocations] of byTarget) {
      const chains = revocations.map(({ revoked }) => new Map(Object.entries(revoked!)));
      const all = new Set(chains.flatMap((each) => [...each.keys()]));
      this.#cuts.set(
        target,
        new Map([...all].map((chain) => [chain, Math.min(...chains.map((each) => each.get(chain) ?? 0))])),
      );
    }
  }

  #isPastCut({ device, chain, seq }: Commit): boolean {
    const cuts = this.#cuts.get(device);
    return cuts !== undefined && seq > (cuts.get(chain) ?? 0);
  }

  #holdsCounting(commit: Commit): boolean {
    for (const fact of this.#counting) if (fact.commit === commit) return true;
    return false;
  }

  #isAuthorized(fact: Fact): boolean {
    let known = this.#authorized.get(fact);
    if (known === undefined) {
      const { commit } = fact;
      known =
        this.#holdsCounting(commit) ||
        (!this.#isPastCut(commit) &&
          this.#readings(commit).some(
            (past) => this.#roleAt(commit.device, past, (each) => this.#isAuthorized(each)) === 'owner',
          ));
      this.#authorized.set(fact, known);
    }
    return known;
  }

  /** What it may have seen, and what it surely had. */
  #readings(commit: Commit): readonly Past[] {
    const [past, sure] = [this.#pasts.get(commit)!, this.#surePasts.get(commit)!];
    return past === sure ? [past] : [past, sure];
  }

  #roleAt(device: string, past: Past, isAuthorized: (fact: Fact) => boolean): Role | null {
    const inPast = this.#facts.filter(
      (fact) => fact.target === device && fact.role !== null && hadSeen(past, fact.commit) && isAuthorized(fact),
    );
    const unseen = inPast.filter(
      (fact) => !inPast.some((other) => other !== fact && hadSeen(this.#surePasts.get(other.commit)!, fact.commit)),
    );
    return unseen.at(-1)?.role ?? (device === this.#founder ? 'owner' : null);
  }

  /** As if nothing had ever been revoked. */
  #roleWithoutCuts(device: string, past: Past): Role | null {
    const isAuthorized = (fact: Fact): boolean => {
      const known = this.#authorizedWithoutCuts.get(fact);
      if (known !== undefined) return known;
      const is = this.#readings(fact.commit).some(
        (past) => this.#roleWithoutCuts(fact.commit.device, past) === 'owner',
      );
      this.#authorizedWithoutCuts.set(fact, is);
      return is;
    };
    return this.#roleAt(device, past, isAuthorized);
  }

  /** 7.4. Past a fork the better reading counts; where not all is there that it names, what it surely had seen must allow it. */
  judge(commit: Commit): Judgement {
    const judgements = this.#readings(commit).map((past) => this.#judge(commit, past));
    const isAllThere = [...this.#pasts.get(commit)!].every(([chain, seq]) => (this.#heads.get(chain) ?? 0) >= seq);
    if (!isAllThere && judgements.at(-1) === 'unauthorized') return 'unauthorized';
    return (['counts', 'void', 'unauthorized'] as const).find((each) => judgements.includes(each))!;
  }

  #judge(commit: Commit, past: Past): Judgement {
    const isAllowed = (role: Role | null): boolean =>
      role === 'owner' || (role === 'writer' && !changesMembers(commit));
    if (!isAllowed(this.#roleWithoutCuts(commit.device, past))) return 'unauthorized';
    if (this.#holdsCounting(commit)) return 'counts';
    if (this.#isPastCut(commit)) return 'void';
    return isAllowed(this.#roleAt(commit.device, past, (fact) => this.#isAuthorized(fact))) ? 'counts' : 'void';
  }

  /** What a device is by now. */
  roleOf(device: string): Role | null {
    if (this.#cuts.has(device)) return null;
    const everything = new Map<string, number>();
    for (const { chain, seq } of this.#pasts.keys()) everything.set(chain, Math.max(seq, everything.get(chain) ?? 0));
    return this.#roleAt(device, everything, (fact) => this.#isAuthorized(fact));
  }

  isRevoked(device: string): boolean {
    return this.#cuts.has(device);
  }
}

const DEVICES = '~devices/';

function factOf(
  commit: Commit,
  subject: string,
  set: Readonly<Record<string, unknown>> | undefined,
  deviceOfId: (id: string) => string,
): Fact[] {
  if (!subject.startsWith(DEVICES) || !set) return [];
  const role = (set['role'] ?? null) as Role | null;
  const revoked = (set['revoked'] ?? null) as Fact['revoked'];
  return role === null && revoked === null
    ? []
    : [{ commit, target: deviceOfId(subject.slice(DEVICES.length)), role, revoked }];
}

function byPlace(a: Commit, b: Commit): number {
  return a.time - b.time || compareText(a.device, b.device) || compareText(a.chain, b.chain) || a.seq - b.seq;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

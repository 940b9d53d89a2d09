/** Graphs of commits in a few lines, as merge and membership vectors have them: chains by letter, deps instead of pasts. */
import type { Change } from '../../protocol/body.ts';
import { toJson } from './world.ts';

export interface CommitVector {
  readonly chain: string;
  readonly seq: number;
  readonly time: number;
  /** `true`: it names the commit's id too. */
  readonly deps: readonly (readonly [chain: string, seq: number, byId?: true])[];
  readonly changes: readonly Change[];
}

/** More would make the file long and prove little. */
const ORDERS_MAX = 8;

export class History {
  readonly commits: CommitVector[] = [];
  /** What each chain's author has. */
  readonly #has = new Map<string, Map<string, number>>();
  /** What each chain has named in deps. */
  readonly #named = new Map<string, Map<string, number>>();
  #time = 1000;

  #of(map: Map<string, Map<string, number>>, chain: string): Map<string, number> {
    let found = map.get(chain);
    if (!found) map.set(chain, (found = new Map()));
    return found;
  }

  write(chain: string, changes: readonly Change[], time = (this.#time += 10)): void {
    const [has, named] = [this.#of(this.#has, chain), this.#of(this.#named, chain)];
    const deps = [...has].filter(([other, seq]) => other !== chain && seq > (named.get(other) ?? 0));
    for (const [other, seq] of deps) named.set(other, seq);
    const seq = (has.get(chain) ?? 0) + 1;
    has.set(chain, seq);
    this.commits.push({ chain, seq, time, deps, changes });
  }

  /** All that `from` has, `to` now has too. */
  sync(from: string, to: string): void {
    const has = this.#of(this.#has, to);
    for (const [chain, seq] of this.#of(this.#has, from)) has.set(chain, Math.max(has.get(chain) ?? 0, seq));
  }

  /** With these deps, whatever its author has. */
  writePast(chain: string, deps: CommitVector['deps'], changes: readonly Change[]): void {
    const has = this.#of(this.#has, chain);
    const seq = (has.get(chain) ?? 0) + 1;
    has.set(chain, seq);
    this.commits.push({ chain, seq, time: (this.#time += 10), deps, changes });
  }

  /** Orders that respect causality, as indices into commits. `forks`: chains that have forked, and from which seq; past that nothing has to come first. */
  orders(forks: Readonly<Record<string, number>> = {}): number[][] {
    const found: number[][] = [];
    this.#extend([], found, forks);
    return found;
  }

  #extend(order: number[], found: number[][], forks: Readonly<Record<string, number>>): void {
    if (found.length >= ORDERS_MAX) return;
    if (order.length === this.commits.length) found.push(order);
    const done = new Set(order.map((i) => `${this.commits[i]!.chain} ${this.commits[i]!.seq}`));
    // The last first, so that the first order is not that in which they were written.
    for (let i = this.commits.length - 1; i >= 0; i--) {
      const { chain, seq, deps } = this.commits[i]!;
      const isHere = ([other, at, byId]: CommitVector['deps'][number]): boolean =>
        done.has(`${other} ${byId ? at : Math.min(at, (forks[other] ?? Number.POSITIVE_INFINITY) - 1)}`);
      const isReady = (seq === 1 || done.has(`${chain} ${seq - 1}`)) && deps.every(isHere);
      if (isReady && !done.has(`${chain} ${seq}`)) this.#extend([...order, i], found, forks);
    }
  }

  json(): object[] {
    return this.commits.map(({ chain, seq, time, deps, changes }) => ({
      chain,
      seq,
      time,
      deps,
      changes: toJson(changes.map(({ subject, ops }) => [subject, ops])),
    }));
  }
}

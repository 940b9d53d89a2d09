/** What each author had seen, for whoever walks along the log from its beginning: each commit's deps say what changed since its chain's previous one. */
import type { Dependency } from '../../protocol/body.ts';
import { equal } from '../../protocol/bytes.ts';
import type { Author } from '../../protocol/merge.ts';
import type { StoreOp } from '../store.ts';
import { knowsKey, seqValue } from '../tables.ts';
import { BRANCH, type Chain, type View } from './view.ts';

/** An entry's place in its chain. */
interface ChainPlace {
  readonly chain: Chain;
  readonly seq: number;
}

export class KnowledgeWalk {
  readonly #view: View;
  /** Chain → other chain → each time that it learned: at its own seq, the other's. Oldest first. */
  readonly #learned = new Map<number, Map<number, { at: number; seq: number }[]>>();
  readonly #ops: StoreOp[] = [];
  /** Chain that forked → the highest seq of it that was named by id. */
  readonly #named = new Map<number, number>();

  constructor(view: View) {
    this.#view = view;
  }

  learn({ chain, seq }: ChainPlace, deps: readonly Dependency[]): void {
    if (deps.length === 0) return;
    const learned = this.#learned.get(chain.number) ?? new Map<number, { at: number; seq: number }[]>();
    this.#learned.set(chain.number, learned);
    for (const dep of deps) {
      const other = this.#view.chainById(dep.chain);
      // Past a fork a dep may name a chain that isn't here.
      if (!other) continue;
      const note = (number: number): void => {
        const times = learned.get(number) ?? [];
        learned.set(number, times);
        if ((times.at(-1)?.seq ?? 0) < dep.seq) times.push({ at: seq, seq: dep.seq });
      };
      note(other.number);
      const id = dep.id && this.#view.forks.idAt(other, dep.seq);
      if (!id || !equal(id, dep.id!)) continue;
      note(other.number + BRANCH);
      this.#named.set(other.number, Math.max(dep.seq, this.#named.get(other.number) ?? 0));
      const key = knowsKey(this.#view.number, chain.number, other.number + BRANCH, seq);
      this.#ops.push({ table: 'knows', key, value: seqValue(dep.seq) });
    }
  }

  /** Does it stand after one whose author had seen it? Who was on the other branch of a fork may have taken in that one first. */
  isLate({ chain, seq }: ChainPlace): boolean {
    return seq <= (this.#named.get(chain.number) ?? 0);
  }

  /** What the tables don't know where it came before anybody here had heard of a fork. Once. */
  takeOps(): StoreOp[] {
    return this.#ops.splice(0);
  }

  /** What the author of a commit had seen, also with `BRANCH`. Commits are asked about some time after they were walked over: what was learned since must not count. */
  saw({ chain, seq }: ChainPlace): (other: number) => number {
    const learned = this.#learned.get(chain.number);
    return (other) => {
      if (other === chain.number) return seq - 1;
      return learned?.get(other)?.findLast(({ at }) => at <= seq)?.seq ?? 0;
    };
  }

  author({ chain, seq }: ChainPlace, time: number): Author {
    const saw = this.saw({ chain, seq });
    const past = (other: number): number => this.#view.replaces(chain.number, other, saw);
    return { chain: chain.number, seq, time, past, rankOf: (other) => this.#view.chains[other]!.rank };
  }
}

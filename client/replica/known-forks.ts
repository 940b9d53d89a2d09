/**
 * The forks that a peer knows of in one space, and on which branch of each forked chain its own log is: which ids stand here from the last commit before
 * the lowest fork on.
 */
import { compare, equal, toHex } from '../../protocol/bytes.ts';
import type { Fork } from '../../protocol/fork.ts';

/** A chain as it stands here. */
interface Standing {
  readonly hex: string;
  readonly seq: number;
}

export class KnownForks {
  /** Chain (hex) → its forks, the lowest seq first. */
  readonly #byChain = new Map<string, Fork[]>();
  /** Chain (hex) that forked → seq → id on our branch. */
  readonly #branches = new Map<string, Map<number, Uint8Array>>();
  /** Ids (hex) that commits here name past a fork, and that weren't here then: of the kept branch, which may come yet, or of one that nobody keeps. */
  readonly #awaited = new Set<string>();

  clear(): void {
    this.#byChain.clear();
    this.#awaited.clear();
  }

  get isEmpty(): boolean {
    return this.#byChain.size === 0;
  }

  get all(): Fork[] {
    return [...this.#byChain.values()].flat();
  }

  /** Chains (hex). */
  get chains(): Iterable<string> {
    return this.#byChain.keys();
  }

  /** False where it is known. */
  add(fork: Fork): boolean {
    const hex = toHex(fork.chain);
    const forks = this.#of(hex);
    const isSame = ({ seq, kept, dropped }: Fork): boolean =>
      seq === fork.seq && equal(kept, fork.kept) && equal(dropped, fork.dropped);
    if (forks.some(isSame)) return false;
    this.#byChain.set(
      hex,
      [...forks, fork].toSorted((a, b) => a.seq - b.seq),
    );
    if (!this.#branches.has(hex)) this.#branches.set(hex, new Map());
    return true;
  }

  #of(hex: string): readonly Fork[] {
    return this.#byChain.get(hex) ?? [];
  }

  /** The first seq of a chain at which it has forked; infinity where it hasn't. Asked for each commit: nearly always there is none at all. */
  first(chain: Uint8Array | string): number {
    if (this.#byChain.size === 0) return Number.POSITIVE_INFINITY;
    const forks = this.#of(typeof chain === 'string' ? chain : toHex(chain));
    return forks[0]?.seq ?? Number.POSITIVE_INFINITY;
  }

  has(chain: Uint8Array | string): boolean {
    return this.first(chain) < Number.POSITIVE_INFINITY;
  }

  /** What stands here of a chain that forked, from the last commit before its lowest fork on. */
  setBranch(hex: string, ids: Map<number, Uint8Array>): void {
    this.#branches.set(hex, ids);
  }

  /** A chain here goes on, or back. */
  note(hex: string, seq: number, id: Uint8Array): void {
    if (seq >= this.first(hex) - 1) this.#branches.get(hex)?.set(seq, id);
  }

  awaitId(id: Uint8Array): void {
    this.#awaited.add(toHex(id));
  }

  /** Has a commit here named this one before it came? */
  isAwaited(id: Uint8Array): boolean {
    return this.#awaited.size > 0 && this.#awaited.has(toHex(id));
  }

  /** Of a chain that forked: its id at a seq past the last commit before the fork, if that is here. */
  idAt(chain: Standing, seq: number): Uint8Array | null {
    return seq > chain.seq ? null : (this.#branches.get(chain.hex)?.get(seq) ?? null);
  }

  /** The first seq at which a chain here is on a branch that doesn't count; null where it is on the one that does. */
  droppedFrom(chain: Standing): number | null {
    for (const { seq, prev } of this.#of(chain.hex)) {
      const id = this.idAt(chain, seq);
      const before = seq === 1 ? prev : this.idAt(chain, seq - 1);
      if (id !== null && before !== null && this.isDropped(chain, { seq, prev: before, id })) return seq;
    }
    return null;
  }

  /** Is a commit the first of a branch that doesn't count? Of another branch's own forks nothing follows for this one. */
  isDropped(
    { hex }: Pick<Standing, 'hex'>,
    commit: { readonly seq: number; readonly prev: Uint8Array; readonly id: Uint8Array },
  ): boolean {
    return this.#of(hex).some(
      ({ seq, prev, kept }) => seq === commit.seq && equal(prev, commit.prev) && compare(kept, commit.id) < 0,
    );
  }
}

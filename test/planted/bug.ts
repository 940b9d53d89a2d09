/** A mistake as a developer makes it, as a patch of our own, and what has to notice it. */
import type { Side } from '../../conformance/index.ts';
import type { ActionKind } from '../sim/scenario.ts';

export interface Edit {
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly find: string;
  readonly replace: string;
}

interface Mistake extends Edit {
  readonly id: string;
  /** What a developer did, in a sentence. */
  readonly mistake: string;
  /** More of the same mistake, where it takes more than one edit. */
  readonly also?: readonly Edit[];
}

/** Found by the conformance kit, by all of these cases, on the side where it meets the mistake. */
export interface KitBug extends Mistake {
  readonly side: Side;
  readonly caughtBy: readonly string[];
}

/** Found by the simulation, where these kinds of actions happen, as one of these properties. */
export interface SimBug extends Mistake {
  readonly kinds: readonly ActionKind[];
  readonly caughtAs: readonly string[];
}

/** Found by a test: where the mistake is in, one whose full name holds this text fails. */
export interface TestBug extends Mistake {
  readonly test: { readonly file: string; readonly name: string };
}

export type PlantedBug = KitBug | SimBug | TestBug;

export function editsOf(bug: PlantedBug): readonly Edit[] {
  return [bug, ...(bug.also ?? [])];
}

/** The parts that subjects under a prefix go on with, as one goes into folders: `note/` and `task/` under nothing, `task/2026-11/` under `task/`. */
import type { ListedResource, Page } from './source.ts';

/** More are no help to choose from. */
const PARTS_MAX = 20;
/** Requests for one answer: where thousands of subjects lie in no part, what comes behind them may be missing. */
const LOOKS_MAX = 30;
const ITEMS_PER_LOOK = 100;

export interface Parts {
  readonly prefix: string;
  readonly parts: readonly string[];
  /** There may be more. */
  readonly isCut: boolean;
}

/** null: it goes on without a slash. */
export function partOf(subject: string, prefix: string): string | null {
  const at = subject.startsWith(prefix) ? subject.indexOf('/', prefix.length) : -1;
  return at < 0 ? null : subject.slice(0, at + 1);
}

/** Subjects come in ascending order, so one look past a part finds the next, however many lie in it. */
export async function partsUnder(
  prefix: string,
  look: (after: string | null, limit: number) => Promise<Page<ListedResource>>,
): Promise<Parts> {
  const parts = new Set<string>();
  let after: string | null = null;
  let limit = ITEMS_PER_LOOK;
  for (let looks = 0; looks < LOOKS_MAX; looks++) {
    const { items, next }: Page<ListedResource> = await look(after, limit);
    for (const { subject } of items) {
      const part = partOf(subject, prefix);
      if (part === null || parts.has(part)) continue;
      if (parts.size === PARTS_MAX) return { prefix, parts: [...parts], isCut: true };
      parts.add(part);
    }
    if (next === null) return { prefix, parts: [...parts], isCut: false };
    const part = partOf(next, prefix);
    // Of a search, nothing may have been found yet in the part that it has come to.
    const isKnown = part !== null && parts.has(part);
    after = isKnown ? pastPart(part) : next;
    limit = isKnown ? 1 : ITEMS_PER_LOOK;
  }
  return { prefix, parts: [...parts], isCut: true };
}

/** `0` comes right after `/`: it is behind all of `task/`, and before all else. What is called just that has no slash, and is in no part. */
function pastPart(part: string): string {
  return `${part.slice(0, -1)}0`;
}

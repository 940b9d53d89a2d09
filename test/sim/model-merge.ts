/**
 * What a space shows, by chapter 8 of PROTOCOL.md and nothing else. Not step by step, as the product does it, but by definition: something that a commit wrote is
 * there if no commit that had seen it took it away. Order doesn't come into it, so it can't be wrong in it.
 */
import type { Ops } from '../../protocol/body.ts';
import type { Commit } from './commits.ts';
import { hadSeen, type Past } from './model-members.ts';

/** Simulated writes use no other values. */
type Plain = null | boolean | number | string;
type Shown = Plain | readonly Shown[] | { readonly [key: string]: Shown };

interface PropertyModel {
  readonly value: Shown;
  /** Different values that stand beside each other, the one that shows first; empty where there is but one. */
  readonly conflict: readonly Shown[];
}

/** Subject → property → what it shows. What shows nothing isn't there. */
export type StateModel = ReadonlyMap<string, ReadonlyMap<string, PropertyModel>>;

interface Change {
  readonly commit: Commit;
  readonly past: Past;
  readonly ops: Ops;
}

export function stateOf(counting: Iterable<Commit>, pasts: ReadonlyMap<Commit, Past>): StateModel {
  const bySubject = new Map<string, Change[]>();
  for (const commit of counting) {
    for (const [subject, ops] of commit.changes ?? []) {
      const changes = bySubject.get(subject) ?? [];
      bySubject.set(subject, changes);
      changes.push({ commit, past: pasts.get(commit)!, ops });
    }
  }
  const state = new Map<string, ReadonlyMap<string, PropertyModel>>();
  for (const [subject, changes] of bySubject) {
    const names = new Set(
      changes.flatMap(({ ops }) => [
        ...Object.keys(ops.set ?? {}),
        ...Object.keys(ops.inc ?? {}),
        ...Object.keys(ops.add ?? {}),
      ]),
    );
    const shown = new Map<string, PropertyModel>();
    for (const name of names) {
      const property = propertyOf(name, changes);
      if (property) shown.set(name, property);
    }
    if (shown.size > 0) state.set(subject, shown);
  }
  return state;
}

type Kind = 'candidate' | 'inc' | 'element';

/** 8.1: does this change take away what it had seen of that kind, with that value? */
function removes({ ops }: Change, name: string, kind: Kind, value: Shown): boolean {
  if (ops.destroy || ops.unset?.includes(name)) return true;
  if (ops.set && Object.hasOwn(ops.set, name)) return true;
  if (ops.inc && Object.hasOwn(ops.inc, name))
    return kind === 'element' || (kind === 'candidate' && typeof value !== 'number');
  const lists = (values: readonly unknown[] | undefined): boolean =>
    values?.some((each) => same(each as Shown, value)) ?? false;
  const added = ops.add?.[name];
  if (added && kind !== 'element') return true;
  return kind === 'element' && (lists(ops.remove?.[name]) || lists(added));
}

function propertyOf(name: string, changes: readonly Change[]): PropertyModel | null {
  const isThere = (commit: Commit, kind: Kind, value: Shown): boolean =>
    !changes.some(
      (other) => other.commit !== commit && hadSeen(other.past, commit) && removes(other, name, kind, value),
    );
  const candidates: { value: Shown; commit: Commit }[] = [];
  let count = 0;
  let hasIncs = false;
  const elements: Shown[] = [];
  for (const { commit, ops } of changes) {
    const value = ops.set?.[name] as Shown | undefined;
    if (value !== undefined && isThere(commit, 'candidate', value)) candidates.push({ value, commit });
    const inc = ops.inc?.[name];
    if (inc !== undefined && isThere(commit, 'inc', inc)) {
      hasIncs = true;
      count += inc;
    }
    for (const added of (ops.add?.[name] ?? []) as readonly Shown[]) {
      if (isThere(commit, 'element', added) && !elements.some((each) => same(each, added))) elements.push(added);
    }
  }
  // 8.2: later first; at equal times the greater author key, then chain id.
  candidates.sort((a, b) => b.commit.time - a.commit.time || (rank(a.commit) < rank(b.commit) ? 1 : -1));
  elements.sort((a, b) => (order(a) < order(b) ? -1 : 1));
  const alternatives: Shown[] = [];
  if (elements.length > 0) alternatives.push(elements);
  for (const { value } of candidates) alternatives.push(typeof value === 'number' ? value + count : value);
  if (hasIncs && !candidates.some(({ value }) => typeof value === 'number')) alternatives.push(count);
  const first = alternatives[0];
  if (first === undefined) return null;
  const different = alternatives.filter((value, i) => alternatives.findIndex((other) => same(other, value)) === i);
  return { value: first, conflict: different.length > 1 ? different : [] };
}

function rank({ device, chain }: Commit): string {
  return device + chain;
}

function same(a: Shown, b: Shown): boolean {
  return canonical(a) === canonical(b);
}

export function canonical(value: unknown): string {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`;
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value !== null && typeof value === 'object') {
    const map = value as Record<string, unknown>;
    return `{${Object.keys(map)
      .toSorted()
      .map((key) => `${JSON.stringify(key)}:${canonical(map[key])}`)
      .join(',')}}`;
  }
  return JSON.stringify(value);
}

/** The order of elements, of those values that simulated writes use: by the first byte of their MessagePack, and strings last. */
function order(value: Shown): string {
  if (typeof value === 'string') return `s${value}`;
  const byte = value === null ? 0xc0 : value === false ? 0xc2 : value === true ? 0xc3 : (value as number) & 0xff;
  return `b${byte.toString(16).padStart(2, '0')}`;
}

/**
 * The state of one resource, and how a commit changes it. Pure: resource × ops × what the author had seen → resource.
 *
 * Causality first, clock second. A write replaces exactly what its author had seen; what it hadn't seen stays beside it. Nothing marks
 * what was removed (no tombstones): commits arrive in causal order and each is applied once, so a dot that a later write's past covers
 * and that isn't here was superseded.
 *
 *   set, unset    register: candidates, of which the latest (time, then device key) shows and the others are its conflict.
 *                 An unset that had not seen a set leaves it: it has no value that could win.
 *   inc           counter: all count, on top of the register's winner if that is a number
 *   add, remove   set: an add wins over a remove that had not seen it
 *   destroy       removes what it had seen of every property; it comes before the other ops of its commit
 *
 * Where kinds meet on one property, a write that its author made knowing the other kind replaces it (inc leaves a number to count
 * from). Concurrent ones stay side by side: elements show first, then the register, then the counter; the rest is listed as conflict.
 */
import type { Ops } from './body.ts';
import { compare } from './bytes.ts';
import { INTEGER_MAX } from './constants.ts';
import { TidelogError } from './errors.ts';
import { decodeTrusted, encode, encodeCanonical } from './msgpack.ts';
import { valueKey, type Value } from './value.ts';

/** Who wrote something, and when. `chain` is the peer's own number for a chain: bytes of state are local, values are not. */
export interface Dot {
  readonly chain: number;
  readonly seq: number;
  /** µs */
  readonly time: number;
}

export interface Candidate extends Dot {
  readonly value: Value;
}

/** Consecutive incs of one chain on a counter, summed. */
export interface Tally extends Dot {
  /** Seq of the earliest inc in `total`; `seq` is the latest's. */
  readonly first: number;
  readonly total: number;
}

export interface Element {
  readonly key: string;
  readonly value: Value;
  readonly dots: readonly Dot[];
}

export interface Property {
  /** The winner first. */
  readonly candidates: readonly Candidate[];
  readonly tallies: readonly Tally[];
  /** By ascending key. */
  readonly elements: readonly Element[];
}

export type Resource = ReadonlyMap<string, Property>;

export const EMPTY_RESOURCE: Resource = new Map();

const EMPTY_PROPERTY: Property = { candidates: [], tallies: [], elements: [] };

/** The commit that the ops are of. */
export interface Author extends Dot {
  /** The highest seq of a chain that the author had seen when it wrote. */
  readonly past: (chain: number) => number;
  /** Decides between equal times: the device key of a chain and then its id, 48 bytes; the greater wins. */
  readonly rankOf: (chain: number) => Uint8Array;
}

/**
 * Thrown by `apply` when a write had seen some of a chain's incs and not the later ones: their sum can't be split, so the
 * caller replays the subject from its log with `applyUnfolded`. It takes two devices that reset and count the same counter at once.
 */
export class SplitTally extends Error {}

/** A new resource. Throws SplitTally. */
export function apply(resource: Resource, ops: Ops, author: Author): Resource {
  return applyOps(resource, ops, author, foldTally);
}

/** As `apply`, with a tally for every inc, so that it never throws SplitTally. `fold` then gives what `apply` would have. */
export function applyUnfolded(resource: Resource, ops: Ops, author: Author): Resource {
  return applyOps(resource, ops, author, appendTally);
}

/**
 * Takes away what a commit's author had seen and what stands here all the same, because it was applied after it; adds nothing. Past a fork what a commit names by id
 * may come later than the commit. Of a resource that `applyUnfolded` made.
 */
export function removeSeen(resource: Resource, ops: Ops, author: Author): Resource {
  return applyOps(resource, ops, author, null);
}

/** One tally for each chain, or few. */
export function fold(resource: Resource): Resource {
  const folded = new Map<string, Property>();
  for (const [name, property] of resource) {
    const tallies = property.tallies
      .toSorted(byPlace)
      .reduce<readonly Tally[]>((sums, tally) => foldTally(sums, tally, tally.total), []);
    folded.set(name, { ...property, tallies });
  }
  return folded;
}

type TakeInc = (tallies: readonly Tally[], inc: Dot, amount: number) => readonly Tally[];

/** A sum that would pass ±(2^53 − 1), where doubles are rounded, is begun anew: a chain then has several. */
function foldTally(tallies: readonly Tally[], { chain, seq, time }: Dot, amount: number): readonly Tally[] {
  const at = tallies.findLastIndex((tally) => tally.chain === chain);
  const { first = seq, total = 0 } = tallies[at] ?? {};
  if (at < 0 || !Number.isSafeInteger(total + amount)) {
    return [...tallies, { chain, seq, time, first: seq, total: amount }].toSorted(byPlace);
  }
  return tallies.with(at, { chain, seq, time, first, total: total + amount });
}

function byPlace(a: Dot, b: Dot): number {
  return a.chain - b.chain || a.seq - b.seq;
}

function appendTally(tallies: readonly Tally[], { chain, seq, time }: Dot, amount: number): readonly Tally[] {
  return [...tallies, { chain, seq, time, first: seq, total: amount }];
}

/** @param takeInc null: only what the ops remove */
function applyOps(resource: Resource, ops: Ops, author: Author, takeInc: TakeInc | null): Resource {
  const after = new Map(ops.destroy ? destroy(resource, author) : resource);
  const dot: Dot = { chain: author.chain, seq: author.seq, time: author.time };
  const update = (name: string, change: (property: Property) => Property): void => {
    const property = change(after.get(name) ?? EMPTY_PROPERTY);
    if (isEmpty(property)) after.delete(name);
    else after.set(name, property);
  };
  if (ops.set) {
    for (const name of Object.keys(ops.set)) {
      const value = ops.set[name]!;
      update(name, (property) => {
        const left = withoutSeen(property, author);
        if (takeInc === null) return left;
        const { candidates, tallies, elements } = left;
        return { candidates: insertCandidate(candidates, { ...dot, value }, author.rankOf), tallies, elements };
      });
    }
  }
  for (const name of ops.unset ?? []) update(name, (property) => withoutSeen(property, author));
  for (const [name, amount] of Object.entries(ops.inc ?? {})) {
    update(name, (property) => ({
      candidates: property.candidates.filter(
        (candidate) => typeof candidate.value === 'number' || !hasSeen(author, candidate),
      ),
      tallies: takeInc ? takeInc(property.tallies, dot, amount) : property.tallies,
      elements: elementsWithoutSeen(property.elements, author),
    }));
  }
  for (const [name, values] of Object.entries(ops.remove ?? {})) {
    const keys = new Set(values.map(valueKey));
    update(name, (property) => ({
      ...property,
      elements: [
        ...property.elements.filter(({ key }) => !keys.has(key)),
        ...elementsWithoutSeen(
          property.elements.filter(({ key }) => keys.has(key)),
          author,
        ),
      ].toSorted(byKey),
    }));
  }
  for (const [name, values] of Object.entries(ops.add ?? {})) {
    const added = new Map(values.map((value) => [valueKey(value), inOneSpelling(value)]));
    update(name, (property) => ({
      candidates: property.candidates.filter((candidate) => !hasSeen(author, candidate)),
      tallies: talliesWithoutSeen(property.tallies, author),
      elements: [
        ...property.elements.filter(({ key }) => !added.has(key)),
        ...(takeInc === null
          ? elementsWithoutSeen(
              property.elements.filter(({ key }) => added.has(key)),
              author,
            )
          : [...added].map(([key, value]) => ({
              key,
              value,
              dots: [
                ...(property.elements.find((element) => element.key === key)?.dots ?? []).filter(
                  (old) => !hasSeen(author, old),
                ),
                dot,
              ].toSorted(byPlace),
            }))),
      ].toSorted(byKey),
    }));
  }
  return after;
}

function destroy(resource: Resource, author: Author): Resource {
  const after = new Map<string, Property>();
  for (const [name, property] of resource) {
    const left = withoutSeen(property, author);
    if (!isEmpty(left)) after.set(name, left);
  }
  return after;
}

function withoutSeen(property: Property, author: Author): Property {
  return {
    candidates:
      property.candidates.length === 0
        ? property.candidates
        : property.candidates.filter((candidate) => !hasSeen(author, candidate)),
    tallies: property.tallies.length === 0 ? property.tallies : talliesWithoutSeen(property.tallies, author),
    elements: property.elements.length === 0 ? property.elements : elementsWithoutSeen(property.elements, author),
  };
}

function hasSeen(author: Author, dot: Dot): boolean {
  return author.past(dot.chain) >= dot.seq;
}

function talliesWithoutSeen(tallies: readonly Tally[], author: Author): readonly Tally[] {
  return tallies.filter((tally) => {
    const seen = author.past(tally.chain);
    if (seen >= tally.seq) return false;
    if (seen >= tally.first) throw new SplitTally();
    return true;
  });
}

function elementsWithoutSeen(elements: readonly Element[], author: Author): readonly Element[] {
  return elements.flatMap((element) => {
    const dots = element.dots.filter((dot) => !hasSeen(author, dot));
    return dots.length === 0 ? [] : [{ ...element, dots }];
  });
}

function insertCandidate(
  candidates: readonly Candidate[],
  added: Candidate,
  rankOf: Author['rankOf'],
): readonly Candidate[] {
  if (candidates.length === 0) return [added];
  return [...candidates, added].toSorted((a, b) => b.time - a.time || compare(rankOf(b.chain), rankOf(a.chain)));
}

/** Of an element that several commits added, each with the keys of a map in its own order, peers would show the spelling that came to them last. */
function inOneSpelling(value: Value): Value {
  if (value === 0) return 0;
  const isComposite = typeof value === 'object' && value !== null && !(value instanceof Uint8Array);
  return isComposite ? (decodeTrusted(encodeCanonical(value)) as Value) : value;
}

function byKey(a: Element, b: Element): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

function isEmpty(property: Property): boolean {
  return property.candidates.length === 0 && property.tallies.length === 0 && property.elements.length === 0;
}

/** What a property shows. */
export function propertyValue({ candidates, tallies, elements }: Property): Value {
  if (elements.length > 0) return elements.map(({ value }) => value);
  const winner = candidates[0];
  if (winner === undefined) return countFrom(0, tallies);
  return typeof winner.value === 'number' ? countFrom(winner.value, tallies) : winner.value;
}

/** A counter ends at ±(2^53 − 1): past it sums are rounded, and would depend on the order in which a peer numbers chains. */
function countFrom(base: number, tallies: readonly Tally[]): number {
  if (tallies.length === 0) return base;
  // What isn't whole is added last, to the rounded sum of the rest.
  const isWhole = Number.isInteger(base);
  const whole = isWhole ? base : 0;
  let sum = whole;
  let isExact = true;
  for (const { total } of tallies) {
    sum += total;
    isExact &&= Number.isSafeInteger(sum);
  }
  if (!isExact) sum = Number(tallies.reduce((exact, { total }) => exact + BigInt(total), BigInt(whole)));
  return Math.min(INTEGER_MAX, Math.max(-INTEGER_MAX, isWhole ? sum : base + sum));
}

/** One of the values that concurrent writes left on a property. The first of a conflict is what the property shows. */
export interface Alternative {
  readonly value: Value;
  /** The latest write that stands behind it. */
  readonly dot: Dot;
}

/** Two or more alternatives with different values, the winner first; empty where there is no conflict. */
export function propertyConflict(property: Property): Alternative[] {
  const { candidates, tallies, elements } = property;
  const alternatives: Alternative[] = [];
  if (elements.length > 0) {
    alternatives.push({ value: propertyValue(property), dot: latest(elements.flatMap(({ dots }) => dots)) });
  }
  for (const candidate of candidates) {
    const value = typeof candidate.value === 'number' ? countFrom(candidate.value, tallies) : candidate.value;
    alternatives.push({ value, dot: dotOf(candidate) });
  }
  const isCounterAlone = tallies.length > 0 && !candidates.some(({ value }) => typeof value === 'number');
  if (isCounterAlone) alternatives.push({ value: countFrom(0, tallies), dot: latest(tallies) });
  if (alternatives.length < 2) return [];
  const byValue = new Map<string, Alternative>();
  for (const alternative of alternatives) {
    const key = valueKey(alternative.value);
    if (!byValue.has(key)) byValue.set(key, alternative);
  }
  return byValue.size < 2 ? [] : [...byValue.values()];
}

/** The latest write that stands behind what a property shows. */
export function propertyAuthor({ candidates, tallies, elements }: Property): Dot {
  const dots =
    elements.length > 0 ? elements.flatMap((element) => element.dots) : [...candidates.slice(0, 1), ...tallies];
  return latest(dots);
}

function latest(dots: readonly Dot[]): Dot {
  return dotOf(dots.reduce((a, b) => (b.time > a.time || (b.time === a.time && b.chain > a.chain) ? b : a)));
}

function dotOf({ chain, seq, time }: Dot): Dot {
  return { chain, seq, time };
}

/** What every property shows, by name in ascending order. */
export function resourceValue(resource: Resource): Record<string, Value> {
  return Object.fromEntries([...resource.keys()].toSorted().map((name) => [name, propertyValue(resource.get(name)!)]));
}

/** The conflicts of a resource, by property name. */
export function resourceConflicts(resource: Resource): Map<string, Alternative[]> {
  const conflicts = new Map<string, Alternative[]>();
  for (const [name, property] of resource) {
    const alternatives = propertyConflict(property);
    if (alternatives.length > 0) conflicts.set(name, alternatives);
  }
  return conflicts;
}

/**
 * Operations that make what a resource shows, in one commit on an empty subject; null for an empty resource. A counter is made
 * by inc and a set by add, so that what others do at the same time still merges.
 */
export function resourceOps(resource: Resource): Ops | null {
  const set: Record<string, Value> = {};
  const inc: Record<string, number> = {};
  const add: Record<string, readonly Value[]> = {};
  for (const name of [...resource.keys()].toSorted()) {
    const property = resource.get(name)!;
    if (property.elements.length > 0) add[name] = property.elements.map(({ value }) => value);
    else if (property.candidates.length > 0) set[name] = propertyValue(property);
    else inc[name] = countFrom(0, property.tallies);
  }
  const ops = {
    ...(Object.keys(set).length > 0 && { set }),
    ...(Object.keys(inc).length > 0 && { inc }),
    ...(Object.keys(add).length > 0 && { add }),
  };
  return Object.keys(ops).length > 0 ? ops : null;
}

/*
 * State on disk. What one commit set and nothing touched since, nearly everything: msgpack [chain, seq, time, {name: value, …}], names
 * ascending, which plain-batch.ts writes without reading the values. Anything else: msgpack [dots, names, properties]. `dots` is flat: chain, seq, time, chain, seq, time, …, each distinct one once, because the properties
 * of a resource come from few commits. A property with one candidate, nearly all of them, is [dot, value]; any other is
 * [candidates [dot, value, …], tallies [dot, first, total, …], elements [value, [dot, …], …]].
 */
export function encodeResource(resource: Resource): Uint8Array {
  const dots: number[] = [];
  const indexes = new Map<string, number>();
  let last: Dot | null = null;
  let lastIndex = -1;
  const indexOf = (dot: Dot): number => {
    if (last !== null && last.chain === dot.chain && last.seq === dot.seq && last.time === dot.time) return lastIndex;
    const key = `${dot.chain} ${dot.seq}`;
    let index = indexes.get(key);
    if (index === undefined) {
      index = dots.length / 3;
      dots.push(dot.chain, dot.seq, dot.time);
      indexes.set(key, index);
    }
    last = dot;
    lastIndex = index;
    return index;
  };
  const names = [...resource.keys()].sort();
  const one = onlyDot(resource);
  if (one) {
    const values = Object.fromEntries(names.map((name) => [name, resource.get(name)!.candidates[0]!.value]));
    return encode([one.chain, one.seq, one.time, values]);
  }
  const properties = names.map((name) => {
    const { candidates, tallies, elements } = resource.get(name)!;
    if (candidates.length === 1 && tallies.length === 0 && elements.length === 0)
      return [indexOf(candidates[0]!), candidates[0]!.value];
    return [
      candidates.flatMap((candidate) => [indexOf(candidate), candidate.value] as unknown[]),
      tallies.flatMap((tally) => [indexOf(tally), tally.first, tally.total]),
      elements.flatMap((element) => [element.value, element.dots.map(indexOf)] as unknown[]),
    ];
  });
  return encode([dots, names, properties]);
}

/** The commit that wrote every property, each with one candidate and nothing else; null where there were several. */
function onlyDot(resource: Resource): Dot | null {
  let one: Dot | null = null;
  for (const { candidates, tallies, elements } of resource.values()) {
    const candidate = candidates[0];
    if (!candidate || candidates.length > 1 || tallies.length > 0 || elements.length > 0) return null;
    if (one === null) one = candidate;
    else if (one.chain !== candidate.chain || one.seq !== candidate.seq || one.time !== candidate.time) return null;
  }
  return one;
}

/** Writes the head of a state record of one commit, so that it ends at `end`; returns where it begins. At most 24 bytes. */
export function writeRecordHead(target: Uint8Array, end: number, { chain, seq, time }: Dot): number {
  const head = encode([chain, seq, time, null]);
  // Without the nil that stands for the properties.
  const start = end - (head.length - 1);
  target.set(head.subarray(0, -1), start);
  return start;
}

/** Of what `encodeResource` made. Throws `data-damaged` for what can't be that; it looks no further than it needs to. */
export function decodeResource(bytes: Uint8Array): Resource {
  try {
    return readResource(decodeTrusted(bytes) as unknown[]);
  } catch (cause) {
    throw new TidelogError('data-damaged', 'a resource is not what was written', {}, { cause });
  }
}

function readResource(record: unknown[]): Resource {
  if (record.length === 4) {
    const [chain, seq, time, values] = record as [number, number, number, Record<string, Value>];
    const set = new Map<string, Property>();
    for (const name of Object.keys(values))
      set.set(name, { candidates: [{ chain, seq, time, value: values[name]! }], tallies: [], elements: [] });
    return set;
  }
  const [dots, names, properties] = record as [number[], string[], unknown[][]];
  const dotAt = (index: number): Dot => ({
    chain: dots[index * 3]!,
    seq: dots[index * 3 + 1]!,
    time: dots[index * 3 + 2]!,
  });
  const resource = new Map<string, Property>();
  for (let i = 0; i < names.length; i++) {
    const property = properties[i]!;
    if (property.length === 2) {
      resource.set(names[i]!, {
        candidates: [{ ...dotAt(property[0] as number), value: property[1] as Value }],
        tallies: [],
        elements: [],
      });
      continue;
    }
    const [candidates, tallies, elements] = property as [unknown[], number[], unknown[]];
    const decoded = {
      candidates: [] as Candidate[],
      tallies: [] as Tally[],
      elements: [] as Element[],
    };
    for (let k = 0; k < candidates.length; k += 2)
      decoded.candidates.push({ ...dotAt(candidates[k] as number), value: candidates[k + 1] as Value });
    for (let k = 0; k < tallies.length; k += 3) {
      const [first, total] = [tallies[k + 1]!, tallies[k + 2]!];
      if (!Number.isInteger(first) || !Number.isInteger(total)) throw new TypeError('a counter is not whole');
      decoded.tallies.push({ ...dotAt(tallies[k]!), first, total });
    }
    for (let k = 0; k < elements.length; k += 2) {
      const value = elements[k] as Value;
      const indexes = elements[k + 1] as number[];
      if (indexes.length === 0) throw new TypeError('an element that nobody added');
      decoded.elements.push({ key: valueKey(value), value, dots: indexes.map(dotAt) });
    }
    resource.set(names[i]!, decoded);
  }
  return resource;
}

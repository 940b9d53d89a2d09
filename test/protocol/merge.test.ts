import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Ops } from '../../protocol/body.ts';
import { compare, toHex } from '../../protocol/bytes.ts';
import {
  apply,
  applyUnfolded,
  removeSeen,
  decodeResource,
  EMPTY_RESOURCE,
  encodeResource,
  fold,
  propertyAuthor,
  resourceConflicts,
  resourceOps,
  resourceValue,
  SplitTally,
  type Resource,
} from '../../protocol/merge.ts';
import { encodeCanonical } from '../../protocol/msgpack.ts';
import { valueKey, type Value } from '../../protocol/value.ts';

/** A commit in a graph of commits of a few chains. `past` is the highest seq of each chain that its author had seen. */
interface Commit {
  readonly chain: number;
  readonly seq: number;
  readonly time: number;
  readonly ops: Ops;
  readonly past: readonly number[];
}

const rankOf = (chain: number): Uint8Array => Uint8Array.of(chain);
const pastOf =
  ({ past }: Commit) =>
  (chain: number): number =>
    past[chain] ?? 0;
const isBefore = (one: { chain: number; seq: number }, other: Commit): boolean => pastOf(other)(one.chain) >= one.seq;

/** What a peer does: applies in order, and replays the subject where a tally splits. `numberOf` is the peer's own numbering of chains. */
function run(order: readonly Commit[], numberOf: (chain: number) => number = (chain) => chain): Resource {
  const back = new Map<number, number>();
  for (let chain = 0; chain < 8; chain++) back.set(numberOf(chain), chain);
  const authorOf = (commit: Commit) => ({
    chain: numberOf(commit.chain),
    seq: commit.seq,
    time: commit.time,
    past: (chain: number) => pastOf(commit)(back.get(chain)!),
    rankOf: (chain: number) => rankOf(back.get(chain)!),
  });
  let resource = EMPTY_RESOURCE;
  for (const [at, commit] of order.entries()) {
    try {
      resource = apply(resource, commit.ops, authorOf(commit));
    } catch (thrown) {
      if (!(thrown instanceof SplitTally)) throw thrown;
      let replayed = EMPTY_RESOURCE;
      for (const earlier of order.slice(0, at + 1)) replayed = applyUnfolded(replayed, earlier.ops, authorOf(earlier));
      resource = fold(replayed);
    }
    // As if it had been stored and read again at every step.
    resource = decodeResource(encodeResource(resource));
  }
  return resource;
}

// ---- a few lines to write histories with: devices 0, 1, 2 with times that rise from commit to commit

class History {
  readonly commits: Commit[] = [];
  readonly #seen: number[][] = [0, 1, 2, 3].map(() => [0, 0, 0, 0]);
  #time = 1000;

  write(chain: number, ops: Ops, time = (this.#time += 10)): Commit {
    const seen = this.#seen[chain]!;
    const commit = { chain, seq: seen[chain]! + 1, time, ops, past: [...seen] };
    seen[chain] = commit.seq;
    this.commits.push(commit);
    return commit;
  }

  /** Everything that `from` has seen, `to` now has too. */
  sync(from: number, to: number): void {
    for (const [chain, seq] of this.#seen[from]!.entries())
      this.#seen[to]![chain] = Math.max(this.#seen[to]![chain]!, seq);
  }
}

/** The value and the conflicts, which must not depend on the order. */
function outcome(history: History): { value: Record<string, Value>; conflicts: Record<string, Value[]> } {
  const resource = run(history.commits);
  const conflicts = Object.fromEntries(
    [...resourceConflicts(resource)].map(([name, alternatives]) => [name, alternatives.map(({ value }) => value)]),
  );
  const outcome = { value: resourceValue(resource), conflicts };
  for (const order of linearExtensions(history.commits)) {
    const other = run(order);
    expect(toHex(encodeResource(other))).toBe(toHex(encodeResource(resource)));
  }
  return outcome;
}

function* linearExtensions(commits: readonly Commit[], done: readonly Commit[] = []): Generator<readonly Commit[]> {
  if (done.length === commits.length) yield done;
  for (const commit of commits) {
    if (done.includes(commit)) continue;
    const isReady = commits.every((other) => done.includes(other) || !isBefore(other, commit));
    if (isReady) yield* linearExtensions(commits, [...done, commit]);
  }
}

const A = 0;
const B = 1;
const C = 2;
const set = (value: Value): Ops => ({ set: { p: value } });
const shows = (value: Value | undefined, ...conflict: Value[]): object => ({
  value: value === undefined ? {} : { p: value },
  conflicts: conflict.length > 0 ? { p: conflict } : {},
});
const of = (write: (history: History) => void): object => {
  const history = new History();
  write(history);
  return outcome(history);
};

describe('registers', () => {
  test('a later write of one device replaces', () => {
    expect(
      of((h) => {
        h.write(A, set(1));
        h.write(A, set(2));
      }),
    ).toEqual(shows(2));
  });

  test('a write that had seen replaces, though its clock is behind', () => {
    expect(
      of((h) => {
        h.write(A, set('old'), 9000);
        h.sync(A, B);
        h.write(B, set('new'), 1);
      }),
    ).toEqual(shows('new'));
  });

  test('of two that had not seen each other the later shows, and the other is its conflict', () => {
    expect(
      of((h) => {
        h.write(A, set('late'), 9);
        h.write(B, set('early'), 8);
      }),
    ).toEqual(shows('late', 'late', 'early'));
  });

  test('at one time the greater device shows', () => {
    expect(
      of((h) => {
        h.write(B, set('b'), 8);
        h.write(C, set('c'), 8);
        h.write(A, set('a'), 8);
      }),
    ).toEqual(shows('c', 'c', 'b', 'a'));
  });

  test('equal values are no conflict', () => {
    expect(
      of((h) => {
        h.write(A, set({ a: 1, b: 2 }));
        h.write(B, set({ b: 2, a: 1 }));
      }),
    ).toEqual(shows({ a: 1, b: 2 }));
  });

  test('a write that had seen the conflict resolves it', () => {
    expect(
      of((h) => {
        h.write(A, set('a'));
        h.write(B, set('b'));
        h.sync(A, B);
        h.write(B, set('both'), 1);
      }),
    ).toEqual(shows('both'));
  });

  test('one that had seen half of it leaves the other half', () => {
    expect(
      of((h) => {
        h.write(A, set('a'), 50);
        h.write(B, set('b'), 60);
        h.write(B, set('b2'), 40);
      }),
    ).toEqual(shows('a', 'a', 'b2'));
  });

  test('unset removes what it had seen', () => {
    expect(
      of((h) => {
        h.write(A, set(1));
        h.sync(A, B);
        h.write(B, { unset: ['p'] });
      }),
    ).toEqual(shows(undefined));
  });

  test('unset leaves a set that it had not seen, whose time does not matter', () => {
    expect(
      of((h) => {
        h.write(A, set(1));
        h.sync(A, B);
        h.write(A, set(2), 5);
        h.write(B, { unset: ['p'] }, 9999);
      }),
    ).toEqual(shows(2));
  });

  test('unset of half a conflict leaves the other half', () => {
    expect(
      of((h) => {
        h.write(A, set('a'));
        h.write(B, set('b'));
        h.write(A, { unset: ['p'] });
      }),
    ).toEqual(shows('b'));
  });

  test('different properties never conflict', () => {
    expect(
      of((h) => {
        h.write(A, { set: { a: 1 } });
        h.write(B, { set: { b: 2 } });
      }),
    ).toEqual({ value: { a: 1, b: 2 }, conflicts: {} });
  });

  test('three devices, of which one had seen one', () => {
    expect(
      of((h) => {
        h.write(A, set('a'));
        h.sync(A, B);
        h.write(B, set('b'));
        h.write(C, set('c'), 1);
      }),
    ).toEqual(shows('b', 'b', 'c'));
  });
});

describe('counters', () => {
  test('all count', () => {
    expect(
      of((h) => {
        h.write(A, { inc: { p: 2 } });
        h.write(A, { inc: { p: 3 } });
        h.write(B, { inc: { p: -10 } });
        h.write(C, { inc: { p: 0 } });
      }),
    ).toEqual(shows(-5));
  });

  test('on top of a number that was seen, and of one that was not', () => {
    expect(
      of((h) => {
        h.write(A, set(100));
        h.write(A, { inc: { p: 1 } });
        h.write(B, { inc: { p: 10 } });
      }),
    ).toEqual(shows(111));
  });

  test('a set replaces the incs that it had seen, and no others', () => {
    expect(
      of((h) => {
        h.write(A, { inc: { p: 5 } });
        h.sync(A, B);
        h.write(A, { inc: { p: 7 } });
        h.write(C, { inc: { p: 1 } });
        h.write(B, set(0));
      }),
    ).toEqual(shows(8));
  });

  test('unset stops it, and a later inc begins at 0', () => {
    expect(
      of((h) => {
        h.write(A, { inc: { p: 5 } });
        h.write(A, { unset: ['p'] });
        h.write(A, { inc: { p: 1 } });
      }),
    ).toEqual(shows(1));
  });

  test('two numbers in conflict are both counted on', () => {
    expect(
      of((h) => {
        h.write(A, set(10));
        h.write(B, set(20));
        h.write(C, { inc: { p: 1 } });
      }),
    ).toEqual(shows(21, 21, 11));
  });

  test('ends at 2^53 − 1, however peers number chains', () => {
    const max = Number.MAX_SAFE_INTEGER;
    for (const [amounts, sum] of [
      [[max, 1, 1, 1], max],
      [[-max, -1, -1, -1], -max],
      [[max, max, -max, -max], 0],
      [[max, 3, -5, 0], max - 2],
      [[max, max, -max, 1 - max], 1],
    ] as const) {
      const h = new History();
      for (const [device, amount] of amounts.entries()) h.write(device, { inc: { p: amount } });
      for (let turn = 0; turn < 4; turn++)
        expect(resourceValue(run(h.commits, (chain) => (chain + turn) % 4))).toEqual({ p: sum });
    }
    expect(
      of((h) => {
        h.write(A, set(max));
        h.write(A, { inc: { p: 2 } });
      }),
    ).toEqual(shows(max));
    // Also on a number that isn't whole: past it there is no value that could be sent or exported.
    expect(
      of((h) => {
        h.write(A, set(0.5));
        h.write(A, { inc: { p: max } });
        h.write(A, { inc: { p: max } });
      }),
    ).toEqual(shows(max));
  });

  test('is exact where the incs of one chain pass 2^53 − 1 on the way', () => {
    const max = Number.MAX_SAFE_INTEGER;
    expect(
      of((h) => {
        h.write(A, { inc: { p: max } });
        h.write(B, { inc: { p: max } });
        h.write(B, { inc: { p: 3 } });
        h.write(C, { inc: { p: -max } });
        h.write(C, { inc: { p: -10 } });
      }),
    ).toEqual(shows(max - 7));
    expect(
      of((h) => {
        for (const amount of [max, 2, max, 2, -max, -max, -5]) h.write(A, { inc: { p: amount } });
      }),
    ).toEqual(shows(-1));
  });

  test('is exact where only the number that it counts on brings it back below 2^53', () => {
    const max = Number.MAX_SAFE_INTEGER;
    expect(
      of((h) => {
        h.write(A, set(-max));
        h.write(A, { inc: { p: max } });
        h.write(B, { inc: { p: max - 3 } });
        h.write(C, { inc: { p: 2 } });
      }),
    ).toEqual(shows(max - 1));
  });
});

describe('sets', () => {
  const add = (...values: Value[]): Ops => ({ add: { p: values } });
  const remove = (...values: Value[]): Ops => ({ remove: { p: values } });

  test('values are there once, in one order', () => {
    expect(
      of((h) => {
        h.write(A, add('b', 'a', 'b'));
        h.write(B, add('a', 'c'));
      }),
    ).toEqual(shows(['a', 'b', 'c']));
  });

  test('a remove takes what it had seen', () => {
    expect(
      of((h) => {
        h.write(A, add('a', 'b'));
        h.sync(A, B);
        h.write(B, remove('a'));
      }),
    ).toEqual(shows(['b']));
  });

  test('an add wins over a remove that had not seen it', () => {
    expect(
      of((h) => {
        h.write(A, add('a'));
        h.sync(A, B);
        h.write(A, add('a'), 1);
        h.write(B, remove('a'), 9999);
      }),
    ).toEqual(shows(['a']));
  });

  test('a remove of what was never added is nothing, also for an add that comes later', () => {
    expect(
      of((h) => {
        h.write(A, remove('a'));
        h.write(B, add('a'));
      }),
    ).toEqual(shows(['a']));
  });

  test('an empty set is no property', () => {
    expect(
      of((h) => {
        h.write(A, add('a'));
        h.write(A, remove('a'));
      }),
    ).toEqual(shows(undefined));
  });

  test('add and remove in one commit: the added one stays', () => {
    expect(
      of((h) => {
        h.write(A, add('a', 'b'));
        h.write(A, { add: { p: ['a'] }, remove: { p: ['a', 'b'] } });
      }),
    ).toEqual(shows(['a']));
  });

  test('a value that is added again and again takes no more room', () => {
    const h = new History();
    const sizes = [1, 2, 3, 4].map(() => {
      h.write(A, add('a'));
      h.sync(A, B);
      h.write(B, add('a'));
      h.sync(B, A);
      return encodeResource(run(h.commits)).length;
    });
    expect(new Set(sizes).size).toBe(1);
  });

  test('one value in two spellings is one, and looks the same everywhere', () => {
    expect(
      of((h) => {
        h.write(A, add({ x: 1, y: [{ b: 2, a: 3 }] }));
        h.write(B, add({ y: [{ a: 3, b: 2 }], x: 1 }));
      }),
    ).toEqual(shows([{ x: 1, y: [{ b: 2, a: 3 }] }]));
  });

  test('set replaces a set that it had seen; the values it had not seen show, with the register as conflict', () => {
    expect(
      of((h) => {
        h.write(A, add('a'));
        h.sync(A, B);
        h.write(A, add('b'));
        h.write(B, set('text'));
      }),
    ).toEqual(shows(['b'], ['b'], 'text'));
  });
});

describe('where kinds meet', () => {
  test('an inc that had seen text replaces it, and counts from 0', () => {
    expect(
      of((h) => {
        h.write(A, set('text'));
        h.write(A, { inc: { p: 3 } });
      }),
    ).toEqual(shows(3));
  });

  test('an inc that had not seen the text is its conflict', () => {
    expect(
      of((h) => {
        h.write(A, set('text'));
        h.write(B, { inc: { p: 3 } });
      }),
    ).toEqual(shows('text', 'text', 3));
  });

  test('an add that had seen the register and the counter replaces both', () => {
    expect(
      of((h) => {
        h.write(A, set(5));
        h.write(A, { inc: { p: 3 } });
        h.write(A, { add: { p: ['a'] } });
      }),
    ).toEqual(shows(['a']));
  });

  test('elements show first, then the register, then the counter', () => {
    expect(
      of((h) => {
        h.write(A, set('text'));
        h.write(B, { inc: { p: 3 } });
        h.write(C, { add: { p: ['a'] } }, 1);
      }),
    ).toEqual(shows(['a'], ['a'], 'text', 3));
  });

  test('a remove touches neither register nor counter', () => {
    expect(
      of((h) => {
        h.write(A, set(5));
        h.write(A, { inc: { p: 3 } });
        h.write(A, { remove: { p: [5, 8] } });
      }),
    ).toEqual(shows(8));
  });

  test('an inc replaces the elements that it had seen', () => {
    expect(
      of((h) => {
        h.write(A, { add: { p: ['a'] } });
        h.write(A, { inc: { p: 3 } });
      }),
    ).toEqual(shows(3));
  });
});

describe('destroy', () => {
  test('removes every property that it had seen', () => {
    expect(
      of((h) => {
        h.write(A, { set: { p: 1, q: 2 }, inc: { r: 1 }, add: { s: [1] } });
        h.sync(A, B);
        h.write(B, { destroy: true });
      }),
    ).toEqual(shows(undefined));
  });

  test('a concurrent edit survives, and only that', () => {
    expect(
      of((h) => {
        h.write(A, { set: { p: 1, q: 2 } });
        h.sync(A, B);
        h.write(A, set(3), 1);
        h.write(B, { destroy: true }, 9999);
      }),
    ).toEqual(shows(3));
  });

  test('comes before what its commit sets', () => {
    expect(
      of((h) => {
        h.write(A, { set: { p: 1, q: 2 } });
        h.write(A, { destroy: true, set: { p: 3 } });
      }),
    ).toEqual(shows(3));
  });

  test('twice at once is once', () => {
    expect(
      of((h) => {
        h.write(A, set(1));
        h.sync(A, B);
        h.write(A, { destroy: true });
        h.write(B, { destroy: true });
      }),
    ).toEqual(shows(undefined));
  });

  test('nothing that was destroyed comes back through one who had not heard', () => {
    expect(
      of((h) => {
        h.write(A, set(1));
        h.sync(A, B);
        h.sync(A, C);
        h.write(B, { destroy: true });
        h.write(C, { set: { q: 2 } });
      }),
    ).toEqual({ value: { q: 2 }, conflicts: {} });
  });
});

describe('a tally that splits', () => {
  const split = (): History => {
    const h = new History();
    h.write(A, { inc: { p: 1 } });
    h.sync(A, B);
    h.write(A, { inc: { p: 10 } });
    h.write(B, { set: { p: 100 } });
    return h;
  };

  test('is said, and changes nothing', () => {
    const [one, two, three] = split().commits as [Commit, Commit, Commit];
    const before = run([one, two]);
    const bytes = toHex(encodeResource(before));
    expect(() => apply(before, three.ops, { ...three, past: pastOf(three), rankOf })).toThrow(SplitTally);
    expect(toHex(encodeResource(before))).toBe(bytes);
  });

  test('is settled by a replay', () => {
    expect(outcome(split())).toEqual(shows(110));
  });

  test('does not split where all of it was seen, or none', () => {
    const h = new History();
    h.write(A, { inc: { p: 1 } });
    h.write(A, { inc: { p: 10 } });
    h.write(B, { set: { p: 50 } });
    h.sync(A, C);
    h.write(C, { set: { p: 100 } });
    let resource = EMPTY_RESOURCE;
    for (const commit of h.commits) resource = apply(resource, commit.ops, { ...commit, past: pastOf(commit), rankOf });
    expect(resourceValue(resource)).toEqual({ p: 100 });
  });
});

// ---- the oracle

/** Few, so that writes meet. */
const NAMES = ['p', 'q'];
const VALUES: readonly Value[] = ['x', 7, 'y', { a: 1, b: 2 }, { b: 2, a: 1 }, null];
const writeOf: fc.Arbitrary<Ops> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ name: fc.constantFrom('p', 'p', 'q'), kind: fc.nat(7), value: fc.constantFrom(...VALUES), amount: fc.integer({ min: -5, max: 5 }) }).map(({ name, kind, value, amount }): Ops => {
    switch (kind) {
      case 0: return { set: { [name]: value } };
      case 1: return { unset: [name] };
      case 2: case 5: case 6: return { inc: { [name]: amount } };
      case 3: return { add: { [name]: [value, 'x'] } };
      case 4: return { remove: { [name]: [value] } };
      default: return { set: { [name]: amount } };
    }
  }) },
  { weight: 1, arbitrary: fc.constant<Ops>({ destroy: true }) },
  { weight: 1, arbitrary: fc.constantFrom(...VALUES).map((value): Ops => ({ destroy: true, set: { p: value }, inc: { q: 1 } })) },
  { weight: 1, arbitrary: fc.constantFrom(...VALUES).map((value): Ops => ({ add: { p: [value] }, remove: { p: VALUES }, unset: ['q'] })) },
); // prettier-ignore

type Step =
  | { readonly kind: 'write'; readonly device: number; readonly ops: Ops; readonly drift: number }
  | { readonly kind: 'pull'; readonly to: number; readonly from: number; readonly part: number };

const steps = (devices: number): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({ kind: fc.constant('write' as const), device: fc.nat(devices - 1), ops: writeOf, drift: fc.integer({ min: -3, max: 3 }) }), // prettier-ignore
      },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant('pull' as const), to: fc.nat(devices - 1), from: fc.nat(devices - 1), part: fc.double({ min: 0, max: 1, noNaN: true }) }), // prettier-ignore
      },
    ),
    { minLength: 3, maxLength: 60, size: 'max' },
  );

/** Peers that write and pull parts of each other's logs, in log order as on the wire. Gives each one's log. */
function simulate(devices: number, history: readonly Step[]): Commit[][] {
  const logs: Commit[][] = Array.from({ length: devices }, () => []);
  const has = (log: Commit[], commit: Commit): boolean => log.includes(commit);
  let time = 100;
  for (const step of history) {
    if (step.kind === 'write') {
      const log = logs[step.device]!;
      const past = Array.from({ length: devices }, (_, chain) =>
        Math.max(0, ...log.filter((commit) => commit.chain === chain).map(({ seq }) => seq)),
      );
      // Clocks are wrong by a little, and often equal; along one chain they rise.
      const last = Math.max(0, ...log.filter(({ chain }) => chain === step.device).map((commit) => commit.time));
      time += 1;
      log.push({ chain: step.device, seq: past[step.device]! + 1, time: Math.max(last + 1, time + step.drift), ops: step.ops, past }); // prettier-ignore
    } else {
      const missing = logs[step.from]!.filter((commit) => !has(logs[step.to]!, commit));
      logs[step.to]!.push(...missing.slice(0, Math.ceil(missing.length * step.part)));
    }
  }
  return logs;
}

/** What a resource should be, from nothing but the graph: every write stands unless a write that had seen it superseded it. */
function oracle(commits: readonly Commit[]): { value: Record<string, Value>; conflicts: Record<string, Value[]> } {
  const value: Record<string, Value> = {};
  const conflicts: Record<string, Value[]> = {};
  const wins = (a: Commit, b: Commit): number => b.time - a.time || compare(rankOf(b.chain), rankOf(a.chain));
  for (const name of NAMES) {
    const later = (commit: Commit): Commit[] => commits.filter((other) => other !== commit && isBefore(commit, other));
    const clears = ({ ops }: Commit): boolean =>
      ops.destroy === true || (ops.set !== undefined && name in ops.set) || (ops.unset ?? []).includes(name);
    const adds = ({ ops }: Commit, key?: string): boolean =>
      (ops.add?.[name] ?? []).some((item) => key === undefined || valueKey(item) === key);
    const removes = ({ ops }: Commit, key: string): boolean =>
      (ops.remove?.[name] ?? []).some((item) => valueKey(item) === key);
    const incs = ({ ops }: Commit): boolean => ops.inc?.[name] !== undefined;

    const registers = commits
      .filter(({ ops }) => ops.set !== undefined && name in ops.set)
      .filter(
        (commit) =>
          !later(commit).some(
            (other) => clears(other) || adds(other) || (incs(other) && typeof commit.ops.set![name] !== 'number'),
          ),
      )
      .sort(wins);
    const counted = commits.filter(incs).filter((commit) => !later(commit).some((other) => clears(other) || adds(other))); // prettier-ignore
    const elements = new Map<string, Value>();
    for (const commit of commits)
      for (const item of commit.ops.add?.[name] ?? []) {
        const key = valueKey(item);
        const isGone = later(commit).some(
          (other) => clears(other) || incs(other) || removes(other, key) || adds(other, key),
        );
        if (!isGone) elements.set(key, item);
      }

    const sum = counted.reduce((total, { ops }) => total + ops.inc![name]!, 0);
    const shown: Value[] = [];
    if (elements.size > 0) shown.push([...elements].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, item]) => item));
    for (const { ops } of registers) {
      const set = ops.set![name]!;
      shown.push(typeof set === 'number' ? set + sum : set);
    }
    if (counted.length > 0 && !registers.some(({ ops }) => typeof ops.set![name] === 'number')) shown.push(sum);
    if (shown.length === 0) continue;
    value[name] = shown[0]!;
    const distinct = [...new Map(shown.toReversed().map((item) => [valueKey(item), item])).keys()];
    if (distinct.length > 1) {
      const seen = new Set<string>();
      conflicts[name] = shown.filter((item) => !seen.has(valueKey(item)) && seen.add(valueKey(item)));
    }
  }
  return { value, conflicts };
}

const look = (resource: Resource): ReturnType<typeof oracle> => ({
  value: resourceValue(resource),
  conflicts: Object.fromEntries(
    [...resourceConflicts(resource)].map(([name, alternatives]) => [name, alternatives.map(({ value }) => value)]),
  ),
});
/** Equal as values: the order of keys in a map is no part of one. */
const same = (outcome: ReturnType<typeof oracle>): string => toHex(encodeCanonical(outcome));

/** A linear extension chosen by numbers. */
function shuffled(commits: readonly Commit[], picks: readonly number[]): Commit[] {
  const left = [...commits];
  const order: Commit[] = [];
  for (let i = 0; left.length > 0; i++) {
    const ready = left.filter((commit) => !left.some((other) => other !== commit && isBefore(other, commit)));
    const next = ready[(picks[i % picks.length] ?? 0) % ready.length]!;
    left.splice(left.indexOf(next), 1);
    order.push(next);
  }
  return order;
}

describe('against an oracle over the whole graph', () => {
  const graph = fc.integer({ min: 2, max: 4 }).chain((devices) => fc.tuple(fc.constant(devices), steps(devices)));
  const picks = fc.array(fc.array(fc.nat(9), { minLength: 1, maxLength: 30 }), { minLength: 3, maxLength: 3 });

  test('every peer at every time shows what the graph of what it has says', () => {
    fc.assert(
      fc.property(graph, ([devices, history]) => {
        for (const log of simulate(devices, history)) expect(same(look(run(log)))).toBe(same(oracle(log)));
      }),
      { numRuns: 1500 },
    );
  });

  test('every order of delivery gives the same bytes', () => {
    let splits = 0;
    fc.assert(
      fc.property(graph, picks, ([devices, history], orders) => {
        const everything = [...new Set(simulate(devices, history).flat())];
        const first = run(shuffled(everything, [0]));
        expect(same(look(first))).toBe(same(oracle(everything)));
        for (const order of orders) {
          const other = run(shuffled(everything, order));
          expect(toHex(encodeResource(other))).toBe(toHex(encodeResource(first)));
        }
        // The replay is not a rescue only: it gives what applying in one go gives.
        let unfolded = EMPTY_RESOURCE;
        let folded: Resource | null = EMPTY_RESOURCE;
        for (const commit of shuffled(everything, orders[0]!)) {
          const author = { ...commit, past: pastOf(commit), rankOf };
          unfolded = applyUnfolded(unfolded, commit.ops, author);
          try {
            folded = folded && apply(folded, commit.ops, author);
          } catch (thrown) {
            if (!(thrown instanceof SplitTally)) throw thrown;
            folded = null;
            splits++;
          }
        }
        expect(toHex(encodeResource(fold(unfolded)))).toBe(toHex(encodeResource(first)));
        if (folded) expect(toHex(encodeResource(folded))).toBe(toHex(encodeResource(first)));
      }),
      { numRuns: 1500 },
    );
    expect(splits).toBeGreaterThan(15);
  });

  test('also an order that is not causal does, where what each had seen is taken away again at the end', () => {
    fc.assert(
      fc.property(graph, fc.array(fc.nat(), { minLength: 40, maxLength: 40 }), ([devices, history], keys) => {
        const everything = [...new Set(simulate(devices, history).flat())];
        const order = everything.map((commit, i) => [keys[i % keys.length]!, commit] as const);
        let resource = EMPTY_RESOURCE;
        for (const step of [applyUnfolded, removeSeen]) {
          for (const [, commit] of order.toSorted(([a], [b]) => a - b))
            resource = step(resource, commit.ops, { ...commit, past: pastOf(commit), rankOf });
        }
        expect(toHex(encodeResource(fold(resource)))).toBe(toHex(encodeResource(run(shuffled(everything, [0])))));
      }),
      { numRuns: 1500 },
    );
  });

  test('peers that number chains in other ways show the same', () => {
    fc.assert(
      fc.property(graph, picks, fc.nat(3), ([devices, history], [order], turn) => {
        const everything = [...new Set(simulate(devices, history).flat())];
        const one = run(shuffled(everything, [0]));
        const other = run(shuffled(everything, order!), (chain) => (chain + turn) % 8);
        // Byte for byte, not only as values: exports of equal states are equal.
        expect(JSON.stringify(look(other))).toBe(JSON.stringify(look(one)));
        expect(JSON.stringify(resourceOps(other))).toBe(JSON.stringify(resourceOps(one)));
      }),
      { numRuns: 300 },
    );
  });

  test('what a resource exports makes it again', () => {
    fc.assert(
      fc.property(graph, ([devices, history]) => {
        for (const log of simulate(devices, history)) {
          const resource = run(log);
          const ops = resourceOps(resource);
          if (ops === null) {
            expect(resource.size).toBe(0);
            continue;
          }
          const again = run([{ chain: 0, seq: 1, time: 1, ops, past: [0] }]);
          expect(resourceValue(again)).toEqual(resourceValue(resource));
          expect(resourceOps(again)).toEqual(ops);
          expect(resourceConflicts(again).size).toBe(0);
        }
      }),
      { numRuns: 200 },
    );
  });

  test('encoding and decoding is nothing', () => {
    fc.assert(
      fc.property(graph, ([devices, history]) => {
        for (const log of simulate(devices, history)) {
          let resource = EMPTY_RESOURCE;
          for (const commit of log) {
            const author = { ...commit, past: pastOf(commit), rankOf };
            resource = applyUnfolded(resource, commit.ops, author);
          }
          for (const state of [fold(resource), run(log)]) {
            expect(toHex(encodeResource(decodeResource(encodeResource(state))))).toBe(toHex(encodeResource(state)));
            expect(look(decodeResource(encodeResource(state)))).toEqual(look(state));
            for (const property of state.values()) expect(propertyAuthor(property).seq).toBeGreaterThan(0);
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});

/** Chapters 8 and 9: what a resource shows after writes that had or hadn't seen each other, and clocks. */
import { decodeBody, type Ops } from '../../protocol/body.ts';
import { compare } from '../../protocol/bytes.ts';
import { CLOCK_AHEAD_MAX_US, INTEGER_MAX } from '../../protocol/constants.ts';
import type { Case, Trial } from '../case.ts';
import { keeps, offer, section, subject, writesItself } from '../offer.ts';
import { expect } from '../violation.ts';
import { set, type Author } from '../world.ts';

interface Write {
  /** Who: a letter for each device; `A2` is the second chain of `A`. */
  readonly by: string;
  readonly ops: Ops | Record<string, unknown>;
  /** Which writes of others its deps name, by their place in the story; of each chain the last one. */
  readonly saw?: readonly number[];
  /** µs after the story's beginning; its place in the story, in ms, unless told otherwise. */
  readonly at?: number;
}

type Shown = Record<string, unknown> | null;

export interface Story {
  readonly title: string;
  readonly rule: string;
  readonly writes: readonly Write[];
  readonly shows: Shown | ((authors: ReadonlyMap<string, Author>) => Shown);
}

/**
 * Two orders in which the writes of a story may come: as told, and the one that takes the last of those that may come next. A chain's own
 * writes stay in order, and nothing comes before what it had seen.
 */
function ordersOf(writes: readonly Write[]): number[][] {
  const told = writes.map((_, i) => i);
  const backwards: number[] = [];
  const isReady = (i: number): boolean =>
    !backwards.includes(i) &&
    (writes[i]!.saw ?? []).every((seen) => backwards.includes(seen)) &&
    told.every((before) => before >= i || writes[before]!.by !== writes[i]!.by || backwards.includes(before));
  while (backwards.length < told.length) backwards.push(told.findLast(isReady)!);
  return [told, backwards];
}

/** The story by authors of its own, on a subject of its own, in this order. */
async function tell(
  trial: Trial,
  pull: Awaited<ReturnType<typeof offer>>['pull'],
  { writes }: Story,
  order: readonly number[],
  isOneBatch: boolean,
): Promise<{ name: string; authors: Map<string, Author> }> {
  const { world } = trial;
  const name = subject('story');
  const authors = new Map<string, Author>();
  for (const { by } of writes) {
    if (authors.has(by)) continue;
    const device = authors.get(by[0]!)?.device;
    authors.set(by, device ? world.author(device) : trial.author());
  }
  const grants = { chain: world.owner.chain.id, seq: world.owner.last!.seq };
  const seqOf = (i: number): number => writes.slice(0, i + 1).filter(({ by }) => by === writes[i]!.by).length;
  const startUs = Date.now() * 1000;
  for (const i of order) {
    const { by, ops, saw = [], at = i * 1000 } = writes[i]!;
    const author = authors.get(by)!;
    const seen = new Map<string, number>();
    for (const each of saw) seen.set(writes[each]!.by, Math.max(seqOf(each), seen.get(writes[each]!.by) ?? 0));
    const deps = [...seen].map(([who, seq]) => ({ chain: authors.get(who)!.chain.id, seq }));
    if (author.commits.length === 0) deps.unshift(grants);
    author.write([{ subject: name, ops: ops as Ops }], { deps, time: startUs + at });
    if (!isOneBatch) await pull.sendAll();
  }
  await pull.sendAll();
  return { name, authors };
}

function sortKeys(_key: string, item: unknown): unknown {
  if (item === null || typeof item !== 'object' || Array.isArray(item)) return item;
  return Object.fromEntries(Object.entries(item).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

export function storyCase(id: Case['id'], story: Story): Case {
  return {
    id,
    title: story.title,
    rule: story.rule,
    needs: ['read'],
    async run(trial) {
      const { pull } = await offer(trial);
      const orders = ordersOf(story.writes);
      const told: { name: string; authors: Map<string, Author>; how: string }[] = [];
      for (const order of orders)
        for (const isOneBatch of [true, false]) {
          const how = `writes ${order.map((i) => i + 1).join(', ')} in ${isOneBatch ? 'one batch' : 'batches of one'}`;
          told.push({ ...(await tell(trial, pull, story, order, isOneBatch)), how });
        }
      for (const { name, authors, how } of told) {
        const wanted = typeof story.shows === 'function' ? story.shows(authors) : story.shows;
        const saw = await trial.read(name);
        expect(
          JSON.stringify(saw, sortKeys) === JSON.stringify(wanted, sortKeys),
          `after ${how} it shows ${JSON.stringify(saw)}, and should show ${JSON.stringify(wanted)}`,
        );
      }
    },
  };
}

const TABLE = {
  set: 'of p: candidates, incs and element dots that it had seen',
  inc: "of p: candidates that it had seen and that aren't numbers, and element dots that it had seen",
  remove: 'of p: the dots that it had seen, of those values only',
  add: 'of p: candidates and incs that it had seen; and of those values the element dots that it had seen',
  destroy: 'of every property: candidates, incs and element dots that it had seen',
};

const applying: readonly Story[] = [
  {
    title: 'a set that had seen the other, with an earlier time',
    rule: '**Causality first, clock second.** A write replaces exactly what its author had seen, whatever the clocks say.',
    writes: [
      { by: 'A', ops: { set: { v: 1 } }, at: 9000 },
      { by: 'B', ops: { set: { v: 2 } }, saw: [0], at: 1 },
    ],
    shows: { v: 2 },
  },
  {
    title: 'its own earlier set, with a later time',
    rule: '**Causality first, clock second.** A write replaces exactly what its author had seen, whatever the clocks say.',
    writes: [
      { by: 'A', ops: { set: { v: 1 } }, at: 9000 },
      { by: 'A', ops: { set: { v: 2 } }, at: 1 },
    ],
    shows: { v: 2 },
  },
  {
    title: 'a set that had seen one of two others',
    rule: "Two `set`s that hadn't seen each other both stay as candidates until a write that had seen them.",
    writes: [
      { by: 'A', ops: { set: { v: 1 } }, at: 9000 },
      { by: 'B', ops: { set: { v: 2 } }, at: 5000 },
      { by: 'C', ops: { set: { v: 3 } }, saw: [0], at: 1 },
    ],
    shows: { v: 2 },
  },
  {
    title: 'a set that had seen both',
    rule: "Two `set`s that hadn't seen each other both stay as candidates until a write that had seen them.",
    writes: [
      { by: 'A', ops: { set: { v: 1 } }, at: 9000 },
      { by: 'B', ops: { set: { v: 2 } }, at: 5000 },
      { by: 'C', ops: { set: { v: 3 } }, saw: [0, 1], at: 1 },
    ],
    shows: { v: 3 },
  },
  {
    title: 'what a named commit had seen was not seen by that',
    rule: TABLE.set,
    writes: [
      { by: 'A', ops: { set: { v: 1 } }, at: 9000 },
      { by: 'B', ops: { set: { w: 1 } }, saw: [0] },
      { by: 'C', ops: { set: { v: 2 } }, saw: [1], at: 1 },
    ],
    shows: { v: 1, w: 1 },
  },
  {
    title: 'what an earlier commit of the chain had seen was seen',
    rule: TABLE.set,
    writes: [
      { by: 'A', ops: { set: { v: 1 } }, at: 9000 },
      { by: 'B', ops: { set: { w: 1 } }, saw: [0] },
      { by: 'B', ops: { set: { v: 2 } }, at: 1 },
    ],
    shows: { v: 2, w: 1 },
  },
  {
    title: 'an unset that had seen the set',
    rule: TABLE.set,
    writes: [
      { by: 'A', ops: { set: { v: 1 } }, at: 9000 },
      { by: 'B', ops: { unset: ['v'] }, saw: [0], at: 1 },
    ],
    shows: null,
  },
  {
    title: 'an unset and a set at once',
    rule: "**An `unset` doesn't remove a concurrent `set`.**",
    writes: [
      { by: 'A', ops: { set: { v: 1 } } },
      { by: 'B', ops: { unset: ['v'] }, saw: [0], at: 9000 },
      { by: 'C', ops: { set: { v: 2 } }, saw: [0], at: 1 },
    ],
    shows: { v: 2 },
  },
  {
    title: 'incs at once, on a value that all had seen',
    rule: 'All incs count.',
    writes: [
      { by: 'A', ops: { set: { n: 10 } } },
      { by: 'B', ops: { inc: { n: 1 } }, saw: [0] },
      { by: 'C', ops: { inc: { n: 5 } }, saw: [0] },
      { by: 'B', ops: { inc: { n: -3 } } },
    ],
    shows: { n: 13 },
  },
  {
    title: 'a set takes away the incs that it had seen',
    rule: 'A `set` or `unset` takes away the incs that it had seen and no others.',
    writes: [
      { by: 'A', ops: { inc: { n: 1 } } },
      { by: 'B', ops: { inc: { n: 2 } } },
      { by: 'C', ops: { set: { n: 100 } }, saw: [0] },
    ],
    shows: { n: 102 },
  },
  {
    title: 'a set that had seen the first two of three incs of a chain',
    rule: 'Then it must be able to split the sum again',
    writes: [
      { by: 'A', ops: { inc: { n: 1 } } },
      { by: 'A', ops: { inc: { n: 2 } } },
      { by: 'A', ops: { inc: { n: 4 } } },
      { by: 'B', ops: { set: { n: 100 } }, saw: [1] },
    ],
    shows: { n: 104 },
  },
  {
    title: 'an unset that had seen the first of three incs of a chain',
    rule: 'A `set` or `unset` takes away the incs that it had seen and no others.',
    writes: [
      { by: 'A', ops: { inc: { n: 1 } } },
      { by: 'A', ops: { inc: { n: 2 } } },
      { by: 'A', ops: { inc: { n: 4 } } },
      { by: 'B', ops: { unset: ['n'] }, saw: [0] },
    ],
    shows: { n: 6 },
  },
  {
    title: 'a destroy that had seen the first of two incs of a chain',
    rule: TABLE.destroy,
    writes: [
      { by: 'A', ops: { inc: { n: 1 } } },
      { by: 'A', ops: { inc: { n: 2 } } },
      { by: 'B', ops: { destroy: true }, saw: [0] },
    ],
    shows: { n: 2 },
  },
  {
    title: 'an inc on a text that it had seen',
    rule: TABLE.inc,
    writes: [
      { by: 'A', ops: { set: { n: 'text' } } },
      { by: 'B', ops: { inc: { n: 3 } }, saw: [0] },
    ],
    shows: { n: 3 },
  },
  {
    title: 'an inc on elements that it had seen, and one that it had not',
    rule: TABLE.inc,
    writes: [
      { by: 'A', ops: { add: { n: ['a'], m: ['a'] } } },
      { by: 'B', ops: { add: { m: ['b'] } } },
      { by: 'C', ops: { inc: { n: 2, m: 2 } }, saw: [0] },
    ],
    shows: { n: 2, m: ['b'] },
  },
  {
    title: 'an add on a value and incs that it had seen',
    rule: TABLE.add,
    writes: [
      { by: 'A', ops: { set: { v: 5 } } },
      { by: 'A', ops: { inc: { v: 2 } } },
      { by: 'B', ops: { add: { v: ['x'] } }, saw: [1] },
      { by: 'C', ops: { remove: { v: ['x'] } }, saw: [2] },
    ],
    shows: null,
  },
  {
    title: 'a value beside elements that had not seen it shows when they are gone',
    rule: 'remove` touches neither candidates nor incs',
    writes: [
      { by: 'A', ops: { add: { v: ['x'] } } },
      { by: 'B', ops: { set: { v: 7 } } },
      { by: 'C', ops: { inc: { v: 1 } } },
      { by: 'D', ops: { remove: { v: ['x', 7, 1] } }, saw: [0, 1, 2] },
    ],
    shows: { v: 8 },
  },
  {
    title: 'an add and a remove at once',
    rule: "An `add` wins over a `remove` that hadn't seen it.",
    writes: [
      { by: 'A', ops: { add: { v: ['a', 'b'] } } },
      { by: 'B', ops: { remove: { v: ['a', 'b'] } }, saw: [0], at: 9000 },
      { by: 'C', ops: { add: { v: ['a'] } }, saw: [0], at: 1 },
    ],
    shows: { v: ['a'] },
  },
  {
    title: 'a remove of what it had not seen',
    rule: TABLE.remove,
    writes: [
      { by: 'A', ops: { add: { v: ['a'] } } },
      { by: 'B', ops: { remove: { v: ['a'] } }, at: 9000 },
    ],
    shows: { v: ['a'] },
  },
  {
    title: 'a remove that had seen one of two adds',
    rule: TABLE.remove,
    writes: [
      { by: 'A', ops: { add: { v: ['a', 'b'] } } },
      { by: 'B', ops: { add: { v: ['a'] } } },
      { by: 'C', ops: { remove: { v: ['a', 'b'] } }, saw: [0] },
    ],
    shows: { v: ['a'] },
  },
  {
    title: 'a remove that had seen all adds',
    rule: 'An element without dots is gone.',
    writes: [
      { by: 'A', ops: { add: { v: ['a'] } } },
      { by: 'B', ops: { add: { v: ['a'] } } },
      { by: 'C', ops: { remove: { v: ['a'] } }, saw: [0, 1] },
    ],
    shows: null,
  },
  {
    title: 'a set that had seen one of two adds',
    rule: TABLE.set,
    writes: [
      { by: 'A', ops: { add: { v: ['a'] } } },
      { by: 'B', ops: { add: { v: ['b'] } } },
      { by: 'C', ops: { set: { v: 1 } }, saw: [0] },
    ],
    shows: { v: ['b'] },
  },
  {
    title: 'a destroy and an edit at once',
    rule: 'An edit concurrent with a `destroy` survives, and the subject with it; only that edit, not what the `destroy` had seen.',
    writes: [
      { by: 'A', ops: { set: { v: 1, w: 2 }, inc: { n: 4 }, add: { list: ['a'] } } },
      { by: 'B', ops: { destroy: true }, saw: [0], at: 9000 },
      { by: 'C', ops: { set: { w: 3 }, inc: { n: 1 }, add: { list: ['b'] } }, saw: [0], at: 1 },
    ],
    shows: { w: 3, n: 1, list: ['b'] },
  },
  {
    title: 'a destroy of what it had seen, with a set',
    rule: 'For each change of a commit, its ops take effect in this order',
    writes: [
      { by: 'A', ops: { set: { v: 1, w: 2 }, inc: { n: 4 }, add: { list: ['a'] } } },
      { by: 'B', ops: { destroy: true, set: { x: 1 }, inc: { n: 2 }, add: { list: ['c'] } }, saw: [0] },
    ],
    shows: { x: 1, n: 2, list: ['c'] },
  },
  {
    title: 'a destroy of what it had not seen',
    rule: TABLE.destroy,
    writes: [
      { by: 'A', ops: { set: { v: 1 } } },
      { by: 'B', ops: { destroy: true }, at: 9000 },
    ],
    shows: { v: 1 },
  },
  {
    title: 'an add and a remove of one value in one commit',
    rule: 'In one commit, `add` and `remove` of one value leave it there.',
    writes: [
      { by: 'A', ops: { add: { v: ['a', 'b'] } } },
      { by: 'B', ops: { remove: { v: ['a', 'b'] }, add: { v: ['a'] } }, saw: [0] },
    ],
    shows: { v: ['a'] },
  },
  {
    title: 'different properties at once',
    rule: 'Different properties never conflict, nor do different subjects.',
    writes: [
      { by: 'A', ops: { set: { v: 1 } } },
      { by: 'B', ops: { set: { w: 2 } } },
      { by: 'C', ops: { unset: ['v', 'w'], inc: { n: 1 } } },
    ],
    shows: { v: 1, w: 2, n: 1 },
  },
  {
    title: 'maps with other orders of keys, and numbers of other kinds, are one element',
    rule: '"Those values" are compared as in',
    writes: [
      { by: 'A', ops: { add: { v: [{ a: 1, b: [0] }, 0] } } },
      { by: 'B', ops: { add: { v: [{ b: [-0], a: 1 }, -0] } } },
    ],
    shows: { v: [0, { a: 1, b: [0] }] },
  },
  {
    title: 'a map is removed by one with another order of keys',
    rule: '"Those values" are compared as in',
    writes: [
      { by: 'A', ops: { add: { v: [{ a: 1, b: 2 }, 'kept', 0] } } },
      { by: 'B', ops: { remove: { v: [{ b: 2, a: 1 }, -0, '0'] } }, saw: [0] },
    ],
    shows: { v: ['kept'] },
  },
];

const RANK =
  'Candidates are ranked by `time`, the later first; at equal times by author key, then chain id, the greater first';
const COUNTER = 'A counter is computed exactly and ends at ±`INTEGER_MAX`';
const FRACTION = 'Where the candidate is not a whole number, the sum is that of IEEE 754 doubles';

function greater(key: (author: Author) => Uint8Array, left: string, right: string) {
  return (authors: ReadonlyMap<string, Author>): Shown => ({
    v: compare(key(authors.get(left)!), key(authors.get(right)!)) > 0 ? left : right,
  });
}

const showing: readonly Story[] = [
  {
    title: 'the later of two sets at once',
    rule: RANK,
    writes: [
      { by: 'A', ops: { set: { v: 1, w: 1 } }, at: 5000 },
      { by: 'B', ops: { set: { v: 2 } }, at: 5001 },
      { by: 'C', ops: { set: { w: 2 } }, at: 4999 },
    ],
    shows: { v: 2, w: 1 },
  },
  {
    title: 'sets of the same time: the greater author key',
    rule: RANK,
    writes: [
      { by: 'A', ops: { set: { v: 'A' } }, at: 5000 },
      { by: 'B', ops: { set: { v: 'B' } }, at: 5000 },
    ],
    shows: greater(({ chain }) => chain.device, 'A', 'B'),
  },
  {
    title: 'sets of the same time and device: the greater chain id',
    rule: RANK,
    writes: [
      { by: 'A', ops: { set: { v: 'A' } }, at: 5000 },
      { by: 'A2', ops: { set: { v: 'A2' } }, at: 5000 },
    ],
    shows: greater(({ chain }) => chain.id, 'A', 'A2'),
  },
  {
    title: 'elements beside a value and incs',
    rule: 'If there are elements: the array of their values',
    writes: [
      { by: 'A', ops: { add: { v: ['x'] } }, at: 1 },
      { by: 'B', ops: { set: { v: 1 } }, at: 9000 },
      { by: 'C', ops: { inc: { v: 1 } }, at: 9000 },
    ],
    shows: { v: ['x'] },
  },
  {
    title: 'incs beside two numbers',
    rule: "Else if there are candidates: the first one's value; if that is a number, plus `count`.",
    writes: [
      { by: 'A', ops: { set: { n: 10 } }, at: 1 },
      { by: 'B', ops: { set: { n: 20 } }, at: 2 },
      { by: 'C', ops: { inc: { n: 1 } }, at: 3 },
    ],
    shows: { n: 21 },
  },
  {
    title: 'incs beside a text that had not seen them',
    rule: "Else if there are candidates: the first one's value; if that is a number, plus `count`.",
    writes: [
      { by: 'A', ops: { set: { n: 'text' } } },
      { by: 'B', ops: { inc: { n: 3 } } },
    ],
    shows: { n: 'text' },
  },
  {
    title: 'null is a value',
    rule: "Else if there are candidates: the first one's value",
    writes: [{ by: 'A', ops: { set: { v: null } } }],
    shows: { v: null },
  },
  {
    title: 'incs that add up to 0',
    rule: 'Else `count`.',
    writes: [
      { by: 'A', ops: { inc: { n: 5 } } },
      { by: 'B', ops: { inc: { n: -5 } } },
    ],
    shows: { n: 0 },
  },
  {
    title: 'a counter past its end, both ways',
    rule: COUNTER,
    writes: [
      { by: 'A', ops: { inc: { up: INTEGER_MAX, down: -INTEGER_MAX } } },
      { by: 'B', ops: { inc: { up: INTEGER_MAX, down: -INTEGER_MAX } } },
    ],
    shows: { up: INTEGER_MAX, down: -INTEGER_MAX },
  },
  {
    title: 'a counter that passed its end on the way',
    rule: COUNTER,
    writes: [
      { by: 'A', ops: { inc: { n: INTEGER_MAX } } },
      { by: 'B', ops: { inc: { n: INTEGER_MAX } } },
      { by: 'B', ops: { inc: { n: 3 } } },
      { by: 'C', ops: { inc: { n: -INTEGER_MAX } } },
      { by: 'C', ops: { inc: { n: -10 } } },
    ],
    shows: { n: INTEGER_MAX - 7 },
  },
  {
    title: 'a number at its end and incs',
    rule: COUNTER,
    writes: [
      { by: 'A', ops: { set: { n: INTEGER_MAX } } },
      { by: 'B', ops: { inc: { n: 5 } }, saw: [0] },
      { by: 'C', ops: { inc: { n: -6 } }, saw: [0] },
    ],
    shows: { n: INTEGER_MAX - 1 },
  },
  {
    title: 'a number that is not whole, and incs',
    rule: FRACTION,
    writes: [
      { by: 'A', ops: { set: { n: 0.5, most: 0.5 } } },
      { by: 'B', ops: { inc: { n: 2, most: INTEGER_MAX } }, saw: [0] },
      { by: 'C', ops: { inc: { n: -1, most: INTEGER_MAX } }, saw: [0] },
    ],
    shows: { n: 1.5, most: INTEGER_MAX },
  },
  {
    title: 'the order of elements',
    rule: "**The order of elements**: values that aren't strings come before strings. Strings are ordered by UTF-16 code units.",
    writes: [
      { by: 'A', ops: { add: { v: ['b', '\uff61', 2, -1, true, { a: 1 }, null, 300] } } },
      { by: 'B', ops: { add: { v: ['\u{1f600}', 'a', '', 1, 0.5, [1], false, 128, -200] } } },
    ],
    shows: {
      v: [1, 2, { a: 1 }, [1], null, false, true, 0.5, 128, 300, -200, -1, '', 'a', 'b', '\u{1f600}', '\uff61'],
    },
  },
  {
    title: 'the order of elements that are long or nested',
    rule: 'Others are ordered as bytes of this encoding: MessagePack, every integer, string, byte string, array and map in its shortest form',
    writes: [
      { by: 'A', ops: { add: { v: [['b'], ['aa'], [], [1, 2], { b: 1, a: 2 }] } } },
      { by: 'B', ops: { add: { v: [{ a: 1, b: 9 }, [-1], [70000], {}, [['a']]] } } },
    ],
    // 80, 82 a161 01, 82 a161 02, 90, 91 91, 91 a162, 91 a26161, 91 ce, 91 ff, 92
    shows: {
      v: [{}, { a: 1, b: 9 }, { a: 2, b: 1 }, [], [['a']], ['b'], ['aa'], [70000], [-1], [1, 2]],
    },
  },
];

const conflicting: readonly Story[] = [
  {
    title: 'what was an alternative is shown when the first is gone',
    rule: 'A peer MUST keep the others until a write that had seen them',
    writes: [
      { by: 'A', ops: { set: { v: 1, w: 'text' } }, at: 9000 },
      { by: 'B', ops: { set: { v: 2 } }, at: 5000 },
      { by: 'B', ops: { inc: { w: 4 } } },
      { by: 'C', ops: { unset: ['v', 'w'] }, saw: [0] },
    ],
    shows: { v: 2, w: 4 },
  },
  {
    title: 'a set and then an unset leave an unseen third',
    rule: 'A peer MUST keep the others until a write that had seen them',
    writes: [
      { by: 'A', ops: { set: { v: 1 } }, at: 1 },
      { by: 'B', ops: { set: { v: 2 } }, at: 5000 },
      { by: 'C', ops: { set: { v: 3 } }, saw: [1], at: 6000 },
      { by: 'C', ops: { unset: ['v'] }, at: 7000 },
    ],
    shows: { v: 1 },
  },
];

// ---- 9

const clock = section('9');

async function ownTimeAfter(trial: Trial, aheadUs: number): Promise<{ theirs: number; own: number }> {
  const { author, pull, line } = await offer(trial);
  const theirs = Date.now() * 1000 + aheadUs;
  author.write([set(subject('clock'), { v: 1 })], { time: theirs });
  await pull.sendAll();
  await line.wire.close();
  const { time } = decodeBody((await writesItself(trial)).body!);
  return { theirs, own: time };
}

const HOUR_US = 3_600_000_000;

const clockCases: readonly Case[] = [
  {
    id: clock(),
    title: 'its own times rise',
    rule: "Its next commit's time is `max(now, last + 1)`, and that is the new `last`.",
    needs: ['write'],
    async run(trial) {
      await (await trial.line()).push();
      const times = [];
      for (let i = 0; i < 3; i++) times.push(decodeBody((await writesItself(trial)).body!).time);
      expect(times[0]! < times[1]! && times[1]! < times[2]!, `its times are ${times.join(', ')}`);
      expect(times[0]! > 1_577_836_800_000_000, `its time ${times[0]} is before 2020: it counts microseconds`);
    },
  },
  {
    id: clock(),
    title: 'its own time after a commit that is an hour ahead',
    rule: 'When it takes in a commit, `last` becomes `max(last, time)`',
    needs: ['write'],
    async run(trial) {
      const { theirs, own } = await ownTimeAfter(trial, HOUR_US);
      expect(own > theirs, `its time is ${own}, and it had taken a commit of ${theirs}`);
    },
  },
  {
    id: clock(),
    title: 'its own time after a commit that is two days ahead',
    rule: 'but not if `time` is more than `CLOCK_AHEAD_MAX_US` (86,400,000,000, a day) after its own `now`',
    needs: ['write'],
    async run(trial) {
      const { theirs, own } = await ownTimeAfter(trial, 2 * CLOCK_AHEAD_MAX_US);
      expect(own < theirs, `its time is ${own}: it believed a commit of ${theirs}`);
    },
  },
  {
    id: clock(),
    title: 'commits of any time',
    rule: 'Such a commit is taken all the same',
    async run(trial) {
      const { author, pull, line } = await offer(trial);
      const commits = [2 * CLOCK_AHEAD_MAX_US + Date.now() * 1000, INTEGER_MAX, 0, 1, Date.now() * 1000].map((time) =>
        author.write([set(subject('clock'), { v: 1 })], { time }),
      );
      await pull.sendAll();
      await keeps(trial, commits, line);
    },
  },
];

function casesOf(number: string, stories: readonly Story[]): Case[] {
  const id = section(number);
  return stories.map((story) => storyCase(id(), story));
}

export const mergeCases: readonly Case[] = [
  ...casesOf('8.1', applying),
  ...casesOf('8.2', showing),
  ...casesOf('8.3', conflicting),
  ...clockCases,
];

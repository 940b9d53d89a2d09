/** Merging, and clocks. What is expected is written down by hand from sections 8 and 9. */
import type { Ops } from '../../protocol/body.ts';
import type { Value } from '../../protocol/value.ts';
import { History } from './history.ts';
import { hex, packed, toJson } from './world.ts';

const MAX = 2 ** 53 - 1;
const DAY = 86_400_000_000;

/** By rank: c's device key is the greatest, and c and d are one device's. */
const CHAINS = {
  a: { device: 'aa'.repeat(32), chain: '0a'.repeat(16) },
  b: { device: 'bb'.repeat(32), chain: '0b'.repeat(16) },
  c: { device: 'cc'.repeat(32), chain: '0c'.repeat(16) },
  d: { device: 'cc'.repeat(32), chain: '0d'.repeat(16) },
};

type State = Record<string, Record<string, Value>>;

/** Writes on one subject, s. */
class OneSubject extends History {
  on(chain: string, ops: Ops, time?: number): void {
    this.write(chain, [{ subject: 's', ops }], time);
  }
}

const set = (p: Value): Ops => ({ set: { p } });
const inc = (p: number): Ops => ({ inc: { p } });
const add = (...p: Value[]): Ops => ({ add: { p } });
const remove = (...p: Value[]): Ops => ({ remove: { p } });
const UNSET: Ops = { unset: ['p'] };
const DESTROY: Ops = { destroy: true };

type Case = [name: string, write: (h: OneSubject) => void, shows: Value | undefined, conflict?: Value[]];

// One case a line.
// prettier-ignore
const CASES: readonly Case[] = [
  // registers
  ['a later write of one device replaces', (h) => { h.on('a', set(1)); h.on('a', set(2)); }, 2],
  ['a write that had seen replaces, though its clock is behind', (h) => { h.on('a', set('old'), 9000); h.sync('a', 'b'); h.on('b', set('new'), 1); }, 'new'],
  ['of two that had not seen each other the later shows', (h) => { h.on('a', set('late'), 9); h.on('b', set('early'), 8); }, 'late', ['late', 'early']],
  ['at one time the greater device key', (h) => { h.on('b', set('b'), 8); h.on('c', set('c'), 8); h.on('a', set('a'), 8); }, 'c', ['c', 'b', 'a']],
  ['at one time and by one device the greater chain id', (h) => { h.on('d', set('d'), 8); h.on('c', set('c'), 8); }, 'd', ['d', 'c']],
  ['equal values are no conflict, in whatever order their keys stand', (h) => { h.on('a', set({ x: 1, y: [2] }), 1); h.on('b', set({ y: [2], x: 1 }), 2); }, { x: 1, y: [2] }],
  ['bytes and text are never equal', (h) => { h.on('a', set('a'), 2); h.on('b', set(hex('61')), 1); }, 'a', ['a', hex('61')]],
  ['null is a value', (h) => { h.on('a', set(null), 2); h.on('b', set(0), 1); }, null, [null, 0]],
  ['a write that had seen the conflict resolves it', (h) => { h.on('a', set('a')); h.on('b', set('b')); h.sync('a', 'b'); h.on('b', set('both'), 1); }, 'both'],
  ['one that had seen half of it leaves the other half', (h) => { h.on('a', set('a'), 50); h.on('b', set('b'), 60); h.on('b', set('b2'), 40); }, 'a', ['a', 'b2']],
  ['what was seen is not transitive: deps name it or not', (h) => { h.on('a', set('a'), 50); h.on('b', set('b'), 40); h.sync('b', 'c'); h.on('c', set('c'), 30); }, 'a', ['a', 'c']],
  ['unset removes what it had seen', (h) => { h.on('a', set(1)); h.sync('a', 'b'); h.on('b', UNSET); }, undefined],
  ['unset leaves a concurrent set, though it is later', (h) => { h.on('a', set(1), 1); h.sync('a', 'b'); h.on('a', set(2), 2); h.on('b', UNSET, 99); }, 2],
  ['an unset that had seen nothing does nothing', (h) => { h.on('a', UNSET, 99); h.on('b', set(1), 1); }, 1],
  // counters
  ['all incs count', (h) => { h.on('a', inc(1)); h.on('b', inc(10)); h.on('a', inc(-4)); }, 7],
  ['an inc on a number adds to it', (h) => { h.on('a', set(100)); h.sync('a', 'b'); h.on('b', inc(5)); h.on('a', inc(1)); }, 106],
  ['a set takes away the incs that it had seen', (h) => { h.on('a', inc(5)); h.sync('a', 'b'); h.on('b', set(0)); h.on('c', inc(2)); }, 2],
  ['a set takes some incs of a chain and leaves the later ones', (h) => { h.on('a', inc(1)); h.sync('a', 'b'); h.on('a', inc(2)); h.on('b', set(0)); h.on('a', inc(4)); }, 6],
  ['two that reset at once: both values, with what neither had seen', (h) => { h.on('a', inc(1)); h.sync('a', 'b'); h.sync('a', 'c'); h.on('b', set(0), 20); h.on('c', set(10), 10); h.on('a', inc(2)); }, 2, [2, 12]],
  ['an unset takes the incs that it had seen', (h) => { h.on('a', inc(5)); h.sync('a', 'b'); h.on('b', UNSET); h.on('a', inc(1)); }, 1],
  ['a counter at 0 is there', (h) => { h.on('a', inc(5)); h.on('a', inc(-5)); }, 0],
  ['an inc that had seen a text replaces it', (h) => { h.on('a', set('text')); h.sync('a', 'b'); h.on('b', inc(3)); }, 3],
  ['an inc that had not seen a text stands beside it', (h) => { h.on('a', set('text')); h.on('b', inc(3)); }, 'text', ['text', 3]],
  ['an inc on two numbers adds to both', (h) => { h.on('a', set(1), 2); h.on('b', set(10), 1); h.on('c', inc(5)); }, 6, [6, 15]],
  ['a number and a text, with an inc: the counter is not listed alone', (h) => { h.on('a', set('text'), 2); h.on('b', set(10), 1); h.on('c', inc(5)); }, 'text', ['text', 15]],
  ['an inc on a fraction', (h) => { h.on('a', set(0.5)); h.sync('a', 'b'); h.on('b', inc(2)); }, 2.5],
  ['a counter ends at 2^53 - 1', (h) => { h.on('a', inc(MAX)); h.on('b', inc(MAX)); h.on('c', inc(1)); }, MAX],
  ['and at -(2^53 - 1)', (h) => { h.on('a', inc(-MAX)); h.on('b', inc(-1)); }, -MAX],
  ['it is computed exactly before it ends', (h) => { h.on('a', inc(MAX)); h.on('b', inc(MAX)); h.on('c', inc(-MAX)); h.on('d', inc(-MAX + 7)); }, 7],
  ['from a number near the end', (h) => { h.on('a', set(MAX - 1)); h.sync('a', 'b'); h.on('b', inc(5)); }, MAX],
  // sets
  ['add and add', (h) => { h.on('a', add('x')); h.on('b', add('y', 'x')); }, ['x', 'y']],
  ['an add wins over a remove that had not seen it', (h) => { h.on('a', add('x'), 1); h.sync('a', 'b'); h.on('a', add('x'), 2); h.on('b', remove('x'), 99); }, ['x']],
  ['a remove takes what it had seen', (h) => { h.on('a', add('x', 'y')); h.sync('a', 'b'); h.on('b', remove('x')); }, ['y']],
  ['a remove of all of it leaves nothing', (h) => { h.on('a', add('x')); h.sync('a', 'b'); h.on('b', remove('x', 'never')); }, undefined],
  ['in one commit add and remove of one value leave it', (h) => { h.on('a', add('x')); h.on('a', { add: { p: ['x'] }, remove: { p: ['x'] } }); }, ['x']],
  ['elements are ordered: others before strings, numbers by their encoding', (h) => { h.on('a', add('b', 'a', 10, 2, -1, null, true, false, [1], { k: 1 }, hex('00'), 0.5, 300)); }, [2, 10, { k: 1 }, [1], null, false, true, hex('00'), 0.5, 300, -1, 'a', 'b'] ],
  ['strings are ordered by UTF-16 code units', (h) => { h.on('a', add('\u{1F600}', '\uFF5E', 'z', 'Z')); }, ['Z', 'z', '\u{1F600}', '\uFF5E']],
  ['equal values are one element', (h) => { h.on('a', add({ x: 1, y: 2 }, 1, 0)); h.on('b', add({ y: 2, x: 1 }, 1, -0)); }, [0, 1, { x: 1, y: 2 }]],
  ['a remove of a map, its keys in another order', (h) => { h.on('a', add({ x: 1, y: 2 }, 'z')); h.on('a', remove({ y: 2, x: 1 })); }, ['z']],
  // kinds that meet
  ['a set that had seen elements replaces them', (h) => { h.on('a', add('x')); h.sync('a', 'b'); h.on('b', set('r')); }, 'r'],
  ['a set that had not stands beside them', (h) => { h.on('a', add('x')); h.on('b', set('r'), 9999); }, ['x'], [['x'], 'r']],
  ['an add that had seen a register replaces it', (h) => { h.on('a', set('r')); h.sync('a', 'b'); h.on('b', add('x')); }, ['x']],
  ['an add that had seen a counter replaces it', (h) => { h.on('a', inc(3)); h.sync('a', 'b'); h.on('b', add('x')); }, ['x']],
  ['an inc that had seen elements replaces them', (h) => { h.on('a', add('x')); h.sync('a', 'b'); h.on('b', inc(3)); }, 3],
  ['all three at once: elements, register, counter', (h) => { h.on('a', add('x')); h.on('b', set('r')); h.on('c', inc(3)); }, ['x'], [['x'], 'r', 3]],
  ['a remove touches neither register nor counter', (h) => { h.on('a', set(1)); h.sync('a', 'b'); h.on('b', inc(2)); h.on('b', remove(1, 3)); }, 3],
  // destroy
  ['destroy removes what it had seen', (h) => { h.on('a', { set: { p: 1, q: 2 } }); h.on('b', inc(1)); h.sync('b', 'a'); h.on('a', DESTROY); }, undefined],
  ['an edit concurrent with a destroy survives, and nothing else', (h) => { h.on('a', { set: { p: 1, q: 2 } }); h.sync('a', 'b'); h.on('a', DESTROY, 99); h.on('b', set(3), 1); }, 3],
  ['a concurrent inc survives a destroy, and not what it counted from', (h) => { h.on('a', set(100)); h.sync('a', 'b'); h.on('a', DESTROY); h.on('b', inc(5)); }, 5],
  ['destroy comes before the other ops of its commit', (h) => { h.on('a', { set: { p: 1, q: 2 } }); h.on('a', { destroy: true, set: { p: 9 } }); }, 9],
  ['destroy and inc in one commit count from 0', (h) => { h.on('a', inc(5)); h.on('a', { destroy: true, inc: { p: 1 } }); }, 1],
];

export function merge(): object {
  const cases: object[] = CASES.map(([name, write, shows, conflict]) => {
    const history = new OneSubject();
    write(history);
    const state: State = shows === undefined ? {} : { s: { p: shows } };
    return caseOf(name, history, state, conflict ? { s: { p: conflict } } : {});
  });
  const apart = new History();
  apart.write('a', [
    { subject: 's', ops: { set: { p: 1 } } },
    { subject: 't', ops: { inc: { n: 1 } } },
  ]);
  apart.write('b', [{ subject: 's', ops: { set: { q: 2 } } }, { subject: 't', ops: { inc: { n: 1 } } }]); // prettier-ignore
  cases.push(caseOf('properties and subjects are apart', apart, { s: { p: 1, q: 2 }, t: { n: 2 } }, {}));
  return { chains: CHAINS, cases };
}

function caseOf(
  name: string,
  history: History,
  state: State,
  conflicts: Record<string, Record<string, Value[]>>,
): object {
  // prettier-ignore
  return { name, commits: history.json(), orders: history.orders(), state: toJson(state), conflicts: toJson(conflicts) };
}

export function mergeInvalid(): object {
  const body = (ops: object, subject = 's'): string => `930090${packed([[subject, ops]])}`;
  const refused: [name: string, body: string, why: string][] = [
    ['one subject twice', `930090${packed([['s', set(1)], ['s', set(2)]])}`, 'they would have no order'], // prettier-ignore
    ['set and inc', body({ set: { p: 1 }, inc: { p: 1 } }), 'they would have no order'],
    ['set and unset', body({ set: { p: 1 }, unset: ['p'] }), 'they would have no order'],
    ['inc and add', body({ inc: { p: 1 }, add: { p: [1] } }), 'an add replaces the counter, and an inc the elements'],
    ['unset and remove', body({ unset: ['p'], remove: { p: [1] } }), 'they would have no order'],
    ['inc by a fraction', body({ inc: { p: 0.1 } }), 'sums of fractions depend on their order'],
    ['an op of another kind of body', body({ max: { p: 1 } }), 'who does not know it would have another state'],
  ];
  const mistakes: [of: string, shows: Value | undefined, why: string][] = [
    ['a write that had seen replaces, though its clock is behind', 'old', 'causality first, clock second'],
    ['of two that had not seen each other the later shows', 'early', 'the later time wins, not the one that came last'],
    ['at one time the greater device key', 'a', 'the greater key wins'],
    ['unset leaves a concurrent set, though it is later', undefined, 'an unset takes only what it had seen'],
    ['a set takes some incs of a chain and leaves the later ones', 0, 'incs that were not seen count'],
    ['a set takes some incs of a chain and leaves the later ones', 7, 'incs that were seen do not'],
    ['it is computed exactly before it ends', 0, 'a sum in doubles loses the 7'],
    ['an add wins over a remove that had not seen it', undefined, 'a remove takes only the dots that it had seen'],
    ['strings are ordered by UTF-16 code units', ['Z', 'z', '\uFF5E', '\u{1F600}'], 'not by code points, nor by UTF-8'],
    [
      'an edit concurrent with a destroy survives, and nothing else',
      undefined,
      'a destroy takes only what it had seen',
    ],
    ['a concurrent inc survives a destroy, and not what it counted from', 105, 'the register was seen'],
  ];
  return {
    bodies: refused.map(([name, body, why]) => ({ name, body, code: 'bad-commit', why })),
    mistakes: mistakes.map(([of, shows, why]) => ({ name: `not so: ${of}`, case: of, state: toJson(shows === undefined ? {} : { s: { p: shows } }), code: null, why })), // prettier-ignore
  };
}

// ---- clocks

type ClockStep = readonly ['tick', now: number, last: number] | readonly ['observe', time: number, now: number, last: number]; // prettier-ignore
const NOW = 1_767_225_600_000_000;

export function clock(): object {
  const cases: [name: string, last: number, steps: ClockStep[]][] = [
    ['follows the local clock', 0, [['tick', NOW, NOW], ['tick', NOW + 5, NOW + 5]]],
    ['never stands still', NOW, [['tick', NOW, NOW + 1], ['tick', NOW, NOW + 2]]],
    ['never goes back', NOW, [['tick', NOW - 5000, NOW + 1]]],
    ['is later than what it has seen', NOW, [['observe', NOW + 7, NOW, NOW + 7], ['tick', NOW, NOW + 8]]],
    ['what is earlier does not matter', NOW, [['observe', NOW - 7, NOW, NOW]]],
    ['a day ahead is believed', NOW, [['observe', NOW + DAY, NOW, NOW + DAY], ['tick', NOW, NOW + DAY + 1]]],
    ['a microsecond more is not', NOW, [['observe', NOW + DAY + 1, NOW, NOW], ['tick', NOW, NOW + 1]]],
    ['a day ahead of now, not of last', NOW + DAY, [['observe', NOW + DAY + 1, NOW, NOW + DAY], ['observe', NOW + DAY + 1, NOW + 1, NOW + DAY + 1]]], // prettier-ignore
    ['the greatest time', 0, [['tick', MAX, MAX]]],
  ]; // prettier-ignore
  return {
    clocks: cases.map(([name, last, steps]) => ({
      name,
      last,
      steps: steps.map((step) => step[0] === 'tick' ? { do: 'tick', now: step[1], last: step[2] } : { do: 'observe', time: step[1], now: step[2], last: step[3] }), // prettier-ignore
    })),
  };
}

export function clockInvalid(): object {
  const end = `90${packed([['a', { destroy: true }]])}`;
  const times: [name: string, time: string, why: string][] = [
    ['below 0', 'ff', 'a time is a count'],
    ['a fraction', 'cb3ff8000000000000', 'a time is whole microseconds'],
    ['2^53', 'cf0020000000000000', 'a time is at most 2^53 - 1'],
    ['2^53 as a float', 'cb4340000000000000', 'a time is at most 2^53 - 1'],
    ['a MessagePack timestamp', 'd6ff69560f00', 'no extension types'],
    ['text', 'a131', 'a time is a number'],
    ['nil', 'c0', 'a time is a number'],
  ];
  return {
    bodies: times.map(([name, time, why]) => ({ name, body: `93${time}${end}`, code: 'bad-commit', why })),
    mistakes: [
      { name: 'a clock that is dragged along', last: NOW, steps: [{ do: 'observe', time: NOW + 2 * DAY, now: NOW, last: NOW + 2 * DAY }], code: null, why: 'more than a day ahead is not believed' }, // prettier-ignore
      { name: 'a clock that repeats', last: NOW, steps: [{ do: 'tick', now: NOW, last: NOW }], code: null, why: 'the next time is last + 1 at least' }, // prettier-ignore
      { name: 'a clock that ignores what it saw', last: NOW, steps: [{ do: 'observe', time: NOW + 9, now: NOW, last: NOW }], code: null, why: 'last becomes the greater of both' }, // prettier-ignore
      { name: 'a clock that goes back with the local one', last: NOW, steps: [{ do: 'tick', now: NOW - 60_000_000, last: NOW - 60_000_000 }], code: null, why: 'times of one device rise' }, // prettier-ignore
    ],
  };
}

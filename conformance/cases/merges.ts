/** Chapters 8 and 9: what merging.ts leaves: ops met by others that had and hadn't seen them, and the clock over a restart. */
import { decodeBody } from '../../protocol/body.ts';
import type { Case } from '../case.ts';
import { offer, subject, writesItself } from '../offer.ts';
import { expect } from '../violation.ts';
import { set } from '../world.ts';
import { storyCase, type Story } from './merging.ts';

const TABLE = {
  inc: "of p: candidates that it had seen and that aren't numbers, and element dots that it had seen",
  add: 'of p: candidates and incs that it had seen; and of those values the element dots that it had seen',
  destroy: 'of every property: candidates, incs and element dots that it had seen',
};
const REMOVE = '`remove` touches neither candidates nor incs.';
const CAUSALITY = 'A write replaces exactly what its author had seen, whatever the clocks say.';
const SURVIVES = 'An edit concurrent with a `destroy` survives, and the subject with it';

const applying: readonly Story[] = [
  {
    title: "what a device's other chain wrote was not seen",
    rule: CAUSALITY,
    writes: [
      { by: 'A', ops: { set: { v: 1 } }, at: 9000 },
      { by: 'A2', ops: { set: { v: 2 } }, at: 1 },
    ],
    shows: { v: 1 },
  },
  {
    title: 'a remove of what was set as an array',
    rule: REMOVE,
    writes: [
      { by: 'A', ops: { set: { v: [1, 2] }, inc: { n: 3 } } },
      { by: 'B', ops: { remove: { v: [1, [1, 2]], n: [3] } }, saw: [0] },
    ],
    shows: { v: [1, 2], n: 3 },
  },
  {
    title: 'an add on what was set as an array',
    rule: TABLE.add,
    writes: [
      { by: 'A', ops: { set: { v: [1, 2] } } },
      { by: 'B', ops: { add: { v: [3] } }, saw: [0] },
    ],
    shows: { v: [3] },
  },
  {
    title: 'an inc on null, on a boolean and on an array',
    rule: TABLE.inc,
    writes: [
      { by: 'A', ops: { set: { a: null, b: true, c: [1] } } },
      { by: 'B', ops: { inc: { a: 1, b: 2, c: 3 } }, saw: [0] },
    ],
    shows: { a: 1, b: 2, c: 3 },
  },
  {
    title: 'an inc on one of two texts',
    rule: TABLE.inc,
    writes: [
      { by: 'A', ops: { set: { v: 'a' } }, at: 9000 },
      { by: 'B', ops: { set: { v: 'b' } }, at: 1 },
      { by: 'C', ops: { inc: { v: 1 } }, saw: [0] },
    ],
    shows: { v: 'b' },
  },
  {
    title: 'a destroy, and an inc, an add and a set at once',
    rule: SURVIVES,
    writes: [
      { by: 'A', ops: { set: { v: 1, w: 1 }, inc: { n: 10 }, add: { list: ['a', 'b'] } } },
      { by: 'B', ops: { destroy: true }, saw: [0], at: 9000 },
      { by: 'C', ops: { inc: { n: 1 }, add: { list: ['b'] }, set: { v: 2 } }, saw: [0], at: 1 },
    ],
    shows: { n: 1, list: ['b'], v: 2 },
  },
  {
    title: 'a destroy, and a remove and an unset at once',
    rule: TABLE.destroy,
    writes: [
      { by: 'A', ops: { set: { v: 1 }, add: { list: ['a', 'b'] } } },
      { by: 'B', ops: { destroy: true }, saw: [0] },
      { by: 'C', ops: { unset: ['v'], remove: { list: ['a'] } }, saw: [0] },
    ],
    shows: null,
  },
  {
    title: 'a destroy by one that had seen part of a chain',
    rule: TABLE.destroy,
    writes: [
      { by: 'A', ops: { set: { v: 1 }, add: { list: ['a'] }, inc: { n: 1 } } },
      { by: 'A', ops: { add: { list: ['a', 'c'] }, inc: { n: 2 }, set: { w: 2 } } },
      { by: 'B', ops: { destroy: true }, saw: [0], at: 9000 },
    ],
    shows: { list: ['a', 'c'], n: 2, w: 2 },
  },
  {
    title: 'an unset, and incs and an add at once',
    rule: 'A `set` or `unset` takes away the incs that it had seen and no others.',
    writes: [
      { by: 'A', ops: { inc: { n: 5 }, add: { list: ['a'] } } },
      { by: 'B', ops: { unset: ['n', 'list'] }, saw: [0], at: 9000 },
      { by: 'C', ops: { inc: { n: 2 }, add: { list: ['b'] } }, saw: [0], at: 1 },
    ],
    shows: { n: 2, list: ['b'] },
  },
  {
    title: 'an unset of what was never there, and a set that had seen it',
    rule: CAUSALITY,
    writes: [
      { by: 'A', ops: { unset: ['v'] }, at: 9000 },
      { by: 'B', ops: { set: { v: 1 } }, saw: [0], at: 1 },
    ],
    shows: { v: 1 },
  },
];

const showing: readonly Story[] = [
  {
    title: 'incs beside null and beside false, which had not seen them',
    rule: "Else if there are candidates: the first one's value; if that is a number, plus `count`.",
    writes: [
      { by: 'A', ops: { set: { a: null, b: false } } },
      { by: 'B', ops: { inc: { a: 1, b: 2 } } },
    ],
    shows: { a: null, b: false },
  },
  {
    title: 'an older number and a later text, with incs',
    rule: "Else if there are candidates: the first one's value; if that is a number, plus `count`.",
    writes: [
      { by: 'A', ops: { set: { v: 10, w: 'text' } }, at: 1 },
      { by: 'B', ops: { set: { v: 'text', w: 10 } }, at: 9000 },
      { by: 'C', ops: { inc: { v: 1, w: 1 } } },
    ],
    shows: { v: 'text', w: 11 },
  },
  {
    title: 'three sets at once, in whatever order',
    rule: 'Candidates are ranked by `time`, the later first',
    writes: [
      { by: 'A', ops: { set: { v: 1 } }, at: 5000 },
      { by: 'B', ops: { set: { v: 2 } }, at: 9000 },
      { by: 'C', ops: { set: { v: 3 } }, at: 1 },
    ],
    shows: { v: 2 },
  },
];

// ---- 9

const HOUR_US = 3_600_000_000;

const clockCases: readonly Case[] = [
  {
    id: '9/200',
    title: 'its own time after a commit that is an hour ahead, when it was killed between',
    rule: 'A peer keeps `last`, also over a restart',
    needs: ['write', 'run'],
    alone: true,
    async run(trial) {
      const { author, pull, line } = await offer(trial);
      const theirs = Date.now() * 1000 + HOUR_US;
      author.write([set(subject('clock'), { v: 1 })], { time: theirs });
      await pull.sendAll();
      await line.wire.close();
      await trial.kill();
      const first = decodeBody((await writesItself(trial)).body!).time;
      expect(first > theirs, `its time is ${first}, and it had taken a commit of ${theirs}`);
      await trial.kill();
      const second = decodeBody((await writesItself(trial)).body!).time;
      expect(second > first, `its time is ${second}, and that of its last commit ${first}`);
    },
  },
];

function casesOf(number: string, stories: readonly Story[]): Case[] {
  return stories.map((story, at) => storyCase(`${number}/${200 + at}`, story));
}

export const mergingCases: readonly Case[] = [...casesOf('8.1', applying), ...casesOf('8.2', showing), ...clockCases];

/** Chapters 4 and 5: what commits.ts and batches.ts leave: each op's operands, runs of erased commits, holes, batches at their limit. */
import { concat } from '../../protocol/bytes.ts';
import { encode } from '../../protocol/msgpack.ts';
import type { Case } from '../case.ts';
import { bodyWith, bytes, refusedCase, subject } from '../offer.ts';
import { type Author } from '../world.ts';

/** Numbers of their own: those of the files beside this one grow from 1. */
function section(number: string): () => `${string}/${number}` {
  let last = 199;
  return () => `${number}/${++last}`;
}

// ---- 4.4

const body = section('4.4');
const RULE = {
  depsOnce: "No chain stands there twice, nor the commit's own.",
  subjectOnce: 'No subject stands there twice.',
  ops: '`ops` is a map with one key or more, all of them in this table',
  unset: 'array of property names; one or more, none twice',
  inc: 'map: property → integer within ±`INTEGER_MAX`; one entry or more',
  once: 'In one change a property stands in one of `set`, `unset`, `inc`, or in `add` and `remove`, which may share it.',
  changes: '`changes` has one change or more. Each is `[subject, ops]`.',
};

/** A map with these pairs, in this order, also where a key stands twice. */
function mapOf(...pairs: readonly (readonly [string | Uint8Array, unknown])[]): Uint8Array {
  return concat(
    Uint8Array.of(0x80 | pairs.length),
    ...pairs.flat().map((item) => (item instanceof Uint8Array ? item : encode(item))),
  );
}

/** A text in an encoding that a common encoder doesn't choose. */
function long(text: string): Uint8Array {
  return concat(bytes('d9'), Uint8Array.of(text.length), encode(text).subarray(1));
}

function refusedBody(title: string, rule: string, make: (author: Author) => Uint8Array): Case {
  return refusedCase(body(), title, rule, 'bad-commit', (author) => author.sign(make(author)));
}

function refusedOps(title: string, rule: string, ops: Uint8Array): Case {
  return refusedBody(title, rule, (author) => bodyWith(author, concat(bytes('91 92'), encode(subject('ops')), ops)));
}

const NAMES: readonly (readonly [string, string])[] = [
  ['an empty property name', ''],
  ['a property name of 256 bytes', 'p'.repeat(256)],
  ['a control character in a property name', 'a\u001fb'],
  ['the property __proto__', '__proto__'],
];
/** Its operand, for a property of this name. `set` is tried in chapter 2. */
const OPERANDS: Readonly<Record<string, (name: string) => Uint8Array>> = {
  unset: (name) => concat(bytes('91'), encode(name)),
  inc: (name) => mapOf([name, 1]),
  add: (name) => mapOf([name, [1]]),
  remove: (name) => mapOf([name, [1]]),
};

const bodyCases: readonly Case[] = [
  ...Object.entries(OPERANDS).flatMap(([op, operand]) =>
    NAMES.map(([title, name]) => refusedOps(`${title} in ${op}`, RULE.ops, mapOf([op, operand(name)]))),
  ),
  refusedOps('an op twice', RULE.ops, mapOf(['set', { v: 1 }], ['set', { w: 1 }])),
  refusedOps('a property twice in set', RULE.once, mapOf(['set', mapOf(['v', 1], ['v', 2])])),
  refusedOps('a property twice in inc', RULE.once, mapOf(['inc', mapOf(['v', 1], ['v', 2])])),
  refusedOps('a property twice in add', RULE.once, mapOf(['add', mapOf(['v', [1]], ['v', [2]])])),
  refusedOps('a property twice in remove', RULE.once, mapOf(['remove', mapOf(['v', [1]], ['v', [2]])])),
  refusedOps('a property twice in set, in two encodings', RULE.once, mapOf(['set', mapOf(['v', 1], [long('v'), 2])])),
  refusedOps(
    'a property in set and in inc, in two encodings',
    RULE.once,
    mapOf(['set', mapOf(['v', 1])], ['inc', mapOf([long('v'), 2])]),
  ),
  refusedOps(
    'a name twice in unset, in two encodings',
    RULE.unset,
    mapOf(['unset', concat(bytes('92'), encode('v'), long('v'))]),
  ),
  refusedOps('an inc by 2^53', RULE.inc, mapOf(['inc', mapOf(['v', bytes('cf0020000000000000')])])),
  refusedOps('an inc by −2^53, a float', RULE.inc, mapOf(['inc', mapOf(['v', bytes('cbc340000000000000')])])),
  refusedOps('an inc by an array', RULE.inc, mapOf(['inc', mapOf(['v', [1]])])),
  refusedOps('an unknown op alone', RULE.ops, mapOf(['append', { v: 1 }])),
  refusedOps('an op that begins as set', RULE.ops, mapOf(['set', { v: 1 }], ['set\u00e9', { w: 1 }])),
  refusedBody('a subject twice, in two encodings', RULE.subjectOnce, (author) => {
    const name = subject('ops');
    const ops = encode({ set: { v: 1 } });
    return bodyWith(author, concat(bytes('92 92'), encode(name), ops, bytes('92'), long(name), ops));
  }),
  refusedBody('a chain twice in the deps, in two encodings', RULE.depsOnce, (author) => {
    // All that it must name, so that nothing else is wrong with it.
    const honest = author.deps();
    const { chain, seq } = honest[0]!;
    const deps = concat(
      bytes('dc'),
      Uint8Array.of((honest.length + 1) >> 8, (honest.length + 1) & 255),
      ...honest.map((dep) => encode([dep.chain, dep.seq])),
      bytes('92 c50010'),
      chain,
      encode(seq),
    );
    return bodyWith(author, encode([[subject('ops'), { set: { v: 1 } }]]), { deps });
  }),
  refusedBody('a good change before a bad one', RULE.changes, (author) =>
    bodyWith(
      author,
      encode([
        [subject('ops'), { set: { v: 1 } }],
        [subject('ops'), { set: {} }],
      ]),
    ),
  ),
];

export const entryCases: readonly Case[] = [...bodyCases];

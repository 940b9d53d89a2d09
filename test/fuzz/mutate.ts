/** Changes to valid input: to its bytes, or to what they mean. */
import { concat } from '../../protocol/bytes.ts';
import { encode } from '../../protocol/msgpack.ts';
import { isList, nodesOf, parseTree, writeTree, type List, type Node, type Text } from './msgpack-tree.ts';
import type { Random } from './random.ts';

/** Larger inputs say nothing that smaller ones don't, and cost the time of many. */
const INPUT_BYTES_MAX = 64 * 1024;

const NUMBERS = [
  0,
  1,
  -1,
  31,
  32,
  127,
  128,
  255,
  256,
  65_535,
  65_536,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 53 - 1,
  0.5,
  -(2 ** 40),
  Infinity,
  NaN,
];
/** What no encoder of ours writes. */
const STRANGE = [
  // integers of 2^63 and more, and below −2^53
  'cfffffffffffffffff',
  'cf0020000000000000',
  'd38000000000000000',
  // the same small number in long forms
  'cd0001',
  'd300000000000000ff',
  // extensions, a time among them, and a byte that is never used
  'd600000000',
  'd6ff00000000',
  'c70c0100000000000000000000000000',
  'c1',
  // headers of four billion items, with nothing behind them
  'ddffffffff',
  'dfffffffff',
  'dbffffffff',
  'c6ffffffff',
  // a text that isn't UTF-8, one with a lone surrogate, one with a mark at its beginning
  'a2c328',
  'a3eda080',
  'a4efbbbf61',
  // a key that JavaScript treats otherwise, a key twice
  '81a95f5f70726f746f5f5f01',
  '82a16101a16102',
  // NaN, −0
  'cb7ff8000000000000',
  'cb8000000000000000',
].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')));

/** One to several changes, most often of what the bytes mean, if that can be told. */
export function mutate(random: Random, seed: Uint8Array, others: readonly Uint8Array[]): Uint8Array {
  let bytes = seed;
  for (let changes = 1 + random.below(random.chance(0.8) ? 2 : 8); changes > 0; changes--) {
    const tree = random.chance(0.7) ? parseTree(bytes) : null;
    if (tree) {
      changeTree(random, tree, others);
      bytes = writeTree(tree);
    } else {
      bytes = changeBytes(random, bytes, others);
    }
    if (bytes.length > INPUT_BYTES_MAX) bytes = bytes.slice(0, INPUT_BYTES_MAX);
  }
  return bytes;
}

function changeBytes(random: Random, bytes: Uint8Array, others: readonly Uint8Array[]): Uint8Array {
  const at = random.below(bytes.length + 1);
  const to = Math.min(bytes.length, at + 1 + random.below(random.chance(0.5) ? 4 : 64));
  const changed = bytes.slice();
  switch (random.below(9)) {
    case 0:
      if (at < bytes.length) changed[at]! ^= 1 << random.below(8);
      return changed;
    case 1:
      if (at < bytes.length) changed[at] = random.pick([0, 1, 0x7f, 0x80, 0xc0, 0xc1, 0xff, random.below(256)]);
      return changed;
    case 2:
      return bytes.slice(0, at);
    case 3:
      return concat(bytes.slice(0, at), bytes.slice(to));
    case 4:
      return concat(bytes.slice(0, to), bytes.slice(at));
    case 5:
      return concat(bytes.slice(0, at), random.bytes(1 + random.below(16)), bytes.slice(at));
    case 6: {
      const other = random.pick(others);
      const from = random.below(other.length + 1);
      return concat(
        bytes.slice(0, at),
        other.slice(from, from + random.below(300)),
        bytes.slice(random.chance(0.5) ? at : to),
      );
    }
    case 7:
      changed.fill(random.below(256), at, to);
      return changed;
    default:
      return concat(bytes.slice(0, at), new Uint8Array(random.below(2000)).fill(random.below(256)), bytes.slice(at));
  }
}

function changeTree(random: Random, root: Node, others: readonly Uint8Array[]): void {
  const nodes = nodesOf(root);
  const node = random.pick(nodes);
  const become = (other: Node): void => {
    for (const key of Object.keys(node)) delete (node as unknown as Record<string, unknown>)[key];
    Object.assign(node, other);
  };
  const atom = (bytes: Uint8Array): Node => ({ kind: 'atom', bytes });
  const choice = random.below(10);
  if (choice === 0) become(atom(random.pick(STRANGE)));
  else if (choice === 1)
    become(atom(encode(random.pick([...NUMBERS, null, true, '', 'x', new Uint8Array(0), [], {}]))));
  else if (choice === 2) become(structuredClone(random.pick(nodes)));
  else if (choice === 3) {
    const other = parseTree(random.pick(others));
    if (other) become(structuredClone(random.pick(nodesOf(other))));
  } else if (choice === 4) {
    // Deep nesting, around what was there.
    let inner = structuredClone(node);
    for (let depth = random.pick([1, 2, 30, 31, 32, 33, 64, 500]); depth > 0; depth--)
      inner = { kind: 'array', items: [inner], lie: 0, form: 0 };
    become(inner);
  } else if (isList(node)) changeItems(random, node);
  else if (node.kind === 'atom') become(atom(encode(nudged(random, node.bytes))));
  else changeString(random, node);
}

function changeItems(random: Random, node: List): void {
  const { items } = node;
  const at = random.below(items.length + 1);
  switch (random.below(6)) {
    case 0:
      items.splice(at, 1);
      return;
    case 1:
      if (at < items.length) items.splice(at, 0, structuredClone(items[at]!));
      return;
    case 2:
      items.reverse();
      return;
    case 3:
      node.lie = random.pick([-1, 1, 2, 100, 2 ** 31]);
      return;
    case 4:
      node.form = random.below(4);
      return;
    default: {
      const [item] = items.splice(random.below(items.length), 1);
      if (item) items.splice(random.below(items.length + 1), 0, item);
    }
  }
}

function changeString(random: Random, node: Text): void {
  const { content } = node;
  switch (random.below(5)) {
    case 0:
      node.lie = random.pick([-1, 1, 2, 100, 2 ** 31]);
      return;
    case 1:
      node.form = random.below(4);
      return;
    case 2:
      node.kind = node.kind === 'text' ? 'bytes' : 'text';
      return;
    case 3:
      node.inner = null;
      node.content = content.slice(0, random.below(content.length + 1));
      return;
    default:
      node.inner = null;
      if (content.length > 0) content[random.below(content.length)]! ^= 1 << random.below(8);
  }
}

/** A number near the one that stands there; something else where none does. */
function nudged(random: Random, bytes: Uint8Array): unknown {
  const first = bytes[0]!;
  const near = first <= 0x7f ? first : random.pick(NUMBERS);
  return random.pick([near + 1, near - 1, near * 2, -near, String(near), near + 0.5]);
}

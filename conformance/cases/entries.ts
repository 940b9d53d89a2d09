/** Chapters 4 and 5: what commits.ts and batches.ts leave: each op's operands, runs of erased commits, holes, batches at their limit. */
import { zstdCompressSync } from 'node:zlib';
import { encodeBatch } from '../../protocol/batch.ts';
import { hashBody } from '../../protocol/body.ts';
import { concat, equal } from '../../protocol/bytes.ts';
import { ChainHasher, ZERO_ID } from '../../protocol/commit.ts';
import { BATCH_RAW_BYTES_MAX, CODEC } from '../../protocol/constants.ts';
import { encode } from '../../protocol/msgpack.ts';
import type { Case } from '../case.ts';
import { signOddly } from '../curve.ts';
import { crypto, random } from '../device.ts';
import { bodyWith, bytes, keeps, offer, readChains, refuses, refusedCase, settingRaw, subject } from '../offer.ts';
import { expect, Skip } from '../violation.ts';
import { batchOf, set, type Author, type Commit } from '../world.ts';

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

// ---- 4.3

const run = section('4.3');

/** As it is served by one that has dropped the changes. */
function erased(commit: Commit): Commit {
  return { ...commit, body: null };
}

function forged(author: Author, commit: Commit): Commit {
  const signature = commit.signature.slice();
  signature[40]! ^= 1;
  return author.withSignature(commit, signature);
}

/** A commit that is next on a chain after what a case has made so far. */
function after(
  author: Author,
  before: Commit | null,
  change: Uint8Array = settingRaw(subject('run'), bytes('01')),
): Commit {
  const name = { seq: (before?.seq ?? 0) + 1, prev: before?.id ?? ZERO_ID };
  return author.sign(bodyWith(author, change, before ? { deps: bytes('90') } : {}), name);
}

const runCases: readonly Case[] = [
  refusedCase(
    run(),
    'a run of erased commits whose last signature is forged',
    'erased ones belong to it',
    'bad-signature',
    (author) => {
      const first = after(author, null);
      return [erased(first), erased(forged(author, after(author, first)))];
    },
  ),
  refusedCase(
    run(),
    'a run whose last commit is erased and forged',
    'erased ones belong to it',
    'bad-signature',
    (author) => {
      const first = after(author, null);
      return [first, erased(forged(author, after(author, first)))];
    },
  ),
  {
    id: run(),
    title: 'forged signatures that an erased commit vouches for, and a forged one on an erased commit in the middle',
    rule: 'Each id covers the signature and the header before it, so the last signature vouches for all.',
    async run(trial) {
      const { author, pull } = await offer(trial);
      for (let i = 0; i < 2; i++) {
        const commit = after(author, author.last ?? null);
        author.add(forged(author, commit), i === 0 ? author.deps() : []);
      }
      author.add(after(author, author.last!), []);
      pull.batch(author.commits.map((commit) => (commit.seq === 1 ? commit : erased(commit))));
      await pull.acknowledged();
      await trial.unharmed();
    },
  },
  {
    id: run(),
    title: 'a forged commit that it has already, beside a new one of another chain',
    rule: 'A receiver MUST verify the last signature of every run.',
    hostile: true,
    async run(trial) {
      const other = trial.author();
      const offered = await offer(trial);
      const { author, pull } = offered;
      author.write([set(subject('run'), { v: 1 })]);
      await pull.sendAll();
      await refuses(offered, [after(other, null), forged(author, author.last!)], 'bad-signature');
    },
  },
];

// ---- 5

const batch = section('5');
const NO_FAULT =
  "One that couldn't have been taken at that place (it breaks a rule, or its author may not write it) leaves it a hole, and is no fault of whoever sent it.";

/** A hole whose changes, when they come, can't be taken. */
function unfillable(title: string, make: (author: Author) => Commit): Case {
  return {
    id: batch(),
    title,
    rule: NO_FAULT,
    async run(trial) {
      const { author, pull, line } = await offer(trial);
      const whole = make(author);
      // The world holds what can be taken of it.
      const hole = author.add(erased(whole), author.deps());
      pull.batch([hole]);
      await pull.acknowledged();
      await line.wire.close();
      const second = await trial.line(trial.side === 'server' ? { device: line.wire.device } : {});
      const fill = await second.pull();
      fill.batch([whole], { last: trial.world.head + 1 });
      await fill.acknowledged();
      const found = (await readChains(trial, [author.chain.id], second)).find(({ seq }) => seq === hole.seq);
      expect(found && equal(found.id, hole.id), 'it does not serve the hole any more');
      expect(found.kind === 'erased', 'it has filled the hole with changes that it must not take');
    },
  };
}

const holeCases: readonly Case[] = [
  {
    id: batch(),
    title: 'what an erased commit names was seen by those after it',
    rule: "Its `deps` are part of its author's past as if it were whole.",
    async run(trial) {
      const { author, pull, line } = await offer(trial);
      // The first names the grant, and the second nothing.
      author.add(after(author, null), author.deps());
      author.add(after(author, author.last!), []);
      pull.batch([erased(author.commits[0]!), author.commits[1]!]);
      await pull.acknowledged();
      await keeps(trial, [author.commits[1]!], line);
    },
  },
  unfillable('changes that break a rule do not fill a hole', (author) => after(author, null, bytes('90'))),
  unfillable('changes of ~ by a writer do not fill a hole', (author) =>
    after(author, null, settingRaw('~conformance', bytes('01'))),
  ),
  {
    id: batch(),
    title: 'a hole that is filled together with new commits',
    rule: "A body fills a hole if its hash is the hole's.",
    async run(trial) {
      const { author, pull, line } = await offer(trial);
      author.add(after(author, null), author.deps());
      author.add(after(author, author.last!), []);
      pull.batch(author.commits.map(erased));
      await pull.acknowledged();
      await line.wire.close();
      const second = await trial.line(trial.side === 'server' ? { device: line.wire.device } : {});
      const fill = await second.pull();
      author.add(after(author, author.last!), []);
      fill.batch(author.commits, { last: Math.max(fill.cursor + 3, trial.world.head) });
      await fill.acknowledged();
      await keeps(trial, author.commits, second);
    },
  },
];

/** Commits of the author's that make a batch of exactly so many bytes. They are in the world. */
function fillBatch(author: Author, size: number): Uint8Array {
  const name = subject('limit');
  for (let i = 0; i < 2; i++) author.write([set(name, { v: 'x'.repeat(900_000) })]);
  const deps = author.deps();
  const last = (length: number): Commit =>
    author.draft([set(name, { v: 'x'.repeat(length) })], { deps, time: Date.now() * 1000 });
  const rest = encodeBatch(batchOf([...author.commits, last(100_000)])).length - 100_000;
  author.add(last(size - rest), deps);
  const data = encodeBatch(batchOf(author.commits));
  if (data.length !== size) throw new Error(`the kit made a batch of ${data.length} bytes`);
  return data;
}

const limitCases: readonly Case[] = [
  {
    id: batch(),
    title: 'a batch of 2,097,152 bytes, as it is',
    rule: 'more than `BATCH_RAW_BYTES_MAX` (2,097,152) bytes unpacked',
    async run(trial) {
      const { author, pull } = await offer(trial);
      const data = fillBatch(author, BATCH_RAW_BYTES_MAX);
      if (pull.credit < data.length) throw new Skip(`it gave credit for ${pull.credit} bytes`);
      pull.send(data, { last: trial.world.head });
      await pull.acknowledged();
      await trial.unharmed();
    },
  },
  {
    id: batch(),
    title: 'a batch of 2,097,152 bytes, packed',
    rule: 'more than `BATCH_RAW_BYTES_MAX` (2,097,152) bytes unpacked',
    async run(trial) {
      const { author, pull, line } = await offer(trial);
      if (!line.hello.capabilities.includes('zstd')) throw new Skip('it does not take zstd');
      const data = fillBatch(author, BATCH_RAW_BYTES_MAX);
      const packed = new Uint8Array(zstdCompressSync(data));
      pull.send(packed, { codec: CODEC.ZSTD, rawBytes: data.length, last: trial.world.head });
      await pull.acknowledged();
      await trial.unharmed();
    },
  },
  {
    id: batch(),
    title: 'a batch of 2,097,153 bytes whose commits are right, packed',
    rule: 'more than `BATCH_RAW_BYTES_MAX` (2,097,152) bytes unpacked',
    hostile: true,
    async run(trial) {
      const { world } = trial;
      const { author, pull, line } = await offer(trial);
      if (!line.hello.capabilities.includes('zstd')) throw new Skip('it does not take zstd');
      const before = [...world.log];
      const data = fillBatch(author, BATCH_RAW_BYTES_MAX + 1);
      world.replace(before);
      const packed = new Uint8Array(zstdCompressSync(data));
      pull.send(packed, { codec: CODEC.ZSTD, rawBytes: data.length, last: pull.cursor + 3 });
      await line.wire.refused('batch-too-large');
    },
  },
];

// ---- 3.1

const key = section('3.1');

const keyCases: readonly Case[] = [
  {
    id: key(),
    title: 'a chain of a key with y = p + 1, under which one signature fits many messages',
    rule: 'Its y, which is the 255 low bits read little-endian, is below p',
    // Its author can be no member, and so another code may come.
    should: true,
    hostile: true,
    async run(trial) {
      const offered = await offer(trial);
      const odd = bytes(`ee${'ff'.repeat(30)}7f`);
      const author = trial.world.author({ keys: { secret: random(32), public: odd }, id: '', name: 'odd' });
      const draft = after(author, null);
      const header = new ChainHasher(crypto, { space: author.space, device: odd, nonce: author.chain.nonce });
      const message = header.signedBytes(1, ZERO_ID, hashBody(crypto, draft.body!));
      // Its point is that of y = 1, the neutral one: R = B·r, S = r.
      const signature = signOddly({ scalar: 0n, public: odd }, message, 'honest');
      await refuses(offered, [author.withSignature(draft, signature)], 'bad-key');
    },
  },
];

export const entryCases: readonly Case[] = [...bodyCases, ...runCases, ...holeCases, ...limitCases, ...keyCases];

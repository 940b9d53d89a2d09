/** Chapter 4: what is signed, chains, runs, bodies; and the commits that the implementation writes itself. */
import { decodeBody, decodeStem, hashBody } from '../../protocol/body.ts';
import { concat, equal, toHex } from '../../protocol/bytes.ts';
import { ChainHasher } from '../../protocol/commit.ts';
import { BODY_BYTES_MAX, INTEGER_MAX } from '../../protocol/constants.ts';
import { encode } from '../../protocol/msgpack.ts';
import type { Case, Trial } from '../case.ts';
import { crypto, newDevice, random } from '../device.ts';
import {
  bodyWith,
  bytes,
  keeps,
  offer,
  readLog,
  refuses,
  refusedCase,
  section,
  settingRaw,
  signAny,
  subject,
  writeRaw,
  writesItself,
} from '../offer.ts';
import { expect, Skip, Violation } from '../violation.ts';
import { set, World, type Author, type Commit } from '../world.ts';

const one = (): Uint8Array => settingRaw(subject('commit'), bytes('01'));

// ---- 4.1

const signed = section('4.1');
const SIGNATURE = 'signature = Ed25519(device\'s key, "tidelog/1 commit" | header)';
const BODY_HASH = 'body hash = SHA-256(stem | SHA-256(bytes of changes))';

function hasherOf({ space, chain: { device, nonce } }: Author): ChainHasher {
  return new ChainHasher(crypto, { space, device, nonce });
}

function flip(data: Uint8Array, at: number): Uint8Array {
  const copy = data.slice();
  copy[at]! ^= 1;
  return copy;
}

/** The author's next commit with another body than the one that was signed. */
function altered(author: Author, body: Uint8Array, instead: Uint8Array): Commit {
  const commit = author.sign(body);
  return { ...commit, body: instead };
}

const signedCases: readonly Case[] = [
  refusedCase(signed(), 'signed by another device', SIGNATURE, 'bad-signature', (author) =>
    author.sign(bodyWith(author, one()), { by: newDevice() }),
  ),
  refusedCase(
    signed(),
    'a commit of another space',
    'chain id = SHA-256("tidelog/1 chain" | space id 32 | device key 32 | nonce 8)',
    'bad-signature',
    (author) => new World(random(32)).author(author.device).draft([set(subject('commit'), { v: 1 })]),
  ),
  refusedCase(signed(), 'signed with another seq', SIGNATURE, 'bad-signature', (author) => ({
    ...author.sign(bodyWith(author, one()), { seq: 2 }),
    seq: 1,
  })),
  {
    id: signed(),
    title: 'signed with another prev',
    rule: SIGNATURE,
    hostile: true,
    async run(trial) {
      const offered = await offer(trial);
      const { id } = offered.author.write([set(subject('commit'), { v: 1 })]);
      await offered.pull.sendAll();
      const commit = offered.author.sign(bodyWith(offered.author, one()), { prev: random(32) });
      await refuses(offered, [{ ...commit, prev: id }], 'bad-signature');
    },
  },
  refusedCase(signed(), 'signed with another nonce', SIGNATURE, 'bad-signature', (author) => {
    const commit = author.sign(bodyWith(author, one()));
    return { ...commit, chain: { ...commit.chain, nonce: random(8) } };
  }),
  refusedCase(signed(), 'a header signed without its label', SIGNATURE, 'bad-signature', (author) => {
    const commit = author.sign(bodyWith(author, one()));
    const header = hasherOf(author).header(commit.seq, commit.prev, hashBody(crypto, commit.body!));
    return author.withSignature(commit, crypto.ed25519Sign(author.device.keys, header));
  }),
  refusedCase(signed(), 'a body hash that is SHA-256 of the body', BODY_HASH, 'bad-signature', (author) => {
    const body = bodyWith(author, one());
    return author.sign(body, { hash: crypto.sha256(body) });
  }),
  refusedCase(signed(), 'changes altered after signing', BODY_HASH, 'bad-signature', (author) =>
    altered(author, bodyWith(author, one()), bodyWith(author, one())),
  ),
  refusedCase(signed(), 'the time altered after signing', BODY_HASH, 'bad-signature', (author) => {
    const changes = one();
    const body = (time: number): Uint8Array => bodyWith(author, changes, { time: encode(time) });
    return altered(author, body(1_000_000_000_000_000), body(1_000_000_000_000_001));
  }),
  refusedCase(signed(), 'the deps altered after signing', BODY_HASH, 'bad-signature', (author) => {
    const changes = one();
    const time = encode(Date.now() * 1000);
    return altered(author, bodyWith(author, changes, { time }), bodyWith(author, changes, { time, deps: bytes('90') }));
  }),
  refusedCase(signed(), 'the same body, encoded again', BODY_HASH, 'bad-signature', (author) => {
    const name = subject('commit');
    const time = encode(Date.now() * 1000);
    return altered(
      author,
      bodyWith(author, settingRaw(name, bytes('cd0001')), { time }),
      bodyWith(author, settingRaw(name, bytes('01')), { time }),
    );
  }),
];

// ---- 4.2

const chained = section('4.2');

/** Two commits of the implementation's own, the second written after the first. */
function checkFollows(first: Commit, second: Commit): void {
  if (!equal(first.chain.id, second.chain.id)) {
    expect(!equal(first.chain.nonce, second.chain.nonce), 'its new chain has the nonce of the old one');
    return;
  }
  expect(second.seq === first.seq + 1, `after its seq ${first.seq} came ${second.seq}`);
  expect(equal(second.prev, first.id), `prev of its seq ${second.seq} is not the id of seq ${first.seq}`);
}

const chainCases: readonly Case[] = [
  {
    id: chained(),
    title: 'its own commits are numbered and linked',
    rule: 'MUST NOT sign two commits with one `seq`',
    needs: ['write'],
    async run(trial) {
      await (await trial.line()).push();
      const commits = [await writesItself(trial), await writesItself(trial), await writesItself(trial)];
      checkFollows(commits[0]!, commits[1]!);
      checkFollows(commits[1]!, commits[2]!);
      const last = commits[2]!;
      expect(last.seq <= INTEGER_MAX, `its seq is ${last.seq}`);
    },
  },
  {
    id: chained(),
    title: 'its chain after it was killed',
    rule: 'MUST NOT sign two commits with one `seq`',
    needs: ['write', 'run'],
    alone: true,
    async run(trial) {
      await (await trial.line()).push();
      const first = await writesItself(trial);
      await trial.kill();
      const second = await writesItself(trial);
      checkFollows(first, second);
    },
  },
  {
    id: chained(),
    title: 'a vector that has more of its chain than it has',
    rule: "a peer's vector names its chain with a higher `seq` than its own head",
    needs: ['write'],
    async run(trial) {
      await (await trial.line()).push();
      const first = await writesItself(trial);
      const line = await trial.line();
      if (!line.offered()) throw new Skip('it offers no space, and so nobody tells it what they have');
      const heads = [
        ...trial.world.vector().filter(({ chain }) => !equal(chain, first.chain.id)),
        { chain: first.chain.id, seq: trial.world.headOf(first.chain.id)!.seq + 7, id: random(32) },
      ];
      const follow = line.follow({ from: { kind: 'vector', heads } });
      await follow.caughtUp();
      await line.wire.close();
      const second = await writesItself(trial);
      expect(!equal(first.chain.id, second.chain.id), `it goes on with its chain, with seq ${second.seq}`);
      expect(second.seq === 1, `its new chain begins with seq ${second.seq}`);
      expect(!equal(first.chain.nonce, second.chain.nonce), 'its new chain has the nonce of the old one');
      checkFollows(second, await writesItself(trial));
    },
  },
];

// ---- 4.3

const run = section('4.3');
const NOT_ANOTHER = 'It MUST NOT refuse a run for another signature in it';
const LAST = 'A receiver MUST verify the last signature of every run.';

/** The author's next commit with a signature that verifies nowhere. */
function forged(author: Author): Commit {
  const commit = author.sign(bodyWith(author, one()));
  return author.withSignature(commit, flip(commit.signature, 9));
}

/** Signs on, on a chain that isn't in the world. */
function runOf(author: Author, count: number): Commit[] {
  const commits: Commit[] = [];
  for (let i = 0; i < count; i++) {
    const body = bodyWith(author, one(), i > 0 ? { deps: bytes('90') } : {});
    commits.push(author.sign(body, { seq: i + 1, ...(i > 0 && { prev: commits[i - 1]!.id }) }));
  }
  return commits;
}

const runCases: readonly Case[] = [
  {
    id: run(),
    title: 'a forged signature in the middle of a run',
    rule: NOT_ANOTHER,
    async run(trial) {
      const { author, pull, line } = await offer(trial);
      const commits = [
        author.write([set(subject('run'), { v: 1 })]),
        author.add(forged(author), author.deps()),
        author.write([set(subject('run'), { v: 3 })]),
      ];
      await pull.sendAll();
      await keeps(trial, commits, line);
    },
  },
  {
    id: run(),
    title: 'a run that begins with forged signatures, and entries of another chain in it',
    rule: 'Entries of other chains may stand between, and end nothing.',
    async run(trial) {
      const { author, pull } = await offer(trial);
      const other = trial.author();
      author.add(forged(author), author.deps());
      other.write([set(subject('run'), { v: 1 })]);
      author.add(forged(author), author.deps());
      other.write([set(subject('run'), { v: 2 })]);
      author.write([set(subject('run'), { v: 3 })]);
      await pull.sendAll();
      await trial.unharmed();
    },
  },
  refusedCase(run(), 'a commit alone with a forged signature', LAST, 'bad-signature', forged),
  refusedCase(run(), 'a run whose last signature is forged', LAST, 'bad-signature', (author) => {
    const commits = runOf(author, 3);
    return [...commits.slice(0, 2), author.withSignature(commits[2]!, flip(commits[2]!.signature, 40))];
  }),
  {
    id: run(),
    title: 'of two runs in a batch the first is forged',
    rule: LAST,
    hostile: true,
    async run(trial) {
      const first = trial.author();
      const offered = await offer(trial);
      const second = offered.author.draft([set(subject('run'), { v: 1 })]);
      await refuses(offered, [forged(first), second], 'bad-signature');
    },
  },
  {
    id: run(),
    title: 'a forged last signature is not mended by the next batch',
    rule: 'A run ends where the batch ends, and where a gap of its chain begins.',
    hostile: true,
    async run(trial) {
      const offered = await offer(trial);
      const [first, second, third] = runOf(offered.author, 3);
      const middle = offered.author.withSignature(second!, flip(second!.signature, 40));
      const last = offered.author.sign(third!.body!, { seq: 3, prev: middle.id });
      offered.pull.batch([first!, middle]);
      await refuses(offered, [last], 'bad-signature');
    },
  },
  refusedCase(
    run(),
    'a commit left out of a run',
    "each commit's `prev` is the id of the commit before it",
    'bad-signature',
    (author) => {
      const commits = runOf(author, 3);
      return [commits[0]!, { ...commits[2]!, seq: 2 }];
    },
  ),
  refusedCase(
    run(),
    'a run in another order',
    "each commit's `prev` is the id of the commit before it",
    'bad-signature',
    (author) => {
      const [first, second, third] = runOf(author, 3);
      return [first!, { ...third!, seq: 2 }, { ...second!, seq: 3 }];
    },
  ),
  refusedCase(
    run(),
    'a body altered in the middle of a run',
    "each commit's `prev` is the id of the commit before it",
    'bad-signature',
    (author) => {
      const [first, second, third] = runOf(author, 3);
      return [first!, { ...second!, body: bodyWith(author, one(), { deps: bytes('90') }) }, third!];
    },
  ),
  {
    id: run(),
    title: 'a run over several batches',
    rule: 'A run ends where the batch ends',
    async run(trial) {
      const { author, pull } = await offer(trial);
      const name = subject('run');
      for (let i = 0; i < 6; i++) {
        author.write([set(name, { i })]);
        if (i % 2) await pull.sendAll();
      }
      await trial.unharmed();
    },
  },
  {
    id: run(),
    title: 'of two runs in a batch the second is forged',
    rule: LAST,
    hostile: true,
    async run(trial) {
      const first = trial.author();
      const offered = await offer(trial);
      await refuses(offered, [first.draft([set(subject('run'), { v: 1 })]), forged(offered.author)], 'bad-signature');
    },
  },
];

// ---- 4.4

const body = section('4.4');
const RULE = {
  first: 'Its first byte is `93`: an array of exactly three.',
  time: '`time` is a count: microseconds since 1970',
  deps: 'Each of `deps` is `[chain, seq]`: 16 bytes, and an integer from 1; or `[chain, seq, id]`',
  depsOnce: "No chain stands there twice, nor the commit's own.",
  changes: '`changes` has one change or more. Each is `[subject, ops]`.',
  subjectOnce: 'No subject stands there twice.',
  ops: '`ops` is a map with one key or more, all of them in this table',
  once: 'In one change a property stands in one of `set`, `unset`, `inc`, or in `add` and `remove`, which may share it.',
  reserved: 'A commit changes either only subjects that begin with `~` or none of them',
};

function refusedBody(title: string, rule: string, make: (author: Author) => Uint8Array): Case {
  return refusedCase(body(), title, rule, 'bad-commit', (author) => author.sign(make(author)));
}

/** The stem can't be told apart, so nothing that was signed can be its hash. */
function refusedWhole(title: string, rule: string, make: (author: Author) => Uint8Array): Case {
  return refusedCase(body(), title, rule, ['bad-commit', 'bad-signature'], (author) => signAny(author, make(author)));
}

function refusedTime(title: string, time: Uint8Array): Case {
  return refusedBody(title, RULE.time, (author) => bodyWith(author, one(), { time }));
}
function refusedDeps(title: string, rule: string, deps: (author: Author) => unknown): Case {
  return refusedBody(title, rule, (author) => bodyWith(author, one(), { deps: encode(deps(author)) }));
}
function refusedChanges(title: string, rule: string, changes: unknown): Case {
  return refusedBody(title, rule, (author) => bodyWith(author, encode(changes)));
}
function refusedOps(title: string, ops: unknown, rule = RULE.ops): Case {
  return refusedBody(title, rule, (author) => bodyWith(author, encode([[subject('ops'), ops]])));
}

/** A body of exactly so many bytes. */
function bodyOf(author: Author, length: number): Uint8Array {
  const make = (text: number): Uint8Array =>
    bodyWith(author, settingRaw(subject('large'), encode('x'.repeat(text))), { time: encode(1_000_000_000_000_000) });
  const rest = make(100_000).length - 100_000;
  return make(length - rest);
}

/** Of each of its own commits, by the order of its log: is the whole of what had advanced named, and nothing else? */
async function checkOwnDeps(trial: Trial): Promise<void> {
  const heads = new Map<string, number>();
  const namedByChain = new Map<string, Map<string, number>>();
  for (const entry of await readLog(trial)) {
    if (entry.kind === 'gap') throw new Violation('it sent a gap in a whole stream');
    const name = toHex(entry.chain.id);
    if (equal(entry.chain.device, trial.remoteDevice!)) {
      const { deps } = entry.kind === 'commit' ? decodeBody(entry.body) : decodeStem(entry.stem);
      const named = namedByChain.get(name) ?? new Map<string, number>();
      namedByChain.set(name, named);
      const expected = [...heads].filter(([chain, seq]) => chain !== name && (named.get(chain) ?? 0) < seq);
      for (const [chain, seq] of expected) {
        const found = deps.find((dep) => toHex(dep.chain) === chain)?.seq;
        expect(
          found === seq,
          `its seq ${entry.seq} names ${found ?? 'nothing'} of chain ${chain}, which stood at ${seq} in its log`,
        );
      }
      for (const { chain } of deps)
        expect(
          expected.some(([advanced]) => advanced === toHex(chain)),
          `its seq ${entry.seq} names chain ${toHex(chain)}, which had not advanced`,
        );
      for (const { chain, seq } of deps) named.set(toHex(chain), seq);
    }
    heads.set(name, entry.seq);
  }
}

const owner = { role: 'owner' } as const;

const bodyCases: readonly Case[] = [
  {
    id: body(),
    title: 'each op, alone and with others',
    rule: '`ops` is a map with one key or more, all of them in this table',
    async run(trial) {
      const { author, pull, line } = await offer(trial);
      const name = subject('ops');
      const all = [
        { destroy: true },
        { set: { a: 1 } },
        { unset: ['a', 'b'] },
        { inc: { a: INTEGER_MAX, b: -INTEGER_MAX, c: 0 } },
        { add: { a: [1, 1, { b: [] }] } },
        { remove: { a: [1, null] } },
        { add: { a: [1] }, remove: { a: [1] } },
        { destroy: true, set: { a: 1 }, unset: ['b'], inc: { c: 1 }, add: { d: [1] }, remove: { d: [2], e: [3] } },
        { destroy: true, unset: ['never'] },
      ];
      const commits = all.map((ops) => writeRaw(author, bodyWith(author, encode([[name, ops]]))));
      commits.push(
        author.write(Array.from({ length: 50 }, (_, i) => set(`${name}/${i}`, { i }))),
        author.write([set(name, { v: 1 })], { time: 0 }),
      );
      await pull.sendAll();
      await keeps(trial, commits, line);
    },
  },
  {
    id: body(),
    title: 'a body of 1,048,576 bytes',
    rule: 'A body is at most `BODY_BYTES_MAX` (1,048,576) bytes',
    async run(trial) {
      const { author, pull, line } = await offer(trial);
      const commit = writeRaw(author, bodyOf(author, BODY_BYTES_MAX));
      await pull.sendAll();
      await keeps(trial, [commit], line);
    },
  },
  refusedCase(body(), 'a body of 1,048,577 bytes', 'a larger one is `commit-too-large`', 'commit-too-large', (author) =>
    author.sign(bodyOf(author, BODY_BYTES_MAX + 1)),
  ),
  refusedCase(
    body(),
    'an erased commit with a stem of more than 1,048,576 bytes',
    'and so is a stem; a larger one is `commit-too-large`',
    // What so large a stem names can't all be there.
    ['commit-too-large', 'causal-gap'],
    (author) => {
      const deps = Array.from({ length: 55_000 }, (_, i) => [random(16), i + 1]);
      return { ...author.sign(bodyWith(author, one(), { deps: encode(deps) })), body: null };
    },
  ),

  refusedWhole('a body that is an array of four', RULE.first, (author) =>
    concat(bytes('94'), bodyWith(author, one()).subarray(1), bytes('c0')),
  ),
  refusedWhole('a body that is an array of two', RULE.first, () => bytes('92 01 90')),
  refusedWhole('a body whose array is in a longer form', RULE.first, (author) =>
    concat(bytes('dc0003'), bodyWith(author, one()).subarray(1)),
  ),
  refusedWhole('a body that is a map', RULE.first, () => bytes('80')),
  refusedWhole('an empty body', RULE.first, () => new Uint8Array(0)),
  refusedWhole('deps of three levels', RULE.deps, (author) =>
    bodyWith(author, one(), { deps: bytes('91 92 91 01 01') }),
  ),

  refusedTime('a negative time', encode(-1)),
  refusedTime('a time with a fraction', encode(1.5)),
  refusedTime('a time that is a string', encode('1')),
  refusedTime('no time', encode(null)),

  refusedDeps('deps that are nil', RULE.deps, () => null),
  refusedDeps('deps that are a map', RULE.deps, () => ({})),
  refusedDeps('a dep of one', RULE.deps, ({ chain }) => [[chain.id]]),
  refusedDeps('a dep of three whose third is no id', RULE.deps, (author) => [[author.deps()[0]!.chain, 1, 1]]),
  refusedDeps('a dep whose chain has 15 bytes', RULE.deps, (author) => [[author.deps()[0]!.chain.slice(1), 1]]),
  refusedDeps('a dep whose chain has 17 bytes', RULE.deps, () => [[random(17), 1]]),
  refusedDeps('a dep whose chain is a string', RULE.deps, () => [['x'.repeat(16), 1]]),
  refusedDeps('a dep with seq 0', RULE.deps, (author) => [[author.deps()[0]!.chain, 0]]),
  refusedDeps('a dep with a negative seq', RULE.deps, (author) => [[author.deps()[0]!.chain, -1]]),
  refusedDeps('a dep with a fraction', RULE.deps, (author) => [[author.deps()[0]!.chain, 1.5]]),
  refusedDeps('a chain twice in the deps', RULE.depsOnce, (author) => {
    // All that it must name, so that nothing else is wrong with it.
    const honest = author.deps().map(({ chain, seq }) => [chain, seq]);
    return [...honest, honest[0]];
  }),
  {
    id: body(),
    title: "the commit's own chain in its deps",
    rule: RULE.depsOnce,
    hostile: true,
    async run(trial) {
      const offered = await offer(trial);
      const { author, pull } = offered;
      author.write([set(subject('deps'), { v: 1 })]);
      await pull.sendAll();
      const deps = encode([[author.chain.id, 1]]);
      await refuses(offered, [author.sign(bodyWith(author, one(), { deps }))], 'bad-commit');
    },
  },

  refusedChanges('changes that are nil', RULE.changes, null),
  refusedChanges('no changes', RULE.changes, []),
  refusedChanges('changes that are a map', RULE.changes, { a: { set: { v: 1 } } }),
  refusedChanges('a change of one', RULE.changes, [['conformance/a']]),
  refusedChanges('a change of three', RULE.changes, [['conformance/a', { set: { v: 1 } }, 1]]),
  refusedChanges('a subject that is a byte string', RULE.changes, [[random(8), { set: { v: 1 } }]]),
  refusedChanges('a subject that is a number', RULE.changes, [[1, { set: { v: 1 } }]]),
  refusedChanges('a subject twice', RULE.subjectOnce, [
    ['conformance/a', { set: { v: 1 } }],
    ['conformance/b', { set: { v: 1 } }],
    ['conformance/a', { set: { w: 1 } }],
  ]),
  refusedOps('ops that are nil', null),
  refusedOps('ops that are an array', ['set']),
  refusedOps('no ops', {}),
  refusedOps('an op that is unknown', { set: { v: 1 }, append: { w: 1 } }),
  refusedOps('an op in upper case', { SET: { v: 1 } }),
  refusedOps('destroy false', { destroy: false }),
  refusedOps('destroy nil', { destroy: null, set: { v: 1 } }),
  refusedOps('destroy 1', { destroy: 1 }),
  refusedOps('an empty set', { set: {} }),
  refusedOps('a set that is an array', { set: ['v'] }),
  refusedOps('an empty unset', { unset: [] }),
  refusedOps('an unset that is a map', { unset: { v: true } }),
  refusedOps('an unset of a number', { unset: [1] }),
  refusedOps('a name twice in unset', { unset: ['v', 'w', 'v'] }),
  refusedOps('an empty inc', { inc: {} }),
  refusedOps('an inc by a fraction', { inc: { v: 0.5 } }),
  refusedOps('an inc by a string', { inc: { v: '1' } }),
  refusedOps('an inc by true', { inc: { v: true } }),
  refusedOps('an inc by nil', { inc: { v: null } }),
  refusedOps('an empty add', { add: {} }),
  refusedOps('an add of a value that is in no array', { add: { v: 1 } }),
  refusedOps('an add of no values', { add: { v: [] } }),
  refusedOps('an add of a map', { add: { v: { a: 1 } } }),
  refusedOps('an empty remove', { remove: {} }),
  refusedOps('a remove of no values', { remove: { v: [] } }),
  refusedOps('a remove of a string', { remove: { v: 'a' } }),
  ...(
    [
      ['set', 'unset'],
      ['set', 'inc'],
      ['set', 'add'],
      ['set', 'remove'],
      ['unset', 'inc'],
      ['unset', 'add'],
      ['unset', 'remove'],
      ['inc', 'add'],
      ['inc', 'remove'],
    ] as const
  ).map(([left, right]) => {
    const operands = { set: { v: 1 }, unset: ['v'], inc: { v: 1 }, add: { v: [1] }, remove: { v: [1] } };
    return refusedOps(
      `a property in ${left} and in ${right}`,
      { [left]: operands[left], [right]: operands[right] },
      RULE.once,
    );
  }),
  refusedCase(
    body(),
    'a subject that begins with ~ and one that does not',
    RULE.reserved,
    'bad-commit',
    (author) => author.draft([set('~other', { v: 1 }), set(subject('mixed'), { v: 1 })]),
    owner,
  ),
  refusedCase(
    body(),
    'a subject that does not begin with ~ and a device',
    RULE.reserved,
    'bad-commit',
    (author) => author.draft([set(subject('mixed'), { v: 1 }), set(`~devices/${newDevice().id}`, { role: 'reader' })]),
    owner,
  ),
  {
    id: body(),
    title: 'the changes that it writes itself',
    rule: 'changes = [[subject, ops], …]',
    needs: ['write'],
    async run(trial) {
      await (await trial.line()).push();
      for (const value of [1, -1.5, 'text', null, true, { a: [1, {}] }, []]) {
        const name = subject('own');
        const commit = await writesItself(trial, name, value);
        const { changes } = decodeBody(commit.body!);
        expect(changes.length === 1, `its commit has ${changes.length} changes in place of one`);
        const { set: written, ...others } = changes[0]!.ops;
        expect(Object.keys(others).length === 0, `its commit holds also ${Object.keys(others).join(', ')}`);
        expect(
          JSON.stringify(written) === JSON.stringify({ v: value }),
          `its commit sets ${JSON.stringify(written)} where {"v": ${JSON.stringify(value)}} was asked for`,
        );
      }
    },
  },
  {
    id: body(),
    title: 'the deps of what it writes itself',
    rule: 'an author MUST name in `deps`, for every other chain that advanced in its log since its own previous commit, its head; in the first commit of a chain, that is every chain that it has',
    needs: ['write'],
    async run(trial) {
      const others = [trial.author(), trial.author()];
      const name = subject('deps');
      const push = async (): Promise<void> => {
        const line = await trial.line();
        await line.push();
        await line.wire.close();
      };
      for (const author of others) author.write([set(name, { v: 1 })]);
      await push();
      await writesItself(trial);
      others[0]!.write([set(name, { v: 2 })]);
      others[0]!.write([set(name, { v: 3 })]);
      await push();
      await writesItself(trial);
      others[1]!.write([set(name, { v: 4 })]);
      trial.author().write([set(name, { v: 5 })]);
      await push();
      await writesItself(trial);
      await writesItself(trial);
      await checkOwnDeps(trial);
    },
  },
  {
    id: body(),
    title: 'after writing alone its deps are empty',
    rule: 'After writing alone, `deps` is empty.',
    needs: ['write'],
    // On a server each connection of the kit's makes a device a member, which is a commit of another chain.
    side: 'client',
    async run(trial) {
      await (await trial.line()).push();
      await writesItself(trial);
      const { body: second } = await writesItself(trial);
      const { deps } = decodeBody(second!);
      expect(deps.length === 0, `its second commit names ${deps.length} chains`);
    },
  },
  refusedDeps('a dep with an id of 31 bytes', RULE.deps, (author) => [[author.deps()[0]!.chain, 1, random(31)]]),
  refusedDeps('a dep of four', RULE.deps, (author) => [[author.deps()[0]!.chain, 1, random(32), 1]]),
];

export const commitCases: readonly Case[] = [...signedCases, ...chainCases, ...runCases, ...bodyCases];

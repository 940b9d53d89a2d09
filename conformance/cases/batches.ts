/** Chapters 5 and 6: batches, their codecs, vectors and digests. */
import { constants, zstdCompressSync } from 'node:zlib';
import { encodeBatch, type Batch } from '../../protocol/batch.ts';
import { compare, concat, equal, toHex } from '../../protocol/bytes.ts';
import { ZERO_ID } from '../../protocol/commit.ts';
import { BATCH_ENTRIES_MAX, BATCH_RAW_BYTES_MAX, CODEC } from '../../protocol/constants.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import type { BatchMessage, SpaceState } from '../../protocol/messages.ts';
import { encode } from '../../protocol/msgpack.ts';
import { digest, type ChainHead } from '../../protocol/vector.ts';
import type { AuthenticEntry } from '../../protocol/authenticate.ts';
import type { Case, Trial } from '../case.ts';
import { crypto, random } from '../device.ts';
import {
  bodyWith,
  bytes,
  freshLine,
  keeps,
  offer,
  readChains,
  refuses,
  refusedCase,
  section,
  settingRaw,
  signAny,
  subject,
  type Offer,
} from '../offer.ts';
import { expect, Skip, Violation } from '../violation.ts';
import { batchOf, set, type Author, type Commit } from '../world.ts';

const batch = section('5');
const FORM = 'not of the form above; a chain listed twice, or without an entry';
const NAMES = 'an entry that names a chain not listed; too few signatures, or too many';
const WHOLE = 'A batch is taken whole or not at all';

function draft(author: Author, what = 'batch'): Commit {
  return author.draft([set(subject(what), { v: 1 })]);
}

/** Three commits of a chain that isn't in the world. */
function three(author: Author): Commit[] {
  const commits: Commit[] = [];
  for (let seq = 1; seq <= 3; seq++) {
    const prev = commits.at(-1)?.id;
    const body = bodyWith(author, settingRaw(subject('batch'), bytes('01')), seq > 1 ? { deps: bytes('90') } : {});
    commits.push(author.sign(body, { seq, prev: prev ?? ZERO_ID }));
  }
  return commits;
}

/** All that the author must name, its grant among it, so that nothing is wrong but a chain that nobody has. */
function depsWithUnknown(author: Author): Uint8Array {
  return encode([...author.deps().map(({ chain, seq }) => [chain, seq]), [random(16), 1]]);
}

type Parts = [chains: unknown, entries: unknown, signatures: unknown, ...rest: unknown[]];

/** An honest batch of one commit, as the values that MessagePack writes. */
function partsOf({ chain, signature, body }: Commit): Parts {
  return [[[chain.device, chain.nonce, 0, new Uint8Array(32)]], [[0, body]], signature];
}

/** The honest parts of a batch with one commit, made wrong. */
function refusedParts(
  title: string,
  rule: string,
  spoil: (parts: {
    chain: unknown[];
    entry: unknown[];
    signature: Uint8Array;
    parts: Parts;
    commit: Commit;
  }) => unknown,
  code: ErrorCode | readonly ErrorCode[] = 'bad-batch',
): Case {
  return {
    id: batch(),
    title,
    rule,
    hostile: true,
    async run(trial) {
      const { author, pull, line } = await offer(trial);
      const commit = draft(author);
      const parts = partsOf(commit);
      const [chains, entries] = parts as unknown as [unknown[][], unknown[][]];
      const spoilt = spoil({ chain: chains[0]!, entry: entries[0]!, signature: commit.signature, parts, commit });
      pull.send(spoilt instanceof Uint8Array ? spoilt : encode(spoilt), { last: pull.cursor + 4 });
      await line.wire.refused(code);
    },
  };
}

/** The item `at` of an array replaced. */
function replaced(list: readonly unknown[], at: number, value: unknown): unknown[] {
  return list.with(at, value);
}

/** The chain in the world has one commit, and the implementation has it. */
async function offerWithHead(trial: Trial): Promise<Offer & { first: Commit }> {
  const offered = await offer(trial);
  const first = offered.author.write([set(subject('batch'), { v: 1 })]);
  await offered.pull.sendAll();
  return { ...offered, first };
}

function refusedAtHead(
  title: string,
  rule: string,
  code: ErrorCode | readonly ErrorCode[],
  make: (author: Author, first: Commit) => readonly Commit[] | Batch,
): Case {
  return {
    id: batch(),
    title,
    rule,
    hostile: true,
    async run(trial) {
      const offered = await offerWithHead(trial);
      await refuses(offered, make(offered.author, offered.first), code);
    },
  };
}

function pack(raw: Uint8Array): Uint8Array {
  return new Uint8Array(zstdCompressSync(raw));
}

const again = (author: Author): Uint8Array =>
  bodyWith(author, settingRaw(subject('batch'), bytes('02')), { deps: bytes('90') });

function gapTo(author: Author, seq: number, before: ChainHead | null): Batch {
  const { device, nonce } = author.chain;
  return {
    chains: [{ device, nonce, seq: before?.seq ?? 0, id: before?.id ?? new Uint8Array(32) }],
    entries: [{ kind: 'gap', chain: 0, seq, id: random(32) }],
  };
}

const formCases: readonly Case[] = [
  refusedParts('a batch that is a map', FORM, () => ({})),
  refusedParts('a batch that is nil', FORM, () => null),
  refusedParts('no bytes at all', FORM, () => new Uint8Array(0)),
  refusedParts('a batch of two', FORM, ({ parts }) => parts.slice(0, 2)),
  refusedParts('a batch of four', FORM, ({ parts }) => [...parts, null]),
  refusedParts('bytes after the batch', FORM, ({ parts }) => concat(encode(parts), bytes('c0'))),
  refusedParts('a batch that is cut off', FORM, ({ parts }) => encode(parts).slice(0, -1)),
  refusedParts('an array that declares 2^32 − 1 entries', FORM, ({ parts: [chains] }) =>
    concat(bytes('93'), encode(chains), bytes('ddffffffff')),
  ),
  refusedParts('an extension type in a batch', FORM, ({ parts: [chains, entries] }) =>
    concat(bytes('93'), encode(chains), encode(entries), bytes('d40100')),
  ),
  refusedParts('chains that are a map', FORM, ({ parts }) => replaced(parts, 0, { 0: parts[0] })),
  refusedParts('entries that are nil', FORM, ({ parts }) => replaced(parts, 1, null)),
  refusedParts('a chain of three', FORM, ({ chain, parts }) => replaced(parts, 0, [chain.slice(0, 3)])),
  refusedParts('a chain of five', FORM, ({ chain, parts }) => replaced(parts, 0, [[...chain, 0]])),
  refusedParts(
    'a device key of 31 bytes',
    FORM,
    ({ chain, parts }) => replaced(parts, 0, [replaced(chain, 0, random(31))]),
    ['bad-batch', 'bad-key'],
  ),
  refusedParts('a nonce of 9 bytes', FORM, ({ chain, parts }) => replaced(parts, 0, [replaced(chain, 1, random(9))])),
  refusedParts('a nonce that is a string', FORM, ({ chain, parts }) =>
    replaced(parts, 0, [replaced(chain, 1, '12345678')]),
  ),
  refusedParts('a negative seq', FORM, ({ chain, parts }) => replaced(parts, 0, [replaced(chain, 2, -1)])),
  refusedParts('a seq with a fraction', FORM, ({ chain, parts }) => replaced(parts, 0, [replaced(chain, 2, 0.5)])),
  refusedParts('an id of 33 bytes', FORM, ({ chain, parts }) =>
    replaced(parts, 0, [replaced(chain, 3, new Uint8Array(33))]),
  ),
  refusedParts('a chain listed twice', FORM, ({ chain, parts }) => replaced(parts, 0, [chain, chain])),
  refusedParts('a chain listed twice, with entries of both', FORM, ({ chain, entry, parts: [, , signature] }) => [
    [chain, chain],
    [entry, [1, entry[1]]],
    concat(signature as Uint8Array, signature as Uint8Array),
  ]),
  refusedParts('a chain without an entry', FORM, ({ chain, parts }) =>
    replaced(parts, 0, [chain, replaced(chain, 1, random(8))]),
  ),
  refusedParts('an entry of one', FORM, ({ parts }) => replaced(parts, 1, [[0]])),
  refusedParts('an entry of four', FORM, ({ entry, parts }) => replaced(parts, 1, [[...entry, random(32), 0]])),
  refusedParts('a body that is a string', FORM, ({ parts }) => replaced(parts, 1, [[0, 'body']])),
  refusedParts('a body that is an array', FORM, ({ parts }) => replaced(parts, 1, [[0, [1, [], []]]])),
  refusedParts('a hash of 31 bytes in an erased commit', FORM, ({ commit, parts }) =>
    replaced(parts, 1, [[0, commit.erased.stem, random(31)]]),
  ),
  refusedParts('a gap with seq 0', 'and a `seq` of 0 is `bad-batch`', ({ chain }) => [
    [chain],
    [[0, 0, random(32)]],
    new Uint8Array(0),
  ]),
  refusedParts('signatures that are nil', FORM, ({ parts }) => replaced(parts, 2, null)),
  refusedParts('signatures that are an array', FORM, ({ parts, signature }) => replaced(parts, 2, [signature])),
  refusedParts('an index past the chains', NAMES, ({ entry, parts }) => replaced(parts, 1, [replaced(entry, 0, 1)])),
  refusedParts('a negative index', NAMES, ({ entry, parts }) => replaced(parts, 1, [replaced(entry, 0, -1)])),
  refusedParts('an index with a fraction', NAMES, ({ entry, parts }) => replaced(parts, 1, [replaced(entry, 0, 0.5)])),
  refusedParts('no signatures', NAMES, ({ parts }) => replaced(parts, 2, new Uint8Array(0))),
  refusedParts('63 bytes of signatures', NAMES, ({ parts, signature }) =>
    replaced(parts, 2, signature.subarray(0, 63)),
  ),
  refusedParts('65 bytes of signatures', NAMES, ({ parts, signature }) =>
    replaced(parts, 2, concat(signature, bytes('00'))),
  ),
  refusedParts('a signature too many', NAMES, ({ parts, signature }) =>
    replaced(parts, 2, concat(signature, signature)),
  ),
];

/** Entries that come from a chain whose commits are all right, so that nothing else is wrong with them. */
function manyOf(author: Author, count: number): Commit[] {
  const commits: Commit[] = [];
  const name = subject('many');
  const changes = settingRaw(name, bytes('01'));
  const time = encode(Date.now() * 1000);
  for (let seq = 1; seq <= count; seq++) {
    const prev = commits.at(-1)?.id;
    const body = bodyWith(author, changes, { time, ...(seq > 1 && { deps: bytes('90') }) });
    commits.push(author.sign(body, { seq, prev: prev ?? ZERO_ID }));
  }
  return commits;
}

const rowCases: readonly Case[] = [
  {
    id: batch(),
    title: 'a batch that declares 2,097,153 bytes',
    rule: 'more than `BATCH_RAW_BYTES_MAX` (2,097,152) bytes unpacked',
    hostile: true,
    async run(trial) {
      const { pull, line } = await offer(trial);
      const raw = new Uint8Array(BATCH_RAW_BYTES_MAX + 1);
      const codes: ErrorCode[] = takesZstd(line) ? ['batch-too-large'] : ['batch-too-large', 'bad-batch'];
      pull.send(pack(raw), { codec: CODEC.ZSTD, rawBytes: raw.length, last: pull.cursor + 1 });
      await line.wire.refused(codes);
    },
  },
  {
    id: batch(),
    title: '4,097 entries',
    rule: 'more than `BATCH_ENTRIES_MAX` (4,096) entries',
    hostile: true,
    async run(trial) {
      const offered = await offer(trial);
      await refuses(offered, manyOf(offered.author, BATCH_ENTRIES_MAX + 1), 'batch-too-large');
    },
  },
  {
    id: batch(),
    title: '4,096 entries',
    rule: 'more than `BATCH_ENTRIES_MAX` (4,096) entries',
    alone: true,
    async run(trial) {
      const { author, pull } = await offer(trial);
      const deps = author.deps();
      for (const commit of manyOf(author, BATCH_ENTRIES_MAX)) author.add(commit, deps);
      pull.batch(author.commits);
      await pull.acknowledged();
      await trial.unharmed();
    },
  },
  {
    id: batch(),
    title: 'more entries than positions',
    rule: 'more entries, gaps included, than `last − prev` of its message',
    hostile: true,
    async run(trial) {
      const offered = await offer(trial);
      await refuses(offered, three(offered.author), 'bad-batch', { last: offered.pull.cursor + 2 });
    },
  },
  refusedCase(
    batch(),
    'a chain with seq 0 and an id',
    'a chain with `seq` 0 and an id other than zeros, or with zeros and another `seq`',
    'unlinked',
    (author) => author.sign(draft(author).body!, { prev: random(32) }),
  ),
  refusedCase(
    batch(),
    'a chain with zeros and seq 4',
    'a chain with `seq` 0 and an id other than zeros, or with zeros and another `seq`',
    'unlinked',
    (author) => author.sign(draft(author).body!, { seq: 5 }),
  ),
  refusedCase(
    batch(),
    "seq 2 of a chain that isn't there",
    "a commit or erased commit whose `seq` is more than one past the receiver's head",
    'unlinked',
    (author) => three(author).slice(1),
  ),
  refusedAtHead(
    'seq 3 after seq 1',
    "a commit or erased commit whose `seq` is more than one past the receiver's head",
    'unlinked',
    (author) => [author.sign(again(author), { seq: 3, prev: random(32) })],
  ),
  refusedAtHead(
    'an erased seq 3 after seq 1',
    "a commit or erased commit whose `seq` is more than one past the receiver's head",
    'unlinked',
    (author) => [{ ...author.sign(again(author), { seq: 3, prev: random(32) }), body: null }],
  ),
  refusedAtHead(
    'a next commit with another prev',
    'another id there, or a next commit whose `prev` is another',
    'fork',
    (author) => [author.sign(again(author), { prev: random(32) })],
  ),
  refusedAtHead(
    'another commit at the head',
    'another id there, or a next commit whose `prev` is another',
    'fork',
    (author, { prev }) => [author.sign(again(author), { seq: 1, prev })],
  ),
  refusedAtHead(
    'another branch from the beginning, longer',
    'another id there, or a next commit whose `prev` is another',
    'fork',
    (author) => three(author),
  ),
  {
    id: batch(),
    title: 'another branch below its head',
    rule: "Below its head it MAY compare ids, and end the connection with `fork` where they differ; it needn't, and one that doesn't passes over the other branch.",
    hostile: true,
    async run(trial) {
      const { author, pull, line } = await offerWithHead(trial);
      author.write([set(subject('batch'), { v: 2 })]);
      await pull.sendAll();
      const other = author.sign(again(author), { seq: 1, prev: new Uint8Array(32) });
      pull.batch([other]);
      try {
        await pull.acknowledged();
      } catch (thrown) {
        if (!line.wire.socket.closing && !(thrown instanceof Violation)) throw thrown;
        await line.wire.refused('fork');
      }
    },
  },
  {
    id: batch(),
    title: 'a gap in a stream of the whole space',
    rule: 'a gap, where the receiver holds the whole space',
    hostile: true,
    async run(trial) {
      const offered = await offer(trial);
      if (offered.pull.request.type !== 'SUBSCRIBE_ALL') throw new Skip('it holds a part of the space');
      await refuses(offered, gapTo(offered.author, 3, null), 'gap-refused');
    },
  },
  refusedAtHead(
    "a gap that doesn't lead forward",
    "a gap that doesn't lead forward",
    ['unlinked', 'gap-refused'],
    (author, { chain, id }) => gapTo(author, 1, { chain: chain.id, seq: 1, id }),
  ),
  refusedCase(
    batch(),
    'an erased commit whose stem breaks a rule',
    'a body or a stem that breaks a rule of',
    'bad-commit',
    (author) => ({
      ...author.sign(bodyWith(author, settingRaw(subject('batch'), bytes('01')), { time: encode(-1) })),
      body: null,
    }),
  ),
  refusedCase(
    batch(),
    'an erased commit with bytes after its stem',
    'a body or a stem that breaks a rule of',
    ['bad-commit', 'bad-signature'],
    (author) => {
      const commit = signAny(author, draft(author).body!);
      return { ...commit, body: null, erased: { ...commit.erased, stem: concat(commit.erased.stem, bytes('c0')) } };
    },
  ),
  refusedCase(
    batch(),
    "deps that name a chain that isn't there",
    "a commit whose `deps` the receiver doesn't have",
    'causal-gap',
    (author) =>
      author.sign(bodyWith(author, settingRaw(subject('batch'), bytes('01')), { deps: depsWithUnknown(author) })),
  ),
  refusedCase(
    batch(),
    'deps that name more of a chain than is there',
    "a commit whose `deps` the receiver doesn't have",
    'causal-gap',
    (author) => {
      const deps = author.deps().map(({ chain, seq }, at) => [chain, at === 0 ? seq + 1 : seq]);
      return author.sign(bodyWith(author, settingRaw(subject('batch'), bytes('01')), { deps: encode(deps) }));
    },
  ),
  refusedCase(
    batch(),
    'an erased commit whose deps are not there',
    'A receiver checks them (`causal-gap`)',
    'causal-gap',
    (author) => ({
      ...author.sign(bodyWith(author, settingRaw(subject('batch'), bytes('01')), { deps: depsWithUnknown(author) })),
      body: null,
    }),
  ),
  {
    id: batch(),
    title: 'a commit before what its deps name, in one batch',
    rule: "a commit whose `deps` the receiver doesn't have",
    hostile: true,
    async run(trial) {
      const first = trial.author();
      const offered = await offer(trial);
      const cause = draft(first);
      const deps = encode([...offered.author.deps().map(({ chain, seq }) => [chain, seq]), [first.chain.id, 1]]);
      const effect = offered.author.sign(bodyWith(offered.author, settingRaw(subject('batch'), bytes('01')), { deps }));
      await refuses(offered, [effect, cause], 'causal-gap');
    },
  },
  {
    id: batch(),
    title: 'a commit behind what its deps name, in one batch',
    rule: 'entry by entry, each against the log with those before it',
    async run(trial) {
      const { author, pull } = await offer(trial);
      const other = trial.author();
      const name = subject('batch');
      for (let i = 0; i < 5; i++) {
        author.write([set(name, { i })]);
        other.write([set(name, { i: -i })]);
      }
      await pull.sendAll();
      await trial.unharmed();
    },
  },
  {
    id: batch(),
    title: 'good entries before a bad one',
    rule: WHOLE,
    hostile: true,
    async run(trial) {
      const first = trial.author();
      const offered = await offer(trial);
      const good = three(offered.author);
      const bad = first.sign(
        bodyWith(first, settingRaw(subject('batch'), bytes('01')), { deps: depsWithUnknown(first) }),
      );
      await refuses(offered, [...good, bad], 'causal-gap');
    },
  },
  {
    id: batch(),
    title: 'good entries behind a bad one',
    rule: WHOLE,
    hostile: true,
    async run(trial) {
      const first = trial.author();
      const offered = await offer(trial);
      const bad = first.sign(bodyWith(first, encode([])));
      await refuses(offered, [bad, ...three(offered.author)], 'bad-commit');
    },
  },
  {
    id: batch(),
    title: 'a good batch, a bad one, and a good one without waiting',
    rule: 'what is refused ends the connection',
    hostile: true,
    async run(trial) {
      const later = trial.author();
      const offered = await offer(trial);
      const { author, pull, line } = offered;
      author.write([set(subject('batch'), { v: 1 })]);
      pull.batch([author.last!]);
      pull.batch([author.sign(bodyWith(author, encode([])))]);
      pull.batch([draft(later)]);
      await line.wire.refused('bad-commit');
    },
  },
  {
    id: batch(),
    title: 'entries that it has already, alone and before new ones',
    rule: 'It is skipped, which is no error, by its chain and `seq` alone',
    async run(trial) {
      const { author, pull } = await offer(trial);
      const name = subject('batch');
      for (let i = 0; i < 3; i++) author.write([set(name, { i })]);
      await pull.sendAll();
      pull.batch(author.commits.slice(1));
      await pull.acknowledged();
      author.write([set(name, { i: 3 })]);
      pull.batch(author.commits);
      await pull.acknowledged();
      await trial.unharmed();
    },
  },
  {
    id: batch(),
    title: 'entries that it has already, with a forged signature',
    rule: 'A run of such entries still has to be authentic.',
    hostile: true,
    async run(trial) {
      const offered = await offerWithHead(trial);
      const signature = offered.first.signature.slice();
      signature[50]! ^= 1;
      await refuses(offered, [offered.author.withSignature(offered.first, signature)], 'bad-signature');
    },
  },
  {
    id: batch(),
    title: 'empty batches',
    rule: '**An empty batch**, `[[], [], ""]`, moves the cursor and nothing else.',
    async run(trial) {
      const { pull } = await offer(trial);
      const empty = encodeBatch({ chains: [], entries: [] });
      pull.send(empty, { last: pull.cursor + 5 });
      pull.send(empty);
      pull.send(empty, { last: pull.cursor + 1 });
      await pull.acknowledged();
      await trial.unharmed();
    },
  },
];

// ---- erased commits

/** Three commits, of which the second comes erased though it counts. */
async function offerHole(trial: Trial): Promise<Offer & { commits: Commit[] }> {
  const offered = await offer(trial);
  const { author, pull } = offered;
  const name = subject('hole');
  const commits = [1, 2, 3].map((v) => author.write([set(name, { v })]));
  pull.batch(batchOf(commits, (commit) => commit === commits[1]));
  await pull.acknowledged();
  return { ...offered, commits };
}

/** The highest seq of a chain that a new subscription of theirs covers. */
export async function namedOf(
  trial: Trial,
  chain: Uint8Array,
  before: Offer['line'],
): Promise<{ seq: number; id: Uint8Array | null; line: Offer['line'] }> {
  await before.wire.close();
  const line = await trial.line(trial.side === 'server' ? { device: before.wire.device } : {});
  const { from } = (await line.pull()).request;
  const named = from.kind === 'vector' ? from.heads.find((head) => equal(head.chain, chain)) : undefined;
  return { seq: named?.seq ?? 0, id: named?.id ?? null, line };
}

const holeCases: readonly Case[] = [
  {
    id: batch(),
    title: 'an erased commit that would count',
    rule: 'A receiver takes a hole',
    async run(trial) {
      const { line } = await offerHole(trial);
      await line.serves();
      const follow = line.follow({ from: { kind: 'vector', heads: trial.world.vector() } });
      const caughtUp = await follow.caughtUp();
      expect(equal(caughtUp.digest, trial.world.digest()), 'its digest is not that of the log with the hole');
    },
  },
  {
    id: batch(),
    title: 'a hole is asked for again',
    rule: 'SHOULD ask others for it, which it does by naming, in its vector, that chain only up to the commit before the hole',
    should: true,
    async run(trial) {
      const { line, author } = await offerHole(trial);
      const { seq } = await namedOf(trial, author.chain.id, line);
      expect(seq <= 1, `its vector names the chain up to ${seq}, and the hole is at 2`);
    },
  },
  {
    id: batch(),
    title: 'a hole is filled',
    rule: "A body fills a hole if its hash is the hole's.",
    async run(trial) {
      const { line, author, commits } = await offerHole(trial);
      const { line: second } = await namedOf(trial, author.chain.id, line);
      const pull = await second.pull();
      pull.batch(commits, { last: Math.max(pull.cursor + 3, trial.world.head) });
      await pull.acknowledged();
      await keeps(trial, commits, second);
    },
  },
  {
    id: batch(),
    title: 'another body does not fill a hole',
    rule: "A body fills a hole if its hash is the hole's.",
    async run(trial) {
      const { line, author, commits } = await offerHole(trial);
      const { line: second } = await namedOf(trial, author.chain.id, line);
      const pull = await second.pull();
      // Signed by the same device with the same seq: a fork below the head, which is passed over or refused.
      const other = author.sign(again(author), { seq: 2, prev: commits[0]!.id });
      pull.batch([other]);
      try {
        await pull.acknowledged();
      } catch {
        await second.wire.refused('fork');
      }
      const { line: third } = await namedOf(trial, author.chain.id, second);
      const entries = await readChains(trial, [author.chain.id], third);
      const served = entries.find(({ seq }) => seq === 2);
      expect(served && equal(served.id, commits[1]!.id), 'its seq 2 is another commit now');
      expect(
        served.kind === 'erased' || (served.kind === 'commit' && equal(served.body, commits[1]!.body!)),
        'it serves another body in the place of the hole',
      );
    },
  },
  {
    id: batch(),
    title: 'a run of erased commits links and verifies',
    rule: 'Its stem and the hash of its changes give the body hash, and so it links and verifies as the commit does.',
    hostile: true,
    async run(trial) {
      const offered = await offer(trial);
      const [first, second, third] = three(offered.author);
      const wrong = { ...second!, body: null, erased: { ...second!.erased, changesHash: random(32) } };
      await refuses(offered, [first!, wrong, third!], 'bad-signature');
    },
  },
];

// ---- 5.1

const codec = section('5.1');

function takesZstd({ hello }: Offer['line']): boolean {
  return hello.capabilities.includes('zstd');
}

interface FrameOptions {
  /** The window descriptor; none where the content is a single segment. */
  readonly window?: number;
  /** Content size as declared; null for none. */
  readonly size?: number | null;
  readonly sizeBytes?: 1 | 2 | 4 | 8;
  readonly checksum?: Uint8Array;
  readonly dictionary?: Uint8Array;
  readonly reserved?: boolean;
  readonly magic?: string;
}

/** A zstd frame with these blocks (RFC 8878, section 3.1.1). */
function frame(blocks: readonly Uint8Array[], length: number, options: FrameOptions = {}): Uint8Array {
  const { window, size = length, sizeBytes = 4, checksum, dictionary, reserved = false, magic = '28b52ffd' } = options;
  const sizeFlag = size === null ? 0 : { 1: 0, 2: 1, 4: 2, 8: 3 }[sizeBytes];
  const descriptor =
    (sizeFlag << 6) | (window === undefined ? 32 : 0) | (reserved ? 8 : 0) | (checksum ? 4 : 0) | (dictionary ? 1 : 0);
  const declared = size === null ? 0n : BigInt(size) - (sizeBytes === 2 ? 256n : 0n);
  return concat(
    bytes(magic),
    Uint8Array.of(descriptor),
    window === undefined ? new Uint8Array(0) : Uint8Array.of(window),
    dictionary ?? new Uint8Array(0),
    size === null
      ? new Uint8Array(0)
      : Uint8Array.from({ length: sizeBytes }, (_, i) => Number((declared >> BigInt(8 * i)) & 255n)),
    ...blocks,
    checksum ?? new Uint8Array(0),
  );
}

function block(
  type: 'raw' | 'rle' | 'reserved',
  data: Uint8Array,
  { last = false, size = data.length } = {},
): Uint8Array {
  const header = (last ? 1 : 0) | ({ raw: 0, rle: 1, reserved: 3 }[type] << 1) | (size << 3);
  return concat(Uint8Array.of(header & 255, (header >> 8) & 255, header >> 16), data);
}

/** Raw blocks of at most so many bytes. */
function rawBlocks(content: Uint8Array, each = 128 * 1024): Uint8Array[] {
  const blocks: Uint8Array[] = [];
  for (let at = 0; at < content.length; at += each)
    blocks.push(block('raw', content.subarray(at, at + each), { last: at + each >= content.length }));
  return blocks;
}

const WINDOW_2_MIB = 11 << 3;
const WINDOW_4_MIB = 12 << 3;
const WINDOW_1_KIB = 0;

/** An honest batch of one commit in a frame that isn't allowed. */
function refusedFrame(
  title: string,
  rule: string,
  make: (raw: Uint8Array) => Uint8Array,
  { rawBytes, textBytes = 3000 }: { rawBytes?: (raw: Uint8Array) => number; textBytes?: number } = {},
): Case {
  return {
    id: codec(),
    title,
    rule,
    hostile: true,
    async run(trial) {
      const { author, pull, line } = await offer(trial);
      const commit = author.draft([set(subject('codec'), { v: Buffer.from(random(textBytes / 2)).toString('hex') })]);
      const raw = encodeBatch(batchOf([commit]));
      pull.send(make(raw), { codec: CODEC.ZSTD, rawBytes: rawBytes?.(raw) ?? raw.length, last: pull.cursor + 1 });
      await line.wire.refused('bad-batch');
    },
  };
}

const RULE = {
  one: 'be exactly one frame, with the magic number `28 b5 2f fd`, no skippable frame, and nothing after it',
  size: "declare its content's size in its header, and that MUST be `rawBytes`",
  plain: 'need no dictionary, have no checksum, and set no reserved bit',
  window:
    'have a window of at most `BATCH_RAW_BYTES_MAX` bytes, and no block larger than the lesser of 128 KiB and the window',
  unpack: 'unpack to exactly `rawBytes` bytes',
  stop: 'MUST stop unpacking at `rawBytes`',
  none: 'With codec 0 both sizes MUST be equal.',
};

const skippable = concat(bytes('502a4d18 04000000'), random(4));
const whole = (raw: Uint8Array): Uint8Array => frame(rawBlocks(raw), raw.length);

/** A frame of zlib's for more bytes than it declares afterwards. */
function understated(content: Uint8Array, declared: number): Uint8Array {
  const packed = new Uint8Array(zstdCompressSync(content));
  const isSingle = (packed[4]! & 32) !== 0;
  const flag = packed[4]! >> 6;
  const at = isSingle ? 5 : 6;
  const blocks = packed.subarray(at + (flag === 0 ? 1 : 1 << flag));
  return frame([blocks], content.length, { size: declared, window: WINDOW_2_MIB });
}

function refusedNone(title: string, change: (raw: Uint8Array) => Partial<BatchMessage>): Case {
  return {
    id: codec(),
    title,
    rule: RULE.none,
    hostile: true,
    async run(trial) {
      const { author, pull, line } = await offer(trial);
      const raw = encodeBatch(batchOf([draft(author)]));
      pull.send(raw, { last: pull.cursor + 1, ...change(raw) });
      await line.wire.refused('bad-batch');
    },
  };
}

const codecCases: readonly Case[] = [
  {
    id: codec(),
    title: 'zstd frames of all allowed forms',
    rule: 'one zstd frame (RFC 8878); only to a peer that named the capability `zstd`',
    async run(trial) {
      const { author, pull, line } = await offer(trial);
      if (!takesZstd(line)) throw new Skip('it does not take zstd');
      const name = subject('codec');
      const packAt =
        (level: number) =>
        (raw: Uint8Array): Uint8Array =>
          new Uint8Array(zstdCompressSync(raw, { params: { [constants.ZSTD_c_compressionLevel]: level } }));
      const frames: ((raw: Uint8Array) => Uint8Array)[] = [
        pack,
        packAt(-5),
        packAt(19),
        whole,
        (raw) => frame(rawBlocks(raw), raw.length, { sizeBytes: 8 }),
        (raw) => frame(rawBlocks(raw), raw.length, { sizeBytes: 2 }),
        (raw) => frame(rawBlocks(raw), raw.length, { window: WINDOW_2_MIB }),
        (raw) => frame(rawBlocks(raw, 1024), raw.length, { window: WINDOW_1_KIB }),
        (raw) => frame(rawBlocks(raw, 100), raw.length),
        (raw) => frame([block('raw', raw), block('raw', new Uint8Array(0), { last: true })], raw.length),
        (raw) => {
          // The text of the body holds a long run of one letter, which becomes an RLE block.
          const start = raw.indexOf(0x78);
          let end = start;
          while (raw[end] === 0x78) end++;
          return frame(
            [
              block('raw', raw.subarray(0, start)),
              block('rle', bytes('78'), { size: end - start }),
              block('raw', raw.subarray(end), { last: true }),
            ],
            raw.length,
          );
        },
      ];
      for (const make of frames) {
        author.write([set(name, { v: 'x'.repeat(2000) })]);
        const raw = encodeBatch(batchOf([author.last!]));
        // Each is of the chain alone: the position of the world's other entries passes with it.
        pull.send(make(raw), { codec: CODEC.ZSTD, rawBytes: raw.length, last: trial.world.head });
        await pull.acknowledged();
      }
      await trial.unharmed();
    },
  },
  {
    id: codec(),
    title: 'no zstd to a peer that did not name it',
    rule: 'only to a peer that named the capability `zstd`',
    async run(trial) {
      const { author, line } = await offer(trial);
      const name = subject('codec');
      for (let i = 0; i < 30; i++) author.write([set(name, { v: 'x'.repeat(2000), i })]);
      await line.serves();
      await line.wire.close();
      const next = await trial.line({
        hello: { capabilities: ['conformance'] },
        ...(trial.side === 'server' && { device: line.wire.device }),
      });
      if (!next.offered()) throw new Skip('it offers no space, and so serves nothing');
      const follow = next.follow();
      await follow.caughtUp();
      const packed = follow.batches.find((each) => each.codec !== CODEC.NONE);
      expect(!packed, `it sent a batch with codec ${packed?.codec}`);
      expect(
        follow.entries.some(({ chain }) => equal(chain.id, author.chain.id)),
        'it did not send what was written',
      );
    },
  },
  {
    id: codec(),
    title: 'its own batches, to a peer that names zstd',
    rule: 'A zstd frame MUST',
    async run(trial) {
      const { author, line } = await offer(trial);
      const name = subject('codec');
      for (let i = 0; i < 30; i++) author.write([set(name, { v: 'x'.repeat(2000), i })]);
      const next = await freshLine(trial, line);
      // Each frame that comes is held against the rules as it is unpacked.
      const follow = next.follow();
      await follow.caughtUp();
      expect(
        follow.entries.some(({ chain }) => equal(chain.id, author.chain.id)),
        'it did not send what was written',
      );
    },
  },

  refusedFrame('bytes after the frame', RULE.one, (raw) => concat(whole(raw), bytes('00'))),
  refusedFrame('two frames', RULE.one, (raw) => concat(whole(raw), whole(raw))),
  refusedFrame('the content in two frames', RULE.one, (raw) =>
    concat(whole(raw.subarray(0, 100)), whole(raw.subarray(100))),
  ),
  refusedFrame('an empty frame behind the content', RULE.one, (raw) =>
    concat(whole(raw), frame([block('raw', new Uint8Array(0), { last: true })], 0)),
  ),
  refusedFrame('a skippable frame before', RULE.one, (raw) => concat(skippable, whole(raw))),
  refusedFrame('a skippable frame behind', RULE.one, (raw) => concat(whole(raw), skippable)),
  refusedFrame('another magic number', RULE.one, (raw) => frame(rawBlocks(raw), raw.length, { magic: '27b52ffd' })),
  refusedFrame('no frame, but the batch as it is', RULE.one, (raw) => raw),
  refusedFrame('no bytes', RULE.one, () => new Uint8Array(0)),
  refusedFrame('a frame that is cut off', RULE.one, (raw) => whole(raw).slice(0, -1)),
  refusedFrame('a frame without its last block', RULE.one, (raw) => frame([block('raw', raw)], raw.length)),
  refusedFrame('no content size', RULE.size, (raw) =>
    frame(rawBlocks(raw), raw.length, { size: null, window: WINDOW_2_MIB }),
  ),
  refusedFrame('rawBytes one less', RULE.size, whole, { rawBytes: (raw) => raw.length - 1 }),
  refusedFrame('rawBytes one more', RULE.size, whole, { rawBytes: (raw) => raw.length + 1 }),
  refusedFrame('a content size of 2^32 more', RULE.size, (raw) =>
    frame(rawBlocks(raw), raw.length, { size: raw.length + 2 ** 32, sizeBytes: 8, window: WINDOW_2_MIB }),
  ),
  refusedFrame('a content size of 2^63', RULE.size, (raw) =>
    frame(rawBlocks(raw), raw.length, { size: 2 ** 63, sizeBytes: 8, window: WINDOW_2_MIB }),
  ),
  refusedFrame(
    'a checksum',
    RULE.plain,
    (raw) => new Uint8Array(zstdCompressSync(raw, { params: { [constants.ZSTD_c_checksumFlag]: 1 } })),
  ),
  refusedFrame('a dictionary', RULE.plain, (raw) => frame(rawBlocks(raw), raw.length, { dictionary: bytes('05') })),
  refusedFrame('a reserved bit', RULE.plain, (raw) => frame(rawBlocks(raw), raw.length, { reserved: true })),
  refusedFrame('a window of 4 MiB', RULE.window, (raw) => frame(rawBlocks(raw), raw.length, { window: WINDOW_4_MIB })),
  refusedFrame('a window of 2 TiB', RULE.window, (raw) => frame(rawBlocks(raw), raw.length, { window: 31 << 3 })),
  refusedFrame('a block larger than the window', RULE.window, (raw) =>
    frame(rawBlocks(raw), raw.length, { window: WINDOW_1_KIB }),
  ),
  refusedFrame(
    'a block larger than 128 KiB',
    RULE.window,
    (raw) => frame([block('raw', raw, { last: true })], raw.length),
    { textBytes: 200_000 },
  ),
  refusedFrame('a block of the reserved type', RULE.plain, (raw) =>
    frame([block('raw', raw), block('reserved', new Uint8Array(0), { last: true })], raw.length),
  ),
  refusedFrame('less content than is declared', RULE.unpack, (raw) =>
    frame(rawBlocks(raw.subarray(0, -1)), raw.length, { window: WINDOW_2_MIB }),
  ),
  refusedFrame('more content than is declared', RULE.unpack, (raw) =>
    frame([block('raw', raw), block('raw', bytes('c0'), { last: true })], raw.length, { window: WINDOW_2_MIB }),
  ),
  refusedFrame('a compressed block that holds more than is declared', RULE.stop, (raw) =>
    understated(concat(raw, new Uint8Array(100_000)), raw.length),
  ),
  refusedFrame(
    'a bomb of 100 MB that declares 2 MiB',
    RULE.stop,
    () =>
      frame(
        Array.from({ length: 800 }, (_, i) => block('rle', bytes('00'), { size: 128 * 1024, last: i === 799 })),
        BATCH_RAW_BYTES_MAX,
        { window: WINDOW_2_MIB },
      ),
    { rawBytes: () => BATCH_RAW_BYTES_MAX },
  ),
  refusedFrame(
    'a bomb of compressed blocks, 64 MB that declare 1,000 bytes',
    RULE.stop,
    () => understated(new Uint8Array(64 * 1024 * 1024), 1000),
    { rawBytes: () => 1000 },
  ),
  refusedNone('a batch as it is, with rawBytes one less', (raw) => ({ rawBytes: raw.length - 1 })),
  refusedNone('a batch as it is, with rawBytes one more', (raw) => ({ rawBytes: raw.length + 1 })),
  refusedNone('a frame that is called a batch as it is', (raw) => {
    const data = pack(raw);
    return { data, rawBytes: data.length };
  }),
];

// ---- 6

const vector = section('6');
const EQUAL = 'Equal digests mean equal logs up to order';

/** The digest of the first so many entries of a log. */
function digestAt(entries: readonly AuthenticEntry[], head: number): Uint8Array {
  const heads = new Map<string, ChainHead>();
  for (const { chain, seq, id } of entries.slice(0, head)) heads.set(toHex(chain.id), { chain: chain.id, seq, id });
  return digest(crypto, heads.values());
}

async function checkState(line: Offer['line'], state: SpaceState | undefined, where: string): Promise<void> {
  if (!state) throw new Skip('it offers no space');
  const follow = line.follow();
  await follow.caughtUp();
  expect(
    follow.received.length >= state.head,
    `${where} says head ${state.head}; its log has ${follow.received.length}`,
  );
  const right = digestAt(follow.received, state.head);
  expect(
    equal(state.digest, right),
    `${where} says digest ${toHex(state.digest)} at ${state.head}; that of its log there is ${toHex(right)}`,
  );
}

const vectorCases: readonly Case[] = [
  {
    id: vector(),
    title: 'the digest in HELLO',
    rule: EQUAL,
    async run(trial) {
      const { author, pull, line } = await offer(trial);
      author.write([set(subject('digest'), { v: 1 })]);
      await pull.sendAll();
      const next = await freshLine(trial, line);
      await checkState(next, next.offered(), 'HELLO');
    },
  },
  {
    id: vector(),
    title: 'the digest in HEARTBEAT',
    rule: EQUAL,
    slow: true,
    async run(trial) {
      const line = await freshLine(trial, (await offer(trial)).line);
      const { spaces } = await line.wire.next('HEARTBEAT', undefined, 30_000);
      await checkState(
        line,
        spaces.find(({ space }) => equal(space, trial.world.space)),
        'HEARTBEAT',
      );
    },
  },
  {
    id: vector(),
    title: 'the digest in CAUGHT_UP',
    rule: 'for each chain, by ascending chain id: chain id 16 | seq u64 BE | head id 32',
    async run(trial) {
      const { author, pull, line } = await offer(trial);
      for (let i = 0; i < 6; i++) trial.author().write([set(subject('digest'), { i })]);
      author.write([set(subject('digest'), { v: 1 })]);
      await pull.sendAll();
      const next = await freshLine(trial, line);
      const follow = next.follow();
      const { last, digest: said } = await follow.caughtUp();
      const right = digestAt(follow.received, last);
      expect(equal(said, right), `CAUGHT_UP says digest ${toHex(said)}; that of its log is ${toHex(right)}`);
    },
  },
  {
    id: vector(),
    title: 'the vector that it starts from',
    rule: "A vector lists chain heads: `[chain id 16, seq, commit id 32]`, in any order, each chain once, and none with `seq` 0: a chain of which a peer has nothing isn't listed.",
    async run(trial) {
      const { author, pull, line } = await offer(trial);
      author.write([set(subject('vector'), { v: 1 })]);
      await pull.sendAll();
      // Nobody of the kit's will write any more on these, and they stand on its disk.
      const there = trial.world.vector().filter(({ chain }) => equal(chain, author.chain.id));
      await line.wire.close();
      const next = await trial.line(trial.side === 'server' ? { device: line.wire.device } : {});
      const { from } = (await next.pull()).request;
      if (from.kind !== 'vector') throw new Skip('it starts from the beginning');
      const sorted = from.heads.toSorted((a, b) => compare(a.chain, b.chain));
      sorted.forEach((head, i) => {
        expect(head.seq >= 1, `its vector names chain ${toHex(head.chain)} with seq ${head.seq}`);
        const before = sorted[i - 1];
        expect(!before || !equal(before.chain, head.chain), `its vector names chain ${toHex(head.chain)} twice`);
        const commit = trial.world.log.find(({ chain, seq }) => seq === head.seq && equal(chain.id, head.chain));
        expect(
          !commit || equal(commit.id, head.id),
          `its vector names another commit at seq ${head.seq} of chain ${toHex(head.chain)}`,
        );
      });
      for (const { chain, seq } of there) {
        const named = from.heads.find((head) => equal(head.chain, chain))?.seq ?? 0;
        expect(named === seq, `its vector names chain ${toHex(chain)} up to ${named}; it acknowledged ${seq}`);
      }
    },
  },
];

export const batchCases: readonly Case[] = [...formCases, ...rowCases, ...holeCases, ...codecCases, ...vectorCases];

/** The short way and the long way must never disagree: what the short way takes, the long way takes too, and both see the same in it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { portableCrypto } from '../../client/platform/crypto-portable.ts';
import { authenticate } from '../../protocol/authenticate.ts';
import { decodeBatch, encodeBatch, type Batch, type BatchEntry } from '../../protocol/batch.ts';
import { decodeBody, encodeBody, type Change } from '../../protocol/body.ts';
import { fromUtf8 } from '../../protocol/bytes.ts';
import { decodeResource, encodeResource, apply, EMPTY_RESOURCE, writeRecordHead } from '../../protocol/merge.ts';
import { encode } from '../../protocol/msgpack.ts';
import { readPlainBatch, RECORD_HEAD_ROOM, RECORD_KEY_ROOM, type PlainBatch } from '../../protocol/plain-batch.ts';
import { TestChain } from '../support/chains.ts';
import { bytesOf, crypto } from '../support/protocol.ts';

const space = bytesOf('space', 32);
const TIME = 1_790_000_000_000_000;

const text = fc.oneof(
  fc.string({ minLength: 1, maxLength: 40 }),
  fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }),
  fc.constantFrom('x'.repeat(31), 'x'.repeat(32), 'x'.repeat(255), 'x'.repeat(256), 'ä'.repeat(200), '\ufeffmark'),
);
const scalar = fc.oneof(
  text,
  fc.constantFrom(
    0,
    -0,
    1,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 53 - 1,
    -1,
    -32,
    -33,
    1.5,
    -0.25,
    1e300,
  ),
  fc.integer(),
  fc
    .double({ noNaN: true, noDefaultInfinity: true })
    .filter((value) => !Number.isInteger(value) || Number.isSafeInteger(value)),
  fc.boolean(),
  fc.constant(null),
  fc.uint8Array({ maxLength: 300 }),
);
const value = fc.oneof(
  { weight: 6, arbitrary: scalar },
  { weight: 1, arbitrary: fc.array(scalar, { maxLength: 20 }) },
  {
    weight: 1,
    arbitrary: fc.array(
      fc.array(fc.array(fc.array(fc.array(scalar, { maxLength: 2 }), { maxLength: 2 }), { maxLength: 2 }), {
        maxLength: 2,
      }),
      { maxLength: 2 },
    ),
  },
  {
    weight: 1,
    arbitrary: fc.dictionary(
      fc.string({ maxLength: 5 }).filter((key) => key !== '__proto__'),
      scalar,
      { maxKeys: 3 },
    ),
  },
);
const name = fc.oneof(
  fc.constantFrom('id', 'title', 'text', 'a', 'b', '7', '10', 'ü', 'n'.repeat(31), 'n'.repeat(32), 'long'.repeat(20)),
  fc.string({ minLength: 1, maxLength: 12 }),
);
const subject = fc.oneof(
  fc.nat(40).map((n) => `note/${n}`),
  fc.constantFrom('ü/1', 's'.repeat(31), 's'.repeat(32), 's'.repeat(255), 's'.repeat(256), 's'.repeat(1024), '~x'),
  text,
);
const ops = fc.oneof(
  { weight: 8, arbitrary: fc.dictionary(name, value, { minKeys: 1, maxKeys: 18 }).map((set) => ({ set })) },
  {
    weight: 1,
    arbitrary: fc.constantFrom({ destroy: true as const }, { inc: { n: 1 } }, { unset: ['a'] }, { add: { a: [1] } }),
  },
);
const plainOps = fc
  .dictionary(fc.constantFrom('id', 'title', 'text', 'a', 'b', 'n'.repeat(31)), scalar, { minKeys: 1 })
  .map((set) => ({ set }));
const changesOf = (each: fc.Arbitrary<Change>): fc.Arbitrary<Change[]> =>
  fc
    .array(each, { minLength: 1, maxLength: 20 })
    .map((all) => [...new Map(all.map((change) => [change.subject, change])).values()]);
const changes = fc.oneof(
  changesOf(fc.record({ subject, ops: plainOps })),
  changesOf(fc.record({ subject: fc.nat(40).map((n) => `note/${n}`), ops: plainOps })),
  changesOf(fc.record({ subject, ops })),
);
const bodies = fc.array(
  fc.record({ changes, deps: fc.nat(3), time: fc.constantFrom(TIME, TIME, TIME, TIME + 1, 2 ** 32 + 5, 2 ** 31) }),
  { minLength: 1, maxLength: 12 },
);

function batchOf(all: readonly { changes: Change[]; deps: number; time: number }[]): Batch {
  const chains = [new TestChain(space, 'alice'), new TestChain(space, 'bob')];
  const entries: BatchEntry[] = [];
  for (const [i, { changes: written, deps, time }] of all.entries()) {
    const chain = i % 3 === 0 && all.length > 1 ? 1 : 0;
    const past = Array.from({ length: deps }, (_, k) => ({ chain: bytesOf(`dep ${k}`, 16), seq: 1 + k * 200 }));
    const { seq } = chains[chain]!.write(encodeBody({ time, deps: past, changes: written }));
    entries.push(chains[chain]!.entry(seq, chain));
  }
  const used = all.length > 1 ? chains : chains.slice(0, 1);
  return { chains: used.map((chain) => chain.after(0)), entries };
}

/** What the short way says, in the long way's words; and that each record is the state that the long way would make. */
function expectSame(plain: PlainBatch, raw: Uint8Array): void {
  const long = authenticate(crypto, space, decodeBatch(raw));
  expect(plain.count).toBe(long.entries.length);
  for (const [i, chain] of plain.chains.entries()) {
    const entries = long.entries.filter((entry) => entry.chain === long.chains[i]);
    const { id, device, nonce, seqBefore, idBefore } = long.chains[i]!;
    expect(chain).toEqual({
      id,
      device,
      nonce,
      seqBefore,
      idBefore,
      seqLast: entries.at(-1)!.seq,
      idLast: entries.at(-1)!.id,
    });
  }
  for (const [i, entry] of long.entries.entries()) {
    if (entry.kind !== 'commit') throw new Error('the short way took what is no commit');
    expect(plain.raw.subarray(plain.bodyAt[i], plain.bodyEnd[i])).toEqual(entry.body);
    if (plain.isOther[i]) {
      expect(plain.firstChange[i + 1]).toBe(plain.firstChange[i]);
      continue;
    }
    // Throws where it isn't allowed.
    const body = decodeBody(entry.body);
    expect(plain.time[i]).toBe(body.time);
    expect(plain.depsEnd[i] !== 0).toBe(body.deps.length > 0);
    expect(plain.firstChange[i + 1]! - plain.firstChange[i]!).toBe(body.changes.length);
    for (const [k, change] of body.changes.entries()) {
      const at = plain.firstChange[i]! + k;
      const bytes = plain.subjectBytes[at]!;
      expect(fromUtf8(raw.subarray(plain.subjectAt[at], plain.subjectAt[at]! + bytes))).toBe(change.subject);
      expect(change.subject.startsWith('~')).toBe(false);
      const recordAt = plain.recordAt[at]! + RECORD_KEY_ROOM;
      expect(fromUtf8(plain.records.subarray(recordAt, recordAt + bytes))).toBe(change.subject);
      const mapAt = recordAt + bytes + RECORD_HEAD_ROOM;
      const dot = { chain: 7, seq: entry.seq, time: body.time };
      const start = writeRecordHead(plain.records, mapAt, dot);
      const author = { ...dot, past: () => 0, rankOf: () => new Uint8Array(48) };
      const record = plain.records.subarray(start, plain.recordEnd[at]);
      expect(record).toEqual(encodeResource(apply(EMPTY_RESOURCE, change.ops, author)));
      expect(encodeResource(decodeResource(record))).toEqual(record);
    }
  }
}

test('sees in any batch what the long way sees', () => {
  let plainBodies = 0;
  fc.assert(
    fc.property(bodies, (all) => {
      const legal = all
        .map((body) => ({ ...body, changes: body.changes.filter(isLegal) }))
        .filter((body) => body.changes.length > 0);
      fc.pre(legal.length > 0);
      const raw = encodeBatch(batchOf(legal));
      const plain = readPlainBatch(crypto, space, raw);
      if (plain === null) throw new Error('a batch of commits was left to the long way');
      plainBodies += plain.isOther.filter((other) => other === 0).length;
      expectSame(plain, raw);
      expect(readPlainBatch(portableCrypto, space, raw)).toEqual(readPlainBatch(crypto, space, raw));
    }),
    { numRuns: 200 },
  );
  expect(plainBodies).toBeGreaterThan(100);
});

function isLegal(change: Change): boolean {
  try {
    decodeBody(encodeBody({ time: TIME, deps: [], changes: [change] }));
    return true;
  } catch {
    return false;
  }
}

test('what the short way takes of a damaged batch, the long way takes too', () => {
  const raw = encodeBatch(
    batchOf([
      {
        changes: [{ subject: 'note/1', ops: { set: { title: 'Milk', n: 1.5, list: [1, 'two'] } } }],
        deps: 1,
        time: TIME,
      },
      {
        changes: [
          { subject: 'note/2', ops: { set: { title: 'Bröd' } } },
          { subject: 'note/3', ops: { set: { b: 1, a: 2 } } },
        ],
        deps: 0,
        time: TIME,
      },
    ]),
  );
  for (let at = 0; at < raw.length; at++) {
    for (const flip of [1, 2, 4, 8, 16, 32, 64, 128, 255]) {
      const damaged = raw.with(at, raw[at]! ^ flip);
      const plain = readPlainBatch(crypto, space, damaged);
      if (plain) expectSame(plain, damaged);
    }
  }
  for (let end = 0; end < raw.length; end++) expect(readPlainBatch(crypto, space, raw.subarray(0, end))).toBeNull();
});

/** Bodies as others may write them, signed: nothing but the reading of bodies stands between them and the state. */
describe('a body that is odd or wrong is never plain', () => {
  const set = (map: unknown): unknown => [['note/1', { set: map }]];
  const bad: [string, Uint8Array][] = [
    ['a time of a float', encode([1.5, [], set({ a: 1 })])],
    [
      'a time past 2^53',
      Uint8Array.from([0x93, 0xcf, 0xff, 0, 0, 0, 0, 0, 0, 0, ...encode([[], set({ a: 1 })]).subarray(1)]),
    ],
    ['no changes', encode([TIME, [], []])],
    ['a subject of the space', encode([TIME, [], [['~space', { set: { a: 1 } }]]])],
    ['an empty subject', encode([TIME, [], [['', { set: { a: 1 } }]]])],
    ['a subject with a control character', encode([TIME, [], [['a\nb', { set: { a: 1 } }]]])],
    ['a subject twice', encode([TIME, [], [['a', { set: { a: 1 } }], ['b', { set: { a: 1 } }], ['a', { set: { a: 2 } }]]])], // prettier-ignore
    ['an empty set', encode([TIME, [], set({})])],
    ['another op beside', encode([TIME, [], [['a', { set: { a: 1 }, unset: ['b'] }]]])],
    ['an unknown op', encode([TIME, [], [['a', { put: { a: 1 } }]]])],
    ['a fourth part', encode([TIME, [], set({ a: 1 }), 0])],
    ['bytes behind it', Uint8Array.from([...encode([TIME, [], set({ a: 1 })]), 0xc0])],
    ['an empty property name', encode([TIME, [], set({ '': 1 })])],
    ['a property name with a control character', encode([TIME, [], set({ 'a\u007f': 1 })])],
    ['a value that is no number', encode([TIME, [], set({ a: Number.NaN })])],
    ['an integer past 2^53', encode([TIME, [], set({ a: 2 ** 60 })])],
    [
      'a minus zero',
      Uint8Array.from([...encode([TIME, [], set({ a: 1 })]).subarray(0, -1), 0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0]),
    ],
    [
      'a whole float',
      Uint8Array.from([...encode([TIME, [], set({ a: 1 })]).subarray(0, -1), 0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]),
    ],
    ['a long spelling', Uint8Array.from([...encode([TIME, [], set({ a: 1 })]).subarray(0, -1), 0xcc, 1])],
    ['nothing', new Uint8Array(0)],
  ];
  test.each(bad)('%s', (_, body) => {
    const chain = new TestChain(space, 'alice');
    chain.write(encodeBody({ time: TIME, deps: [], changes: [{ subject: 'note/0', ops: { set: { a: 1 } } }] }));
    try {
      chain.write(body);
    } catch {
      // It has no hash: nobody could sign it.
      return;
    }
    const raw = encodeBatch(chain.batch());
    const plain = readPlainBatch(crypto, space, raw)!;
    expect([...plain.isOther]).toEqual([0, 1]);
    expect(plain.recordAt.length).toBe(1);
  });

  test('a name twice in one map', () => {
    const twice = Uint8Array.from([0x93, 0xcf, 0, 6, 0, 0, 0, 0, 0, 0, 0x90, 0x91, 0x92, 0xa1, 0x61, 0x81, 0xa3, 0x73, 0x65, 0x74, 0x83, 0xa1, 0x62, 1, 0xa1, 0x61, 1, 0xa1, 0x62, 2]); // prettier-ignore
    expect(() => decodeBody(twice)).toThrow('twice');
    const chain = new TestChain(space, 'alice');
    chain.write(twice);
    expect([...readPlainBatch(crypto, space, encodeBatch(chain.batch()))!.isOther]).toEqual([1]);
  });
});

test('a wrong signature, a gap and an erased commit are left to the long way', () => {
  const chain = new TestChain(space, 'alice');
  for (let i = 1; i <= 3; i++)
    chain.write(encodeBody({ time: TIME + i, deps: [], changes: [{ subject: `note/${i}`, ops: { set: { a: i } } }] }));
  const { chains, entries } = chain.batch();
  const last = entries.at(-1) as Extract<BatchEntry, { kind: 'commit' }>;
  const forged = { ...last, signature: last.signature.with(3, last.signature[3]! ^ 1) };
  for (const changed of [
    [...entries.slice(0, 2), forged],
    [...entries.slice(0, 2), chain.erased(3)],
    [...entries.slice(0, 2), chain.gap(3)],
  ])
    expect(readPlainBatch(crypto, space, encodeBatch({ chains, entries: changed }))).toBeNull();
  expect(readPlainBatch(crypto, space, encodeBatch({ chains, entries }))).not.toBeNull();
  expect(readPlainBatch(crypto, bytesOf('other', 32), encodeBatch({ chains, entries }))).toBeNull();
});

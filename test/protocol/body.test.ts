import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeBody,
  decodeKnownBody,
  decodeStem,
  encodeBody,
  eraseBody,
  hashBody,
  hashErased,
  type Body,
  type Ops,
} from '../../protocol/body.ts';
import { concat, toHex } from '../../protocol/bytes.ts';
import { BODY_BYTES_MAX, SUBJECT_BYTES_MAX } from '../../protocol/constants.ts';
import { encode } from '../../protocol/msgpack.ts';
import { checkValue, isPropertyName, isSubject, type Value } from '../../protocol/value.ts';
import { bytes, bytesOf, count, crypto, hex, orRefused, refusal, value, withCode } from '../support/protocol.ts';

const chain = bytesOf('chain', 16);
const ops = (map: unknown): unknown[] => [1, [], [['note/1', map]]];
const body = (map: Ops): Body => ({ time: 1, deps: [], changes: [{ subject: 'note/1', ops: map }] });

test('the bytes, by hand', () => {
  const bytes = encodeBody({
    time: 1_700_000_000_000_000,
    deps: [{ chain, seq: 3 }],
    changes: [{ subject: 'a', ops: { set: { t: 'x' } } }],
  });
  expect(toHex(bytes)).toBe(
    toHex(hex(`93 cf 00060a24181e4000 91 92 c410 ${toHex(chain)} 03 91 92 a161 81 a3736574 81 a174 a178`)),
  );
});

test('other encodings of the same are the same', () => {
  const long = hex('93 cd0001 dc0000 dd00000001 dc0002 d90161 de0001 d903736574 df00000001 da000174 ca3f800000');
  expect(decodeBody(long)).toEqual({ time: 1, deps: [], changes: [{ subject: 'a', ops: { set: { t: 1 } } }] });
});

const property = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }).filter(isPropertyName);
const someOps: fc.Arbitrary<Ops> = fc
  .tuple(
    fc.boolean(),
    fc.uniqueArray(fc.tuple(property, fc.nat(4), value, fc.maxSafeInteger()), {
      minLength: 1,
      maxLength: 8,
      selector: ([name]) => name,
    }),
  )
  .map(([destroy, writes]) => {
    const made: Record<string, unknown> = destroy ? { destroy: true } : {};
    const put = (op: string, name: string, operand: unknown): void => {
      made[op] = { ...(made[op] as object), [name]: operand };
    };
    for (const [name, kind, any, amount] of writes) {
      if (kind === 0) put('set', name, any);
      else if (kind === 1) made['unset'] = [...((made['unset'] as string[]) ?? []), name];
      else if (kind === 2) put('inc', name, amount === 0 ? 0 : amount);
      else if (kind === 3) put('add', name, [any]);
      else {
        put('add', name, [any, 'also']);
        put('remove', name, [any]);
      }
    }
    return made as Ops;
  });
const someBody: fc.Arbitrary<Body> = fc.record({
  time: count,
  deps: fc.uniqueArray(fc.record({ chain: bytes(16), seq: count.filter((seq) => seq > 0) }), {
    maxLength: 3,
    selector: (dep) => toHex(dep.chain),
  }),
  changes: fc.uniqueArray(
    fc.record({ subject: fc.string({ unit: 'grapheme', minLength: 1 }).filter(isSubject), ops: someOps }),
    { minLength: 1, maxLength: 4, selector: ({ subject }) => subject },
  ),
});

test('encoding and decoding is nothing, also for what is known', () => {
  fc.assert(
    fc.property(someBody, (any) => {
      expect(decodeBody(encodeBody(any))).toEqual(any);
      expect(decodeKnownBody(encodeBody(any))).toEqual(any);
    }),
  );
});

describe('the same bytes as the library writes', () => {
  const theirs = ({ time, deps, changes }: Body): Uint8Array =>
    encode([time, deps.map(({ chain, seq }) => [chain, seq]), changes.map(({ subject, ops }) => [subject, ops])]);
  const outcomeOf = (write: () => Uint8Array): string => {
    try {
      return toHex(write());
    } catch (thrown) {
      return String(thrown);
    }
  };
  const holding = (any: unknown): Body => body({ set: { any } } as Ops);

  test('of any body', () => {
    fc.assert(
      fc.property(someBody, (any) => {
        expect(toHex(encodeBody(any))).toBe(toHex(theirs(any)));
      }),
    );
  });

  test('of any value, also of those that no body may hold', () => {
    const anything = fc.anything({
      withDate: true,
      withTypedArray: true,
      withNullPrototype: true,
      withSparseArray: true,
      withBigInt: true,
      maxDepth: 4,
      key: fc.string({ unit: 'binary' }),
    });
    const any = fc.oneof(
      value,
      anything,
      fc.integer(),
      fc.maxSafeInteger(),
      fc.double(),
      fc.string({ unit: 'binary' }),
    );
    fc.assert(
      fc.property(any, (one) => {
        expect(outcomeOf(() => encodeBody(holding(one)))).toBe(outcomeOf(() => theirs(holding(one))));
      }),
      { numRuns: 1000 },
    );
  });

  const lengths = [
    0, 1, 10, 11, 15, 16, 31, 32, 49, 50, 51, 63, 84, 85, 86, 127, 128, 199, 200, 201, 255, 256, 21_846, 65_535, 65_536,
  ];
  test.each(['a', 'é', '€', '\u{1f600}', '\ud800', '\udc00', 'a\ufeff'])('of texts of any length, of %j', (unit) => {
    for (const length of lengths)
      for (const text of [unit.repeat(length), `a${unit.repeat(length)}`, `${'a'.repeat(length)}${unit}`])
        expect(outcomeOf(() => encodeBody(holding(text)))).toBe(outcomeOf(() => theirs(holding(text))));
  });

  test('of numbers about each limit, of bytes, arrays and maps about each size', () => {
    const near = [0, 5, 7, 8, 15, 16, 31, 32, 53].map((power) => 2 ** power);
    const numbers = near.flatMap((limit) => [-2, -1, -0.5, 0, 0.5, 1, 2].flatMap((d) => [limit + d, -(limit + d)]));
    for (const number of [...numbers, -0, 1e300, 5e-324, Number.NaN, Infinity, -Infinity])
      expect(toHex(encodeBody(holding(number)))).toBe(toHex(theirs(holding(number))));
    for (const size of [0, 1, 15, 16, 255, 256, 65_535, 65_536]) {
      const items = Array.from({ length: size }, (_, i) => i % 100);
      for (const any of [items, Uint8Array.from(items), Object.fromEntries(items.map((item, i) => [`k${i}`, item]))])
        expect(toHex(encodeBody(holding(any)))).toBe(toHex(theirs(holding(any))));
    }
  });

  test('of many changes and deps', () => {
    const deps = Array.from({ length: 20 }, (_, i) => ({ chain: bytesOf(`chain ${i}`, 16), seq: i + 1 }));
    const changes = Array.from({ length: 70_000 }, (_, i) => ({ subject: `${i}`, ops: { destroy: true as const } }));
    for (const count of [1, 15, 16, 100, 20_000])
      expect(toHex(encodeBody({ time: count, deps, changes: changes.slice(0, count) }))).toBe(
        toHex(theirs({ time: count, deps, changes: changes.slice(0, count) })),
      );
    expect(() => encodeBody({ time: 1, deps, changes })).toThrow(/commit|large/);
    expect(toHex(encodeBody({ time: 1, deps: [], changes: changes.slice(0, 1) }))).toBe(
      '9301909192a13081a764657374726f79c3',
    );
  });

  test('nested as deep as can be, and deeper', () => {
    let deep: unknown = 1;
    for (let depth = 0; depth < 80; depth++) {
      deep = depth % 2 ? [deep] : { deep };
      expect(outcomeOf(() => encodeBody(holding(deep)))).toBe(outcomeOf(() => theirs(holding(deep))));
    }
  });
});

describe('what is refused', () => {
  test.each<[string, unknown, string]>([
    ['no array', { a: 1 }, 'not 93'],
    ['an array of two', [1, []], 'not 93'],
    ['an array of four', [1, [], [['a', { destroy: true }]], 1], 'not 93'],
    ['a time before 1970', [-1, [], [['a', { destroy: true }]]], 'time'],
    ['a time that is a fraction', [1.5, [], [['a', { destroy: true }]]], 'time'],
    ['a time that is text', ['1', [], [['a', { destroy: true }]]], 'time'],
    ['deps that are no array', [1, {}, [['a', { destroy: true }]]], 'deps'],
    ['a dep of one', [1, [[chain]], [['a', { destroy: true }]]], 'a dep is not'],
    ['a dep of three whose id is none', [1, [[chain, 1, 1]], [['a', { destroy: true }]]], '32 bytes'],
    ['a dep with a short id', [1, [[chain, 1, bytesOf('id', 31)]], [['a', { destroy: true }]]], '32 bytes'],
    ['a dep of four', [1, [[chain, 1, bytesOf('id', 32), 1]], [['a', { destroy: true }]]], 'a dep is not'],
    ['a dep on a short chain', [1, [[chain.slice(1), 1]], [['a', { destroy: true }]]], '16 bytes'],
    ['a dep on a text', [1, [['0123456789abcdef', 1]], [['a', { destroy: true }]]], '16 bytes'],
    ['a dep on seq 0', [1, [[chain, 0]], [['a', { destroy: true }]]], 'from 1'],
    ['a dep on half a seq', [1, [[chain, 1.5]], [['a', { destroy: true }]]], 'from 1'],
    ['a dep twice', [1, [[chain, 1], [chain, 2]], [['a', { destroy: true }]]], 'twice'], // prettier-ignore
    ['no changes', [1, [], []], 'one or more'],
    ['changes that are a map', [1, [], { a: { destroy: true } }], 'one or more'],
    ['a change of one', [1, [], [['a']]], 'a change is not'],
    ['a change of three', [1, [], [['a', { destroy: true }, 1]]], 'a change is not'],
    ['an empty subject', [1, [], [['', { destroy: true }]]], 'subject'],
    ['a subject with a line break', [1, [], [['a\nb', { destroy: true }]]], 'subject'],
    ['a subject that is too long', [1, [], [['é'.repeat(513), { destroy: true }]]], 'subject'],
    ['a subject of bytes', [1, [], [[chain, { destroy: true }]]], 'subject'],
    ['a subject twice', [1, [], [['a', { destroy: true }], ['b', { destroy: true }], ['a', { destroy: true }]]], '"a" twice'], // prettier-ignore
    ['no ops', ops({}), 'no ops'],
    ['ops in an array', ops([]), 'not a map'],
    ['ops of bytes', ops(chain), 'not a map'],
    ['ops of nil', ops(null), 'not a map'],
    ['an unknown op', ops({ set: { a: 1 }, move: { a: 1 } }), 'unknown'],
    ['an op named like a method', ops({ toString: { a: 1 } }), 'unknown'],
    ['destroy false', ops({ destroy: false }), 'destroy'],
    ['destroy 1', ops({ destroy: 1 }), 'destroy'],
    ['an empty set', ops({ set: {} }), 'empty'],
    ['a set that is an array', ops({ set: ['a'] }), 'not a map'],
    ['a set of an empty name', ops({ set: { '': 1 } }), 'property name'],
    ['a set of a name with a control character', ops({ set: { 'a\u007f': 1 } }), 'property name'],
    ['a set of a long name', ops({ set: { ['é'.repeat(128)]: 1 } }), 'property name'],
    ['unset of a map', ops({ unset: { a: 1 } }), 'unset'],
    ['unset of nothing', ops({ unset: [] }), 'unset'],
    ['unset of a number', ops({ unset: [1] }), 'unset'],
    ['unset of __proto__', ops({ unset: ['__proto__'] }), 'unset'],
    ['unset twice', ops({ unset: ['a', 'a'] }), 'twice'],
    ['inc of nothing', ops({ inc: {} }), 'empty'],
    ['inc by a fraction', ops({ inc: { a: 0.5 } }), 'inc'],
    ['inc by text', ops({ inc: { a: '1' } }), 'inc'],
    ['inc by a float past 2^53', ops({ inc: { a: 2 ** 60 } }), 'an integer past 2^53 - 1'],
    ['set to a float past 2^53', ops({ set: { a: [-(2 ** 53)] } }), 'an integer past 2^53 - 1'],
    ['add of one value', ops({ add: { a: 1 } }), 'add'],
    ['add of no values', ops({ add: { a: [] } }), 'add'],
    ['remove of no values', ops({ remove: { a: [] } }), 'remove'],
    ['remove that is empty', ops({ remove: {} }), 'empty'],
    ['set and unset of one', ops({ set: { a: 1 }, unset: ['a'] }), 'changed twice'],
    ['set and inc of one', ops({ set: { a: 1 }, inc: { a: 1 } }), 'changed twice'],
    ['set and add to one', ops({ set: { a: 1 }, add: { a: [1] } }), 'changed twice'],
    ['unset of and inc of one', ops({ unset: ['a'], inc: { a: 1 } }), 'changed twice'],
    ['inc and remove of one', ops({ inc: { a: 1 }, remove: { a: [1] } }), 'changed twice'],
  ])('%s', (_, fields, why) => {
    const { code, message } = refusal(() => decodeBody(encode(fields)));
    expect(code).toBe('bad-commit');
    expect(message).toContain(why);
  });

  test('nothing, and a body of a kind that is still to come', () => {
    expect(refusal(() => decodeBody(new Uint8Array(0))).message).toContain('begins with nothing');
    expect(() => decodeBody(hex('92 01 90'))).toThrow(withCode('bad-commit'));
  });

  test('add with remove, and destroy with all, are allowed', () => {
    const all: Ops = { destroy: true, set: { a: 1 }, unset: ['b'], inc: { c: 1 }, add: { d: [1] }, remove: { d: [2] } };
    expect(decodeBody(encodeBody(body(all)))).toEqual(body(all));
  });

  test('subjects and names at their limits are allowed, to the byte', () => {
    const at = { time: 1, deps: [], changes: [{ subject: 'é'.repeat(SUBJECT_BYTES_MAX / 2), ops: { set: { [`${'é'.repeat(127)}x`]: 1 } } }] }; // prettier-ignore
    expect(decodeBody(encodeBody(at))).toEqual(at);
  });
});

test('a body is at most 1 MiB, to the byte', () => {
  const overhead = encodeBody(body({ set: { a: 'x'.repeat(100_000) } })).length - 100_000;
  const largest = encodeBody(body({ set: { a: 'x'.repeat(BODY_BYTES_MAX - overhead) } }));
  expect(largest.length).toBe(BODY_BYTES_MAX);
  decodeBody(largest);
  expect(() => encodeBody(body({ set: { a: 'x'.repeat(BODY_BYTES_MAX - overhead + 1) } }))).toThrow(
    withCode('commit-too-large'),
  );
  const larger = new Uint8Array(BODY_BYTES_MAX + 1);
  larger.set(largest);
  expect(() => decodeBody(larger)).toThrow(withCode('commit-too-large'));
});

test('what checkValue takes, every peer takes, in every operation', () => {
  let nested: Value = 0;
  let depth = 0;
  const isTaken = (): boolean => orRefused(() => (checkValue(nested, 'v'), true)) === true;
  for (; isTaken(); depth++) {
    for (const map of [{ set: { a: nested } }, { add: { a: [nested] } }, { remove: { a: [nested] } }])
      expect(decodeBody(encodeBody(body(map)))).toEqual(body(map));
    nested = depth % 2 === 0 ? [nested] : { a: nested };
  }
  expect(depth).toBeGreaterThan(20);
});

test('any bytes give a body or a refusal', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), someBody, fc.nat(), fc.nat(255), (any, valid, at, byte) => {
      orRefused(() => decodeBody(any));
      const altered = encodeBody(valid);
      altered[at % altered.length] = byte;
      const decoded = orRefused(() => decodeBody(altered));
      if (decoded) expect(orRefused(() => decodeBody(encodeBody(decoded)))).toBeDefined();
    }),
    { numRuns: 1000 },
  );
});

describe('an erased body', () => {
  const whole = encodeBody({
    time: 1_700_000_000_000_000,
    deps: [{ chain, seq: 3 }],
    changes: [{ subject: 'a', ops: { set: { t: 1 } } }],
  });

  test('keeps time and deps, and the hash of the whole', () => {
    const erased = eraseBody(crypto, whole);
    expect(decodeStem(erased.stem)).toEqual({ time: 1_700_000_000_000_000, deps: [{ chain, seq: 3 }] });
    expect(hashErased(crypto, erased)).toEqual(hashBody(crypto, whole));
    expect(erased.changesHash).toEqual(crypto.sha256(whole.subarray(erased.stem.length)));
    expect(hashBody(crypto, whole)).toEqual(crypto.sha256(concat(erased.stem, erased.changesHash)));
  });

  test('has another hash for any other byte', () => {
    for (let i = 1; i < whole.length; i++) {
      const altered = whole.slice();
      altered[i]! ^= 1;
      const hash = orRefused(() => hashBody(crypto, altered));
      if (hash) expect(toHex(hash)).not.toBe(toHex(hashBody(crypto, whole)));
    }
  });

  test('of any body says what the body says', () => {
    fc.assert(
      fc.property(someBody, (any) => {
        const { stem } = eraseBody(crypto, encodeBody(any));
        expect(decodeStem(stem)).toEqual({ time: any.time, deps: any.deps });
      }),
    );
  });

  test('from any bytes is read or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (any) => {
        orRefused(() => decodeStem(any));
        orRefused(() => eraseBody(crypto, any));
        orRefused(() => decodeStem(concat(hex('93'), any)));
      }),
    );
  });

  test.each([
    ['nothing', '', 'begins with nothing'],
    ['no deps', '93 01', 'ends too early'],
    ['more than deps', '93 01 90 90', 'after its end'],
    ['a time that is none', '93 a0 90', 'its time'],
    ['deps that are none', '93 01 a0', 'deps'],
  ])('%s is refused', (_, bytes, why) => {
    const { code, message } = refusal(() => decodeStem(hex(bytes)));
    expect(code).toBe('bad-commit');
    expect(message).toContain(why);
  });
});

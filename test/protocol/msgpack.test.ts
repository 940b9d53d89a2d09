import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { concat, equal, toHex, utf8 } from '../../protocol/bytes.ts';
import { decodeStrict, encode, encodeCanonical } from '../../protocol/msgpack.ts';
import { sharedFile } from '../support/shared.ts';
import { hex, orRefused, refusal, value } from '../support/protocol.ts';

const decode = (bytes: Uint8Array, depthMax = 32): unknown => decodeStrict(bytes, depthMax, 'bad-commit');
const refused = (text: string, why: string, depthMax = 32): void => {
  const { code, message } = refusal(() => decode(hex(text), depthMax));
  expect({ text, code, message }).toEqual({ text, code: 'bad-commit', message: expect.stringContaining(why) });
};

describe('kawanet/msgpack-test-suite', () => {
  const path = sharedFile('vectors/msgpack-test-suite.json');
  const suite =
    path === null
      ? {}
      : (JSON.parse(readFileSync(path, 'utf8')) as Record<string, (Record<string, unknown> & { msgpack: string[] })[]>);
  test.skipIf(path === null)(path === null ? 'skipped: ../shared/vectors is not here' : 'is whole', () => {
    expect(Object.keys(suite)).toHaveLength(15);
  });

  for (const [group, cases] of Object.entries(suite)) {
    test(group, () => {
      for (const { msgpack, ...kinds } of cases) {
        const kind = Object.keys(kinds)[0]!;
        for (const text of msgpack) {
          const bytes = hex(text);
          if (kind === 'ext' || kind === 'timestamp') {
            refused(text, 'extension type');
            continue;
          }
          const big = kinds['bignum'] === undefined ? null : BigInt(kinds['bignum'] as string);
          const isInteger64 = bytes[0] === 0xcf || bytes[0] === 0xd3;
          if (big !== null && isInteger64 && (big > 2n ** 53n - 1n || big < 1n - 2n ** 53n)) {
            refused(text, 'past 2^53 - 1');
            continue;
          }
          const expected =
            kind === 'binary' ? hex(kinds['binary'] as string) : big !== null ? Number(big) : kinds[kind];
          const decoded = decode(bytes);
          // Zero has a sign as a float and none as an integer; both stand for the number 0.
          expect({ text, value: decoded === 0 ? 0 : decoded }).toEqual({ text, value: expected });
        }
      }
    });
  }
});

describe('what is refused', () => {
  test.each([
    ['integers', 'cf 0020000000000000', 'past 2^53 - 1'],
    ['negative integers', 'd3 ffe0000000000000', 'past 2^53 - 1'],
    ['the largest', 'cf ffffffffffffffff', 'past 2^53 - 1'],
    ['NaN in 4 bytes', 'ca 7fc00000', 'not finite'],
    ['infinity in 4 bytes', 'ca 7f800000', 'not finite'],
    ['−infinity in 4 bytes', 'ca ff800000', 'not finite'],
    ['NaN in 8 bytes', 'cb 7ff8000000000000', 'not finite'],
    ['a signalling NaN', 'cb fff0000000000001', 'not finite'],
    ['infinity in 8 bytes', 'cb 7ff0000000000000', 'not finite'],
    ['2^53 as a float', 'cb 4340000000000000', 'past 2^53'],
    ['−2^53 as a float', 'cb c340000000000000', 'past 2^53'],
    ['2^53 as a float of 4 bytes', 'ca 5a000000', 'past 2^53'],
    ['−2^53 as a float of 4 bytes', 'ca da000000', 'past 2^53'],
    ['the largest float', 'cb 7fefffffffffffff', 'past 2^53'],
    ['the largest float of 4 bytes', 'ca 7f7fffff', 'past 2^53'],
    ['the byte that is never used', 'c1', 'c1'],
    ['a key that is no text', '81 01 02', 'not text'],
    ['a key of bytes', '81 c40161 02', 'not text'],
    ['a key twice', '82 a161 01 a161 02', 'twice'],
    ['a key twice, in two encodings', '82 a161 01 d90161 02', 'twice'],
    ['the empty key twice', '82 a0 01 a0 02', 'twice'],
    ['a key twice, deep down', '91 81 a162 82 a161 01 a161 02', 'twice'],
    [
      'a key twice, after eight others',
      `89 ${[1, 2, 3, 4, 5, 6, 7, 8].map((i) => `a13${i}00`).join('')} a131 00`,
      'twice',
    ],
    ['__proto__', '81 a9 5f5f70726f746f5f5f 80', '__proto__'],
    ['__proto__, in another encoding', '81 da0009 5f5f70726f746f5f5f 80', '__proto__'],
    ['half a character', 'a1 c3', 'not UTF-8'],
    ['an overlong character', 'a2 c0af', 'not UTF-8'],
    ['a surrogate', 'a3 eda080', 'not UTF-8'],
    ['a character past the last', 'a4 f4908080', 'not UTF-8'],
    ['not UTF-8 after much ASCII', `d9 64 ${'61'.repeat(99)} ff`, 'not UTF-8'],
    ['a key that is not UTF-8', '81 a1ff 01', 'not UTF-8'],
    ['nothing', '', 'too early'],
    ['two values', '01 02', 'after its end'],
    ['a byte after an array', '91 01 c0', 'after its end'],
    ['an array of four thousand million', 'dd ffffffff', 'too early'],
    ['a map of four thousand million', 'df ffffffff', 'too early'],
    ['text of four thousand million bytes', 'db ffffffff 61', 'too early'],
  ])('%s', (_, text, why) => refused(text, why));

  test('−0 and the largest numbers are not', () => {
    for (const [text, number] of [
      ['cf 001fffffffffffff', Number.MAX_SAFE_INTEGER],
      ['d3 ffe0000000000001', Number.MIN_SAFE_INTEGER],
      ['cb 433fffffffffffff', Number.MAX_SAFE_INTEGER],
      ['cb c33fffffffffffff', Number.MIN_SAFE_INTEGER],
      // The largest that have 24 bits, and the largest that have a fraction.
      ['ca 59ffffff', 2 ** 53 - 2 ** 29],
      ['cb 432fffffffffffff', 2 ** 52 - 0.5],
      ['cb 0000000000000001', Number.MIN_VALUE],
      ['cb 8000000000000000', -0],
    ] as const)
      expect(decode(hex(text))).toBe(number);
  });

  test('every cut of a message ends too early, and no cut of it is taken', () => {
    const whole = hex(
      '9c 01 cc80 cd8000 ce80000000 d080 d18000 ca3f800000 cb3ff0000000000000 a26869 d9026869 c4020102 82a16191c0a162de0001a163c3',
    );
    decode(whole);
    for (let length = 0; length < whole.length; length++)
      expect(refusal(() => decode(whole.slice(0, length))).message).toContain('too early');
  });

  test.each([
    ['arrays', '91', 'c0'],
    ['arrays with long headers', 'dd00000001', 'c0'],
    ['maps', '81a161', 'c0'],
    ['maps with long headers', 'de0001a161', 'c0'],
  ])('nesting, in %s', (_, opening, inner) => {
    decode(hex(opening.repeat(5) + inner), 5);
    refused(opening.repeat(6) + inner, 'too deep', 5);
    refused(opening.repeat(5) + '90', 'too deep', 5);
    // Far past what a recursion without a limit survives.
    refused(opening.repeat(1_000_000) + inner, 'too deep', 32);
  });
});

test('a text keeps its byte order marks, whatever its length', () => {
  for (const length of [0, 1, 17, 50, 51, 200, 201, 70_000]) {
    for (const marks of ['\ufeff', '\ufeff\ufeff']) {
      const text = marks + 'x'.repeat(length);
      expect(decode(encode({ [text]: text }))).toEqual({ [text]: text });
    }
  }
  const long = 'x'.repeat(250);
  expect(decode(encode({ [long]: 1, [`\ufeff${long}`]: 2 }))).toEqual({ [long]: 1, [`\ufeff${long}`]: 2 });
});

test('encoding and decoding is nothing', () => {
  fc.assert(
    fc.property(value, (any) => {
      expect(decode(encode(any))).toEqual(any);
    }),
    { numRuns: 500 },
  );
});

test('any bytes give a value that can be encoded, or a refusal', () => {
  const likely = fc
    .array(
      fc.constantFrom(
        0,
        1,
        0x7f,
        0x81,
        0x82,
        0x91,
        0x92,
        0xa0,
        0xa1,
        0xa2,
        0xc0,
        0xc2,
        0xc4,
        0xcb,
        0xcf,
        0xd3,
        0xd9,
        0xdc,
        0xde,
        0xe0,
        0xff,
      ),
      { maxLength: 40 },
    )
    .map((list) => Uint8Array.from(list));
  let taken = 0;
  fc.assert(
    fc.property(fc.oneof(likely, fc.uint8Array({ maxLength: 60 })), (bytes) => {
      const before = toHex(bytes);
      const decoded = orRefused(() => decode(bytes));
      expect(toHex(bytes)).toBe(before);
      if (decoded === undefined) return;
      taken++;
      // Again, because −0 becomes 0 the first time.
      const again = decode(encode(decoded));
      expect(decode(encode(again))).toEqual(again);
    }),
    { numRuns: 5000 },
  );
  expect(taken).toBeGreaterThan(50);
});

describe('the canonical form', () => {
  test('by hand', () => {
    expect(toHex(encodeCanonical({ b: 1, a: [-0, 2.0], B: { z: null, y: true } }))).toBe(
      toHex(concat(hex('83 a142 82 a179 c3 a17a c0 a161 92 00 02 a162 01'))),
    );
    // By UTF-16 code units: U+FF61 comes after the surrogates of U+1F600.
    expect(toHex(encodeCanonical({ '\uff61': 1, '\u{1f600}': 2 }))).toBe(
      toHex(concat(hex('82 a4'), utf8('\u{1f600}'), hex('02 a3'), utf8('\uff61'), hex('01'))),
    );
  });

  test('does not depend on the order of keys', () => {
    const reversed = (any: unknown): unknown => {
      if (Array.isArray(any)) return any.map(reversed);
      if (typeof any !== 'object' || any === null || any instanceof Uint8Array) return any;
      return Object.fromEntries(
        Object.entries(any)
          .toReversed()
          .map(([key, item]) => [key, reversed(item)]),
      );
    };
    fc.assert(
      fc.property(value, (any) => equal(encodeCanonical(any), encodeCanonical(reversed(any)))),
      { numRuns: 500 },
    );
  });

  test('differs for different values', () => {
    fc.assert(
      fc.property(value, value, (a, b) => {
        let isSame = true;
        try {
          expect(a).toEqual(b);
        } catch {
          isSame = false;
        }
        return equal(encodeCanonical(a), encodeCanonical(b)) === isSame;
      }),
    );
  });
});

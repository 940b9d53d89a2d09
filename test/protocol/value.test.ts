import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeStrict, encode } from '../../protocol/msgpack.ts';
import { checkValue, isName, isPropertyName, isSubject, valueKey } from '../../protocol/value.ts';
import { orRefused, refusal, value } from '../support/protocol.ts';

describe('values that people hand in', () => {
  test('what JSON can hold, and bytes, are taken', () => {
    fc.assert(fc.property(value, (any) => checkValue(any, 'v')));
    checkValue(Object.assign(Object.create(null), { a: 1 }), 'v');
    checkValue([Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER, 0.1, -0, ''], 'v');
  });

  test.each<[string, unknown, string]>([
    ['undefined', undefined, 'v is undefined'],
    ['a hole in an array', [1, , 3], 'v[1] is undefined'],
    ['a function', () => 1, 'v is a function'],
    ['a symbol', Symbol('x'), 'v is a symbol'],
    ['a bigint', 1n, 'v is a bigint'],
    ['NaN', { a: [NaN] }, 'v.a[0] is NaN'],
    ['infinity', -Infinity, 'v is -Infinity'],
    ['an integer past 2^53', 2 ** 53, 'v is an integer past 2^53 - 1; send it as text'],
    ['a negative one', { n: -(2 ** 53) }, 'v.n is an integer past 2^53 - 1'],
    ['half a surrogate pair', ['\ud800'], 'v[0] has half a surrogate pair'],
    ['half a surrogate pair as a key', { '\udc00': 1 }, 'v has the key "\\udc00"'],
    ['a date', new Date(0), 'v is not a plain object'],
    ['a map', { m: new Map() }, 'v.m is not a plain object'],
    ['an array of other bytes', new Uint16Array(1), 'v is not a plain object'],
    ['__proto__', JSON.parse('{"a":{"__proto__":1}}'), 'v.a has the key "__proto__"'],
  ])('%s is not', (_, any, why) => {
    const error = refusal(() => checkValue(any, 'v'));
    expect(error.code).toBe('bad-value');
    expect(error.message).toContain(why);
    expect(error.detail['path']).toBe(why.split(' ')[0]);
  });

  test('nor is what contains itself', () => {
    const loop: unknown[] = [];
    loop.push(loop);
    expect(refusal(() => checkValue(loop, 'v')).message).toContain('nested deeper than');
  });

  test('what is taken survives encoding', () => {
    fc.assert(
      fc.property(fc.anything({ withNullPrototype: true, withSparseArray: true, withBigInt: true }), (any) => {
        const isTaken = orRefused(() => (checkValue(any, 'v'), true)) === true;
        if (isTaken) expect(orRefused(() => (decodeStrict(encode(any), 32, 'bad-value'), true))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

test('keys of values are equal where the values are', () => {
  expect(valueKey({ a: 1, b: [2, { x: null, y: true }] })).toBe(valueKey({ b: [2, { y: true, x: null }], a: 1 }));
  expect(valueKey(-0)).toBe(valueKey(0));
  const all = [null, true, false, 0, 1, -1, 0.5, '', '0', '1', 'c', [], {}, [0], [[]], [{}], { a: 0 }, { a: null }, new Uint8Array(0), new Uint8Array(1), 'null', '\u0000']; // prettier-ignore
  expect(new Set(all.map(valueKey)).size).toBe(all.length);
});

describe.each([
  ['a subject', isSubject, 1024],
  ['a property name', isPropertyName, 255],
  ['a name', isName, 64],
] as const)('%s', (what, isGood, max) => {
  test('its length is counted in bytes', () => {
    expect(isGood('x'.repeat(max))).toBe(true);
    expect(isGood('x'.repeat(max + 1))).toBe(false);
    expect(isGood('é'.repeat(Math.floor(max / 2)))).toBe(true);
    expect(isGood('é'.repeat(Math.floor(max / 2) + 1))).toBe(false);
    expect(isGood('\u{1f600}'.repeat(Math.floor(max / 4)))).toBe(true);
    expect(isGood('\u{1f600}'.repeat(Math.floor(max / 4) + 1))).toBe(false);
    expect(isGood('')).toBe(what === 'a name');
  });

  test.each(['\u0000', 'a\nb', '\u001b[2J', 'a\u007f', '\ud800', '\udc00a', 'ab\ud83d'])('not %j', (text) => {
    expect(isGood(text)).toBe(false);
  });

  test.each([[undefined], [null], [1], [['a']], [new Uint8Array(1)], [{ length: 1 }]])('not %j', (any) => {
    expect(isGood(any)).toBe(false);
  });

  test.each(['a', ' ', '~devices/x', 'a/b#c', 'Кириллица', '\u{1f600}', '\ufeff'])('but %j', (text) => {
    expect(isGood(text)).toBe(true);
  });
});

test('__proto__ is no property, and may be a subject', () => {
  expect(isPropertyName('__proto__')).toBe(false);
  expect(isSubject('__proto__')).toBe(true);
  expect(isPropertyName('constructor')).toBe(true);
});

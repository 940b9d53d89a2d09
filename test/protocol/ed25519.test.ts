import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex } from '../../protocol/bytes.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { checkDeviceKey, isGoodR, isCanonicalS, verifyStrict, verifyWithCheckedKey } from '../../protocol/ed25519.ts';
import { nodeCrypto } from '../../client/platform/crypto-node.ts';

const hex = (text: string): Uint8Array => fromHex(text)!;
const P = 2n ** 255n - 19n;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const SIGN = 1n << 255n;
/** 32 bytes, little-endian. */
const le32 = (value: bigint): Uint8Array =>
  Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n));

/** A primitive that takes everything, so that only the rule in front of it can refuse. */
const credulous: Crypto = { ...nodeCrypto, ed25519Verify: () => true };

/** y of the points of order 8, less its sign. The double of such a point has y = 0, which makes d y⁴ + 2 y² = 1. */
const ORDER_8_Y = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;

describe('a device key', () => {
  test('an ordinary key passes', () => {
    for (let i = 0; i < 32; i++)
      expect(checkDeviceKey(nodeCrypto.ed25519KeyPair(new Uint8Array(32).fill(i)).public)).toBe(true);
  });

  test.each([0, 31, 33, 64])('of %i bytes is refused', (length) => {
    expect(checkDeviceKey(new Uint8Array(length).fill(9))).toBe(false);
  });

  test('the points of order 8 are those of the curve', () => {
    // d = −121665 / 121666, and the equation times 121666.
    const y2 = ORDER_8_Y ** 2n % P;
    expect((-121665n * y2 ** 2n + 2n * 121666n * y2 - 121666n) % P).toBe(0n);
  });

  test('of small order is refused, with either sign of x', () => {
    for (const y of [0n, 1n, P - 1n, ORDER_8_Y, P - ORDER_8_Y]) {
      for (const sign of [0n, SIGN]) expect(checkDeviceKey(le32(y + sign)), y.toString(16)).toBe(false);
    }
  });

  test('with y ≥ p is refused: all 19 of them, with either sign of x', () => {
    for (let y = P; y < SIGN; y++) for (const sign of [0n, SIGN]) expect(checkDeviceKey(le32(y + sign))).toBe(false);
    // The largest that is canonical and isn't y = −1.
    expect(checkDeviceKey(le32(P - 2n))).toBe(true);
  });
});

describe('a signature', () => {
  const withR = (r: bigint): Uint8Array => Uint8Array.from([...le32(r), ...le32(1n)]);
  const withS = (s: bigint): Uint8Array => Uint8Array.from([...le32(5n), ...le32(s)]);

  test('S is below L', () => {
    for (const s of [0n, 1n, L - 1n, 2n ** 252n]) expect(isCanonicalS(withS(s))).toBe(true);
    for (const s of [L, L + 1n, 2n * L, 2n ** 253n, 2n ** 256n - 1n]) expect(isCanonicalS(withS(s))).toBe(false);
  });

  test('S, held against big integers', () => {
    const near = fc.bigInt({ min: L - 2n ** 130n, max: L + 2n ** 130n });
    const any = fc.bigInt({ min: 0n, max: 2n ** 256n - 1n });
    fc.assert(fc.property(fc.oneof(near, any), (s) => isCanonicalS(withS(s)) === s < L));
  });

  test('R is below the prime and not of small order', () => {
    for (const r of [2n, 3n, P - 2n, SIGN + 2n, SIGN + P - 2n]) expect(isGoodR(withR(r))).toBe(true);
    // y = 0, 1 and −1 with either sign of x; and then everything from p up.
    for (const r of [0n, SIGN, 1n, P - 1n, SIGN + 1n, SIGN + P - 1n, P, P + 1n, SIGN - 1n, SIGN + P, 2n * SIGN - 1n]) {
      expect(isGoodR(withR(r)), r.toString(16)).toBe(false);
    }
  });

  test('every check stands in front of the primitive', () => {
    const key = le32(P - 2n);
    const message = new Uint8Array(1);
    expect(verifyStrict(credulous, key, message, withS(1n))).toBe(true);
    expect(verifyStrict(credulous, le32(1n), message, withS(1n))).toBe(false);
    expect(verifyStrict(credulous, key, message, withS(L))).toBe(false);
    expect(verifyStrict(credulous, key, message, withR(P))).toBe(false);
    for (const length of [0, 63, 65]) expect(verifyStrict(credulous, key, message, new Uint8Array(length))).toBe(false);
    // The caller has said that the key was checked, once, before.
    expect(verifyWithCheckedKey(credulous, le32(1n), message, withS(1n))).toBe(true);
    expect(verifyWithCheckedKey(credulous, key, message, withS(L))).toBe(false);
  });

  test('S + L, the second signature that anyone can make of a first, is refused', () => {
    const pair = nodeCrypto.ed25519KeyPair(new Uint8Array(32).fill(1));
    const message = hex('c0ffee');
    const signature = nodeCrypto.ed25519Sign(pair, message);
    const s = signature.slice(32).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
    expect(verifyStrict(nodeCrypto, pair.public, message, signature)).toBe(true);
    expect(
      verifyStrict(nodeCrypto, pair.public, message, Uint8Array.from([...signature.slice(0, 32), ...le32(s + L)])),
    ).toBe(false);
  });

  test('any bytes have an answer', () => {
    const bytes = fc.uint8Array({ maxLength: 70 });
    const sized = (length: number) => fc.oneof(bytes, fc.uint8Array({ minLength: length, maxLength: length }));
    fc.assert(
      fc.property(sized(32), bytes, sized(64), (key, message, signature) => {
        return verifyStrict(nodeCrypto, key, message, signature) === false;
      }),
    );
  });
});

/** What tests of protocol/ share: keys that are the same in every run, arbitrary values, and short ways to say what is expected. */
import fc from 'fast-check';
import { expect } from 'vitest';
import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { fromHex, utf8 } from '../../protocol/bytes.ts';
import type { KeyPair } from '../../protocol/crypto.ts';
import { TidelogError, type ErrorCode } from '../../protocol/errors.ts';
import type { Value } from '../../protocol/value.ts';

export const crypto = nodeCrypto;

export function hex(text: string): Uint8Array {
  return fromHex(text.replaceAll(/[\s-]/g, ''))!;
}

/** `length` bytes that differ for every name. */
export function bytesOf(name: string, length: number): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(length / 32) * 32);
  for (let i = 0; i * 32 < length; i++) bytes.set(crypto.sha256(utf8(`${name} ${i}`)), i * 32);
  return bytes.slice(0, length);
}

/** The same device for the same name. */
export function deviceOf(name: string): KeyPair {
  return crypto.ed25519KeyPair(bytesOf(`device ${name}`, 32));
}

/** What `toThrow` wants for a TidelogError. */
export function withCode(code: ErrorCode): unknown {
  return expect.objectContaining({ name: 'TidelogError', code });
}

/** Runs what must fail with a TidelogError and gives that back. */
export function refusal(act: () => unknown): TidelogError {
  let value: unknown;
  try {
    value = act();
  } catch (thrown) {
    if (thrown instanceof TidelogError) return thrown;
    throw thrown;
  }
  throw new Error(`was taken: ${JSON.stringify(value)}`);
}

/** For properties of the form "any input gives a value or a TidelogError": undefined for the latter. */
export function orRefused<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (thrown) {
    if (thrown instanceof TidelogError) return undefined;
    throw thrown;
  }
}

export function bytes(length: number): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength: length, maxLength: length });
}

/** An integer from 0, with both ends likely. */
export const count: fc.Arbitrary<number> = fc.oneof(
  fc.nat(1000),
  fc.maxSafeNat(),
  fc.constantFrom(0, 1, Number.MAX_SAFE_INTEGER),
);

const text: fc.Arbitrary<string> = fc.oneof(
  { weight: 8, arbitrary: fc.string({ unit: 'grapheme', maxLength: 40 }) },
  // Past the lengths at which encoders change their ways, with and without a byte order mark.
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom('', '\ufeff', '\ufeff\ufeff', 'é'), fc.constantFrom(31, 32, 199, 200, 255, 256, 300))
      .map(([start, length]) => start + 'x'.repeat(length)),
  },
);
const number: fc.Arbitrary<number> = fc
  .oneof(
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).filter((each) => !Number.isInteger(each)),
    fc.constantFrom(0, -32, -33, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER),
  )
  // Zero has one form on the wire.
  .map((each) => (each === 0 ? 0 : each));
const key: fc.Arbitrary<string> = text.filter((each) => each !== '__proto__');

/** Anything that a property can hold. */
export const value: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'value' },
    fc.constantFrom<Value>(null, true, false),
    number,
    text,
    fc.uint8Array({ maxLength: 20 }),
    fc.array(tie('value'), { maxLength: 4, depthIdentifier: 'value' }),
    fc.dictionary(key, tie('value'), { maxKeys: 10, noNullPrototype: true, depthIdentifier: 'value' }),
  ),
})).value;

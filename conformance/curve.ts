/**
 * Ed25519 as no honest signer uses it: signatures that libraries disagree on. Slow, and not constant in time: its keys are thrown away.
 * RFC 8032, section 5.1; the kinds of signatures are those of "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko 2020).
 */
import { createHash } from 'node:crypto';
import { concat } from '../protocol/bytes.ts';

const P = 2n ** 255n - 19n;
export const L = 2n ** 252n + 27742317777372353535851937790883648493n;

const mod = (value: bigint, by = P): bigint => ((value % by) + by) % by;

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let left = exponent, square = mod(base); left > 0n; left >>= 1n, square = (square * square) % P)
    if (left & 1n) result = (result * square) % P;
  return result;
}
const invert = (value: bigint): bigint => power(value, P - 2n);

const D = mod(-121665n * invert(121666n));
const SQRT_OF_MINUS_1 = power(2n, (P - 1n) / 4n);

/** x, y and z by which both are multiplied. */
interface Point {
  readonly x: bigint;
  readonly y: bigint;
  readonly z: bigint;
}

const IDENTITY: Point = { x: 0n, y: 1n, z: 1n };

/** The complete addition law of twisted Edwards curves, projective (Bernstein and Lange 2007), for a = −1. */
function add(left: Point, right: Point): Point {
  const a = mod(left.z * right.z);
  const b = mod(a * a);
  const c = mod(left.x * right.x);
  const d = mod(left.y * right.y);
  const e = mod(D * c * d);
  const f = mod(b - e);
  const g = mod(b + e);
  return {
    x: mod(a * f * ((left.x + left.y) * (right.x + right.y) - c - d)),
    y: mod(a * g * (d + c)),
    z: mod(f * g),
  };
}

function multiply(point: Point, by: bigint): Point {
  let result = IDENTITY;
  for (let left = by, doubled = point; left > 0n; left >>= 1n, doubled = add(doubled, doubled))
    if (left & 1n) result = add(result, doubled);
  return result;
}

function pointAt(y: bigint): Point {
  const square = mod((y * y - 1n) * invert(mod(D * y * y + 1n)));
  let x = power(square, (P + 3n) / 8n);
  if (mod(x * x - square) !== 0n) x = mod(x * SQRT_OF_MINUS_1);
  if (mod(x * x - square) !== 0n) throw new Error('no point has this y');
  return { x: x & 1n ? P - x : x, y, z: 1n };
}

const BASE = pointAt(mod(4n * invert(5n)));
/** Of order 8: its y is the fourth in the table of section 3.1. */
const TORSION = pointAt(
  fromLittleEndian(Buffer.from('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05', 'hex')),
);

export function fromLittleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

export function toLittleEndian(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n));
}

function encodePoint({ x, y, z }: Point): Uint8Array {
  const inverse = invert(z);
  const bytes = toLittleEndian(mod(y * inverse));
  bytes[31]! |= Number(mod(x * inverse) & 1n) << 7;
  return bytes;
}

function sha512(...parts: Uint8Array[]): Uint8Array {
  return createHash('sha512')
    .update(concat(...parts))
    .digest();
}

/** A private scalar, and a public key that may have a part of order 8. */
export interface OddKey {
  readonly scalar: bigint;
  readonly public: Uint8Array;
}

export function keyOf(seed: Uint8Array, isMixed = false): OddKey {
  const half = sha512(seed).slice(0, 32);
  half[0]! &= 248;
  half[31]! &= 127;
  half[31]! |= 64;
  const scalar = fromLittleEndian(half);
  const point = multiply(BASE, scalar);
  return { scalar, public: encodePoint(isMixed ? add(point, TORSION) : point) };
}

export type SignatureKind =
  | 'honest'
  /** R has a part of order 8: it fits only where both sides are multiplied by the cofactor. */
  | 'mixed R'
  /** R is this point of small order, so encoded; the equation holds. */
  | 'R of order 1'
  | 'R of order 1, y = p + 1'
  /** For a mixed key: the equation holds without the cofactor, or only with it. */
  | 'k divisible by 8'
  | 'k not divisible by 8';

export function signOddly(key: OddKey, message: Uint8Array, kind: SignatureKind): Uint8Array {
  for (let attempt = 1n; ; attempt++) {
    const nonce = mod(fromLittleEndian(sha512(message, key.public, toLittleEndian(attempt))), L);
    let r = nonce;
    let encoded: Uint8Array;
    if (kind === 'R of order 1' || kind === 'R of order 1, y = p + 1') {
      r = 0n;
      encoded = toLittleEndian(kind === 'R of order 1' ? 1n : P + 1n);
    } else {
      const point = multiply(BASE, r);
      encoded = encodePoint(kind === 'mixed R' ? add(point, TORSION) : point);
    }
    const k = mod(fromLittleEndian(sha512(encoded, key.public, message)), L);
    if (kind === 'k divisible by 8' && k % 8n !== 0n) continue;
    if (kind === 'k not divisible by 8' && k % 8n === 0n) continue;
    return concat(encoded, toLittleEndian(mod(r + k * key.scalar, L)));
  }
}

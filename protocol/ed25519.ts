/**
 * The one rule by which every peer accepts or refuses an Ed25519 key and signature.
 *
 * Libraries differ on hostile input: node:crypto takes keys of small order and keys with y ≥ p, tweetnacl takes S ≥ L as well, and
 * libsodium refuses an R of small order, which the others take.
 * Two peers that differ on one commit never agree again, so the cases where libraries differ are refused here, before
 * the library is asked. What is left, all of them judge alike: S·B = R + k·A without the cofactor, R compared as bytes.
 *
 *   at the membership   if (!checkDeviceKey(key)) …                          once for each key
 *   at every signature  verifyWithCheckedKey(crypto, key, message, signature)
 *   at neither          verifyStrict(crypto, key, message, signature)        both of them
 *
 * Encodings, RFC 8032 section 5.1.2: a point is 32 bytes, y little-endian in 255 bits and the sign of x in the last one;
 * a signature is R 32 | S 32, S little-endian. Everything here compares public bytes, so time need not be constant.
 */
import { fromHex } from './bytes.ts';
import { DEVICE_KEY_BYTES, SIGNATURE_BYTES } from './constants.ts';
import type { Crypto } from './crypto.ts';

/** Where S begins in a signature. */
const S_OFFSET = 32;

/** L, the order of the base point, 2^252 + 27742317777372353535851937790883648493, little-endian. */
const ORDER = fromHex('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010')!;

/** y of every point whose order divides 8. Only these have small order, whatever the sign of x. */
const SMALL_ORDER_YS = [
  '0000000000000000000000000000000000000000000000000000000000000000', // order 4
  '0100000000000000000000000000000000000000000000000000000000000000', // order 1, the identity
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f', // order 2, y = −1
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05', // order 8
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a', // order 8
].map((hex) => fromHex(hex)!);

/**
 * May this be the key of a device? False for a wrong length, y ≥ p, and a point of small order: under such a key one
 * signature fits any message. Not asked is whether y is on the curve, which takes arithmetic and protects nothing: no
 * signature verifies under a key that isn't.
 */
export function checkDeviceKey(key: Uint8Array): boolean {
  if (key.length !== DEVICE_KEY_BYTES || !isBelowPrime(key)) return false;
  return !SMALL_ORDER_YS.some((y) => hasY(key, y));
}

/** Is S < L? Otherwise S + L would be a second signature, and the same commit could have two ids. `signature` is 64 bytes. */
export function isCanonicalS(signature: Uint8Array): boolean {
  // From the most significant byte down; an honest S nearly always answers at the first.
  for (let i = 31; i >= 0; i--) {
    const s = signature[S_OFFSET + i]!;
    const l = ORDER[i]!;
    if (s !== l) return s < l;
  }
  return false;
}

/**
 * Is R, the signature's first half, below the prime and not of small order? libsodium refuses small order here too, and a peer
 * that leans on it must agree with one that doesn't. No honest signer makes such an R.
 */
export function isGoodR(signature: Uint8Array): boolean {
  return isBelowPrime(signature) && !SMALL_ORDER_YS.some((y) => hasY(signature, y));
}

/** Verifies under a key that `checkDeviceKey` has passed before. Any bytes as message and signature; never throws for them. */
export function verifyWithCheckedKey(
  crypto: Crypto,
  key: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (signature.length !== SIGNATURE_BYTES || !isCanonicalS(signature) || !isGoodR(signature)) return false;
  return crypto.ed25519Verify(key, message, signature);
}

/** Verifies under a key that nobody has checked. Any bytes; never throws for them. */
export function verifyStrict(
  crypto: Crypto,
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  return checkDeviceKey(publicKey) && verifyWithCheckedKey(crypto, publicKey, message, signature);
}

/** Is y < p = 2^255 − 19, in the encoding that begins at 0? The 19 values that aren't are edff…ff7f to ffff…ff7f. */
function isBelowPrime(encoded: Uint8Array): boolean {
  if ((encoded[31]! & 0x7f) !== 0x7f) return true;
  for (let i = 30; i > 0; i--) if (encoded[i] !== 0xff) return true;
  return encoded[0]! < 0xed;
}

/** Does the encoding that begins at 0 have this y, whatever the sign of x? */
function hasY(encoded: Uint8Array, y: Uint8Array): boolean {
  if ((encoded[31]! & 0x7f) !== y[31]) return false;
  for (let i = 0; i < 31; i++) if (encoded[i] !== y[i]) return false;
  return true;
}

/**
 * The `Crypto` of pages: pure JavaScript, because a page served from a LAN address is no secure context and has no
 * WebCrypto. By noble; no import of a platform.
 *
 * Verifying is put together here from noble's points: its own `verify` multiplies by the cofactor, and so takes signatures under keys of mixed order that
 * node:crypto refuses. Two peers that differ on one commit never agree again; see protocol/ed25519.ts for what all must do the same.
 *
 * Keys, seeds and nonces of a wrong length are faults of the caller and throw.
 */
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { hmac } from '@noble/hashes/hmac.js';
import { ed25519, x25519 } from '@noble/curves/ed25519.js';
import { sha256, sha512 } from '@noble/hashes/sha2.js';
import { concat, equal } from '../../protocol/bytes.ts';
import { AEAD_TAG_BYTES } from '../../protocol/constants.ts';
import type { Crypto } from '../../protocol/crypto.ts';

const { Point } = ed25519;
/** Bytes of a point, and of a scalar. */
const HALF = 32;

export const portableCrypto: Crypto = {
  name: 'portable',

  sha256: (data) => sha256(data),
  sha256Into: (data, target, at) => target.set(sha256(data), at),
  hmacSha256: (key, data) => hmac(sha256, key, data),

  ed25519KeyPair(seed) {
    return { secret: new Uint8Array(seed), public: ed25519.getPublicKey(seed) };
  },
  ed25519Sign: (key, message) => ed25519.sign(message, key.secret),
  ed25519Verify(publicKey, message, signature) {
    const r = signature.subarray(0, HALF);
    const s = littleEndian(signature.subarray(HALF));
    if (signature.length !== 2 * HALF || s >= Point.Fn.ORDER) return false;
    const key = pointOf(publicKey);
    if (!key) return false;
    const k = littleEndian(sha512(concat(r, publicKey, message))) % Point.Fn.ORDER;
    // R = S·B − k·A, compared as bytes.
    const expected = Point.BASE.multiplyUnsafe(s).subtract(key.multiplyUnsafe(k));
    return equal(expected.toBytes(), r);
  },

  x25519KeyPair(secret) {
    return { secret: new Uint8Array(secret), public: x25519.getPublicKey(secret) };
  },
  x25519(secret, publicKey) {
    if (secret.length !== HALF || publicKey.length !== HALF) throw new RangeError('a key of X25519 is 32 bytes');
    try {
      return x25519.getSharedSecret(secret, publicKey);
    } catch {
      // With lengths in order, a result of zeros is all that is left to throw for.
      return null;
    }
  },

  chachaPolyEncrypt(key, nonce, associated, plain) {
    return chacha20poly1305(key, nonce, associated).encrypt(plain);
  },
  chachaPolyDecrypt(key, nonce, associated, sealed) {
    if (sealed.length < AEAD_TAG_BYTES) return null;
    const cipher = chacha20poly1305(key, nonce, associated);
    try {
      return cipher.decrypt(sealed);
    } catch {
      // With key, nonce and length in order, a wrong tag is all that is left to throw for.
      return null;
    }
  },
};

/** null where no point has that encoding. */
function pointOf(bytes: Uint8Array): InstanceType<typeof Point> | null {
  try {
    return Point.fromBytes(bytes);
  } catch {
    return null;
  }
}

function littleEndian(bytes: Uint8Array): bigint {
  let hex = '0x';
  for (let i = bytes.length - 1; i >= 0; i--) hex += bytes[i]!.toString(16).padStart(2, '0');
  return BigInt(hex === '0x' ? '0x0' : hex);
}

/**
 * The `Crypto` of pages: pure JavaScript, because a page served from a LAN address is no secure context and has no
 * WebCrypto. tweetnacl does the curves, noble the hashes and the AEAD. No import of a platform.
 *
 * Keys, seeds and nonces of a wrong length are faults of the caller and throw.
 */
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import nacl from 'tweetnacl';
import { concat, isZero } from '../../protocol/bytes.ts';
import { AEAD_TAG_BYTES } from '../../protocol/constants.ts';
import type { Crypto } from '../../protocol/crypto.ts';

export const portableCrypto: Crypto = {
  name: 'portable',

  sha256: (data) => sha256(data),
  sha256Into: (data, target, at) => target.set(sha256(data), at),
  hmacSha256: (key, data) => hmac(sha256, key, data),

  ed25519KeyPair(seed) {
    return { secret: new Uint8Array(seed), public: nacl.sign.keyPair.fromSeed(seed).publicKey };
  },
  ed25519Sign(key, message) {
    // tweetnacl's secret key is RFC 8032's seed with the public key behind it.
    return nacl.sign.detached(message, concat(key.secret, key.public));
  },
  ed25519Verify(publicKey, message, signature) {
    return nacl.sign.detached.verify(message, signature, publicKey);
  },

  x25519KeyPair(secret) {
    return { secret: new Uint8Array(secret), public: nacl.scalarMult.base(secret) };
  },
  x25519(secret, publicKey) {
    const shared = nacl.scalarMult(secret, publicKey);
    return isZero(shared) ? null : shared;
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

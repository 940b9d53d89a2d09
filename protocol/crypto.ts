/**
 * The seam for primitives. Two providers fill it: `client/platform/crypto-node.ts` (node:crypto) and
 * `client/platform/crypto-portable.ts` (noble, for pages that have no WebCrypto). Every provider passes the same vectors.
 *
 * Everything is synchronous: a commit costs microseconds, and a promise for each would cost more than the hash.
 */

export interface KeyPair {
  /** 32 bytes. Ed25519: the seed of RFC 8032. X25519: the scalar, unclamped. */
  readonly secret: Uint8Array;
  /** 32 bytes. */
  readonly public: Uint8Array;
}

export interface Crypto {
  readonly name: string;
  /** 32 bytes. */
  sha256(data: Uint8Array): Uint8Array;
  /** The same, written into `target` from `at` on; `data` and `target` may share memory. */
  sha256Into(data: Uint8Array, target: Uint8Array, at: number): void;
  /** 32 bytes. */
  hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array;

  ed25519KeyPair(seed: Uint8Array): KeyPair;
  /** 64 bytes. */
  ed25519Sign(key: KeyPair, message: Uint8Array): Uint8Array;
  /**
   * The bare primitive, whose answer differs between libraries for hostile input. Never call it directly:
   * `verifyStrict` in ed25519.ts puts the checks in front that make all peers agree.
   */
  ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;

  x25519KeyPair(secret: Uint8Array): KeyPair;
  /** 32 bytes; null where the result is all zeros (RFC 7748 section 6.1), which a contributory protocol must refuse. */
  x25519(secret: Uint8Array, publicKey: Uint8Array): Uint8Array | null;

  /** Ciphertext followed by the 16-byte tag. `nonce` is 12 bytes. */
  chachaPolyEncrypt(key: Uint8Array, nonce: Uint8Array, associated: Uint8Array, plain: Uint8Array): Uint8Array;
  /** null where the tag is wrong. */
  chachaPolyDecrypt(key: Uint8Array, nonce: Uint8Array, associated: Uint8Array, sealed: Uint8Array): Uint8Array | null;
}

/** Fills and returns `length` bytes from a cryptographic source; simulations pass a seeded one. */
export type RandomBytes = (length: number) => Uint8Array;

/**
 * Commits and chains: what is hashed, what is signed, and what follows from it.
 *
 *   chain  = first 16 bytes of SHA-256("tidelog/1 chain" | space 32 | device 32 | nonce 8)
 *   header = space 32 | device 32 | nonce 8 | seq u64 BE | prev 32 | body hash 32        144 bytes; the body hash: body.ts
 *   sig    = Ed25519(device, "tidelog/1 commit" | header)
 *   id     = SHA-256("tidelog/1 id" | header | sig)
 *   space  = SHA-256("tidelog/1 space" | owner 32 | salt 16)
 */
import { CHAIN_ID_BYTES, COMMIT_ID_BYTES, HASH_BYTES, HEADER_BYTES, LABEL, SIGNATURE_BYTES } from './constants.ts';
import type { Crypto, KeyPair } from './crypto.ts';
import { concat, utf8, writeU64 } from './bytes.ts';

/** One device's commits in one space, in one incarnation. */
export interface ChainKey {
  readonly space: Uint8Array;
  readonly device: Uint8Array;
  readonly nonce: Uint8Array;
}

export const ZERO_ID: Uint8Array = new Uint8Array(COMMIT_ID_BYTES);

const CHAIN_LABEL = utf8(LABEL.CHAIN);
const COMMIT_LABEL = utf8(LABEL.COMMIT);
const ID_LABEL = utf8(LABEL.ID);
const SPACE_LABEL = utf8(LABEL.SPACE);

export function chainId(crypto: Crypto, chain: ChainKey): Uint8Array {
  return crypto.sha256(concat(CHAIN_LABEL, chain.space, chain.device, chain.nonce)).slice(0, CHAIN_ID_BYTES);
}

export function spaceId(crypto: Crypto, owner: Uint8Array, salt: Uint8Array): Uint8Array {
  return crypto.sha256(concat(SPACE_LABEL, owner, salt));
}

const SEQ_AT = 72;
const PREV_AT = 80;
const BODY_HASH_AT = 112;

/**
 * Computes ids along one chain. The 144 bytes of the header stay in place between two labels, and only what differs from
 * one commit to the next is written: at a million commits a second, building each header anew would cost more than its hash.
 */
export class ChainHasher {
  readonly #crypto: Crypto;
  /** "tidelog/1 id" | header | sig */
  readonly #idInput: Uint8Array;
  /** "tidelog/1 commit" | header */
  readonly #signInput: Uint8Array;
  readonly #header: Uint8Array;
  /** stem | hash of the changes; nearly all stems are of one length. */
  #bodyInput = new Uint8Array(0);

  constructor(crypto: Crypto, chain: ChainKey) {
    this.#crypto = crypto;
    this.#idInput = new Uint8Array(ID_LABEL.length + HEADER_BYTES + SIGNATURE_BYTES);
    this.#idInput.set(ID_LABEL);
    this.#signInput = new Uint8Array(COMMIT_LABEL.length + HEADER_BYTES);
    this.#signInput.set(COMMIT_LABEL);
    this.#header = this.#idInput.subarray(ID_LABEL.length, ID_LABEL.length + HEADER_BYTES);
    this.#header.set(chain.space, 0);
    this.#header.set(chain.device, 32);
    this.#header.set(chain.nonce, 64);
  }

  /** The id of one commit. */
  id(seq: number, prev: Uint8Array, bodyHash: Uint8Array, signature: Uint8Array): Uint8Array {
    this.#setHeader(seq, prev, bodyHash);
    this.#idInput.set(signature, ID_LABEL.length + HEADER_BYTES);
    return this.#crypto.sha256(this.#idInput);
  }

  /** A copy of the header of one commit. */
  header(seq: number, prev: Uint8Array, bodyHash: Uint8Array): Uint8Array {
    this.#setHeader(seq, prev, bodyHash);
    return this.#header.slice();
  }

  /** What the device signs. Valid until the next call. */
  signedBytes(seq: number, prev: Uint8Array, bodyHash: Uint8Array): Uint8Array {
    this.#setHeader(seq, prev, bodyHash);
    this.#signInput.set(this.#header, COMMIT_LABEL.length);
    return this.#signInput;
  }

  sign(key: KeyPair, seq: number, prev: Uint8Array, bodyHash: Uint8Array): Uint8Array {
    return this.#crypto.ed25519Sign(key, this.signedBytes(seq, prev, bodyHash));
  }

  // ---- along a whole run, where the header keeps what the next commit needs

  /** The id before the next commit. */
  setPrev(prev: Uint8Array): void {
    this.#header.set(prev, PREV_AT);
  }

  /** A copy of it. */
  prev(): Uint8Array {
    return this.#header.slice(PREV_AT, PREV_AT + COMMIT_ID_BYTES);
  }

  setBodyHash(seq: number, bodyHash: Uint8Array): void {
    writeU64(this.#header, SEQ_AT, seq);
    this.#header.set(bodyHash, BODY_HASH_AT);
  }

  /** The hash of the body at `at` to `end` of `raw`, whose changes begin at `changesAt` (see body.ts), put into the header. */
  hashBody(seq: number, raw: Uint8Array, at: number, changesAt: number, end: number): void {
    writeU64(this.#header, SEQ_AT, seq);
    const stemBytes = changesAt - at;
    if (this.#bodyInput.length !== stemBytes + HASH_BYTES) this.#bodyInput = new Uint8Array(stemBytes + HASH_BYTES);
    for (let i = 0; i < stemBytes; i++) this.#bodyInput[i] = raw[at + i]!;
    this.#crypto.sha256Into(raw.subarray(changesAt, end), this.#bodyInput, stemBytes);
    this.#crypto.sha256Into(this.#bodyInput, this.#header, BODY_HASH_AT);
  }

  /** What the device signs, of the commit whose body hash was put in last. Valid until the next call. */
  signedBytesHere(): Uint8Array {
    this.#signInput.set(this.#header, COMMIT_LABEL.length);
    return this.#signInput;
  }

  /** Its id, with the signature at `signatureAt` of `raw`, is the one before the next. */
  advance(raw: Uint8Array, signatureAt: number): void {
    const to = ID_LABEL.length + HEADER_BYTES;
    for (let i = 0; i < SIGNATURE_BYTES; i++) this.#idInput[to + i] = raw[signatureAt + i]!;
    this.#crypto.sha256Into(this.#idInput, this.#header, PREV_AT);
  }

  #setHeader(seq: number, prev: Uint8Array, bodyHash: Uint8Array): void {
    writeU64(this.#header, SEQ_AT, seq);
    this.#header.set(prev, PREV_AT);
    this.#header.set(bodyHash, BODY_HASH_AT);
  }
}

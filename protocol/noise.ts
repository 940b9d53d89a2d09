/**
 * Noise_XX_25519_ChaChaPoly_SHA256, after the Noise specification, revision 34. Names are the specification's.
 *
 * Owns the handshake's cryptography and the two ciphers that come of it. What the payloads say, who may send when, and
 * what becomes of the plaintext is for channel.ts and frame.ts.
 *
 *   initiator                                   responder
 *   → e                       payload in clear
 *   ← e, ee, s, es            payload encrypted, to whoever asked
 *   → s, se                   payload encrypted, to the holder of the responder's static key
 *   split: one cipher for each direction, and the handshake hash, which both sides alone share
 *
 * After anything here has thrown, that object's state is undefined: drop it.
 */
import { concat, utf8 } from './bytes.ts';
import { AEAD_TAG_BYTES, INTEGER_MAX, NOISE_MESSAGE_BYTES } from './constants.ts';
import type { Crypto, KeyPair } from './crypto.ts';
import { TidelogError } from './errors.ts';

const PROTOCOL_NAME = 'Noise_XX_25519_ChaChaPoly_SHA256';
/** A public key on the wire. */
const DH_BYTES = 32;
const NO_BYTES = new Uint8Array(0);

type Token = 'e' | 's' | 'ee' | 'es' | 'se';
/** The initiator writes the first, and then they take turns. */
const XX: readonly (readonly Token[])[] = [['e'], ['e', 'ee', 's', 'es'], ['s', 'se']];

/** One direction's key and counter (section 5.1). Throws `failure` for anything that does not decrypt. */
export class CipherState {
  readonly #crypto: Crypto;
  readonly #key: Uint8Array;
  readonly #failure: 'bad-handshake' | 'bad-frame';
  /** Messages so far. The nonce is this as 64 bits little-endian, after four zero bytes (section 12.3). */
  #count: number;
  readonly #nonce = new Uint8Array(12);

  /** @param count where to begin counting, other than at 0 in tests only */
  constructor(crypto: Crypto, key: Uint8Array, failure: 'bad-handshake' | 'bad-frame', count = 0) {
    this.#crypto = crypto;
    this.#key = key;
    this.#failure = failure;
    this.#count = count;
  }

  /** `plain` with 16 bytes more. Throws where the result would be larger than a Noise message may be. */
  encrypt(plain: Uint8Array, associated: Uint8Array = NO_BYTES): Uint8Array {
    if (plain.length > NOISE_MESSAGE_BYTES - AEAD_TAG_BYTES) {
      throw new TidelogError(this.#failure, `${plain.length} bytes do not fit in a Noise message`);
    }
    const sealed = this.#crypto.chachaPolyEncrypt(this.#key, this.#nextNonce(), associated, plain);
    this.#count++;
    return sealed;
  }

  decrypt(sealed: Uint8Array, associated: Uint8Array = NO_BYTES): Uint8Array {
    if (sealed.length < AEAD_TAG_BYTES || sealed.length > NOISE_MESSAGE_BYTES) {
      throw new TidelogError(this.#failure, `${sealed.length} bytes cannot be an encrypted message`);
    }
    const plain = this.#crypto.chachaPolyDecrypt(this.#key, this.#nextNonce(), associated, sealed);
    if (plain === null) throw new TidelogError(this.#failure, `message ${this.#count} does not decrypt`);
    this.#count++;
    return plain;
  }

  #nextNonce(): Uint8Array {
    // The specification allows 2^64 − 2, but past this a number no longer counts, and one nonce would serve twice.
    if (this.#count >= INTEGER_MAX) throw new TidelogError(this.#failure, 'this key has encrypted all that it may');
    let rest = this.#count;
    for (let i = 4; i < 12; i++) {
      this.#nonce[i] = rest % 256;
      rest = Math.floor(rest / 256);
    }
    return this.#nonce;
  }
}

/** What a handshake has agreed on so far: a chaining key, a hash of all that was sent, and a cipher once there is a secret (section 5.2). */
class SymmetricState {
  readonly #crypto: Crypto;
  #chainingKey: Uint8Array;
  #hash: Uint8Array;
  #cipher: CipherState | null = null;

  constructor(crypto: Crypto, prologue: Uint8Array) {
    this.#crypto = crypto;
    // The name is exactly 32 bytes long, and so is itself the first hash.
    this.#hash = utf8(PROTOCOL_NAME);
    this.#chainingKey = this.#hash;
    this.mixHash(prologue);
  }

  get hash(): Uint8Array {
    return this.#hash;
  }

  /** Bytes that encrypting adds at this point. */
  get tagBytes(): number {
    return this.#cipher === null ? 0 : AEAD_TAG_BYTES;
  }

  mixHash(data: Uint8Array): void {
    this.#hash = this.#crypto.sha256(concat(this.#hash, data));
  }

  mixKey(material: Uint8Array): void {
    const [chainingKey, key] = hkdf(this.#crypto, this.#chainingKey, material);
    this.#chainingKey = chainingKey;
    this.#cipher = new CipherState(this.#crypto, key, 'bad-handshake');
  }

  encryptAndHash(plain: Uint8Array): Uint8Array {
    const sealed = this.#cipher === null ? plain : this.#cipher.encrypt(plain, this.#hash);
    this.mixHash(sealed);
    return sealed;
  }

  decryptAndHash(sealed: Uint8Array): Uint8Array {
    // A copy where nothing is decrypted: what came in belongs to the transport, which may use its memory again.
    const plain = this.#cipher === null ? new Uint8Array(sealed) : this.#cipher.decrypt(sealed, this.#hash);
    this.mixHash(sealed);
    return plain;
  }

  /** The initiator's sending key first. */
  split(): [Uint8Array, Uint8Array] {
    return hkdf(this.#crypto, this.#chainingKey, NO_BYTES);
  }
}

export interface HandshakeOptions {
  readonly crypto: Crypto;
  readonly initiator: boolean;
  /** Both sides must have the same, or nothing decrypts. */
  readonly prologue: Uint8Array;
  /** X25519, kept for as long as the caller likes. */
  readonly staticKeys: KeyPair;
  /** X25519, new for each handshake; using one twice gives the session away. */
  readonly ephemeralKeys: KeyPair;
}

export interface Transport {
  readonly send: CipherState;
  readonly receive: CipherState;
  /** 32 bytes that differ for every handshake and that nobody else can make equal: what to bind other proofs to. */
  readonly handshakeHash: Uint8Array;
}

/** One side of one handshake (section 5.3): `write` and `read` in turns, three messages in all, then `split`. */
export class Handshake {
  readonly #crypto: Crypto;
  readonly #initiator: boolean;
  readonly #staticKeys: KeyPair;
  readonly #ephemeralKeys: KeyPair;
  readonly #symmetric: SymmetricState;
  #remoteStatic: Uint8Array | null = null;
  #remoteEphemeral: Uint8Array | null = null;
  /** Messages behind us: the index in XX of the next. */
  #turn = 0;

  constructor({ crypto, initiator, prologue, staticKeys, ephemeralKeys }: HandshakeOptions) {
    this.#crypto = crypto;
    this.#initiator = initiator;
    this.#staticKeys = staticKeys;
    this.#ephemeralKeys = ephemeralKeys;
    this.#symmetric = new SymmetricState(crypto, prologue);
  }

  /** The other side's X25519 static key, 32 bytes, once a message has brought it. It has proved to hold the secret when that message's `read` returns. */
  get remoteStatic(): Uint8Array | null {
    return this.#remoteStatic;
  }

  /** The next message, with `payload` in it. */
  write(payload: Uint8Array): Uint8Array {
    const parts: Uint8Array[] = [];
    for (const token of this.#nextTokens(true)) {
      if (token === 'e') {
        parts.push(this.#ephemeralKeys.public);
        this.#symmetric.mixHash(this.#ephemeralKeys.public);
      } else if (token === 's') {
        parts.push(this.#symmetric.encryptAndHash(this.#staticKeys.public));
      } else {
        this.#mixShared(token);
      }
    }
    parts.push(this.#symmetric.encryptAndHash(payload));
    this.#turn++;
    const message = concat(...parts);
    if (message.length > NOISE_MESSAGE_BYTES) {
      throw new TidelogError('bad-handshake', `${payload.length} bytes of payload do not fit in a Noise message`);
    }
    return message;
  }

  /** The payload of the other side's next message. */
  read(message: Uint8Array): Uint8Array {
    if (message.length > NOISE_MESSAGE_BYTES) {
      throw new TidelogError('bad-handshake', `${message.length} bytes are more than a Noise message holds`);
    }
    let offset = 0;
    const take = (length: number): Uint8Array => {
      if (message.length - offset < length) throw new TidelogError('bad-handshake', 'a message is cut off');
      offset += length;
      return message.subarray(offset - length, offset);
    };
    for (const token of this.#nextTokens(false)) {
      if (token === 'e') {
        this.#remoteEphemeral = new Uint8Array(take(DH_BYTES));
        this.#symmetric.mixHash(this.#remoteEphemeral);
      } else if (token === 's') {
        this.#remoteStatic = this.#symmetric.decryptAndHash(take(DH_BYTES + this.#symmetric.tagBytes));
      } else {
        this.#mixShared(token);
      }
    }
    const payload = this.#symmetric.decryptAndHash(message.subarray(offset));
    this.#turn++;
    return payload;
  }

  /** After the third message. */
  split(): Transport {
    if (this.#turn < XX.length) throw new TidelogError('bad-handshake', 'it has not ended yet');
    const [initiatorKey, responderKey] = this.#symmetric.split();
    const fromInitiator = new CipherState(this.#crypto, initiatorKey, 'bad-frame');
    const fromResponder = new CipherState(this.#crypto, responderKey, 'bad-frame');
    return {
      send: this.#initiator ? fromInitiator : fromResponder,
      receive: this.#initiator ? fromResponder : fromInitiator,
      handshakeHash: this.#symmetric.hash,
    };
  }

  #nextTokens(write: boolean): readonly Token[] {
    const tokens = XX[this.#turn];
    const initiatorWrites = this.#turn % 2 === 0;
    if (tokens === undefined || write !== (this.#initiator === initiatorWrites)) {
      throw new TidelogError(
        'bad-handshake',
        `message ${this.#turn + 1} is not for this side to ${write ? 'write' : 'read'}`,
      );
    }
    return tokens;
  }

  /** A token of two letters names whose keys are shared: the initiator's first, the responder's second. */
  #mixShared(token: 'ee' | 'es' | 'se'): void {
    const [initiators, responders] = token;
    const mine = (this.#initiator ? initiators : responders) === 'e' ? this.#ephemeralKeys : this.#staticKeys;
    const theirs = (this.#initiator ? responders : initiators) === 'e' ? this.#remoteEphemeral : this.#remoteStatic;
    // XX sends every key before the token that needs it.
    const shared = this.#crypto.x25519(mine.secret, theirs!);
    // A point of small order gives the same for every secret: the other side contributes nothing, and anyone could be it.
    if (shared === null) throw new TidelogError('bad-handshake', 'the other side sent a key that hides nothing');
    this.#symmetric.mixKey(shared);
  }
}

/** Section 4.3, with two outputs of 32 bytes. */
function hkdf(crypto: Crypto, chainingKey: Uint8Array, material: Uint8Array): [Uint8Array, Uint8Array] {
  const key = crypto.hmacSha256(chainingKey, material);
  const first = crypto.hmacSha256(key, Uint8Array.of(1));
  const second = crypto.hmacSha256(key, concat(first, Uint8Array.of(2)));
  return [first, second];
}

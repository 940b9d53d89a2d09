import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { portableCrypto } from '../../client/platform/crypto-portable.ts';
import { fromHex, toHex, utf8 } from '../../protocol/bytes.ts';
import { AEAD_TAG_BYTES, INTEGER_MAX, NOISE_MESSAGE_BYTES } from '../../protocol/constants.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { CipherState, Handshake } from '../../protocol/noise.ts';
import { sharedFile } from '../support/shared.ts';

interface NoiseVector {
  protocol_name: string;
  init_prologue: string;
  init_static: string;
  init_ephemeral: string;
  resp_prologue: string;
  resp_static: string;
  resp_ephemeral: string;
  handshake_hash: string;
  messages: { payload: string; ciphertext: string }[];
}

/** From haskell-cryptography/cacophony, vectors/cacophony.txt (Unlicense), so that one vector runs wherever the tests do. */
const CACOPHONY_XX: NoiseVector = {
  protocol_name: 'Noise_XX_25519_ChaChaPoly_SHA256',
  init_prologue: '4a6f686e2047616c74',
  init_static: 'e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1',
  init_ephemeral: '893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a',
  resp_prologue: '4a6f686e2047616c74',
  resp_static: '4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893',
  resp_ephemeral: 'bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b',
  handshake_hash: 'c8e5f64e846193be2a834104c2a009868d6c9f3bd3c186299888b488b2f1f58e',
  messages: [
    {
      payload: '4c756477696720766f6e204d69736573',
      ciphertext: 'ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79444c756477696720766f6e204d69736573',
    },
    {
      payload: '4d757272617920526f746862617264',
      ciphertext:
        '95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f14480884381cbad1f276e038c48378ffce2b65285e08d6b68aaa3629a5a8639392490e5b9bd5269c2f1e4f488ed8831161f19b7815528f8982ffe09be9b5c412f8a0db50f8814c7194e83f23dbd8d162c9326ad',
    },
    {
      payload: '462e20412e20486179656b',
      ciphertext:
        'c7195ffacac1307ff99046f219750fc47693e23c3cb08b89c2af808b444850a80ae475b9df0f169ae80a89be0865b57f58c9fea0d4ec82a286427402f113e4b6ae769a1d95941d49b25030',
    },
    { payload: '4361726c204d656e676572', ciphertext: '96763ed773f8e47bb3712f0e29b3060ffc956ffc146cee53d5e1df' },
    {
      payload: '4a65616e2d426170746973746520536179',
      ciphertext: '3e40f15f6f3a46ae446b253bf8b1d9ffb6ed9b174d272328ff91a7e2e5c79c07f5',
    },
    {
      payload: '457567656e2042f6686d20766f6e2042617765726b',
      ciphertext: 'eb3f3515110702e047a6c9da4478b6ead94873c11c0f2d710ddb3f09fce024b3a58502ae3f',
    },
  ],
};

const hex = (text: string): Uint8Array => fromHex(text)!;
const code = (code: string): unknown => expect.objectContaining({ name: 'TidelogError', code });

const shared = sharedFile('vectors/noise-cacophony.json');
const sharedVectors: NoiseVector[] =
  shared === null ? [] : (JSON.parse(readFileSync(shared, 'utf8')) as { vectors: NoiseVector[] }).vectors;

/** Of the patterns there, XX is the one that is spoken here. */
const isXX = (vector: NoiseVector): boolean => vector.protocol_name === CACOPHONY_XX.protocol_name;

describe.each([nodeCrypto, portableCrypto])('Noise XX by the $name provider', (crypto) => {
  const sides = (vector: NoiseVector) => ({
    initiator: new Handshake({
      crypto,
      initiator: true,
      prologue: hex(vector.init_prologue),
      staticKeys: crypto.x25519KeyPair(hex(vector.init_static)),
      ephemeralKeys: crypto.x25519KeyPair(hex(vector.init_ephemeral)),
    }),
    responder: new Handshake({
      crypto,
      initiator: false,
      prologue: hex(vector.resp_prologue),
      staticKeys: crypto.x25519KeyPair(hex(vector.resp_static)),
      ephemeralKeys: crypto.x25519KeyPair(hex(vector.resp_ephemeral)),
    }),
  });

  function run(vector: NoiseVector): void {
    const { initiator, responder } = sides(vector);
    const [handshakes, transports] = [vector.messages.slice(0, 3), vector.messages.slice(3)];
    for (const [i, { payload, ciphertext }] of handshakes.entries()) {
      const [from, to] = i % 2 === 0 ? [initiator, responder] : [responder, initiator];
      expect(toHex(from.write(hex(payload)))).toBe(ciphertext);
      expect(toHex(to.read(hex(ciphertext)))).toBe(payload);
    }
    expect(toHex(initiator.remoteStatic!)).toBe(toHex(crypto.x25519KeyPair(hex(vector.resp_static)).public));
    expect(toHex(responder.remoteStatic!)).toBe(toHex(crypto.x25519KeyPair(hex(vector.init_static)).public));

    const [a, b] = [initiator.split(), responder.split()];
    expect(toHex(a.handshakeHash)).toBe(vector.handshake_hash);
    expect(toHex(b.handshakeHash)).toBe(vector.handshake_hash);
    for (const [i, { payload, ciphertext }] of transports.entries()) {
      // The turns go on: the responder is next after three messages.
      const [from, to] = i % 2 === 0 ? [b, a] : [a, b];
      expect(toHex(from.send.encrypt(hex(payload)))).toBe(ciphertext);
      expect(toHex(to.receive.decrypt(hex(ciphertext)))).toBe(payload);
    }
  }

  test('the vector of cacophony, as copied here', () => run(CACOPHONY_XX));

  test.skipIf(shared === null)(
    shared === null ? 'cacophony (skipped: ../shared/vectors is not here)' : 'cacophony, from ../shared/vectors',
    () => {
      const vectors = sharedVectors.filter(isXX);
      expect(vectors).toHaveLength(1);
      for (const vector of vectors) run(vector);
    },
  );

  test('another prologue is found out at the first encrypted message', () => {
    const { initiator, responder } = sides({ ...CACOPHONY_XX, resp_prologue: '00' });
    responder.read(initiator.write(utf8('')));
    const second = responder.write(utf8(''));
    expect(() => initiator.read(second)).toThrow(code('bad-handshake'));
  });

  test('a flipped bit in any byte of the second message is found', () => {
    const length = 32 + 48 + 16;
    for (let at = 0; at < length; at += crypto === portableCrypto ? 31 : 1) {
      const { initiator, responder } = sides(CACOPHONY_XX);
      responder.read(initiator.write(utf8('')));
      const second = responder.write(utf8(''));
      expect(second.length).toBe(length);
      second[at]! ^= 1;
      expect(() => initiator.read(second), `byte ${at}`).toThrow(code('bad-handshake'));
    }
  });

  test('a message that is cut off anywhere, or too long, is refused', () => {
    const { initiator, responder } = sides(CACOPHONY_XX);
    const first = initiator.write(utf8(''));
    for (let length = 0; length < first.length; length++) {
      expect(() => sides(CACOPHONY_XX).responder.read(first.subarray(0, length))).toThrow(code('bad-handshake'));
    }
    expect(() => sides(CACOPHONY_XX).responder.read(new Uint8Array(NOISE_MESSAGE_BYTES + 1))).toThrow(
      code('bad-handshake'),
    );
    expect(() => sides(CACOPHONY_XX).initiator.write(new Uint8Array(NOISE_MESSAGE_BYTES - 31))).toThrow(
      code('bad-handshake'),
    );
    responder.read(first);
    const second = responder.write(utf8(''));
    for (const length of [0, 31, 32, 79, 80, second.length - 1]) {
      const again = sides(CACOPHONY_XX).initiator;
      again.write(utf8(''));
      expect(() => again.read(second.subarray(0, length))).toThrow(code('bad-handshake'));
    }
  });

  test('a key of small order is refused', () => {
    const { responder } = sides(CACOPHONY_XX);
    responder.read(new Uint8Array(32));
    expect(() => responder.write(utf8(''))).toThrow(code('bad-handshake'));
  });

  test('nothing is kept of a message that was read', () => {
    const { initiator, responder } = sides(CACOPHONY_XX);
    const lend = (to: Handshake, message: Uint8Array): void => {
      to.read(message);
      message.fill(0xee);
    };
    lend(responder, initiator.write(utf8('')));
    lend(initiator, responder.write(utf8('')));
    lend(responder, initiator.write(utf8('')));
    expect(initiator.split().handshakeHash).toEqual(responder.split().handshakeHash);
  });

  test('turns are kept', () => {
    const { initiator, responder } = sides(CACOPHONY_XX);
    expect(() => responder.write(utf8(''))).toThrow(code('bad-handshake'));
    expect(() => initiator.read(new Uint8Array(32))).toThrow(code('bad-handshake'));
    expect(() => initiator.split()).toThrow(code('bad-handshake'));
    initiator.write(utf8(''));
    expect(() => initiator.write(utf8(''))).toThrow(code('bad-handshake'));
  });
});

describe('a transport cipher', () => {
  const key = new Uint8Array(32).fill(3);
  const cipher = (count?: number, crypto: Crypto = nodeCrypto): CipherState =>
    new CipherState(crypto, key, 'bad-frame', count);

  test('repeated, reordered, altered or short messages are a bad-frame', () => {
    const send = cipher();
    const [first, second] = [send.encrypt(utf8('one')), send.encrypt(utf8('two'))];
    expect(() => cipher().decrypt(second)).toThrow(code('bad-frame'));
    const receive = cipher();
    receive.decrypt(first);
    expect(() => receive.decrypt(first)).toThrow(code('bad-frame'));
    expect(() => cipher().decrypt(first.map((byte, i) => (i === 0 ? byte ^ 1 : byte)))).toThrow(code('bad-frame'));
    for (let length = 0; length < AEAD_TAG_BYTES; length++) {
      expect(() => cipher().decrypt(new Uint8Array(length))).toThrow(code('bad-frame'));
    }
  });

  test('the size of a Noise message is the limit of both directions', () => {
    const plain = new Uint8Array(NOISE_MESSAGE_BYTES - AEAD_TAG_BYTES);
    expect(cipher().decrypt(cipher().encrypt(plain))).toEqual(plain);
    expect(() => cipher().encrypt(new Uint8Array(plain.length + 1))).toThrow(code('bad-frame'));
    expect(() => cipher().decrypt(new Uint8Array(NOISE_MESSAGE_BYTES + 1))).toThrow(code('bad-frame'));
  });

  test('the nonce is the count, 64 bits little-endian after four zero bytes', () => {
    const nonces: string[] = [];
    const recording: Crypto = {
      ...nodeCrypto,
      chachaPolyEncrypt: (_key, nonce) => {
        nonces.push(toHex(nonce));
        return new Uint8Array(AEAD_TAG_BYTES);
      },
    };
    for (const count of [0, 258, 2 ** 32 + 1, INTEGER_MAX - 1]) cipher(count, recording).encrypt(utf8(''));
    expect(nonces).toEqual([
      '000000000000000000000000',
      '000000000201000000000000',
      '000000000100000001000000',
      '00000000feffffffffff1f00',
    ]);
  });

  test('a key is spent before its count is no longer exact', () => {
    const send = cipher(INTEGER_MAX - 1);
    send.encrypt(utf8('last'));
    expect(() => send.encrypt(utf8('one too many'))).toThrow(code('bad-frame'));
    expect(() => cipher(INTEGER_MAX).decrypt(new Uint8Array(16))).toThrow(code('bad-frame'));
  });
});

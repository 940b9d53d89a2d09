/** Every provider of `Crypto` passes the same vectors, and any two give the same answer to everything. */
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { portableCrypto } from '../../client/platform/crypto-portable.ts';
import { randomBytes } from '../../client/platform/random.ts';
import { concat, fromHex, toHex, utf8 } from '../../protocol/bytes.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { verifyStrict } from '../../protocol/ed25519.ts';
import { sharedFile } from '../support/shared.ts';

const providers = [nodeCrypto, portableCrypto];
const hex = (text: string): Uint8Array => fromHex(text)!;

interface Wycheproof<Group> {
  testGroups: Group[];
}

/** Runs `body` with a file of ../shared/vectors, or skips and says so. */
function withVectors<T>(file: string, body: (vectors: T) => void): void {
  const path = sharedFile(`vectors/${file}`);
  test.skipIf(path === null)(path === null ? `${file} (skipped: ../shared/vectors is not here)` : file, () => {
    body(JSON.parse(readFileSync(path!, 'utf8')) as T);
  });
}

describe.each(providers)('the $name provider', (crypto) => {
  describe('SHA-256 and HMAC', () => {
    test('FIPS 180-4, and lengths around a block', () => {
      expect(toHex(crypto.sha256(utf8('abc')))).toBe(
        'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
      );
      expect(toHex(crypto.sha256(utf8('')))).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
      const million = new Uint8Array(1_000_000).fill(0x61);
      expect(toHex(crypto.sha256(million))).toBe('cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0');
    });

    test('RFC 4231, cases 1, 2 and 6', () => {
      const mac = (key: Uint8Array, data: string): string => toHex(crypto.hmacSha256(key, utf8(data)));
      expect(mac(new Uint8Array(20).fill(0x0b), 'Hi There')).toBe(
        'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7',
      );
      expect(mac(utf8('Jefe'), 'what do ya want for nothing?')).toBe(
        '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
      );
      expect(mac(new Uint8Array(131).fill(0xaa), 'Test Using Larger Than Block-Size Key - Hash Key First')).toBe(
        '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
      );
    });

    interface HkdfGroup {
      tests: { tcId: number; ikm: string; salt: string; info: string; size: number; okm: string; result: string }[];
    }
    withVectors<Wycheproof<HkdfGroup>>('wycheproof-hkdf_sha256.json', ({ testGroups }) => {
      for (const { tcId, ikm, salt, info, size, okm, result } of testGroups.flatMap((group) => group.tests)) {
        // The invalid ones ask for more than 255 blocks, which is a question to an HKDF and not to an HMAC.
        if (result !== 'valid') continue;
        const key = crypto.hmacSha256(salt === '' ? new Uint8Array(32) : hex(salt), hex(ikm));
        let block = new Uint8Array(0);
        let out = block;
        for (let i = 1; out.length < size; i++) {
          block = new Uint8Array(crypto.hmacSha256(key, concat(block, hex(info), Uint8Array.of(i))));
          out = new Uint8Array(concat(out, block));
        }
        expect(toHex(out.subarray(0, size)), `tcId ${tcId}`).toBe(okm);
      }
    });
  });

  describe('Ed25519', () => {
    test.each([
      [
        '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
        'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
        '',
        'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
      ],
      [
        '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
        '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
        '72',
        '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
      ],
      [
        'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
        'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
        'af82',
        '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
      ],
    ])('RFC 8032, seed %s', (seed, publicKey, message, signature) => {
      const pair = crypto.ed25519KeyPair(hex(seed));
      expect(toHex(pair.public)).toBe(publicKey);
      expect(toHex(pair.secret)).toBe(seed);
      expect(toHex(crypto.ed25519Sign(pair, hex(message)))).toBe(signature);
      // A pair that was read from a file is as good as one that this provider made.
      const read = { secret: hex(seed), public: hex(publicKey) };
      for (let again = 0; again < 2; again++) expect(toHex(crypto.ed25519Sign(read, hex(message)))).toBe(signature);
      expect(verifyStrict(crypto, pair.public, hex(message), hex(signature))).toBe(true);
      expect(verifyStrict(crypto, pair.public, hex(`${message}00`), hex(signature))).toBe(false);
    });

    test('more keys than are kept ready', () => {
      const signers = Array.from({ length: crypto === nodeCrypto ? 600 : 3 }, (_, i) =>
        nodeCrypto.ed25519KeyPair(nodeCrypto.sha256(Uint8Array.of(i & 255, i >> 8))),
      );
      const message = utf8('tide');
      const signatures = signers.map((pair) => nodeCrypto.ed25519Sign(pair, message));
      for (let round = 0; round < 2; round++) {
        for (const [i, { public: key }] of signers.entries()) {
          expect(verifyStrict(crypto, key, message, signatures[i]!)).toBe(true);
          expect(verifyStrict(crypto, key, message, signatures[(i + 1) % signers.length]!)).toBe(false);
        }
      }
    });

    test('a caller that changes a key buffer afterwards is not answered from the old one', () => {
      const [one, two] = [1, 2].map((fill) => nodeCrypto.ed25519KeyPair(new Uint8Array(32).fill(fill)));
      const message = utf8('tide');
      const signature = nodeCrypto.ed25519Sign(one!, message);
      const buffer = new Uint8Array(one!.public);
      expect(verifyStrict(crypto, buffer, message, signature)).toBe(true);
      buffer.set(two!.public);
      expect(verifyStrict(crypto, buffer, message, signature)).toBe(false);
    });

    interface EdGroup {
      publicKey: { pk: string };
      tests: { tcId: number; comment: string; msg: string; sig: string; result: string }[];
    }
    // The strict rule refuses none of the 88 that are valid: each has an ordinary key and an honest signature.
    withVectors<Wycheproof<EdGroup>>('wycheproof-ed25519.json', ({ testGroups }) => {
      for (const { publicKey, tests } of testGroups) {
        for (const { tcId, comment, msg, sig, result } of tests) {
          const verified = verifyStrict(crypto, hex(publicKey.pk), hex(msg), hex(sig));
          expect(verified, `tcId ${tcId} ${comment}`).toBe(result === 'valid');
        }
      }
    });

    interface SpecCheckCase {
      message: string;
      pub_key: string;
      signature: string;
    }
    const SPECCHECK: [boolean, string][] = [
      [false, 'A of small order; S = 0, so that the signature fits any message'],
      [false, 'A of small order'],
      [false, 'R of small order, as libsodium refuses it'],
      [true, 'A and R of mixed order, and the equation holds without the cofactor'],
      [false, 'the equation holds only when multiplied by the cofactor'],
      [false, 'the equation holds only when multiplied by the cofactor, R of order L'],
      [false, 'S > L'],
      [false, 'S far above L'],
      [false, 'R not canonical, hashed as it came'],
      [false, 'R not canonical, hashed as its canonical form'],
      [false, 'A not canonical, hashed as its canonical form'],
      [false, 'A not canonical, hashed as it came'],
    ];
    withVectors<SpecCheckCase[]>('ed25519-speccheck.json', (cases) => {
      const verdicts = cases.map((each) =>
        verifyStrict(crypto, hex(each.pub_key), hex(each.message), hex(each.signature)),
      );
      expect(verdicts.map((verified, i) => [verified, SPECCHECK[i]![1]])).toEqual(SPECCHECK);
    });
  });

  describe('X25519', () => {
    test('RFC 7748, section 6.1', () => {
      const alice = crypto.x25519KeyPair(hex('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a'));
      const bob = crypto.x25519KeyPair(hex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb'));
      expect(toHex(alice.public)).toBe('8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a');
      expect(toHex(bob.public)).toBe('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f');
      const shared = '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742';
      expect(toHex(crypto.x25519(alice.secret, bob.public)!)).toBe(shared);
      expect(toHex(crypto.x25519(bob.secret, alice.public)!)).toBe(shared);
    });

    test('a key of small order gives null', () => {
      const secret = new Uint8Array(32).fill(5);
      for (const u of ['00'.repeat(32), `01${'00'.repeat(31)}`, `ec${'ff'.repeat(30)}7f`, `ed${'ff'.repeat(30)}7f`]) {
        expect(crypto.x25519(secret, hex(u)), u).toBeNull();
      }
    });

    interface XdhGroup {
      tests: { tcId: number; public: string; private: string; shared: string }[];
    }
    // The "acceptable" ones count like the others, except where the result is zero.
    withVectors<Wycheproof<XdhGroup>>('wycheproof-x25519.json', ({ testGroups }) => {
      for (const { tcId, public: publicKey, private: secret, shared } of testGroups.flatMap((group) => group.tests)) {
        const result = crypto.x25519(hex(secret), hex(publicKey));
        expect(result === null ? '00'.repeat(32) : toHex(result), `tcId ${tcId}`).toBe(shared);
      }
    });
  });

  describe('ChaCha20-Poly1305', () => {
    const RFC8439 = {
      key: hex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f'),
      nonce: hex('070000004041424344454647'),
      associated: hex('50515253c0c1c2c3c4c5c6c7'),
      plain: utf8(
        "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
      ),
      sealed: hex(
        'd31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691',
      ),
    };

    test('RFC 8439, section 2.8.2', () => {
      const { key, nonce, associated, plain, sealed } = RFC8439;
      expect(toHex(crypto.chachaPolyEncrypt(key, nonce, associated, plain))).toBe(toHex(sealed));
      expect(crypto.chachaPolyDecrypt(key, nonce, associated, sealed)).toEqual(plain);
    });

    test('a flipped bit anywhere, and every shorter length, gives null', () => {
      const { key, nonce, associated, sealed } = RFC8439;
      for (let at = 0; at < sealed.length; at++) {
        const altered = sealed.map((byte, i) => (i === at ? byte ^ 0x80 : byte));
        expect(crypto.chachaPolyDecrypt(key, nonce, associated, altered)).toBeNull();
        expect(crypto.chachaPolyDecrypt(key, nonce, associated, sealed.subarray(0, at))).toBeNull();
      }
      expect(crypto.chachaPolyDecrypt(key, nonce, utf8('other'), sealed)).toBeNull();
      expect(crypto.chachaPolyDecrypt(key, nonce, new Uint8Array(0), sealed)).toBeNull();
    });

    interface AeadGroup {
      ivSize: number;
      tests: {
        tcId: number;
        key: string;
        iv: string;
        aad: string;
        msg: string;
        ct: string;
        tag: string;
        result: string;
      }[];
    }
    withVectors<Wycheproof<AeadGroup>>('wycheproof-chacha20_poly1305.json', ({ testGroups }) => {
      // Noise has no other nonce than of 12 bytes, and a caller with one has a fault.
      for (const { tests } of testGroups.filter((group) => group.ivSize === 96)) {
        for (const { tcId, key, iv, aad, msg, ct, tag, result } of tests) {
          const sealed = hex(ct + tag);
          const plain = crypto.chachaPolyDecrypt(hex(key), hex(iv), hex(aad), sealed);
          expect(plain === null ? 'invalid' : toHex(plain), `tcId ${tcId}`).toBe(result === 'valid' ? msg : 'invalid');
          if (result !== 'valid') continue;
          expect(toHex(crypto.chachaPolyEncrypt(hex(key), hex(iv), hex(aad), hex(msg)))).toBe(toHex(sealed));
        }
      }
    });
  });

  test('answers are plain byte arrays with memory of their own', () => {
    const data = new Uint8Array(100);
    const key = new Uint8Array(32).fill(1);
    const pair = crypto.ed25519KeyPair(key);
    const x = crypto.x25519KeyPair(key);
    const sealed = crypto.chachaPolyEncrypt(key, data.subarray(0, 12), data, data);
    const answers = {
      sha256: crypto.sha256(data),
      hmac: crypto.hmacSha256(key, data),
      signature: crypto.ed25519Sign(pair, data),
      edPublic: pair.public,
      edSecret: pair.secret,
      xPublic: x.public,
      xSecret: x.secret,
      shared: crypto.x25519(key, x.public)!,
      sealed,
      opened: crypto.chachaPolyDecrypt(key, data.subarray(0, 12), data, sealed)!,
    };
    for (const [name, bytes] of Object.entries(answers)) {
      expect(Object.getPrototypeOf(bytes), name).toBe(Uint8Array.prototype);
      expect(bytes.buffer.byteLength, name).toBeLessThanOrEqual(bytes.length + 16);
      expect(bytes.buffer, name).not.toBe(key.buffer);
    }
  });
});

test('the providers agree on bytes from anywhere in a buffer', () => {
  const at = (offset: number, bytes: Uint8Array): Uint8Array => {
    const buffer = new Uint8Array(offset + bytes.length);
    buffer.set(bytes, offset);
    return buffer.subarray(offset);
  };
  const all = <T>(f: (crypto: Crypto) => T): [T, T] => [f(nodeCrypto), f(portableCrypto)];
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  fc.assert(
    fc.property(fc.nat(7), bytes(32), bytes(12), fc.uint8Array({ maxLength: 300 }), (offset, key32, nonce12, some) => {
      const [key, nonce, data] = [at(offset, key32), at(offset, nonce12), at(offset, some)];
      const agree = <T>([node, portable]: [T, T]): T => {
        expect(portable).toEqual(node);
        return node;
      };
      agree(all((crypto) => crypto.sha256(data)));
      agree(all((crypto) => crypto.hmacSha256(data, key)));
      const pair = agree(all((crypto) => crypto.ed25519KeyPair(key)));
      const signature = agree(all((crypto) => crypto.ed25519Sign(pair, data)));
      expect(all((crypto) => verifyStrict(crypto, pair.public, data, signature))).toEqual([true, true]);
      const x = agree(all((crypto) => crypto.x25519KeyPair(key)));
      agree(all((crypto) => crypto.x25519(key, x.public)));
      const sealed = agree(all((crypto) => crypto.chachaPolyEncrypt(key, nonce, data, data)));
      agree(all((crypto) => crypto.chachaPolyDecrypt(key, nonce, data, at(offset, sealed))));
    }),
    { numRuns: 40 },
  );
});

test('random bytes have the length asked for, and are not the same twice', () => {
  for (const length of [0, 1, 32, 65_536, 200_000]) expect(randomBytes(length)).toHaveLength(length);
  expect(toHex(randomBytes(32))).not.toBe(toHex(randomBytes(32)));
  // The platform fills 65,536 bytes at most in one call; the rest must not stay zero.
  expect(
    randomBytes(200_000)
      .subarray(-32)
      .some((byte) => byte !== 0),
  ).toBe(true);
});

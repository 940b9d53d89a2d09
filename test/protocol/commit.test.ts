import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { portableCrypto } from '../../client/platform/crypto-portable.ts';
import { toHex } from '../../protocol/bytes.ts';
import { chainId, ChainHasher, spaceId, ZERO_ID } from '../../protocol/commit.ts';
import { verifyStrict } from '../../protocol/ed25519.ts';
import { bytes, bytesOf, deviceOf } from '../support/protocol.ts';

// Written a second time with Node's Buffers and OpenSSL alone, from the words of the design.
const sha256 = (...parts: (string | Uint8Array)[]): Buffer =>
  createHash('sha256')
    .update(Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part))))
    .digest();
function headerByOffsets(fields: Record<'space' | 'device' | 'nonce' | 'prev' | 'bodyHash', Uint8Array>, seq: number) {
  const header = Buffer.alloc(144);
  header.set(fields.space, 0);
  header.set(fields.device, 32);
  header.set(fields.nonce, 64);
  header.writeBigUInt64BE(BigInt(seq), 72);
  header.set(fields.prev, 80);
  header.set(fields.bodyHash, 112);
  return header;
}

const device = deviceOf('alice');
const space = bytesOf('space', 32);
const nonce = bytesOf('nonce', 8);
const key = { space, device: device.public, nonce };

describe.each([nodeCrypto, portableCrypto])('with the $name provider', (crypto) => {
  test('the ids of spaces and chains', () => {
    const salt = bytesOf('salt', 16);
    expect(toHex(spaceId(crypto, device.public, salt))).toBe(
      sha256('tidelog/1 space', device.public, salt).toString('hex'),
    );
    expect(toHex(chainId(crypto, key))).toBe(
      sha256('tidelog/1 chain', space, device.public, nonce).subarray(0, 16).toString('hex'),
    );
    expect(chainId(crypto, key).buffer.byteLength).toBe(16);
  });

  test('header, signature and id', () => {
    const hasher = new ChainHasher(crypto, key);
    const prev = bytesOf('prev', 32);
    const bodyHash = bytesOf('body', 32);
    const seq = 2 ** 40 + 258;
    const header = headerByOffsets({ ...key, prev, bodyHash }, seq);
    expect(toHex(hasher.header(seq, prev, bodyHash))).toBe(header.toString('hex'));

    const privateKey = createPrivateKey({
      key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), device.secret]),
      format: 'der',
      type: 'pkcs8',
    });
    const signature = hasher.sign(device, seq, prev, bodyHash);
    const signed = Buffer.concat([Buffer.from('tidelog/1 commit'), header]);
    expect(toHex(signature)).toBe(sign(null, signed, privateKey).toString('hex'));
    expect(verify(null, signed, createPublicKey(privateKey), signature)).toBe(true);
    expect(verifyStrict(crypto, device.public, hasher.signedBytes(seq, prev, bodyHash), signature)).toBe(true);

    expect(toHex(hasher.id(seq, prev, bodyHash, signature))).toBe(
      sha256('tidelog/1 id', header, signature).toString('hex'),
    );
  });

  test('one hasher for many commits gives what a new one would', () => {
    const shared = new ChainHasher(crypto, key);
    const commit = fc.tuple(fc.maxSafeNat(), bytes(32), bytes(32), bytes(64));
    fc.assert(
      fc.property(fc.array(commit, { minLength: 1, maxLength: 5 }), (commits) => {
        for (const [seq, prev, bodyHash, signature] of commits) {
          const header = headerByOffsets({ ...key, prev, bodyHash }, seq);
          expect(toHex(shared.id(seq, prev, bodyHash, signature))).toBe(
            sha256('tidelog/1 id', header, signature).toString('hex'),
          );
          expect(toHex(shared.signedBytes(seq, prev, bodyHash))).toBe(
            Buffer.concat([Buffer.from('tidelog/1 commit'), header]).toString('hex'),
          );
        }
      }),
      { numRuns: 50 },
    );
  });
});

test('a header is a copy, and later commits leave it alone', () => {
  const hasher = new ChainHasher(nodeCrypto, key);
  const header = hasher.header(1, ZERO_ID, bytesOf('a', 32));
  const before = toHex(header);
  hasher.header(2, bytesOf('b', 32), bytesOf('c', 32));
  hasher.id(3, bytesOf('b', 32), bytesOf('c', 32), bytesOf('d', 64));
  expect(toHex(header)).toBe(before);
});

test('a signature is for one place in one chain of one space only', () => {
  const prev = bytesOf('prev', 32);
  const bodyHash = bytesOf('body', 32);
  const signature = new ChainHasher(nodeCrypto, key).sign(device, 7, prev, bodyHash);
  const isGood = (chain: typeof key, seq: number, before: Uint8Array, hash: Uint8Array): boolean =>
    verifyStrict(
      nodeCrypto,
      device.public,
      new ChainHasher(nodeCrypto, chain).signedBytes(seq, before, hash),
      signature,
    );
  expect(isGood(key, 7, prev, bodyHash)).toBe(true);
  expect(isGood({ ...key, space: bytesOf('other', 32) }, 7, prev, bodyHash)).toBe(false);
  expect(isGood({ ...key, nonce: bytesOf('other', 8) }, 7, prev, bodyHash)).toBe(false);
  expect(isGood({ ...key, device: deviceOf('bob').public }, 7, prev, bodyHash)).toBe(false);
  expect(isGood(key, 8, prev, bodyHash)).toBe(false);
  expect(isGood(key, 7, bodyHash, bodyHash)).toBe(false);
  expect(isGood(key, 7, prev, prev)).toBe(false);
});

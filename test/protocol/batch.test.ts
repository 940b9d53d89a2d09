import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeBatch, encodeBatch, type Batch, type BatchChain, type BatchEntry } from '../../protocol/batch.ts';
import { toHex } from '../../protocol/bytes.ts';
import { BATCH_ENTRIES_MAX, BATCH_RAW_BYTES_MAX } from '../../protocol/constants.ts';
import { encode } from '../../protocol/msgpack.ts';
import { bytes, bytesOf, count, hex, orRefused, refusal, withCode } from '../support/protocol.ts';

const chain: BatchChain = { device: bytesOf('device', 32), nonce: bytesOf('nonce', 8), seq: 5, id: bytesOf('id', 32) };
const signature = bytesOf('signature', 64);
const hash = bytesOf('hash', 32);

test('the bytes, by hand', () => {
  const other = bytesOf('other', 64);
  const batch: Batch = {
    chains: [chain],
    entries: [
      { kind: 'commit', chain: 0, signature, body: hex('0102') },
      { kind: 'gap', chain: 0, seq: 9, id: hash },
      { kind: 'erased', chain: 0, signature: other, stem: hex('930190'), changesHash: hash },
    ],
  };
  const raw = encodeBatch(batch);
  expect(toHex(raw)).toBe(
    toHex(
      hex(`93 91 94 c420${toHex(chain.device)} c408${toHex(chain.nonce)} 05 c420${toHex(chain.id)}
           93 92 00 c4020102   93 00 09 c420${toHex(hash)}   93 00 c403930190 c420${toHex(hash)}
           c480 ${toHex(signature)} ${toHex(other)}`),
    ),
  );
  expect(decodeBatch(raw)).toEqual(batch);
});

const someBatch: fc.Arbitrary<Batch> = fc
  .array(fc.record({ device: bytes(32), nonce: bytes(8), seq: count, id: bytes(32) }), { minLength: 1, maxLength: 4 })
  .chain((chains) => {
    const index = fc.nat(chains.length - 1);
    const entry = fc.oneof<fc.Arbitrary<BatchEntry>[]>(
      fc.record({ kind: fc.constant('commit'), chain: index, signature: bytes(64), body: fc.uint8Array() }),
      fc.record({
        kind: fc.constant('erased'),
        chain: index,
        signature: bytes(64),
        stem: fc.uint8Array(),
        changesHash: bytes(32),
      }),
      fc.record({ kind: fc.constant('gap'), chain: index, seq: count.filter((seq) => seq > 0), id: bytes(32) }),
    );
    return fc.record({
      chains: fc.constant(chains),
      entries: fc.array(entry, { minLength: chains.length, maxLength: 10 }),
    });
  });

test('encoding and decoding is nothing', () => {
  expect(decodeBatch(encodeBatch({ chains: [], entries: [] }))).toEqual({ chains: [], entries: [] });
  fc.assert(
    fc.property(someBatch, (batch) => {
      expect(decodeBatch(encodeBatch(batch))).toEqual(batch);
    }),
  );
});

describe('what is refused', () => {
  const chains = [[chain.device, chain.nonce, 5, chain.id]];
  test.each<[string, unknown, string]>([
    ['no array', { chains }, 'not [chains'],
    ['an array of two', [chains, [[0, hash]]], 'not [chains'],
    ['an array of four', [chains, [[0, hash]], signature, 1], 'not [chains'],
    ['chains that are no array', [{}, [[0, hash]], signature], 'not [chains'],
    ['entries that are no array', [chains, hash, signature], 'not [chains'],
    ['signatures in an array', [chains, [[0, hash]], [signature]], 'not [chains'],
    ['more chains than entries', [[...chains, ...chains], [[0, hash]], signature], 'more chains'],
    ['a chain of three', [[[chain.device, chain.nonce, 5]], [[0, hash]], signature], 'a chain is not'],
    ['a chain of five', [[[chain.device, chain.nonce, 5, chain.id, 1]], [[0, hash]], signature], 'a chain is not'],
    ['a short device key', [[[hash.slice(1), chain.nonce, 5, chain.id]], [[0, hash]], signature], 'device key'],
    ['a device key of text', [[['x'.repeat(32), chain.nonce, 5, chain.id]], [[0, hash]], signature], 'device key'],
    ['a long nonce', [[[chain.device, new Uint8Array(9), 5, chain.id]], [[0, hash]], signature], 'nonce'],
    ['a seq below 0', [[[chain.device, chain.nonce, -1, chain.id]], [[0, hash]], signature], 'seq'],
    ['a seq of 1.5', [[[chain.device, chain.nonce, 1.5, chain.id]], [[0, hash]], signature], 'seq'],
    ['a short id', [[[chain.device, chain.nonce, 5, chain.id.slice(1)]], [[0, hash]], signature], 'id of other'],
    ['an entry of one', [chains, [[0]], signature], 'two or three'],
    ['an entry of four', [chains, [[0, null, hash, 1]], signature], 'two or three'],
    ['an entry of bytes', [chains, [hash.slice(0, 2)], signature], 'two or three'],
    ['a chain that is not listed', [chains, [[1, hash]], signature], 'does not list'],
    ['a chain below 0', [chains, [[-1, hash]], signature], 'does not list'],
    ['a chain of 0.5', [chains, [[0.5, hash]], signature], 'does not list'],
    ['a body of text', [chains, [[0, 'body']], signature], 'not bytes'],
    ['a short hash', [chains, [[0, null, hash.slice(1)]], signature], 'hash of other'],
    ['a gap to 0', [chains, [[0, 0, hash]], new Uint8Array(0)], 'gap'],
    ['a gap below 0', [chains, [[0, -4, hash]], new Uint8Array(0)], 'gap'],
    ['a gap to false', [chains, [[0, false, hash]], new Uint8Array(0)], 'gap'],
    ['no signature', [chains, [[0, hash]], new Uint8Array(0)], 'too few'],
    ['a cut signature', [chains, [[0, hash]], signature.slice(1)], 'too few'],
    [
      'no signature for what was erased',
      [
        chains,
        [
          [0, hash],
          [0, hash, hash],
        ],
        signature,
      ],
      'too few',
    ],
    ['a signature for a gap', [chains, [[0, 9, hash]], signature], 'too many'],
    ['a byte after the signatures', [chains, [[0, hash]], new Uint8Array(65)], 'too many'],
    ['an array in a body’s place', [chains, [[0, [[[1]]]]], signature], 'too deep'],
  ])('%s', (_, fields, why) => {
    const { code, message } = refusal(() => decodeBatch(encode(fields)));
    expect(code).toBe('bad-batch');
    expect(message).toContain(why);
  });

  test('too many entries, or too many bytes', () => {
    const entries = (length: number): unknown => [
      chains,
      Array.from({ length }, () => [0, 9, hash]),
      new Uint8Array(0),
    ];
    expect(decodeBatch(encode(entries(BATCH_ENTRIES_MAX))).entries).toHaveLength(BATCH_ENTRIES_MAX);
    expect(() => decodeBatch(encode(entries(BATCH_ENTRIES_MAX + 1)))).toThrow(withCode('batch-too-large'));
    expect(() => decodeBatch(new Uint8Array(BATCH_RAW_BYTES_MAX + 1))).toThrow(withCode('batch-too-large'));
  });
});

test('any bytes give a batch or a refusal', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), someBatch, fc.nat(), fc.nat(255), (any, valid, at, byte) => {
      orRefused(() => decodeBatch(any));
      const altered = encodeBatch(valid);
      altered[at % altered.length] = byte;
      const decoded = orRefused(() => decodeBatch(altered));
      if (decoded) expect(decodeBatch(encodeBatch(decoded))).toEqual(decoded);
    }),
    { numRuns: 1000 },
  );
});

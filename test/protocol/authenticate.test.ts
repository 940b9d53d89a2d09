import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { portableCrypto } from '../../client/platform/crypto-portable.ts';
import { authenticate, linkKnown, type AuthenticBatch } from '../../protocol/authenticate.ts';
import { decodeBatch, encodeBatch, type Batch, type BatchEntry } from '../../protocol/batch.ts';
import { toHex } from '../../protocol/bytes.ts';
import { chainId } from '../../protocol/commit.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { bodyOf, TestChain } from '../support/chains.ts';
import { bytesOf, crypto, hex, orRefused, refusal } from '../support/protocol.ts';

const space = bytesOf('space', 32);
const chainOf = (name: string, commits: number): TestChain => {
  const chain = new TestChain(space, name);
  for (let i = 1; i <= commits; i++) chain.write(bodyOf(`${name} ${i}`));
  return chain;
};
const alice = chainOf('alice', 6);
const bob = chainOf('bob', 6);

/** Counts what the rule is meant to save. */
const counting = (): { crypto: Crypto; verified: () => number } => {
  let verified = 0;
  return {
    crypto: {
      ...crypto,
      ed25519Verify: (...args) => {
        verified++;
        return crypto.ed25519Verify(...args);
      },
    },
    verified: () => verified,
  };
};
const check = (batch: Batch): AuthenticBatch => authenticate(crypto, space, batch);
const codeOf = (batch: Batch): string => refusal(() => check(batch)).code;
const altered = (bytes: Uint8Array, at = 0): Uint8Array => bytes.with(at, bytes[at]! ^ 1);
const replace = (batch: Batch, at: number, change: (entry: BatchEntry) => BatchEntry): Batch => ({
  ...batch,
  entries: batch.entries.with(at, change(batch.entries[at]!)),
});

describe('good runs', () => {
  test('ids, places and bodies are those of the chain, and one signature vouches for all', () => {
    const { crypto: counted, verified } = counting();
    const { chains, entries } = authenticate(counted, space, alice.batch());
    expect(chains).toEqual([
      { id: chainId(crypto, { space, device: alice.device.public, nonce: alice.nonce }), device: alice.device.public, nonce: alice.nonce, seqBefore: 0, idBefore: new Uint8Array(32) }, // prettier-ignore
    ]);
    expect(entries.map(({ seq, id }) => [seq, toHex(id)])).toEqual(
      alice.commits.map(({ seq, id }) => [seq, toHex(id)]),
    );
    expect(entries).toEqual(
      alice.commits.map(({ seq, prev, id, signature, body, bodyHash }) =>
        expect.objectContaining({ kind: 'commit', chain: chains[0], seq, prev, id, signature, body, bodyHash }),
      ),
    );
    expect(verified()).toBe(1);
  });

  test('a run that begins in the middle, and a run of one', () => {
    expect(check(alice.batch(4)).entries.map(({ id }) => id)).toEqual(alice.commits.slice(3).map(({ id }) => id));
    expect(check(alice.batch(6)).entries).toHaveLength(1);
  });

  test('every provider judges alike', () => {
    expect(authenticate(portableCrypto, space, alice.batch())).toEqual(check(alice.batch()));
  });

  test('two chains interleaved, each with one signature verified', () => {
    const { crypto: counted, verified } = counting();
    const { entries } = authenticate(counted, space, {
      chains: [alice.after(2), bob.after(0)],
      entries: [bob.entry(1, 1), alice.entry(3), alice.entry(4), bob.entry(2, 1), bob.entry(3, 1), alice.entry(5)],
    });
    expect(entries.map(({ chain, seq, id }) => [toHex(chain.device), seq, id])).toEqual(
      [bob.commits[0]!, alice.commits[2]!, alice.commits[3]!, bob.commits[1]!, bob.commits[2]!, alice.commits[4]!].map(
        (commit) => [toHex((bob.commits.includes(commit) ? bob : alice).device.public), commit.seq, commit.id],
      ),
    );
    expect(verified()).toBe(2);
  });

  test('erased commits keep their place, anywhere in a run', () => {
    for (let seq = 1; seq <= 6; seq++) {
      const { entries } = check(replace(alice.batch(), seq - 1, () => alice.erased(seq)));
      expect(entries[seq - 1]).toMatchObject({ kind: 'erased', seq, id: alice.commits[seq - 1]!.id });
      expect(entries.at(-1)!.id).toEqual(alice.last!.id);
    }
  });

  test('a gap ends a run, which is verified, and begins another', () => {
    const { crypto: counted, verified } = counting();
    const { entries } = authenticate(counted, space, {
      chains: [alice.after(0)],
      entries: [alice.entry(1), alice.entry(2), alice.gap(4), alice.entry(5), alice.gap(6)],
    });
    expect(entries.map(({ kind, seq }) => [kind, seq])).toEqual([
      ['commit', 1],
      ['commit', 2],
      ['gap', 4],
      ['commit', 5],
      ['gap', 6],
    ]);
    expect(entries[2]!.id).toEqual(alice.commits[3]!.id);
    expect(verified()).toBe(2);
  });

  test('a middle signature that its own device made wrong is pinned by the last, and taken', () => {
    const sloppy = new TestChain(space, 'sloppy');
    sloppy.write(bodyOf('1'));
    sloppy.write(bodyOf('2'), bytesOf('no signature', 64));
    sloppy.write(bodyOf('3'));
    expect(check(sloppy.batch()).entries).toHaveLength(3);
    // Alone it is not: nothing vouches for it.
    expect(codeOf(sloppy.batch(1, 2))).toBe('bad-signature');
  });
});

describe('what was altered', () => {
  test.each([1, 2, 3, 4, 5, 6])('the body of commit %i of 6', (seq) => {
    const batch = replace(alice.batch(), seq - 1, (entry) => ({ ...entry, body: bodyOf('altered') }) as BatchEntry);
    expect(codeOf(batch)).toBe('bad-signature');
  });

  test.each([1, 2, 3, 4, 5, 6])('the hash of erased commit %i of 6', (seq) => {
    const batch = replace(alice.batch(), seq - 1, () => ({ ...alice.erased(seq), changesHash: bytesOf('other', 32) }) as BatchEntry); // prettier-ignore
    expect(codeOf(batch)).toBe('bad-signature');
  });

  test.each([1, 2, 3, 4, 5, 6])('the signature of commit %i of 6: the ids after it cover it', (seq) => {
    const batch = replace(alice.batch(), seq - 1, (entry) => ({ ...entry, signature: altered((entry as { signature: Uint8Array }).signature, 40) }) as BatchEntry); // prettier-ignore
    expect(codeOf(batch)).toBe('bad-signature');
  });

  test.each<[string, Batch, string]>([
    ['a commit left out', { chains: [alice.after(0)], entries: [alice.entry(1), alice.entry(3)] }, 'bad-signature'],
    ['two commits in the wrong order', { chains: [alice.after(0)], entries: [alice.entry(2), alice.entry(1)] }, 'bad-signature'], // prettier-ignore
    ['a commit twice', { chains: [alice.after(0)], entries: [alice.entry(1), alice.entry(1)] }, 'bad-signature'],
    ['another id before', { chains: [{ ...alice.after(2), id: bytesOf('x', 32) }], entries: [alice.entry(3)] }, 'bad-signature'], // prettier-ignore
    ['another seq before', { chains: [{ ...alice.after(2), seq: 3 }], entries: [alice.entry(3)] }, 'bad-signature'],
    ['another nonce', { chains: [{ ...alice.after(2), nonce: bob.nonce }], entries: [alice.entry(3)] }, 'bad-signature'], // prettier-ignore
    ['another device', { chains: [{ ...alice.after(2), device: bob.device.public }], entries: [alice.entry(3)] }, 'bad-signature'], // prettier-ignore
    ["another chain's commit", { chains: [alice.after(0)], entries: [bob.entry(1)] }, 'bad-signature'],
    ['a fault before a gap', { chains: [alice.after(0)], entries: [bob.entry(1), alice.gap(4), alice.entry(5)] }, 'bad-signature'], // prettier-ignore
    ['a gap with another id', { chains: [alice.after(0)], entries: [alice.entry(1), { ...alice.gap(4), id: bytesOf('x', 32) } as BatchEntry, alice.entry(5)] }, 'bad-signature'], // prettier-ignore
    ['a gap back', { chains: [alice.after(4)], entries: [alice.gap(3)] }, 'unlinked'],
    ['a gap to where we are', { chains: [alice.after(4)], entries: [alice.gap(4)] }, 'unlinked'],
    ['seq 0 with an id', { chains: [{ ...alice.after(1), seq: 0 }], entries: [alice.entry(1)] }, 'unlinked'],
    ['a seq without an id', { chains: [{ ...alice.after(1), id: new Uint8Array(32) }], entries: [alice.entry(2)] }, 'unlinked'], // prettier-ignore
    ['a chain twice', { chains: [alice.after(0), alice.after(1)], entries: [alice.entry(1), alice.entry(2, 1)] }, 'bad-batch'], // prettier-ignore
    ['a key of small order', { chains: [{ ...alice.after(0), device: hex(`01${'00'.repeat(31)}`) }], entries: [alice.entry(1)] }, 'bad-key'], // prettier-ignore
    ['a key past the prime', { chains: [{ ...alice.after(0), device: new Uint8Array(32).fill(0xff) }], entries: [alice.entry(1)] }, 'bad-key'], // prettier-ignore
  ])('%s', (_, batch, code) => {
    expect(codeOf(batch)).toBe(code);
  });

  test('a second form of a good signature', () => {
    // S + L, which OpenSSL itself refuses and others take: the id would be another one.
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    const { signature } = alice.commits[0]!;
    let s = 0n;
    for (let i = 63; i >= 32; i--) s = (s << 8n) | BigInt(signature[i]!);
    s += order;
    const second = signature.slice();
    for (let i = 32; i < 64; i++, s >>= 8n) second[i] = Number(s & 255n);
    const batch = replace(alice.batch(1, 1), 0, (entry) => ({ ...entry, signature: second }) as BatchEntry);
    expect(refusal(() => authenticate(portableCrypto, space, batch)).code).toBe('bad-signature');
    expect(codeOf(batch)).toBe('bad-signature');
  });

  test('another space', () => {
    expect(refusal(() => authenticate(crypto, bytesOf('other', 32), alice.batch())).code).toBe('bad-signature');
  });
});

test('what is known is linked without verifying', () => {
  const { crypto: counted, verified } = counting();
  expect(linkKnown(counted, space, alice.batch())).toEqual(check(alice.batch()));
  expect(verified()).toBe(0);
});

describe('no flipped bit gives other content under the same head ids', () => {
  const mixed = encodeBatch({
    chains: [alice.after(1), bob.after(0)],
    entries: [alice.entry(2), bob.entry(1, 1), alice.erased(3), alice.entry(4), bob.entry(2, 1), alice.gap(5), alice.entry(6)], // prettier-ignore
  });
  const contentOf = ({ entries }: AuthenticBatch): string =>
    entries
      .map(
        (entry) =>
        [entry.kind, toHex(entry.chain.id), entry.seq, toHex(entry.id), entry.kind === 'commit' ? toHex(entry.body) : ''].join(), // prettier-ignore
      )
      .join('\n');
  const headsOf = ({ entries }: AuthenticBatch): string =>
    [...new Map(entries.map(({ chain, seq, id }) => [toHex(chain.id), `${seq} ${toHex(id)}`]))].toSorted().join('\n');
  const original = check(decodeBatch(mixed));

  test('every bit', () => {
    let taken = 0;
    for (let bit = 0; bit < mixed.length * 8; bit++) {
      const bytes = mixed.slice();
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const batch = orRefused(() => check(decodeBatch(bytes)));
      if (!batch) continue;
      taken++;
      // Only the order between chains may differ, which causality and not the batch decides.
      if (headsOf(batch) !== headsOf(original)) continue;
      expect({ bit, content: contentOf(batch).split('\n').toSorted() }).toEqual({
        bit,
        content: contentOf(original).split('\n').toSorted(),
      });
    }
    expect(taken).toBeLessThan(mixed.length);
  });

  test('many bytes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(mixed.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (edits) => {
          const bytes = mixed.slice();
          for (const [at, byte] of edits) bytes[at] = byte;
          const batch = orRefused(() => check(decodeBatch(bytes)));
          if (batch && headsOf(batch) === headsOf(original))
            expect(contentOf(batch).split('\n').toSorted()).toEqual(contentOf(original).split('\n').toSorted());
        },
      ),
      { numRuns: 1000 },
    );
  });
});

test('any bytes give an authentic batch or a refusal', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      orRefused(() => check(decodeBatch(bytes)));
    }),
    { numRuns: 1000 },
  );
});

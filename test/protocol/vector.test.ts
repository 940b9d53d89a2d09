import fc from 'fast-check';
import { expect, test } from 'vitest';
import { toHex } from '../../protocol/bytes.ts';
import { digest, type ChainHead } from '../../protocol/vector.ts';
import { bytes, bytesOf, crypto, hex } from '../support/protocol.ts';

const head: fc.Arbitrary<ChainHead> = fc.record({ chain: bytes(16), seq: fc.maxSafeNat(), id: bytes(32) });
const heads = fc.uniqueArray(head, { maxLength: 8, selector: ({ chain }) => toHex(chain) });

test('the bytes that are hashed, by hand', () => {
  const label = '746964656c6f672f3120646967657374';
  expect(toHex(digest(crypto, []))).toBe(toHex(crypto.sha256(hex(label))));
  const a = { chain: bytesOf('a', 16), seq: 2 ** 32 + 5, id: bytesOf('id a', 32) };
  const b = { chain: new Uint8Array(16), seq: 1, id: bytesOf('id b', 32) };
  expect(toHex(digest(crypto, [a, b]))).toBe(
    toHex(
      crypto.sha256(
        hex(
          `${label} ${toHex(b.chain)} 0000000000000001 ${toHex(b.id)} ${toHex(a.chain)} 0000000100000005 ${toHex(a.id)}`,
        ),
      ),
    ),
  );
});

test('the order of chains does not matter', () => {
  fc.assert(
    fc.property(
      heads.chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))),
      ([one, other]) => {
        // prettier-ignore
        expect(digest(crypto, other)).toEqual(digest(crypto, new Set(one)));
      },
    ),
  );
});

test('everything else does', () => {
  fc.assert(
    fc.property(heads, fc.nat(), fc.constantFrom('chain', 'seq', 'id', 'less'), fc.nat(), (list, at, field, bit) => {
      fc.pre(list.length > 0);
      const one = list[at % list.length]!;
      const flip = (old: Uint8Array): Uint8Array =>
        old.map((byte, i) => (i === Math.floor(bit / 8) % old.length ? byte ^ (1 << (bit % 8)) : byte));
      const other =
        field === 'chain'
          ? { ...one, chain: flip(one.chain) }
          : field === 'seq'
            ? { ...one, seq: one.seq === 0 ? 1 : one.seq - 1 }
            : { ...one, id: flip(one.id) };
      const changed = field === 'less' ? list.filter((each) => each !== one) : list.with(at % list.length, other);
      expect(digest(crypto, changed)).not.toEqual(digest(crypto, list));
    }),
  );
});

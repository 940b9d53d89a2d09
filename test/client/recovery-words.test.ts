import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { readWords, wordsOf } from '../../client/recovery-words.ts';
import { fromHex, toHex } from '../../protocol/bytes.ts';
import { formatDeviceId } from '../../protocol/device-id.ts';
import { TidelogError } from '../../protocol/errors.ts';

const repeat = (text: string, times: number): string => `${text} `.repeat(times);

/**
 * Words: the first five are BIP39's own vectors (github.com/trezor/python-mnemonic, vectors.json). Keys: from Python's `cryptography`. The last seed is
 * that of docs/PROTOCOL.md, section 3.2.
 */
const VECTORS: readonly [seed: string, words: string, device: string][] = [
  ['00'.repeat(32), `${repeat('abandon', 23)}art`, 'HNVCPPG-OW2SC24-YVDVDIC-U3YNONP-STEFLXD-XREHJRK-2YBEKDC-2Z3IUQU'],
  [
    '7f'.repeat(32),
    `${repeat('legal winner thank year wave sausage worth useful', 2)}legal winner thank year wave sausage worth title`,
    'WKUUF72-MTBYYXO-3LW4JKZ-Q73NLGK-Y2OLJ3F-TJFCAAO-D4YLQVR-R2T75Q4',
  ],
  [
    '80'.repeat(32),
    `${repeat('letter advice cage absurd amount doctor acoustic avoid', 2)}letter advice cage absurd amount doctor acoustic bless`,
    '4VUHW3I-RZT5WGP-KV3V7UE-J6HRNEM-6RMCVFQ-IKW5VT6-O5I4KWX-T5DYJAU',
  ],
  ['ff'.repeat(32), `${repeat('zoo', 23)}vote`, 'O2QVSIC-EU3SPKR-EJGLPFH-HJQE3EX-FQKKOR3-5QCXYYB-KDGUSK5-TA2H2QW'],
  [
    'f585c11aec520db57dd353c69554b21a89b20fb0650966fa0a9d6f74fd989d8f',
    'void come effort suffer camp survey warrior heavy shoot primary clutch crush open amazing screen patrol group space point ten exist slush involve unfold',
    'T6ORCGN-WGQS6YJ-U3TNECK-OU7LKPZ-XOMIFUA-F3WK3DN-DQ22CTV-HN4A4AC',
  ],
  [
    '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f',
    'abandon amount liar amount expire adjust cage candy arch gather drum bullet absurd math era live bid rhythm alien crouch range attend journey unaware',
    'AOQQPP7-TZYIL44-HLQ3UMO-OS6ATFL-T6JVRQT-OSQ2XYH-53SDGIE-SVGG4AV',
  ],
];
const [SEED, WORDS] = VECTORS[4]!;

const refusal = (text: string): string => {
  try {
    readWords(text);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(TidelogError);
    const { code, message, detail, cause } = thrown as TidelogError;
    expect(code).toBe('bad-recovery-words');
    expect({ detail, cause }).toEqual({ detail: {}, cause: undefined });
    return /\((.*)\)$/s.exec(message)![1]!;
  }
  throw new Error('was taken');
};

const replaced = (at: number, word: string): string =>
  WORDS.split(' ')
    .with(at - 1, word)
    .join(' ');

test.each(VECTORS)('seed %s', (seed, words, device) => {
  expect(wordsOf(fromHex(seed)!).join(' ')).toBe(words);
  expect(toHex(readWords(words))).toBe(seed);
  expect(formatDeviceId(nodeCrypto.ed25519KeyPair(readWords(words)).public)).toBe(device);
});

test('any seed comes back from its words', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (seed) => {
      expect(readWords(wordsOf(seed).join(' '))).toEqual(seed);
    }),
  );
});

describe('reading takes', () => {
  const list = WORDS.split(' ');
  test.each([
    ['upper case', WORDS.toUpperCase()],
    ['lines', list.join('\r\n')],
    ['commas, and space around', `  ${list.join(', ')}\n`],
    ['numbers as on the paper', list.map((word, i) => `${i + 1}. ${word}`).join('\n')],
    ['numbers without space', list.map((word, i) => `${i + 1}.${word}`).join(' ')],
  ])('%s', (_, text) => {
    expect(toHex(readWords(text))).toBe(SEED);
  });
});

describe('reading refuses', () => {
  test('a word that is not in the list, and says which one may be meant', () => {
    expect(refusal(replaced(3, 'efort'))).toBe('word 3, "efort", is not in the list; is it "effort"?');
    expect(refusal(replaced(24, 'unfoldd'))).toBe('word 24, "unfoldd", is not in the list; is it "unfold"?');
    expect(refusal(replaced(2, 'tima'))).toBe('word 2, "tima", is not in the list; is it "time"?');
    expect(refusal(replaced(1, 'xylophone'))).toBe('word 1, "xylophone", is not in the list');
    expect(refusal(replaced(2, 'bac'))).toBe('word 2, "bac", is not in the list; is it "bag" or "bar"?');
  });

  test('too few and too many', () => {
    expect(refusal('')).toBe('there are 0');
    expect(refusal(WORDS.slice(0, WORDS.lastIndexOf(' ')))).toBe('there are 23');
    expect(refusal(`${WORDS} zoo`)).toBe('there are 25');
    expect(refusal(`${WORDS} `.repeat(20))).toBe(`that is ${(WORDS.length + 1) * 20} characters of text`);
  });

  test('twelve words that have a good checksum of their own: another kind of phrase', () => {
    expect(refusal(`${repeat('abandon', 11)}about`)).toBe('there are 12');
  });

  test('a wrong checksum: another word of the list, or two that have changed places', () => {
    const together = 'each is in the list, but together they are wrong: one is another, or two have changed places';
    expect(refusal(replaced(5, 'zoo'))).toBe(together);
    const [first, second, ...rest] = WORDS.split(' ');
    expect(refusal([second, first, ...rest].join(' '))).toBe(together);
  });

  test('and repeats no word of the list', () => {
    const known = new Set(WORDS.split(' '));
    for (const text of [replaced(3, 'efort'), replaced(5, 'zoo'), `${WORDS} zoo`, WORDS.slice(5)]) {
      const said = refusal(text)
        .match(/[a-z]+/g)!
        .filter((word) => known.has(word));
      expect(said.filter((word) => word !== 'effort')).toEqual([]);
    }
  });
});

test('any text gives a seed or bad-recovery-words', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      refusal(text);
    }),
  );
});

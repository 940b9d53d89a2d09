/**
 * The words of a recovery key: the 32 bytes of its Ed25519 seed as 24 English words, by BIP39, whose last one holds a checksum.
 *
 * The bytes are the seed itself, and nothing is derived: what stands on the paper is then a device's key in another writing, and whoever has lost
 * this program needs a list of words and an Ed25519 library. A label would part nothing that isn't parted: everything that is signed begins with one
 * (protocol/constants.ts), and each key is made for this and used for nothing else. BIP39's own derivation (PBKDF2, for phrases that people choose) is
 * left out for the same reason: there is nothing to stretch in 256 random bits.
 *
 *   readWords('legal winner thank … title') → 32 bytes
 */
import { entropyToMnemonic, mnemonicToEntropy } from '@scure/bip39';
import { wordlist } from '@scure/bip39/wordlists/english.js';

import { TidelogError } from '../protocol/errors.ts';

const WORDS_COUNT = 24;
/** Far more than 24 words and their numbers; what is longer is some other text. */
const TEXT_CHARACTERS_MAX = 2000;
/** A word further from all others than this was not meant to be any of them. */
const NEAREST_DISTANCE_MAX = 2;
const NEAREST_MAX = 3;

const KNOWN: ReadonlySet<string> = new Set(wordlist);

export function wordsOf(seed: Uint8Array): string[] {
  return entropyToMnemonic(seed, wordlist).split(' ');
}

/**
 * The seed. Case, line breaks, commas and numbers before the words don't matter. Throws `bad-recovery-words`, which repeats at most one word, and
 * only one that isn't in the list: what it gives away is less than 11 of 256 bits.
 */
export function readWords(text: string): Uint8Array {
  if (text.length > TEXT_CHARACTERS_MAX) throw bad(`that is ${text.length} characters of text`);
  const words = text
    .toLowerCase()
    .split(/[\s,;]+/)
    .map((word) => word.replace(/^\d+[.:)]*/, ''))
    .filter((word) => word !== '');
  const wrong = words.findIndex((word) => !KNOWN.has(word));
  if (wrong >= 0) throw bad(`word ${wrong + 1}, ${JSON.stringify(words[wrong])}, ${meant(words[wrong]!)}`);
  if (words.length !== WORDS_COUNT) throw bad(`there are ${words.length}`);
  try {
    return mnemonicToEntropy(words.join(' '), wordlist);
  } catch {
    // Not as a cause: what a library says may hold words.
    throw bad('each is in the list, but together they are wrong: one is another, or two have changed places');
  }
}

function bad(particular: string): TidelogError {
  return new TidelogError('bad-recovery-words', particular);
}

function meant(word: string): string {
  const distances = wordlist.map((candidate) => distanceBetween(word, candidate));
  const least = Math.min(...distances);
  if (least > NEAREST_DISTANCE_MAX) return 'is not in the list';
  const nearest = wordlist.filter((_, i) => distances[i] === least).slice(0, NEAREST_MAX);
  return `is not in the list; is it ${nearest.map((candidate) => JSON.stringify(candidate)).join(' or ')}?`;
}

/** Levenshtein's: letters to put in, leave out or exchange. */
function distanceBetween(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++)
      row.push(Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    above = row;
  }
  return above[b.length]!;
}

/**
 * Device IDs: a device's public key as people read, copy and dictate it.
 *
 *   key, 32 bytes → base32 (RFC 4648, no padding), 52 characters → a check character after each 13 → 8 groups of 7
 *   MFRGGZD-FMZTWQY-2LKNNWG-23TPOBJ-… and, for people, the first group alone: MFRGGZD
 *
 * The form and the check characters are Syncthing's. What a device ID names is not checked here: `checkDeviceKey` does that.
 */
import { DEVICE_KEY_BYTES } from './constants.ts';
import { TidelogError } from './errors.ts';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const GROUPS = 8;
const GROUP_CHARACTERS = 7;
const ID_CHARACTERS = GROUPS * GROUP_CHARACTERS;
/** A part is what one check character covers, and fills two groups: 13 characters and the check. */
const PART_CHARACTERS = 14;

/** The value of every character that is taken: both cases, and the digits that base32 lacks for the letters they look like. */
const VALUE_BY_CHARACTER = new Map<string, number>();
for (const [value, character] of [...ALPHABET].entries()) {
  VALUE_BY_CHARACTER.set(character, value);
  VALUE_BY_CHARACTER.set(character.toLowerCase(), value);
}
for (const [digit, letter] of ['0O', '1I', '8B']) VALUE_BY_CHARACTER.set(digit!, ALPHABET.indexOf(letter!));

/** 63 characters: eight groups of seven, upper case, with dashes. `key` is 32 bytes. */
export function formatDeviceId(key: Uint8Array): string {
  if (key.length !== DEVICE_KEY_BYTES)
    throw new TidelogError('bad-key', `it is ${key.length} bytes long instead of 32`);
  const values = toBase32(key);
  let characters = '';
  for (let start = 0; start < values.length; start += PART_CHARACTERS - 1) {
    const part = values.slice(start, start + PART_CHARACTERS - 1);
    for (const value of part) characters += ALPHABET[value];
    characters += ALPHABET[checkValue(part)];
  }
  const groups: string[] = [];
  for (let start = 0; start < ID_CHARACTERS; start += GROUP_CHARACTERS) {
    groups.push(characters.slice(start, start + GROUP_CHARACTERS));
  }
  return groups.join('-');
}

/** The first group: enough for people to tell their devices apart, and nothing that a program may rely on. */
export function shortDeviceId(key: Uint8Array): string {
  return formatDeviceId(key).slice(0, GROUP_CHARACTERS);
}

/**
 * The 32 bytes that a device ID stands for. Ignores case, spaces and dashes. Throws `bad-device-id`, which says what is
 * wrong in which group, counted from 1; `detail.groups` has the groups for programs where they are known.
 */
export function parseDeviceId(text: string): Uint8Array {
  const written = text.split(/[\s\p{Dash_Punctuation}]+/u).filter((group) => group !== '');
  const characters = [...written.join('')];
  if (characters.length !== ID_CHARACTERS) throw wrongLength(written, characters.length);

  const values = characters.map((character, at) => {
    const value = VALUE_BY_CHARACTER.get(character);
    if (value !== undefined) return value;
    const group = groupAt(at);
    throw badDeviceId(`${JSON.stringify(character)} in group ${group} is not a letter, nor a digit from 2 to 7`, [
      group,
    ]);
  });

  const data: number[] = [];
  const wrong: number[] = [];
  for (let start = 0; start < ID_CHARACTERS; start += PART_CHARACTERS) {
    const part = values.slice(start, start + PART_CHARACTERS - 1);
    if (values[start + PART_CHARACTERS - 1] !== checkValue(part)) wrong.push(groupAt(start), groupAt(start) + 1);
    data.push(...part);
  }
  if (wrong.length > 0) {
    const pairs = wrong.flatMap((group, i) => (i % 2 === 0 ? [`${group} or ${group + 1}`] : []));
    throw badDeviceId(`there is a typo in group ${pairs.join(', and one in group ')}`, wrong);
  }

  const key = fromBase32(data);
  // Two texts for one device would let one be listed, blocked or compared twice.
  if (key === null) throw badDeviceId(`group ${GROUPS} ends in bits that no device ID has`, [GROUPS]);
  return key;
}

/** Luhn's check digit mod 32, with every second value doubled from the second on: Syncthing's `luhn32`. */
function checkValue(values: readonly number[]): number {
  let sum = 0;
  for (const [i, value] of values.entries()) {
    const weighted = i % 2 === 0 ? value : value * 2;
    sum += Math.floor(weighted / 32) + (weighted % 32);
  }
  return (32 - (sum % 32)) % 32;
}

/** 256 bits as 52 values of 5; the last holds one bit of the key and four zeros. */
function toBase32(bytes: Uint8Array): number[] {
  const values: number[] = [];
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff;
    for (bits += 8; bits >= 5; bits -= 5) values.push((held >> (bits - 5)) & 31);
  }
  if (bits > 0) values.push((held << (5 - bits)) & 31);
  return values;
}

/** null where the bits that are left over aren't zero. */
function fromBase32(values: readonly number[]): Uint8Array | null {
  const bytes = new Uint8Array(Math.floor((values.length * 5) / 8));
  let held = 0;
  let bits = 0;
  let offset = 0;
  for (const value of values) {
    held = ((held << 5) | value) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes[offset++] = (held >> bits) & 0xff;
    }
  }
  return (held & ((1 << bits) - 1)) === 0 ? bytes : null;
}

function groupAt(character: number): number {
  return Math.floor(character / GROUP_CHARACTERS) + 1;
}

/** With the groups as they were written, where there are eight of them, the one that lost or won a character can be named. */
function wrongLength(written: readonly string[], length: number): TidelogError {
  const particular = `it has ${length} letters and digits; a whole one has ${ID_CHARACTERS}`;
  if (written.length !== GROUPS) return badDeviceId(particular);
  const wrong = written.flatMap((group, i) => ([...group].length === GROUP_CHARACTERS ? [] : [i + 1]));
  return badDeviceId(`${particular}, ${GROUP_CHARACTERS} in each group: look at group ${wrong.join(', ')}`, wrong);
}

function badDeviceId(particular: string, groups: readonly number[] = []): TidelogError {
  return new TidelogError('bad-device-id', particular, { groups });
}

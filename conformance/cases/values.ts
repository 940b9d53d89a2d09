/** Chapters 2 and 3: MessagePack as it is allowed, text, keys and signatures. */
import { concat, toHex } from '../../protocol/bytes.ts';
import { BODY_DEPTH_MAX, INTEGER_MAX, PROPERTY_BYTES_MAX, SUBJECT_BYTES_MAX } from '../../protocol/constants.ts';
import { ChainHasher } from '../../protocol/commit.ts';
import { hashBody } from '../../protocol/body.ts';
import { formatDeviceId } from '../../protocol/device-id.ts';
import { encode } from '../../protocol/msgpack.ts';
import type { Case } from '../case.ts';
import { fromLittleEndian, keyOf, L, signOddly, toLittleEndian, type OddKey, type SignatureKind } from '../curve.ts';
import { crypto, newDevice, random, type Device } from '../device.ts';
import {
  bodyWith,
  bytes,
  keeps,
  offer,
  refuses,
  refusedCase,
  section,
  settingRaw,
  signAny,
  subject,
  writeRaw,
} from '../offer.ts';
import { expect } from '../violation.ts';
import { batchOf, set, type Author, type Commit } from '../world.ts';

const value = section('2');

const PAD = 'p'.repeat(300);

/** Encodings that MessagePack has for a value; each would be written otherwise by a common encoder. */
const ENCODINGS: readonly string[] = [
  // 1 as each integer, and as both floats
  'cc01 cd0001 ce00000001 cf0000000000000001 d001 d10001 d200000001 d30000000000000001 ca3f800000 cb3ff0000000000000',
  // −1
  'd0ff d1ffff d2ffffffff d3ffffffffffffffff cabf800000 cbbff0000000000000',
  // ±(2^53 − 1), as integers and as floats; the least that isn't 0; −0
  'cf001fffffffffffff d3001fffffffffffff d3ffe0000000000001 cb433fffffffffffff cbc33fffffffffffff cb0000000000000001 cb8000000000000000 ca80000000',
  // "a" and "" as each string
  'd90161 da000161 db0000000161 d900 da0000 db00000000',
  // one byte, and none, as each byte string
  'c40161 c5000161 c60000000161 c400 c50000 c600000000',
  // [1] and [] as each array
  'dc000101 dd0000000101 dc0000 dd00000000',
  // {"a": 1} and {} as each map, its key as each string
  'de0001a16101 df00000001a16101 81d9016101 81da00016101 81db000000016101 de0000 df00000000 8080'.slice(0, -2),
];

const encodings = ENCODINGS.flatMap((line) => line.split(' ')).map(bytes);

/** In levels of a body, a property's value begins at 5: the body, the changes, a change, its ops, `set`. */
function nested(levels: number, open: string, innermost = '01'): Uint8Array {
  return bytes(open.repeat(levels) + innermost);
}
const LEVELS_LEFT = BODY_DEPTH_MAX - 5;

function writeValue(author: Author, name: string, raw: Uint8Array): Commit {
  return writeRaw(author, bodyWith(author, settingRaw(name, raw)));
}

function takenValues(title: string, rule: string, values: readonly Uint8Array[]): Case {
  return {
    id: value(),
    title,
    rule,
    async run(trial) {
      const { line, author, pull } = await offer(trial);
      const name = subject('value');
      const commits = values.map((raw) => writeValue(author, name, raw));
      await pull.sendAll();
      await keeps(trial, commits, line);
    },
  };
}

function refusedValue(title: string, rule: string, raw: Uint8Array): Case {
  return refusedCase(value(), title, rule, 'bad-commit', (author) =>
    signAny(author, bodyWith(author, settingRaw(subject('value'), raw))),
  );
}

function refusedSubject(title: string, rule: string, name: string): Case {
  return refusedCase(value(), title, rule, 'bad-commit', (author) => author.draft([set(name, { v: 1 })]));
}

function refusedProperty(title: string, rule: string, name: Uint8Array): Case {
  return refusedCase(value(), title, rule, 'bad-commit', (author) =>
    author.sign(
      bodyWith(
        author,
        concat(bytes('91 92'), encode(subject('value')), bytes('81'), encode('set'), bytes('81'), name, bytes('01')),
      ),
    ),
  );
}

const INTEGERS = 'An integer lies within ±`INTEGER_MAX` (9,007,199,254,740,991).';
const FLOATS = 'A float is finite and lies within the same bounds';
const KEYS = 'The keys of a map are strings, each occurs once, and none is `__proto__`.';
const NO_EXTENSION = 'No extension types, and not the byte `c1`.';
const UTF8 = 'A string is valid UTF-8.';
const LEVELS = 'A body has at most `BODY_DEPTH_MAX` (32) levels';
const CONTROL = 'None may contain the control characters U+0000 to U+001F and U+007F.';
const BYTES_OF_UTF8 = 'Lengths are in bytes of UTF-8.';

/** A subject of so many bytes that no other case uses. */
function longSubject(length: number, filler = 'x'): string {
  const start = subject('long-');
  return start + filler.repeat((length - start.length) / Buffer.byteLength(filler));
}

const valueSection: readonly Case[] = [
  takenValues(
    'each encoding of each kind of value',
    'It MUST accept every encoding that MessagePack has for a value',
    encodings,
  ),
  {
    id: value(),
    title: "a body's own parts in long forms",
    rule: 'there is no canonical form, and signed bytes are never encoded again',
    async run(trial) {
      const { line, author, pull } = await offer(trial);
      const name = subject('long-forms');
      const deps = author.deps();
      const long = concat(
        bytes('93'),
        bytes(`cf${(Date.now() * 1000).toString(16).padStart(16, '0')}`),
        bytes(`dd${deps.length.toString(16).padStart(8, '0')}`),
        ...deps.map(({ chain, seq }) =>
          concat(bytes('dc0002 c60000 0010'), chain, bytes(`cf${seq.toString(16).padStart(16, '0')}`)),
        ),
        bytes('dd00000001 dc0002'),
        bytes(`da${name.length.toString(16).padStart(4, '0')}`),
        new TextEncoder().encode(name),
        bytes('df00000001 db00000003 736574 de0001 d90176 d30000000000000001'),
      );
      const commits = [author.add(author.sign(long), deps)];
      await pull.sendAll();
      await keeps(trial, commits, line);
    },
  },
  {
    id: value(),
    title: 'whole floats where an integer is asked for',
    rule: 'a float whose value is a whole number counts as that integer',
    async run(trial) {
      const { line, author, pull } = await offer(trial);
      const float = (number: number): Uint8Array => {
        const view = new DataView(new ArrayBuffer(9));
        view.setUint8(0, 0xcb);
        view.setFloat64(1, number);
        return new Uint8Array(view.buffer);
      };
      const deps = author.deps();
      const changes = concat(
        bytes('91 92'),
        encode(subject('floats')),
        bytes('81'),
        encode('inc'),
        bytes('82 a161'),
        float(2),
        bytes('a162'),
        float(-0),
      );
      const rawDeps = concat(
        bytes(`dc${deps.length.toString(16).padStart(4, '0')}`),
        ...deps.map(({ chain, seq }) => concat(bytes('92'), encode(chain), float(seq))),
      );
      const body = bodyWith(author, changes, { time: float(Date.now() * 1000), deps: rawDeps });
      const commits = [author.add(author.sign(body), deps)];
      await pull.sendAll();
      await keeps(trial, commits, line);
    },
  },
  {
    id: value(),
    title: 'a batch in long forms and with floats',
    rule: 'That holds wherever a number is asked for, also for the type of a message, a codec, or an index.',
    async run(trial) {
      const { author, pull } = await offer(trial);
      const commit = author.draft([set(subject('long-batch'), { v: 1 })]);
      const data = concat(
        bytes('dd00000003 dc0001 dc0004 c600000020'),
        author.chain.device,
        bytes('c50008'),
        author.chain.nonce,
        bytes('cb8000000000000000 c50020'),
        new Uint8Array(32),
        bytes('dd00000001 dc0002 cb0000000000000000'),
        bytes(`c6${commit.body!.length.toString(16).padStart(8, '0')}`),
        commit.body!,
        bytes('c600000040'),
        commit.signature,
      );
      author.add(commit, author.deps());
      pull.send(data, { last: trial.world.head });
      await pull.acknowledged();
      await trial.unharmed();
    },
  },
  takenValues('values of 32 levels', LEVELS, [
    nested(LEVELS_LEFT, '91'),
    nested(LEVELS_LEFT, '81a161'),
    nested(LEVELS_LEFT - 1, '91', '90'),
    nested(LEVELS_LEFT - 1, '81a161', '80'),
  ]),
  {
    id: value(),
    title: 'subjects and property names of all allowed kinds and lengths',
    rule: 'Other characters are all allowed, also those that look like none; a text is compared by its bytes and never normalized.',
    async run(trial) {
      const { line, author, pull } = await offer(trial);
      const start = subject('text');
      const texts = [
        '\u00e9 e\u0301 \u00c5 \u212b',
        '\u0080\u0085\u009f\u00a0\u00ad',
        '\u200b\u200d\u200e\u202e\u2028\u2029\u2066\ufeff',
        '\ufffe\uffff\u{1f600}\u{10ffff}\u{e0001}',
        ' ',
        '/',
        '\\"\'`$(){}[]<>&%#?',
        'constructor',
        'toString',
        '~',
      ];
      const commits = [
        ...texts.flatMap((text) => [
          author.write([set(start + text, { v: 1 })]),
          author.write([set(`\ufeff${text}${start}`, { [text]: text, [`\ufeff${text}`]: { [text]: text } })]),
        ]),
        author.write([set('x', { v: 1 })]),
        author.write([set(longSubject(SUBJECT_BYTES_MAX), { ['p'.repeat(PROPERTY_BYTES_MAX)]: 1 })]),
        author.write([set(start, { [`${'\u00e9'.repeat(127)}p`]: 1, [`\u{1f600}`.repeat(63)]: 1 })]),
      ];
      await pull.sendAll();
      await keeps(trial, commits, line);
    },
  },

  refusedValue('an extension type', NO_EXTENSION, bytes('d4 01 00')),
  refusedValue("MessagePack's own timestamp", NO_EXTENSION, bytes('d6 ff 00000000')),
  refusedValue('an extension of length 0', NO_EXTENSION, bytes('c7 00 05')),
  refusedValue('the byte c1', NO_EXTENSION, bytes('c1')),
  refusedValue('a key that occurs twice', KEYS, bytes('82 a161 01 a161 02')),
  refusedValue('a key that occurs twice, in two encodings', KEYS, bytes('82 a161 01 d90161 02')),
  refusedValue('an integer for a key', KEYS, bytes('81 01 01')),
  refusedValue('a byte string for a key', KEYS, bytes('81 c40161 01')),
  refusedValue('nil for a key', KEYS, bytes('81 c0 01')),
  refusedValue('the key __proto__', KEYS, concat(bytes('81'), encode('__proto__'), bytes('01'))),
  refusedValue('an integer of 2^53', INTEGERS, bytes('cf 0020000000000000')),
  refusedValue('an integer of −2^53', INTEGERS, bytes('d3 ffe0000000000000')),
  refusedValue('the greatest u64', INTEGERS, bytes('cf ffffffffffffffff')),
  refusedValue('NaN', FLOATS, bytes('cb 7ff8000000000000')),
  refusedValue('NaN in four bytes', FLOATS, bytes('ca 7fc00000')),
  refusedValue('infinity', FLOATS, bytes('cb 7ff0000000000000')),
  refusedValue('minus infinity in four bytes', FLOATS, bytes('ca ff800000')),
  refusedValue('a float of 2^53', FLOATS, bytes('cb 4340000000000000')),
  refusedValue('a float of 1e300', FLOATS, bytes('cb 7e37e43c8800759c')),
  refusedValue('a float of −2^53 in four bytes', FLOATS, bytes('ca da000000')),
  refusedValue('a string that is not UTF-8', UTF8, bytes('a2 c328')),
  refusedValue('a surrogate in a string', UTF8, bytes('a3 eda080')),
  refusedValue('an overlong character in a string', UTF8, bytes('a2 c080')),
  refusedValue('a character past U+10FFFF', UTF8, bytes('a4 f4908080')),
  refusedValue(
    'a long string that ends in half a character',
    UTF8,
    concat(bytes('da 012d'), bytes('70'.repeat(300)), bytes('c3')),
  ),
  refusedValue('a key that is not UTF-8', UTF8, bytes('81 a1ff 01')),
  refusedValue('33 levels of arrays', LEVELS, nested(LEVELS_LEFT + 1, '91')),
  refusedValue('33 levels of maps', LEVELS, nested(LEVELS_LEFT + 1, '81a161')),
  refusedValue('33 levels, the last one empty', LEVELS, nested(LEVELS_LEFT, '91', '90')),
  refusedValue('100,000 levels', LEVELS, nested(100_000, '91')),
  refusedValue('bytes after the end', 'One value, and nothing after it.', bytes('01 c0')),
  refusedValue('a value that is cut off', 'One value, and nothing after it.', bytes('92 01')),
  refusedValue('an array that declares 2^32 − 1 items', 'One value, and nothing after it.', bytes('dd ffffffff')),

  refusedSubject('an empty subject', '1 to `SUBJECT_BYTES_MAX` (1,024)', ''),
  refusedCase(value(), 'a subject of 1,025 bytes', '1 to `SUBJECT_BYTES_MAX` (1,024)', 'bad-commit', (author) =>
    author.draft([set(longSubject(SUBJECT_BYTES_MAX + 1), { v: 1 })]),
  ),
  refusedCase(value(), 'a subject of 1,026 bytes in fewer characters', BYTES_OF_UTF8, 'bad-commit', (author) =>
    author.draft([set('\u00e9'.repeat(513), { v: 1 })]),
  ),
  ...[0x00, 0x09, 0x0a, 0x1f, 0x7f].map((code) =>
    refusedSubject(
      `U+${code.toString(16).padStart(4, '0').toUpperCase()} in a subject`,
      CONTROL,
      `conformance/control${String.fromCodePoint(code)}`,
    ),
  ),
  refusedProperty('an empty property name', '1 to `PROPERTY_BYTES_MAX` (255)', encode('')),
  refusedProperty('a property name of 256 bytes', '1 to `PROPERTY_BYTES_MAX` (255)', encode(PAD.slice(0, 256))),
  refusedProperty('a property name of 256 bytes in 128 characters', BYTES_OF_UTF8, encode('\u00e9'.repeat(128))),
  refusedProperty('a line feed in a property name', CONTROL, encode('a\nb')),
  refusedProperty('U+007F in a property name', CONTROL, encode('a\u007fb')),
  refusedProperty('the property __proto__', KEYS, encode('__proto__')),
  refusedProperty('a property name that is a byte string', KEYS, bytes('c40161')),
  refusedCase(value(), 'a control character in a name that is unset', CONTROL, 'bad-commit', (author) =>
    author.draft([{ subject: subject('value'), ops: { unset: ['a\u0001'] } }]),
  ),
  refusedCase(value(), 'a time of 2^53', INTEGERS, ['bad-commit', 'bad-signature'], (author) =>
    signAny(author, bodyWith(author, settingRaw(subject('value'), bytes('01')), { time: bytes('cf0020000000000000') })),
  ),
  refusedCase(value(), 'an extension type in the deps', NO_EXTENSION, ['bad-commit', 'bad-signature'], (author) =>
    signAny(author, bodyWith(author, settingRaw(subject('value'), bytes('01')), { deps: bytes('91 d4 01 00') })),
  ),
  {
    id: value(),
    title: 'equal values are shown',
    rule: 'Maps are equal whatever the order of their keys.',
    needs: ['read'],
    async run(trial) {
      const { author, pull } = await offer(trial);
      const name = subject('equal');
      const add = (raw: string): Commit =>
        writeRaw(
          author,
          bodyWith(
            author,
            concat(bytes('91 92'), encode(name), bytes('81'), encode('add'), bytes('81 a176 91'), bytes(raw)),
          ),
        );
      // {a: 1, b: [0]} and {b: [−0.0], a: 1.0}; 1 in two encodings
      add('82 a161 01 a162 91 00');
      add('82 a162 91 cb8000000000000000 a161 ca3f800000');
      add('01');
      add('cb3ff0000000000000');
      add('db 00000001 61');
      add('a161');
      await pull.sendAll();
      const shown = await trial.read(name);
      const expected = { v: [1, { a: 1, b: [0] }, 'a'] };
      expect(
        JSON.stringify(shown, sortKeys) === JSON.stringify(expected, sortKeys),
        `it shows ${JSON.stringify(shown)} and should show ${JSON.stringify(expected)}`,
      );
    },
  },
  {
    id: value(),
    title: 'values are shown as they were written',
    rule: 'null, a boolean, a number, a string, a byte string, or an array or a map of values',
    needs: ['read'],
    async run(trial) {
      const { author, pull } = await offer(trial);
      const name = subject('values');
      const values: Record<string, unknown> = {
        nil: null,
        yes: true,
        no: false,
        zero: 0,
        most: INTEGER_MAX,
        least: -INTEGER_MAX,
        half: 0.5,
        tiny: 5e-324,
        text: 'a\u0000b\n\ufeff\u{1f600} e\u0301 \u00e9',
        empty: '',
        marked: `\ufeff${PAD}`,
        list: [1, [2, [3, []]], {}],
        map: { b: 1, a: { ä: [null] }, '': 0, constructor: 1, toString: 2 },
      };
      author.write([set(name, values)]);
      await pull.sendAll();
      const shown = await trial.read(name);
      for (const [property, wanted] of Object.entries(values))
        expect(
          JSON.stringify(shown?.[property], sortKeys) === JSON.stringify(wanted, sortKeys),
          `${property} is shown as ${JSON.stringify(shown?.[property])} and was written as ${JSON.stringify(wanted)}`,
        );
      expect(
        Object.keys(shown!).length === Object.keys(values).length,
        `it shows ${Object.keys(shown!).join(', ')} and should show ${Object.keys(values).join(', ')}`,
      );
    },
  },
];

function sortKeys(_key: string, item: unknown): unknown {
  if (item === null || typeof item !== 'object' || Array.isArray(item)) return item;
  return Object.fromEntries(Object.entries(item).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

// ---- 3.1

const rule = section('3.1');

/** What the author's device would sign. */
function signedBytes(author: Author, { seq, prev, body }: Commit): Uint8Array {
  const { device, nonce } = author.chain;
  return new ChainHasher(crypto, { space: author.space, device, nonce }).signedBytes(
    seq,
    prev,
    hashBody(crypto, body!),
  );
}

/** A device whose key nobody would choose. `sign` by it as `signOddly` does. */
function oddDevice(key: OddKey): Device {
  return {
    keys: { secret: new Uint8Array(32), public: key.public },
    id: formatDeviceId(key.public),
    name: 'odd',
  };
}

interface OddSigned {
  readonly kind: SignatureKind;
  readonly isMixedKey?: boolean;
  readonly alter?: (signature: Uint8Array) => Uint8Array;
}

/** A member whose commit is signed so. */
async function oddlySigned(
  trial: Parameters<Case['run']>[0],
  { kind, isMixedKey = false, alter = (signature) => signature }: OddSigned,
): Promise<{ line: Awaited<ReturnType<typeof offer>>; author: Author; commit: Commit }> {
  const key = keyOf(random(32), isMixedKey);
  const device = oddDevice(key);
  trial.world.grant(device, 'writer');
  const line = await offer(trial);
  const author = trial.world.author(device);
  const draft = author.sign(bodyWith(author, settingRaw(subject('odd'), bytes('01'))), { by: newDevice() });
  const signature = alter(signOddly(key, signedBytes(author, draft), kind));
  return { line, author, commit: author.withSignature(draft, signature) };
}

function refusedSignature(title: string, quote: string, how: OddSigned): Case {
  return {
    id: rule(),
    title,
    rule: quote,
    hostile: true,
    async run(trial) {
      const { line, commit } = await oddlySigned(trial, how);
      await refuses(line, [commit], 'bad-signature');
    },
  };
}

function takenSignature(title: string, quote: string, how: OddSigned): Case {
  return {
    id: rule(),
    title,
    rule: quote,
    async run(trial) {
      const { line, author, commit } = await oddlySigned(trial, how);
      author.add(commit, author.deps());
      await line.pull.sendAll();
      await trial.unharmed();
    },
  };
}

/** Keys that section 3.1 refuses: the five of its table, and others with the same y. */
const BAD_KEYS: readonly (readonly [string, string])[] = [
  ['of order 4', '00'.repeat(32)],
  ['of order 1', `01${'00'.repeat(31)}`],
  ['of order 2', `ec${'ff'.repeat(30)}7f`],
  ['of order 8', '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05'],
  ['of order 8, the other y', 'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a'],
  // speccheck's first key: https://github.com/novifinancial/ed25519-speccheck
  ['of order 8, with the top bit', 'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa'],
  // speccheck's last
  ['of order 2, with the top bit', `ec${'ff'.repeat(31)}`],
  ['with y = p', `ed${'ff'.repeat(30)}7f`],
  ['with y = p + 1', `ee${'ff'.repeat(30)}7f`],
  ['with y = p + 18', `${'ff'.repeat(31)}7f`],
];

const keyRules: readonly Case[] = [
  takenSignature('a signature by plain arithmetic', 'S·B = R + k·A, with k as in RFC 8032.', { kind: 'honest' }),
  takenSignature(
    'a key with a part of small order, where the equation holds',
    'S·B = R + k·A, with k as in RFC 8032.',
    { kind: 'k divisible by 8', isMixedKey: true },
  ),
  refusedSignature('the same key, where it holds only with the cofactor', 'No multiplication by the cofactor', {
    kind: 'k not divisible by 8',
    isMixedKey: true,
  }),
  refusedSignature('R with a part of small order', 'No multiplication by the cofactor', { kind: 'mixed R' }),
  refusedSignature('R of small order', 'R, as an encoding, is below p and not of small order', {
    kind: 'R of order 1',
  }),
  refusedSignature('R with y = p + 1', 'R, as an encoding, is below p', { kind: 'R of order 1, y = p + 1' }),
  refusedSignature('S + L in place of S', 'S, read little-endian, is below L', {
    kind: 'honest',
    alter: (signature) =>
      concat(signature.subarray(0, 32), toLittleEndian(fromLittleEndian(signature.subarray(32)) + L)),
  }),
  refusedSignature('S + 8 L in place of S', 'S, read little-endian, is below L', {
    kind: 'honest',
    alter: (signature) =>
      concat(signature.subarray(0, 32), toLittleEndian(fromLittleEndian(signature.subarray(32)) + 8n * L)),
  }),
  refusedSignature('a signature of zeros', 'S·B = R + k·A, with k as in RFC 8032.', {
    kind: 'honest',
    alter: () => new Uint8Array(64),
  }),
  ...BAD_KEYS.map(([title, hex]): Case => ({
    id: rule(),
    title: `a member with a key ${title}`,
    rule: title.startsWith('with')
      ? 'Its y, which is the 255 low bits read little-endian, is below p'
      : 'It is not of small order',
    hostile: true,
    async run(trial) {
      const offered = await offer(trial);
      const { owner } = trial.world;
      const commit = owner.draft([set(`~devices/${formatDeviceId(bytes(hex))}`, { role: 'writer', name: 'weak' })]);
      await refuses(offered, [commit], 'bad-commit');
    },
  })),
  ...BAD_KEYS.slice(0, 3).map(([title, hex]): Case => ({
    id: rule(),
    title: `a chain of a key ${title}`,
    rule: 'It is not of small order',
    // Its author is no member either, and so another code may come.
    should: true,
    hostile: true,
    async run(trial) {
      const offered = await offer(trial);
      const author = trial.world.author({
        keys: { secret: random(32), public: bytes(hex) },
        id: '',
        name: toHex(random(2)),
      });
      const draft = author.sign(bodyWith(author, settingRaw(subject('odd'), bytes('01'))), { by: newDevice() });
      // A signature that fits any message under the key of order 1: R = B·r, S = r.
      const signature = signOddly({ scalar: 0n, public: bytes(hex) }, signedBytes(author, draft), 'honest');
      await refuses(offered, batchOf([author.withSignature(draft, signature)]), 'bad-key');
    },
  })),
];

export const valueCases: readonly Case[] = [...valueSection, ...keyRules];

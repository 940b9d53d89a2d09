/** Who a device is, and what it signs: device IDs, chains and ids, keys and signatures. */
import { createHash } from 'node:crypto';
import { encodeBody, eraseBody } from '../../protocol/body.ts';
import { concat, toHex, utf8 } from '../../protocol/bytes.ts';
import { chainId, ChainHasher, spaceId, ZERO_ID } from '../../protocol/commit.ts';
import { formatDeviceId, shortDeviceId } from '../../protocol/device-id.ts';
import { bytesOf, Chain, counting, crypto, deviceOf, flip, FOUNDING, hex, SALT, seedOf, SPACE, TIME } from './world.ts';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

export function deviceIds(): object {
  const keys: [name: string, key: Uint8Array][] = [
    ['the device of PROTOCOL.md', deviceOf('laptop').public],
    ['another device', deviceOf('phone').public],
    ['any 32 bytes have this form: zeros, which are no acceptable key', new Uint8Array(32)],
    ['ones', new Uint8Array(32).fill(0xff)],
    ['the last bit alone', new Uint8Array(32).with(31, 1)],
    ['the first bit alone', new Uint8Array(32).with(0, 0x80)],
    ['random bytes 1', bytesOf('key 1', 32)],
    ['random bytes 2', bytesOf('key 2', 32)],
  ];
  return {
    ids: keys.map(([name, key]) => {
      const id = formatDeviceId(key);
      return { name, key: toHex(key), id, short: shortDeviceId(key), written: spellings(id) };
    }),
  };
}

/** What a reader takes for the same. */
function spellings(id: string): string[] {
  const bare = id.replaceAll('-', '');
  return [
    bare,
    id.toLowerCase(),
    id.replaceAll('-', ' '),
    ` ${id}\n`,
    bare.replaceAll(/(.{4})/g, '$1-'),
    id.replaceAll('O', '0').replaceAll('I', '1').replaceAll('B', '8'),
  ];
}

export function deviceIdsInvalid(): object {
  const id = formatDeviceId(deviceOf('laptop').public);
  const groups = id.split('-');
  const refused: object[] = [];
  const refuse = (name: string, text: string, wrong: number[], why: string): void => {
    refused.push({ name, text, groups: wrong, code: 'bad-device-id', why });
  };
  const withGroup = (at: number, group: string): string => groups.with(at, group).join('-');
  for (const [at, group] of groups.entries()) {
    const number = at + 1;
    // A check character covers a part of two groups, and can't tell which of them is wrong.
    const part = [at - (at % 2) + 1, at - (at % 2) + 2];
    const swapAt = [...group].findIndex((character, i) => i + 1 < group.length && character !== group[i + 1]);
    const swapped = group.slice(0, swapAt) + group[swapAt + 1] + group[swapAt] + group.slice(swapAt + 2);
    const other = ALPHABET[(ALPHABET.indexOf(group[3]!) + 7) % 32]!;
    refuse(`group ${number}: another character`, withGroup(at, group.slice(0, 3) + other + group.slice(4)), part, 'the check character of its part differs'); // prettier-ignore
    refuse(`group ${number}: neighbours swapped`, withGroup(at, swapped), part, 'the check character of its part differs'); // prettier-ignore
    refuse(`group ${number}: a character lost`, withGroup(at, group.slice(1)), [number], '55 characters');
    refuse(`group ${number}: a character twice`, withGroup(at, group + group[6]!), [number], '57 characters');
    refuse(`group ${number}: a character that base32 lacks`, withGroup(at, `9${group.slice(1)}`), [number], '9 is not in the alphabet, nor read as another character'); // prettier-ignore
  }
  refuse('empty', '', [], 'no characters');
  refuse('the short form', groups[0]!, [], '7 characters');
  refuse('a group lost', groups.slice(1).join('-'), [], '49 characters');
  refuse('an accent', withGroup(2, `É${groups[2]!.slice(1)}`), [3], 'only ASCII letters are in the alphabet');
  refuse('an underscore between', groups.join('_'), [], 'an underscore is not a dash, and counts as a character');
  refuse('two parts wrong', withGroup(0, other(groups[0]!)).replace(groups[7]!, other(groups[7]!)), [1, 2, 7, 8], 'the check characters of two parts differ'); // prettier-ignore
  // The last data character, G, holds one bit and four zeros; B, C… have others, under a check character that is right.
  const data = `${groups[6]}${groups[7]}`.slice(0, 12);
  for (const last of ['H', 'I', 'K', 'O']) {
    const characters = `${data}${last}`;
    const end = characters + ALPHABET[luhn(characters)]!;
    const text = [...groups.slice(0, 6), end.slice(0, 7), end.slice(7)].join('-');
    refuse(`the last data character ${last}`, text, [8], 'its four low bits are not zero: a second text for one key');
  }
  return { refused };
}

function other(group: string): string {
  return group.slice(0, 5) + ALPHABET[(ALPHABET.indexOf(group[5]!) + 3) % 32]! + group.slice(6);
}

/** By section 3.2, once more: the code has no way to make an ID that is wrong in its last bits only. */
function luhn(characters: string): number {
  let sum = 0;
  for (const [i, character] of [...characters].entries()) {
    const product = ALPHABET.indexOf(character) * (i % 2 === 0 ? 1 : 2);
    sum += Math.floor(product / 32) + (product % 32);
  }
  return (32 - (sum % 32)) % 32;
}

// ---- chains, ids and signatures

const NONCE = counting(0xb0, 8);

export function chainsAndIds(): object {
  const first = encodeBody({ time: TIME, deps: [], changes: FOUNDING });
  const second = encodeBody({
    time: TIME + 1,
    deps: [],
    changes: [{ subject: 'note/1', ops: { set: { title: 'Milk', done: false } } }],
  });
  const withDeps = encodeBody({
    time: TIME + 2,
    deps: [
      { chain: bytesOf('chain 1', 16), seq: 7 },
      { chain: bytesOf('chain 2', 16), seq: 2 ** 40 },
    ],
    changes: [{ subject: 'note/2', ops: { destroy: true } }],
  });
  const laptop = commit('the founding commit of PROTOCOL.md', 'laptop', NONCE, 1, ZERO_ID, first);
  return {
    spaces: [
      { name: 'of PROTOCOL.md', owner: toHex(deviceOf('laptop').public), salt: toHex(SALT), space: toHex(SPACE) },
      ...['phone', 'tablet'].map((name) => {
        const salt = bytesOf(`salt ${name}`, 16);
        const owner = deviceOf(name).public;
        return { name: `of the ${name}`, owner: toHex(owner), salt: toHex(salt), space: toHex(spaceId(crypto, owner, salt)) }; // prettier-ignore
      }),
    ],
    commits: [
      laptop,
      commit('the commit after it', 'laptop', NONCE, 2, hex(laptop.id), second),
      commit('another device', 'phone', bytesOf('nonce phone', 8), 1, ZERO_ID, withDeps),
      commit('the same device, another incarnation', 'phone', bytesOf('nonce phone 2', 8), 1, ZERO_ID, withDeps),
      commit('seq past 2^32', 'phone', bytesOf('nonce phone', 8), 2 ** 32 + 1, bytesOf('prev', 32), second),
      commit('the greatest seq', 'phone', bytesOf('nonce phone', 8), 2 ** 53 - 1, bytesOf('prev', 32), second),
    ],
    signatures: [
      signature('an empty message', 'laptop', new Uint8Array(0)),
      signature('a short message', 'phone', utf8('tidelog')),
      signature('a long message', 'tablet', bytesOf('message', 1000)),
    ],
  };
}

function commit(name: string, device: string, nonce: Uint8Array, seq: number, prev: Uint8Array, body: Uint8Array) {
  const keys = deviceOf(device);
  const key = { space: SPACE, device: keys.public, nonce };
  const hasher = new ChainHasher(crypto, key);
  const { stem, changesHash } = eraseBody(crypto, body);
  const bodyHash = crypto.sha256(concat(stem, changesHash));
  const signature = hasher.sign(keys, seq, prev, bodyHash);
  return {
    name,
    space: toHex(SPACE),
    seed: toHex(seedOf(device)),
    device: toHex(keys.public),
    nonce: toHex(nonce),
    chain: toHex(chainId(crypto, key)),
    seq,
    prev: toHex(prev),
    body: toHex(body),
    stem: toHex(stem),
    changesHash: toHex(changesHash),
    bodyHash: toHex(bodyHash),
    header: toHex(hasher.header(seq, prev, bodyHash)),
    signed: toHex(hasher.signedBytes(seq, prev, bodyHash)),
    signature: toHex(signature),
    id: toHex(hasher.id(seq, prev, bodyHash, signature)),
  };
}

function signature(name: string, device: string, message: Uint8Array) {
  const keys = deviceOf(device);
  const made = toHex(crypto.ed25519Sign(keys, message));
  return { name, seed: toHex(seedOf(device)), key: toHex(keys.public), message: toHex(message), signature: made };
}

const P = 2n ** 255n - 19n;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;

export function littleEndian(value: bigint, length = 32): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

function toBigInt(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => value * 256n + BigInt(byte), 0n);
}

/** y of the points whose order divides 8. */
export const SMALL_ORDER = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
];

/** S·B = R + k·A holds, for an R of which everybody knows the discrete logarithm: 0. */
export function signatureWithoutR(device: string, message: Uint8Array): Uint8Array {
  const sha512 = (...parts: Uint8Array[]): Uint8Array =>
    createHash('sha512')
      .update(concat(...parts))
      .digest();
  const clamped = sha512(seedOf(device)).slice(0, 32);
  clamped[0]! &= 0xf8;
  clamped[31] = (clamped[31]! & 0x7f) | 0x40;
  const r = hex(SMALL_ORDER[1]!);
  const k = toBigInt(sha512(r, deviceOf(device).public, message)) % L;
  return concat(r, littleEndian((k * toBigInt(clamped)) % L));
}

export function withGreaterS(signature: Uint8Array): Uint8Array {
  return concat(signature.subarray(0, 32), littleEndian(toBigInt(signature.subarray(32)) + L));
}

export function chainsAndIdsInvalid(): object {
  const laptop = deviceOf('laptop');
  const message = utf8('tidelog');
  const good = crypto.ed25519Sign(laptop, message);
  const [goodR, goodS] = [good.subarray(0, 32), good.subarray(32)];
  const keys: [name: string, key: Uint8Array, why: string][] = [
    ['31 bytes', laptop.public.subarray(1), 'a key is 32 bytes'],
    ['33 bytes', concat(laptop.public, Uint8Array.of(0)), 'a key is 32 bytes'],
    ['empty', new Uint8Array(0), 'a key is 32 bytes'],
    ...SMALL_ORDER.flatMap((y, i): [string, Uint8Array, string][] => [
      [`small order ${i + 1}`, hex(y), 'its order divides 8: one signature fits many messages'],
      [`small order ${i + 1}, the other sign of x`, flipTop(hex(y)), 'the sign of x makes no difference'],
    ]),
    ['y = p', littleEndian(P), 'y is not below p'],
    ['y = p + 1', littleEndian(P + 1n), 'y is not below p; it would be the identity'],
    ['y = p + 1, the other sign of x', flipTop(littleEndian(P + 1n)), 'y is not below p'],
    ['y = 2^255 - 1', littleEndian(2n ** 255n - 1n), 'y is not below p'],
    ['ones', new Uint8Array(32).fill(0xff), 'y is not below p'],
  ];
  const signatures: [name: string, signature: Uint8Array, why: string, key?: Uint8Array, message?: Uint8Array][] = [
    ['another message', good, 'it was made for another message', laptop.public, utf8('Tidelog')],
    ['another key', good, 'it was made by another device', deviceOf('phone').public],
    ['R altered', flip(good, 0), 'the equation does not hold'],
    ['S altered', flip(good, 32), 'the equation does not hold'],
    ['zeros', new Uint8Array(64), 'R is of small order'],
    ['63 bytes', good.subarray(0, 63), 'a signature is 64 bytes'],
    ['65 bytes', concat(good, Uint8Array.of(0)), 'a signature is 64 bytes'],
    ['empty', new Uint8Array(0), 'a signature is 64 bytes'],
    ['S + L', withGreaterS(good), 'S is not below L: a second signature for one message'],
    ['S = L', concat(goodR, littleEndian(L)), 'S is not below L'],
    ['the greatest S', concat(goodR, new Uint8Array(32).fill(0xff)), 'S is not below L'],
    ['R is the identity, and the equation holds', signatureWithoutR('laptop', message), 'R is of small order: some libraries take it and some do not'], // prettier-ignore
    ...SMALL_ORDER.map((y, i): [string, Uint8Array, string] => [
      `R of small order ${i + 1}`,
      concat(hex(y), goodS),
      'R is of small order',
    ]),
    ['R with y = p + 1', concat(littleEndian(P + 1n), goodS), 'R, as an encoding, is not below p'],
    ['a key that is not on the curve', good, 'there is no point with y = 2', littleEndian(2n)],
    ['a commit signed without its label', crypto.ed25519Sign(laptop, header()), 'what is signed begins with the label', laptop.public, concat(utf8('tidelog/1 commit'), header())], // prettier-ignore
  ];
  return {
    keys: keys.map(([name, key, why]) => ({ name, key: toHex(key), code: 'bad-key', why })),
    signatures: signatures.map(([name, signature, why, key = laptop.public, of = message]) => ({
      name,
      key: toHex(key),
      message: toHex(of),
      signature: toHex(signature),
      code: 'bad-signature',
      why,
    })),
  };
}

function flipTop(y: Uint8Array): Uint8Array {
  return y.with(31, y[31]! ^ 0x80);
}

function header(): Uint8Array {
  const chain = new Chain('laptop', { nonce: NONCE });
  const { prev, bodyHash } = chain.write({ time: TIME, deps: [], changes: FOUNDING });
  return chain.hasher.header(1, prev, bodyHash);
}

/**
 * Every decoder, with valid and invalid seeds from test/vectors/ and what must hold of any input: a value, a TidelogError, or null where that is said; and
 * where two decoders read the same bytes, they agree.
 */
import { readdirSync, readFileSync } from 'node:fs';

import { zstdNode } from '../../client/platform/zstd-node.ts';
import { zstdPortable } from '../../client/platform/zstd-portable.ts';
import {
  decodeBlock,
  decodeBlockRecord,
  decodeChain,
  decodeCursor,
  decodeFact,
  decodePeer,
  decodeSpace,
  encodeBlock,
  encodeBlockRecord,
  encodeChain,
  encodeCursor,
  encodeFact,
  encodePeer,
  encodeSpace,
} from '../../client/tables.ts';
import { authenticate } from '../../protocol/authenticate.ts';
import { checkPositions, decodeBatch, encodeBatch } from '../../protocol/batch.ts';
import {
  decodeBody,
  decodeKnownBody,
  decodeStem,
  encodeBody,
  eraseBody,
  hashBody,
  hashErased,
} from '../../protocol/body.ts';
import { concat, equal, fromHex, fromUtf8, readU32, toBase64Url, toHex, utf8 } from '../../protocol/bytes.ts';
import { noneCodec, type Codec } from '../../protocol/codec.ts';
import { BODY_BYTES_MAX, BODY_DEPTH_MAX, PROLOGUE } from '../../protocol/constants.ts';
import { describe } from '../../protocol/describe.ts';
import { formatDeviceId, parseDeviceId } from '../../protocol/device-id.ts';
import { checkDeviceKey, verifyStrict } from '../../protocol/ed25519.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { FrameAssembler, splitFrames } from '../../protocol/frame.ts';
import { changesMembership, readFacts, readFounding } from '../../protocol/membership.ts';
import {
  apply,
  decodeResource,
  EMPTY_RESOURCE,
  encodeResource,
  resourceConflicts,
  resourceValue,
} from '../../protocol/merge.ts';
import { decodeMessage, encodeMessage } from '../../protocol/messages.ts';
import { decodeStrict, encode } from '../../protocol/msgpack.ts';
import { Handshake } from '../../protocol/noise.ts';
import { decodePairLink, encodePairLink, pairDigits, syncUrl } from '../../protocol/pair-link.ts';
import { readPlainBatch, readPlainBody } from '../../protocol/plain-batch.ts';
import { checkValue } from '../../protocol/value.ts';
import { digest } from '../../protocol/vector.ts';
import { bytesOf, crypto } from '../support/protocol.ts';

export interface Target {
  readonly name: string;
  readonly seeds: readonly Uint8Array[];
  /** Throws a TidelogError where the input is refused; anything else that it throws is a fault. Says what came of it, for what is worth keeping. */
  readonly run: (input: Uint8Array) => unknown;
}

class Broken extends Error {}

function holds(condition: boolean, what: string): void {
  if (!condition) throw new Broken(what);
}

// ---- seeds

const VECTORS = new URL('../vectors/', import.meta.url);
type Piece = string | [hex: string, times: number];

/** Bytes as the vectors write them: hex, or pieces of it. null for what is something else, or longer than a seed should be. */
function bytesIn(value: unknown): Uint8Array | null {
  if (typeof value === 'string') return /^([0-9a-f]{2})*$/.test(value) && value.length < 64_000 ? fromHex(value) : null;
  if (!Array.isArray(value)) return null;
  const parts = (value as Piece[]).map((piece) => {
    if (typeof piece === 'string') return bytesIn(piece);
    return Array.isArray(piece) && piece[1] < 4000 ? bytesIn(String(piece[0]).repeat(piece[1])) : null;
  });
  return parts.includes(null) ? null : concat(...(parts as Uint8Array[]));
}

/** All bytes under these names anywhere in these files. */
function seedsFrom(files: readonly string[], ...names: readonly string[]): Uint8Array[] {
  const found = new Map<string, Uint8Array>();
  const walk = (value: unknown): void => {
    if (value === null || typeof value !== 'object') return;
    for (const [name, inner] of Object.entries(value)) {
      if (names.includes(name)) {
        for (const one of [inner, ...(Array.isArray(inner) ? (inner as unknown[]) : [])]) {
          const bytes = bytesIn(one);
          if (bytes && bytes.length > 0) found.set(toHex(bytes), bytes);
        }
      }
      walk(inner);
    }
  };
  for (const file of readdirSync(VECTORS)) {
    const isWanted = files.some((name) => file === `${name}.json` || file === `${name}_invalid.json`);
    if (isWanted) walk(JSON.parse(readFileSync(new URL(file, VECTORS), 'utf8')));
  }
  return [...found.values()];
}

function textsFrom(file: string, name: string): Uint8Array[] {
  const vectors = ['', '_invalid'].map((end) => readFileSync(new URL(`${file}${end}.json`, VECTORS), 'utf8'));
  const found = vectors.flatMap((text) => [...text.matchAll(new RegExp(`"${name}": "((?:[^"\\\\]|\\\\.)*)"`, 'g'))]);
  return found.map(([, text]) => utf8(JSON.parse(`"${text!}"`) as string));
}

const SPACE = fromHex('1f12af12692483e86f7f86bc3f10f2ec86bf9c509a50e8d772f2d9826a9106eb')!;
const messages = seedsFrom(['messages', 'cursors', 'pairing'], 'hex', 'message');
const batches = seedsFrom(['batches', 'runs', 'membership'], 'raw', 'batch', 'batches', 'holds');
const bodies = seedsFrom(['bodies', 'merge', 'clock', 'chains-and-ids'], 'body');
const stems = seedsFrom(['bodies', 'chains-and-ids'], 'stem');
const zstdFrames = [
  ...batches.map((raw) => zstdNode.pack!(raw)),
  ...seedsFrom(['batches'], 'data').filter((data) => data[0] === 0x28),
];
const noise = seedsFrom(['noise'], 'messages', 'received', 'sealed', 'plain');
const resources = bodies.flatMap((body): Uint8Array[] => {
  try {
    const { changes } = decodeBody(body);
    const author = { chain: 1, seq: 3, time: 1000, past: () => 2, rankOf: () => new Uint8Array(48) };
    const other = { ...author, chain: 2, past: () => 0 };
    return changes.map(({ ops }) => encodeResource(apply(apply(EMPTY_RESOURCE, ops, author), ops, other)));
  } catch {
    return [];
  }
});

// ---- what holds

/** Unpacks within its limits: not more than was declared, and both providers alike. */
function unpack(codec: Codec, input: Uint8Array): Uint8Array {
  const rawBytes = input.length < 4 ? 0 : readU32(input, 0) % 70_000;
  const raw = codec.unpack(input.subarray(4), rawBytes);
  holds(raw.length === rawBytes, `${raw.length} bytes where ${rawBytes} were declared`);
  return raw;
}

/** As a person's clipboard or a program's string has it. */
function asText(input: Uint8Array): string {
  return new TextDecoder().decode(input);
}

function refusal(act: () => unknown): string | null {
  try {
    act();
    return null;
  } catch (thrown) {
    if (thrown instanceof TidelogError) return thrown.code;
    throw thrown;
  }
}

function readBatch(input: Uint8Array): unknown {
  const plain = readPlainBatch(crypto, SPACE, input);
  const code = refusal(() => authenticate(crypto, SPACE, decodeBatch(input)));
  // The short way takes nothing that the long one refuses, and finds the same in it.
  if (plain) {
    holds(code === null, `the short way took what is ${code}`);
    const { entries, chains } = authenticate(crypto, SPACE, decodeBatch(input));
    holds(entries.length === plain.count, 'the short way counts otherwise');
    holds(chains.length === plain.chains.length, 'the short way has other chains');
    for (const [i, { id }] of chains.entries())
      holds(equal(id, plain.chains[i]!.id), 'the short way has another chain');
  }
  const batch = decodeBatch(input);
  checkPositions(batch, { prev: 0, last: 4096 });
  const again = decodeBatch(encodeBatch(batch));
  holds(again.entries.length === batch.entries.length, 'encoded again it is another batch');
  return code ?? 'authentic';
}

function readBody(input: Uint8Array): unknown {
  const plain = readPlainBody(crypto, input);
  const code = refusal(() => decodeBody(input));
  // Whoever goes the short way still reads the deps, from these bytes.
  const isShort =
    plain !== null && refusal(() => decodeStem(input.subarray(0, plain.depsEnd[0]! || input.length))) === null;
  if (plain?.depsEnd[0] === 0 || isShort) holds(code === null, `the short way took a body that is ${code}`);
  const body = decodeBody(input);
  holds(input.length <= BODY_BYTES_MAX, 'a body above the limit was taken');
  const erased = eraseBody(crypto, input);
  holds(equal(hashErased(crypto, erased), hashBody(crypto, input)), 'erased it has another hash');
  holds(decodeStem(erased.stem).time === body.time, 'its stem has another time');
  holds(decodeKnownBody(input).changes.length === body.changes.length, 'known, it has other changes');
  decodeBody(encodeBody(body));
  const codes = [
    refusal(() => changesMembership(body.changes)),
    refusal(() => readFacts(body.changes)),
    refusal(() => readFounding(crypto, SPACE, bytesOf('author', 32), body.changes)),
  ];
  const author = { chain: 1, seq: 2, time: body.time, past: () => 1, rankOf: () => new Uint8Array(48) };
  for (const { ops } of body.changes) {
    const resource = apply(EMPTY_RESOURCE, ops, author);
    holds(
      equal(encodeResource(decodeResource(encodeResource(resource))), encodeResource(resource)),
      'its state is not kept',
    );
  }
  return codes.join();
}

function readResource(input: Uint8Array): unknown {
  // It reads what this peer wrote, and so MessagePack; not checked again for each read of a resource, which would take twice as long.
  decodeStrict(input, BODY_DEPTH_MAX, 'data-damaged');
  const resource = decodeResource(input);
  resourceValue(resource);
  return [resource.size > 1, resourceConflicts(resource).size > 0];
}

function readMessage(input: Uint8Array): unknown {
  holds(typeof describe(input) === 'string', 'it is not described');
  const message = decodeMessage(input);
  if (message === null) return 'ignored';
  const again = decodeMessage(encodeMessage(message));
  holds(again?.type === message.type, 'encoded again it is another message');
  return message.type;
}

function readFrames(input: Uint8Array): unknown {
  // The first byte says how the rest is cut.
  const assembler = new FrameAssembler(20_000);
  const width = 1 + (input[0] ?? 0);
  let messages = 0;
  for (let at = 1; at < input.length; at += width) {
    const message = assembler.push(input.subarray(at, at + width));
    if (message === undefined) continue;
    messages++;
    const parts = [...splitFrames(message)];
    holds(parts.length > 0, 'a message without frames');
  }
  return Math.min(3, messages);
}

const staticKeys = crypto.x25519KeyPair(bytesOf('static', 32));
const ephemeralKeys = crypto.x25519KeyPair(bytesOf('ephemeral', 32));

function readHandshake(input: Uint8Array): unknown {
  const initiator = (input[0] ?? 0) % 2 === 0;
  const handshake = new Handshake({ crypto, initiator, prologue: utf8(PROLOGUE), staticKeys, ephemeralKeys });
  if (initiator) handshake.write(new Uint8Array(0));
  handshake.read(input.subarray(1));
  if (!initiator) handshake.write(new Uint8Array(10));
  return 'read';
}

function readLink(input: Uint8Array): unknown {
  const text = asText(input);
  const invite = decodePairLink(crypto, text);
  decodePairLink(crypto, encodePairLink(crypto, invite));
  syncUrl(invite.addresses[0]!);
  return invite.role;
}

/** With a right check sum, so that what is in it is looked at. */
function readInvite(input: Uint8Array): unknown {
  const versioned = concat(Uint8Array.of(1), input);
  const code = toBase64Url(concat(versioned, crypto.sha256(versioned).subarray(0, 4)));
  return readLink(utf8(`http://192.168.1.20:7600/#pair=${code}`));
}

function readId(input: Uint8Array): unknown {
  const key = parseDeviceId(asText(input));
  holds(equal(parseDeviceId(formatDeviceId(key)), key), 'written again it is another device');
  return 'a key';
}

function readKey(input: Uint8Array): unknown {
  const key = input.subarray(0, 32);
  const isRight = checkDeviceKey(key);
  const verifies = verifyStrict(crypto, key, input.subarray(96), input.subarray(32, 96));
  holds(isRight || !verifies, 'a key that is none verifies');
  return `${isRight} ${verifies}`;
}

function readValue(input: Uint8Array): unknown {
  const value = decodeStrict(input, BODY_DEPTH_MAX, 'bad-commit');
  // What was taken can be encoded, and is the same.
  decodeStrict(encode(value), BODY_DEPTH_MAX, 'bad-commit');
  checkValue(value, 'value');
  return typeof value;
}

function readHeads(input: Uint8Array): unknown {
  const heads = Array.from({ length: Math.floor(input.length / 49) }, (_, i) => ({
    chain: input.subarray(i * 49, i * 49 + 16),
    seq: input[i * 49 + 16]!,
    id: input.subarray(i * 49 + 17, i * 49 + 49),
  }));
  if (new Set(heads.map(({ chain }) => toHex(chain))).size < heads.length) return 'a chain twice';
  const one = digest(crypto, heads);
  holds(equal(one, digest(crypto, heads.toReversed())), 'the order of heads changes their digest');
  return heads.length;
}

const FACT = { chain: 1, seq: 2, time: 3, past: [[0, 1]] as [number, number][] };
const MEMBER = toHex(bytesOf('member', 32));
const space = {
  number: 1,
  name: 'home',
  epoch: bytesOf('epoch', 8),
  head: 5,
  commits: 5,
  subjects: 3,
  conflicted: 0,
  blockBytes: 900,
  clockUs: 1e15,
  ownChain: 0,
  filter: null,
  sweep: false,
  logOnly: false,
  rebuild: false,
};

const target = (name: string, seeds: readonly Uint8Array[], run: (input: Uint8Array) => unknown): Target => {
  if (seeds.length === 0) throw new Error(`${name} has no seeds`);
  return { name, seeds, run };
};

/** As the header of a frame in one segment says it; something else for other frames. */
function declaredBytes(frame: Uint8Array): number {
  const width = 1 << ((frame[4] ?? 0) >> 6);
  let size = width === 2 ? 256 : 0;
  for (let i = 0; i < Math.min(width, 4); i++) size += (frame[5 + i] ?? 0) << (8 * i);
  return (size >>> 0) % 70_000;
}

/** What libzstd takes, our own unpacker takes too, with the same result; and what it refuses, ours refuses: a page could hand it on, and no node would take it. */
function readZstd(input: Uint8Array): unknown {
  const ours = outcomeOf(() => unpack(zstdPortable, input));
  const libzstds = outcomeOf(() => unpack(zstdNode, input));
  if (ours instanceof TidelogError) {
    holds(libzstds instanceof TidelogError, `libzstd takes what is ${ours.message} to ours`);
    // It says what was wrong, and so which inputs are worth keeping.
    throw ours;
  }
  holds(!(libzstds instanceof TidelogError), 'libzstd refuses what ours takes');
  holds(equal(ours, libzstds as Uint8Array), 'the two unpack it differently');
  return 'the same';
}

function outcomeOf<T>(act: () => T): T | TidelogError {
  try {
    return act();
  } catch (thrown) {
    if (thrown instanceof TidelogError) return thrown;
    throw thrown;
  }
}

const withSize = (data: readonly Uint8Array[], sizeOf: (one: Uint8Array) => number): Uint8Array[] =>
  data.map((one) => {
    const size = new Uint8Array(4);
    new DataView(size.buffer).setUint32(0, sizeOf(one));
    return concat(size, one);
  });

export const TARGETS: readonly Target[] = [
  target('message', messages, readMessage),
  target('batch', batches, readBatch),
  target('body', bodies, readBody),
  target('stem', stems, (input) => decodeStem(input).deps.length),
  target('value', [...bodies, ...messages], readValue),
  target('resource', resources, readResource),
  target(
    'frames',
    [...messages, ...noise].map((one) => concat(Uint8Array.of(40, 0), one)),
    readFrames,
  ),
  target(
    'handshake',
    noise.flatMap((one) => [concat(Uint8Array.of(0), one), concat(Uint8Array.of(1), one)]),
    readHandshake,
  ),
  target('zstd', withSize(zstdFrames, declaredBytes), readZstd),
  // The size is the one that the frame itself declares, so that what is inside is looked at.
  target('zstd-right-size', zstdFrames, (input) => readZstd(withSize([input], declaredBytes)[0]!)),
  target(
    'uncompressed',
    withSize(batches, (one) => one.length),
    (input) => unpack(noneCodec, input).length > 100,
  ),
  target('pair-link', textsFrom('pairing', 'link'), readLink),
  target(
    'invite',
    textsFrom('pairing', 'link').flatMap((link) => {
      const code = /#pair=([\w-]+)$/.exec(fromUtf8(link))?.[1];
      return code ? [Uint8Array.from(Buffer.from(code, 'base64url')).slice(1, -4)] : [];
    }),
    readInvite,
  ),
  target('device-id', [...textsFrom('device-ids', 'id'), ...textsFrom('device-ids', 'text')], readId),
  target(
    'key',
    [
      bytesOf('key and signature', 120),
      ...seedsFrom(['chains-and-ids'], 'key').map((key) => concat(key, bytesOf('signature', 80))),
    ],
    readKey,
  ),
  target('digits', noise, (input) => pairDigits(crypto, input).length),
  target('heads', [bytesOf('heads', 49 * 4)], readHeads),
  target('table-spaces', [encodeSpace(space)], (input) => decodeSpace(input).head > 0),
  target(
    'table-chains',
    [
      encodeChain({
        device: bytesOf('d', 32),
        nonce: bytesOf('n', 8),
        id: bytesOf('i', 16),
        seq: 3,
        head: bytesOf('h', 32),
      }),
    ],
    (input) => decodeChain(input).seq > 0,
  ),
  target(
    'table-blocks',
    [encodeBlock({ codec: 1, rawBytes: 900, data: bytesOf('block', 200) })],
    (input) => decodeBlock(input).rawBytes > 0,
  ),
  target(
    'table-block-index',
    [
      encodeBlockRecord({
        first: 1,
        rawBytes: 900,
        dataBytes: 200,
        hasGaps: false,
        ranges: [{ chain: 0, first: 1, last: 9 }],
        subjects: bytesOf('bloom', 16),
      }),
    ],
    (input) => decodeBlockRecord(input).ranges.length,
  ),
  target(
    'table-facts',
    [
      encodeFact({
        ...FACT,
        statements: [
          { target: MEMBER, role: 'writer', revoked: null },
          { target: MEMBER, role: null, revoked: new Map([['aa', 4]]) },
        ],
      }),
    ],
    (input) => decodeFact(input).statements.length,
  ),
  target(
    'table-cursors',
    [encodeCursor({ epoch: bytesOf('epoch', 8), seq: 7, ownHead: null })],
    (input) => decodeCursor(input).ownHead === null,
  ),
  target(
    'table-peers',
    [encodePeer({ name: 'phone', addresses: ['http://10.0.0.1:7600'], trusted: true, lastSeenMs: 5 })],
    (input) => decodePeer(input).addresses.length,
  ),
];

/**
 * The worked exchange of docs/PROTOCOL.md, section 19, from its fixed keys: each block of text that stands there, by name. The messages are those
 * that two sessions say to each other, the bytes those that two channels make of them; only the inside of the Noise handshake, which no channel
 * shows, is computed here once more.
 */
import { createHash } from 'node:crypto';
import { nodeCrypto as crypto } from '../../client/platform/crypto-node.ts';
import { decodeBatch, encodeBatch, type BatchChain, type BatchEntry } from '../../protocol/batch.ts';
import { encodeBody, hashBody } from '../../protocol/body.ts';
import { concat, equal, toHex, utf8 } from '../../protocol/bytes.ts';
import { Channel } from '../../protocol/channel.ts';
import { chainId, ChainHasher, spaceId, ZERO_ID } from '../../protocol/commit.ts';
import { CREDIT_BYTES_MIN } from '../../protocol/constants.ts';
import { formatDeviceId } from '../../protocol/device-id.ts';
import { decodeMessage, encodeMessage, type Message } from '../../protocol/messages.ts';
import { endOfValue } from '../../protocol/msgpack.ts';
import { newSession, step, type OutgoingBatch, type SessionEvent, type SessionState } from '../../protocol/session.ts';
import { digest } from '../../protocol/vector.ts';
import { splitFrames } from '../../protocol/frame.ts';

/** What the earlier examples of the page give. */
export interface Given {
  readonly salt: Uint8Array;
  readonly nonce: Uint8Array;
  readonly bodies: readonly Uint8Array[];
}

const counting = (from: number, length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => from + i);
const TIME = 1_767_225_600_000_000;
const EPOCH = counting(0xc0, 8);
const KEYS = {
  phone: { seed: counting(0x20, 32), static: counting(0x50, 32), ephemeral: counting(0x70, 32) },
  laptop: { seed: counting(0x00, 32), static: counting(0x10, 32), ephemeral: counting(0x30, 32) },
} as const;
type Side = keyof typeof KEYS;
const device = (side: Side) => crypto.ed25519KeyPair(KEYS[side].seed);
const noise = (side: Side, key: 'static' | 'ephemeral') => crypto.x25519KeyPair(KEYS[side][key]);

export interface Exchange {
  readonly blocks: ReadonlyMap<string, string>;
  readonly space: Uint8Array;
  /** Unpacked, in the order in which they come. */
  readonly batches: readonly Uint8Array[];
  /** That the sender says with CAUGHT_UP. */
  readonly digest: Uint8Array;
}

export function workedExchange(given: Given): Exchange {
  const log = writeLog(given);
  const said = converse(log);
  const { first, second, third, initiator, responder } = shakeHands();
  const lines = handshakeLines(first, second, third);
  const blocks = new Map<string, string>([
    ['keys', keyLines()],
    ['third commit', log.lines],
    ['handshake inside', lines],
    ['message 1', `${parts([['e, the public ephemeral key', first]])}\n${webSocketFrame(first, Uint8Array.of(1, 2, 3, 4))}`], // prettier-ignore
    ['message 2', `${parts(cut(second, [['e', 32], ['s, encrypted', 32], ['its tag', 16], ['binding: device key, encrypted', 32], ['binding: signature, encrypted', 64], ['its tag', 16]]))}\n${webSocketFrame(second, null)}`], // prettier-ignore
    ['message 3', parts(cut(third, [['s, encrypted', 32], ['its tag', 16], ['binding: device key, encrypted', 32], ['binding: signature, encrypted', 64], ['its tag', 16]]))], // prettier-ignore
  ]);
  const count = { phone: 0, laptop: 0 };
  for (const [i, { from, message }] of said.entries()) {
    const [channel, other] = from === 'phone' ? [initiator, responder] : [responder, initiator];
    const bytes = encodeMessage(message);
    const [sealed, ...more] = channel.seal(bytes) as [Uint8Array];
    const [frame] = splitFrames(bytes);
    if (more.length > 0 || !equal(other.receive(sealed).message!, bytes)) throw new Error('it is one frame');
    const label = `${i + 1} ${message.type}`;
    blocks.set(
      label,
      `${parts([['flag: the message ends here', frame!.subarray(0, 1)]])}${annotate(bytes, labelsOf(message, i))}\n${pairs(
        [[`sealed, n = ${count[from]++}`, toHex(sealed)]],
      )}`,
    );
  }
  const request = `GET /sync HTTP/1.1\nHost: 192.168.1.20:7600\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Key: ${KEY}\nSec-WebSocket-Version: 13\nSec-WebSocket-Protocol: tidelog.1\n`;
  const response = `HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: ${ACCEPT}\nSec-WebSocket-Protocol: tidelog.1\n`;
  blocks.set('upgrade request', request);
  blocks.set('upgrade response', response);
  return { blocks, space: log.space, batches: log.batches, digest: log.digest };
}

/** RFC 6455 section 1.3. */
const KEY = Buffer.from(counting(0, 16)).toString('base64');
const ACCEPT = createHash('sha1').update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

// ---- the log: the two commits of section 4, and one that lets the phone in

interface WorkedLog {
  readonly space: Uint8Array;
  readonly batches: readonly Uint8Array[];
  readonly digest: Uint8Array;
  readonly lines: string;
}

function writeLog({ salt, nonce, bodies }: Given): WorkedLog {
  const laptop = device('laptop');
  const space = spaceId(crypto, laptop.public, salt);
  const key = { space, device: laptop.public, nonce };
  const hasher = new ChainHasher(crypto, key);
  const grant = encodeBody({
    time: TIME + 2,
    deps: [],
    changes: [
      {
        subject: `~devices/${formatDeviceId(device('phone').public)}`,
        ops: { set: { role: 'reader', name: 'phone' } },
      },
    ],
  });
  let id = ZERO_ID;
  const places: { prev: Uint8Array; id: Uint8Array; entry: BatchEntry }[] = [];
  for (const [i, body] of [...bodies, grant].entries()) {
    const signature = hasher.sign(laptop, i + 1, id, hashBody(crypto, body));
    const prev = id;
    id = hasher.id(i + 1, prev, hashBody(crypto, body), signature);
    places.push({ prev, id, entry: { kind: 'commit', chain: 0, signature, body } });
  }
  const after = (seq: number): BatchChain => ({ device: laptop.public, nonce, seq, id: places[seq]!.prev });
  const entries = places.map(({ entry }) => entry);
  const last = places.at(-1)!;
  return {
    space,
    batches: [
      encodeBatch({ chains: [after(0)], entries: entries.slice(0, 2) }),
      encodeBatch({ chains: [after(2)], entries: entries.slice(2) }),
    ],
    digest: digest(crypto, [{ chain: chainId(crypto, key), seq: 3, id: last.id }]),
    lines: pairs([
      ['body', toHex(grant)],
      ['body hash', toHex(hashBody(crypto, grant))],
      ['prev', toHex(last.prev)],
      ['signature', toHex((last.entry as Extract<BatchEntry, { kind: 'commit' }>).signature)],
      ['commit id', toHex(last.id)],
    ]),
  };
}

// ---- what they say

/** The messages in their order: two sessions, and hosts that answer at once. The phone speaks first where both could. */
function converse({ space, batches, digest: digestOfAll }: WorkedLog): { from: Side; message: Message }[] {
  const said: { from: Side; message: Message }[] = [];
  const states: Record<Side, SessionState> = { phone: newSession(0), laptop: newSession(0) };
  const waiting: { to: Side; event: SessionEvent }[] = [];
  let hasEnded = false;
  const positions = [0, 2, 3];
  const put = (to: Side, event: SessionEvent): void => void waiting.push({ to, event });
  const greeting = { time: TIME + 3, capabilities: [] };
  const state = { space, epoch: EPOCH, head: 3, digest: digestOfAll };
  put('phone', { type: 'start', known: true, greeting: { ...greeting, name: 'phone', agent: 'example/1', spaces: [] }, nowMs: 0 }); // prettier-ignore
  put('laptop', { type: 'start', known: true, greeting: { ...greeting, capabilities: ['zstd'], name: 'laptop', agent: 'tidelog/0.1.0', spaces: [state] }, nowMs: 0 }); // prettier-ignore
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const { to } = next;
    const [after, effects] = step(states[to], next.event);
    states[to] = after;
    for (const effect of effects) {
      switch (effect.type) {
        case 'send': {
          said.push({ from: to, message: effect.message });
          // Over the wire: each side hears what it can read.
          const message = decodeMessage(encodeMessage(effect.message))!;
          put(to === 'phone' ? 'laptop' : 'phone', { type: 'message', message, nowMs: 0 });
          break;
        }
        case 'greeted':
          if (to === 'phone')
            put('phone', { type: 'subscribe', request: { space, from: { kind: 'all' }, filter: null, live: false, credit: CREDIT_BYTES_MIN }, nowMs: 0 }); // prettier-ignore
          break;
        case 'open':
          put('laptop', { type: 'accepted', subscription: effect.subscription, position: 0, nowMs: 0 });
          break;
        case 'read': {
          const at = positions.indexOf(effect.after);
          const data = batches[at];
          const batch: OutgoingBatch | null = data
            ? { last: positions[at + 1]!, codec: 0, rawBytes: data.length, data }
            : null;
          put('laptop', { type: 'read', subscription: effect.subscription, batch, digest: digestOfAll, nowMs: 0 });
          break;
        }
        case 'ingest': {
          decodeBatch(effect.batch.data);
          const { last, data } = effect.batch;
          put('phone', { type: 'stored', subscription: effect.subscription, last, bytes: data.length, nowMs: 0 });
          break;
        }
        case 'ended':
          hasEnded = effect.fault === null;
          break;
        case 'close':
          throw new Error(`it ends with ${effect.error?.code ?? 'nothing'}`);
        case 'drop':
        case 'caughtUp':
        case 'acked':
        case 'heads':
        case 'pairRequest':
        case 'pairAnswer':
          break;
      }
    }
  }
  if (!hasEnded) throw new Error('the subscription has not ended');
  return said;
}

// ---- the handshake

function shakeHands(): {
  first: Uint8Array;
  second: Uint8Array;
  third: Uint8Array;
  initiator: Channel;
  responder: Channel;
} {
  const channelOf = (side: Side): Channel =>
    new Channel({
      initiator: side === 'phone',
      crypto,
      random: () => KEYS[side].ephemeral,
      deviceKeys: device(side),
      noiseKeys: noise(side, 'static'),
    });
  const [initiator, responder] = [channelOf('phone'), channelOf('laptop')];
  const first = initiator.start()!;
  const [second] = responder.receive(first).send as [Uint8Array];
  const [third] = initiator.receive(second).send as [Uint8Array];
  responder.receive(third);
  return { first, second, third, initiator, responder };
}

/** Noise XX once more, by hand, for what an implementer wants to look at: h, ck and k at each step. It must come to the same messages. */
function handshakeLines(first: Uint8Array, second: Uint8Array, third: Uint8Array): string {
  const lines: [name: string, value: string][] = [];
  const note = (name: string, value: Uint8Array): void => void lines.push([name, toHex(value)]);
  let h = utf8('Noise_XX_25519_ChaChaPoly_SHA256');
  let ck = h;
  let k: Uint8Array = new Uint8Array(0);
  let n = 0;
  const mixHash = (data: Uint8Array): void => void (h = crypto.sha256(concat(h, data)));
  const hkdf = (material: Uint8Array): [Uint8Array, Uint8Array] => {
    const key = crypto.hmacSha256(ck, material);
    const one = crypto.hmacSha256(key, Uint8Array.of(1));
    return [one, crypto.hmacSha256(key, concat(one, Uint8Array.of(2)))];
  };
  const mixKey = (name: string, secret: Uint8Array, theirs: Uint8Array): void => {
    const shared = crypto.x25519(secret, theirs)!;
    note(`${name}: shared secret`, shared);
    [ck, k] = hkdf(shared);
    n = 0;
    note(`${name}: ck`, ck);
    note(`${name}: k`, k);
  };
  const seal = (plain: Uint8Array): Uint8Array => {
    const nonce = new Uint8Array(12);
    nonce[4] = n++;
    const sealed = crypto.chachaPolyEncrypt(k, nonce, h, plain);
    mixHash(sealed);
    return sealed;
  };
  const binding = (side: Side): Uint8Array =>
    concat(
      device(side).public,
      crypto.ed25519Sign(device(side), concat(utf8('tidelog/1 noise'), noise(side, 'static').public)),
    );
  const [phoneE, laptopE] = [noise('phone', 'ephemeral'), noise('laptop', 'ephemeral')];
  const [phoneS, laptopS] = [noise('phone', 'static'), noise('laptop', 'static')];
  note('h, from the name', h);
  mixHash(utf8('tidelog/1'));
  note('h, with the prologue', h);
  mixHash(phoneE.public);
  mixHash(new Uint8Array(0));
  note('h after message 1', h);
  mixHash(laptopE.public);
  mixKey('ee', phoneE.secret, laptopE.public);
  const s = seal(laptopS.public);
  mixKey('es', phoneE.secret, laptopS.public);
  const payload = seal(binding('laptop'));
  note('h after message 2', h);
  const sThird = seal(phoneS.public);
  mixKey('se', phoneS.secret, laptopE.public);
  const payloadThird = seal(binding('phone'));
  note('handshake hash', h);
  const [forward, back] = hkdf(new Uint8Array(0));
  note('key phone → laptop', forward);
  note('key laptop → phone', back);
  const same = equal(first, phoneE.public) && equal(second, concat(laptopE.public, s, payload)) && equal(third, concat(sThird, payloadThird)); // prettier-ignore
  if (!same) throw new Error('the handshake by hand comes to other messages');
  return pairs(lines);
}

function keyLines(): string {
  const lines = (['phone', 'laptop'] as const).flatMap((side): [string, string][] => [
    [`${side} seed`, toHex(KEYS[side].seed)],
    [`${side} device key`, toHex(device(side).public)],
    [`${side} device ID`, formatDeviceId(device(side).public)],
    [`${side} static secret`, toHex(KEYS[side].static)],
    [`${side} static public`, toHex(noise(side, 'static').public)],
    [`${side} ephemeral secret`, toHex(KEYS[side].ephemeral)],
    [`${side} ephemeral public`, toHex(noise(side, 'ephemeral').public)],
  ]);
  return pairs([...lines, ['epoch of the laptop’s log', toHex(EPOCH)]]);
}

// ---- how it is written down

const NAME_WIDTH = 37;
const HEX_WIDTH = 64;

/** `name   hex`, the hex in lines of 32 bytes; what stands before a long byte string is set apart from it. */
function pairs(lines: readonly (readonly [name: string, value: string, head?: string])[]): string {
  return lines
    .map(([name, value, head = '']) => {
      const rows: string[] = [];
      for (let at = 0; at < value.length; at += HEX_WIDTH) rows.push(value.slice(at, at + HEX_WIDTH));
      const before = `${name.padEnd(NAME_WIDTH)} ${head && `${head} `}`;
      return `${before}${rows.join(`\n${' '.repeat(before.length)}`)}\n`;
    })
    .join('');
}

function parts(lines: readonly (readonly [name: string, bytes: Uint8Array])[]): string {
  return pairs(lines.map(([name, bytes]) => [name, toHex(bytes)]));
}

function cut(bytes: Uint8Array, sizes: readonly (readonly [name: string, length: number])[]): [string, Uint8Array][] {
  let at = 0;
  const pieces = sizes.map(([name, length]): [string, Uint8Array] => [name, bytes.subarray(at, (at += length))]);
  if (at !== bytes.length) throw new Error('the parts are not the whole');
  return pieces;
}

/** RFC 6455 section 5.2: one binary frame, masked where a client sends it. */
function webSocketFrame(payload: Uint8Array, mask: Uint8Array | null): string {
  const bit = mask ? 0x80 : 0;
  const { length } = payload;
  const head = length < 126 ? [0x82, bit | length] : [0x82, bit | 126, length >> 8, length & 0xff];
  const lines: [string, Uint8Array][] = [['WebSocket: binary, length', Uint8Array.from(head)]];
  if (mask)
    lines.push(['WebSocket: mask', mask], ['WebSocket: payload, masked', payload.map((byte, i) => byte ^ mask[i % 4]!)]); // prettier-ignore
  else lines.push(['WebSocket: payload', payload]);
  return parts(lines);
}

/** What each token of a message is, in its order; a label for what holds bytes may be followed by labels for what is in those. */
type Labels = readonly (string | readonly [name: string, inside: Labels])[];

/** A line for each MessagePack token, indented by its level. Every byte stands in exactly one line. */
function annotate(bytes: Uint8Array, labels: Labels, level = 0): string {
  const lines: (readonly [string, string, string?])[] = [];
  let at = 0;
  let text = '';
  const flush = (): void => {
    text += pairs(lines.splice(0));
  };
  const queue = [...labels];
  const walk = (depth: number): void => {
    const label = queue.shift();
    if (label === undefined) throw new Error(`no label for what stands at ${at}`);
    const name = `${'  '.repeat(depth)}${typeof label === 'string' ? label : label[0]}`;
    const byte = bytes[at]!;
    const size = sizeOfHead(byte);
    const isArray = (byte & 0xf0) === 0x90;
    const isMap = (byte & 0xf0) === 0x80;
    if (isArray || isMap) {
      lines.push([name, toHex(bytes.subarray(at, at + 1))]);
      at++;
      for (let left = (byte & 0x0f) * (isMap ? 2 : 1); left > 0; left--) walk(depth + 1);
      return;
    }
    const end = endOfValue(bytes, at, 1, 'bad-message');
    if (typeof label === 'string') {
      const isBytes = size > 1;
      if (isBytes) lines.push([name, toHex(bytes.subarray(at + size, end)), toHex(bytes.subarray(at, at + size))]);
      else lines.push([name, toHex(bytes.subarray(at, end))]);
    } else {
      lines.push([name, toHex(bytes.subarray(at, at + size))]);
      flush();
      const inside = bytes.subarray(at + size, end);
      text += annotate(inside, label[1], depth + 1);
    }
    at = end;
  };
  walk(level);
  flush();
  if (at !== bytes.length || queue.length > 0) throw new Error('the labels are not those of the bytes');
  return text;
}

/** Of bin 8, 16 and 32; of others it doesn't matter. */
function sizeOfHead(byte: number): number {
  return byte === 0xc4 ? 2 : byte === 0xc5 ? 3 : byte === 0xc6 ? 5 : 1;
}

const LIMITS = ['limits: map of 2', '"message"', '4,194,304', '"batch"', '2,097,152'];
const COMMIT_BODY: Labels = [
  'body: array of 3',
  'time, µs',
  'deps: none',
  'changes: array of 1',
  'change: array of 2',
  'subject',
  'ops: map of 1',
  '"set"',
  'map of 2',
  '"role"',
  '"reader"',
  '"name"',
  '"phone"',
];
const BATCH_OF_ONE: Labels = [
  'batch: array of 3',
  'chains: array of 1',
  'chain: array of 4',
  'device key',
  'nonce',
  'seq before the first entry',
  'id at that seq',
  'entries: array of 1',
  'entry: array of 2, a commit',
  'index into chains',
  ['body', COMMIT_BODY],
  'signatures: 64 bytes for each',
];

function labelsOf(message: Message, i: number): Labels {
  const head = (fields: number, type: number): string[] => [`array of ${fields}`, `type ${type}: ${message.type}`];
  switch (message.type) {
    case 'HELLO':
      return message.spaces.length === 0
        ? [...head(8, 1), 'version', 'name "phone"', 'agent "example/1"', 'capabilities: none', ...LIMITS, 'spaces: none', 'time, µs'] // prettier-ignore
        : [...head(8, 1), 'version', 'name "laptop"', 'agent "tidelog/0.1.0"', 'capabilities: array of 1', '"zstd"', ...LIMITS, 'spaces: array of 1', 'space state: array of 4', 'space id', 'epoch', 'head: 3', 'digest', 'time, µs']; // prettier-ignore
    case 'SUBSCRIBE_ALL':
      return [...head(6, 3), 'subscription', 'space', 'from: the beginning', 'live: no', 'credit: 2,097,152'];
    case 'BATCH':
      return [
        ...head(7, 7),
        'subscription',
        'prev',
        'last',
        'codec: none',
        `rawBytes: ${message.rawBytes}`,
        i === 3 ? 'data: that of section 5' : [`data: ${message.data.length} bytes`, BATCH_OF_ONE],
      ];
    case 'ACK':
      return [...head(4, 11), 'subscription', `last: ${message.last}`, `credit: ${message.credit}`];
    case 'CAUGHT_UP':
      return [...head(4, 9), 'subscription', 'last: 3', 'digest'];
    case 'UNSUBSCRIBED':
      return [...head(3, 15), 'subscription', 'fault: nil'];
    default:
      throw new Error(`${message.type} is not part of it`);
  }
}

/** Chapter 10: the upgrade, the handshake, frames. */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeBatch } from '../../protocol/batch.ts';
import { concat, equal, utf8 } from '../../protocol/bytes.ts';
import {
  CODEC,
  FRAME_PAYLOAD_BYTES,
  HANDSHAKE_TIMEOUT_MS,
  LABEL,
  MESSAGE_BYTES_MAX,
  NOISE_MESSAGE_BYTES,
  PROLOGUE,
} from '../../protocol/constants.ts';
import type { Crypto, KeyPair } from '../../protocol/crypto.ts';
import { ERRORS } from '../../protocol/errors.ts';
import { encodeMessage } from '../../protocol/messages.ts';
import { encode } from '../../protocol/msgpack.ts';
import { Handshake } from '../../protocol/noise.ts';
import type { Case, Trial } from '../case.ts';
import { ClientTrial } from '../client-target.ts';
import { crypto, newDevice, random, type Device } from '../device.ts';
import { Line } from '../line.ts';
import { dial, UpgradeRefused, type Socket } from '../socket.ts';
import { expect, Violation } from '../violation.ts';
import { bindingOf, Messages, newNoiseKeys, respond, withTimeout, Wire } from '../wire.ts';
import { batchOf, set } from '../world.ts';

const CLOSE_BAD_HANDSHAKE = ERRORS['bad-handshake'].close!;
/** An even number that no version has given to a message. */
const UNKNOWN_EVEN = 1000;
/** How much later than a limit the other side may come, whose clock ticks now and then: ms. */
const TICK_MS = 10_000;

/** The WebSocket closes, with one of these codes where any are named, and nothing is said before. */
async function closesSilently(
  { patienceMs }: Trial,
  socket: Socket,
  codes: readonly number[] | null,
  after: string,
  withinMs = patienceMs,
): Promise<void> {
  let said = 0;
  socket.onMessage(() => said++);
  const { code } = await withTimeout(
    socket.closed,
    withinMs,
    () => new Violation(`it did not close the connection within ${withinMs / 1000} s after ${after}`),
  );
  expect(said === 0, `it sent ${said} message(s) after ${after}`);
  expect(codes === null || codes.includes(code), `it closed with ${code} after ${after}`);
}

/** For the next try of one case. A program that was refused need not come back by itself. */
async function afresh(trial: Trial): Promise<void> {
  if (trial.side === 'server') return;
  await trial.kill();
  // Its connections have to be seen to end.
  await sleep(200);
}

// ---- handshakes by hand

interface Forgery {
  readonly prologue?: string;
  readonly device?: Device;
  readonly noiseKeys?: KeyPair;
  readonly ephemeralKeys?: KeyPair;
  readonly crypto?: Crypto;
}

interface Forged {
  readonly socket: Socket;
  readonly messages: Messages;
  readonly handshake: Handshake;
  readonly device: Device;
  readonly noiseKeys: KeyPair;
  /** What the implementation sent last. */
  readonly theirs: Uint8Array;
}

function kitDevice(trial: Trial): Device {
  return trial instanceof ClientTrial ? trial.node : newDevice();
}

function forgedHandshake(initiator: boolean, forgery: Forgery): { handshake: Handshake; noiseKeys: KeyPair } {
  const noiseKeys = forgery.noiseKeys ?? newNoiseKeys();
  const handshake = new Handshake({
    crypto: forgery.crypto ?? crypto,
    initiator,
    prologue: utf8(forgery.prologue ?? PROLOGUE),
    staticKeys: noiseKeys,
    ephemeralKeys: forgery.ephemeralKeys ?? newNoiseKeys(),
  });
  return { handshake, noiseKeys };
}

/** Up to the kit's own binding, which is message 3 to a node, and message 2 to a program: the next `handshake.write` makes it. */
async function upToBinding(trial: Trial, forgery: Forgery = {}): Promise<Forged> {
  const isInitiator = trial.side === 'server';
  const socket = await trial.socket();
  const messages = new Messages(socket, trial.patienceMs);
  const { handshake, noiseKeys } = forgedHandshake(isInitiator, forgery);
  if (isInitiator) socket.send(handshake.write(new Uint8Array(0)));
  const theirs = await messages.next(`handshake message ${isInitiator ? 2 : 1}`);
  handshake.read(theirs);
  return { socket, messages, handshake, device: forgery.device ?? kitDevice(trial), noiseKeys, theirs };
}

/** The kit's binding, made wrong by `spoil`, ends the handshake with 4001 and without a word. */
async function refusesBinding(
  trial: Trial,
  what: string,
  spoil: (forged: Forged) => Uint8Array,
  forgery: Forgery = {},
): Promise<void> {
  const forged = await upToBinding(trial, forgery);
  const { socket, messages } = forged;
  socket.send(spoil(forged));
  messages.release();
  await closesSilently(trial, socket, [CLOSE_BAD_HANDSHAKE], what);
}

/** The same with a payload that is wrong inside an encryption that is right. */
async function refusesPayload(trial: Trial, what: string, payload: (forged: Forged) => Uint8Array): Promise<void> {
  await refusesBinding(trial, what, (forged) => forged.handshake.write(payload(forged)));
}

/** What the device signs to lend its name to the Noise key. */
function signedText({ noiseKeys }: Forged): Uint8Array {
  return concat(utf8(LABEL.NOISE), noiseKeys.public);
}

/** The whole handshake by hand; what the kit encrypts is noted, so that a case can encrypt what the kit's own cipher refuses to. */
async function notedWire(trial: Trial): Promise<{ wire: Wire; seal(plain: Uint8Array): Uint8Array }> {
  let last: { key: Uint8Array; nonce: Uint8Array } | null = null;
  const noting: Crypto = {
    ...crypto,
    chachaPolyEncrypt: (key, nonce, associated, plain) => {
      last = { key, nonce: nonce.slice() };
      return crypto.chachaPolyEncrypt(key, nonce, associated, plain);
    },
  };
  const { socket, messages, handshake, device, noiseKeys } = await upToBinding(trial, { crypto: noting });
  socket.send(handshake.write(bindingOf(device, noiseKeys)));
  if (trial.side === 'client') handshake.read(await messages.next('handshake message 3'));
  messages.release();
  const wire = new Wire(socket, device, handshake.split(), new Uint8Array(32), {
    patienceMs: trial.patienceMs,
    silent: true,
  });
  wire.send({ type: 'HEARTBEAT', spaces: [], time: 0 });
  const { key, nonce } = last!;
  return {
    wire,
    seal: (plain) => {
      const next = nonce.slice();
      new DataView(next.buffer).setBigUint64(4, new DataView(next.buffer).getBigUint64(4, true) + 1n, true);
      return crypto.chachaPolyEncrypt(key, next, new Uint8Array(0), plain);
    },
  };
}

// ---- keys and signatures that lax verifiers take

const L = 2n ** 252n + 27_742_317_777_372_353_535_851_937_790_883_648_493n;

function number(bytes: Uint8Array): bigint {
  return bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}
function bytesOf(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n));
}
function sha512(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(
    createHash('sha512')
      .update(concat(...parts))
      .digest(),
  );
}
/** RFC 8032: the scalar of a seed. */
function scalarOf(seed: Uint8Array): bigint {
  const bytes = sha512(seed).slice(0, 32);
  bytes[0]! &= 248;
  bytes[31]! &= 63;
  bytes[31]! |= 64;
  return number(bytes) % L;
}

const IDENTITY = Uint8Array.of(1, ...Array<number>(31).fill(0));

/** Keys that section 3.1 refuses: of small order, and not below p. */
const WEAK_KEYS: readonly string[] = [
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  '0000000000000000000000000000000000000000000000000000000000000000',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  // The identity and the point of order 2 with the sign bit, and the identity as p + 1.
  '0100000000000000000000000000000000000000000000000000000000000080',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
];

/** A signature that verifies by the equation alone, under a key of small order: k·A is the identity where 8 divides k. */
function signUnderWeak(key: Uint8Array, message: Uint8Array): Uint8Array {
  for (;;) {
    const seed = random(32);
    const r = crypto.ed25519KeyPair(seed).public;
    if ((number(sha512(r, key, message)) % L) % 8n === 0n) return concat(r, bytesOf(scalarOf(seed)));
  }
}

/** A signature by a right key whose R is the identity. */
function signWithWeakR(seed: Uint8Array, key: Uint8Array, message: Uint8Array): Uint8Array {
  const k = number(sha512(IDENTITY, key, message)) % L;
  return concat(IDENTITY, bytesOf((k * scalarOf(seed)) % L));
}

/** X25519 points whose product with any scalar is zero (RFC 7748, section 6.1): little-endian. */
const ZERO_POINTS: readonly string[] = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
];

function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'));
}

/** What a peer computes that takes such a point: the kit has to come to the same, where its own key with this secret is used. */
function takingZeros(secret: Uint8Array): Crypto {
  return {
    ...crypto,
    x25519: (mine, theirs) => (equal(mine, secret) ? new Uint8Array(32) : crypto.x25519(mine, theirs)),
  };
}

/** All of them against a node; the first few against a program, which has to be started for each. */
function some<T>(trial: Trial, all: readonly T[], ofProgram = 2): readonly T[] {
  return trial.side === 'server' ? all : all.slice(0, ofProgram);
}

// ---- frames by hand

/** A subscription that is refused in its turn: its answer shows that the message was put together. */
function question(line: Line, chains = 0): { message: Uint8Array; answered(): Promise<void> } {
  const subscription = line.nextSubscription();
  const heads = Array.from({ length: chains }, () => ({ chain: random(16), seq: 1, id: random(32) }));
  const message = encodeMessage({
    type: 'SUBSCRIBE_ALL',
    subscription,
    space: random(32),
    from: { kind: 'vector', heads },
    live: false,
    credit: 4_194_304,
  });
  return {
    message,
    answered: async () => {
      await line.wire.next('UNSUBSCRIBED', (answer) => answer.subscription === subscription);
    },
  };
}

/** Frames with payloads of these sizes, the last of what is left. */
function framesOf(message: Uint8Array, size: () => number): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let start = 0; start < message.length;) {
    const end = Math.min(message.length, start + size());
    frames.push(concat(Uint8Array.of(end < message.length ? 1 : 0), message.subarray(start, end)));
    start = end;
  }
  return frames;
}

/** An ignored message of exactly this many bytes. */
function ignoredOf(bytes: number): Uint8Array {
  const overhead = encode([UNKNOWN_EVEN, new Uint8Array(bytes)]).length - bytes;
  // Just below 64 KiB the head of the inner bytes is shorter than that of `bytes` of them.
  for (const head of [overhead, overhead - 2]) {
    const message = encode([UNKNOWN_EVEN, new Uint8Array(bytes - head)]);
    if (message.length === bytes) return message;
  }
  throw new Error(`no message of ${bytes} bytes`);
}

function frame(flag: number, ...payload: readonly number[]): Uint8Array {
  return Uint8Array.of(flag, ...payload);
}

const HEARTBEAT_FRAME = concat(frame(0), encodeMessage({ type: 'HEARTBEAT', spaces: [], time: 0 }));

function frameCase(
  id: Case['id'],
  title: string,
  send: (wire: Wire) => void,
  rule = "A Noise message that doesn't decrypt, another flag, and an empty frame are `bad-frame`",
): Case {
  return {
    id,
    title,
    rule,
    hostile: true,
    async run(trial) {
      const { wire } = await trial.line();
      send(wire);
      await wire.refused('bad-frame');
      expect(wire.socket.closing?.code === ERRORS['bad-frame'].close, `it closed with ${wire.socket.closing?.code}`);
      expect(wire.received.at(-1)?.type !== 'ERROR', 'it sent an ERROR after a frame that it refused');
    },
  };
}

// ---- the cases

const upgradeCases: readonly Case[] = [
  {
    id: '10.1/1',
    title: 'the subprotocol is agreed on',
    rule: 'subprotocol `tidelog.1`, which both sides MUST name',
    stranger: true,
    async run(trial) {
      const socket = await trial.socket();
      expect(socket.subprotocol === 'tidelog.1', `the subprotocol is ${JSON.stringify(socket.subprotocol)}`);
    },
  },
  {
    id: '10.1/2',
    title: 'an upgrade without the subprotocol is refused',
    rule: '400 where the subprotocol is missing',
    side: 'server',
    stranger: true,
    async run(trial) {
      for (const offered of [[], ['tidelog.2'], ['Tidelog.1']]) {
        try {
          const socket = await dial(trial.url, offered);
          socket.cut();
          expect(false, `it took a connection that offered ${JSON.stringify(offered)}`);
        } catch (thrown) {
          if (!(thrown instanceof UpgradeRefused)) throw thrown;
          expect(thrown.status === 400, `it refused with HTTP status ${thrown.status}`);
        }
      }
    },
  },
  {
    id: '10.1/3',
    title: 'no compression, also where it is offered',
    rule: 'Compression (permessage-deflate) MUST be off.',
    side: 'server',
    stranger: true,
    async run(trial) {
      const socket = await dial(trial.url, undefined, { perMessageDeflate: true });
      expect(socket.extensions === '', `it agreed on ${socket.extensions}`);
      socket.cut();
    },
  },
  {
    id: '10.1/4',
    title: 'a text message',
    rule: 'a text message ends the connection with close code 4003',
    hostile: true,
    async run(trial) {
      const { wire } = await trial.line();
      wire.socket.sendText('hello');
      const { code } = await withTimeout(
        wire.socket.closed,
        trial.patienceMs,
        () => new Violation('it did not end the connection'),
      );
      expect(code === 4003, `it closed with ${code}`);
    },
  },
  {
    id: '10.1/5',
    title: 'a text message in place of the handshake',
    rule: 'a text message ends the connection with close code 4003',
    hostile: true,
    stranger: true,
    async run(trial) {
      const socket = await trial.socket();
      // A program's message 1 is under way already.
      if (trial.side === 'client') await new Messages(socket, trial.patienceMs).next('handshake message 1');
      socket.sendText('hello');
      await closesSilently(trial, socket, [4003], 'a text message');
    },
  },
  {
    id: '10.1/6',
    title: 'the subprotocol among others',
    rule: 'subprotocol `tidelog.1`, which both sides MUST name',
    side: 'server',
    stranger: true,
    async run(trial) {
      const socket = await dial(trial.url, ['other.1', 'tidelog.1']);
      expect(socket.subprotocol === 'tidelog.1', `the subprotocol is ${JSON.stringify(socket.subprotocol)}`);
      socket.cut();
    },
  },
  {
    id: '10.1/7',
    title: 'a WebSocket message of 65,536 bytes that decrypts',
    rule: 'One that is too large ends it too, and a receiver MAY simply drop the socket.',
    hostile: true,
    async run(trial) {
      const { wire, seal } = await notedWire(trial);
      const plain = concat(frame(0), ignoredOf(NOISE_MESSAGE_BYTES + 1 - 16 - 1));
      wire.socket.send(seal(plain));
      await withTimeout(
        wire.socket.closed,
        trial.patienceMs,
        () => new Violation('it took a Noise message of 65,536 bytes'),
      );
    },
  },
  {
    id: '10.1/8',
    title: 'a WebSocket message of 16 MiB',
    rule: 'One that is too large ends it too, and a receiver MAY simply drop the socket.',
    hostile: true,
    async run(trial) {
      const { wire } = await trial.line();
      wire.socket.send(new Uint8Array(16 * 1024 * 1024));
      await withTimeout(wire.socket.closed, trial.patienceMs, () => new Violation('it did not end the connection'));
    },
  },
  {
    id: '10.1/9',
    title: 'a WebSocket message of 65,535 bytes is taken',
    rule: 'Each WebSocket message is exactly one Noise message, of at most `NOISE_MESSAGE_BYTES` (65,535) bytes.',
    async run(trial) {
      const line = await trial.line();
      line.wire.sendFrame(concat(frame(0), ignoredOf(FRAME_PAYLOAD_BYTES)));
      await line.ping();
    },
  },
  {
    id: '10.1/10',
    title: 'a ping before the handshake',
    rule: 'A ping MUST be answered by a pong, also in the handshake',
    stranger: true,
    async run(trial) {
      const socket = await trial.socket();
      expect(await socket.ping(trial.patienceMs), 'a ping was not answered');
    },
  },
  {
    id: '10.1/11',
    title: 'a ping on a connection that is open',
    rule: 'A ping MUST be answered by a pong',
    async run(trial) {
      const line = await trial.line();
      expect(await line.wire.socket.ping(trial.patienceMs), 'a ping was not answered');
      await line.ping();
    },
  },
  {
    id: '10.1/12',
    title: 'messages in many WebSocket frames, with a ping between messages',
    rule: 'A message may come in several WebSocket frames, and is put together again.',
    async run(trial) {
      const line = await trial.line();
      const { message, answered } = question(line, 50);
      const sealed = line.wire.sealed(concat(frame(0), message));
      const parts = Array.from({ length: Math.ceil(sealed.length / 100) }, (_, i) =>
        sealed.subarray(i * 100, i * 100 + 100),
      );
      line.wire.socket.sendFragments([new Uint8Array(0), ...parts]);
      expect(await line.wire.socket.ping(trial.patienceMs), 'a ping was not answered');
      await answered();
    },
  },
  {
    id: '10.1/13',
    title: 'the handshake in many WebSocket frames',
    rule: 'A message may come in several WebSocket frames, and is put together again.',
    stranger: true,
    async run(trial) {
      const { socket, messages, handshake, device, noiseKeys } = await upToBinding(trial);
      const ours = handshake.write(bindingOf(device, noiseKeys));
      socket.sendFragments(Array.from(ours, (byte) => Uint8Array.of(byte)));
      if (trial.side === 'client') {
        handshake.read(await messages.next('handshake message 3'));
        return;
      }
      messages.release();
      const wire = new Wire(socket, device, handshake.split(), new Uint8Array(32), { patienceMs: trial.patienceMs });
      wire.send({
        type: 'SUBSCRIBE_ALL',
        subscription: 1,
        space: random(32),
        from: { kind: 'all' },
        live: false,
        credit: 4_194_304,
      });
      await wire.refused('not-paired');
    },
  },
  {
    id: '10.1/14',
    title: 'a WebSocket close is answered',
    rule: 'What RFC 6455 asks of every WebSocket holds beneath that',
    async run(trial) {
      const { wire } = await trial.line();
      wire.socket.close(1000);
      const { code } = await withTimeout(
        wire.socket.closed,
        trial.patienceMs,
        () => new Violation('it did not answer a WebSocket close'),
      );
      expect(code === 1000 || code === 1005, `a close with 1000 was answered with ${code}`);
    },
  },
  {
    id: '10.1/15',
    title: 'a program sends no Origin, and the Host of the address',
    rule: '`Host` SHOULD be what the address says; a program that is no browser SHOULD send no `Origin`.',
    side: 'client',
    should: true,
    async run(trial) {
      const socket = await trial.socket();
      const { host, origin } = socket.headers;
      const [address] = (trial as ClientTrial).link.addresses;
      expect(address === `http://${host}`, `the address is ${address}, and it sent Host: ${host}`);
      expect(origin === undefined, `it sent Origin: ${origin}`);
    },
  },
  {
    id: '10.1/16',
    title: 'an upgrade by a program without an Origin',
    rule: 'a program that is no browser SHOULD send no `Origin`',
    side: 'server',
    stranger: true,
    async run(trial) {
      const socket = await dial(trial.url);
      expect(socket.subprotocol === 'tidelog.1', 'it took no connection without an Origin');
      socket.cut();
    },
  },
];

const handshakeCases: readonly Case[] = [
  {
    id: '10.2/1',
    title: 'the handshake, byte for byte as long as the page says',
    rule: 'Each of the three has one size.',
    stranger: true,
    async run(trial) {
      // The kit holds each message's size, and the binding, against the page.
      const wire = await trial.wire();
      expect(wire.handshakeHash.length === 32, 'there is no handshake hash');
      if (trial.side === 'server') {
        // Message 3 was taken, too: what comes now is an answer inside the channel.
        wire.send({ type: 'UNSUBSCRIBE', subscription: 1 });
        await wire.refused('not-paired');
      }
    },
  },
  {
    id: '10.2/2',
    title: 'a payload in message 1',
    rule: 'payload: empty. A responder refuses any other.',
    side: 'server',
    hostile: true,
    stranger: true,
    async run(trial) {
      for (const bytes of [1, 16, 96, 65_503]) {
        const socket = await trial.socket();
        socket.send(forgedHandshake(true, {}).handshake.write(random(bytes)));
        await closesSilently(trial, socket, [CLOSE_BAD_HANDSHAKE], `message 1 with a payload of ${bytes} bytes`);
      }
    },
  },
  {
    id: '10.2/3',
    title: 'a message 1 that is too short',
    rule: 'Another one is wrong',
    side: 'server',
    hostile: true,
    stranger: true,
    async run(trial) {
      for (const bytes of [0, 1, 31]) {
        const socket = await trial.socket();
        socket.send(random(bytes));
        await closesSilently(trial, socket, [CLOSE_BAD_HANDSHAKE], `message 1 of ${bytes} bytes`);
      }
    },
  },
  {
    id: '10.2/4',
    title: "the kit's own binding, altered on the way",
    rule: 'Anything wrong is `bad-handshake`: the connection is closed with 4001, without a message.',
    hostile: true,
    stranger: true,
    async run(trial) {
      // The middle of the payload, the end of its tag, the static key, and what stands first.
      for (const [i, place] of some(trial, [0.6, 1, 0.05, 0]).entries()) {
        if (i > 0) await afresh(trial);
        await refusesBinding(
          trial,
          `a message with a bit changed at ${place * 100} % of it`,
          ({ handshake, device, noiseKeys }) => {
            const message = handshake.write(bindingOf(device, noiseKeys));
            message[Math.floor((message.length - 1) * place)]! ^= 1;
            return message;
          },
        );
      }
    },
  },
  {
    id: '10.2/5',
    title: 'a binding message that is cut, or longer',
    rule: 'Another one is wrong, as is a payload of another size',
    hostile: true,
    stranger: true,
    async run(trial) {
      const spoilers: readonly ((message: Uint8Array) => Uint8Array)[] = [
        (message) => message.subarray(0, -1),
        (message) => concat(message, Uint8Array.of(0)),
        () => new Uint8Array(0),
        (message) => message.subarray(0, 32),
        (message) => concat(message, random(NOISE_MESSAGE_BYTES - message.length)),
      ];
      for (const [i, spoil] of some(trial, spoilers).entries()) {
        if (i > 0) await afresh(trial);
        await refusesBinding(trial, 'a message of another size', ({ handshake, device, noiseKeys }) =>
          spoil(handshake.write(bindingOf(device, noiseKeys))),
        );
      }
    },
  },
  {
    id: '10.2/6',
    title: 'a binding of another size, encrypted rightly',
    rule: 'Another one is wrong, as is a payload of another size',
    hostile: true,
    stranger: true,
    async run(trial) {
      const sizes: readonly ((binding: Uint8Array) => Uint8Array)[] = [
        (binding) => concat(binding, Uint8Array.of(0)),
        (binding) => binding.subarray(0, 95),
        () => new Uint8Array(0),
        (binding) => binding.subarray(0, 32),
        (binding) => concat(binding, random(4000)),
      ];
      for (const [i, change] of some(trial, sizes).entries()) {
        if (i > 0) await afresh(trial);
        await refusesPayload(trial, 'a binding of another size', ({ device, noiseKeys }) =>
          change(bindingOf(device, noiseKeys)),
        );
      }
    },
  },
  {
    id: '10.2/7',
    title: "another device's name on the binding",
    rule: 'The signature MUST be acceptable by',
    hostile: true,
    stranger: true,
    async run(trial) {
      await refusesPayload(trial, 'a binding that another device signed', ({ device, noiseKeys }) => {
        const signature = bindingOf(newDevice(), noiseKeys).subarray(32);
        return concat(device.keys.public, signature);
      });
    },
  },
  {
    id: '10.2/8',
    title: 'a binding over another Noise key',
    rule: '"tidelog/1 noise" | the sender\'s Noise static key 32',
    hostile: true,
    stranger: true,
    async run(trial) {
      await refusesPayload(trial, 'a binding over another Noise key', ({ device }) =>
        bindingOf(device, newNoiseKeys()),
      );
    },
  },
  {
    id: '10.2/9',
    title: 'a binding without its label',
    rule: '"tidelog/1 noise" | the sender\'s Noise static key 32',
    hostile: true,
    stranger: true,
    async run(trial) {
      await refusesPayload(trial, 'a signature of the Noise key without the label', ({ device, noiseKeys }) =>
        concat(device.keys.public, crypto.ed25519Sign(device.keys, noiseKeys.public)),
      );
    },
  },
  {
    id: '10.2/10',
    title: 'a signature with S + L',
    rule: 'The signature MUST be acceptable by',
    hostile: true,
    stranger: true,
    async run(trial) {
      await refusesPayload(trial, 'a signature with S + L', ({ device, noiseKeys }) => {
        const binding = bindingOf(device, noiseKeys);
        return concat(binding.subarray(0, 64), bytesOf(number(binding.subarray(64)) + L));
      });
    },
  },
  {
    id: '10.2/11',
    title: 'a device key of small order, or not below p, with a signature that adds up',
    rule: 'The signature MUST be acceptable by',
    hostile: true,
    stranger: true,
    async run(trial) {
      for (const [i, weak] of some(trial, WEAK_KEYS).entries()) {
        if (i > 0) await afresh(trial);
        const key = hex(weak);
        await refusesPayload(trial, `a binding of device key ${weak}`, (forged) =>
          concat(key, signUnderWeak(key, signedText(forged))),
        );
      }
    },
  },
  {
    id: '10.2/12',
    title: 'a signature whose R is of small order',
    rule: 'The signature MUST be acceptable by',
    hostile: true,
    stranger: true,
    async run(trial) {
      const seed = random(32);
      const keys = crypto.ed25519KeyPair(seed);
      await refusesPayload(trial, 'a signature with R of small order', (forged) =>
        concat(keys.public, signWithWeakR(seed, keys.public, signedText(forged))),
      );
    },
  },
  {
    id: '10.2/13',
    title: 'an ephemeral key that hides nothing',
    rule: 'a shared secret of all zeros MUST be refused',
    hostile: true,
    stranger: true,
    async run(trial) {
      for (const [i, point] of some(trial, ZERO_POINTS).entries()) {
        if (i > 0) await afresh(trial);
        const ephemeralKeys = { secret: random(32), public: hex(point) };
        const forgery = { ephemeralKeys, crypto: takingZeros(ephemeralKeys.secret) };
        if (trial.side === 'server') {
          const socket = await trial.socket();
          socket.send(forgedHandshake(true, forgery).handshake.write(new Uint8Array(0)));
          await closesSilently(trial, socket, [CLOSE_BAD_HANDSHAKE], `ephemeral key ${point}`);
        } else {
          await refusesBinding(
            trial,
            `ephemeral key ${point}`,
            ({ handshake, device, noiseKeys }) => handshake.write(bindingOf(device, noiseKeys)),
            forgery,
          );
        }
      }
    },
  },
  {
    id: '10.2/14',
    title: 'a static key that hides nothing',
    rule: 'a shared secret of all zeros MUST be refused',
    hostile: true,
    stranger: true,
    async run(trial) {
      for (const [i, point] of some(trial, ZERO_POINTS).entries()) {
        if (i > 0) await afresh(trial);
        const secret = random(32);
        await refusesBinding(
          trial,
          `static key ${point}`,
          ({ handshake, device, noiseKeys }) => handshake.write(bindingOf(device, noiseKeys)),
          { noiseKeys: { secret, public: hex(point) }, crypto: takingZeros(secret) },
        );
      }
    },
  },
  {
    id: '10.2/15',
    title: 'another prologue',
    rule: 'prologue `tidelog/1`, in ASCII',
    side: 'client',
    hostile: true,
    async run(trial) {
      await refusesBinding(
        trial,
        'a handshake with prologue tidelog/2',
        ({ handshake, device, noiseKeys }) => handshake.write(bindingOf(device, noiseKeys)),
        { prologue: 'tidelog/2' },
      );
    },
  },
  {
    id: '10.2/16',
    title: "an earlier connection's binding, replayed",
    rule: 'Anything wrong is `bad-handshake`',
    hostile: true,
    stranger: true,
    async run(trial) {
      // All that the kit may choose is the same on both; the implementation's ephemeral key has to be another.
      const forgery = { ephemeralKeys: newNoiseKeys(), noiseKeys: newNoiseKeys(), device: kitDevice(trial) };
      const first = await upToBinding(trial, forgery);
      const message = first.handshake.write(bindingOf(first.device, first.noiseKeys));
      first.socket.cut();
      await afresh(trial);
      await refusesBinding(trial, "a replay of an earlier connection's message", () => message, forgery);
    },
  },
  {
    id: '10.2/17',
    title: 'message 1 in place of message 3',
    rule: 'Anything wrong is `bad-handshake`',
    side: 'server',
    hostile: true,
    stranger: true,
    async run(trial) {
      await refusesBinding(trial, 'a second message 1', () =>
        forgedHandshake(true, {}).handshake.write(new Uint8Array(0)),
      );
    },
  },
  {
    id: '10.2/18',
    title: 'another device answers than the one of the link',
    rule: "an initiator does so before it sends message 3, and so doesn't say who it is",
    side: 'client',
    hostile: true,
    async run(trial) {
      const { socket, messages, handshake, noiseKeys } = await upToBinding(trial);
      socket.send(handshake.write(bindingOf(newDevice(), noiseKeys)));
      messages.release();
      await closesSilently(trial, socket, [ERRORS['wrong-device'].close!], 'another device answered');
    },
  },
  {
    id: '10.2/19',
    title: 'another device answers than the one that it joined',
    rule: 'A peer that expects one certain device closes with `wrong-device` where another answers',
    side: 'client',
    hostile: true,
    async run(trial) {
      await (await trial.line()).push();
      await afresh(trial);
      const socket = await trial.socket();
      const stranger = newDevice();
      let wire: Wire;
      try {
        wire = await respond(socket, stranger, { patienceMs: trial.patienceMs });
      } catch (thrown) {
        if (socket.closing?.code === ERRORS['wrong-device'].close) return;
        throw thrown;
      }
      // One that expects nobody goes on, and has nothing for a device that is no member.
      const hello = await wire.next('HELLO');
      expect(hello.spaces.length === 0, 'it offers its spaces to a device that is in none of them');
      const line = new Line(wire, trial.world);
      line.sayHello();
      const follow = line.follow();
      const { fault } = await follow.ended();
      expect(fault?.code === 'unknown-space', `it answered a stranger's SUBSCRIBE_ALL with ${fault?.code}`);
      expect(follow.batches.length === 0, 'it sent entries to a device that is no member');
    },
  },
  {
    id: '10.2/20',
    title: 'a new ephemeral key for each connection',
    rule: 'ephemeral key 32',
    stranger: true,
    async run(trial) {
      const first = await upToBinding(trial);
      const one = first.theirs.slice(0, 32);
      first.socket.cut();
      if (trial.side === 'client') await afresh(trial);
      const second = await upToBinding(trial);
      expect(!equal(one, second.theirs.subarray(0, 32)), 'two connections began with the same ephemeral key');
    },
  },
  {
    id: '10.2/21',
    title: 'a socket on which nothing is said',
    rule: "From the opening of the socket to the other side's HELLO at most `HANDSHAKE_TIMEOUT_MS` (10,000) may pass; then `timeout`.",
    slow: true,
    stranger: true,
    async run(trial) {
      const socket = await trial.socket();
      if (trial.side === 'client') await new Messages(socket, trial.patienceMs).next('handshake message 1');
      await closesSilently(trial, socket, [ERRORS.timeout.close!], 'silence', HANDSHAKE_TIMEOUT_MS + TICK_MS);
    },
  },
  {
    id: '10.2/22',
    title: 'silence after message 1',
    rule: "From the opening of the socket to the other side's HELLO at most `HANDSHAKE_TIMEOUT_MS` (10,000) may pass; then `timeout`.",
    side: 'server',
    slow: true,
    stranger: true,
    async run(trial) {
      const { socket, messages } = await upToBinding(trial);
      messages.release();
      await closesSilently(trial, socket, [ERRORS.timeout.close!], 'message 1', HANDSHAKE_TIMEOUT_MS + TICK_MS);
    },
  },
  {
    id: '10.2/23',
    title: 'signs of life after the handshake, and no HELLO',
    rule: "From the opening of the socket to the other side's HELLO at most `HANDSHAKE_TIMEOUT_MS` (10,000) may pass; then `timeout`.",
    slow: true,
    async run(trial) {
      let wire: Wire;
      if (trial instanceof ClientTrial) {
        wire = await trial.wire();
        if (trial.remoteDevice === null) await trial.pair(wire);
      } else {
        wire = await trial.wire({ device: await trial.device('writer') });
      }
      await wire.next('HELLO');
      const timer = setInterval(() => wire.send({ type: 'HEARTBEAT', spaces: [], time: 0 }), 2000);
      try {
        await wire.refused('timeout', HANDSHAKE_TIMEOUT_MS + TICK_MS);
      } finally {
        clearInterval(timer);
      }
    },
  },
  {
    id: '10.2/24',
    title: 'the same device key, after a restart',
    rule: 'The Noise static key MAY be new at each start of the program.',
    side: 'client',
    async run(trial) {
      await (await trial.line()).push();
      await afresh(trial);
      // `line` holds the key against that of the device that joined.
      await (await trial.line()).push();
    },
  },
];

const frameCases: readonly Case[] = [
  {
    id: '10.3/1',
    title: 'a message in frames of one byte',
    rule: "Any division is legal, except an empty payload with flag 1; a frame needn't be full for another to follow.",
    async run(trial) {
      const line = await trial.line();
      // More frames than a byte counts.
      const { message, answered } = question(line, 20);
      for (const each of framesOf(message, () => 1)) line.wire.sendFrame(each);
      await answered();
      await line.ping();
    },
  },
  {
    id: '10.3/2',
    title: 'a message of 1 MB in full frames',
    rule: 'The payloads of frames up to one with flag 0, joined, are a message.',
    async run(trial) {
      const line = await trial.line();
      const { message, answered } = question(line, 20_000);
      for (const each of framesOf(message, () => FRAME_PAYLOAD_BYTES)) line.wire.sendFrame(each);
      await answered();
    },
  },
  {
    id: '10.3/3',
    title: 'a message in frames of random sizes',
    rule: "Any division is legal, except an empty payload with flag 1; a frame needn't be full for another to follow.",
    async run(trial) {
      const line = await trial.line();
      for (let round = 0; round < 5; round++) {
        const { message, answered } = question(line, 500);
        const most = [2, 10, 100, 5000, FRAME_PAYLOAD_BYTES][round]!;
        for (const each of framesOf(message, () => 1 + Math.floor(Math.random() * most))) line.wire.sendFrame(each);
        await answered();
      }
    },
  },
  {
    id: '10.3/4',
    title: 'a last frame that is empty',
    rule: 'Any division is legal, except an empty payload with flag 1',
    async run(trial) {
      const line = await trial.line();
      const { message, answered } = question(line);
      line.wire.sendFrame(concat(frame(1), message));
      line.wire.sendFrame(frame(0));
      await answered();
    },
  },
  {
    id: '10.3/5',
    title: 'a message of exactly 4 MiB',
    rule: 'A message is at most `MESSAGE_BYTES_MAX` (4,194,304) bytes',
    async run(trial) {
      const line = await trial.line();
      for (const each of framesOf(ignoredOf(MESSAGE_BYTES_MAX), () => FRAME_PAYLOAD_BYTES)) line.wire.sendFrame(each);
      await line.ping();
    },
  },
  {
    id: '10.3/6',
    title: 'a message of 4 MiB and a byte, refused before it ends',
    rule: 'the frame that would pass that is refused with `message-too-large` before it is kept',
    hostile: true,
    async run(trial) {
      const { wire } = await trial.line();
      const frames = framesOf(ignoredOf(MESSAGE_BYTES_MAX), () => FRAME_PAYLOAD_BYTES);
      frames.at(-1)![0] = 1;
      for (const each of frames) wire.sendFrame(each);
      // Until here it may grow no further, and hasn't passed the limit.
      expect(
        (await wire.socket.ping(trial.patienceMs)) && wire.socket.closing === null,
        'it refused a message of 4 MiB',
      );
      wire.sendFrame(frame(1, 0));
      await wire.refused('message-too-large');
      expect(wire.received.at(-1)?.type !== 'ERROR', 'it sent an ERROR after a frame that it refused');
    },
  },
  {
    id: '10.3/7',
    title: 'an empty message',
    rule: 'An empty message is a legal frame, and `bad-message`.',
    hostile: true,
    async run(trial) {
      const { wire } = await trial.line();
      wire.sendFrame(frame(0));
      await wire.refused('bad-message');
    },
  },
  frameCase('10.3/8', 'flag 2', (wire) => wire.sendFrame(frame(2, 0x93, 2, 0x90, 0))),
  frameCase('10.3/9', 'flag 255', (wire) => wire.sendFrame(frame(255, 0x93, 2, 0x90, 0))),
  frameCase('10.3/10', 'an empty frame', (wire) => wire.sendFrame(new Uint8Array(0))),
  frameCase(
    '10.3/11',
    'an empty payload with flag 1',
    (wire) => wire.sendFrame(frame(1)),
    'Any division is legal, except an empty payload with flag 1',
  ),
  frameCase(
    '10.3/12',
    'an empty payload with flag 1 in the middle of a message',
    (wire) => {
      wire.sendFrame(frame(1, 0x93, 2));
      wire.sendFrame(frame(1));
    },
    'Any division is legal, except an empty payload with flag 1',
  ),
  frameCase('10.3/13', 'random bytes', (wire) => wire.socket.send(random(200))),
  frameCase('10.3/14', 'fewer bytes than a tag', (wire) => wire.socket.send(random(15))),
  frameCase('10.3/15', 'an empty WebSocket message', (wire) => wire.socket.send(new Uint8Array(0))),
  frameCase('10.3/16', 'a frame in clear', (wire) => wire.socket.send(concat(HEARTBEAT_FRAME, new Uint8Array(16)))),
  frameCase(
    '10.3/17',
    'a frame that is sent twice',
    (wire) => {
      const sealed = wire.sealed(HEARTBEAT_FRAME);
      wire.socket.send(sealed);
      wire.socket.send(sealed);
    },
    'Each direction has a key and counts its Noise messages from 0',
  ),
  frameCase(
    '10.3/18',
    'two frames in the wrong order',
    (wire) => {
      const [first, second] = [wire.sealed(HEARTBEAT_FRAME), wire.sealed(HEARTBEAT_FRAME)];
      wire.socket.send(second);
      wire.socket.send(first);
    },
    'Each direction has a key and counts its Noise messages from 0',
  ),
  frameCase(
    '10.3/19',
    'a frame that is missing',
    (wire) => {
      wire.sealed(HEARTBEAT_FRAME);
      wire.sendFrame(HEARTBEAT_FRAME);
    },
    'Each direction has a key and counts its Noise messages from 0',
  ),
  frameCase('10.3/20', 'a frame that was cut', (wire) =>
    wire.socket.send(wire.sealed(HEARTBEAT_FRAME).subarray(0, -1)),
  ),
  frameCase('10.3/21', 'a frame with a bit changed', (wire) => {
    const sealed = wire.sealed(HEARTBEAT_FRAME);
    sealed[3]! ^= 1;
    wire.socket.send(sealed);
  }),
  frameCase('10.3/22', 'a tag with a bit changed', (wire) => {
    const sealed = wire.sealed(HEARTBEAT_FRAME);
    sealed[sealed.length - 1]! ^= 0x80;
    wire.socket.send(sealed);
  }),
  frameCase('10.3/23', 'two frames in one WebSocket message', (wire) => {
    wire.socket.send(concat(wire.sealed(HEARTBEAT_FRAME), wire.sealed(HEARTBEAT_FRAME)));
  }),
  {
    id: '10.3/24',
    title: "an earlier connection's frame",
    rule: "A Noise message that doesn't decrypt, another flag, and an empty frame are `bad-frame`",
    hostile: true,
    async run(trial) {
      const device = trial.side === 'server' ? { device: await trial.device('writer') } : {};
      const before = await trial.line(device);
      const sealed = before.wire.sealed(HEARTBEAT_FRAME);
      before.wire.socket.cut();
      const { wire } = await trial.line(device);
      wire.socket.send(sealed);
      await wire.refused('bad-frame');
    },
  },
  {
    id: '10.3/25',
    title: "the implementation's own frames, sent back to it",
    rule: 'Each direction has a key and counts its Noise messages from 0',
    hostile: true,
    async run(trial) {
      // With one key for both directions this message, the first after the handshake, would decrypt.
      const { socket, messages, handshake, device, noiseKeys } = await upToBinding(
        trial,
        trial.side === 'server' ? { device: await trial.device('writer') } : {},
      );
      socket.send(handshake.write(bindingOf(device, noiseKeys)));
      if (trial.side === 'client') handshake.read(await messages.next('handshake message 3'));
      socket.send(await messages.next('the first message'));
      messages.release();
      await withTimeout(
        socket.closed,
        trial.patienceMs,
        () => new Violation('it took its own message for one of the other side'),
      );
      expect(socket.closing?.code === ERRORS['bad-frame'].close, `it closed with ${socket.closing?.code}`);
    },
  },
  {
    id: '10.3/26',
    title: 'a good batch behind a frame that was refused',
    rule: "A Noise message that doesn't decrypt, another flag, and an empty frame are `bad-frame`",
    hostile: true,
    async run(trial) {
      const line = await trial.line();
      const author = trial.author();
      const pull = await line.push();
      const commit = author.draft([set('conformance/junk', { n: 1 })]);
      line.wire.sendFrame(frame(2));
      // Nothing of it may be kept: afterwards the log is looked at.
      pull.batch([commit]);
      await line.wire.refused('bad-frame');
    },
  },
  {
    id: '10.3/27',
    title: 'half a batch, and the line goes down',
    rule: 'The payloads of frames up to one with flag 0, joined, are a message.',
    hostile: true,
    async run(trial) {
      const line = await trial.line();
      const author = trial.author();
      const pull = await line.push();
      const commit = author.draft([set('conformance/half', { text: 'x'.repeat(200_000) })]);
      const data = encodeBatch(batchOf([commit]));
      const { subscription, cursor: prev } = pull;
      const whole = encodeMessage({
        type: 'BATCH',
        subscription,
        prev,
        last: prev + 1,
        codec: CODEC.NONE,
        rawBytes: data.length,
        data,
      });
      const frames = framesOf(whole, () => FRAME_PAYLOAD_BYTES);
      for (const each of frames.slice(0, -1)) line.wire.sendFrame(each);
      await sleep(200);
      line.wire.socket.cut();
    },
  },
];

export const transportCases: readonly Case[] = [...upgradeCases, ...handshakeCases, ...frameCases];

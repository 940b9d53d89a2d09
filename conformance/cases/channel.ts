/** More of chapters 10 and 12: what a channel stands through, and whom it is for. */
import { setTimeout as sleep } from 'node:timers/promises';
import { concat, equal } from '../../protocol/bytes.ts';
import { CREDIT_BYTES_DEFAULT, FRAME_PAYLOAD_BYTES, HANDSHAKE_TIMEOUT_MS } from '../../protocol/constants.ts';
import { ERRORS, type ErrorCode } from '../../protocol/errors.ts';
import { encode } from '../../protocol/msgpack.ts';
import type { Case, Trial } from '../case.ts';
import { newDevice, random } from '../device.ts';
import type { Line } from '../line.ts';
import type { Socket } from '../socket.ts';
import { expect, Violation } from '../violation.ts';
import { bindingOf, Messages, newHandshake, newNoiseKeys, withTimeout, type Wire } from '../wire.ts';
import { set } from '../world.ts';

const BAD_FRAMES = "A Noise message that doesn't decrypt, another flag, and an empty frame are `bad-frame`";
/** An even number that no version has given to a message. */
const UNKNOWN_EVEN = 1000;

/** Payloads of at most a frame's size. */
function payloadsOf(message: Uint8Array): Uint8Array[] {
  const payloads: Uint8Array[] = [];
  for (let start = 0; start < message.length; start += FRAME_PAYLOAD_BYTES)
    payloads.push(message.subarray(start, start + FRAME_PAYLOAD_BYTES));
  return payloads;
}

/** They refuse what the kit sends with the close code alone. */
function refusedFrame(id: Case['id'], title: string, send: (wire: Wire) => void): Case {
  return {
    id,
    title,
    rule: BAD_FRAMES,
    hostile: true,
    async run(trial) {
      const { wire } = await trial.line();
      send(wire);
      await wire.refused('bad-frame');
      expect(wire.received.at(-1)?.type !== 'ERROR', 'it sent an ERROR after a frame that it refused');
    },
  };
}

/** Questions that are answered one by one, each way in a Noise message of its own; resolves when all answers are there. */
async function askMany(line: Line, count: number, part: number): Promise<void> {
  const { wire } = line;
  const space = random(32);
  let answers = 0;
  const hear = ({ type }: { type: string }): void => {
    if (type === 'UNSUBSCRIBED') answers++;
  };
  wire.onMessage.add(hear);
  for (let asked = 0; asked < count;) {
    for (const end = Math.min(count, asked + part); asked < end; asked++)
      wire.send({
        type: 'SUBSCRIBE_ALL',
        subscription: line.nextSubscription(),
        space,
        from: { kind: 'all' },
        live: false,
        credit: CREDIT_BYTES_DEFAULT,
      });
    await wire.until(() => answers >= asked || undefined, `the answer to question ${asked}`);
  }
  wire.onMessage.delete(hear);
}

const frameCases: readonly Case[] = [
  {
    id: '10.3/70',
    title: 'more Noise messages than 16 bits count, both ways',
    rule: 'Each direction has a key and counts its Noise messages from 0, as Noise has it. There is no rekeying.',
    slow: true,
    async run(trial) {
      const line = await trial.line();
      await askMany(line, 66_000, 1000);
      await line.ping();
    },
  },
  {
    id: '10.3/71',
    title: 'a message that passes 4 MiB with its last frame',
    rule: 'the frame that would pass that is refused with `message-too-large` before it is kept',
    hostile: true,
    async run(trial) {
      const { wire } = await trial.line();
      // One byte more than there may be, all in all.
      const payloads = payloadsOf(ignoredOf(4_194_305));
      for (const [i, payload] of payloads.entries())
        wire.sendFrame(concat(Uint8Array.of(i < payloads.length - 1 ? 1 : 0), payload));
      await wire.refused('message-too-large');
      expect(wire.received.at(-1)?.type !== 'ERROR', 'it sent an ERROR after a frame that it refused');
    },
  },
  {
    id: '10.3/72',
    title: 'three messages of 3 MiB, one after the other',
    rule: 'A message is at most `MESSAGE_BYTES_MAX` (4,194,304) bytes',
    async run(trial) {
      const line = await trial.line();
      for (let i = 0; i < 3; i++) line.wire.sendRaw(ignoredOf(3 * 1024 * 1024));
      await line.ping();
    },
  },
  refusedFrame('10.3/73', 'flag 2 in the middle of a message', (wire) => {
    wire.sendFrame(Uint8Array.of(1, 0x93));
    wire.sendFrame(Uint8Array.of(2, 2, 0x90, 0));
  }),
  refusedFrame('10.3/74', 'an empty frame in the middle of a message', (wire) => {
    wire.sendFrame(Uint8Array.of(1, 0x93));
    wire.sendFrame(new Uint8Array(0));
  }),
];

/** An ignored message of exactly this many bytes, from 64 KiB on. */
function ignoredOf(bytes: number): Uint8Array {
  const overhead = encode([UNKNOWN_EVEN, new Uint8Array(65_536)]).length - 65_536;
  return encode([UNKNOWN_EVEN, new Uint8Array(bytes - overhead)]);
}

// ---- handshakes

const TIME_LIMIT =
  "From the opening of the socket to the other side's HELLO at most `HANDSHAKE_TIMEOUT_MS` (10,000) may pass; then `timeout`.";
/** How much later than a limit the other side may come, whose clock ticks now and then: ms. */
const TICK_MS = 10_000;
/** Less than the limit; twice as much is more. */
const MOST_OF_LIMIT_MS = 0.7 * HANDSHAKE_TIMEOUT_MS;

/** A handshake with a node in which the kit's binding is what `binding` says. */
async function claim(trial: Trial, binding: (theirs: Uint8Array) => Uint8Array): Promise<Socket> {
  const socket = await trial.socket();
  const messages = new Messages(socket, trial.patienceMs);
  const handshake = newHandshake(true, newNoiseKeys());
  socket.send(handshake.write(new Uint8Array(0)));
  const theirs = handshake.read(await messages.next('handshake message 2'));
  socket.send(handshake.write(binding(theirs)));
  messages.release();
  return socket;
}

async function closedWith(trial: Trial, socket: Socket, codes: readonly number[], after: string): Promise<void> {
  const { code } = await withTimeout(
    socket.closed,
    trial.patienceMs,
    () => new Violation(`it did not close the connection after ${after}`),
  );
  expect(codes.includes(code), `it closed with ${code} after ${after}`);
}

const handshakeCases: readonly Case[] = [
  {
    id: '10.2/70',
    title: 'its own binding, sent back to it over another Noise key',
    rule: 'Anything wrong is `bad-handshake`: the connection is closed with 4001, without a message.',
    side: 'server',
    hostile: true,
    stranger: true,
    async run(trial) {
      const socket = await claim(trial, (theirs) => theirs);
      // The key is its own, and the signature is of another Noise key: either may be seen first.
      const codes = [ERRORS['bad-handshake'].close!, ERRORS['self-connect'].close!];
      await closedWith(trial, socket, codes, 'its own binding');
    },
  },
  {
    id: '10.2/71',
    title: 'a handshake of which each step takes most of the time',
    rule: TIME_LIMIT,
    side: 'server',
    slow: true,
    stranger: true,
    async run(trial) {
      const startedMs = performance.now();
      const socket = await trial.socket();
      const messages = new Messages(socket, trial.patienceMs);
      const device = newDevice();
      const noiseKeys = newNoiseKeys();
      const handshake = newHandshake(true, noiseKeys);
      await sleep(MOST_OF_LIMIT_MS);
      socket.send(handshake.write(new Uint8Array(0)));
      handshake.read(await messages.next('handshake message 2'));
      await sleep(MOST_OF_LIMIT_MS);
      socket.send(handshake.write(bindingOf(device, noiseKeys)));
      messages.release();
      const withinMs = HANDSHAKE_TIMEOUT_MS + TICK_MS - (performance.now() - startedMs);
      await withTimeout(
        socket.closed,
        withinMs,
        () => new Violation('it counts the time anew with each step of the handshake'),
      );
    },
  },
];

// ---- two connections

const connectionCases: readonly Case[] = [
  {
    id: '12.4/70',
    title: "a newer connection that only claims the older one's device",
    rule: '**Two connections.** Two devices keep one.',
    side: 'server',
    hostile: true,
    async run(trial) {
      const device = await trial.device('writer');
      const line = await trial.line({ device });
      const pull = await line.push();
      const claims: readonly ((theirs: Uint8Array) => Uint8Array)[] = [
        () => concat(device.keys.public, random(64)),
        () => concat(device.keys.public, bindingOf(newDevice(), newNoiseKeys()).subarray(32)),
        () => bindingOf(device, newNoiseKeys()),
      ];
      for (const binding of claims) {
        const socket = await claim(trial, binding);
        await closedWith(trial, socket, [ERRORS['bad-handshake'].close!], 'a binding that does not verify');
      }
      trial.author().write([set('conformance/claimed', { n: 1 })]);
      await pull.sendAll();
      await line.ping();
    },
  },
  {
    id: '12.4/71',
    title: 'a subscription goes on with the connection that stays',
    rule: 'Of two that the same side opened, the newer stays.',
    side: 'server',
    async run(trial) {
      const device = await trial.device('writer');
      const older = await trial.line({ device });
      await older.push();
      older.follow({ live: true });
      const newer = await trial.line({ device });
      const heads = trial.world.vector();
      const follow = newer.follow({ from: { kind: 'vector', heads }, live: true });
      await follow.caughtUp();
      // By another, so that it is news to this device.
      const other = await trial.line();
      const commit = trial.author().write([set('conformance/newer', { n: 1 })]);
      await other.push();
      await follow.entry(({ chain, seq }) => seq === commit.seq && equal(chain.id, commit.chain.id));
    },
  },
];

const stopCases: readonly Case[] = [
  {
    id: '12.4/72',
    title: 'it is asked to stop',
    rule: 'A side that stops says ERROR `shutting-down` if it is a node that will be back, and otherwise closes with 1000.',
    needs: ['run'],
    alone: true,
    async run(trial) {
      const { wire } = await trial.line();
      await Promise.all([trial.restart(), wire.ended()]);
      const last = wire.received.at(-1);
      if (last?.type === 'ERROR') await wire.refused('shutting-down');
      else expect(wire.socket.closing?.code === 1000, `it closed with ${wire.socket.closing?.code}`);
      await (await trial.line()).push();
    },
  },
];

// ---- strangers

/** The bytes say what is wrong with these, whoever sent them. */
const FORMS: readonly (readonly [title: string, fields: readonly unknown[], code: ErrorCode])[] = [
  ['an unknown odd type', [1001, 'a'], 'unknown-message'],
  ['HELLO of version 2', [1, 2], 'unsupported-version'],
  ['SUBSCRIBE_ALL without its fields', [3, 1], 'bad-message'],
  ['PAIRED with an unknown role', [19, new Uint8Array(32), 'a', 'admin'], 'bad-message'],
  ['PAIR without a name', [17, null], 'bad-message'],
  ['no type', ['a'], 'bad-message'],
];

const strangerCases: readonly Case[] = [
  ...FORMS.map(([title, fields, code], i): Case => ({
    id: `11/${170 + i}`,
    title: `${title}, of a stranger`,
    rule: 'Steps 1 to 3 need nothing but the bytes. What fails in any of them ends the connection.',
    side: 'server',
    hostile: true,
    stranger: true,
    async run(trial) {
      const wire = await trial.wire();
      wire.sendFields(...fields);
      await wire.refused(code);
    },
  })),
  {
    id: '11/176',
    title: 'an unknown even type, of a stranger',
    rule: 'Of an ignored message nothing else is looked at.',
    side: 'server',
    stranger: true,
    async run(trial) {
      const wire = await trial.wire();
      wire.sendFields(UNKNOWN_EVEN, { a: [] });
      wire.send({ type: 'PAIR', invite: { id: random(8), proof: random(32) }, name: 'a' });
      await wire.refused('invite-unknown');
    },
  },
  {
    id: '12.1/70',
    title: 'ERROR of a stranger',
    rule: 'A stranger may send PAIR, HEARTBEAT and ERROR.',
    side: 'server',
    stranger: true,
    async run(trial) {
      const wire = await trial.wire();
      const { retry, sentence: text } = ERRORS.internal;
      wire.send({ type: 'ERROR', fault: { code: 'internal', retry, afterMs: 0, text, detail: {} } });
      const { code } = await wire.ended();
      expect(code === 1000, `it closed with ${code} after an ERROR`);
      expect(
        wire.received.every(({ type }) => type === 'HEARTBEAT'),
        'it answered an ERROR',
      );
    },
  },
];

export const channelCases: readonly Case[] = [
  ...frameCases,
  ...handshakeCases,
  ...connectionCases,
  ...stopCases,
  ...strangerCases,
];

/**
 * What an adversary does that belongs to no single message: floods, sizes, lines that never end, readers that don't read. On a node an honest
 * connection is served meanwhile: what it pushes is acknowledged. A program has one connection, and must be whole afterwards.
 */
import { connect, type Socket as TcpSocket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { concat } from '../../protocol/bytes.ts';
import {
  CODEC,
  CREDIT_BYTES_DEFAULT,
  CREDIT_BYTES_MAX,
  CREDIT_BYTES_MIN,
  FRAME_PAYLOAD_BYTES,
  HANDSHAKE_TIMEOUT_MS,
  MESSAGE_BYTES_MAX,
  SILENCE_MAX_MS,
} from '../../protocol/constants.ts';
import type { Case, Trial } from '../case.ts';
import { newDevice, random } from '../device.ts';
import type { Line } from '../line.ts';
import type { Socket } from '../socket.ts';
import { expect, Violation } from '../violation.ts';
import { newHandshake, newNoiseKeys, type Wire } from '../wire.ts';
import { set, type Author } from '../world.ts';

const LIMITS = 'Implementations SHOULD limit connections in total, by address, and in handshake';
const SIZES = 'Every size is checked before memory is taken for it.';

/** Somebody who does nothing wrong, on a node beside the attack; null with a program. */
class Honest {
  readonly #line: Line;
  readonly #author: Author;
  #n = 0;

  private constructor(line: Line, author: Author) {
    this.#line = line;
    this.#author = author;
  }

  static async open(trial: Trial): Promise<Honest | null> {
    if (trial.side === 'client') return null;
    const honest = new Honest(await trial.line(), trial.author());
    await honest.served();
    return honest;
  }

  /** A push of now is on their disk. */
  async served(): Promise<void> {
    this.#author.write([set('conformance/honest', { n: ++this.#n })]);
    try {
      await this.#line.push();
      await this.#line.ping();
    } catch (thrown) {
      if (!(thrown instanceof Violation)) throw thrown;
      throw new Violation(`an honest connection was not served meanwhile: ${thrown.message}`);
    }
  }
}

/** The attack goes on in steps, and the honest connection is served between them. */
async function beside(trial: Trial, steps: number, step: (i: number) => Promise<void> | void): Promise<void> {
  const honest = await Honest.open(trial);
  for (let i = 0; i < steps; i++) {
    await step(i);
    await honest?.served();
  }
}

/** Sockets that are opened and left alone; refused ones are what a limit does. */
async function openMany(trial: Trial, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let i = 0; i < count; i++) {
    try {
      sockets.push(await trial.socket());
    } catch (thrown) {
      if (!(thrown instanceof Violation)) throw thrown;
    }
  }
  return sockets;
}

/** They have dealt with all of it, or have ended the connection; both are right. */
async function answeredOrEnded(line: Line, withinMs: number): Promise<void> {
  const { wire } = line;
  if (wire.socket.closing) return;
  const subscription = line.nextSubscription();
  wire.send({
    type: 'SUBSCRIBE_ALL',
    subscription,
    space: random(32),
    from: { kind: 'all' },
    live: false,
    credit: CREDIT_BYTES_DEFAULT,
  });
  const answered = wire.until(
    () =>
      wire.received.some((message) => message.type === 'UNSUBSCRIBED' && message.subscription === subscription) ||
      undefined,
    'the answer to what came behind a flood',
    withinMs,
  );
  await Promise.race([
    answered.catch((thrown: unknown) => {
      if (!wire.socket.closing) throw thrown;
    }),
    wire.socket.closed,
  ]);
}

/** Until the kit's end of the socket has given all away, or it ended. */
async function drained(wire: Wire): Promise<void> {
  while (wire.socket.bufferedBytes > 0 && !wire.socket.closing) await sleep(10);
}

const FLOOD_MS = 60_000;

/** The same thing very often on one connection, in ten parts. */
function flood(
  id: Case['id'],
  title: string,
  rule: string,
  count: number,
  send: (line: Line, i: number) => void,
): Case {
  return {
    id,
    title,
    rule,
    hostile: true,
    alone: true,
    async run(trial) {
      const honest = await Honest.open(trial);
      const line = await trial.line();
      for (let part = 0; part < 10; part++) {
        for (let i = 0; i < count / 10; i++) send(line, (part * count) / 10 + i);
        await honest?.served();
        await drained(line.wire);
      }
      await answeredOrEnded(line, FLOOD_MS);
      await honest?.served();
    },
  };
}

/** One message that declares more than it has. */
function declared(id: Case['id'], title: string, bytes: (line: Line) => Uint8Array): Case {
  return {
    id,
    title,
    rule: SIZES,
    hostile: true,
    async run(trial) {
      const honest = await Honest.open(trial);
      const line = await trial.line();
      line.wire.sendRaw(bytes(line));
      await honest?.served();
      await line.wire.refused(['bad-message', 'bad-batch', 'batch-too-large', 'message-too-large']);
    },
  };
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

const connectionCases: readonly Case[] = [
  {
    id: '16/1',
    title: '300 sockets on which nothing is said',
    rule: LIMITS,
    side: 'server',
    hostile: true,
    alone: true,
    async run(trial) {
      const honest = (await Honest.open(trial))!;
      const sockets: Socket[] = [];
      for (let i = 0; i < 10; i++) {
        sockets.push(...(await openMany(trial, 30)));
        await honest.served();
      }
      for (const socket of sockets) socket.cut();
      await sleep(500);
      await honest.served();
      await (await trial.line()).push();
    },
  },
  {
    id: '16/2',
    title: '100 handshakes that stop after message 1, until their time is over',
    rule: LIMITS,
    side: 'server',
    hostile: true,
    alone: true,
    slow: true,
    async run(trial) {
      const honest = (await Honest.open(trial))!;
      const sockets = await openMany(trial, 100);
      for (const socket of sockets) socket.send(newHandshake(true, newNoiseKeys()).write(new Uint8Array(0)));
      const endMs = performance.now() + HANDSHAKE_TIMEOUT_MS + 8000;
      while (performance.now() < endMs && sockets.some(({ closing }) => !closing)) {
        await honest.served();
        await sleep(500);
      }
      const left = sockets.filter(({ closing }) => !closing).length;
      expect(left === 0, `${left} of ${sockets.length} handshakes are still waited for`);
      // Whatever limits they reached, they hold nothing now.
      await (await trial.line()).push();
    },
  },
  {
    id: '16/3',
    title: '200 connections that come and go',
    rule: LIMITS,
    side: 'server',
    hostile: true,
    alone: true,
    async run(trial) {
      await beside(trial, 10, async () => {
        const sockets = await openMany(trial, 20);
        for (const [i, socket] of sockets.entries()) {
          if (i % 3 > 0) socket.send(newHandshake(true, newNoiseKeys()).write(new Uint8Array(0)));
          if (i % 3 > 1) socket.send(random(160));
          socket.cut();
        }
        await sleep(50);
      });
      await (await trial.line()).push();
    },
  },
  {
    id: '16/4',
    title: 'upgrades that come byte by byte, and such as never end',
    rule: LIMITS,
    side: 'server',
    hostile: true,
    alone: true,
    async run(trial) {
      const { hostname, port } = new URL(trial.url);
      const host = hostname.replace(/^\[(.*)\]$/, '$1');
      const lines: TcpSocket[] = [];
      const head = `GET /sync HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\n`;
      try {
        for (let i = 0; i < 50; i++) {
          const tcp = connect({ host, port: Number(port || 80) });
          tcp.on('error', () => {});
          lines.push(tcp);
        }
        await beside(trial, 10, async (step) => {
          for (const tcp of lines) if (!tcp.destroyed) tcp.write(head[step]!);
          await sleep(50);
        });
      } finally {
        for (const tcp of lines) tcp.destroy();
      }
    },
  },
  {
    id: '16/5',
    title: 'what is no HTTP, and no WebSocket',
    rule: LIMITS,
    side: 'server',
    hostile: true,
    async run(trial) {
      const { hostname, port } = new URL(trial.url);
      const host = hostname.replace(/^\[(.*)\]$/, '$1');
      const head = `GET /sync HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: tidelog.1\r\n\r\n`;
      const junk: readonly Uint8Array[] = [
        random(5000),
        Buffer.from('GET / HTTP/9.9\r\n\r\n'),
        Buffer.from(`GET /${'a'.repeat(100_000)} HTTP/1.1\r\nHost: a\r\n\r\n`),
        // A frame that no client may send: not masked, reserved bits, a length of 2^63.
        concat(Buffer.from(head), Uint8Array.of(0xf2, 127, 128, 0, 0, 0, 0, 0, 0, 0)),
        concat(Buffer.from(head), Uint8Array.of(0x82, 255, 127, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4)),
        // A ping that is longer than a control frame may be.
        concat(Buffer.from(head), Uint8Array.of(0x89, 0xfe, 1, 0, 1, 2, 3, 4), random(256)),
      ];
      await beside(trial, junk.length, async (i) => {
        const tcp = connect({ host, port: Number(port || 80) });
        tcp.on('error', () => {});
        tcp.write(junk[i]!);
        await sleep(200);
        tcp.destroy();
      });
    },
  },
  {
    id: '12.4/30',
    title: 'lines that go down without a word, again and again, in the middle of a push',
    rule: 'Of two that the same side opened, the newer stays.',
    side: 'server',
    hostile: true,
    async run(trial) {
      const device = await trial.device('writer');
      await beside(trial, 10, async () => {
        const line = await trial.line({ device });
        line.follow({ live: true, ack: false });
        await line.pull();
        line.wire.sendFrame(Uint8Array.of(1, 0x97));
        // Not even a close: it just reads nothing any more.
        line.wire.socket.pause();
      });
    },
  },
];

const readerCases: readonly Case[] = [
  {
    id: '12.3/900',
    title: 'a subscriber that never acknowledges',
    rule: 'A slow subscriber is waited for.',
    side: 'server',
    hostile: true,
    async run(trial) {
      const author = trial.author();
      const honest = (await Honest.open(trial))!;
      // A little more than a credit.
      for (let i = 0; i < 3; i++) author.write([set(`conformance/credit/${i}`, { bytes: random(900_000) })]);
      await honest.served();
      const slow = await trial.line({ role: 'reader' });
      const follow = slow.follow({ live: true, ack: false, credit: CREDIT_BYTES_MIN });
      await slow.wire.until(() => follow.batches[0], 'the first BATCH');
      for (let i = 0; i < 3; i++) await honest.served();
      await slow.ping();
      // The kit holds what comes against the credit. It goes on as soon as there is some.
      for (let given = 0; given < follow.batches.length; given++) {
        const { last, data } = follow.batches[given]!;
        follow.acknowledge(last, data.length);
        if (given === follow.batches.length - 1) await sleep(300);
      }
      await follow.caughtUp();
    },
  },
  {
    id: '12.3/901',
    title: 'a subscriber that reads nothing, with all the credit that there is',
    rule: 'It costs the sender one batch and a cursor.',
    side: 'server',
    hostile: true,
    alone: true,
    async run(trial) {
      const author = trial.author();
      const honest = (await Honest.open(trial))!;
      for (let i = 0; i < 4; i++) author.write([set(`conformance/stuck/${i}`, { bytes: random(900_000) })]);
      await honest.served();
      const deaf = await trial.line({ role: 'reader' });
      deaf.wire.socket.pause();
      for (let i = 0; i < 30; i++) deaf.follow({ live: true, ack: false, credit: CREDIT_BYTES_MAX });
      for (let i = 0; i < 10; i++) {
        await honest.served();
        await sleep(100);
      }
      // It may have been let go; if not, all of it comes.
      deaf.wire.socket.resume();
      await answeredOrEnded(deaf, FLOOD_MS);
    },
  },
  {
    id: '16/10',
    title: 'questions without end, and no reader for the answers',
    rule: "A receiver bounds what is out by its credit; a sender reads nothing that it can't send.",
    hostile: true,
    alone: true,
    async run(trial) {
      const honest = await Honest.open(trial);
      const line = await trial.line();
      line.wire.socket.pause();
      const question = {
        type: 'SUBSCRIBE_ALL',
        space: random(32),
        from: { kind: 'all' },
        live: false,
        credit: CREDIT_BYTES_DEFAULT,
      } as const;
      for (let part = 0; part < 20; part++) {
        for (let i = 0; i < 2000; i++) line.wire.send({ ...question, subscription: line.nextSubscription() });
        await honest?.served();
        await sleep(20);
      }
      line.wire.socket.cut();
      await honest?.served();
    },
  },
  {
    id: '12.4/31',
    title: 'a peer that reads nothing and says nothing is let go',
    rule: 'A side from which nothing came for `SILENCE_MAX_MS` (45,000) is taken for dead',
    side: 'server',
    hostile: true,
    slow: true,
    async run(trial) {
      const device = await trial.device('writer');
      const line = await trial.line({ device, silent: true });
      line.wire.socket.pause();
      await sleep(SILENCE_MAX_MS + 15_000);
      line.wire.socket.resume();
      await line.wire.refused('timeout');
    },
  },
];

const sizeCases: readonly Case[] = [
  declared('16/20', 'an array of 4 billion fields', () =>
    concat(Uint8Array.of(0xdd), u32(0xffff_ffff), Uint8Array.of(2)),
  ),
  declared('16/21', 'bytes of 4 GB', () => concat(Uint8Array.of(0x96, 3, 1, 0xc6), u32(0xffff_ffff), random(32))),
  declared('16/22', 'a string of 4 GB', () => concat(Uint8Array.of(0x98, 1, 1, 0xdb), u32(0xffff_ffff))),
  declared('16/23', 'a map of 4 billion entries', () =>
    concat(Uint8Array.of(0x98, 1, 1, 0xa1, 0x61, 0xa1, 0x61, 0x90, 0xdf), u32(0xffff_ffff)),
  ),
  declared('16/24', 'arrays in arrays, a million deep', () => new Uint8Array(1_000_000).fill(0x91)),
  declared('16/25', 'a HELLO with 2 million spaces', () =>
    concat(Uint8Array.of(0x93, 2, 0xdd), u32(2_000_000), new Uint8Array(2_000_000).fill(0x90), Uint8Array.of(0)),
  ),
  {
    id: '16/26',
    title: 'a batch that declares more than there can be',
    rule: SIZES,
    hostile: true,
    async run(trial) {
      const honest = await Honest.open(trial);
      const line = await trial.line();
      const pull = await line.push();
      pull.send(random(40), { rawBytes: Number.MAX_SAFE_INTEGER, codec: CODEC.ZSTD });
      await honest?.served();
      await line.wire.refused(['batch-too-large', 'bad-message', 'bad-batch']);
    },
  },
  {
    id: '10.3/50',
    title: 'messages that never end, on ten connections',
    rule: 'the frame that would pass that is refused with `message-too-large` before it is kept',
    side: 'server',
    hostile: true,
    alone: true,
    async run(trial) {
      const honest = (await Honest.open(trial))!;
      const lines: Line[] = [];
      for (let i = 0; i < 10; i++) lines.push(await trial.line({ role: 'reader' }));
      const part = concat(Uint8Array.of(1), new Uint8Array(FRAME_PAYLOAD_BYTES));
      const full = Math.floor(MESSAGE_BYTES_MAX / FRAME_PAYLOAD_BYTES);
      for (const { wire } of lines) {
        for (let i = 0; i < full; i++) wire.sendFrame(part);
        await honest.served();
      }
      for (const { wire } of lines) expect(wire.socket.closing === null, 'a message of less than 4 MiB was refused');
      for (const { wire } of lines) wire.sendFrame(part);
      for (const { wire } of lines) await wire.refused('message-too-large');
      await honest.served();
    },
  },
];

const EMPTY_HEARTBEAT = { type: 'HEARTBEAT', spaces: [], time: 0 } as const;

const floodCases: readonly Case[] = [
  flood(
    '10.3/51',
    '50,000 frames of one byte',
    'Any division is legal, except an empty payload with flag 1',
    50_000,
    ({ wire }, i) =>
      // An ignored message of 50,000 bytes: array of two, 1000, bytes of 49,993.
      wire.sendFrame(
        i < 7 ? Uint8Array.of(1, [0x92, 0xcd, 3, 0xe8, 0xc5, 0xc3, 0x49][i]!) : Uint8Array.of(i === 49_999 ? 0 : 1, 0),
      ),
  ),
  flood('11.2/901', '50,000 HEARTBEATs', 'Allowed at any time.', 50_000, ({ wire }) => wire.send(EMPTY_HEARTBEAT)),
  flood('11.1/901', '5,000 HELLOs', 'A receiver MUST take another HELLO at any time', 5000, (line) => line.sayHello()),
  flood(
    '11/900',
    '50,000 messages of an unknown even type',
    "A type that it doesn't know is ignored if the number is **even**",
    50_000,
    ({ wire }) => wire.sendFields(1000, 'x'),
  ),
  flood(
    '11.8/900',
    '5,000 times SUBSCRIBE_ALL and UNSUBSCRIBE',
    'The sender stops and answers UNSUBSCRIBED with `nil`.',
    5000,
    (line) => {
      const subscription = line.nextSubscription();
      line.wire.send({
        type: 'SUBSCRIBE_ALL',
        subscription,
        space: line.world.space,
        from: { kind: 'all' },
        live: true,
        credit: CREDIT_BYTES_MIN,
      });
      line.wire.send({ type: 'UNSUBSCRIBE', subscription });
    },
  ),
  flood(
    '11.8/901',
    '50,000 times UNSUBSCRIBE of nothing',
    "For a subscription that isn't there it is ignored",
    50_000,
    ({ wire }, i) => wire.send({ type: 'UNSUBSCRIBE', subscription: 1_000_000 + i }),
  ),
  flood(
    '11.7/900',
    '50,000 ACKs of nothing',
    "For a subscription that isn't there an ACK is ignored",
    50_000,
    ({ wire }) => wire.send({ type: 'ACK', subscription: 1_000_000, last: 0, credit: 0 }),
  ),
  {
    id: '11.10/900',
    title: 'a stranger that asks 1,000 times',
    rule: 'the next one only when the last has been answered',
    side: 'server',
    hostile: true,
    async run(trial) {
      const wire = await trial.wire();
      await beside(trial, 10, () => {
        for (let i = 0; i < 100; i++) wire.send({ type: 'PAIR', invite: null, name: `name ${i}` });
      });
    },
  },
  {
    id: '13.6/50',
    title: '100 strangers that ask',
    rule: 'The list SHOULD be bounded; when it is full, the oldest on it makes room, or the new one gets `too-many`.',
    side: 'server',
    hostile: true,
    alone: true,
    async run(trial) {
      await beside(trial, 20, async () => {
        for (let i = 0; i < 5; i++) {
          const wire = await trial.wire({ device: newDevice() });
          wire.send({ type: 'PAIR', invite: null, name: 'x'.repeat(64) });
          const { fault } = await wire.next('REFUSED');
          expect(fault.code === 'pairing-pending' || fault.code === 'too-many', `it answered ${fault.code}`);
          wire.socket.cut();
        }
      });
    },
  },
  {
    id: '13.5/60',
    title: 'a stranger that guesses invites',
    rule: 'The inviter refuses with `invite-unknown`',
    side: 'server',
    hostile: true,
    alone: true,
    async run(trial) {
      await beside(trial, 20, async () => {
        for (let i = 0; i < 5; i++) {
          const wire = await trial.wire();
          for (let n = 0; n < 20; n++)
            wire.send({ type: 'PAIR', invite: { id: random(8), proof: random(32) }, name: 'a' });
          await wire.refused('invite-unknown');
        }
      });
    },
  },
  {
    id: '10.1/50',
    title: '5,000 WebSocket pings',
    rule: 'A ping MUST be answered by a pong',
    hostile: true,
    async run(trial) {
      const honest = await Honest.open(trial);
      const line = await trial.line();
      for (let i = 0; i < 625; i++) {
        const pongs = await Promise.all(Array.from({ length: 8 }, () => line.wire.socket.ping(trial.patienceMs)));
        expect(!pongs.includes(false), 'a ping was not answered');
      }
      await honest?.served();
      await answeredOrEnded(line, FLOOD_MS);
    },
  },
  {
    id: '11.5/900',
    title: '3,000 empty batches, one by one',
    rule: 'There may be fewer: what the subscriber has',
    hostile: true,
    async run(trial) {
      const honest = await Honest.open(trial);
      const line = await trial.line();
      const pull = await line.push();
      const empty = Uint8Array.of(0x92, 0x90, 0x90);
      for (let i = 0; i < 3000; i++) pull.send(empty);
      await honest?.served();
      await answeredOrEnded(line, FLOOD_MS);
    },
  },
];

export const hostileCases: readonly Case[] = [...connectionCases, ...readerCases, ...sizeCases, ...floodCases];

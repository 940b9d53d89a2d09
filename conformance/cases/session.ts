/** Chapter 12: who speaks first, strangers, silence, and two connections of one device. */
import { setTimeout as sleep } from 'node:timers/promises';
import { concat, equal, toHex } from '../../protocol/bytes.ts';
import {
  CODEC,
  CREDIT_BYTES_DEFAULT,
  HANDSHAKE_TIMEOUT_MS,
  HEARTBEAT_EVERY_MS,
  SILENCE_MAX_MS,
} from '../../protocol/constants.ts';
import { ERRORS, type ErrorCode } from '../../protocol/errors.ts';
import type { Message } from '../../protocol/messages.ts';
import { encode } from '../../protocol/msgpack.ts';
import { pairProof } from '../../protocol/pair-link.ts';
import type { Case, LineOptions, Trial } from '../case.ts';
import { ClientTrial } from '../client-target.ts';
import { crypto, random, type Device } from '../device.ts';
import { Line } from '../line.ts';
import type { Socket } from '../socket.ts';
import { expect, Skip, Violation } from '../violation.ts';
import { withTimeout, type Wire } from '../wire.ts';
import { set } from '../world.ts';

/** How much later than a limit the other side may come, whose clock ticks now and then: ms. */
const TICK_MS = 10_000;
/** How long a case watches that nothing comes. */
const WATCH_MS = 700;

/** One of each that isn't for strangers, and needs an open connection. */
const BEFORE_HELLO: readonly Message[] = [
  {
    type: 'SUBSCRIBE_ALL',
    subscription: 1,
    space: new Uint8Array(32),
    from: { kind: 'all' },
    live: true,
    credit: CREDIT_BYTES_DEFAULT,
  },
  {
    type: 'SUBSCRIBE',
    subscription: 1,
    space: new Uint8Array(32),
    from: { kind: 'all' },
    live: true,
    credit: CREDIT_BYTES_DEFAULT,
    filter: { kind: 'subject', subject: 'a' },
  },
  {
    type: 'BATCH',
    subscription: 1,
    prev: 0,
    last: 0,
    codec: CODEC.NONE,
    rawBytes: 3,
    data: Uint8Array.of(0x92, 0x90, 0x90),
  },
  { type: 'CAUGHT_UP', subscription: 1, last: 0, digest: new Uint8Array(32) },
  { type: 'ACK', subscription: 1, last: 0, credit: 0 },
  { type: 'UNSUBSCRIBE', subscription: 1 },
  { type: 'UNSUBSCRIBED', subscription: 1, fault: null },
];

/** A connection of devices that know each other, on which the kit has said nothing. A program joins before. */
async function knownWire(trial: Trial, options: LineOptions = {}): Promise<Wire> {
  if (!(trial instanceof ClientTrial))
    return trial.wire({ ...options, device: options.device ?? (await trial.device('writer')) });
  if (trial.remoteDevice === null) {
    await (await trial.line()).push();
    await trial.kill();
    // Its connection has to be seen to end.
    await sleep(200);
  }
  return trial.wire(options);
}

/** They closed, because another connection took its place. */
async function gaveWay(wire: Wire): Promise<void> {
  const { code } = await withTimeout(
    wire.socket.closed,
    wire.patienceMs,
    () => new Violation('the older of two connections was not closed'),
  );
  expect(code === 1000, `the older of two connections was closed with ${code}`);
  expect(wire.received.at(-1)?.type !== 'ERROR', 'the older of two connections got an ERROR');
}

async function staysOpen(wire: Wire, ms: number, why: string): Promise<void> {
  await wire.without([], ms, '');
  expect(wire.socket.closing === null, `it ended the connection with ${wire.socket.closing?.code}: ${why}`);
}

const strangerCases: readonly Case[] = [
  {
    id: '12.1/1',
    title: 'HELLO of a stranger',
    rule: 'To HELLO of this version and every other message it gets ERROR `not-paired`.',
    side: 'server',
    hostile: true,
    async run(trial) {
      const wire = await trial.wire();
      new Line(wire, trial.world).sayHello();
      await wire.refused('not-paired');
      hearsNothing(wire);
    },
  },
  ...BEFORE_HELLO.map((message, i): Case => ({
    id: `12.1/${2 + i}`,
    title: `${message.type} of a stranger`,
    rule: 'To HELLO of this version and every other message it gets ERROR `not-paired`.',
    side: 'server',
    hostile: true,
    stranger: true,
    async run(trial) {
      const wire = await trial.wire();
      wire.send(message);
      await wire.refused('not-paired');
      hearsNothing(wire);
    },
  })),
  {
    id: '12.1/9',
    title: 'a stranger that says nothing hears nothing',
    rule: 'A stranger is told nothing: no name, no spaces. It hears HEARTBEATs without content.',
    side: 'server',
    stranger: true,
    async run(trial) {
      const wire = await trial.wire({ silent: true });
      await sleep(3 * WATCH_MS);
      expect(wire.socket.closing === null, 'it closed a connection before the time limit');
      hearsNothing(wire);
    },
  },
  {
    id: '12.1/10',
    title: 'PAIRED and REFUSED of a stranger are ignored',
    rule: 'PAIRED and REFUSED are ignored.',
    side: 'server',
    hostile: true,
    stranger: true,
    async run(trial) {
      const wire = await trial.wire();
      wire.send({ type: 'PAIRED', space: random(32), spaceName: 'a', role: 'owner' });
      const { retry, sentence } = ERRORS['invite-used'];
      wire.send({ type: 'REFUSED', fault: { code: 'invite-used', retry, afterMs: 0, text: sentence, detail: {} } });
      wire.send({ type: 'HEARTBEAT', spaces: [], time: 0 });
      await wire.without(['HELLO', 'PAIR', 'REFUSED'], WATCH_MS, 'they are ignored');
      expect(wire.socket.closing === null, `it ended the connection with ${wire.socket.closing?.code}`);
      // It is still a stranger.
      wire.send({ type: 'UNSUBSCRIBE', subscription: 1 });
      await wire.refused('not-paired');
    },
  },
  {
    id: '12.1/11',
    title: 'a stranger that only gives signs of life',
    rule: "A stranger that hasn't sent PAIR within the time limit for HELLO gets ERROR `not-paired`, whatever signs of life it gives.",
    side: 'server',
    slow: true,
    stranger: true,
    async run(trial) {
      const wire = await trial.wire({ silent: true });
      const timer = setInterval(() => wire.send({ type: 'HEARTBEAT', spaces: [], time: 0 }), 1000);
      try {
        await wire.refused('not-paired', HANDSHAKE_TIMEOUT_MS + TICK_MS);
        hearsNothing(wire);
      } finally {
        clearInterval(timer);
      }
    },
  },
  {
    id: '12.1/12',
    title: 'a stranger that waits for a person stays, and hears HEARTBEATs without content',
    rule: "One that has may wait for a person's approval",
    side: 'server',
    slow: true,
    stranger: true,
    async run(trial) {
      const wire = await trial.wire();
      wire.send({ type: 'PAIR', invite: null, name: wire.device.name });
      await wire.next('REFUSED');
      await wire.next('HEARTBEAT', undefined, HEARTBEAT_EVERY_MS + TICK_MS);
      hearsNothing(wire);
    },
  },
  {
    id: '12.1/13',
    title: 'a device that was revoked, connected and again',
    rule: 'A revoked device gets `device-revoked`.',
    side: 'server',
    async run(trial) {
      const device = await trial.device('writer');
      const { wire } = await trial.line({ device });
      trial.world.revoke(device, []);
      // Whatever is pushed brings the revocation.
      await trial.device('reader');
      await wire.refused('device-revoked');
      const again = await trial.wire({ device });
      await again.refused('device-revoked');
      hearsNothing(again);
    },
  },
  {
    id: '12.1/14',
    title: 'a node that was revoked',
    rule: 'A revoked device gets `device-revoked`.',
    side: 'client',
    async run(trial) {
      const { node } = trial as ClientTrial;
      const line = await trial.line();
      const other = trial.author('owner');
      await line.push();
      // The founder is senior to whom it made an owner, and what a junior says of it counts all the same where nothing says otherwise.
      trial.world.revoke(node, [[trial.world.owner, trial.world.owner.commits.length]], other);
      const pull = await line.pull();
      const refused = line.wire.refused('device-revoked');
      await Promise.all([refused, pull.sendAll().catch(() => {})]);
    },
  },
  {
    id: '12.1/15',
    title: 'a revoked device with a fresh invite',
    rule: 'A revoked device gets `device-revoked`.',
    side: 'server',
    needs: ['invite'],
    async run(trial) {
      const device = await trial.device('writer');
      trial.world.revoke(device, []);
      await trial.device('reader');
      const invite = await trial.invite();
      const wire = await trial.wire({ device });
      const proof = pairProof(crypto, invite.secret, wire.handshakeHash, device.keys.public);
      wire.send({ type: 'PAIR', invite: { id: invite.id, proof }, name: 'back again' });
      await wire.refused('device-revoked');
    },
  },
];

/** Nothing came but ERROR and HEARTBEATs that say nothing. */
function hearsNothing(wire: Wire): void {
  for (const message of wire.received) {
    if (message.type === 'ERROR' || (message.type === 'REFUSED' && message.fault.code === 'pairing-pending')) continue;
    expect(message.type === 'HEARTBEAT', `a stranger was sent ${message.type}`);
    expect(message.spaces.length === 0, 'a HEARTBEAT tells a stranger of spaces');
    expect(message.time === 0, `a HEARTBEAT tells a stranger the time: ${message.time}`);
  }
}

const greetingCases: readonly Case[] = [
  {
    id: '12.1/20',
    title: 'HELLO at once, without waiting for the other',
    rule: 'To a device that it knows it sends HELLO at once.',
    async run(trial) {
      const wire = await knownWire(trial);
      await wire.next('HELLO');
    },
  },
  ...BEFORE_HELLO.map((message, i): Case => ({
    id: `12.1/${21 + i}`,
    title: `${message.type} before HELLO`,
    rule: 'Everything but PAIR, PAIRED, REFUSED, HEARTBEAT and ERROR that comes before is `bad-message`.',
    hostile: true,
    async run(trial) {
      const wire = await knownWire(trial);
      wire.send(message);
      await wire.refused('bad-message');
    },
  })),
  {
    id: '12.1/28',
    title: 'HEARTBEAT, PAIRED, REFUSED and what may be ignored before HELLO',
    rule: 'Everything but PAIR, PAIRED, REFUSED, HEARTBEAT and ERROR that comes before is `bad-message`.',
    async run(trial) {
      const wire = await knownWire(trial);
      wire.send({ type: 'HEARTBEAT', spaces: [], time: 0 });
      // Of spaces that nobody has greeted for; a sign of life and nothing else.
      const space = random(32);
      wire.send({ type: 'HEARTBEAT', spaces: [{ space, epoch: random(8), head: 1, digest: random(32) }], time: 1 });
      wire.send({ type: 'PAIRED', space, spaceName: 'a', role: 'reader' });
      wire.send({
        type: 'REFUSED',
        fault: { code: 'pairing-rejected', retry: false, afterMs: 0, text: 'Not asked.', detail: {} },
      });
      wire.sendFields(1000, 'whatever');
      const line = await new Line(wire, trial.world).greet();
      await line.ping();
      await line.push();
    },
  },
  {
    id: '11.1/900',
    title: 'a space is offered once, and only to members',
    rule: "those in which, by the sender's log, the receiver has a role",
    async run(trial) {
      const line = await trial.line();
      const { spaces } = line.hello;
      const names = spaces.map(({ space }) => toHex(space));
      expect(new Set(names).size === names.length, 'a space stands twice in HELLO');
      const strange = names.find((name) => name !== toHex(trial.world.space));
      expect(strange === undefined, `it offers a space in which the kit's new device has no role: ${strange}`);
    },
  },
  {
    id: '12.1/30',
    title: 'it subscribes to what is offered',
    rule: 'After HELLO each side subscribes, of the spaces that the other offers, to those that it holds.',
    async run(trial) {
      const line = await trial.line();
      await line.pull();
    },
  },
  {
    id: '12.1/31',
    title: 'it subscribes to nothing that is not offered, and sends nothing unasked',
    rule: 'After HELLO each side subscribes, of the spaces that the other offers, to those that it holds.',
    async run(trial) {
      const wire = await knownWire(trial);
      const line = await new Line(wire, trial.world).greet({ spaces: [] });
      await line.ping();
      await wire.without(
        ['SUBSCRIBE', 'SUBSCRIBE_ALL', 'BATCH', 'CAUGHT_UP', 'ACK'],
        WATCH_MS,
        'the kit offers nothing and asked for nothing',
      );
      expect(
        wire.received.every(({ type }) => type === 'HELLO' || type === 'HEARTBEAT' || type === 'UNSUBSCRIBED'),
        'it spoke of spaces that the kit does not offer',
      );
    },
  },
  {
    id: '12.1/32',
    title: 'it subscribes to what a later HELLO offers',
    rule: 'After HELLO each side subscribes, of the spaces that the other offers, to those that it holds.',
    async run(trial) {
      const wire = await knownWire(trial);
      const line = await new Line(wire, trial.world).greet({ spaces: [] });
      await line.ping();
      line.sayHello();
      await line.push();
    },
  },
  {
    id: '12.1/33',
    title: 'a push is a pull',
    rule: "A push is the other side's pull: there is no message that brings entries to a peer that hasn't subscribed.",
    hostile: true,
    async run(trial) {
      const line = await trial.line();
      const author = trial.author();
      await line.push();
      const commit = author.draft([set('conformance/unasked', { n: 1 })]);
      const pull = await line.pull();
      // A number that it has not given out.
      pull.batch([commit], { subscription: 1_000_000 });
      await line.wire.refused('bad-message');
    },
  },
  {
    id: '12.1/34',
    title: 'a space that only one side has, beside one that both have',
    rule: 'After HELLO each side subscribes, of the spaces that the other offers, to those that it holds.',
    async run(trial) {
      const wire = await knownWire(trial);
      const line = new Line(wire, trial.world);
      const other = { space: random(32), epoch: random(8), head: 7, digest: random(32) };
      await line.greet({ spaces: [other, line.state()] });
      await line.push();
    },
  },
];

// ---- silence

/** Resolves with how long it took until they ended it with `timeout`. */
async function timesOut(wire: Wire, meanwhile: (socket: Socket) => void = () => {}): Promise<void> {
  const startedMs = performance.now();
  const timer = setInterval(() => meanwhile(wire.socket), 4000);
  try {
    await wire.refused('timeout', SILENCE_MAX_MS + 2 * TICK_MS);
  } finally {
    clearInterval(timer);
  }
  const ms = performance.now() - startedMs;
  expect(ms > SILENCE_MAX_MS - 1000, `it gave the connection up after ${Math.round(ms / 1000)} s`);
}

const silenceCases: readonly Case[] = [
  {
    id: '12.4/1',
    title: 'silence for 45 s',
    rule: 'A side from which nothing came for `SILENCE_MAX_MS` (45,000) is taken for dead: ERROR `timeout`.',
    slow: true,
    async run(trial) {
      const line = await trial.line({ silent: true });
      await timesOut(line.wire);
    },
  },
  {
    id: '12.4/2',
    title: 'WebSocket pings, and silence for 45 s',
    rule: "WebSocket pings and pongs don't",
    slow: true,
    async run(trial) {
      const line = await trial.line({ silent: true });
      await timesOut(line.wire, (socket) => void socket.ping(3000));
    },
  },
  {
    id: '12.4/3',
    title: 'a message of an unknown even type now and then',
    rule: 'Any Noise message counts as a sign of life',
    slow: true,
    async run(trial) {
      const line = await trial.line({ silent: true });
      const timer = setInterval(() => line.wire.sendFields(1000), 20_000);
      try {
        await staysOpen(line.wire, SILENCE_MAX_MS + 2 * TICK_MS, 'unknown even messages are signs of life');
        await line.ping();
      } finally {
        clearInterval(timer);
      }
    },
  },
  {
    id: '12.4/4',
    title: 'a part of a message now and then',
    rule: 'and so one that is part of a message',
    slow: true,
    async run(trial) {
      const line = await trial.line({ silent: true });
      // 66 s for three bytes of one.
      const message = encode([1000, 1]);
      let at = 0;
      const timer = setInterval(() => {
        if (at < message.length - 1) line.wire.sendFrame(Uint8Array.of(1, message[at++]!));
      }, 20_000);
      try {
        await staysOpen(line.wire, SILENCE_MAX_MS + 2 * TICK_MS, 'parts of a message are signs of life');
        line.wire.sendFrame(concat(Uint8Array.of(0), message.subarray(at)));
        await line.ping();
      } finally {
        clearInterval(timer);
      }
    },
  },
  {
    id: '12.4/5',
    title: 'HEARTBEATs alone keep a connection',
    rule: 'Any Noise message counts as a sign of life',
    slow: true,
    async run(trial) {
      const line = await trial.line({ silent: true });
      const timer = setInterval(() => line.wire.send({ type: 'HEARTBEAT', spaces: [], time: 0 }), 20_000);
      try {
        await staysOpen(line.wire, SILENCE_MAX_MS + 2 * TICK_MS, 'HEARTBEATs are signs of life');
        await line.ping();
      } finally {
        clearInterval(timer);
      }
    },
  },
  {
    id: '11.2/900',
    title: 'a HEARTBEAT after 15 s without a word, with the log as it is now',
    rule: 'A peer that has sent nothing for `HEARTBEAT_EVERY_MS` (15,000) MUST send one.',
    slow: true,
    // On a node the other cases write.
    alone: true,
    async run(trial) {
      const line = await trial.line();
      const author = trial.author();
      author.write([set('conformance/heartbeat', { n: 1 })]);
      await line.push();
      const since = line.wire.received.length;
      const heartbeat = await line.wire.next(
        'HEARTBEAT',
        (message) => line.wire.received.indexOf(message) >= since,
        HEARTBEAT_EVERY_MS + TICK_MS,
      );
      expect(heartbeat.time > 0, 'a HEARTBEAT to a device that is known says nothing of the time');
      const names = heartbeat.spaces.map(({ space }) => toHex(space));
      expect(new Set(names).size === names.length, 'a space stands twice in HEARTBEAT');
      const state = heartbeat.spaces.find(({ space }) => equal(space, trial.world.space));
      if (!state) {
        expect(!line.offered(), 'its HEARTBEAT leaves out a space that its HELLO offers');
        throw new Skip('it offers no log');
      }
      expect(
        equal(state.digest, trial.world.digest()),
        `its HEARTBEAT has digest ${toHex(state.digest)}; its log is at ${toHex(trial.world.digest())}`,
      );
      const before = line.hello.spaces.find(({ space }) => equal(space, trial.world.space));
      expect(!before || equal(before.epoch, state.epoch), 'the epoch in HEARTBEAT is not that of HELLO');
      expect(!before || state.head > before.head, `the head in HEARTBEAT is ${state.head}, as before the push`);
    },
  },
];

// ---- two connections, and lost ones

const connectionCases: readonly Case[] = [
  {
    id: '12.4/10',
    title: 'the newer of two connections stays',
    rule: 'Of two that the same side opened, the newer stays.',
    side: 'server',
    async run(trial) {
      const device = await trial.device('writer');
      const older = await trial.line({ device });
      await older.push();
      const newer = await trial.line({ device });
      await gaveWay(older.wire);
      await newer.push();
      await newer.ping();
    },
  },
  {
    id: '12.4/11',
    title: 'five connections of one device, one after the other',
    rule: '**Two connections.** Two devices keep one.',
    side: 'server',
    async run(trial) {
      const device = await trial.device('writer');
      let last: Line | null = null;
      for (let i = 0; i < 5; i++) {
        const line: Line = await trial.line({ device });
        if (last) await gaveWay(last.wire);
        last = line;
      }
      await last!.push();
    },
  },
  {
    id: '12.4/12',
    title: 'the older is half-open: its end is gone without a word',
    rule: 'Of two that the same side opened, the newer stays.',
    side: 'server',
    async run(trial) {
      const device = await trial.device('writer');
      const older = await trial.line({ device });
      await older.push();
      // It reads nothing, and so answers no close frame.
      older.wire.socket.pause();
      const newer = await trial.line({ device });
      trial.author().write([set('conformance/half-open', { n: 1 })]);
      await newer.push();
      await newer.ping();
    },
  },
  {
    id: '12.4/13',
    title: 'the older is in the middle of a message',
    rule: 'The other is closed with 1000, without an ERROR.',
    side: 'server',
    async run(trial) {
      const device: Device = await trial.device('writer');
      const older = await trial.line({ device });
      older.wire.sendFrame(Uint8Array.of(1, 0x93));
      const newer = await trial.line({ device });
      await gaveWay(older.wire);
      await newer.push();
    },
  },
  {
    id: '12.4/14',
    title: 'two devices at once both stay',
    rule: '**Two connections.** Two devices keep one.',
    side: 'server',
    async run(trial) {
      const [one, other] = [await trial.line(), await trial.line()];
      await one.push();
      await other.push();
      await one.ping();
      await other.ping();
    },
  },
  {
    id: '12.4/20',
    title: 'a connection that was lost is made again',
    rule: 'A peer that lost a connection SHOULD try again',
    side: 'client',
    should: true,
    async run(trial) {
      const line = await trial.line();
      await line.push();
      line.wire.socket.cut();
      // Not started again by the kit as long as it runs.
      const again = await trial.line();
      await again.push();
    },
  },
  {
    id: '12.4/21',
    title: 'after an error that trying again does not mend it stays away',
    rule: 'and rarely where `retry` is false',
    side: 'client',
    should: true,
    slow: true,
    async run(trial) {
      const line = await trial.line();
      await line.push();
      const code: ErrorCode = 'bad-message';
      line.wire.send({
        type: 'ERROR',
        fault: { code, retry: false, afterMs: 0, text: ERRORS[code].sentence, detail: {} },
      });
      line.wire.socket.close(ERRORS[code].close!);
      const back = trial.socket().then(
        () => true,
        () => false,
      );
      expect(!(await Promise.race([back, sleep(5000, false)])), 'it came back within 5 s of an error with retry false');
    },
  },
];

export const sessionCases: readonly Case[] = [...strangerCases, ...greetingCases, ...silenceCases, ...connectionCases];

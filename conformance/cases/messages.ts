/** Chapter 11: the form of messages, and each message's own rules. What goes on inside a subscription is in streams.ts. */
import { equal } from '../../protocol/bytes.ts';
import { CREDIT_BYTES_DEFAULT, CREDIT_BYTES_MAX, CREDIT_BYTES_MIN, MESSAGE_TYPE } from '../../protocol/constants.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import { encode } from '../../protocol/msgpack.ts';
import type { Case, Trial } from '../case.ts';
import { random } from '../device.ts';
import type { Line } from '../line.ts';
import { expect } from '../violation.ts';
import { set } from '../world.ts';

const { HELLO, HEARTBEAT, SUBSCRIBE_ALL, SUBSCRIBE, BATCH, CAUGHT_UP, ACK, UNSUBSCRIBED, ERROR } = MESSAGE_TYPE;
const BYTES_8 = new Uint8Array(8);
const BYTES_32 = new Uint8Array(32);
const LIMITS = { message: 4_194_304, batch: 2_097_152 };

/** A message on an open line; what comes of it is the case's. */
type Make = (line: Line) => unknown[];

const spaceState = (line: Line): unknown[] => {
  const { space, epoch, head, digest } = line.state();
  return [space, epoch, head, digest];
};

/** A subscription of the kit's that an implementation that serves would take. */
function subscription(line: Line, change: { from?: unknown; live?: unknown; credit?: unknown; number?: unknown } = {}) {
  const { from = 0, live = false, credit = CREDIT_BYTES_DEFAULT, number = line.nextSubscription() } = change;
  return [SUBSCRIBE_ALL, number, line.world.space, from, live, credit];
}

const FORM = 'a field that is missing, of another kind, or past its limit is `bad-message`';
const OUTSIDE = 'outside is `bad-message`';

const BAD_MESSAGES: readonly (readonly [title: string, rule: string, section: string, make: Make])[] = [
  ['a type that is no number', 'an array whose first element is a count', '11', () => ['HELLO']],
  ['an empty array', 'an array whose first element is a count', '11', () => []],
  ['HELLO without its time', FORM, '11', () => [HELLO, 1, 'a', 'b', [], LIMITS, []]],
  ['HELLO with a name of 65 bytes', FORM, '11', () => [HELLO, 1, 'n'.repeat(65), 'b', [], LIMITS, [], 0]],
  ['HELLO with a control character in its name', FORM, '11', () => [HELLO, 1, 'a\nb', 'b', [], LIMITS, [], 0]],
  [
    'HELLO with 65 capabilities',
    'array of at most `CAPABILITIES_MAX` (64) names',
    '11.1',
    () => [HELLO, 1, 'a', 'b', Array.from({ length: 65 }, (_, i) => `c${i}`), LIMITS, [], 0],
  ],
  ['HELLO with limits that are an array', FORM, '11', () => [HELLO, 1, 'a', 'b', [], [], [], 0]],
  [
    'HELLO with a space of 31 bytes',
    FORM,
    '11',
    () => [HELLO, 1, 'a', 'b', [], LIMITS, [[new Uint8Array(31), BYTES_8, 0, BYTES_32]], 0],
  ],
  [
    'HELLO with one space twice',
    'no space twice',
    '11.1',
    (line) => [HELLO, 1, 'a', 'b', [], LIMITS, [spaceState(line), spaceState(line)], 0],
  ],
  [
    'HELLO with 257 spaces',
    'array of at most `HELLO_SPACES_MAX` (256) space states',
    '11.1',
    () => [HELLO, 1, 'a', 'b', [], LIMITS, Array.from({ length: 257 }, () => [random(32), BYTES_8, 0, BYTES_32]), 0],
  ],
  ['HELLO with a time before 1970', FORM, '11', () => [HELLO, 1, 'a', 'b', [], LIMITS, [], -1]],
  ['HEARTBEAT without its time', FORM, '11', () => [HEARTBEAT, []]],
  ['HEARTBEAT with spaces that are a map', FORM, '11', () => [HEARTBEAT, {}, 0]],
  [
    'SUBSCRIBE_ALL of a space of 33 bytes',
    FORM,
    '11',
    () => [SUBSCRIBE_ALL, 1, new Uint8Array(33), 0, false, CREDIT_BYTES_DEFAULT],
  ],
  ['SUBSCRIBE_ALL from 1', FORM, '11', (line) => subscription(line, { from: 1 })],
  ['SUBSCRIBE_ALL from an unknown form', FORM, '11', (line) => subscription(line, { from: [3, BYTES_8, 0] })],
  ['a cursor with an epoch of 7 bytes', FORM, '11', (line) => subscription(line, { from: [1, new Uint8Array(7), 0] })],
  ['a cursor before 0', FORM, '11', (line) => subscription(line, { from: [1, BYTES_8, -1] })],
  [
    'a vector with one chain twice',
    'one that stands there twice, or with `seq` 0, is `bad-message`',
    '11.3',
    (line) =>
      subscription(line, {
        from: [
          2,
          [
            [new Uint8Array(16), 1, BYTES_32],
            [new Uint8Array(16), 2, BYTES_32],
          ],
        ],
      }),
  ],
  [
    'a vector with seq 0',
    'one that stands there twice, or with `seq` 0, is `bad-message`',
    '11.3',
    (line) => subscription(line, { from: [2, [[random(16), 0, BYTES_32]]] }),
  ],
  [
    'a vector with an id of 31 bytes',
    FORM,
    '11',
    (line) => subscription(line, { from: [2, [[random(16), 1, new Uint8Array(31)]]] }),
  ],
  ['live that is a number', FORM, '11', (line) => subscription(line, { live: 1 })],
  [
    'less credit than a batch may need',
    OUTSIDE,
    '11.3',
    (line) => subscription(line, { credit: CREDIT_BYTES_MIN - 1 }),
  ],
  ['more credit than anyone may give', OUTSIDE, '11.3', (line) => subscription(line, { credit: CREDIT_BYTES_MAX + 1 })],
  [
    'another kind of filter',
    'Another kind of filter is `bad-message`.',
    '11.4',
    (line) => [SUBSCRIBE, ...subscription(line).slice(1), [2, 'x']],
  ],
  [
    'a filter of an empty prefix',
    'so neither is empty',
    '11.4',
    (line) => [SUBSCRIBE, ...subscription(line).slice(1), [1, '']],
  ],
  ['SUBSCRIBE without a filter', FORM, '11', (line) => [SUBSCRIBE, ...subscription(line).slice(1)]],
  [
    'BATCH for a subscription that nobody has',
    'The subscription is its own, and not ended: otherwise `bad-message`.',
    '11.5',
    () => [BATCH, 900_001, 0, 0, 0, 4, encode([[], [], new Uint8Array(0)])],
  ],
  ['BATCH whose data is text', FORM, '11', () => [BATCH, 1, 0, 0, 0, 4, 'data']],
  [
    'CAUGHT_UP for a subscription that nobody has',
    "for a subscription that isn't its own, `bad-message`",
    '11.6',
    () => [CAUGHT_UP, 900_001, 0, BYTES_32],
  ],
  ['CAUGHT_UP with a digest of 20 bytes', FORM, '11', () => [CAUGHT_UP, 1, 0, new Uint8Array(20)]],
  ['ACK with a credit below 0', FORM, '11', () => [ACK, 900_001, 0, -1]],
  ['ACK without credit', FORM, '11', () => [ACK, 900_001, 0]],
  [
    'UNSUBSCRIBED for a subscription that nobody has',
    "For a subscription that isn't the receiver's own, or has ended: `bad-message`.",
    '11.9',
    () => [UNSUBSCRIBED, 900_001, null],
  ],
  ['UNSUBSCRIBED with half a fault', FORM, '11', () => [UNSUBSCRIBED, 1, ['bad-request', false]]],
  ['ERROR whose detail is text', FORM, '11', () => [ERROR, ['internal', true, 0, '', 'none']]],
];

/** Numbers of a table's cases: the first in its section is `first`. */
function numbered(first: number): (section: string) => `${string}/${number}` {
  const next = new Map<string, number>();
  return (section) => {
    const number = next.get(section) ?? first;
    next.set(section, number + 1);
    return `${section}/${number}`;
  };
}

const badId = numbered(30);
const badMessageCases = BAD_MESSAGES.map(([title, rule, section, make]): Case => ({
  id: badId(section),
  title,
  rule,
  hostile: true,
  async run(trial) {
    const line = await trial.line();
    line.wire.sendFields(...make(line));
    await line.wire.refused('bad-message');
  },
}));

/** Bytes that are no MessagePack of section 2, in a message that would be one otherwise. */
const BAD_BYTES: readonly (readonly [title: string, bytes: Uint8Array])[] = [
  ['nothing at all', new Uint8Array(0)],
  ['the byte c1', Uint8Array.of(0x92, 0x0d, 0xc1)],
  ['an extension type', Uint8Array.of(0x92, 0x0d, 0xd4, 0x01, 0x00)],
  ['bytes behind the message', Uint8Array.of(0x92, 0x0d, 0x01, 0x00)],
  ['a message that is cut off', Uint8Array.of(0x93, 0x0d, 0x01)],
  ['a map in place of the array', Uint8Array.of(0x81, 0x0d, 0x01)],
  ['text that is not UTF-8', Uint8Array.of(0x93, 0x0d, 0x01, 0xa2, 0xc3, 0x28)],
  ['an integer past 2^53 − 1', Uint8Array.of(0x92, 0x0d, 0xcf, 0x00, 0x20, 0, 0, 0, 0, 0, 0)],
  ['NaN', Uint8Array.of(0x92, 0x0d, 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0)],
  ['a key that stands twice in a map', Uint8Array.of(0x93, 0x0d, 0x01, 0x82, 0xa1, 0x61, 0x01, 0xa1, 0x61, 0x02)],
  ['a map with a number for a key', Uint8Array.of(0x93, 0x0d, 0x01, 0x81, 0x01, 0x01)],
  ['nine levels of nesting', Uint8Array.of(0x93, 0x0d, 0x01, ...Array.from({ length: 8 }, () => 0x91), 0xc0)],
  ['an array that declares four billion items', Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff, 0x0d, 0x01)],
];

const badBytesCases = BAD_BYTES.map(([title, bytes], i): Case => ({
  id: `11/${70 + i}`,
  title,
  rule: 'MessagePack within [section 2](#2-values), and an array whose first element is a count: otherwise `bad-message`',
  hostile: true,
  async run(trial) {
    const line = await trial.line();
    line.wire.sendRaw(bytes);
    await line.wire.refused('bad-message');
  },
}));

/** The line still does what lines do. */
async function goesOn(trial: Trial, line: Line): Promise<void> {
  const author = trial.author();
  const pull = await line.push();
  author.write([set(`conformance/goes-on/${trial.world.head}`, { n: 1 })]);
  await pull.sendAll();
}

async function refusedWith(trial: Trial, fields: unknown[], code: ErrorCode): Promise<void> {
  const line = await trial.line();
  line.wire.sendFields(...fields);
  await line.wire.refused(code);
}

const formCases: readonly Case[] = [
  {
    id: '11/1',
    title: 'a message of an unknown even type',
    rule: "A type that it doesn't know is ignored if the number is **even**",
    async run(trial) {
      const line = await trial.line();
      line.wire.sendFields(98, 'whatever', [1, 2], { a: 1 });
      line.wire.sendFields(1_000_000);
      await goesOn(trial, line);
    },
  },
  {
    id: '11/2',
    title: 'a message of an unknown odd type',
    rule: 'and `unknown-message` if it is **odd**',
    hostile: true,
    run: (trial) => refusedWith(trial, [99], 'unknown-message'),
  },
  {
    id: '11/3',
    title: 'fields behind the known ones, in messages and in their parts',
    rule: 'ignored: a receiver MUST read past it',
    async run(trial) {
      const line = await trial.line();
      const { wire } = line;
      wire.sendFields(HEARTBEAT, [[...spaceState(line), 'more', { x: 1 }]], 0, 'more');
      wire.sendFields(
        HELLO,
        1,
        'a',
        'b',
        ['zstd', 'zstd', 'later'],
        { ...LIMITS, later: [1] },
        [[...spaceState(line), 1]],
        0,
        1,
      );
      wire.sendFields(MESSAGE_TYPE.UNSUBSCRIBE, 900_000, 'more');
      wire.sendFields(ACK, 900_000, 0, 0, 'more');
      const number = line.nextSubscription();
      wire.sendFields(...subscription(line, { number }).with(2, random(32)), 'more');
      await wire.next('UNSUBSCRIBED', (message) => message.subscription === number);
      await goesOn(trial, line);
    },
  },
  {
    id: '11/4',
    title: 'whole floats and long encodings for integers',
    rule: 'otherwise `bad-message`',
    async run(trial) {
      const line = await trial.line();
      // [13, 900000] as a float, and with an array of 32 bits and an integer of 64.
      line.wire.sendRaw(
        Uint8Array.of(0x92, 0xcb, 0x40, 0x2a, 0, 0, 0, 0, 0, 0, 0xcb, 0x41, 0x2b, 0x77, 0x40, 0, 0, 0, 0),
      );
      line.wire.sendRaw(
        Uint8Array.of(0xdd, 0, 0, 0, 2, 0xd3, 0, 0, 0, 0, 0, 0, 0, 0x0d, 0xcf, 0, 0, 0, 0, 0, 0x0d, 0xbb, 0xa0),
      );
      await goesOn(trial, line);
    },
  },
  {
    id: '11.1/1',
    title: 'HELLO of version 2',
    rule: 'Another one is `unsupported-version`',
    hostile: true,
    run: (trial) => refusedWith(trial, [HELLO, 2, 'a', 'b', [], LIMITS, [], 0], 'unsupported-version'),
  },
  {
    id: '11.1/2',
    title: 'HELLO of version 2 with fields of its own',
    rule: '`[1, 2]`, and `[1, 2, …]` with whatever follows, are `unsupported-version`.',
    hostile: true,
    run: (trial) => refusedWith(trial, [HELLO, 2, { other: true }], 'unsupported-version'),
  },
  {
    id: '11.1/3',
    title: 'another HELLO at any time',
    rule: 'A receiver MUST take another HELLO at any time; the last one counts',
    async run(trial) {
      const line = await trial.line();
      const pull = await line.push();
      for (let i = 0; i < 3; i++) line.sayHello();
      const author = trial.author();
      author.write([set('conformance/hello-again', { n: 1 })]);
      await pull.sendAll();
    },
  },
  {
    id: '11.1/4',
    title: 'its HELLO: limits, capabilities, no space twice',
    rule: 'In this version at least `MESSAGE_BYTES_MAX` and `BATCH_RAW_BYTES_MAX`',
    async run(trial) {
      const { hello, world } = await trial.line();
      expect(hello.version === 1, `its version is ${hello.version}`);
      expect(hello.limits.message >= LIMITS.message, `its limit for messages is ${hello.limits.message}`);
      expect(hello.limits.batch >= LIMITS.batch, `its limit for batches is ${hello.limits.batch}`);
      const offers = hello.spaces.filter(({ space }) => equal(space, world.space));
      expect(offers.length <= 1, 'its HELLO names the space twice');
      const ahead = hello.time - Date.now() * 1000;
      expect(hello.time > 1e15, `its time is ${hello.time}, which is not µs since 1970 (${ahead} off)`);
    },
  },
  {
    id: '11.13/1',
    title: 'it hears an ERROR',
    rule: "The receiver closes with 1000 and doesn't answer.",
    async run(trial) {
      const line = await trial.line();
      await line.pull();
      const before = line.wire.received.length;
      line.wire.send({
        type: 'ERROR',
        fault: { code: 'shutting-down', retry: true, afterMs: 0, text: 'bye', detail: {} },
      });
      const { code } = await line.wire.ended();
      expect(code === 1000, `it closed with ${code}`);
      const answered = line.wire.received.slice(before).some(({ type }) => type === 'ERROR');
      expect(!answered, 'it answered an ERROR with an ERROR');
    },
  },
  {
    id: '11/5',
    title: 'an ERROR with a code that nobody knows',
    rule: "A code that it doesn't know it treats by `retry`.",
    async run(trial) {
      const line = await trial.line();
      line.wire.send({
        type: 'ERROR',
        fault: { code: 'made-up-later', retry: true, afterMs: 0, text: '', detail: { x: 1 } },
      });
      const { code } = await line.wire.ended();
      expect(code === 1000, `it closed with ${code}`);
    },
  },
];

export const messageCases: readonly Case[] = [...formCases, ...badMessageCases, ...badBytesCases];

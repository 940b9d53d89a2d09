/** Chapter 11: the form of messages, and each message's own rules. What goes on inside a subscription is in streams.ts. */
import { concat, equal, toHex, utf8 } from '../../protocol/bytes.ts';
import { CREDIT_BYTES_DEFAULT, CREDIT_BYTES_MAX, CREDIT_BYTES_MIN, MESSAGE_TYPE } from '../../protocol/constants.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import { encode } from '../../protocol/msgpack.ts';
import type { Case, Trial } from '../case.ts';
import { random } from '../device.ts';
import type { Line } from '../line.ts';
import { expect, Violation } from '../violation.ts';
import { batchOf, set, type Commit } from '../world.ts';

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
  [
    'CAUGHT_UP for a subscription that nobody has',
    "for a subscription that isn't its own, `bad-message`",
    '11.6',
    () => [CAUGHT_UP, 900_001, 0, BYTES_32],
  ],
  ['ACK with a credit below 0', FORM, '11', () => [ACK, 900_001, 0, -1]],
  ['ACK without credit', FORM, '11', () => [ACK, 900_001, 0]],
  [
    'UNSUBSCRIBED for a subscription that nobody has',
    "For a subscription that isn't the receiver's own, or has ended: `bad-message`.",
    '11.9',
    () => [UNSUBSCRIBED, 900_001, null],
  ],
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

// ---- the form of each message, field by field

const FAULT = ['made-up', true, 0, 'text', {}];
const BAD_FAULTS: readonly unknown[] = [
  'internal',
  [],
  ['made-up', true, 0, 'text'],
  [1, true, 0, 'text', {}],
  ['c'.repeat(65), true, 0, 'text', {}],
  ['made-up', 1, 0, 'text', {}],
  ['made-up', true, -1, 'text', {}],
  ['made-up', true, 0, null, {}],
  ['made-up', true, 0, 'x'.repeat(2001), {}],
  ['made-up', true, 0, '🌊'.repeat(1001), {}],
  ['made-up', true, 0, 'text', []],
  ['made-up', true, 0, 'text', null],
];
const BAD_COUNTS: readonly unknown[] = ['1', -1, 0.5, null, true, [0]];
const BAD_NAMES: readonly unknown[] = [
  1,
  BYTES_8,
  null,
  'n'.repeat(65),
  'é'.repeat(33),
  'a\u0000',
  'a\u001F',
  '\u007F',
];
const badBytes = (length: number): readonly unknown[] => [
  'x'.repeat(length),
  new Uint8Array(length - 1),
  new Uint8Array(length + 1),
  null,
  [],
];
const BAD_STATES: readonly unknown[] = [
  {},
  null,
  'none',
  [null],
  [[BYTES_32, BYTES_8, 0]],
  [[new Uint8Array(33), BYTES_8, 0, BYTES_32]],
  [[BYTES_32, new Uint8Array(9), 0, BYTES_32]],
  [[BYTES_32, BYTES_8, -1, BYTES_32]],
  [[BYTES_32, BYTES_8, '0', BYTES_32]],
  [[BYTES_32, BYTES_8, 0, new Uint8Array(31)]],
];
const BAD_STARTS: readonly unknown[] = [
  null,
  '0',
  1,
  -1,
  [],
  [0],
  [1],
  [1, BYTES_8],
  [1, 'epoch678', 0],
  [1, BYTES_8, 0.5],
  [2],
  [2, {}],
  [2, [[]]],
  [2, [[new Uint8Array(16), 1]]],
  [2, [[new Uint8Array(15), 1, BYTES_32]]],
  [2, [[new Uint8Array(16), -1, BYTES_32]]],
  [2, [[new Uint8Array(16), 1, 'x'.repeat(32)]]],
];
type Field = readonly [what: string, good: unknown, bad: readonly unknown[]];

const SUBSCRIBE_FIELDS: readonly Field[] = [
  ['subscription', 900_000, BAD_COUNTS],
  ['space', BYTES_32, badBytes(32)],
  ['from', 0, BAD_STARTS],
  ['live', false, [0, null, 'true']],
  ['credit', CREDIT_BYTES_DEFAULT, BAD_COUNTS],
];

/** All messages, also those that the receiver would ignore: form comes before meaning. */
const FORMS: readonly (readonly [name: keyof typeof MESSAGE_TYPE, fields: readonly Field[]])[] = [
  [
    'HELLO',
    [
      ['version', 1, BAD_COUNTS],
      ['name', 'kit', BAD_NAMES],
      ['agent', 'kit/1', BAD_NAMES],
      ['capabilities', [], [{}, null, 'zstd', [1], [null], ['n'.repeat(65)], ['a\n']]],
      [
        'limits',
        LIMITS,
        [null, [], {}, { message: 1 }, { batch: 1 }, { ...LIMITS, message: '1' }, { ...LIMITS, batch: -1 }],
      ],
      ['spaces', [], BAD_STATES],
      ['time', 0, BAD_COUNTS],
    ],
  ],
  [
    'HEARTBEAT',
    [
      ['spaces', [], BAD_STATES],
      ['time', 0, BAD_COUNTS],
    ],
  ],
  ['SUBSCRIBE_ALL', SUBSCRIBE_FIELDS],
  [
    'SUBSCRIBE',
    [
      ...SUBSCRIBE_FIELDS,
      [
        'filter',
        [0, 'a'],
        [null, 'a', [], [0], [0, ''], [0, 1], [1, BYTES_8], [1, 'a\n'], [0, 'n'.repeat(1025)], [0.5, 'a'], ['0', 'a']],
      ],
    ],
  ],
  [
    'BATCH',
    [
      ['subscription', 900_000, BAD_COUNTS],
      ['prev', 0, BAD_COUNTS],
      ['last', 0, BAD_COUNTS],
      ['codec', 0, [2, -1, 0.5, '0', null]],
      ['rawBytes', 5, BAD_COUNTS],
      ['data', encode([[], [], new Uint8Array(0)]), ['data', null, [], 4]],
    ],
  ],
  [
    'CAUGHT_UP',
    [
      ['subscription', 900_000, BAD_COUNTS],
      ['last', 0, BAD_COUNTS],
      ['digest', BYTES_32, badBytes(32)],
    ],
  ],
  [
    'ACK',
    [
      ['subscription', 900_000, BAD_COUNTS],
      ['last', 0, BAD_COUNTS],
      ['credit', 0, BAD_COUNTS],
    ],
  ],
  ['UNSUBSCRIBE', [['subscription', 900_000, BAD_COUNTS]]],
  [
    'UNSUBSCRIBED',
    [
      ['subscription', 900_000, BAD_COUNTS],
      ['fault', null, BAD_FAULTS],
    ],
  ],
  [
    'PAIR',
    [
      ['invite', null, [0, 'x', {}, [], [BYTES_8], [new Uint8Array(7), BYTES_32], [BYTES_8, new Uint8Array(31)]]],
      ['name', 'kit', BAD_NAMES],
    ],
  ],
  [
    'PAIRED',
    [
      ['space', BYTES_32, badBytes(32)],
      ['name', 'space', BAD_NAMES],
      ['role', 'writer', ['king', 'Owner', '', 1, null]],
    ],
  ],
  ['REFUSED', [['fault', FAULT, [null, ...BAD_FAULTS]]]],
  ['ERROR', [['fault', FAULT, [null, ...BAD_FAULTS]]]],
];

const OF_A_SENDER: ReadonlySet<string> = new Set(['BATCH', 'CAUGHT_UP', 'UNSUBSCRIBED']);
/** Also right, these end the connection or begin a pairing. */
const MEANS_MORE: ReadonlySet<string> = new Set(['ERROR', 'PAIR']);

/** A program that connects is started anew for each try: there every fourth is enough. */
const CLIENT_TRIES_EVERY = 4;

const fieldCases = FORMS.map(([message, fields], i): Case => ({
  id: `11/${100 + i}`,
  title: `${message}: each field missing, or wrong in each way`,
  rule: FORM,
  hostile: true,
  async run(trial) {
    const device = trial.side === 'server' ? await trial.device('writer') : undefined;
    const open = async (): Promise<{ line: Line; good: unknown[] }> => {
      const line = await trial.line(device ? { device } : {});
      const good = fields.map(([, value]) => value);
      // What is for a subscription that isn't there is `bad-message` in any form.
      if (OF_A_SENDER.has(message)) good[0] = (await line.pull()).subscription;
      return { line, good };
    };
    if (!MEANS_MORE.has(message)) {
      const { line, good } = await open();
      line.wire.sendFields(MESSAGE_TYPE[message], ...good);
      await line.ping();
    }
    const tries: (readonly [what: string, change: (good: unknown[]) => unknown[]])[] = [
      ...fields.map(([what], at) => [`without ${what}`, (good: unknown[]) => good.slice(0, at)] as const),
      ...fields.flatMap(([what, , bad], at) =>
        bad.map((value) => [`a wrong ${what}`, (good: unknown[]) => good.with(at, value)] as const),
      ),
    ];
    for (const [at, [what, change]] of tries.entries()) {
      if (trial.side === 'client' && (at + i) % CLIENT_TRIES_EVERY !== 0) continue;
      const {
        line: { wire },
        good,
      } = await open();
      const bytes = encode([MESSAGE_TYPE[message], ...change(good)]);
      wire.sendRaw(bytes);
      try {
        await wire.refused('bad-message');
      } catch (thrown) {
        if (!(thrown instanceof Violation)) throw thrown;
        throw new Violation(`${message}, ${what} (${toHex(bytes.subarray(0, 100))}): ${thrown.message}`);
      }
    }
  },
}));

const MORE_BAD_BYTES: readonly (readonly [title: string, bytes: Uint8Array])[] = [
  ['infinity', Uint8Array.of(0x92, 0x0d, 0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0)],
  ['a float past 2^53 − 1', Uint8Array.of(0x93, 0x0d, 0x01, 0xcb, 0x43, 0x40, 0, 0, 0, 0, 0, 0)],
  ['an integer below −(2^53 − 1)', Uint8Array.of(0x93, 0x0d, 0x01, 0xd3, 0xff, 0xe0, 0, 0, 0, 0, 0, 0)],
  ['the key __proto__', Uint8Array.of(0x93, 0x0d, 0x01, 0x81, 0xa9, ...utf8('__proto__'), 0x01)],
  ['an unknown even type with bytes behind it', Uint8Array.of(0x92, 0x62, 0x01, 0x01)],
  ['an unknown even type with text that is not UTF-8', Uint8Array.of(0x92, 0x62, 0xa1, 0xff)],
  ['an unknown odd type that is cut off', Uint8Array.of(0x92, 0x63)],
  ['a type below 0', Uint8Array.of(0x92, 0xfe, 0x01)],
  ['a type that is not whole', Uint8Array.of(0x92, 0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0x01)],
  ['a surrogate in a text', Uint8Array.of(0x93, 0x0d, 0x01, 0xa3, 0xed, 0xa0, 0x80)],
  ['text in an encoding that is too long', Uint8Array.of(0x93, 0x0d, 0x01, 0xa2, 0xc0, 0x80)],
];

const moreBadBytesCases = MORE_BAD_BYTES.map(([title, bytes], i): Case => ({
  id: `11/${120 + i}`,
  title,
  rule: 'MessagePack within [section 2](#2-values), and an array whose first element is a count: otherwise `bad-message`',
  hostile: true,
  async run(trial) {
    const { wire } = await trial.line();
    wire.sendRaw(bytes);
    await wire.refused('bad-message');
  },
}));

// ---- other encodings of the same

type Style = 'long' | 'float';

/** Each value in the longest form that MessagePack has for it; with `float`, numbers as floats of 64 bits. */
function encodeAs(value: unknown, style: Style): Uint8Array {
  const sized = (tag: number, length: number): Uint8Array => {
    const head = new Uint8Array(5);
    head[0] = tag;
    new DataView(head.buffer).setUint32(1, length);
    return head;
  };
  if (typeof value === 'number') {
    const number = new Uint8Array(9);
    const view = new DataView(number.buffer);
    if (style === 'float') {
      number[0] = 0xcb;
      // 0 as −0.0, which is 0 too.
      view.setFloat64(1, value === 0 ? -0 : value);
    } else {
      number[0] = 0xd3;
      view.setBigInt64(1, BigInt(value));
    }
    return number;
  }
  if (typeof value === 'string') {
    const text = utf8(value);
    return concat(sized(0xdb, text.length), text);
  }
  if (value instanceof Uint8Array) return concat(sized(0xc6, value.length), value);
  if (Array.isArray(value)) return concat(sized(0xdd, value.length), ...value.map((item) => encodeAs(item, style)));
  if (typeof value !== 'object' || value === null) return encode(value);
  const entries = Object.entries(value);
  return concat(sized(0xdf, entries.length), ...entries.flat().map((item) => encodeAs(item, style)));
}

function batchFields(commits: readonly Commit[]): unknown[] {
  const { chains, entries } = batchOf(commits);
  return [
    chains.map(({ device, nonce, seq, id }) => [device, nonce, seq, id]),
    commits.map(({ body }, i) => [entries[i]!.chain, body]),
    concat(...commits.map(({ signature }) => signature)),
  ];
}

/** Both sides of a session, each of the kit's messages written by `write`. */
async function converse(
  trial: Trial,
  write: (fields: readonly unknown[]) => Uint8Array,
  batch = encode,
): Promise<void> {
  const first = await trial.line();
  await first.push();
  await first.wire.close();
  const line = await trial.line(trial.side === 'server' ? { device: first.wire.device } : {});
  const { wire, world } = line;
  const say = (...fields: readonly unknown[]): void => wire.sendRaw(write(fields));
  say(HELLO, 1, 'a', 'b', ['zstd'], LIMITS, [spaceState(line)], 0);
  say(HEARTBEAT, [spaceState(line)], 0);
  say(MESSAGE_TYPE.UNSUBSCRIBE, 900_000);
  say(ACK, 900_000, 0, 0);
  say(MESSAGE_TYPE.PAIRED, random(32), 'a', 'writer');
  say(MESSAGE_TYPE.REFUSED, ['pairing-pending', true, 0, 'text', {}]);

  const pull = await line.pull();
  say(CAUGHT_UP, pull.subscription, pull.cursor, world.digest());
  pull.saidCaughtUp = true;
  await pull.sendAll();
  const author = trial.author();
  await pull.sendAll();
  const commit = author.write([set(`conformance/encoded/${toHex(random(4))}`, { n: 1 })]);
  const data = batch(batchFields([commit]));
  say(BATCH, pull.subscription, pull.cursor, pull.cursor + 1, 0, data.length, data);
  pull.cursor++;
  await pull.acknowledged();

  const none = line.nextSubscription();
  say(SUBSCRIBE_ALL, none, random(32), [1, random(8), 7], true, CREDIT_BYTES_DEFAULT);
  const { fault } = await wire.next('UNSUBSCRIBED', (message) => message.subscription === none);
  expect(fault?.code === 'unknown-space', `a space that nobody has was answered with ${fault?.code ?? 'no fault'}`);
  if (line.offered()) {
    const heads = world.vector().map(({ chain, seq, id }) => [chain, seq, id]);
    const number = line.nextSubscription();
    say(SUBSCRIBE_ALL, number, world.space, [2, heads], false, CREDIT_BYTES_MIN);
    const { last } = await wire.next('CAUGHT_UP', ({ subscription: each }) => each === number);
    say(ACK, number, last, 0);
    const ended = await wire.next('UNSUBSCRIBED', (message) => message.subscription === number);
    expect(ended.fault === null, `it ended with ${ended.fault?.code}`);
    const filtered = line.nextSubscription();
    say(SUBSCRIBE, filtered, world.space, [2, heads], true, CREDIT_BYTES_MIN, [1, 'conformance/none']);
    await wire.until(
      () =>
        wire.received.find(
          (message) =>
            (message.type === 'CAUGHT_UP' && message.subscription === filtered) ||
            (message.type === 'UNSUBSCRIBED' &&
              message.subscription === filtered &&
              message.fault?.code === 'bad-request'),
        ),
      'CAUGHT_UP of a filtered stream, or bad-request',
    );
  }
  say(MESSAGE_TYPE.UNSUBSCRIBED, pull.subscription, ['made-up-later', true, 0, 'text', { x: 1 }]);
  await line.ping();
  say(ERROR, ['made-up-later', true, 0, 'text', {}]);
  const { code } = await wire.ended();
  expect(code === 1000, `it closed with ${code}`);
}

/** The parts in which more is ignored, each with more: what stands at `path` of a message's fields. */
function lengthened(fields: readonly unknown[]): unknown[] {
  const longer = (item: unknown): unknown[] => [...(item as unknown[]), 'more', { x: [1] }];
  const states = (value: unknown): unknown[] => (value as unknown[]).map(longer);
  const start = (from: unknown): unknown =>
    !Array.isArray(from) ? from : longer(from[0] === 2 ? [2, (from[1] as unknown[]).map(longer)] : from);
  const fault = (value: unknown): unknown =>
    Array.isArray(value) ? longer(value.with(4, { ...(value[4] as object), later: [1] })) : value;
  const [type, ...rest] = fields;
  const all = (): unknown[] => {
    switch (type) {
      case HELLO:
        return [
          1,
          rest[1],
          rest[2],
          ['later', 'later', ...(rest[3] as string[])],
          { ...LIMITS, later: [1] },
          states(rest[5]),
          rest[6],
        ];
      case HEARTBEAT:
        return [states(rest[0]), rest[1]];
      case SUBSCRIBE_ALL:
        return rest.with(2, start(rest[2]));
      case SUBSCRIBE:
        return rest.with(2, start(rest[2])).with(5, longer(rest[5]));
      case UNSUBSCRIBED:
        return rest.with(1, fault(rest[1]));
      case ERROR:
      case MESSAGE_TYPE.REFUSED:
        return rest.with(0, fault(rest[0]));
      default:
        return rest;
    }
  };
  return longer([type, ...all()]);
}

const encodingCases: readonly Case[] = [
  {
    id: '11/140',
    title: 'a whole session in long encodings',
    rule: 'MessagePack within [section 2](#2-values)',
    run: (trial) =>
      converse(
        trial,
        (fields) => encodeAs(fields, 'long'),
        (value) => encodeAs(value, 'long'),
      ),
  },
  {
    id: '11/141',
    title: 'a whole session in which each number is a float',
    rule: 'MessagePack within [section 2](#2-values)',
    run: (trial) =>
      converse(
        trial,
        (fields) => encodeAs(fields, 'float'),
        (value) => encodeAs(value, 'float'),
      ),
  },
  {
    id: '11/142',
    title: 'a whole session with more in each message and each part',
    rule: 'ignored: a receiver MUST read past it',
    run: (trial) => converse(trial, (fields) => encode(lengthened(fields))),
  },
  {
    id: '11/143',
    title: 'eight levels of nesting in a message that may be ignored',
    rule: 'Of an ignored message nothing else is looked at.',
    async run(trial) {
      const line = await trial.line();
      const levels = (depth: number): unknown => (depth === 0 ? 1 : [levels(depth - 1)]);
      line.wire.sendFields(98, levels(7));
      line.wire.sendFields(0);
      line.wire.sendFields(4, levels(7), {}, new Uint8Array(100_000));
      line.wire.sendFields(Number.MAX_SAFE_INTEGER - 1);
      await line.ping();
    },
  },
  {
    id: '11/144',
    title: 'the greatest unknown odd type',
    rule: 'and `unknown-message` if it is **odd**',
    hostile: true,
    run: (trial) => refusedWith(trial, [Number.MAX_SAFE_INTEGER, 'x'], 'unknown-message'),
  },
  {
    id: '11/145',
    title: 'a fault with the longest text and the longest code',
    rule: 'string of at most 2,000 UTF-16 code units',
    async run(trial) {
      const line = await trial.line();
      for (const text of ['x'.repeat(2000), '🌊'.repeat(1000)])
        line.wire.sendFields(MESSAGE_TYPE.REFUSED, ['c'.repeat(64), true, Number.MAX_SAFE_INTEGER, text, { x: {} }]);
      await line.ping();
    },
  },
  {
    id: '11.1/100',
    title: 'HELLO at its limits',
    rule: 'unknown ones are ignored, and the order says nothing',
    async run(trial) {
      const line = await trial.line();
      const others = Array.from({ length: 255 }, () => ({ ...line.state(), space: random(32) }));
      line.sayHello({
        name: 'é'.repeat(32),
        agent: '',
        capabilities: [...Array.from({ length: 63 }, (_, i) => `later-${i}`), 'zstd'],
        spaces: [...others, line.state()],
        time: Number.MAX_SAFE_INTEGER,
      });
      line.wire.send({ type: 'HEARTBEAT', spaces: [...others, line.state()], time: 0 });
      line.sayHello({ name: '', time: 0 });
      await goesOn(trial, line);
    },
  },
  {
    id: '11.1/101',
    title: 'limits below the least',
    rule: "a receiver doesn't check that",
    async run(trial) {
      const line = await trial.line({ hello: { limits: { message: 0, batch: 0 } } });
      await goesOn(trial, line);
    },
  },
  {
    id: '11.1/102',
    title: 'version 2 in a second HELLO',
    rule: 'The **version** is judged before anything behind it',
    hostile: true,
    run: (trial) => refusedWith(trial, [HELLO, 2], 'unsupported-version'),
  },
  {
    id: '11.1/103',
    title: 'version 2 before any other HELLO',
    rule: 'are `unsupported-version`',
    hostile: true,
    async run(trial) {
      // A program that connects must have joined first: a stranger's first message is PAIR.
      const first = await trial.line();
      await first.wire.close();
      if (trial.side === 'client') await trial.unharmed();
      const wire = await trial.wire(trial.side === 'server' ? { device: first.wire.device } : {});
      wire.sendFields(HELLO, 2, null, [{}], -7);
      await wire.refused('unsupported-version');
    },
  },
  {
    id: '11.1/104',
    title: 'a later HELLO without the space',
    rule: 'and ends no subscription',
    async run(trial) {
      const line = await trial.line();
      const pull = await line.push();
      const offered = line.offered();
      const follow = offered && line.follow({ live: true, from: { kind: 'vector', heads: line.world.vector() } });
      await follow?.caughtUp();
      line.sayHello({ spaces: [] });
      const author = trial.author();
      author.write([set(`conformance/hello-without/${toHex(random(4))}`, { n: 1 })]);
      await pull.sendAll();
      await line.ping();
      if (!follow) return;
      expect(!follow.isEnded, 'it ended the subscription of the kit, which only said HELLO');
      // One that is still there is answered.
      line.wire.send({ type: 'UNSUBSCRIBE', subscription: follow.subscription });
      await follow.ended();
    },
  },
  {
    id: '11.1/105',
    title: 'a later HELLO that takes zstd back',
    rule: 'the last one counts, with all its fields, for what is said from then on',
    async run(trial) {
      const author = trial.author();
      for (let i = 0; i < 20; i++)
        author.write([set(`conformance/packs/${toHex(random(4))}`, { text: 'tide '.repeat(200) })]);
      const first = await trial.line();
      await first.serves();
      await first.wire.close();
      const line = await trial.line(trial.side === 'server' ? { device: first.wire.device } : {});
      line.sayHello({ capabilities: [] });
      await line.ping();
      const follow = line.follow();
      await follow.caughtUp();
      const packed = follow.batches.find(({ codec }) => codec !== 0);
      expect(!packed, `a batch came with codec ${packed?.codec}`);
    },
  },
  {
    id: '11.2/100',
    title: 'HEARTBEAT with 257 spaces',
    rule: 'as in HELLO, with the same limits',
    hostile: true,
    run: (trial) =>
      refusedWith(
        trial,
        [HEARTBEAT, Array.from({ length: 257 }, () => [random(32), BYTES_8, 0, BYTES_32]), 0],
        'bad-message',
      ),
  },
  {
    id: '11.2/101',
    title: 'HEARTBEAT with one space twice',
    rule: 'as in HELLO, with the same limits',
    hostile: true,
    run: (trial) =>
      refusedWith(
        trial,
        [
          HEARTBEAT,
          [
            [BYTES_32, BYTES_8, 0, BYTES_32],
            [BYTES_32, random(8), 1, BYTES_32],
          ],
          0,
        ],
        'bad-message',
      ),
  },
  {
    id: '11.13/100',
    title: 'what comes behind an ERROR',
    rule: 'Nothing that comes after an ERROR counts.',
    hostile: true,
    async run(trial) {
      const line = await trial.line();
      const author = trial.author();
      const pull = await line.push();
      line.wire.sendFields(ERROR, ['shutting-down', true, 0, '', {}]);
      // Good for itself: unharmed() looks whether it was taken.
      pull.batch([author.draft([set('conformance/behind-an-error', { n: 1 })])]);
      line.wire.sendFields(99);
      const { code } = await line.wire.ended();
      expect(code === 1000, `it closed with ${code}`);
      expect(!line.wire.received.some(({ type }) => type === 'ERROR'), 'it answered an ERROR');
    },
  },
  {
    id: '15/100',
    title: 'capabilities that nobody knows, and zstd among them',
    rule: 'What both name may be used. Unknown ones are ignored.',
    async run(trial) {
      const line = await trial.line({ hello: { capabilities: ['a', 'zstd2', 'ZSTD', '', 'a', 'zstd'] } });
      await goesOn(trial, line);
      if (!line.offered()) return;
      const follow = line.follow({ from: { kind: 'vector', heads: line.world.vector().slice(1) } });
      await follow.caughtUp();
      await follow.ended();
    },
  },
  {
    id: '15/101',
    title: 'no zstd for a name that is only like it',
    rule: 'A name is never used for two things.',
    async run(trial) {
      const author = trial.author();
      for (let i = 0; i < 20; i++)
        author.write([set(`conformance/packs/${toHex(random(4))}`, { text: 'tide '.repeat(200) })]);
      const first = await trial.line();
      await first.serves();
      await first.wire.close();
      const line = await trial.line({
        ...(trial.side === 'server' && { device: first.wire.device }),
        hello: { capabilities: ['ZSTD', 'zstd2', 'zstd '] },
      });
      const follow = line.follow();
      await follow.caughtUp();
      const packed = follow.batches.find(({ codec }) => codec !== 0);
      expect(!packed, `a batch came with codec ${packed?.codec}`);
    },
  },
];

export const messageCases: readonly Case[] = [
  ...formCases,
  ...badMessageCases,
  ...badBytesCases,
  ...fieldCases,
  ...moreBadBytesCases,
  ...encodingCases,
];

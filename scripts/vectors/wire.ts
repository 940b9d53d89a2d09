/** What travels: messages, starts-from, and the session's order. */
import { toHex } from '../../protocol/bytes.ts';
import { encodeMessage, type Message, type StartsFrom } from '../../protocol/messages.ts';
import { encode } from '../../protocol/msgpack.ts';
import { bytesOf, counting, hex, packed, SPACE, toJson, TIME, type Pieces } from './world.ts';

const EPOCH = counting(0xc0, 8);
const DIGEST = bytesOf('digest', 32);
const CHAIN = bytesOf('chain 1', 16);
const HEAD = bytesOf('head 1', 32);
const state = { space: SPACE, epoch: EPOCH, head: 2, digest: DIGEST };
const fault = { code: 'not-paired', retry: false, afterMs: 0, text: 'These two devices do not know each other.', detail: {} }; // prettier-ignore
const subscription = { subscription: 1, space: SPACE, from: { kind: 'all' }, live: true, credit: 4_194_304 } as const;
const HELLO = {
  type: 'HELLO',
  version: 1,
  name: 'laptop',
  agent: 'tidelog/0.1.0',
  capabilities: ['zstd'],
  limits: { message: 4_194_304, batch: 2_097_152 },
  spaces: [state],
  time: TIME,
} as const;
const EMPTY_BATCH = hex('939090c400');

/** A message in JSON: bytes are hex; a fault's detail holds values, as properties do. */
function messageJson(value: unknown, key = ''): unknown {
  if (key === 'detail') return toJson(value);
  if (value instanceof Uint8Array) return toHex(value);
  if (Array.isArray(value)) return value.map((item) => messageJson(item));
  if (value !== null && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, messageJson(item, name)]));
  return value;
}

const GOOD: readonly [name: string, message: Message][] = [
  ['HELLO', HELLO],
  ['HELLO: nothing to say', { ...HELLO, name: '', agent: '', capabilities: [], limits: { message: 0, batch: 0 }, spaces: [], time: 0 }], // prettier-ignore
  ['HELLO: 64 capabilities, 64 bytes each name', { ...HELLO, name: 'é'.repeat(32), capabilities: Array.from({ length: 64 }, (_, i) => `c${i}`) }], // prettier-ignore
  ['HEARTBEAT', { type: 'HEARTBEAT', spaces: [state], time: TIME }],
  ['HEARTBEAT to a stranger', { type: 'HEARTBEAT', spaces: [], time: 0 }],
  ['SUBSCRIBE_ALL from the beginning', { type: 'SUBSCRIBE_ALL', ...subscription }],
  ['SUBSCRIBE_ALL from a cursor, once, with the most credit', { type: 'SUBSCRIBE_ALL', ...subscription, from: { kind: 'cursor', epoch: EPOCH, seq: 7 }, live: false, credit: 1_073_741_824 }], // prettier-ignore
  ['SUBSCRIBE_ALL from a vector', { type: 'SUBSCRIBE_ALL', ...subscription, from: { kind: 'vector', heads: [{ chain: CHAIN, seq: 3, id: HEAD }] } }], // prettier-ignore
  ['SUBSCRIBE to a subject', { type: 'SUBSCRIBE', ...subscription, filter: { kind: 'subject', subject: 'note/1' } }],
  ['SUBSCRIBE to a prefix', { type: 'SUBSCRIBE', ...subscription, filter: { kind: 'prefix', prefix: 'note/' } }],
  ['BATCH', { type: 'BATCH', subscription: 1, prev: 1, last: 2, codec: 0, rawBytes: 5, data: EMPTY_BATCH }],
  ['BATCH packed with zstd', { type: 'BATCH', subscription: 1, prev: 0, last: 9, codec: 1, rawBytes: 5, data: hex('28b52ffd2005290000939090c400') }], // prettier-ignore
  ['BATCH that does not move the cursor', { type: 'BATCH', subscription: 2 ** 53 - 1, prev: 5, last: 5, codec: 0, rawBytes: 5, data: EMPTY_BATCH }], // prettier-ignore
  ['CAUGHT_UP', { type: 'CAUGHT_UP', subscription: 1, last: 2, digest: DIGEST }],
  ['ACK', { type: 'ACK', subscription: 1, last: 2, credit: 196 }],
  ['ACK without credit', { type: 'ACK', subscription: 1, last: 0, credit: 0 }],
  ['UNSUBSCRIBE', { type: 'UNSUBSCRIBE', subscription: 1 }],
  ['UNSUBSCRIBED as asked', { type: 'UNSUBSCRIBED', subscription: 1, fault: null }],
  ['UNSUBSCRIBED with a fault', { type: 'UNSUBSCRIBED', subscription: 1, fault: { code: 'cursor-too-new', retry: true, afterMs: 0, text: 'The cursor lies past the end of this log.', detail: { epoch: toHex(EPOCH), floor: 0, head: 2 } } }], // prettier-ignore
  ['PAIR with an invite', { type: 'PAIR', invite: { id: counting(0xd0, 8), proof: bytesOf('proof', 32) }, name: 'phone' }], // prettier-ignore
  ['PAIR without an invite', { type: 'PAIR', invite: null, name: '' }],
  ['PAIRED', { type: 'PAIRED', space: SPACE, spaceName: 'home', role: 'writer' }],
  ['REFUSED', { type: 'REFUSED', fault: { ...fault, code: 'pairing-pending', retry: true, afterMs: 5000 } }],
  ['FORK', { type: 'FORK', space: SPACE, proof: bytesOf('proof', 300) }],
  ['ERROR', { type: 'ERROR', fault }],
  ['ERROR with a code that nobody knows yet, and a detail of every kind', { type: 'ERROR', fault: { ...fault, code: 'code-of-the-future', detail: { a: 1, b: 'text', c: hex('00ff'), d: [null, true], e: { f: 0.5 } } } }], // prettier-ignore
];

/** Not what `encodeMessage` makes, and legal. */
function loose(): [name: string, hex: string, message: Message | null][] {
  const heartbeat = FORMS.HEARTBEAT();
  const hello: readonly unknown[] = FORMS.HELLO();
  return [
    ['a field more than is known', packed([...heartbeat, 'more']), { type: 'HEARTBEAT', spaces: [state], time: TIME }],
    ['a field more in a space state', packed([2, [[SPACE, EPOCH, 2, DIGEST, 'more']], TIME]), { type: 'HEARTBEAT', spaces: [state], time: TIME }], // prettier-ignore
    ['a field more in a fault', packed([23, ['not-paired', false, 0, fault.text, {}, 'more']]), { type: 'ERROR', fault }], // prettier-ignore
    ['a field more in a chain head and in starts-from', packed([3, 1, SPACE, [2, [[CHAIN, 3, HEAD, 'more']], 'more'], true, 4_194_304]), { type: 'SUBSCRIBE_ALL', ...subscription, from: { kind: 'vector', heads: [{ chain: CHAIN, seq: 3, id: HEAD }] } }], // prettier-ignore
    ['a field more in a filter', packed([5, 1, SPACE, 0, true, 4_194_304, [1, 'note/', 'more']]), { type: 'SUBSCRIBE', ...subscription, filter: { kind: 'prefix', prefix: 'note/' } }], // prettier-ignore
    ['a field more in a cursor', packed([3, 1, SPACE, [1, EPOCH, 7, 'more'], true, 4_194_304]), { type: 'SUBSCRIBE_ALL', ...subscription, from: { kind: 'cursor', epoch: EPOCH, seq: 7 } }], // prettier-ignore
    ['a field more in an invite', packed([17, [counting(0xd0, 8), bytesOf('proof', 32), 'more'], 'phone']), { type: 'PAIR', invite: { id: counting(0xd0, 8), proof: bytesOf('proof', 32) }, name: 'phone' }], // prettier-ignore
    ['a limit that nobody knows', packed(hello.with(5, { message: 4_194_304, batch: 2_097_152, more: 1 })), HELLO],
    ['a whole number as a float', '92 cb402a000000000000 01', { type: 'UNSUBSCRIBE', subscription: 1 }],
    [
      '−0.0 is 0, as a type too',
      '93 cb4000000000000000 90 cb8000000000000000',
      { type: 'HEARTBEAT', spaces: [], time: 0 },
    ],
    ['long encodings', 'dd00000002 cd000d cf0000000000000001', { type: 'UNSUBSCRIBE', subscription: 1 }],
    ['an unknown even type is ignored', packed([4, 'anything', { at: 'all' }]), null],
    ['an unknown even type without fields', packed([1000]), null],
    ['type 0', packed([0]), null],
  ];
}

const stateForm = [SPACE, EPOCH, 2, DIGEST];
const faultForm = ['not-paired', false, 0, fault.text, {}];
/** The arrays of section 11, written out once more: so that a field of each can be spoilt. */
const FORMS = {
  HELLO: () => [1, 1, 'laptop', 'tidelog/0.1.0', ['zstd'], { message: 4_194_304, batch: 2_097_152 }, [stateForm], TIME], // prettier-ignore
  HEARTBEAT: () => [2, [stateForm], TIME],
  SUBSCRIBE_ALL: () => [3, 1, SPACE, 0, true, 4_194_304],
  SUBSCRIBE: () => [5, 1, SPACE, 0, true, 4_194_304, [1, 'note/']],
  BATCH: () => [7, 1, 1, 2, 0, 5, EMPTY_BATCH],
  CAUGHT_UP: () => [9, 1, 2, DIGEST],
  ACK: () => [11, 1, 2, 196],
  UNSUBSCRIBE: () => [13, 1],
  UNSUBSCRIBED: () => [15, 1, null],
  PAIR: () => [17, [counting(0xd0, 8), bytesOf('proof', 32)], 'phone'],
  PAIRED: () => [19, SPACE, 'home', 'writer'],
  REFUSED: () => [21, faultForm],
  ERROR: () => [23, faultForm],
  FORK: () => [24, SPACE, bytesOf('proof', 300)],
} as const;

export function messages(): object {
  return {
    messages: [
      ...GOOD.map(([name, message]) => ({ name, hex: toHex(encodeMessage(message)), message: messageJson(message), isShortest: true })), // prettier-ignore
      ...loose().map(([name, text, message]) => ({ name, hex: text.replaceAll(' ', ''), message: messageJson(message), isShortest: false })), // prettier-ignore
    ],
  };
}

// ---- spoilt fields

type Spoil = readonly [what: string, value: unknown];
const COUNT: Spoil[] = [
  ['below 0', -1],
  ['a half', 0.5],
  ['text', '1'],
  ['nil', null],
];
const NAME: Spoil[] = [
  ['65 bytes', `${'é'.repeat(32)}x`],
  ['a line break', 'a\nb'],
  ['bytes', hex('61')],
  ['nil', null],
];
const bytesSpoilt = (length: number): Spoil[] => [
  [`${length - 1} bytes`, bytesOf('short', length - 1)],
  [`${length + 1} bytes`, bytesOf('long', length + 1)],
  ['hex', toHex(bytesOf('text', length))],
];
const BOOLEAN: Spoil[] = [
  ['1', 1],
  ['nil', null],
];
const STATES: Spoil[] = [
  ['nil', null],
  ['a map', {}],
  ['an item that is no array', [1]],
  ['an item without digest', [stateForm.slice(0, 3)]],
  ['a space of 31 bytes', [[SPACE.subarray(1), EPOCH, 2, DIGEST]]],
  ['an epoch of 7 bytes', [[SPACE, EPOCH.subarray(1), 2, DIGEST]]],
  ['a head below 0', [[SPACE, EPOCH, -1, DIGEST]]],
  ['a digest of 31 bytes', [[SPACE, EPOCH, 2, DIGEST.subarray(1)]]],
  ['a space twice', [stateForm, [SPACE, EPOCH, 3, DIGEST]]],
];
const FAULT: Spoil[] = [
  ['a code', 'not-paired'],
  ['without detail', faultForm.slice(0, 4)],
  ['a code that is a number', [1, ...faultForm.slice(1)]],
  ['a code of 65 bytes', ['x'.repeat(65), ...faultForm.slice(1)]],
  ['retry 0', [...faultForm.slice(0, 1), 0, ...faultForm.slice(2)]],
  ['afterMs below 0', [...faultForm.slice(0, 2), -1, ...faultForm.slice(3)]],
  ['a text of 2,001 characters', [...faultForm.slice(0, 3), 'x'.repeat(2001), {}]],
  ['a text that is nil', [...faultForm.slice(0, 3), null, {}]],
  ['detail an array', [...faultForm.slice(0, 4), []]],
  ['detail nil', [...faultForm.slice(0, 4), null]],
];
const FROM: Spoil[] = [
  ['1', 1],
  ['nil', null],
  ['text', '0'],
];
const SUBSCRIPTION: [field: string, Spoil[]][] = [
  ['subscription', COUNT],
  ['space', bytesSpoilt(32)],
  ['from', FROM],
  ['live', BOOLEAN],
  ['credit', [...COUNT, ['past 2^30', 1_073_741_825]]],
];
const SPOILT: Readonly<Record<keyof typeof FORMS, [field: string, Spoil[]][]>> = {
  HELLO: [
    ['version', COUNT],
    ['name', NAME],
    ['agent', NAME],
    ['capabilities', [['nil', null], ['text', 'zstd'], ['65 of them', Array.from({ length: 65 }, () => 'x')], ['one of 65 bytes', ['x'.repeat(65)]], ['a number', [1]]]], // prettier-ignore
    ['limits', [['nil', null], ['an array', [4_194_304, 2_097_152]], ['without batch', { message: 1 }], ['without message', { batch: 1 }], ['message as text', { message: '1', batch: 1 }]]], // prettier-ignore
    ['spaces', STATES],
    ['time', COUNT],
  ],
  HEARTBEAT: [
    ['spaces', STATES],
    ['time', COUNT],
  ],
  SUBSCRIBE_ALL: SUBSCRIPTION,
  SUBSCRIBE: [
    ...SUBSCRIPTION,
    ['filter', [['nil', null], ['text', 'note/'], ['of one', [1]], ['of kind 2', [2, 'note/']], ['of a kind as text', ['1', 'note/']], ['empty', [1, '']], ['1,025 bytes', [0, 'x'.repeat(1025)]], ['a control character', [0, 'a\u0000']]]], // prettier-ignore
  ],
  BATCH: [
    ['subscription', COUNT],
    ['prev', [...COUNT, ['past last', 3]]],
    ['last', COUNT],
    ['codec', [['2', 2], ['nil', null], ['text', 'zstd']]], // prettier-ignore
    ['rawBytes', COUNT],
    ['data', [['text', 'x'], ['nil', null], ['an array', [[], [], '']]]], // prettier-ignore
  ],
  CAUGHT_UP: [
    ['subscription', COUNT],
    ['last', COUNT],
    ['digest', bytesSpoilt(32)],
  ],
  ACK: [
    ['subscription', COUNT],
    ['last', COUNT],
    ['credit', COUNT],
  ],
  UNSUBSCRIBE: [['subscription', COUNT]],
  UNSUBSCRIBED: [
    ['subscription', COUNT],
    ['fault', FAULT],
  ],
  PAIR: [
    ['invite', [['an id alone', [counting(0xd0, 8)]], ['an id of 7 bytes', [counting(0xd0, 7), bytesOf('proof', 32)]], ['a proof of 31 bytes', [counting(0xd0, 8), bytesOf('proof', 31)]], ['text', 'd0d1d2d3d4d5d6d7'], ['false', false]]], // prettier-ignore
    ['name', NAME],
  ],
  PAIRED: [
    ['space', bytesSpoilt(32)],
    ['spaceName', NAME],
    ['role', [['unknown', 'admin'], ['in upper case', 'Writer'], ['nil', null]]], // prettier-ignore
  ],
  REFUSED: [['fault', [...FAULT, ['nil', null]]]],
  ERROR: [['fault', [...FAULT, ['nil', null]]]],
  FORK: [
    ['space', bytesSpoilt(32)],
    ['proof', [['nil', null], ['text', 'x'], ['empty', new Uint8Array(0)]]], // prettier-ignore
  ],
};

export function messagesInvalid(): object {
  const refused: { name: string; hex: string | Pieces; code: string; why: string }[] = [];
  const refuse = (name: string, hex: string | Pieces, why: string, code = 'bad-message'): void => {
    refused.push({ name, hex: typeof hex === 'string' ? hex.replaceAll(' ', '') : hex, code, why });
  };
  for (const [name, fields] of Object.entries(SPOILT) as [keyof typeof FORMS, [string, Spoil[]][]][]) {
    const form: readonly unknown[] = FORMS[name]();
    for (const [i, [field, spoils]] of fields.entries()) {
      refuse(`${name} ends before ${field}`, packed(form.slice(0, i + 1)), 'a field is missing');
      for (const [what, value] of spoils)
        refuse(`${name}.${field}: ${what}`, packed(form.with(i + 1, value)), 'a field of another kind, or past its limit'); // prettier-ignore
    }
  }
  const states = [`93 02 dc0101`, [`94 c420${toHex(SPACE)} c408${toHex(EPOCH)} 02 c420${toHex(DIGEST)}`.replaceAll(' ', ''), 257], '00'] as const; // prettier-ignore
  refuse('HEARTBEAT: 257 spaces', [states[0].replaceAll(' ', ''), states[1], states[2]], 'at most 256 space states');
  for (const version of [0, 2, 2 ** 53 - 1])
    refuse(`HELLO: version ${version}`, packed(FORMS.HELLO().with(1, version)), 'this is version 1', 'unsupported-version'); // prettier-ignore
  refuse('HELLO: version 2, and nothing else', packed([1, 2]), 'the version is judged before the fields behind it', 'unsupported-version'); // prettier-ignore
  refuse('HELLO: version 2, with other fields', packed([1, 2, { name: 'laptop' }, null]), 'the version is judged before the fields behind it', 'unsupported-version'); // prettier-ignore
  refuse('HELLO: version 2 as a float, cut off', '9301cb4000000000000000', 'MessagePack is judged before the version');
  refuse('PAIRED: an unknown role, which would be ignored otherwise', packed([19, SPACE, 'home', 'guest', 'more']), 'the form is judged before whether anyone asked'); // prettier-ignore
  refuse('BATCH: rawBytes past 2 MiB', packed(FORMS.BATCH().with(5, 2_097_153)), 'rawBytes is at most 2,097,152', 'batch-too-large'); // prettier-ignore
  refuse('BATCH: data past 2 MiB', ['97070101020005c600200001', ['00', 2_097_153]], 'data is at most 2,097,152 bytes');
  refuse('4,194,305 bytes', ['920ec600400000', ['00', 4_194_298]], 'a message is at most 4,194,304 bytes', 'message-too-large'); // prettier-ignore
  refuse('empty', '', 'it is an array');
  refuse('a number', '01', 'it is an array');
  refuse('a map', packed({ type: 1 }), 'it is an array');
  refuse('an empty array', '90', 'the first element is the type');
  refuse('a type as text', packed(['HELLO']), 'a type is a count');
  refuse('type -1', packed([-1]), 'a type is a count');
  refuse('type 1.5', packed([1.5]), 'a type is a count');
  refuse('cut off', packed(FORMS.ACK()).slice(0, -2), 'it ends too early');
  refuse('bytes after its end', `${packed(FORMS.ACK())}c0`, 'one value, and nothing after it');
  refuse('an extension', `920e d40100`, 'no extension types, not even in a message that would be ignored');
  refuse('a key twice', `9204 82 a161 01 a161 02`, 'each key occurs once');
  refuse('a key that is a number', `9204 81 01 01`, 'keys are text');
  refuse('text that is not UTF-8', `9204 a1ff`, 'text is UTF-8');
  refuse('an integer past 2^53 - 1', `920d cf0020000000000000`, 'an integer lies within 2^53 - 1');
  refuse('not a number', `9204 cb7ff8000000000000`, 'a float is finite');
  refuse('9 levels', `9204 ${'91'.repeat(7)}90`, 'a message has at most 8 levels');
  for (const type of [25, 99, 65_537])
    refuse(`type ${type}`, packed([type]), 'an unknown odd type must be understood', 'unknown-message');
  return { messages: refused, sessions: sessions() };
}

// ---- what comes at a wrong time

type Line = readonly ['in' | 'out', string | Pieces];

function sessions(): object[] {
  const hello = packed(FORMS.HELLO());
  const open: Line[] = [['out', hello], ['in', hello]]; // prettier-ignore
  const subscribe = (form: Partial<{ number: number; from: unknown; credit: number; live: boolean }>): string =>
    packed([3, form.number ?? 1, SPACE, form.from ?? 0, form.live ?? true, form.credit ?? 4_194_304]);
  const batch = (prev: number, last: number, number = 1): string => packed([7, number, prev, last, 0, 5, EMPTY_BATCH]);
  const longBatch = (prev: number): Pieces => [
    `970701${[prev, prev + 1].map((at) => at.toString(16).padStart(2, '0')).join('')}00ce00100000c600100000`,
    ['00', 1_048_576],
  ];
  const cases: [name: string, isKnown: boolean, before: Line[], message: string | Pieces, code: string, why: string][] =
    [
      // prettier-ignore
      ['HELLO of a stranger', false, [], hello, 'not-paired', 'a stranger may send PAIR, HEARTBEAT and ERROR'],
      ['SUBSCRIBE_ALL of a stranger', false, [], subscribe({}), 'not-paired', 'a stranger may send PAIR, HEARTBEAT and ERROR'], // prettier-ignore
      ['SUBSCRIBE_ALL before HELLO', true, [['out', hello]], subscribe({}), 'bad-message', 'HELLO comes first'],
      ['ACK before HELLO', true, [['out', hello]], packed(FORMS.ACK()), 'bad-message', 'HELLO comes first'],
      ['a subscription in use', true, [...open, ['in', subscribe({})]], subscribe({}), 'bad-message', 'the number was used before'], // prettier-ignore
      ['a credit of 2,097,151', true, open, subscribe({ credit: 2_097_151 }), 'bad-message', 'the least credit is 2,097,152'], // prettier-ignore
      ['321 subscriptions', true, [...open, ...Array.from({ length: 320 }, (_, i): Line => ['in', subscribe({ number: i + 1 })])], subscribe({ number: 321 }), 'too-many', 'at most 320 are open in one direction'], // prettier-ignore
      ['BATCH for a subscription that is not the receiver’s', true, open, batch(0, 1), 'bad-message', 'it is not open'],
      ['BATCH that skips', true, [...open, ['out', subscribe({})]], batch(1, 2), 'cursor-mismatch', 'after a start from the beginning, prev is 0'], // prettier-ignore
      ['BATCH that goes back', true, [...open, ['out', subscribe({})], ['in', batch(0, 2)]], batch(1, 3), 'cursor-mismatch', 'prev is the last of the BATCH before'], // prettier-ignore
      ['BATCH off the cursor', true, [...open, ['out', subscribe({ from: [1, EPOCH, 7] })]], batch(6, 8), 'cursor-mismatch', 'a cursor is exclusive: prev is its seq'], // prettier-ignore
      ['BATCH after CAUGHT_UP', true, [...open, ['out', subscribe({})], ['in', packed([9, 1, 5, DIGEST])]], batch(0, 6), 'cursor-mismatch', 'prev is the last of CAUGHT_UP'], // prettier-ignore
      ['the second BATCH after a vector', true, [...open, ['out', subscribe({ from: [2, [[CHAIN, 3, HEAD]]] })], ['in', batch(40, 41)]], batch(40, 42), 'cursor-mismatch', 'the first may begin anywhere, the second may not'], // prettier-ignore
      ['CAUGHT_UP before the cursor', true, [...open, ['out', subscribe({ from: [1, EPOCH, 7] })]], packed([9, 1, 6, DIGEST]), 'cursor-mismatch', 'last is not below the cursor'], // prettier-ignore
      ['a BATCH past the credit', true, [...open, ['out', subscribe({ credit: 2_097_152 })], ['in', longBatch(0)], ['in', longBatch(1)]], batch(2, 3), 'credit-exceeded', '2 MiB are out, and no ACK gave any back'], // prettier-ignore
      ['CAUGHT_UP for a subscription that is not the receiver’s', true, open, packed(FORMS.CAUGHT_UP()), 'bad-message', 'it is not open'], // prettier-ignore
      ['UNSUBSCRIBED for a subscription that is not the receiver’s', true, open, packed(FORMS.UNSUBSCRIBED()), 'bad-message', 'it is not open'], // prettier-ignore
      ['BATCH after UNSUBSCRIBED', true, [...open, ['out', subscribe({})], ['in', packed(FORMS.UNSUBSCRIBED())]], batch(0, 1), 'bad-message', 'it has ended'], // prettier-ignore
      ['ACK of what was not sent', true, [...open, ['in', subscribe({})]], packed([11, 1, 1, 0]), 'bad-message', 'nothing has been sent'], // prettier-ignore
      ['ACK that goes back', true, [...open, ['in', subscribe({ from: [1, EPOCH, 7] })], ['out', batch(7, 9)], ['in', packed([11, 1, 9, 5])]], packed([11, 1, 8, 0]), 'bad-message', 'the last ACK was of 9'], // prettier-ignore
      ['credit past 2^30', true, [...open, ['in', subscribe({ credit: 1_073_741_824 })]], packed([11, 1, 0, 1]), 'bad-message', 'credit adds up to 2^30 at most'], // prettier-ignore
    ];
  return cases.map(([name, isKnown, before, message, code, why]) => ({ name, isKnown, before, message, code, why }));
}

// ---- starts-from

export function cursors(): object {
  const heads = [
    { chain: CHAIN, seq: 3, id: HEAD },
    { chain: bytesOf('chain 2', 16), seq: 2 ** 53 - 1, id: bytesOf('head 2', 32) },
  ];
  const cases: [name: string, encoded: string, from: StartsFrom, firstPrev: number | null][] = [
    ['from the beginning', '00', { kind: 'all' }, 0],
    ['from the beginning, as a float', 'ca00000000', { kind: 'all' }, 0],
    ['a cursor before the first entry', packed([1, EPOCH, 0]), { kind: 'cursor', epoch: EPOCH, seq: 0 }, 0],
    ['a cursor', packed([1, EPOCH, 7]), { kind: 'cursor', epoch: EPOCH, seq: 7 }, 7],
    ['the greatest cursor', packed([1, EPOCH, 2 ** 53 - 1]), { kind: 'cursor', epoch: EPOCH, seq: 2 ** 53 - 1 }, 2 ** 53 - 1], // prettier-ignore
    ['an empty vector', packed([2, []]), { kind: 'vector', heads: [] }, null],
    ['a vector', packed([2, heads.map(({ chain, seq, id }) => [chain, seq, id])]), { kind: 'vector', heads }, null],
  ];
  const log = { epoch: toHex(EPOCH), floor: 0, head: 7 };
  return {
    encodings: cases.map(([name, encoded, from, firstPrev]) => ({ name, encoded, from: messageJson(from), firstPrev })),
    opens: [
      { name: 'before the first entry', log, encoded: packed([1, EPOCH, 0]), begins: 1 },
      { name: 'in the middle: exclusive', log, encoded: packed([1, EPOCH, 3]), begins: 4 },
      { name: 'at the head: nothing to send yet', log, encoded: packed([1, EPOCH, 7]), begins: 8 },
    ],
  };
}

export function cursorsInvalid(): object {
  const head = [CHAIN, 3, HEAD];
  const encodings: [name: string, encoded: string | Pieces, why: string][] = [
    ['1', '01', 'it is 0 or an array'],
    ['nil', 'c0', 'it is 0 or an array'],
    ['text', packed('0'), 'it is 0 or an array'],
    ['an empty array', '90', 'the kind is missing'],
    ['of kind 0', packed([0]), 'from the beginning is 0, without an array'],
    ['of kind 3', packed([3, EPOCH, 7]), 'there are two kinds'],
    ['of a kind as text', packed(['1', EPOCH, 7]), 'there are two kinds'],
    ['a cursor without seq', packed([1, EPOCH]), 'a field is missing'],
    ['a cursor with an epoch of 7 bytes', packed([1, EPOCH.subarray(1), 7]), 'an epoch has 8 bytes'],
    ['a cursor with an epoch of hex', packed([1, toHex(EPOCH), 7]), 'an epoch is bytes'],
    ['a cursor below 0', packed([1, EPOCH, -1]), 'seq is a count'],
    ['half a cursor', packed([1, EPOCH, 0.5]), 'seq is a count'],
    ['a cursor as text', packed([1, EPOCH, '7']), 'seq is a count'],
    ['a vector without heads', packed([2]), 'a field is missing'],
    ['a vector that is a map', packed([2, {}]), 'heads are an array'],
    ['a head of two', packed([2, [head.slice(0, 2)]]), 'a head is [chain, seq, id]'],
    ['a head with a chain of 32 bytes', packed([2, [[bytesOf('chain', 32), 3, HEAD]]]), 'a chain id has 16 bytes'],
    ['a head with a seq below 0', packed([2, [[CHAIN, -1, HEAD]]]), 'seq is a count'],
    ['a head with an id of 16 bytes', packed([2, [[CHAIN, 3, HEAD.subarray(16)]]]), 'a commit id has 32 bytes'],
    ['a head with seq 0', packed([2, [[CHAIN, 0, HEAD]]]), 'a chain of which nothing is here is not listed'],
    ['a head with seq 0 and zeros', packed([2, [[CHAIN, 0, new Uint8Array(32)]]]), 'a chain of which nothing is here is not listed'], // prettier-ignore
    ['a chain twice', packed([2, [head, [CHAIN, 4, bytesOf('head 2', 32)]]]), 'a chain is listed once'],
    ['a chain twice, with the same head', packed([2, [head, head]]), 'a chain is listed once'],
    ['20,001 heads', ['9202dc4e21', [toHex(encode(head)), 20_001]], 'a vector has at most 20,000 chains'],
  ];
  const other = bytesOf('another epoch', 8);
  const log = { epoch: toHex(EPOCH), floor: 0, head: 7 };
  const swept = { ...log, floor: 3 };
  return {
    encodings: encodings.map(([name, encoded, why]) => ({ name, encoded, code: 'bad-message', why })),
    opens: [
      { name: 'another epoch', log, encoded: packed([1, other, 3]), code: 'cursor-epoch', why: 'the log was restored or made anew' }, // prettier-ignore
      { name: 'another epoch, past the end: the epoch is looked at first', log, encoded: packed([1, other, 9]), code: 'cursor-epoch', why: 'a position means nothing in another log' }, // prettier-ignore
      { name: 'past the end', log, encoded: packed([1, EPOCH, 8]), code: 'cursor-too-new', why: 'the log ends at 7' },
      { name: 'far past the end', log, encoded: packed([1, EPOCH, 2 ** 53 - 1]), code: 'cursor-too-new', why: 'the log ends at 7' }, // prettier-ignore
      { name: 'before the floor', log: swept, encoded: packed([1, EPOCH, 2]), code: 'cursor-too-old', why: 'the log no longer holds what comes after 2; no log of this version has a floor yet' }, // prettier-ignore
    ],
  };
}

import fc from 'fast-check';
import { describe as suite, expect, test } from 'vitest';
import { concat, toHex } from '../../protocol/bytes.ts';
import { describe } from '../../protocol/describe.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { splitFrames } from '../../protocol/frame.ts';
import { encodeMessage, faultOf, type Message } from '../../protocol/messages.ts';
import { encode } from '../../protocol/msgpack.ts';
import { bytesOf, hex } from '../support/protocol.ts';
import { message as someMessage } from '../support/messages.ts';

const space = hex(`9f2c41d0${'00'.repeat(28)}`);
const epoch = hex('0011aabbccddeeff');
const digest = hex(`feedface${'00'.repeat(28)}`);
const state = { space, epoch, head: 58_233, digest };
const TIME = 1_700_000_000_000_000;

const lines: [Message, string][] = [
  [
    { type: 'HELLO', version: 1, name: 'Pi 4', agent: 'tidelog/0.1.0', capabilities: ['zstd', 'x'], limits: { message: 4_194_304, batch: 2_097_152 }, spaces: [state], time: TIME }, // prettier-ignore
    'HELLO version 1, "Pi 4", tidelog/0.1.0, can zstd + x, messages to 4,194,304 bytes, batches to 2,097,152 bytes, space 9f2c41d0… at 58,233 of epoch 0011aabb… digest feedface…, 2023-11-14T22:13:20.000Z',
  ],
  [
    { type: 'HELLO', version: 1, name: '', agent: 'a b', capabilities: [], limits: { message: 1, batch: 1 }, spaces: Array.from({ length: 6 }, (_, i) => ({ ...state, space: space.with(31, i), head: 0 })), time: 0 }, // prettier-ignore
    `HELLO version 1, "", "a b", can nothing, messages to 1 bytes, batches to 1 bytes, ${'space 9f2c41d0… at 0 of epoch 0011aabb… digest feedface… + '.repeat(4)}2 more`,
  ],
  [{ type: 'HEARTBEAT', spaces: [], time: 0 }, 'HEARTBEAT no spaces'],
  [
    { type: 'SUBSCRIBE_ALL', subscription: 3, space, from: { kind: 'cursor', epoch, seq: 1200 }, live: true, credit: 4_194_304 }, // prettier-ignore
    'SUBSCRIBE_ALL sub 3, space 9f2c41d0…, from cursor 1,200 of epoch 0011aabb…, live, credit 4,194,304 bytes',
  ],
  [
    { type: 'SUBSCRIBE', subscription: 3, space, from: { kind: 'all' }, live: false, credit: 5, filter: { kind: 'prefix', prefix: 'note/' } }, // prettier-ignore
    'SUBSCRIBE sub 3, space 9f2c41d0…, from the beginning, once, credit 5 bytes, prefix "note/"',
  ],
  [
    { type: 'SUBSCRIBE', subscription: 3, space, from: { kind: 'vector', heads: [{ chain: bytesOf('c', 16), seq: 1, id: digest }] }, live: false, credit: 5, filter: { kind: 'subject', subject: 'a"b' } }, // prettier-ignore
    'SUBSCRIBE sub 3, space 9f2c41d0…, from a vector of 1 chains, once, credit 5 bytes, subject "a\\"b"',
  ],
  [
    { type: 'BATCH', subscription: 3, prev: 120, last: 376, codec: 1, rawBytes: 58_233, data: new Uint8Array(27_140) },
    'BATCH sub 3, 120→376, zstd, 27,140 of 58,233 bytes',
  ],
  [
    { type: 'BATCH', subscription: 3, prev: 120, last: 1376, codec: 0, rawBytes: 300, data: new Uint8Array(300) },
    'BATCH sub 3, 120→1,376, plain, 300 bytes',
  ],
  [{ type: 'CAUGHT_UP', subscription: 3, last: 376, digest }, 'CAUGHT_UP sub 3, at 376, digest feedface…'],
  [{ type: 'ACK', subscription: 3, last: 376, credit: 27_140 }, 'ACK sub 3, to 376, credit +27,140 bytes'],
  [{ type: 'UNSUBSCRIBE', subscription: 3 }, 'UNSUBSCRIBE sub 3'],
  [{ type: 'UNSUBSCRIBED', subscription: 3, fault: null }, 'UNSUBSCRIBED sub 3, as asked'],
  [
    { type: 'UNSUBSCRIBED', subscription: 3, fault: { code: 'cursor-too-new', retry: true, afterMs: 0, text: 'No.', detail: { epoch, floor: 0, head: 7 } } }, // prettier-ignore
    'UNSUBSCRIBED sub 3, cursor-too-new "No.", again, epoch 0011aabb… + floor 0 + head 7',
  ],
  [{ type: 'PAIR', invite: null, name: 'phone' }, 'PAIR without an invite, "phone"'],
  [
    { type: 'PAIR', invite: { id: hex('0102030405060708'), proof: bytesOf('proof', 32) }, name: 'phone' },
    'PAIR invite 01020304…, "phone"',
  ],
  [{ type: 'PAIRED', space, spaceName: 'home', role: 'writer' }, 'PAIRED space 9f2c41d0…, "home", as writer'],
  [
    { type: 'REFUSED', fault: { code: 'too-many', retry: true, afterMs: 1500, text: 'Wait.', detail: {} } },
    'REFUSED too-many "Wait.", again in 1,500 ms',
  ],
  [{ type: 'ERROR', fault: faultOf(new TidelogError('not-found')) }, 'ERROR not-found "There is nothing here."'],
];

test.each(lines)('%#', (message, line) => {
  expect(describe(message)).toBe(line);
  const bytes = encodeMessage(message);
  expect(describe(bytes)).toBe(line);
  expect([...splitFrames(bytes)].map(describe)).toEqual([line]);
});

suite('what is no message', () => {
  test.each([
    ['', 'nothing, 0 bytes'],
    ['00', 'end of a message, 0 bytes'],
    ['01 0203', 'part of a message, 2 bytes, more follows'],
    ['00 a16162', 'end of a message, 3 bytes'],
    ['c0', 'not a message, 1 bytes: bad-message, it is not an array'],
    ['93 2a 01 02', 'type 42, unknown, ignored, 4 bytes'],
    ['93 2b 01 02', 'type 43, unknown, refused, 4 bytes'],
    ['92 ccc9 01', 'type 201, unknown, refused, 4 bytes'],
    ['94 0b 01 02', 'ACK, 4 bytes: bad-message, its msgpack ends too early'],
    ['92 0b 01', 'ACK, 3 bytes: bad-message, ACK ends before last'],
    ['91 c0', 'not a message, 2 bytes: bad-message, its type is not a number'],
  ])('%s', (text, line) => {
    expect(describe(hex(text))).toBe(line);
  });

  test('several frames', () => {
    const frames = [...splitFrames(new Uint8Array(100_000).fill(0xff))];
    expect(frames.map(describe)).toEqual([
      'part of a message, 65,518 bytes, more follows',
      'end of a message, 34,482 bytes',
    ]);
  });

  test('something else altogether', () => {
    for (const any of [null, undefined, 1, 'text', {}, { type: 'NONE' }, { type: 'BATCH' }, { type: 'toString' }, []])
      expect(describe(any as unknown as Message)).toBe('not a message');
  });
});

test('text that would move the cursor, hide itself or turn round is shown as what it is', () => {
  const text = 'a\u001b[2J\r\n\u007f\u009b\u202e\u2028\u200b\ud800"\\';
  const line = describe({ type: 'ERROR', fault: { code: 'x\ny', retry: false, afterMs: 0, text, detail: {} } });
  expect(line).toBe(
    'ERROR "x\\u{a}y" "a\\u{1b}[2J\\u{d}\\u{a}\\u{7f}\\u{9b}\\u{202e}\\u{2028}\\u{200b}\\u{d800}\\"\\\\"',
  );
  expect(describe({ type: 'PAIR', invite: null, name: 'x'.repeat(1000) }).length).toBeLessThan(200);
});

test('a proof is never shown, nor the data of a batch, also where the rest is wrong', () => {
  const proof = bytesOf('proof', 32);
  const id = bytesOf('id', 8);
  const hidden = toHex(proof).slice(0, 8);
  for (const fields of [
    [17, [id, proof], 'phone'],
    [17, [id, proof]],
    [17, [proof, id], 'phone'],
    [17, proof, 'phone'],
    [17, [id, toHex(proof)], 'phone'],
    [7, 1, 2, 3, 0, 32, toHex(proof)],
    [7, 1, 2, 3, 0, 32, proof],
    [42, proof],
    [43, toHex(proof)],
  ])
    expect(describe(encode(fields))).not.toContain(hidden);
});

test('anything gives one line of printable text', () => {
  const isLine = (text: string): boolean => text.length > 0 && !/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(text);
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 100 }),
      fc.nat(25),
      someMessage,
      fc.nat(),
      fc.nat(255),
      (any, type, message, at, byte) => {
        // prettier-ignore
        expect(isLine(describe(any))).toBe(true);
        expect(isLine(describe(concat(Uint8Array.of(0x95, type), any)))).toBe(true);
        expect(isLine(describe(message))).toBe(true);
        const altered = encodeMessage(message);
        expect(describe(altered)).toBe(describe(message));
        altered[at % altered.length] = byte;
        expect(isLine(describe(altered))).toBe(true);
      },
    ),
    { numRuns: 500 },
  );
});

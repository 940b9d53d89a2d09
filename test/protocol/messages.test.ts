import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../protocol/bytes.ts';
import { BATCH_DATA_BYTES_MAX, BATCH_RAW_BYTES_MAX, FORK_BYTES_MAX, MESSAGE_BYTES_MAX, MESSAGE_TYPE, VECTOR_CHAINS_MAX } from '../../protocol/constants.ts'; // prettier-ignore
import { TidelogError, type ErrorCode } from '../../protocol/errors.ts';
import { decodeMessage, encodeMessage, errorOf, faultOf, type Message, type MessageName } from '../../protocol/messages.ts'; // prettier-ignore
import { decodeTrusted, encode } from '../../protocol/msgpack.ts';
import { message, messageByName } from '../support/messages.ts';
import { bytesOf, hex, orRefused, refusal, withCode } from '../support/protocol.ts';

const space = bytesOf('space', 32);
const epoch = bytesOf('epoch', 8);
const digest = bytesOf('digest', 32);
const chain = bytesOf('chain', 16);
const state = [space, epoch, 7, digest];
const fault: unknown[] = ['fork', false, 0, 'A fork.', { seq: 3 }];

/** One good message of each type, as arrays. The tables below change one field of it at a time. */
const good: { readonly [N in MessageName]: unknown[] } = {
  HELLO: [1, 1, 'laptop', 'tidelog/0.1.0', ['zstd'], { message: 10, batch: 20 }, [state], 5],
  HEARTBEAT: [2, [state], 5],
  SUBSCRIBE_ALL: [3, 1, space, [1, epoch, 7], true, 4_194_304],
  SUBSCRIBE: [5, 1, space, [2, [[chain, 7, digest]]], false, 4_194_304, [1, 'note/']],
  BATCH: [7, 1, 10, 12, 1, 300, bytesOf('data', 100)],
  CAUGHT_UP: [9, 1, 12, digest],
  ACK: [11, 1, 12, 100],
  UNSUBSCRIBE: [13, 1],
  UNSUBSCRIBED: [15, 1, fault],
  PAIR: [17, [bytesOf('id', 8), bytesOf('proof', 32)], 'phone'],
  PAIRED: [19, space, 'home', 'writer'],
  REFUSED: [21, fault],
  ERROR: [23, fault],
  FORK: [24, space, bytesOf('proof', 300)],
};

/** Field (counted after the type), what stands there, and what the refusal says; `bad-message` unless told. */
type Bad = [field: number, value: unknown, why: string, code?: ErrorCode];
const notCount = (field: number, what: string): Bad[] => [
  ...[-1, 1.5, '1', null, true, [1]].map((value): Bad => [field, value, what]),
  [field, 2 ** 53, 'an integer past 2^53 - 1'],
  [field, 2 ** 60, 'an integer past 2^53 - 1'],
];
const notBytes = (field: number, length: number, what: string): Bad[] => [
  [field, bytesOf('x', length - 1), what],
  [field, bytesOf('x', length + 1), what],
  [field, 'x'.repeat(length), what],
  [field, null, what],
];
const notName = (field: number, what: string): Bad[] =>
  [1, null, 'x'.repeat(65), 'a\nb', bytesOf('x', 4), ['a']].map((value): Bad => [field, value, what]);
const notSpaces = (field: number): Bad[] => [
  [field, {}, 'not an array'],
  [field, [space], 'a space is not an array of 4'],
  [field, [state.slice(0, 3)], 'a space is not an array of 4'],
  [field, [state.with(0, epoch)], 'id of a space'],
  [field, [state.with(1, space)], 'epoch of a space'],
  [field, [state.with(2, -1)], 'head of a space'],
  [field, [state.with(3, epoch)], 'digest of a space'],
  [field, Array(257).fill(state), '257 items; the most is 256'],
  [field, [state, [space, bytesOf('other', 8), 0, space]], 'a space is listed twice'],
];
const notFault = (field: number): Bad[] => [
  [field, 'fork', 'a fault is not an array of 5'],
  [field, fault.slice(0, 4), 'a fault is not an array of 5'],
  [field, fault.with(0, 7), 'code of a fault'],
  [field, fault.with(0, 'a\nb'), 'code of a fault'],
  [field, fault.with(1, 1), 'retry of a fault'],
  [field, fault.with(2, -1), 'afterMs of a fault'],
  [field, fault.with(3, null), 'no text'],
  [field, fault.with(3, 'x'.repeat(2001)), 'no text of at most 2,000'],
  [field, fault.with(4, null), 'no detail map'],
  [field, fault.with(4, []), 'no detail map'],
  [field, fault.with(4, digest), 'no detail map'],
];
const notSubscription: Bad[] = [
  ...notCount(0, 'subscription of SUBSCRIBE'),
  ...notBytes(1, 32, 'space of SUBSCRIBE'),
  [2, 1, 'starts-from is not 0'],
  [2, null, 'starts-from is not 0'],
  [2, [], 'unknown kind'],
  [2, [0], 'unknown kind'],
  [2, [3, epoch, 1], 'unknown kind'],
  [2, [1], 'ends before epoch'],
  [2, [1, epoch], 'ends before seq'],
  [2, [1, digest, 1], 'epoch of starts-from'],
  [2, [1, epoch, -1], 'seq of starts-from'],
  [2, [2], 'ends before heads'],
  [2, [2, {}], 'not an array'],
  [2, [2, [chain]], 'a chain head is not an array of 3'],
  [2, [2, [[digest, 1, digest]]], 'chain of a chain head'],
  [2, [2, [[chain, -1, digest]]], 'seq of a chain head'],
  [2, [2, [[chain, 0, digest]]], 'seq of a chain head is 0'],
  [2, [2, [[chain, 1, digest], [chain, 2, space]]], 'a chain is listed twice'], // prettier-ignore
  [2, [2, [[chain, 1, chain]]], 'id of a chain head'],
  [2, [2, Array(VECTOR_CHAINS_MAX + 1).fill(0)], 'the most is 20000'],
  [3, 1, 'live'],
  [3, null, 'live'],
  ...notCount(4, 'credit of SUBSCRIBE'),
  [4, 2 ** 30 + 1, 'larger than any peer may give'],
];
const bad: { readonly [N in MessageName]: Bad[] } = {
  HELLO: [
    ...notCount(0, 'version of HELLO'),
    ...notName(1, 'name of HELLO'),
    ...notName(2, 'agent of HELLO'),
    [3, 'zstd', 'not an array'],
    [3, [1], 'capability'],
    [3, ['x'.repeat(65)], 'capability'],
    [3, Array(65).fill('a'), '65 items; the most is 64'],
    [4, null, 'limits are not a map'],
    [4, [1, 2], 'limits are not a map'],
    [4, { message: 1 }, 'limits lack'],
    [4, { message: 1, batch: -1 }, 'limits lack'],
    [4, digest, 'limits'],
    ...notSpaces(5),
    ...notCount(6, 'time of HELLO'),
  ],
  HEARTBEAT: [...notSpaces(0), ...notCount(1, 'time of HEARTBEAT')],
  SUBSCRIBE_ALL: notSubscription,
  SUBSCRIBE: [
    ...notSubscription,
    [5, null, 'a filter is not an array of 2'],
    [5, [0], 'a filter is not an array of 2'],
    [5, [2, 'a'], 'a filter is of an unknown kind'],
    [5, ['0', 'a'], 'a filter is of an unknown kind'],
    [5, [0, ''], 'a filter names no subject'],
    [5, [1, 'a\nb'], 'a filter names no subject'],
    [5, [1, 7], 'a filter names no subject'],
    [5, [1, 'x'.repeat(1025)], 'a filter names no subject'],
  ],
  BATCH: [
    ...notCount(0, 'subscription of BATCH'),
    ...notCount(1, 'prev of BATCH'),
    ...notCount(2, 'last of BATCH'),
    [1, 13, 'ends before it begins'],
    [3, 2, 'codec is unknown'],
    [3, 'zstd', 'codec is unknown'],
    [3, true, 'codec is unknown'],
    ...notCount(4, 'rawBytes of BATCH'),
    [4, BATCH_RAW_BYTES_MAX + 1, 'bytes, unpacked', 'batch-too-large'],
    [5, 'data', 'data of BATCH'],
    [5, null, 'data of BATCH'],
    [5, new Uint8Array(BATCH_DATA_BYTES_MAX + 1), 'at most 2097152'],
  ],
  CAUGHT_UP: [
    ...notCount(0, 'subscription of CAUGHT_UP'),
    ...notCount(1, 'last of CAUGHT_UP'),
    ...notBytes(2, 32, 'digest of CAUGHT_UP'),
  ],
  ACK: [...notCount(0, 'subscription of ACK'), ...notCount(1, 'last of ACK'), ...notCount(2, 'credit of ACK')],
  UNSUBSCRIBE: notCount(0, 'subscription of UNSUBSCRIBE'),
  UNSUBSCRIBED: [...notCount(0, 'subscription of UNSUBSCRIBED'), ...notFault(1)],
  PAIR: [
    [0, 'id', 'an invite is not an array of 2'],
    [0, [bytesOf('id', 8)], 'an invite is not an array of 2'],
    [0, [bytesOf('id', 7), digest], 'id of an invite'],
    [0, [bytesOf('id', 8), bytesOf('x', 31)], 'proof of an invite'],
    ...notName(1, 'name of PAIR'),
  ],
  PAIRED: [
    ...notBytes(0, 32, 'space of PAIRED'),
    ...notName(1, 'spaceName of PAIRED'),
    [2, 'admin', 'unknown role'],
    [2, 1, 'unknown role'],
    [2, null, 'unknown role'],
  ],
  REFUSED: notFault(0).concat([[0, null, 'a fault is not an array of 5']]),
  ERROR: notFault(0).concat([[0, null, 'a fault is not an array of 5']]),
  FORK: [
    ...notBytes(0, 32, 'space of FORK'),
    [1, new Uint8Array(0), 'proof of FORK'],
    [1, new Uint8Array(FORK_BYTES_MAX + 1), 'proof of FORK'],
    [1, null, 'proof of FORK'],
  ],
};

describe.each(Object.keys(good) as MessageName[])('%s', (name) => {
  test('the good one is good, and its type has its number', () => {
    const decoded = decodeMessage(encode(good[name]))!;
    expect(decoded.type).toBe(name);
    expect(good[name][0]).toBe(MESSAGE_TYPE[name]);
    expect(decodeTrusted(encodeMessage(decoded))).toEqual(good[name]);
  });

  test('encoding and decoding is nothing', () => {
    fc.assert(
      fc.property(messageByName[name] as fc.Arbitrary<Message>, (any) => {
        expect(decodeMessage(encodeMessage(any))).toEqual(any);
      }),
    );
  });

  test('what follows the last field is ignored', () => {
    const plain = decodeMessage(encode(good[name]));
    expect(decodeMessage(encode([...good[name], null, { new: [1] }]))).toEqual(plain);
  });

  test('a message that ends early names the field', () => {
    for (let length = 1; length < good[name].length; length++) {
      const { code, message } = refusal(() => decodeMessage(encode(good[name].slice(0, length))));
      expect(code).toBe('bad-message');
      expect(message).toMatch(new RegExp(`${name}\\w* ends before \\w+`));
    }
  });

  test('bad inputs', () => {
    for (const [field, value, why, code = 'bad-message'] of bad[name]) {
      const error = refusal(() => decodeMessage(encode(good[name].with(field + 1, value))));
      expect({ field, value, code: error.code, message: error.message }).toEqual({
        field,
        value,
        code,
        message: expect.stringContaining(why),
      });
    }
  });
});

describe('parts that may be left out or grow', () => {
  test('null stands for no invite and for no fault', () => {
    expect(decodeMessage(encode([17, null, 'phone']))).toEqual({ type: 'PAIR', invite: null, name: 'phone' });
    expect(decodeMessage(encode([15, 1, null]))).toEqual({ type: 'UNSUBSCRIBED', subscription: 1, fault: null });
  });

  test('0 stands for the beginning', () => {
    expect(decodeMessage(encode(good.SUBSCRIBE_ALL.with(3, 0)))).toMatchObject({ from: { kind: 'all' } });
  });

  test('parts may have more fields, and maps more keys, than are known', () => {
    expect(decodeMessage(encode([2, [[...state, 'new']], 5]))).toEqual(decodeMessage(encode(good.HEARTBEAT)));
    expect(decodeMessage(encode([23, [...fault, 'new']]))).toEqual(decodeMessage(encode(good.ERROR)));
    expect(decodeMessage(encode(good.SUBSCRIBE.with(6, [1, 'note/', 'new'])))).toEqual(decodeMessage(encode(good.SUBSCRIBE))); // prettier-ignore
    expect(decodeMessage(encode([17, [...(good.PAIR[1] as unknown[]), 1], 'phone']))).toEqual(decodeMessage(encode(good.PAIR))); // prettier-ignore
    expect(decodeMessage(encode(good.HELLO.with(5, { message: 10, batch: 20, new: 1 })))).toEqual(decodeMessage(encode(good.HELLO))); // prettier-ignore
  });

  test('a HELLO of another version is judged by its version alone', () => {
    for (const fields of [[], ['anything', { at: 'all' }], good.HELLO.slice(2)])
      for (const version of [0, 2, 2 ** 53 - 1])
        expect(() => decodeMessage(encode([1, version, ...fields]))).toThrow(withCode('unsupported-version'));
    expect(() => decodeMessage(encode([1]))).toThrow(withCode('bad-message'));
    expect(decodeMessage(encode(good.HELLO))).toMatchObject({ version: 1 });
  });

  test('limits are allowed to the byte', () => {
    for (const [name, field, value] of [
      ['BATCH', 4, BATCH_RAW_BYTES_MAX],
      ['BATCH', 5, new Uint8Array(BATCH_DATA_BYTES_MAX)],
      ['BATCH', 5, new Uint8Array(0)],
      ['BATCH', 1, 12],
      ['SUBSCRIBE_ALL', 4, 2 ** 30],
      [
        'SUBSCRIBE',
        2,
        [2, Array.from({ length: VECTOR_CHAINS_MAX }, (_, i) => [bytesOf(`chain ${i}`, 16), 2 ** 50, digest])],
      ],
      ['HELLO', 3, Array(64).fill('é'.repeat(32))],
      ['HELLO', 5, Array.from({ length: 256 }, (_, i) => state.with(0, bytesOf(`space ${i}`, 32)))],
      ['ERROR', 0, fault.with(3, '\u{10ffff}'.repeat(1000))],
    ] as [MessageName, number, unknown][])
      expect(decodeMessage(encode(good[name].with(field + 1, value)))).not.toBeNull();
  });
});

describe('what is not known', () => {
  test('even types are ignored, and odd ones refused', () => {
    for (let number = 0; number < 300; number++) {
      if ((Object.values(MESSAGE_TYPE) as number[]).includes(number)) continue;
      const bytes = encode([number, 'x', [1]]);
      if (number % 2 === 0) expect(decodeMessage(bytes)).toBeNull();
      else expect(() => decodeMessage(bytes)).toThrow(withCode('unknown-message'));
    }
    expect(decodeMessage(encode([2 ** 52]))).toBeNull();
  });

  test.each([
    ['', 'ends too early'],
    ['c0', 'not an array'],
    ['80', 'not an array'],
    ['c40101', 'not an array'],
    ['90', 'type is not a number'],
    ['91c0', 'type is not a number'],
    ['91ff', 'type is not a number'],
    ['91a548454c4c4f', 'type is not a number'],
    ['91cb3ff8000000000000', 'type is not a number'],
    ['920d01c0', 'after its end'],
    ['920dd40100', 'extension type'],
    [`92 18 ${'91'.repeat(8)}c0`, 'too deep'],
  ])('%s', (text, why) => {
    const { code, message } = refusal(() => decodeMessage(hex(text)));
    expect(code).toBe('bad-message');
    expect(message).toContain(why);
  });

  test('a message that is too large', () => {
    expect(() => decodeMessage(new Uint8Array(MESSAGE_BYTES_MAX + 1))).toThrow(withCode('message-too-large'));
  });
});

test('whatever an error of ours says, it can be told to the other side', () => {
  const code = fc.constantFrom<ErrorCode>('closed', 'bad-value');
  fc.assert(
    fc.property(code, fc.string({ unit: 'binary', maxLength: 20 }), fc.nat(2100), (code, particular, cut) => {
      // Half a character, from a file's name or where a limit cuts, must not spoil the message.
      for (const text of [`${particular}\ud83d`, `${'x'.repeat(cut)}\u{1f600}\u{1f600}`]) {
        const told = faultOf(new TidelogError(code, text, { path: 'x' }), 5);
        const heard = decodeMessage(encodeMessage({ type: 'ERROR', fault: told }));
        expect(heard).toEqual({ type: 'ERROR', fault: told });
        expect(errorOf(told).code).toBe(code);
      }
    }),
    { numRuns: 300 },
  );
});

test('any bytes give a message, null, or a refusal', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 100 }),
      fc.nat(25),
      message,
      fc.nat(),
      fc.nat(255),
      (any, type, valid, at, byte) => {
        // prettier-ignore
        orRefused(() => decodeMessage(any));
        orRefused(() => decodeMessage(Uint8Array.of(0x95, type, ...any)));
        const altered = encodeMessage(valid);
        altered[at % altered.length] = byte;
        const decoded = orRefused(() => decodeMessage(altered));
        if (decoded) expect(toHex(encodeMessage(decodeMessage(encodeMessage(decoded))!))).toBe(toHex(encodeMessage(decoded))); // prettier-ignore
      },
    ),
    { numRuns: 2000 },
  );
});

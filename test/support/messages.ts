/** Arbitrary messages of every type. */
import fc from 'fast-check';
import { BATCH_RAW_BYTES_MAX, PROTOCOL_VERSION } from '../../protocol/constants.ts';
import type { Fault, Message, MessageName, SpaceState, StartsFrom } from '../../protocol/messages.ts';
import { ROLES } from '../../protocol/membership.ts';
import { isName, isSubject } from '../../protocol/value.ts';
import { bytes, count } from './protocol.ts';

const name = fc.string({ unit: 'grapheme', maxLength: 20 }).filter(isName);
const subject = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter(isSubject);
const space: fc.Arbitrary<SpaceState> = fc.record({
  space: bytes(32),
  epoch: bytes(8),
  head: count,
  digest: bytes(32),
});
const hexOf = (key: Uint8Array): string => Buffer.from(key).toString('hex');
const spaces = fc.uniqueArray(space, { maxLength: 3, selector: (each) => hexOf(each.space) });
const from: fc.Arbitrary<StartsFrom> = fc.oneof(
  fc.record({ kind: fc.constant('all' as const) }),
  fc.record({ kind: fc.constant('cursor' as const), epoch: bytes(8), seq: count }),
  fc.record({
    kind: fc.constant('vector' as const),
    heads: fc.uniqueArray(fc.record({ chain: bytes(16), seq: count.filter((seq) => seq > 0), id: bytes(32) }), {
      maxLength: 3,
      selector: ({ chain }) => hexOf(chain),
    }),
  }),
);
const fault: fc.Arbitrary<Fault> = fc.record({
  code: name,
  retry: fc.boolean(),
  afterMs: count,
  text: fc.string({ unit: 'grapheme', maxLength: 100 }),
  detail: fc.dictionary(
    name.filter((each) => each !== '__proto__'),
    fc.oneof(count, name, bytes(8)),
    { maxKeys: 3, noNullPrototype: true },
  ),
});
const subscription = { subscription: count, space: bytes(32), from, live: fc.boolean(), credit: fc.nat(2 ** 30) };

export const messageByName: { readonly [N in MessageName]: fc.Arbitrary<Extract<Message, { type: N }>> } = {
  HELLO: fc.record({
    type: fc.constant('HELLO'),
    version: fc.constant(PROTOCOL_VERSION),
    name,
    agent: name,
    capabilities: fc.array(name, { maxLength: 5 }),
    limits: fc.record({ message: count, batch: count }),
    spaces,
    time: count,
  }),
  HEARTBEAT: fc.record({ type: fc.constant('HEARTBEAT'), spaces, time: count }),
  SUBSCRIBE_ALL: fc.record({ type: fc.constant('SUBSCRIBE_ALL'), ...subscription }),
  SUBSCRIBE: fc.record({
    type: fc.constant('SUBSCRIBE'),
    ...subscription,
    filter: fc.oneof(
      fc.record({ kind: fc.constant('subject' as const), subject }),
      fc.record({ kind: fc.constant('prefix' as const), prefix: subject }),
    ),
  }),
  BATCH: fc
    .tuple(count, count, count, fc.constantFrom(0 as const, 1 as const), fc.nat(BATCH_RAW_BYTES_MAX), fc.uint8Array())
    .map(([subscription, one, other, codec, rawBytes, data]) => ({
      type: 'BATCH',
      subscription,
      prev: Math.min(one, other),
      last: Math.max(one, other),
      codec,
      rawBytes,
      data,
    })),
  CAUGHT_UP: fc.record({ type: fc.constant('CAUGHT_UP'), subscription: count, last: count, digest: bytes(32) }),
  ACK: fc.record({ type: fc.constant('ACK'), subscription: count, last: count, credit: count }),
  UNSUBSCRIBE: fc.record({ type: fc.constant('UNSUBSCRIBE'), subscription: count }),
  UNSUBSCRIBED: fc.record({ type: fc.constant('UNSUBSCRIBED'), subscription: count, fault: fc.option(fault) }),
  PAIR: fc.record({
    type: fc.constant('PAIR'),
    invite: fc.option(fc.record({ id: bytes(8), proof: bytes(32) })),
    name,
  }),
  PAIRED: fc.record({
    type: fc.constant('PAIRED'),
    space: bytes(32),
    spaceName: name,
    role: fc.constantFrom(...ROLES),
  }),
  REFUSED: fc.record({ type: fc.constant('REFUSED'), fault }),
  ERROR: fc.record({ type: fc.constant('ERROR'), fault }),
  FORK: fc.record({ type: fc.constant('FORK'), space: bytes(32), proof: fc.uint8Array({ minLength: 1 }) }),
};

export const message: fc.Arbitrary<Message> = fc.oneof(...(Object.values(messageByName) as fc.Arbitrary<Message>[]));

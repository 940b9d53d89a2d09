import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { equal, toHex } from '../../protocol/bytes.ts';
import {
  BATCH_DATA_BYTES_MAX,
  BATCH_RAW_BYTES_MAX,
  CREDIT_BYTES_MAX,
  CREDIT_BYTES_MIN,
  HANDSHAKE_TIMEOUT_MS,
  HEARTBEAT_EVERY_MS,
  MESSAGE_BYTES_MAX,
  SILENCE_MAX_MS,
  SUBSCRIPTIONS_MAX,
} from '../../protocol/constants.ts';
import { TidelogError, type ErrorCode } from '../../protocol/errors.ts';
import { decodeMessage, encodeMessage, type Hello, type Message, type SpaceState } from '../../protocol/messages.ts';
import {
  newSession,
  step,
  type Effect,
  type Greeting,
  type Incoming,
  type Outgoing,
  type Phase,
  type SessionEvent,
  type SessionState,
  type SubscribeRequest,
} from '../../protocol/session.ts';
import { message as someMessage } from '../support/messages.ts';
import { bytesOf } from '../support/protocol.ts';

const SPACE = bytesOf('space', 32);
const OTHER_SPACE = bytesOf('other', 32);
const DIGEST = bytesOf('digest', 32);
const EPOCH = bytesOf('epoch', 8);
const greeting = (name = 'a'): Greeting => ({ name, agent: 'test', capabilities: [], spaces: [], time: 1 });
const helloOf = (name = 'a'): Hello => ({
  type: 'HELLO',
  version: 1,
  ...greeting(name),
  limits: { message: MESSAGE_BYTES_MAX, batch: BATCH_RAW_BYTES_MAX },
});
const request = (changes: Partial<SubscribeRequest> = {}): SubscribeRequest => ({
  space: SPACE,
  from: { kind: 'all' },
  filter: null,
  live: true,
  credit: CREDIT_BYTES_MIN,
  ...changes,
});
const cursorAt = (seq: number) => ({ kind: 'cursor', epoch: EPOCH, seq }) as const;
/** Without the time that every event has. */
type Timeless = SessionEvent extends infer E ? (E extends unknown ? Omit<E, 'nowMs'> : never) : never;

/** One session and a clock wound by hand; collects what it does. */
class Host {
  state: SessionState;
  nowMs = 0;

  constructor() {
    this.state = newSession(this.nowMs);
  }

  do(event: Timeless): readonly Effect[] {
    const [state, effects] = step(this.state, { ...event, nowMs: this.nowMs } as SessionEvent);
    this.state = state;
    return effects;
  }

  hear(message: Message): readonly Effect[] {
    return this.do({ type: 'message', message });
  }

  tick(ms: number, spaces: readonly SpaceState[] = []): readonly Effect[] {
    this.nowMs += ms;
    return this.do({ type: 'tick', spaces: () => spaces, timeUs: 77 });
  }

  get incoming(): Incoming | undefined {
    return this.state.incoming.get(1);
  }

  get outgoing(): Outgoing | undefined {
    return this.state.outgoing.get(1);
  }
}

const opened = (): Host => {
  const host = new Host();
  host.do({ type: 'start', known: true, greeting: greeting() });
  host.hear(helloOf('b'));
  expect(host.state.phase).toBe('open');
  return host;
};
/** Open, and with a subscription of theirs, number 1, that is being read. */
const serving = (position = 0, live = true, credit = CREDIT_BYTES_MIN): Host => {
  const host = opened();
  host.hear({ type: 'SUBSCRIBE_ALL', subscription: 1, space: SPACE, from: { kind: 'all' }, live, credit });
  expect(host.do({ type: 'accepted', subscription: 1, position })).toEqual([readOf(position)]);
  return host;
};
/** Open, and with a subscription of ours, number 1. */
const following = (changes: Partial<SubscribeRequest> = {}): Host => {
  const host = opened();
  host.do({ type: 'subscribe', request: request(changes) });
  return host;
};

const sends = (effects: readonly Effect[]): Message[] =>
  effects.flatMap((effect) => (effect.type === 'send' ? [effect.message] : []));
const readOf = (after: number): Effect => ({ type: 'read', subscription: 1, space: SPACE, after });
const batchOf = (prev: number, last: number, bytes = 100): Extract<Message, { type: 'BATCH' }> => ({
  type: 'BATCH',
  subscription: 1,
  prev,
  last,
  codec: 0,
  rawBytes: bytes,
  data: new Uint8Array(bytes),
});
const found = (last: number, bytes = 100): Timeless => ({
  type: 'read',
  subscription: 1,
  batch: { last, codec: 0, rawBytes: bytes, data: new Uint8Array(bytes) },
  digest: null,
});
const nothing: Timeless = { type: 'read', subscription: 1, batch: null, digest: DIGEST };
const caughtUp = (last: number): Message => ({ type: 'CAUGHT_UP', subscription: 1, last, digest: DIGEST });
const ended: Message = { type: 'UNSUBSCRIBED', subscription: 1, fault: null };

/** The other side is told, the connection is closed, and that is the last of it. */
function expectClosed(host: Host, effects: readonly Effect[], code: ErrorCode): void {
  expect(effects).toEqual([
    { type: 'send', message: { type: 'ERROR', fault: expect.objectContaining({ code }) } },
    { type: 'close', error: expect.objectContaining({ name: 'TidelogError', code }), remote: false },
  ]);
  expect(host.state.phase).toBe('closed');
  expect(host.hear(helloOf())).toEqual([]);
  expect(host.do({ type: 'subscribe', request: request() })).toEqual([]);
  expect(host.tick(SILENCE_MAX_MS * 2)).toEqual([]);
  expect(host.do({ type: 'close', error: new TidelogError('internal') })).toEqual([]);
}

describe('greeting', () => {
  test('both say HELLO, with the version and the limits of the protocol', () => {
    const host = new Host();
    expect(host.do({ type: 'start', known: true, greeting: greeting('me') })).toEqual([
      { type: 'send', message: helloOf('me') },
    ]);
    expect(host.state.phase).toBe('greeting');
    const hello = helloOf('you');
    expect(host.hear(hello)).toEqual([{ type: 'greeted', hello }]);
    expect(host.state).toMatchObject({ phase: 'open', remote: hello });
  });

  test('it may be said again, when what is shared has changed', () => {
    const host = opened();
    expect(host.do({ type: 'greet', greeting: greeting('again') })).toEqual([
      { type: 'send', message: helloOf('again') },
    ]);
    expect(host.hear(helloOf('c'))).toEqual([{ type: 'greeted', hello: helloOf('c') }]);
    expect(host.state.phase).toBe('open');
  });

  test.each<Message>([
    { type: 'SUBSCRIBE_ALL', subscription: 1, space: SPACE, from: { kind: 'all' }, live: true, credit: CREDIT_BYTES_MIN }, // prettier-ignore
    batchOf(0, 1),
    caughtUp(1),
    { type: 'ACK', subscription: 1, last: 1, credit: 1 },
    { type: 'UNSUBSCRIBE', subscription: 1 },
    ended,
  ])('$type before HELLO', (message) => {
    const host = new Host();
    host.do({ type: 'start', known: true, greeting: greeting() });
    expectClosed(host, host.hear(message), 'bad-message');
  });

  test('no HELLO in time', () => {
    const host = new Host();
    host.do({ type: 'start', known: true, greeting: greeting() });
    expect(host.tick(HANDSHAKE_TIMEOUT_MS)).toEqual([]);
    host.do({ type: 'heard' });
    expectClosed(host, host.tick(1), 'timeout');
  });
});

describe('a stranger', () => {
  const stranger = (): Host => {
    const host = new Host();
    expect(host.do({ type: 'start', known: false, greeting: greeting() })).toEqual([]);
    expect(host.state.phase).toBe('stranger');
    return host;
  };

  test.each<Message>([
    helloOf(),
    { type: 'SUBSCRIBE_ALL', subscription: 1, space: SPACE, from: { kind: 'all' }, live: true, credit: CREDIT_BYTES_MIN }, // prettier-ignore
    { type: 'ACK', subscription: 1, last: 1, credit: 1 },
    batchOf(0, 1),
    ended,
  ])('that says $type hears not-paired and nothing else', (message) => {
    const host = stranger();
    expectClosed(host, host.hear(message), 'not-paired');
  });

  test('may ask to pair, and becomes known by the answer', () => {
    const host = stranger();
    const pair: Message = { type: 'PAIR', invite: null, name: 'phone' };
    expect(host.hear(pair)).toEqual([{ type: 'pairRequest', pair }]);
    const paired = { space: SPACE, spaceName: 'home', role: 'writer' } as const;
    expect(sends(host.do({ type: 'paired', paired }))).toEqual([{ type: 'PAIRED', ...paired }]);
    expect(sends(host.do({ type: 'greet', greeting: greeting() }))).toEqual([helloOf()]);
    expect(host.hear(helloOf('b'))).toEqual([{ type: 'greeted', hello: helloOf('b') }]);
    expect(host.state.phase).toBe('open');
  });

  test('may be refused, and ask again', () => {
    const host = stranger();
    host.hear({ type: 'PAIR', invite: null, name: 'phone' });
    expect(sends(host.do({ type: 'refuse', error: new TidelogError('invite-wrong-secret') }))).toEqual([
      { type: 'REFUSED', fault: expect.objectContaining({ code: 'invite-wrong-secret' }) },
    ]);
    expect(host.state.phase).toBe('stranger');
    expect(host.hear({ type: 'PAIR', invite: null, name: 'phone' })).toHaveLength(1);
  });

  test('that gives nothing but signs of life has the time of a handshake, and not a millisecond more', () => {
    const host = stranger();
    host.tick(HANDSHAKE_TIMEOUT_MS / 2);
    expect(host.hear({ type: 'HEARTBEAT', spaces: [], time: 0 })).toEqual([]);
    host.do({ type: 'heard' });
    expect(host.tick(HANDSHAKE_TIMEOUT_MS / 2)).toEqual([]);
    expect(host.hear({ type: 'HEARTBEAT', spaces: [], time: 0 })).toEqual([]);
    expectClosed(host, host.tick(1), 'not-paired');
  });

  test('that asked in time may wait, also for another try', () => {
    const host = stranger();
    host.tick(HANDSHAKE_TIMEOUT_MS);
    host.hear({ type: 'PAIR', invite: null, name: 'phone' });
    expect(host.tick(HANDSHAKE_TIMEOUT_MS)).toHaveLength(1);
    host.do({ type: 'refuse', error: new TidelogError('pairing-pending') });
    host.tick(HANDSHAKE_TIMEOUT_MS);
    expect(host.state.phase).toBe('stranger');
    expect(host.hear({ type: 'PAIR', invite: null, name: 'phone' })).toHaveLength(1);
    // HELLO is no more welcome than before.
    expectClosed(host, host.hear(helloOf()), 'not-paired');
  });

  test('that waits for a person is kept alive, told nothing, and has the time for HELLO when it is known', () => {
    const host = stranger();
    host.hear({ type: 'PAIR', invite: null, name: 'phone' });
    const spaces = [{ space: SPACE, epoch: EPOCH, head: 9, digest: DIGEST }];
    for (let i = 0; i < 8; i++) {
      expect(host.tick(HEARTBEAT_EVERY_MS, spaces)).toEqual([
        { type: 'send', message: { type: 'HEARTBEAT', spaces: [], time: 0 } },
      ]);
      expect(host.hear({ type: 'HEARTBEAT', spaces, time: 5 })).toEqual([]);
    }
    host.do({ type: 'greet', greeting: greeting() });
    expect(host.tick(HANDSHAKE_TIMEOUT_MS)).toEqual([]);
    expectClosed(host, host.tick(1), 'timeout');
  });
});

describe('pairing', () => {
  const pair = { invite: null, name: 'phone' };
  const answer: Message = { type: 'PAIRED', space: SPACE, spaceName: 'home', role: 'writer' };
  const pairing = (): Host => {
    const host = new Host();
    host.do({ type: 'start', known: false, greeting: greeting() });
    expect(sends(host.do({ type: 'pair', pair }))).toEqual([{ type: 'PAIR', ...pair }]);
    expect(host.state.phase).toBe('pairing');
    return host;
  };

  test('asks, hears the answer, and greets', () => {
    const host = pairing();
    const refused: Message = { type: 'REFUSED', fault: { code: 'pairing-pending', retry: true, afterMs: 0, text: '', detail: {} } }; // prettier-ignore
    expect(host.hear(refused)).toEqual([{ type: 'pairAnswer', answer: refused }]);
    expect(host.hear(answer)).toEqual([{ type: 'pairAnswer', answer }]);
    expect(host.state.phase).toBe('pairing');
    expect(host.do({ type: 'greet', greeting: greeting() })).toEqual([{ type: 'send', message: helloOf() }]);
    expect(host.state.phase).toBe('greeting');
    expect(host.hear(helloOf('b'))).toEqual([{ type: 'greeted', hello: helloOf('b') }]);
    expect(host.state.phase).toBe('open');
  });

  test('with one that knows this device: its HELLO is kept, the last one, until it has answered', () => {
    const host = pairing();
    expect(host.hear(helloOf('early'))).toEqual([]);
    expect(host.hear(helloOf('b'))).toEqual([]);
    expect(host.state).toMatchObject({ phase: 'pairing', saidHello: false });
    // Nothing of what it shares is used, nor told, before.
    const heads = { type: 'HEARTBEAT', spaces: [{ space: SPACE, epoch: EPOCH, head: 9, digest: DIGEST }], time: 5 } as const; // prettier-ignore
    expect(host.hear(heads)).toEqual([]);
    expect(sends(host.tick(HEARTBEAT_EVERY_MS, heads.spaces))).toEqual([{ type: 'HEARTBEAT', spaces: [], time: 0 }]);
    expect(host.hear(answer)).toEqual([{ type: 'pairAnswer', answer }]);
    expect(host.do({ type: 'greet', greeting: greeting() })).toEqual([
      { type: 'send', message: helloOf() },
      { type: 'greeted', hello: helloOf('b') },
    ]);
    expect(host.state).toMatchObject({ phase: 'open', saidHello: true, remote: helloOf('b') });
    expect(host.tick(HANDSHAKE_TIMEOUT_MS + 1)).toEqual([]);
    expect(host.hear(heads)).toEqual([{ type: 'heads', spaces: heads.spaces, timeUs: 5 }]);
    expect(host.do({ type: 'subscribe', request: request() })).toHaveLength(1);
  });

  test.each<Message>([
    { type: 'SUBSCRIBE_ALL', subscription: 1, space: SPACE, from: { kind: 'all' }, live: true, credit: CREDIT_BYTES_MIN }, // prettier-ignore
    batchOf(0, 1),
    caughtUp(1),
    { type: 'ACK', subscription: 1, last: 1, credit: 1 },
    ended,
  ])('$type before the answer, with and without a HELLO before it', (message) => {
    let host = pairing();
    expectClosed(host, host.hear(message), 'bad-message');
    host = pairing();
    host.hear(helloOf('b'));
    expectClosed(host, host.hear(message), 'bad-message');
  });

  test('waits for a person as long as there are signs of life, and then has the time for HELLO', () => {
    const host = pairing();
    for (let i = 0; i < 8; i++) {
      expect(sends(host.tick(HEARTBEAT_EVERY_MS))).toEqual([{ type: 'HEARTBEAT', spaces: [], time: 0 }]);
      host.hear({ type: 'HEARTBEAT', spaces: [], time: 0 });
    }
    host.do({ type: 'greet', greeting: greeting() });
    expect(host.tick(HANDSHAKE_TIMEOUT_MS)).toEqual([]);
    expectClosed(host, host.tick(1), 'timeout');
    const alone = pairing();
    alone.tick(SILENCE_MAX_MS);
    expectClosed(alone, alone.tick(1), 'timeout');
  });

  test('with one that this side knows goes on beside the greeting', () => {
    const host = new Host();
    host.do({ type: 'start', known: true, greeting: greeting() });
    expect(sends(host.do({ type: 'pair', pair }))).toEqual([{ type: 'PAIR', ...pair }]);
    expect(host.state.phase).toBe('greeting');
    expect(host.hear(helloOf('b'))).toEqual([{ type: 'greeted', hello: helloOf('b') }]);
    expect(host.hear(answer)).toEqual([{ type: 'pairAnswer', answer }]);
    expect(host.state.phase).toBe('open');
    expect(sends(host.do({ type: 'pair', pair }))).toHaveLength(1);
    expect(host.state.phase).toBe('open');
  });
});

describe('a subscription of ours', () => {
  test('asks, for all or for a part', () => {
    const host = opened();
    const common = { space: SPACE, from: { kind: 'all' }, live: true, credit: CREDIT_BYTES_MIN };
    expect(host.do({ type: 'subscribe', request: request() })).toEqual([
      { type: 'send', message: { type: 'SUBSCRIBE_ALL', subscription: 1, ...common } },
    ]);
    const filter = { kind: 'prefix', prefix: 'note/' } as const;
    expect(host.do({ type: 'subscribe', request: request({ filter }) })).toEqual([
      { type: 'send', message: { type: 'SUBSCRIBE', subscription: 2, ...common, filter } },
    ]);
  });

  test('takes batches that continue, and acknowledges what is stored', () => {
    const host = following();
    const batch = batchOf(0, 5);
    expect(host.hear(batch)).toEqual([{ type: 'ingest', subscription: 1, space: SPACE, filter: null, batch }]);
    expect(host.incoming).toMatchObject({ cursor: 5, stored: 0, unacknowledged: 100 });
    host.hear(batchOf(5, 9, 50));
    expect(host.do({ type: 'stored', subscription: 1, last: 5, bytes: 100 })).toEqual([
      { type: 'send', message: { type: 'ACK', subscription: 1, last: 5, credit: 100 } },
    ]);
    expect(host.incoming).toMatchObject({ cursor: 9, stored: 5, unacknowledged: 50 });
  });

  test('begins at its cursor', () => {
    const from = cursorAt(40);
    expect(following({ from }).hear(batchOf(40, 41))).toHaveLength(1);
    const host = following({ from });
    expectClosed(host, host.hear(batchOf(0, 41)), 'cursor-mismatch');
  });

  test('of a vector begins where they say, and goes on from there', () => {
    const from = { kind: 'vector', heads: [] } as const;
    const host = following({ from });
    expect(host.hear(batchOf(30, 31))).toHaveLength(1);
    expect(host.incoming).toMatchObject({ cursor: 31, stored: 0 });
    expectClosed(host, host.hear(batchOf(30, 32)), 'cursor-mismatch');
    expect(following({ from }).hear(caughtUp(30))).toHaveLength(2);
  });

  test.each([
    [0, 'again'],
    [4, 'overlapping'],
    [6, 'with a hole'],
  ])('a batch after 5 that begins at %i', (prev) => {
    const host = following();
    host.hear(batchOf(0, 5));
    expectClosed(host, host.hear(batchOf(prev, 9)), 'cursor-mismatch');
  });

  test('that nobody made', () => {
    for (const message of [batchOf(0, 1), caughtUp(1), ended]) {
      const host = opened();
      expectClosed(host, host.hear(message), 'bad-message');
    }
  });

  test('a sender may use all of its credit, and not a byte more', () => {
    const credit = CREDIT_BYTES_MIN;
    const host = following({ credit });
    host.hear(batchOf(0, 1, credit - 1));
    host.hear(batchOf(1, 2, 1));
    expect(host.incoming).toMatchObject({ unacknowledged: credit });
    host.do({ type: 'stored', subscription: 1, last: 1, bytes: credit - 1 });
    host.hear(batchOf(2, 3, credit - 1));
    expectClosed(host, host.hear(batchOf(3, 4, 1)), 'credit-exceeded');
  });

  test('has caught up when what came before is stored', () => {
    const host = following();
    host.hear(batchOf(0, 5));
    host.hear(batchOf(5, 9));
    expect(host.hear(caughtUp(9))).toEqual([]);
    expect(sends(host.do({ type: 'stored', subscription: 1, last: 5, bytes: 100 }))).toHaveLength(1);
    expect(host.do({ type: 'stored', subscription: 1, last: 9, bytes: 100 })).toEqual([
      { type: 'send', message: { type: 'ACK', subscription: 1, last: 9, credit: 100 } },
      { type: 'caughtUp', subscription: 1, space: SPACE, last: 9, digest: DIGEST },
    ]);
  });

  test('has caught up also while more comes, faster than it is stored', () => {
    const host = following();
    host.hear(batchOf(0, 5));
    host.hear(caughtUp(5));
    host.hear(batchOf(5, 6));
    expect(host.hear(batchOf(6, 7))).toHaveLength(1);
    expect(host.do({ type: 'stored', subscription: 1, last: 5, bytes: 100 })).toEqual([
      { type: 'send', message: { type: 'ACK', subscription: 1, last: 5, credit: 100 } },
      { type: 'caughtUp', subscription: 1, space: SPACE, last: 5, digest: DIGEST },
    ]);
    host.do({ type: 'stored', subscription: 1, last: 6, bytes: 100 });
    expect(host.incoming).toMatchObject({ cursor: 7, stored: 6, unacknowledged: 100, pendingCaughtUp: null });
  });

  test('that is told twice that it has caught up, and how far', () => {
    const host = following();
    host.hear(batchOf(0, 5));
    host.hear(caughtUp(7));
    host.hear(caughtUp(9));
    expect(host.do({ type: 'stored', subscription: 1, last: 5, bytes: 100 }).slice(1)).toEqual([
      { type: 'send', message: { type: 'ACK', subscription: 1, last: 9, credit: 0 } },
      { type: 'caughtUp', subscription: 1, space: SPACE, last: 9, digest: DIGEST },
    ]);
  });

  test('that had nothing to catch up with acknowledges the place', () => {
    expect(following().hear(caughtUp(7))).toEqual([
      { type: 'send', message: { type: 'ACK', subscription: 1, last: 7, credit: 0 } },
      { type: 'caughtUp', subscription: 1, space: SPACE, last: 7, digest: DIGEST },
    ]);
    expect(following({ from: cursorAt(7) }).hear(caughtUp(7))).toEqual([
      { type: 'caughtUp', subscription: 1, space: SPACE, last: 7, digest: DIGEST },
    ]);
    const host = following({ from: cursorAt(7) });
    expectClosed(host, host.hear(caughtUp(6)), 'cursor-mismatch');
  });

  test('goes on after CAUGHT_UP, from there', () => {
    const host = following();
    host.hear(caughtUp(7));
    expect(host.hear(batchOf(7, 8))).toHaveLength(1);
    expect(host.incoming).toMatchObject({ cursor: 8, stored: 7 });
    const other = following();
    other.hear(batchOf(0, 5));
    other.hear(caughtUp(5));
    expectClosed(other, other.hear(batchOf(4, 8)), 'cursor-mismatch');
  });

  test('takes what is under way until its end is confirmed', () => {
    const host = following();
    expect(sends(host.do({ type: 'unsubscribe', subscription: 1 }))).toEqual([{ type: 'UNSUBSCRIBE', subscription: 1 }]); // prettier-ignore
    expect(host.hear(batchOf(0, 5))).toHaveLength(1);
    expect(host.hear(ended)).toEqual([{ type: 'ended', subscription: 1, space: SPACE, fault: null }]);
    expect(host.do({ type: 'stored', subscription: 1, last: 5, bytes: 100 })).toEqual([]);
    expect(host.do({ type: 'unsubscribe', subscription: 1 })).toEqual([]);
    expectClosed(host, host.hear(batchOf(5, 6)), 'bad-message');
  });

  test('that is refused says why', () => {
    const host = following();
    const fault = { code: 'cursor-epoch', retry: true, afterMs: 0, text: 'No.', detail: { floor: 0, head: 3 } };
    expect(host.hear({ type: 'UNSUBSCRIBED', subscription: 1, fault })).toEqual([
      { type: 'ended', subscription: 1, space: SPACE, fault },
    ]);
    expect(host.state.phase).toBe('open');
  });
});

describe('a subscription of theirs', () => {
  const subscribe = (changes: object = {}): Message => ({ type: 'SUBSCRIBE_ALL', subscription: 1, space: SPACE, from: { kind: 'all' }, live: true, credit: CREDIT_BYTES_MIN, ...changes }); // prettier-ignore

  test('is opened by the host, and then read', () => {
    const host = opened();
    const from = { kind: 'cursor', epoch: EPOCH, seq: 3 } as const;
    expect(host.hear(subscribe({ from }))).toEqual([{ type: 'open', subscription: 1, space: SPACE, from, filter: null }]); // prettier-ignore
    const filter = { kind: 'subject', subject: 'a' } as const;
    expect(host.hear({ ...subscribe({ subscription: 2 }), type: 'SUBSCRIBE', filter } as Message)).toEqual([
      { type: 'open', subscription: 2, space: SPACE, from: { kind: 'all' }, filter },
    ]);
    expect(host.do({ type: 'accepted', subscription: 1, position: 3 })).toEqual([readOf(3)]);
  });

  test('that the host rejects ends with the reason, and the connection goes on', () => {
    const host = opened();
    host.hear(subscribe());
    const error = new TidelogError('cursor-too-new', undefined, { head: 3 });
    expect(host.do({ type: 'rejected', subscription: 1, error })).toEqual([
      { type: 'send', message: { type: 'UNSUBSCRIBED', subscription: 1, fault: expect.objectContaining({ code: 'cursor-too-new', retry: true, detail: { head: 3 } }) } }, // prettier-ignore
      { type: 'drop', subscription: 1 },
    ]);
    expect(host.state.phase).toBe('open');
    expect(host.do({ type: 'accepted', subscription: 1, position: 3 })).toEqual([]);
  });

  test('is read batch by batch to the head, which is said once', () => {
    const host = serving();
    expect(host.do(found(4))).toEqual([{ type: 'send', message: batchOf(0, 4) }]);
    // With the least credit, the next batch waits for the ACK.
    expect(host.hear({ type: 'ACK', subscription: 1, last: 4, credit: 100 })).toEqual([
      { type: 'acked', subscription: 1, space: SPACE, last: 4 },
      readOf(4),
    ]);
    expect(host.do(nothing)).toEqual([{ type: 'send', message: caughtUp(4) }]);
    expect(host.outgoing).toMatchObject({ stage: 'idle', position: 4 });
    expect(host.do({ type: 'advanced', space: SPACE })).toEqual([readOf(4)]);
    expect(host.do(nothing)).toEqual([]);
  });

  test('growth while it is being read is not lost, nor read twice at once', () => {
    const host = serving();
    expect(host.do({ type: 'advanced', space: SPACE })).toEqual([]);
    expect(host.do({ type: 'advanced', space: SPACE })).toEqual([]);
    // The reader may have looked before the growth: it is asked again, and CAUGHT_UP waits.
    expect(host.do(nothing)).toEqual([readOf(0)]);
    expect(host.do(nothing)).toEqual([{ type: 'send', message: caughtUp(0) }]);
  });

  test('growth of another space wakes nothing', () => {
    const host = serving();
    host.do(nothing);
    expect(host.do({ type: 'advanced', space: OTHER_SPACE })).toEqual([]);
    expect(host.do({ type: 'advanced', space: SPACE })).toEqual([readOf(0)]);
  });

  test('growth before it is opened', () => {
    const host = opened();
    host.hear(subscribe());
    expect(host.do({ type: 'advanced', space: SPACE })).toEqual([]);
    expect(host.do({ type: 'accepted', subscription: 1, position: 0 })).toEqual([readOf(0)]);
  });

  test('nothing is read that cannot be sent: not without credit', () => {
    const host = serving(0, true, BATCH_DATA_BYTES_MAX + 99);
    expect(sends(host.do(found(1, 99)))).toHaveLength(1);
    expect(host.outgoing).toMatchObject({ stage: 'reading', credit: BATCH_DATA_BYTES_MAX });
    expect(host.do(found(2, 1))).toEqual([{ type: 'send', message: batchOf(1, 2, 1) }]);
    expect(host.outgoing).toMatchObject({ stage: 'idle' });
    expect(host.do({ type: 'advanced', space: SPACE })).toEqual([]);
    expect(host.hear({ type: 'ACK', subscription: 1, last: 1, credit: 0 })).toEqual([
      { type: 'acked', subscription: 1, space: SPACE, last: 1 },
    ]);
    expect(host.hear({ type: 'ACK', subscription: 1, last: 2, credit: 1 })).toEqual([
      { type: 'acked', subscription: 1, space: SPACE, last: 2 },
      readOf(2),
    ]);
  });

  test('and not while the socket is full', () => {
    const host = serving(0, true, 2 * CREDIT_BYTES_MIN);
    expect(host.do({ type: 'writable', writable: false })).toEqual([]);
    expect(sends(host.do(found(1)))).toEqual([batchOf(0, 1)]);
    expect(host.do({ type: 'advanced', space: SPACE })).toEqual([]);
    expect(host.do({ type: 'writable', writable: true })).toEqual([readOf(1)]);
    expect(host.do({ type: 'writable', writable: true })).toEqual([]);
  });

  test.each([
    ['before the last one', 2],
    ['past what was sent', 5],
  ])('an ACK %s', (_, last) => {
    const host = serving(1, true, CREDIT_BYTES_MAX / 2);
    host.do(found(4));
    host.hear({ type: 'ACK', subscription: 1, last: 3, credit: 0 });
    expectClosed(host, host.hear({ type: 'ACK', subscription: 1, last, credit: 0 }), 'bad-message');
  });

  test('an ACK before where it began', () => {
    const host = serving(7);
    expectClosed(host, host.hear({ type: 'ACK', subscription: 1, last: 6, credit: 0 }), 'bad-message');
  });

  test('credit has an end', () => {
    const host = serving(0, true, CREDIT_BYTES_MAX);
    expect(host.hear({ type: 'ACK', subscription: 1, last: 0, credit: 0 })).toHaveLength(1);
    expectClosed(host, host.hear({ type: 'ACK', subscription: 1, last: 0, credit: 1 }), 'bad-message');
  });

  test('too little credit, a number in use, too many', () => {
    let host = opened();
    expectClosed(host, host.hear(subscribe({ credit: CREDIT_BYTES_MIN - 1 })), 'bad-message');
    host = serving();
    expectClosed(host, host.hear(subscribe()), 'bad-message');
    host = opened();
    for (let subscription = 1; subscription <= SUBSCRIPTIONS_MAX; subscription++)
      expect(host.hear(subscribe({ subscription }))).toHaveLength(1);
    expectClosed(host, host.hear(subscribe({ subscription: SUBSCRIPTIONS_MAX + 1 })), 'too-many');
  });

  test('ends when asked to; what was being read is dropped, and what crosses is nothing', () => {
    const host = serving();
    expect(host.hear({ type: 'UNSUBSCRIBE', subscription: 1 })).toEqual([
      { type: 'send', message: ended },
      { type: 'drop', subscription: 1 },
    ]);
    expect(host.do(found(4))).toEqual([]);
    expect(host.do(nothing)).toEqual([]);
    expect(host.hear({ type: 'ACK', subscription: 1, last: 99, credit: 1 })).toEqual([]);
    expect(host.hear({ type: 'UNSUBSCRIBE', subscription: 1 })).toEqual([]);
    expect(host.state.phase).toBe('open');
  });

  test('that is not live ends at the head, once all is acknowledged', () => {
    const host = serving(0, false, 2 * CREDIT_BYTES_MIN);
    expect(host.do(found(4))).toEqual([{ type: 'send', message: batchOf(0, 4) }, readOf(4)]);
    expect(sends(host.do(nothing))).toEqual([caughtUp(4)]);
    expect(host.do({ type: 'advanced', space: SPACE })).toEqual([]);
    expect(host.hear({ type: 'ACK', subscription: 1, last: 4, credit: 100 })).toEqual([
      { type: 'acked', subscription: 1, space: SPACE, last: 4 },
      { type: 'send', message: ended },
      { type: 'drop', subscription: 1 },
    ]);
  });

  test('that is not live and has nothing to send ends at once', () => {
    expect(serving(9, false).do(nothing)).toEqual([
      { type: 'send', message: caughtUp(9) },
      { type: 'send', message: ended },
      { type: 'drop', subscription: 1 },
    ]);
  });
});

describe('time and ends', () => {
  test('a HEARTBEAT after silence of ours, with what we have', () => {
    const host = opened();
    const spaces = [{ space: SPACE, epoch: EPOCH, head: 9, digest: DIGEST }];
    expect(host.tick(HEARTBEAT_EVERY_MS - 1, spaces)).toEqual([]);
    expect(host.tick(1, spaces)).toEqual([{ type: 'send', message: { type: 'HEARTBEAT', spaces, time: 77 } }]);
    expect(host.tick(HEARTBEAT_EVERY_MS - 1, spaces)).toEqual([]);
    host.do({ type: 'subscribe', request: request() });
    // Whatever is sent will do.
    expect(host.tick(HEARTBEAT_EVERY_MS - 1, spaces)).toEqual([]);
    expect(host.tick(1, spaces)).toHaveLength(1);
  });

  test("theirs tells the host what they have, and that they're alive", () => {
    const host = opened();
    const spaces = [{ space: SPACE, epoch: EPOCH, head: 9, digest: DIGEST }];
    for (let i = 0; i < 10; i++) {
      host.tick(SILENCE_MAX_MS);
      expect(host.hear({ type: 'HEARTBEAT', spaces, time: 5 })).toEqual([{ type: 'heads', spaces, timeUs: 5 }]);
    }
  });

  test('silence of theirs, to the millisecond; parts of messages count as life', () => {
    const host = opened();
    host.tick(SILENCE_MAX_MS);
    expect(host.do({ type: 'heard' })).toEqual([]);
    host.tick(SILENCE_MAX_MS);
    expect(host.state.phase).toBe('open');
    expectClosed(host, host.tick(1), 'timeout');
  });

  test('silence of a stranger', () => {
    const host = new Host();
    host.do({ type: 'start', known: false, greeting: greeting() });
    host.hear({ type: 'PAIR', invite: null, name: 'phone' });
    host.tick(SILENCE_MAX_MS);
    expectClosed(host, host.tick(1), 'timeout');
  });

  test('their ERROR closes, and is not answered', () => {
    const host = opened();
    const fault = { code: 'shutting-down', retry: true, afterMs: 500, text: 'Bye.', detail: {} };
    expect(host.hear({ type: 'ERROR', fault })).toEqual([
      { type: 'close', error: expect.objectContaining({ code: 'shutting-down' }), remote: true },
    ]);
    expect(host.hear(helloOf())).toEqual([]);
  });

  test('our end, with and without a reason', () => {
    let host = opened();
    expectClosed(host, host.do({ type: 'close', error: new TidelogError('device-revoked') }), 'device-revoked');
    host = opened();
    expect(host.do({ type: 'close', error: null })).toEqual([{ type: 'close', error: null, remote: false }]);
    expect(host.tick(1)).toEqual([]);
  });
});

// ---- two sessions back to back, over logs of numbers

/** A peer with a log of items of some bytes each. Its disk is slow: what is to be read or stored waits until it is told to. */
class Peer {
  readonly host = new Host();
  readonly log: number[] = [];
  /** What it has stored of the other's log. */
  readonly taken: number[] = [];
  /** Bytes that are on their way, encoded. */
  readonly wire: Uint8Array[] = [];
  readonly reads: { subscription: number; after: number }[] = [];
  readonly stores: { subscription: number; batch: Extract<Message, { type: 'BATCH' }> }[] = [];
  readonly events: string[] = [];
  caughtUpAt: number | null = null;
  ackedTo = 0;
  other!: Peer;

  act(effects: readonly Effect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case 'send':
          this.wire.push(encodeMessage(effect.message));
          if (effect.message.type === 'ERROR') this.events.push(`says ${effect.message.fault.code}`);
          break;
        case 'open':
          this.act(this.host.do({ type: 'accepted', subscription: effect.subscription, position: effect.from.kind === 'cursor' ? effect.from.seq : 0 })); // prettier-ignore
          break;
        case 'read':
          this.reads.push(effect);
          break;
        case 'drop':
          break;
        case 'ingest':
          this.stores.push(effect);
          break;
        case 'caughtUp':
          expect(this.taken.length).toBeGreaterThanOrEqual(effect.last);
          expect(this.caughtUpAt).toBeNull();
          this.caughtUpAt = effect.last;
          break;
        case 'acked':
          // Only what is on the other's disk is acknowledged.
          expect(this.other.taken.length).toBeGreaterThanOrEqual(effect.last);
          expect(effect.last).toBeGreaterThanOrEqual(this.ackedTo);
          this.ackedTo = effect.last;
          break;
        case 'ended':
          this.events.push(`ended ${effect.fault?.code ?? 'as asked'}`);
          break;
        case 'close':
          this.events.push(`closed ${effect.error?.code ?? ''}`);
          break;
      }
    }
  }

  /** `bytes` each; 1 to `most` of them in a batch. */
  read(most: number, bytes: number): void {
    const read = this.reads.shift();
    if (!read) return;
    const last = Math.min(this.log.length, read.after + most);
    const data = new Uint8Array(Math.min(BATCH_DATA_BYTES_MAX, bytes * (last - read.after)));
    const batch = last > read.after ? { last, codec: 0 as const, rawBytes: data.length, data } : null;
    this.act(this.host.do({ type: 'read', subscription: read.subscription, batch, digest: DIGEST }));
  }

  store(): void {
    const store = this.stores.shift();
    if (!store) return;
    const { prev, last, data } = store.batch;
    expect(prev).toBe(this.taken.length);
    this.taken.push(...this.other.log.slice(prev, last));
    this.act(this.host.do({ type: 'stored', subscription: store.subscription, last, bytes: data.length }));
  }

  deliver(): void {
    const bytes = this.wire.shift();
    if (bytes) this.other.act(this.other.host.hear(decodeMessage(bytes)!));
  }

  write(): void {
    this.log.push(this.log.length);
    this.act(this.host.do({ type: 'advanced', space: SPACE }));
  }

  get isBusy(): boolean {
    return this.wire.length + this.reads.length + this.stores.length > 0;
  }
}

function pair(): [Peer, Peer] {
  const [a, b] = [new Peer(), new Peer()];
  a.other = b;
  b.other = a;
  a.act(a.host.do({ type: 'start', known: true, greeting: greeting('a') }));
  b.act(b.host.do({ type: 'start', known: true, greeting: greeting('b') }));
  a.deliver();
  b.deliver();
  return [a, b];
}

function settle(...peers: Peer[]): void {
  for (let i = 0; peers.some(({ isBusy }) => isBusy); i++) {
    if (i > 10_000) throw new Error('it never comes to rest');
    for (const peer of peers) {
      peer.deliver();
      peer.read(10, 1000);
      peer.store();
    }
  }
}

describe('two sessions', () => {
  test('subscribe, catch up, stay live, both ways', () => {
    const [a, b] = pair();
    for (let i = 0; i < 25; i++) a.write();
    for (const peer of [a, b]) peer.act(peer.host.do({ type: 'subscribe', request: request() }));
    settle(a, b);
    expect([b.taken, b.caughtUpAt, a.ackedTo]).toEqual([a.log, 25, 25]);
    expect(a.caughtUpAt).toBe(0);
    b.write();
    a.write();
    settle(a, b);
    expect([b.taken, a.taken, a.ackedTo, b.ackedTo]).toEqual([a.log, b.log, 26, 1]);
    expect([...a.events, ...b.events]).toEqual([]);
  });

  test('once: all, CAUGHT_UP, and then the end, in this order', () => {
    const [a, b] = pair();
    for (let i = 0; i < 25; i++) a.write();
    b.act(b.host.do({ type: 'subscribe', request: request({ live: false }) }));
    settle(a, b);
    expect([b.taken, b.caughtUpAt, a.ackedTo, b.events]).toEqual([a.log, 25, 25, ['ended as asked']]);
    expect([a.host.state.outgoing.size, b.host.state.incoming.size]).toEqual([0, 0]);
  });

  test('unsubscribing from both ends at once', () => {
    const [a, b] = pair();
    b.act(b.host.do({ type: 'subscribe', request: request() }));
    settle(a, b);
    a.act(a.host.do({ type: 'rejected', subscription: 1, error: new TidelogError('shutting-down') }));
    b.act(b.host.do({ type: 'unsubscribe', subscription: 1 }));
    settle(a, b);
    expect([b.events, a.events]).toEqual([['ended shutting-down'], []]);
    expect([a.host.state.phase, b.host.state.phase]).toEqual(['open', 'open']);
  });

  test('whatever the order of things: nothing is lost or taken twice, credit is kept, and all comes to rest', () => {
    const move = fc.record({
      who: fc.nat(1),
      what: fc.constantFrom('write', 'write', 'deliver', 'deliver', 'deliver', 'read', 'read', 'store', 'store', 'full', 'free'), // prettier-ignore
      most: fc.integer({ min: 1, max: 5 }),
      bytes: fc.constantFrom(0, 1, 1000, BATCH_DATA_BYTES_MAX / 3, BATCH_DATA_BYTES_MAX),
    });
    fc.assert(
      fc.property(
        fc.array(move, { maxLength: 200, size: 'max' }),
        fc.constantFrom(CREDIT_BYTES_MIN, CREDIT_BYTES_MIN + 1, 3 * CREDIT_BYTES_MIN),
        (moves, credit) => {
          const peers = pair();
          for (const peer of peers) peer.act(peer.host.do({ type: 'subscribe', request: request({ credit }) }));
          for (const { who, what, most, bytes } of moves) {
            const peer = peers[who]!;
            if (what === 'write') peer.write();
            // A batch of no bytes isn't one: its data has a header at least.
            else if (what === 'read') peer.read(most, Math.max(1, bytes));
            else if (what === 'store') peer.store();
            else if (what === 'deliver') peer.deliver();
            else peer.act(peer.host.do({ type: 'writable', writable: what === 'free' }));

            for (const each of peers) {
              const [incoming, outgoing] = [each.host.incoming!, each.other.host.outgoing];
              expect(incoming.unacknowledged).toBeLessThanOrEqual(credit);
              expect(incoming.unacknowledged).toBe(each.stores.reduce((sum, { batch }) => sum + batch.data.length, 0));
              if (outgoing) expect(outgoing.credit).toBeGreaterThanOrEqual(0);
              if (outgoing) expect(outgoing.credit).toBeLessThanOrEqual(credit);
              expect(each.reads.length).toBeLessThanOrEqual(1);
              expect(each.taken).toEqual(each.other.log.slice(0, each.taken.length));
            }
          }
          for (const peer of peers) peer.act(peer.host.do({ type: 'writable', writable: true }));
          settle(...peers);
          for (const each of peers) {
            expect(each.taken).toEqual(each.other.log);
            expect(each.other.ackedTo).toBe(each.taken.length);
            expect(each.caughtUpAt).not.toBeNull();
            expect(each.other.host.outgoing!.credit).toBe(credit);
            expect(each.events).toEqual([]);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('any sequence of messages and events', () => {
  const MAY_FOLLOW: Readonly<Record<Phase, readonly Phase[]>> = {
    stranger: ['stranger', 'pairing', 'greeting', 'closed'],
    pairing: ['pairing', 'greeting', 'open', 'closed'],
    greeting: ['greeting', 'open', 'closed'],
    open: ['open', 'closed'],
    closed: ['closed'],
  };
  const small = fc.nat(4);
  const near = someMessage.chain((message) =>
    'subscription' in message
      ? fc.tuple(small, small, small, fc.nat(300)).map(([subscription, prev, length, bytes]): Message => {
          const last = prev + length;
          switch (message.type) {
            case 'BATCH':
              return { ...message, subscription, prev, last, data: new Uint8Array(bytes) };
            case 'ACK':
              return { ...message, subscription, last, credit: bytes };
            case 'CAUGHT_UP':
              return { ...message, subscription, last };
            case 'SUBSCRIBE':
            case 'SUBSCRIBE_ALL':
              return { ...message, subscription, space: SPACE, credit: CREDIT_BYTES_MIN };
            default:
              return { ...message, subscription };
          }
        })
      : fc.constant<Message>(message),
  );
  const event: fc.Arbitrary<Timeless> = fc.oneof(
    { weight: 6, arbitrary: near.map((message): Timeless => ({ type: 'message', message })) },
    { weight: 1, arbitrary: someMessage.map((message): Timeless => ({ type: 'message', message })) },
    { weight: 1, arbitrary: fc.boolean().map((live): Timeless => ({ type: 'subscribe', request: request({ live, credit: 400 }) })) }, // prettier-ignore
    { weight: 4, arbitrary: fc.tuple(small, small).map(([subscription, position]): Timeless => ({ type: 'accepted', subscription, position })) }, // prettier-ignore
    { weight: 3, arbitrary: fc.tuple(small, small, fc.boolean()).map(([subscription, last, hit]): Timeless => ({ type: 'read', subscription, batch: hit ? { last, codec: 0, rawBytes: 9, data: new Uint8Array(9) } : null, digest: DIGEST })) }, // prettier-ignore
    { weight: 3, arbitrary: fc.constant<Timeless>({ type: 'advanced', space: SPACE }) },
    { weight: 1, arbitrary: small.map((subscription): Timeless => ({ type: 'rejected', subscription, error: new TidelogError('cursor-epoch') })) }, // prettier-ignore
    { weight: 1, arbitrary: small.map((subscription): Timeless => ({ type: 'unsubscribe', subscription })) },
    { weight: 2, arbitrary: fc.tuple(small, small).map(([subscription, last]): Timeless => ({ type: 'stored', subscription, last, bytes: 0 })) }, // prettier-ignore
    { weight: 1, arbitrary: fc.boolean().map((writable): Timeless => ({ type: 'writable', writable })) },
    { weight: 2, arbitrary: fc.constant<Timeless>({ type: 'greet', greeting: greeting() }) },
    { weight: 1, arbitrary: fc.constant<Timeless>({ type: 'pair', pair: { invite: null, name: 'phone' } }) },
    { weight: 1, arbitrary: fc.constant<Timeless>({ type: 'heard' }) },
    { weight: 1, arbitrary: fc.constant<Timeless>({ type: 'paired', paired: { space: SPACE, spaceName: '', role: 'writer' } }) }, // prettier-ignore
  );

  test('never throws, and ends closed or consistent', () => {
    const reached = { open: 0, closed: 0, pairing: 0, kept: 0 };
    fc.assert(
      fc.property(
        fc.constantFrom('known', 'greeted', 'greeted', 'stranger', 'pairing', 'greeted early'),
        fc.array(fc.tuple(event, fc.nat(6000)), { maxLength: 60, size: 'max' }),
        (begin, events) => {
          const host = new Host();
          host.do({ type: 'start', known: begin === 'known' || begin === 'greeted', greeting: greeting() });
          if (begin === 'greeted') host.hear(helloOf('b'));
          if (begin === 'pairing' || begin === 'greeted early')
            host.do({ type: 'pair', pair: { invite: null, name: 'phone' } });
          if (begin === 'greeted early') host.hear(helloOf('b'));
          for (const [drawn, ms] of events) {
            const before = host.state;
            // A host reads on from where it stands.
            const position = drawn.type === 'read' ? (before.outgoing.get(drawn.subscription)?.position ?? 0) : 0;
            const event =
              drawn.type === 'read' && drawn.batch
                ? { ...drawn, batch: { ...drawn.batch, last: position + drawn.batch.last } }
                : drawn;
            const frozen = JSON.stringify([...before.incoming, ...before.outgoing]);
            host.nowMs += ms;
            const effects = [...host.do(event), ...host.tick(0)];
            // A pure function: the state before is as it was.
            expect(JSON.stringify([...before.incoming, ...before.outgoing])).toBe(frozen);
            if (before.phase === 'closed') expect(effects).toEqual([]);
            const closes = effects.filter(({ type }) => type === 'close');
            expect(closes).toHaveLength(before.phase !== 'closed' && host.state.phase === 'closed' ? 1 : 0);
            if (closes.length > 0) expect(effects.at(-1)!.type).toBe('close');
            const { phase, outgoing, incoming } = host.state;
            if (phase === 'open') reached.open++;
            if (phase === 'closed') reached.closed++;
            if (phase === 'pairing') reached.pairing++;
            // Nobody goes back, and whoever is open has greeted and was greeted.
            expect(MAY_FOLLOW[before.phase]).toContain(phase);
            if (phase === 'open') expect(host.state).toMatchObject({ saidHello: true, remote: { type: 'HELLO' } });
            if (phase === 'stranger') expect(host.state.remote).toBeNull();
            if (phase === 'stranger' || phase === 'pairing') {
              expect([...outgoing]).toEqual([]);
              expect(host.state.saidHello).toBe(false);
            }
            // A HELLO that came early takes effect with the answer, and then only.
            const greeted = effects.filter(({ type }) => type === 'greeted');
            if (before.phase === 'pairing' && phase === 'pairing') expect(greeted).toEqual([]);
            if (before.phase === 'pairing' && event.type === 'greet') {
              expect(greeted).toEqual(before.remote ? [{ type: 'greeted', hello: before.remote }] : []);
              if (phase !== 'closed') expect(phase).toBe(before.remote ? 'open' : 'greeting');
              if (before.remote) reached.kept++;
            }
            for (const sent of sends(effects)) {
              // Whatever is sent can be read, and to strangers little is.
              expect(decodeMessage(encodeMessage(sent))).toEqual(sent);
              if ((before.phase === 'stranger' || before.phase === 'pairing') && event.type === 'message')
                expect(['ERROR', 'HEARTBEAT']).toContain(sent.type);
            }
            for (const [number, each] of incoming) {
              expect(each.subscription).toBe(number);
              expect(each.unacknowledged).toBeLessThanOrEqual(each.credit);
            }
            for (const [number, each] of outgoing) {
              expect(each.subscription).toBe(number);
              // Whoever reads was asked to, once.
              const asked = effects.filter((effect) => effect.type === 'read' && effect.subscription === number).length;
              const was = before.outgoing.get(number);
              if (asked > 0) expect([asked, each.stage]).toEqual([1, 'reading']);
              if (each.stage === 'reading' && was?.stage !== 'reading') expect(asked).toBe(1);
              // Nobody sleeps beside work that could be done.
              const isStuck = phase !== 'closed' && each.stage === 'idle' && each.more && host.state.writable && each.credit >= BATCH_DATA_BYTES_MAX && (each.live || !each.saidCaughtUp); // prettier-ignore
              expect(isStuck).toBe(false);
            }
          }
        },
      ),
      { numRuns: 500 },
    );
    expect(reached.open).toBeGreaterThan(500);
    expect(reached.closed).toBeGreaterThan(500);
    expect(reached.pairing).toBeGreaterThan(100);
    expect(reached.kept).toBeGreaterThan(5);
  });
});

test('ids are compared byte by byte', () => {
  const host = serving();
  host.do(nothing);
  const near = SPACE.with(31, SPACE[31]! ^ 1);
  expect(equal(near, SPACE)).toBe(false);
  expect(host.do({ type: 'advanced', space: near })).toEqual([]);
  expect(host.do({ type: 'advanced', space: SPACE.slice(0, 31) })).toEqual([]);
  expect(toHex(SPACE)).not.toBe(toHex(near));
});

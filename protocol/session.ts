/**
 * The session: what one end of a connection does, as a pure state machine. `step(state, event)` gives the next state and the effects that the
 * host carries out. No clock, no I/O, no randomness: times come in with events, and so does everything that needs a log.
 *
 *            ┌──► stranger ──PAIR comes, and the host says `greet`──┐
 *   start ───┤                                                      ├──► greeting ──HELLO──► open ──► closed
 *            ├──► pairing ───PAIRED comes, and the host says so ────┤
 *            └──────────────────── known ───────────────────────────┘
 *
 * A device that isn't known may say nothing but PAIR, and hears nothing but `not-paired`; it is `stranger` here. `pairing` is this side
 * when it has sent PAIR: the other may know it already and greet at once, which is kept until it has answered. Both ends are peers: each subscribes
 * to what it lacks. A subscription of ours is `incoming` (batches come in), one of theirs `outgoing`.
 *
 * Who counts what. Sender: `credit` falls by the bytes of each BATCH and rises by each ACK; it reads from its log only while the
 * largest batch would fit. Receiver: `unacknowledged` rises by each BATCH and falls when the host says `stored`; a batch that passes the credit
 * it gave is the sender's fault.
 */
import { equal } from './bytes.ts';
import {
  BATCH_DATA_BYTES_MAX,
  BATCH_RAW_BYTES_MAX,
  CREDIT_BYTES_MAX,
  CREDIT_BYTES_MIN,
  FORKS_PER_CONNECTION_MAX,
  HANDSHAKE_TIMEOUT_MS,
  HEARTBEAT_EVERY_MS,
  MESSAGE_BYTES_MAX,
  PROTOCOL_VERSION,
  SILENCE_MAX_MS,
  SUBSCRIPTIONS_MAX,
} from './constants.ts';
import { TidelogError } from './errors.ts';
import {
  errorOf,
  faultOf,
  type BatchMessage,
  type Fault,
  type Filter,
  type Hello,
  type Message,
  type Pair,
  type Paired,
  type SpaceState,
  type StartsFrom,
} from './messages.ts';

export type Phase = 'stranger' | 'pairing' | 'greeting' | 'open' | 'closed';

/** A subscription of ours: batches come in. */
export interface Incoming {
  readonly subscription: number;
  readonly space: Uint8Array;
  readonly filter: Filter | null;
  /** Cursor in their log after the last batch that came; null before the first of a vector, which begins where they say. */
  readonly cursor: number | null;
  /** Bytes that came and that the host hasn't stored yet. */
  readonly unacknowledged: number;
  /** Bytes that we allow to be unacknowledged. */
  readonly credit: number;
  /** Cursor up to which the host has stored. */
  readonly stored: number;
  /** A CAUGHT_UP that waits until what came before it, up to `after`, is stored. */
  readonly pendingCaughtUp: { readonly after: number; readonly last: number; readonly digest: Uint8Array } | null;
}

/** A subscription of theirs: batches go out. */
export interface Outgoing {
  readonly subscription: number;
  readonly space: Uint8Array;
  readonly live: boolean;
  /** `opening` until the host has judged starts-from. */
  readonly stage: 'opening' | 'idle' | 'reading';
  /** Cursor in our log after the last batch that was sent. */
  readonly position: number;
  /** Cursor up to which they have stored. */
  readonly acked: number;
  /** Bytes that may still go out. */
  readonly credit: number;
  /** Could there be something after `position`? While `reading`: something that the reader may not see, because it came since. */
  readonly more: boolean;
  readonly saidCaughtUp: boolean;
}

export interface SessionState {
  readonly phase: Phase;
  readonly saidHello: boolean;
  /** Has a stranger said that it wants to pair? */
  readonly asked: boolean;
  /** The last HELLO of the other side. */
  readonly remote: Hello | null;
  readonly incoming: ReadonlyMap<number, Incoming>;
  readonly outgoing: ReadonlyMap<number, Outgoing>;
  readonly nextSubscription: number;
  /** FORKs that came. */
  readonly forks: number;
  /** Does the socket take more at the moment? */
  readonly writable: boolean;
  /** When the time for HELLOs began. */
  readonly startedMs: number;
  readonly sentMs: number;
  readonly receivedMs: number;
}

export interface SubscribeRequest {
  readonly space: Uint8Array;
  readonly from: StartsFrom;
  readonly filter: Filter | null;
  readonly live: boolean;
  readonly credit: number;
}

/** What we say of ourselves; version and limits are the protocol's. */
export type Greeting = Pick<Hello, 'name' | 'agent' | 'capabilities' | 'spaces' | 'time'>;

export type SessionEvent =
  | { readonly type: 'start'; readonly known: boolean; readonly greeting: Greeting; readonly nowMs: number }
  /** The device became known (paired, approved), or what we share with it changed. */
  | { readonly type: 'greet'; readonly greeting: Greeting; readonly nowMs: number }
  | { readonly type: 'message'; readonly message: Message; readonly nowMs: number }
  /** A message of an unknown even type, or a part of a long one: a sign of life. */
  | { readonly type: 'heard'; readonly nowMs: number }
  | { readonly type: 'subscribe'; readonly request: SubscribeRequest; readonly nowMs: number }
  | { readonly type: 'unsubscribe'; readonly subscription: number; readonly nowMs: number }
  /** Answers to the effect `open`. */
  | { readonly type: 'accepted'; readonly subscription: number; readonly position: number; readonly nowMs: number }
  | { readonly type: 'rejected'; readonly subscription: number; readonly error: TidelogError; readonly nowMs: number }
  /** Answer to the effect `read`. `batch` is null at the head of the log. */
  | {
      readonly type: 'read';
      readonly subscription: number;
      readonly batch: OutgoingBatch | null;
      readonly digest: Uint8Array | null;
      readonly nowMs: number;
    }
  /** Our log grew. */
  | { readonly type: 'advanced'; readonly space: Uint8Array; readonly nowMs: number }
  /** A batch that came in is on disk. */
  | {
      readonly type: 'stored';
      readonly subscription: number;
      readonly last: number;
      readonly bytes: number;
      readonly nowMs: number;
    }
  | { readonly type: 'writable'; readonly writable: boolean; readonly nowMs: number }
  /** Forks that we know of. */
  | {
      readonly type: 'tellForks';
      readonly space: Uint8Array;
      readonly proofs: readonly Uint8Array[];
      readonly nowMs: number;
    }
  | { readonly type: 'pair'; readonly pair: Omit<Pair, 'type'>; readonly nowMs: number }
  | { readonly type: 'paired'; readonly paired: Omit<Paired, 'type'>; readonly nowMs: number }
  | { readonly type: 'refuse'; readonly error: TidelogError; readonly nowMs: number }
  | {
      readonly type: 'tick';
      readonly spaces: () => readonly SpaceState[];
      readonly timeUs: number;
      readonly nowMs: number;
    }
  /** Ours to end: with an error, which is told to the other side, or without. */
  | { readonly type: 'close'; readonly error: TidelogError | null; readonly nowMs: number };

export interface OutgoingBatch {
  readonly last: number;
  readonly codec: BatchMessage['codec'];
  readonly rawBytes: number;
  readonly data: Uint8Array;
}

export type Effect =
  | { readonly type: 'send'; readonly message: Message }
  /** The other side greeted, for the first time or again. */
  | { readonly type: 'greeted'; readonly hello: Hello }
  | {
      readonly type: 'open';
      readonly subscription: number;
      readonly space: Uint8Array;
      readonly from: StartsFrom;
      readonly filter: Filter | null;
    }
  | { readonly type: 'drop'; readonly subscription: number }
  | { readonly type: 'read'; readonly subscription: number; readonly space: Uint8Array; readonly after: number }
  | {
      readonly type: 'ingest';
      readonly subscription: number;
      readonly space: Uint8Array;
      readonly filter: Filter | null;
      readonly batch: BatchMessage;
    }
  | {
      readonly type: 'caughtUp';
      readonly subscription: number;
      readonly space: Uint8Array;
      readonly last: number;
      readonly digest: Uint8Array;
    }
  | { readonly type: 'acked'; readonly subscription: number; readonly space: Uint8Array; readonly last: number }
  /** A subscription of ours ended. */
  | { readonly type: 'ended'; readonly subscription: number; readonly space: Uint8Array; readonly fault: Fault | null }
  | { readonly type: 'heads'; readonly spaces: readonly SpaceState[]; readonly timeUs: number }
  | { readonly type: 'fork'; readonly space: Uint8Array; readonly proof: Uint8Array }
  | { readonly type: 'pairRequest'; readonly pair: Pair }
  | { readonly type: 'pairAnswer'; readonly answer: Paired | { readonly type: 'REFUSED'; readonly fault: Fault } }
  /** The connection is to be closed, after what was sent has left. Nothing is accepted afterwards. */
  | { readonly type: 'close'; readonly error: TidelogError | null; readonly remote: boolean };

export type Step = readonly [state: SessionState, effects: readonly Effect[]];

export function newSession(nowMs: number): SessionState {
  return {
    phase: 'stranger',
    saidHello: false,
    asked: false,
    remote: null,
    incoming: new Map(),
    outgoing: new Map(),
    nextSubscription: 1,
    forks: 0,
    writable: true,
    startedMs: nowMs,
    sentMs: nowMs,
    receivedMs: nowMs,
  };
}

/** Never throws: a fault of the other side becomes an ERROR to it and a `close`. */
export function step(state: SessionState, event: SessionEvent): Step {
  if (state.phase === 'closed') return [state, []];
  try {
    const [next, effects] = transition(state, event);
    return [effects.some(({ type }) => type === 'send') ? { ...next, sentMs: event.nowMs } : next, effects];
  } catch (thrown) {
    if (!(thrown instanceof TidelogError)) throw thrown;
    return closeWith(state, thrown);
  }
}

function transition(state: SessionState, event: SessionEvent): Step {
  switch (event.type) {
    case 'start':
      return event.known ? greet({ ...state, phase: 'greeting' }, event.greeting) : [state, []];
    case 'greet':
      return onGreet(state, event);
    case 'message':
      return onMessage({ ...state, receivedMs: event.nowMs }, event.message);
    case 'heard':
      return [{ ...state, receivedMs: event.nowMs }, []];
    case 'subscribe':
      return subscribe(state, event.request);
    case 'unsubscribe':
      return unsubscribe(state, event.subscription);
    case 'accepted':
      return updateOutgoing(state, event.subscription, (outgoing) => ({
        ...outgoing,
        stage: 'idle',
        position: event.position,
        acked: event.position,
        more: true,
      }));
    case 'rejected':
      return endOutgoing(state, event.subscription, faultOf(event.error));
    case 'read':
      return onRead(state, event.subscription, event.batch, event.digest);
    case 'advanced':
      return onAdvanced(state, event.space);
    case 'stored':
      return onStored(state, event.subscription, event.last, event.bytes);
    case 'writable':
      return event.writable ? readWhatCanBeSent({ ...state, writable: true }) : [{ ...state, writable: false }, []];
    case 'tellForks':
      // Whoever hasn't been greeted is told when it is.
      if (state.phase !== 'open' || !state.saidHello) return [state, []];
      return [state, event.proofs.map((proof) => send({ type: 'FORK', space: event.space, proof }))];
    case 'pair':
      return [
        state.phase === 'stranger' ? { ...state, phase: 'pairing' } : state,
        [send({ type: 'PAIR', ...event.pair })],
      ];
    case 'paired':
      return [state, [send({ type: 'PAIRED', ...event.paired })]];
    case 'refuse':
      return [state, [send({ type: 'REFUSED', fault: faultOf(event.error) })]];
    case 'tick':
      return onTick(state, event);
    case 'close':
      return event.error
        ? closeWith(state, event.error)
        : [{ ...state, phase: 'closed' }, [{ type: 'close', error: null, remote: false }]];
  }
}

function send(message: Message): Effect {
  return { type: 'send', message };
}

function closeWith(state: SessionState, error: TidelogError): Step {
  return [
    { ...state, phase: 'closed' },
    [send({ type: 'ERROR', fault: faultOf(error) }), { type: 'close', error, remote: false }],
  ];
}

// ---- greeting

function greet(state: SessionState, greeting: Greeting): Step {
  const hello: Hello = {
    type: 'HELLO',
    version: PROTOCOL_VERSION,
    ...greeting,
    limits: { message: MESSAGE_BYTES_MAX, batch: BATCH_RAW_BYTES_MAX },
  };
  return [{ ...state, saidHello: true }, [send(hello)]];
}

/** One that was let in may have waited long for a person: the time for HELLOs begins here. */
function onGreet(state: SessionState, { greeting, nowMs }: Extract<SessionEvent, { type: 'greet' }>): Step {
  if (state.phase !== 'stranger' && state.phase !== 'pairing') return greet(state, greeting);
  const [greeted, effects] = greet({ ...state, phase: 'greeting', startedMs: nowMs }, greeting);
  if (greeted.remote === null) return [greeted, effects];
  const [open, more] = onHello(greeted, greeted.remote);
  return [open, [...effects, ...more]];
}

function onMessage(state: SessionState, message: Message): Step {
  if (message.type === 'ERROR') {
    return [{ ...state, phase: 'closed' }, [{ type: 'close', error: errorOf(message.fault), remote: true }]];
  }
  // Whoever asks to pair is answered by us first (PAIRED, REFUSED), and greets with HELLO once the answer is yes.
  switch (message.type) {
    case 'PAIR':
      return [{ ...state, asked: true }, [{ type: 'pairRequest', pair: message }]];
    case 'PAIRED':
    case 'REFUSED':
      return [state, [{ type: 'pairAnswer', answer: message }]];
    case 'HEARTBEAT':
      return [state, state.phase === 'open' ? [{ type: 'heads', spaces: message.spaces, timeUs: message.time }] : []];
    case 'HELLO':
      return onHello(state, message);
  }
  if (state.phase === 'stranger') throw new TidelogError('not-paired');
  if (state.phase !== 'open') throw new TidelogError('bad-message', `${message.type} came before HELLO`);
  switch (message.type) {
    case 'SUBSCRIBE_ALL':
    case 'SUBSCRIBE':
      return onSubscribe(state, message);
    case 'BATCH':
      return onBatch(state, message);
    case 'CAUGHT_UP':
      return onCaughtUp(state, message);
    case 'ACK':
      return onAck(state, message);
    case 'UNSUBSCRIBE':
      return endOutgoing(state, message.subscription, null);
    case 'UNSUBSCRIBED':
      return onUnsubscribed(state, message.subscription, message.fault);
    case 'FORK':
      return onFork(state, message);
  }
}

function onHello(state: SessionState, hello: Hello): Step {
  if (state.phase === 'stranger') throw new TidelogError('not-paired');
  if (state.phase === 'pairing') return [{ ...state, remote: hello }, []];
  return [{ ...state, phase: 'open', remote: hello }, [{ type: 'greeted', hello }]];
}

// ---- what comes in: our subscriptions

function subscribe(state: SessionState, request: SubscribeRequest): Step {
  const subscription = state.nextSubscription;
  const { space, from, live, credit, filter } = request;
  const cursor = from.kind === 'cursor' ? from.seq : from.kind === 'all' ? 0 : null;
  const incoming: Incoming = {
    subscription,
    space,
    filter,
    cursor,
    unacknowledged: 0,
    credit,
    stored: cursor ?? 0,
    pendingCaughtUp: null,
  };
  const common = { subscription, space, from, live, credit };
  return [
    { ...state, nextSubscription: subscription + 1, incoming: new Map(state.incoming).set(subscription, incoming) },
    [send(filter ? { type: 'SUBSCRIBE', ...common, filter } : { type: 'SUBSCRIBE_ALL', ...common })],
  ];
}

function unsubscribe(state: SessionState, subscription: number): Step {
  if (!state.incoming.has(subscription)) return [state, []];
  // It stays in the map until UNSUBSCRIBED: batches that are under way still come, and are still taken.
  return [state, [send({ type: 'UNSUBSCRIBE', subscription })]];
}

function ours(state: SessionState, subscription: number, what: string): Incoming {
  const incoming = state.incoming.get(subscription);
  if (!incoming) throw new TidelogError('bad-message', `${what} for subscription ${subscription}, which is not ours`);
  return incoming;
}

function onBatch(state: SessionState, batch: BatchMessage): Step {
  const incoming = ours(state, batch.subscription, 'BATCH');
  if (incoming.cursor !== null && batch.prev !== incoming.cursor) {
    throw new TidelogError(
      'cursor-mismatch',
      `the batch begins at ${batch.prev}, the last one ended at ${incoming.cursor}`,
    );
  }
  const unacknowledged = incoming.unacknowledged + batch.data.length;
  if (unacknowledged > incoming.credit) {
    throw new TidelogError('credit-exceeded', `${unacknowledged} bytes are out, ${incoming.credit} were allowed`);
  }
  const next = { ...incoming, cursor: batch.last, unacknowledged };
  return [
    withIncoming(state, next),
    [{ type: 'ingest', subscription: incoming.subscription, space: incoming.space, filter: incoming.filter, batch }],
  ];
}

function onCaughtUp(
  state: SessionState,
  { subscription, last, digest }: Extract<Message, { type: 'CAUGHT_UP' }>,
): Step {
  const incoming = ours(state, subscription, 'CAUGHT_UP');
  const { cursor, pendingCaughtUp } = incoming;
  if (last < (cursor ?? 0))
    throw new TidelogError('cursor-mismatch', `CAUGHT_UP at ${last}, after a batch that ended at ${cursor}`);
  const after = pendingCaughtUp?.last === cursor ? pendingCaughtUp.after : (cursor ?? 0);
  return settleCaughtUp(state, { ...incoming, cursor: last, pendingCaughtUp: { after, last, digest } });
}

function onStored(state: SessionState, subscription: number, last: number, bytes: number): Step {
  const incoming = state.incoming.get(subscription);
  if (!incoming) return [state, []];
  const next = { ...incoming, stored: last, unacknowledged: incoming.unacknowledged - bytes };
  const [settled, effects] = settleCaughtUp(state, next);
  return [settled, [send({ type: 'ACK', subscription, last, credit: bytes }), ...effects]];
}

/** CAUGHT_UP takes effect, and is acknowledged, once all that came before it is stored; what came since may still be under way. */
function settleCaughtUp(state: SessionState, incoming: Incoming): Step {
  const { pendingCaughtUp, subscription, space, stored } = incoming;
  if (pendingCaughtUp === null || stored < pendingCaughtUp.after) return [withIncoming(state, incoming), []];
  const { last, digest } = pendingCaughtUp;
  const effects: Effect[] = [{ type: 'caughtUp', subscription, space, last, digest }];
  if (last > stored) effects.unshift(send({ type: 'ACK', subscription, last, credit: 0 }));
  return [withIncoming(state, { ...incoming, stored: Math.max(stored, last), pendingCaughtUp: null }), effects];
}

function onUnsubscribed(state: SessionState, subscription: number, fault: Fault | null): Step {
  const { space } = ours(state, subscription, 'UNSUBSCRIBED');
  const incoming = new Map(state.incoming);
  incoming.delete(subscription);
  return [{ ...state, incoming }, [{ type: 'ended', subscription, space, fault }]];
}

function withIncoming(state: SessionState, incoming: Incoming): SessionState {
  return { ...state, incoming: new Map(state.incoming).set(incoming.subscription, incoming) };
}

function onFork(state: SessionState, { space, proof }: Extract<Message, { type: 'FORK' }>): Step {
  const forks = state.forks + 1;
  if (forks > FORKS_PER_CONNECTION_MAX)
    throw new TidelogError('too-many', `${FORKS_PER_CONNECTION_MAX} forks have been told of on this connection`);
  return [{ ...state, forks }, [{ type: 'fork', space, proof }]];
}

// ---- what goes out: their subscriptions

function onSubscribe(state: SessionState, message: Extract<Message, { type: 'SUBSCRIBE' | 'SUBSCRIBE_ALL' }>): Step {
  const { subscription, space, from, live, credit } = message;
  if (state.outgoing.has(subscription)) throw new TidelogError('bad-message', `subscription ${subscription} is in use`);
  if (credit < CREDIT_BYTES_MIN)
    throw new TidelogError('bad-message', `a credit of ${credit} bytes; the least is ${CREDIT_BYTES_MIN}`);
  if (state.outgoing.size >= SUBSCRIPTIONS_MAX)
    throw new TidelogError('too-many', `${SUBSCRIPTIONS_MAX} subscriptions are open`);
  const outgoing: Outgoing = {
    subscription,
    space,
    live,
    stage: 'opening',
    position: 0,
    acked: 0,
    credit,
    more: false,
    saidCaughtUp: false,
  };
  const filter = message.type === 'SUBSCRIBE' ? message.filter : null;
  return [withOutgoing(state, outgoing), [{ type: 'open', subscription, space, from, filter }]];
}

/** Changes a subscription of theirs, if it is still there, and reads on where that makes it possible. */
function updateOutgoing(state: SessionState, subscription: number, change: (outgoing: Outgoing) => Outgoing): Step {
  const outgoing = state.outgoing.get(subscription);
  return outgoing ? readOn(state, change(outgoing)) : [state, []];
}

/** Reads only what can be sent: the socket takes more, and the credit would let the largest batch through. */
function readOn(state: SessionState, outgoing: Outgoing): Step {
  const mayRead =
    outgoing.stage === 'idle' &&
    outgoing.more &&
    (outgoing.live || !outgoing.saidCaughtUp) &&
    state.writable &&
    outgoing.credit >= BATCH_DATA_BYTES_MAX;
  if (!mayRead) return [withOutgoing(state, outgoing), []];
  const { subscription, space, position } = outgoing;
  return [
    withOutgoing(state, { ...outgoing, stage: 'reading', more: false }),
    [{ type: 'read', subscription, space, after: position }],
  ];
}

function readWhatCanBeSent(state: SessionState): Step {
  let next = state;
  const effects: Effect[] = [];
  for (const outgoing of state.outgoing.values()) {
    const [after, more] = readOn(next, outgoing);
    next = after;
    effects.push(...more);
  }
  return [next, effects];
}

function onRead(
  state: SessionState,
  subscription: number,
  batch: OutgoingBatch | null,
  digest: Uint8Array | null,
): Step {
  const outgoing = state.outgoing.get(subscription);
  if (!outgoing) return [state, []];
  if (batch !== null) {
    const { last, codec, rawBytes, data } = batch;
    const message: BatchMessage = { type: 'BATCH', subscription, prev: outgoing.position, last, codec, rawBytes, data };
    const [next, effects] = readOn(state, {
      ...outgoing,
      stage: 'idle',
      position: last,
      credit: outgoing.credit - data.length,
      more: true,
    });
    return [next, [send(message), ...effects]];
  }
  // At the head, unless the log grew while the host was reading.
  if (outgoing.more) return readOn(state, { ...outgoing, stage: 'idle' });
  const effects: Effect[] = [];
  if (!outgoing.saidCaughtUp && digest !== null) {
    effects.push(send({ type: 'CAUGHT_UP', subscription, last: outgoing.position, digest }));
  }
  const [next, more] = endIfDone(state, { ...outgoing, stage: 'idle', saidCaughtUp: true });
  return [next, [...effects, ...more]];
}

/** One that isn't live ends when all of it is on their disk: sooner, and they would be told of the end before they had stored what came before it. */
function endIfDone(state: SessionState, outgoing: Outgoing): Step {
  const { live, saidCaughtUp, acked, position, subscription } = outgoing;
  if (live || !saidCaughtUp || acked < position) return readOn(state, outgoing);
  return endOutgoing(state, subscription, null);
}

function onAdvanced(state: SessionState, space: Uint8Array): Step {
  let next = state;
  const effects: Effect[] = [];
  for (const outgoing of state.outgoing.values()) {
    if (!equal(outgoing.space, space)) continue;
    const [after, more] = readOn(next, { ...outgoing, more: true });
    next = after;
    effects.push(...more);
  }
  return [next, effects];
}

function onAck(state: SessionState, { subscription, last, credit }: Extract<Message, { type: 'ACK' }>): Step {
  const outgoing = state.outgoing.get(subscription);
  // It may have ended while the ACK was under way.
  if (!outgoing) return [state, []];
  if (last < outgoing.acked || last > outgoing.position) {
    throw new TidelogError(
      'bad-message',
      `ACK of ${last}; the last was ${outgoing.acked}, and ${outgoing.position} has been sent`,
    );
  }
  if (outgoing.credit + credit > CREDIT_BYTES_MAX)
    throw new TidelogError('bad-message', 'the credit is larger than any peer may give');
  const [next, effects] = endIfDone(state, { ...outgoing, acked: last, credit: outgoing.credit + credit });
  return [next, [{ type: 'acked', subscription, space: outgoing.space, last }, ...effects]];
}

function endOutgoing(state: SessionState, subscription: number, fault: Fault | null): Step {
  if (!state.outgoing.has(subscription)) {
    // UNSUBSCRIBE may cross an UNSUBSCRIBED of ours.
    return [state, []];
  }
  const outgoing = new Map(state.outgoing);
  outgoing.delete(subscription);
  return [
    { ...state, outgoing },
    [send({ type: 'UNSUBSCRIBED', subscription, fault }), { type: 'drop', subscription }],
  ];
}

function withOutgoing(state: SessionState, outgoing: Outgoing): SessionState {
  return { ...state, outgoing: new Map(state.outgoing).set(outgoing.subscription, outgoing) };
}

// ---- time

function onTick(state: SessionState, { nowMs, timeUs, spaces }: Extract<SessionEvent, { type: 'tick' }>): Step {
  const isGreeted = state.phase === 'open' && state.saidHello;
  if (nowMs - state.startedMs > HANDSHAKE_TIMEOUT_MS) {
    // Signs of life alone must not hold a connection open for a stranger.
    if (state.phase === 'stranger' && !state.asked) throw new TidelogError('not-paired');
    if (state.phase === 'greeting' || (state.phase === 'open' && !state.saidHello))
      throw new TidelogError('timeout', 'no HELLO came');
  }
  if (nowMs - state.receivedMs > SILENCE_MAX_MS)
    throw new TidelogError('timeout', `nothing came for ${SILENCE_MAX_MS / 1000} s`);
  if (nowMs - state.sentMs < HEARTBEAT_EVERY_MS) return [state, []];
  // A stranger, also one that waits for a person's approval, is told nothing but that the line is alive.
  return [state, [send({ type: 'HEARTBEAT', spaces: isGreeted ? spaces() : [], time: isGreeted ? timeUs : 0 })]];
}

/**
 * One connection: the host of a session. It turns a transport's bytes into the session's events and carries out its effects;
 * what to say and when is decided in protocol/session.ts alone. Effects that concern a log go to following.ts (theirs) and followers.ts (ours).
 */
import { equal, toHex } from '../protocol/bytes.ts';
import { Channel } from '../protocol/channel.ts';
import type { KeyPair } from '../protocol/crypto.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import { asTidelogError, ERRORS, TidelogError } from '../protocol/errors.ts';
import {
  decodeMessage,
  encodeMessage,
  type Hello,
  type Message,
  type Pair,
  type Paired,
  type SpaceState,
} from '../protocol/messages.ts';
import { pairDigits } from '../protocol/pair-link.ts';
import {
  newSession,
  step,
  type Effect,
  type Greeting,
  type SessionEvent,
  type SessionState,
} from '../protocol/session.ts';
import { countRefusal, type Counters } from './counters.ts';
import { Followers, type FollowersHost } from './followers.ts';
import { Following, type FollowingHost } from './following.ts';
import type { Platform } from './platform.ts';
import type { Space } from './space.ts';
import type { Transport } from './transport.ts';
import { Signal } from './signal.ts';
import { Inbox } from './turns.ts';

/** What a connection asks of the peer that it belongs to. */
export interface ConnectionHost {
  readonly platform: Platform;
  readonly keys: KeyPair;
  readonly noiseKeys: KeyPair;
  readonly counters: Counters;
  readonly capabilities: readonly string[];
  readonly agent: string;
  /** What this device calls itself. */
  name(): string;
  space(id: Uint8Array): Space | null;
  /** Spaces that this device and the other are members of, by our logs. */
  sharedWith(device: Uint8Array): Space[];
  /** Is it paired, or awaited? */
  isKnown(device: Uint8Array): boolean;
  isRevoked(device: Uint8Array): boolean;
  /** May others bring so many bytes more? */
  hasRoom(bytes: number): boolean;
  /** So many bytes are on their way into a log; negative: they are there, or let go. */
  arriving(bytes: number): void;
  onEstablished(connection: Connection): void;
  /** A space that the other side offers and that isn't here: taken, or null. */
  adopt(device: Uint8Array, space: SpaceState): Promise<Space | null>;
  onPairRequest(connection: Connection, pair: Pair): Promise<void>;
  onClosed(connection: Connection, error: TidelogError | null): void;
}

/** Why a connection was opened. */
export type Intent =
  | { readonly kind: 'sync' }
  | {
      readonly kind: 'pair';
      /** The proof over this connection's handshake; null to ask for a person's approval. */
      readonly invite: ((handshakeHash: Uint8Array) => { id: Uint8Array; proof: Uint8Array }) | null;
      onDigits(digits: string): void;
      onPending(): void;
      onAnswer(answer: Paired | TidelogError): Promise<void>;
    };

/** Bytes in the socket's buffer above which nothing more is read for it, and below which reading goes on. */
const BUFFERED_HIGH_BYTES = 1024 * 1024;
const BUFFERED_LOW_BYTES = 256 * 1024;
/** Whoever makes this side answer and reads no answers is let go. Above what the batches of many subscriptions may take at once. */
const BUFFERED_MAX_BYTES = 16 * 1024 * 1024;
/** Messages that may wait while a pairing is being decided. */
const INBOX_MAX = 256;

export class Connection {
  readonly initiator: boolean;
  readonly address: string;
  readonly openedMs: number;
  readonly #host: ConnectionHost;
  readonly #transport: Transport;
  readonly #channel: Channel;
  readonly #intent: Intent;
  #session: SessionState;
  /** Events that came up while one is being handled. */
  readonly #events: SessionEvent[] = [];
  #stepping = false;
  /** Messages that wait for a pairing to be decided. */
  readonly #inbox: Message[] = [];
  #deciding = false;
  /** PAIRED came: an answer that comes behind it is to nothing. */
  #letIn = false;
  readonly #following: Following;
  readonly #followers: Followers;
  /** Spaces (hex) that our last HELLO named. */
  #offered = new Set<string>();
  /** Spaces (hex) of which they were told all forks that were known then. */
  readonly #toldForksOf = new Set<string>();
  readonly #progress = new Signal();
  /** What the line brings, in turns with others'. */
  readonly #arrivals: Inbox;
  #closed = false;
  #error: TidelogError | null = null;
  lastHeardMs: number;
  bytesIn = 0;
  bytesOut = 0;

  constructor(
    host: ConnectionHost,
    transport: Transport,
    options: { initiator: boolean; intent: Intent; expectedDevices?: readonly Uint8Array[] | undefined },
  ) {
    const { platform, keys, noiseKeys } = host;
    this.#host = host;
    this.#transport = transport;
    this.#intent = options.intent;
    this.initiator = options.initiator;
    this.address = transport.remoteAddress;
    this.openedMs = platform.nowMs();
    this.lastHeardMs = this.openedMs;
    this.#session = newSession(this.openedMs);
    this.#channel = new Channel({
      initiator: options.initiator,
      crypto: platform.crypto,
      random: platform.random,
      deviceKeys: keys,
      noiseKeys,
      expectedDevices: options.expectedDevices,
    });
    this.#arrivals = new Inbox(platform, (bytes) => this.#onBytes(bytes));
    const hostOfHalves = this.#makeHost();
    this.#followers = new Followers(hostOfHalves);
    this.#following = new Following(hostOfHalves);
  }

  /** What its two halves ask of this connection. */
  #makeHost(): FollowingHost & FollowersHost {
    const host = this.#host;
    return {
      counters: host.counters,
      device: () => this.device,
      closed: () => this.#closed,
      remote: () => this.remote,
      hasRoom: (bytes) => host.hasRoom(bytes),
      arriving: (bytes) => host.arriving(bytes),
      nowMs: () => this.#nowMs(),
      nowUs: () => host.platform.nowUs(),
      after: (ms, call) => host.platform.after(ms, call),
      turn: () => host.platform.turn(),
      space: (id) => host.space(id),
      adopt: (offered) => host.adopt(this.device, offered),
      dispatch: (event) => this.#dispatch(event),
      tellForks: (space) => this.#tellForks(space),
      later: (work) => this.#later(work),
      hasAlready: (space, entries) => this.#followers.hasAlready(space, entries),
      progressed: () => this.#progress.notify(),
    };
  }

  start(): void {
    this.#transport.start({
      onMessage: (bytes) => this.#onArrival(bytes),
      onDrain: () => this.#onDrain(),
      // What came before it may say why.
      onClose: () => this.#arrivals.afterwards(() => this.#end(null)),
    });
    const first = this.#channel.start();
    if (first) this.#sendBytes(first);
  }

  // ---- what it is

  get established(): boolean {
    return this.#channel.established;
  }
  get closed(): boolean {
    return this.#closed;
  }
  /** The other side's key; only once established. */
  get device(): Uint8Array {
    return this.#channel.remoteDevice;
  }
  get deviceId(): string {
    return formatDeviceId(this.device);
  }
  get remote(): Hello | null {
    return this.#session.remote;
  }
  get handshakeHash(): Uint8Array {
    return this.#channel.handshakeHash;
  }
  /** Six digits that both sides show. */
  get digits(): string {
    return pairDigits(this.#host.platform.crypto, this.handshakeHash);
  }

  /** Their clock less ours, ms. */
  get clockSkewMs(): number | null {
    return this.#following.clockSkewMs;
  }
  /** Space (hex) → the last that they said of their log. */
  get remoteHeads(): ReadonlyMap<string, SpaceState> {
    return this.#following.heads;
  }

  /** Where we are in their log of a space. */
  cursorIn(space: Space): number {
    for (const incoming of this.#session.incoming.values()) if (equal(incoming.space, space.id)) return incoming.stored;
    return 0;
  }

  hasCaughtUp(space: Space): boolean {
    return this.#following.hasCaughtUp(space.hex);
  }

  /** Of their spaces some aren't taken in any further: there is no room for more. */
  get isFull(): boolean {
    return this.#following.fullSpaces > 0;
  }

  /** Resolves once both sides have greeted; throws what ended the connection before. */
  async greeted(signal?: AbortSignal): Promise<void> {
    const isDone = (): boolean => {
      if (this.#closed) throw this.#error ?? new TidelogError('unreachable', 'the connection ended');
      return this.#session.phase === 'open' && this.#session.saidHello;
    };
    await this.#progress.until(isDone, signal);
  }

  /**
   * Resolves once we have all that they have, in every space that we follow there; throws what ended the connection, `quota-exceeded`, and why they
   * refuse to be followed.
   */
  async caughtUp(options: { space?: Space; signal?: AbortSignal } = {}): Promise<void> {
    const isDone = (): boolean => {
      if (this.#closed) throw this.#error ?? new TidelogError('closed');
      if (options.space && this.#following.isFull(options.space.hex)) throw new TidelogError('quota-exceeded');
      if (options.space) {
        const refusal = this.#following.refusal(options.space.hex);
        if (refusal && !this.hasCaughtUp(options.space)) throw refusal;
        return this.hasCaughtUp(options.space);
      }
      if (this.isFull) throw new TidelogError('quota-exceeded');
      const followed = [...this.#session.incoming.values()].map(({ space }) => toHex(space));
      if (followed.length === 0 && this.#following.anyRefusal) throw this.#following.anyRefusal;
      return followed.length > 0 && followed.every((hex) => this.#following.hasCaughtUp(hex));
    };
    await this.#progress.until(isDone, options.signal);
  }

  // ---- bytes in and out

  #onArrival(bytes: Uint8Array): void {
    if (this.#closed || this.#arrivals.push(bytes)) return;
    this.#fail(new TidelogError('too-many', 'messages come faster than they can be dealt with'));
  }

  #onBytes(bytes: Uint8Array): void {
    if (this.#closed) return;
    this.bytesIn += bytes.length;
    this.#host.counters.bytesIn += bytes.length;
    this.lastHeardMs = this.#host.platform.nowMs();
    const wasEstablished = this.#channel.established;
    try {
      const { send, message, established } = this.#channel.receive(bytes);
      for (const part of send) this.#sendBytes(part);
      if (established && !wasEstablished) this.#onEstablished();
      if (message) this.#onMessage(message);
      else if (wasEstablished) this.#dispatch({ type: 'heard', nowMs: this.lastHeardMs });
    } catch (thrown) {
      const error = asTidelogError(thrown);
      if (!wasEstablished) this.#host.counters.handshakesFailed++;
      this.#fail(error);
    }
  }

  #sendBytes(bytes: Uint8Array): void {
    this.bytesOut += bytes.length;
    this.#host.counters.bytesOut += bytes.length;
    this.#transport.send(bytes);
    // Not thrown: whoever sends is in the middle of something, and the end is the same.
    if (this.#transport.bufferedBytes > BUFFERED_MAX_BYTES)
      this.#end(new TidelogError('too-many', 'bytes wait for a reader that takes none'));
  }

  #send(message: Message): void {
    if (this.#closed || !this.#channel.established) return;
    for (const frame of this.#channel.seal(encodeMessage(message))) this.#sendBytes(frame);
    if (message.type === 'BATCH') this.#host.counters.batchesOut++;
    if (this.#session.writable && this.#transport.bufferedBytes > BUFFERED_HIGH_BYTES) {
      this.#dispatch({ type: 'writable', writable: false, nowMs: this.#nowMs() });
    }
  }

  #onDrain(): void {
    if (!this.#session.writable && this.#transport.bufferedBytes < BUFFERED_LOW_BYTES) {
      this.#dispatch({ type: 'writable', writable: true, nowMs: this.#nowMs() });
    }
  }

  #nowMs(): number {
    return this.#host.platform.nowMs();
  }

  // ---- the session

  #onEstablished(): void {
    const { host, device } = { host: this.#host, device: this.device };
    if (equal(device, host.keys.public)) throw new TidelogError('self-connect');
    if (host.isRevoked(device)) throw new TidelogError('device-revoked');
    host.onEstablished(this);
    const nowMs = this.#nowMs();
    if (this.#intent.kind === 'pair') {
      const { invite, onDigits } = this.#intent;
      onDigits(this.digits);
      this.#dispatch({ type: 'start', known: false, greeting: this.#greeting(), nowMs });
      this.#dispatch({
        type: 'pair',
        pair: { invite: invite?.(this.handshakeHash) ?? null, name: host.name() },
        nowMs,
      });
    } else {
      this.#dispatch({
        type: 'start',
        known: this.initiator || host.isKnown(device),
        greeting: this.#greeting(),
        nowMs,
      });
    }
  }

  #greeting(): Greeting {
    const { agent, capabilities, platform } = this.#host;
    const spaces = this.#host.sharedWith(this.device).map((space) => space.state());
    this.#offered = new Set(spaces.map(({ space }) => toHex(space)));
    return { name: this.#host.name(), agent, capabilities, spaces, time: platform.nowUs() };
  }

  /** What we share has changed, or the device became known. */
  greet(): void {
    this.#dispatch({ type: 'greet', greeting: this.#greeting(), nowMs: this.#nowMs() });
  }

  #onMessage(bytes: Uint8Array): void {
    const message = decodeMessage(bytes);
    if (message === null) {
      this.#dispatch({ type: 'heard', nowMs: this.#nowMs() });
    } else if (this.#deciding) {
      if (this.#inbox.length >= INBOX_MAX)
        throw new TidelogError('too-many', 'messages while a pairing is being decided');
      this.#inbox.push(message);
    } else {
      this.#dispatch({ type: 'message', message, nowMs: this.#nowMs() });
    }
  }

  /** Runs the session's step for an event, and its effects; events that effects cause wait for their turn. */
  #dispatch(event: SessionEvent): void {
    this.#events.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        const [state, effects] = step(this.#session, next);
        this.#session = state;
        for (const effect of effects) this.#carryOut(effect);
      }
    } finally {
      this.#stepping = false;
    }
  }

  #carryOut(effect: Effect): void {
    switch (effect.type) {
      case 'send':
        return this.#send(effect.message);
      case 'greeted':
        return this.#later(this.#following.onGreeted(effect.hello));
      case 'open':
        return this.#later(this.#followers.open(effect));
      case 'drop':
        this.#followers.drop(effect.subscription);
        return;
      case 'read':
        return this.#later(this.#followers.read(effect.subscription, effect.after));
      case 'ingest':
        return this.#following.takeBatch(effect.subscription, effect.space, effect.batch);
      case 'caughtUp':
        return this.#following.onCaughtUp(effect);
      case 'acked':
        this.#followers.acked(effect.subscription, effect.last);
        return;
      case 'ended':
        return this.#following.onEnded(effect);
      case 'heads':
        return this.#following.onHeads(effect.spaces, effect.timeUs);
      case 'fork':
        return this.#later(this.#host.space(effect.space)?.takeFork(effect.proof) ?? Promise.resolve());
      case 'pairRequest':
        return this.#decide(this.#host.onPairRequest(this, effect.pair));
      case 'pairAnswer':
        return this.#onPairAnswer(effect.answer);
      case 'close':
        return this.#onSessionClosed(effect.error, effect.remote);
    }
  }

  /** Work that goes on by itself; what it throws ends this connection and nothing else. */
  #later(work: Promise<void>): void {
    work.catch((thrown: unknown) => this.#fail(asTidelogError(thrown)));
  }

  #fail(error: TidelogError): void {
    if (this.#closed) return;
    if (this.#channel.established) this.#dispatch({ type: 'close', error, nowMs: this.#nowMs() });
    else this.#end(error);
  }

  // ---- what happened here

  /** Our log of a space grew. */
  advanced(space: Space): void {
    this.#dispatch({ type: 'advanced', space: space.id, nowMs: this.#nowMs() });
  }

  shares(space: Space): boolean {
    return this.#channel.established && (this.#following.heads.has(space.hex) || this.#offered.has(space.hex));
  }

  /** When they offer the space or subscribe to it, whichever comes first. */
  #tellForks(space: Space): void {
    if (this.#toldForksOf.has(space.hex)) return;
    this.#toldForksOf.add(space.hex);
    const proofs = space.forks().map(({ bytes }) => bytes);
    this.#dispatch({ type: 'tellForks', space: space.id, proofs, nowMs: this.#nowMs() });
  }

  /** A chain has forked. */
  forked(space: Space, proof: Uint8Array): void {
    if (!this.#channel.established || space.roleOf(this.device) === null) return;
    this.#dispatch({ type: 'tellForks', space: space.id, proofs: [proof], nowMs: this.#nowMs() });
  }

  /** Members changed: what was shared may not be any more. */
  membershipChanged(space: Space): void {
    if (!this.#channel.established || this.#closed) return;
    if (this.#host.isRevoked(this.device)) {
      this.#fail(new TidelogError('device-revoked'));
      return;
    }
    if (space.roleOf(this.device) === null) {
      this.#followers.refuse(space);
      // Let in again, it is to hear of that.
      this.#offered.delete(space.hex);
      return;
    }
    if (this.#session.saidHello && !this.#offered.has(space.hex)) this.greet();
  }

  // ---- pairing

  /** Messages wait until it is decided: HELLO may come right behind, and means something only then. */
  #decide(decision: Promise<void>): void {
    this.#deciding = true;
    this.#later(
      decision.finally(() => {
        this.#deciding = false;
        for (const message of this.#inbox.splice(0)) {
          if (this.#deciding) this.#inbox.push(message);
          else this.#dispatch({ type: 'message', message, nowMs: this.#nowMs() });
        }
      }),
    );
  }

  #onPairAnswer(answer: Extract<Effect, { type: 'pairAnswer' }>['answer']): void {
    if (this.#intent.kind !== 'pair' || this.#letIn) {
      // A pending device that reconnected by itself is told so again; there is nothing to do but wait.
      return;
    }
    if (answer.type === 'REFUSED') {
      if (answer.fault.code === 'pairing-pending') return this.#intent.onPending();
      // Theirs to say, as an ERROR is: nothing is answered.
      return this.#end(refusalOf(answer.fault.code, answer.fault.text), true);
    }
    this.#letIn = true;
    const { onAnswer } = this.#intent;
    this.#decide(onAnswer(answer).then(() => this.greet()));
  }

  /** Ours to answer: the device is paired. */
  answerPaired(paired: Omit<Paired, 'type'>): void {
    this.#dispatch({ type: 'paired', paired, nowMs: this.#nowMs() });
    this.greet();
  }

  answerPending(): void {
    this.#dispatch({ type: 'refuse', error: new TidelogError('pairing-pending'), nowMs: this.#nowMs() });
  }

  /** Refuses and closes. */
  refuse(error: TidelogError): void {
    countRefusal(this.#host.counters, error.code);
    this.#dispatch({ type: 'refuse', error, nowMs: this.#nowMs() });
    this.#fail(error);
  }

  // ---- the end

  tick(): void {
    if (this.#closed) return;
    const nowMs = this.#nowMs();
    if (!this.#channel.established) {
      if (nowMs - this.openedMs > 10_000) this.#end(new TidelogError('timeout', 'the handshake did not end'));
      return;
    }
    const spaces = (): SpaceState[] => this.#host.sharedWith(this.device).map((space) => space.state());
    this.#following.resume();
    this.#dispatch({ type: 'tick', spaces, timeUs: this.#host.platform.nowUs(), nowMs });
  }

  /** Ours to end. */
  close(error: TidelogError | null = null): void {
    if (this.#closed) return;
    if (this.#channel.established) this.#dispatch({ type: 'close', error, nowMs: this.#nowMs() });
    else this.#end(error);
  }

  #onSessionClosed(error: TidelogError | null, remote: boolean): void {
    if (error) countRefusal(this.#host.counters, error.code);
    this.#end(error, remote);
  }

  #end(error: TidelogError | null, remote = false): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    const close = error === null ? null : ERRORS[error.code].close;
    // 1000: all is well. The code of an error goes to the other side only where it is ours to say.
    this.#transport.close(remote ? 1000 : (close ?? 1000), error && !remote ? error.code : '');
    this.#arrivals.clear();
    this.#followers.end();
    this.#following.end();
    this.#progress.notify();
    if (this.#intent.kind === 'pair')
      this.#intent.onAnswer(error ?? new TidelogError('unreachable', 'the connection ended')).catch(() => {});
    this.#host.onClosed(this, error);
  }
}

function refusalOf(code: string, text: string): TidelogError {
  return code in ERRORS ? new TidelogError(code as keyof typeof ERRORS) : new TidelogError('pairing-rejected', text);
}

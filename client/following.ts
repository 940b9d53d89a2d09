/**
 * One direction of a connection: we follow the other side's logs. Which spaces, from where, taking in their batches in order and no more at
 * once than memory allows, and where we are in each.
 */
import { equal, toHex } from '../protocol/bytes.ts';
import { BATCH_DATA_BYTES_MAX, CREDIT_BYTES_DEFAULT } from '../protocol/constants.ts';
import { TidelogError } from '../protocol/errors.ts';
import { errorOf, type BatchMessage, type Hello, type SpaceState, type StartsFrom } from '../protocol/messages.ts';
import type { Effect, SessionEvent } from '../protocol/session.ts';
import { countRefusal, type Counters } from './counters.ts';
import type { Ingested } from './exchange.ts';
import type { Space } from './space.ts';

/** What this half asks of its connection. */
export interface FollowingHost {
  readonly counters: Counters;
  /** The other side's key. */
  device(): Uint8Array;
  closed(): boolean;
  /** May others bring so many bytes more? */
  hasRoom(bytes: number): boolean;
  /** So many bytes are on their way into a log; negative: they are there, or let go. */
  arriving(bytes: number): void;
  nowMs(): number;
  /** The wall clock, µs. */
  nowUs(): number;
  space(id: Uint8Array): Space | null;
  /** A space that they offer and that isn't here: taken, or null. */
  adopt(offered: SpaceState): Promise<Space | null>;
  dispatch(event: SessionEvent): void;
  /** All that are known, once on this connection. */
  tellForks(space: Space): void;
  /** Work that goes on by itself; what it throws ends the connection. */
  later(work: Promise<void>): void;
  /** They have these chains up to these seqs: to them as our followers we needn't send that. */
  hasAlready(space: Space, heads: Iterable<{ readonly chain: Uint8Array; readonly seq: number }>): void;
  /** Greeted, or caught up: whoever waits for that looks again. */
  progressed(): void;
}

/** The spaces that they have. `time`: of the HELLO that says so, µs; null when one is looked through again. */
interface Offer {
  readonly spaces: readonly SpaceState[];
  readonly time: number | null;
}

/** Unpacked bytes of batches that are being taken in at once: small data may unpack to much. */
const INGEST_RAW_BYTES_MAX = 16 * 1024 * 1024;

/** Behind by more than this, the second thread is worth its start. */
const MUCH_ENTRIES = 4096;

export class Following {
  readonly #host: FollowingHost;
  /** Batches that wait for those before them. */
  readonly #batches: { subscription: number; space: Space; message: BatchMessage }[] = [];
  #ingestingRawBytes = 0;
  /** Resolves when the last batch that came was handed to the writer, or refused. */
  #handed: Promise<void> = Promise.resolve();
  /** The last batch with entries of each space: those of it that come behind are acknowledged after it. Spaces are written each by itself. */
  readonly #lastIngested = new Map<Space, Promise<unknown>>();
  /** Broken once a batch was refused: none behind it is taken. */
  readonly #line = { isBroken: false };
  /** Spaces (hex) that we follow there, or are about to. */
  readonly #followed = new Set<string>();
  /** Spaces (hex) where a cursor was refused and the vector took its place. */
  readonly #refusedCursor = new Set<string>();
  /** Space (hex) → why they don't let us follow it any more; until we try again. */
  readonly #refused = new Map<string, TidelogError>();
  /** Space (hex) → the last that they said of their log. */
  readonly heads = new Map<string, SpaceState>();
  /** Spaces (hex) whose cursor is being noted. */
  readonly #noting = new Set<string>();
  /** Space (hex) → caught up with them at least once. */
  readonly #caughtUp = new Set<string>();
  /** Spaces (hex) of which something came. */
  readonly #begun = new Set<string>();
  /** Spaces (hex) of which nothing more is taken, because there is no room for it. */
  readonly #full = new Set<string>();
  /** Subscriptions that were given up for that: what still comes on them is let go, unacknowledged, and no cursor moves. */
  readonly #givenUp = new Set<number>();
  /** Their clock less ours, ms. */
  clockSkewMs: number | null = null;

  /** What they offered last, while there is something to be dealt with. */
  #offer: Offer | null = null;
  /** While it is: something came of a space of theirs for the first time. */
  #hasBegun = false;
  /** The last of which not every space was taken. */
  #leftOver: Offer | null = null;

  constructor(host: FollowingHost) {
    this.#host = host;
  }

  hasCaughtUp(hex: string): boolean {
    return this.#caughtUp.has(hex);
  }

  /** Why nothing more comes of a space, nor will while they don't greet again; null where it may. */
  refusal(hex: string): TidelogError | null {
    return this.#refused.get(hex) ?? null;
  }

  /** Of any that they refused, why. */
  get anyRefusal(): TidelogError | null {
    return this.#refused.values().next().value ?? null;
  }

  onGreeted({ spaces, time }: Hello): Promise<void> {
    return this.#onOffer({ spaces, time });
  }

  /** Of many that come while one is dealt with only the last is: each says all that there is to say, and may name hundreds of spaces. */
  async #onOffer(offer: Offer): Promise<void> {
    const isWorking = this.#offer !== null;
    this.#offer = offer;
    if (isWorking) return;
    try {
      for (let next: Offer | null = null; next !== this.#offer;) {
        next = this.#offer;
        this.#hasBegun = false;
        await this.#takeOffer(next);
        if (this.#hasBegun && next === this.#offer) this.#offer = this.#leftOver ?? next;
      }
    } finally {
      this.#offer = null;
    }
  }

  async #takeOffer(offer: Offer): Promise<void> {
    if (offer.time !== null) this.#takeHeads(offer.spaces, offer.time);
    this.#leftOver = null;
    for (const offered of offer.spaces) {
      // Also in the middle: what is taken is followed on this line.
      if (this.#host.closed()) return;
      const space = this.#host.space(offered.space) ?? (await this.#host.adopt(offered));
      if (!space) this.#leftOver = { spaces: offer.spaces, time: null };
      if (this.#host.closed() || !space) continue;
      if (!this.heads.has(space.hex)) this.heads.set(space.hex, offered);
      // Noted before anything is awaited: a second HELLO may come right behind the first.
      if (this.#followed.has(space.hex)) continue;
      this.#followed.add(space.hex);
      if (offered.head - space.head > MUCH_ENTRIES) space.expectMuch();
      this.#host.tellForks(space);
      await this.#follow(space, offered.epoch, null);
    }
    this.#host.progressed();
  }

  /** There may be a place now for another that they offered. */
  #onBegun(space: Space): void {
    this.#begun.add(space.hex);
    if (this.#offer) this.#hasBegun = true;
    else if (this.#leftOver) this.#host.later(this.#onOffer(this.#leftOver));
  }

  async #follow(space: Space, epoch: Uint8Array, instead: StartsFrom | null): Promise<void> {
    this.#refused.delete(space.hex);
    const from = instead ?? (await space.startsFrom(this.#host.device(), epoch));
    if (this.#host.closed()) return;
    const request = { space: space.id, from, filter: space.filter, live: true, credit: CREDIT_BYTES_DEFAULT };
    this.#host.dispatch({ type: 'subscribe', request, nowMs: this.#host.nowMs() });
  }

  takeBatch(subscription: number, spaceId: Uint8Array, message: BatchMessage): void {
    const space = this.#host.space(spaceId);
    if (!space) throw new Error('a subscription of ours is for a space that is not here');
    this.#host.counters.batchesIn++;
    if (this.#givenUp.has(subscription)) return;
    if (!this.#host.hasRoom(message.data.length)) return this.#giveUp(subscription, space);
    this.#host.arriving(message.data.length);
    this.#batches.push({ subscription, space, message });
    this.#ingestWhatFits();
  }

  // ---- when there is no room

  /** No space of theirs is taken in any further. The connection stays: we go on serving them, and they would only come again. */
  #giveUp(subscription: number, space: Space): void {
    this.#givenUp.add(subscription);
    this.#full.add(space.hex);
    countRefusal(this.#host.counters, 'quota-exceeded');
    this.#host.dispatch({ type: 'unsubscribe', subscription, nowMs: this.#host.nowMs() });
    this.#host.progressed();
  }

  isFull(hex: string): boolean {
    return this.#full.has(hex);
  }

  get fullSpaces(): number {
    return this.#full.size;
  }

  /** Goes on from where it was given up, once there is room. */
  resume(): void {
    if (this.#full.size === 0 || !this.#host.hasRoom(BATCH_DATA_BYTES_MAX)) return;
    const full = [...this.#full];
    this.#full.clear();
    for (const hex of full) {
      const offered = this.heads.get(hex);
      const space = offered && this.#host.space(offered.space);
      if (space) this.#host.later(this.#follow(space, offered.epoch, null));
    }
  }

  #ingestWhatFits(): void {
    for (;;) {
      const next = this.#batches[0];
      // Behind a refusal nothing is even read, also before the connection has ended for it.
      if (!next || this.#line.isBroken || this.#host.closed()) return;
      const fits =
        this.#ingestingRawBytes === 0 || this.#ingestingRawBytes + next.message.rawBytes <= INGEST_RAW_BYTES_MAX;
      if (!fits) return;
      this.#batches.shift();
      this.#host.later(this.#ingest(next.subscription, next.space, next.message));
    }
  }

  async #ingest(subscription: number, space: Space, message: BatchMessage): Promise<void> {
    const { counters } = this.#host;
    this.#ingestingRawBytes += message.rawBytes;
    try {
      const ingested = await this.#read(space, message);
      if (ingested) {
        const { added, duplicates } = await ingested.done;
        if (!this.#begun.has(space.hex)) this.#onBegun(space);
        counters.entriesReceived += added;
        counters.duplicates += duplicates;
      } else {
        // It only says that they passed over what we have: nothing to store, and no fsync for every echo of a write of ours. The cursor on disk
        // stays behind, and a resume goes by the vector until the next CAUGHT_UP or heartbeat.
        await this.#lastIngested.get(space);
      }
    } finally {
      this.#ingestingRawBytes -= message.rawBytes;
      this.#host.arriving(-message.data.length);
    }
    this.#host.dispatch({
      type: 'stored',
      subscription,
      last: message.last,
      bytes: message.data.length,
      nowMs: this.#host.nowMs(),
    });
    this.#ingestWhatFits();
  }

  /** Reads a batch and hands it to the writer, after those before it; null where it has no entries. */
  async #read(space: Space, message: BatchMessage): Promise<{ readonly done: Promise<Ingested> } | null> {
    const before = this.#handed;
    const { promise, resolve: handed } = Promise.withResolvers<void>();
    this.#handed = promise;
    try {
      const elsewhere = await space.readElsewhere(message);
      await before;
      if (this.#line.isBroken) throw new TidelogError('aborted', 'a batch before it was refused');
      // What was still being read when the line went down comes again on the next, which has asked for it by now.
      if (this.#host.closed()) throw new TidelogError('aborted', 'the connection was closed');
      const incoming = space.read(message, elsewhere);
      // They have it, so what follows them needn't send it back; said before it is appended and the followers wake.
      this.#host.hasAlready(space, incoming.heads());
      const epoch = this.heads.get(space.hex)?.epoch;
      if (!epoch) throw new Error('a batch came from a space that was never offered');
      if (incoming.isEmpty) return null;
      const done = space.ingest(incoming, message, { device: this.#host.device(), epoch, line: this.#line });
      this.#lastIngested.set(space, done);
      return { done };
    } catch (thrown) {
      this.#line.isBroken = true;
      throw thrown;
    } finally {
      handed();
    }
  }

  onCaughtUp({ space: id, last, digest }: Extract<Effect, { type: 'caughtUp' }>): void {
    const space = this.#host.space(id);
    const offered = space && this.heads.get(space.hex);
    if (!space || !offered) return;
    this.heads.set(space.hex, { ...offered, head: last, digest });
    space.answered(this.#host.device());
    this.#note(space, { ...offered, head: last, digest });
    this.#caughtUp.add(space.hex);
    this.#host.progressed();
  }

  /** A cursor that they no longer take is replaced by the vector; anything else that ends a subscription stays ended until they greet again. */
  onEnded({ subscription, space: id, fault }: Extract<Effect, { type: 'ended' }>): void {
    this.#givenUp.delete(subscription);
    const space = this.#host.space(id);
    if (!space || fault === null) return;
    // What follows it begins anew, and would be followed a second time once there is room.
    this.#full.delete(space.hex);
    countRefusal(this.#host.counters, fault.code);
    // Who waits for what comes of it is told, unless it is tried another way below.
    this.#refused.set(space.hex, errorOf(fault));
    this.#host.progressed();
    // What they can't serve they won't on this connection, however often they greet.
    if (fault.code === 'bad-request') return;
    this.#followed.delete(space.hex);
    const { chain } = fault.detail;
    if (fault.code === 'fork' && typeof chain === 'string') space.suspect(this.#host.device(), chain);
    // Once: one that refuses whatever it is asked would be sent the whole vector again and again.
    if (!(fault.code.startsWith('cursor-') || fault.code === 'fork') || this.#refusedCursor.has(space.hex)) return;
    this.#refusedCursor.add(space.hex);
    const epoch = this.heads.get(space.hex)?.epoch;
    if (!epoch) return;
    this.#followed.add(space.hex);
    this.#host.later(this.#follow(space, epoch, fault.code === 'fork' ? null : space.vector()));
  }

  #takeHeads(spaces: readonly SpaceState[], timeUs: number): void {
    // Of spaces that are here: they may name any others, and ever new ones.
    for (const state of spaces) if (this.#host.space(state.space)) this.heads.set(toHex(state.space), state);
    if (timeUs > 0) this.clockSkewMs = Math.round((timeUs - this.#host.nowUs()) / 1000);
  }

  /** From a heartbeat. */
  onHeads(spaces: readonly SpaceState[], timeUs: number): void {
    this.#takeHeads(spaces, timeUs);
    this.#noteSame(spaces);
  }

  /** Where both have the same, all that they have up to their head is here: the next connection begins at it. */
  #noteSame(spaces: readonly SpaceState[]): void {
    for (const state of spaces) {
      const space = this.#host.space(state.space);
      if (space && this.#followed.has(space.hex) && equal(state.digest, space.digest())) this.#note(space, state);
    }
  }

  /** What comes while one is on its way to the disk is left to the next: a flood of them must not queue up. */
  #note(space: Space, { epoch, head, digest }: SpaceState): void {
    if (this.#noting.has(space.hex)) return;
    this.#noting.add(space.hex);
    const noted = space.saveCursor(this.#host.device(), { epoch, seq: head, digest });
    this.#host.later(noted.finally(() => this.#noting.delete(space.hex)));
  }

  end(): void {
    for (const { message } of this.#batches.splice(0)) this.#host.arriving(-message.data.length);
  }
}

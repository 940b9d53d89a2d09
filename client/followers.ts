/**
 * The other direction of a connection: they follow our logs. Where each subscription begins, what the other side has from elsewhere, and what
 * is read for it when the session asks.
 */
import { equal, toHex } from '../protocol/bytes.ts';
import { CODEC, type CodecNumber } from '../protocol/constants.ts';
import { ERRORS, TidelogError } from '../protocol/errors.ts';
import type { Filter, Hello } from '../protocol/messages.ts';
import type { Effect, OutgoingBatch, SessionEvent } from '../protocol/session.ts';
import type { Space } from './space.ts';
import { WorkLine } from './turns.ts';

/** What this half asks of its connection. */
export interface FollowersHost {
  /** The other side's key. */
  device(): Uint8Array;
  remote(): Hello | null;
  nowMs(): number;
  /** Calls once, after some time; the answer calls it off. */
  after(ms: number, call: () => void): () => void;
  turn(): Promise<void>;
  space(id: Uint8Array): Space | null;
  dispatch(event: SessionEvent): void;
  /** All that are known, once on this connection. */
  tellForks(space: Space): void;
}

/** What it has from elsewhere, so that nothing is sent twice. */
interface Follower {
  readonly space: Space;
  readonly filter: Filter | null;
  readonly known: Map<string, number>;
  /** Of our log, in which its positions are. */
  readonly epoch: Uint8Array;
  /** At the head once: from then on it is live. */
  isLive: boolean;
  /** What says that all up to it was passed over, and hasn't been said yet. */
  held: OutgoingBatch | null;
  /** It has been held for long enough. */
  isDue: boolean;
}

/**
 * What a live follower wrote itself comes back to it as an empty batch, which only moves its cursor: half of all messages between two devices,
 * at 0.1 ms for each of a message and its ACK. They wait this long, and are one.
 */
const HOLD_MS = 100;
/** Of an empty batch there are 4. One entry has a signature alone of 64. */
const EMPTY_RAW_BYTES_MAX = 16;

export class Followers {
  readonly #host: FollowersHost;
  readonly #bySubscription = new Map<number, Follower>();
  /** Being opened. One that ends meanwhile is not here any more, and its number may stand for another. */
  readonly #opening = new Map<number, object>();
  /** To find where a subscription begins, and to read for it, is work: of one connection one thing at a time, however many subscriptions it has. */
  readonly #line: WorkLine;

  constructor(host: FollowersHost) {
    this.#host = host;
    this.#line = new WorkLine(host);
  }

  open(effect: Extract<Effect, { type: 'open' }>): Promise<void> {
    this.#opening.set(effect.subscription, effect);
    return this.#line.run(() => this.#open(effect));
  }

  async #open(effect: Extract<Effect, { type: 'open' }>): Promise<void> {
    const { subscription, space: id, from, filter } = effect;
    // Dropped before its turn came: whoever subscribes and unsubscribes without end costs nothing more than that.
    if (this.#opening.get(subscription) !== effect) return;
    const nowMs = this.#host.nowMs();
    const isMember = (space: Space): boolean => space.roleOf(this.#host.device()) !== null;
    try {
      const space = this.#host.space(id);
      if (!space || !isMember(space)) throw new TidelogError('unknown-space');
      // It may offer us nothing: who was let in on one branch is a stranger by the other.
      this.#host.tellForks(space);
      const { epoch } = space;
      const { position, known } = await space.openFor(from, this.#host.device());
      if (this.#opening.get(subscription) !== effect) return;
      // Revoked meanwhile? It was no follower yet, so `refuse` passed it over.
      if (!isMember(space)) throw new TidelogError('unknown-space');
      this.#opening.delete(subscription);
      this.#bySubscription.set(subscription, { space, filter, known, epoch, isLive: false, held: null, isDue: false });
      // Before this it lacks nothing, also where its ACK was lost with an earlier connection.
      space.noteAcked(this.#host.device(), position, epoch);
      this.#host.dispatch({ type: 'accepted', subscription, position, nowMs });
    } catch (thrown) {
      if (!(thrown instanceof TidelogError)) throw thrown;
      // A fork isn't theirs alone to answer for: they are told, and ask for what shows it.
      if (ERRORS[thrown.code].close !== null && thrown.code !== 'fork') throw thrown;
      // Ours, and it passes: a subscription that ends stays ended, and a line that ends is tried again.
      if (thrown.code === 'store-full' || thrown.code === 'store-failed') throw thrown;
      if (this.#opening.get(subscription) !== effect) return;
      this.#host.dispatch({ type: 'rejected', subscription, error: thrown, nowMs });
    }
  }

  read(subscription: number, after: number): Promise<void> {
    const follower = this.#bySubscription.get(subscription);
    return follower ? this.#line.run(() => this.#read(subscription, follower, after)) : Promise.resolve();
  }

  async #read(subscription: number, follower: Follower, after: number): Promise<void> {
    // It may have ended, and its number may stand for another.
    const isThere = (): boolean => this.#bySubscription.get(subscription) === follower;
    if (!isThere()) return;
    const { space, known, filter } = follower;
    let batch: OutgoingBatch | null;
    for (;;) {
      batch = await space.readFor(follower.held?.last ?? after, known, filter, this.#acceptedCodecs());
      if (batch === null || !follower.isLive || batch.rawBytes > EMPTY_RAW_BYTES_MAX) break;
      if (follower.held === null) this.#hold(follower);
      follower.held = batch;
    }
    if (!isThere()) return;
    if (!equal(space.epoch, follower.epoch)) {
      // Made anew under it.
      const error = new TidelogError('cursor-epoch');
      this.#host.dispatch({ type: 'rejected', subscription, error, nowMs: this.#host.nowMs() });
      return;
    }
    if (batch === null && follower.isDue) batch = follower.held;
    if (batch !== null) {
      // It begins where the last one ended: what was held is said with it.
      follower.held = null;
      follower.isDue = false;
    }
    if (batch === null) follower.isLive = true;
    // The digest is that of the very head that was found; if the log grew meanwhile, the session reads again first.
    const digest = batch === null ? space.digest() : null;
    this.#host.dispatch({ type: 'read', subscription, batch, digest, nowMs: this.#host.nowMs() });
  }

  #hold(follower: Follower): void {
    this.#host.after(HOLD_MS, () => {
      if (follower.held === null) return;
      follower.isDue = true;
      this.#host.dispatch({ type: 'advanced', space: follower.space.id, nowMs: this.#host.nowMs() });
    });
  }

  #acceptedCodecs(): ReadonlySet<CodecNumber> {
    const accepted = new Set<CodecNumber>([CODEC.NONE]);
    if (this.#host.remote()?.capabilities.includes('zstd')) accepted.add(CODEC.ZSTD);
    return accepted;
  }

  /** They have it up to there on their disk: of the log that their subscription is of, which may have been made anew meanwhile. */
  acked(subscription: number, last: number): void {
    const follower = this.#bySubscription.get(subscription);
    follower?.space.noteAcked(this.#host.device(), last, follower.epoch);
  }

  /** They sent these themselves. */
  hasAlready(space: Space, heads: Iterable<{ readonly chain: Uint8Array; readonly seq: number }>): void {
    for (const follower of this.#bySubscription.values()) {
      if (follower.space !== space) continue;
      for (const { chain, seq } of heads) {
        const hex = toHex(chain);
        if (seq > (follower.known.get(hex) ?? 0)) follower.known.set(hex, seq);
      }
    }
  }

  /** The space isn't shared with them any more. */
  refuse(space: Space): void {
    const nowMs = this.#host.nowMs();
    for (const [subscription, follower] of this.#bySubscription) {
      if (follower.space !== space) continue;
      this.#host.dispatch({ type: 'rejected', subscription, error: new TidelogError('unknown-space'), nowMs });
    }
  }

  drop(subscription: number): void {
    this.#opening.delete(subscription);
    this.#bySubscription.delete(subscription);
  }

  end(): void {
    this.#opening.clear();
    this.#bySubscription.clear();
  }
}

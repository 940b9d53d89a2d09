/**
 * Keeps connections to addresses: tries, and tries again with growing, jittered pauses. An error that trying again can't help is tried
 * rarely, because the other side may change its mind.
 */
import { asTidelogError, type TidelogError } from '../protocol/errors.ts';
import type { Connection } from './connection.ts';
import type { Platform } from './platform.ts';

const PAUSE_FIRST_MS = 500;
const PAUSE_MAX_MS = 30_000;
/** After an error that trying again can't help. */
const PAUSE_HOPELESS_MS = 60_000;
/** A connection that lasted this long was a good one: the next pause is short again. */
const GOOD_AFTER_MS = 10_000;

export interface Dial {
  readonly url: string;
  /** What the last attempt ended with. */
  readonly error: TidelogError | null;
  readonly connection: Connection | null;
}

export class Dialer {
  readonly #platform: Platform;
  /** Opens a connection; rejects where it can't be. */
  readonly #open: (url: string, signal: AbortSignal) => Promise<Connection>;
  readonly #targets = new Map<string, Target>();

  constructor(platform: Platform, open: (url: string, signal: AbortSignal) => Promise<Connection>) {
    this.#platform = platform;
    this.#open = open;
  }

  /** Idempotent. */
  keep(url: string): void {
    if (this.#targets.has(url)) return;
    const target = new Target(url, this.#platform, this.#open);
    this.#targets.set(url, target);
    target.start();
  }

  drop(url: string): void {
    this.#targets.get(url)?.stop();
    this.#targets.delete(url);
  }

  /** A connection ended. */
  ended(connection: Connection, error: TidelogError | null): void {
    for (const target of this.#targets.values()) target.ended(connection, error);
  }

  /** Tries all now: the network came back, or the machine woke. */
  wake(): void {
    for (const target of this.#targets.values()) target.wake();
  }

  list(): Dial[] {
    return [...this.#targets.values()].map(({ url, error, connection }) => ({ url, error, connection }));
  }

  close(): void {
    for (const target of this.#targets.values()) target.stop();
    this.#targets.clear();
  }
}

class Target {
  readonly url: string;
  error: TidelogError | null = null;
  connection: Connection | null = null;
  readonly #platform: Platform;
  readonly #open: (url: string, signal: AbortSignal) => Promise<Connection>;
  readonly #aborter = new AbortController();
  #pauseMs = PAUSE_FIRST_MS;
  #cancelPause: (() => void) | null = null;
  /** Woken while an attempt was under way, which may have begun before there was a network. */
  #isWoken = false;
  #openedMs = 0;

  constructor(url: string, platform: Platform, open: (url: string, signal: AbortSignal) => Promise<Connection>) {
    this.url = url;
    this.#platform = platform;
    this.#open = open;
  }

  start(): void {
    void this.#try();
  }

  async #try(): Promise<void> {
    this.#cancelPause = null;
    this.#isWoken = false;
    try {
      this.connection = await this.#open(this.url, this.#aborter.signal);
      this.#openedMs = this.#platform.nowMs();
    } catch (thrown) {
      this.#failed(asTidelogError(thrown));
      return;
    }
    // It may have ended while the promise was on its way.
    if (this.connection.closed) this.ended(this.connection, this.error);
    else this.#isWoken = false;
  }

  ended(connection: Connection, error: TidelogError | null): void {
    if (this.connection !== connection) return;
    this.connection = null;
    if (this.#platform.nowMs() - this.#openedMs > GOOD_AFTER_MS) this.#pauseMs = PAUSE_FIRST_MS;
    this.#failed(error);
  }

  #failed(error: TidelogError | null): void {
    this.error = error;
    if (this.#aborter.signal.aborted || this.#cancelPause) return;
    if (this.#isWoken) {
      void this.#try();
      return;
    }
    const isHopeless = error !== null && !error.retry;
    const pauseMs = isHopeless ? PAUSE_HOPELESS_MS : this.#pauseMs;
    this.#pauseMs = Math.min(PAUSE_MAX_MS, this.#pauseMs * 2);
    // A quarter up or down, so that many that lost the same node don't come back in one instant.
    const jitter = 0.75 + (this.#platform.random(1)[0]! / 255) * 0.5;
    this.#cancelPause = this.#platform.after(pauseMs * jitter, () => void this.#try());
  }

  wake(): void {
    if (this.connection) return;
    this.#pauseMs = PAUSE_FIRST_MS;
    if (!this.#cancelPause) {
      this.#isWoken = true;
      return;
    }
    this.#cancelPause();
    void this.#try();
  }

  stop(): void {
    this.#aborter.abort();
    this.#cancelPause?.();
    this.#cancelPause = null;
  }
}

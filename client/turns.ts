/**
 * Turns: one connection's work is done at once as long as it is little, and in pieces with others between them when it is much. Without it a peer
 * that floods this one with tiny messages, or subscribes without end, would have it do nothing else for seconds.
 */

/** Work at a stretch, ms. Longer, and what others want waits for it noticeably. */
const STRETCH_MS = 4;
/** Messages and bytes that wait for their turn. A peer that has kept to its credit, and to answers for what it was sent, is far below. */
const WAITING_MESSAGES_MAX = 65_536;
const WAITING_BYTES_MAX = 64 * 1024 * 1024;

export interface TurnsHost {
  nowMs(): number;
  /** Resolves once whatever else is due has had its turn. */
  turn(): Promise<void>;
}

/** How long was worked without a rest. Time in which nothing was done is rest. */
class Stretch {
  readonly #nowMs: () => number;
  #leftMs = STRETCH_MS;
  #sinceMs: number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#sinceMs = nowMs();
  }

  begin(): void {
    const nowMs = this.#nowMs();
    this.#leftMs = Math.min(STRETCH_MS, this.#leftMs + nowMs - this.#sinceMs);
    this.#sinceMs = nowMs;
  }

  /** Is it time for others? */
  end(): boolean {
    const nowMs = this.#nowMs();
    this.#leftMs -= nowMs - this.#sinceMs;
    this.#sinceMs = nowMs;
    return this.#leftMs <= 0;
  }

  rested(): void {
    this.#leftMs = STRETCH_MS;
    this.#sinceMs = this.#nowMs();
  }
}

/** Messages as they come: each is taken at once, or in its turn; always in order. */
export class Inbox {
  readonly #host: TurnsHost;
  readonly #take: (bytes: Uint8Array) => void;
  readonly #stretch: Stretch;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #isResting = false;
  /** What is to be done when nothing waits any more. */
  #last: (() => void) | null = null;

  constructor(host: TurnsHost, take: (bytes: Uint8Array) => void) {
    this.#host = host;
    this.#take = take;
    this.#stretch = new Stretch(() => host.nowMs());
  }

  /** False where too much waits; then it wasn't taken. */
  push(bytes: Uint8Array): boolean {
    if (!this.#isResting) {
      this.#takeNow(bytes);
      return true;
    }
    if (this.#waiting.length >= WAITING_MESSAGES_MAX || this.#waitingBytes + bytes.length > WAITING_BYTES_MAX)
      return false;
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    return true;
  }

  #takeNow(bytes: Uint8Array): void {
    this.#stretch.begin();
    this.#take(bytes);
    if (this.#stretch.end() && !this.#isResting) void this.#rest();
  }

  async #rest(): Promise<void> {
    this.#isResting = true;
    try {
      do {
        await this.#host.turn();
        this.#stretch.rested();
        let taken = 0;
        for (let isTired = false; !isTired && taken < this.#waiting.length; taken++) {
          const bytes = this.#waiting[taken]!;
          this.#waitingBytes -= bytes.length;
          this.#stretch.begin();
          this.#take(bytes);
          isTired = this.#stretch.end();
        }
        this.#waiting = this.#waiting.slice(taken);
      } while (this.#waiting.length > 0);
    } finally {
      this.#isResting = false;
    }
    this.#last?.();
  }

  /** Calls once what has come is taken. */
  afterwards(call: () => void): void {
    if (this.#isResting) this.#last = call;
    else call();
  }

  /** Nothing that waits is taken any more. */
  clear(): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
  }
}

/** Work that waits for what came before it: one thing at a time. */
export class WorkLine {
  readonly #host: TurnsHost;
  readonly #stretch: Stretch;
  readonly #waiting: (() => Promise<void>)[] = [];
  #isWorking = false;

  constructor(host: TurnsHost) {
    this.#host = host;
    this.#stretch = new Stretch(() => host.nowMs());
  }

  /** Settles as `work` does. */
  run(work: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => work().then(resolve, reject));
      if (!this.#isWorking) void this.#workOn();
    });
  }

  async #workOn(): Promise<void> {
    this.#isWorking = true;
    for (let work = this.#waiting.shift(); work !== undefined; work = this.#waiting.shift()) {
      this.#stretch.begin();
      await work();
      if (!this.#stretch.end()) continue;
      await this.#host.turn();
      this.#stretch.rested();
    }
    this.#isWorking = false;
  }
}

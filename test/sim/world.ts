/**
 * Time and order of a simulation: a queue of events. The world runs the next event, lets every promise that it settled run to its end, and only then
 * the next one. Nothing else moves: no timers, no threads, no clock but this one. So the same seed gives the same history, to the byte, and
 * `trace` is the hash of it.
 */
import { createHash, type Hash } from 'node:crypto';
import { Random } from './random.ts';

/** Whose events: those of a process that was killed are dropped. */
export interface Owner {
  readonly alive: boolean;
}

interface Event {
  readonly atUs: number;
  /** Decides between events of one moment: first come, first served. */
  readonly order: number;
  readonly owner: Owner | null;
  readonly label: string;
  run: (() => void) | null;
}

/** The property that doesn't hold, and how. Whoever minimizes a failure compares `property` only. */
export class Violation extends Error {
  readonly property: string;

  constructor(property: string, what: string) {
    super(`${property}: ${what}`);
    this.name = 'Violation';
    this.property = property;
  }
}

export class World {
  readonly random: Random;
  /** Since the world began, µs. */
  nowUs = 0;
  events = 0;
  readonly #heap: Event[] = [];
  #scheduled = 0;
  readonly #trace: Hash = createHash('sha256');
  readonly #lines: string[] | null;
  /** What went wrong where nobody waits for an answer: in an event, or in a promise that nobody looks at. */
  #fault: unknown = null;

  /** @param keepLines how many of the last lines of the trace are kept to be printed */
  constructor(seed: string, keepTrace = false) {
    this.random = new Random(seed);
    this.#lines = keepTrace ? [] : null;
  }

  // ---- the history

  note(line: string): void {
    this.#trace.update(`${this.nowUs} ${line}\n`);
    this.#lines?.push(`${(this.nowUs / 1e6).toFixed(6)} ${line}`);
  }

  noteBytes(label: string, bytes: Uint8Array): void {
    this.note(`${label} ${bytes.length}`);
    this.#trace.update(bytes);
  }

  /** Hash of everything that has happened so far. */
  trace(): string {
    return this.#trace.copy().digest('hex');
  }

  lines(): readonly string[] {
    return this.#lines ?? [];
  }

  /** Ends the run at the next event. The first one counts. */
  fail(fault: unknown): void {
    this.#fault ??= fault;
  }

  // ---- events

  /** Returns what calls it off. */
  after(us: number, owner: Owner | null, label: string, run: () => void): () => void {
    const event: Event = {
      atUs: this.nowUs + Math.max(0, Math.round(us)),
      order: this.#scheduled++,
      owner,
      label,
      run,
    };
    this.#push(event);
    return () => {
      event.run = null;
    };
  }

  /** Runs events until the condition holds; false if it didn't within `us`. */
  async until(holds: () => boolean, us: number): Promise<boolean> {
    const deadline = this.nowUs + us;
    await this.#settle();
    while (!holds()) {
      const next = this.#heap[0];
      if (!next || next.atUs > deadline) {
        this.nowUs = deadline;
        return holds();
      }
      await this.#step();
    }
    return true;
  }

  async run(us: number): Promise<void> {
    await this.until(() => false, us);
  }

  /** What a promise gives, while the world goes on. */
  async of<T>(promise: Promise<T>, us: number, what: string): Promise<T> {
    let isDone = false;
    promise
      .catch(() => {})
      .finally(() => {
        isDone = true;
      });
    if (!(await this.until(() => isDone, us))) throw new Violation('progress', `in vain for ${us / 1e6} s: ${what}`);
    return promise;
  }

  async #step(): Promise<void> {
    const event = this.#pop();
    const { run, owner, label } = event;
    if (run === null || owner?.alive === false) return;
    event.run = null;
    this.nowUs = event.atUs;
    this.events++;
    this.note(label);
    try {
      run();
    } catch (thrown) {
      this.fail(thrown);
    }
    await this.#settle();
  }

  /** A turn of Node's loop comes only after every promise that could go on has gone on. */
  async #settle(): Promise<void> {
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    if (this.#fault !== null) throw this.#fault;
  }

  // ---- a binary heap

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): Event {
    const heap = this.#heap;
    const top = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atUs < b.atUs || (a.atUs === b.atUs && a.order < b.order);
}

/**
 * What is read now, and whenever it changes: a resource, or those with a prefix.
 *
 *   const note = db.live('note/1');
 *   const stop = note.subscribe((resource) => render(resource));     // now, and on every change
 *   for await (const resource of note) …                             // the same, as a loop; what changes meanwhile is not queued
 */
import { callBack } from './call-back.ts';
import { Signal } from './signal.ts';

/** What was changed together. */
export interface Touched {
  touches(subject: string): boolean;
  touchesAny(prefix: string): boolean;
}

export interface Watched<T> {
  read(): Promise<T>;
  /** Equal for equal values. */
  etagOf(value: T): string;
  isTouchedBy(changed: Touched): boolean;
}

export class Live<T> implements AsyncIterable<T> {
  readonly #watched: Watched<T>;
  readonly #onClose: (live: Live<T>) => void;
  readonly #changed = new Signal();
  readonly #subscribers = new Set<(value: T) => void>();
  #value: T | undefined;
  #etag: string | null = null;
  #reading = false;
  #stale = false;
  #closed = false;

  constructor(watched: Watched<T>, onClose: (live: Live<T>) => void) {
    this.#watched = watched;
    this.#onClose = onClose;
    this.refresh();
  }

  /** undefined until it has been read for the first time; null where there is no such resource. */
  get value(): T | undefined {
    return this.#value;
  }

  /** Calls back with the value as soon as it is known, and again after each change. Returns what ends it. */
  subscribe(callback: (value: T) => void): () => void {
    this.#subscribers.add(callback);
    if (this.#value !== undefined) callback(this.#value);
    return () => void this.#subscribers.delete(callback);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    let seen = 0;
    try {
      while (!this.#closed) {
        await this.#changed.until(() => this.#closed || (this.#value !== undefined && this.#changed.count !== seen));
        if (this.#closed) return;
        seen = this.#changed.count;
        yield this.#value as T;
      }
    } finally {
      this.close();
    }
  }

  isTouchedBy(changed: Touched): boolean {
    return this.#watched.isTouchedBy(changed);
  }

  /** It may have changed. Changes that come while it is being read are read once more, together. */
  refresh(): void {
    this.#stale = true;
    if (!this.#reading && !this.#closed) void this.#refresh();
  }

  async #refresh(): Promise<void> {
    this.#reading = true;
    try {
      while (this.#stale && !this.#closed) {
        this.#stale = false;
        let value: T;
        try {
          value = await this.#watched.read();
        } catch {
          // The store fails, or is closed. Nobody waits for this read; the next change is read again.
          continue;
        }
        const etag = this.#watched.etagOf(value);
        this.#value = value;
        if (etag === this.#etag) continue;
        this.#etag = etag;
        this.#changed.notify();
        for (const callback of this.#subscribers) callBack(callback, value);
      }
    } finally {
      this.#reading = false;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#changed.close();
    this.#subscribers.clear();
    this.#onClose(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * A resource's value now, and whenever it changes.
 *
 *   const note = db.live('note/1');
 *   const stop = note.subscribe((resource) => render(resource));     // now, and on every change
 *   for await (const resource of note) …                             // the same, as a loop; what changes meanwhile is not queued
 */
import type { ResourceView } from './views.ts';
import { Signal } from './signal.ts';

export class Live implements AsyncIterable<ResourceView | null> {
  readonly subject: string;
  readonly #read: () => Promise<ResourceView | null>;
  readonly #onClose: (live: Live) => void;
  readonly #changed = new Signal();
  readonly #subscribers = new Set<(resource: ResourceView | null) => void>();
  #value: ResourceView | null | undefined;
  #reading = false;
  #stale = false;
  #closed = false;

  constructor(subject: string, read: () => Promise<ResourceView | null>, onClose: (live: Live) => void) {
    this.subject = subject;
    this.#read = read;
    this.#onClose = onClose;
    this.refresh();
  }

  /** undefined until it has been read for the first time; null where there is nothing. */
  get value(): ResourceView | null | undefined {
    return this.#value;
  }

  /** Calls back with the value as soon as it is known, and again after each change. Returns what ends it. */
  subscribe(callback: (resource: ResourceView | null) => void): () => void {
    this.#subscribers.add(callback);
    if (this.#value !== undefined) callback(this.#value);
    return () => this.#subscribers.delete(callback);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ResourceView | null> {
    let seen = 0;
    try {
      while (!this.#closed) {
        await this.#changed.until(() => this.#closed || (this.#value !== undefined && this.#changed.count !== seen));
        if (this.#closed) return;
        seen = this.#changed.count;
        yield this.#value ?? null;
      }
    } finally {
      this.close();
    }
  }

  /** The resource may have changed. Changes that come while it is being read are read once more, together. */
  refresh(): void {
    this.#stale = true;
    if (!this.#reading && !this.#closed) void this.#refresh();
  }

  async #refresh(): Promise<void> {
    this.#reading = true;
    try {
      while (this.#stale && !this.#closed) {
        this.#stale = false;
        const before = this.#value;
        try {
          this.#value = await this.#read();
        } catch {
          // The store fails, or is closed. Nobody waits for this read; the next change is read again.
          continue;
        }
        if (before !== undefined && before?.etag === this.#value?.etag) continue;
        this.#changed.notify();
        for (const callback of this.#subscribers) callback(this.#value);
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

/** Wakes those who wait for a condition that something may have changed. */
import { TidelogError } from '../protocol/errors.ts';

export class Signal {
  readonly #waiting = new Set<() => void>();
  #closed = false;
  /** How often it was raised. */
  count = 0;

  notify(): void {
    this.count++;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  /** Resolves once the condition holds. Throws `closed`, or the signal's reason. */
  async until(holds: () => boolean, signal?: AbortSignal): Promise<void> {
    while (!holds()) {
      signal?.throwIfAborted();
      if (this.#closed) throw new TidelogError('closed');
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          signal?.removeEventListener('abort', wake);
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
        signal?.addEventListener('abort', wake, { once: true });
      });
    }
  }

  close(): void {
    this.#closed = true;
    this.notify();
  }
}

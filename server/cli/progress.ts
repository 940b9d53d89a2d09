/** Progress of what takes longer than a moment: one line on standard error, where that is a terminal. */
import { paint } from '../terminal.ts';

/** What is done sooner needs none. */
const AFTER_MS = 1000;
const EVERY_MS = 100;

export class Progress {
  readonly #beganMs = performance.now();
  #shownMs = 0;

  /** `what` says which part of the work it is. */
  show(what: string, done: number, total: number): void {
    const nowMs = performance.now();
    if (!process.stderr.isTTY || nowMs - this.#beganMs < AFTER_MS || nowMs - this.#shownMs < EVERY_MS) return;
    this.#shownMs = nowMs;
    const share = total > 0 ? `${Math.min(100, Math.floor((done / total) * 100))} %  ` : '';
    process.stderr.write(
      `\r\u001b[K${share}${what}  ${paint('dim', `${done} of ${Math.max(done, total)}`, process.stderr)}`,
    );
  }

  /** Leaves the line clean for what is said next. */
  end(): void {
    if (this.#shownMs > 0) process.stderr.write('\r\u001b[K');
    this.#shownMs = 0;
  }
}

/**
 * Reads batches in a second thread: unpacking, hashing and verifying is more than half of what a bulk sync costs, and needs nothing but the bytes. Order
 * is kept by whoever asks; how much may be on its way is bounded by what is taken in at once (following.ts).
 *
 * The thread is begun by the first large batch, and ended when nothing came for a while. Until it is ready, and for small batches, for which the
 * way there and back would cost more than it saves, the answer is null: read it here.
 */
import { Worker } from 'node:worker_threads';
import type { BatchReader } from '../platform.ts';
import type { ReadBatch } from '../replica/incoming.ts';
import type { BlockData } from '../tables.ts';

export interface ReadRequest {
  readonly number: number;
  readonly space: Uint8Array;
  readonly block: BlockData;
  readonly withRecords: boolean;
}

/** `number` 0: the thread is ready. */
export interface ReadAnswer {
  readonly number: number;
  readonly read: ReadBatch | null;
}

/** Unpacked. About 150 µs of work, against 50 for the way to the thread and back. */
const SMALL_RAW_BYTES = 16 * 1024;
/** With more in the thread than this, the main thread, which would only wait, reads the next itself. */
const WAITING_MAX = 32;
const IDLE_MS = 10_000;

export class ThreadReader implements BatchReader {
  #worker: Worker | null = null;
  #isReady = false;
  #number = 0;
  readonly #waiting = new Map<number, (read: ReadBatch | null) => void>();
  #idle: NodeJS.Timeout | null = null;

  expect(): void {
    this.#worker ??= this.#begin();
  }

  read(space: Uint8Array, block: BlockData, withRecords: boolean): Promise<ReadBatch | null> | null {
    if (block.rawBytes < SMALL_RAW_BYTES) return null;
    this.expect();
    if (!this.#isReady || this.#waiting.size >= WAITING_MAX) return null;
    this.#idle!.refresh();
    const number = ++this.#number;
    const { codec, rawBytes, data } = block;
    return new Promise((resolve) => {
      this.#waiting.set(number, resolve);
      // A copy of just these bytes: a view would be sent with all of the message that it was cut from.
      const own = data.slice();
      const request: ReadRequest = { number, space, block: { codec, rawBytes, data: own }, withRecords };
      this.#worker!.postMessage(request, [own.buffer]);
    });
  }

  #begin(): Worker {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const worker = new Worker(new URL(`./read-worker.${extension}`, import.meta.url));
    this.#idle = setTimeout(() => this.#end(worker), IDLE_MS);
    this.#idle.unref();
    worker.on('message', ({ number, read }: ReadAnswer) => {
      if (number === 0) this.#isReady = true;
      this.#waiting.get(number)?.(read);
      this.#waiting.delete(number);
    });
    // Without the thread all is read here, as it would be on a machine that can't begin one.
    worker.on('error', () => this.#end(worker));
    // After the listeners: one for messages would keep the process alive again.
    worker.unref();
    return worker;
  }

  #end(worker: Worker): void {
    if (this.#worker !== worker) return;
    this.#worker = null;
    this.#isReady = false;
    clearTimeout(this.#idle!);
    for (const resolve of this.#waiting.values()) resolve(null);
    this.#waiting.clear();
    void worker.terminate();
  }
}

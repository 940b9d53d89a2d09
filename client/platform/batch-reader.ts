/**
 * Reads batches in threads beside the main one: unpacking, hashing and verifying is more than half of what a bulk sync costs, and needs nothing but the
 * bytes. Order is kept by whoever asks; how much may be on its way is bounded by what is taken in at once (following.ts).
 *
 * The first thread is begun by the first large batch, the next one when batches wait for those there are and the main thread has nothing else
 * to do than to wait too; all are ended when nothing came for a while. Until one is ready, and for small batches, for which the way there and back would cost more than it saves, the answer is null: read it here.
 */
import { availableParallelism } from 'node:os';
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
/** With more in each thread than this, the main thread, which would only wait, reads the next itself. */
const WAITING_MAX = 32;
/** With more in each thread than this, and the main thread busy for less than this share of this long, another is worth its start. */
const WAITING_FOR_ANOTHER = 4;
const LOOP_BUSY_MAX = 0.7;
const LOOP_MS = 50;
/** More take in faster than any main thread can store. */
const THREADS_MAX = 3;
/** A main thread that makes records into state needs a core of its own; a mirror's hardly does anything. */
const CORES = availableParallelism();
const IDLE_MS = 10_000;

class Thread {
  readonly worker: Worker;
  isReady = false;
  readonly waiting = new Map<number, (read: ReadBatch | null) => void>();

  constructor(onError: () => void) {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    this.worker = new Worker(new URL(`./read-worker.${extension}`, import.meta.url));
    this.worker.on('message', ({ number, read }: ReadAnswer) => {
      if (number === 0) this.isReady = true;
      this.waiting.get(number)?.(read);
      this.waiting.delete(number);
    });
    this.worker.on('error', onError);
    // After the listeners: one for messages would keep the process alive again.
    this.worker.unref();
  }

  end(): void {
    for (const resolve of this.waiting.values()) resolve(null);
    this.waiting.clear();
    void this.worker.terminate();
  }
}

export class ThreadReader implements BatchReader {
  readonly #threads = new Set<Thread>();
  #number = 0;
  #loop = performance.eventLoopUtilization();
  #idle: NodeJS.Timeout | null = null;

  expect(): void {
    if (this.#threads.size === 0) this.#begin();
  }

  read(space: Uint8Array, block: BlockData, withRecords: boolean): Promise<ReadBatch | null> | null {
    if (block.rawBytes < SMALL_RAW_BYTES) return null;
    this.expect();
    const thread = this.#leastBusy();
    if (!thread) return null;
    const most = Math.min(withRecords ? CORES - 1 : CORES, THREADS_MAX);
    if (thread.waiting.size >= WAITING_FOR_ANOTHER && this.#threads.size < most && this.#isLoopWaiting()) this.#begin();
    if (thread.waiting.size >= WAITING_MAX) return null;
    this.#idle!.refresh();
    const number = ++this.#number;
    const { codec, rawBytes, data } = block;
    return new Promise((resolve) => {
      thread.waiting.set(number, resolve);
      // A copy of just these bytes: a view would be sent with all of the message that it was cut from.
      const own = data.slice();
      const request: ReadRequest = { number, space, block: { codec, rawBytes, data: own }, withRecords };
      thread.worker.postMessage(request, [own.buffer]);
    });
  }

  /** Of those that are ready. */
  #leastBusy(): Thread | null {
    let best: Thread | null = null;
    for (const thread of this.#threads)
      if (thread.isReady && (best === null || thread.waiting.size < best.waiting.size)) best = thread;
    return best;
  }

  #isLoopWaiting(): boolean {
    const now = performance.eventLoopUtilization();
    const { idle, active, utilization } = performance.eventLoopUtilization(now, this.#loop);
    if (idle + active < LOOP_MS) return false;
    this.#loop = now;
    return utilization < LOOP_BUSY_MAX;
  }

  #begin(): void {
    // Without the thread all is read here, as it would be on a machine that can't begin one.
    const thread: Thread = new Thread(() => {
      this.#threads.delete(thread);
      thread.end();
    });
    this.#threads.add(thread);
    if (this.#idle) this.#idle.refresh();
    else this.#idle = setTimeout(() => this.#endAll(), IDLE_MS).unref();
  }

  #endAll(): void {
    this.#idle = null;
    for (const thread of this.#threads) thread.end();
    this.#threads.clear();
  }
}

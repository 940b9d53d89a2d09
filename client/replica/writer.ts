/**
 * The one writer of a space. It takes all that waits, admits each job in turn, writes everything in one transaction, and answers each
 * after the disk has it: under load, many writers share one fsync. After a write it sweeps where that is due; small blocks are merged on the side.
 */
import { asTidelogError, TidelogError } from '../../protocol/errors.ts';
import { BrokenGroup, Group } from './group.ts';
import type { GroupContext } from './context.ts';
import type { CommitEntry } from './entry.ts';
import { fillHoles } from './holes.ts';
import { rebuild } from './rebuild.ts';
import { encodeSpace } from '../tables.ts';
import { sweep } from './sweep.ts';
import { Tail } from './tail.ts';

/** Bytes of entries in one transaction, roughly; more would hold the next writer up for too long. */
const GROUP_BYTES_MAX = 8 * 1024 * 1024;
/** Jobs in one transaction. */
const GROUP_JOBS_MAX = 4096;

interface Job<T> {
  /** Adds to the group, or throws and leaves it as it was. */
  readonly take: (group: Group) => Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: TidelogError) => void;
}

export interface WriterEvents {
  /** Entries are on disk. */
  appended(group: Group): void;
  /** Commits that counted were made void. */
  swept(erased: number): void;
  /** Commits that stood erased without a reason have their bodies again. */
  filled(count: number): void;
  /** Work behind the scenes failed; nothing acknowledged is lost. */
  failed(error: TidelogError): void;
}

export class Writer {
  readonly #context: GroupContext;
  readonly #events: WriterEvents;
  readonly #queue: Job<unknown>[] = [];
  readonly #tail: Tail;
  #isDraining = false;
  /** A write failed, and what is in memory may be ahead of the disk. */
  #isStale = false;
  #drained: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(context: GroupContext, events: WriterEvents) {
    this.#context = context;
    this.#events = events;
    this.#tail = new Tail(context);
  }

  /** Looks at the log's end, and finishes what a crash left undone. */
  async open(): Promise<void> {
    const { view } = this.#context;
    await this.#tail.load();
    if (view.sweep) await this.#sweep();
    if (view.isRoleNew) await this.#followRole();
    if (view.rebuild) await rebuild(this.#context);
  }

  /** Resolves with what `take` gave once it is on disk. Rejects with a TidelogError, and then nothing of it was written. */
  run<T>(take: (group: Group) => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new TidelogError('closed'));
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ take, resolve: resolve as (value: unknown) => void, reject });
      if (!this.#isDraining) this.#drained = this.#drain();
    });
  }

  /** Resolves when nothing that is known to be void is in the state any more. At once, except after a revocation. */
  async steady(): Promise<void> {
    if (this.#context.view.sweep && this.#isDraining) await this.#drained;
  }

  /** Takes nothing more; resolves when all that waits is written. */
  async close(): Promise<void> {
    this.#closed = true;
    while (this.#isDraining) await this.#drained;
  }

  async #drain(): Promise<void> {
    this.#isDraining = true;
    // A turn of the loop: writers that start in the same moment share the first transaction.
    await Promise.resolve();
    try {
      while (this.#queue.length > 0) {
        await this.#writeGroup();
      }
    } catch (thrown) {
      // A sweep failed after its writes were answered: what is on disk is whole, what is in memory may not be.
      await this.#reload().catch(() => {});
      this.#events.failed(asTidelogError(thrown));
    } finally {
      this.#isDraining = false;
    }
    if (this.#queue.length > 0) this.#drained = this.#drain();
  }

  /** Reads what is in memory anew from the disk. Where the store fails at that too, it is tried again before the next write. */
  async #reload(): Promise<void> {
    this.#isStale = true;
    await this.#context.view.load();
    this.#isStale = false;
  }

  async #writeGroup(): Promise<void> {
    const { view, store } = this.#context;
    try {
      if (this.#isStale) await this.#reload();
      // One that failed halfway has left a part of the state; no write may go on from that.
      if (view.rebuild) await rebuild(this.#context);
    } catch (thrown) {
      this.#isStale = true;
      for (const job of this.#queue.splice(0)) job.reject(asTidelogError(thrown));
      return;
    }
    const group = new Group(this.#context);
    const taken: { job: Job<unknown>; value: unknown }[] = [];
    try {
      while (this.#queue.length > 0 && taken.length < GROUP_JOBS_MAX && group.bytes < GROUP_BYTES_MAX) {
        const job = this.#queue.shift()!;
        try {
          taken.push({ job, value: await job.take(group) });
        } catch (thrown) {
          // A refusal undid itself. After anything else the group can't be trusted.
          const isRefusal = thrown instanceof TidelogError;
          const reason = thrown instanceof BrokenGroup ? thrown.cause : thrown;
          job.reject(asTidelogError(reason));
          if (!isRefusal) throw reason;
        }
      }
      if (taken.length === 0) return;
      const merge = this.#tail.merge();
      if (merge) view.blockBytes += merge.bytesAdded;
      const ops = group.finish();
      const written = store.write(merge ? [...merge.ops, ...ops] : ops);
      // While the disk is at it. Neither waits for the other where it fails: what was prepared isn't written before the next group.
      const prepared = this.#tail.prepare();
      await written.finally(() => prepared);
      group.settle();
      if (merge) this.#tail.merged(merge);
    } catch (thrown) {
      await this.#reload().catch(() => {});
      const error = asTidelogError(thrown);
      for (const { job } of taken) job.reject(error);
      return;
    }
    this.#tail.add(group.blocks);
    try {
      this.#events.appended(group);
      if (view.sweep) await this.#sweep();
      if (view.isRoleNew) await this.#followRole();
      if (group.fills.length > 0) await this.#fill(group.fills);
    } finally {
      for (const { job, value } of taken) job.resolve(value);
    }
  }

  /** What blocks hold changes. */
  #forgetBlocks(): void {
    this.#tail.forget();
    this.#context.log.noteNewest(null);
  }

  async #sweep(): Promise<void> {
    const { store } = this.#context;
    this.#forgetBlocks();
    const { ops, erased } = await sweep(this.#context);
    await store.write(ops);
    if (erased > 0) this.#events.swept(erased);
  }

  /** A mirror drops its state; one that is no longer a mirror makes it from its log. */
  async #followRole(): Promise<void> {
    const { view } = this.#context;
    view.logOnly = !view.logOnly;
    await rebuild(this.#context);
  }

  async #fill(candidates: readonly CommitEntry[]): Promise<void> {
    const { store, view } = this.#context;
    const { ops, filled } = await fillHoles(this.#context, candidates);
    if (filled === 0) return;
    view.rebuild = true;
    this.#forgetBlocks();
    await store.write([...ops, { table: 'spaces', key: view.space, value: encodeSpace(view.record()) }]);
    if (view.sweep) await this.#sweep();
    await rebuild(this.#context);
    this.#events.filled(filled);
  }

  /** Makes the state anew from the log. What others want to write meanwhile waits. */
  async rebuild(onProgress: (done: number, total: number) => void): Promise<void> {
    while (this.#isDraining) await this.#drained;
    if (this.#closed) throw new TidelogError('closed');
    this.#isDraining = true;
    const done = (): void => {
      this.#isDraining = false;
      if (this.#queue.length > 0) this.#drained = this.#drain();
    };
    const rebuilt = rebuild(this.#context, onProgress)
      .catch((thrown: unknown) => {
        // The disk says that it isn't finished: the next write begins with it.
        this.#isStale = true;
        throw thrown;
      })
      .finally(done);
    this.#drained = rebuilt.catch(() => {});
    await rebuilt;
  }
}

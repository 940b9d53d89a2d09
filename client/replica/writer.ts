/**
 * The one writer of a space. It takes all that waits, admits each job in turn, writes everything in one transaction, and answers each
 * after the disk has it: under load, many writers share one fsync. After a write it sweeps and merges where that is due.
 */
import { BLOCK_ENTRIES_MAX, BLOCK_RAW_BYTES_TARGET } from '../../protocol/constants.ts';
import { asTidelogError, TidelogError } from '../../protocol/errors.ts';
import { batchOf, packBatch } from './block.ts';
import { BrokenGroup, Group } from './group.ts';
import type { GroupContext } from './context.ts';
import type { CommitEntry, LogEntry, PlacedBlock, TailBlock } from './entry.ts';
import { fillHoles } from './holes.ts';
import { rebuild } from './rebuild.ts';
import type { StoreOp } from '../store.ts';
import { dropBlock, encodeSpace, putBlock } from '../tables.ts';
import { sweep } from './sweep.ts';

/** Bytes of entries in one transaction, roughly; more would hold the next writer up for too long. */
const GROUP_BYTES_MAX = 8 * 1024 * 1024;
/** Jobs in one transaction. */
const GROUP_JOBS_MAX = 4096;

/**
 * Small blocks at the log's end are merged in two steps, so that a commit is rewritten twice at the most: 32 blocks of fewer than 32 entries
 * become one, and 16 blocks of fewer than 256 become one.
 */
const MERGE_STEPS = [
  { entriesBelow: 32, blocks: 32 },
  { entriesBelow: BLOCK_ENTRIES_MAX / 2, blocks: 16 },
] as const;

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
  /** Small blocks at the end of the log, oldest first. */
  #tail: TailBlock[] = [];
  #isDraining = false;
  /** A write failed, and what is in memory may be ahead of the disk. */
  #isStale = false;
  #drained: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(context: GroupContext, events: WriterEvents) {
    this.#context = context;
    this.#events = events;
  }

  /** Looks at the log's end, and finishes what a crash left undone. */
  async open(): Promise<void> {
    const { view, log } = this.#context;
    const blocks = await log.blocksBack(view.head, 2 * MERGE_STEPS[0].blocks + 2 * MERGE_STEPS[1].blocks);
    for (const block of blocks) {
      if (!isSmall(block, MERGE_STEPS[1].entriesBelow)) break;
      this.#tail.unshift(block);
    }
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
        await this.#mergeTail();
      }
    } catch (thrown) {
      // A sweep or a merge failed after its writes were answered: what is on disk is whole, what is in memory may not be.
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
      await store.write(group.finish());
      group.settle();
    } catch (thrown) {
      await this.#reload().catch(() => {});
      const error = asTidelogError(thrown);
      for (const { job } of taken) job.reject(error);
      return;
    }
    this.#tail.push(...group.blocks);
    try {
      this.#events.appended(group);
      if (view.sweep) await this.#sweep();
      if (view.isRoleNew) await this.#followRole();
      if (group.fills.length > 0) await this.#fill(group.fills);
    } finally {
      for (const { job, value } of taken) job.resolve(value);
    }
  }

  async #sweep(): Promise<void> {
    const { store } = this.#context;
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

  // ---- merging small blocks

  async #mergeTail(): Promise<void> {
    for (const { entriesBelow, blocks } of MERGE_STEPS) {
      const from = this.#tail.findLastIndex((block) => !isSmall(block, entriesBelow)) + 1;
      if (this.#tail.length - from < blocks) continue;
      const merged = await this.#merge(this.#tail.slice(from));
      this.#tail.splice(from, Number.POSITIVE_INFINITY, ...merged);
    }
    const sealed = this.#tail.findLastIndex((block) => !isSmall(block, MERGE_STEPS[1].entriesBelow));
    this.#tail.splice(0, sealed + 1);
  }

  async #merge(blocks: readonly TailBlock[]): Promise<TailBlock[]> {
    const { view, log, codecs, store } = this.#context;
    const records: PlacedBlock[] = await log.blocksAfter(blocks[0]!.first - 1, blocks.length);
    const before = records.reduce((sum, { dataBytes }) => sum + dataBytes, 0);
    const ops: StoreOp[] = records.flatMap(({ last }) => dropBlock(view.number, last));
    const merged: TailBlock[] = [];
    let after = 0;
    for (const together of joinBlocks(records)) {
      const part: LogEntry[] = [];
      for (const record of together) part.push(...(await log.entries(record)));
      const packed = packBatch(codecs, batchOf(part));
      const first = part[0]!.position;
      const last = part.at(-1)!.position;
      ops.push(...putBlock(view.number, last, packed, log.describe(part, packed)));
      merged.push({ first, last, rawBytes: packed.rawBytes });
      after += packed.data.length;
    }
    view.blockBytes += after - before;
    ops.push({ table: 'spaces', key: view.space, value: encodeSpace(view.record()) });
    await store.write(ops);
    return merged;
  }
}

/** Blocks that make one block, whole ones only: a block may end only where one ended before, and its last signatures were verified. */
function* joinBlocks(blocks: readonly PlacedBlock[]): Generator<PlacedBlock[]> {
  let together: PlacedBlock[] = [];
  let entries = 0;
  let rawBytes = 0;
  for (const block of blocks) {
    const count = block.last - block.first + 1;
    const isFull = entries + count > BLOCK_ENTRIES_MAX || rawBytes + block.rawBytes > BLOCK_RAW_BYTES_TARGET;
    if (together.length > 0 && isFull) {
      yield together;
      together = [];
      entries = 0;
      rawBytes = 0;
    }
    together.push(block);
    entries += count;
    rawBytes += block.rawBytes;
  }
  if (together.length > 0) yield together;
}

function isSmall({ first, last, rawBytes }: TailBlock, entriesBelow: number): boolean {
  return last - first + 1 < entriesBelow && rawBytes < BLOCK_RAW_BYTES_TARGET / 2;
}

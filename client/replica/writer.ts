/**
 * The one writer of a space. It takes all that waits, admits each job in turn, writes everything in one transaction, and answers each
 * after the disk has it: under load, many writers share one fsync. After a write it sweeps where that is due; small blocks are merged on the side.
 */
import { equal } from '../../protocol/bytes.ts';
import { FORKS_PER_DEVICE_MAX } from '../../protocol/constants.ts';
import { asTidelogError, TidelogError } from '../../protocol/errors.ts';
import type { Fork } from '../../protocol/fork.ts';
import { BrokenGroup, Group } from './group.ts';
import type { GroupContext } from './context.ts';
import type { CommitEntry } from './entry.ts';
import { loadBranches } from './forks.ts';
import { fillHoles } from './holes.ts';
import { rebuild } from './rebuild.ts';
import { removeWhatIsLeft, repair } from './repair.ts';
import { Signal } from '../signal.ts';
import { held } from '../store.ts';
import { branchKey, encodeSpace } from '../tables.ts';
import { sweep } from './sweep.ts';
import { Tail } from './tail.ts';

/** Bytes of entries in one transaction, roughly; more would hold the next writer up for too long. */
const GROUP_BYTES_MAX = 8 * 1024 * 1024;
/** Jobs in one transaction. */
const GROUP_JOBS_MAX = 4096;

/** Forks that are taken before the first entry. */
const FORKS_UNJUDGED_MAX = 256;

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
  /** The log was made anew: every position in it is another. */
  repaired(setAside: number): void;
  /** The state was made anew: what was read of it may be otherwise. */
  rebuilt(): void;
  /** A write failed, and members are again who they were before it: others may have been told of what it would have made them. */
  undone(): void;
  /** Work behind the scenes failed; nothing acknowledged is lost. */
  failed(error: TidelogError): void;
}

export class Writer {
  readonly #context: GroupContext;
  readonly #events: WriterEvents;
  readonly #queue: Job<unknown>[] = [];
  /** Who wants to look while nothing is written. */
  readonly #looks: (() => Promise<void>)[] = [];
  readonly #tail: Tail;
  #isDraining = false;
  /** Work on the whole log that goes on or waits: no other group is begun before it. */
  #alone = 0;
  /** A write failed, and what is in memory may be ahead of the disk. */
  #isStale = false;
  /** Members were others in memory than they are on the disk, and whoever looked may have acted on that. */
  #isUndone = false;
  #drained: Promise<void> = Promise.resolve();
  #closed = false;
  /** Wakes who waits for the state. */
  readonly #steadied = new Signal();
  /** How often what stood in the log or the state was changed otherwise than by what came: swept, filled in, made anew; or was judged by what never came. */
  rewrites = 0;

  constructor(context: GroupContext, events: WriterEvents) {
    this.#context = context;
    this.#events = events;
    this.#tail = new Tail(context);
  }

  /** Looks at the log's end, and finishes what a crash left undone where it is to. */
  async open(finishes: boolean): Promise<void> {
    await this.#tail.load();
    if (finishes && this.#mayWrite) await this.#finish();
  }

  /** What a crash, or another that had the store, left undone. */
  async finish(): Promise<void> {
    const { view } = this.#context;
    if (view.sweep || view.isRoleNew || view.rebuild || !view.forks.isEmpty)
      await this.#workAlone(() => this.#finish());
  }

  async #finish(): Promise<void> {
    const { view } = this.#context;
    await loadBranches(this.#context);
    await this.#repairIfDropped();
    // Before it sweeps: past a fork it judges by what is gathered then.
    if (view.rebuild) await this.#rebuild();
    if (view.sweep) await this.#sweep();
    if (view.isRoleNew) await this.#followRole();
  }

  /** Resolves with what `take` gave once it is on disk. Rejects with a TidelogError, and then nothing of it was written. */
  run<T>(take: (group: Group) => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new TidelogError('closed'));
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ take, resolve: resolve as (value: unknown) => void, reject });
      this.#drainOn();
    });
  }

  /**
   * Resolves when the state shows what the log says: nothing that is known to be void is in it any more, and it isn't being made anew. At once, except after
   * a revocation or a fork, or where a hole was filled.
   */
  steady(): Promise<void> {
    return this.#steadied.until(() => this.#isSteady || !this.#isDraining);
  }

  get #isSteady(): boolean {
    const { sweep, rebuild } = this.#context.view;
    return !sweep && !rebuild;
  }

  /** Takes nothing more; resolves when all that waits is written. */
  async close(): Promise<void> {
    this.#closed = true;
    while (this.#isBusy) await this.#drained;
  }

  /** As `close` where the log is empty and nothing that waits fills it; else false, and it goes on. */
  async closeIfEmpty(): Promise<boolean> {
    const { view } = this.#context;
    while (this.#isBusy && view.storedHead === 0) await this.#drained;
    // From here nothing is begun before it is closed.
    if (view.storedHead > 0) return false;
    this.#closed = true;
    return true;
  }

  /** Something is being written, or waits to be: behind work on the whole log too, whose end begins what waits for it. */
  get #isBusy(): boolean {
    return this.#isDraining || this.#alone > 0;
  }

  get #mayWrite(): boolean {
    return this.#context.store.shared?.leads ?? true;
  }

  async #drain(): Promise<void> {
    this.#isDraining = true;
    // A turn of the loop: writers that start in the same moment share the first transaction.
    await Promise.resolve();
    try {
      while ((this.#queue.length > 0 || this.#looks.length > 0) && this.#alone === 0) {
        // Between two groups, so that a queue that is never empty keeps nobody from it.
        for (const look of this.#looks.splice(0)) await look();
        if (this.#queue.length > 0) await this.#writeHeld();
      }
    } catch (thrown) {
      // A sweep failed after its writes were answered: what is on disk is whole, what is in memory may not be.
      await this.#reload().catch(() => {});
      this.#events.failed(asTidelogError(thrown));
    } finally {
      this.#isDraining = false;
      this.#steadied.notify();
    }
    this.#drainOn();
  }

  #drainOn(): void {
    const isWanted = this.#queue.length > 0 || this.#looks.length > 0;
    if (!this.#isDraining && this.#alone === 0 && isWanted) this.#drained = this.#drain();
  }

  /**
   * Calls while nothing is being written, and nothing is until it is done, in no other tab either: the tables are those of the last write, and memory is as
   * they are. It must be short.
   */
  quiet<T>(look: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new TidelogError('closed'));
    return new Promise<T>((resolve, reject) => {
      this.#looks.push(async () => {
        let release = (): void => {};
        try {
          const { shared } = this.#context.store;
          if (shared) release = await shared.hold('write');
          if (this.#isStale) await this.#reload();
          resolve(await look());
        } catch (thrown) {
          reject(asTidelogError(thrown));
        } finally {
          release();
        }
      });
      this.#drainOn();
    });
  }

  /** Reads what is in memory anew from the disk. Where the store fails at that too, it is tried again before the next write. */
  async #reload(): Promise<void> {
    this.#isStale = true;
    await this.#context.view.load();
    // Read from the log, which another may be writing; who doesn't write has no use for them.
    if (this.#mayWrite) await loadBranches(this.#context);
    this.#isStale = false;
    if (!this.#isUndone) return;
    this.#isUndone = false;
    this.#events.undone();
  }

  /** Where the store is shared and can't be had, nothing is written, and who waits is told. */
  async #writeHeld(): Promise<void> {
    const { shared } = this.#context.store;
    if (!shared) return this.#writeGroup();
    let release: () => void;
    try {
      release = await shared.hold('write');
    } catch (thrown) {
      for (const job of this.#queue.splice(0)) job.reject(asTidelogError(thrown));
      return;
    }
    try {
      await this.#writeGroup();
    } finally {
      release();
    }
  }

  /** Another wrote to a shared store: what is in memory is read anew. Nothing is being written here meanwhile. */
  async refresh(): Promise<void> {
    const before = this.#rewritten();
    this.#forgetRead();
    try {
      await this.#reload();
    } finally {
      // Commits that came on top have rewritten nothing: who looks over the log would never be done while another tab writes.
      if (before === null || before !== this.#rewritten() || this.#isStale) this.rewrites++;
    }
    await this.#tail.load();
  }

  /** Changes with all that another rewrites in the log or the state; null while that goes on. */
  #rewritten(): string | null {
    const { number, logOnly, sweep: sweeps, rebuild: rebuilds, facts, forks, holes } = this.#context.view;
    if (sweeps || rebuilds) return null;
    return JSON.stringify([number, logOnly, facts.length, forks.all.length, [...holes.keys()]]);
  }

  /** Resolves when what was to be written at the call is. */
  async settled(): Promise<void> {
    while (this.#alone > 0) await this.#drained;
    if (this.#isDraining) await this.#drained;
  }

  async #writeGroup(): Promise<void> {
    const { view, store } = this.#context;
    try {
      if (this.#isStale) await this.#reload();
      await this.#repairIfDropped();
      // One that failed halfway has left a part of the state; no write may go on from that.
      if (view.rebuild) await this.#rebuild();
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
      // Who looked meanwhile has judged by members that are none.
      if (group.changesMembership) {
        this.rewrites++;
        this.#isUndone = true;
      }
      await this.#reload().catch(() => {});
      const error = asTidelogError(thrown);
      for (const { job } of taken) job.reject(error);
      return;
    }
    this.#tail.add(group.blocks);
    try {
      this.#events.appended(group);
      if (view.rebuild) {
        this.rewrites++;
        await this.#rebuild();
      }
      if (view.sweep) await this.#sweep();
      if (view.isRoleNew) await this.#followRole();
      if (group.fills.length > 0) await this.#fill(group.fills);
    } finally {
      for (const { job, value } of taken) job.resolve(value);
    }
  }

  /** What blocks hold changes. */
  #forgetBlocks(): void {
    this.rewrites++;
    this.#forgetRead();
  }

  #forgetRead(): void {
    this.#tail.forget();
    this.#context.log.noteNewest(null);
  }

  async #sweep(): Promise<void> {
    this.#forgetBlocks();
    const erased = await sweep(this.#context);
    if (erased > 0) this.#events.swept(erased);
    this.#steadied.notify();
  }

  async #rebuild(onProgress?: (done: number, total: number) => void): Promise<void> {
    await rebuild(this.#context, onProgress);
    this.#events.rebuilt();
    this.#steadied.notify();
  }

  /** A mirror drops its state; one that is no longer a mirror makes it from its log. */
  async #followRole(): Promise<void> {
    const { view } = this.#context;
    view.logOnly = !view.logOnly;
    this.rewrites++;
    await this.#rebuild();
  }

  async #fill(candidates: readonly CommitEntry[]): Promise<void> {
    const { store, view } = this.#context;
    const { ops, filled } = await fillHoles(this.#context, candidates);
    if (filled === 0) return;
    view.rebuild = true;
    this.#forgetBlocks();
    await store.write([...ops, { table: 'spaces', key: view.recordKey, value: encodeSpace(view.record()) }]);
    await this.#rebuild();
    if (view.sweep) await this.#sweep();
    this.#events.filled(filled);
  }

  /**
   * Takes in a proven fork: the branch that doesn't count is set aside if it is the one here, and otherwise the state is made anew. Commits are judged by two
   * readings then: what was void may count, and the other way round. False where the fork was known, or is nothing to us: of a stranger's key anybody can
   * make proofs without end, and a member of its own.
   */
  async takeFork(fork: Fork): Promise<boolean> {
    let isNew = false;
    await this.#workAlone(async () => {
      const { view, store } = this.#context;
      const { chain: id, seq, dropped, bytes } = fork;
      if (!this.#isCaredFor(fork) || !view.addFork(fork)) return;
      isNew = true;
      // Its next commit begins a chain that nobody else writes to.
      if (view.ownChain && equal(view.ownChain.id, id)) view.ownChain = null;
      // With the proof, so that a crash leaves nothing as it was judged without it.
      if (view.chainById(id)) {
        view.rebuild = true;
        view.sweep ||= view.hasRevocations;
      }
      await store.write([
        { table: 'forks', key: branchKey(view.space, id, seq, dropped), value: bytes },
        { table: 'spaces', key: view.recordKey, value: encodeSpace(view.record()) },
      ]);
      await loadBranches(this.#context);
      await this.#repairIfDropped();
      if (view.rebuild) await this.#rebuild();
      if (view.sweep) await this.#sweep();
    });
    return isNew;
  }

  #isCaredFor({ device, chain }: Fork): boolean {
    const { view } = this.#context;
    const { all } = view.forks;
    if (all.filter((fork) => equal(fork.device, device)).length >= FORKS_PER_DEVICE_MAX) return false;
    // In a log of which nothing is here yet nobody is known, and what comes may rest on it.
    if (view.head === 0) return all.length < FORKS_UNJUDGED_MAX;
    return view.chainById(chain) !== undefined || view.roleOf(device) !== null || view.isRevoked(device);
  }

  async #repairIfDropped(): Promise<boolean> {
    const { view } = this.#context;
    const isOnDropped = (hex: string): boolean => {
      const chain = view.chainByHex(hex);
      return chain !== undefined && view.forks.droppedFrom(chain) !== null;
    };
    if (![...view.forks.chains].some(isOnDropped)) return false;
    const setAside = await repair(this.#context);
    this.#forgetBlocks();
    // At once: whoever reads by positions reads another log by now.
    this.#events.repaired(setAside);
    await this.#tail.load();
    await loadBranches(this.#context);
    await removeWhatIsLeft(this.#context.store);
    return true;
  }

  /** Makes the state anew from the log. What others want to write meanwhile waits. */
  rebuild(onProgress: (done: number, total: number) => void): Promise<void> {
    return this.#workAlone(() => this.#rebuild(onProgress));
  }

  /** Work on the whole log, with no group beside it. What others want to write meanwhile waits. */
  async #workAlone(work: () => Promise<void>): Promise<void> {
    this.#alone++;
    try {
      while (this.#isDraining) await this.#drained;
      if (this.#closed) throw new TidelogError('closed');
      this.#isDraining = true;
      this.rewrites++;
      const worked = held(this.#context.store, work)
        .catch((thrown: unknown) => {
          // What is in memory may be ahead of the disk, or half of it.
          this.#isStale = true;
          throw thrown;
        })
        .finally(() => {
          this.#isDraining = false;
          this.#steadied.notify();
        });
      this.#drained = worked.catch(() => {});
      await worked;
    } finally {
      this.#alone--;
      this.#drainOn();
    }
  }
}

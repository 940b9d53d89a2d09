/**
 * One space as this peer holds it: write, read, follow. The public face of a replica; what it rests on is one file each in replica/: view
 * (heads in memory), writer → group → admit → state → block, then log for whoever reads, sweep and holes after a revocation.
 *
 *   const write = space.commit([{ subject: 'note/1', ops: { set: { title: 'Milk' } } }]);
 *   await write.stored;                          // on this disk
 *   await write.reached({ peers: 1 });           // on another device's disk
 */
import type { Change } from '../protocol/body.ts';
import { equal, fromHex, toHex } from '../protocol/bytes.ts';
import type { KeyPair } from '../protocol/crypto.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import { asTidelogError, type TidelogError } from '../protocol/errors.ts';
import { readFork, type Fork } from '../protocol/fork.ts';
import type { Role } from '../protocol/membership.ts';
import type { BatchMessage, Filter, SpaceState, StartsFrom } from '../protocol/messages.ts';
import type { Value } from '../protocol/value.ts';
import { Branches } from './branches.ts';
import { auditSpace, type AuditOptions, type SpaceAudit } from './auditing.ts';
import { checkChanges, checkSubject } from './changes.ts';
import { Copying, type Intake } from './copying.ts';
import { DeviceNames } from './device-names.ts';
import { Exchange, type Ingested } from './exchange.ts';
import { History } from './history.ts';
import { Live, type Watched } from './live.ts';
import { proveCommit, type CommitProof } from './log-back.ts';
import type { Platform } from './platform.ts';
import type { GroupContext } from './replica/context.ts';
import type { CopiedTo } from './replica/copy-log.ts';
import type { Condition, Group } from './replica/group.ts';
import type { Incoming, ReadBatch } from './replica/incoming.ts';
import { Log } from './replica/log.ts';
import { ofOneLog } from './replica/moving.ts';
import { View, type Chain } from './replica/view.ts';
import { Writer } from './replica/writer.ts';
import { Reach } from './reach.ts';
import { Resources } from './resources.ts';
import { Signal } from './signal.ts';
import type { Store } from './store.ts';
import { Underway } from './underway.ts';
import type { ConflictView, LoggedCommit, LogOptions, NewestOptions, ResourceView } from './views.ts';

/** A commit of ours that is on its way. */
export interface Write {
  /** Resolves when it is on this disk. */
  readonly stored: Promise<Stored>;
  /** Resolves when it is on the disks of so many other devices. Rejects with `fork` where it was set aside because of one before that. */
  reached(options: { peers: number; signal?: AbortSignal }): Promise<void>;
}

export interface Stored {
  /** Commit id, hex. */
  readonly id: string;
  /** Where it stands in this peer's log. */
  readonly cursor: string;
}

export interface CommitOptions {
  /** Conditions on the state before the commit; one that doesn't hold is `precondition-failed`. */
  readonly ifMatch?: readonly Condition[];
}

export type SpaceEvent =
  | { readonly type: 'appended'; readonly space: Space; readonly head: number; readonly written: number }
  | { readonly type: 'swept'; readonly space: Space; readonly erased: number }
  | { readonly type: 'filled'; readonly space: Space; readonly count: number }
  | { readonly type: 'membership'; readonly space: Space }
  | { readonly type: 'future'; readonly space: Space; readonly device: string; readonly timeUs: number }
  /** A chain has forked: two different commits have one number. */
  | { readonly type: 'forked'; readonly space: Space; readonly fork: Fork }
  /** Of a fork the branch that was here doesn't count: entries were taken out of the log, which begins a new epoch. */
  | { readonly type: 'repaired'; readonly space: Space; readonly setAside: number }
  | { readonly type: 'failed'; readonly space: Space; readonly error: TidelogError };

export interface SpaceContext {
  readonly platform: Platform;
  readonly store: Store;
  readonly keys: KeyPair;
  readonly onEvent: (event: SpaceEvent) => void;
  /** See GroupContext. */
  readonly takeNumber: () => Promise<number>;
}

/** Resources in one commit when a space is merged into another. */
const MERGE_CHANGES = 100;
const MERGE_BYTES = 256 * 1024;

export class Space {
  readonly id: Uint8Array;
  readonly hex: string;
  readonly #context: SpaceContext;
  readonly #view: View;
  readonly #log: Log;
  readonly #writer: Writer;
  readonly #names: DeviceNames;
  readonly #resources: Resources;
  readonly #history: History;
  readonly #exchange: Exchange;
  /** Forks, for people. */
  readonly branches: Branches;
  readonly #copying: Copying;
  /** Wakes whoever follows the log, after the disk has it. */
  readonly #appended = new Signal();
  readonly #reach: Reach;
  readonly #lives = new Set<Pick<Live<unknown>, 'refresh' | 'isTouchedBy' | 'close'>>();
  /** Commits on disk: whoever sees one counted finds what it did. */
  #commits: number;
  readonly #underway = new Underway();
  #isClosed = false;

  private constructor(context: SpaceContext, view: View) {
    const { platform, store, keys } = context;
    const { crypto, random, codecs } = platform;
    this.id = view.space;
    this.hex = view.hex;
    this.#context = context;
    this.#view = view;
    this.#commits = view.commits;
    this.#log = new Log(crypto, store, codecs, view, () => platform.turn());
    const groupContext: GroupContext = {
      crypto,
      random,
      codecs,
      store,
      view,
      log: this.#log,
      keys,
      nowUs: () => platform.nowUs(),
      takeNumber: context.takeNumber,
      turn: () => platform.turn(),
    };
    this.#writer = new Writer(groupContext, {
      appended: (group) => this.#onAppended(group),
      swept: (erased) => {
        this.#readAnew();
        context.onEvent({ type: 'swept', space: this, erased });
        context.onEvent({ type: 'membership', space: this });
      },
      filled: (count) => {
        this.#readAnew();
        context.onEvent({ type: 'filled', space: this, count });
        context.onEvent({ type: 'membership', space: this });
      },
      repaired: (setAside) => {
        this.#readAnew();
        this.#reach.madeAnew();
        this.#appended.notify();
        context.onEvent({ type: 'repaired', space: this, setAside });
        context.onEvent({ type: 'membership', space: this });
      },
      rebuilt: () => this.#readAnew(),
      undone: () => context.onEvent({ type: 'membership', space: this }),
      failed: (error) => context.onEvent({ type: 'failed', space: this, error }),
    });
    this.#reach = new Reach(store, view, this.#log);
    this.#names = new DeviceNames(store, view);
    this.#resources = new Resources(
      crypto,
      store,
      view,
      this.#names,
      (subject) => this.#underway.on(subject),
      () => this.#writer.steady(),
    );
    this.branches = new Branches(store, view, this.#names);
    this.#history = new History(view, this.#log, this.#names, this.#appended);
    this.#copying = new Copying(platform, { view, log: this.#log, writer: this.#writer });
    this.#exchange = new Exchange(context, { view, log: this.#log, writer: this.#writer }, this.#history, (fork) => {
      const taken = this.#onFork(fork);
      taken.catch((thrown: unknown) => context.onEvent({ type: 'failed', space: this, error: asTidelogError(thrown) }));
    });
  }

  /** `finishes`: what a crash left undone. Only who has held a shared store since before the first read may: else that is of an older log. */
  static async open(context: SpaceContext, id: Uint8Array, number: number, finishes = true): Promise<Space> {
    const view = new View(context.platform.crypto, context.store, context.keys.public, id, number);
    await view.load();
    const space = new Space(context, view);
    await space.#writer.open(finishes);
    return space;
  }

  // ---- what it is

  get name(): string {
    return this.#view.name;
  }
  get epoch(): Uint8Array {
    return this.#view.epoch;
  }
  /** Entries in the log, on disk. */
  get head(): number {
    return this.#view.storedHead;
  }
  get filter(): Filter | null {
    return this.#view.filter;
  }
  get chains(): readonly Chain[] {
    return this.#view.chains;
  }
  /** The role of this device; null while it isn't known to be a member. */
  get role(): Role | null {
    return this.roleOf(this.#context.keys.public);
  }

  roleOf(device: Uint8Array): Role | null {
    return this.#view.roleOf(device);
  }

  isRevoked(device: Uint8Array): boolean {
    return this.#view.isRevoked(device);
  }

  members(): { device: Uint8Array; role: Role }[] {
    return (this.#view.membership?.devices() ?? []).map(({ device, role }) => ({ device: fromHex(device)!, role }));
  }

  revokedDevices(): Uint8Array[] {
    return (this.#view.membership?.revokedDevices() ?? []).map((device) => fromHex(device)!);
  }

  /** The last seq of each chain of a device, by hex id: what a revocation of it lets count. */
  chainsOf(device: Uint8Array): Record<string, number> {
    const own = this.#view.chains.filter((chain) => equal(chain.device, device) && chain.seq > 0);
    return Object.fromEntries(own.map(({ hex, seq }) => [hex, seq]));
  }

  get logBytes(): number {
    return this.#view.blockBytes;
  }

  state(): SpaceState {
    const { space, epoch, storedHead: head } = this.#view;
    return { space, epoch, head, digest: this.#view.digest() };
  }

  stats(): {
    head: number;
    commits: number;
    subjects: number;
    conflicts: number;
    chains: number;
    blockBytes: number;
    holes: number;
    clockUs: number;
  } {
    const { storedHead: head, subjects, conflicted, chains, blockBytes, clock } = this.#view;
    return {
      head,
      commits: this.#commits,
      subjects,
      conflicts: conflicted,
      chains: chains.length,
      blockBytes,
      holes: this.#view.holes.size,
      clockUs: clock.last,
    };
  }

  // ---- writing

  /** One atomic commit over any number of subjects. Throws for a change that can't be; `stored` rejects for what only the log can tell. */
  commit(changes: readonly Change[], options: CommitOptions = {}): Write {
    return this.#write(changes, checkChanges(changes), options.ifMatch ?? []);
  }

  set(subject: string, values: Readonly<Record<string, Value>>, options?: CommitOptions): Write {
    return this.commit([{ subject, ops: { set: values } }], options);
  }

  unset(subject: string, properties: readonly string[], options?: CommitOptions): Write {
    return this.commit([{ subject, ops: { unset: properties } }], options);
  }

  destroy(subject: string, options?: CommitOptions): Write {
    return this.commit([{ subject, ops: { destroy: true } }], options);
  }

  /**
   * Changes of the space itself, made by the peer's own functions; see members.ts. What `check` throws, the write is refused with: it looks when the turn of this
   * one has come, at what all before it have done.
   */
  commitReserved(changes: readonly Change[], check?: () => void): Write {
    return this.#write(changes, new Set(changes.map(({ subject }) => subject)), [], check);
  }

  #write(
    changes: readonly Change[],
    subjects: ReadonlySet<string>,
    conditions: readonly Condition[],
    check?: () => void,
  ): Write {
    // Let go of as soon as their bytes are made: the writer holds the job until it is on disk, and changes of many at once that wait for that
    // outlive the young generation.
    let waiting: readonly Change[] = changes;
    const admitted = this.#writer.run((group) => {
      const own = waiting;
      waiting = [];
      check?.();
      return group.addOwn(own, conditions);
    });
    this.#underway.add(subjects, admitted);
    /** Of the log that it was written into. */
    let { epoch } = this.#view;
    const stored = admitted.then(({ id, position }) => {
      ({ epoch } = this.#view);
      return { id: toHex(id), cursor: this.cursorOf(position) };
    });
    // Whoever doesn't await it has chosen not to know; it must not end their process.
    stored.catch(() => {});
    const reached = async ({ peers, signal }: { peers: number; signal?: AbortSignal }): Promise<void> => {
      const entry = await admitted;
      await this.#reach.untilMany(peers, entry, epoch, signal);
    };
    return { stored, reached };
  }

  /** A device said that it has our log, the one with this epoch, up to a position on disk. */
  noteAcked(device: Uint8Array, position: number, epoch: Uint8Array): void {
    if (!this.#reach.note(device, { epoch, position })) return;
    this.#context.store.shared?.acked(this.hex, device, position, epoch);
  }

  /** Another wrote to a shared store. Nothing may be written meanwhile. */
  async refresh(): Promise<void> {
    const view = this.#view;
    const before = { head: view.storedHead, epoch: view.epoch, facts: view.facts.length };
    await this.#writer.refresh();
    // Always: a sweep changes what is shown, and no head.
    this.#readAnew();
    const { onEvent } = this.#context;
    const isAnew = !equal(before.epoch, view.epoch);
    if (isAnew) this.#reach.madeAnew();
    if (isAnew || before.head !== view.storedHead) {
      this.#appended.notify();
      onEvent({ type: 'appended', space: this, head: this.head, written: 0 });
    }
    if (isAnew || before.facts !== view.facts.length) onEvent({ type: 'membership', space: this });
  }

  /** Resolves when a device has on its disk all that is in our log now. */
  reached(device: Uint8Array, signal?: AbortSignal): Promise<void> {
    return this.#reach.untilBy(device, signal);
  }

  ackedBy(device: Uint8Array): number | null {
    return this.#reach.by(device);
  }

  // ---- reading

  /** null where there is nothing. Writes to the subject that were begun before are waited for. */
  get(subject: string): Promise<ResourceView | null> {
    return this.#resources.get(subject);
  }

  /** Resources by ascending subject (in bytes of UTF-8). Those of the space itself only where the prefix begins with `~`. */
  list(options: {
    prefix?: string;
    after?: string;
    limit: number;
  }): Promise<{ items: ResourceView[]; next: string | null }> {
    return this.#resources.list(options);
  }

  async nameOf(device: Uint8Array): Promise<string> {
    return (await this.#names.all()).get(toHex(device)) ?? '';
  }

  /** Is it an owner's key on paper, and no device that runs? */
  async isRecoveryKey(device: Uint8Array): Promise<boolean> {
    return (await this.#names.recoveryKeys()).has(toHex(device));
  }

  conflicts(options: { after?: string; limit: number }): Promise<{ items: ConflictView[]; next: string | null }> {
    return this.#resources.conflicts(options);
  }

  /** A resource's value now, and whenever it changes. It ends when the space is closed; at once where it is. */
  live(subject: string): Live<ResourceView | null> {
    checkSubject(subject);
    return this.#watch({
      read: () => this.get(subject),
      etagOf: (resource) => resource?.etag ?? '',
      isTouchedBy: (changed) => changed.touches(subject),
    });
  }

  /** The first `limit` resources with a prefix by ascending subject, now, and whenever one of them changes, comes or goes. */
  liveList(options: { readonly prefix?: string; readonly limit: number }): Live<readonly ResourceView[]> {
    const { prefix = '', limit } = options;
    return this.#watch<readonly ResourceView[]>({
      read: async () => (await this.list({ prefix, limit })).items,
      etagOf: (resources) => resources.map(({ subject, etag }) => `${subject}\n${etag}`).join('\n'),
      isTouchedBy: (changed) => changed.touchesAny(prefix),
    });
  }

  #watch<T>(watched: Watched<T>): Live<T> {
    const live = new Live(watched, (closed) => this.#lives.delete(closed));
    this.#lives.add(live);
    // Nothing changes any more, and nobody else would end it.
    if (this.#isClosed) live.close();
    return live;
  }

  /** Lines of JSON, one for each resource by ascending subject, with the operations that make it again. Equal states give equal lines. */
  export(prefix = ''): AsyncGenerator<string> {
    return this.#resources.export(prefix);
  }

  /** Writes everything that another space shows into this one, as commits of our own. */
  async mergeFrom(other: Space): Promise<void> {
    let changes: Change[] = [];
    let size = 0;
    for await (const { subject, ops, bytes } of other.#resources.changes('')) {
      if (changes.length >= MERGE_CHANGES || (changes.length > 0 && size + bytes > MERGE_BYTES)) {
        await this.commit(changes).stored;
        changes = [];
        size = 0;
      }
      changes.push({ subject, ops });
      size += bytes;
    }
    if (changes.length > 0) await this.commit(changes).stored;
  }

  // ---- the log

  /** The cursor after an entry, as text: opaque to others, `<epoch>-<position>`. */
  cursorOf(position: number): string {
    return this.#history.cursorOf(position);
  }

  /** Throws `bad-cursor`, and the typed cursor errors with `{epoch, floor, head}`. */
  positionOf(cursor: string): number {
    return this.#history.positionOf(cursor);
  }

  /** Commits in log order, oldest first. */
  log(options: LogOptions = {}): AsyncGenerator<LoggedCommit> {
    return this.#history.commits(options);
  }

  /** The last commits, newest first. `next` goes on further back, and may come with fewer items than asked for, or none. */
  newest(options: NewestOptions): Promise<{ items: LoggedCommit[]; next: string | null }> {
    return this.#history.newest(options);
  }

  /** The commit that a cursor names, and what proves it, checked anew. Throws `not-found` and the cursor errors. */
  async prove(cursor: string): Promise<{ commit: LoggedCommit; proof: CommitProof }> {
    const position = this.positionOf(cursor);
    return ofOneLog(this.#view, this.epoch, async () => {
      const proof = await proveCommit(this.#context.platform.crypto, this.id, this.#log, position);
      return { commit: await this.#history.at(position), proof };
    });
  }

  /** Drops the state and makes it anew from the log; reads wait for it. */
  rebuild(onProgress: (done: number, total: number) => void = () => {}): Promise<void> {
    return this.#writer.rebuild(onProgress);
  }

  /**
   * The log as the bytes of a log file (log-file.ts), up to where it ends now; `after`: what an earlier one doesn't have. Throws `gap-refused`,
   * `cursor-epoch`, `cursor-too-new`; `cursor-epoch` also in the middle, where the log is made anew meanwhile: what came of it is worth nothing then.
   */
  exportLog(after: CopiedTo | null = null): AsyncGenerator<Uint8Array> {
    return this.#copying.export(after);
  }

  /** Takes in the blocks of a log file, judged as if they came from a peer. */
  intake(): Intake {
    return this.#copying.intake();
  }

  /**
   * Looks over the log and the state as they lie on the disk, in pieces beside whatever else is done. Writes nothing. Of a browser's tabs the one that looks
   * takes the lead, so that no other writes in the middle of a piece.
   */
  audit(options: AuditOptions = {}): Promise<SpaceAudit> {
    const { platform, store } = this.#context;
    return auditSpace(platform, store, { view: this.#view, log: this.#log, writer: this.#writer }, options);
  }

  // ---- for connections: see exchange.ts and replica/log.ts

  expectMuch(): void {
    this.#exchange.expectMuch();
  }

  readElsewhere(message: BatchMessage): Promise<ReadBatch | null> | null {
    return this.#exchange.readElsewhere(message);
  }

  read(message: BatchMessage, elsewhere: ReadBatch | null): Incoming {
    return this.#exchange.read(message, elsewhere);
  }

  ingest(...args: Parameters<Exchange['ingest']>): Promise<Ingested> {
    return this.#exchange.ingest(...args);
  }

  saveCursor(...args: Parameters<Exchange['saveCursor']>): Promise<void> {
    return this.#exchange.saveCursor(...args);
  }

  answered(device: Uint8Array): void {
    this.#exchange.answered(device);
  }

  startsFrom(device: Uint8Array, epoch: Uint8Array): Promise<StartsFrom> {
    return this.#exchange.startsFrom(device, epoch);
  }

  vector(): StartsFrom {
    return this.#exchange.vector();
  }

  openFor(from: StartsFrom, device: Uint8Array): Promise<{ position: number; known: Map<string, number> }> {
    return this.#exchange.openFor(from, device);
  }

  /** What another device says of a fork. Throws `bad-fork`. */
  async takeFork(proof: Uint8Array): Promise<void> {
    if (this.forks().some(({ bytes }) => equal(bytes, proof))) return;
    await this.#onFork(readFork(this.#context.platform.crypto, this.id, proof));
  }

  /** Every fork that is known here. */
  forks(): Fork[] {
    return this.#view.forks.all;
  }

  suspect(device: Uint8Array, chain: string): void {
    this.#exchange.suspect(device, chain);
  }

  readFor(...args: Parameters<Log['readFor']>): ReturnType<Log['readFor']> {
    return this.#log.readFor(...args);
  }

  digest(): Uint8Array {
    return this.#view.digest();
  }

  // ---- inside

  async #onFork(fork: Fork): Promise<void> {
    if (!(await this.#writer.takeFork(fork))) return;
    this.#context.onEvent({ type: 'forked', space: this, fork });
  }

  /** What was read before may be otherwise now. */
  #readAnew(): void {
    this.#commits = this.#view.commits;
    this.#names.forget();
    for (const live of this.#lives) live.refresh();
  }

  #onAppended(group: Group): void {
    const { onEvent } = this.#context;
    this.#commits = this.#view.commits;
    if (group.changesMembership) this.#names.forget();
    for (const live of this.#lives) if (live.isTouchedBy(group)) live.refresh();
    for (const { device, timeUs } of group.fromTheFuture) {
      onEvent({ type: 'future', space: this, device: formatDeviceId(device), timeUs });
    }
    if (group.added > 0) {
      this.#appended.notify();
      onEvent({ type: 'appended', space: this, head: this.head, written: group.written });
    }
    if (group.changesMembership) onEvent({ type: 'membership', space: this });
  }

  /** Goes on with what a crash, or another that had a shared store, left undone. */
  async finish(): Promise<void> {
    try {
      await this.#writer.finish();
    } catch (thrown) {
      this.#context.onEvent({ type: 'failed', space: this, error: asTidelogError(thrown) });
    }
  }

  /** Resolves when what was to be written at the call is. */
  settled(): Promise<void> {
    return this.#writer.settled();
  }

  /** Takes nothing more; what waits is written. */
  async close(): Promise<void> {
    await this.#writer.close();
    this.#isClosed = true;
    for (const live of this.#lives) live.close();
    this.#appended.close();
    this.#reach.close();
  }

  /** As `close` where nothing has come, nor comes with what is under way; else false, and it stays open. */
  async closeIfEmpty(): Promise<boolean> {
    if (!(await this.#writer.closeIfEmpty())) return false;
    await this.close();
    return true;
  }
}

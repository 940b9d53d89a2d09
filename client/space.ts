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
import { TidelogError } from '../protocol/errors.ts';
import type { Role } from '../protocol/membership.ts';
import type { BatchMessage, Filter, SpaceState, StartsFrom } from '../protocol/messages.ts';
import type { Value } from '../protocol/value.ts';
import { checkChangeOnce, checkSubject } from './changes.ts';
import { DeviceNames } from './device-names.ts';
import { Exchange, type Ingested } from './exchange.ts';
import { History } from './history.ts';
import { Live } from './live.ts';
import type { Platform } from './platform.ts';
import type { GroupContext } from './replica/context.ts';
import type { Condition, Group } from './replica/group.ts';
import type { Incoming, ReadBatch } from './replica/incoming.ts';
import { Log } from './replica/log.ts';
import { View, type Chain } from './replica/view.ts';
import { Writer } from './replica/writer.ts';
import { Resources } from './resources.ts';
import { Signal } from './signal.ts';
import type { Store } from './store.ts';
import type { ConflictView, LoggedCommit, LogOptions, ResourceView } from './views.ts';

/** A commit of ours that is on its way. */
export interface Write {
  /** Resolves when it is on this disk. */
  readonly stored: Promise<Stored>;
  /** Resolves when it is on the disks of so many other devices. */
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
  | { readonly type: 'failed'; readonly space: Space; readonly error: TidelogError };

export interface SpaceContext {
  readonly platform: Platform;
  readonly store: Store;
  readonly keys: KeyPair;
  readonly onEvent: (event: SpaceEvent) => void;
}

/** From so many changes on, the subjects of a write under way are looked up in its own set: two steps in one large map for each cost more. */
const LARGE_WRITE_CHANGES = 8;

/** A large write that isn't on disk yet. */
interface LargeWrite {
  readonly subjects: ReadonlySet<string>;
  readonly settled: Promise<void>;
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
  /** Wakes whoever follows the log, after the disk has it. */
  readonly #appended = new Signal();
  /** Wakes whoever waits for a write to reach others. */
  readonly #acked = new Signal();
  /** Device (hex) → position of our log that it has on disk. */
  readonly #ackedByDevice = new Map<string, number>();
  readonly #lives = new Set<Live>();
  /** Commits on disk: whoever sees one counted finds what it did. */
  #commits: number;
  /** Subject → small writes to it that aren't on disk yet. Not only the last: one that is refused settles before what came ahead of it. */
  readonly #underway = new Map<string, Promise<void>>();
  readonly #largeUnderway = new Set<LargeWrite>();

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
      turn: () => platform.turn(),
    };
    this.#writer = new Writer(groupContext, {
      appended: (group) => this.#onAppended(group),
      swept: (erased) => {
        this.#commits = view.commits;
        this.#names.forget();
        for (const live of this.#lives) live.refresh();
        context.onEvent({ type: 'swept', space: this, erased });
        context.onEvent({ type: 'membership', space: this });
      },
      filled: (count) => {
        this.#commits = view.commits;
        this.#names.forget();
        for (const live of this.#lives) live.refresh();
        context.onEvent({ type: 'filled', space: this, count });
        context.onEvent({ type: 'membership', space: this });
      },
      failed: (error) => context.onEvent({ type: 'failed', space: this, error }),
    });
    this.#names = new DeviceNames(store, view);
    this.#resources = new Resources(
      crypto,
      store,
      view,
      this.#names,
      (subject) => this.#underwayOf(subject),
      () => this.#writer.steady(),
    );
    this.#history = new History(view, this.#log, this.#names, this.#appended);
    this.#exchange = new Exchange(context, { view, log: this.#log, writer: this.#writer }, this.#history);
  }

  static async open(context: SpaceContext, id: Uint8Array, number: number): Promise<Space> {
    const view = new View(context.platform.crypto, context.store, context.keys.public, id, number);
    await view.load();
    const space = new Space(context, view);
    await space.#writer.open();
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
    if (!Array.isArray(changes) || changes.length === 0) throw new TidelogError('bad-change', 'there are no changes');
    const subjects = new Set<string>();
    for (let i = 0; i < changes.length; i++) {
      const change = (changes as readonly Change[])[i]!;
      checkChangeOnce(change, 'changes', i);
      if (subjects.size === subjects.add(change.subject).size)
        throw new TidelogError('bad-change', `${JSON.stringify(change.subject)} is changed twice`);
    }
    return this.#write(changes, subjects, options.ifMatch ?? []);
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

  /** Changes of the space itself, made by the peer's own functions; see members.ts. */
  commitReserved(changes: readonly Change[]): Write {
    return this.#write(changes, new Set(changes.map(({ subject }) => subject)), []);
  }

  #write(changes: readonly Change[], subjects: ReadonlySet<string>, conditions: readonly Condition[]): Write {
    // Let go of as soon as their bytes are made: the writer holds the job until it is on disk, and changes of many at once that wait for that
    // outlive the young generation.
    let waiting: readonly Change[] = changes;
    const admitted = this.#writer.run((group) => {
      const own = waiting;
      waiting = [];
      return group.addOwn(own, conditions);
    });
    this.#noteUnderway(subjects, admitted);
    const stored = admitted.then(({ id, position }) => ({ id: toHex(id), cursor: this.cursorOf(position) }));
    // Whoever doesn't await it has chosen not to know; it must not end their process.
    stored.catch(() => {});
    const reached = async ({ peers, signal }: { peers: number; signal?: AbortSignal }): Promise<void> => {
      const { position } = await admitted;
      await this.#acked.until(() => this.#countReached(position) >= peers, signal);
    };
    return { stored, reached };
  }

  /** Who reads a subject after having written it reads what it wrote. */
  #noteUnderway(subjects: ReadonlySet<string>, admitted: Promise<unknown>): void {
    const settled: Promise<void> = admitted.then(
      () => {},
      () => {},
    );
    if (subjects.size >= LARGE_WRITE_CHANGES) {
      const write = { subjects, settled };
      this.#largeUnderway.add(write);
      void settled.then(() => this.#largeUnderway.delete(write));
      return;
    }
    for (const subject of subjects) {
      const before = this.#underway.get(subject);
      const all = before ? before.then(() => settled) : settled;
      this.#underway.set(subject, all);
      void all.then(() => {
        if (this.#underway.get(subject) === all) this.#underway.delete(subject);
      });
    }
  }

  /** Until no write to it is under way that was begun before. */
  #underwayOf(subject: string): Promise<unknown> | undefined {
    const small = this.#underway.get(subject);
    const all = small ? [small] : [];
    for (const { subjects, settled } of this.#largeUnderway) if (subjects.has(subject)) all.push(settled);
    return all.length > 1 ? Promise.all(all) : all[0];
  }

  #countReached(position: number): number {
    let count = 0;
    for (const acked of this.#ackedByDevice.values()) if (acked >= position) count++;
    return count;
  }

  /** A device said that it has our log up to a position on disk. */
  noteAcked(device: Uint8Array, position: number): void {
    const hex = toHex(device);
    if (position <= (this.#ackedByDevice.get(hex) ?? -1)) return;
    this.#ackedByDevice.set(hex, position);
    this.#acked.notify();
  }

  ackedBy(device: Uint8Array): number | null {
    return this.#ackedByDevice.get(toHex(device)) ?? null;
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

  conflicts(options: { after?: string; limit: number }): Promise<{ items: ConflictView[]; next: string | null }> {
    return this.#resources.conflicts(options);
  }

  /** A resource's value now, and whenever it changes. */
  live(subject: string): Live {
    checkSubject(subject);
    const live = new Live(
      subject,
      () => this.get(subject),
      (closed) => this.#lives.delete(closed),
    );
    this.#lives.add(live);
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

  /** Drops the state and makes it anew from the log; reads see it grow meanwhile. */
  async rebuild(onProgress: (done: number, total: number) => void = () => {}): Promise<void> {
    await this.#writer.rebuild(onProgress);
    for (const live of this.#lives) live.refresh();
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

  startsFrom(device: Uint8Array, epoch: Uint8Array): Promise<StartsFrom> {
    return this.#exchange.startsFrom(device, epoch);
  }

  vector(): StartsFrom {
    return this.#exchange.vector();
  }

  openFor(from: StartsFrom): Promise<{ position: number; known: Map<string, number> }> {
    return this.#exchange.openFor(from);
  }

  readFor(...args: Parameters<Log['readFor']>): ReturnType<Log['readFor']> {
    return this.#log.readFor(...args);
  }

  digest(): Uint8Array {
    return this.#view.digest();
  }

  // ---- inside

  #onAppended(group: Group): void {
    const { onEvent } = this.#context;
    this.#commits = this.#view.commits;
    if (group.changesMembership) this.#names.forget();
    for (const live of this.#lives) if (group.touches(live.subject)) live.refresh();
    for (const { device, timeUs } of group.fromTheFuture) {
      onEvent({ type: 'future', space: this, device: formatDeviceId(device), timeUs });
    }
    if (group.added > 0) {
      this.#appended.notify();
      onEvent({ type: 'appended', space: this, head: this.head, written: group.written });
    }
    if (group.changesMembership) onEvent({ type: 'membership', space: this });
  }

  /** Takes nothing more; what waits is written. */
  async close(): Promise<void> {
    await this.#writer.close();
    for (const live of this.#lives) live.close();
    this.#appended.close();
    this.#acked.close();
  }
}

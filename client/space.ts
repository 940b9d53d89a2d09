/**
 * One space as this peer holds it: write, read, follow. The public face of a replica; what it rests on is one file each in replica/: view
 * (heads in memory), writer → group → admit → state → block, then log for whoever reads, sweep and holes after a revocation.
 *
 *   const write = space.commit([{ subject: 'note/1', ops: { set: { title: 'Milk' } } }]);
 *   await write.stored;                          // on this disk
 *   await write.reached({ peers: 1 });           // on another device's disk
 */
import { authenticate, type AuthenticBatch } from '../protocol/authenticate.ts';
import { decodeBatch } from '../protocol/batch.ts';
import { decodeKnownBody, type Change, type Ops } from '../protocol/body.ts';
import { compare, equal, fromHex, fromUtf8, toHex } from '../protocol/bytes.ts';
import { DEVICES_PREFIX, RESERVED_PREFIX, VECTOR_CHAINS_MAX } from '../protocol/constants.ts';
import type { KeyPair } from '../protocol/crypto.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import { TidelogError } from '../protocol/errors.ts';
import type { Role } from '../protocol/membership.ts';
import {
  decodeResource,
  propertyAuthor,
  resourceConflicts,
  resourceOps,
  resourceValue,
  type Dot,
  type Resource,
} from '../protocol/merge.ts';
import type { BatchMessage, Filter, SpaceState, StartsFrom } from '../protocol/messages.ts';
import type { Value } from '../protocol/value.ts';
import { unpack } from './replica/block.ts';
import { changeToJson, checkChange, checkSubject } from './changes.ts';
import type { GroupContext } from './replica/context.ts';
import type { Condition, Group } from './replica/group.ts';
import { headsBeforeHoles } from './replica/holes.ts';
import { Live } from './live.ts';
import type { LogEntry } from './replica/entry.ts';
import { Log } from './replica/log.ts';
import type { Platform } from './platform.ts';
import { Signal } from './signal.ts';
import { etagOf } from './replica/state.ts';
import type { Store } from './store.ts';
import { decodeCursor, deviceKey, spaceEnd, subjectKey, type CursorRecord } from './tables.ts';
import { View, type Chain } from './replica/view.ts';
import { Writer } from './replica/writer.ts';
import type { ConflictView, LoggedCommit, LogOptions, PropertyMeta, ResourceView } from './views.ts';

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

/** What a batch that came in has done. */
export interface Ingested {
  /** Entries that are new here. */
  readonly added: number;
  readonly duplicates: number;
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
  /** Wakes whoever follows the log, after the disk has it. */
  readonly #appended = new Signal();
  /** Wakes whoever waits for a write to reach others. */
  readonly #acked = new Signal();
  /** Device (hex) → position of our log that it has on disk. */
  readonly #ackedByDevice = new Map<string, number>();
  readonly #lives = new Set<Live>();
  /** Device (hex) → how many holes there were when it was last asked for them. */
  readonly #askedForHoles = new Map<string, number>();
  /** Subject → the last write to it that isn't on disk yet. */
  readonly #underway = new Map<string, Promise<void>>();
  #names: Map<string, string> | null = null;

  private constructor(context: SpaceContext, view: View) {
    const { platform, store, keys } = context;
    const { crypto, random, codecs } = platform;
    this.id = view.space;
    this.hex = view.hex;
    this.#context = context;
    this.#view = view;
    this.#log = new Log(crypto, store, codecs, view);
    const groupContext: GroupContext = {
      crypto,
      random,
      codecs,
      store,
      view,
      log: this.#log,
      keys,
      nowUs: () => platform.nowUs(),
    };
    this.#writer = new Writer(groupContext, {
      appended: (group) => this.#onAppended(group),
      swept: (erased) => {
        this.#names = null;
        for (const live of this.#lives) live.refresh();
        context.onEvent({ type: 'swept', space: this, erased });
        context.onEvent({ type: 'membership', space: this });
      },
      filled: (count) => {
        this.#names = null;
        for (const live of this.#lives) live.refresh();
        context.onEvent({ type: 'filled', space: this, count });
        context.onEvent({ type: 'membership', space: this });
      },
      failed: (error) => context.onEvent({ type: 'failed', space: this, error }),
    });
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
    const { storedHead: head, commits, subjects, conflicted, chains, blockBytes, clock } = this.#view;
    return {
      head,
      commits,
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
    changes.forEach((change, i) => {
      checkChange(change, `changes[${i}]`);
      if (subjects.has(change.subject))
        throw new TidelogError('bad-change', `${JSON.stringify(change.subject)} is changed twice`);
      subjects.add(change.subject);
    });
    return this.#write(changes, options.ifMatch ?? []);
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
    return this.#write(changes, []);
  }

  #write(changes: readonly Change[], conditions: readonly Condition[]): Write {
    const admitted = this.#writer.run((group) => group.addOwn(changes, conditions));
    this.#noteUnderway(changes, admitted);
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
  #noteUnderway(changes: readonly Change[], admitted: Promise<unknown>): void {
    const settled: Promise<void> = admitted.then(
      () => {},
      () => {},
    );
    for (const { subject } of changes) this.#underway.set(subject, settled);
    void settled.then(() => {
      for (const { subject } of changes) if (this.#underway.get(subject) === settled) this.#underway.delete(subject);
    });
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
  async get(subject: string): Promise<ResourceView | null> {
    checkSubject(subject);
    await this.#underway.get(subject);
    const bytes = await this.#context.store.get('state', subjectKey(this.#view.number, subject));
    return bytes ? await this.#viewOf(subject, bytes) : null;
  }

  /** Resources by ascending subject (in bytes of UTF-8). Those of the space itself only where the prefix begins with `~`. */
  async list(options: {
    prefix?: string;
    after?: string;
    limit: number;
  }): Promise<{ items: ResourceView[]; next: string | null }> {
    const { prefix = '', after, limit } = options;
    const items: ResourceView[] = [];
    for await (const [subject, bytes] of this.#scanState(prefix, after)) {
      if (items.length === limit) return { items, next: items.at(-1)?.subject ?? null };
      items.push(await this.#viewOf(subject, bytes));
    }
    return { items, next: null };
  }

  async *#scanState(prefix: string, after?: string): AsyncGenerator<[subject: string, bytes: Uint8Array]> {
    const { number } = this.#view;
    const start = subjectKey(number, prefix);
    let from = after === undefined ? null : subjectKey(number, after);
    if (from !== null && compare(from, start) < 0) from = null;
    const hideReserved = !prefix.startsWith(RESERVED_PREFIX);
    const end = spaceEnd(number);
    for (;;) {
      const page = await this.#context.store.scan('state', {
        ...(from ? { gt: from } : { gte: start }),
        lt: end,
        limit: 200,
      });
      for (const [key, bytes] of page) {
        const subject = fromUtf8(key.subarray(4));
        if (!subject.startsWith(prefix)) return;
        if (hideReserved && subject.startsWith(RESERVED_PREFIX)) continue;
        yield [subject, bytes];
      }
      if (page.length < 200) return;
      from = page.at(-1)![0];
    }
  }

  async #viewOf(subject: string, bytes: Uint8Array): Promise<ResourceView> {
    const resource = decodeResource(bytes);
    const names = await this.#deviceNames();
    return {
      subject,
      value: resourceValue(resource),
      etag: etagOf(this.#context.platform.crypto, bytes),
      meta: this.#metaOf(resource, names),
    };
  }

  #metaOf(resource: Resource, names: ReadonlyMap<string, string>): Record<string, PropertyMeta> {
    const conflicts = resourceConflicts(resource);
    const meta: Record<string, PropertyMeta> = {};
    for (const name of [...resource.keys()].toSorted()) {
      const conflict = (conflicts.get(name) ?? []).map(({ value, dot }) => ({ value, ...this.#writerOf(dot, names) }));
      meta[name] = { ...this.#writerOf(propertyAuthor(resource.get(name)!), names), conflict };
    }
    return meta;
  }

  #writerOf(
    { chain, time }: Dot,
    names: ReadonlyMap<string, string>,
  ): { device: string; deviceName: string; time: number } {
    const { device, deviceHex } = this.#view.chains[chain]!;
    return { device: formatDeviceId(device), deviceName: names.get(deviceHex) ?? '', time };
  }

  /** What devices are called, by hex key. */
  async #deviceNames(): Promise<ReadonlyMap<string, string>> {
    if (this.#names) return this.#names;
    const names = new Map<string, string>();
    const ids = new Map<string, string>();
    for (const { deviceHex, device } of this.#view.chains) ids.set(formatDeviceId(device), deviceHex);
    for (const { device } of this.members()) ids.set(formatDeviceId(device), toHex(device));
    for (const device of this.revokedDevices()) ids.set(formatDeviceId(device), toHex(device));
    for await (const [subject, bytes] of this.#scanState(DEVICES_PREFIX)) {
      const hex = ids.get(subject.slice(DEVICES_PREFIX.length));
      const { name } = resourceValue(decodeResource(bytes));
      if (hex !== undefined && typeof name === 'string') names.set(hex, name);
    }
    this.#names = names;
    return names;
  }

  async nameOf(device: Uint8Array): Promise<string> {
    return (await this.#deviceNames()).get(toHex(device)) ?? '';
  }

  async conflicts(options: { after?: string; limit: number }): Promise<{ items: ConflictView[]; next: string | null }> {
    const { number } = this.#view;
    const { after, limit } = options;
    const range = after === undefined ? { gte: subjectKey(number, '') } : { gt: subjectKey(number, after) };
    const keys = await this.#context.store.scan('conflicts', { ...range, lt: spaceEnd(number), limit: limit + 1 });
    const items: ConflictView[] = [];
    for (const [key] of keys.slice(0, limit)) {
      const subject = fromUtf8(key.subarray(4));
      for (const [property, { conflict }] of Object.entries((await this.get(subject))?.meta ?? {})) {
        if (conflict.length > 0) items.push({ subject, property, alternatives: conflict });
      }
    }
    return { items, next: keys.length > limit ? fromUtf8(keys[limit - 1]![0].subarray(4)) : null };
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
  async *export(prefix = ''): AsyncGenerator<string> {
    for await (const [subject, bytes] of this.#scanState(prefix)) {
      const ops = resourceOps(decodeResource(bytes));
      if (ops) yield JSON.stringify(changeToJson({ subject, ops: sortKeys(ops) }));
    }
  }

  /** Writes everything that another space shows into this one, as commits of our own. */
  async mergeFrom(other: Space): Promise<void> {
    let changes: Change[] = [];
    let size = 0;
    for await (const [subject, bytes] of other.#scanState('')) {
      const ops = resourceOps(decodeResource(bytes));
      if (ops === null) continue;
      if (changes.length >= MERGE_CHANGES || (changes.length > 0 && size + bytes.length > MERGE_BYTES)) {
        await this.commit(changes).stored;
        changes = [];
        size = 0;
      }
      changes.push({ subject, ops });
      size += bytes.length;
    }
    if (changes.length > 0) await this.commit(changes).stored;
  }

  // ---- the log

  /** The cursor after an entry, as text: opaque to others, `<epoch>-<position>`. */
  cursorOf(position: number): string {
    return `${toHex(this.#view.epoch)}-${position}`;
  }

  /** Throws `bad-cursor`, and the typed cursor errors with `{epoch, floor, head}`. */
  positionOf(cursor: string): number {
    if (cursor === '0') return 0;
    const match = /^([0-9a-f]{16})-(0|[1-9][0-9]{0,15})$/.exec(cursor);
    if (!match) throw new TidelogError('bad-cursor', JSON.stringify(cursor.slice(0, 60)));
    this.#checkCursor(fromHex(match[1]!)!, Number(match[2]));
    return Number(match[2]);
  }

  #checkCursor(epoch: Uint8Array, seq: number): void {
    const { head } = this;
    const detail = { epoch: toHex(this.#view.epoch), floor: 0, head };
    if (!equal(epoch, this.#view.epoch))
      throw new TidelogError('cursor-epoch', `the epoch here is ${detail.epoch}`, detail);
    if (seq > head) throw new TidelogError('cursor-too-new', `${seq}, and the log ends at ${head}`, detail);
  }

  /** Commits in log order, oldest first. */
  async *log(options: LogOptions = {}): AsyncGenerator<LoggedCommit> {
    const { after = '0', subject, prefix, live = false, signal } = options;
    let position = this.positionOf(after);
    const filter: Filter | null =
      subject !== undefined ? { kind: 'subject', subject } : prefix ? { kind: 'prefix', prefix } : null;
    for (;;) {
      const { head } = this;
      const seen = this.#appended.count;
      for await (const commit of this.#logged(filter, position)) {
        signal?.throwIfAborted();
        position = commit.position;
        yield commit.logged;
      }
      position = Math.max(position, head);
      if (!live) return;
      await this.#appended.until(() => this.#appended.count !== seen, signal);
    }
  }

  async *#logged(filter: Filter | null, after: number): AsyncGenerator<{ position: number; logged: LoggedCommit }> {
    const names = await this.#deviceNames();
    if (filter !== null) {
      for await (const { entry, body } of this.#log.commitsOn(filter, after)) {
        yield {
          position: entry.position,
          logged: { ...this.#loggedPlace(entry, names), time: body.time, changes: body.changes, erased: false },
        };
      }
      return;
    }
    for await (const entry of this.#log.after(after)) {
      if (entry.kind === 'gap') continue;
      const place = this.#loggedPlace(entry, names);
      if (entry.kind === 'erased') {
        yield { position: entry.position, logged: { ...place, time: null, changes: [], erased: true } };
      } else {
        const { time, changes } = decodeKnownBody(entry.body);
        yield { position: entry.position, logged: { ...place, time, changes, erased: false } };
      }
    }
  }

  #loggedPlace(
    { position, id, chain }: LogEntry,
    names: ReadonlyMap<string, string>,
  ): Pick<LoggedCommit, 'cursor' | 'id' | 'device' | 'deviceName'> {
    return {
      cursor: this.cursorOf(position),
      id: toHex(id),
      device: formatDeviceId(chain.device),
      deviceName: names.get(chain.deviceHex) ?? '',
    };
  }

  /** Drops the state and makes it anew from the log; reads see it grow meanwhile. */
  async rebuild(onProgress: (done: number, total: number) => void = () => {}): Promise<void> {
    await this.#writer.rebuild(onProgress);
    for (const live of this.#lives) live.refresh();
  }

  // ---- for connections

  /** Unpacks a batch and checks what needs nothing but its bytes. */
  authenticate(message: BatchMessage): AuthenticBatch {
    const { crypto, codecs } = this.#context.platform;
    return authenticate(crypto, this.id, decodeBatch(unpack(codecs, message)));
  }

  /**
   * Stores what is new in a batch, and our cursor in the sender's log with it. Throws what is wrong with it; then nothing of it was taken, and nothing
   * of those behind it on the same line will be: their cursor would pass over it.
   */
  ingest(
    batch: AuthenticBatch,
    message: BatchMessage,
    from: { readonly device: Uint8Array; readonly epoch: Uint8Array; readonly line: { isBroken: boolean } },
  ): Promise<Ingested> {
    const { device, epoch, line } = from;
    const ingested = this.#writer.run(async (group) => {
      if (line.isBroken) throw new TidelogError('aborted', 'a batch before it was refused');
      try {
        const before = await group.cursor(device);
        const headBefore = this.#view.head;
        const { entries, duplicates } = await group.addBatch(batch, message);
        // Whatever came or was written since the last batch may stand in their log after this one.
        const isAllTheirs =
          headBefore === 0 ||
          (before !== null &&
            equal(before.epoch, epoch) &&
            before.seq === message.prev &&
            before.ownHead === headBefore);
        group.setCursor(device, { epoch, seq: message.last, ownHead: isAllTheirs ? this.#view.head : null });
        return { added: entries.length, duplicates };
      } catch (thrown) {
        line.isBroken = true;
        throw thrown;
      }
    });
    ingested.catch(() => {
      line.isBroken = true;
    });
    return ingested;
  }

  /** Notes where we are in another device's log, when no batch did: there is nothing up to the cursor that we lack, and `digest` is theirs there. */
  async saveCursor(
    device: Uint8Array,
    cursor: { readonly epoch: Uint8Array; readonly seq: number; readonly digest: Uint8Array },
  ): Promise<void> {
    const { epoch, seq, digest } = cursor;
    const view = this.#view;
    const saved = await this.#cursor(device);
    if (saved && equal(saved.epoch, epoch) && saved.seq === seq && saved.ownHead === view.head) return;
    await this.#writer.run(async (group) => {
      const before = await group.cursor(device);
      const isSame = view.head === view.storedHead && equal(view.digest(), digest);
      const ownHead = isSame ? view.head : before && equal(before.epoch, epoch) ? before.ownHead : null;
      group.setCursor(device, { epoch, seq, ownHead });
    });
  }

  async #cursor(device: Uint8Array): Promise<CursorRecord | null> {
    const bytes = await this.#context.store.get('cursors', deviceKey(this.#view.number, device));
    return bytes ? decodeCursor(bytes) : null;
  }

  /**
   * How to begin with a device whose log has this epoch. A cursor does if nothing came from anywhere else since it was stored; otherwise the
   * vector, by which nothing is sent twice.
   */
  async startsFrom(device: Uint8Array, epoch: Uint8Array): Promise<StartsFrom> {
    const heads = this.#view.heads();
    if (heads.length === 0) return { kind: 'all' };
    if (this.#view.holes.size > 0 && heads.length <= VECTOR_CHAINS_MAX && this.#asksForHoles(device)) {
      return { kind: 'vector', heads: await headsBeforeHoles(this.#view, this.#log) };
    }
    const saved = await this.#cursor(device);
    if (saved && equal(saved.epoch, epoch) && (saved.ownHead === this.head || heads.length > VECTOR_CHAINS_MAX)) {
      return { kind: 'cursor', epoch, seq: saved.seq };
    }
    return this.vector();
  }

  /** The whole of what we have; or all from the beginning, where that is too long to say. */
  vector(): StartsFrom {
    const heads = this.#view.heads();
    return heads.length > VECTOR_CHAINS_MAX ? { kind: 'all' } : { kind: 'vector', heads };
  }

  /** Once for each device and number of holes: one that can't fill them would send the rest of the chain again at every connection. */
  #asksForHoles(device: Uint8Array): boolean {
    const hex = toHex(device);
    const holes = this.#view.holes.size;
    if (this.#askedForHoles.get(hex) === holes) return false;
    this.#askedForHoles.set(hex, holes);
    return true;
  }

  /**
   * Where in our log a subscription begins, and what the subscriber has from elsewhere.
   * Throws the cursor errors, and `fork` where its vector has another commit at one of our heads.
   */
  async openFor(from: StartsFrom): Promise<{ position: number; known: Map<string, number> }> {
    const known = new Map<string, number>();
    if (from.kind === 'all') return { position: 0, known };
    if (from.kind === 'cursor') {
      this.#checkCursor(from.epoch, from.seq);
      return { position: from.seq, known };
    }
    for (const { chain: id, seq, id: head } of from.heads) {
      const chain = this.#view.chainById(id);
      if (chain?.stored.seq === seq && !equal(chain.stored.head, head)) {
        throw new TidelogError('fork', `seq ${seq} of chain ${chain.hex}`, {
          chain: chain.hex,
          device: chain.deviceHex,
          seq,
        });
      }
      // They have more of our own chain than we: this store was rolled back or copied. What we write next begins a new chain.
      if (chain && chain === this.#view.ownChain && seq > chain.seq) await this.#beginNewChain();
      known.set(toHex(id), seq);
    }
    return { position: await this.#log.positionOf(known), known };
  }

  async #beginNewChain(): Promise<void> {
    await this.#writer.run(async () => {
      this.#view.ownChain = null;
    });
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
    const subjects = new Set<string>();
    for (const entry of group.entries) {
      if (entry.kind === 'commit') for (const { subject } of entry.parsed.changes) subjects.add(subject);
    }
    let membershipChanged = false;
    for (const subject of subjects) {
      if (!subject.startsWith(RESERVED_PREFIX)) continue;
      membershipChanged = true;
      this.#names = null;
    }
    for (const live of this.#lives) if (subjects.has(live.subject)) live.refresh();
    for (const { device, timeUs } of group.fromTheFuture) {
      onEvent({ type: 'future', space: this, device: formatDeviceId(device), timeUs });
    }
    if (group.entries.length > 0) {
      this.#appended.notify();
      onEvent({ type: 'appended', space: this, head: this.head, written: group.written });
    }
    if (membershipChanged) onEvent({ type: 'membership', space: this });
  }

  /** Takes nothing more; what waits is written. */
  async close(): Promise<void> {
    await this.#writer.close();
    for (const live of this.#lives) live.close();
    this.#appended.close();
    this.#acked.close();
  }
}

function sortKeys(ops: Ops): Ops {
  const sorted = (value: Value): Value => {
    if (Array.isArray(value)) return (value as readonly Value[]).map(sorted);
    if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value;
    const map = value as Record<string, Value>;
    return Object.fromEntries(
      Object.keys(map)
        .toSorted()
        .map((key) => [key, sorted(map[key]!)]),
    );
  };
  return sorted(ops as unknown as Value) as unknown as Ops;
}

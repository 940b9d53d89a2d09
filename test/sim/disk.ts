/**
 * A store on a simulated disk. A write is one transaction that an event resolves later; until then a crash may or may not have it, and of several such the
 * disk has the first few, in order. Torn writes inside a transaction are the journal's and LMDB's to survive, and are tested with their files.
 */
import { MemoryStore } from '../../client/memory-store.ts';
import { TABLES, type ScanRange, type Store, type StoreEntry, type StoreOp, type Table } from '../../client/store.ts';
import { TidelogError } from '../../protocol/errors.ts';
import type { Random } from './random.ts';
import type { Owner, World } from './world.ts';

/** Any key is one byte or more. */
const FIRST_KEY = new Uint8Array([0]);

/** Everything on a disk. */
export type Image = MemoryStore;

export function copyImage(image: Image): Image {
  const copy = new MemoryStore();
  for (const table of TABLES) {
    const rows = image.scan(table, { gte: FIRST_KEY, limit: Number.MAX_SAFE_INTEGER });
    void copy.write(rows.map(([key, value]) => ({ table, key, value })));
  }
  return copy;
}

export interface DiskTraits {
  /** Does a read see writes that haven't resolved? The contract leaves it open, and both kinds exist. */
  readonly readsPending: boolean;
  /** Do reads take time, as IndexedDB's do, or answer at once, as LMDB's? */
  readonly slowReads: boolean;
  /** Of a write, µs. */
  readonly latencyUs: number;
}

interface Pending {
  readonly ops: readonly StoreOp[];
  readonly resolve: () => void;
  readonly reject: (error: TidelogError) => void;
}

/** What outlives processes. One process at a time has it mounted. */
export class Disk {
  readonly traits: DiskTraits;
  readonly name: string;
  /** What a power cut leaves. */
  durable: Image = new MemoryStore();
  /** Counts what was made durable, and what came in its place. */
  version = 0;
  /** Nothing more fits. */
  full = false;
  /** Of writes: how many times their time they take. */
  slowness = 1;
  /** After so many writes (to this table) `onCrashPoint` is called in place of an answer; null for never. */
  crashAt: { writes: number; readonly table: Table | null } | null = null;
  onCrashPoint: () => void = () => {};
  readonly #world: World;
  readonly #random: Random;
  #mounted: Mounted | null = null;

  constructor(world: World, name: string, traits: DiskTraits) {
    this.#world = world;
    this.name = name;
    this.traits = traits;
    this.#random = world.random.fork(`disk ${name}`);
  }

  mount(owner: Owner): Store {
    this.#mounted = new Mounted(this.#world, this, this.#random, owner);
    return this.#mounted;
  }

  get isBusy(): boolean {
    return this.#mounted !== null && this.#mounted.pending.length > 0;
  }

  /** Of what wasn't resolved a prefix is there, as the seed will have it. */
  crash(): void {
    const pending = this.#mounted?.pending ?? [];
    const survivors = this.#random.int(0, pending.length);
    if (pending.length > 0)
      this.#world.note(`${this.name}: of ${pending.length} writes under way ${survivors} survive`);
    for (const { ops } of pending.slice(0, survivors)) this.apply(ops);
    this.#mounted = null;
  }

  apply(ops: readonly StoreOp[]): void {
    void this.durable.write(ops);
    this.version++;
  }

  isCrashPoint(ops: readonly StoreOp[]): boolean {
    const { crashAt } = this;
    if (crashAt === null || (crashAt.table !== null && !ops.some(({ table }) => table === crashAt.table))) return false;
    if (crashAt.writes-- > 0) return false;
    this.crashAt = null;
    return true;
  }

  /** Nobody may have it mounted. */
  replace(image: Image): void {
    this.durable = copyImage(image);
    this.version++;
  }
}

class Mounted implements Store {
  readonly kind = 'simulated';
  readonly #world: World;
  readonly #disk: Disk;
  readonly #random: Random;
  readonly #owner: Owner;
  /** What its reads see, where that is more than what is durable. */
  #seen: Image | null;
  readonly pending: Pending[] = [];
  #closing: (() => void) | null = null;
  #closed = false;

  constructor(world: World, disk: Disk, random: Random, owner: Owner) {
    this.#world = world;
    this.#disk = disk;
    this.#random = random;
    this.#owner = owner;
    this.#seen = disk.traits.readsPending ? copyImage(disk.durable) : null;
  }

  get(table: Table, key: Uint8Array): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    return this.#read((image) => image.get(table, key));
  }

  getMany(table: Table, keys: readonly Uint8Array[]): (Uint8Array | undefined)[] | Promise<(Uint8Array | undefined)[]> {
    return this.#read((image) => image.getMany(table, keys));
  }

  scan(table: Table, range: ScanRange): StoreEntry[] | Promise<StoreEntry[]> {
    return this.#read((image) => image.scan(table, range));
  }

  #read<T>(read: (image: Image) => T): T | Promise<T> {
    const now = (): T => {
      if (this.#closed) throw new TidelogError('closed');
      return read(this.#seen ?? this.#disk.durable);
    };
    if (!this.#disk.traits.slowReads) return now();
    return new Promise((resolve, reject) => {
      this.#world.after(this.#random.int(1, 300), this.#owner, `${this.#disk.name} read`, () => {
        try {
          resolve(now());
        } catch (thrown) {
          reject(thrown instanceof Error ? thrown : new Error(String(thrown)));
        }
      });
    });
  }

  write(ops: readonly StoreOp[]): Promise<void> {
    if (this.#closed || this.#closing) return Promise.reject(new TidelogError('closed'));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // The caller may use its bytes for something else once this resolves, and not before: no copies.
    this.pending.push({ ops, resolve, reject });
    if (this.#seen) void this.#seen.write(ops);
    if (this.pending.length === 1) this.#next();
    return promise;
  }

  #next(): void {
    const { latencyUs } = this.#disk.traits;
    const us = latencyUs * (0.5 + this.#random.fraction()) * this.#disk.slowness * (this.#random.chance(0.01) ? 50 : 1);
    this.#world.after(us, this.#owner, `${this.#disk.name} write`, () => {
      const write = this.pending.shift()!;
      if (this.#disk.full) this.#refuse(write);
      else {
        this.#disk.apply(write.ops);
        // On disk, and nobody was told.
        if (this.#disk.isCrashPoint(write.ops)) return this.#disk.onCrashPoint();
        write.resolve();
      }
      if (this.pending.length > 0) this.#next();
      else this.#closing?.();
    });
  }

  /** What it failed to take, its reads see no more. */
  #refuse(write: Pending): void {
    if (this.#seen) {
      this.#seen = copyImage(this.#disk.durable);
      for (const { ops } of this.pending) void this.#seen.write(ops);
    }
    write.reject(new TidelogError('store-full'));
  }

  size(): number {
    return this.#disk.durable.size();
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#closing = () => {
        this.#closed = true;
        resolve();
      };
      if (this.pending.length === 0) this.#closing();
    });
  }
}

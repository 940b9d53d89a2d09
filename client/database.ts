/** The library's front door: one peer, its default space, and the calls that a program makes all day. Everything else is on `peer` and `space`. */
import type { Change, Ops } from '../protocol/body.ts';
import { utf8 } from '../protocol/bytes.ts';
import type { KeyPair } from '../protocol/crypto.ts';
import type { Filter } from '../protocol/messages.ts';
import type { Value } from '../protocol/value.ts';
import { checkChanges } from './changes.ts';
import type { Connection } from './connection.ts';
import type { PeerEvent } from './events.ts';
import type { Live } from './live.ts';
import { Peer } from './peer.ts';
import type { Platform } from './platform.ts';
import type { CommitOptions, Space, Write } from './space.ts';
import type { Store } from './store.ts';
import type { LoggedCommit, LogOptions, ResourceView } from './views.ts';

export interface OpenOptions {
  readonly store: Store;
  readonly platform: Platform;
  readonly name: string;
  /** The device's key; without it, one is made at the first opening and kept in the store. */
  readonly keys?: KeyPair;
  /** Hold only one subject, or those with a prefix, of the spaces that are joined. */
  readonly only?: { readonly subject: string } | { readonly prefix: string };
  readonly onEvent?: (event: PeerEvent) => void;
}

/** In `meta`: the seed of the device's key. */
export const DEVICE_KEY = utf8('device-key');

/** Opens a peer over a store. Closing the database closes the store. */
export async function open(options: OpenOptions): Promise<Database> {
  const { store, platform, name, only, onEvent } = options;
  const keys = options.keys ?? (await storedKeys(store, platform));
  const filter: Filter | null =
    only === undefined
      ? null
      : 'subject' in only
        ? { kind: 'subject', subject: only.subject }
        : { kind: 'prefix', prefix: only.prefix };
  const peer = await Peer.open({ store, platform, keys, name, only: filter, ...(onEvent && { onEvent }) });
  if (store.shared?.leads ?? true) peer.dialKnown();
  return new Database(peer, store);
}

async function storedKeys(store: Store, platform: Platform): Promise<KeyPair> {
  const kept = await store.get('meta', DEVICE_KEY);
  if (kept) return platform.crypto.ed25519KeyPair(kept);
  const seed = platform.random(32);
  await store.write([{ table: 'meta', key: DEVICE_KEY, value: seed }]);
  return platform.crypto.ed25519KeyPair(seed);
}

export interface TransactionChange {
  set?: Record<string, Value>;
  unset?: string[];
  inc?: Record<string, number>;
  add?: Record<string, Value[]>;
  remove?: Record<string, Value[]>;
  destroy?: true;
}

/** Collects the changes of one commit. */
export class Transaction {
  readonly #changes = new Map<string, TransactionChange>();

  #on(subject: string): TransactionChange {
    const change = this.#changes.get(subject) ?? {};
    this.#changes.set(subject, change);
    return change;
  }

  set(subject: string, values: Readonly<Record<string, Value>>): this {
    const change = this.#on(subject);
    change.set = { ...change.set, ...values };
    return this;
  }
  unset(subject: string, ...properties: readonly string[]): this {
    const change = this.#on(subject);
    change.unset = [...new Set([...(change.unset ?? []), ...properties])];
    return this;
  }
  inc(subject: string, property: string, amount = 1): this {
    const change = this.#on(subject);
    change.inc = { ...change.inc, [property]: (change.inc?.[property] ?? 0) + amount };
    return this;
  }
  add(subject: string, property: string, ...values: readonly Value[]): this {
    const change = this.#on(subject);
    change.add = { ...change.add, [property]: [...(change.add?.[property] ?? []), ...values] };
    return this;
  }
  remove(subject: string, property: string, ...values: readonly Value[]): this {
    const change = this.#on(subject);
    change.remove = { ...change.remove, [property]: [...(change.remove?.[property] ?? []), ...values] };
    return this;
  }
  /** Removes what is there; what the same transaction sets stays. */
  destroy(subject: string): this {
    this.#on(subject).destroy = true;
    return this;
  }

  changes(): Change[] {
    return [...this.#changes].map(([subject, ops]) => ({ subject, ops: ops as Ops }));
  }
}

export class Database implements AsyncDisposable {
  readonly peer: Peer;
  readonly #store: Store;
  /** While the first write makes its space. All that is begun meanwhile waits for it, in the order of the calls; then nothing does. */
  #making: Promise<Space> | null = null;
  #closing: Promise<void> | null = null;

  constructor(peer: Peer, store: Store) {
    this.peer = peer;
    this.#store = store;
  }

  /** Device ID. */
  get id(): string {
    return this.peer.id;
  }

  /** The default space; throws `unknown-space` before a first write is stored, or a pairing. So do `live`, `liveList` and `log`. */
  get space(): Space {
    return this.peer.space();
  }

  /** Sets properties of one subject. Returns at once. */
  set(subject: string, values: Readonly<Record<string, Value>>, options?: CommitOptions): Write {
    return this.commit((tx) => tx.set(subject, values), options);
  }
  unset(subject: string, ...properties: readonly string[]): Write {
    return this.commit((tx) => tx.unset(subject, ...properties));
  }
  destroy(subject: string, options?: CommitOptions): Write {
    return this.commit((tx) => tx.destroy(subject), options);
  }

  /** One atomic commit over any number of subjects. Returns at once; throws for a change that can't be. */
  commit(build: (tx: Transaction) => void, options?: CommitOptions): Write {
    const tx = new Transaction();
    build(tx);
    const changes = tx.changes();
    if (this.#making === null && this.peer.spaces.length > 0) return this.space.commit(changes, options);
    // The first write of a device that isn't paired makes the space that it goes to; what would be refused makes none.
    checkChanges(changes);
    this.#making ??= this.#makeSpace();
    const write = this.#making.then((space) => space.commit(changes, options));
    const stored = write.then((begun) => begun.stored);
    stored.catch(() => {});
    return { stored, reached: async (condition) => (await write).reached(condition) };
  }

  #makeSpace(): Promise<Space> {
    const making = this.peer.homeSpace();
    const made = (): void => {
      this.#making = null;
    };
    // The first that hears of it: those who wait hear of it right after, with nothing between, so that whoever doesn't wait any more comes behind them.
    making.then(made, made);
    return making;
  }

  /** null where there is nothing. A write that was begun before is waited for. */
  async get(subject: string): Promise<ResourceView | null> {
    if (this.#making) await this.#making.catch(() => {});
    return this.peer.spaces.length === 0 ? null : this.space.get(subject);
  }

  async list(
    options: { prefix?: string; after?: string; limit?: number } = {},
  ): Promise<{ items: ResourceView[]; next: string | null }> {
    if (this.#making) await this.#making.catch(() => {});
    if (this.peer.spaces.length === 0) return { items: [], next: null };
    return this.space.list({ limit: 100, ...options });
  }

  /** A resource now, and whenever it changes. */
  live(subject: string): Live<ResourceView | null> {
    return this.space.live(subject);
  }

  /** The resources with a prefix, now, and whenever one of them changes, comes or goes; the first thousand, if no limit is given. */
  liveList(options: { prefix?: string; limit?: number } = {}): Live<readonly ResourceView[]> {
    return this.space.liveList({ limit: 1000, ...options });
  }

  log(options?: LogOptions): AsyncGenerator<LoggedCommit> {
    return this.space.log(options);
  }

  /** Connects to a node by URL, or joins by a pairing link; keeps connected from then on. */
  async connect(urlOrInvite: string, options: { signal?: AbortSignal } = {}): Promise<Connection> {
    if (urlOrInvite.includes('#pair=')) return (await this.peer.join(urlOrInvite, options)).connection;
    return this.peer.connect(urlOrInvite, options);
  }

  /** Takes nothing more; resolves when what was begun is written and the store is closed, however often it is called. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    // What waits for its space goes to it, and is written.
    if (this.#making) await this.#making.catch(() => {});
    try {
      await this.peer.close();
    } finally {
      await this.#store.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

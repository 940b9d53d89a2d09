/** Reading a space's resources: one, a list, those in conflict, all of them as lines. */
import type { Change, Ops } from '../protocol/body.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import { TidelogError } from '../protocol/errors.ts';
import { isReserved } from '../protocol/membership.ts';
import {
  decodeResource,
  propertyAuthor,
  resourceConflicts,
  resourceOps,
  resourceValue,
  type Dot,
  type Resource,
} from '../protocol/merge.ts';
import type { Value } from '../protocol/value.ts';
import { changeToJson, checkSubject } from './changes.ts';
import type { DeviceNames } from './device-names.ts';
import { isStillNumber } from './replica/moving.ts';
import { etagOf, scanState } from './replica/state.ts';
import type { View } from './replica/view.ts';
import type { MaybePromise, Store, StoreEntry } from './store.ts';
import { keySubject, spaceEnd, subjectKey } from './tables.ts';
import type { ConflictView, PropertyMeta, ResourceView } from './views.ts';

export class Resources {
  readonly #crypto: Crypto;
  readonly #store: Store;
  readonly #view: View;
  readonly #names: DeviceNames;
  /** Settles when no write to a subject is under way that was begun before. */
  readonly #underway: (subject: string) => Promise<unknown> | undefined;
  /** Settles when what a revocation made void is out of the state: nobody reads it between the revocation and that. */
  readonly #steady: () => Promise<void>;

  constructor(
    crypto: Crypto,
    store: Store,
    view: View,
    names: DeviceNames,
    underway: (subject: string) => Promise<unknown> | undefined,
    steady: () => Promise<void>,
  ) {
    this.#crypto = crypto;
    this.#store = store;
    this.#view = view;
    this.#names = names;
    this.#underway = underway;
    this.#steady = steady;
  }

  async get(subject: string): Promise<ResourceView | null> {
    checkSubject(subject);
    await this.#underway(subject);
    await this.#steady();
    if (!isReserved(subject)) this.#needState();
    const { number } = this.#view;
    return this.#show(subject, await this.#store.get('state', subjectKey(number, subject)), number);
  }

  async list(options: {
    prefix?: string;
    after?: string;
    limit: number;
  }): Promise<{ items: ResourceView[]; next: string | null }> {
    const { prefix = '', after, limit } = options;
    const items: ResourceView[] = [];
    await this.#steady();
    if (!isReserved(prefix)) this.#needState();
    for await (const [subject, bytes, number] of scanState(this.#store, this.#view, prefix, after)) {
      if (items.length === limit) return { items, next: items.at(-1)?.subject ?? null };
      const shown = await this.#show(subject, bytes, number);
      if (shown) items.push(shown);
    }
    return { items, next: null };
  }

  /** Throws `log-only`: to show nothing would say that there is nothing. */
  #needState(): void {
    if (this.#view.logOnly) throw new TidelogError('log-only');
  }

  /** A row as it was read under a number, and anew where the log has been made anew by then: its chains have other numbers. */
  async #show(subject: string, row: Uint8Array | undefined, numberRead: number): Promise<ResourceView | null> {
    let [bytes, number] = [row, numberRead];
    for (;;) {
      if (bytes) {
        const resource = decodeResource(bytes);
        // Of a shared store: it may be of a chain that came while another wrote.
        if (this.#store.shared && !this.#knowsChains(resource)) await this.#store.shared.catchUp();
        const names = await this.#names.all();
        if (number === this.#view.number)
          return {
            subject,
            value: resourceValue(resource),
            etag: etagOf(this.#crypto, bytes),
            meta: this.#metaOf(resource, names),
          };
      } else if (await isStillNumber(this.#store, this.#view, number)) return null;
      ({ number } = this.#view);
      bytes = await this.#store.get('state', subjectKey(number, subject));
    }
  }

  #knowsChains(resource: Resource): boolean {
    const { chains } = this.#view;
    const dots = [...resourceConflicts(resource).values()].flat().map(({ dot }) => dot);
    for (const property of resource.values()) dots.push(propertyAuthor(property));
    return dots.every(({ chain }) => chain < chains.length);
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

  async conflicts(options: { after?: string; limit: number }): Promise<{ items: ConflictView[]; next: string | null }> {
    await this.#steady();
    this.#needState();
    const { after, limit } = options;
    const read = (number: number): MaybePromise<StoreEntry[]> => {
      const range = after === undefined ? { gte: subjectKey(number, '') } : { gt: subjectKey(number, after) };
      return this.#store.scan('conflicts', { ...range, lt: spaceEnd(number), limit: limit + 1 });
    };
    let number: number;
    let keys: StoreEntry[];
    do {
      ({ number } = this.#view);
      keys = await read(number);
    } while (!(await isStillNumber(this.#store, this.#view, number)));
    const items: ConflictView[] = [];
    for (const [key] of keys.slice(0, limit)) {
      const subject = keySubject('conflicts', key);
      for (const [property, { conflict }] of Object.entries((await this.get(subject))?.meta ?? {})) {
        if (conflict.length > 0) items.push({ subject, property, alternatives: conflict });
      }
    }
    return { items, next: keys.length > limit ? keySubject('conflicts', keys[limit - 1]![0]) : null };
  }

  async *export(prefix: string): AsyncGenerator<string> {
    for await (const { subject, ops } of this.changes(prefix)) {
      yield JSON.stringify(changeToJson({ subject, ops: sortKeys(ops) }));
    }
  }

  /** For each resource the change that makes it again, and the bytes that it takes here. */
  async *changes(prefix: string): AsyncGenerator<Change & { readonly bytes: number }> {
    await this.#steady();
    if (!isReserved(prefix)) this.#needState();
    for await (const [subject, bytes] of scanState(this.#store, this.#view, prefix)) {
      const ops = resourceOps(decodeResource(bytes));
      if (ops) yield { subject, ops, bytes: bytes.length };
    }
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

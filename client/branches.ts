/**
 * Forks as people see them: which chains have two branches, what was set aside of the one that doesn't count, and writing that again. Where the other
 * branch is held from the beginning, nothing was set aside: then it is with the device that wrote it.
 */
import { decodeKnownBody, type Body, type Change } from '../protocol/body.ts';
import { toBase64Url, toHex } from '../protocol/bytes.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import { changesMembership } from '../protocol/membership.ts';
import type { DeviceNames } from './device-names.ts';
import { InTurn } from './in-turn.ts';
import type { View } from './replica/view.ts';
import { held, type Store } from './store.ts';
import { branchKey, branchRange, decodeSetAside, encodeSetAside, keyBranch, type SetAsideRecord } from './tables.ts';

export interface ForkView {
  /** hex */
  readonly chain: string;
  /** Device ID. */
  readonly device: string;
  readonly deviceName: string;
  /** The first at which the branches differ. */
  readonly seq: number;
  /** Ids there, hex. */
  readonly kept: string;
  readonly dropped: string;
  /** base64url; anyone can check it (docs/PROTOCOL.md, section 6.1). */
  readonly proof: string;
}

/** A commit that stands in the log no more. */
export interface SetAsideView {
  /** hex */
  readonly id: string;
  readonly chain: string;
  readonly seq: number;
  /** Device ID. */
  readonly device: string;
  readonly deviceName: string;
  /** µs since 1970; null where only its hash was here. */
  readonly time: number | null;
  readonly changes: readonly Change[];
  /** `fork`: it is on the branch. Another error code: why it couldn't stand without that. */
  readonly why: string;
  readonly republished: boolean;
}

const SCAN_PAGE = 500;

export class Branches {
  readonly #store: Store;
  readonly #view: View;
  readonly #names: DeviceNames;
  readonly #republishing = new InTurn();

  constructor(store: Store, view: View, names: DeviceNames) {
    this.#store = store;
    this.#view = view;
    this.#names = names;
  }

  async forks(): Promise<ForkView[]> {
    const names = await this.#names.all();
    return this.#view.forks.all.map(({ chain, device, seq, kept, dropped, bytes }) => ({
      chain: toHex(chain),
      device: formatDeviceId(device),
      deviceName: names.get(toHex(device)) ?? '',
      seq,
      kept: toHex(kept),
      dropped: toHex(dropped),
      proof: toBase64Url(bytes),
    }));
  }

  /** By chain and seq. */
  async *setAside(): AsyncGenerator<SetAsideView> {
    const names = await this.#names.all();
    for await (const { place, record } of this.#rows()) {
      const body = record.body && decodeKnownBody(record.body);
      yield {
        id: toHex(place.id),
        chain: toHex(place.chain),
        seq: place.seq,
        device: formatDeviceId(record.device),
        deviceName: names.get(toHex(record.device)) ?? '',
        time: body?.time ?? null,
        changes: body?.changes ?? [],
        why: record.why,
        republished: record.republished,
      };
    }
  }

  /**
   * Writes what was set aside again, each commit as one of this device's, in the order of their times; what was written so before, commits on `~`, and those of
   * which only a hash is here are left. A crash between a write and its note leaves that one to be written twice. One at a time, also of several tabs: a second
   * finds what the first has noted.
   */
  republish(write: (changes: readonly Change[]) => Promise<unknown>): Promise<{ written: number; left: number }> {
    return this.#republishing.run(() => held(this.#store, () => this.#republish(write)));
  }

  async #republish(
    write: (changes: readonly Change[]) => Promise<unknown>,
  ): Promise<{ written: number; left: number }> {
    const waiting: {
      readonly place: ReturnType<typeof keyBranch>;
      readonly record: SetAsideRecord;
      readonly body: Body;
    }[] = [];
    let left = 0;
    for await (const { place, record } of this.#rows()) {
      if (record.republished) continue;
      const body = record.body && decodeKnownBody(record.body);
      if (body && !changesMembership(body.changes)) waiting.push({ place, record, body });
      else left++;
    }
    for (const { place, record, body } of waiting.toSorted((a, b) => a.body.time - b.body.time)) {
      await write(body.changes);
      const key = branchKey(this.#view.space, place.chain, place.seq, place.id);
      await this.#store.write([{ table: 'setAside', key, value: encodeSetAside({ ...record, republished: true }) }]);
    }
    return { written: waiting.length, left };
  }

  async *#rows(): AsyncGenerator<{ place: ReturnType<typeof keyBranch>; record: SetAsideRecord }> {
    const { gte, lt } = branchRange(this.#view.space);
    let page = await this.#store.scan('setAside', { gte, lt, limit: SCAN_PAGE });
    while (page.length > 0) {
      for (const [key, value] of page) yield { place: keyBranch(key), record: decodeSetAside(value) };
      page = await this.#store.scan('setAside', { gt: page.at(-1)![0], lt, limit: SCAN_PAGE });
    }
  }
}

/** What a space calls its devices, and which of them are recovery keys: what their resources under `~devices/` show. */
import { fromHex } from '../protocol/bytes.ts';
import { DEVICES_PREFIX } from '../protocol/constants.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import { decodeResource, resourceValue } from '../protocol/merge.ts';
import { scanState } from './replica/state.ts';
import type { View } from './replica/view.ts';
import type { Store } from './store.ts';

interface Shown {
  /** By hex key. */
  readonly names: ReadonlyMap<string, string>;
  /** Hex keys. */
  readonly recoveryKeys: ReadonlySet<string>;
}

export class DeviceNames {
  readonly #store: Store;
  readonly #view: View;
  /** The reading is kept and not what it gave: one that is forgotten while it is under way stays forgotten. */
  #shown: Promise<Shown> | null = null;

  constructor(store: Store, view: View) {
    this.#store = store;
    this.#view = view;
  }

  /** By hex key. */
  async all(): Promise<ReadonlyMap<string, string>> {
    return (await this.#look()).names;
  }

  /** Hex keys. */
  async recoveryKeys(): Promise<ReadonlySet<string>> {
    return (await this.#look()).recoveryKeys;
  }

  #look(): Promise<Shown> {
    if (this.#shown) return this.#shown;
    const shown = this.#read();
    this.#shown = shown;
    shown.catch(() => {
      if (this.#shown === shown) this.#shown = null;
    });
    return shown;
  }

  async #read(): Promise<Shown> {
    const { chains, membership } = this.#view;
    const names = new Map<string, string>();
    const recoveryKeys = new Set<string>();
    const ids = new Map<string, string>();
    for (const { deviceHex, device } of chains) ids.set(formatDeviceId(device), deviceHex);
    const members = membership?.devices().map(({ device }) => device) ?? [];
    for (const hex of [...members, ...(membership?.revokedDevices() ?? [])])
      ids.set(formatDeviceId(fromHex(hex)!), hex);
    for await (const [subject, bytes] of scanState(this.#store, this.#view, DEVICES_PREFIX)) {
      const hex = ids.get(subject.slice(DEVICES_PREFIX.length));
      if (hex === undefined) continue;
      const { name, recovery } = resourceValue(decodeResource(bytes));
      if (typeof name === 'string') names.set(hex, name);
      if (recovery === true) recoveryKeys.add(hex);
    }
    return { names, recoveryKeys };
  }

  /** They may have changed. */
  forget(): void {
    this.#shown = null;
  }
}

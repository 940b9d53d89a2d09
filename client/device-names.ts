/** What a space calls its devices: the names that their resources under `~devices/` show. */
import { fromHex } from '../protocol/bytes.ts';
import { DEVICES_PREFIX } from '../protocol/constants.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import { decodeResource, resourceValue } from '../protocol/merge.ts';
import { scanState } from './replica/state.ts';
import type { View } from './replica/view.ts';
import type { Store } from './store.ts';

export class DeviceNames {
  readonly #store: Store;
  readonly #view: View;
  /** The reading is kept and not what it gave: one that is forgotten while it is under way stays forgotten. */
  #names: Promise<ReadonlyMap<string, string>> | null = null;

  constructor(store: Store, view: View) {
    this.#store = store;
    this.#view = view;
  }

  /** By hex key. */
  all(): Promise<ReadonlyMap<string, string>> {
    if (this.#names) return this.#names;
    const names = this.#read();
    this.#names = names;
    names.catch(() => {
      if (this.#names === names) this.#names = null;
    });
    return names;
  }

  async #read(): Promise<ReadonlyMap<string, string>> {
    const { chains, membership, number } = this.#view;
    const names = new Map<string, string>();
    const ids = new Map<string, string>();
    for (const { deviceHex, device } of chains) ids.set(formatDeviceId(device), deviceHex);
    const members = membership?.devices().map(({ device }) => device) ?? [];
    for (const hex of [...members, ...(membership?.revokedDevices() ?? [])])
      ids.set(formatDeviceId(fromHex(hex)!), hex);
    for await (const [subject, bytes] of scanState(this.#store, number, DEVICES_PREFIX)) {
      const hex = ids.get(subject.slice(DEVICES_PREFIX.length));
      const { name } = resourceValue(decodeResource(bytes));
      if (hex !== undefined && typeof name === 'string') names.set(hex, name);
    }
    return names;
  }

  /** They may have changed. */
  forget(): void {
    this.#names = null;
  }
}

/** Other devices as this peer knows them, whatever space they are in: what they call themselves, where they were reached, whether a person trusts them. */
import { toHex } from '../protocol/bytes.ts';
import { InTurn } from './in-turn.ts';
import { held, type Store } from './store.ts';
import { decodePeer, encodePeer, type PeerRecord } from './tables.ts';

const STRANGER: PeerRecord = { name: '', addresses: [], trusted: false, lastSeenMs: 0 };
/** Addresses that are kept for one device. */
const ADDRESSES_MAX = 8;
const DEVICES_MAX = 100_000;

export class AddressBook {
  readonly #store: Store;
  /** As it is on the disk: whom a write made trusted that failed isn't. */
  readonly #byDevice = new Map<string, { device: Uint8Array; record: PeerRecord }>();
  /** Device (hex) → its changes: each rests on those before it. */
  readonly #changing = new Map<string, InTurn>();

  private constructor(store: Store) {
    this.#store = store;
  }

  static async open(store: Store): Promise<AddressBook> {
    const book = new AddressBook(store);
    await book.load();
    return book;
  }

  async load(): Promise<void> {
    const rows = await this.#store.scan('peers', { gte: new Uint8Array([0]), limit: DEVICES_MAX });
    this.#byDevice.clear();
    for (const [device, bytes] of rows) this.#byDevice.set(toHex(device), { device, record: decodePeer(bytes) });
  }

  get(device: Uint8Array): PeerRecord {
    return this.#byDevice.get(toHex(device))?.record ?? STRANGER;
  }

  all(): { device: Uint8Array; record: PeerRecord }[] {
    return [...this.#byDevice.values()];
  }

  async update(
    device: Uint8Array,
    change: Partial<Omit<PeerRecord, 'addresses'>> & { address?: string | null },
  ): Promise<void> {
    const { address, ...rest } = change;
    const hex = toHex(device);
    const key = device.slice();
    const write = async (): Promise<void> => {
      const before = this.get(key);
      const addresses = address
        ? [address, ...before.addresses.filter((other) => other !== address)].slice(0, ADDRESSES_MAX)
        : before.addresses;
      const record: PeerRecord = { ...before, ...rest, addresses };
      await this.#store.write([{ table: 'peers', key, value: encodePeer(record) }]);
      this.#byDevice.set(hex, { device: key, record });
    };
    const inTurn = this.#changing.get(hex) ?? new InTurn();
    this.#changing.set(hex, inTurn);
    await inTurn.run(() => held(this.#store, write));
  }
}

/** How far our log has come: up to which position each other device has it on its disk, as it said. */
import { equal, toHex } from '../protocol/bytes.ts';
import { TidelogError } from '../protocol/errors.ts';
import type { Admitted } from './replica/entry.ts';
import type { Log } from './replica/log.ts';
import { isStillNumber, thoughMoving } from './replica/moving.ts';
import type { View } from './replica/view.ts';
import { Signal } from './signal.ts';
import type { Store } from './store.ts';

/** A position means something in the log that has this epoch only. */
interface Place {
  readonly epoch: Uint8Array;
  readonly position: number;
}

export class Reach {
  readonly #store: Store;
  readonly #view: View;
  readonly #log: Log;
  /** By device (hex). */
  readonly #byDevice = new Map<string, Place>();
  readonly #changed = new Signal();

  constructor(store: Store, view: View, log: Log) {
    this.#store = store;
    this.#view = view;
    this.#log = log;
  }

  /** False where it was known, or is of a log that is no more. */
  note(device: Uint8Array, { epoch, position }: Place): boolean {
    // A tab that follows may hear of it before it has heard of the new log.
    const follows = this.#store.shared?.leads === false;
    if (!follows && !equal(epoch, this.#view.epoch)) return false;
    const hex = toHex(device);
    const before = this.#byDevice.get(hex);
    if (before && equal(before.epoch, epoch) && position <= before.position) return false;
    this.#byDevice.set(hex, { epoch, position });
    this.#changed.notify();
    return true;
  }

  /** null where it has said nothing of this log yet. */
  by(device: Uint8Array): number | null {
    return this.#positionOf(this.#byDevice.get(toHex(device)));
  }

  #positionOf(place: Place | undefined): number | null {
    return place && equal(place.epoch, this.#view.epoch) ? place.position : null;
  }

  /**
   * Resolves when so many have an entry that was written into the log with this epoch, wherever it stands by now. Rejects with `fork` where it was set aside.
   */
  async untilMany(peers: number, entry: Admitted, epoch: Uint8Array, signal?: AbortSignal): Promise<void> {
    let place: Place = { epoch, position: entry.position };
    while (!(await this.#until(place, (position) => this.#count(position) >= peers, signal)))
      place = await this.#find(entry);
  }

  /** Resolves when a device has all that is in our log now. */
  async untilBy(device: Uint8Array, signal?: AbortSignal): Promise<void> {
    const head = (): Place => ({ epoch: this.#view.epoch, position: this.#view.storedHead });
    const has = (position: number): boolean => (this.by(device) ?? -1) >= position;
    // In a new log all that still stands is before its end.
    while (!(await this.#until(head(), has, signal)));
  }

  /** False where the log was made anew before it held. */
  async #until(
    { epoch, position }: Place,
    holds: (position: number) => boolean,
    signal?: AbortSignal,
  ): Promise<boolean> {
    let isAnew = false;
    await this.#changed.until(() => {
      isAnew = !equal(epoch, this.#view.epoch);
      return isAnew || holds(position);
    }, signal);
    return !isAnew;
  }

  #count(position: number): number {
    let count = 0;
    for (const place of this.#byDevice.values()) if ((this.#positionOf(place) ?? -1) >= position) count++;
    return count;
  }

  /** Where an entry stands in the log that is in force. */
  async #find({ chain: { hex }, seq, id }: Admitted): Promise<Place> {
    for (;;) {
      const { epoch, number } = this.#view;
      try {
        const chain = this.#view.chainByHex(hex);
        const entry = chain && (await thoughMoving(() => this.#log.entryAt(chain, seq)));
        if (entry && equal(entry.id, id)) return { epoch, position: entry.position };
        throw new TidelogError('fork', `commit ${toHex(id)} was set aside, and no device has it in its log`, {
          id: toHex(id),
        });
      } catch (thrown) {
        if (await isStillNumber(this.#store, this.#view, number)) throw thrown;
      }
    }
  }

  /** The log was made anew: positions are others. */
  madeAnew(): void {
    this.#changed.notify();
  }

  close(): void {
    this.#changed.close();
  }
}

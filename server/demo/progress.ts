/** Which commits are on which device, and how long each took to get there. Fed by what each device's log says. */
import type { LoggedJson } from '../http/commits.ts';

export interface Arrival {
  /** Name of the device that wrote it. */
  readonly from: string;
  /** From its writing to this device's disk. */
  readonly delayMs: number;
}

export class Progress {
  /** Commit ids, wherever they are. */
  readonly #all = new Set<string>();
  readonly #idsByDevice = new Map<string, Set<string>>();
  readonly #lastArrivalByDevice = new Map<string, Arrival>();

  /** A device has it on disk. `nowMs` is since 1970, with fractions. */
  note(device: string, { id, time, deviceName }: Pick<LoggedJson, 'id' | 'time' | 'deviceName'>, nowMs: number): void {
    const ids = this.#idsOf(device);
    if (ids.has(id)) return;
    ids.add(id);
    this.#all.add(id);
    if (deviceName === device || time === null) return;
    this.#lastArrivalByDevice.set(device, { from: deviceName, delayMs: Math.max(0, nowMs - time / 1000) });
  }

  /** Written on it while nobody could follow its log. */
  noteWritten(device: string, id: string): void {
    this.#idsOf(device).add(id);
    this.#all.add(id);
  }

  /** Commits that others have and it has not. */
  behind(device: string): number {
    return this.#all.size - this.#idsOf(device).size;
  }

  lastArrival(device: string): Arrival | null {
    return this.#lastArrivalByDevice.get(device) ?? null;
  }

  #idsOf(device: string): Set<string> {
    const ids = this.#idsByDevice.get(device) ?? new Set();
    this.#idsByDevice.set(device, ids);
    return ids;
  }
}

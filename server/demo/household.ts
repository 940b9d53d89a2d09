/** The three devices together: started, followed, looked at, and taken down again with all that they left on the disk. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { asTidelogError, TidelogError } from '../../protocol/errors.ts';
import type { StatusJson } from '../http/status.ts';
import { DemoDevice } from './device.ts';
import { freePort } from './free-port.ts';
import { Progress, type Arrival } from './progress.ts';

/** What the table shows of a device; of one that is offline, what was seen last. */
export interface DeviceRow {
  readonly device: string;
  readonly online: boolean;
  readonly url: string | null;
  readonly head: number;
  readonly commits: number;
  readonly resources: number;
  readonly conflicts: number;
  /** Commits that other devices have and it has not. */
  readonly behind: number;
  readonly lastArrival: Arrival | null;
}

/** Two slow cores need a fraction of this. */
const PATIENCE_MS = 15_000;
const POLL_MS = 10;

export class Household {
  readonly folder: string;
  readonly laptop: DemoDevice;
  readonly phone: DemoDevice;
  readonly pi: DemoDevice;
  readonly progress = new Progress();
  readonly #aborter: AbortController;
  readonly #statusByDevice = new Map<string, StatusJson>();

  private constructor(folder: string, ports: readonly number[], aborter: AbortController) {
    const device = (name: string, i: number): DemoDevice => new DemoDevice(name, folder, join(folder, name), ports[i]!);
    this.folder = folder;
    this.laptop = device('laptop', 0);
    this.phone = device('phone', 1);
    this.pi = device('pi', 2);
    this.#aborter = aborter;
    for (const each of this.devices) each.onDied = (error) => aborter.abort(error);
  }

  /** `port`: the laptop's; the others take the next two. null: any that are free. `aborter` is told if a node dies. */
  static async make(port: number | null, aborter: AbortController): Promise<Household> {
    const ports = port === null ? [await freePort(), await freePort(), await freePort()] : [port, port + 1, port + 2];
    return new Household(await mkdtemp(join(tmpdir(), 'tidelog-demo-')), ports, aborter);
  }

  get devices(): readonly DemoDevice[] {
    return [this.laptop, this.phone, this.pi];
  }
  get signal(): AbortSignal {
    return this.#aborter.signal;
  }

  /** From now on what comes to its disk is counted. It must be in a space. */
  follow(device: DemoDevice): void {
    const run = async (): Promise<void> => {
      for await (const commit of device.commits(this.signal))
        this.progress.note(device.name, commit, performance.timeOrigin + performance.now());
    };
    run().catch((thrown: unknown) => this.#aborter.abort(asTidelogError(thrown)));
  }

  isLevel(): boolean {
    return this.devices.every(({ name }) => this.progress.behind(name) === 0);
  }

  /** Throws why the demo ends, or `timeout`. */
  async until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!(await holds())) {
      this.signal.throwIfAborted();
      if (performance.now() > deadline) throw new TidelogError('timeout', `waited in vain until ${what}`);
      await sleep(POLL_MS);
    }
  }

  /** Looks anew at those that are online. */
  async rows(): Promise<DeviceRow[]> {
    return Promise.all(this.devices.map((device) => this.#row(device)));
  }

  async #row(device: DemoDevice): Promise<DeviceRow> {
    const { name, url } = device;
    if (url !== null) {
      try {
        this.#statusByDevice.set(name, (await device.api.call('GET', '/v1/status')).body as StatusJson);
      } catch (thrown) {
        // It may be stopping at this very moment.
        if (device.url !== null) throw thrown;
      }
    }
    const space = this.#statusByDevice.get(name)?.spaces[0];
    return {
      device: name,
      online: device.url !== null,
      url,
      head: space?.head ?? 0,
      commits: space?.commits ?? 0,
      resources: space?.subjects ?? 0,
      conflicts: space?.conflicts ?? 0,
      behind: this.progress.behind(name),
      lastArrival: this.progress.lastArrival(name),
    };
  }

  /** Stops the nodes and removes the folder. */
  async close(): Promise<void> {
    this.#aborter.abort(new TidelogError('closed'));
    await Promise.all(this.devices.map((device) => device.stop()));
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

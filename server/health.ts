/**
 * How the node did lately: a sample every ten seconds, the last hour of them, in memory. For pictures that a person looks at; what is to be kept
 * for longer is Prometheus' business (metrics.ts).
 */
import { statfs } from 'node:fs/promises';

import type { Peer } from '../client/peer.ts';
import type { PeerEvent } from '../client/events.ts';

export const SAMPLE_EVERY_MS = 10_000;
const SAMPLES_MAX = 360;
/** How closely a delay is measured, while somebody lacks something. Nothing runs otherwise. */
const LOOK_EVERY_MS = 100;
/** Marks of when the log had grown to where, of which one for each look is enough for five minutes. */
const MARKS_MAX = 3000;

export interface HealthSample {
  /** ms since 1970 */
  readonly atMs: number;
  /** Commits of this device, and entries from others, since the sample before. */
  readonly written: number;
  readonly received: number;
  readonly peers: readonly PeerSample[];
  /** Of the logs, all spaces. */
  readonly logBytes: number;
  /** Free on the disk of the data folder; null where nobody can tell. */
  readonly freeBytes: number | null;
}

interface PeerSample {
  /** Device ID. */
  readonly id: string;
  /**
   * The longest that a commit had been on this disk and not on theirs, ms, to within a tenth of a second; null where nothing was under way.
   * Of the first space.
   */
  readonly delayMs: number | null;
  /** Commits that it lacks; null where unknown. */
  readonly behind: number | null;
}

interface Mark {
  readonly head: number;
  readonly atMs: number;
}

export class Health {
  readonly #peer: Peer;
  readonly #dataDir: string;
  readonly #samples: HealthSample[] = [];
  readonly #timer: NodeJS.Timeout;
  #look: NodeJS.Timeout | null = null;
  #marks: Mark[] = [];
  /** Device ID → longest delay since the last sample. */
  readonly #delays = new Map<string, number>();
  #written = 0;
  #received = 0;

  constructor(peer: Peer, dataDir: string) {
    this.#peer = peer;
    this.#dataDir = dataDir;
    this.#timer = setInterval(() => void this.#sample(), SAMPLE_EVERY_MS);
    this.#timer.unref();
    void this.#sample();
  }

  get samples(): readonly HealthSample[] {
    return this.#samples;
  }

  take(event: PeerEvent): void {
    const [space] = this.#peer.spaces;
    if (event.type !== 'appended' || event.space !== space) return;
    const last = this.#marks.at(-1);
    const atMs = Date.now();
    // One for each look: a bulk sync appends thousands of times a second.
    if (last === undefined || atMs - last.atMs >= LOOK_EVERY_MS || this.#look === null)
      this.#marks.push({ head: event.head, atMs });
    if (this.#marks.length > MARKS_MAX) this.#marks.shift();
    this.#look ??= setInterval(() => this.#measure(), LOOK_EVERY_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    if (this.#look !== null) clearInterval(this.#look);
  }

  /** How long the oldest has waited that each connected device hasn't acknowledged. */
  #measure(): void {
    const [space] = this.#peer.spaces;
    let least = Infinity;
    for (const connection of this.#peer.connections()) {
      if (!connection.established) continue;
      const { device, deviceId } = connection;
      const acked = space ? space.ackedBy(device) : null;
      if (acked === null) continue;
      least = Math.min(least, acked);
      const waiting = this.#marks.find(({ head }) => head > acked);
      if (waiting) this.#delays.set(deviceId, Math.max(this.#delays.get(deviceId) ?? 0, Date.now() - waiting.atMs));
      else if (!this.#delays.has(deviceId)) this.#delays.set(deviceId, 0);
    }
    this.#marks = this.#marks.filter(({ head }) => head > least);
    if (this.#marks.length > 0 && least !== Infinity) return;
    this.#marks = [];
    clearInterval(this.#look!);
    this.#look = null;
  }

  async #sample(): Promise<void> {
    const { commitsWritten, entriesReceived } = this.#peer.counters;
    const written = commitsWritten - this.#written;
    const received = entriesReceived - this.#received;
    this.#written = commitsWritten;
    this.#received = entriesReceived;
    const delays = new Map(this.#delays);
    this.#delays.clear();
    const behind = new Map(this.#peer.status().peers.map((peer) => [peer.id, peer.behind]));
    for (const id of delays.keys()) if (!behind.has(id)) behind.set(id, null);
    const free = await statfs(this.#dataDir).then(
      ({ bavail, bsize }) => bavail * bsize,
      () => null,
    );
    this.#samples.push({
      atMs: Date.now(),
      written,
      received,
      peers: [...behind]
        .filter(([id]) => id !== '')
        .map(([id, lacks]) => ({ id, behind: lacks, delayMs: delays.get(id) ?? null })),
      logBytes: this.#peer.spaces.reduce((sum, space) => sum + space.stats().blockBytes, 0),
      freeBytes: free,
    });
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
  }
}

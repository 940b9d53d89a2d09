/** Verifies the live log, one run at a time: for whoever asks, and by the clock. Whoever asks in the middle of a run gets that one's outcome. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { SpaceAudit } from '../client/auditing.ts';
import type { Peer } from '../client/peer.ts';
import { TidelogError } from '../protocol/errors.ts';
import { noteLogVerified, readVerified, type Verified } from './verified.ts';

/** Where a run is. */
export interface VerifyStep {
  /** Name of the space. */
  readonly space: string;
  readonly step: 'log' | 'state';
  readonly done: number;
  readonly total: number;
}

export interface LogReport {
  /** When it was done, ms since 1970. */
  readonly atMs: number;
  readonly ok: boolean;
  readonly spaces: readonly SpaceAudit[];
}

interface Run {
  readonly space: string | null;
  readonly report: Promise<LogReport>;
  step: VerifyStep | null;
}

export class Verifier {
  readonly #peer: Peer;
  readonly #dataDir: string;
  readonly #isBackground: boolean;
  #run: Run | null = null;
  /** Of the last run in this process. */
  last: LogReport | null = null;
  #stopping = false;

  /** `isBackground`: it rests as long as it works, because something else is what the process is for. */
  constructor(peer: Peer, dataDir: string, { isBackground }: { readonly isBackground: boolean }) {
    this.#peer = peer;
    this.#dataDir = dataDir;
    this.#isBackground = isBackground;
  }

  /** Where the run is that is under way; null where none is. */
  get step(): VerifyStep | null {
    return this.#run?.step ?? null;
  }

  get isRunning(): boolean {
    return this.#run !== null;
  }

  /** What came of earlier runs, of any process. */
  verified(): Promise<Verified> {
    return readVerified(this.#dataDir);
  }

  /** All spaces, or one by its hex id. Rejects with `closed` where it is stopped. */
  run(space: string | null = null): Promise<LogReport> {
    const under = this.#run;
    if (under && under.space === space) return under.report;
    // Of other spaces: after it.
    const before = under ? under.report.catch(() => {}) : Promise.resolve();
    const run: Run = { space, report: before.then(() => this.#verify(run)), step: null };
    this.#run = run;
    const forget = (): void => {
      if (this.#run === run) this.#run = null;
    };
    run.report.then(forget, forget);
    return run.report;
  }

  async #verify(run: Run): Promise<LogReport> {
    const spaces: SpaceAudit[] = [];
    for (const space of this.#peer.spaces.filter(({ hex }) => run.space === null || hex === run.space)) {
      run.step = { space: space.name, step: 'log', done: 0, total: space.head };
      const audit = await space.audit({
        rest: (workedMs) => this.rest(workedMs),
        onProgress: (step, done, total) => {
          run.step = { space: space.name, step, done, total };
        },
      });
      spaces.push(audit);
    }
    const report = { atMs: Date.now(), ok: spaces.every(({ findings }) => findings.length === 0), spaces };
    if (run.space === null) await noteLogVerified(this.#dataDir, spaces, report.atMs);
    this.last = report;
    return report;
  }

  /** For work beside the node's own. */
  async rest(workedMs: number): Promise<void> {
    if (this.#stopping) throw new TidelogError('closed');
    await (this.#isBackground ? sleep(workedMs) : new Promise((resolve) => setImmediate(resolve)));
  }

  /** Ends what is under way, without an outcome. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#run?.report.catch(() => {});
  }
}

/** Verifies the log and a backup from time to time, as the settings say, and notes what came of it for status and metrics. */
import type { Logger } from 'pino';

import { nodePlatform } from '../client/platform/node.ts';
import { asTidelogError } from '../protocol/errors.ts';
import { verifyBackup } from './backup-verify.ts';
import type { ConfigFile } from './config.ts';
import { durationMs, NEVER } from './duration.ts';
import { noteBackupFailed, noteBackupVerified, readVerified } from './verified.ts';
import type { Verifier } from './verifier.ts';

/** A node that has just started has other things to do. */
const AFTER_START_MS = 10 * 60_000;
const LOOK_EVERY_MS = 30_000;
const LOOK_EVERY_MIN_MS = 100;

export class VerifySchedule {
  readonly #dataDir: string;
  readonly #config: ConfigFile;
  readonly #verifier: Verifier;
  readonly #log: Logger;
  readonly #startedMs = Date.now();
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | null = null;
  #working: Promise<void> = Promise.resolve();

  constructor(dataDir: string, config: ConfigFile, verifier: Verifier, log: Logger) {
    this.#dataDir = dataDir;
    this.#config = config;
    this.#verifier = verifier;
    this.#log = log;
    this.#next();
  }

  #next(): void {
    const everyMs = durationMs(this.#config.values.verifyEvery) ?? LOOK_EVERY_MS;
    const waitMs = Math.max(LOOK_EVERY_MIN_MS, Math.min(LOOK_EVERY_MS, everyMs / 4));
    this.#timer = setTimeout(() => {
      this.#working = this.#look().finally(() => {
        if (!this.#stopping.signal.aborted) this.#next();
      });
    }, waitMs).unref();
  }

  async #look(): Promise<void> {
    const { verifyEvery, backupDir } = this.#config.values;
    if (verifyEvery === NEVER) return;
    const everyMs = durationMs(verifyEvery)!;
    const { log, backup } = await readVerified(this.#dataDir);
    // What is noted of the future is of a clock that was wrong.
    const isDue = (atMs: number | undefined): boolean => {
      const nowMs = Date.now();
      if (nowMs - this.#startedMs < Math.min(AFTER_START_MS, everyMs)) return false;
      return atMs === undefined || atMs > nowMs || nowMs - atMs >= everyMs;
    };
    if (isDue(log?.atMs)) await this.#verifyLog();
    // Another folder than was verified last is due at once.
    if (backupDir !== '' && isDue(backup?.dir === backupDir ? backup.atMs : undefined))
      await this.#verifyBackup(backupDir);
  }

  async #verifyLog(): Promise<void> {
    try {
      const { ok, spaces } = await this.#verifier.run();
      const commits = spaces.reduce((sum, space) => sum + space.commits, 0);
      if (ok) this.#log.info({ commits }, 'verified the log');
      else this.#log.error({ findings: spaces.flatMap(({ findings }) => findings) }, 'the log is not as it should be');
    } catch (thrown) {
      if (!this.#stopping.signal.aborted)
        this.#log.error({ err: asTidelogError(thrown) }, 'the log could not be verified');
    }
  }

  async #verifyBackup(dir: string): Promise<void> {
    try {
      const { signal } = this.#stopping;
      const rest = (workedMs: number): Promise<void> => this.#verifier.rest(workedMs);
      const report = await verifyBackup(dir, { platform: nodePlatform(), rest, signal });
      await noteBackupVerified(this.#dataDir, report);
      if (report.ok) this.#log.info({ dir, untilUs: report.untilUs }, 'the backup can be restored');
      else
        this.#log.error({ dir, findings: report.spaces.flatMap(({ findings }) => findings) }, 'the backup is not good');
    } catch (thrown) {
      if (this.#stopping.signal.aborted) return;
      const { message } = asTidelogError(thrown);
      this.#log.error({ dir, error: message }, 'the backup could not be verified');
      await noteBackupFailed(this.#dataDir, dir, message, Date.now());
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#timer) clearTimeout(this.#timer);
    await this.#working;
  }
}

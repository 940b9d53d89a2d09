/**
 * When the log and a backup were last verified, and what came of it: two files in the data folder, so that a node and a command can each note
 * theirs, and a restart forgets neither.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';

import type { SpaceAudit } from '../client/auditing.ts';
import type { BackupReport } from './backup-verify.ts';
import { isDataDir, readDataDir } from './data-dir.ts';
import { nodeCrypto } from '../client/platform/crypto-node.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import { writeFileDurably } from './durable.ts';

const ms = v.pipe(v.number(), v.integer(), v.minValue(0));

const LogSchema = v.strictObject({
  /** When it was done, ms since 1970. */
  atMs: ms,
  ok: v.boolean(),
  /** How much is wrong, and the first of it in words. */
  findings: ms,
  says: v.nullable(v.string()),
});
/** Of the live log. */
export type LogVerified = v.InferOutput<typeof LogSchema>;

const ProvenSchema = v.strictObject({
  atMs: ms,
  dir: v.string(),
  /** The latest commit that it would bring back, ms since 1970; null where it holds none. */
  untilMs: v.nullable(ms),
});
/** A backup from which everything in it can be restored. */
export type Proven = v.InferOutput<typeof ProvenSchema>;

const BackupVerifiedSchema = v.strictObject({
  ...LogSchema.entries,
  dir: v.string(),
  /** The last one that was found good, which may be an earlier one. */
  proven: v.nullable(ProvenSchema),
});
export type BackupVerified = v.InferOutput<typeof BackupVerifiedSchema>;

export interface Verified {
  readonly log: LogVerified | null;
  readonly backup: BackupVerified | null;
}

const FILE = { LOG: 'verified-log.json', BACKUP: 'verified-backup.json' } as const;

/** What can't be read was never verified. */
export async function readVerified(dataDir: string): Promise<Verified> {
  const [log, backup] = await Promise.all([
    readJson(dataDir, FILE.LOG, LogSchema),
    readJson(dataDir, FILE.BACKUP, BackupVerifiedSchema),
  ]);
  return { log, backup };
}

async function readJson<T>(dataDir: string, file: string, schema: v.GenericSchema<unknown, T>): Promise<T | null> {
  try {
    return v.parse(schema, JSON.parse(await readFile(join(dataDir, file), 'utf8')));
  } catch {
    return null;
  }
}

export async function noteLogVerified(dataDir: string, spaces: readonly SpaceAudit[], atMs: number): Promise<void> {
  const findings = spaces.flatMap((space) => space.findings.map(({ says }) => `${space.name}: ${says}`));
  const noted: LogVerified = { atMs, ok: findings.length === 0, findings: findings.length, says: findings[0] ?? null };
  await write(dataDir, FILE.LOG, noted);
}

/** Only of this folder's own device, and only where all of it was looked at; `bad` where it couldn't be looked at, with what it threw. */
export async function noteBackupVerified(
  dataDir: string,
  report: BackupReport,
  { isWhole = true, atMs = Date.now() } = {},
): Promise<void> {
  if (!isWhole || !(await isDataDir(dataDir).catch(() => false))) return;
  const { seed } = await readDataDir(dataDir);
  if (formatDeviceId(nodeCrypto.ed25519KeyPair(seed).public) !== report.device.id) return;
  const { dir, ok, untilUs, spaces } = report;
  const findings = [...report.findings, ...spaces.flatMap((space) => space.findings)];
  const untilMs = untilUs === null ? null : Math.floor(untilUs / 1000);
  const before = (await readVerified(dataDir)).backup;
  const noted: BackupVerified = {
    atMs,
    ok,
    findings: findings.length,
    says: findings[0] ? `${findings[0].file}: ${findings[0].says}` : null,
    dir,
    proven: ok ? { atMs, dir, untilMs } : (before?.proven ?? null),
  };
  await write(dataDir, FILE.BACKUP, noted);
}

/** It couldn't even be looked at. */
export async function noteBackupFailed(dataDir: string, dir: string, says: string, atMs: number): Promise<void> {
  const before = (await readVerified(dataDir)).backup;
  const noted: BackupVerified = { atMs, ok: false, findings: 1, says, dir, proven: before?.proven ?? null };
  await write(dataDir, FILE.BACKUP, noted);
}

async function write(dataDir: string, file: string, value: unknown): Promise<void> {
  await writeFileDurably(join(dataDir, file), `${JSON.stringify(value)}\n`, 0o600);
}

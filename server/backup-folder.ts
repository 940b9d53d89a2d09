/**
 * What a backup folder holds. `backup.json` says what belongs to it: it is written last, whole or not at all, so what it names is there, and what it
 * doesn't name is no part of the backup, however it came to be there. docs/BACKUP.md describes it.
 *
 *   backup.json                        what it is a backup of, and which files make it up
 *   <space>-<after>-<head>-<hash>.log  log files (client/log-file.ts), one after the other for each space
 *   key                                the device's key, only if it was asked for
 *   backup.lock                        while one is being made
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';

import { TidelogError } from '../protocol/errors.ts';
import { writeFileDurably } from './durable.ts';

export const BACKUP_FILE = 'backup.json';
export const BACKUP_KEY = 'key';
export const BACKUP_LOCK = 'backup.lock';
const FORMAT = 1;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const hex = (bytes: number) => v.pipe(v.string(), v.regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`)));

const SegmentSchema = v.strictObject({
  file: v.pipe(v.string(), v.regex(/^[0-9a-f]{16}-\d+-\d+-[0-9a-f]{16}\.log$/)),
  /** Positions of its entries: behind `after`, up to `head`. */
  after: count,
  head: count,
  bytes: count,
  /** The last hash in the file, which stands for all of it. */
  hash: hex(32),
});
export type Segment = v.InferOutput<typeof SegmentSchema>;

const SpaceSchema = v.strictObject({
  id: hex(32),
  name: v.string(),
  /** Of the log that it was copied from. */
  epoch: hex(8),
  head: count,
  /** Id of the entry at the head. */
  headId: hex(32),
  digest: hex(32),
  /** Positions of erased commits that nothing explained: when one of them is filled, the space is copied anew. */
  holes: v.array(count),
  segments: v.array(SegmentSchema),
});
export type SpaceBackup = v.InferOutput<typeof SpaceSchema>;

const BackupSchema = v.strictObject({
  format: v.literal(FORMAT),
  device: v.strictObject({ id: v.string(), name: v.string() }),
  /** When it was last brought up to date, ms since 1970. */
  createdMs: count,
  withKey: v.boolean(),
  /** As in config.json. */
  settings: v.record(v.string(), v.unknown()),
  /** Others, and where they are reached. */
  devices: v.array(v.strictObject({ id: v.string(), name: v.string(), addresses: v.array(v.string()) })),
  /** The default one first. */
  spaces: v.array(SpaceSchema),
});
export type Backup = v.InferOutput<typeof BackupSchema>;

/** null where there is none. Throws `bad-copy` for one that isn't as it was written. */
export async function readBackup(dir: string): Promise<Backup | null> {
  const path = join(dir, BACKUP_FILE);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new TidelogError('store-failed', `${path}: ${message}`, {}, { cause: thrown });
  }
  try {
    const { hash, ...rest } = JSON.parse(text) as Record<string, unknown>;
    const { format } = rest;
    if (typeof format === 'number' && format > FORMAT)
      throw new TidelogError('data-newer', `${path} is of format ${format}; this version knows ${FORMAT}`);
    if (hash !== hashOf(rest)) throw new Error('its hash is another: it was altered');
    return v.parse(BackupSchema, rest);
  } catch (thrown) {
    if (thrown instanceof TidelogError) throw thrown;
    throw new TidelogError(
      'bad-copy',
      `${path}: ${(thrown as Error).message}`,
      { file: BACKUP_FILE },
      { cause: thrown },
    );
  }
}

/** Throws `bad-argument` where there is none. */
export async function requireBackup(dir: string): Promise<Backup> {
  const backup = await readBackup(dir);
  if (backup) return backup;
  throw new TidelogError(
    'bad-argument',
    `${dir} holds no backup; name the folder that \`tidelog backup create\` made, or make one with it`,
  );
}

export async function writeBackup(dir: string, backup: Backup): Promise<void> {
  const text = JSON.stringify({ ...backup, hash: hashOf(backup) }, null, 2);
  await writeFileDurably(join(dir, BACKUP_FILE), `${text}\n`, 0o600);
}

/** JSON keeps the order of keys, so what is read gives the same text again. */
function hashOf(backup: object): string {
  return createHash('sha256').update(JSON.stringify(backup)).digest('hex');
}

export function segmentName(space: string, { after, head, hash }: Omit<Segment, 'file'>): string {
  return `${space.slice(0, 16)}-${after}-${head}-${hash.slice(0, 16)}.log`;
}

/** Is it a file that the making of a backup leaves, if it is cut off? */
function isOurs(name: string): boolean {
  return (
    /^[0-9a-f]{16}(-\d+-\d+-[0-9a-f]{16}\.log|\.part)$/.test(name) ||
    [BACKUP_KEY, BACKUP_FILE, BACKUP_LOCK].some((file) => name === file || name === `${file}.new`)
  );
}

/** Throws `bad-argument` where a folder holds other files: they would be mixed with the backup's. */
export async function assertFree(dir: string): Promise<void> {
  const other = (await readdir(dir)).find((name) => !isOurs(name) && name !== 'lost+found' && name !== '.DS_Store');
  if (other !== undefined)
    throw new TidelogError('bad-argument', `${dir} holds ${other} and no backup; choose an empty folder, or a new one`);
}

/** Removes what the making of earlier backups left, and segments that no longer belong to it. */
export async function removeUnnamed(dir: string, { spaces }: Backup): Promise<void> {
  const named = new Set(spaces.flatMap(({ segments }) => segments.map(({ file }) => file)));
  for (const name of await readdir(dir)) {
    if (isOurs(name) && (/\.part$|\.new$/.test(name) || (name.endsWith('.log') && !named.has(name))))
      await rm(join(dir, name), { force: true });
  }
}

/**
 * Is a backup good? Reads all of it, and takes each log in as a new peer would that gets it from another: every part's hash, every link and every
 * signature, who may write and what revocations cut, and in the end the digest. What passes can be restored. The copy is made in memory, without
 * resources: that takes about as much as the files.
 */
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { Seen, type Intake } from '../client/copying.ts';
import { readLogFile, type PlacedPart } from '../client/log-file.ts';
import { MemoryStore } from '../client/memory-store.ts';
import { Peer } from '../client/peer.ts';
import { nodeCrypto } from '../client/platform/crypto-node.ts';
import { newPace, type Pace } from '../client/replica/pace.ts';
import type { Platform } from '../client/platform.ts';
import { fromHex, toHex } from '../protocol/bytes.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import { asTidelogError, TidelogError, type ErrorCode } from '../protocol/errors.ts';
import {
  BACKUP_FILE,
  BACKUP_KEY,
  requireBackup,
  type Backup,
  type Segment,
  type SpaceBackup,
} from './backup-folder.ts';
import { readKey } from './data-dir.ts';

/** Something wrong, or worth knowing, and where. */
export interface BackupNote {
  readonly code: ErrorCode;
  readonly says: string;
  readonly file: string;
  /** Byte in the file; null where it isn't about one. */
  readonly offset: number | null;
  /** In the log that it was copied from: what stands before it is good. */
  readonly position: number | null;
}

export interface VerifiedSpace {
  readonly id: string;
  readonly name: string;
  /** What the backup says that it holds. */
  readonly head: number;
  /** Entries that were found good. */
  readonly good: number;
  readonly commits: number;
  readonly erased: number;
  readonly bytes: number;
  readonly devices: readonly { readonly id: string; readonly commits: number }[];
  /** Of the first good commit and the latest, µs since 1970. */
  readonly fromUs: number | null;
  readonly untilUs: number | null;
  readonly findings: readonly BackupNote[];
  readonly notes: readonly BackupNote[];
}

export interface BackupReport {
  readonly dir: string;
  readonly device: { readonly id: string; readonly name: string };
  readonly createdMs: number;
  readonly withKey: boolean;
  readonly ok: boolean;
  /** The latest commit that a restore would bring back, µs since 1970. */
  readonly untilUs: number | null;
  readonly spaces: readonly VerifiedSpace[];
  /** What is wrong with what is of no space. */
  readonly findings: readonly BackupNote[];
  readonly notes: readonly BackupNote[];
}

export interface VerifyOptions {
  readonly platform: Platform;
  /** Hex id or name, where only one space is to be verified. */
  readonly only?: string | undefined;
  /** As in client/auditing.ts. */
  readonly rest?: (workedMs: number) => Promise<void>;
  readonly onProgress?: (space: string, done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

const NOTES_MAX = 20;

/** Throws `bad-argument` where there is no backup, `bad-copy` where what says which files it has was altered. What else is wrong is in the report. */
export async function verifyBackup(dir: string, options: VerifyOptions): Promise<BackupReport> {
  const backup = await requireBackup(dir);
  const { platform, only, rest = () => platform.turn() } = options;
  const pace = newPace(() => platform.nowMs(), rest);
  const wanted = backup.spaces.filter(({ id, name }) => only === undefined || only === name || id.startsWith(only));
  if (only !== undefined && wanted.length === 0)
    throw new TidelogError('unknown-space', `the backup has no space ${JSON.stringify(only)}`);
  const spaces: VerifiedSpace[] = [];
  for (const space of wanted) spaces.push(await verifySpace(dir, space, options, pace));
  const { device, createdMs, withKey } = backup;
  const findings = withKey ? await verifyKey(dir, backup, platform) : [];
  const times = spaces.flatMap(({ untilUs }) => untilUs ?? []);
  return {
    dir,
    device,
    createdMs,
    withKey,
    ok: findings.length === 0 && spaces.every((space) => space.findings.length === 0),
    untilUs: times.length > 0 ? Math.max(...times) : null,
    spaces,
    findings,
    notes: await strangers(dir, backup),
  };
}

async function verifySpace(
  dir: string,
  space: SpaceBackup,
  { platform, onProgress, signal }: VerifyOptions,
  pace: Pace,
): Promise<VerifiedSpace> {
  const store = new MemoryStore();
  const keys = platform.crypto.ed25519KeyPair(platform.random(32));
  const peer = await Peer.open({ store, keys, name: 'verify', platform });
  const seen = new Seen();
  const findings: BackupNote[] = [];
  const notes: BackupNote[] = [];
  let good = 0;
  try {
    const copy = await peer.addCopy(fromHex(space.id)!, space.name, { logOnly: true });
    for (const segment of space.segments) {
      const intake = copy.intake();
      try {
        signal?.throwIfAborted();
        await readSegment(dir, space, segment, async (part) => {
          signal?.throwIfAborted();
          if (part.kind === 'fork') await copy.takeFork(part.proof);
          if (part.kind === 'block') await intake.takeChecked(part, pace, seen);
          if (part.kind === 'end') intake.checkEnd(part);
          onProgress?.(space.name, copy.head, space.head);
        });
      } catch (thrown) {
        if (signal?.aborted) throw new TidelogError('aborted');
        findings.push(noteOf(thrown, segment.file, intake));
        break;
      }
    }
    good = copy.head;
    if (findings.length === 0 && (good !== space.head || toHex(copy.digest()) !== space.digest)) {
      const says = `its files give ${good} entries of ${space.name} and the digest ${toHex(copy.digest())}, and it says ${space.head} and ${space.digest}`;
      findings.push({ code: 'bad-copy', says, file: BACKUP_FILE, offset: null, position: null });
    }
    for (const position of seen.vouched.slice(0, NOTES_MAX)) {
      const says = `position ${position}: its own signature does not verify; a later one of its chain vouches for it`;
      notes.push({ code: 'bad-signature', says, file: fileOf(space, position), offset: null, position });
    }
    const { holes } = copy.stats();
    if (holes > 0) {
      const says = `${holes} commits stand erased, and no revocation explains it: their content was not there when they were copied`;
      notes.push({
        code: 'data-damaged',
        says,
        file: fileOf(space, space.holes[0] ?? 1),
        offset: null,
        position: null,
      });
    }
  } finally {
    await peer.close();
    await store.close();
  }
  const { commits, erased, entriesByDevice, fromUs, untilUs } = seen;
  return {
    id: space.id,
    name: space.name,
    head: space.head,
    good,
    commits,
    erased,
    bytes: space.segments.reduce((sum, { bytes }) => sum + bytes, 0),
    devices: [...entriesByDevice].map(([device, count]) => ({ id: formatDeviceId(fromHex(device)!), commits: count })),
    fromUs,
    untilUs,
    findings,
    notes,
  };
}

/** Reads a file of a backup part by part, and checks that it is the one that is meant. Throws what is wrong with it. */
export async function readSegment(
  dir: string,
  { id }: SpaceBackup,
  { file, after, head, hash }: Segment,
  take: (part: PlacedPart) => Promise<void>,
): Promise<void> {
  const chunks = createReadStream(join(dir, file), { highWaterMark: 256 * 1024 });
  const refuse = (why: string): never => {
    throw new TidelogError('bad-copy', `at byte 0: ${why}`, { offset: 0, part: 0, position: after });
  };
  // The epoch may be an older one: a copy of a space that went on elsewhere is still a copy.
  for await (const part of readLogFile(nodeCrypto, chunks as AsyncIterable<Uint8Array>)) {
    if (part.kind === 'header' && toHex(part.space) !== id) refuse('it is of another space');
    if (part.kind === 'header' && part.after !== after) refuse(`it begins after ${part.after}, and not after ${after}`);
    if (part.kind === 'end' && (part.head !== head || toHex(part.hash) !== hash))
      refuse('it is another file than was written');
    await take(part);
  }
}

function noteOf(thrown: unknown, file: string, { refused }: Intake): BackupNote {
  const { code, message, detail } = asReadable(thrown, file);
  const { offset, position } = detail as { offset?: number; position?: number };
  const where = refused ? `positions ${refused.first} to ${refused.last}: ` : '';
  const particular = / \((.*)\)$/s.exec(message)?.[1] ?? message;
  return {
    code,
    says: `${where}${particular}`,
    file,
    offset: offset ?? null,
    position: refused?.first ?? position ?? null,
  };
}

/** A file that is gone, or that the disk can't read. */
export function asReadable(thrown: unknown, file: string): TidelogError {
  const { code, message } = thrown as NodeJS.ErrnoException;
  if (thrown instanceof TidelogError || typeof code !== 'string') return asTidelogError(thrown);
  return new TidelogError('bad-copy', code === 'ENOENT' ? `${file} is missing` : message, {}, { cause: thrown });
}

function fileOf({ segments }: SpaceBackup, position: number): string {
  return segments.find(({ head }) => position <= head)?.file ?? BACKUP_FILE;
}

async function verifyKey(dir: string, { device }: Backup, { crypto }: Platform): Promise<BackupNote[]> {
  const note = (code: ErrorCode, says: string): BackupNote => ({
    code,
    says,
    file: BACKUP_KEY,
    offset: null,
    position: null,
  });
  try {
    const seed = await readKey(join(dir, BACKUP_KEY));
    const id = formatDeviceId(crypto.ed25519KeyPair(seed).public);
    return id === device.id ? [] : [note('wrong-device', `it is the key of ${id}, and the backup is of ${device.id}`)];
  } catch (thrown) {
    const { code, message } = asTidelogError(thrown);
    return [note(code, message)];
  }
}

/** Files that are no part of it: nothing wrong, but whoever put them there may think otherwise. */
async function strangers(dir: string, { spaces, withKey }: Backup): Promise<BackupNote[]> {
  const own = new Set([BACKUP_FILE, ...spaces.flatMap(({ segments }) => segments.map(({ file }) => file))]);
  if (withKey) own.add(BACKUP_KEY);
  const others = (await readdir(dir)).filter((name) => !own.has(name)).toSorted();
  return others
    .slice(0, NOTES_MAX)
    .map((file) => ({ code: 'bad-argument', says: 'no part of the backup', file, offset: null, position: null }));
}

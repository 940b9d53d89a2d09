/**
 * Makes a data folder of a backup: all of it or nothing. It is built beside the place where it will be, through the same gate as what comes from a
 * peer, and takes its name when everything is on the disk. The log begins a new epoch, so that no peer goes on from a cursor in what was lost; and the
 * device a new chain, so that it never signs again what it may have signed after the backup.
 */
import { mkdtemp, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { nodeCrypto } from '../client/platform/crypto-node.ts';
import { randomBytes } from '../client/platform/random.ts';
import { fromHex } from '../protocol/bytes.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import { TidelogError } from '../protocol/errors.ts';
import { BACKUP_KEY, requireBackup, type Backup, type SpaceBackup } from './backup-folder.ts';
import { asReadable, readSegment } from './backup-verify.ts';
import { checkSettings, ConfigFile } from './config.ts';
import { initDataDir, readKey } from './data-dir.ts';
import { lockDataDir } from './data-lock.ts';
import { isFile, makeFolder, syncFolder } from './durable.ts';
import { openPeer, type OpenedPeer } from './open-peer.ts';

/** One that was made just now may not have its lock yet. */
const DEAD_AFTER_MS = 60_000;

export interface RestoreOptions {
  readonly onProgress?: (space: string, done: number, total: number) => void;
}

export interface Restored {
  readonly dataDir: string;
  readonly device: { readonly id: string; readonly name: string };
  /** The same device as before: the key was in the backup. */
  readonly isSameDevice: boolean;
  readonly spaces: readonly {
    readonly id: string;
    readonly name: string;
    readonly head: number;
    /** Devices that can let a new one in: ID and name. */
    readonly owners: readonly { readonly id: string; readonly name: string }[];
  }[];
}

/** Throws `bad-argument` where `dataDir` has data, `bad-copy` and what ingest throws where the backup is damaged; then nothing was made. */
export async function restoreBackup(dir: string, dataDir: string, options: RestoreOptions = {}): Promise<Restored> {
  const backup = await requireBackup(dir);
  await assertEmpty(dataDir);
  const seed = backup.withKey ? await readKeyOf(dir, backup) : undefined;
  const parent = dirname(dataDir);
  await makeFolder(parent);
  const prefix = `${basename(dataDir)}.restoring-`;
  await removeDead(parent, prefix);
  const draft = await mkdtemp(join(parent, prefix));
  try {
    await initDataDir(draft, { random: randomBytes, seed });
    await takeSettings(draft, backup);
    const opened = await openPeer(draft);
    let restored: Restored;
    try {
      restored = await takeAll(dir, backup, opened, dataDir, options);
    } finally {
      await opened.close();
    }
    await assertEmpty(dataDir);
    // An empty folder in its place gives way; on some systems only if it is gone.
    await rmdir(dataDir).catch(() => {});
    await rename(draft, dataDir);
    await syncFolder(parent);
    return restored;
  } catch (thrown) {
    await rm(draft, { recursive: true, force: true });
    throw thrown;
  }
}

async function takeAll(
  dir: string,
  backup: Backup,
  { peer }: OpenedPeer,
  dataDir: string,
  options: RestoreOptions,
): Promise<Restored> {
  const spaces: Restored['spaces'][number][] = [];
  for (const space of backup.spaces) {
    await takeSpace(dir, space, peer, options);
    const copy = peer.space(space.id);
    const owners: { id: string; name: string }[] = [];
    for (const { device, role } of copy.members())
      if (role === 'owner') owners.push({ id: formatDeviceId(device), name: await copy.nameOf(device) });
    spaces.push({ id: space.id, name: copy.name, head: copy.head, owners });
  }
  for (const { id, ...device } of backup.devices) await peer.noteDevice(id, device);
  const isSameDevice = peer.id === backup.device.id;
  return { dataDir, device: { id: peer.id, name: peer.name }, isSameDevice, spaces };
}

async function takeSpace(
  dir: string,
  space: SpaceBackup,
  peer: OpenedPeer['peer'],
  { onProgress }: RestoreOptions,
): Promise<void> {
  const copy = await peer.addCopy(fromHex(space.id)!, space.name);
  for (const segment of space.segments) {
    const intake = copy.intake();
    try {
      await readSegment(dir, space, segment, async (part) => {
        if (part.kind === 'fork') await copy.takeFork(part.proof);
        if (part.kind === 'block') await intake.take(part);
        if (part.kind === 'end') {
          await intake.settled();
          intake.checkEnd(part);
        }
        onProgress?.(space.name, copy.head, space.head);
      });
    } catch (thrown) {
      await intake.settled().catch(() => {});
      const { code, message, detail } = asReadable(thrown, segment.file);
      const particular = / \((.*)\)$/s.exec(message)?.[1] ?? message;
      const next =
        'nothing was restored; `tidelog backup verify` says what is good, and `tidelog import --log` takes what is good of a file';
      throw new TidelogError(code, `${segment.file}: ${particular}; ${next}`, { ...detail, file: segment.file });
    }
  }
}

/** `bad-argument`, because an answer to it is another folder. */
async function assertEmpty(dataDir: string): Promise<void> {
  if (await isFile(dataDir))
    throw new TidelogError('bad-argument', `${dataDir} is a file; name a new folder with --data`);
  let files: string[];
  try {
    files = await readdir(dataDir);
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    if (code === 'ENOENT') return;
    throw new TidelogError('bad-argument', `${dataDir}: ${message}`);
  }
  if (files.length > 0)
    throw new TidelogError(
      'bad-argument',
      `${dataDir} is not empty, and nothing in it is replaced; name a new folder with --data`,
    );
}

async function readKeyOf(dir: string, { device }: Backup): Promise<Uint8Array> {
  const path = join(dir, BACKUP_KEY);
  const seed = await readKey(path);
  const id = formatDeviceId(nodeCrypto.ed25519KeyPair(seed).public);
  if (id === device.id) return seed;
  throw new TidelogError('bad-copy', `${path} is the key of ${id}, and the backup is of ${device.id}`);
}

/** What this version doesn't know, or can't use here, is left out: a setting must not keep the data from being restored. */
async function takeSettings(draft: string, { settings, device }: Backup): Promise<void> {
  const config = await ConfigFile.read(draft);
  const usable = Object.entries({ name: device.name, ...settings }).filter(([key, value]) => {
    try {
      checkSettings({ [key]: value });
      return true;
    } catch {
      return false;
    }
  });
  await config.patch(Object.fromEntries(usable));
}

/** What restores that were cut off have left; not what one is building just now. */
async function removeDead(parent: string, prefix: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith(prefix)) continue;
    try {
      const path = join(parent, name);
      if (Date.now() - (await stat(path)).mtimeMs < DEAD_AFTER_MS) continue;
      const lock = await lockDataDir(path);
      await lock.release();
      await rm(path, { recursive: true, force: true });
    } catch {
      // In use, or another user's.
    }
  }
}

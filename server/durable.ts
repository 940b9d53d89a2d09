/** Folders and files that are still there after a power cut. */

import { constants } from 'node:fs';
import { access, mkdir, open, rename, stat, type FileHandle } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

import { TidelogError } from '../protocol/errors.ts';

/** Makes a folder that only its user can enter; one that is there stays as it is. `store-failed` where this user can't write in it. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await makeWithParents(resolve(path));
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new TidelogError(
      'store-failed',
      `${path} cannot be written: ${(error as Error).message}. Make this user its owner, or choose another folder with --data`,
      {},
      { cause: error },
    );
  }
}

/** Is it there, and no folder? Then no right to it makes it one, which is what `makeFolder` would ask for. */
export async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => !found.isDirectory(),
    () => false,
  );
}

/** As mkdir does it with `recursive`, which tries for ever where the system says of a folder that exists that it isn't there: in /proc. */
async function makeWithParents(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    const parent = dirname(path);
    if (code !== 'ENOENT' || parent === path || (await isThere(parent))) throw error;
    await makeWithParents(parent);
    await mkdir(path, { mode: 0o700 });
  }
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/**
 * Writes a whole file, or leaves none: another process never sees half of it, and once this resolves neither does the next start.
 * Replaces what is there. `mode` is the file's from its first byte on.
 */
export async function writeFileDurably(path: string, text: string, mode: number): Promise<void> {
  const draft = `${path}.new`;
  const file = await open(draft, 'w', mode);
  try {
    // An older draft, left by a crash, keeps the mode that it had.
    await file.chmod(mode);
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
  await syncFolder(dirname(path));
}

/** Passes on what it has written into a file: what comes is judged on the way, and is in no memory twice. */
export async function* writtenInto(file: FileHandle, source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    await file.writeFile(chunk);
    yield chunk;
  }
}

/** Makes names durable: a file's own sync does not cover the folder that lists it. */
export async function syncFolder(path: string): Promise<void> {
  // Windows can't open a folder, and makes names durable by itself.
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Files that are still there after a power cut. */

import { open, rename, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

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

/** Makes names durable: a file's own sync does not cover the folder that lists it. */
export async function syncFolder(path: string): Promise<void> {
  // Windows can't open a folder, and makes names durable by itself.
  if (process.platform === 'win32') return;
  const folder: FileHandle = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

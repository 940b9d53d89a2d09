/**
 * One maker of a backup at a time. A file and no socket as in a data folder: a backup may lie on a stick or another machine's disk, which
 * hold nothing but files.
 */
import { open, readFile, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

import { TidelogError } from '../protocol/errors.ts';
import { BACKUP_LOCK } from './backup-folder.ts';

/** Returns what gives it free. Throws `bad-argument` where another makes one. A dead one's lock is taken over. */
export async function lockBackup(dir: string): Promise<() => Promise<void>> {
  const path = join(dir, BACKUP_LOCK);
  for (let tries = 1; ; tries++) {
    try {
      const file = await open(path, 'wx', 0o600);
      await file.writeFile(`${process.pid} ${hostname()}\n`);
      await file.close();
      return () => rm(path, { force: true });
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST')
        throw new TidelogError('store-failed', `${path}: ${(thrown as Error).message}`, {}, { cause: thrown });
    }
    const [pid = '', host = ''] = (await readFile(path, 'utf8').catch(() => '')).trim().split(' ');
    if (tries > 3 || !isDead(Number(pid), host))
      throw new TidelogError(
        'data-in-use',
        `a backup is being made there, by process ${pid} of ${host}; if there is no such process any more, remove ${path}`,
      );
    await rm(path, { force: true });
  }
}

/** As far as can be said here: of another machine's processes nothing is known. A file without a name is of one that was cut off. */
function isDead(pid: number, host: string): boolean {
  if (host === '') return true;
  if (host !== hostname()) return false;
  // In a container every process may have the same number. This one makes no two at once.
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0);
    return false;
  } catch (thrown) {
    // Another user's is alive; what is no number of a process at all isn't.
    return (thrown as NodeJS.ErrnoException).code !== 'EPERM';
  }
}

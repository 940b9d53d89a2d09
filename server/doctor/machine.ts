/** What can be seen of this machine and the data folder without opening the data: also where it can't be opened. */
import { access, stat, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { asTidelogError, type ErrorCode } from '../../protocol/errors.ts';
import { urlOf } from '../addresses.ts';
import { ConfigFile, type Config } from '../config.ts';
import { checkPages } from '../lmdb-pages.ts';
import { formatBytes } from '../terminal.ts';
import { bad, ok, warn, type Finding } from './finding.ts';

const NODE_MIN = [22, 18] as const;
/** Below this the store refuses what isn't tiny: see ROOM_BYTES_MIN of lmdb-store.ts. */
const FREE_BYTES_BAD = 32 * 1024 * 1024;
const FREE_BYTES_WARN = 256 * 1024 * 1024;
/** When this was written. A machine without a clock of its own begins in 1970, or with the last time that it wrote down. */
const BUILT_MS = Date.UTC(2026, 0, 1);

export function checkRuntime(): Finding {
  const { node } = process.versions;
  const [major = 0, minor = 0] = node.split('.').map(Number);
  const isNew = major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1]);
  const least = NODE_MIN.join('.');
  return isNew
    ? ok('runtime', `Node ${node}`)
    : bad('runtime', `Node ${node} is too old`, `Install Node ${least} or later.`);
}

export function checkOwnClock(nowMs: number): Finding {
  const today = new Date(nowMs).toISOString().slice(0, 16);
  if (nowMs > BUILT_MS) return ok('clock', `This machine says that it is ${today} UTC`);
  return bad(
    'clock',
    `This machine says that it is ${today} UTC, before this program was made: what it writes now loses to what is older`,
    'Set the clock by the network (`timedatectl set-ntp true`, or the settings of your system) before writing.',
  );
}

/** Key and token let whoever reads them be this device, or its user. On Windows files are kept by other means than modes. */
export async function checkModes(dataDir: string): Promise<Finding[]> {
  if (process.platform === 'win32') return [];
  const findings: Finding[] = [];
  for (const name of ['key', 'token']) {
    const path = join(dataDir, name);
    const found = await stat(path).catch(() => null);
    if (found === null) {
      findings.push(
        bad(name, `${path} is missing or cannot be read`, 'Restore it from a backup, or pair anew in another folder.'),
      );
      continue;
    }
    const mode = (found.mode & 0o777).toString(8);
    if ((found.mode & 0o077) !== 0)
      findings.push(bad(name, `${path} can be read by other users (mode ${mode})`, `Run \`chmod 600 ${path}\`.`));
    else findings.push(ok(name, `${path} is its user's alone (mode ${mode})`));
  }
  const { mode } = await stat(dataDir);
  if ((mode & 0o077) !== 0) {
    const says = `${dataDir} can be entered by other users (mode ${(mode & 0o777).toString(8)})`;
    findings.push(warn('folder', says, `Run \`chmod 700 ${dataDir}\`.`));
  }
  return findings;
}

export async function checkSettings(dataDir: string): Promise<{ finding: Finding; values: Config | null }> {
  try {
    const { path, values } = await ConfigFile.read(dataDir);
    return { finding: ok('settings', path), values };
  } catch (thrown) {
    const finding = bad(
      'settings',
      asTidelogError(thrown).message,
      'Correct it; docs/CONFIGURATION.md has every setting.',
    );
    return { finding, values: null };
  }
}

export async function checkDisk(dataDir: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(dataDir);
  const free = bavail * bsize;
  const store = await stat(join(dataDir, 'store', 'data.mdb')).catch(() => null);
  // There is no other limit: LMDB's map grows with the file.
  const says = `${formatBytes(free)} free, ${formatBytes(store?.size ?? 0)} used; the store may grow until the disk is full`;
  const todo = 'Make room on this disk, or move the data folder to a larger one while nothing runs on it.';
  if (free < FREE_BYTES_BAD) return bad('disk', `${formatBytes(free)} free: writes are refused as store-full`, todo);
  return free < FREE_BYTES_WARN ? warn('disk', says, todo) : ok('disk', says);
}

/** To be asked before anything opens the store, which takes the journal over. */
export async function checkJournal(dataDir: string, isRunning: boolean): Promise<Finding> {
  const isThere = await access(join(dataDir, 'store', 'journal')).then(
    () => true,
    () => false,
  );
  if (isRunning) return ok('journal', isThere ? 'In use' : 'Not begun: the node has written little since it started');
  if (!isThere) return ok('journal', 'There is none: the last process closed its store as it should');
  return ok(
    'journal',
    'The last process was killed or lost its power; what it had acknowledged is taken over from the journal now',
  );
}

/** Of a store that nothing has open: LMDB would end this process for some of what it finds. */
export async function checkStore(dataDir: string): Promise<Finding> {
  const path = join(dataDir, 'store', 'data.mdb');
  const found = await stat(path).catch(() => null);
  if (found === null || found.size === 0)
    return ok('store', 'There is none yet, or it is missing: then opening the data says so');
  try {
    const { pages } = await checkPages(path);
    return ok('store', `${pages} pages in use, each in its place`);
  } catch (thrown) {
    const { code, message } = asTidelogError(thrown);
    return bad('store', `Its pages are not what was written: ${code}`, message);
  }
}

/** Long enough for a Pi that is busy. */
const ASK_MS = 2000;

/** A node refuses a stranger by a code of its own. */
async function isTidelog(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/v1/status`, { signal: AbortSignal.timeout(ASK_MS), redirect: 'error' });
    return ((await response.json()) as { code?: unknown } | null)?.code === ('bad-token' satisfies ErrorCode);
  } catch {
    return false;
  }
}

/** Of a node that doesn't run: could it listen? */
export async function checkPort({ host, port }: Pick<Config, 'host' | 'port'>): Promise<Finding> {
  const code = await new Promise<string | null>((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  });
  if (code === null) return ok('port', `${host}:${port} is free for a node`);
  if (code === 'EADDRINUSE')
    return bad(
      'port',
      (await isTidelog(urlOf(host, port)))
        ? `A node of another data folder listens on ${host}:${port}`
        : `Another program listens on ${host}:${port}`,
      'Stop it, or choose another port in config.json or with --port.',
    );
  return bad(
    'port',
    `A node could not listen on ${host}:${port} (${code})`,
    'Choose another host or port in config.json.',
  );
}

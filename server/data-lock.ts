/**
 * One process at a time in a data folder, and how another finds the one that is there.
 *
 * The lock is a socket that the process listens on: it ends with the process, however that ends, and whoever connects is told who
 * holds it. On Windows it is a named pipe, which the system keeps exclusive and removes. Elsewhere a socket is a file that stays when
 * its process dies, so the holder is the one that a link names:
 *
 *   node.sock ─▶ node-3fa90c…e1.sock          the name is random, and never used again
 *
 * Making the link fails where there is one: that is the lock. A link to a socket that refuses is a dead holder's, and may be
 * replaced; but only by whoever holds the right to do so, or of two who both saw the dead one the slower would replace the faster. That
 * right is a lock of the same kind with a name of its own, `node.sock.node-3fa90c…e1.sock`, so that a process that dies even there is
 * followed in the same way.
 */

import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readlink, realpath, rename, rm, symlink } from 'node:fs/promises';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { TidelogError } from '../protocol/errors.ts';

/** Who holds the lock: its process, and where its HTTP interface answers if it has one. */
export interface RunningNode {
  readonly pid: number;
  readonly url: string | null;
}

export interface Lock {
  /** The one that had it before died with it: killed, by a fault, or by a power cut. Unknown on Windows, and then false. */
  readonly wasLeft: boolean;
  /** From now on, those who ask are told this address. */
  announce(url: string): void;
  /** Lets others in. Again is nothing. */
  release(): Promise<void>;
}

const LINK = 'node.sock';
/** What a socket's address holds on every system, less the zero at its end. libuv cuts longer ones off without a word. */
const SOCKET_PATH_BYTES_MAX = 103;
/** How long contenders who get in each other's way try again, and how long a holder may take to answer. */
const PATIENCE_MS = 3000;
const RETRY_MS = 10;
/** The answer is one line of JSON. */
const ANSWER_BYTES_MAX = 4096;

const isWindows = process.platform === 'win32';

/** The files of this module in a data folder. */
export function isLockFile(name: string): boolean {
  return name === LINK || name.startsWith(`${LINK}.`) || /^node-[0-9a-f]+\.(sock|link)$/.test(name);
}

/** Takes the lock of a folder that exists; `data-in-use` with `{pid, url}` where another process has it. */
export async function lockDataDir(dir: string): Promise<Lock> {
  const folder = await realpath(dir);
  const holder: { pid: number; url: string | null } = { pid: process.pid, url: null };
  const own = `node-${randomBytes(8).toString('hex')}.sock`;
  const path = isWindows ? pipePath(folder) : join(folder, own);

  const server = createServer((socket) => answer(socket, holder));
  let wasLeft = false;
  try {
    await listen(server, path);
    if (!isWindows) wasLeft = (await takeLink(folder, own)) === 'replaced';
  } catch (error) {
    await close(server);
    if (!isWindows) await rm(path, { force: true });
    if (!(error instanceof Error) || !('code' in error)) throw error;
    if (error.code === 'EADDRINUSE') throw await inUse(dir);
    if (error instanceof TidelogError) throw error;
    throw new TidelogError(
      'store-failed',
      `${dir} cannot be locked: ${error.message}. Choose a folder on a disk of this machine with --data`,
      {},
      { cause: error },
    );
  }

  let released: Promise<void> | null = null;
  return {
    wasLeft,
    announce(url) {
      holder.url = url;
    },
    release() {
      released ??= (async () => {
        // The link first: while it stands, its socket answers.
        if (!isWindows && (await targetOf(join(folder, LINK))) === own) await rm(join(folder, LINK), { force: true });
        await close(server);
        if (!isWindows) await rm(path, { force: true });
      })();
      return released;
    },
  };
}

/** The process that holds the lock of this folder; null where there is none, or no folder. */
export async function findRunningNode(dir: string): Promise<RunningNode | null> {
  let folder: string;
  try {
    folder = await realpath(dir);
  } catch {
    return null;
  }
  const line = await ask(isWindows ? pipePath(folder) : join(folder, LINK));
  return line === null ? null : parseAnswer(line);
}

/** Returns once `node.sock` is a link to `own`. */
async function takeLink(folder: string, own: string): Promise<'taken' | 'replaced'> {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    const outcome = await tryLink(folder, LINK, own);
    if (outcome === 'taken' || outcome === 'replaced') return outcome;
    if (outcome === 'held' || Date.now() > until) throw await inUse(folder);
    await sleep(RETRY_MS);
  }
}

/** 'replaced': that of a dead one. 'held': by one that lives. 'changed': something moved meanwhile; look again. */
async function tryLink(folder: string, name: string, own: string): Promise<'taken' | 'replaced' | 'held' | 'changed'> {
  const link = join(folder, name);
  if (await makeLink(own, link)) return 'taken';
  const before = await targetOf(link);
  if (before === null) return 'changed';
  if (await isAlive(join(folder, before))) return 'held';

  const right = `${name}.${before}`;
  if (!['taken', 'replaced'].includes(await tryLink(folder, right, own))) return 'changed';
  try {
    // With the right, nobody else replaces what `before` left; without looking again, it might be another's by now.
    if ((await targetOf(link)) !== before) return 'changed';
    const draft = join(folder, own.replace('.sock', '.link'));
    await symlink(own, draft);
    await rename(draft, link);
    await rm(join(folder, before), { force: true });
    return 'replaced';
  } finally {
    await rm(join(folder, right), { force: true });
  }
}

async function makeLink(target: string, link: string): Promise<boolean> {
  try {
    await symlink(target, link);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

async function targetOf(link: string): Promise<string | null> {
  try {
    return await readlink(link);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Refusing and missing are death; whatever else happens, somebody may be there. */
async function isAlive(path: string): Promise<boolean> {
  return withSocketPath(
    path,
    (address) =>
      new Promise((resolve) => {
        const socket = createConnection(address);
        const settle = (alive: boolean): void => {
          socket.destroy();
          resolve(alive);
        };
        socket.once('connect', () => settle(true));
        socket.once('error', (error) => settle(!['ECONNREFUSED', 'ENOENT'].includes(codeOf(error))));
      }),
  );
}

function answer(socket: Socket, holder: RunningNode): void {
  socket.unref();
  // Who asked may be gone before it has heard the answer.
  socket.on('error', () => socket.destroy());
  socket.setTimeout(PATIENCE_MS, () => socket.destroy());
  socket.end(`${JSON.stringify(holder)}\n`);
}

/** The holder's line; null where nobody holds the lock. */
async function ask(path: string): Promise<string | null> {
  return withSocketPath(
    path,
    (address) =>
      new Promise((resolve, reject) => {
        const socket = createConnection(address).setEncoding('utf8');
        let text = '';
        socket.setTimeout(PATIENCE_MS, () => {
          socket.destroy(new TidelogError('data-in-use', 'the process that has it does not answer'));
        });
        socket.on('data', (chunk: string) => {
          text += chunk;
          if (text.length > ANSWER_BYTES_MAX)
            socket.destroy(new TidelogError('data-in-use', 'the process that has it is no Tidelog'));
        });
        socket.once('end', () => resolve(text));
        socket.once('error', (error) => {
          // Of a folder that is a file, or somebody else's, opening says more.
          if (['ECONNREFUSED', 'ENOENT', 'ECONNRESET', 'ENOTDIR', 'EACCES'].includes(codeOf(error))) resolve(null);
          else reject(error);
        });
        socket.once('close', () => resolve(null));
      }),
  );
}

/** null for the empty answer of a process that was just ending. */
function parseAnswer(line: string): RunningNode | null {
  if (line === '') return null;
  try {
    const { pid, url } = JSON.parse(line) as Partial<RunningNode>;
    if (typeof pid === 'number' && (typeof url === 'string' || url === null)) return { pid, url };
  } catch {
    // Said below.
  }
  throw new TidelogError('data-in-use', 'the process that has it is no Tidelog');
}

async function inUse(dir: string): Promise<TidelogError> {
  const holder = await findRunningNode(dir).catch(() => null);
  return new TidelogError('data-in-use', holder ? `process ${holder.pid}` : undefined, { ...holder });
}

async function listen(server: Server, path: string): Promise<void> {
  await withSocketPath(
    path,
    (address) =>
      new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(address, resolve);
      }),
  );
  // A lock is no reason for a process to go on.
  server.unref();
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

/**
 * Gives `use` an address for the socket at `path` that is short enough. A path that is too long is reached through a link to its
 * folder, in a private folder that is gone afterwards: so the socket is always in the data folder, where no other user gets in.
 */
async function withSocketPath<T>(path: string, use: (address: string) => Promise<T>): Promise<T> {
  if (isWindows || Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return use(path);
  const at = path.lastIndexOf('/');
  const folder = await mkdtemp(join(tmpdir(), 'tidelog-'));
  try {
    await symlink(path.slice(0, at), join(folder, 'd'));
    const address = join(folder, 'd', path.slice(at + 1));
    if (Buffer.byteLength(address) > SOCKET_PATH_BYTES_MAX) {
      throw new TidelogError('bad-argument', `the path of the folder for temporary files is too long: ${tmpdir()}`);
    }
    return await use(address);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function pipePath(folder: string): string {
  const hash = createHash('sha256').update(folder.toLowerCase()).digest('hex').slice(0, 32);
  return `\\\\.\\pipe\\tidelog-${hash}`;
}

function codeOf(error: unknown): string {
  return String((error as NodeJS.ErrnoException).code);
}

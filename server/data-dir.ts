/**
 * The data folder: who this device is, and where its store lies.
 *
 *   version       {"format":1}: what tells a data folder from any other. Written last, so what has it is whole
 *   key           the device's Ed25519 seed. Only its user may read it, and it never leaves the device
 *   token         what HTTP clients of this machine show. Only its user may read it
 *   config.json   settings: the business of config.ts. Made here where the device is given a name
 *   store/        LMDB
 *   node.sock     the lock (data-lock.ts)
 */

import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { fromHex, toBase64Url, toHex } from '../protocol/bytes.ts';
import { NAME_BYTES_MAX } from '../protocol/constants.ts';
import type { RandomBytes } from '../protocol/crypto.ts';
import { TidelogError } from '../protocol/errors.ts';
import { isName } from '../protocol/value.ts';
import { isLockFile, lockDataDir, type Lock } from './data-lock.ts';
import { isFile, makeFolder, syncFolder, writeFileDurably } from './durable.ts';

export { findRunningNode } from './data-lock.ts';

export interface DataDir {
  /** Absolute. */
  readonly dir: string;
  /** 32 bytes, of RFC 8032. */
  readonly seed: Uint8Array;
  readonly token: string;
  /** For openLmdbStore. */
  readonly storePath: string;
}

/** A data folder that this process has for itself, until it is released. */
export interface OpenDataDir extends DataDir {
  readonly lock: Lock;
  release(): Promise<void>;
}

const FORMAT = 1;
const SEED_BYTES = 32;
const TOKEN_BYTES = 32;
const KEY_HEADER = 'Tidelog device key (Ed25519 seed, hex). Keep it secret, and on this device only.';
const FILE = { VERSION: 'version', KEY: 'key', TOKEN: 'token', CONFIG: 'config.json', STORE: 'store' } as const;
/** Only its user reads it. All of them are: names and settings are nobody else's business either. */
const FILE_MODE = 0o600;
/** What may lie in a folder that nobody has used yet. */
const NOBODYS: ReadonlySet<string> = new Set(['lost+found', '.DS_Store']);

export interface InitOptions {
  /** What others see this device as; goes into the settings. */
  readonly name?: string | undefined;
  readonly random: RandomBytes;
  /** The key of a device that there was; without it, a new one. */
  readonly seed?: Uint8Array | undefined;
}

/**
 * Makes a data folder in `dir`, which is missing or empty, with a new device key. Where there is one already it changes nothing, and
 * `created` is false. Finishes what an initialisation that was cut off has begun, and keeps a key that it made.
 */
export async function initDataDir(
  dir: string,
  { name, random, seed }: InitOptions,
): Promise<DataDir & { readonly created: boolean }> {
  if (name === '' || (name !== undefined && !isName(name))) {
    throw new TidelogError('bad-argument', `a name is 1 to ${NAME_BYTES_MAX} bytes of text without control characters`);
  }
  if (await isFile(dir)) throw new TidelogError('data-not-ours', `${dir} is a file`);
  await makeFolder(dir);
  const created = (await lookAt(dir)) !== 'ours' && (await makeFiles(dir, name, random, seed));
  return { ...(await readDataDir(dir)), created };
}

/** False where another process was faster. */
async function makeFiles(
  dir: string,
  name: string | undefined,
  random: RandomBytes,
  seed: Uint8Array = random(SEED_BYTES),
): Promise<boolean> {
  const lock = await lockDataDir(dir);
  try {
    const files = new Set(await readdir(dir));
    if (files.has(FILE.VERSION)) return false;
    const make = async (file: string, text: string): Promise<void> => {
      if (!files.has(file)) await writeFileDurably(join(dir, file), text, FILE_MODE);
    };
    await make(FILE.KEY, keyText(seed));
    await make(FILE.TOKEN, `${toBase64Url(random(TOKEN_BYTES))}\n`);
    if (name !== undefined) await make(FILE.CONFIG, `${JSON.stringify({ name }, null, 2)}\n`);
    await make(FILE.VERSION, `${JSON.stringify({ format: FORMAT })}\n`);
    await syncFolder(dirname(resolve(dir)));
    return true;
  } finally {
    await lock.release();
  }
}

/** Is there a data folder that can be opened, or has been? Throws `data-not-ours` for a folder of something else. */
export async function isDataDir(dir: string): Promise<boolean> {
  return (await lookAt(dir)) === 'ours';
}

/** Opens a data folder for this process alone. Whoever gets `data-in-use` can ask `findRunningNode` and talk to that one. */
export async function openDataDir(dir: string): Promise<OpenDataDir> {
  await assertOurs(dir);
  const lock = await lockDataDir(dir);
  try {
    return { ...(await readDataDir(dir)), lock, release: () => lock.release() };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** Reads a data folder, also one that another process has open. */
export async function readDataDir(dir: string): Promise<DataDir> {
  await assertOurs(dir);
  const key = join(dir, FILE.KEY);
  return {
    dir: resolve(dir),
    seed: await readKey(key),
    token: await readToken(dir),
    storePath: join(resolve(dir), FILE.STORE),
  };
}

/** What the process that has this folder open wants to be shown. */
export async function readToken(dir: string): Promise<string> {
  const path = join(dir, FILE.TOKEN);
  return parseToken(await readSecret(path), path);
}

/** 'empty' also where an initialisation was cut off: what it left has never been used. */
async function lookAt(dir: string): Promise<'ours' | 'empty' | 'missing'> {
  let files: string[];
  try {
    files = await readdir(dir);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') return 'missing';
    if (code === 'ENOTDIR') throw new TidelogError('data-not-ours', `${dir} is a file`);
    throw unreadable(dir, error);
  }
  if (files.includes(FILE.VERSION)) return 'ours';
  const begun: ReadonlySet<string> = new Set(
    [FILE.KEY, FILE.TOKEN, FILE.CONFIG, FILE.VERSION].flatMap((file) => [file, `${file}.new`]),
  );
  const other = files.find((file) => !begun.has(file) && !isLockFile(file) && !NOBODYS.has(file));
  if (other !== undefined) throw new TidelogError('data-not-ours', `${dir} holds ${other}`);
  return 'empty';
}

async function assertOurs(dir: string): Promise<void> {
  if ((await lookAt(dir)) !== 'ours') throw new TidelogError('data-missing', dir);
  const path = join(dir, FILE.VERSION);
  const version = parseJson(await read(path), path);
  const format = (version as { format?: unknown } | null)?.format;
  if (!Number.isSafeInteger(format) || (format as number) < 1) throw damaged(path);
  if ((format as number) > FORMAT)
    throw new TidelogError('data-newer', `format ${format as number}; this version knows ${FORMAT}`);
}

/** Windows keeps files to their users by other means than modes. */
async function readSecret(path: string): Promise<string> {
  if (process.platform !== 'win32') {
    const { mode } = await stat(path).catch((error) => Promise.reject(unreadable(path, error)));
    if ((mode & 0o077) !== 0) throw new TidelogError('key-unsafe', `${path} has mode ${(mode & 0o777).toString(8)}`);
  }
  return read(path);
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw unreadable(path, error);
  }
}

function keyText(seed: Uint8Array): string {
  return `${KEY_HEADER}\n${toHex(seed)}\n`;
}

/** A device's key in a file of its own, which only its user can read. */
export async function writeKey(path: string, seed: Uint8Array): Promise<void> {
  await writeFileDurably(path, keyText(seed), FILE_MODE);
}

/** Throws `key-unsafe`, `data-damaged`. */
export async function readKey(path: string): Promise<Uint8Array> {
  return parseKey(await readSecret(path), path);
}

function parseKey(text: string, path: string): Uint8Array {
  const [header, hex, ...rest] = text.trimEnd().split('\n');
  const seed = fromHex(hex ?? '');
  if (header !== KEY_HEADER || seed?.length !== SEED_BYTES || rest.length > 0) throw damaged(path);
  return seed;
}

function parseToken(text: string, path: string): string {
  const token = text.trim();
  // A person may have chosen another one, but not a short one.
  if (!/^[\w-]{32,}$/.test(token)) throw damaged(path);
  return token;
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw damaged(path);
  }
}

function damaged(path: string): TidelogError {
  return new TidelogError('data-damaged', `${path} is not what was written`);
}

function unreadable(path: string, cause: unknown): TidelogError {
  if (codeOf(cause) === 'ENOENT') return new TidelogError('data-damaged', `${path} is missing`, {}, { cause });
  if (NOT_ALLOWED.has(codeOf(cause))) return new TidelogError('data-unreadable', path, {}, { cause });
  return new TidelogError('store-failed', `${path} cannot be read: ${(cause as Error).message}`, {}, { cause });
}

/** What a system says where a user may not. */
const NOT_ALLOWED = new Set(['EACCES', 'EPERM']);

function codeOf(error: unknown): string {
  return String((error as NodeJS.ErrnoException).code);
}

/**
 * Loaded into a program before its own modules, `node --import points.ts bin/tidelog.js start`, it kills it at a named point: SIGKILL to itself, when
 * what the point is named after happens for the n-th time.
 *
 *   TIDELOG_CRASH_AT=record-torn:12      before half of the twelfth record is in the journal
 *   TIDELOG_CRASH_AT=tables-during:3:800 800 µs after the third transaction of LMDB has set out
 *
 * It wraps the file functions of Node and the module `lmdb`, as they come to be imported. So the program itself has no hooks, and what is killed is
 * what people run.
 */
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import { registerHooks, syncBuiltinESMExports } from 'node:module';

export const POINTS = [
  // a record of the journal: not yet in the file, half of it, all of it and nobody told
  'record-before',
  'record-torn',
  'record-after',
  // the journal's file: empty, of zeros, flushed; and removed
  'journal-open',
  'journal-zeros',
  'journal-flushed',
  'journal-remove-before',
  'journal-remove-after',
  // a transaction of LMDB
  'tables-before',
  'tables-during',
  'tables-after',
  // a stop that was asked for
  'close-before',
  'close-after',
  // what follows a revocation: flagged on the disk, made, and not yet written
  'sweep-begun',
  'sweep-made',
  // each transaction of what follows a fork: the state made anew, or the log, and the old log's removal
  'rebuild-write',
  'rebuild-written',
  'repair-write',
  'repair-written',
  'clearing-write',
  'clearing-written',
  // files that are written whole and renamed: the key, the settings
  'file-draft',
  'file-renamed',
] as const;
/** Doesn't kill: from the n-th record on the journal's writes succeed and write nothing. A control for whoever looks for losses. */
type Point = (typeof POINTS)[number] | 'record-lost';

const [name, nth, us] = (process.env['TIDELOG_CRASH_AT'] ?? '').split(':');
let count = 0;

function isNow(point: Point): boolean {
  return point === name && ++count === Number(nth);
}

/** Dies here if this is the point, and the time. */
export function hit(point: Point): void {
  if (isNow(point)) process.kill(process.pid, 'SIGKILL');
}

/** µs after which to die; null where this isn't the time. */
export function spinUs(point: Point): number | null {
  return isNow(point) ? Number(us ?? 0) : null;
}

const isJournal = (path: unknown): boolean => String(path).endsWith('/store/journal');
const isDraft = (path: unknown): boolean => String(path).endsWith('.new');

if (name) {
  const journals = new Set<number>();
  const real = { open: fs.open, write: fs.write, writeSync: fs.writeSync };

  fs.open = ((path: string, flags: number, done: (error: Error | null, fd: number) => void) =>
    real.open(path, flags, (error, fd) => {
      if (!error && isJournal(path)) journals.add(fd);
      done(error, fd);
    })) as unknown as typeof fs.open;

  let isLost = false;
  /** True where nothing is to be written: a disk that lies, to see whether a loss is noticed. */
  const tear = (fd: number, record: Uint8Array, from: number, length: number, at: number): boolean => {
    hit('record-before');
    isLost ||= isNow('record-lost');
    if (isNow('record-torn')) {
      real.writeSync(fd, record, from, length >> 1, at);
      process.kill(process.pid, 'SIGKILL');
    }
    return isLost;
  };
  type Place = [fd: number, bytes: Uint8Array, from: number, length: number, at: number];
  fs.writeSync = ((...args: Place) => {
    if (journals.has(args[0]) && tear(...args)) return args[3];
    const written = real.writeSync(...args);
    if (journals.has(args[0])) hit('record-after');
    return written;
  }) as unknown as typeof fs.writeSync;
  fs.write = ((...args: unknown[]) => {
    const fd = args[0] as number;
    const done = args.at(-1) as (...results: unknown[]) => void;
    if (!journals.has(fd)) return (real.write as (...all: unknown[]) => void)(...args);
    if (tear(...(args.slice(0, 5) as Place))) return done(null, args[3]);
    (real.write as (...all: unknown[]) => void)(...args.slice(0, -1), (...results: unknown[]) => {
      hit('record-after');
      done(...results);
    });
  }) as unknown as typeof fs.write;

  const promised = { open: fsp.open, rm: fsp.rm, rename: fsp.rename };
  fsp.open = async (path, ...rest) => {
    const file = await promised.open(path, ...rest);
    if (isJournal(path) && rest[0] === 'w') {
      hit('journal-open');
      const writeFile = file.writeFile.bind(file);
      const sync = file.sync.bind(file);
      file.writeFile = async (...args) => {
        await writeFile(...args);
        hit('journal-zeros');
      };
      file.sync = async () => {
        await sync();
        hit('journal-flushed');
      };
    }
    return file;
  };
  fsp.rm = async (path, options) => {
    if (isJournal(path)) hit('journal-remove-before');
    await promised.rm(path, options);
    if (isJournal(path)) hit('journal-remove-after');
  };
  fsp.rename = async (from, to) => {
    if (isDraft(from)) hit('file-draft');
    await promised.rename(from, to);
    if (isDraft(from)) hit('file-renamed');
  };
  syncBuiltinESMExports();

  registerHooks({
    resolve(specifier, context, next) {
      if (specifier === 'lmdb' && context.parentURL?.endsWith('/server/lmdb-store.ts'))
        return { url: new URL('./lmdb-points.ts', import.meta.url).href, shortCircuit: true };
      const isWork = /^\.\/(replica\/)?(sweep|rebuild|repair)\.ts$/.test(specifier);
      if (isWork && /\/client\/(replica\/writer|spaces)\.ts$/.test(context.parentURL ?? ''))
        return { url: new URL('./replica-points.ts', import.meta.url).href, shortCircuit: true };
      return next(specifier, context);
    },
  });
}

/**
 * How far an import came: `<data>/imports/<hash of the input's path>.json`. It is written after the lines are on disk, so a crash in between
 * makes `--continue` repeat a piece at the most; what only sets values then changes nothing, what counts (`inc`) counts twice.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';

import { TidelogError } from '../protocol/errors.ts';
import { writeFileDurably } from './durable.ts';

const ProgressSchema = v.strictObject({
  /** Absolute path of the input; `-` for standard input. */
  key: v.string(),
  /** Lines from the first whose commits are on disk, or that were left out. */
  lines: v.pipe(v.number(), v.integer(), v.minValue(0)),
  /** Of these lines, each with its newline; hex. */
  sha256: v.string(),
  /** SHA-256 of the line that was refused, hex; null where it wasn't a line's fault. */
  stoppedBy: v.nullable(v.string()),
});
export type Progress = v.InferOutput<typeof ProgressSchema>;

const FOLDER = 'imports';

function pathOf(dataDir: string, key: string): string {
  return join(dataDir, FOLDER, `${createHash('sha256').update(key).digest('hex').slice(0, 32)}.json`);
}

/** Throws `bad-argument` where no import of this input stopped. */
export async function readProgress(dataDir: string, key: string): Promise<Progress> {
  const path = pathOf(dataDir, key);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch {
    throw new TidelogError('bad-argument', `no import of ${key} stopped halfway; leave out --continue`);
  }
  try {
    return v.parse(ProgressSchema, JSON.parse(text));
  } catch (thrown) {
    throw new TidelogError('data-damaged', `${path}: ${(thrown as Error).message}`);
  }
}

export async function writeProgress(dataDir: string, progress: Progress): Promise<void> {
  await mkdir(join(dataDir, FOLDER), { recursive: true, mode: 0o700 });
  await writeFileDurably(pathOf(dataDir, progress.key), `${JSON.stringify(progress)}\n`, 0o600);
}

export async function forgetProgress(dataDir: string, key: string): Promise<void> {
  await rm(pathOf(dataDir, key), { force: true });
}

export function lineHash(line: Uint8Array): string {
  return createHash('sha256').update(line).digest('hex');
}

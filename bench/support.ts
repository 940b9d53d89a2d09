/** What the benchmarks share: seeded work, folders that clean up after themselves, programs in processes of their own, and medians. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, rmSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Change } from '../protocol/body.ts';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
export const TIDELOG = join(ROOT, 'bin', 'tidelog.js');
const SEED = 20_261_120;

/** xorshift32: the same work on every machine. */
export function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const WORDS =
  'alpha anchor beacon bread buoy canvas cargo current delta garden harbour island kettle ledger log market milk moon note pier rope sail salt shore signal stone tide wave wind work'.split(
    ' ',
  );

function text(random: (below: number) => number, length: number): string {
  let out = '';
  while (out.length < length) out += `${WORDS[random(WORDS.length)]} `;
  return out.slice(0, length).trimEnd();
}

/** Commits of `perCommit` resources: an id, a title of 15 characters, a text of 80, a number. 150 to 200 bytes as a commit of one. */
export function* makeCommits(commits: number, perCommit: number): Generator<Change[]> {
  const random = randomOf(SEED);
  for (let i = 0; i < commits; i++) {
    const changes: Change[] = [];
    for (let k = 0; k < perCommit; k++) {
      const id = i * perCommit + k;
      changes.push({
        subject: `note/${id}`,
        ops: { set: { id, title: text(random, 15), text: text(random, 80), number: random(1_000_000) } },
      });
    }
    yield changes;
  }
}

export async function writeNdjson(path: string, commits: number, perCommit: number): Promise<void> {
  const file = createWriteStream(path);
  for (const changes of makeCommits(commits, perCommit)) {
    const line = `${JSON.stringify({ changes: changes.map(({ subject, ops }) => ({ subject, ...ops })) })}\n`;
    if (!file.write(line)) await new Promise<void>((resolve) => file.once('drain', () => resolve()));
  }
  await new Promise<void>((resolve, reject) => file.end((error?: Error | null) => (error ? reject(error) : resolve())));
}

const folders = new Set<string>();
const children = new Set<ChildProcess>();

/** However this process ends, a program that it started ends too. */
export function endsWithUs(child: ChildProcess): ChildProcess {
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}
function endChildren(): void {
  for (const child of children) child.kill('SIGKILL');
}
process.on('exit', endChildren);
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => {
    endChildren();
    // A child that is just being ended may still make a file.
    for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    process.exit(code);
  });
}

/** A folder for the time of a call; it goes too when the process is told to stop. */
export async function withFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'tidelog-bench-'));
  folders.add(folder);
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
    folders.delete(folder);
  }
}

export async function folderBytes(folder: string): Promise<number> {
  let total = 0;
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) total += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return total;
}

/** Runs a program of `programs/` and gives the JSON that it prints last. `flags` are Node's. */
export async function runProgram<T>(
  name: string,
  args: readonly (string | number)[],
  flags: readonly string[] = [],
): Promise<T> {
  return JSON.parse(await run(process.execPath, [...flags, programPath(name), ...args.map(String)])) as T;
}

export function programPath(name: string): string {
  return join(ROOT, 'bench', 'programs', `${name}.ts`);
}

/** Runs `tidelog` and gives what it prints. */
export function tidelog(...args: string[]): Promise<string> {
  return run(process.execPath, [TIDELOG, ...args]);
}

function run(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    endsWithUs(child);
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => (out += part));
    child.on('error', reject);
    child.on('exit', (code) =>
      code === 0
        ? resolve(out.trimEnd().split('\n').at(-1) ?? '')
        : reject(new Error(`${args.join(' ')}: exit ${code}`)),
    );
  });
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]!;
}

/** Runs the conformance kit, by its command line, against an implementation in a folder: this one, or a copy with a mistake in it. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Outcome, Side } from '../../conformance/index.ts';
import { ROOT } from '../planted/build.ts';

const exec = promisify(execFile);

export interface CaseResult {
  readonly id: string;
  readonly title: string;
  readonly outcome: Outcome;
  readonly reason: string | null;
  readonly transcript: readonly string[];
}

export interface KitRun {
  readonly results: readonly CaseResult[];
  readonly code: number;
  readonly stderr: string;
}

const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
/** A run of all cases takes about two minutes on two cores. */
const RUN_MS_MAX = 10 * 60_000;

/** `args` of `tidelog conformance`. */
export async function runKit(args: readonly string[]): Promise<KitRun> {
  const command = [join(ROOT, 'bin/tidelog.js'), 'conformance', ...args, '--json'];
  const options = { maxBuffer: OUTPUT_BYTES_MAX, timeout: RUN_MS_MAX };
  const { stdout, stderr, code } = await exec(process.execPath, command, options).then(
    (done) => ({ ...done, code: 0 }),
    (failed: { stdout: string; stderr: string; code: number }) => failed,
  );
  const lines = stdout.split('\n').filter((line) => line !== '');
  const results = lines.map((line) => JSON.parse(line) as CaseResult | { side: string }).filter((line) => 'id' in line);
  return { results, code, stderr };
}

/** Against the build in `root` (see test/planted/build.ts), on one of its sides, with all that the kit may ask for. */
export async function judge(side: Side, root: string, flags: readonly string[] = []): Promise<KitRun> {
  return side === 'server' ? judgeServer(root, flags) : judgeClient(root, flags);
}

async function judgeServer(root: string, flags: readonly string[]): Promise<KitRun> {
  const folder = await mkdtemp(join(tmpdir(), 'tidelog-kit-'));
  try {
    const port = await freePort();
    const tidelog = `"${process.execPath}" "${join(root, 'bin/tidelog.js')}" --data "${folder}/node"`;
    const url = `http://127.0.0.1:${port}`;
    const control = `"${process.execPath}" "${join(root, 'test/conformance/control.js')}" ${url} "${folder}/node"`;
    await exec('sh', ['-c', `${tidelog} init --name node`]);
    return await runKit([
      'server',
      url,
      '--run',
      `exec ${tidelog} start --port ${port}`,
      '--invite',
      `${control} invite {role} {life}`,
      '--write',
      `${control} write {subject} {property} {value}`,
      '--read',
      `${control} read {subject}`,
      ...flags,
    ]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function judgeClient(root: string, flags: readonly string[]): Promise<KitRun> {
  const program = `"${process.execPath}" "${join(root, 'test/conformance/client.js')}" {data}`;
  return runKit([
    'client',
    '--run',
    `exec ${program} run {link}`,
    '--write',
    `${program} set {subject} {property} {value}`,
    '--read',
    `${program} get {subject}`,
    ...flags,
  ]);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

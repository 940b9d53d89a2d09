/** Plants a mistake in a copy of this implementation, and lets what has to find it look. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { judge } from '../conformance/kit.ts';
import type { KitBug, PlantedBug, SimBug, TestBug } from './bug.ts';
import { build, type Build } from './build.ts';

export interface Catch {
  readonly isCaught: boolean;
  /** What of that which has to find it did, or why nothing did. */
  readonly by: string;
}

/** Seeds that the simulation has to find a mistake in. */
const SEEDS = 200;
const STEPS = 40;
const RUN_MS_MAX = 10 * 60_000;

export async function tryOut(bug: PlantedBug): Promise<Catch> {
  const form = 'side' in bug ? 'programs' : 'kinds' in bug ? 'simulation' : 'tests';
  const copy = await build(bug, form);
  try {
    return await ('side' in bug ? byKit(bug, copy) : 'kinds' in bug ? bySimulation(bug, copy) : byTest(bug, copy));
  } finally {
    await copy.remove();
  }
}

/** What a bug is to be found by, for a table. */
export function catcherOf(bug: PlantedBug): string {
  if ('side' in bug) return `conformance kit, ${bug.side}`;
  return 'kinds' in bug ? 'simulation' : bug.test.file;
}

async function byKit({ side, caughtBy }: KitBug, { root }: Build): Promise<Catch> {
  const { results, stderr } = await judge(side, root, ['--only', caughtBy.join(','), '--timeout', '3']);
  const failed = results.filter(({ outcome }) => outcome === 'failed' || outcome === 'warned').map(({ id }) => id);
  const missed = caughtBy.filter((id) => !failed.includes(id));
  if (results.length === 0) return { isCaught: false, by: lastLine(stderr) };
  const isCaught = missed.length === 0 && caughtBy.length > 0;
  return { isCaught, by: isCaught ? `case ${failed.join(', ')}` : `not by case ${missed.join(', ')}` };
}

async function bySimulation({ kinds, caughtAs }: SimBug, { root }: Build): Promise<Catch> {
  const flags = ['--seeds', String(SEEDS), '--steps', String(STEPS), '--stop', '--no-minimize'];
  const { stdout } = await run(root, ['test/sim/run.ts', ...flags, '--kinds', kinds.join(',')]);
  const found = /^seed (\S+): ([^:]+): /m.exec(stdout);
  if (!found) return { isCaught: false, by: `no seed up to ${SEEDS}` };
  return { isCaught: caughtAs.includes(found[2]!), by: `seed ${found[1]} of ${STEPS} steps: ${found[2]}` };
}

interface TestReport {
  readonly testResults: readonly {
    readonly message: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

async function byTest({ test }: TestBug, { root }: Build): Promise<Catch> {
  const report = join(root, 'report.json');
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  await run(root, [vitest, 'run', test.file, ...only(test.name), '--reporter', 'json', '--outputFile', report]);
  const { testResults } = JSON.parse(await readFile(report, 'utf8')) as TestReport;
  const all = testResults.flatMap(({ assertionResults }) => assertionResults);
  const failed = all.filter(({ status }) => status === 'failed').map(({ fullName }) => fullName);
  const named = failed.find((name) => name.includes(test.name));
  if (named !== undefined) return { isCaught: true, by: named };
  const others = failed.length > 0 ? `not by it, but by: ${failed.join('; ')}` : `${all.length} tests pass`;
  return { isCaught: false, by: testResults[0]?.message || others };
}

async function run(cwd: string, args: readonly string[]): Promise<{ stdout: string }> {
  const options = {
    cwd,
    maxBuffer: 1 << 28,
    timeout: RUN_MS_MAX,
    // Not those of the run that this is in: it would write its report over that one's.
    env: { ...process.env, VITEST: undefined, TIDELOG_TEST_LONG: undefined, TIDELOG_TEST_REPORT: undefined },
  };
  return promisify(execFile)(process.execPath, args, options).catch((failed: { stdout: string }) => failed);
}

/** Only that test: the others pass or not, nobody asks. */
function only(name: string): string[] {
  return name === '' ? [] : ['-t', name.replaceAll(/[^\w ]/g, '.')];
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}

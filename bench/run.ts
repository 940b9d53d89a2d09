/**
 * `npm run bench`: every row of the table of targets, measured and judged. The method is in README.md beside this file.
 *
 *   npm run bench -- --quick              less work, under two minutes on two cores
 *   npm run bench -- --only live,start    some rows
 *   npm run bench -- --json               one line of JSON in place of the table; --out FILE writes it beside the table
 *   npm run bench -- --check              fails where a ratio to the floor fell far below the recorded one; --record records
 */
import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { Lab, type Row, type Sizes } from './lab.ts';
import {
  compare,
  describeMachine,
  guardedRatios,
  headLine,
  isMet,
  lineOf,
  machineHere,
  TOLERANCE,
  type Recorded,
  type Report,
  type RowFigure,
} from './report.ts';
import { diskRow, wireRow } from './rows/bytes.ts';
import { chainsRow } from './rows/chains.ts';
import { coldSyncRow } from './rows/cold-sync.ts';
import { followersRow } from './rows/followers.ts';
import { growthRow } from './rows/growth.ts';
import { httpRow } from './rows/http.ts';
import { liveRow } from './rows/live.ts';
import { localRow } from './rows/local.ts';
import { memoryRow } from './rows/memory.ts';
import { mirrorRow } from './rows/mirror.ts';
import { packedRow } from './rows/packed.ts';
import { resumeRow } from './rows/resume.ts';
import { senderRow } from './rows/sender.ts';
import { startRow } from './rows/start.ts';
import { withFolder } from './support.ts';

/** In the order of the table of targets. */
const ROWS: readonly Row[] = [
  coldSyncRow,
  mirrorRow,
  packedRow,
  wireRow,
  diskRow,
  senderRow,
  resumeRow,
  liveRow,
  localRow,
  memoryRow,
  followersRow,
  growthRow,
  chainsRow,
  startRow,
  httpRow,
];

const FULL: Sizes = {
  commits: [100_000, 1_000_000],
  packed: 10_000,
  runs: 3,
  liveWrites: 3000,
  localWrites: 3000,
  warmUp: 4000,
  missed: 1000,
  memory: [100_000, 1_000_000],
  followers: 2000,
  growth: [100_000, 5_000_000],
  chains: 1000,
  chainCommits: 100_000,
  byTurns: true,
  httpSeconds: 5,
};
const QUICK: Sizes = {
  commits: [100_000],
  packed: 2000,
  runs: 1,
  liveWrites: 500,
  localWrites: 500,
  warmUp: 1000,
  missed: 1000,
  memory: [20_000, 100_000],
  followers: 500,
  growth: null,
  chains: 100,
  chainCommits: 10_000,
  byTurns: false,
  httpSeconds: 1,
};
/** What `--growth` adds to a quick run. */
const QUICK_GROWTH = [20_000, 200_000] as const;

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    out: { type: 'string' },
    only: { type: 'string' },
    growth: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
  },
});
const RECORDED_PATH = new URL('recorded.json', import.meta.url);

const mode = values.quick ? 'quick' : 'full';
const only = values.only?.split(',').map((name) => name.trim());
const unknown = only?.filter((name) => !ROWS.some((row) => row.name === name)) ?? [];
if (unknown.length > 0) {
  process.stderr.write(`there is no row ${unknown.join(', ')}; there are ${ROWS.map(({ name }) => name).join(', ')}\n`);
  process.exit(2);
}
const wantsGrowth = values.growth || only?.includes('growth');
const sizes = values.quick ? { ...QUICK, growth: wantsGrowth ? QUICK_GROWTH : null } : FULL;
const report = await run();
if (values.out !== undefined) await writeFile(values.out, `${JSON.stringify(report, null, 2)}\n`);
if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`);
if (values.record) await record(report);
if (values.check) await check(report);
process.exit();

async function run(): Promise<Report> {
  const machine = machineHere();
  say(describeMachine(machine));
  if (values.quick) say('quick: less work than the targets are about, and one run of each');
  say(`\n${headLine()}`);
  const started = performance.now();
  const figures = await withFolder(async (folder) => {
    const lab = new Lab(folder, sizes);
    const all: RowFigure[] = [];
    for (const row of ROWS) {
      if (only && !only.includes(row.name)) continue;
      for (const figure of await row.run(lab)) {
        all.push({ row: row.name, ...figure });
        say(lineOf(figure, process.stdout.isTTY && process.stdout.hasColors()));
      }
    }
    return all;
  });
  const judged = figures.map(isMet).filter((met) => met !== null);
  const seconds = Math.round((performance.now() - started) / 1000);
  say(`\n${judged.filter(Boolean).length} of ${judged.length} targets met; ${seconds} s`);
  return { date: new Date().toISOString().slice(0, 10), mode, machine, figures };
}

/** For people; a program that reads JSON gets that alone. */
function say(text: string): void {
  if (!values.json) process.stdout.write(`${text}\n`);
}

async function readRecorded(): Promise<Recorded> {
  return JSON.parse(await readFile(RECORDED_PATH, 'utf8')) as Recorded;
}

/** Those that this run didn't measure stay as they were. */
async function record({ figures }: Report): Promise<void> {
  const before = await readRecorded();
  const after = { ...before, [mode]: { ...before[mode], ...guardedRatios(figures) } };
  await writeFile(RECORDED_PATH, `${JSON.stringify(after, null, 2)}\n`);
}

async function check({ figures }: Report): Promise<void> {
  const { compared, regressions } = compare((await readRecorded())[mode] ?? {}, figures);
  for (const { key, recorded, now } of regressions)
    process.stderr.write(
      `regression: ${key} is ${now} of its floor or target, below ${TOLERANCE} × the recorded ${recorded}\n`,
    );
  if (compared === 0) process.stderr.write('nothing was recorded that this run could be compared with\n');
  else say(`${compared} ratios compared with the recorded ones, ${regressions.length} fell too far`);
  if (regressions.length > 0 || compared === 0) process.exitCode = 1;
}

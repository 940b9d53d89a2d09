/**
 * Keeps the figures of docs/RELIABILITY.md: what a run with --json printed goes into docs/reliability.json, and from there into the page.
 *
 *   npm run sim -- --seeds 2000 --json > FILE && node scripts/reliability.ts simulation FILE
 *   npm run crash -- --rounds 500      > FILE && node scripts/reliability.ts crash FILE
 *   npm run fuzz -- --seconds 600      > FILE && node scripts/reliability.ts fuzzing FILE
 *   npm run planted -- --json          > FILE && node scripts/reliability.ts planted FILE
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';
import { describeMachine } from '../bench/report.ts';
import type { PlantedBug } from '../test/planted/bug.ts';
import { PLANTED_BUGS } from '../test/planted/bugs.ts';
import { catcherOf } from '../test/planted/catch.ts';
import type { Run } from '../test/support/run.ts';

type Counts = Readonly<Record<string, number>>;

interface Simulated extends Run {
  readonly seeds: number;
  readonly from: number;
  readonly steps: number;
  readonly failed: readonly string[];
  readonly hours: number;
  readonly acknowledged: number;
  readonly events: number;
  readonly looks: number;
  readonly faults: Counts;
}

interface Crashed extends Run {
  readonly seed: number;
  readonly rounds: number;
  readonly kills: Counts;
  readonly acknowledged: { readonly written: number; readonly received: number };
}

interface Fuzzed extends Run {
  readonly seed: number;
  readonly inputs: number;
  readonly answers: Counts;
  readonly faults: number;
  readonly sessions: number;
}

export interface Records {
  readonly simulation?: Simulated;
  readonly crash?: Crashed;
  readonly fuzzing?: Fuzzed;
  readonly planted?: Run & { readonly planted: number; readonly caught: number };
}

const RECORDS = new URL('../docs/reliability.json', import.meta.url);
export const PAGE = new URL('../docs/RELIABILITY.md', import.meta.url);

const number = (value: number): string => value.toLocaleString('en');
const sum = (counts: Counts): number => Object.values(counts).reduce((total, count) => total + count, 0);
const where = ({ machine, date, seconds }: Run): string =>
  `${describeMachine(machine)}, ${date}, ${number(seconds)} s.`;

function table(head: readonly [string, string], counts: Counts): string {
  const rows = Object.entries(counts).toSorted(([, a], [, b]) => b - a);
  return [
    `| ${head.join(' | ')} |`,
    '| --- | ---: |',
    ...rows.map(([what, count]) => `| ${what} | ${number(count)} |`),
  ].join('\n');
}

/** By the name of their place in the page. */
function parts({ simulation, crash, fuzzing, planted }: Records): Record<string, string> {
  const result: Record<string, string> = {};
  if (simulation) {
    const { seeds, from, steps, failed, hours, acknowledged, events, looks, faults } = simulation;
    result['simulation'] =
      `\`npm run sim -- --from ${from} --seeds ${seeds} --steps ${steps} --json\`; ${where(simulation)}

${number(seeds)} seeds of ${steps} actions, ${failed.length} failed. ${number(hours)} hours of their time, ${number(events)} events, ${number(acknowledged)} writes acknowledged,
${number(looks)} looks at a peer in the middle of things, and ${number(sum(faults))} faults:

${table(['fault', 'times'], faults)}`;
  }
  if (crash) {
    const { seed, rounds, kills, acknowledged } = crash;
    result['crash'] = `\`npm run crash -- --rounds ${rounds} --seed ${seed}\`; ${where(crash)}

${number(rounds)} rounds, ${number(sum(kills))} of them ended by the kill that was meant, the others by one from outside.
${number(acknowledged.written)} writes acknowledged over HTTP and ${number(acknowledged.received)} to another device, none lost.

${table(['killed at', 'times'], kills)}`;
  }
  if (fuzzing) {
    const { seed, inputs, sessions, faults, answers, seconds } = fuzzing;
    result['fuzzing'] = `\`npm run fuzz -- --seconds ${seconds} --seed ${seed}\`; ${where(fuzzing)}

${number(inputs)} inputs to ${Object.keys(answers).length} decoders, which gave ${number(sum(answers))} different answers, and ${number(sessions)} whole sessions with a hostile peer: ${faults} faults.`;
  }
  const rows = PLANTED_BUGS.map((bug) => `| \`${bug.id}\` | ${bug.mistake} | ${catcherOf(bug)}: ${caughtBy(bug)} |`);
  const run = planted
    ? `\`npm run planted -- --json\`: ${planted.planted} planted, ${planted.caught} caught; ${where(planted)}`
    : '';
  result['planted'] = `${run}\n\n${['| name | the mistake | caught by |', '| --- | --- | --- |', ...rows].join('\n')}`;
  return result;
}

function caughtBy(bug: PlantedBug): string {
  if ('side' in bug) return bug.caughtBy.map((id) => `\`${id}\``).join(', ');
  return 'kinds' in bug ? bug.caughtAs.join(', or ') : bug.test.name;
}

/** Each part between `<!-- name -->` and `<!-- end of name -->`. */
export async function pageWith(page: string, records: Records): Promise<string> {
  let result = page;
  for (const [name, text] of Object.entries(parts(records))) {
    const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`];
    const from = result.indexOf(begin);
    const to = result.indexOf(end);
    if (from < 0 || to < from) throw new Error(`the page has no place for ${name}`);
    result = `${result.slice(0, from + begin.length)}\n\n${text}\n\n${result.slice(to)}`;
  }
  return format(result, { ...(await resolveConfig(PAGE)), parser: 'markdown' });
}

export function readRecords(): Records {
  return JSON.parse(readFileSync(RECORDS, 'utf8')) as Records;
}

if (process.argv[1] === import.meta.filename) {
  const [kind, file] = process.argv.slice(2);
  if (!kind || !file || !['simulation', 'crash', 'fuzzing', 'planted'].includes(kind)) {
    console.error('node scripts/reliability.ts simulation|crash|fuzzing|planted FILE');
    process.exit(2);
  }
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{'));
  const last = JSON.parse(lines.at(-1)!) as object;
  const records = { ...readRecords(), [kind]: last };
  writeFileSync(RECORDS, `${JSON.stringify(records, null, 2)}\n`);
  writeFileSync(PAGE, await pageWith(readFileSync(PAGE, 'utf8'), records));
}

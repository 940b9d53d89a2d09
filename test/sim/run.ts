/**
 * npm run sim -- --seed S --steps N      plays one seed
 * npm run sim -- --seeds 1000            plays many (with --from N, from seed N on), and stops at nothing: what failed is told at the end, with the history made small
 *
 *   --steps N       actions of each run (60)
 *   --kinds a,b     only these kinds of actions; see scenario.ts
 *   --trace         prints every event of one seed
 *   --no-minimize   prints the history as it was
 *   --stop          ends with the first seed that fails
 *   --json          the last line says all of it: seeds, hours of their time, faults by kind
 */
import { parseArgs } from 'node:util';
import { describeRun } from '../support/run.ts';
import { minimize } from './minimize.ts';
import { ACTION_KINDS, makeScenario, type ActionKind, type Scenario } from './scenario.ts';
import { play } from './simulation.ts';
import type { Violation } from './world.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    from: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    steps: { type: 'string', default: '60' },
    kinds: { type: 'string' },
    trace: { type: 'boolean' },
    'no-minimize': { type: 'boolean' },
    stop: { type: 'boolean' },
    json: { type: 'boolean' },
  },
});

function number(name: 'from' | 'seeds' | 'steps'): number {
  const value = Number(values[name]);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  console.error(`--${name} is a whole number, and not ${values[name]}`);
  process.exit(2);
}

const kinds = values.kinds?.split(',') as ActionKind[] | undefined;
const unknown = kinds?.filter((kind) => !ACTION_KINDS.includes(kind)) ?? [];
if (unknown.length > 0) {
  console.error(`there is no action ${unknown.join(', ')}; there are ${ACTION_KINDS.join(', ')}`);
  process.exit(2);
}
const steps = number('steps');
const from = number('from');
const seeds =
  values.seed === undefined ? Array.from({ length: number('seeds') }, (_, i) => String(from + i)) : [values.seed];

const failures: { scenario: Scenario; violation: Violation }[] = [];
const totals = { events: 0, virtualMs: 0, writes: 0, stored: 0, looks: 0, reached: 0, followed: 0 };
const faults: Record<string, number> = {};
const startedMs = performance.now();
let toldMs = startedMs;
let last = '';

function progress(done: number): string {
  const { events, virtualMs, stored, looks } = totals;
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
  const hours = (virtualMs / 3_600_000).toFixed(1);
  return `${done} of ${seeds.length} seeds, ${failures.length} failed: ${events} events, ${stored} writes acknowledged, ${looks} looks, ${hours} h in ${seconds} s`;
}

/** In place at a terminal; elsewhere a line now and then. */
function tell(done: number): void {
  const isLast = done === seeds.length;
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${progress(done)}${isLast ? '\n' : ''}`);
  else if (isLast || performance.now() - toldMs > 10_000) {
    console.log(progress(done));
    toldMs = performance.now();
  }
}

for (const [i, seed] of seeds.entries()) {
  const scenario = makeScenario(seed, { steps, ...(kinds && { kinds }) });
  const outcome = await play(scenario, { keepTrace: values.trace ?? false });
  for (const key of Object.keys(totals) as (keyof typeof totals)[]) totals[key] += outcome[key];
  for (const [fault, count] of Object.entries(outcome.faults)) faults[fault] = (faults[fault] ?? 0) + count;
  if (outcome.violation) {
    failures.push({ scenario, violation: outcome.violation });
    if (seeds.length > 1)
      console.log(`${process.stdout.isTTY ? '\n' : ''}seed ${seed} fails: ${outcome.violation.property}`);
  }
  last = outcome.trace;
  for (const line of outcome.lines) console.log(line);
  tell(i + 1);
  if (values.stop && failures.length > 0) break;
}
if (seeds.length === 1) console.log(`seed ${seeds[0]}, trace ${last}`);

function describe({ scenario, violation }: { scenario: Scenario; violation: Violation }): void {
  console.log(`\nseed ${scenario.seed}: ${violation.message}`);
  console.log(`  ${scenario.topology} of ${scenario.devices.map(({ role }, i) => `d${i} ${role}`).join(', ')}`);
  for (const { gapMs, do: kind, ...rest } of scenario.actions)
    console.log(`  +${gapMs} ms  ${kind} ${JSON.stringify(rest).slice(0, 300)}`);
  console.log(`  npm run sim -- --seed ${scenario.seed} --steps ${steps}${kinds ? ` --kinds ${kinds.join(',')}` : ''}`);
}

for (const failure of failures.slice(0, 5)) {
  if (values['no-minimize']) describe(failure);
  else describe(await minimize(failure.scenario, failure.violation));
}
if (failures.length > 5)
  console.log(
    `\nand seeds ${failures
      .slice(5)
      .map(({ scenario }) => scenario.seed)
      .join(' ')}`,
  );
if (values.json) {
  const { virtualMs, stored, ...rest } = totals;
  const hours = Math.round(virtualMs / 3_600_000);
  const summary = {
    seeds: seeds.length,
    from,
    steps,
    failed: failures.map(({ scenario }) => scenario.seed),
    hours,
    acknowledged: stored,
    ...rest,
    faults,
  };
  console.log(JSON.stringify({ ...summary, ...describeRun(startedMs) }));
}
process.exitCode = failures.length === 0 ? 0 : 1;

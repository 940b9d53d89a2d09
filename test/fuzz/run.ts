/**
 * `npm run fuzz -- --seconds N [--seed S] [--target NAME]`: mutated input for every decoder, and sessions with a hostile peer, half of the time each. A fault
 * is printed as it goes into corpus/inputs.json. The last line of standard output is a JSON summary; exit code 1 where there was a fault.
 */
import { parseArgs } from 'node:util';

import { toHex } from '../../protocol/bytes.ts';
import { describeRun } from '../support/run.ts';
import { fuzz } from './fuzz.ts';
import { fuzzSessions } from './sessions.ts';
import { TARGETS } from './targets.ts';

const { values } = parseArgs({
  options: { seconds: { type: 'string' }, seed: { type: 'string' }, target: { type: 'string' } },
});
const seconds = Number(values.seconds ?? 60);
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const names = [...TARGETS.map(({ name }) => name), 'sessions'];
const isKnown = values.target === undefined || names.includes(values.target);
if (!(seconds > 0) || !Number.isSafeInteger(seed) || !isKnown) {
  process.stderr.write(`npm run fuzz -- --seconds N [--seed S] [--target NAME]; the targets are ${names.join(', ')}\n`);
  process.exit(2);
}
process.stderr.write(`seed ${seed}\n`);
const startedMs = performance.now();

let saidMs = performance.now();
const progress = (text: string): void => {
  if (performance.now() - saidMs < 5000) return;
  saidMs = performance.now();
  process.stderr.write(`${text}\n`);
};
const targets = TARGETS.filter(({ name }) => values.target === undefined || name === values.target);
const share = values.target === undefined ? seconds / 2 : seconds;
const summary: Record<string, unknown> = { seed };
if (targets.length > 0) {
  const { faults, ...decoders } = await fuzz({
    seed,
    targets,
    seconds: share,
    onTurn: (inputs) => progress(`${inputs} inputs`),
  });
  Object.assign(summary, decoders, { faults: faults.length });
  for (const { target, input, what } of faults) {
    process.stdout.write(`${JSON.stringify({ target, why: what.split('\n')[0], hex: toHex(input) })}\n`);
    process.stderr.write(`${target}: ${what}\n`);
  }
  if (faults.length > 0) process.exitCode = 1;
}
if (values.target === undefined || values.target === 'sessions') {
  try {
    Object.assign(summary, await fuzzSessions({ seed, seconds: share, onSession: (n) => progress(`${n} sessions`) }));
  } catch (thrown) {
    process.stderr.write(`${(thrown as Error).stack}\n`);
    process.exitCode = 1;
  }
}
process.stdout.write(`${JSON.stringify({ ...summary, ...describeRun(startedMs) })}\n`);

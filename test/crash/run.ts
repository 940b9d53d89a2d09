/**
 * `npm run crash -- --rounds N [--seed S]`: kills a server N times, under writes and under sync, and every twentieth time in the middle of what follows a
 * revocation or a fork; and looks each time whether everything that was acknowledged is there. Progress on standard error; the last line of standard output is a JSON summary.
 */
import { parseArgs } from 'node:util';

import { describeRun } from '../support/run.ts';
import { runKills } from './kills.ts';
import { killAtWork, WORK_POINTS } from './works.ts';

/** Of so many kills one is in the middle of such work. */
const WORK_EVERY = 20;

const { values } = parseArgs({ options: { rounds: { type: 'string' }, seed: { type: 'string' } } });
const rounds = Number(values.rounds ?? 100);
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
if (!Number.isSafeInteger(rounds) || rounds < 1 || !Number.isSafeInteger(seed)) {
  process.stderr.write('npm run crash -- --rounds N [--seed S]: both are whole numbers\n');
  process.exit(2);
}
process.stderr.write(`seed ${seed}\n`);
const startedMs = performance.now();
try {
  const works = Math.floor(rounds / WORK_EVERY);
  const tell = (done: number): void => {
    if (done % 10 === 0)
      process.stderr.write(`${done} of ${rounds}, ${((performance.now() - startedMs) / 1000).toFixed(0)} s\n`);
  };
  const summary = await runKills({ rounds: rounds - works, seed, onRound: ({ rounds: done }) => tell(done) });
  for (let i = 0; i < works; i++) {
    const [point, nth] = WORK_POINTS[(seed + i) % WORK_POINTS.length]!;
    const tally = (await killAtWork(point, nth)) ? summary.kills : summary.missed;
    tally[point] = (tally[point] ?? 0) + 1;
    tell(++summary.rounds);
  }
  process.stdout.write(`${JSON.stringify({ ...summary, ...describeRun(startedMs) })}\n`);
  process.exit(0);
} catch (thrown) {
  process.stderr.write(`${(thrown as Error).stack}\n`);
  process.exit(1);
}

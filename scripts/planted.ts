/**
 * `npm run planted`: plants each mistake of test/planted in a copy of this implementation, one at a time, and prints what catches it: a case of the conformance
 * kit, a seed of the simulation, or a test. One that is not caught is an error.
 *
 *   npm run planted                      all
 *   npm run planted -- credit-ignored    these
 *   npm run planted -- --json            a line of JSON for each, and one for all at the end
 *   npm run planted -- --list            what there is, and what is to catch it
 */
import { parseArgs } from 'node:util';
import { PLANTED_BUGS } from '../test/planted/bugs.ts';
import { catcherOf, tryOut } from '../test/planted/catch.ts';
import { describeRun } from '../test/support/run.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean' }, list: { type: 'boolean' }, jobs: { type: 'string', default: '2' } },
});
const unknown = positionals.filter((name) => !PLANTED_BUGS.some(({ id }) => id === name));
if (unknown.length > 0) {
  console.error(`no planted bug is named ${unknown.join(', ')}`);
  process.exit(2);
}
const chosen = PLANTED_BUGS.filter(({ id }) => positionals.length === 0 || positionals.includes(id));
if (values.list) {
  for (const bug of chosen) console.log(`${bug.id.padEnd(30)} ${catcherOf(bug).padEnd(32)} ${bug.mistake}`);
  process.exit(0);
}

const startedMs = performance.now();
const queue = [...chosen];
let caught = 0;
async function worker(): Promise<void> {
  for (let bug = queue.shift(); bug; bug = queue.shift()) {
    const beganMs = performance.now();
    const { isCaught, by } = await tryOut(bug);
    const seconds = Math.round((performance.now() - beganMs) / 1000);
    if (isCaught) caught++;
    const { id, mistake, file } = bug;
    const catcher = catcherOf(bug);
    if (values.json) console.log(JSON.stringify({ id, mistake, file, catcher, isCaught, by, seconds }));
    else
      console.log(
        `${isCaught ? '✓' : '✗ NOT CAUGHT'} ${id.padEnd(30)} ${String(seconds).padStart(3)} s  ${catcher}: ${by}`,
      );
  }
}
await Promise.all(Array.from({ length: Number(values.jobs) }, worker));
const total = { planted: chosen.length, caught, ...describeRun(startedMs) };
console.log(values.json ? JSON.stringify(total) : `${caught} of ${chosen.length} caught`);
process.exitCode = caught === chosen.length ? 0 : 1;

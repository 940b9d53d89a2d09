/**
 * `npm run planted`: plants each mistake of test/conformance/planted/bugs.ts in a copy of this implementation, and shows which cases of the conformance
 * kit catch it. A bug that its cases don't catch is an error.
 *
 *   npm run planted                      all, each with its own cases
 *   npm run planted -- credit-ignored    these
 *   npm run planted -- --all-cases       with every case that takes less than 5 s: which others fail too?
 */
import { parseArgs } from 'node:util';
import { judge } from '../test/conformance/kit.ts';
import { build } from '../test/conformance/planted/build.ts';
import { PLANTED_BUGS, type PlantedBug } from '../test/conformance/planted/bugs.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'all-cases': { type: 'boolean' }, json: { type: 'boolean' }, jobs: { type: 'string', default: '2' } },
});
const unknown = positionals.filter((name) => !PLANTED_BUGS.some(({ id }) => id === name));
if (unknown.length > 0) {
  console.error(`no planted bug is named ${unknown.join(', ')}`);
  process.exit(2);
}

interface Verdict {
  readonly bug: PlantedBug;
  readonly failed: readonly string[];
  readonly missed: readonly string[];
  readonly seconds: number;
  readonly note: string;
}

async function tryOut(bug: PlantedBug): Promise<Verdict> {
  const started = performance.now();
  const copy = await build(bug);
  try {
    const flags = values['all-cases'] ? ['--quick'] : ['--only', bug.caughtBy.join(',')];
    const { results, stderr } = await judge(bug.side, copy.root, [...flags, '--timeout', '3']);
    const failed = results.filter(({ outcome }) => outcome === 'failed' || outcome === 'warned').map(({ id }) => id);
    const missed = bug.caughtBy.filter((id) => !failed.includes(id));
    const seconds = Math.round((performance.now() - started) / 1000);
    return { bug, failed, missed, seconds, note: results.length === 0 ? (stderr.trim().split('\n').at(-1) ?? '') : '' };
  } finally {
    await copy.remove();
  }
}

const queue = PLANTED_BUGS.filter(({ id }) => positionals.length === 0 || positionals.includes(id));
let isFine = true;
async function worker(): Promise<void> {
  for (let bug = queue.shift(); bug; bug = queue.shift()) {
    const { failed, missed, seconds, note } = await tryOut(bug);
    const isCaught = values['all-cases'] ? failed.length > 0 : missed.length === 0 && bug.caughtBy.length > 0;
    isFine &&= isCaught;
    if (values.json) {
      console.log(
        JSON.stringify({ id: bug.id, mistake: bug.mistake, side: bug.side, isCaught, failed, missed, seconds }),
      );
      continue;
    }
    const says = isCaught
      ? failed.join(' ')
      : `NOT CAUGHT${missed.length > 0 ? ` by ${missed.join(' ')}` : ''} ${note}`;
    console.log(
      `${isCaught ? '✓' : '✗'} ${bug.side.padEnd(6)} ${bug.id.padEnd(28)} ${String(seconds).padStart(3)} s  ${says}`,
    );
  }
}
await Promise.all(Array.from({ length: Number(values.jobs) }, worker));
process.exitCode = isFine ? 0 : 1;

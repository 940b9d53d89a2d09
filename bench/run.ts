/**
 * `npm run bench` prints every figure; `-- --quick` with less work, `-- --json` for scripts. The method is in README.md beside this file.
 */
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { coldSync } from './rows/cold-sync.ts';
import { live } from './rows/live.ts';
import { local } from './rows/local.ts';
import type { Figure } from './support.ts';

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, json: { type: 'boolean' } } });
const size = values.quick
  ? { commits: 20_000, packed: 500, runs: 1, live: 200, local: 500 }
  : { commits: 100_000, packed: 5_000, runs: 3, live: 1000, local: 2000 };

const ROWS: readonly (() => Promise<Figure[]>)[] = [
  () => local(size.local),
  () => live(size.live),
  () => coldSync(size.commits, 1, size.runs),
  () => coldSync(size.packed, 100, size.runs),
];

const machine = {
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  memoryGB: Math.round(totalmem() / 1e9),
  node: process.version,
  platform: `${process.platform}-${process.arch}`,
};
const figures: Figure[] = [];
if (!values.json)
  process.stdout.write(
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGB} GB, Node ${machine.node}, ${machine.platform}\n\n`,
  );
for (const row of ROWS) {
  for (const figure of await row()) {
    figures.push(figure);
    if (!values.json)
      process.stdout.write(
        `${figure.what.padEnd(48)} ${format(figure.value).padStart(12)} ${figure.unit}${figure.note ? `  (${figure.note})` : ''}\n`,
      );
  }
}
if (values.json)
  process.stdout.write(`${JSON.stringify({ date: new Date().toISOString().slice(0, 10), machine, figures })}\n`);

function format(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(value >= 10 ? 1 : 2);
}

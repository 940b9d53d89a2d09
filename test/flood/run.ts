/**
 * `npm run flood -- [--seconds N] [--commits N] [--attack NAME]`: floods a node, one attack after the other, and prints what came of each as a table.
 * Exit code 1 where the honest devices lost something, or something of an attack is in the log.
 */
import { parseArgs } from 'node:util';

import { ATTACKS } from './attacks.ts';
import { runFlood } from './flood.ts';
import { complaints, floodTable } from './report.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string' },
    commits: { type: 'string' },
    attack: { type: 'string', multiple: true },
  },
});
const seconds = Number(values.seconds ?? 10);
const commits = Number(values.commits ?? 20_000);
const names = Object.keys(ATTACKS);
const attacks = values.attack ?? names;
if (!(seconds > 0) || !Number.isSafeInteger(commits) || attacks.some((name) => !names.includes(name))) {
  process.stderr.write(
    `npm run flood -- [--seconds N] [--commits N] [--attack NAME]…; the attacks are ${names.join(', ')}\n`,
  );
  process.exit(2);
}
const report = await runFlood({
  attacks,
  ms: seconds * 1000,
  commits,
  onAttack: (name) => void process.stderr.write(`${name}: ${ATTACKS[name]!.says}\n`),
});
process.stdout.write(`${floodTable(report)}\n`);
const wrong = complaints(report);
for (const text of wrong) process.stderr.write(`${text}\n`);
process.exit(wrong.length > 0 ? 1 : 0);

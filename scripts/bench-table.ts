/** Puts the figures of `npm run bench -- --json` into bench/README.md: `npm run --silent bench -- --json | node scripts/bench-table.ts`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import type { Figure } from '../bench/support.ts';

const path = new URL('../bench/README.md', import.meta.url);
const { date, machine, figures } = JSON.parse(await text(process.stdin)) as {
  date: string;
  machine: { cpu: string; cores: number; memoryGB: number; node: string; platform: string };
  figures: Figure[];
};

function format(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(value >= 10 ? 1 : 2);
}

const rows = figures.map(
  ({ what, value, unit, note }) => `| ${what} | ${format(value)} | ${unit}${note ? ` (${note})` : ''} |`,
);
const table = ['| what | figure | unit |', '| --- | ---: | --- |', ...rows].join('\n');
const where = `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGB} GB, Node ${machine.node}, ${machine.platform}, ${date}.`;
const page = readFileSync(path, 'utf8');
const [before] = page.split('## Figures');
const after = page.slice(page.indexOf('## Where the time goes'));
writeFileSync(path, `${before}## Figures\n\n${where}\n\n${table}\n\n${after}`);

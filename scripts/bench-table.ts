/**
 * Puts figures into bench/README.md, between its markers: those that `npm run bench -- --out FILE` wrote, or `npm run bench:profile -- --out FILE`.
 *
 *   node scripts/bench-table.ts FILE        (without FILE: from standard input)
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { cellsOf, COLUMNS, describeMachine, type Report } from '../bench/report.ts';
import { summaryOf, tableOf, type Profile } from '../bench/stages.ts';

const [file] = process.argv.slice(2);
const given = JSON.parse(file ? readFileSync(file, 'utf8') : await text(process.stdin)) as Report | Profile;
const where = `${describeMachine(given.machine)}, ${given.date}`;
if ('figures' in given) {
  const work = given.mode === 'quick' ? '; `--quick`, with less work than the targets are about' : '';
  const table = markdown([[...COLUMNS], ...given.figures.map(cellsOf)], ['figure', 'floor', '× floor']);
  replaceBetween('figures', `${where}${work}.\n\n${table}`);
} else {
  const [head, ...rows] = tableOf(given) as [string[], ...string[][]];
  const work = `${given.commits.toLocaleString('en')} commits to a ${given.role === 'mirror' ? 'mirror' : 'full node'}`;
  replaceBetween('profile', `${where}; ${work}.\n\n${markdown([head, ...rows], head.slice(1))}\n\n${summaryOf(given)}`);
}

/** The first row is the head. */
function markdown([head, ...rows]: readonly string[][], toTheRight: readonly string[]): string {
  const rule = head!.map((column) => (toTheRight.includes(column) ? '---:' : '---'));
  return [head!, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** In bench/README.md, between `<!-- name -->` and `<!-- end of name -->`. */
function replaceBetween(name: string, content: string): void {
  const path = new URL('../bench/README.md', import.meta.url);
  const page = readFileSync(path, 'utf8');
  const begin = `<!-- ${name} -->`;
  const from = page.indexOf(begin);
  const to = page.indexOf(`<!-- end of ${name} -->`);
  if (from < 0 || to < from) throw new Error(`bench/README.md has no place for ${name}`);
  writeFileSync(path, `${page.slice(0, from + begin.length)}\n\n${content}\n\n${page.slice(to)}`);
}

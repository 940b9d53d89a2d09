/**
 * Puts figures into bench/README.md, between its markers: those that `npm run bench -- --out FILE` wrote, or `npm run bench:profile -- --out FILE`. Some of
 * the former stand in README.md too.
 *
 *   node scripts/bench-table.ts FILE        (without FILE: from standard input)
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { cellsOf, COLUMNS, describeMachine, formatNumber, type Report } from '../bench/report.ts';
import { summaryOf, tableOf, type Profile } from '../bench/stages.ts';

/** By `what`. */
const HEADLINES: ReadonlySet<string> = new Set([
  'cold sync to a full node, 1,000,000',
  'cold sync to a mirror, 1,000,000',
  'cold sync, 10,000 × 100 resources',
  'wire, 1,000,000 × 1',
  'resume, 1,000 new commits',
  "live: to the other's disk and a reader there",
  'local writes, one at a time',
  'local writes, 64 at a time',
  'start with 1,000,000 commits',
]);

const [file] = process.argv.slice(2);
const given = JSON.parse(file ? readFileSync(file, 'utf8') : await text(process.stdin)) as
  Report | { readonly profiles: readonly Profile[] };
if ('figures' in given) {
  const where = `${describeMachine(given.machine)}, ${given.date}`;
  const work = given.mode === 'quick' ? '; `--quick`, with less work than the targets are about' : '';
  const table = markdown([[...COLUMNS], ...given.figures.map(cellsOf)], ['figure', 'floor', '× floor']);
  replaceBetween('bench/README.md', 'figures', `${where}${work}.\n\n${table}`);
  if (given.mode === 'full') replaceBetween('README.md', 'figures', `${where}.\n\n${headlines(given)}`);
} else {
  for (const profile of given.profiles) {
    const [head, ...rows] = tableOf(profile) as [string[], ...string[][]];
    const where = `${profile.title}; ${describeMachine(profile.machine)}, ${profile.date}.`;
    const table = markdown([head, ...rows], head.slice(1));
    replaceBetween('bench/README.md', `profile of ${profile.of}`, `${where}\n\n${table}\n\n${summaryOf(profile)}`);
  }
}

/** What README.md tells: short, and one figure each. */
function headlines({ figures }: Report): string {
  const rows = figures
    .filter(({ what, unit }) => HEADLINES.has(what) && !unit.endsWith('p99'))
    .map((figure) => [figure.what, `${formatNumber(figure.value)} ${figure.unit}`]);
  return markdown([['what', 'figure'], ...rows], ['figure']);
}

/** The first row is the head. */
function markdown([head, ...rows]: readonly string[][], toTheRight: readonly string[]): string {
  const rule = head!.map((column) => (toTheRight.includes(column) ? '---:' : '---'));
  return [head!, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** Between `<!-- name -->` and `<!-- end of name -->`. */
function replaceBetween(file: string, name: string, content: string): void {
  const path = new URL(`../${file}`, import.meta.url);
  const page = readFileSync(path, 'utf8');
  const begin = `<!-- ${name} -->`;
  const from = page.indexOf(begin);
  const to = page.indexOf(`<!-- end of ${name} -->`);
  if (from < 0 || to < from) throw new Error(`${file} has no place for ${name}`);
  writeFileSync(path, `${page.slice(0, from + begin.length)}\n\n${content}\n\n${page.slice(to)}`);
}

/**
 * Puts the figures that `npm run bench -- --out FILE` wrote into bench/README.md, between its markers:
 *
 *   node scripts/bench-table.ts FILE        (without FILE: from standard input)
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { cellsOf, COLUMNS, type Report } from '../bench/report.ts';

const MARKERS = { begin: '<!-- figures -->', end: '<!-- end of figures -->' };

const [file] = process.argv.slice(2);
const { date, mode, machine, figures } = JSON.parse(
  file ? readFileSync(file, 'utf8') : await text(process.stdin),
) as Report;
const where = `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGB} GB, Node ${machine.node}, ${machine.platform}, ${date}`;
const work = mode === 'quick' ? '; `--quick`, with less work than the targets are about' : '';
const lines = [
  COLUMNS,
  COLUMNS.map((column) => (['figure', 'floor', '× floor'].includes(column) ? '---:' : '---')),
  ...figures.map(cellsOf),
].map((cells) => `| ${cells.join(' | ')} |`);
replaceBetween(MARKERS, `${where}${work}.\n\n${lines.join('\n')}`);

/** In bench/README.md. */
function replaceBetween({ begin, end }: { begin: string; end: string }, content: string): void {
  const path = new URL('../bench/README.md', import.meta.url);
  const page = readFileSync(path, 'utf8');
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`bench/README.md has no ${begin} … ${end}`);
  writeFileSync(path, `${page.slice(0, from + begin.length)}\n\n${content}\n\n${page.slice(to)}`);
}

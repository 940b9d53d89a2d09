/** bench/README.md names the rows that there are, and has the places for the tables. */
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const path = (name: string): string => fileURLToPath(new URL(`../../bench/${name}`, import.meta.url));
const readme = await readFile(path('README.md'), 'utf8');

test('it names every row that --only takes', () => {
  const { status, stderr } = spawnSync(process.execPath, [path('run.ts'), '--only', 'no-such-row'], {
    encoding: 'utf8',
  });
  expect(status).toBe(2);
  const rows = stderr.trim().split('there are ')[1]!.split(', ');
  expect(rows.length).toBeGreaterThan(10);
  const [listed] = /some rows: ([^]*?)\n[^#\n]*npm run/.exec(readme)!.slice(1);
  expect(
    listed!
      .replaceAll('#', '')
      .split(',')
      .map((name) => name.trim()),
  ).toEqual(rows);
});

test('it has a place for each table that scripts/bench-table.ts writes, and each work that can be profiled', () => {
  const { status, stderr } = spawnSync(process.execPath, [path('profile.ts'), '--of', 'no-such-work'], {
    encoding: 'utf8',
  });
  expect(status).toBe(2);
  const works = stderr.trim().split('there are ')[1]!.split(', ').slice(0, -1);
  expect(works.length).toBeGreaterThan(5);
  for (const name of ['figures', ...works.map((work) => `profile of ${work}`)])
    expect(readme).toMatch(new RegExp(`<!-- ${name} -->[^]*<!-- end of ${name} -->`));
});

test('the figures of README.md are among those of bench/README.md', async () => {
  const front = await readFile(path('../README.md'), 'utf8');
  const between = (page: string): string[] =>
    /<!-- figures -->([^]*)<!-- end of figures -->/.exec(page)![1]!.trim().split('\n');
  const cells = (line: string): string[] => line.split('|').map((cell) => cell.trim());
  const all = between(readme);
  const [where, , , , ...rows] = between(front);
  expect(where).toBe(all[0]);
  expect(rows.length).toBeGreaterThan(5);
  for (const row of rows) {
    const [, what, figure] = cells(row);
    const found = all
      .map(cells)
      .filter((line) => line[1] === what && `${line[2]} ${line[3]!.split(' (')[0]}` === figure);
    expect(found, row).toHaveLength(1);
  }
});

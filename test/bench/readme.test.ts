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

test('it has a place for each table that scripts/bench-table.ts writes', () => {
  for (const name of ['figures', 'profile'])
    expect(readme).toMatch(new RegExp(`<!-- ${name} -->[^]*<!-- end of ${name} -->`));
});

/** The picture and the table beside other systems are those of the results that are kept. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { PAGE, pageWith, PICTURE, pictureOf, readResults } from '../../scripts/comparison.ts';

test('docs/comparison.svg is what the results say', () => {
  expect(readFileSync(PICTURE, 'utf8')).toBe(pictureOf(readResults()));
});

test('the table of bench/README.md is what the results say', async () => {
  const page = readFileSync(PAGE, 'utf8');
  expect(page).toBe(await pageWith(page, readResults()));
});

// They are installed apart: a fresh clone has none of what they import, and its `npm run check` said so.
test('the check of imports passes over bench/peers', async () => {
  const cwd = fileURLToPath(new URL('../../', import.meta.url));
  const args = ['depcruise', '--config', '.dependency-cruiser.cjs', '--output-type', 'json', 'bench'];
  const { stdout } = await promisify(execFile)('npx', args, { cwd, maxBuffer: 1 << 28 });
  const { modules } = JSON.parse(stdout) as { modules: { source: string }[] };
  const sources = modules.map(({ source }) => source);
  expect(sources).toContain('bench/run.ts');
  expect(sources.filter((source) => source.startsWith('bench/peers/'))).toEqual([]);
});

test('the README names those that are faster, and those that were given fewer records', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const { results } = readResults();
  const own = Math.max(...results.filter(({ id }) => id.startsWith('tidelog')).map((each) => each.recordsPerSecond));
  const sortedIds = (those: typeof results): string[] => those.map(({ id }) => id).toSorted();
  const most = Math.max(...results.map(({ records }) => records));
  const [, faster] = /machine\. (\w+ and \w+) are faster/u.exec(readme)!;
  const [, few, less, more] = /disk\. (\w+ and \w+) were given ([\d,]+) records, the others ([\d,]+)/u.exec(readme)!;
  const ids = (names: string): string[] => names.toLowerCase().split(' and ').toSorted();
  expect(ids(faster!)).toEqual(sortedIds(results.filter((each) => each.recordsPerSecond > own)));
  const fewer = results.filter(({ records }) => records < most);
  expect(ids(few!)).toEqual(sortedIds(fewer));
  expect([...new Set(fewer.map(({ records }) => records.toLocaleString('en')))]).toEqual([less]);
  expect(most.toLocaleString('en')).toBe(more);
});

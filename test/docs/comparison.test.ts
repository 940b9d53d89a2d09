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

/** The picture and the table beside other systems are those of the results that are kept. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PAGE, pageWith, PICTURE, pictureOf, readResults } from '../../scripts/comparison.ts';

test('docs/comparison.svg is what the results say', () => {
  expect(readFileSync(PICTURE, 'utf8')).toBe(pictureOf(readResults()));
});

test('the table of bench/README.md is what the results say', async () => {
  const page = readFileSync(PAGE, 'utf8');
  expect(page).toBe(await pageWith(page, readResults()));
});

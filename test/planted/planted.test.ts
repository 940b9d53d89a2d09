/**
 * Shows that what looks for mistakes can find some: each is planted in a copy of the product, and what has to find it does. Some of them always; all with
 * TIDELOG_TEST_LONG=1, and by `npm run planted`, whose table is in docs/RELIABILITY.md.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { editsOf } from './bug.ts';
import { PLANTED_BUGS } from './bugs.ts';
import { patched, ROOT } from './build.ts';
import { tryOut } from './catch.ts';

const IS_LONG = process.env['TIDELOG_TEST_LONG'] === '1';
/** Of each kind some: those that take a few seconds. */
const ALWAYS = new Set(
  (
    'cursor-inclusive vector-off-by-one ack-before-flush first-signature-only revocation-ignored last-writer-wins ' +
    'clock-before-causality cut-forgotten merges-past-a-fork ' +
    'journal-skips-its-last-record verify-skips-first-signatures copy-without-the-newest-block'
  ).split(' '),
);
const chosen = PLANTED_BUGS.filter(({ id }) => IS_LONG || ALWAYS.has(id));

test('there are many, each with a name of its own, and those that are always tried are among them', () => {
  const ids = PLANTED_BUGS.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.length).toBeGreaterThanOrEqual(100);
  expect(ids).toEqual(expect.arrayContaining([...ALWAYS]));
});

test.each(PLANTED_BUGS.map((bug) => [bug.id, bug] as const))('%s can still be planted', async (id, bug) => {
  const sources = new Map<string, string>();
  for (const edit of editsOf(bug)) {
    const source = sources.get(edit.file) ?? (await readFile(join(ROOT, edit.file), 'utf8'));
    sources.set(edit.file, patched(id, source, edit));
  }
});

describe.concurrent('a planted bug is caught', () => {
  test.each(chosen.map((bug) => [bug.id, bug] as const))('%s', { timeout: 600_000 }, async (_, bug) => {
    const { isCaught, by } = await tryOut(bug);
    expect(isCaught, by).toBe(true);
  });
});

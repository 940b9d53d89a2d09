/** Every test that docs/INVARIANTS.md names is there, and every invariant names one or says that it has none yet. */
import { expect, test } from 'vitest';

import { guardsIn, missingGuards, readPage } from '../support/guards.ts';

const page = readPage('docs/INVARIANTS.md');

const invariants = page
  .split(/^### /m)
  .slice(1)
  .map((text) => {
    const lines = text.split('\n');
    return { title: lines[0]!, guards: guardsIn(text), isOpen: lines.includes('- no test yet') };
  });

test('every test that is named is there', () => {
  const guards = invariants.flatMap((invariant) => invariant.guards);
  expect(guards.length).toBeGreaterThan(50);
  expect(missingGuards(guards)).toEqual([]);
});

test('every invariant names a test, or says that it has none yet', () => {
  expect(invariants.filter(({ guards, isOpen }) => guards.length === 0 && !isOpen)).toEqual([]);
});

test('nothing that looks like a guard is left unread', () => {
  const listed = page.split('\n').filter((line) => line.startsWith('- '));
  const read = invariants.flatMap(({ guards, isOpen }) => [...guards, ...(isOpen ? ['open'] : [])]);
  expect(read).toHaveLength(listed.length);
});

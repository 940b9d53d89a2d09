/** Every test that docs/INVARIANTS.md names is there, and every invariant names one or says that it has none yet. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const root = new URL('../../', import.meta.url);
const page = readFileSync(new URL('docs/INVARIANTS.md', root), 'utf8').replaceAll(/\n +/g, ' ');

const invariants = page
  .split(/^### /m)
  .slice(1)
  .map((text) => {
    const lines = text.split('\n');
    const guards = lines.flatMap((line) => {
      const match = /^- `(?<file>test\/[^`]+)`: (?<name>.+)$/.exec(line);
      return match ? [match.groups as { file: string; name: string }] : [];
    });
    return { title: lines[0]!, guards, isOpen: lines.includes('- no test yet') };
  });

/** A name as it stands in the source: escaped or not. */
function hasTest(source: string, name: string): boolean {
  return ["'", '"', '`'].some((quote) => {
    const escaped = name.replaceAll(quote, `\\${quote}`);
    return source.includes(`${quote}${escaped}${quote}`);
  });
}

test('every test that is named is there', () => {
  const guards = invariants.flatMap((invariant) => invariant.guards);
  expect(guards.length).toBeGreaterThan(50);
  const missing = guards.filter(({ file, name }) => {
    const path = new URL(file, root);
    return !existsSync(path) || !hasTest(readFileSync(path, 'utf8'), name);
  });
  expect(missing).toEqual([]);
});

test('every invariant names a test, or says that it has none yet', () => {
  expect(invariants.filter(({ guards, isOpen }) => guards.length === 0 && !isOpen)).toEqual([]);
});

test('nothing that looks like a guard is left unread', () => {
  const listed = page.split('\n').filter((line) => line.startsWith('- '));
  const read = invariants.flatMap(({ guards, isOpen }) => [...guards, ...(isOpen ? ['open'] : [])]);
  expect(read).toHaveLength(listed.length);
});

/** docs/SECURITY.md: every test that it names is there, its table of floods has every attack, and what it says of dependencies holds. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

import { ATTACKS } from '../flood/attacks.ts';
import { guardsIn, missingGuards, readPage } from '../support/guards.ts';

const page = readPage('docs/SECURITY.md');
const root = new URL('../../', import.meta.url);

test('every test that is named is there', () => {
  const guards = guardsIn(page);
  expect(guards.length).toBeGreaterThan(40);
  expect(missingGuards(guards)).toEqual([]);
});

test('every party has something that it can do, something that it cannot, and tests or a word why there is none', () => {
  const parties = page.slice(page.indexOf('## Who can do what'), page.indexOf('## Floods')).split(/^### /m).slice(1);
  expect(parties.length).toBeGreaterThanOrEqual(13);
  for (const text of parties) {
    const [title] = text.split('\n');
    expect(text, title).toContain('**Can:**');
    expect(text, title).toContain("**Can't:**");
    expect(guardsIn(text).length > 0 || text.includes('No test:'), title).toBe(true);
  }
});

test('the table of floods has every attack, and the command that printed it', () => {
  const floods = page.slice(page.indexOf('## Floods'), page.indexOf('## Secrets'));
  expect(floods).toContain('npm run flood');
  const rows = [...floods.matchAll(/^\| (\w+): /gm)].map(([, name]) => name);
  expect(rows).toEqual(Object.keys(ATTACKS));
});

interface Locked {
  readonly integrity?: string;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
  readonly dev?: boolean;
}

test('every dependency is locked to its bytes, and only those that are named run a script when they are installed', () => {
  const read = (path: string): unknown => JSON.parse(readFileSync(new URL(path, root), 'utf8'));
  const { packages } = read('package-lock.json') as { packages: Record<string, Locked> };
  const { allowScripts, dependencies } = read('package.json') as {
    allowScripts: Record<string, boolean>;
    dependencies: Record<string, string>;
  };
  const installed = Object.entries(packages).filter(([path]) => path !== '');
  expect(installed.filter(([, { integrity, link }]) => !integrity && !link)).toEqual([]);
  const withScripts = installed.filter(([, { hasInstallScript }]) => hasInstallScript);
  const namesOf = (each: typeof installed): string[] =>
    each.map(([path]) => path.replace(/^.*node_modules\//, '')).toSorted();
  // Tools of development run none; that each is named keeps npm from asking.
  expect(namesOf(withScripts)).toEqual(expect.arrayContaining(Object.keys(allowScripts)));
  expect(namesOf(withScripts.filter(([, { dev }]) => !dev))).toEqual(
    Object.keys(allowScripts).filter((name) => allowScripts[name]).toSorted(), // prettier-ignore
  );
  // Node alone may be a newer patch of its release: that is where its own holes are mended.
  const loose = Object.entries(dependencies).filter(([, version]) => !/^(npm:[\w-]+@)?\d+\.\d+\.\d+$/.test(version));
  expect(loose.map(([name]) => name)).toEqual(['node']);
  const named = new Set(
    [...page.slice(page.indexOf('## Dependencies')).matchAll(/`([^`]+)`/g)].map(([, name]) => name),
  );
  expect(Object.keys(dependencies).filter((name) => !named.has(name))).toEqual([]);
});

/** The figures of docs/RELIABILITY.md are those that were recorded, and what it names is there. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PAGE, pageWith, readRecords } from '../../scripts/reliability.ts';

const page = readFileSync(PAGE, 'utf8');

test('its figures are those of docs/reliability.json', async () => {
  expect(page).toBe(await pageWith(page, readRecords()));
});

test('what failed in the runs that are recorded is told', () => {
  const { simulation, crash, fuzzing } = readRecords();
  for (const seed of simulation!.failed)
    expect(page).toContain(`npm run sim -- --seed ${seed} --steps ${simulation!.steps}`);
  expect(crash!.rounds).toBeGreaterThan(0);
  expect(fuzzing!.faults).toBe(0);
});

test('the tests that hold what was found are there', () => {
  const rows = [...page.matchAll(/\| `(test\/[\w/.-]+)`: (.*?) +\|$/gm)];
  expect(rows.length).toBeGreaterThan(4);
  for (const [, file, name] of rows)
    expect(readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8'), file).toContain(name);
});

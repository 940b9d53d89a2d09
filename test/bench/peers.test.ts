/** The comparison's own program, with the one system that needs nothing installed. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pageWith, type Results } from '../../scripts/comparison.ts';

const RUN = fileURLToPath(new URL('../../bench/peers/run.mjs', import.meta.url));
let folder: string;

function run(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  return promisify(execFile)(process.execPath, [RUN, '--quick', ...args]);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidelog-peers-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('every figure is measured, and the table takes them', { timeout: 300_000 }, async () => {
  const path = join(folder, 'results.json');
  await run('--only', 'tidelog', '--json', path);
  const results = JSON.parse(await readFile(path, 'utf8')) as Results;
  expect(results).toMatchObject({ mode: 'quick', results: [{ id: 'tidelog', records: 20_000, liveWrites: 100 }] });
  const [measured] = results.results;
  const figures = Object.entries(measured!).filter(([, value]) => typeof value === 'number');
  expect(figures.map(([name]) => name).toSorted()).toEqual([
    'bulkPerSecond',
    'bulkSinglePerSecond',
    'diskBytes',
    'liveP50Ms',
    'liveP99Ms',
    'liveWrites',
    'records',
    'recordsPerSecond',
    'resumeMs',
    'wireBytes',
  ]);
  for (const [, figure] of figures) expect(figure).toBeGreaterThan(0);
  const page = await pageWith('<!-- comparison --><!-- /comparison -->', results);
  expect(page).toContain(`${measured!.recordsPerSecond.toLocaleString('en')} |`);
});

test('a system that there is not is named', { timeout: 60_000 }, async () => {
  await expect(run('--only', 'tidelog,usenet')).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('not usenet'),
  });
});

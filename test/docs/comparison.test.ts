/** The picture and the table beside other systems are those of the results that are kept. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { PAGE, pageWith, PICTURE, pictureOf, readResults, type Results } from '../../scripts/comparison.ts';

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

// A quick run's figures, or those of some systems, are for a look.
test('the kept results are of a full run of all systems, with every figure', () => {
  const { mode, runs, warmWrites, floor, results } = readResults();
  expect({ mode, runs }).toEqual({ mode: 'full', runs: 3 });
  const systems = readdirSync(new URL('../../bench/peers/systems/', import.meta.url)).map((file) => file.split('.')[0]);
  expect(results.map(({ id }) => id).toSorted()).toEqual(systems.toSorted());
  const figures = results.flatMap((each) => Object.values(each).filter((value) => typeof value === 'number'));
  for (const figure of [warmWrites, floor.recordsPerSecond, ...figures]) expect(figure).toBeGreaterThan(0);
  expect(figures.length).toBeGreaterThanOrEqual(9 * results.length);
  for (const { versions, liveP50Ms, liveP99Ms } of results) {
    expect(Object.keys(versions)).not.toEqual([]);
    expect(liveP99Ms).toBeGreaterThanOrEqual(liveP50Ms);
  }
});

const BOTH: Results = {
  date: '2026-01-02',
  mode: 'quick',
  machine: { cpu: 'A chip', cores: 2, node: 'v22', platform: 'linux-x64' },
  runs: 1,
  warmWrites: 50,
  floor: { name: 'plain LMDB', recordsPerSecond: 500_000 },
  results: [
    {
      id: 'slow',
      name: 'Slow & <small>',
      does: { signs: 'no', verifies: 'no', encrypts: 'no', flushes: 'every minute', keeps: 'state' },
      versions: { slow: '1.2.3', 'slow-server': '4' },
      records: 5000,
      recordsPerSecond: 1234,
      wireBytes: 250,
      diskBytes: 333,
      resumeMs: 5055.4,
      liveWrites: 20,
      liveP50Ms: 0.456,
      liveP99Ms: 37.28,
      bulkPerSecond: 6000,
    },
    {
      id: 'tidelog',
      name: 'Tidelog',
      does: { signs: 'each commit', verifies: 'each run', encrypts: 'yes', flushes: 'yes', keeps: 'log' },
      versions: { tidelog: '0' },
      records: 20_000,
      recordsPerSecond: 2468,
      wireBytes: 109,
      diskBytes: 111,
      resumeMs: 16.74,
      liveWrites: 100,
      liveP50Ms: 1.1,
      liveP99Ms: 3,
      bulkPerSecond: 80_000,
      bulkSinglePerSecond: 9000,
    },
  ],
};

test('the table has each figure in its column, the fastest first, and says that a run was quick', async () => {
  const page = await pageWith('before\n\n<!-- comparison -->\n\nearlier\n\n<!-- /comparison -->\n\nafter\n', BOTH);
  expect(page).not.toContain('earlier');
  expect(page).toMatch(/^before\n[^]*\nA quick run; 2 cores, Node v22, 2026-01-02, A chip[^]*\nafter\n$/u);
  expect(page).toContain("100 (Slow & <small>: 20), after 50 that aren't counted");
  const rows = page
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
  expect(rows.filter(([name]) => name === 'Tidelog')).toEqual([
    ['Tidelog', '20,000', '2,468', '16.7', '1.10', '3.00', '109', '111', '80,000 (9,000)'],
    ['Tidelog', 'each commit', 'each run', 'yes', 'yes', 'log', 'tidelog 0'],
  ]);
  expect(rows.filter(([name]) => name!.startsWith('Slow'))).toEqual([
    ['Slow & <small>', '5,000', '1,234', '5,055', '0.46', '37.3', '250', '333', '6,000'],
    ['Slow & <small>', 'no', 'no', 'no', 'every minute', 'state', 'slow 1.2.3, slow-server 4'],
  ]);
  expect(rows.findIndex(([name]) => name === 'Tidelog')).toBe(2);
  await expect(pageWith('a page without the marks', BOTH)).rejects.toThrow(/no place/u);
});

test('the picture is linear, and says of each what it does', () => {
  const picture = pictureOf(BOTH);
  const widths = [...picture.matchAll(/<rect class="(\w+)" .*?width="(\d+)"/gu)].map(([, own, width]) => [
    own,
    +width!,
  ]);
  expect(widths).toEqual([
    ['own', widths[0]![1]],
    ['other', (widths[0]![1] as number) / 2],
  ]);
  expect(picture).toContain(
    'Tidelog 2,468 (signed, verified, encrypted, flushed); Slow &amp; &lt;small&gt; 1,234 (none of the four)',
  );
  expect(picture).toContain('A quick run; 2 cores');
});

test('the README names those that are faster, and those that were given fewer records', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8').replaceAll(/\s+/gu, ' ');
  const { results } = readResults();
  const list = (those: typeof results): string =>
    new Intl.ListFormat('en-GB').format(those.map(({ name }) => name.split(' ')[0]!));
  const own = Math.max(...results.filter(({ id }) => id.startsWith('tidelog')).map((each) => each.recordsPerSecond));
  const faster = results.filter((each) => each.recordsPerSecond > own);
  const [, said] = /machine\. (.+?) (?:is|are) faster/u.exec(readme)!;
  expect(said).toBe(faster.length === 0 ? 'None' : list(faster));
  const most = Math.max(...results.map(({ records }) => records));
  const fewer = results.filter(({ records }) => records < most);
  const counts = [...new Set(fewer.map(({ records }) => records.toLocaleString('en')))];
  expect(counts).toHaveLength(1);
  expect(readme).toContain(`${list(fewer)} were given ${counts[0]} records, the others ${most.toLocaleString('en')}.`);
});

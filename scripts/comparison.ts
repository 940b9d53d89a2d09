/**
 * The picture and the table of bench/peers/results.json: docs/comparison.svg, and the part of bench/README.md between its marks.
 *
 *   node scripts/comparison.ts
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';

const ROOT = new URL('../', import.meta.url);
export const PICTURE = new URL('docs/comparison.svg', ROOT);
export const PAGE = new URL('bench/README.md', ROOT);
const MARKS = ['<!-- comparison -->', '<!-- /comparison -->'] as const;

interface Result {
  readonly id: string;
  readonly name: string;
  readonly records: number;
  readonly recordsPerSecond: number;
  readonly wireBytes: number;
  readonly diskBytes: number | null;
  readonly writesPerSecond: number;
}

export interface Results {
  readonly date: string;
  readonly machine: { cpu: string; cores: number; node: string; platform: string };
  readonly runs: number;
  readonly floor: { readonly name: string; readonly recordsPerSecond: number };
  readonly results: readonly Result[];
}

/** What each does of what is asked of a backup that one can trust; from its own documentation, and from how it is used here. */
const DOES: Readonly<
  Record<string, readonly [signs: string, verifies: string, encrypts: string, flushed: string, keeps: string]>
> = {
  tidelog: ['each commit', 'yes', 'yes', 'yes', 'log and state'],
  'tidelog-mirror': ['each commit', 'yes', 'yes', 'yes', 'log'],
  yjs: ['no', 'no', 'no', 'no, in memory', 'state'],
  nats: ['no', 'no', 'no', 'every two minutes', 'log'],
  hypercore: ['each append', 'yes', 'yes', 'no', 'log'],
  pouchdb: ['no', 'no', 'no', 'no', 'state and revisions'],
};

export function readResults(): Results {
  return JSON.parse(readFileSync(new URL('bench/peers/results.json', ROOT), 'utf8')) as Results;
}

const WIDTH = 760;
const LEFT = 190;
const BAR = 26;
const STEP = 38;

/** Bars from the fastest down; linear, because a logarithm would flatter. */
export function pictureOf({ results, floor, machine, date }: Results): string {
  const sorted = results.toSorted((a, b) => b.recordsPerSecond - a.recordsPerSecond);
  const most = Math.max(...sorted.map(({ recordsPerSecond }) => recordsPerSecond));
  const room = WIDTH - LEFT - 130;
  const bars = sorted.map(({ id, name, recordsPerSecond }, i) => {
    const y = 64 + i * STEP;
    const width = Math.max(2, Math.round((recordsPerSecond / most) * room));
    const own = id.startsWith('tidelog') ? 'own' : 'other';
    return [
      `  <text x="${LEFT - 12}" y="${y + 18}" text-anchor="end">${name}</text>`,
      `  <rect class="${own}" x="${LEFT}" y="${y}" width="${width}" height="${BAR}" rx="3"/>`,
      `  <text x="${LEFT + width + 8}" y="${y + 18}">${recordsPerSecond.toLocaleString('en')}/s</text>`,
    ].join('\n');
  });
  const height = 64 + sorted.length * STEP + 34;
  const said = sorted
    .map(({ name, recordsPerSecond }) => `${name} ${recordsPerSecond.toLocaleString('en')}`)
    .join(', ');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="title desc">
  <title id="title">Records per second into an empty copy</title>
  <desc id="desc">${said}.</desc>
  <style>
    text { font: 14px system-ui, sans-serif; fill: #1f2328 }
    .head { font-size: 17px; font-weight: 600 }
    .note { font-size: 12px; fill: #59636e }
    .own { fill: #0969da }
    .other { fill: #afb8c1 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .note { fill: #9198a1 }
      .own { fill: #4493f8 }
      .other { fill: #656c76 }
    }
  </style>
  <text class="head" x="16" y="28">Records per second into an empty copy</text>
  <text class="note" x="16" y="47">Records of 150 to 200 bytes over loopback. Plain LMDB without a network: ${floor.recordsPerSecond.toLocaleString('en')}/s</text>
${bars.join('\n')}
  <text class="note" x="16" y="${height - 12}">${machine.cores} cores, Node ${machine.node}, ${date}. Linear scale.</text>
</svg>
`;
}

function tableOf({ results, floor, machine, runs, date }: Results): string {
  const rows = results
    .toSorted((a, b) => b.recordsPerSecond - a.recordsPerSecond)
    .map(({ id, name, records, recordsPerSecond, wireBytes, diskBytes, writesPerSecond }) =>
      [
        name,
        records.toLocaleString('en'),
        recordsPerSecond.toLocaleString('en'),
        wireBytes,
        diskBytes ?? '–',
        writesPerSecond.toLocaleString('en'),
        ...DOES[id]!,
      ].join(' | '),
    );
  return [
    `Median of ${runs}; ${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, ${machine.platform}, ${date}. Plain LMDB, no network: ${floor.recordsPerSecond.toLocaleString('en')} records/s.`,
    '',
    '| | records | cold sync, records/s | bytes on the wire | bytes on disk | bulk writes/s | signs | receiver verifies | encrypts | flushed | keeps |',
    '| --- | ---: | ---: | ---: | ---: | ---: | --- | --- | --- | --- | --- |',
    ...rows.map((row) => `| ${row} |`),
  ].join('\n');
}

export async function pageWith(page: string, results: Results): Promise<string> {
  const [begin, end] = MARKS.map((mark) => page.indexOf(mark)) as [number, number];
  if (begin < 0 || end < begin) throw new Error('bench/README.md has no place for the comparison');
  const whole = `${page.slice(0, begin + MARKS[0].length)}\n\n${tableOf(results)}\n\n${page.slice(end)}`;
  return format(whole, { ...(await resolveConfig(PAGE)), parser: 'markdown' });
}

if (import.meta.main ?? process.argv[1]?.endsWith('comparison.ts')) {
  const results = readResults();
  writeFileSync(PICTURE, pictureOf(results));
  writeFileSync(PAGE, await pageWith(readFileSync(PAGE, 'utf8'), results));
}

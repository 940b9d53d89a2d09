/**
 * The picture and the tables of bench/peers/results.json: docs/comparison.svg, and the part of bench/README.md between its marks.
 *
 *   node scripts/comparison.ts
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';

const ROOT = new URL('../', import.meta.url);
export const PICTURE = new URL('docs/comparison.svg', ROOT);
export const PAGE = new URL('bench/README.md', ROOT);
const MARKS = ['<!-- comparison -->', '<!-- /comparison -->'] as const;

/** As a system is run here; its own words, from bench/peers/systems/. */
interface Does {
  readonly signs: string;
  readonly verifies: string;
  readonly encrypts: string;
  readonly flushes: string;
  readonly keeps: string;
}

interface Result {
  readonly id: string;
  readonly name: string;
  readonly does: Does;
  readonly versions: Readonly<Record<string, string>>;
  readonly records: number;
  readonly recordsPerSecond: number;
  /** By record, as the next. */
  readonly wireBytes: number;
  readonly diskBytes: number;
  readonly resumeMs: number;
  readonly liveWrites: number;
  readonly liveP50Ms: number;
  readonly liveP99Ms: number;
  readonly bulkPerSecond: number;
  /** Where bulk has many records to a commit: with one to each. */
  readonly bulkSinglePerSecond?: number;
}

export interface Results {
  readonly date: string;
  readonly mode: 'full' | 'quick';
  readonly machine: { readonly cpu: string; readonly cores: number; readonly node: string; readonly platform: string };
  readonly runs: number;
  /** Live writes that went before those that are counted. */
  readonly warmWrites: number;
  readonly floor: { readonly name: string; readonly recordsPerSecond: number };
  readonly results: readonly Result[];
}

export function readResults(): Results {
  return JSON.parse(readFileSync(new URL('bench/peers/results.json', ROOT), 'utf8')) as Results;
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en');
}

function ms(value: number): string {
  return value >= 100 ? count(value) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function fastestFirst({ results }: Results): Result[] {
  return results.toSorted((a, b) => b.recordsPerSecond - a.recordsPerSecond);
}

/** A quick run says so wherever its figures stand. */
function runOf({ machine, mode, date }: Results): string {
  const quick = mode === 'quick' ? 'A quick run; ' : '';
  return `${quick}${machine.cores} cores, Node ${machine.node}, ${date}`;
}

// ---- the picture

const WIDTH = 760;
const LEFT = 256;
/** For the figure after the longest bar. */
const RIGHT = 96;
const TOP = 70;
const BAR = 24;
const STEP = 46;

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

function escape(text: string): string {
  return text.replace(/[&<>"]/gu, (found) => ENTITIES[found]!);
}

/** What the bar's length doesn't tell, and costs the most: beneath the name. */
function guards({ signs, verifies, encrypts, flushes }: Does): string {
  const does = [
    [signs, 'signed'],
    [verifies, 'verified'],
    [encrypts, 'encrypted'],
    [flushes, 'flushed'],
  ] as const;
  const said = does.filter(([how]) => how === 'yes' || how.startsWith('each ')).map(([, word]) => word);
  return said.length === 0 ? 'none of the four' : said.join(', ');
}

/** Bars from the fastest down; linear, because on a logarithm ten times as fast looks like a little more. */
export function pictureOf(results: Results): string {
  const sorted = fastestFirst(results);
  const most = sorted[0]!.recordsPerSecond;
  const bars = sorted.map(({ id, name, does, recordsPerSecond }, i) => {
    const y = TOP + i * STEP;
    const width = Math.max(2, Math.round((recordsPerSecond / most) * (WIDTH - LEFT - RIGHT)));
    return [
      `  <text x="${LEFT - 12}" y="${y + 11}" text-anchor="end">${escape(name)}</text>`,
      `  <text class="note" x="${LEFT - 12}" y="${y + 27}" text-anchor="end">${guards(does)}</text>`,
      `  <rect class="${id.startsWith('tidelog') ? 'own' : 'other'}" x="${LEFT}" y="${y}" width="${width}" height="${BAR}" rx="3"/>`,
      `  <text x="${LEFT + width + 8}" y="${y + 17}">${count(recordsPerSecond)}/s</text>`,
    ].join('\n');
  });
  const height = TOP + sorted.length * STEP + 28;
  const said = sorted.map((each) => `${each.name} ${count(each.recordsPerSecond)} (${guards(each.does)})`).join('; ');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="title desc">
  <title id="title">Records per second into an empty copy</title>
  <desc id="desc">${escape(said)}. The four are: signed, verified, encrypted, flushed to the disk.</desc>
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
  <text class="note" x="16" y="48">Beneath each name which of four things it does: signed, verified by the receiver, encrypted, flushed to the disk</text>
${bars.join('\n')}
  <text class="note" x="16" y="${height - 12}">Records of about 150 bytes over loopback; linear scale. ${runOf(results)}</text>
</svg>
`;
}

// ---- the tables

function lines(head: readonly string[], aligned: string, rows: readonly (readonly string[])[]): string[] {
  const rule = [...aligned].map((side) => (side === 'r' ? '---:' : '---'));
  return [head, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`);
}

function figuresOf(result: Result): string[] {
  const { name, records, recordsPerSecond, resumeMs, liveP50Ms, liveP99Ms, wireBytes, diskBytes } = result;
  const { bulkPerSecond, bulkSinglePerSecond } = result;
  return [
    name,
    count(records),
    count(recordsPerSecond),
    ms(resumeMs),
    ms(liveP50Ms),
    ms(liveP99Ms),
    count(wireBytes),
    count(diskBytes),
    bulkSinglePerSecond === undefined
      ? count(bulkPerSecond)
      : `${count(bulkPerSecond)} (${count(bulkSinglePerSecond)})`,
  ];
}

function versionsOf({ versions }: Result): string {
  return Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ');
}

/** How many were counted; fewer where each takes long. */
function liveWrites({ results, warmWrites }: Results): string {
  const most = Math.max(...results.map((each) => each.liveWrites));
  const fewer = results.filter((each) => each.liveWrites < most);
  const said = fewer.map((each) => ` (${each.name}: ${count(each.liveWrites)})`).join('');
  return `${count(most)}${said}, after ${count(warmWrites)} that aren't counted`;
}

function tablesOf(results: Results): string {
  const sorted = fastestFirst(results);
  const { machine, runs, floor } = results;
  return [
    `${runOf(results)}, ${machine.cpu}, ${machine.platform}; cold sync: median of ${runs}. Plain LMDB without a network: ${count(floor.recordsPerSecond)} records/s.`,
    '',
    ...lines(
      [
        '',
        'records',
        'cold sync, records/s',
        'resume, 1,000 new, ms',
        'live, p50 ms',
        'live, p99 ms',
        'bytes on the wire',
        'bytes on disk',
        'bulk writes, records/s',
      ],
      'lrrrrrrrr',
      sorted.map(figuresOf),
    ),
    '',
    `Bytes are by record. Live: from the write until a reader at the receiver sees it, one after the other; ${liveWrites(results)}. Bulk writes in brackets: one record to a commit.`,
    '',
    ...lines(
      ['', 'signs', 'receiver verifies', 'encrypts', 'flushes', 'keeps', 'versions'],
      'lllllll',
      sorted.map((each) => {
        const { signs, verifies, encrypts, flushes, keeps } = each.does;
        return [each.name, signs, verifies, encrypts, flushes, keeps, versionsOf(each)];
      }),
    ),
  ].join('\n');
}

export async function pageWith(page: string, results: Results): Promise<string> {
  const [begin, end] = MARKS.map((mark) => page.indexOf(mark)) as [number, number];
  if (begin < 0 || end < begin) throw new Error('bench/README.md has no place for the comparison');
  const whole = `${page.slice(0, begin + MARKS[0].length)}\n\n${tablesOf(results)}\n\n${page.slice(end)}`;
  return format(whole, { ...(await resolveConfig(PAGE)), parser: 'markdown' });
}

if (import.meta.main ?? process.argv[1]?.endsWith('comparison.ts')) {
  const results = readResults();
  writeFileSync(PICTURE, pictureOf(results));
  writeFileSync(PAGE, await pageWith(readFileSync(PAGE, 'utf8'), results));
}

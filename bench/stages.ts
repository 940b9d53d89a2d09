/** CPU profiles as Node writes them, added up by the stages of the pipeline (docs/ARCHITECTURE.md). */

import { formatNumber, type Machine } from './report.ts';

export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  /** µs, of the clock that all processes of a machine share. */
  readonly startTime: number;
  readonly endTime: number;
  /** Node ids. */
  readonly samples: readonly number[];
  /** µs before each sample. */
  readonly timeDeltas: readonly number[];
}
interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string };
  readonly children?: readonly number[];
}

/** What the thread waits in: no CPU. */
export const WAITING = 'waiting';
const OTHER = 'all else';

/**
 * The first that fits a frame, by its function's name or by its file, says the stage. A frame that fits none (Node's own code, built-ins) belongs to
 * whoever called it: a `slice` in the state code is the state code's.
 */
const BY_FUNCTION: readonly (readonly [RegExp, string])[] = [
  [/^\(idle\)$/, WAITING],
  [/^\(garbage collector\)$/, 'garbage collection'],
  [/^\(program\)$/, 'the engine and the system'],
];
const BY_FILE: readonly (readonly [RegExp, string])[] = [
  [/node_modules\/lmdb\//, "lmdb's puts, gets and commits"],
  [/node_modules\/@msgpack\//, 'the msgpack library'],
  [
    /node_modules\/uws|uWebSockets|server\/http-server\.ts$|platform\/websocket\.ts$|^node:internal\/deps\/undici/,
    'sockets',
  ],
  [/server\/(journal|journaled-store|overlay|durable)\.ts$/, 'the journal, its flush too'],
  [/server\/(import|import-progress|cli\/\w+|http\/\w+)\.ts$|client\/changes\.ts$/, 'JSON, checking what is written'],
  [/protocol\/write-body\.ts$/, 'writing bodies'],
  [/^node:internal\/crypto\/hash/, 'SHA-256'],
  [/^node:internal\/crypto\/(sig|keys)|protocol\/ed25519\.ts$/, 'signatures'],
  [/^node:internal\/crypto\/(cipher|aead|webcrypto)/, 'ChaCha20-Poly1305'],
  [/^node:zlib|platform\/zstd-node\.ts$/, 'zstd'],
  [
    /^node:(internal\/)?modules|^node:internal\/(process|bootstrap|main|source_map)|amaro|cjs-module-lexer/,
    'loading code',
  ],
  [/server\/lmdb-store\.ts$|client\/store-check\.ts$/, "lmdb's puts, gets and commits"],
  [/protocol\/(noise|frame|channel)\.ts$/, 'channel: Noise, frames'],
  [
    /protocol\/(messages|session)\.ts$|client\/(connection|following|followers|lines|exchange|space|peer)\.ts$/,
    'session and connection',
  ],
  [
    /protocol\/(batch|plain-batch|authenticate|commit|codec)\.ts$|replica\/(incoming|block)\.ts$|platform\/(batch-reader|read-worker)\.ts$/,
    'reading batches: linking, bodies',
  ],
  [/protocol\/(body|msgpack|value|shape|utf8)\.ts$/, 'checking bytes and bodies'],
  [/protocol\/bytes\.ts$/, 'texts to bytes and back, hex'],
  [/protocol\/membership\.ts$|replica\/(admit|admit-plain|view|group|writer|entry)\.ts$/, 'admitting, writing groups'],
  [/replica\/(state|fresh-records)\.ts$|protocol\/merge\.ts$/, 'state and merging'],
  [/replica\/(bloom|subject-filter)\.ts$/, 'filters over subjects'],
  [/client\/tables\.ts$/, 'keys and records of tables'],
  [/replica\/log\.ts$/, 'reading the log for followers'],
];

/** Stage → µs within a window of the shared clock. */
export function stagesOf(
  profile: CpuProfile,
  window: { readonly fromMs: number; readonly toMs: number },
): Map<string, number> {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const stageByNode = new Map<number, string>();
  const assign = (id: number, inherited: string): void => {
    const node = nodes.get(id)!;
    const stage = ownStage(node) ?? inherited;
    stageByNode.set(id, stage);
    for (const child of node.children ?? []) assign(child, stage);
  };
  const children = new Set(profile.nodes.flatMap((node) => node.children ?? []));
  for (const { id } of profile.nodes) if (!children.has(id)) assign(id, OTHER);

  const spent = new Map<string, number>();
  let now = profile.startTime;
  for (const [i, id] of profile.samples.entries()) {
    now += profile.timeDeltas[i]!;
    // A sample stands for the time until the next one.
    const us = profile.timeDeltas[i + 1] ?? 0;
    if (now < window.fromMs * 1000 || now > window.toMs * 1000) continue;
    const stage = stageByNode.get(id) ?? OTHER;
    spent.set(stage, (spent.get(stage) ?? 0) + us);
  }
  return spent;
}

function ownStage({ callFrame: { functionName, url } }: ProfileNode): string | undefined {
  const fits = ([pattern]: readonly [RegExp, string], text: string): boolean => pattern.test(text);
  return (BY_FUNCTION.find((row) => fits(row, functionName)) ?? BY_FILE.find((row) => fits(row, url)))?.[1];
}

// ---- the report

/** One thread that ran JavaScript, or the process as a whole. µs for each of the profile's units. */
export interface Column {
  readonly name: string;
  readonly stages: Readonly<Record<string, number>>;
}

export interface Profile {
  /** As `--of` names it. */
  readonly of: string;
  readonly title: string;
  /** What figures are for each of: a commit, a resource, a write. */
  readonly unit: string;
  readonly date: string;
  readonly machine: Machine;
  readonly columns: readonly Column[];
  /** µs */
  readonly wall: number;
  /** µs, of processes with all their threads. */
  readonly cpu: readonly { readonly name: string; readonly us: number }[];
  /** By where they are. */
  readonly bytes: Readonly<Record<string, number>> | null;
}

/** Less than this share of all is told together. */
const SMALL_SHARE = 0.01;

/** A head, then stage and one cell for each thread, the costliest stage first, then what was waited. */
export function tableOf({ columns: measured, unit }: Profile): string[][] {
  const columns = measured.map(withoutSmall(measured));
  const stages = new Set(columns.flatMap((column) => Object.keys(column.stages)));
  stages.delete(WAITING);
  const sum = (stage: string): number => columns.reduce((all, column) => all + (column.stages[stage] ?? 0), 0);
  const cell = (us: number | undefined): string =>
    us === undefined || us < 0.005 ? '' : us < 10 ? us.toFixed(2) : us.toFixed(1);
  const last = (stage: string): number => Number(stage === OTHER);
  const ordered = [...stages].toSorted((a, b) => last(a) - last(b) || sum(b) - sum(a));
  const busy = columns.map(({ stages: own }) => ordered.reduce((all, stage) => all + (own[stage] ?? 0), 0));
  return [
    [`µs/${unit}`, ...columns.map(({ name }) => name)],
    ...ordered.map((stage) => [stage, ...columns.map((column) => cell(column.stages[stage]))]),
    ['together', ...busy.map(cell)],
    [WAITING, ...columns.map((column) => cell(column.stages[WAITING]))],
  ];
}

/** Stages that are small in all columns, counted with all else. */
function withoutSmall(columns: readonly Column[]): (column: Column) => Column {
  const busy = (stages: Column['stages']): [string, number][] =>
    Object.entries(stages).filter(([stage]) => stage !== WAITING);
  const total = columns.flatMap(({ stages }) => busy(stages)).reduce((all, [, us]) => all + us, 0);
  const sums = new Map<string, number>();
  for (const { stages } of columns)
    for (const [stage, us] of busy(stages)) sums.set(stage, (sums.get(stage) ?? 0) + us);
  return ({ name, stages }) => {
    const kept: Record<string, number> = {};
    for (const [stage, us] of Object.entries(stages)) {
      const isSmall = stage !== WAITING && sums.get(stage)! < total * SMALL_SHARE;
      kept[isSmall ? OTHER : stage] = (kept[isSmall ? OTHER : stage] ?? 0) + us;
    }
    return { name, stages: kept };
  };
}

export function summaryOf({ unit, wall, cpu, bytes }: Profile): string {
  const told = [`For each ${unit}: ${formatNumber(wall)} µs on the clock`];
  if (cpu.length > 0) {
    const each = cpu.map(({ name, us }) => `${formatNumber(us)} µs of the ${name}`).join(', ');
    told.push(`; CPU with all threads, LMDB's and the system's work too: ${each}`);
  }
  if (bytes) {
    const each = Object.entries(bytes).map(([where, count]) => `${formatNumber(count)} ${where}`);
    told.push(`. Bytes: ${each.join(', ')}`);
  }
  return `${told.join('')}.`;
}

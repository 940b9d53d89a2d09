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

/** One thread that ran JavaScript, or the process as a whole. µs for each commit. */
export interface Column {
  readonly name: string;
  readonly stages: Readonly<Record<string, number>>;
}

export interface Profile {
  readonly date: string;
  readonly machine: Machine;
  readonly commits: number;
  readonly role: string;
  readonly columns: readonly Column[];
  /** µs for each commit: wall of the sync, CPU of each process with all its threads. */
  readonly totals: { readonly wall: number; readonly receiverCpu: number; readonly senderCpu: number };
  /** For each commit. */
  readonly bytes: { readonly wire: number; readonly log: number; readonly restOfStore: number };
}

/** A head, then stage and one cell for each thread, the costliest stage first, then what was waited. */
export function tableOf({ columns }: Profile): string[][] {
  const stages = new Set(columns.flatMap((column) => Object.keys(column.stages)));
  stages.delete(WAITING);
  const sum = (stage: string): number => columns.reduce((all, column) => all + (column.stages[stage] ?? 0), 0);
  const cell = (us: number | undefined): string => (us === undefined || us < 0.005 ? '' : us.toFixed(2));
  const ordered = [...stages].toSorted((a, b) => sum(b) - sum(a));
  const busy = columns.map(({ stages: own }) => ordered.reduce((all, stage) => all + (own[stage] ?? 0), 0));
  return [
    ['µs/commit', ...columns.map(({ name }) => name)],
    ...ordered.map((stage) => [stage, ...columns.map((column) => cell(column.stages[stage]))]),
    ['together', ...busy.map(cell)],
    [WAITING, ...columns.map((column) => cell(column.stages[WAITING]))],
  ];
}

export function summaryOf({ totals: { wall, receiverCpu, senderCpu }, bytes }: Profile): string {
  return (
    `For each commit: ${formatNumber(wall)} µs on the clock; CPU with all threads, LMDB's and the system's work too: ` +
    `${formatNumber(receiverCpu)} µs at the receiver, ${formatNumber(senderCpu)} µs at the sender. ` +
    `Bytes: ${formatNumber(bytes.wire)} on the wire, ${formatNumber(bytes.log)} in the log, ${formatNumber(bytes.restOfStore)} in the rest of the store.`
  );
}

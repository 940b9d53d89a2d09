/** Figures: what a row measures, whether the target is met, the table, and the guard that compares a run with a recorded one. */
import { cpus, totalmem } from 'node:os';
import { styleText } from 'node:util';

/** A figure of the report. */
export interface Figure {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** Which way is better; without it the figure is told for the record only. */
  readonly better?: 'more' | 'less';
  /** In the same unit. */
  readonly target?: number;
  /** What the machine does at best, measured in the same run, in the same unit. */
  readonly floor?: { readonly what: string; readonly value: number };
  /** Least ratio to the floor. */
  readonly ratioTarget?: number;
  readonly note?: string;
}

/** As a run gives it. */
export interface RowFigure extends Figure {
  readonly row: string;
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGB: number;
  readonly node: string;
  readonly platform: string;
}

export function machineHere(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGB: Math.round(totalmem() / 1e9),
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
  };
}

export function describeMachine({ cpu, cores, memoryGB, node, platform }: Machine): string {
  return `${cpu}, ${cores} cores, ${memoryGB} GB, Node ${node}, ${platform}`;
}

export interface Report {
  readonly date: string;
  readonly mode: 'full' | 'quick';
  readonly machine: Machine;
  readonly figures: readonly RowFigure[];
}

/** Ours ÷ floor, turned so that more is better; null where there is no floor. */
export function ratioOf({ value, floor, better }: Figure): number | null {
  if (!floor || !better) return null;
  return better === 'more' ? value / floor.value : floor.value / value;
}

/** null where there is no target. */
export function isMet(figure: Figure): boolean | null {
  const { value, better, target, ratioTarget } = figure;
  const ratio = ratioOf(figure);
  const judged: boolean[] = [];
  if (target !== undefined) judged.push(better === 'less' ? value <= target : value >= target);
  if (ratioTarget !== undefined && ratio !== null) judged.push(ratio >= ratioTarget);
  return judged.length === 0 ? null : judged.every(Boolean);
}

export function formatNumber(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en');
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

/** `≥ 150,000`, `≥ 0.2 × floor`, or both. */
function formatTarget({ target, ratioTarget, better }: Figure): string {
  const parts: string[] = [];
  if (target !== undefined) parts.push(`${better === 'less' ? '≤' : '≥'} ${formatShort(target)}`);
  if (ratioTarget !== undefined) parts.push(`≥ ${formatShort(ratioTarget)} × floor`);
  return parts.join(', ');
}

function formatShort(value: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: 3 });
}

export const COLUMNS = ['what', 'figure', 'unit', 'floor', '× floor', 'target', 'met'] as const;

/** The cells of a line, in the order of COLUMNS. */
export function cellsOf(figure: Figure): string[] {
  const ratio = ratioOf(figure);
  const met = isMet(figure);
  return [
    figure.what,
    formatNumber(figure.value),
    figure.note ? `${figure.unit} (${figure.note})` : figure.unit,
    figure.floor ? `${formatNumber(figure.floor.value)} (${figure.floor.what})` : '',
    ratio === null ? '' : ratio.toFixed(2),
    formatTarget(figure),
    met === null ? '' : met ? 'yes' : 'no',
  ];
}

const WIDTHS = [50, 11, 14, 11, 8, 26, 4];

/** A line of the table as people read it while the run goes on: notes and the floor's name stand below, where they take no column. */
export function lineOf(figure: Figure, colours: boolean): string {
  const [what, value, , , ratio, target, met] = cellsOf(figure) as [string, ...string[]] & string[];
  const floor = figure.floor ? formatNumber(figure.floor.value) : '';
  const cells = [what, value!, figure.unit, floor, ratio!, target!, met!].map((cell, i) =>
    i === 1 || i === 3 || i === 4 ? cell.padStart(WIDTHS[i]!) : cell.padEnd(WIDTHS[i]!),
  );
  const beneath = [figure.floor && `floor: ${figure.floor.what}`, figure.note].filter(Boolean).join('; ');
  const line = `${cells.join(' ').trimEnd()}${beneath ? `\n    ${beneath}` : ''}`;
  if (!colours || met === '') return line;
  return styleText(met === 'yes' ? 'green' : 'red', line, { validateStream: false });
}

export function headLine(): string {
  return COLUMNS.map((cell, i) => (i === 1 || i === 3 || i === 4 ? cell.padStart(WIDTHS[i]!) : cell.padEnd(WIDTHS[i]!)))
    .join(' ')
    .trimEnd();
}

// ---- the guard

/** mode → `row: what (unit)` → ours ÷ floor. */
export type Recorded = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** Below this share of what was recorded a ratio is a regression, and above it noise: on two shared cores runs differ by a third. */
export const TOLERANCE = 0.6;

function keyOf({ row, what, unit }: RowFigure): string {
  return `${row}: ${what} (${unit})`;
}

/** What the guard compares: the ratio to the floor; where there is none, to the target, which noise can't move. */
export function guardedRatios(figures: readonly RowFigure[]): Record<string, number> {
  const ratios: Record<string, number> = {};
  for (const figure of figures) {
    const { value, better, target } = figure;
    const ratio =
      ratioOf(figure) ?? (target === undefined || !better ? null : better === 'more' ? value / target : target / value);
    if (ratio !== null && Number.isFinite(ratio)) ratios[keyOf(figure)] = Number(ratio.toPrecision(4));
  }
  return ratios;
}

export interface Regression {
  readonly key: string;
  readonly recorded: number;
  readonly now: number;
}

/** What fell below the tolerance, and how many figures there were to compare. A figure that wasn't recorded is not judged. */
export function compare(
  recorded: Readonly<Record<string, number>>,
  figures: readonly RowFigure[],
): { compared: number; regressions: Regression[] } {
  const now = guardedRatios(figures);
  const keys = Object.keys(now).filter((key) => recorded[key] !== undefined);
  const regressions = keys
    .map((key) => ({ key, recorded: recorded[key]!, now: now[key]! }))
    .filter((one) => one.now < TOLERANCE * one.recorded);
  return { compared: keys.length, regressions };
}

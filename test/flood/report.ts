/** What a flood came to, as a table for people, and as complaints for a test. */
import { ATTACKS } from './attacks.ts';
import type { AttackReport, FloodReport } from './flood.ts';

/** Memory of its own that a node may take under any attack, bytes. It is what many bounds allow together, and not what is usual. */
const GROWTH_MAX_BYTES = 512 * 1024 * 1024;

/** Spaces that a member made up, and that are empty here. The attack with HELLOs is by one member. */
const MADE_UP_MAX = 32;

/** What went wrong; none where all went well. */
export function complaints({ attacks, honest, writers, status }: FloodReport): string[] {
  const texts: string[] = [];
  if (honest.received !== honest.written || !honest.inOrder)
    texts.push(
      `of ${honest.written} honest writes ${honest.received} arrived${honest.inOrder ? '' : ', out of order'}`,
    );
  if (!honest.same) texts.push('the honest devices do not hold the same');
  const strangers = honest.authors.filter((author) => !writers.includes(author));
  if (strangers.length > 0) texts.push(`commits by ${strangers.join(', ')} are in the log`);
  if (status.spaces.length > 1 + MADE_UP_MAX) texts.push(`the node holds ${status.spaces.length} spaces`);
  for (const report of attacks) texts.push(...complaintsOf(report).map((text) => `${report.attack}: ${text}`));
  return texts;
}

function complaintsOf({ attack, memory, delays, answers, refusals }: AttackReport): string[] {
  const texts: string[] = [];
  const { expects } = ATTACKS[attack]!;
  const answered = new Set([...Object.keys(answers), ...Object.keys(refusals)]);
  if (expects.length > 0 && !expects.some((answer) => answered.has(answer)))
    texts.push(`the node answered with none of ${expects.join(', ')}, but with ${[...answered].join(', ')}`);
  if (memory.peak - memory.before > GROWTH_MAX_BYTES)
    texts.push(`the node's memory grew from ${MiB(memory.before)} to ${MiB(memory.peak)} MiB`);
  if (delays.length === 0) texts.push('nothing honest arrived meanwhile');
  return texts;
}

function MiB(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(0);
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

function ms(values: readonly number[]): string {
  return `${quantile(values, 0.5).toFixed(1)} / ${quantile(values, 0.99).toFixed(0)}`;
}

/** Of new connections: how many of them came through, and the median of those. */
function dialled(dials: readonly number[]): string {
  const good = dials.filter((each) => each >= 0);
  return good.length === 0
    ? `0/${dials.length}`
    : `${good.length}/${dials.length}, ${quantile(good, 0.5).toFixed(0)} ms`;
}

const ANSWERS_SHOWN = 4;

function top(answers: Readonly<Record<string, number>>): string {
  const sorted = Object.entries(answers).toSorted(([, a], [, b]) => b - a);
  return sorted
    .slice(0, ANSWERS_SHOWN)
    .map(([answer, count]) => `${count.toLocaleString('en')} × ${answer}`)
    .join(', ');
}

/** Of the answers those that say something: not that a line closed which the attacker had cut. */
function said({ answers, refusals }: AttackReport): string {
  const own = Object.entries(answers).filter(([name]) => !/^(closed with|no socket|cut)/.test(name));
  return top({ ...refusals, ...Object.fromEntries(own) }) || 'served';
}

export function floodTable({ calm, attacks }: FloodReport): string {
  const rows = attacks.map((report) => {
    const { attack, sent, bytes, delays, dials, memory } = report;
    return [
      `${attack}: ${ATTACKS[attack]!.says}`,
      `${sent.toLocaleString('en')}, ${MiB(bytes)} MiB`,
      ms(delays),
      dialled(dials),
      `${MiB(memory.before)} / ${MiB(memory.peak)} / ${MiB(memory.after)}`,
      said(report),
    ];
  });
  const head = [
    'attack',
    'sent',
    'honest delay p50 / p99, ms',
    'newcomers let in',
    'memory before / peak / after, MiB',
    'the node said',
  ];
  const calmRow = ['none', '', ms(calm.delays), dialled(calm.dials), '', ''];
  return [head, head.map(() => '---'), calmRow, ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

/** Runs the kit for `tidelog conformance`, and prints what it saw. */
import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';

import {
  casesOf,
  ClientTarget,
  formatJunit,
  runCases,
  ServerTarget,
  type Result,
  type Target,
} from '../../conformance/index.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { paint, printable, table, type Paint } from '../terminal.ts';
import { EXIT, Output, parseCount } from './command.ts';

export interface KitOptions {
  readonly only?: string;
  readonly quick?: boolean;
  readonly hostile?: boolean;
  readonly junit?: string;
  readonly timeout: string;
  readonly list?: boolean;
  readonly invite?: string;
  readonly write?: string;
  readonly read?: string;
  readonly run?: string;
}

export interface ClientOptions extends KitOptions {
  readonly listen: string;
  readonly workers: string;
}

const MARK: Record<Result['outcome'], readonly [Paint, string]> = {
  passed: ['green', '✓'],
  failed: ['red', '✗'],
  warned: ['yellow', '!'],
  skipped: ['dim', '-'],
};

export async function tryServer(link: string | undefined, options: KitOptions, command: Command): Promise<void> {
  if (options.list) return list('server', options, command);
  const target = await ServerTarget.open({ address: link, hooks: options, patienceMs: patienceOf(options) });
  await withTarget(target, () => run(target, 1, options, command));
}

export async function tryClient(options: ClientOptions, command: Command): Promise<void> {
  if (options.list) return list('client', options, command);
  const output = new Output(command);
  const target = new ClientTarget({
    ...parseListen(options.listen),
    hooks: options,
    patienceMs: patienceOf(options),
    onLink: (text) => output.note(`Give this link to the program under test:\n\n  ${text}\n`),
  });
  const workers = parseCount(options.workers);
  if (workers === 0) throw new TidelogError('bad-argument', '--workers is at least 1');
  await withTarget(target, () => run(target, workers, options, command));
}

function selection({ only, quick = false, hostile }: KitOptions): {
  only: readonly string[];
  quick: boolean;
  hostile: boolean | null;
} {
  return {
    only: only?.split(',').map((id) => id.trim()) ?? [],
    quick,
    hostile: hostile ?? null,
  };
}

function patienceOf({ timeout }: KitOptions): number {
  const seconds = parseCount(timeout);
  if (seconds === 0) throw new TidelogError('bad-argument', '--timeout is at least 1 s');
  return seconds * 1000;
}

function parseListen(text: string): { host: string; port: number } {
  const [, host, port] = /^\[?(.*?)\]?:(\d{1,5})$/.exec(text) ?? [];
  if (!host || Number(port) > 65_535)
    throw new TidelogError('bad-argument', `${JSON.stringify(text)} is not like 127.0.0.1:7600`);
  return { host, port: Number(port) };
}

async function list(side: 'server' | 'client', options: KitOptions, command: Command): Promise<void> {
  const output = new Output(command);
  const cases = casesOf(side, selection(options));
  if (output.json || !output.isTerminal) {
    for (const { id, title, rule, should = false, hostile = false } of cases) {
      await output.show({ id, title, rule, should, hostile }, () => `${id}\t${title}\t${rule}`);
    }
    return;
  }
  await output.line(
    table(
      ['case', 'what is tried', 'rule'],
      cases.map(({ id, title, rule, hostile }) => [hostile ? paint('magenta', id) : id, title, paint('dim', rule)]),
    ),
  );
}

async function withTarget(target: { close(): Promise<void> }, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } finally {
    await target.close();
  }
}

async function run(target: Target, workers: number, options: KitOptions, command: Command): Promise<void> {
  const output = new Output(command);
  const chosen = selection(options);
  if (casesOf(target.side, chosen).length === 0)
    throw new TidelogError('bad-argument', 'no case is named so; --list shows them');
  const startedMs = performance.now();
  let printed = Promise.resolve();
  const results = await runCases(target, {
    ...chosen,
    workers,
    onResult: (result) => {
      printed = printed.then(() => output.show({ ...result }, () => resultLines(result)));
    },
  });
  await printed;
  const count = (outcome: Result['outcome']): number => results.filter((each) => each.outcome === outcome).length;
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  const summary = {
    side: target.side,
    agent: target.agent,
    passed: count('passed'),
    failed: count('failed'),
    warned: count('warned'),
    skipped: count('skipped'),
    seconds,
  };
  await output.show(summary, () => summaryLines(summary, results));
  if (options.junit !== undefined) await writeFile(options.junit, formatJunit(`tidelog ${target.side}`, results));
  if (summary.failed > 0) process.exitCode = EXIT.FAILED;
}

function resultLines({ id, title, rule, outcome, reason, transcript }: Result): string {
  const [colour, mark] = MARK[outcome];
  const head = `${paint(colour, mark)} ${id.padEnd(8)} ${title}`;
  if (outcome === 'passed') return head;
  if (outcome === 'skipped') return `${head} ${paint('dim', `(${reason})`)}`;
  return [
    head,
    `    ${paint('dim', 'rule')}  ${rule}`,
    ...(reason ?? '')
      .split('\n')
      .map((line, i) => `    ${paint('dim', i === 0 ? 'saw ' : '    ')}  ${paint(colour, printable(line))}`),
    ...transcript.map((line) => `    ${paint('dim', printable(line))}`),
  ].join('\n');
}

function summaryLines(
  {
    agent,
    passed,
    failed,
    warned,
    skipped,
    seconds,
  }: { agent: string; passed: number; failed: number; warned: number; skipped: number; seconds: number },
  results: readonly Result[],
): string {
  const broken = results.filter(({ outcome }) => outcome === 'failed').map(({ id }) => id);
  const parts = [
    paint(failed > 0 ? 'red' : 'green', `${passed} passed, ${failed} failed`),
    ...(warned > 0 ? [`${warned} warned`] : []),
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
  ];
  const again = broken.length > 0 ? `\nTry these again: --only ${broken.join(',')}` : '';
  return `\n${printable(agent || 'the implementation')}: ${parts.join(', ')}, in ${seconds} s${again}`;
}

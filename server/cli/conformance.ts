/** `tidelog conformance server|client`: does an implementation of the protocol keep its rules? */
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

interface Options {
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

const MARK: Record<Result['outcome'], readonly [Paint, string]> = {
  passed: ['green', '✓'],
  failed: ['red', '✗'],
  warned: ['yellow', '!'],
  skipped: ['dim', '-'],
};

export function conformanceCommand(program: Command): void {
  const conformance = program
    .command('conformance')
    .description('hold an implementation of the protocol against docs/PROTOCOL.md');
  common(
    conformance
      .command('server [link]')
      .description(
        'try a node: the kit connects to it. Use a node that you can throw away: the kit joins it as an owner',
      )
      .option('--invite <command>', 'prints a new pairing link; {role} and {life} (seconds) are filled in')
      .option('--write <command>', 'makes the node write: {subject}, {property}, {value} (JSON)')
      .option('--read <command>', 'prints a resource of the node as JSON: {subject}')
      .option('--run <command>', 'starts the node; it is killed and started again'),
  ).action(async (link: string | undefined, options: Options, command: Command) => {
    if (options.list) return list('server', options, command);
    const target = await ServerTarget.open({ address: link, hooks: options, patienceMs: patienceOf(options) });
    await withTarget(target, () => run(target, 1, options, command));
  });
  common(
    conformance
      .command('client')
      .description('try a program that connects: the kit listens, and gives it a pairing link')
      .option('--listen <host:port>', 'where the kit listens', '127.0.0.1:0')
      .option('--run <command>', 'joins by {link} if {data}, a folder, has not joined yet; then stays and syncs')
      .option(
        '--write <command>',
        'writes in {data} while the program is stopped: {subject}, {property}, {value} (JSON)',
      )
      .option('--read <command>', 'prints a resource in {data} as JSON while the program is stopped: {subject}')
      .option('--workers <n>', 'programs at once, with --run', '2'),
  ).action(async (options: Options & { listen: string; workers: string }, command: Command) => {
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
  });
}

function common(command: Command): Command {
  return command
    .option('--only <cases>', 'these only, separated by commas: 11 is a chapter, 11.5 a section, 11.5/3 a case')
    .option('--quick', 'leave out cases that take more than 5 s by their nature')
    .option('--hostile', 'only cases in which the kit plays a hostile peer')
    .option('--no-hostile', 'none of those')
    .option('--timeout <s>', 'how long to wait for what should come at once', '5')
    .option('--junit <file>', 'write a report for CI as well')
    .option('--list', 'list the cases and their rules');
}

function selection({ only, quick = false, hostile }: Options): {
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

function patienceOf({ timeout }: Options): number {
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

async function list(side: 'server' | 'client', options: Options, command: Command): Promise<void> {
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

async function run(target: Target, workers: number, options: Options, command: Command): Promise<void> {
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

/** `tidelog log`, `tidelog history SUBJECT`: commits in the order in which this device has them. */
import type { Command } from 'commander';

import type { JsonChange } from '../../client/changes.ts';
import { TidelogError } from '../../protocol/errors.ts';
import type { LoggedJson } from '../http/commits.ts';
import { formatTime, paint, printable } from '../terminal.ts';
import { formatValue, parseCount, shortId, withCli, type Cli } from './command.ts';

interface LogOptions {
  readonly follow?: boolean;
  readonly after?: string;
  readonly subject?: string;
  readonly limit?: string;
}

export function logCommand(program: Command): void {
  program
    .command('log')
    .description('print the log, oldest first')
    .option('--follow', 'go on with what arrives')
    .option('--after <cursor>', 'only what comes after this; a cursor is the first word of a line')
    .option('--subject <subject>', 'only commits that change this')
    .option('--limit <count>', 'at most this many')
    .action((options: LogOptions, command: Command) =>
      withCli(command, async (cli) => {
        const limit = options.limit === undefined ? Infinity : parseCount(options.limit);
        const query = { subject: options.subject };
        const path = (more: object): string => cli.path(['v1', 'commits'], { ...query, ...more });
        if (!options.follow) {
          for await (const commit of cli.pages<LoggedJson>(path, limit, options.after)) await showLogged(cli, commit);
          return;
        }
        if (cli.api.node === null)
          throw new TidelogError(
            'bad-argument',
            'nothing arrives while no node runs: `tidelog start` first, or leave out --follow',
          );
        await follow(cli, path({ after: options.after }), limit);
      }),
    );
}

async function follow(cli: Cli, path: string, limit: number): Promise<void> {
  const abort = new AbortController();
  // Ctrl-C is how following ends; it's not a failure.
  process.once('SIGINT', () => abort.abort());
  let left = limit;
  if (left === 0) return;
  try {
    for await (const { data } of cli.api.stream('GET', path, undefined, abort.signal)) {
      await showLogged(cli, data as LoggedJson);
      if (--left <= 0) return;
    }
    if (!abort.signal.aborted) throw new TidelogError('shutting-down');
  } catch (thrown) {
    if (!abort.signal.aborted) throw thrown;
  } finally {
    abort.abort();
  }
}

export function historyCommand(program: Command): void {
  program
    .command('history')
    .description('print every commit on a resource, oldest first')
    .argument('<subject>')
    .option('--limit <count>', 'at most this many')
    .action((subject: string, options: { limit?: string }, command: Command) =>
      withCli(command, async (cli) => {
        const limit = options.limit === undefined ? Infinity : parseCount(options.limit);
        const path = (query: object): string => cli.resource(subject, { history: 1, ...query });
        for await (const commit of cli.pages<LoggedJson>(path, limit)) await showLogged(cli, commit);
      }),
    );
}

async function showLogged(cli: Cli, commit: LoggedJson): Promise<void> {
  await cli.show(commit, () => describeLogged(commit, cli.isTerminal));
}

/** A line with all of it for a program; for a person a head, and what a screen has room for. */
export function describeLogged(commit: LoggedJson, isTerminal: boolean): string {
  const time = commit.time === null ? '-' : formatTime(commit.time);
  const head = [commit.cursor, time, printable(commit.deviceName) || shortId(commit.device)];
  const changes = commit.erased ? ['erased'] : commit.changes.map(describeChange);
  if (!isTerminal) return [...head, ...changes].join('\t');
  const indent = '\n    ';
  const shown = changes.slice(0, SHOWN_CHANGES);
  const rest = changes.length - shown.length;
  if (rest > 0) shown.push(paint('dim', `and ${rest.toLocaleString('en')} more; --json prints all of them`));
  return `${paint('dim', head[0]!)}  ${head[1]}  ${paint('cyan', head[2]!)}${indent}${shown.join(indent)}`;
}

/** Of a commit, on a terminal: an import has a thousand in one. */
const SHOWN_CHANGES = 8;
const SHOWN_CHARACTERS = 100;

/** `note/1 set title=Milk done=false; unset due` */
function describeChange({ subject, ...ops }: JsonChange): string {
  const parts = Object.entries(ops).map(([op, operand]) => {
    if (operand === true) return op;
    if (Array.isArray(operand)) return `${op} ${operand.map((name) => printable(String(name))).join(' ')}`;
    const pairs = Object.entries(operand as object).map(([name, value]) => `${printable(name)}=${formatValue(value)}`);
    return `${op} ${pairs.join(' ')}`;
  });
  const text = parts.join('; ');
  return `${printable(subject)} ${text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text}`;
}

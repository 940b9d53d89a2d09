/** `tidelog set SUBJECT key=value…` */
import type { Command } from 'commander';

import { TidelogError } from '../../protocol/errors.ts';
import { parseAssignment, withCli, type Cli } from './command.ts';

export function setCommand(program: Command): void {
  program
    .command('set')
    .description('set properties of a resource; a value that is JSON is taken as JSON, anything else as text')
    .argument('<subject>')
    .argument('<key=value...>')
    .action((subject: string, assignments: string[], _options: unknown, command: Command) => {
      const entries = assignments.map(parseAssignment);
      const set = Object.fromEntries(entries);
      if (Object.keys(set).length !== entries.length) throw new TidelogError('bad-argument', 'a key is given twice');
      return withCli(command, (cli) => writeChange(cli, { subject, set }));
    });
}

/** One commit of one change, and a line that says where it is. */
export async function writeChange(cli: Cli, change: Readonly<Record<string, unknown>>): Promise<void> {
  const { body } = await cli.api.call('POST', cli.path(['v1', 'commits']), { changes: [change] });
  await showCommit(cli, body as CommitAnswer);
}

export interface CommitAnswer {
  readonly id: string;
  readonly cursor: string;
}

export async function showCommit(cli: Cli, commit: CommitAnswer): Promise<void> {
  await cli.show(commit, () => `stored ${commit.id.slice(0, 12)} at ${commit.cursor}`);
}

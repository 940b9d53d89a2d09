/** `tidelog rm SUBJECT` */
import type { Command } from 'commander';

import { withCli } from './command.ts';
import { showCommit, type CommitAnswer } from './set.ts';

export function rmCommand(program: Command): void {
  program
    .command('rm')
    .description('remove a resource; an edit made elsewhere at the same time survives')
    .argument('<subject>')
    .action((subject: string, _options: unknown, command: Command) =>
      withCli(command, async (cli) => {
        const { body } = await cli.api.call('DELETE', cli.resource(subject));
        await showCommit(cli, body as CommitAnswer);
      }),
    );
}

/** `tidelog unset SUBJECT key…` */
import type { Command } from 'commander';

import { withCli } from './command.ts';
import { writeChange } from './set.ts';

export function unsetCommand(program: Command): void {
  program
    .command('unset')
    .description('remove properties of a resource')
    .argument('<subject>')
    .argument('<key...>')
    .action((subject: string, keys: string[], _options: unknown, command: Command) =>
      withCli(command, (cli) => writeChange(cli, { subject, unset: [...new Set(keys)] })),
    );
}

/** `tidelog help [COMMAND]`. Commander's own shows the general help for a command that isn't there, as if that were it. */
import type { Command } from 'commander';

import { TidelogError } from '../../protocol/errors.ts';

export function helpCommand(program: Command): void {
  program
    .helpCommand(false)
    .command('help')
    .description('show what a command does, and its options')
    .argument('[command...]')
    .action((names: string[]) => {
      let command = program;
      for (const name of names) {
        const found = command.commands.find((inner) => inner.name() === name);
        if (!found)
          throw new TidelogError(
            'bad-argument',
            `there is no command ${JSON.stringify(names.join(' '))}; \`tidelog help\` lists all`,
          );
        command = found;
      }
      command.outputHelp();
    });
}

/** `tidelog export [PREFIX]`: one line per resource, sorted by subject. Equal states give equal bytes, and `import` takes them. */
import type { Command } from 'commander';

import { withCli } from './command.ts';

export function exportCommand(program: Command): void {
  program
    .command('export')
    .description('print resources as newline-delimited JSON that `tidelog import` takes')
    .argument('[prefix]', 'only subjects that begin with this', '')
    .action((prefix: string, _options: unknown, command: Command) =>
      withCli(command, async (cli) => {
        for await (const line of cli.api.lines(cli.path(['v1', 'export'], { prefix }))) await cli.line(line);
      }),
    );
}

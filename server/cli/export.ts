/** `tidelog export [PREFIX]`: one line per resource, sorted by subject. Equal states give equal bytes, and `import` takes them. With `--log`: log-file.ts. */
import type { Command } from 'commander';

import { TidelogError } from '../../protocol/errors.ts';
import { withCli } from './command.ts';

export function exportCommand(program: Command): void {
  program
    .command('export')
    .description('print resources as newline-delimited JSON that `tidelog import` takes')
    .argument('[prefix]', 'only subjects that begin with this', '')
    .option(
      '--log <file>',
      'instead write the whole log, signatures and all, that `tidelog import --log` takes; - for standard output',
    )
    .action((prefix: string, { log }: { log?: string }, command: Command) =>
      withCli(command, async (cli) => {
        if (log !== undefined) {
          if (prefix !== '') throw new TidelogError('bad-argument', 'a log is exported whole; leave out the prefix');
          const { exportLog } = await import('./log-file.ts');
          return exportLog(cli, log);
        }
        for await (const line of cli.api.lines(cli.path(['v1', 'export'], { prefix }))) await cli.line(line);
      }),
    );
}

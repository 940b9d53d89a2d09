/** `tidelog unset SUBJECT key…` */
import type { Command } from 'commander';

import { TidelogError } from '../../protocol/errors.ts';
import { withCli } from './command.ts';
import { writeChange } from './set.ts';

export function unsetCommand(program: Command): void {
  program
    .command('unset')
    .description('remove properties of a resource')
    .argument('<subject>')
    .argument('<key...>')
    .action((subject: string, keys: string[], _options: unknown, command: Command) =>
      withCli(command, async (cli) => {
        const { properties } = await cli.get<{ properties: object }>(cli.resource(subject, { meta: 1 }));
        const missing = keys.filter((key) => !Object.hasOwn(properties, key));
        if (missing.length > 0)
          throw new TidelogError('not-found', `${subject} has no property ${missing.map(quoted).join(', ')}`);
        await writeChange(cli, { subject, unset: [...new Set(keys)] });
      }),
    );
}

function quoted(key: string): string {
  return JSON.stringify(key);
}

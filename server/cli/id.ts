/** `tidelog id`: this device's ID, alone on its line. */
import type { Command } from 'commander';

import type { StatusJson } from '../http/status.ts';
import { withCli } from './command.ts';

export function idCommand(program: Command): void {
  program
    .command('id')
    .description("print this device's ID")
    .action((_options: unknown, command: Command) =>
      withCli(command, async (cli) => {
        const { device } = await cli.get<StatusJson>(cli.path(['v1', 'status']));
        await cli.show({ id: device.id }, () => device.id);
      }),
    );
}

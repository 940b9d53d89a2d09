/** `tidelog conflicts`: properties that were written in two places at once, and what each place wrote. */
import type { Command } from 'commander';

import type { AlternativeJson } from '../http/commits.ts';
import { formatTime, paint, printable } from '../terminal.ts';
import { formatValue, shortId, withCli } from './command.ts';

interface ConflictItem {
  readonly subject: string;
  readonly property: string;
  /** The one that counts comes first. */
  readonly alternatives: readonly AlternativeJson[];
}

export function conflictsCommand(program: Command): void {
  program
    .command('conflicts')
    .description('list values that were written at the same time on several devices')
    .action((_options: unknown, command: Command) =>
      withCli(command, async (cli) => {
        let count = 0;
        for await (const item of cli.pages<ConflictItem>((query) => cli.path(['v1', 'conflicts'], query))) {
          count++;
          await cli.show(item, () => describe(item, cli.isTerminal));
        }
        if (!cli.isTerminal) return;
        await cli.line(
          count === 0
            ? 'No conflicts.'
            : `\nThe first value of each counts. To decide: \`tidelog set SUBJECT property=value\`, on any device.`,
        );
      }),
    );
}

function describe({ subject, property, alternatives }: ConflictItem, terminal: boolean): string {
  const values = alternatives.map(({ value, device, deviceName, time }) => {
    const shown = formatValue(value);
    return terminal
      ? `${shown}  ${paint('dim', `${printable(deviceName) || shortId(device)}, ${formatTime(time)}`)}`
      : shown;
  });
  const head = [printable(subject), printable(property)];
  return terminal
    ? `${paint('bold', head[0]!)} ${head[1]}\n${values.map((value, i) => `  ${i === 0 ? paint('green', '•') : ' '} ${value}`).join('\n')}`
    : [...head, ...values].join('\t');
}

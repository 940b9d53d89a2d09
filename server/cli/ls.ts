/** `tidelog ls [PREFIX]` */
import type { Command } from 'commander';

import { paint, printable } from '../terminal.ts';
import { formatValue, parseCount, withCli } from './command.ts';

interface ListItem {
  readonly subject: string;
  readonly properties: Readonly<Record<string, unknown>>;
}

const SUMMARY_CHARACTERS = 60;

export function lsCommand(program: Command): void {
  program
    .command('ls')
    .description('list resources, sorted by subject')
    .argument('[prefix]', 'only subjects that begin with this', '')
    .option('--limit <count>', 'at most this many')
    .option('--after <subject>', 'only what comes after this')
    .action((prefix: string, options: { limit?: string; after?: string }, command: Command) => {
      const limit = options.limit === undefined ? Infinity : parseCount(options.limit);
      return withCli(command, async (cli) => {
        let isEmpty = true;
        const path = (query: object): string => cli.path(['v1', 'resources'], { prefix, ...query });
        for await (const item of cli.pages<ListItem>(path, limit, options.after)) {
          isEmpty = false;
          await cli.show(item, () =>
            cli.isTerminal ? `${printable(item.subject)}  ${paint('dim', summary(item))}` : printable(item.subject),
          );
        }
        if (isEmpty && cli.isTerminal)
          cli.note(prefix === '' ? 'Nothing is here yet.' : `Nothing begins with ${JSON.stringify(prefix)}.`);
      });
    });
}

function summary({ properties }: ListItem): string {
  const text = Object.entries(properties)
    .map(([property, value]) => `${printable(property)}=${formatValue(value)}`)
    .join(' ');
  return text.length > SUMMARY_CHARACTERS ? `${text.slice(0, SUMMARY_CHARACTERS)}…` : text;
}

/** `tidelog get SUBJECT` */
import type { Command } from 'commander';

import type { Json } from '../../client/changes.ts';
import type { AlternativeJson } from '../http/commits.ts';
import { paint, printable, table } from '../terminal.ts';
import { formatValue, withCli } from './command.ts';

interface ResourceAnswer {
  readonly subject: string;
  readonly properties: Readonly<Record<string, Json>>;
  readonly meta: Readonly<Record<string, { readonly conflict: readonly AlternativeJson[] }>>;
}

export function getCommand(program: Command): void {
  program
    .command('get')
    .description("print a resource's properties")
    .argument('<subject>')
    .option('--meta', 'with --json: who wrote each property and when, and values that conflict')
    .action((subject: string, { meta }: { meta?: boolean }, command: Command) =>
      withCli(command, async (cli) => {
        const answer = await cli.get<ResourceAnswer>(cli.resource(subject, { meta: 1 }));
        if (cli.json) return cli.line(JSON.stringify(meta ? answer : answer.properties));
        const rows = Object.entries(answer.properties).map(([property, value]) => {
          // The first of a conflict is the one that shows.
          const others = (answer.meta[property]?.conflict ?? []).slice(1).map((other) => formatValue(other.value));
          return { property: printable(property), value: formatValue(value), others };
        });
        if (!cli.isTerminal) {
          for (const { property, value } of rows) await cli.line(`${property}=${value}`);
          return;
        }
        const cells = rows.flatMap(({ property, value, others }) => [
          [paint('bold', property), value],
          ...others.map((other) => ['', `${paint('yellow', 'or')} ${other}`]),
        ]);
        await cli.line(table(['property', 'value'], cells));
      }),
    );
}

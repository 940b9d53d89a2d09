/** `tidelog conformance server|client`: does an implementation of the protocol keep its rules? The kit is large; it is loaded when it is asked for. */
import type { Command } from 'commander';

import type { ClientOptions, KitOptions } from './conformance-run.ts';

export function conformanceCommand(program: Command): void {
  const conformance = program
    .command('conformance')
    .description('hold an implementation of the protocol against docs/PROTOCOL.md');
  common(
    conformance
      .command('server [link]')
      .description(
        'try a node: the kit connects to it. Use a node that you can throw away: the kit joins it as an owner',
      )
      .option('--invite <command>', 'prints a new pairing link; {role} and {life} (seconds) are filled in')
      .option('--write <command>', 'makes the node write: {subject}, {property}, {value} (JSON)')
      .option('--read <command>', 'prints a resource of the node as JSON: {subject}')
      .option('--run <command>', 'starts the node; it is killed and started again'),
  ).action(async (link: string | undefined, options: KitOptions, command: Command) => {
    const { tryServer } = await import('./conformance-run.ts');
    await tryServer(link, options, command);
  });
  common(
    conformance
      .command('client')
      .description('try a program that connects: the kit listens, and gives it a pairing link')
      .option('--listen <host:port>', 'where the kit listens', '127.0.0.1:0')
      .option('--run <command>', 'joins by {link} if {data}, a folder, has not joined yet; then stays and syncs')
      .option(
        '--write <command>',
        'writes in {data} while the program is stopped: {subject}, {property}, {value} (JSON)',
      )
      .option('--read <command>', 'prints a resource in {data} as JSON while the program is stopped: {subject}')
      .option('--workers <n>', 'programs at once, with --run', '2'),
  ).action(async (options: ClientOptions, command: Command) => {
    const { tryClient } = await import('./conformance-run.ts');
    await tryClient(options, command);
  });
}

function common(command: Command): Command {
  return command
    .option('--only <cases>', 'these only, separated by commas: 11 is a chapter, 11.5 a section, 11.5/3 a case')
    .option('--quick', 'leave out cases that take more than 5 s by their nature')
    .option('--hostile', 'only cases in which the kit plays a hostile peer')
    .option('--no-hostile', 'none of those')
    .option('--timeout <s>', 'how long to wait for what should come at once', '5')
    .option('--junit <file>', 'write a report for CI as well')
    .option('--list', 'list the cases and their rules');
}

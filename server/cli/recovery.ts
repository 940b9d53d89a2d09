/** `tidelog recovery …`: an owner's key on paper, for the day on which no owner's device is left. */
import type { Command } from 'commander';

import type * as Work from './recovery-run.ts';
import type { UseOptions } from './recovery-run.ts';

/** A peer of its own and a list of words: loaded when it is asked for. */
function work(): Promise<typeof Work> {
  return import('./recovery-run.ts');
}

export function recoveryCommand(program: Command): void {
  const recovery = program.command('recovery').description('an owner key on paper, for when no owner is left');

  recovery
    .command('create')
    .description('make one: 24 words, and a QR code of them; a printer can take it from a pipe')
    .option('--name <name>', 'what it is called among the devices (default: "recovery" and the date)')
    .action(async ({ name }: { name?: string }, command: Command) => (await work()).create(command, name));

  recovery
    .command('check')
    .description('try the words out: are they an owner of the space, as far as this device knows? Changes nothing')
    .addHelpText('after', '\nThe words are asked for, or read from standard input.')
    .allowExcessArguments()
    .action(async (_options: unknown, command: Command) => (await work()).check(command));

  recovery
    .command('use')
    .description('make this device an owner by the words')
    .option('--from <url>', 'a node that has the space, like http://192.168.1.20:7600, where this device has no copy')
    .option('--device <id>', 'make another device an owner, by its whole ID')
    .option('--name <name>', 'what it is called from now on')
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nThe words are asked for, or read from standard input.')
    .allowExcessArguments()
    .action(async (options: UseOptions, command: Command) => (await work()).use(command, options));
}

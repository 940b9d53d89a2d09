/** The command line: `tidelog COMMAND`. One file per command; this one puts them together and turns what happened into an exit code. */
import { Command, CommanderError } from 'commander';

import { VERSION } from '../version.ts';
import { EXIT, reportError } from './command.ts';
import { conflictsCommand } from './conflicts.ts';
import { conformanceCommand } from './conformance.ts';
import { demoCommand } from './demo.ts';
import { devicesCommand } from './devices.ts';
import { doctorCommand } from './doctor.ts';
import { exportCommand } from './export.ts';
import { getCommand } from './get.ts';
import { idCommand } from './id.ts';
import { importCommand } from './import.ts';
import { initCommand } from './init.ts';
import { historyCommand, logCommand } from './log.ts';
import { lsCommand } from './ls.ts';
import { pairCommand } from './pair.ts';
import { rmCommand } from './rm.ts';
import { setCommand } from './set.ts';
import { startCommand } from './start.ts';
import { statusCommand } from './status.ts';
import { unsetCommand } from './unset.ts';

const COMMANDS = [
  initCommand,
  startCommand,
  statusCommand,
  idCommand,
  doctorCommand,
  pairCommand,
  devicesCommand,
  setCommand,
  unsetCommand,
  getCommand,
  rmCommand,
  lsCommand,
  historyCommand,
  conflictsCommand,
  logCommand,
  importCommand,
  exportCommand,
  demoCommand,
  conformanceCommand,
];

function buildProgram(): Command {
  const program = new Command('tidelog')
    .description('Keeps your data as a log of signed commits, the same on all your devices.')
    .version(VERSION, '--version')
    .showHelpAfterError('Run with --help to see how it is used.');
  for (const add of COMMANDS) add(program);
  forAll(program, (command) =>
    command
      .exitOverride()
      .option('--data <dir>', 'data folder (default: TIDELOG_DATA, or ~/.tidelog)')
      .option('--space <name>', 'space, by name or ID (default: the first)')
      .option('--json', 'print JSON, one object per line'),
  );
  return program;
}

/** The options that work everywhere are given to each command, so that each one's help shows them and any order works. */
function forAll(command: Command, apply: (command: Command) => void): void {
  apply(command);
  for (const inner of command.commands) forAll(inner, apply);
}

/** Returns the exit code. */
export async function runCommand(args: readonly string[]): Promise<number> {
  try {
    await buildProgram().parseAsync(args, { from: 'user' });
    return EXIT.FINE;
  } catch (thrown) {
    // Commander has printed what it has to say. Its own help and version end this way too, with exit code 0.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.FINE : EXIT.MISUSED;
    return reportError(thrown, args.includes('--json'));
  }
}

/** The command line: `tidelog COMMAND`. One file per command; this one puts them together and turns what happened into an exit code. */
import { Command, CommanderError } from 'commander';

import { TidelogError } from '../../protocol/errors.ts';
import { VERSION } from '../version.ts';
import { EXIT, reportError } from './command.ts';
import { backupCommand } from './backup.ts';
import { conflictsCommand } from './conflicts.ts';
import { forksCommand } from './forks.ts';
import { conformanceCommand } from './conformance.ts';
import { demoCommand } from './demo.ts';
import { devicesCommand } from './devices.ts';
import { doctorCommand } from './doctor.ts';
import { exportCommand } from './export.ts';
import { getCommand } from './get.ts';
import { helpCommand } from './help.ts';
import { idCommand } from './id.ts';
import { importCommand } from './import.ts';
import { initCommand } from './init.ts';
import { historyCommand, logCommand } from './log.ts';
import { lsCommand } from './ls.ts';
import { openCommand } from './open.ts';
import { pairCommand } from './pair.ts';
import { recoveryCommand } from './recovery.ts';
import { rmCommand } from './rm.ts';
import { setCommand } from './set.ts';
import { startCommand } from './start.ts';
import { statusCommand } from './status.ts';
import { unsetCommand } from './unset.ts';
import { verifyCommand } from './verify.ts';

const COMMANDS = [
  initCommand,
  startCommand,
  openCommand,
  statusCommand,
  idCommand,
  doctorCommand,
  pairCommand,
  devicesCommand,
  recoveryCommand,
  setCommand,
  unsetCommand,
  getCommand,
  rmCommand,
  lsCommand,
  historyCommand,
  conflictsCommand,
  forksCommand,
  logCommand,
  importCommand,
  exportCommand,
  verifyCommand,
  backupCommand,
  demoCommand,
  conformanceCommand,
  helpCommand,
];

function buildProgram(asJson: boolean): Command {
  const program = new Command('tidelog')
    .description('Keeps your data as a log of signed commits, the same on all your devices.')
    .version(VERSION, '--version')
    .showHelpAfterError('Run with --help to see how it is used.');
  for (const add of COMMANDS) add(program);
  forAll(program, (command) =>
    command
      .exitOverride()
      .configureOutput(asJson ? { writeErr: () => {} } : {})
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

/** What Commander says of it, without its first word. */
function misuse({ message }: CommanderError): string {
  return message.replace(/^error: /, '');
}

/** Returns the exit code. */
export async function runCommand(args: readonly string[]): Promise<number> {
  const before = process.exitCode;
  // Before the arguments are understood: what is wrong with them is said so too.
  const asJson = args.includes('--json');
  try {
    process.exitCode = EXIT.FINE;
    await buildProgram(asJson).parseAsync(args, { from: 'user' });
    // A command that did its work, and has found something that is not as it should be, says so by this.
    return process.exitCode;
  } catch (thrown) {
    // Commander has printed what it has to say. Its own help and version end this way too, with exit code 0.
    if (!(thrown instanceof CommanderError)) return reportError(thrown, asJson);
    if (thrown.exitCode === 0) return EXIT.FINE;
    return asJson ? reportError(new TidelogError('bad-argument', misuse(thrown)), true) : EXIT.MISUSED;
  } finally {
    process.exitCode = before;
  }
}

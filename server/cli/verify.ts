/** `tidelog verify`: is the live log whole, is everything in it signed, and is the state what it gives? */
import type { Command } from 'commander';

import type { SpaceAudit } from '../../client/auditing.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { counted, formatTime, paint, printable } from '../terminal.ts';
import type { LogReport, VerifyStep } from '../verifier.ts';
import { EXIT, withCli, type Cli } from './command.ts';
import { Progress } from './progress.ts';

export function verifyCommand(program: Command): void {
  program
    .command('verify')
    .description('check every link and signature of the live log, and that its state is what it gives')
    .action((_options: unknown, command: Command) => withCli(command, verify));
}

async function verify(cli: Cli): Promise<void> {
  const progress = new Progress();
  let report: LogReport | null = null;
  try {
    for await (const { event, data } of cli.api.stream('POST', cli.path(['v1', 'verify']))) {
      if (event === 'done') report = data as LogReport;
      if (event !== 'step') continue;
      const { space, step, done, total } = data as VerifyStep;
      progress.show(`${printable(space)}: ${step}`, done, total);
    }
  } finally {
    progress.end();
  }
  // The node was stopped in the middle of it.
  if (report === null) throw new TidelogError('aborted', 'the node stopped; run it once more');
  const { spaces, ok } = report;
  await cli.show(report, () => (spaces.length === 0 ? 'There is no space yet.' : spaces.flatMap(describe).join('\n')));
  if (!ok) {
    cli.note(
      'Keep the folder as it is. Restore from a backup with `tidelog backup restore DIR --data NEW`, or pair anew in another folder.',
    );
    process.exitCode = EXIT.FAILED;
  }
}

function describe({ name, commits, resources, devices, fromUs, untilUs, findings, notes }: SpaceAudit): string[] {
  const mark = findings.length === 0 ? paint('green', 'good') : paint('red', 'damaged');
  const times = untilUs === null ? 'empty' : `from ${formatTime(fromUs!)} until ${formatTime(untilUs)}`;
  return [
    `${printable(name)}: ${mark}, ${counted(commits, 'commit')} by ${counted(devices.length, 'device')}, ${counted(resources, 'resource')}, ${times}`,
    ...findings.map((finding) => `  ${paint('red', 'wrong:')} ${where(finding)}`),
    ...notes.map((note) => `  ${paint('yellow', 'note:')} ${where(note)}`),
  ];
}

function where({ code, says, position }: SpaceAudit['findings'][number]): string {
  return `${position === null ? '' : `position ${position}: `}${printable(says)} [${code}]`;
}

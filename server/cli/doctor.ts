/** `tidelog doctor`: looks for what commonly goes wrong, and says what to do about it. What it looks at is in server/doctor/. */
import type { Command } from 'commander';

import type { DeviceView } from '../../client/status.ts';
import { asTidelogError, TidelogError } from '../../protocol/errors.ts';
import { findRunningNode, isDataDir } from '../data-dir.ts';
import { checkClocks, checkOthers, checkReach, checkRecovery, checkSpace } from '../doctor/data.ts';
import { bad, count, ok, warn, type Finding } from '../doctor/finding.ts';
import {
  checkDisk,
  checkJournal,
  checkModes,
  checkOwnClock,
  checkPort,
  checkRuntime,
  checkSettings,
  checkStore,
} from '../doctor/machine.ts';
import type { StatusJson } from '../http/status.ts';
import { readRecoveryNotes } from '../recovery-notes.ts';
import { paint, printable } from '../terminal.ts';
import { apiPath } from './api.ts';
import { dataDirOf, EXIT, Output, withCli } from './command.ts';

const MARK = { ok: ['green', '✓'], warn: ['yellow', '!'], bad: ['red', '✗'] } as const;

export function doctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('look for what is wrong with this device')
    .addHelpText(
      'after',
      '\nThe exit code is 1 if anything is bad. With --json: {check, state, says, do} on each line.',
    )
    .action(async (_options: unknown, command: Command) => {
      const output = new Output(command);
      let isBad = false;
      for await (const finding of examine(command)) {
        isBad ||= finding.state === 'bad';
        await output.show(finding, () => {
          const [colour, mark] = MARK[finding.state];
          const todo = finding.do === null ? '' : `\n    ${printable(finding.do)}`;
          return `${paint(colour, mark)} ${finding.check}: ${printable(finding.says)}${todo}`;
        });
      }
      if (isBad) process.exitCode = EXIT.FAILED;
    });
}

async function* examine(command: Command): AsyncGenerator<Finding> {
  const dataDir = dataDirOf(command);
  // Without data there is nothing to examine, and the error says what to do.
  if (!(await isDataDir(dataDir))) throw new TidelogError('data-missing', dataDir);
  yield checkRuntime();
  yield checkOwnClock(Date.now());
  yield* await checkModes(dataDir);
  const { finding, values } = await checkSettings(dataDir);
  yield finding;
  yield await checkDisk(dataDir);
  const running = await findRunningNode(dataDir);
  yield await checkJournal(dataDir, running !== null);
  if (running === null) {
    yield warn(
      'node',
      'None runs here, so nothing syncs',
      '`tidelog start` starts one; docs/OPERATIONS.md has units for services.',
    );
    if (values) yield await checkPort(values);
    const store = await checkStore(dataDir);
    yield store;
    if (store.state === 'bad') return;
  }
  yield* await ofData(command);
}

async function ofData(command: Command): Promise<Finding[]> {
  const findings: Finding[] = [];
  try {
    await withCli(command, async (cli) => {
      const status = await cli.get<StatusJson>(cli.path(['v1', 'status']));
      findings.push(ok('data', `${cli.dataDir}, ${count(status.spaces.length, 'space')}`));
      if (cli.api.node !== null) {
        findings.push(ok('node', `Runs at ${cli.api.node}`), ...(await checkReach(cli.api.node, status)));
      }
      findings.push(...checkClocks(status));
      const notes = await readRecoveryNotes(cli.dataDir);
      for (const space of status.spaces) {
        const { items } = await cli.get<{ items: DeviceView[] }>(apiPath(['v1', 'devices'], { space: space.id }));
        findings.push(...checkSpace(space, items), ...checkRecovery(items, notes));
      }
      findings.push(...checkOthers(status));
    });
  } catch (thrown) {
    const { code, message } = asTidelogError(thrown);
    findings.push(bad('data', `It cannot be opened: ${code}`, message));
  }
  return findings;
}

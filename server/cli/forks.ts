/** `tidelog forks`: chains with two branches, and what was set aside of those that don't count. */
import type { Command } from 'commander';

import type { ForkView } from '../../client/branches.ts';
import type { SetAsideJson } from '../http/forks.ts';
import { counted, formatTime, paint, printable } from '../terminal.ts';
import { shortId, withCli, type Cli } from './command.ts';

export function forksCommand(program: Command): void {
  const forks = program
    .command('forks')
    .description('list chains of which a device wrote two branches, because its data folder was copied or put back')
    .action((_options: unknown, command: Command) => withCli(command, list));

  forks
    .command('export')
    .description('what was set aside, as lines that `tidelog import` takes')
    .action((_options: unknown, command: Command) =>
      withCli(command, async (cli) => {
        for await (const { changes } of setAside(cli)) {
          if (changes.length > 0) await cli.line(JSON.stringify({ changes }));
        }
      }),
    );

  forks
    .command('republish')
    .description('write what was set aside again, as commits of this device')
    .action((_options: unknown, command: Command) =>
      withCli(command, async (cli) => {
        const { body } = await cli.api.call('POST', cli.path(['v1', 'forks', 'republish']), {});
        const { written, left } = body as { written: number; left: number };
        await cli.show(body, () =>
          [
            `wrote ${commits(written)} again`,
            ...(left > 0 ? [`${commits(left)} can't be: they changed members, or only their hash is here`] : []),
          ].join('\n'),
        );
      }),
    );
}

function commits(n: number): string {
  return counted(n, 'commit');
}

function setAside(cli: Cli): AsyncGenerator<SetAsideJson> {
  return cli.pages<SetAsideJson>((query) => cli.path(['v1', 'forks', 'commits'], query));
}

async function list(cli: Cli): Promise<void> {
  const { body } = await cli.api.call('GET', cli.path(['v1', 'forks']));
  const { items } = body as { items: readonly ForkView[] };
  for (const fork of items) await cli.show(fork, () => describeFork(fork, cli.isTerminal));
  let waiting = 0;
  for await (const commit of setAside(cli)) {
    if (!commit.republished) waiting++;
    await cli.show(commit, () => describeCommit(commit, cli.isTerminal));
  }
  if (!cli.isTerminal) return;
  if (items.length === 0) await cli.line('No forks.');
  if (waiting > 0)
    await cli.line(
      `\n${commits(waiting)} set aside. \`tidelog forks republish\` writes them again; \`tidelog forks export\` prints them.`,
    );
}

function describeFork({ chain, device, deviceName, seq, kept, dropped }: ForkView, isTerminal: boolean): string {
  const who = printable(deviceName) || shortId(device);
  return isTerminal
    ? `${paint('yellow', 'fork')} ${paint('bold', who)} wrote number ${seq} of its chain ${chain.slice(0, 8)} twice: ${kept.slice(0, 8)} counts, ${dropped.slice(0, 8)} doesn't`
    : ['fork', chain, device, String(seq), kept, dropped].join('\t');
}

function describeCommit(commit: SetAsideJson, isTerminal: boolean): string {
  const { id, device, deviceName, seq, time, changes, why, republished } = commit;
  const subjects = changes.map(({ subject }) => printable(subject)).join(', ') || 'only its hash is here';
  if (!isTerminal)
    return ['aside', id, device, String(seq), why, republished ? 'republished' : '', subjects].join('\t');
  const who = printable(deviceName) || shortId(device);
  const when = time === null ? '' : `, ${formatTime(time)}`;
  const note = republished ? ' written again' : why === 'fork' ? '' : ` (${why})`;
  return `  ${id.slice(0, 8)}  ${subjects}  ${paint('dim', `${who}${when}${note}`)}`;
}

/** `tidelog status`: this device, its spaces, and the devices that it knows. */
import type { Command } from 'commander';

import type { StatusJson } from '../http/status.ts';
import { formatAgo, formatBytes, formatTime, paint, printable, table } from '../terminal.ts';
import { shortId, withCli, type Cli } from './command.ts';

export function statusCommand(program: Command): void {
  program
    .command('status')
    .description('show this device, its spaces, and how far the others are')
    .action((_options: unknown, command: Command) =>
      withCli(command, async (cli) => {
        const status = await cli.get<StatusJson>(cli.path(['v1', 'status']));
        const running = { running: cli.api.node !== null, url: cli.api.node, data: cli.dataDir };
        await cli.show({ ...status, node: running }, () => describe(cli, status));
      }),
    );
}

function describe(cli: Cli, status: StatusJson): string {
  const { device, spaces, peers, pending, warnings, lastVerified, lastProvenRestorable } = status;
  const node =
    cli.api.node === null
      ? paint('yellow', 'no node runs; `tidelog start` starts one')
      : paint('green', `runs at ${cli.api.node}`);
  const parts = [`${paint('bold', printable(device.name))}  ${device.id}\n${node}`];
  parts.push(
    spaces.length === 0
      ? 'No space yet: the first write makes one, or `tidelog pair join LINK` brings one.'
      : table(
          ['space', 'role', 'commits', 'resources', 'conflicts', 'size', 'id'],
          spaces.map((space) => [
            printable(space.name),
            space.role ?? '-',
            String(space.commits),
            String(space.subjects),
            space.conflicts > 0 ? paint('yellow', String(space.conflicts)) : '0',
            formatBytes(space.bytes),
            space.id.slice(0, 8),
          ]),
        ),
  );
  if (peers.length > 0) {
    parts.push(
      table(
        ['device', 'id', 'now', 'behind', 'ahead', 'address'],
        peers.map((peer) => [
          printable(peer.name),
          shortId(peer.id),
          peer.connected
            ? paint('green', 'connected')
            : peer.lastSeenMs === null
              ? 'never seen'
              : `seen ${formatAgo(peer.lastSeenMs)}`,
          count(peer.behind),
          count(peer.ahead),
          peer.address ?? '',
        ]),
      ),
    );
  }
  for (const { name, id, address, connected, error } of peers)
    if (!connected && error !== null)
      parts.push(`${paint('yellow', `${printable(name) || shortId(id) || (address ?? '')}:`)} ${printable(error)}`);
  if (pending > 0) parts.push(`${pending} waiting to be let in: \`tidelog pair pending\``);
  const verified: string[] = [];
  if (lastVerified) verified.push(`log verified ${formatAgo(lastVerified.atMs)}`);
  if (lastProvenRestorable) {
    const { atMs, dir, untilMs } = lastProvenRestorable;
    const until = untilMs === null ? '' : `, good until ${formatTime(untilMs * 1000)}`;
    verified.push(`backup in ${printable(dir)} proven restorable ${formatAgo(atMs)}${until}`);
  }
  if (verified.length > 0) parts.push(verified.join('\n'));
  for (const warning of warnings) parts.push(`${paint('yellow', 'warning:')} ${printable(warning)}`);
  return parts.join('\n\n');
}

function count(commits: number | null): string {
  return commits === null ? '?' : String(commits);
}

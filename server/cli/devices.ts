/** `tidelog devices`: who is in a space, and what owners do with them. */
import { confirm, isCancel } from '@clack/prompts';
import type { Command } from 'commander';

import type { DeviceView } from '../../client/status.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { formatAgo, paint, printable, table } from '../terminal.ts';
import { shortId, withCli, type Cli } from './command.ts';

export function devicesCommand(program: Command): void {
  const devices = program
    .command('devices')
    .description('list the devices of the space')
    .action((_options: unknown, command: Command) => withCli(command, list));

  devices
    .command('list')
    .description('the same')
    .action((_options: unknown, command: Command) => withCli(command, list));

  devices
    .command('add')
    .description('let a device in by its ID, without a link; it must add this one too, or ask')
    .argument('<id>')
    .option('--name <name>')
    .option('--role <role>', 'owner, writer, reader or mirror')
    .option('--address <url>', 'where to reach it, like http://192.168.1.20:7600')
    .action((id: string, options: { name?: string; role?: string; address?: string }, command: Command) =>
      withCli(command, async (cli) => {
        const { name, role, address } = options;
        const { body } = await cli.api.call('POST', cli.path(['v1', 'devices']), { id, name, role, address });
        const { member } = body as { member: boolean };
        await cli.show(body, () =>
          member ? `added ${id}` : `${id} is trusted here; an owner of the space must add it too before anything syncs`,
        );
      }),
    );

  devices
    .command('rename')
    .argument('<device>', 'its ID, the first group of it, or its name')
    .argument('<name>')
    .action((text: string, name: string, _options: unknown, command: Command) =>
      withCli(command, (cli) => change(cli, text, { name })),
    );

  devices
    .command('role')
    .description('give a device another role: owner, writer, reader or mirror')
    .argument('<device>')
    .argument('<role>')
    .action((text: string, role: string, _options: unknown, command: Command) =>
      withCli(command, (cli) => change(cli, text, { role })),
    );

  devices
    .command('revoke')
    .description('shut a device out for good: what it writes from now on counts nowhere')
    .argument('<device>')
    .option('--yes', 'do not ask')
    .action((text: string, { yes }: { yes?: boolean }, command: Command) =>
      withCli(command, async (cli) => {
        const device = await find(cli, text);
        if (cli.isTerminal && process.stdin.isTTY && !yes && !(await isSure(device))) throw new TidelogError('aborted');
        await cli.api.call('DELETE', cli.path(['v1', 'devices', device.id]));
        await cli.show({ id: device.id, revoked: true }, () => `revoked ${describe(device)}`);
      }),
    );
}

async function isSure(device: DeviceView): Promise<boolean> {
  const answer = await confirm({
    message: `Revoke ${describe(device)}? This is final for its key: to come back it must be set up anew.`,
    initialValue: false,
  });
  return !isCancel(answer) && answer;
}

async function list(cli: Cli): Promise<void> {
  const items = await readDevices(cli);
  if (cli.json) {
    for (const item of items) await cli.line(JSON.stringify(item));
    return;
  }
  const rows = items.map((device) => [
    printable(device.name),
    device.revoked ? paint('red', 'revoked') : (device.role ?? '-'),
    device.self ? 'this device' : device.connected ? paint('green', 'connected') : lastSeen(device),
    device.id,
  ]);
  if (cli.isTerminal)
    await cli.line(rows.length === 0 ? 'No devices yet.' : table(['device', 'role', 'now', 'id'], rows));
  else for (const row of rows) await cli.line(row.join('\t'));
}

function lastSeen({ lastSeenMs, recovery }: DeviceView): string {
  const seen = lastSeenMs === null ? null : formatAgo(lastSeenMs);
  if (recovery) return seen === null ? 'recovery key, on paper' : `recovery key, used ${seen}`;
  return seen === null ? 'never seen' : `seen ${seen}`;
}

async function change(cli: Cli, text: string, what: { name?: string; role?: string }): Promise<void> {
  const device = await find(cli, text);
  await cli.api.call('PATCH', cli.path(['v1', 'devices', device.id]), what);
  await cli.show(
    { id: device.id, ...what },
    () => `${describe(device)} is ${printable(what.name ?? what.role ?? '')} now`,
  );
}

async function readDevices(cli: Cli): Promise<DeviceView[]> {
  return (await cli.get<{ items: DeviceView[] }>(cli.path(['v1', 'devices']))).items;
}

/** By whole ID, the first group, or the name, where that says which. Throws `unknown-device` or `bad-argument`. */
async function find(cli: Cli, text: string): Promise<DeviceView> {
  const devices = await readDevices(cli);
  const id = text.toUpperCase().replaceAll(/[\s-]/g, '');
  const found = devices.filter((device) => {
    const whole = device.id.replaceAll('-', '');
    return whole === id || device.name === text || (id.length >= 4 && whole.startsWith(id));
  });
  if (found.length > 1)
    throw new TidelogError(
      'bad-argument',
      `${JSON.stringify(text)} may be ${found.map(describe).join(' or ')}; give more of the ID`,
    );
  if (found.length === 0) throw new TidelogError('unknown-device', JSON.stringify(text));
  return found[0]!;
}

function describe({ name, id }: DeviceView): string {
  return `${printable(name) || 'a device'} (${shortId(id)})`;
}

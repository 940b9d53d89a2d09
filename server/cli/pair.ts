/** `tidelog pair …`: let another device in, or join one. */
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';

import { TidelogError } from '../../protocol/errors.ts';
import type { InviteJson, PendingJson } from '../http/pairing.ts';
import { formatAgo, paint, printable, table } from '../terminal.ts';
import { parseDuration, withCli, type Cli } from './command.ts';
import { qrForTerminal } from './qr.ts';

const POLL_MS = 300;
/** How often the digits of an invite that was just used are asked for. */
const DIGITS_POLLS = 10;

type NewInviteJson = InviteJson & { readonly link: string; readonly addresses: readonly string[] };

interface JoinedAnswer {
  readonly device: string;
  /** `home`: it is used where no other is named. */
  readonly space: { readonly id: string; readonly name: string; readonly home: boolean };
  readonly role: string;
  readonly digits: string;
}

export function pairCommand(program: Command): void {
  const pair = program.command('pair').description('let another device in, or join one');

  pair
    .command('invite')
    .description('print a link that lets one device in, once')
    .option('--role <role>', 'owner, writer, reader or mirror', 'writer')
    .option('--expires <duration>', 'how long the link works: 90s, 10m, 2h, 1d', '10m')
    .option('--wait', 'wait until somebody joins; what a terminal does anyway')
    .option('--no-wait', 'do not')
    .action((options: { role: string; expires: string; wait?: boolean }, command: Command) => {
      const lifeMs = parseDuration(options.expires);
      return withCli(command, (cli) => invite(cli, { role: options.role, lifeMs }, options.wait ?? cli.isTerminal));
    });

  pair
    .command('join')
    .description('join the device that a link is from; or the one at an address, where a person then approves')
    .argument('<link>', 'or - to read it from standard input: what stands here, other users of this machine can see')
    .option(
      '--merge',
      'write what this device has into the space that it joins, instead of keeping it as a second space',
    )
    .action((link: string, { merge }: { merge?: boolean }, command: Command) =>
      withCli(command, async (cli) =>
        join(cli, link === '-' ? (await text(process.stdin)).trim() : link, { merge: merge ?? false }),
      ),
    );

  pair
    .command('pending')
    .description('list devices that wait to be let in')
    .action((_options: unknown, command: Command) => withCli(command, pending));

  pair
    .command('approve')
    .description('let a waiting device in, after comparing the six digits')
    .argument('<id>', 'its ID, or the first group of it')
    .option('--role <role>', 'owner, writer, reader or mirror')
    .action((id: string, { role }: { role?: string }, command: Command) =>
      withCli(command, async (cli) => {
        const device = await findPending(cli, id);
        await cli.api.call('POST', cli.path(['v1', 'pairing', 'pending', device.id, 'approve']), { role });
        await cli.show({ id: device.id }, () => `${printable(device.name)} is in`);
      }),
    );

  pair
    .command('reject')
    .description('turn a waiting device away')
    .argument('<id>', 'its ID, or the first group of it')
    .action((id: string, _options: unknown, command: Command) =>
      withCli(command, async (cli) => {
        const device = await findPending(cli, id);
        await cli.api.call('POST', cli.path(['v1', 'pairing', 'pending', device.id, 'reject']));
        await cli.show({ id: device.id }, () => `${printable(device.name)} is turned away`);
      }),
    );
}

async function invite(cli: Cli, body: { role: string; lifeMs: number }, wait: boolean): Promise<void> {
  const made = (await cli.api.call('POST', cli.path(['v1', 'pairing', 'invites']), body)).body as NewInviteJson;
  await cli.show(made, () => (cli.isTerminal ? describeInvite(made) : made.link));
  if (cli.api.node === null) cli.warn('no node runs here, so nobody can join yet: start one with `tidelog start`.');
  if (made.addresses.every(isLoopback))
    cli.warn(
      'the link leads to this machine only, so no other one can join: start the node with `tidelog start --lan`, then invite.',
    );
  if (wait && cli.api.node !== null) await waitForJoin(cli, made.id);
}

async function waitForJoin(cli: Cli, id: string): Promise<void> {
  if (cli.isTerminal) await cli.line(paint('dim', 'Waiting for it… Ctrl-C leaves the link valid.'));
  let patience = DIGITS_POLLS;
  for (;;) {
    const state = await cli.get<InviteJson>(cli.path(['v1', 'pairing', 'invites', id]));
    // An invite is used up on disk a moment before the device is let in; a node that was restarted in between never knows the digits.
    const isBetween = state.state === 'used' && state.digits === null && patience-- > 0;
    if (state.state === 'open' || isBetween) {
      await sleep(POLL_MS);
      continue;
    }
    if (state.state === 'expired') throw new TidelogError('invite-expired');
    if (state.state === 'dead') throw new TidelogError('invite-dead');
    if (state.state === 'cancelled') throw new TidelogError('invite-unknown', 'it was cancelled');
    await cli.show(state, () => {
      const digits = state.digits === null ? '' : `\nBoth devices show these digits: ${paint('bold', state.digits)}`;
      return `${state.usedBy ?? 'a device'} joined.${digits}`;
    });
    return;
  }
}

function describeInvite({ link, expiresMs }: NewInviteJson): string {
  const expiry = `It works once, until ${new Date(expiresMs).toLocaleTimeString()}.`;
  return `${qrForTerminal(link)}\n\nScan it, or run on the other device:\n\n${paint('bold', `tidelog pair join '${link}'`)}\n\n${expiry}`;
}

function isLoopback(address: string): boolean {
  const { hostname } = new URL(address);
  return hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.');
}

/** `isLetIn`: the other side knows this device already, and shows nobody any digits. */
export async function join(
  cli: Cli,
  link: string,
  { merge, isLetIn = false }: { merge: boolean; isLetIn?: boolean },
): Promise<void> {
  const abort = new AbortController();
  process.once('SIGINT', () => abort.abort());
  for await (const { event, data } of cli.api.stream(
    'POST',
    cli.path(['v1', 'pairing', 'join']),
    { link, merge },
    abort.signal,
  )) {
    if (event === 'digits') {
      if (isLetIn) continue;
      const { digits } = data as { digits: string };
      await cli.show(data, () => `Both devices show these digits: ${paint('bold', digits)}`);
    } else if (event === 'pending') {
      cli.note('Waiting until a person there approves it, with `tidelog pair approve`…');
    } else if (event === 'joined') {
      const joined = data as JoinedAnswer;
      await cli.show(joined, () => `joined ${printable(joined.space.name)} as ${joined.role}`);
      if (joined.space.home || merge || cli.json) continue;
      cli.warn(
        `this device has a space of its own, which commands use unless told: \`tidelog --space ${joined.space.id.slice(0, 8)} ls\` ` +
          'shows the one that you joined. To make one of the two, join by another link with --merge.',
      );
    } else if (event === 'synced') {
      if (!cli.json) await cli.line('everything that it has is here');
    }
  }
  if (cli.api.node === null && !cli.json) cli.note('`tidelog start` keeps it the same here from now on.');
}

async function pending(cli: Cli): Promise<void> {
  const items = await readPending(cli);
  if (cli.isTerminal) {
    const rows = items.map((device) => [
      printable(device.name),
      paint('bold', device.digits),
      formatAgo(device.sinceMs),
      device.address ?? '',
      device.id,
    ]);
    await cli.line(rows.length === 0 ? 'Nobody waits.' : table(['device', 'digits', 'since', 'from', 'id'], rows));
    if (rows.length > 0) await cli.line('\nIf the other device shows the same digits: `tidelog pair approve ID`.');
    return;
  }
  for (const device of items)
    await cli.show(device, () => [device.id, printable(device.name), device.digits].join('\t'));
}

async function readPending(cli: Cli): Promise<PendingJson[]> {
  return (await cli.get<{ items: PendingJson[] }>(cli.path(['v1', 'pairing', 'pending']))).items;
}

async function findPending(cli: Cli, text: string): Promise<PendingJson> {
  const id = text.toUpperCase().replaceAll(/[\s-]/g, '');
  const found = (await readPending(cli)).filter((device) => {
    const whole = device.id.replaceAll('-', '');
    return id.length >= 4 && whole.startsWith(id);
  });
  if (found.length === 1) return found[0]!;
  const why =
    found.length === 0 ? 'no device waits that is called so' : `${found.length} devices wait whose ids begin so`;
  throw new TidelogError('bad-argument', `${JSON.stringify(text)}: ${why}; \`tidelog pair pending\` lists them`);
}

/** `tidelog open`: a link to the node's page, which begins a session there. */
import { spawn } from 'node:child_process';
import type { Command } from 'commander';

import { TidelogError } from '../../protocol/errors.ts';
import { counted, paint } from '../terminal.ts';
import { parseDuration, withCli, type Cli } from './command.ts';

interface OpenOptions {
  readonly browser?: boolean;
  readonly expires: string;
  readonly end?: boolean;
}

interface LinkAnswer {
  readonly path: string;
  readonly expiresMs: number;
}

export function openCommand(program: Command): void {
  program
    .command('open')
    .description("print a link to the node's page; it works once")
    .option('--browser', 'open it in the browser of this machine too')
    .option('--expires <duration>', 'how long the link works, at most 10m', '5m')
    .option('--end', 'end all sessions at the page instead')
    .action((options: OpenOptions, command: Command) => withCli(command, (cli) => open(cli, options)));
}

async function open(cli: Cli, { browser = false, expires, end = false }: OpenOptions): Promise<void> {
  const { node } = cli.api;
  if (node === null) throw new TidelogError('no-node', 'so there is no page');
  if (end) {
    const { ended } = (await cli.api.call('DELETE', '/v1/session')).body as { ended: number };
    await cli.show({ ended }, () => `${counted(ended, 'session')} ended`);
    return;
  }
  const lifeMs = parseDuration(expires);
  const { path, expiresMs } = (await cli.api.call('POST', '/v1/session/links', { lifeMs })).body as LinkAnswer;
  const link = node + path;
  await cli.show({ link, expiresMs }, () =>
    cli.isTerminal
      ? `${paint('bold', link)}\n\nIt works once, on this machine, until ${new Date(expiresMs).toLocaleTimeString()}.`
      : link,
  );
  if (browser) openBrowser(cli, link);
}

/** The link stands in the list of processes for a moment, where others of this machine may read it: so it isn't done unless asked for. */
function openBrowser(cli: Cli, link: string): void {
  const [program, ...args] =
    process.platform === 'darwin'
      ? ['open', link]
      : process.platform === 'win32'
        ? ['rundll32', 'url.dll,FileProtocolHandler', link]
        : ['xdg-open', link];
  const child = spawn(program!, args, { stdio: 'ignore', detached: true });
  child.on('error', () => cli.warn(`${program} could not be started: open the link by hand.`));
  child.unref();
}

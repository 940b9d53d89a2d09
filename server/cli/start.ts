/** `tidelog start`: runs the node until it is told to stop. */
import type { Command } from 'commander';

import { DEFAULT_PORT } from '../../protocol/constants.ts';
import { asTidelogError, TidelogError } from '../../protocol/errors.ts';
import { initDevice } from '../device.ts';
import { createLog, type LogFormat } from '../log.ts';
import { checkSettings, ConfigFile, type Config } from '../config.ts';
import type { NodeOptions, StartedNode } from '../node.ts';
import { dataDirOf, EXIT, Output } from './command.ts';

interface StartOptions {
  readonly port?: string;
  readonly host?: string;
  readonly lan?: boolean;
  readonly connect?: string[];
  readonly log?: string;
}

/** Every address of this machine. */
const LAN_HOST = '0.0.0.0';

export function startCommand(program: Command): void {
  program
    .command('start')
    .description('run the node')
    .option('--port <port>', `port to listen on (default: ${DEFAULT_PORT})`)
    .option('--host <address>', 'address to listen on (default: 127.0.0.1, this machine only)')
    .option('--lan', 'listen on the local network too')
    .option('--connect <url...>', 'nodes to stay connected with')
    .option('--log <format>', 'json or pretty (default: pretty on a terminal)')
    .action(async (options: StartOptions, command: Command) => {
      const dataDir = dataDirOf(command);
      const output = new Output(command);
      const format = logFormat(options.log, output);
      if (options.lan && options.host !== undefined)
        throw new TidelogError('bad-argument', '--lan and --host are two ways to say where to listen; give one');
      const settings = settingsOf(options);
      const { id, created } = await initDevice(dataDir);
      if (created) output.note(`There was no Tidelog data in ${dataDir}; made this device: ${id}`);
      const { logLevel } = (await ConfigFile.read(dataDir)).values;
      await run({ dataDir, log: createLog(logLevel, format, process.stdout), ...settings }, ({ url, addresses }) => {
        if (!output.isTerminal) return;
        const others = addresses().filter((address) => address !== url);
        if (others.length > 0) output.note(`Other machines reach it at ${others.join(' and ')}.`);
        output.note(`The page is at ${url}; \`tidelog open\` prints a link that lets you in.`);
      });
    });
}

async function run(options: NodeOptions, onStarted: (node: StartedNode) => void): Promise<void> {
  const { promise: signalled, resolve: stop } = Promise.withResolvers<void>();
  let asked = false;
  const onSignal = (): void => {
    // Asked twice: somebody doesn't want to wait. What was acknowledged is on disk.
    if (asked) process.exit(EXIT.FAILED);
    asked = true;
    stop();
  };
  // Before the start: who asks in the middle of it gets a node that stops as it should.
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  // Its terminal was closed.
  process.on('SIGHUP', onSignal);
  // Loaded here alone: the other commands need no server, and start the faster without it.
  const { startNode } = await import('../node.ts');
  const node = await startNode(options).catch((thrown: unknown) => {
    // A command may have the folder too, for a moment; it has no address.
    const url = thrown instanceof TidelogError && thrown.code === 'data-in-use' ? thrown.detail['url'] : null;
    if (typeof url !== 'string') throw thrown;
    throw new TidelogError('node-runs', `at ${url}`, { url }, { cause: thrown });
  });
  onStarted(node);
  await signalled;
  await node.stop();
}

/** What the options put before the settings, or add to them. Throws `bad-argument`. */
function settingsOf({ port, host, lan, connect }: StartOptions): Partial<Pick<Config, 'port' | 'host' | 'connect'>> {
  const settings = {
    ...(port !== undefined && { port: parsePort(port) }),
    ...(host !== undefined && { host }),
    ...(lan && { host: LAN_HOST }),
    ...(connect && { connect }),
  };
  try {
    return checkSettings(settings);
  } catch (thrown) {
    // What checkSettings says begins with the name of the setting, which is the option's too.
    const particular = / \((.*)\)$/s.exec(asTidelogError(thrown).message)?.[1] ?? '';
    throw new TidelogError('bad-argument', `--${particular}`, {}, { cause: thrown });
  }
}

function logFormat(text: string | undefined, output: Output): LogFormat {
  if (text === undefined) return output.isTerminal ? 'pretty' : 'json';
  if (text === 'json' || text === 'pretty') return text;
  throw new TidelogError('bad-argument', `--log is json or pretty, not ${JSON.stringify(text)}`);
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535)
    throw new TidelogError('bad-argument', `${JSON.stringify(text)} is not a port from 0 to 65535`);
  return port;
}

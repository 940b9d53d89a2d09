/** `tidelog demo`: three nodes on this machine, paired, syncing before your eyes. */
import { basename, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';

import { asTidelogError, TidelogError } from '../../protocol/errors.ts';
import { CLI } from '../demo/device.ts';
import { Household } from '../demo/household.ts';
import { jsonScreen, LiveScreen, plainScreen, type Screen } from '../demo/screen.ts';
import { tellStory } from '../demo/story.ts';
import { paint } from '../terminal.ts';
import { EXIT, Output, parseCount } from './command.ts';

interface DemoOptions {
  readonly seconds?: string;
  readonly port?: string;
}

/** For a person to read a step before the next one: so long, and so long for each character. */
const READING_MS = 800;
const READING_MS_PER_CHARACTER = 20;
const REFRESH_MS = 100;
/** The last of three ports must be one too. */
const PORT_MAX = 65_533;

export function demoCommand(program: Command): void {
  program
    .command('demo')
    .description('three nodes on this machine, paired, syncing before your eyes')
    .option('--seconds <n>', 'go on for so long after the story; a terminal goes on until Ctrl-C')
    .option('--port <port>', 'the first of three ports to listen on (default: any that are free)')
    .action(async (options: DemoOptions, command: Command) => {
      const output = new Output(command);
      const seconds = options.seconds === undefined ? null : parseCount(options.seconds);
      const port = options.port === undefined ? null : parseCount(options.port);
      if (port !== null && (port < 1 || port > PORT_MAX))
        throw new TidelogError('bad-argument', `${port} is not a port with two more above it`);
      await demo(output, port, seconds ?? (output.isTerminal ? Infinity : 0));
    });
}

async function demo(output: Output, port: number | null, seconds: number): Promise<void> {
  const aborter = new AbortController();
  const screen = screenFor(output);
  const disarm = onSignals(() => aborter.abort(new TidelogError('aborted')));
  let home: Household | null = null;
  let isTold = false;
  try {
    home = await Household.make(port, aborter);
    await tell(home, screen, output.isTerminal);
    isTold = true;
    await live(home, screen, seconds);
  } catch (thrown) {
    const error = aborter.signal.aborted ? asTidelogError(aborter.signal.reason) : thrown;
    // To be stopped is how a demo that has told its story ends.
    if (!isTold || asTidelogError(error).code !== 'aborted') throw error;
  } finally {
    await home?.close();
    screen.close();
    disarm();
    if (home) {
      const says = `The three nodes are stopped, and ${home.folder} is removed.`;
      screen.step({ step: 'ended', says, facts: { removed: home.folder } }, []);
    }
  }
}

function screenFor(output: Output): Screen {
  if (output.json) return jsonScreen(process.stdout);
  return output.isTerminal ? new LiveScreen(process.stdout) : plainScreen(process.stdout);
}

/** Returns what takes the handlers off again. */
function onSignals(stop: () => void): () => void {
  let asked = false;
  const onSignal = (): void => {
    // Asked twice: somebody doesn't want to wait. The nodes see that the demo is gone, and clean up.
    if (asked) process.exit(EXIT.FAILED);
    asked = true;
    stop();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  return () => {
    for (const signal of signals) process.off(signal, onSignal);
  };
}

async function tell(home: Household, screen: Screen, isRead: boolean): Promise<void> {
  for await (const step of tellStory(home)) {
    screen.step(step, await home.rows());
    if (isRead) await watch(home, screen, READING_MS + step.says.length * READING_MS_PER_CHARACTER);
  }
}

/** How to open the nodes, and time to do it. */
async function live(home: Household, screen: Screen, seconds: number): Promise<void> {
  const nodes = home.devices.map(({ name, url, token, dataDir }) => {
    return { name, url, token, data: dataDir, command: commandLine(dataDir) };
  });
  const says =
    seconds > 0
      ? 'These are the nodes. Write on one of them, from another terminal, and see it arrive on the others:'
      : 'On a terminal, or with --seconds 60, the nodes go on from here, and you can write on them yourself.';
  screen.step({ step: 'open', says, facts: { nodes } }, await home.rows());
  const [first] = nodes;
  const lines = nodes.flatMap(({ name, url, token, command }) => [
    `  ${paint('bold', name.padEnd(6))}  ${url}  ${paint('dim', 'token')} ${token}`,
    `          ${command} ls`,
  ]);
  const examples = [
    `  ${first!.command} set note/hello text=Hi`,
    `  curl -H 'Authorization: Bearer ${first!.token}' ${first!.url}/v1/resources/note%2Fholiday`,
  ];
  // Of use only while they run.
  if (seconds === 0) return;
  screen.text([...lines, '', 'For example:', ...examples].join('\n'));
  const end =
    seconds === Infinity ? 'Ctrl-C stops the nodes and removes' : `After ${seconds} s this ends by itself and removes`;
  screen.text(paint('dim', `${end} all that they wrote.`));
  await watch(home, screen, seconds * 1000);
}

/** Keeps the table up to date for so long. Throws why the demo is to end. */
async function watch(home: Household, screen: Screen, ms: number): Promise<void> {
  const until = performance.now() + ms;
  while (performance.now() < until) {
    home.signal.throwIfAborted();
    screen.rows(await home.rows());
    await sleep(Math.min(REFRESH_MS, Math.max(0, until - performance.now())));
  }
}

/** How this very program is called, with the data folder of a device. */
function commandLine(dataDir: string): string {
  return `${program()} --data ${dataDir}`;
}

function program(): string {
  // What npm runs, by `npm run demo` or by `npx`, `npx` finds again from the same folder.
  if (process.env['npm_lifecycle_event'] !== undefined) return 'npx tidelog';
  if (basename(process.argv[1] ?? '') === 'tidelog') return 'tidelog';
  return `node ${relative(process.cwd(), CLI)}`;
}

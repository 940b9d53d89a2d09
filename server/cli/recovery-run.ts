/** What `tidelog recovery …` does at this end: asks, shows, and says what is to be done with the paper. The key at work is client/recovery.ts. */
import { setTimeout as sleep } from 'node:timers/promises';
import { confirm, isCancel } from '@clack/prompts';
import type { Command } from 'commander';

import { nodePlatform } from '../../client/platform/node.ts';
import { RecoveryLine } from '../../client/recovery.ts';
import { wordsOf } from '../../client/recovery-words.ts';
import { spacesCalled } from '../../client/spaces-called.ts';
import type { DeviceView } from '../../client/status.ts';
import { formatDeviceId, parseDeviceId } from '../../protocol/device-id.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { syncUrl } from '../../protocol/pair-link.ts';
import { isDataDir } from '../data-dir.ts';
import type { StatusJson } from '../http/status.ts';
import { noteRecoveryMade, noteRecoveryTried } from '../recovery-notes.ts';
import { printable } from '../terminal.ts';
import { apiPath } from './api.ts';
import { dataDirOf, shortId, withCli, type Cli } from './command.ts';
import { join } from './pair.ts';
import { askForKey, describePaper } from './recovery-paper.ts';

/** How long another device is waited for that may hear of a new key. */
const HEARD_POLLS = 10;
const HEARD_POLL_MS = 300;

const NO_ARGUMENTS =
  'the words are asked for and are no arguments: those stay in the history of the shell and are seen in the list of processes. If they were the right ones, make a new key';

export interface UseOptions {
  readonly from?: string;
  readonly device?: string;
  readonly name?: string;
  readonly yes?: boolean;
}

type Keys = Awaited<ReturnType<typeof askForKey>>;

/** Asks before anything is opened: whoever types 24 words keeps no folder locked. */
async function withKey(command: Command, run: (cli: Cli, keys: Keys) => Promise<void>): Promise<void> {
  // Commander would repeat them.
  if (command.args.length > 0) throw new TidelogError('bad-argument', NO_ARGUMENTS);
  const dataDir = dataDirOf(command);
  if (!(await isDataDir(dataDir))) throw new TidelogError('data-missing', dataDir);
  const keys = await askForKey();
  await withCli(command, (cli) => run(cli, keys));
}

// ---- create

export function create(command: Command, name: string | undefined): Promise<void> {
  return withCli(command, (cli) => createKey(cli, name));
}

async function createKey(cli: Cli, given: string | undefined): Promise<void> {
  const { crypto, random } = nodePlatform();
  const seed = random(32);
  const id = formatDeviceId(crypto.ed25519KeyPair(seed).public);
  const name = given ?? `recovery ${new Date().toISOString().slice(0, 10)}`;
  const body = { id, name, role: 'owner', recovery: true };
  // The secret stays in this process. Printed only when the log has the key: words that open nothing would be worse than none.
  const added = (await cli.api.call('POST', cli.path(['v1', 'devices']), body)).body as {
    space: { id: string; name: string };
  };
  const paper = { id, name, space: added.space, words: wordsOf(seed) };
  await cli.show(paper, () => describePaper(paper, cli.isTerminal));
  await noteRecoveryMade(cli.dataDir, id, Date.now());
  const heard = await whoHeard(cli);
  if (heard.length > 0) cli.note(`\n${heard.map(printable).join(', ')} has heard of it.`);
  else
    cli.warn(
      'no other device has heard of this key yet, and the words work only on one that has. Keep the node running until then.',
    );
}

/** Other devices that have all that is here, and so the key. */
async function whoHeard(cli: Cli): Promise<string[]> {
  for (let poll = 0; ; poll++) {
    const others = (await devicesOf(cli)).filter(({ self, connected }) => connected && !self);
    const heard = others.filter(({ behind }) => behind === 0).map(({ name, id }) => name || shortId(id));
    if (heard.length > 0 || others.length === 0 || poll === HEARD_POLLS) return heard;
    await sleep(HEARD_POLL_MS);
  }
}

async function devicesOf(cli: Cli): Promise<DeviceView[]> {
  return (await cli.get<{ items: DeviceView[] }>(cli.path(['v1', 'devices']))).items;
}

// ---- check

export function check(command: Command): Promise<void> {
  return withKey(command, checkKey);
}

async function checkKey(cli: Cli, keys: Keys): Promise<void> {
  const id = formatDeviceId(keys.public);
  const { spaces } = await cli.get<StatusJson>(apiPath(['v1', 'status']));
  const wanted = cli.space === undefined ? spaces : spacesCalled(spaces, cli.space, (space) => space.id);
  if (wanted.length === 0) throw new TidelogError('unknown-space', cli.space ?? 'there is none here');
  let why = `${shortId(id)} is no member of ${wanted.map(({ name }) => name).join(', ')}: the words are of another space, or this copy is older than they`;
  for (const space of wanted) {
    const { items } = await cli.get<{ items: DeviceView[] }>(apiPath(['v1', 'devices'], { space: space.id }));
    const member = items.find((device) => device.id === id);
    if (!member) continue;
    if (member.role === 'owner') {
      await noteRecoveryTried(cli.dataDir, id, Date.now());
      const found = { id, name: member.name, role: member.role, space: { id: space.id, name: space.name } };
      await cli.show(
        found,
        () => `These words are an owner of ${printable(space.name)}: ${printable(member.name)}, ${id}`,
      );
      return;
    }
    why = member.revoked ? `it was revoked in ${space.name}` : `its role in ${space.name} is ${member.role}`;
  }
  throw new TidelogError('recovery-refused', why);
}

// ---- use

export async function use(command: Command, options: UseOptions): Promise<void> {
  if (options.device !== undefined) parseDeviceId(options.device);
  if (options.from !== undefined) syncUrl(options.from);
  await withKey(command, (cli, keys) => useKey(cli, keys, options));
}

async function useKey(cli: Cli, keys: Keys, { from, device: given, name: givenName, yes }: UseOptions): Promise<void> {
  const status = await cli.get<StatusJson>(apiPath(['v1', 'status']));
  const device = given === undefined ? status.device.id : formatDeviceId(parseDeviceId(given));
  const isSelf = device === status.device.id;
  const name = givenName ?? (isSelf ? status.device.name : '');
  const platform = nodePlatform();
  const line = await RecoveryLine.open({
    platform: from === undefined ? { ...platform, dial: () => cli.api.line() } : platform,
    keys,
    url: from ?? cli.api.node ?? 'http://localhost',
    space: cli.space,
  });
  try {
    const { node, space } = line;
    const what = `${printable(name) || shortId(device)} an owner of ${printable(space.name)}`;
    const isAsked = process.stdin.isTTY && !yes;
    if (isAsked && !(await isSure(`Make ${what}, the space ${space.hex}, at the node ${shortId(node)}?`)))
      throw new TidelogError('aborted');
    const admitted = await line.admit(parseDeviceId(device), name);
    const done = {
      device,
      admitted,
      node,
      key: formatDeviceId(keys.public),
      space: { id: space.hex, name: space.name },
    };
    await cli.show(done, () => (admitted ? `made ${what}` : `${shortId(device)} is an owner already`));
  } finally {
    await line.close();
  }
  if (from !== undefined && !isSelf && !cli.json) cli.note(`On that device: tidelog pair join ${from}`);
  cli.warn(
    `the words were typed into a computer, and may have been read there. Make a new key, put it on paper, and shut this one out:
  tidelog recovery create
  tidelog devices revoke ${shortId(formatDeviceId(keys.public))}`,
  );
  // It is a member by now, and nobody is asked.
  if (from !== undefined && isSelf) await join(cli, from, { merge: false, isLetIn: true });
}

async function isSure(message: string): Promise<boolean> {
  const answer = await confirm({ message, output: process.stderr });
  return !isCancel(answer) && answer;
}

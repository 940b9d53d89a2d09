/** `tidelog backup`: makes a copy of everything that this device holds, says whether a copy is good, and makes a device of one. */
import { resolve } from 'node:path';
import type { Command } from 'commander';

import { nodePlatform } from '../../client/platform/node.ts';
import { oneCalled } from '../../client/spaces-called.ts';
import { TidelogError } from '../../protocol/errors.ts';
import type { Created, SpaceCreated } from '../backup-create.ts';
import type { Restored } from '../backup-restore.ts';
import type { BackupNote, BackupReport, VerifiedSpace } from '../backup-verify.ts';
import { ConfigFile } from '../config.ts';
import { readDataDir } from '../data-dir.ts';
import type { BackupSubject } from '../http/log.ts';
import { counted, formatBytes, formatTime, paint, printable } from '../terminal.ts';
import { noteBackupVerified } from '../verified.ts';
import { apiPath } from './api.ts';
import { dataDirOf, EXIT, Output, shortId, spaceOf, withCli, type Cli } from './command.ts';
import { Progress } from './progress.ts';

export function backupCommand(program: Command): void {
  const backup = program.command('backup').description('copy everything, prove a copy good, and restore one');

  backup
    .command('create')
    .description('make a backup in a folder, or add what came since to the one that is there')
    .argument('<dir>')
    .option('--with-key', "store this device's key too: whoever reads the folder can then write as this device")
    .action((dir: string, options: { withKey?: boolean }, command: Command) =>
      withCli(command, (cli) => create(cli, folderOf(dir), options.withKey ?? false)),
    );

  backup
    .command('verify')
    .description('check every hash, link and signature of a backup, and say until when it is good')
    .argument('<dir>')
    .action((dir: string, _options: unknown, command: Command) => verify(folderOf(dir), command));

  backup
    .command('restore')
    .description('make a new data folder of a backup: the one that --data names')
    .argument('<dir>')
    .action((dir: string, _options: unknown, command: Command) => restore(folderOf(dir), command));
}

function folderOf(dir: string): string {
  if (dir === '') throw new TidelogError('bad-argument', 'the folder of the backup is empty');
  return resolve(dir);
}

// ---- create

async function create(cli: Cli, dir: string, withKey: boolean): Promise<void> {
  const { given } = await ConfigFile.read(cli.dataDir);
  const subject = await cli.get<BackupSubject>(apiPath(['v1', 'backup']));
  const names = new Map(subject.spaces.map(({ id, name }) => [id, name]));
  if (subject.spaces.length === 0)
    cli.warn('there is no space yet, so the backup holds nothing but who this device is; the first write makes one');
  const progress = new Progress();
  // Loaded where they are needed: every other command starts the faster without them.
  const { createBackup } = await import('../backup-create.ts');
  let created: Created;
  try {
    created = await createBackup(
      dir,
      {
        subject: () => Promise.resolve(subject),
        log: (space, after) => {
          const query = after ? { after: after.cursor, id: after.id } : {};
          return cli.api.bytes(apiPath(['v1', 'log'], { space, ...query }));
        },
        settings: given,
        seed: withKey ? (await readDataDir(cli.dataDir)).seed : null,
      },
      {
        only: onlySpace(cli, subject),
        onProgress: (space, done, total) => progress.show(names.get(space) ?? space.slice(0, 8), done, total),
      },
    );
  } finally {
    progress.end();
  }
  const { backup, spaces } = created;
  if (backup.withKey)
    cli.warn(
      `${dir} holds the key of this device: whoever reads it can write as this device. Keep it as you keep the key.`,
    );
  const bytes = backup.spaces.flatMap(({ segments }) => segments).reduce((sum, segment) => sum + segment.bytes, 0);
  await cli.show({ dir, withKey: backup.withKey, createdMs: backup.createdMs, bytes, spaces }, () =>
    [...spaces.map(describeCreated), `${dir}: ${formatBytes(bytes)}; \`tidelog backup verify\` proves it good`].join(
      '\n',
    ),
  );
}

function onlySpace({ space: name }: Cli, { spaces }: BackupSubject): string | undefined {
  return name === undefined ? undefined : oneCalled(spaces, name, ({ id }) => id).id;
}

function describeCreated({ name, head, added, bytes, isWhole }: SpaceCreated): string {
  const what = isWhole
    ? `${counted(head, 'commit')}, whole`
    : added > 0
      ? `${counted(added, 'new commit')}, ${head.toLocaleString('en')} in all`
      : `nothing new, ${counted(head, 'commit')}`;
  return `${printable(name)}: ${what}${bytes > 0 ? `, ${formatBytes(bytes)} written` : ''}`;
}

// ---- verify

async function verify(dir: string, command: Command): Promise<void> {
  const output = new Output(command);
  const progress = new Progress();
  const { verifyBackup } = await import('../backup-verify.ts');
  let report: BackupReport;
  try {
    report = await verifyBackup(dir, {
      platform: nodePlatform(),
      only: spaceOf(command),
      onProgress: (space, done, total) => progress.show(space, done, total),
    });
  } finally {
    progress.end();
  }
  await noteBackupVerified(dataDirOf(command), report, { isWhole: spaceOf(command) === undefined });
  await output.show(report, () => describeReport(report));
  if (!report.ok) process.exitCode = EXIT.FAILED;
}

function describeReport(report: BackupReport): string {
  const { dir, device, createdMs, withKey, ok, spaces, findings, notes } = report;
  const lines = [
    `${dir}: backup of ${printable(device.name)} ${shortId(device.id)}, made ${formatTime(createdMs * 1000)}${withKey ? ', with its key' : ''}`,
  ];
  for (const space of spaces) lines.push(...describeSpace(space));
  for (const finding of findings) lines.push(describeNote('red', finding));
  for (const note of notes) lines.push(describeNote('yellow', note));
  lines.push(
    ok
      ? paint('green', 'It can be restored.')
      : `${paint('red', 'It cannot be restored as it is.')} Use another backup, or take what is good with \`tidelog import --log FILE\`; \`tidelog backup create\` in a new folder makes a good one.`,
  );
  return lines.join('\n');
}

function describeSpace({
  name,
  head,
  good,
  devices,
  fromUs,
  untilUs,
  findings,
  notes,
  commits,
}: VerifiedSpace): string[] {
  const lines = [
    `${printable(name)}: ${good === head ? counted(commits, 'commit') : `${good} of ${head} entries good`} by ${counted(devices.length, 'device')}, ` +
      (untilUs === null ? 'empty' : `from ${formatTime(fromUs!)}, good until ${formatTime(untilUs)}`),
  ];
  for (const finding of findings) lines.push(`  ${describeNote('red', finding)}`);
  for (const note of notes) lines.push(`  ${describeNote('yellow', note)}`);
  return lines;
}

function describeNote(colour: 'red' | 'yellow', { code, says, file, offset }: BackupNote): string {
  const where = offset === null || says.startsWith('at byte') ? file : `${file}, byte ${offset}`;
  return `${paint(colour, colour === 'red' ? 'wrong:' : 'note:')} ${printable(where)}: ${printable(says)} [${code}]`;
}

// ---- restore

async function restore(dir: string, command: Command): Promise<void> {
  const output = new Output(command);
  const progress = new Progress();
  const { restoreBackup } = await import('../backup-restore.ts');
  let restored: Restored;
  try {
    restored = await restoreBackup(dir, dataDirOf(command), {
      onProgress: (space, done, total) => progress.show(space, done, total),
    });
  } finally {
    progress.end();
  }
  await output.show(restored, () => describeRestored(restored));
}

function describeRestored({ dataDir, device, isSameDevice, spaces }: Restored): string {
  const lines = spaces.map(({ name, head }) => `${printable(name)}: ${counted(head, 'commit')} restored`);
  lines.push(`${dataDir} is ${printable(device.name)} ${device.id}`);
  if (isSameDevice) {
    lines.push(
      'It is the same device as before: make sure that the older one runs nowhere any more. The others carry on with it.',
    );
  } else {
    const owners = [
      ...new Set(spaces.flatMap((space) => space.owners.map(({ id, name }) => `${name || 'device'} ${shortId(id)}`))),
    ];
    lines.push(
      'It is a new device, because the backup has no key: it can read, and an owner has to let it in before it writes and syncs.',
      `On an owner (${owners.map(printable).join(', ')}): tidelog devices add ${device.id} --name ${JSON.stringify(device.name)}`,
      `If none is left, by the words of a recovery key: tidelog recovery use --data ${dataDir}`,
    );
  }
  lines.push(`Then: tidelog start --data ${dataDir}`);
  return lines.join('\n');
}

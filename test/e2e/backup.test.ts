/** Backups by the command line, with real nodes: the peers carry on with what was restored, and no kill leaves half of anything. */
import { randomInt } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { once } from 'node:events';
import { describe, expect, test, vi } from 'vitest';

import type { BackupReport } from '../../server/backup-verify.ts';
import type { StatusJson } from '../../server/http/status.ts';
import type { LogReport } from '../../server/verifier.ts';
import { eventually, failure, newLab, type Device } from './support.ts';

const lab = newLab();
/** Each command is a process, and takes its time where others use the machine. */
vi.setConfig({ testTimeout: 300_000 });

async function status(device: Device): Promise<StatusJson> {
  return (await (await device.request('GET', '/v1/status')).json()) as StatusJson;
}

async function same(one: Device, other: Device): Promise<void> {
  await eventually(
    async () => (await one.head()) === (await other.head()),
    `${one.name} and ${other.name} have the same`,
  );
  expect(await one.export()).toBe(await other.export());
}

async function writeMany(device: Device, count: number, name: string): Promise<void> {
  for (let n = 0; n < count; n++) await device.set(`${name}/${n}`, { n });
}

describe('a device that is lost and restored', () => {
  test('with its key: the peers carry on, what came after the backup comes back from them, and nothing forks', async () => {
    const [laptop, phone] = await Promise.all([lab.start('laptop'), lab.start('phone')]);
    await phone.join(laptop);
    await writeMany(laptop, 10, 'before');
    await same(laptop, phone);
    const dir = join(await lab.folder(), 'backup');
    // While the node runs, and the device's key by name.
    await laptop.run('backup', 'create', dir, '--with-key');
    await writeMany(laptop, 5, 'after the backup');
    await phone.set('phone/1', { by: 'phone' });
    await same(laptop, phone);

    await laptop.kill('SIGKILL');
    await rm(laptop.dataDir, { recursive: true });
    const printed = await laptop.run('backup', 'restore', dir);
    expect(printed).toContain('the same device as before');
    // What verifies says so, and the node that has the folder knows it afterwards.
    await laptop.run('backup', 'verify', dir);
    await laptop.start();
    expect((await status(laptop)).lastProvenRestorable).toMatchObject({ dir });
    await same(laptop, phone);
    expect(await laptop.read('after the backup/4')).toEqual({ n: 4 });

    await writeMany(laptop, 3, 'after the restore');
    await phone.set('phone/2', { by: 'phone' });
    await same(laptop, phone);
    expect(await phone.read('after the restore/2')).toEqual({ n: 2 });
    for (const device of [laptop, phone]) {
      expect((await status(device)).warnings.filter((text) => !text.includes('its one owner'))).toEqual([]);
      const [report] = await device.json<LogReport>('verify');
      expect(report).toMatchObject({ ok: true, spaces: [{ findings: [], notes: [] }] });
    }
    // One device, two chains: before and after.
    const [report] = await laptop.json<LogReport>('verify');
    expect(report!.spaces[0]!.devices).toHaveLength(2);
    // The backup goes on with the restored log, whole, because it is another.
    const [again] = await laptop.json<{ spaces: unknown[] }>('backup', 'create', dir);
    expect(again!.spaces).toMatchObject([{ isWhole: true }]);
    const [verified] = await laptop.json<BackupReport>('backup', 'verify', dir);
    expect(verified).toMatchObject({ ok: true, withKey: true });
  });

  test('without its key: it reads, and an owner lets it in; then it writes and syncs', async () => {
    const [laptop, phone] = await Promise.all([lab.start('laptop'), lab.start('phone')]);
    await phone.join(laptop);
    await writeMany(phone, 5, 'by phone');
    await same(laptop, phone);
    const dir = join(await lab.folder(), 'backup');
    await phone.run('backup', 'create', dir);
    const tablet = await lab.device('tablet');
    await rm(tablet.dataDir, { recursive: true });
    const printed = await tablet.run('backup', 'restore', dir);
    expect(printed).toMatch(/It is a new device/);
    const command = /tidelog (devices add \S+)/.exec(printed)![1]!;
    expect((await tablet.run('get', 'by phone/3')).trim()).toBe('n=3');
    expect(failure(await tablet.try('set', 'x', 'v=1', '--json'))).toMatchObject({ exit: 1, code: 'not-a-member' });
    await laptop.run(...command.split(' '), '--role', 'writer');
    // It knows from the backup where the others are.
    await tablet.start();
    await same(laptop, tablet);
    await tablet.set('by tablet', { v: 1 });
    await same(laptop, tablet);
    await same(phone, tablet);
    expect(await phone.read('by tablet')).toEqual({ v: 1 });
  });
});

describe('kill -9', () => {
  test('of `backup create`, at any time and again and again: what is named is whole, and the next run goes on', async () => {
    const laptop = await lab.start('laptop');
    const dir = join(await lab.folder(), 'backup');
    const file = join(await lab.folder(), 'lines');
    const story: string[] = [];
    let midway = 0;
    // Each kill comes some ms after a name was seen: while a file is written, between it and its name, before the list names it.
    for (const name of [/\.part$/, /\.part$/, /\.part$/, /\.log$/, /\.log$/, /^backup\.json\.new$/, /^backup\.json$/]) {
      const round = story.length;
      const lines = Array.from({ length: 2000 }, (_, n) => {
        return JSON.stringify({
          changes: [{ subject: `note/${n % 999}`, set: { n, round, text: 'x'.repeat(n % 200) } }],
        });
      });
      await writeFile(file, lines.join('\n'));
      await laptop.run('import', file);
      const before = new Set(await readdir(dir).catch((): string[] => []));
      const child = lab.spawn(['backup', 'create', dir, '--data', laptop.dataDir]);
      const exited = once(child, 'exit');
      const isSeen = (): boolean =>
        (existsSync(dir) ? readdirSync(dir) : []).some((each) => name.test(each) && !before.has(each));
      while (child.exitCode === null && !isSeen()) await new Promise((resolve) => setImmediate(resolve));
      const delayMs = randomInt(0, 12);
      await sleep(delayMs);
      const wasRunning = child.exitCode === null && child.kill('SIGKILL');
      await exited;
      const after = await readdir(dir);
      story.push(`${name.source} ${delayMs} ms: ${after.join(' ')}`);
      if (wasRunning && after.some((each) => /\.(part|new|lock)$/.test(each))) midway++;
      if (!after.includes('backup.json')) continue;
      const [report] = await laptop.json<BackupReport>('backup', 'verify', dir);
      expect(report!.ok, story.join('\n')).toBe(true);
    }
    await laptop.run('backup', 'create', dir);
    const [report] = await laptop.json<BackupReport>('backup', 'verify', dir);
    expect(report, story.join('\n')).toMatchObject({ ok: true, notes: [], spaces: [{ good: await laptop.head() }] });
    expect(midway, story.join('\n')).toBeGreaterThan(0);
    expect((await readdir(dir)).filter((each) => !/\.log$|^backup\.json$/.test(each))).toEqual([]);

    // And of a restore: there is no folder before there is a whole one.
    const tablet = await lab.device('tablet');
    await rm(tablet.dataDir, { recursive: true });
    for (const delayMs of [300, 450, 600, 800]) {
      const child = lab.spawn(['backup', 'restore', dir, '--data', tablet.dataDir]);
      const exited = once(child, 'exit');
      await Promise.race([exited, sleep(delayMs)]);
      child.kill('SIGKILL');
      await exited;
      if (child.exitCode === 0) break;
      expect(await stat(tablet.dataDir).catch(() => null)).toBeNull();
    }
    if ((await stat(tablet.dataDir).catch(() => null)) === null) await tablet.run('backup', 'restore', dir);
    expect(await tablet.run('export')).toBe(await laptop.run('export'));
    expect(await readdir(dirname(tablet.dataDir))).toContain('tablet');
  });
});

describe('a log in a file', () => {
  test('goes from one device to another that it never meets, and only what is new is taken', async () => {
    const [laptop, phone] = await Promise.all([lab.start('laptop'), lab.start('phone')]);
    await phone.join(laptop);
    await writeMany(laptop, 5, 'together');
    await same(laptop, phone);
    await phone.kill('SIGTERM');
    await writeMany(laptop, 3, 'apart');
    const file = join(await lab.folder(), 'log');
    await laptop.run('export', '--log', file);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const head = await laptop.head();
    // With a node and without one, from a file and from standard input.
    const [taken] = await phone.json('import', '--log', file);
    expect(taken).toMatchObject({ added: 3, known: head - 3 });
    expect(await phone.run('import', '--log', file)).toMatch(/nothing new/);
    expect(await phone.run('export')).toBe(await laptop.run('export'));
    await phone.start();
    const [again] = await phone.json('import', '--log', file);
    expect(again).toMatchObject({ added: 0, known: head });
    await same(laptop, phone);
  });

  test('of a space that is not here makes a copy to read; a bad one is taken up to where it is bad', async () => {
    const laptop = await lab.start('laptop');
    await writeMany(laptop, 30, 'note');
    const file = join(await lab.folder(), 'log');
    await laptop.run('export', '--log', file);
    const bytes = await readFile(file);
    const stranger = await lab.device('stranger');
    await writeFile(file, bytes.subarray(0, bytes.length - 10));
    const cut = failure(await stranger.try('import', '--log', file, '--json'));
    expect(cut).toMatchObject({
      exit: 1,
      code: 'bad-copy',
      message: expect.stringMatching(/cut off.*31 new commits before it were taken/),
    });
    expect((await stranger.run('get', 'note/29')).trim()).toBe('n=29');
    const other = await lab.device('other');
    const flipped = Buffer.from(bytes);
    flipped[bytes.length >> 1]! ^= 1;
    await writeFile(file, flipped);
    expect(failure(await other.try('import', '--log', file, '--json'))).toMatchObject({
      code: 'bad-copy',
      message: expect.stringMatching(/at byte 92.*0 new commits/),
    });
    expect((await other.json<StatusJson>('status'))[0]!.spaces).toEqual([]);
    await writeFile(file, 'a note about something else');
    expect(failure(await other.try('import', '--log', file, '--json'))).toMatchObject({
      code: 'bad-copy',
      message: expect.stringMatching(/no copy of a log/),
    });
  });

  test('and what is misused is told', async () => {
    const laptop = await lab.device('laptop');
    for (const args of [
      ['import'],
      ['import', 'x', '--log', 'y'],
      ['import', '--log', '/nowhere/log'],
      ['export', 'note/', '--log', 'y'],
      ['backup', 'verify', '/nowhere/backup'],
      ['backup', 'restore', '/nowhere/backup'],
      ['backup', 'create', ''],
    ])
      expect(failure(await laptop.try(...args, '--json')), args.join(' ')).toMatchObject({
        exit: 2,
        code: 'bad-argument',
      });
    expect(failure(await laptop.try('export', '--log', '-', '--json'))).toMatchObject({
      exit: 1,
      code: 'unknown-space',
    });
  });
});

describe('by the clock', () => {
  test('the log and a backup are verified, and status and metrics say so; damage is told', async () => {
    const laptop = await lab.start('laptop');
    await writeMany(laptop, 20, 'note');
    const dir = join(await lab.folder(), 'backup');
    await laptop.run('backup', 'create', dir);
    expect(await status(laptop)).toMatchObject({ lastVerified: null, lastProvenRestorable: null });
    await laptop.request('PATCH', '/v1/config', { verifyEvery: '1s', backupDir: dir });
    await laptop.kill('SIGTERM');
    await laptop.start();
    await eventually(async () => (await status(laptop)).lastProvenRestorable !== null, 'the backup is proven', 60_000);
    const proven = (await status(laptop)).lastProvenRestorable!;
    expect(proven).toMatchObject({ dir, untilMs: expect.any(Number) });
    expect((await status(laptop)).lastVerified).toMatchObject({ ok: true, findings: 0 });
    expect(await laptop.metric('tidelog_verified_findings')).toBe(0);
    expect(await laptop.metric('tidelog_backup_good_until_timestamp_seconds')).toBe(proven.untilMs! / 1000);

    const name = (await readdir(dir)).find((each) => each.endsWith('.log'));
    const bytes = await readFile(join(dir, name!));
    bytes[bytes.length >> 1]! ^= 1;
    await writeFile(join(dir, name!), bytes);
    await eventually(async () => (await status(laptop)).warnings.length > 0, 'the damage is told', 60_000);
    const { warnings, lastProvenRestorable } = await status(laptop);
    expect(warnings).toEqual([expect.stringMatching(/The backup in .* is not good: .*\.log: at byte 92/)]);
    // What was once proven stays known.
    expect(lastProvenRestorable).toMatchObject({ dir });
    expect(await laptop.metric('tidelog_backup_findings')).toBe(1);
    const ran = await laptop.try('backup', 'verify', dir);
    expect(ran).toMatchObject({ code: 1, stdout: expect.stringMatching(/wrong: .*\.log.*cannot be restored/s) });
    expect(await laptop.kill('SIGTERM')).toBe(0);
  });
});

/** The command line as a person or a script has it: real processes, real folders. */
import { rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { afterAll, describe, expect, test } from 'vitest';

import { initDevice } from '../../server/device.ts';
import { startTidelog, tidelog, type Outcome, type RunningCommand } from '../support/cli.ts';
import { temporaryFolder } from '../support/node.ts';

const folders: string[] = [];
const running: RunningCommand[] = [];
afterAll(async () => {
  for (const command of running) await command.end('SIGKILL');
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

async function folder(): Promise<string> {
  const made = await temporaryFolder();
  folders.push(made);
  return made;
}

/** A folder with a device in it. */
async function initialised(name = 'laptop'): Promise<string> {
  const dir = await folder();
  await initDevice(dir, name);
  return dir;
}

async function startNode(dir: string, ...args: string[]): Promise<{ url: string; command: RunningCommand }> {
  const command = startTidelog(dir, ['start', '--port', '0', ...args]);
  running.push(command);
  const { url } = JSON.parse(await command.line(/"started"/)) as { url: string };
  return { url, command };
}

/** What a command prints, which must succeed and say nothing on standard error. */
async function output(dir: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await tidelog(dir, args);
  expect([code, stderr], args.join(' ')).toEqual([0, '']);
  return stdout;
}

async function objects(dir: string, ...args: string[]): Promise<Record<string, unknown>[]> {
  const text = await output(dir, ...args, '--json');
  return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Record<string, unknown>]));
}

function errorOf({ code, stdout, stderr }: Outcome): unknown[] {
  expect(stdout).toBe('');
  return [code, /\[([a-z-]+)\]\n$/.exec(stderr)?.[1] ?? stderr];
}

describe.concurrent('the command line', () => {
  test('the same with a node, which the commands find by themselves', async () => {
    const dir = await initialised();
    const { url, command } = await startNode(dir);
    await output(dir, 'set', 'note/1', 'title=Milk');
    expect(await objects(dir, 'get', 'note/1')).toEqual([{ title: 'Milk' }]);
    expect(await objects(dir, 'status')).toMatchObject([
      { node: { running: true, url }, spaces: [{ name: 'home', subjects: 1 }] },
    ]);
    const following = startTidelog(dir, ['log', '--follow', '--subject', 'note/2', '--json']);
    running.push(following);
    await output(dir, 'set', 'note/2', 'title=Bread');
    expect(JSON.parse(await following.line(/note\/2/))).toMatchObject({
      changes: [{ subject: 'note/2', set: { title: 'Bread' } }],
    });
    expect(await following.end('SIGINT')).toBe(0);
    expect(await command.end('SIGTERM')).toBe(0);
    expect(await objects(dir, 'get', 'note/2')).toEqual([{ title: 'Bread' }]);
  });

  test('commands at the same time without a node wait for each other', async () => {
    const dir = await initialised();
    const names = ['a', 'b', 'c', 'd'];
    await Promise.all(names.map((name) => output(dir, 'set', name, 'v=1')));
    expect(await output(dir, 'ls')).toBe('a\nb\nc\nd\n');
  });

  test('start makes a device where there is none, and says so', async () => {
    const dir = join(await folder(), 'new');
    const { command } = await startNode(dir);
    await command.line(/There was no Tidelog data/);
    expect(await command.end('SIGINT')).toBe(0);
  });

  test('pairing by a link: digits on both sides, and what is there arrives', async () => {
    const [laptop, phone] = [await initialised(), await initialised('phone')];
    await output(laptop, 'set', 'a', 'v=1');
    await startNode(laptop);
    const inviting = startTidelog(laptop, ['pair', 'invite', '--wait']);
    running.push(inviting);
    await inviting.line(/this machine only/);
    const link = await inviting.line(/#pair=/);
    const joined = await tidelog(phone, ['pair', 'join', link]);
    expect([joined.code, joined.stderr]).toEqual([0, '`tidelog start` keeps it the same here from now on.\n']);
    const digits = /these digits: (.*)/.exec(joined.stdout)?.[1];
    expect(digits).toMatch(/^\d{3} ?\d{3}$/);
    expect(await inviting.line(/these digits/)).toContain(digits);
    expect(await output(phone, 'get', 'a')).toBe('v=1\n');
    const devices = await objects(laptop, 'devices');
    expect(devices).toMatchObject([
      { name: 'laptop', self: true },
      { name: 'phone', role: 'writer' },
    ]);

    await output(laptop, 'devices', 'rename', 'phone', 'telephone');
    await output(laptop, 'devices', 'role', String(devices[1]!['id']).slice(0, 7), 'reader');
    expect(await output(laptop, 'devices')).toContain('telephone\treader\t');
    await output(laptop, 'devices', 'revoke', 'telephone');
    expect((await objects(laptop, 'devices'))[1]).toMatchObject({ revoked: true });
  });

  test('a port in use, and a folder in use', async () => {
    const dir = await initialised();
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as AddressInfo;
    expect(errorOf(await tidelog(dir, ['start', '--port', String(port)]))).toEqual([1, 'port-in-use']);
    taken.close();
    await startNode(dir);
    expect(errorOf(await tidelog(dir, ['start', '--port', '0']))).toEqual([1, 'node-runs']);
  });

  test('a node that was killed leaves a folder that opens again, with all that it acknowledged', async () => {
    const dir = await initialised();
    const { command } = await startNode(dir);
    await output(dir, 'set', 'a', 'v=1');
    await command.end('SIGKILL');
    expect(await output(dir, 'get', 'a')).toBe('v=1\n');
  });
});

describe.concurrent('import and export', () => {
  const line = (n: number, v: unknown = n): string => JSON.stringify({ subject: `s/${n}`, set: { v } });
  const lines = (...all: string[]): string => all.map((text) => `${text}\n`).join('');

  test('plain or gzip, from a file or standard input; export gives what import took', async () => {
    const dir = await initialised();
    const text = lines(line(1), line(2), line(3, 'é'));
    const file = join(await folder(), 'data.txt');
    await writeFile(file, gzipSync(text));
    expect(await objects(dir, 'import', file)).toEqual([{ lines: 3, commits: 1, leftOut: 0 }]);
    expect(await output(dir, 'export')).toBe(text);
    for (const input of [text, gzipSync(text)]) {
      const other = await initialised();
      expect((await tidelog(other, ['import', '-'], input)).stdout).toBe('imported 3 lines in 1 commit\n');
      expect(await output(other, 'export')).toBe(text);
    }
    expect(await output(dir, 'export', 's/3')).toBe(lines(line(3, 'é')));
  });

  test('many pieces, through a node', async () => {
    const dir = await initialised();
    await startNode(dir);
    const file = join(await folder(), 'many.ndjson');
    const all = Array.from({ length: 3000 }, (_, n) => line(n, 'x'.repeat(1000)));
    await writeFile(file, all.join('\n'));
    const [summary] = await objects(dir, 'import', file);
    expect(summary).toMatchObject({ lines: 3000, leftOut: 0 });
    expect((await output(dir, 'export')).split('\n')).toHaveLength(3001);
    // It is over, so there is nothing to continue.
    expect(errorOf(await tidelog(dir, ['import', file, '--continue']))).toEqual([2, 'bad-argument']);
  });

  test('--continue refuses another input', async () => {
    const dir = await initialised();
    const input = (first: string): string => lines(first, 'bad', line(3));
    expect((await tidelog(dir, ['import', '-'], input(line(1)))).code).toBe(1);
    expect(errorOf(await tidelog(dir, ['import', '-', '--continue'], input(line(2))))).toEqual([2, 'bad-argument']);
    expect(errorOf(await tidelog(dir, ['import', '-', '--continue'], ''))).toEqual([2, 'bad-argument']);
    expect((await tidelog(dir, ['import', '-', '--continue'], input(line(1)))).code).toBe(0);
    expect(await output(dir, 'ls')).toBe('s/1\ns/3\n');
  });

  test('input that is cut off, is not UTF-8, or has an endless line: what came before it is stored', async () => {
    const packed = gzipSync(lines(...Array.from({ length: 2000 }, (_, n) => line(n, Math.sin(n)))));
    const cases: [input: Uint8Array, code: number, stored: RegExp][] = [
      [packed.subarray(0, packed.length - 2000), 2, /s\/1\n/],
      [Buffer.concat([Buffer.from(lines(line(1))), Buffer.of(0x22, 0xff, 0x22, 0x0a)]), 1, /^s\/1\n$/],
      [Buffer.concat([Buffer.from(lines(line(1))), Buffer.alloc(9 * 1024 * 1024, 0x20)]), 1, /^s\/1\n$/],
    ];
    for (const [input, code, stored] of cases) {
      const dir = await initialised();
      expect((await tidelog(dir, ['import', '-'], input)).code).toBe(code);
      expect(await output(dir, 'ls')).toMatch(stored);
    }
  });
});

/** Every command without a node, and what each says when something is wrong. In this process, which is quicker; cli.test.ts has the real thing. */
import { chmod, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, expect, test, vi } from 'vitest';

import { runCommand } from '../../server/cli/program.ts';
import { initDevice } from '../../server/device.ts';
import { openLmdbStore } from '../../server/lmdb-store.ts';
import type { Outcome } from '../support/cli.ts';
import { temporaryFolder } from '../support/node.ts';

const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

async function folder(): Promise<string> {
  const made = await temporaryFolder();
  folders.push(made);
  return made;
}

async function initialised(): Promise<string> {
  const dir = await folder();
  await initDevice(dir, 'laptop');
  return dir;
}

async function tidelogHere(dataDir: string, args: readonly string[]): Promise<Outcome> {
  const written = { stdout: '', stderr: '' };
  const capture = (name: 'stdout' | 'stderr') =>
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      written[name] += String(text);
      return true;
    });
  const spies = [capture('stdout'), capture('stderr')];
  try {
    const code = await runCommand([...args, '--data', dataDir]);
    return { code, ...written };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

/** What a command prints, which must succeed and say nothing on standard error. */
async function output(dir: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await tidelogHere(dir, args);
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

test('misuse exits 2, failure 1, help 0', async () => {
  const dir = await initialised();
  const code = async (...args: string[]): Promise<number | null> => (await tidelogHere(dir, args)).code;
  for (const args of [
    ['nonsense'],
    ['set'],
    ['set', 'a'],
    ['set', 'a', 'b'],
    ['get', '--nonsense', 'a'],
    ['start', '--port', 'x'],
    ['start', '--lan', '--host', '::1'],
    ['pair', 'invite', '--expires', 'soon'],
    ['import', '/no/such/file'],
  ])
    expect([args, await code(...args)]).toEqual([args, 2]);
  expect(await code('get', 'missing')).toBe(1);
  expect(await code('--help')).toBe(0);
  expect(await code('pair', '--help')).toBe(0);
  expect((await tidelogHere(dir, ['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test('an error is a sentence and its code; with --json it is an object', async () => {
  const dir = await initialised();
  const { stderr } = await tidelogHere(dir, ['get', 'missing']);
  expect(stderr).toBe('tidelog: There is nothing here. (no resource "missing") [not-found]\n');
  const asJson = await tidelogHere(dir, ['get', 'missing', '--json']);
  expect(JSON.parse(asJson.stderr)).toEqual({
    error: { code: 'not-found', message: 'There is nothing here. (no resource "missing")', retry: false, detail: {} },
  });
  expect(errorOf(await tidelogHere(dir, ['set', '~x', 'a=1']))).toEqual([2, 'reserved-subject']);
  expect(errorOf(await tidelogHere(dir, ['set', 'x'.repeat(1025), 'a=1']))).toEqual([2, 'bad-subject']);
  expect(errorOf(await tidelogHere(dir, ['set', 'a', 'n=9007199254740993']))).toEqual([2, 'bad-value']);
  expect(errorOf(await tidelogHere(dir, ['get', 'a', '--space', 'nowhere']))).toEqual([1, 'unknown-space']);
  expect(errorOf(await tidelogHere(dir, ['devices', 'add', 'AAAA']))).toEqual([2, 'bad-device-id']);
  expect(errorOf(await tidelogHere(dir, ['pair', 'join', 'http://127.0.0.1:9/#pair=x']))).toEqual([2, 'bad-link']);
  expect(errorOf(await tidelogHere(dir, ['pair', 'join', 'http://127.0.0.1:9']))).toEqual([1, 'unreachable']);
});

test('a folder that is missing, not ours, newer, or whose key others can read', async () => {
  const dir = await folder();
  expect(errorOf(await tidelogHere(dir, ['status']))).toEqual([1, 'data-missing']);
  expect(errorOf(await tidelogHere(join(dir, 'none'), ['status']))).toEqual([1, 'data-missing']);
  expect(await readdir(dir)).toEqual([]);
  await writeFile(join(dir, 'holiday.jpg'), 'x');
  for (const command of ['status', 'init', 'start'])
    expect(errorOf(await tidelogHere(dir, [command]))).toEqual([1, 'data-not-ours']);

  const ours = await initialised();
  await chmod(join(ours, 'key'), 0o644);
  expect(errorOf(await tidelogHere(ours, ['status']))).toEqual([1, 'key-unsafe']);
  await chmod(join(ours, 'key'), 0o600);
  await writeFile(join(ours, 'config.json'), '{"prot":1}');
  expect(errorOf(await tidelogHere(ours, ['start']))).toEqual([1, 'bad-config']);
  await writeFile(join(ours, 'config.json'), '{}');
  await writeFile(join(ours, 'version'), '{"format":99}');
  expect(errorOf(await tidelogHere(ours, ['status']))).toEqual([1, 'data-newer']);
});

const line = (n: number, v: unknown = n): string => JSON.stringify({ subject: `s/${n}`, set: { v } });
const lines = (...all: string[]): string => all.map((text) => `${text}\n`).join('');

test('a device is made once; its key is for its user alone', async () => {
  const dir = join(await folder(), 'data');
  const [made] = await objects(dir, 'init', '--name', 'laptop');
  expect(made).toMatchObject({ created: true, data: dir });
  expect((await stat(join(dir, 'key'))).mode & 0o777).toBe(0o600);
  const [again] = await objects(dir, 'init');
  expect(again).toMatchObject({ created: false, id: made!['id'] });
  expect(await output(dir, 'id')).toBe(`${String(made!['id'])}\n`);
  expect(await objects(dir, 'status')).toMatchObject([
    { device: { name: 'laptop', id: made!['id'] }, spaces: [], node: { running: false } },
  ]);
});

test('set, get, unset, ls, rm, history, log: without a node', async () => {
  const dir = await initialised();
  await output(dir, 'set', 'note/1', 'title=Milk', 'n=42', 'list=[1,"a",null]', 'text=4 2', 'empty=', 'quoted="42"');
  expect(await output(dir, 'get', 'note/1')).toBe(
    ['empty=', 'list=[1,"a",null]', 'n=42', 'quoted="42"', 'text=4 2', 'title=Milk', ''].join('\n'),
  );
  await output(dir, 'unset', 'note/1', 'list', 'text');
  expect(await objects(dir, 'get', 'note/1')).toEqual([{ empty: '', n: 42, quoted: '42', title: 'Milk' }]);
  await output(dir, 'set', '..', 'v=1');
  expect(await output(dir, 'ls')).toBe('..\nnote/1\n');
  expect(await objects(dir, 'ls', 'note/')).toMatchObject([{ subject: 'note/1', properties: { title: 'Milk' } }]);
  await output(dir, 'rm', '..');
  expect(await output(dir, 'ls')).toBe('note/1\n');
  const history = await objects(dir, 'history', 'note/1');
  expect(history.map(({ deviceName, changes }) => [deviceName, Object.keys((changes as object[])[0]!)])).toEqual([
    ['laptop', ['subject', 'set']],
    ['laptop', ['subject', 'unset']],
  ]);
  const log = await objects(dir, 'log');
  expect(log).toHaveLength(5);
  expect(await objects(dir, 'log', '--after', String(log[2]!['cursor']), '--limit', '1')).toEqual([log[3]]);
  expect((await output(dir, 'log')).split('\n')[1]).toMatch(
    /^[0-9a-f]{16}-2\t[-0-9: ]{19}\tlaptop\tnote\/1 set title=Milk n=42/,
  );
});

test('a backup is made, verified and restored without a node; one that is not good ends with 1', async () => {
  const dir = await initialised();
  const backup = join(await folder(), 'backup');
  expect((await tidelogHere(dir, ['backup', 'create', backup])).stderr).toMatch(/there is no space yet/);
  await output(dir, 'set', 'note/1', 'title=Milk');
  expect(await output(dir, 'backup', 'create', backup)).toMatch(/^home: 2 commits, whole/);
  expect(await output(dir, 'set', 'note/2', 'title=Tea')).toMatch(/stored/);
  expect(await output(dir, 'backup', 'create', backup)).toMatch(/^home: 1 new commit, 3 in all/);
  expect(await output(dir, 'backup', 'create', backup)).toMatch(/^home: nothing new, 3 commits/);
  expect(await output(dir, 'backup', 'verify', backup)).toMatch(
    /\nhome: 3 commits by 1 device, from [-0-9: ]{19}, good until [-0-9: ]{19}\nIt can be restored\./,
  );
  const { lastProvenRestorable } = (await objects(dir, 'status'))[0] as { lastProvenRestorable: unknown };
  expect(lastProvenRestorable).toMatchObject({ dir: backup });
  expect(await output(dir, 'verify')).toMatch(/^home: good, 3 commits by 1 device, 2 resources, from /);

  const restored = join(await folder(), 'restored');
  expect(await output(restored, 'backup', 'restore', backup)).toMatch(/It is a new device.*tidelog devices add/s);
  expect(await output(restored, 'get', 'note/2')).toBe('title=Tea\n');
  expect(errorOf(await tidelogHere(restored, ['backup', 'restore', backup]))).toEqual([2, 'bad-argument']);

  const name = (await readdir(backup)).find((file) => file.endsWith('.log'));
  await writeFile(join(backup, name!), 'x');
  const bad = await tidelogHere(dir, ['backup', 'verify', backup]);
  expect(bad.stdout).toMatch(/wrong: .*\.log: at byte 0: this is no copy of a log \[bad-copy\]/);
  expect(bad.code).toBe(1);
  const status = (await objects(dir, 'status'))[0] as { warnings: string[]; lastProvenRestorable: unknown };
  expect(status.warnings).toEqual([expect.stringMatching(/The backup in .* is not good/)]);
  expect(status.lastProvenRestorable).toEqual(lastProvenRestorable);
});

test('verify names what is wrong in the live data, keeps it as it is, and ends with 1', async () => {
  const dir = await initialised();
  await output(dir, 'set', 'note/1', 'title=Milk');
  const store = await openLmdbStore(join(dir, 'store'));
  const rows = await store.scan('state', { gte: new Uint8Array([0]), limit: 100 });
  const [key, value] = rows.find(([each]) => Buffer.from(each).includes('note/1'))!;
  const altered = value.map((byte, at) => (at === value.length - 1 ? byte ^ 1 : byte));
  await store.write([{ table: 'state', key, value: altered }]);
  await store.close();
  for (let round = 0; round < 2; round++) {
    const { code, stdout, stderr } = await tidelogHere(dir, ['verify']);
    expect(stdout).toMatch(
      /^home: damaged, .*\n {2}wrong: the resource "note\/1" is another by the log \[data-damaged\]/,
    );
    expect(stderr).toMatch(/tidelog backup restore/);
    expect(code).toBe(1);
  }
  const [status] = (await objects(dir, 'status')) as { warnings: string[]; lastVerified: unknown }[];
  expect(status!.lastVerified).toMatchObject({ ok: false, findings: 1 });
  expect(status!.warnings).toEqual([expect.stringMatching(/The log is not as it should be: home: the resource/)]);
});

test('a malformed line stops it with its number; --continue goes on behind what is stored, and leaves out what is still wrong', async () => {
  const dir = await initialised();
  const file = join(await folder(), 'data.ndjson');
  const write = (...all: string[]): Promise<void> => writeFile(file, lines(...all));
  await write(line(1), line(2), '{"subject":"s/3","set":{}}', line(4), 'not json', line(6));

  const stopped = await tidelogHere(dir, ['import', file]);
  expect(errorOf(stopped)).toEqual([1, 'bad-line']);
  expect(stopped.stderr).toMatch(/line 3: .*set is empty.*2 lines are stored/s);
  expect(await output(dir, 'export')).toBe(lines(line(1), line(2)));

  // Left as it is, line 3 is left out; line 5 is the next to stop it.
  const again = await tidelogHere(dir, ['import', file, '--continue', '--json']);
  expect(again.code).toBe(1);
  expect(again.stderr).toContain('line 3 is left out');
  expect(JSON.parse(again.stderr.split('\n').at(-2)!)).toMatchObject({
    error: { code: 'bad-line', detail: { line: 5, lines: 4, because: 'bad-json' } },
  });
  expect(await output(dir, 'export')).toBe(lines(line(1), line(2), line(4)));

  // Mended, line 5 is taken.
  await write(line(1), line(2), '{"subject":"s/3","set":{}}', line(4), line(5), line(6));
  expect(await output(dir, 'import', file, '--continue')).toBe('imported 2 lines in 1 commit\n');
  expect(await output(dir, 'export')).toBe(lines(line(1), line(2), line(4), line(5), line(6)));
  expect(await objects(dir, 'log')).toHaveLength(1 + 3);
});

test('a line like the one that stopped an import, further on, is not taken for that one', async () => {
  const dir = await initialised();
  const file = join(await folder(), 'data.ndjson');
  await writeFile(file, lines(line(1), 'broken', line(3), 'broken'));
  expect((await tidelogHere(dir, ['import', file])).code).toBe(1);
  const again = await tidelogHere(dir, ['import', file, '--continue', '--json']);
  expect(again.code).toBe(1);
  expect(again.stderr).toContain('line 2 is left out');
  expect(again.stderr).not.toContain('line 4 is left out');
  await writeFile(file, lines(line(1), 'broken', line(3), line(4)));
  expect(await output(dir, 'import', file, '--continue')).toBe('imported 1 line in 1 commit\n');
  expect(await output(dir, 'export')).toBe(lines(line(1), line(3), line(4)));
});

/** What the command line says when something is wrong. In this process: what is refused is refused before anything that needs one of its own. */
import { chmod, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, expect, test, vi } from 'vitest';

import { runCommand } from '../../server/cli/program.ts';
import { initDevice } from '../../server/device.ts';
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
  expect(errorOf(await tidelogHere(dir, ['set', '~x', 'a=1']))).toEqual([1, 'reserved-subject']);
  expect(errorOf(await tidelogHere(dir, ['set', 'x'.repeat(1025), 'a=1']))).toEqual([1, 'bad-subject']);
  expect(errorOf(await tidelogHere(dir, ['set', 'a', 'n=9007199254740993']))).toEqual([1, 'bad-value']);
  expect(errorOf(await tidelogHere(dir, ['get', 'a', '--space', 'nowhere']))).toEqual([1, 'unknown-space']);
  expect(errorOf(await tidelogHere(dir, ['devices', 'add', 'AAAA']))).toEqual([1, 'bad-device-id']);
  expect(errorOf(await tidelogHere(dir, ['pair', 'join', 'http://127.0.0.1:9/#pair=x']))).toEqual([1, 'bad-link']);
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

/** Misuse and odd input: what is refused, in which words, and that nothing is done before. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { open, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { afterEach, expect, test } from 'vitest';

import { changeFromJson } from '../../client/changes.ts';
import { checkSettings } from '../../server/config.ts';
import { initDevice } from '../../server/device.ts';
import { createLog } from '../../server/log.ts';
import { tidelog } from '../support/cli.ts';
import { startTestNode, temporaryFolder } from '../support/node.ts';

const BIN = fileURLToPath(new URL('../../bin/tidelog.js', import.meta.url));

const undo: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const each of undo.splice(0).reverse()) await each();
});

async function folder(): Promise<string> {
  const dir = await temporaryFolder();
  undo.push(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function node(options: Parameters<typeof startTestNode>[0] = {}): ReturnType<typeof startTestNode> {
  const started = await startTestNode(options);
  undo.push(() => started.dispose());
  return started;
}

/** Exit code and error code of a command that fails. */
async function failure(dir: string, ...args: string[]): Promise<unknown[]> {
  const { code, stderr } = await tidelog(dir, args);
  return [code, /\[([a-z-]+)\]\n$/.exec(stderr)?.[1] ?? stderr];
}

test('options of start that cannot be used are misuse, and make no device', async () => {
  const dir = await folder();
  for (const [option, value] of [
    ['--port', 'abc'],
    ['--connect', 'elsewhere'],
    // An unset variable of a script. The system takes it for every address there is.
    ['--host', ''],
  ] as const) {
    expect(await failure(dir, 'start', '--port', '0', option, value), option).toEqual([2, 'bad-argument']);
    expect(await readdir(dir), option).toEqual([]);
  }
});

test('a node listens nowhere where its host is empty', async () => {
  const dataDir = await folder();
  const outcome = await node({ dataDir, host: '' }).catch((error: unknown) => error);
  expect(outcome).toMatchObject({ code: 'bad-config' });
});

test('a node that listens at a name of this machine answers to it', async ({ skip }) => {
  const { request } = await node({ host: hostname() }).catch(() => skip('its name leads nowhere here'));
  expect((await request('GET', '/v1/status')).status).toBe(200);
});

test('settings that are changed at once are all changed', async () => {
  const { request } = await node();
  const changes = [{ name: 'desk' }, { logLevel: 'warn' }, { port: 7700 }, { hostNames: ['desk.local'] }];
  const answers = await Promise.all(changes.map((body) => request('PATCH', '/v1/config', { body })));
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  expect(await (await request('GET', '/v1/config')).json()).toMatchObject(Object.assign({}, ...changes) as object);
});

test('an empty TIDELOG_DATA is as good as none, and an empty --data is misuse; the folder one stands in is neither', async () => {
  const [home, cwd] = [await folder(), await folder()];
  const env = { ...process.env, HOME: home, USERPROFILE: home, TIDELOG_DATA: '' };
  const run = (...args: string[]): Promise<number | null> =>
    new Promise((resolve) =>
      spawn(process.execPath, [BIN, ...args], { cwd, env, stdio: 'ignore' }).once('exit', resolve),
    );
  expect(await run('init')).toBe(0);
  expect(await readdir(home)).toEqual(['.tidelog']);
  expect(await run('init', '--data', '')).toBe(2);
  expect(await readdir(cwd)).toEqual([]);
});

test('a data folder that is a file is said to be one', async () => {
  const file = join(await folder(), 'file');
  await writeFile(file, '');
  for (const command of ['status', 'init', 'start'])
    expect(await failure(file, command), command).toEqual([1, 'data-not-ours']);

  const dir = await folder();
  await initDevice(dir, 'laptop');
  await tidelog(dir, ['backup', 'create', join(dir, 'backup')]);
  for (const [data, ...args] of [
    [dir, 'backup', 'create', file],
    [file, 'backup', 'restore', join(dir, 'backup')],
  ] as const) {
    const { code, stderr } = await tidelog(data, args);
    expect([code, stderr], args[1]).toEqual([2, expect.stringContaining(`${file} is a file`)]);
  }
});

test('a log file that is nowhere is said to be, in words', async () => {
  const dir = await folder();
  await initDevice(dir, 'laptop');
  const said = async (...args: string[]): Promise<string> => (await tidelog(dir, args)).stderr;
  expect(await said('export', '--log', join(dir, 'none', 'log'))).toContain(`there is no folder ${join(dir, 'none')}`);
  expect(await said('import', '--log', join(dir, 'none'))).toContain('there is no such file');
});

test.skipIf(!existsSync('/dev/full'))('output that a full disk does not take is said to be cut off', async () => {
  const dir = await folder();
  await initDevice(dir, 'laptop');
  await tidelog(dir, ['set', 'note/1', 'title=Milk']);
  const full = await open('/dev/full', 'w');
  undo.push(() => full.close());
  const run = async (...args: string[]): Promise<unknown[]> => {
    const env = { ...process.env, TIDELOG_DATA: dir, FORCE_COLOR: undefined };
    const child = spawn(process.execPath, [BIN, ...args], { env, stdio: ['ignore', full.fd, 'pipe'] });
    const [said, code] = await Promise.all([
      text(child.stderr!),
      new Promise((resolve) => child.once('exit', resolve)),
    ]);
    return [code, said];
  };
  expect(await run('export')).toEqual([1, expect.stringMatching(/^tidelog: .*ENOSPC.* \[aborted\]\n$/)]);
  expect(await run('export', '--json')).toEqual([1, expect.stringMatching(/^\{"error":\{"code":"aborted",.*\}\n$/)]);
  // A node whose log goes there stops as it should, and leaves no lock behind.
  expect(await run('start', '--port', '0')).toEqual([1, expect.stringMatching(/ENOSPC.* \[aborted\]\n$/)]);
  expect((await tidelog(dir, ['get', 'note/1'])).stdout).toBe('title=Milk\n');
});

test('a number past all numbers is refused and not taken for null', async () => {
  const dir = await folder();
  await initDevice(dir, 'laptop');
  for (const value of ['1e400', '[-1e400]'])
    expect(await failure(dir, 'set', 'n', `a=${value}`), value).toEqual([2, 'bad-argument']);
});

test('a value that is nested beyond all sense is refused as such', async () => {
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  expect(() => changeFromJson({ subject: 'n', set: { a: JSON.parse(deep) as unknown } }, 'change')).toThrow(
    expect.objectContaining({ code: 'bad-value' }),
  );
});

test('a change of very many properties is looked through once, not once for each', () => {
  const set = Object.fromEntries(Array.from({ length: 200_000 }, (_, i) => [`p${i}`, 0]));
  const startMs = performance.now();
  changeFromJson({ subject: 'n', set }, 'change');
  expect(performance.now() - startMs).toBeLessThan(3000);
});

test('a subject that is too long for a request is no fault of the node', async () => {
  const { dataDir } = await node();
  expect(await failure(dataDir, 'get', 'a'.repeat(20_000))).toEqual([2, 'bad-argument']);
});

test('log --follow --limit 0 prints nothing', async () => {
  const { dataDir, request } = await node();
  await request('PUT', '/v1/resources/n', { body: { a: 1 } });
  expect(await tidelog(dataDir, ['log', '--follow', '--limit', '0'])).toEqual({ code: 0, stdout: '', stderr: '' });
});

test('a host that is none is refused in words', () => {
  expect(() => checkSettings({ host: 'a/b' })).toThrow(/"a\/b" is not an address/);
});

test('import over HTTP takes gzip, as long as what is in it fits in a request', async () => {
  const { url, token } = await node();
  const send = (body: Uint8Array): Promise<Response> =>
    fetch(`${url}/v1/import`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      body: new Blob([body as Uint8Array<ArrayBuffer>]),
    });
  const packed = gzipSync('{"subject":"n","set":{"a":1}}\n');
  expect(await (await send(packed)).json()).toEqual({ lines: 1, commits: 1 });
  expect(await (await send(packed.subarray(0, 20))).json()).toMatchObject({ status: 400, code: 'bad-request' });
  expect(await (await send(gzipSync(new Uint8Array(17 * 1024 * 1024)))).json()).toMatchObject({
    code: 'body-too-large',
  });
});

test('what a stranger calls itself cannot write on the terminal that shows the log', () => {
  let shown = '';
  const log = createLog('info', 'pretty', { write: (text) => (shown += text) });
  log.info({ name: 'x\u009b2Jy\u202ez', err: new Error('a\u009b2Jb') }, 'a device waits for approval');
  expect(shown).not.toMatch(/[\u0080-\u009f\u202e]/);
  expect(shown).toContain('review.test.ts');
});

test('a byte order mark before the first line of an import is no part of it', async () => {
  const dataDir = await temporaryFolder();
  await tidelog(dataDir, ['init']);
  const file = join(dataDir, 'windows.ndjson');
  await writeFile(file, '\uFEFF{"subject":"n","set":{"a":1}}\n{"subject":"m","set":{"a":2}}');
  expect(await tidelog(dataDir, ['import', file])).toMatchObject({ code: 0 });
  expect((await tidelog(dataDir, ['ls'])).stdout).toMatch(/^m[^]*^n/m);
});

test('an address that opens connections and says nothing leaves room for others', async () => {
  const { url } = await node();
  const open = (): Promise<WebSocket | null> =>
    new Promise((resolve) => {
      const socket = new WebSocket(`${url.replace('http', 'ws')}/sync`, 'tidelog.1');
      socket.onopen = () => resolve(socket);
      socket.onerror = () => resolve(null);
    });
  const sockets: (WebSocket | null)[] = [];
  for (let i = 0; i < 40; i++) sockets.push(await open());
  expect(sockets.filter((socket) => socket !== null).length).toBe(32);
  for (const socket of sockets) socket?.close();
});

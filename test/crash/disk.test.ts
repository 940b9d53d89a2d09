/** Disks that are full, read-only or of somebody else, under the real server and the real commands. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { freePort } from '../../server/demo/free-port.ts';
import { tidelog } from '../support/cli.ts';
import { has } from '../support/programs.ts';

const BIN = fileURLToPath(new URL('../../bin/tidelog.js', import.meta.url));
const canMount = process.platform === 'linux' && has('unshare', '-rm', 'mount', '-t', 'tmpfs', 'none', '/mnt');

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidelog-disk-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe.skipIf(!canMount)('a small disk (skipped where file systems cannot be mounted)', () => {
  let holder: ChildProcess;
  const children: ChildProcess[] = [];
  beforeEach(async () => {
    // A namespace of its own with a disk of 24 MB, there as long as this process is.
    const script = 'mount -t tmpfs -o size=24m none "$0" && echo mounted && exec cat';
    holder = spawn('bash', ['-c', `exec unshare -rm bash -c '${script}' "$0"`, folder], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(holder.stdout!, 'data');
  });
  afterEach(async () => {
    for (const child of children.splice(0)) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    holder.stdin!.end();
    await once(holder, 'exit');
  });

  function inside(...command: string[]): ChildProcess {
    const enter = ['-t', String(holder.pid), '-U', '-m', '--preserve-credentials', '--', ...command];
    const child = spawn('bash', ['-c', 'exec nsenter "$@"', 'bash', ...enter], { stdio: ['ignore', 'pipe', 'pipe'] });
    children.push(child);
    return child;
  }
  async function output(...command: string[]): Promise<{ code: number | null; text: string }> {
    const child = inside(...command);
    let text = '';
    for (const stream of [child.stdout!, child.stderr!])
      stream.setEncoding('utf8').on('data', (part: string) => (text += part));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, text };
  }

  test('full: writes are refused as store-full until there is room, also after a kill, and nothing acknowledged is lost', async () => {
    const data = join(folder, 'data');
    const ballast = join(folder, 'ballast');
    const port = await freePort();
    const start = async (): Promise<ChildProcess> => {
      const child = inside(process.execPath, BIN, 'start', '--log', 'json', '--data', data, '--port', String(port));
      for await (const part of child.stdout!.setEncoding('utf8')) if (String(part).includes('"started"')) return child;
      throw new Error('it did not start');
    };
    let server = await start();
    const token = (await output('cat', join(data, 'token'))).text.trim();
    const request = (path: string, body?: unknown): Promise<Response> =>
      fetch(`http://127.0.0.1:${port}${path}`, {
        headers: { authorization: `Bearer ${token}` },
        ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
      });
    const acknowledged = new Set<string>();
    /** Until one is refused, and then some more: each is all or nothing. */
    const fill = async (name: string, bytes: number): Promise<Record<string, unknown>> => {
      let refusal: Record<string, unknown> | null = null;
      for (let n = 0, refused = 0; refused < 5 && n < 2000; n++) {
        const subject = `${name}/${n}`;
        // What can't be packed.
        const value = { $bytes: Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString('base64url') };
        const answer = await request('/v1/commits', { changes: [{ subject, set: { value } }] });
        const body = (await answer.json()) as Record<string, unknown>;
        if (answer.status === 201) acknowledged.add(subject);
        else {
          refused++;
          refusal = { status: answer.status, ...body };
        }
      }
      return refusal ?? {};
    };
    const found = async (): Promise<Set<string>> => {
      const lines = (await (await request('/v1/export')).text()).trimEnd().split('\n');
      return new Set(lines.filter(Boolean).map((line) => (JSON.parse(line) as { subject: string }).subject));
    };

    expect((await fill('room', 20)).status, 'there is room for these').toBeUndefined();
    await output('bash', '-c', `head -c 3000000 /dev/zero > ${ballast}`);
    const full = {
      status: 507,
      code: 'store-full',
      retry: true,
      title: expect.stringContaining('Make room and try again'),
    };
    expect(await fill('large', 60_000)).toMatchObject(full);
    expect(await fill('small', 400)).toMatchObject(full);
    expect(await found()).toEqual(acknowledged);

    // Killed on a full disk, it starts on a full disk, and can be read.
    // nsenter has become it.
    server.kill('SIGKILL');
    await once(server, 'exit');
    server = await start();
    expect(await found()).toEqual(acknowledged);
    expect(await fill('after', 60_000)).toMatchObject(full);

    await output('rm', ballast);
    await output('sleep', '0.2');
    const again = await request('/v1/commits', { changes: [{ subject: 'at last', set: { v: 1 } }] });
    expect(again.status, await again.text()).toBe(201);
  }, 120_000);

  test('nearly full: doctor says so', async () => {
    const data = join(folder, 'data');
    await output(process.execPath, BIN, 'init', '--data', data);
    const { code, text } = await output(process.execPath, BIN, 'doctor', '--data', data);
    expect(text).toMatch(/✗ disk: 2\d(\.\d)? MiB free: writes are refused as store-full\n {4}Make room/);
    expect(code).toBe(1);
  }, 60_000);

  test('that is read-only: every command says so, and what to do', async () => {
    const data = join(folder, 'data');
    expect((await output(process.execPath, BIN, 'init', '--data', data)).code).toBe(0);
    expect((await output(process.execPath, BIN, 'set', 'note/1', 'title=Milk', '--data', data)).code).toBe(0);
    await output('mount', '-o', 'remount,ro', folder);
    for (const command of [
      ['set', 'note/1', 'title=Tea'],
      ['get', 'note/1'],
      ['start', '--port', '0'],
    ]) {
      const { code, text } = await output(process.execPath, BIN, ...command, '--data', data);
      expect({ command, code }).toEqual({ command, code: 1 });
      expect(text).toContain('store-failed');
      expect(text, text).toMatch(/read-only/i);
      expect(text, 'what to do').toMatch(/--data|Make|mount/);
    }
    await output('mount', '-o', 'remount,rw', folder);
    expect((await output(process.execPath, BIN, 'get', 'note/1', '--data', data)).text).toContain('Milk');
  }, 60_000);
});

describe.skipIf(process.platform === 'win32')('a file that may not grow (a quota, a limit of the process)', () => {
  test.each(['fill', 'fill-with-small-writes'])('refuses, all or nothing: %s', async (scenario) => {
    const child = fileURLToPath(new URL('../support/lmdb-child.ts', import.meta.url));
    // In blocks of 1,024 bytes. Without the trap the system would end the process where LMDB is told so.
    const script = 'trap "" XFSZ; ulimit -f 6000; exec "$@"';
    const process_ = spawn('bash', ['-c', script, 'bash', process.execPath, child, scenario, folder]);
    let text = '';
    process_.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
    await once(process_, 'close');
    // A page that fits by half is an EIO to LMDB, and nobody can tell it from a disk that fails.
    expect(text).toMatch(/^wrote some\nrefused as store-(full|failed)\nall or nothing\nclosed\n$/);
  });
});

describe.skipIf(process.getuid?.() === 0 || process.platform === 'win32')(
  'a folder of somebody else (skipped for root, who may do everything)',
  () => {
    test.each([0o500, 0o000])('with mode %o is refused with what to do', async (mode) => {
      const data = join(folder, 'data');
      await mkdir(data, { mode: 0o700 });
      await chmod(data, mode);
      const { code, stderr } = await tidelog(data, ['init']);
      await chmod(data, 0o700);
      expect(code).toBe(1);
      expect(stderr).toMatch(/store-failed.*|.*--data/);
    });
  },
);

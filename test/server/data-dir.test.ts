import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { initDataDir, isDataDir, openDataDir, readDataDir, readToken } from '../../server/data-dir.ts';
import { findRunningNode, lockDataDir } from '../../server/data-lock.ts';

const isWindows = process.platform === 'win32';
const lockChild = fileURLToPath(new URL('../support/lock-child.ts', import.meta.url));

let root: string;
let dir: string;
let byte: number;
/** Bytes that tell one call from another. */
const random = (length: number): Uint8Array => new Uint8Array(length).fill(++byte);
const init = async (path = dir, name = 'laptop'): Promise<boolean> =>
  (await initDataDir(path, { name, random })).created;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'tidelog-data-'));
  dir = join(root, 'data');
  byte = 0;
});
afterEach(() => rm(root, { recursive: true }));

describe('initDataDir', () => {
  test('makes a folder that opens', async () => {
    expect(await isDataDir(dir)).toBe(false);
    const { created, ...made } = await initDataDir(dir, { name: 'laptop', random });
    expect(created).toBe(true);
    expect(made).toMatchObject({ dir, seed: new Uint8Array(32).fill(1), storePath: join(dir, 'store') });
    expect(made.token).toMatch(/^[\w-]{43}$/);
    expect(await isDataDir(dir)).toBe(true);
    expect(await readToken(dir)).toBe(made.token);
    expect(JSON.parse(await readFile(join(dir, 'config.json'), 'utf8'))).toEqual({ name: 'laptop' });
    const data = await openDataDir(dir);
    expect(data).toMatchObject(made);
    await data.release();
    expect((await readdir(dir)).sort()).toEqual(['config.json', 'key', 'token', 'version']);
    expect(await readFile(join(dir, 'version'), 'utf8')).toBe('{"format":1}\n');
  });

  test.skipIf(isWindows)('keeps folder and files to their user, whatever the umask', async () => {
    const umask = process.umask(0);
    try {
      await init();
    } finally {
      process.umask(umask);
    }
    expect((await stat(dir)).mode & 0o777).toBe(0o700);
    for (const file of ['key', 'token', 'config.json', 'version']) {
      expect((await stat(join(dir, file))).mode & 0o777, file).toBe(0o600);
    }
  });

  test('without a name makes no settings', async () => {
    await initDataDir(dir, { random });
    expect((await readdir(dir)).sort()).toEqual(['key', 'token', 'version']);
  });

  test('of a folder that is there already changes nothing and says so', async () => {
    await init();
    const before = await readDataDir(dir);
    expect(await init(dir, 'other')).toBe(false);
    expect(await readDataDir(dir)).toEqual(before);
  });

  test('of an empty folder, also of an empty disk', async () => {
    await mkdir(join(dir, 'lost+found'), { recursive: true });
    expect(await init()).toBe(true);
  });

  test('of a folder with other files is data-not-ours and leaves it alone', async () => {
    await mkdir(dir);
    await writeFile(join(dir, 'thesis.txt'), 'x');
    await expect(init()).rejects.toMatchObject({
      code: 'data-not-ours',
      message: expect.stringContaining('thesis.txt'),
    });
    expect(await readdir(dir)).toEqual(['thesis.txt']);
    await expect(init(join(dir, 'thesis.txt'))).rejects.toMatchObject({
      code: 'data-not-ours',
      message: expect.stringContaining('is a file'),
    });
  });

  test.each(['key.new', 'key', 'token', 'config.json', 'version.new'])(
    'that was cut off after %s is finished, with the same key',
    async (last) => {
      await init();
      const { seed } = await readDataDir(dir);
      const order = ['key.new', 'key', 'token', 'config.json', 'version.new', 'version'];
      for (const file of order.slice(order.indexOf(last) + 1)) await rm(join(dir, file), { force: true });
      if (last.endsWith('.new')) await writeFile(join(dir, last), 'half', { mode: 0o644 });
      if (last === 'key.new') await rm(join(dir, 'key'), { force: true });

      await expect(openDataDir(dir)).rejects.toMatchObject({ code: 'data-missing' });
      expect(await init()).toBe(true);
      const data = await readDataDir(dir);
      if (last !== 'key.new') expect(data.seed).toEqual(seed);
      expect((await stat(join(dir, 'key'))).mode & 0o077).toBe(0);
    },
  );

  test.each(['', 'x'.repeat(65), 'a\nb'])('refuses the name %j', async (name) => {
    await expect(init(dir, name)).rejects.toMatchObject({ code: 'bad-argument' });
    expect(existsSync(dir)).toBe(false);
  });

  test('twice at once: one makes it, the other finds it or is told that it is in use', async () => {
    const outcomes = await Promise.allSettled([init(), init()]);
    expect(outcomes.filter((outcome) => outcome.status === 'fulfilled' && outcome.value)).toHaveLength(1);
    expect((await readDataDir(dir)).seed).toHaveLength(32);
  });
});

describe('openDataDir', () => {
  test('of nothing, and of an empty folder, is data-missing', async () => {
    await expect(openDataDir(dir)).rejects.toMatchObject({ code: 'data-missing' });
    await mkdir(dir);
    await expect(openDataDir(dir)).rejects.toMatchObject({ code: 'data-missing' });
    expect(await readdir(dir)).toEqual([]);
  });

  test('of a folder with other files, and of a file, is data-not-ours', async () => {
    await mkdir(dir);
    await writeFile(join(dir, 'thesis.txt'), 'x');
    await expect(openDataDir(dir)).rejects.toMatchObject({ code: 'data-not-ours' });
    await expect(openDataDir(join(dir, 'thesis.txt'))).rejects.toMatchObject({ code: 'data-not-ours' });
  });

  test('of a newer format is data-newer; of a version that is none, data-damaged', async () => {
    await init();
    const version = join(dir, 'version');
    await writeFile(version, '{"format":2}');
    await expect(openDataDir(dir)).rejects.toMatchObject({ code: 'data-newer' });
    for (const text of ['', 'x', 'null', '{}', '{"format":0}', '{"format":"1"}', '{"format":1.5}']) {
      await writeFile(version, text);
      await expect(openDataDir(dir), text).rejects.toMatchObject({ code: 'data-damaged' });
    }
  });

  test.skipIf(isWindows).each(['key', 'token'])('of a %s that others may read is key-unsafe', async (file) => {
    await init();
    for (const mode of [0o640, 0o604, 0o620, 0o666]) {
      await chmod(join(dir, file), mode);
      await expect(openDataDir(dir)).rejects.toMatchObject({
        code: 'key-unsafe',
        message: expect.stringContaining(join(dir, file)),
      });
    }
    await chmod(join(dir, file), 0o400);
    await (await openDataDir(dir)).release();
  });

  test.each(['key', 'token'])(
    'of a %s that is missing or cut off is data-damaged, and the folder is free again',
    async (file) => {
      await init();
      const path = join(dir, file);
      const whole = await readFile(path, 'utf8');
      for (const text of ['', whole.slice(0, 20), 'x']) {
        await writeFile(path, text);
        await expect(openDataDir(dir)).rejects.toMatchObject({ code: 'data-damaged' });
      }
      await rm(path);
      await expect(openDataDir(dir)).rejects.toMatchObject({
        code: 'data-damaged',
        message: expect.stringContaining('missing'),
      });
      await writeFile(path, whole, { mode: 0o600 });
      await (await openDataDir(dir)).release();
    },
  );

  test('a second time is data-in-use, and reading alone is not', async () => {
    await init();
    const data = await openDataDir(dir);
    await expect(openDataDir(dir)).rejects.toMatchObject({
      code: 'data-in-use',
      detail: { pid: process.pid, url: null },
    });
    expect((await readDataDir(dir)).token).toBe(data.token);
    await data.release();
    await (await openDataDir(dir)).release();
  });
});

describe('the lock', () => {
  beforeEach(() => mkdir(dir));

  test('tells who asks which process has it, and where that answers', async () => {
    expect(await findRunningNode(dir)).toBeNull();
    expect(await findRunningNode(join(root, 'nowhere'))).toBeNull();
    const lock = await lockDataDir(dir);
    expect(await findRunningNode(dir)).toEqual({ pid: process.pid, url: null });
    lock.announce('http://127.0.0.1:7600/');
    expect(await findRunningNode(dir)).toEqual({ pid: process.pid, url: 'http://127.0.0.1:7600/' });
    await expect(lockDataDir(dir)).rejects.toMatchObject({
      code: 'data-in-use',
      detail: { url: 'http://127.0.0.1:7600/' },
    });
    await lock.release();
    await lock.release();
    expect(await findRunningNode(dir)).toBeNull();
    expect(await readdir(dir)).toEqual([]);
  });

  test('is the same by every name of the folder', async () => {
    const other = join(root, 'link');
    await symlink(dir, other);
    const lock = await lockDataDir(other);
    await expect(lockDataDir(dir)).rejects.toMatchObject({ code: 'data-in-use' });
    expect(await findRunningNode(dir)).toMatchObject({ pid: process.pid });
    await lock.release();
  });

  test('of a folder whose path is longer than a socket address, and of ones at its edge', async () => {
    for (const length of [70, 76, 77, 78, 90, 93, 94, 95, 103, 104, 105, 180]) {
      const deep = join(dir, 'x'.repeat(Math.max(1, length - dir.length - 1)));
      await mkdir(deep);
      const lock = await lockDataDir(deep);
      await expect(lockDataDir(deep)).rejects.toMatchObject({ code: 'data-in-use' });
      expect(await findRunningNode(deep)).toMatchObject({ pid: process.pid });
      expect(await readdir(deep)).toHaveLength(isWindows ? 0 : 2);
      await lock.release();
      expect(await readdir(deep)).toEqual([]);
      await rm(deep, { recursive: true });
    }
  });

  test.skipIf(isWindows)(
    'a holder that is stuck is not taken for dead',
    async () => {
      const server = createServer(() => {});
      await once(server.listen(join(dir, 'node-ab.sock')), 'listening');
      await symlink('node-ab.sock', join(dir, 'node.sock'));
      await expect(findRunningNode(dir)).rejects.toMatchObject({ code: 'data-in-use' });
      await expect(lockDataDir(dir)).rejects.toMatchObject({ code: 'data-in-use' });
      server.close();
    },
    20_000,
  );

  describe('between processes', () => {
    interface Contender {
      readonly process: ChildProcess;
      tell(command: string): Promise<string>;
    }
    let contenders: Contender[];
    beforeEach(() => {
      contenders = [];
    });
    afterEach(async () => {
      for (const { process } of contenders) await kill(process);
    });

    async function contender(): Promise<Contender> {
      const child = spawn(process.execPath, [lockChild, dir], { stdio: ['pipe', 'pipe', 'inherit'] });
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      const next = async (): Promise<string> => (await lines.next()).value as string;
      expect(await next()).toBe('ready');
      const made = {
        process: child,
        tell: (command: string) => {
          child.stdin.write(`${command}\n`);
          return next();
        },
      };
      contenders.push(made);
      return made;
    }

    async function kill(child: ChildProcess): Promise<void> {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }

    test('whoever is second is told the pid and address of the first', async () => {
      const first = await contender();
      await first.tell('lock');
      await first.tell('announce http://127.0.0.1:7601/');
      const holder = { pid: first.process.pid, url: 'http://127.0.0.1:7601/' };
      expect(await findRunningNode(dir)).toEqual(holder);
      await expect(lockDataDir(dir)).rejects.toMatchObject({ code: 'data-in-use', detail: holder });
      expect(await first.tell('release')).toBe('released');
      await (await lockDataDir(dir)).release();
    });

    test('kill -9 frees it', async () => {
      for (let i = 0; i < 3; i++) {
        const first = await contender();
        expect(await first.tell('lock')).toBe('won');
        await kill(first.process);
        expect(await findRunningNode(dir)).toBeNull();
      }
      const lock = await lockDataDir(dir);
      if (!isWindows) expect(await readdir(dir)).toHaveLength(2);
      await lock.release();
      expect(await readdir(dir)).toEqual([]);
    });

    test('a race of three has one winner: free, after a dead holder, after a death while replacing one', async () => {
      const racers = [await contender(), await contender(), await contender()];
      for (let round = 0; round < 60; round++) {
        if (!isWindows && round % 3 > 0) await symlink('node-dead.sock', join(dir, 'node.sock'));
        if (!isWindows && round % 3 === 2) await symlink('node-deader.sock', join(dir, 'node.sock.node-dead.sock'));
        const outcomes = await Promise.all(racers.map(({ tell }) => tell('lock')));
        expect([...outcomes].sort(), `round ${round}`).toEqual(['lost data-in-use', 'lost data-in-use', 'won']);
        const winner = racers[outcomes.indexOf('won')]!;
        expect(await findRunningNode(dir)).toMatchObject({ pid: winner.process.pid });
        if (!isWindows) expect(await readlink(join(dir, 'node.sock'))).toMatch(/^node-[0-9a-f]{16}\.sock$/);
        await winner.tell('release');
        expect(await readdir(dir)).toEqual([]);
      }
    }, 30_000);
  });
});

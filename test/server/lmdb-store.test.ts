import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, stat, truncate, writeFile, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import type { Store } from '../../client/store.ts';
import { utf8 } from '../../protocol/bytes.ts';
import { openLmdbStore } from '../../server/lmdb-store.ts';
import { storeContract } from '../contract/store.ts';
import { has } from '../support/programs.ts';
import { beginJournal } from '../support/stores.ts';

const child = fileURLToPath(new URL('../support/lmdb-child.ts', import.meta.url));
const run = promisify(execFile);
storeContract('lmdb', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tidelog-lmdb-'));
  let store = await openLmdbStore(folder);
  return {
    store,
    reopen: async () => {
      await store.close();
      store = await openLmdbStore(folder);
      return store;
    },
    dispose: async () => {
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
});

storeContract('lmdb, by its journal', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tidelog-lmdb-'));
  let store = await openLmdbStore(folder);
  await beginJournal(store);
  return {
    store,
    reopen: async () => {
      await store.close();
      store = await openLmdbStore(folder);
      await beginJournal(store);
      return store;
    },
    dispose: async () => {
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
});

describe('the LMDB store', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidelog-lmdb-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function fill(store: Store): Promise<void> {
    for (let i = 0; i < 5; i++) {
      await store.write(
        Array.from({ length: 400 }, (_, j) => ({ table: 'state', key: utf8(`${i} ${j}`), value: new Uint8Array(500) })),
      );
    }
  }

  test('makes its folder and keeps it to its user', async () => {
    const path = join(folder, 'a', 'store');
    const store = await openLmdbStore(path);
    await store.close();
    if (process.platform === 'win32') return;
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    expect((await stat(join(path, 'data.mdb'))).mode & 0o777).toBe(0o600);
  });

  test('reading between writes does not make the file grow', async () => {
    const store = await openLmdbStore(folder);
    await fill(store);
    await beginJournal(store);
    const before = await store.size();
    for (let i = 0; i < 300; i++) {
      await store.scan('state', { limit: 10 });
      await store.write([{ table: 'state', key: utf8('0 0'), value: new Uint8Array(500).fill(i) }]);
      await store.get('state', utf8('0 0'));
    }
    expect((await store.size()) - before).toBeLessThan(200_000);
    await store.close();
  });

  test('writers of one turn share a flush, and each has its own outcome', async () => {
    const store = await openLmdbStore(folder);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 200 }, (_, i) =>
        store.write([{ table: 'state', key: new Uint8Array(i === 100 ? 2000 : 1).fill(i), value: utf8('x') }]),
      ),
    );
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(1);
    expect(await store.scan('state', { limit: 500 })).toHaveLength(199);
    await store.close();
  });

  describe('what it finds', () => {
    test.each([
      ['random text', utf8('this is not a database, '.repeat(2000))],
      ['zeros', new Uint8Array(50_000)],
      ['a few bytes', utf8('x')],
    ])('%s in the place of the data is data-damaged, and stays as it is', async (_, content) => {
      const file = join(folder, 'data.mdb');
      await writeFile(file, content);
      await expect(openLmdbStore(folder)).rejects.toMatchObject({ code: 'data-damaged' });
      expect((await stat(file)).size).toBe(content.length);
    });

    test.each([0.9, 0.5, 8192, 4096, 100])('a file that was cut off (%d) is data-damaged', async (at) => {
      const store = await openLmdbStore(folder);
      await fill(store);
      await store.close();
      const file = join(folder, 'data.mdb');
      await truncate(file, at < 1 ? Math.floor((await stat(file)).size * at) : at);
      await expect(openLmdbStore(folder)).rejects.toMatchObject({ code: 'data-damaged' });
    });

    test('an LMDB file of another format is data-damaged', async () => {
      const file = join(folder, 'data.mdb');
      const header = new Uint32Array(4096);
      header.set([0xbeefc0de, 1], 6);
      await writeFile(file, header);
      await expect(openLmdbStore(folder)).rejects.toMatchObject({ code: 'data-damaged' });
    });

    test('an empty file, and a lock file of nonsense, are what crashes leave: both work', async () => {
      await writeFile(join(folder, 'data.mdb'), '');
      await writeFile(join(folder, 'lock.mdb'), 'x'.repeat(9000));
      const store = await openLmdbStore(folder);
      await fill(store);
      await store.close();
    });

    test('a folder that cannot be made says what to do', async () => {
      await writeFile(join(folder, 'file'), '');
      await expect(openLmdbStore(join(folder, 'file', 'store'))).rejects.toMatchObject({
        code: 'store-failed',
        message: expect.stringContaining('choose another folder with --data'),
      });
    });

    test.skipIf(process.getuid?.() === 0 || process.platform === 'win32')(
      'a folder that cannot be written says what to do',
      async () => {
        const path = join(folder, 'store');
        await mkdir(path, { mode: 0o500 });
        await expect(openLmdbStore(path)).rejects.toMatchObject({ code: 'store-failed' });
      },
    );
  });

  describe('when things fail', () => {
    /** Runs a scenario of lmdb-child.ts to its end, or to a fault in native code: the lines that it printed. */
    async function lines(scenario: string, prefix: string[]): Promise<string[]> {
      const [program, ...args] = [...prefix, process.execPath, child, scenario, folder] as string[];
      const env = { ...process.env, UV_THREADPOOL_SIZE: '1' };
      const { stdout } = await run(program!, args, { env, timeout: 20_000 }).catch((error) => {
        if (!['SIGABRT', 'SIGSEGV', 'SIGKILL'].includes(error.signal)) throw error;
        return error as { stdout: string };
      });
      return stdout.trim().split('\n');
    }

    test('kill -9 right after an acknowledgement loses nothing that was acknowledged', async () => {
      // The last goes on until both regions of the journal were used again.
      for (const characters of [400, 800, 30_000]) {
        const process_ = spawn(process.execPath, [child, 'write-for-ever', folder], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        let acknowledged = '';
        process_.stdout.setEncoding('utf8').on('data', (text: string) => {
          acknowledged += text;
          if (acknowledged.length > characters) process_.kill('SIGKILL');
        });
        await new Promise((resolve) => process_.on('close', resolve));
        const last = acknowledged.slice(0, acknowledged.lastIndexOf('\n')).split('\n').at(-1)!;
        const store = await openLmdbStore(folder);
        expect(Number(last)).toBeGreaterThan(20);
        for (let i = 0; i <= Number(last); i++) {
          // Both halves of each write, in their tables.
          expect(await store.get('blocks', utf8(`${i}`)), `write ${i} of ${last}`).toEqual(
            new Uint8Array(100 + i).fill(i),
          );
          expect(await store.get('chains', utf8(`${i}`))).toEqual(utf8(`${i}`));
        }
        await store.close();
      }
    }, 120_000);

    const mounted = process.platform === 'linux' && has('unshare', '-rm', 'mount', '-t', 'tmpfs', 'none', '/mnt');
    test.skipIf(!mounted).each(['fill', 'fill-with-small-writes'])(
      'a full disk is store-full until there is room: %s (skipped where file systems cannot be mounted)',
      async (scenario) => {
        const mount = 'mount -t tmpfs -o size=24m none "$0" && head -c 1000000 /dev/zero > "$0/ballast" && exec "$@"';
        const report = await lines(scenario, ['unshare', '-rm', 'bash', '-c', mount, folder]);
        expect(report).toEqual([
          'wrote some',
          'refused as store-full',
          'all or nothing',
          'made room',
          'wrote again',
          'closed',
        ]);
      },
    );

    // strace makes chosen system calls fail. It counts by thread, and with the store made before, only the writing thread syncs.
    const traced = has('strace', '-f', '-e', 'trace=none', 'true');
    async function failing(call: string, when: number, scenario = 'three-writes', only?: string): Promise<string[]> {
      await (await openLmdbStore(folder)).close();
      const inject = `inject=${call}:error=EIO:when=${when}`;
      const path = only ? ['-P', join(folder, only)] : [];
      const tracing = ['strace', '-f', '-o', '/dev/null', ...path, '-e', `trace=${call}`, '-e', inject];
      const report = await lines(scenario, tracing);
      const store = await openLmdbStore(folder);
      report.push(`finds ${(await store.get('state', utf8('a')))?.[0] ?? 'nothing'}`);
      await store.close();
      return report;
    }

    test.skipIf(!traced)(
      'a flush that fails is store-failed, writes nothing, and the next write works (skipped without strace)',
      async () => {
        expect(await failing('fdatasync', 2)).toEqual([
          '1 ok, reads 1',
          '2 store-failed, reads 1',
          '3 ok, reads 3',
          'closed',
          'finds 3',
        ]);
      },
    );

    test.skipIf(!traced)(
      'whichever page fails, nothing waits for ever and what was acknowledged is there (skipped without strace)',
      async () => {
        const reports: string[] = [];
        for (let when = 1; when <= 6; when++) {
          const report = await failing('pwrite64', when);
          const acknowledged = report.findLast((line) => line.includes(' ok,'))?.[0];
          if (acknowledged) expect(report.at(-1), report.join(' | ')).toBe(`finds ${acknowledged}`);
          reports.push(...report);
          await rm(folder, { recursive: true });
        }
        // At least one of them was a meta page, after which LMDB refuses everything.
        expect(reports).toContain('3 store-failed, reads store-failed');
      },
    );

    test.skipIf(!traced)(
      'nor where it is a record of the journal, for which the tables stand in (skipped without strace)',
      async () => {
        for (let when = 1; when <= 3; when++) {
          expect(await failing('pwrite64', when, 'three-small-writes', 'journal')).toEqual([
            '1 ok, reads 1',
            '2 ok, reads 2',
            '3 ok, reads 3',
            'finds 3',
          ]);
          await rm(folder, { recursive: true });
        }
      },
    );

    test.skipIf(!traced).each([
      ['one-write', /^begin( flush meta)+ resolved$/],
      // What it held before may go to the tables at any time.
      ['one-small-write', /^begin( flush| meta)* record( flush| meta)* resolved$/],
    ])(
      'a write resolves after the flush of its pages and the synchronous meta page, or of its record: %s (skipped without strace)',
      async (scenario, expected) => {
        const trace = join(folder, 'trace');
        await lines(scenario, ['strace', '-f', '-o', trace, '-e', 'trace=openat,fdatasync,pwrite64,pwritev,write']);
        const calls = (await run('cat', [trace])).stdout.split('\n');
        const openedDurably = (name: string): string =>
          calls.find((line) => line.includes(name) && line.includes('O_DSYNC'))?.match(/= (\d+)$/)?.[1] ?? 'none';
        const meta = openedDurably('data.mdb');
        const journal = openedDurably('/journal');
        const order = calls
          .map((line) =>
            /"write begins/.test(line)
              ? 'begin'
              : /"write resolved/.test(line)
                ? 'resolved'
                : /fdatasync\(.*= 0/.test(line)
                  ? 'flush'
                  : line.includes(`pwrite64(${meta},`)
                    ? 'meta'
                    : line.includes(`pwrite64(${journal},`)
                      ? 'record'
                      : '',
          )
          .filter(Boolean);
        expect(order.slice(order.indexOf('begin'), order.indexOf('resolved') + 1).join(' ')).toMatch(expected);
      },
    );
  });
});

/** `tidelog doctor`: what it finds, of each kind one that is well and one that is not. */
import { chmod, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { afterAll, describe, expect, test } from 'vitest';

import type { DeviceView } from '../../client/status.ts';
import { initDevice } from '../../server/device.ts';
import { checkClocks, checkOthers, checkRecovery, checkSpace } from '../../server/doctor/data.ts';
import type { Finding } from '../../server/doctor/finding.ts';
import { checkOwnClock } from '../../server/doctor/machine.ts';
import type { OtherStatus, SpaceStatus, StatusJson } from '../../server/http/status.ts';
import { startTidelog, tidelog } from '../support/cli.ts';
import { temporaryFolder } from '../support/node.ts';

const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

async function initialised(settings: object = {}): Promise<string> {
  const folder = await temporaryFolder();
  folders.push(folder);
  await initDevice(folder, 'laptop');
  await writeFile(join(folder, 'config.json'), JSON.stringify({ name: 'laptop', port: 0, ...settings }));
  return folder;
}

async function doctor(dir: string): Promise<{ code: number | null; of: Record<string, Finding> }> {
  const { code, stdout, stderr } = await tidelog(dir, ['doctor', '--json']);
  expect(stderr).toBe('');
  const findings = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Finding);
  // What is not well says what to do, and what is well has nothing to be done.
  for (const { state, says, do: todo } of findings) {
    expect(says.length).toBeGreaterThan(0);
    expect(todo === null, says).toBe(state === 'ok');
  }
  return { code, of: Object.fromEntries(findings.map((finding) => [finding.check, finding])) };
}

describe('of a folder', () => {
  test('that is well: nothing is bad, and one owner and no node are said', async () => {
    const dir = await initialised();
    await tidelog(dir, ['set', 'note/1', 'title=Milk']);
    const { code, of } = await doctor(dir);
    expect(code).toBe(0);
    const states = Object.fromEntries(Object.entries(of).map(([check, { state }]) => [check, state]));
    expect(states).toMatchObject({
      runtime: 'ok',
      clock: 'ok',
      key: 'ok',
      token: 'ok',
      settings: 'ok',
      journal: 'ok',
      port: 'ok',
      node: 'warn',
      data: 'ok',
      log: 'ok',
      owners: 'warn',
      devices: 'ok',
    });
    expect(of['owners']!.says).toContain('one lost laptop away from being closed to new devices');
    const { stdout } = await tidelog(dir, ['doctor']);
    expect(stdout).toContain('! node: None runs here, so nothing syncs\n    `tidelog start`');
  });

  test.skipIf(process.platform === 'win32')(
    'whose key and token others can read, and whose settings are none',
    async () => {
      const dir = await initialised();
      await chmod(join(dir, 'key'), 0o644);
      await chmod(join(dir, 'token'), 0o640);
      await writeFile(join(dir, 'config.json'), '{"port": "high"}');
      const { code, of } = await doctor(dir);
      expect(code).toBe(1);
      for (const name of ['key', 'token'])
        expect(of[name]).toMatchObject({ state: 'bad', do: `Run \`chmod 600 ${join(dir, name)}\`.` });
      expect(of['settings']).toMatchObject({ state: 'bad', says: expect.stringContaining('port') });
      expect(of['data'], 'it cannot be opened, and the rest is said all the same').toMatchObject({ state: 'bad' });
    },
  );

  test('whose store is damaged: bad, with what to do, and the other findings', async () => {
    const dir = await initialised();
    await tidelog(dir, ['set', 'note/1', 'title=Milk']);
    await rename(join(dir, 'store', 'data.mdb'), join(dir, 'elsewhere'));
    const { code, of } = await doctor(dir);
    expect(code).toBe(1);
    expect(of['data']).toMatchObject({
      state: 'bad',
      says: 'It cannot be opened: data-damaged',
      do: expect.stringContaining('restore from a backup'),
    });
    expect(of['disk']).toBeDefined();
  });

  test('without data is an error that says what to do', async () => {
    const folder = await temporaryFolder();
    folders.push(folder);
    const { code, stderr } = await tidelog(join(folder, 'none'), ['doctor']);
    expect(code).toBe(1);
    expect(stderr).toContain('[data-missing]');
  });

  test('whose port another program has', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const { code, of } = await doctor(await initialised({ port }));
    server.close();
    expect(code).toBe(1);
    expect(of['port']).toMatchObject({ state: 'bad', says: `Another program listens on 127.0.0.1:${port}` });
  });

  test('whose port a node of another data folder has', async () => {
    const node = startTidelog(await initialised(), ['start', '--port', '0', '--log', 'json']);
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(await node.line(/started/))![1]);
    const { code, of } = await doctor(await initialised({ port }));
    expect(code).toBe(1);
    expect(of['port']).toMatchObject({
      state: 'bad',
      says: `A node of another data folder listens on 127.0.0.1:${port}`,
    });
    await node.end('SIGTERM');
  }, 30_000);

  test('of a node that runs, that was killed, and whose journal was taken over', async () => {
    const dir = await initialised();
    const node = startTidelog(dir, ['start', '--port', '0', '--log', 'json']);
    await node.line(/started/);
    for (let i = 0; i < 14; i++) await tidelog(dir, ['set', 'note/1', `n=${i}`]);
    const running = await doctor(dir);
    expect(running.code).toBe(0);
    expect(running.of['node']).toMatchObject({ state: 'ok', says: expect.stringContaining('http://127.0.0.1:') });
    expect(running.of['port']).toMatchObject({ state: 'warn', says: expect.stringContaining('to this machine only') });
    expect(running.of['journal']).toMatchObject({ state: 'ok', says: 'In use' });
    await node.end('SIGKILL');
    expect((await doctor(dir)).of['journal']!.says).toContain('was killed or lost its power');
    expect((await doctor(dir)).of['journal']!.says).toContain('closed its store as it should');
    expect((await tidelog(dir, ['get', 'note/1'])).stdout).toContain('13');
  }, 60_000);
});

describe('of what a node says', () => {
  const space: SpaceStatus = {
    id: 'aa',
    name: 'home',
    epoch: '',
    role: 'owner',
    head: 9,
    commits: 9,
    subjects: 3,
    conflicts: 0,
    holes: 0,
    bytes: 900,
  };
  const device = (name: string, role: DeviceView['role'], self = false): DeviceView => ({
    id: name,
    name,
    role,
    revoked: role === null,
    self,
    recovery: false,
    connected: false,
    address: null,
    lastSeenMs: null,
    behind: null,
    ahead: null,
  });
  const other = (clockSkewMs: number | null, error: string | null = null): OtherStatus => ({
    id: 'ABCDEFG',
    name: 'phone',
    address: 'http://phone',
    connected: true,
    lastSeenMs: 0,
    behind: 0,
    ahead: 0,
    clockSkewMs,
    error,
  });
  const status = (peers: OtherStatus[], more: Partial<StatusJson> = {}): StatusJson => ({
    device: { id: '', name: '' },
    addresses: [],
    spaces: [space],
    peers,
    pending: 0,
    warnings: [],
    lastVerified: null,
    lastProvenRestorable: null,
    ...more,
  });
  const states = (findings: readonly Finding[]): string[] => findings.map(({ check, state }) => `${check} ${state}`);

  test('a clock that is a little off is well, minutes are a warning, and more than a day is bad', () => {
    expect(states(checkClocks(status([other(500), other(-900), other(null)])))).toEqual(['clocks ok']);
    expect(states(checkClocks(status([other(500), other(-120_000)])))).toEqual(['clocks warn']);
    expect(checkClocks(status([other(-120_000)]))[0]!.says).toBe('The clock of phone is 120 s behind this one');
    expect(states(checkClocks(status([other(25 * 3600_000)])))).toEqual(['clocks bad']);
    expect(checkClocks(status([other(null)]))).toEqual([]);
    expect([checkOwnClock(Date.now()).state, checkOwnClock(0).state]).toEqual(['ok', 'bad']);
  });

  test('one owner is a warning, also where it is another device; two are well', () => {
    const owners = (...devices: DeviceView[]) => checkSpace(space, devices).filter(({ check }) => check === 'owners');
    expect(owners(device('laptop', 'owner', true), device('phone', 'writer'))[0]).toMatchObject({
      state: 'warn',
      says: expect.stringContaining('one owner, this device'),
    });
    expect(owners(device('laptop', 'writer', true), device('phone', 'owner'))[0]).toMatchObject({
      state: 'warn',
      says: expect.stringContaining('one owner, phone'),
      do: expect.stringContaining('Have it'),
    });
    expect(states(owners(device('laptop', 'owner', true), device('phone', 'owner'), device('old', null)))).toEqual([
      'owners ok',
    ]);
    const paper = { ...device('recovery', 'owner'), recovery: true };
    expect(owners(device('laptop', 'owner', true), paper)[0]).toMatchObject({
      state: 'ok',
      says: 'home has 2 owners, 1 of them a recovery key',
    });
  });

  test('a recovery key that was made here is to be tried out; others are no business of this device', () => {
    const paper = { ...device('recovery', 'owner'), recovery: true };
    const laptop = device('laptop', 'owner', true);
    const noted = (triedMs: number | null) => ({
      recovery: { createdMs: 0, triedMs },
      laptop: { createdMs: 0, triedMs },
    });
    expect(checkRecovery([laptop, paper], noted(null))).toMatchObject([
      {
        state: 'warn',
        says: expect.stringContaining('never tried out'),
        do: expect.stringContaining('recovery check'),
      },
    ]);
    expect(states(checkRecovery([laptop, paper], noted(Date.now())))).toEqual(['recovery ok']);
    expect(checkRecovery([laptop, paper], {})).toEqual([]);
    expect(checkRecovery([laptop, { ...paper, role: null, revoked: true }], noted(null))).toEqual([]);
  });

  test('holes, conflicts, who waits, what failed, and other warnings, each once', () => {
    const found = checkSpace({ ...space, holes: 2, conflicts: 1 }, []);
    expect(states(found)).toEqual(['log warn', 'conflicts warn']);
    expect(found[0]!.says).toContain('2 commits came without content');
    const others = checkOthers(
      status([other(null, 'unreachable')], {
        pending: 1,
        warnings: [
          'The clock of x differs',
          'home: 2 commits came erased, and …',
          'home: … its one owner; …',
          'a fork',
        ],
      }),
    );
    expect(states(others)).toEqual(['connection warn', 'devices ok', 'pairing warn', 'warning warn']);
  });
});

/** What a node says of itself: probes, metrics, status, settings. And how it starts and stops. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, expect, test } from 'vitest';

import { CONFIG_FILE, settingsTable } from '../../../server/config.ts';
import { createLog } from '../../../server/log.ts';
import { startTestNode, type TestNode } from '../../support/node.ts';

const nodes: TestNode[] = [];
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.dispose();
});

async function start(options?: Parameters<typeof startTestNode>[0]): Promise<TestNode> {
  const node = await startTestNode(options);
  nodes.push(node);
  return node;
}

test('probes need no token, metrics do and count what happened', async () => {
  const node = await start();
  expect(await (await fetch(`${node.url}/healthz`)).text()).toBe('ok\n');
  expect(await (await fetch(`${node.url}/readyz`)).text()).toBe('ready\n');
  await node.request('PUT', '/v1/resources/a', { body: { v: 1 } });
  const metrics = await node.request('GET', '/metrics');
  expect(metrics.headers.get('content-type')).toContain('text/plain; version=0.0.4');
  const text = await metrics.text();
  expect(text).toMatch(/^tidelog_space_subjects\{space="[0-9a-f]{16}"\} \d+$/m);
  expect(text).toMatch(/^tidelog_connections_opened_total 0$/m);
  expect(text).toMatch(/^nodejs_eventloop_lag_seconds /m);
  expect((await fetch(`${node.url}/metrics`)).status).toBe(401);
});

test('status shows the device, its spaces, and where it is reached', async () => {
  const node = await start({ name: 'laptop' });
  const status = async (): Promise<unknown> => (await node.request('GET', '/v1/status')).json();
  expect(await status()).toEqual({
    device: { id: node.peer.id, name: 'laptop' },
    addresses: [node.url],
    spaces: [],
    peers: [],
    pending: 0,
    warnings: [],
    lastVerified: null,
    lastProvenRestorable: null,
  });
  await node.request('PUT', '/v1/resources/a', { body: { v: 1 } });
  expect(await status()).toMatchObject({
    spaces: [
      { id: expect.stringMatching(/^[0-9a-f]{64}$/), name: 'home', role: 'owner', head: 2, commits: 2, conflicts: 0 },
    ],
  });
});

test('settings are read and changed; what is wrong changes nothing', async () => {
  const node = await start({ name: 'laptop' });
  const config = async (): Promise<Record<string, unknown>> =>
    (await node.request('GET', '/v1/config')).json() as never;
  const before = await config();
  expect(before).toMatchObject({
    name: 'laptop',
    port: 7600,
    host: '127.0.0.1',
    connect: [],
    hostNames: [],
    logLevel: 'info',
  });

  const patch = (body: unknown): Promise<Response> => node.request('PATCH', '/v1/config', { body });
  const changed = await (await patch({ name: 'desk', port: 7700, hostNames: ['desk.local'] })).json();
  expect(changed).toEqual({
    config: { ...before, name: 'desk', port: 7700, hostNames: ['desk.local'] },
    restart: ['port'],
  });
  expect(node.peer.name).toBe('desk');
  const path = join(node.dataDir, CONFIG_FILE);
  expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({ name: 'desk', port: 7700, hostNames: ['desk.local'] });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  // At once: the new name of the host is answered to.
  expect((await fetch(`${node.url}/healthz`, { headers: { host: 'desk.local' } })).status).toBe(200);

  for (const body of [
    { port: 70_000 },
    { port: '1' },
    { host: 'a b' },
    { connect: ['ftp://x'] },
    { logLevel: 'loud' },
    { nmae: 'x' },
    { nmae: null },
    { name: '' },
  ]) {
    const response = await patch({ name: 'no', ...body });
    expect([response.status, await response.json()], JSON.stringify(body)).toMatchObject([
      400,
      { code: 'bad-config', data: { key: Object.keys(body)[0] } },
    ]);
  }
  expect(await (await patch({ port: null })).json()).toMatchObject({
    config: { name: 'desk', port: 7600 },
    restart: ['port'],
  });
});

test('docs/CONFIGURATION.md has every setting as it is', async () => {
  // However prettier aligns the table.
  const plain = (text: string): string =>
    text.replaceAll(/-+/g, '-').replaceAll(/ +/g, ' ').replaceAll('| - ', '|-').replaceAll('- |', '-|');
  const docs = await readFile(new URL('../../../docs/CONFIGURATION.md', import.meta.url), 'utf8');
  expect(plain(docs)).toContain(plain(settingsTable()));
});

test('a second node on the folder, or on the port, is refused with what holds it; then the first goes on', async () => {
  const node = await start();
  await expect(startTestNode({ dataDir: node.dataDir })).rejects.toMatchObject({
    code: 'data-in-use',
    detail: { pid: process.pid, url: node.url },
  });
  await expect(startTestNode({ port: node.port })).rejects.toMatchObject({
    code: 'port-in-use',
    detail: { port: node.port },
  });
  await expect(startTestNode({ connect: ['nonsense'] })).rejects.toMatchObject({ code: 'bad-config' });
  expect((await fetch(`${node.url}/healthz`)).status).toBe(200);
});

test('stopping lets a write under way end, and ends followers', async () => {
  const node = await start();
  await node.request('PUT', '/v1/resources/a', { body: { v: 1 } });
  const following = await node.request('GET', '/v1/commits', { headers: { accept: 'text/event-stream' } });
  const writes = Array.from({ length: 20 }, (_, n) => node.request('PUT', `/v1/resources/w${n}`, { body: { n } }));
  await Promise.race(writes);
  await node.stop();
  const statuses = (await Promise.allSettled(writes)).map((write) =>
    write.status === 'fulfilled' ? write.value.status : 0,
  );
  await following.text();
  const again = await start({ dataDir: node.dataDir });
  for (const [n, status] of statuses.entries()) {
    if (status === 201) expect((await again.request('GET', `/v1/resources/w${n}`)).status).toBe(200);
  }
  expect(statuses).toContain(201);
});

test('the log says what happened, holds no secret, and has no line for each write', async () => {
  const lines: string[] = [];
  const node = await start({ name: 'logged', log: createLog('info', 'json', { write: (line) => lines.push(line) }) });
  for (let n = 0; n < 5; n++) await node.request('PUT', '/v1/resources/a', { body: { n } });
  const invite = (await (await node.request('POST', '/v1/pairing/invites', { body: {} })).json()) as { link: string };
  await node.stop();
  const said = lines.map((line) => JSON.parse(line) as { msg: string; level: string });
  expect(said.map(({ level, msg }) => `${level} ${msg}`)).toEqual(['info started', 'info stopping', 'info stopped']);
  expect(lines.join('')).not.toContain(node.token);
  expect(lines.join('')).not.toContain(invite.link.split('#')[1]!);
});

test('pretty lines are for people', () => {
  const lines: string[] = [];
  const log = createLog('info', 'pretty', { write: (line) => lines.push(line) });
  log.info({ device: 'MFRGGZD', token: 'secret!' }, 'connected');
  log.debug('not shown');
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d info {2}connected {2}device=MFRGGZD {2}token=\[Redacted\]\n$/);
});

/** What a node shows to the machine and the network that it is on: files and their modes, where it listens, headers, paths. */
import { chmod, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';

import { randomBytes } from '../../client/platform/random.ts';
import { SUBPROTOCOL } from '../../protocol/constants.ts';
import { initDataDir, openDataDir } from '../../server/data-dir.ts';
import { startTestNode, type TestNode } from '../support/node.ts';

const isWindows = process.platform === 'win32';
const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});
let nodes: TestNode[] = [];
afterEach(async () => {
  for (const node of nodes) await node.dispose();
  nodes = [];
});

async function start(): Promise<TestNode> {
  const node = await startTestNode();
  nodes.push(node);
  return node;
}

describe.skipIf(isWindows)('secrets on the disk', () => {
  test.each(['key', 'token'])(
    'a %s that anybody else can read or write is refused, and nothing is opened',
    async (file) => {
      const root = await mkdtemp(join(tmpdir(), 'tidelog-test-'));
      folders.push(root);
      const dir = join(root, 'data');
      await initDataDir(dir, { random: randomBytes });
      const path = join(dir, file);
      expect((await stat(path)).mode & 0o777).toBe(0o600);
      for (const mode of [0o640, 0o604, 0o660, 0o602, 0o610, 0o644, 0o666]) {
        await chmod(path, mode);
        await expect(openDataDir(dir)).rejects.toMatchObject({
          code: 'key-unsafe',
          message: expect.stringContaining(`${path} has mode ${mode.toString(8)}`),
        });
      }
      for (const mode of [0o600, 0o400]) {
        await chmod(path, mode);
        await (await openDataDir(dir)).release();
      }
    },
  );

  test('everything that a node keeps is for its user alone, whatever the umask', async () => {
    const umask = process.umask(0);
    try {
      const { dataDir, request } = await start();
      await request('PATCH', '/v1/config', { body: { logLevel: 'debug' } });
      // Enough small writes that there is a journal.
      for (let n = 0; n < 20; n++) await request('PUT', `/v1/resources/n${n}`, { body: { n } });
      const wide: string[] = [];
      const look = async (dir: string): Promise<void> => {
        for (const entry of await readdir(dir, { withFileTypes: true })) {
          const path = join(dir, entry.name);
          const status = await stat(path);
          const { mode } = status;
          // The lock is a socket, or a link to one, that tells pid and address; a folder that others can't enter keeps it too.
          if (!status.isSocket() && (mode & 0o077) !== 0) wide.push(`${path} ${(mode & 0o777).toString(8)}`);
          if (entry.isDirectory()) await look(path);
        }
      };
      await look(dataDir);
      expect(wide).toEqual([]);
    } finally {
      process.umask(umask);
    }
  });
});

describe('the network', () => {
  test('unless told otherwise a node listens on loopback alone', async () => {
    const { port, addresses } = await start();
    expect(addresses()).toEqual([`http://127.0.0.1:${port}`]);
    const others = Object.values(networkInterfaces())
      .flatMap((all) => all ?? [])
      .filter(({ internal, family }) => !internal && family === 'IPv4');
    for (const { address } of others) {
      const refused = await new Promise<boolean>((resolve) => {
        const socket = connect({ host: address, port });
        socket.once('connect', () => resolve(false)).once('error', () => resolve(true));
        socket.once('connect', () => socket.destroy());
      });
      expect(refused, address).toBe(true);
    }
  });

  test('every answer has the headers that keep browsers from using it, and none sets a cookie or opens it to other sites', async () => {
    const { url, request } = await start();
    await request('PUT', '/v1/resources/a', { body: { v: 1 } });
    const { headers } = await request('GET', '/v1/resources/a');
    const etag = headers.get('etag')!;
    const abort = new AbortController();
    const answers: [what: string, status: number, response: Response][] = [
      ['the page', 200, await fetch(`${url}/`)],
      ['a probe', 200, await fetch(`${url}/healthz`)],
      ['no token', 401, await fetch(`${url}/v1/status`)],
      [
        'a preflight of another site',
        421,
        await fetch(`${url}/v1/status`, { method: 'OPTIONS', headers: { origin: 'http://evil.example' } }),
      ],
      ['status', 200, await request('GET', '/v1/status')],
      ['metrics', 200, await request('GET', '/metrics')],
      ['a resource', 200, await request('GET', '/v1/resources/a')],
      ['its head', 200, await request('HEAD', '/v1/resources/a')],
      ['not modified', 304, await request('GET', '/v1/resources/a', { headers: { 'if-none-match': etag } })],
      ['a write', 200, await request('PUT', '/v1/resources/a', { body: { v: 2 } })],
      ['a fault of the client', 400, await request('POST', '/v1/commits', { body: 'no JSON' })],
      ['what is not there', 404, await request('GET', '/v1/nothing')],
      ['a method that is not possible', 405, await request('PUT', '/v1/status')],
      ['export', 200, await request('GET', '/v1/export')],
      [
        'events',
        200,
        await request('GET', '/v1/commits', { headers: { accept: 'text/event-stream' }, signal: abort.signal }),
      ],
      ['an upgrade without the subprotocol', 400, await upgrade(url)],
    ];
    for (const [what, status, response] of answers) {
      expect(response.status, what).toBe(status);
      expect(Object.fromEntries(response.headers), what).toMatchObject({
        'cache-control': 'no-store',
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
        'cross-origin-resource-policy': 'same-origin',
        'referrer-policy': 'no-referrer',
        'x-content-type-options': 'nosniff',
      });
      const names = [...response.headers.keys()];
      expect(
        names.filter((name) => name === 'set-cookie' || name.startsWith('access-control-')),
        what,
      ).toEqual([]);
    }
    abort.abort();
  });

  /** fetch sends no upgrades. */
  async function upgrade(url: string): Promise<Response> {
    const text = await rawRequest(url, [
      'GET /sync HTTP/1.1',
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Protocol: chat',
    ]);
    const [status, ...lines] = text.split('\r\n\r\n')[0]!.split('\r\n') as [string, ...string[]];
    const headers = new Headers(lines.map((line) => line.split(/: (.*)/s).slice(0, 2) as [string, string]));
    return new Response(null, { status: Number(status.split(' ')[1]), headers });
  }

  async function rawRequest(url: string, [first, ...lines]: readonly [string, ...string[]]): Promise<string> {
    const { hostname, port, host } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port) });
    socket.write(
      `${[first, ...(lines.some((line) => /^host:/i.test(line)) ? [] : [`Host: ${host}`]), ...lines].join('\r\n')}\r\n\r\n`,
    );
    let text = '';
    for await (const chunk of socket) {
      text += String(chunk);
      if (text.includes('\r\n\r\n')) break;
    }
    return text;
  }

  test('a second Host or Origin does not stand in for the first, over HTTP and at /sync', async () => {
    const { url } = await start();
    const { host } = new URL(url);
    const socket = [
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Version: 13',
      `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
    ];
    for (const [first, more] of [
      ['GET /healthz HTTP/1.1', []],
      ['GET /sync HTTP/1.1', socket],
    ] as const) {
      for (const pair of [
        ['Host: evil.example', `Host: ${host}`],
        [`Host: ${host}`, 'Host: evil.example'],
        [`Host: ${host}`, 'Origin: http://evil.example', `Origin: ${url}`],
        [`Host: ${host}`, `Origin: ${url}`, 'Origin: http://evil.example'],
        [`Host: ${host}`, 'Origin: null'],
      ]) {
        const status = (await rawRequest(url, [first, ...pair, ...more])).split(' ')[1];
        expect(['400', '421'], `${first} ${pair.join(', ')}`).toContain(status);
      }
    }
  });

  test('no path leads to a file', async () => {
    const { url, token, dataDir } = await start();
    const secret = await readFile(join(dataDir, 'key'), 'utf8');
    for (const path of [
      '/../key',
      '/..%2fkey',
      '/%2e%2e/key',
      '/key',
      '/token',
      '/config.json',
      '//etc/passwd',
      '/v1/../../etc/passwd',
      '/v1/resources/..%2f..%2fkey',
      '/v1/resources/../../../key',
      '/.\\..\\key',
      '/%00',
    ]) {
      const text = await rawRequest(url, [`GET ${path} HTTP/1.1`, `Authorization: Bearer ${token}`]);
      expect(['400', '404'], path).toContain(text.split(' ')[1]);
      expect(text).not.toContain('root:');
      expect(text).not.toContain(secret.trim().split('\n')[1]!);
    }
  });
});

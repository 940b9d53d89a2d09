/** The socket side of a node, with a handler and an acceptor of the test's own. */
import { connect, type Socket } from 'node:net';

import { afterEach, expect, test } from 'vitest';

import type { Transport } from '../../client/transport.ts';
import { MESSAGE_BYTES_MAX, NOISE_MESSAGE_BYTES, SUBPROTOCOL } from '../../protocol/constants.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { networkOf, startHttpServer, type HttpServer, type HttpServerOptions } from '../../server/http-server.ts';
import { REQUEST_BYTES_MAX, json, type ApiRequest, type ApiResponse } from '../../server/http/message.ts';
import { silentLog } from '../../server/log.ts';

const TOKEN = 'a-token-for-tests';
const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const thing of opened.splice(0).reverse()) await thing.close();
});

async function serve(options: Partial<HttpServerOptions> = {}): Promise<HttpServer & { url: string; sync: string }> {
  const server = await startHttpServer({
    host: '127.0.0.1',
    port: 0,
    token: TOKEN,
    hostNames: () => [],
    connectionsMax: 10,
    connectionsPerAddressMax: 10,
    handle: async (request) => json(describe(request)),
    accept: () => {},
    log: silentLog(),
    ...options,
  });
  opened.push(server);
  const at = `127.0.0.1:${server.port}`;
  return Object.assign(server, { url: `http://${at}`, sync: `ws://${at}/sync` });
}

function describe({ method, path, query, body }: ApiRequest): Record<string, unknown> {
  return { method, path, query: [...query], bytes: body.length };
}

const withToken = (headers: Record<string, string> = {}): Record<string, string> => ({
  authorization: `Bearer ${TOKEN}`,
  ...headers,
});

async function codeOf(response: Response): Promise<[status: number, code: unknown]> {
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  return [response.status, ((await response.json()) as { code: unknown }).code];
}

/** One request as it stands, byte by byte; fetch would mend what is wrong. */
async function raw(port: number, lines: readonly string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  opened.push({ close: () => socket.destroy() });
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  let text = '';
  for await (const chunk of socket) {
    text += String(chunk);
    if (text.includes('\r\n\r\n')) break;
  }
  return text;
}

test('a request reaches the handler as it came, and the answer has the security headers', async () => {
  const { url } = await serve();
  const response = await fetch(`${url}/v1/resources/a%2Fb%20c?limit=3&q=%C3%A9`, {
    method: 'PATCH',
    headers: withToken(),
    body: 'xyz',
  });
  expect(await response.json()).toEqual({
    method: 'PATCH',
    path: '/v1/resources/a%2Fb%20c',
    query: [
      ['limit', '3'],
      ['q', 'é'],
    ],
    bytes: 3,
  });
  expect(response.headers.get('x-content-type-options')).toBe('nosniff');
  expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
  expect(response.headers.get('cache-control')).toBe('no-store');
});

test('HEAD is answered like GET, without the body', async () => {
  const { url } = await serve();
  const response = await fetch(`${url}/x`, { method: 'HEAD', headers: withToken() });
  expect(response.status).toBe(200);
  expect(await response.text()).toBe('');
});

test('the longest subject fits in a path when every byte of it is escaped', async () => {
  const { url } = await serve();
  const response = await fetch(`${url}/v1/resources/${'%C3%A9'.repeat(512)}`, { headers: withToken() });
  expect(response.status).toBe(200);
});

test('without the token, or with another one, nothing but the probes answers', async () => {
  const { url } = await serve();
  expect(await codeOf(await fetch(`${url}/v1/status`))).toEqual([401, 'bad-token']);
  for (const authorization of [`Bearer ${TOKEN}x`, `Bearer ${TOKEN.slice(1)}`, 'Bearer', `Basic ${TOKEN}`, '']) {
    expect(await codeOf(await fetch(`${url}/metrics`, { headers: { authorization } })), authorization).toEqual([
      401,
      'bad-token',
    ]);
  }
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
});

test('who shows neither token nor session keeps no place by a body that never comes', async () => {
  const { url, port } = await serve();
  const head = (line: string, ...more: string[]): string[] => [`${line} HTTP/1.1`, 'Host: localhost', ...more];
  for (const line of ['GET /', 'GET /healthz', 'GET /web/main.js'])
    expect(await raw(port, head(line, 'Content-Length: 1')), line).toMatch(/^HTTP\/1\.1 413 /);
  expect(await raw(port, head('POST /healthz', 'Content-Length: 1'))).toMatch(/^HTTP\/1\.1 401 /);
  expect(await raw(port, head('POST /v1/session', 'Content-Length: 1025'))).toMatch(/^HTTP\/1\.1 413 /);
  expect(await raw(port, head('POST /v1/session', 'Transfer-Encoding: chunked'))).toMatch(/^HTTP\/1\.1 413 /);
  // What may have a body is counted for itself.
  for (let i = 0; i < 300; i++) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    opened.push({ close: () => socket.destroy() });
    socket.write(`${head('POST /v1/session', 'Content-Length: 1').join('\r\n')}\r\n\r\n`);
  }
  expect(await raw(port, head('POST /v1/session', 'Content-Length: 1'))).toMatch(/^HTTP\/1\.1 429 /);
  expect((await fetch(`${url}/v1/status`, { headers: withToken() })).status).toBe(200);
});

test('a Host that is not ours is refused: a rebound name must not reach the node', async () => {
  const { port } = await serve({ hostNames: () => ['Pi.local'] });
  const status = async (host: string): Promise<string> =>
    (await raw(port, ['GET /healthz HTTP/1.1', ...(host === '' ? [] : [`Host: ${host}`])])).split(' ')[1]!;
  for (const host of [
    'localhost',
    'LOCALHOST:7600',
    'x.localhost',
    '127.0.0.1',
    '192.168.1.20:7600',
    '[::1]:7600',
    'pi.local',
    'pi.local.',
  ])
    expect([host, await status(host)]).toEqual([host, '200']);
  for (const host of [
    'evil.example',
    'localhost.evil.example:7600',
    '127.0.0.1.evil.example',
    'pi.local@evil',
    '[::1',
    'a b',
    ':',
  ])
    expect([host, await status(host)]).toEqual([host, '421']);
});

test('a page of another origin is refused, and one of our own is not', async () => {
  const { url, port } = await serve();
  expect((await fetch(`${url}/healthz`, { headers: { origin: url } })).status).toBe(200);
  for (const origin of ['https://evil.example', `http://localhost:${port}`, `http://127.0.0.1:${port + 1}`, 'null'])
    expect(await codeOf(await fetch(`${url}/healthz`, { headers: { origin } })), origin).toEqual([421, 'bad-host']);
});

test('a body is limited while it is read, whether its length was told or not', async () => {
  const { url } = await serve();
  const post = (body: RequestInit['body']): Promise<Response> =>
    fetch(`${url}/v1/import`, { method: 'POST', headers: withToken(), body, duplex: 'half' } as RequestInit);
  expect(await (await post(new Uint8Array(REQUEST_BYTES_MAX))).json()).toMatchObject({ bytes: REQUEST_BYTES_MAX });
  expect(await codeOf(await post(new Uint8Array(REQUEST_BYTES_MAX + 1)))).toEqual([413, 'body-too-large']);
  let sent = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      sent += 65_536;
      controller.enqueue(new Uint8Array(65_536));
    },
  });
  const answer = await post(endless).then(codeOf, () => 'cut off');
  expect([[413, 'body-too-large'], 'cut off']).toContainEqual(answer);
  expect(sent).toBeLessThan(4 * REQUEST_BYTES_MAX);
});

test('a handler is told when its client goes away', async () => {
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  const { promise: called, resolve: onCall } = Promise.withResolvers<void>();
  const { url } = await serve({
    handle: (request) => {
      request.signal.addEventListener('abort', () => resolve());
      onCall();
      return new Promise<ApiResponse>(() => {});
    },
  });
  const abort = new AbortController();
  const request = fetch(`${url}/x`, { headers: withToken(), signal: abort.signal });
  await called;
  abort.abort();
  await expect(request).rejects.toThrow();
  await aborted;
});

test('a stream is read from its source no faster than the client takes it', async () => {
  let made = 0;
  async function* pieces(): AsyncGenerator<string> {
    for (; made < 1000; made++) yield 'x'.repeat(1024 * 1024);
  }
  const { port } = await serve({ handle: async () => ({ status: 200, headers: {}, body: pieces() }) });
  const socket: Socket = connect(port, '127.0.0.1');
  opened.push({ close: () => socket.destroy() });
  socket.write(`GET /x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`);
  socket.pause();
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(made).toBeLessThan(50);
});

test('streams of events are limited, so that there is always room for requests', async () => {
  const { url } = await serve({
    handle: async (request) => {
      if (request.path !== '/events') return json('fine');
      async function* waits(): AsyncGenerator<string> {
        yield ': hello\n\n';
        await new Promise((resolve) => request.signal.addEventListener('abort', resolve));
      }
      return { status: 200, headers: { 'content-type': 'text/event-stream' }, body: waits() };
    },
  });
  const abort = new AbortController();
  const follow = (): Promise<Response> => fetch(`${url}/events`, { headers: withToken(), signal: abort.signal });
  const answers = await Promise.all(Array.from({ length: 130 }, follow));
  expect(answers.map(({ status }) => status).toSorted()).toEqual([...Array.from({ length: 128 }, () => 200), 429, 429]);
  expect((await fetch(`${url}/x`, { headers: withToken() })).status).toBe(200);
  abort.abort();
  await expect
    .poll(async () => (await fetch(`${url}/events`, { method: 'HEAD', headers: withToken() })).status)
    .toBe(200);
});

test('a fault of our own handler answers 500 or cuts, and the server goes on', async () => {
  async function* breaks(): AsyncGenerator<string> {
    yield 'a';
    throw new Error('planted');
  }
  const { url } = await serve({ handle: async () => ({ status: 200, headers: {}, body: breaks() }) });
  await expect(fetch(`${url}/x`, { headers: withToken() }).then((response) => response.text())).rejects.toThrow();
  expect((await fetch(`${url}/healthz`, { method: 'HEAD' })).status).toBe(200);
});

test('a port that is taken, and an address that is not ours, are typed errors', async () => {
  const { port } = await serve();
  const codeOfStart = (options: Partial<HttpServerOptions>): Promise<unknown> =>
    serve(options).then(
      () => 'listens',
      (thrown: unknown) => (thrown instanceof TidelogError ? thrown.code : thrown),
    );
  expect(await codeOfStart({ port })).toBe('port-in-use');
  expect(await codeOfStart({ host: '203.0.113.1' })).toBe('bad-argument');
});

// ---- /sync

function dial(
  url: string,
  protocol = SUBPROTOCOL,
  headers: Record<string, string> = {},
): Promise<WebSocket | 'refused'> {
  // The second form is Node's own, for headers that a browser would set.
  const socket = new WebSocket(url, { protocols: protocol, headers } as unknown as string);
  socket.binaryType = 'arraybuffer';
  opened.push({ close: () => socket.close() });
  return new Promise((resolve) => {
    socket.onopen = () => resolve(socket);
    socket.onerror = () => resolve('refused');
  });
}

/** A transport that keeps what happens. */
function recorder() {
  const transports: Transport[] = [];
  const events: string[] = [];
  const accept = (transport: Transport): void => {
    transports.push(transport);
    transport.start({
      onMessage: (bytes) => {
        events.push(`message ${bytes.length}`);
        transport.send(bytes);
      },
      onDrain: () => events.push('drain'),
      onClose: () => events.push('close'),
    });
  };
  return { transports, events, accept };
}

test('a connection to /sync becomes a transport: messages both ways, and a close with its code', async () => {
  const { transports, events, accept } = recorder();
  const { sync } = await serve({ accept });
  const socket = (await dial(sync)) as WebSocket;
  expect(socket.protocol).toBe(SUBPROTOCOL);
  const answer = new Promise<ArrayBuffer>((resolve) => (socket.onmessage = ({ data }) => resolve(data as ArrayBuffer)));
  socket.send(new Uint8Array(NOISE_MESSAGE_BYTES).fill(7));
  expect(new Uint8Array(await answer)).toEqual(new Uint8Array(NOISE_MESSAGE_BYTES).fill(7));
  expect(transports[0]!.remoteAddress).toBe('127.0.0.1');
  const closed = new Promise<{ code: number; reason: string }>((resolve) => (socket.onclose = resolve));
  transports[0]!.close(4014, 'shutting-down');
  const { code, reason } = await closed;
  expect([code, reason]).toEqual([4014, 'shutting-down']);
  expect(events).toEqual([`message ${NOISE_MESSAGE_BYTES}`, 'close']);
  // Nothing of this may throw once it is closed.
  transports[0]!.send(new Uint8Array(1));
  transports[0]!.close(1000, '');
  expect(transports[0]!.bufferedBytes).toBe(0);
});

test('a text message, and one larger than a Noise message, end the connection', async () => {
  const { accept } = recorder();
  const { sync } = await serve({ accept });
  for (const message of ['text', new Uint8Array(NOISE_MESSAGE_BYTES + 1)]) {
    const socket = (await dial(sync)) as WebSocket;
    const closed = new Promise((resolve) => (socket.onclose = resolve));
    socket.send(message);
    await closed;
  }
});

test('an upgrade needs the subprotocol, a Host of ours, and an origin that may be a node', async () => {
  const { accept } = recorder();
  const { sync, port } = await serve({ accept });
  expect(await dial(sync, 'other.1')).toBe('refused');
  const upgrade = [
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Key: ${'A'.repeat(22)}==`,
    'Sec-WebSocket-Version: 13',
  ];
  const answer = await raw(port, [
    'GET /sync HTTP/1.1',
    'Host: evil.example',
    ...upgrade,
    `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
  ]);
  expect(answer).toContain('421');
  expect(await dial(sync, SUBPROTOCOL, { origin: 'https://evil.example' })).toBe('refused');
  expect(await dial(sync, SUBPROTOCOL, { origin: 'http://192.168.1.30:7600' })).not.toBe('refused');
});

test('connections are limited in total and by address, and a place that is left is free again', async () => {
  const { accept } = recorder();
  const { sync } = await serve({ accept, connectionsPerAddressMax: 2 });
  const first = (await dial(sync)) as WebSocket;
  expect(await dial(sync)).not.toBe('refused');
  expect(await dial(sync)).toBe('refused');
  const closed = new Promise((resolve) => (first.onclose = resolve));
  first.close();
  await closed;
  await expect.poll(async () => await dial(sync)).not.toBe('refused');

  const { sync: small } = await serve({ accept, connectionsMax: 1 });
  expect(await dial(small)).not.toBe('refused');
  expect(await dial(small)).toBe('refused');
});

/** Opens a WebSocket from one of this machine's loopback addresses, and says nothing. Resolves with the status, and with a close frame's code if one comes. */
async function silent(port: number, localAddress: string): Promise<{ status: string; code: Promise<number> }> {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  opened.push({ close: () => socket.destroy() });
  socket.on('error', () => {});
  socket.write(
    `GET /sync HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n\r\n`,
  );
  const code = Promise.withResolvers<number>();
  const status = await new Promise<string>((resolve) => {
    socket.on('data', (data: Buffer) => {
      if (data[0] === 0x88) code.resolve(data.readUInt16BE(2));
      else resolve(data.toString('latin1').split(' ')[1]!);
    });
  });
  return { status, code: code.promise };
}

test.skipIf(process.platform !== 'linux')(
  'whoever has several addresses, and says nothing from any, keeps nobody out',
  async () => {
    const { port } = await serve({ connectionsMax: 500, connectionsPerAddressMax: 100 });
    const first = await silent(port, '127.0.0.2');
    for (let i = 1; i < 32; i++) expect((await silent(port, '127.0.0.2')).status).toBe('101');
    for (let i = 0; i < 31; i++) expect((await silent(port, '127.0.0.3')).status).toBe('101');
    // One address has its share and no more.
    expect((await silent(port, '127.0.0.2')).status).toBe('429');
    expect((await silent(port, '127.0.0.4')).status).toBe('101');
    // All places are taken: somebody new gets that of the oldest where there are most.
    expect((await silent(port, '127.0.0.1')).status).toBe('101');
    expect(await first.code).toBe(4011);
  },
);

test('an IPv6 network counts as one address', () => {
  expect(networkOf('2001:0db8:0000:0001:0000:0000:0000:0007')).toBe('2001:0db8:0000:0001::/64');
  expect(networkOf('192.168.1.20')).toBe('192.168.1.20');
});

test('what a reader does not take is seen, and past the limit the connection is cut', async () => {
  const { transports, events, accept } = recorder();
  const { port } = await serve({ accept });
  const socket = connect(port, '127.0.0.1');
  opened.push({ close: () => socket.destroy() });
  socket.write(
    `GET /sync HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${'A'.repeat(22)}==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n\r\n`,
  );
  await expect.poll(() => transports.length).toBe(1);
  socket.pause();
  const [transport] = transports;
  const piece = new Uint8Array(NOISE_MESSAGE_BYTES);
  for (let sent = 0; sent < MESSAGE_BYTES_MAX * 2; sent += piece.length) transport!.send(piece);
  expect(transport!.bufferedBytes).toBeGreaterThan(0);
  expect(events).toEqual([]);
  for (let sent = 0; sent < 100 * 1024 * 1024 && events.length === 0; sent += piece.length) transport!.send(piece);
  await expect.poll(() => events).toEqual(['close']);
});

test('a server that stops takes nothing new, lets requests end, and ends streams of events', async () => {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  const server = await serve({
    handle: async (request) => {
      if (request.path === '/events') {
        async function* waits(): AsyncGenerator<string> {
          yield ': hello\n\n';
          await new Promise((resolve) => request.signal.addEventListener('abort', resolve));
        }
        return { status: 200, headers: { 'content-type': 'text/event-stream' }, body: waits() };
      }
      await gate;
      return json('done');
    },
  });
  const slow = fetch(`${server.url}/slow`, { headers: withToken() });
  const events = await fetch(`${server.url}/events`, { headers: withToken() });
  server.stopAccepting();
  expect(await events.text()).toBe(': hello\n\n');
  const idle = server.idle(2000);
  open();
  expect(await (await slow).json()).toBe('done');
  await idle;
  // On a connection that is open already it says so; a new one finds nobody.
  expect(await codeOf(await fetch(`${server.url}/healthz`))).toEqual([503, 'shutting-down']);
  await expect(raw(server.port, ['GET /healthz HTTP/1.1', 'Host: localhost'])).rejects.toThrow('ECONNREFUSED');
});

/** Who is let in at the page: by a link that works once, then by a session of two halves; and what is served to whom. */
import { once } from 'node:events';
import { get, request, type IncomingMessage } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';

import { nodePlatform } from '../../client/platform/node.ts';
import { Sessions } from '../../server/sessions.ts';
import { startTestNode, type TestNode } from '../support/node.ts';
import { buildPage } from './browser.ts';

const nodes: TestNode[] = [];
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.dispose();
});

async function startNode(): Promise<TestNode> {
  const node = await startTestNode();
  nodes.push(node);
  return node;
}

interface Session {
  readonly cookie: string;
  readonly key: string;
}

async function newSecret(node: TestNode): Promise<string> {
  const response = await node.request('POST', '/v1/session/links');
  expect(response.status).toBe(201);
  const { path } = (await response.json()) as { path: string };
  return /^\/#session=([\w-]{32})$/.exec(path)![1]!;
}

function exchange(node: TestNode, secret: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${node.url}/v1/session`, { method: 'POST', body: JSON.stringify({ secret }), headers });
}

async function begin(node: TestNode): Promise<Session> {
  const response = await exchange(node, await newSecret(node));
  expect(response.status).toBe(201);
  const { key } = (await response.json()) as { key: string };
  return { cookie: response.headers.get('set-cookie')!.split(';')[0]!, key };
}

function ask(
  node: TestNode,
  { cookie, key }: Partial<Session>,
  {
    method = 'GET',
    path = '/v1/status',
    headers = {},
  }: { method?: string; path?: string; headers?: Record<string, string> } = {},
): Promise<Response> {
  const body = method === 'PUT' ? '{"title":"Milk"}' : undefined;
  return fetch(node.url + path, {
    method,
    headers: {
      ...(cookie !== undefined && { cookie }),
      ...(key !== undefined && { 'x-tidelog-session': key }),
      ...headers,
    },
    ...(body !== undefined && { body }),
  });
}

async function codeOf(response: Response): Promise<unknown> {
  return ((await response.json()) as { code?: unknown }).code;
}

describe('a link', () => {
  test('lets in once', async () => {
    const node = await startNode();
    const secret = await newSecret(node);
    expect((await exchange(node, secret)).status).toBe(201);
    const again = await exchange(node, secret);
    expect([again.status, await codeOf(again)]).toEqual([401, 'bad-token']);
  });

  test('that nobody made lets nobody in', async () => {
    const node = await startNode();
    await newSecret(node);
    expect((await exchange(node, 'x'.repeat(32))).status).toBe(401);
  });

  test('that is too old lets nobody in', async () => {
    const node = await startNode();
    const response = await node.request('POST', '/v1/session/links', { body: { lifeMs: 1000 } });
    const { path, expiresMs } = (await response.json()) as { path: string; expiresMs: number };
    while (Date.now() <= expiresMs) await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await exchange(node, path.slice('/#session='.length))).status).toBe(401);
  });

  test('lives ten minutes at most', async () => {
    const node = await startNode();
    const response = await node.request('POST', '/v1/session/links', { body: { lifeMs: 601_000 } });
    expect([response.status, await codeOf(response)]).toEqual([400, 'bad-argument']);
  });

  test('is not given to a session, nor to anybody without the token', async () => {
    const node = await startNode();
    const session = await begin(node);
    const headers = { origin: node.url };
    for (const who of [session, {}])
      expect((await ask(node, who, { method: 'POST', path: '/v1/session/links', headers })).status).toBe(401);
  });
});

describe('a session', () => {
  test('has a cookie that no script sees and no other site sends', async () => {
    const node = await startNode();
    const response = await exchange(node, await newSecret(node));
    const cookie = response.headers.get('set-cookie')!;
    expect(cookie).toMatch(/^tidelog-[A-Z2-7]{7}=[\w-]{32}; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Strict$/);
    const secure = await exchange(node, await newSecret(node), { origin: node.url.replace('http:', 'https:') });
    expect(secure.headers.get('set-cookie')).toMatch(/; Secure$/);
  });

  test('needs both halves', async () => {
    const node = await startNode();
    const session = await begin(node);
    const other = await begin(node);
    expect((await ask(node, session)).status).toBe(200);
    for (const part of [{ cookie: session.cookie }, { key: session.key }, { cookie: session.cookie, key: other.key }])
      expect((await ask(node, part)).status).toBe(401);
  });

  test('doesn’t help a wrong token', async () => {
    const node = await startNode();
    const session = await begin(node);
    expect((await ask(node, session, { headers: { authorization: 'Bearer wrong' } })).status).toBe(401);
  });

  test('writes only from the node’s own page', async () => {
    const node = await startNode();
    const session = await begin(node);
    const write = { method: 'PUT', path: '/v1/resources/note' };
    const refused: Record<string, string>[] = [
      {},
      { origin: 'http://evil.example' },
      { origin: node.url, 'sec-fetch-site': 'same-site' },
      { origin: node.url, 'sec-fetch-site': 'cross-site' },
    ];
    for (const headers of refused) {
      const response = await ask(node, session, { ...write, headers });
      expect([headers, response.status, await codeOf(response)]).toEqual([headers, 421, 'bad-host']);
    }
    expect((await ask(node, session, { headers: { 'sec-fetch-site': 'same-site' } })).status).toBe(421);
    const fine = await ask(node, session, { ...write, headers: { origin: node.url, 'sec-fetch-site': 'same-origin' } });
    expect(fine.status).toBe(201);
  });

  test('ends when it says so, and all end by the token', async () => {
    const node = await startNode();
    const [one, other, third] = [await begin(node), await begin(node), await begin(node)];
    const headers = { origin: node.url };
    const ended = await ask(node, one, { method: 'DELETE', path: '/v1/session', headers });
    expect(ended.headers.get('set-cookie')).toMatch(/Max-Age=0/);
    expect((await ask(node, one)).status).toBe(401);
    expect((await ask(node, other)).status).toBe(200);
    expect(await (await node.request('DELETE', '/v1/session')).json()).toEqual({ ended: 2 });
    for (const session of [other, third]) expect((await ask(node, session)).status).toBe(401);
  });
});

describe('what a session has begun', () => {
  const follow = (node: TestNode, session: Session, path = '/v1/commits'): Promise<Response> =>
    ask(node, session, { path, headers: { accept: 'text/event-stream' } });

  test('a stream of events ends with it: by itself, by the token, and not by the end of another', async () => {
    const node = await startNode();
    await node.request('PUT', '/v1/resources/note', { body: { title: 'Milk' } });
    const [one, other] = [await begin(node), await begin(node)];
    const [ofOne, ofOther] = [await follow(node, one), await follow(node, other)];
    const reader = ofOther.body!.pipeThrough(new TextDecoderStream()).getReader();

    const headers = { origin: node.url };
    const ended = await ask(node, one, { method: 'DELETE', path: '/v1/session', headers });
    expect([ended.status, await ended.json()]).toEqual([200, { ended: 1 }]);
    await node.request('PUT', '/v1/resources/secret', { body: { title: 'of nobody’s session' } });
    expect(await ofOne.text()).not.toContain('secret');

    let seen = '';
    while (!seen.includes('secret')) seen += (await reader.read()).value ?? expect.fail('the other stream ended, too');
    await node.request('DELETE', '/v1/session');
    for (;;) if ((await reader.read()).done) break;
    expect((await follow(node, other)).status).toBe(401);
  });

  test('a stream of events ends when newer sessions take its place', async () => {
    const node = await startNode();
    await node.request('PUT', '/v1/resources/note', { body: { title: 'Milk' } });
    const stream = await follow(node, await begin(node));
    for (let i = 0; i < 64; i++) await begin(node);
    expect(await stream.text()).toContain('Milk');
  });

  test('a stream of events ends when it is too old, also where nobody asks for anything', () => {
    let now = 1_000_000;
    const device = 'ABCDEFG';
    const { crypto, random } = nodePlatform();
    const sessions = new Sessions({ crypto, random, nowMs: () => now, device });
    const { cookie, key } = sessions.redeem(sessions.newLink().secret);
    const headers = new Map([
      ['cookie', `tidelog-${device}=${cookie}`],
      ['x-tidelog-session', key],
    ]);
    const { expiresMs, over } = sessions.of(headers)!;
    now = expiresMs - 1;
    sessions.forgetOld();
    expect(over.aborted).toBe(false);
    now = expiresMs;
    sessions.forgetOld();
    expect(over.aborted).toBe(true);
    expect(sessions.of(headers)).toBe(null);
  });

  test('a write whose body is still on its way is refused', async () => {
    const node = await startNode();
    const { cookie, key } = await begin(node);
    const headers = { cookie, 'x-tidelog-session': key, origin: node.url, 'content-length': '17' };
    const late = request(`${node.url}/v1/resources/note`, { method: 'PUT', headers });
    const answered = once(late, 'response') as Promise<[IncomingMessage]>;
    await new Promise((resolve) => late.write('{"title":', resolve));
    // By when this is answered the node has those headers.
    await node.request('GET', '/v1/status');
    await node.request('DELETE', '/v1/session');
    late.end('"Milk!"}');
    expect((await answered)[0].statusCode).toBe(401);
    expect((await node.request('GET', '/v1/resources/note')).status).toBe(404);
  });
});

describe('the page', () => {
  test('comes with a policy that lets in nothing inline and nothing from elsewhere', async () => {
    buildPage();
    const node = await startNode();
    const response = await fetch(`${node.url}/`, { headers: { accept: 'text/html' } });
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
    const policy = response.headers.get('content-security-policy')!;
    for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"])
      expect(policy).toContain(part);
    expect(policy).not.toContain('unsafe');
    expect(response.headers.get('referrer-policy')).toBe('no-referrer');
    expect(response.headers.get('cross-origin-opener-policy')).toBe('same-origin');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');

    const html = await response.text();
    const script = /src="(\/web\/main-[\w]+\.js)"/.exec(html)![1]!;
    const file = await fetch(node.url + script);
    expect(file.headers.get('cache-control')).toContain('immutable');
    expect(file.headers.get('content-type')).toBe('text/javascript; charset=utf-8');
    const again = await fetch(node.url + script, { headers: { 'if-none-match': file.headers.get('etag')! } });
    expect(again.status).toBe(304);
  });

  test('keeps its window to itself where a browser heeds that, and is silent where it would only complain', async () => {
    buildPage();
    const node = await startNode();
    const policyAt = (headers: Record<string, string>): Promise<string | undefined> =>
      new Promise((resolve, reject) => {
        const asking = get(`${node.url}/`, { headers: { accept: 'text/html', ...headers } }, (response) => {
          response.resume();
          expect(response.headers['content-security-policy']).toContain("default-src 'none'");
          resolve(response.headers['cross-origin-opener-policy'] as string | undefined);
        });
        asking.on('error', reject);
      });
    for (const host of ['127.0.0.1:7600', 'localhost', '[::1]:7600'])
      expect(await policyAt({ host }), host).toBe('same-origin');
    expect(await policyAt({ host: '192.168.1.20:7600' })).toBeUndefined();
    // TLS ends before the node. A browser sends this to trustworthy origins alone.
    expect(await policyAt({ host: '192.168.1.20', 'sec-fetch-dest': 'document' })).toBe('same-origin');
  });

  test('gives no file but its own', async () => {
    const node = await startNode();
    for (const name of ['nothing.js', '..%2Fmain.tsx', '%2e%2e%2fsource.ts', '..%2f..%2fpackage.json'])
      expect((await fetch(`${node.url}/web/${name}`)).status).toBe(404);
  });

  test('says a line to who asks for no page', async () => {
    const node = await startNode();
    expect(await (await fetch(`${node.url}/`)).text()).toContain('This is a Tidelog node');
  });
});

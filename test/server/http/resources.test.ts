import { afterAll, beforeAll, expect, test } from 'vitest';

import { startTestNode, type TestNode } from '../../support/node.ts';

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.dispose());

const at = (subject: string, query = ''): string => `/v1/resources/${encodeURIComponent(subject)}${query}`;

async function problem(response: Response): Promise<unknown[]> {
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  const body = (await response.json()) as Record<string, unknown>;
  expect(body['status']).toBe(response.status);
  expect(body['type']).toBe(`urn:tidelog:error:${String(body['code'])}`);
  return [response.status, body['code']];
}

async function read(subject: string): Promise<unknown> {
  return (await node.request('GET', at(subject))).json();
}

async function etagOf(subject: string): Promise<string> {
  return (await node.request('GET', at(subject))).headers.get('etag')!;
}

test('before the first write there is nothing, and that is no error; what is asked for by name is missing', async () => {
  const empty = await startTestNode();
  expect(await (await empty.request('GET', '/v1/resources')).json()).toEqual({ items: [], next: null });
  expect(await (await empty.request('GET', '/v1/commits')).json()).toEqual({ items: [], next: null });
  expect(await (await empty.request('GET', '/v1/conflicts')).json()).toEqual({ items: [], next: null });
  expect(await (await empty.request('GET', '/v1/devices')).json()).toEqual({ items: [] });
  expect(await (await empty.request('GET', '/v1/export')).text()).toBe('');
  expect(await problem(await empty.request('GET', at('a')))).toEqual([404, 'not-found']);
  expect(await problem(await empty.request('DELETE', at('a')))).toEqual([404, 'not-found']);
  expect(await problem(await empty.request('GET', '/v1/resources?space=nowhere'))).toEqual([404, 'unknown-space']);
  await empty.dispose();
});

test('PUT makes and replaces, GET reads, PATCH merges and null unsets, DELETE destroys', async () => {
  const made = await node.request('PUT', at('note/1'), { body: { title: 'Milk', done: false } });
  expect(made.status).toBe(201);
  expect(await made.json()).toEqual({ id: expect.stringMatching(/^[0-9a-f]{64}$/), cursor: expect.any(String) });
  expect(await read('note/1')).toEqual({ title: 'Milk', done: false });

  const replaced = await node.request('PUT', at('note/1'), { body: { title: 'Bread', n: { a: [1, null, 1.5, 'é'] } } });
  expect(replaced.status).toBe(200);
  expect(await read('note/1')).toEqual({ title: 'Bread', n: { a: [1, null, 1.5, 'é'] } });

  expect((await node.request('PATCH', at('note/1'), { body: { n: null, done: true } })).status).toBe(200);
  expect(await read('note/1')).toEqual({ title: 'Bread', done: true });

  expect((await node.request('DELETE', at('note/1'))).status).toBe(200);
  expect(await problem(await node.request('GET', at('note/1')))).toEqual([404, 'not-found']);
});

test('a subject may hold anything that a URL escapes, slashes escaped or not', async () => {
  const subjects = ['a/b c/ü?#%', 'Ω'.repeat(512), '..', '.', 'a//b', 'a/../b', '%2F'];
  for (const subject of subjects) {
    const path = subject === '.' || subject === '..' ? `/v1/resources?subject=${subject}` : at(subject);
    expect((await node.request('PUT', path, { body: { subject } })).status, subject).toBe(201);
    expect(await (await node.request('GET', path)).json(), subject).toEqual({ subject });
  }
  expect(await (await node.request('GET', '/v1/resources/a//b')).json()).toEqual({ subject: 'a//b' });
  for (const subject of subjects) {
    const path = subject === '.' || subject === '..' ? `/v1/resources?subject=${subject}` : at(subject);
    expect((await node.request('DELETE', path)).status, subject).toBe(200);
  }
});

test('bytes go as {"$bytes"}', async () => {
  await node.request('PUT', at('bytes'), { body: { b: { $bytes: 'AAEC_w' } } });
  expect(await read('bytes')).toEqual({ b: { $bytes: 'AAEC_w' } });
});

test('If-None-Match: a reader who has the present state gets 304, a writer who wants to be the first gets 412', async () => {
  await node.request('PUT', at('tag'), { body: { v: 1 } });
  const etag = await etagOf('tag');
  expect(etag).toMatch(/^"[^"]+"$/);
  for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const response = await node.request('GET', at('tag'), { headers: { 'if-none-match': known } });
    expect([response.status, await response.text(), response.headers.get('etag')]).toEqual([304, '', etag]);
  }
  expect((await node.request('GET', at('tag'), { headers: { 'if-none-match': '"other"' } })).status).toBe(200);

  const first = { headers: { 'if-none-match': '*' }, body: { v: 2 } };
  expect(await problem(await node.request('PUT', at('tag'), first))).toEqual([412, 'precondition-failed']);
  expect(await problem(await node.request('PATCH', at('tag'), first))).toEqual([412, 'precondition-failed']);
  expect((await node.request('PUT', at('tag/new'), first)).status).toBe(201);
});

test('If-Match: a write counts only for the state that its author saw', async () => {
  await node.request('PUT', at('match'), { body: { v: 1 } });
  const etag = await etagOf('match');
  const headers = { 'if-match': etag };
  expect((await node.request('PATCH', at('match'), { headers, body: { v: 2 } })).status).toBe(200);
  expect(await etagOf('match')).not.toBe(etag);
  for (const method of ['PUT', 'PATCH', 'DELETE']) {
    const body = method === 'DELETE' ? undefined : { v: 3 };
    expect(await problem(await node.request(method, at('match'), { headers, body })), method).toEqual([
      412,
      'precondition-failed',
    ]);
    expect(
      await problem(await node.request(method, at('no such'), { headers: { 'if-match': '*' }, body })),
      method,
    ).toEqual([412, 'precondition-failed']);
  }
  expect(await read('match')).toEqual({ v: 2 });
  expect((await node.request('DELETE', at('match'), { headers: { 'if-match': await etagOf('match') } })).status).toBe(
    200,
  );
});

test('of many who write for one state at once, one succeeds', async () => {
  await node.request('PUT', at('race'), { body: { n: 0 } });
  const headers = { 'if-match': await etagOf('race') };
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) => node.request('PATCH', at('race'), { headers, body: { n } })),
  );
  expect(answers.map(({ status }) => status).toSorted()).toEqual([200, ...Array.from({ length: 19 }, () => 412)]);
});

test('PUTs at once without a condition all succeed, and the last one is whole', async () => {
  const answers = await Promise.all(
    Array.from({ length: 6 }, (_, n) => node.request('PUT', at('puts'), { body: { [`only${n}`]: n } })),
  );
  expect(answers.every(({ status }) => status < 300)).toBe(true);
  expect(Object.keys((await read('puts')) as object)).toHaveLength(1);
});

test('?meta=1 adds who and when', async () => {
  await node.request('PUT', at('meta'), { body: { v: 1 } });
  const answer = await (await node.request('GET', at('meta', '?meta=1'))).json();
  expect(answer).toEqual({
    subject: 'meta',
    properties: { v: 1 },
    meta: { v: { device: node.peer.id, deviceName: 'node', time: expect.any(Number), conflict: [] } },
  });
});

test('?history=1 gives every commit on the subject, page by page, also after it is gone', async () => {
  for (const v of [1, 2, 3]) await node.request('PATCH', at('past'), { body: { v } });
  await node.request('PATCH', at('elsewhere'), { body: { v: 0 } });
  await node.request('DELETE', at('past'));
  const pages: unknown[] = [];
  let after = '';
  do {
    const page = (await (await node.request('GET', at('past', `?history=1&limit=2${after}`))).json()) as {
      items: { changes: unknown[] }[];
      next: string | null;
    };
    pages.push(page.items.map(({ changes }) => changes));
    after = page.next === null ? '' : `&after=${page.next}`;
  } while (after !== '');
  const set = (v: number): unknown => [{ subject: 'past', set: { v } }];
  expect(pages).toEqual([
    [set(1), set(2)],
    [set(3), [{ subject: 'past', destroy: true }]],
  ]);
  expect(await problem(await node.request('GET', at('never', '?history=1')))).toEqual([404, 'not-found']);
});

test('lists are sorted by bytes, by prefix, in pages', async () => {
  for (const subject of ['list/b', 'list/a', 'list/ä', 'list/B', 'lisu'])
    await node.request('PUT', at(subject), { body: { s: subject } });
  const list = async (query: string): Promise<{ items: { subject: string }[]; next: string | null }> =>
    (await (await node.request('GET', `/v1/resources?${query}`)).json()) as never;
  const all = await list('prefix=list/');
  expect(all.items.map(({ subject }) => subject)).toEqual(['list/B', 'list/a', 'list/b', 'list/ä']);
  expect(all.items[0]).toEqual({ subject: 'list/B', properties: { s: 'list/B' }, etag: await etagOf('list/B') });
  expect(all.next).toBeNull();
  const first = await list('prefix=list/&limit=3');
  expect(first.next).toBe('list/b');
  expect(
    (await list(`prefix=list/&limit=3&after=${encodeURIComponent(first.next!)}`)).items.map(({ subject }) => subject),
  ).toEqual(['list/ä']);
  for (const limit of ['0', '1001', 'x', '-1', '1.5'])
    expect(await problem(await node.request('GET', `/v1/resources?limit=${limit}`)), limit).toEqual([
      400,
      'bad-argument',
    ]);
});

test('what cannot be written is refused with its code', async () => {
  const put = async (subject: string, body: unknown): Promise<unknown[]> =>
    problem(await node.request('PUT', at(subject), { body }));
  expect(await put('x'.repeat(1025), { a: 1 })).toEqual([400, 'bad-subject']);
  expect(await put('a\nb', { a: 1 })).toEqual([400, 'bad-subject']);
  expect(await put('~devices/x', { a: 1 })).toEqual([403, 'reserved-subject']);
  expect(await put('a', {})).toEqual([400, 'bad-change']);
  expect(await put('a', { ['x'.repeat(256)]: 1 })).toEqual([400, 'bad-property']);
  expect(await put('a', '{"n":9007199254740993}')).toEqual([400, 'bad-value']);
  expect(await put('a', '{"n":1e999}')).toEqual([400, 'bad-value']);
  expect(await put('a', { b: { $bytes: '?' } })).toEqual([400, 'bad-value']);
  expect(await put('a', '{"__proto__":1}')).toEqual([400, 'bad-property']);
  expect(await put('a', { text: 'x'.repeat(1024 * 1024) })).toEqual([413, 'commit-too-large']);
  expect(await put('a', '{"n":')).toEqual([400, 'bad-json']);
  expect(await put('a', '[1]')).toEqual([400, 'bad-request']);
  expect(await problem(await node.request('PUT', at('a')))).toEqual([400, 'bad-json']);
  expect(await problem(await node.request('PATCH', at('a'), { body: {} }))).toEqual([400, 'bad-change']);
  expect(await problem(await node.request('GET', at('a', '?meta=yes')))).toEqual([400, 'bad-argument']);
  expect(await problem(await node.request('GET', '/v1/resources/%ff'))).toEqual([400, 'bad-request']);
});

test('what is not there, and what is not possible there, says so', async () => {
  expect(await problem(await node.request('GET', '/v2/resources'))).toEqual([404, 'not-found']);
  const response = await node.request('POST', at('a'));
  expect(response.headers.get('allow')).toBe('GET, PUT, PATCH, DELETE');
  expect(await problem(response)).toEqual([405, 'bad-request']);
});

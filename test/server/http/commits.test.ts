import { afterAll, beforeAll, expect, test } from 'vitest';

import { startTestNode, type TestNode } from '../../support/node.ts';

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.dispose());

interface Logged {
  readonly cursor: string;
  readonly id: string;
  readonly device: string;
  readonly time: number;
  readonly changes: readonly unknown[];
}

async function commit(...changes: unknown[]): Promise<{ id: string; cursor: string }> {
  const response = await node.request('POST', '/v1/commits', { body: { changes } });
  expect(response.status).toBe(201);
  return (await response.json()) as { id: string; cursor: string };
}

async function log(query = ''): Promise<{ items: Logged[]; next: string | null }> {
  return (await (await node.request('GET', `/v1/commits?${query}`)).json()) as never;
}

async function codeOf(response: Response): Promise<unknown[]> {
  return [response.status, ((await response.json()) as { code: unknown }).code];
}

/** The first `count` events of a stream, as `[id, data]`; or of a silent one, none. */
async function events(path: string, count: number, headers: Record<string, string> = {}): Promise<[string, Logged][]> {
  const abort = new AbortController();
  const response = await node.request('GET', path, {
    headers: { accept: 'text/event-stream', ...headers },
    signal: abort.signal,
  });
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
  const found: [string, Logged][] = [];
  let text = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const blocks = text.split('\n\n');
    text = blocks.pop()!;
    for (const block of blocks) {
      const id = /^id: (.*)$/m.exec(block)?.[1];
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (id && data) found.push([id, JSON.parse(data) as Logged]);
    }
    if (found.length >= count) break;
  }
  abort.abort();
  return found;
}

test('a commit is one atomic change of any number of subjects, with every operation', async () => {
  await commit({ subject: 'all', set: { title: 'x', gone: 1, list: ['z'] } });
  const { id, cursor } = await commit(
    { subject: 'all', set: { title: 'y' }, unset: ['gone'], inc: { count: 2 }, add: { tags: ['a', 'b'] } },
    { subject: 'other', set: { v: true } },
  );
  await commit({ subject: 'all', inc: { count: -5 }, remove: { tags: ['a'] } });
  expect(await (await node.request('GET', '/v1/resources/all')).json()).toEqual({
    title: 'y',
    list: ['z'],
    count: -3,
    tags: ['b'],
  });
  const { items } = await log('subject=other');
  expect(items).toEqual([
    {
      cursor,
      id,
      device: node.peer.id,
      deviceName: 'node',
      time: expect.any(Number),
      erased: false,
      changes: [
        { subject: 'all', set: { title: 'y' }, unset: ['gone'], inc: { count: 2 }, add: { tags: ['a', 'b'] } },
        { subject: 'other', set: { v: true } },
      ],
    },
  ]);
});

test('a commit that is wrong anywhere writes nothing, and says where', async () => {
  const post = async (body: unknown): Promise<Record<string, unknown>> => {
    const response = await node.request('POST', '/v1/commits', { body });
    expect(response.status).toBe(400);
    return (await response.json()) as Record<string, unknown>;
  };
  const before = (await log('limit=1000')).items.length;
  const fine = { subject: 'wrong', set: { a: 1 } };
  expect(
    await post('{"changes":[{"subject":"wrong","set":{"a":1}},{"subject":"wrong2","set":{"a":{"b":1e400}}}]}'),
  ).toMatchObject({ code: 'bad-value', data: { path: 'changes[1].set.a.b' } });
  expect(await post({ changes: [fine, { subject: 'wrong2', put: {} }] })).toMatchObject({
    code: 'bad-change',
    data: { path: 'changes[1].put' },
  });
  expect(await post({ changes: [fine, fine] })).toMatchObject({ code: 'bad-change' });
  expect(await post({ changes: [] })).toMatchObject({ code: 'bad-change' });
  expect(await post({ changes: [{ subject: 'a' }] })).toMatchObject({ code: 'bad-change' });
  expect(await post({ changes: [fine], time: 1 })).toMatchObject({ code: 'bad-request' });
  expect(await post({})).toMatchObject({ code: 'bad-change' });
  expect((await log('limit=1000')).items).toHaveLength(before);
});

test('the log is read in pages; a cursor is exclusive', async () => {
  for (let n = 0; n < 5; n++) await commit({ subject: 'paged', set: { n } });
  const all = await log('limit=1000');
  expect(all.next).toBeNull();
  const seen: Logged[] = [];
  let after: string | null = '0';
  while (after !== null) {
    const page = await log(`limit=2&after=${after}`);
    expect(page.items.length).toBeLessThanOrEqual(2);
    seen.push(...page.items);
    after = page.next;
  }
  expect(seen).toEqual(all.items);
  expect((await log(`after=${all.items.at(-1)!.cursor}`)).items).toEqual([]);
});

test('a cursor that cannot be used has its own code, also where the log is followed', async () => {
  const [first] = (await log('limit=1')).items;
  const [epoch] = first!.cursor.split('-');
  const get = (after: string, headers: Record<string, string> = {}): Promise<Response> =>
    node.request('GET', `/v1/commits?after=${after}`, { headers });
  for (const headers of [{}, { accept: 'text/event-stream' }] as Record<string, string>[]) {
    expect(await codeOf(await get('nonsense', headers))).toEqual([400, 'bad-cursor']);
    expect(await codeOf(await get(`${epoch}-999999`, headers))).toEqual([410, 'cursor-too-new']);
    const response = await get(`${'0'.repeat(16)}-1`, headers);
    expect(await response.json()).toMatchObject({
      code: 'cursor-epoch',
      status: 410,
      retry: true,
      data: { epoch, floor: 0 },
    });
  }
});

test('a follower gets what is there and then what comes, and resumes after the last event that it saw', async () => {
  const { cursor } = await commit({ subject: 'followed', set: { n: 0 } });
  const following = events(`/v1/commits?after=${cursor}`, 3);
  for (let n = 1; n <= 3; n++) await commit({ subject: 'followed', set: { n } });
  const seen = await following;
  expect(seen.map(([id, { cursor: same, changes }]) => [id === same, changes])).toEqual(
    [1, 2, 3].map((n) => [true, [{ subject: 'followed', set: { n } }]]),
  );
  // An EventSource repeats its first URL; the header goes before it.
  const resumed = await events(`/v1/commits?after=${cursor}`, 1, { 'last-event-id': seen[1]![0] });
  expect(resumed).toEqual([seen[2]]);
});

test('a follower of one subject gets nothing else', async () => {
  const last = (await log('limit=1000')).items.at(-1)!.cursor;
  const following = events(`/v1/commits?after=${last}&subject=mine`, 2);
  await commit({ subject: 'mine', set: { n: 1 } });
  await commit({ subject: 'others', set: { n: 2 } });
  await commit({ subject: 'mine', set: { n: 3 } });
  expect((await following).map(([, { changes }]) => changes)).toEqual([
    [{ subject: 'mine', set: { n: 1 } }],
    [{ subject: 'mine', set: { n: 3 } }],
  ]);
});

test('an answer to a write means that it is on disk: a node that starts on the same folder has it', async () => {
  const { dispose, dataDir } = node;
  await commit({ subject: 'kept', set: { v: 1 } });
  await node.stop();
  node = await startTestNode({ dataDir });
  expect(await (await node.request('GET', '/v1/resources/kept')).json()).toEqual({ v: 1 });
  void dispose;
});

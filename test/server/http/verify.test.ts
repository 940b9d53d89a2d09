/** `/v1/verify` and `/v1/log` over real sockets. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { readLogFile } from '../../../client/log-file.ts';
import { nodeCrypto } from '../../../client/platform/crypto-node.ts';
import { toHex } from '../../../protocol/bytes.ts';
import type { LogReport } from '../../../server/verifier.ts';
import { eventually } from '../../support/network.ts';
import { startTestNode, type TestNode } from '../../support/node.ts';

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode();
  const space = await node.peer.homeSpace();
  for (let n = 0; n < 200; n++) space.set(`note/${n}`, { n });
  await space.set('last', { v: 1 }).stored;
});
afterAll(() => node.dispose());

interface State {
  readonly running: unknown;
  readonly last: LogReport | null;
  readonly log: { readonly atMs: number; readonly ok: boolean } | null;
}

const state = async (): Promise<State> => (await (await node.request('GET', '/v1/verify')).json()) as State;

describe('verifying', () => {
  test('begins by a request, goes on behind it, and is told by another', async () => {
    expect(await state()).toEqual({ running: null, last: null, log: null, backup: null });
    expect((await node.request('POST', '/v1/verify')).status).toBe(202);
    await eventually(async () => (await state()).last !== null, 'it is done', 60_000);
    const { last, log } = await state();
    const space = node.peer.space();
    expect(last).toMatchObject({ ok: true, spaces: [{ id: space.hex, head: space.head, findings: [], notes: [] }] });
    expect(log).toMatchObject({ ok: true, atMs: last!.atMs });
  });

  test('as events tells its outcome; two who ask at once share a run', async () => {
    const ask = async (): Promise<LogReport> => {
      const response = await node.request('POST', '/v1/verify', { headers: { accept: 'text/event-stream' } });
      const text = await response.text();
      return JSON.parse(/event: done\ndata: (.*)/.exec(text)![1]!) as LogReport;
    };
    const [one, other] = await Promise.all([ask(), ask()]);
    expect(one.ok).toBe(true);
    expect(one.atMs).toBe(other.atMs);
  });

  test('of one space looks at that alone, and does not count for all', async () => {
    const before = (await state()).log;
    await node.peer.createSpace('second');
    const response = await node.request('POST', '/v1/verify?space=second', {
      headers: { accept: 'text/event-stream' },
    });
    expect(await response.text()).toMatch(/event: done\ndata: .*"name":"second"/);
    expect((await state()).last!.spaces).toHaveLength(1);
    expect((await state()).log).toEqual(before);
    expect((await node.request('POST', '/v1/verify?space=nope')).status).toBe(404);
  });

  test('that is under way ends with the node', async () => {
    const other = await startTestNode();
    const space = await other.peer.homeSpace();
    for (let n = 0; n < 3000; n++) space.set(`note/${n}`, { n });
    await space.set('last', { v: 1 }).stored;
    await other.request('POST', '/v1/verify');
    await other.dispose();
  });
});

describe('a log as bytes', () => {
  const problem = async (method: string, path: string, body?: Uint8Array): Promise<Record<string, unknown>> => {
    const response = await fetch(node.url + path, {
      method,
      headers: { authorization: `Bearer ${node.token}` },
      ...(body && { body: new Uint8Array(body) }),
    });
    return (await response.json()) as Record<string, unknown>;
  };
  const bytes = async (): Promise<Uint8Array> =>
    new Uint8Array(await (await node.request('GET', '/v1/log')).arrayBuffer());

  test('goes out whole and comes in as nothing new, whole or in pieces', async () => {
    const all = await bytes();
    const parts = [];
    for await (const part of readLogFile(nodeCrypto, once(all))) parts.push(part);
    const { head } = node.peer.space();
    expect(parts.at(-1)).toMatchObject({ kind: 'end', head, entries: head });
    const space = node.peer.space().hex;
    expect(await problem('POST', '/v1/log', all)).toEqual({ space, added: 0, known: head, position: head });
    const piece = all.subarray(0, parts.at(-1)!.offset);
    expect(await problem('POST', '/v1/log', piece)).toEqual({ space, added: 0, known: head, position: head });
    expect(await problem('POST', '/v1/log?space=second', all)).toMatchObject({ status: 409, code: 'wrong-space' });
    expect(await problem('POST', '/v1/log', all.subarray(0, 1000))).toMatchObject({
      status: 400,
      code: 'bad-copy',
      data: { added: 0 },
    });
    expect(await problem('POST', '/v1/log', new Uint8Array(0))).toMatchObject({ status: 400, code: 'bad-copy' });
  });

  test('behind a cursor that is not of this log is refused before a byte of it', async () => {
    const space = node.peer.space();
    const id = '00'.repeat(32);
    const epoch = toHex(space.epoch);
    expect(await problem('GET', `/v1/log?after=${epoch}-5&id=${id}`)).toMatchObject({
      status: 410,
      code: 'cursor-epoch',
    });
    expect(await problem('GET', `/v1/log?after=${'0'.repeat(16)}-5&id=${id}`)).toMatchObject({ code: 'cursor-epoch' });
    expect(await problem('GET', `/v1/log?after=${epoch}-99999&id=${id}`)).toMatchObject({ code: 'cursor-too-new' });
    expect(await problem('GET', `/v1/log?after=${epoch}-5`)).toMatchObject({ status: 400, code: 'bad-argument' });
  });
});

async function* once(all: Uint8Array): AsyncGenerator<Uint8Array> {
  yield all;
}

import { afterAll, beforeAll, expect, test } from 'vitest';

import { startTestNode, type TestNode } from '../../support/node.ts';

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.dispose());

async function importText(text: string): Promise<Record<string, unknown>> {
  return (await (await node.request('POST', '/v1/import', { body: text })).json()) as Record<string, unknown>;
}

async function exported(prefix: string): Promise<string> {
  return (await node.request('GET', `/v1/export?prefix=${encodeURIComponent(prefix)}`)).text();
}

const lines = (...values: unknown[]): string =>
  values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value))).join('\n');

test('lines of one resource are packed, a line of changes is a commit, and order is kept', async () => {
  const many = Array.from({ length: 250 }, (_, n) => ({ subject: `pack/${n}`, set: { n } }));
  expect(await importText(lines(...many))).toEqual({ lines: 250, commits: 3 });
  expect(
    await importText(
      lines(
        { subject: 'order/a', set: { v: 1 } },
        {
          changes: [
            { subject: 'order/a', set: { v: 2 } },
            { subject: 'order/b', inc: { n: 1 } },
          ],
        },
        '',
        { subject: 'order/a', set: { v: 3 }, add: { tags: ['x'] } },
        { subject: 'order/a', unset: ['v'] },
        { subject: 'order/c', destroy: true },
      ),
    ),
  ).toEqual({ lines: 6, commits: 4 });
  expect(await exported('order/')).toBe(
    '{"subject":"order/a","add":{"tags":["x"]}}\n{"subject":"order/b","inc":{"n":1}}\n',
  );
});

test('author and time become properties of what the line sets, and of nothing else', async () => {
  await importText(
    lines(
      {
        author: 17,
        time: 1386547200000,
        changes: [
          { subject: 'by/a', set: { v: 1 } },
          { subject: 'by/b', inc: { n: 1 } },
        ],
      },
      { author: { name: 'Ada' }, subject: 'by/c', set: { v: 1, importedAuthor: 'kept' } },
    ),
  );
  expect(await exported('by/')).toBe(
    [
      '{"subject":"by/a","set":{"importedAuthor":17,"importedTime":1386547200000,"v":1}}',
      '{"subject":"by/b","inc":{"n":1}}',
      '{"subject":"by/c","set":{"importedAuthor":"kept","v":1}}\n',
    ].join('\n'),
  );
});

test('a malformed line is named; what comes before it is stored, what comes after it is not', async () => {
  const fine = (name: string): unknown => ({ subject: `bad/${name}`, set: { v: 1 } });
  const cases: [line: unknown, because: string][] = [
    ['{"subject":', 'bad-json'],
    ['[]', 'bad-change'],
    [{ subject: 'x' }, 'bad-change'],
    [{ subject: 'x', set: {} }, 'bad-change'],
    [{ changes: [] }, 'bad-change'],
    [{ changes: [fine('x')], more: 1 }, 'bad-change'],
    [{ changes: [fine('x'), fine('x')] }, 'bad-change'],
    [{ set: { a: 1 } }, 'bad-change'],
    [{ subject: '~space', set: { a: 1 } }, 'reserved-subject'],
    [{ subject: 'x'.repeat(1025), set: { a: 1 } }, 'bad-subject'],
    ['{"subject":"x","set":{"a":1e999}}', 'bad-value'],
    [{ subject: 'x', set: { a: 'x'.repeat(1024 * 1024) } }, 'commit-too-large'],
  ];
  for (const [n, [line, because]] of cases.entries()) {
    const answer = await importText(
      lines(fine(`${n}/a`), { changes: [fine(`${n}/b`)] }, fine(`${n}/c`), line, fine(`${n}/d`)),
    );
    expect(answer, because).toMatchObject({
      status: 400,
      code: 'bad-line',
      detail: expect.stringContaining('line 4: '),
      data: { line: 4, lines: 3, commits: 3, because },
    });
    const stored = (await exported(`bad/${n}/`)).trim().split('\n');
    expect([because, stored]).toEqual([because, ['a', 'b', 'c'].map((name) => JSON.stringify(fine(`${n}/${name}`)))]);
  }
});

test('what export writes, import makes again: the same bytes come out', async () => {
  const first = await exported('');
  const other = await startTestNode();
  const response = await other.request('POST', '/v1/import', { body: first });
  expect(response.status).toBe(200);
  expect(await (await other.request('GET', '/v1/export')).text()).toBe(first);
  await other.dispose();
});

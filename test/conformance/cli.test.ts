/** `tidelog conformance` as a person and as CI use it: lists, reports, and what it says when it is used wrongly. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CASES, formatJunit, type Result } from '../../conformance/index.ts';
import { startTestNode, type TestNode } from '../support/node.ts';
import { tidelog } from '../support/cli.ts';
import { runKit } from './kit.ts';

let node: TestNode;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidelog-kit-cli-'));
  node = await startTestNode();
});
afterEach(async () => {
  await node.dispose();
  await rm(folder, { recursive: true, force: true });
});

async function linkFor(role: string): Promise<string> {
  const answer = await node.request('POST', '/v1/pairing/invites', { body: { role } });
  return ((await answer.json()) as { link: string }).link;
}

function conformance(...args: string[]) {
  return tidelog(folder, ['conformance', ...args]);
}

describe('tidelog conformance', () => {
  test('lists the cases of a side', async () => {
    const { stdout, code } = await conformance('server', '--list', '--only', '11.5');
    const ids = stdout.trimEnd().split('\n').map((line) => line.split('\t')[0]); // prettier-ignore
    expect(code).toBe(0);
    expect(ids).toEqual(
      CASES.filter(({ id, side }) => id.startsWith('11.5/') && side !== 'client').map(({ id }) => id),
    );
  });

  test('runs chosen cases, and writes what JUnit reads', async () => {
    const file = join(folder, 'report.xml');
    const { results, code } = await runKit([
      'server',
      await linkFor('owner'),
      '--only',
      '11.5/1,11.5/8',
      '--junit',
      file,
    ]);
    expect(results.map(({ id, outcome }) => [id, outcome])).toEqual([
      ['11.5/1', 'passed'],
      ['11.5/8', 'passed'],
    ]);
    expect(code).toBe(0);
    const report = await readFile(file, 'utf8');
    expect(report).toMatch(/^<\?xml version="1.0" encoding="UTF-8"\?>\n<testsuites tests="2" failures="0" skipped="0"/);
    expect(report.match(/<testcase /g)).toHaveLength(2);
  });

  test('tries what a stranger can, where it has an address only', async () => {
    const { results, code } = await runKit(['server', node.url, '--only', '10.1/1,11.5/1']);
    expect(results.map(({ id, outcome, reason }) => [id, outcome, reason])).toEqual([
      ['10.1/1', 'passed', null],
      ['11.5/1', 'skipped', 'needs a pairing link for an owner'],
    ]);
    expect(code).toBe(0);
  });

  test('shows a person what passed, and a sum', async () => {
    const { stdout, code } = await conformance('server', await linkFor('owner'), '--only', '10.1/1');
    expect(stdout).toMatch(/✓ 10\.1\/1 .*\n\n.*: 1 passed, 0 failed, in \d+ s/);
    expect(code).toBe(0);
  });

  test.each([
    ['a case that nobody knows', async () => [await linkFor('owner'), '--only', '99'], /no case is named so/, 2],
    [
      'a link for a writer',
      async () => [await linkFor('writer')],
      /the link is for a writer; the kit needs one for an owner/,
      2,
    ],
    ['a broken link', async () => [`${(await linkFor('owner')).slice(0, -9)}`], /bad-link/, 2],
    ['an address where nothing answers', async () => ['http://127.0.0.1:1/'], /\[unreachable\]/, 1],
    ['neither a link nor an address', async () => [], /give a link or an address/, 2],
    ['a time that is none', async () => [node.url, '--timeout', 'soon'], /"soon" is not a number/, 2],
    ['a command that fails', async () => ['--invite', 'false'], /the command `false` failed/, 2],
  ] as const)('says what is wrong with %s', { timeout: 60_000 }, async (_, args, says, exitCode) => {
    const { stderr, code } = await conformance('server', ...(await args()));
    expect(stderr).toMatch(says);
    expect(code).toBe(exitCode);
  });
});

test('JUnit’s XML holds whatever a report holds', () => {
  const result: Result = {
    id: '11.5/1',
    title: 'a <title> & "more"',
    rule: 'a rule',
    hostile: false,
    outcome: 'failed',
    reason: 'it said \u0000 and ]]>',
    transcript: ['→ a < b'],
    ms: 12,
  };
  const xml = formatJunit('kit', [result, { ...result, outcome: 'warned' }, { ...result, outcome: 'skipped' }]);
  expect(xml).toContain('name="11.5/1 a &lt;title&gt; &amp; &quot;more&quot;"');
  expect(xml).toContain('tests="3" failures="1" skipped="1"');
  // eslint-disable-next-line no-control-regex -- they may not be there
  expect(xml).not.toMatch(/[\u0000-\u0008]/);
});

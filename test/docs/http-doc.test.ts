/** docs/HTTP.md: its table names every route and no other, and its examples give what they say. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commitRoutes } from '../../server/http/commits.ts';
import { configRoutes } from '../../server/http/config.ts';
import { deviceRoutes } from '../../server/http/devices.ts';
import { forkRoutes } from '../../server/http/forks.ts';
import { healthRoutes } from '../../server/http/health.ts';
import { logRoutes } from '../../server/http/log.ts';
import { pageRoutes } from '../../server/http/page.ts';
import { pairingRoutes } from '../../server/http/pairing.ts';
import { resourceRoutes } from '../../server/http/resources.ts';
import { sessionRoutes } from '../../server/http/session.ts';
import { statusRoutes } from '../../server/http/status.ts';
import { transferRoutes } from '../../server/http/transfer.ts';
import { verifyRoutes } from '../../server/http/verify.ts';
import { startTestNode, type TestNode } from '../support/node.ts';

const document = await readFile(join(dirname(fileURLToPath(import.meta.url)), '../../docs/HTTP.md'), 'utf8');

test('the table names every route, and no other', () => {
  const families = [
    commitRoutes,
    configRoutes,
    deviceRoutes,
    forkRoutes,
    healthRoutes,
    logRoutes,
    pageRoutes,
    pairingRoutes,
    resourceRoutes,
    sessionRoutes,
    statusRoutes,
    transferRoutes,
    verifyRoutes,
  ];
  const inCode = families.flatMap((family) => Object.keys(family)).toSorted();
  const inTable = [...document.matchAll(/^\| `([A-Z]+ \/[^`]*)`/gm)].map((match) => match[1]!).toSorted();
  expect(inTable).toEqual(inCode);
});

describe('the examples', () => {
  let node: TestNode;
  beforeAll(async () => {
    node = await startTestNode();
  });
  afterAll(async () => {
    await node.stop();
  });

  test('give what they say, one after the other', async () => {
    const lines = /<!-- examples -->\s*```text\n([\s\S]*?)```/.exec(document)![1]!.trim().split('\n');
    expect(lines.length % 2).toBe(0);
    for (let i = 0; i < lines.length; i += 2) {
      const [, method, path, body] = /^([A-Z]+) (\S+)(?: (.*))?$/.exec(lines[i]!)!;
      const [, status, shape] = /^(\d+) (.*)$/.exec(lines[i + 1]!)!;
      const response = await fetch(`${node.url}${path}`, {
        method: method!,
        headers: { authorization: `Bearer ${node.token}` },
        ...(body !== undefined && { body }),
      });
      const answer = (await response.json()) as Record<string, unknown>;
      expect({ request: lines[i], status: response.status }).toEqual({ request: lines[i], status: Number(status) });
      if (shape!.includes(':')) expect(answer).toMatchObject(JSON.parse(shape!) as object);
      else for (const [, name] of shape!.matchAll(/"(\w+)"/g)) expect(answer, lines[i]).toHaveProperty(name!);
    }
  });
});

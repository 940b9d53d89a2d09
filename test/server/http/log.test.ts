/** `POST /v1/log`: what becomes of the copy that a log is handed in for. */
import { afterEach, describe, expect, test } from 'vitest';

import type { Space } from '../../../client/space.ts';
import { concat } from '../../../protocol/bytes.ts';
import { TidelogError } from '../../../protocol/errors.ts';
import type { ApiContext } from '../../../server/http/context.ts';
import { logRoutes } from '../../../server/http/log.ts';
import { collect, Network, type Member } from '../../support/network.ts';

let network = new Network();
afterEach(async () => {
  await network.close();
  network = new Network();
});

async function logOf(space: Space): Promise<Uint8Array> {
  return concat(...(await collect(space.exportLog())));
}

/** Cut off within its first block: it says whose it is, and gives nothing. */
async function brokenLogOf(space: Space): Promise<Uint8Array> {
  return (await logOf(space)).subarray(0, 100);
}

/** As a request does, without a socket. Answers 'taken', or the code of the problem. */
async function handIn({ peer }: Member, body: Uint8Array): Promise<string> {
  const request = {
    method: 'POST',
    path: '/v1/log',
    query: new URLSearchParams(),
    headers: new Map<string, string>(),
    body,
    signal: new AbortController().signal,
  };
  try {
    await logRoutes['POST /v1/log']!({ peer } as ApiContext, request);
    return 'taken';
  } catch (thrown) {
    return thrown instanceof TidelogError ? thrown.code : String(thrown);
  }
}

describe('a log that is broken', () => {
  test('leaves no copy, and twice at once takes no other space with it', async () => {
    const laptop = await network.add('laptop');
    const broken = await brokenLogOf(await laptop.peer.homeSpace());
    const node = await network.add('node');
    await node.peer.homeSpace();
    expect(await handIn(node, broken)).toBe('bad-copy');
    expect(node.peer.spaces).toHaveLength(1);
    expect(await Promise.all([handIn(node, broken), handIn(node, broken)])).toEqual(['bad-copy', 'bad-copy']);
    expect(node.peer.spaces.map(({ name }) => name)).toEqual(['home']);
  });

  test('takes nothing from a good one that comes at the same time', async () => {
    const laptop = await network.add('laptop');
    const space = await laptop.peer.homeSpace();
    const [good, broken] = [await logOf(space), await brokenLogOf(space)];
    const gate = Promise.withResolvers<null>();
    const node = await network.add('node', { platform: { reader: { expect: () => {}, read: () => gate.promise } } });
    const first = handIn(node, broken);
    // It has its copy, and none of its blocks is on its way to the disk yet.
    const second = handIn(node, good);
    expect(await first).toBe('bad-copy');
    gate.resolve(null);
    expect(await second).toBe('taken');
    expect(node.peer.space().head).toBe(space.head);
  });

  test('leaves the copy that was here', async () => {
    const laptop = await network.add('laptop');
    const space = await laptop.peer.homeSpace();
    const node = await network.add('node');
    const copy = await node.peer.addCopy(space.id, '');
    expect(await handIn(node, await brokenLogOf(space))).toBe('bad-copy');
    expect(node.peer.spaces).toEqual([copy]);
  });
});

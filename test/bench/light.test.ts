/** The benchmarks' light follower is a peer as far as a node can tell: it gets the whole log, and what comes later; and the proxy counts what it gets. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LightPeer, newKeys } from '../../bench/light.ts';
import { CountingProxy } from '../../bench/proxy.ts';
import { makeCommits } from '../../bench/support.ts';
import { formatDeviceId } from '../../protocol/device-id.ts';
import { initDevice } from '../../server/device.ts';
import { silentLog } from '../../server/log.ts';
import { startNode, type StartedNode } from '../../server/node.ts';

let folder = '';
let node: StartedNode;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidelog-light-'));
  const dataDir = join(folder, 'data');
  await initDevice(dataDir);
  node = await startNode({ dataDir, log: silentLog(), port: 0 });
});
afterEach(async () => {
  await node.stop();
  await rm(folder, { recursive: true, force: true });
});

test('it gets the whole log, and then each commit as it is written', async () => {
  const space = await node.peer.homeSpace();
  for (const changes of makeCommits(300, 1)) await space.commit(changes).stored;
  const keys = newKeys();
  await node.peer.addDevice(formatDeviceId(keys.public), { space, role: 'reader' });
  const proxy = await CountingProxy.to(node.url);
  const origin = new URL(proxy.through('http://x/#pair=')).origin;
  const peer = await LightPeer.follow(origin, keys, space.id);
  await peer.caughtUp();
  expect(peer.cursor).toBe(space.head);
  expect(peer.dataBytes).toBeGreaterThan(300 * 64);
  expect(proxy.bytes).toBeGreaterThan(peer.dataBytes);

  const later = space.set('later', { n: 1 });
  await peer.reached(space.head + 1);
  await later.stored;
  expect(peer.cursor).toBe(space.head);
  // It says that it has what it got; the node's writers may wait for that.
  await later.reached({ peers: 1 });
  peer.close();
  await proxy.close();
});

test('who is no member is told so', async () => {
  const space = await node.peer.homeSpace();
  await space.set('note', { n: 1 }).stored;
  const peer = await LightPeer.follow(node.url, newKeys(), space.id);
  await expect(peer.caughtUp()).rejects.toThrow(/not-paired|does not offer|ended/);
  peer.close();
});

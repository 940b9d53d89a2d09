/**
 * Makes test/fixtures/store-v1/: a data folder as this release writes it, that later releases must open.
 *
 *   node scripts/store-fixture.ts
 *
 * Two devices, an import, a conflict, a device that was revoked after it had written, counters, sets and bytes. The node was killed, so the last
 * commits are in its journal. Beside the folder, packed, lies what it shows: an export, the commits' ids and the digest. Made once for each format; made
 * again it has other keys and times, so that it changes is no fault, and that is done on purpose only.
 */
import { execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { MemoryStore } from '../client/memory-store.ts';
import { Peer } from '../client/peer.ts';
import { nodePlatform } from '../client/platform/node.ts';
import { transportPair } from '../client/platform/transport-pair.ts';
import type { Space } from '../client/space.ts';
import { toHex } from '../protocol/bytes.ts';
import { initDevice } from '../server/device.ts';
import { openPeer } from '../server/open-peer.ts';
import { eventuallySame } from '../test/support/network.ts';

const TARGET = fileURLToPath(new URL('../test/fixtures/store-v1/', import.meta.url));

const folder = await mkdtemp(join(tmpdir(), 'tidelog-fixture-'));
const dataDir = join(folder, 'data');
await initDevice(dataDir, 'laptop');
const laptop = await openPeer(dataDir);
const home = await laptop.peer.homeSpace();

/** A device in memory, paired with the laptop; `connect` makes another line after `cut`. */
async function device(name: string): Promise<{ peer: Peer; space: Space; connect(): void; cut(): void }> {
  const platform = nodePlatform();
  let line: ReturnType<typeof transportPair> | null = null;
  const dial = async (): Promise<ReturnType<typeof transportPair>['a']> => {
    line = transportPair();
    laptop.peer.accept(line.b);
    return line.a;
  };
  const keys = platform.crypto.ed25519KeyPair(platform.random(32));
  const peer = await Peer.open({ store: new MemoryStore(), platform: { ...platform, dial }, keys, name });
  const { link } = await laptop.peer.invite(home, { role: 'writer', addresses: ['http://laptop'] });
  const { synced } = await peer.join(link);
  await synced;
  return { peer, space: peer.space(), connect: () => peer.wake(), cut: () => line?.cut() };
}

const lines = Array.from({ length: 40 }, (_, i) => ({
  subject: `contact/${i}`,
  ops: { set: { name: `Person ${i}`, age: 20 + i, tags: ['friend', `t${i % 5}`], nested: { street: 'Hafen', nr: i } } },
}));
await home.commit(lines).stored;
await home.commit([
  { subject: 'mixed', ops: { set: { bytes: Uint8Array.of(0, 255), nothing: null, half: 0.5, big: 2 ** 52 } } },
]).stored;

const phone = await device('phone');
const stolen = await device('stolen');
await phone.space.set('note/phone', { title: 'from the phone' }).reached({ peers: 1 });
await stolen.space.set('note/stolen', { title: 'from the stolen one' }).reached({ peers: 1 });
await phone.space
  .commit([{ subject: 'count', ops: { inc: { cups: 3 }, add: { kinds: ['tea'] } } }])
  .reached({ peers: 1 });
await home.commit([{ subject: 'count', ops: { inc: { cups: 4 }, add: { kinds: ['coffee'] } } }]).stored;
await home.set('gone', { soon: true }).stored;
await home.destroy('gone').stored;

// A conflict: both write without having seen the other.
phone.cut();
await home.set('note/both', { title: 'the laptop says' }).stored;
await phone.space.set('note/both', { title: 'the phone says' }).stored;
phone.connect();
await eventuallySame([{ peer: laptop.peer }, phone] as never, 20_000);

await laptop.peer.revokeDevice(home, stolen.peer.id);
for (let i = 0; i < 12; i++) await home.set(`late/${i}`, { n: i }).stored;

const log = [];
for await (const { id } of home.log()) log.push(id);
const shown = [];
for await (const line of home.export()) shown.push(line);
const conflicts = home.stats().conflicts;
if (conflicts !== 1) throw new Error(`${conflicts} conflicts`);

// As a kill leaves it: without the lock, with the journal.
const killed = join(folder, 'store-v1');
await cp(dataDir, killed, { recursive: true, filter: (path) => !/node[^/]*\.sock$/.test(path) });
await rm(join(killed, 'store', 'lock.mdb'), { force: true });
await rm(TARGET, { recursive: true, force: true });
await mkdir(TARGET, { recursive: true });
const tar = execFileSync('tar', ['--sort=name', '--owner=0', '--group=0', '-C', folder, '-cf', '-', 'store-v1'], {
  maxBuffer: 16 * 1024 * 1024,
});
await writeFile(join(TARGET, 'store-v1.tar.gz'), gzipSync(tar, { level: 9 }));
await writeFile(join(TARGET, 'export.ndjson'), shown.map((line) => `${line}\n`).join(''));
const members = await laptop.peer.devices(home);
const expected = {
  release: '0.1.0',
  device: laptop.peer.id,
  space: home.hex,
  head: home.head,
  digest: toHex(home.digest()),
  conflicts,
  devices: members.map(({ name, role }) => ({ name, role })),
  commits: log,
};
await writeFile(join(TARGET, 'expected.json'), `${JSON.stringify(expected, null, 2)}\n`);

await phone.peer.close();
await stolen.peer.close();
await laptop.close();
await rm(folder, { recursive: true });

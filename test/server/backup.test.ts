/** Backup folders on real disks, of real nodes: made, added to, cut off, damaged, verified, restored. */
import { existsSync } from 'node:fs';
import { appendFile, cp, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { LogFileWriter, readLogFile } from '../../client/log-file.ts';
import { nodePlatform } from '../../client/platform/node.ts';
import { createBackup, type BackupSource, type Created } from '../../server/backup-create.ts';
import { readBackup } from '../../server/backup-folder.ts';
import { restoreBackup } from '../../server/backup-restore.ts';
import { verifyBackup, type BackupReport } from '../../server/backup-verify.ts';
import { readDataDir } from '../../server/data-dir.ts';
import { errorFromProblem } from '../../server/http/problem.ts';
import { toHex } from '../../protocol/bytes.ts';
import { startTestNode, temporaryFolder, type TestNode } from '../support/node.ts';
import { onDropped } from '../support/histories.ts';
import { collect, eventually, Network } from '../support/network.ts';

const platform = nodePlatform();
vi.setConfig({ testTimeout: 120_000 });
let folder = '';
const nodes: TestNode[] = [];
beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.dispose();
  await rm(folder, { recursive: true, force: true });
});

async function start(dataDir?: string): Promise<TestNode> {
  const node = await startTestNode({ name: 'laptop', ...(dataDir !== undefined && { dataDir }) });
  nodes.push(node);
  return node;
}

/** As the command asks a running node. */
function sourceOf(node: TestNode, seed: Uint8Array | null = null): BackupSource {
  return {
    subject: async () => (await (await node.request('GET', '/v1/backup')).json()) as never,
    async *log(space, after) {
      const more = after ? `&after=${after.cursor}&id=${after.id}` : '';
      const response = await node.request('GET', `/v1/log?space=${space}${more}`);
      if (!response.ok) throw errorFromProblem(await response.json(), response.status);
      yield* response.body!;
    },
    settings: { name: 'laptop', port: 0 },
    seed,
  };
}

const create = (node: TestNode, seed?: Uint8Array): Promise<Created> =>
  createBackup(join(folder, 'backup'), sourceOf(node, seed ?? null));
const verify = (dir = join(folder, 'backup')): Promise<BackupReport> => verifyBackup(dir, { platform });

/** Many commits in few writes. */
async function fill(node: TestNode, commits: number, name = 'note'): Promise<void> {
  const space = await node.peer.homeSpace();
  const writes = Array.from({ length: commits }, (_, n) => space.set(`${name}/${n % 500}`, { n, name }).stored);
  await Promise.all(writes);
}

const exported = async (node: TestNode): Promise<string> => (await node.request('GET', '/v1/export')).text();
const logs = async (): Promise<string[]> =>
  (await readdir(join(folder, 'backup'))).filter((name) => name.endsWith('.log')).toSorted();

describe('a backup', () => {
  test('holds everything, says until when, and what is restored of it is the same', async () => {
    const node = await start();
    await fill(node, 3000);
    const { spaces } = await create(node);
    const space = node.peer.space();
    expect(spaces).toMatchObject([{ name: 'home', head: space.head, added: space.head, isWhole: true }]);
    const report = await verify();
    expect(report).toMatchObject({ ok: true, withKey: false, findings: [], notes: [], device: { id: node.peer.id } });
    expect(report.spaces).toMatchObject([
      { good: space.head, commits: space.head, findings: [], notes: [], untilUs: space.stats().clockUs },
    ]);
    expect(report.spaces[0]!.devices).toEqual([{ id: node.peer.id, commits: space.head }]);

    const dataDir = join(folder, 'restored');
    const restored = await restoreBackup(join(folder, 'backup'), dataDir);
    expect(restored).toMatchObject({ isSameDevice: false, spaces: [{ name: 'home', head: space.head }] });
    expect(restored.spaces[0]!.owners).toEqual([{ id: node.peer.id, name: 'laptop' }]);
    const other = await start(dataDir);
    expect(other.peer.id).toBe(restored.device.id);
    expect(other.peer.id).not.toBe(node.peer.id);
    expect(await exported(other)).toBe(await exported(node));
    expect(other.peer.space().digest()).toEqual(space.digest());
    expect(other.peer.space().epoch).not.toEqual(space.epoch);
    expect((await other.peer.space().audit()).findings).toEqual([]);
    // A new device writes nothing before an owner lets it in.
    await expect(other.peer.space().set('x', { v: 1 }).stored).rejects.toMatchObject({ code: 'not-a-member' });
  });

  test('keeps folder and files to their user, and has the key only if it was asked for', async () => {
    const node = await start();
    await fill(node, 3);
    const dir = join(folder, 'backup');
    await create(node);
    expect((await stat(dir)).mode & 0o777).toBe(0o700);
    const { seed } = await readDataDir(node.dataDir);
    const secret = Buffer.from(seed).toString('hex');
    for (const name of await readdir(dir)) {
      expect((await stat(join(dir, name))).mode & 0o777, name).toBe(0o600);
      expect(await readFile(join(dir, name), 'latin1'), name).not.toContain(secret);
      expect(await readFile(join(dir, name)), name).not.toContain(Buffer.from(seed));
    }
    expect(await readdir(dir)).not.toContain('key');
    await create(node, seed);
    expect((await stat(join(dir, 'key'))).mode & 0o777).toBe(0o600);
    expect(await verify()).toMatchObject({ ok: true, withKey: true });
    await writeFile(
      join(dir, 'key'),
      (await readFile(join(dir, 'key'), 'utf8')).replace(/[0-9a-f]\n$/, (end) => (end[0] === '0' ? '1\n' : '0\n')),
    );
    expect(await verify()).toMatchObject({ ok: false, findings: [{ code: 'wrong-device', file: 'key' }] });
    await expect(restoreBackup(dir, join(folder, 'restored'))).rejects.toMatchObject({ code: 'bad-copy' });
  });

  test('with the key brings back the same device, which begins a new chain', async () => {
    const node = await start();
    await fill(node, 20);
    await create(node, (await readDataDir(node.dataDir)).seed);
    const [chain] = node.peer.space().chains.map(({ hex }) => hex);
    await node.stop();
    await restoreBackup(join(folder, 'backup'), join(folder, 'restored'));
    const again = await start(join(folder, 'restored'));
    expect(again.peer.id).toBe(node.peer.id);
    await again.peer.space().set('after', { v: 1 }).stored;
    const chains = again.peer.space().chains.map(({ hex, seq }) => [hex, seq]);
    expect(chains).toEqual([
      [chain, node.peer.space().head],
      [expect.any(String), 1],
    ]);
  });

  test('made again has only what is new, in a file of its own; and with nothing new, no file', async () => {
    const node = await start();
    await fill(node, 100);
    await create(node);
    const first = await logs();
    await fill(node, 7, 'more');
    expect((await create(node)).spaces).toMatchObject([{ added: 7, isWhole: false }]);
    const second = await logs();
    expect(second).toHaveLength(2);
    expect(second).toContain(first[0]);
    expect((await create(node)).spaces).toMatchObject([{ added: 0, bytes: 0, isWhole: false }]);
    expect(await logs()).toEqual(second);
    expect(await verify()).toMatchObject({ ok: true, spaces: [{ good: node.peer.space().head }] });
    await restoreBackup(join(folder, 'backup'), join(folder, 'restored'));
    expect(await exported(await start(join(folder, 'restored')))).toBe(await exported(node));
  });

  test('made very often is one file again before there are too many', async () => {
    const node = await start();
    for (let n = 0; n < 60; n++) {
      await fill(node, 1, `round-${n}`);
      await create(node);
      expect((await logs()).length).toBeLessThanOrEqual(50);
    }
    expect(await verify()).toMatchObject({ ok: true, spaces: [{ good: node.peer.space().head }] });
  });

  test('is made anew where the log is another, and the older goes only then', async () => {
    const node = await start();
    await fill(node, 50);
    const { seed } = await readDataDir(node.dataDir);
    await create(node, seed);
    await node.stop();
    await restoreBackup(join(folder, 'backup'), join(folder, 'restored'));
    const again = await start(join(folder, 'restored'));
    await fill(again, 3, 'later');
    const before = await logs();
    expect((await create(again)).spaces).toMatchObject([{ isWhole: true, added: again.peer.space().head }]);
    expect((await logs()).some((name) => before.includes(name))).toBe(false);
    expect(await verify()).toMatchObject({ ok: true, spaces: [{ good: again.peer.space().head }] });
  });

  test('is made anew where a file of it is gone or has another size', async () => {
    const node = await start();
    await fill(node, 50);
    await create(node);
    const dir = join(folder, 'backup');
    await rm(join(dir, (await logs())[0]!));
    expect((await create(node)).spaces).toMatchObject([{ isWhole: true }]);
    await truncate(join(dir, (await logs())[0]!), 500);
    expect(await verify()).toMatchObject({ ok: false });
    expect((await create(node)).spaces).toMatchObject([{ isWhole: true }]);
    expect(await verify()).toMatchObject({ ok: true });
  });

  test('is made anew where a commit that was empty in it has its content by now', async () => {
    const node = await start();
    await fill(node, 20);
    const holes = { current: [3, 5] };
    const real = sourceOf(node);
    const source: BackupSource = { ...real, log: (space, after) => withHoles(real.log(space, after), holes.current) };
    const again = async (): Promise<boolean> => (await createBackup(join(folder, 'backup'), source)).spaces[0]!.isWhole;
    expect(await again()).toBe(true);
    await fill(node, 2);
    expect(await again()).toBe(false);
    holes.current = [3];
    expect(await again()).toBe(true);
    expect((await readBackup(join(folder, 'backup')))!.spaces[0]!.holes).toEqual([3]);
  });

  test('goes into no folder of anything else, nor of another device', async () => {
    const [node, other] = [await start(), await start()];
    await fill(node, 2);
    await fill(other, 2);
    await create(node);
    await expect(create(other)).rejects.toMatchObject({
      code: 'bad-argument',
      message: expect.stringContaining('backup of another device'),
    });
    const dir = join(folder, 'thesis');
    await mkdir(dir);
    await writeFile(join(dir, 'thesis.txt'), 'x');
    await expect(createBackup(dir, sourceOf(node))).rejects.toMatchObject({
      code: 'bad-argument',
      message: expect.stringContaining('thesis.txt'),
    });
    expect(await readdir(dir)).toEqual(['thesis.txt']);
    // A data folder is something else too.
    await expect(createBackup(node.dataDir, sourceOf(node))).rejects.toMatchObject({ code: 'bad-argument' });
  });

  test('is made by one at a time, and a dead one holds nobody up', async () => {
    const node = await start();
    await fill(node, 2);
    await create(node);
    const lock = join(folder, 'backup', 'backup.lock');
    await writeFile(lock, `${process.ppid} ${(await import('node:os')).hostname()}\n`);
    await expect(create(node)).rejects.toMatchObject({ code: 'data-in-use', message: expect.stringContaining(lock) });
    await writeFile(lock, '4194304000 elsewhere\n');
    await expect(create(node)).rejects.toMatchObject({ code: 'data-in-use' });
    for (const dead of ['', `4194304 ${(await import('node:os')).hostname()}\n`]) {
      await writeFile(lock, dead);
      await create(node);
      expect(existsSync(lock)).toBe(false);
    }
  });

  test('of several spaces has them all, the default one first', async () => {
    const node = await start();
    await fill(node, 5);
    const shared = await node.peer.createSpace('shared');
    await shared.set('a', { v: 1 }).stored;
    await create(node);
    expect((await verify()).spaces.map(({ name, good }) => [name, good])).toEqual([
      ['home', 6],
      ['shared', 2],
    ]);
    await restoreBackup(join(folder, 'backup'), join(folder, 'restored'));
    const again = await start(join(folder, 'restored'));
    expect(again.peer.space().name).toBe('home');
    expect(again.peer.space('shared').digest()).toEqual(shared.digest());
  });
});

/** The same log, whose end tells of these holes. */
async function* withHoles(log: AsyncIterable<Uint8Array>, holes: readonly number[]): AsyncGenerator<Uint8Array> {
  const writer = new LogFileWriter(platform.crypto);
  for await (const part of readLogFile(platform.crypto, log)) {
    if (part.kind === 'header') yield writer.header(part);
    if (part.kind === 'block') yield writer.block(part);
    if (part.kind === 'end') yield writer.end({ ...part, holes });
  }
}

describe('while the node works', () => {
  test('a backup and an audit of a real store are right, whatever is written at the same time', async () => {
    const node = await start();
    await fill(node, 600);
    const stopping = new AbortController();
    let writes = 0;
    const writing = (async () => {
      const space = node.peer.space();
      while (!stopping.signal.aborted) {
        const many = Array.from({ length: 1 + (writes % 40) }, (_, n) => {
          const subject = `note/${(writes + n) % 700}`;
          return n % 9 === 8
            ? space.destroy(subject).stored
            : space.commit([{ subject, ops: { set: { n: writes }, inc: { edits: 1 } } }]).stored;
        });
        await Promise.all(many);
        writes += many.length;
        await sleep(1);
      }
    })();
    for (let round = 0; round < 3; round++) {
      const { spaces } = await create(node);
      expect(spaces[0]!.isWhole).toBe(round === 0);
      expect((await node.peer.space().audit()).findings).toEqual([]);
    }
    stopping.abort();
    await writing;
    expect(writes).toBeGreaterThan(50);
    expect(await verify()).toMatchObject({ ok: true, notes: [], spaces: [{ notes: [] }] });
    await create(node);
    await restoreBackup(join(folder, 'backup'), join(folder, 'restored'));
    expect(await exported(await start(join(folder, 'restored')))).toBe(await exported(node));
  });

  test('a log that is made anew under way because of a fork is copied again, whole, with its new epoch', async () => {
    const network = new Network();
    const { receiver, space } = await onDropped(network);
    const { hex: id, head } = space;
    const epoch = toHex(space.epoch);
    let copies = 0;
    const source: BackupSource = {
      subject: async () => ({ device: { id: receiver.member.peer.id, name: 'receiver' }, spaces: [{ id, name: 'home', epoch, head }], devices: [] }), // prettier-ignore
      async *log(_, after) {
        expect(after).toBeNull();
        const isFirst = ++copies === 1;
        let parts = 0;
        for await (const part of space.exportLog()) {
          yield part;
          if (isFirst && ++parts === 2) await receiver.takeFork();
        }
      },
      settings: {},
      seed: null,
    };
    const { backup } = await createBackup(join(folder, 'backup'), source);
    expect(copies).toBe(2);
    expect(toHex(space.epoch)).not.toBe(epoch);
    expect(backup.spaces).toMatchObject([{ epoch: toHex(space.epoch), head: space.head, digest: toHex(space.digest()) }]); // prettier-ignore
    expect(await verify()).toMatchObject({ ok: true, notes: [], findings: [], spaces: [{ good: space.head, notes: [] }] }); // prettier-ignore
    await network.close();
  });

  test('a mirror is restored as the mirror that it was, and what it holds makes a full node too', async () => {
    const [owner, mirror] = [await start(), await start()];
    await fill(owner, 300);
    const body = { role: 'mirror', addresses: [owner.url] };
    const invite = (await (await owner.request('POST', '/v1/pairing/invites', { body })).json()) as { link: string };
    await mirror.request('POST', '/v1/pairing/join', { body: { link: invite.link } });
    await eventually(() => mirror.peer.spaces[0]?.head === owner.peer.space().head, 'the mirror has it all', 60_000);
    await create(mirror, (await readDataDir(mirror.dataDir)).seed);
    expect(await verify()).toMatchObject({ ok: true });
    await mirror.stop();
    await restoreBackup(join(folder, 'backup'), join(folder, 'restored'));
    const again = await start(join(folder, 'restored'));
    expect(again.peer.space()).toMatchObject({ role: 'mirror', head: owner.peer.space().head });
    await expect(again.peer.space().get('note/1')).rejects.toMatchObject({ code: 'log-only' });
    expect((await again.peer.space().audit()).findings).toEqual([]);
    // It finds its way back by itself, since the backup says where the other is.
    await owner.peer.space().set('later', { v: 1 }).stored;
    await eventually(() => again.peer.space().head === owner.peer.space().head, 'it follows again', 60_000);

    await rm(join(folder, 'backup', 'key'));
    await rm(join(folder, 'backup'), { recursive: true });
    await create(again);
    await restoreBackup(join(folder, 'backup'), join(folder, 'full'));
    expect(await exported(await start(join(folder, 'full')))).toBe(await exported(owner));
  });
});

describe('damage', () => {
  /** A small backup of two files, and for each of them its parts. */
  async function small(): Promise<{ dir: string; parts: Map<string, { offset: number; kind: string }[]> }> {
    const node = await start();
    await fill(node, 4);
    await create(node);
    await fill(node, 3, 'more');
    await create(node);
    const dir = join(folder, 'backup');
    const parts = new Map<string, { offset: number; kind: string }[]>();
    for (const name of await logs()) {
      const bytes = await readFile(join(dir, name));
      parts.set(name, await collect(readLogFile(platform.crypto, once(bytes))));
    }
    return { dir, parts };
  }

  test('of any byte is found, and the file and the part are named; nothing is restored', async () => {
    const { dir, parts } = await small();
    let flips = 0;
    for (const [name, ofFile] of parts) {
      const bytes = await readFile(join(dir, name));
      for (let at = 0; at < bytes.length; at += 3) {
        const flipped = Buffer.from(bytes);
        flipped[at]! ^= 1 << (at % 8);
        await writeFile(join(dir, name), flipped);
        const report = await verify();
        const part = ofFile.findLast(({ offset }) => offset <= at)!;
        expect(report.ok, `${name} ${at}`).toBe(false);
        expect(report.spaces[0]!.findings, `${name} ${at}`).toMatchObject([{ file: name, offset: part.offset }]);
        if (flips++ % 100 !== 0) continue;
        const restoring = restoreBackup(dir, join(folder, 'restored'));
        await expect(restoring).rejects.toMatchObject({ message: expect.stringContaining(name) });
        expect((await readdir(folder)).filter((each) => each.startsWith('restored'))).toEqual([]);
      }
      await writeFile(join(dir, name), bytes);
    }
    expect(flips).toBeGreaterThan(300);
    expect(await verify()).toMatchObject({ ok: true });
  });

  test('of backup.json is found, whichever byte it is', async () => {
    const { dir } = await small();
    const path = join(dir, 'backup.json');
    const bytes = await readFile(path);
    for (let at = 0; at < bytes.length; at++) {
      const flipped = Buffer.from(bytes);
      flipped[at]! ^= 1 << (at % 7);
      await writeFile(path, flipped);
      await expect(verify(), `byte ${at}`).rejects.toMatchObject({ code: 'bad-copy' });
    }
  });

  test('of a file that is cut off at any part, gone, or in the place of another', async () => {
    const { dir, parts } = await small();
    const [first, second] = [...parts.keys()] as [string, string];
    for (const [name, ofFile] of parts) {
      const bytes = await readFile(join(dir, name));
      for (const { offset } of ofFile) {
        for (const length of [offset, offset + 1, offset + 40]) {
          await writeFile(join(dir, name), bytes.subarray(0, length));
          expect((await verify()).spaces[0]!.findings, `${name} ${length}`).toMatchObject([
            { code: 'bad-copy', file: name },
          ]);
        }
      }
      await rm(join(dir, name));
      expect((await verify()).spaces[0]!.findings).toMatchObject([
        { file: name, says: expect.stringMatching(/missing/) },
      ]);
      await writeFile(join(dir, name), bytes);
    }
    const bytes = await readFile(join(dir, second));
    await cp(join(dir, first), join(dir, second));
    expect((await verify()).spaces[0]!.findings).toMatchObject([{ file: second, code: 'bad-copy' }]);
    await writeFile(join(dir, second), bytes);
    await appendFile(join(dir, second), 'x');
    expect((await verify()).spaces[0]!.findings).toMatchObject([
      { file: second, says: expect.stringMatching(/follows/) },
    ]);
  });

  test('where an older file of the same log is in its place, nothing is restored', async () => {
    const node = await start();
    const dir = join(folder, 'backup');
    await fill(node, 4);
    await create(node);
    const [older] = await logs();
    const bytes = await readFile(join(dir, older!));
    await rm(dir, { recursive: true });
    await fill(node, 3, 'more');
    await create(node);
    const [file] = await logs();
    await writeFile(join(dir, file!), bytes);
    expect((await verify()).spaces[0]!.findings).toMatchObject([{ file, code: 'bad-copy' }]);
    await expect(restoreBackup(dir, join(folder, 'restored'))).rejects.toMatchObject({ code: 'bad-copy' });
  });

  test('of what stands before it is good, and it says until when', async () => {
    const { dir, parts } = await small();
    const [, second] = [...parts.keys()] as [string, string];
    const bytes = await readFile(join(dir, second));
    bytes[bytes.length - 200]! ^= 1;
    await writeFile(join(dir, second), bytes);
    const { spaces } = await verify();
    expect(spaces[0]).toMatchObject({ good: 5, head: 8, commits: 5 });
    expect(spaces[0]!.untilUs).toBeGreaterThan(0);
  });

  test('where there is no backup at all, the next step is named', async () => {
    await expect(verify(join(folder, 'nothing'))).rejects.toMatchObject({
      code: 'bad-argument',
      message: expect.stringContaining('tidelog backup create'),
    });
    await expect(restoreBackup(folder, join(folder, 'restored'))).rejects.toMatchObject({ code: 'bad-argument' });
  });

  test('a restore replaces nothing', async () => {
    const { dir } = await small();
    const node = nodes[0]!;
    await expect(restoreBackup(dir, node.dataDir)).rejects.toMatchObject({ code: 'bad-argument' });
    await writeFile(join(folder, 'file'), 'x');
    await expect(restoreBackup(dir, join(folder, 'file'))).rejects.toMatchObject({ code: 'bad-argument' });
    // An empty folder is as good as none.
    await mkdir(join(folder, 'empty'));
    await restoreBackup(dir, join(folder, 'empty'));
    expect(await readdir(join(folder, 'empty'))).toContain('version');
  });
});

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

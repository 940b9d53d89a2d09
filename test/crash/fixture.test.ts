/** Data that the first release wrote, scripts/store-fixture.ts, is opened by every later one, and shows what it showed. */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { toHex } from '../../protocol/bytes.ts';
import { openPeer } from '../../server/open-peer.ts';
import { collect } from '../support/network.ts';

const FIXTURE = fileURLToPath(new URL('../fixtures/store-v1/', import.meta.url));

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidelog-fixture-'));
  execFileSync('tar', ['-C', folder, '-xzf', join(FIXTURE, 'store-v1.tar.gz')]);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test('a store of release 0.1.0, killed, opens with all that it showed: resources, conflict, members, log; and can be written', async () => {
  const expected = JSON.parse(await readFile(join(FIXTURE, 'expected.json'), 'utf8')) as Record<string, unknown>;
  const exported = await readFile(join(FIXTURE, 'export.ndjson'), 'utf8');
  const look = async () => {
    const opened = await openPeer(join(folder, 'store-v1'));
    const space = opened.peer.space();
    const members = await opened.peer.devices(space);
    return {
      opened,
      space,
      shown: {
        release: '0.1.0',
        device: opened.peer.id,
        space: space.hex,
        head: space.head,
        digest: toHex(space.digest()),
        conflicts: space.stats().conflicts,
        devices: members.map(({ name, role }) => ({ name, role })),
        commits: (await collect(space.log())).map(({ id }) => id),
      },
      lines: (await collect(space.export())).map((line) => `${line}\n`).join(''),
    };
  };
  // The first opening takes over the journal of the one that was killed, the second finds it done.
  for (let openings = 0; openings < 2; openings++) {
    const { opened, shown, lines } = await look();
    expect(shown).toEqual(expected);
    expect(lines).toBe(exported);
    await opened.close();
  }
  const { opened, space } = await look();
  await space.rebuild();
  expect((await collect(space.export())).map((line) => `${line}\n`).join('')).toBe(exported);
  await space.set('after', { years: 1 }).stored;
  expect(space.head).toBe((expected['head'] as number) + 1);
  await opened.close();
});

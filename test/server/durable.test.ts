/** Folders that can't be made. */
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { makeFolder } from '../../server/durable.ts';
import { withCode } from '../support/protocol.ts';

test('a folder is made with all above it, for its user alone, and one that is there stays', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tidelog-durable-'));
  try {
    const path = join(folder, 'a', 'b', 'c');
    await makeFolder(path);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    await makeFolder(path);
    await writeFile(join(folder, 'file'), '');
    await expect(makeFolder(join(folder, 'file', 'in-it'))).rejects.toEqual(withCode('store-failed'));
  } finally {
    await rm(folder, { recursive: true });
  }
});

test.skipIf(process.platform !== 'linux')(
  'one where no folder can be is refused, and not tried for ever; skipped but on Linux',
  async () => {
    await expect(makeFolder('/proc/tidelog/data')).rejects.toEqual(withCode('store-failed'));
  },
);

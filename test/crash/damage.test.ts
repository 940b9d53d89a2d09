/**
 * A store that something else than a crash has changed: it is refused with a sentence that says what to do, or it works and shows all that it showed.
 * LMDB's pages have no checksums: what a flipped byte in them does without being noticed is listed in docs/OPERATIONS.md.
 */
import { readFile, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { readU32 } from '../../protocol/bytes.ts';
import { isErrorCode, type TidelogError } from '../../protocol/errors.ts';
import { REGION_BYTES } from '../../server/journal.ts';
import { checkPages } from '../../server/lmdb-pages.ts';
import { tidelog } from '../support/cli.ts';
import { damaged, makeSample, Opener, type Outcome, type Sample } from './damage.ts';
import { randomOf } from './kills.ts';

const isLong = process.env['TIDELOG_TEST_LONG'] === '1';
const seed = Math.floor(Math.random() * 2 ** 31);

let sample: Sample;
let opener: Opener;
beforeAll(async () => {
  sample = await makeSample();
  opener = new Opener();
});
afterAll(async () => {
  await opener.close();
  await sample.remove();
});

async function opened(from: string, file: string, change: (bytes: Buffer) => Buffer | null): Promise<Outcome> {
  const to = join(sample.folder, 'damaged');
  await damaged(from, to, file, change);
  return opener.open(to);
}

const isAllThere = (outcome: Outcome): boolean =>
  outcome.outcome === 'opened' && JSON.stringify(outcome.shown) === JSON.stringify(sample.shown);

function expectRefused(outcome: Outcome, where: string): void {
  expect(outcome, where).toMatchObject({
    outcome: 'refused',
    code: 'data-damaged',
    message: expect.stringContaining(
      'Keep the folder as it is, and restore from a backup or pair anew in another folder',
    ),
  });
}

test('the samples open as they are', async () => {
  expect(isAllThere(await opened(sample.closed, 'key', (bytes) => bytes))).toBe(true);
  expect(isAllThere(await opened(sample.crashed, 'key', (bytes) => bytes))).toBe(true);
  expect(sample.shownBefore).not.toEqual(sample.shown);
});

describe('the journal after a crash', () => {
  /** Where the records begin and end that the tables lack, in the region that was written last. */
  async function newRecordsIn(path: string): Promise<[start: number, end: number][]> {
    const bytes = await readFile(path);
    const region = bytes.lastIndexOf('late/19') < REGION_BYTES ? 0 : REGION_BYTES;
    const found: [number, number][] = [];
    for (let at = region, length; (length = readU32(bytes, at + 16)) > 0; at += length) found.push([at, at + length]);
    return found.filter(([start, end]) => bytes.subarray(start, end).includes('late/'));
  }

  test(`with a flipped byte anywhere shows all, or is refused, or lacks its last record (seed ${seed})`, async () => {
    const random = randomOf(seed);
    const journal = join(sample.crashed, 'store', 'journal');
    const records = await newRecordsIn(journal);
    expect(records.length).toBeGreaterThan(5);
    const [first] = records[0]!;
    const last = records.at(-1)!;
    const tally = { all: 0, refused: 0, torn: 0 };
    for (let i = 0; i < (isLong ? 2000 : 60); i++) {
      const at = Math.floor(i % 4 === 0 ? random() * 2 * REGION_BYTES : first + random() * (last[1] - first));
      const outcome = await opened(sample.crashed, join('store', 'journal'), (bytes) => {
        bytes[at]! ^= 1 << Math.floor(random() * 8);
        return bytes;
      });
      if (isAllThere(outcome)) tally.all++;
      else if (outcome.outcome === 'refused') {
        expectRefused(outcome, `byte ${at}`);
        tally.refused++;
      } else {
        // A power cut in the middle of the write looks just so.
        expect(at >= last[0] && at < last[1], `byte ${at}: ${JSON.stringify(outcome)}`).toBe(true);
        tally.torn++;
      }
    }
    expect(tally.all).toBeGreaterThan(0);
    expect(tally.refused, JSON.stringify(tally)).toBeGreaterThan(0);
  }, 120_000);

  test('cut off anywhere, or gone, is refused', async () => {
    for (const length of [0, 1, 1000, REGION_BYTES, REGION_BYTES + 500, 2 * REGION_BYTES - 1]) {
      const outcome = await opened(sample.crashed, join('store', 'journal'), (bytes) => bytes.subarray(0, length));
      expectRefused(outcome, `${length} bytes`);
    }
    expectRefused(await opened(sample.crashed, join('store', 'journal'), () => null), 'gone');
  });
});

describe('pages that LMDB would die of', () => {
  const path = (state: 'closed' | 'crashed'): string => join(sample[state], 'store', 'data.mdb');

  test('a store that is whole has them all in place', async () => {
    for (const state of ['closed', 'crashed'] as const)
      expect((await checkPages(path(state))).pages).toBeGreaterThan(20);
  });

  test('are found without LMDB: whatever ends the process is data-damaged before', async () => {
    const random = randomOf(seed);
    const { size } = await stat(path('closed'));
    const to = join(sample.folder, 'damaged');
    let seen = 0;
    for (let i = 0; i < (isLong ? 5000 : 150); i++) {
      const at = Math.floor((random() * size) / 4096) * 4096 + Math.floor(random() * 120);
      await damaged(sample.closed, to, join('store', 'data.mdb'), (bytes) => {
        bytes[at]! ^= 1 << Math.floor(random() * 8);
        return bytes;
      });
      const error = await checkPages(join(to, 'store', 'data.mdb')).then(
        () => null,
        (thrown: TidelogError) => thrown.code,
      );
      expect([null, 'data-damaged'], `byte ${at}, seed ${seed}`).toContain(error);
      if (error !== null) seen++;
      else expect((await opener.open(to)).outcome, `byte ${at}, seed ${seed}`).not.toBe('died');
    }
    expect(seen).toBeGreaterThan(0);
  }, 600_000);

  test('are found where the newer of the two heads has another size of pages', async () => {
    for (const head of [0, 1]) {
      const to = join(sample.folder, 'damaged');
      await damaged(sample.closed, to, join('store', 'data.mdb'), (bytes) => {
        bytes[head * 4096 + 51]! ^= 1;
        return bytes;
      });
      await expect(checkPages(join(to, 'store', 'data.mdb'))).rejects.toMatchObject({ code: 'data-damaged' });
    }
  });

  test('the process that comes after one that died says so, and doctor does', async () => {
    const to = join(sample.folder, 'damaged');
    // The root of a table names a page beyond the end.
    await damaged(sample.closed, to, join('store', 'data.mdb'), (bytes) => {
      bytes[1 * 4096 + 140]! ^= 64;
      bytes[140]! ^= 64;
      return bytes;
    });
    // What a holder of the lock leaves that is killed.
    await symlink('node-0123456789abcdef.sock', join(to, 'node.sock'));
    expectRefused(await opener.open(to), 'after one that died');
    const { code, stdout } = await tidelog(to, ['doctor']);
    expect(stdout).toMatch(/✗ store: Its pages are not what was written: data-damaged\n {4}The data cannot be read/);
    expect(code).toBe(1);
  });
});

describe.each(['closed', 'crashed'] as const)('data.mdb, %s', (state) => {
  const file = join('store', 'data.mdb');

  test('cut off anywhere, or gone, is refused', async () => {
    const { size } = await stat(join(sample[state], file));
    const steps = isLong ? 400 : 24;
    for (let i = 0; i < steps; i++) {
      const length = Math.floor((size * i) / steps) + (i % 3);
      expectRefused(
        await opened(sample[state], file, (bytes) => bytes.subarray(0, length)),
        `${length} of ${size} bytes`,
      );
    }
    expectRefused(await opened(sample[state], file, () => null), 'gone');
  }, 600_000);

  test('a subject that is no text any more is data-damaged', async () => {
    const subject = Buffer.from('note/30');
    const bytes = await readFile(join(sample[state], file));
    // In keys and in blocks alike: whichever is met first.
    for (let at = bytes.indexOf(subject); at >= 0; at = bytes.indexOf(subject, at + 1)) {
      const outcome = await opened(sample[state], file, (data) => {
        data[at] = 0xff;
        return data;
      });
      if ('code' in outcome) expect(outcome.code, `byte ${at}: ${outcome.message}`).toBe('data-damaged');
    }
  });

  test(`with a flipped byte in any page: shows all, or says that the data is damaged, or says nothing, and is never a fault of the program (seed ${seed})`, async () => {
    const random = randomOf(seed);
    const { size } = await stat(join(sample[state], file));
    const pages = size / 4096;
    let noticed = 0;
    for (let i = 0; i < (isLong ? 20 * pages : pages); i++) {
      // Heads of pages are where the tree is.
      const at = (i % pages) * 4096 + Math.floor(random() * (i % 2 === 0 ? 64 : 4096));
      const outcome = await opened(sample[state], file, (bytes) => {
        bytes[at]! ^= 1 << Math.floor(random() * 8);
        return bytes;
      });
      if (!('code' in outcome)) continue;
      noticed++;
      expect(outcome.code, `byte ${at}: ${outcome.message}`).not.toBe('internal');
      expect(isErrorCode(outcome.code)).toBe(true);
    }
    expect(noticed).toBeGreaterThan(0);
  }, 600_000);
});

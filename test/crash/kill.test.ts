/** Servers that are killed lose nothing that they acknowledged. TIDELOG_TEST_LONG=1 for many rounds; `npm run crash` for any number. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, test } from 'vitest';

import { tidelog } from '../support/cli.ts';
import { hasTracer, randomOf, runKills } from './kills.ts';
import { Scene } from './scene.ts';
import { killAtWork, WORK_POINTS } from './works.ts';

const isLong = process.env['TIDELOG_TEST_LONG'] === '1';
const ROUNDS = isLong ? 1000 : 6;
const seed = Math.floor(Math.random() * 2 ** 31);

describe('a server that is killed', () => {
  const kinds = [
    ['at points of its own code', 'point'],
    ['at any moment', 'random'],
    ['in calls of LMDB to the system (left out without strace)', 'call'],
  ] as const;
  test.each(kinds.filter(([, kind]) => hasTracer || kind !== 'call'))(
    '%s loses nothing that was acknowledged, to people and to devices',
    async (_, kind) => {
      const rounds = kind === 'call' ? ROUNDS / 2 : ROUNDS;
      const summary = await runKills({ rounds, seed, kinds: [kind] });
      expect(summary.rounds).toBe(rounds);
      expect(Object.keys(summary.kills).length, JSON.stringify(summary)).toBeGreaterThan(0);
      expect(summary.acknowledged.written).toBeGreaterThan(0);
    },
    isLong ? 3_600_000 : 240_000,
  );

  test('and whose disk lied is found to have lost something: the test can fail', async () => {
    const scene = await Scene.make(randomOf(seed));
    try {
      // Not every time: where the tables were written right before the end, they have what the journal lacks.
      const found: string[] = [];
      for (let tries = 0; found.length === 0 && tries < 10; tries++) {
        await scene.round({ kind: 'point', point: 'record-lost', nth: 3, us: 0 });
        const looked = scene.round({ kind: 'random', afterAcks: 1, delayMs: 0 });
        await looked.catch((thrown: Error) => found.push(thrown.message));
      }
      expect(found).toEqual([expect.stringMatching(/was acknowledged and is gone/)]);
    } finally {
      await scene.close();
    }
  }, 120_000);
});

describe('a node that is killed in the middle of what follows a revocation or a fork', () => {
  const chosen = isLong
    ? WORK_POINTS
    : WORK_POINTS.filter(([point, nth]) => point === 'sweep-made' || (point === 'repair-written' && nth === 2));
  test.each(chosen)(
    'at %s %i goes on with it, and shows and sets aside what it should',
    async (point, nth) => {
      const isMet = await killAtWork(point, nth);
      expect(isMet || nth > 2).toBe(true);
    },
    120_000,
  );
});

/** Of a first initialisation: key, token, settings and version are written one after the other. */
const FILES = 4;

describe('an initialisation that is killed', () => {
  const points = new URL('./points.ts', import.meta.url).href;
  const bin = fileURLToPath(new URL('../../bin/tidelog.js', import.meta.url));
  const cases = ['file-draft', 'file-renamed'].flatMap((point) =>
    Array.from({ length: FILES }, (_, i) => `${point}:${i + 1}`),
  );
  test.each(isLong ? cases : cases.filter((_, i) => i % 2 === 0))(
    'at %s is finished by the next, with the key that it made',
    async (point) => {
      const folder = await mkdtemp(join(tmpdir(), 'tidelog-crash-'));
      const data = join(folder, 'data');
      const args = ['--import', points, bin, '--data', data, 'init', '--name', 'laptop'];
      const child = spawn(process.execPath, args, {
        env: { ...process.env, TIDELOG_CRASH_AT: point },
        stdio: 'ignore',
      });
      const [, signal] = (await once(child, 'exit')) as [number | null, string | null];
      expect(signal).toBe('SIGKILL');
      const key = await readFile(join(data, 'key'), 'utf8').catch(() => null);
      const again = await tidelog(data, ['init', '--name', 'laptop']);
      expect(again.code, again.stderr).toBe(0);
      expect((await tidelog(data, ['set', 'note/1', 'title=Milk'])).code).toBe(0);
      if (key !== null) expect(await readFile(join(data, 'key'), 'utf8')).toBe(key);
      await rm(folder, { recursive: true });
    },
    60_000,
  );
});

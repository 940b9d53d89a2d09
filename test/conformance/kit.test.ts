/**
 * The conformance kit against this implementation, as a user would run it: real processes, real sockets, all that it may ask for. All cases pass. That they can
 * fail is for test/planted to show.
 */
import { describe, expect, test } from 'vitest';
import type { Side } from '../../conformance/index.ts';
import { judge, type CaseResult, type KitRun } from './kit.ts';
import { build } from '../planted/build.ts';

const RUN_MS_MAX = 600_000;
/** TIDELOG_TEST_LONG=1 also runs what takes more than five seconds by its nature, such as 45 s of silence. */
const IS_LONG = Boolean(process.env['TIDELOG_TEST_LONG']);
const QUICK = IS_LONG ? [] : ['--quick'];

/** Our log has no floor: it holds every position. And a node that was joined has a log already. */
const SKIPPED = { server: ['11.3/103', '11.5/101'], client: ['11.3/103'] } as const;
/** A peer may go on from its cursor or by its vector; ours takes the vector where something else was written meanwhile, as under load it may be. */
const MAY_SKIP = new Set(['11.3/110', '11.3/111', '11.3/112']);

function notPassed(results: readonly CaseResult[], skipped: readonly string[]): string[] {
  return results
    .filter(({ id, outcome }) => !(MAY_SKIP.has(id) && outcome === 'skipped'))
    .filter(({ id, outcome }) => outcome !== (skipped.includes(id) ? 'skipped' : 'passed'))
    .map(({ id, title, outcome, reason, transcript }) =>
      [`${outcome} ${id} ${title}: ${reason}`, ...transcript].join('\n  '),
    );
}

async function judgeOurs(side: Side, flags: readonly string[]): Promise<KitRun> {
  const copy = await build(null, 'programs');
  try {
    return await judge(side, copy.root, flags);
  } finally {
    await copy.remove();
  }
}

describe.concurrent('the kit', () => {
  test('passes our node', { timeout: RUN_MS_MAX }, async () => {
    const { results, code, stderr } = await judgeOurs('server', QUICK);
    expect(notPassed(results, SKIPPED.server), stderr).toEqual([]);
    expect(results.length).toBeGreaterThan(600);
    expect(code).toBe(0);
  });

  test('passes our client', { timeout: RUN_MS_MAX }, async () => {
    // The hostile cases start the client twice each, two minutes in all; test/client/hostile.test.ts is there for them too.
    const flags = IS_LONG ? [] : ['--quick', '--no-hostile'];
    const { results, code, stderr } = await judgeOurs('client', [...flags, '--workers', '4']);
    expect(notPassed(results, SKIPPED.client), stderr).toEqual([]);
    expect(results.length).toBeGreaterThan(IS_LONG ? 600 : 200);
    expect(code).toBe(0);
  });
});

/**
 * The conformance kit against this implementation, as a user would run it: real processes, real sockets, all that it may ask for. All cases pass; and with a
 * mistake planted, the cases that are there for it fail.
 */
import { describe, expect, test } from 'vitest';
import type { Side } from '../../conformance/index.ts';
import { judge, type CaseResult, type KitRun } from './kit.ts';
import { build } from './planted/build.ts';
import { PLANTED_BUGS } from './planted/bugs.ts';

const RUN_MS_MAX = 600_000;
const BUG_MS_MAX = 120_000;
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
  const copy = await build(null);
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
    const { results, code, stderr } = await judgeOurs('client', [...QUICK, '--workers', '4']);
    expect(notPassed(results, SKIPPED.client), stderr).toEqual([]);
    expect(results.length).toBeGreaterThan(600);
    expect(code).toBe(0);
  });
});

/** One or two of each chapter; all of them with TIDELOG_TEST_LONG=1, and by `npm run planted`. Each takes a start of the node or two. */
const BUGS_ALWAYS = new Set(
  (
    'cursor-inclusive cursor-skips-one vector-off-by-one filter-stands-still credit-ignored ack-before-flush ' +
    'ack-before-flush-client cursor-past-a-refusal signature-unchecked first-signature-only every-signature prev-unchecked ' +
    'revocation-ignored revoked-stays-connected last-writer-wins heartbeat-without-head proof-unbound'
  ).split(' '),
);
const BUGS = PLANTED_BUGS.filter(({ id }) => IS_LONG || BUGS_ALWAYS.has(id));

test('the bugs that are always tried are there', () => {
  expect(BUGS.length).toBeGreaterThanOrEqual(BUGS_ALWAYS.size);
});

describe.concurrent('a planted bug is caught', () => {
  test.each(BUGS.map((bug) => [bug.id, bug] as const))('%s', { timeout: BUG_MS_MAX }, async (_, bug) => {
    const copy = await build(bug);
    try {
      const { results, stderr } = await judge(bug.side, copy.root, [
        '--only',
        bug.caughtBy.join(','),
        '--timeout',
        '3',
      ]);
      const failed = results.filter(({ outcome }) => outcome === 'failed' || outcome === 'warned').map(({ id }) => id);
      expect(failed.toSorted(), stderr).toEqual(bug.caughtBy.toSorted());
    } finally {
      await copy.remove();
    }
  });
});

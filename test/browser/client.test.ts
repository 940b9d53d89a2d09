/**
 * The tests of client/ that any peer must pass, as they are, against one in a real browser: its store, its primitives, its timers. With TIDELOG_TEST_LONG=1
 * also those that take long there.
 */
import { clientTests } from './client-tests.ts';
import { testsInPage } from './in-page.ts';

const isLong = process.env['TIDELOG_TEST_LONG'] === '1';
const FILES = [
  'sync',
  'pairing',
  'revocation',
  'lying',
  'mirror',
  'quota',
  ...(isLong ? ['convergence', 'short-way'] : []),
];
const LONG = [
  'a large log is synced cold',
  'whenever and however often the lines are cut',
  'is not written again by a merge that was prepared',
];

await testsInPage(clientTests(FILES.map((name) => `test/client/${name}.test.ts`)), 100, isLong ? [] : LONG);

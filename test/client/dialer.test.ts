/** When an address is tried again. No pause ends here: what is tried was tried at once. */
import { expect, test } from 'vitest';
import type { Connection } from '../../client/connection.ts';
import { Dialer } from '../../client/dialer.ts';
import { nodePlatform } from '../../client/platform/node.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { turn } from '../support/turn.ts';

const URL = 'http://laptop';

/** What the dialer has begun, in order, and how each ends is up to the test. */
function newWorld(): { dialer: Dialer; attempts: PromiseWithResolvers<Connection>[] } {
  const attempts: PromiseWithResolvers<Connection>[] = [];
  const platform = { ...nodePlatform(), after: () => () => {} };
  const dialer = new Dialer(platform, () => {
    const attempt = Promise.withResolvers<Connection>();
    attempts.push(attempt);
    return attempt.promise;
  });
  dialer.keep(URL);
  return { dialer, attempts };
}

function connection(closed = false): Connection {
  return { closed } as Connection;
}

const unreachable = new TidelogError('unreachable', URL);

test('an attempt that fails is followed by a pause, and whoever wakes it ends that', async () => {
  const { dialer, attempts } = newWorld();
  attempts[0]!.reject(unreachable);
  await turn();
  expect(attempts).toHaveLength(1);
  dialer.wake();
  expect(attempts).toHaveLength(2);
});

test('woken while an attempt is under way that began without a network, it tries again at once when that fails, and once', async () => {
  const { dialer, attempts } = newWorld();
  dialer.wake();
  dialer.wake();
  expect(attempts).toHaveLength(1);
  attempts[0]!.reject(unreachable);
  await turn();
  expect(attempts).toHaveLength(2);
  attempts[1]!.reject(unreachable);
  await turn();
  expect(attempts).toHaveLength(2);
});

test('woken while the line that it is about to get has ended already, it tries again at once', async () => {
  const { dialer, attempts } = newWorld();
  dialer.wake();
  attempts[0]!.resolve(connection(true));
  await turn();
  expect(attempts).toHaveLength(2);
});

test('what woke it while it connected is no reason to hurry when that line ends', async () => {
  const { dialer, attempts } = newWorld();
  dialer.wake();
  const line = connection();
  attempts[0]!.resolve(line);
  await turn();
  dialer.wake();
  dialer.ended(line, null);
  await turn();
  expect(attempts).toHaveLength(1);
  dialer.wake();
  expect(attempts).toHaveLength(2);
});

test('dropped while an attempt is under way, it is not tried again', async () => {
  const { dialer, attempts } = newWorld();
  dialer.wake();
  dialer.drop(URL);
  attempts[0]!.reject(unreachable);
  await turn();
  expect(attempts).toHaveLength(1);
});

/** Who leads among the tabs of a site, where one of them stands still. In Node: without Web Locks, as on a page that is no secure context. */
import { afterEach, expect, test } from 'vitest';

import { Tabs } from '../../../client/browser/tabs.ts';

const open: Tabs[] = [];
afterEach(() => {
  for (const tabs of open.splice(0)) tabs.close();
});

/** The number in the store that all of them share. */
class Store {
  number = 0;
}

function tab(store: Store, name: string, refresh: () => Promise<void> = async () => {}): Tabs {
  const tabs = new Tabs(name, {
    takeOver: async () => ++store.number,
    refresh,
    lead: () => {},
    follow: async () => {},
    acked: () => {},
  });
  open.push(tabs);
  return tabs;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

test('what was begun before another took the lead by force writes nothing more, and what comes after it does', async () => {
  const name = `void ${Math.random()}`;
  const store = new Store();
  const [slow, other] = [tab(store, name), tab(store, name)];
  const release = await slow.hold('work');
  // It holds on for longer than anybody waits.
  const letGo = await other.hold('work');
  while (slow.leads) await sleep(5);
  // In what was begun. By now it could lead again, and would write what it had read before.
  expect(slow.holdNow()).toBeNull();
  letGo();
  await expect(slow.hold('work')).rejects.toMatchObject({ code: 'data-in-use' });
  release();
  (await slow.hold('work'))();
  expect(slow.leads).toBe(true);
  expect(slow.holdNow()).not.toBeNull();
});

test('what a tab writes while it takes the lead fails where that is lost again, and does not wait for itself', async () => {
  const name = `taking ${Math.random()}`;
  const store = new Store();
  const begun = Promise.withResolvers<void>();
  let outcome: unknown = null;
  const slow: Tabs = tab(store, name, async () => {
    begun.resolve();
    if (outcome !== null) return;
    outcome = 'waits';
    while (slow.leads) await sleep(5);
    outcome = await slow.hold('work').catch((thrown: { code: string }) => thrown.code);
  });
  const taken = slow.take();
  await begun.promise;
  const release = await tab(store, name).hold('work');
  await taken;
  expect(outcome).toBe('data-in-use');
  release();
  (await slow.hold('work'))();
  expect(slow.leads).toBe(true);
});

test('two spaces that are written all the time do not keep another tab from the lead, and nothing of theirs fails', async () => {
  const name = `busy ${Math.random()}`;
  const store = new Store();
  const [busy, other] = [tab(store, name), tab(store, name)];
  const ends = new AbortController();
  const writing = [0, 10].map(async (afterMs) => {
    await sleep(afterMs);
    while (!ends.signal.aborted) {
      const release = await busy.hold('write');
      await sleep(20);
      release();
    }
  });
  await sleep(100);
  const release = await other.hold('write');
  expect(busy.leads).toBe(false);
  ends.abort();
  release();
  await Promise.all(writing);
});

test('what is part of a work that has begun is done before the lead is handed over', async () => {
  const name = `part ${Math.random()}`;
  const store = new Store();
  const [busy, other] = [tab(store, name), tab(store, name)];
  const release = await busy.hold('work');
  const asked = other.hold('write');
  await sleep(500);
  (await busy.hold('work'))();
  (await busy.hold('write'))();
  expect(busy.leads).toBe(true);
  release();
  (await asked)();
  expect(busy.leads).toBe(false);
});

test('a tab that is reading what another wrote has the lead only once that is read', async () => {
  const name = `reading ${Math.random()}`;
  const store = new Store();
  const other = tab(store, name);
  (await other.hold('work'))();
  const [begun, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const ledBy: boolean[][] = [];
  const reader: Tabs = tab(store, name, async () => {
    const before = reader.leads;
    begun.resolve();
    await gate.promise;
    ledBy.push([before, reader.leads]);
  });
  const read = reader.catchUp();
  await begun.promise;
  const taken = reader.take();
  while (other.leads) await sleep(5);
  await sleep(100);
  gate.resolve();
  await Promise.all([read, taken]);
  expect(ledBy).toEqual([
    [false, false],
    [true, true],
  ]);
});

test('a tab that has taken the lead and not yet read what was written before has not caught up', async () => {
  const [begun, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const reader = tab(new Store(), `behind ${Math.random()}`, () => {
    begun.resolve();
    return gate.promise;
  });
  const taken = reader.take();
  await begun.promise;
  expect(reader.leads).toBe(true);
  let isCaughtUp = false;
  const caughtUp = reader.catchUp().then(() => (isCaughtUp = true));
  await sleep(50);
  expect(isCaughtUp).toBe(false);
  gate.resolve();
  await Promise.all([taken, caughtUp]);
});

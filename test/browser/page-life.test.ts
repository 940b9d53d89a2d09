/** What a browser does to a page and its data: it refuses room, deletes everything, keeps or forgets, freezes, loses the network and finds it again. */
import { describe, expect, test } from 'vitest';
import { eventually, newLab } from '../e2e/support.ts';
import { chromiumPath } from './chromium.ts';
import { newPages, type PeerPage } from './support.ts';

const LONG_MS = 90_000;
const VALUE_BYTES = 500_000;

const lab = newLab();
const pages = newPages();

/** Timers of so many ms and more don't come any more, those of the dialer among them: what happens then isn't because time passed. */
const HELD_MS = 300;

async function holdTimers({ page }: PeerPage): Promise<void> {
  await page.evaluate((least) => {
    const { setTimeout } = globalThis;
    Object.assign(globalThis, {
      setTimeout: (call: () => void, ms = 0) => (ms >= least ? 0 : setTimeout(call, ms)),
    });
  }, HELD_MS);
}

const wakers: [name: string, wake: (tab: PeerPage) => Promise<void>][] = [
  [
    'the network comes back',
    async (tab) => {
      await tab.setOffline(true);
      await tab.setOffline(false);
    },
  ],
  // A browser without a window hides and freezes no page.
  ['somebody looks at it', ({ page }) => page.evaluate('void document.dispatchEvent(new Event("visibilitychange"))')],
  ['the browser thaws it', ({ page }) => page.evaluate('void document.dispatchEvent(new Event("resume"))')],
  ['the machine has slept', ({ page }) => page.evaluate('{ const { now } = Date; Date.now = () => now() + 120_000; }')],
];

describe.skipIf(chromiumPath === null)('a page', () => {
  test('asks the browser to keep its data, and says what it answered', async () => {
    const browser = await pages.browser();
    const refused = await pages.tab(browser);
    await refused.call('open', 'phone');
    await eventually(async () => (await storageNotice(refused)) !== undefined, 'it was asked');
    expect(await storageNotice(refused)).toEqual({ type: 'storage', persistent: false });
    await refused.page.close();

    const granted = await pages.tab(browser);
    const devtools = await granted.devtools();
    await devtools.send('Browser.grantPermissions', { origin: granted.origin, permissions: ['durableStorage'] });
    await granted.call('open', 'phone');
    await eventually(async () => (await storageNotice(granted)) !== undefined, 'it was asked');
    expect(await storageNotice(granted)).toEqual({ type: 'storage', persistent: true });
    expect(await granted.page.evaluate('navigator.storage.persisted()')).toBe(true);
  });

  test('that may store no more is told so by each write, keeps what it has, and goes on when there is room', async () => {
    const browser = await pages.browser();
    const tab = await pages.tab(browser);
    const { origin } = tab;
    const devtools = await tab.devtools();
    // Before it is opened: what is left is looked up every half a minute.
    await devtools.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 5_000_000 });
    await tab.call('open', 'phone');
    let stored = 0;
    let code: string | null = null;
    for (; code === null && stored < 100; stored++) code = await tab.call('setLarge', `large/${stored}`, VALUE_BYTES);
    expect(code).toBe('store-full');
    const full = stored - 1;
    for (let i = 0; i < full; i++) expect(await tab.call('get', `large/${i}`)).not.toBeNull();
    expect(await tab.call('get', `large/${full}`)).toBeNull();
    expect(await tab.call('setLarge', 'large/again', VALUE_BYTES)).toBe('store-full');

    await devtools.send('Storage.overrideQuotaForOrigin', { origin });
    expect(await tab.call('setLarge', 'large/again', VALUE_BYTES)).toBeNull();
    const before = await tab.state();
    expect(before).toMatchObject({ subjects: full + 1, chains: 1, forks: 0 });
    const again = await pages.tab(browser);
    await again.call('open', 'phone');
    expect(await again.state()).toEqual(before);
  });

  test(
    'whose data the browser deletes while it is open says so, and the device returns with a new chain',
    { timeout: LONG_MS },
    async () => {
      const [node, browser] = await Promise.all([lab.start('laptop'), pages.browser()]);
      const tab = await pages.tab(browser);
      const id = await tab.call('open', 'phone');
      await tab.call('join', await node.invite());
      expect(await tab.call('setReached', 'note', { by: 'phone' })).toBeNull();
      const devtools = await tab.devtools();
      await devtools.send('Storage.clearDataForOrigin', { origin: tab.origin, storageTypes: 'indexeddb' });
      const lost = { type: 'lost', code: 'store-failed' };
      await eventually(
        async () => JSON.stringify(await tab.call('notices')).includes(JSON.stringify(lost)),
        'it is told',
      );
      expect(await tab.call('set', 'note', { by: 'nobody' })).toBe('closed');

      await tab.page.reload();
      await tab.page.waitForFunction('globalThis.peer');
      expect(await tab.call('open', 'phone')).toBe(id);
      expect(await tab.call('notices')).toContainEqual({ type: 'evicted' });
      await eventually(async () => (await tab.state()).subjects >= 1, 'all is here again');
      const before = await tab.state();
      expect(await tab.call('setReached', 'note', { by: 'phone again' })).toBeNull();
      expect(await tab.state()).toMatchObject({ chains: before.chains + 1, forks: 0 });
      expect(await node.read('note')).toEqual({ by: 'phone again' });
    },
  );

  test(
    'without a network its line counts as gone at once; one whose node is still reached has it back',
    { timeout: LONG_MS },
    async () => {
      const [node, browser] = await Promise.all([lab.start('laptop'), pages.browser()]);
      const tab = await pages.tab(browser);
      await tab.call('open', 'phone');
      await tab.call('join', await node.invite());
      // Those that would find out by silence don't come.
      await holdTimers(tab);
      await tab.setOffline(true);
      await eventually(async () => (await tab.call('connected')) === 0, 'the line counts as gone');
      await tab.setOffline(false);
      await eventually(async () => (await tab.call('connected')) === 1, 'it is connected');
      // As on the node's own machine, which has no network any more and needs none.
      await tab.page.evaluate('void dispatchEvent(new Event("offline"))');
      await eventually(async () => (await tab.call('connected')) === 1, 'it is connected again');
      expect(await tab.call('setReached', 'note', { by: 'phone' })).toBeNull();
    },
  );

  test(
    'whose device is forgotten in another tab is told that, and no fault of its store',
    { timeout: LONG_MS },
    async () => {
      const browser = await pages.browser();
      const [one, two] = [await pages.tab(browser), await pages.tab(browser)];
      await one.call('open', 'phone');
      await two.call('open', 'phone');
      await two.call('deleteDevice');
      await eventually(
        async () => JSON.stringify(await one.call('notices')).includes('{"type":"lost","code":"closed"}'),
        'it is told',
      );
    },
  );

  test.each(wakers)('looks for its node at once when %s', { timeout: LONG_MS }, async (_, wake) => {
    const [node, browser] = await Promise.all([lab.start('laptop'), pages.browser()]);
    const tab = await pages.tab(browser);
    await tab.call('open', 'phone');
    await tab.call('join', await node.invite());
    await holdTimers(tab);
    await node.kill('SIGKILL');
    await eventually(async () => (await tab.call('connected')) === 0, 'the line is gone');
    await node.start();
    expect(await tab.call('connected')).toBe(0);
    await wake(tab);
    await eventually(async () => (await tab.call('connected')) === 1, 'it is connected');
    expect(await tab.call('setReached', 'note', { by: 'phone' })).toBeNull();
  });
});

async function storageNotice(tab: PeerPage): Promise<unknown> {
  return (await tab.call<{ type: string }[]>('notices')).find(({ type }) => type === 'storage');
}

/** A peer in a real browser, beside a real node: it works offline and comes back, keeps what it has, and never writes in two tabs at once. */
import { describe, expect, test } from 'vitest';
import { eventually, newLab, type Device } from '../e2e/support.ts';
import { chromiumPath } from './chromium.ts';
import { newPages, type PeerPage } from './support.ts';

const LONG_MS = 180_000;

const lab = newLab();
const pages = newPages();

async function level(tab: PeerPage, node: Device, timeoutMs?: number): Promise<void> {
  await eventually(
    async () => (await tab.state()).commits === (await node.status()).spaces[0]!.commits,
    'both have the same commits',
    timeoutMs,
  );
}

describe.skipIf(chromiumPath === null)('a browser', () => {
  test.each([
    ['a secure context', false],
    ['no secure context', true],
  ])(
    'on a page that is %s: edits apart, a conflict on both, and the decision on both',
    async (_, insecure) => {
      const [node, browser] = await Promise.all([lab.start('laptop'), pages.browser()]);
      const tab = await pages.tab(browser, { insecure });
      expect(await tab.call('isSecure')).toBe(!insecure);
      await tab.call('open', 'phone');
      await tab.call('join', await node.invite());
      await node.set('note/1', { title: 'Milk' });
      await level(tab, node);
      expect(await tab.call('get', 'note/1')).toEqual({ title: 'Milk' });

      await node.kill('SIGTERM');
      await eventually(async () => (await tab.call('connected')) === 0, 'the line is gone');
      expect(await tab.call('set', 'note/1', { title: 'Soy milk' })).toBeNull();
      await node.run('set', 'note/1', 'title=Oat milk');
      await node.start();
      await eventually(async () => (await node.conflicts()).length === 1, 'the node has the conflict', 60_000);
      await eventually(async () => (await tab.call<unknown[]>('conflicts')).length === 1, 'the page has it too');

      const conflict = { subject: 'note/1', property: 'title', values: expect.any(Array) as unknown };
      expect(await tab.call('conflicts')).toEqual([conflict]);
      const alternatives = (await node.conflicts()).flatMap((one) => one.alternatives);
      expect(alternatives.map(({ value, deviceName }) => `${String(value)} by ${deviceName}`).toSorted()).toEqual([
        'Oat milk by laptop',
        'Soy milk by phone',
      ]);
      expect(await tab.call('set', 'note/1', { title: 'Both' })).toBeNull();
      await level(tab, node);
      expect(await tab.call('conflicts')).toEqual([]);
      expect(await node.conflicts()).toEqual([]);
      expect(await node.read('note/1')).toEqual({ title: 'Both' });
    },
    LONG_MS,
  );

  test('whose tab is closed, and then the browser ended, has everything that it had acknowledged', async () => {
    const browser = await pages.browser();
    const first = await pages.tab(browser);
    const id = await first.call('open', 'phone');
    await first.call('setMany', 'note', 50);
    const before = await first.state();
    // Nothing is told to the page.
    await first.page.close({ runBeforeUnload: false });
    const second = await pages.tab(browser);
    expect(await second.call('open', 'phone')).toBe(id);
    expect(await second.state()).toEqual(before);
    expect(await second.call('set', 'note/0', { i: 'again' })).toBeNull();
    await second.page.reload();
    await second.page.waitForFunction('globalThis.peer');
    expect(await second.call('open', 'phone')).toBe(id);
    expect(await second.call('get', 'note/0')).toEqual({ i: 'again' });
    expect(await second.state()).toMatchObject({ forks: 0, chains: 1 });
  });

  test('whose data the browser deleted comes back as the same device, with a new chain, and says so', async () => {
    const [node, browser] = await Promise.all([lab.start('laptop'), pages.browser()]);
    const first = await pages.tab(browser);
    const id = await first.call('open', 'phone');
    await first.call('join', await node.invite());
    await first.call('setMany', 'note', 10);
    await level(first, node);
    await first.call('close');
    await first.call('evict');
    await first.page.close();

    const again = await pages.tab(browser);
    expect(await again.call('open', 'phone')).toBe(id);
    expect(await again.call('notices')).toContainEqual({ type: 'evicted' });
    await eventually(async () => (await again.state()).subjects >= 10, 'all is here again');
    await level(again, node);
    const before = await again.state();
    expect(await again.call('set', 'note/0', { i: 'new' })).toBeNull();
    await level(again, node);
    expect(await node.read('note/0')).toEqual({ i: 'new' });
    expect(await again.state()).toMatchObject({ chains: before.chains + 1, forks: 0 });
  });

  test('that was told to forget its device is another one', async () => {
    const browser = await pages.browser();
    const tab = await pages.tab(browser);
    const id = await tab.call('open', 'phone');
    await tab.call('set', 'a', { b: 1 });
    await tab.call('close');
    await tab.call('deleteDevice');
    expect(await tab.call('open', 'phone')).not.toBe(id);
    expect(await tab.call('notices')).not.toContainEqual({ type: 'evicted' });
    expect((await tab.state()).spaces).toBe(0);
  });

  test(
    'goes on writing while the node is killed, and the node has it all in the end',
    async () => {
      const [node, browser] = await Promise.all([lab.start('laptop'), pages.browser()]);
      const tab = await pages.tab(browser);
      await tab.call('open', 'phone');
      await tab.call('join', await node.invite());
      await tab.call('beginWriting', 'note');
      for (let i = 0; i < 2; i++) {
        const before = (await tab.state()).commits;
        await eventually(async () => (await tab.state()).commits > before + 20, 'more is written');
        await node.kill('SIGKILL');
        await node.start();
      }
      const written = await tab.call<number>('endWriting');
      await level(tab, node, 90_000);
      for (const i of [0, written >> 1, written - 1]) expect(await node.read(`note/${i}`)).toEqual({ i });
    },
    LONG_MS,
  );

  test(
    'hands to another browser, by way of a node, what it wrote, and gets what that one writes',
    async () => {
      const [node, one, other] = await Promise.all([lab.start('laptop'), pages.browser(), pages.browser()]);
      const [phone, tablet] = [await pages.tab(one), await pages.tab(other, { insecure: true })];
      await phone.call('open', 'phone');
      await tablet.call('open', 'tablet');
      await phone.call('join', await node.invite());
      await tablet.call('join', await node.invite());
      await phone.call('setMany', 'phone', 20);
      await tablet.call('setMany', 'tablet', 20);
      const digests = async (): Promise<string[]> => [(await phone.state()).digest, (await tablet.state()).digest];
      await eventually(
        async () => new Set(await digests()).size === 1 && (await phone.state()).subjects >= 40,
        'both have all',
      );
      expect(await phone.call('get', 'tablet/19')).toEqual({ i: 19 });
      expect(await tablet.call('get', 'phone/19')).toEqual({ i: 19 });
    },
    LONG_MS,
  );
});

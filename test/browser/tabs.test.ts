/** Several tabs of one site are one device: each reads and writes, all see the same at once, and its chain never forks, whatever becomes of the one that leads. */
import { describe, expect, test } from 'vitest';
import { eventually, newLab } from '../e2e/support.ts';
import { chromiumPath } from './chromium.ts';
import { newPages, type PeerPage } from './support.ts';

const LONG_MS = 120_000;

const lab = newLab();
const pages = newPages();

/** Both have what the other has, of one chain. */
async function alike(...tabs: PeerPage[]): Promise<void> {
  await eventually(async () => {
    const states = await Promise.all(tabs.map((tab) => tab.state()));
    return states.every(({ digest, commits }) => digest === states[0]!.digest && commits === states[0]!.commits);
  }, 'all tabs have the same');
  for (const tab of tabs) expect(await tab.state()).toMatchObject({ spaces: 1, chains: 1, forks: 0 });
}

describe.skipIf(chromiumPath === null).each([
  ['a secure context', false],
  ['no secure context', true],
])('two tabs of a page that is %s', (_, insecure) => {
  test(
    'are opened at once, write at once, and each sees live what the other writes',
    { timeout: LONG_MS },
    async () => {
      const browser = await pages.browser();
      const [one, two] = await Promise.all([pages.tab(browser, { insecure }), pages.tab(browser, { insecure })]);
      const ids = await Promise.all([one.call('open', 'phone'), two.call('open', 'phone')]);
      expect(ids[0]).toBe(ids[1]);
      expect(await Promise.all([one.call('set', 'a', { by: 1 }), two.call('set', 'b', { by: 2 })])).toEqual([
        null,
        null,
      ]);
      await alike(one, two);
      expect(await one.call('get', 'b')).toEqual({ by: 2 });
      expect(await two.call('get', 'a')).toEqual({ by: 1 });
      await two.call('follow', 'a');
      for (let i = 0; i < 5; i++) {
        expect(await one.call('set', 'a', { by: 1, i })).toBeNull();
        await eventually(async () => {
          const told = JSON.stringify(await two.call('told'));
          return told.includes(`["live",{"by":1,"i":${i}}]`) && told.includes(`"set":{"by":1,"i":${i}}`);
        }, 'the other is told');
      }
      await Promise.all([one.call('setMany', 'one', 40), two.call('setMany', 'two', 40)]);
      await alike(one, two);
      expect(await one.state()).toMatchObject({ subjects: 82 });
      expect(await one.call('get', 'two/39')).toEqual({ i: 39 });
      expect(await two.call('get', 'one/39')).toEqual({ i: 39 });
      // What each has in memory is what one has that reads it all from the disk.
      const third = await pages.tab(browser, { insecure });
      await third.call('open', 'phone');
      await alike(one, two, third);
      expect(await third.call('log')).toEqual(await one.call('log'));
    },
  );

  test(
    'count one thing together: each that is stored counts once, and log and state are sound',
    { timeout: LONG_MS },
    async () => {
      const browser = await pages.browser();
      const tabs = [];
      for (let i = 0; i < 3; i++) tabs.push(await pages.tab(browser, { insecure }));
      for (const tab of tabs) await tab.call('open', 'phone');
      const counted = await Promise.all(
        tabs.map((tab) => tab.call<{ stored: number; codes: string[] }>('count', 'c', 80)),
      );
      // Taken from one that was too busy to answer, the lead is lost in the middle of a write; it is told so.
      expect(counted.flatMap(({ codes }) => codes).filter((code) => code !== 'data-in-use')).toEqual([]);
      const stored = counted.reduce((sum, each) => sum + each.stored, 0);
      await alike(...tabs);
      for (const tab of tabs) expect(await tab.call('get', 'c')).toEqual({ n: stored });
      expect(await tabs[0]!.call('findings')).toEqual([]);
    },
  );

  test(
    'of which one is closed, killed or stands still while both write: the other goes on, and all that was acknowledged is there',
    {
      timeout: LONG_MS,
    },
    async () => {
      const browser = await pages.browser();
      const survivor = await pages.tab(browser, { insecure });
      await survivor.call('open', 'phone');
      // Without Web Locks one that is killed is missed after some seconds; what they tell otherwise is the same.
      for (const end of insecure ? (['crash', 'freeze'] as const) : (['close', 'crash', 'freeze'] as const)) {
        const other = await pages.tab(browser, { insecure });
        await other.call('open', 'phone');
        await survivor.call('beginWriting', `survivor-${end}`);
        await other.call('beginWriting', `other-${end}`);
        await eventually(async () => (await other.call<number>('written')) > 20, 'both write');
        // Most likely while it leads: it was the last that did something.
        expect(await other.call('set', 'last', { end })).toBeNull();
        const written = await other.call<number>('written');
        const before = await survivor.call<number>('written');
        if (end === 'close') await other.page.close();
        else if (end === 'crash') await other.crash();
        else {
          // A browser freezes no page in the middle of a transaction, for nobody else could write before it thaws.
          expect(await other.call('endWriting')).toEqual(expect.any(Number));
          expect(await other.call('set', 'last', { end: 'frozen' })).toBeNull();
          await other.freeze();
        }
        await eventually(
          async () => (await survivor.call<number>('written')) > before + 20,
          'the other goes on',
          60_000,
        );
        await survivor.call('endWriting');
        for (const i of [0, written - 1]) expect(await survivor.call('get', `other-${end}/${i}`)).toEqual({ i });
        if (end !== 'freeze') continue;
        await other.thaw();
        // It may not have heard yet that it leads no more. Then this isn't stored, and it is told so.
        const first = await other.call('set', 'thawed', { a: 1 });
        expect([null, 'data-in-use']).toContain(first);
        expect(await survivor.call('get', 'thawed')).toEqual(first === null ? { a: 1 } : null);
        expect(await other.call('set', 'thawed', { a: 2 })).toBeNull();
        await alike(survivor, other);
        expect(await survivor.call('get', 'thawed')).toEqual({ a: 2 });
      }
    },
  );

  test(
    'keep one line to a node: what it writes comes to both, and what they write to it',
    { timeout: LONG_MS },
    async () => {
      const [node, browser] = await Promise.all([lab.start('laptop'), pages.browser()]);
      const [one, two] = [await pages.tab(browser, { insecure }), await pages.tab(browser, { insecure })];
      await one.call('open', 'phone');
      await two.call('open', 'phone');
      await one.call('join', await node.invite());
      for (const [i, tab] of [one, two, one].entries()) {
        await node.set(`node/${i}`, { i });
        for (const each of [one, two])
          await eventually(
            async () => (await each.call('get', `node/${i}`)) !== null,
            'what the node writes is in each tab',
          );
        expect(await tab.call('setReached', `tab/${i}`, { i })).toBeNull();
        expect(await node.read(`tab/${i}`)).toEqual({ i });
        const connected = await Promise.all([one, two].map((each) => each.call<number>('connected')));
        expect(connected.reduce((sum, count) => sum + count)).toBe(1);
      }
      await two.page.close();
      await node.set('node/last', { i: 'last' });
      await eventually(async () => (await one.call('get', 'node/last')) !== null, 'the one that is left has the line');
    },
  );
});

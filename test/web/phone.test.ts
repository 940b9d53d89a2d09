/** A phone that opens the QR code's link becomes a device in its browser: over plain http at an address of the network, which is no secure context. */
import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';

import { chromiumPath, INSECURE_HOST } from '../browser/chromium.ts';
import { eventually, newLab, type Device } from '../e2e/support.ts';
import { go, newBrowser, type Visitor } from './visit.ts';

const LONG_MS = 120_000;
const PHONE = { viewport: { width: 390, height: 844 }, userAgent: 'Mozilla/5.0 (Linux; Android 15) Mobile' };

const digitsOf = async (page: Page): Promise<string> => (await page.locator('.digits [aria-hidden]').textContent())!;

/** As another machine would see it. */
function elsewhere(url: string): string {
  const { port, hash } = new URL(url);
  return `http://${INSECURE_HOST}:${port}/${hash}`;
}

async function setTitle(page: Page, value: string): Promise<void> {
  await page.getByRole('button', { name: 'Edit title' }).click();
  await page.getByLabel('title', { exact: true }).fill(value);
  await page.getByRole('button', { name: 'Store', exact: true }).click();
  await page.getByRole('button', { name: 'Edit title' }).waitFor();
}

describe.skipIf(chromiumPath === null)('a phone’s browser (needs Chromium)', () => {
  const browser = newBrowser();
  const lab = newLab();

  async function pairByLink(laptop: Device): Promise<{ here: Visitor; phone: Visitor }> {
    const here = await browser.visit(laptop);
    await go(here.page, 'Pair');
    await here.page.getByRole('button', { name: 'Make a link' }).click();
    const link = /'(http[^']+)'/.exec((await here.page.locator('pre code').textContent())!)![1]!;
    const phone = await browser.open(elsewhere(link), PHONE);
    expect(await phone.page.evaluate('isSecureContext')).toBe(false);
    expect(phone.page.url()).not.toContain('pair');
    await phone.page.getByRole('button', { name: 'Make this browser a device' }).click();
    await phone.page.getByText('everything that it has is here').waitFor();
    await here.page.getByRole('heading', { name: 'A device has joined' }).waitFor();
    expect(await digitsOf(phone.page)).toMatch(/^\d{3} \d{3}$/);
    expect(await digitsOf(phone.page)).toBe(await digitsOf(here.page));
    await phone.page.getByRole('button', { name: 'They are the same' }).click();
    return { here, phone };
  }

  test(
    'opens the link, shows the same digits, and both have what the other writes; apart they disagree, and decide in the page',
    async () => {
      const laptop = await lab.start('laptop');
      await laptop.set('note/1', { title: 'Milk' });
      const { here, phone } = await pairByLink(laptop);

      await phone.page.getByRole('link', { name: 'note/1' }).click();
      await phone.page.locator('.property .value', { hasText: 'Milk' }).waitFor();
      await laptop.set('note/1', { title: 'Bread' });
      await phone.page.locator('.property .value', { hasText: 'Bread' }).waitFor();
      await setTitle(phone.page, 'Butter');
      await eventually(async () => (await laptop.read('note/1'))?.['title'] === 'Butter', 'the laptop has it');

      await laptop.kill('SIGTERM');
      await phone.page.getByText('offline, kept here').waitFor();
      await setTitle(phone.page, 'Oat milk');
      await laptop.run('set', 'note/1', 'title=Soy milk');
      await laptop.start();
      await phone.page.getByText('connected', { exact: true }).waitFor({ timeout: 60_000 });
      await go(phone.page, 'Conflicts');
      await phone.page.getByRole('button', { name: 'Choose what laptop wrote' }).waitFor();
      await eventually(async () => (await laptop.conflicts()).length === 1, 'the laptop has the conflict');
      expect((await phone.page.locator('.candidates .value').allTextContents()).toSorted()).toEqual([
        'Oat milk',
        'Soy milk',
      ]);
      await phone.page.getByRole('button', { name: 'Choose what Phone wrote' }).click();
      await phone.page.getByText('Nothing to decide').waitFor();
      await eventually(async () => (await laptop.conflicts()).length === 0, 'it is gone on the laptop');
      expect(await laptop.read('note/1')).toEqual({ title: 'Oat milk' });

      // Loaded again it is the same device, with all that it had.
      await phone.page.reload();
      await go(phone.page, 'Devices');
      await phone.page.getByText('This device.').waitFor();
      expect(await phone.page.locator('.card').count()).toBe(2);
      await go(phone.page, 'Log');
      await phone.page.locator('.commits .when a').first().click();
      await phone.page.getByText('wrote exactly this').waitFor();

      const warnings = phone.page.locator('main .notice.warn');
      await warnings.getByText('doesn’t promise to keep').waitFor();
      expect(await warnings.getByText('has been revoked').count()).toBe(0);
      // The session of before ended when the laptop was started again.
      const { page: anew } = await browser.visit(laptop);
      await go(anew, 'Devices');
      await anew.getByRole('button', { name: 'Revoke Phone' }).click();
      await anew.getByRole('button', { name: 'Revoke Phone for good' }).click();
      await warnings.getByText('This device has been revoked').first().waitFor();
      await warnings.getByText('doesn’t promise to keep').waitFor({ state: 'detached' });
      await phone.page.getByText('revoked', { exact: true }).first().waitFor();
      await go(phone.page, 'Devices');
      const self = phone.page.locator('.card').filter({ hasText: 'This device, which has been revoked.' });
      await self.getByText('revoked', { exact: true }).waitFor();
      expect(await self.locator('.dot.good').count()).toBe(0);
      expect([...here.complaints, ...phone.complaints]).toEqual([]);
    },
    LONG_MS,
  );

  test(
    'asks without a link, and is let in by a person who compares the digits; forgotten, it is no device',
    async () => {
      const laptop = await lab.start('laptop');
      await laptop.set('note/1', { title: 'Milk' });
      const here = await browser.visit(laptop);
      await go(here.page, 'Pair');
      const phone = await browser.open(elsewhere(laptop.url), PHONE);
      await phone.page.getByText('make this browser a device of its own').click();
      await phone.page.getByLabel('Name of this device').fill('Ann’s phone');
      await phone.page.getByRole('button', { name: 'Ask to be let in' }).click();
      await phone.page.getByText('Waiting until a person there').waitFor();
      const card = here.page.getByRole('listitem').filter({ hasText: 'Ann’s phone' });
      await card.waitFor();
      expect(await card.locator('.digits [aria-hidden]').textContent()).toBe(await digitsOf(phone.page));
      await card.getByRole('button', { name: 'let it in' }).click();
      await phone.page.getByRole('button', { name: 'They are the same' }).click();
      await phone.page.getByRole('link', { name: 'note/1' }).waitFor();

      await phone.page.getByRole('group', { name: 'Prefixes' }).getByRole('button', { name: 'note/' }).waitFor();
      await phone.page.getByRole('button', { name: 'New resource' }).click();
      await phone.page.getByLabel('Subject', { exact: true }).fill('note/1');
      await phone.page.getByLabel('First property').fill('title');
      await phone.page.getByRole('button', { name: 'Store it' }).click();
      await phone.page.getByText('note/1 exists already').waitFor();
      await phone.page.getByRole('button', { name: 'Cancel' }).click();

      // Two tabs are one device.
      const second = await phone.context.newPage();
      await second.addInitScript(() => {
        const page = globalThis as unknown as {
          standings: Set<string>;
          document: { querySelector(of: string): { textContent: string } | null };
        };
        page.standings = new Set();
        setInterval(() => page.standings.add(page.document.querySelector('.standing')?.textContent ?? ''), 20);
      });
      await second.goto(elsewhere(laptop.url));
      await second.getByRole('link', { name: 'note/1' }).click();
      await setTitle(second, 'Bread');
      await phone.page.getByText('title: Bread').waitFor();
      await eventually(async () => (await laptop.read('note/1'))?.['title'] === 'Bread', 'the laptop has it');

      // It has the line now, and never said that the node is out of reach.
      await second.getByText('connected', { exact: true }).waitFor();
      expect(await second.evaluate('[...standings]')).not.toContain('offline, kept here');

      await go(phone.page, 'Devices');
      await phone.page.getByRole('button', { name: 'Forget this device' }).click();
      await phone.page.getByRole('button', { name: 'Delete its data here' }).click();
      await phone.page.getByText('This browser is no device any more').waitFor();
      await second.getByText('This browser is no device any more').waitFor();
      expect(await second.getByText('Look at the disk').count()).toBe(0);
      await second.close();
      await phone.page.reload();
      await phone.page.getByText('This is a Tidelog node').waitFor();
      expect([...here.complaints, ...phone.complaints]).toEqual([]);
    },
    LONG_MS,
  );
});

/** axe finds nothing serious in any view, in light and in dark, on a phone's screen and on a large one; and no view is wider than the screen. */
import axe from 'axe-core';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { chromiumPath, INSECURE_HOST } from '../browser/chromium.ts';
import { makeScene, SCENES, show, type Scene } from './scene.ts';
import { newBrowser } from './visit.ts';

interface Violation {
  readonly id: string;
  readonly impact: string;
  readonly help: string;
  readonly nodes: readonly { readonly html: string }[];
}

/** Rules that find something to look at in any view; fewer would mean that nothing was looked at. */
const RULES_MIN = 10;

async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations, passes } = (await page.evaluate('axe.run()')) as { violations: Violation[]; passes: unknown[] };
  expect(passes.length).toBeGreaterThan(RULES_MIN);
  return violations.map(({ id, impact, help, nodes }) => `${impact} ${id}: ${help}: ${nodes[0]?.html}`);
}

describe.skipIf(chromiumPath === null)('axe (needs Chromium)', () => {
  const browser = newBrowser();
  let scene: Scene;
  beforeAll(async () => {
    scene = await makeScene();
  }, 60_000);
  afterAll(() => scene.close());

  // Colours depend on the scheme and the layout on the screen, so two of the four pairs show both.
  for (const [colorScheme, screen, width, height] of [
    ['light', 'phone', 390, 844],
    ['dark', 'desktop', 1280, 800],
  ] as const) {
    test(`every view, ${colorScheme}, ${screen}`, { timeout: 120_000 }, async () => {
      const { page, complaints } = await browser.visit(scene.laptop, { colorScheme, viewport: { width, height } });
      for (const [name, fragment, shows] of SCENES) {
        await show(page, fragment, shows);
        expect({ name, found: await violations(page) }).toEqual({ name, found: [] });
        const over = (await page.evaluate('document.documentElement.scrollWidth - innerWidth')) as number;
        expect({ name, over: Math.max(0, over) }).toEqual({ name, over: 0 });
      }
      await show(page, '#/pair', 'form button[type=submit]');
      await page.getByRole('button', { name: 'Make a link' }).click();
      await page.locator('.qr').waitFor();
      expect({ name: 'invite', found: await violations(page) }).toEqual({ name: 'invite', found: [] });
      await show(page, '#/devices', '.card .danger');
      await page.locator('.card .danger').first().click();
      expect({ name: 'dialog', found: await violations(page) }).toEqual({ name: 'dialog', found: [] });
      await page.keyboard.press('Escape');
      await show(page, '#/log', '.commits .when a');
      await page.locator('.commits .when a').first().click();
      await page.locator('.proof').waitFor();
      expect({ name: 'commit', found: await violations(page) }).toEqual({ name: 'commit', found: [] });
      expect(complaints).toEqual([]);
    });
  }

  test('a phone’s browser that becomes a device', { timeout: 60_000 }, async () => {
    const response = await scene.laptop.request('POST', '/v1/pairing/invites', { body: { role: 'reader' } });
    const { link } = (await response.json()) as { link: string };
    const address = `http://${INSECURE_HOST}:${scene.laptop.port}/${new URL(link).hash}`;
    const { page } = await browser.open(address, { viewport: { width: 390, height: 844 }, colorScheme: 'dark' });
    await page.getByRole('button', { name: 'Make this browser a device' }).waitFor();
    expect({ name: 'landing', found: await violations(page) }).toEqual({ name: 'landing', found: [] });
    await page.getByRole('button', { name: 'Make this browser a device' }).click();
    await page.getByText('everything that it has is here').waitFor();
    expect({ name: 'digits', found: await violations(page) }).toEqual({ name: 'digits', found: [] });
    await page.getByRole('button', { name: 'They are the same' }).click();
    await show(page, '#/devices', '.card');
    expect({ name: 'devices', found: await violations(page) }).toEqual({ name: 'devices', found: [] });
    expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
  });

  test('who isn’t let in yet', async () => {
    const { page } = await browser.visit(scene.laptop);
    await page.getByRole('button', { name: 'Leave' }).click();
    await page.getByRole('heading', { name: 'Tidelog' }).waitFor();
    expect(await violations(page)).toEqual([]);
  });
});

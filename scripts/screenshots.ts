/**
 * Makes docs/screens/: each view of the page on a large screen and on a phone's, some of them dark. Needs Chromium, and two minutes, in which the nodes
 * write something that Health can draw.
 *
 *   npm run screenshots                    or only those that are named: npm run screenshots -- health devices
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';

import { chromiumPath, INSECURE_HOST, launchChromium } from '../test/browser/chromium.ts';
import { startTestNode } from '../test/support/node.ts';
import { buildPage, sessionLink } from '../test/web/browser.ts';
import { makeScene, set, show, type Scene } from '../test/web/scene.ts';

const FOLDER = fileURLToPath(new URL('../docs/screens/', import.meta.url));
const only = new Set(process.argv.slice(2));
/** A sample is taken every ten seconds. */
const TRAFFIC_MS = 100_000;
const WEBP_QUALITY = 0.8;

const SCREENS = {
  desktop: { viewport: { width: 1280, height: 800 }, deviceScaleFactor: 1.5 },
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
} as const;

interface Shot {
  readonly name: string;
  readonly take: (page: Page) => Promise<unknown>;
  /** Screens on which it is taken in dark too. */
  readonly dark?: readonly (keyof typeof SCREENS)[];
}

const SHOTS: readonly Shot[] = [
  { name: 'data', take: (page) => show(page, '#/data', '.resources li') },
  {
    name: 'resource',
    take: (page) => show(page, '#/data/recipe%2Fpancakes', '.commits li'),
    dark: ['desktop'],
  },
  { name: 'conflicts', take: (page) => show(page, '#/conflicts', '.candidates li') },
  { name: 'devices', take: (page) => show(page, '#/devices', '.card'), dark: ['phone'] },
  {
    name: 'pair',
    take: async (page) => {
      await show(page, '#/pair', 'form button[type=submit]');
      await page.getByRole('button', { name: 'Make a link' }).click();
      await page.locator('.qr').waitFor();
    },
  },
  { name: 'log', take: (page) => show(page, '#/log', '.commits li') },
  {
    name: 'commit',
    take: async (page) => {
      await show(page, '#/log', '.commits .when a');
      await page.locator('.commits .when a').first().click();
      await page.locator('.proof').waitFor();
    },
  },
  { name: 'health', take: (page) => show(page, '#/health', '.chart .line'), dark: ['desktop'] },
];

/** As they are seen by who comes anew, or whose node has gone. */
const OTHERS: readonly Shot[] = [
  { name: 'empty', take: (page) => show(page, '#/data', '.empty') },
  {
    name: 'error',
    take: async (page) => {
      await page.context().setOffline(true);
      await show(page, '#/conflicts', '.notice.bad');
      await page.getByText('no answer').waitFor();
    },
  },
];

if (chromiumPath === null) throw new Error('there is no Chromium on this machine: apt-get install chromium');
buildPage();
await mkdir(FOLDER, { recursive: true });
const browser = await launchChromium();
const converter = await browser.newPage();
await converter.evaluate(`
  globalThis.toWebp = async (base64, quality) => {
    const bitmap = await createImageBitmap(await (await fetch('data:image/png;base64,' + base64)).blob());
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext('2d').drawImage(bitmap, 0, 0);
    const blob = await canvas.convertToBlob({ type: 'image/webp', quality });
    return btoa(Array.from(new Uint8Array(await blob.arrayBuffer()), (byte) => String.fromCharCode(byte)).join(''));
  }`);
const scene = await makeScene();
const fresh = await startTestNode({ name: 'Laptop' });
try {
  await takeViews((name) => name !== 'health');
  for (const screen of ['desktop', 'phone'] as const)
    for (const shot of OTHERS.filter(({ name }) => wants(name)))
      await takeAll(browser, await sessionLink(fresh), [shot], screen, 'light');
  if (wants('phone-pair')) await takePhone(browser, scene);
  if (wants('health')) await writeAWhile(scene);
  await takeViews((name) => name === 'health');
} finally {
  await browser.close();
  await scene.close();
  await fresh.dispose();
}

async function takeViews(isOne: (name: string) => boolean): Promise<void> {
  for (const screen of ['desktop', 'phone'] as const) {
    for (const scheme of ['light', 'dark'] as const) {
      const shots = SHOTS.filter(
        ({ name, dark }) => isOne(name) && wants(name) && (scheme === 'light' || dark?.includes(screen)),
      );
      await takeAll(browser, await sessionLink(scene.laptop), shots, screen, scheme);
    }
  }
}

function wants(name: string): boolean {
  return only.size === 0 || only.has(name);
}

async function takeAll(
  browser: Browser,
  link: string,
  shots: readonly Shot[],
  screen: keyof typeof SCREENS,
  colorScheme: 'light' | 'dark',
): Promise<void> {
  if (shots.length === 0) return;
  const context = await browser.newContext({ ...SCREENS[screen], colorScheme });
  const page = await context.newPage();
  await page.goto(link);
  await page.getByText('live', { exact: true }).waitFor();
  for (const { name, take } of shots) {
    await take(page);
    await keep(page, `${name}-${screen}${colorScheme === 'dark' ? '-dark' : ''}`);
  }
  await context.close();
}

/** A phone that opened the link of the QR code: the digits, and then its own page. */
async function takePhone(browser: Browser, { laptop }: Scene): Promise<void> {
  const context = await browser.newContext({ ...SCREENS.phone, userAgent: 'Android Mobile' });
  const response = await laptop.request('POST', '/v1/pairing/invites', { body: { role: 'writer' } });
  const { link } = (await response.json()) as { link: string };
  const page = await context.newPage();
  await page.goto(`http://${INSECURE_HOST}:${laptop.port}/${new URL(link).hash}`);
  await page.getByRole('button', { name: 'Make this browser a device' }).click();
  await page.getByText('everything that it has is here').waitFor();
  await keep(page, 'phone-pair');
  await page.getByRole('button', { name: 'They are the same' }).click();
  await show(page, '#/devices', '.card');
  await page.getByText('connected', { exact: true }).waitFor();
  await keep(page, 'phone-devices');
  await context.close();
}

/** Some writes at both nodes, at times more and at times fewer. */
async function writeAWhile({ laptop, pi }: Scene): Promise<void> {
  const end = Date.now() + TRAFFIC_MS;
  for (let i = 0; Date.now() < end; i++) {
    await set(laptop, 'weather/balcony', { celsius: 4.5 + (i % 7) / 10, humidity: 81 - (i % 5) });
    if (i % 3 === 0) await set(pi, 'meter/power', { watts: 180 + ((i * 37) % 90) });
    const rest = 250 + 200 * Math.sin(Date.now() / 9000);
    await new Promise((resolve) => setTimeout(resolve, rest));
  }
}

/** As WebP, by way of the browser: a third of PNG's size. */
async function keep(page: Page, name: string): Promise<void> {
  const png = await page.screenshot({ animations: 'disabled' });
  const raw = process.env['TIDELOG_SCREENS_PNG'];
  if (raw) await writeFile(join(raw, `${name}.png`), png);
  const base64 = (await converter.evaluate(
    `toWebp(${JSON.stringify(png.toString('base64'))}, ${WEBP_QUALITY})`,
  )) as string;
  await writeFile(join(FOLDER, `${name}.webp`), Buffer.from(base64, 'base64'));
}

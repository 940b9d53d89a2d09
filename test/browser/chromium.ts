/** The system's Chromium, driven by playwright-core, and the pages that it opens. Where there is none, tests skip and say so. */
import { existsSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { build, type BuildOptions } from 'esbuild';
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core';
import { BROWSER_BUNDLE } from '../../scripts/build-browser.ts';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

/** null where there is none. `CHROMIUM_PATH` names another. */
export const chromiumPath: string | null =
  process.env['CHROMIUM_PATH'] ??
  (process.env['PATH'] ?? '')
    .split(delimiter)
    .flatMap((folder) => NAMES.map((name) => join(folder, name)))
    .find((path) => existsSync(path)) ??
  null;

if (chromiumPath === null) process.stderr.write(`skipped: no ${NAMES.join(', ')} on the PATH, and no CHROMIUM_PATH\n`);

/** A LAN address is no secure context: without WebCrypto, Web Locks, and a say in whether storage persists. Leads to this machine. */
export const INSECURE_HOST = '10.77.77.77';

const LAUNCH = {
  executablePath: chromiumPath!,
  headless: true,
  args: ['--no-sandbox', '--disable-dev-shm-usage', `--host-resolver-rules=MAP ${INSECURE_HOST} 127.0.0.1`],
  chromiumSandbox: false,
};

/** TIDELOG_TEST_SLOW_PAGE=1: every page computes slowly and hears late from its node, so that a test that looks too early fails. */
const isSlow = process.env['TIDELOG_TEST_SLOW_PAGE'] === '1';
const SLOWDOWN = 6;
const LATE_MS = 400;

/** A browser that stores nothing beyond its end. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch(LAUNCH);
}

/** A person's own storage in such a browser. */
export async function newContext(browser: Browser, options?: BrowserContextOptions): Promise<BrowserContext> {
  return asSlowAsAsked(await browser.newContext(options));
}

/** A browser with a profile of its own in `folder`: what it stores outlives it. */
export async function openChromium(folder: string): Promise<BrowserContext> {
  return asSlowAsAsked(await chromium.launchPersistentContext(folder, LAUNCH));
}

async function asSlowAsAsked(context: BrowserContext): Promise<BrowserContext> {
  if (!isSlow) return context;
  context.on('page', (page) => void slowDown(context, page).catch(() => {}));
  await answerLate(context, '**/v1/**', () => Math.random() * LATE_MS);
  return context;
}

/** What is asked for there gets its answer so much later. */
export async function answerLate(where: BrowserContext | Page, url: string, lateMs: () => number): Promise<void> {
  await where.route(url, async (route) => {
    await sleep(lateMs());
    await route.continue().catch(() => {});
  });
}

/** A page that is closed meanwhile needs none of it. */
async function slowDown(context: BrowserContext, page: Page): Promise<void> {
  const devtools = await context.newCDPSession(page);
  await devtools.send('Emulation.setCPUThrottlingRate', { rate: SLOWDOWN });
}

export interface PageServer {
  /** Of a page with `script` as its module, under either name. */
  readonly url: string;
  readonly insecureUrl: string;
  close(): Promise<void>;
}

/** Bundles a script of test/browser/page/, or what esbuild is told to, and serves a page that runs it. */
export async function servePage(script: string | BuildOptions): Promise<PageServer> {
  const { outputFiles } = await build({
    ...BROWSER_BUNDLE,
    ...(typeof script === 'string' ? { entryPoints: [`test/browser/page/${script}`] } : script),
    write: false,
    minify: false,
  });
  const source = outputFiles![0]!.text;
  const server: Server = createServer((request, response) => {
    const isScript = request.url === '/page.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(
      isScript ? source : '<!doctype html><title>test</title><script type="module" src="/page.js"></script>',
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    insecureUrl: `http://${INSECURE_HOST}:${port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

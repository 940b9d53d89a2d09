/** Visits to the page, for tests: a browser for a file of them, and what it complained of. */
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll } from 'vitest';

import { launchChromium, newContext } from '../browser/chromium.ts';
import { buildPage, sessionLink, type LetsIn } from './browser.ts';

export interface Visitor {
  readonly context: BrowserContext;
  readonly page: Page;
  /** What the browser complained of: errors of the page, and what its security policy refused. */
  readonly complaints: string[];
}

/** What a request answered, and a line that is gone, the page itself tells. */
const EXPECTED = /^Failed to load resource|^WebSocket connection to/;

export interface Visits {
  /** With a session on the node. */
  visit(node: LetsIn, options?: BrowserContextOptions): Promise<Visitor>;
  /** By an address. */
  open(url: string, options?: BrowserContextOptions): Promise<Visitor>;
}

/** To a view, which is there when this returns: a click is done before the page has drawn what it leads to. */
export async function go(page: Page, view: string): Promise<void> {
  await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: view }).click();
  await page.getByRole('main').getByText(view, { exact: true }).first().waitFor();
}

/** One browser for a file of tests, and a person's own storage for each visit. */
export function newBrowser(): Visits {
  let browser: Browser;
  const contexts: BrowserContext[] = [];
  beforeAll(async () => {
    buildPage();
    browser = await launchChromium();
  }, 60_000);
  afterEach(async () => {
    for (const context of contexts.splice(0)) await context.close();
  });
  afterAll(() => browser.close());

  async function open(url: string, options: BrowserContextOptions = {}): Promise<Visitor> {
    const context = await newContext(browser, { viewport: { width: 1280, height: 800 }, ...options });
    contexts.push(context);
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error' && !EXPECTED.test(message.text())) complaints.push(message.text());
    });
    await page.goto(url);
    return { context, page, complaints };
  }
  return {
    open,
    async visit(node, options) {
      const visitor = await open(await sessionLink(node), options);
      await visitor.page.getByRole('navigation', { name: 'Views' }).waitFor();
      return visitor;
    },
  };
}

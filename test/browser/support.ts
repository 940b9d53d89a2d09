/** Pages with a peer, in browsers of their own, for a test. Whatever is opened is gone when the test ends. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrowserContext, CDPSession, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { chromiumPath, openChromium, servePage, type PageServer } from './chromium.ts';

export class PeerPage {
  readonly page: Page;
  #debugger: CDPSession | null = null;

  constructor(page: Page) {
    this.page = page;
  }

  /** One of the functions of page/peer.ts. */
  call<T = unknown>(name: string, ...args: unknown[]): Promise<T> {
    return this.page.evaluate(
      ([name, args]) => {
        const { peer } = globalThis as unknown as { peer: Record<string, (...args: unknown[]) => unknown> };
        return peer[name]!(...args);
      },
      [name, args] as const,
    ) as Promise<T>;
  }

  state(): Promise<{
    spaces: number;
    commits: number;
    subjects: number;
    forks: number;
    chains: number;
    digest: string;
  }> {
    return this.call('state');
  }

  /** The process of the page is killed; nothing in it is told. */
  async crash(): Promise<void> {
    await this.page.goto('chrome://crash').catch(() => {});
  }

  /** Stands still in whatever it is doing, as a page does that the browser has frozen: it hears nothing and no timer runs. */
  async freeze(): Promise<void> {
    this.#debugger = await this.page.context().newCDPSession(this.page);
    await this.#debugger.send('Debugger.enable');
    await this.#debugger.send('Debugger.pause');
  }

  async thaw(): Promise<void> {
    await this.#debugger?.detach();
  }

  /** What the browser's developer tools can do to this page. */
  devtools(): Promise<CDPSession> {
    return this.page.context().newCDPSession(this.page);
  }

  get origin(): string {
    return new URL(this.page.url()).origin;
  }

  async setOffline(isOffline: boolean): Promise<void> {
    await this.page.context().setOffline(isOffline);
  }
}

export interface Pages {
  /** A browser with a profile of its own. */
  browser(): Promise<BrowserContext>;
  /** A tab; its peer isn't open yet. */
  tab(browser: BrowserContext, options?: { insecure?: boolean }): Promise<PeerPage>;
}

export function newPages(): Pages {
  let server: PageServer;
  const browsers: BrowserContext[] = [];
  const folders: string[] = [];
  beforeAll(async () => {
    if (chromiumPath !== null) server = await servePage('peer.ts');
  });
  afterEach(async () => {
    for (const browser of browsers.splice(0)) await browser.close();
    for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  afterAll(() => server?.close());
  return {
    async browser() {
      const folder = await mkdtemp(join(tmpdir(), 'tidelog-chromium-'));
      folders.push(folder);
      const browser = await openChromium(folder);
      browsers.push(browser);
      return browser;
    },
    async tab(browser, { insecure = false } = {}) {
      const page = await browser.newPage();
      await page.goto(insecure ? server.insecureUrl : server.url);
      await page.waitForFunction('globalThis.peer');
      return new PeerPage(page);
    },
  };
}

/** The examples for browsers as a developer would find them: served as they are, beside a real node. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { resource, resources } from '../../examples/browser/hooks/svelte.js';
import { MemoryStore } from '../../client/memory-store.ts';
import { Database } from '../../client/database.ts';
import type { ResourceView } from '../../client/views.ts';
import { buildBrowser } from '../../scripts/build-browser.ts';
import { serveExamples } from '../../scripts/serve-examples.ts';
import { eventually, newLab, type Device } from '../e2e/support.ts';
import { Network, eventually as soon } from '../support/network.ts';
import { chromiumPath, openChromium, servePage } from './chromium.ts';

const LONG_MS = 180_000;
const lab = newLab();
let library: string;
let server: Awaited<ReturnType<typeof serveExamples>>;
const folders: string[] = [];
const browsers: BrowserContext[] = [];

beforeAll(async () => {
  library = await mkdtemp(join(tmpdir(), 'tidelog-library-'));
  if (chromiumPath !== null) buildBrowser(library);
});
afterEach(async () => {
  for (const browser of browsers.splice(0)) await browser.close();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  await server?.close();
});
afterAll(() => rm(library, { recursive: true, force: true }));

/** A page in a browser of its own. What it logs as an error fails the test. */
async function visit(example: string): Promise<Page> {
  const folder = await mkdtemp(join(tmpdir(), 'tidelog-chromium-'));
  folders.push(folder);
  const browser = await openChromium(folder);
  browsers.push(browser);
  const page = await browser.newPage();
  page.on('pageerror', (error) => {
    throw error;
  });
  await page.goto(`http://127.0.0.1:${server.port}/${example}`);
  await page.getByText('Kept on this device only.').waitFor();
  // Else a browser with a window asks for one that isn't there.
  expect(await page.locator('link[rel=icon]').count()).toBe(1);
  return page;
}

async function pairWith(page: Page, node: Device): Promise<void> {
  await page.locator('summary').click();
  const link = page.getByLabel('Pairing link');
  await link.fill('nonsense');
  await page.getByRole('button', { name: 'Pair' }).click();
  await page.getByText('This is not a pairing link. Copy it whole, from “http” to its end').waitFor();
  await link.fill(await node.invite());
  await page.getByRole('button', { name: 'Pair' }).click();
  await page.getByText('Paired: both have the same now').waitFor();
  expect(await link.inputValue()).toBe('');
}

async function texts(page: Page): Promise<string[]> {
  return page.evaluate('[...document.querySelectorAll("textarea.text")].map(({ value }) => value)');
}

describe.skipIf(chromiumPath === null)('the to-do list', () => {
  test(
    'keeps what is added, loads without a network, syncs with a node, and shows what was written twice until somebody chooses',
    async () => {
      server = await serveExamples(library, 0);
      const [node, page] = await Promise.all([lab.start('laptop'), visit('todo.html')]);
      await page.getByLabel('New item').fill('Milk');
      await page.keyboard.press('Enter');
      await page.getByLabel('New item').fill('Bread');
      await page.keyboard.press('Enter');
      await eventually(async () => (await texts(page)).length === 2, 'both are shown');
      await page.evaluate('navigator.serviceWorker.ready');
      const { port } = server;
      await server.close();
      await page.reload();
      await eventually(async () => (await texts(page)).join() === 'Milk,Bread', 'they are there without a server');
      server = await serveExamples(library, port);

      await node.set('todo/fromnode', { text: 'Apples', done: false, at: 1 });
      await pairWith(page, node);
      await eventually(async () => (await texts(page)).join() === 'Apples,Milk,Bread', "the node's is there too");
      await page.getByLabel('Milk is done').check();
      const items = async (): Promise<Record<string, unknown>[]> =>
        (await node.run('export', 'todo/'))
          .trim()
          .split('\n')
          .map((line: string) => (JSON.parse(line) as { set: Record<string, unknown> }).set);
      await eventually(
        async () => (await items()).some(({ text, done }) => text === 'Milk' && done === true),
        'the node knows that it is done',
      );

      await node.kill('SIGTERM');
      await page.getByText('Offline.').waitFor();
      const first = page.locator('textarea.text').first();
      await first.fill('Pears');
      await first.blur();
      await node.run('set', 'todo/fromnode', 'text=Plums');
      await node.start();
      await page.getByText('Written twice at the same time').waitFor();
      await eventually(async () => (await node.conflicts()).length === 1, 'the node knows of both, too');
      await page.getByRole('button', { name: '“Pears” by' }).click();
      await page.getByText('Written twice').waitFor({ state: 'detached' });
      await eventually(async () => (await node.conflicts()).length === 0, 'it is decided on the node too');
      expect(await node.read('todo/fromnode')).toMatchObject({ text: 'Pears' });
      await page.getByLabel('Delete Pears').click();
      await eventually(async () => (await texts(page)).join() === 'Milk,Bread', 'it is gone here');
      await eventually(async () => (await items()).length === 2, 'and there');
    },
    LONG_MS,
  );
});

describe.skipIf(chromiumPath === null)('the shared notes', () => {
  test(
    'go from one browser to another while they are typed, and what both typed apart is kept',
    async () => {
      server = await serveExamples(library, 0);
      const [node, ann, ben] = await Promise.all([lab.start('laptop'), visit('notes.html'), visit('notes.html')]);
      for (const page of [ann, ben]) await pairWith(page, node);
      await ann.getByRole('button', { name: 'New note' }).click();
      await ann.getByLabel('Title').fill('Trip');
      await ann.getByLabel('Text', { exact: true }).fill('Take the tent.');
      await ann.getByText('Saved on this device.').waitFor();
      await ben.getByRole('link', { name: 'Trip' }).click();
      await eventually(
        async () => (await ben.getByLabel('Text', { exact: true }).inputValue()) === 'Take the tent.',
        'it came',
      );
      await ben.getByLabel('Text', { exact: true }).fill('Take the tent and the stove.');
      await eventually(
        async () => (await ann.getByLabel('Text', { exact: true }).inputValue()) === 'Take the tent and the stove.',
        'it came back, while it was open',
      );
      await node.kill('SIGTERM');
      for (const page of [ann, ben]) await page.getByText('Offline.').waitFor();
      await ann.getByLabel('Text', { exact: true }).fill('By train.');
      await ben.getByLabel('Text', { exact: true }).fill('By boat.');
      for (const page of [ann, ben]) await page.getByText('Saved on this device.').waitFor();
      await node.start();
      for (const page of [ann, ben]) await page.getByText('The text was written twice at the same time').waitFor();
      await ben.getByRole('button', { name: 'Keep both' }).click();
      for (const page of [ann, ben]) await page.locator('.conflict').waitFor({ state: 'detached' });
      const text = await ann.getByLabel('Text', { exact: true }).inputValue();
      expect(text.split('\n\n').toSorted()).toEqual(['By boat.', 'By train.']);
    },
    LONG_MS,
  );
});

describe('hooks', () => {
  test.skipIf(chromiumPath === null)('of React and Preact show a resource and a list, and let go of them', async () => {
    const page = await servePage({ entryPoints: ['test/browser/page/hooks.ts'], alias: { react: 'preact/compat' } });
    try {
      const folder = await mkdtemp(join(tmpdir(), 'tidelog-chromium-'));
      folders.push(folder);
      const browser = await openChromium(folder);
      browsers.push(browser);
      const tab = await browser.newPage();
      await tab.goto(page.url);
      await tab.getByText('not there, and 0').waitFor();
      await tab.evaluate('db.set("note/1", { title: "Milk" })');
      await tab.getByText('Milk, and 1').waitFor();
      await tab.evaluate('db.commit((tx) => tx.set("note/1", { title: "Bread" }).set("note/2", { title: "Salt" }))');
      await tab.getByText('Bread, and 2').waitFor();
      await tab.evaluate('show("note/2")');
      await tab.getByText('Salt, and 2').waitFor();
      await tab.evaluate('show(null)');
      await eventually(async () => (await tab.evaluate('open')) === 0, 'both are closed');
    } finally {
      await page.close();
    }
  });

  test("of Svelte keep its store's contract", async () => {
    const network = new Network();
    try {
      const { peer } = await network.add('laptop', { store: new MemoryStore() });
      await peer.homeSpace();
      const db = new Database(peer, new MemoryStore());
      const notes: unknown[] = [];
      const lists: unknown[] = [];
      const stops = [
        resource(db, 'note/1').subscribe((note: ResourceView | null | undefined) => notes.push(note && note.value)),
        resources(db, 'note/').subscribe((all: readonly ResourceView[] | undefined) => lists.push(all?.length)),
      ];
      // Svelte asks for a value at once.
      expect([notes, lists]).toEqual([[undefined], [undefined]]);
      await soon(() => notes.length === 2 && lists.length === 2, 'both are read');
      await db.set('note/1', { title: 'Milk' }).stored;
      await soon(() => notes.length === 3 && lists.length === 3, 'both are read again');
      for (const stop of stops) stop();
      await db.set('note/1', { title: 'Bread' }).stored;
      expect([notes, lists]).toEqual([
        [undefined, null, { title: 'Milk' }],
        [undefined, 0, 1],
      ]);
    } finally {
      await network.close();
    }
  });
});

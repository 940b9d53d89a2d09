/** Two paired nodes with something in every view: for what looks at all of them, axe and screenshots. */
import type { Page } from 'playwright-core';

import { eventually } from '../support/eventually.ts';
import { startTestNode, type TestNode } from '../support/node.ts';

export interface Scene {
  readonly laptop: TestNode;
  readonly pi: TestNode;
  /** Ends what waits to be let in, and the nodes. */
  close(): Promise<void>;
}

/** View, fragment, and what is there when it is whole. */
export const SCENES: readonly (readonly [name: string, fragment: string, shows: string])[] = [
  ['data', '#/data', '.resources li'],
  ['resource', '#/data/recipe%2Fpancakes', '.commits li'],
  ['missing', '#/data/nothing', '.history .hint'],
  ['conflicts', '#/conflicts', '.candidates li'],
  ['devices', '#/devices', '.card'],
  ['pair', '#/pair', '.card .digits'],
  ['log', '#/log', '.commits li'],
  ['health', '#/health', '.chart'],
];

type Properties = Readonly<Record<string, unknown>>;

const NOTES: Readonly<Record<string, Properties>> = {
  'note/balcony': { title: 'Balcony', text: 'Tomatoes want the south corner. Basil beside them.', pinned: false },
  'note/boiler': { title: 'Boiler', text: 'Bleed the radiators before October; valve key is in the drawer.' },
  'note/wifi for guests': { title: 'Wi-Fi for guests', text: 'The card is behind the mirror.' },
  'recipe/bread': { name: 'Bread', minutes: 210, flour: 500, water: 350, tags: ['baking', 'weekend'] },
  'recipe/dal': { name: 'Dal', minutes: 40, serves: 4, tags: ['quick'] },
  'task/2026-11/call the plumber': { title: 'Call the plumber', done: false, due: '2026-11-24' },
  'task/2026-11/return the books': { title: 'Return the books', done: true },
  'task/2026-11/renew passport': { title: 'Renew passport', done: false, due: '2026-11-30', priority: 1 },
  'trip/lisbon/things to see that a long name of a subject must not break the list for': {
    title: 'Lisbon',
    places: ['Alfama', 'Belém', 'the tile museum'],
  },
};

async function call(node: TestNode, method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
  const response = await node.request(method, path, body === undefined ? {} : { body });
  if (!response.ok) throw new Error(`${method} ${path}: ${await response.text()}`);
  return (await response.json()) as Record<string, unknown>;
}

export async function set(node: TestNode, subject: string, properties: Properties): Promise<void> {
  await call(node, 'POST', '/v1/commits', { changes: [{ subject, set: properties }] });
}

export async function makeScene(): Promise<Scene> {
  const laptop = await startTestNode({ name: 'Laptop', host: '0.0.0.0' });
  const pi = await startTestNode({ name: 'Pi' });
  const guest = await startTestNode({ name: 'Tablet' });
  const abort = new AbortController();

  for (const [subject, properties] of Object.entries(NOTES)) await set(laptop, subject, properties);
  await set(laptop, 'recipe/pancakes', {
    name: 'Pancakes',
    minutes: 25,
    ingredients: { flour: 200, milk: 300, eggs: 2 },
  });
  const { link } = await call(laptop, 'POST', '/v1/pairing/invites', { role: 'writer' });
  await call(pi, 'POST', '/v1/pairing/join', { link });
  await eventually(async () => (await pi.request('GET', '/v1/resources/recipe%2Fpancakes')).ok, 'all of it is on both');
  await set(pi, 'recipe/pancakes', { minutes: 20, tags: ['breakfast', 'sunday'] });
  await set(laptop, 'recipe/pancakes', { name: 'Oat pancakes', vegan: false });
  await set(laptop, 'weather/balcony', { celsius: 4.5, humidity: 81 });

  await eventually(async () => {
    await Promise.all([
      set(laptop, 'task/2026-11/renew passport', { due: '2026-12-04' }),
      set(pi, 'task/2026-11/renew passport', { due: '2026-11-27' }),
    ]);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const { items } = await call(laptop, 'GET', '/v1/conflicts');
    return (items as unknown[]).length > 0;
  }, 'a conflict');

  // Stays in the list of those that wait; how it ends is nobody's concern.
  guest
    .request('POST', '/v1/pairing/join', { body: { link: `http://127.0.0.1:${laptop.port}` }, signal: abort.signal })
    .catch(() => {});
  await eventually(async () => (await call(laptop, 'GET', '/v1/status'))['pending'] === 1, 'one waits');
  return {
    laptop: Object.assign(laptop, { url: `http://127.0.0.1:${laptop.port}` }),
    pi,
    async close() {
      abort.abort();
      for (const node of [guest, pi, laptop]) await node.dispose();
    },
  };
}

export async function show(page: Page, fragment: string, shows: string): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(fragment)}`);
  await page.locator(shows).first().waitFor();
}

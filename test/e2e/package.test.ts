/** The package as others install it: built whole, it runs a node in plain JavaScript, and serves the page with all its parts. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';

import type * as Log from '../../server/log.ts';
import type * as Node from '../../server/node.ts';
import { buildPage } from '../web/browser.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);
let folder = '';
let built = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidelog-package-'));
  built = join(folder, 'package');
  buildPage();
  await run(process.execPath, [join(ROOT, 'scripts/build-package.ts'), built]);
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction');
}, 300_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

test('has every file that it exports, and no pictures', async () => {
  const { exports } = JSON.parse(await readFile(join(built, 'package.json'), 'utf8')) as {
    exports: Record<string, string | Record<string, string>>;
  };
  const files = Object.values(exports).flatMap((target) =>
    typeof target === 'string' ? [target] : Object.values(target),
  );
  expect(files.length).toBeGreaterThan(8);
  expect(files.filter((file) => !existsSync(join(built, file)))).toEqual([]);
  expect(existsSync(join(built, 'docs/screens'))).toBe(false);
});

test('writes and reads by its own command', async () => {
  const tidelog = (...args: string[]): Promise<{ stdout: string }> =>
    run(process.execPath, [join(built, 'bin/tidelog.js'), '--data', join(folder, 'data'), ...args]);
  await tidelog('init', '--name', 'laptop');
  await tidelog('set', 'note/1', 'title=Milk');
  expect((await tidelog('get', 'note/1')).stdout).toContain('Milk');
});

test('serves the page with each of its parts', async () => {
  const { startNode } = (await import(join(built, 'server/node.js'))) as typeof Node;
  const { silentLog } = (await import(join(built, 'server/log.js'))) as typeof Log;
  const node = await startNode({ dataDir: join(folder, 'data'), port: 0, log: silentLog() });
  try {
    const html = await (await fetch(node.url, { headers: { accept: 'text/html' } })).text();
    const main = /src="(\/web\/main-\w+\.js)"/.exec(html)![1]!;
    const script = await (await fetch(node.url + main)).text();
    const parts = [...script.matchAll(/["']\.\/([\w-]+\.js)["']/g)].map(([, name]) => name!);
    expect(parts.some((name) => name.startsWith('peer-source-'))).toBe(true);
    for (const name of parts) expect((await fetch(`${node.url}/web/${name}`)).status, name).toBe(200);
  } finally {
    await node.stop();
  }
});

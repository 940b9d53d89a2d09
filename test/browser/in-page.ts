/** Tests that run in a page, before there are any here: each becomes one of this process by its name, and fails where it failed there. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BuildOptions } from 'esbuild';
import { describe, expect, test } from 'vitest';
import { chromiumPath, openChromium, servePage } from './chromium.ts';
import type { Result } from './page/vitest.ts';

async function run(script: BuildOptions, except: readonly string[]): Promise<Result[]> {
  const folder = await mkdtemp(join(tmpdir(), 'tidelog-chromium-'));
  const server = await servePage(script);
  const browser = await openChromium(folder);
  try {
    const page = await browser.newPage();
    await page.goto(server.insecureUrl);
    await page.waitForFunction('globalThis.runAll');
    return await page.evaluate<Result[]>(`runAll(${JSON.stringify(except)})`);
  } finally {
    await browser.close();
    await server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** The script sets `globalThis.runAll` to that of page/vitest.ts. `least`: how many tests there are, or more. `except`: see there. */
export async function testsInPage(script: BuildOptions, least: number, except: readonly string[] = []): Promise<void> {
  const results = chromiumPath === null ? [] : await run(script, except);
  describe.skipIf(chromiumPath === null)('in Chromium, on a page that is no secure context', () => {
    test('there are all of them', () => {
      expect(results.length).toBeGreaterThanOrEqual(least);
    });
    for (const { name, error } of results) test(name, () => expect(error).toBeNull());
  });
}

/**
 * `npm run bench:browser`: a cold sync of 100,000 commits from a node into headless Chromium, with time and memory, and what small things take there. The method is
 * in ../README.md.
 *
 *   npm run bench:browser -- --commits 10000     another size
 *   npm run bench:browser -- --profile FILE      also writes a CPU profile of the page's sync, for DevTools
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { BrowserContext, CDPSession, Page } from 'playwright-core';
import { chromiumPath, openChromium, servePage } from '../../test/browser/chromium.ts';
import { BenchNode } from '../node.ts';
import { describeMachine, machineHere } from '../report.ts';
import { tidelog, withFolder, writeNdjson } from '../support.ts';

const { values: args } = parseArgs({
  options: { commits: { type: 'string', default: '100000' }, profile: { type: 'string' } },
});
const commits = Number(args.commits);
/** Between two looks at the page's memory. */
const LOOK_MS = 100;

interface Memory {
  /** Of the JavaScript heap, used, at its most of what was seen. */
  readonly peakMB: number;
  /** Of it, after a garbage collection. */
  readonly keptMB: number;
  /** What the renderer's process has in memory, of itself and of files. */
  readonly residentMB: number;
}

async function call<T>(page: Page, name: string, ...rest: (string | number)[]): Promise<T> {
  return page.evaluate(`bench.${name}(...${JSON.stringify(rest)})`);
}

async function newPage(browser: BrowserContext, url: string): Promise<{ page: Page; devtools: CDPSession }> {
  const page = await browser.newPage();
  await page.goto(url);
  await page.waitForFunction('globalThis.bench');
  const devtools = await browser.newCDPSession(page);
  await devtools.send('Performance.enable');
  return { page, devtools };
}

async function heapMB(devtools: CDPSession): Promise<number> {
  const { metrics } = await devtools.send('Performance.getMetrics');
  return metrics.find(({ name }) => name === 'JSHeapUsedSize')!.value / 1e6;
}

async function withMemory<T>(page: Page, devtools: CDPSession, work: () => Promise<T>): Promise<[T, Memory]> {
  let peakMB = 0;
  const watch = { isOn: true };
  const watching = (async () => {
    while (watch.isOn) {
      peakMB = Math.max(peakMB, await heapMB(devtools));
      await page.waitForTimeout(LOOK_MS);
    }
  })();
  const done = await work();
  watch.isOn = false;
  await watching;
  const residentMB = residentOf(await rendererPid(page));
  await devtools.send('HeapProfiler.collectGarbage');
  return [done, { peakMB, keptMB: await heapMB(devtools), residentMB }];
}

/** The largest of them: the others show nothing. */
async function rendererPid(page: Page): Promise<number> {
  const browser = page.context().browser();
  if (!browser) throw new Error('a page without a browser');
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  const renderers = processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
  return renderers.toSorted((a, b) => residentOf(b) - residentOf(a))[0]!;
}

function residentOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1000;
}

async function measure(folder: string): Promise<void> {
  const work = join(folder, 'work.ndjson');
  const dataDir = join(folder, 'sender');
  await writeNdjson(work, commits, 1);
  await tidelog('--data', dataDir, 'init', '--name', 'sender');
  await tidelog('--data', dataDir, 'import', work);
  const node = await BenchNode.start(dataDir);
  const server = await servePage('../../../bench/browser/page.ts');
  const rows: [what: string, value: number, unit: string][] = [];
  let browser = await openChromium(join(folder, 'profile'));
  try {
    const version = browser.browser()?.version() ?? '';
    console.log(`${describeMachine(machineHere())}, Chromium ${version}`);
    for (const [label, url] of [
      ['', server.url],
      [' (no secure context)', server.insecureUrl],
    ] as const) {
      const { page, devtools } = await newPage(browser, url);
      const link = await node.invite('writer');
      if (args.profile) {
        await devtools.send('Profiler.enable');
        await devtools.send('Profiler.start');
      }
      const [joined, memory] = await withMemory(page, devtools, () =>
        call<{ seconds: number }>(page, 'join', link, commits),
      );
      if (args.profile && label === '') {
        const { profile } = await devtools.send('Profiler.stop');
        writeFileSync(args.profile, JSON.stringify(profile));
      }
      rows.push([`cold sync of ${commits.toLocaleString('en')}${label}`, commits / joined.seconds, 'commits/s']);
      rows.push([`its time${label}`, joined.seconds, 's']);
      rows.push([`heap, at most${label}`, memory.peakMB, 'MB']);
      rows.push([`heap, kept${label}`, memory.keptMB, 'MB']);
      rows.push([`the page's process${label}`, memory.residentMB, 'MB resident']);
      await call(page, 'close');
      await page.close();
    }
    // In a browser that is new, too.
    await browser.close();
    browser = await openChromium(join(folder, 'profile'));
    const { page, devtools } = await newPage(browser, server.url);
    const [{ openSeconds, readMs }, { keptMB }] = await withMemory(page, devtools, () =>
      call<{ openSeconds: number; readMs: number }>(page, 'reopen'),
    );
    rows.push(
      ['open it again', openSeconds * 1000, 'ms'],
      ['heap of that', keptMB, 'MB'],
      ['read one resource', readMs, 'ms'],
    );
    await call(page, 'write', 200, 1);
    rows.push(['local writes, one at a time', 1000 / (await call<number>(page, 'write', 1000, 1)), 'commits/s']);
    rows.push(['local writes, 64 at a time', 6400 / (await call<number>(page, 'write', 6400, 64)), 'commits/s']);
    rows.push(['floor: plain puts of 200 bytes', 50_000 / (await call<number>(page, 'floor', 50_000)), 'values/s']);
    await call(page, 'ed25519', 500);
    const speed = await call<{ verify: number; sign: number; webVerify: number; sha256: number }>(
      page,
      'ed25519',
      1000,
    );
    rows.push(['Ed25519 by noble: verify', speed.verify, '/s'], ['Ed25519 by noble: sign', speed.sign, '/s']);
    rows.push(
      ['Ed25519 by WebCrypto: verify', speed.webVerify, '/s'],
      ['SHA-256 by noble, 200 bytes', speed.sha256, '/s'],
    );
  } finally {
    await browser.close();
    await server.close();
    await node.stop();
  }
  for (const [what, value, unit] of rows) {
    const figure = value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
    console.log(`| ${what.padEnd(52)} | ${figure.padStart(8)} | ${unit.padEnd(11)} |`);
  }
}

if (chromiumPath === null) process.exitCode = 1;
else await withFolder(measure);

/** The demo's story is true, and nothing of it is left behind, however it ends. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { describe, expect, test } from 'vitest';

import { eventually, newLab, textOf } from './support.ts';

const lab = newLab();

interface Row {
  readonly device: string;
  readonly online: boolean;
  readonly url: string | null;
  readonly commits: number;
  readonly conflicts: number;
  readonly behind: number;
}

interface Step extends Record<string, unknown> {
  readonly step: string;
  readonly says: string;
  readonly devices: readonly Row[];
}

/** Its temporary files go to a folder that nobody else writes to. */
async function startDemo(...args: string[]): Promise<{ child: ChildProcess; folder: string }> {
  const folder = await lab.folder();
  const env = { TMPDIR: folder, TMP: folder, TEMP: folder };
  return { child: lab.spawn(['demo', ...args], { env }), folder };
}

/** Steps as they are told. */
function stepsOf(child: ChildProcess): Step[] {
  const steps: Step[] = [];
  createInterface({ input: child.stdout! }).on('line', (line) => steps.push(JSON.parse(line) as Step));
  return steps;
}

async function isFree(url: string): Promise<boolean> {
  try {
    await fetch(`${url}/healthz`);
    return false;
  } catch {
    return true;
  }
}

async function expectNothingLeft(folder: string, urls: readonly string[]): Promise<void> {
  // Where the demo had no time, its nodes clean up, a moment later.
  await eventually(async () => (await readdir(folder)).length === 0, 'the folder is empty', 10_000);
  for (const url of urls) await eventually(() => isFree(url), `${url} answers no more`, 10_000);
}

function urlsOf(steps: readonly Step[]): string[] {
  return steps[0]!.devices.map(({ url }) => url!);
}

describe('tidelog demo', () => {
  test('three nodes pair, part, disagree, and agree; told in JSON', async () => {
    const { child, folder } = await startDemo('--json');
    const steps = stepsOf(child);
    const [code] = (await once(child, 'close')) as [number];
    expect(code).toBe(0);
    const step = (name: string): Step => steps.find((each) => each.step === name)!;
    expect(steps.map((each) => each.step)).toEqual(
      'started paired paired written counted offline edited reconnected conflict resolved equal open ended'.split(' '),
    );
    expect(new Set(Object.values(step('started')['ids'] as Record<string, string>)).size).toBe(3);
    for (const { digits } of steps.filter((each) => each.step === 'paired')) expect(digits).toMatch(/^\d{6}$/);
    expect(step('counted')['cups']).toBe(4);

    const online = (name: string): boolean[] => step(name).devices.map((device) => device.online);
    expect(online('offline')).toEqual([true, false, true]);
    expect(step('edited')['missing']).toEqual({ phone: 3, others: 3 });
    expect(step('edited').devices.map(({ behind }) => behind)).toEqual([3, 3, 3]);
    expect(online('reconnected')).toEqual([true, true, true]);
    expect(step('reconnected').devices.map(({ behind }) => behind)).toEqual([0, 0, 0]);

    expect(step('conflict').devices.map(({ conflicts }) => conflicts)).toEqual([1, 1, 1]);
    expect(step('conflict')['alternatives']).toEqual([
      { value: 'A week in Paris', by: 'phone' },
      { value: 'A week in Rome', by: 'laptop' },
    ]);
    expect(step('conflict').says).toContain('bread, cheese, eggs, 6 cups');
    expect(step('resolved').devices.map(({ conflicts }) => conflicts)).toEqual([0, 0, 0]);
    const { arrivals } = step('written') as { arrivals?: Record<string, { delayMs: number }> };
    for (const { delayMs } of Object.values(arrivals!)) expect(delayMs).toBeLessThan(10_000);

    expect(new Set(step('equal')['sha256'] as string[]).size).toBe(1);
    expect(new Set(step('equal').devices.map(({ commits }) => commits)).size).toBe(1);
    await expectNothingLeft(folder, urlsOf(steps));
  });

  test('told in plain lines when piped, without colours', async () => {
    const { child, folder } = await startDemo();
    const [text, stderr] = await Promise.all([textOf(child.stdout!), textOf(child.stderr!), once(child, 'close')]);
    expect(child.exitCode, stderr).toBe(0);
    expect(text).not.toContain('\u001b');
    for (const part of ['Both show the digits', 'phone   offline', 'the same conflict', 'byte for byte', 'is removed'])
      expect(text).toContain(part);
    // How to open each node is of no use once they are stopped, and their tokens belong in nobody's files.
    expect(text).not.toMatch(/token|--data/);
    await expectNothingLeft(folder, []);
  });

  test.each([
    ['SIGINT', 'written'],
    ['SIGTERM', 'offline'],
    ['SIGKILL', 'paired'],
  ] as const)('leaves nothing behind after %s at the step "%s"', async (signal, at) => {
    const { child, folder } = await startDemo('--json');
    const steps = stepsOf(child);
    const stderr = textOf(child.stderr!);
    await eventually(() => steps.some(({ step }) => step === at), `the step ${at}`);
    child.kill(signal);
    await once(child, 'close');
    if (signal !== 'SIGKILL') {
      expect(child.exitCode).toBe(1);
      expect(JSON.parse(await stderr)).toMatchObject({ error: { code: 'aborted' } });
      expect(await readdir(folder), 'all is gone when the demo ends').toEqual([]);
    }
    await expectNothingLeft(folder, urlsOf(steps));
  });

  test('lives on for --seconds, and to be stopped then is no failure; --port is the first of three', async () => {
    const port = 19_600 + Math.floor(Math.random() * 100) * 3;
    const { child, folder } = await startDemo('--json', '--seconds', '600', '--port', String(port));
    const steps = stepsOf(child);
    await eventually(() => steps.some(({ step }) => step === 'open'), 'the story is told');
    expect(urlsOf(steps)).toEqual([port, port + 1, port + 2].map((each) => `http://127.0.0.1:${each}`));
    const { nodes } = steps.find(({ step }) => step === 'open') as unknown as {
      nodes: { url: string; token: string }[];
    };
    for (const { url, token } of nodes) {
      const answer = await fetch(`${url}/v1/resources/note%2Fholiday`, {
        headers: { authorization: `Bearer ${token}` },
      });
      expect(await answer.json()).toEqual({ title: 'Rome, then Paris', place: 'by the sea' });
    }
    child.kill('SIGINT');
    await once(child, 'close');
    expect(child.exitCode).toBe(0);
    expect(steps.at(-1)!.step).toBe('ended');
    await expectNothingLeft(folder, urlsOf(steps));
  });

  test('a port in use ends it, says so, and leaves nothing behind', async () => {
    const taken = await lab.start('other');
    const { child, folder } = await startDemo('--json', '--port', String(taken.port - 1));
    const [stderr] = await Promise.all([textOf(child.stderr!), textOf(child.stdout!), once(child, 'close')]);
    expect(child.exitCode).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'port-in-use' } });
    await expectNothingLeft(folder, []);
  });
});

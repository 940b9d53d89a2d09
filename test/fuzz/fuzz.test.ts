/** A short run of the fuzzers, and every input again that was worth keeping. TIDELOG_TEST_LONG=1 for ten minutes each; `npm run fuzz` for any time. */
import { readFileSync } from 'node:fs';

import { describe, expect, test } from 'vitest';

import { fromHex, toHex, utf8 } from '../../protocol/bytes.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { fuzz, tryInput } from './fuzz.ts';
import { parseTree, writeTree } from './msgpack-tree.ts';
import { fuzzSessions } from './sessions.ts';
import { TARGETS, type Target } from './targets.ts';

const isLong = process.env['TIDELOG_TEST_LONG'] === '1';
const seed = Math.floor(Math.random() * 2 ** 31);

describe('inputs that were found once', () => {
  const kept = JSON.parse(readFileSync(new URL('./corpus/inputs.json', import.meta.url), 'utf8')) as {
    target: string;
    why: string;
    hex: string;
  }[];
  test.each(kept)('$target: $why', ({ target, hex }) => {
    const found = TARGETS.find(({ name }) => name === target)!;
    expect(tryInput(found, fromHex(hex)!)).toHaveProperty('answer');
  });
});

describe('the fuzzer itself', () => {
  const control = (run: Target['run']): Target => ({ name: 'control', seeds: [utf8('a seed of some length')], run });
  const faultsOf = async (run: Target['run']): Promise<number> =>
    (await fuzz({ seed, seconds: 1, targets: [control(run)] })).faults.length;

  test('takes refusals for what they are, and finds what is none, what takes long, and what takes memory', async () => {
    const held: Uint8Array[] = [];
    const refuse = (): never => {
      throw new TidelogError('bad-batch');
    };
    expect(await faultsOf(refuse)).toBe(0);
    expect(await faultsOf((input) => (input.length > 25 ? (null as unknown as Uint8Array).length : 0))).toBeGreaterThan(
      0,
    );
    const takesMemory = (input: Uint8Array): void =>
      void (input.length > 25 && held.push(new Uint8Array(60 * 1024 * 1024)));
    expect(await faultsOf(takesMemory)).toBeGreaterThan(0);
    const takesLong = (input: Uint8Array): void => {
      const until = process.threadCpuUsage().user + (input.length > 25 ? 450_000 : 0);
      while (process.threadCpuUsage().user < until);
    };
    expect(await faultsOf(takesLong)).toBeGreaterThan(0);
  }, 120_000);

  test('writes a tree as it was read', () => {
    const messages = TARGETS.find(({ name }) => name === 'message')!.seeds;
    let trees = 0;
    for (const bytes of messages) {
      const tree = parseTree(bytes);
      if (tree === null) continue;
      trees++;
      const again = writeTree(parseTree(writeTree(tree))!);
      expect(toHex(again)).toBe(toHex(writeTree(tree)));
    }
    expect(trees).toBeGreaterThan(messages.length / 3);
  });
});

test('every decoder gives a value, or a TidelogError, in bounded time and memory', async () => {
  const { faults, inputs } = await fuzz({ seed, targets: TARGETS, seconds: isLong ? 600 : 10 });
  expect(
    faults.map(({ target, input, what }) => `${target} ${toHex(input)}: ${what}`),
    `seed ${seed}`,
  ).toEqual([]);
  expect(inputs).toBeGreaterThan(TARGETS.length);
}, 900_000);

test('a hostile peer in whole sessions changes nothing, and is told why', async () => {
  const { sessions, ends } = await fuzzSessions({ seed, seconds: isLong ? 600 : 10 });
  expect(sessions).toBeGreaterThan(5);
  expect(Object.keys(ends).length, JSON.stringify(ends)).toBeGreaterThan(2);
}, 900_000);

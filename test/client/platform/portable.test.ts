/** The parts of the portable platform, and the pair of ends in memory, that nothing else looks at. */
import { expect, test } from 'vitest';

import { portablePlatform } from '../../../client/platform/portable.ts';
import { transportPair } from '../../../client/platform/transport-pair.ts';
import { turn } from '../../support/turn.ts';

test('a turn lets what is due have its turn, without a timer', async () => {
  const { setTimeout: timer } = globalThis;
  let timers = 0;
  globalThis.setTimeout = ((...args: Parameters<typeof timer>) => {
    timers++;
    return timer(...args);
  }) as typeof timer;
  const passed: string[] = [];
  setImmediate(() => passed.push('due'));
  try {
    for (let i = 0; i < 5; i++) await portablePlatform().turn();
  } finally {
    globalThis.setTimeout = timer;
  }
  expect(passed).toEqual(['due']);
  expect(timers).toBe(0);
});

test.each([
  ['itself', 'b'],
  ['the other', 'a'],
] as const)('an end that was closed by %s before its start is told so, after what had come', async (_, by) => {
  const pair = transportPair();
  const told: string[] = [];
  pair.a.send(new Uint8Array([1]));
  await turn();
  pair[by].close(1000, '');
  for (let i = 0; i < 3; i++) await turn();
  pair.b.start({
    onMessage: () => told.push('message'),
    onDrain: () => {},
    onClose: () => told.push('closed'),
  });
  for (let i = 0; i < 3; i++) await turn();
  expect(told).toEqual(['message', 'closed']);
});

/** One connection's work, in turns with that of others. The clock runs only where a test says that work was done. */
import { expect, test } from 'vitest';

import { Inbox, WorkLine } from '../../client/turns.ts';
import { turn } from '../support/turn.ts';

class World {
  ms = 0;
  readonly #turns: (() => void)[] = [];
  nowMs(): number {
    return this.ms;
  }
  turn(): Promise<void> {
    return new Promise((resolve) => this.#turns.push(resolve));
  }
  get isAwaited(): boolean {
    return this.#turns.length > 0;
  }
  /** Others have had their turn. */
  async pass(): Promise<void> {
    for (const resolve of this.#turns.splice(0)) resolve();
    await turn();
  }
}

function numbered(n: number): Uint8Array {
  return Uint8Array.of(n >> 8, n & 255);
}

test('messages that are little work are taken as they come', () => {
  const world = new World();
  const taken: number[] = [];
  const inbox = new Inbox(world, ([high, low]) => void taken.push((high! << 8) | low!));
  for (let n = 0; n < 1000; n++) {
    inbox.push(numbered(n));
    // Between them nothing is done here.
    world.ms += 1;
  }
  expect(taken).toHaveLength(1000);
  expect(world.isAwaited).toBe(false);
});

test('a burst that is much work is taken in pieces, in order, with others between', async () => {
  const world = new World();
  const taken: number[] = [];
  const inbox = new Inbox(world, ([high, low]) => {
    taken.push((high! << 8) | low!);
    world.ms += 1;
  });
  let isDone = false;
  for (let n = 0; n < 50; n++) expect(inbox.push(numbered(n))).toBe(true);
  inbox.afterwards(() => (isDone = true));
  let turns = 0;
  for (; world.isAwaited; turns++) {
    const before = taken.length;
    expect(isDone).toBe(false);
    await world.pass();
    expect(taken.length - before).toBeLessThanOrEqual(4);
    // What comes meanwhile comes behind them.
    if (turns === 3) inbox.push(numbered(50));
  }
  expect(taken).toEqual([...Array(51).keys()]);
  expect(turns).toBeGreaterThan(10);
  expect(isDone).toBe(true);
});

test('more than can wait is refused, by number and by bytes', () => {
  const busy = (): Inbox => {
    const world = new World();
    const inbox = new Inbox(world, () => (world.ms += 10));
    inbox.push(numbered(0));
    return inbox;
  };
  const many = busy();
  let taken = 0;
  while (many.push(numbered(1))) taken++;
  expect(taken).toBe(65_536);
  const large = busy();
  let bytes = 0;
  while (large.push(new Uint8Array(60_000))) bytes += 60_000;
  expect(bytes).toBeGreaterThan(60 * 1024 * 1024);
  expect(bytes).toBeLessThanOrEqual(64 * 1024 * 1024);
});

test('after its end nothing that waited is taken', async () => {
  const world = new World();
  let taken = 0;
  const inbox = new Inbox(world, () => {
    taken++;
    world.ms += 10;
  });
  for (let n = 0; n < 10; n++) inbox.push(numbered(n));
  inbox.clear();
  await world.pass();
  expect(taken).toBe(1);
});

test('work is done one thing at a time; what fails is its own, and others come between what is much', async () => {
  const world = new World();
  const line = new WorkLine(world);
  const done: string[] = [];
  let running = 0;
  const work = (name: string, ms: number) => async (): Promise<void> => {
    expect(++running).toBe(1);
    await Promise.resolve();
    world.ms += ms;
    running--;
    if (name === 'bad') throw new Error('bad');
    done.push(name);
  };
  const all = [line.run(work('a', 1)), line.run(work('bad', 1)), line.run(work('b', 10)), line.run(work('c', 1))];
  await expect(all[1]).rejects.toThrow('bad');
  await all[2];
  expect(done).toEqual(['a', 'b']);
  expect(world.isAwaited).toBe(true);
  await world.pass();
  await all[3];
  expect(done).toEqual(['a', 'b', 'c']);
});

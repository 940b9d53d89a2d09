/** Every signature of a batch: which are good, which a later one vouches for, and which make it worthless. It refuses what a receiver refuses. */
import { expect, test } from 'vitest';

import { checkBatch } from '../../../client/replica/check-batch.ts';
import { newPace } from '../../../client/replica/pace.ts';
import { authenticate } from '../../../protocol/authenticate.ts';
import type { Batch } from '../../../protocol/batch.ts';
import { bodyOf, TestChain } from '../../support/chains.ts';
import { bytesOf, crypto, orRefused, refusal, withCode } from '../../support/protocol.ts';

const space = bytesOf('space', 32);
const check = (batch: Batch) => checkBatch(crypto, space, batch, () => null);

/** Six commits, of which some carry another commit's signature. */
function chainOf(name: string, wrong: readonly number[]): TestChain {
  const chain = new TestChain(space, name);
  const other = new TestChain(space, `${name} other`);
  for (let seq = 1; seq <= 6; seq++) {
    const { signature } = other.write(bodyOf(`other ${seq}`));
    chain.write(bodyOf(`${name} ${seq}`), wrong.includes(seq) ? signature : undefined);
  }
  return chain;
}

test('a batch whose signatures are all good has nothing to tell', async () => {
  const { linked, vouched } = await check(chainOf('a', []).batch());
  expect(vouched).toEqual([]);
  expect(linked.entries).toHaveLength(6);
});

test('one that is not good inside a run is told of, for a later one vouches for it', async () => {
  expect((await check(chainOf('a', [2, 5]).batch())).vouched).toEqual([1, 4]);
  expect((await check(chainOf('a', [1]).batch())).vouched).toEqual([0]);
});

test('one that is not good at the end of a run makes the batch worthless, and before a gap too', async () => {
  await expect(check(chainOf('a', [6]).batch())).rejects.toEqual(withCode('bad-signature'));
  const chain = chainOf('a', [2]);
  const gapped = { chains: [chain.after(0)], entries: [chain.entry(1), chain.entry(2), chain.gap(5), chain.entry(6)] };
  await expect(check(gapped)).rejects.toEqual(withCode('bad-signature'));
});

test('it takes and refuses what a receiver does', async () => {
  const [a, b] = [chainOf('a', [3]), chainOf('b', [1, 6])];
  const all = [
    a.entry(1),
    b.entry(1, 1),
    a.entry(2),
    a.erased(3),
    b.entry(2, 1),
    a.entry(4),
    b.entry(3, 1),
    b.entry(4, 1),
  ];
  for (let length = 2; length <= all.length; length++) {
    const batch = { chains: [a.after(0), b.after(0)], entries: all.slice(0, length) };
    const received = orRefused(() => authenticate(crypto, space, batch));
    if (received) {
      expect((await check(batch)).linked).toEqual(received);
    } else {
      const { code } = refusal(() => authenticate(crypto, space, batch));
      await expect(check(batch)).rejects.toEqual(withCode(code));
    }
  }
});

test('it lets others run after a few milliseconds of work', async () => {
  let nowMs = 0;
  const rests: number[] = [];
  const pace = newPace(
    () => nowMs++,
    (workedMs) => {
      rests.push(workedMs);
      return Promise.resolve();
    },
  );
  await checkBatch(crypto, space, chainOf('a', []).batch(), pace);
  expect(rests).toEqual([4]);
});

/** The short way of a batch into the log and the state: byte for byte what the long way makes. */
import { afterEach, expect, test } from 'vitest';
import type { Change } from '../../protocol/body.ts';
import { toHex } from '../../protocol/bytes.ts';
import { dump, eventuallySame, Network, pair, type Member } from '../support/network.ts';

let network = new Network();
afterEach(async () => {
  await network.close();
  network = new Network();
});

async function rows({ store }: Member, table: 'state' | 'conflicts'): Promise<string[]> {
  const found = await store.scan(table, { gte: new Uint8Array([0]), limit: 100_000 });
  return found.map(([key, value]) => `${toHex(key)} ${toHex(value)}`);
}

/** xorshift32 */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function someChange(random: (below: number) => number): Change {
  const subject = `note/${random(60)}`;
  switch (random(12)) {
    case 0:
      return { subject, ops: { destroy: true } };
    case 1:
      return { subject, ops: { inc: { n: random(10) } } };
    case 2:
      return { subject, ops: { unset: ['title'] } };
    case 3:
      return { subject, ops: { add: { tags: [random(5)] } } };
    case 4:
      return { subject, ops: { set: { map: { a: random(3) } } } };
    case 5:
      return { subject: `räksmörgås/${random(9)}`, ops: { set: { text: 'å'.repeat(random(60)) } } };
    default:
      return {
        subject,
        ops: { set: { title: `Title ${random(1000)}`, n: random(100_000) - 20, on: random(2) === 1 } },
      };
  }
}

const SEED = Number(process.env['TIDELOG_TEST_SEED'] ?? 20_261_121);

test.each([0, 1, 2, 3, 4, 5].map((run) => SEED + run))('of any changes by two devices, seed %i', async (seed) => {
  const random = randomOf(seed);
  const laptop = await network.add('laptop');
  await laptop.peer.homeSpace();
  const phone = await network.add('phone');
  await pair(laptop, phone);
  for (let round = 0; round < 6; round++) {
    for (const { peer } of [laptop, phone]) {
      const writes: Promise<unknown>[] = [];
      for (let i = random(60); i > 0; i--) {
        const changes = Array.from({ length: 1 + random(3) }, () => someChange(random));
        const each = [...new Map(changes.map((change) => [change.subject, change])).values()];
        writes.push(peer.space().commit(each).stored);
      }
      await Promise.all(writes);
    }
    await eventuallySame([laptop, phone]);
  }
  // Everything at once, in large batches; and then once more, the long way.
  const tablet = await network.add('tablet');
  await pair(laptop, tablet);
  await eventuallySame([laptop, phone, tablet]);
  expect(await dump(tablet.peer)).toEqual(await dump(laptop.peer));
  for (const member of [tablet, phone]) {
    const before = {
      state: await rows(member, 'state'),
      conflicts: await rows(member, 'conflicts'),
      stats: member.peer.space().stats(),
    };
    await member.peer.space().rebuild();
    expect(await rows(member, 'state')).toEqual(before.state);
    expect(await rows(member, 'conflicts')).toEqual(before.conflicts);
    expect(member.peer.space().stats()).toEqual(before.stats);
  }
  expect(await dump(tablet.peer)).toEqual(await dump(phone.peer));
});

/**
 * A commit that names the kept branch by id, and comes before it: to a peer that was on the other branch, or had nothing of either. What its author had seen it
 * replaces all the same.
 */
import { afterEach, expect, test } from 'vitest';
import { MemoryStore } from '../../client/memory-store.ts';
import { TABLES } from '../../client/store.ts';
import type { Ops } from '../../protocol/body.ts';
import { ForkedHistory, type Receiver, type Seen, type Written } from '../support/histories.ts';
import { copyStore } from '../support/stores.ts';
import { Network } from '../support/network.ts';

let network = new Network();
afterEach(async () => {
  await network.close();
  network = new Network();
});

interface Story {
  readonly h: ForkedHistory;
  readonly before: readonly Written[];
  /** A commit, and one upon it. */
  readonly kept: readonly Written[];
  readonly dropped: readonly Written[];
  /** All ops on what the kept branch wrote, by one that has it. */
  readonly over: readonly Written[];
  /** The same author, later: its chain has seen it. */
  readonly later: Written;
}

const SHOWS = {
  a: { count: 33 },
  b: { list: ['new'], other: 1 },
  d: { late: 4 },
  e: { text: 'new' },
};

function story(): Story {
  const h = new ForkedHistory();
  const on = (branch: string, ops: Record<string, Ops>, seen: readonly Seen[] = []): Written =>
    h.write(branch, Object.entries(ops).map(([subject, each]) => ({ subject, ops: each })), seen); // prettier-ignore
  const ann = h.grant('founder', 'ann', 'writer');
  const twin = h.grant('founder', 'twin', 'writer');
  const first = on('kept', { a: { inc: { count: 100 } }, e: { set: { text: 'first' } } }, [twin]);
  h.fork();
  const kept = [
    on('kept', { a: { inc: { count: 5 } }, b: { add: { list: ['old', 'new'] } }, c: { set: { text: 'gone' } } }),
    on('kept', { b: { set: { other: 1 }, inc: { count: 7 } }, c: { inc: { n: 2 } }, d: { set: { late: 9 } }, e: { set: { text: 'old' } } }), // prettier-ignore
  ];
  const dropped = [1, 2, 3].map(() => h.data('dropped'));
  const over = [
    on('ann', { a: { set: { count: 33 } } }, [ann, { byId: kept[0]! }]),
    on('ann', { b: { remove: { list: ['old'] }, unset: ['count'] }, c: { destroy: true }, e: { set: { text: 'new' } } }, [{ byId: kept[1]! }]), // prettier-ignore
  ];
  const later = on('ann', { d: { set: { late: 4 } } });
  return { h, before: [h.all[0]!, ann, twin, first], kept, dropped, over, later };
}

async function values(receiver: Receiver): Promise<unknown> {
  const { items } = await receiver.space.list({ limit: 100 });
  return Object.fromEntries(items.map(({ subject, value }) => [subject, value]));
}

/** Also after its state was made anew, and by the audit. */
async function expectMeant(...receivers: Receiver[]): Promise<void> {
  const shown = await receivers[0]!.shows();
  for (const receiver of receivers) {
    const { space } = receiver;
    const { name } = receiver.member.peer;
    expect(await values(receiver), name).toEqual(SHOWS);
    expect(await receiver.shows(), name).toEqual(shown);
    expect((await space.audit()).findings, `${name}, audited`).toEqual([]);
    await space.rebuild();
    expect(await values(receiver), `${name}, made anew`).toEqual(SHOWS);
    expect((await space.audit()).findings, `${name}, made anew and audited`).toEqual([]);
  }
}

/** In this order; `proof`: it hears of the fork. */
async function receive(h: ForkedHistory, name: string, order: readonly (Written | 'proof')[]): Promise<Receiver> {
  const receiver = await h.receiver(network, name);
  for (const each of order) {
    if (each === 'proof') await receiver.takeFork();
    else await receiver.giveAll([each]);
  }
  return receiver;
}

test('replaces what its author had seen, whatever comes first', async () => {
  const { h, before, kept, dropped, over, later } = story();
  await expectMeant(
    await receive(h, 'early', [...before, ...kept, ...over, later, 'proof']),
    await receive(h, 'on the dropped branch', [...before, ...dropped, ...over, later, 'proof', ...kept]),
    await receive(h, 'on none', [...before, 'proof', ...over, later, ...kept]),
    await receive(h, 'between', [...before, 'proof', ...over, kept[0]!, later, kept[1]!]),
    await receive(h, 'all after', [...before, ...dropped, ...over, 'proof', ...kept, later]),
  );
});

test('and after a restart in between', async () => {
  const { h, before, kept, dropped, over, later } = story();
  const orders = [
    [...before, ...dropped, ...over, 'proof'],
    [...before, 'proof', ...over],
    [...before, ...dropped, ...over, 'proof', kept[0]!],
  ] as const;
  for (const [i, order] of orders.entries()) {
    const store = new MemoryStore();
    await copyStore((await receive(h, `before ${i}`, order)).member.store, store, TABLES);
    const again = await h.receiver(network, `after ${i}`, store);
    await again.giveAll([...kept.filter((each) => !order.some((given) => given === each)), later]);
    await expectMeant(again);
  }
});

/** A peer that withholds the content of a commit: it is noticed, reported, and got elsewhere. And the state made anew from the log. */
import { afterEach, describe, expect, test } from 'vitest';
import { MemoryStore } from '../../client/memory-store.ts';
import type { Store } from '../../client/store.ts';
import { decodeBlock, decodeBlockRecord, encodeBlock, encodeBlockRecord } from '../../client/tables.ts';
import { zstdNode } from '../../client/platform/zstd-node.ts';
import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { packBatch, readBlock } from '../../client/replica/block.ts';
import { eraseBody } from '../../protocol/body.ts';
import { toHex } from '../../protocol/bytes.ts';
import { dump, eventually, Network, pair, type Member } from '../support/network.ts';
import { WrappedStore } from '../support/stores.ts';

let network = new Network();
afterEach(async () => {
  await network.close();
  network = new Network();
});

/** Erases every commit of a stored log that changes a subject, as somebody would who wants to hide it. */
async function withhold(store: Store, subject: string): Promise<number> {
  let erased = 0;
  for (const [key, bytes] of await store.scan('blocks', { gte: new Uint8Array([0]), limit: 1000 })) {
    const batch = readBlock([zstdNode], decodeBlock(bytes));
    const entries = batch.entries.map((entry) => {
      if (entry.kind !== 'commit' || !Buffer.from(entry.body).includes(subject)) return entry;
      erased++;
      return {
        kind: 'erased',
        chain: entry.chain,
        signature: entry.signature,
        ...eraseBody(nodeCrypto, entry.body),
      } as const;
    });
    const packed = packBatch([zstdNode], { chains: batch.chains, entries });
    const record = decodeBlockRecord((await store.get('blockIndex', key))!);
    const { rawBytes, data } = packed;
    await store.write([
      { table: 'blocks', key, value: encodeBlock(packed) },
      { table: 'blockIndex', key, value: encodeBlockRecord({ ...record, rawBytes, dataBytes: data.length }) },
    ]);
  }
  return erased;
}

async function contents(store: Store, table: 'state' | 'conflicts'): Promise<string[]> {
  return (await store.scan(table, { gte: new Uint8Array([0]), limit: 10_000 })).map(
    ([key, value]) => `${toHex(key)} ${toHex(value)}`,
  );
}

async function withThreeMembers(): Promise<{
  laptop: Member;
  mirror: Member;
  phone: Member;
  mirrorStore: MemoryStore;
}> {
  const laptop = await network.add('laptop');
  const mirrorStore = new MemoryStore();
  const mirror = await network.add('mirror', { store: mirrorStore });
  const phone = await network.add('phone');
  await pair(laptop, mirror, 'mirror');
  return { laptop, mirror, phone, mirrorStore };
}

describe('a hole', () => {
  test('is reported, and filled by the next peer that has the body', async () => {
    const { laptop, mirror, phone, mirrorStore } = await withThreeMembers();
    const home = laptop.peer.space();
    await home.set('secret/1', { text: 'the first' }).stored;
    for (let i = 0; i < 20; i++) await home.set(`note/${i}`, { i }).stored;
    await home.set('secret/1', { more: 'seen after' }).reached({ peers: 1 });
    await laptop.peer.addDevice(phone.peer.id, { role: 'writer', name: 'phone' });
    await phone.peer.addDevice(mirror.peer.id);
    await eventually(() => mirror.peer.space().head === home.head, 'the mirror has it all');
    expect(await withhold(mirrorStore, 'the first')).toBe(1);

    const fromMirror = await phone.peer.connect(mirror.url);
    await fromMirror.caughtUp();
    const copy = phone.peer.space();
    expect(copy.digest()).toEqual(home.digest());
    expect((await copy.get('secret/1'))?.value).toEqual({ more: 'seen after' });
    expect(copy.stats().holes).toBe(1);
    expect(phone.peer.status().warnings.join()).toMatch(/came erased/);
    expect(await copy.audit()).toMatchObject({
      findings: [],
      notes: [{ says: expect.stringContaining('1 commits stand') }],
    });

    await phone.peer.addDevice(laptop.peer.id);
    await phone.peer.connect(laptop.url);
    await eventually(() => copy.stats().holes === 0, 'the hole is filled');
    await eventually(() => phone.events.some(({ type }) => type === 'filled'), 'the state is rebuilt');
    expect((await copy.get('secret/1'))?.value).toEqual({ more: 'seen after', text: 'the first' });
    expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
    expect(phone.peer.status().warnings).toEqual([]);
    expect(await copy.audit()).toMatchObject({ findings: [], notes: [] });
  });
});

describe('a hole that a device was asked for', () => {
  test('is asked for again where the line was lost before the answer', async () => {
    const store = new WrappedStore(new MemoryStore());
    const laptop = await network.add('laptop', { store });
    const mirrorStore = new MemoryStore();
    const mirror = await network.add('mirror', { store: mirrorStore });
    const phone = await network.add('phone');
    await pair(laptop, mirror, 'mirror');
    const home = laptop.peer.space();
    await home.set('secret/1', { text: 'the first' }).stored;
    await laptop.peer.addDevice(phone.peer.id, { role: 'writer', name: 'phone' });
    await phone.peer.addDevice(mirror.peer.id);
    await eventually(() => mirror.peer.space().head === home.head, 'the mirror has it all');
    expect(await withhold(mirrorStore, 'the first')).toBe(1);
    await (await phone.peer.connect(mirror.url)).caughtUp();
    const copy = phone.peer.space();
    expect(copy.stats().holes).toBe(1);

    await phone.peer.addDevice(laptop.peer.id);
    let isLost = false;
    store.beforeRead = (table) => {
      if (table !== 'blocks' || isLost) return;
      isLost = true;
      network.cut();
    };
    phone.peer.dial(laptop.url);
    await eventually(() => copy.stats().holes === 0, 'the next line brings it');
    expect(isLost).toBe(true);
  });
});

describe('the state', () => {
  test('made anew from the log is the same, byte for byte', async () => {
    const { laptop, phone } = await withThreeMembers();
    await pair(laptop, phone);
    const ours = laptop.peer.space();
    const theirs = phone.peer.space();
    network.isolate(phone);
    for (let i = 0; i < 30; i++) {
      ours.set(`note/${i % 7}`, { title: `laptop ${i}`, n: i });
      ours.commit([{ subject: 'count', ops: { inc: { hits: 1 }, add: { tags: [`l${i % 5}`] } } }]);
      theirs.set(`note/${i % 7}`, { title: `phone ${i}` });
      theirs.commit([
        {
          subject: 'count',
          ops: { inc: { hits: 1 }, ...(i % 10 === 9 ? { unset: ['other'] } : { add: { tags: [`p${i % 5}`] } }) },
        },
      ]);
    }
    // A reset that has seen some of the other's incs and not the later ones.
    await theirs.commit([{ subject: 'count', ops: { destroy: true } }]).stored;
    network.reconnect(phone);
    await phone.peer.connect(laptop.url);
    await eventually(() => toHex(ours.digest()) === toHex(theirs.digest()), 'both have all');
    for (const { peer, store } of [laptop, phone]) {
      const state = await contents(store, 'state');
      const conflicts = await contents(store, 'conflicts');
      const stats = peer.space().stats();
      const progress: number[] = [];
      await peer.space().rebuild((done) => progress.push(done));
      expect(await contents(store, 'state')).toEqual(state);
      expect(await contents(store, 'conflicts')).toEqual(conflicts);
      expect(peer.space().stats()).toEqual(stats);
      expect(progress.at(-1)).toBe(peer.space().head);
    }
    // Not before both are made anew: what one writes comes to the other.
    for (const { peer } of [laptop, phone]) await peer.space().set('after', { ok: true }).stored;
  });

  test('is made anew at the opening where that was interrupted', async () => {
    const laptop = await network.add('laptop');
    const home = await laptop.peer.homeSpace();
    for (let i = 0; i < 50; i++) home.set(`note/${i}`, { i });
    await home.set('last', { i: 1 }).stored;
    const before = await dump(laptop.peer);
    const { store } = laptop;
    let writes = 0;
    const failing: Store = {
      kind: 'failing',
      get: (...args) => store.get(...args),
      getMany: (...args) => store.getMany(...args),
      scan: (...args) => store.scan(...args),
      size: () => store.size(),
      close: () => Promise.resolve(),
      write: (ops) => (++writes > 2 ? Promise.reject(new Error('power cut')) : store.write(ops)),
    };
    const again = await network.add('again', { store: failing });
    await expect(again.peer.spaces[0]!.rebuild()).rejects.toThrow('power cut');
    expect(await contents(store, 'state')).toEqual([]);
    const reopened = await network.add('reopened', { store });
    expect(await dump(reopened.peer)).toEqual(before);
  });
});

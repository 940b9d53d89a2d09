/** The audit of a live log finds what is planted in any table, says where, and is right while the log grows under it. */
import { afterEach, describe, expect, test } from 'vitest';

import { MemoryStore } from '../../client/memory-store.ts';
import type { Space } from '../../client/space.ts';
import type { Table } from '../../client/store.ts';
import {
  decodeBlockRecord,
  decodeFact,
  decodeSpace,
  encodeBlockRecord,
  encodeFact,
  encodeSpace,
} from '../../client/tables.ts';
import { eventuallySame, Network, pair, type Member } from '../support/network.ts';
import { turn } from '../support/turn.ts';

let network = new Network();
afterEach(async () => {
  await network.close();
  network = new Network();
});

const ALL = { gte: new Uint8Array([0]), limit: 100_000 };

async function household(): Promise<{ owner: Member; guest: Member; store: MemoryStore; space: Space }> {
  const store = new MemoryStore();
  const owner = await network.add('owner', { store });
  const guest = await network.add('guest');
  await pair(owner, guest);
  for (let n = 0; n < 60; n++) {
    const { peer } = n % 3 === 0 ? guest : owner;
    await peer.space().commit([{ subject: `note/${n % 20}`, ops: { set: { n }, inc: { edits: 1 } } }]).stored;
    if (n % 7 === 0) await eventuallySame([owner, guest]);
  }
  await eventuallySame([owner, guest]);
  return { owner, guest, store, space: owner.peer.space() };
}

const says = async (space: Space): Promise<string> =>
  (await space.audit()).findings.map((each) => each.says).join('\n');

describe('an audit', () => {
  test('of what is as it should be finds nothing, and counts', async () => {
    const { owner, guest, space } = await household();
    const steps = new Set<string>();
    const audit = await space.audit({ onProgress: (step) => steps.add(step) });
    expect(audit).toMatchObject({ name: 'home', head: space.head, findings: [], notes: [], erased: 0 });
    expect(audit.commits).toBe(space.stats().commits);
    expect(audit.resources).toBeGreaterThanOrEqual(20);
    expect(audit.devices.map(({ id }) => id).toSorted()).toEqual([owner.peer.id, guest.peer.id].toSorted());
    expect(audit.untilUs).toBe(space.stats().clockUs);
    expect([...steps]).toContain('log');
  });

  test('is right while others write', async () => {
    const { owner, guest, space } = await household();
    const stopping = new AbortController();
    const writing = (async () => {
      for (let n = 0; !stopping.signal.aborted; n++) {
        await owner.peer.space().commit([{ subject: `note/${n % 30}`, ops: { set: { n }, inc: { edits: 1 } } }]).stored;
        if (n % 5 === 0) guest.peer.space().destroy(`note/${n % 20}`);
        await turn();
      }
    })();
    for (let round = 0; round < 5; round++) expect((await space.audit()).findings).toEqual([]);
    stopping.abort();
    await writing;
  });

  test('begins again where a revocation comes in the middle of it', async () => {
    const { owner, guest, space } = await household();
    let revoked: Promise<void> | null = null;
    const rest = async (): Promise<void> => {
      revoked ??= owner.peer.revokeDevice(space, guest.peer.id);
      await revoked;
    };
    expect(await space.audit({ rest })).toMatchObject({ findings: [] });
  });
});

describe('planted damage', () => {
  type Plant = (store: MemoryStore) => Promise<void>;
  const row = async (store: MemoryStore, table: Table, at: (rows: number) => number) => {
    const rows = store.scan(table, ALL);
    return rows[at(rows.length)]!;
  };
  const middle = (rows: number): number => Math.floor(rows / 2);
  const last = (rows: number): number => rows - 1;
  const drop =
    (table: Table, at = last): Plant =>
    async (store) => {
      const [key] = await row(store, table, at);
      await store.write([{ table, key, value: null }]);
    };
  const change =
    (table: Table, how: (value: Uint8Array) => Uint8Array, at = last): Plant =>
    async (store) => {
      const [key, value] = await row(store, table, at);
      await store.write([{ table, key, value: how(value) }]);
    };
  const flipped =
    (byteFromEnd: number) =>
    (value: Uint8Array): Uint8Array => {
      const changed = value.slice();
      changed[changed.length - byteFromEnd]! ^= 1;
      return changed;
    };

  test.each<[name: string, plant: Plant, finds: RegExp]>([
    ['a byte of a block', change('blocks', flipped(20), middle), /the block of positions \d+ to \d+/],
    ['a signature', change('blocks', flipped(1), last), /the block of positions \d+ to \d+: .*signature/],
    ['a block that is gone', drop('blocks', middle), /the block of positions \d+ to \d+: .*is not there/],
    ["a block's record that is gone", drop('blockIndex', middle), /entries up to \d+ are missing/],
    [
      "a block's record that names other entries",
      change('blockIndex', (value) => {
        const record = decodeBlockRecord(value);
        return encodeBlockRecord({
          ...record,
          ranges: record.ranges.map((range) => ({ ...range, first: range.first + 1 })),
        });
      }),
      /names other entries/,
    ],
    [
      "a block's record that hides a subject",
      change('blockIndex', (value) => {
        const record = decodeBlockRecord(value);
        return encodeBlockRecord({ ...record, subjects: record.subjects!.map(() => 0) });
      }),
      /hides "note/,
    ],
    [
      'the last block and its record',
      async (store) => {
        await drop('blocks')(store);
        await drop('blockIndex')(store);
      },
      /the log ends here/,
    ],
    ['the head of a chain', change('chains', flipped(1)), /ends at seq \d+ of the log|digest/],
    ['what an author had seen', change('knows', flipped(1)), /had seen says another/],
    ['what an author had seen, gone', drop('knows', middle), /had seen says another/],
    [
      'a member',
      change('facts', (value) => {
        const fact = decodeFact(value);
        return encodeFact({ ...fact, time: fact.time + 1 });
      }),
      /of members says another/,
    ],
    ['a resource', change('state', flipped(1), middle), /the resource "note\/\d+" is another/],
    ['a resource that is gone', drop('state', middle), /the resource "note\/\d+" is missing/],
    [
      'a resource that never was',
      async (store) => {
        const [key, value] = await row(store, 'state', middle);
        await store.write([{ table: 'state', key: new Uint8Array([...key, 0x78]), value }]);
      },
      /the resource "note\/\d+x" is not there by the log/,
    ],
    [
      'a resource whose subject is no text',
      async (store) => {
        const [key, value] = await row(store, 'state', middle);
        await store.write([{ table: 'state', key: new Uint8Array([...key, 0xff]), value }]);
      },
      /a resource has [0-9a-f]+ff in place of a subject/,
    ],
    [
      'a conflict that is none',
      async (store) => {
        const [key] = await row(store, 'state', middle);
        await store.write([{ table: 'conflicts', key, value: new Uint8Array(0) }]);
      },
      /is listed as one with a conflict/,
    ],
    [
      'the count of commits',
      change('spaces', (value) => {
        const record = decodeSpace(value);
        return encodeSpace({ ...record, commits: record.commits + 1 });
      }),
      /commits, and its record says/,
    ],
    [
      'the count of resources',
      change('spaces', (value) => {
        const record = decodeSpace(value);
        return encodeSpace({ ...record, subjects: record.subjects + 1 });
      }),
      /resources, and its record says/,
    ],
  ])('%s', async (_name, plant, finds) => {
    const { owner, store } = await household();
    await owner.peer.close();
    await plant(store);
    const reopened = await network.add('again', { store, seed: new Uint8Array(32).fill(7) });
    const space = reopened.peer.space();
    expect(await says(space)).toMatch(finds);
    // It wrote nothing: it finds the same again.
    expect(await says(space)).toMatch(finds);
  });
});

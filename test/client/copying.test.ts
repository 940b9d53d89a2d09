/** A log out into a file and in again: what comes of it is the same, and a file that was touched is refused at its place. */
import { afterEach, describe, expect, test } from 'vitest';

import { LogFileWriter, readLogFile, type LogFileBlock, type PlacedPart } from '../../client/log-file.ts';
import { nodePlatform } from '../../client/platform/node.ts';
import type { Space } from '../../client/space.ts';
import { concat, toHex } from '../../protocol/bytes.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { collect, dump, eventuallySame, Network, pair, type Member } from '../support/network.ts';

const { crypto } = nodePlatform();
let network = new Network();
afterEach(async () => {
  await network.close();
  network = new Network();
});

async function* chunksOf(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function exported(space: Space, after?: { position: number; id: Uint8Array }): Promise<Uint8Array> {
  return concat(...(await collect(space.exportLog(after))));
}

const partsOf = (bytes: Uint8Array, size?: number): Promise<PlacedPart[]> =>
  collect(readLogFile(crypto, chunksOf(bytes, size)));

/** Into the copy of `member`, which is made where it has none. Returns what was new. */
async function take(member: Member, file: Uint8Array): Promise<{ space: Space; added: number; duplicates: number }> {
  const parts = await partsOf(file);
  const header = parts[0]!;
  if (header.kind !== 'header') throw new Error('no header');
  const space = await member.peer.addCopy(header.space, '');
  const intake = space.intake();
  for (const part of parts) if (part.kind === 'block') await intake.take(part);
  await intake.settled();
  return { space, added: intake.added, duplicates: intake.duplicates };
}

/** Two devices that wrote by turns, and one of whom is revoked in the end, after commits that were not seen. */
async function household(): Promise<{ owner: Member; guest: Member; space: Space }> {
  const owner = await network.add('owner');
  const guest = await network.add('guest');
  await pair(owner, guest);
  for (let n = 0; n < 40; n++) {
    const { peer } = n % 3 === 0 ? guest : owner;
    await peer.space().commit([
      { subject: `note/${n % 7}`, ops: { set: { n, by: peer.name }, inc: { edits: 1 } } },
      { subject: `list/${n % 3}`, ops: { add: { items: [`${n}`] } } },
    ]).stored;
    if (n % 5 === 0) await eventuallySame([owner, guest]);
  }
  await eventuallySame([owner, guest]);
  return { owner, guest, space: owner.peer.space() };
}

describe('a copy of a log', () => {
  test('makes the same space elsewhere, and every commit is known when it comes again', async () => {
    const { owner, space } = await household();
    const file = await exported(space);
    const other = await network.add('other');
    const first = await take(other, file);
    expect(first).toMatchObject({ added: space.head, duplicates: 0 });
    expect(toHex(first.space.digest())).toBe(toHex(space.digest()));
    expect(await dump(other.peer)).toEqual(await dump(owner.peer));
    expect(await take(other, file)).toMatchObject({ added: 0, duplicates: space.head });
    // What it holds it can give to others as well.
    expect((await partsOf(await exported(first.space))).at(-1)).toMatchObject({ kind: 'end', digest: space.digest() });
  });

  test('goes on from where an earlier one ended, also inside a block that was merged since', async () => {
    const owner = await network.add('owner');
    const space = await owner.peer.homeSpace();
    const files: Uint8Array[] = [];
    let after: { position: number; id: Uint8Array } | undefined;
    for (let round = 0; round < 30; round++) {
      for (let n = 0; n < 11; n++) await space.set(`note/${n}`, { round }).stored;
      const file = await exported(space, after);
      const end = (await partsOf(file)).at(-1)!;
      if (end.kind !== 'end') throw new Error('no end');
      expect(end).toMatchObject({ head: space.head, entries: space.head - (after?.position ?? 0), holes: [] });
      after = { position: end.head, id: end.headId };
      files.push(file);
    }
    // One that has nothing new is whole too.
    const empty = await partsOf(await exported(space, after));
    expect(empty.map(({ kind }) => kind)).toEqual(['header', 'end']);
    const other = await network.add('other');
    for (const file of files) await take(other, file);
    expect(toHex(other.peer.space().digest())).toBe(toHex(space.digest()));
    expect(await dump(other.peer)).toEqual(await dump(owner.peer));
  });

  test('ends where the log ended when it began, whatever is written meanwhile', async () => {
    const { owner, space } = await household();
    const head = space.head;
    const digest = space.digest();
    const chunks: Uint8Array[] = [];
    for await (const chunk of space.exportLog()) {
      chunks.push(chunk);
      for (let n = 0; n < 40; n++) await owner.peer.space().set(`late/${n}`, { n }).stored;
    }
    const end = (await partsOf(concat(...chunks))).at(-1);
    expect(space.head).toBeGreaterThan(head);
    expect(end).toMatchObject({ kind: 'end', head, digest });
  });

  test('that a revocation changes under way goes on to the revocation, and holds no hole', async () => {
    const { owner, guest, space } = await household();
    const copy = space.exportLog();
    const chunks = [(await copy.next()).value as Uint8Array];
    network.isolate(guest);
    for (let n = 0; n < 5; n++) await guest.peer.space().set(`unseen/${n}`, { n }).stored;
    await owner.peer.revokeDevice(space, guest.peer.id);
    network.reconnect(guest);
    for await (const chunk of copy) chunks.push(chunk);
    const other = await network.add('other');
    const { space: copied } = await take(other, concat(...chunks));
    expect(copied.stats().holes).toBe(0);
    const end = (await partsOf(concat(...chunks))).at(-1);
    expect(end).toMatchObject({ kind: 'end', head: copied.head, digest: copied.digest(), holes: [] });
  });

  test('of another log, or of a part of it that is not here, is told apart', async () => {
    const { space } = await household();
    const end = (await partsOf(await exported(space))).at(-1)!;
    if (end.kind !== 'end') throw new Error('no end');
    const wrong = end.headId.map((byte) => byte ^ 1);
    await expect(exported(space, { position: end.head, id: wrong })).rejects.toMatchObject({ code: 'cursor-epoch' });
    await expect(exported(space, { position: end.head + 1, id: wrong })).rejects.toMatchObject({
      code: 'cursor-too-new',
    });
  });

  test('of a partial copy is refused', async () => {
    const { owner } = await household();
    const part = await network.add('part', { only: { kind: 'prefix', prefix: 'note/' } });
    await pair(owner, part);
    await eventuallySame([owner, part]);
    await expect(exported(part.peer.space())).rejects.toMatchObject({ code: 'gap-refused' });
    // What it has can be looked over all the same.
    expect(await part.peer.space().audit()).toMatchObject({ findings: [], head: part.peer.space().head });
  });
});

describe('a file that was touched', () => {
  test('is refused at the part that was: every byte of a small one, each in several ways', async () => {
    const owner = await network.add('owner');
    const space = await owner.peer.homeSpace();
    await space.set('note/1', { title: 'Milk' }).stored;
    const file = await exported(space);
    const parts = await partsOf(file);
    for (let at = 0; at < file.length; at++) {
      const flipped = file.slice();
      flipped[at]! ^= 1 << (at % 8);
      const touched = parts.findLast(({ offset }) => offset <= at)!;
      const error = await partsOf(flipped, 50).then(
        () => null,
        (thrown: unknown) => thrown,
      );
      if (!(error instanceof TidelogError)) throw new Error(`byte ${at} was taken`);
      expect(error).toMatchObject({ code: 'bad-copy', detail: { offset: touched.offset, part: touched.part } });
    }
  });

  test('is refused wherever it is cut off, and where something follows', async () => {
    const { space } = await household();
    const file = await exported(space);
    const parts = await partsOf(file);
    const ends = parts.flatMap(({ offset }) => [offset, offset + 1, offset + 60]).filter((at) => at < file.length);
    for (const at of [...ends, file.length - 1]) {
      await expect(partsOf(file.subarray(0, at)), `${at}`).rejects.toMatchObject({ code: 'bad-copy' });
    }
    await expect(partsOf(concat(file, file.subarray(0, 1)))).rejects.toMatchObject({ code: 'bad-copy' });
  });

  test('whose parts stand in another order, or twice, is refused', async () => {
    const { space } = await household();
    const blocks = (await partsOf(await exported(space))).filter((part) => part.kind === 'block');
    const file = await exported(space);
    const parts = await partsOf(file);
    const bytesOf = (n: number): Uint8Array => file.subarray(parts[n]!.offset, parts[n + 1]?.offset);
    const all = parts.map((_, n) => bytesOf(n));
    expect(blocks.length).toBeGreaterThan(0);
    await expect(partsOf(concat(all[0]!, all[1]!, ...all.slice(1)))).rejects.toMatchObject({ code: 'bad-copy' });
    await expect(partsOf(concat(all[0]!, all.at(-1)!))).rejects.toMatchObject({ code: 'bad-copy' });
  });

  test('and whose hashes were made anew is refused by what the blocks hold', async () => {
    const { space } = await household();
    const file = await exported(space);
    const parts = await partsOf(file);
    let n = 0;
    for (const block of parts.filter((part) => part.kind === 'block')) {
      for (let at = 0; at < block.data.length; at += 1 + (n++ % 97)) {
        const data = block.data.slice();
        data[at]! ^= 1 << (at % 8);
        const other = await network.add(`other ${n}`);
        const forged = forge(parts, { ...block, data });
        // A flip may lie in what doesn't count, such as zstd's own reserves; then the content is the same.
        const outcome = await take(other, forged).catch((thrown: unknown) => thrown);
        if (outcome instanceof TidelogError) continue;
        expect(toHex(other.peer.space().digest()), `byte ${at}`).toBe(toHex(space.digest()));
      }
    }
    expect(n).toBeGreaterThan(20);
  });
});

/** The same file with one block replaced, and hashes that fit. */
function forge(parts: readonly PlacedPart[], instead: LogFileBlock): Uint8Array {
  const writer = new LogFileWriter(crypto);
  return concat(
    ...parts.map((part) => {
      if (part.kind === 'header') return writer.header(part);
      if (part.kind === 'end') return writer.end(part);
      if (part.kind === 'fork') return writer.fork(part.proof);
      return writer.block(part.last === instead.last ? instead : part);
    }),
  );
}

/** Batches read in other threads: what they give is what this thread would have read. */
import { expect, test } from 'vitest';
import { ThreadReader } from '../../../client/platform/batch-reader.ts';
import { nodeCrypto } from '../../../client/platform/crypto-node.ts';
import { zstdNode } from '../../../client/platform/zstd-node.ts';
import { packBatch } from '../../../client/replica/block.ts';
import { readShort, type ReadBatch } from '../../../client/replica/incoming.ts';
import type { BlockData } from '../../../client/tables.ts';
import { encodeBody } from '../../../protocol/body.ts';
import { TestChain } from '../../support/chains.ts';
import { bytesOf } from '../../support/protocol.ts';

const space = bytesOf('space', 32);
const codecs = [zstdNode];

function blockOf(name: string, commits: number): BlockData {
  const chain = new TestChain(space, name);
  for (let i = 0; i < commits; i++) {
    const ops = { set: { title: `${name} ${i}`, text: 'x'.repeat(80), n: i } };
    chain.write(encodeBody({ time: 1_790_000_000_000_000 + i, deps: [], changes: [{ subject: `note/${i}`, ops }] }));
  }
  return packBatch(codecs, chain.batch());
}

/** Once a thread is ready: until then the answer is null. */
async function readThere(reader: ThreadReader, block: BlockData, withRecords: boolean): Promise<ReadBatch | null> {
  for (;;) {
    const read = reader.read(space, block, withRecords);
    if (read) return read;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test.each([true, false])('many at once give what this thread reads, with records: %s', async (withRecords) => {
  const reader = new ThreadReader();
  const blocks = Array.from({ length: 60 }, (_, i) => blockOf(`device ${i}`, 300 + i));
  await readThere(reader, blocks[0]!, withRecords);
  // Again and again, each time as much as threads take: with a core for it, another one is begun meanwhile.
  for (let round = 0; round < 5; round++) {
    const reads = await Promise.all(blocks.map((block) => reader.read(space, block, withRecords)));
    expect(reads.filter((read) => read !== null).length).toBeGreaterThan(30);
    for (const [i, read] of reads.entries())
      if (read) expect(read).toEqual(readShort(nodeCrypto, codecs, space, blocks[i]!, withRecords));
  }
});

test('a forged one, and one that is no batch, give null, and those beside them what they are', async () => {
  const reader = new ThreadReader();
  const good = blockOf('laptop', 300);
  await readThere(reader, good, true);
  const other = blockOf('phone', 300);
  const forged = { ...other, data: zstdNode.pack!(zstdNode.unpack(other.data, other.rawBytes).slice().fill(7, -64)) };
  const broken = { ...good, data: good.data.slice(0, 50) };
  const reads = await Promise.all([forged, broken, good].map((block) => reader.read(space, block, true)));
  expect(reads[0]).toBeNull();
  expect(reads[1]).toBeNull();
  expect(reads[2]!.plain.count).toBe(300);
});

test('a small one is read here', () => {
  expect(new ThreadReader().read(space, blockOf('laptop', 3), true)).toBeNull();
});

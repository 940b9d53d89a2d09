/** docs/BACKUP.md: a file that is written by the page's tables alone is the file that the code writes. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

import { LogFileWriter, readLogFile } from '../../client/log-file.ts';
import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { createMetrics } from '../../server/metrics.ts';
import { concat, writeU64 } from '../../protocol/bytes.ts';
import { bytesOf } from '../support/protocol.ts';
import { collect, Network } from '../support/network.ts';
import type { Verified } from '../../server/verified.ts';
import type { Verifier } from '../../server/verifier.ts';

const page = readFileSync(new URL('../../docs/BACKUP.md', import.meta.url), 'utf8');

interface Field {
  readonly offset: number;
  /** null: to the end of the part. */
  readonly bytes: number | null;
  readonly what: string;
}

function layout(name: string): Field[] {
  const block = new RegExp(`<!-- layout: ${name} -->\\n\\n((?:\\|.*\\n)+)`).exec(page)![1]!;
  return block
    .trimEnd()
    .split('\n')
    .slice(2)
    .map((line) => {
      const [, offset, bytes, what] = line.split('|').map((cell) => cell.trim());
      return { offset: Number(offset), bytes: bytes === '' ? null : Number(bytes), what: what! };
    });
}

/** Puts values into their places, by how the page calls them; each value and each field must find the other. */
function written(name: string, values: readonly (readonly [says: RegExp, value: Uint8Array])[]): Buffer {
  const fields = layout(name).filter(({ what }) => what !== 'hash');
  expect(fields).toHaveLength(values.length);
  const parts = fields.map(({ offset, bytes, what }, i) => {
    const [says, value] = values[i]!;
    expect(what).toMatch(says);
    if (bytes !== null) expect(value.length, what).toBe(bytes);
    return { offset, value };
  });
  const length = Math.max(...parts.map(({ offset, value }) => offset + value.length), hashEnd(name));
  const out = Buffer.alloc(length);
  for (const { offset, value } of parts) out.set(value, offset);
  return out;
}

function hashEnd(name: string): number {
  const hash = layout(name).find(({ what }) => what === 'hash');
  return hash ? hash.offset + 32 : 0;
}

const sha256 = (...parts: Uint8Array[]): Buffer =>
  createHash('sha256')
    .update(concat(...parts))
    .digest();
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const u64 = (value: number): Uint8Array => {
  const bytes = new Uint8Array(8);
  writeU64(bytes, 0, value);
  return bytes;
};

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

test('the layout is the one that is written and read', async () => {
  const header = { space: bytesOf('space', 32), epoch: bytesOf('epoch', 8), after: 2 ** 40 + 5 };
  const block = { codec: 1 as const, rawBytes: 70_000, data: bytesOf('data', 333), last: header.after + 7 };
  const end = { head: block.last, entries: 7, digest: bytesOf('digest', 32), headId: bytesOf('id', 32), holes: [3, 9] };

  const headerBytes = written('header', [
    [/^`tdlogcpy`$/, Buffer.from('tdlogcpy')],
    [/^version: 1$/, u32(1)],
    [/^space id$/, header.space],
    [/^epoch/, header.epoch],
    [/^the position before the first entry/, u64(header.after)],
  ]);
  const headerHash = sha256(headerBytes.subarray(0, 60));
  headerBytes.set(headerHash, 60);
  const proof = bytesOf('proof', 300);
  const forkBytes = written('fork', [
    [/^`03`$/, Buffer.of(3)],
    [/^bytes of the proof$/, u32(proof.length)],
    [/^the proof/, proof],
  ]);
  const forkHash = sha256(headerHash, forkBytes.subarray(0, 5), proof);
  forkBytes.set(forkHash, 5);
  const blockBytes = written('block', [
    [/^`01`$/, Buffer.of(1)],
    [/^codec/, Buffer.of(block.codec)],
    [/unpacked$/, u32(block.rawBytes)],
    [/^bytes of the data$/, u32(block.data.length)],
    [/^position of the last entry/, u64(block.last)],
    [/^data: a batch/, block.data],
  ]);
  const blockHash = sha256(forkHash, blockBytes.subarray(0, 18), block.data);
  blockBytes.set(blockHash, 18);
  const endBytes = written('end', [
    [/^`02`$/, Buffer.of(2)],
    [/^position of the last entry$/, u64(end.head)],
    [/^entries in this file$/, u64(end.entries)],
    [/^digest of the whole log/, end.digest],
    [/^id of the last entry/, end.headId],
    [/^how many erased commits/, u32(end.holes.length)],
    [/^the position of each, 8 bytes$/, concat(...end.holes.map(u64))],
  ]);
  const byPage = concat(headerBytes, forkBytes, blockBytes, endBytes, sha256(blockHash, endBytes));

  const writer = new LogFileWriter(nodeCrypto);
  const byCode = concat(writer.header(header), writer.fork(proof), writer.block(block), writer.end(end));
  expect(Buffer.from(byCode).toString('hex')).toBe(Buffer.from(byPage).toString('hex'));
  const parts = await collect(readLogFile(nodeCrypto, once(byPage)));
  expect(parts).toMatchObject([
    { kind: 'header', ...header },
    { kind: 'fork', proof },
    { kind: 'block', ...block, first: header.after + 1 },
    { kind: 'end', ...end },
  ]);
});

test('the metrics are those that it names, and none has a value before there is one', async () => {
  const network = new Network();
  const { peer } = await network.add('laptop');
  const noted: { current: Verified } = { current: { log: null, backup: null } };
  const verifier = { verified: () => Promise.resolve(noted.current) } as unknown as Verifier;
  const metrics = createMetrics(peer, verifier);
  const values = async (): Promise<string[]> =>
    [...(await metrics.text()).matchAll(/^(tidelog_(?:\w*verified|\w*backup|last_proven)\w*) \S+$/gm)].map(
      (match) => match[1]!,
    );
  expect(await values()).toEqual([]);
  const log = { atMs: 1_700_000_000_000, ok: true, findings: 0, says: null };
  noted.current = { log, backup: { ...log, dir: '/b', proven: { atMs: 1, dir: '/b', untilMs: 1 } } };
  const inPage = [...page.matchAll(/^\| `(tidelog_\w+)`/gm)].map((match) => match[1]!);
  expect((await values()).toSorted()).toEqual(inPage.toSorted());
  await network.close();
});

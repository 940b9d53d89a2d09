/**
 * Blocks: how entries become records of the log and come back. A block on disk is a batch on the wire: what was received whole is
 * stored as it came, and what is stored is sent as it is.
 */
import { decodeBatch, encodeBatch, type Batch, type BatchChain, type BatchEntry } from '../../protocol/batch.ts';
import type { Body } from '../../protocol/body.ts';
import type { Codec } from '../../protocol/codec.ts';
import { noneCodec } from '../../protocol/codec.ts';
import {
  BATCH_DATA_BYTES_MAX,
  BLOCK_ENTRIES_MAX,
  BLOCK_RAW_BYTES_TARGET,
  CODEC,
  type CodecNumber,
} from '../../protocol/constants.ts';
import { TidelogError } from '../../protocol/errors.ts';
import type { PlainBatch } from '../../protocol/plain-batch.ts';
import { makeBloom } from './bloom.ts';
import type { Admitted, BlockEntry } from './entry.ts';
import type { BlockData, BlockRecord, ChainRange } from '../tables.ts';

/** Entries in log order as a batch; each chain begins where its first entry says. */
export function batchOf(entries: readonly BlockEntry[]): Batch {
  const indexes = new Map<number, number>();
  const chains: BatchChain[] = [];
  const batchEntries = entries.map((entry): BatchEntry => {
    let index = indexes.get(entry.chain.number);
    if (index === undefined) {
      index = chains.length;
      indexes.set(entry.chain.number, index);
      const { device, nonce } = entry.chain;
      chains.push({ device, nonce, seq: entry.kind === 'gap' ? entry.seqBefore : entry.seq - 1, id: entry.prev });
    }
    switch (entry.kind) {
      case 'commit':
        return { kind: 'commit', chain: index, signature: entry.signature, body: entry.body };
      case 'erased':
        return {
          kind: 'erased',
          chain: index,
          signature: entry.signature,
          stem: entry.stem,
          changesHash: entry.changesHash,
        };
      case 'gap':
        return { kind: 'gap', chain: index, seq: entry.seq, id: entry.id };
    }
  });
  return { chains, entries: batchEntries };
}

/** Packs with the first codec that can pack and makes it smaller. */
export function packBatch(codecs: readonly Codec[], batch: Batch): BlockData {
  return pack(codecs, encodeBatch(batch));
}

/**
 * Less isn't packed: one live commit of 150 bytes is two thirds key, hashes and signature, and packing saves 7 % of it (294 → 272 bytes) for
 * 40 µs here and 20 at each receiver, all of it before anybody sees the commit. On disk it is packed when it is merged with others.
 */
const PACK_RAW_BYTES_MIN = 400;

function pack(codecs: readonly Codec[], raw: Uint8Array): BlockData {
  const codec = raw.length < PACK_RAW_BYTES_MIN ? undefined : codecs.find(({ pack }) => pack !== null);
  // A single live commit of random bytes doesn't shrink; what doesn't shrink isn't packed.
  const data = codec?.pack?.(raw);
  if (codec && data && data.length < raw.length) return { codec: codec.number, rawBytes: raw.length, data };
  return { codec: CODEC.NONE, rawBytes: raw.length, data: raw };
}

/** Throws `bad-batch`, `batch-too-large`. */
export function unpack(codecs: readonly Codec[], { codec, rawBytes, data }: BlockData): Uint8Array {
  const found = codec === CODEC.NONE ? noneCodec : codecs.find(({ number }) => number === codec);
  if (!found) throw new TidelogError('bad-batch', `codec ${codec} was not agreed`);
  return found.unpack(data, rawBytes);
}

/** As it may be sent to a peer that knows only some codecs. */
export function repack(codecs: readonly Codec[], block: BlockData, accepted: ReadonlySet<CodecNumber>): BlockData {
  if (accepted.has(block.codec)) return block;
  const raw = unpack(codecs, block);
  return { codec: CODEC.NONE, rawBytes: raw.length, data: raw };
}

export function readBlock(codecs: readonly Codec[], block: BlockData): Batch {
  return decodeBatch(unpack(codecs, block));
}

/** Which seqs of which chains, and which subjects, the entries hold. */
export function describeBlock<E extends Admitted | (BlockEntry & { readonly position: number })>(
  entries: readonly E[],
  block: BlockData,
  changedBy: (entry: Extract<E, { kind: 'commit' }>) => Pick<Body, 'changes'>,
): BlockRecord {
  const ranges = new Map<number, { chain: number; first: number; last: number }>();
  const subjects: string[] = [];
  const plain: PlainBatch[] = [];
  let hasGaps = false;
  for (const entry of entries) {
    const range = ranges.get(entry.chain.number);
    if (range) range.last = entry.seq;
    else ranges.set(entry.chain.number, { chain: entry.chain.number, first: entry.seq, last: entry.seq });
    if (entry.kind === 'gap') hasGaps = true;
    if (entry.kind === 'commit' && 'plain' in entry && entry.plain) {
      plain.push(entry.plain);
    } else if (entry.kind === 'commit') {
      for (const { subject } of changedBy(entry as Extract<E, { kind: 'commit' }>).changes) subjects.push(subject);
    }
  }
  return {
    first: entries[0]!.position,
    rawBytes: block.rawBytes,
    dataBytes: block.data.length,
    hasGaps,
    ranges: [...ranges.values()] satisfies ChainRange[],
    subjects: makeBloom(subjects, plain),
  };
}

/** Bytes that an entry takes unpacked, roughly: for cutting, not for counting. */
export function entryBytes(entry: Admitted | BlockEntry): number {
  return entry.kind === 'commit' ? entry.body.length + 80 : 120;
}

/** Cuts entries into blocks: at most 512 entries, and a new block once 256 KiB are reached. Every block is a legal batch even unpacked. */
export function* cutBlocks<E extends Admitted | BlockEntry>(entries: readonly E[]): Generator<E[]> {
  let block: E[] = [];
  let bytes = 0;
  for (const entry of entries) {
    const size = entryBytes(entry);
    const isFull =
      block.length >= BLOCK_ENTRIES_MAX || bytes >= BLOCK_RAW_BYTES_TARGET || bytes + size > BATCH_DATA_BYTES_MAX;
    if (block.length > 0 && isFull) {
      yield block;
      block = [];
      bytes = 0;
    }
    block.push(entry);
    bytes += size;
  }
  if (block.length > 0) yield block;
}

/**
 * Holes: erased commits that no revocation explains. Somebody along the way withheld their content. They are reported, and asked for
 * elsewhere: to the next peer this one says that it has the chain only up to the hole. A body that then comes fits its hash or is not taken.
 */
import { decodeKnownBody } from '../protocol/body.ts';
import { equal } from '../protocol/bytes.ts';
import type { AuthenticEntry } from '../protocol/authenticate.ts';
import type { ChainHead } from '../protocol/vector.ts';
import { batchOf, packBatch, type BlockEntry } from './block.ts';
import type { GroupContext } from './group.ts';
import type { Log, LogEntry, PlacedBlock } from './log.ts';
import type { StoreOp } from './store.ts';
import { encodeBlock, encodeBlockRecord, holeKey, knowsKey, positionKey, seqValue } from './tables.ts';
import type { View } from './view.ts';

export type CommitEntry = Extract<AuthenticEntry, { kind: 'commit' }>;

async function entryAt(
  log: Log,
  position: number,
): Promise<{ block: PlacedBlock; entries: LogEntry[]; entry: LogEntry }> {
  const [block] = await log.blocksAfter(position - 1, 1);
  const entries = block ? await log.entries(block) : [];
  const entry = entries.find((candidate) => candidate.position === position);
  if (!block || !entry) throw new Error(`the log has no entry at ${position}`);
  return { block, entries, entry };
}

/** The vector that makes a peer send again from the first hole of each chain on. */
export async function headsBeforeHoles(view: View, log: Log): Promise<ChainHead[]> {
  const first = new Map<string, { seq: number; position: number }>();
  for (const { chain, seq, position } of view.holes.values()) {
    const { hex } = view.chains[chain]!;
    if (seq < (first.get(hex)?.seq ?? Number.POSITIVE_INFINITY)) first.set(hex, { seq, position });
  }
  const heads: ChainHead[] = [];
  for (const head of view.heads()) {
    const hole = first.get(view.chainById(head.chain)!.hex);
    if (!hole) heads.push(head);
    else if (hole.seq > 1)
      heads.push({ chain: head.chain, seq: hole.seq - 1, id: (await entryAt(log, hole.position)).entry.prev });
  }
  return heads;
}

/**
 * Puts bodies into their holes: the log's blocks, and what their authors had seen. The caller rebuilds the state afterwards, because every later commit
 * of those chains was applied without knowing it. Bodies that don't fit are left out.
 */
export async function fillHoles(
  context: GroupContext,
  candidates: readonly CommitEntry[],
): Promise<{ ops: StoreOp[]; filled: number }> {
  const { view, log, codecs } = context;
  const ops: StoreOp[] = [];
  const blocks = new Map<number, { block: PlacedBlock; entries: BlockEntry[] }>();
  let filled = 0;
  for (const {
    chain: { id: chainId },
    seq,
    id,
    bodyHash,
    body,
  } of candidates) {
    const chain = view.chainById(chainId)!;
    const hole = view.holes.get(holeName(chain.number, seq));
    if (!hole) continue;
    const found = await entryAt(log, hole.position);
    const { entry } = found;
    if (entry.kind !== 'erased' || !equal(entry.id, id) || !equal(entry.bodyHash, bodyHash)) continue;
    const open = blocks.get(found.block.last) ?? { block: found.block, entries: [...found.entries] };
    blocks.set(found.block.last, open);
    const { prev, signature } = entry;
    open.entries[hole.position - found.block.first] = { kind: 'commit', chain, seq, prev, signature, body };
    await view.loadKnows(chain);
    for (const dep of decodeKnownBody(body).deps) {
      const other = view.chainById(dep.chain);
      if (!other) continue;
      ops.push({
        table: 'knows',
        key: knowsKey(view.number, chain.number, other.number, seq),
        value: seqValue(dep.seq),
      });
      if (chain.saw(other.number) < dep.seq) chain.knows!.set(other.number, dep.seq);
    }
    ops.push({ table: 'holes', key: holeKey(view.number, chain.number, seq), value: null });
    view.holes.delete(holeName(chain.number, seq));
    view.commits++;
    filled++;
  }
  for (const { block, entries } of blocks.values()) {
    const packed = packBatch(codecs, batchOf(entries));
    const key = positionKey(view.number, block.last);
    // What the block holds is no longer what its filter over subjects says: without one, every history looks into it.
    const record = { ...block, rawBytes: packed.rawBytes, dataBytes: packed.data.length, subjects: null };
    ops.push(
      { table: 'blocks', key, value: encodeBlock(packed) },
      { table: 'blockIndex', key, value: encodeBlockRecord(record) },
    );
    view.blockBytes += packed.data.length - block.dataBytes;
  }
  return { ops, filled };
}

export function holeName(chain: number, seq: number): string {
  return `${chain} ${seq}`;
}

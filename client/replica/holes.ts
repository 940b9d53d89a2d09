/**
 * Holes: erased commits that no revocation explains. Somebody along the way withheld their content. They are reported, and asked for
 * elsewhere: to the next peer this one says that it has the chain only up to the hole. A body that then comes fits its hash or is not taken.
 */
import { decodeBody, decodeKnownBody } from '../../protocol/body.ts';
import { equal } from '../../protocol/bytes.ts';
import { BATCH_RAW_BYTES_MAX } from '../../protocol/constants.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { changesMembership, readFacts } from '../../protocol/membership.ts';
import type { ChainHead } from '../../protocol/vector.ts';
import { batchOf, cutBlocks, describeBlock, packBatch } from './block.ts';
import type { GroupContext } from './context.ts';
import type { BlockEntry, CommitEntry, LogEntry, PlacedBlock } from './entry.ts';
import type { Log } from './log.ts';
import { thoughMoving } from './moving.ts';
import type { StoreOp } from '../store.ts';
import { dropBlock, encodeFact, holeKey, knowsKey, positionKey, putBlock, seqValue } from '../tables.ts';
import { holeName, type Chain, type PlacedFact, type View } from './view.ts';

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
      heads.push({
        chain: head.chain,
        seq: hole.seq - 1,
        id: (await thoughMoving(() => entryAt(log, hole.position))).entry.prev,
      });
  }
  return heads;
}

/**
 * Puts bodies into their holes: the log's blocks, what their authors had seen, and what they say of members. Each is judged as when it
 * comes in the ordinary way; what is not as it should be stays a hole. The caller sweeps, and rebuilds the state, because every later
 * commit of those chains was applied without knowing it.
 */
export async function fillHoles(
  context: GroupContext,
  candidates: readonly CommitEntry[],
): Promise<{ ops: StoreOp[]; filled: number }> {
  const { view, log } = context;
  const ops: StoreOp[] = [];
  const blocks = new Map<number, { block: PlacedBlock; entries: BlockEntry[] }>();
  const learned: Learned[] = [];
  let filled = 0;
  for (const candidate of candidates) {
    const { seq, body } = candidate;
    const chain = view.chainById(candidate.chain.id)!;
    const hole = view.holes.get(holeName(chain.number, seq));
    if (!hole) continue;
    const { block, entries, entry } = await entryAt(log, hole.position);
    if (entry.kind !== 'erased' || !equal(entry.id, candidate.id) || !equal(entry.bodyHash, candidate.bodyHash))
      continue;
    const judged = await judge(context, entry, body, learned);
    if (judged === null) continue;
    learned.push(...judged.learned);
    if (judged.fact) {
      view.facts = [...view.facts, judged.fact].toSorted((a, b) => a.position - b.position);
      view.judge();
      view.sweep = true;
      ops.push({ table: 'facts', key: positionKey(view.number, hole.position), value: encodeFact(judged.fact) });
    }
    const open = blocks.get(block.last) ?? { block, entries: [...entries] };
    blocks.set(block.last, open);
    const { prev, signature } = entry;
    open.entries[hole.position - block.first] = { kind: 'commit', chain, seq, prev, signature, body };
    ops.push({ table: 'holes', key: holeKey(view.number, chain.number, seq), value: null });
    view.holes.delete(holeName(chain.number, seq));
    view.commits++;
    filled++;
  }
  for (const { chain, at, other, seq } of learned) {
    ops.push({ table: 'knows', key: knowsKey(view.number, chain.number, other, at), value: seqValue(seq) });
    await view.loadKnows(chain);
    if (chain.saw(other) < seq) chain.learn(at, other, seq);
    chain.learned.length = 0;
  }
  for (const { block, entries } of blocks.values()) ops.push(...replaceBlock(context, block, entries));
  return { ops, filled };
}

/** The author of `chain` had seen `other` up to `seq` at its own `at`. */
interface Learned {
  readonly chain: Chain;
  readonly at: number;
  readonly other: number;
  readonly seq: number;
}

/** null for a body that could not have been taken in at this place. `before` was learned from bodies that are being filled in with it. */
async function judge(
  { view, log }: GroupContext,
  { chain, seq, position }: LogEntry,
  bytes: Uint8Array,
  before: readonly Learned[],
): Promise<{ learned: Learned[]; fact: PlacedFact | null } | null> {
  try {
    const { time, deps, changes } = decodeBody(bytes);
    const learned: Learned[] = [];
    for (const dep of deps) {
      const other = view.chainById(dep.chain);
      const upTo = Math.min(dep.seq, view.forks.first(dep.chain) - 1);
      if (other === chain || (upTo > 0 && (!other || !(await log.hasBefore(position, other, upTo))))) return null;
      if (!other) continue;
      learned.push({ chain, at: seq, other: other.number, seq: dep.seq });
    }
    const membership = changesMembership(changes);
    const statements = membership ? readFacts(changes) : [];
    const past = new Map<number, number>();
    for (const number of view.judgingChains()) {
      await view.noteSeen(past, chain.number, seq, number);
      const told = [...before, ...learned].filter(
        (each) => each.chain === chain && each.other === number && each.at <= seq,
      );
      past.set(number, Math.max(past.get(number) ?? 0, ...told.map((each) => each.seq)));
    }
    const verdict = view.verdict(view.membership!, chain, seq, (other) => past.get(other) ?? 0, membership);
    if (verdict === 'unauthorized' || (verdict === 'void' && !membership)) return null;
    if (!membership) return { learned, fact: null };
    const pastFacts = [...past].filter(([other, seen]) => other !== chain.number && seen > 0);
    return { learned, fact: { position, chain: chain.number, seq, time, past: pastFacts, statements } };
  } catch (thrown) {
    if (thrown instanceof TidelogError && (thrown.code === 'bad-commit' || thrown.code === 'commit-too-large'))
      return null;
    throw thrown;
  }
}

/** The same entries in the place of a block; in several blocks where they have become too large for one. */
function replaceBlock({ view, codecs }: GroupContext, block: PlacedBlock, entries: readonly BlockEntry[]): StoreOp[] {
  const ops = dropBlock(view.number, block.last);
  view.blockBytes -= block.dataBytes;
  let position = block.first;
  // Cut where it must be only: inside a batch that came whole, nobody has verified the signatures.
  const fits = packBatch(codecs, batchOf(entries)).rawBytes <= BATCH_RAW_BYTES_MAX;
  for (const part of fits ? [entries] : cutBlocks(entries)) {
    const placed = part.map((entry) => ({ ...entry, position: position++ }));
    const packed = packBatch(codecs, batchOf(placed));
    const record = describeBlock(placed, packed, ({ body }) => decodeKnownBody(body));
    ops.push(...putBlock(view.number, position - 1, packed, record));
    view.blockBytes += packed.data.length;
  }
  return ops;
}

/**
 * The small blocks at the log's end, and their merging. Nobody waits for it: a few blocks at a time are read while a group is on its way to the
 * disk, and what replaces them goes along with the next group, in its transaction.
 *
 * In two steps, so that a commit is rewritten twice at the most: 32 blocks of fewer than 32 entries become one, and 16 of those become one that is
 * full. Where small and middling ones come by turns neither comes about, and all of them become one.
 */
import { BLOCK_ENTRIES_MAX, BLOCK_RAW_BYTES_TARGET } from '../../protocol/constants.ts';
import type { StoreOp } from '../store.ts';
import { dropBlock, putBlock } from '../tables.ts';
import { batchOf, packBatch } from './block.ts';
import type { GroupContext } from './context.ts';
import type { LogEntry, PlacedBlock, TailBlock } from './entry.ts';

/** Entries of a block that is small. */
const SMALL = 32;
/** Entries of one that is merged no more. */
const LARGE = BLOCK_ENTRIES_MAX / 2;
const SMALL_BLOCKS = 32;
const MIDDLING_BLOCKS = 16;
/** Of both, where they don't come one kind after the other. */
const BLOCKS_MAX = 64;
/** Read while one group is on its way: about 20 µs for a block of one commit, 100 for one of 32, and a flush takes 130. */
const BLOCKS_PER_GROUP = 6;
const ENTRIES_PER_GROUP = 32;

/** Blocks that go, and those that come in their place. */
export interface Merge {
  readonly ops: readonly StoreOp[];
  readonly bytesAdded: number;
  readonly first: TailBlock;
  readonly count: number;
  readonly merged: readonly TailBlock[];
}

interface Plan {
  readonly first: TailBlock;
  /** Blocks of the store, oldest first; those up to `read` are in `entries`. */
  readonly records: readonly PlacedBlock[];
  readonly entries: LogEntry[][];
}

export class Tail {
  readonly #context: GroupContext;
  /** Oldest first. */
  #blocks: TailBlock[] = [];
  #plan: Plan | null = null;
  #merge: Merge | null = null;
  /** Counts what makes a plan worthless. */
  #age = 0;

  constructor(context: GroupContext) {
    this.#context = context;
  }

  async load(): Promise<void> {
    const { view, log } = this.#context;
    const blocks = await log.blocksBack(view.head, 2 * BLOCKS_MAX);
    this.#blocks = [];
    for (const block of blocks) {
      if (!isBelow(block, LARGE)) break;
      this.#blocks.unshift(block);
    }
  }

  /** Blocks that are on the disk by now. */
  add(blocks: readonly TailBlock[]): void {
    this.#blocks.push(...blocks);
    const sealed = this.#blocks.findLastIndex((block) => !isBelow(block, LARGE));
    // What a plan is about may stand before a larger block; it is looked for again once that is done.
    if (this.#plan === null && this.#merge === null) this.#blocks.splice(0, sealed + 1);
  }

  /** What blocks hold has changed: what was read of them is worth nothing. */
  forget(): void {
    this.#age++;
    this.#plan = null;
    this.#merge = null;
  }

  /** To be written with the next group, if something is ready. */
  merge(): Merge | null {
    return this.#merge;
  }

  /** It was. */
  merged(merge: Merge): void {
    const from = this.#blocks.indexOf(merge.first);
    this.#blocks.splice(from, merge.count, ...merge.merged);
    this.#merge = null;
  }

  /** Goes on with the next merge. Never rejects: what can't be read now is tried again, and stays as it is. */
  async prepare(): Promise<void> {
    if (this.#merge !== null) return;
    const age = this.#age;
    try {
      const plan = (this.#plan ??= await this.#find());
      if (plan === null) return;
      const { records, entries } = plan;
      for (let i = 0, count = 0; i < BLOCKS_PER_GROUP && count < ENTRIES_PER_GROUP; i++) {
        const record = records[entries.length];
        if (!record) break;
        const read = await this.#context.log.entries(record);
        entries.push(read);
        count += read.length;
      }
      if (entries.length < records.length || age !== this.#age) return;
      this.#merge = this.#make(plan);
      this.#plan = null;
    } catch {
      this.#plan = null;
    }
  }

  async #find(): Promise<Plan | null> {
    const range = this.#due();
    if (range === null) return null;
    const [from, to] = range;
    const first = this.#blocks[from]!;
    return { first, records: await this.#context.log.blocksAfter(first.first - 1, to - from), entries: [] };
  }

  /** Which of the blocks become one: first index, and the one after the last. */
  #due(): readonly [from: number, to: number] | null {
    const blocks = this.#blocks;
    const small = blocks.findLastIndex((block) => !isBelow(block, SMALL)) + 1;
    if (blocks.length - small >= SMALL_BLOCKS) return [small, blocks.length];
    const from = blocks.findLastIndex((block) => !isBelow(block, LARGE)) + 1;
    const firstSmall = blocks.findIndex((block, i) => i >= from && isBelow(block, SMALL));
    const to = firstSmall < 0 ? blocks.length : firstSmall;
    if (to - from >= MIDDLING_BLOCKS) return [from, to];
    return blocks.length - from >= BLOCKS_MAX ? [from, blocks.length] : null;
  }

  #make({ first, records, entries }: Plan): Merge {
    const { view, log, codecs } = this.#context;
    const ops: StoreOp[] = records.flatMap(({ last }) => dropBlock(view.number, last));
    const merged: TailBlock[] = [];
    let bytesAdded = 0;
    for (const { dataBytes } of records) bytesAdded -= dataBytes;
    let read = 0;
    for (const together of joinBlocks(records)) {
      const part = entries.slice(read, (read += together.length)).flat();
      const packed = packBatch(codecs, batchOf(part));
      const position = { first: part[0]!.position, last: part.at(-1)!.position };
      ops.push(...putBlock(view.number, position.last, packed, log.describe(part, packed)));
      merged.push({ ...position, rawBytes: packed.rawBytes });
      bytesAdded += packed.data.length;
    }
    return { ops, bytesAdded, first, count: records.length, merged };
  }
}

/** Blocks that make one block, whole ones only: a block may end only where one ended before, and its last signatures were verified. */
function* joinBlocks(blocks: readonly PlacedBlock[]): Generator<PlacedBlock[]> {
  let together: PlacedBlock[] = [];
  let entries = 0;
  let rawBytes = 0;
  for (const block of blocks) {
    const count = block.last - block.first + 1;
    const isFull = entries + count > BLOCK_ENTRIES_MAX || rawBytes + block.rawBytes > BLOCK_RAW_BYTES_TARGET;
    if (together.length > 0 && isFull) {
      yield together;
      together = [];
      entries = 0;
      rawBytes = 0;
    }
    together.push(block);
    entries += count;
    rawBytes += block.rawBytes;
  }
  if (together.length > 0) yield together;
}

function isBelow({ first, last, rawBytes }: TailBlock, entries: number): boolean {
  return last - first + 1 < entries && rawBytes < BLOCK_RAW_BYTES_TARGET / 2;
}

/**
 * A copy of the log, block by block, while the log goes on: it ends where the log ended when it began. Each read begins at the store by position, so
 * nothing is held open between two of them, and whoever takes the blocks may take their time.
 */
import { equal, toHex } from '../../protocol/bytes.ts';
import { COMMIT_ID_BYTES, type CodecNumber } from '../../protocol/constants.ts';
import { CODEC } from '../../protocol/constants.ts';
import { TidelogError } from '../../protocol/errors.ts';
import type { OutgoingBatch } from '../../protocol/session.ts';
import { batchOf, packBatch } from './block.ts';
import type { BlockEntry } from './entry.ts';
import type { GroupContext } from './context.ts';
import { ofOneLog } from './moving.ts';

/** Where an earlier copy of the same log ended. */
export interface CopiedTo {
  readonly position: number;
  /** Of the entry there. */
  readonly id: Uint8Array;
}

/** What a copy comes to. */
export interface CopyEnd {
  readonly head: number;
  readonly digest: Uint8Array;
  readonly headId: Uint8Array;
  /** Positions of erased commits that nothing explains, ascending. */
  readonly holes: readonly number[];
}

const NOTHING: ReadonlyMap<string, number> = new Map();
const EVERY_CODEC: ReadonlySet<CodecNumber> = new Set(Object.values(CODEC));

type CopyContext = Pick<GroupContext, 'view' | 'log' | 'codecs'>;

/**
 * Throws `gap-refused` for a partial copy, `cursor-epoch`, `cursor-too-new` where an earlier copy's end isn't in this log, and `cursor-epoch` also where the log is
 * made anew in the middle: half of each would be no log at all.
 * `rewrites` counts what changed entries that stand in the log: a sweep, a hole that was filled.
 */
export async function* copyLog(
  { view, log, codecs }: CopyContext,
  after: CopiedTo | null,
  rewrites: () => number,
): AsyncGenerator<OutgoingBatch, CopyEnd> {
  if (view.filter !== null) throw new TidelogError('gap-refused', `${view.name} is held in part here`);
  const { epoch } = view;
  let at = after?.position ?? 0;
  if (after) await ofOneLog(view, epoch, () => checkEnd({ view, log, codecs }, after));
  const holes = new Set<number>();
  for (;;) {
    const before = rewrites();
    const head = view.storedHead;
    const digest = view.digest();
    noteHoles(head);
    while (at < head) {
      const batch = await ofOneLog(view, epoch, () => readTo(at, head));
      at = batch.last;
      yield batch;
    }
    noteHoles(head);
    // What a revocation erased in the middle of it is explained only where that stands, which is later: then it goes on to where the log is now.
    if (rewrites() !== before) continue;
    const headId = await ofOneLog(view, epoch, () => idAt({ view, log, codecs }, head));
    return { head, digest, headId, holes: [...holes].toSorted((a, b) => a - b) };
  }

  function noteHoles(head: number): void {
    for (const { position } of view.holes.values()) if (position <= head) holes.add(position);
  }

  async function readTo(from: number, end: number): Promise<OutgoingBatch> {
    const batch = await log.readFor(from, NOTHING, null, EVERY_CODEC);
    if (!batch) throw new TidelogError('data-damaged', `the log of ${view.name} ends at ${from} and not at ${end}`);
    if (batch.last <= end) return batch;
    // Merged with what came later. A block ended there once, so the signatures that then stood last were verified.
    const entries: BlockEntry[] = [];
    for await (const entry of log.after(from)) {
      if (entry.position > end) break;
      entries.push(entry);
    }
    return { last: end, ...packBatch(codecs, batchOf(entries)) };
  }
}

async function checkEnd(context: CopyContext, { position, id }: CopiedTo): Promise<void> {
  const { epoch, storedHead: head } = context.view;
  const detail = { epoch: toHex(epoch), floor: 0, head };
  if (position > head) throw new TidelogError('cursor-too-new', `${position}, and the log ends at ${head}`, detail);
  if (!equal(await idAt(context, position), id))
    throw new TidelogError('cursor-epoch', `another entry stands at ${position}`, detail);
}

/** Of the entry at a position; zeros for 0. */
async function idAt({ log }: CopyContext, position: number): Promise<Uint8Array> {
  if (position === 0) return new Uint8Array(COMMIT_ID_BYTES);
  for await (const entry of log.after(position - 1)) return entry.id;
  throw new TidelogError('data-damaged', `the log has no entry at ${position}`);
}

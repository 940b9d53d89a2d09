/**
 * Takes out what a revocation made void: in the log each such commit is left erased, its hash in the place of its body, and every
 * subject that it touched becomes what it would be had it never counted. Runs alone in the writer, in one transaction, and may be run again.
 */
import type { Body } from '../../protocol/body.ts';
import { decodeKnownBody, eraseBody } from '../../protocol/body.ts';
import { changesMembership, isReserved, type Membership } from '../../protocol/membership.ts';
import { batchOf, packBatch } from './block.ts';
import type { GroupContext } from './context.ts';
import type { BlockEntry, LogEntry, PlacedBlock } from './entry.ts';
import { StateDraft } from './state.ts';
import type { StoreOp } from '../store.ts';
import { encodeSpace, holeKey, keyHole, putBlock, seqValue } from '../tables.ts';
import { holeName, scanSpace, type Chain, type View } from './view.ts';

/** Resolves with how many commits were erased. */
export async function sweep(context: GroupContext): Promise<number> {
  const { view, log, codecs, store, crypto, turn } = context;
  const { membership } = view;
  if (membership === null) return 0;
  const judge = new Judge(view, membership);
  const ops: StoreOp[] = [];
  const voided = new Set<string>();
  const subjects = new Set<string>();

  for await (const block of allBlocks(context)) {
    if (!judge.mayHoldVoid(block)) continue;
    let changed = false;
    const entries: BlockEntry[] = [];
    // As long as it takes: a store that answers at once would leave nobody else a turn.
    await turn();
    for (const entry of await log.entries(block)) {
      if (entry.kind === 'erased' && view.filter === null && !(await judge.isVoidAt(entry.chain, entry.seq))) {
        // The revocation that erased it has become void itself: it is asked for elsewhere.
        const { position, seq } = entry;
        const chain = entry.chain.number;
        ops.push({ table: 'holes', key: holeKey(view.number, chain, seq), value: seqValue(position) });
        view.holes.set(holeName(chain, seq), { chain, seq, position });
      }
      const body = entry.kind === 'commit' ? decodeKnownBody(entry.body) : null;
      if (entry.kind !== 'commit' || body === null || !(await judge.isVoid(entry, body))) {
        entries.push(entry);
        continue;
      }
      changed = true;
      voided.add(placeOf(entry.chain, entry.seq));
      for (const { subject } of body.changes) if (view.keeps(subject)) subjects.add(subject);
      entries.push({
        kind: 'erased',
        chain: entry.chain,
        seq: entry.seq,
        prev: entry.prev,
        signature: entry.signature,
        ...eraseBody(crypto, entry.body),
      });
    }
    if (!changed) continue;
    const packed = packBatch(codecs, batchOf(entries));
    // The filter over its subjects still names those that are gone: that costs a look, and no more.
    const record = { ...block, rawBytes: packed.rawBytes, dataBytes: packed.data.length };
    ops.push(...putBlock(view.number, block.last, packed, record));
    view.blockBytes += packed.data.length - block.dataBytes;
  }

  // Commits on `~` keep their bodies and may count or not by the new judgment: their subjects are few, so all are made anew.
  for await (const subject of reservedSubjects(context)) subjects.add(subject);

  const state = new StateDraft(store, view);
  await state.load(subjects);
  const isVoided = (chain: Chain, seq: number): boolean => voided.has(placeOf(chain, seq));
  for await (const [subject, resource] of log.replayEach(subjects, isVoided)) state.replace(subject, resource);
  ops.push(...state.ops());

  for await (const [key] of scanSpace(store, 'holes', view.number)) {
    const { chain: number, seq } = keyHole(key);
    const chain = view.chains[number]!;
    if (!(await judge.isVoidAt(chain, seq))) continue;
    ops.push({ table: 'holes', key, value: null });
    view.holes.delete(holeName(number, seq));
  }
  view.commits -= voided.size;
  ops.push({ table: 'spaces', key: view.recordKey, value: encodeSpace({ ...view.record(), sweep: false }) });
  await store.write(ops);
  // Not before: until then the disk shows what is void.
  view.sweep = false;
  return voided.size;
}

async function* allBlocks({ log }: GroupContext): AsyncGenerator<PlacedBlock> {
  for (let after = 0; ;) {
    const blocks = await log.blocksAfter(after, 1000);
    if (blocks.length === 0) return;
    yield* blocks;
    after = blocks.at(-1)!.last;
  }
}

/** Of all commits on `~`: a subject that none of them counted for has no row. */
async function* reservedSubjects({ view, log, turn }: GroupContext): AsyncGenerator<string> {
  let looked = 0;
  for (const { position } of view.facts) {
    if (position <= looked) continue;
    const [block] = await log.blocksAfter(position - 1, 1);
    if (!block) return;
    await turn();
    for (const entry of await log.entries(block)) {
      if (entry.kind !== 'commit') continue;
      for (const { subject } of decodeKnownBody(entry.body).changes) if (isReserved(subject)) yield subject;
    }
    looked = block.last;
  }
}

function placeOf(chain: Chain, seq: number): string {
  return `${chain.number} ${seq}`;
}

class Judge {
  readonly #view: View;
  readonly #membership: Membership;
  /** Chain number → last seq that counts, of chains that go on past it. */
  readonly #cuts = new Map<number, number>();
  /** A grant is void: then any chain may hold commits that it allowed. Or a revocation is: then any may lack commits that it erased. */
  readonly #everything: boolean;
  readonly #asked: ReadonlySet<number>;

  constructor(view: View, membership: Membership) {
    this.#view = view;
    this.#membership = membership;
    this.#asked = view.judgingChains();
    for (const chain of view.chains) {
      const cut = membership.lastCounting(chain.deviceHex, chain.hex);
      if (chain.seq > cut) this.#cuts.set(chain.number, cut);
    }
    this.#everything = view.facts.some((fact) => {
      const { deviceHex, hex } = view.chains[fact.chain]!;
      return (
        fact.statements.some(({ role, revoked }) => role !== null || revoked !== null) &&
        fact.seq > membership.lastCounting(deviceHex, hex)
      );
    });
  }

  mayHoldVoid({ ranges }: PlacedBlock): boolean {
    return (
      this.#everything || ranges.some(({ chain, last }) => last > (this.#cuts.get(chain) ?? Number.POSITIVE_INFINITY))
    );
  }

  /** Is it to be erased? Never a commit on `~`. */
  async isVoid({ chain, seq }: LogEntry, { changes }: Body): Promise<boolean> {
    return !changesMembership(changes) && this.isVoidAt(chain, seq);
  }

  /** The same for a place of which the changes aren't known. */
  async isVoidAt(chain: Chain, seq: number): Promise<boolean> {
    if (seq > (this.#cuts.get(chain.number) ?? Number.POSITIVE_INFINITY)) return true;
    if (!this.#everything) return false;
    return this.#view.verdict(this.#membership, chain, seq, await this.#pastOf(chain, seq), false) !== 'counts';
  }

  /** What the author had seen, as far as a verdict asks. */
  async #pastOf(chain: Chain, seq: number): Promise<(other: number) => number> {
    const seen = new Map<number, number>();
    for (const number of this.#asked) await this.#view.noteSeen(seen, chain.number, seq, number);
    return (other) => seen.get(other) ?? 0;
  }
}

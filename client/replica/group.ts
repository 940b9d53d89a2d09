/**
 * A group of writes that go to disk in one transaction: log, chain heads, what chains know, members, state and cursors move together,
 * so that there is nothing to repair after a crash.
 */
import { checkSignature, type AuthenticBatch, type AuthenticEntry } from '../../protocol/authenticate.ts';
import type { Change } from '../../protocol/body.ts';
import { toHex } from '../../protocol/bytes.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { changesMembership } from '../../protocol/membership.ts';
import { encodeResource } from '../../protocol/merge.ts';
import { admitBatch, admitOwn, type Admission } from './admit.ts';
import { admitPlain, type PlainAdmission } from './admit-plain.ts';
import { batchOf, cutBlocks, describeBlock, entryBytes, packBatch } from './block.ts';
import { makeBloom } from './bloom.ts';
import type { GroupContext } from './context.ts';
import type { Admitted, AdmittedCommit, CommitEntry, LogEntry, PlacedBlock, TailBlock } from './entry.ts';
import { asAuthentic } from './forks.ts';
import type { Incoming, ReadBatch } from './incoming.ts';
import { etagOf, pastOf, pastOfPlain, StateDraft, type PastCommit } from './state.ts';
import type { StoreOp } from '../store.ts';
import {
  chainKey,
  decodeCursor,
  deviceKey,
  encodeChain,
  encodeCursor,
  encodeFact,
  encodeSpace,
  holeKey,
  knowsKey,
  positionKey,
  putBlock,
  seqValue,
  type BlockData,
  type BlockRecord,
  type CursorRecord,
} from '../tables.ts';
import type { Chain } from './view.ts';

/** A condition on a write: the subject's etag, or that it doesn't exist. */
export interface Condition {
  readonly subject: string;
  /** null: there must be nothing. '*': there must be something. */
  readonly etag: string | null;
}

/** A fault after a job was admitted: what is in memory is half of it, so nothing of the group can be written. `cause` says what it was. */
export class BrokenGroup extends Error {
  constructor(cause: unknown) {
    super('a group of writes is broken', { cause });
  }
}

/** Nothing of it was known, and nothing of it is void. */
function isAsItCame({ entries }: Admission, batch: AuthenticBatch): boolean {
  return (
    entries.length === batch.entries.length && entries.every((admitted, i) => admitted.kind === batch.entries[i]!.kind)
  );
}

const NONE: PlainAdmission['others'] = new Map();
/** Live commits, not a bulk. */
const NEWEST_BYTES_MAX = 4096;

export class Group {
  readonly #context: GroupContext;
  readonly #state: StateDraft;
  readonly #ops: StoreOp[] = [];
  /** By device, hex. */
  readonly #cursors = new Map<string, { readonly device: Uint8Array; readonly record: CursorRecord }>();
  /** Entries that no block holds yet. */
  #loose: Admitted[] = [];
  readonly #touchedChains = new Set<Chain>();
  /** In the order of the log: what was admitted entry by entry, and what went the short way. */
  readonly #parts: (readonly Admitted[] | PlainAdmission)[] = [];
  /** Position of its first entry. */
  #firstPosition = Number.POSITIVE_INFINITY;
  /** New entries. */
  added = 0;
  /** Does it change the space itself? */
  changesMembership = false;
  /** Blocks that it makes. */
  readonly blocks: TailBlock[] = [];
  /** The last of them, whole, where it is small. */
  #newest: { readonly block: PlacedBlock; readonly data: BlockData } | null = null;
  readonly fromTheFuture: Admission['fromTheFuture'][number][] = [];
  /** Bodies for holes in the log. */
  readonly fills: CommitEntry[] = [];
  /** Commits of our own among them. */
  written = 0;
  /** Bytes of entries, for limits. */
  bytes = 0;

  constructor(context: GroupContext) {
    this.#context = context;
    const { store, view } = context;
    this.#state = new StateDraft(store, view);
  }

  /** One commit of our own. Throws what `admitOwn` throws, and `precondition-failed`; then nothing has changed. */
  async addOwn(changes: readonly Change[], conditions: readonly Condition[]): Promise<Admitted> {
    const { view, crypto, random, keys } = this.#context;
    await this.#check(conditions);
    if (view.ownChain) await view.loadKnows(view.ownChain);
    const admission = admitOwn(view, crypto, random, keys, changes, this.#context.nowUs());
    await this.#takeOwn(admission);
    this.#loose.push(...admission.entries);
    this.written++;
    return admission.entries[0]!;
  }

  /**
   * What is new in a batch. `block` is the batch as it came, and is stored as it is if all of it is new.
   * Throws what `admitBatch` throws; then nothing has changed.
   */
  async addBatch(incoming: Incoming, block: BlockData): Promise<Pick<Admission, 'duplicates'> & { added: number }> {
    const { short } = incoming;
    // Read for a mirror, and the device is none any more: the state needs the records.
    if (short && (this.#context.view.logOnly || short.plain.recordAt.length === short.plain.subjectAt.length)) {
      await this.#loadKnows(short.plain.chains);
      const admission = admitPlain(this.#context.view, this.#context.crypto, short.plain, this.#context.nowUs());
      if (admission) {
        await this.#takePlain(admission, short, block);
        return { added: short.plain.count, duplicates: 0 };
      }
    }
    const { entries, duplicates } = await this.#addEntries(incoming.entries(), block);
    return { added: entries.length, duplicates };
  }

  async #loadKnows(chains: Iterable<{ readonly id: Uint8Array }>): Promise<void> {
    const { view } = this.#context;
    for (const { id } of chains) {
      const chain = view.chainById(id);
      if (chain && chain.knows === null) await view.loadKnows(chain);
    }
  }

  async #takePlain(admission: PlainAdmission, { plain, subjects }: ReadBatch, block: BlockData): Promise<void> {
    const { view } = this.#context;
    const { first, last, chains } = admission;
    this.#note(first, plain.count, admission);
    for (const chain of chains) this.#touchedChains.add(chain);
    this.bytes += plain.raw.length + plain.records.length;
    this.fromTheFuture.push(...admission.fromTheFuture);
    await this.#applyPlain(admission);
    this.#sealLoose();
    const ranges = chains.map(({ number }, i) => ({
      chain: number,
      first: plain.chains[i]!.seqBefore + 1,
      last: plain.chains[i]!.seqLast,
    }));
    const names =
      subjects ??
      makeBloom(pastOfPlain(view, admission).flatMap(({ changes }) => changes.map(({ subject }) => subject)));
    const { rawBytes, data } = block;
    this.#putBlock(last, block, { first, rawBytes, dataBytes: data.length, hasGaps: false, ranges, subjects: names });
    if (chains.includes(view.ownChain!)) view.ownChain = null;
  }

  #note(first: number, count: number, part: readonly Admitted[] | PlainAdmission): void {
    this.#firstPosition = Math.min(this.#firstPosition, first);
    this.added += count;
    this.#parts.push(part);
  }

  /** Its commits so far, in the order of the log. */
  #pasts(): PastCommit[] {
    const { view } = this.#context;
    return this.#parts.flatMap((part) =>
      'batch' in part
        ? pastOfPlain(view, part)
        : part.flatMap((entry) => (entry.kind === 'commit' && entry.counts ? [pastOf(view, entry)] : [])),
    );
  }

  /** Is a subject among those that it changed? */
  touches(subject: string): boolean {
    return this.#state.touches(subject);
  }

  touchesAny(prefix: string): boolean {
    return this.#state.touchesAny(prefix);
  }

  async #addEntries(batch: AuthenticBatch, block: BlockData): Promise<Admission> {
    const { view, crypto } = this.#context;
    await this.#loadKnows(batch.chains);
    const admission = admitBatch(view, crypto, batch, this.#context.nowUs());
    await this.#take(admission);
    if (admission.entries.length > 0) {
      this.#sealLoose();
      // What came together stays together: a block that ended inside a batch would end a run whose last signature nobody verified.
      this.#addBlock(
        admission.entries,
        isAsItCame(admission, batch) ? block : packBatch(this.#context.codecs, batchOf(admission.entries)),
      );
    }
    this.#noticeOwnChain(admission);
    return admission;
  }

  /**
   * Entries that stood together in a log which is made anew (repair.ts), with the block that they were, if they were all of it. Those that can't stand any
   * more, each with the error code that says why.
   */
  async addStanding(standing: readonly LogEntry[], block: BlockData | null): Promise<Map<LogEntry, string>> {
    const refused = new Map<LogEntry, string>();
    if (standing.length === 0) return refused;
    const entries = standing.map(asAuthentic);
    const { view, crypto, codecs, nowUs } = this.#context;
    const chains = [...new Map(entries.map(({ chain }) => [toHex(chain.id), chain])).values()];
    await this.#loadKnows(chains);
    const admitted: Admitted[] = [];
    const admit = async (some: readonly AuthenticEntry[], of: AuthenticBatch['chains']): Promise<void> => {
      const admission = admitBatch(view, crypto, { chains: of, entries: some }, nowUs());
      await this.#take(admission);
      admitted.push(...admission.entries);
    };
    try {
      if (block) await admit(entries, chains);
    } catch (thrown) {
      if (!(thrown instanceof TidelogError)) throw thrown;
    }
    const isWhole = admitted.length > 0;
    for (const [i, entry] of isWhole ? [] : entries.entries()) {
      try {
        // Where its run now ends nobody has verified a signature.
        checkSignature(crypto, view.space, entry);
        await admit([entry], [entry.chain]);
      } catch (thrown) {
        if (!(thrown instanceof TidelogError)) throw thrown;
        refused.set(standing[i]!, thrown.code);
      }
    }
    if (admitted.length === 0) return refused;
    const isAsItWas = isWhole && admitted.every(({ kind }, i) => kind === entries[i]!.kind);
    this.#addBlock(admitted, isAsItWas ? block! : packBatch(codecs, batchOf(admitted)));
    return refused;
  }

  /** Rows that go along. */
  also(ops: readonly StoreOp[]): void {
    for (const op of ops) this.#ops.push(op);
  }

  /** Where we are in another device's log, as this group leaves it so far; null where nothing was noted. */
  async cursor(device: Uint8Array): Promise<CursorRecord | null> {
    const { store, view } = this.#context;
    const moved = this.#cursors.get(toHex(device));
    if (moved) return moved.record;
    const bytes = await store.get('cursors', deviceKey(view.number, device));
    return bytes ? decodeCursor(bytes) : null;
  }

  /** Moves it, together with what was read there. */
  setCursor(device: Uint8Array, record: CursorRecord): void {
    this.#cursors.set(toHex(device), { device, record });
  }

  async #check(conditions: readonly Condition[]): Promise<void> {
    if (conditions.length === 0) return;
    await this.#state.load(conditions.map(({ subject }) => subject));
    for (const { subject, etag } of conditions) {
      const resource = this.#state.get(subject);
      const is = resource.size === 0 ? null : etagOf(this.#context.crypto, encodeResource(resource));
      if (etag === '*' ? is === null : is !== etag) {
        throw new TidelogError('precondition-failed', `${subject} is at ${is ?? 'nothing'}`, { subject, etag: is });
      }
    }
  }

  async #takeOwn(admission: Admission): Promise<void> {
    const entry = admission.entries[0]!;
    if (entry.kind !== 'commit' || entry.plain === null) {
      await this.#take(admission);
      return;
    }
    this.#noteEntries(admission.entries);
    const { position, chain, seq, plain } = entry;
    const seqs = Float64Array.of(seq);
    const chains = [chain];
    await this.#applyPlain({
      batch: plain,
      first: position,
      last: position,
      chains,
      seqs,
      others: NONE,
      fromTheFuture: [],
    });
  }

  async #applyPlain(admission: PlainAdmission): Promise<void> {
    const { log } = this.#context;
    try {
      await this.#state.applyPlain(admission, (subject) => log.replay(subject, this.#pasts()));
    } catch (thrown) {
      throw new BrokenGroup(thrown);
    }
  }

  #noteEntries(entries: readonly Admitted[]): void {
    const first = entries[0];
    if (first) this.#note(first.position, entries.length, entries);
    for (const entry of entries) {
      this.#touchedChains.add(entry.chain);
      this.bytes += entryBytes(entry);
    }
  }

  async #take(admission: Admission): Promise<void> {
    this.#noteEntries(admission.entries);
    this.fromTheFuture.push(...admission.fromTheFuture);
    this.fills.push(...admission.fills);
    const { view, log } = this.#context;
    if (admission.cutsChanged) view.sweep = true;
    if (admission.isLate) {
      // What had seen it was merged and judged as if it had not. Written with the group, so that a crash leaves nothing so.
      view.rebuild = true;
      view.sweep ||= view.hasRevocations;
    }
    this.changesMembership ||= admission.entries.some(
      (entry) => entry.kind === 'commit' && changesMembership(entry.parsed().changes),
    );
    const counting = admission.entries.filter((entry) => entry.kind === 'commit' && entry.counts) as AdmittedCommit[];
    const commits = counting.map((commit) => pastOf(view, commit));
    try {
      await this.#state.apply(commits, (subject) => log.replay(subject, this.#pasts()));
    } catch (thrown) {
      throw new BrokenGroup(thrown);
    }
  }

  /**
   * Commits of our own chain that somebody else brings are from a past that this store has lost: it was rolled back or copied. The
   * next commit of ours begins a new chain, so that no seq is ever used twice.
   */
  #noticeOwnChain({ entries }: Admission): void {
    const { view } = this.#context;
    if (entries.some(({ chain }) => chain === view.ownChain)) view.ownChain = null;
  }

  #sealLoose(): void {
    const loose = this.#loose;
    this.#loose = [];
    for (const entries of cutBlocks(loose)) this.#addBlock(entries, packBatch(this.#context.codecs, batchOf(entries)));
  }

  #addBlock(entries: readonly Admitted[], block: BlockData): void {
    const last = entries.at(-1)!.position;
    this.#putBlock(
      last,
      block,
      describeBlock(entries, block, ({ parsed }) => parsed()),
    );
  }

  #putBlock(last: number, block: BlockData, record: BlockRecord): void {
    const { view } = this.#context;
    this.#ops.push(...putBlock(view.number, last, block, record));
    view.blockBytes += block.data.length;
    this.blocks.push({ first: record.first, last, rawBytes: block.rawBytes });
    // With bytes of its own, and not the message that it may have come as, whose positions are those of another log.
    const { codec, rawBytes, data } = block;
    const isLive = data.length <= NEWEST_BYTES_MAX;
    this.#newest = isLive ? { block: { ...record, last }, data: { codec, rawBytes, data: data.slice() } } : null;
  }

  /** Everything to write, once. */
  finish(): StoreOp[] {
    const { view } = this.#context;
    this.#sealLoose();
    const ops = this.#ops;
    // Not by spreading: a call takes so many arguments and no more.
    for (const op of this.#state.ops()) ops.push(op);
    for (const { device, record } of this.#cursors.values()) {
      ops.push({ table: 'cursors', key: deviceKey(view.number, device), value: encodeCursor(record) });
    }
    for (const chain of this.#touchedChains) {
      ops.push({ table: 'chains', key: chainKey(view.number, chain.number), value: encodeChain(chain.record()) });
      for (const { at, other, seq } of chain.learned) {
        ops.push({ table: 'knows', key: knowsKey(view.number, chain.number, other, at), value: seqValue(seq) });
      }
    }
    for (const fact of view.facts) {
      if (fact.position >= this.#firstPosition)
        ops.push({ table: 'facts', key: positionKey(view.number, fact.position), value: encodeFact(fact) });
    }
    for (const part of this.#parts) {
      if ('batch' in part) continue;
      for (const entry of part) {
        if (entry.kind === 'erased' && !entry.isExplained) {
          ops.push({
            table: 'holes',
            key: holeKey(view.number, entry.chain.number, entry.seq),
            value: seqValue(entry.position),
          });
        }
      }
    }
    ops.push({ table: 'spaces', key: view.recordKey, value: encodeSpace(view.record()) });
    return ops;
  }

  /** The write is on disk. */
  settle(): void {
    const { view, log } = this.#context;
    view.settle(this.#touchedChains);
    // Without blocks a cursor was noted, and the head is where it was.
    if (this.blocks.length > 0) log.noteNewest(this.#newest);
  }
}

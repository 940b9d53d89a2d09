/**
 * Reading the log: blocks by cursor, the entries in them, and what a follower is to be sent. Live tail and catch-up are the same
 * code: a follower is a cursor over the log, and every read begins at the store.
 */
import { linkKnown } from '../../protocol/authenticate.ts';
import { decodeKnownBody, decodeStem, eraseBody, type Body } from '../../protocol/body.ts';
import type { Codec } from '../../protocol/codec.ts';
import { ChainHasher, chainId } from '../../protocol/commit.ts';
import {
  BATCH_RAW_BYTES_MAX,
  BLOCK_ENTRIES_MAX,
  BLOCK_RAW_BYTES_TARGET,
  type CodecNumber,
} from '../../protocol/constants.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { verifyWithCheckedKey } from '../../protocol/ed25519.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { changesMembership, type Membership } from '../../protocol/membership.ts';
import type { Author, Resource } from '../../protocol/merge.ts';
import type { Filter } from '../../protocol/messages.ts';
import type { OutgoingBatch } from '../../protocol/session.ts';
import { batchOf, describeBlock, packBatch, readBlock, repack } from './block.ts';
import { bloomMayHold } from './bloom.ts';
import type { BlockEntry, LogEntry, PlacedBlock } from './entry.ts';
import { BlockMoved, isStillNumber, thoughMoving } from './moving.ts';
import { replayResource, type PastCommit } from './state.ts';
import type { Store, StoreEntry } from '../store.ts';
import {
  decodeBlock,
  decodeBlockRecord,
  keyPosition,
  positionKey,
  type BlockData,
  type BlockRecord,
} from '../tables.ts';
import { matchesFilter, type Chain, type View } from './view.ts';

/** What a follower has from elsewhere: the highest seq of a chain (by hex id). */
export type Known = ReadonlyMap<string, number>;

interface StoredCommit {
  readonly chain: Chain;
  readonly seq: number;
  readonly body: Body;
}

/** How many block records one read looks at before it lets others run. */
const RECORDS_PER_READ = 256;
/** Blocks smaller than this are sent together. */
const SMALL_BLOCK_ENTRIES = 64;
/** Blocks that are unpacked in a row, at one or two ms each, before others run. */
const BLOCKS_PER_TURN = 8;
/** Subjects that are replayed by one walk over the log. Their histories are in memory together. */
const SUBJECTS_PER_WALK = 1000;

export class Log {
  readonly #crypto: Crypto;
  readonly #store: Store;
  readonly #codecs: readonly Codec[];
  readonly #view: View;
  /** Lets others run. */
  readonly #turn: () => Promise<void>;
  /** The block at the head, while the store needn't be asked for it: every live follower wants it at once. */
  #newest: { readonly block: PlacedBlock; readonly data: BlockData } | null = null;
  /** The last batch that was joined of several blocks. */
  #joined: { readonly name: string; readonly membership: Membership | null; readonly block: BlockData } | null = null;

  constructor(crypto: Crypto, store: Store, codecs: readonly Codec[], view: View, turn: () => Promise<void>) {
    this.#turn = turn;
    this.#crypto = crypto;
    this.#store = store;
    this.#codecs = codecs;
    this.#view = view;
  }

  /** Records of the blocks that hold entries after a cursor, in order. Not of those that aren't flushed: others must not have what a power cut can take from us. */
  async blocksAfter(after: number, limit: number): Promise<PlacedBlock[]> {
    const { number, storedHead } = this.#view;
    if (after >= storedHead) return [];
    const newest = this.#newest?.block;
    if (newest && newest.last === storedHead && after >= newest.first - 1) return [newest];
    const range = { gt: positionKey(number, after), lte: positionKey(number, storedHead), limit };
    const found = this.#store.scan('blockIndex', range);
    const blocks = (found instanceof Promise ? await found : found).map(placed);
    const { shared } = this.#store;
    // Also in a tab that leads: it may have begun to, or have read what it lacked, since the scan began.
    if (shared && blocks.length < limit && blocks.at(-1)?.last !== storedHead && number === this.#view.number) {
      // Another has merged the last of them with what it wrote after what is known here: they aren't among those that end below.
      await shared.catchUp();
      // Where nothing was written, it isn't that: the end of the log is missing on the disk, and would be the next time.
      if (this.#view.number === number && this.#view.storedHead === storedHead) return blocks;
      return this.blocksAfter(after, limit);
    }
    return blocks;
  }

  /** The last blocks that end at or before a position, newest first. */
  async blocksBack(from: number, limit: number): Promise<PlacedBlock[]> {
    const { number } = this.#view;
    const range = { gte: positionKey(number, 0), lte: positionKey(number, from), reverse: true, limit };
    return (await this.#store.scan('blockIndex', range)).map(placed);
  }

  /** Takes the last block of a write that is on the disk; null where what blocks hold may have changed. */
  noteNewest(newest: { readonly block: PlacedBlock; readonly data: BlockData } | null): void {
    this.#newest = newest;
  }

  /** Throws `BlockMoved` where the record isn't true any more; it is to be read again. */
  async data(block: PlacedBlock): Promise<BlockData> {
    if (block === this.#newest?.block) return this.#newest.data;
    const { number } = this.#view;
    const key = positionKey(number, block.last);
    const bytes = await this.#store.get('blocks', key);
    const data = bytes && decodeBlock(bytes);
    if (data?.rawBytes === block.rawBytes && data.data.length === block.dataBytes) return data;
    const record = await this.#store.get('blockIndex', key);
    const now = record && decodeBlockRecord(record);
    if (now?.rawBytes !== block.rawBytes || now.dataBytes !== block.dataBytes) throw new BlockMoved(block.last);
    // Made anew: its data goes before its record does.
    if (!(await isStillNumber(this.#store, this.#view, number))) throw new BlockMoved(block.last);
    throw new TidelogError('data-damaged', `the block that ends at ${block.last} is not there`);
  }

  /** Throws `BlockMoved` as `data` does, and where the log was made anew meanwhile: it may not know the chains any more. */
  async entries(block: PlacedBlock): Promise<LogEntry[]> {
    const { number } = this.#view;
    const data = await this.data(block);
    if (number !== this.#view.number) throw new BlockMoved(block.last);
    const { chains, entries } = this.#link(block, data);
    const seqs = new Map(chains.map((chain) => [chain, chain.seqBefore]));
    const ours = new Map(chains.map((chain) => [chain, this.#chain(chain.device, chain.nonce)]));
    return entries.map((entry, i): LogEntry => {
      const seqBefore = seqs.get(entry.chain)!;
      seqs.set(entry.chain, entry.seq);
      const place = {
        position: block.first + i,
        chain: ours.get(entry.chain)!,
        seq: entry.seq,
        prev: entry.prev,
        id: entry.id,
      };
      switch (entry.kind) {
        case 'commit':
          return { ...place, kind: 'commit', signature: entry.signature, bodyHash: entry.bodyHash, body: entry.body };
        case 'erased':
          return {
            ...place,
            kind: 'erased',
            signature: entry.signature,
            bodyHash: entry.bodyHash,
            stem: entry.stem,
            changesHash: entry.changesHash,
          };
        case 'gap':
          return { ...place, kind: 'gap', seqBefore };
      }
    });
  }

  /** What is wrong with it now was not when it was stored. */
  #link(block: PlacedBlock, data: BlockData): ReturnType<typeof linkKnown> {
    try {
      return linkKnown(this.#crypto, this.#view.space, readBlock(this.#codecs, data));
    } catch (cause) {
      throw new TidelogError('data-damaged', `the block that ends at ${block.last} cannot be read`, {}, { cause });
    }
  }

  /** The record of a block made of entries that are in the log. */
  describe(entries: readonly LogEntry[], block: BlockData): BlockRecord {
    return describeBlock(entries, block, ({ body }) => decodeKnownBody(body));
  }

  #chain(device: Uint8Array, nonce: Uint8Array): Chain {
    const chain = this.#view.chainById(chainId(this.#crypto, { space: this.#view.space, device, nonce }));
    if (!chain) throw new TidelogError('data-damaged', 'a block names a chain that the store does not know');
    return chain;
  }

  /** null where the block was merged or swept since its record was read. */
  async entriesUnlessMoved(block: PlacedBlock): Promise<LogEntry[] | null> {
    try {
      return await this.entries(block);
    } catch (thrown) {
      if (thrown instanceof BlockMoved) return null;
      throw thrown;
    }
  }

  /** All entries after a cursor. A block that is merged with its neighbours meanwhile is found again by position. */
  async *after(cursor: number, wanted: (block: PlacedBlock) => boolean = () => true): AsyncGenerator<LogEntry> {
    let unpacked = 0;
    for (let at = cursor; ;) {
      const blocks = await this.blocksAfter(at, RECORDS_PER_READ);
      if (blocks.length === 0) return;
      if (blocks.length === RECORDS_PER_READ) await this.#turn();
      for (const block of blocks) {
        if (block.last <= at) continue;
        if (wanted(block)) {
          // A store that answers at once leaves nobody else a turn.
          if (++unpacked % BLOCKS_PER_TURN === 0) await this.#turn();
          const entries = await this.entriesUnlessMoved(block);
          if (entries === null) break;
          for (const entry of entries) if (entry.position > at) yield entry;
        }
        at = block.last;
      }
    }
  }

  /** The block that holds a chain's entry at a seq. Looks back block by block. */
  async blockOf(chain: Chain, seq: number): Promise<PlacedBlock | null> {
    for (let from = this.#view.storedHead; from > 0;) {
      const blocks = await this.blocksBack(from, RECORDS_PER_READ);
      for (const block of blocks) {
        const range = block.ranges.find(({ chain: number }) => number === chain.number);
        if (range && range.first <= seq && seq <= range.last) return block;
      }
      if (blocks.length === 0) return null;
      from = blocks.at(-1)!.first - 1;
    }
    return null;
  }

  /** The entry of a chain at a seq; null where the log has none, or only a gap. */
  async entryAt(chain: Chain, seq: number): Promise<LogEntry | null> {
    const block = await this.blockOf(chain, seq);
    if (!block) return null;
    return (
      (await this.entries(block)).find((entry) => entry.chain.number === chain.number && entry.seq === seq) ?? null
    );
  }

  /** Does an entry stand in the log before a position? Or a gap that skips over it. Looks back block by block. */
  async hasBefore(position: number, chain: Chain, seq: number): Promise<boolean> {
    const [own] = await this.blocksAfter(position - 1, 1);
    for (let from = own?.last ?? 0; from > 0;) {
      const blocks = await this.blocksBack(from, RECORDS_PER_READ);
      for (const block of blocks) {
        const range = block.ranges.find(({ chain: number }) => number === chain.number);
        if (range && range.last >= seq) {
          if (block.last < position) return true;
          const entries = await this.entries(block);
          if (entries.some((entry) => entry.position < position && entry.chain === chain && entry.seq >= seq))
            return true;
        }
      }
      if (blocks.length === 0) return false;
      from = blocks.at(-1)!.first - 1;
    }
    return false;
  }

  // ---- for followers

  /** Where a peer that has these heads must begin to read: the last position before which it lacks nothing. */
  async positionOf(known: Known): Promise<number> {
    /** Chains of which the peer lacks something, down to the seq that it has. */
    const lacking = new Map<number, number>();
    for (const chain of this.#view.chains) {
      const has = known.get(chain.hex) ?? 0;
      if (chain.stored.seq > has) lacking.set(chain.number, has);
    }
    let position = this.#view.storedHead;
    while (lacking.size > 0 && position > 0) {
      const blocks = await this.blocksBack(position, RECORDS_PER_READ);
      if (blocks.length === 0) return 0;
      for (const block of blocks) {
        if (lacking.size === 0) break;
        position = block.first - 1;
        for (const { chain, first } of block.ranges) {
          const has = lacking.get(chain);
          if (has !== undefined && first <= has + 1) lacking.delete(chain);
        }
      }
    }
    return position;
  }

  /**
   * The next batch for a follower: null at the head. What the follower has from elsewhere is left out; if that is all there was,
   * the batch is empty and only moves the cursor.
   */
  readFor(
    after: number,
    known: Known,
    filter: Filter | null,
    accepted: ReadonlySet<CodecNumber>,
  ): Promise<OutgoingBatch | null> {
    return thoughMoving(() => this.#readFor(after, known, filter, accepted));
  }

  async #readFor(
    after: number,
    known: Known,
    filter: Filter | null,
    accepted: ReadonlySet<CodecNumber>,
  ): Promise<OutgoingBatch | null> {
    let at = after;
    // Nearly always the first block is the one to send, and reading the records of 256 for it would cost a cold peer as much as all else.
    for (let records = 1; records <= RECORDS_PER_READ; records *= 16) {
      const blocks = await this.blocksAfter(at, records);
      for (const block of blocks) {
        if (this.#hasAll(block, known)) {
          at = block.last;
          continue;
        }
        // Few commits of many changes are no small block: to take it apart and pack it anew costs more than to send it.
        const isSmall =
          block.last - block.first + 1 < SMALL_BLOCK_ENTRIES &&
          block.rawBytes < BLOCK_RAW_BYTES_TARGET / 4 &&
          block.last < this.#view.storedHead;
        const isWhole =
          filter === null &&
          this.#view.filter === null &&
          block.first > after &&
          !isSmall &&
          this.#hasNone(block, known);
        if (isWhole) return this.#sendWhole(block, accepted);
        return this.#sendPart(await this.blocksAfter(at, RECORDS_PER_READ), at, after, known, filter, accepted);
      }
      if (blocks.length < records) break;
    }
    return at === after ? null : this.#emptyBatch(at, accepted);
  }

  #hasAll({ ranges }: PlacedBlock, known: Known): boolean {
    return known.size > 0 && ranges.every(({ chain, last }) => (known.get(this.#view.chains[chain]!.hex) ?? 0) >= last);
  }

  #hasNone({ ranges }: PlacedBlock, known: Known): boolean {
    return (
      known.size === 0 || ranges.every(({ chain, first }) => (known.get(this.#view.chains[chain]!.hex) ?? 0) < first)
    );
  }

  async #sendWhole(block: PlacedBlock, accepted: ReadonlySet<CodecNumber>): Promise<OutgoingBatch> {
    return { last: block.last, ...repack(this.#codecs, await this.data(block), accepted) };
  }

  /**
   * Takes blocks apart and sends what the follower lacks of them, up to a full block. What others merge while it is read comes with the next batch: beginning
   * anew, a reader would never be done while they write fast.
   */
  async #sendPart(
    blocks: readonly PlacedBlock[],
    from: number,
    after: number,
    known: Known,
    filter: Filter | null,
    accepted: ReadonlySet<CodecNumber>,
  ): Promise<OutgoingBatch> {
    // From a place between two blocks, to who has nothing from elsewhere.
    const isJoin = filter === null && this.#view.filter === null && known.size === 0 && blocks[0]!.first > after;
    if (isJoin) return this.#sendJoined(blocks, accepted);
    const wanted: BlockEntry[] = [];
    const filtered = filter === null ? null : new FilteredStream(filter, this.#crypto, this.#view.space);
    // What is known grows while this reads, and a run that leaves out its middle links to nothing: of each chain it is as it was at its first entry here.
    const knownAtFirst = new Map<Chain, number>();
    const isKnown = ({ chain, seq }: LogEntry): boolean => {
      let upTo = knownAtFirst.get(chain);
      if (upTo === undefined) knownAtFirst.set(chain, (upTo = known.get(chain.hex) ?? 0));
      return upTo >= seq;
    };
    let last = from;
    let bytes = 0;
    for (const block of blocks) {
      // Whole blocks only: where a block ends, the signature of each chain's last commit was verified when it came; inside, only the run was.
      const isTooMuch =
        wanted.length + (block.last - block.first + 1) > BLOCK_ENTRIES_MAX ||
        bytes + block.rawBytes > BATCH_RAW_BYTES_MAX;
      if (wanted.length > 0 && isTooMuch) break;
      const entries = await (last === from ? this.entries(block) : this.entriesUnlessMoved(block));
      if (entries === null) break;
      for (const entry of entries) {
        if (entry.position <= after) continue;
        if (isKnown(entry)) continue;
        // A partial copy can vouch for its own device's commits only: of the others it may lack some.
        if (this.#view.filter !== null && !this.#view.isOwn(entry.chain)) continue;
        if (filtered) filtered.take(entry, wanted);
        else wanted.push(entry);
      }
      last = block.last;
      bytes += block.rawBytes;
      if (bytes >= BLOCK_RAW_BYTES_TARGET || wanted.length >= BLOCK_ENTRIES_MAX) break;
    }
    filtered?.end(wanted);
    if (wanted.length === 0) return this.#emptyBatch(last, accepted);
    return { last, ...repack(this.#codecs, packBatch(this.#codecs, batchOf(wanted)), accepted) };
  }

  /**
   * Small blocks as one batch, all that is in them. Kept until another is asked for: unpacking, linking and packing take milliseconds, and whoever
   * subscribes from the beginning again and again would otherwise have the node do nothing else.
   */
  async #sendJoined(blocks: readonly PlacedBlock[], accepted: ReadonlySet<CodecNumber>): Promise<OutgoingBatch> {
    const together: PlacedBlock[] = [];
    let entries = 0;
    let bytes = 0;
    for (const block of blocks) {
      const count = block.last - block.first + 1;
      const isTooMuch = entries + count > BLOCK_ENTRIES_MAX || bytes + block.rawBytes > BATCH_RAW_BYTES_MAX;
      if (together.length > 0 && isTooMuch) break;
      together.push(block);
      entries += count;
      bytes += block.rawBytes;
      if (bytes >= BLOCK_RAW_BYTES_TARGET || entries >= BLOCK_ENTRIES_MAX) break;
    }
    const { membership } = this.#view;
    const name = nameOf(together);
    if (this.#joined?.name === name && this.#joined.membership === membership)
      return { last: together.at(-1)!.last, ...repack(this.#codecs, this.#joined.block, accepted) };
    const all: BlockEntry[] = [];
    const read: PlacedBlock[] = [];
    for (const block of together) {
      const ofBlock = await (read.length === 0 ? this.entries(block) : this.entriesUnlessMoved(block));
      if (ofBlock === null) break;
      all.push(...ofBlock);
      read.push(block);
    }
    this.#joined = { name: nameOf(read), membership, block: packBatch(this.#codecs, batchOf(all)) };
    return { last: read.at(-1)!.last, ...repack(this.#codecs, this.#joined.block, accepted) };
  }

  #emptyBatch(last: number, accepted: ReadonlySet<CodecNumber>): OutgoingBatch {
    return { last, ...repack(this.#codecs, packBatch(this.#codecs, { chains: [], entries: [] }), accepted) };
  }

  // ---- the history of a subject

  /** Commits that change a subject or a subject with the prefix, oldest first; void ones are left out. */
  async *commitsOn(
    filter: Filter | null,
    after: number,
  ): AsyncGenerator<{ entry: Extract<LogEntry, { kind: 'commit' }>; body: Body }> {
    const wanted = (block: PlacedBlock): boolean =>
      filter?.kind !== 'subject' || block.subjects === null || bloomMayHold(block.subjects, filter.subject);
    for await (const entry of this.after(after, wanted)) {
      if (entry.kind !== 'commit') continue;
      const body = decodeKnownBody(entry.body);
      if (filter !== null && !body.changes.some(({ subject }) => isWanted(filter, subject))) continue;
      if (!this.isVoid(entry, body)) yield { entry, body };
    }
  }

  /** A commit that has its body and doesn't count: only those on `~` are kept so. */
  isVoid(entry: { readonly chain: Chain; readonly seq: number; readonly position: number }, body: Body): boolean {
    const { membership, facts } = this.#view;
    if (membership === null || !changesMembership(body.changes)) return false;
    const fact = facts.find(({ position }) => position === entry.position);
    if (!fact) return false;
    return this.#view.verdict(membership, entry.chain, entry.seq, this.#view.pastOfFact(fact), true) !== 'counts';
  }

  /** The state of a subject from its commits in the store and those of a group that isn't stored yet. */
  async replay(subject: string, group: readonly PastCommit[]): Promise<Resource> {
    const stored: StoredCommit[] = [];
    for await (const { entry, body } of this.commitsOn({ kind: 'subject', subject }, 0)) {
      stored.push({ chain: entry.chain, seq: entry.seq, body });
    }
    const commits = await this.#pastOf(stored);
    commits.push(...group);
    return replayResource(commits, subject, !this.#view.forks.isEmpty);
  }

  /** The state of each subject from its commits in the store, less those that are `isVoided`. One walk serves many subjects. */
  async *replayEach(
    subjects: Iterable<string>,
    isVoided: (chain: Chain, seq: number) => boolean,
  ): AsyncGenerator<[subject: string, resource: Resource]> {
    const all = [...subjects];
    for (let from = 0; from < all.length; from += SUBJECTS_PER_WALK) {
      const histories = new Map(
        all.slice(from, from + SUBJECTS_PER_WALK).map((subject) => [subject, [] as StoredCommit[]]),
      );
      const names = [...histories.keys()];
      const wanted = ({ subjects: bloom }: PlacedBlock): boolean =>
        bloom === null || names.some((subject) => bloomMayHold(bloom, subject));
      for await (const entry of this.after(0, wanted)) {
        if (entry.kind !== 'commit' || isVoided(entry.chain, entry.seq)) continue;
        const body = decodeKnownBody(entry.body);
        const changed = new Set(body.changes.map(({ subject }) => subject).filter((subject) => histories.has(subject)));
        if (changed.size === 0 || this.isVoid(entry, body)) continue;
        for (const subject of changed) histories.get(subject)!.push({ chain: entry.chain, seq: entry.seq, body });
      }
      const hasForks = !this.#view.forks.isEmpty;
      for (const [subject, stored] of histories)
        yield [subject, replayResource(await this.#pastOf(stored), subject, hasForks)];
    }
  }

  async #pastOf(stored: readonly StoredCommit[]): Promise<PastCommit[]> {
    const chains = new Set(stored.map(({ chain }) => chain.number));
    const commits: PastCommit[] = [];
    for (const { chain, seq, body } of stored) {
      commits.push({ author: await this.#storedAuthor(chain, seq, body.time, chains), changes: body.changes });
    }
    return commits;
  }

  async #storedAuthor(chain: Chain, seq: number, time: number, chains: ReadonlySet<number>): Promise<Author> {
    const past = new Map<number, number>();
    for (const other of chains) past.set(other, await this.#view.replacesByStored(chain.number, seq, other));
    return {
      chain: chain.number,
      seq,
      time,
      past: (other) => past.get(other) ?? 0,
      rankOf: (other) => this.#view.chains[other]!.rank,
    };
  }
}

function isWanted(filter: Filter, subject: string): boolean {
  return filter.kind === 'subject' ? subject === filter.subject : subject.startsWith(filter.prefix);
}

/** Of a batch that is joined of blocks. What a sweep or a fill changes in a block changes its bytes, and comes with another judgement of the members. */
function nameOf(blocks: readonly PlacedBlock[]): string {
  return blocks.map(({ last, rawBytes, dataBytes }) => `${last} ${rawBytes} ${dataBytes}`).join();
}

function placed([key, value]: StoreEntry): PlacedBlock {
  return { ...decodeBlockRecord(value), last: keyPosition(key) };
}

/**
 * A stream for one subject or prefix. It carries the commits that match and those on `~`. Of the others it carries those that say what their
 * author had newly seen, without their changes: what comes later in their chain is judged by it. The rest is skipped by gaps, put in before the
 * next entry that is sent, so that a receiver's vector always covers what a commit depends on.
 */
type SignedEntry = Exclude<LogEntry, { kind: 'gap' }>;

class FilteredStream {
  readonly #filter: Filter;
  readonly #crypto: Crypto;
  readonly #space: Uint8Array;
  readonly #skipped = new Map<Chain, Extract<BlockEntry, { kind: 'gap' }>>();
  /** What was sent last of a chain, while nothing of it was skipped since. */
  readonly #lastSent = new Map<Chain, SignedEntry>();

  constructor(filter: Filter, crypto: Crypto, space: Uint8Array) {
    this.#filter = filter;
    this.#crypto = crypto;
    this.#space = space;
  }

  take(entry: LogEntry, out: BlockEntry[]): void {
    const sent = this.#reduce(entry) ?? this.#endOfRun(entry);
    if (sent === null) {
      this.#skip(entry);
      return;
    }
    this.end(out);
    out.push(sent);
    if (entry.kind !== 'gap') this.#lastSent.set(entry.chain, entry);
  }

  /**
   * A gap ends a run, and the signature before it has to verify. Nobody verified it yet where it stood in the middle of a run, and whoever signs may put
   * anything there: then what follows is sent too, erased, up to a signature that does verify, as the last of a block does.
   */
  #endOfRun(entry: LogEntry): BlockEntry | null {
    const last = this.#lastSent.get(entry.chain);
    if (!last || entry.kind === 'gap') return null;
    const { device, nonce } = entry.chain;
    const hasher = new ChainHasher(this.#crypto, { space: this.#space, device, nonce });
    const signed = hasher.signedBytes(last.seq, last.prev, last.bodyHash);
    if (verifyWithCheckedKey(this.#crypto, device, signed, last.signature)) return null;
    return entry.kind === 'erased' ? entry : this.#erase(entry);
  }

  #erase({ chain, seq, prev, signature, body }: Extract<LogEntry, { kind: 'commit' }>): BlockEntry {
    return { kind: 'erased', chain, seq, prev, signature, ...eraseBody(this.#crypto, body) };
  }

  /** As it is sent; null where it is skipped. */
  #reduce(entry: LogEntry): BlockEntry | null {
    if (entry.kind === 'gap') return null;
    if (entry.kind === 'erased') return decodeStem(entry.stem).deps.length > 0 ? entry : null;
    const { deps, changes } = decodeKnownBody(entry.body);
    if (changes.some(({ subject }) => matchesFilter(this.#filter, subject))) return entry;
    return deps.length === 0 ? null : this.#erase(entry);
  }

  #skip(entry: LogEntry): void {
    const { chain } = entry;
    this.#lastSent.delete(chain);
    const skipped = this.#skipped.get(chain);
    const seqBefore = skipped?.seqBefore ?? (entry.kind === 'gap' ? entry.seqBefore : entry.seq - 1);
    this.#skipped.set(chain, {
      kind: 'gap',
      chain,
      seq: entry.seq,
      prev: skipped?.prev ?? entry.prev,
      seqBefore,
      id: entry.id,
    });
  }

  /** Puts out the gaps that are still open. */
  end(out: BlockEntry[]): void {
    out.push(...this.#skipped.values());
    this.#skipped.clear();
  }
}

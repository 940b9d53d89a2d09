/**
 * What a connection does with a space. Following: from where it asks for the other's log, and what it makes of the batches. Being followed:
 * where in our log a follower begins; it then reads with Log.readFor.
 */
import { equal, toHex } from '../protocol/bytes.ts';
import { VECTOR_CHAINS_MAX } from '../protocol/constants.ts';
import { TidelogError } from '../protocol/errors.ts';
import type { Fork } from '../protocol/fork.ts';
import type { BatchMessage, StartsFrom } from '../protocol/messages.ts';
import type { History } from './history.ts';
import type { Platform } from './platform.ts';
import { findFork } from './replica/forks.ts';
import { headsBeforeHoles } from './replica/holes.ts';
import { readIncoming, readShort, type Incoming, type ReadBatch } from './replica/incoming.ts';
import type { Log } from './replica/log.ts';
import type { Chain, View } from './replica/view.ts';
import type { Writer } from './replica/writer.ts';
import type { Store } from './store.ts';
import { decodeCursor, deviceKey, type CursorRecord } from './tables.ts';

/** What a batch that came in has done. */
export interface Ingested {
  /** Entries that are new here. */
  readonly added: number;
  readonly duplicates: number;
}

/** How often a device is asked for all of a chain that seems to have forked, before another sign of it; or for holes, without an answer. */
const INQUIRIES = 8;
/** Between two claims that our chain goes further than we know. */
const CLAIM_PAUSE_MS = 10 * 60_000;

export class Exchange {
  readonly #platform: Platform;
  readonly #store: Store;
  readonly #view: View;
  readonly #log: Log;
  readonly #writer: Writer;
  readonly #history: History;
  readonly #onFork: (fork: Fork) => void;
  /** Device (hex) → chains (hex) of which it seems to have another branch → how often it is still asked for all of them. */
  readonly #suspects = new Map<string, Map<string, number>>();
  /** The same of those whose chains it sends from the beginning, so that where they leave ours is seen. */
  readonly #inquiries = new Map<string, ReadonlySet<string>>();
  /** Device (hex) → how many holes there were when it was last asked for them, and how often it is asked again if the line ends before it has answered. */
  readonly #askedForHoles = new Map<string, { readonly holes: number; times: number }>();
  /** Device (hex) → settles when the last that the writer was handed for it is on disk, or refused: a batch, or a cursor. */
  readonly #underway = new Map<string, Promise<unknown>>();
  /**
   * Devices (hex) whose log wasn't the one that our cursor is of: a restored disk, or copies under one key, whose logs have one epoch. They are asked
   * by the vector from then on. To go back to cursors once a line went well shut a copy out for ever that had its turn after another.
   */
  readonly #wentBack = new Set<string>();
  /** Our chain when the space was opened (hex): the likeliest to have been rolled back. */
  readonly #chainAtOpening: string | null;
  /** When somebody's word last made us begin a new chain. */
  #claimedMs = Number.NEGATIVE_INFINITY;

  constructor(
    context: { readonly platform: Platform; readonly store: Store },
    replica: { readonly view: View; readonly log: Log; readonly writer: Writer },
    history: History,
    onFork: (fork: Fork) => void,
  ) {
    this.#onFork = onFork;
    this.#platform = context.platform;
    this.#store = context.store;
    this.#view = replica.view;
    this.#log = replica.log;
    this.#writer = replica.writer;
    this.#history = history;
    this.#chainAtOpening = replica.view.ownChain?.hex ?? null;
  }

  /** Somebody's log is longer than ours by many entries, and we are about to follow it. */
  expectMuch(): void {
    this.#platform.reader?.expect();
  }

  /** Begins to read a batch in another thread; null where that isn't worth it. */
  readElsewhere(message: BatchMessage): Promise<ReadBatch | null> | null {
    return this.#platform.reader?.read(this.#view.space, message, !this.#view.logOnly) ?? null;
  }

  /**
   * Unpacks a batch and checks what needs nothing but its bytes, as far as that wasn't done elsewhere. Throws what `readIncoming` throws.
   */
  read(message: BatchMessage, elsewhere: ReadBatch | null): Incoming {
    const { crypto, codecs } = this.#platform;
    const { space } = this.#view;
    const short = elsewhere ?? readShort(crypto, codecs, space, message, !this.#view.logOnly);
    return readIncoming(crypto, codecs, space, message, short);
  }

  /**
   * Stores what is new in a batch, and our cursor in the sender's log with it. Throws what is wrong with it; then nothing of it was taken, and nothing
   * of those behind it on the same line will be: their cursor would pass over it.
   */
  ingest(
    incoming: Incoming,
    message: BatchMessage,
    from: { readonly device: Uint8Array; readonly epoch: Uint8Array; readonly line: { isBroken: boolean } },
  ): Promise<Ingested> {
    const { device, epoch, line } = from;
    const inquiry = this.#inquiries.get(toHex(device));
    const ownEpoch = this.#view.epoch;
    const ingested = this.#writer.run(async (group) => {
      if (line.isBroken) throw new TidelogError('aborted', 'a batch before it was refused');
      try {
        // What it was sent for stood in a log that was made anew since; their cursor would pass over what we lack by now.
        if (!equal(this.#view.epoch, ownEpoch)) throw new TidelogError('aborted', 'the log was made anew');
        if (inquiry) await this.#inquire(incoming, device, inquiry);
        const before = await group.cursor(device);
        const headBefore = this.#view.head;
        const ingested = await group.addBatch(incoming, message);
        // Whatever came or was written since the last batch may stand in their log after this one.
        const isAllTheirs =
          headBefore === 0 ||
          (before !== null &&
            equal(before.epoch, epoch) &&
            before.seq === message.prev &&
            before.ownHead === headBefore);
        group.setCursor(device, { epoch, seq: message.last, ownHead: isAllTheirs ? this.#view.head : null });
        return ingested;
      } catch (thrown) {
        line.isBroken = true;
        if (thrown instanceof TidelogError && thrown.code === 'fork' && typeof thrown.detail['chain'] === 'string')
          this.suspect(device, thrown.detail['chain']);
        // Its author may have been let in on another branch than ours, and where ours is longer nothing that they send shows it.
        if (thrown instanceof TidelogError && thrown.code === 'unauthorized')
          for (const number of this.#view.judgingChains()) this.suspect(device, this.#view.chains[number]!.hex);
        // What came before it isn't here, though they think that we have it.
        if (thrown instanceof TidelogError && (thrown.code === 'unlinked' || thrown.code === 'causal-gap'))
          this.#wentBack.add(toHex(device));
        throw thrown;
      }
    });
    ingested.catch(() => {
      line.isBroken = true;
    });
    this.#noteUnderway(device, ingested);
    return ingested;
  }

  #noteUnderway(device: Uint8Array, work: Promise<unknown>): void {
    const hex = toHex(device);
    // With what was there before: behind a line that broke the last is given up at once, while those before it are still being written.
    const settled = Promise.allSettled([this.#underway.get(hex), work]).then(() => {
      if (this.#underway.get(hex) === settled) this.#underway.delete(hex);
    });
    this.#underway.set(hex, settled);
  }

  /** It seems to have another branch of a chain (hex) than we. Next time it is asked for all of that chain, and what comes is compared. */
  suspect(device: Uint8Array, chain: string): void {
    const hex = toHex(device);
    this.#suspects.set(hex, (this.#suspects.get(hex) ?? new Map<string, number>()).set(chain, INQUIRIES));
  }

  /** Each is asked about some times: under one device's key there may be two that run, and only one has the other branch. */
  #takeSuspects(device: string): Set<string> {
    const suspects = this.#suspects.get(device) ?? new Map<string, number>();
    for (const [chain, times] of suspects) {
      if (times === 0) suspects.delete(chain);
      else suspects.set(chain, times - 1);
    }
    return new Set(suspects.keys());
  }

  async #inquire(incoming: Incoming, device: Uint8Array, chains: ReadonlySet<string>): Promise<void> {
    const context = { view: this.#view, log: this.#log, crypto: this.#platform.crypto };
    const fork = await findFork(context, incoming.entries(), chains);
    if (fork === null) return;
    this.#inquiries.delete(toHex(device));
    this.#suspects.get(toHex(device))?.delete(toHex(fork.chain));
    // It waits for this job, which holds the writer.
    this.#onFork(fork);
    throw new TidelogError('fork', `seq ${fork.seq} of chain ${toHex(fork.chain)}: proven`);
  }

  /**
   * Notes where we are in another device's log, when no batch did: there is nothing up to the cursor that we lack, and `digest` is theirs there. Throws
   * `cursor-mismatch` where that can't be: the next line begins with the vector.
   */
  async saveCursor(
    device: Uint8Array,
    cursor: { readonly epoch: Uint8Array; readonly seq: number; readonly digest: Uint8Array },
  ): Promise<void> {
    const { epoch, seq, digest } = cursor;
    const view = this.#view;
    const saved = await this.#cursor(device);
    const isNoted = saved && equal(saved.epoch, epoch) && saved.seq === seq && saved.ownHead === view.head;
    if (isNoted && equal(view.digest(), digest)) return;
    const noted = this.#writer.run(async (group) => {
      const before = await group.cursor(device);
      // The digest is of the disk, and this group may be ahead of it.
      const isStored = view.head === view.storedHead;
      const isSame = isStored && equal(view.digest(), digest);
      const standing = before && equal(before.epoch, epoch) ? before.ownHead : null;
      // All that we have stood in their log, and nothing came from elsewhere since: it isn't the log any more that it was. Where the next batch
      // has come already, the digest is of what was before it.
      const hasGoneBack = isStored && !isSame && standing === view.head && before!.seq <= seq && view.filter === null;
      // Once: what they lost themselves they may still lack on the next line.
      if (hasGoneBack && !this.#wentBack.has(toHex(device))) {
        this.#wentBack.add(toHex(device));
        throw new TidelogError('cursor-mismatch', 'their log has gone back since');
      }
      const ownHead = isSame ? view.head : hasGoneBack ? null : standing;
      group.setCursor(device, { epoch, seq, ownHead });
    });
    this.#noteUnderway(device, noted);
    await noted;
  }

  async #cursor(device: Uint8Array): Promise<CursorRecord | null> {
    const bytes = await this.#store.get('cursors', deviceKey(this.#view.number, device));
    return bytes ? decodeCursor(bytes) : null;
  }

  /**
   * How to begin with a device whose log has this epoch. A cursor does if nothing came from anywhere else since it was stored; otherwise the
   * vector, by which nothing is sent twice.
   */
  async startsFrom(device: Uint8Array, epoch: Uint8Array): Promise<StartsFrom> {
    const hex = toHex(device);
    // What an earlier line of theirs brought is still on its way to the disk: they would send it again.
    await this.#underway.get(hex);
    const suspects = this.#takeSuspects(hex);
    this.#inquiries.delete(hex);
    const heads = this.#view.heads();
    if (heads.length === 0) return { kind: 'all' };
    if (suspects.size > 0) {
      this.#inquiries.set(hex, suspects);
      const others = heads.filter(({ chain }) => !suspects.has(toHex(chain)));
      return others.length > VECTOR_CHAINS_MAX || others.length === 0
        ? { kind: 'all' }
        : { kind: 'vector', heads: others };
    }
    if (this.#view.holes.size > 0 && heads.length <= VECTOR_CHAINS_MAX && this.#asksForHoles(device)) {
      return { kind: 'vector', heads: await headsBeforeHoles(this.#view, this.#log) };
    }
    const saved = await this.#cursor(device);
    if (
      saved &&
      !this.#wentBack.has(toHex(device)) &&
      equal(saved.epoch, epoch) &&
      (saved.ownHead === this.#view.storedHead || heads.length > VECTOR_CHAINS_MAX)
    ) {
      return { kind: 'cursor', epoch, seq: saved.seq };
    }
    return this.vector();
  }

  /** The whole of what we have; or all from the beginning, where that is too long to say. */
  vector(): StartsFrom {
    const heads = this.#view.heads();
    return heads.length > VECTOR_CHAINS_MAX ? { kind: 'all' } : { kind: 'vector', heads };
  }

  /**
   * Until it has answered, once for each device and number of holes: one that can't fill them would send the rest of the chain again at every connection.
   */
  #asksForHoles(device: Uint8Array): boolean {
    const hex = toHex(device);
    const holes = this.#view.holes.size;
    const before = this.#askedForHoles.get(hex);
    const asked = before?.holes === holes ? before : { holes, times: INQUIRIES };
    if (asked.times === 0) return false;
    asked.times--;
    this.#askedForHoles.set(hex, asked);
    return true;
  }

  /** It has sent all that it was asked for. */
  answered(device: Uint8Array): void {
    const asked = this.#askedForHoles.get(toHex(device));
    if (asked) asked.times = 0;
  }

  /**
   * Where in our log a subscription begins, and what the subscriber has from elsewhere.
   * Throws the cursor errors, and `fork` where its vector has another commit at one of our heads.
   */
  async openFor(from: StartsFrom, device: Uint8Array): Promise<{ position: number; known: Map<string, number> }> {
    const known = new Map<string, number>();
    if (from.kind === 'all') return { position: 0, known };
    if (from.kind === 'cursor') {
      this.#history.checkCursor(from.epoch, from.seq);
      return { position: from.seq, known };
    }
    for (const { chain: id, seq, id: head } of from.heads) {
      const chain = this.#view.chainById(id);
      if (chain?.stored.seq === seq && !equal(chain.stored.head, head)) {
        this.suspect(device, chain.hex);
        throw new TidelogError('fork', `seq ${seq} of chain ${chain.hex}`, {
          chain: chain.hex,
          device: chain.deviceHex,
          seq,
        });
      }
      // They have more of our own chain than we: this store was rolled back or copied. What we write next begins a new chain.
      if (chain && chain === this.#view.ownChain && seq > chain.seq) await this.#beginNewChain(chain);
      known.set(toHex(id), seq);
    }
    return { position: await this.#log.positionOf(known), known };
  }

  /**
   * A vector proves nothing, and chains cost every member for ever: so a claim is believed of the chain that was here at the opening, and else
   * once in a while. The signed commits themselves, when they come, are believed at any time (see group.ts).
   */
  async #beginNewChain(chain: Chain): Promise<void> {
    const nowMs = this.#platform.nowMs();
    if (chain.hex !== this.#chainAtOpening && nowMs - this.#claimedMs < CLAIM_PAUSE_MS) return;
    this.#claimedMs = nowMs;
    await this.#writer.run(async () => {
      this.#view.ownChain = null;
    });
  }
}

/**
 * What this peer has of one space, in memory: chain heads, what each chain had seen, members, the clock. It is changed by the writer only,
 * one job at a time; a job that fails is undone whole. After a failed write it is loaded anew from the store.
 */
import { concat, equal, toHex } from '../../protocol/bytes.ts';
import type { Clock } from '../../protocol/clock.ts';
import { readFork, type Fork } from '../../protocol/fork.ts';
import { chainId } from '../../protocol/commit.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { isReserved, Membership, type Fact, type Past, type Role, type Verdict } from '../../protocol/membership.ts';
import type { Filter } from '../../protocol/messages.ts';
import { digest, type ChainHead } from '../../protocol/vector.ts';
import { KnownForks } from './known-forks.ts';
import type { Store, StoreEntry, Table } from '../store.ts';
import { FILTER_SUBJECTS_MAX, SubjectFilter } from './subject-filter.ts';
import {
  decodeChain,
  decodeFact,
  branchRange,
  decodeSpace,
  keyHole,
  keyKnowsSeq,
  knowsKey,
  keyPosition,
  readSeq,
  spaceEnd,
  spaceKey,
  type ChainRecord,
  type FactRecord,
  type SpaceRecord,
} from '../tables.ts';

export class Chain {
  /** This peer's number for it. */
  readonly number: number;
  readonly id: Uint8Array;
  readonly hex: string;
  readonly device: Uint8Array;
  readonly deviceHex: string;
  readonly nonce: Uint8Array;
  /** Decides between equal times: device key, then chain id. */
  readonly rank: Uint8Array;
  /** The head that the writer builds on. */
  seq: number;
  head: Uint8Array;
  /** The head that the disk has; all that others are told of. */
  stored: { readonly seq: number; readonly head: Uint8Array };
  /** Chain number → the highest seq of it that this chain's author had seen at `seq`; null until loaded. */
  knows: Map<number, number> | null = null;
  /** What it learned since the last durable write, oldest first: at its own seq `at`, `other` up to `seq`. */
  readonly learned: { readonly at: number; readonly other: number; readonly seq: number; readonly before: number }[] =
    [];
  /** Counts learning and nothing else; see admit.ts. */
  knowsVersion = 0;
  /** The last verdict on a commit that doesn't change `~`, and what it rests on. */
  verdict: { readonly membership: Membership; readonly knowsVersion: number; readonly lastCounting: number } | null =
    null;

  constructor(number: number, { device, nonce, id, seq, head }: ChainRecord) {
    this.number = number;
    this.id = id;
    this.hex = toHex(id);
    this.device = device;
    this.deviceHex = toHex(device);
    this.nonce = nonce;
    this.rank = concat(device, id);
    this.seq = seq;
    this.head = head;
    this.stored = { seq, head };
  }

  record(): ChainRecord {
    return { device: this.device, nonce: this.nonce, id: this.id, seq: this.seq, head: this.head };
  }

  /** Highest seq of `other` that the author of commit `seq` had seen; `seq` lies after the last durable write. */
  sawAt(seq: number, other: number): number {
    if (other === this.number) return seq - 1;
    // Going back in time: what was learned after `seq` doesn't count, and leaves what was known before it.
    let known: number | null = null;
    for (let i = this.learned.length - 1; i >= 0; i--) {
      const learned = this.learned[i]!;
      if (learned.other !== other) continue;
      if (learned.at <= seq) return learned.seq;
      known = learned.before;
    }
    return known ?? this.#known().get(other) ?? 0;
  }

  /** Highest seq of `other` that the chain's author has seen by now. */
  saw(other: number): number {
    return other === this.number ? this.seq : (this.#known().get(other) ?? 0);
  }

  /** Returns what undoes it. */
  learn(at: number, other: number, seq: number): () => void {
    const known = this.#known();
    const before = known.get(other) ?? 0;
    known.set(other, seq);
    this.learned.push({ at, other, seq, before });
    this.knowsVersion++;
    return () => {
      known.set(other, before);
      this.learned.pop();
      this.knowsVersion++;
    };
  }

  #known(): Map<number, number> {
    if (this.knows === null) throw new Error(`chain ${this.hex}: what it knows was not loaded`);
    return this.knows;
  }
}

/** A commit on `~`, with its place in the log. */
export interface PlacedFact extends FactRecord {
  readonly position: number;
}

const SCAN_PAGE = 1000;

/**
 * Added to a chain's number in what others know of it: what they had seen of the branch that counts, by their own word. A dep names a seq; past a
 * fork that says nothing, unless it names the commit's id too.
 */
export const BRANCH = 2 ** 31;

export function matchesFilter(filter: Filter | null, subject: string): boolean {
  if (filter === null || isReserved(subject)) return true;
  return filter.kind === 'subject' ? subject === filter.subject : subject.startsWith(filter.prefix);
}

/** Its name in `View.holes`. */
export function holeName(chain: number, seq: number): string {
  return `${chain} ${seq}`;
}

/** Rows of `forks` in one space. A member may fork its own chain as often as it likes. */
const FORKS_MAX = 10_000;

export class View {
  readonly space: Uint8Array;
  readonly hex: string;
  /** Another after a repair. */
  number: number;
  /** Of its record in `spaces`; another while a repair builds a log beside the one in force. */
  readonly recordKey: Uint8Array;
  readonly #crypto: Crypto;
  readonly #store: Store;
  /** This peer's own key. */
  readonly #device: Uint8Array;

  name = '';
  epoch = new Uint8Array(0);
  /** Entries in the log, as the writer builds on it. */
  head = 0;
  /** Entries on disk. */
  storedHead = 0;
  commits = 0;
  subjects = 0;
  conflicted = 0;
  blockBytes = 0;
  clock: Clock = { last: 0 };
  ownChain: Chain | null = null;
  /** Erased commits that no revocation explains, by chain number and seq. */
  readonly holes = new Map<string, { readonly chain: number; readonly seq: number; readonly position: number }>();
  filter: Filter | null = null;
  sweep = false;
  rebuild = false;
  logOnly = false;
  /** Every subject that was written since there were none; null where there were some at the opening, or too many came. */
  written: SubjectFilter | null = null;

  readonly chains: Chain[] = [];
  readonly #chainByHex = new Map<string, Chain>();
  founder: Uint8Array | null = null;
  facts: PlacedFact[] = [];
  membership: Membership | null = null;
  #factsByPlaced = new WeakMap<PlacedFact, Fact[]>();
  #digest: Uint8Array | null = null;

  readonly forks = new KnownForks();

  constructor(
    crypto: Crypto,
    store: Store,
    device: Uint8Array,
    space: Uint8Array,
    number: number,
    recordKey: Uint8Array = space,
  ) {
    this.recordKey = recordKey;
    this.#crypto = crypto;
    this.#store = store;
    this.#device = device;
    this.space = space;
    this.hex = toHex(space);
    this.number = number;
  }

  /** Reads everything from the store, from scratch. What is there now stays until all of it is read: others look at it meanwhile. */
  async load(): Promise<void> {
    const bytes = await this.#store.get('spaces', this.recordKey);
    if (!bytes) throw new TidelogError('data-damaged', `space ${this.hex} has no record`);
    const record = decodeSpace(bytes);
    const { number } = record;
    const chains: ChainRecord[] = [];
    for await (const [, value] of scanSpace(this.#store, 'chains', number)) chains.push(decodeChain(value));
    const facts: PlacedFact[] = [];
    for await (const [key, value] of scanSpace(this.#store, 'facts', number)) {
      facts.push({ position: keyPosition(key), ...decodeFact(value) });
    }
    const holes: { chain: number; seq: number; position: number }[] = [];
    for await (const [key, value] of scanSpace(this.#store, 'holes', number)) {
      holes.push({ ...keyHole(key), position: readSeq('holes', value) });
    }
    const proofs = await this.#store.scan('forks', { ...branchRange(this.space), limit: FORKS_MAX });
    // With the chains that rows under it name.
    this.number = number;
    this.forks.clear();
    for (const [, proof] of proofs) this.forks.add(this.#readProof(proof));
    this.chains.length = 0;
    this.#chainByHex.clear();
    for (const chain of chains) this.#add(chain);
    this.facts = facts;
    this.name = record.name;
    this.epoch = new Uint8Array(record.epoch);
    this.head = record.head;
    this.storedHead = record.head;
    this.commits = record.commits;
    this.subjects = record.subjects;
    this.conflicted = record.conflicted;
    this.blockBytes = record.blockBytes;
    this.clock = { last: record.clockUs };
    this.ownChain = record.ownChain === null ? null : this.chains[record.ownChain]!;
    this.holes.clear();
    for (const hole of holes) this.holes.set(holeName(hole.chain, hole.seq), hole);
    this.rebuild = record.rebuild;
    this.logOnly = record.logOnly;
    this.written = record.head === 0 ? new SubjectFilter() : null;
    this.filter = record.filter;
    this.sweep = record.sweep;
    // The founding commit is the first of every log, so its chain is the first that a peer meets.
    this.founder = this.chains[0]?.device ?? null;
    this.judge();
    this.#digest = null;
  }

  record(): SpaceRecord {
    return {
      number: this.number,
      name: this.name,
      epoch: this.epoch,
      head: this.head,
      commits: this.commits,
      subjects: this.subjects,
      conflicted: this.conflicted,
      blockBytes: this.blockBytes,
      clockUs: this.clock.last,
      ownChain: this.ownChain?.number ?? null,
      rebuild: this.rebuild,
      logOnly: this.logOnly,
      filter: this.filter,
      sweep: this.sweep,
    };
  }

  #add(record: ChainRecord): Chain {
    const chain = new Chain(this.chains.length, record);
    this.chains.push(chain);
    this.#chainByHex.set(chain.hex, chain);
    return chain;
  }

  chainByHex(hex: string): Chain | undefined {
    return this.#chainByHex.get(hex);
  }

  chainById(id: Uint8Array): Chain | undefined {
    return this.#chainByHex.get(toHex(id));
  }

  /** A chain that this peer meets for the first time; nothing of it is in the log yet. */
  addChain(device: Uint8Array, nonce: Uint8Array): Chain {
    const id = chainId(this.#crypto, { space: this.space, device, nonce });
    const chain = this.#add({ device: device.slice(), nonce: nonce.slice(), id, seq: 0, head: new Uint8Array(32) });
    chain.knows = new Map();
    return chain;
  }

  /** Undoes `addChain`, of the last one added. */
  removeChain(chain: Chain): void {
    if (this.chains.at(-1) !== chain) throw new Error('chains are removed in the reverse order');
    this.chains.pop();
    this.#chainByHex.delete(chain.hex);
  }

  advance(chain: Chain, seq: number, head: Uint8Array): void {
    chain.seq = seq;
    chain.head = head;
    this.forks.note(chain.hex, seq, head);
  }

  /** What the writer built is on disk. */
  settle(chains: Iterable<Chain>): void {
    this.storedHead = this.head;
    if (this.subjects > FILTER_SUBJECTS_MAX) this.written = null;
    for (const chain of chains) {
      chain.stored = { seq: chain.seq, head: chain.head };
      chain.learned.length = 0;
    }
    this.#digest = null;
  }

  /** Loads what a chain had seen: the latest for each other chain. */
  async loadKnows(chain: Chain): Promise<void> {
    if (chain.knows !== null) return;
    const knows = new Map<number, number>();
    for (const other of this.chains) {
      if (other !== chain) await this.noteSeen(knows, chain.number, chain.seq, other.number);
    }
    chain.knows ??= knows;
  }

  /** Notes what the author of a stored commit had seen of `other`, and by id of its branch that counts; nothing where that is nothing. */
  async noteSeen(seen: Map<number, number>, chain: number, seq: number, other: number): Promise<void> {
    const upTo = chain === other ? seq - 1 : await this.#seenUpTo(chain, other, seq);
    if (upTo > 0) seen.set(other, upTo);
    if (chain === other || !this.forks.has(this.chains[other]!.hex)) return;
    const branch = await this.#seenUpTo(chain, other + BRANCH, seq);
    if (branch > 0) seen.set(other + BRANCH, branch);
  }

  /** Highest seq of `other` that the author of a stored commit had seen. */
  async #seenUpTo(chain: number, other: number, at: number): Promise<number> {
    const found = await this.#store.scan('knows', {
      gte: knowsKey(this.number, chain, other, 0),
      lte: knowsKey(this.number, chain, other, at),
      reverse: true,
      limit: 1,
    });
    return found[0] ? readSeq('knows', found[0][1]) : 0;
  }

  /** The first seq of `chain` at which its author had seen more of `other` than `upTo`; null where it never had. */
  async sawMoreFrom(chain: number, other: number, upTo: number): Promise<number | null> {
    let first: number | null = null;
    for (let end = Number.MAX_SAFE_INTEGER; ;) {
      const range = { gte: knowsKey(this.number, chain, other, 0), lt: knowsKey(this.number, chain, other, end) };
      const page = await this.#store.scan('knows', { ...range, reverse: true, limit: SCAN_PAGE });
      for (const [key, value] of page) {
        if (readSeq('knows', value) <= upTo) return first;
        first = keyKnowsSeq(key);
      }
      if (page.length < SCAN_PAGE || first === null) return first;
      end = first;
    }
  }

  // ---- forks

  /** False where it is known. What facts had surely seen may be less from then on: `judge` is due. */
  addFork(fork: Fork): boolean {
    if (!this.forks.add(fork)) return false;
    this.#factsByPlaced = new WeakMap();
    return true;
  }

  #readProof(bytes: Uint8Array): Fork {
    try {
      return readFork(this.#crypto, this.space, bytes);
    } catch (cause) {
      throw new TidelogError('data-damaged', 'the proof of a fork is not what was written', {}, { cause });
    }
  }

  /**
   * Up to which seq of `other` a write of `chain` replaces what it finds. Past a fork only what its author names by id counts: it may have seen
   * the other branch, and then what stands here would be lost unseen.
   */
  replaces(chain: number, other: number, saw: (other: number) => number): number {
    const seen = saw(other);
    if (other === chain) return seen;
    const from = this.forks.first(this.chains[other]!.hex);
    return seen < from ? seen : Math.max(from - 1, saw(other + BRANCH));
  }

  /** The same of a stored commit. */
  async replacesByStored(chain: number, seq: number, other: number): Promise<number> {
    const seen = new Map<number, number>();
    await this.noteSeen(seen, chain, seq, other);
    return this.replaces(chain, other, (asked) => seen.get(asked) ?? 0);
  }

  /**
   * 7.4, by the members as `membership` has them. An author that hasn't heard of a fork names what it saw past it by seq alone, and may have seen
   * either branch.
   *
   * @param saw chain number, also with `BRANCH` → the highest seq of it that the author had seen
   */
  verdict(
    membership: Membership,
    { number, device, hex: chain }: Chain,
    seq: number,
    saw: (other: number) => number,
    changesMembers: boolean,
  ): Verdict {
    const byChain =
      (past: (other: number) => number): Past =>
      (hex) => {
        const other = this.#chainByHex.get(hex);
        return other ? past(other.number) : 0;
      };
    const surely = this.forks.isEmpty
      ? null
      : { past: byChain((asked) => this.replaces(number, asked, saw)), isAllHere: this.#isAllHere(saw) };
    return membership.verdict({ device, chain, seq, past: byChain(saw), surely, membership: changesMembers });
  }

  /** Of the chains that have forked, is all here that an author names? */
  #isAllHere(saw: (other: number) => number): boolean {
    for (const hex of this.forks.chains) {
      const chain = this.#chainByHex.get(hex);
      if (chain && saw(chain.number) > chain.seq) return false;
    }
    return true;
  }

  /** Judges all facts anew. */
  judge(): void {
    if (this.founder === null) {
      this.membership = null;
      return;
    }
    const facts: Fact[] = [];
    for (const placed of this.facts) {
      let made = this.#factsByPlaced.get(placed);
      if (!made) this.#factsByPlaced.set(placed, (made = this.#factsOf(placed)));
      facts.push(...made);
    }
    this.membership = new Membership(this.founder, facts, this.membership);
  }

  /**
   * Numbers of the chains that state facts, and of those that have forked: no verdict asks what an author had seen of others. A branch may come after
   * who names it by seq, and state the first facts of its chain.
   */
  judgingChains(): ReadonlySet<number> {
    const numbers = new Set(this.facts.map(({ chain }) => chain));
    for (const hex of this.forks.chains) {
      const chain = this.#chainByHex.get(hex);
      if (chain) numbers.add(chain.number);
    }
    return numbers;
  }

  #factsOf(placed: PlacedFact): Fact[] {
    const { hex, deviceHex } = this.chains[placed.chain]!;
    const saw = this.pastOfFact(placed);
    const past = new Map<string, number>();
    const surely = new Map<string, number>();
    for (const [other, seq] of placed.past) {
      if (other >= BRANCH) continue;
      past.set(this.chains[other]!.hex, seq);
      surely.set(this.chains[other]!.hex, this.replaces(placed.chain, other, saw));
    }
    const sure = [...past].some(([other, seq]) => surely.get(other)! < seq) ? surely : null;
    return placed.statements.map(({ target, role, revoked }) => ({
      chain: hex,
      seq: placed.seq,
      author: deviceHex,
      time: placed.time,
      past,
      sure,
      target,
      role,
      revoked,
    }));
  }

  /** What the author of a fact had seen, by chain number, also with `BRANCH`. */
  pastOfFact(placed: PlacedFact): (other: number) => number {
    const past = new Map(placed.past);
    return (other) => (other === placed.chain ? placed.seq - 1 : (past.get(other) ?? 0));
  }

  /** Is a subject's state kept here? */
  keeps(subject: string): boolean {
    return isReserved(subject) || (!this.logOnly && matchesFilter(this.filter, subject));
  }

  /** Has this device been made a mirror, or is it one no longer? Where it is no member, what it has stays as it is. */
  get isRoleNew(): boolean {
    const role = this.roleOf(this.#device);
    return role !== null && (role === 'mirror') !== this.logOnly;
  }

  roleOf(device: Uint8Array): Role | null {
    return this.membership?.roleOf(device) ?? null;
  }

  /** Does any fact say that a device is revoked? Where none does, nothing is void. */
  get hasRevocations(): boolean {
    return this.facts.some(({ statements }) => statements.some(({ revoked }) => revoked !== null));
  }

  isRevoked(device: Uint8Array): boolean {
    return this.membership?.isRevoked(device) ?? false;
  }

  /** The vector: what this peer has on disk. */
  heads(): ChainHead[] {
    return this.chains.flatMap(({ id, stored: { seq, head } }) => (seq > 0 ? [{ chain: id, seq, id: head }] : []));
  }

  digest(): Uint8Array {
    this.#digest ??= digest(this.#crypto, this.heads());
    return this.#digest;
  }

  /** Is it a chain of this device, of this incarnation or an earlier one? */
  isOwn(chain: Chain): boolean {
    return equal(chain.device, this.#device);
  }

  isFounder(device: Uint8Array): boolean {
    return this.founder !== null && equal(this.founder, device);
  }
}

/** Every entry of a space in a table, page by page. */
export async function* scanSpace(store: Store, table: Table, space: number): AsyncGenerator<StoreEntry> {
  let page = await store.scan(table, { gte: spaceKey(space), lt: spaceEnd(space), limit: SCAN_PAGE });
  while (page.length > 0) {
    yield* page;
    if (page.length < SCAN_PAGE) return;
    page = await store.scan(table, { gt: page.at(-1)![0], lt: spaceEnd(space), limit: SCAN_PAGE });
  }
}

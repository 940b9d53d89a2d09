/**
 * Looks over the whole log as it lies on the disk: every block, link and signature, what the tables say of it, and who may write. In pieces, beside
 * whatever else is done; nothing is written. What the state is, audit-state.ts compares.
 */
import type { AuthenticEntry } from '../../protocol/authenticate.ts';
import { decodeBody, decodeStem, type Body, type Dependency } from '../../protocol/body.ts';
import { equal, readU64, toHex } from '../../protocol/bytes.ts';
import { isFromTheFuture } from '../../protocol/clock.ts';
import { asTidelogError, TidelogError, type ErrorCode } from '../../protocol/errors.ts';
import { changesMembership } from '../../protocol/membership.ts';
import { digest } from '../../protocol/vector.ts';
import { bloomMayHold } from './bloom.ts';
import { readBlock } from './block.ts';
import { checkBatch } from './check-batch.ts';
import type { GroupContext } from './context.ts';
import type { PlacedBlock } from './entry.ts';
import { KnowledgeWalk } from './knowledge.ts';
import type { Pace } from './pace.ts';
import { decodeChain, decodeSpace, knowsKey, type ChainRecord } from '../tables.ts';
import { holeName, scanSpace, type Chain, type View } from './view.ts';

/** Something that isn't as it should be. */
export interface Finding {
  readonly code: ErrorCode;
  readonly says: string;
  /** In the log; null where it isn't about one place. */
  readonly position: number | null;
}

export interface LogAudit {
  /** Entries that were looked at: all up to this position. */
  readonly head: number;
  readonly commits: number;
  readonly erased: number;
  /** By device key, hex. */
  readonly entriesByDevice: ReadonlyMap<string, number>;
  /** Of the first commit and the latest, µs; null where there is none. */
  readonly fromUs: number | null;
  readonly untilUs: number | null;
  /** Signatures that only a later one of their chain vouches for: positions. */
  readonly vouched: readonly number[];
  readonly findings: readonly Finding[];
}

export interface AuditHost extends Pick<GroupContext, 'crypto' | 'codecs' | 'store' | 'view' | 'log'> {
  readonly pace: Pace;
  nowUs(): number;
  /** Calls while nothing is written. */
  quiet<T>(look: () => Promise<T>): Promise<T>;
  rewrites(): number;
  readonly onProgress: (done: number, total: number) => void;
}

/** More say nothing more. */
const FINDINGS_MAX = 100;

/** What the tables say at one moment. */
interface Tables {
  readonly head: number;
  readonly commits: number;
  readonly digest: Uint8Array;
  readonly blockBytes: number;
  readonly chains: readonly ChainRecord[];
  readonly rewrites: number;
}

/** Where the walk is in a chain. null: what came before was damaged. */
interface Head {
  seq: number;
  id: Uint8Array | null;
}

/** null where entries were changed under it, by a revocation: then it is to begin again. */
export async function auditLog(host: AuditHost): Promise<LogAudit | null> {
  const audit = new Audit(host);
  return audit.run();
}

class Audit {
  readonly #host: AuditHost;
  readonly #view: View;
  readonly #walk: KnowledgeWalk;
  readonly #heads = new Map<number, Head>();
  /** What a chain's author had seen of each other chain, and how often that changed. */
  readonly #seen = new Map<number, { readonly of: Map<number, number>; version: number }>();
  /** The last verdict on each chain; see admit.ts. */
  readonly #verdicts = new Map<
    number,
    { readonly membership: unknown; readonly version: number; readonly upTo: number }
  >();
  readonly #entriesByDevice = new Map<string, number>();
  readonly #vouched: number[] = [];
  readonly #findings: Finding[] = [];
  /** Entries of a block whose form goes against the verdict on them. */
  readonly #doubts: { chain: Chain; seq: number; position: number; counts: boolean }[] = [];
  #commits = 0;
  #erased = 0;
  #facts = 0;
  #bytes = 0;
  #fromUs: number | null = null;
  #untilUs: number | null = null;

  constructor(host: AuditHost) {
    this.#host = host;
    this.#view = host.view;
    this.#walk = new KnowledgeWalk(host.view);
  }

  async run(): Promise<LogAudit | null> {
    const { log, onProgress, rewrites, pace } = this.#host;
    const tables = await this.#host.quiet(() => this.#readTables());
    const isStale = (): boolean => rewrites() !== tables.rewrites;
    for (let at = 0; at < tables.head;) {
      const [block] = await log.blocksAfter(at, 1);
      if (!block) {
        this.#find('data-damaged', `the log ends here, and its record says at ${tables.head}`, at);
        break;
      }
      if (block.first > at + 1) this.#find('data-damaged', `entries up to ${block.first - 1} are missing`, at + 1);
      const wasRead = await this.#block(block, at, tables.head);
      await this.#settleDoubts();
      if (isStale()) return null;
      if (wasRead) at = Math.min(block.last, tables.head);
      onProgress(at, tables.head);
      const wait = pace();
      if (wait) await wait;
    }
    await this.#compare(tables);
    if (isStale()) return null;
    return {
      head: tables.head,
      commits: this.#commits,
      erased: this.#erased,
      entriesByDevice: this.#entriesByDevice,
      fromUs: this.#fromUs,
      untilUs: this.#untilUs,
      vouched: this.#vouched,
      findings: this.#findings,
    };
  }

  #find(code: ErrorCode, says: string, position: number | null): void {
    if (this.#findings.length < FINDINGS_MAX) this.#findings.push({ code, says, position });
  }

  // ---- the tables

  async #readTables(): Promise<Tables> {
    const { store, rewrites } = this.#host;
    const view = this.#view;
    const bytes = await store.get('spaces', view.space);
    const record = bytes && decodeSpace(bytes);
    if (record?.head !== view.storedHead || record.commits !== view.commits)
      this.#find('data-damaged', 'the record of the space on the disk is another than in memory', null);
    const chains: ChainRecord[] = [];
    for await (const [, value] of scanSpace(store, 'chains', view.number)) chains.push(decodeChain(value));
    const { storedHead: head, commits, blockBytes } = view;
    return { head, commits, blockBytes, chains, digest: view.digest(), rewrites: rewrites() };
  }

  async #compare({ head, commits, digest: expected, blockBytes, chains }: Tables): Promise<void> {
    const view = this.#view;
    const heads: { chain: Uint8Array; seq: number; id: Uint8Array }[] = [];
    for (const [number, record] of chains.entries()) {
      const walked = this.#heads.get(number) ?? { seq: 0, id: new Uint8Array(32) };
      if (walked.id === null) continue;
      if (walked.seq !== record.seq || !equal(walked.id, record.head)) {
        const says = `chain ${toHex(record.id)} ends at seq ${walked.seq} of the log, and its record says ${record.seq}`;
        this.#find('data-damaged', says, null);
      }
      if (walked.seq > 0) heads.push({ chain: record.id, seq: walked.seq, id: walked.id });
    }
    const isWhole = this.#findings.length === 0;
    if (isWhole && !equal(digest(this.#host.crypto, heads), expected))
      this.#find('data-damaged', 'the digest of the log is another than its chains give', null);
    if (isWhole && this.#commits !== commits)
      this.#find('data-damaged', `it has ${this.#commits} commits, and its record says ${commits}`, null);
    const facts = view.facts.filter(({ position }) => position <= head).length;
    if (isWhole && this.#facts !== facts)
      this.#find('data-damaged', `${this.#facts} commits are on ~, and the table of members has ${facts}`, null);
    // Merging changes it too, so it can be compared only where nothing was written meanwhile.
    if (isWhole && view.head === head && view.blockBytes === blockBytes && this.#bytes !== blockBytes)
      this.#find('data-damaged', `its blocks have ${this.#bytes} bytes, and its record says ${blockBytes}`, null);
  }

  // ---- the log

  /** Looks at what of a block is new to the walk. False where the block was merged or swept meanwhile, and is to be asked for again. */
  async #block(block: PlacedBlock, at: number, head: number): Promise<boolean> {
    const { crypto, codecs, log, pace } = this.#host;
    let linked: readonly AuthenticEntry[];
    let vouched: readonly number[];
    try {
      const batch = readBlock(codecs, await log.data(block));
      const checked = await checkBatch(crypto, this.#view.space, batch, pace);
      linked = checked.linked.entries;
      vouched = checked.vouched;
      if (linked.length !== block.last - block.first + 1)
        throw new TidelogError('data-damaged', `it has ${linked.length} entries`);
    } catch (thrown) {
      const [again] = await log.blocksAfter(at, 1);
      if (again?.last !== block.last || again.dataBytes !== block.dataBytes || again.first !== block.first)
        return false;
      const { code, message } = asTidelogError(thrown);
      this.#find(code, `the block of positions ${block.first} to ${block.last}: ${message}`, block.first);
      for (const { chain, last } of block.ranges) this.#heads.set(chain, { seq: last, id: null });
      return true;
    }
    if (block.first === at + 1) this.#bytes += block.dataBytes;
    this.#ranges(block, linked);
    for (const i of vouched) {
      const position = block.first + i;
      if (position > at && position <= head) this.#vouched.push(position);
    }
    for (const [i, entry] of linked.entries()) {
      const position = block.first + i;
      if (position > at && position <= head) await this.#entry(block, position, entry);
      const wait = pace();
      if (wait) await wait;
    }
    return true;
  }

  #ranges({ first, ranges, hasGaps }: PlacedBlock, entries: readonly AuthenticEntry[]): void {
    const found = new Map<number, { first: number; last: number }>();
    for (const { chain, seq } of entries) {
      const number = this.#view.chainById(chain.id)?.number ?? -1;
      found.set(number, { first: found.get(number)?.first ?? seq, last: seq });
    }
    const isSame =
      found.size === ranges.length &&
      ranges.every(
        ({ chain, first: from, last }) => found.get(chain)?.first === from && found.get(chain)?.last === last,
      );
    if (!isSame || hasGaps !== entries.some(({ kind }) => kind === 'gap'))
      this.#find('data-damaged', 'the record of a block names other entries than it holds', first);
  }

  async #entry(block: PlacedBlock, position: number, entry: AuthenticEntry): Promise<void> {
    const chain = this.#view.chainById(entry.chain.id);
    if (!chain) {
      this.#find('data-damaged', `chain ${toHex(entry.chain.id)} is not among the known ones`, position);
      return;
    }
    const head = this.#heads.get(chain.number) ?? { seq: 0, id: new Uint8Array(32) };
    const follows = entry.kind === 'gap' ? entry.seq > head.seq : entry.seq === head.seq + 1;
    if (!follows || (head.id !== null && !equal(entry.prev, head.id)))
      this.#find('unlinked', `seq ${entry.seq} of chain ${chain.hex} comes after seq ${head.seq}`, position);
    this.#heads.set(chain.number, { seq: entry.seq, id: entry.id });
    this.#entriesByDevice.set(chain.deviceHex, (this.#entriesByDevice.get(chain.deviceHex) ?? 0) + 1);
    if (entry.kind === 'gap') return;
    try {
      if (entry.kind === 'commit') await this.#commit(block, position, chain, entry.seq, decodeBody(entry.body));
      else await this.#erasedCommit(position, chain, entry.seq, decodeStem(entry.stem));
    } catch (thrown) {
      if (!(thrown instanceof TidelogError)) throw thrown;
      this.#find(thrown.code, thrown.message, position);
    }
  }

  async #commit(
    { subjects }: PlacedBlock,
    position: number,
    chain: Chain,
    seq: number,
    { time, deps, changes }: Body,
  ): Promise<void> {
    this.#commits++;
    if (!isFromTheFuture(time, this.#host.nowUs())) {
      this.#fromUs = Math.min(this.#fromUs ?? time, time);
      this.#untilUs = Math.max(this.#untilUs ?? time, time);
    }
    await this.#learn(position, chain, seq, deps);
    for (const { subject } of changes) {
      if (subjects !== null && !bloomMayHold(subjects, subject))
        this.#find('data-damaged', `the record of its block hides ${JSON.stringify(subject)}`, position);
    }
    if (changesMembership(changes)) {
      this.#facts++;
      const fact = this.#view.facts.find((placed) => placed.position === position);
      if (fact?.chain !== chain.number || fact.seq !== seq || fact.time !== time)
        this.#find('data-damaged', 'it says something of members, and the table of members says another', position);
      return;
    }
    if (!this.#counts(chain, seq)) this.#doubts.push({ chain, seq, position, counts: false });
  }

  async #erasedCommit(
    position: number,
    chain: Chain,
    seq: number,
    { deps }: { readonly deps: readonly Dependency[] },
  ): Promise<void> {
    this.#erased++;
    await this.#learn(position, chain, seq, deps);
    const { filter, holes } = this.#view;
    if (filter !== null || holes.has(holeName(chain.number, seq))) return;
    if (this.#counts(chain, seq)) this.#doubts.push({ chain, seq, position, counts: true });
  }

  /**
   * What was judged wrong is judged again while nothing is on its way: a revocation is in memory before it is on the disk, and if that fails it is in
   * neither.
   */
  async #settleDoubts(): Promise<void> {
    const doubts = this.#doubts.splice(0);
    if (doubts.length === 0) return;
    await this.#host.quiet(async () => {
      for (const { chain, seq, position, counts } of doubts) {
        if (this.#judge(chain, seq) !== counts) continue;
        if (counts && this.#view.holes.has(holeName(chain.number, seq))) continue;
        const place = `seq ${seq} of chain ${chain.hex}`;
        if (counts) this.#find('data-damaged', `${place} is erased, and nothing says why`, position);
        else this.#find('unauthorized', `${place} does not count`, position);
      }
    });
  }

  /** Its author had seen these; each must stand before it, and the table must say the same. */
  async #learn(position: number, chain: Chain, seq: number, deps: readonly Dependency[]): Promise<void> {
    if (deps.length === 0) return;
    const { store } = this.#host;
    const seen = this.#seen.get(chain.number) ?? { of: new Map<number, number>(), version: 0 };
    this.#seen.set(chain.number, seen);
    for (const dep of deps) {
      const other = this.#view.chainById(dep.chain);
      // Past a fork its author may have seen the branch that isn't here.
      const upTo = Math.min(dep.seq, this.#view.forks.first(dep.chain) - 1);
      const isThere = upTo === 0 || (other !== undefined && (this.#heads.get(other.number)?.seq ?? 0) >= upTo);
      if (!isThere)
        throw new TidelogError(
          'causal-gap',
          `seq ${seq} of chain ${chain.hex} depends on what does not stand before it`,
        );
      if (!other || (seen.of.get(other.number) ?? 0) >= dep.seq) continue;
      seen.of.set(other.number, dep.seq);
      seen.version++;
      const row = await store.get('knows', knowsKey(this.#view.number, chain.number, other.number, seq));
      if (!row || readU64(row, 0) !== dep.seq)
        this.#find('data-damaged', 'the table of what its author had seen says another', position);
    }
    this.#walk.learn({ chain, seq }, deps);
  }

  /** A commit that doesn't change members. */
  #counts(chain: Chain, seq: number): boolean {
    const { membership } = this.#view;
    if (membership === null) return false;
    const version = this.#seen.get(chain.number)?.version ?? 0;
    const known = this.#verdicts.get(chain.number);
    if (known?.membership === membership && known.version === version && seq <= known.upTo) return true;
    if (!this.#judge(chain, seq)) return false;
    this.#verdicts.set(chain.number, {
      membership,
      version,
      upTo: membership.lastCounting(chain.deviceHex, chain.hex),
    });
    return true;
  }

  #judge(chain: Chain, seq: number): boolean {
    const { membership } = this.#view;
    if (membership === null) return false;
    return this.#view.verdict(membership, chain, seq, this.#walk.saw({ chain, seq }), false) === 'counts';
  }
}

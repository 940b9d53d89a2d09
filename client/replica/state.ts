/**
 * The state of the resources that a group of writes touches: read once from the store, changed in memory, written once. One
 * read-modify-write for each subject and transaction, however many commits touch it.
 */
import { decodeKnownBody, type Change } from '../../protocol/body.ts';
import { compare, toBase64Url, writeU32 } from '../../protocol/bytes.ts';
import { RESERVED_PREFIX } from '../../protocol/constants.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import {
  apply,
  applyUnfolded,
  decodeResource,
  encodeResource,
  EMPTY_RESOURCE,
  fold,
  propertyConflict,
  removeSeen,
  SplitTally,
  writeRecordHead,
  type Author,
  type Resource,
} from '../../protocol/merge.ts';
import { isReserved } from '../../protocol/membership.ts';
import { RECORD_HEAD_ROOM, RECORD_KEY_ROOM } from '../../protocol/plain-batch.ts';
import type { PlainAdmission } from './admit-plain.ts';
import type { AdmittedCommit } from './entry.ts';
import type { Store, StoreOp } from '../store.ts';
import { keySubject, spaceEnd, subjectKey } from '../tables.ts';
import { subjectHash } from './bloom.ts';
import { FreshRecords } from './fresh-records.ts';
import { isStillNumber } from './moving.ts';
import type { Chain, View } from './view.ts';

/** Resources in one read. */
const SCAN_PAGE = 200;

interface Touched {
  readonly existed: boolean;
  readonly wasConflicted: boolean;
  resource: Resource;
}

/** A commit, with what its author had seen. */
export interface PastCommit {
  readonly author: Author;
  readonly changes: readonly Change[];
}

export function hasConflict(resource: Resource): boolean {
  for (const property of resource.values()) {
    // Nearly all properties have one candidate and nothing else; only the rest is looked at closely.
    if (property.candidates.length === 1 && property.tallies.length === 0 && property.elements.length === 0) continue;
    if (propertyConflict(property).length > 0) return true;
  }
  return false;
}

/** Changes whenever what a resource holds does. Local to this peer: chains go by its own numbers. */
export function etagOf(crypto: Crypto, encoded: Uint8Array): string {
  return toBase64Url(crypto.sha256(encoded).subarray(0, 12));
}

/** An entry that was admitted, as what it does to the state. */
export function pastOf(view: View, { chain, seq, parsed }: AdmittedCommit): PastCommit {
  const { time, changes } = parsed();
  return { author: authorAt(view, chain, seq, time), changes };
}

function authorAt(view: View, chain: Chain, seq: number, time: number): Author {
  return {
    chain: chain.number,
    seq,
    time,
    past: (other) => view.replaces(chain.number, other, (asked) => chain.sawAt(seq, asked)),
    rankOf: (other) => view.chains[other]!.rank,
  };
}

export class StateDraft {
  readonly #store: Store;
  readonly #view: View;
  readonly #touched = new Map<string, Touched>();
  /** Subjects that one plain change made and nothing else touched: nearly all of a bulk sync. Never in `#touched` too. */
  readonly #fresh = new FreshRecords();
  /** Hashes of the subjects in `#touched`; null until the first plain change asks for them. */
  #touchedHashes: Set<number> | null = null;

  constructor(store: Store, view: View) {
    this.#store = store;
    this.#view = view;
  }

  /** Reads what isn't read yet. */
  async load(subjects: Iterable<string>): Promise<void> {
    const missing = [...new Set(subjects)].filter(
      (subject) => !this.#touched.has(subject) && !this.#takeFresh(subject),
    );
    if (missing.length === 0) return;
    const keys = missing.map((subject) => subjectKey(this.#view.number, subject));
    const found = this.#store.getMany('state', keys);
    const values = found instanceof Promise ? await found : found;
    for (let i = 0; i < missing.length; i++) {
      const bytes = values[i];
      const resource = bytes ? decodeResource(bytes) : EMPTY_RESOURCE;
      this.#touch(missing[i]!, { existed: bytes !== undefined, wasConflicted: hasConflict(resource), resource });
    }
  }

  #touch(subject: string, touched: Touched): void {
    this.#touched.set(subject, touched);
    this.#view.written?.add(subjectHash(subject));
    this.#touchedHashes?.add(subjectHash(subject));
  }

  /** One that a plain change made becomes one that is worked on. */
  #takeFresh(subject: string): boolean {
    if (this.#fresh.size === 0) return false;
    const record = this.#fresh.take(subjectKey(this.#view.number, subject), subjectHash(subject));
    if (record === null) return false;
    this.#touch(subject, { existed: false, wasConflicted: false, resource: decodeResource(record) });
    return true;
  }

  /** Has this group touched the subject? */
  touches(subject: string): boolean {
    return this.#touched.has(subject) || this.#fresh.has(subjectKey(this.#view.number, subject), subjectHash(subject));
  }

  /** Has it touched one with this prefix? */
  touchesAny(prefix: string): boolean {
    for (const subject of this.#touched.keys()) if (subject.startsWith(prefix)) return true;
    return this.#fresh.hasAny(subjectKey(this.#view.number, prefix));
  }

  /** As `apply`, for commits that were admitted the short way. */
  async applyPlain(admission: PlainAdmission, onSplit: (subject: string) => Promise<Resource>): Promise<void> {
    const { number, logOnly } = this.#view;
    // Nothing that goes the short way is of the space itself.
    if (logOnly) return;
    const { batch, chains, seqs, others } = admission;
    const { records, recordAt, recordEnd, subjectBytes, subjectHash: hashes, firstChange } = batch;
    const { written } = this.#view;
    const keys: Uint8Array[] = [];
    /** Changes of subjects that may be in the store, and their keys. */
    const asked: number[] = [];
    for (let k = 0; k < recordAt.length; k++) {
      const at = recordAt[k]!;
      writeU32(records, at, number);
      keys.push(records.subarray(at, at + RECORD_KEY_ROOM + subjectBytes[k]!));
      if (written === null || written.mayHold(hashes[k]!)) asked.push(k);
    }
    const exists = new Uint8Array(keys.length);
    if (asked.length > 0) {
      const found = this.#store.getMany(
        'state',
        asked.map((k) => keys[k]!),
      );
      const values = found instanceof Promise ? await found : found;
      for (let i = 0; i < asked.length; i++) if (values[i] !== undefined) exists[asked[i]!] = 1;
    }
    this.#touchedHashes ??= new Set([...this.#touched.keys()].map(subjectHash));
    /** What the general way must do, and the hashes of its subjects: what comes after it on the same subject goes there too. */
    const rest: PastCommit[] = [];
    const restHashes = new Set<number>();
    for (let i = 0; i < batch.count; i++) {
      const seq = seqs[i]!;
      const other = others.get(i);
      if (other) {
        rest.push({
          author: authorAt(this.#view, chains[batch.chainOf[i]!]!, seq, other.time),
          changes: other.changes,
        });
        for (const { subject } of other.changes) restHashes.add(subjectHash(subject));
        continue;
      }
      const chain = chains[batch.chainOf[i]!]!;
      const dot = { chain: chain.number, seq, time: batch.time[i]! };
      let left: number[] | null = null;
      let head = -1;
      let from = 0;
      for (let k = firstChange[i]!; k < firstChange[i + 1]!; k++) {
        const hash = hashes[k]!;
        const isFresh =
          exists[k] === 0 && !this.#touchedHashes.has(hash) && !restHashes.has(hash) && !this.#fresh.mayHold(hash);
        if (!isFresh) {
          (left ??= []).push(k - firstChange[i]!);
          restHashes.add(hash);
          continue;
        }
        const mapAt = recordAt[k]! + RECORD_KEY_ROOM + subjectBytes[k]! + RECORD_HEAD_ROOM;
        // Alike for all changes of a commit.
        if (head < 0) {
          from = mapAt;
          head = writeRecordHead(records, mapAt, dot);
        } else {
          records.copyWithin(mapAt - (from - head), head, from);
        }
        written?.add(hash);
        this.#fresh.add(keys[k]!, hash, records.subarray(mapAt - (from - head), recordEnd[k]));
      }
      if (left) {
        const { changes } = decodeKnownBody(batch.raw.subarray(batch.bodyAt[i], batch.bodyEnd[i]));
        rest.push({ author: authorAt(this.#view, chain, seq, dot.time), changes: left.map((k) => changes[k]!) });
      }
    }
    if (rest.length > 0) await this.apply(rest, onSplit);
  }

  /** As this group leaves it so far; loaded before. */
  get(subject: string): Resource {
    return this.#touched.get(subject)!.resource;
  }

  replace(subject: string, resource: Resource): void {
    this.#touched.get(subject)!.resource = resource;
  }

  /**
   * Applies commits in log order. `onSplit` gives the state of a subject with all of them applied, when a counter's sum has to be
   * split; see SplitTally.
   */
  async apply(commits: readonly PastCommit[], onSplit: (subject: string) => Promise<Resource>): Promise<void> {
    const view = this.#view;
    await this.load(
      commits.flatMap(({ changes }) => changes.map(({ subject }) => subject).filter((subject) => view.keeps(subject))),
    );
    const replayed = new Set<string>();
    for (const { author, changes } of commits) {
      for (const { subject, ops } of changes) {
        if (replayed.has(subject) || !view.keeps(subject)) continue;
        const touched = this.#touched.get(subject)!;
        try {
          touched.resource = apply(touched.resource, ops, author);
        } catch (thrown) {
          if (!(thrown instanceof SplitTally)) throw thrown;
          touched.resource = await onSplit(subject);
          replayed.add(subject);
        }
      }
    }
  }

  /** What to write, keys in order; and counts the view's subjects and conflicts. */
  ops(): StoreOp[] {
    const view = this.#view;
    const ops = this.#fresh.ops();
    view.subjects += this.#fresh.size;
    for (const [subject, { existed, wasConflicted, resource }] of this.#touched) {
      const key = subjectKey(view.number, subject);
      const exists = resource.size > 0;
      if (exists) ops.push({ table: 'state', key, value: encodeResource(resource) });
      else if (existed) ops.push({ table: 'state', key, value: null });
      if (!isReserved(subject)) view.subjects += Number(exists) - Number(existed);
      const isConflicted = hasConflict(resource);
      if (isConflicted !== wasConflicted) {
        ops.push({ table: 'conflicts', key, value: isConflicted ? new Uint8Array(0) : null });
        view.conflicted += Number(isConflicted) - Number(wasConflicted);
      }
    }
    return ops;
  }
}

/** Commits that were admitted the short way, each with all its changes. */
export function pastOfPlain(view: View, { batch, chains, seqs, others }: PlainAdmission): PastCommit[] {
  return Array.from(seqs, (seq, i) => {
    const body = others.get(i) ?? decodeKnownBody(batch.raw.subarray(batch.bodyAt[i], batch.bodyEnd[i]));
    return { author: authorAt(view, chains[batch.chainOf[i]!]!, seq, body.time), changes: body.changes };
  });
}

/** The state that a subject's commits give, in the order of the log. Where chains have forked, some may stand before what they name by id. */
export function replayResource(commits: readonly PastCommit[], subject: string, hasForks: boolean): Resource {
  let resource: Resource = EMPTY_RESOURCE;
  for (const step of hasForks ? [applyUnfolded, removeSeen] : [applyUnfolded]) {
    for (const { author, changes } of commits) {
      for (const change of changes) {
        if (change.subject === subject) resource = step(resource, change.ops, author);
      }
    }
  }
  return fold(resource);
}

/**
 * Resources by ascending subject (in bytes of UTF-8), encoded. Those of the space itself only where the prefix begins with `~`. Where the log is made anew
 * meanwhile, the rows go, and stand under another number: it goes on there, behind the last that it gave. Each comes with the number that it was read under.
 */
export async function* scanState(
  store: Store,
  view: View,
  prefix: string,
  after?: string,
): AsyncGenerator<[subject: string, bytes: Uint8Array, number: number]> {
  const hideReserved = !prefix.startsWith(RESERVED_PREFIX);
  let last = after;
  for (;;) {
    const { number } = view;
    const start = subjectKey(number, prefix);
    const from = last === undefined ? null : subjectKey(number, last);
    const page = await store.scan('state', {
      ...(from !== null && compare(from, start) >= 0 ? { gt: from } : { gte: start }),
      lt: spaceEnd(number),
      limit: SCAN_PAGE,
    });
    for (const [key, bytes] of page) {
      if (view.number !== number) break;
      const subject = keySubject('state', key);
      last = subject;
      if (!subject.startsWith(prefix)) return;
      if (hideReserved && subject.startsWith(RESERVED_PREFIX)) continue;
      yield [subject, bytes, number];
    }
    if (page.length < SCAN_PAGE && (await isStillNumber(store, view, number))) return;
  }
}

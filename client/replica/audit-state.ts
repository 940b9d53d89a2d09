/**
 * Is the state what the log gives? Makes it anew in memory, a range of subjects at a time, and compares it with the table, byte for byte. Nothing is
 * written, and what is written meanwhile is followed: a few rows are compared while nothing is, after what came last was applied.
 */
import { decodeKnownBody, decodeStem } from '../../protocol/body.ts';
import { compare, equal, toHex } from '../../protocol/bytes.ts';
import { apply, EMPTY_RESOURCE, encodeResource, SplitTally, type Author, type Resource } from '../../protocol/merge.ts';
import { isReserved } from '../../protocol/membership.ts';
import type { Change } from '../../protocol/body.ts';
import type { AuditHost, Finding } from './audit.ts';
import { KnowledgeWalk } from './knowledge.ts';
import { hasConflict } from './state.ts';
import { keySubject, spaceEnd, spaceKey, subjectKey } from '../tables.ts';

export interface StateAudit {
  /** That were compared, but for those of the space itself. */
  readonly resources: number;
  readonly findings: readonly Finding[];
}

/** Resources in memory at once, about 1 KB each. Each range is one more walk over the log, 10 µs a commit. */
const RANGE_SUBJECTS = 100_000;
/** Rows compared while nothing is written: 10 to 20 µs each. */
const ROWS_PER_LOOK = 100;
/** Entries that are applied while nothing is written. What is more than that is applied before. */
const ENTRIES_PER_LOOK = 64;
const SCAN_PAGE = 1000;
const FINDINGS_MAX = 100;

/** null where a revocation changed entries under it: then it is to begin again. */
export async function auditState(host: AuditHost): Promise<StateAudit | null> {
  return new StateCheck(host).run();
}

class StateCheck {
  readonly #host: AuditHost;
  readonly #findings: Finding[] = [];
  /** Rows that aren't of the space itself, and those with a conflict. */
  #subjects = 0;
  #conflicted = 0;

  constructor(host: AuditHost) {
    this.#host = host;
  }

  async run(): Promise<StateAudit | null> {
    const { view, rewrites } = this.#host;
    const before = rewrites();
    const { storedHead: headBefore } = view;
    let from: Uint8Array | null = null;
    do {
      const to: Uint8Array | null = await this.#rangeEnd(from);
      const range = new Range(this.#host, from, to);
      await range.walk();
      for (;;) {
        const page = await this.#host.quiet(async () => (rewrites() === before ? this.#compare(range) : null));
        if (page === null) return null;
        if (page === 'done') break;
        await range.walk();
      }
      from = to;
    } while (from !== null);
    await this.#host.quiet(async () => {
      // Resources that came while others were compared are counted in one and not in the other.
      if (view.storedHead !== headBefore || rewrites() !== before) return;
      if (view.subjects !== this.#subjects)
        this.#find(`there are ${this.#subjects} resources, and its record says ${view.subjects}`, null);
      if (view.conflicted !== this.#conflicted)
        this.#find(`${this.#conflicted} resources have conflicts, and its record says ${view.conflicted}`, null);
    });
    return { resources: this.#subjects, findings: this.#findings };
  }

  #find(says: string, subject: string | null): void {
    if (this.#findings.length >= FINDINGS_MAX) return;
    const whole = subject === null ? says : `the resource ${JSON.stringify(subject)} ${says}`;
    this.#findings.push({ code: 'data-damaged', says: whole, position: null });
  }

  /** The key of the last subject of the range that begins after `from`; null where it goes to the end. */
  async #rangeEnd(from: Uint8Array | null): Promise<Uint8Array | null> {
    const { store, view, pace } = this.#host;
    let at = from;
    for (let left = RANGE_SUBJECTS; left > 0; left -= SCAN_PAGE) {
      const start = at ? { gt: at } : { gte: spaceKey(view.number) };
      const page = await store.scan('state', { ...start, lt: spaceEnd(view.number), limit: SCAN_PAGE });
      if (page.length < SCAN_PAGE) return null;
      at = page.at(-1)![0];
      const wait = pace();
      if (wait) await wait;
    }
    return at;
  }

  /** The next rows of a range. Nothing is written meanwhile. */
  async #compare(range: Range): Promise<'more' | 'done'> {
    const { store, view } = this.#host;
    if (!(await range.catchUp())) return 'more';
    const start = range.from ? { gt: range.from } : { gte: spaceKey(view.number) };
    const end = range.to ? { lte: range.to } : { lt: spaceEnd(view.number) };
    const rows = await store.scan('state', { ...start, ...end, limit: ROWS_PER_LOOK });
    for (const [key, value] of rows) {
      const subject = subjectOf(key);
      if (subject === null) {
        this.#find(`a resource has ${toHex(key.subarray(4))} in place of a subject`, null);
        continue;
      }
      const resource = await range.take(subject);
      if (resource.size === 0) this.#find('is not there by the log', subject);
      else if (!equal(encodeResource(resource), value)) this.#find('is another by the log', subject);
      const isConflicted = hasConflict(resource);
      const isNoted = (await store.get('conflicts', key)) !== undefined;
      if (isConflicted !== isNoted) this.#find(`is ${isNoted ? '' : 'not '}listed as one with a conflict`, subject);
      this.#conflicted += Number(isConflicted);
      if (!isReserved(subject)) this.#subjects++;
    }
    const isDone = rows.length < ROWS_PER_LOOK;
    if (!isDone) range.from = rows.at(-1)![0];
    if (isDone) for await (const subject of range.left()) this.#find('is missing', subject);
    return isDone ? 'done' : 'more';
  }
}

/** Null where a flipped byte has made it something else than text. */
function subjectOf(key: Uint8Array): string | null {
  try {
    return keySubject('state', key);
  } catch {
    return null;
  }
}

/** The state of the subjects between two keys, as the log gives it. */
class Range {
  readonly #host: AuditHost;
  /** Exclusive, and moves up as rows are compared; null: from the beginning. */
  from: Uint8Array | null;
  /** Inclusive; null: to the end. */
  readonly to: Uint8Array | null;
  readonly #walk: KnowledgeWalk;
  readonly #resources = new Map<string, Resource>();
  /** Counters that had to be split, and what came after a commit that had seen it: replayed by themselves when they are compared. */
  readonly #late = new Set<string>();
  #position = 0;

  constructor(host: AuditHost, from: Uint8Array | null, to: Uint8Array | null) {
    this.#host = host;
    this.from = from;
    this.to = to;
    this.#walk = new KnowledgeWalk(host.view);
  }

  /** Applies the log up to where it ends, letting others run. */
  async walk(): Promise<void> {
    const { view, pace } = this.#host;
    while (view.storedHead - this.#position > ENTRIES_PER_LOOK / 2) await this.#advance(view.storedHead, pace);
  }

  /** The last few entries. False where there are too many: then others are let run first. */
  async catchUp(): Promise<boolean> {
    const { storedHead } = this.#host.view;
    if (storedHead - this.#position > ENTRIES_PER_LOOK) return false;
    await this.#advance(storedHead, () => null);
    return true;
  }

  async #advance(to: number, pace: AuditHost['pace']): Promise<void> {
    const { log } = this.#host;
    for await (const entry of log.after(this.#position)) {
      if (entry.position > to) return;
      this.#position = entry.position;
      if (entry.kind === 'erased') this.#walk.learn(entry, decodeStem(entry.stem).deps);
      if (entry.kind === 'commit') {
        const body = decodeKnownBody(entry.body);
        this.#walk.learn(entry, body.deps);
        if (this.#walk.isLate(entry))
          for (const { subject } of body.changes)
            if (this.#host.view.keeps(subject) && this.#isWithin(subject)) this.#replayLater(subject);
        if (!log.isVoid(entry, body)) this.#apply(this.#walk.author(entry, body.time), body.changes);
      }
      const wait = pace();
      if (!wait) continue;
      this.#host.onProgress(entry.position, this.#host.view.storedHead);
      await wait;
    }
  }

  #apply(author: Author, changes: readonly Change[]): void {
    for (const { subject, ops } of changes) {
      if (!this.#host.view.keeps(subject) || this.#late.has(subject) || !this.#isWithin(subject)) continue;
      try {
        this.#resources.set(subject, apply(this.#resources.get(subject) ?? EMPTY_RESOURCE, ops, author));
      } catch (thrown) {
        if (!(thrown instanceof SplitTally)) throw thrown;
        this.#replayLater(subject);
      }
    }
  }

  #replayLater(subject: string): void {
    this.#late.add(subject);
    this.#resources.set(subject, EMPTY_RESOURCE);
  }

  #isWithin(subject: string): boolean {
    if (this.from === null && this.to === null) return true;
    const key = subjectKey(this.#host.view.number, subject);
    return (this.from === null || compare(key, this.from) > 0) && (this.to === null || compare(key, this.to) <= 0);
  }

  /** A subject's resource, which is let go of; empty where there is none. */
  async take(subject: string): Promise<Resource> {
    const resource = this.#resources.get(subject) ?? EMPTY_RESOURCE;
    this.#resources.delete(subject);
    return this.#late.has(subject) ? this.#host.log.replay(subject, []) : resource;
  }

  /** Subjects that nobody took and that there are. */
  async *left(): AsyncGenerator<string> {
    for (const subject of this.#resources.keys()) if ((await this.take(subject)).size > 0) yield subject;
  }
}

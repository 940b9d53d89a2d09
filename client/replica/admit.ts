/**
 * Does an authentic entry belong next in our log? Linked to what we have, causally ready, by somebody who may write it; and for our
 * own changes, the commit that says them. This stage changes the view and nothing else; if any entry of a job is refused, the whole job is undone.
 */
import { equal, toHex } from '../../protocol/bytes.ts';
import type { AuthenticBatch, AuthenticEntry } from '../../protocol/authenticate.ts';
import {
  decodeBody,
  decodeKnownBody,
  decodeStem,
  encodeBody,
  eraseBody,
  hashBody,
  type Body,
  type Change,
  type Dependency,
} from '../../protocol/body.ts';
import { isFromTheFuture, observe, tick } from '../../protocol/clock.ts';
import { ChainHasher } from '../../protocol/commit.ts';
import { NONCE_BYTES } from '../../protocol/constants.ts';
import type { Crypto, KeyPair, RandomBytes } from '../../protocol/crypto.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { changesMembership, readFacts, readFounding, type Verdict } from '../../protocol/membership.ts';
import { readPlainBody } from '../../protocol/plain-batch.ts';
import type { Admitted, CommitEntry } from './entry.ts';
import { BRANCH, holeName, type Chain, type View } from './view.ts';

const NO_ID = new Uint8Array(0);

export interface Admission {
  readonly entries: Admitted[];
  /** Entries that we had already. */
  readonly duplicates: number;
  /** Bodies of commits that stand erased in our log without a reason. */
  readonly fills: readonly CommitEntry[];
  /** Commits whose time is more than 24 h ahead of our clock: device key and time. */
  readonly fromTheFuture: { readonly device: Uint8Array; readonly timeUs: number }[];
  /** Something that counted until now may be void: a revocation came. */
  readonly cutsChanged: boolean;
  /** Among them is one that a commit which had come before it names by id. */
  readonly isLate: boolean;
}

/** Collects what undoes each change, newest first. */
class Undo {
  readonly #steps: (() => void)[] = [];
  add(step: () => void): void {
    this.#steps.push(step);
  }
  run(): void {
    for (const step of this.#steps.toReversed()) step();
    this.#steps.length = 0;
  }
}

/** One job's passage through the view. */
export class Passage {
  readonly view: View;
  readonly crypto: Crypto;
  readonly nowUs: number;
  readonly undo = new Undo();
  readonly entries: Admitted[] = [];
  readonly fromTheFuture: { device: Uint8Array; timeUs: number }[] = [];
  readonly fills: CommitEntry[] = [];
  duplicates = 0;
  cutsChanged = false;
  isLate = false;

  constructor(view: View, crypto: Crypto, nowUs: number) {
    this.view = view;
    this.crypto = crypto;
    this.nowUs = nowUs;
    const { head, clock, commits, ownChain, founder, name } = view;
    this.undo.add(() => Object.assign(view, { head, clock, commits, ownChain, founder, name }));
  }

  done(): Admission {
    const { entries, duplicates, fills, fromTheFuture, cutsChanged, isLate } = this;
    return { entries, duplicates, fills, fromTheFuture, cutsChanged, isLate };
  }

  addChain(device: Uint8Array, nonce: Uint8Array): Chain {
    const chain = this.view.addChain(device, nonce);
    this.undo.add(() => this.view.removeChain(chain));
    return chain;
  }

  advance(chain: Chain, seq: number, id: Uint8Array): void {
    const { seq: seqBefore, head: headBefore } = chain;
    this.view.advance(chain, seq, id);
    this.undo.add(() => this.view.advance(chain, seqBefore, headBefore));
  }

  learn(chain: Chain, at: number, deps: readonly Dependency[]): void {
    for (const { chain: id, seq, id: commit } of deps) {
      const other = this.view.chainById(id);
      /** Its author may have seen the branch that isn't here; what both branches share it had. */
      const upTo = Math.min(seq, this.view.forks.first(id) - 1);
      const isPastFork = upTo < seq;
      if (other === chain) throw new TidelogError('bad-commit', 'its deps name its own chain');
      if ((other?.seq ?? 0) < upTo) {
        throw new TidelogError(
          'causal-gap',
          `seq ${at} of chain ${chain.hex} depends on seq ${upTo} of chain ${toHex(id)}, which has not come`,
        );
      }
      const isHere = other && commit && equal(commit, this.view.forks.idAt(other, seq) ?? NO_ID);
      if (commit && isPastFork && !isHere) this.view.forks.awaitId(commit);
      if (!other) continue;
      if (commit && !isPastFork && other.seq === seq && !equal(commit, other.head)) throw fork(other);
      if (isPastFork && isHere) this.#learn(chain, at, other.number + BRANCH, seq);
      this.#learn(chain, at, other.number, seq);
    }
  }

  #learn(chain: Chain, at: number, other: number, seq: number): void {
    if (chain.saw(other) < seq) this.undo.add(chain.learn(at, other, seq));
  }

  /** Judges a commit whose chain has learned its deps, and takes in what it says of members. */
  judge(chain: Chain, seq: number, body: Body): Verdict {
    const { view } = this;
    const membership = changesMembership(body.changes);
    if (view.membership === null) this.#found(chain, body.changes);
    const verdict = membership ? this.#verdict(chain, seq, true) : this.judgeData(chain, seq);
    if (verdict === 'unauthorized') return verdict;
    if (membership) this.#takeFact(chain, seq, body);
    return verdict;
  }

  /** Commits on `~` are never erased, so it is judged as any other. */
  judgeErased(chain: Chain, seq: number): Verdict {
    return this.judgeData(chain, seq);
  }

  #verdict(chain: Chain, seq: number, changesMembers: boolean): Verdict {
    const saw = (other: number): number => (other === chain.number ? seq - 1 : chain.saw(other));
    return this.view.verdict(this.view.membership!, chain, seq, saw, changesMembers);
  }

  /** On the hot path: the verdict on a chain stays as long as nobody learned or stated anything, up to the chain's cut. */
  judgeData(chain: Chain, seq: number): Verdict {
    const membership = this.view.membership!;
    const known = chain.verdict;
    if (known?.membership === membership && known.knowsVersion === chain.knowsVersion && seq <= known.lastCounting)
      return 'counts';
    const verdict = this.#verdict(chain, seq, false);
    if (verdict === 'counts') {
      const lastCounting = membership.lastCounting(chain.deviceHex, chain.hex);
      chain.verdict = { membership, knowsVersion: chain.knowsVersion, lastCounting };
    }
    return verdict;
  }

  #found(chain: Chain, changes: readonly Change[]): void {
    const { view } = this;
    const founding = readFounding(this.crypto, view.space, chain.device, changes);
    view.founder = chain.device;
    view.name = founding.name;
    view.judge();
    this.undo.add(() => {
      view.founder = null;
      view.judge();
    });
  }

  #takeFact(chain: Chain, seq: number, { time, changes }: Body): void {
    const { view } = this;
    const statements = readFacts(changes);
    const past = [...view.judgingChains()]
      .flatMap((other) => (other === chain.number ? [] : [other, other + BRANCH]))
      .filter((other) => chain.saw(other) > 0)
      .map((other) => [other, chain.saw(other)] as const);
    const { facts: factsBefore, membership: before } = view;
    view.facts = [...view.facts, { position: view.head + 1, chain: chain.number, seq, time, past, statements }];
    view.judge();
    this.undo.add(() => {
      view.facts = factsBefore;
      view.judge();
    });
    // Also who makes an owner may change which revocations count: that one may now be senior to whom it was revoked by. One that
    // doesn't count changes nothing: a revoked owner could have the whole log swept with each that it makes.
    if (!view.membership!.cutsAs(before!)) this.cutsChanged = true;
    // Past a fork it may have been named before it came; what rests on a revoked grant may rest on this one too.
    if (seq >= view.forks.first(chain.hex) && view.hasRevocations) this.cutsChanged = true;
  }

  /** Keeps the clock ahead of what was seen, unless that is from the future. */
  observe(chain: Chain, timeUs: number): void {
    if (isFromTheFuture(timeUs, this.nowUs)) this.fromTheFuture.push({ device: chain.device, timeUs });
    this.view.clock = observe(this.view.clock, timeUs, this.nowUs);
  }
}

/**
 * Admits what of a batch is new.
 *
 * Throws `unlinked`, `fork`, `causal-gap`, `unauthorized`, `bad-space`, `gap-refused`, `bad-commit`, `commit-too-large`; then nothing has changed.
 * The view must have loaded what the batch's chains know.
 */
export function admitBatch(view: View, crypto: Crypto, batch: AuthenticBatch, nowUs: number): Admission {
  const passage = new Passage(view, crypto, nowUs);
  try {
    const chains = new Map<AuthenticEntry['chain'], Chain>();
    for (const entry of batch.entries) {
      let chain = chains.get(entry.chain);
      if (!chain) {
        chain = view.chainById(entry.chain.id) ?? passage.addChain(entry.chain.device, entry.chain.nonce);
        chains.set(entry.chain, chain);
      }
      if (entry.seq <= chain.seq) {
        if (entry.seq === chain.seq && !equal(entry.id, chain.head)) throw fork(chain);
        passage.duplicates++;
        if (entry.kind === 'commit' && view.holes.has(holeName(chain.number, entry.seq))) passage.fills.push(entry);
        continue;
      }
      if (entry.kind === 'gap') {
        if (view.filter === null) throw new TidelogError('gap-refused', `to seq ${entry.seq} of chain ${chain.hex}`);
      } else {
        if (entry.seq > chain.seq + 1)
          throw new TidelogError('unlinked', `seq ${entry.seq} of chain ${chain.hex} came after seq ${chain.seq}`);
        if (!equal(entry.prev, chain.head)) throw fork(chain);
        // From one who hasn't heard of the fork: taken in, it would have to be set aside at once, again and again.
        if (view.forks.isDropped(chain, entry)) throw fork(chain);
      }
      admitEntry(passage, chain, entry);
    }
    // A block is stored as it came, and each chain that it lists is looked up when it is read.
    if (chains.size < batch.chains.length)
      throw new TidelogError('bad-batch', 'it lists a chain of which it has no entry');
  } catch (thrown) {
    passage.undo.run();
    throw thrown;
  }
  return passage.done();
}

function fork(chain: Chain): TidelogError {
  return new TidelogError('fork', `seq ${chain.seq} of chain ${chain.hex}`, {
    chain: chain.hex,
    device: chain.deviceHex,
    seq: chain.seq,
  });
}

function admitEntry(passage: Passage, chain: Chain, entry: AuthenticEntry): void {
  const { view } = passage;
  const place = { position: view.head + 1, chain, seq: entry.seq, id: entry.id, prev: chain.head };
  if (entry.kind === 'gap') {
    passage.entries.push({ ...place, kind: 'gap', seqBefore: chain.seq });
  } else if (entry.kind === 'erased') {
    if (view.membership === null) throw new TidelogError('bad-space', 'its first commit is erased');
    passage.learn(chain, entry.seq, decodeStem(entry.stem).deps);
    const verdict = passage.judgeErased(chain, entry.seq);
    if (verdict === 'unauthorized') throw new TidelogError('unauthorized', `an erased commit of chain ${chain.hex}`);
    // A partial copy is sent what it didn't ask for without its changes, where its author had seen something new.
    const isExplained = verdict === 'void' || view.filter !== null;
    if (!isExplained) {
      const name = holeName(chain.number, entry.seq);
      view.holes.set(name, { chain: chain.number, seq: entry.seq, position: place.position });
      passage.undo.add(() => view.holes.delete(name));
    }
    passage.entries.push({
      ...place,
      kind: 'erased',
      signature: entry.signature,
      stem: entry.stem,
      changesHash: entry.changesHash,
      isExplained,
    });
  } else {
    admitCommit(passage, place, entry);
  }
  if (view.forks.isAwaited(entry.id)) passage.isLate = true;
  passage.advance(chain, entry.seq, entry.id);
  view.head++;
}

function admitCommit(
  passage: Passage,
  place: Pick<Admitted, 'position' | 'chain' | 'seq' | 'id' | 'prev'>,
  { signature, bodyHash, body }: Extract<AuthenticEntry, { kind: 'commit' }>,
): void {
  const { chain, seq } = place;
  const parsed = decodeBody(body);
  passage.learn(chain, seq, parsed.deps);
  const verdict = passage.judge(chain, seq, parsed);
  if (verdict === 'unauthorized') throw new TidelogError('unauthorized', `seq ${seq} of chain ${chain.hex}`);
  if (verdict === 'void' && !changesMembership(parsed.changes)) {
    passage.entries.push({
      ...place,
      kind: 'erased',
      signature,
      ...eraseBody(passage.crypto, body),
      isExplained: true,
    });
    return;
  }
  passage.observe(chain, parsed.time);
  passage.view.commits++;
  const counts = verdict === 'counts';
  passage.entries.push({
    ...place,
    kind: 'commit',
    signature,
    bodyHash,
    body,
    parsed: () => parsed,
    plain: null,
    counts,
  });
}

/** What a next commit of `chain` says of another chain: nothing where it has said so before. */
function depOn(view: View, chain: Chain, other: Chain): Dependency[] {
  const { id, seq, head, number } = other;
  if (seq >= view.forks.first(other.hex)) return seq > chain.saw(number + BRANCH) ? [{ chain: id, seq, id: head }] : [];
  return seq > chain.saw(number) ? [{ chain: id, seq }] : [];
}

/**
 * Makes and admits a commit of our own.
 *
 * Throws `not-a-member`, `read-only`, `not-an-owner`, `device-revoked`, `commit-too-large`, `bad-commit`.
 * The view must have loaded what our chain knows.
 */
export function admitOwn(
  view: View,
  crypto: Crypto,
  random: RandomBytes,
  keys: KeyPair,
  changes: readonly Change[],
  nowUs: number,
): Admission {
  const passage = new Passage(view, crypto, nowUs);
  try {
    if (view.isRevoked(keys.public)) throw new TidelogError('device-revoked');
    // Joined, and nothing of it has come yet.
    if (view.membership === null && !changesMembership(changes)) throw new TidelogError('not-a-member');
    view.ownChain ??= passage.addChain(keys.public, random(NONCE_BYTES));
    const chain = view.ownChain;
    const seq = chain.seq + 1;
    // Only what advanced since our previous commit; for the first of a chain, all that we have.
    const deps: Dependency[] = [];
    for (const other of view.chains) if (other !== chain) deps.push(...depOn(view, chain, other));
    view.clock = tick(view.clock, nowUs);
    const body = encodeBody({ time: view.clock.last, deps, changes });
    // Through the same gate as what comes from others: the bytes, not what we meant by them.
    const plain = view.membership === null ? null : readPlainBody(crypto, body);
    const parsed = plain ? null : decodeBody(body);
    passage.learn(chain, seq, deps);
    const verdict = parsed ? passage.judge(chain, seq, parsed) : passage.judgeData(chain, seq);
    if (verdict !== 'counts') throw refusal(view, keys.public, parsed !== null && changesMembership(parsed.changes));
    const bodyHash = hashBody(crypto, body);
    const hasher = new ChainHasher(crypto, { space: view.space, device: chain.device, nonce: chain.nonce });
    const prev = chain.head;
    const signature = hasher.sign(keys, seq, prev, bodyHash);
    const id = hasher.id(seq, prev, bodyHash, signature);
    view.commits++;
    passage.entries.push({
      position: view.head + 1,
      chain,
      seq,
      id,
      prev,
      kind: 'commit',
      signature,
      bodyHash,
      body,
      parsed: () => parsed ?? decodeKnownBody(body),
      plain,
      counts: true,
    });
    passage.advance(chain, seq, id);
    view.head++;
  } catch (thrown) {
    passage.undo.run();
    throw thrown;
  }
  return passage.done();
}

function refusal(view: View, device: Uint8Array, membership: boolean): TidelogError {
  const role = view.roleOf(device);
  if (role === null) return new TidelogError('not-a-member');
  return membership ? new TidelogError('not-an-owner') : new TidelogError('read-only', `its role is ${role}`);
}

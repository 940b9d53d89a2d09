/**
 * Who may write what, from facts in the log. Pure, and a function of the set of facts: every peer that holds the same
 * commits judges the same, whatever their order.
 *
 *   ~space              {owner, salt, name}   the founding commit: seq 1 of a chain of the owner, first in every log
 *   ~devices/<ID>       {role, name, revoked}
 *
 * Only owners write subjects that begin with `~`, and a commit that changes one changes nothing else. A commit counts if its author
 * had a writing role in the commit's own causal past, and it isn't past a revocation's cut. What does not count is void: it keeps its place
 * in its chain and is never applied. A void commit on `~` keeps its body, because it is evidence that all peers must judge alike;
 * any other is erased.
 *
 * A revocation names the last seq that counts in each chain of a device (none named: nothing counts) and is final for that key. Several
 * revocations of one device: the least seq for each chain. Where owners revoke each other without having seen it, the senior one's
 * counts: the founder first, then the owners that it made in the order in which it made them, then those that they made, and so on. Without that rule a stolen owner's key could undo its own
 * revocation by claiming not to have seen it.
 */
import { DEVICES_PREFIX, RESERVED_PREFIX, SPACE_SALT_BYTES, SPACE_SUBJECT } from './constants.ts';
import type { Change } from './body.ts';
import type { Crypto } from './crypto.ts';
import { equal, fromHex, toHex } from './bytes.ts';
import { spaceId } from './commit.ts';
import { formatDeviceId, parseDeviceId } from './device-id.ts';
import { checkDeviceKey } from './ed25519.ts';
import { TidelogError } from './errors.ts';
import { isName } from './value.ts';

export const ROLES = ['owner', 'writer', 'reader', 'mirror'] as const;
export type Role = (typeof ROLES)[number];

export function isRole(text: unknown): text is Role {
  return ROLES.includes(text as Role);
}

/** Highest seq of a chain (by hex id) that a commit's author had seen; 0 for none. */
export type Past = (chain: string) => number;

/** One statement about one device, made by one commit. Devices and chains are hex. */
export interface Fact {
  readonly chain: string;
  readonly seq: number;
  readonly author: string;
  /** µs */
  readonly time: number;
  /** What its author had seen, of the chains that had made facts by then, or that have forked. */
  readonly past: ReadonlyMap<string, number>;
  /** What of that it had surely seen: where a chain in it has forked, that may be less. null: all. */
  readonly sure: ReadonlyMap<string, number> | null;
  readonly target: string;
  readonly role: Role | null;
  /** chain → last seq that counts; null where it isn't a revocation. */
  readonly revoked: ReadonlyMap<string, number> | null;
}

export interface JudgedCommit {
  readonly device: Uint8Array;
  readonly chain: string;
  readonly seq: number;
  readonly past: Past;
  /** Where chains have forked: what of its past its author had surely seen, and whether all is here that it names of those chains. null: none has. */
  readonly surely: { readonly past: Past; readonly isAllHere: boolean } | null;
  /** Does it change `~`? */
  readonly membership: boolean;
}

export type Verdict = 'counts' | 'void' | 'unauthorized';

/** Does a subject belong to the space itself? */
export function isReserved(subject: string): boolean {
  return subject.startsWith(RESERVED_PREFIX);
}

/** Does the commit write `~`? Throws `bad-commit` where it mixes that with other subjects. */
export function changesMembership(changes: readonly Change[]): boolean {
  const reserved = changes.filter(({ subject }) => isReserved(subject)).length;
  if (reserved !== 0 && reserved !== changes.length) {
    throw new TidelogError('bad-commit', 'it changes subjects that begin with ~ together with others');
  }
  return reserved !== 0;
}

export interface Founding {
  readonly owner: Uint8Array;
  readonly name: string;
}

/**
 * Checks that the changes of the first commit found this space: the space's id is the hash of the owner's key and the salt.
 * Throws `bad-space`.
 */
export function readFounding(
  crypto: Crypto,
  space: Uint8Array,
  author: Uint8Array,
  changes: readonly Change[],
): Founding {
  const set = changes.find(({ subject }) => subject === SPACE_SUBJECT)?.ops.set;
  const { owner, salt, name } = set ?? {};
  if (
    !(owner instanceof Uint8Array) ||
    !(salt instanceof Uint8Array) ||
    salt.length !== SPACE_SALT_BYTES ||
    !isName(name)
  ) {
    throw new TidelogError('bad-space', 'its first commit does not set owner, salt and name of ~space');
  }
  if (!equal(owner, author)) throw new TidelogError('bad-space', 'its first commit is not by its owner');
  if (!equal(spaceId(crypto, owner, salt), space))
    throw new TidelogError('bad-space', 'its owner and salt give another space id');
  return { owner, name };
}

/**
 * What the changes of a commit on `~` say about devices. Throws `bad-commit` where a device's subject, role or revocation cannot be read:
 * owners are held to the form, or peers would judge differently.
 */
export function readFacts(
  changes: readonly Change[],
): { target: string; role: Role | null; revoked: Map<string, number> | null }[] {
  const facts: { target: string; role: Role | null; revoked: Map<string, number> | null }[] = [];
  for (const { subject, ops } of changes) {
    if (!subject.startsWith(DEVICES_PREFIX)) continue;
    const device = readDevice(subject.slice(DEVICES_PREFIX.length));
    const role = ops.set?.['role'];
    if (role !== undefined && !isRole(role))
      throw new TidelogError('bad-commit', `a device's role is none of ${ROLES.join(', ')}`);
    const revoked = ops.set?.['revoked'];
    if (role === undefined && revoked === undefined) continue;
    facts.push({
      target: toHex(device),
      role: role ?? null,
      revoked: revoked === undefined ? null : readCuts(revoked),
    });
  }
  return facts;
}

function readDevice(text: string): Uint8Array {
  try {
    const device = parseDeviceId(text);
    // In the one form: two subjects for one device would show two devices, and be judged as one.
    if (checkDeviceKey(device) && formatDeviceId(device) === text) return device;
  } catch (thrown) {
    if (!(thrown instanceof TidelogError)) throw thrown;
  }
  throw new TidelogError('bad-commit', `${DEVICES_PREFIX}${text} does not name a device`);
}

function readCuts(revoked: unknown): Map<string, number> {
  const refuse = (): never => {
    throw new TidelogError('bad-commit', 'a revocation is not a map from chain (32 hex digits) to seq');
  };
  if (typeof revoked !== 'object' || revoked === null || Array.isArray(revoked) || revoked instanceof Uint8Array)
    refuse();
  const cuts = new Map<string, number>();
  for (const [chain, seq] of Object.entries(revoked as Record<string, unknown>)) {
    if (chain !== chain.toLowerCase() || fromHex(chain)?.length !== 16) refuse();
    if (typeof seq !== 'number' || !Number.isInteger(seq) || seq < 0) refuse();
    cuts.set(chain, seq as number);
  }
  return cuts;
}

interface RoleWrite {
  readonly fact: Fact;
  readonly role: Role;
}

/** The judgment over one set of facts. Made anew when a fact is added. */
export class Membership {
  readonly founder: string;
  readonly #facts: readonly Fact[];
  /** device → chain → what that chain says of its role, by seq */
  readonly #rolesByTarget = new Map<string, Map<string, RoleWrite[]>>();
  readonly #factsByAuthor = new Map<string, Fact[]>();
  readonly #factsByChain = new Map<string, Fact[]>();
  /** device → chain → last seq that counts */
  readonly #cuts: Map<string, Map<string, number>>;
  /** Whether a fact's author was an owner in its past, under the cuts known when it was asked. Emptied when a cut is added that matters. */
  #authored: Authored;
  /** The same if nothing had been revoked. */
  readonly #authoredWithoutCuts: Authored;
  /** Commits with revocations that count, by chain: no later cut makes them void, nor what else they say. */
  readonly #countedRevocations: Map<string, Set<number>>;

  /**
   * @param facts in the order of a log; another order is judged alike, and more slowly
   * @param before over the same facts without the last ones: what it has found stands, as far as they can't have changed it
   */
  constructor(founder: Uint8Array, facts: readonly Fact[], before: Membership | null = null) {
    this.founder = toHex(founder);
    this.#facts = facts;
    for (const fact of facts) {
      push(this.#factsByAuthor, fact.author, fact);
      push(this.#factsByChain, fact.chain, fact);
      if (fact.role === null) continue;
      const byChain = this.#rolesByTarget.get(fact.target) ?? new Map<string, RoleWrite[]>();
      this.#rolesByTarget.set(fact.target, byChain);
      push(byChain, fact.chain, { fact, role: fact.role });
    }
    // Those of a chain needn't come in its order.
    for (const own of this.#factsByChain.values()) own.sort((a, b) => a.seq - b.seq);
    for (const byChain of this.#rolesByTarget.values()) {
      for (const writes of byChain.values()) writes.sort((a, b) => a.fact.seq - b.fact.seq);
    }
    const added = before && before.founder === this.founder ? addedTo(before.#facts, facts) : null;
    this.#authoredWithoutCuts = added ? before!.#authoredWithoutCuts : new Authored();
    // Only revocations cut, and only who makes an owner changes the order in which they are heard.
    if (added?.every(({ role, revoked }) => role !== 'owner' && revoked === null)) {
      this.#cuts = before!.#cuts;
      this.#authored = before!.#authored;
      this.#countedRevocations = before!.#countedRevocations;
      return;
    }
    this.#cuts = new Map();
    this.#authored = new Authored();
    this.#countedRevocations = new Map();
    if (facts.every(({ revoked }) => revoked === null)) return;
    // A revocation can give a role back, where it makes void what took the role away. Then those who have it again are judged again.
    while (this.#judgeRevocations());
  }

  /** Owners in order of seniority; each one's revocations, and then the owners that it made. Gives whether another revocation counts. */
  #judgeRevocations(): boolean {
    let found = false;
    const owners = [this.founder];
    const seen = new Set(owners);
    for (const owner of owners) {
      const facts = (this.#factsByAuthor.get(owner) ?? []).toSorted(byTimeThenPlace);
      for (const fact of facts) {
        if (fact.revoked === null || !this.#isAuthored(fact, true)) continue;
        if (!this.#counts(fact)) {
          const seqs = this.#countedRevocations.get(fact.chain) ?? new Set();
          this.#countedRevocations.set(fact.chain, seqs.add(fact.seq));
          found = true;
        }
        this.#cut(fact.target, fact.revoked);
      }
      for (const fact of facts) {
        if (fact.role !== 'owner' || seen.has(fact.target) || !this.#isAuthored(fact, true)) continue;
        seen.add(fact.target);
        owners.push(fact.target);
      }
    }
    return found;
  }

  #cut(device: string, cuts: ReadonlyMap<string, number>): void {
    const before = this.#cuts.get(device);
    const after = new Map<string, number>();
    for (const [chain, seq] of cuts) {
      const least = before ? Math.min(seq, before.get(chain) ?? 0) : seq;
      if (least > 0) after.set(chain, least);
    }
    this.#cuts.set(device, after);
    const matters = (this.#factsByAuthor.get(device) ?? []).some(
      ({ chain, seq }) => seq > (after.get(chain) ?? 0) && seq <= (before ? (before.get(chain) ?? 0) : seq),
    );
    if (matters) this.#authored = new Authored();
  }

  /** Does this commit hold a revocation that counts? */
  #counts({ chain, seq }: { readonly chain: string; readonly seq: number }): boolean {
    return this.#countedRevocations.get(chain)?.has(seq) ?? false;
  }

  #isAuthored(fact: Fact, underCuts: boolean): boolean {
    if (underCuts && this.#counts(fact)) return true;
    if (underCuts && this.#isPastCut(fact.author, fact.chain, fact.seq)) return false;
    // Without a memory, two owners who change each other n times would cost 2^n.
    const known = underCuts && this.#cuts.size > 0 ? this.#authored : this.#authoredWithoutCuts;
    if (!known.has(fact) && !known.isFilling) {
      // Oldest first, each finds what it needs: newest first, long histories would go as deep as they are long.
      known.isFilling = true;
      while (!known.has(fact)) this.#isAuthored(this.#facts[known.filled++]!, underCuts);
      known.isFilling = false;
    }
    return known.get(fact) ?? known.set(fact, this.#isOwners(fact, underCuts));
  }

  /** By what of its past it had surely seen, or by all of it: see `verdict`. */
  #isOwners(fact: Fact, underCuts: boolean): boolean {
    const { author, chain, seq, sure } = fact;
    const isOwner = (past: Past): boolean => this.#roleAt(author, past, underCuts) === 'owner';
    if (sure === null) return isOwner(pastOf(fact));
    return isOwner(surePastOf(fact)) || (!this.#sawItself(chain, seq, pastOf(fact)) && isOwner(pastOf(fact)));
  }

  /**
   * Is a fact in its own past, by what others say that they had seen? Past a fork a liar can have it so: it goes on where others name its chain by seq,
   * and names them. Such a past says nothing, and who may write could not be found by it.
   */
  #sawItself(chain: string, seq: number, past: Past): boolean {
    if (lastUpTo(this.#factsByChain.get(chain) ?? [], seq)?.seq !== seq) return false;
    const reached = new Map<string, number>();
    const open = [past];
    for (let next = open.pop(); next; next = open.pop()) {
      for (const [other, facts] of this.#factsByChain) {
        const upTo = next(other);
        if (upTo <= (reached.get(other) ?? 0)) continue;
        if (other === chain && upTo >= seq) return true;
        reached.set(other, upTo);
        // It had seen all that the earlier ones of its chain had.
        const last = lastUpTo(facts, upTo);
        if (last) open.push(pastOf(last));
      }
    }
    return false;
  }

  #isPastCut(device: string, chain: string, seq: number): boolean {
    const cuts = this.#cuts.get(device);
    return cuts !== undefined && seq > (cuts.get(chain) ?? 0);
  }

  /** The role by the writes in `past` that no other of them had surely seen, as merging has it; between concurrent ones the later, then the greater device key. */
  #roleAt(device: string, past: Past, underCuts: boolean): Role | null {
    // What an author had seen grows along its chain: so the last write of each chain had seen all that the earlier ones had, and them.
    const lasts: RoleWrite[] = [];
    for (const [chain, writes] of this.#rolesByTarget.get(device) ?? []) {
      let at = countUpTo(writes, past(chain), ({ fact }) => fact.seq) - 1;
      while (at >= 0 && !this.#isAuthored(writes[at]!.fact, underCuts)) at--;
      if (at >= 0) lasts.push(writes[at]!);
    }
    if (lasts.length > 1) lasts.sort((a, b) => byTimeThenPlace(b.fact, a.fact));
    const winner = lasts.find(
      ({ fact }) => !lasts.some(({ fact: other }) => other !== fact && surelySeenBy(other, fact.chain) >= fact.seq),
    );
    return winner?.role ?? (device === this.founder ? 'owner' : null);
  }

  /** The role that a device has when all facts are seen; null for strangers and for the revoked. */
  roleOf(device: Uint8Array): Role | null {
    const hex = toHex(device);
    return this.#cuts.has(hex) ? null : this.#roleAt(hex, () => Number.POSITIVE_INFINITY, true);
  }

  isRevoked(device: Uint8Array): boolean {
    return this.#cuts.has(toHex(device));
  }

  /** Is the device, or was it, a member by anybody's word that counts? */
  hasRoleEver(device: Uint8Array): boolean {
    return this.isRevoked(device) || this.roleOf(device) !== null;
  }

  /** Members that aren't revoked. */
  devices(): { device: string; role: Role }[] {
    const all = new Set([this.founder, ...this.#rolesByTarget.keys()]);
    return [...all].flatMap((device) => {
      const role = this.#cuts.has(device) ? null : this.#roleAt(device, () => Number.POSITIVE_INFINITY, true);
      return role === null ? [] : [{ device, role }];
    });
  }

  revokedDevices(): string[] {
    return [...this.#cuts.keys()];
  }

  /** Do the same revocations count, and cut alike? Then every commit that both can judge gets the same verdict. */
  cutsAs(other: Membership): boolean {
    if (this.#cuts === other.#cuts && this.#countedRevocations === other.#countedRevocations) return true;
    const isSameMap = <V>(one: ReadonlyMap<string, V>, two: ReadonlyMap<string, V>, same: (a: V, b: V) => boolean) =>
      one.size === two.size && [...one].every(([key, value]) => two.has(key) && same(value, two.get(key)!));
    return (
      isSameMap(this.#cuts, other.#cuts, (a, b) => isSameMap(a, b, (x, y) => x === y)) &&
      isSameMap(
        this.#countedRevocations,
        other.#countedRevocations,
        (a, b) => a.size === b.size && [...a].every((seq) => b.has(seq)),
      )
    );
  }

  /** The last seq of a chain that counts; Infinity where its device isn't revoked. */
  lastCounting(device: string, chain: string): number {
    const cuts = this.#cuts.get(device);
    return cuts === undefined ? Number.POSITIVE_INFINITY : (cuts.get(chain) ?? 0);
  }

  /**
   * By all that its author may have seen and by what it surely had; the better of both is the verdict. Then it doesn't matter whether a commit was judged
   * before the branch that is kept came here. As long as less of that is here than its author names, what it surely had seen must allow the commit: what
   * comes may take away the right that the rest seems to give.
   *
   * @returns `unauthorized` where no grant in its past would allow it, even if nothing had been revoked: a correct peer never
   *   takes such a commit in, and it is an error of whoever sends it
   */
  verdict(commit: JudgedCommit): Verdict {
    const { chain, seq, past, surely } = commit;
    if (surely === null) return this.#verdictBy(commit, past);
    const { isAllHere } = surely;
    const byAll =
      commit.membership && this.#sawItself(chain, seq, past) ? 'unauthorized' : this.#verdictBy(commit, past);
    if (byAll === 'counts' && isAllHere) return byAll;
    const bySure = this.#verdictBy(commit, surely.past);
    if (bySure === 'unauthorized') return isAllHere ? byAll : bySure;
    return byAll === 'counts' ? byAll : bySure;
  }

  #verdictBy(commit: JudgedCommit, past: Past): Verdict {
    const device = toHex(commit.device);
    const allows = (role: Role | null): boolean => role === 'owner' || (role === 'writer' && !commit.membership);
    if (!allows(this.#roleAt(device, past, false))) return 'unauthorized';
    if (this.#counts(commit)) return 'counts';
    if (this.#isPastCut(device, commit.chain, commit.seq)) return 'void';
    return allows(this.#roleAt(device, past, true)) ? 'counts' : 'void';
  }
}

/** Answers about facts, found oldest first. */
class Authored {
  readonly #answers = new Map<Fact, boolean>();
  /** Of the facts in their order, those before this one have been asked about. */
  filled = 0;
  isFilling = false;

  has(fact: Fact): boolean {
    return this.#answers.has(fact);
  }
  get(fact: Fact): boolean | undefined {
    return this.#answers.get(fact);
  }
  set(fact: Fact, answer: boolean): boolean {
    this.#answers.set(fact, answer);
    return answer;
  }
}

/** What `facts` has after `before`; null where it isn't that with something at its end, which nothing before it had seen. */
function addedTo(before: readonly Fact[], facts: readonly Fact[]): readonly Fact[] | null {
  if (before.length > facts.length || before.some((fact, i) => fact !== facts[i])) return null;
  const added = facts.slice(before.length);
  return before.some((fact) => added.some(({ chain, seq }) => seenBy(fact, chain) >= seq)) ? null : added;
}

/** How many of these, which are in order, have at most this seq. */
function countUpTo<T>(of: readonly T[], seq: number, seqOf: (each: T) => number): number {
  let [low, high] = [0, of.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (seqOf(of[middle]!) <= seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The last fact of a chain that has at most this seq. */
function lastUpTo(facts: readonly Fact[], seq: number): Fact | undefined {
  return facts[countUpTo(facts, seq, (fact) => fact.seq) - 1];
}

function pastOf(fact: Fact): Past {
  return (chain) => seenBy(fact, chain);
}

function surePastOf(fact: Fact): Past {
  return (chain) => surelySeenBy(fact, chain);
}

function surelySeenBy(fact: Fact, chain: string): number {
  return chain === fact.chain ? fact.seq - 1 : ((fact.sure ?? fact.past).get(chain) ?? 0);
}

function seenBy(fact: Fact, chain: string): number {
  return chain === fact.chain ? fact.seq - 1 : (fact.past.get(chain) ?? 0);
}

function byTimeThenPlace(a: Fact, b: Fact): number {
  return a.time - b.time || order(a.author, b.author) || order(a.chain, b.chain) || a.seq - b.seq;
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

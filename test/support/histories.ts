/**
 * Histories of a space with a forked chain, commit by commit, and peers that take them in any order that a peer may meet them in. Chains are called by the name
 * of their device; `kept` and `dropped` are two branches of the chain of the device `twin`.
 */
import { nodePlatform } from '../../client/platform/node.ts';
import { packBatch } from '../../client/replica/block.ts';
import { MemoryStore } from '../../client/memory-store.ts';
import type { Space } from '../../client/space.ts';
import type { Store } from '../../client/store.ts';
import { encodeBody, type Change, type Dependency } from '../../protocol/body.ts';
import { compare, equal, toHex } from '../../protocol/bytes.ts';
import { chainId, spaceId } from '../../protocol/commit.ts';
import { formatDeviceId } from '../../protocol/device-id.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { proveFork, type Fork } from '../../protocol/fork.ts';
import type { Role } from '../../protocol/membership.ts';
import { TestChain, type SignedCommit } from './chains.ts';
import { collect, type Member, type Network } from './network.ts';
import { bytesOf, crypto, deviceOf } from './protocol.ts';
import { WrappedStore } from './stores.ts';

/** A commit, and the branch that it stands on. */
export interface Written {
  readonly branch: string;
  readonly commit: SignedCommit;
}

/** What an author had seen: of a branch, up to the commit that is given; by its id too where it knows of the fork. */
export type Seen = Written | { readonly byId: Written };

const TIME_US = 1_700_000_000_000_000;

export function deviceId(name: string): string {
  return formatDeviceId(deviceOf(name).public);
}

export class ForkedHistory {
  readonly space: Uint8Array;
  readonly #salt = bytesOf('salt', 16);
  readonly #chains = new Map<string, TestChain>();
  readonly all: Written[] = [];
  readonly #namedById = new Map<Written, Written[]>();
  #time = TIME_US;

  constructor() {
    this.space = spaceId(crypto, deviceOf('founder').public, this.#salt);
    this.write('founder', [
      { subject: '~space', ops: { set: { owner: deviceOf('founder').public, salt: this.#salt, name: 'home' } } },
      { subject: `~devices/${deviceId('founder')}`, ops: { set: { role: 'owner', name: 'founder' } } },
    ]);
  }

  chain(branch: string): TestChain {
    let chain = this.#chains.get(branch);
    if (!chain) {
      chain = new TestChain(this.space, branch === 'kept' || branch === 'dropped' ? 'twin' : branch);
      this.#chains.set(branch, chain);
    }
    return chain;
  }

  chainHex(branch: string): string {
    const { device, nonce } = this.chain(branch);
    return toHex(chainId(crypto, { space: this.space, device: device.public, nonce }));
  }

  write(branch: string, changes: readonly Change[], seen: readonly Seen[] = []): Written {
    const chain = this.chain(branch);
    const deps = seen.map((each): Dependency => {
      const { branch: of, commit } = 'byId' in each ? each.byId : each;
      const id = chainId(crypto, {
        space: this.space,
        device: this.chain(of).device.public,
        nonce: this.chain(of).nonce,
      });
      return 'byId' in each ? { chain: id, seq: commit.seq, id: commit.id } : { chain: id, seq: commit.seq };
    });
    const other = this.#chains.get(branch === 'kept' ? 'dropped' : branch === 'dropped' ? 'kept' : '');
    const theirs = other?.commits[chain.commits.length];
    const first = theirs && chain.last && equal(theirs.prev, chain.last.id) ? theirs.id : null;
    const isOtherBranch = ({ id }: SignedCommit): boolean =>
      first !== null && compare(first, id) > 0 === (branch === 'dropped');
    const write = (): SignedCommit => chain.write(encodeBody({ time: (this.#time += 1000), deps, changes }));
    let commit = write();
    // Which branch is kept is chance: another time makes another id.
    while (isOtherBranch(commit)) {
      chain.commits.pop();
      commit = write();
    }
    const written = { branch, commit };
    this.all.push(written);
    this.#namedById.set(written, seen.flatMap((each) => ('byId' in each ? [each.byId] : []))); // prettier-ignore
    return written;
  }

  data(branch: string, seen: readonly Seen[] = []): Written {
    return this.write(branch, [{ subject: `note/${branch}/${this.chain(branch).commits.length}`, ops: { set: { by: branch } } }], seen); // prettier-ignore
  }

  grant(branch: string, target: string, role: Role, seen: readonly Seen[] = []): Written {
    return this.write(branch, [{ subject: `~devices/${deviceId(target)}`, ops: { set: { role, name: `by ${branch}` } } }], seen); // prettier-ignore
  }

  revoke(branch: string, target: string, cuts: Record<string, number>, seen: readonly Seen[] = []): Written {
    return this.write(branch, [{ subject: `~devices/${deviceId(target)}`, ops: { set: { revoked: cuts } } }], seen);
  }

  /** From here on `dropped` is another branch of `kept`. */
  fork(): void {
    this.chain('dropped').commits.push(...this.chain('kept').commits);
  }

  proof(): Fork {
    const [kept, dropped] = [this.chain('kept'), this.chain('dropped')];
    const at = kept.commits.findIndex(({ id }, i) => !equal(id, dropped.commits[i]!.id));
    const { seq, prev } = kept.commits[at]!;
    const place = { device: kept.device.public, nonce: kept.nonce, seq, prev };
    return proveFork(crypto, this.space, place, [[kept.commits[at]!], [dropped.commits[at]!]]);
  }

  /** What it names by id, or its chain did before it. */
  namedById({ branch, commit }: Written): readonly Written[] {
    return [...this.#namedById].flatMap(([each, named]) =>
      each.branch === branch && each.commit.seq <= commit.seq ? named : [],
    );
  }

  /** All but what the dropped branch has by itself. */
  standing(): Written[] {
    return this.all.filter(({ branch }) => branch !== 'dropped');
  }

  /** `device`: whose key it has; nobody's by itself. */
  async receiver(
    network: Network,
    name: string,
    store: Store = new MemoryStore(),
    device: string | null = null,
  ): Promise<Receiver> {
    const member = await network.add(name, {
      store,
      seed: bytesOf(device === null ? 'receiver' : `device ${device}`, 32),
    });
    return new Receiver(this, member, await member.peer.addCopy(this.space, ''));
  }
}

export class Receiver {
  readonly #history: ForkedHistory;
  readonly member: Member;
  readonly space: Space;
  #given = 0;

  constructor(history: ForkedHistory, member: Member, space: Space) {
    this.#history = history;
    this.member = member;
    this.space = space;
  }

  takeFork(): Promise<void> {
    return this.space.takeFork(this.#history.proof().bytes);
  }

  /** One commit, as it comes from a peer; null where it is taken, else the code. */
  async give({ branch, commit }: Written): Promise<string | null> {
    const chain = this.#history.chain(branch);
    const batch = { chains: [chain.after(commit.seq - 1)], entries: [chain.entry(commit.seq)] };
    const position = ++this.#given;
    try {
      const intake = this.space.intake();
      await intake.take({ first: position, last: position, ...packBatch(nodePlatform().codecs, batch) });
      await intake.settled();
      return null;
    } catch (thrown) {
      if (!(thrown instanceof TidelogError)) throw thrown;
      return thrown.code;
    }
  }

  /** As an honest peer hands it on, whose log has what its author names by id before it: such a commit is given only after that. */
  async giveInOrder(written: Written): Promise<void> {
    const named = this.#history.namedById(written);
    const has = ({ branch, commit }: Written): boolean =>
      this.space.chains.some(({ hex, seq }) => hex === this.#history.chainHex(branch) && seq >= commit.seq);
    if (named.length === 0 || (this.space.forks().length > 0 && named.every(has))) await this.give(written);
  }

  async giveAll(commits: readonly Written[]): Promise<void> {
    for (const written of commits) {
      const code = await this.give(written);
      if (code !== null) throw new Error(`seq ${written.commit.seq} of ${written.branch}: ${code}`);
    }
  }

  /** Again and again, until none more is taken: what was refused may have lacked something, and what is void now may have counted. */
  async giveUntilRest(commits: readonly Written[]): Promise<void> {
    for (let before = ''; ;) {
      for (const written of commits) await this.giveInOrder(written);
      const now = JSON.stringify(await this.shows());
      if (now === before) return;
      before = now;
    }
  }

  /** All that doesn't depend on the order in which it came. */
  async shows(): Promise<unknown> {
    const { space } = this;
    const chains = space.chains.flatMap(({ hex, seq, head }) => (seq > 0 ? [`${hex} ${seq} ${toHex(head)}`] : []));
    const roles = space.members().map(({ device, role }) => `${toHex(device)} ${role}`);
    const erased = (await collect(space.log())).flatMap((commit) => (commit.erased ? [commit.id] : []));
    return {
      chains: chains.toSorted(),
      roles: roles.toSorted(),
      revoked: space.revokedDevices().map((device) => toHex(device)).toSorted(), // prettier-ignore
      erased: erased.toSorted(),
      state: [...(await collect(space.export())), ...(await collect(space.export('~')))],
    };
  }
}

/** So large that each commit of the guest is a block of its own. */
const LARGE = 'x'.repeat(150_000);
/** Entries before the branch. */
export const BEFORE_BRANCH = 3;
export const GUEST_COMMITS = 8;
/** Resources of each of them. */
export const GUEST_RESOURCES = 40;

export interface OnDropped {
  readonly store: WrappedStore;
  readonly history: ForkedHistory;
  readonly receiver: Receiver;
  readonly space: Space;
}

/** Somebody who holds the branch that doesn't count, of three commits, and a guest's commits behind it. */
export async function onDropped(network: Network): Promise<OnDropped> {
  for (let n = 0; ; n++) {
    const history = new ForkedHistory();
    const given = [...history.all];
    given.push(history.grant('founder', 'twin', 'writer'));
    given.push(history.grant('founder', 'guest', 'writer'));
    const last = given.at(-1)!;
    // Two branches from the first commit on. Which is kept is chance.
    const kept = history.write('kept', [{ subject: `kept/${n}`, ops: { set: { n } } }], [last]);
    history.chain('dropped');
    for (let i = 0; i < 3; i++) given.push(history.data('dropped', i === 0 ? [last] : []));
    if (!equal(history.proof().kept, kept.commit.id)) continue;
    for (let i = 0; i < GUEST_COMMITS; i++) {
      const changes = Array.from({ length: GUEST_RESOURCES }, (_, k) => {
        return { subject: `n/${i}/${k}`, ops: { set: { text: k === 0 ? LARGE : 'x' } } };
      });
      given.push(history.write('guest', changes, i === 0 ? [last] : []));
    }
    const store = new WrappedStore(new MemoryStore());
    const receiver = await history.receiver(network, 'receiver', store);
    await receiver.giveAll(given);
    return { store, history, receiver, space: receiver.space };
  }
}

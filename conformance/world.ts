/**
 * What the implementation under test should hold: a space, its entries in an order that respects causality, and who signed them. The kit writes in it
 * with keys of its own, for as many authors as a case wants; what the implementation writes is taken in from its log.
 */
import { type Batch, type BatchChain, type BatchEntry } from '../protocol/batch.ts';
import {
  decodeBody,
  encodeBody,
  eraseBody,
  hashBody,
  type Body,
  type Change,
  type Dependency,
} from '../protocol/body.ts';
import { equal, toHex } from '../protocol/bytes.ts';
import { chainId, ChainHasher, spaceId, ZERO_ID } from '../protocol/commit.ts';
import { DEVICES_PREFIX, SPACE_SUBJECT } from '../protocol/constants.ts';
import type { Role } from '../protocol/membership.ts';
import { digest, type ChainHead } from '../protocol/vector.ts';
import { crypto, random, type Device } from './device.ts';

export interface ChainName {
  readonly id: Uint8Array;
  readonly device: Uint8Array;
  readonly nonce: Uint8Array;
}

/** A signed commit, or what a batch can say of one. */
export interface Commit {
  readonly chain: ChainName;
  readonly seq: number;
  readonly prev: Uint8Array;
  readonly id: Uint8Array;
  readonly signature: Uint8Array;
  /** Whole; null where only what is left of it after an erasure is known. */
  readonly body: Uint8Array | null;
  readonly erased: { readonly stem: Uint8Array; readonly changesHash: Uint8Array };
}

/** A change of one subject by `set`. */
export function set(subject: string, values: Record<string, unknown>): Change {
  return { subject, ops: { set: values as never } };
}

export interface WriteOptions {
  readonly deps?: readonly Dependency[];
  /** µs */
  readonly time?: number;
}

/** One device's chain in a space. */
export class Author {
  readonly device: Device;
  readonly chain: ChainName;
  readonly commits: Commit[] = [];
  readonly #world: World;
  readonly #hasher: ChainHasher;
  /** What its deps have named so far: chain (hex) → seq. */
  readonly #named = new Map<string, number>();
  #lastTime = 0;

  constructor(world: World, device: Device) {
    const nonce = random(8);
    const key = { space: world.space, device: device.keys.public, nonce };
    this.#world = world;
    this.device = device;
    this.chain = { id: chainId(crypto, key), device: key.device, nonce };
    this.#hasher = new ChainHasher(crypto, key);
  }

  get last(): Commit | undefined {
    return this.commits.at(-1);
  }
  get space(): Uint8Array {
    return this.#world.space;
  }

  /** The heads of other chains that this one's deps must name now, if it has seen the whole world. */
  deps(): Dependency[] {
    return this.#world
      .vector()
      .filter(({ chain, seq }) => !equal(chain, this.chain.id) && (this.#named.get(toHex(chain)) ?? 0) < seq)
      .map(({ chain, seq }) => ({ chain, seq }));
  }

  /** A body as this author would write it now. */
  body(changes: readonly Change[], { deps = this.deps(), time }: WriteOptions = {}): Body {
    this.#lastTime = Math.max(Date.now() * 1000, this.#lastTime + 1);
    return { time: time ?? this.#lastTime, deps, changes };
  }

  /** Signs a body and keeps nothing of it: what comes of it need not be right. */
  sign(body: Uint8Array, overrides: { seq?: number; prev?: Uint8Array; by?: Device; hash?: Uint8Array } = {}): Commit {
    const { seq = this.commits.length + 1, prev = this.last?.id ?? ZERO_ID, by = this.device } = overrides;
    const bodyHash = overrides.hash ?? hashBody(crypto, body);
    const signature = this.#hasher.sign(by.keys, seq, prev, bodyHash);
    return this.#commit(seq, prev, body, signature, bodyHash);
  }

  /** The log was replaced: this chain is what stands there, no more and no less, and its next commit goes on after that. */
  setBack(log: readonly Commit[]): void {
    const commits = log.filter(({ chain }) => equal(chain.id, this.chain.id));
    this.commits.splice(0, this.commits.length, ...commits);
    this.#named.clear();
    for (const { body } of commits)
      if (body) for (const { chain, seq } of decodeBody(body).deps) this.#named.set(toHex(chain), seq);
  }

  /** A commit with any signature. */
  withSignature({ seq, prev, body }: Commit, signature: Uint8Array): Commit {
    return this.#commit(seq, prev, body!, signature, hashBody(crypto, body!));
  }

  #commit(seq: number, prev: Uint8Array, body: Uint8Array, signature: Uint8Array, bodyHash: Uint8Array): Commit {
    const id = this.#hasher.id(seq, prev, bodyHash, signature);
    return { chain: this.chain, seq, prev, id, signature, body, erased: erase(body) };
  }

  /** Next on its own chain, and not in the world: to be tried out. `keep` or `world.add` make it so. */
  draft(changes: readonly Change[], options: WriteOptions = {}): Commit {
    return this.sign(encodeBody(this.body(changes, options)));
  }

  /** The chain goes on after this one. */
  keep(commit: Commit, deps: readonly Dependency[] = []): void {
    this.commits.push(commit);
    for (const { chain, seq } of deps) this.#named.set(toHex(chain), seq);
  }

  /** A commit that the implementation should take: it is in the world from now on. */
  write(changes: readonly Change[], options: WriteOptions = {}): Commit {
    const body = this.body(changes, options);
    return this.add(this.sign(encodeBody(body)), body.deps);
  }

  /** One that was made by `sign` or `draft`. */
  add(commit: Commit, deps: readonly Dependency[]): Commit {
    this.keep(commit, deps);
    this.#world.add(commit);
    return commit;
  }
}

function erase(body: Uint8Array): Commit['erased'] {
  try {
    return eraseBody(crypto, body);
  } catch {
    // Of a body that is none nothing is left, and no case erases it.
    return { stem: body, changesHash: new Uint8Array(32) };
  }
}

export class World {
  readonly space: Uint8Array;
  /** In an order that respects causality: positions of the kit's own log, from 1. */
  readonly log: Commit[] = [];
  readonly #heads = new Map<string, ChainHead>();
  /** An author that is an owner of the space. */
  owner!: Author;

  constructor(space: Uint8Array) {
    this.space = space;
  }

  /** A new space, founded by the kit. */
  static found(founder: Device, name = 'conformance'): World {
    const salt = random(16);
    const world = new World(spaceId(crypto, founder.keys.public, salt));
    world.owner = new Author(world, founder);
    world.owner.write([
      set(SPACE_SUBJECT, { owner: founder.keys.public, salt, name }),
      set(DEVICES_PREFIX + founder.id, { role: 'owner', name: founder.name }),
    ]);
    return world;
  }

  get head(): number {
    return this.log.length;
  }
  digest(): Uint8Array {
    return digest(crypto, this.#heads.values());
  }
  vector(): ChainHead[] {
    return [...this.#heads.values()];
  }
  headOf(chain: Uint8Array): ChainHead | undefined {
    return this.#heads.get(toHex(chain));
  }
  has(chain: Uint8Array, seq: number): boolean {
    return (this.headOf(chain)?.seq ?? 0) >= seq;
  }

  add(commit: Commit): void {
    const { chain, seq, id } = commit;
    const before = this.headOf(chain.id);
    if ((before?.seq ?? 0) + 1 !== seq) throw new Error(`the kit's own log would have a hole: seq ${seq}`);
    this.log.push(commit);
    this.#heads.set(toHex(chain.id), { chain: chain.id, seq, id });
  }

  /** Takes what an implementation has for the truth, right or wrong: what a case found must not fail all that come after it. */
  replace(commits: readonly Commit[]): void {
    this.log.length = 0;
    this.#heads.clear();
    for (const commit of commits) this.add(commit);
    this.owner.setBack(this.log);
  }

  author(device: Device): Author {
    return new Author(this, device);
  }

  /** An owner's commit that gives a device a role. */
  grant(device: Device, role: Role, by: Author = this.owner): Commit {
    return by.write([set(DEVICES_PREFIX + device.id, { role, name: device.name })]);
  }

  /** An owner's commit that revokes a device: of each of its chains, up to which seq it counts. */
  revoke(device: Device, cuts: readonly (readonly [Author, number])[], by: Author = this.owner): Commit {
    const revoked = Object.fromEntries(cuts.map(([author, seq]) => [toHex(author.chain.id), seq]));
    return by.write([set(DEVICES_PREFIX + device.id, { revoked })]);
  }
}

/** A batch of these commits, whatever they are; each chain as it stands before its first. */
export function batchOf(commits: readonly Commit[], erased: (commit: Commit) => boolean = ({ body }) => !body): Batch {
  const chains: BatchChain[] = [];
  const indexByChain = new Map<string, number>();
  const entries = commits.map((commit): BatchEntry => {
    const { chain, seq, prev, signature, body } = commit;
    const name = toHex(chain.id);
    let index = indexByChain.get(name);
    if (index === undefined) {
      index = chains.length;
      indexByChain.set(name, index);
      chains.push({ device: chain.device, nonce: chain.nonce, seq: seq - 1, id: prev });
    }
    return erased(commit)
      ? { kind: 'erased', chain: index, signature, ...commit.erased }
      : { kind: 'commit', chain: index, signature, body: body! };
  });
  return { chains, entries };
}

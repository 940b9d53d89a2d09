/**
 * A fork, proven: two different commits of one chain with one `seq` and one `prev`, both signed by the chain's device. The proof needs no log and no
 * trust in whoever hands it on: `msgpack [device 32, nonce 8, seq, prev 32, first, second]`, each branch `[[body hash 32, signature 64], …]`, the
 * commits of that branch from `seq` on. Its last signature verifies, and so vouches for those before it (see authenticate.ts); one of an honest
 * device is a branch of one.
 *
 * The branch whose id at `seq` is smaller, as bytes, is the one that every peer keeps. It stands first.
 */
import { compare, isZero, toHex } from './bytes.ts';
import { ChainHasher, chainId } from './commit.ts';
import {
  COMMIT_ID_BYTES,
  DEVICE_KEY_BYTES,
  FORK_BRANCH_MAX,
  HASH_BYTES,
  NONCE_BYTES,
  SIGNATURE_BYTES,
} from './constants.ts';
import type { Crypto } from './crypto.ts';
import { checkDeviceKey, verifyWithCheckedKey } from './ed25519.ts';
import { TidelogError } from './errors.ts';
import { decodeStrict, encode } from './msgpack.ts';
import { isBytes, isCount } from './shape.ts';

/** As much of a commit as its id and its signature cover. */
export interface ForkedCommit {
  readonly bodyHash: Uint8Array;
  readonly signature: Uint8Array;
}

export interface Fork {
  readonly device: Uint8Array;
  readonly nonce: Uint8Array;
  /** Chain id. */
  readonly chain: Uint8Array;
  /** The first `seq` at which the two branches differ. */
  readonly seq: number;
  /** Id of the last commit that they share; zeros where `seq` is 1. */
  readonly prev: Uint8Array;
  /** Id at `seq` of the branch that counts. */
  readonly kept: Uint8Array;
  /** Id at `seq` of the branch that doesn't. */
  readonly dropped: Uint8Array;
  /** The proof. */
  readonly bytes: Uint8Array;
}

/** Array of fields, of branches, of commits. */
const PROOF_DEPTH_MAX = 4;

/** The proof of a fork, from the commits of its two branches, in any order. Throws as `readFork` does. */
export function proveFork(
  crypto: Crypto,
  space: Uint8Array,
  at: Pick<Fork, 'device' | 'nonce' | 'seq' | 'prev'>,
  branches: readonly [readonly ForkedCommit[], readonly ForkedCommit[]],
): Fork {
  const { device, nonce, seq, prev } = at;
  const hasher = new ChainHasher(crypto, { space, device, nonce });
  const byId = branches.toSorted((a, b) => compare(idOf(hasher, seq, prev, a[0]!), idOf(hasher, seq, prev, b[0]!)));
  const [first, second] = byId.map((branch) => branch.map(({ bodyHash, signature }) => [bodyHash, signature]));
  return readFork(crypto, space, encode([device, nonce, seq, prev, first, second]));
}

/** Throws `bad-fork` for what proves none. */
export function readFork(crypto: Crypto, space: Uint8Array, bytes: Uint8Array): Fork {
  const fields = decodeStrict(bytes, PROOF_DEPTH_MAX, 'bad-fork');
  if (!Array.isArray(fields) || fields.length !== 6) refuse('it is not [device, nonce, seq, prev, first, second]');
  const [device, nonce, seq, prev, ...branches] = fields as unknown[];
  if (!isBytes(device, DEVICE_KEY_BYTES) || !checkDeviceKey(device)) refuse('its device is no device key');
  if (!isBytes(nonce, NONCE_BYTES)) refuse('its nonce is not 8 bytes');
  if (!isCount(seq) || seq === 0) refuse('its seq is not an integer from 1');
  if (!isBytes(prev, COMMIT_ID_BYTES) || (seq === 1) !== isZero(prev)) refuse('its prev does not fit its seq');
  const key = { space, device, nonce };
  const hasher = new ChainHasher(crypto, key);
  const [kept, dropped] = branches.map((branch) => {
    const commits = readBranch(branch);
    checkBranch(crypto, hasher, device, seq, prev, commits);
    return idOf(hasher, seq, prev, commits[0]!);
  }) as [Uint8Array, Uint8Array];
  if (compare(kept, dropped) >= 0) refuse('its branches are one, or the one with the larger id comes first');
  return { device, nonce, chain: chainId(crypto, key), seq, prev, kept, dropped, bytes };
}

function idOf(hasher: ChainHasher, seq: number, prev: Uint8Array, { bodyHash, signature }: ForkedCommit): Uint8Array {
  return hasher.id(seq, prev, bodyHash, signature);
}

function readBranch(branch: unknown): ForkedCommit[] {
  if (!Array.isArray(branch) || branch.length === 0 || branch.length > FORK_BRANCH_MAX)
    refuse(`a branch is not 1 to ${FORK_BRANCH_MAX} commits`);
  return branch.map((commit: unknown) => {
    if (!Array.isArray(commit) || commit.length !== 2) refuse('a commit is not [body hash, signature]');
    const [bodyHash, signature] = commit as unknown[];
    if (!isBytes(bodyHash, HASH_BYTES) || !isBytes(signature, SIGNATURE_BYTES))
      refuse('a commit is not a hash of 32 bytes and a signature of 64');
    return { bodyHash, signature };
  });
}

function checkBranch(
  crypto: Crypto,
  hasher: ChainHasher,
  device: Uint8Array,
  seq: number,
  prev: Uint8Array,
  commits: readonly ForkedCommit[],
): void {
  let head = prev;
  for (const [i, commit] of commits.entries()) {
    if (i === commits.length - 1) {
      const signed = hasher.signedBytes(seq + i, head, commit.bodyHash);
      if (!verifyWithCheckedKey(crypto, device, signed, commit.signature))
        refuse(`the signature of seq ${seq + i} does not verify under ${toHex(device)}`);
    }
    head = idOf(hasher, seq + i, head, commit);
  }
}

function refuse(what: string): never {
  throw new TidelogError('bad-fork', what);
}

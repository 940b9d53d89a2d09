/**
 * Is every entry of a batch by the device it names, unaltered, and in its place in its chain?
 *
 * A run of one chain's consecutive commits is authentic if it links and its last signature verifies: each id covers the header
 * and the signature before it, so the last signature vouches for the whole run. A run ends where the batch ends or a gap begins.
 * This stage needs nothing but the bytes: no heads, no members, no clock. What it hands on is linked to what the batch says came
 * before; whether that is what *we* have is the next stage's question.
 */
import type { Batch } from './batch.ts';
import { hashBody, hashErased, type ErasedBody } from './body.ts';
import type { Crypto } from './crypto.ts';
import { ChainHasher, chainId } from './commit.ts';
import { TidelogError } from './errors.ts';
import { isZero, toHex } from './bytes.ts';
import { checkDeviceKey, verifyWithCheckedKey } from './ed25519.ts';

export interface AuthenticChain {
  readonly id: Uint8Array;
  readonly device: Uint8Array;
  readonly nonce: Uint8Array;
  /** What the batch says came before its first entry. */
  readonly seqBefore: number;
  readonly idBefore: Uint8Array;
}

interface Place {
  readonly chain: AuthenticChain;
  readonly seq: number;
  /** The id before it in its chain, as the batch has it. */
  readonly prev: Uint8Array;
  /** The id of this commit; of a gap, the id at the seq that it skips to. */
  readonly id: Uint8Array;
}

export type AuthenticEntry = Place &
  (
    | {
        readonly kind: 'commit';
        readonly signature: Uint8Array;
        readonly bodyHash: Uint8Array;
        readonly body: Uint8Array;
      }
    | ({ readonly kind: 'erased'; readonly signature: Uint8Array; readonly bodyHash: Uint8Array } & ErasedBody)
    | { readonly kind: 'gap' }
  );

export interface AuthenticBatch {
  readonly chains: readonly AuthenticChain[];
  readonly entries: readonly AuthenticEntry[];
}

/** Throws `bad-key`, `bad-batch`, `bad-commit`, `unlinked` or `bad-signature`. */
export function authenticate(crypto: Crypto, space: Uint8Array, batch: Batch): AuthenticBatch {
  return link(crypto, space, batch, true);
}

/** The same places and ids, for a batch that this peer has already taken in: no signature is verified. */
export function linkKnown(crypto: Crypto, space: Uint8Array, batch: Batch): AuthenticBatch {
  return link(crypto, space, batch, false);
}

/** A chain of the batch while it is walked along. */
interface Walk {
  readonly chain: AuthenticChain;
  readonly hasher: ChainHasher;
  seq: number;
  head: Uint8Array;
  /** The last commit of a run that hasn't been verified yet. */
  unverified: {
    readonly seq: number;
    readonly prev: Uint8Array;
    readonly bodyHash: Uint8Array;
    readonly signature: Uint8Array;
  } | null;
}

function link(crypto: Crypto, space: Uint8Array, batch: Batch, verify: boolean): AuthenticBatch {
  const walks = readChains(crypto, space, batch);
  const entries = batch.entries.map((entry): AuthenticEntry => {
    const walk = walks[entry.chain]!;
    const { chain, hasher, head: prev } = walk;
    if (entry.kind === 'gap') {
      if (entry.seq <= walk.seq) throw new TidelogError('unlinked', `a gap from seq ${walk.seq} back to ${entry.seq}`);
      if (verify) endRun(crypto, walk);
      walk.seq = entry.seq;
      walk.head = entry.id;
      return { kind: 'gap', chain, seq: entry.seq, prev, id: entry.id };
    }
    const seq = walk.seq + 1;
    const { signature } = entry;
    const bodyHash = entry.kind === 'commit' ? hashBody(crypto, entry.body) : hashErased(crypto, entry);
    const id = hasher.id(seq, prev, bodyHash, signature);
    walk.unverified = { seq, prev, bodyHash, signature };
    walk.seq = seq;
    walk.head = id;
    return entry.kind === 'commit'
      ? { kind: 'commit', chain, seq, prev, id, signature, bodyHash, body: entry.body }
      : { kind: 'erased', chain, seq, prev, id, signature, bodyHash, stem: entry.stem, changesHash: entry.changesHash };
  });
  if (verify) for (const walk of walks) endRun(crypto, walk);
  return { chains: walks.map(({ chain }) => chain), entries };
}

/** Of one entry by itself, where no run vouches for it. A gap has none. Throws `bad-signature`. */
export function checkSignature(crypto: Crypto, space: Uint8Array, entry: AuthenticEntry): void {
  if (entry.kind === 'gap') return;
  const { device, nonce, id } = entry.chain;
  const hasher = new ChainHasher(crypto, { space, device, nonce });
  if (!verifyWithCheckedKey(crypto, device, hasher.signedBytes(entry.seq, entry.prev, entry.bodyHash), entry.signature))
    throw new TidelogError('bad-signature', `seq ${entry.seq} of chain ${toHex(id)}`);
}

function readChains(crypto: Crypto, space: Uint8Array, batch: Batch): Walk[] {
  const known = new Set<string>();
  return batch.chains.map(({ device, nonce, seq, id }): Walk => {
    if (!checkDeviceKey(device)) throw new TidelogError('bad-key', toHex(device));
    if ((seq === 0) !== isZero(id)) throw new TidelogError('unlinked', 'seq 0 and the zero id belong together');
    const key = { space, device, nonce };
    const chain = { id: chainId(crypto, key), device, nonce, seqBefore: seq, idBefore: id };
    const hex = toHex(chain.id);
    if (known.has(hex)) throw new TidelogError('bad-batch', `it lists chain ${hex} twice`);
    known.add(hex);
    return { chain, hasher: new ChainHasher(crypto, key), seq, head: id, unverified: null };
  });
}

function endRun(crypto: Crypto, walk: Walk): void {
  const { chain, hasher, unverified } = walk;
  if (unverified === null) return;
  walk.unverified = null;
  const signed = hasher.signedBytes(unverified.seq, unverified.prev, unverified.bodyHash);
  if (!verifyWithCheckedKey(crypto, chain.device, signed, unverified.signature)) {
    throw new TidelogError('bad-signature', `seq ${unverified.seq} of chain ${toHex(chain.id)}`);
  }
}

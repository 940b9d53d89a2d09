/**
 * Is every entry of a batch by the device it names, unaltered, and in its place in its chain?
 *
 * A run of one chain's consecutive commits is authentic if it links and its last signature verifies: each id covers the header
 * and the signature before it, so the last signature vouches for the whole run. A run ends where the batch ends or a gap begins.
 * This stage needs nothing but the bytes: no heads, no members, no clock. What it hands on is linked to what the batch says came
 * before; whether that is what *we* have is the next stage's question.
 */
import type { Batch } from './batch.ts';
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
    | { readonly kind: 'erased'; readonly signature: Uint8Array; readonly bodyHash: Uint8Array }
    | { readonly kind: 'gap' }
  );

export interface AuthenticBatch {
  readonly chains: readonly AuthenticChain[];
  readonly entries: readonly AuthenticEntry[];
}

/** The end of a run that hasn't been verified yet. */
interface OpenRun {
  seq: number;
  prev: Uint8Array;
  bodyHash: Uint8Array;
  signature: Uint8Array;
}

/** Throws `bad-key`, `bad-batch`, `unlinked` or `bad-signature`. */
export function authenticate(crypto: Crypto, space: Uint8Array, batch: Batch): AuthenticBatch {
  const chains: AuthenticChain[] = [];
  const hashers: ChainHasher[] = [];
  const seqs: number[] = [];
  const heads: Uint8Array[] = [];
  const openRuns: (OpenRun | null)[] = [];
  const known = new Set<string>();
  for (const { device, nonce, seq, id } of batch.chains) {
    if (!checkDeviceKey(device)) throw new TidelogError('bad-key', toHex(device));
    if ((seq === 0) !== isZero(id)) throw new TidelogError('unlinked', 'seq 0 and the zero id belong together');
    const key = { space, device, nonce };
    const chain = chainId(crypto, key);
    const hex = toHex(chain);
    if (known.has(hex)) throw new TidelogError('bad-batch', `it lists chain ${hex} twice`);
    known.add(hex);
    chains.push({ id: chain, device, nonce, seqBefore: seq, idBefore: id });
    hashers.push(new ChainHasher(crypto, key));
    seqs.push(seq);
    heads.push(id);
    openRuns.push(null);
  }

  const endRun = (index: number): void => {
    const run = openRuns[index];
    if (!run) return;
    openRuns[index] = null;
    const { device } = chains[index]!;
    const signed = hashers[index]!.signedBytes(run.seq, run.prev, run.bodyHash);
    if (!verifyWithCheckedKey(crypto, device, signed, run.signature)) {
      throw new TidelogError('bad-signature', `seq ${run.seq} of chain ${toHex(chains[index]!.id)}`);
    }
  };

  const entries = batch.entries.map((entry): AuthenticEntry => {
    const index = entry.chain;
    const chain = chains[index]!;
    const seqBefore = seqs[index]!;
    if (entry.kind === 'gap') {
      if (entry.seq <= seqBefore)
        throw new TidelogError('unlinked', `a gap from seq ${seqBefore} back to ${entry.seq}`);
      endRun(index);
      seqs[index] = entry.seq;
      heads[index] = entry.id;
      return { kind: 'gap', chain, seq: entry.seq, id: entry.id };
    }
    const seq = seqBefore + 1;
    const prev = heads[index]!;
    const { signature } = entry;
    const bodyHash = entry.kind === 'commit' ? crypto.sha256(entry.body) : entry.bodyHash;
    const id = hashers[index]!.id(seq, prev, bodyHash, signature);
    openRuns[index] = { seq, prev, bodyHash, signature };
    seqs[index] = seq;
    heads[index] = id;
    return entry.kind === 'commit'
      ? { kind: 'commit', chain, seq, id, signature, bodyHash, body: entry.body }
      : { kind: 'erased', chain, seq, id, signature, bodyHash };
  });
  for (let index = 0; index < chains.length; index++) endRun(index);
  return { chains, entries };
}

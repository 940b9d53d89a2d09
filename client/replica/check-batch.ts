/**
 * Every link and every signature of a batch. What comes from a peer is authentic if it links and the last signature of each run verifies; here
 * the others are verified too. One that doesn't is its author's doing and no damage: whoever altered a signature would have altered the id of its commit, and
 * with it what the last one signs. A receiver must take such a commit, and so it is told of and not refused.
 */
import {
  linkKnown,
  type AuthenticBatch,
  type AuthenticChain,
  type AuthenticEntry,
} from '../../protocol/authenticate.ts';
import type { Batch } from '../../protocol/batch.ts';
import { toHex } from '../../protocol/bytes.ts';
import { ChainHasher } from '../../protocol/commit.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { verifyWithCheckedKey } from '../../protocol/ed25519.ts';
import { TidelogError } from '../../protocol/errors.ts';
import type { Pace } from './pace.ts';

export interface CheckedBatch {
  readonly linked: AuthenticBatch;
  /** Entries whose own signature doesn't verify, each vouched for by a later one of its chain: indexes. */
  readonly vouched: readonly number[];
}

/** Throws what `authenticate` throws, at the first fault. */
export async function checkBatch(crypto: Crypto, space: Uint8Array, batch: Batch, pace: Pace): Promise<CheckedBatch> {
  const linked = linkKnown(crypto, space, batch);
  const hashers = new Map<AuthenticChain, ChainHasher>();
  /** Of each chain's last entry so far: whether its signature verifies. */
  const isLastGood = new Map<AuthenticChain, { readonly isGood: boolean; readonly entry: AuthenticEntry }>();
  const vouched: number[] = [];
  const endRun = (chain: AuthenticChain): void => {
    const last = isLastGood.get(chain);
    if (last && !last.isGood)
      throw new TidelogError('bad-signature', `seq ${last.entry.seq} of chain ${toHex(chain.id)}`);
  };
  for (const [i, entry] of linked.entries.entries()) {
    const { chain } = entry;
    if (entry.kind === 'gap') {
      endRun(chain);
      isLastGood.delete(chain);
      continue;
    }
    let hasher = hashers.get(chain);
    if (!hasher) hashers.set(chain, (hasher = new ChainHasher(crypto, { space, ...chain })));
    const signed = hasher.signedBytes(entry.seq, entry.prev, entry.bodyHash);
    const isGood = verifyWithCheckedKey(crypto, chain.device, signed, entry.signature);
    if (!isGood) vouched.push(i);
    isLastGood.set(chain, { isGood, entry });
    const wait = pace();
    if (wait) await wait;
  }
  for (const chain of isLastGood.keys()) endRun(chain);
  return { linked, vouched };
}

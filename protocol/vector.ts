/** What a peer has: for each chain, up to which seq, and the id there. And one hash over all of it. */
import { LABEL } from './constants.ts';
import type { Crypto } from './crypto.ts';
import { compare, concat, utf8, writeU64 } from './bytes.ts';

export interface ChainHead {
  readonly chain: Uint8Array;
  readonly seq: number;
  /** The commit id at `seq`: what shows a rollback, a copy or a fork when peers meet. */
  readonly id: Uint8Array;
}

const DIGEST_LABEL = utf8(LABEL.DIGEST);

/** SHA-256("tidelog/1 digest" | for each chain, by ascending id: chain 16 | seq u64 BE | head id 32). Equal sets give equal digests. */
export function digest(crypto: Crypto, heads: Iterable<ChainHead>): Uint8Array {
  const sorted = [...heads].toSorted((a, b) => compare(a.chain, b.chain));
  const parts: Uint8Array[] = [DIGEST_LABEL];
  for (const { chain, seq, id } of sorted) {
    const number = new Uint8Array(8);
    writeU64(number, 0, seq);
    parts.push(chain, number, id);
  }
  return crypto.sha256(concat(...parts));
}

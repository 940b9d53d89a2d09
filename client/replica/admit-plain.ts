/**
 * The short way of admit.ts, for a batch that was read in columns and of which nothing is known, whose authors may write, and which says
 * nothing of members. Anything else gives null, with the view as it was: `admitBatch` then decides, and says why.
 */
import { decodeBody, decodeStem, type Body } from '../../protocol/body.ts';
import { equal } from '../../protocol/bytes.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { changesMembership } from '../../protocol/membership.ts';
import type { PlainBatch } from '../../protocol/plain-batch.ts';
import { Passage, type Admission } from './admit.ts';
import type { Chain, View } from './view.ts';

export interface PlainAdmission {
  readonly batch: PlainBatch;
  /** Position of its first commit in our log. */
  readonly first: number;
  readonly last: number;
  /** As `batch.chains`, ours. */
  readonly chains: readonly Chain[];
  /** Commit → its seq. */
  readonly seqs: Float64Array;
  /** Commit → its body, of those that the short way doesn't read. */
  readonly others: ReadonlyMap<number, Body>;
  readonly fromTheFuture: Admission['fromTheFuture'];
}

/** The view must have loaded what the batch's chains know. */
export function admitPlain(view: View, crypto: Crypto, batch: PlainBatch, nowUs: number): PlainAdmission | null {
  // Without a founding commit nothing can be judged, and a partial copy is sent more than it keeps.
  if (view.membership === null || view.filter !== null) return null;
  const passage = new Passage(view, crypto, nowUs);
  const admission = walk(passage, batch);
  if (admission === null) passage.undo.run();
  return admission;
}

function walk(passage: Passage, batch: PlainBatch): PlainAdmission | null {
  const { view } = passage;
  const { raw, count } = batch;
  const chains: Chain[] = [];
  for (const { id, device, nonce, seqBefore, idBefore } of batch.chains) {
    const known = view.chainById(id);
    // What stands past a fork is kept by id, one by one.
    if (view.forks.has(id)) return null;
    if (known ? known.seq !== seqBefore || !equal(known.head, idBefore) : seqBefore !== 0) return null;
    chains.push(known ?? passage.addChain(device, nonce));
  }
  // Once for each chain: commits in between never show.
  for (const chain of chains) passage.advance(chain, chain.seq, chain.head);
  const first = view.head + 1;
  const seqs = new Float64Array(count);
  const others = new Map<number, Body>();
  try {
    for (let i = 0; i < count; i++) {
      const chain = chains[batch.chainOf[i]!]!;
      const seq = chain.seq + 1;
      let time = batch.time[i]!;
      if (batch.isOther[i] === 1) {
        const body = decodeBody(raw.subarray(batch.bodyAt[i], batch.bodyEnd[i]));
        if (changesMembership(body.changes)) return null;
        passage.learn(chain, seq, body.deps);
        others.set(i, body);
        time = body.time;
      } else if (batch.depsEnd[i] !== 0) {
        passage.learn(chain, seq, decodeStem(raw.subarray(batch.bodyAt[i], batch.depsEnd[i])).deps);
      }
      if (passage.judgeData(chain, seq) !== 'counts') return null;
      passage.observe(chain, time);
      seqs[i] = seq;
      chain.seq = seq;
    }
  } catch (thrown) {
    if (thrown instanceof TidelogError) return null;
    throw thrown;
  }
  for (let i = 0; i < chains.length; i++) chains[i]!.head = batch.chains[i]!.idLast;
  view.head += count;
  view.commits += count;
  return { batch, first, last: view.head, chains, seqs, others, fromTheFuture: passage.fromTheFuture };
}

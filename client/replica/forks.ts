/**
 * Forks: finding where another's branch of a chain leaves ours, and what follows once a fork is proven. Of two branches every peer keeps the one
 * whose first id is smaller (protocol/fork.ts). Who holds it makes the state anew, because a write that may have seen the other branch replaces
 * less from then on; who holds the other sets it aside (repair.ts).
 */
import type { AuthenticBatch, AuthenticEntry } from '../../protocol/authenticate.ts';
import { decodeKnownBody, decodeStem } from '../../protocol/body.ts';
import { equal } from '../../protocol/bytes.ts';
import { ChainHasher } from '../../protocol/commit.ts';
import { FORK_BRANCH_MAX } from '../../protocol/constants.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { verifyWithCheckedKey } from '../../protocol/ed25519.ts';
import { proveFork, type Fork, type ForkedCommit } from '../../protocol/fork.ts';
import type { GroupContext } from './context.ts';
import type { LogEntry, PlacedBlock } from './entry.ts';
import type { Log } from './log.ts';
import type { Chain, View } from './view.ts';

/** Of a commit, whole or erased. */
interface Signed {
  readonly seq: number;
  readonly prev: Uint8Array;
  readonly id: Uint8Array;
  readonly bodyHash: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * The fork that a batch proves in one of these chains (hex), if it does. The batch is authentic, and the stream that it belongs to began with each chain's first
 * commit: what came before this batch was compared as it came.
 */
export async function findFork(
  { view, log, crypto }: Pick<GroupContext, 'view' | 'log' | 'crypto'>,
  batch: AuthenticBatch,
  suspects: ReadonlySet<string>,
): Promise<Fork | null> {
  for (const chain of view.chains) {
    if (!suspects.has(chain.hex)) continue;
    const theirs = batch.entries.filter((entry) => entry.kind !== 'gap' && equal(entry.chain.id, chain.id)) as Signed[];
    const from = await firstDifference(log, chain, theirs);
    if (from === null) continue;
    const ours = await branchFrom(log, chain, theirs[from]!.seq);
    const { seq, prev } = theirs[from]!;
    const at = { device: chain.device, nonce: chain.nonce, seq, prev };
    return proveFork(crypto, view.space, at, [
      upToSignature(crypto, view, chain, theirs.slice(from)),
      upToSignature(crypto, view, chain, ours),
    ]);
  }
  return null;
}

/** Index of the first entry that isn't ours; null where none differs. Ids are chained: where one is ours, all before it are. */
async function firstDifference(log: Log, chain: Chain, theirs: readonly Signed[]): Promise<number | null> {
  let low = 0;
  let high = theirs.findLastIndex(({ seq }) => seq <= chain.stored.seq) + 1;
  const end = high;
  while (low < high) {
    const middle = (low + high) >> 1;
    const ours = await log.entryAt(chain, theirs[middle]!.seq);
    // A partial copy may have skipped it; then nothing can be said.
    if (ours === null || equal(ours.id, theirs[middle]!.id)) low = middle + 1;
    else high = middle;
  }
  return low < end ? low : null;
}

/** Our commits of a chain from a seq on, as many as a proof may name. */
async function branchFrom(log: Log, chain: Chain, seq: number): Promise<Signed[]> {
  const branch: Signed[] = [];
  for (let at = seq; at <= chain.stored.seq && branch.length < FORK_BRANCH_MAX;) {
    const block = await log.blockOf(chain, at);
    if (!block) break;
    for (const entry of await log.entries(block)) {
      if (entry.chain === chain && entry.seq >= seq && entry.kind !== 'gap') branch.push(entry);
    }
    at = (branch.at(-1)?.seq ?? at) + 1;
  }
  return branch;
}

/** As many as it takes to the first whose own signature verifies: of an honest device one. */
function upToSignature(crypto: Crypto, view: View, chain: Chain, branch: readonly Signed[]): ForkedCommit[] {
  const hasher = new ChainHasher(crypto, { space: view.space, device: chain.device, nonce: chain.nonce });
  const last = branch.findIndex(({ seq, prev, bodyHash, signature }) =>
    verifyWithCheckedKey(crypto, chain.device, hasher.signedBytes(seq, prev, bodyHash), signature),
  );
  return branch.slice(0, last + 1);
}

/** Puts together which ids of each forked chain stand here; the view adds to them from then on. */
export async function loadBranches(context: Pick<GroupContext, 'view' | 'log'>): Promise<void> {
  const { view, log } = context;
  for (const chain of view.chains) {
    if (!view.forks.has(chain.hex)) continue;
    const from = view.forks.first(chain.hex);
    const ids = new Map<number, Uint8Array>();
    const wanted = ({ ranges }: Pick<PlacedBlock, 'ranges'>): boolean =>
      ranges.some(({ chain: number, last }) => number === chain.number && last >= from - 1);
    for await (const entry of log.after(0, wanted)) {
      if (entry.chain === chain && entry.seq >= from - 1) ids.set(entry.seq, entry.id);
    }
    view.forks.setBranch(chain.hex, ids);
    await awaitNamed(context, chain);
  }
}

/** Puts together what commits here name by id past the end of a chain that forked: they came while another branch of it was here. */
async function awaitNamed({ view, log }: Pick<GroupContext, 'view' | 'log'>, forked: Chain): Promise<void> {
  /** Chain → the seq from which on it names more. */
  const from = new Map<number, number>();
  for (const chain of view.chains) {
    const first = chain === forked ? null : await view.sawMoreFrom(chain.number, forked.number, forked.stored.seq);
    if (first !== null) from.set(chain.number, first);
  }
  if (from.size === 0) return;
  const wanted = ({ ranges }: Pick<PlacedBlock, 'ranges'>): boolean =>
    ranges.some(({ chain, last }) => last >= (from.get(chain) ?? Number.POSITIVE_INFINITY));
  for await (const entry of log.after(0, wanted)) {
    if (entry.kind === 'gap' || entry.seq < (from.get(entry.chain.number) ?? Number.POSITIVE_INFINITY)) continue;
    const { deps } = entry.kind === 'commit' ? decodeKnownBody(entry.body) : decodeStem(entry.stem);
    for (const { chain, seq, id } of deps)
      if (id && seq > forked.stored.seq && equal(chain, forked.id)) view.forks.awaitId(id);
  }
}

/** Entries as they come in a batch, for what stands in the log. */
export function asAuthentic(entry: LogEntry): AuthenticEntry {
  const { seq, prev, id } = entry;
  const { id: chainId, device, nonce } = entry.chain;
  const place = { chain: { id: chainId, device, nonce, seqBefore: seq - 1, idBefore: prev }, seq, prev, id };
  switch (entry.kind) {
    case 'commit':
      return { ...place, kind: 'commit', signature: entry.signature, bodyHash: entry.bodyHash, body: entry.body };
    case 'erased': {
      const { signature, bodyHash, stem, changesHash } = entry;
      return { ...place, kind: 'erased', signature, bodyHash, stem, changesHash };
    }
    case 'gap':
      return { ...place, kind: 'gap' };
  }
}

/** The log as a person looks at it: from its end backwards, a page at a time; and one commit with all that proves it. */
import { decodeKnownBody, decodeStem } from '../protocol/body.ts';
import { toHex } from '../protocol/bytes.ts';
import { ChainHasher } from '../protocol/commit.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import { verifyWithCheckedKey } from '../protocol/ed25519.ts';
import { TidelogError } from '../protocol/errors.ts';
import { bloomMayHold } from './replica/bloom.ts';
import type { LogEntry, PlacedBlock } from './replica/entry.ts';
import type { Log } from './replica/log.ts';
import { thoughMoving } from './replica/moving.ts';

export interface BackOptions {
  /** Position; exclusive. */
  readonly before: number;
  readonly limit: number;
  readonly subject?: string;
  /** Device, hex. */
  readonly device?: string;
}

/** Blocks that one call unpacks, at a millisecond or two each. What matches nothing in them is looked for further back by the next call. */
const BLOCKS_PER_CALL = 200;
const RECORDS_PER_READ = 64;

/** Newest first. `next`: where the next call begins; null at the beginning of the log. */
export async function readBack(
  log: Log,
  { before, limit, subject, device }: BackOptions,
): Promise<{ entries: LogEntry[]; next: number | null }> {
  const found: LogEntry[] = [];
  let unpacked = 0;
  let at = before;
  while (at > 1) {
    for (const block of await blocksBefore(log, at)) {
      // The one between was merged with what stands after it.
      if (block.last < at - 1) break;
      const may = subject === undefined || block.subjects === null || bloomMayHold(block.subjects, subject);
      if (may && ++unpacked > BLOCKS_PER_CALL) return { entries: found, next: at };
      const entries = may ? await log.entriesUnlessMoved(block) : [];
      if (entries === null) break;
      for (const entry of entries.toReversed()) {
        if (entry.position >= at || entry.kind === 'gap') continue;
        if (device !== undefined && entry.chain.deviceHex !== device) continue;
        if (subject !== undefined && !isOn(log, entry, subject)) continue;
        if (found.length === limit) return { entries: found, next: found.at(-1)!.position };
        found.push(entry);
      }
      at = block.first;
    }
  }
  return { entries: found, next: null };
}

/** Newest first, beginning with the one that holds the entry before `at`. */
async function blocksBefore(log: Log, at: number): Promise<PlacedBlock[]> {
  const [holding] = await log.blocksAfter(at - 2, 1);
  if (!holding || holding.first >= at)
    throw new TidelogError('data-damaged', `the block with position ${at - 1} is not there`);
  return [holding, ...(await log.blocksBack(holding.first - 1, RECORDS_PER_READ))];
}

function isOn(log: Log, entry: LogEntry, subject: string): boolean {
  if (entry.kind !== 'commit') return false;
  const body = decodeKnownBody(entry.body);
  return body.changes.some((change) => change.subject === subject) && !log.isVoid(entry, body);
}

/** What proves a commit. All in hex but the numbers. */
export interface CommitProof {
  readonly id: string;
  readonly chain: string;
  /** Device ID. */
  readonly device: string;
  readonly seq: number;
  /** Id of the commit before it in its chain. */
  readonly prev: string;
  readonly bodyHash: string;
  readonly signature: string;
  /** Of the body; null where it is erased. */
  readonly bytes: number | null;
  /** What its author had newly seen of other chains. */
  readonly deps: readonly { readonly chain: string; readonly seq: number }[];
  /**
   * `own`: its signature verifies. `later`: its own doesn't, but one further on in its chain does, and covers it by the links between them; whoever
   * takes in a run of commits verifies the last. `none`: nothing near vouches for it.
   */
  readonly signed: 'own' | 'later' | 'none';
}

/** Ids and hashes are computed anew from the bytes on the disk. Throws `not-found`. */
export async function proveCommit(crypto: Crypto, space: Uint8Array, log: Log, position: number): Promise<CommitProof> {
  const entries = await thoughMoving(async () => {
    const [block] = await log.blocksAfter(position - 1, 1);
    return block ? log.entries(block) : [];
  });
  const entry = entries.find((candidate) => candidate.position === position);
  if (!entry || entry.kind === 'gap') throw new TidelogError('not-found', `no commit at position ${position}`);
  const { chain } = entry;
  const hasher = new ChainHasher(crypto, { space, device: chain.device, nonce: chain.nonce });
  const isSigned = (other: LogEntry): boolean =>
    other.kind !== 'gap' &&
    verifyWithCheckedKey(
      crypto,
      chain.device,
      hasher.signedBytes(other.seq, other.prev, other.bodyHash),
      other.signature,
    );
  const later = entries.filter((other) => other.chain === chain && other.seq > entry.seq);
  return {
    id: toHex(entry.id),
    chain: chain.hex,
    device: formatDeviceId(chain.device),
    seq: entry.seq,
    prev: toHex(entry.prev),
    bodyHash: toHex(entry.bodyHash),
    signature: toHex(entry.signature),
    bytes: entry.kind === 'commit' ? entry.body.length : null,
    deps: depsOf(entry).map((dep) => ({ chain: toHex(dep.chain), seq: dep.seq })),
    signed: isSigned(entry) ? 'own' : later.some(isSigned) ? 'later' : 'none',
  };
}

function depsOf(entry: Exclude<LogEntry, { kind: 'gap' }>): readonly { chain: Uint8Array; seq: number }[] {
  return entry.kind === 'commit' ? decodeKnownBody(entry.body).deps : decodeStem(entry.stem).deps;
}

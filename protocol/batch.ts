/**
 * The data of a BATCH, which is also a block on disk: `msgpack [chains, entries, signatures]`.
 *
 *   chains      [[device 32, nonce 8, seq, id 32], …]: each chain that occurs, with the seq and id before its first entry here
 *   entries     in log order; `chain` is an index into chains
 *                 [chain, body]            a commit
 *                 [chain, stem, hash 32]   an erased commit: its body without the changes, and their hash
 *                 [chain, seq, id 32]      a gap: skips to that seq, in filtered streams only
 *   signatures  64 bytes for each commit and each erased commit, in the order of the entries
 *
 * The signatures stand together at the end because they don't compress: between the bodies they would cost zstd five bytes a commit.
 */
import {
  BATCH_ENTRIES_MAX,
  BATCH_RAW_BYTES_MAX,
  COMMIT_ID_BYTES,
  DEVICE_KEY_BYTES,
  HASH_BYTES,
  NONCE_BYTES,
  SIGNATURE_BYTES,
} from './constants.ts';
import { TidelogError } from './errors.ts';
import type { ErasedBody } from './body.ts';
import { concat } from './bytes.ts';
import { decodeStrict, encode } from './msgpack.ts';
import { isBytes, isCount } from './shape.ts';

/** A chain as a batch names it. */
export interface BatchChain {
  readonly device: Uint8Array;
  readonly nonce: Uint8Array;
  /** The seq before the chain's first entry here; 0 where that is the first of all. */
  readonly seq: number;
  /** The id at that seq; zeros at 0. */
  readonly id: Uint8Array;
}

/** `chain` is an index into the batch's chains. */
export type BatchEntry =
  | { readonly kind: 'commit'; readonly chain: number; readonly signature: Uint8Array; readonly body: Uint8Array }
  | ({ readonly kind: 'erased'; readonly chain: number; readonly signature: Uint8Array } & ErasedBody)
  | { readonly kind: 'gap'; readonly chain: number; readonly seq: number; readonly id: Uint8Array };

export interface Batch {
  readonly chains: readonly BatchChain[];
  readonly entries: readonly BatchEntry[];
}

export function encodeBatch(batch: Batch): Uint8Array {
  const signatures: Uint8Array[] = [];
  const entries = batch.entries.map((entry) => {
    switch (entry.kind) {
      case 'commit':
        signatures.push(entry.signature);
        return [entry.chain, entry.body];
      case 'erased':
        signatures.push(entry.signature);
        return [entry.chain, entry.stem, entry.changesHash];
      case 'gap':
        return [entry.chain, entry.seq, entry.id];
    }
  });
  return encode([
    batch.chains.map(({ device, nonce, seq, id }) => [device, nonce, seq, id]),
    entries,
    concat(...signatures),
  ]);
}

/** Depth of the batch's own arrays; bodies are opaque bytes here. */
const BATCH_DEPTH_MAX = 4;

/** Throws `bad-batch` or `batch-too-large`. The byte strings of the result are views of `raw`. */
export function decodeBatch(raw: Uint8Array): Batch {
  if (raw.length > BATCH_RAW_BYTES_MAX) throw new TidelogError('batch-too-large', `${raw.length} bytes, unpacked`);
  const outer = decodeStrict(raw, BATCH_DEPTH_MAX, 'bad-batch');
  if (!Array.isArray(outer) || outer.length !== 3) refuse('it is not [chains, entries, signatures]');
  const [chains, entries, signatures] = outer as unknown[];
  if (!Array.isArray(chains) || !Array.isArray(entries) || !(signatures instanceof Uint8Array))
    refuse('it is not [chains, entries, signatures]');
  if (entries.length > BATCH_ENTRIES_MAX) throw new TidelogError('batch-too-large', `${entries.length} entries`);
  if (chains.length > entries.length) refuse('it names more chains than it has entries');

  let signatureAt = 0;
  const takeSignature = (): Uint8Array => {
    const signature = signatures.subarray(signatureAt, signatureAt + SIGNATURE_BYTES);
    if (signature.length !== SIGNATURE_BYTES) refuse('it has too few signatures');
    signatureAt += SIGNATURE_BYTES;
    return signature;
  };
  const decoded = {
    chains: chains.map(readChain),
    entries: entries.map((entry: unknown) => readEntry(entry, chains.length, takeSignature)),
  };
  if (signatureAt !== signatures.length) refuse('it has too many signatures');
  return decoded;
}

/**
 * Each entry stands for one position of the sender's log or more: what is left out, and what a gap skips, takes positions and no entries.
 * More entries than positions would be a cursor that stays behind what was sent. Throws `bad-batch`.
 */
export function checkPositions(
  { entries }: Batch,
  { prev, last }: { readonly prev: number; readonly last: number },
): void {
  if (entries.length > last - prev) refuse(`it has ${entries.length} entries for ${last - prev} positions`);
}

function readChain(chain: unknown): BatchChain {
  if (!Array.isArray(chain) || chain.length !== 4) refuse('a chain is not [device, nonce, seq, id]');
  const [device, nonce, seq, id] = chain as unknown[];
  if (!isBytes(device, DEVICE_KEY_BYTES)) refuse('a chain has a device key of other than 32 bytes');
  if (!isBytes(nonce, NONCE_BYTES)) refuse('a chain has a nonce of other than 8 bytes');
  if (!isCount(seq)) refuse('a chain has a seq that is not an integer from 0');
  if (!isBytes(id, COMMIT_ID_BYTES)) refuse('a chain has an id of other than 32 bytes');
  return { device, nonce, seq, id };
}

function readEntry(entry: unknown, chains: number, takeSignature: () => Uint8Array): BatchEntry {
  if (!Array.isArray(entry) || entry.length < 2 || entry.length > 3) refuse('an entry is not an array of two or three');
  const [chain, second, third] = entry as unknown[];
  if (!isCount(chain) || chain >= chains) refuse('an entry names a chain that the batch does not list');
  if (entry.length === 2) {
    if (!(second instanceof Uint8Array)) refuse('a commit has a body that is not bytes');
    return { kind: 'commit', chain, signature: takeSignature(), body: second };
  }
  if (!isBytes(third, HASH_BYTES)) refuse('an erased commit or a gap has a hash of other than 32 bytes');
  if (second instanceof Uint8Array)
    return { kind: 'erased', chain, signature: takeSignature(), stem: second, changesHash: third };
  if (!isCount(second) || second === 0) refuse('a gap has a seq that is not an integer from 1');
  return { kind: 'gap', chain, seq: second, id: third };
}

function refuse(why: string): never {
  throw new TidelogError('bad-batch', why);
}

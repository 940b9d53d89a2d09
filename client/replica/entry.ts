/**
 * An entry on its way through the replica: as it came (CommitEntry), with its place in our log (Admitted), in a block (BlockEntry), and read back
 * (LogEntry). Types only, and below every stage, so that no stage has to know another for them.
 */
import type { AuthenticEntry } from '../../protocol/authenticate.ts';
import type { Body, ErasedBody } from '../../protocol/body.ts';
import type { PlainBatch } from '../../protocol/plain-batch.ts';
import type { BlockRecord } from '../tables.ts';
import type { Chain } from './view.ts';

/** A commit as it came, its run verified and its place not yet judged. */
export type CommitEntry = Extract<AuthenticEntry, { kind: 'commit' }>;

/** An entry that has its place in our log. */
export type Admitted = {
  readonly position: number;
  readonly chain: Chain;
  readonly seq: number;
  readonly id: Uint8Array;
  /** The id before it in its chain. */
  readonly prev: Uint8Array;
} & (
  | {
      readonly kind: 'commit';
      readonly signature: Uint8Array;
      readonly bodyHash: Uint8Array;
      readonly body: Uint8Array;
      /** Read anew at each call, where `plain` stands for it. */
      parsed(): Body;
      /** Its columns, where it is one of our own and does nothing but set. */
      readonly plain: PlainBatch | null;
      /** False for a commit on `~` that is void: it keeps its body and changes nothing. */
      readonly counts: boolean;
    }
  | {
      readonly kind: 'erased';
      readonly signature: Uint8Array;
      readonly stem: Uint8Array;
      readonly changesHash: Uint8Array;
      /** Is there a revocation that says why? */
      readonly isExplained: boolean;
    }
  | { readonly kind: 'gap'; readonly seqBefore: number }
);

export type AdmittedCommit = Extract<Admitted, { kind: 'commit' }>;

/** An entry with its place, as much as a batch needs of it. */
export type BlockEntry =
  | {
      readonly kind: 'commit';
      readonly chain: ChainIdentity;
      readonly seq: number;
      readonly prev: Uint8Array;
      readonly signature: Uint8Array;
      readonly body: Uint8Array;
    }
  | {
      readonly kind: 'erased';
      readonly chain: ChainIdentity;
      readonly seq: number;
      readonly prev: Uint8Array;
      readonly signature: Uint8Array;
      readonly stem: Uint8Array;
      readonly changesHash: Uint8Array;
    }
  | {
      readonly kind: 'gap';
      readonly chain: ChainIdentity;
      readonly seq: number;
      readonly prev: Uint8Array;
      readonly seqBefore: number;
      readonly id: Uint8Array;
    };

interface ChainIdentity {
  readonly number: number;
  readonly device: Uint8Array;
  readonly nonce: Uint8Array;
}

/** An entry as it stands in the log. */
export type LogEntry = {
  readonly position: number;
  readonly chain: Chain;
  readonly seq: number;
  readonly prev: Uint8Array;
  readonly id: Uint8Array;
} & (
  | {
      readonly kind: 'commit';
      readonly signature: Uint8Array;
      readonly bodyHash: Uint8Array;
      readonly body: Uint8Array;
    }
  | ({ readonly kind: 'erased'; readonly signature: Uint8Array; readonly bodyHash: Uint8Array } & ErasedBody)
  | { readonly kind: 'gap'; readonly seqBefore: number }
);

/** A block's record, with the position of its last entry. */
export interface PlacedBlock extends BlockRecord {
  readonly last: number;
}

/** A small block at the end of the log, which will be merged with its neighbours. */
export interface TailBlock {
  readonly first: number;
  readonly last: number;
  readonly rawBytes: number;
}

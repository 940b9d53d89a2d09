/** All that a peer needs of the world around it. Tests and simulations bring their own; `node.ts` and `browser.ts` bring the real one. */
import type { Codec } from '../protocol/codec.ts';
import type { Crypto, RandomBytes } from '../protocol/crypto.ts';
import type { ReadBatch } from './replica/incoming.ts';
import type { BlockData } from './tables.ts';
import type { Transport } from './transport.ts';

/** Reads batches elsewhere than in this thread; see replica/incoming.ts. */
export interface BatchReader {
  /** Large batches will come soon: whatever takes time to begin is begun. */
  expect(): void;
  /** null: read it here. A promise may give null too, for the same. Never rejects. */
  read(space: Uint8Array, block: BlockData, withRecords: boolean): Promise<ReadBatch | null> | null;
}

export interface Platform {
  readonly crypto: Crypto;
  readonly random: RandomBytes;
  /** Ways to pack and unpack batches, the preferred one first. */
  readonly codecs: readonly Codec[];
  /** Absent where there are no threads. */
  readonly reader?: BatchReader;
  /** The wall clock, µs since 1970. */
  nowUs(): number;
  /** A clock that only runs forward, ms. */
  nowMs(): number;
  /** Calls once after `ms`; returns what cancels it. A waiting timer keeps no process alive. */
  after(ms: number, call: () => void): () => void;
  /** Resolves once whatever else is due has had its turn: long work lets others run. */
  turn(): Promise<void>;
  /** Opens a connection to a node's `/sync`. Throws `unreachable`. */
  dial(url: string, signal?: AbortSignal): Promise<Transport>;
}

/** ms since 1970 */
export function wallMs(platform: Platform): number {
  return Math.floor(platform.nowUs() / 1000);
}

/** What the stages that write share. */
import type { Codec } from '../../protocol/codec.ts';
import type { Crypto, KeyPair, RandomBytes } from '../../protocol/crypto.ts';
import type { Store } from '../store.ts';
import type { Log } from './log.ts';
import type { View } from './view.ts';

export interface GroupContext {
  readonly crypto: Crypto;
  readonly random: RandomBytes;
  readonly codecs: readonly Codec[];
  readonly store: Store;
  readonly view: View;
  readonly log: Log;
  readonly keys: KeyPair;
  nowUs(): number;
  /** A number for a log that no other has or had. */
  readonly takeNumber: () => Promise<number>;
  /** Lets others run. */
  readonly turn: () => Promise<void>;
}

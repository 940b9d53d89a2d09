/** Signed chains for tests, built with nothing but the protocol's own parts. */
import type { Batch, BatchChain, BatchEntry } from '../../protocol/batch.ts';
import { eraseBody, hashBody } from '../../protocol/body.ts';
import { ChainHasher, ZERO_ID } from '../../protocol/commit.ts';
import type { KeyPair } from '../../protocol/crypto.ts';
import { concat, utf8 } from '../../protocol/bytes.ts';
import { bytesOf, crypto, deviceOf, hex } from './protocol.ts';

export interface SignedCommit {
  readonly seq: number;
  readonly prev: Uint8Array;
  readonly id: Uint8Array;
  readonly signature: Uint8Array;
  readonly body: Uint8Array;
  readonly bodyHash: Uint8Array;
}

/** A body with a stem like any other's, and any bytes where the changes stand: all that hashes and links look at. */
export function bodyOf(text: string): Uint8Array {
  return concat(hex('930190'), utf8(text));
}

/** A chain that grows by `write`. */
export class TestChain {
  readonly space: Uint8Array;
  readonly device: KeyPair;
  readonly nonce: Uint8Array;
  readonly commits: SignedCommit[] = [];
  readonly #hasher: ChainHasher;

  constructor(space: Uint8Array, name: string) {
    this.space = space;
    this.device = deviceOf(name);
    this.nonce = bytesOf(`nonce ${name}`, 8);
    this.#hasher = new ChainHasher(crypto, { space, device: this.device.public, nonce: this.nonce });
  }

  get last(): SignedCommit | undefined {
    return this.commits.at(-1);
  }

  /** @param signature in the place of the right one */
  write(body: Uint8Array, signature?: Uint8Array): SignedCommit {
    const seq = this.commits.length + 1;
    const prev = this.last?.id ?? ZERO_ID;
    const bodyHash = hashBody(crypto, body);
    const signed = signature ?? this.#hasher.sign(this.device, seq, prev, bodyHash);
    const id = this.#hasher.id(seq, prev, bodyHash, signed);
    const commit = { seq, prev, id, signature: signed, body, bodyHash };
    this.commits.push(commit);
    return commit;
  }

  /** As a batch lists it, after the commit `seq`. */
  after(seq: number): BatchChain {
    return {
      device: this.device.public,
      nonce: this.nonce,
      seq,
      id: seq === 0 ? ZERO_ID : this.commits[seq - 1]!.id,
    };
  }

  entry(seq: number, chain = 0): BatchEntry {
    const { signature, body } = this.commits[seq - 1]!;
    return { kind: 'commit', chain, signature, body };
  }

  erased(seq: number, chain = 0): BatchEntry {
    const { signature, body } = this.commits[seq - 1]!;
    return { kind: 'erased', chain, signature, ...eraseBody(crypto, body) };
  }

  /** A gap that skips to `seq`. */
  gap(seq: number, chain = 0): BatchEntry {
    return { kind: 'gap', chain, seq, id: this.commits[seq - 1]!.id };
  }

  /** Commits `first` to `last` and nothing else. */
  batch(first = 1, last = this.commits.length): Batch {
    const entries: BatchEntry[] = [];
    for (let seq = first; seq <= last; seq++) entries.push(this.entry(seq));
    return { chains: [this.after(first - 1)], entries };
  }
}

/**
 * What all vectors are made of: devices and chains from fixed seeds, bytes as hex.
 *
 * What a file expects is computed only where it is a hash, a signature or an encoding. Verdicts, merged states, and codes are written down
 * by hand, from docs/PROTOCOL.md: a vector that the code itself had judged would agree with every fault of it.
 */
import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { encodeBatch, type Batch, type BatchChain, type BatchEntry } from '../../protocol/batch.ts';
import { encodeBody, eraseBody, hashBody, type Body, type Change } from '../../protocol/body.ts';
import { concat, fromHex, toHex, utf8 } from '../../protocol/bytes.ts';
import { chainId, ChainHasher, spaceId, ZERO_ID } from '../../protocol/commit.ts';
import type { KeyPair } from '../../protocol/crypto.ts';
import { formatDeviceId } from '../../protocol/device-id.ts';
import type { Role } from '../../protocol/membership.ts';
import { encode } from '../../protocol/msgpack.ts';

export const crypto = nodeCrypto;

export function hex(text: string): Uint8Array {
  const bytes = fromHex(text.replaceAll(' ', ''));
  if (bytes === null) throw new Error(`not hex: ${text}`);
  return bytes;
}

/** `length` bytes that differ for every name. */
export function bytesOf(name: string, length: number): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (let i = 0; i * 32 < length; i++) blocks.push(crypto.sha256(utf8(`tidelog vectors: ${name} ${i}`)));
  return concat(...blocks).slice(0, length);
}

/** `from`, `from` + 1, … as the examples of PROTOCOL.md have them. */
export function counting(from: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (from + i) & 0xff);
}

/** The first two are those of PROTOCOL.md. */
const SEEDS: Readonly<Record<string, Uint8Array>> = { laptop: counting(0, 32), phone: counting(0x20, 32) };

export function seedOf(name: string): Uint8Array {
  return SEEDS[name] ?? bytesOf(`device ${name}`, 32);
}

const devices = new Map<string, KeyPair>();
export function deviceOf(name: string): KeyPair {
  let device = devices.get(name);
  if (!device) devices.set(name, (device = crypto.ed25519KeyPair(seedOf(name))));
  return device;
}

export const SALT = counting(0xa0, 16);
/** The space of PROTOCOL.md: the laptop's. */
export const SPACE = spaceId(crypto, deviceOf('laptop').public, SALT);
/** 2026-01-01T00:00:00Z */
export const TIME = 1_767_225_600_000_000;

/** A list of pieces to be joined, for what is too long to stand here: hex, or [hex, times]. */
export type Pieces = readonly (string | readonly [hex: string, times: number])[];

export interface SignedCommit {
  readonly seq: number;
  readonly prev: Uint8Array;
  readonly id: Uint8Array;
  readonly signature: Uint8Array;
  readonly body: Uint8Array;
  readonly bodyHash: Uint8Array;
}

/** A chain that grows by `write`. */
export class Chain {
  readonly space: Uint8Array;
  readonly device: KeyPair;
  readonly nonce: Uint8Array;
  readonly id: Uint8Array;
  readonly commits: SignedCommit[] = [];
  readonly hasher: ChainHasher;

  constructor(name: string, { space = SPACE, nonce = bytesOf(`nonce ${name}`, 8) } = {}) {
    this.space = space;
    this.device = deviceOf(name);
    this.nonce = nonce;
    const key = { space, device: this.device.public, nonce };
    this.id = chainId(crypto, key);
    this.hasher = new ChainHasher(crypto, key);
  }

  get seq(): number {
    return this.commits.length;
  }

  /** @param signature in the place of the right one */
  write(body: Uint8Array | Body, signature?: Uint8Array): SignedCommit {
    const bytes = body instanceof Uint8Array ? body : encodeBody(body);
    const seq = this.seq + 1;
    const prev = this.commits.at(-1)?.id ?? ZERO_ID;
    const bodyHash = hashBody(crypto, bytes);
    const signed = signature ?? this.hasher.sign(this.device, seq, prev, bodyHash);
    const id = this.hasher.id(seq, prev, bodyHash, signed);
    const commit = { seq, prev, id, signature: signed, body: bytes, bodyHash };
    this.commits.push(commit);
    return commit;
  }

  at(seq: number): SignedCommit {
    return this.commits[seq - 1]!;
  }

  /** As a batch lists it, after the commit `seq`. */
  after(seq: number): BatchChain {
    return { device: this.device.public, nonce: this.nonce, seq, id: seq === 0 ? ZERO_ID : this.at(seq).id };
  }

  entry(seq: number, chain = 0): BatchEntry {
    const { signature, body } = this.at(seq);
    return { kind: 'commit', chain, signature, body };
  }

  erased(seq: number, chain = 0): BatchEntry {
    const { signature, body } = this.at(seq);
    return { kind: 'erased', chain, signature, ...eraseBody(crypto, body) };
  }

  gap(seq: number, chain = 0): BatchEntry {
    return { kind: 'gap', chain, seq, id: this.at(seq).id };
  }

  /** Commits `first` to `last` and nothing else. */
  batch(first = 1, last = this.seq): Batch {
    const entries: BatchEntry[] = [];
    for (let seq = first; seq <= last; seq++) entries.push(this.entry(seq));
    return { chains: [this.after(first - 1)], entries };
  }
}

export function batchHex(batch: Batch): string {
  return toHex(encodeBatch(batch));
}

export function memberSubject(name: string): string {
  return `~devices/${formatDeviceId(deviceOf(name).public)}`;
}

/** What founds SPACE, as in PROTOCOL.md. */
export const FOUNDING: readonly Change[] = [
  { subject: '~space', ops: { set: { owner: deviceOf('laptop').public, salt: SALT, name: 'home' } } },
  { subject: memberSubject('laptop'), ops: { set: { role: 'owner', name: 'laptop' } } },
];

export function grant(name: string, role: Role): Change {
  return { subject: memberSubject(name), ops: { set: { role } } };
}

export function set(subject: string, values: Record<string, string | number | boolean>): Change {
  return { subject, ops: { set: values } };
}

/** A property's value in JSON: a byte string is {"$hex": "00ff"}. */
export function toJson(value: unknown): unknown {
  if (value instanceof Uint8Array) return { $hex: toHex(value) };
  if (Array.isArray(value)) return value.map(toJson);
  if (value !== null && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJson(item)]));
  return value;
}

/** MessagePack of a value, with the shortest encodings. */
export function packed(value: unknown): string {
  return toHex(encode(value));
}

export function flip(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.with(at, bytes.at(at)! ^ 1);
}

/**
 * What the store's tables hold: the key and the record of each, encode directly above decode. Everything is local to this
 * peer; nothing here is on the wire. Spaces and chains go by small numbers, in the order in which this peer met them.
 *
 *   spaces      space id 32                                  → SpaceRecord
 *   chains      space u32 | chain u32                        → ChainRecord
 *   knows       space u32 | chain u32 | other u32 | seq u64  → u64: what `chain` had seen of `other` at its own `seq`, where that changed
 *   blocks      space u32 | last u64                         → codec u8 | raw bytes u32 | data: a batch, exactly as on the wire
 *   blockIndex  space u32 | last u64                         → BlockRecord, to judge a block without unpacking it
 *   state       space u32 | subject                          → resource (merge.ts)
 *   conflicts   space u32 | subject                          → nothing: which resources have conflicts
 *   facts       space u32 | position u64                     → FactRecord: the commits on `~`
 *   holes       space u32 | chain u32 | seq u64             → u64: position of an erased commit that no revocation explains
 *   cursors     space u32 | device 32                        → CursorRecord: where we are in another device's log
 *   peers       device 32                                    → PeerRecord
 */
import { readU32, readU64, utf8, writeU32, writeU64 } from '../protocol/bytes.ts';
import type { CodecNumber } from '../protocol/constants.ts';
import type { Role } from '../protocol/membership.ts';
import type { Filter } from '../protocol/messages.ts';
import { decodeTrusted, encode } from '../protocol/msgpack.ts';
import type { StoreOp } from './store.ts';

// ---- keys

export function spaceKey(space: number): Uint8Array {
  const key = new Uint8Array(4);
  writeU32(key, 0, space);
  return key;
}

/** The first key after all keys of a space. */
export function spaceEnd(space: number): Uint8Array {
  return spaceKey(space + 1);
}

export function chainKey(space: number, chain: number): Uint8Array {
  const key = new Uint8Array(8);
  writeU32(key, 0, space);
  writeU32(key, 4, chain);
  return key;
}

export function knowsKey(space: number, chain: number, other: number, seq: number): Uint8Array {
  const key = new Uint8Array(20);
  writeU32(key, 0, space);
  writeU32(key, 4, chain);
  writeU32(key, 8, other);
  writeU64(key, 12, seq);
  return key;
}

export function positionKey(space: number, position: number): Uint8Array {
  const key = new Uint8Array(12);
  writeU32(key, 0, space);
  writeU64(key, 4, position);
  return key;
}

export function keyPosition(key: Uint8Array): number {
  return readU64(key, 4);
}

export function holeKey(space: number, chain: number, seq: number): Uint8Array {
  const key = new Uint8Array(16);
  writeU32(key, 0, space);
  writeU32(key, 4, chain);
  writeU64(key, 8, seq);
  return key;
}

/** Chain and seq of a hole's key. */
export function keyHole(key: Uint8Array): { chain: number; seq: number } {
  return { chain: readU32(key, 4), seq: readU64(key, 8) };
}

export function subjectKey(space: number, subject: string): Uint8Array {
  const text = utf8(subject);
  const key = new Uint8Array(4 + text.length);
  writeU32(key, 0, space);
  key.set(text, 4);
  return key;
}

export function deviceKey(space: number, device: Uint8Array): Uint8Array {
  const key = new Uint8Array(4 + device.length);
  writeU32(key, 0, space);
  key.set(device, 4);
  return key;
}

export function seqValue(seq: number): Uint8Array {
  const value = new Uint8Array(8);
  writeU64(value, 0, seq);
  return value;
}

// ---- records

export interface SpaceRecord {
  readonly number: number;
  readonly name: string;
  /** 8 random bytes: the log's epoch. */
  readonly epoch: Uint8Array;
  /** Entries in the log. */
  readonly head: number;
  /** Commits among them that came or were made with their body. */
  readonly commits: number;
  /** Resources, without those of the space itself. */
  readonly subjects: number;
  readonly conflicted: number;
  /** Bytes of all blocks. */
  readonly blockBytes: number;
  /** The logical clock, µs. */
  readonly clockUs: number;
  /** Number of the chain that this device writes to; null until its first commit, and after the log went back. */
  readonly ownChain: number | null;
  /** Which subjects a partial copy holds; null for a whole one. */
  readonly filter: Filter | null;
  /** A revocation came, and what it makes void hasn't been taken out yet. */
  readonly sweep: boolean;
  /** Its role is mirror: it keeps the log, and of the state only what is of the space itself. */
  readonly logOnly: boolean;
  /** The state is being made anew from the log, and isn't whole. */
  readonly rebuild: boolean;
}

export function encodeSpace(record: SpaceRecord): Uint8Array {
  return encode({ ...record });
}

export function decodeSpace(bytes: Uint8Array): SpaceRecord {
  return decodeTrusted(bytes) as SpaceRecord;
}

export interface ChainRecord {
  readonly device: Uint8Array;
  readonly nonce: Uint8Array;
  readonly id: Uint8Array;
  readonly seq: number;
  readonly head: Uint8Array;
}

export function encodeChain(r: ChainRecord): Uint8Array {
  return encode([r.device, r.nonce, r.id, r.seq, r.head]);
}

export function decodeChain(bytes: Uint8Array): ChainRecord {
  const [device, nonce, id, seq, head] = decodeTrusted(bytes) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
    number,
    Uint8Array,
  ];
  return { device, nonce, id, seq, head };
}

/** The entries of one chain in a block: all of `first` to `last`, unless the block has gaps. */
export interface ChainRange {
  readonly chain: number;
  readonly first: number;
  readonly last: number;
}

export interface BlockRecord {
  /** Position of the first entry; the last one's is the key. */
  readonly first: number;
  readonly rawBytes: number;
  readonly dataBytes: number;
  readonly hasGaps: boolean;
  readonly ranges: readonly ChainRange[];
  /** Bloom filter over the subjects that its commits change; null where nobody looked. */
  readonly subjects: Uint8Array | null;
}

export function encodeBlockRecord(r: BlockRecord): Uint8Array {
  return encode([
    r.first,
    r.rawBytes,
    r.dataBytes,
    r.hasGaps,
    r.ranges.flatMap(({ chain, first, last }) => [chain, first, last]),
    r.subjects,
  ]);
}

export function decodeBlockRecord(bytes: Uint8Array): BlockRecord {
  const [first, rawBytes, dataBytes, hasGaps, flat, subjects] = decodeTrusted(bytes) as [
    number,
    number,
    number,
    boolean,
    number[],
    Uint8Array | null,
  ];
  const ranges: ChainRange[] = [];
  for (let i = 0; i < flat.length; i += 3) ranges.push({ chain: flat[i]!, first: flat[i + 1]!, last: flat[i + 2]! });
  return { first, rawBytes, dataBytes, hasGaps, ranges, subjects };
}

/** A block's data: a batch, packed. */
export interface BlockData {
  readonly codec: CodecNumber;
  readonly rawBytes: number;
  readonly data: Uint8Array;
}

export function encodeBlock({ codec, rawBytes, data }: BlockData): Uint8Array {
  const bytes = new Uint8Array(5 + data.length);
  bytes[0] = codec;
  writeU32(bytes, 1, rawBytes);
  bytes.set(data, 5);
  return bytes;
}

export function decodeBlock(bytes: Uint8Array): BlockData {
  return { codec: bytes[0] as CodecNumber, rawBytes: readU32(bytes, 1), data: bytes.subarray(5) };
}

/** Writes a block and its record, or replaces those that end at the same position. */
export function putBlock(space: number, last: number, block: BlockData, record: BlockRecord): StoreOp[] {
  const key = positionKey(space, last);
  return [
    { table: 'blocks', key, value: encodeBlock(block) },
    { table: 'blockIndex', key, value: encodeBlockRecord(record) },
  ];
}

/** Takes a block and its record away. */
export function dropBlock(space: number, last: number): StoreOp[] {
  const key = positionKey(space, last);
  return [
    { table: 'blocks', key, value: null },
    { table: 'blockIndex', key, value: null },
  ];
}

/** One commit on `~`: what it says of devices, and what its author had seen. */
export interface FactRecord {
  readonly chain: number;
  readonly seq: number;
  /** µs */
  readonly time: number;
  /** Chain number → seq, of chains that had made facts by then. */
  readonly past: readonly (readonly [chain: number, seq: number])[];
  readonly statements: readonly {
    readonly target: string;
    readonly role: Role | null;
    readonly revoked: ReadonlyMap<string, number> | null;
  }[];
}

export function encodeFact(r: FactRecord): Uint8Array {
  const statements = r.statements.map(({ target, role, revoked }) => [
    target,
    role,
    revoked === null ? null : [...revoked],
  ]);
  return encode([r.chain, r.seq, r.time, r.past, statements]);
}

export function decodeFact(bytes: Uint8Array): FactRecord {
  const [chain, seq, time, past, statements] = decodeTrusted(bytes) as [
    number,
    number,
    number,
    [number, number][],
    [string, Role | null, [string, number][] | null][],
  ];
  return {
    chain,
    seq,
    time,
    past,
    statements: statements.map(([target, role, revoked]) => ({
      target,
      role,
      revoked: revoked === null ? null : new Map(revoked),
    })),
  };
}

export interface CursorRecord {
  readonly epoch: Uint8Array;
  /** In their log, exclusive: the last that we have on disk. */
  readonly seq: number;
  /**
   * Our own head when everything that we had stood in their log up to the cursor: while it is still our head, all after the cursor is news
   * to us. null where they may have some of it after the cursor.
   */
  readonly ownHead: number | null;
}

export function encodeCursor(r: CursorRecord): Uint8Array {
  return encode([r.epoch, r.seq, r.ownHead]);
}

export function decodeCursor(bytes: Uint8Array): CursorRecord {
  const [epoch, seq, ownHead] = decodeTrusted(bytes) as [Uint8Array, number, number | null];
  return { epoch, seq, ownHead };
}

export interface PeerRecord {
  /** What the device calls itself. */
  readonly name: string;
  /** URLs that reach it, the best first. */
  readonly addresses: readonly string[];
  /** A person here said that spaces which it offers may be taken. */
  readonly trusted: boolean;
  /** ms since 1970; 0 for never */
  readonly lastSeenMs: number;
}

export function encodePeer(r: PeerRecord): Uint8Array {
  return encode([r.name, r.addresses, r.trusted, r.lastSeenMs]);
}

export function decodePeer(bytes: Uint8Array): PeerRecord {
  const [name, addresses, trusted, lastSeenMs] = decodeTrusted(bytes) as [string, string[], boolean, number];
  return { name, addresses, trusted, lastSeenMs };
}

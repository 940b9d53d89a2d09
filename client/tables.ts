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
 *   forks       space id 32 | chain id 16 | seq u64 | id 32  → the proof of a fork (fork.ts), with the id that was dropped
 *   setAside    space id 32 | chain id 16 | seq u64 | id 32  → SetAsideRecord: an entry that was taken out of the log because of a fork
 */
import { fromUtf8, readU32, readU64, utf8, writeU32, writeU64 } from '../protocol/bytes.ts';
import type { CodecNumber } from '../protocol/constants.ts';
import { TidelogError } from '../protocol/errors.ts';
import type { Role } from '../protocol/membership.ts';
import type { Filter } from '../protocol/messages.ts';
import { decodeStrict, encode } from '../protocol/msgpack.ts';
import type { StoreOp, Table } from './store.ts';

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

/** Of a key in `knows`. */
export function keyKnowsSeq(key: Uint8Array): number {
  return readU64(key, 12);
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

/** Of a key of `state` or `conflicts`. */
export function keySubject(table: Table, key: Uint8Array): string {
  try {
    return fromUtf8(key.subarray(4));
  } catch (cause) {
    throw damaged(table, cause);
  }
}

export function deviceKey(space: number, device: Uint8Array): Uint8Array {
  const key = new Uint8Array(4 + device.length);
  writeU32(key, 0, space);
  key.set(device, 4);
  return key;
}

/** Of `forks` and of `setAside`. They outlive a repair, which gives the space another number. */
export function branchKey(space: Uint8Array, chain: Uint8Array, seq: number, id: Uint8Array): Uint8Array {
  const key = new Uint8Array(88);
  key.set(space, 0);
  key.set(chain, 32);
  writeU64(key, 48, seq);
  key.set(id, 56);
  return key;
}

export function keyBranch(key: Uint8Array): { chain: Uint8Array; seq: number; id: Uint8Array } {
  return { chain: key.slice(32, 48), seq: readU64(key, 48), id: key.slice(56) };
}

/** What branchKey begins with, and the first key after all of them. */
export function branchRange(space: Uint8Array): { gte: Uint8Array; lt: Uint8Array } {
  const lt = new Uint8Array(89).fill(0xff);
  lt.set(space, 0);
  return { gte: space, lt };
}

export function seqValue(seq: number): Uint8Array {
  const value = new Uint8Array(8);
  writeU64(value, 0, seq);
  return value;
}

// ---- records: what the store gives back was encoded here, unless the disk has changed it, and that is said as what it is

const IS = {
  count: (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0,
  bytes: (value: unknown): value is Uint8Array => value instanceof Uint8Array,
  text: (value: unknown): value is string => typeof value === 'string',
  deviceHex: (value: unknown): value is string => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value),
  flag: (value: unknown): value is boolean => typeof value === 'boolean',
  counts: (value: unknown): value is number[] => Array.isArray(value) && value.every(IS.count),
  texts: (value: unknown): value is string[] => Array.isArray(value) && value.every(IS.text),
  list: (value: unknown): value is unknown[][] => Array.isArray(value) && value.every(Array.isArray),
  countOrNull: (value: unknown): value is number | null => value === null || IS.count(value),
  bytesOrNull: (value: unknown): value is Uint8Array | null => value === null || IS.bytes(value),
} as const;
type Kind = (value: unknown) => boolean;
type Typed<K extends readonly Kind[]> = {
  [I in keyof K]: K[I] extends (value: unknown) => value is infer T ? T : never;
};

function damaged(table: Table, cause?: unknown): TidelogError {
  return new TidelogError('data-damaged', `a record of ${table} is not what was written`, {}, { cause });
}

/** Revoked chains in statements in a fact. */
const RECORD_DEPTH_MAX = 8;

/** Checked first: a few hundred damaged bytes may say that they are thousands of arrays, of which the library would make each. */
function decodeLocal(table: Table, bytes: Uint8Array): unknown {
  try {
    return decodeStrict(bytes, RECORD_DEPTH_MAX, 'data-damaged');
  } catch (cause) {
    throw damaged(table, cause);
  }
}

/** An array of these kinds; what a later release has added behind them is left. */
function fieldsOf<const K extends readonly Kind[]>(table: Table, bytes: Uint8Array, ...kinds: K): Typed<K> {
  const record = decodeLocal(table, bytes);
  if (!Array.isArray(record) || !kinds.every((isKind, i) => isKind(record[i]))) throw damaged(table);
  return record as Typed<K>;
}

/** A value of `holes` or `knows`. */
export function readSeq(table: Table, value: Uint8Array): number {
  if (value.length !== 8) throw damaged(table);
  return readU64(value, 0);
}

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

const SPACE_KINDS: Readonly<Record<keyof SpaceRecord, Kind>> = {
  number: IS.count,
  name: IS.text,
  epoch: IS.bytes,
  head: IS.count,
  commits: IS.count,
  subjects: IS.count,
  conflicted: IS.count,
  blockBytes: IS.count,
  clockUs: IS.count,
  ownChain: IS.countOrNull,
  filter: (value) => value === null || typeof value === 'object',
  sweep: IS.flag,
  logOnly: IS.flag,
  rebuild: IS.flag,
};

export function decodeSpace(bytes: Uint8Array): SpaceRecord {
  const record = decodeLocal('spaces', bytes) as SpaceRecord | null;
  const isWhole = Object.entries(SPACE_KINDS).every(([name, isKind]) => isKind(record?.[name as keyof SpaceRecord]));
  if (!isWhole) throw damaged('spaces');
  return record!;
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
  const [device, nonce, id, seq, head] = fieldsOf('chains', bytes, IS.bytes, IS.bytes, IS.bytes, IS.count, IS.bytes);
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
  const [first, rawBytes, dataBytes, hasGaps, flat, subjects] = fieldsOf(
    'blockIndex',
    bytes,
    IS.count,
    IS.count,
    IS.count,
    IS.flag,
    IS.counts,
    IS.bytesOrNull,
  );
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
  if (bytes.length < 5) throw damaged('blocks');
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
  /** Chain number → seq, of chains that had made facts by then or had forked; of the latter also with `BRANCH` (view.ts). */
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
  const [chain, seq, time, past, statements] = fieldsOf('facts', bytes, IS.count, IS.count, IS.count, IS.list, IS.list);
  if (!past.every(([other, seen]) => IS.count(other) && IS.count(seen))) throw damaged('facts');
  return {
    chain,
    seq,
    time,
    past: past as [number, number][],
    statements: statements.map(([target, role, revoked]) => {
      const isWhole =
        IS.deviceHex(target) &&
        (role === null || IS.text(role)) &&
        (revoked === null || (IS.list(revoked) && revoked.every(([id, last]) => IS.text(id) && IS.count(last))));
      if (!isWhole) throw damaged('facts');
      return {
        target,
        role: role as Role | null,
        revoked: revoked === null ? null : new Map(revoked as [string, number][]),
      };
    }),
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
  const [epoch, seq, ownHead] = fieldsOf('cursors', bytes, IS.bytes, IS.count, IS.countOrNull);
  return { epoch, seq, ownHead };
}

/** Why an entry no longer stands in the log: it is on the branch that was dropped, or could not stand without that. */
export interface SetAsideRecord {
  readonly device: Uint8Array;
  readonly nonce: Uint8Array;
  readonly prev: Uint8Array;
  readonly signature: Uint8Array;
  /** null where it was erased before. */
  readonly body: Uint8Array | null;
  /** Where it is erased, its body's hash; else null. */
  readonly bodyHash: Uint8Array | null;
  /** An error code: `fork` for the branch itself. */
  readonly why: string;
  /** Its changes were written again here as a commit of this device. */
  readonly republished: boolean;
}

export function encodeSetAside(r: SetAsideRecord): Uint8Array {
  return encode([r.device, r.nonce, r.prev, r.signature, r.body, r.bodyHash, r.why, r.republished]);
}

export function decodeSetAside(bytes: Uint8Array): SetAsideRecord {
  const [device, nonce, prev, signature, body, bodyHash, why, republished] = fieldsOf(
    'setAside',
    bytes,
    IS.bytes,
    IS.bytes,
    IS.bytes,
    IS.bytes,
    IS.bytesOrNull,
    IS.bytesOrNull,
    IS.text,
    IS.flag,
  );
  return { device, nonce, prev, signature, body, bodyHash, why, republished };
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
  const [name, addresses, trusted, lastSeenMs] = fieldsOf('peers', bytes, IS.text, IS.texts, IS.flag, IS.count);
  return { name, addresses, trusted, lastSeenMs };
}

/**
 * The short way for what nearly every batch is: commits only, whose changes only set properties to plain values. Such a batch is read, linked
 * and verified in columns, without an object for each commit: at hundreds of thousands of commits a second it is allocation that costs.
 *
 * It decides nothing by itself. Whatever it doesn't know at a glance (an erased commit, a gap, an odd encoding, a signature that doesn't
 * verify) it leaves to `decodeBatch` and `authenticate`, which say what is wrong, if anything is: `readPlainBatch` then gives null. A body
 * that does more than set (or sets a map) only has its hash taken here, and is read by `decodeBody`; see `isOther`.
 *
 * What is plain is also written as this protocol's own encoder would write it, so that its bytes can be copied into the state as they are.
 */
import { hashBody } from './body.ts';
import { fromUtf8, isZero, readU32, readU64, toHex } from './bytes.ts';
import { ChainHasher, chainId } from './commit.ts';
import {
  BATCH_ENTRIES_MAX,
  BODY_BYTES_MAX,
  CHAIN_ID_BYTES,
  COMMIT_ID_BYTES,
  DEVICE_KEY_BYTES,
  INTEGER_MAX,
  NONCE_BYTES,
  SIGNATURE_BYTES,
  SUBJECT_BYTES_MAX,
} from './constants.ts';
import type { Crypto } from './crypto.ts';
import { checkDeviceKey, verifyWithCheckedKey } from './ed25519.ts';

/** A chain of the batch, before its first commit here and after its last. */
interface PlainChain {
  readonly id: Uint8Array;
  readonly device: Uint8Array;
  readonly nonce: Uint8Array;
  readonly seqBefore: number;
  readonly idBefore: Uint8Array;
  readonly seqLast: number;
  readonly idLast: Uint8Array;
}

/**
 * All numbers are offsets into `raw` or `records`, or one for each commit or change. Nothing but typed arrays and plain objects, so that
 * it passes from one thread to another without a copy.
 */
export interface PlainBatch {
  readonly raw: Uint8Array;
  readonly chains: readonly PlainChain[];
  /** Commits. */
  readonly count: number;
  /** Commit → index into `chains`. */
  readonly chainOf: Uint16Array;
  readonly bodyAt: Uint32Array;
  readonly bodyEnd: Uint32Array;
  /** Where the deps of a commit that has some end; 0 where it has none, or is other. */
  readonly depsEnd: Uint32Array;
  /** Commit → 1 where its body must be read by `decodeBody`. It then has no changes here, and no time. */
  readonly isOther: Uint8Array;
  /** µs since 1970. */
  readonly time: Float64Array;
  /** Commit → its first change; one more than there are commits. */
  readonly firstChange: Uint32Array;
  readonly subjectAt: Uint32Array;
  readonly subjectBytes: Uint16Array;
  /** FNV-1a over the subject's bytes. */
  readonly subjectHash: Uint32Array;
  /** Change → where its record begins: see `writeRecord`. */
  readonly recordAt: Uint32Array;
  readonly recordEnd: Uint32Array;
  readonly records: Uint8Array;
}

/** Room before the subject, for a key's prefix. */
export const RECORD_KEY_ROOM = 4;
/** Room before the properties, for the head of a state record. */
export const RECORD_HEAD_ROOM = 24;

type CommitColumn =
  'chains' | 'count' | 'chainOf' | 'bodyAt' | 'bodyEnd' | 'depsEnd' | 'isOther' | 'time' | 'firstChange';

/** Thrown where something isn't plain. One object: it says nothing and is caught below. */
const NOT_PLAIN = new Error('not plain');

/**
 * null: read it by `decodeBatch` and `authenticate`.
 *
 * @param withRecords false for who keeps no state: `records`, `recordAt` and `recordEnd` are then empty
 */
export function readPlainBatch(
  crypto: Crypto,
  space: Uint8Array,
  raw: Uint8Array,
  withRecords = true,
): PlainBatch | null {
  try {
    return new Reader(crypto, space, raw, withRecords).read();
  } catch (thrown) {
    if (thrown === NOT_PLAIN) return null;
    throw thrown;
  }
}

/** The columns of one body, of which neither hash nor signature is looked at; null where it isn't plain: read it by `decodeBody`. */
export function readPlainBody(crypto: Crypto, body: Uint8Array): PlainBatch | null {
  if (body.length > BODY_BYTES_MAX) return null;
  return new Reader(crypto, body, body, true).readBody();
}

interface Walk {
  readonly chain: { -readonly [key in keyof PlainChain]: PlainChain[key] };
  readonly hasher: ChainHasher;
  /** Index of its last commit: the one whose signature is verified. */
  last: number;
}

class Reader {
  readonly #crypto: Crypto;
  readonly #space: Uint8Array;
  readonly #raw: Uint8Array;
  readonly #withRecords: boolean;
  #at = 0;
  // Changes, of which nobody knows before how many there are.
  #changes = 0;
  #subjectAt: Uint32Array;
  #subjectBytes: Uint16Array;
  #subjectHash: Uint32Array;
  #recordAt: Uint32Array;
  #recordEnd: Uint32Array;
  #records: Uint8Array;
  #recordsEnd = 0;

  constructor(crypto: Crypto, space: Uint8Array, raw: Uint8Array, withRecords: boolean) {
    this.#withRecords = withRecords;
    this.#crypto = crypto;
    this.#space = space;
    this.#raw = raw;
    // Of a single body they are so short that no memory is asked for outside of the heap, which costs a µs for each.
    const guess = 2 + (raw.length >> 6);
    this.#subjectAt = new Uint32Array(guess);
    this.#subjectBytes = new Uint16Array(guess);
    this.#subjectHash = new Uint32Array(guess);
    this.#recordAt = new Uint32Array(guess);
    this.#recordEnd = new Uint32Array(guess);
    this.#records = new Uint8Array(withRecords ? raw.length + guess * (RECORD_KEY_ROOM + RECORD_HEAD_ROOM) : 0);
  }

  read(): PlainBatch {
    const raw = this.#raw;
    this.#expect(0x93);
    const walks = this.#readChains();
    const count = this.#arrayHead();
    if (count === 0 || count > BATCH_ENTRIES_MAX || walks.length > count) throw NOT_PLAIN;
    const chainOf = new Uint16Array(count);
    const bodyAt = new Uint32Array(count);
    const bodyEnd = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      this.#expect(0x92);
      const chain = this.#uint();
      if (chain >= walks.length) throw NOT_PLAIN;
      chainOf[i] = chain;
      walks[chain]!.last = i;
      const length = this.#binHead();
      if (length > BODY_BYTES_MAX) throw NOT_PLAIN;
      bodyAt[i] = this.#at;
      this.#at += length;
      bodyEnd[i] = this.#at;
    }
    if (this.#binHead() !== count * SIGNATURE_BYTES) throw NOT_PLAIN;
    const signaturesAt = this.#at;
    if (signaturesAt + count * SIGNATURE_BYTES !== raw.length) throw NOT_PLAIN;
    if (walks.some(({ last }) => last < 0)) throw NOT_PLAIN;

    const depsEnd = new Uint32Array(count);
    const isOther = new Uint8Array(count);
    const time = new Float64Array(count);
    const firstChange = new Uint32Array(count + 1);
    for (let i = 0; i < count; i++) {
      const { chain, hasher, last } = walks[chainOf[i]!]!;
      const seq = chain.seqLast + 1;
      chain.seqLast = seq;
      firstChange[i] = this.#changes;
      const at = bodyAt[i]!;
      const end = bodyEnd[i]!;
      const changesAt = this.#readStem(at, end, i, time, depsEnd);
      const before = this.#recordsEnd;
      if (changesAt === 0 || !this.#readChanges(changesAt, end)) {
        // What was read of it so far is taken back.
        this.#changes = firstChange[i]!;
        this.#recordsEnd = before;
        isOther[i] = 1;
        time[i] = 0;
        depsEnd[i] = 0;
        hasher.setBodyHash(seq, this.#hashOther(at, end));
      } else {
        hasher.hashBody(seq, raw, at, changesAt, end);
      }
      const signatureAt = signaturesAt + i * SIGNATURE_BYTES;
      if (i === last) {
        const signature = raw.subarray(signatureAt, signatureAt + SIGNATURE_BYTES);
        if (!verifyWithCheckedKey(this.#crypto, chain.device, hasher.signedBytesHere(), signature)) throw NOT_PLAIN;
      }
      hasher.advance(raw, signatureAt);
      if (i === last) chain.idLast = hasher.prev();
    }
    firstChange[count] = this.#changes;
    const chains = walks.map(({ chain }) => chain);
    return this.#columns({ chains, count, chainOf, bodyAt, bodyEnd, depsEnd, isOther, time, firstChange });
  }

  readBody(): PlainBatch | null {
    const raw = this.#raw;
    const time = new Float64Array(1);
    const depsEnd = new Uint32Array(1);
    const changesAt = this.#readStem(0, raw.length, 0, time, depsEnd);
    if (changesAt === 0 || !this.#readChanges(changesAt, raw.length)) return null;
    return this.#columns({
      chains: [],
      count: 1,
      chainOf: new Uint16Array(1),
      bodyAt: new Uint32Array(1),
      bodyEnd: Uint32Array.of(raw.length),
      depsEnd,
      isOther: new Uint8Array(1),
      time,
      firstChange: Uint32Array.of(0, this.#changes),
    });
  }

  #columns(commits: Pick<PlainBatch, CommitColumn>): PlainBatch {
    return {
      raw: this.#raw,
      ...commits,
      subjectAt: this.#subjectAt.slice(0, this.#changes),
      subjectBytes: this.#subjectBytes.slice(0, this.#changes),
      subjectHash: this.#subjectHash.slice(0, this.#changes),
      recordAt: this.#recordAt.slice(0, this.#withRecords ? this.#changes : 0),
      recordEnd: this.#recordEnd.slice(0, this.#withRecords ? this.#changes : 0),
      records: this.#records,
    };
  }

  /** A body whose stem can't be told apart has no hash. */
  #hashOther(at: number, end: number): Uint8Array {
    try {
      return hashBody(this.#crypto, this.#raw.subarray(at, end));
    } catch {
      throw NOT_PLAIN;
    }
  }

  #readChains(): Walk[] {
    const count = this.#arrayHead();
    const known = new Set<string>();
    const walks: Walk[] = [];
    for (let i = 0; i < count; i++) {
      this.#expect(0x94);
      const device = this.#bin(DEVICE_KEY_BYTES);
      const nonce = this.#bin(NONCE_BYTES);
      const seqBefore = this.#uint();
      const idBefore = this.#bin(COMMIT_ID_BYTES);
      if (!checkDeviceKey(device) || (seqBefore === 0) !== isZero(idBefore)) throw NOT_PLAIN;
      const key = { space: this.#space, device, nonce };
      const id = chainId(this.#crypto, key);
      if (id.length !== CHAIN_ID_BYTES) throw NOT_PLAIN;
      const hex = toHex(id);
      if (known.has(hex)) throw NOT_PLAIN;
      known.add(hex);
      const hasher = new ChainHasher(this.#crypto, key);
      hasher.setPrev(idBefore);
      const chain = { id, device, nonce, seqBefore, idBefore, seqLast: seqBefore, idLast: idBefore };
      walks.push({ chain, hasher, last: -1 });
    }
    return walks;
  }

  // ---- bodies

  /** Where the changes begin; 0 where it isn't plain. Puts down the time, and where deps end. */
  #readStem(at: number, end: number, i: number, time: Float64Array, depsEnd: Uint32Array): number {
    const raw = this.#raw;
    // 0x93, a time past 2^32 as every time later than 72 minutes after 1970 is, deps, and one change at the least.
    if (end - at < 16 || raw[at] !== 0x93 || raw[at + 1] !== 0xcf || readU32(raw, at + 2) === 0) return 0;
    const us = readU64(raw, at + 2);
    if (us > INTEGER_MAX) return 0;
    time[i] = us;
    const deps = raw[at + 10]!;
    let next = at + 11;
    if (deps !== 0x90) {
      if (deps < 0x91 || deps > 0x9f) return 0;
      // Walked over here; they are read and judged from these bytes.
      for (let k = deps - 0x90; k > 0; k--) {
        if (raw[next] !== 0x92 || raw[next + 1] !== 0xc4 || raw[next + 2] !== CHAIN_ID_BYTES) return 0;
        next = skipUint(raw, next + 3 + CHAIN_ID_BYTES);
        if (next === 0 || next > end) return 0;
      }
      depsEnd[i] = next;
    }
    return next;
  }

  #readChanges(at: number, end: number): boolean {
    const raw = this.#raw;
    let count = raw[at]!;
    if (count > 0x90 && count <= 0x9f) {
      count -= 0x90;
      at += 1;
    } else if (count === 0xdc) {
      count = (raw[at + 1]! << 8) | raw[at + 2]!;
      if (count < 16) return false;
      at += 3;
    } else {
      return false;
    }
    if (count * 8 > end - at) return false;
    if (count > 1) seen.begin(count);
    for (let k = 0; k < count; k++) {
      if (raw[at] !== 0x92) return false;
      at = this.#readChange(at + 1, end, count > 1);
      if (at === 0) return false;
    }
    return at === end;
  }

  /** `[subject, {set: {…}}]` after its first byte; returns the offset after it, 0 where it isn't plain. */
  #readChange(at: number, end: number, isOneOfSeveral: boolean): number {
    const raw = this.#raw;
    let length = raw[at]!;
    if (length > 0xa0 && length <= 0xbf) {
      length -= 0xa0;
      at += 1;
    } else if (length === 0xd9) {
      length = raw[at + 1]!;
      if (length < 32) return 0;
      at += 2;
    } else if (length === 0xda) {
      length = (raw[at + 1]! << 8) | raw[at + 2]!;
      if (length < 256) return 0;
      at += 3;
    } else {
      return 0;
    }
    const subjectAt = at;
    at += length;
    // `~`: of the space itself, which is never plain.
    if (length > SUBJECT_BYTES_MAX || at + 6 > end || raw[subjectAt] === 0x7e) return 0;
    let hash = 0x811c9dc5;
    let isAscii = true;
    for (let i = subjectAt; i < at; i++) {
      const byte = raw[i]!;
      if (byte < 0x20 || byte === 0x7f) return 0;
      if (byte > 0x7f) isAscii = false;
      hash = Math.imul(hash ^ byte, 0x01000193);
    }
    hash >>>= 0;
    if (!isAscii && !isUtf8(raw, subjectAt, at)) return 0;
    // Two that only share a hash are looked at closely by decodeBody.
    if (isOneOfSeveral && !seen.add(hash)) return 0;
    // {"set": …}
    if (raw[at] !== 0x81 || raw[at + 1] !== 0xa3) return 0;
    if (raw[at + 2] !== 0x73 || raw[at + 3] !== 0x65 || raw[at + 4] !== 0x74) return 0;
    at = this.#readProperties(at + 5, end, subjectAt, length);
    if (at === 0) return 0;
    const change = this.#changes++;
    this.#subjectAt[change] = subjectAt;
    this.#subjectBytes[change] = length;
    this.#subjectHash[change] = hash;
    return at;
  }

  /** Up to fifteen properties, each name once. Writes the change's record; returns the offset after them, 0 where they aren't plain. */
  #readProperties(at: number, end: number, subjectAt: number, subjectBytes: number): number {
    const raw = this.#raw;
    const count = raw[at]! - 0x80;
    if (count < 1 || count > 15) return 0;
    const mapAt = at++;
    let isSorted = true;
    for (let k = 0; k < count; k++) {
      nameAt[k] = at;
      const length = raw[at]! - 0xa0;
      if (length < 1 || length > 31 || at + length + 2 > end) return 0;
      at++;
      // A digit: what JavaScript takes for an index goes before all else in its objects, and so in encodings made from them.
      if (raw[at]! >= 0x30 && raw[at]! <= 0x39) return 0;
      for (let i = at; i < at + length; i++) if (raw[i]! < 0x20 || raw[i]! > 0x7e) return 0;
      if (length === 9 && raw[at] === 0x5f && raw[at + 1] === 0x5f && raw[at + 2] === 0x70) return 0;
      at = skipCanonical(raw, at + length, end, VALUE_DEPTH_MAX);
      if (at === 0) return 0;
      nameAt[k + 1] = at;
      order[k] = k;
      if (k > 0 && compareNames(raw, nameAt[order[k - 1]!]!, nameAt[k]!) >= 0) {
        isSorted = false;
        if (!this.#insert(k)) return 0;
      }
    }
    this.#writeRecord(mapAt, at, count, isSorted, subjectAt, subjectBytes);
    return at;
  }

  /** Puts property `k` where it belongs by name; false where there is one of that name. */
  #insert(k: number): boolean {
    const raw = this.#raw;
    let at = k;
    while (at > 0) {
      const difference = compareNames(raw, nameAt[order[at - 1]!]!, nameAt[k]!);
      if (difference === 0) return false;
      if (difference < 0) break;
      order[at] = order[at - 1]!;
      at--;
    }
    order[at] = k;
    return true;
  }

  /**
   * A record is what goes into the state, but for what only the receiver knows:
   *
   *   key room 4 | subject | head room 24 | the map of properties, by ascending name
   */
  #writeRecord(
    mapAt: number,
    mapEnd: number,
    count: number,
    isSorted: boolean,
    subjectAt: number,
    subjectBytes: number,
  ): void {
    const raw = this.#raw;
    const change = this.#changes;
    if (!this.#withRecords) {
      if (change === this.#subjectAt.length) this.#grow(0);
      return;
    }
    const bytes = RECORD_KEY_ROOM + subjectBytes + RECORD_HEAD_ROOM + (mapEnd - mapAt);
    if (change === this.#subjectAt.length || this.#recordsEnd + bytes > this.#records.length) this.#grow(bytes);
    const records = this.#records;
    let to = this.#recordsEnd;
    this.#recordAt[change] = to;
    to = copy(raw, subjectAt, subjectAt + subjectBytes, records, to + RECORD_KEY_ROOM) + RECORD_HEAD_ROOM;
    if (isSorted) {
      to = copy(raw, mapAt, mapEnd, records, to);
    } else {
      records[to++] = raw[mapAt]!;
      for (let k = 0; k < count; k++) to = copy(raw, nameAt[order[k]!]!, nameAt[order[k]! + 1]!, records, to);
    }
    this.#recordEnd[change] = to;
    this.#recordsEnd = to;
  }

  #grow(bytes: number): void {
    const changes = this.#subjectAt.length * 2;
    const grown = <T extends Uint32Array | Uint16Array | Uint8Array>(to: T, from: T): T => {
      to.set(from);
      return to;
    };
    this.#subjectAt = grown(new Uint32Array(changes), this.#subjectAt);
    this.#subjectBytes = grown(new Uint16Array(changes), this.#subjectBytes);
    this.#subjectHash = grown(new Uint32Array(changes), this.#subjectHash);
    this.#recordAt = grown(new Uint32Array(changes), this.#recordAt);
    this.#recordEnd = grown(new Uint32Array(changes), this.#recordEnd);
    this.#records = grown(new Uint8Array(2 * this.#records.length + bytes), this.#records);
  }

  // ---- the batch's own arrays, in the shortest encoding only

  #expect(byte: number): void {
    if (this.#raw[this.#at++] !== byte) throw NOT_PLAIN;
  }

  #arrayHead(): number {
    const raw = this.#raw;
    const byte = raw[this.#at]!;
    if (byte >= 0x90 && byte <= 0x9f) {
      this.#at++;
      return byte - 0x90;
    }
    if (byte !== 0xdc) throw NOT_PLAIN;
    this.#at += 3;
    return (raw[this.#at - 2]! << 8) | raw[this.#at - 1]!;
  }

  /** Inside of `raw`, what it announces too. */
  #binHead(): number {
    const raw = this.#raw;
    const at = this.#at;
    const byte = raw[at];
    let length: number;
    if (byte === 0xc4) {
      length = raw[at + 1]!;
      this.#at = at + 2;
    } else if (byte === 0xc5) {
      length = (raw[at + 1]! << 8) | raw[at + 2]!;
      this.#at = at + 3;
    } else if (byte === 0xc6) {
      length = readU32(raw, at + 1);
      this.#at = at + 5;
    } else {
      throw NOT_PLAIN;
    }
    // Also where the head itself is cut off: NaN is greater than nothing.
    if (!(this.#at + length <= raw.length)) throw NOT_PLAIN;
    return length;
  }

  #bin(length: number): Uint8Array {
    if (this.#binHead() !== length) throw NOT_PLAIN;
    const bytes = this.#raw.slice(this.#at, this.#at + length);
    this.#at += length;
    return bytes;
  }

  #uint(): number {
    const raw = this.#raw;
    const at = this.#at;
    const next = skipUint(raw, at);
    if (next === 0 || next > raw.length) throw NOT_PLAIN;
    this.#at = next;
    switch (next - at) {
      case 1:
        return raw[at]!;
      case 2:
        return raw[at + 1]!;
      case 3:
        return (raw[at + 1]! << 8) | raw[at + 2]!;
      case 5:
        return readU32(raw, at + 1);
      default: {
        const value = readU64(raw, at + 1);
        if (value > INTEGER_MAX) throw NOT_PLAIN;
        return value;
      }
    }
  }
}

/** Offset of each property's name, and the end of the last; and their order by name. Of one change at a time. */
const nameAt = new Uint32Array(16);
const order = new Uint8Array(16);
/** A value sits inside body → changes → change → ops → operand; more than a few levels aren't looked at here. */
const VALUE_DEPTH_MAX = 4;

/** Which hashes one commit has had: a table that is emptied by counting on. */
class SeenHashes {
  #slots = new Uint32Array(64);
  #rounds = new Uint32Array(64);
  #round = 0;

  begin(count: number): void {
    if (count * 2 > this.#slots.length) {
      const size = 2 ** Math.ceil(Math.log2(count * 2));
      this.#slots = new Uint32Array(size);
      this.#rounds = new Uint32Array(size);
      this.#round = 0;
    }
    if (++this.#round === 0xffff_ffff) {
      this.#rounds.fill(0);
      this.#round = 1;
    }
  }

  /** false where it is there already. */
  add(hash: number): boolean {
    const mask = this.#slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      if (this.#rounds[slot] !== this.#round) {
        this.#rounds[slot] = this.#round;
        this.#slots[slot] = hash;
        return true;
      }
      if (this.#slots[slot] === hash) return false;
    }
  }
}
const seen = new SeenHashes();

/** By bytes; names are ASCII here. Both begin with their length byte. */
function compareNames(raw: Uint8Array, a: number, b: number): number {
  const aBytes = raw[a]! - 0xa0;
  const bBytes = raw[b]! - 0xa0;
  const length = Math.min(aBytes, bBytes);
  for (let i = 1; i <= length; i++) {
    const difference = raw[a + i]! - raw[b + i]!;
    if (difference !== 0) return difference;
  }
  return aBytes - bBytes;
}

/** Short runs by hand: a call of `set` costs as much as fifty bytes. */
function copy(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): number {
  if (end - start > 48) {
    to.set(from.subarray(start, end), at);
    return at + end - start;
  }
  for (let i = start; i < end; i++) to[at++] = from[i]!;
  return at;
}

function isUtf8(raw: Uint8Array, start: number, end: number): boolean {
  try {
    fromUtf8(raw.subarray(start, end));
    return true;
  } catch {
    return false;
  }
}

/** The offset after an unsigned integer in its shortest encoding; 0 where there is none. */
function skipUint(raw: Uint8Array, at: number): number {
  const byte = raw[at]!;
  if (byte <= 0x7f) return at + 1;
  switch (byte) {
    case 0xcc:
      return raw[at + 1]! > 0x7f ? at + 2 : 0;
    case 0xcd:
      return raw[at + 1]! > 0 ? at + 3 : 0;
    case 0xce:
      return raw[at + 1]! > 0 || raw[at + 2]! > 0 ? at + 5 : 0;
    case 0xcf:
      return readU32(raw, at + 1) > 0 ? at + 9 : 0;
    default:
      return 0;
  }
}

const float = new DataView(new ArrayBuffer(8));

/**
 * The offset after a value that is allowed and written in the shortest way; 0 for any other, and for maps, whose keys would have to be
 * compared. Never past `end`.
 */
function skipCanonical(raw: Uint8Array, at: number, end: number, depthLeft: number): number {
  const byte = raw[at]!;
  let next: number;
  if (byte <= 0x7f || byte >= 0xe0) {
    next = at + 1;
  } else if (byte >= 0xa0 && byte <= 0xbf) {
    return skipText(raw, at + 1, byte - 0xa0, end);
  } else if (byte >= 0x90 && byte <= 0x9f) {
    if (depthLeft === 0) return 0;
    next = at + 1;
    for (let k = byte - 0x90; k > 0; k--) {
      if (next >= end) return 0;
      next = skipCanonical(raw, next, end, depthLeft - 1);
      if (next === 0) return 0;
    }
  } else {
    switch (byte) {
      case 0xc0:
      case 0xc2:
      case 0xc3:
        next = at + 1;
        break;
      case 0xc4:
        next = at + 2 + raw[at + 1]!;
        break;
      case 0xc5:
        if (raw[at + 1] === 0) return 0;
        next = at + 3 + ((raw[at + 1]! << 8) | raw[at + 2]!);
        break;
      case 0xcb: {
        if (at + 9 > end) return 0;
        for (let i = 0; i < 8; i++) float.setUint8(i, raw[at + 1 + i]!);
        const value = float.getFloat64(0);
        if (!Number.isFinite(value) || Number.isInteger(value)) return 0;
        next = at + 9;
        break;
      }
      case 0xcc:
      case 0xcd:
      case 0xce:
        next = skipUint(raw, at);
        break;
      case 0xcf:
        if (readU64(raw, at + 1) > INTEGER_MAX) return 0;
        next = skipUint(raw, at);
        break;
      case 0xd9:
        return raw[at + 1]! < 32 ? 0 : skipText(raw, at + 2, raw[at + 1]!, end);
      case 0xda:
        return raw[at + 1] === 0 ? 0 : skipText(raw, at + 3, (raw[at + 1]! << 8) | raw[at + 2]!, end);
      default:
        // Also negative numbers past −32: rare enough.
        return 0;
    }
  }
  return next <= end ? next : 0;
}

function skipText(raw: Uint8Array, at: number, length: number, end: number): number {
  const next = at + length;
  if (!(next <= end)) return 0;
  for (let i = at; i < next; i++) if (raw[i]! > 0x7f) return isUtf8(raw, i, next) ? next : 0;
  return next;
}

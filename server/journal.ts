/**
 * The journal of a store: small writes, each flushed by one synchronous write to a file whose blocks are there already. What it holds is what the
 * store's tables don't hold yet; journaled-store.ts says when it is used. Two regions of one file: while the records of one go to
 * the tables, new ones go to the other.
 *
 *   record = mac 16 | bytes of the record u32 | seq u64 | operations
 *   operation = table u8 | key bytes u32 | value bytes u32, all ones for a removal | key | value
 *   mac = SHA-256 (secret 16 | record after its mac), first 16 bytes
 *
 * Records of a region stand one after the other, with ascending seqs. Behind the last stand older bytes, or half of one that a power cut
 * tore: it wasn't acknowledged. The secret keeps what others wrote into values from being taken for a record there.
 */
import { hash } from 'node:crypto';
import { close, constants, fdatasync, open as openFile, write, writeSync } from 'node:fs';
import { mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { equal, readU32, readU64, writeU32, writeU64 } from '../protocol/bytes.ts';
import { TidelogError } from '../protocol/errors.ts';
import { TABLES, type StoreOp, type Table } from '../client/store.ts';
import { syncFolder } from './durable.ts';

/** Of one region. Disk that every running node takes twice; with records of 600 bytes, 800 of them between two flushes of the tables. */
export const REGION_BYTES = 512 * 1024;
export const SECRET_BYTES = 16;
const MAC_BYTES = 16;
const HEAD_BYTES = MAC_BYTES + 4 + 8;
const OP_HEAD_BYTES = 1 + 4 + 4;
const REMOVED = 0xffffffff;
/** Numbers on the disk: none ever changes, whatever order TABLES has. */
const NUMBER_OF: Readonly<Record<Table, number>> = {
  meta: 0,
  spaces: 1,
  blocks: 2,
  blockIndex: 3,
  chains: 4,
  knows: 5,
  state: 6,
  conflicts: 7,
  facts: 8,
  holes: 9,
  peers: 10,
  cursors: 11,
  forks: 12,
  setAside: 13,
};
const TABLE_OF: ReadonlyMap<number, Table> = new Map(TABLES.map((table) => [NUMBER_OF[table], table]));

export interface JournalRecord {
  readonly seq: number;
  readonly ops: readonly StoreOp[];
}

/**
 * A write returns after the flush: one call where two would be, and with blocks that are there and written, no journal of the file system
 * in between. Elsewhere than on Linux the flag promises less than fdatasync does.
 */
const FLUSHES_BY_WRITE = process.platform === 'linux';

/**
 * ms. While the disk flushes faster than this, the thread waits for it: a write of 600 bytes takes 0.1 ms then, and the way to another thread and back
 * 0.05 more. A card in a small computer takes 10, and there the loop must go on.
 */
const WAITS_BELOW_MS = 0.4;
/** Of how many writes the time is smoothed. */
const SMOOTHED_OVER = 8;

export class Journal {
  readonly #fd: number;
  /** Of a write with its flush, smoothed. Unknown at first. */
  #writeMs = Infinity;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Makes the file where it isn't there whole: zeros on the disk, so that no later write allocates anything. */
  static async open(path: string): Promise<Journal> {
    const size = await stat(path).then(
      (found) => found.size,
      () => -1,
    );
    if (size !== 2 * REGION_BYTES) {
      await mkdir(dirname(path), { recursive: true });
      const file = await open(path, 'w', 0o600);
      try {
        await file.writeFile(new Uint8Array(2 * REGION_BYTES));
        await file.sync();
      } finally {
        await file.close();
      }
      await syncFolder(dirname(path));
    }
    const flags = constants.O_RDWR | (FLUSHES_BY_WRITE ? constants.O_DSYNC : 0);
    return new Journal(
      await new Promise((resolve, reject) =>
        openFile(path, flags, (error, fd) => (error ? reject(error) : resolve(fd))),
      ),
    );
  }

  /**
   * Resolves when the disk has it; rejects with what the system says, and then the disk may have it or not. `isBusy`: others write to the same
   * disk, so nobody can say how long it takes.
   */
  async write(region: 0 | 1, offset: number, record: Uint8Array, isBusy: boolean): Promise<void> {
    const startedMs = performance.now();
    if (FLUSHES_BY_WRITE && !isBusy && this.#writeMs < WAITS_BELOW_MS) this.#writeHere(region, offset, record);
    else await this.#writeElsewhere(region, offset, record);
    const ms = performance.now() - startedMs;
    this.#writeMs = this.#writeMs === Infinity ? ms : this.#writeMs + (ms - this.#writeMs) / SMOOTHED_OVER;
  }

  #writeHere(region: 0 | 1, offset: number, record: Uint8Array): void {
    for (let from = 0; from < record.length;) {
      const at = region * REGION_BYTES + offset + from;
      const written = writeSync(this.#fd, record, from, record.length - from, at);
      if (written === 0) throw new Error('nothing of it was written');
      from += written;
    }
  }

  #writeElsewhere(region: 0 | 1, offset: number, record: Uint8Array): Promise<void> {
    // Callbacks: node:fs/promises costs 20 µs more for each call.
    return new Promise((resolve, reject) => {
      const writeFrom = (from: number): void =>
        write(this.#fd, record, from, record.length - from, region * REGION_BYTES + offset + from, (error, written) => {
          if (error) reject(error);
          else if (written === 0) reject(new Error('nothing of it was written'));
          else if (from + written < record.length) writeFrom(from + written);
          else if (FLUSHES_BY_WRITE) resolve();
          else fdatasync(this.#fd, (failed) => (failed ? reject(failed) : resolve()));
        });
      writeFrom(0);
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => close(this.#fd, () => resolve()));
  }
}

/** Only after the tables say, on the disk, that there is none. */
export async function removeJournal(path: string): Promise<void> {
  await rm(path, { force: true });
}

/**
 * What stands in the file after `applied`, by ascending seq; null where the file isn't there. Throws `data-damaged` where something of it is missing
 * that was flushed once.
 */
export async function readJournal(path: string, secret: Uint8Array, applied: number): Promise<JournalRecord[] | null> {
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(await readFile(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new TidelogError('store-failed', `${path} cannot be read: ${(error as Error).message}`, {}, { cause: error });
  }
  // It had its size, on the disk, before the tables knew its secret.
  if (bytes.length !== 2 * REGION_BYTES)
    throw new TidelogError('data-damaged', `${path} has ${bytes.length} bytes; it was made with ${2 * REGION_BYTES}`);
  const records: JournalRecord[] = [];
  for (const region of [bytes.subarray(0, REGION_BYTES), bytes.subarray(REGION_BYTES)]) {
    let end = 0;
    for (const record of recordsOf(region, secret)) {
      records.push(record);
      end += recordBytes(record.ops);
    }
    if (hasRecordAfter(region, end, secret, applied))
      throw new TidelogError('data-damaged', `${path}: a record is not what was written, and a later one is`);
  }
  return records.filter(({ seq }) => seq > applied).toSorted((a, b) => a.seq - b.seq);
}

/** More records than two regions hold: a number beyond is no record's that could be missing. */
const SEQS_AHEAD_MAX = (2 * REGION_BYTES) / HEAD_BYTES;
/** Bytes that are hashed in search of records, at most: somebody's values may look like thousands of them. */
const SEARCH_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Is there a record behind those that follow each other, that the tables lack? Each was flushed before the next was begun, so a power cut tears the
 * last one and no other: what stands behind a torn one was damaged later, or by the disk. Older records that stand there the tables have.
 */
function hasRecordAfter(region: Uint8Array, end: number, secret: Uint8Array, applied: number): boolean {
  let searched = 0;
  for (let at = end + 1; at + HEAD_BYTES <= region.length && searched < SEARCH_BYTES_MAX; at++) {
    // A look at two bytes leaves out nearly all places: no number comes near 2^48.
    if (region[at + MAC_BYTES + 4] !== 0 || region[at + MAC_BYTES + 5] !== 0) continue;
    const length = readU32(region, at + MAC_BYTES);
    if (length <= HEAD_BYTES || at + length > region.length) continue;
    const seq = readU64(region, at + MAC_BYTES + 4);
    if (seq <= applied || seq > applied + SEQS_AHEAD_MAX) continue;
    const record = region.subarray(at, at + length);
    if (equal(macOf(secret, record), record.subarray(0, MAC_BYTES))) return true;
    searched += length;
  }
  return false;
}

export function recordBytes(ops: readonly StoreOp[]): number {
  let bytes = HEAD_BYTES;
  for (const { key, value } of ops) bytes += OP_HEAD_BYTES + key.length + (value?.length ?? 0);
  return bytes;
}

/** Also gives the operations on memory of the record's own: what was handed in isn't kept. */
export function encodeRecord(
  secret: Uint8Array,
  seq: number,
  groups: readonly (readonly StoreOp[])[],
): { readonly record: Uint8Array; readonly ops: readonly StoreOp[] } {
  const record = new Uint8Array(groups.reduce((sum, ops) => sum + recordBytes(ops) - HEAD_BYTES, HEAD_BYTES));
  const kept: StoreOp[] = [];
  writeU32(record, MAC_BYTES, record.length);
  writeU64(record, MAC_BYTES + 4, seq);
  let at = HEAD_BYTES;
  const put = (bytes: Uint8Array): Uint8Array => {
    record.set(bytes, at);
    at += bytes.length;
    return record.subarray(at - bytes.length, at);
  };
  for (const ops of groups) {
    for (const { table, key, value } of ops) {
      record[at] = NUMBER_OF[table];
      writeU32(record, at + 1, key.length);
      writeU32(record, at + 5, value === null ? REMOVED : value.length);
      at += OP_HEAD_BYTES;
      kept.push({ table, key: put(key), value: value === null ? null : put(value) });
    }
  }
  record.set(macOf(secret, record));
  return { record, ops: kept };
}

/** The room before the record's own bytes is that of its mac: the secret stands there while it is hashed. */
function macOf(secret: Uint8Array, record: Uint8Array): Uint8Array {
  const before = record.slice(0, MAC_BYTES);
  record.set(secret);
  const digest = hash('sha256', record, 'buffer');
  record.set(before);
  return digest.subarray(0, MAC_BYTES);
}

function* recordsOf(region: Uint8Array, secret: Uint8Array): Generator<JournalRecord> {
  for (let at = 0; at + HEAD_BYTES <= region.length;) {
    const length = readU32(region, at + MAC_BYTES);
    if (length < HEAD_BYTES || at + length > region.length) return;
    const record = region.subarray(at, at + length);
    if (!equal(macOf(secret, record), record.subarray(0, MAC_BYTES))) return;
    yield { seq: readU64(record, MAC_BYTES + 4), ops: [...opsOf(record)] };
    at += length;
  }
}

function* opsOf(record: Uint8Array): Generator<StoreOp> {
  for (let at = HEAD_BYTES; at < record.length;) {
    const table = TABLE_OF.get(record[at]!)!;
    const keyBytes = readU32(record, at + 1);
    const valueBytes = readU32(record, at + 5);
    const keyEnd = at + OP_HEAD_BYTES + keyBytes;
    const end = valueBytes === REMOVED ? keyEnd : keyEnd + valueBytes;
    const value = valueBytes === REMOVED ? null : record.subarray(keyEnd, end);
    yield { table, key: record.subarray(at + OP_HEAD_BYTES, keyEnd), value };
    at = end;
  }
}

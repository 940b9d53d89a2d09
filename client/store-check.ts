/** What every store refuses before it touches anything, so that all refuse the same. See the contract in store.ts. */

import { TidelogError } from '../protocol/errors.ts';
import { TABLES, type ScanRange, type StoreOp, type Table } from './store.ts';

/** LMDB's keys end at 1,978 bytes and leave room for the byte that a scan adds to a bound. */
const KEY_BYTES_MAX = 1500;

const tables: ReadonlySet<string> = new Set(TABLES);

/**
 * Throws `internal`, for a wrong call is a fault of the caller in this program and nobody's input. Stores call it before the
 * first operation takes effect: that is what makes a list with one wrong operation write nothing.
 */
export function assertOps(ops: readonly StoreOp[]): void {
  for (const { table, key, value } of ops) {
    assertTable(table);
    assertKey(key);
    if (value !== null && !(value instanceof Uint8Array)) throw wrongCall('a value is bytes or null');
  }
}

export function assertTable(table: Table): void {
  if (!tables.has(table)) throw wrongCall(`no table is called ${String(table)}`);
}

export function assertKey(key: Uint8Array): void {
  if (!(key instanceof Uint8Array)) throw wrongCall('a key is bytes');
  if (key.length < 1 || key.length > KEY_BYTES_MAX)
    throw wrongCall(`a key of ${key.length} bytes; it is 1 to ${KEY_BYTES_MAX}`);
}

export function assertRange({ gt, gte, lt, lte, limit }: ScanRange): void {
  if (gt && gte) throw wrongCall('a scan with two lower bounds');
  if (lt && lte) throw wrongCall('a scan with two upper bounds');
  for (const bound of [gt, gte, lt, lte]) {
    if (bound && bound.length > KEY_BYTES_MAX)
      throw wrongCall(`a bound of ${bound.length} bytes; the most is ${KEY_BYTES_MAX}`);
  }
  if (!Number.isSafeInteger(limit) || limit < 0) throw wrongCall(`a scan's limit is a whole number, not ${limit}`);
}

function wrongCall(particular: string): TidelogError {
  return new TidelogError('internal', `store: ${particular}`);
}

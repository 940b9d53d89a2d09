/**
 * What a page remembers of its device beside the database, in localStorage: a browser that runs short of room may delete a site's database, and some delete
 * it after a week without a visit. It keeps the device's key and where its peers are reached. So the device comes back as itself, with an empty log, and
 * fetches everything; what it writes then begins a new chain, so nothing forks. What it had written and no other device had yet is gone.
 *
 * The key is no safer in one of the two places: whatever script reads one reads the other.
 */
import { fromHex, toHex } from '../../protocol/bytes.ts';

interface KnownPeer {
  /** Device ID. */
  readonly id: string;
  readonly name: string;
  readonly address: string;
}

export interface Memory {
  /** Of the device's key, 32 bytes; null where the program keeps the key. */
  readonly seed: Uint8Array | null;
  readonly peers: readonly KnownPeer[];
}

const SEED_BYTES = 32;

function keyOf(database: string): string {
  return `tidelog ${database}`;
}

/** null where there is nothing, or no localStorage: in workers, and where a person forbids it. */
export function recall(database: string): Memory | null {
  try {
    const text = globalThis.localStorage?.getItem(keyOf(database));
    if (!text) return null;
    const { seed, peers } = JSON.parse(text) as { seed: string | null; peers: KnownPeer[] };
    const bytes = seed === null ? null : fromHex(seed);
    if (bytes === undefined || (bytes && bytes.length !== SEED_BYTES) || !Array.isArray(peers)) return null;
    return { seed: bytes, peers };
  } catch {
    // Damaged, it is worth as much as none.
    return null;
  }
}

export function remember(database: string, { seed, peers }: Memory): void {
  try {
    const text = JSON.stringify({ seed: seed && toHex(seed), peers });
    if (globalThis.localStorage?.getItem(keyOf(database)) !== text)
      globalThis.localStorage?.setItem(keyOf(database), text);
  } catch {
    // Full, or forbidden: an eviction would not be noticed, and all else works.
  }
}

export function forget(database: string): void {
  try {
    globalThis.localStorage?.removeItem(keyOf(database));
  } catch {
    // Forbidden: there is nothing.
  }
}

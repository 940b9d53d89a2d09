/** What a peer counts since it was opened: for status and metrics. Plain numbers, changed where the thing happens. */
export interface Counters {
  commitsWritten: number;
  /** New entries that came from others. */
  entriesReceived: number;
  /** Entries that came and were here already. */
  duplicates: number;
  bytesIn: number;
  bytesOut: number;
  batchesIn: number;
  batchesOut: number;
  connectionsOpened: number;
  handshakesFailed: number;
  /** By error code: what was refused, by us or by them. */
  refusals: Record<string, number>;
}

export function newCounters(): Counters {
  return {
    commitsWritten: 0,
    entriesReceived: 0,
    duplicates: 0,
    bytesIn: 0,
    bytesOut: 0,
    batchesIn: 0,
    batchesOut: 0,
    connectionsOpened: 0,
    handshakesFailed: 0,
    refusals: {},
  };
}

/** Something was refused, by us or by them. `code` may be one that this side doesn't know. */
export function countRefusal(counters: Counters, code: string): void {
  counters.refusals[code] = (counters.refusals[code] ?? 0) + 1;
}

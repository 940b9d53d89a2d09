/** What the node counts, for Prometheus. The numbers are the peer's own, read when they are asked for; nothing is counted twice over. */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';

import type { Counters } from '../client/counters.ts';
import type { Peer } from '../client/peer.ts';
import { readStatus, type OtherStatus, type SpaceStatus } from './http/status.ts';

export interface Metrics {
  /** Prometheus' text format. */
  text(): Promise<string>;
}

type PlainCounter = Exclude<keyof Counters, 'refusals'>;

const COUNTERS: Record<PlainCounter, { name: string; help: string; labels?: Record<string, string> }> = {
  commitsWritten: { name: 'commits_written_total', help: 'Commits that this device wrote' },
  entriesReceived: { name: 'entries_received_total', help: 'New entries that came from other devices' },
  duplicates: { name: 'entries_duplicate_total', help: 'Entries that came although they were here already' },
  bytesIn: { name: 'sync_bytes_total', help: 'Bytes of sync connections', labels: { direction: 'in' } },
  bytesOut: { name: 'sync_bytes_total', help: 'Bytes of sync connections', labels: { direction: 'out' } },
  batchesIn: { name: 'batches_total', help: 'Batches of entries', labels: { direction: 'in' } },
  batchesOut: { name: 'batches_total', help: 'Batches of entries', labels: { direction: 'out' } },
  connectionsOpened: { name: 'connections_opened_total', help: 'Connections to other devices since the start' },
  handshakesFailed: {
    name: 'handshakes_failed_total',
    help: 'Connections that ended before the other device was known',
  },
};

const SPACE_GAUGES: readonly (readonly [name: string, help: string, read: (space: SpaceStatus) => number])[] = [
  ['space_head', 'Entries in the log', ({ head }) => head],
  ['space_commits', 'Commits that count', ({ commits }) => commits],
  ['space_subjects', 'Resources', ({ subjects }) => subjects],
  ['space_conflicts', 'Resources with conflicts to decide', ({ conflicts }) => conflicts],
  ['space_bytes', 'Bytes of the log on disk', ({ bytes }) => bytes],
];

const PEER_GAUGES: readonly (readonly [name: string, help: string, read: (peer: OtherStatus) => number | null])[] = [
  ['peer_connected', '1 while connected', ({ connected }) => (connected ? 1 : 0)],
  ['peer_behind', 'Commits that it lacks, as far as is known', ({ behind }) => behind],
  ['peer_ahead', 'Commits that it has and this device lacks', ({ ahead }) => ahead],
];

export function createMetrics(peer: Peer): Metrics {
  const registry = new Registry();
  // The process: CPU, memory, open files, event loop lag, garbage collection.
  collectDefaultMetrics({ register: registry });

  const counters = new Map<string, Counter>();
  for (const { name, help, labels = {} } of Object.values(COUNTERS)) {
    if (counters.has(name)) continue;
    counters.set(
      name,
      new Counter({ name: `tidelog_${name}`, help, labelNames: Object.keys(labels), registers: [registry] }),
    );
  }
  const refusals = new Counter({
    name: 'tidelog_refusals_total',
    help: 'What was refused, by error code',
    labelNames: ['code'],
    registers: [registry],
  });
  const gauge = (name: string, help: string, label: string): Gauge =>
    new Gauge({ name: `tidelog_${name}`, help, labelNames: [label], registers: [registry] });
  const spaceGauges = SPACE_GAUGES.map(([name, help, read]) => ({ gauge: gauge(name, help, 'space'), read }));
  const peerGauges = PEER_GAUGES.map(([name, help, read]) => ({ gauge: gauge(name, help, 'device'), read }));

  const readCounters = (): void => {
    for (const counter of [...counters.values(), refusals]) counter.reset();
    for (const [key, { name, labels = {} }] of Object.entries(COUNTERS))
      counters.get(name)!.inc(labels, peer.counters[key as PlainCounter]);
    for (const [code, count] of Object.entries(peer.counters.refusals)) refusals.inc({ code }, count);
  };
  const readGauges = async (): Promise<void> => {
    const { spaces, peers } = await readStatus({ peer, addresses: () => [] });
    for (const { gauge, read } of spaceGauges) {
      gauge.reset();
      // By ID: names are not unique, and may say what is nobody's business.
      for (const space of spaces) gauge.set({ space: space.id.slice(0, 16) }, read(space));
    }
    for (const { gauge, read } of peerGauges) {
      gauge.reset();
      for (const other of peers) {
        const value = read(other);
        if (value !== null) gauge.set({ device: other.id.slice(0, 7) }, value);
      }
    }
  };

  return {
    async text() {
      readCounters();
      await readGauges();
      return registry.metrics();
    },
  };
}

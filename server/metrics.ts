/** What the node counts, for Prometheus. The numbers are the peer's own, read when they are asked for; nothing is counted twice over. */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';

import type { Counters } from '../client/counters.ts';
import type { Peer } from '../client/peer.ts';
import type { Verified } from './verified.ts';
import type { Verifier } from './verifier.ts';
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

const VERIFIED_GAUGES: readonly (readonly [name: string, help: string, read: (verified: Verified) => number | null])[] =
  [
    ['verified_timestamp_seconds', 'When the log was last verified', ({ log }) => log && log.atMs / 1000],
    ['verified_findings', 'What was wrong then; 0 is well', ({ log }) => log && log.findings],
    [
      'backup_verified_timestamp_seconds',
      'When a backup was last verified',
      ({ backup }) => backup && backup.atMs / 1000,
    ],
    ['backup_findings', 'What was wrong with it; 0 is well', ({ backup }) => backup && backup.findings],
    [
      'last_proven_restorable_timestamp_seconds',
      'When a backup was last found good',
      ({ backup }) => (backup?.proven ? backup.proven.atMs / 1000 : null),
    ],
    [
      'backup_good_until_timestamp_seconds',
      'Time of the latest commit that it would bring back',
      ({ backup }) => (backup?.proven?.untilMs ? backup.proven.untilMs / 1000 : null),
    ],
  ];

export function createMetrics(peer: Peer, verifier: Verifier): Metrics {
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

  // Without a value until there is one: 0 would be a time, and no finding.
  const verifiedGauges = VERIFIED_GAUGES.map(([name, help, read]) => {
    return { gauge: new Gauge({ name: `tidelog_${name}`, help, labelNames: [], registers: [registry] }), read };
  });

  const readCounters = (): void => {
    for (const counter of [...counters.values(), refusals]) counter.reset();
    for (const [key, { name, labels = {} }] of Object.entries(COUNTERS))
      counters.get(name)!.inc(labels, peer.counters[key as PlainCounter]);
    for (const [code, count] of Object.entries(peer.counters.refusals)) refusals.inc({ code }, count);
  };
  const readGauges = async (): Promise<void> => {
    const { spaces, peers } = await readStatus({ peer, verifier, addresses: () => [] });
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

  const readVerifiedGauges = async (): Promise<void> => {
    const verified = await verifier.verified();
    for (const { gauge, read } of verifiedGauges) {
      const value = read(verified);
      gauge.remove();
      if (value !== null) gauge.set(value);
    }
  };

  return {
    async text() {
      readCounters();
      await readGauges();
      await readVerifiedGauges();
      return registry.metrics();
    },
  };
}

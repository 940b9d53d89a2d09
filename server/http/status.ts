/** What the node is and how it does: probes, metrics, status. */
import type { Space } from '../../client/space.ts';
import type { PeerView } from '../../client/status.ts';
import { toHex } from '../../protocol/bytes.ts';
import { TidelogError } from '../../protocol/errors.ts';
import type { Role } from '../../protocol/membership.ts';
import type { LogVerified, Proven, Verified } from '../verified.ts';
import type { ApiContext } from './context.ts';
import { json, type ApiResponse } from './message.ts';
import { problemResponse } from './problem.ts';
import type { Routes } from './routes.ts';

export interface StatusJson {
  readonly device: { readonly id: string; readonly name: string };
  /** Where others reach it. */
  readonly addresses: readonly string[];
  readonly spaces: readonly SpaceStatus[];
  readonly peers: readonly OtherStatus[];
  /** Devices that wait for approval. */
  readonly pending: number;
  readonly warnings: readonly string[];
  /** When the log was last verified, and how that ended; null for never. */
  readonly lastVerified: LogVerified | null;
  /** The last backup that was found good, and until when; null for none. */
  readonly lastProvenRestorable: Proven | null;
}

export interface SpaceStatus {
  readonly id: string;
  readonly name: string;
  readonly epoch: string;
  /** Of this device; null while it isn't known to be a member. */
  readonly role: Role | null;
  readonly head: number;
  readonly commits: number;
  readonly subjects: number;
  /** Subjects with a conflict. */
  readonly conflicts: number;
  /** Commits whose content somebody withholds. */
  readonly holes: number;
  /** Of the log on disk. */
  readonly bytes: number;
}

/** `behind` and `ahead` are of the default space. */
export type OtherStatus = Omit<PeerView, 'address'> & { readonly address: string | null };

export const statusRoutes: Routes = {
  'GET /healthz': () => text('ok\n'),

  'GET /readyz': ({ ready }) => (ready() ? text('ready\n') : problemResponse(new TidelogError('shutting-down'))),

  'GET /metrics': async ({ metrics }) => {
    if (!metrics) throw new TidelogError('not-found', 'nothing is measured where no node runs');
    return text(await metrics(), 'text/plain; version=0.0.4; charset=utf-8');
  },

  'GET /v1/status': async (context) => json(await readStatus(context)),
};

function text(body: string, type = 'text/plain; charset=utf-8'): ApiResponse {
  return { status: 200, headers: { 'content-type': type }, body };
}

export async function readStatus({
  peer,
  addresses,
  verifier,
}: Pick<ApiContext, 'peer' | 'addresses' | 'verifier'>): Promise<StatusJson> {
  const { peers, warnings } = peer.status();
  const verified = await verifier.verified();
  return {
    device: { id: peer.id, name: peer.name },
    addresses: addresses(),
    spaces: peer.spaces.map(spaceStatus),
    peers: [...peers, ...(await absentDevices(peer, new Set(peers.map(({ id }) => id))))],
    pending: peer.pending().length,
    warnings: [...warnings, ...verifiedWarnings(verified)],
    lastVerified: verified.log,
    lastProvenRestorable: verified.backup?.proven ?? null,
  };
}

function verifiedWarnings({ log, backup }: Verified): string[] {
  const texts: string[] = [];
  if (log && !log.ok) texts.push(`The log is not as it should be: ${log.says}. \`tidelog verify\` says more.`);
  if (backup && !backup.ok)
    texts.push(`The backup in ${backup.dir} is not good: ${backup.says}. \`tidelog backup verify\` says more.`);
  return texts;
}

function spaceStatus(space: Space): SpaceStatus {
  const { head, commits, subjects, conflicts, holes, blockBytes } = space.stats();
  const { hex: id, name, role } = space;
  return { id, name, epoch: toHex(space.epoch), role, head, commits, subjects, conflicts, holes, bytes: blockBytes };
}

/** Members of the default space that are neither connected nor dialled: who comes by itself. */
async function absentDevices(peer: ApiContext['peer'], present: ReadonlySet<string>): Promise<OtherStatus[]> {
  if (peer.spaces.length === 0) return [];
  const devices = await peer.devices(peer.space());
  return devices
    .filter(({ id, self, revoked, recovery }) => !self && !revoked && !recovery && !present.has(id))
    .map(({ id, name, connected, address, lastSeenMs, behind, ahead }) => {
      return { id, name, connected, address, lastSeenMs, behind, ahead, clockSkewMs: null, error: null };
    });
}

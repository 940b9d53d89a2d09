/** What the node is and how it does: probes, metrics, status. And a word for the person whose camera opened a pairing link. */
import type { Space } from '../../client/space.ts';
import type { PeerView } from '../../client/status.ts';
import { toHex } from '../../protocol/bytes.ts';
import { TidelogError } from '../../protocol/errors.ts';
import type { Role } from '../../protocol/membership.ts';
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

  'GET /': () =>
    text('This is a Tidelog node. To pair with it, give the whole link to `tidelog pair join` on another machine.\n'),
};

function text(body: string, type = 'text/plain; charset=utf-8'): ApiResponse {
  return { status: 200, headers: { 'content-type': type }, body };
}

export async function readStatus({ peer, addresses }: Pick<ApiContext, 'peer' | 'addresses'>): Promise<StatusJson> {
  const { peers, warnings } = peer.status();
  return {
    device: { id: peer.id, name: peer.name },
    addresses: addresses(),
    spaces: peer.spaces.map(spaceStatus),
    peers: [...peers, ...(await absentDevices(peer, new Set(peers.map(({ id }) => id))))],
    pending: peer.pending().length,
    warnings,
  };
}

function spaceStatus(space: Space): SpaceStatus {
  const { head, commits, subjects, conflicts, blockBytes } = space.stats();
  const { hex: id, name, role } = space;
  return { id, name, epoch: toHex(space.epoch), role, head, commits, subjects, conflicts, bytes: blockBytes };
}

/** Members of the default space that are neither connected nor dialled: who comes by itself. */
async function absentDevices(peer: ApiContext['peer'], present: ReadonlySet<string>): Promise<OtherStatus[]> {
  if (peer.spaces.length === 0) return [];
  const devices = await peer.devices(peer.space());
  return devices
    .filter(({ id, self, revoked }) => !self && !revoked && !present.has(id))
    .map(({ id, name, connected, address, lastSeenMs, behind, ahead }) => {
      return { id, name, connected, address, lastSeenMs, behind, ahead, clockSkewMs: null, error: null };
    });
}

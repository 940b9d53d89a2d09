/** How things stand with other devices, for a person to read: who is there, what they lack of ours and we of theirs, what needs attention. */
import { equal } from '../protocol/bytes.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import type { Role } from '../protocol/membership.ts';
import type { AddressBook } from './address-book.ts';
import type { Connection } from './connection.ts';
import type { Lines } from './lines.ts';
import { wallMs, type Platform } from './platform.ts';
import type { Space } from './space.ts';
import type { Spaces } from './spaces.ts';

export interface DeviceView {
  /** Device ID. */
  readonly id: string;
  readonly name: string;
  /** null: revoked. */
  readonly role: Role | null;
  readonly revoked: boolean;
  readonly self: boolean;
  /** An owner's key on paper, and no device that runs. */
  readonly recovery: boolean;
  readonly connected: boolean;
  readonly address: string | null;
  /** ms since 1970; null for never */
  readonly lastSeenMs: number | null;
  /** Entries of ours that it has not acknowledged; null where unknown. */
  readonly behind: number | null;
  /** Entries of its log that are not here; null where unknown. */
  readonly ahead: number | null;
}

export interface PeerView {
  readonly id: string;
  readonly name: string;
  readonly address: string;
  readonly connected: boolean;
  readonly lastSeenMs: number | null;
  readonly behind: number | null;
  readonly ahead: number | null;
  readonly clockSkewMs: number | null;
  /** What the last attempt ended with. */
  readonly error: string | null;
}

/** A clock that differs by more than this is worth a warning. */
const SKEW_WARN_MS = 60_000;
const WARNINGS_MAX = 20;

/** Things that happened and need a person's attention. The last of each kind. */
export class Warnings {
  readonly #byKey = new Map<string, string>();

  add(key: string, text: string): void {
    if (this.#byKey.size >= WARNINGS_MAX && !this.#byKey.has(key)) return;
    this.#byKey.set(key, text);
  }

  remove(key: string): void {
    this.#byKey.delete(key);
  }

  list(): string[] {
    return [...this.#byKey.values()];
  }
}

export interface StatusContext {
  readonly platform: Platform;
  /** This device. */
  readonly device: Uint8Array;
  readonly book: AddressBook;
  readonly spaces: Spaces;
  readonly lines: Lines;
  readonly warnings: Warnings;
  readonly isKnown: (device: Uint8Array) => boolean;
}

// ---- devices: all that were ever members of a space

export async function viewDevices(context: StatusContext, space: Space): Promise<DeviceView[]> {
  const views: DeviceView[] = [];
  for (const { device, role } of space.members()) views.push(await viewDevice(context, space, device, role));
  for (const device of space.revokedDevices()) views.push(await viewDevice(context, space, device, null));
  return views.toSorted(
    (a, b) => Number(b.self) - Number(a.self) || a.name.localeCompare(b.name) || a.id.localeCompare(b.id),
  );
}

async function viewDevice(
  context: StatusContext,
  space: Space,
  device: Uint8Array,
  role: Role | null,
): Promise<DeviceView> {
  const connection = context.lines.to(device);
  const record = context.book.get(device);
  const self = equal(device, context.device);
  return {
    id: formatDeviceId(device),
    name: (await space.nameOf(device)) || record.name,
    role,
    revoked: role === null,
    self,
    recovery: await space.isRecoveryKey(device),
    connected: connection !== null,
    address: connection?.address ?? record.addresses[0] ?? null,
    lastSeenMs: self || connection ? wallMs(context.platform) : record.lastSeenMs || null,
    behind: self ? 0 : behind(space, device, connection),
    ahead: self ? 0 : ahead(space, connection),
  };
}

function behind(space: Space, device: Uint8Array, connection: Connection | null): number | null {
  const theirs = connection?.remoteHeads.get(space.hex);
  if (theirs && equal(theirs.digest, space.digest())) return 0;
  const acked = space.ackedBy(device);
  return acked === null ? null : Math.max(0, space.head - acked);
}

function ahead(space: Space, connection: Connection | null): number | null {
  const theirs = connection?.remoteHeads.get(space.hex);
  if (!theirs || !connection) return null;
  if (equal(theirs.digest, space.digest())) return 0;
  return Math.max(0, theirs.head - connection.cursorIn(space));
}

// ---- peers: those that are connected, and addresses that are dialled

/** `behind` and `ahead` are of the default space. */
export function viewPeers({ platform, book, spaces, lines, isKnown }: StatusContext): PeerView[] {
  const peers: PeerView[] = [];
  const seen = new Set<Connection>();
  const space = spaces.all.length > 0 ? spaces.find() : null;
  for (const connection of lines.all) {
    if (!connection.established || !isKnown(connection.device)) continue;
    seen.add(connection);
    peers.push({
      id: connection.deviceId,
      name: connection.remote?.name ?? book.get(connection.device).name,
      address: connection.address,
      connected: true,
      lastSeenMs: wallMs(platform),
      behind: space && behind(space, connection.device, connection),
      ahead: space && ahead(space, connection),
      clockSkewMs: connection.clockSkewMs,
      error: null,
    });
  }
  for (const { url, error, connection, device } of lines.dials()) {
    if (connection && seen.has(connection)) continue;
    if (device && lines.to(device)) continue;
    const record = device && book.get(device);
    peers.push({
      id: device ? formatDeviceId(device) : '',
      name: record?.name ?? '',
      address: url,
      connected: false,
      lastSeenMs: record?.lastSeenMs || null,
      behind: device && space ? behind(space, device, null) : null,
      ahead: null,
      clockSkewMs: null,
      error: error?.message ?? null,
    });
  }
  return peers;
}

/** What happened, and what is so now. */
export function listWarnings({ device, spaces, lines, warnings }: StatusContext): string[] {
  const texts = warnings.list();
  for (const space of spaces.all) {
    const { holes } = space.stats();
    if (holes > 0)
      texts.push(
        `${space.name}: ${holes} commits came erased, and no revocation explains it. A device withholds their content.`,
      );
    if (space.isRevoked(device)) texts.push(`${space.name}: this device has been revoked.`);
    if (isOnlyOwner(space))
      texts.push(
        `${space.name}: this device is its one owner; if it is lost, nobody can let a device in any more. \`tidelog recovery create\` makes a key for paper.`,
      );
  }
  const full = [...lines.all].filter(({ isFull }) => isFull).map(({ remote, deviceId }) => remote?.name || deviceId);
  if (full.length > 0)
    texts.push(
      `The logs have reached \`logBytesMax\`: nothing more is taken from ${full.join(', ')}. Raise the setting, and it goes on by itself; nothing is lost.`,
    );
  for (const connection of lines.all) {
    const skew = connection.clockSkewMs;
    if (skew !== null && Math.abs(skew) > SKEW_WARN_MS) {
      texts.push(
        `The clock of ${connection.remote?.name || connection.deviceId.slice(0, 7)} differs from this one by ${Math.round(skew / 1000)} s.`,
      );
    }
  }
  return texts;
}

/** Of a space that others are in: where this is the only device there is no copy to come back to, and a backup is what helps. */
function isOnlyOwner(space: Space): boolean {
  const members = space.members();
  return space.role === 'owner' && members.length > 1 && members.filter(({ role }) => role === 'owner').length === 1;
}

/**
 * What the page knows and does, without saying how. Views use this and nothing else. A source is a node, asked over HTTP (http-source.ts), or this
 * browser's own peer, with a log of its own (peer-source.ts); what only a node does is in `Node`.
 */

import type { CommitProof } from '../client/log-back.ts';
import type { DeviceView } from '../client/status.ts';

export type { CommitProof };
export type Device = DeviceView;

/** As the interface writes a value: JSON, and bytes as `{"$bytes": "<base64url>"}`. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** A map that has more than that, or no text there, is a map: any writer may have stored one. */
export function isBytesJson(value: Json): value is { readonly $bytes: string } {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return false;
  const map = value as { readonly [key: string]: Json };
  return Object.keys(map).length === 1 && typeof map['$bytes'] === 'string';
}

/** Of the space itself, which lets nobody write there directly: who is in, and as what. */
export function isReserved(subject: string): boolean {
  return subject.startsWith('~');
}

export type Role = 'owner' | 'writer' | 'reader' | 'mirror';
export const ROLES: readonly Role[] = ['owner', 'writer', 'reader', 'mirror'];

export interface Status {
  readonly device: { readonly id: string; readonly name: string };
  readonly addresses: readonly string[];
  readonly spaces: readonly SpaceStatus[];
  readonly peers: readonly PeerStatus[];
  /** Another tab of this browser has the lines to them. */
  readonly peersElsewhere?: boolean;
  /** This device has been revoked, as far as it has been told. */
  readonly isRevoked?: boolean;
  readonly pending: number;
  readonly warnings: readonly string[];
  /** This and the next: null on a peer in the browser too, which verifies nothing by itself and makes no backups. */
  readonly lastVerified: { readonly atMs: number; readonly ok: boolean; readonly says: string | null } | null;
  readonly lastProvenRestorable: {
    readonly atMs: number;
    readonly dir: string;
    readonly untilMs: number | null;
  } | null;
}

export interface SpaceStatus {
  readonly id: string;
  readonly name: string;
  readonly role: Role | null;
  readonly head: number;
  readonly commits: number;
  readonly subjects: number;
  readonly conflicts: number;
  readonly holes: number;
  readonly bytes: number;
}

interface PeerStatus {
  readonly id: string;
  readonly name: string;
  readonly address: string | null;
  readonly connected: boolean;
  readonly lastSeenMs: number | null;
  readonly behind: number | null;
  readonly ahead: number | null;
  readonly clockSkewMs: number | null;
  readonly error: string | null;
}

export interface Invite {
  readonly id: string;
  readonly role: Role;
  readonly expiresMs: number;
  readonly state: 'open' | 'used' | 'expired' | 'dead' | 'cancelled';
  readonly usedBy: string | null;
  readonly digits: string | null;
}

export interface NewInvite extends Invite {
  readonly link: string;
  readonly addresses: readonly string[];
}

export interface PendingDevice {
  readonly id: string;
  readonly name: string;
  readonly digits: string;
  readonly address: string;
  readonly sinceMs: number;
}

export type JoinStep =
  | { readonly step: 'digits'; readonly digits: string }
  | { readonly step: 'pending' }
  | { readonly step: 'joined'; readonly space: string; readonly role: Role }
  | { readonly step: 'synced' };

export type Properties = Readonly<Record<string, Json>>;

export interface ListedResource {
  readonly subject: string;
  readonly properties: Properties;
}

export interface ResourceFilter {
  readonly prefix: string;
  readonly contains: string;
  readonly after?: string;
  readonly limit?: number;
}

export interface Alternative {
  readonly value: Json;
  readonly device: string;
  readonly deviceName: string;
  /** µs since 1970 */
  readonly time: number;
}

export interface Resource extends ListedResource {
  readonly etag: string;
  readonly meta: Readonly<Record<string, Omit<Alternative, 'value'> & { readonly conflict: readonly Alternative[] }>>;
}

export interface Change {
  readonly subject: string;
  readonly destroy?: true;
  readonly set?: Properties;
  readonly unset?: readonly string[];
  readonly inc?: Readonly<Record<string, number>>;
  readonly add?: Readonly<Record<string, readonly Json[]>>;
  readonly remove?: Readonly<Record<string, readonly Json[]>>;
}

export interface Commit {
  readonly cursor: string;
  readonly id: string;
  readonly device: string;
  readonly deviceName: string;
  /** µs since 1970; null where it is erased. */
  readonly time: number | null;
  readonly changes: readonly Change[];
  readonly erased: boolean;
}

export interface ProvenCommit {
  readonly commit: Commit;
  readonly proof: CommitProof;
}

export interface Conflict {
  readonly subject: string;
  readonly property: string;
  readonly alternatives: readonly Alternative[];
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | null;
}

interface HealthSample {
  readonly atMs: number;
  readonly written: number;
  readonly received: number;
  readonly peers: readonly { readonly id: string; readonly delayMs: number | null; readonly behind: number | null }[];
  readonly logBytes: number;
  readonly freeBytes: number | null;
}

export interface Health {
  readonly everyMs: number;
  readonly samples: readonly HealthSample[];
}

export interface Verification {
  readonly running: {
    readonly space: string;
    readonly step: string;
    readonly done: number;
    readonly total: number;
  } | null;
  readonly log: { readonly atMs: number; readonly ok: boolean; readonly says: string | null } | null;
  readonly backup: {
    readonly atMs: number;
    readonly ok: boolean;
    readonly says: string | null;
    readonly dir: string;
  } | null;
}

/** What went wrong, in a sentence; `code` is Tidelog's own, or `offline` where nothing answered. */
export class SourceError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'SourceError';
    this.code = code;
  }
}

/** Each rejects with a SourceError. Those on data are of the space that was chosen. */
export interface Source {
  /** null: the first. */
  space: string | null;
  /** null: this browser is the device itself. */
  readonly node: NodeControls | null;
  status(): Promise<Status>;
  /** Ends a session; of a device in the browser, deletes the device and its data. */
  leave(): Promise<void>;

  devices(): Promise<readonly Device[]>;
  renameDevice(id: string, name: string): Promise<void>;
  setRole(id: string, role: Role): Promise<void>;
  revoke(id: string): Promise<void>;

  /** By ascending subject. `after`: any subject. */
  resources(filter: ResourceFilter): Promise<Page<ListedResource>>;
  /** null where there is none. */
  resource(subject: string): Promise<Resource | null>;
  /** A commit of one change. `etag`: what the resource must still be; null: it must not exist; nothing: whatever it is. */
  write(subject: string, set: Properties, unset: readonly string[], etag?: string | null): Promise<void>;
  destroy(subject: string, etag: string): Promise<void>;
  conflicts(): Promise<Page<Conflict>>;

  newest(filter: { subject?: string; device?: string; before?: string; limit: number }): Promise<Page<Commit>>;
  /** The one at a cursor, checked anew. */
  commit(cursor: string): Promise<ProvenCommit>;
  /** Commits after a cursor, as they come, until the signal aborts. */
  follow(after: string, signal: AbortSignal): AsyncIterable<Commit>;
}

/** Letting others in, and how the node does. A browser can't be reached from outside, measures nothing and keeps no backups. */
export interface NodeControls {
  invite(role: Role, lifeMs: number): Promise<NewInvite>;
  inviteState(id: string): Promise<Invite>;
  cancelInvite(id: string): Promise<void>;
  pending(): Promise<readonly PendingDevice[]>;
  approve(id: string, role: Role): Promise<void>;
  reject(id: string): Promise<void>;
  join(link: string, signal: AbortSignal): AsyncIterable<JoinStep>;

  health(): Promise<Health>;
  verification(): Promise<Verification>;
  verify(): Promise<void>;
}

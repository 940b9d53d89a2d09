/** What readers of a space are shown: resources, their conflicts, commits. */
import type { Change } from '../protocol/body.ts';
import type { Value } from '../protocol/value.ts';

export interface ResourceView {
  readonly subject: string;
  /** What each property shows. */
  readonly value: Readonly<Record<string, Value>>;
  /** Changes whenever the resource does; local to this peer. */
  readonly etag: string;
  /** Who wrote what shows, when, and what else was written at the same time. */
  readonly meta: Readonly<Record<string, PropertyMeta>>;
}

export interface PropertyMeta {
  /** Device ID. */
  readonly device: string;
  readonly deviceName: string;
  /** µs since 1970 */
  readonly time: number;
  /** All values of a conflict, the one that shows first; empty where there is none. */
  readonly conflict: readonly AlternativeView[];
}

export interface AlternativeView {
  readonly value: Value;
  readonly device: string;
  readonly deviceName: string;
  readonly time: number;
}

export interface ConflictView {
  readonly subject: string;
  readonly property: string;
  readonly alternatives: readonly AlternativeView[];
}

export interface LoggedCommit {
  readonly cursor: string;
  /** hex */
  readonly id: string;
  /** Device ID. */
  readonly device: string;
  readonly deviceName: string;
  /** µs since 1970; null where the commit is erased. */
  readonly time: number | null;
  readonly changes: readonly Change[];
  /** Its body was taken out by a revocation. */
  readonly erased: boolean;
}

export interface NewestOptions {
  /** A cursor; exclusive. Nothing: from the end of the log. */
  readonly before?: string;
  readonly limit: number;
  readonly subject?: string;
  /** Public key. */
  readonly device?: Uint8Array;
}

export interface LogOptions {
  /** A cursor that an earlier answer gave; exclusive. '0' or nothing: from the beginning. */
  readonly after?: string;
  readonly subject?: string;
  readonly prefix?: string;
  /** Go on with what comes. */
  readonly live?: boolean;
  readonly signal?: AbortSignal;
}

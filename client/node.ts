/**
 * The library in Node: everything of index.ts, and `open` with Node's platform filled in.
 *
 *   import { open } from 'tidelog';
 *   import { openLmdbStore } from 'tidelog/server';
 *
 *   const db = await open({ store: await openLmdbStore('./data'), name: 'laptop' });
 */
import { open as openWith, type Database, type OpenOptions } from './database.ts';
import type { Platform } from './platform.ts';
import { nodePlatform } from './platform/node.ts';

/** As `open` of index.ts, on Node's platform unless told otherwise. */
export function open(options: Omit<OpenOptions, 'platform'> & { readonly platform?: Platform }): Promise<Database> {
  return openWith({ ...options, platform: options.platform ?? nodePlatform() });
}

export { nodePlatform };
export {
  changeFromJson,
  changeToJson,
  Connection,
  Database,
  fromJson,
  Live,
  MemoryStore,
  Peer,
  Space,
  TABLES,
  TidelogError,
  toJson,
  Transaction,
} from './index.ts';
export type {
  Change,
  ConflictView,
  Counters,
  DeviceView,
  ErrorCode,
  Invite,
  Joined,
  JoinOptions,
  Json,
  JsonChange,
  LoggedCommit,
  LogOptions,
  OpenOptions,
  Ops,
  PeerEvent,
  PeerOptions,
  PeerView,
  PendingDevice,
  Platform,
  ResourceView,
  ScanRange,
  SpaceEvent,
  Store,
  StoreEntry,
  StoreOp,
  Table,
  TransactionChange,
  Transport,
  TransportHandlers,
  Value,
  Write,
} from './index.ts';

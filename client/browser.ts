/**
 * The library in a browser: everything of index.ts, and `open` with the store in IndexedDB and the portable platform, which also works on a page
 * that is no secure context.
 *
 *   import { open } from './tidelog.js';
 *
 *   const db = await open({ name: 'phone' });
 */
export { parseDeviceId } from '../protocol/device-id.ts';
export { linkAt } from './browser/link-at.ts';
export { deleteDevice, open, type BrowserOptions, type Notice } from './browser/open.ts';
export { openIndexedDbStore, type IndexedDbOptions } from './platform/indexeddb-store.ts';
export { portablePlatform } from './platform/portable.ts';
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

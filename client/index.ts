/**
 * The library: a peer in a program of your own.
 *
 *   const db = await open({ store, platform: nodePlatform(), name: 'laptop' });
 *   await db.set('note/1', { title: 'Milk', done: false }).stored;
 *   await db.connect('http://192.168.1.20:7600');
 */
export { open, Database, Transaction, type OpenOptions, type TransactionChange } from './database.ts';
export { Peer, type PeerOptions } from './peer.ts';
export type { PeerEvent } from './events.ts';
export type { Invite, Joined, JoinOptions } from './pairing.ts';
export type { DeviceView, PeerView } from './status.ts';
export { Space, type SpaceEvent, type Stored, type Write } from './space.ts';
export type { ConflictView, LoggedCommit, LogOptions, ResourceView } from './views.ts';
export { Connection } from './connection.ts';
export type { Counters } from './counters.ts';
export type { PendingDevice } from './invites.ts';
export { Live } from './live.ts';
export { MemoryStore } from './memory-store.ts';
export {
  TABLES,
  type MaybePromise,
  type Store,
  type StoreEntry,
  type StoreOp,
  type ScanRange,
  type Table,
} from './store.ts';
export type { Transport, TransportHandlers } from './transport.ts';
export type { Platform } from './platform.ts';
export { changeFromJson, changeToJson, fromJson, toJson, type Json, type JsonChange } from './changes.ts';
export { TidelogError, type ErrorCode } from '../protocol/errors.ts';
export type { Change, Ops } from '../protocol/body.ts';
export type { Value } from '../protocol/value.ts';

/** What a peer tells the program that it is part of. */
import type { TidelogError } from '../protocol/errors.ts';
import type { Role } from '../protocol/membership.ts';
import type { Connection } from './connection.ts';
import type { PendingDevice } from './invites.ts';
import type { Space, SpaceEvent } from './space.ts';

export type PeerEvent =
  | SpaceEvent
  | { readonly type: 'connected'; readonly connection: Connection }
  | { readonly type: 'disconnected'; readonly connection: Connection; readonly error: TidelogError | null }
  | { readonly type: 'pending'; readonly pending: PendingDevice }
  | {
      readonly type: 'paired';
      readonly device: string;
      readonly name: string;
      readonly digits: string;
      readonly space: Space;
      readonly role: Role;
    }
  | { readonly type: 'adopted'; readonly space: Space };

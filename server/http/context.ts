/** What the HTTP interface works on, and how a request picks its space. */
import type { Logger } from 'pino';

import type { Peer } from '../../client/peer.ts';
import type { Space } from '../../client/space.ts';
import type { ConfigFile } from '../config.ts';
import type { Health } from '../health.ts';
import type { Sessions } from '../sessions.ts';
import type { Verifier } from '../verifier.ts';
import type { ApiRequest } from './message.ts';

export interface ApiContext {
  readonly peer: Peer;
  readonly config: ConfigFile;
  readonly verifier: Verifier;
  readonly log: Logger;
  /** Where other devices reach this one, `http://host:port`, or would if a node ran. */
  readonly addresses: () => readonly string[];
  /** The six digits of a device that was let in lately. */
  readonly digitsOf: (device: string) => string | null;
  /** Prometheus' text; null where nothing is measured: a command that opened the store by itself. */
  readonly metrics: (() => Promise<string>) | null;
  /** null where no node runs. */
  readonly health: Health | null;
  /** Of people at the page; null where nobody can come to one. */
  readonly sessions: Sessions | null;
  /** False while the node stops. */
  readonly ready: () => boolean;
}

/** The space to read. null where none is named and none exists yet: there is nothing to see, which is no error. */
export function spaceToRead({ peer }: ApiContext, request: ApiRequest): Space | null {
  const name = request.query.get('space');
  if (name === null && peer.spaces.length === 0) return null;
  return peer.space(name ?? undefined);
}

/** The space to write: where none is named and none exists, `home` is made. */
export async function spaceToWrite({ peer }: ApiContext, request: ApiRequest): Promise<Space> {
  const name = request.query.get('space');
  return name === null ? peer.homeSpace() : peer.space(name);
}

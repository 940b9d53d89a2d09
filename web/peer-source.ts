/**
 * A source over a peer of this browser's own: its key and its log are in the browser's storage, so it reads and writes whether a node is reached or not.
 * Loaded only where such a peer is used: it is larger than all the rest of the page.
 */
import {
  changeToJson,
  deleteDevice,
  fromJson,
  linkAt,
  open,
  parseDeviceId,
  TidelogError,
  toJson,
  type Database,
  type Notice,
} from '../client/browser.ts';
import type { Space } from '../client/space.ts';
import type { AlternativeView, LoggedCommit, ResourceView } from '../client/views.ts';
import {
  SourceError,
  type Alternative,
  type Change,
  type Commit,
  type Conflict,
  type Device,
  type Json,
  type JoinStep,
  type ListedResource,
  type Page,
  type Properties,
  type ProvenCommit,
  type Resource,
  type ResourceFilter,
  type Role,
  type Source,
  type Status,
} from './source.ts';

const RESOURCES_PER_PAGE = 100;
const CONFLICTS_PER_PAGE = 200;

/** It isn't open here any more. */
export interface LostNotice {
  /** Somebody has deleted it, in another tab: this browser is no device any more. */
  readonly isForgotten: boolean;
  readonly why: string;
}

/** Opens this browser's peer, or makes it. Throws a SourceError. */
export async function openPeer(name: string, onLost: (lost: LostNotice) => void): Promise<PeerSource> {
  const tab = { leads: true, keeps: true, wasEvicted: false };
  try {
    const database = await open({
      name,
      onNotice(notice: Notice) {
        if (notice.type === 'leads') tab.leads = notice.here;
        if (notice.type === 'storage') tab.keeps = notice.persistent;
        if (notice.type === 'evicted') tab.wasEvicted = true;
        if (notice.type === 'lost') onLost({ isForgotten: notice.error.code === 'closed', why: notice.error.message });
      },
    });
    return new PeerSource(database, tab);
  } catch (thrown) {
    throw toSourceError(thrown);
  }
}

export function isPairLink(link: string): boolean {
  try {
    linkAt(window.location.origin, link);
    return true;
  } catch {
    return false;
  }
}

/** What the browser has told of this tab. */
interface Tab {
  /** Of several tabs one has the lines to other devices. */
  readonly leads: boolean;
  /** It has promised to keep the data, or has not said yet. */
  readonly keeps: boolean;
  readonly wasEvicted: boolean;
}

export class PeerSource implements Source {
  space: string | null = null;
  readonly node = null;
  /** Called when a person has deleted it. */
  onLeft: () => void = () => {};
  readonly #database: Database;
  readonly #tab: Tab;

  constructor(database: Database, tab: Tab) {
    this.#database = database;
    this.#tab = tab;
  }

  get isMember(): boolean {
    return this.#database.peer.spaces.length > 0;
  }

  /**
   * Pairs with the node that the page came from: by a link, or else by asking, and then a person there decides. Of a link's addresses only the page's own
   * is used, because the security policy lets the page connect nowhere else.
   */
  join(link: string | null, signal: AbortSignal): AsyncIterable<JoinStep> {
    const { peer } = this.#database;
    return new ReadableStream<JoinStep>({
      async start(controller) {
        try {
          const options = {
            signal,
            onDigits: (digits: string) => controller.enqueue({ step: 'digits', digits }),
            onPending: () => controller.enqueue({ step: 'pending' }),
          };
          const { origin } = window.location;
          const { space, role, synced } = await (link === null
            ? peer.ask(origin, options)
            : peer.join(linkAt(origin, link), options));
          controller.enqueue({ step: 'joined', space: space.name, role });
          await synced;
          controller.enqueue({ step: 'synced' });
          controller.close();
        } catch (thrown) {
          controller.error(toSourceError(thrown));
        }
      },
    });
  }

  async status(): Promise<Status> {
    const { peer } = this.#database;
    const { peers, warnings } = peer.status();
    // An owner may have renamed it.
    const name = (await this.#space()?.nameOf(peer.device)) || peer.name;
    return {
      device: { id: peer.id, name },
      addresses: [],
      spaces: peer.spaces.map((space) => {
        const { head, commits, subjects, conflicts, holes, blockBytes } = space.stats();
        const { hex: id, role } = space;
        return { id, name: space.name, role, head, commits, subjects, conflicts, holes, bytes: blockBytes };
      }),
      peers,
      peersElsewhere: !this.#tab.leads,
      isRevoked: this.#isRevoked(),
      pending: 0,
      warnings: [...refusals(peers), ...warnings, ...storageWarnings(this.#tab, this.#isRevoked())],
      lastVerified: null,
      lastProvenRestorable: null,
    };
  }

  async leave(): Promise<void> {
    await this.close();
    await deleteDevice();
    this.onLeft();
  }

  async close(): Promise<void> {
    await this.#database.close().catch(() => {});
  }

  // ---- devices

  devices(): Promise<readonly Device[]> {
    return this.#ask(async (space) => {
      const devices = await this.#database.peer.devices(space);
      if (!this.#isRevoked()) return devices;
      return devices.map((device) =>
        device.self ? { ...device, role: null, revoked: true, connected: false } : device,
      );
    }, []);
  }

  /** Its own log may not say so: whoever was revoked gets no more of it. */
  #isRevoked(): boolean {
    const { peer } = this.#database;
    return refusals(peer.status().peers).length > 0 || this.#space()?.isRevoked(peer.device) === true;
  }

  renameDevice(id: string, name: string): Promise<void> {
    return this.#do((space) => this.#database.peer.renameDevice(space, id, name));
  }

  setRole(id: string, role: Role): Promise<void> {
    return this.#do((space) => this.#database.peer.setRole(space, id, role));
  }

  revoke(id: string): Promise<void> {
    return this.#do((space) => this.#database.peer.revokeDevice(space, id));
  }

  // ---- data

  resources({ prefix, contains, after, limit = RESOURCES_PER_PAGE }: ResourceFilter): Promise<Page<ListedResource>> {
    return this.#ask(
      async (space) => {
        const wanted = contains.toLowerCase();
        const items: ListedResource[] = [];
        let next = after ?? null;
        do {
          const page: { items: ResourceView[]; next: string | null } = await space.list({
            prefix,
            // Where few match, no more requests than for many.
            limit: wanted === '' ? limit : RESOURCES_PER_PAGE,
            ...(next !== null && { after: next }),
          });
          for (const { subject, value } of page.items)
            if (subject.toLowerCase().includes(wanted)) items.push({ subject, properties: propertiesOf(value) });
          next = page.next;
        } while (next !== null && items.length < limit);
        return { items, next };
      },
      { items: [], next: null },
    );
  }

  resource(subject: string): Promise<Resource | null> {
    return this.#ask(async (space) => {
      const view = await space.get(subject);
      if (!view) return null;
      const meta = Object.fromEntries(
        Object.entries(view.meta).map(([property, { conflict, ...writer }]) => [
          property,
          { ...writer, conflict: conflict.map(alternativeOf) },
        ]),
      );
      return { subject, properties: propertiesOf(view.value), meta, etag: view.etag };
    }, null);
  }

  write(subject: string, set: Properties, unset: readonly string[], etag?: string | null): Promise<void> {
    return this.#do(async (space) => {
      const values = Object.fromEntries(Object.entries(set).map(([name, value]) => [name, fromJson(value, name)]));
      const ops = { ...(Object.keys(set).length > 0 && { set: values }), ...(unset.length > 0 && { unset }) };
      const condition = etag === undefined ? {} : { ifMatch: [{ subject, etag }] };
      await space.commit([{ subject, ops }], condition).stored;
    });
  }

  destroy(subject: string, etag: string): Promise<void> {
    return this.#do(async (space) => {
      await space.commit([{ subject, ops: { destroy: true } }], { ifMatch: [{ subject, etag }] }).stored;
    });
  }

  conflicts(): Promise<Page<Conflict>> {
    return this.#ask(
      async (space) => {
        const { items, next } = await space.conflicts({ limit: CONFLICTS_PER_PAGE });
        return {
          items: items.map((item) => ({ ...item, alternatives: item.alternatives.map(alternativeOf) })),
          next,
        };
      },
      { items: [], next: null },
    );
  }

  // ---- the log

  newest({
    subject,
    device,
    before,
    limit,
  }: {
    subject?: string;
    device?: string;
    before?: string;
    limit: number;
  }): Promise<Page<Commit>> {
    return this.#ask(
      async (space) => {
        const { items, next } = await space.newest({
          limit,
          ...(subject !== undefined && { subject }),
          ...(before !== undefined && { before }),
          ...(device !== undefined && { device: parseDeviceId(device) }),
        });
        return { items: items.map(commitOf), next };
      },
      { items: [], next: null },
    );
  }

  async commit(cursor: string): Promise<ProvenCommit> {
    const { commit, proof } = await this.#do((space) => space.prove(cursor));
    return { commit: commitOf(commit), proof };
  }

  async *follow(after: string, signal: AbortSignal): AsyncGenerator<Commit> {
    try {
      const space = this.#space();
      if (!space) throw new TidelogError('unknown-space');
      for await (const commit of space.log({ after, live: true, signal })) yield commitOf(commit);
    } catch (thrown) {
      if (!signal.aborted) throw toSourceError(thrown);
    }
  }

  // ---- the space that was chosen

  #space(): Space | null {
    const { peer } = this.#database;
    return peer.spaces.length === 0 ? null : peer.space(this.space ?? undefined);
  }

  /** `nothing`: the answer before there is a space. */
  async #ask<T>(ask: (space: Space) => Promise<T>, nothing: T): Promise<T> {
    try {
      const space = this.#space();
      return space ? await ask(space) : nothing;
    } catch (thrown) {
      throw toSourceError(thrown);
    }
  }

  async #do<T>(work: (space: Space) => Promise<T>): Promise<T> {
    try {
      return await work(this.#space() ?? (await this.#database.peer.homeSpace()));
    } catch (thrown) {
      throw toSourceError(thrown);
    }
  }
}

const REVOKED =
  'This device has been revoked, and nothing that it writes counts any more. Forget it under Devices, and pair anew.';

/** A device that was revoked is refused with that, and gets no more of the log, in which it would read it. */
function refusals(peers: Status['peers']): string[] {
  const { message } = new TidelogError('device-revoked');
  return peers.flatMap(({ name, error }) => (error?.startsWith(message) ? [`${name}: ${REVOKED}`] : []));
}

function storageWarnings({ keeps, wasEvicted }: Tab, isRevoked: boolean): string[] {
  return [
    ...(wasEvicted
      ? ['The browser deleted what this device had stored. It fetches what others have; what no other had is gone.']
      : []),
    ...(keeps || isRevoked
      ? []
      : ['The browser doesn’t promise to keep this device’s data: let what is written here reach a node.']),
  ];
}

function propertiesOf(value: ResourceView['value']): Properties {
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, toJson(item) as Json]));
}

function alternativeOf(alternative: AlternativeView): Alternative {
  return { ...alternative, value: toJson(alternative.value) as Json };
}

function commitOf(commit: LoggedCommit): Commit {
  return { ...commit, changes: commit.changes.map(changeToJson) as unknown as Change[] };
}

function toSourceError(thrown: unknown): SourceError {
  if (thrown instanceof SourceError) return thrown;
  if (thrown instanceof TidelogError) return new SourceError(thrown.code, thrown.message);
  return new SourceError('internal', `This browser’s device failed: ${String(thrown)}`);
}

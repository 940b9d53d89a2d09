/** A source over the HTTP interface of the node that the page came from. */
import { readEvents } from './event-stream.ts';
import type { SessionKey } from './session.ts';
import {
  SourceError,
  type Commit,
  type Conflict,
  type Device,
  type Health,
  type Invite,
  type JoinStep,
  type ListedResource,
  type NodeControls,
  type NewInvite,
  type Page,
  type PendingDevice,
  type Properties,
  type ProvenCommit,
  type Resource,
  type ResourceFilter,
  type Role,
  type Source,
  type Status,
  type Verification,
} from './source.ts';

type Query = Readonly<Record<string, string | number | undefined>>;

interface RequestOptions {
  readonly query?: Query;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

const RESOURCES_PER_PAGE = 100;
const CONFLICTS_PER_PAGE = 200;

export class HttpSource implements Source, NodeControls {
  space: string | null = null;
  readonly node: NodeControls = this;
  readonly #key: SessionKey;
  /** Called when the node no longer knows the session, or the person has left; `why` there is more to say than that. */
  readonly #onSessionLost: (why?: string) => void;

  constructor(key: SessionKey, onSessionLost: (why?: string) => void) {
    this.#key = key;
    this.#onSessionLost = onSessionLost;
  }

  status(): Promise<Status> {
    return this.#get('/v1/status');
  }

  async leave(): Promise<void> {
    let why: string | undefined;
    try {
      await this.#send('DELETE', '/v1/session');
    } catch (thrown) {
      // A session that the node doesn't know is over.
      if (thrown instanceof SourceError && thrown.code === 'bad-token') return;
      why = `This browser has left, but the node keeps the session until it restarts or \`tidelog open --end\` ends it: ${(thrown as Error).message}`;
    } finally {
      // The person may be about to leave the machine: whatever the node says, this browser is out.
      this.#key.forget();
    }
    this.#onSessionLost(why);
  }

  // ---- devices

  async devices(): Promise<readonly Device[]> {
    return (await this.#get<{ items: Device[] }>('/v1/devices')).items;
  }

  async renameDevice(id: string, name: string): Promise<void> {
    await this.#send('PATCH', `/v1/devices/${id}`, { body: { name } });
  }

  async setRole(id: string, role: Role): Promise<void> {
    await this.#send('PATCH', `/v1/devices/${id}`, { body: { role } });
  }

  async revoke(id: string): Promise<void> {
    await this.#send('DELETE', `/v1/devices/${id}`);
  }

  // ---- pairing

  async invite(role: Role, lifeMs: number): Promise<NewInvite> {
    return (await (await this.#send('POST', '/v1/pairing/invites', { body: { role, lifeMs } })).json()) as NewInvite;
  }

  inviteState(id: string): Promise<Invite> {
    return this.#get(`/v1/pairing/invites/${id}`);
  }

  async cancelInvite(id: string): Promise<void> {
    await this.#send('DELETE', `/v1/pairing/invites/${id}`);
  }

  async pending(): Promise<readonly PendingDevice[]> {
    return (await this.#get<{ items: PendingDevice[] }>('/v1/pairing/pending')).items;
  }

  async approve(id: string, role: Role): Promise<void> {
    await this.#send('POST', `/v1/pairing/pending/${id}/approve`, { body: { role } });
  }

  async reject(id: string): Promise<void> {
    await this.#send('POST', `/v1/pairing/pending/${id}/reject`);
  }

  async *join(link: string, signal: AbortSignal): AsyncGenerator<JoinStep> {
    const headers = { accept: 'text/event-stream' };
    const response = await this.#send('POST', '/v1/pairing/join', { body: { link }, headers, signal });
    for await (const { event, data } of this.#events(response, signal)) {
      if (event === 'digits') yield { step: 'digits', digits: (data as { digits: string }).digits };
      if (event === 'pending') yield { step: 'pending' };
      if (event === 'joined') {
        const { space, role } = data as { space: { name: string }; role: Role };
        yield { step: 'joined', space: space.name, role };
      }
      if (event === 'synced') yield { step: 'synced' };
    }
  }

  // ---- data

  resources({ prefix, contains, after, limit = RESOURCES_PER_PAGE }: ResourceFilter): Promise<Page<ListedResource>> {
    const query = { prefix: prefix || undefined, contains: contains || undefined, after, limit };
    return this.#get('/v1/resources', query);
  }

  async resource(subject: string): Promise<Resource | null> {
    try {
      const [path, query] = resourcePath(subject);
      const response = await this.#send('GET', path, { query: { ...query, meta: 1 } });
      const { properties, meta } = (await response.json()) as Pick<Resource, 'properties' | 'meta'>;
      return { subject, properties, meta, etag: response.headers.get('etag') ?? '' };
    } catch (thrown) {
      if (thrown instanceof SourceError && thrown.code === 'not-found') return null;
      throw thrown;
    }
  }

  async write(subject: string, set: Properties, unset: readonly string[], etag?: string | null): Promise<void> {
    const [path, query] = resourcePath(subject);
    const body = { ...set, ...Object.fromEntries(unset.map((property) => [property, null])) };
    await this.#send('PATCH', path, { query, body, headers: conditionOn(etag) });
  }

  async destroy(subject: string, etag: string): Promise<void> {
    const [path, query] = resourcePath(subject);
    await this.#send('DELETE', path, { query, headers: conditionOn(etag) });
  }

  conflicts(): Promise<Page<Conflict>> {
    return this.#get('/v1/conflicts', { limit: CONFLICTS_PER_PAGE });
  }

  // ---- the log

  newest(filter: { subject?: string; device?: string; before?: string; limit: number }): Promise<Page<Commit>> {
    return this.#get('/v1/commits/newest', filter);
  }

  commit(cursor: string): Promise<ProvenCommit> {
    return this.#get(`/v1/commits/${encodeURIComponent(cursor)}`);
  }

  async *follow(after: string, signal: AbortSignal): AsyncGenerator<Commit> {
    const headers = { accept: 'text/event-stream' };
    const response = await this.#send('GET', '/v1/commits', { query: { after }, headers, signal });
    for await (const { event, data } of this.#events(response, signal)) if (event === 'message') yield data as Commit;
  }

  // ---- health

  health(): Promise<Health> {
    return this.#get('/v1/health');
  }

  verification(): Promise<Verification> {
    return this.#get('/v1/verify');
  }

  async verify(): Promise<void> {
    await this.#send('POST', '/v1/verify');
  }

  // ---- requests

  async #get<T>(path: string, query: Query = {}): Promise<T> {
    return (await (await this.#send('GET', path, { query })).json()) as T;
  }

  async *#events(response: Response, signal: AbortSignal): AsyncGenerator<{ event: string; data: unknown }> {
    try {
      for await (const event of readEvents(response.body!)) {
        if (event.event === 'problem') throw problemError(event.data);
        yield event;
      }
    } catch (thrown) {
      if (signal.aborted) return;
      throw thrown instanceof SourceError ? thrown : offline();
    }
  }

  async #send(
    method: string,
    path: string,
    { query = {}, body, headers = {}, signal }: RequestOptions = {},
  ): Promise<Response> {
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries({ space: this.space ?? undefined, ...query }))
      if (value !== undefined) search.set(name, String(value));
    const text = search.toString();
    const sessionHeaders = this.#key.headers();
    let response: Response;
    try {
      response = await fetch(text === '' ? path : `${path}?${text}`, {
        method,
        headers: { ...headers, ...sessionHeaders },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        ...(signal && { signal }),
      });
    } catch {
      throw offline();
    }
    if (response.ok) return response;
    const error = problemError(await response.json().catch(() => null));
    if (error.code !== 'bad-token') throw error;
    // Each turn has another key, so this ends.
    if (this.#key.isNewerThan(sessionHeaders))
      return this.#send(method, path, { query, body, headers, ...(signal && { signal }) });
    // What was asked after the person had left has no session to lose; why it was left is still to be read.
    if (Object.keys(sessionHeaders).length > 0) this.#onSessionLost();
    throw error;
  }
}

function offline(): SourceError {
  return new SourceError('offline', 'The node doesn’t answer. Is it running? `tidelog start` starts it.');
}

function problemError(problem: unknown): SourceError {
  const { code, detail } = (problem ?? {}) as { code?: unknown; detail?: unknown };
  if (typeof code === 'string' && typeof detail === 'string') return new SourceError(code, detail);
  return new SourceError('internal', 'The node answered with something that this page doesn’t understand.');
}

/** A URL's path can't end in `.` or `..`, not even escaped. */
function resourcePath(subject: string): [path: string, query: Query] {
  if (subject === '.' || subject === '..') return ['/v1/resources', { subject }];
  return [`/v1/resources/${encodeURIComponent(subject)}`, {}];
}

function conditionOn(etag: string | null | undefined): Record<string, string> {
  if (etag === undefined) return {};
  return etag === null ? { 'if-none-match': '*' } : { 'if-match': etag };
}

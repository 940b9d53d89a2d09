/**
 * Requests and answers of the HTTP interface, without sockets: `server/http-server.ts` makes them from a connection, a command
 * without a running node makes them itself. So both go through the same code.
 */
import { fromUtf8 } from '../../protocol/bytes.ts';
import { TidelogError } from '../../protocol/errors.ts';

export interface ApiRequest {
  /** Upper case. */
  readonly method: string;
  /** As it came: percent-encoded, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** By name in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** Whole; who made the request has limited it. */
  readonly body: Uint8Array;
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

export interface ApiResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** An iterable is sent as it comes, and is asked for more only when the socket takes more. */
  readonly body: string | AsyncIterable<string | Uint8Array>;
}

/** The largest body of a request. Enforced while it is read. */
export const REQUEST_BYTES_MAX = 16 * 1024 * 1024;
export const EVENT_STREAM = 'text/event-stream';
/** Silence on a stream of events after which a comment is sent, so that proxies and phones keep the connection. */
const KEEP_ALIVE_MS = 15_000;

export function json(value: unknown, { status = 200, headers = {} }: Partial<ApiResponse> = {}): ApiResponse {
  return { status, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(value) };
}

/** Newline-delimited JSON, as it comes. */
export function ndjson(lines: AsyncIterable<string>): ApiResponse {
  return { status: 200, headers: { 'content-type': 'application/x-ndjson' }, body: lines };
}

export function wantsEvents(request: ApiRequest): boolean {
  return (request.headers.get('accept') ?? '').includes(EVENT_STREAM);
}

/** Server-sent events; what is thrown underway becomes an event `problem`, because the status has been sent. */
export interface ServerEvent {
  readonly event?: string;
  readonly id?: string;
  readonly data: unknown;
}

export function events(source: AsyncIterable<ServerEvent>, onError: (thrown: unknown) => ServerEvent): ApiResponse {
  const headers = { 'content-type': EVENT_STREAM, 'x-accel-buffering': 'no' };
  return { status: 200, headers, body: eventTexts(source, onError) };
}

async function* eventTexts(
  source: AsyncIterable<ServerEvent>,
  onError: (thrown: unknown) => ServerEvent,
): AsyncGenerator<string> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    // Headers leave with the first bytes; a client must not wait for the first event to know that it follows.
    yield ': tidelog\n\n';
    let next = iterator.next();
    for (;;) {
      const result = await orSilence(next);
      if (result === SILENCE) {
        yield ': still here\n\n';
        continue;
      }
      if (result.done) return;
      yield eventText(result.value);
      next = iterator.next();
    }
  } catch (thrown) {
    yield eventText(onError(thrown));
  } finally {
    // Not awaited: a generator that waits for the log ends only when its own wait does, which the request's signal sees to.
    void iterator.return?.().catch(() => {});
  }
}

const SILENCE = Symbol('silence');

async function orSilence<T>(promise: Promise<T>): Promise<T | typeof SILENCE> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<typeof SILENCE>((resolve) => {
    timer = setTimeout(() => resolve(SILENCE), KEEP_ALIVE_MS);
  });
  try {
    return await Promise.race([promise, silence]);
  } finally {
    clearTimeout(timer);
  }
}

/** JSON has no raw newlines, so one `data` line always holds it. */
function eventText({ event, id, data }: ServerEvent): string {
  const head = `${event === undefined ? '' : `event: ${event}\n`}${id === undefined ? '' : `id: ${id}\n`}`;
  return `${head}data: ${JSON.stringify(data)}\n\n`;
}

// ---- reading a request

/** The body as a JSON object. Throws `bad-json` or `bad-request`. */
export function readObject(request: ApiRequest): Record<string, unknown> {
  const value = readJson(request);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TidelogError('bad-request', 'the body must be a JSON object');
  return value as Record<string, unknown>;
}

/** Text under a name, if there is any. Throws `bad-request`. */
export function readField(body: Readonly<Record<string, unknown>>, field: string): string | undefined {
  const value = body[field];
  if (value === undefined || typeof value === 'string') return value;
  throw new TidelogError('bad-request', `${field} must be text`);
}

function readJson(request: ApiRequest): unknown {
  if (request.body.length === 0) throw new TidelogError('bad-json', 'the body is empty');
  try {
    return JSON.parse(readText(request)) as unknown;
  } catch (thrown) {
    if (thrown instanceof TidelogError) throw thrown;
    throw new TidelogError('bad-json', (thrown as Error).message);
  }
}

export function readText(request: ApiRequest): string {
  try {
    return fromUtf8(request.body);
  } catch {
    throw new TidelogError('bad-json', 'it is not UTF-8');
  }
}

/** `?limit=`: 1 to `max`. Throws `bad-argument`. */
export function readLimit(request: ApiRequest, fallback: number, max: number): number {
  const text = request.query.get('limit');
  if (text === null) return fallback;
  const limit = Number(text);
  if (!/^\d+$/.test(text) || limit < 1 || limit > max)
    throw new TidelogError('bad-argument', `limit is a number from 1 to ${max}, not ${JSON.stringify(text)}`);
  return limit;
}

/** `?name=1`. Throws `bad-argument` for what is neither 1 nor 0, because a typo would be taken for the opposite. */
export function readFlag(request: ApiRequest, name: string): boolean {
  const text = request.query.get(name);
  if (text === null || text === '0') return false;
  if (text === '1') return true;
  throw new TidelogError('bad-argument', `${name} is 1 or 0, not ${JSON.stringify(text)}`);
}

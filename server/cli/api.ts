/**
 * What commands ask of the data, and how: requests and answers of the HTTP interface, whether a node gives them or this process (open-api.ts).
 */
import type { Transport } from '../../client/transport.ts';
import { utf8 } from '../../protocol/bytes.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { EVENT_STREAM } from '../http/message.ts';
import { errorFromProblem } from '../http/problem.ts';

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** Parsed JSON; text where it isn't JSON. */
  readonly body: unknown;
}

interface StreamEvent {
  /** `message` where the event has no name. */
  readonly event: string;
  readonly id: string | null;
  readonly data: unknown;
}

export interface Api {
  /** Where the node runs that is talked to; null where none runs and this process has opened the store. */
  readonly node: string | null;
  /** `path` with its query. Text and bytes go as they are, everything else as JSON. Throws what the other end threw. */
  call(method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Answer>;
  /** Server-sent events. An event `problem` is thrown. */
  stream(method: string, path: string, body?: unknown, signal?: AbortSignal): AsyncIterable<StreamEvent>;
  /** Lines of newline-delimited JSON, without their newlines. */
  lines(path: string): AsyncIterable<string>;
  bytes(path: string): AsyncIterable<Uint8Array>;
  /** A line for sync to the peer that holds the data, as another device gets it, with no rights but those of the key that is shown on it. */
  line(): Promise<Transport>;
  close(): Promise<void>;
}

export type Send = (
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array,
  signal: AbortSignal,
) => Promise<Response>;

/** Builds on one function that answers a request with a standard Response. */
export function apiOver(node: string | null, send: Send, line: Api['line'], close: () => Promise<void>): Api {
  const request = async (
    method: string,
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Response> => {
    const [type, bytes] = encoded(body);
    const all = { ...(body !== undefined && { 'content-type': type }), ...headers };
    const response = await send(method, path, all, bytes, signal);
    if (response.status >= 400) throw errorFromProblem(await parsed(response), response.status);
    return response;
  };
  return {
    node,
    async call(method, path, body, headers = {}) {
      const response = await request(method, path, body, headers, new AbortController().signal);
      return { status: response.status, headers: response.headers, body: await parsed(response) };
    },
    async *stream(method, path, body, signal = new AbortController().signal) {
      const response = await request(method, path, body, { accept: EVENT_STREAM }, signal);
      for await (const event of readEvents(textOf(response))) {
        if (event.event === 'problem') throw errorFromProblem(event.data, 500);
        yield event;
      }
    },
    async *lines(path) {
      const response = await request('GET', path, undefined, {}, new AbortController().signal);
      for await (const line of splitLines(textOf(response))) if (line !== '') yield line;
    },
    async *bytes(path) {
      const response = await request('GET', path, undefined, {}, new AbortController().signal);
      if (response.body) yield* whole(response.body);
    },
    line,
    close,
  };
}

/** Type and bytes of a body. */
function encoded(body: unknown): [type: string, bytes: Uint8Array] {
  if (body instanceof Uint8Array) return ['application/octet-stream', body];
  if (typeof body === 'string') return ['application/x-ndjson', utf8(body)];
  return ['application/json', body === undefined ? new Uint8Array(0) : utf8(JSON.stringify(body))];
}

async function parsed(response: Response): Promise<unknown> {
  const text = await response.text();
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** fetch says only "fetch failed"; why is in the cause. */
export function causeOf(thrown: unknown): string {
  const { cause, message } = thrown as Error;
  return cause instanceof Error ? cause.message : message;
}

// ---- streams

async function* textOf(response: Response): AsyncGenerator<string> {
  if (response.body !== null) yield* whole(response.body.pipeThrough(new TextDecoderStream()));
}

/** Throws where it breaks off. */
async function* whole<T>(stream: ReadableStream<T>): AsyncGenerator<T> {
  try {
    yield* stream;
  } catch (thrown) {
    if (thrown instanceof TidelogError) throw thrown;
    if ((thrown as Error).name === 'AbortError') throw new TidelogError('aborted');
    throw new TidelogError('unreachable', `the answer broke off: ${causeOf(thrown)}`, {}, { cause: thrown });
  }
}

async function* splitLines(texts: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = '';
  for await (const text of texts) {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== '') yield rest;
}

/** https://html.spec.whatwg.org/multipage/server-sent-events.html, as far as this node sends them: `\n` only, JSON in one `data` line. */
async function* readEvents(texts: AsyncIterable<string>): AsyncGenerator<StreamEvent> {
  let event = 'message';
  let id: string | null = null;
  let data: string | null = null;
  for await (const line of splitLines(texts)) {
    if (line === '') {
      if (data !== null) yield { event, id, data: JSON.parse(data) as unknown };
      event = 'message';
      data = null;
      continue;
    }
    const [field, value] = splitOnce(line, ': ');
    if (field === 'event') event = value;
    else if (field === 'id') id = value;
    else if (field === 'data') data = value;
  }
}

// ---- paths

export type Query = Readonly<Record<string, string | number | undefined>>;

/** `apiPath(['v1', 'devices', id], { space })`; undefined is left out. */
export function apiPath(segments: readonly string[], query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value));
  const text = search.toString();
  return `/${segments.map(encodeURIComponent).join('/')}${text === '' ? '' : `?${text}`}`;
}

/** A URL's path can't end in `.` or `..`, not even escaped. */
export function resourcePath(subject: string, query: Query = {}): string {
  if (subject === '.' || subject === '..' || subject === '') return apiPath(['v1', 'resources'], { ...query, subject });
  return apiPath(['v1', 'resources', subject], query);
}

export function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)];
}

/**
 * How commands reach the data: over HTTP where a node runs on it, otherwise by opening the store in this process. Both ends lead to the
 * same handler, so a command behaves the same either way.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { utf8 } from '../../protocol/bytes.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { addressesOf } from '../addresses.ts';
import { findRunningNode, readToken } from '../data-dir.ts';
import { EVENT_STREAM, type ApiResponse } from '../http/message.ts';
import { errorFromProblem } from '../http/problem.ts';
import { createHandler, type Handle } from '../http/router.ts';
import { silentLog } from '../log.ts';
import { openPeer, type OpenedPeer } from '../open-peer.ts';

/** Another command holds the data folder for a moment only; a node holds it for long, and is talked to. */
const PATIENCE_MS = 5000;
const RETRY_MS = 50;

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
  /** `path` with its query. A text body goes as it is, everything else as JSON. Throws what the other end threw. */
  call(method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Answer>;
  /** Server-sent events. An event `problem` is thrown. */
  stream(method: string, path: string, body?: unknown, signal?: AbortSignal): AsyncIterable<StreamEvent>;
  /** Lines of newline-delimited JSON, without their newlines. */
  lines(path: string): AsyncIterable<string>;
  close(): Promise<void>;
}

/** Throws `data-missing`, `data-in-use` and what opening a data folder throws. */
export async function openApi(dataDir: string): Promise<Api> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      const node = await findRunningNode(dataDir);
      if (node?.url) return remoteApi(node.url, await readToken(dataDir));
      return localApi(await openPeer(dataDir));
    } catch (thrown) {
      const inUse = thrown instanceof TidelogError && thrown.code === 'data-in-use';
      if (!inUse || performance.now() > deadline) throw thrown;
      await sleep(RETRY_MS);
    }
  }
}

type Send = (
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array,
  signal: AbortSignal,
) => Promise<Response>;

/** Builds on one function that answers a request with a standard Response. */
function apiOver(node: string | null, send: Send, close: () => Promise<void>): Api {
  const request = async (
    method: string,
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Response> => {
    const type = typeof body === 'string' ? 'application/x-ndjson' : 'application/json';
    const bytes = body === undefined ? new Uint8Array(0) : utf8(typeof body === 'string' ? body : JSON.stringify(body));
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
    close,
  };
}

async function parsed(response: Response): Promise<unknown> {
  const text = await response.text();
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

// ---- with a node

function remoteApi(url: string, token: string): Api {
  const send: Send = async (method, path, headers, body, signal) => {
    try {
      return await fetch(url + path, {
        method,
        headers: { ...headers, authorization: `Bearer ${token}` },
        signal,
        ...(body.length > 0 && { body }),
      });
    } catch (thrown) {
      if (signal.aborted) throw new TidelogError('aborted');
      throw new TidelogError('unreachable', `the node at ${url}: ${causeOf(thrown)}`, {}, { cause: thrown });
    }
  };
  return apiOver(url, send, async () => {});
}

/** fetch says only "fetch failed"; why is in the cause. */
function causeOf(thrown: unknown): string {
  const { cause, message } = thrown as Error;
  return cause instanceof Error ? cause.message : message;
}

// ---- without one

function localApi(opened: OpenedPeer): Api {
  const { host, port } = opened.config.values;
  const handle = createHandler({
    peer: opened.peer,
    config: opened.config,
    digitsOf: opened.digitsOf,
    log: silentLog(),
    // Where a node that is started later will be, if it is started with the settings as they are.
    addresses: () => addressesOf(host, port),
    metrics: null,
    ready: () => true,
  });
  return apiOver(null, localSend(handle), () => opened.close());
}

function localSend(handle: Handle): Send {
  return async (method, target, headers, body, signal) => {
    const [path, query] = splitOnce(target, '?');
    const response = await handle({
      method,
      path,
      query: new URLSearchParams(query),
      headers: new Map(Object.entries(headers)),
      body,
      signal,
    });
    return toResponse(response);
  };
}

function toResponse({ status, headers, body }: ApiResponse): Response {
  if (typeof body === 'string') return new Response(body === '' ? null : body, { status, headers });
  const iterator = body[Symbol.asyncIterator]();
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(utf8(value));
    },
    async cancel() {
      await iterator.return?.();
    },
  });
  return new Response(stream, { status, headers });
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)];
}

// ---- streams

async function* textOf(response: Response): AsyncGenerator<string> {
  if (response.body === null) return;
  try {
    yield* response.body.pipeThrough(new TextDecoderStream());
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

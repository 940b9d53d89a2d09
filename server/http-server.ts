/**
 * Sockets: HTTP requests become calls of the handler, `/sync` upgrades become transports. The only file that imports uWebSockets.js.
 *
 * Everything here assumes that the other end is hostile: sizes are limited while they are read, connections are counted in total
 * and by address, a slow reader is waited for and never buffered for, and whoever goes away ends the work that was done for them.
 */
import './uws-limits.ts';

import { createServer } from 'node:net';
import {
  App,
  us_listen_socket_close,
  us_socket_local_port,
  type HttpRequest,
  type HttpResponse,
  type TemplatedApp,
  type us_listen_socket,
  type us_socket_context_t,
  type WebSocket,
} from 'uWebSockets.js';
import type { Logger } from 'pino';

import type { Transport, TransportHandlers } from '../client/transport.ts';
import {
  HANDSHAKE_TIMEOUT_MS,
  MESSAGE_BYTES_MAX,
  NOISE_MESSAGE_BYTES,
  SILENCE_MAX_MS,
  SUBPROTOCOL,
  SYNC_PATH,
} from '../protocol/constants.ts';
import { asTidelogError, ERRORS, TidelogError, type ErrorCode } from '../protocol/errors.ts';
import { checkAccess, checkOpenBody, isOpen } from './http/access.ts';
import { checkHost, checkOrigin } from './http/edge.ts';
import { EVENT_STREAM, REQUEST_BYTES_MAX, type ApiRequest, type ApiResponse } from './http/message.ts';
import { problemResponse } from './http/problem.ts';
import type { Handle } from './http/router.ts';
import type { OpenSession, Sessions } from './sessions.ts';

export interface HttpServerOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly token: string;
  /** Of people at the page; null where there are none. */
  readonly sessions?: Sessions | null;
  /** Asked for each request, so that a change of the configuration counts at once. */
  readonly hostNames: () => readonly string[];
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  readonly handle: Handle;
  /** Takes over a connection to `/sync`. */
  readonly accept: (transport: Transport) => void;
  readonly log: Logger;
}

export interface HttpServer {
  readonly port: number;
  /** Refuses what is new and ends streams of events; what is under way goes on. */
  stopAccepting(): void;
  /** Resolves when no request is under way, or after `ms`. */
  idle(ms: number): Promise<void>;
  /** Cuts everything that is left. */
  close(): void;
}

/** Requests under way at once. Each may hold a body of 16 MiB for a moment. */
const REQUESTS_MAX = 256;
/** Of them, those that begin a session: anybody may. */
const BEGINNINGS_MAX = 16;
/** Of these, streams of events: they stay, and must not take all places. */
const FOLLOWERS_MAX = 128;
/** How often sessions that are too old are looked for: a stream of events that one of them opened ends so much later at most. */
const SESSIONS_LOOK_MS = 15_000;
/** Bodies that are being read at once, all together. */
const REQUEST_BYTES_TOTAL_MAX = 256 * 1024 * 1024;
/** Connections that are still shaking hands, all together: each costs this side curve operations for nobody known. */
const HANDSHAKES_MAX = 64;
/** And of one network: a host that opens connections and says nothing must not keep all others out. */
const HANDSHAKES_PER_NETWORK_MAX = 32;
/** The dialler's handshake is two messages; a third shows that it is done. */
const HANDSHAKE_MESSAGES = 2;
/** The session ends a silent connection after 45 s; this is for one whose session can't. uWebSockets.js counts in steps of 4 s. */
const IDLE_TIMEOUT_S = SILENCE_MAX_MS / 1000 + 15;
/** A session stops writing long before; past this the other end takes nothing and the connection is cut. */
const BACKPRESSURE_BYTES_MAX = 4 * MESSAGE_BYTES_MAX;
/** uWebSockets.js's LIBUS_LISTEN_EXCLUSIVE_PORT, a type without a value there. By default two programs may share a port unnoticed. */
const EXCLUSIVE_PORT = 1;

const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

/**
 * After these the connection ends. A refusal may come before the body was read, and what is left of it must not be taken for the next request. And who
 * has no business here has to connect anew for the next one: on one connection it could ask a hundred thousand times a second.
 */
const CLOSING_STATUS: ReadonlySet<number> = new Set([401, 413, 421, 429]);

const STATUS_TEXT: Readonly<Record<number, string>> = {
  200: 'OK',
  201: 'Created',
  304: 'Not Modified',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  410: 'Gone',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  421: 'Misdirected Request',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  507: 'Insufficient Storage',
};

/** Throws `port-in-use` or `bad-argument`. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const server = new Server(options);
  await server.listen();
  return server;
}

class Server implements HttpServer {
  readonly #options: HttpServerOptions;
  readonly #app: TemplatedApp = App();
  #listening: us_listen_socket | null = null;
  port = 0;
  #accepting = true;
  readonly #requests = new Set<AbortController>();
  #beginnings = 0;
  /** Those of `#requests` that end only when somebody ends them. */
  readonly #followers = new Set<AbortController>();
  #requestBytes = 0;
  #whenIdle: (() => void) | null = null;
  #sessionsLook: NodeJS.Timeout | undefined;
  readonly #transports = new Set<UwsTransport>();
  readonly #connectionsByNetwork = new Map<string, number>();

  constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#app.ws<SyncData>(SYNC_PATH, {
      compression: 0,
      maxPayloadLength: NOISE_MESSAGE_BYTES,
      maxBackpressure: BACKPRESSURE_BYTES_MAX,
      closeOnBackpressureLimit: true,
      idleTimeout: IDLE_TIMEOUT_S,
      sendPingsAutomatically: false,
      upgrade: (res, req, context) => this.#upgrade(res, req, context),
      open: (ws) => {
        const { transport } = ws.getUserData();
        transport.opened(ws);
        this.#options.accept(transport);
      },
      message: (ws, data, isBinary) => {
        if (isBinary) ws.getUserData().transport.received(new Uint8Array(data.slice(0)));
        else ws.end(ERRORS['bad-message'].close!, 'bad-message');
      },
      drain: (ws) => ws.getUserData().transport.drained(),
      close: (ws) => this.#closed(ws.getUserData().transport),
    });
    this.#app.any('/*', (res, req) => this.#request(res, req));
  }

  async listen(): Promise<void> {
    const { host, port } = this.#options;
    const listening = await new Promise<us_listen_socket | false>((resolve) => {
      // The types lack the form with both a host and options; the library has it.
      const listen = this.#app.listen.bind(this.#app) as unknown as (
        host: string,
        port: number,
        options: number,
        callback: (socket: us_listen_socket | false) => void,
      ) => void;
      listen(host, port, EXCLUSIVE_PORT, resolve);
    });
    if (listening === false) throw await whyNotListening(host, port);
    this.#listening = listening;
    this.#sessionsLook = setInterval(() => this.#options.sessions?.forgetOld(), SESSIONS_LOOK_MS).unref();
    this.port = us_socket_local_port(listening as unknown as Parameters<typeof us_socket_local_port>[0]);
  }

  // ---- HTTP

  #request(res: HttpResponse, req: HttpRequest): void {
    const { token, sessions = null, hostNames, log } = this.#options;
    // `req` is gone when this function returns, `res` when the client is.
    const headers = headersOf(req);
    const method = req.getCaseSensitiveMethod().toUpperCase();
    const path = req.getUrl();
    const query = new URLSearchParams(req.getQuery() ?? '');
    const abort = new AbortController();
    const reply = new Reply(res, method, abort);

    const refuse = (code: ErrorCode): void => void reply.send(problemResponse(new TidelogError(code)));
    let session: OpenSession | null;
    try {
      checkHost(headers, hostNames());
      checkOrigin(path, headers, hostNames());
      session = checkAccess(method, path, headers, token, sessions);
      if (isOpen(method, path)) checkOpenBody(method, headers);
    } catch (thrown) {
      return void reply.send(problemResponse(thrown));
    }
    if (!this.#accepting) return refuse('shutting-down');
    if (this.#requests.size >= REQUESTS_MAX) return refuse('too-many');
    const isBeginning = method === 'POST' && isOpen(method, path);
    if (isBeginning && this.#beginnings >= BEGINNINGS_MAX) return refuse('too-many');
    if (Number(headers.get('content-length') ?? 0) > REQUEST_BYTES_MAX) return refuse('body-too-large');

    this.#requests.add(abort);
    if (isBeginning) this.#beginnings++;
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    let read = false;
    const ended = (): void => {
      session?.over.removeEventListener('abort', onSessionOver);
      this.#requestBytes -= bytes;
      bytes = 0;
      this.#followers.delete(abort);
      if (!this.#requests.delete(abort)) return;
      if (isBeginning) this.#beginnings--;
      if (this.#requests.size === 0) this.#whenIdle?.();
    };
    // What was begun in time and is answered at once, the end of the session itself among it, still is answered.
    const onSessionOver = (): void => {
      abort.abort();
      if (!read) refuse('bad-token');
      read = true;
    };
    session?.over.addEventListener('abort', onSessionOver);
    abort.signal.addEventListener('abort', () => {
      // Before the body was whole nobody else would end it.
      if (!read) ended();
    });
    res.onData((chunk, isLast) => {
      if (read || reply.over) return;
      bytes += chunk.byteLength;
      this.#requestBytes += chunk.byteLength;
      const tooLarge = bytes > REQUEST_BYTES_MAX;
      if (tooLarge || this.#requestBytes > REQUEST_BYTES_TOTAL_MAX) {
        read = true;
        refuse(tooLarge ? 'body-too-large' : 'too-many');
        return ended();
      }
      chunks.push(new Uint8Array(chunk.slice(0)));
      if (!isLast) return;
      read = true;
      const request: ApiRequest = { method, path, query, headers, body: Buffer.concat(chunks), signal: abort.signal };
      this.#options
        .handle(request)
        .then((response) => {
          if (response.headers['content-type'] !== EVENT_STREAM) return reply.send(response);
          if (this.#followers.size >= FOLLOWERS_MAX) {
            abort.abort();
            return refuse('too-many');
          }
          this.#followers.add(abort);
          return reply.send(response);
        })
        .catch((thrown: unknown) => {
          log.error({ err: thrown, path }, 'an answer could not be sent');
          reply.cut();
        })
        .finally(ended);
    });
  }

  // ---- /sync

  #upgrade(res: HttpResponse, req: HttpRequest, context: us_socket_context_t): void {
    const { hostNames, connectionsMax, connectionsPerAddressMax } = this.#options;
    const headers = headersOf(req);
    const refuse = (error: TidelogError, status?: number): void =>
      void new Reply(res, 'GET', new AbortController()).send(problemResponse(error, status));
    try {
      checkHost(headers, hostNames());
      checkOrigin(SYNC_PATH, headers, hostNames());
    } catch (thrown) {
      return refuse(asTidelogError(thrown));
    }
    if (!this.#accepting) return refuse(new TidelogError('shutting-down'));
    const offered = (headers.get('sec-websocket-protocol') ?? '').split(',').map((name) => name.trim());
    if (!offered.includes(SUBPROTOCOL))
      return refuse(new TidelogError('bad-handshake', `the subprotocol must be ${SUBPROTOCOL}`), 400);

    const address = addressText(res);
    const network = networkOf(address);
    const ofNetwork = this.#connectionsByNetwork.get(network) ?? 0;
    if (this.#transports.size >= connectionsMax) return refuse(new TidelogError('too-many'), 503);
    if (ofNetwork >= connectionsPerAddressMax || !this.#mayShakeHands(network))
      return refuse(new TidelogError('too-many', `there are ${ofNetwork} connections from ${network}`));
    this.#connectionsByNetwork.set(network, ofNetwork + 1);
    const transport = new UwsTransport(address);
    this.#transports.add(transport);
    res.upgrade<SyncData>({ transport }, headers.get('sec-websocket-key') ?? '', SUBPROTOCOL, '', context);
  }

  /**
   * Is there room for one more handshake from this network? Where all places are taken, the network that has most of them gives up its oldest:
   * whoever has several addresses would otherwise keep everybody else out by saying nothing.
   */
  #mayShakeHands(network: string): boolean {
    const byNetwork = new Map<string, UwsTransport[]>();
    let all = 0;
    for (const transport of this.#transports) {
      if (!transport.shakesHands) continue;
      all++;
      const others = byNetwork.get(transport.network);
      if (others) others.push(transport);
      else byNetwork.set(transport.network, [transport]);
    }
    const own = byNetwork.get(network)?.length ?? 0;
    if (own >= HANDSHAKES_PER_NETWORK_MAX) return false;
    if (all < HANDSHAKES_MAX) return true;
    let most: UwsTransport[] = [];
    for (const transports of byNetwork.values()) if (transports.length > most.length) most = transports;
    if (own >= most.length) return false;
    // In the order in which they came.
    most[0]!.close(ERRORS['too-many'].close!, 'too-many');
    return true;
  }

  #closed(transport: UwsTransport): void {
    this.#transports.delete(transport);
    const left = (this.#connectionsByNetwork.get(transport.network) ?? 1) - 1;
    if (left > 0) this.#connectionsByNetwork.set(transport.network, left);
    else this.#connectionsByNetwork.delete(transport.network);
    transport.closed();
  }

  // ---- the end

  stopAccepting(): void {
    this.#accepting = false;
    if (this.#listening !== null) us_listen_socket_close(this.#listening);
    this.#listening = null;
    for (const abort of this.#followers) abort.abort();
  }

  async idle(ms: number): Promise<void> {
    if (this.#requests.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#whenIdle = resolve;
    const timer = setTimeout(resolve, ms);
    await promise;
    clearTimeout(timer);
  }

  close(): void {
    this.stopAccepting();
    clearInterval(this.#sessionsLook);
    for (const abort of this.#requests) abort.abort();
    this.#app.close();
  }
}

/** One answer to one request. After the client is gone it does nothing. */
class Reply {
  readonly #res: HttpResponse;
  readonly #method: string;
  readonly #abort: AbortController;
  /** Answered, or nobody is there to be answered. */
  over = false;
  #onWritable: (() => void) | null = null;

  constructor(res: HttpResponse, method: string, abort: AbortController) {
    this.#res = res;
    this.#method = method;
    this.#abort = abort;
    res.onAborted(() => this.#gone());
  }

  #gone(): void {
    this.over = true;
    this.#abort.abort();
    this.#onWritable?.();
  }

  async send({ status, headers, body }: ApiResponse): Promise<void> {
    if (this.over) return;
    const writeHead = (): void => {
      this.#res.writeStatus(`${status} ${STATUS_TEXT[status] ?? 'Unknown'}`);
      for (const [name, value] of Object.entries({ ...SECURITY_HEADERS, ...headers }))
        this.#res.writeHeader(name, value);
    };
    if (typeof body === 'string') {
      this.over = true;
      this.#res.cork(() => {
        writeHead();
        if (status === 304) this.#res.endWithoutBody();
        else if (this.#method === 'HEAD') this.#res.endWithoutBody(Buffer.byteLength(body));
        else this.#res.end(body, CLOSING_STATUS.has(status));
      });
      return;
    }
    if (this.#method === 'HEAD') {
      this.over = true;
      this.#res.cork(() => {
        writeHead();
        this.#res.endWithoutBody();
      });
      return;
    }
    await this.#sendStream(writeHead, body, headers['content-type'] === EVENT_STREAM);
  }

  async #sendStream(
    writeHead: () => void,
    body: AsyncIterable<string | Uint8Array>,
    endsByItself: boolean,
  ): Promise<void> {
    this.#res.onWritable(() => {
      this.#onWritable?.();
      return true;
    });
    let headSent = false;
    for await (const piece of body) {
      if (this.over) break;
      // A stream of events comes to an end of its own; of anything else the client must not take what it has for the whole.
      if (this.#abort.signal.aborted && !endsByItself) return this.cut();
      let taken = true;
      this.#res.cork(() => {
        if (!headSent) writeHead();
        headSent = true;
        taken = this.#res.write(piece);
      });
      if (!taken) await new Promise<void>((resolve) => (this.#onWritable = resolve));
      this.#onWritable = null;
      if (this.over) break;
    }
    if (this.over) return;
    this.over = true;
    this.#res.cork(() => {
      if (!headSent) writeHead();
      this.#res.end();
    });
  }

  /** For an answer that broke off: the client must not take what it has for the whole. */
  cut(): void {
    if (this.over) return;
    this.over = true;
    this.#res.close();
  }
}

/** What hangs on a WebSocket. The library copies its properties, so it can't be the transport itself. */
interface SyncData {
  readonly transport: UwsTransport;
}

/** A WebSocket as the session sees it. */
class UwsTransport implements Transport {
  readonly remoteAddress: string;
  readonly network: string;
  readonly #openedMs = performance.now();
  #messages = 0;
  #ws: WebSocket<SyncData> | null = null;
  #handlers: TransportHandlers | null = null;

  constructor(remoteAddress: string) {
    this.remoteAddress = remoteAddress;
    this.network = networkOf(remoteAddress);
  }

  /** As far as can be seen from outside. A session ends a handshake that takes too long. */
  get shakesHands(): boolean {
    return this.#messages <= HANDSHAKE_MESSAGES && performance.now() - this.#openedMs < HANDSHAKE_TIMEOUT_MS;
  }

  get bufferedBytes(): number {
    return this.#ws?.getBufferedAmount() ?? 0;
  }

  start(handlers: TransportHandlers): void {
    this.#handlers = handlers;
  }

  send(bytes: Uint8Array): void {
    this.#ws?.send(bytes, true, false);
  }

  close(code: number, reason: string): void {
    this.#ws?.end(code, reason);
  }

  // ---- from the server

  opened(ws: WebSocket<SyncData>): void {
    this.#ws = ws;
  }

  received(bytes: Uint8Array): void {
    this.#messages++;
    this.#handlers?.onMessage(bytes);
  }

  drained(): void {
    this.#handlers?.onDrain();
  }

  closed(): void {
    this.#ws = null;
    this.#handlers?.onClose();
  }
}

/** One that comes twice is both: a second Host or Origin doesn't stand in for the first. */
function headersOf(req: HttpRequest): Map<string, string> {
  const headers = new Map<string, string>();
  req.forEach((name, value) => headers.set(name, headers.has(name) ? `${headers.get(name)}, ${value}` : value));
  return headers;
}

/** IPv6 comes written out; an IPv4 address inside one counts as itself. */
function addressText(res: HttpResponse): string {
  const text = Buffer.from(res.getRemoteAddressAsText()).toString();
  const mapped = /^(?:0000:){5}ffff:([0-9a-f]{2})([0-9a-f]{2}):([0-9a-f]{2})([0-9a-f]{2})$/i.exec(text);
  return mapped
    ? mapped
        .slice(1)
        .map((byte) => Number.parseInt(byte, 16))
        .join('.')
    : text;
}

/** What one host has for itself: an IPv4 address, or all of an IPv6 network, in which everybody has 2^64 addresses. */
export function networkOf(address: string): string {
  const groups = address.split(':');
  return groups.length === 8 ? `${groups.slice(0, 4).join(':')}::/64` : address;
}

/** uWebSockets.js doesn't say why; the same attempt by Node does. */
async function whyNotListening(host: string, port: number): Promise<TidelogError> {
  const probe = createServer();
  const code = await new Promise<string>((resolve) => {
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve('EADDRINUSE')));
  });
  const particular = `${host}:${port}`;
  if (code === 'EADDRINUSE') return new TidelogError('port-in-use', particular, { port });
  if (code === 'EACCES')
    return new TidelogError('bad-argument', `${particular}: only an administrator may listen there`);
  return new TidelogError('bad-argument', `${particular}: this machine cannot listen there (${code})`);
}

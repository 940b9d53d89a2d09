/**
 * WebSockets as the kit needs them: whole messages in both directions, nothing interpreted, and every misuse within reach: text, silence,
 * a reader that stops reading, a line that goes down without a word.
 */
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocket, WebSocketServer, type ClientOptions } from 'ws';

import { SUBPROTOCOL, SYNC_PATH } from '../protocol/constants.ts';
import { Violation } from './violation.ts';

export interface Closing {
  /** 1006 where the line went down without a close frame. */
  readonly code: number;
  readonly reason: string;
}

/** More than any peer may send in one message, so that the kit sees what is too large instead of dying of it. */
const MESSAGE_BYTES_SEEN_MAX = 64 * 1024 * 1024;

export class Socket {
  readonly #ws: WebSocket;
  /** What is under the WebSocket; null before it is open. */
  #stream: Duplex | null;
  closing: Closing | null = null;
  readonly closed: Promise<Closing>;
  /** Called for each message: bytes, or the text of a text message. Those that came before it was set are given at once. */
  #onMessage: ((message: Uint8Array | string) => void) | null = null;
  readonly #waiting: (Uint8Array | string)[] = [];

  /** Those of the upgrade, where the other side asked for it. */
  readonly headers: IncomingHttpHeaders;

  constructor(ws: WebSocket, stream: Duplex | null, headers: IncomingHttpHeaders = {}) {
    this.#ws = ws;
    this.#stream = stream;
    ws.once('upgrade', (response) => {
      this.#stream = response.socket;
    });
    this.headers = headers;
    ws.binaryType = 'nodebuffer';
    this.closed = new Promise((resolve) => {
      ws.on('close', (code, reason) => {
        this.closing = { code, reason: reason.toString('utf8') };
        resolve(this.closing);
      });
    });
    // A reset line is followed by `close`.
    ws.on('error', () => {});
    ws.on('message', (data: Buffer, isBinary) => {
      const message = isBinary ? new Uint8Array(data) : data.toString('utf8');
      if (this.#onMessage) this.#onMessage(message);
      else this.#waiting.push(message);
    });
  }

  onMessage(call: (message: Uint8Array | string) => void): void {
    this.#onMessage = call;
    for (const message of this.#waiting.splice(0)) call(message);
  }

  /** Messages that were taken and not used; the next reader gets them first. */
  giveBack(messages: readonly (Uint8Array | string)[]): void {
    this.#onMessage = null;
    this.#waiting.unshift(...messages);
  }

  get subprotocol(): string {
    return this.#ws.protocol;
  }
  /** The extensions that were agreed on, as the header has them. */
  get extensions(): string {
    return this.#ws.extensions;
  }
  /** Bytes that the other side hasn't taken yet. */
  get bufferedBytes(): number {
    return this.#ws.bufferedAmount;
  }

  send(bytes: Uint8Array): void {
    if (this.#ws.readyState === WebSocket.OPEN) this.#ws.send(bytes);
  }
  /** All that `send` sends goes out as one piece. A few kilobytes are read in one turn at the other side, however busy the machine is. */
  together(send: () => void): void {
    this.#stream?.cork();
    send();
    this.#stream?.uncork();
  }
  /** One message in several WebSocket frames. */
  sendFragments(parts: readonly Uint8Array[]): void {
    if (this.#ws.readyState !== WebSocket.OPEN) return;
    for (const [i, part] of parts.entries()) this.#ws.send(part, { binary: true, fin: i === parts.length - 1 });
  }
  sendText(text: string): void {
    if (this.#ws.readyState === WebSocket.OPEN) this.#ws.send(text);
  }
  /** Resolves with whether a pong came within `ms`. */
  async ping(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), ms);
      this.#ws.once('pong', () => {
        clearTimeout(timer);
        resolve(true);
      });
      this.#ws.ping();
    });
  }
  /** Reads nothing more: what the other side sends fills its buffers. */
  pause(): void {
    this.#ws.pause();
  }
  resume(): void {
    this.#ws.resume();
  }
  close(code = 1000): void {
    this.#ws.close(code);
  }
  /** The line goes down: no close frame. */
  cut(): void {
    this.#ws.terminate();
  }
}

/** Opens a connection. Throws a Violation that names the HTTP status where the upgrade is refused. */
export async function dial(
  url: string,
  subprotocols: readonly string[] = [SUBPROTOCOL],
  options: ClientOptions = {},
): Promise<Socket> {
  const ws = new WebSocket(url, [...subprotocols], {
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES_SEEN_MAX,
    handshakeTimeout: 10_000,
    ...options,
  });
  // Made before it is open, so that no message is missed.
  const socket = new Socket(ws, null);
  return new Promise((resolve, reject) => {
    ws.once('open', () => resolve(socket));
    ws.once('unexpected-response', (request, response) => {
      request.destroy();
      reject(new UpgradeRefused(response.statusCode ?? 0));
    });
    ws.once('error', (error) => reject(new Violation(`no WebSocket could be opened at ${url}: ${error.message}`)));
  });
}

export class UpgradeRefused extends Violation {
  readonly status: number;
  constructor(status: number) {
    super(`the upgrade was refused with HTTP status ${status}`);
    this.status = status;
  }
}

/** A place where implementations connect to. */
export interface Listener {
  /** `http://host:port` */
  readonly origin: string;
  close(): Promise<void>;
}

/** Listens; each connection is handed over with nothing said on it. Upgrades without the subprotocol get 400. */
export async function listen(host: string, port: number, onSocket: (socket: Socket) => void): Promise<Listener> {
  const http: Server = createServer((_request, response) => {
    response.writeHead(404, { 'content-type': 'text/plain' });
    response.end('This is a Tidelog conformance kit. Give its link to the program under test.\n');
  });
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES_SEEN_MAX,
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  });
  http.on('upgrade', (request, stream, head) => {
    const offered = request.headers['sec-websocket-protocol']?.split(',').map((name) => name.trim()) ?? [];
    const { pathname } = new URL(request.url ?? '/', 'http://kit');
    if (pathname !== SYNC_PATH || !offered.includes(SUBPROTOCOL)) {
      stream.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, stream, head, (ws) => onSocket(new Socket(ws, stream, request.headers)));
  });
  await new Promise<void>((resolve, reject) => {
    http.once('error', reject);
    http.listen(port, host, resolve);
  });
  const { port: actual } = http.address() as AddressInfo;
  return {
    origin: `http://${host.includes(':') ? `[${host}]` : host}:${actual}`,
    close: async () => {
      for (const ws of sockets.clients) ws.terminate();
      await new Promise<void>((resolve) => http.close(() => resolve()));
    },
  };
}

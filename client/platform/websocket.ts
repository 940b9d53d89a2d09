/** The platform's own WebSocket as a transport: the same in Node and in browsers. */
import { SUBPROTOCOL } from '../../protocol/constants.ts';
import { ERRORS, TidelogError } from '../../protocol/errors.ts';
import type { Transport, TransportHandlers } from '../transport.ts';

/** WebSocket has no event for a drained buffer; while something waits, it is looked at this often. */
const DRAIN_POLL_MS = 10;
const CONNECT_TIMEOUT_MS = 10_000;

/** Throws `unreachable`, `aborted`. */
export function dialWebSocket(url: string, signal?: AbortSignal): Promise<Transport> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(new TidelogError('aborted'));
      return;
    }
    const socket = new WebSocket(url, SUBPROTOCOL);
    socket.binaryType = 'arraybuffer';
    const settle = (outcome: () => void): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.onopen = null;
      socket.onerror = null;
      socket.onclose = null;
      outcome();
    };
    const fail = (error: TidelogError): void =>
      settle(() => {
        // A socket that is still connecting reports its closing as an error.
        socket.onerror = () => {};
        socket.close();
        reject(error);
      });
    const onAbort = (): void => fail(new TidelogError('aborted'));
    const timer = setTimeout(
      () => fail(new TidelogError('unreachable', `${url}: no answer in ${CONNECT_TIMEOUT_MS / 1000} s`)),
      CONNECT_TIMEOUT_MS,
    );
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.onopen = () => settle(() => resolve(new WebSocketTransport(socket, url)));
    socket.onerror = () => fail(new TidelogError('unreachable', url));
    socket.onclose = () => fail(new TidelogError('unreachable', url));
  });
}

class WebSocketTransport implements Transport {
  readonly remoteAddress: string;
  readonly #socket: WebSocket;
  #handlers: TransportHandlers | null = null;
  #early: Uint8Array[] = [];
  #polling = false;
  #closed = false;

  constructor(socket: WebSocket, url: string) {
    this.#socket = socket;
    this.remoteAddress = url;
    socket.onmessage = ({ data }: { data: unknown }) => {
      // Text is no part of the protocol, and its close code says so. The channel refuses the empty message that stands for it.
      if (!(data instanceof ArrayBuffer)) this.close(ERRORS['bad-message'].close!, 'bad-message');
      const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(0);
      if (this.#handlers) this.#handlers.onMessage(bytes);
      else this.#early.push(bytes);
    };
    socket.onerror = () => {};
    socket.onclose = () => this.#onClose();
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  start(handlers: TransportHandlers): void {
    this.#handlers = handlers;
    for (const bytes of this.#early.splice(0)) handlers.onMessage(bytes);
    if (this.#socket.readyState === WebSocket.CLOSED) handlers.onClose();
  }

  send(bytes: Uint8Array): void {
    if (this.#closed) return;
    this.#socket.send(bytes as Uint8Array<ArrayBuffer>);
    if (!this.#polling && this.#socket.bufferedAmount > 0) this.#poll();
  }

  #poll(): void {
    this.#polling = true;
    setTimeout(() => {
      this.#polling = false;
      if (this.#closed) return;
      this.#handlers?.onDrain();
      if (this.#socket.bufferedAmount > 0) this.#poll();
    }, DRAIN_POLL_MS);
  }

  close(code: number, reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close(code, reason);
  }

  #onClose(): void {
    this.#closed = true;
    this.#handlers?.onClose();
  }
}

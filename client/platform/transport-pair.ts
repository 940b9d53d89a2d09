/** Two ends of a connection in memory. Messages arrive in order, each in a turn of its own; `cut` drops the line as a lost network does. */
import type { Transport, TransportHandlers } from '../transport.ts';

class End implements Transport {
  readonly remoteAddress: string;
  other: End | null = null;
  bufferedBytes = 0;
  handlers: TransportHandlers | null = null;
  readonly waiting: Uint8Array[] = [];
  closed = false;
  closeCode: number | null = null;

  constructor(remoteAddress: string) {
    this.remoteAddress = remoteAddress;
  }

  start(handlers: TransportHandlers): void {
    this.handlers = handlers;
    for (const bytes of this.waiting.splice(0)) handlers.onMessage(bytes);
    if (this.closed) setImmediate(() => handlers.onClose());
  }

  send(bytes: Uint8Array): void {
    if (this.closed) return;
    const { other } = this;
    const copy = bytes.slice();
    setImmediate(() => {
      if (!other || other.closed) return;
      if (other.handlers) other.handlers.onMessage(copy);
      else other.waiting.push(copy);
    });
  }

  close(code: number): void {
    if (this.closed) return;
    this.closed = true;
    this.closeCode = code;
    const { handlers } = this;
    setImmediate(() => {
      handlers?.onClose();
      this.other?.close(code);
    });
  }
}

export function transportPair(): { a: Transport; b: Transport; cut(): void } {
  const a = new End('memory:b');
  const b = new End('memory:a');
  a.other = b;
  b.other = a;
  return {
    a,
    b,
    cut: () => {
      a.close(1006);
      b.close(1006);
    },
  };
}

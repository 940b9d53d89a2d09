/** The seam for connections: whole binary messages, in order. A WebSocket in life, a pair in memory in tests; later a relay's tunnel or a data channel. */
export interface TransportHandlers {
  onMessage(bytes: Uint8Array): void;
  /** Some of what was buffered has left. */
  onDrain(): void;
  /** Once, whoever closed it. Nothing comes after it. */
  onClose(): void;
}

export interface Transport {
  /** For people and limits: where the other side is. */
  readonly remoteAddress: string;
  /** Bytes that were sent and haven't left this machine yet. */
  readonly bufferedBytes: number;
  /** Called once; no message is delivered before it. */
  start(handlers: TransportHandlers): void;
  /** Takes the bytes over. After the close it does nothing. */
  send(bytes: Uint8Array): void;
  /** Lets what was sent leave, then closes. `code` and `reason` are a WebSocket's. */
  close(code: number, reason: string): void;
}

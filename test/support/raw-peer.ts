/**
 * A peer made by hand: it handshakes as it should, and then says whatever a test wants it to say, down to the bytes of a frame. The line
 * to it can be stalled, as a slow reader's is.
 */
import type { Connection } from '../../client/connection.ts';
import type { Transport, TransportHandlers } from '../../client/transport.ts';
import { encodeBatch, type Batch } from '../../protocol/batch.ts';
import { concat, utf8 } from '../../protocol/bytes.ts';
import { LABEL, PROLOGUE } from '../../protocol/constants.ts';
import type { KeyPair } from '../../protocol/crypto.ts';
import { formatDeviceId } from '../../protocol/device-id.ts';
import { ERRORS } from '../../protocol/errors.ts';
import { FrameAssembler, splitFrames } from '../../protocol/frame.ts';
import {
  decodeMessage,
  encodeMessage,
  type BatchMessage,
  type Message,
  type MessageName,
  type SpaceState,
} from '../../protocol/messages.ts';
import { Handshake, type Transport as Ciphers } from '../../protocol/noise.ts';
import { helloOf } from './hello.ts';
import type { Member } from './network.ts';
import { bytesOf, crypto, deviceOf } from './protocol.ts';

/** The end of the line that the peer under test holds. */
class Line implements Transport {
  readonly remoteAddress = 'raw';
  readonly #deliver: (bytes: Uint8Array) => void;
  readonly #onClose: (code: number) => void;
  handlers: TransportHandlers | null = null;
  readonly held: Uint8Array[] = [];
  stalled = false;
  /** Bytes that wait already, so that a test needn't send them. */
  bufferedBefore = 0;
  closed = false;
  mostBuffered = 0;

  constructor(deliver: (bytes: Uint8Array) => void, onClose: (code: number) => void) {
    this.#deliver = deliver;
    this.#onClose = onClose;
  }
  get bufferedBytes(): number {
    return this.held.reduce((sum, { length }) => sum + length, this.bufferedBefore);
  }
  start(handlers: TransportHandlers): void {
    this.handlers = handlers;
  }
  send(bytes: Uint8Array): void {
    if (this.closed) return;
    const copy = bytes.slice();
    if (this.stalled) {
      this.held.push(copy);
      this.mostBuffered = Math.max(this.mostBuffered, this.bufferedBytes);
    } else {
      setImmediate(() => this.#deliver(copy));
    }
  }
  resume(): void {
    this.stalled = false;
    for (const bytes of this.held.splice(0)) this.send(bytes);
    this.handlers?.onDrain();
  }
  close(code: number): void {
    if (this.closed) return;
    this.closed = true;
    setImmediate(() => {
      this.#onClose(code);
      this.handlers?.onClose();
    });
  }
}

export class RawPeer {
  readonly keys: KeyPair;
  readonly id: string;
  readonly line: Line;
  readonly connection: Connection;
  readonly received: Message[] = [];
  /** The WebSocket close code, once it has closed. */
  readonly closed: Promise<number>;
  closeCode: number | null = null;
  #ciphers: Ciphers | null = null;
  #together: Uint8Array[] | null = null;
  readonly #handshake: Handshake;
  readonly #assembler = new FrameAssembler();
  readonly #noiseKeys: KeyPair;
  #wake: () => void = () => {};
  #isEstablished = Promise.withResolvers<void>();
  /** What has been taken of `received` by `next`. */
  #taken = 0;

  constructor(member: Member, name: string) {
    this.keys = deviceOf(name);
    this.id = formatDeviceId(this.keys.public);
    this.#noiseKeys = crypto.x25519KeyPair(bytesOf(`noise ${name}`, 32));
    this.#handshake = new Handshake({
      crypto,
      initiator: true,
      prologue: utf8(PROLOGUE),
      staticKeys: this.#noiseKeys,
      ephemeralKeys: crypto.x25519KeyPair(bytesOf(`ephemeral ${name} ${Math.random()}`, 32)),
    });
    const closed = Promise.withResolvers<number>();
    this.closed = closed.promise;
    this.line = new Line(
      (bytes) => this.#onBytes(bytes),
      (code) => {
        this.closeCode = code;
        closed.resolve(code);
        this.#wake();
      },
    );
    this.connection = member.peer.accept(this.line);
  }

  /** With the handshake done. */
  static async connect(member: Member, name: string): Promise<RawPeer> {
    const raw = new RawPeer(member, name);
    await raw.shakeHands();
    return raw;
  }

  async shakeHands(): Promise<void> {
    this.sendBytes(this.#handshake.write(new Uint8Array(0)));
    await this.#isEstablished.promise;
  }

  get handshakeHash(): Uint8Array {
    return this.#ciphers!.handshakeHash;
  }

  #onBytes(bytes: Uint8Array): void {
    if (this.#ciphers === null) {
      this.#handshake.read(bytes);
      const binding = concat(utf8(LABEL.NOISE), this.#noiseKeys.public);
      this.sendBytes(this.#handshake.write(concat(this.keys.public, crypto.ed25519Sign(this.keys, binding))));
      this.#ciphers = this.#handshake.split();
      this.#isEstablished.resolve();
      return;
    }
    const whole = this.#assembler.push(this.#ciphers.receive.decrypt(bytes));
    if (whole === undefined) return;
    const message = decodeMessage(whole);
    if (message) this.received.push(message);
    this.#wake();
  }

  /** Bytes on the line. */
  sendBytes(bytes: Uint8Array): void {
    if (this.#together) {
      this.#together.push(bytes);
      return;
    }
    setImmediate(() => {
      if (!this.line.closed) this.line.handlers?.onMessage(bytes);
    });
  }
  /** All that `send` sends comes in one turn, as what a socket has read at once does. */
  sendTogether(send: () => void): void {
    const all: Uint8Array[] = [];
    this.#together = all;
    send();
    this.#together = null;
    setImmediate(() => {
      for (const bytes of all) if (!this.line.closed) this.line.handlers?.onMessage(bytes);
    });
  }
  /** The plaintext of one Noise message. */
  sendFrame(frame: Uint8Array): void {
    this.sendBytes(this.#ciphers!.send.encrypt(frame));
  }
  /** The bytes of a message. */
  sendRaw(message: Uint8Array): void {
    for (const frame of splitFrames(message)) this.sendFrame(frame);
  }
  send(...messages: readonly Message[]): void {
    for (const message of messages) this.sendRaw(encodeMessage(message));
  }
  /** The line goes down. */
  cut(): void {
    this.line.close(1006);
  }

  /** The next message of a type, of those that no call has given yet; others before it are passed over. */
  async next<N extends MessageName>(type: N): Promise<Extract<Message, { type: N }>> {
    for (;;) {
      while (this.#taken < this.received.length) {
        const message = this.received[this.#taken++]!;
        if (message.type === type) return message as Extract<Message, { type: N }>;
      }
      if (this.closeCode !== null)
        throw new Error(`closed with ${this.closeCode} before a ${type}: ${JSON.stringify(this.received.at(-1))}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** What it ended with: the code of an ERROR, or, where the channel was broken and nothing could be said, of the close code. */
  async refusedWith(): Promise<string> {
    const closeCode = await this.closed;
    const last = this.received.at(-1);
    const said = Object.entries(ERRORS).find(([, { close }]) => close === closeCode)?.[0] ?? `close code ${closeCode}`;
    return last?.type === 'ERROR' && last.fault.code !== said
      ? `ERROR ${last.fault.code}, but close code ${closeCode}`
      : said;
  }

  hello(spaces: readonly SpaceState[] = []): void {
    this.send(helloOf('raw', 'raw/1', spaces));
  }

  /** Greets with a log of this space, and gives the number of the subscription that it is asked for. */
  async greet(space: Uint8Array, head = 1000): Promise<number> {
    await this.next('HELLO');
    this.hello([{ space, epoch: bytesOf('raw epoch', 8), head, digest: bytesOf('raw digest', 32) }]);
    return (await this.next('SUBSCRIBE_ALL')).subscription;
  }

  batch(subscription: number, prev: number, last: number, batch: Batch, change: Partial<BatchMessage> = {}): void {
    const data = encodeBatch(batch);
    this.send({ type: 'BATCH', subscription, prev, last, codec: 0, rawBytes: data.length, data, ...change });
  }
}

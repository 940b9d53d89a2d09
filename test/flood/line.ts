/**
 * The attacker's end of a connection. It shakes hands as it should, keeps nothing of what comes, and says whatever an attack wants said, as
 * fast as the socket takes it: what it spends on itself it can't spend on the node.
 */
import { dial, UpgradeRefused, type Socket } from '../../conformance/socket.ts';
import { bindingOf, Messages, newHandshake, newNoiseKeys } from '../../conformance/wire.ts';
import type { Device } from '../../conformance/device.ts';
import { SUBPROTOCOL } from '../../protocol/constants.ts';
import { ERRORS } from '../../protocol/errors.ts';
import { FrameAssembler, splitFrames } from '../../protocol/frame.ts';
import { decodeMessage, encodeMessage, type Message, type SpaceState } from '../../protocol/messages.ts';
import type { Transport as Ciphers } from '../../protocol/noise.ts';
import { helloOf } from '../support/hello.ts';
import type { Tally } from './tally.ts';
import { turn } from '../support/turn.ts';

const PATIENCE_MS = 15_000;
/** Bytes that wait in the attacker's own socket: more would only fill its memory. */
const BUFFERED_MAX_BYTES = 1024 * 1024;

/** Opens a socket from one of this machine's loopback addresses; null where the node refuses it, which is counted. */
export async function openSocket(url: string, address: string, tally: Tally): Promise<Socket | null> {
  try {
    const socket = await dial(url, [SUBPROTOCOL], { localAddress: address });
    void socket.closed.then(({ code }) => tally.note(closeName(code)));
    return socket;
  } catch (thrown) {
    tally.note(thrown instanceof UpgradeRefused ? `HTTP ${thrown.status}` : 'no socket');
    return null;
  }
}

function closeName(code: number): string {
  const error = Object.entries(ERRORS).find(([, { close }]) => close === code);
  return error ? error[0] : `closed with ${code}`;
}

export class Line {
  readonly socket: Socket;
  readonly #ciphers: Ciphers;
  readonly #assembler = new FrameAssembler();
  readonly #tally: Tally;
  readonly #waiting: { type: string; resolve: (message: Message | null) => void }[] = [];
  onMessage: (message: Message) => void = () => {};

  private constructor(socket: Socket, ciphers: Ciphers, tally: Tally) {
    this.socket = socket;
    this.#ciphers = ciphers;
    this.#tally = tally;
    socket.onMessage((bytes) => this.#read(bytes as Uint8Array));
    void socket.closed.then(() => {
      for (const { resolve } of this.#waiting.splice(0)) resolve(null);
    });
  }

  /** With the handshake done; null where it came to nothing. */
  static async open(url: string, address: string, device: Device, tally: Tally): Promise<Line | null> {
    const socket = await openSocket(url, address, tally);
    if (!socket) return null;
    try {
      const messages = new Messages(socket, PATIENCE_MS);
      const noiseKeys = newNoiseKeys();
      const handshake = newHandshake(true, noiseKeys);
      socket.send(handshake.write(new Uint8Array(0)));
      handshake.read(await messages.next('handshake message 2'));
      socket.send(handshake.write(bindingOf(device, noiseKeys)));
      messages.release();
      return new Line(socket, handshake.split(), tally);
    } catch {
      socket.cut();
      return null;
    }
  }

  #read(bytes: Uint8Array): void {
    const whole = this.#assembler.push(this.#ciphers.receive.decrypt(bytes));
    const message = whole && decodeMessage(whole);
    if (!message) return;
    if (message.type === 'UNSUBSCRIBED' && message.fault) this.#tally.note(`UNSUBSCRIBED ${message.fault.code}`);
    if (message.type === 'REFUSED') this.#tally.note(`REFUSED ${message.fault.code}`);
    this.onMessage(message);
    for (const waiting of this.#waiting.splice(0)) {
      if (waiting.type === message.type) waiting.resolve(message);
      else this.#waiting.push(waiting);
    }
  }

  /** The next message of a type that comes from now on; null where the connection ends first. */
  next<T extends Message['type']>(type: T): Promise<Extract<Message, { type: T }> | null> {
    if (this.closed) return Promise.resolve(null);
    return new Promise((resolve) => {
      this.#waiting.push({ type, resolve: resolve as (message: Message | null) => void });
    });
  }

  get closed(): boolean {
    return this.socket.closing !== null;
  }

  /** Resolves when the socket takes more, or is gone. */
  async ready(): Promise<void> {
    do await turn();
    while (!this.closed && this.socket.bufferedBytes > BUFFERED_MAX_BYTES);
  }

  sendFrame(frame: Uint8Array): void {
    const sealed = this.#ciphers.send.encrypt(frame);
    this.#tally.sent(sealed.length);
    this.socket.send(sealed);
  }

  sendRaw(message: Uint8Array): void {
    for (const frame of splitFrames(message)) this.sendFrame(frame);
  }

  send(...messages: readonly Message[]): void {
    for (const message of messages) this.sendRaw(encodeMessage(message));
  }

  hello(spaces: readonly SpaceState[] = []): void {
    this.send(helloOf('mallory', 'flood/1', spaces));
  }
}

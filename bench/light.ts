/**
 * A follower that costs next to nothing, so that ten of them, or two thousand, fit beside the node that is measured: it shakes hands, subscribes,
 * decrypts what comes, gives the credit back, and throws the batches away unread. To the node it is a peer that takes all it gets at once.
 *
 * It acknowledges as stored what it threw away. That is a lie that no real peer may tell; here nobody relies on it.
 */
import { WebSocket } from 'ws';
import { nodeCrypto } from '../client/platform/crypto-node.ts';
import { randomBytes } from '../client/platform/random.ts';
import { equal } from '../protocol/bytes.ts';
import { Channel } from '../protocol/channel.ts';
import {
  BATCH_RAW_BYTES_MAX,
  CREDIT_BYTES_DEFAULT,
  MESSAGE_BYTES_MAX,
  PROTOCOL_VERSION,
  SUBPROTOCOL,
} from '../protocol/constants.ts';
import type { KeyPair } from '../protocol/crypto.ts';
import { decodeMessage, encodeMessage, type Message, type StartsFrom } from '../protocol/messages.ts';
import { syncUrl } from '../protocol/pair-link.ts';

/** As often as any peer says that it is alive. */
const HEARTBEAT_MS = 15_000;
/** One for all of a process: each would cost a curve operation. */
const NOISE_KEYS = nodeCrypto.x25519KeyPair(randomBytes(32));

export function newKeys(): KeyPair {
  return nodeCrypto.ed25519KeyPair(randomBytes(32));
}

export class LightPeer {
  /** Cursor in their log after the last that came. */
  cursor = 0;
  batches = 0;
  dataBytes = 0;
  readonly #socket: WebSocket;
  readonly #channel: Channel;
  readonly #space: Uint8Array;
  readonly #from: StartsFrom;
  readonly #greeted = Promise.withResolvers<void>();
  readonly #caughtUp = Promise.withResolvers<void>();
  readonly #waiting: { readonly last: number; readonly resolve: () => void }[] = [];
  readonly #heartbeat: NodeJS.Timeout;
  #closed = false;

  private constructor(socket: WebSocket, keys: KeyPair, space: Uint8Array, from: StartsFrom) {
    this.#socket = socket;
    this.#space = space;
    this.#from = from;
    this.#channel = new Channel({
      initiator: true,
      crypto: nodeCrypto,
      random: randomBytes,
      deviceKeys: keys,
      noiseKeys: NOISE_KEYS,
    });
    this.#caughtUp.promise.catch(() => {});
    this.#greeted.promise.catch(() => {});
    this.#heartbeat = setInterval(() => this.#send({ type: 'HEARTBEAT', spaces: [], time: 0 }), HEARTBEAT_MS);
    socket.on('message', (data: Buffer) => this.#onBytes(new Uint8Array(data.buffer, data.byteOffset, data.length)));
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('the node ended the connection')));
    socket.send(this.#channel.start()!);
  }

  /** Follows a space of which the device is a member: from its beginning, or from where `from` says. */
  static async follow(
    url: string,
    keys: KeyPair,
    space: Uint8Array,
    from: StartsFrom = { kind: 'all' },
  ): Promise<LightPeer> {
    const socket = new WebSocket(syncUrl(url), SUBPROTOCOL, { perMessageDeflate: false });
    await new Promise<void>((resolve, reject) => {
      socket.once('open', () => resolve());
      socket.once('error', reject);
    });
    return new LightPeer(socket, keys, space, from);
  }

  /** The node has greeted, and the subscription is on its way. */
  greeted(): Promise<void> {
    return this.#greeted.promise;
  }

  /** Everything that the node had when it began has come. */
  caughtUp(): Promise<void> {
    return this.#caughtUp.promise;
  }

  /** Resolves when the cursor is there. */
  async reached(last: number): Promise<void> {
    if (this.cursor >= last) return;
    await new Promise<void>((resolve) => this.#waiting.push({ last, resolve }));
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#heartbeat);
    this.#socket.close();
  }

  #end(error: Error): void {
    clearInterval(this.#heartbeat);
    if (this.#closed) return;
    this.#greeted.reject(error);
    this.#caughtUp.reject(error);
  }

  #send(message: Message): void {
    if (!this.#channel.established || this.#closed) return;
    for (const frame of this.#channel.seal(encodeMessage(message))) this.#socket.send(frame);
  }

  #onBytes(bytes: Uint8Array): void {
    const was = this.#channel.established;
    const { send, message, established } = this.#channel.receive(bytes);
    for (const part of send) this.#socket.send(part);
    if (established && !was) this.#greet();
    if (message) this.#onMessage(decodeMessage(message));
  }

  #greet(): void {
    this.#send({
      type: 'HELLO',
      version: PROTOCOL_VERSION,
      name: 'light',
      agent: 'tidelog-bench/1',
      capabilities: ['zstd'],
      limits: { message: MESSAGE_BYTES_MAX, batch: BATCH_RAW_BYTES_MAX },
      spaces: [],
      time: Date.now() * 1000,
    });
  }

  #onMessage(message: Message | null): void {
    switch (message?.type) {
      case 'HELLO': {
        if (!message.spaces.some(({ space }) => equal(space, this.#space)))
          return this.#end(new Error('the node does not offer the space: the device is no member of it'));
        this.#send({
          type: 'SUBSCRIBE_ALL',
          subscription: 1,
          space: this.#space,
          from: this.#from,
          live: true,
          credit: CREDIT_BYTES_DEFAULT,
        });
        return this.#greeted.resolve();
      }
      case 'BATCH':
        this.batches++;
        this.dataBytes += message.data.length;
        return this.#take(message.last, message.data.length);
      case 'CAUGHT_UP':
        this.#take(message.last, 0);
        return this.#caughtUp.resolve();
      case 'ERROR':
        return this.#end(new Error(`the node said ${message.fault.code}: ${message.fault.text}`));
      case 'UNSUBSCRIBED':
        return this.#end(new Error(`the node ended the subscription: ${message.fault?.code}`));
    }
  }

  #take(last: number, bytes: number): void {
    this.cursor = last;
    this.#send({ type: 'ACK', subscription: 1, last, credit: bytes });
    while (this.#waiting.length > 0 && this.#waiting[0]!.last <= last) this.#waiting.shift()!.resolve();
  }
}

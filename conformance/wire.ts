/**
 * The kit's end of one connection, after the WebSocket: handshake, frames, messages. It keeps all that comes, in order, and a transcript for the
 * report. Every layer can be driven by hand, which is how hostile cases are made.
 *
 * What comes is held against the wire's own rules here: whoever sends text, too large a message, a frame that doesn't decrypt or a
 * message that can't be read fails the case that is waiting, whatever it waits for.
 */
import { concat, equal, toHex, utf8 } from '../protocol/bytes.ts';
import { LABEL, NOISE_MESSAGE_BYTES, PROLOGUE } from '../protocol/constants.ts';
import type { KeyPair } from '../protocol/crypto.ts';
import { describe } from '../protocol/describe.ts';
import { verifyStrict } from '../protocol/ed25519.ts';
import { asTidelogError, ERRORS, type ErrorCode } from '../protocol/errors.ts';
import { FrameAssembler, splitFrames } from '../protocol/frame.ts';
import { decodeMessage, encodeMessage, type Fault, type Message, type MessageName } from '../protocol/messages.ts';
import { encode } from '../protocol/msgpack.ts';
import { Handshake, type Transport as Ciphers } from '../protocol/noise.ts';
import { crypto, random, type Device } from './device.ts';
import type { Closing, Socket } from './socket.ts';
import { Ended, Violation } from './violation.ts';

/** Lines of a transcript that are kept. */
const TRANSCRIPT_LINES_MAX = 200;
/** A kit that is waiting says that it is alive, as any peer does. */
const SIGN_OF_LIFE_EVERY_MS = 10_000;

/** After these the channel can't be trusted to carry an ERROR: the WebSocket closes with the code alone. */
const SILENT_CODES: ReadonlySet<ErrorCode> = new Set(['bad-handshake', 'bad-frame', 'message-too-large']);

type MessageOf<N extends MessageName> = Extract<Message, { type: N }>;

export interface WireOptions {
  /** How long to wait for what should come at once, ms. */
  readonly patienceMs: number;
  /** Don't send HEARTBEATs by itself. */
  readonly silent?: boolean;
}

export class Wire {
  readonly socket: Socket;
  /** The kit's device on this connection. */
  readonly device: Device;
  /** The other side's device key. */
  readonly remoteDevice: Uint8Array;
  readonly handshakeHash: Uint8Array;
  /** All that came, in order. */
  readonly received: Message[] = [];
  /** What `next` has given already. */
  readonly #taken = new Set<Message>();
  readonly transcript: string[] = [];
  readonly patienceMs: number;
  readonly #ciphers: Ciphers;
  readonly #assembler = new FrameAssembler();
  readonly #startedMs = performance.now();
  readonly #watchers = new Set<() => void>();
  #violation: Violation | null = null;
  readonly #timer: NodeJS.Timeout | null;
  /** Called for each message before anyone is woken. */
  readonly onMessage = new Set<(message: Message) => void>();

  constructor(
    socket: Socket,
    device: Device,
    ciphers: Ciphers,
    remoteDevice: Uint8Array,
    { patienceMs, silent = false }: WireOptions,
  ) {
    this.socket = socket;
    this.device = device;
    this.remoteDevice = remoteDevice;
    this.handshakeHash = ciphers.handshakeHash;
    this.#ciphers = ciphers;
    this.patienceMs = patienceMs;
    this.#timer = silent
      ? null
      : setInterval(() => this.send({ type: 'HEARTBEAT', spaces: [], time: 0 }), SIGN_OF_LIFE_EVERY_MS);
    this.#timer?.unref();
    socket.onMessage((message) => this.#onMessage(message));
    void socket.closed.then(({ code, reason }) => {
      if (this.#timer) clearInterval(this.#timer);
      this.#note('←', `closed with ${code}${reason ? ` "${reason}"` : ''}`);
      this.#wake();
    });
  }

  #onMessage(bytes: Uint8Array | string): void {
    if (this.#violation) return;
    try {
      this.#read(bytes);
    } catch (thrown) {
      this.#violation = thrown instanceof Violation ? thrown : new Violation(asTidelogError(thrown).message);
      this.#note('←', `not allowed: ${this.#violation.message}`);
    }
    this.#wake();
  }

  #read(bytes: Uint8Array | string): void {
    if (typeof bytes === 'string') throw new Violation(`it sent a text message: ${JSON.stringify(bytes.slice(0, 80))}`);
    if (bytes.length > NOISE_MESSAGE_BYTES)
      throw new Violation(`it sent a WebSocket message of ${bytes.length} bytes; the most is ${NOISE_MESSAGE_BYTES}`);
    const whole = this.#assembler.push(this.#ciphers.receive.decrypt(bytes));
    if (whole === undefined) return;
    this.#note('←', describe(whole));
    const message = decodeMessage(whole);
    // One of an even type that isn't known may be ignored, by the kit too.
    if (message === null) return;
    if (this.received.at(-1)?.type === 'ERROR')
      throw new Violation(`it sent ${message.type} after an ERROR, which is the last message`);
    this.received.push(message);
    for (const call of this.onMessage) call(message);
  }

  #note(way: '→' | '←', text: string): void {
    const seconds = ((performance.now() - this.#startedMs) / 1000).toFixed(3);
    this.transcript.push(`${way} ${seconds} s  ${text}`);
    if (this.transcript.length > TRANSCRIPT_LINES_MAX) this.transcript.shift();
  }

  #wake(): void {
    for (const watcher of this.#watchers) watcher();
  }

  /** Something that the case waits for may have come true without a message. */
  nudge(): void {
    this.#wake();
  }

  // ---- sending

  /** One Noise message with this plaintext. */
  sendFrame(frame: Uint8Array): void {
    this.socket.send(this.#ciphers.send.encrypt(frame));
  }
  /** The bytes of a message, right or wrong. */
  sendRaw(message: Uint8Array): void {
    this.#note('→', describe(message));
    for (const frame of splitFrames(message)) this.sendFrame(frame);
  }
  /** An array of fields, right or wrong. */
  sendFields(...fields: readonly unknown[]): void {
    this.sendRaw(encode(fields));
  }
  send(...messages: readonly Message[]): void {
    for (const message of messages) this.sendRaw(encodeMessage(message));
  }
  /** A Noise message's plaintext, encrypted and not sent: it takes its number in the order of the channel. */
  sealed(frame: Uint8Array): Uint8Array {
    return this.#ciphers.send.encrypt(frame);
  }

  // ---- waiting

  /**
   * Resolves with the first value of `look` that isn't undefined; it is asked again with each message. Throws what the other side did wrong, the
   * connection's end, or that nothing came in time.
   */
  async until<T>(look: () => T | undefined, what: string, withinMs = this.patienceMs): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const done = (settle: () => void): void => {
        this.#watchers.delete(watcher);
        clearTimeout(timer);
        settle();
      };
      const watcher = (): void => {
        try {
          const found = look();
          if (found !== undefined) return done(() => resolve(found));
        } catch (error) {
          return done(() => reject(error instanceof Error ? error : new Error(String(error))));
        }
        if (this.#violation) {
          const violation = this.#violation;
          return done(() => reject(violation));
        }
        if (this.socket.closing) {
          const { code } = this.socket.closing;
          const saw = `it ended the connection (${this.#how()}) where ${what} was awaited`;
          return done(() => reject(new Ended(code, saw)));
        }
      };
      const timer = setTimeout(
        () => done(() => reject(new Violation(`${what} did not come within ${withinMs / 1000} s`))),
        withinMs,
      );
      this.#watchers.add(watcher);
      watcher();
    });
  }

  /** The first message of a type that hasn't been given yet; others stay for later. */
  async next<N extends MessageName>(
    type: N,
    where: (message: MessageOf<N>) => boolean = () => true,
    withinMs?: number,
  ): Promise<MessageOf<N>> {
    const found = await this.until(() => this.#find(type, where), type, withinMs);
    this.#taken.add(found);
    return found;
  }

  #find<N extends MessageName>(type: N, where: (message: MessageOf<N>) => boolean): MessageOf<N> | undefined {
    return this.received.find(
      (message): message is MessageOf<N> =>
        message.type === type && !this.#taken.has(message) && where(message as MessageOf<N>),
    );
  }

  /** Resolves after `ms` in which nothing of these types came; throws a Violation where one did. */
  async without(types: readonly MessageName[], ms: number, what: string): Promise<void> {
    const from = this.received.length;
    await new Promise((resolve) => setTimeout(resolve, ms));
    if (this.#violation) throw this.#violation;
    const came = this.received.slice(from).find(({ type }) => types.includes(type));
    if (came) throw new Violation(`${what}, but it sent: ${describe(came)}`);
  }

  /** How the connection ended, in a few words. */
  #how(): string {
    const { code, reason } = this.socket.closing ?? { code: 0, reason: '' };
    const last = this.received.at(-1);
    return last?.type === 'ERROR'
      ? `ERROR ${last.fault.code}: ${last.fault.text}`
      : `close code ${code}${reason ? ` "${reason}"` : ''}`;
  }

  /**
   * The connection ends with an ERROR of one of these codes, and its close code; where the channel was broken, with the close code alone.
   * Throws a Violation where it goes on, or ends otherwise. Resolves with the fault; null where there was none to read.
   */
  async refused(code: ErrorCode | readonly ErrorCode[], withinMs = this.patienceMs): Promise<Fault | null> {
    const codes: readonly ErrorCode[] = typeof code === 'string' ? [code] : code;
    const named = codes.join(' or ');
    const closing = await withTimeout(this.socket.closed, withinMs, () => {
      const last = this.received.at(-1);
      const said = last?.type === 'ERROR' ? ` It said ERROR ${last.fault.code}, and has not closed the WebSocket.` : '';
      return new Violation(`it did not end the connection with ${named} within ${withinMs / 1000} s.${said}`);
    });
    if (this.#violation) throw this.#violation;
    const last = this.received.at(-1);
    if (last?.type !== 'ERROR') {
      const fits = codes.some((each) => SILENT_CODES.has(each) && ERRORS[each].close === closing.code);
      if (!fits) throw new Violation(`it ended with ${this.#how()} instead of ERROR ${named}`);
      return null;
    }
    const { fault } = last;
    const found = codes.find((each) => each === fault.code);
    if (found === undefined) throw new Violation(`it ended with ${this.#how()} instead of ERROR ${named}`);
    const { close = 1000, retry } = ERRORS[found];
    if (closing.code !== close)
      throw new Violation(`ERROR ${found} was followed by close code ${closing.code} instead of ${close}`);
    if (closing.reason !== found)
      throw new Violation(`the close reason after ERROR ${found} was ${JSON.stringify(closing.reason)}`);
    if (fault.retry !== retry) throw new Violation(`ERROR ${found} said retry ${fault.retry}; the table says ${retry}`);
    return fault;
  }

  /** The other side ends the connection, however; a Violation where it doesn't. */
  async ended(withinMs = this.patienceMs): Promise<Closing> {
    return withTimeout(
      this.socket.closed,
      withinMs,
      () => new Violation(`it did not end the connection within ${withinMs / 1000} s`),
    );
  }

  /** Ends it as a peer that has nothing more to say. */
  async close(): Promise<void> {
    this.socket.close();
    await withTimeout(this.socket.closed, this.patienceMs, () => new Violation('it did not answer a WebSocket close'));
  }
}

export async function withTimeout<T>(promise: Promise<T>, ms: number, error: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(error()), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// ---- the handshake

/** The binding that a device sends: key 32 | signature 64 of the Noise key. */
export function bindingOf(device: Device, noiseKeys: KeyPair): Uint8Array {
  return concat(device.keys.public, crypto.ed25519Sign(device.keys, concat(utf8(LABEL.NOISE), noiseKeys.public)));
}

export function newNoiseKeys(): KeyPair {
  return crypto.x25519KeyPair(random(32));
}

export function newHandshake(initiator: boolean, noiseKeys: KeyPair, prologue = PROLOGUE): Handshake {
  return new Handshake({
    crypto,
    initiator,
    prologue: utf8(prologue),
    staticKeys: noiseKeys,
    ephemeralKeys: newNoiseKeys(),
  });
}

/** The messages of a socket one by one, for as long as no Wire reads it. */
export class Messages {
  readonly #socket: Socket;
  readonly #patienceMs: number;
  readonly #queue: (Uint8Array | string)[] = [];
  #wake: () => void = () => {};

  constructor(socket: Socket, patienceMs: number) {
    this.#socket = socket;
    this.#patienceMs = patienceMs;
    socket.onMessage((message) => {
      this.#queue.push(message);
      this.#wake();
    });
    void socket.closed.then(() => this.#wake());
  }

  async next(what: string): Promise<Uint8Array> {
    const look = async (): Promise<Uint8Array> => {
      for (;;) {
        const message = this.#queue.shift();
        if (typeof message === 'string') throw new Violation(`it sent a text message in place of ${what}`);
        if (message) return message;
        if (this.#socket.closing)
          throw new Violation(`it closed with ${this.#socket.closing.code} in place of ${what}`);
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    };
    return withTimeout(
      look(),
      this.#patienceMs,
      () => new Violation(`${what} did not come within ${this.#patienceMs / 1000} s`),
    );
  }

  /** What came behind the handshake is for whoever reads the socket next. */
  release(): void {
    this.#socket.giveBack(this.#queue.splice(0));
  }
}

/** Checks what the other side says of itself; its device key. */
function checkBinding(payload: Uint8Array, noiseKey: Uint8Array): Uint8Array {
  if (payload.length !== 96) throw new Violation(`its binding has ${payload.length} bytes instead of 96`);
  const device = payload.slice(0, 32);
  if (!verifyStrict(crypto, device, concat(utf8(LABEL.NOISE), noiseKey), payload.subarray(32)))
    throw new Violation("the device's signature of its Noise key does not verify");
  return device;
}

function checkLength(message: Uint8Array, bytes: number, number: number): void {
  if (message.length !== bytes)
    throw new Violation(`handshake message ${number} has ${message.length} bytes instead of ${bytes}`);
}

/** The kit opened the socket. */
export async function initiate(
  socket: Socket,
  device: Device,
  options: WireOptions & { expected?: Uint8Array | undefined },
): Promise<Wire> {
  const messages = new Messages(socket, options.patienceMs);
  const noiseKeys = newNoiseKeys();
  const handshake = newHandshake(true, noiseKeys);
  socket.send(handshake.write(new Uint8Array(0)));
  const second = await messages.next('handshake message 2');
  checkLength(second, 192, 2);
  const remote = checkBinding(readOf(handshake, second, 2), handshake.remoteStatic!);
  if (options.expected && !equal(remote, options.expected))
    throw new Violation(`device ${toHex(remote)} answers, and not ${toHex(options.expected)}, which the link names`);
  socket.send(handshake.write(bindingOf(device, noiseKeys)));
  messages.release();
  return new Wire(socket, device, handshake.split(), remote, options);
}

/** The other side opened the socket. */
export async function respond(socket: Socket, device: Device, options: WireOptions): Promise<Wire> {
  const messages = new Messages(socket, options.patienceMs);
  const noiseKeys = newNoiseKeys();
  const handshake = newHandshake(false, noiseKeys);
  const first = await messages.next('handshake message 1');
  checkLength(first, 32, 1);
  readOf(handshake, first, 1);
  socket.send(handshake.write(bindingOf(device, noiseKeys)));
  const third = await messages.next('handshake message 3');
  checkLength(third, 160, 3);
  const remote = checkBinding(readOf(handshake, third, 3), handshake.remoteStatic!);
  messages.release();
  return new Wire(socket, device, handshake.split(), remote, options);
}

function readOf(handshake: Handshake, message: Uint8Array, number: number): Uint8Array {
  try {
    return handshake.read(message);
  } catch (thrown) {
    throw new Violation(`handshake message ${number} cannot be read: ${asTidelogError(thrown).message}`);
  }
}

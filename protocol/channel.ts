/**
 * A channel: bytes of WebSocket messages on one side, authenticated messages of a known device on the other. Pure: the
 * caller moves the bytes, and gives up on a handshake that takes too long.
 *
 *              initiator                            responder
 *              start() ──────── e ───────────────►  receive
 *              receive ◄─── e, ee, s, es, payload   send            each payload is device key 32 | signature 64,
 *   established  send  ──── s, se, payload ──────►  receive  established       the signature over LABEL.NOISE | static key 32
 *              seal    ◄───── frames ────────────►  receive
 *
 *   handshake ──its last message──► established ──close──► closed, where anything wrong leads at once
 *
 * Noise proves that the other side holds its static key; the payload proves that the device lent its name to that key.
 * Both sides name themselves only inside the encryption, and the responder first.
 */
import { concat, equal, utf8 } from './bytes.ts';
import { DEVICE_KEY_BYTES, LABEL, PROLOGUE, SIGNATURE_BYTES } from './constants.ts';
import type { Crypto, KeyPair, RandomBytes } from './crypto.ts';
import { verifyStrict } from './ed25519.ts';
import { asTidelogError, TidelogError } from './errors.ts';
import { FrameAssembler, splitFrames } from './frame.ts';
import { Handshake, type Transport } from './noise.ts';

const X25519_SECRET_BYTES = 32;
const BINDING_BYTES = DEVICE_KEY_BYTES + SIGNATURE_BYTES;
const NO_BYTES = new Uint8Array(0);

export interface ChannelOptions {
  readonly initiator: boolean;
  readonly crypto: Crypto;
  readonly random: RandomBytes;
  /** Ed25519: who this side is. */
  readonly deviceKeys: KeyPair;
  /**
   * X25519: the Noise static key. May be made anew at each start of the program. Where it is stored it needs the care of
   * the device key: the device's signature of it has no end, so who has it can answer in the device's name.
   */
  readonly noiseKeys: KeyPair;
  /** The only devices to talk to, 32 bytes each; another gets `wrong-device`, and an initiator then does not tell it who asked. */
  readonly expectedDevices?: readonly Uint8Array[] | undefined;
}

export interface Received {
  /** To be sent now, each as one WebSocket message. */
  readonly send: Uint8Array[];
  /** A whole message. Missing during the handshake and while more of its frames are to come. */
  readonly message?: Uint8Array;
  /** True once: with the bytes that ended the handshake. What is in `send` goes out all the same. */
  readonly established?: true;
}

/** The handshake, then the transport, and in the end neither. */
type State =
  | { readonly name: 'handshake'; readonly handshake: Handshake }
  | { readonly name: 'established'; readonly transport: Transport; readonly assembler: FrameAssembler }
  | { readonly name: 'closed' };

export class Channel {
  readonly #options: ChannelOptions;
  #state: State;
  #remoteDevice: Uint8Array | null = null;
  #handshakeHash: Uint8Array | null = null;

  constructor(options: ChannelOptions) {
    const { crypto, initiator, random, noiseKeys } = options;
    this.#options = options;
    const handshake = new Handshake({
      crypto,
      initiator,
      prologue: utf8(PROLOGUE),
      staticKeys: noiseKeys,
      ephemeralKeys: crypto.x25519KeyPair(random(X25519_SECRET_BYTES)),
    });
    this.#state = { name: 'handshake', handshake };
  }

  get established(): boolean {
    return this.#state.name === 'established';
  }

  /** The other side's Ed25519 key, 32 bytes. Stays readable when the channel has closed; before `established` it is a fault to ask. */
  get remoteDevice(): Uint8Array {
    return known(this.#remoteDevice);
  }

  /** 32 bytes, the same on both sides and on no other channel. As `remoteDevice`. */
  get handshakeHash(): Uint8Array {
    return known(this.#handshakeHash);
  }

  /** The bytes to send first, asked for once; null for a responder, which waits. */
  start(): Uint8Array | null {
    const state = this.#state;
    if (state.name === 'closed') throw new TidelogError('closed');
    if (state.name === 'established') throw new TidelogError('internal', 'a channel was started twice');
    return this.#options.initiator ? state.handshake.write(NO_BYTES) : null;
  }

  /** One WebSocket message of the other side. Throws only TidelogErrors, and is closed after one. Keeps nothing of `bytes`. */
  receive(bytes: Uint8Array): Received {
    try {
      const state = this.#state;
      switch (state.name) {
        case 'closed':
          throw new TidelogError('closed');
        case 'handshake':
          return this.#receiveHandshake(state.handshake, bytes);
        case 'established': {
          const message = state.assembler.push(state.transport.receive.decrypt(bytes));
          return message === undefined ? { send: [] } : { send: [], message };
        }
      }
    } catch (error) {
      this.close();
      throw asTidelogError(error);
    }
  }

  /**
   * The bytes that carry a message, each to be sent as one WebSocket message, in order and none left out. Throws
   * `message-too-large` before it encrypts anything, and the channel goes on.
   */
  seal(message: Uint8Array): Uint8Array[] {
    const state = this.#state;
    if (state.name === 'closed') throw new TidelogError('closed');
    if (state.name !== 'established')
      throw new TidelogError('internal', 'a message was sent before the handshake ended');
    const sealed: Uint8Array[] = [];
    for (const frame of splitFrames(message)) sealed.push(state.transport.send.encrypt(frame));
    return sealed;
  }

  /** Lets go of keys and of what was received in part. */
  close(): void {
    this.#state = { name: 'closed' };
  }

  #receiveHandshake(handshake: Handshake, bytes: Uint8Array): Received {
    const payload = handshake.read(bytes);
    if (this.#options.initiator) {
      const device = this.#checkBinding(handshake, payload);
      const reply = handshake.write(this.#binding());
      this.#establish(handshake, device);
      return { send: [reply], established: true };
    }
    // The responder learns of the static key with the last message.
    if (handshake.remoteStatic === null) {
      if (payload.length > 0) throw new TidelogError('bad-handshake', 'the first message carries a payload');
      return { send: [handshake.write(this.#binding())] };
    }
    this.#establish(handshake, this.#checkBinding(handshake, payload));
    return { send: [], established: true };
  }

  #establish(handshake: Handshake, device: Uint8Array): void {
    const transport = handshake.split();
    this.#remoteDevice = device;
    this.#handshakeHash = transport.handshakeHash;
    this.#state = { name: 'established', transport, assembler: new FrameAssembler() };
  }

  /** This side's payload: device key 32 | signature 64. */
  #binding(): Uint8Array {
    const { crypto, deviceKeys, noiseKeys } = this.#options;
    return concat(deviceKeys.public, crypto.ed25519Sign(deviceKeys, signedOfBinding(noiseKeys.public)));
  }

  /** The device that the other side's payload proves it to be. */
  #checkBinding(handshake: Handshake, payload: Uint8Array): Uint8Array {
    const { crypto, expectedDevices } = this.#options;
    if (payload.length !== BINDING_BYTES) {
      throw new TidelogError('bad-handshake', `a payload has ${payload.length} bytes instead of ${BINDING_BYTES}`);
    }
    const device = payload.subarray(0, DEVICE_KEY_BYTES);
    const signature = payload.subarray(DEVICE_KEY_BYTES);
    if (!verifyStrict(crypto, device, signedOfBinding(handshake.remoteStatic!), signature)) {
      throw new TidelogError('bad-handshake', "the device's signature of its Noise key does not verify");
    }
    if (expectedDevices && !expectedDevices.some((each) => equal(device, each))) throw new TidelogError('wrong-device');
    return device;
  }
}

/** What a device signs to lend its name to a Noise static key. */
function signedOfBinding(staticKey: Uint8Array): Uint8Array {
  return concat(utf8(LABEL.NOISE), staticKey);
}

function known(value: Uint8Array | null): Uint8Array {
  if (value === null)
    throw new TidelogError('internal', 'a channel was asked for its other side before it was established');
  return value;
}

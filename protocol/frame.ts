/**
 * Frames: how a message of up to 4 MiB travels in Noise messages of at most 65,535 bytes.
 *
 *   frame = flag 1 | payload        the plaintext of one Noise message
 *   flag  = 0: the message ends here, 1: more follows
 *
 * Any division is legal except an empty frame with more to follow, which would keep a receiver busy for nothing.
 */
import { FRAME_PAYLOAD_BYTES, MESSAGE_BYTES_MAX } from './constants.ts';
import { TidelogError } from './errors.ts';

const LAST = 0;
const MORE = 1;

/** The frames of one message, made one at a time. A message is at most MESSAGE_BYTES_MAX; an empty one is one frame. */
export function* splitFrames(message: Uint8Array): Generator<Uint8Array, void> {
  checkTotal(message.length, MESSAGE_BYTES_MAX);
  let start = 0;
  do {
    const payload = message.subarray(start, start + FRAME_PAYLOAD_BYTES);
    start += payload.length;
    const frame = new Uint8Array(1 + payload.length);
    frame[0] = start < message.length ? MORE : LAST;
    frame.set(payload, 1);
    yield frame;
  } while (start < message.length);
}

/**
 * The reverse: frames in, messages out. Holds the payloads that came and nothing for each frame, so that many small
 * frames cost a receiver no more memory than a few large ones.
 */
export class FrameAssembler {
  readonly #messageBytesMax: number;
  /** Payloads so far, from the beginning; grows by doubling. null between messages. */
  #held: Uint8Array | null = null;
  #heldBytes = 0;

  constructor(messageBytesMax: number = MESSAGE_BYTES_MAX) {
    this.#messageBytesMax = messageBytesMax;
  }

  /** The message that this frame ends, or undefined if more follows. It may share the frame's memory. */
  push(frame: Uint8Array): Uint8Array | undefined {
    const flag = frame[0];
    const payload = frame.subarray(1);
    if (flag !== LAST && flag !== MORE) {
      throw new TidelogError('bad-frame', flag === undefined ? 'it is empty' : `it begins with ${flag}`);
    }
    if (flag === MORE && payload.length === 0)
      throw new TidelogError('bad-frame', 'it is empty, and more is to follow');
    checkTotal(this.#heldBytes + payload.length, this.#messageBytesMax);

    if (flag === LAST && this.#held === null) return payload;
    this.#hold(payload);
    if (flag === MORE) return undefined;

    const message = this.#held!.subarray(0, this.#heldBytes);
    this.#held = null;
    this.#heldBytes = 0;
    return message;
  }

  #hold(payload: Uint8Array): void {
    const needed = this.#heldBytes + payload.length;
    if (this.#held === null || this.#held.length < needed) {
      const grown = new Uint8Array(Math.min(this.#messageBytesMax, Math.max(needed, 2 * this.#heldBytes)));
      if (this.#held !== null) grown.set(this.#held.subarray(0, this.#heldBytes));
      this.#held = grown;
    }
    this.#held.set(payload, this.#heldBytes);
    this.#heldBytes = needed;
  }
}

function checkTotal(bytes: number, bytesMax: number): void {
  if (bytes > bytesMax) throw new TidelogError('message-too-large', `${bytes} bytes; the most is ${bytesMax}`);
}

/**
 * Any frame or message in one readable line, for logs, `tidelog doctor` and people who implement the protocol. Takes whatever comes,
 * never throws, and never shows a proof of a pairing secret or the contents of a batch.
 *
 *   BATCH sub 3, 120→376, zstd, 27,140 of 58,233 bytes
 *   SUBSCRIBE_ALL sub 3, space 9f2c41d0…, from cursor 120 of epoch 0011aabb…, live, credit 4,194,304 bytes
 *   ERROR not-paired "These two devices do not know each other. …"
 */
import { toHex } from './bytes.ts';
import { CODEC, MESSAGE_TYPE } from './constants.ts';
import { ERRORS, TidelogError } from './errors.ts';
import {
  decodeMessage,
  type Fault,
  type Filter,
  type Message,
  type MessageName,
  type SpaceState,
  type StartsFrom,
  type SubscribeAll,
} from './messages.ts';

const TEXT_CHARACTERS_MAX = 120;
/** Spaces, capabilities and details past this many are counted and not listed. */
const LISTED_MAX = 4;

/** @param input the plaintext of a frame (a flag, then a payload), the bytes of a message, or a decoded message */
export function describe(input: Uint8Array | Message): string {
  try {
    return input instanceof Uint8Array ? describeBytes(input) : describeMessage(input);
  } catch {
    return 'not a message';
  }
}

/** A frame begins with 0 or 1, a message with an array's header, which is neither. */
function describeBytes(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'nothing, 0 bytes';
  if (bytes[0] === 1) return `part of a message, ${count(bytes.length - 1)} bytes, more follows`;
  if (bytes[0] !== 0) return describeMessageBytes(bytes);
  const payload = bytes.subarray(1);
  // Where a message took several frames, its last one begins anywhere.
  return typeNumber(payload) === null
    ? `end of a message, ${count(payload.length)} bytes`
    : describeMessageBytes(payload);
}

function describeMessageBytes(bytes: Uint8Array): string {
  const number = typeNumber(bytes);
  const size = `${count(bytes.length)} bytes`;
  const known = Object.entries(MESSAGE_TYPE).find(([, each]) => each === number)?.[0];
  const name = known ?? (number === null ? 'not a message' : `type ${number}, unknown`);
  try {
    const message = decodeMessage(bytes);
    return message === null ? `${name}, ignored, ${size}` : describeMessage(message);
  } catch (thrown) {
    if (!(thrown instanceof TidelogError)) return `${name}, ${size}`;
    if (thrown.code === 'unknown-message') return `${name}, refused, ${size}`;
    return `${name}, ${size}: ${thrown.code}, ${escape(particularOf(thrown))}`;
  }
}

/** The type that bytes claim, though the rest be nonsense; null where they don't begin as an array with a number. */
function typeNumber(bytes: Uint8Array): number | null {
  const [header] = bytes;
  if (header === undefined) return null;
  const at = (header & 0xf0) === 0x90 && header !== 0x90 ? 1 : header === 0xdc ? 3 : header === 0xdd ? 5 : null;
  const number = at === null ? undefined : bytes[at];
  if (number === 0xcc) return bytes[at! + 1] ?? null;
  return number === undefined || number > 0x7f ? null : number;
}

/** What was wrong here, without the table's sentence. */
function particularOf({ code, message }: TidelogError): string {
  const { sentence } = ERRORS[code];
  return message.startsWith(`${sentence} (`) ? message.slice(sentence.length + 2, -1) : message;
}

const DESCRIBE: { readonly [N in MessageName]: (message: Extract<Message, { type: N }>) => (string | null)[] } = {
  HELLO: (m) => [
    `version ${count(m.version)}`,
    quote(m.name),
    word(m.agent),
    `can ${list(m.capabilities, word)}`,
    `messages to ${count(m.limits.message)} bytes`,
    `batches to ${count(m.limits.batch)} bytes`,
    ...spaces(m.spaces),
    time(m.time),
  ],
  HEARTBEAT: (m) => [...spaces(m.spaces), time(m.time)],
  SUBSCRIBE_ALL: subscription,
  SUBSCRIBE: (m) => [...subscription(m), filter(m.filter)],
  BATCH: (m) => [
    sub(m),
    `${count(m.prev)}→${count(m.last)}`,
    ...(m.codec === CODEC.ZSTD
      ? ['zstd', `${count(m.data.length)} of ${count(m.rawBytes)} bytes`]
      : ['plain', `${count(m.data.length)} bytes`]),
  ],
  CAUGHT_UP: (m) => [sub(m), `at ${count(m.last)}`, `digest ${id(m.digest)}`],
  ACK: (m) => [sub(m), `to ${count(m.last)}`, `credit +${count(m.credit)} bytes`],
  UNSUBSCRIBE: (m) => [sub(m)],
  UNSUBSCRIBED: (m) => [sub(m), m.fault === null ? 'as asked' : fault(m.fault)],
  PAIR: (m) => [m.invite === null ? 'without an invite' : `invite ${id(m.invite.id)}`, quote(m.name)],
  PAIRED: (m) => [`space ${id(m.space)}`, quote(m.spaceName), `as ${word(m.role)}`],
  REFUSED: (m) => [fault(m.fault)],
  ERROR: (m) => [fault(m.fault)],
  FORK: (m) => [`space ${id(m.space)}`, `proof of ${count(m.proof.length)} bytes`],
};

function describeMessage(message: Message): string {
  const parts = DESCRIBE[message.type](message as never).filter((part) => part !== null);
  return `${message.type} ${parts.join(', ')}`;
}

function sub({ subscription }: { readonly subscription: number }): string {
  return `sub ${count(subscription)}`;
}

function subscription(m: Omit<SubscribeAll, 'type'>): string[] {
  return [sub(m), `space ${id(m.space)}`, from(m.from), m.live ? 'live' : 'once', `credit ${count(m.credit)} bytes`];
}

function from(starts: StartsFrom): string {
  switch (starts.kind) {
    case 'all':
      return 'from the beginning';
    case 'cursor':
      return `from cursor ${count(starts.seq)} of epoch ${id(starts.epoch)}`;
    case 'vector':
      return `from a vector of ${count(starts.heads.length)} chains`;
  }
}

function filter(wanted: Filter): string {
  return wanted.kind === 'subject' ? `subject ${quote(wanted.subject)}` : `prefix ${quote(wanted.prefix)}`;
}

function spaces(states: readonly SpaceState[]): string[] {
  if (states.length === 0) return ['no spaces'];
  return [
    list(
      states,
      ({ space, epoch, head, digest }) =>
        `space ${id(space)} at ${count(head)} of epoch ${id(epoch)} digest ${id(digest)}`,
    ),
  ];
}

/** Microseconds since 1970; 0 where a stranger is not told. */
function time(us: number): string | null {
  if (us === 0) return null;
  const ms = us / 1000;
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : `time ${count(us)} µs`;
}

function fault({ code, retry, afterMs, text, detail }: Fault): string {
  const parts = [`${word(code)} ${quote(text)}`];
  if (retry) parts.push(afterMs > 0 ? `again in ${count(afterMs)} ms` : 'again');
  const details = Object.entries(detail).flatMap(([key, value]) => {
    if (typeof value === 'number') return [`${word(key)} ${value}`];
    return value instanceof Uint8Array ? [`${word(key)} ${id(value)}`] : [];
  });
  if (details.length > 0) parts.push(list(details, (detail) => detail));
  return parts.join(', ');
}

function list<T>(items: readonly T[], show: (item: T) => string): string {
  if (items.length === 0) return 'nothing';
  const shown = items.slice(0, LISTED_MAX).map(show).join(' + ');
  return items.length > LISTED_MAX ? `${shown} + ${count(items.length - LISTED_MAX)} more` : shown;
}

/** The first bytes are enough to tell ids apart in a log. */
function id(bytes: Uint8Array): string {
  return bytes.length <= 4 ? toHex(bytes) : `${toHex(bytes.subarray(0, 4))}…`;
}

function count(number: number): string {
  return String(number).replaceAll(/\B(?=(?:\d{3})+$)/g, ',');
}

/** Text that should be a word, and is quoted where it isn't. */
function word(text: string): string {
  return /^[\w./-]+$/.test(text) ? escape(text) : quote(text);
}

function quote(text: string): string {
  return `"${escape(text)}"`;
}

/** On one line, without the characters that move a terminal's cursor, hide text, or turn its direction round. */
function escape(text: string): string {
  const short = text.length > TEXT_CHARACTERS_MAX ? `${text.slice(0, TEXT_CHARACTERS_MAX)}…` : text;
  return short.replaceAll(/["\\\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) =>
    character === '"' || character === '\\' ? `\\${character}` : `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

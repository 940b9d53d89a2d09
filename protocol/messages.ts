/**
 * The messages of a session: `msgpack [type, …fields]`. For each one, encode stands directly above decode, fields in the same order.
 *
 * Trailing fields that a receiver doesn't know are ignored. A type that it doesn't know is ignored if its number is even, and an
 * error if odd. Whatever else is wrong is `bad-message`.
 */
import {
  BATCH_DATA_BYTES_MAX,
  BATCH_RAW_BYTES_MAX,
  CAPABILITIES_MAX,
  CHAIN_ID_BYTES,
  CODEC,
  COMMIT_ID_BYTES,
  CREDIT_BYTES_MAX,
  EPOCH_BYTES,
  FORK_BYTES_MAX,
  HASH_BYTES,
  HELLO_SPACES_MAX,
  INVITE_ID_BYTES,
  MESSAGE_BYTES_MAX,
  MESSAGE_TYPE,
  PROTOCOL_VERSION,
  SPACE_ID_BYTES,
  VECTOR_CHAINS_MAX,
  type CodecNumber,
} from './constants.ts';
import { toHex } from './bytes.ts';
import { ERRORS, isErrorCode, TidelogError } from './errors.ts';
import { isRole, type Role } from './membership.ts';
import { decodeStrict, encode } from './msgpack.ts';
import { isCount, isMap } from './shape.ts';
import { isName, isSubject } from './value.ts';
import type { ChainHead } from './vector.ts';

/** A space as one peer holds it: the state of *its* log. */
export interface SpaceState {
  readonly space: Uint8Array;
  /** 8 random bytes, new whenever the log could have gone back. */
  readonly epoch: Uint8Array;
  /** Entries in the log. */
  readonly head: number;
  /** SHA-256 over all chains; see vector.ts. */
  readonly digest: Uint8Array;
}

/** Where a subscription begins. Cursors and vectors are exclusive: they name the last that the subscriber has. */
export type StartsFrom =
  | { readonly kind: 'all' }
  | { readonly kind: 'cursor'; readonly epoch: Uint8Array; readonly seq: number }
  | { readonly kind: 'vector'; readonly heads: readonly ChainHead[] };

/** Which subjects a partial subscriber wants. */
export type Filter =
  { readonly kind: 'subject'; readonly subject: string } | { readonly kind: 'prefix'; readonly prefix: string };

export interface Hello {
  readonly type: 'HELLO';
  readonly version: number;
  /** For people. */
  readonly name: string;
  /** Program and version: `tidelog/0.1.0`. */
  readonly agent: string;
  readonly capabilities: readonly string[];
  readonly limits: { readonly message: number; readonly batch: number };
  /** The spaces that the sender shares with the receiver. */
  readonly spaces: readonly SpaceState[];
  /** The sender's clock, µs. */
  readonly time: number;
}
export interface Heartbeat {
  readonly type: 'HEARTBEAT';
  readonly spaces: readonly SpaceState[];
  /** The sender's clock, µs. */
  readonly time: number;
}
export interface SubscribeAll {
  readonly type: 'SUBSCRIBE_ALL';
  /** Chosen by the subscriber, unused by it so far on this connection. */
  readonly subscription: number;
  readonly space: Uint8Array;
  readonly from: StartsFrom;
  readonly live: boolean;
  /** Bytes of BATCH data that may be out unacknowledged. */
  readonly credit: number;
}
export interface Subscribe extends Omit<SubscribeAll, 'type'> {
  readonly type: 'SUBSCRIBE';
  readonly filter: Filter;
}
export interface BatchMessage {
  readonly type: 'BATCH';
  readonly subscription: number;
  /** Cursor in the sender's log before this batch. */
  readonly prev: number;
  /** Cursor after it. */
  readonly last: number;
  readonly codec: CodecNumber;
  /** Bytes of the data unpacked. */
  readonly rawBytes: number;
  readonly data: Uint8Array;
}
export interface CaughtUp {
  readonly type: 'CAUGHT_UP';
  readonly subscription: number;
  /** Cursor: the sender has nothing after it. */
  readonly last: number;
  readonly digest: Uint8Array;
}
export interface Ack {
  readonly type: 'ACK';
  readonly subscription: number;
  /** Cursor: everything to here is on the acknowledger's disk. */
  readonly last: number;
  /** Bytes of credit given back. */
  readonly credit: number;
}
export interface Unsubscribe {
  readonly type: 'UNSUBSCRIBE';
  readonly subscription: number;
}
/** `null` in place of a fault: it ended because it was asked to, or because all was sent and it wasn't live. */
export interface Unsubscribed {
  readonly type: 'UNSUBSCRIBED';
  readonly subscription: number;
  readonly fault: Fault | null;
}
/** Sent by the joiner. Without an invite: please put me in the list of pending devices. */
export interface Pair {
  readonly type: 'PAIR';
  readonly invite: { readonly id: Uint8Array; readonly proof: Uint8Array } | null;
  readonly name: string;
}
export interface Paired {
  readonly type: 'PAIRED';
  readonly space: Uint8Array;
  readonly spaceName: string;
  readonly role: Role;
}
export interface Refused {
  readonly type: 'REFUSED';
  readonly fault: Fault;
}
/** The last message before the sender closes the connection. */
export interface ErrorMessage {
  readonly type: 'ERROR';
  readonly fault: Fault;
}

/** A fault as it travels. `code` may be one that this side doesn't know; `text` is for people only. */
export interface Fault {
  readonly code: string;
  readonly retry: boolean;
  /** Milliseconds to wait before trying again; 0 where it doesn't matter. */
  readonly afterMs: number;
  readonly text: string;
  /** For programs: `{epoch, floor, head}` with the cursor errors. */
  readonly detail: Readonly<Record<string, unknown>>;
}

/** A chain of this space has forked. */
export interface ForkMessage {
  readonly type: 'FORK';
  readonly space: Uint8Array;
  /** See fork.ts. */
  readonly proof: Uint8Array;
}

export type Message =
  | Hello
  | Heartbeat
  | SubscribeAll
  | Subscribe
  | BatchMessage
  | CaughtUp
  | Ack
  | Unsubscribe
  | Unsubscribed
  | Pair
  | Paired
  | Refused
  | ErrorMessage
  | ForkMessage;

export type MessageName = Message['type'];

export function encodeMessage(message: Message): Uint8Array {
  return encode([MESSAGE_TYPE[message.type], ...FAMILIES[message.type].write(message as never)]);
}

/** null for a message of an unknown even type. Throws `bad-message`, `message-too-large`, `unknown-message`, `unsupported-version`. */
export function decodeMessage(bytes: Uint8Array): Message | null {
  if (bytes.length > MESSAGE_BYTES_MAX) throw new TidelogError('message-too-large', `${bytes.length} bytes`);
  const fields = decodeStrict(bytes, 8, 'bad-message');
  if (!Array.isArray(fields)) refuse('it is not an array');
  const number: unknown = fields[0];
  if (!isCount(number)) refuse('its type is not a number');
  const name = NAMES.get(number);
  if (name === undefined) {
    if (number % 2 === 0) return null;
    throw new TidelogError('unknown-message', `type ${number}`);
  }
  return FAMILIES[name].read(new Fields(name, fields as unknown[]));
}

const NAMES: ReadonlyMap<number, MessageName> = new Map(
  Object.entries(MESSAGE_TYPE).map(([name, number]) => [number, name as MessageName]),
);

interface Family<M extends Message> {
  write(message: M): unknown[];
  read(fields: Fields): M;
}

const FAMILIES: { readonly [N in MessageName]: Family<Extract<Message, { type: N }>> } = {
  HELLO: {
    write: (m) => [m.version, m.name, m.agent, m.capabilities, m.limits, m.spaces.map(writeSpace), m.time],
    read: (f) => ({
      type: 'HELLO',
      version: readVersion(f.count('version')),
      name: f.name('name'),
      agent: f.name('agent'),
      capabilities: f
        .list('capabilities', CAPABILITIES_MAX)
        .map((item) => (isName(item) ? item : refuse('a capability is not a short text'))),
      limits: readLimits(f.next('limits')),
      spaces: readSpaces(f),
      time: f.count('time'),
    }),
  },
  HEARTBEAT: {
    write: (m) => [m.spaces.map(writeSpace), m.time],
    read: (f) => ({
      type: 'HEARTBEAT',
      spaces: readSpaces(f),
      time: f.count('time'),
    }),
  },
  SUBSCRIBE_ALL: {
    write: (m) => [m.subscription, m.space, writeFrom(m.from), m.live, m.credit],
    read: (f) => ({ type: 'SUBSCRIBE_ALL', ...readSubscription(f) }),
  },
  SUBSCRIBE: {
    write: (m) => [m.subscription, m.space, writeFrom(m.from), m.live, m.credit, writeFilter(m.filter)],
    read: (f) => ({ type: 'SUBSCRIBE', ...readSubscription(f), filter: readFilter(f.next('filter')) }),
  },
  BATCH: {
    write: (m) => [m.subscription, m.prev, m.last, m.codec, m.rawBytes, m.data],
    read: (f) => {
      const message: BatchMessage = {
        type: 'BATCH',
        subscription: f.count('subscription'),
        prev: f.count('prev'),
        last: f.count('last'),
        codec: readCodec(f.next('codec')),
        rawBytes: f.count('rawBytes'),
        data: f.bytes('data', 0, BATCH_DATA_BYTES_MAX),
      };
      if (message.last < message.prev) refuse('BATCH ends before it begins');
      if (message.rawBytes > BATCH_RAW_BYTES_MAX)
        throw new TidelogError('batch-too-large', `${message.rawBytes} bytes, unpacked`);
      return message;
    },
  },
  CAUGHT_UP: {
    write: (m) => [m.subscription, m.last, m.digest],
    read: (f) => ({
      type: 'CAUGHT_UP',
      subscription: f.count('subscription'),
      last: f.count('last'),
      digest: f.bytes('digest', HASH_BYTES),
    }),
  },
  ACK: {
    write: (m) => [m.subscription, m.last, m.credit],
    read: (f) => ({
      type: 'ACK',
      subscription: f.count('subscription'),
      last: f.count('last'),
      credit: f.count('credit'),
    }),
  },
  UNSUBSCRIBE: {
    write: (m) => [m.subscription],
    read: (f) => ({ type: 'UNSUBSCRIBE', subscription: f.count('subscription') }),
  },
  UNSUBSCRIBED: {
    write: (m) => [m.subscription, m.fault === null ? null : writeFault(m.fault)],
    read: (f) => {
      const subscription = f.count('subscription');
      const fault = f.next('fault');
      return { type: 'UNSUBSCRIBED', subscription, fault: fault === null ? null : readFault(fault) };
    },
  },
  PAIR: {
    write: (m) => [m.invite === null ? null : [m.invite.id, m.invite.proof], m.name],
    read: (f) => {
      const invite = f.next('invite');
      return { type: 'PAIR', invite: invite === null ? null : readInvite(invite), name: f.name('name') };
    },
  },
  PAIRED: {
    write: (m) => [m.space, m.spaceName, m.role],
    read: (f) => {
      const space = f.bytes('space', SPACE_ID_BYTES);
      const spaceName = f.name('spaceName');
      const role = f.next('role');
      return { type: 'PAIRED', space, spaceName, role: isRole(role) ? role : refuse('PAIRED names an unknown role') };
    },
  },
  REFUSED: {
    write: (m) => [writeFault(m.fault)],
    read: (f) => ({ type: 'REFUSED', fault: readFault(f.next('fault')) }),
  },
  ERROR: {
    write: (m) => [writeFault(m.fault)],
    read: (f) => ({ type: 'ERROR', fault: readFault(f.next('fault')) }),
  },
  FORK: {
    write: (m) => [m.space, m.proof],
    read: (f) => ({
      type: 'FORK',
      space: f.bytes('space', SPACE_ID_BYTES),
      proof: f.bytes('proof', 1, FORK_BYTES_MAX),
    }),
  },
};

// ---- parts that several messages have

function writeSpace({ space, epoch, head, digest }: SpaceState): unknown[] {
  return [space, epoch, head, digest];
}
function readSpace(value: unknown): SpaceState {
  const f = new Fields('a space', tuple(value, 4, 'a space'), 0);
  return {
    space: f.bytes('id', SPACE_ID_BYTES),
    epoch: f.bytes('epoch', EPOCH_BYTES),
    head: f.count('head'),
    digest: f.bytes('digest', HASH_BYTES),
  };
}

function readSpaces(f: Fields): SpaceState[] {
  return eachOnce(f.list('spaces', HELLO_SPACES_MAX).map(readSpace), ({ space }) => space, 'a space');
}

/** Before any field behind it is looked at: a later version may have others there. */
function readVersion(version: number): number {
  if (version === PROTOCOL_VERSION) return version;
  throw new TidelogError('unsupported-version', `theirs is ${version}, ours ${PROTOCOL_VERSION}`);
}

function readLimits(value: unknown): Hello['limits'] {
  if (!isMap(value)) refuse('limits are not a map');
  const { message, batch } = value;
  if (!isCount(message) || !isCount(batch)) refuse('limits lack message or batch');
  return { message, batch };
}

const FROM_CURSOR = 1;
const FROM_VECTOR = 2;

function writeFrom(from: StartsFrom): unknown {
  switch (from.kind) {
    case 'all':
      return 0;
    case 'cursor':
      return [FROM_CURSOR, from.epoch, from.seq];
    case 'vector':
      return [FROM_VECTOR, from.heads.map(({ chain, seq, id }) => [chain, seq, id])];
  }
}
function readFrom(value: unknown): StartsFrom {
  if (value === 0) return { kind: 'all' };
  if (!Array.isArray(value)) refuse('starts-from is not 0 or an array');
  const f = new Fields('starts-from', value as unknown[]);
  switch (value[0]) {
    case FROM_CURSOR:
      return { kind: 'cursor', epoch: f.bytes('epoch', EPOCH_BYTES), seq: f.count('seq') };
    case FROM_VECTOR:
      return { kind: 'vector', heads: readHeads(f) };
    default:
      return refuse('starts-from is of an unknown kind');
  }
}
function readHeads(f: Fields): ChainHead[] {
  return eachOnce(f.list('heads', VECTOR_CHAINS_MAX).map(readHead), ({ chain }) => chain, 'a chain');
}
function readHead(value: unknown): ChainHead {
  const f = new Fields('a chain head', tuple(value, 3, 'a chain head'), 0);
  const head = { chain: f.bytes('chain', CHAIN_ID_BYTES), seq: f.count('seq'), id: f.bytes('id', COMMIT_ID_BYTES) };
  // A chain of which the subscriber has nothing isn't listed: a head has one form only.
  if (head.seq === 0) refuse('seq of a chain head is 0');
  return head;
}

function readSubscription(f: Fields): Omit<SubscribeAll, 'type'> {
  const subscription = {
    subscription: f.count('subscription'),
    space: f.bytes('space', SPACE_ID_BYTES),
    from: readFrom(f.next('from')),
    live: f.boolean('live'),
    credit: f.count('credit'),
  };
  if (subscription.credit > CREDIT_BYTES_MAX) refuse('the credit is larger than any peer may give');
  return subscription;
}

const FILTER_SUBJECT = 0;
const FILTER_PREFIX = 1;

function writeFilter(filter: Filter): unknown[] {
  return filter.kind === 'subject' ? [FILTER_SUBJECT, filter.subject] : [FILTER_PREFIX, filter.prefix];
}
function readFilter(value: unknown): Filter {
  const [kind, text] = tuple(value, 2, 'a filter');
  if (!isSubject(text)) refuse('a filter names no subject');
  if (kind === FILTER_SUBJECT) return { kind: 'subject', subject: text };
  if (kind === FILTER_PREFIX) return { kind: 'prefix', prefix: text };
  return refuse('a filter is of an unknown kind');
}

function readCodec(value: unknown): CodecNumber {
  return value === CODEC.NONE || value === CODEC.ZSTD ? value : refuse('the codec is unknown');
}

function readInvite(value: unknown): { id: Uint8Array; proof: Uint8Array } {
  const f = new Fields('an invite', tuple(value, 2, 'an invite'), 0);
  return { id: f.bytes('id', INVITE_ID_BYTES), proof: f.bytes('proof', HASH_BYTES) };
}

function writeFault({ code, retry, afterMs, text, detail }: Fault): unknown[] {
  return [code, retry, afterMs, text, detail];
}
function readFault(value: unknown): Fault {
  const f = new Fields('a fault', tuple(value, 5, 'a fault'), 0);
  const fault = {
    code: f.name('code'),
    retry: f.boolean('retry'),
    afterMs: f.count('afterMs'),
    text: f.next('text'),
    detail: f.next('detail'),
  };
  if (typeof fault.text !== 'string' || fault.text.length > 2000)
    refuse('a fault has no text of at most 2,000 characters');
  if (!isMap(fault.detail)) refuse('a fault has no detail map');
  return fault as Fault;
}

/** A fault of ours, ready to be sent. */
export function faultOf(error: TidelogError, afterMs = 0): Fault {
  // What went wrong inside is for our own log: it may quote what the other side has no business to know.
  if (error.code === 'internal')
    return { code: error.code, retry: error.retry, afterMs, text: ERRORS.internal.sentence, detail: {} };
  // Cutting may leave half a character, which is not UTF-8, and the other side would refuse the whole message.
  const text = error.message.slice(0, 2000).toWellFormed();
  return { code: error.code, retry: error.retry, afterMs, text, detail: error.detail };
}

/** A fault of theirs as an error of ours. A code that this side doesn't know becomes `internal`, and keeps its name in the text. */
export function errorOf(fault: Fault): TidelogError {
  const detail = { ...fault.detail, remote: true };
  if (!isErrorCode(fault.code)) {
    return new TidelogError('internal', `the other side says: ${fault.code}: ${fault.text}`, detail);
  }
  // Where both sides have the same sentence, it is said once.
  const { sentence } = ERRORS[fault.code];
  const particular = fault.text.startsWith(sentence) ? fault.text.slice(sentence.length).trim() : fault.text;
  return new TidelogError(fault.code, `the other side says so${particular ? `: ${particular}` : ''}`, detail);
}

/** Reads the fields of an array in order and checks each; what is missing or of another kind is `bad-message`. */
class Fields {
  readonly #what: string;
  readonly #values: readonly unknown[];
  #at: number;

  /** @param from index of the first field: 1 where a type stands before the fields */
  constructor(what: string, values: readonly unknown[], from = 1) {
    this.#what = what;
    this.#values = values;
    this.#at = from;
  }

  next(field: string): unknown {
    if (this.#at >= this.#values.length) refuse(`${this.#what} ends before ${field}`);
    return this.#values[this.#at++];
  }

  count(field: string): number {
    const value = this.next(field);
    // −0.0 is an encoding of 0 like any other, and no count of ours.
    return isCount(value) ? value + 0 : refuse(`${field} of ${this.#what} is not an integer from 0`);
  }

  boolean(field: string): boolean {
    const value = this.next(field);
    return typeof value === 'boolean' ? value : refuse(`${field} of ${this.#what} is not true or false`);
  }

  name(field: string): string {
    const value = this.next(field);
    return isName(value) ? value : refuse(`${field} of ${this.#what} is not a short text`);
  }

  /** Exactly `length` bytes, or from `length` to `max`. */
  bytes(field: string, length: number, max = length): Uint8Array {
    const value = this.next(field);
    if (!(value instanceof Uint8Array) || value.length < length || value.length > max) {
      refuse(`${field} of ${this.#what} is not ${max === length ? `${length} bytes` : `bytes, at most ${max}`}`);
    }
    return value;
  }

  list(field: string, max: number): unknown[] {
    const value = this.next(field);
    if (!Array.isArray(value)) refuse(`${field} of ${this.#what} is not an array`);
    if (value.length > max) refuse(`${field} of ${this.#what} has ${value.length} items; the most is ${max}`);
    return value as unknown[];
  }
}

/** Two statements about one thing would leave open which of them holds. */
function eachOnce<T>(items: T[], keyOf: (item: T) => Uint8Array, what: string): T[] {
  if (items.length > 1 && new Set(items.map((item) => toHex(keyOf(item)))).size < items.length)
    refuse(`${what} is listed twice`);
  return items;
}

function tuple(value: unknown, length: number, what: string): unknown[] {
  if (!Array.isArray(value) || value.length < length) refuse(`${what} is not an array of ${length}`);
  return value as unknown[];
}

function refuse(why: string): never {
  throw new TidelogError('bad-message', why);
}

/**
 * Every number on the wire, in one place: its unit, its reason, and who enforces it.
 *
 * A limit here is a promise to third parties and part of docs/PROTOCOL.md. Relations that other code leans on
 * are asserted at the end, so that a change that breaks one fails at load.
 */

/** Goes into HELLO. Raised only when old peers could no longer understand new ones. */
export const PROTOCOL_VERSION = 1;
/** WebSocket subprotocol that both ends must name at the upgrade. */
export const SUBPROTOCOL = 'tidelog.1';
/** The path of the upgrade request. */
export const SYNC_PATH = '/sync';
/** Port of a node unless told otherwise. */
export const DEFAULT_PORT = 7600;

// ---- sizes of fixed things, in bytes

export const SPACE_ID_BYTES = 32;
export const DEVICE_KEY_BYTES = 32;
export const NONCE_BYTES = 8;
export const CHAIN_ID_BYTES = 16;
export const COMMIT_ID_BYTES = 32;
export const HASH_BYTES = 32;
export const SIGNATURE_BYTES = 64;
/** space 32 | device 32 | nonce 8 | seq 8 | prev 32 | body hash 32 */
export const HEADER_BYTES = 144;
export const EPOCH_BYTES = 8;
export const SPACE_SALT_BYTES = 16;
export const INVITE_ID_BYTES = 8;
export const INVITE_SECRET_BYTES = 16;

// ---- Noise and frames, in bytes. Enforced by protocol/noise.ts and protocol/frame.ts

/** The Noise specification's limit of one message, tag included. */
export const NOISE_MESSAGE_BYTES = 65_535;
export const AEAD_TAG_BYTES = 16;
/** Payload that fits in one frame: a Noise message less the tag and the byte that says whether more follows. */
export const FRAME_PAYLOAD_BYTES = NOISE_MESSAGE_BYTES - AEAD_TAG_BYTES - 1;
/** A message assembled from frames. The receiver refuses the frame that would pass it, before storing it. */
export const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;

// ---- commits and batches. Enforced by body.ts, batch.ts and the writer of every peer

/** One body, encoded. Large enough for a page of text many times over; a blob belongs elsewhere. */
export const BODY_BYTES_MAX = 1024 * 1024;
/** Nesting of a body, counted from the outermost array. */
export const BODY_DEPTH_MAX = 32;
/**
 * A batch's data, unpacked. Checked against the declared size before anything is unpacked. No more than packed: every batch that may
 * come can be stored and sent on as one, also to a peer that unpacks nothing.
 */
export const BATCH_RAW_BYTES_MAX = 2 * 1024 * 1024;
/** A batch's data as it is sent. */
export const BATCH_DATA_BYTES_MAX = 2 * 1024 * 1024;
/** Entries in one batch. */
export const BATCH_ENTRIES_MAX = 4096;
/** A full block that a node seals: large enough to compress well, small enough to be a unit of credit. */
export const BLOCK_ENTRIES_MAX = 512;
export const BLOCK_RAW_BYTES_TARGET = 256 * 1024;

/** A subject, in bytes of UTF-8. LMDB's keys end at 1,978. */
export const SUBJECT_BYTES_MAX = 1024;
/** A property's name, in bytes of UTF-8. */
export const PROPERTY_BYTES_MAX = 255;
/** Subjects that begin with this are written by owners only. */
export const RESERVED_PREFIX = '~';
/** The resource that founds a space. */
export const SPACE_SUBJECT = '~space';
/** Members: this, then a device ID. */
export const DEVICES_PREFIX = '~devices/';

/** A device's or a space's name for people, in bytes of UTF-8. */
export const NAME_BYTES_MAX = 64;

// ---- the session. Enforced by session.ts

/** Unacknowledged BATCH data that a subscriber allows at first. */
export const CREDIT_BYTES_DEFAULT = 4 * 1024 * 1024;
/** Less could leave the largest batch unsendable for ever. */
export const CREDIT_BYTES_MIN = 2 * 1024 * 1024;
/** More would let a subscriber make the sender's accounting overflow what it can check. */
export const CREDIT_BYTES_MAX = 1024 * 1024 * 1024;
/** Subscriptions that one connection may hold in each direction: every space that a HELLO may offer, and 64 subjects or spaces besides. */
export const SUBSCRIPTIONS_MAX = 320;
/** Chains in one starts-from vector. */
export const VECTOR_CHAINS_MAX = 20_000;
/** Spaces in one HELLO. */
export const HELLO_SPACES_MAX = 256;
/** Commits in a branch of a fork's proof: as many as a full block has, whose last signature vouches for them. */
export const FORK_BRANCH_MAX = 512;
/** Bytes of a fork's proof: two branches of so many, at 100 bytes a commit. */
export const FORK_BYTES_MAX = 128 * 1024;
/** Forks of one device that a peer keeps and tells of. */
export const FORKS_PER_DEVICE_MAX = 64;
/** FORKs that a peer takes on one connection. */
export const FORKS_PER_CONNECTION_MAX = 1024;
/** Capabilities in one HELLO, and bytes of each. */
export const CAPABILITIES_MAX = 64;

// ---- time, in milliseconds unless said

/** A whole handshake, from the socket's opening to HELLO. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Silence after which this side sends a HEARTBEAT. */
export const HEARTBEAT_EVERY_MS = 15_000;
/** Silence after which the other side is taken for dead: three heartbeats, so that one lost is not a death. */
export const SILENCE_MAX_MS = 45_000;
/** Microseconds ahead of the local clock past which a commit's time is not merged into it: 24 h. */
export const CLOCK_AHEAD_MAX_US = 24 * 3600 * 1_000_000;
/** Life of an invite unless told otherwise. */
export const INVITE_LIFE_MS = 10 * 60_000;
/** Wrong proofs after which an invite is dead. */
export const INVITE_WRONG_MAX = 3;

/** Largest integer that a body, a seq or a cursor may hold: 2^53 − 1, JavaScript's and JSON's own limit. */
export const INTEGER_MAX = 9_007_199_254_740_991;

/** Message types. Even numbers are ignored by receivers that don't know them; odd ones are an error. */
export const MESSAGE_TYPE = {
  HELLO: 1,
  HEARTBEAT: 2,
  SUBSCRIBE_ALL: 3,
  SUBSCRIBE: 5,
  BATCH: 7,
  CAUGHT_UP: 9,
  ACK: 11,
  UNSUBSCRIBE: 13,
  UNSUBSCRIBED: 15,
  PAIR: 17,
  PAIRED: 19,
  REFUSED: 21,
  ERROR: 23,
  FORK: 24,
} as const;

/** How a batch's data is packed. */
export const CODEC = { NONE: 0, ZSTD: 1 } as const;
export type CodecNumber = (typeof CODEC)[keyof typeof CODEC];

/** Domain separation: the text that each hash and signature begins with. */
export const LABEL = {
  CHAIN: 'tidelog/1 chain',
  COMMIT: 'tidelog/1 commit',
  ID: 'tidelog/1 id',
  SPACE: 'tidelog/1 space',
  NOISE: 'tidelog/1 noise',
  PAIR: 'tidelog/1 pair',
  DIGITS: 'tidelog/1 digits',
  DIGEST: 'tidelog/1 digest',
} as const;

/** Noise prologue; also what makes another application's handshake fail at once. */
export const PROLOGUE = 'tidelog/1';

function assertRelations(): void {
  const relations: [string, boolean][] = [
    ['a header is the sum of its parts', HEADER_BYTES === 32 + 32 + 8 + 8 + 32 + 32],
    ['the largest batch fits in a message', BATCH_DATA_BYTES_MAX + 1024 <= MESSAGE_BYTES_MAX],
    ['the largest body fits in a batch even if it does not compress', BODY_BYTES_MAX + 4096 <= BATCH_DATA_BYTES_MAX],
    ['the least credit lets the largest batch through', CREDIT_BYTES_MIN >= BATCH_DATA_BYTES_MAX],
    ['a full block is a legal batch', BLOCK_ENTRIES_MAX <= BATCH_ENTRIES_MAX],
    [
      'a block that ends with the largest body is legal',
      BLOCK_RAW_BYTES_TARGET + BODY_BYTES_MAX <= BATCH_RAW_BYTES_MAX,
    ],
    ['the longest vector fits in a message', VECTOR_CHAINS_MAX * 64 <= MESSAGE_BYTES_MAX],
    ['every batch can be sent on unpacked', BATCH_RAW_BYTES_MAX <= BATCH_DATA_BYTES_MAX],
    ['several heartbeats fit in the longest silence', SILENCE_MAX_MS >= 3 * HEARTBEAT_EVERY_MS],
  ];
  for (const [relation, holds] of relations) if (!holds) throw new Error(`constants.ts: not so: ${relation}`);
}
assertRelations();

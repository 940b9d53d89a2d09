/**
 * What another implementation, or a program beside this one, needs of the protocol. Everything is pure: primitives, randomness, time, storage and
 * sockets are handed in.
 */
export {
  BATCH_DATA_BYTES_MAX,
  BATCH_ENTRIES_MAX,
  BATCH_RAW_BYTES_MAX,
  BODY_BYTES_MAX,
  BODY_DEPTH_MAX,
  CLOCK_AHEAD_MAX_US,
  CODEC,
  CREDIT_BYTES_DEFAULT,
  CREDIT_BYTES_MAX,
  CREDIT_BYTES_MIN,
  DEFAULT_PORT,
  DEVICES_PREFIX,
  FRAME_PAYLOAD_BYTES,
  HANDSHAKE_TIMEOUT_MS,
  HEARTBEAT_EVERY_MS,
  INTEGER_MAX,
  INVITE_LIFE_MS,
  INVITE_WRONG_MAX,
  LABEL,
  MESSAGE_BYTES_MAX,
  MESSAGE_TYPE,
  NAME_BYTES_MAX,
  PROLOGUE,
  PROPERTY_BYTES_MAX,
  PROTOCOL_VERSION,
  RESERVED_PREFIX,
  SILENCE_MAX_MS,
  SPACE_SUBJECT,
  SUBJECT_BYTES_MAX,
  SUBPROTOCOL,
  SUBSCRIPTIONS_MAX,
  SYNC_PATH,
  VECTOR_CHAINS_MAX,
  type CodecNumber,
} from './constants.ts';
export { asTidelogError, ERRORS, isErrorCode, TidelogError, type ErrorCode, type ErrorDetail } from './errors.ts';
export type { Crypto, KeyPair, RandomBytes } from './crypto.ts';
export { checkDeviceKey, verifyStrict, verifyWithCheckedKey } from './ed25519.ts';
export { formatDeviceId, parseDeviceId, shortDeviceId } from './device-id.ts';

export { decodeStrict, encode, encodeCanonical } from './msgpack.ts';
export { checkValue, isName, isPropertyName, isSubject, valueKey, type Value } from './value.ts';
export { isFromTheFuture, observe, tick, type Clock } from './clock.ts';
export {
  decodeBody,
  decodeStem,
  encodeBody,
  eraseBody,
  hashBody,
  hashErased,
  type Body,
  type Change,
  type Dependency,
  type ErasedBody,
  type Ops,
} from './body.ts';
export { chainId, ChainHasher, spaceId, ZERO_ID, type ChainKey } from './commit.ts';
export { proveFork, readFork, type Fork, type ForkedCommit } from './fork.ts';
export { decodeBatch, encodeBatch, type Batch, type BatchChain, type BatchEntry } from './batch.ts';
export { authenticate, type AuthenticBatch, type AuthenticChain, type AuthenticEntry } from './authenticate.ts';
export { checkZstdFrame, noneCodec, type Codec, type ZstdFrame } from './codec.ts';
export { digest, type ChainHead } from './vector.ts';

export {
  changesMembership,
  isReserved,
  isRole,
  Membership,
  readFacts,
  readFounding,
  ROLES,
  type Fact,
  type Founding,
  type Past,
  type Role,
  type Verdict,
} from './membership.ts';
export {
  apply,
  applyUnfolded,
  decodeResource,
  EMPTY_RESOURCE,
  encodeResource,
  fold,
  propertyAuthor,
  propertyConflict,
  propertyValue,
  removeSeen,
  resourceConflicts,
  resourceOps,
  resourceValue,
  SplitTally,
  type Alternative,
  type Author,
  type Candidate,
  type Dot,
  type Element,
  type Property,
  type Resource,
  type Tally,
} from './merge.ts';

export { CipherState, Handshake, type HandshakeOptions, type Transport } from './noise.ts';
export { FrameAssembler, splitFrames } from './frame.ts';
export { Channel, type ChannelOptions, type Received } from './channel.ts';
export {
  decodeMessage,
  encodeMessage,
  errorOf,
  faultOf,
  type Ack,
  type BatchMessage,
  type CaughtUp,
  type ErrorMessage,
  type Fault,
  type Filter,
  type ForkMessage,
  type Heartbeat,
  type Hello,
  type Message,
  type MessageName,
  type Pair,
  type Paired,
  type Refused,
  type SpaceState,
  type StartsFrom,
  type Subscribe,
  type SubscribeAll,
  type Unsubscribe,
  type Unsubscribed,
} from './messages.ts';
export {
  newSession,
  step,
  type Effect,
  type Greeting,
  type Incoming,
  type Outgoing,
  type OutgoingBatch,
  type Phase,
  type SessionEvent,
  type SessionState,
  type Step,
  type SubscribeRequest,
} from './session.ts';
export { describe } from './describe.ts';
export { decodePairLink, encodePairLink, pairDigits, pairProof, syncUrl, type PairInvite } from './pair-link.ts';

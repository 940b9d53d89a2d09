/**
 * Every way that something can be refused: a stable code, whether trying again can help, the WebSocket close code
 * when a connection ends for it, and a sentence that says what to do next.
 *
 * Programs branch on `code` and never on the text. docs/PROTOCOL.md carries the same table, held equal by a test.
 *
 *   throw new TidelogError('bad-subject', 'it is 2,000 bytes long; the most is 1,024')
 */

interface ErrorRow {
  /** Would the same thing, tried again later and unchanged, have a chance? */
  readonly retry: boolean;
  /** WebSocket close code if this ends a connection; null where it never does. */
  readonly close: number | null;
  /** What happened and the next step, for a person. */
  readonly sentence: string;
}

const row = (retry: boolean, close: number | null, sentence: string): ErrorRow => ({ retry, close, sentence });

export const ERRORS = {
  // the connection
  'bad-handshake': row(
    false,
    4001,
    'The handshake failed: the other side does not speak tidelog.1, or something altered it on the way.',
  ),
  'bad-frame': row(false, 4002, 'A frame could not be decrypted or is out of order. Connect again.'),
  'bad-message': row(false, 4003, 'A message is not what the protocol allows. The sender has a fault; update it.'),
  'message-too-large': row(false, 4004, 'A message is larger than this side accepts. Send smaller batches.'),
  'unknown-message': row(false, 4005, 'A message of a type that must be understood is unknown here. Update this side.'),
  'unsupported-version': row(
    false,
    4006,
    'The other side speaks another version of the protocol. Update the older one.',
  ),
  'not-paired': row(
    false,
    4007,
    'These two devices do not know each other. Run `tidelog pair invite` on one of them and `tidelog pair join LINK` on the other.',
  ),
  'device-revoked': row(
    false,
    4008,
    'This device has been revoked, and that is final for its key. Run `tidelog init` in a new data folder and pair again.',
  ),
  timeout: row(true, 4009, 'The other side was silent for too long. It is tried again by itself.'),
  'credit-exceeded': row(
    false,
    4010,
    'The sender sent more than it was given credit for. The sender has a fault; update it.',
  ),
  'too-many': row(true, 4011, 'There are too many of these at once. Wait for some to end.'),
  'wrong-device': row(
    false,
    4012,
    'Another device answered than the one expected at this address. Check the address, or make a new invite.',
  ),
  'self-connect': row(false, 4013, 'This address is this device itself. Connect to another one.'),
  'shutting-down': row(true, 4014, 'The node is stopping. It is tried again by itself.'),
  internal: row(true, 4015, 'The node has a fault of its own; its log says more. Please report it.'),

  // entries of a batch
  'bad-batch': row(false, 4020, 'A batch cannot be read. The sender has a fault; update it.'),
  'batch-too-large': row(false, 4021, 'A batch is larger than the protocol allows. The sender has a fault; update it.'),
  'bad-commit': row(false, 4022, 'A commit is not what the protocol allows.'),
  'commit-too-large': row(false, 4023, 'A commit is larger than 1 MiB. Split it in several.'),
  'bad-key': row(false, 4024, 'A device key is not a valid Ed25519 public key.'),
  'bad-signature': row(
    false,
    4025,
    'A signature does not verify: the commit was altered, or is not by the device it names.',
  ),
  unlinked: row(
    false,
    4026,
    'A commit does not follow the one before it in its chain. Something is missing or was altered.',
  ),
  fork: row(
    true,
    4027,
    'One chain has two different commits with one number: a data folder was copied or rolled back. It is settled by itself; see `tidelog forks`.',
  ),
  'bad-fork': row(false, 4034, 'What should prove a fork proves none. The sender has a fault; update it.'),
  'causal-gap': row(false, 4028, 'A commit came before one that its author had seen. The sender has a fault.'),
  unauthorized: row(
    false,
    4029,
    'A commit is by a device that may not write this. Ask an owner of the space to pair it or to change its role.',
  ),
  'wrong-space': row(false, 4030, 'This belongs to another space.'),
  'bad-space': row(false, 4031, 'The log does not begin with the commit that founds this space.'),
  'gap-refused': row(
    false,
    4032,
    'A partial copy cannot be the source of a whole one. Connect to a device that holds the whole space.',
  ),
  'cursor-mismatch': row(
    true,
    4033,
    'A batch does not continue where the last one ended. It is tried again from the vector.',
  ),

  // subscriptions; these end the subscription, not the connection
  'cursor-epoch': row(
    true,
    null,
    'The cursor is of another epoch of this log: it was restored or made anew. Start from your vector.',
  ),
  'cursor-too-old': row(true, null, 'The cursor lies before what this log still holds. Start from your vector.'),
  'cursor-too-new': row(true, null, 'The cursor lies past the end of this log. Start from your vector.'),
  'unknown-space': row(
    false,
    null,
    'This space is not shared with your device here. Pair first, or wait for the membership to arrive.',
  ),
  'bad-request': row(false, null, 'The request is not what the protocol allows.'),

  // pairing
  'bad-link': row(
    false,
    null,
    'This is not a pairing link. Copy it whole, from `http` to its end, or scan the QR code.',
  ),
  'invite-unknown': row(
    false,
    4040,
    'This invite is not known to the device that you joined. Make a new one with `tidelog pair invite`.',
  ),
  'invite-expired': row(false, 4041, 'This invite has expired. Make a new one with `tidelog pair invite`.'),
  'invite-used': row(
    false,
    4042,
    'This invite has been used; each works once. Make a new one with `tidelog pair invite`.',
  ),
  'invite-wrong-secret': row(
    false,
    4043,
    'The secret in this link is wrong; was it cut off? Copy the whole link again.',
  ),
  'invite-dead': row(
    false,
    4044,
    'This invite is dead after three wrong secrets. Make a new one with `tidelog pair invite`.',
  ),
  'pairing-rejected': row(false, 4045, 'A person on the other device rejected this one.'),
  'pairing-pending': row(true, null, 'The other device must approve this one: run `tidelog pair pending` there.'),

  // people's and programs' input
  'bad-device-id': row(false, null, 'This is not a device ID.'),
  'unknown-device': row(false, null, 'No such device in this space. `tidelog devices` lists them.'),
  'bad-subject': row(false, null, 'A subject is 1 to 1,024 bytes of text without control characters.'),
  'reserved-subject': row(
    false,
    null,
    'Subjects that begin with ~ are kept for the space itself. Use the `devices` and `pair` commands, or another subject.',
  ),
  'bad-property': row(false, null, 'A property name is 1 to 255 bytes of text without control characters.'),
  'bad-value': row(
    false,
    null,
    'A value must be what JSON can hold, or bytes; numbers must be finite, and integers below 2^53.',
  ),
  'bad-change': row(false, null, 'A change names a subject and at least one of set, unset, inc, add, remove, destroy.'),
  'bad-role': row(false, null, 'A role is one of owner, writer, reader, mirror.'),
  'log-only': row(
    false,
    null,
    'This device is a mirror, which keeps the log and no resources. Read on another device, or give this one another role.',
  ),
  'bad-cursor': row(false, null, 'A cursor is what an earlier answer gave, unchanged.'),
  'bad-json': row(false, null, 'The text is not valid JSON.'),
  'bad-line': row(false, null, 'A line of the input cannot be used.'),
  'bad-argument': row(false, null, 'An argument is not usable.'),
  'bad-config': row(false, null, 'A setting is not usable.'),
  'body-too-large': row(false, null, 'The request is larger than the node accepts. Send it in parts.'),
  'read-only': row(false, null, 'This device may read this space but not write it. Ask an owner to change its role.'),
  'not-a-member': row(
    true,
    null,
    'This device is not yet a member of the space, as far as it knows. Let it sync once with the device that invited it.',
  ),
  'not-an-owner': row(false, null, 'Only an owner of the space may do this.'),
  'last-owner': row(
    false,
    null,
    'This is the only owner; without it nobody could ever add a device. Make another device an owner first.',
  ),
  'bad-recovery-words': row(
    false,
    null,
    'These are not the words of a recovery key: 24 English words, in the order of the paper.',
  ),
  'recovery-refused': row(
    false,
    null,
    'The words are whole, but their key is no owner of the space here. Use the paper that was made last for this space.',
  ),
  'not-found': row(false, null, 'There is nothing here.'),
  'precondition-failed': row(false, null, 'The resource is not what you expected it to be. Read it again.'),
  'bad-token': row(false, null, 'The token is missing or wrong. It is in the file `token` in the data folder.'),
  'bad-host': row(
    false,
    null,
    'The node does not answer to this host name. Use its address, or add the name to its configuration.',
  ),

  // this machine
  'data-in-use': row(true, null, 'Another process uses this data folder. Stop it, or let this command talk to it.'),
  'data-not-ours': row(
    false,
    null,
    'This folder holds other files and no Tidelog data. Choose an empty folder with --data.',
  ),
  'data-missing': row(
    false,
    null,
    'There is no Tidelog data here. Run `tidelog init`, or name the folder with --data.',
  ),
  'data-unreadable': row(
    false,
    null,
    'This user cannot read the data. Run as the user who owns it, or name another folder with --data.',
  ),
  'data-newer': row(false, null, 'This data was written by a newer version of Tidelog. Update this one.'),
  'data-damaged': row(
    false,
    null,
    'The data cannot be read. Keep the folder as it is, and restore from a backup or pair anew in another folder.',
  ),
  'bad-copy': row(
    false,
    null,
    'This copy of a log is damaged, cut off, or none at all. Use an older one, or make a new one.',
  ),
  'key-unsafe': row(false, null, 'The key file can be read by other users. Run `chmod 600` on it.'),
  'no-node': row(true, null, 'No node runs on this data. Start one with `tidelog start`.'),
  'node-runs': row(
    false,
    null,
    'A node runs on this data already. `tidelog status` asks it; to start it anew, stop it first.',
  ),
  'port-in-use': row(true, null, 'Another program listens on this port. Choose another with --port.'),
  'store-full': row(true, null, 'The disk or the store is full; nothing of this was written. Make room and try again.'),
  'quota-exceeded': row(
    true,
    null,
    'The logs here hold as much as the setting `logBytesMax` lets other devices bring; nothing of this was taken. Raise it, and it goes on by itself.',
  ),
  'store-failed': row(
    true,
    null,
    'The store could not write; nothing of this was written. Look at the disk, its quota and the limits of the process, and try again.',
  ),
  unreachable: row(
    true,
    null,
    'The other device does not answer at this address. Is it running, and on the same network?',
  ),
  closed: row(false, null, 'This was closed.'),
  aborted: row(false, null, 'This was stopped before it ended.'),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

/** What programs may add to an error for programs: `{epoch, floor, head}` of a cursor error, `{line}` of an import. */
export type ErrorDetail = Readonly<Record<string, unknown>>;

/** The one error class of Tidelog. `message` is the table's sentence with what is particular in front of it. */
export class TidelogError extends Error {
  readonly code: ErrorCode;
  readonly retry: boolean;
  readonly detail: ErrorDetail;

  /**
   * @param code a row of ERRORS
   * @param particular what was wrong here, as a clause: 'seq 7 names prev 3f2a…'
   * @param detail for programs
   */
  constructor(code: ErrorCode, particular?: string, detail: ErrorDetail = {}, options?: ErrorOptions) {
    const { sentence, retry } = ERRORS[code];
    super(particular ? `${sentence} (${particular})` : sentence, options);
    this.name = 'TidelogError';
    this.code = code;
    this.retry = retry;
    this.detail = detail;
  }
}

/** Anything that was thrown, as a TidelogError: a stranger becomes `internal` and keeps its cause. */
export function asTidelogError(thrown: unknown): TidelogError {
  if (thrown instanceof TidelogError) return thrown;
  return new TidelogError('internal', thrown instanceof Error ? thrown.message : String(thrown), {}, { cause: thrown });
}

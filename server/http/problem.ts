/** Errors as HTTP says them: `application/problem+json` (RFC 9457) with Tidelog's own stable `code`, and the status of each code. */
import { asTidelogError, ERRORS, isErrorCode, TidelogError, type ErrorCode } from '../../protocol/errors.ts';
import type { ApiResponse } from './message.ts';

/**
 * 400 what was sent is wrong in itself · 401 no token · 403 not allowed to this device · 404 not there · 409 it can't be done in the present
 * state · 410 gone · 412 a condition failed · 413 too large · 421 not our name · 429 too many · 500 our own fault · 502 the other device's
 * answer · 503 later · 507 no room.
 */
const STATUS: Record<ErrorCode, number> = {
  'bad-handshake': 502,
  'bad-frame': 502,
  'bad-message': 502,
  'message-too-large': 502,
  'unknown-message': 502,
  'unsupported-version': 502,
  'not-paired': 409,
  'device-revoked': 409,
  timeout: 504,
  'credit-exceeded': 502,
  'too-many': 429,
  'wrong-device': 409,
  'self-connect': 409,
  'shutting-down': 503,
  internal: 500,

  'bad-batch': 502,
  'batch-too-large': 502,
  'bad-commit': 400,
  'commit-too-large': 413,
  'bad-key': 400,
  'bad-signature': 502,
  unlinked: 502,
  fork: 409,
  'bad-fork': 400,
  'causal-gap': 502,
  unauthorized: 403,
  'wrong-space': 409,
  'bad-space': 502,
  'gap-refused': 502,
  'cursor-mismatch': 502,

  'cursor-epoch': 410,
  'cursor-too-old': 410,
  'cursor-too-new': 410,
  'unknown-space': 404,
  'bad-request': 400,

  'bad-link': 400,
  'invite-unknown': 404,
  'invite-expired': 410,
  'invite-used': 410,
  'invite-wrong-secret': 403,
  'invite-dead': 410,
  'pairing-rejected': 403,
  'pairing-pending': 409,

  'bad-device-id': 400,
  'unknown-device': 404,
  'bad-subject': 400,
  'reserved-subject': 403,
  'bad-property': 400,
  'bad-value': 400,
  'bad-change': 400,
  'bad-role': 400,
  'bad-cursor': 400,
  'bad-json': 400,
  'bad-line': 400,
  'bad-argument': 400,
  'bad-config': 400,
  'body-too-large': 413,
  'read-only': 403,
  'not-a-member': 403,
  'not-an-owner': 403,
  'last-owner': 409,
  'bad-recovery-words': 400,
  'recovery-refused': 409,
  'log-only': 409,
  'not-found': 404,
  'precondition-failed': 412,
  'bad-token': 401,
  'bad-host': 421,

  'data-in-use': 503,
  'data-not-ours': 500,
  'data-missing': 500,
  'data-unreadable': 500,
  'data-newer': 500,
  'data-damaged': 500,
  'bad-copy': 400,
  'key-unsafe': 500,
  'no-node': 503,
  'node-runs': 409,
  'port-in-use': 409,
  'store-full': 507,
  'quota-exceeded': 507,
  'store-failed': 500,
  unreachable: 502,
  closed: 503,
  aborted: 499,
};

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  /** `title` and what is particular. */
  readonly detail: string;
  readonly code: ErrorCode;
  /** Can the same request, unchanged, succeed later? */
  readonly retry: boolean;
  /** What the error tells programs. */
  readonly data?: Readonly<Record<string, unknown>>;
}

export function problemOf(thrown: unknown, status?: number): Problem {
  const { code, message, retry, detail } = asTidelogError(thrown);
  const title = ERRORS[code].sentence;
  return {
    type: `urn:tidelog:error:${code}`,
    title,
    status: status ?? STATUS[code],
    // What a fault of our own says may hold paths and values that are nobody else's business; the log has it.
    detail: code === 'internal' ? title : message,
    code,
    retry,
    ...(Object.keys(detail).length > 0 && { data: detail }),
  };
}

/** `status` where HTTP has a more exact one than the code's. */
export function problemResponse(thrown: unknown, status?: number, headers: Record<string, string> = {}): ApiResponse {
  const problem = problemOf(thrown, status);
  const more: Record<string, string> = { 'content-type': 'application/problem+json', ...headers };
  if (problem.status === 401) more['www-authenticate'] = 'Bearer realm="tidelog"';
  return { status: problem.status, headers: more, body: JSON.stringify(problem) };
}

/** The error that a problem tells of, as it was thrown at the other end. A code of a newer node becomes `internal`. */
export function errorFromProblem(body: unknown, status: number): TidelogError {
  // Said by the socket itself, which takes only so much of path and headers, and in no words of ours.
  if (status === 431)
    return new TidelogError('bad-argument', 'a subject, prefix or cursor of this length fits in no request');
  const { code, detail, data } = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const message = typeof detail === 'string' ? detail : `the node answered with the status ${status}`;
  if (typeof code !== 'string' || !isErrorCode(code)) return new TidelogError('internal', message);
  const { sentence } = ERRORS[code];
  const particular = message.startsWith(`${sentence} (`) ? message.slice(sentence.length + 2, -1) : undefined;
  const known = typeof data === 'object' && data !== null ? (data as Record<string, unknown>) : {};
  return new TidelogError(code, particular, known);
}

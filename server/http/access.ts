/** Who may make a request: whoever shows the token, or a page with a session; and what needs neither. */
import { TidelogError } from '../../protocol/errors.ts';
import type { OpenSession, Sessions } from '../sessions.ts';
import { checkToken } from './edge.ts';

type Headers = ReadonlyMap<string, string>;

/** The session that the request goes by; null where it needs none. Throws `bad-token`, `bad-host`. Host and Origin have been checked. */
export function checkAccess(
  method: string,
  path: string,
  headers: Headers,
  token: string,
  sessions: Sessions | null,
): OpenSession | null {
  if (isOpen(method, path)) return null;
  // What shows a token is judged by it, so that a wrong one isn't helped by a cookie that came along.
  const session = headers.has('authorization') ? null : (sessions?.of(headers) ?? null);
  if (session === null) checkToken(headers, token);
  else checkSameOrigin(method, headers);
  return session;
}

/** Probes by a service manager or a load balancer hold no token, and learn nothing but that the node runs. */
const OPEN_PATHS: ReadonlySet<string> = new Set(['/', '/healthz', '/readyz']);
/** Of what begins a session: a secret. */
const OPEN_BODY_BYTES_MAX = 1024;

/** The page's own files hold nothing of anybody's; beginning a session is what a page without one must be able to do. */
export function isOpen(method: string, path: string): boolean {
  if (method === 'POST') return path === '/v1/session';
  return (method === 'GET' || method === 'HEAD') && (OPEN_PATHS.has(path) || path.startsWith('/web/'));
}

/**
 * Whoever shows nothing may send next to nothing: a body that never comes keeps its place until it is timed out. Throws `body-too-large`.
 */
export function checkOpenBody(method: string, headers: Headers): void {
  const max = method === 'POST' ? OPEN_BODY_BYTES_MAX : 0;
  if (headers.has('transfer-encoding') || Number(headers.get('content-length') ?? 0) > max)
    throw new TidelogError('body-too-large', `without a token or a session a request has at most ${max} bytes`);
}

/**
 * A browser sends the cookie along whoever's page asks. The session's key, which only our page has, keeps others out already; this says so a
 * second time, by what the browser itself tells of the page. Throws `bad-host`.
 */
function checkSameOrigin(method: string, headers: Headers): void {
  const site = headers.get('sec-fetch-site');
  const isSafe = method === 'GET' || method === 'HEAD';
  const isOurs = site === undefined ? isSafe || headers.has('origin') : site === 'same-origin';
  if (!isOurs) throw new TidelogError('bad-host', 'with a session, only the node’s own page may ask');
}

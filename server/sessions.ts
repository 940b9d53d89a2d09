/**
 * Sessions of people at the page. `tidelog open` has a link made, whose secret works once and soon; the page exchanges it for a session, and is
 * known by that from then on. The token stays out of browsers.
 *
 * A session has two halves, because cookies are not kept apart by port: what another program serves at the same host gets the cookie too. The
 * other half is the key, which the page keeps in storage of its own origin, port included, and sends as a header. Neither is worth anything alone.
 *
 * Of all secrets only hashes are kept, and in memory only: a restart ends every session.
 */
import { equalConstantTime, toBase64Url, utf8 } from '../protocol/bytes.ts';
import type { Crypto, RandomBytes } from '../protocol/crypto.ts';
import { TidelogError } from '../protocol/errors.ts';

const SESSION_KEY_HEADER = 'x-tidelog-session';
const LINK_LIFE_MS = 5 * 60_000;
const LINK_LIFE_MAX_MS = 10 * 60_000;
const SESSION_LIFE_MS = 7 * 24 * 3600_000;
const SECRET_BYTES = 24;
/** The oldest goes where there are more: whoever makes them has the token. */
const LINKS_MAX = 16;
const SESSIONS_MAX = 64;

interface Link {
  readonly hash: Uint8Array;
  readonly expiresMs: number;
}

/** What a request came with. */
export interface OpenSession {
  readonly expiresMs: number;
  /** Aborts when it is over, however that came. */
  readonly over: AbortSignal;
}

interface Session {
  readonly cookieHash: Uint8Array;
  readonly keyHash: Uint8Array;
  readonly expiresMs: number;
  readonly over: AbortController;
}

export interface NewSession {
  readonly cookie: string;
  readonly key: string;
  readonly expiresMs: number;
}

type Headers = ReadonlyMap<string, string>;

export interface SessionsOptions {
  readonly crypto: Crypto;
  readonly random: RandomBytes;
  readonly nowMs: () => number;
  /** Device ID: nodes on one machine share a host, and so their browser's cookies. */
  readonly device: string;
}

export class Sessions {
  readonly #options: SessionsOptions;
  readonly #cookieName: string;
  #links: Link[] = [];
  #sessions: Session[] = [];

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#cookieName = `tidelog-${options.device.slice(0, 7)}`;
  }

  /** The secret of a link that begins one session. Throws `bad-argument`. */
  newLink(lifeMs: number = LINK_LIFE_MS): { secret: string; expiresMs: number } {
    if (!Number.isSafeInteger(lifeMs) || lifeMs < 1000 || lifeMs > LINK_LIFE_MAX_MS)
      throw new TidelogError(
        'bad-argument',
        `a link lives between one second and ${LINK_LIFE_MAX_MS / 60_000} minutes`,
      );
    this.forgetOld();
    const secret = this.#secret();
    const link = { hash: this.#hash(secret), expiresMs: this.#options.nowMs() + lifeMs };
    this.#links = [...this.#links, link].slice(-LINKS_MAX);
    return { secret, expiresMs: link.expiresMs };
  }

  /** Throws `bad-token`: whoever comes with a secret that doesn't work isn't told why, only what to do. */
  redeem(secret: string): NewSession {
    this.forgetOld();
    const hash = this.#hash(secret);
    const link = this.#links.find((known) => equalConstantTime(known.hash, hash));
    if (!link)
      throw new TidelogError('bad-token', 'the link was used already, or is too old: `tidelog open` prints a new one');
    this.#links = this.#links.filter((other) => other !== link);
    const cookie = this.#secret();
    const key = this.#secret();
    const expiresMs = this.#options.nowMs() + SESSION_LIFE_MS;
    const over = new AbortController();
    const session = { cookieHash: this.#hash(cookie), keyHash: this.#hash(key), expiresMs, over };
    this.#keep([...this.#sessions, session].slice(-SESSIONS_MAX));
    return { cookie, key, expiresMs };
  }

  /** The session of a request; null where it has none. */
  of(headers: Headers): OpenSession | null {
    const found = this.#find(headers);
    return found && { expiresMs: found.expiresMs, over: found.over.signal };
  }

  end(headers: Headers): void {
    const ended = this.#find(headers);
    this.#keep(this.#sessions.filter((session) => session !== ended));
  }

  /** Links too. Returns how many sessions there were. */
  endAll(): number {
    this.forgetOld();
    const count = this.#sessions.length;
    this.#keep([]);
    this.#links = [];
    return count;
  }

  /** What is too old. Any use does it; who has streams open does it from time to time, because those use nothing. */
  forgetOld(): void {
    const now = this.#options.nowMs();
    this.#links = this.#links.filter(({ expiresMs }) => expiresMs > now);
    this.#keep(this.#sessions.filter(({ expiresMs }) => expiresMs > now));
  }

  /** Without a Domain, so of this host alone. `secure` where the page came by https. */
  setCookie(cookie: string, secure: boolean): string {
    const life = Math.floor(SESSION_LIFE_MS / 1000);
    return `${this.#cookieName}=${cookie}; Path=/; Max-Age=${life}; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`;
  }

  clearCookie(): string {
    return `${this.#cookieName}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict`;
  }

  #find(headers: Headers): Session | null {
    const key = headers.get(SESSION_KEY_HEADER);
    const cookie = cookieOf(headers.get('cookie') ?? '', this.#cookieName);
    if (key === undefined || cookie === null) return null;
    this.forgetOld();
    const cookieHash = this.#hash(cookie);
    const keyHash = this.#hash(key);
    const found = this.#sessions.find((session) => equalConstantTime(session.cookieHash, cookieHash));
    return found && equalConstantTime(found.keyHash, keyHash) ? found : null;
  }

  /** Ends all others: what was begun in a session must not outlive it, a stream of events least of all. */
  #keep(kept: Session[]): void {
    const ended = this.#sessions.filter((session) => !kept.includes(session));
    this.#sessions = kept;
    for (const { over } of ended) over.abort();
  }

  #secret(): string {
    return toBase64Url(this.#options.random(SECRET_BYTES));
  }

  #hash(secret: string): Uint8Array {
    return this.#options.crypto.sha256(utf8(secret));
  }
}

function cookieOf(header: string, name: string): string | null {
  for (const pair of header.split(';')) {
    const at = pair.indexOf('=');
    if (at > 0 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim();
  }
  return null;
}

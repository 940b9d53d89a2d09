/** The page's half of a session: a key in storage of this origin. The other half is a cookie that no script sees. */
import { SourceError } from './source.ts';

const NAME = 'tidelog-session';

export class SessionKey {
  #key: string | null = read();

  /** False: nobody has come in here. True doesn't say that the node still knows the session. */
  get isKnown(): boolean {
    return this.#key !== null;
  }

  headers(): Record<string, string> {
    return this.#key === null ? {} : { 'x-tidelog-session': this.#key };
  }

  /**
   * Is another key known by now than the one that these headers had? The node refuses a tab's key as soon as a second link is opened in the same browser,
   * because both tabs have one cookie, and that is then the new session's.
   */
  isNewerThan(headers: Readonly<Record<string, string>>): boolean {
    const refused = headers['x-tidelog-session'];
    const stored = read();
    if (this.#key === refused && stored !== null) this.#key = stored;
    return this.#key !== null && this.#key !== refused;
  }

  /** Exchanges a link's secret. Throws a SourceError that says what to do. */
  async begin(secret: string): Promise<void> {
    const response = await fetch('/v1/session', { method: 'POST', body: JSON.stringify({ secret }) }).catch(() => null);
    if (!response) throw new SourceError('offline', 'The node doesn’t answer. Is it running?');
    if (!response.ok) throw new SourceError('bad-token', 'This link was used already, or is too old.');
    this.#key = ((await response.json()) as { key: string }).key;
    try {
      localStorage.setItem(NAME, this.#key);
    } catch {
      // A browser that stores nothing: the session lasts as long as this page is open.
    }
  }

  /** Another tab's stays where it is. */
  forget(): void {
    const own = this.#key;
    this.#key = null;
    try {
      if (localStorage.getItem(NAME) === own) localStorage.removeItem(NAME);
    } catch {
      // Nothing was stored.
    }
  }
}

function read(): string | null {
  try {
    return localStorage.getItem(NAME);
  } catch {
    return null;
  }
}

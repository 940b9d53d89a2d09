/**
 * Follows the log and tells whoever listens. Begins again after a fault from where it was, and rests while nobody looks at the page: browsers allow a
 * host six connections, which hidden tabs must not hold.
 */
import { SourceError, type Commit, type Source } from './source.ts';

export type LiveState = 'connecting' | 'live' | 'offline';
/** null: something may have been missed; look at everything again. */
type Listener = (commit: Commit | null) => void;

const RETRY_MS = 2000;

export class LiveLog {
  readonly #source: Source;
  readonly #listeners = new Set<Listener>();
  readonly #onState: (state: LiveState) => void;
  readonly #abort = new AbortController();
  #cursor: string | null = null;

  constructor(source: Source, onState: (state: LiveState) => void) {
    this.#source = source;
    this.#onState = onState;
    void this.#run();
  }

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  close(): void {
    this.#abort.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      await visible(signal);
      const pause = new AbortController();
      const end = (): void => pause.abort();
      const onVisibility = (): void => void (document.hidden && end());
      signal.addEventListener('abort', end);
      document.addEventListener('visibilitychange', onVisibility);
      try {
        await this.#follow(pause.signal);
      } catch (thrown) {
        const code = thrown instanceof SourceError ? thrown.code : 'offline';
        // The log was made anew, or there is no space yet: then there is nothing to go on from.
        if (code !== 'offline') this.#cursor = null;
        this.#onState(code === 'unknown-space' ? 'live' : 'offline');
        await rest(RETRY_MS, signal);
      } finally {
        signal.removeEventListener('abort', end);
        document.removeEventListener('visibilitychange', onVisibility);
      }
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    this.#cursor ??= (await this.#source.newest({ limit: 1 })).items[0]?.cursor ?? '0';
    const stream = this.#source.follow(this.#cursor, signal);
    // What came between the last look and this one.
    this.#tell(null);
    this.#onState('live');
    for await (const commit of stream) {
      this.#cursor = commit.cursor;
      this.#tell(commit);
    }
    if (!signal.aborted) throw new SourceError('offline', 'the node ended the stream');
  }

  #tell(commit: Commit | null): void {
    for (const listener of this.#listeners) listener(commit);
  }
}

function visible(signal: AbortSignal): Promise<void> {
  if (!document.hidden || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    document.addEventListener('visibilitychange', () => resolve(), { once: true, signal });
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function rest(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

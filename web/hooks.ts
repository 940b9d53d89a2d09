/** What views share: the source and its state, loading, and time. */
import { createContext } from 'preact';
import { useCallback, useContext, useEffect, useRef, useState } from 'preact/hooks';

import type { LiveLog, LiveState } from './live-log.ts';
import { SourceError, type Commit, type NodeControls, type Source, type SpaceStatus, type Status } from './source.ts';

export interface App {
  readonly source: Source;
  readonly live: LiveLog;
  readonly liveState: LiveState;
  readonly status: Status | null;
  /** The space that was chosen; null where there is none yet. */
  readonly current: SpaceStatus | null;
  /** Says it to who listens to the page. */
  readonly say: (text: string) => void;
  readonly reloadStatus: () => void;
}

export const AppContext = createContext<App | null>(null);

export function useApp(): App {
  const app = useContext(AppContext);
  if (!app) throw new Error('there is no app around this view');
  return app;
}

/** In views that only a node's page has. */
export function useNode(): NodeControls {
  const { node } = useApp().source;
  if (!node) throw new Error('this view needs a node');
  return node;
}

export function messageOf(thrown: unknown): string {
  return thrown instanceof SourceError ? thrown.message : `The page failed: ${String(thrown)}`;
}

export interface Loaded<T> {
  /** undefined until the first answer; the last one while another is waited for. */
  readonly value: T | undefined;
  readonly error: string | null;
  /** Resolves when what is shown is no older than the call; its fault is shown, too. */
  readonly reload: () => Promise<void>;
}

/** Loads at once, whenever `deps` change, and every `everyMs` while the page is looked at. */
export function useLoaded<T>(load: () => Promise<T>, deps: readonly unknown[], everyMs?: number): Loaded<T> {
  const [state, setState] = useState<{ value: T | undefined; error: string | null }>({ value: undefined, error: null });
  const begun = useRef(0);
  const shown = useRef(0);
  const latest = useRef(load);
  latest.current = load;

  const reload = useCallback(async () => {
    const mine = ++begun.current;
    // Each that is newer than what is shown counts: where one takes longer than the next is away, as under a steady stream, the newest is never there.
    const isNews = (): boolean => {
      if (mine < shown.current) return false;
      shown.current = mine;
      return true;
    };
    try {
      const value = await latest.current();
      if (isNews()) setState({ value, error: null });
    } catch (thrown) {
      if (isNews()) setState((old) => ({ ...old, error: messageOf(thrown) }));
    }
  }, []);

  // What was there stays until the new is: nothing jumps. A view of another thing altogether has a key of its own.
  useEffect(() => {
    void reload();
    return () => void (shown.current = begun.current + 1);
  }, deps);

  useEffect(() => {
    if (everyMs === undefined) return;
    const timer = setInterval(() => document.hidden || void reload(), everyMs);
    return () => clearInterval(timer);
  }, [everyMs, reload]);

  return { ...state, reload };
}

/** Called with commits as they come, and with null where some may have been missed. */
export function useLive(listener: (commit: Commit | null) => void): void {
  const { live } = useApp();
  const latest = useRef(listener);
  latest.current = listener;
  useEffect(() => live.listen((commit) => latest.current(commit)), [live]);
}

const SETTLE_MS = 150;

/** Runs once when calls have come to rest: a bulk write is one look, not a thousand. */
export function useSettled(run: () => void, afterMs: number = SETTLE_MS): () => void {
  const latest = useRef(run);
  latest.current = run;
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  return useCallback(() => {
    // Not put off again: under a steady stream it still runs.
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      latest.current();
    }, afterMs);
  }, []);
}

export function useNow(everyMs = 1000): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/**
 * Something that a person asked for: one at a time, its fault shown until the next try. `look`: it is done when this has shown what came of it, so that
 * what the person does next has seen it.
 */
export function useAction(look?: () => Promise<void>): {
  readonly busy: boolean;
  readonly error: string | null;
  readonly run: (action: () => Promise<void>) => Promise<boolean>;
  readonly clear: () => void;
} {
  const [state, setState] = useState<{ busy: boolean; error: string | null }>({ busy: false, error: null });
  const run = useCallback(
    async (action: () => Promise<void>) => {
      setState({ busy: true, error: null });
      try {
        await action();
        await look?.();
        setState({ busy: false, error: null });
        return true;
      } catch (thrown) {
        setState({ busy: false, error: messageOf(thrown) });
        return false;
      }
    },
    [look],
  );
  const clear = useCallback(() => setState({ busy: false, error: null }), []);
  return { ...state, run, clear };
}

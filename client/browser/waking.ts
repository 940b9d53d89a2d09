/** When a page should look for its peers at once: the network came back, somebody looks at it, the browser thawed it, the machine woke. */

/** Timers of a page that nobody looks at run once a minute at worst; a longer gap is sleep. */
const LOOK_MS = 5000;
const ASLEEP_MS = 75_000;

/** Calls `wake` until what it answers is called. */
export function onWake(wake: () => void): () => void {
  const stop = new AbortController();
  const listen = (target: EventTarget | undefined, name: string): void =>
    target?.addEventListener(
      name,
      () => {
        if (name !== 'visibilitychange' || globalThis.document.visibilityState !== 'hidden') wake();
      },
      { signal: stop.signal },
    );
  listen(globalThis, 'online');
  listen(globalThis, 'pageshow');
  listen(globalThis.document, 'visibilitychange');
  listen(globalThis.document, 'resume');
  let seenMs = Date.now();
  const timer = setInterval(() => {
    const nowMs = Date.now();
    if (nowMs - seenMs > ASLEEP_MS) wake();
    seenMs = nowMs;
  }, LOOK_MS);
  return () => {
    stop.abort();
    clearInterval(timer);
  };
}

/** Calls when the browser has no network any more. A line that is gone by that tells nobody: it would count as there until it has been silent for long. */
export function onOffline(doubt: () => void): () => void {
  const stop = new AbortController();
  globalThis.addEventListener?.('offline', doubt, { signal: stop.signal });
  return () => stop.abort();
}

/** Calls whenever somebody begins to look at the page. */
export function onShow(show: () => void): () => void {
  const stop = new AbortController();
  const shown = (): void => {
    if (globalThis.document.visibilityState === 'visible') show();
  };
  globalThis.document?.addEventListener('visibilitychange', shown, { signal: stop.signal });
  return () => stop.abort();
}

/** Calls once when the page goes away for good; one that the browser keeps to come back to goes on. */
export function onLeave(leave: () => void): () => void {
  const stop = new AbortController();
  globalThis.addEventListener?.(
    'pagehide',
    (event) => {
      if (!(event as PageTransitionEvent).persisted) leave();
    },
    { signal: stop.signal },
  );
  return () => stop.abort();
}

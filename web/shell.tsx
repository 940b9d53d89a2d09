/** The page around its views: where one can go, how the node stands, and what is said aloud. */
import type { JSX } from 'preact';
import { useCallback, useEffect, useLayoutEffect, useErrorBoundary, useMemo, useRef, useState } from 'preact/hooks';

import { AppContext, messageOf, useLoaded, type App } from './hooks.ts';
import { LiveLog, type LiveState } from './live-log.ts';
import { Icon, Mark } from './icons.tsx';
import { Empty, Notice, Problem, Sentence } from './parts.tsx';
import { linkTo, parseRoute, TITLES, VIEWS, type Route, type ViewName } from './route.ts';
import type { Source, Status } from './source.ts';
import { shortId } from './words.ts';
import { ConflictsView } from './views/conflicts.tsx';
import { DataView } from './views/data.tsx';
import { DevicesView } from './views/devices.tsx';
import { HealthView } from './views/health.tsx';
import { LogView } from './views/log.tsx';
import { PairView } from './views/pair.tsx';

const STATUS_EVERY_MS = 2000;

/** Those that a device in the browser has no part in. */
const OF_NODES: ReadonlySet<ViewName> = new Set(['pair', 'health']);

export function Shell({ source }: { source: Source }): JSX.Element {
  const [route, setRoute] = useState<Route>(() => parseRoute(window.location.hash));
  const [space, setSpace] = useState<string | null>(source.space);
  const [liveState, setLiveState] = useState<LiveState>('connecting');
  const [said, setSaid] = useState('');
  const { value: status = null, error, reload: reloadStatus } = useLoaded(() => source.status(), [], STATUS_EVERY_MS);
  const live = useMemo(() => new LiveLog(source, setLiveState), [source, space]);
  useEffect(() => () => live.close(), [live]);

  const main = useRef<HTMLElement>(null);
  // As far down as a phone's list was when one of it was chosen, which then took its place.
  const left = useRef({ view: route.view, listY: 0 });
  const shown = useRef(route);
  shown.current = route;
  // As soon as it is drawn: an effect comes a frame later, and what the address became in between would be missed.
  useLayoutEffect(() => {
    const onHash = (): void => {
      const { view, item } = shown.current;
      left.current = { view, listY: item === null ? window.scrollY : left.current.listY };
      setRoute(parseRoute(window.location.hash));
    };
    window.addEventListener('hashchange', onHash);
    return () => window.removeEventListener('hashchange', onHash);
  }, []);

  const isFirst = useRef(true);
  const place = `${route.view} ${route.item ?? ''}`;
  useEffect(() => {
    document.title = `${route.item ?? TITLES[route.view]} · ${status?.device.name ?? 'Tidelog'} · Tidelog`;
  }, [place, status?.device.name]);
  useEffect(() => {
    // Who came by a link or a key begins to read where the new view begins.
    if (!isFirst.current) main.current?.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true });
    isFirst.current = false;
    const isBackAtList = route.view === 'data' && route.item === null && left.current.view === 'data';
    window.scrollTo(0, isBackAtList ? left.current.listY : 0);
  }, [place]);

  const say = useCallback((text: string) => {
    setSaid('');
    setTimeout(() => setSaid(text), 50);
  }, []);
  const chooseSpace = (id: string): void => {
    source.space = id;
    setSpace(id);
  };
  const current = status?.spaces.find(({ id }) => id === space) ?? status?.spaces[0] ?? null;
  const app = useMemo<App>(
    () => ({ source, live, liveState, status, current, say, reloadStatus }),
    [source, live, liveState, status, current, say, reloadStatus],
  );

  return (
    <AppContext.Provider value={app}>
      <a class="skip" href="#main" onClick={(event) => skipTo(event, main.current)}>
        Skip to the content
      </a>
      <header class="top">
        <div class="who">
          <span class="brand">
            <Mark /> Tidelog
          </span>
          <span class="device">{status?.device.name ?? '…'}</span>
          <Standing error={error} liveState={liveState} own={source.node === null ? status : null} />
        </div>
        {status && status.spaces.length > 1 && (
          <label class="space">
            <span>Space</span>
            <select value={current?.id ?? ''} onChange={(event) => chooseSpace(event.currentTarget.value)}>
              {status.spaces.map(({ id, name }) => (
                <option key={id} value={id}>
                  {status.spaces.some((other) => other.name === name && other.id !== id)
                    ? `${name} (${shortId(id)})`
                    : name}
                </option>
              ))}
            </select>
          </label>
        )}
        <Navigation
          views={VIEWS.filter((view) => source.node !== null || !OF_NODES.has(view))}
          route={route}
          status={status}
          conflicts={current?.conflicts ?? 0}
        />
        {source.node !== null && (
          <button type="button" class="quiet leave" onClick={() => void source.leave()}>
            Leave
          </button>
        )}
      </header>
      <main id="main" ref={main} key={space ?? ''}>
        {/* A node's are under Health. */}
        {source.node === null &&
          status?.warnings.map((warning) => (
            <Notice kind="warn" key={warning}>
              <Sentence>{warning}</Sentence>
            </Notice>
          ))}
        {source.node === null && OF_NODES.has(route.view) ? (
          <OnNodes view={route.view} />
        ) : (
          <Held key={route.view} route={route} />
        )}
      </main>
      <div class="hidden" role="status" aria-live="polite">
        {said}
      </div>
    </AppContext.Provider>
  );
}

/** A link to a fragment would change the route. */
function skipTo(event: Event, main: HTMLElement | null): void {
  event.preventDefault();
  main?.querySelector<HTMLElement>('h1')?.focus();
}

/** `own`: of a device in the browser, which is never without its data; null for a node. */
function Standing({
  error,
  liveState,
  own,
}: {
  error: string | null;
  liveState: LiveState;
  own: Status | null;
}): JSX.Element {
  const [state, text] = standingOf(error, liveState, own);
  return (
    <span class={`standing ${state}`} title={error ?? undefined}>
      <span aria-hidden="true" class="dot" />
      {text}
    </span>
  );
}

function standingOf(error: string | null, liveState: LiveState, own: Status | null): ['good' | 'wait' | 'bad', string] {
  if (error !== null) return ['bad', 'no answer'];
  if (own?.peersElsewhere) return ['good', 'by another tab'];
  if (own?.isRevoked) return ['bad', 'revoked'];
  if (own?.peers.some(({ connected }) => connected)) return ['good', 'connected'];
  // It has not failed yet.
  if (own?.peers.some((peer) => peer.error === null)) return ['wait', 'connecting'];
  if (own) return ['wait', 'offline, kept here'];
  return liveState === 'live' ? ['good', 'live'] : ['wait', 'connecting'];
}

function OnNodes({ view }: { view: ViewName }): JSX.Element {
  return (
    <>
      <h1 tabIndex={-1}>{TITLES[view]}</h1>
      <Empty title="That is on a node’s page">
        This browser is a device of its own: nobody can reach it to be let in, and it measures nothing. Run{' '}
        <code>tidelog open</code> on the machine of a node.
      </Empty>
    </>
  );
}

function Navigation({
  views,
  route,
  status,
  conflicts,
}: {
  views: readonly ViewName[];
  route: Route;
  status: Status | null;
  conflicts: number;
}): JSX.Element {
  const counts: Partial<Record<ViewName, [number, string]>> = {
    conflicts: [conflicts, 'to decide'],
    pair: [status?.pending ?? 0, 'waiting'],
    health: [status?.warnings.length ?? 0, 'warnings'],
  };
  return (
    <nav aria-label="Views">
      <ul>
        {views.map((view) => {
          const [count, what] = counts[view] ?? [0, ''];
          return (
            <li key={view}>
              <a href={linkTo(view)} aria-current={route.view === view ? 'page' : undefined}>
                <Icon of={view} />
                <span class="title">{TITLES[view]}</span>
                {count > 0 && (
                  <span class="count">
                    {count}
                    <span class="hidden"> {what}</span>
                  </span>
                )}
              </a>
            </li>
          );
        })}
      </ul>
    </nav>
  );
}

/** What one view fails at, by a value that somebody else wrote or otherwise, takes away neither the other views nor the way to them. */
function Held({ route }: { route: Route }): JSX.Element {
  const [error, retry] = useErrorBoundary();
  useEffect(() => retry(), [route.item]);
  if (error === undefined) return <ViewOf route={route} />;
  return (
    <>
      <h1 tabIndex={-1}>{TITLES[route.view]}</h1>
      <Problem onRetry={retry}>{messageOf(error)}</Problem>
    </>
  );
}

function ViewOf({ route }: { route: Route }): JSX.Element {
  switch (route.view) {
    case 'data':
      return <DataView subject={route.item} />;
    case 'conflicts':
      return <ConflictsView />;
    case 'devices':
      return <DevicesView />;
    case 'pair':
      return <PairView />;
    case 'log':
      return <LogView cursor={route.item} />;
    case 'health':
      return <HealthView />;
  }
}

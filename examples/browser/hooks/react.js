// For React 18 and newer, and for Preact by its alias `preact/compat`.
import { useMemo, useSyncExternalStore } from 'react';

/** A resource and whatever becomes of it: undefined until it is read, null where there is none. */
export function useResource(db, subject) {
  return useLive(useMemo(() => lasting(() => db.live(subject)), [db, subject]));
}

/** The resources with a prefix; undefined until they are read. */
export function useResources(db, prefix, limit = 1000) {
  return useLive(useMemo(() => lasting(() => db.liveList({ prefix, limit })), [db, prefix, limit]));
}

function useLive({ subscribe, value }) {
  return useSyncExternalStore(subscribe, value, () => undefined);
}

/** Open as long as a component shows it. */
function lasting(begin) {
  let live;
  return {
    value: () => live?.value,
    subscribe(onChange) {
      live ??= begin();
      const mine = live;
      mine.subscribe(onChange);
      return () => {
        mine.close();
        if (live === mine) live = undefined;
      };
    },
  };
}

/** Icons of the views, drawn in lines of the text's colour. They stand beside words, and are hidden from who listens. */
import type { JSX } from 'preact';

import type { ViewName } from './route.ts';

const PATHS: Readonly<Record<ViewName, string>> = {
  data: 'M4 6c0-1.7 3.6-3 8-3s8 1.3 8 3-3.6 3-8 3-8-1.3-8-3zm0 0v12c0 1.7 3.6 3 8 3s8-1.3 8-3V6M4 12c0 1.7 3.6 3 8 3s8-1.3 8-3',
  conflicts:
    'M7 8v8M7 8a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zm0 8a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5zM17 8a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zm0 0c0 4-3 5-7 6',
  devices:
    'M4 17V6.5A1.5 1.5 0 0 1 5.5 5h11A1.5 1.5 0 0 1 18 6.5V8M2 19h10M15.5 11h4a1.5 1.5 0 0 1 1.5 1.5v6a1.5 1.5 0 0 1-1.5 1.5h-4a1.5 1.5 0 0 1-1.5-1.5v-6a1.5 1.5 0 0 1 1.5-1.5z',
  pair: 'M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h2v2h-2zM18 18h2v2h-2zM20 14h.01M14 20h.01',
  log: 'M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01',
  health: 'M3 12h4l2.5-7 5 14 2.5-7h4',
};

export function Icon({ of }: { of: ViewName }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[of]} />
    </svg>
  );
}

export function Mark(): JSX.Element {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <path d="M4 12c4-5 8-5 12 0s8 5 12 0M4 21c4-5 8-5 12 0s8 5 12 0" />
    </svg>
  );
}

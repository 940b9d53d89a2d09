/** Where in the page one is: the fragment, so that no view asks the node for a path, and the back button works. */
export const VIEWS = ['data', 'conflicts', 'devices', 'pair', 'log', 'health'] as const;
export type ViewName = (typeof VIEWS)[number];

export const TITLES: Readonly<Record<ViewName, string>> = {
  data: 'Data',
  conflicts: 'Conflicts',
  devices: 'Devices',
  pair: 'Pair',
  log: 'Log',
  health: 'Health',
};

export interface Route {
  readonly view: ViewName;
  /** A subject, or a cursor. */
  readonly item: string | null;
}

/** `#/data/note%2F1`. */
export function parseRoute(fragment: string): Route {
  const [view = '', ...rest] = fragment.replace(/^#\/?/, '').split('/');
  const item = rest.join('/');
  const known = VIEWS.find((name) => name === view);
  if (!known) return { view: 'data', item: null };
  return { view: known, item: item === '' ? null : decode(item) };
}

export function linkTo(view: ViewName, item?: string): string {
  return item === undefined ? `#/${view}` : `#/${view}/${encodeURIComponent(item)}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** What a link that leads to the page brings in its fragment: a session's secret, or an invitation to pair. */
export type Arrival =
  | { readonly by: 'session'; readonly secret: string }
  | { readonly by: 'pair'; readonly link: string }
  /** A pairing link that none of ours looks like. */
  | { readonly by: 'damaged' };

/**
 * null: the fragment is no more than a place in the page. Any site may link here with a fragment of its own making, and a pairing link is shown inside a
 * shell command, to be copied: only what can't end the quotes there is taken for one.
 */
export function arrivalOf(origin: string, hash: string): Arrival | null {
  const [, kind, value = ''] = /^#(session|pair)=(.*)$/s.exec(hash) ?? [];
  if (kind === 'session') return { by: 'session', secret: value };
  if (kind !== 'pair') return null;
  return /^[\w-]+$/.test(value) ? { by: 'pair', link: `${origin}/#pair=${value}` } : { by: 'damaged' };
}

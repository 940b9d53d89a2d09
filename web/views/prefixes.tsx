/** The parts below a prefix, to go into; and the way back. */
import type { JSX } from 'preact';

import { useApp, useLive, useLoaded, useSettled } from '../hooks.ts';
import { partOf, partsUnder, type Parts } from '../prefixes.ts';
import type { Change } from '../source.ts';

/** Several requests each time. */
const SETTLE_MS = 1000;

export function Prefixes({
  prefix,
  contains,
  onPrefix,
}: {
  prefix: string;
  contains: string;
  onPrefix: (prefix: string) => void;
}): JSX.Element | null {
  const { source } = useApp();
  const { value, reload } = useLoaded(
    () =>
      partsUnder(prefix, (after, limit) =>
        source.resources({ prefix, contains, limit, ...(after !== null && { after }) }),
      ),
    [prefix, contains],
  );
  const refresh = useSettled(reload, SETTLE_MS);
  useLive((commit) => {
    if (commit === null || !value || commit.changes.some((change) => mayAlter(value, change))) refresh();
  });

  const parts = value?.parts ?? [];
  const up = prefix.slice(0, Math.max(0, prefix.lastIndexOf('/', prefix.length - 2) + 1));
  if (parts.length === 0 && prefix === '') return null;
  return (
    <div class="prefixes" role="group" aria-label="Prefixes">
      {prefix !== '' && (
        <button type="button" class="chip" onClick={() => onPrefix(up)}>
          ↑ {up === '' ? 'all' : up}
        </button>
      )}
      {parts.map((part) => (
        <button type="button" class="chip" key={part} onClick={() => onPrefix(part)}>
          {part}
        </button>
      ))}
      {value?.isCut && <span class="hint">and perhaps more</span>}
    </div>
  );
}

/** It makes a part that isn't shown yet, or may take one away. */
function mayAlter({ prefix, parts, isCut }: Parts, { subject, destroy }: Change): boolean {
  const part = partOf(subject, prefix);
  if (part === null) return false;
  if (parts.includes(part)) return destroy === true;
  return !isCut || parts.some((shown) => part < shown);
}

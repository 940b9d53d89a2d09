/** Conflicts: what several devices wrote at once, side by side, until a person has chosen. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import { useAction, useApp, useLive, useLoaded, useSettled } from '../hooks.ts';
import { Empty, Loading, Problem, Time } from '../parts.tsx';
import { linkTo } from '../route.ts';
import type { Alternative, Conflict, Json } from '../source.ts';
import { draftOf, parse, type Draft } from '../typed-value.ts';
import { brief, plural, shortId } from '../words.ts';
import { ValueEditor } from './value-editor.tsx';

export function ConflictsView(): JSX.Element {
  const { source } = useApp();
  const { value: page, error, reload } = useLoaded(() => source.conflicts(), []);
  const refresh = useSettled(reload);
  useLive(refresh);
  return (
    <>
      <h1 tabIndex={-1}>Conflicts</h1>
      {error !== null && <Problem onRetry={reload}>{error}</Problem>}
      {page === undefined && error === null && <Loading rows={4} what="conflicts" />}
      {page?.items.length === 0 && (
        <Empty title="Nothing to decide">
          When two devices write the same property without knowing of each other, both values are kept, and you choose
          here.
        </Empty>
      )}
      {page && page.items.length > 0 && (
        <p role="status">
          {plural(page.items.length, 'property', 'properties')} to decide
          {page.next === null ? '' : ', and more after these'}. What you choose counts on all devices.
        </p>
      )}
      <ul class="cards wide">
        {page?.items.map((conflict) => (
          <ConflictCard key={`${conflict.subject}\n${conflict.property}`} conflict={conflict} onDecided={reload} />
        ))}
      </ul>
    </>
  );
}

function ConflictCard({ conflict, onDecided }: { conflict: Conflict; onDecided: () => Promise<void> }): JSX.Element {
  const { source, say, reloadStatus } = useApp();
  const { subject, property, alternatives } = conflict;
  const [draft, setDraft] = useState<Draft | null>(null);
  const { busy, error, run } = useAction(onDecided);
  const parsed = draft && parse(draft);

  const decide = async (value: Json): Promise<void> => {
    const isDone = await run(() => decideOn(source, conflict, value));
    if (!isDone) return;
    say(`${property} of ${subject} is decided`);
    reloadStatus();
  };
  return (
    <li class="card">
      <h2>
        <a class="subject" href={linkTo('data', subject)}>
          {subject}
        </a>{' '}
        <span class="property-name">{property}</span>
      </h2>
      <ul class="candidates">
        {alternatives.map((alternative, at) => (
          <Candidate
            key={`${alternative.device} ${alternative.time}`}
            alternative={alternative}
            isShown={at === 0}
            busy={busy}
            what={`${property} of ${subject}`}
            onChoose={() => void decide(alternative.value)}
          />
        ))}
      </ul>
      {error !== null && <Problem>{error}</Problem>}
      {draft === null ? (
        <button type="button" class="quiet" onClick={() => setDraft(draftOf(alternatives[0]?.value ?? ''))}>
          Write another value
        </button>
      ) : (
        <form
          class="boxed"
          onSubmit={(event) => {
            event.preventDefault();
            if (parsed && 'value' in parsed) void decide(parsed.value);
          }}
        >
          <ValueEditor label={`new ${property}`} draft={draft} onChange={setDraft} />
          <div class="buttons">
            <button type="submit" class="primary" disabled={busy || !parsed || 'fault' in parsed}>
              Use this value
            </button>
            <button type="button" onClick={() => setDraft(null)}>
              Cancel
            </button>
          </div>
        </form>
      )}
    </li>
  );
}

/** A value for good, and no value where the chosen one is nothing: null takes a property away. */
async function decideOn(
  source: ReturnType<typeof useApp>['source'],
  { subject, property }: Conflict,
  value: Json,
): Promise<void> {
  const now = await source.resource(subject);
  // What came since then is one more candidate, which the list shows next.
  if (value === null) await source.write(subject, {}, [property], now?.etag);
  else await source.write(subject, { [property]: value }, [], now?.etag);
}

function Candidate({
  alternative,
  isShown,
  busy,
  what,
  onChoose,
}: {
  alternative: Alternative;
  isShown: boolean;
  busy: boolean;
  what: string;
  onChoose: () => void;
}): JSX.Element {
  const by = alternative.deviceName || shortId(alternative.device);
  return (
    <li>
      <p class="badge">{isShown ? 'Shows until you decide' : 'Kept beside it'}</p>
      <p class="value">{brief(alternative.value)}</p>
      <p class="meta">
        {by}, <Time us={alternative.time} />
      </p>
      <button type="button" disabled={busy} onClick={onChoose}>
        Choose
        <span class="hidden">
          {' '}
          what {by} wrote for {what}
        </span>
      </button>
    </li>
  );
}

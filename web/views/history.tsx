/** Who wrote what on a resource and when, and an older value brought back. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import { useAction, useApp, useLive, useLoaded, useSettled } from '../hooks.ts';
import { Confirm, Loading, Problem, Time } from '../parts.tsx';
import { linkTo } from '../route.ts';
import { isReserved, type Commit, type Page, type Properties, type Resource } from '../source.ts';
import { isSame } from '../typed-value.ts';
import { brief, describe, shortId, timeOfUs, VALUE_IN_LIST } from '../words.ts';

const PAGE = 30;

export function ResourceHistory({
  subject,
  resource,
  onStored,
}: {
  subject: string;
  resource: Resource | null;
  onStored: () => Promise<void>;
}): JSX.Element {
  const { source, say } = useApp();
  const first = useLoaded(() => source.newest({ subject, limit: PAGE }), [subject]);
  const [older, setOlder] = useState<readonly Page<Commit>[]>([]);
  const refresh = useSettled(first.reload);
  useLive((commit) => {
    if (commit === null || commit.changes.some((change) => change.subject === subject)) refresh();
  });
  const [chosen, setChosen] = useState<{ commit: Commit; set: Properties } | null>(null);
  const more = useAction();
  const bringing = useAction(onStored);

  const pages = first.value ? [first.value, ...older] : [];
  const items = [...new Map(pages.flatMap((page) => page.items).map((commit) => [commit.id, commit])).values()];
  const next = pages.at(-1)?.next ?? null;

  const bringBack = async (): Promise<void> => {
    const isDone = await bringing.run(() => source.write(subject, chosen!.set, [], resource?.etag ?? null));
    if (!isDone) return;
    setChosen(null);
    say('The older value is back');
  };
  const showOlder = (): void =>
    void more.run(async () => {
      const page = await source.newest({ subject, limit: PAGE, before: next! });
      setOlder((old) => [...old, page]);
    });

  return (
    <section class="history" aria-labelledby="history-title">
      <h2 id="history-title">History</h2>
      {first.error !== null && <Problem onRetry={first.reload}>{first.error}</Problem>}
      {first.value === undefined && first.error === null && <Loading rows={3} what="the history" />}
      {first.value && items.length === 0 && next === null && <p class="hint">Nobody ever wrote it.</p>}
      <ol class="commits timeline">
        {items.map((commit) => (
          <HistoryEntry
            key={commit.id}
            commit={commit}
            subject={subject}
            now={resource?.properties ?? {}}
            onBringBack={(set) => setChosen({ commit, set })}
          />
        ))}
      </ol>
      {more.error !== null && <Problem>{more.error}</Problem>}
      {next !== null && (
        <button type="button" disabled={more.busy} onClick={showOlder}>
          Show older
        </button>
      )}
      {chosen && (
        <Confirm
          title="Bring this back?"
          action="Bring it back"
          busy={bringing.busy}
          error={bringing.error}
          onConfirm={() => void bringBack()}
          onClose={() => {
            setChosen(null);
            bringing.clear();
          }}
        >
          <p>
            As {chosen.commit.deviceName || shortId(chosen.commit.device)} wrote it on {timeOfUs(chosen.commit.time)}.
            It becomes a new commit; nothing is lost.
          </p>
          <Comparison then={chosen.set} now={resource?.properties ?? {}} />
        </Confirm>
      )}
    </section>
  );
}

function HistoryEntry({
  commit,
  subject,
  now,
  onBringBack,
}: {
  commit: Commit;
  subject: string;
  now: Properties;
  onBringBack: (set: Properties) => void;
}): JSX.Element {
  const change = commit.changes.find((candidate) => candidate.subject === subject);
  const set = change?.set ?? {};
  // What has another value now, and can be written: null can't.
  const older = Object.fromEntries(
    Object.entries(set).filter(([name, value]) => value !== null && !isSame(now[name], value)),
  );
  const lines = change ? describe(change, VALUE_IN_LIST) : ['its content was taken out by a revocation'];
  return (
    <li>
      <p class="when">
        <strong>{commit.deviceName || shortId(commit.device)}</strong>{' '}
        <a href={linkTo('log', commit.cursor)}>
          <Time us={commit.time} />
        </a>
      </p>
      <ul class="ops">
        {lines.map((line) => (
          <li key={line}>{line}</li>
        ))}
      </ul>
      {Object.keys(older).length > 0 && !isReserved(subject) && (
        <button type="button" class="quiet" onClick={() => onBringBack(older)}>
          Compare and bring back
        </button>
      )}
    </li>
  );
}

function Comparison({ then, now }: { then: Properties; now: Properties }): JSX.Element {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Then and now">
      <table>
        <thead>
          <tr>
            <th scope="col">Property</th>
            <th scope="col">Then</th>
            <th scope="col">Now</th>
          </tr>
        </thead>
        <tbody>
          {Object.entries(then).map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{brief(value)}</td>
              <td>{name in now ? brief(now[name]) : '(not there)'}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

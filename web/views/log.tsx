/** Log: commits as they come, newest first, by device and subject; and one of them in full. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';

import { useAction, useApp, useLive, useLoaded } from '../hooks.ts';
import { Empty, Field, Loading, Problem, TextField, Time } from '../parts.tsx';
import { linkTo } from '../route.ts';
import type { Commit, Page } from '../source.ts';
import { describe, nameOf, number, shortId, subjectInList, VALUE_IN_LIST } from '../words.ts';
import { CommitView } from './commit.tsx';

const PAGE = 50;
/** More would make the page slow, and nobody reads them. */
const LIVE_MAX = 300;

/** What came while the list is held still. */
interface Since {
  readonly commits: readonly Commit[];
  readonly count: number;
  /** `commits` are all that came. */
  readonly isWhole: boolean;
}

const NOTHING: Since = { commits: [], count: 0, isWhole: true };

function withOneMore({ commits, count, isWhole }: Since, commit: Commit): Since {
  if (commits.length === LIVE_MAX) return { commits, count: count + 1, isWhole: false };
  return { commits: [commit, ...commits], count: count + 1, isWhole };
}

export function LogView({ cursor }: { cursor: string | null }): JSX.Element {
  return cursor === null ? <LogTail /> : <CommitView key={cursor} cursor={cursor} />;
}

function LogTail(): JSX.Element {
  const { source, liveState } = useApp();
  const [subject, setSubject] = useState('');
  const [device, setDevice] = useState('');
  const [isHeld, setHeld] = useState(false);
  const [arrived, setArrived] = useState<readonly Commit[]>([]);
  const [since, setSince] = useState<Since>(NOTHING);
  const [older, setOlder] = useState<readonly Page<Commit>[]>([]);
  const devices = useLoaded(() => source.devices(), []);
  const filter = { limit: PAGE, ...(subject !== '' && { subject }), ...(device !== '' && { device }) };
  const first = useLoaded(() => source.newest(filter), [subject, device]);
  const more = useAction();

  useEffect(() => {
    setArrived([]);
    setSince(NOTHING);
    setOlder([]);
  }, [subject, device]);
  useLive((commit) => {
    if (commit === null) {
      if (isHeld) setSince((old) => ({ ...old, isWhole: false }));
      else first.reload();
      return;
    }
    if (subject !== '' && !commit.changes.some((change) => change.subject === subject)) return;
    if (device !== '' && commit.device !== device) return;
    if (isHeld) setSince((old) => withOneMore(old, commit));
    else setArrived((old) => [commit, ...old].slice(0, LIVE_MAX));
  });

  const pages = first.value ? [first.value, ...older] : [];
  const next = pages.at(-1)?.next ?? null;
  const all = [...arrived, ...pages.flatMap((page) => page.items)];
  const byId = new Map(all.map((commit) => [commit.id, commit]));
  const items = [...byId.values()];
  // What came while the first page was on its way is in it.
  const came = since.count - since.commits.filter(({ id }) => byId.has(id)).length;
  const goOn = (): void => {
    setHeld(false);
    setSince(NOTHING);
    if (since.isWhole) return setArrived((old) => [...since.commits, ...old].slice(0, LIVE_MAX));
    setArrived([]);
    setOlder([]);
    first.reload();
  };
  const showOlder = (): void =>
    void more.run(async () => {
      const page = await source.newest({ ...filter, before: next! });
      setOlder((old) => [...old, page]);
    });

  return (
    <>
      <h1 tabIndex={-1}>Log</h1>
      <div class="filters row">
        <Field label="Device">
          {(ids) => (
            <select {...ids} value={device} onChange={(event) => setDevice(event.currentTarget.value)}>
              <option value="">all</option>
              {devices.value?.map((each) => (
                <option key={each.id} value={each.id}>
                  {nameOf(each)}
                </option>
              ))}
            </select>
          )}
        </Field>
        <TextField
          label="Subject"
          placeholder="note/1"

          value={subject}
          onText={setSubject}
        />
        <button type="button" aria-pressed={isHeld} onClick={isHeld ? goOn : () => setHeld(true)}>
          {isHeld ? 'Go on' : 'Hold still'}
        </button>
      </div>
      <p class="hint">
        {isHeld
          ? `Held still. ${number(came)} came since.`
          : liveState === 'live'
            ? 'New commits appear on top as they are stored.'
            : 'Not following at the moment; it tries again.'}
      </p>
      {first.error !== null && <Problem onRetry={first.reload}>{first.error}</Problem>}
      {first.value === undefined && first.error === null && <Loading rows={8} what="the log" />}
      {first.value && items.length === 0 && next === null && (
        <Empty title="No commits">
          {subject === '' && device === ''
            ? 'The log begins with the first thing that is written.'
            : 'Nothing matches. Try another device or subject.'}
        </Empty>
      )}
      <ol class="commits rows">
        {items.map((commit) => (
          <LogEntry key={commit.id} commit={commit} />
        ))}
      </ol>
      {more.error !== null && <Problem>{more.error}</Problem>}
      {next !== null && (
        <button type="button" disabled={more.busy} onClick={showOlder}>
          Show older
        </button>
      )}
    </>
  );
}

/** Changes that a line in the list shows; the rest are in the commit. */
const CHANGES_SHOWN = 3;

function LogEntry({ commit }: { commit: Commit }): JSX.Element {
  const rest = commit.changes.length - CHANGES_SHOWN;
  return (
    <li>
      <p class="when">
        <a href={linkTo('log', commit.cursor)}>
          <Time us={commit.time} />
        </a>{' '}
        <strong>{commit.deviceName || shortId(commit.device)}</strong>
      </p>
      <ul class="ops">
        {commit.erased && <li>its content was taken out by a revocation</li>}
        {commit.changes.slice(0, CHANGES_SHOWN).map((change) => (
          <li key={change.subject}>
            <a class="subject" href={linkTo('data', change.subject)}>
              {subjectInList(change.subject)}
            </a>{' '}
            {describe(change, VALUE_IN_LIST).join(', ')}
          </li>
        ))}
        {rest > 0 && <li>and {number(rest)} more</li>}
      </ul>
    </li>
  );
}

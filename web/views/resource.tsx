/** One resource: its properties, edited in place; it changes as others write. Its history below. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import { useAction, useApp, useLive, useLoaded, useSettled } from '../hooks.ts';
import { Confirm, Empty, Loading, Notice, Problem, TextField, Time } from '../parts.tsx';
import { linkTo } from '../route.ts';
import { isReserved, type Json, type Properties, type Resource } from '../source.ts';
import { draftOf, isSame, parse, type Draft } from '../typed-value.ts';
import { brief } from '../words.ts';
import { ResourceHistory } from './history.tsx';
import { ValueEditor } from './value-editor.tsx';

export function ResourceView({ subject }: { subject: string }): JSX.Element {
  const { source, say } = useApp();
  const { value: resource, error, reload } = useLoaded(() => source.resource(subject), [subject]);
  const refresh = useSettled(reload);
  useLive((commit) => {
    if (commit === null || commit.changes.some((change) => change.subject === subject)) refresh();
  });
  const [isRemoving, setRemoving] = useState(false);
  const [isAdding, setAdding] = useState(false);
  const removal = useAction(reload);

  const remove = async (): Promise<void> => {
    const isDone = await removal.run(() => source.destroy(subject, resource!.etag));
    if (!isDone) return;
    setRemoving(false);
    say(`${subject} is deleted`);
  };

  return (
    <article>
      <a class="back" href={linkTo('data')}>
        ← All data
      </a>
      <h1 tabIndex={-1} class="subject">
        {subject}
      </h1>
      {error !== null && <Problem onRetry={reload}>{error}</Problem>}
      {resource === undefined && error === null && <Loading rows={4} what={subject} />}
      {resource === null && (
        <Empty title="It isn’t there">
          It was deleted, or never written. If it was deleted, an older value can be brought back from its history
          below.
        </Empty>
      )}
      {resource && (
        <>
          <dl class="properties">
            {Object.keys(resource.properties).map((name) => (
              <PropertyRow key={name} name={name} resource={resource} onStored={reload} />
            ))}
          </dl>
          {isReserved(subject) ? (
            <Notice>
              The space itself keeps this, as what is known of its devices. It is changed under{' '}
              <a href={linkTo('devices')}>Devices</a>.
            </Notice>
          ) : isAdding ? (
            <AddProperty resource={resource} onClose={() => setAdding(false)} onStored={reload} />
          ) : (
            <div class="buttons">
              <button type="button" onClick={() => setAdding(true)}>
                Add a property
              </button>
              <button type="button" class="danger" onClick={() => setRemoving(true)}>
                Delete
              </button>
            </div>
          )}
        </>
      )}
      <ResourceHistory subject={subject} resource={resource ?? null} onStored={reload} />
      {isRemoving && (
        <Confirm
          title={`Delete ${subject}?`}
          action="Delete it everywhere"
          danger
          busy={removal.busy}
          error={removal.error}
          onConfirm={() => void remove()}
          onClose={() => {
            setRemoving(false);
            removal.clear();
          }}
        >
          <p>It goes away on all devices. Its history stays, and older values can be brought back from there.</p>
        </Confirm>
      )}
    </article>
  );
}

function PropertyRow({
  name,
  resource,
  onStored,
}: {
  name: string;
  resource: Resource;
  onStored: () => Promise<void>;
}): JSX.Element {
  const { source, say } = useApp();
  const [edit, setEdit] = useState<{ draft: Draft; before: Json } | null>(null);
  const { busy, error, run, clear } = useAction(onStored);
  const value = resource.properties[name] ?? null;
  const meta = resource.meta[name];
  const parsed = edit && parse(edit.draft);
  const isStale = edit !== null && !busy && !isSame(edit.before, value);

  const close = (): void => {
    setEdit(null);
    clear();
  };
  const store = async (): Promise<void> => {
    if (!parsed || !('value' in parsed)) return;
    // Another property may have changed meanwhile, which is no reason to refuse: this one didn't, or the person was told.
    await change({ [name]: parsed.value }, [], 'stored');
  };
  const change = async (set: Properties, unset: readonly string[], word: string): Promise<void> => {
    const isDone = await run(() => source.write(resource.subject, set, unset, resource.etag));
    if (!isDone) return;
    close();
    say(`${name} is ${word}`);
  };

  return (
    <div class="property">
      <dt>{name}</dt>
      <dd>
        {edit === null ? (
          <div class="shown">
            <span class={typeof value === 'object' ? 'value code' : 'value'}>{brief(value)}</span>
            {!isReserved(resource.subject) && (
              <button
                type="button"
                class="quiet"
                aria-label={`Edit ${name}`}
                onClick={() => setEdit({ draft: draftOf(value), before: value })}
              >
                Edit
              </button>
            )}
          </div>
        ) : (
          <form
            onSubmit={(event) => {
              event.preventDefault();
              void store();
            }}
          >
            <ValueEditor label={name} draft={edit.draft} onChange={(draft) => setEdit({ ...edit, draft })} />
            {isStale && (
              <Notice kind="warn">
                {meta?.deviceName || 'Another device'} changed it meanwhile, to “{brief(value)}”. Storing replaces that.
              </Notice>
            )}
            {error !== null && <Problem>{error}</Problem>}
            <div class="buttons">
              <button type="submit" class="primary" disabled={busy || !parsed || 'fault' in parsed}>
                Store
              </button>
              <button type="button" onClick={close}>
                Cancel
              </button>
              <button
                type="button"
                class="danger"
                disabled={busy || Object.keys(resource.properties).length === 1}
                onClick={() => void change({}, [name], 'removed')}
              >
                Remove {name}
              </button>
            </div>
          </form>
        )}
        <p class="meta">
          {meta && (
            <>
              {meta.deviceName || 'a device'}, <Time us={meta.time} />
            </>
          )}
          {meta && meta.conflict.length > 1 && (
            <>
              {' · '}
              <a href={linkTo('conflicts')}>{meta.conflict.length} devices wrote it at once: decide</a>
            </>
          )}
        </p>
      </dd>
    </div>
  );
}

function AddProperty({
  resource,
  onClose,
  onStored,
}: {
  resource: Resource;
  onClose: () => void;
  onStored: () => Promise<void>;
}): JSX.Element {
  const { source, say } = useApp();
  const [name, setName] = useState('');
  const [draft, setDraft] = useState<Draft>({ type: 'text', text: '' });
  const { busy, error, run } = useAction();
  const parsed = parse(draft);
  const isTaken = !busy && Object.hasOwn(resource.properties, name);
  const store = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (!('value' in parsed) || isTaken) return;
    const { subject } = resource;
    await run(async () => {
      // Whatever else of it changes meanwhile, this name must be free.
      const now = (await source.resource(subject)) ?? resource;
      const isFree = !Object.hasOwn(now.properties, name);
      try {
        if (isFree) await source.write(subject, { [name]: parsed.value }, [], now.etag);
      } finally {
        // Also where it was refused: something else of it has changed.
        await onStored();
      }
      if (!isFree) return;
      onClose();
      say(`${name} is stored`);
    });
  };
  return (
    <form class="boxed" onSubmit={(event) => void store(event)}>
      <TextField
        label="Name of the property"
        required

        value={name}
        onText={setName}
      />
      <ValueEditor label="new value" draft={draft} onChange={setDraft} />
      {isTaken && (
        <Problem>
          There is a property {name} already, and it is “{brief(resource.properties[name])}”. Edit it above, or take
          another name.
        </Problem>
      )}
      {error !== null && <Problem>{error}</Problem>}
      <div class="buttons">
        <button type="submit" class="primary" disabled={busy || isTaken || 'fault' in parsed}>
          Add
        </button>
        <button type="button" onClick={onClose}>
          Cancel
        </button>
      </div>
    </form>
  );
}

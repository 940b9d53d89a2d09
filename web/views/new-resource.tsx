/** A resource that isn't there yet: its subject and its first property. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import { useAction, useApp } from '../hooks.ts';
import { Problem, TextField } from '../parts.tsx';
import { linkTo } from '../route.ts';
import { SourceError } from '../source.ts';
import { parse, type Draft } from '../typed-value.ts';
import { ValueEditor } from './value-editor.tsx';

export function NewResource({ onClose }: { onClose: () => void }): JSX.Element {
  const { source, say } = useApp();
  const [subject, setSubject] = useState('');
  const [property, setProperty] = useState('');
  const [draft, setDraft] = useState<Draft>({ type: 'text', text: '' });
  const [taken, setTaken] = useState<string | null>(null);
  const { busy, error, run } = useAction();
  const parsed = parse(draft);

  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (!('value' in parsed)) return;
    setTaken(null);
    let isTaken = false;
    const isDone = await run(() =>
      source.write(subject, { [property]: parsed.value }, [], null).catch((thrown: unknown) => {
        if (!(thrown instanceof SourceError) || thrown.code !== 'precondition-failed') throw thrown;
        isTaken = true;
      }),
    );
    if (!isDone) return;
    if (isTaken) return setTaken(subject);
    say(`${subject} is stored`);
    onClose();
    window.location.hash = linkTo('data', subject);
  };

  return (
    <form onSubmit={(event) => void save(event)}>
      <h1 tabIndex={-1}>New resource</h1>
      <TextField
        label="Subject"
        hint="Its name, for good. Slashes group what belongs together, like note/1."
        required

        value={subject}
        onText={setSubject}
      />
      <TextField
        label="First property"
        hint="More can be added afterwards."
        required

        value={property}
        onText={setProperty}
      />
      <p class="label">Value</p>
      <ValueEditor label="value" draft={draft} onChange={setDraft} />
      {taken !== null && (
        <Problem>
          <a href={linkTo('data', taken)}>{taken}</a> exists already, and nothing of this is stored. Go to it to change
          it, or take another subject.
        </Problem>
      )}
      {error !== null && <Problem>{error}</Problem>}
      <div class="buttons">
        <button type="submit" class="primary" disabled={busy || 'fault' in parsed}>
          Store it
        </button>
        <button type="button" onClick={onClose}>
          Cancel
        </button>
      </div>
    </form>
  );
}

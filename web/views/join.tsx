/** This node joins another, by its link or by its address. */
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

import { messageOf, useApp, useNode } from '../hooks.ts';
import { Digits, Notice, Problem, TextField } from '../parts.tsx';
import type { JoinStep } from '../source.ts';

interface Progress {
  readonly digits: string | null;
  readonly says: string;
  readonly isDone: boolean;
}

const BEGUN: Progress = { digits: null, says: 'Connecting…', isDone: false };

function advanced(before: Progress, step: JoinStep): Progress {
  switch (step.step) {
    case 'digits':
      return { ...before, digits: step.digits, says: 'Both devices show these digits.' };
    case 'pending':
      return { ...before, says: 'Waiting until a person there lets this device in…' };
    case 'joined':
      return { ...before, says: `Joined ${step.space} as ${step.role}. Its data is coming…` };
    case 'synced':
      return { ...before, says: 'Everything that it has is here.', isDone: true };
  }
}

export function JoinForm(): JSX.Element {
  const { reloadStatus } = useApp();
  const node = useNode();
  const [link, setLink] = useState('');
  const [progress, setProgress] = useState<Progress | null>(null);
  const [error, setError] = useState<string | null>(null);
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);

  const join = async (event: Event): Promise<void> => {
    event.preventDefault();
    const own = new AbortController();
    abort.current = own;
    setError(null);
    setProgress(BEGUN);
    try {
      for await (const step of node.join(link.trim(), own.signal)) setProgress((old) => advanced(old ?? BEGUN, step));
      reloadStatus();
    } catch (thrown) {
      setProgress(null);
      if (!own.signal.aborted) setError(messageOf(thrown));
    }
  };
  const stop = (): void => {
    abort.current?.abort();
    setProgress(null);
  };

  if (progress)
    return (
      <div class="boxed" role="status">
        {progress.digits !== null && <Digits digits={progress.digits} />}
        {progress.isDone ? <Notice kind="good">{progress.says}</Notice> : <p>{progress.says}</p>}
        <button type="button" onClick={stop}>
          {progress.isDone ? 'Done' : 'Stop'}
        </button>
      </div>
    );
  return (
    <form class="boxed" onSubmit={(event) => void join(event)}>
      <TextField
        label="Link or address"
        hint="A link lets this device in at once. By an address like http://192.168.1.20:7600 it asks, and a person there decides."

        required

        value={link}
        onText={setLink}
      />
      {error !== null && <Problem>{error}</Problem>}
      <button type="submit" class="primary">
        Join
      </button>
    </form>
  );
}

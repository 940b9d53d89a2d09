/** Pieces that views are made of. */
import type { ComponentChildren, JSX } from 'preact';
import { useId, useLayoutEffect, useRef } from 'preact/hooks';

import { shortTimeOfUs, timeOfUs } from './words.ts';

export function Problem({ children, onRetry }: { children: ComponentChildren; onRetry?: () => void }): JSX.Element {
  return (
    <div class="notice bad" role="alert">
      <p>{typeof children === 'string' ? <Sentence>{children}</Sentence> : children}</p>
      {onRetry && (
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Notice({
  kind = 'info',
  children,
}: {
  kind?: 'info' | 'warn' | 'good';
  children: ComponentChildren;
}): JSX.Element {
  return <div class={`notice ${kind}`}>{children}</div>;
}

/** What stands where there is nothing yet, with what to do. */
export function Empty({ title, children }: { title: string; children: ComponentChildren }): JSX.Element {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      <div>{children}</div>
    </div>
  );
}

/** Takes the room of what is loading, so that nothing jumps when it is there. */
export function Loading({ rows = 3, what }: { rows?: number; what: string }): JSX.Element {
  return (
    <div class="loading" role="status">
      <span class="hidden">Loading {what}</span>
      {Array.from({ length: rows }, (_, row) => (
        <div class="skeleton" key={row} aria-hidden="true" />
      ))}
    </div>
  );
}

export function Field({
  label,
  hint,
  children,
}: {
  label: string;
  hint?: string;
  children: (ids: { id: string; 'aria-describedby'?: string }) => ComponentChildren;
}): JSX.Element {
  const id = useId();
  const hintId = `${id}-hint`;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children(hint === undefined ? { id } : { id, 'aria-describedby': hintId })}
      {hint !== undefined && (
        <p class="hint" id={hintId}>
          {hint}
        </p>
      )}
    </div>
  );
}

/** For names and addresses, which a browser neither completes nor corrects. */
export function TextField({
  label,
  hint,
  onText,
  ...input
}: {
  label: string;
  hint?: string;
  value: string;
  onText: (text: string) => void;
  required?: boolean;
  placeholder?: string;
}): JSX.Element {
  return (
    <Field label={label} {...(hint !== undefined && { hint })}>
      {(ids) => (
        <input
          {...ids}
          {...input}
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => onText(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

/** The browser's own: it keeps focus inside, closes on Escape, and gives focus back. */
export function Dialog({
  title,
  onClose,
  children,
}: {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
}): JSX.Element {
  const ref = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  // Not useEffect: that is cleaned up after a paint, and until then the focus would be nowhere.
  useLayoutEffect(() => {
    const dialog = ref.current!;
    const before = document.activeElement;
    dialog.showModal();
    return () => {
      dialog.close();
      // What opened it may be gone, with the thing that was removed.
      if (before instanceof HTMLElement && before.isConnected) before.focus();
      else document.querySelector('h1')?.focus();
    };
  }, []);
  const onCancel = (event: Event): void => {
    event.preventDefault();
    onClose();
  };
  return (
    <dialog ref={ref} aria-labelledby={titleId} onCancel={onCancel}>
      <h2 id={titleId}>{title}</h2>
      {children}
    </dialog>
  );
}

export function Confirm({
  title,
  action,
  danger = false,
  busy,
  error,
  onConfirm,
  onClose,
  children,
}: {
  title: string;
  action: string;
  danger?: boolean;
  busy: boolean;
  error: string | null;
  onConfirm: () => void;
  onClose: () => void;
  children: ComponentChildren;
}): JSX.Element {
  return (
    <Dialog title={title} onClose={onClose}>
      {children}
      {error !== null && <Problem>{error}</Problem>}
      <div class="buttons">
        <button type="button" class={danger ? 'danger' : 'primary'} disabled={busy} onClick={onConfirm}>
          {action}
        </button>
        <button type="button" onClick={onClose}>
          Cancel
        </button>
      </div>
    </Dialog>
  );
}

/** A sentence in which commands stand between backticks. */
export function Sentence({ children }: { children: string }): JSX.Element {
  return <>{children.split('`').map((part, at) => (at % 2 === 0 ? part : <code key={at}>{part}</code>))}</>;
}

/** Short, and in full for who points at it. */
export function Time({ us }: { us: number | null }): JSX.Element {
  if (us === null) return <>time unknown</>;
  return (
    <time dateTime={new Date(us / 1000).toISOString()} title={timeOfUs(us)}>
      {shortTimeOfUs(us)}
    </time>
  );
}

/** The six digits, read out one by one. */
export function Digits({ digits }: { digits: string }): JSX.Element {
  return (
    <p class="digits">
      <span class="hidden">{[...digits].join(' ')}</span>
      <span aria-hidden="true">
        {digits.slice(0, 3)} {digits.slice(3)}
      </span>
    </p>
  );
}

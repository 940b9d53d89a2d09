/** A value with its type, to be changed. */
import type { JSX } from 'preact';

import { parse, VALUE_TYPES, withType, type Draft, type ValueType } from '../typed-value.ts';

export function ValueEditor({
  label,
  draft,
  onChange,
}: {
  /** What it is the value of. */
  label: string;
  draft: Draft;
  onChange: (draft: Draft) => void;
}): JSX.Element {
  const parsed = parse(draft);
  const fault = 'fault' in parsed ? parsed.fault : null;
  return (
    <div class="value-editor">
      <select
        aria-label={`Type of ${label}`}
        value={draft.type}
        onChange={(event) => onChange(withType(draft, event.currentTarget.value as ValueType))}
      >
        {VALUE_TYPES.map((type) => (
          <option key={type}>{type}</option>
        ))}
      </select>
      <div class="value-control">
        <Control
          label={label}
          draft={draft}
          isFaulty={fault !== null}
          onText={(text) => onChange({ ...draft, text })}
        />
        {fault !== null && <p class="fault">{fault}</p>}
      </div>
    </div>
  );
}

function Control({
  label,
  draft,
  isFaulty,
  onText,
}: {
  label: string;
  draft: Draft;
  isFaulty: boolean;
  onText: (text: string) => void;
}): JSX.Element {
  const common = { 'aria-label': label, 'aria-invalid': isFaulty };
  if (draft.type === 'yes/no')
    return (
      <select {...common} value={draft.text} onChange={(event) => onText(event.currentTarget.value)}>
        <option>yes</option>
        <option>no</option>
      </select>
    );
  if (draft.type === 'number')
    return (
      <input
        {...common}
        inputMode="decimal"
        autocomplete="off"
        value={draft.text}
        onInput={(event) => onText(event.currentTarget.value)}
      />
    );
  const lines = Math.min(12, Math.max(1, draft.text.split('\n').length, Math.ceil(draft.text.length / 60)));
  return (
    <textarea
      {...common}
      class={draft.type === 'text' ? '' : 'code'}
      rows={lines}
      spellcheck={draft.type === 'text'}
      value={draft.text}
      onInput={(event) => onText(event.currentTarget.value)}
    />
  );
}

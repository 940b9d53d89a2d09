/** A value as a person edits it: a type and a text, and what comes of them. */
import { isBytesJson, type Json } from './source.ts';

export const VALUE_TYPES = ['text', 'number', 'yes/no', 'list or map', 'bytes'] as const;
export type ValueType = (typeof VALUE_TYPES)[number];

export interface Draft {
  readonly type: ValueType;
  readonly text: string;
}

export type Parsed = { readonly value: Json } | { readonly fault: string };

export function draftOf(value: Json): Draft {
  if (typeof value === 'string') return { type: 'text', text: value };
  if (typeof value === 'number') return { type: 'number', text: String(value) };
  if (typeof value === 'boolean') return { type: 'yes/no', text: value ? 'yes' : 'no' };
  if (isBytesJson(value)) return { type: 'bytes', text: value.$bytes };
  return { type: 'list or map', text: JSON.stringify(value, null, 2) };
}

/** What was typed, taken for another type where it can be. */
export function withType(draft: Draft, type: ValueType): Draft {
  if (type === 'yes/no') return { type, text: /^(yes|true|1)$/i.test(draft.text) ? 'yes' : 'no' };
  return { type, text: draft.text };
}

export function parse({ type, text }: Draft): Parsed {
  switch (type) {
    case 'text':
      return { value: text };
    case 'number':
      return parseNumber(text.trim());
    case 'yes/no':
      return { value: text === 'yes' };
    case 'list or map':
      return parseJson(text);
    case 'bytes':
      if (!/^[\w-]*$/.test(text.trim())) return { fault: 'Bytes are written as base64url: letters, digits, - and _.' };
      return { value: { $bytes: text.trim() } };
  }
}

function parseNumber(text: string): Parsed {
  const value = Number(text);
  if (text === '' || !Number.isFinite(value)) return { fault: 'This isn’t a number. Write it like 12, -3 or 0.5.' };
  if (Number.isInteger(value) && !Number.isSafeInteger(value))
    return { fault: 'This whole number is too large to be kept exactly. Keep it as text.' };
  return { value };
}

function parseJson(text: string): Parsed {
  try {
    const value = JSON.parse(text) as Json;
    if (value === null) return { fault: 'Nothing can’t be kept here. Remove the property instead.' };
    if (typeof value !== 'object') return { fault: 'This is one value: choose its type above.' };
    return { value };
  } catch {
    return { fault: 'This isn’t JSON. A list is written like ["a", 1], a map like {"a": 1}.' };
  }
}

export function isSame(a: Json | undefined, b: Json | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

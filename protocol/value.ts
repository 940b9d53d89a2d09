/** What a property can hold: everything JSON can, plus bytes. And the checks of names and values that people and programs hand in. */
import { BODY_DEPTH_MAX, INTEGER_MAX, NAME_BYTES_MAX, PROPERTY_BYTES_MAX, SUBJECT_BYTES_MAX } from './constants.ts';
import { TidelogError } from './errors.ts';
import { utf8 } from './bytes.ts';
import { encodeCanonical } from './msgpack.ts';

export type Value =
  null | boolean | number | string | Uint8Array | readonly Value[] | { readonly [key: string]: Value };

/** A value sits inside body → changes → change → ops → operand → the values of an add: six levels are taken before it begins. */
const VALUE_DEPTH_MAX = BODY_DEPTH_MAX - 6;

/** Throws `bad-value` with the path of what is wrong: `set.tags[2]`. */
export function checkValue(value: unknown, path: string, depthLeft = VALUE_DEPTH_MAX): asserts value is Value {
  const refuse = (what: string): never => {
    throw new TidelogError('bad-value', `${path} ${what}`, { path });
  };
  switch (typeof value) {
    case 'boolean':
      return;
    case 'string':
      if (!value.isWellFormed()) refuse('has half a surrogate pair, which UTF-8 cannot hold');
      return;
    case 'number':
      if (!Number.isFinite(value)) refuse(`is ${value}`);
      if (Number.isInteger(value) && Math.abs(value) > INTEGER_MAX)
        refuse('is an integer past 2^53 - 1; send it as text');
      return;
    case 'object': {
      if (value === null || value instanceof Uint8Array) return;
      if (depthLeft <= 0) refuse(`is nested deeper than ${VALUE_DEPTH_MAX} levels`);
      if (Array.isArray(value)) {
        for (let i = 0; i < value.length; i++) checkValue(value[i], `${path}[${i}]`, depthLeft - 1);
        return;
      }
      const prototype: unknown = Object.getPrototypeOf(value);
      if (prototype !== Object.prototype && prototype !== null) refuse('is not a plain object');
      for (const [key, item] of Object.entries(value)) {
        if (!key.isWellFormed() || key === '__proto__')
          refuse(`has the key ${JSON.stringify(key)}, which is not allowed`);
        checkValue(item, `${path}.${key}`, depthLeft - 1);
      }
      return;
    }
    default:
      refuse(`is ${typeof value === 'undefined' ? 'undefined' : `a ${typeof value}`}`);
  }
}

/** Equal values give equal keys, whatever the order of their maps' keys. */
export function valueKey(value: Value): string {
  if (typeof value === 'string') return `s${value}`;
  let key = 'c';
  for (const byte of encodeCanonical(value)) key += String.fromCharCode(byte);
  return key;
}

export function isSubject(text: unknown): text is string {
  return isText(text, SUBJECT_BYTES_MAX);
}

export function isPropertyName(text: unknown): text is string {
  return isText(text, PROPERTY_BYTES_MAX) && text !== '__proto__';
}

/** A device's or a space's name for people; may be empty. */
export function isName(text: unknown): text is string {
  return text === '' || isText(text, NAME_BYTES_MAX);
}

/** 1 to `bytesMax` bytes of UTF-8 without control characters (U+0000–001F, U+007F): those would forge lines in logs and terminals. */
function isText(text: unknown, bytesMax: number): text is string {
  if (typeof text !== 'string' || text.length === 0 || text.length > bytesMax) return false;
  let ascii = true;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code === 0x7f) return false;
    if (code > 0x7f) ascii = false;
  }
  return ascii || (text.isWellFormed() && utf8(text).length <= bytesMax);
}

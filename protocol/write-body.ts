/**
 * Writes a body's MessagePack straight from its parts, the same bytes as the library from `[time, deps, [[subject, ops], …]]`: no arrays are made
 * for it, and short texts are written as they are read. Nearly half of the time that a large commit of our own took went into the library's walk.
 */
import { INTEGER_MAX } from './constants.ts';
import { utf8Into } from './bytes.ts';

/** Kept from body to body. A body has a MiB at the most; one that is too large is refused only when it is written. */
const BUFFER_BYTES_MIN = 64 * 1024;
const BUFFER_BYTES_KEPT = 4 * 1024 * 1024;
/** The library refuses deeper ones than 64, with its own words. */
const DEPTH_MAX = 60;
/** Characters up to which a loop is faster than the language's own encoder, which needs a view for each text. */
const LOOP_CHARACTERS_MAX = 200;

let bytes = new Uint8Array(BUFFER_BYTES_MIN);
let view = new DataView(bytes.buffer);
let at = 0;

class Unusual extends Error {}

/** What is in a `Body`, which is made of these and whose module calls this one. */
export interface BodyParts {
  readonly time: number;
  readonly deps: readonly { readonly chain: Uint8Array; readonly seq: number; readonly id?: Uint8Array }[];
  readonly changes: readonly { readonly subject: string; readonly ops: object }[];
}

/** null where it holds what a body may not, or what is seldom in one: the library says what is wrong, or writes it. */
export function writeBody({ time, deps, changes }: BodyParts): Uint8Array | null {
  at = 0;
  try {
    reserve(1);
    bytes[at++] = 0x93;
    writeValue(time, 0);
    writeArrayHeader(deps.length);
    for (const { chain, seq, id } of deps) {
      writeArrayHeader(id ? 3 : 2);
      writeValue(chain, 0);
      writeValue(seq, 0);
      if (id) writeValue(id, 0);
    }
    writeArrayHeader(changes.length);
    for (const { subject, ops } of changes) {
      writeArrayHeader(2);
      writeValue(subject, 0);
      writeValue(ops, 4);
    }
    return bytes.slice(0, at);
  } catch (thrown) {
    if (thrown instanceof Unusual) return null;
    throw thrown;
  } finally {
    if (bytes.length > BUFFER_BYTES_KEPT) resize(BUFFER_BYTES_MIN, 0);
  }
}

function resize(length: number, keep: number): void {
  const before = bytes;
  bytes = new Uint8Array(length);
  bytes.set(before.subarray(0, keep));
  view = new DataView(bytes.buffer);
}

function reserve(count: number): void {
  if (at + count > bytes.length) resize((at + count) * 2, at);
}

function writeValue(value: unknown, depth: number): void {
  if (typeof value === 'string') writeText(value);
  else if (typeof value === 'number') writeNumber(value);
  else if (value === null || value === undefined || typeof value === 'boolean') {
    reserve(1);
    bytes[at++] = value === true ? 0xc3 : value === false ? 0xc2 : 0xc0;
  } else if (typeof value !== 'object' || depth > DEPTH_MAX) throw new Unusual();
  else if (Array.isArray(value)) {
    writeArrayHeader(value.length);
    for (let i = 0; i < value.length; i++) writeValue(value[i], depth + 1);
  } else if (value instanceof Uint8Array) writeBytes(value);
  else writeMap(value as Record<string, unknown>, depth);
}

function writeMap(map: Readonly<Record<string, unknown>>, depth: number): void {
  const prototype: unknown = Object.getPrototypeOf(map);
  if (prototype !== Object.prototype && prototype !== null) throw new Unusual();
  const names = Object.keys(map);
  writeHeader(names.length, 0x80, 16, 0, 0xde, 0xdf);
  for (let i = 0; i < names.length; i++) {
    const name = names[i]!;
    writeText(name);
    writeValue(map[name], depth + 1);
  }
}

function writeArrayHeader(count: number): void {
  writeHeader(count, 0x90, 16, 0, 0xdc, 0xdd);
}

function writeBytes(value: Uint8Array): void {
  writeHeader(value.length, 0, 0, 0xc4, 0xc5, 0xc6);
  reserve(value.length);
  bytes.set(value, at);
  at += value.length;
}

/** `short` with counts below `shortMax` in it, else the count in one byte after `one` where there is such a form, in two, in four. */
function writeHeader(count: number, short: number, shortMax: number, one: number, two: number, four: number): void {
  reserve(5);
  if (count < shortMax) {
    bytes[at++] = short + count;
  } else if (count < 0x100 && one !== 0) {
    bytes[at++] = one;
    bytes[at++] = count;
  } else if (count < 0x1_0000) {
    bytes[at++] = two;
    bytes[at++] = count >> 8;
    bytes[at++] = count;
  } else {
    bytes[at] = four;
    view.setUint32(at + 1, count);
    at += 5;
  }
}

function writeTextHeader(length: number): void {
  writeHeader(length, 0xa0, 32, 0xd9, 0xda, 0xdb);
}

/** Its header is written for as many bytes as it has characters, and again where it has more. */
function writeText(text: string): void {
  const { length } = text;
  // Three bytes for a character at the most, and its header may grow by two.
  reserve(5 + 2 + 3 * length);
  const headerAt = at;
  writeTextHeader(length);
  const textAt = at;
  if (length > LOOP_CHARACTERS_MAX) {
    // Half a surrogate pair would become another character there.
    if (!text.isWellFormed()) throw new Unusual();
    at += utf8Into(text, bytes.subarray(at));
  } else {
    writeCharacters(text);
  }
  const written = at - textAt;
  if (written === length) return;
  const start = headerAt + (written < 32 ? 1 : written < 0x100 ? 2 : written < 0x1_0000 ? 3 : 5);
  if (start !== textAt) bytes.copyWithin(start, textAt, textAt + written);
  at = headerAt;
  writeTextHeader(written);
  at += written;
}

function writeCharacters(text: string): void {
  const out = bytes;
  let to = at;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x80) {
      out[to++] = code;
    } else if (code < 0x800) {
      out[to++] = 0xc0 | (code >> 6);
      out[to++] = 0x80 | (code & 0x3f);
    } else if (code < 0xd800 || code > 0xdfff) {
      out[to++] = 0xe0 | (code >> 12);
      out[to++] = 0x80 | ((code >> 6) & 0x3f);
      out[to++] = 0x80 | (code & 0x3f);
    } else {
      const point = text.codePointAt(i++)!;
      if (point < 0x1_0000) throw new Unusual();
      out[to++] = 0xf0 | (point >> 18);
      out[to++] = 0x80 | ((point >> 12) & 0x3f);
      out[to++] = 0x80 | ((point >> 6) & 0x3f);
      out[to++] = 0x80 | (point & 0x3f);
    }
  }
  at = to;
}

function writeNumber(value: number): void {
  reserve(9);
  if (!Number.isInteger(value) || Math.abs(value) > INTEGER_MAX) {
    bytes[at] = 0xcb;
    view.setFloat64(at + 1, value);
    at += 9;
  } else if (value >= 0) {
    if (value < 0x80) bytes[at++] = value;
    else if (value < 0x1_0000_0000) writeHeader(value, 0, 0, 0xcc, 0xcd, 0xce);
    else writeInteger64(0xcf, value);
  } else if (value >= -0x20) {
    bytes[at++] = value;
  } else if (value >= -0x80) {
    bytes[at++] = 0xd0;
    bytes[at++] = value;
  } else if (value >= -0x8000) {
    bytes[at] = 0xd1;
    view.setInt16(at + 1, value);
    at += 3;
  } else if (value >= -0x8000_0000) {
    bytes[at] = 0xd2;
    view.setInt32(at + 1, value);
    at += 5;
  } else writeInteger64(0xd3, value);
}

function writeInteger64(first: number, value: number): void {
  bytes[at] = first;
  view.setInt32(at + 1, Math.floor(value / 0x1_0000_0000));
  view.setUint32(at + 5, value);
  at += 9;
}

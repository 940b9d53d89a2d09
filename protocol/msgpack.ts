/**
 * MessagePack as Tidelog allows it: one value, no extension types, map keys that are distinct strings, integers within
 * ±(2^53 − 1), finite floats, valid UTF-8, bounded nesting. `decodeStrict` checks all of it in one pass over the bytes and only then
 * lets the library build values, so nothing hostile is ever built. Any encoding of a value is accepted (there is no canonical form on the wire).
 */
import { Decoder, Encoder } from '@msgpack/msgpack';
import { INTEGER_MAX } from './constants.ts';
import { TidelogError, type ErrorCode } from './errors.ts';
import { fromUtf8, readU32 } from './bytes.ts';

const encoder = new Encoder({ ignoreUndefined: false, maxDepth: 64 });
const sortingEncoder = new Encoder({ ignoreUndefined: false, maxDepth: 64, sortKeys: true });
const decoder = keepingByteOrderMarks(new Decoder());

/**
 * The library reads texts of more than 200 bytes with a TextDecoder that drops a leading U+FEFF: a text would not survive a round trip, and
 * two map keys could become one. It has no option for that, hence its private method; the version is pinned, and a test holds it.
 */
function keepingByteOrderMarks(plain: Decoder): Decoder {
  interface Private {
    readonly bytes: Uint8Array;
    readonly pos: number;
    decodeUtf8String(byteLength: number, headerOffset: number): string;
  }
  const inner = plain as unknown as Private;
  const decodeText = inner.decodeUtf8String;
  inner.decodeUtf8String = function (this: Private, byteLength, headerOffset) {
    const { bytes, pos } = this;
    const at = pos + headerOffset;
    const text = decodeText.call(this, byteLength, headerOffset);
    const isMarked = byteLength > 2 && bytes[at] === 0xef && bytes[at + 1] === 0xbb && bytes[at + 2] === 0xbf;
    return isMarked ? fromUtf8(bytes.subarray(at, at + byteLength)) : text;
  };
  return plain;
}

export function encode(value: unknown): Uint8Array {
  return encoder.encode(value);
}

/** Equal values give equal bytes: keys sorted by UTF-16 code units (as RFC 8785), −0 as 0, whole floats as integers. */
export function encodeCanonical(value: unknown): Uint8Array {
  return sortingEncoder.encode(normalizeZero(value));
}

function normalizeZero(value: unknown): unknown {
  if (typeof value === 'number') return value === 0 ? 0 : value;
  if (Array.isArray(value)) return value.map(normalizeZero);
  if (value !== null && typeof value === 'object' && !(value instanceof Uint8Array)) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, normalizeZero(item)]));
  }
  return value;
}

/**
 * @param depthMax nesting counted from the outermost value
 * @param code of the error when the bytes aren't allowed
 */
export function decodeStrict(bytes: Uint8Array, depthMax: number, code: ErrorCode): unknown {
  const fault = scan(bytes, depthMax);
  if (fault !== null) throw new TidelogError(code, `its msgpack ${fault}`);
  return decodeTrusted(bytes);
}

/** For bytes that this process encoded or has already checked. */
export function decodeTrusted(bytes: Uint8Array): unknown {
  return decoder.decode(bytes);
}

/** The offset after the value that begins at `at`, checked by the same rules. */
export function endOfValue(bytes: Uint8Array, at: number, depthMax: number, code: ErrorCode): number {
  try {
    return scanValue(bytes, at, depthMax);
  } catch (thrown) {
    if (thrown instanceof Fault) throw new TidelogError(code, `its msgpack ${thrown.message}`);
    throw thrown;
  }
}

class Fault extends Error {}

/** null where the bytes are allowed; otherwise what is wrong, as the rest of a sentence. */
function scan(bytes: Uint8Array, depthMax: number): string | null {
  try {
    const end = scanValue(bytes, 0, depthMax);
    return end === bytes.length ? null : 'has bytes after its end';
  } catch (thrown) {
    if (thrown instanceof Fault) return thrown.message;
    throw thrown;
  }
}

/** Checks the value at `at`; returns the offset after it. */
function scanValue(bytes: Uint8Array, at: number, depthLeft: number): number {
  const byte = byteAt(bytes, at);
  if (byte <= 0x7f || byte >= 0xe0) return at + 1;
  if (byte <= 0x8f) return scanMap(bytes, at + 1, byte & 0x0f, depthLeft);
  if (byte <= 0x9f) return scanArray(bytes, at + 1, byte & 0x0f, depthLeft);
  if (byte <= 0xbf) return scanText(bytes, at + 1, byte & 0x1f);
  switch (byte) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      return at + 1;
    case 0xc4:
      return scanBytes(bytes, at + 2, byteAt(bytes, at + 1));
    case 0xc5:
      return scanBytes(bytes, at + 3, u16At(bytes, at + 1));
    case 0xc6:
      return scanBytes(bytes, at + 5, u32At(bytes, at + 1));
    case 0xca:
      return scanFloat(bytes, at + 1, 4);
    case 0xcb:
      return scanFloat(bytes, at + 1, 8);
    case 0xcc:
    case 0xd0:
      return scanBytes(bytes, at + 1, 1);
    case 0xcd:
    case 0xd1:
      return scanBytes(bytes, at + 1, 2);
    case 0xce:
    case 0xd2:
      return scanBytes(bytes, at + 1, 4);
    case 0xcf:
    case 0xd3:
      return scanInteger64(bytes, at + 1, byte === 0xd3);
    case 0xd9:
      return scanText(bytes, at + 2, byteAt(bytes, at + 1));
    case 0xda:
      return scanText(bytes, at + 3, u16At(bytes, at + 1));
    case 0xdb:
      return scanText(bytes, at + 5, u32At(bytes, at + 1));
    case 0xdc:
      return scanArray(bytes, at + 3, u16At(bytes, at + 1), depthLeft);
    case 0xdd:
      return scanArray(bytes, at + 5, u32At(bytes, at + 1), depthLeft);
    case 0xde:
      return scanMap(bytes, at + 3, u16At(bytes, at + 1), depthLeft);
    case 0xdf:
      return scanMap(bytes, at + 5, u32At(bytes, at + 1), depthLeft);
    default:
      throw new Fault(byte === 0xc1 ? 'has the byte c1, which is never used' : 'has an extension type');
  }
}

function byteAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw new Fault('ends too early');
  return byte;
}

function u16At(bytes: Uint8Array, at: number): number {
  return (byteAt(bytes, at) << 8) | byteAt(bytes, at + 1);
}

function u32At(bytes: Uint8Array, at: number): number {
  if (at + 4 > bytes.length) throw new Fault('ends too early');
  return readU32(bytes, at);
}

function scanBytes(bytes: Uint8Array, at: number, length: number): number {
  if (at + length > bytes.length) throw new Fault('ends too early');
  return at + length;
}

function scanFloat(bytes: Uint8Array, at: number, length: 4 | 8): number {
  const end = scanBytes(bytes, at, length);
  // All ones in the exponent is NaN or an infinity.
  const exponentIsFull =
    length === 4
      ? (bytes[at]! & 0x7f) === 0x7f && (bytes[at + 1]! & 0x80) === 0x80
      : (bytes[at]! & 0x7f) === 0x7f && (bytes[at + 1]! & 0xf0) === 0xf0;
  if (exponentIsFull) throw new Fault('has a number that is not finite');
  // A float with a whole value is an integer to JavaScript and JSON, and held to the same bound.
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, length);
  const value = length === 4 ? view.getFloat32(0) : view.getFloat64(0);
  if (Math.abs(value) > INTEGER_MAX) throw new Fault('has an integer past 2^53 - 1');
  return end;
}

function scanInteger64(bytes: Uint8Array, at: number, signed: boolean): number {
  const end = scanBytes(bytes, at, 8);
  let high = readU32(bytes, at);
  const low = readU32(bytes, at + 4);
  if (signed && high >= 0x8000_0000) high -= 0x1_0000_0000;
  const value = high * 0x1_0000_0000 + low;
  if (value > INTEGER_MAX || value < -INTEGER_MAX) throw new Fault('has an integer past 2^53 - 1');
  return end;
}

function scanText(bytes: Uint8Array, at: number, length: number): number {
  const end = scanBytes(bytes, at, length);
  for (let i = at; i < end; i++) {
    if (bytes[i]! >= 0x80) {
      try {
        fromUtf8(bytes.subarray(i, end));
      } catch {
        throw new Fault('has text that is not UTF-8');
      }
      break;
    }
  }
  return end;
}

function scanArray(bytes: Uint8Array, at: number, count: number, depthLeft: number): number {
  if (depthLeft <= 0) throw new Fault('is nested too deep');
  // Each item takes a byte at least: a count that can't be true is refused before the walk.
  if (count > bytes.length - at) throw new Fault('ends too early');
  for (let i = 0; i < count; i++) at = scanValue(bytes, at, depthLeft - 1);
  return at;
}

function scanMap(bytes: Uint8Array, at: number, count: number, depthLeft: number): number {
  if (depthLeft <= 0) throw new Fault('is nested too deep');
  if (count * 2 > bytes.length - at) throw new Fault('ends too early');
  // Map keys are few as a rule: compare them in place, and build a set only past eight.
  const starts: number[] = [];
  const ends: number[] = [];
  const seen = count > 8 ? new Set<string>() : null;
  for (let i = 0; i < count; i++) {
    const start = at;
    const byte = byteAt(bytes, at);
    if (!((byte >= 0xa0 && byte <= 0xbf) || (byte >= 0xd9 && byte <= 0xdb)))
      throw new Fault('has a map key that is not text');
    at = scanValue(bytes, at, depthLeft - 1);
    const textStart = start + (byte <= 0xbf ? 1 : byte === 0xd9 ? 2 : byte === 0xda ? 3 : 5);
    const isDuplicate = seen ? addTo(seen, bytes, textStart, at) : isAmong(bytes, starts, ends, textStart, at);
    if (isDuplicate) throw new Fault('has a map key twice');
    // No JavaScript object can hold it as an ordinary key, so the protocol has no use for it.
    if (at - textStart === 9 && fromUtf8(bytes.subarray(textStart, at)) === '__proto__')
      throw new Fault('has the map key __proto__');
    starts.push(textStart);
    ends.push(at);
    at = scanValue(bytes, at, depthLeft - 1);
  }
  return at;
}

function addTo(seen: Set<string>, bytes: Uint8Array, start: number, end: number): boolean {
  const key = fromUtf8(bytes.subarray(start, end));
  if (seen.has(key)) return true;
  seen.add(key);
  return false;
}

function isAmong(bytes: Uint8Array, starts: number[], ends: number[], start: number, end: number): boolean {
  outer: for (let i = 0; i < starts.length; i++) {
    if (ends[i]! - starts[i]! !== end - start) continue;
    for (let k = 0; k < end - start; k++) if (bytes[starts[i]! + k] !== bytes[start + k]) continue outer;
    return true;
  }
  return false;
}

/**
 * The body of a commit: `msgpack [time, deps, changes]`, and the rules that every peer checks in the same way.
 *
 *   time     µs since 1970
 *   deps     [[chain id 16, seq], …]: other chains that advanced since the author's previous commit; [chain, seq, commit id 32] past a fork
 *   changes  [[subject, ops], …], each subject once; ops is a map:
 *              destroy true · set {property: value} · unset [property] · inc {property: integer}
 *              add {property: [value]} · remove {property: [value]}
 *            A property stands in one of set, unset, inc, or in add and remove. `destroy` comes before the rest.
 *
 * The hash of a body is SHA-256(stem | SHA-256(changes)), where the stem is all the bytes before `changes`. So a commit whose changes
 * were taken out still proves when it was written and what its author had seen: without that, those who never had the changes
 * would judge the later commits of its chain differently from those who had.
 */
import { BODY_BYTES_MAX, BODY_DEPTH_MAX, CHAIN_ID_BYTES, COMMIT_ID_BYTES } from './constants.ts';
import { TidelogError } from './errors.ts';
import type { Crypto } from './crypto.ts';
import { concat, toHex } from './bytes.ts';
import { decodeStrict, decodeTrusted, encode, endOfValue } from './msgpack.ts';
import { isBytes, isCount, isMap } from './shape.ts';
import { isPropertyName, isSubject, type Value } from './value.ts';
import { writeBody } from './write-body.ts';

export interface Dependency {
  readonly chain: Uint8Array;
  readonly seq: number;
  /** The commit's id, where the author knew that the chain had forked at or before it: which branch it had seen. */
  readonly id?: Uint8Array;
}

export interface Ops {
  readonly destroy?: true;
  readonly set?: Readonly<Record<string, Value>>;
  readonly unset?: readonly string[];
  readonly inc?: Readonly<Record<string, number>>;
  readonly add?: Readonly<Record<string, readonly Value[]>>;
  readonly remove?: Readonly<Record<string, readonly Value[]>>;
}

export interface Change {
  readonly subject: string;
  readonly ops: Ops;
}

export interface Body {
  /** µs since 1970 */
  readonly time: number;
  readonly deps: readonly Dependency[];
  readonly changes: readonly Change[];
}

/** What an erased commit keeps of its body. */
export interface ErasedBody {
  /** The bytes before the changes: 0x93, time, deps. */
  readonly stem: Uint8Array;
  /** SHA-256 of the bytes of the changes. */
  readonly changesHash: Uint8Array;
}

/** First byte of a body that is an array of three. Sealed bodies will have another. */
const PLAIN_BODY_BYTE = 0x93;

export function encodeBody(body: Body): Uint8Array {
  const bytes =
    writeBody(body) ??
    encode([
      body.time,
      body.deps.map(({ chain, seq, id }) => (id ? [chain, seq, id] : [chain, seq])),
      body.changes.map(({ subject, ops }) => [subject, ops]),
    ]);
  if (bytes.length > BODY_BYTES_MAX) {
    throw new TidelogError('commit-too-large', `it takes ${bytes.length} bytes`, {
      bytes: bytes.length,
      max: BODY_BYTES_MAX,
    });
  }
  return bytes;
}

/** Throws `commit-too-large` or `bad-commit`. */
export function decodeBody(bytes: Uint8Array): Body {
  if (bytes.length > BODY_BYTES_MAX) throw new TidelogError('commit-too-large', `a body of ${bytes.length} bytes`);
  checkFirstByte(bytes);
  const [time, deps, changes] = decodeStrict(bytes, BODY_DEPTH_MAX, 'bad-commit') as unknown[];
  if (!isCount(time)) refuse('its time is not an integer from 0');
  return { time, deps: readDeps(deps), changes: readChanges(changes) };
}

/** For a body that this peer has already taken in. Throws `data-damaged` for what can't have been one. */
export function decodeKnownBody(bytes: Uint8Array): Body {
  try {
    const [time, deps, changes] = decodeTrusted(bytes) as [
      number,
      [Uint8Array, number, Uint8Array?][],
      [string, Ops][],
    ];
    return {
      time,
      deps: deps.map(([chain, seq, id]) => (id ? { chain, seq, id } : { chain, seq })),
      changes: changes.map(([subject, ops]) => ({ subject, ops })),
    };
  } catch (cause) {
    throw new TidelogError('data-damaged', 'a commit is not what was written', {}, { cause });
  }
}

/** What is left of a body without its changes. Throws `bad-commit` where its stem can't be told apart. The stem is a view of `body`. */
export function eraseBody(crypto: Crypto, body: Uint8Array): ErasedBody {
  checkFirstByte(body);
  const depsAt = endOfValue(body, 1, STEM_DEPTH_MAX, 'bad-commit');
  const changesAt = endOfValue(body, depsAt, STEM_DEPTH_MAX, 'bad-commit');
  return { stem: body.subarray(0, changesAt), changesHash: crypto.sha256(body.subarray(changesAt)) };
}

/** The body hash that stands in the header. Throws `bad-commit`. */
export function hashBody(crypto: Crypto, body: Uint8Array): Uint8Array {
  return hashErased(crypto, eraseBody(crypto, body));
}

/** The same, from what an erased commit keeps. */
export function hashErased(crypto: Crypto, { stem, changesHash }: ErasedBody): Uint8Array {
  return crypto.sha256(concat(stem, changesHash));
}

/** Time and deps of an erased commit. Throws `bad-commit`, `commit-too-large`. */
export function decodeStem(stem: Uint8Array): Omit<Body, 'changes'> {
  if (stem.length > BODY_BYTES_MAX) throw new TidelogError('commit-too-large', `a stem of ${stem.length} bytes`);
  checkFirstByte(stem);
  // Made whole by a nil in the place of the changes.
  const [time, deps] = decodeStrict(concat(stem, NIL), STEM_DEPTH_MAX + 1, 'bad-commit') as unknown[];
  if (!isCount(time)) refuse('its time is not an integer from 0');
  return { time, deps: readDeps(deps) };
}

/** Deps are arrays in an array. */
const STEM_DEPTH_MAX = 2;
const NIL = Uint8Array.of(0xc0);

function checkFirstByte(body: Uint8Array): void {
  if (body[0] === PLAIN_BODY_BYTE) return;
  refuse(`its body begins with ${body[0] === undefined ? 'nothing' : toHex(body.subarray(0, 1))}, not 93`);
}

function readDeps(deps: unknown): Dependency[] {
  if (!Array.isArray(deps)) refuse('its deps are not an array');
  if (deps.length === 0) return [];
  const seen = new Set<string>();
  return deps.map((dep: unknown) => {
    if (!Array.isArray(dep) || (dep.length !== 2 && dep.length !== 3))
      refuse('a dep is not [chain, seq] or [chain, seq, id]');
    const [chain, seq, id] = dep as unknown[];
    if (!(chain instanceof Uint8Array) || chain.length !== CHAIN_ID_BYTES)
      refuse('a dep names a chain by other than 16 bytes');
    if (!isCount(seq) || seq === 0) refuse('a dep has a seq that is not an integer from 1');
    const key = toHex(chain);
    if (seen.has(key)) refuse(`its deps name chain ${key} twice`);
    seen.add(key);
    if (dep.length === 2) return { chain, seq };
    if (!isBytes(id, COMMIT_ID_BYTES)) refuse('a dep names a commit by other than 32 bytes');
    return { chain, seq, id };
  });
}

function readChanges(changes: unknown): Change[] {
  if (!Array.isArray(changes) || changes.length === 0) refuse('its changes are not an array of one or more');
  const seen = changes.length > 1 ? new Set<string>() : null;
  return changes.map((change: unknown) => {
    if (!Array.isArray(change) || change.length !== 2) refuse('a change is not [subject, ops]');
    const [subject, ops] = change as unknown[];
    if (!isSubject(subject)) refuse('a subject is not 1 to 1,024 bytes of text without control characters');
    if (seen) {
      if (seen.has(subject)) refuse(`it changes ${JSON.stringify(subject)} twice`);
      seen.add(subject);
    }
    return { subject, ops: readOps(ops, subject) };
  });
}

function readOps(ops: unknown, subject: string): Ops {
  if (!isMap(ops)) refuse(`the ops on ${JSON.stringify(subject)} are not a map`);
  const names = Object.keys(ops);
  if (names.length === 0) refuse(`there are no ops on ${JSON.stringify(subject)}`);
  for (const name of names) {
    const operand = ops[name];
    switch (name) {
      case 'destroy':
        if (operand !== true) refuse('destroy is not true');
        break;
      case 'set':
        checkNames(operand, name);
        break;
      case 'unset':
        if (!Array.isArray(operand) || operand.length === 0 || !operand.every(isPropertyName))
          refuse('unset is not an array of property names');
        if (new Set(operand).size !== operand.length) refuse('unset names a property twice');
        break;
      case 'inc':
        checkNames(operand, name);
        for (const amount of Object.values(operand))
          if (!Number.isSafeInteger(amount)) refuse('inc has an amount that is not an integer');
        break;
      case 'add':
      case 'remove':
        checkNames(operand, name);
        for (const values of Object.values(operand))
          if (!Array.isArray(values) || values.length === 0) refuse(`${name} has no array of values`);
        break;
      default:
        refuse(`the op ${JSON.stringify(name)} is unknown`);
    }
  }
  const read = ops as Ops;
  if (names.length > 1) checkPropertiesStandOnce(read);
  return read;
}

function checkNames(operand: unknown, op: string): asserts operand is Record<string, unknown> {
  if (!isMap(operand)) refuse(`${op} is not a map`);
  const names = Object.keys(operand);
  if (names.length === 0) refuse(`${op} is empty`);
  for (const name of names)
    if (!isPropertyName(name))
      refuse(`${op} has a property name that is not 1 to 255 bytes of text without control characters`);
}

/** Two writes of one property in one commit would have no order. */
function checkPropertiesStandOnce(ops: Ops): void {
  const seen = new Set<string>();
  const take = (names: readonly string[]): void => {
    for (const name of names) {
      if (seen.has(name)) refuse(`the property ${JSON.stringify(name)} is changed twice`);
      seen.add(name);
    }
  };
  take(Object.keys(ops.set ?? {}));
  take(ops.unset ?? []);
  take(Object.keys(ops.inc ?? {}));
  take([...new Set([...Object.keys(ops.add ?? {}), ...Object.keys(ops.remove ?? {})])]);
}

function refuse(why: string): never {
  throw new TidelogError('bad-commit', why);
}

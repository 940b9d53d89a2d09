/** Changes as people and programs hand them in: checked, with errors that name the place, and their JSON form. */
import { fromBase64Url, toBase64Url } from '../protocol/bytes.ts';
import type { Change, Ops } from '../protocol/body.ts';
import { BODY_DEPTH_MAX } from '../protocol/constants.ts';
import { TidelogError } from '../protocol/errors.ts';
import { isReserved } from '../protocol/membership.ts';
import { isMap } from '../protocol/shape.ts';
import { checkValue, isPropertyName, isSubject, type Value } from '../protocol/value.ts';

/** JSON, with bytes as `{"$bytes": "<base64url>"}`. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** A change as HTTP and the command line have it. */
export type JsonChange = { readonly subject: string } & { readonly [op: string]: unknown };

export function toJson(value: Value): Json {
  if (value instanceof Uint8Array) return { $bytes: toBase64Url(value) };
  if (Array.isArray(value)) return (value as readonly Value[]).map(toJson);
  if (value !== null && typeof value === 'object') return mapValues(value as Record<string, Value>, toJson);
  return value as Json;
}

/** Throws `bad-value` with the path of what is wrong. */
export function fromJson(value: unknown, path: string): Value {
  const converted = convert(value, path);
  checkValue(converted, path);
  return converted;
}

function convert(value: unknown, path: string, depthLeft = BODY_DEPTH_MAX): unknown {
  // What is nested deeper fits in no commit, as `checkValue` says; JSON of a few KiB can nest deeper than any stack.
  if (depthLeft === 0) return value;
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map((item, i) => convert(item, `${path}[${i}]`, depthLeft - 1));
  const map = value as Record<string, unknown>;
  if (Object.keys(map).length === 1 && '$bytes' in map) {
    const bytes = typeof map['$bytes'] === 'string' ? fromBase64Url(map['$bytes']) : null;
    if (bytes === null) throw new TidelogError('bad-value', `${path}.$bytes is not base64`, { path });
    return bytes;
  }
  return Object.fromEntries(
    Object.entries(map).map(([key, item]) => [key, convert(item, `${path}.${key}`, depthLeft - 1)]),
  );
}

function mapValues<A, B>(map: Readonly<Record<string, A>>, change: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [key, change(value)]));
}

/** `{"subject":…,"set":…,…}`. */
export function changeToJson({ subject, ops }: Change): JsonChange {
  return {
    subject,
    ...(ops.destroy && { destroy: true }),
    ...(ops.set && { set: mapValues(ops.set, toJson) }),
    ...(ops.unset && { unset: ops.unset }),
    ...(ops.inc && { inc: ops.inc }),
    ...(ops.add && { add: mapValues(ops.add, (values) => values.map(toJson)) }),
    ...(ops.remove && { remove: mapValues(ops.remove, (values) => values.map(toJson)) }),
  };
}

/** Throws `bad-change`, `bad-subject`, `bad-property`, `bad-value`, `reserved-subject`. `path` is where it stands: `changes[2]`. */
export function changeFromJson(json: unknown, path: string): Change {
  if (!isMap(json)) throw new TidelogError('bad-change', `${path} is not an object`, { path });
  const { subject } = json;
  if (typeof subject !== 'string') throw new TidelogError('bad-change', `${path} has no subject`, { path });
  const ops: Record<string, unknown> = {};
  for (const op of Object.keys(json)) {
    const operand = json[op];
    if (op === 'subject' || operand === undefined) continue;
    ops[op] =
      isMap(operand) && hasObjects(operand) ? mapValues(operand, (value) => convert(value, `${path}.${op}`)) : operand;
  }
  const change = new CheckedChange(subject, ops as Ops);
  checkChange(change, path);
  return change;
}

/** Nearly all values are texts and numbers, in which there is nothing to convert: their map needs no copy. */
function hasObjects(map: Readonly<Record<string, unknown>>): boolean {
  for (const name in map) if (typeof map[name] === 'object') return true;
  return false;
}

/** A change that `changeFromJson` made and checked, and that nobody can have altered without going against its type. */
class CheckedChange implements Change {
  readonly subject: string;
  readonly ops: Ops;

  constructor(subject: string, ops: Ops) {
    this.subject = subject;
    this.ops = ops;
  }
}

/** The changes of one commit. Returns their subjects; throws what `changeFromJson` throws. */
export function checkChanges(changes: readonly Change[]): Set<string> {
  if (!Array.isArray(changes) || changes.length === 0) throw new TidelogError('bad-change', 'there are no changes');
  const subjects = new Set<string>();
  for (let i = 0; i < changes.length; i++) {
    const change = (changes as readonly Change[])[i]!;
    checkChangeOnce(change, 'changes', i);
    if (subjects.size === subjects.add(change.subject).size)
      throw new TidelogError('bad-change', `${JSON.stringify(change.subject)} is changed twice`);
  }
  return subjects;
}

/** As `checkChange`, once for each change. It stands at `list[at]`. */
function checkChangeOnce(change: Change, list: string, at: number): void {
  if (!(change instanceof CheckedChange)) checkChange(change, `${list}[${at}]`);
}

/**
 * Checks a change that a program made. What the protocol would refuse is refused here, with the place named.
 * Subjects of the space itself are written by the peer's own functions only.
 */
function checkChange(change: Change, path: string): void {
  const { subject, ops } = change as { subject: unknown; ops: unknown };
  if (!isSubject(subject)) throw new TidelogError('bad-subject', describeText(subject), { path });
  if (isReserved(subject)) throw new TidelogError('reserved-subject', JSON.stringify(subject), { path });
  if (!isMap(ops)) throw new TidelogError('bad-change', `${path} has no operations`, { path });
  const names = Object.keys(ops);
  if (names.length === 0) throw new TidelogError('bad-change', `${path} has no operations`, { path });
  for (const op of names) if (op !== 'set' || !setsPlainly(ops[op])) checkOp(op, ops[op], `${path}.${op}`);
  // In one operation no name can stand twice.
  if (names.length === 1) return;
  const { set = {}, unset = [], inc = {}, add = {}, remove = {} } = ops as Ops;
  const written = [
    ...Object.keys(set),
    ...unset,
    ...Object.keys(inc),
    ...new Set([...Object.keys(add), ...Object.keys(remove)]),
  ];
  const seen = new Set<string>();
  const twice = written.find((name) => seen.size === seen.add(name).size);
  if (twice !== undefined)
    throw new TidelogError('bad-change', `${path} changes ${JSON.stringify(twice)} in two ways`, { path });
}

/** Is it a `set` that `checkOp` has nothing against? Most are, and this takes no texts for paths. False says nothing. */
function setsPlainly(operand: unknown): boolean {
  if (!isMap(operand)) return false;
  const names = Object.keys(operand);
  for (const name of names) {
    if (!isPropertyName(name)) return false;
    const value = operand[name];
    if (typeof value === 'string' ? !value.isWellFormed() : !Number.isSafeInteger(value) && typeof value !== 'boolean')
      return false;
  }
  return names.length > 0;
}

function checkOp(op: string, operand: unknown, path: string): void {
  const refuse = (what: string): never => {
    throw new TidelogError('bad-change', `${path} ${what}`, { path });
  };
  const named = (): [string, unknown][] => {
    if (!isMap(operand)) return refuse('is not an object');
    const entries = Object.entries(operand);
    if (entries.length === 0) refuse('is empty');
    for (const [name] of entries) checkPropertyName(name, path);
    return entries;
  };
  switch (op) {
    case 'destroy':
      if (operand !== true) refuse('is not true');
      return;
    case 'set':
      for (const [name, value] of named()) checkValue(value, `${path}.${name}`);
      return;
    case 'unset':
      if (!Array.isArray(operand) || operand.length === 0) refuse('is not an array of property names');
      for (const name of operand as unknown[]) checkPropertyName(name, path);
      if (new Set(operand as unknown[]).size !== (operand as unknown[]).length) refuse('names a property twice');
      return;
    case 'inc':
      for (const [name, amount] of named()) {
        if (!Number.isSafeInteger(amount))
          throw new TidelogError('bad-value', `${path}.${name} is not an integer`, { path });
      }
      return;
    case 'add':
    case 'remove':
      for (const [name, values] of named()) {
        if (!Array.isArray(values) || values.length === 0) refuse(`of ${name} is not an array of values`);
        checkValue(values, `${path}.${name}`);
      }
      return;
    default:
      refuse('is not an operation; there are set, unset, inc, add, remove, destroy');
  }
}

function checkPropertyName(name: unknown, path: string): void {
  if (!isPropertyName(name)) throw new TidelogError('bad-property', `${path}: ${describeText(name)}`, { path });
}

/** Throws `bad-subject`. For reading, `~` subjects are fine. */
export function checkSubject(subject: string): void {
  if (!isSubject(subject)) throw new TidelogError('bad-subject', describeText(subject));
}

function describeText(text: unknown): string {
  if (typeof text !== 'string') return `it is ${text === null ? 'null' : typeof text}`;
  if (text === '') return 'it is empty';
  return text.length > 100
    ? `${JSON.stringify(text.slice(0, 40))}… is ${text.length} characters long`
    : JSON.stringify(text);
}

/** `/v1/resources`: one subject's properties, with conditions; and lists of them. */
import { changeToJson, fromJson, toJson } from '../../client/changes.ts';
import type { Space } from '../../client/space.ts';
import type { ResourceView } from '../../client/views.ts';
import type { Change } from '../../protocol/body.ts';
import { TidelogError } from '../../protocol/errors.ts';
import type { Value } from '../../protocol/value.ts';
import { alternativeToJson, loggedToJson } from './commits.ts';
import { spaceToRead, spaceToWrite, type ApiContext } from './context.ts';
import { json, readFlag, readLimit, readObject, type ApiRequest, type ApiResponse } from './message.ts';
import type { Routes } from './routes.ts';

const LIST_LIMIT = 100;
const LIST_LIMIT_MAX = 1000;
/** Pages of LIST_LIMIT_MAX that one search looks through. */
const SEARCH_PAGES = 20;

export const resourceRoutes: Routes = {
  // `?subject=` names the two subjects that no URL's path can hold: `.` and `..`.
  'GET /v1/resources': (context, request) => {
    const subject = request.query.get('subject');
    return subject === null ? list(context, request) : read(context, request, subject);
  },
  'PUT /v1/resources': (context, request) => replace(context, request, subjectOf(request)),
  'PATCH /v1/resources': (context, request) => merge(context, request, subjectOf(request)),
  'DELETE /v1/resources': (context, request) => destroy(context, request, subjectOf(request)),
  'GET /v1/resources/*': (context, request, subject) => read(context, request, subject!),
  'PUT /v1/resources/*': (context, request, subject) => replace(context, request, subject!),
  'PATCH /v1/resources/*': (context, request, subject) => merge(context, request, subject!),
  'DELETE /v1/resources/*': (context, request, subject) => destroy(context, request, subject!),
};

function subjectOf(request: ApiRequest): string {
  const subject = request.query.get('subject');
  if (subject === null) throw new TidelogError('bad-subject', 'the path names none');
  return subject;
}

async function list(context: ApiContext, request: ApiRequest): Promise<ApiResponse> {
  const { query } = request;
  const limit = readLimit(request, LIST_LIMIT, LIST_LIMIT_MAX);
  const after = query.get('after');
  const space = spaceToRead(context, request);
  if (space === null) return json({ items: [], next: null });
  const contains = query.get('contains')?.toLowerCase() ?? '';
  const page = await listed(space, { prefix: query.get('prefix') ?? '', after, limit, contains });
  const items = page.items.map(({ subject, value, etag }) => ({
    subject,
    properties: propertiesToJson(value),
    etag: quote(etag),
  }));
  return json({ items, next: page.next });
}

interface Listed {
  readonly prefix: string;
  readonly after: string | null;
  readonly limit: number;
  /** Lower case; empty: all. */
  readonly contains: string;
}

/** A page of those whose subject contains a text. Where few do it ends early, and `next` goes on. */
async function listed(
  space: Space,
  { prefix, after, limit, contains }: Listed,
): Promise<{ items: ResourceView[]; next: string | null }> {
  if (contains === '') return space.list({ prefix, limit, ...(after !== null && { after }) });
  const items: ResourceView[] = [];
  let next = after;
  for (let pages = 0; pages < SEARCH_PAGES; pages++) {
    const page = await space.list({ prefix, limit: LIST_LIMIT_MAX, ...(next !== null && { after: next }) });
    for (const item of page.items) {
      if (!item.subject.toLowerCase().includes(contains)) continue;
      if (items.length === limit) return { items, next: items.at(-1)!.subject };
      items.push(item);
    }
    next = page.next;
    if (next === null) break;
  }
  return { items, next };
}

async function read(context: ApiContext, request: ApiRequest, subject: string): Promise<ApiResponse> {
  if (readFlag(request, 'history')) return history(context, request, subject);
  const withMeta = readFlag(request, 'meta');
  const view = await spaceToRead(context, request)?.get(subject);
  if (!view) throw new TidelogError('not-found', `no resource ${JSON.stringify(subject)}`);
  const headers = { etag: quote(view.etag) };
  const known = request.headers.get('if-none-match');
  if (known !== undefined && matches(known, view.etag)) return { status: 304, headers, body: '' };
  const properties = propertiesToJson(view.value);
  return json(withMeta ? { subject, properties, meta: metaToJson(view) } : properties, { headers });
}

/** Every commit on one subject, oldest first. */
async function history(context: ApiContext, request: ApiRequest, subject: string): Promise<ApiResponse> {
  const limit = readLimit(request, LIST_LIMIT, LIST_LIMIT_MAX);
  const after = request.query.get('after');
  const items = [];
  let next: string | null = null;
  const space = spaceToRead(context, request);
  if (space !== null) {
    for await (const commit of space.log({ subject, ...(after !== null && { after }) })) {
      if (items.length === limit) {
        next = items.at(-1)!.cursor;
        break;
      }
      const changes = commit.changes.filter((change) => change.subject === subject).map(changeToJson);
      items.push({ ...loggedToJson(commit), changes });
    }
  }
  if (items.length === 0 && after === null)
    throw new TidelogError('not-found', `no resource ${JSON.stringify(subject)}`);
  return json({ items, next });
}

/**
 * The resource becomes exactly what the body says. `destroy` in the same commit removes what was there without reading it, so no
 * write can come between; what is written elsewhere at the same time survives it, as it would a DELETE.
 */
async function replace(context: ApiContext, request: ApiRequest, subject: string): Promise<ApiResponse> {
  const set = readProperties(request);
  if (Object.keys(set).length === 0)
    throw new TidelogError('bad-change', 'a resource has at least one property; DELETE removes it');
  const space = await spaceToWrite(context, request);
  const before = await checkConditions(space, request, subject);
  const ops = before === null && hasConditions(request) ? { set } : { destroy: true as const, set };
  return write(space, { subject, ops }, conditionOn(request, before), before === null ? 201 : 200);
}

/** Named properties change, null removes one, the others stay. */
async function merge(context: ApiContext, request: ApiRequest, subject: string): Promise<ApiResponse> {
  const set: Record<string, Value> = {};
  const unset: string[] = [];
  for (const [property, value] of Object.entries(readObject(request))) {
    if (value === null) unset.push(property);
    else set[property] = fromJson(value, property);
  }
  const ops = { ...(Object.keys(set).length > 0 && { set }), ...(unset.length > 0 && { unset }) };
  if (Object.keys(ops).length === 0) throw new TidelogError('bad-change', 'the body names no property');
  const space = await spaceToWrite(context, request);
  const before = hasConditions(request) ? await checkConditions(space, request, subject) : null;
  return write(space, { subject, ops }, conditionOn(request, before), 200);
}

async function destroy(context: ApiContext, request: ApiRequest, subject: string): Promise<ApiResponse> {
  const space = spaceToRead(context, request);
  const before = space && (await checkConditions(space, request, subject));
  if (!before) throw new TidelogError('not-found', `no resource ${JSON.stringify(subject)}`);
  return write(space!, { subject, ops: { destroy: true } }, conditionOn(request, before), 200);
}

/** `etag`: what the resource must be at the moment of the write; null, that it must not exist; undefined, anything. */
async function write(
  space: Space,
  change: Change,
  etag: string | null | undefined,
  status: number,
): Promise<ApiResponse> {
  const condition = etag === undefined ? {} : { ifMatch: [{ subject: change.subject, etag }] };
  return json(await space.commit([change], condition).stored, { status });
}

// ---- conditions (RFC 9110 section 13)

function hasConditions({ headers }: ApiRequest): boolean {
  return headers.has('if-match') || headers.has('if-none-match');
}

/** What the request's conditions mean at the moment of the write: that the resource still is what they were checked against. */
function conditionOn(request: ApiRequest, view: ResourceView | null): string | null | undefined {
  return hasConditions(request) ? (view?.etag ?? null) : undefined;
}

/** The resource as it is. Throws `precondition-failed`. */
async function checkConditions(space: Space, request: ApiRequest, subject: string): Promise<ResourceView | null> {
  const view = await space.get(subject);
  const ifMatch = request.headers.get('if-match');
  if (ifMatch !== undefined && (view === null || !matches(ifMatch, view.etag)))
    throw new TidelogError(
      'precondition-failed',
      view === null ? 'it does not exist' : `it is ${quote(view.etag)} now`,
    );
  const ifNoneMatch = request.headers.get('if-none-match');
  if (ifNoneMatch !== undefined && view !== null && matches(ifNoneMatch, view.etag))
    throw new TidelogError('precondition-failed', `it exists, and is ${quote(view.etag)} now`);
  return view;
}

function quote(etag: string): string {
  return `"${etag}"`;
}

/** Is `etag` one of the header's, or is the header `*`? Proxies may have made ours weak. */
function matches(header: string, etag: string): boolean {
  return header.trim() === '*' || header.split(',').some((given) => given.trim().replace(/^W\//, '') === quote(etag));
}

// ---- JSON

function readProperties(request: ApiRequest): Record<string, Value> {
  return Object.fromEntries(
    Object.entries(readObject(request)).map(([property, value]) => [property, fromJson(value, property)]),
  );
}

function propertiesToJson(value: ResourceView['value']): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).map(([property, item]) => [property, toJson(item)]));
}

function metaToJson({ meta }: ResourceView): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(meta).map(([property, { conflict, ...writer }]) => [
      property,
      { ...writer, conflict: conflict.map(alternativeToJson) },
    ]),
  );
}

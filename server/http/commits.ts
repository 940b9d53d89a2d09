/** `/v1/commits`: write one, read the log, follow it; and `/v1/conflicts`. */
import { changeFromJson, changeToJson, toJson, type Json, type JsonChange } from '../../client/changes.ts';
import type { Space } from '../../client/space.ts';
import type { AlternativeView, LoggedCommit } from '../../client/views.ts';
import { parseDeviceId } from '../../protocol/device-id.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { spaceToRead, spaceToWrite, type ApiContext } from './context.ts';
import {
  events,
  json,
  readLimit,
  readObject,
  wantsEvents,
  type ApiRequest,
  type ApiResponse,
  type ServerEvent,
} from './message.ts';
import { problemOf } from './problem.ts';
import type { Routes } from './routes.ts';

const LOG_LIMIT = 100;
const LOG_LIMIT_MAX = 1000;

export const commitRoutes: Routes = {
  'POST /v1/commits': writeCommit,
  'GET /v1/commits': (context, request) =>
    wantsEvents(request) ? follow(context, request) : readLog(context, request),
  'GET /v1/commits/newest': readNewest,
  'GET /v1/commits/:cursor': proveOne,
  'GET /v1/conflicts': readConflicts,
};

/** A commit as the log's readers get it. An erased one has no time and no changes. */
export type LoggedJson = Omit<LoggedCommit, 'changes'> & { readonly changes: readonly JsonChange[] };

export function loggedToJson(commit: LoggedCommit): LoggedJson {
  return { ...commit, changes: commit.changes.map(changeToJson) };
}

export type AlternativeJson = Omit<AlternativeView, 'value'> & { readonly value: Json };

export function alternativeToJson(alternative: AlternativeView): AlternativeJson {
  return { ...alternative, value: toJson(alternative.value) };
}

async function writeCommit(context: ApiContext, request: ApiRequest): Promise<ApiResponse> {
  const { changes, ...rest } = readObject(request);
  const [stranger] = Object.keys(rest);
  if (stranger !== undefined)
    throw new TidelogError('bad-request', `the body holds ${JSON.stringify(stranger)}; it may hold changes only`);
  if (!Array.isArray(changes) || changes.length === 0)
    throw new TidelogError('bad-change', 'changes must be an array of one or more');
  const parsed = changes.map((change, at) => changeFromJson(change, `changes[${at}]`));
  const space = await spaceToWrite(context, request);
  return json(await space.commit(parsed).stored, { status: 201 });
}

async function readLog(context: ApiContext, request: ApiRequest): Promise<ApiResponse> {
  const limit = readLimit(request, LOG_LIMIT, LOG_LIMIT_MAX);
  const filter = readFilter(request);
  const space = spaceToRead(context, request);
  if (space === null) return json({ items: [], next: null });
  const items: LoggedJson[] = [];
  for await (const commit of space.log(filter)) {
    if (items.length === limit) return json({ items, next: items.at(-1)!.cursor });
    items.push(loggedToJson(commit));
  }
  return json({ items, next: null });
}

/** From the end backwards. A page may be short, or empty, where little matches: `next` goes on. */
async function readNewest(context: ApiContext, request: ApiRequest): Promise<ApiResponse> {
  const limit = readLimit(request, LOG_LIMIT, LOG_LIMIT_MAX);
  const before = request.query.get('before');
  const subject = request.query.get('subject');
  const device = request.query.get('device');
  const space = spaceToRead(context, request);
  if (space === null) return json({ items: [], next: null });
  const { items, next } = await space.newest({
    limit,
    ...(before !== null && { before }),
    ...(subject !== null && { subject }),
    ...(device !== null && { device: parseDeviceId(device) }),
  });
  return json({ items: items.map(loggedToJson), next });
}

/** The commit at a cursor, with what proves it. */
async function proveOne(context: ApiContext, request: ApiRequest, cursor: string): Promise<ApiResponse> {
  const { commit, proof } = await context.peer.space(request.query.get('space') ?? undefined).prove(cursor);
  return json({ commit: loggedToJson(commit), proof });
}

/** Events without a name, whose id is the cursor: a browser's EventSource resumes by itself. */
async function follow(context: ApiContext, request: ApiRequest): Promise<ApiResponse> {
  const lastEventId = request.headers.get('last-event-id');
  const filter = { ...readFilter(request), ...(lastEventId && { after: lastEventId }) };
  // Not spaceToRead: an empty peer has no log to wait on.
  const space = context.peer.space(request.query.get('space') ?? undefined);
  // A cursor that can't be used gets a status of its own, which is possible only before the first byte.
  const probe = space.log(filter);
  await probe.next();
  await probe.return(undefined);
  return events(followed(space, filter, request.signal), (thrown) => ({ event: 'problem', data: problemOf(thrown) }));
}

async function* followed(space: Space, filter: LogFilter, signal: AbortSignal): AsyncGenerator<ServerEvent> {
  try {
    for await (const commit of space.log({ ...filter, live: true, signal })) {
      yield { id: commit.cursor, data: loggedToJson(commit) };
    }
  } catch (thrown) {
    // Nobody listens any more, or the node stops: that is how following ends.
    if (!signal.aborted) throw thrown;
  }
}

interface LogFilter {
  readonly after?: string;
  readonly subject?: string;
}

function readFilter({ query }: ApiRequest): LogFilter {
  const after = query.get('after');
  const subject = query.get('subject');
  return { ...(after !== null && { after }), ...(subject !== null && { subject }) };
}

async function readConflicts(context: ApiContext, request: ApiRequest): Promise<ApiResponse> {
  const limit = readLimit(request, LOG_LIMIT, LOG_LIMIT_MAX);
  const after = request.query.get('after');
  const space = spaceToRead(context, request);
  if (space === null) return json({ items: [], next: null });
  const { items, next } = await space.conflicts({ limit, ...(after !== null && { after }) });
  return json({
    items: items.map((item) => ({ ...item, alternatives: item.alternatives.map(alternativeToJson) })),
    next,
  });
}

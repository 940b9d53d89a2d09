/** `/v1/forks`: chains with two branches, and what was set aside of those that don't count. */
import { changeToJson, type JsonChange } from '../../client/changes.ts';
import type { SetAsideView } from '../../client/branches.ts';
import { spaceToRead, spaceToWrite, type ApiContext } from './context.ts';
import { json, readLimit, type ApiRequest, type ApiResponse } from './message.ts';
import type { Routes } from './routes.ts';

const LIMIT = 100;
const LIMIT_MAX = 1000;

export const forkRoutes: Routes = {
  'GET /v1/forks': readForks,
  'GET /v1/forks/commits': readSetAside,
  'POST /v1/forks/republish': republish,
};

/** A commit that was set aside. */
export type SetAsideJson = Omit<SetAsideView, 'changes'> & { readonly changes: readonly JsonChange[] };

async function readForks(context: ApiContext, request: ApiRequest): Promise<ApiResponse> {
  const space = spaceToRead(context, request);
  return json({ items: space === null ? [] : await space.branches.forks() });
}

async function readSetAside(context: ApiContext, request: ApiRequest): Promise<ApiResponse> {
  const limit = readLimit(request, LIMIT, LIMIT_MAX);
  const after = request.query.get('after');
  const space = spaceToRead(context, request);
  const items: SetAsideJson[] = [];
  let isBehind = after === null;
  for await (const commit of space?.branches.setAside() ?? []) {
    if (!isBehind) {
      isBehind = commit.id === after;
      continue;
    }
    if (items.length === limit) return json({ items, next: items.at(-1)!.id });
    items.push({ ...commit, changes: commit.changes.map(changeToJson) });
  }
  return json({ items, next: null });
}

async function republish(context: ApiContext, request: ApiRequest): Promise<ApiResponse> {
  const space = await spaceToWrite(context, request);
  return json(await space.branches.republish((changes) => space.commit(changes).stored));
}

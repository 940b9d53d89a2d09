/** What a family of paths gives the router. */
import type { ApiContext } from './context.ts';
import type { ApiRequest, ApiResponse } from './message.ts';

/** `params` are the parts of the path that the route leaves open, decoded. */
export type RouteHandler = (
  context: ApiContext,
  request: ApiRequest,
  ...params: string[]
) => ApiResponse | Promise<ApiResponse>;

/** `'GET /v1/devices/:id'`. `:name` stands for one segment; `*` at the end for the rest of the path, slashes included. */
export type Routes = Readonly<Record<string, RouteHandler>>;

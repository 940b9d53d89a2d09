/**
 * The HTTP interface as a function: request in, answer out. One file per family of paths holds what happens; this one finds it, and turns
 * whatever is thrown into a problem.
 *
 *   const handle = createHandler(context);
 *   await handle({ method: 'GET', path: '/v1/status', … })
 */
import { asTidelogError, TidelogError } from '../../protocol/errors.ts';
import { commitRoutes } from './commits.ts';
import { forkRoutes } from './forks.ts';
import { configRoutes } from './config.ts';
import type { ApiContext } from './context.ts';
import { deviceRoutes } from './devices.ts';
import { healthRoutes } from './health.ts';
import { logRoutes } from './log.ts';
import type { ApiRequest, ApiResponse } from './message.ts';
import { pageRoutes } from './page.ts';
import { pairingRoutes } from './pairing.ts';
import { problemResponse } from './problem.ts';
import { resourceRoutes } from './resources.ts';
import type { RouteHandler } from './routes.ts';
import { sessionRoutes } from './session.ts';
import { statusRoutes } from './status.ts';
import { transferRoutes } from './transfer.ts';
import { verifyRoutes } from './verify.ts';

export type Handle = (request: ApiRequest) => Promise<ApiResponse>;

interface Route {
  readonly method: string;
  readonly pattern: RegExp;
  readonly handler: RouteHandler;
}

const ROUTES: readonly Route[] = [
  statusRoutes,
  resourceRoutes,
  commitRoutes,
  forkRoutes,
  transferRoutes,
  logRoutes,
  verifyRoutes,
  deviceRoutes,
  pairingRoutes,
  configRoutes,
  healthRoutes,
  sessionRoutes,
  pageRoutes,
].flatMap((routes) => Object.entries(routes).map(([text, handler]) => compile(text, handler)));

function compile(text: string, handler: RouteHandler): Route {
  const [method, path] = text.split(' ') as [string, string];
  const source = path.replaceAll('.', '\\.').replaceAll(/:\w+/g, '([^/]+)').replace('*', '(.+)');
  return { method, pattern: new RegExp(`^${source}$`), handler };
}

export function createHandler(context: ApiContext): Handle {
  return async (request) => {
    try {
      return await dispatch(context, request);
    } catch (thrown) {
      if (asTidelogError(thrown).code === 'internal')
        context.log.error({ err: thrown, path: request.path }, 'a request failed');
      return problemResponse(thrown);
    }
  };
}

async function dispatch(context: ApiContext, request: ApiRequest): Promise<ApiResponse> {
  // HEAD is GET whose body isn't sent; who owns the socket leaves it out.
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const here = ROUTES.flatMap((route) => {
    const match = route.pattern.exec(request.path);
    return match ? [{ route, params: match.slice(1).map(decodeSegment) }] : [];
  });
  const found = here.find(({ route }) => route.method === method);
  if (found) return found.route.handler(context, request, ...found.params);
  if (here.length === 0) return problemResponse(new TidelogError('not-found', `no such path: ${request.path}`));
  const allow = [...new Set(here.map(({ route }) => route.method))].join(', ');
  return problemResponse(
    new TidelogError('bad-request', `${request.method} is not possible here, only ${allow}`),
    405,
    {
      allow,
    },
  );
}

function decodeSegment(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new TidelogError('bad-request', 'the path holds a broken percent escape');
  }
}

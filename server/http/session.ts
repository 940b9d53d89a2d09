/** `/v1/session`: the page begins a session by a link's secret, asks whether it still has one, and ends it. */
import { TidelogError } from '../../protocol/errors.ts';
import type { Sessions } from '../sessions.ts';
import type { ApiContext } from './context.ts';
import { json, readField, readObject, type ApiRequest } from './message.ts';
import type { Routes } from './routes.ts';

export const sessionRoutes: Routes = {
  /** By token only: a session must not beget others that outlive it. */
  'POST /v1/session/links': (context, request) => {
    if (!request.headers.has('authorization')) throw new TidelogError('bad-token', 'a session makes no links');
    const { lifeMs } = request.body.length > 0 ? readObject(request) : {};
    if (lifeMs !== undefined && typeof lifeMs !== 'number')
      throw new TidelogError('bad-request', 'lifeMs must be a number');
    const { secret, expiresMs } = sessionsOf(context).newLink(lifeMs);
    return json({ path: `/#session=${secret}`, expiresMs }, { status: 201 });
  },

  'POST /v1/session': (context, request) => {
    const secret = readField(readObject(request), 'secret');
    if (secret === undefined) throw new TidelogError('bad-request', 'the body has no secret');
    const sessions = sessionsOf(context);
    const { cookie, key, expiresMs } = sessions.redeem(secret);
    return json(
      { key, expiresMs },
      { status: 201, headers: { 'set-cookie': sessions.setCookie(cookie, isHttps(request)) } },
    );
  },

  'GET /v1/session': (context, request) =>
    json({ expiresMs: sessionsOf(context).of(request.headers)?.expiresMs ?? null }),

  /** Its own; with the token, all of them. */
  'DELETE /v1/session': (context, request) => {
    const sessions = sessionsOf(context);
    if (request.headers.has('authorization')) return json({ ended: sessions.endAll() });
    sessions.end(request.headers);
    return json({ ended: 1 }, { headers: { 'set-cookie': sessions.clearCookie() } });
  },
};

function sessionsOf({ sessions }: ApiContext): Sessions {
  if (sessions === null)
    throw new TidelogError('not-found', 'no node runs here, so there is no page: start one with `tidelog start`');
  return sessions;
}

/** The node speaks plain HTTP; TLS is what stands before it, and only the page's origin tells of that. */
function isHttps({ headers }: ApiRequest): boolean {
  return headers.get('origin')?.startsWith('https:') ?? false;
}

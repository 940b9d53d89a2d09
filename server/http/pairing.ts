/** `/v1/pairing`: links that let a device in, joining by one, and devices that wait for a person. */
import type { PendingDevice } from '../../client/invites.ts';
import type { Invite, Joined, JoinOptions } from '../../client/pairing.ts';
import type { Peer } from '../../client/peer.ts';
import { INVITE_LIFE_MS } from '../../protocol/constants.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { spaceToWrite, type ApiContext } from './context.ts';
import { readRole } from './devices.ts';
import { events, json, readField, readObject, wantsEvents, type ServerEvent } from './message.ts';
import { problemOf } from './problem.ts';
import type { Routes } from './routes.ts';

export const pairingRoutes: Routes = {
  'POST /v1/pairing/invites': async (context, request) => {
    const body = request.body.length > 0 ? readObject(request) : {};
    const role = readRole(body) ?? 'writer';
    const lifeMs = body['lifeMs'] ?? INVITE_LIFE_MS;
    if (typeof lifeMs !== 'number') throw new TidelogError('bad-request', 'lifeMs must be a number');
    const addresses = [...context.addresses()];
    const invite = await context.peer.invite(await spaceToWrite(context, request), { role, lifeMs, addresses });
    return json({ ...inviteToJson(context, invite), link: invite.link, addresses }, { status: 201 });
  },

  'GET /v1/pairing/invites': (context) =>
    json({ items: context.peer.invites().map((invite) => inviteToJson(context, invite)) }),

  'GET /v1/pairing/invites/:id': (context, _request, id) => json(inviteToJson(context, findInvite(context.peer, id!))),

  'DELETE /v1/pairing/invites/:id': async ({ peer }, _request, id) => {
    await peer.cancelInvite(findInvite(peer, id!).id);
    return json({ id });
  },

  /**
   * A link joins; a plain address asks, and waits for a person there. As events: `digits` to compare, `pending` while that person is waited
   * for, `joined`, and `synced` when all that the other device has is here. A plain answer comes when it is joined; with `merge`, when that is done.
   */
  'POST /v1/pairing/join': async ({ peer }, request) => {
    const body = readObject(request);
    const link = readField(body, 'link');
    if (link === undefined) throw new TidelogError('bad-link', 'the body has no link');
    const merge = body['merge'] ?? false;
    if (typeof merge !== 'boolean') throw new TidelogError('bad-request', 'merge must be true or false');
    const join = (options: JoinOptions): Promise<Joined> => {
      const all = { ...options, merge, signal: request.signal };
      return link.includes('#') ? peer.join(link, all) : peer.ask(link, all);
    };
    if (wantsEvents(request)) {
      return events(joining(peer, join), (thrown) => ({ event: 'problem', data: problemOf(thrown) }));
    }
    const joined = await join({});
    if (merge) await joined.synced;
    return json(joinedToJson(peer, joined));
  },

  'GET /v1/pairing/pending': ({ peer }) => json({ items: peer.pending().map(pendingToJson) }),

  'POST /v1/pairing/pending/:id/approve': async (context, request, id) => {
    const role = readRole(request.body.length > 0 ? readObject(request) : {});
    await context.peer.approve(id!, await spaceToWrite(context, request), role);
    return json({ id });
  },

  'POST /v1/pairing/pending/:id/reject': async ({ peer }, _request, id) => {
    await peer.reject(id!);
    return json({ id });
  },
};

/** What happens on the way, as it happens. */
function joining(peer: Peer, join: (options: JoinOptions) => Promise<Joined>): AsyncIterable<ServerEvent> {
  let isRead = true;
  return new ReadableStream<ServerEvent>({
    async start(controller) {
      const say = (event: string, data: unknown): void => {
        if (isRead) controller.enqueue({ event, data });
      };
      const joined = await join({
        onDigits: (digits) => say('digits', { digits }),
        onPending: () => say('pending', {}),
      });
      say('joined', joinedToJson(peer, joined));
      await joined.synced;
      say('synced', {});
      if (isRead) controller.close();
    },
    cancel() {
      isRead = false;
    },
  });
}

function findInvite(peer: Peer, id: string): Invite {
  const invite = peer.invites().find((known) => known.id === id);
  if (!invite) throw new TidelogError('invite-unknown');
  return invite;
}

export type InviteJson = Omit<Invite, 'link'> & {
  /** What both sides showed when it was used; null before, and after a restart. */
  readonly digits: string | null;
};

/** Without the link: who may list invites needs no secret of them. */
function inviteToJson({ digitsOf }: ApiContext, { link: _, ...invite }: Invite): InviteJson {
  return { ...invite, digits: invite.usedBy === null ? null : digitsOf(invite.usedBy) };
}

function joinedToJson(peer: Peer, { device, space, role, digits }: Joined): Record<string, unknown> {
  return { device, space: { id: space.hex, name: space.name, home: peer.space() === space }, role, digits };
}

export type PendingJson = Omit<PendingDevice, 'device'>;

function pendingToJson({ device: _, ...pending }: PendingDevice): PendingJson {
  return pending;
}

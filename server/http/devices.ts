/** `/v1/devices`: the members of a space, and what owners do with them. */
import { TidelogError } from '../../protocol/errors.ts';
import { isRole, type Role } from '../../protocol/membership.ts';
import type { Space } from '../../client/space.ts';
import { spaceToRead, type ApiContext } from './context.ts';
import { json, readField, readObject, type ApiRequest } from './message.ts';
import type { Routes } from './routes.ts';

export const deviceRoutes: Routes = {
  'GET /v1/devices': async (context, request) => {
    const space = spaceToRead(context, request);
    return json({ items: space ? await context.peer.devices(space) : [] });
  },

  /** `member` is false where this device is no owner: it trusts the other from now on, and an owner must let it in. */
  'POST /v1/devices': async (context, request) => {
    const body = readObject(request);
    const id = readField(body, 'id');
    if (id === undefined) throw new TidelogError('bad-device-id', 'the body has no id');
    const name = readField(body, 'name');
    const address = readField(body, 'address');
    const role = readRole(body);
    const { recovery = false } = body;
    if (typeof recovery !== 'boolean') throw new TidelogError('bad-request', 'recovery must be true or false');
    if (recovery) {
      if (role !== 'owner' || address !== undefined)
        throw new TidelogError('bad-request', 'a recovery key is an owner, and has no address');
      const space = spaceOf(context, request);
      await context.peer.addRecoveryKey(space, id, name ?? '');
      return json({ id, member: true, space: { id: space.hex, name: space.name } }, { status: 201 });
    }
    const isMember = await context.peer.addDevice(id, {
      ...(request.query.has('space') && { space: spaceOf(context, request) }),
      ...(name !== undefined && { name }),
      ...(role !== undefined && { role }),
      ...(address !== undefined && { address }),
    });
    return json({ id, member: isMember }, { status: 201 });
  },

  'PATCH /v1/devices/:id': async (context, request, id) => {
    const body = readObject(request);
    const name = readField(body, 'name');
    const role = readRole(body);
    if (name === undefined && role === undefined)
      throw new TidelogError('bad-request', 'the body names neither name nor role');
    const space = spaceOf(context, request);
    if (role !== undefined) await context.peer.setRole(space, id!, role);
    if (name !== undefined) await context.peer.renameDevice(space, id!, name);
    return json({ id });
  },

  'DELETE /v1/devices/:id': async (context, request, id) => {
    await context.peer.revokeDevice(spaceOf(context, request), id!);
    return json({ id });
  },
};

/** Members belong to a space that exists. */
function spaceOf({ peer }: ApiContext, request: ApiRequest): Space {
  return peer.space(request.query.get('space') ?? undefined);
}

export function readRole(body: Readonly<Record<string, unknown>>): Role | undefined {
  const role = readField(body, 'role');
  if (role === undefined || isRole(role)) return role;
  throw new TidelogError('bad-role', `it is ${JSON.stringify(role)}`);
}

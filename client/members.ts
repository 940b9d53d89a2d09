/**
 * Changes of a space's members, as commits on `~devices/<ID>`. Each checks first what an owner would regret; and again when its turn to be written has come: of
 * two at once each may be fine by itself, and both together leave no owner.
 */
import { DEVICES_PREFIX } from '../protocol/constants.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import { checkDeviceKey } from '../protocol/ed25519.ts';
import { equal, toHex } from '../protocol/bytes.ts';
import { TidelogError } from '../protocol/errors.ts';
import { isRole, type Role } from '../protocol/membership.ts';
import { isName, type Value } from '../protocol/value.ts';
import type { Space } from './space.ts';

/** `check`: now, and again when its turn has come. */
async function setOnDevice(
  space: Space,
  device: Uint8Array,
  values: Readonly<Record<string, Value>>,
  check: () => void,
): Promise<void> {
  check();
  const subject = `${DEVICES_PREFIX}${formatDeviceId(device)}`;
  await space.commitReserved([{ subject, ops: { set: values } }], check).stored;
}

function mustBeOwner(space: Space): void {
  if (space.role !== 'owner')
    throw new TidelogError('not-an-owner', `the role of this device is ${space.role ?? 'none'}`);
}

function mustBeMember(space: Space, device: Uint8Array): Role {
  const role = space.roleOf(device);
  if (space.isRevoked(device)) throw new TidelogError('device-revoked', formatDeviceId(device));
  if (role === null) throw new TidelogError('unknown-device', formatDeviceId(device));
  return role;
}

function mustLeaveAnOwner(space: Space, device: Uint8Array): void {
  const others = space.members().filter((member) => member.role === 'owner' && !equal(member.device, device));
  if (space.roleOf(device) === 'owner' && others.length === 0) throw new TidelogError('last-owner');
}

/** An owner's key that no device runs with: it lies on paper until the other owners are lost. Throws what addMember throws. */
export async function addRecoveryKey(space: Space, device: Uint8Array, name: string): Promise<void> {
  const check = (): void => {
    mustBeOwner(space);
    if (space.roleOf(device) !== null) throw new TidelogError('bad-argument', 'it is a member already');
    mustBeAddable(space, device, name);
  };
  await setOnDevice(space, device, { role: 'owner', name, recovery: true }, check);
}

/** Writes nothing where the device has that role and name already. */
export async function addMember(space: Space, device: Uint8Array, member: { name: string; role: Role }): Promise<void> {
  mustBeOwner(space);
  const { name, role } = member;
  if (!isRole(role)) throw new TidelogError('bad-role', JSON.stringify(role));
  mustBeAddable(space, device, name);
  const isNamed = async (): Promise<boolean> => name === '' || (await space.nameOf(device)) === name;
  if (space.roleOf(device) === role && (await isNamed())) {
    // Perhaps only in memory: the write that makes it so may still fail.
    await space.settled();
    if (space.roleOf(device) === role && (await isNamed())) return;
  }
  const check = (): void => {
    mustBeOwner(space);
    mustBeAddable(space, device, name);
    mustLeaveAnOwnerUnless(space, device, role);
  };
  await setOnDevice(space, device, name === '' ? { role } : { role, name }, check);
}

function mustBeAddable(space: Space, device: Uint8Array, name: string): void {
  if (!isName(name)) throw new TidelogError('bad-argument', 'a name is at most 64 bytes of text');
  if (!checkDeviceKey(device)) throw new TidelogError('bad-key', toHex(device));
  if (space.isRevoked(device)) throw new TidelogError('device-revoked', formatDeviceId(device));
}

function mustLeaveAnOwnerUnless(space: Space, device: Uint8Array, role: Role): void {
  if (role !== 'owner') mustLeaveAnOwner(space, device);
}

export async function renameMember(space: Space, device: Uint8Array, name: string): Promise<void> {
  const check = (): void => {
    mustBeOwner(space);
    mustBeMember(space, device);
    if (!isName(name) || name === '') throw new TidelogError('bad-argument', 'a name is 1 to 64 bytes of text');
  };
  await setOnDevice(space, device, { name }, check);
}

export async function setMemberRole(space: Space, device: Uint8Array, role: Role): Promise<void> {
  const check = (): void => {
    mustBeOwner(space);
    mustBeMember(space, device);
    if (!isRole(role)) throw new TidelogError('bad-role', JSON.stringify(role));
    mustLeaveAnOwnerUnless(space, device, role);
  };
  await setOnDevice(space, device, { role }, check);
}

/** What counts of it is what is here now: the last seq of each of its chains. */
export async function revokeMember(space: Space, device: Uint8Array): Promise<void> {
  const check = (): void => {
    mustBeOwner(space);
    mustBeMember(space, device);
    mustLeaveAnOwner(space, device);
  };
  await setOnDevice(space, device, { revoked: space.chainsOf(device) }, check);
}

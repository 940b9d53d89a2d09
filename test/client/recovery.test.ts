/** What a recovery key does to a space, from one node that has a copy of it. */
import { afterEach, expect, test } from 'vitest';

import { nodePlatform } from '../../client/platform/node.ts';
import { RecoveryLine } from '../../client/recovery.ts';
import { formatDeviceId, parseDeviceId } from '../../protocol/device-id.ts';
import { dump, eventually, eventuallySame, Network, pair, type Member } from '../support/network.ts';
import { crypto, withCode } from '../support/protocol.ts';

let network = new Network();
afterEach(async () => {
  await network.close();
  network = new Network();
});

const keys = crypto.ed25519KeyPair(nodePlatform().random(32));
const keyId = formatDeviceId(keys.public);

/** A laptop with a recovery key, and another device that has its space. */
async function household(role: 'mirror' | 'reader' = 'mirror'): Promise<{ laptop: Member; pi: Member }> {
  const laptop = await network.add('laptop');
  const space = await laptop.peer.homeSpace();
  for (let i = 0; i < 300; i++) await space.set(`note/${i}`, { title: `Note ${i}` }).stored;
  await laptop.peer.addRecoveryKey(space, keyId, 'recovery');
  const pi = await network.add('pi');
  await pair(laptop, pi, role);
  await eventuallySame([laptop, pi]);
  return { laptop, pi };
}

const open = (to: Member, options: { keys?: typeof keys; space?: string } = {}): Promise<RecoveryLine> =>
  RecoveryLine.open({ platform: network.platform(), keys, url: to.url, ...options });

test('admits an owner through a mirror, on whose disk it is then; the mirror has written nothing', async () => {
  const { laptop, pi } = await household();
  network.isolate(laptop);
  const fresh = await network.add('desktop');
  const line = await open(pi);
  expect([line.node, line.space.name, line.space.hex]).toEqual([pi.peer.id, 'home', pi.peer.space().hex]);
  expect(await line.admit(fresh.peer.device, 'desktop')).toBe(true);
  expect(pi.peer.space().roleOf(fresh.peer.device)).toBe('owner');
  expect(await line.admit(fresh.peer.device, 'desktop'), 'once is enough').toBe(false);
  await line.close();
  expect(pi.peer.space().chains.map(({ device }) => formatDeviceId(device))).toEqual([laptop.peer.id, keyId]);

  const { synced } = await fresh.peer.ask(pi.url);
  await synced;
  await eventuallySame([fresh, pi]);
  expect(fresh.peer.space().role).toBe('owner');
  expect(await dump(fresh.peer)).toEqual(await dump(laptop.peer));
  const phone = await network.add('phone');
  await pair(fresh, phone, 'writer');
  await fresh.peer.revokeDevice(fresh.peer.space(), laptop.peer.id);
  await fresh.peer.revokeDevice(fresh.peer.space(), keyId);
  await phone.peer.space().set('note/1', { title: 'by the phone' }).stored;
  await eventuallySame([fresh, phone, pi]);
  expect(fresh.peer.space().role, 'whoever was admitted by a key stays when the key goes').toBe('owner');
  await expect(open(pi)).rejects.toEqual(withCode('recovery-refused'));
});

test('makes an owner of a member that is there already, and of the node itself', async () => {
  const { laptop, pi } = await household('reader');
  network.isolate(laptop);
  const line = await open(pi);
  expect(await line.admit(pi.peer.device, '')).toBe(true);
  await line.close();
  expect(pi.peer.space().role).toBe('owner');
  expect((await pi.peer.devices(pi.peer.space())).map(({ name, role, recovery }) => [name, role, recovery])).toEqual([
    ['pi', 'owner', false],
    ['laptop', 'owner', false],
    ['recovery', 'owner', true],
  ]);
});

test('a device that was revoked stays out', async () => {
  const { laptop, pi } = await household();
  const phone = await network.add('phone');
  await pair(laptop, phone, 'writer');
  await laptop.peer.revokeDevice(laptop.peer.space(), phone.peer.id);
  await eventuallySame([laptop, pi]);
  const line = await open(pi);
  await expect(line.admit(phone.peer.device, '')).rejects.toEqual(withCode('device-revoked'));
  await line.close();
});

test('a key that is a stranger there, is revoked, or no owner any more is refused, and changes nothing', async () => {
  const { laptop, pi } = await household();
  const { head } = pi.peer.space();
  const stranger = crypto.ed25519KeyPair(nodePlatform().random(32));
  const refused = (text: string): unknown =>
    expect.objectContaining({ code: 'recovery-refused', message: expect.stringContaining(text) });
  await expect(open(pi, { keys: stranger })).rejects.toEqual(refused('a member of no space there'));
  expect(pi.peer.pending(), 'nobody is asked to let it in').toEqual([]);
  expect(pi.peer.space().head).toBe(head);
  await laptop.peer.setRole(laptop.peer.space(), keyId, 'writer');
  await eventuallySame([laptop, pi]);
  await expect(open(pi)).rejects.toEqual(refused('its role in home is writer'));
  await laptop.peer.revokeDevice(laptop.peer.space(), keyId);
  await eventuallySame([laptop, pi]);
  await expect(open(pi)).rejects.toEqual(refused('it was revoked'));
});

test('of several spaces it is taken to the one that is named', async () => {
  const { laptop, pi } = await household();
  const work = await laptop.peer.createSpace('work');
  await laptop.peer.addRecoveryKey(work, keyId, 'recovery');
  const desktop = await network.add('desktop');
  const line = await open(laptop, { space: 'work' });
  await line.admit(desktop.peer.device, 'desktop');
  await line.close();
  expect([work.roleOf(desktop.peer.device), laptop.peer.space().roleOf(desktop.peer.device)]).toEqual(['owner', null]);
  await expect(open(pi, { space: 'work' })).rejects.toEqual(withCode('unknown-space'));
});

test('a node that goes away in the middle is an error, and not a wait for ever', async () => {
  const { pi } = await household();
  const line = await open(pi);
  const desktop = await network.add('desktop');
  network.isolate(pi);
  await expect(line.admit(parseDeviceId(desktop.peer.id), 'desktop')).rejects.toEqual(withCode('unreachable'));
  await line.close();
  await expect(open(pi)).rejects.toEqual(withCode('unreachable'));
});

test('is made by owners only, and of no member', async () => {
  const { laptop, pi } = await household();
  const other = formatDeviceId(crypto.ed25519KeyPair(nodePlatform().random(32)).public);
  await expect(pi.peer.addRecoveryKey(pi.peer.space(), other, 'recovery')).rejects.toEqual(withCode('not-an-owner'));
  const space = laptop.peer.space();
  await expect(laptop.peer.addRecoveryKey(space, pi.peer.id, 'x')).rejects.toEqual(withCode('bad-argument'));
  await laptop.peer.revokeDevice(space, keyId);
  await expect(laptop.peer.addRecoveryKey(space, keyId, 'x')).rejects.toEqual(withCode('device-revoked'));
});

test('an owner who is the only one, among others, is told of it until there is a recovery key', async () => {
  const laptop = await network.add('laptop');
  const space = await laptop.peer.homeSpace();
  expect(laptop.peer.status().warnings, 'a first device has nobody yet').toEqual([]);
  const pi = await network.add('pi');
  await pair(laptop, pi, 'mirror');
  expect(laptop.peer.status().warnings.join()).toContain('tidelog recovery create');
  expect(pi.peer.status().warnings, 'who can do nothing about it is left alone').toEqual([]);
  await laptop.peer.addRecoveryKey(space, keyId, 'recovery');
  expect(laptop.peer.status().warnings).toEqual([]);
  await eventually(() => pi.peer.space().roleOf(keys.public) === 'owner', 'it is known');
});

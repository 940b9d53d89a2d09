/** A revoked device is out: its connection ends, it does not come back, and nothing that it writes counts anywhere, by whatever way it comes. */
import { describe, expect, test } from 'vitest';

import { eventually, failure, newLab, type Device } from './support.ts';

const lab = newLab();

async function connectedTo(device: Device): Promise<string[]> {
  return (await device.status()).peers
    .filter(({ connected }) => connected)
    .map(({ name }) => name)
    .toSorted();
}

async function has(device: Device, subject: string): Promise<boolean> {
  return (await device.read(subject)) !== null;
}

describe('a revoked device', () => {
  test('is disconnected at once, told why, and kept out, also after a restart', async () => {
    const [laptop, thief] = await Promise.all([lab.start('laptop'), lab.start('thief')]);
    await thief.join(laptop);
    await thief.set('note/before', { title: 'fine' });
    await eventually(() => has(laptop, 'note/before'), 'the note is on the laptop');
    expect(await connectedTo(laptop)).toEqual(['thief']);

    await laptop.run('devices', 'revoke', 'thief', '--yes');
    await eventually(async () => (await connectedTo(laptop)).length === 0, 'the connection ends');
    await thief.try('set', 'note/after', 'title=stolen');

    expect(await laptop.run('devices')).toMatch(/^thief\trevoked\t/m);
    expect(failure(await laptop.try('devices', 'revoke', 'nobody', '--json'))).toMatchObject({
      exit: 1,
      code: 'unknown-device',
    });

    await thief.kill('SIGTERM');
    await thief.start();
    const errorOf = async (): Promise<string | null> => (await thief.status()).peers[0]?.error ?? null;
    await eventually(async () => (await errorOf()) !== null, 'the laptop has refused it');
    expect(await errorOf()).toMatch(/has been revoked, and that is final/);
    expect(await thief.run('status')).toMatch(/^laptop: This device has been revoked, and that is final for its key/m);
    expect(await connectedTo(laptop)).toEqual([]);
    expect(await has(laptop, 'note/after')).toBe(false);
    expect(await has(laptop, 'note/before')).toBe(true);

    // A new link is no way back for the same key, and says so.
    const link = await laptop.invite();
    const refused = failure(await thief.try('pair', 'join', link, '--json'));
    expect(refused).toMatchObject({ exit: 1, code: 'device-revoked' });
    expect(refused.message).toMatch(/tidelog init/);
  });

  test('writes nothing through a third node that has not heard of it yet', async () => {
    const [owner, friend, thief] = await Promise.all([lab.start('owner'), lab.start('friend'), lab.start('thief')]);
    await friend.join(owner, { role: 'owner' });
    // The thief knows the friend only.
    await thief.join(friend);
    await thief.set('note/before', { title: 'fine' });
    await eventually(() => has(owner, 'note/before'), 'the note is on the owner');
    const before = await owner.head();

    // The friend is away while the owner revokes; then the owner is away, and the thief writes to the friend, who knows of nothing.
    await friend.kill('SIGTERM');
    await owner.run('devices', 'revoke', 'thief', '--yes');
    await owner.kill('SIGTERM');
    await friend.start();
    await eventually(async () => (await connectedTo(friend)).includes('thief'), 'the thief is back at the friend');
    for (let i = 0; i < 5; i++) await thief.set(`note/after-${i}`, { title: 'stolen' });
    await thief.set('note/before', { title: 'stolen' });
    await eventually(() => has(friend, 'note/after-4'), 'the friend has what the thief wrote');

    await owner.start();
    await eventually(async () => (await friend.export()) === (await owner.export()), 'owner and friend are level');
    await eventually(async () => (await friend.head()) === (await owner.head()), 'their logs are');
    await eventually(async () => !(await connectedTo(friend)).includes('thief'), 'the friend sends the thief away');
    for (const device of [owner, friend]) {
      for (let i = 0; i < 5; i++) expect(await has(device, `note/after-${i}`)).toBe(false);
      expect(await device.read('note/before')).toEqual({ title: 'fine' });
      expect(await device.export()).not.toContain('stolen');
      expect((await device.status()).warnings).toEqual([]);
    }
    // They keep their place in the log, so that all digests agree; one more is the revocation.
    expect(await owner.head()).toBe(before + 1 + 6);
    expect(await owner.run('log')).not.toContain('stolen');
  });
});

/** A data folder that was copied, and runs on two machines: real nodes, with their command lines. */
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import type { ForkView } from '../../client/branches.ts';
import { freePort } from '../../server/demo/free-port.ts';
import { Device, eventually, newLab } from './support.ts';

const lab = newLab();

test('two copies of a folder write, meet a third, and all three end alike; the branch that was set aside is written again', async () => {
  const [laptop, phone] = await Promise.all([lab.start('laptop'), lab.start('phone')]);
  await laptop.set('note/0', { by: 'both' });
  await phone.join(laptop);
  const devices = await Promise.all([laptop.kill('SIGTERM'), phone.kill('SIGTERM')]);
  expect(devices).toEqual([0, 0]);
  const copy = new Device(lab, 'copy', join(await lab.folder(), 'copy'), await freePort());
  await cp(laptop.dataDir, copy.dataDir, { recursive: true });
  for (const device of [laptop, copy]) {
    await device.run('set', 'note/1', `by=${device.name}`);
    await device.run('set', `only/${device.name}`, 'there=true');
  }

  await phone.start();
  // One after the other, as when a machine is used here and then there.
  const turn = async (device: Device): Promise<void> => {
    await device.start('--connect', phone.url);
    await eventually(async () => {
      const [mine, theirs] = await Promise.all([device.status(), phone.status()]);
      return mine.peers.some(({ connected, behind }) => connected && behind === 0) && theirs.spaces[0] !== undefined;
    }, `${device.name} has met the phone`);
  };
  const settled = async (device: Device): Promise<boolean> => (await device.export()) === (await phone.export());
  await turn(laptop);
  await eventually(() => settled(laptop), 'the laptop and the phone are alike');
  await laptop.kill('SIGTERM');
  await turn(copy);
  await eventually(async () => (await phone.json<ForkView>('forks')).length > 0, 'the phone knows of the fork');
  await eventually(() => settled(copy), 'the copy and the phone are alike');
  await copy.kill('SIGTERM');
  await turn(laptop);
  await eventually(() => settled(laptop), 'the laptop and the phone are alike again');

  const [fork] = await phone.json<ForkView>('forks');
  expect(fork).toMatchObject({ deviceName: 'laptop' });
  expect((await phone.status()).warnings.join()).toMatch(/two different commits with one number/);
  const winner = (await phone.read('only/laptop')) === null ? copy : laptop;
  const loser = winner === laptop ? copy : laptop;
  expect(await phone.read('note/1')).toEqual({ by: winner.name });
  // Whoever holds the lost branch prints it, and brings it back.
  const lines = (await loser.run('forks', 'export')).trim().split('\n');
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    { changes: [{ subject: 'note/1', set: { by: loser.name } }] },
    { changes: [{ subject: `only/${loser.name}`, set: { there: true } }] },
  ]);
  expect(await loser.json('forks', 'republish')).toEqual([{ written: 2, left: 0 }]);
  if (loser === copy) {
    await laptop.kill('SIGTERM');
    await turn(copy);
  }
  await eventually(async () => (await phone.read(`only/${loser.name}`)) !== null, 'it is on the phone');
  expect(await phone.read('note/1')).toEqual({ by: loser.name });
  expect(await phone.read(`only/${winner.name}`)).not.toBeNull();
});

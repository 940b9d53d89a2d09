/** The same property written on two devices that don't see each other: one winner and one conflict on both, until somebody decides. */
import { describe, expect, test } from 'vitest';

import { eventually, newLab, type Device } from './support.ts';

const lab = newLab();

/** Both paired, with a note that both have. The second is the one that dials. */
async function twoWithNote(): Promise<[Device, Device]> {
  const [laptop, phone] = await Promise.all([lab.start('laptop'), lab.start('phone')]);
  await phone.join(laptop);
  await laptop.set('note/1', { title: 'Milk', done: false });
  await eventually(async () => (await phone.head()) === (await laptop.head()), 'the note is on both');
  return [laptop, phone];
}

async function level(one: Device, other: Device, commits: number): Promise<void> {
  await eventually(async () => {
    const [a, b] = [await one.status(), await other.status()];
    return a.spaces[0]!.commits === commits && b.spaces[0]!.commits === commits;
  }, `both have ${commits} commits`);
}

async function writeApart(laptop: Device, phone: Device): Promise<void> {
  await phone.kill('SIGTERM');
  await laptop.set('note/1', { title: 'Oat milk' });
  // With no node, the command opens the store itself.
  await phone.run('set', 'note/1', 'title=Soy milk', 'shop=corner');
  await phone.start();
  await level(laptop, phone, 5);
}

describe('a conflict', () => {
  test.each(['laptop', 'phone'])('is the same on both, and a write on the %s resolves it on both', async (decider) => {
    const [laptop, phone] = await twoWithNote();
    await writeApart(laptop, phone);

    const [here, there] = [await laptop.conflicts(), await phone.conflicts()];
    expect(here).toEqual(there);
    expect(here).toHaveLength(1);
    const [{ subject, property, alternatives }] = here as [(typeof here)[0]];
    expect({ subject, property }).toEqual({ subject: 'note/1', property: 'title' });
    expect(alternatives.map(({ value, deviceName }) => [value, deviceName])).toEqual([
      // The later one shows.
      ['Soy milk', 'phone'],
      ['Oat milk', 'laptop'],
    ]);
    for (const device of [laptop, phone])
      expect(await device.read('note/1')).toEqual({ title: 'Soy milk', done: false, shop: 'corner' });
    expect(await Promise.all([laptop.run('conflicts'), phone.run('conflicts')])).toEqual(
      Array.from({ length: 2 }, () => 'note/1\ttitle\tSoy milk\tOat milk\n'),
    );
    expect(await laptop.export()).toBe(await phone.export());

    await (decider === 'laptop' ? laptop : phone).run('set', 'note/1', 'title=Both');
    await level(laptop, phone, 6);
    for (const device of [laptop, phone]) {
      expect(await device.conflicts()).toEqual([]);
      expect((await device.status()).spaces[0]!.conflicts).toBe(0);
      expect(await device.read('note/1')).toMatchObject({ title: 'Both' });
    }
    expect(await Promise.all([laptop.run('conflicts'), phone.run('conflicts')])).toEqual(['', '']);
    expect(await laptop.export()).toBe(await phone.export());
  });

  test('survives a restart of both, and different properties make none', async () => {
    const [laptop, phone] = await twoWithNote();
    await writeApart(laptop, phone);
    for (const device of [laptop, phone]) {
      await device.kill('SIGKILL');
      await device.start();
    }
    expect(await laptop.conflicts()).toHaveLength(1);
    expect(await laptop.conflicts()).toEqual(await phone.conflicts());

    await phone.kill('SIGTERM');
    await laptop.set('note/1', { color: 'blue' });
    await phone.run('set', 'note/1', 'size=2');
    await phone.start();
    await level(laptop, phone, 7);
    expect(await laptop.conflicts()).toHaveLength(1);
    expect(await phone.export()).toBe(await laptop.export());
  });
});

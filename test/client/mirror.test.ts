/** A mirror keeps the log and passes it on; resources it has none, and says so. */
import { afterEach, expect, test } from 'vitest';
import { collect, dump, eventually, eventuallySame, Network, pair } from '../support/network.ts';
import { withCode } from '../support/protocol.ts';

let network = new Network();
afterEach(async () => {
  await network.close();
  network = new Network();
});

const stateRows = async (member: { store: { scan: (...args: never[]) => unknown } }): Promise<number> => {
  const scan = member.store.scan.bind(member.store) as (table: string, range: object) => Promise<[Uint8Array][]>;
  const rows = await scan('state', { gte: new Uint8Array([0]), limit: 1000 });
  return rows.filter(([key]) => key[4] !== 0x7e).length;
};

test('everything comes through a mirror, and it keeps no resources', async () => {
  const laptop = await network.add('laptop');
  const space = await laptop.peer.homeSpace();
  for (let i = 0; i < 50; i++) await space.set(`note/${i}`, { title: `Note ${i}` }).stored;
  const mirror = await network.add('mirror');
  await pair(laptop, mirror, 'mirror');
  await eventuallySame([laptop, mirror]);
  expect(await stateRows(mirror)).toBe(0);
  expect(await mirror.peer.space().audit()).toMatchObject({ findings: [], head: space.head });
  await expect(mirror.peer.space().get('note/1')).rejects.toEqual(withCode('log-only'));
  await expect(mirror.peer.space().list({ limit: 10 })).rejects.toEqual(withCode('log-only'));
  await expect(mirror.peer.space().conflicts({ limit: 10 })).rejects.toEqual(withCode('log-only'));
  expect((await mirror.peer.devices(mirror.peer.space())).map(({ name }) => name)).toEqual(['mirror', 'laptop']);
  // History is of the log.
  expect(await collect(mirror.peer.space().log({ subject: 'note/7' }))).toHaveLength(1);

  const phone = await network.add('phone');
  await pair(laptop, phone, 'writer');
  await eventuallySame([laptop, phone, mirror]);
  expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
});

test('who becomes a mirror drops its resources, and who is none any more makes them from its log', async () => {
  const laptop = await network.add('laptop');
  const space = await laptop.peer.homeSpace();
  for (let i = 0; i < 20; i++) await space.set(`note/${i % 7}`, { title: `Note ${i}`, n: i }).stored;
  const phone = await network.add('phone');
  await pair(laptop, phone, 'writer');
  await eventuallySame([laptop, phone]);
  expect(await stateRows(phone)).toBe(7);

  await laptop.peer.setRole(space, phone.peer.id, 'mirror');
  await eventually(async () => (await stateRows(phone)) === 0, 'its resources are gone');
  await space.set('note/8', { title: 'while it was a mirror' }).stored;
  await eventuallySame([laptop, phone]);
  expect(await stateRows(phone)).toBe(0);

  await laptop.peer.setRole(space, phone.peer.id, 'writer');
  await eventually(async () => (await stateRows(phone)) === 8, 'its resources are made anew');
  expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
});

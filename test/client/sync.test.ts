import { afterEach, describe, expect, test } from 'vitest';
import { dump, Network, pair } from '../support/network.ts';

let network = new Network();
afterEach(async () => {
  await network.close();
  network = new Network();
});

describe('two peers', () => {
  test('pair by a link, and each gets what the other writes', async () => {
    const laptop = await network.add('laptop');
    const phone = await network.add('phone');
    const home = await laptop.peer.homeSpace();
    await home.set('note/1', { title: 'Milk' }).stored;
    await pair(laptop, phone);
    expect((await phone.peer.space().get('note/1'))?.value).toEqual({ title: 'Milk' });
    const write = phone.peer.space().set('note/1', { done: true });
    await write.reached({ peers: 1 });
    expect((await home.get('note/1'))?.value).toEqual({ title: 'Milk', done: true });
    const back = home.set('note/2', { title: 'Bread' });
    await back.reached({ peers: 1 });
    expect(await dump(phone.peer)).toEqual(await dump(laptop.peer));
    expect(phone.peer.space().digest()).toEqual(home.digest());
    expect(laptop.peer.counters.duplicates + phone.peer.counters.duplicates).toBe(0);
  });
});

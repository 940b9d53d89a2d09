/** Which spaces a peer holds: the first that it makes, and a copy for a log that comes from elsewhere, which is let go of where nothing came. */
import { afterEach, describe, expect, test } from 'vitest';
import { MemoryStore } from '../../client/memory-store.ts';
import { ForkedHistory, Receiver } from '../support/histories.ts';
import { Network } from '../support/network.ts';
import { bytesOf } from '../support/protocol.ts';
import { WrappedStore } from '../support/stores.ts';
import { turn } from '../support/turn.ts';

let network = new Network();
afterEach(async () => {
  await network.close();
  network = new Network();
});

/** Writes wait until `release`; resolves when the next has come so far. */
function holdWrites(store: WrappedStore): { reached: Promise<void>; release: () => void } {
  const [reached, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  store.beforeWrite = () => {
    reached.resolve();
    return gate.promise;
  };
  return { reached: reached.promise, release: () => gate.resolve() };
}

test('the default space that is asked for while one is being added is that one, and no other is made', async () => {
  const laptop = await network.add('laptop');
  const added = laptop.peer.createSpace('work');
  const homes = await Promise.all([laptop.peer.homeSpace(), laptop.peer.homeSpace()]);
  expect(homes).toEqual([await added, await added]);
  expect(laptop.peer.spaces).toEqual([laptop.peer.space()]);
});

describe('an empty copy that is let go of', () => {
  test('is gone, and twice at once takes no other space with it', async () => {
    const laptop = await network.add('laptop');
    await laptop.peer.homeSpace();
    const copy = await laptop.peer.addCopy(bytesOf('space', 32), 'copy');
    await Promise.all([laptop.peer.forgetEmptyCopy(copy), laptop.peer.forgetEmptyCopy(copy)]);
    expect(laptop.peer.spaces.map(({ name }) => name)).toEqual(['home']);
    expect(await laptop.store.get('spaces', copy.id)).toBeUndefined();
  });

  test('and added again at once is another, which stays', async () => {
    const history = new ForkedHistory();
    const { member, space } = await history.receiver(network, 'receiver');
    const [, again] = await Promise.all([member.peer.forgetEmptyCopy(space), member.peer.addCopy(history.space, '')]);
    await member.peer.forgetEmptyCopy(space);
    expect(member.peer.spaces).toEqual([again]);
    expect(await new Receiver(history, member, again).give(history.all[0]!)).toBeNull();
    expect(await member.store.get('spaces', again.id)).toBeDefined();
  });

  test('is kept where something came in the meantime', async () => {
    const history = new ForkedHistory();
    const store = new WrappedStore(new MemoryStore());
    const receiver = await history.receiver(network, 'receiver', store);
    const { member, space } = receiver;
    const { reached, release } = holdWrites(store);
    const given = receiver.give(history.all[0]!);
    await reached;
    const forgotten = member.peer.forgetEmptyCopy(space);
    await turn();
    release();
    expect(await given).toBeNull();
    await forgotten;
    expect(space.head).toBe(1);
    expect(member.peer.spaces).toEqual([space]);
    // It goes on.
    history.data('founder');
    expect(await receiver.give(history.all[1]!)).toBeNull();
    expect(await store.get('spaces', space.id)).toBeDefined();
  });

  test('goes where what was under way is refused', async () => {
    const history = new ForkedHistory();
    const store = new WrappedStore(new MemoryStore());
    const receiver = await history.receiver(network, 'receiver', store);
    const { member, space } = receiver;
    const worked = Promise.withResolvers<void>();
    store.beforeRead = () => worked.promise;
    // What comes first in a log is who owns it, and this isn't.
    const given = receiver.give(history.data('founder'));
    const forgotten = member.peer.forgetEmptyCopy(space);
    await turn();
    worked.resolve();
    expect(await given).not.toBeNull();
    await forgotten;
    expect(member.peer.spaces).toEqual([]);
    expect(await store.get('spaces', space.id)).toBeUndefined();
  });
});

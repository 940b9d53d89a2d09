/** The log that the kit expects an implementation to hold: after a case that failed it goes on from what the implementation really has. */
import { expect, test } from 'vitest';
import { newDevice } from '../../conformance/device.ts';
import { set, World, type Commit } from '../../conformance/world.ts';
import { decodeBody } from '../../protocol/body.ts';
import { equal, toHex } from '../../protocol/bytes.ts';

/** A founder that has let three in, the second of whom wrote. */
function household(): { world: World; second: Commit } {
  const world = World.found(newDevice('kit owner'));
  world.grant(newDevice('first'), 'writer');
  const writer = newDevice('second');
  world.grant(writer, 'writer');
  const second = world.author(writer).write([set('note/1', { v: 1 })]);
  world.grant(newDevice('third'), 'writer');
  return { world, second };
}

function depsOf(commit: Commit): string[] {
  return decodeBody(commit.body!).deps.map(({ chain, seq }) => `${toHex(chain)} ${seq}`);
}

test('an implementation that lost the end of the log: the owner goes on after what is left', () => {
  const { world, second } = household();
  const kept = world.log.slice(0, 2);
  world.replace(kept);
  expect(world.head).toBe(2);
  const granted = world.grant(newDevice('fourth'), 'writer');
  expect(granted.seq).toBe(3);
  expect(equal(granted.prev, kept[1]!.id)).toBe(true);
  // What is gone is not named, and is when it has come back.
  expect(depsOf(granted)).toEqual([]);
  world.add(second);
  expect(depsOf(world.grant(newDevice('fifth'), 'writer'))).toEqual([`${toHex(second.chain.id)} 1`]);
});

test('one that took what the owner only drafted: the owner goes on behind it', () => {
  const { world, second } = household();
  const draft = world.owner.draft([set('note/2', { v: 1 })]);
  world.replace([...world.log, draft]);
  const granted = world.grant(newDevice('fourth'), 'writer');
  expect(granted.seq).toBe(draft.seq + 1);
  expect(equal(granted.prev, draft.id)).toBe(true);
  // It named the second's commit when it let the third in, and need not again.
  expect(depsOf(granted)).toEqual([]);
  expect(equal(world.headOf(second.chain.id)!.id, second.id)).toBe(true);
});

test('one that has the same: nothing changes', () => {
  const { world } = household();
  const digest = toHex(world.digest());
  const { last } = world.owner;
  world.replace([...world.log]);
  expect(toHex(world.digest())).toBe(digest);
  expect(equal(world.owner.last!.id, last!.id)).toBe(true);
  expect(world.grant(newDevice('fourth'), 'writer').seq).toBe(last!.seq + 1);
});

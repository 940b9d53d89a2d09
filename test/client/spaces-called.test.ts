import { expect, test } from 'vitest';
import { oneCalled, spacesCalled } from '../../client/spaces-called.ts';
import { withCode } from '../support/protocol.ts';

const [HOME, WORK, LIAR] = ['a1b2c3d4e5f6', 'a1b2c3d4ffff', '00000000ffff'];
const spaces = [
  { id: HOME, name: 'home' },
  { id: WORK, name: 'work' },
  { id: LIAR, name: HOME },
  { id: '11111111ffff', name: 'work' },
];

test.each<[text: string, ids: string[]]>([
  ['home', [HOME]],
  ['Home', []],
  ['work', [WORK, '11111111ffff']],
  // Another is called so.
  [HOME, [HOME]],
  [HOME.toUpperCase(), [HOME]],
  ['a1b2c3d4', [HOME, WORK]],
  ['A1B2C3D4F', [WORK]],
  ['a1b2c3d', []],
  ['', []],
])('by %j', (text, ids) => {
  expect(spacesCalled(spaces, text, ({ id }) => id).map(({ id }) => id)).toEqual(ids);
  const one = (): (typeof spaces)[number] => oneCalled(spaces, text, ({ id }) => id);
  if (ids.length === 1) expect(one().id).toBe(ids[0]);
  else expect(one).toThrow(withCode(ids.length === 0 ? 'unknown-space' : 'bad-argument'));
});

test('those with one name are told apart by the beginnings of their ids, and by the whole ids where these begin alike', () => {
  const one = (text: string) => () => oneCalled(spaces, text, ({ id }) => id);
  expect(one('work')).toThrow(/id: a1b2c3d4, 11111111\)/);
  expect(one('a1b2c3d4')).toThrow(/id: a1b2c3d4e5f6, a1b2c3d4ffff\)/);
});

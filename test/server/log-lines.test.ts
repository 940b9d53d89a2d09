/** A commit in `tidelog log`: whole for programs, and for a person what a screen has room for. */
import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';

import { describeLogged } from '../../server/cli/log.ts';

const commit = (count: number): Parameters<typeof describeLogged>[0] => ({
  cursor: '12',
  id: 'aa',
  device: 'AOQQPP7-AAAAAAA',
  deviceName: 'laptop',
  time: null,
  erased: false,
  changes: Array.from({ length: count }, (_, i) => ({ subject: `note/${i}`, set: { title: 'Milk' } })),
});

test('an import of a thousand resources is a few lines on a terminal, and says how to see the rest', () => {
  const lines = stripVTControlCharacters(describeLogged(commit(1000), true)).split('\n');
  expect(lines).toHaveLength(10);
  expect(lines.at(-2)).toBe('    note/7 set title=Milk');
  expect(lines.at(-1)).toBe('    and 992 more; --json prints all of them');
});

test('what fits is shown whole, and a program gets every change', () => {
  expect(stripVTControlCharacters(describeLogged(commit(8), true)).split('\n')).toHaveLength(9);
  expect(describeLogged(commit(1000), false).split('\t')).toHaveLength(1003);
});

/** The kit's cases against docs/PROTOCOL.md: each names a section that is there, and a rule that stands in it word for word. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { CASES } from '../../conformance/index.ts';

const page = readFileSync(new URL('../../docs/PROTOCOL.md', import.meta.url), 'utf8');

/** Section number → its text up to the next heading, subsections included, white space as one blank. */
const sections = new Map(
  [...page.matchAll(/^(#{2,3}) (\d+(?:\.\d+)?)\.? .*$/gm)].map((heading) => {
    const [, marks, number] = heading;
    const rest = page.slice(heading.index + heading[0].length);
    const end = rest.search(new RegExp(`^#{2,${marks!.length}} `, 'm'));
    return [number!, flat(end < 0 ? rest : rest.slice(0, end))] as const;
  }),
);

function flat(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}

test('every case has a number of its own', () => {
  const ids = CASES.map(({ id }) => id);
  expect(ids.filter((id, at) => ids.indexOf(id) !== at)).toEqual([]);
});

test.each(CASES.map((each) => [each.id, each] as const))('%s names a rule of its section', (id, { rule }) => {
  const text = sections.get(id.split('/')[0]!);
  expect(text, `section ${id}`).toBeDefined();
  expect(text!.includes(flat(rule)), `«${rule}» does not stand in section ${id.split('/')[0]}`).toBe(true);
});

/**
 * The kit's cases against docs/PROTOCOL.md: each names a section that is there, and a rule that stands in it word for word. And the table of
 * planted bugs in docs/CONFORMANCE.md; `TIDELOG_UPDATE_DOCS=1` writes it anew.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { CASES } from '../../conformance/index.ts';
import { KIT_BUGS } from '../planted/kit-bugs.ts';

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

describe('docs/CONFORMANCE.md', () => {
  const path = new URL('../../docs/CONFORMANCE.md', import.meta.url);
  const mark = '<!-- table: planted bugs -->';

  /** Cells of a table, without the padding that the formatter gives them. */
  function rowsOf(table: string): string[][] {
    return table
      .trim()
      .split('\n')
      .map((row) => row.split('|').map((cell) => cell.trim()));
  }

  test('lists the planted bugs, and the cases that catch them', () => {
    const rows = KIT_BUGS.map(
      ({ side, mistake, caughtBy }) => `| ${side} | ${mistake} | ${caughtBy.map((id) => `\`${id}\``).join(' ')} |`,
    );
    const wanted = ['| side | the mistake | caught by |', '| --- | --- | --- |', ...rows].join('\n');
    const text = readFileSync(path, 'utf8');
    const [before, after] = text.split(mark) as [string, string];
    const end = after.search(/\n## /);
    if (process.env['TIDELOG_UPDATE_DOCS'])
      writeFileSync(path, `${before}${mark}\n\n${wanted}\n${after.slice(end < 0 ? after.length : end)}`);
    const [, now] = readFileSync(path, 'utf8').split(mark) as [string, string];
    const isRule = (row: string[]): boolean => row.some((cell) => /^-{3,}$/.test(cell));
    const shown = rowsOf(now.slice(0, now.search(/\n## /))).filter((row) => !isRule(row));
    expect(shown).toEqual(rowsOf(wanted).filter((row) => !isRule(row)));
  });

  test('names cases that there are', () => {
    const ids = new Set<string>(CASES.map(({ id }) => id));
    for (const { id, caughtBy } of KIT_BUGS) {
      expect(caughtBy.length, id).toBeGreaterThan(0);
      for (const each of caughtBy) expect(ids.has(each), `${id}: ${each}`).toBe(true);
    }
  });

  test('counts the cases', () => {
    const said = Number(/with about (\d+) numbered cases/.exec(readFileSync(path, 'utf8'))![1]);
    expect(Math.abs(CASES.length - said)).toBeLessThan(100);
  });
});

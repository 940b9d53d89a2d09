/** Pages whose claims name the tests that hold them: `- \`test/…\`: title`. */
import { existsSync, readFileSync } from 'node:fs';

const ROOT = new URL('../../', import.meta.url);

export interface Guard {
  readonly file: string;
  readonly name: string;
}

/** A page of docs/ with each list item on one line. */
export function readPage(path: string): string {
  return readFileSync(new URL(path, ROOT), 'utf8').replaceAll(/\n +/g, ' ');
}

/** The guards that some lines of a page name. */
export function guardsIn(text: string): Guard[] {
  return text.split('\n').flatMap((line) => {
    const match = /^- `(?<file>test\/[^`]+)`: (?<name>.+)$/.exec(line);
    return match ? [match.groups as unknown as Guard] : [];
  });
}

/** Those whose test isn't there. */
export function missingGuards(guards: readonly Guard[]): Guard[] {
  return guards.filter(({ file, name }) => {
    const path = new URL(file, ROOT);
    return !existsSync(path) || !hasTest(readFileSync(path, 'utf8'), name);
  });
}

/** A name as it stands in the source: escaped or not. */
function hasTest(source: string, name: string): boolean {
  return ["'", '"', '`'].some((quote) => {
    const escaped = name.replaceAll(quote, `\\${quote}`);
    return source.includes(`${quote}${escaped}${quote}`);
  });
}

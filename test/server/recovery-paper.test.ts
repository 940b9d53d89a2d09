/** What a recovery key looks like on paper and on a screen: read back as a person or a camera does it. */
import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import decodeQR from 'qr/decode.js';

import { readWords, wordsOf } from '../../client/recovery-words.ts';
import { randomBytes } from '../../client/platform/random.ts';
import { qrForPaper, qrForTerminal } from '../../server/cli/qr.ts';
import { describePaper } from '../../server/cli/recovery-paper.ts';

const PIXELS = 4;
const MARGIN = 16;

/** `ink`: what a block is painted in, 0 to 255, on a sheet of the opposite. */
function read(text: string, ink: number): string {
  const lines = stripVTControlCharacters(text).split('\n');
  const width = Math.max(...lines.map((line) => line.length)) * PIXELS + 2 * MARGIN;
  const height = lines.length * 2 * PIXELS + 2 * MARGIN;
  const data = new Uint8Array(width * height).fill(255 - ink);
  const paint = (column: number, half: number): void => {
    for (let y = 0; y < PIXELS; y++) {
      const row = MARGIN + half * PIXELS + y;
      data.fill(ink, row * width + MARGIN + column * PIXELS, row * width + MARGIN + (column + 1) * PIXELS);
    }
  };
  for (const [row, line] of lines.entries()) {
    for (const [column, block] of [...line].entries()) {
      if (block === '█' || block === '▀') paint(column, row * 2);
      if (block === '█' || block === '▄') paint(column, row * 2 + 1);
    }
  }
  const rgb = new Uint8Array(width * height * 3);
  for (const [i, value] of data.entries()) rgb.fill(value, i * 3, i * 3 + 3);
  return decodeQR({ width, height, data: rgb });
}

test.each([1, 2, 3])('the words on paper are read as they are, black on white (%i)', () => {
  const words = wordsOf(randomBytes(32)).join(' ');
  expect(read(qrForPaper(words), 0)).toBe(words);
});

test('and those on a terminal, light on dark', () => {
  const words = wordsOf(randomBytes(32)).join(' ');
  expect(read(qrForTerminal(words), 255)).toBe(words);
});

test.each([true, false])(
  'its words are read as they stand there, line by line with their numbers (terminal: %s)',
  (isTerminal) => {
    const seed = randomBytes(32);
    const paper = { id: 'AOQQPP7', name: 'recovery', space: { id: '1f12af12', name: 'home' }, words: wordsOf(seed) };
    const lines = stripVTControlCharacters(describePaper(paper, isTerminal)).split('\n');
    const grid = lines.filter((line) => /^ ?\d+\. /.test(line));
    expect(grid).toHaveLength(6);
    expect(readWords(grid.join('\n'))).toEqual(seed);
    expect(lines).toContain('key    AOQQPP7');
    expect(lines).toContain('space  1f12af12');
  },
);

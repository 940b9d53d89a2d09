/** QR codes as text, in half blocks. */
import { encodeQR } from 'qr';

import { paint } from '../terminal.ts';

/** Light on dark whatever the terminal's own colours are: a camera needs it that way round. */
export function qrForTerminal(text: string): string {
  return encodeQR(text, 'ascii', { ecc: 'low' })
    .trimEnd()
    .split('\n')
    .map((line) => paint(['whiteBright', 'bgBlack'], line))
    .join('\n');
}

const INK: Readonly<Record<string, string>> = { '█': ' ', ' ': '█', '▀': '▄', '▄': '▀' };

/** For a printer, where a block is black: what is light on the screen stays white. Paper may be stained, so it carries more to mend it by. */
export function qrForPaper(text: string): string {
  const lines = encodeQR(text, 'ascii', { ecc: 'medium' }).trimEnd().split('\n');
  // The last is the upper half of the margin, and its lower half would be ink.
  return lines
    .slice(0, -1)
    .map((line) => line.replaceAll(/[█▀▄ ]/g, (block) => INK[block]!).trimEnd())
    .join('\n');
}

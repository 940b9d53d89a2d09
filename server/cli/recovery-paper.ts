/** What `tidelog recovery create` puts on paper, and how it is read again: the only place where the words are. */
import { isCancel, password } from '@clack/prompts';

import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { readWords } from '../../client/recovery-words.ts';
import type { KeyPair } from '../../protocol/crypto.ts';
import { asTidelogError, TidelogError } from '../../protocol/errors.ts';
import { paint, printable } from '../terminal.ts';
import { qrForPaper, qrForTerminal } from './qr.ts';

export interface Paper {
  readonly id: string;
  readonly name: string;
  readonly space: { readonly id: string; readonly name: string };
  readonly words: readonly string[];
}

const COLUMNS = 4;
/** Of the standard input, bytes. */
const INPUT_MAX = 4096;

/**
 * For a screen from which somebody copies it, or for a printer. The words are enough, wherever there is a copy of the space. Its ID is there for the
 * case that somebody lends an address: a node that offers another space is then noticed.
 */
export function describePaper({ id, name, space, words }: Paper, isTerminal: boolean): string {
  const text = words.join(' ');
  return `${paint('bold', `Tidelog: ${printable(name)}, the recovery key of ${printable(space.name)}`)}

${gridOf(words)}

${isTerminal ? qrForTerminal(text) : qrForPaper(text)}

key    ${id}
space  ${space.id}

These 24 words are an owner of this space. They are kept nowhere else: put them on paper, and the paper
where a passport would be. Whoever reads it can let devices in and shut yours out.${isTerminal ? '\nThen close this window: it still shows them.' : ''}

Now:             tidelog recovery check
If no owner is left, on a device that has a copy of the space:
                 tidelog recovery use
or on a new one: tidelog init
                 tidelog recovery use --from http://ADDRESS:7600`;
}

/** In rows, as one reads: what is copied off the screen is in order. */
function gridOf(words: readonly string[]): string {
  const cells = words.map((word, i) => `${String(i + 1).padStart(2)}. ${word.padEnd(10)}`);
  const rows = Array.from({ length: words.length / COLUMNS }, (_, row) =>
    cells.slice(row * COLUMNS, (row + 1) * COLUMNS).join(''),
  );
  return rows.map((row) => row.trimEnd()).join('\n');
}

/**
 * The key of the words that a person types, unseen, or that standard input holds: never of an argument, which the shell's history and the list of
 * processes would show. Throws `bad-recovery-words`, `aborted`.
 */
export async function askForKey(): Promise<KeyPair> {
  return nodeCrypto.ed25519KeyPair(readWords(process.stdin.isTTY ? await typedWords() : await pipedText()));
}

async function typedWords(): Promise<string> {
  const text = await password({
    message: 'The 24 words of the recovery key',
    output: process.stderr,
    validate: whatIsWrong,
  });
  if (isCancel(text)) throw new TidelogError('aborted');
  return text;
}

/** Said while the line can still be mended. */
function whatIsWrong(text: string | undefined): string | undefined {
  try {
    readWords(text ?? '');
    return undefined;
  } catch (thrown) {
    return asTidelogError(thrown).message;
  }
}

async function pipedText(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) {
    text += chunk as string;
    if (text.length > INPUT_MAX) break;
  }
  return text;
}

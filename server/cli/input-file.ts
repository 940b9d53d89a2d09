/** A file that a person named as input. */
import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';

import { TidelogError } from '../../protocol/errors.ts';

/** Throws `bad-argument`. */
export async function statInput(path: string): Promise<Stats> {
  return stat(path).catch((thrown: NodeJS.ErrnoException) => {
    const why = thrown.code === 'ENOENT' ? 'there is no such file' : thrown.message;
    throw new TidelogError('bad-argument', `${path}: ${why}`, {}, { cause: thrown });
  });
}

/**
 * A process that takes and releases the lock of a data folder as it is told: `node lock-child.ts FOLDER`, then lines on stdin:
 *
 *   lock           → won | lost CODE
 *   announce URL   → announced
 *   release        → released
 */

import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';

import { TidelogError } from '../../protocol/errors.ts';
import { lockDataDir, type Lock } from '../../server/data-lock.ts';

const folder = process.argv[2]!;
const say = (line: string): void => void writeSync(1, `${line}\n`);
let lock: Lock | null = null;

say('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const [command, argument] = line.split(' ');
  if (command === 'lock') {
    try {
      lock = await lockDataDir(folder);
      say('won');
    } catch (error) {
      say(`lost ${error instanceof TidelogError ? error.code : String(error)}`);
    }
  }
  if (command === 'announce') {
    lock?.announce(argument!);
    say('announced');
  }
  if (command === 'release') {
    await lock?.release();
    lock = null;
    say('released');
  }
}

/** Where `tidelog` begins, once bin/tidelog.js has found a Node that can read this. */
import { TidelogError } from '../../protocol/errors.ts';
import { EXIT, reportError } from './command.ts';
import { runCommand } from './program.ts';

// The reader of a pipe may have had enough: `tidelog log | head`. The disk under `tidelog export > FILE` may be full: then the file isn't whole,
// and that is said. A node whose log nobody takes any more stops as it should.
let isTaken = true;
let cutOff: number = EXIT.FINE;
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (!isTaken) return;
  isTaken = false;
  if (error.code !== 'EPIPE') {
    const stopped = new TidelogError('aborted', `its output is cut off: ${error.message}`);
    cutOff = reportError(stopped, process.argv.includes('--json'));
  }
  if (!process.emit('SIGTERM', 'SIGTERM')) process.exit(cutOff);
});

// A command ends when it is done, and not when what it waits for happens to be something that keeps no process alive.
const alive = setInterval(() => {}, 60_000);
const ended = await runCommand(process.argv.slice(2));
process.exitCode = cutOff === EXIT.FINE ? ended : cutOff;
clearInterval(alive);

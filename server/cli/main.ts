/** Where `tidelog` begins, once bin/tidelog.js has found a Node that can read this. */
import { EXIT } from './command.ts';
import { runCommand } from './program.ts';

// The reader of a pipe may have had enough: `tidelog log | head`. A node whose log nobody reads any more stops as it should.
let hasReader = true;
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  if (!hasReader) return;
  hasReader = false;
  if (!process.emit('SIGTERM', 'SIGTERM')) process.exit(EXIT.FINE);
});

// A command ends when it is done, and not when what it waits for happens to be something that keeps no process alive.
const alive = setInterval(() => {}, 60_000);
process.exitCode = await runCommand(process.argv.slice(2));
clearInterval(alive);

/**
 * Loaded into each node of the demo, before the command line. The demo holds the other end of standard input: when it is gone, however it
 * ended, the node stops and takes the demo's folder with it. So nothing stays behind even where the demo had no time to clean up.
 */
import { rmSync } from 'node:fs';

/** How long a graceful stop may take. */
const PATIENCE_MS = 3000;

const folder = process.env['TIDELOG_DEMO_FOLDER']!;

function letGo(): void {
  process.once('exit', () => {
    try {
      rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
    } catch {
      // Where open files can't be removed, the last of the nodes to go can.
    }
  });
  setTimeout(() => process.exit(1), PATIENCE_MS).unref();
  const isTold = process.emit('SIGTERM');
  // It was only starting.
  if (!isTold) process.exit(1);
}

process.stdin.once('end', letGo).once('error', letGo).resume();
// A node that is told to stop shouldn't go on for this.
(process.stdin as unknown as { unref(): void }).unref();

#!/usr/bin/env node
// Plain JavaScript, because it must run under any Node. An older one can't read the TypeScript that this leads to, and for a newer one
// uWebSockets.js has no binary. The package `node` brings the right one, so this machine's own only has to be able to start it.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [major, minor] = process.versions.node.split('.').map(Number);
const isRight = major === 22 && minor >= 18;

if (isRight) {
  await import('../server/cli/main.ts');
} else {
  const require = createRequire(import.meta.url);
  const folder = dirname(require.resolve('node/package.json'));
  const binary = join(folder, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  const child = spawn(binary, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  // What is sent to this process alone must be passed on; Ctrl-C at a terminal reaches both by itself, and twice means at once. A
  // terminal may be there although one of the three is a pipe or a file.
  const isAtTerminal = [process.stdin, process.stdout, process.stderr].some(({ isTTY }) => isTTY);
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  process.on('SIGINT', () => isAtTerminal || child.kill('SIGINT'));
  child.on('error', (error) => {
    process.stderr.write(
      `tidelog: needs Node 22.18 or a later 22, and the one that comes with it does not start: ${error.message}\n`,
    );
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0);
  });
}

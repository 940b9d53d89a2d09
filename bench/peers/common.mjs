/** What every program here shares: the seeded records, a process for each side, and what they print. */
import { spawn } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { makeCommits } from '../support.ts';

/** The resources of Tidelog's own benchmark, one to a record. */
export function* records(count) {
  for (const [{ subject, ops }] of makeCommits(count, 1)) yield { key: subject, ...ops.set };
}

/** A program of this folder; `next()` gives the next line of JSON that it prints. */
export function start(script, ...args) {
  const child = spawn(process.execPath, [new URL(script, import.meta.url).pathname, ...args.map(String)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  // SIGTERM, not SIGKILL: NATS's program has a server of its own to end.
  const end = () => child.kill('SIGTERM');
  process.once('exit', end);
  child.once('exit', () => process.off('exit', end));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error(`${script} ${args.join(' ')} ended without an answer`);
      if (value.startsWith('{')) return JSON.parse(value);
    }
  };
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  };
  return { next, stop };
}

export function say(answer) {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

/** A TCP proxy to `port` that counts both directions. For bytes only: what is timed doesn't go through it. */
export async function countingProxy(port) {
  const count = { bytes: 0 };
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      from.on('data', (data) => (count.bytes += data.length));
      from.on('error', () => to.destroy());
      from.pipe(to);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { count, port: server.address().port, close: () => server.close() };
}

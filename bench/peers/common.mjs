/** What the programs here share: the seeded records, a process for each side, and a proxy that counts. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { makeCommits } from '../support.ts';

/** Records go into a system so many at a time where it has a call for many. */
export const BULK = 1000;

/** The resources of Tidelog's own benchmark, one to a record, from the `from`th on. */
export function records(from, count) {
  const all = [];
  let i = 0;
  for (const [{ subject, ops }] of makeCommits(from + count, 1)) {
    if (i++ >= from) all.push({ key: subject, ...ops.set });
  }
  return all;
}

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Of what is installed here. */
export function versionsOf(...names) {
  return Object.fromEntries(
    names.map((name) => {
      const text = readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url), 'utf8');
      return [name, JSON.parse(text).version];
    }),
  );
}

/** More than any call takes; one that waits for ever says nothing. */
const CALL_MAX_MS = 300_000;
/** y-leveldb takes tens of ms for each small update beside a large one, and stores the live ones long after they were seen. */
const STOP_MAX_MS = 300_000;

/** However this process ends, those of the sides end too: SIGTERM, with which they end their own (a server), or the channel's end. */
const children = new Set();
function endChildren() {
  for (const child of children) child.kill('SIGTERM');
}
process.on('exit', endChildren);
// Before support.ts removes the folders that they write to.
for (const signal of ['SIGINT', 'SIGTERM']) process.prependOnceListener(signal, endChildren);

/** One side of a system in a process of its own; see side.mjs. One call at a time. */
export class Side {
  #child;
  /** How it ended: its code or signal. */
  exited;
  #system;

  constructor(system) {
    this.#system = system;
    const execArgv = ['--no-deprecation', '--disable-warning=ExperimentalWarning'];
    const path = fileURLToPath(new URL('side.mjs', import.meta.url));
    this.#child = fork(path, [system], { execArgv, serialization: 'advanced' });
    children.add(this.#child);
    this.exited = new Promise((resolve) =>
      this.#child.once('exit', (code, signal) => {
        children.delete(this.#child);
        resolve(code ?? signal);
      }),
    );
  }

  async call(call, argument) {
    const over = new AbortController();
    const { signal } = over;
    try {
      const answered = once(this.#child, 'message', { signal });
      const exited = this.exited.then((how) => {
        throw new Error(`${this.#system}: the process ended with ${how} in ${call}`);
      });
      const late = sleep(CALL_MAX_MS, null, { signal }).then(() => {
        throw new Error(`${this.#system}: no answer to ${call} within ${CALL_MAX_MS / 1000} s`);
      });
      const first = Promise.race([answered, exited, late]);
      // Those that come later, or are given up, are nobody's.
      for (const each of [answered, exited, late]) each.catch(() => {});
      // If it is gone, `exited` says so.
      this.#child.send({ call, argument }, () => {});
      const [{ result, error }] = await first;
      if (error !== undefined) throw new Error(`${this.#system}, ${call}: ${error}`);
      return result;
    } finally {
      over.abort();
    }
  }

  /** Throws where it doesn't end as it should. */
  async stop() {
    if (this.#child.connected) this.#child.disconnect();
    const over = new AbortController();
    const late = sleep(STOP_MAX_MS, 'late', { signal: over.signal }).catch(() => {});
    const how = await Promise.race([this.exited, late]);
    over.abort();
    if (how === 'late') {
      await this.kill();
      throw new Error(`${this.#system}: the process did not end within ${STOP_MAX_MS / 1000} s`);
    }
    if (how !== 0) throw new Error(`${this.#system}: the process ended with ${how}`);
  }

  async kill() {
    this.#child.kill('SIGTERM');
    await this.exited;
  }
}

/** A TCP proxy to `port` that counts both directions. For bytes only: what is timed doesn't go through it. */
export async function countingProxy(port) {
  const count = { bytes: 0 };
  const sockets = new Set();
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      sockets.add(from);
      from.on('data', (data) => (count.bytes += data.length));
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
      from.pipe(to);
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { count, port: server.address().port, close };
}

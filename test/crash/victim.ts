/** A real server process on a data folder, to be killed: `tidelog start`, with points.ts loaded before it or a tracer around it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../../bin/tidelog.js', import.meta.url));
const POINTS = new URL('./points.ts', import.meta.url).href;

/** How a process is to die. */
export type Kill =
  /** From outside: after so many acknowledgements and a little while. */
  | { readonly kind: 'random'; readonly afterAcks: number; readonly delayMs: number }
  /** At a point of points.ts. `us`: see there. */
  | { readonly kind: 'point'; readonly point: string; readonly nth: number; readonly us: number }
  /** In LMDB, when it calls the system for the n-th time: by strace. */
  | { readonly kind: 'call'; readonly call: 'pwrite64' | 'fdatasync'; readonly nth: number };

export class Victim {
  readonly dataDir: string;
  readonly port: number;
  readonly #child: ChildProcess;
  /** Resolves with the signal that it died of, or its exit code. */
  readonly ended: Promise<NodeJS.Signals | number | null>;
  /** Resolves with true when it is up, with false when it died before. */
  readonly up: Promise<boolean>;
  stderr = '';
  isGone = false;

  constructor(dataDir: string, port: number, kill: Kill) {
    this.dataDir = dataDir;
    this.port = port;
    const start = [CLI, 'start', '--log', 'json', '--data', dataDir, '--port', String(port)];
    const preload = kill.kind === 'point' ? ['--import', POINTS] : [];
    const trace =
      kill.kind === 'call'
        ? [
            'strace',
            '-f',
            '-qq',
            '-o',
            '/dev/null',
            '-P',
            join(dataDir, 'store', 'data.mdb'),
            '-e',
            `trace=${kill.call}`,
          ].concat('-e', `inject=${kill.call}:signal=SIGKILL:when=${kill.nth}`)
        : [];
    const [program, ...args] = [...trace, process.execPath, ...preload, ...start] as [string, ...string[]];
    const env: NodeJS.ProcessEnv = { ...process.env, FORCE_COLOR: undefined };
    if (kill.kind === 'point') env['TIDELOG_CRASH_AT'] = `${kill.point}:${kill.nth}:${kill.us}`;
    // A group of its own: a tracer that is killed leaves what it traced.
    this.#child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', (code, signal) => {
        this.isGone = true;
        resolve(signal ?? code);
      });
    });
    this.up = new Promise((resolve) => {
      createInterface({ input: this.#child.stdout! }).on('line', (line) => {
        if ((JSON.parse(line) as { msg?: string }).msg === 'started') resolve(true);
      });
      this.ended.then(
        () => resolve(false),
        () => resolve(false),
      );
    });
  }

  signal(signal: NodeJS.Signals): void {
    if (this.isGone) return;
    try {
      process.kill(-this.#child.pid!, signal);
    } catch {
      // It went meanwhile.
    }
  }

  async request(method: string, path: string, body?: unknown): Promise<Response> {
    const token = readFileSync(join(this.dataDir, 'token'), 'utf8').trim();
    return fetch(`http://127.0.0.1:${this.port}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}` },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  }

  /** True when it answered that the commit is on the disk. */
  async commit(changes: readonly unknown[]): Promise<boolean> {
    try {
      const response = await this.request('POST', '/v1/commits', { changes });
      await response.text();
      return response.status === 201;
    } catch {
      return false;
    }
  }

  async export(): Promise<string> {
    return (await this.request('GET', '/v1/export')).text();
  }
}

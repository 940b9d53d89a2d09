/**
 * One device of the demo: a data folder, and the command line's own `start` in a process of its own. Talked to as commands do it: over HTTP
 * while it runs, and by opening the folder while it doesn't.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { TidelogError } from '../../protocol/errors.ts';
import type { Api } from '../cli/api.ts';
import { openApi } from '../cli/open-api.ts';
import { readToken } from '../data-dir.ts';
import { initDevice } from '../device.ts';
import type { LoggedJson } from '../http/commits.ts';
import { errorFromProblem } from '../http/problem.ts';

export const CLI = fileURLToPath(new URL('../../bin/tidelog.js', import.meta.url));
/** In the package that is built from this, everything ends in `.js`. */
const LEASH = new URL(import.meta.url.endsWith('.ts') ? './leash.ts' : './leash.js', import.meta.url).href;
/** After this long, a node that was asked to stop is made to. */
const STOP_PATIENCE_MS = 3000;
const isWindows = process.platform === 'win32';

export class DemoDevice {
  readonly name: string;
  readonly dataDir: string;
  /** The demo's own, with all data folders in it. */
  readonly #folder: string;
  #id = '';
  #token = '';
  readonly #port: number;
  #running: { readonly child: ChildProcess; readonly api: Api; readonly url: string } | null = null;
  /** Told when the process ends and nobody asked it to. */
  onDied: (error: TidelogError) => void = () => {};

  constructor(name: string, folder: string, dataDir: string, port: number) {
    this.name = name;
    this.dataDir = dataDir;
    this.#folder = folder;
    this.#port = port;
  }

  get id(): string {
    return this.#id;
  }
  get token(): string {
    return this.#token;
  }
  /** null while it is offline. */
  get url(): string | null {
    return this.#running?.url ?? null;
  }
  get api(): Api {
    if (!this.#running) throw new Error(`${this.name} is offline`);
    return this.#running.api;
  }

  async init(): Promise<void> {
    this.#id = (await initDevice(this.dataDir, this.name)).id;
    this.#token = await readToken(this.dataDir);
  }

  /** Resolves when it answers. Throws what the command said, such as `port-in-use`. */
  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const args = ['--import', LEASH, CLI, 'start', '--json', '--data', this.dataDir, '--port', String(this.#port)];
    const child = spawn(process.execPath, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      // Not in this terminal's group: Ctrl-C is for the demo, which then stops its nodes in order.
      detached: !isWindows,
      windowsHide: true,
      env: { ...process.env, TIDELOG_DEMO_FOLDER: this.#folder },
    });
    const stopOnAbort = (): void => void child.kill('SIGKILL');
    signal.addEventListener('abort', stopOnAbort, { once: true });
    try {
      const url = await startedUrl(child);
      this.#running = { child, url, api: await openApi(this.dataDir) };
      child.once('exit', (code, killedBy) => {
        if (this.#running?.child !== child) return;
        this.#running = null;
        this.onDied(new TidelogError('internal', `the node of the ${this.name} ended: ${killedBy ?? `code ${code}`}`));
      });
    } catch (thrown) {
      child.kill('SIGKILL');
      throw signal.aborted ? signal.reason : thrown;
    } finally {
      signal.removeEventListener('abort', stopOnAbort);
    }
  }

  /** Again is nothing. */
  async stop(): Promise<void> {
    const child = this.#running?.child;
    this.#running = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const impatience = setTimeout(() => child.kill('SIGKILL'), STOP_PATIENCE_MS);
    await exited;
    clearTimeout(impatience);
  }

  /** One commit of one change; returns its id. Where no node runs, this opens the store itself for a moment, as every command does. */
  async write(change: Readonly<Record<string, unknown>>): Promise<string> {
    const api = this.#running?.api ?? (await openApi(this.dataDir));
    try {
      const { body } = await api.call('POST', '/v1/commits', { changes: [change] });
      return (body as { id: string }).id;
    } finally {
      if (api !== this.#running?.api) await api.close();
    }
  }

  /** Every commit from the first on, as they come to this device's disk; ends when it goes offline. */
  async *commits(signal: AbortSignal): AsyncGenerator<LoggedJson> {
    const { api } = this;
    try {
      for await (const { data } of api.stream('GET', '/v1/commits?after=0', undefined, signal))
        yield data as LoggedJson;
    } catch (thrown) {
      if (this.#running?.api === api && !signal.aborted) throw thrown;
    }
  }
}

/** The log says where the node listens. */
async function startedUrl(child: ChildProcess): Promise<string> {
  const stderr = textOf(child.stderr!);
  const exited = once(child, 'close');
  const started = Promise.withResolvers<string>();
  // Read to its end, or the node would some day wait for a reader.
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const { msg, url } = JSON.parse(line) as { msg?: string; url?: string };
    if (msg === 'started' && url !== undefined) started.resolve(url);
  });
  const failed = exited.then(async () => {
    throw errorOf(await stderr);
  });
  failed.catch(() => {});
  return Promise.race([started.promise, failed]);
}

/** What a command says under --json when it fails. */
function errorOf(stderr: string): TidelogError {
  const last = stderr.trim().split('\n').at(-1) ?? '';
  try {
    const { error } = JSON.parse(last) as { error: { code: string; message: string } };
    return errorFromProblem({ code: error.code, detail: error.message }, 500);
  } catch {
    return new TidelogError('internal', last);
  }
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}

/**
 * Real nodes for end-to-end tests: the command line in processes of its own, LMDB, sockets. Whatever a test starts and makes is gone when it ends,
 * however it ends.
 *
 *   const lab = newLab();                                  // once in a file
 *   const laptop = await lab.start('laptop');
 *   await laptop.run('set', 'note/1', 'title=Milk');       // a command that talks to it
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'vitest';

import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { decodePairLink, encodePairLink } from '../../protocol/pair-link.ts';
import { freePort } from '../../server/demo/free-port.ts';
import { initDevice } from '../../server/device.ts';
import type { StatusJson } from '../../server/http/status.ts';

export const CLI = fileURLToPath(new URL('../../bin/tidelog.js', import.meta.url));

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A data folder, and the node that runs on it or doesn't. */
export class Device {
  readonly name: string;
  readonly dataDir: string;
  readonly port: number;
  readonly #lab: Lab;
  #child: ChildProcess | null = null;
  /** Lines of its log, of all its lives. */
  readonly log: Record<string, unknown>[] = [];

  constructor(lab: Lab, name: string, dataDir: string, port: number) {
    this.#lab = lab;
    this.name = name;
    this.dataDir = dataDir;
    this.port = port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Resolves when its log says that it is started. */
  async start(...args: string[]): Promise<void> {
    const all = ['start', '--log', 'json', '--data', this.dataDir, '--port', String(this.port), ...args];
    const child = this.#lab.spawn(all);
    this.#child = child;
    const stderr = textOf(child.stderr!);
    const ready = Promise.withResolvers<void>();
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const entry = JSON.parse(line) as Record<string, unknown>;
      this.log.push(entry);
      if (entry['msg'] === 'started') ready.resolve();
    });
    child.once('exit', async () => ready.reject(new Error(`${this.name} did not start: ${await stderr}`)));
    await ready.promise;
  }

  async kill(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child!;
    this.#child = null;
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill(signal);
      await exited;
    }
    return child.exitCode;
  }

  /** A command on its data folder, that must succeed; returns what it printed. */
  async run(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try(...args);
    if (code !== 0) throw new Error(`${this.name}: tidelog ${args.join(' ')}: exit code ${code}: ${stderr}`);
    return stdout;
  }

  /** The same with --json, parsed: an array of what the lines hold. */
  async json<T = Record<string, unknown>>(...args: string[]): Promise<T[]> {
    const stdout = await this.run(...args, '--json');
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as T);
  }

  try(...args: string[]): Promise<Ran> {
    return this.#lab.run([...args, '--data', this.dataDir]);
  }

  /** With text on its standard input. */
  tryWith(input: string, ...args: string[]): Promise<Ran> {
    return this.#lab.run([...args, '--data', this.dataDir], input);
  }

  async request(method: string, path: string, body?: unknown): Promise<Response> {
    const token = (await readFile(join(this.dataDir, 'token'), 'utf8')).trim();
    return fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${token}` },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  }

  async get<T>(path: string): Promise<T> {
    const response = await this.request('GET', path);
    if (!response.ok) throw new Error(`${this.name}: GET ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  /** Of the running node; the command `status` would start a process for each look. */
  status(): Promise<StatusJson> {
    return this.get('/v1/status');
  }

  /** Entries in the log of its first space; 0 where it has none. */
  async head(): Promise<number> {
    return (await this.status()).spaces[0]?.head ?? 0;
  }

  async conflicts(): Promise<ConflictJson[]> {
    return (await this.get<{ items: ConflictJson[] }>('/v1/conflicts')).items;
  }

  /** A Prometheus counter or gauge, all labels summed up. */
  async metric(name: string): Promise<number> {
    const text = await (await this.request('GET', '/metrics')).text();
    const lines = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
    if (lines.length === 0) throw new Error(`there is no metric ${name}`);
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  async export(): Promise<string> {
    return (await this.request('GET', '/v1/export')).text();
  }

  /** Over HTTP, because each command is a process of half a second. Resolves when it is on disk. */
  async set(subject: string, set: Record<string, unknown>): Promise<void> {
    const response = await this.request('POST', '/v1/commits', { changes: [{ subject, set }] });
    if (!response.ok) throw new Error(`${this.name}: ${await response.text()}`);
  }

  /** null where there is nothing. */
  async read(subject: string): Promise<Record<string, unknown> | null> {
    const response = await this.request('GET', `/v1/resources/${encodeURIComponent(subject)}`);
    return response.ok ? ((await response.json()) as Record<string, unknown>) : null;
  }

  /** Joins another's space by a link that the other's command line makes. `through`: another address of it. */
  async join(host: Device, options: { role?: string; through?: number } = {}): Promise<void> {
    const link = await host.invite(options.role);
    await this.run('pair', 'join', options.through === undefined ? link : redirected(link, options.through));
  }

  async invite(role = 'writer', ...args: string[]): Promise<string> {
    const [{ link }] = (await this.json('pair', 'invite', '--role', role, ...args)) as [{ link: string }];
    return link;
  }
}

export interface ConflictJson {
  readonly subject: string;
  readonly property: string;
  readonly alternatives: readonly { readonly value: unknown; readonly device: string; readonly deviceName: string }[];
}

export class Lab {
  readonly #children = new Set<ChildProcess>();
  readonly #folders: string[] = [];
  readonly #proxies: Proxy[] = [];

  async folder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'tidelog-e2e-'));
    this.#folders.push(folder);
    return folder;
  }

  /** A device with its key and name, whose node does not run; or only a place for one. */
  async device(name: string, { init = true } = {}): Promise<Device> {
    const device = new Device(this, name, join(await this.folder(), name), await freePort());
    if (init) await initDevice(device.dataDir, name);
    return device;
  }

  async start(name: string): Promise<Device> {
    const device = await this.device(name);
    await device.start();
    return device;
  }

  spawn(args: readonly string[], options: { env?: Record<string, string>; input?: boolean } = {}): ChildProcess {
    const child = spawn(process.execPath, [CLI, ...args], {
      stdio: [options.input ? 'pipe' : 'ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
    });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  async run(args: readonly string[], input?: string): Promise<Ran> {
    const child = this.spawn(args, { input: input !== undefined });
    // A command that has no use for it may end before it is written.
    child.stdin?.on('error', () => {}).end(input);
    const [stdout, stderr] = await Promise.all([textOf(child.stdout!), textOf(child.stderr!), once(child, 'close')]);
    return { code: child.exitCode, stdout, stderr };
  }

  /** Passes bytes on to a port of this machine; those that come from there at so many a second. */
  async proxy(toPort: number, bytesPerSecond: number): Promise<Proxy> {
    const proxy = await Proxy.listen(toPort, bytesPerSecond);
    this.#proxies.push(proxy);
    return proxy;
  }

  async close(): Promise<void> {
    await Promise.all(
      [...this.#children].map(async (child) => {
        const exited = once(child, 'exit');
        child.kill('SIGKILL');
        await exited;
      }),
    );
    await Promise.all(this.#proxies.splice(0).map((proxy) => proxy.close()));
    for (const folder of this.#folders.splice(0)) await rm(folder, { recursive: true, force: true });
  }
}

export function newLab(): Lab {
  const lab = new Lab();
  afterEach(() => lab.close());
  return lab;
}

const PROXY_STEP_MS = 20;

export class Proxy {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  bytesPerSecond: number;

  private constructor(server: Server, bytesPerSecond: number) {
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
    this.bytesPerSecond = bytesPerSecond;
  }

  static async listen(toPort: number, bytesPerSecond: number): Promise<Proxy> {
    const server = createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const proxy = new Proxy(server, bytesPerSecond);
    server.on('connection', (socket) => proxy.#join(socket, connect(toPort, '127.0.0.1')));
    return proxy;
  }

  #join(near: Socket, far: Socket): void {
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(one);
      one.on('error', () => {});
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
    near.pipe(far);
    void this.#trickle(far, near);
  }

  async #trickle(from: Socket, to: Socket): Promise<void> {
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        for (let start = 0; start < chunk.length;) {
          const step = Math.max(1, Math.floor((this.bytesPerSecond * PROXY_STEP_MS) / 1000));
          to.write(chunk.subarray(start, start + step));
          start += step;
          if (Number.isFinite(step)) await sleep(PROXY_STEP_MS);
        }
      }
    } catch {
      // One of the two is gone; the other follows.
    }
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** The same link with one address: the way to a node that leads through a proxy. */
function redirected(link: string, port: number): string {
  return encodePairLink(nodeCrypto, { ...decodePairLink(nodeCrypto, link), addresses: [`http://127.0.0.1:${port}`] });
}

/** Exit code, error code and sentence of a command that failed with --json. */
export function failure({ code, stderr }: Ran): { exit: number | null; code: string; message: string } {
  const last = stderr.trim().split('\n').at(-1) ?? '';
  const { error } = JSON.parse(last) as { error: { code: string; message: string } };
  return { exit: code, code: error.code, message: error.message };
}

export async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}

export { eventually } from '../support/eventually.ts';

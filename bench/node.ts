/** A node under measurement: `tidelog start` in a process of its own, and what the rows ask of it over HTTP. */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { KeyPair } from '../protocol/crypto.ts';
import { fromHex } from '../protocol/bytes.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import type { Role } from '../protocol/membership.ts';
import type { StatusJson } from '../server/http/status.ts';
import { endsWithUs, TIDELOG } from './support.ts';

export interface StartOptions {
  /** Of Node. */
  readonly flags?: readonly string[];
}

/** More than any start takes: one that waits for ever says nothing. */
const START_MAX_MS = 120_000;
/** How many requests go out at once where their order doesn't matter. */
const AT_ONCE = 64;

export class BenchNode {
  readonly url: string;
  readonly pid: number;
  /** From the spawn to the line that says that it is started, ms. */
  readonly startMs: number;
  readonly #child: ChildProcess;
  readonly token: string;
  readonly #exited: Promise<void>;

  private constructor(
    child: ChildProcess,
    exited: Promise<void>,
    found: { url: string; token: string; startMs: number },
  ) {
    this.#child = child;
    this.#exited = exited;
    this.pid = child.pid!;
    this.url = found.url;
    this.startMs = found.startMs;
    this.token = found.token;
  }

  /** On a free port. */
  static async start(dataDir: string, { flags = [] }: StartOptions = {}): Promise<BenchNode> {
    const args = [...flags, TIDELOG, '--data', dataDir, 'start', '--port', '0', '--log', 'json'];
    const before = performance.now();
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    endsWithUs(child);
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    const { url, startMs } = await new Promise<{ url: string; startMs: number }>((resolve, reject) => {
      child.once('exit', (code) => reject(new Error(`the node ended with ${code}`)));
      setTimeout(() => reject(new Error('the node did not start')), START_MAX_MS).unref();
      createInterface({ input: child.stdout }).on('line', (line) => {
        const entry = JSON.parse(line) as { msg: string; url?: string };
        if (entry.msg === 'started' && entry.url) resolve({ url: entry.url, startMs: performance.now() - before });
      });
    });
    const token = (await readFile(join(dataDir, 'token'), 'utf8')).trim();
    return new BenchNode(child, exited, { url, token, startMs });
  }

  /** Settings, for the next start. */
  static async configure(dataDir: string, settings: Readonly<Record<string, unknown>>): Promise<void> {
    await writeFile(join(dataDir, 'config.json'), JSON.stringify(settings));
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.#exited;
  }

  /** Throws for anything but success. */
  async request<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${this.token}` },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  async space(): Promise<{ id: Uint8Array; head: number; epoch: Uint8Array }> {
    const { spaces } = await this.request<StatusJson>('GET', '/v1/status');
    const { id, head, epoch } = spaces[0]!;
    return { id: fromHex(id)!, head, epoch: fromHex(epoch)! };
  }

  async invite(role: Role = 'writer'): Promise<string> {
    return (await this.request<{ link: string }>('POST', '/v1/pairing/invites', { role })).link;
  }

  /** Makes devices members, without their having to pair. */
  async addDevices(keys: readonly KeyPair[], role: Role = 'reader'): Promise<void> {
    await eachAtOnce(keys, AT_ONCE, async (each) => {
      await this.request('POST', '/v1/devices', { id: formatDeviceId(each.public), role });
    });
  }

  /** Writes commits of one resource each, several requests at once. */
  async write(subjects: readonly string[], properties: Record<string, unknown>, atOnce = AT_ONCE): Promise<void> {
    await eachAtOnce(subjects, atOnce, async (subject) => {
      await this.request('POST', '/v1/commits', { changes: [{ subject, set: properties }] });
    });
  }
}

/** Runs `work` for each item, at most so many at once. */
export async function eachAtOnce<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      await work(items[index]!, index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
}

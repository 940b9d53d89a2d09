/**
 * Floods: a real node, two honest devices that write and read through it all the time, and one attacker. Each runs in a process of its own.
 * What is looked at: how long the honest ones' writes take to arrive, with and without the attack; the node's memory; what it answered; and
 * that nothing of the attack is in the log.
 */
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { memoryOf, MemoryWatch } from '../../bench/proc.ts';
import { crypto, random } from '../../conformance/device.ts';
import { fromHex } from '../../protocol/bytes.ts';
import { formatDeviceId } from '../../protocol/device-id.ts';
import { decodePairLink } from '../../protocol/pair-link.ts';
import { freePort } from '../../server/demo/free-port.ts';
import { initDevice } from '../../server/device.ts';
import type { StatusJson } from '../../server/http/status.ts';
import type { Order } from './attacker.ts';
import { ATTACKS } from './attacks.ts';
import type { FromHonest, HonestReport, ToHonest } from './honest.ts';
import type { TallyReport } from './tally.ts';

const CLI = fileURLToPath(new URL('../../bin/tidelog.js', import.meta.url));
const HOST = '127.0.0.1';
/** The honest ones come from 127.0.0.1. That an attacker has several addresses is the rule: with IPv6 everybody has 2^64. */
const ADDRESSES = ['127.0.0.2', '127.0.0.3', '127.0.0.4'];

export interface FloodOptions {
  readonly attacks: readonly string[];
  /** Of each attack, and of the time without one. */
  readonly ms: number;
  /** Commits in the log before it begins: what a subscription costs the node depends on it. */
  readonly commits: number;
  readonly onAttack?: (name: string) => void;
}

export interface AttackReport extends TallyReport {
  readonly attack: string;
  /** ms, of the honest writes that fell into the attack. */
  readonly delays: readonly number[];
  readonly dials: readonly number[];
  /** The node's own, bytes. */
  readonly memory: { readonly before: number; readonly peak: number; readonly after: number };
  /** By code: what the node counted as refused. */
  readonly refusals: Readonly<Record<string, number>>;
}

export interface FloodReport {
  /** Without an attack. */
  readonly calm: { readonly delays: readonly number[]; readonly dials: readonly number[] };
  readonly attacks: readonly AttackReport[];
  readonly honest: HonestReport;
  /** Device IDs that may have written: the node and the two honest ones. */
  readonly writers: readonly string[];
  readonly status: StatusJson;
}

export async function runFlood(options: FloodOptions): Promise<FloodReport> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tidelog-flood-'));
  const arena = new Arena(dataDir, await freePort());
  try {
    return await arena.run(options);
  } finally {
    await arena.close();
    await rm(dataDir, { recursive: true, force: true });
  }
}

class Arena {
  readonly #dataDir: string;
  readonly #port: number;
  readonly #children = new Set<ChildProcess>();
  #token = '';
  #node: ChildProcess | null = null;

  constructor(dataDir: string, port: number) {
    this.#dataDir = dataDir;
    this.#port = port;
  }

  async run({ attacks, ms, commits, onAttack = () => {} }: FloodOptions): Promise<FloodReport> {
    await this.#startNode();
    await this.#fill(commits);
    const honest = this.#fork('honest.ts');
    const links = [(await this.#invite()).link, (await this.#invite()).link] as const;
    const url = `http://${HOST}:${this.#port}`;
    const { space } = await ask(honest, { type: 'begin', url, links }, 'ready');
    const before = await this.#status();
    const writers = [before.device.id, ...before.peers.map(({ id }) => id)];

    tell(honest, { type: 'phase', name: 'warm' });
    await sleep(Math.min(ms, 2000));
    tell(honest, { type: 'phase', name: 'calm' });
    await sleep(ms);
    const reports: Omit<AttackReport, 'delays' | 'dials'>[] = [];
    for (const attack of attacks) {
      onAttack(attack);
      tell(honest, { type: 'phase', name: `before ${attack}` });
      reports.push(await this.#attack(attack, ms, space, () => tell(honest, { type: 'phase', name: attack })));
      tell(honest, { type: 'phase', name: `after ${attack}` });
      await sleep(500);
    }
    const { report } = await ask(honest, { type: 'settle' }, 'settled');
    const of = (phase: string): { delays: readonly number[]; dials: readonly number[] } => ({
      delays: report.delays[phase] ?? [],
      dials: report.dials[phase] ?? [],
    });
    return {
      calm: of('calm'),
      attacks: reports.map((each) => ({ ...each, ...of(each.attack) })),
      honest: report,
      writers,
      status: await this.#status(),
    };
  }

  async #attack(
    attack: string,
    ms: number,
    space: string,
    begun: () => void,
  ): Promise<Omit<AttackReport, 'delays' | 'dials'>> {
    const { role } = ATTACKS[attack]!;
    const seed = random(32);
    const id = formatDeviceId(crypto.ed25519KeyPair(seed).public);
    if (role) await this.#request('POST', '/v1/devices', { id, name: 'mallory', role });
    const invite = decodePairLink(crypto, (await this.#invite()).link).id;
    const pid = this.#node!.pid!;
    const refusalsBefore = await this.#refusals();
    const before = memoryOf(pid).ownBytes;
    const watch = new MemoryWatch(pid);
    const child = this.#fork('attacker.ts');
    const reported = once(child, 'message') as Promise<[TallyReport]>;
    const order: Order = {
      attack,
      host: HOST,
      port: this.#port,
      addresses: ADDRESSES,
      space: fromHex(space)!,
      seed,
      invite,
      ms,
    };
    begun();
    child.send(order);
    const [tally] = await reported;
    const { ownBytes: peak } = watch.stop();
    const refusalsAfter = await this.#refusals();
    const refusals: Record<string, number> = {};
    for (const [code, count] of Object.entries(refusalsAfter)) {
      const more = count - (refusalsBefore[code] ?? 0);
      if (more > 0) refusals[code] = more;
    }
    await sleep(1000);
    return { attack, ...tally, memory: { before, peak, after: memoryOf(pid).ownBytes }, refusals };
  }

  // ---- the node

  async #startNode(): Promise<void> {
    await initDevice(this.#dataDir, 'node');
    const args = [CLI, 'start', '--log', 'json', '--data', this.#dataDir, '--port', String(this.#port)];
    const node = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#children.add(node);
    this.#node = node;
    const started = new Promise<void>((resolve, reject) => {
      createInterface({ input: node.stdout! }).on('line', (line) => {
        if (line.includes('"msg":"started"')) resolve();
      });
      node.once('exit', (code) => reject(new Error(`the node ended with ${code}`)));
    });
    await started;
    this.#token = (await readFile(join(this.#dataDir, 'token'), 'utf8')).trim();
  }

  async #request(method: string, path: string, body?: unknown): Promise<Response> {
    const response = await fetch(`http://${HOST}:${this.#port}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#token}` },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  }

  async #status(): Promise<StatusJson> {
    return (await (await this.#request('GET', '/v1/status')).json()) as StatusJson;
  }

  async #invite(): Promise<{ link: string }> {
    return (await (await this.#request('POST', '/v1/pairing/invites', { role: 'writer' })).json()) as { link: string };
  }

  async #refusals(): Promise<Record<string, number>> {
    const text = await (await this.#request('GET', '/metrics')).text();
    return Object.fromEntries(
      [...text.matchAll(/^tidelog_refusals_total\{code="([^"]+)"\} (\d+)$/gm)].map(([, code, count]) => [
        code,
        Number(count),
      ]),
    );
  }

  async #fill(commits: number): Promise<void> {
    const lines = Array.from({ length: commits }, (_, i) =>
      JSON.stringify({ changes: [{ subject: `note/${i % 1000}`, set: { text: `${i} ${'word '.repeat(20)}` } }] }),
    );
    for (let from = 0; from < lines.length; from += 10_000)
      await this.#request('POST', '/v1/import', `${lines.slice(from, from + 10_000).join('\n')}\n`);
  }

  // ---- processes

  #fork(file: string): ChildProcess {
    const path = fileURLToPath(new URL(file, import.meta.url));
    const child = fork(path, [], {
      execArgv: [],
      serialization: 'advanced',
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    this.#children.add(child);
    return child;
  }

  async close(): Promise<void> {
    await Promise.all(
      [...this.#children].map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const exited = once(child, 'exit');
        child.kill('SIGKILL');
        await exited;
      }),
    );
  }
}

function tell(child: ChildProcess, message: ToHonest): void {
  child.send(message);
}

async function ask<T extends FromHonest['type']>(
  child: ChildProcess,
  message: ToHonest,
  answer: T,
): Promise<Extract<FromHonest, { type: T }>> {
  const answered = new Promise<Extract<FromHonest, { type: T }>>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the honest devices ended with ${code}`)));
    const listen = (said: FromHonest): void => {
      if (said.type !== answer) return;
      child.off('message', listen);
      resolve(said as Extract<FromHonest, { type: T }>);
    };
    child.on('message', listen);
  });
  tell(child, message);
  return answered;
}

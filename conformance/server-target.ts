/** The implementation under test is a node: the kit connects to it, as an owner and as whoever a case needs. */
import { setTimeout as sleep } from 'node:timers/promises';
import { equal } from '../protocol/bytes.ts';
import { TidelogError } from '../protocol/errors.ts';
import type { Role } from '../protocol/membership.ts';
import { decodePairLink, pairProof, syncUrl, type PairInvite } from '../protocol/pair-link.ts';
import type { LineOptions, Trial } from './case.ts';
import { crypto, newDevice, type Device } from './device.ts';
import { Program, runHook, type Hooks } from './hooks.ts';
import { commitOf, Line } from './line.ts';
import { dial, type Socket } from './socket.ts';
import { Skip, Violation } from './violation.ts';
import { initiate, type Wire } from './wire.ts';
import { Author, World } from './world.ts';

/** How long a node may take to answer after it was started. */
const START_MS = 30_000;

export interface ServerTargetOptions {
  /** A pairing link for an owner, or only an address: then nothing runs that needs to be a member. */
  readonly address?: string | undefined;
  readonly hooks: Hooks;
  readonly patienceMs: number;
}

export class ServerTarget {
  readonly side = 'server';
  readonly hooks: Hooks;
  readonly patienceMs: number;
  readonly url: string;
  /** Links that nobody has used. */
  readonly #links: string[];
  readonly #program: Program | null;
  /** The owner's connection: members are made on it, and what the node writes is read. null before `open`, or where there is no link. */
  #control: Line | null = null;
  #world: World | null = null;
  readonly #owner: Device = newDevice('kit owner');
  agent = '';

  private constructor(url: string, links: string[], program: Program | null, options: ServerTargetOptions) {
    this.url = url;
    this.#links = links;
    this.#program = program;
    this.hooks = options.hooks;
    this.patienceMs = options.patienceMs;
  }

  /** Throws `bad-argument`, `bad-link`, and `unreachable` also where the node can't even be joined. */
  static async open(options: ServerTargetOptions): Promise<ServerTarget> {
    const { hooks } = options;
    const program = hooks.run === undefined ? null : new Program(hooks.run);
    program?.start();
    const startMs = program ? START_MS : 0;
    try {
      let { address } = options;
      if (address === undefined) {
        if (hooks.invite === undefined)
          throw new TidelogError('bad-argument', 'give a link or an address, or a command that makes links: --invite');
        address = await untilAnswered(() => newLink(hooks.invite!, 'owner'), startMs);
      }
      const isLink = address.includes('#pair=');
      const url = isLink ? syncUrl(decodePairLink(crypto, address).addresses[0]!) : syncUrl(address);
      const target = new ServerTarget(url, isLink ? [address] : [], program, options);
      await untilAnswered(async () => (await target.dial()).cut(), startMs);
      if (isLink || hooks.invite !== undefined) await target.#join();
      return target;
    } catch (error) {
      await program?.stop('SIGKILL');
      // Before there is a case that it could fail.
      if (error instanceof Violation) throw new TidelogError('unreachable', error.message, {}, { cause: error });
      throw error;
    }
  }

  get isMember(): boolean {
    return this.#control !== null;
  }
  get world(): World {
    if (!this.#world) throw new Skip('the kit is no member: give it a pairing link for an owner');
    return this.#world;
  }
  get remoteDevice(): Uint8Array | null {
    return this.#control?.wire.remoteDevice ?? null;
  }

  async dial(): Promise<Socket> {
    return dial(this.url);
  }

  async #join(): Promise<void> {
    const invite = await this.link('owner');
    const wire = await initiate(await this.dial(), this.#owner, {
      patienceMs: this.patienceMs,
      expected: invite.device,
    });
    try {
      const proof = pairProof(crypto, invite.secret, wire.handshakeHash, this.#owner.keys.public);
      wire.send({ type: 'PAIR', invite: { id: invite.id, proof }, name: this.#owner.name });
      const paired = await wire.next('PAIRED');
      if (!equal(paired.space, invite.space)) throw new Violation('PAIRED names another space than the link');
      if (paired.role !== 'owner')
        throw new TidelogError('bad-argument', `the link is for a ${paired.role}; the kit needs one for an owner`);
      this.#world = new World(invite.space);
      await this.#greetAsOwner(wire);
      this.#world.owner = new Author(this.#world, this.#owner);
    } catch (error) {
      wire.socket.cut();
      throw error;
    }
  }

  /** Greets on the owner's connection, reads all, and offers it. */
  async #greetAsOwner(wire: Wire): Promise<void> {
    const line = new Line(wire, this.world);
    const heads = this.world.vector();
    line.sayHello(heads.length === 0 ? { spaces: [] } : {});
    line.hello = await wire.next('HELLO');
    this.agent = `${line.hello.agent} "${line.hello.name}"`;
    this.#control = line;
    const follow = line.follow({ from: { kind: 'vector', heads }, live: true, intoWorld: true });
    await follow.caughtUp();
    if (heads.length === 0) line.sayHello();
  }

  /** The owner's connection, opened anew where it was lost. */
  async control(): Promise<Line> {
    if (!this.#control) throw new Skip('the kit is no member: give it a pairing link for an owner');
    if (this.#control.wire.socket.closing) {
      await this.#greetAsOwner(await initiate(await this.dial(), this.#owner, { patienceMs: this.patienceMs }));
    }
    return this.#control;
  }

  /** After a case that failed: the world is what the node has by now, whether it should or not. */
  async adopt(): Promise<void> {
    if (!this.#control) return;
    this.#control.wire.socket.cut();
    const wire = await initiate(await this.dial(), this.#owner, { patienceMs: this.patienceMs });
    const line = new Line(wire, this.world);
    line.sayHello({ spaces: [] });
    await wire.next('HELLO');
    const follow = line.follow();
    await follow.caughtUp();
    wire.socket.cut();
    this.world.replace(follow.entries.filter((entry) => entry.kind !== 'gap').map(commitOf));
  }

  async link(role: Role, lifeSeconds?: number): Promise<PairInvite> {
    const given = lifeSeconds === undefined && role === 'owner' ? this.#links.pop() : undefined;
    if (given !== undefined) return decodePairLink(crypto, given);
    if (this.hooks.invite === undefined) throw new Skip('needs --invite');
    return decodePairLink(crypto, await newLink(this.hooks.invite, role, lifeSeconds));
  }

  async restart(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (!this.#program) throw new Skip('needs --run');
    await this.#program.stop(signal);
    this.#program.start();
    await untilAnswered(async () => (await this.dial()).cut());
  }

  async close(): Promise<void> {
    this.#control?.wire.socket.cut();
    await this.#program?.stop('SIGTERM');
  }

  output(): string {
    return this.#program?.output ?? '';
  }

  async trial(): Promise<ServerTrial> {
    return new ServerTrial(this);
  }
}

async function newLink(command: string, role: Role, lifeSeconds = 600): Promise<string> {
  const printed = await runHook(command, { role, life: String(lifeSeconds) });
  const link = /\S+#pair=[\w-]+/.exec(printed)?.[0];
  if (link === undefined) throw new TidelogError('bad-argument', `the command \`${command}\` printed no pairing link`);
  return link;
}

/** One that was just started needs a moment. */
async function untilAnswered<T>(ask: () => Promise<T>, withinMs = START_MS): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(100);
    }
  }
}

class ServerTrial implements Trial {
  readonly side = 'server';
  readonly #target: ServerTarget;
  readonly #sockets: Socket[] = [];
  readonly wires: Wire[] = [];

  constructor(target: ServerTarget) {
    this.#target = target;
  }

  get world(): World {
    return this.#target.world;
  }
  get patienceMs(): number {
    return this.#target.patienceMs;
  }
  get remoteDevice(): Uint8Array | null {
    return this.#target.remoteDevice;
  }
  get url(): string {
    return this.#target.url;
  }

  async socket(): Promise<Socket> {
    const socket = await this.#target.dial();
    this.#sockets.push(socket);
    return socket;
  }

  async wire({ device = newDevice(), silent = false }: LineOptions = {}): Promise<Wire> {
    const wire = await initiate(await this.socket(), device, {
      patienceMs: this.patienceMs,
      silent,
      expected: this.remoteDevice ?? undefined,
    });
    this.wires.push(wire);
    return wire;
  }

  async line(options: LineOptions = {}): Promise<Line> {
    const device = options.device ?? (await this.device(options.role ?? 'writer'));
    return new Line(await this.wire({ ...options, device }), this.world, options.epoch).greet(options.hello);
  }

  async device(role?: Role): Promise<Device> {
    const device = newDevice();
    if (role === undefined) return device;
    const control = await this.#target.control();
    this.world.grant(device, role);
    await control.push();
    return device;
  }

  author(role: Role = 'writer'): Author {
    const device = newDevice();
    this.world.grant(device, role);
    return this.world.author(device);
  }

  async unharmed(): Promise<void> {
    const control = await this.#target.control();
    await control.push();
    await control.converged();
  }

  async invite(role: Role = 'writer', lifeSeconds?: number): Promise<PairInvite> {
    return this.#target.link(role, lifeSeconds);
  }

  async write(subject: string, property: string, value: unknown): Promise<void> {
    if (this.#target.hooks.write === undefined) throw new Skip('needs --write');
    await runHook(this.#target.hooks.write, { subject, property, value: JSON.stringify(value) });
  }

  async read(subject: string): Promise<Record<string, unknown> | null> {
    if (this.#target.hooks.read === undefined) throw new Skip('needs --read');
    return parseResource(await runHook(this.#target.hooks.read, { subject }));
  }

  async kill(): Promise<void> {
    await this.#target.restart('SIGKILL');
  }

  async restart(): Promise<void> {
    await this.#target.restart('SIGTERM');
  }

  async end(hasFailed: boolean): Promise<void> {
    for (const socket of this.#sockets) socket.cut();
    // Where not even that can be read, the next case says so.
    if (hasFailed) await this.#target.adopt().catch(() => {});
  }
}

/** What a `read` command prints: a JSON object, or `null` or nothing where there is no resource. */
export function parseResource(text: string): Record<string, unknown> | null {
  if (text.trim() === '') return null;
  try {
    return JSON.parse(text) as Record<string, unknown> | null;
  } catch {
    throw new TidelogError('bad-argument', `the --read command printed what is not JSON: ${text.slice(0, 200)}`);
  }
}

/**
 * The implementation under test is a program that connects: the kit is a node with a space of its own, of which it gives a link. Where a command
 * starts the program, each case has a program, a folder and a space for itself; otherwise one program is met again and again.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { equal, toHex } from '../protocol/bytes.ts';
import type { Role } from '../protocol/membership.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import { encodePairLink, pairProof, type PairInvite } from '../protocol/pair-link.ts';
import type { LineOptions, Trial } from './case.ts';
import { crypto, newDevice, random, type Device } from './device.ts';
import { Program, runHook, type Hooks } from './hooks.ts';
import { Line } from './line.ts';
import { parseResource } from './server-target.ts';
import { listen, type Listener, type Socket } from './socket.ts';
import { expect, Skip, Violation } from './violation.ts';
import { respond, type Wire } from './wire.ts';
import { World, type Author } from './world.ts';

/** How long a program may take from its start, or from the end of a connection, to the next connection. */
const CONNECT_MS = 30_000;
/** A person needs longer to paste a link. */
const CONNECT_BY_HAND_MS = 300_000;
const INVITE_LIFE_MS = 24 * 3600 * 1000;
/** How a connection ends whose program is stopped in the middle of the handshake: its process is gone, or it says `shutting-down`. */
const LEFT_OVER_CODES: ReadonlySet<number> = new Set([1006, 4014]);

export interface ClientTargetOptions {
  readonly host: string;
  readonly port: number;
  readonly hooks: Hooks;
  readonly patienceMs: number;
  /** The link that a person gives to the program, where no command does. */
  onLink(link: string): void;
}

/** One space of the kit's, the node that offers it, and the program that joins. */
class Meeting {
  readonly node: Device = newDevice('conformance kit');
  readonly world: World = World.found(this.node, 'conformance');
  readonly invite: PairInvite;
  readonly link: string;
  readonly program: Program | null;
  readonly #listener: Listener;
  readonly folder: string | null;
  readonly #sockets: Socket[] = [];
  #wake: () => void = () => {};
  /** The device that joined. */
  member: Uint8Array | null = null;

  private constructor(listener: Listener, folder: string | null, hooks: Hooks) {
    this.#listener = listener;
    this.folder = folder;
    this.invite = {
      device: this.node.keys.public,
      addresses: [listener.origin],
      space: this.world.space,
      spaceName: 'conformance',
      role: 'writer',
      id: random(8),
      secret: random(16),
      expiresMs: Date.now() + INVITE_LIFE_MS,
    };
    this.link = encodePairLink(crypto, this.invite);
    this.program = hooks.run === undefined ? null : new Program(hooks.run, this.values());
  }

  static async open({ host, port, hooks }: ClientTargetOptions): Promise<Meeting> {
    let meeting: Meeting | undefined = undefined;
    const listener = await listen(host, hooks.run === undefined ? port : 0, (socket) => meeting!.#onSocket(socket));
    const folder = hooks.run === undefined ? null : await mkdtemp(join(tmpdir(), 'tidelog-conformance-'));
    meeting = new Meeting(listener, folder, hooks);
    return meeting;
  }

  values(): Record<string, string> {
    return { link: this.link, ...(this.folder !== null && { data: this.folder }) };
  }

  #onSocket(socket: Socket): void {
    this.#sockets.push(socket);
    this.#wake();
  }

  /** The next connection; starts the program if it doesn't run. One that ended before anyone asked for it is passed over. */
  async connection(): Promise<Socket> {
    if (this.program && !this.program.running) this.program.start();
    const withinMs = this.program ? CONNECT_MS : CONNECT_BY_HAND_MS;
    const deadline = performance.now() + withinMs;
    for (;;) {
      const socket = this.#sockets.shift();
      if (socket && socket.closing === null) return socket;
      if (socket) continue;
      const left = deadline - performance.now();
      if (left <= 0) throw new Violation(`the program did not connect within ${withinMs / 1000} s`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async close(): Promise<void> {
    await this.program?.stop('SIGTERM');
    await this.#listener.close();
    if (this.folder !== null) await rm(this.folder, { recursive: true, force: true });
  }
}

export class ClientTarget {
  readonly side = 'client';
  readonly #options: ClientTargetOptions;
  /** The one meeting of a program that nobody starts. */
  #only: Meeting | null = null;
  agent = '';

  constructor(options: ClientTargetOptions) {
    this.#options = options;
  }

  get hooks(): Hooks {
    return this.#options.hooks;
  }
  get isMember(): boolean {
    return true;
  }

  async trial(): Promise<ClientTrial> {
    if (this.hooks.run !== undefined)
      return new ClientTrial(this, await Meeting.open(this.#options), this.#options, true);
    if (!this.#only) {
      this.#only = await Meeting.open(this.#options);
      this.#options.onLink(this.#only.link);
    }
    return new ClientTrial(this, this.#only, this.#options, false);
  }

  async close(): Promise<void> {
    await this.#only?.close();
  }

  output(): string {
    return '';
  }
}

export class ClientTrial implements Trial {
  readonly side = 'client';
  readonly #target: ClientTarget;
  readonly #meeting: Meeting;
  readonly #options: ClientTargetOptions;
  readonly #isOwnMeeting: boolean;
  readonly #sockets: Socket[] = [];
  readonly wires: Wire[] = [];

  constructor(target: ClientTarget, meeting: Meeting, options: ClientTargetOptions, isOwnMeeting: boolean) {
    this.#target = target;
    this.#meeting = meeting;
    this.#options = options;
    this.#isOwnMeeting = isOwnMeeting;
  }

  get world(): World {
    return this.#meeting.world;
  }
  get patienceMs(): number {
    return this.#options.patienceMs;
  }
  get remoteDevice(): Uint8Array | null {
    return this.#meeting.member;
  }
  get url(): string {
    throw new Error('a program that connects has no address');
  }
  /** The link that the program was given. */
  get link(): PairInvite {
    return this.#meeting.invite;
  }
  /** The kit's device on all connections. */
  get node(): Device {
    return this.#meeting.node;
  }

  /** The next connection. One that the case still holds is closed first: two devices keep one. */
  async socket(): Promise<Socket> {
    for (const open of this.#sockets) open.close();
    const socket = await this.#meeting.connection();
    this.#sockets.push(socket);
    return socket;
  }

  async wire({ silent = false }: LineOptions = {}): Promise<Wire> {
    for (let isFirst = true; ; isFirst = false) {
      const socket = await this.socket();
      try {
        const wire = await respond(socket, this.#meeting.node, { patienceMs: this.patienceMs, silent });
        this.wires.push(wire);
        return wire;
      } catch (thrown) {
        // The last that a program dialled before it was stopped: nothing was said on it, and it comes again.
        const isLeftOver = isFirst && socket.closing !== null && LEFT_OVER_CODES.has(socket.closing.code);
        if (!isLeftOver || !(thrown instanceof Violation)) throw thrown;
      }
    }
  }

  async line(options: LineOptions = {}): Promise<Line> {
    // Whoever lost several connections waits ever longer; one that was just started doesn't.
    if (this.#sockets.length > 0) await this.#meeting.program?.stop('SIGTERM');
    const wire = await this.wire(options);
    if (this.#meeting.member === null) await this.pair(wire);
    expect(
      equal(wire.remoteDevice, this.#meeting.member!),
      'another device connects than the one that joined; a program keeps its key',
    );
    const line = await new Line(wire, this.world, options.epoch).greet(options.hello);
    this.#target.agent = `${line.hello.agent} "${line.hello.name}"`;
    return line;
  }

  /** What the inviter does: checks the proof, makes the device a member, says PAIRED. */
  async pair(wire: Wire): Promise<void> {
    const { invite } = this.#meeting;
    const request = await wire.next('PAIR');
    expect(request.invite !== null, 'it has a link, and sends PAIR without the invite');
    expect(equal(request.invite.id, invite.id), `its invite is ${toHex(request.invite.id)}, not that of the link`);
    const proof = pairProof(crypto, invite.secret, wire.handshakeHash, wire.remoteDevice);
    expect(equal(request.invite.proof, proof), 'its proof of the secret is wrong');
    this.welcome(wire, request.name);
  }

  /** It is a member from now on, and is told so. */
  welcome(wire: Wire, name: string): void {
    const keys = { secret: new Uint8Array(32), public: wire.remoteDevice };
    this.world.grant({ keys, id: formatDeviceId(wire.remoteDevice), name }, this.#meeting.invite.role);
    this.#meeting.member = wire.remoteDevice;
    wire.send({ type: 'PAIRED', space: this.world.space, spaceName: 'conformance', role: this.#meeting.invite.role });
  }

  async device(): Promise<Device> {
    return newDevice();
  }

  author(role: Role = 'writer'): Author {
    const device = newDevice();
    this.world.grant(device, role);
    return this.world.author(device);
  }

  async unharmed(): Promise<void> {
    const { program, member } = this.#meeting;
    // One that was refused before it joined, and that nobody can start again, may rightly stay away.
    if (member === null && !program) return;
    for (const { socket } of this.wires) socket.cut();
    // A program may wait long after an error that trying again does not mend.
    await program?.stop('SIGTERM');
    const line = await this.line();
    await line.push();
    if (line.offered()) await line.converged();
  }

  async invite(): Promise<PairInvite> {
    throw new Error('the kit invites');
  }

  async write(subject: string, property: string, value: unknown): Promise<void> {
    if (this.#target.hooks.write === undefined) throw new Skip('needs --write');
    await this.#whileStopped(() =>
      runHook(this.#target.hooks.write!, {
        ...this.#meeting.values(),
        subject,
        property,
        value: JSON.stringify(value),
      }),
    );
  }

  async read(subject: string): Promise<Record<string, unknown> | null> {
    if (this.#target.hooks.read === undefined) throw new Skip('needs --read');
    const printed = await this.#whileStopped(() =>
      runHook(this.#target.hooks.read!, { ...this.#meeting.values(), subject }),
    );
    return parseResource(printed);
  }

  /** The program's folder is for one program at a time. The next connection starts it again. */
  async #whileStopped<T>(work: () => Promise<T>): Promise<T> {
    await this.#meeting.program?.stop('SIGTERM');
    return work();
  }

  async kill(): Promise<void> {
    if (!this.#meeting.program) throw new Skip('needs --run');
    await this.#meeting.program.stop('SIGKILL');
  }

  /** The next connection starts it again. */
  async restart(): Promise<void> {
    if (!this.#meeting.program) throw new Skip('needs --run');
    await this.#meeting.program.stop('SIGTERM');
  }

  output(): string {
    return this.#meeting.program?.output ?? '';
  }

  async end(): Promise<void> {
    for (const socket of this.#sockets) socket.cut();
    if (this.#isOwnMeeting) await this.#meeting.close();
  }
}

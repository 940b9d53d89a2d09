/**
 * A network of hosts by name. A connection is two pipes, one each way, and a pipe is TCP's: what comes, comes in order, and it comes late, or never, or stops
 * anywhere; WebSocket messages are whole or not there, and a long message of the protocol is several of them. Between connections there is no order.
 *
 *   send ─► buffer (bufferedBytes) ──rate──► wire ──latency──► onMessage
 *
 * What can happen to a pipe: its link is down (all waits, and goes on when it is up again, unless TCP's patience ends first); it is slow; it is half-open
 * (all vanishes, and nobody is told); it is reset (both ends hear of it, and what was on its way is lost); or a host dies.
 */
import type { Transport, TransportHandlers } from '../../client/transport.ts';
import { TidelogError } from '../../protocol/errors.ts';
import type { Random } from './random.ts';
import { Violation, type Owner, type World } from './world.ts';

/** A running process, as the network sees it. */
export interface Listener {
  readonly owner: Owner;
  accept(transport: Transport): void;
}

/** One direction between two hosts. */
interface Link {
  down: boolean;
  /** bytes per ms */
  rate: number;
  readonly latencyUs: number;
}

const RATE_BYTES_PER_MS = 2000;
/** Dialling where nothing answers; see client/platform/websocket.ts. */
const DIAL_TIMEOUT_US = 10_000_000;
/** The longest that anybody's buffer may get: above 1 MiB nothing more is read for a socket, and what was being read is one message. */
const BUFFERED_MAX_BYTES = (1 + 4 + 1) * 1024 * 1024;

export class Network {
  readonly #world: World;
  readonly #random: Random;
  readonly #listeners = new Map<string, Listener>();
  readonly #links = new Map<string, Link>();
  readonly #connections = new Set<SimConnection>();
  #opened = 0;
  /** The most that was ever waiting at one end, of all connections. */
  bufferedMax = 0;
  /** Which pairs of hosts have a way to each other at all. */
  hasWay: (a: string, b: string) => boolean = () => true;

  constructor(world: World) {
    this.#world = world;
    this.#random = world.random.fork('network');
  }

  link(from: string, to: string): Link {
    const key = `${from}>${to}`;
    let link = this.#links.get(key);
    if (!link) {
      link = { down: false, rate: RATE_BYTES_PER_MS, latencyUs: this.#random.int(50, 40_000) };
      this.#links.set(key, link);
    }
    return link;
  }

  setDown(from: string, to: string, down: boolean): void {
    this.link(from, to).down = down;
    if (!down) for (const connection of this.#connections) connection.resume(from, to);
  }

  setRate(from: string, to: string, rate: number | null): void {
    this.link(from, to).rate = rate ?? RATE_BYTES_PER_MS;
  }

  heal(): void {
    for (const link of this.#links.values()) {
      link.down = false;
      link.rate = RATE_BYTES_PER_MS;
    }
    for (const connection of this.#connections) connection.resume(null, null);
  }

  connections(): SimConnection[] {
    return [...this.#connections];
  }

  listen(host: string, listener: Listener): void {
    this.#listeners.set(host, listener);
  }

  /** The process is gone. Its machine says so to whoever is connected, or is gone too. */
  die(host: string, machineToo: boolean): void {
    this.#listeners.delete(host);
    for (const connection of this.connections()) connection.hostDied(host, machineToo);
  }

  dial(from: string, url: string, owner: Owner, signal?: AbortSignal): Promise<Transport> {
    const to = new URL(url).hostname.split('.')[0]!;
    return new Promise((resolve, reject) => {
      const fail = (us: number): void => {
        this.#world.after(us, owner, `${from} dials ${to} in vain`, () =>
          reject(new TidelogError(signal?.aborted ? 'aborted' : 'unreachable', url)),
        );
      };
      const there = this.link(from, to);
      const back = this.link(to, from);
      const tripUs = there.latencyUs + back.latencyUs;
      if (!this.hasWay(from, to)) return fail(tripUs);
      if (there.down || back.down) return fail(DIAL_TIMEOUT_US);
      this.#world.after(there.latencyUs + this.#random.int(0, 1000), owner, `${from} dials ${to}`, () => {
        const listener = this.#listeners.get(to);
        if (signal?.aborted || !listener?.owner.alive) return fail(back.latencyUs);
        const name = `${from}-${to}#${++this.#opened}`;
        const connection = new SimConnection(this.#world, this, this.#random.fork(name), name, from, to);
        this.#connections.add(connection);
        listener.accept(connection.end(to, listener.owner));
        const end = connection.end(from, owner);
        this.#world.after(back.latencyUs, owner, `${from} reaches ${to}`, () => {
          if (signal?.aborted) {
            end.close();
            reject(new TidelogError('aborted'));
          } else resolve(end);
        });
      });
    });
  }

  forget(connection: SimConnection): void {
    this.#connections.delete(connection);
  }

  noteBuffered(name: string, bytes: number): void {
    this.bufferedMax = Math.max(this.bufferedMax, bytes);
    if (bytes > BUFFERED_MAX_BYTES) this.#world.fail(new Violation('bounded buffers', `${name} holds ${bytes} bytes`));
  }
}

type Item = Uint8Array | 'FIN';

export class SimConnection {
  readonly name: string;
  readonly hosts: readonly [string, string];
  readonly #network: Network;
  readonly #world: World;
  readonly #random: Random;
  readonly #ends: (End | null)[] = [null, null];
  readonly #pipes: [Pipe, Pipe];

  constructor(world: World, network: Network, random: Random, name: string, from: string, to: string) {
    this.name = name;
    this.hosts = [from, to];
    this.#world = world;
    this.#network = network;
    this.#random = random;
    this.#pipes = [new Pipe(world, network, random, this, from, to), new Pipe(world, network, random, this, to, from)];
  }

  end(host: string, owner: Owner): End {
    const side = host === this.hosts[0] ? 0 : 1;
    const end = new End(this, this.#pipes[side], this.hosts[1 - side]!, owner);
    this.#ends[side] = end;
    this.#pipes[side].source = end;
    this.#pipes[1 - side]!.target = end;
    return end;
  }

  resume(from: string | null, to: string | null): void {
    for (const pipe of this.#pipes) if (from === null || (pipe.from === from && pipe.to === to)) pipe.resume();
  }

  /** Both ends hear of it, each in its own time; what was on its way is lost. */
  reset(): void {
    for (const pipe of this.#pipes) pipe.break();
    for (const end of this.#ends) {
      if (!end) continue;
      this.#world.after(this.#random.int(0, 200_000), end.owner, `${this.name} is reset`, () => end.ended());
    }
    this.#network.forget(this);
  }

  /** From now on all that `from` sends, or both send, vanishes, and nobody is told. */
  halfOpen(from: string | null): void {
    for (const pipe of this.#pipes) if (from === null || pipe.from === from) pipe.vanishes = true;
  }

  hostDied(host: string, machineToo: boolean): void {
    const side = this.hosts.indexOf(host);
    if (side < 0) return;
    const other = this.#ends[1 - side];
    this.#pipes[side]!.dropBuffer();
    this.#pipes[1 - side]!.vanishes = true;
    if (machineToo) this.#pipes[side]!.isOrphan = true;
    if (machineToo || !other) return;
    // The system of the process that died closes for it.
    this.#pipes[side]!.put('FIN');
  }

  note(item: Item): void {
    if (item === 'FIN') this.#world.note(`${this.name} ends`);
    else this.#world.noteBytes(this.name, item);
  }

  /** One end is over; with both the connection is. */
  over(): void {
    if (this.#ends.every((end) => end === null || end.isOver || !end.owner.alive)) this.#network.forget(this);
  }
}

class Pipe {
  readonly from: string;
  readonly to: string;
  source: End | null = null;
  target: End | null = null;
  vanishes = false;
  /** Nobody is there any more to send again what a link didn't let through. */
  isOrphan = false;
  bufferedBytes = 0;
  readonly #connection: SimConnection;
  readonly #world: World;
  readonly #network: Network;
  readonly #random: Random;
  readonly #buffer: Item[] = [];
  readonly #wire: { item: Item; dueUs: number }[] = [];
  #isSending = false;
  #isDelivering = false;
  #broken = false;
  /** Since when it couldn't go on, with something to send. */
  #stuck: (() => void) | null = null;

  constructor(world: World, network: Network, random: Random, connection: SimConnection, from: string, to: string) {
    this.#world = world;
    this.#network = network;
    this.#random = random;
    this.#connection = connection;
    this.from = from;
    this.to = to;
  }

  put(item: Item): void {
    if (this.#broken) return;
    this.#buffer.push(item);
    this.bufferedBytes += item.length;
    this.#network.noteBuffered(`${this.#connection.name} from ${this.from}`, this.bufferedBytes);
    this.#send();
  }

  /** What hadn't left the machine that died. */
  dropBuffer(): void {
    this.#buffer.length = 0;
    this.bufferedBytes = 0;
  }

  break(): void {
    this.#broken = true;
    this.dropBuffer();
    this.#wire.length = 0;
    this.#stuck?.();
  }

  resume(): void {
    this.#stuck?.();
    this.#stuck = null;
    this.#send();
    this.#deliver();
  }

  #send(): void {
    const item = this.#buffer[0];
    if (this.#isSending || item === undefined) return;
    const link = this.#network.link(this.from, this.to);
    if (link.down && !this.vanishes) return this.#wait();
    this.#isSending = true;
    this.#world.after((item.length / link.rate) * 1000, null, `${this.#connection.name} ${this.from} sends`, () => {
      this.#isSending = false;
      // The buffer was dropped meanwhile.
      if (this.#buffer[0] !== item) return this.#send();
      this.#buffer.shift();
      this.bufferedBytes -= item.length;
      const before = this.#wire.at(-1)?.dueUs ?? 0;
      const jitterUs = this.#random.chance(0.05) ? this.#random.int(0, 200_000) : this.#random.int(0, 500);
      this.#wire.push({ item, dueUs: Math.max(before, this.#world.nowUs + link.latencyUs + jitterUs) });
      this.#deliver();
      this.source?.drained();
      this.#send();
    });
  }

  #deliver(): void {
    const head = this.#wire[0];
    if (this.#isDelivering || !head) return;
    if (this.#network.link(this.from, this.to).down && !this.vanishes) return this.#wait();
    this.#isDelivering = true;
    this.#world.after(head.dueUs - this.#world.nowUs, null, `${this.#connection.name} ${this.to} receives`, () => {
      this.#isDelivering = false;
      if (this.#wire[0] !== head) return this.#deliver();
      if (this.#network.link(this.from, this.to).down && !this.vanishes) return this.#deliver();
      this.#wire.shift();
      if (!this.vanishes) this.target?.take(head.item);
      this.#deliver();
    });
  }

  /** TCP repeats itself for so long, and then gives up: the sender hears of it, the other side doesn't. */
  #wait(): void {
    if (this.isOrphan) return this.break();
    if (this.#stuck || this.#broken) return;
    const patienceUs = this.#random.int(20, 200) * 1_000_000;
    this.#stuck = this.#world.after(patienceUs, null, `${this.#connection.name} ${this.from} gives up`, () => {
      this.break();
      this.source?.ended();
    });
  }
}

class End implements Transport {
  readonly remoteAddress: string;
  readonly owner: Owner;
  readonly #connection: SimConnection;
  readonly #pipe: Pipe;
  #handlers: TransportHandlers | null = null;
  readonly #early: Uint8Array[] = [];
  #isClosing = false;
  isOver = false;

  constructor(connection: SimConnection, pipe: Pipe, remote: string, owner: Owner) {
    this.#connection = connection;
    this.#pipe = pipe;
    this.remoteAddress = `sim:${remote}`;
    this.owner = owner;
  }

  get bufferedBytes(): number {
    return this.#pipe.bufferedBytes;
  }

  start(handlers: TransportHandlers): void {
    this.#handlers = handlers;
    for (const bytes of this.#early.splice(0)) handlers.onMessage(bytes);
    if (this.isOver) handlers.onClose();
  }

  send(bytes: Uint8Array): void {
    if (!this.#isClosing && !this.isOver && this.owner.alive) this.#pipe.put(bytes.slice());
  }

  close(): void {
    if (this.#isClosing || this.isOver || !this.owner.alive) return;
    this.#isClosing = true;
    this.#pipe.put('FIN');
  }

  /** Something came. */
  take(item: Item): void {
    if (this.isOver || !this.owner.alive) return;
    this.#connection.note(item);
    if (item === 'FIN') {
      // Closed by both, as a WebSocket is: the other one learns of it by the answer.
      this.close();
      this.ended();
    } else if (this.#handlers) this.#handlers.onMessage(item);
    else this.#early.push(item);
  }

  drained(): void {
    if (!this.isOver && !this.#isClosing && this.owner.alive) this.#handlers?.onDrain();
  }

  ended(): void {
    if (this.isOver || !this.owner.alive) return;
    this.isOver = true;
    this.#handlers?.onClose();
    this.#connection.over();
  }
}

/**
 * The peer's lines to other devices: connections that were opened to it or by it, one for each device, and the addresses at which it keeps
 * trying. What is said on a line is connection.ts; when an address is tried again, dialer.ts.
 */
import { equal, toHex } from '../protocol/bytes.ts';
import { HEARTBEAT_EVERY_MS } from '../protocol/constants.ts';
import { TidelogError } from '../protocol/errors.ts';
import { syncUrl } from '../protocol/pair-link.ts';
import type { AddressBook } from './address-book.ts';
import { Connection, type ConnectionHost, type Intent } from './connection.ts';
import { Dialer, type Dial } from './dialer.ts';
import { wallMs } from './platform.ts';
import type { Transport } from './transport.ts';

export interface LinesEvents {
  /** It is the one line to its device; what stood in its way is closed. */
  opened(connection: Connection): void;
  closed(connection: Connection, error: TidelogError | null): void;
}

export class Lines {
  readonly #host: ConnectionHost;
  readonly #book: AddressBook;
  readonly #events: LinesEvents;
  readonly #connections = new Set<Connection>();
  readonly #dialer: Dialer;
  /** Who answered at an address. */
  readonly #deviceByUrl = new Map<string, Uint8Array>();
  /** Who may answer at an address: the devices that it was noted for. More than one where a device was set up anew, or another has its address by now. */
  readonly #expectedByUrl = new Map<string, Uint8Array[]>();
  /** Device (hex) → settles when the connection that is being made to it has greeted, or failed. */
  readonly #greetings = new Map<string, Promise<void>>();
  #closed = false;
  #isPaused = false;

  constructor(host: Omit<ConnectionHost, 'onEstablished' | 'onClosed'>, book: AddressBook, events: LinesEvents) {
    this.#host = {
      ...host,
      onEstablished: (connection) => this.#onEstablished(connection),
      onClosed: (connection, error) => this.#onClosed(connection, error),
    };
    this.#book = book;
    this.#events = events;
    this.#dialer = new Dialer(host.platform, (url, signal) => {
      const expectedDevices = this.#expectedByUrl.get(url);
      return this.open(url, { kind: 'sync' }, { signal, ...(expectedDevices && { expectedDevices }) });
    });
  }

  // ---- which there are

  get all(): Iterable<Connection> {
    return this.#connections;
  }

  /** A connection on which it has greeted. */
  to(device: Uint8Array): Connection | null {
    const connection = this.#lineTo(device);
    return connection?.remote ? connection : null;
  }

  /** Also one that still pairs. */
  #lineTo(device: Uint8Array): Connection | null {
    for (const connection of this.#connections) {
      if (connection.established && !connection.closed && equal(connection.device, device)) return connection;
    }
    return null;
  }

  /** What is being dialled, and which device was found there. */
  dials(): (Dial & { readonly device: Uint8Array | null })[] {
    return this.#dialer.list().map((dial) => ({ ...dial, device: this.#deviceAt(dial.url) }));
  }

  /** Who answered there, or else the only one that it was noted for. */
  #deviceAt(url: string): Uint8Array | null {
    const [expected, ...others] = this.#expectedByUrl.get(url) ?? [];
    return this.#deviceByUrl.get(url) ?? (others.length === 0 ? (expected ?? null) : null);
  }

  // ---- opening them

  /** A connection that somebody opened to this peer. */
  accept(transport: Transport): Connection {
    return this.#start(transport, { initiator: false, intent: { kind: 'sync' } });
  }

  /** To pair: as soon as its handshake is under way. To sync: once it has greeted; or the line that there is already. */
  async open(
    url: string,
    intent: Intent,
    options: { signal?: AbortSignal; expectedDevices?: readonly Uint8Array[] },
  ): Promise<Connection> {
    if (this.#closed) throw new TidelogError('closed');
    const { signal, expectedDevices } = options;
    signal?.throwIfAborted();
    const known = this.#deviceAt(url);
    // Also one that is still pairing: another beside it would take its place.
    const existing = known && intent.kind === 'sync' ? this.#lineTo(known) : null;
    if (existing) return existing;
    const transport = await this.#host.platform.dial(syncUrl(url), signal);
    const faster = known && intent.kind === 'sync' ? await this.#byOtherAddress(known) : null;
    if (faster) {
      transport.close(1000, '');
      return faster;
    }
    // Closed, paused, or given up, while it was dialled: nobody would close what is opened now.
    if (this.#closed || this.#isPaused || signal?.aborted) {
      transport.close(1000, '');
      signal?.throwIfAborted();
      throw this.#closed ? new TidelogError('closed') : linesElsewhere();
    }
    // A line that the other opened might be the one to stay, and this one be closed before it has asked to be let in.
    if (intent.kind === 'pair') for (const device of expectedDevices ?? []) this.#lineTo(device)?.close();
    const connection = this.#start(transport, { initiator: true, intent, expectedDevices });
    if (intent.kind === 'pair') return connection;
    const greeted = this.#greetedOrOther(connection, url, signal);
    if (known) this.#noteGreeting(known, greeted);
    const opened = await greeted;
    // Whoever the address was noted for: a person has asked for this one.
    this.#expectAt(url, connection.device);
    await this.#book.update(connection.device, {
      address: url,
      name: connection.remote?.name ?? '',
      lastSeenMs: wallMs(this.#host.platform),
    });
    return opened;
  }

  #start(transport: Transport, options: ConstructorParameters<typeof Connection>[2]): Connection {
    const connection = new Connection(this.#host, transport, options);
    this.#connections.add(connection);
    this.#host.counters.connectionsOpened++;
    connection.start();
    // Nobody would tick it, nor end it.
    if (this.#closed) connection.close(new TidelogError('shutting-down'));
    return connection;
  }

  /**
   * All addresses of a device are dialled at once, and the first that answers is used: a second connection would take its place in the middle
   * of its first batches, and they would come again.
   */
  async #byOtherAddress(device: Uint8Array): Promise<Connection | null> {
    const hex = toHex(device);
    for (let greeting = this.#greetings.get(hex); greeting; greeting = this.#greetings.get(hex)) await greeting;
    return this.to(device);
  }

  #noteGreeting(device: Uint8Array, greeted: Promise<Connection>): void {
    const hex = toHex(device);
    const forget = (): void => void this.#greetings.delete(hex);
    this.#greetings.set(hex, greeted.then(forget, forget));
  }

  /** Once it has greeted; or, where it was closed in favour of another connection to the same device, that one. */
  async #greetedOrOther(connection: Connection, url: string, signal: AbortSignal | undefined): Promise<Connection> {
    try {
      await connection.greeted(signal);
      return connection;
    } catch (thrown) {
      // Given up: whoever wanted it wants no line that comes about later.
      if (signal?.aborted) connection.close();
      if (!connection.established) throw thrown;
      const other = [...this.#connections].find((each) => each.established && equal(each.device, connection.device));
      if (!other || signal?.aborted) throw thrown;
      await other.greeted(signal);
      return other;
    } finally {
      if (connection.established) this.#deviceByUrl.set(url, connection.device);
    }
  }

  /** Where only some are. An attempt that is under way expects it too. */
  #expectAt(url: string, device: Uint8Array): void {
    const expected = this.#expectedByUrl.get(url);
    if (expected && !expected.some((other) => equal(other, device))) expected.push(device);
  }

  // ---- keeping them

  /**
   * Dials an address from now on, whenever it has no line there. `device`: who must answer; whoever else has the address by now isn't told who
   * asked. Without it any device that is known is welcome.
   */
  keep(url: string, device: Uint8Array | null = null): void {
    if (this.#isPaused) return;
    if (device) {
      if (!this.#expectedByUrl.has(url)) this.#expectedByUrl.set(url, []);
      this.#expectAt(url, device);
    }
    this.#dialer.keep(url);
  }

  drop(url: string): void {
    this.#dialer.drop(url);
    this.#expectedByUrl.delete(url);
  }

  wake(): void {
    this.#dialer.wake();
  }

  /**
   * Two devices keep one connection. Of two in the same direction the newer stays: the older may be half-open. Of two in opposite
   * directions, that which the greater key opened: both sides decide alike.
   */
  #onEstablished(connection: Connection): void {
    const { platform, keys } = this.#host;
    for (const other of this.#connections) {
      if (other === connection || !other.established || other.closed || !equal(other.device, connection.device))
        continue;
      const keepsOther =
        other.initiator !== connection.initiator && other.initiator === toHex(keys.public) > toHex(connection.device);
      // One that has said nothing for longer than a heartbeat may be half-open.
      if (keepsOther && platform.nowMs() - other.lastHeardMs < HEARTBEAT_EVERY_MS) {
        connection.close();
        return;
      }
      other.close();
    }
    this.#events.opened(connection);
  }

  #onClosed(connection: Connection, error: TidelogError | null): void {
    this.#connections.delete(connection);
    if (connection.established && !this.#closed && !this.#isPaused && this.#host.isKnown(connection.device)) {
      const name = connection.remote?.name || this.#book.get(connection.device).name;
      this.#book.update(connection.device, { lastSeenMs: wallMs(this.#host.platform), name }).catch(() => {});
    }
    this.#dialer.ended(connection, error);
    this.#events.closed(connection, error);
  }

  tick(): void {
    for (const connection of this.#connections) connection.tick();
  }

  /** Another peer of this device has the lines from now on, or no longer. What was dialled is forgotten. */
  set paused(isPaused: boolean) {
    this.#isPaused = isPaused;
    if (!isPaused) return;
    this.#dialer.close();
    for (const connection of this.#connections) connection.close(linesElsewhere());
  }

  close(): void {
    this.#closed = true;
    this.#dialer.close();
    for (const connection of this.#connections) connection.close(new TidelogError('shutting-down'));
  }
}

function linesElsewhere(): TidelogError {
  return new TidelogError('shutting-down', 'another tab of this device has its lines from now on');
}

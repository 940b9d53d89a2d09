/**
 * A peer: a device's key, its spaces, and its lines to other devices. It dials and, where something listens for it, accepts; on a connection
 * the two are alike. What it does is done in one file each; here they are put together:
 *
 *   spaces.ts    the copies that it holds      pairing.ts   who may come in, and coming in elsewhere
 *   lines.ts     its connections               members.ts   what owners do with devices
 *   status.ts    how things stand
 */
import { equal, toHex } from '../protocol/bytes.ts';
import { HELLO_SPACES_MAX } from '../protocol/constants.ts';
import type { KeyPair } from '../protocol/crypto.ts';
import { formatDeviceId, parseDeviceId } from '../protocol/device-id.ts';
import { asTidelogError, TidelogError } from '../protocol/errors.ts';
import { isRole, type Role } from '../protocol/membership.ts';
import type { Filter, SpaceState } from '../protocol/messages.ts';
import { syncUrl } from '../protocol/pair-link.ts';
import { isName } from '../protocol/value.ts';
import { AddressBook } from './address-book.ts';
import type { Connection, ConnectionHost } from './connection.ts';
import { newCounters, type Counters } from './counters.ts';
import type { PeerEvent } from './events.ts';
import { Invites, type PendingDevice } from './invites.ts';
import { Lines } from './lines.ts';
import { addMember, addRecoveryKey, renameMember, revokeMember, setMemberRole } from './members.ts';
import { Pairing, type Invite, type Joined, type JoinOptions } from './pairing.ts';
import { wallMs, type Platform } from './platform.ts';
import type { Space, SpaceEvent } from './space.ts';
import { Spaces } from './spaces.ts';
import {
  listWarnings,
  viewDevices,
  viewPeers,
  Warnings,
  type DeviceView,
  type PeerView,
  type StatusContext,
} from './status.ts';
import { held, type Store } from './store.ts';
import type { Transport } from './transport.ts';

const AGENT = 'tidelog/0.1.0';
const TICK_MS = 1000;
/** Spaces that one device has brought here by offering them, and of which nothing has come yet. Whoever offers more has made them up. */
const ADOPTED_EMPTY_MAX = 32;

export interface PeerOptions {
  readonly store: Store;
  readonly platform: Platform;
  /** The device's Ed25519 key. */
  readonly keys: KeyPair;
  readonly name: string;
  /** Hold only these subjects of spaces that are joined from now on. */
  readonly only?: Filter | null;
  /** Takes a copy of whatever space any device offers that it connects to, and not of those of trusted devices only. For a peer of one errand. */
  readonly adoptsAll?: boolean;
  readonly onEvent?: (event: PeerEvent) => void;
}

export class Peer {
  readonly device: Uint8Array;
  /** Device ID. */
  readonly id: string;
  readonly counters: Counters = newCounters();
  /** Bytes that the logs of all spaces may have before nothing more is taken from other devices; 0: as many as the disk holds. */
  logBytesMax = 0;
  readonly #options: PeerOptions;
  readonly #book: AddressBook;
  readonly #invites: Invites;
  readonly #spaces: Spaces;
  readonly #lines: Lines;
  readonly #pairing: Pairing;
  readonly #warnings = new Warnings();
  readonly #statusContext: StatusContext;
  /** Device (hex) → spaces that it brought here, those at least of which nothing had come when it brought the last. */
  /** Of batches that came, over all connections, and aren't in a log yet. */
  #arrivingBytes = 0;
  readonly #adopted = new Map<string, Space[]>();
  #name: string;
  #cancelTick: (() => void) | null = null;
  #closing: Promise<void> | null = null;

  private constructor(options: PeerOptions, book: AddressBook, invites: Invites) {
    const { platform, store, keys, name } = options;
    if (!isName(name)) throw new TidelogError('bad-argument', 'a name is at most 64 bytes of text');
    this.#options = options;
    this.device = keys.public;
    this.id = formatDeviceId(keys.public);
    this.#name = name;
    this.#book = book;
    this.#invites = invites;
    this.#spaces = new Spaces({ platform, store, keys, onEvent: (event) => this.#onSpaceEvent(event) });
    this.#lines = new Lines(this.#makeHost(), book, {
      opened: (connection) => this.#emit({ type: 'connected', connection }),
      closed: (connection, error) => this.#onClosed(connection, error),
    });
    const shared = {
      platform,
      device: this.device,
      book,
      spaces: this.#spaces,
      lines: this.#lines,
      isKnown: (device: Uint8Array) => this.#isKnown(device),
    };
    this.#statusContext = { ...shared, warnings: this.#warnings };
    this.#pairing = new Pairing({
      ...shared,
      invites,
      only: options.only ?? null,
      onEvent: (event) => this.#emit(event),
    });
  }

  static async open(options: PeerOptions): Promise<Peer> {
    const { store, platform } = options;
    const book = await AddressBook.open(store);
    const invites = await Invites.open(platform.crypto, platform.random, store, () => wallMs(platform));
    const peer = new Peer(options, book, invites);
    await peer.#spaces.load(peer.#isJoining());
    peer.#tick();
    return peer;
  }

  /** What a connection asks of this peer. */
  #makeHost(): Omit<ConnectionHost, 'onEstablished' | 'onClosed'> {
    const { platform, keys } = this.#options;
    return {
      platform,
      keys,
      // New at every start: the device's signature over it never expires, so it should not outlive the process.
      noiseKeys: platform.crypto.x25519KeyPair(platform.random(32)),
      counters: this.counters,
      capabilities: platform.codecs.length > 0 ? ['zstd'] : [],
      name: () => this.#name,
      agent: AGENT,
      space: (id) => this.#spaces.byId(id),
      sharedWith: (device) => this.#spaces.of(device).slice(0, HELLO_SPACES_MAX),
      isKnown: (device) => this.#isKnown(device),
      isRevoked: (device) => this.#spaces.isRevoked(device),
      hasRoom: (bytes) =>
        this.logBytesMax === 0 || this.#spaces.logBytes + this.#arrivingBytes + bytes <= this.logBytesMax,
      arriving: (bytes) => void (this.#arrivingBytes += bytes),
      adopt: (device, state) => this.#adoptOffered(device, state),
      onPairRequest: (connection, pair) => this.#pairing.onRequest(connection, pair),
    };
  }

  #tick(): void {
    this.#cancelTick = this.#options.platform.after(TICK_MS, () => {
      this.#lines.tick();
      this.#tick();
    });
  }

  /** Takes nothing more, lets what was begun end, and leaves the store open. Whoever calls it again waits for the same. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#cancelTick?.();
    this.#lines.close();
    await this.#spaces.close();
  }

  // ---- a store that others of this device have open too

  /** Reads anew what is in memory: another may have written. Nothing is being written here meanwhile. */
  async refresh(): Promise<void> {
    await this.#book.load();
    await this.#invites.load();
    await this.#spaces.refresh(this.#isJoining());
  }

  /** This one writes from now on, and has the lines. */
  lead(): void {
    this.#lines.paused = false;
    this.dialKnown();
    for (const space of this.#spaces.all) void space.finish();
  }

  /** Another will. Resolves when what was begun here is written. */
  async follow(): Promise<void> {
    this.#lines.paused = true;
    for (const space of this.#spaces.all) await space.settled();
  }

  /** What is done next needs to be the one that writes. */
  async #takeLead(): Promise<void> {
    (await this.#options.store.shared?.hold('work'))?.();
  }

  #isJoining(): boolean {
    return this.#book.all().some(({ record }) => record.trusted);
  }

  get name(): string {
    return this.#name;
  }
  set name(name: string) {
    if (!isName(name) || name === '') throw new TidelogError('bad-argument', 'a name is 1 to 64 bytes of text');
    this.#name = name;
  }

  // ---- spaces

  /** In the order in which this peer met them. */
  get spaces(): readonly Space[] {
    return this.#spaces.all;
  }

  /** By name, by hex id or its beginning (8 digits or more), or the default. Throws `unknown-space`. */
  space(nameOrId?: string): Space {
    return this.#spaces.find(nameOrId);
  }

  /** The default space; made, and called "home", if there is none. */
  homeSpace(): Promise<Space> {
    return held(this.#options.store, () => this.#spaces.home(this.#name));
  }

  createSpace(name: string): Promise<Space> {
    return held(this.#options.store, () => this.#spaces.create(name, this.#name));
  }

  /**
   * An empty copy of a space, for a log that comes from a file; the copy that is here, where there is one. `logOnly`: it keeps no resources, as
   * a mirror does. Throws `too-many`.
   */
  async addCopy(id: Uint8Array, name: string, { logOnly = false } = {}): Promise<Space> {
    if (this.#spaces.isFull && !this.#spaces.byId(id)) throw new TidelogError('too-many', 'spaces');
    return this.#spaces.join(id, name, null, logOnly ? 'mirror' : null);
  }

  /** Lets go of a copy of which nothing has come, nor comes with what is under way. */
  forgetEmptyCopy(space: Space): Promise<void> {
    return this.#spaces.forgetEmpty(space);
  }

  /** A space that a trusted device offers is taken; others' are not. */
  async #adoptOffered(device: Uint8Array, state: SpaceState): Promise<Space | null> {
    const { adoptsAll = false, only = null } = this.#options;
    if (!(adoptsAll || this.#book.get(device).trusted) || this.#spaces.isFull) return null;
    const hex = toHex(device);
    const isEmpty = (space: Space): boolean => space.head === 0 && this.#spaces.all.includes(space);
    const empty = (this.#adopted.get(hex) ?? []).filter(isEmpty);
    if (empty.length >= ADOPTED_EMPTY_MAX) {
      const name = this.#book.get(device).name || formatDeviceId(device).slice(0, 7);
      this.#warnings.add(
        `adopted ${hex}`,
        `${name} offers many spaces, and nothing has come yet of ${ADOPTED_EMPTY_MAX} that were taken; the others are taken once something has.`,
      );
      return null;
    }
    this.#warnings.remove(`adopted ${hex}`);
    const space = await this.#spaces.join(state.space, '', only, null);
    this.#adopted.set(hex, [...empty, space]);
    this.#emit({ type: 'adopted', space });
    return space;
  }

  // ---- events

  #onSpaceEvent(event: SpaceEvent): void {
    if (event.type === 'appended') {
      this.counters.commitsWritten += event.written;
      for (const connection of this.#lines.all) connection.advanced(event.space);
    }
    if (event.type === 'membership') {
      for (const connection of this.#lines.all) connection.membershipChanged(event.space);
      this.#pairing.membershipChanged(event.space);
    }
    if (event.type === 'forked') {
      this.#warnings.add(
        `fork ${toHex(event.fork.chain)}`,
        `${formatDeviceId(event.fork.device).slice(0, 7)} wrote two different commits with one number: its data folder was copied or rolled back. See \`tidelog forks\`.`,
      );
      for (const connection of this.#lines.all) connection.forked(event.space, event.fork.bytes);
    }
    if (event.type === 'repaired') {
      // Every position that they were told of is in a log that is no more.
      for (const connection of this.#lines.all) if (connection.shares(event.space)) connection.close();
    }
    if (event.type === 'future')
      this.#warnings.add(
        `future ${event.device}`,
        `${event.device.slice(0, 7)} writes with a clock more than 24 h ahead of this one. Set its clock.`,
      );
    if (event.type === 'failed')
      this.#warnings.add(`failed ${event.space.hex}`, `${event.space.name}: ${event.error.message}`);
    this.#emit(event);
  }

  #onClosed(connection: Connection, error: TidelogError | null): void {
    this.#emit({ type: 'disconnected', connection, error });
  }

  /** A listener's fault is the program's own, and must not lose those who wait here their answers. */
  #emit(event: PeerEvent): void {
    try {
      this.#options.onEvent?.(event);
    } catch (thrown) {
      this.#warnings.add('listener', `onEvent threw: ${asTidelogError(thrown).message}`);
    }
  }

  // ---- connections

  /** A connection that somebody opened to this peer. */
  accept(transport: Transport): Connection {
    return this.#lines.accept(transport);
  }

  /**
   * Connects, and keeps connected from then on. Throws what the first attempt ends with; `shutting-down` where another tab of this device took over
   * meanwhile. `url` is a node's page or its `/sync`.
   */
  async connect(url: string, options: { signal?: AbortSignal } = {}): Promise<Connection> {
    await this.#takeLead();
    const connection = await this.#lines.open(url, { kind: 'sync' }, options);
    this.#lines.keep(url);
    return connection;
  }

  /** Keeps connected; failures are tried again. */
  dial(url: string): void {
    syncUrl(url);
    this.#lines.keep(url);
  }

  undial(url: string): void {
    this.#lines.drop(url);
  }

  /** Dials every known device that may be reached. */
  dialKnown(): void {
    for (const { device, record } of this.#book.all()) {
      if (this.#spaces.isRevoked(device) || !this.#isKnown(device)) continue;
      for (const url of record.addresses) this.#lines.keep(url, device);
    }
  }

  /** The network came back, or the machine woke: what waits to be dialled is dialled now. */
  wake(): void {
    this.#lines.wake();
  }

  /** A connection on which it has greeted. */
  connectionTo(device: Uint8Array): Connection | null {
    return this.#lines.to(device);
  }

  connections(): readonly Connection[] {
    return [...this.#lines.all];
  }

  // ---- pairing

  /** A link that lets one device in. Throws `not-an-owner`, `bad-role`. */
  async invite(
    space: Space,
    options: { role: Role; lifeMs?: number; addresses: readonly string[] },
  ): Promise<Invite & { link: string }> {
    await this.#takeLead();
    return this.#pairing.invite(space, options);
  }

  invites(): Invite[] {
    return this.#pairing.invites();
  }

  async cancelInvite(id: string): Promise<void> {
    await this.#takeLead();
    return this.#pairing.cancelInvite(id);
  }

  /** Devices that ask to be let in. */
  pending(): PendingDevice[] {
    return this.#pairing.pending();
  }

  approve(id: string, space: Space, role: Role = 'writer'): Promise<void> {
    return this.#pairing.approve(id, space, role);
  }

  reject(id: string): Promise<void> {
    return this.#pairing.reject(id);
  }

  /** Joins by a link. Throws `bad-link`, the invite errors, `unreachable`, `wrong-device`. */
  async join(link: string, options: JoinOptions = {}): Promise<Joined> {
    await this.#takeLead();
    return this.#pairing.join(link, options);
  }

  /** Asks a node to be let in, and waits until a person there has decided. Throws `pairing-rejected`, `unreachable`. */
  async ask(url: string, options: JoinOptions = {}): Promise<Joined> {
    await this.#takeLead();
    return this.#pairing.ask(url, options);
  }

  // ---- devices

  #isKnown(device: Uint8Array): boolean {
    return this.#book.get(device).trusted || this.#spaces.isMember(device);
  }

  devices(space: Space): Promise<DeviceView[]> {
    return viewDevices(this.#statusContext, space);
  }

  /**
   * Trusts a device, and makes it a member where this device is an owner. Where it isn't, the other side must do that.
   * Returns whether it is a member now.
   */
  async addDevice(
    id: string,
    options: { space?: Space; name?: string; role?: Role; address?: string } = {},
  ): Promise<boolean> {
    const device = parseDeviceId(id);
    if (equal(device, this.device)) throw new TidelogError('self-connect', 'that is the ID of this device');
    const { name = '', role = 'writer', address } = options;
    if (!isRole(role)) throw new TidelogError('bad-role', JSON.stringify(role));
    if (address !== undefined) syncUrl(address);
    await this.#takeLead();
    const space = options.space ?? this.#spaces.all.find((candidate) => candidate.role === 'owner');
    if (space?.isRevoked(device)) throw new TidelogError('device-revoked');
    const isMember = space?.role === 'owner';
    if (isMember) await addMember(space, device, { name, role });
    await this.#book.update(device, { trusted: true, ...(name && { name }), ...(address && { address }) });
    if (address) this.dial(address);
    return isMember;
  }

  /** Makes a key an owner that no device runs with; see members.ts. Throws `not-an-owner`, `bad-device-id`, `device-revoked`. */
  async addRecoveryKey(space: Space, id: string, name: string): Promise<void> {
    await addRecoveryKey(space, parseDeviceId(id), name);
  }

  /** What another of this person's devices is called and where it is reached; makes it no member, and trusts it with nothing. */
  async noteDevice(id: string, { name, addresses }: { name: string; addresses: readonly string[] }): Promise<void> {
    const device = parseDeviceId(id);
    if (equal(device, this.device)) return;
    await this.#takeLead();
    for (const address of addresses.toReversed()) {
      syncUrl(address);
      await this.#book.update(device, { name, address });
    }
  }

  /** Devices that were met, and where they are reached. */
  knownDevices(): { id: string; name: string; addresses: readonly string[] }[] {
    return this.#book
      .all()
      .map(({ device, record: { name, addresses } }) => ({ id: formatDeviceId(device), name, addresses }));
  }

  /** Throws `not-an-owner`, `unknown-device`. */
  async renameDevice(space: Space, id: string, name: string): Promise<void> {
    await renameMember(space, parseDeviceId(id), name);
  }

  /** Throws `not-an-owner`, `unknown-device`, `bad-role`, `last-owner`. */
  async setRole(space: Space, id: string, role: Role): Promise<void> {
    await setMemberRole(space, parseDeviceId(id), role);
  }

  /** Final for that key. Throws `not-an-owner`, `unknown-device`, `last-owner`. */
  async revokeDevice(space: Space, id: string): Promise<void> {
    const device = parseDeviceId(id);
    await this.#takeLead();
    await revokeMember(space, device);
    await this.#book.update(device, { trusted: false });
  }

  // ---- status

  status(): { peers: PeerView[]; warnings: string[] } {
    return { peers: viewPeers(this.#statusContext), warnings: listWarnings(this.#statusContext) };
  }
}

/**
 * A peer: a device's key, its spaces, and its lines to other devices. It dials and, where something listens for it, accepts; on a connection
 * the two are alike. What it does is done in one file each; here they are put together:
 *
 *   spaces.ts    the copies that it holds      pairing.ts   who may come in, and coming in elsewhere
 *   lines.ts     its connections               members.ts   what owners do with devices
 *   status.ts    how things stand
 */
import { equal } from '../protocol/bytes.ts';
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
import { addMember, renameMember, revokeMember, setMemberRole } from './members.ts';
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
import type { Store } from './store.ts';
import type { Transport } from './transport.ts';

const AGENT = 'tidelog/0.1.0';
const TICK_MS = 1000;

export interface PeerOptions {
  readonly store: Store;
  readonly platform: Platform;
  /** The device's Ed25519 key. */
  readonly keys: KeyPair;
  readonly name: string;
  /** Hold only these subjects of spaces that are joined from now on. */
  readonly only?: Filter | null;
  readonly onEvent?: (event: PeerEvent) => void;
}

export class Peer {
  readonly device: Uint8Array;
  /** Device ID. */
  readonly id: string;
  readonly counters: Counters = newCounters();
  readonly #options: PeerOptions;
  readonly #book: AddressBook;
  readonly #spaces: Spaces;
  readonly #lines: Lines;
  readonly #pairing: Pairing;
  readonly #warnings = new Warnings();
  readonly #statusContext: StatusContext;
  #name: string;
  #cancelTick: (() => void) | null = null;

  private constructor(options: PeerOptions, book: AddressBook, invites: Invites) {
    const { platform, store, keys, name } = options;
    if (!isName(name)) throw new TidelogError('bad-argument', 'a name is at most 64 bytes of text');
    this.#options = options;
    this.device = keys.public;
    this.id = formatDeviceId(keys.public);
    this.#name = name;
    this.#book = book;
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
    await peer.#spaces.load(book.all().some(({ record }) => record.trusted));
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

  /** Takes nothing more, lets what was begun end, and leaves the store open. */
  async close(): Promise<void> {
    if (this.#lines.closed) return;
    this.#cancelTick?.();
    this.#lines.close();
    await this.#spaces.close();
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
    return this.#spaces.home(() => this.createSpace('home'));
  }

  createSpace(name: string): Promise<Space> {
    return this.#spaces.create(name, this.#name);
  }

  /** A space that a trusted device offers is taken; others' are not. */
  async #adoptOffered(device: Uint8Array, state: SpaceState): Promise<Space | null> {
    if (!this.#book.get(device).trusted || this.#spaces.isFull) return null;
    const space = await this.#spaces.join(state.space, '', this.#options.only ?? null, null);
    this.#emit({ type: 'adopted', space });
    return space;
  }

  // ---- events

  #onSpaceEvent(event: SpaceEvent): void {
    if (event.type === 'appended') {
      this.counters.commitsWritten += event.written;
      for (const connection of this.#lines.all) connection.advanced(event.space);
    }
    if (event.type === 'membership')
      for (const connection of this.#lines.all) connection.membershipChanged(event.space);
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
    if (connection.established && error?.code === 'fork')
      this.#warnings.add(`fork ${connection.deviceId}`, error.message);
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

  /** Connects, and keeps connected from then on. Throws what the first attempt ends with. `url` is a node's page or its `/sync`. */
  async connect(url: string, options: { signal?: AbortSignal } = {}): Promise<Connection> {
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
  invite(
    space: Space,
    options: { role: Role; lifeMs?: number; addresses: readonly string[] },
  ): Promise<Invite & { link: string }> {
    return this.#pairing.invite(space, options);
  }

  invites(): Invite[] {
    return this.#pairing.invites();
  }

  cancelInvite(id: string): Promise<void> {
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
  join(link: string, options: JoinOptions = {}): Promise<Joined> {
    return this.#pairing.join(link, options);
  }

  /** Asks a node to be let in, and waits until a person there has decided. Throws `pairing-rejected`, `unreachable`. */
  ask(url: string, options: JoinOptions = {}): Promise<Joined> {
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
    const space = options.space ?? this.#spaces.all.find((candidate) => candidate.role === 'owner');
    if (space?.isRevoked(device)) throw new TidelogError('device-revoked');
    const isMember = space?.role === 'owner';
    if (isMember) await addMember(space, device, { name, role });
    await this.#book.update(device, { trusted: true, ...(name && { name }), ...(address && { address }) });
    if (address) this.dial(address);
    return isMember;
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
    await revokeMember(space, device);
    await this.#book.update(device, { trusted: false });
  }

  // ---- status

  status(): { peers: PeerView[]; warnings: string[] } {
    return { peers: viewPeers(this.#statusContext), warnings: listWarnings(this.#statusContext) };
  }
}

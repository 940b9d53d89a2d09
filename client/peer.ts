/**
 * A peer: a device's key, its spaces, and its connections. It dials and, where something listens for it, accepts; on a connection the two
 * are alike. Members are changed in members.ts, which this class only calls.
 */
import type { Change } from '../protocol/body.ts';
import { equal, fromHex, toHex, utf8 } from '../protocol/bytes.ts';
import { spaceId } from '../protocol/commit.ts';
import {
  DEVICES_PREFIX,
  EPOCH_BYTES,
  HEARTBEAT_EVERY_MS,
  SPACE_SALT_BYTES,
  SPACE_SUBJECT,
  HELLO_SPACES_MAX,
} from '../protocol/constants.ts';
import type { KeyPair } from '../protocol/crypto.ts';
import { formatDeviceId, parseDeviceId } from '../protocol/device-id.ts';
import { asTidelogError, TidelogError } from '../protocol/errors.ts';
import { isRole, type Role } from '../protocol/membership.ts';
import type { Filter, Pair, Paired, SpaceState } from '../protocol/messages.ts';
import { decodePairLink, encodePairLink, pairProof, syncUrl, type PairInvite } from '../protocol/pair-link.ts';
import { isName } from '../protocol/value.ts';
import { AddressBook } from './address-book.ts';
import { Connection, type ConnectionHost, type Intent } from './connection.ts';
import { newCounters, type Counters } from './counters.ts';
import { Dialer } from './dialer.ts';
import { Invites, PendingDevices, type InviteRecord, type InviteState, type PendingDevice } from './invites.ts';
import { addMember, renameMember, revokeMember, setMemberRole } from './members.ts';
import type { Platform } from './platform.ts';
import { Space, type SpaceEvent } from './space.ts';
import type { Store } from './store.ts';
import { decodeSpace, encodeSpace } from './tables.ts';
import type { Transport } from './transport.ts';

const AGENT = 'tidelog/0.1.0';

export type PeerEvent =
  | SpaceEvent
  | { readonly type: 'connected'; readonly connection: Connection }
  | { readonly type: 'disconnected'; readonly connection: Connection; readonly error: TidelogError | null }
  | { readonly type: 'pending'; readonly pending: PendingDevice }
  | {
      readonly type: 'paired';
      readonly device: string;
      readonly name: string;
      readonly digits: string;
      readonly space: Space;
      readonly role: Role;
    }
  | { readonly type: 'adopted'; readonly space: Space };

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

export interface Invite {
  readonly id: string;
  /** Where it is still known: a restart keeps invites and not their links' addresses. */
  readonly link: string | null;
  readonly role: Role;
  /** Space, hex. */
  readonly space: string;
  readonly expiresMs: number;
  readonly state: InviteState;
  readonly usedBy: string | null;
}

export interface Joined {
  /** Device ID of who let us in. */
  readonly device: string;
  readonly space: Space;
  readonly role: Role;
  readonly digits: string;
  readonly connection: Connection;
  /** Resolves when all that the other device has is here; with `merge`, when what was here is in the joined space too. */
  readonly synced: Promise<void>;
}

export interface JoinOptions {
  readonly signal?: AbortSignal;
  readonly merge?: boolean;
  readonly onDigits?: (digits: string) => void;
  /** The other side must approve; only with `ask`. */
  readonly onPending?: () => void;
}

export interface DeviceView {
  /** Device ID. */
  readonly id: string;
  readonly name: string;
  /** null: revoked. */
  readonly role: Role | null;
  readonly revoked: boolean;
  readonly self: boolean;
  readonly connected: boolean;
  readonly address: string | null;
  /** ms since 1970; null for never */
  readonly lastSeenMs: number | null;
  /** Entries of ours that it has not acknowledged; null where unknown. */
  readonly behind: number | null;
  /** Entries of its log that are not here; null where unknown. */
  readonly ahead: number | null;
}

export interface PeerView {
  readonly id: string;
  readonly name: string;
  readonly address: string;
  readonly connected: boolean;
  readonly lastSeenMs: number | null;
  readonly behind: number | null;
  readonly ahead: number | null;
  readonly clockSkewMs: number | null;
  /** What the last attempt ended with. */
  readonly error: string | null;
}

const TICK_MS = 1000;
const HOME_KEY = utf8('home');
/** A clock that differs by more than this is worth a warning. */
const SKEW_WARN_MS = 60_000;
const WARNINGS_MAX = 20;
const SPACES_MAX = 10_000;

export class Peer {
  readonly device: Uint8Array;
  /** Device ID. */
  readonly id: string;
  readonly counters: Counters = newCounters();
  readonly #options: PeerOptions;
  readonly #platform: Platform;
  readonly #store: Store;
  readonly #spaces: Space[] = [];
  readonly #book: AddressBook;
  readonly #invites: Invites;
  readonly #links = new Map<string, string>();
  readonly #pending = new PendingDevices();
  readonly #connections = new Set<Connection>();
  readonly #dialer: Dialer;
  readonly #deviceByUrl = new Map<string, Uint8Array>();
  /** Device (hex) → settles when the connection that is being made to it has greeted, or failed. */
  readonly #greetings = new Map<string, Promise<void>>();
  readonly #warnings = new Map<string, string>();
  readonly #host: ConnectionHost;
  #home: string | null = null;
  #making: Promise<Space> | null = null;
  #adding: Promise<void> = Promise.resolve();
  #name: string;
  #cancelTick: (() => void) | null = null;
  #closed = false;

  private constructor(options: PeerOptions, book: AddressBook, invites: Invites) {
    const { platform, store, keys, name } = options;
    if (!isName(name)) throw new TidelogError('bad-argument', 'a name is at most 64 bytes of text');
    this.#options = options;
    this.#platform = platform;
    this.#store = store;
    this.device = keys.public;
    this.id = formatDeviceId(keys.public);
    this.#name = name;
    this.#book = book;
    this.#invites = invites;
    this.#dialer = new Dialer(platform, (url, signal) => this.#open(url, { kind: 'sync' }, { signal }));
    this.#host = this.#makeHost();
  }

  static async open(options: PeerOptions): Promise<Peer> {
    const { store, platform } = options;
    const nowMs = (): number => Math.floor(platform.nowUs() / 1000);
    const book = await AddressBook.open(store);
    const peer = new Peer(options, book, await Invites.open(platform.crypto, platform.random, store, nowMs));
    const records = (await store.scan('spaces', { gte: new Uint8Array([0]), limit: SPACES_MAX })).map(
      ([id, bytes]) => ({ id, number: decodeSpace(bytes).number }),
    );
    // A crash between a space and its first commit left one that nobody can write. One that was joined is empty too, but then somebody is trusted.
    const isJoining = book.all().some(({ record }) => record.trusted);
    for (const { id, number } of records.toSorted((a, b) => a.number - b.number)) {
      const space = await Space.open(peer.#spaceContext(), id, number);
      if (space.head > 0 || isJoining) peer.#spaces.push(space);
      else await store.write([{ table: 'spaces', key: id, value: null }]);
    }
    const home = await store.get('meta', HOME_KEY);
    peer.#home = home ? toHex(home) : null;
    peer.#tick();
    return peer;
  }

  #spaceContext(): Parameters<typeof Space.open>[0] {
    const { platform, store, keys } = this.#options;
    return { platform, store, keys, onEvent: (event) => this.#onSpaceEvent(event) };
  }

  #makeHost(): ConnectionHost {
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
      space: (id) => this.#spaces.find((space) => equal(space.id, id)) ?? null,
      sharedWith: (device) => this.#spaces.filter((space) => space.roleOf(device) !== null).slice(0, HELLO_SPACES_MAX),
      isKnown: (device) => this.#isKnown(device),
      isRevoked: (device) => this.#isRevoked(device),
      onEstablished: (connection) => this.#onEstablished(connection),
      adopt: (device, state) => this.#adoptOffered(device, state),
      onPairRequest: (connection, pair) => this.#onPairRequest(connection, pair),
      onClosed: (connection, error) => this.#onClosed(connection, error),
    };
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
    return this.#spaces;
  }

  /** By name, by hex id or its beginning (8 digits or more), or the default. Throws `unknown-space`. */
  space(nameOrId?: string): Space {
    if (nameOrId === undefined) {
      const home = this.#spaces.find(({ hex }) => hex === this.#home) ?? this.#spaces[0];
      if (!home) throw new TidelogError('unknown-space', 'there is none yet; the first write makes one');
      return home;
    }
    const byName = this.#spaces.filter(({ name }) => name === nameOrId);
    if (byName.length > 1)
      throw new TidelogError(
        'unknown-space',
        `${byName.length} spaces are called ${JSON.stringify(nameOrId)}; use the id`,
      );
    const byId = this.#spaces.filter(({ hex }) => nameOrId.length >= 8 && hex.startsWith(nameOrId.toLowerCase()));
    const found = byName[0] ?? (byId.length === 1 ? byId[0] : undefined);
    if (!found) throw new TidelogError('unknown-space', `there is no space ${JSON.stringify(nameOrId)} here`);
    return found;
  }

  /** The default space; made, and called "home", if there is none. */
  homeSpace(): Promise<Space> {
    if (this.#spaces.length > 0) return Promise.resolve(this.space());
    this.#making ??= this.createSpace('home').finally(() => {
      this.#making = null;
    });
    return this.#making;
  }

  async createSpace(name: string): Promise<Space> {
    if (!isName(name) || name === '')
      throw new TidelogError('bad-argument', 'the name of a space is 1 to 64 bytes of text');
    const { crypto, random } = this.#platform;
    const salt = random(SPACE_SALT_BYTES);
    return this.#addReplica(spaceId(crypto, this.device, salt), name, null, [
      { subject: SPACE_SUBJECT, ops: { set: { owner: this.device, salt, name } } },
      { subject: `${DEVICES_PREFIX}${this.id}`, ops: { set: { role: 'owner', name: this.#name } } },
    ]);
  }

  /** A copy of a space: empty, or one that we found. One after the other, because each takes the next number. */
  #addReplica(id: Uint8Array, name: string, filter: Filter | null, founding: readonly Change[] = []): Promise<Space> {
    const added = this.#adding.then(() => this.#addReplicaNow(id, name, filter, founding));
    this.#adding = added.then(
      () => {},
      () => {},
    );
    return added;
  }

  async #addReplicaNow(
    id: Uint8Array,
    name: string,
    filter: Filter | null,
    founding: readonly Change[],
  ): Promise<Space> {
    const existing = this.#spaces.find((space) => equal(space.id, id));
    if (existing) return existing;
    const numbers = (await this.#store.scan('spaces', { gte: new Uint8Array([0]), limit: SPACES_MAX })).map(
      ([, bytes]) => decodeSpace(bytes).number,
    );
    const number = Math.max(0, ...numbers) + 1;
    const record = {
      number,
      name,
      epoch: this.#platform.random(EPOCH_BYTES),
      head: 0,
      commits: 0,
      subjects: 0,
      conflicted: 0,
      blockBytes: 0,
      clockUs: 0,
      ownChain: null,
      filter,
      sweep: false,
      rebuild: false,
    };
    const isFirst = this.#spaces.length === 0;
    await this.#store.write([
      { table: 'spaces', key: id, value: encodeSpace(record) },
      ...(isFirst ? [{ table: 'meta' as const, key: HOME_KEY, value: id }] : []),
    ]);
    const space = await Space.open(this.#spaceContext(), id.slice(), number);
    if (founding.length > 0) {
      try {
        await space.commitReserved(founding).stored;
      } catch (thrown) {
        // Without its first commit nobody could ever write to it. Where this fails too, the next opening sees to it.
        await this.#store.write([{ table: 'spaces', key: id, value: null }]).catch(() => {});
        throw thrown;
      }
    }
    if (isFirst) this.#home = toHex(id);
    this.#spaces.push(space);
    return space;
  }

  async #makeHome(space: Space): Promise<void> {
    await this.#store.write([{ table: 'meta', key: HOME_KEY, value: space.id }]);
    this.#home = space.hex;
  }

  #onSpaceEvent(event: SpaceEvent): void {
    if (event.type === 'appended') {
      this.counters.commitsWritten += event.written;
      for (const connection of this.#connections) connection.advanced(event.space);
    }
    if (event.type === 'membership')
      for (const connection of this.#connections) connection.membershipChanged(event.space);
    if (event.type === 'future')
      this.#warn(
        `future ${event.device}`,
        `${event.device.slice(0, 7)} writes with a clock more than 24 h ahead of this one. Set its clock.`,
      );
    if (event.type === 'failed') this.#warn(`failed ${event.space.hex}`, `${event.space.name}: ${event.error.message}`);
    this.#emit(event);
  }

  /** A listener's fault is the program's own, and must not lose those who wait here their answers. */
  #emit(event: PeerEvent): void {
    try {
      this.#options.onEvent?.(event);
    } catch (thrown) {
      this.#warn('listener', `onEvent threw: ${asTidelogError(thrown).message}`);
    }
  }

  #warn(key: string, text: string): void {
    if (this.#warnings.size >= WARNINGS_MAX && !this.#warnings.has(key)) return;
    this.#warnings.set(key, text);
  }

  // ---- connections

  #isKnown(device: Uint8Array): boolean {
    return this.#book.get(device).trusted || this.#spaces.some((space) => space.roleOf(device) !== null);
  }

  /** Revoked where it was a member, and a member nowhere. */
  #isRevoked(device: Uint8Array): boolean {
    return (
      this.#spaces.some((space) => space.isRevoked(device)) &&
      !this.#spaces.some((space) => space.roleOf(device) !== null)
    );
  }

  /** A connection that somebody opened to this peer. */
  accept(transport: Transport): Connection {
    const connection = new Connection(this.#host, transport, { initiator: false, intent: { kind: 'sync' } });
    this.#connections.add(connection);
    this.counters.connectionsOpened++;
    connection.start();
    return connection;
  }

  /** Connects, and keeps connected from then on. Throws what the first attempt ends with. `url` is a node's page or its `/sync`. */
  async connect(url: string, options: { signal?: AbortSignal } = {}): Promise<Connection> {
    const connection = await this.#open(url, { kind: 'sync' }, options);
    this.#dialer.keep(url);
    return connection;
  }

  /** Keeps connected; failures are tried again. */
  dial(url: string): void {
    syncUrl(url);
    this.#dialer.keep(url);
  }

  undial(url: string): void {
    this.#dialer.drop(url);
  }

  /** Dials every known device that may be reached. */
  dialKnown(): void {
    for (const { device, record } of this.#book.all()) {
      if (this.#isRevoked(device) || !this.#isKnown(device)) continue;
      for (const url of record.addresses) {
        this.#deviceByUrl.set(url, device);
        this.#dialer.keep(url);
      }
    }
  }

  /** The network came back, or the machine woke: what waits to be dialled is dialled now. */
  wake(): void {
    this.#dialer.wake();
  }

  async #open(
    url: string,
    intent: Intent,
    options: { signal?: AbortSignal; expectedDevice?: Uint8Array },
  ): Promise<Connection> {
    if (this.#closed) throw new TidelogError('closed');
    const { signal } = options;
    signal?.throwIfAborted();
    const expectedDevice = options.expectedDevice;
    const known = this.#deviceByUrl.get(url);
    // Also one that is still pairing: another beside it would take its place.
    const existing = known && intent.kind === 'sync' ? this.#lineTo(known) : null;
    if (existing) return existing;
    const transport = await this.#platform.dial(syncUrl(url), signal);
    const faster = known && intent.kind === 'sync' ? await this.#byOtherAddress(known) : null;
    if (faster) {
      transport.close(1000, '');
      return faster;
    }
    const connection = new Connection(this.#host, transport, { initiator: true, intent, expectedDevice });
    this.#connections.add(connection);
    this.counters.connectionsOpened++;
    connection.start();
    if (intent.kind === 'pair') return connection;
    const greeted = this.#greetedOrOther(connection, url, signal);
    if (known) this.#noteGreeting(known, greeted);
    const opened = await greeted;
    await this.#book.update(connection.device, {
      address: url,
      name: connection.remote?.name ?? '',
      lastSeenMs: this.#wallMs(),
    });
    return opened;
  }

  /**
   * All addresses of a device are dialled at once, and the first that answers is used: a second connection would take its place in the middle
   * of its first batches, and they would come again.
   */
  async #byOtherAddress(device: Uint8Array): Promise<Connection | null> {
    const hex = toHex(device);
    for (let greeting = this.#greetings.get(hex); greeting; greeting = this.#greetings.get(hex)) await greeting;
    return this.connectionTo(device);
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
      if (!connection.established) throw thrown;
      const other = [...this.#connections].find((each) => each.established && equal(each.device, connection.device));
      if (!other || signal?.aborted) throw thrown;
      await other.greeted(signal);
      return other;
    } finally {
      if (connection.established) this.#deviceByUrl.set(url, connection.device);
    }
  }

  /** A connection on which it has greeted. */
  connectionTo(device: Uint8Array): Connection | null {
    const connection = this.#lineTo(device);
    return connection?.remote ? connection : null;
  }

  #lineTo(device: Uint8Array): Connection | null {
    for (const connection of this.#connections) {
      if (connection.established && !connection.closed && equal(connection.device, device)) return connection;
    }
    return null;
  }

  connections(): readonly Connection[] {
    return [...this.#connections];
  }

  /**
   * Two devices keep one connection. Of two in the same direction the newer stays: the older may be half-open. Of two in opposite
   * directions, that which the greater key opened: both sides decide alike.
   */
  #onEstablished(connection: Connection): void {
    for (const other of this.#connections) {
      if (other === connection || !other.established || other.closed || !equal(other.device, connection.device))
        continue;
      const keepsOther =
        other.initiator !== connection.initiator && other.initiator === toHex(this.device) > toHex(connection.device);
      // One that has said nothing for longer than a heartbeat may be half-open.
      if (keepsOther && this.#platform.nowMs() - other.lastHeardMs < HEARTBEAT_EVERY_MS) {
        connection.close();
        return;
      }
      other.close();
    }
    this.#emit({ type: 'connected', connection });
  }

  #onClosed(connection: Connection, error: TidelogError | null): void {
    this.#connections.delete(connection);
    if (connection.established) {
      const lastSeenMs = this.#wallMs();
      if (!this.#closed && this.#isKnown(connection.device)) {
        const name = connection.remote?.name || this.#book.get(connection.device).name;
        this.#book.update(connection.device, { lastSeenMs, name }).catch(() => {});
      }
      if (error?.code === 'fork') this.#warn(`fork ${connection.deviceId}`, error.message);
    }
    this.#dialer.ended(connection, error);
    this.#emit({ type: 'disconnected', connection, error });
  }

  /** A space that a trusted device offers is taken; others' are not. */
  async #adoptOffered(device: Uint8Array, state: SpaceState): Promise<Space | null> {
    if (!this.#book.get(device).trusted || this.#spaces.length >= SPACES_MAX) return null;
    const space = await this.#addReplica(state.space, '', this.#options.only ?? null);
    this.#emit({ type: 'adopted', space });
    return space;
  }

  #wallMs(): number {
    return Math.floor(this.#platform.nowUs() / 1000);
  }

  #tick(): void {
    this.#cancelTick = this.#platform.after(TICK_MS, () => {
      for (const connection of this.#connections) connection.tick();
      this.#tick();
    });
  }

  // ---- pairing

  /** A link that lets one device in. Throws `not-an-owner`, `bad-role`. */
  async invite(
    space: Space,
    options: { role: Role; lifeMs?: number; addresses: readonly string[] },
  ): Promise<Invite & { link: string }> {
    if (!isRole(options.role)) throw new TidelogError('bad-role', JSON.stringify(options.role));
    if (space.role !== 'owner')
      throw new TidelogError('not-an-owner', `the role of this device is ${space.role ?? 'none'}`);
    const record = await this.#invites.create(space.hex, options.role, options.lifeMs);
    const link = encodePairLink(this.#platform.crypto, {
      device: this.device,
      addresses: options.addresses,
      space: space.id,
      spaceName: space.name,
      role: record.role,
      id: fromHex(record.id)!,
      secret: record.secret,
      expiresMs: record.expiresMs,
    });
    this.#links.set(record.id, link);
    return { ...this.#viewInvite(record), link };
  }

  invites(): Invite[] {
    return this.#invites.list().map((record) => this.#viewInvite(record));
  }

  async cancelInvite(id: string): Promise<void> {
    await this.#invites.cancel(id);
  }

  #viewInvite(record: InviteRecord): Invite {
    const { id, role, space, expiresMs, usedBy } = record;
    const state = this.#invites.stateOf(record);
    return { id, link: state === 'open' ? (this.#links.get(id) ?? null) : null, role, space, expiresMs, state, usedBy };
  }

  async #onPairRequest(connection: Connection, pair: Pair): Promise<void> {
    const { deviceId, device, digits, address } = connection;
    if (pair.invite === null) {
      if (this.#isKnown(device)) {
        // Approved while it was away.
        const space = this.#spaces.find((shared) => shared.roleOf(device) !== null);
        if (space)
          return connection.answerPaired({ space: space.id, spaceName: space.name, role: space.roleOf(device)! });
      }
      const pending: PendingDevice = {
        id: deviceId,
        device: device.slice(),
        name: pair.name,
        digits,
        address,
        sinceMs: this.#wallMs(),
      };
      this.#pending.add(pending);
      connection.answerPending();
      this.#emit({ type: 'pending', pending });
      return;
    }
    try {
      const { space: hex, role } = await this.#invites.redeem(
        pair.invite.id,
        pair.invite.proof,
        connection.handshakeHash,
        device,
        deviceId,
      );
      await this.#letIn(this.space(hex), device, pair.name, role);
      const space = this.space(hex);
      connection.answerPaired({ space: space.id, spaceName: space.name, role });
      this.#emit({ type: 'paired', device: deviceId, name: pair.name, digits, space, role });
    } catch (thrown) {
      if (!(thrown instanceof TidelogError)) throw thrown;
      connection.refuse(thrown);
    }
  }

  async #letIn(space: Space, device: Uint8Array, name: string, role: Role): Promise<void> {
    await addMember(space, device, { name, role });
    await this.#book.update(device, { trusted: true, name });
  }

  /** Devices that ask to be let in. */
  pending(): PendingDevice[] {
    return this.#pending.list();
  }

  async approve(id: string, space: Space, role: Role = 'writer'): Promise<void> {
    if (space.role !== 'owner') throw new TidelogError('not-an-owner');
    const { device, name, digits, id: deviceId } = this.#pending.take(formatDeviceId(parseDeviceId(id)));
    await this.#letIn(space, device, name, role);
    for (const connection of this.#connections) {
      if (connection.established && equal(connection.device, device)) {
        connection.answerPaired({ space: space.id, spaceName: space.name, role });
      }
    }
    this.#emit({ type: 'paired', device: deviceId, name, digits, space, role });
  }

  async reject(id: string): Promise<void> {
    const { device } = this.#pending.take(formatDeviceId(parseDeviceId(id)));
    for (const connection of this.#connections) {
      if (connection.established && equal(connection.device, device))
        connection.refuse(new TidelogError('pairing-rejected'));
    }
  }

  /** Joins by a link. Throws `bad-link`, the invite errors, `unreachable`, `wrong-device`. */
  async join(link: string, options: JoinOptions = {}): Promise<Joined> {
    const { crypto } = this.#platform;
    const invite = decodePairLink(crypto, link);
    if (equal(invite.device, this.device)) throw new TidelogError('self-connect', 'the link was made by this device');
    if (this.#wallMs() > invite.expiresMs + SKEW_WARN_MS) throw new TidelogError('invite-expired');
    const prove = (handshakeHash: Uint8Array): { id: Uint8Array; proof: Uint8Array } => ({
      id: invite.id,
      proof: pairProof(crypto, invite.secret, handshakeHash, this.device),
    });
    let unreachable: TidelogError | null = null;
    for (const address of invite.addresses) {
      try {
        return await this.#pairAt(address, prove, invite, options);
      } catch (thrown) {
        // Another device at this address, or none: the next address may be the right one.
        if (
          !(thrown instanceof TidelogError) ||
          !['unreachable', 'wrong-device', 'bad-handshake'].includes(thrown.code)
        )
          throw thrown;
        unreachable ??= thrown;
      }
    }
    throw unreachable ?? new TidelogError('bad-link', 'it names no address');
  }

  /** Asks a node to be let in, and waits until a person there has decided. Throws `pairing-rejected`, `unreachable`. */
  ask(url: string, options: JoinOptions = {}): Promise<Joined> {
    return this.#pairAt(url, null, null, options);
  }

  async #pairAt(
    address: string,
    invite: Extract<Intent, { kind: 'pair' }>['invite'],
    link: PairInvite | null,
    options: JoinOptions,
  ): Promise<Joined> {
    const { signal, merge = false, onDigits, onPending } = options;
    const answer = Promise.withResolvers<{ paired: Paired; space: Space }>();
    let connection: Connection | null = null;
    const intent: Intent = {
      kind: 'pair',
      invite,
      onDigits: (digits) => onDigits?.(digits),
      onPending: () => {
        onPending?.();
        // Approved later, while we are away: the spaces that it then offers are wanted.
        if (connection) this.#book.update(connection.device, { trusted: true, address }).catch(() => {});
      },
      onAnswer: async (paired) => {
        if (paired instanceof TidelogError) return answer.reject(paired);
        if (link && !equal(paired.space, link.space))
          throw new TidelogError('wrong-space', 'it let us into another space than the link says');
        const device = connection!.device;
        await this.#book.update(device, { trusted: true, address, name: this.#book.get(device).name });
        for (const other of link?.addresses.toReversed() ?? []) await this.#book.update(device, { address: other });
        await this.#book.update(device, { address });
        answer.resolve({
          paired,
          space: await this.#addReplica(paired.space, paired.spaceName, this.#options.only ?? null),
        });
      },
    };
    const abort = (): void => connection?.close(new TidelogError('aborted'));
    connection = await this.#open(address, intent, {
      ...(signal && { signal }),
      ...(link && { expectedDevice: link.device }),
    });
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    try {
      const { paired, space } = await answer.promise;
      await connection.greeted(signal);
      this.#deviceByUrl.set(address, connection.device);
      const before = this.#spaces.filter((other) => other !== space);
      const synced = this.#afterJoin(connection, space, merge ? before : []);
      synced.catch(() => {});
      this.#dialer.keep(address);
      return { device: connection.deviceId, space, role: paired.role, digits: connection.digits, connection, synced };
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  async #afterJoin(connection: Connection, space: Space, merged: readonly Space[]): Promise<void> {
    await connection.caughtUp({ space });
    if (merged.length === 0) return;
    for (const other of merged) await space.mergeFrom(other);
    await this.#makeHome(space);
  }

  // ---- devices

  async devices(space: Space): Promise<DeviceView[]> {
    const views: DeviceView[] = [];
    for (const { device, role } of space.members()) views.push(await this.#viewDevice(space, device, role));
    for (const device of space.revokedDevices()) views.push(await this.#viewDevice(space, device, null));
    return views.toSorted(
      (a, b) => Number(b.self) - Number(a.self) || a.name.localeCompare(b.name) || a.id.localeCompare(b.id),
    );
  }

  async #viewDevice(space: Space, device: Uint8Array, role: Role | null): Promise<DeviceView> {
    const connection = this.connectionTo(device);
    const record = this.#book.get(device);
    const self = equal(device, this.device);
    return {
      id: formatDeviceId(device),
      name: (await space.nameOf(device)) || record.name,
      role,
      revoked: role === null,
      self,
      connected: connection !== null,
      address: connection?.address ?? record.addresses[0] ?? null,
      lastSeenMs: self || connection ? this.#wallMs() : record.lastSeenMs || null,
      behind: self ? 0 : this.#behind(space, device, connection),
      ahead: self ? 0 : this.#ahead(space, connection),
    };
  }

  #behind(space: Space, device: Uint8Array, connection: Connection | null): number | null {
    const theirs = connection?.remoteHeads.get(space.hex);
    if (theirs && equal(theirs.digest, space.digest())) return 0;
    const acked = space.ackedBy(device);
    return acked === null ? null : Math.max(0, space.head - acked);
  }

  #ahead(space: Space, connection: Connection | null): number | null {
    const theirs = connection?.remoteHeads.get(space.hex);
    if (!theirs || !connection) return null;
    if (equal(theirs.digest, space.digest())) return 0;
    return Math.max(0, theirs.head - connection.cursorIn(space));
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
    const space = options.space ?? this.#spaces.find((candidate) => candidate.role === 'owner');
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
    const peers: PeerView[] = [];
    const seen = new Set<Connection>();
    const space = this.#spaces.length > 0 ? this.space() : null;
    for (const connection of this.#connections) {
      if (!connection.established || !this.#isKnown(connection.device)) continue;
      seen.add(connection);
      peers.push(this.#viewPeer(connection, space));
    }
    for (const { url, error, connection } of this.#dialer.list()) {
      if (connection && seen.has(connection)) continue;
      const device = this.#deviceByUrl.get(url);
      if (device && this.connectionTo(device)) continue;
      const record = device ? this.#book.get(device) : null;
      peers.push({
        id: device ? formatDeviceId(device) : '',
        name: record?.name ?? '',
        address: url,
        connected: false,
        lastSeenMs: record?.lastSeenMs || null,
        behind: device && space ? this.#behind(space, device, null) : null,
        ahead: null,
        clockSkewMs: null,
        error: error?.message ?? null,
      });
    }
    return { peers, warnings: this.#allWarnings() };
  }

  #viewPeer(connection: Connection, space: Space | null): PeerView {
    return {
      id: connection.deviceId,
      name: connection.remote?.name ?? this.#book.get(connection.device).name,
      address: connection.address,
      connected: true,
      lastSeenMs: this.#wallMs(),
      behind: space && this.#behind(space, connection.device, connection),
      ahead: space && this.#ahead(space, connection),
      clockSkewMs: connection.clockSkewMs,
      error: null,
    };
  }

  #allWarnings(): string[] {
    const warnings = [...this.#warnings.values()];
    for (const space of this.#spaces) {
      const { holes } = space.stats();
      if (holes > 0)
        warnings.push(
          `${space.name}: ${holes} commits came erased, and no revocation explains it. A device withholds their content.`,
        );
      if (space.isRevoked(this.device)) warnings.push(`${space.name}: this device has been revoked.`);
    }
    for (const connection of this.#connections) {
      const skew = connection.clockSkewMs;
      if (skew !== null && Math.abs(skew) > SKEW_WARN_MS) {
        warnings.push(
          `The clock of ${connection.remote?.name || connection.deviceId.slice(0, 7)} differs from this one by ${Math.round(skew / 1000)} s.`,
        );
      }
    }
    return warnings;
  }

  /** Takes nothing more, lets what was begun end, and leaves the store open. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTick?.();
    this.#dialer.close();
    for (const connection of this.#connections) connection.close(new TidelogError('shutting-down'));
    for (const space of this.#spaces) await space.close();
  }
}

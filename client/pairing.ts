/**
 * How devices come to know each other. Here: invites that are made, and devices that ask, until a person decides. There: joining by a link,
 * or asking. The messages are connection.ts's, what an invite is invites.ts's, the member that comes of it members.ts's.
 */
import { equal, fromHex } from '../protocol/bytes.ts';
import { formatDeviceId, parseDeviceId } from '../protocol/device-id.ts';
import { TidelogError } from '../protocol/errors.ts';
import { isRole, type Role } from '../protocol/membership.ts';
import type { Filter, Pair, Paired } from '../protocol/messages.ts';
import { decodePairLink, encodePairLink, pairProof, type PairInvite } from '../protocol/pair-link.ts';
import type { AddressBook } from './address-book.ts';
import type { Connection, Intent } from './connection.ts';
import type { PeerEvent } from './events.ts';
import { PendingDevices, type InviteRecord, type Invites, type InviteState, type PendingDevice } from './invites.ts';
import type { Lines } from './lines.ts';
import { addMember } from './members.ts';
import { wallMs, type Platform } from './platform.ts';
import type { Space } from './space.ts';
import type { Spaces } from './spaces.ts';

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

/** Our clock may be ahead. Whether an invite has expired is the inviter's to say; only one that surely has is not tried. */
const EXPIRED_FOR_MS = 60_000;

export interface PairingContext {
  readonly platform: Platform;
  /** This device. */
  readonly device: Uint8Array;
  readonly book: AddressBook;
  readonly spaces: Spaces;
  readonly lines: Lines;
  readonly invites: Invites;
  /** What of a space is held that is joined. */
  readonly only: Filter | null;
  readonly isKnown: (device: Uint8Array) => boolean;
  readonly onEvent: (event: PeerEvent) => void;
}

type Grant = Omit<Paired, 'type'>;

/** What a device is told that was let in. */
function grantOf(space: Space, role: Role): Grant {
  return { space: space.id, spaceName: space.name, role };
}

export class Pairing {
  readonly #context: PairingContext;
  readonly #links = new Map<string, string>();
  readonly #pending = new PendingDevices();

  constructor(context: PairingContext) {
    this.#context = context;
  }

  // ---- invites

  async invite(
    space: Space,
    options: { role: Role; lifeMs?: number; addresses: readonly string[] },
  ): Promise<Invite & { link: string }> {
    const { platform, device, invites } = this.#context;
    if (!isRole(options.role)) throw new TidelogError('bad-role', JSON.stringify(options.role));
    if (space.role !== 'owner')
      throw new TidelogError('not-an-owner', `the role of this device is ${space.role ?? 'none'}`);
    const record = await invites.create(space.hex, options.role, options.lifeMs);
    const link = encodePairLink(platform.crypto, {
      device,
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
    return this.#context.invites.list().map((record) => this.#viewInvite(record));
  }

  async cancelInvite(id: string): Promise<void> {
    await this.#context.invites.cancel(id);
  }

  #viewInvite(record: InviteRecord): Invite {
    const { id, role, space, expiresMs, usedBy } = record;
    const state = this.#context.invites.stateOf(record);
    return { id, link: state === 'open' ? (this.#links.get(id) ?? null) : null, role, space, expiresMs, state, usedBy };
  }

  // ---- letting in

  async onRequest(connection: Connection, pair: Pair): Promise<void> {
    const { platform, spaces, invites, isKnown, onEvent } = this.#context;
    const { deviceId, device, digits, address } = connection;
    if (pair.invite === null) {
      const grant = isKnown(device) ? await this.#storedGrant(device) : null;
      if (grant) return connection.answerPaired(grant);
      const pending: PendingDevice = {
        id: deviceId,
        device: device.slice(),
        name: pair.name,
        digits,
        address,
        sinceMs: wallMs(platform),
      };
      const isNews = this.#addPending(pending);
      connection.answerPending();
      // A stranger may ask as often as it likes, and each event is a line in a log.
      if (isNews) onEvent({ type: 'pending', pending });
      return;
    }
    try {
      const { invite, isAgain } = await invites.redeem(
        pair.invite.id,
        pair.invite.proof,
        connection.handshakeHash,
        device,
        deviceId,
      );
      const space = spaces.find(invite.space);
      if (isAgain) await space.settled();
      const before = isAgain ? space.roleOf(device) : null;
      const role = before ?? invite.role;
      if (before === null) await this.#letIn(space, device, pair.name, role);
      connection.answerPaired(grantOf(space, role));
      if (before === null) onEvent({ type: 'paired', device: deviceId, name: pair.name, digits, space, role });
    } catch (thrown) {
      if (!(thrown instanceof TidelogError)) throw thrown;
      connection.refuse(thrown);
    }
  }

  #addPending(pending: PendingDevice): boolean {
    const { isNews, dropped } = this.#pending.add(pending);
    // Who isn't on the list any more waits for nothing, and would hold its connection for ever.
    for (const other of dropped ? [...this.#linesTo(dropped.device)] : [])
      other.refuse(new TidelogError('too-many', 'devices that ask to be let in'));
    return isNews;
  }

  /** Where a device was let in while it was away. Whoever is told so is a member on the disk, and not only about to be. */
  async #storedGrant(device: Uint8Array): Promise<Grant | null> {
    for (const space of this.#context.spaces.of(device)) {
      await space.settled();
      const role = space.roleOf(device);
      if (role !== null) return grantOf(space, role);
    }
    return null;
  }

  async #letIn(space: Space, device: Uint8Array, name: string, role: Role): Promise<void> {
    await addMember(space, device, { name, role });
    await this.#context.book.update(device, { trusted: true, name });
  }

  /**
   * Members of a space are others, on the disk. Who waits for a person's approval and is one of them was let in otherwise: by its ID, by another owner, by
   * a link on another line. Nobody need approve that any more.
   */
  membershipChanged(space: Space): void {
    for (const { id, device } of this.#pending.list()) {
      const role = space.roleOf(device);
      if (role === null) continue;
      this.#pending.take(id);
      this.#answerAll(device, grantOf(space, role));
    }
  }

  pending(): PendingDevice[] {
    return this.#pending.list();
  }

  async approve(id: string, space: Space, role: Role): Promise<void> {
    if (space.role !== 'owner') throw new TidelogError('not-an-owner');
    const pending = this.#pending.take(formatDeviceId(parseDeviceId(id)));
    const { device, name, digits, id: deviceId } = pending;
    try {
      await this.#letIn(space, device, name, role);
    } catch (thrown) {
      // It still waits, and can be approved again: by what it shows now, where it has asked anew.
      if (!this.#pending.has(deviceId)) this.#addPending(pending);
      throw thrown;
    }
    this.#answerAll(device, grantOf(space, role));
    this.#context.onEvent({ type: 'paired', device: deviceId, name, digits, space, role });
  }

  #answerAll(device: Uint8Array, grant: Grant): void {
    for (const connection of this.#linesTo(device)) connection.answerPaired(grant);
  }

  async reject(id: string): Promise<void> {
    const { device } = this.#pending.take(formatDeviceId(parseDeviceId(id)));
    for (const connection of this.#linesTo(device)) connection.refuse(new TidelogError('pairing-rejected'));
  }

  *#linesTo(device: Uint8Array): Generator<Connection> {
    for (const connection of this.#context.lines.all) {
      if (connection.established && equal(connection.device, device)) yield connection;
    }
  }

  // ---- being let in

  async join(link: string, options: JoinOptions): Promise<Joined> {
    const { platform, device } = this.#context;
    const { crypto } = platform;
    const invite = decodePairLink(crypto, link);
    if (equal(invite.device, device)) throw new TidelogError('self-connect', 'the link was made by this device');
    if (wallMs(platform) > invite.expiresMs + EXPIRED_FOR_MS) throw new TidelogError('invite-expired');
    const prove = (handshakeHash: Uint8Array): { id: Uint8Array; proof: Uint8Array } => ({
      id: invite.id,
      proof: pairProof(crypto, invite.secret, handshakeHash, device),
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

  ask(url: string, options: JoinOptions): Promise<Joined> {
    return this.#pairAt(url, null, null, options);
  }

  async #pairAt(
    address: string,
    invite: Extract<Intent, { kind: 'pair' }>['invite'],
    link: PairInvite | null,
    options: JoinOptions,
  ): Promise<Joined> {
    const { book, spaces, lines, only, platform } = this.#context;
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
        if (connection) book.update(connection.device, { trusted: true, address }).catch(() => {});
      },
      onAnswer: async (paired) => {
        if (paired instanceof TidelogError) return answer.reject(paired);
        if (link && !equal(paired.space, link.space))
          throw new TidelogError('wrong-space', 'it let us into another space than the link says');
        const device = connection!.device;
        await book.update(device, {
          trusted: true,
          address,
          name: book.get(device).name,
          lastSeenMs: wallMs(platform),
        });
        for (const other of link?.addresses.toReversed() ?? []) await book.update(device, { address: other });
        await book.update(device, { address });
        answer.resolve({ paired, space: await spaces.join(paired.space, paired.spaceName, only, paired.role) });
      },
    };
    const abort = (): void => connection?.close(new TidelogError('aborted'));
    connection = await lines.open(address, intent, {
      ...(signal && { signal }),
      ...(link && { expectedDevices: [link.device] }),
    });
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    try {
      const { paired, space } = await answer.promise;
      await connection.greeted(signal);
      const before = spaces.all.filter((other) => other !== space);
      const synced = this.#afterJoin(connection, space, merge ? before : []);
      synced.catch(() => {});
      lines.keep(address, connection.device);
      return { device: connection.deviceId, space, role: paired.role, digits: connection.digits, connection, synced };
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  async #afterJoin(connection: Connection, space: Space, merged: readonly Space[]): Promise<void> {
    await connection.caughtUp({ space });
    if (merged.length === 0) return;
    for (const other of merged) await space.mergeFrom(other);
    await this.#context.spaces.makeHome(space);
  }
}

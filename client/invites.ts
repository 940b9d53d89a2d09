/**
 * Invites to pair, and devices that wait for a person's approval. An invite works once, has an expiry, and is dead after three wrong secrets. It is kept in
 * the store, so that a link made before a node's start, or before its restart, still works.
 */
import { equalConstantTime, toHex, utf8 } from '../protocol/bytes.ts';
import { INVITE_ID_BYTES, INVITE_LIFE_MS, INVITE_SECRET_BYTES, INVITE_WRONG_MAX } from '../protocol/constants.ts';
import type { Crypto, RandomBytes } from '../protocol/crypto.ts';
import { TidelogError } from '../protocol/errors.ts';
import type { Role } from '../protocol/membership.ts';
import { decodeTrusted, encode } from '../protocol/msgpack.ts';
import { pairProof } from '../protocol/pair-link.ts';
import { InTurn } from './in-turn.ts';
import { held, type Store } from './store.ts';

export type InviteState = 'open' | 'used' | 'expired' | 'dead' | 'cancelled';

export interface InviteRecord {
  /** hex */
  readonly id: string;
  readonly secret: Uint8Array;
  /** Space, hex. */
  readonly space: string;
  readonly role: Role;
  /** ms since 1970 */
  readonly expiresMs: number;
  readonly wrong: number;
  readonly state: Exclude<InviteState, 'expired'>;
  /** Device ID of who used it. */
  readonly usedBy: string | null;
}

/** Past its expiry an invite is remembered for a day, so that whoever comes late is told why. */
const REMEMBERED_MS = 24 * 3600_000;
const INVITES_MAX = 1000;
const KEY_PREFIX = utf8('invite/');

function inviteKey(id: string): Uint8Array {
  return utf8(`invite/${id}`);
}

export interface Redeemed {
  readonly invite: InviteRecord;
  readonly isAgain: boolean;
}

export class Invites {
  readonly #crypto: Crypto;
  readonly #random: RandomBytes;
  readonly #store: Store;
  readonly #nowMs: () => number;
  /** As they are on the disk. */
  readonly #byId = new Map<string, InviteRecord>();
  readonly #changing = new InTurn();

  private constructor(crypto: Crypto, random: RandomBytes, store: Store, nowMs: () => number) {
    this.#crypto = crypto;
    this.#random = random;
    this.#store = store;
    this.#nowMs = nowMs;
  }

  static async open(crypto: Crypto, random: RandomBytes, store: Store, nowMs: () => number): Promise<Invites> {
    const invites = new Invites(crypto, random, store, nowMs);
    await invites.load();
    return invites;
  }

  async load(): Promise<void> {
    const range = { gte: KEY_PREFIX, lt: utf8('invite0'), limit: INVITES_MAX };
    const found = (await this.#store.scan('meta', range)).map(([, bytes]) => decodeInvite(bytes));
    this.#byId.clear();
    for (const invite of found) this.#byId.set(invite.id, invite);
  }

  async create(space: string, role: Role, lifeMs = INVITE_LIFE_MS): Promise<InviteRecord> {
    if (!Number.isSafeInteger(lifeMs) || lifeMs < 1000 || lifeMs > 30 * 24 * 3600_000) {
      throw new TidelogError('bad-argument', 'an invite lives between one second and 30 days');
    }
    // What is in memory is read anew when the lead comes back to a tab, and would be without one that is on its way to the disk.
    return this.#inTurn(async () => {
      await this.#forget();
      if (this.#byId.size >= INVITES_MAX) throw new TidelogError('too-many', 'invites');
      const invite: InviteRecord = {
        id: toHex(this.#random(INVITE_ID_BYTES)),
        secret: this.#random(INVITE_SECRET_BYTES),
        space,
        role,
        expiresMs: this.#nowMs() + lifeMs,
        wrong: 0,
        state: 'open',
        usedBy: null,
      };
      await this.#save(invite);
      return invite;
    });
  }

  list(): InviteRecord[] {
    return [...this.#byId.values()];
  }

  stateOf(invite: InviteRecord): InviteState {
    return invite.state === 'open' && this.#nowMs() > invite.expiresMs ? 'expired' : invite.state;
  }

  cancel(id: string): Promise<void> {
    return this.#inTurn(async () => {
      const invite = this.#byId.get(id);
      if (!invite) throw new TidelogError('invite-unknown');
      await this.#save({ ...invite, state: 'cancelled' });
    });
  }

  /**
   * Takes a proof. The invite is used up on disk before this resolves, so that it can't work for two devices; the one that has used it may ask again.
   * Throws `invite-unknown`, `invite-expired`, `invite-used`, `invite-dead`, `invite-wrong-secret`.
   */
  redeem(
    id: Uint8Array,
    proof: Uint8Array,
    handshakeHash: Uint8Array,
    joiner: Uint8Array,
    joinerId: string,
  ): Promise<Redeemed> {
    return this.#inTurn(async () => {
      const invite = this.#byId.get(toHex(id));
      if (!invite || invite.state === 'cancelled') throw new TidelogError('invite-unknown');
      const isRight = equalConstantTime(proof, pairProof(this.#crypto, invite.secret, handshakeHash, joiner));
      if (invite.state === 'used') {
        // The answer may have been lost on its way, or this process may have died before it had let the device in.
        if (isRight && invite.usedBy === joinerId) return { invite, isAgain: true };
        throw new TidelogError('invite-used');
      }
      if (invite.state === 'dead') throw new TidelogError('invite-dead');
      if (this.stateOf(invite) === 'expired') throw new TidelogError('invite-expired');
      if (!isRight) {
        const wrong = invite.wrong + 1;
        await this.#save({ ...invite, wrong, state: wrong >= INVITE_WRONG_MAX ? 'dead' : 'open' });
        throw new TidelogError('invite-wrong-secret');
      }
      const used: InviteRecord = { ...invite, state: 'used', usedBy: joinerId };
      await this.#save(used);
      return { invite: used, isAgain: false };
    });
  }

  /** One after the other: each rests on what those before it have made of an invite, and on the disk that may be nothing. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.#changing.run(() => held(this.#store, work));
  }

  async #save(invite: InviteRecord): Promise<void> {
    await this.#store.write([{ table: 'meta', key: inviteKey(invite.id), value: encode(invite) }]);
    this.#byId.set(invite.id, invite);
  }

  async #forget(): Promise<void> {
    const old = [...this.#byId.values()].filter(({ expiresMs }) => this.#nowMs() > expiresMs + REMEMBERED_MS);
    if (old.length === 0) return;
    await this.#store.write(old.map(({ id }) => ({ table: 'meta', key: inviteKey(id), value: null })));
    for (const { id } of old) this.#byId.delete(id);
  }
}

function decodeInvite(bytes: Uint8Array): InviteRecord {
  try {
    const invite = decodeTrusted(bytes) as InviteRecord;
    if (typeof invite.id === 'string' && invite.secret instanceof Uint8Array && typeof invite.expiresMs === 'number')
      return invite;
  } catch {
    // Said below, as of one that can be read and is something else.
  }
  throw new TidelogError('data-damaged', 'an invite is not what was written');
}

/** A device that asked to be let in without an invite. */
export interface PendingDevice {
  /** Device ID. */
  readonly id: string;
  readonly device: Uint8Array;
  readonly name: string;
  /** Six digits; the same stand on its screen. */
  readonly digits: string;
  readonly address: string;
  /** ms since 1970 */
  readonly sinceMs: number;
}

/** Strangers may fill this list and no more than this list. */
const PENDING_MAX = 50;

export class PendingDevices {
  readonly #byId = new Map<string, PendingDevice>();

  /** `isNews`: the same device by another line shows other digits. `dropped`: who had to make room. */
  add(pending: PendingDevice): { readonly isNews: boolean; readonly dropped: PendingDevice | null } {
    const before = this.#byId.get(pending.id);
    this.#byId.delete(pending.id);
    // Whoever asks now has a person waiting beside it; the one that asked first has waited longest in vain.
    const [oldest] = this.#byId.values();
    const dropped = this.#byId.size >= PENDING_MAX && oldest !== undefined ? oldest : null;
    if (dropped) this.#byId.delete(dropped.id);
    this.#byId.set(pending.id, pending);
    return { isNews: before?.digits !== pending.digits, dropped };
  }

  list(): PendingDevice[] {
    return [...this.#byId.values()];
  }

  has(id: string): boolean {
    return this.#byId.has(id);
  }

  /** Throws `unknown-device`. */
  take(id: string): PendingDevice {
    const pending = this.#byId.get(id);
    if (!pending)
      throw new TidelogError(
        'unknown-device',
        'it is not among those that wait for approval; `tidelog pair pending` lists them',
      );
    this.#byId.delete(id);
    return pending;
  }
}

/**
 * A recovery key at work: a peer of one errand. It holds the key of an owner that no device runs with, connects to one node, takes the members of a
 * space into memory, makes a device an owner, and is gone when the node has that on its disk. What it writes goes in by the gate that every peer's
 * commits go through, so it needs no word of the node; and since its chain begins anew each time, nothing is ever signed twice.
 *
 *   const line = await RecoveryLine.open({ platform, keys, url });
 *   await line.admit(device, 'new laptop');
 *   await line.close();
 */
import { RESERVED_PREFIX } from '../protocol/constants.ts';
import type { KeyPair } from '../protocol/crypto.ts';
import { asTidelogError, TidelogError } from '../protocol/errors.ts';
import type { Connection } from './connection.ts';
import { addMember } from './members.ts';
import { MemoryStore } from './memory-store.ts';
import { Peer } from './peer.ts';
import type { Platform } from './platform.ts';
import { Signal } from './signal.ts';
import type { Space } from './space.ts';

export interface RecoveryOptions {
  readonly platform: Platform;
  /** Of the recovery key. */
  readonly keys: KeyPair;
  /** Of a node that has the space. */
  readonly url: string;
  /** By name or ID; the first that the key is a member of, where it is left out. */
  readonly space?: string | undefined;
  readonly signal?: AbortSignal;
}

export class RecoveryLine {
  readonly space: Space;
  readonly #peer: Peer;
  readonly #connection: Connection;
  readonly #signal: AbortSignal;

  private constructor(peer: Peer, connection: Connection, space: Space, signal: AbortSignal) {
    this.#peer = peer;
    this.#connection = connection;
    this.space = space;
    this.#signal = signal;
  }

  /** Throws `recovery-refused` where the key is no owner there, `unreachable`, `unknown-space`, and what the connection ends with. */
  static async open({ platform, keys, url, space: name, signal }: RecoveryOptions): Promise<RecoveryLine> {
    const ended = new AbortController();
    const adopted = new Signal();
    const peer = await Peer.open({
      store: new MemoryStore(),
      platform,
      keys,
      name: 'recovery key',
      // The members are all that it judges by, and a log of years need not fit into memory.
      only: { kind: 'prefix', prefix: RESERVED_PREFIX },
      adoptsAll: true,
      onEvent: (event) => {
        if (event.type === 'adopted') adopted.notify();
        if (event.type === 'disconnected')
          ended.abort(event.error ?? new TidelogError('unreachable', 'the connection ended'));
      },
    });
    const until = signal ? AbortSignal.any([ended.signal, signal]) : ended.signal;
    try {
      const connection = await peer.connect(url, { signal: until });
      const { spaces } = connection.remote!;
      if (spaces.length === 0) throw new TidelogError('not-paired');
      await adopted.until(() => peer.spaces.length >= spaces.length, until);
      for (const space of peer.spaces) await connection.caughtUp({ space, signal: until });
      const space = peer.space(name);
      if (space.role !== 'owner') throw refused(`its role in ${space.name} is ${space.role ?? 'none'}`);
      return new RecoveryLine(peer, connection, space, until);
    } catch (thrown) {
      await peer.close();
      throw said(asTidelogError(thrown));
    }
  }

  /** Device ID of the node at the other end. */
  get node(): string {
    return this.#connection.deviceId;
  }

  /**
   * Makes a device an owner, and waits until the node has that on its disk. False where it was one already. `name` is what it is called from now on;
   * empty: what it was called. Throws `device-revoked` for a device that can't come back, and what the connection ends with.
   */
  async admit(device: Uint8Array, name: string): Promise<boolean> {
    if (this.space.roleOf(device) === 'owner') return false;
    await addMember(this.space, device, { name, role: 'owner' });
    await this.space.reached(this.#connection.device, this.#signal);
    return true;
  }

  close(): Promise<void> {
    return this.#peer.close();
  }
}

/** What a node says to one whom it doesn't let in, as it is meant for a key on paper. */
function said(error: TidelogError): TidelogError {
  if (error.code === 'device-revoked') return refused('it was revoked');
  if (error.code === 'not-paired')
    return refused(
      'it is a member of no space there: the words are of another one, or the copy there is older than they',
    );
  return error;
}

function refused(particular: string): TidelogError {
  return new TidelogError('recovery-refused', particular);
}

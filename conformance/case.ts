/** What a case is, and what it may use of the implementation under test. */
import type { Role } from '../protocol/membership.ts';
import type { Hello } from '../protocol/messages.ts';
import type { PairInvite } from '../protocol/pair-link.ts';
import type { Device } from './device.ts';
import type { Line } from './line.ts';
import type { Socket } from './socket.ts';
import type { Wire } from './wire.ts';
import type { Author, World } from './world.ts';

/** `server`: the kit connects to a node. `client`: a program connects to the kit. */
export type Side = 'server' | 'client';

/** Commands that were given for what can't be done over the wire. */
export type Hook = 'invite' | 'write' | 'read' | 'run';

export interface Case {
  /** `11.5/3`: the third case of section 11.5. Never used again for another. */
  readonly id: `${string}/${number}`;
  /** What is tried, in a few words. */
  readonly title: string;
  /** The rule, word for word as docs/PROTOCOL.md has it. */
  readonly rule: string;
  /** The rule is one that an implementation may have reasons not to follow: a miss is a warning. */
  readonly should?: true;
  /** Both unless told otherwise. */
  readonly side?: Side;
  /** The kit plays a hostile peer. Afterwards the implementation must be as it was: the runner looks. */
  readonly hostile?: true;
  /** Takes more than 5 s by its nature: runs beside others. */
  readonly slow?: true;
  /** Needs the implementation for itself: it is stopped, or its limits are reached. */
  readonly alone?: true;
  /** Needs no membership: runs also against a node that nobody has a link of. */
  readonly stranger?: true;
  readonly needs?: readonly Hook[];
  run(trial: Trial): Promise<void>;
}

export interface LineOptions {
  /** Of the kit's device, where the kit connects. `writer` unless told otherwise. */
  readonly role?: Role;
  /** One that was made before; a new one otherwise. Where a program connects to the kit it is always the kit's node. */
  readonly device?: Device;
  /** Send no HEARTBEATs. */
  readonly silent?: boolean;
  /** What the kit's HELLO says otherwise. */
  readonly hello?: Partial<Hello>;
  /** The kit's log is that of an earlier connection: cursors of it fit. Another one on each connection otherwise. */
  readonly epoch?: Uint8Array;
}

/** One case at work. Whatever it opens is closed at its end. */
export interface Trial {
  readonly side: Side;
  /** What the implementation should hold by now. */
  readonly world: World;
  /** How long the kit waits for what should come at once, ms. */
  readonly patienceMs: number;
  /** The implementation's device key; null before it was met. */
  readonly remoteDevice: Uint8Array | null;
  /** `ws://…/sync` of the node. Servers only. */
  readonly url: string;

  /** A WebSocket on which nothing was said. */
  socket(): Promise<Socket>;
  /** A connection with the handshake done and nothing said. A server doesn't know the kit's device unless it was given one that it knows. */
  wire(options?: LineOptions): Promise<Wire>;
  /** A connection of devices that know each other, on which both have greeted and the kit offers the world. */
  line(options?: LineOptions): Promise<Line>;
  /** A new device of the kit's. With a role it is a member, and the implementation knows. */
  device(role?: Role): Promise<Device>;
  /** A new chain of a new device that the world makes a member; the implementation learns it with the next push. */
  author(role?: Role): Author;
  /** Throws unless the implementation's log is exactly the world, and it serves. */
  unharmed(): Promise<void>;

  /** A link of the server's, never used. Needs `invite`, but for the first. */
  invite(role?: Role, lifeSeconds?: number): Promise<PairInvite>;
  /** The implementation writes. Needs `write`. */
  write(subject: string, property: string, value: unknown): Promise<void>;
  /** The resource as the implementation shows it; null where there is none. Needs `read`. */
  read(subject: string): Promise<Record<string, unknown> | null>;
  /** The implementation is killed without a warning, and started again. Needs `run`. */
  kill(): Promise<void>;
  /** It is asked to stop, as its user would, and started again. Needs `run`. */
  restart(): Promise<void>;
}

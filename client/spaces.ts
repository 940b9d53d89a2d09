/** The spaces that this peer holds a copy of, which of them is the default, and how a copy comes to be: founded here, or joined. */
import type { Change } from '../protocol/body.ts';
import { equal, toHex, utf8 } from '../protocol/bytes.ts';
import { spaceId } from '../protocol/commit.ts';
import { DEVICES_PREFIX, EPOCH_BYTES, SPACE_ID_BYTES, SPACE_SALT_BYTES, SPACE_SUBJECT } from '../protocol/constants.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import { TidelogError } from '../protocol/errors.ts';
import type { Role } from '../protocol/membership.ts';
import type { Filter } from '../protocol/messages.ts';
import { isName } from '../protocol/value.ts';
import { removeWhatIsLeft } from './replica/repair.ts';
import { Space, type SpaceContext } from './space.ts';
import { InTurn } from './in-turn.ts';
import { oneCalled } from './spaces-called.ts';
import { held } from './store.ts';
import { decodeSpace, encodeSpace } from './tables.ts';

const HOME_KEY = utf8('home');
const SPACES_MAX = 10_000;

export class Spaces {
  readonly #context: SpaceContext;
  readonly #spaces: Space[] = [];
  #home: string | null = null;
  /** Adding a space, or letting go of one. */
  readonly #changing = new InTurn();
  #lastNumber = 0;
  #closed = false;

  constructor(context: Omit<SpaceContext, 'takeNumber'>) {
    this.#context = { ...context, takeNumber: () => this.#takeNumber() };
  }

  /** `isJoining`: somebody is trusted, so that a space of which nothing has come yet is awaited. */
  async load(isJoining: boolean): Promise<void> {
    const { store } = this.#context;
    await removeWhatIsLeft(store);
    const records = (await store.scan('spaces', { gte: new Uint8Array([0]), limit: SPACES_MAX }))
      // What is longer is a repair that was interrupted; the space sees to it.
      .filter(([id]) => id.length === SPACE_ID_BYTES)
      .map(([id, bytes]) => ({ id, number: decodeSpace(bytes).number }));
    for (const { id, number } of records.toSorted((a, b) => a.number - b.number)) {
      const space = await Space.open(this.#context, id, number);
      // A crash between a space and its first commit left one that nobody can write. One that was joined is empty too, but then somebody is trusted.
      if (space.head > 0 || isJoining) this.#spaces.push(space);
      else await store.write([{ table: 'spaces', key: id, value: null }]);
    }
    const home = await store.get('meta', HOME_KEY);
    this.#home = home ? toHex(home) : null;
  }

  /** Another wrote to a shared store. Nothing may be written meanwhile. */
  async refresh(isJoining: boolean): Promise<void> {
    const { store } = this.#context;
    const rows = (await store.scan('spaces', { gte: new Uint8Array([0]), limit: SPACES_MAX })).filter(
      ([id]) => id.length === SPACE_ID_BYTES,
    );
    for (const space of this.#spaces.filter((each) => !rows.some(([id]) => equal(id, each.id)))) {
      this.#spaces.splice(this.#spaces.indexOf(space), 1);
      // Not waited for: a write that it still holds may wait for the lead, which waits for this.
      void space.close().catch(() => {});
    }
    for (const space of this.#spaces) await space.refresh();
    const records = rows.map(([id, bytes]) => ({ id, number: decodeSpace(bytes).number }));
    for (const { id, number } of records.toSorted((a, b) => a.number - b.number)) {
      if (this.byId(id)) continue;
      // What is to be finished in it is once the lead is here for certain: it may come while this is read, and what was read before another's last write
      // would be written over that.
      const space = await Space.open(this.#context, id, number, false);
      if (space.head > 0 || isJoining) this.#spaces.push(space);
    }
    const home = await store.get('meta', HOME_KEY);
    this.#home = home ? toHex(home) : null;
  }

  // ---- which there are

  get all(): readonly Space[] {
    return this.#spaces;
  }

  /** Of all logs, on the disk or on their way there. */
  get logBytes(): number {
    return this.#spaces.reduce((sum, space) => sum + space.logBytes, 0);
  }

  get isFull(): boolean {
    return this.#spaces.length >= SPACES_MAX;
  }

  byId(id: Uint8Array): Space | null {
    return this.#spaces.find((space) => equal(space.id, id)) ?? null;
  }

  /** By name, by hex id or its beginning, or the default; see Peer.space. */
  find(nameOrId?: string): Space {
    if (nameOrId === undefined) {
      const home = this.#spaces.find(({ hex }) => hex === this.#home) ?? this.#spaces[0];
      if (!home) throw new TidelogError('unknown-space', 'there is none yet; the first write makes one');
      return home;
    }
    return oneCalled(this.#spaces, nameOrId, ({ hex }) => hex);
  }

  // ---- who is in them

  /** Spaces that a device is a member of. */
  of(device: Uint8Array): Space[] {
    return this.#spaces.filter((space) => space.roleOf(device) !== null);
  }

  isMember(device: Uint8Array): boolean {
    return this.#spaces.some((space) => space.roleOf(device) !== null);
  }

  /** Revoked where it was a member, and a member nowhere. */
  isRevoked(device: Uint8Array): boolean {
    return this.#spaces.some((space) => space.isRevoked(device)) && !this.isMember(device);
  }

  // ---- how they come to be

  /** The default space; made, and called "home", if there is none. */
  home(deviceName: string): Promise<Space> {
    if (this.#spaces.length > 0) return Promise.resolve(this.find());
    // One that is being added meanwhile, or was by who asked at the same time, is there by then.
    return this.#inTurn(async () => (this.#spaces.length > 0 ? this.find() : this.#found('home', deviceName)));
  }

  async makeHome(space: Space): Promise<void> {
    await this.#context.store.write([{ table: 'meta', key: HOME_KEY, value: space.id }]);
    this.#home = space.hex;
  }

  /** A new space, with this device, called `deviceName`, as its owner. */
  async create(name: string, deviceName: string): Promise<Space> {
    if (!isName(name) || name === '')
      throw new TidelogError('bad-argument', 'the name of a space is 1 to 64 bytes of text');
    return this.#inTurn(() => this.#found(name, deviceName));
  }

  #found(name: string, deviceName: string): Promise<Space> {
    const { platform, keys } = this.#context;
    const salt = platform.random(SPACE_SALT_BYTES);
    const owner = keys.public;
    return this.#add(spaceId(platform.crypto, owner, salt), name, null, [
      { subject: SPACE_SUBJECT, ops: { set: { owner, salt, name } } },
      { subject: `${DEVICES_PREFIX}${formatDeviceId(owner)}`, ops: { set: { role: 'owner', name: deviceName } } },
    ]);
  }

  /** An empty copy of a space that others have; or the copy that is here. */
  join(id: Uint8Array, name: string, filter: Filter | null, role: Role | null): Promise<Space> {
    return this.#inTurn(() => this.#add(id, name, filter, [], role === 'mirror'));
  }

  /** Lets go of a copy of which nothing has come, nor comes with what is under way. */
  forgetEmpty(space: Space): Promise<void> {
    return this.#inTurn(async () => {
      if (!(await space.closeIfEmpty())) return;
      const at = this.#spaces.indexOf(space);
      // It was let go of before, and by now another copy of it may be here.
      if (at === -1) return;
      this.#spaces.splice(at, 1);
      await this.#context.store.write([{ table: 'spaces', key: space.id, value: null }]);
    });
  }

  /** One after the other, because each takes the next number, and rests on which spaces there are. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new TidelogError('closed'));
    // Another that shares the store may have added one, or taken the number: what is looked up holds until it is written.
    return this.#changing.run(() => held(this.#context.store, work));
  }

  async #add(
    id: Uint8Array,
    name: string,
    filter: Filter | null,
    founding: readonly Change[],
    logOnly = false,
  ): Promise<Space> {
    const existing = this.byId(id);
    if (existing) return existing;
    const { platform, store } = this.#context;
    const number = await this.#takeNumber();
    const record = {
      number,
      name,
      epoch: platform.random(EPOCH_BYTES),
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
      logOnly,
    };
    const isFirst = this.#spaces.length === 0;
    await store.write([
      { table: 'spaces', key: id, value: encodeSpace(record) },
      ...(isFirst ? [{ table: 'meta' as const, key: HOME_KEY, value: id }] : []),
    ]);
    const space = await Space.open(this.#context, id.slice(), number);
    if (founding.length > 0) {
      try {
        await space.commitReserved(founding).stored;
      } catch (thrown) {
        // Without its first commit nobody could ever write to it. Where this fails too, the next opening sees to it.
        await store.write([{ table: 'spaces', key: id, value: null }]).catch(() => {});
        throw thrown;
      }
    }
    if (isFirst) this.#home = toHex(id);
    this.#spaces.push(space);
    return space;
  }

  /** One that no log has or had. */
  async #takeNumber(): Promise<number> {
    const { store } = this.#context;
    const rows = await store.scan('spaces', { gte: new Uint8Array([0]), limit: SPACES_MAX });
    this.#lastNumber = Math.max(this.#lastNumber, ...rows.map(([, bytes]) => decodeSpace(bytes).number)) + 1;
    return this.#lastNumber;
  }

  /** Takes nothing more; resolves when what was begun is written. */
  async close(): Promise<void> {
    this.#closed = true;
    const closeAll = (): Promise<unknown> => Promise.all(this.#spaces.map((space) => space.close()));
    await closeAll();
    // And what was being added.
    await this.#changing.settled();
    await closeAll();
  }
}

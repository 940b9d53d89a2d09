/** The spaces that this peer holds a copy of, which of them is the default, and how a copy comes to be: founded here, or joined. */
import type { Change } from '../protocol/body.ts';
import { equal, toHex, utf8 } from '../protocol/bytes.ts';
import { spaceId } from '../protocol/commit.ts';
import { DEVICES_PREFIX, EPOCH_BYTES, SPACE_SALT_BYTES, SPACE_SUBJECT } from '../protocol/constants.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import { TidelogError } from '../protocol/errors.ts';
import type { Role } from '../protocol/membership.ts';
import type { Filter } from '../protocol/messages.ts';
import { isName } from '../protocol/value.ts';
import { Space, type SpaceContext } from './space.ts';
import { decodeSpace, encodeSpace } from './tables.ts';

const HOME_KEY = utf8('home');
const SPACES_MAX = 10_000;

export class Spaces {
  readonly #context: SpaceContext;
  readonly #spaces: Space[] = [];
  #home: string | null = null;
  #making: Promise<Space> | null = null;
  #adding: Promise<void> = Promise.resolve();

  constructor(context: SpaceContext) {
    this.#context = context;
  }

  /** `isJoining`: somebody is trusted, so that a space of which nothing has come yet is awaited. */
  async load(isJoining: boolean): Promise<void> {
    const { store } = this.#context;
    const records = (await store.scan('spaces', { gte: new Uint8Array([0]), limit: SPACES_MAX })).map(
      ([id, bytes]) => ({ id, number: decodeSpace(bytes).number }),
    );
    for (const { id, number } of records.toSorted((a, b) => a.number - b.number)) {
      const space = await Space.open(this.#context, id, number);
      // A crash between a space and its first commit left one that nobody can write. One that was joined is empty too, but then somebody is trusted.
      if (space.head > 0 || isJoining) this.#spaces.push(space);
      else await store.write([{ table: 'spaces', key: id, value: null }]);
    }
    const home = await store.get('meta', HOME_KEY);
    this.#home = home ? toHex(home) : null;
  }

  // ---- which there are

  get all(): readonly Space[] {
    return this.#spaces;
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
    // A whole id first: whoever founds a space may call it by the id of another.
    const byWholeId = this.#spaces.find(({ hex }) => hex === nameOrId.toLowerCase());
    if (byWholeId) return byWholeId;
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

  /** The default space; made by `create` if there is none. */
  home(create: () => Promise<Space>): Promise<Space> {
    if (this.#spaces.length > 0) return Promise.resolve(this.find());
    this.#making ??= create().finally(() => {
      this.#making = null;
    });
    return this.#making;
  }

  async makeHome(space: Space): Promise<void> {
    await this.#context.store.write([{ table: 'meta', key: HOME_KEY, value: space.id }]);
    this.#home = space.hex;
  }

  /** A new space, with this device, called `deviceName`, as its owner. */
  async create(name: string, deviceName: string): Promise<Space> {
    if (!isName(name) || name === '')
      throw new TidelogError('bad-argument', 'the name of a space is 1 to 64 bytes of text');
    const { platform, keys } = this.#context;
    const salt = platform.random(SPACE_SALT_BYTES);
    const owner = keys.public;
    return this.#addReplica(spaceId(platform.crypto, owner, salt), name, null, [
      { subject: SPACE_SUBJECT, ops: { set: { owner, salt, name } } },
      { subject: `${DEVICES_PREFIX}${formatDeviceId(owner)}`, ops: { set: { role: 'owner', name: deviceName } } },
    ]);
  }

  /** An empty copy of a space that others have; or the copy that is here. */
  join(id: Uint8Array, name: string, filter: Filter | null, role: Role | null): Promise<Space> {
    return this.#addReplica(id, name, filter, [], role === 'mirror');
  }

  /** One after the other, because each takes the next number. */
  #addReplica(
    id: Uint8Array,
    name: string,
    filter: Filter | null,
    founding: readonly Change[],
    logOnly = false,
  ): Promise<Space> {
    const added = this.#adding.then(() => this.#addReplicaNow(id, name, filter, founding, logOnly));
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
    logOnly: boolean,
  ): Promise<Space> {
    const existing = this.byId(id);
    if (existing) return existing;
    const { platform, store } = this.#context;
    const numbers = (await store.scan('spaces', { gte: new Uint8Array([0]), limit: SPACES_MAX })).map(
      ([, bytes]) => decodeSpace(bytes).number,
    );
    const number = Math.max(0, ...numbers) + 1;
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

  async close(): Promise<void> {
    for (const space of this.#spaces) await space.close();
  }
}

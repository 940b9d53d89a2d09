/** A device: a key, a disk and a clock, which outlive its processes, and the process that runs on it, if one does: the product's Peer and nothing else. */
import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { zstdNode } from '../../client/platform/zstd-node.ts';
import type { PeerEvent } from '../../client/events.ts';
import { Peer } from '../../client/peer.ts';
import type { Platform } from '../../client/platform.ts';
import type { Space } from '../../client/space.ts';
import type { Store } from '../../client/store.ts';
import { toHex } from '../../protocol/bytes.ts';
import type { KeyPair } from '../../protocol/crypto.ts';
import { formatDeviceId } from '../../protocol/device-id.ts';
import { Disk, type DiskTraits } from './disk.ts';
import type { Network } from './network.ts';
import type { Random } from './random.ts';
import type { Owner, World } from './world.ts';

/** 2026-01-01, µs since 1970 */
const WALL_START_US = 1_767_225_600_000_000;
/** After an opening that failed. */
const REOPEN_US = 2_000_000;

export class Process implements Owner {
  alive = true;
  /** null while it opens. */
  peer: Peer | null = null;
  readonly bornUs: number;
  readonly store: Store;

  constructor(bornUs: number, mount: (owner: Owner) => Store) {
    this.bornUs = bornUs;
    this.store = mount(this);
  }
}

export interface DeviceHooks {
  opened(device: Device, peer: Peer): void;
  event(device: Device, event: PeerEvent): void;
}

export class Device {
  readonly index: number;
  readonly name: string;
  readonly keys: KeyPair;
  readonly hex: string;
  readonly id: string;
  readonly disk: Disk;
  readonly url: string;
  /** Another address of the same. */
  readonly otherUrl: string;
  readonly #world: World;
  readonly #network: Network;
  readonly #random: Random;
  readonly #hooks: DeviceHooks;
  /** Its wall clock less the world's. */
  clockOffUs = 0;
  process: Process | null = null;
  /** Gone for good. */
  hasLeft = false;
  /** Whatever would start it before then doesn't, µs of the world. */
  offUntilUs = 0;

  constructor(
    world: World,
    network: Network,
    hooks: DeviceHooks,
    { index, name, traits, keys }: { index: number; name: string; traits: DiskTraits; keys?: KeyPair },
  ) {
    this.#world = world;
    this.#network = network;
    this.#hooks = hooks;
    this.index = index;
    this.name = name;
    this.#random = world.random.fork(`device ${name}`);
    this.keys = keys ?? nodeCrypto.ed25519KeyPair(this.#random.bytes(32));
    this.hex = toHex(this.keys.public);
    this.id = formatDeviceId(this.keys.public);
    this.disk = new Disk(world, name, traits);
    this.url = `http://${name}`;
    this.otherUrl = `http://${name}.other`;
  }

  get peer(): Peer | null {
    return this.process?.peer ?? null;
  }

  /** Its copy of the one space; null where it isn't running, or has none. */
  get space(): Space | null {
    return this.peer?.spaces[0] ?? null;
  }

  wallUs(): number {
    return WALL_START_US + this.#world.nowUs + this.clockOffUs;
  }

  #platform(process: Process): Platform {
    const world = this.#world;
    return {
      crypto: nodeCrypto,
      random: (length) => this.#random.bytes(length),
      codecs: [zstdNode],
      nowUs: () => Math.max(0, this.wallUs()),
      nowMs: () => (world.nowUs - process.bornUs) / 1000 + 1,
      after: (ms, call) => world.after(ms * 1000, process, `${this.name} timer`, call),
      turn: () => new Promise((resolve) => world.after(1, process, `${this.name} turn`, resolve)),
      dial: (url, signal) => this.#network.dial(this.name, url, process, signal),
    };
  }

  /** Idempotent. Where the disk won't have it, it is tried again. */
  start(): void {
    if (this.process || this.hasLeft || this.#world.nowUs < this.offUntilUs) return;
    const process = new Process(this.#world.nowUs, (owner) => this.disk.mount(owner));
    this.process = process;
    this.#world.note(`${this.name} starts`);
    const opening = Peer.open({
      store: process.store,
      platform: this.#platform(process),
      keys: this.keys,
      name: this.name,
      onEvent: (event) => this.#hooks.event(this, event),
    });
    opening.then(
      (peer) => {
        process.peer = peer;
        this.#network.listen(this.name, { owner: process, accept: (transport) => void peer.accept(transport) });
        this.#hooks.opened(this, peer);
      },
      (thrown: unknown) => {
        this.#world.note(`${this.name} does not open: ${String(thrown)}`);
        if ((thrown as { code?: string }).code !== 'store-full') this.#world.fail(thrown);
        this.crash(false);
        this.#world.after(REOPEN_US, null, `${this.name} starts again`, () => this.start());
      },
    );
  }

  /** Dropped in the middle of whatever it does. `machineToo`: nobody is left to close its connections. */
  crash(machineToo: boolean): void {
    const { process } = this;
    if (!process) return;
    this.#world.note(`${this.name} crashes`);
    process.alive = false;
    this.process = null;
    this.#network.die(this.name, machineToo);
    this.disk.crash();
  }

  /** Ends as a node does at a signal; gives when it has ended. */
  async stop(): Promise<void> {
    const { process } = this;
    if (!process?.peer) return this.crash(false);
    this.#world.note(`${this.name} stops`);
    await process.peer.close();
    await process.store.close();
    if (this.process === process) this.crash(false);
  }
}

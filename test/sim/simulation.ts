/** Plays a scenario, and judges it: as it goes, where it can, and at the end, when every fault has stopped and all has come to rest. */
import type { PeerEvent } from '../../client/events.ts';
import type { Peer } from '../../client/peer.ts';
import type { Space } from '../../client/space.ts';
import type { Change } from '../../protocol/body.ts';
import { asTidelogError, TidelogError, type ErrorCode } from '../../protocol/errors.ts';
import { toHex } from '../../protocol/bytes.ts';
import type { KeyPair } from '../../protocol/crypto.ts';
import { decodeSpace } from '../../client/tables.ts';
import { Device } from './device.ts';
import { copyImage, type Image } from './disk.ts';
import { Network } from './network.ts';
import { MARK_PROPERTY, MARK_SUBJECT, Oracle, type AskedWrite } from './oracle.ts';
import type { Action, DeviceSpec, Scenario } from './scenario.ts';
import { Violation, World } from './world.ts';

const MS = 1000;
const SECOND = 1_000_000;
/** Of an answer that only faults could hold up, and there are none any more. */
const PATIENCE_US = 60 * SECOND;
/** After the last fault: an address that was hopeless is tried again after a minute and a quarter, and news goes from one to the next. */
const CONVERGE_US = 30 * 60 * SECOND;
/** Of a copy that has the network, where several run. */
const TURN_US = 30 * SECOND;

/** That run with one key. */
const RUNNING_MAX = 4;

/** What correct peers end connections and refuse subscriptions with. Any other code accuses the other side of something, and here all are correct. */
const HONEST: ReadonlySet<ErrorCode> = new Set([
  'timeout',
  'unreachable',
  'shutting-down',
  'closed',
  'aborted',
  'not-paired',
  'device-revoked',
  'unknown-space',
  'store-full',
  'wrong-device',
  'cursor-epoch',
  'cursor-too-new',
  'invite-expired',
  // Whoever made the invite was an owner then.
  'not-an-owner',
]);
/** Where a disk went back, it may have been followed by a cursor that stands for more than it has by now. */
const AFTER_ROLLBACK: ReadonlySet<ErrorCode> = new Set(['unlinked', 'causal-gap', 'cursor-mismatch']);
/** Of two that run with one key, and of those that hold what only one of them wrote. */
const AFTER_FORK: ReadonlySet<ErrorCode> = new Set([
  'fork',
  'self-connect',
  'unlinked',
  'causal-gap',
  'cursor-mismatch',
  // Who wrote it was let in on a branch that this side never had.
  'unauthorized',
]);
/** What a write may be refused with. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set([
  'device-revoked',
  'not-a-member',
  'read-only',
  'not-an-owner',
  'store-full',
  'closed',
]);

export interface Outcome {
  readonly trace: string;
  readonly events: number;
  readonly virtualMs: number;
  readonly writes: number;
  readonly stored: number;
  readonly looks: number;
  readonly reached: number;
  readonly followed: number;
  /** Bytes that waited at one end of a connection, at most. */
  readonly bufferedMax: number;
  /** What was done to them, by kind; only what had an effect. */
  readonly faults: Readonly<Record<string, number>>;
  readonly violation: Violation | null;
  readonly lines: readonly string[];
}

export interface PlayOptions {
  readonly keepTrace?: boolean;
  /** Called when a device was made: tests plant faults there. */
  readonly onDevice?: (device: Device) => void;
}

export async function play(scenario: Scenario, options: PlayOptions = {}): Promise<Outcome> {
  const simulation = new Simulation(scenario, options);
  const onRejection = (reason: unknown): void => simulation.world.fail(reason);
  process.on('unhandledRejection', onRejection);
  let violation: Violation | null = null;
  try {
    await simulation.run();
  } catch (thrown) {
    violation =
      thrown instanceof Violation
        ? thrown
        : new Violation('fault', thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown));
  } finally {
    process.off('unhandledRejection', onRejection);
  }
  const { world, oracle, looks, reached, followed } = simulation;
  return {
    trace: world.trace(),
    events: world.events,
    virtualMs: world.nowUs / MS,
    writes: oracle.writes.length,
    stored: oracle.writes.filter(({ outcome }) => outcome === 'stored').length,
    looks,
    reached,
    followed,
    bufferedMax: simulation.bufferedMax,
    faults: simulation.faults,
    violation,
    lines: world.lines(),
  };
}

class Simulation {
  readonly world: World;
  readonly oracle = new Oracle();
  looks = 0;
  /** Writes of which a device learned that another has them. */
  reached = 0;
  /** Commits that readers of a live log were given. */
  followed = 0;
  readonly faults: Record<string, number> = {};
  readonly #scenario: Scenario;
  readonly #options: PlayOptions;
  readonly #network: Network;
  readonly #devices: Device[] = [];
  readonly #specs: DeviceSpec[] = [];
  /** Devices that have come in. */
  readonly #joined = new Set<Device>();
  /** `a b`, in the order of the indexes: who may dial whom while one lets the other in. */
  readonly #openWays = new Set<string>();
  #isFinal = false;
  /** Indexes of copies that have no network at the moment: those of one device take turns. */
  readonly #resting = new Set<number>();
  readonly #backups = new Map<Device, Image>();
  readonly #rolledBack = new Set<Device>();

  constructor(scenario: Scenario, options: PlayOptions) {
    this.#scenario = scenario;
    this.#options = options;
    this.world = new World(scenario.seed, options.keepTrace);
    this.#network = new Network(this.world);
    this.#network.hasWay = (a, b) => this.#hasWay(a, b);
  }

  get bufferedMax(): number {
    return this.#network.bufferedMax;
  }

  async run(): Promise<void> {
    await this.#found();
    for (const action of this.#scenario.actions) {
      await this.world.run(action.gapMs * MS);
      this.world.note(`action ${JSON.stringify(action)}`);
      await this.#act(action);
    }
    await this.#end();
  }

  // ---- devices and ways

  #addDevice(spec: DeviceSpec, keys?: KeyPair): Device {
    const index = this.#devices.length;
    const device = new Device(
      this.world,
      this.#network,
      { opened: (opened, peer) => this.#onOpened(opened, peer), event: (of, event) => this.#onEvent(of, event) },
      { index, name: `d${index}`, traits: spec.traits, ...(keys && { keys }) },
    );
    this.#devices.push(device);
    this.#specs.push(spec);
    this.#options.onDevice?.(device);
    return device;
  }

  /** By topology: is there a way between two devices? */
  #isWay(a: number, b: number): boolean {
    const [low, high] = a < b ? [a, b] : [b, a];
    const last = this.#scenario.devices.length - 1;
    switch (this.#scenario.topology) {
      case 'mesh':
        return true;
      case 'star':
        return low === 0;
      case 'mirror':
        return low === 1 || (low === 0 && high === 1);
      case 'line':
        return high === low + 1;
      case 'ring':
        return high === low + 1 || (low === 0 && high === last);
    }
  }

  #hasWay(a: string, b: string): boolean {
    const [i, j] = [Number(a.slice(1)), Number(b.slice(1))];
    // They would find themselves.
    if (this.#devices[i]!.hex === this.#devices[j]!.hex) return false;
    if (this.#resting.has(i) || this.#resting.has(j)) return false;
    return this.#isWay(i, j) || this.#openWays.has(wayKey(i, j));
  }

  #ways(device: Device): Device[] {
    return this.#devices.filter(
      (other) => other !== device && this.#joined.has(other) && !other.hasLeft && this.#hasWay(device.name, other.name),
    );
  }

  /** It dials whom it is to dial. */
  #dial(device: Device): void {
    const { peer } = device;
    if (!peer || !this.#joined.has(device)) return;
    for (const other of this.#ways(device)) if (this.#dials(device, other)) peer.dial(other.url);
  }

  #dials(device: Device, other: Device): boolean {
    if (this.#isFinal) return true;
    // The later one says who dials.
    const [says, isOwn] = device.index > other.index ? [device, true] : [other, false];
    const { dials } = this.#specs[says.index]!;
    return dials === 'both' || dials === (isOwn ? 'own' : 'other');
  }

  #onOpened(device: Device, peer: Peer): void {
    this.world.note(`${device.name} is open`);
    peer.dialKnown();
    this.#dial(device);
    this.oracle.checkStored(device);
    if (peer.spaces[0]) this.#followLog(device, peer.spaces[0]);
  }

  /** A reader of the log from its beginning, live: it is given each commit once, in order, when the disk has it. */
  #followLog(device: Device, space: Space): void {
    const { process } = device;
    const follow = async (): Promise<void> => {
      let position = 0;
      for await (const { id } of space.log({ live: true })) {
        if (!process!.alive) return;
        const there = this.oracle.log(device)[position++]?.id;
        if (id !== there)
          throw new Violation('live log', `${device.name} gives ${id} at ${position}, where its disk has ${there}`);
        this.followed++;
      }
    };
    follow().catch((thrown: unknown) => {
      const { code } = asTidelogError(thrown);
      // The log was made anew: whoever reads it begins again.
      if (code === 'cursor-epoch' && process!.alive && this.oracle.mayFork.size > 0) this.#followLog(device, space);
      else if (code !== 'closed' || thrown instanceof Violation) this.world.fail(thrown);
    });
  }

  #onEvent(device: Device, event: PeerEvent): void {
    if (!device.process?.alive) return;
    if (event.type === 'appended') {
      const record = device.disk.durable.get('spaces', event.space.id);
      const durable = record ? decodeSpace(record).head : 0;
      if (event.head > durable)
        throw new Violation(
          'only what is on disk',
          `${device.name} tells of ${event.head}, and its disk has ${durable}`,
        );
    }
    if (event.type === 'disconnected' && event.error)
      this.world.note(`${device.name} and another part: ${event.error.code}`);
    if (event.type === 'disconnected' && event.error && !this.#isHonest(event.error.code))
      this.world.fail(new Violation('correct peers', `${device.name} and another: ${event.error.message}`));
    if (event.type === 'failed' && event.error.code !== 'store-full') this.world.fail(event.error);
  }

  #isHonest(code: ErrorCode): boolean {
    if (this.oracle.mayFork.size > 0 && AFTER_FORK.has(code)) return true;
    return HONEST.has(code) || (this.#rolledBack.size > 0 && AFTER_ROLLBACK.has(code));
  }

  // ---- the beginning: a space, and all in it

  async #found(): Promise<void> {
    const [first, ...others] = this.#scenario.devices;
    const founder = this.#addDevice(first!);
    founder.start();
    await this.#eventually(() => founder.peer !== null, PATIENCE_US, 'the founder opens');
    const space = await this.world.of(founder.peer!.homeSpace(), PATIENCE_US, 'a space');
    this.oracle.space = space.id;
    this.#joined.add(founder);
    for (const spec of others) {
      const device = this.#addDevice(spec);
      device.start();
      await this.#eventually(() => device.peer !== null, PATIENCE_US, `${device.name} opens`);
      await this.world.of(this.#join(founder, device, spec.role), PATIENCE_US, `${device.name} joins`);
    }
    for (const device of this.#devices) this.#dial(device);
    await this.world.run(SECOND);
  }

  /** By a link that a person carries over. Rejects as Peer.join does, and hangs where a process dies. */
  async #join(host: Device, guest: Device, role: DeviceSpec['role']): Promise<void> {
    const way = wayKey(host.index, guest.index);
    const isOpened = !this.#openWays.has(way);
    this.#openWays.add(way);
    try {
      const hostSpace = host.space;
      if (!hostSpace || !guest.peer) throw new TidelogError('closed');
      const { link } = await host.peer!.invite(hostSpace, { role, addresses: [host.url] });
      const { synced } = await guest.peer.join(link);
      this.#joined.add(guest);
      this.world.note(`${guest.name} has joined`);
      await synced;
      for (const device of this.#devices) this.#dial(device);
    } finally {
      if (isOpened) this.#openWays.delete(way);
      if (!this.#hasWay(host.name, guest.name)) {
        guest.peer?.undial(host.url);
        for (const connection of this.#network.connections())
          if (connection.hosts.includes(host.name) && connection.hosts.includes(guest.name)) connection.reset();
      }
    }
  }

  async #eventually(holds: () => boolean, us: number, what: string): Promise<void> {
    if (!(await this.world.until(holds, us))) throw new Violation('progress', `in vain for ${us / SECOND} s: ${what}`);
  }

  // ---- actions

  #count(fault: string): void {
    this.faults[fault] = (this.faults[fault] ?? 0) + 1;
  }

  #device(number: number): Device {
    return this.#devices[number % this.#devices.length]!;
  }

  async #act(action: Action): Promise<void> {
    const { world } = this;
    switch (action.do) {
      case 'write': {
        for (let i = 0; i < action.times; i++) this.#write(this.#device(action.who), action.changes);
        break;
      }
      case 'partition': {
        const { from, to, oneWay, forMs } = action;
        if (this.#device(from) !== this.#device(to)) this.#count('link down');
        this.#setDown(this.#device(from), this.#device(to), oneWay, forMs);
        break;
      }
      case 'isolate':
        this.#count('device cut off');
        for (const other of this.#devices) this.#setDown(this.#device(action.who), other, false, action.forMs);
        break;
      case 'reset':
        if (this.#connection(action.which)) this.#count('connection reset');
        this.#connection(action.which)?.reset();
        break;
      case 'halfOpen': {
        const connection = this.#connection(action.which);
        if (connection) this.#count('connection half-open');
        connection?.halfOpen(action.oneWay ? connection.hosts[action.which % 2]! : null);
        break;
      }
      case 'slow': {
        const [from, to] = [this.#device(action.from).name, this.#device(action.to).name];
        if (from !== to) this.#count('link slow');
        this.#network.setRate(from, to, action.rate);
        world.after(action.forMs * MS, null, `${from} to ${to} is fast`, () => this.#network.setRate(from, to, null));
        break;
      }
      case 'dialOther': {
        const [who, to] = [this.#device(action.who), this.#device(action.to)];
        if (who !== to && this.#joined.has(who)) who.peer?.dial(to.otherUrl);
        break;
      }
      case 'crash': {
        const device = this.#device(action.who);
        if (device.process) this.#count(action.machineToo ? 'machine crash' : 'process crash');
        this.#crash(device, action.machineToo, action.downMs);
        break;
      }
      case 'crashAtWrite': {
        const device = this.#device(action.who);
        device.disk.crashAt = { writes: action.writes, table: action.table };
        device.disk.onCrashPoint = () => {
          this.#count('crash at a write');
          this.#crash(device, false, action.downMs);
        };
        break;
      }
      case 'restart': {
        const device = this.#device(action.who);
        if (!device.peer) break;
        this.#count('restart');
        void device.stop().then(() => this.#startLater(device, action.downMs));
        break;
      }
      case 'diskFull':
      case 'diskSlow':
        this.#count(action.do === 'diskFull' ? 'disk full' : 'disk slow');
        this.#hinderDisk(this.#device(action.who), action);
        break;
      case 'clock':
        this.#count('clock set');
        this.#device(action.who).clockOffUs += action.byMs * MS;
        break;
      case 'boot1970': {
        const device = this.#device(action.who);
        const before = device.clockOffUs;
        this.#count('boot in 1970');
        this.#crash(device, true, 500);
        device.clockOffUs -= device.wallUs();
        world.after(action.forMs * MS, null, `${device.name} asks what time it is`, () => {
          device.clockOffUs = before;
        });
        break;
      }
      case 'join':
        this.#letIn(this.#device(action.at), action.spec);
        break;
      case 'leave': {
        const device = this.#device(action.who);
        if (device.index < 2 || this.#standing().length < 3) break;
        this.#count('device gone for good');
        device.hasLeft = true;
        device.crash(false);
        break;
      }
      case 'role':
      case 'revoke':
        this.#changeMember(action);
        break;
      case 'backup': {
        const device = this.#device(action.who);
        if (this.#joined.has(device) && this.oracle.log(device).length > 0)
          this.#backups.set(device, copyImage(device.disk.durable));
        break;
      }
      case 'rollback':
        this.#rollBack(this.#device(action.who), action.downMs, action.waits);
        break;
      case 'copy':
        this.#copy(this.#device(action.who));
        break;
      case 'look':
        await this.#look(this.#device(action.who));
        break;
    }
  }

  #connection(which: number): ReturnType<Network['connections']>[number] | undefined {
    const connections = this.#network.connections();
    return connections[which % Math.max(1, connections.length)];
  }

  #setDown(from: Device, to: Device, oneWay: boolean, forMs: number): void {
    if (from === to) return;
    const set = (down: boolean): void => {
      this.#network.setDown(from.name, to.name, down);
      if (!oneWay) this.#network.setDown(to.name, from.name, down);
    };
    set(true);
    this.world.after(forMs * MS, null, `${from.name} and ${to.name} are connected`, () => set(false));
  }

  #startLater(device: Device, downMs: number): void {
    this.world.after(downMs * MS, null, `${device.name} is switched on`, () => device.start());
  }

  #crash(device: Device, machineToo: boolean, downMs: number): void {
    if (!device.process) return;
    device.crash(machineToo);
    this.#startLater(device, downMs);
  }

  #hinderDisk({ disk }: Device, action: Extract<Action, { do: 'diskFull' | 'diskSlow' }>): void {
    if (action.do === 'diskFull') disk.full = true;
    else disk.slowness = action.times;
    this.world.after(action.forMs * MS, null, `${disk.name} is well again`, () => {
      if (action.do === 'diskFull') disk.full = false;
      else disk.slowness = 1;
    });
  }

  /**
   * A device whose disk went back may sign, at a place in its chain, another commit than it once did, and can't know: a fork. Here it waits until it has what
   * others have of it, as a person is told to who restores a backup; or it doesn't, and its chain forks.
   */
  #mayCommit(device: Device): boolean {
    if (!device.peer || !device.space) return false;
    if (!this.#rolledBack.has(device) || this.oracle.mayFork.has(device.hex)) return true;
    const headsOf = (log: ReturnType<Oracle['log']>): Map<string, number> =>
      new Map(log.filter((commit) => commit.device === device.hex).map(({ chain, seq }) => [chain, seq]));
    const own = headsOf(this.oracle.log(device));
    for (const other of this.#devices) {
      if (other === device || other.hasLeft) continue;
      for (const [chain, seq] of headsOf(this.oracle.log(other))) if (seq > (own.get(chain) ?? 0)) return false;
    }
    return true;
  }

  #write(device: Device, changes: readonly (readonly [string, Change['ops']])[]): AskedWrite | null {
    if (!this.#mayCommit(device)) return null;
    const { process, space } = device;
    const write = this.oracle.asked(device, (number) => [
      { subject: `${MARK_SUBJECT}/${number % 8}`, ops: { set: { [MARK_PROPERTY]: number } } },
      ...changes.map(([subject, ops]) => ({ subject, ops })),
    ]);
    const { stored, reached } = space!.commit(write.changes);
    stored.then(
      ({ id, cursor }) => {
        if (!process!.alive) return;
        this.#guard(() => this.oracle.stored(device, write, id, cursor));
        reached({ peers: 1 }).then(
          () => this.#guard(() => this.#checkReached(device, id)),
          // It was closed, and nobody knows.
          () => {},
        );
      },
      (thrown: unknown) => {
        const { code } = asTidelogError(thrown);
        write.outcome = 'refused';
        if (!REFUSALS.has(code)) this.world.fail(thrown);
      },
    );
    return write;
  }

  #guard(check: () => void): void {
    try {
      check();
    } catch (thrown) {
      this.world.fail(thrown);
    }
  }

  /** `reached` resolved: another disk has it too, unless that one has gone back since. Who has a copy's cursor may be taken to have the original's. */
  #checkReached(device: Device, id: string): void {
    const others = this.#devices.filter((other) => other !== device);
    if (this.oracle.mayFork.size > 0 || others.some((other) => this.#rolledBack.has(other))) return;
    if (!others.some((other) => this.oracle.log(other).some((commit) => commit.id === id)))
      throw new Violation('reached', `${id} of ${device.name} is on no other disk`);
    this.reached++;
  }

  #letIn(host: Device, spec: DeviceSpec): void {
    if (this.#devices.length >= 8 || host.space?.role !== 'owner' || !this.#mayCommit(host)) return;
    const guest = this.#addDevice(spec);
    guest.start();
    this.world.after(SECOND, null, `${guest.name} joins at ${host.name}`, () => {
      this.#join(host, guest, spec.role).catch((thrown: unknown) =>
        this.world.note(`${guest.name} does not join: ${asTidelogError(thrown).code}`),
      );
    });
  }

  #changeMember(action: Extract<Action, { do: 'role' | 'revoke' }>): void {
    // Mostly one person revokes; owners who revoke each other are rare, and then it matters.
    const by = action.do === 'revoke' && !action.anyOwner ? this.#devices[0]! : this.#device(action.by);
    const who = this.#device(action.who);
    if (!by.space || !this.#mayCommit(by) || who === by || (action.do === 'revoke' && this.#standing().length < 3))
      return;
    const done =
      action.do === 'revoke'
        ? by.peer!.revokeDevice(by.space, who.id)
        : by.peer!.setRole(by.space, who.id, action.role);
    if (action.do === 'revoke') done.then(() => this.#count('device revoked')).catch(() => {});
    done.catch((thrown: unknown) => {
      const { code } = asTidelogError(thrown);
      const isFine = REFUSALS.has(code) || ['unknown-device', 'last-owner', 'device-revoked'].includes(code);
      if (!isFine) this.world.fail(thrown);
    });
  }

  /** `waits`: it writes nothing before it has what others have of it. Else its chain may fork. */
  #rollBack(device: Device, downMs: number, waits: boolean): void {
    const backup = this.#backups.get(device);
    if (!backup || device.hasLeft) return;
    this.#count(waits ? 'disk set back' : 'disk set back, and written to');
    device.crash(true);
    const others = this.#devices.filter((other) => other !== device && !other.hasLeft);
    this.oracle.rollsBack(device, backup, others);
    device.disk.replace(backup);
    this.#rolledBack.add(device);
    if (!waits) this.oracle.mayFork.add(device.hex);
    device.offUntilUs = this.world.nowUs + downMs * MS;
    this.#startLater(device, downMs);
  }

  /** Its disk and its key are those of a second device from now on. Both write: their chain forks. */
  #copy(device: Device): void {
    if (this.#devices.length >= 8 || !this.#joined.has(device) || this.oracle.log(device).length === 0) return;
    if (this.#devices.filter(({ hex }) => hex === device.hex).length >= RUNNING_MAX) return;
    this.#count('data folder copied');
    const copy = this.#addDevice(this.#specs[device.index]!, device.keys);
    copy.disk.replace(device.disk.durable);
    this.#joined.add(copy);
    this.oracle.copies(device, copy);
    copy.start();
  }

  // ---- judging

  /** What a peer shows in the middle of things, where it can be asked without the world moving on. */
  async #look(device: Device): Promise<void> {
    const { space, disk } = device;
    const log = this.oracle.log(device);
    if (!space || log.length === 0 || disk.traits.slowReads || disk.isBusy) return;
    const record = decodeSpace(disk.durable.get('spaces', space.id)!);
    if (record.sweep || record.rebuild) return;
    let isDone = false;
    const { version } = disk;
    this.#judgeState(device).then(
      () => {
        isDone = true;
      },
      // What it saw while the world went on is of no one moment.
      (thrown: unknown) => {
        if (disk.version === version) this.world.fail(thrown);
      },
    );
    await this.world.until(() => true, 0);
    if (isDone) this.looks++;
  }

  async #judge(device: Device): Promise<void> {
    const { space } = device;
    if (!space) throw new Violation('progress', `${device.name} has no space`);
    this.oracle.checkDigest(device, toHex(space.digest()));
    const shown = [];
    for await (const commit of space.log()) shown.push(commit);
    this.oracle.checkLog(device, shown);
    await this.#judgeState(device);
  }

  async #judgeState(device: Device): Promise<void> {
    const space = device.space!;
    const reserved = await space.list({ prefix: '~', limit: 100_000 });
    this.oracle.checkState(device, reserved.items, (subject) => subject.startsWith('~'));
    const record = decodeSpace(device.disk.durable.get('spaces', space.id)!);
    if (record.logOnly) return;
    const all = await space.list({ limit: 100_000 });
    this.oracle.checkState(device, all.items, (subject) => !subject.startsWith('~'));
  }

  /** Who is to have everything at the end: in, not gone, and not revoked by all that anybody knows. */
  #standing(): Device[] {
    const here = this.#devices.filter((device) => this.#joined.has(device) && !device.hasLeft);
    const members = this.oracle.membersOf(here);
    const standing = here.filter(({ hex }) => members.roleOf(hex) !== null);
    // Copies that are alone in the world never hear of each other.
    return new Set(standing.map(({ hex }) => hex)).size > 1 ? standing : standing.slice(0, 1);
  }

  /**
   * The most of them that can hear of each other. A revocation that another makes void, or that stands on a branch that is dropped, counts for nothing in
   * the end; but whoever holds it doesn't listen to the one revoked, and owners who revoked each other may meet nobody else (PROTOCOL.md, 18).
   */
  #onSpeakingTerms(standing: readonly Device[]): Device[] {
    const views = new Map(standing.map((device) => [device, this.oracle.membersOf([device])]));
    // Copies of one device don't connect to each other.
    const listens = (one: Device, other: Device): boolean =>
      one.hex !== other.hex && !views.get(one)!.isRevoked(other.hex);
    let most: Device[] = [];
    for (const first of standing) {
      const reached = new Set([first]);
      for (const one of reached)
        for (const other of standing) if (listens(one, other) && listens(other, one)) reached.add(other);
      if (reached.size > most.length) most = [...reached];
    }
    return standing.filter((device) => most.includes(device));
  }

  async #end(): Promise<void> {
    const { world } = this;
    world.note('all faults end');
    this.#isFinal = true;
    this.#network.heal();
    for (const device of this.#devices) {
      device.disk.crashAt = null;
      device.disk.full = false;
      device.disk.slowness = 1;
      device.clockOffUs = 0;
      device.start();
    }
    // Events that would end faults, and those that begin what was begun before, are among what goes on.
    await world.run(200 * SECOND);
    this.#network.heal();
    for (const device of this.#devices) {
      device.disk.full = false;
      device.disk.slowness = 1;
      device.clockOffUs = 0;
    }
    let standing = this.#standing();
    this.#bridge(standing);
    for (const device of standing) this.#dial(device);
    for (const { peer } of standing) peer?.wake();
    standing = await this.#converge(standing);
    for (const device of standing) this.#write(device, [['end', { inc: { count: 1 } }]]);
    await world.run(SECOND);
    await this.#converge(standing);
    for (const device of this.#devices) if (!device.hasLeft) this.oracle.checkStored(device);
    this.oracle.checkBranches(standing);
    for (const device of standing) await world.of(this.#judge(device), PATIENCE_US, `${device.name} is read`);
    if (this.oracle.mayFork.size > 0) await this.#resolve(standing);
    for (const device of this.#devices) device.crash(true);
    for (const device of standing) device.start();
    await this.#eventually(() => standing.every(({ peer }) => peer !== null), PATIENCE_US, 'all open again');
    for (const device of standing) {
      await world.of(device.space!.rebuild(), PATIENCE_US, `${device.name} makes its state anew`);
      await world.of(this.#judge(device), PATIENCE_US, `${device.name} is read`);
    }
  }

  /** Whoever has it all, forks and all, and writes over a conflict has resolved it: also where one of the values stands past a fork. */
  async #resolve(standing: readonly Device[]): Promise<void> {
    const members = this.oracle.membersOf(standing);
    const writer = standing.find(({ hex }) => ['owner', 'writer'].includes(members.roleOf(hex) ?? ''));
    if (!writer) return;
    const conflicts = async (device: Device): Promise<[string, string][]> => {
      const record = decodeSpace(device.disk.durable.get('spaces', device.space!.id)!);
      if (record.logOnly) return [];
      const { items } = await this.world.of(device.space!.list({ limit: 100_000 }), PATIENCE_US, 'a list');
      return items.flatMap(({ subject, meta }) =>
        Object.keys(meta).flatMap((name): [string, string][] =>
          meta[name]!.conflict.length > 0 && !/^(~|mark)/.test(subject) ? [[subject, name]] : [],
        ),
      );
    };
    const there = await conflicts(writer);
    this.#write(
      writer,
      [...Map.groupBy(there, ([subject]) => subject)].map(([subject, names]) => [
        subject,
        { set: Object.fromEntries(names.map(([, name]) => [name, 'resolved'])) },
      ]),
    );
    await this.world.run(SECOND);
    await this.#converge(standing);
    for (const device of standing) {
      const [left] = await conflicts(device);
      if (left)
        throw new Violation('past a fork', `on ${device.name} ${left.join(' ')} was resolved, and is a conflict`);
    }
  }

  /** Whoever stood between others may be gone: then there are new ways. */
  #bridge(standing: readonly Device[]): void {
    if (this.oracle.mayFork.size > 0) {
      // A neighbour may have been let in on a branch that this one hasn't got, and is a stranger.
      for (const { index } of standing) for (const other of standing) this.#openWays.add(wayKey(index, other.index));
      return;
    }
    const reached = new Set<Device>(standing.slice(0, 1));
    for (const device of reached)
      for (const other of standing) if (this.#hasWay(device.name, other.name)) reached.add(other);
    for (const device of standing) {
      if (reached.has(device)) continue;
      const other = [...reached].find(({ hex }) => hex !== device.hex);
      // A copy, and nobody to hear of both.
      if (!other) continue;
      this.#openWays.add(wayKey(other.index, device.index));
      reached.add(device);
      for (const next of reached)
        for (const other of standing) if (this.#hasWay(next.name, other.name)) reached.add(other);
    }
  }

  /**
   * A device has one line to another, so of several that run with one key the same one may be heard for ever. In the end they take turns, as where one
   * of them is switched off now and then. null: all are there.
   */
  #takeTurns(standing: readonly Device[], turn: number | null): void {
    this.#resting.clear();
    const twins = [...Map.groupBy(standing, ({ hex }) => hex).values()].filter(({ length }) => length > 1);
    if (twins.length === 0) return;
    // Each with each: where two devices run several times, a copy of the one may have a way to one copy of the other alone.
    let period = 1;
    for (const each of twins) {
      const awake = turn === null ? null : Math.floor(turn / period) % each.length;
      for (const [i, { index }] of each.entries()) if (awake !== null && i !== awake) this.#resting.add(index);
      period *= each.length;
    }
    for (const connection of this.#network.connections())
      if (connection.hosts.some((host) => this.#resting.has(Number(host.slice(1))))) connection.reset();
    for (const device of standing) this.#dial(device);
    for (const { peer } of standing) peer?.wake();
  }

  /** Gives those that now have the same: all of them but who isn't listened to. */
  async #converge(all: readonly Device[]): Promise<Device[]> {
    let standing = [...all];
    const has = (): boolean => {
      const digests = new Set(standing.map(({ space }) => (space ? toHex(space.digest()) : '')));
      return (
        digests.size === 1 &&
        this.oracle.knowSameForks(standing) &&
        standing.every(({ space, disk }) => space && !disk.isBusy && space.stats().holes === 0)
      );
    };
    for (let us = 0; us < CONVERGE_US; us += SECOND / 2) {
      if (us % TURN_US === 0) this.#takeTurns(standing, us / TURN_US);
      if (has()) {
        this.#takeTurns(standing, null);
        return standing;
      }
      await this.world.run(SECOND / 2);
      // It may be settled yet who counts: those that have heard are given time to tell.
      if (us % (CONVERGE_US / 4) === 0) standing = this.#onSpeakingTerms(all);
    }
    const each = standing.map(
      (device) =>
        `${device.name} ${device.space ? `${device.space.head} ${toHex(device.space.digest()).slice(0, 8)} holes ${device.space.stats().holes}` : 'nothing'}`,
    );
    throw new Violation('convergence', `${CONVERGE_US / SECOND} s after the last fault: ${each.join(', ')}`);
  }
}

function wayKey(a: number, b: number): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}

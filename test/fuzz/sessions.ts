/**
 * Whole sessions: a device with a valid handshake says what no honest one would, in any order, to a real peer that another, honest one syncs with. It
 * may read and not write, so nothing that it says may change anything. It begins from what a session is made of (greeting, subscribing, a batch of
 * its signed commits, acknowledgements), and every part of it may be altered, left out, repeated or moved.
 */
import { MemoryStore } from '../../client/memory-store.ts';
import { encodeBatch, type BatchEntry } from '../../protocol/batch.ts';
import { encodeBody, type Change } from '../../protocol/body.ts';
import { toHex } from '../../protocol/bytes.ts';
import { BATCH_RAW_BYTES_MAX, MESSAGE_BYTES_MAX } from '../../protocol/constants.ts';
import { asTidelogError } from '../../protocol/errors.ts';
import { encodeMessage, type Message } from '../../protocol/messages.ts';
import { TestChain } from '../support/chains.ts';
import { dump, eventually, Network, pair, type Member } from '../support/network.ts';
import { bytesOf } from '../support/protocol.ts';
import { RawPeer } from '../support/raw-peer.ts';
import { mutate } from './mutate.ts';
import { Random } from './random.ts';
import { turn } from '../support/turn.ts';

export interface SessionSummary {
  readonly sessions: number;
  /** What each ended with, and how often. */
  readonly ends: Record<string, number>;
}

/** Sessions between two looks at whether the honest ones still work. */
const SESSIONS_PER_LOOK = 25;
/** Codes that would be a fault of ours. */
const OUR_FAULTS: ReadonlySet<string> = new Set(['internal', 'data-damaged', 'store-failed', 'store-full']);

class World {
  readonly network = new Network();
  host!: Member;
  honest!: Member;
  before = { digest: '', lines: [] as string[], spaces: 1 };

  async make(): Promise<void> {
    this.host = await this.network.add('host', { store: new MemoryStore() });
    await this.host.peer.homeSpace();
    this.honest = await this.network.add('honest');
    await pair(this.host, this.honest);
    const space = this.host.peer.space();
    await space.set('note/1', { title: 'Milk' }).reached({ peers: 1 });
    for (const name of ['reader', 'mirror'] as const) {
      const raw = new RawPeer(this.host, name);
      raw.cut();
      await this.host.peer.addDevice(raw.id, { space, role: name, name });
    }
    await this.note();
  }

  async note(): Promise<void> {
    this.before = {
      digest: toHex(this.host.peer.space().digest()),
      lines: await dump(this.host.peer),
      spaces: this.host.peer.spaces.length,
    };
  }

  /** Throws where anything changed that nobody may change. */
  async check(name: string): Promise<void> {
    const { host } = this;
    if (toHex(host.peer.space().digest()) !== this.before.digest) throw new Error('the log has changed');
    const lines = await dump(host.peer);
    if (JSON.stringify(lines) !== JSON.stringify(this.before.lines)) throw new Error('the state has changed');
    const { length: spaces } = host.peer.spaces;
    if (name === 'stranger' && spaces > this.before.spaces) throw new Error('it took a space that a stranger offered');
    this.before.spaces = spaces;
    const faults = Object.keys(host.peer.counters.refusals).filter((code) => OUR_FAULTS.has(code));
    if (faults.length > 0) throw new Error(`a fault of ours: ${faults.join()}; ${host.peer.status().warnings.join()}`);
  }

  async checkWorking(): Promise<void> {
    const there = this.host.peer.space().set('works', { v: Math.random() });
    await there.reached({ peers: 1 });
    await this.honest.peer.space().set('works too', { v: Math.random() }).reached({ peers: 1 });
    await eventually(
      () => toHex(this.host.peer.space().digest()) === toHex(this.honest.peer.space().digest()),
      'the honest two have the same',
      20_000,
    );
    await this.note();
  }
}

/** What an honest device would say, and something of what others do. */
function script(random: Random, world: World, name: string): Message[] {
  const space = world.host.peer.space();
  const chain = new TestChain(space.id, `${name} ${random.below(1e9)}`);
  const own = new TestChain(space.id, name);
  const deps = space.chains.map(({ id, seq }) => ({ chain: id, seq }));
  const changes: Change[] = [
    { subject: random.pick(['evil', '~devices/x', '~space', 'note/1']), ops: { set: { v: 1 } } },
  ];
  const bodies: Uint8Array[] = [];
  const entries: BatchEntry[] = [];
  const writer = random.chance(0.7) ? own : chain;
  for (let i = 0; i < 1 + random.below(3); i++) {
    const body = encodeBody({ time: Date.now() * 1000 + i, deps: i === 0 ? deps : [], changes });
    // Signed as it is, whatever it is: what the bytes say is then all that can be wrong.
    bodies.push(random.chance(0.5) ? mutate(random, body, [body, ...bodies]) : body);
  }
  for (const body of bodies) {
    try {
      writer.write(body);
      entries.push(random.pick([writer.entry, writer.entry, writer.erased]).call(writer, writer.commits.length));
    } catch {
      // A body whose stem can't be told apart has no hash.
    }
  }
  const epoch = bytesOf('epoch', 8);
  // Whom a person here has added may offer a space of its own, and it is taken; a stranger may not.
  const state = {
    space: name !== 'stranger' || random.chance(0.5) ? space.id : bytesOf('other space', 32),
    epoch,
    head: 1 + random.below(20),
    digest: bytesOf('digest', 32),
  };
  const data = encodeBatch({ chains: [writer.after(0)], entries });
  const number = 1 + random.below(3);
  return [
    {
      type: 'HELLO',
      version: 1,
      name,
      agent: 'raw/1',
      capabilities: ['zstd'],
      limits: { message: MESSAGE_BYTES_MAX, batch: BATCH_RAW_BYTES_MAX },
      spaces: [state],
      time: Date.now() * 1000,
    },
    {
      type: 'SUBSCRIBE_ALL',
      subscription: number,
      space: space.id,
      from: random.pick([
        { kind: 'all' },
        { kind: 'cursor', epoch: space.epoch, seq: random.below(9) },
        { kind: 'vector', heads: [] },
      ] as const),
      live: random.chance(0.7),
      credit: 4 * 1024 * 1024,
    },
    {
      type: 'BATCH',
      subscription: random.pick([1, 1, 1, 2]),
      prev: 0,
      last: entries.length + random.below(2),
      codec: 0,
      rawBytes: data.length,
      data,
    },
    { type: 'CAUGHT_UP', subscription: 1, last: entries.length, digest: state.digest },
    { type: 'ACK', subscription: number, last: random.pick([0, 0, 0, 5]), credit: random.below(5000) },
    { type: 'HEARTBEAT', spaces: [{ ...state, head: 30 }], time: Date.now() * 1000 },
    {
      type: 'SUBSCRIBE',
      subscription: 7,
      space: space.id,
      filter: { kind: 'prefix', prefix: 'no' },
      from: { kind: 'all' },
      live: true,
      credit: 4 * 1024 * 1024,
    },
    { type: 'UNSUBSCRIBE', subscription: number },
    { type: 'PAIR', invite: random.chance(0.5) ? null : { id: bytesOf('id', 8), proof: bytesOf('proof', 32) }, name },
    { type: 'UNSUBSCRIBED', subscription: 1, fault: null },
  ] as Message[];
}

async function session(random: Random, world: World, name: string): Promise<string> {
  const raw = await RawPeer.connect(world.host, name);
  const honest = script(random, world, name).map(encodeMessage);
  const said = honest.slice();
  // Greeted as it should be, most often: what is said before is all refused alike.
  const first = random.chance(0.85) ? said.splice(0, 1) : [];
  for (let changes = random.below(6); changes > 0; changes--) {
    const at = random.below(said.length);
    const choice = random.below(4);
    if (choice === 0) said.splice(at, 1);
    else if (choice === 1) said.splice(at, 0, random.pick(honest));
    else if (choice === 2) said.push(...said.splice(at, 1));
    else if (said[at]) said[at] = mutate(random, said[at], honest);
    if (said.length === 0) break;
  }
  const send = (): void => {
    for (const message of [...first, ...said]) raw.sendRaw(message);
  };
  // All in one turn, or with others' turns between them.
  if (random.chance(0.3)) raw.sendTogether(send);
  else {
    for (const message of [...first, ...said]) {
      if (raw.closeCode !== null) break;
      raw.sendRaw(message);
      if (random.chance(0.5)) await turn();
    }
  }
  for (let turns = 0; turns < 30 && raw.closeCode === null; turns++)
    await new Promise((resolve) => setTimeout(resolve, turns < 20 ? 0 : 2));
  const end = raw.closeCode === null ? 'goes on' : await raw.refusedWith();
  raw.cut();
  await raw.closed;
  return end;
}

/** Throws at the first thing that a session has changed or broken, with its number and the seed. */
export async function fuzzSessions({
  seed,
  seconds,
  onSession = () => {},
}: {
  seed: number;
  seconds: number;
  onSession?: (sessions: number) => void;
}): Promise<SessionSummary> {
  const random = new Random(seed);
  const world = new World();
  const ends: Record<string, number> = {};
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', onUnhandled);
  let sessions = 0;
  try {
    await world.make();
    const untilMs = performance.now() + seconds * 1000;
    while (performance.now() < untilMs) {
      sessions++;
      const name = random.pick(['reader', 'reader', 'mirror', 'stranger']);
      const end = await session(random, world, name);
      ends[end] = (ends[end] ?? 0) + 1;
      if (OUR_FAULTS.has(end)) throw new Error(`it ended with ${end}, a fault of ours`);
      await world.check(name);
      if (unhandled.length > 0) throw new Error(`unhandled: ${asTidelogError(unhandled[0]).stack}`);
      if (sessions % SESSIONS_PER_LOOK === 0) await world.checkWorking();
      onSession(sessions);
    }
    await world.checkWorking();
  } catch (cause) {
    throw new Error(`session ${sessions} of seed ${seed}: ${(cause as Error).message}`, { cause });
  } finally {
    process.off('unhandledRejection', onUnhandled);
    await world.network.close();
  }
  return { sessions, ends };
}

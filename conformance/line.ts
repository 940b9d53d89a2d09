/**
 * A connection on which both sides have greeted, and the two things that go on there: the implementation reads the kit's log (`Pull`), and
 * the kit reads the implementation's (`Follow`). Honest unless a case makes it otherwise.
 */
import { zstdNode } from '../client/platform/zstd-node.ts';
import { authenticate, type AuthenticEntry } from '../protocol/authenticate.ts';
import { decodeBatch, encodeBatch, type Batch } from '../protocol/batch.ts';
import { decodeBody, decodeStem, eraseBody } from '../protocol/body.ts';
import { equal, toHex } from '../protocol/bytes.ts';
import {
  BATCH_RAW_BYTES_MAX,
  CODEC,
  CREDIT_BYTES_DEFAULT,
  MESSAGE_BYTES_MAX,
  PROTOCOL_VERSION,
} from '../protocol/constants.ts';
import { asTidelogError } from '../protocol/errors.ts';
import type {
  BatchMessage,
  Filter,
  Hello,
  Message,
  SpaceState,
  StartsFrom,
  Subscribe,
  SubscribeAll,
  Unsubscribed,
} from '../protocol/messages.ts';
import type { ChainHead } from '../protocol/vector.ts';
import { crypto, random } from './device.ts';
import { expect, Skip, Violation } from './violation.ts';
import type { Wire } from './wire.ts';
import { batchOf, type Commit, type World } from './world.ts';

/** Entries in a batch of the kit's, and bytes of their bodies after which a batch ends. */
const BATCH_ENTRIES = 512;
const BATCH_BODY_BYTES = 256 * 1024;

export type Subscription = SubscribeAll | Subscribe;

/** So many times longer than an answer, storing all that was sent may take. */
const STORING_FACTOR = 6;

export class Line {
  readonly wire: Wire;
  readonly world: World;
  /** The kit's log is another on each connection: no stored cursor fits, and the implementation starts from what it really has. */
  readonly epoch: Uint8Array;
  /** Their first HELLO. */
  hello!: Hello;
  /** What the kit gave them on this connection, chain (hex) → seq: they may leave it out of what they send. */
  readonly given = new Map<string, number>();
  #pull: Promise<Pull> | null = null;
  #nextSubscription = 1;

  constructor(wire: Wire, world: World, epoch = random(8)) {
    this.wire = wire;
    this.world = world;
    this.epoch = epoch;
  }

  /** The kit's log as it is now. */
  state(change: Partial<SpaceState> = {}): SpaceState {
    const { space, head } = this.world;
    return { space, epoch: this.epoch, head, digest: this.world.digest(), ...change };
  }

  sayHello(change: Partial<Hello> = {}): void {
    this.wire.send({
      type: 'HELLO',
      version: PROTOCOL_VERSION,
      name: this.wire.device.name,
      agent: 'tidelog-conformance/1',
      capabilities: ['zstd'],
      limits: { message: MESSAGE_BYTES_MAX, batch: BATCH_RAW_BYTES_MAX },
      spaces: [this.state()],
      time: Date.now() * 1000,
      ...change,
    });
  }

  /** Both HELLOs. */
  async greet(change: Partial<Hello> = {}): Promise<this> {
    this.sayHello(change);
    this.hello = await this.wire.next('HELLO');
    return this;
  }

  /** What they offer of the world's space; undefined where they don't. The newest that they said. */
  offered(): SpaceState | undefined {
    for (const message of this.wire.received.toReversed()) {
      if (message.type !== 'HELLO' && message.type !== 'HEARTBEAT') continue;
      const found = message.spaces.find(({ space }) => equal(space, this.world.space));
      if (found || message.type === 'HELLO') return found;
    }
    return undefined;
  }

  /** Their subscription to the kit's log of the space. A start from a cursor, which can't be of this epoch, is sent to the vector. */
  async pull(): Promise<Pull> {
    this.#pull ??= this.#awaitPull();
    return this.#pull;
  }

  async #awaitPull(): Promise<Pull> {
    const isOurs = ({ space }: Subscription): boolean => equal(space, this.world.space);
    for (;;) {
      const message = await this.wire.next('SUBSCRIBE_ALL', isOurs);
      const { from, subscription } = message;
      if (from.kind !== 'cursor' || equal(from.epoch, this.epoch)) return new Pull(this, message);
      this.wire.send({
        type: 'UNSUBSCRIBED',
        subscription,
        fault: {
          code: 'cursor-epoch',
          retry: true,
          afterMs: 0,
          text: 'The cursor is of another epoch of this log.',
          detail: { epoch: toHex(this.epoch), floor: 0, head: this.world.head },
        },
      });
    }
  }

  /** They get all of the world that they lack, and have it on disk. */
  async push(): Promise<Pull> {
    const pull = await this.pull();
    await pull.sendAll();
    return pull;
  }

  /** What they offer of the space, once they do: a peer that has just joined says HELLO again when the log has come. Throws a Skip where they don't. */
  async serves(): Promise<SpaceState> {
    await this.push();
    try {
      return await this.wire.until(() => this.offered(), 'an offer of the space');
    } catch (thrown) {
      if (this.wire.socket.closing) throw thrown;
      throw new Skip('it offers no space, and so serves nothing');
    }
  }

  nextSubscription(): number {
    return this.#nextSubscription++;
  }

  /** Subscribes to their log. */
  follow(options: FollowOptions = {}): Follow {
    return new Follow(this, this.nextSubscription(), options);
  }

  /** Their log is exactly the world: its digest is that of the world within the kit's patience. */
  async converged(): Promise<void> {
    const follow = this.follow({ from: { kind: 'vector', heads: this.world.vector() }, live: false });
    const { digest } = await follow.caughtUp();
    await follow.ended();
    const strange = follow.entries.find(({ chain, seq }) => !this.world.has(chain.id, seq));
    if (strange)
      throw new Violation(
        `its log holds a commit that it should not have taken: seq ${strange.seq} of device ${toHex(strange.chain.device)}`,
      );
    expect(
      equal(digest, this.world.digest()),
      `its digest is ${toHex(digest)}, and should be ${toHex(this.world.digest())}`,
    );
  }

  /**
   * They have dealt with all that was sent before: a subscription to a space that nobody has is answered in its turn.
   */
  async ping(): Promise<void> {
    const subscription = this.nextSubscription();
    this.wire.send({
      type: 'SUBSCRIBE_ALL',
      subscription,
      space: random(32),
      from: { kind: 'all' },
      live: false,
      credit: CREDIT_BYTES_DEFAULT,
    });
    const { fault } = await this.wire.next('UNSUBSCRIBED', (message) => message.subscription === subscription);
    expect(fault?.code === 'unknown-space', `a space that nobody has was answered with ${fault?.code ?? 'no fault'}`);
  }
}

// ---- the kit sends

/** What they have by a vector. */
class Coverage {
  readonly #seqByChain: ReadonlyMap<string, number>;
  constructor(heads: readonly ChainHead[]) {
    this.#seqByChain = new Map(heads.map(({ chain, seq }) => [toHex(chain), seq]));
  }
  has({ chain, seq }: Commit): boolean {
    return (this.#seqByChain.get(toHex(chain.id)) ?? 0) >= seq;
  }
}

export class Pull {
  readonly line: Line;
  readonly request: Subscription;
  readonly subscription: number;
  /** Position in the kit's log up to which it was sent. */
  cursor: number;
  /** The last position that they acknowledged. */
  acked = 0;
  credit: number;
  readonly #covered: Coverage;
  /** A CAUGHT_UP was sent. */
  saidCaughtUp = false;
  #sending: Promise<void> = Promise.resolve();

  constructor(line: Line, request: Subscription) {
    const { from } = request;
    this.line = line;
    this.request = request;
    this.subscription = request.subscription;
    this.credit = request.credit;
    this.cursor = from.kind === 'cursor' ? from.seq : 0;
    this.#covered = new Coverage(from.kind === 'vector' ? from.heads : []);
    line.wire.onMessage.add((message) => this.#onMessage(message));
  }

  #onMessage(message: Message): void {
    if (message.type !== 'ACK' || message.subscription !== this.subscription) return;
    this.acked = message.last;
    this.credit += message.credit;
  }

  /** Entries of the world after the cursor that they lack, by what they said at the start. */
  #pending(): Commit[] {
    return this.line.world.log.slice(this.cursor).filter((commit) => !this.#covered.has(commit));
  }

  /**
   * Sends what the world has and they lack, in honest batches, then CAUGHT_UP once; waits until it is acknowledged. Cases that share a line may
   * call it at once: one begins where the one before has ended.
   */
  async sendAll(): Promise<void> {
    const sent = this.#sending.then(() => this.#sendAll());
    this.#sending = sent.catch(() => {});
    await sent;
  }

  async #sendAll(): Promise<void> {
    const { world, wire } = this.line;
    for (let commits = this.#pending(); commits.length > 0; commits = this.#pending()) {
      const part = firstBatch(commits);
      const last = part.length === commits.length ? world.head : world.log.indexOf(part.at(-1)!) + 1;
      const data = encodeBatch(batchOf(part));
      await wire.until(() => this.credit >= data.length || undefined, `credit for ${data.length} bytes`);
      this.#note(part);
      this.send(data, { last });
    }
    if (this.cursor < world.head) this.send(encodeBatch({ chains: [], entries: [] }), { last: world.head });
    if (!this.saidCaughtUp) this.caughtUp();
    // It may be the whole log, and whoever has just taken a branch out makes its own anew first.
    await this.acknowledged(this.cursor, wire.patienceMs * STORING_FACTOR);
  }

  caughtUp(last = this.cursor, digest = this.line.world.digest()): void {
    this.saidCaughtUp = true;
    this.cursor = last;
    this.line.wire.send({ type: 'CAUGHT_UP', subscription: this.subscription, last, digest });
  }

  /** A BATCH of these commits, right or wrong, at the cursor. */
  batch(commits: readonly Commit[] | Batch, change: Partial<BatchMessage> = {}): void {
    const batch = isBatch(commits) ? commits : batchOf(commits);
    if (!isBatch(commits)) this.#note(commits);
    this.send(encodeBatch(batch), { last: this.cursor + batch.entries.length, ...change });
  }

  #note(commits: readonly Commit[]): void {
    const { given } = this.line;
    for (const { chain, seq } of commits) given.set(toHex(chain.id), Math.max(seq, given.get(toHex(chain.id)) ?? 0));
  }

  /** A BATCH with this data. */
  send(data: Uint8Array, change: Partial<BatchMessage> = {}): void {
    const message: BatchMessage = {
      type: 'BATCH',
      subscription: this.subscription,
      prev: this.cursor,
      last: this.cursor,
      codec: CODEC.NONE,
      rawBytes: data.length,
      data,
      ...change,
    };
    this.cursor = message.last;
    this.credit -= message.data.length;
    this.line.wire.send(message);
  }

  /** They acknowledge up to here. */
  async acknowledged(last = this.cursor, withinMs?: number): Promise<void> {
    await this.line.wire.until(() => this.acked >= last || undefined, `ACK of ${last}`, withinMs);
  }
}

function isBatch(value: readonly Commit[] | Batch): value is Batch {
  return !Array.isArray(value);
}

function firstBatch(commits: readonly Commit[]): Commit[] {
  let bytes = 0;
  const part: Commit[] = [];
  for (const commit of commits) {
    bytes += (commit.body ?? commit.erased.stem).length + 100;
    if (part.length > 0 && (part.length === BATCH_ENTRIES || bytes > BATCH_BODY_BYTES)) break;
    part.push(commit);
  }
  return part;
}

// ---- the kit reads

export interface FollowOptions {
  readonly from?: StartsFrom;
  readonly live?: boolean;
  readonly credit?: number;
  readonly filter?: Filter;
  /** Acknowledge each batch as it comes, and give its credit back. */
  readonly ack?: boolean;
  /** What comes that the world lacks is taken into it. */
  readonly intoWorld?: boolean;
  readonly space?: Uint8Array;
}

/** One of the kit's subscriptions. Each batch that comes is held against the rules for senders; what breaks one fails the case. */
export class Follow {
  readonly line: Line;
  readonly subscription: number;
  readonly options: Required<Omit<FollowOptions, 'filter'>> & { readonly filter: Filter | null };
  readonly batches: BatchMessage[] = [];
  /** What was new to the kit. */
  readonly entries: AuthenticEntry[] = [];
  /** All entries that came, also those that the kit had. */
  readonly received: AuthenticEntry[] = [];
  /** Where the next batch must begin; null before the first of a vector. */
  cursor: number | null;
  /** Bytes of data that came and weren't acknowledged. */
  unacknowledged = 0;
  credit: number;
  #caughtUp: { last: number; digest: Uint8Array } | null = null;
  #ended: Unsubscribed | null = null;
  /** What the kit has by this subscription: where it started from, and what came. */
  readonly #heads = new Map<string, ChainHead>();

  constructor(line: Line, subscription: number, options: FollowOptions) {
    const {
      from = { kind: 'all' },
      live = false,
      credit = CREDIT_BYTES_DEFAULT,
      filter = null,
      ack = true,
      intoWorld = false,
      space = line.world.space,
    } = options;
    this.line = line;
    this.subscription = subscription;
    this.options = { from, live, credit, filter, ack, intoWorld, space };
    this.credit = credit;
    this.cursor = from.kind === 'all' ? 0 : from.kind === 'cursor' ? from.seq : null;
    if (from.kind === 'vector') for (const head of from.heads) this.#heads.set(toHex(head.chain), head);
    line.wire.onMessage.add((message) => this.#onMessage(message));
    const common = { subscription, space, from, live, credit };
    line.wire.send(filter ? { type: 'SUBSCRIBE', ...common, filter } : { type: 'SUBSCRIBE_ALL', ...common });
  }

  /** A start from a cursor assumes what stands before it: the kit's world is taken for that. */
  assume(heads: readonly ChainHead[]): this {
    for (const head of heads) this.#heads.set(toHex(head.chain), head);
    return this;
  }

  #onMessage(message: Message): void {
    if (!('subscription' in message) || message.subscription !== this.subscription) return;
    switch (message.type) {
      case 'BATCH':
        return this.#onBatch(message);
      case 'CAUGHT_UP':
        expect(this.#caughtUp === null, 'it sent CAUGHT_UP twice for one subscription');
        expect(
          message.last >= (this.cursor ?? 0),
          `CAUGHT_UP is at ${message.last}, after a batch that ended at ${this.cursor}`,
        );
        this.cursor = message.last;
        this.#caughtUp = { last: message.last, digest: message.digest };
        // Batches that stand before it are acknowledged already.
        if (this.options.ack) this.acknowledge(message.last, 0);
        return;
      case 'UNSUBSCRIBED':
        expect(this.#ended === null, 'it sent UNSUBSCRIBED twice for one subscription');
        this.#ended = message;
        return;
    }
  }

  #onBatch(message: BatchMessage): void {
    const { prev, last, data } = message;
    expect(this.#ended === null, 'it sent a BATCH after UNSUBSCRIBED');
    expect(
      this.cursor === null || prev === this.cursor,
      `a BATCH begins at ${prev}; the one before ended at ${this.cursor}`,
    );
    this.cursor = last;
    this.unacknowledged += data.length;
    expect(
      this.unacknowledged <= this.credit,
      `${this.unacknowledged} bytes are out unacknowledged; the credit was ${this.credit}`,
    );
    this.batches.push(message);
    this.#take(message);
    if (this.options.ack) this.acknowledge(last, data.length);
  }

  acknowledge(last: number, credit: number): void {
    this.unacknowledged -= credit;
    this.line.wire.send({ type: 'ACK', subscription: this.subscription, last, credit });
  }

  /** Unpacks, links and verifies a batch, and checks that each entry comes after what it depends on. */
  #take({ codec, rawBytes, data, prev, last }: BatchMessage): void {
    const { space, filter, intoWorld } = this.options;
    let entries: readonly AuthenticEntry[];
    try {
      const raw = codec === CODEC.ZSTD ? zstdNode.unpack(data, rawBytes) : data;
      expect(raw.length === rawBytes, `a batch of ${raw.length} bytes declares ${rawBytes}`);
      entries = authenticate(crypto, space, decodeBatch(raw)).entries;
    } catch (thrown) {
      if (thrown instanceof Violation) throw thrown;
      throw new Violation(`it sent a batch that is wrong: ${asTidelogError(thrown).message}`);
    }
    expect(entries.length <= last - prev || filter !== null, `a batch ${prev}→${last} holds ${entries.length} entries`);
    this.received.push(...entries);
    for (const entry of entries) this.#admit(entry, filter !== null, intoWorld);
  }

  #admit(entry: AuthenticEntry, isFiltered: boolean, intoWorld: boolean): void {
    const { chain, seq, prev, id } = entry;
    const name = toHex(chain.id);
    const head = this.#heads.get(name);
    const place = `seq ${seq} of chain ${name}`;
    if ((head?.seq ?? 0) >= seq) return;
    if (entry.kind === 'gap') {
      expect(isFiltered, `it sent a gap (${place}) in a whole stream`);
    } else {
      expect(this.#has(name, seq - 1), `${place} comes, and the last before it was ${head?.seq ?? 0}`);
      expect(head?.seq !== seq - 1 || equal(head.id, prev), `${place} does not link to what it sent before`);
      let deps;
      try {
        ({ deps } = entry.kind === 'commit' ? decodeBody(entry.body) : decodeStem(entry.stem));
      } catch (thrown) {
        throw new Violation(`${place} has a body that is wrong: ${asTidelogError(thrown).message}`);
      }
      for (const dep of deps)
        expect(
          this.#has(toHex(dep.chain), dep.seq),
          `${place} comes before ${dep.seq} of chain ${toHex(dep.chain)}, which its deps name`,
        );
      if (intoWorld && !this.line.world.has(chain.id, seq)) this.line.world.add(commitOf(entry));
    }
    this.#heads.set(name, { chain: chain.id, seq, id });
    this.entries.push(entry);
  }

  /** Did it come here, or did the kit give it to them? */
  #has(chain: string, seq: number): boolean {
    return seq <= Math.max(this.#heads.get(chain)?.seq ?? 0, this.line.given.get(chain) ?? 0);
  }

  /** What the kit has by this subscription. */
  heads(): ChainHead[] {
    return [...this.#heads.values()];
  }

  async caughtUp(withinMs?: number): Promise<{ last: number; digest: Uint8Array }> {
    return this.line.wire.until(
      () => {
        if (this.#ended?.fault)
          throw new Violation(`the subscription was ended with ${this.#ended.fault.code} where CAUGHT_UP was awaited`);
        return this.#caughtUp ?? undefined;
      },
      'CAUGHT_UP',
      withinMs,
    );
  }

  get isEnded(): boolean {
    return this.#ended !== null;
  }

  async ended(withinMs?: number): Promise<Unsubscribed> {
    return this.line.wire.until(() => this.#ended ?? undefined, 'UNSUBSCRIBED', withinMs);
  }

  /** An entry that it holds already or that comes. */
  async entry(
    where: (entry: AuthenticEntry) => boolean,
    what = 'the entry',
    withinMs?: number,
  ): Promise<AuthenticEntry> {
    return this.line.wire.until(() => this.entries.find(where), what, withinMs);
  }
}

/** What another peer wrote, as the kit keeps it. */
export function commitOf(entry: Exclude<AuthenticEntry, { kind: 'gap' }>): Commit {
  const { chain, seq, prev, id, signature } = entry;
  return {
    chain,
    seq,
    prev,
    id,
    signature,
    body: entry.kind === 'commit' ? entry.body : null,
    // Not the entry itself: its other fields would pass for those of a batch's entry.
    erased:
      entry.kind === 'commit' ? eraseBody(crypto, entry.body) : { stem: entry.stem, changesHash: entry.changesHash },
  };
}

/** More of 11.3 to 11.9, 12.2, 12.3 and 12.5, at their edges: numbers from 100 on, beside those of streams.ts. */
import { zstdNode } from '../../client/platform/zstd-node.ts';
import { authenticate, type AuthenticEntry } from '../../protocol/authenticate.ts';
import { decodeBatch } from '../../protocol/batch.ts';
import { equal, toHex } from '../../protocol/bytes.ts';
import {
  CODEC,
  CREDIT_BYTES_DEFAULT,
  CREDIT_BYTES_MAX,
  CREDIT_BYTES_MIN,
  SUBSCRIPTIONS_MAX,
  VECTOR_CHAINS_MAX,
} from '../../protocol/constants.ts';
import type { StartsFrom, SubscribeAll } from '../../protocol/messages.ts';
import type { ChainHead } from '../../protocol/vector.ts';
import type { Case, LineOptions, Trial } from '../case.ts';
import { crypto, random } from '../device.ts';
import { Follow, type Line, type Subscription } from '../line.ts';
import { expect, Skip, Violation } from '../violation.ts';
import { set, type Author, type Commit } from '../world.ts';
import {
  caughtUpFiltered,
  headsAt,
  name,
  pulling,
  quiet,
  QUIET_MS,
  readAll,
  readingLine,
  reads,
  refusedCursor,
  same,
  writeSome,
} from './streams.ts';

const LARGE_BODY_BYTES = 240_000;

/** A log of more than `bytes` that nothing can pack; written once on a node that many cases share. */
function largeLog(trial: Trial, bytes: number): void {
  const held = trial.world.log.filter(({ body }) => (body?.length ?? 0) > LARGE_BODY_BYTES).length * LARGE_BODY_BYTES;
  const author = trial.author();
  for (let missing = bytes - held; missing > 0; missing -= LARGE_BODY_BYTES)
    author.write([set(`conformance/large-${name()}`, { bytes: random(LARGE_BODY_BYTES) })]);
}

/** The implementation's next subscription to the kit's log of the space, unanswered. */
async function asked(line: Line): Promise<SubscribeAll> {
  return line.wire.next('SUBSCRIBE_ALL', ({ space }) => equal(space, line.world.space));
}

function refuseSubscription(line: Line, { subscription }: Subscription, code: string, retry: boolean): void {
  const detail = code.startsWith('cursor') ? { epoch: toHex(line.epoch), floor: 0, head: line.world.head } : {};
  const fault = { code, retry, afterMs: 0, text: 'as a case wants it', detail };
  line.wire.send({ type: 'UNSUBSCRIBED', subscription, fault });
}

/** The kit's device of a case with several connections; a program that connects always meets the kit's node. */
async function oneDevice(trial: Trial, role: 'reader' | 'writer' = 'writer'): Promise<LineOptions> {
  return trial.side === 'server' ? { device: await trial.device(role) } : {};
}

/** How often who comes back may start from its vector, before it is taken not to store cursors. */
const CURSOR_TRIES = 3;

/**
 * A later connection, and what is asked on it: from a cursor, where any is stored. An ACK promises what came, and the cursor may still be on its
 * way to the disk then; our own node comes back without it once in a few times.
 */
async function comesBack(trial: Trial, options: LineOptions): Promise<{ line: Line; request: Subscription }> {
  for (let tries = 1; ; tries++) {
    const line = await trial.line(options);
    const pull = await line.pull();
    if (pull.request.from.kind === 'cursor' || tries === CURSOR_TRIES) return { line, request: pull.request };
    await pull.sendAll();
    await line.wire.close();
  }
}

/** A line of an implementation that has all of the world by an earlier one. */
async function laterLine(trial: Trial): Promise<Line> {
  const options = await oneDevice(trial);
  const first = await trial.line(options);
  await first.push();
  await first.wire.close();
  return trial.line(options);
}

function strangeHeads(count: number): ChainHead[] {
  return Array.from({ length: count }, () => ({ chain: random(16), seq: 1, id: random(32) }));
}

const startCases: readonly Case[] = [
  {
    id: '11.3/100',
    title: 'a cursor one past the head, and one at the head',
    rule: 'the cursor is after `head`',
    async run(trial) {
      const line = await readingLine(trial);
      const { epoch, head } = line.offered()!;
      const at = line.follow({ from: { kind: 'cursor', epoch, seq: head } }).assume(line.world.vector());
      const { last } = await at.caughtUp();
      expect(last === head && at.received.length === 0, `from its head, ${head}, it goes on to ${last}`);
      await refusedCursor(line, { kind: 'cursor', epoch, seq: head + 1 }, 'cursor-too-new');
    },
  },
  {
    id: '11.3/101',
    title: 'a cursor of another epoch that is after the head as well',
    rule: 'and are looked for in this order',
    async run(trial) {
      const line = await readingLine(trial);
      const { head } = line.offered()!;
      await refusedCursor(line, { kind: 'cursor', epoch: random(8), seq: head + 1 }, 'cursor-epoch');
    },
  },
  {
    id: '11.3/102',
    title: 'a cursor for a space that is not there',
    rule: 'and are looked for in this order',
    async run(trial) {
      const line = await trial.line();
      const follow = line.follow({ space: random(32), from: { kind: 'cursor', epoch: random(8), seq: 9 } });
      const { fault } = await follow.ended();
      expect(fault?.code === 'unknown-space', `it was answered with ${fault?.code ?? 'no fault'}`);
      const keys = Object.keys(fault.detail);
      expect(keys.length === 0, `detail of unknown-space, which is empty, has ${keys.join(', ')}`);
    },
  },
  {
    id: '11.3/103',
    title: 'a cursor before the floor',
    rule: 'the cursor is before `floor`, the last position that the log no longer holds',
    async run(trial) {
      const line = await readingLine(trial);
      const { epoch, head } = line.offered()!;
      const { fault } = await line.follow({ from: { kind: 'cursor', epoch, seq: head + 1_000_000 } }).ended();
      const floor = fault?.detail['floor'];
      if (typeof floor !== 'number') throw new Violation(`its floor is ${JSON.stringify(floor)}`);
      if (floor === 0) throw new Skip('its log has no floor: it holds every position');
      await refusedCursor(line, { kind: 'cursor', epoch, seq: floor - 1 }, 'cursor-too-old');
    },
  },
  {
    id: '11.3/104',
    title: 'a vector with ids that nobody has below and above the head',
    rule: 'neither does the id of a `seq` below or above its own head',
    async run(trial) {
      const [below, above] = writeSome(trial, 8) as [Author, Author];
      const line = await readingLine(trial);
      const strange = new Map([
        [toHex(below.chain.id), { chain: below.chain.id, seq: below.commits.length - 1, id: random(32) }],
        [toHex(above.chain.id), { chain: above.chain.id, seq: above.commits.length + 5, id: random(32) }],
      ]);
      const heads = line.world.vector().map((head) => strange.get(toHex(head.chain)) ?? head);
      // Not by Follow: to it the next commit doesn't link to what the vector says.
      line.wire.send({
        type: 'SUBSCRIBE_ALL',
        subscription: line.nextSubscription(),
        space: line.world.space,
        from: { kind: 'vector', heads },
        live: true,
        credit: CREDIT_BYTES_DEFAULT,
      });
      const { digest } = await line.wire.next('CAUGHT_UP');
      expect(equal(digest, line.world.digest()), 'the digest at the end is not that of the log');
      const ids = line.wire.received
        .filter((message) => message.type === 'BATCH')
        .map(({ codec, rawBytes, data }) => (codec === CODEC.ZSTD ? zstdNode.unpack(data, rawBytes) : data))
        .flatMap((raw) => authenticate(crypto, line.world.space, decodeBatch(raw)).entries)
        .map(({ id }) => toHex(id));
      expect(ids.includes(toHex(below.last!.id)), 'what the vector lacks of a chain did not come');
    },
  },
  {
    id: '11.3/105',
    title: 'several subscriptions of one space, with any numbers',
    rule: 'several subscriptions may name one space',
    async run(trial) {
      writeSome(trial, 4);
      const line = await readingLine(trial);
      const { head } = line.offered()!;
      const theirs = (await line.pull()).subscription;
      const numbers = new Set([0, theirs, Number.MAX_SAFE_INTEGER, 2 ** 32]);
      const follows = [...numbers].map((number) => new Follow(line, number, { live: number % 2 === 0 }));
      for (const follow of follows) {
        await follow.caughtUp();
        const { length } = follow.received;
        expect(length >= head, `subscription ${follow.subscription}: ${length} of ${head} came`);
      }
      await line.push();
    },
  },
  {
    id: '11.3/106',
    title: 'as many subscriptions as a connection may have, and another when one has ended',
    rule: '`SUBSCRIPTIONS_MAX` (320) open in one direction',
    async run(trial) {
      const line = await readingLine(trial);
      const heads = line.world.vector();
      const subscribe = (): Follow => line.follow({ live: true, from: { kind: 'vector', heads } });
      const follows = Array.from({ length: SUBSCRIPTIONS_MAX }, subscribe);
      for (const follow of follows) await follow.caughtUp();
      line.wire.send({ type: 'UNSUBSCRIBE', subscription: follows[0]!.subscription });
      await follows[0]!.ended();
      await subscribe().caughtUp();
    },
  },
  {
    id: '11.3/107',
    title: 'the least credit and the most',
    rule: '`CREDIT_BYTES_MIN` (2,097,152) to `CREDIT_BYTES_MAX` (1,073,741,824)',
    async run(trial) {
      const line = await readingLine(trial);
      for (const credit of [CREDIT_BYTES_MIN, CREDIT_BYTES_MAX]) await (await reads(line, { credit })).ended();
    },
  },
  {
    id: '11.3/108',
    title: 'a vector of 20,000 chains',
    rule: 'A vector has at most `VECTOR_CHAINS_MAX` (20,000) chains, in any order',
    async run(trial) {
      const line = await readingLine(trial);
      const heads = [...line.world.vector(), ...strangeHeads(VECTOR_CHAINS_MAX)].slice(0, VECTOR_CHAINS_MAX);
      const follow = await reads(line, { from: { kind: 'vector', heads: heads.toReversed() } });
      const { digest } = await follow.caughtUp();
      expect(equal(digest, line.world.digest()), 'the digest at the end is not that of the log');
    },
  },
  {
    id: '11.3/109',
    title: 'a vector of 20,001 chains',
    rule: 'A vector has at most `VECTOR_CHAINS_MAX` (20,000) chains',
    hostile: true,
    async run(trial) {
      const line = await trial.line();
      line.follow({ from: { kind: 'vector', heads: strangeHeads(VECTOR_CHAINS_MAX + 1) } });
      await line.wire.refused('bad-message');
    },
  },
  ...['cursor-too-old', 'cursor-too-new', 'cursor-epoch'].map((code, i): Case => ({
    id: `11.3/${110 + i}`,
    title: `after ${code} it asks with its vector, and then no more`,
    rule: 'After any of the three cursor faults the subscriber subscribes again with its vector, once',
    async run(trial) {
      const options = { ...(await oneDevice(trial)), epoch: random(8) };
      const first = await trial.line(options);
      writeSome(trial, 2);
      await first.push();
      await first.wire.close();
      const { line, request } = await comesBack(trial, options);
      if (request.from.kind !== 'cursor') throw new Skip('it does not start from cursors');
      refuseSubscription(line, request, code, true);
      const again = await asked(line);
      expect(again.subscription !== request.subscription, 'it used the number of a subscription again');
      expect(again.from.kind !== 'cursor', `it starts from a cursor again after ${code}`);
      refuseSubscription(line, again, code, true);
      await line.wire.without(['SUBSCRIBE_ALL'], QUIET_MS, 'its vector was refused like its cursor');
      if (!line.wire.socket.closing) await line.wire.close();
      await trial.unharmed();
    },
  })),
  {
    id: '11.3/113',
    title: 'after bad-request it does not ask so again',
    rule: 'After `bad-request` it MUST NOT ask so again on this connection',
    async run(trial) {
      const line = await trial.line();
      const request = await asked(line);
      refuseSubscription(line, request, 'bad-request', false);
      line.sayHello();
      line.wire.send({ type: 'HEARTBEAT', spaces: [line.state()], time: 0 });
      await line.ping();
      await quiet(line);
      const times = line.wire.received.filter(
        (message) =>
          message.type === 'SUBSCRIBE_ALL' &&
          equal(message.space, request.space) &&
          message.from.kind === request.from.kind &&
          message.live === request.live,
      ).length;
      expect(times === 1, `it asked ${times} times`);
    },
  },
  {
    id: '11.3/114',
    title: 'after unknown-space it waits for another HELLO',
    rule: 'and after `unknown-space` not before another HELLO',
    async run(trial) {
      const line = await trial.line();
      refuseSubscription(line, await asked(line), 'unknown-space', false);
      line.wire.send({ type: 'HEARTBEAT', spaces: [line.state({ head: line.world.head + 1 })], time: 0 });
      await line.ping();
      await quiet(line);
      const times = line.wire.received.filter(
        (message) => message.type === 'SUBSCRIBE_ALL' && equal(message.space, line.world.space),
      ).length;
      expect(times === 1, `it asked ${times} times, and no HELLO came since it was told unknown-space`);
      line.sayHello();
      await line.ping();
    },
  },
  {
    id: '11.3/115',
    title: 'its vector says what it has',
    rule: '**Exclusive**: each `seq` is the last that the subscriber has, from anyone',
    async run(trial) {
      const authors = writeSome(trial, 6);
      const line = await laterLine(trial);
      const { from } = (await line.pull()).request;
      if (from.kind !== 'vector') throw new Violation(`it has a log, and starts from ${from.kind} in a new epoch`);
      for (const { chain, last } of authors) {
        const head = from.heads.find((each) => equal(each.chain, chain.id));
        expect(head?.seq === last!.seq, `it acknowledged ${last!.seq} of a chain, and names ${head?.seq ?? 'none'}`);
        expect(equal(head.id, last!.id), 'it names another id at the head of a chain than it was sent');
      }
      for (const { chain, seq, id } of from.heads) {
        const commit = line.world.log.find((each) => each.seq === seq && equal(each.chain.id, chain));
        expect(!commit || equal(commit.id, id), `it names another id at seq ${seq} of chain ${toHex(chain)}`);
      }
    },
  },
  {
    id: '11.4/100',
    title: 'both filters are served',
    rule: 'as SUBSCRIBE_ALL, for a part of the subjects',
    should: true,
    async run(trial) {
      const line = await readingLine(trial);
      await reads(line, { filter: { kind: 'subject', subject: 'conformance/none' } });
      await reads(line, { filter: { kind: 'prefix', prefix: 'conformance/none' } });
    },
  },
];

const receiverCases: readonly Case[] = [
  {
    id: '11.5/100',
    title: 'after a vector the first batch begins anywhere, and batches hold less than their positions',
    rule: 'after a start from a vector the first may be any',
    async run(trial) {
      const line = await laterLine(trial);
      const pull = await line.pull();
      if (pull.request.from.kind !== 'vector') throw new Skip('it does not start from a vector');
      const { head } = line.world;
      const author = trial.author();
      author.write([set(`conformance/far-${name()}`, { n: 1 })]);
      pull.cursor = 5_000_000_000;
      pull.batch(line.world.log.slice(head), { last: pull.cursor + 1000 });
      await pull.acknowledged();
      pull.batch([author.write([set(`conformance/far-${name()}`, { n: 2 })])], { last: pull.cursor + 3 });
      await pull.acknowledged();
      pull.caughtUp();
      await trial.unharmed();
    },
  },
  {
    id: '11.5/101',
    title: 'from 0, and the first batch begins later',
    rule: 'or the cursor that it started from',
    hostile: true,
    async run(trial) {
      const line = await trial.line();
      const pull = await line.pull();
      if (pull.request.from.kind !== 'all') throw new Skip('it has a log already, and starts from that');
      pull.batch([line.world.log[0]!], { prev: 1, last: 2 });
      await line.wire.refused('cursor-mismatch');
    },
  },
  {
    id: '11.5/102',
    title: 'a batch that begins one position early',
    rule: 'otherwise `cursor-mismatch`',
    hostile: true,
    async run(trial) {
      const { line, pull } = await pulling(trial);
      const at = pull.cursor;
      pull.batch([], { prev: at - 1, last: at + 1 });
      await line.wire.refused('cursor-mismatch');
    },
  },
  {
    id: '11.5/103',
    title: 'a batch that begins before the last CAUGHT_UP',
    rule: '`prev` is the `last` of the previous BATCH or CAUGHT_UP',
    hostile: true,
    async run(trial) {
      const line = await trial.line();
      const pull = await line.pull();
      const at = pull.cursor;
      pull.caughtUp(at + 9);
      pull.batch([], { prev: at, last: at + 10 });
      await line.wire.refused('cursor-mismatch');
    },
  },
  {
    id: '11.6/100',
    title: 'CAUGHT_UP past the cursor is acknowledged',
    rule: 'and acknowledges that if it is new to it',
    async run(trial) {
      const line = await trial.line();
      const pull = await line.pull();
      pull.caughtUp(pull.cursor + 7);
      await pull.acknowledged();
      pull.batch([], { last: pull.cursor + 1 });
      await pull.acknowledged();
    },
  },
  {
    id: '11.7/100',
    title: 'ACKs come in order, and none before its batch',
    rule: "Everything up to `last` in the sender's log is on the subscriber's **disk**",
    async run(trial) {
      const { line, pull, author } = await pulling(trial);
      let sent = pull.cursor;
      let acked = 0;
      const faults: string[] = [];
      line.wire.onMessage.add((message) => {
        if (message.type !== 'ACK' || message.subscription !== pull.subscription) return;
        if (message.last > sent) faults.push(`it acknowledged ${message.last}, and ${sent} was sent`);
        if (message.last < acked) faults.push(`it acknowledged ${message.last} after ${acked}`);
        acked = message.last;
      });
      for (let i = 0; i < 30; i++) {
        const commit = author.write([set(`conformance/order-${name()}`, { i })]);
        sent = pull.cursor + 3;
        pull.batch([commit], { last: sent });
        if (i % 7 === 0) await pull.acknowledged();
      }
      await pull.acknowledged();
      expect(faults.length === 0, faults[0] ?? '');
      await trial.unharmed();
    },
  },
  {
    id: '11.7/101',
    title: 'no ACK for a batch that is refused, and none behind it',
    rule: 'A subscriber MUST NOT send an ACK before that is so',
    hostile: true,
    async run(trial) {
      const { line, pull, author } = await pulling(trial);
      pull.batch([author.write([set(`conformance/good-${name()}`, { n: 1 })])]);
      const good = pull.cursor;
      const forged = author.withSignature(author.draft([set('conformance/forged', { n: 1 })]), random(64));
      pull.batch([forged]);
      pull.batch([], { last: pull.cursor + 1 });
      await line.wire.ended();
      const past = line.wire.received.find((message) => message.type === 'ACK' && message.last > good);
      expect(!past, `it acknowledged what came after ${good}, and refused that`);
    },
  },
];

const senderCases: readonly Case[] = [
  {
    id: '11.7/102',
    title: 'an ACK before the position at which the subscription began',
    rule: 'before the first ACK the position at which the subscription began counts as acknowledged',
    hostile: true,
    async run(trial) {
      writeSome(trial, 4);
      const line = await readingLine(trial);
      const { epoch, head } = line.offered()!;
      const from = { kind: 'cursor', epoch, seq: head - 1 } as const;
      const follow = line.follow({ from, live: true, ack: false }).assume(line.world.vector());
      await follow.caughtUp();
      follow.acknowledge(head - 2, 0);
      await line.wire.refused('bad-message');
    },
  },
  {
    id: '11.7/103',
    title: 'ACKs in small steps, and for what is not there any more',
    rule: "For a subscription that isn't there an ACK is ignored",
    async run(trial) {
      writeSome(trial, 4);
      const line = await readingLine(trial);
      const { epoch, head } = line.offered()!;
      const from = { kind: 'cursor', epoch, seq: head - 3 } as const;
      const follow = line.follow({ from, ack: false }).assume(line.world.vector());
      const { last } = await follow.caughtUp();
      for (let at = head - 3; at < last; at++) follow.acknowledge(at, 0);
      follow.acknowledge(last, follow.unacknowledged);
      await follow.ended();
      for (const subscription of [follow.subscription, 900_000])
        for (const at of [0, last, Number.MAX_SAFE_INTEGER])
          line.wire.send({ type: 'ACK', subscription, last: at, credit: Number.MAX_SAFE_INTEGER });
      await line.ping();
    },
  },
  {
    id: '11.8/100',
    title: 'UNSUBSCRIBE while much is out, twice, and of what is not there',
    rule: "For a subscription that isn't there it is ignored",
    async run(trial) {
      writeSome(trial, 4);
      const line = await readingLine(trial);
      const follow = line.follow({ live: true, ack: false });
      await line.wire.until(() => follow.batches[0], 'a BATCH');
      const { subscription } = follow;
      for (let i = 0; i < 3; i++) line.wire.send({ type: 'UNSUBSCRIBE', subscription });
      line.wire.send({ type: 'UNSUBSCRIBE', subscription: 900_000 });
      const { fault } = await follow.ended();
      expect(fault === null, `it ended with ${fault?.code}`);
      follow.acknowledge(follow.cursor!, follow.unacknowledged);
      await line.ping();
    },
  },
  {
    id: '11.9/100',
    title: 'once, from the head: it ends, and there is nothing to acknowledge',
    rule: "because all was sent, acknowledged, and it wasn't live",
    async run(trial) {
      const line = await readingLine(trial);
      const { epoch, head } = line.offered()!;
      const follow = line.follow({ from: { kind: 'cursor', epoch, seq: head }, ack: false });
      const { fault } = await follow.ended();
      expect(fault === null, `it ended with ${fault?.code}`);
    },
  },
  {
    id: '12.2/100',
    title: 'the same log on each connection: epoch, positions, bodies',
    rule: 'A sender reads its own log from a position onwards',
    async run(trial) {
      writeSome(trial, 6);
      const first = await readingLine(trial);
      const { epoch } = first.offered()!;
      const entries = await readAll(first);
      const line = await readingLine(trial);
      expect(equal(line.offered()!.epoch, epoch), 'its epoch changed from one connection to the next');
      const again = await readAll(line);
      same(again.slice(0, entries.length), entries, 'the second time');
      for (const [i, entry] of entries.entries()) {
        const other = again[i]!;
        const isSame =
          equal(entry.id, other.id) &&
          entry.kind === other.kind &&
          (entry.kind !== 'commit' || (other.kind === 'commit' && equal(entry.body, other.body)));
        expect(isSame, `position ${i + 1} holds another entry on the second connection`);
      }
    },
  },
  {
    id: '12.2/101',
    title: 'what the kit gave on a connection does not come back on it',
    rule: 'and those that it sent on this connection',
    should: true,
    async run(trial) {
      const line = await readingLine(trial);
      const follow = line.follow({ live: true, from: { kind: 'vector', heads: line.world.vector() } });
      await follow.caughtUp();
      const authors = writeSome(trial, 4);
      await line.push();
      await line.ping();
      await quiet(line);
      const back = follow.received.filter(({ chain }) => authors.some((each) => equal(each.chain.id, chain.id)));
      expect(back.length === 0, `${back.length} of them came back`);
    },
  },
  {
    id: '12.2/102',
    title: 'read in parts over several connections: no gap, nothing twice',
    rule: 'a cursor that is read on when the log grows',
    async run(trial) {
      const came: AuthenticEntry[] = [];
      let from: StartsFrom = { kind: 'all' };
      for (let round = 0; round < 4; round++) {
        writeSome(trial, 3);
        const line = await readingLine(trial);
        const follow = line.follow({ from }).assume(headsAt(came, came.length));
        const { last } = await follow.caughtUp();
        came.push(...follow.received);
        from = { kind: 'cursor', epoch: line.offered()!.epoch, seq: last };
        line.wire.socket.cut();
      }
      const entries = await readAll(await readingLine(trial));
      same(came, entries.slice(0, came.length), 'in parts');
    },
  },
  {
    id: '12.2/103',
    title: 'killed when another peer has just heard of a commit, it has that commit',
    rule: 'and only what is on its own disk',
    side: 'server',
    alone: true,
    needs: ['run'],
    async run(trial) {
      const reader = await trial.device('reader');
      for (let round = 0; round < 4; round++) {
        const { pull, author } = await pulling(trial);
        const line = await trial.line({ device: reader });
        const follow = line.follow({ live: true, from: { kind: 'vector', heads: line.world.vector() } });
        await follow.caughtUp();
        const { length } = follow.received;
        let killed: Promise<void> | null = null;
        // In this very turn: what isn't on the disk by now is lost.
        line.wire.onMessage.add(() => {
          if (follow.received.length > length) killed ??= trial.kill();
        });
        const subject = `conformance/relayed-${name()}`;
        const commits = Array.from({ length: 300 }, () => author.write([set(subject, { bytes: random(4000) })]));
        pull.batch(commits);
        await line.wire
          .until(() => killed ?? undefined, 'a BATCH')
          .catch((thrown: unknown) => {
            if (killed === null) throw thrown;
          });
        await killed;
        const heard = follow.heads().find(({ chain }) => equal(chain, author.chain.id))?.seq ?? 0;
        const again = await trial.line();
        const { from } = (await again.pull()).request;
        if (from.kind !== 'vector') throw new Violation(`it has a log, and starts from ${from.kind} in a new epoch`);
        const head = from.heads.find(({ chain }) => equal(chain, author.chain.id))?.seq ?? 0;
        expect(heard > 0 && head >= heard, `it sent ${heard} commits of a chain on, and has ${head} of them`);
        await again.push();
      }
    },
  },
  {
    id: '12.2/104',
    title: 'it goes on from its cursor where the epoch is the same',
    rule: "A subscriber SHOULD store the cursor of each device's log, with its epoch",
    should: true,
    async run(trial) {
      const options = { ...(await oneDevice(trial)), epoch: random(8) };
      const first = await trial.line(options);
      writeSome(trial, 2);
      const { cursor } = await first.push();
      await first.wire.close();
      const { from } = (await comesBack(trial, options)).request;
      expect(from.kind === 'cursor', `it starts from ${from.kind}`);
      expect(from.seq === cursor, `it starts from cursor ${from.seq}, and acknowledged ${cursor}`);
    },
  },
  {
    id: '12.3/100',
    title: 'credit that comes back in small pieces',
    rule: 'A sender MUST NOT send a BATCH that would take it below zero',
    async run(trial) {
      largeLog(trial, 3 * CREDIT_BYTES_MIN);
      const line = await readingLine(trial);
      const follow = line.follow({ credit: CREDIT_BYTES_MIN, ack: false });
      await line.wire.until(() => follow.batches[0], 'a BATCH');
      // Whatever comes for them, Follow holds it against what is left.
      for (const bytes of [1, 1000, 100_000, 700_000]) {
        await quiet(line);
        follow.acknowledge(follow.cursor!, Math.min(bytes, follow.unacknowledged));
      }
      await quiet(line);
      while (follow.cursor! < line.offered()!.head) {
        const { length } = follow.batches;
        follow.acknowledge(follow.cursor!, follow.unacknowledged);
        await line.wire.until(() => (follow.batches.length > length ? true : undefined), 'a BATCH for all its credit');
      }
      follow.acknowledge(follow.cursor!, follow.unacknowledged);
      await follow.caughtUp();
    },
  },
  {
    id: '12.3/101',
    title: 'credit is of one subscription',
    rule: "The subscriber's `credit` is how many bytes of `data` may be out unacknowledged.",
    async run(trial) {
      largeLog(trial, 3 * CREDIT_BYTES_MIN);
      const line = await readingLine(trial);
      const stuck = line.follow({ credit: CREDIT_BYTES_MIN, ack: false });
      await line.wire.until(() => stuck.batches[0], 'a BATCH');
      await quiet(line);
      const { head } = line.offered()!;
      const other = line.follow({ credit: CREDIT_BYTES_MIN });
      await other.caughtUp(30_000);
      expect(other.received.length >= head, `${other.received.length} entries came of ${head}`);
    },
  },
  {
    id: '12.3/102',
    title: 'more credit before anything is acknowledged',
    rule: 'ACK gives back',
    async run(trial) {
      largeLog(trial, 3 * CREDIT_BYTES_MIN);
      const line = await readingLine(trial);
      const follow = line.follow({ credit: CREDIT_BYTES_MIN, ack: false });
      await line.wire.until(() => follow.batches[0], 'a BATCH');
      follow.acknowledge(0, 64 * 1024 * 1024);
      await follow.caughtUp(30_000);
    },
  },
];

const filterCases: readonly Case[] = [
  {
    id: '12.5/100',
    title: 'of unwanted commits those come that had seen something new, and erased',
    rule: 'it carries those whose `deps` are not empty, erased',
    async run(trial) {
      const wanted = `conformance/wanted-${name()}`;
      const [one, two] = [trial.author(), trial.author()];
      const plain: Commit[] = [];
      const seeing: Commit[] = [];
      const whole: Commit[] = [];
      const unwanted = (): string => `conformance/unwanted-${name()}`;
      for (let i = 0; i < 5; i++) {
        whole.push(one.write([set(`${wanted}/${i}`, { i })]));
        seeing.push(two.write([set(unwanted(), { i })]));
        plain.push(one.write([set(unwanted(), { i })], { deps: [] }));
        plain.push(one.write([set(unwanted(), { i })], { deps: [] }));
      }
      // Sent as it is, though it changes another subject too.
      whole.push(two.write([set(unwanted(), { n: 1 }), set(`${wanted}/both`, { n: 1 })]));
      const line = await readingLine(trial);
      const follow = line.follow({ filter: { kind: 'prefix', prefix: wanted } });
      await caughtUpFiltered(follow);
      const kindOf = ({ id }: Commit): string =>
        follow.received.find((entry) => entry.kind !== 'gap' && equal(entry.id, id))?.kind ?? 'nothing';
      const check = (commits: readonly Commit[], kind: string, what: string): void => {
        for (const commit of commits)
          expect(
            kindOf(commit) === kind,
            `${what} came as ${kindOf(commit)}, and should as ${kind}: seq ${commit.seq}`,
          );
      };
      check(whole, 'commit', 'a commit that changes what is wanted');
      check(seeing, 'erased', 'an unwanted commit with deps');
      check(plain, 'nothing', 'an unwanted commit without deps');
    },
  },
  {
    id: '12.5/101',
    title: 'what a filter matches, byte by byte',
    rule: 'A filtered stream carries every commit that changes a wanted subject',
    async run(trial) {
      const stem = `conformance/match-${name()}`;
      const author = trial.author();
      const ends = ['/a', '/a/b', '/ab', '/A', '/\u00E9', '/e\u0301', ''];
      const commits = [...ends.map((end) => stem + end), `x${stem}/a`].map(
        (subject) => [subject, author.write([set(subject, { n: 1 })])] as const,
      );
      const line = await readingLine(trial);
      const filters = [
        ...['/a', '/\u00E9'].map((end) => ({ kind: 'subject', subject: stem + end }) as const),
        ...['/a', '/e', ''].map((end) => ({ kind: 'prefix', prefix: stem + end }) as const),
      ];
      for (const filter of filters) {
        const follow = line.follow({ filter });
        await caughtUpFiltered(follow);
        for (const [subject, { id }] of commits) {
          const isWanted = filter.kind === 'subject' ? subject === filter.subject : subject.startsWith(filter.prefix);
          const isWhole = follow.received.some((entry) => entry.kind === 'commit' && equal(entry.id, id));
          const what = JSON.stringify([filter, subject]);
          expect(isWhole === isWanted, `${what}: it ${isWhole ? 'came whole' : 'did not come whole'}`);
        }
      }
    },
  },
  {
    id: '12.5/102',
    title: 'a filtered stream from a cursor and from a vector',
    rule: '`prev` and `last` move as in a whole stream',
    async run(trial) {
      const wanted = `conformance/wanted-${name()}`;
      writeSome(trial, 4, wanted);
      const entries = await readAll(await readingLine(trial));
      const count = entries.length - 2;
      // Of such nothing but a gap is left, also at the end.
      for (const author of writeSome(trial, 4))
        author.write([set(`conformance/unwanted-${name()}`, { n: 1 })], { deps: [] });
      const authors = writeSome(trial, 4, wanted);
      const heads = headsAt(entries, count);
      for (const kind of ['cursor', 'vector'] as const) {
        const line = await readingLine(trial);
        const { epoch } = line.offered()!;
        const from: StartsFrom = kind === 'cursor' ? { kind, epoch, seq: count } : { kind, heads };
        const follow = line.follow({ from, filter: { kind: 'prefix', prefix: wanted } }).assume(heads);
        await caughtUpFiltered(follow);
        for (const { chain, seq } of line.world.vector()) {
          const found = follow.heads().find((each) => equal(each.chain, chain))?.seq ?? 0;
          expect(found === seq, `from a ${kind}: chain ${toHex(chain)} is covered to ${found}, and goes to ${seq}`);
        }
        for (const { last } of authors)
          expect(
            follow.received.some((entry) => entry.kind === 'commit' && equal(entry.id, last!.id)),
            `from a ${kind}: a wanted commit did not come whole`,
          );
      }
    },
  },
  {
    id: '12.5/103',
    title: 'live, a wanted commit behind several unwanted ones',
    rule: '`prev` and `last` move as in a whole stream',
    side: 'server',
    async run(trial) {
      const wanted = `conformance/wanted-${name()}`;
      const { pull, author } = await pulling(trial);
      const line = await readingLine(trial);
      const follow = line.follow({ live: true, filter: { kind: 'prefix', prefix: wanted } });
      await caughtUpFiltered(follow);
      for (let i = 0; i < 20; i++) {
        const isWanted = i % 5 === 4;
        const subject = isWanted ? `${wanted}/${i}` : `conformance/unwanted-${name()}`;
        const { id } = author.write([set(subject, { i })]);
        await pull.sendAll();
        const isIt = (entry: AuthenticEntry): boolean => entry.kind === 'commit' && equal(entry.id, id);
        if (isWanted) await follow.entry(isIt, `wanted commit ${i}`);
      }
    },
  },
];

export const subscriptionCases: readonly Case[] = [...startCases, ...receiverCases, ...senderCases, ...filterCases];

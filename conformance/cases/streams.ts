/** What goes on inside subscriptions: 11.3 to 11.9 as sender and as receiver, 12.2, 12.3 and 12.5. */
import type { AuthenticEntry } from '../../protocol/authenticate.ts';
import { encodeBatch } from '../../protocol/batch.ts';
import { decodeBody } from '../../protocol/body.ts';
import { equal, toHex } from '../../protocol/bytes.ts';
import {
  BATCH_DATA_BYTES_MAX,
  BATCH_RAW_BYTES_MAX,
  CODEC,
  CREDIT_BYTES_DEFAULT,
  CREDIT_BYTES_MAX,
  CREDIT_BYTES_MIN,
  RESERVED_PREFIX,
  SUBSCRIPTIONS_MAX,
} from '../../protocol/constants.ts';
import type { StartsFrom } from '../../protocol/messages.ts';
import type { ChainHead } from '../../protocol/vector.ts';
import type { Case, LineOptions, Trial } from '../case.ts';
import { random } from '../device.ts';
import type { Follow, FollowOptions, Line, Pull } from '../line.ts';
import { expect, Skip, Violation } from '../violation.ts';
import { batchOf, set, type Author } from '../world.ts';

/** Long enough for what is wrong to come, where nothing should. */
export const QUIET_MS = 400;

export function name(): string {
  return toHex(random(4));
}

/** Some commits of two authors that had seen each other, as the log of a small household has them. */
export function writeSome(trial: Trial, count: number, subject = `conformance/stream-${name()}`): Author[] {
  const authors = [trial.author(), trial.author()];
  for (let i = 0; i < count; i++) authors[i % 2]!.write([set(`${subject}/${i}`, { i })]);
  return authors;
}

/** A line on which the kit has given nothing, of an implementation that has all of the world and serves it. */
export async function readingLine(trial: Trial, options: LineOptions = {}): Promise<Line> {
  const first = await trial.line(trial.side === 'server' ? { role: 'reader' } : {});
  await first.serves();
  await first.wire.close();
  const line = await trial.line(trial.side === 'server' ? { ...options, device: first.wire.device } : options);
  if (!line.offered()) throw new Skip('it offers no space, and so serves nothing');
  return line;
}

/** All of its log, by position from 1; it must begin at 1 and leave nothing out. */
export async function readAll(line: Line): Promise<AuthenticEntry[]> {
  const follow = line.follow();
  const { last } = await follow.caughtUp();
  await follow.ended();
  expect(follow.received.length === last, `its log has ${last} positions, and ${follow.received.length} entries came`);
  return follow.received;
}

/** Heads after the first `count` entries. */
export function headsAt(entries: readonly AuthenticEntry[], count: number): ChainHead[] {
  const heads = new Map<string, ChainHead>();
  for (const { chain, seq, id } of entries.slice(0, count)) heads.set(toHex(chain.id), { chain: chain.id, seq, id });
  return [...heads.values()];
}

export async function reads(line: Line, options: FollowOptions, assumed: readonly ChainHead[] = []): Promise<Follow> {
  const follow = line.follow(options).assume(assumed);
  await follow.caughtUp();
  return follow;
}

function places(entries: readonly AuthenticEntry[]): string[] {
  return entries.map(({ chain, seq }) => `${toHex(chain.id).slice(0, 8)}/${seq}`);
}

export function same(came: readonly AuthenticEntry[], wanted: readonly AuthenticEntry[], what: string): void {
  const [a, b] = [places(came), places(wanted)];
  const at = a.findIndex((place, i) => place !== b[i]);
  if (a.length === b.length && at < 0) return;
  const where = at < 0 ? Math.min(a.length, b.length) : at;
  throw new Violation(
    `${what}: ${a.length} entries came, ${b.length} should; the first that differs is ${a[where] ?? 'missing'} where ${b[where] ?? 'nothing'} should stand`,
  );
}

const startCases: readonly Case[] = [
  {
    id: '11.3/1',
    title: 'from 0: all, from position 1',
    rule: 'position 1',
    async run(trial) {
      writeSome(trial, 6);
      const line = await readingLine(trial);
      const entries = await readAll(line);
      expect(
        entries.length === line.offered()!.head,
        `${entries.length} entries came, and its head is ${line.offered()!.head}`,
      );
    },
  },
  {
    id: '11.3/2',
    title: 'from cursors: exactly what stands after them',
    rule: '**Exclusive**: `seq` is the last that the subscriber has on disk of this log',
    async run(trial) {
      writeSome(trial, 6);
      const first = await readingLine(trial);
      const entries = await readAll(first);
      const { epoch, head } = first.offered()!;
      for (const seq of new Set([0, 1, 2, head - 3, head - 1, head])) {
        // On a line of its own: what was sent on this one may be left out.
        const line = await readingLine(trial);
        if (!equal(line.offered()!.epoch, epoch))
          throw new Violation('its epoch changed from one connection to the next');
        const follow = await reads(line, { from: { kind: 'cursor', epoch, seq } }, headsAt(entries, seq));
        same(follow.received.slice(0, head - seq), entries.slice(seq, head), `from cursor ${seq}`);
      }
    },
  },
  {
    id: '11.3/3',
    title: 'from a vector: nothing that it lacks is missing',
    rule: "what the vector doesn't cover",
    async run(trial) {
      writeSome(trial, 6);
      const entries = await readAll(await readingLine(trial));
      for (const count of [1, Math.floor(entries.length / 2), entries.length - 1, entries.length]) {
        const line = await readingLine(trial);
        const heads = headsAt(entries, count);
        const follow = await reads(line, { from: { kind: 'vector', heads } });
        const { digest } = await follow.caughtUp();
        for (const { chain, seq } of headsAt(entries, entries.length)) {
          const found = follow.heads().find((head) => equal(head.chain, chain))?.seq ?? 0;
          expect(found >= seq, `chain ${toHex(chain)} was read to ${found}, and goes to ${seq}`);
        }
        expect(digest.length === 32, 'CAUGHT_UP has no digest');
      }
    },
  },
  {
    id: '12.2/1',
    title: 'from a vector: nothing that it covers comes again',
    rule: 'It SHOULD leave out entries that the subscriber has: those that its vector covers, and those that it sent on this connection.',
    should: true,
    async run(trial) {
      writeSome(trial, 6);
      const entries = await readAll(await readingLine(trial));
      const line = await readingLine(trial);
      const count = Math.floor(entries.length / 2);
      const follow = await reads(line, { from: { kind: 'vector', heads: headsAt(entries, count) } });
      const again = follow.received.length - follow.entries.length;
      expect(again === 0, `${again} entries came that the vector covers`);
    },
  },
  {
    id: '11.3/4',
    title: 'from an empty vector: all',
    rule: 'An empty vector is legal.',
    async run(trial) {
      writeSome(trial, 2);
      const line = await readingLine(trial);
      const { head } = line.offered()!;
      const follow = await reads(line, { from: { kind: 'vector', heads: [] } });
      expect(follow.entries.length >= head, `${follow.entries.length} entries came of ${head}`);
    },
  },
  {
    id: '11.3/5',
    title: 'a vector with chains that nobody knows',
    rule: 'Another chain says nothing to it',
    async run(trial) {
      writeSome(trial, 2);
      const line = await readingLine(trial);
      const { head } = line.offered()!;
      const strange = Array.from({ length: 50 }, () => ({ chain: random(16), seq: 7, id: random(32) }));
      const follow = await reads(line, { from: { kind: 'vector', heads: strange } });
      expect(follow.entries.length >= head, `${follow.entries.length} entries came of ${head}`);
    },
  },
  {
    id: '11.3/6',
    title: 'a vector with another id at the head of a chain',
    rule: "Where a vector names another id at the sender's own head of a chain, the subscription ends with `fork`, and `chain` (32 hex digits) in `detail`.",
    hostile: true,
    async run(trial) {
      const [author] = writeSome(trial, 3);
      const line = await readingLine(trial);
      const { seq } = author!.last!;
      const { id } = author!.chain;
      const follow = line.follow({ from: { kind: 'vector', heads: [{ chain: id, seq, id: random(32) }] } });
      const { fault } = await follow.ended();
      expect(fault?.code === 'fork', `it ended with ${fault?.code ?? 'no fault'}`);
      expect(fault?.detail['chain'] === toHex(id), `its detail names ${String(fault?.detail['chain'])}`);
    },
  },
  {
    id: '11.3/7',
    title: 'a cursor of another epoch',
    rule: "the cursor's epoch is not the log's",
    async run(trial) {
      const line = await readingLine(trial);
      await refusedCursor(line, { kind: 'cursor', epoch: random(8), seq: 0 }, 'cursor-epoch');
    },
  },
  {
    id: '11.3/8',
    title: 'a cursor after the head',
    rule: 'the cursor is after `head`',
    async run(trial) {
      const line = await readingLine(trial);
      const { epoch, head } = line.offered()!;
      await refusedCursor(line, { kind: 'cursor', epoch, seq: head + 1_000_000 }, 'cursor-too-new');
    },
  },
  {
    id: '11.3/9',
    title: 'the number of an open subscription',
    rule: 'A number that is open is `bad-message`',
    hostile: true,
    async run(trial) {
      const line = await readingLine(trial);
      const follow = line.follow({ live: true });
      await follow.caughtUp();
      const { space } = line.world;
      line.wire.send({
        type: 'SUBSCRIBE_ALL',
        subscription: follow.subscription,
        space,
        from: { kind: 'all' },
        live: false,
        credit: CREDIT_BYTES_DEFAULT,
      });
      await line.wire.refused('bad-message');
    },
  },
  {
    id: '11.3/10',
    title: 'more subscriptions than a connection may have',
    rule: '`SUBSCRIPTIONS_MAX` (320) open in one direction is `too-many`',
    hostile: true,
    async run(trial) {
      const line = await readingLine(trial);
      const heads = line.world.vector();
      for (let i = 0; i <= SUBSCRIPTIONS_MAX; i++) line.follow({ live: true, from: { kind: 'vector', heads } });
      await line.wire.refused('too-many');
    },
  },
  {
    id: '11.3/11',
    title: 'a space that is not there',
    rule: "the space isn't here, or the subscriber has no role in it by the sender's log",
    async run(trial) {
      const line = await trial.line();
      const follow = line.follow({ space: random(32) });
      const { fault } = await follow.ended();
      expect(fault?.code === 'unknown-space', `it was answered with ${fault?.code ?? 'no fault'}`);
      expect(!fault.retry, 'unknown-space said retry');
      await line.ping();
    },
  },
  {
    id: '11.3/12',
    title: 'once: it ends when all is sent and acknowledged',
    rule: 'boolean: go on with what comes, or end when all is sent and acknowledged',
    async run(trial) {
      // Not from the beginning: the log of a long run is more than the credit.
      const heads = trial.world.vector();
      writeSome(trial, 2);
      const line = await readingLine(trial);
      const follow = line.follow({ ack: false, from: { kind: 'vector', heads } });
      const { last } = await follow.caughtUp();
      await quiet(line);
      expect(!follow.isEnded, 'it ended the subscription, and nothing of it is acknowledged');
      follow.acknowledge(last, follow.unacknowledged);
      const { fault } = await follow.ended();
      expect(fault === null, `it ended with ${fault?.code}`);
    },
  },
  {
    id: '11.6/1',
    title: 'CAUGHT_UP: the head, and the digest there',
    rule: '`digest`, 32 bytes, is that of its log there',
    async run(trial) {
      writeSome(trial, 2);
      const line = await readingLine(trial);
      const follow = line.follow();
      const { last, digest } = await follow.caughtUp();
      const { head } = line.offered()!;
      expect(last >= head, `it is at ${last}, and the head was ${head}`);
      expect(equal(digest, line.world.digest()), `the digest is ${toHex(digest)}, not ${toHex(line.world.digest())}`);
    },
  },
  {
    id: '11.6/2',
    title: 'CAUGHT_UP once',
    rule: 'Sent once for each subscription, when its reading first finds the end.',
    async run(trial) {
      const line = await readingLine(trial);
      const follow = line.follow({ live: true });
      await follow.caughtUp();
      for (let i = 0; i < 3; i++) {
        writeSome(trial, 1);
        await pushElsewhere(trial, line);
      }
      // A second one is a violation that Follow sees.
      await line.wire.without(['CAUGHT_UP'], QUIET_MS, 'it has said CAUGHT_UP');
    },
  },
];

export async function refusedCursor(line: Line, from: StartsFrom, code: string): Promise<void> {
  const { epoch, head } = line.offered()!;
  const follow = line.follow({ from });
  const { fault } = await follow.ended();
  expect(fault !== null, `it ended without a fault instead of ${code}`);
  expect(fault.code === code, `it ended with ${fault.code} instead of ${code}`);
  expect(fault.retry, `${code} said that trying again is no use`);
  const { detail } = fault;
  expect(
    detail['epoch'] === toHex(epoch),
    `detail.epoch is ${JSON.stringify(detail['epoch'])}, and the log's ${toHex(epoch)}`,
  );
  expect(
    typeof detail['head'] === 'number' && detail['head'] >= head,
    `detail.head is ${JSON.stringify(detail['head'])}`,
  );
  expect(typeof detail['floor'] === 'number', `detail.floor is ${JSON.stringify(detail['floor'])}`);
  await line.ping();
}

/** They get the new part of the world: on the line itself, or where many may connect, on another. */
async function pushElsewhere(trial: Trial, line: Line): Promise<void> {
  if (trial.side === 'server') await trial.unharmed();
  else await line.push();
}

/** On a line of its own: they have all of the world, and what is sent now begins at the pull's cursor. */
export async function pulling(trial: Trial): Promise<{ line: Line; pull: Pull; author: Author }> {
  const line = await trial.line();
  const author = trial.author();
  const pull = await line.push();
  return { line, pull, author };
}

const receiverCases: readonly Case[] = [
  {
    id: '11.7/1',
    title: 'each batch is acknowledged, and its credit comes back',
    rule: 'SHOULD send one for each BATCH, with the bytes of its `data`, as they came, as credit',
    should: true,
    async run(trial) {
      const { pull, author } = await pulling(trial);
      for (let i = 0; i < 3; i++) {
        author.write([set(`conformance/ack-${name()}`, { i })]);
        await pull.sendAll();
      }
      await pull.line.ping();
      expect(
        pull.credit === pull.request.credit,
        `${pull.request.credit - pull.credit} bytes of credit did not come back`,
      );
    },
  },
  {
    id: '11.7/2',
    title: 'an ACK names nothing that it was not sent',
    rule: "Everything up to `last` in the sender's log is on the subscriber's **disk**",
    async run(trial) {
      const { line, pull, author } = await pulling(trial);
      author.write([set(`conformance/ack-${name()}`, { n: 1 })]);
      await pull.sendAll();
      for (const message of line.wire.received)
        if (message.type === 'ACK' && message.subscription === pull.subscription)
          expect(message.last <= pull.cursor, `it acknowledged ${message.last}, and ${pull.cursor} was sent`);
    },
  },
  {
    id: '11.7/3',
    title: 'killed at the moment of an ACK, it has what it acknowledged',
    rule: 'A subscriber MUST NOT send an ACK before that is so',
    alone: true,
    needs: ['run'],
    async run(trial) {
      const device = trial.side === 'server' ? await trial.device('writer') : undefined;
      for (let round = 0; round < 4; round++) {
        const line = await trial.line(device ? { device } : {});
        const author = trial.author();
        const pull = await line.push();
        const commits = Array.from({ length: 450 }, () =>
          author.write([set(`conformance/kill-${name()}`, { bytes: random(4000) })]),
        );
        let killed: Promise<void> | null = null;
        line.wire.onMessage.add((message) => {
          // In this very turn: what isn't on the disk by now is lost.
          if (message.type === 'ACK' && message.subscription === pull.subscription && message.last > pull.acked - 1)
            if (message.last >= trial.world.head) killed ??= trial.kill();
        });
        pull.batch(commits, { last: trial.world.head });
        await line.wire
          .until(() => killed ?? undefined, 'an ACK')
          .catch((thrown: unknown) => {
            if (killed === null) throw thrown;
          });
        await killed;
        const again = await trial.line(device ? { device } : {});
        const { from } = (await again.pull()).request;
        if (from.kind !== 'vector') throw new Violation(`after an ACK and a kill it starts from ${from.kind}`);
        const head = from.heads.find(({ chain }) => equal(chain, author.chain.id))?.seq ?? 0;
        expect(head >= commits.length, `of ${commits.length} commits that it acknowledged it has ${head}`);
        await again.push();
        await again.wire.close();
      }
    },
  },
  {
    id: '11.5/1',
    title: 'a batch that leaves positions out',
    rule: 'otherwise `cursor-mismatch`',
    hostile: true,
    async run(trial) {
      const { line, pull, author } = await pulling(trial);
      pull.batch([author.draft([set('conformance/never', { n: 1 })])], {
        prev: pull.cursor + 1,
        last: pull.cursor + 2,
      });
      await line.wire.refused('cursor-mismatch');
    },
  },
  {
    id: '11.5/2',
    title: 'a batch sent twice',
    rule: '`prev` is the `last` of the previous BATCH or CAUGHT_UP, or the cursor that it started from',
    hostile: true,
    async run(trial) {
      const { line, pull, author } = await pulling(trial);
      const commit = author.write([set(`conformance/twice-${name()}`, { n: 1 })]);
      const at = pull.cursor;
      pull.batch([commit], { prev: at, last: at + 1 });
      pull.batch([commit], { prev: at, last: at + 1 });
      await line.wire.refused('cursor-mismatch');
    },
  },
  {
    id: '11.5/3',
    title: 'a batch that ends before it begins',
    rule: 'count, not below `prev`',
    hostile: true,
    async run(trial) {
      const { line, pull } = await pulling(trial);
      pull.send(new Uint8Array([0x93, 0x90, 0x90, 0xc4, 0]), { last: pull.cursor - 1 });
      await line.wire.refused('bad-message');
    },
  },
  {
    id: '11.5/4',
    title: 'codec 2',
    rule: 'another is `bad-message`',
    hostile: true,
    async run(trial) {
      const { line, pull } = await pulling(trial);
      pull.send(new Uint8Array([0x93, 0x90, 0x90, 0xc4, 0]), { codec: 2 as never });
      await line.wire.refused('bad-message');
    },
  },
  {
    id: '11.5/5',
    title: 'a batch that declares more than 2 MiB unpacked',
    rule: 'more than `BATCH_RAW_BYTES_MAX` is `batch-too-large`',
    hostile: true,
    async run(trial) {
      const { line, pull } = await pulling(trial);
      pull.send(new Uint8Array(100), { codec: CODEC.ZSTD, rawBytes: BATCH_RAW_BYTES_MAX + 1 });
      await line.wire.refused('batch-too-large');
    },
  },
  {
    id: '11.5/6',
    title: 'a batch of more than 2 MiB packed',
    rule: 'a batch, packed; more is `bad-message`',
    hostile: true,
    async run(trial) {
      const { line, pull } = await pulling(trial);
      pull.send(new Uint8Array(BATCH_DATA_BYTES_MAX + 1), { rawBytes: 100 });
      await line.wire.refused('bad-message');
    },
  },
  {
    id: '11.5/7',
    title: 'more entries than positions',
    rule: 'so there are at most `last − prev` entries; more is `bad-batch`',
    hostile: true,
    async run(trial) {
      const { line, pull, author } = await pulling(trial);
      pull.batch([author.draft([set('conformance/never', { n: 1 })])], { last: pull.cursor });
      await line.wire.refused('bad-batch');
    },
  },
  {
    id: '11.5/8',
    title: 'more data than there is credit for',
    rule: 'is within the credit that it gave',
    hostile: true,
    alone: true,
    async run(trial) {
      await overdraw(trial);
    },
  },
  {
    id: '11.6/3',
    title: 'CAUGHT_UP before the cursor',
    rule: "`last` before the receiver's cursor is `cursor-mismatch`",
    hostile: true,
    async run(trial) {
      const { line, pull } = await pulling(trial);
      pull.caughtUp(pull.cursor - 1);
      await line.wire.refused('cursor-mismatch');
    },
  },
  {
    id: '11.6/4',
    title: 'CAUGHT_UP with a digest that is not theirs',
    rule: "A `digest` that isn't the receiver's own is no fault",
    async run(trial) {
      const line = await trial.line();
      const pull = await line.pull();
      pull.caughtUp(0, random(32));
      pull.saidCaughtUp = true;
      trial.author().write([set(`conformance/digest-${name()}`, { n: 1 })]);
      await pull.sendAll();
    },
  },
  {
    id: '11.9/1',
    title: 'UNSUBSCRIBED twice for one subscription',
    rule: "For a subscription that isn't the receiver's own, or has ended: `bad-message`.",
    hostile: true,
    async run(trial) {
      const { line, pull } = await pulling(trial);
      const { subscription } = pull;
      line.wire.send({ type: 'UNSUBSCRIBED', subscription, fault: null });
      line.wire.send({ type: 'UNSUBSCRIBED', subscription, fault: null });
      await line.wire.refused('bad-message');
    },
  },
  {
    id: '11.9/2',
    title: 'a batch behind UNSUBSCRIBED',
    rule: 'Nothing more comes for it.',
    hostile: true,
    async run(trial) {
      const { line, pull, author } = await pulling(trial);
      line.wire.send({ type: 'UNSUBSCRIBED', subscription: pull.subscription, fault: null });
      pull.batch([author.draft([set('conformance/never', { n: 1 })])]);
      await line.wire.refused('bad-message');
    },
  },
  {
    id: '12.2/2',
    title: 'entries that it has already, alone and among others',
    rule: 'A subscriber MUST take entries that it has already: they are skipped.',
    async run(trial) {
      const { pull, author } = await pulling(trial);
      const counter = `conformance/again-${name()}`;
      const first = author.write([{ subject: counter, ops: { inc: { n: 1 } } }]);
      pull.batch([first]);
      pull.batch([first]);
      const second = author.write([{ subject: counter, ops: { inc: { n: 1 } } }]);
      pull.batch([first, second]);
      await pull.acknowledged();
      await trial.unharmed();
    },
  },
  {
    id: '12.2/3',
    title: 'an empty batch moves the cursor',
    rule: 'it sends an empty batch, so that the cursor moves',
    async run(trial) {
      const { pull } = await pulling(trial);
      pull.batch([], { last: pull.cursor + 10 });
      await pull.acknowledged();
      pull.batch([], { last: pull.cursor });
      pull.batch([], { last: pull.cursor + 1 });
      await pull.acknowledged();
    },
  },
  {
    id: '12.2/4',
    title: 'the cursor stays before a batch that was refused',
    rule: 'It MUST NOT move the cursor past a batch that it refused.',
    async run(trial) {
      const device = trial.side === 'server' ? await trial.device('writer') : undefined;
      const epoch = random(8);
      const options = { epoch, ...(device && { device }) };
      const line = await trial.line(options);
      const author = trial.author();
      const other = trial.author();
      const pull = await line.push();
      const good = pull.cursor;
      const forged = author.withSignature(author.draft([set('conformance/forged', { n: 1 })]), random(64));
      pull.batch([forged]);
      // Good for itself, behind one that isn't: its position is past what was refused.
      pull.batch([other.draft([set('conformance/behind', { n: 1 })])], { last: pull.cursor + 5 });
      await line.wire.ended();
      if (trial.side === 'client') await trial.unharmed();
      const again = await trial.line(options);
      const { from } = (await again.pull()).request;
      if (from.kind === 'cursor')
        expect(from.seq <= good, `it goes on from ${from.seq}, and refused what came after ${good}`);
      author.write([set(`conformance/after-refusal-${name()}`, { n: 1 })]);
      await again.push();
      await trial.unharmed();
    },
  },
  {
    id: '12.2/8',
    title: 'the cursor stays before a batch that was refused, when those behind it are already waiting',
    rule: 'It MUST NOT move the cursor past a batch that it refused.',
    async run(trial) {
      const device = trial.side === 'server' ? await trial.device('writer') : undefined;
      const epoch = random(8);
      const options = { epoch, ...(device && { device }) };
      const line = await trial.line(options);
      const [first, early, other] = [trial.author(), trial.author(), trial.author()];
      const pull = await line.push();
      const good = pull.cursor;
      // While the first is on its way to the disk the next two are there: one that names what nobody wrote, and a good one. Signed before, and sent
      // as one piece: whoever reads the second alone has refused it, and ended the connection, before the third comes.
      const before = first.write([set(`conformance/before-refusal-${name()}`, { n: 1 })]);
      const refused = early.draft([set('conformance/early', { n: 1 })], { deps: [{ chain: random(16), seq: 1 }] });
      const behind = other.draft([set('conformance/behind', { n: 1 })]);
      line.wire.socket.together(() => {
        pull.batch([before]);
        pull.batch([refused]);
        pull.batch([behind], { last: pull.cursor + 5 });
      });
      await line.wire.ended();
      const again = await trial.line(options);
      const { from } = (await again.pull()).request;
      if (from.kind === 'cursor')
        expect(from.seq <= good + 1, `it goes on from ${from.seq}, and refused what came after ${good + 1}`);
      first.write([set(`conformance/after-refusal-${name()}`, { n: 1 })]);
      await again.push();
      await trial.unharmed();
    },
  },
  {
    id: '12.2/5',
    title: 'it resumes where it was, and from its vector in another epoch',
    rule: "The epoch is the one that the sender's space state named when the subscription began",
    async run(trial) {
      const device = trial.side === 'server' ? await trial.device('writer') : undefined;
      const epoch = random(8);
      const first = await trial.line({ epoch, ...(device && { device }) });
      writeSome(trial, 4);
      const { cursor } = await first.push();
      await first.wire.close();
      const second = await trial.line({ epoch, ...(device && { device }) });
      const { from } = (await second.pull()).request;
      if (from.kind === 'cursor') {
        expect(equal(from.epoch, epoch), 'its cursor is of another epoch than the log that it is for');
        expect(from.seq <= cursor, `it starts from cursor ${from.seq}, and ${cursor} was sent`);
      }
      writeSome(trial, 2);
      await second.push();
      await second.wire.close();
      // Another epoch: pull() refuses a cursor with cursor-epoch, and waits for what comes instead.
      const third = await trial.line(device ? { device } : {});
      const pull = await third.pull();
      expect(pull.request.from.kind !== 'cursor', 'it starts from a cursor of another epoch');
      writeSome(trial, 1);
      await third.push();
      await trial.unharmed();
    },
  },
];

/**
 * Sends far more than the credit at once. A receiver that takes one batch after the other, and reads nothing meanwhile, is never beyond its credit;
 * one that has read it all, and has not acknowledged it, is. So it is all made before any of it is sent, of commits that are more work to take in than to read.
 */
async function overdraw(trial: Trial): Promise<void> {
  const { line, pull, author } = await pulling(trial);
  const { wire } = line;
  if (pull.request.credit > 32 * 1024 * 1024) throw new Skip(`its credit is ${pull.request.credit} bytes`);
  const batches: Uint8Array[] = [];
  let sent = 0;
  while (sent < pull.request.credit + OVERDRAWN_BYTES) {
    const subject = `conformance/overdrawn-${name()}`;
    const changes = Array.from({ length: 4000 }, (_, i) => set(`${subject}/${i}`, { bytes: random(200) }));
    const batch = encodeBatch(batchOf([author.write(changes)]));
    batches.push(batch);
    sent += batch.length;
  }
  for (const batch of batches) pull.send(batch, { last: pull.cursor + 1 });
  const deadline = performance.now() + 30_000;
  while (wire.socket.closing === null && pull.acked < pull.cursor && performance.now() < deadline) {
    // What is on its way here first: it may have said long ago that it is too much.
    await new Promise((resolve) => setTimeout(resolve, 5));
    const read = sent - wire.socket.bufferedBytes - KERNEL_BYTES_MAX;
    if (read > pull.credit + sent) break;
  }
  if (wire.socket.closing === null && pull.acked >= pull.cursor) return;
  await wire.refused('credit-exceeded');
}

/** What two sockets of a machine may hold between them. */
const KERNEL_BYTES_MAX = 12 * 1024 * 1024;
const OVERDRAWN_BYTES = 28 * 1024 * 1024;

const senderCases: readonly Case[] = [
  {
    id: '11.8/1',
    title: 'UNSUBSCRIBE is answered, and nothing comes after that',
    rule: 'The sender stops and answers UNSUBSCRIBED with `nil`.',
    async run(trial) {
      const line = await readingLine(trial);
      const follow = line.follow({ live: true });
      await follow.caughtUp();
      line.wire.send({ type: 'UNSUBSCRIBE', subscription: follow.subscription });
      const { fault } = await follow.ended();
      expect(fault === null, `it ended with ${fault?.code}`);
      writeSome(trial, 1);
      await pushElsewhere(trial, line);
      await line.ping();
      expect(
        follow.batches.every(({ last }) => last <= trial.world.head),
        'a batch came for a subscription that had ended',
      );
    },
  },
  {
    id: '11.7/4',
    title: 'an ACK below the one before',
    rule: "`last` below the previous ACK's, or past what was sent, is `bad-message`",
    hostile: true,
    async run(trial) {
      writeSome(trial, 2);
      const line = await readingLine(trial);
      const follow = line.follow({ live: true });
      const { last } = await follow.caughtUp();
      follow.acknowledge(last - 1, 0);
      await line.wire.refused('bad-message');
    },
  },
  {
    id: '11.7/5',
    title: 'an ACK past what was sent',
    rule: "`last` below the previous ACK's, or past what was sent, is `bad-message`",
    hostile: true,
    async run(trial) {
      const line = await readingLine(trial);
      const follow = line.follow({ live: true });
      const { last } = await follow.caughtUp();
      follow.acknowledge(last + 1000, 0);
      await line.wire.refused('bad-message');
    },
  },
  {
    id: '11.7/6',
    title: 'more credit than anyone may give, added up',
    rule: 'Credit that adds up to more than `CREDIT_BYTES_MAX` at the sender is `bad-message` too.',
    hostile: true,
    async run(trial) {
      const line = await readingLine(trial);
      const follow = line.follow({ live: true });
      const { last } = await follow.caughtUp();
      follow.acknowledge(last, CREDIT_BYTES_MAX);
      await line.wire.refused('bad-message');
    },
  },
  {
    id: '12.3/1',
    title: 'no more is out than there is credit for',
    rule: 'A sender MUST NOT send a BATCH that would take it below zero',
    async run(trial) {
      const author = trial.author();
      // Bytes that nothing can pack, three times the least credit.
      for (let i = 0; i < 28; i++) author.write([set(`conformance/credit-${name()}`, { bytes: random(250_000) })]);
      const line = await readingLine(trial);
      const follow = line.follow({ credit: CREDIT_BYTES_MIN, ack: false });
      await line.wire.until(() => follow.batches[0], 'a BATCH');
      for (let round = 0; round < 3; round++) {
        await quiet(line);
        const { length } = follow.batches;
        // All that came is given back; more than that may not be out again. Follow holds each batch against it.
        follow.acknowledge(follow.cursor!, follow.unacknowledged);
        await line.wire.until(
          () => (follow.batches.length > length ? true : undefined),
          'a BATCH for the credit that was given back',
        );
      }
    },
  },
  {
    id: '12.3/2',
    title: 'a subscriber that is waited for does not hold up another',
    rule: 'A slow subscriber is waited for.',
    async run(trial) {
      const author = trial.author();
      for (let i = 0; i < 14; i++) author.write([set(`conformance/slow-${name()}`, { bytes: random(250_000) })]);
      const line = await readingLine(trial);
      const slow = line.follow({ credit: CREDIT_BYTES_MIN, ack: false });
      await line.wire.until(() => slow.batches[0], 'a BATCH');
      await quiet(line);
      const other = line.follow({ from: { kind: 'vector', heads: line.world.vector() } });
      await other.caughtUp();
      await line.ping();
    },
  },
  {
    id: '5.1/100',
    title: 'no zstd for one that does not name it',
    rule: 'only to a peer that named the capability `zstd`',
    async run(trial) {
      const author = trial.author();
      // Much that packs well, so that whoever packs would.
      for (let i = 0; i < 40; i++) author.write([set(`conformance/plain-${name()}`, { text: 'tide '.repeat(200) })]);
      const line = await readingLine(trial, { hello: { capabilities: [] } });
      const follow = line.follow();
      await follow.caughtUp();
      const packed = follow.batches.find(({ codec }) => codec !== CODEC.NONE);
      expect(!packed, `a batch came with codec ${packed?.codec}`);
    },
  },
  {
    id: '12.2/6',
    title: 'what one brings is sent on to another at once',
    rule: 'Live sending and catching up are one thing: a cursor that is read on when the log grows.',
    side: 'server',
    async run(trial) {
      const reader = await readingLine(trial);
      const follow = reader.follow({ live: true });
      await follow.caughtUp();
      const { pull, author } = await pulling(trial);
      for (let i = 0; i < 20; i++) {
        const { id } = author.write([set(`conformance/live-${name()}`, { i })]);
        await pull.sendAll();
        await follow.entry((entry) => equal(entry.id, id), `commit ${i} of another peer`);
      }
    },
  },
  {
    id: '12.2/7',
    title: 'nothing is lost between catching up and live',
    rule: 'a cursor that is read on when the log grows',
    side: 'server',
    async run(trial) {
      const { pull, author } = await pulling(trial);
      const reader = await readingLine(trial);
      let follow: Follow | null = null;
      for (let i = 0; i < 60; i++) {
        author.write([set(`conformance/between-${name()}`, { i })]);
        await pull.sendAll();
        if (i === 20) follow = reader.follow({ live: true });
      }
      const { id } = author.last!;
      await follow!.entry((entry) => equal(entry.id, id), 'the last commit');
      // Follow has held each entry's link and deps against what came before: a hole would have failed it.
      expect(
        (follow!.heads().find(({ chain }) => equal(chain, author.chain.id))?.seq ?? 0) === 60,
        'a commit is missing',
      );
    },
  },
];

/** Nothing comes for a while: what could be sent was sent. */
export async function quiet(line: Line): Promise<void> {
  for (let before = -1; before !== line.wire.received.length;) {
    before = line.wire.received.length;
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
  }
}

const filterCases: readonly Case[] = [
  {
    id: '12.5/1',
    title: 'a filtered stream: what is wanted, and what is about members',
    rule: 'A filtered stream carries every commit that changes a wanted subject and every commit that changes `~`',
    run: (trial) => filtered(trial, 'prefix'),
  },
  {
    id: '12.5/2',
    title: 'a filtered stream of one subject',
    rule: 'A filtered stream carries every commit that changes a wanted subject and every commit that changes `~`',
    run: (trial) => filtered(trial, 'subject'),
  },
  {
    id: '12.5/3',
    title: 'its cursor moves past what the filter leaves out',
    rule: '`prev` and `last` move as in a whole stream',
    async run(trial) {
      const author = trial.author();
      author.write([set(`conformance/before-${name()}`, { n: 1 })]);
      const line = await readingLine(trial);
      const follow = line.follow({ live: true, filter: { kind: 'prefix', prefix: `conformance/none-${name()}` } });
      await caughtUpFiltered(follow);
      const before = follow.cursor!;
      // Nobody's grant, and nothing new that was seen: of these nothing but their places need come.
      for (let i = 0; i < 5; i++) author.write([set(`conformance/unwanted-${name()}`, { i })], { deps: [] });
      await pushElsewhere(trial, line);
      await line.wire.until(
        () => (follow.cursor! >= before + 5 ? true : undefined),
        `a BATCH that moves the cursor on from ${before} to ${before + 5}`,
      );
    },
  },
  {
    id: '12.5/4',
    title: 'a gap for one that holds the whole',
    rule: 'one that holds the whole MUST refuse them (`gap-refused`)',
    hostile: true,
    async run(trial) {
      const { line, pull, author } = await pulling(trial);
      if (pull.request.type !== 'SUBSCRIBE_ALL') throw new Skip('it holds a part of the space');
      const first = author.draft([set('conformance/never', { n: 1 })]);
      const { chains } = batchOf([first]);
      pull.batch({ chains, entries: [{ kind: 'gap', chain: 0, seq: 1, id: first.id }] });
      await line.wire.refused('gap-refused');
    },
  },
];

/** A sender may say that it serves no filters. */
export async function caughtUpFiltered(follow: Follow): Promise<void> {
  try {
    await follow.caughtUp();
  } catch (thrown) {
    if (thrown instanceof Violation && thrown.message.includes('bad-request')) throw new Skip('it serves no filters');
    throw thrown;
  }
}

async function filtered(trial: Trial, kind: 'prefix' | 'subject'): Promise<void> {
  const wanted = `conformance/wanted-${name()}`;
  const authors = [trial.author(), trial.author(), trial.author()];
  const ids = new Set<string>();
  for (let i = 0; i < 24; i++) {
    const author = authors[i % 3]!;
    const isWanted = i % 4 === 0;
    const subject = kind === 'subject' ? wanted : `${wanted}/${i}`;
    const changes = [set(isWanted ? subject : `conformance/unwanted-${name()}`, { i })];
    // Now and then one that had seen nothing new: nothing of it need come.
    const { id } = author.write(changes, i % 5 === 0 && !isWanted ? { deps: [] } : {});
    if (isWanted) ids.add(toHex(id));
  }
  const writeUnwanted = (): void => {
    for (const author of authors) author.write([set(`conformance/unwanted-${name()}`, { n: 1 })], { deps: [] });
  };
  // At the end of the log too. A server has got to know the kit's next device after that, and so gets them again behind it.
  writeUnwanted();
  const line = await readingLine(trial);
  if (trial.side === 'server') {
    writeUnwanted();
    await trial.unharmed();
  }
  const filter = kind === 'subject' ? ({ kind, subject: wanted } as const) : ({ kind, prefix: wanted } as const);
  const follow = line.follow({ filter });
  await caughtUpFiltered(follow);
  const { last, digest } = await follow.caughtUp();
  const { head } = line.offered()!;
  expect(last >= head, `CAUGHT_UP is at ${last}, and the head was ${head}`);
  const whole = new Map(trial.world.log.map((commit) => [toHex(commit.id), commit]));
  const came = new Set<string>();
  for (const entry of follow.received) {
    const id = toHex(entry.id);
    if (entry.kind === 'commit') came.add(id);
    const text = whole.get(id)?.body;
    if (entry.kind !== 'commit' || !text) continue;
    expect(ids.has(id) || isAboutMembers(text), `a commit came whole that changes nothing wanted: seq ${entry.seq}`);
  }
  for (const id of ids) expect(came.has(id), `commit ${id}, which changes what is wanted, did not come whole`);
  for (const [id, { body, seq }] of whole)
    if (body && isAboutMembers(body)) expect(came.has(id), `seq ${seq}, which changes members, did not come whole`);
  for (const { chain, seq } of trial.world.vector()) {
    const found = follow.heads().find((each) => equal(each.chain, chain))?.seq ?? 0;
    expect(found === seq, `chain ${toHex(chain)} is covered to ${found}, and goes to ${seq}`);
  }
  expect(equal(digest, trial.world.digest()), 'the digest at the end is not that of the log');
}

/** Does a body change a subject that begins with `~`? */
function isAboutMembers(body: Uint8Array): boolean {
  return decodeBody(body).changes.some(({ subject }) => subject.startsWith(RESERVED_PREFIX));
}

export const streamCases: readonly Case[] = [...startCases, ...receiverCases, ...senderCases, ...filterCases];

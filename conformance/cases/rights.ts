/** Chapter 7: what members.ts leaves: facts that are none, roles by way of others, and which revocations count among many. */
import type { Change, Ops } from '../../protocol/body.ts';
import { compare, concat, toHex } from '../../protocol/bytes.ts';
import type { Role } from '../../protocol/membership.ts';
import { encode } from '../../protocol/msgpack.ts';
import type { Case, Trial } from '../case.ts';
import { newDevice, type Device } from '../device.ts';
import { bodyWith, bytes, keeps, offer, refusedCase, refuses, subject, writeRaw, type Offer } from '../offer.ts';
import { expect } from '../violation.ts';
import { set, type Author, type WriteOptions } from '../world.ts';
import { grantFact, isServed, note, served, unseeing } from './members.ts';

/** Numbers of their own: those of members.ts grow from 1. */
function section(number: string): () => `${string}/${number}` {
  let last = 199;
  return () => `${number}/${++last}`;
}

function deviceSubject({ device }: Author): string {
  return `~devices/${device.id}`;
}

/** A map with these keys, and values as they are encoded. */
function mapOf(pairs: readonly (readonly [string, Uint8Array])[]): Uint8Array {
  return concat(Uint8Array.of(0x80 | pairs.length), ...pairs.flatMap(([key, value]) => [encode(key), value]));
}

function changing(name: string, ops: Uint8Array): Uint8Array {
  return concat(bytes('91 92'), encode(name), ops);
}

// ---- 7.2

const fact = section('7.2');
const NO_FACT = '`unset` and `destroy` on `~` change what the resource shows, and no fact.';
const SETS = 'Three properties have a meaning here, when a commit **sets** them';

const factCases: readonly Case[] = [
  ...(['unset', 'destroy'] as const).map((op): Case => ({
    id: fact(),
    title: `a revocation that is taken back by ${op} still counts`,
    rule: NO_FACT,
    async run(trial) {
      const { author, line, pull } = await offer(trial);
      const { owner } = trial.world;
      author.write(note(1));
      trial.world.revoke(author.device, [[author, 1]]);
      const ops = op === 'unset' ? { unset: ['revoked'] } : { destroy: true as const };
      owner.write([{ subject: deviceSubject(author), ops }]);
      trial.world.grant(author.device, 'writer');
      author.write(note(2));
      await pull.sendAll();
      isServed((await served(trial, [author], line))(author), { 1: 'commit', 2: 'erased' }, 'the revoked device');
    },
  })),
  {
    id: fact(),
    title: 'a cut that is a whole float, and one of 2^53 − 1',
    rule: 'to the last `seq` of that chain that counts, a count',
    async run(trial) {
      const { author, line, pull } = await offer(trial);
      const second = trial.world.author(author.device);
      for (let v = 1; v <= 2; v++) {
        author.write(note(v));
        second.write(note(v));
      }
      const revoked = mapOf([
        [toHex(author.chain.id), bytes('cb3ff0000000000000')],
        [toHex(second.chain.id), bytes('cf001fffffffffffff')],
      ]);
      const { owner } = trial.world;
      writeRaw(
        owner,
        bodyWith(owner, changing(deviceSubject(author), mapOf([['set', mapOf([['revoked', revoked]])]]))),
      );
      await pull.sendAll();
      const kinds = await served(trial, [author, second], line);
      isServed(kinds(author), { 1: 'commit', 2: 'erased' }, 'the chain whose cut is 1.0');
      isServed(kinds(second), { 1: 'commit', 2: 'commit' }, 'the chain whose cut is 2^53 − 1');
    },
  },
  {
    id: fact(),
    title: 'a role that is added and not set',
    rule: SETS,
    hostile: true,
    async run(trial) {
      const offered = await offer(trial, 'reader');
      const { author, pull } = offered;
      const ops = { add: { role: ['writer'] } };
      trial.world.owner.write([{ subject: deviceSubject(author), ops }]);
      await pull.sendAll();
      await refuses(offered, [author.draft(note(1))], 'unauthorized');
    },
  },
  {
    id: fact(),
    title: 'another owner that is set on ~space later',
    rule: 'neither has what a later commit than the founding one sets on `~space`',
    hostile: true,
    async run(trial) {
      const offered = await offer(trial);
      const { author, pull } = offered;
      trial.world.owner.write([set('~space', { owner: author.device.keys.public })]);
      await pull.sendAll();
      await refuses(offered, [author.draft([set('~conformance', { v: 1 })])], 'unauthorized');
    },
  },
];

// ---- 7.3

const role = section('7.3');

/** Two roles by facts of the same time that had not seen each other; `greater` is that of the chain that ranks higher. */
function sameTime(title: string, rule: string, greater: Role, isOneDevice: boolean): Case {
  return {
    id: role(),
    title,
    rule,
    ...(greater !== 'writer' && { hostile: true as const }),
    async run(trial) {
      const { world } = trial;
      const left = trial.author('owner');
      const right = isOneDevice ? world.author(left.device) : trial.author('owner');
      const rank = ({ chain }: Author): Uint8Array => (isOneDevice ? chain.id : chain.device);
      const [higher, lower] = [left, right].toSorted((a, b) => compare(rank(b), rank(a))) as [Author, Author];
      const devices = [newDevice(), newDevice()];
      for (const device of devices) world.grant(device, 'reader');
      const offered = await offer(trial);
      const time = Date.now() * 1000;
      const lesser: Role = greater === 'writer' ? 'reader' : 'writer';
      const deps = new Map([higher, lower].map((each) => [each, each.deps()]));
      const write = (by: Author, device: Device, given: Role): void => {
        by.write(grantFact(device, given), { deps: deps.get(by)!, time });
        deps.set(by, []);
      };
      // Of each device another of the two comes first.
      write(higher, devices[0]!, greater);
      write(lower, devices[0]!, lesser);
      write(lower, devices[1]!, lesser);
      write(higher, devices[1]!, greater);
      await offered.pull.sendAll();
      if (greater === 'writer') {
        const commits = devices.map((device) => world.author(device).write(note(1)));
        await offered.pull.sendAll();
        await keeps(trial, commits, offered.line);
      } else {
        const author = world.author(devices[0]!);
        await refuses(offered, [author.draft(note(1))], 'unauthorized');
      }
    },
  };
}

const KEY = 'at equal times that of the greater author key, then of the greater chain id';

const roleCases: readonly Case[] = [
  sameTime('of two roles of one time that of the greater author key', KEY, 'writer', false),
  sameTime('of two roles of one time that of the lesser author key is none', KEY, 'reader', false),
  sameTime('of two roles of one time and author that of the greater chain', KEY, 'writer', true),
  sameTime('of two roles of one time and author that of the lesser chain is none', KEY, 'reader', true),
  {
    id: role(),
    title: 'a role that only somebody who is named had seen',
    rule: 'take the authorized role facts on d whose commits lie in P',
    hostile: true,
    async run(trial) {
      const { world } = trial;
      const between = trial.author('owner');
      const device = newDevice();
      const author = world.author(device);
      const before = author.deps();
      world.grant(device, 'writer');
      between.write([set('~conformance', { v: 1 })]);
      const offered = await offer(trial);
      const deps = [...before, { chain: between.chain.id, seq: 1 }];
      await refuses(offered, [author.draft(note(1), { deps })], 'unauthorized');
    },
  },
  {
    id: role(),
    title: 'a role given by an owner that did not know yet that it is none any more',
    rule: "or if its commit isn't past a cut and, at the past of its commit, a's role is `owner`",
    async run(trial) {
      const owner = trial.author('owner');
      const { line, pull } = await offer(trial);
      owner.write([set('~conformance', { v: 1 })]);
      trial.world.grant(owner.device, 'reader');
      const device = newDevice();
      owner.write(grantFact(device, 'writer'), unseeing);
      const commit = trial.world.author(device).write(note(1));
      await pull.sendAll();
      await keeps(trial, [commit], line);
    },
  },
];

/** A revocation without cuts by one that has seen nothing new. */
function strike(by: Author, against: Author, others: readonly Change[] = [], options: WriteOptions = unseeing): void {
  by.write([set(deviceSubject(against), { revoked: {} }), ...others], options);
}

const cutCases: readonly Case[] = [
  {
    id: role(),
    title: 'what an owner gave that was made so by a revoked one',
    rule: "if its commit isn't past a cut and, at the past of its commit, a's role is `owner`",
    async run(trial) {
      const { world } = trial;
      const first = trial.author('owner');
      const { line, pull } = await offer(trial);
      const second = world.author(newDevice());
      first.write(grantFact(second.device, 'owner'));
      const writer = world.author(newDevice());
      second.write(grantFact(writer.device, 'writer'));
      writer.write(note(1));
      await pull.sendAll();
      strike(world.owner, first);
      await pull.sendAll();
      const kinds = await served(trial, [first, second, writer], line);
      isServed(kinds(first), { 1: 'commit' }, 'the revoked owner');
      isServed(kinds(second), { 1: 'commit' }, 'the owner that it made');
      isServed(kinds(writer), { 1: 'erased' }, 'the writer that that one made');
    },
  },
  {
    id: role(),
    title: 'an owner that revokes itself from the beginning',
    rule: 'F is **authorized** if its commit holds a revocation that counts',
    async run(trial) {
      const { world } = trial;
      const owner = trial.author('owner');
      const { line, pull } = await offer(trial);
      const [early, late] = [world.author(newDevice()), world.author(newDevice())];
      owner.write(grantFact(early.device, 'writer'));
      early.write(note(1));
      strike(owner, owner, grantFact(late.device, 'writer'));
      late.write(note(1));
      owner.write(note(2), unseeing);
      await pull.sendAll();
      const kinds = await served(trial, [owner, early, late], line);
      isServed(kinds(owner), { 1: 'commit', 2: 'commit', 3: 'erased' }, 'the owner');
      isServed(kinds(early), { 1: 'erased' }, 'the writer that it made before');
      isServed(kinds(late), { 1: 'commit' }, 'the writer that it made in the commit of the revocation');
    },
  },
  {
    id: role(),
    title: "a senior's revocation, of an author that a junior revokes",
    rule: 'A revocation that counts stays, and its commit with all that it says, also if its author is cut by another.',
    async run(trial) {
      const { world } = trial;
      const [senior, junior] = [trial.author('owner'), trial.author('owner')];
      const { author: target, line, pull } = await offer(trial);
      for (const each of [senior, junior]) each.write([set('~conformance', { v: 1 })]);
      target.write(note(1));
      const writer = world.author(newDevice());
      strike(senior, target, grantFact(writer.device, 'writer'));
      senior.write(note(2), unseeing);
      writer.write(note(1));
      await pull.sendAll();
      strike(junior, senior);
      await pull.sendAll();
      const kinds = await served(trial, [senior, target, writer], line);
      isServed(kinds(senior), { 1: 'commit', 2: 'commit', 3: 'erased' }, 'the senior');
      isServed(kinds(target), { 1: 'erased' }, 'the device that it revoked');
      isServed(kinds(writer), { 1: 'commit' }, 'the writer that it made in the commit of the revocation');
    },
  },
];

/** Two owners; the senior revokes the junior, and the junior a writer, without having seen each other. */
async function struckBelow(trial: Trial, isSeniorFirst: boolean): Promise<Offer> {
  const [senior, junior] = [trial.author('owner'), trial.author('owner')];
  const offered = await offer(trial);
  const { author, pull } = offered;
  for (const each of [senior, junior]) each.write([set('~conformance', { v: 1 })]);
  author.write(note(1));
  await pull.sendAll();
  const strikes = [(): void => strike(senior, junior), (): void => strike(junior, author)];
  for (const each of isSeniorFirst ? strikes : strikes.toReversed()) {
    each();
    await pull.sendAll();
  }
  return offered;
}

const senioritySteps: readonly Case[] = [
  {
    id: role(),
    title: "a junior's revocation of a writer, by one that a senior has revoked",
    rule: 'Each of its revocations that is authorized under the cuts so far counts, and adds its cuts.',
    async run(trial) {
      const { author, line } = await struckBelow(trial, true);
      isServed((await served(trial, [author], line))(author), { 1: 'commit' }, 'the writer');
    },
  },
  {
    id: role(),
    title: "a junior's revocation of a writer turns out to be void, and its commit is given again",
    rule: 'Each of its revocations that is authorized under the cuts so far counts, and adds its cuts.',
    async run(trial) {
      const { author, line } = await struckBelow(trial, false);
      // What it has dropped is a hole now; one that has not dropped it yet skips what comes.
      await line.wire.close();
      const second = await trial.line(trial.side === 'server' ? { device: line.wire.device } : {});
      const fill = await second.pull();
      fill.batch(author.commits, { last: Math.max(fill.cursor + 1, trial.world.head) });
      await fill.acknowledged();
      isServed((await served(trial, [author], second))(author), { 1: 'commit' }, 'the writer');
    },
  },
  {
    id: role(),
    title: 'a revocation that makes another one count, of somebody senior',
    rule: 'a revocation can give a role back, where it makes void what took the role away',
    async run(trial) {
      const { world } = trial;
      // Senior first. `taker` makes `given` a reader, and `giver` an owner again.
      const [given, taker, giver, last] = [1, 2, 3, 4].map(() => trial.author('owner')) as [
        Author,
        Author,
        Author,
        Author,
      ];
      const { author: target, line, pull } = await offer(trial);
      last.write([set('~conformance', { v: 1 })]);
      target.write(note(1));
      taker.write(grantFact(given.device, 'reader'));
      giver.write(grantFact(given.device, 'owner'));
      strike(world.owner, giver);
      // Allowed as if nothing had ever been revoked; with the giver revoked it is by a reader.
      strike(given, target, [], {});
      await pull.sendAll();
      const before = await served(trial, [given, target], line);
      isServed(before(given), { 1: 'commit' }, 'the owner whose role was given back by a revoked one');
      isServed(before(target), { 1: 'commit' }, 'the device that it would revoke');
      strike(last, taker);
      const second = await trial.line();
      await second.push();
      const after = await served(trial, [given, target], second);
      isServed(after(target), { 1: 'erased' }, 'the device that is revoked by one that was never made a reader');
    },
  },
];

// ---- 7.4

const verdict = section('7.4');
const ALLOWS = "A role **allows** a commit if it is `owner`, or `writer` and the commit doesn't change `~`.";

function refusedWrite(title: string, given: Role, change: (author: Author) => Change): Case {
  return refusedCase(verdict(), title, ALLOWS, 'unauthorized', (author) => author.draft([change(author)]), {
    role: given,
  });
}

const verdictCases: readonly Case[] = [
  refusedWrite('a writer that writes the subject ~', 'writer', () => set('~', { v: 1 })),
  refusedWrite('a writer that destroys a member', 'writer', (author) => ({
    subject: deviceSubject(author),
    ops: { destroy: true },
  })),
  refusedWrite('a writer that adds to what begins with ~', 'writer', () => ({
    subject: '~conformance',
    ops: { add: { v: [1] } },
  })),
  refusedWrite('a writer that names itself', 'writer', (author) => set(deviceSubject(author), { name: 'me' })),
  refusedWrite('a reader that destroys', 'reader', () => ({ subject: subject('rights'), ops: { destroy: true } })),
  {
    id: verdict(),
    title: 'commits that name a void one',
    rule: 'A void commit keeps its place in its chain, because others may name it in `deps` and all digests must agree.',
    async run(trial) {
      const { author, line, pull } = await offer(trial);
      const other = trial.author('owner');
      author.write(note(1));
      trial.world.revoke(author.device, [[author, 1]]);
      author.write(note(2), unseeing);
      const commits = [other.write(note(3)), other.write(note(4))];
      await pull.sendAll();
      await keeps(trial, commits, line);
      await trial.unharmed();
    },
  },
  {
    id: verdict(),
    title: 'void commits take nothing away from what they had seen',
    rule: 'It changes nothing.',
    needs: ['read'],
    async run(trial) {
      const { author, pull } = await offer(trial);
      const other = trial.author();
      const name = subject('void');
      other.write([{ subject: name, ops: { set: { v: 1 }, inc: { n: 5 }, add: { list: ['a'] } } }]);
      trial.world.revoke(author.device, []);
      const ops: readonly Ops[] = [
        { set: { v: 2 }, unset: ['n'], remove: { list: ['a'] } },
        { destroy: true },
        { inc: { n: 100 }, add: { list: ['b'] } },
      ];
      for (const each of ops) author.write([{ subject: name, ops: each }]);
      // Written with what the void ones are part of: they are seen, and still count for nothing.
      other.write([{ subject: name, ops: { inc: { n: 1 } } }]);
      await pull.sendAll();
      const saw = await trial.read(name);
      const isRight = saw?.['v'] === 1 && saw['n'] === 6 && JSON.stringify(saw['list']) === '["a"]';
      expect(
        isRight && Object.keys(saw).length === 3,
        `it shows ${JSON.stringify(saw)} and should show {"v":1,"n":6,"list":["a"]}`,
      );
    },
  },
];

export const rightCases: readonly Case[] = [
  ...factCases,
  ...roleCases,
  ...cutCases,
  ...senioritySteps,
  ...verdictCases,
];

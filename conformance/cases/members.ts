/** Chapter 7: the founding commit, facts, roles and cuts, verdicts. */
import { decodeBody } from '../../protocol/body.ts';
import { toHex } from '../../protocol/bytes.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import type { Role } from '../../protocol/membership.ts';
import type { Case, Trial } from '../case.ts';
import { newDevice, random, type Device } from '../device.ts';
import type { Line } from '../line.ts';
import { keeps, offer, readChains, refuses, refusedCase, section, subject } from '../offer.ts';
import { expect } from '../violation.ts';
import { set, type Author, type Commit, type World, type WriteOptions } from '../world.ts';
import { namedOf } from './batches.ts';

// ---- 7.1

const founding = section('7.1');
const FIRST = 'It is a commit with `seq` 1, without deps and not erased, that **sets** on `~space`';

interface Founding {
  readonly owner: Uint8Array;
  readonly salt: Uint8Array;
  readonly name: string;
}

function foundingOf({ log }: World): Founding {
  return decodeBody(log[0]!.body!).changes[0]!.ops.set as unknown as Founding;
}

/** What founds the space that the program has joined, on a chain of its own, made wrong. */
function refusedFounding(
  title: string,
  rule: string,
  make: (author: Author, values: Founding, world: World) => Commit,
  others: readonly ErrorCode[] = [],
): Case {
  return {
    id: founding(),
    title,
    rule,
    side: 'client',
    hostile: true,
    async run(trial) {
      const line = await trial.line();
      const pull = await line.pull();
      const { world } = trial;
      const commit = make(world.author(world.owner.device), foundingOf(world), world);
      await refuses({ line, pull }, [commit], ['bad-space', ...others]);
    },
  };
}

const alone: WriteOptions = { deps: [] };

const foundingCases: readonly Case[] = [
  {
    id: founding(),
    title: "a founding commit without the founder's role",
    rule: 'The founder is an owner without any grant.',
    side: 'client',
    async run(trial) {
      const line = await trial.line();
      const pull = await line.pull();
      const { world } = trial;
      const founder = world.author(world.owner.device);
      const first = founder.draft([set('~space', { ...foundingOf(world) })], alone);
      founder.keep(first);
      const device = newDevice();
      const second = founder.draft([set(`~devices/${device.id}`, { role: 'writer', name: 'first' })], alone);
      pull.batch([first, second]);
      const author = world.author(device);
      pull.batch([author.draft([set(subject('founding'), { v: 1 })], { deps: [{ chain: founder.chain.id, seq: 2 }] })]);
      await pull.acknowledged();
    },
  },
  refusedFounding('a first commit that founds nothing', FIRST, (author) =>
    author.draft([set(subject('founding'), { v: 1 })], alone),
  ),
  refusedFounding('a first commit that only makes a member', FIRST, (author) =>
    author.draft([set(`~devices/${author.device.id}`, { role: 'owner' })], alone),
  ),
  refusedFounding('another salt', 'MUST be the space id', (author, values) =>
    author.draft([set('~space', { ...values, salt: random(16) })], alone),
  ),
  refusedFounding('another owner, who is its author', 'MUST be the space id', (_, values, world) => {
    const author = world.author(newDevice());
    return author.draft([set('~space', { ...values, owner: author.device.keys.public })], alone);
  }),
  refusedFounding('another author', "the founder's key, 32 bytes; the commit's author", (_, values, world) =>
    world.author(newDevice()).draft([set('~space', { ...values })], alone),
  ),
  refusedFounding('no salt', FIRST, (author, { owner, name }) => author.draft([set('~space', { owner, name })], alone)),
  refusedFounding('a salt that is a string', '`SPACE_SALT_BYTES` (16) random bytes', (author, values) =>
    author.draft([set('~space', { ...values, salt: 'x'.repeat(16) })], alone),
  ),
  refusedFounding('no name', FIRST, (author, { owner, salt }) => author.draft([set('~space', { owner, salt })], alone)),
  refusedFounding('a name of 65 bytes', FIRST, (author, values) =>
    author.draft([set('~space', { ...values, name: 'x'.repeat(65) })], alone),
  ),
  refusedFounding('a name with a control character', FIRST, (author, values) =>
    author.draft([set('~space', { ...values, name: 'a\nb' })], alone),
  ),
  refusedFounding('an owner that is a string', FIRST, (author, values) =>
    author.draft([set('~space', { ...values, owner: toHex(values.owner) })], alone),
  ),
  refusedFounding('founding values that are added, not set', FIRST, (author, { owner, salt, name }) =>
    author.draft([{ subject: '~space', ops: { add: { owner: [owner], salt: [salt], name: [name] } as never } }], alone),
  ),
  refusedFounding('an erased founding commit', FIRST, (author, values) => ({
    ...author.draft([set('~space', { ...values })], alone),
    body: null,
  })),
  refusedFounding(
    'a founding commit with deps',
    FIRST,
    (author, values) => author.draft([set('~space', { ...values })], { deps: [{ chain: random(16), seq: 1 }] }),
    ['causal-gap'],
  ),
];

// ---- 7.2

const fact = section('7.2');
const ID = 'is not the device ID of an acceptable key exactly as section 3.2 writes it (upper case, with dashes)';

function refusedFact(
  title: string,
  rule: string,
  make: (device: Device) => readonly [string, Record<string, unknown>],
): Case {
  return {
    id: fact(),
    title,
    rule,
    hostile: true,
    async run(trial) {
      const offered = await offer(trial);
      const [name, values] = make(newDevice());
      await refuses(offered, [trial.world.owner.draft([set(name, values)])], 'bad-commit');
    },
  };
}

function refusedId(title: string, make: (id: string) => string): Case {
  return refusedFact(title, ID, ({ id }) => [`~devices/${make(id)}`, { role: 'reader', name: 'x' }]);
}

/** The character with another value. */
function another(letter: string): string {
  return letter === 'A' ? 'B' : 'A';
}

const REVOKED = "or if its `revoked` isn't such a map";

function refusedRevoked(title: string, revoked: unknown): Case {
  return refusedFact(title, REVOKED, ({ id }) => [`~devices/${id}`, { revoked }]);
}

const factCases: readonly Case[] = [
  {
    id: fact(),
    title: 'subjects with ~ that have no meaning, and properties that have none',
    rule: 'Other subjects that begin with `~` have no meaning yet, and neither has what a later commit than the founding one sets on `~space`.',
    async run(trial) {
      const { line, pull } = await offer(trial);
      const { owner } = trial.world;
      const { id } = newDevice();
      const commits = [
        owner.write([set('~', { v: 1 })]),
        owner.write([set(`~${subject('other')}`, { role: 'none', revoked: 1 })]),
        owner.write([set('~devices', { role: 'none' })]),
        owner.write([set(`~space/${toHex(random(4))}`, { owner: 1, salt: 2 })]),
        owner.write([set(`~devices/${id}`, { name: 5, colour: 'red', Role: 'none' })]),
        owner.write([set(`~devices/${id}`, { name: 'x'.repeat(300) })]),
        owner.write([{ subject: `~devices/${id}`, ops: { add: { role: ['none'] }, inc: { revoked: 1 } } }]),
      ];
      await pull.sendAll();
      await keeps(trial, commits, line);
    },
  },
  {
    id: fact(),
    title: 'a role that is unset and a device that is destroyed are still what they were',
    rule: '`unset` and `destroy` on `~` change what the resource shows, and no fact.',
    async run(trial) {
      const { author, line, pull } = await offer(trial);
      const { owner } = trial.world;
      owner.write([{ subject: `~devices/${author.device.id}`, ops: { unset: ['role'] } }]);
      const first = author.write([set(subject('fact'), { v: 1 })]);
      owner.write([{ subject: `~devices/${author.device.id}`, ops: { destroy: true } }]);
      const second = author.write([set(subject('fact'), { v: 2 })]);
      await pull.sendAll();
      await keeps(trial, [first, second], line);
    },
  },
  refusedId('a device ID in lower case', (id) => id.toLowerCase()),
  refusedId('a device ID without dashes', (id) => id.replaceAll('-', '')),
  refusedId('a device ID with a wrong check character', (id) => id.slice(0, 14) + another(id[14]!) + id.slice(15)),
  refusedId('a device ID with a letter altered', (id) => another(id[0]!) + id.slice(1)),
  refusedId('a device ID with a space behind it', (id) => `${id} `),
  refusedId('a device ID with a digit for a letter', (id) => id.replace(/[A-Z]/, '0')),
  refusedId('no device ID', () => ''),
  refusedId('a device ID that is cut off', (id) => id.slice(0, -8)),
  refusedId('more behind a device ID', (id) => `${id}/more`),
  refusedFact('a role that is unknown', 'if its `role` is unknown', ({ id }) => [`~devices/${id}`, { role: 'admin' }]),
  refusedFact('a role in upper case', 'if its `role` is unknown', ({ id }) => [`~devices/${id}`, { role: 'Owner' }]),
  refusedFact('a role that is nil', 'if its `role` is unknown', ({ id }) => [`~devices/${id}`, { role: null }]),
  refusedFact('a role that is an array', 'if its `role` is unknown', ({ id }) => [
    `~devices/${id}`,
    { role: ['owner'] },
  ]),
  refusedRevoked('revoked true', true),
  refusedRevoked('revoked nil', null),
  refusedRevoked('revoked an array', []),
  refusedRevoked('revoked with a chain of 31 digits', { ['a'.repeat(31)]: 1 }),
  refusedRevoked('revoked with a chain of 33 digits', { ['a'.repeat(33)]: 1 }),
  refusedRevoked('revoked with a chain in upper case', { ['A'.repeat(32)]: 1 }),
  refusedRevoked('revoked with a chain that is no hex', { ['g'.repeat(32)]: 1 }),
  refusedRevoked('revoked with a negative seq', { ['a'.repeat(32)]: -1 }),
  refusedRevoked('revoked with a fraction', { ['a'.repeat(32)]: 1.5 }),
  refusedRevoked('revoked with a seq that is a string', { ['a'.repeat(32)]: '1' }),
];

// ---- 7.3

const roleIds = section('7.3');
const verdict = section('7.4');
const UNAUTHORIZED = "doesn't allow it, it is `unauthorized`";
const AT_PAST = 'take the authorized role facts on d whose commits lie in P';

type Kinds = Record<number, 'commit' | 'erased' | 'gap'>;

/** How each commit of these authors is served: whole, or erased. */
export async function served(
  trial: Trial,
  authors: readonly Author[],
  after: Line,
): Promise<(author: Author) => Kinds> {
  const entries = await readChains(
    trial,
    authors.map(({ chain }) => chain.id),
    after,
  );
  return ({ chain: { id } }) =>
    Object.fromEntries(
      entries.filter(({ chain }) => toHex(chain.id) === toHex(id)).map(({ seq, kind }) => [seq, kind]),
    );
}

export function isServed(kinds: Kinds, expected: Kinds, whose: string): void {
  for (const [seq, kind] of Object.entries(expected)) {
    const saw = kinds[Number(seq)] ?? 'missing';
    const as = (what: string): string => (what === 'commit' ? 'whole' : what);
    expect(saw === kind, `${whose}'s seq ${seq} is served ${as(saw)}, and should be ${as(kind)}`);
  }
}

export const note = (v: number): ReturnType<typeof set>[] => [set(subject('member'), { v })];

/** A commit next to what came before, that has seen nothing since. */
export const unseeing: WriteOptions = { deps: [] };

export function grantFact(device: Device, role: Role): ReturnType<typeof set>[] {
  return [set(`~devices/${device.id}`, { role, name: device.name })];
}

const HOUR_US = 3_600_000_000;
const now = (): number => Date.now() * 1000;

/** A revocation by one that has seen nothing new. */
function strike(by: Author, against: Author, cut: number, time: number): void {
  by.write([set(`~devices/${against.device.id}`, { revoked: { [toHex(against.chain.id)]: cut } })], {
    ...unseeing,
    time,
  });
}

/** Two owners give a device two roles without having seen each other; then the device writes, having seen both. */
async function rolesAtOnce(
  trial: Trial,
  later: Role,
  earlier: Role,
): Promise<{ line: Line; pull: Awaited<ReturnType<typeof offer>>['pull']; author: Author }> {
  const { world } = trial;
  const [left, right] = [trial.author('owner'), trial.author('owner')];
  const device = newDevice();
  world.grant(device, 'reader');
  const { line, pull } = await offer(trial);
  const deps = [left.deps(), right.deps()];
  const time = now();
  left.write(grantFact(device, later), { deps: deps[0]!, time: time + 1 });
  right.write(grantFact(device, earlier), { deps: deps[1]!, time });
  await pull.sendAll();
  return { line, pull, author: world.author(device) };
}

const roleCases: readonly Case[] = [
  {
    id: roleIds(),
    title: 'of two roles given at once the later one',
    rule: 'Of the rest, that with the latest `time` is it',
    async run(trial) {
      const { line, pull, author } = await rolesAtOnce(trial, 'writer', 'reader');
      const commit = author.write(note(1));
      await pull.sendAll();
      await keeps(trial, [commit], line);
    },
  },
  {
    id: roleIds(),
    title: 'of two roles given at once the earlier one is none',
    rule: 'Of the rest, that with the latest `time` is it',
    hostile: true,
    async run(trial) {
      const { line, pull, author } = await rolesAtOnce(trial, 'reader', 'writer');
      await refuses({ line, pull }, [author.draft(note(1))], 'unauthorized');
    },
  },
  {
    id: roleIds(),
    title: 'a role that had seen the other, with an earlier time',
    rule: 'Leave out those that another of them had seen.',
    async run(trial) {
      const { line, pull } = await offer(trial);
      const { owner } = trial.world;
      const device = newDevice();
      owner.write(grantFact(device, 'reader'), { time: now() + HOUR_US });
      owner.write(grantFact(device, 'writer'), { time: now() });
      const author = trial.world.author(device);
      const commit = author.write(note(1), { time: 1 });
      await pull.sendAll();
      await keeps(trial, [commit], line);
    },
  },
  {
    id: roleIds(),
    title: 'a role that was taken away with an earlier time',
    rule: 'Leave out those that another of them had seen.',
    hostile: true,
    async run(trial) {
      const offered = await offer(trial);
      const { owner } = trial.world;
      const device = newDevice();
      owner.write(grantFact(device, 'writer'), { time: now() + HOUR_US });
      owner.write(grantFact(device, 'reader'), { time: now() });
      await offered.pull.sendAll();
      await refuses(offered, [trial.world.author(device).draft(note(1))], 'unauthorized');
    },
  },
  {
    id: roleIds(),
    title: 'a role that was taken away, where the author had not seen it',
    rule: AT_PAST,
    async run(trial) {
      const { author, line, pull } = await offer(trial);
      const deps = author.deps();
      trial.world.grant(author.device, 'reader');
      await pull.sendAll();
      const commit = author.write(note(1), { deps, time: now() + 1_000_000 });
      await pull.sendAll();
      await keeps(trial, [commit], line);
    },
  },
  {
    id: roleIds(),
    title: 'a role that was given, where the author had not seen it',
    rule: AT_PAST,
    hostile: true,
    async run(trial) {
      const device = newDevice();
      trial.world.grant(device, 'reader');
      const author = trial.world.author(device);
      const deps = author.deps();
      trial.world.grant(device, 'writer');
      const offered = await offer(trial);
      await refuses(offered, [author.draft(note(1), { deps, time: now() + HOUR_US })], 'unauthorized');
    },
  },
  {
    id: roleIds(),
    title: 'a role that an earlier commit of the chain had seen',
    rule: AT_PAST,
    async run(trial) {
      const { author, line, pull } = await offer(trial);
      const first = author.write(note(1));
      const second = author.write(note(2), unseeing);
      await pull.sendAll();
      await keeps(trial, [first, second], line);
    },
  },
  {
    id: roleIds(),
    title: 'commits within the cut, at it, and past it',
    rule: "A commit is **past a cut** if its author has cuts and its `seq` is greater than its chain's cut.",
    async run(trial) {
      const { author, line, pull } = await offer(trial);
      for (let v = 1; v <= 4; v++) author.write(note(v));
      await pull.sendAll();
      trial.world.revoke(author.device, [[author, 2]]);
      await pull.sendAll();
      const kinds = await served(trial, [author], line);
      isServed(kinds(author), { 1: 'commit', 2: 'commit', 3: 'erased', 4: 'erased' }, 'the revoked device');
    },
  },
  {
    id: roleIds(),
    title: 'commits past the cut that come after the revocation',
    rule: "A commit is **past a cut** if its author has cuts and its `seq` is greater than its chain's cut.",
    async run(trial) {
      const { author, line, pull } = await offer(trial);
      author.write(note(1));
      trial.world.revoke(author.device, [[author, 2]]);
      await pull.sendAll();
      author.write(note(2), unseeing);
      author.write(note(3), unseeing);
      await pull.sendAll();
      const kinds = await served(trial, [author], line);
      isServed(kinds(author), { 1: 'commit', 2: 'commit', 3: 'erased' }, 'the revoked device');
    },
  },
  {
    id: roleIds(),
    title: 'a chain that the revocation does not name',
    rule: 'a cut: the `seq` that it names for it, 0 where it names none',
    async run(trial) {
      const { author, line, pull } = await offer(trial);
      const second = trial.world.author(author.device);
      author.write(note(1));
      second.write(note(2));
      await pull.sendAll();
      trial.world.revoke(author.device, [[author, 1]]);
      await pull.sendAll();
      const kinds = await served(trial, [author, second], line);
      isServed(kinds(author), { 1: 'commit' }, 'the chain that is named');
      isServed(kinds(second), { 1: 'erased' }, 'the chain that is not named');
    },
  },
  {
    id: roleIds(),
    title: 'a revocation that names no chain',
    rule: 'a cut: the `seq` that it names for it, 0 where it names none',
    async run(trial) {
      const { author, line, pull } = await offer(trial);
      author.write(note(1));
      await pull.sendAll();
      trial.world.revoke(author.device, []);
      await pull.sendAll();
      const kinds = await served(trial, [author], line);
      isServed(kinds(author), { 1: 'erased' }, 'the revoked device');
    },
  },
  {
    id: roleIds(),
    title: 'several revocations: the least cut',
    rule: 'Several revocations of d: for each chain the least; one that a single one of those maps leaves out has the cut 0',
    async run(trial) {
      const { author, line, pull } = await offer(trial);
      const second = trial.world.author(author.device);
      for (let v = 1; v <= 3; v++) author.write(note(v));
      second.write(note(4));
      trial.world.revoke(author.device, [
        [author, 3],
        [second, 1],
      ]);
      await pull.sendAll();
      trial.world.revoke(author.device, [[author, 1]]);
      await pull.sendAll();
      const kinds = await served(trial, [author, second], line);
      isServed(kinds(author), { 1: 'commit', 2: 'erased', 3: 'erased' }, 'the chain that both name');
      isServed(kinds(second), { 1: 'erased' }, 'the chain that one leaves out');
    },
  },
  {
    id: roleIds(),
    title: 'a device that is made a writer again',
    rule: 'revocation is final for that key',
    async run(trial) {
      const { author, line, pull } = await offer(trial);
      author.write(note(1));
      trial.world.revoke(author.device, [[author, 1]]);
      trial.world.grant(author.device, 'writer');
      author.write(note(2));
      await pull.sendAll();
      const kinds = await served(trial, [author], line);
      isServed(kinds(author), { 1: 'commit', 2: 'erased' }, 'the revoked device');
    },
  },
  ...[true, false].map((isSeniorFirst): Case => ({
    id: roleIds(),
    title: `two owners that revoke each other, and the ${isSeniorFirst ? 'senior' : 'junior'}'s revocation comes first`,
    rule: "So where owners revoke each other without having seen it, the senior one's revocation stands.",
    async run(trial) {
      const { line, pull } = await offer(trial);
      const senior = trial.author('owner');
      const device = newDevice();
      senior.write(grantFact(device, 'owner'));
      const junior = trial.world.author(device);
      junior.write([set('~conformance', { v: 1 })]);
      senior.write([set('~conformance', { v: 2 })]);
      await pull.sendAll();
      // The junior's clock is behind, so that it seems to have been first.
      const strikes = [
        (): void => strike(senior, junior, 1, now()),
        (): void => strike(junior, senior, 2, now() - HOUR_US),
      ];
      for (const each of isSeniorFirst ? strikes : strikes.toReversed()) {
        each();
        await pull.sendAll();
      }
      const kept = senior.write(note(1), unseeing);
      const dropped = junior.write(note(2), unseeing);
      await pull.sendAll();
      const kinds = await served(trial, [senior, junior], line);
      isServed(kinds(senior), { [kept.seq]: 'commit' }, 'the senior');
      isServed(kinds(junior), { 1: 'commit', [dropped.seq]: 'erased' }, 'the junior');
    },
  })),
];

// ---- 7.4

const unauthorized = (title: string, role: Role, make: (author: Author) => Commit): Case =>
  refusedCase(verdict(), title, UNAUTHORIZED, 'unauthorized', make, { role });

const verdictCases: readonly Case[] = [
  unauthorized('a commit by a reader', 'reader', (author) => author.draft(note(1))),
  unauthorized('a commit by a mirror', 'mirror', (author) => author.draft(note(1))),
  {
    id: verdict(),
    title: 'a commit by a device that nobody knows',
    rule: UNAUTHORIZED,
    hostile: true,
    async run(trial) {
      const offered = await offer(trial);
      await refuses(offered, [trial.world.author(newDevice()).draft(note(1))], 'unauthorized');
    },
  },
  unauthorized('an erased commit by a reader', 'reader', (author) => ({ ...author.draft(note(1)), body: null })),
  unauthorized('a writer that writes ~', 'writer', (author) => author.draft([set('~conformance', { v: 1 })])),
  unauthorized('a writer that makes a member', 'writer', (author) => author.draft(grantFact(newDevice(), 'reader'))),
  unauthorized('a writer that makes itself an owner', 'writer', (author) =>
    author.draft(grantFact(author.device, 'owner')),
  ),
  unauthorized('a reader that makes itself a writer', 'reader', (author) =>
    author.draft(grantFact(author.device, 'writer')),
  ),
  unauthorized('a writer that revokes', 'writer', (author) =>
    author.draft([set(`~devices/${newDevice().id}`, { revoked: {} })]),
  ),
  unauthorized('a writer whose deps name nothing', 'writer', (author) => author.draft(note(1), unseeing)),
  {
    id: verdict(),
    title: 'a writer that was made so by a writer',
    rule: UNAUTHORIZED,
    hostile: true,
    async run(trial) {
      const offered = await offer(trial);
      const device = newDevice();
      const grant = offered.author.draft(grantFact(device, 'writer'));
      const author = trial.world.author(device);
      const commit = author.draft(note(1), {
        deps: [...author.deps(), { chain: offered.author.chain.id, seq: 1 }],
      });
      await refuses(offered, [grant, commit], 'unauthorized');
    },
  },
  {
    id: verdict(),
    title: 'a void commit on ~ keeps its body, and changes nothing',
    rule: 'If it changes `~`, a peer MUST keep its body',
    async run(trial) {
      const { line, pull } = await offer(trial);
      const owner = trial.author('owner');
      owner.write([set('~conformance', { v: 1 })]);
      trial.world.revoke(owner.device, [[owner, 1]]);
      await pull.sendAll();
      const device = newDevice();
      const commit = owner.write(grantFact(device, 'writer'), unseeing);
      const author = trial.world.author(device);
      author.write(note(1));
      await pull.sendAll();
      const kinds = await served(trial, [owner, author], line);
      isServed(kinds(owner), { 1: 'commit', [commit.seq]: 'commit' }, 'the revoked owner');
      isServed(kinds(author), { 1: 'erased' }, 'the device that it made a writer');
    },
  },
  {
    id: verdict(),
    title: 'a void commit that comes erased is no hole',
    rule: 'a peer MUST drop its changes and keep it erased',
    async run(trial) {
      const { author, line, pull } = await offer(trial);
      author.write(note(1));
      trial.world.revoke(author.device, [[author, 1]]);
      await pull.sendAll();
      const commits = [author.write(note(2), unseeing), author.write(note(3), unseeing)];
      pull.batch(commits.map((commit) => ({ ...commit, body: null })));
      await pull.acknowledged();
      const { seq, line: second } = await namedOf(trial, author.chain.id, line);
      const { from } = (await second.pull()).request;
      expect(from.kind !== 'vector' || seq === 3, `its vector names the chain up to ${seq}; nothing of it is a hole`);
      await second.push();
      await trial.unharmed();
    },
  },
  {
    id: verdict(),
    title: 'the state after a revocation is as if the void commits had never counted',
    rule: 'its state becomes what it would be had the commit never counted',
    needs: ['read'],
    async run(trial) {
      const { author, pull } = await offer(trial);
      const other = trial.author();
      const name = subject('back');
      other.write([{ subject: name, ops: { set: { v: 1, w: 'kept' }, inc: { n: 5 }, add: { list: ['a', 'b'] } } }]);
      author.write([{ subject: name, ops: { inc: { n: 1 } } }]);
      author.write([
        {
          subject: name,
          ops: { set: { v: 2 }, unset: ['w'], inc: { n: 10 }, remove: { list: ['a'] }, add: { more: [1] } },
        },
      ]);
      author.write([{ subject: `${name}/gone`, ops: { set: { v: 1 } } }]);
      await pull.sendAll();
      const shown = async (expected: unknown, of = name): Promise<void> => {
        const saw = await trial.read(of);
        expect(
          JSON.stringify(sorted(saw)) === JSON.stringify(sorted(expected)),
          `it shows ${JSON.stringify(saw)} and should show ${JSON.stringify(expected)}`,
        );
      };
      await shown({ v: 2, n: 16, list: ['b'], more: [1] });
      await shown({ v: 1 }, `${name}/gone`);
      trial.world.revoke(author.device, [[author, 1]]);
      await (await trial.line()).push();
      await shown({ v: 1, w: 'kept', n: 6, list: ['a', 'b'] });
      await shown(null, `${name}/gone`);
    },
  },
  {
    id: verdict(),
    title: 'a connection with a device that is revoked',
    rule: 'MUST close connections with a device that is revoked in some space and has a role in none (`device-revoked`)',
    side: 'server',
    async run(trial) {
      const device = await trial.device('writer');
      const line = await trial.line({ device });
      await line.push();
      const other = await trial.line();
      trial.world.revoke(device, []);
      await other.push();
      await line.wire.refused('device-revoked');
      const wire = await trial.wire({ device });
      await wire.refused('device-revoked');
    },
  },
  {
    id: verdict(),
    title: 'a device without a role asks for the space',
    rule: 'A peer MUST NOT serve a space to a device that has no role in it by its own log',
    side: 'server',
    hostile: true,
    async run(trial) {
      const wire = await trial.wire();
      wire.send({
        type: 'SUBSCRIBE_ALL',
        subscription: 1,
        space: trial.world.space,
        from: { kind: 'all' },
        live: true,
        credit: 4_194_304,
      });
      await wire.refused(['not-paired', 'unknown-space', 'bad-message']);
      expect(!wire.received.some(({ type }) => type === 'BATCH'), 'it sent a batch');
    },
  },
];

function sorted(value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, item]) => [key, sorted(item)] as const)
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
}

/** An owner whose clock is slow takes a role away that another has given by a clock that is fast. */
const slowClock: Case = {
  id: '7.3/100',
  title: 'a role that an owner with a slow clock has taken away',
  rule: 'Leave out those that another of them had seen.',
  hostile: true,
  async run(trial) {
    const { world } = trial;
    const slow = trial.author('owner');
    const device = newDevice();
    const now = Date.now() * 1000;
    world.owner.write([set(`~devices/${device.id}`, { role: 'writer' })], { time: now + HOUR_US });
    slow.write([set(`~devices/${device.id}`, { role: 'reader' })], { time: now });
    const line = await trial.line();
    const pull = await line.push();
    await refuses(
      { line, pull },
      [world.author(device).draft([set(subject('slow-clock'), { n: 1 })])],
      ['unauthorized'],
    );
  },
};

export const memberCases: readonly Case[] = [slowClock, ...foundingCases, ...factCases, ...roleCases, ...verdictCases];

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Change } from '../../protocol/body.ts';
import { toHex } from '../../protocol/bytes.ts';
import { spaceId } from '../../protocol/commit.ts';
import { formatDeviceId } from '../../protocol/device-id.ts';
import {
  changesMembership,
  isReserved,
  isRole,
  Membership,
  readFacts,
  readFounding,
  type Fact,
  type Role,
  type Verdict,
} from '../../protocol/membership.ts';
import { bytesOf, crypto, deviceOf, refusal, withCode } from '../support/protocol.ts';

const NAMES = ['founder', 'ann', 'bea', 'cyd', 'dan'] as const;
type Name = (typeof NAMES)[number] | 'stranger';
const keyOf = (name: string): Uint8Array => deviceOf(name).public;
const hexOf = (name: string): string => toHex(keyOf(name));

/** One commit on the graph, as membership sees it. */
interface Commit {
  readonly device: string;
  readonly chain: string;
  readonly seq: number;
  readonly time: number;
  readonly past: ReadonlyMap<string, number>;
  readonly membership: boolean;
  readonly facts: readonly { readonly target: string; readonly role: Role | null; readonly revoked: ReadonlyMap<string, number> | null }[]; // prettier-ignore
}

const chainOf = (name: string, incarnation = 0): string => toHex(bytesOf(`chain ${name} ${incarnation}`, 16));
const pastOf =
  ({ chain, seq, past }: Commit) =>
  (other: string): number =>
    other === chain ? seq - 1 : (past.get(other) ?? 0);
const isBefore = (one: Commit, other: Commit): boolean => pastOf(other)(one.chain) >= one.seq;

/** What a peer that takes commits in this order holds: pasts name only chains that had made facts by then. */
function factsOf(order: readonly Commit[]): Fact[] {
  const facts: Fact[] = [];
  for (const { device, chain, seq, time, past, facts: statements } of order) {
    const chains = new Set(facts.map((fact) => fact.chain));
    const seen = new Map([...past].filter(([other]) => chains.has(other)));
    for (const statement of statements) facts.push({ chain, seq, author: hexOf(device), time, past: seen, sure: null, ...statement }); // prettier-ignore
  }
  return facts;
}

function judge(order: readonly Commit[]): Membership {
  return judgeFacts(factsOf(order));
}

function judgeFacts(facts: readonly Fact[], before: Membership | null = null): Membership {
  return new Membership(keyOf('founder'), facts, before);
}

function verdictOf(membership: Membership, commit: Commit): Verdict {
  const { device, chain, seq } = commit;
  return membership.verdict({
    device: keyOf(device),
    chain,
    seq,
    past: pastOf(commit),
    surely: null,
    membership: commit.membership,
  });
}

/** Histories in a few lines: every chain sees what it is given, and its own commits. */
class History {
  readonly commits: Commit[] = [];
  readonly #seen = new Map<string, Map<string, number>>();
  #time = 1000;

  seen(chain: string): Map<string, number> {
    let seen = this.#seen.get(chain);
    if (!seen) this.#seen.set(chain, (seen = new Map()));
    return seen;
  }

  sync(from: Name, to: Name): void {
    for (const [chain, seq] of this.seen(chainOf(from))) {
      const seen = this.seen(chainOf(to));
      seen.set(chain, Math.max(seen.get(chain) ?? 0, seq));
    }
  }

  #write(device: Name, facts: Commit['facts'], membership: boolean, time = (this.#time += 10)): Commit {
    const chain = chainOf(device);
    const seen = this.seen(chain);
    const seq = (seen.get(chain) ?? 0) + 1;
    const commit = { device, chain, seq, time, past: new Map(seen), membership, facts };
    seen.set(chain, seq);
    this.commits.push(commit);
    return commit;
  }

  data(device: Name): Commit {
    return this.#write(device, [], false);
  }

  grant(device: Name, target: Name, role: Role, time?: number): Commit {
    return this.#write(device, [{ target: hexOf(target), role, revoked: null }], true, time);
  }

  /** @param cuts by default what the revoker had seen */
  revoke(device: Name, target: Name, cuts?: Record<string, number>, time?: number): Commit {
    const seen = this.seen(chainOf(device)).get(chainOf(target)) ?? 0;
    const revoked = new Map(Object.entries(cuts ?? (seen > 0 ? { [chainOf(target)]: seen } : {})));
    return this.#write(device, [{ target: hexOf(target), role: null, revoked }], true, time);
  }

  verdicts(...commits: Commit[]): Verdict[] {
    const first = commits.map((commit) => verdictOf(judge(this.commits), commit));
    for (const order of linearExtensions(this.commits))
      expect(commits.map((commit) => verdictOf(judge(order), commit))).toEqual(first);
    return first;
  }

  role(name: Name): Role | null {
    return judge(this.commits).roleOf(keyOf(name));
  }
}

function* linearExtensions(commits: readonly Commit[], done: readonly Commit[] = []): Generator<readonly Commit[]> {
  if (done.length === commits.length) yield done;
  for (const commit of commits) {
    if (done.includes(commit)) continue;
    if (commits.every((other) => done.includes(other) || !isBefore(other, commit)))
      yield* linearExtensions(commits, [...done, commit]);
  }
}

describe('founding', () => {
  const owner = keyOf('founder');
  const salt = bytesOf('salt', 16);
  const space = spaceId(crypto, owner, salt);
  const founding = (set: Record<string, unknown>): Change[] =>
    [{ subject: '~space', ops: { set } }] as unknown as Change[];

  test('the first commit says who owns the space, and its id proves it', () => {
    expect(readFounding(crypto, space, owner, founding({ owner, salt, name: 'home' }))).toEqual({ owner, name: 'home' }); // prettier-ignore
  });

  test.each<[string, Change[], Uint8Array, Uint8Array]>([
    ['nothing of ~space', [{ subject: 'note/1', ops: { destroy: true } }], space, owner],
    ['~space without set', [{ subject: '~space', ops: { unset: ['owner'] } }], space, owner],
    ['no owner', founding({ salt, name: 'home' }), space, owner],
    ['an owner as text', founding({ owner: hexOf('founder'), salt, name: 'home' }), space, owner],
    ['no salt', founding({ owner, name: 'home' }), space, owner],
    ['a short salt', founding({ owner, salt: salt.slice(1), name: 'home' }), space, owner],
    ['no name', founding({ owner, salt }), space, owner],
    ['a long name', founding({ owner, salt, name: 'x'.repeat(65) }), space, owner],
    ['another author', founding({ owner, salt, name: 'home' }), space, keyOf('ann')],
    ['another owner, who wrote it', founding({ owner: keyOf('ann'), salt, name: 'home' }), space, keyOf('ann')],
    ['another salt', founding({ owner, salt: bytesOf('other', 16), name: 'home' }), space, owner],
    ['another space', founding({ owner, salt, name: 'home' }), bytesOf('space', 32), owner],
  ])('%s is bad-space', (_, changes, id, author) => {
    expect(() => readFounding(crypto, id, author, changes)).toThrow(withCode('bad-space'));
  });

  test('the founder is an owner without a grant', () => {
    const h = new History();
    const [data, fact] = [h.data('founder'), h.grant('founder', 'ann', 'writer')];
    expect(h.verdicts(data, fact)).toEqual(['counts', 'counts']);
    expect(h.role('founder')).toBe('owner');
    expect(judge([]).devices()).toEqual([{ device: hexOf('founder'), role: 'owner' }]);
  });
});

describe('reading', () => {
  const id = formatDeviceId(keyOf('ann'));
  const device = (set: unknown, subject = `~devices/${id}`): Change[] =>
    [{ subject, ops: { set } }] as unknown as Change[];
  const chain = chainOf('ann');

  test('roles and revocations', () => {
    const target = hexOf('ann');
    expect(readFacts(device({ role: 'writer', name: 'Ann' }))).toEqual([{ target, role: 'writer', revoked: null }]);
    expect(readFacts(device({ revoked: { [chain]: 7 } }))).toEqual([
      { target, role: null, revoked: new Map([[chain, 7]]) },
    ]);
    expect(readFacts(device({ revoked: {} }))).toEqual([{ target, role: null, revoked: new Map() }]);
    expect(readFacts(device({ name: 'Ann' }))).toEqual([]);
    expect(readFacts([{ subject: '~space', ops: { set: { name: 'x' } } }])).toEqual([]);
  });

  test.each<[string, Change[]]>([
    ['an unknown role', device({ role: 'admin' })],
    ['a role that is no text', device({ role: null })],
    ['a revocation that is true', device({ revoked: true })],
    ['a revocation that is null', device({ revoked: null })],
    ['a revocation in an array', device({ revoked: [chain] })],
    ['a revocation of bytes', device({ revoked: keyOf('ann') })],
    ['a short chain', device({ revoked: { [chain.slice(2)]: 1 } })],
    ['a chain in upper case', device({ revoked: { [`A${chain.slice(1)}`]: 1 } })],
    ['a chain that is no hex', device({ revoked: { [`x${chain.slice(1)}`]: 1 } })],
    ['a seq below 0', device({ revoked: { [chain]: -1 } })],
    ['half a seq', device({ revoked: { [chain]: 0.5 } })],
    ['a seq of text', device({ revoked: { [chain]: '1' } })],
    ['no device', device({ role: 'writer' }, '~devices/')],
    [
      'a device with a typo',
      device({ role: 'writer' }, `~devices/${id.replace(/^./, (c) => (c === 'A' ? 'B' : 'A'))}`),
    ],
    ['a device in lower case: one device, one subject', device({ role: 'writer' }, `~devices/${id.toLowerCase()}`)],
    ['a device without dashes', device({ role: 'writer' }, `~devices/${id.replaceAll('-', '')}`)],
    ['a key of small order', device({ role: 'writer' }, `~devices/${formatDeviceId(new Uint8Array(32))}`)],
  ])('%s is bad-commit', (_, changes) => {
    expect(() => readFacts(changes)).toThrow(withCode('bad-commit'));
  });

  test('a commit is on ~ or on the rest', () => {
    const on = (...subjects: string[]): Change[] => subjects.map((subject) => ({ subject, ops: { destroy: true } }));
    expect(changesMembership(on('a', 'b'))).toBe(false);
    expect(changesMembership(on('~a', '~devices/b'))).toBe(true);
    expect(refusal(() => changesMembership(on('a', '~b'))).code).toBe('bad-commit');
    expect(refusal(() => changesMembership(on('~b', 'a'))).code).toBe('bad-commit');
    expect([isReserved('~'), isReserved('a~'), isReserved('')]).toEqual([true, false, false]);
    expect([isRole('owner'), isRole('Owner'), isRole(undefined)]).toEqual([true, false, false]);
  });
});

describe('grants', () => {
  test.each<[Role, Verdict, Verdict]>([
    ['owner', 'counts', 'counts'],
    ['writer', 'counts', 'unauthorized'],
    ['reader', 'unauthorized', 'unauthorized'],
    ['mirror', 'unauthorized', 'unauthorized'],
  ])('%s: data %s, ~ %s', (role, data, membership) => {
    const h = new History();
    h.grant('founder', 'ann', role);
    h.sync('founder', 'ann');
    expect(h.verdicts(h.data('ann'), h.grant('ann', 'bea', 'writer'))).toEqual([data, membership]);
    expect(h.role('ann')).toBe(role);
    expect(h.role('bea')).toBe(membership === 'counts' ? 'writer' : null);
  });

  test('a stranger is unauthorized, and so is a member who wrote before the grant', () => {
    const h = new History();
    const early = h.data('ann');
    h.grant('founder', 'ann', 'writer');
    const unaware = h.data('ann');
    h.sync('founder', 'ann');
    const aware = h.data('ann');
    expect(h.verdicts(early, unaware, aware, h.data('stranger'))).toEqual([
      'unauthorized',
      'unauthorized',
      'counts',
      'unauthorized',
    ]);
  });

  test('nobody makes himself a member', () => {
    const h = new History();
    const fact = h.grant('stranger', 'stranger', 'owner');
    expect(h.verdicts(fact, h.data('stranger'))).toEqual(['unauthorized', 'unauthorized']);
    expect(h.role('stranger')).toBeNull();
  });

  test("a writer's grant makes nobody a member", () => {
    const h = new History();
    h.grant('founder', 'ann', 'writer');
    h.sync('founder', 'ann');
    h.grant('ann', 'bea', 'writer');
    h.sync('ann', 'bea');
    expect(h.verdicts(h.data('bea'))).toEqual(['unauthorized']);
    expect(h.role('bea')).toBeNull();
    expect(judge(h.commits).hasRoleEver(keyOf('bea'))).toBe(false);
  });

  test('a change of role counts from where it was seen', () => {
    const h = new History();
    h.grant('founder', 'ann', 'writer');
    h.sync('founder', 'ann');
    const before = h.data('ann');
    h.grant('founder', 'ann', 'reader');
    const unaware = h.data('ann');
    h.sync('founder', 'ann');
    const aware = h.data('ann');
    expect(h.verdicts(before, unaware, aware)).toEqual(['counts', 'counts', 'unauthorized']);
    expect(h.role('ann')).toBe('reader');
  });

  test('of two changes at once the later one stands', () => {
    const h = new History();
    h.grant('founder', 'ann', 'owner');
    h.sync('founder', 'ann');
    h.grant('founder', 'bea', 'reader', 9000);
    h.grant('ann', 'bea', 'writer', 8000);
    h.sync('founder', 'bea');
    h.sync('ann', 'bea');
    expect(h.role('bea')).toBe('reader');
    expect(h.verdicts(h.data('bea'))).toEqual(['unauthorized']);
  });

  test('a change that had seen the other stands, whatever its clock says', () => {
    const h = new History();
    h.grant('founder', 'ann', 'owner');
    h.sync('founder', 'ann');
    h.grant('founder', 'bea', 'reader', 9000);
    h.sync('founder', 'ann');
    h.grant('ann', 'bea', 'writer', 8);
    expect(h.role('bea')).toBe('writer');
  });

  test('owners that change each other again and again are judged before the test gives up', () => {
    const h = new History();
    h.grant('founder', 'ann', 'owner');
    h.sync('founder', 'ann');
    h.grant('ann', 'bea', 'owner');
    for (let i = 0; i < 60; i++) {
      h.sync('ann', 'bea');
      h.grant('bea', 'ann', 'owner');
      h.sync('bea', 'ann');
      h.grant('ann', 'bea', 'owner');
    }
    expect(verdictOf(judge(h.commits), h.data('ann'))).toBe('counts');
  });
});

describe('revocation', () => {
  const paired = (role: Role = 'writer'): History => {
    const h = new History();
    h.grant('founder', 'ann', role);
    h.sync('founder', 'ann');
    return h;
  };

  test('what the revoker had seen counts, and nothing after it, seen or not', () => {
    const h = paired();
    const seen = h.data('ann');
    h.sync('ann', 'founder');
    const unseen = h.data('ann');
    h.revoke('founder', 'ann');
    const unaware = h.data('ann');
    h.sync('founder', 'ann');
    const aware = h.data('ann');
    expect(h.verdicts(seen, unseen, unaware, aware)).toEqual(['counts', 'void', 'void', 'void']);
    expect(h.role('ann')).toBeNull();
    expect(judge(h.commits).isRevoked(keyOf('ann'))).toBe(true);
    expect(judge(h.commits).revokedDevices()).toEqual([hexOf('ann')]);
    expect(judge(h.commits).hasRoleEver(keyOf('ann'))).toBe(true);
    expect(judge(h.commits).devices()).toEqual([{ device: hexOf('founder'), role: 'owner' }]);
  });

  test('a chain that is not named counts for nothing', () => {
    const h = paired();
    const data = h.data('ann');
    h.sync('ann', 'founder');
    h.revoke('founder', 'ann', {});
    expect(h.verdicts(data)).toEqual(['void']);
    expect(judge(h.commits).lastCounting(hexOf('ann'), chainOf('ann'))).toBe(0);
    expect(judge(h.commits).lastCounting(hexOf('founder'), chainOf('founder'))).toBe(Infinity);
  });

  test('it wins over a grant at once and over one that comes later: it is final', () => {
    const h = paired();
    h.grant('founder', 'bea', 'owner');
    h.sync('founder', 'bea');
    h.revoke('founder', 'ann');
    h.grant('bea', 'ann', 'owner', 99_999);
    h.sync('bea', 'founder');
    h.grant('founder', 'ann', 'owner', 999_999);
    h.sync('founder', 'ann');
    expect(h.role('ann')).toBeNull();
    expect(h.verdicts(h.data('ann'))).toEqual(['void']);
  });

  test('of several the least counts, chain by chain', () => {
    const h = new History();
    h.grant('founder', 'bea', 'owner');
    h.grant('founder', 'ann', 'writer');
    h.sync('founder', 'ann');
    const data = [1, 2, 3].map(() => h.data('ann'));
    h.sync('founder', 'bea');
    const other = 'f'.repeat(32);
    h.revoke('founder', 'ann', { [chainOf('ann')]: 2, [other]: 5 });
    h.revoke('bea', 'ann', { [chainOf('ann')]: 3 });
    expect(h.verdicts(...data)).toEqual(['counts', 'counts', 'void']);
    expect(judge(h.commits).lastCounting(hexOf('ann'), other)).toBe(0);
  });

  test('what a revoked owner granted past its cut is void, and what came of that', () => {
    const h = paired('owner');
    const kept = h.grant('ann', 'bea', 'writer');
    h.sync('ann', 'founder');
    const lost = h.grant('ann', 'cyd', 'owner');
    h.sync('ann', 'bea');
    h.sync('ann', 'cyd');
    h.revoke('founder', 'ann');
    const [bea, cyd, dan] = [h.data('bea'), h.data('cyd'), h.grant('cyd', 'dan', 'writer')];
    expect(h.verdicts(kept, lost, bea, cyd, dan)).toEqual(['counts', 'void', 'counts', 'void', 'void']);
    expect([h.role('bea'), h.role('cyd'), h.role('dan')]).toEqual(['writer', null, null]);
  });

  test('an owner may revoke itself', () => {
    const h = paired('owner');
    const before = h.data('ann');
    const revocation = h.revoke('ann', 'ann', { [chainOf('ann')]: 1 });
    const after = h.data('ann');
    expect(h.verdicts(before, revocation, after)).toEqual(['counts', 'counts', 'void']);
    expect(h.role('ann')).toBeNull();
  });

  test('a writer may not revoke, nor a stranger', () => {
    const h = paired();
    const [one, other] = [h.revoke('ann', 'founder'), h.revoke('stranger', 'founder')];
    expect(h.verdicts(one, other, h.data('founder'))).toEqual(['unauthorized', 'unauthorized', 'counts']);
    expect(h.role('founder')).toBe('owner');
  });

  test('owners who revoke each other at once: the senior one counts, whatever the clocks say', () => {
    for (const [founderTime, annTime] of [
      [5000, 9000],
      [9000, 5000],
    ] as const) {
      // prettier-ignore
      const h = paired('owner');
      h.sync('ann', 'founder');
      const byAnn = h.revoke('ann', 'founder', {}, annTime);
      const byFounder = h.revoke('founder', 'ann', undefined, founderTime);
      expect(h.verdicts(byAnn, byFounder)).toEqual(['void', 'counts']);
      expect([h.role('founder'), h.role('ann')]).toEqual(['owner', null]);
    }
  });

  test('among others the one who was made an owner first', () => {
    const h = new History();
    h.grant('founder', 'bea', 'owner');
    h.grant('founder', 'ann', 'owner');
    h.sync('founder', 'ann');
    h.sync('founder', 'bea');
    const [byAnn, byBea] = [h.revoke('ann', 'bea'), h.revoke('bea', 'ann')];
    expect(h.verdicts(byAnn, byBea)).toEqual(['void', 'counts']);
  });

  test('a stolen key does not undo its revocation by a new chain that has not seen it', () => {
    const h = paired('owner');
    h.sync('ann', 'founder');
    const revocation = h.revoke('founder', 'ann');
    const thief = chainOf('ann', 1);
    const theft: Commit = {
      device: 'ann',
      chain: thief,
      seq: 1,
      time: 1,
      past: new Map([[chainOf('founder'), 1]]),
      membership: true,
      facts: [
        { target: hexOf('founder'), role: null, revoked: new Map() },
        { target: hexOf('stranger'), role: 'owner', revoked: null },
      ],
    };
    h.commits.push(theft);
    expect(h.verdicts(revocation, theft)).toEqual(['counts', 'void']);
    expect([h.role('founder'), h.role('stranger')]).toEqual(['owner', null]);
  });

  test('an owner may revoke the founder, who had not revoked first', () => {
    const h = paired('owner');
    h.sync('ann', 'founder');
    const before = h.data('founder');
    h.sync('founder', 'ann');
    h.revoke('ann', 'founder');
    const after = h.data('founder');
    expect(h.verdicts(before, after)).toEqual(['counts', 'void']);
    expect([h.role('founder'), h.role('ann')]).toEqual([null, 'owner']);
  });

  test('a revocation that counted stands, and its commit with it, when its author loses the role to a junior', () => {
    const h = new History();
    h.grant('founder', 'ann', 'owner');
    h.grant('founder', 'bea', 'owner');
    h.sync('founder', 'ann');
    h.sync('founder', 'bea');
    h.grant('ann', 'cyd', 'owner');
    h.sync('ann', 'cyd');
    h.grant('founder', 'dan', 'writer');
    const revocation = h.revoke('cyd', 'dan');
    // Made an owner by bea, and so junior to cyd.
    const grant = h.grant('bea', 'stranger', 'owner');
    h.sync('bea', 'stranger');
    h.revoke('stranger', 'ann', {});
    const membership = judge(h.commits);
    // Were the commit void, its device would be revoked here and a member in the state.
    expect(membership.isRevoked(keyOf('dan'))).toBe(true);
    expect(membership.roleOf(keyOf('cyd'))).toBeNull();
    expect(h.verdicts(grant, revocation)).toEqual(['counts', 'counts']);
  });

  test('a grant that was made good by a grant that is cut later is void too', () => {
    const h = new History();
    h.grant('founder', 'ann', 'owner');
    h.grant('founder', 'bea', 'owner');
    h.sync('founder', 'ann');
    h.sync('founder', 'bea');
    h.grant('ann', 'cyd', 'owner');
    h.sync('ann', 'cyd');
    const grant = h.grant('cyd', 'dan', 'owner');
    h.grant('bea', 'stranger', 'owner');
    h.sync('bea', 'stranger');
    // Junior to all of them: it is judged when they have been found good.
    h.revoke('stranger', 'ann', {});
    expect(h.verdicts(grant)).toEqual(['void']);
    expect([h.role('cyd'), h.role('dan')]).toEqual([null, null]);
  });

  test('a revocation that gives its author a role back lets what that one revoked count', () => {
    const h = new History();
    for (const name of ['ann', 'bea', 'cyd', 'stranger'] as const) h.grant('founder', name, 'owner');
    for (const name of ['ann', 'bea', 'cyd', 'stranger'] as const) h.sync('founder', name);
    const demotion = h.grant('bea', 'ann', 'reader');
    h.sync('bea', 'cyd');
    const promotion = h.grant('cyd', 'ann', 'owner');
    h.sync('cyd', 'ann');
    const byAnn = h.revoke('ann', 'dan');
    // Without cyd, ann is a reader; without bea as well, she is the owner that she was.
    h.revoke('founder', 'cyd', {});
    h.revoke('stranger', 'bea', {});
    expect(h.verdicts(demotion, promotion, byAnn)).toEqual(['void', 'void', 'counts']);
    expect(judge(h.commits).isRevoked(keyOf('dan'))).toBe(true);
  });
});

test('who is made an owner again by a senior may become senior to whom it was revoked by', () => {
  const h = new History();
  h.grant('founder', 'ann', 'owner');
  h.sync('founder', 'ann');
  h.grant('ann', 'bea', 'owner');
  h.grant('ann', 'cyd', 'owner');
  h.sync('ann', 'bea');
  h.sync('ann', 'cyd');
  const [byBea, byCyd] = [h.revoke('bea', 'cyd', {}), h.revoke('cyd', 'bea', {})];
  expect(h.verdicts(byBea, byCyd)).toEqual(['counts', 'void']);
  const before = judge(h.commits);
  h.grant('founder', 'dan', 'owner');
  expect(judge(h.commits).cutsAs(before)).toBe(true);
  h.grant('founder', 'cyd', 'owner');
  expect(judge(h.commits).cutsAs(before)).toBe(false);
  expect(h.verdicts(byBea, byCyd)).toEqual(['void', 'counts']);
});

describe('long histories', () => {
  const by = (author: Name, seq: number, target: Name, role: Role, past: [Name, number][]): Fact => ({
    chain: chainOf(author),
    seq,
    author: hexOf(author),
    time: seq,
    past: new Map(past.map(([name, seen]) => [chainOf(name), seen])),
    sure: null,
    target: hexOf(target),
    role,
    revoked: null,
  });
  const revocation: Fact = { ...by('founder', 1, 'dan', 'writer', []), role: null, revoked: new Map() };
  const granted = by('founder', 2, 'ann', 'owner', []);

  test.each<[string, (i: number) => Fact]>([
    ['of one device, by the founder', (i) => by('founder', i + 3, 'ann', i % 2 ? 'owner' : 'writer', [])],
    ['of one device, by itself', (i) => by('ann', i + 1, 'ann', 'owner', [['founder', 2]])],
    [
      'of two devices, by each other',
      (i) =>
        i % 2
          ? by('founder', (i + 5) / 2, 'ann', 'owner', [['ann', (i + 1) / 2]])
          : by('ann', i / 2 + 1, 'founder', 'owner', [['founder', i / 2 + 2]]),
    ],
  ])('10,000 roles %s, are judged before the test gives up, and again with each that is new', (_, next) => {
    const facts = [revocation, granted, ...Array.from({ length: 10_000 }, (_each, i) => next(i))];
    let membership = judgeFacts(facts);
    for (let i = 0; i < 200; i++) {
      facts.push(next(10_000 + i));
      membership = judgeFacts([...facts], membership);
      expect(membership.isRevoked(keyOf('dan'))).toBe(true);
      expect(membership.roleOf(keyOf('ann'))).toBe(
        facts.at(-1)!.target === hexOf('ann') ? facts.at(-1)!.role : 'owner',
      );
    }
  });
});

// ---- random histories

interface Step {
  readonly kind: 'data' | 'grant' | 'revoke' | 'pull';
  readonly chain: number;
  readonly other: number;
  readonly role: Role;
  readonly part: number;
  readonly drift: number;
}
const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('data', 'grant', 'grant', 'grant', 'revoke', 'pull', 'pull', 'pull', 'pull'),
  chain: fc.nat(6),
  other: fc.nat(6),
  role: fc.constantFrom('owner', 'owner', 'owner', 'writer', 'reader'),
  part: fc.double({ min: 0, max: 1, noNaN: true }),
  drift: fc.integer({ min: -40, max: 40 }),
});
const steps = fc.array(step, { minLength: 5, maxLength: 60, size: 'max' });

/**
 * Seven chains of five devices: two devices have a second one, which may claim to have seen less than the first. Each holds what it pulled, and
 * takes in nothing that is unauthorized, as a peer would.
 */
function simulate(history: readonly Step[]): Commit[] {
  const chains = [0, 1, 2, 3, 4, 5, 6].map((i) => ({ device: NAMES[i % 5]!, id: chainOf(NAMES[i % 5]!, i < 5 ? 0 : 1), log: [] as Commit[] })); // prettier-ignore
  const all: Commit[] = [];
  let time = 1000;
  for (const { kind, chain, other, role, part, drift } of history) {
    time += 10;
    const { device, id, log } = chains[chain]!;
    if (kind === 'pull') {
      const missing = chains[other]!.log.filter((commit) => !log.includes(commit));
      log.push(...missing.slice(0, Math.ceil(missing.length * part)));
      continue;
    }
    const past = new Map<string, number>();
    for (const commit of log) past.set(commit.chain, Math.max(past.get(commit.chain) ?? 0, commit.seq));
    const seq = (past.get(id) ?? 0) + 1;
    past.delete(id);
    const target = hexOf(NAMES[other % 5]!);
    const cuts = new Map<string, number>();
    for (const { id: cut, device: owner } of chains) {
      const seen = cut === id ? seq - 1 : (past.get(cut) ?? 0);
      if (owner === NAMES[other % 5] && seen > 0) cuts.set(cut, part < 0.2 ? Math.floor(seen / 2) : seen);
    }
    const facts = { data: [], grant: [{ target, role, revoked: null }], revoke: [{ target, role: null, revoked: cuts }] }[kind]; // prettier-ignore
    const commit = { device, chain: id, seq, time: time + drift, past, membership: kind !== 'data', facts };
    if (verdictOf(judge(log), commit) === 'unauthorized') continue;
    log.push(commit);
    all.push(commit);
  }
  return all;
}

function shuffled(commits: readonly Commit[], picks: readonly number[]): Commit[] {
  const left = [...commits];
  const order: Commit[] = [];
  for (let i = 0; left.length > 0; i++) {
    const ready = left.filter((commit) => !left.some((other) => other !== commit && isBefore(other, commit)));
    const next = ready[(picks[i % picks.length] ?? 0) % ready.length]!;
    left.splice(left.indexOf(next), 1);
    order.push(next);
  }
  return order;
}

const summary = (membership: Membership, commits: readonly Commit[]): unknown => ({
  verdicts: commits.map((commit) => verdictOf(membership, commit)),
  roles: NAMES.map((name) => membership.roleOf(keyOf(name))),
  revoked: membership.revokedDevices().toSorted(),
  devices: membership.devices().toSorted((a, b) => (a.device < b.device ? -1 : 1)),
  cuts: commits.map(({ device, chain }) => membership.lastCounting(hexOf(device), chain)),
});

describe('random histories', () => {
  const picks = fc.array(fc.array(fc.nat(9), { minLength: 1, maxLength: 30 }), { minLength: 3, maxLength: 3 });

  test('any causal order gives the same verdicts, roles and cuts', () => {
    const seen: Record<Verdict, number> = { counts: 0, void: 0, unauthorized: 0 };
    fc.assert(
      fc.property(steps, picks, (history, orders) => {
        const commits = simulate(history);
        const first = summary(judge(commits), commits);
        for (const { verdicts } of [first as { verdicts: Verdict[] }]) for (const verdict of verdicts) seen[verdict]++;
        for (const order of orders) expect(summary(judge(shuffled(commits, order)), commits)).toEqual(first);
      }),
      { numRuns: 400 },
    );
    expect(seen.unauthorized).toBe(0);
    expect(seen.counts).toBeGreaterThan(500);
    expect(seen.void).toBeGreaterThan(50);
  });

  test('what was judged before helps, and changes nothing', () => {
    fc.assert(
      fc.property(steps, fc.array(fc.boolean(), { minLength: 1 }), (history, asked) => {
        const commits = simulate(history);
        const facts = factsOf(commits);
        let membership: Membership | null = null;
        for (let length = 0; length <= facts.length; length++) {
          membership = judgeFacts(facts.slice(0, length), membership);
          const inFacts = (commit: Commit): boolean =>
            facts.findLastIndex(({ chain, seq }) => chain === commit.chain && seq === commit.seq) < length;
          const some = commits.filter((commit, i) => asked[(i + length) % asked.length] && inFacts(commit));
          expect(summary(membership, some)).toEqual(summary(judgeFacts(facts.slice(0, length)), some));
        }
        // Something taken back, and something else in its place.
        const other = facts.slice(0, facts.length >> 1);
        expect(summary(judgeFacts(other, membership), commits)).toEqual(summary(judgeFacts(other), commits));
      }),
      { numRuns: 100 },
    );
  });

  test('what is authorized when it comes stays so, whatever comes later', () => {
    fc.assert(
      fc.property(steps, (history) => {
        const commits = simulate(history);
        for (let i = 0; i < commits.length; i++)
          expect(verdictOf(judge(commits.slice(0, i)), commits[i]!)).not.toBe('unauthorized');
      }),
      { numRuns: 100 },
    );
  });

  test('what a commit says has effect exactly where it counts', () => {
    // Given the verdicts, cuts and roles follow from the design's words; and given cuts and roles, so do the verdicts.
    fc.assert(
      fc.property(steps, (history) => {
        const commits = simulate(history);
        const membership = judge(commits);
        const counting = commits.filter((commit) => verdictOf(membership, commit) === 'counts');
        const statements = counting.flatMap((commit) => commit.facts.map((fact) => ({ ...fact, commit })));

        const cutOf = (name: string, chain: string): number =>
          Math.min(
            ...statements.flatMap(({ target, revoked }) =>
              revoked !== null && target === hexOf(name) ? [revoked.get(chain) ?? 0] : [],
            ),
          );
        const roleAt = (name: string, isSeen: (commit: Commit) => boolean): Role | null => {
          const grants = statements.filter(
            ({ target, role, commit }) => role !== null && target === hexOf(name) && isSeen(commit),
          );
          const standing = grants.filter(({ commit }) => !grants.some((other) => other.commit !== commit && isBefore(commit, other.commit))); // prettier-ignore
          const order = ({ commit }: (typeof grants)[number]): string =>
            `${String(commit.time).padStart(9, '0')} ${hexOf(commit.device)} ${commit.chain}`;
          const last = standing.toSorted((a, b) => (order(a) < order(b) ? 1 : -1))[0];
          return last?.role ?? (name === 'founder' ? 'owner' : null);
        };

        for (const name of NAMES) {
          const isRevoked = statements.some(({ target, revoked }) => revoked !== null && target === hexOf(name));
          expect(membership.isRevoked(keyOf(name))).toBe(isRevoked);
          expect(membership.roleOf(keyOf(name))).toBe(isRevoked ? null : roleAt(name, () => true));
        }
        for (const commit of commits) {
          const { device, chain, seq } = commit;
          const cut = cutOf(device, chain);
          expect(membership.lastCounting(hexOf(device), chain)).toBe(cut);
          const role = roleAt(device, (other) => other !== commit && isBefore(other, commit));
          const isAllowed = seq <= cut && (role === 'owner' || (role === 'writer' && !commit.membership));
          // A revocation that counted once is not undone by what followed from it.
          const isRevocation = commit.facts.some(({ revoked }) => revoked !== null);
          if (isAllowed || !isRevocation) expect(counting.includes(commit)).toBe(isAllowed);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('nothing past a cut counts but revocations, and nothing of a stranger', () => {
    fc.assert(
      fc.property(steps, (history) => {
        const commits = simulate(history);
        const membership = judge(commits);
        for (const commit of commits) {
          const isPast = commit.seq > membership.lastCounting(hexOf(commit.device), commit.chain);
          const isRevocation = commit.facts.some(({ revoked }) => revoked !== null);
          if (isPast && !isRevocation) expect(verdictOf(membership, commit)).toBe('void');
        }
        const stranger = { device: 'stranger', chain: chainOf('stranger'), seq: 1, time: 1, membership: false, facts: [] }; // prettier-ignore
        const past = new Map(commits.map(({ chain, seq }) => [chain, seq]));
        expect(verdictOf(membership, { ...stranger, past })).toBe('unauthorized');
      }),
      { numRuns: 200 },
    );
  });

  test("a stranger's facts change nothing", () => {
    fc.assert(
      fc.property(steps, fc.array(step, { minLength: 1, maxLength: 5 }), (history, lies) => {
        const commits = simulate(history);
        const past = new Map(commits.map(({ chain, seq }) => [chain, seq]));
        const strange = lies.map(({ other, role, kind }, i): Commit => {
          const target = hexOf(other < 5 ? NAMES[other]! : 'stranger');
          const revoked = kind === 'revoke' ? new Map<string, number>() : null;
          return { device: 'stranger', chain: chainOf('stranger'), seq: i + 1, time: i, past, membership: true, facts: [{ target, role: revoked ? null : role, revoked }] }; // prettier-ignore
        });
        expect(summary(judge([...commits, ...strange]), commits)).toEqual(summary(judge(commits), commits));
      }),
      { numRuns: 200 },
    );
  });
});

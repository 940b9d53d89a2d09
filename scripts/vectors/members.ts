/** Who may write: judgments over graphs of commits, and whole logs as bytes. Verdicts are written down by hand from section 7. */
import type { Batch, BatchEntry } from '../../protocol/batch.ts';
import type { Change, Dependency } from '../../protocol/body.ts';
import { toHex } from '../../protocol/bytes.ts';
import type { Role, Verdict } from '../../protocol/membership.ts';
import { digest } from '../../protocol/vector.ts';
import { History } from './history.ts';
import {
  batchHex,
  bytesOf,
  Chain,
  crypto,
  deviceOf,
  FOUNDING,
  grant,
  memberSubject,
  SALT,
  set,
  SPACE,
  TIME,
} from './world.ts';

/** Chains by letter: the founder's, four devices', a stranger's, and a second incarnation of a's device. */
const DEVICES = { f: 'laptop', a: 'phone', b: 'tablet', c: 'desk', d: 'car', s: 'stranger', a2: 'phone' } as const;
type Letter = keyof typeof DEVICES;
const chainHex = (letter: string): string => toHex(bytesOf(`membership chain ${letter}`, 16));

class Members extends History {
  constructor() {
    super();
    this.write('f', FOUNDING);
  }
  data(chain: Letter): void {
    this.write(chain, [set('note/1', { by: chain })]);
  }
  grant(chain: Letter, target: Letter, role: Role, time?: number): void {
    this.write(chain, [grant(DEVICES[target], role)], time);
  }
  /** @param cuts chain letter → last seq that counts */
  revoke(chain: Letter, target: Letter, cuts: Partial<Record<Letter, number>> = {}, time?: number): void {
    const revoked = Object.fromEntries(Object.entries(cuts).map(([letter, seq]) => [chainHex(letter), seq]));
    this.write(chain, [{ subject: memberSubject(DEVICES[target]), ops: { set: { revoked } } }], time);
  }
  /** The founder makes them owners, and they have seen it. */
  owners(...letters: Letter[]): void {
    for (const letter of letters) this.grant('f', letter, 'owner');
    for (const letter of letters) this.sync('f', letter);
  }
}

const [C, V, U]: readonly [Verdict, Verdict, Verdict] = ['counts', 'void', 'unauthorized'];
type Roles = Partial<Record<Letter, Role | null>>;
/** The verdicts in the order of writing, after the founding commit's. */
type Case = [name: string, write: (h: Members) => void, verdicts: Verdict[], roles: Roles, revoked?: Letter[]];

// One case a line.
// prettier-ignore
const CASES: readonly Case[] = [
  ['the founder is an owner without a grant', (h) => { h.data('f'); h.grant('f', 'a', 'writer'); }, [C, C], { f: 'owner', a: 'writer' }],
  ['an owner writes everything', (h) => { h.owners('a'); h.data('a'); h.grant('a', 'b', 'reader'); }, [C, C, C], { a: 'owner', b: 'reader' }],
  ['a writer writes data, and not ~', (h) => { h.grant('f', 'a', 'writer'); h.sync('f', 'a'); h.data('a'); h.grant('a', 'b', 'writer'); }, [C, C, U], { a: 'writer', b: null }],
  ['a reader writes nothing', (h) => { h.grant('f', 'a', 'reader'); h.sync('f', 'a'); h.data('a'); h.grant('a', 'b', 'writer'); }, [C, U, U], { a: 'reader', b: null }],
  ['a mirror writes nothing', (h) => { h.grant('f', 'a', 'mirror'); h.sync('f', 'a'); h.data('a'); }, [C, U], { a: 'mirror' }],
  ['a stranger, and who wrote before it had seen its grant', (h) => { h.data('a'); h.grant('f', 'a', 'writer'); h.data('a'); h.sync('f', 'a'); h.data('a'); h.data('s'); }, [U, C, U, C, U], { a: 'writer', s: null }],
  ['nobody makes itself a member', (h) => { h.grant('s', 's', 'owner'); h.data('s'); }, [U, U], { s: null }],
  ['what a writer granted makes nobody a member', (h) => { h.grant('f', 'a', 'writer'); h.sync('f', 'a'); h.grant('a', 'b', 'writer'); h.sync('a', 'b'); h.data('b'); }, [C, U, U], { b: null }],
  ['a change of role counts from where it was seen', (h) => { h.grant('f', 'a', 'writer'); h.sync('f', 'a'); h.data('a'); h.grant('f', 'a', 'reader'); h.data('a'); h.sync('f', 'a'); h.data('a'); }, [C, C, C, C, U], { a: 'reader' }],
  ['of two changes at once the later', (h) => { h.owners('a'); h.grant('f', 'b', 'reader', 9000); h.grant('a', 'b', 'writer', 8000); h.sync('f', 'b'); h.sync('a', 'b'); h.data('b'); }, [C, C, C, U], { b: 'reader' }],
  ['at one time that of the greater author key', (h) => { h.owners('a'); h.grant('f', 'b', 'reader', 9000); h.grant('a', 'b', 'writer', 9000); }, [C, C, C], { b: 'writer' }],
  ['a change that had seen the other, whatever its clock says', (h) => { h.owners('a'); h.grant('f', 'b', 'reader', 9000); h.sync('f', 'a'); h.grant('a', 'b', 'writer', 8); }, [C, C, C], { b: 'writer' }],
  ['unset and destroy are no facts', (h) => { h.grant('f', 'a', 'writer'); h.write('f', [{ subject: memberSubject('phone'), ops: { destroy: true } }]); h.sync('f', 'a'); h.data('a'); }, [C, C, C], { a: 'writer' }],
  ['a revocation: what it names counts, and nothing after it, seen or not', (h) => { h.grant('f', 'a', 'writer'); h.sync('f', 'a'); h.data('a'); h.sync('a', 'f'); h.data('a'); h.revoke('f', 'a', { a: 1 }); h.data('a'); h.sync('f', 'a'); h.data('a'); }, [C, C, V, C, V, V], { a: null }, ['a']],
  ['a chain that is not named counts for nothing', (h) => { h.grant('f', 'a', 'writer'); h.sync('f', 'a'); h.data('a'); h.sync('a', 'f'); h.revoke('f', 'a'); }, [C, V, C], { a: null }, ['a']],
  ['another incarnation of the device is not named either', (h) => { h.grant('f', 'a', 'writer'); h.sync('f', 'a'); h.sync('f', 'a2'); h.data('a'); h.revoke('f', 'a', { a: 1 }); h.data('a2'); }, [C, C, C, V], { a: null }, ['a']],
  ['it is final, whatever is granted at once or later', (h) => { h.owners('b'); h.grant('f', 'a', 'writer'); h.sync('f', 'a'); h.revoke('f', 'a'); h.grant('b', 'a', 'owner', 99_999); h.sync('b', 'f'); h.grant('f', 'a', 'owner', 999_999); h.sync('f', 'a'); h.data('a'); }, [C, C, C, C, C, V], { a: null, b: 'owner' }, ['a']],
  ['of several the least seq, chain by chain', (h) => { h.owners('b'); h.grant('f', 'a', 'writer'); h.sync('f', 'a'); h.data('a'); h.data('a'); h.data('a'); h.revoke('f', 'a', { a: 2, a2: 5 }); h.revoke('b', 'a', { a: 3 }); h.sync('f', 'a2'); h.data('a2'); }, [C, C, C, C, V, C, C, V], { a: null }, ['a']],
  ['what a revoked owner granted past its cut is void, and what came of it', (h) => { h.owners('a'); h.grant('a', 'b', 'writer'); h.sync('a', 'f'); h.grant('a', 'c', 'owner'); h.sync('a', 'b'); h.sync('a', 'c'); h.revoke('f', 'a', { a: 1 }); h.data('b'); h.data('c'); h.grant('c', 'd', 'writer'); }, [C, C, V, C, C, V, V], { a: null, b: 'writer', c: null, d: null }, ['a']],
  ['an owner may revoke itself', (h) => { h.owners('a'); h.data('a'); h.revoke('a', 'a', { a: 1 }); h.data('a'); }, [C, C, C, V], { a: null }, ['a']],
  ['a writer may not revoke, nor a stranger', (h) => { h.grant('f', 'a', 'writer'); h.sync('f', 'a'); h.revoke('a', 'f'); h.revoke('s', 'f'); h.data('f'); }, [C, U, U, C], { f: 'owner', a: 'writer' }],
  ['owners who revoke each other at once: the founder is senior', (h) => { h.owners('a'); h.revoke('a', 'f', {}, 5000); h.revoke('f', 'a', {}, 9000); }, [C, V, C], { f: 'owner', a: null }, ['a']],
  ['the same with the clocks the other way round', (h) => { h.owners('a'); h.revoke('a', 'f', {}, 9000); h.revoke('f', 'a', {}, 5000); }, [C, V, C], { f: 'owner', a: null }, ['a']],
  ['among others the one that was made an owner first', (h) => { h.owners('b', 'a'); h.revoke('a', 'b'); h.revoke('b', 'a'); }, [C, C, V, C], { a: null, b: 'owner' }, ['a']],
  ['an owner may revoke the founder, who had not revoked first', (h) => { h.owners('a'); h.data('f'); h.sync('f', 'a'); h.revoke('a', 'f', { f: 3 }); h.data('f'); }, [C, C, C, V], { f: null, a: 'owner' }, ['f']],
  ['a stolen key does not undo its revocation on a new chain that has not seen it', (h) => { h.owners('a'); h.sync('f', 'a2'); h.revoke('f', 'a'); h.revoke('a2', 'f', {}, 1); h.grant('a2', 's', 'owner', 2); }, [C, C, V, V], { f: 'owner', a: null, s: null }, ['a']],
  ['a revocation that counts stays when a junior cuts its author’s role', (h) => { h.owners('a', 'b'); h.grant('a', 'c', 'owner'); h.sync('a', 'c'); h.grant('f', 'd', 'writer'); h.revoke('c', 'd'); h.grant('b', 's', 'owner'); h.sync('b', 's'); h.revoke('s', 'a'); }, [C, C, V, C, C, C, C], { a: null, c: null, d: null, s: 'owner' }, ['a', 'd']],
  ['a grant that rests on a grant that is cut is void too', (h) => { h.owners('a', 'b'); h.grant('a', 'c', 'owner'); h.sync('a', 'c'); h.grant('c', 'd', 'owner'); h.grant('b', 's', 'owner'); h.sync('b', 's'); h.revoke('s', 'a'); }, [C, C, V, V, C, C], { c: null, d: null }, ['a']],
  ['a revocation that gives a role back lets what that one revoked count', (h) => { h.owners('a', 'b', 'c', 's'); h.grant('b', 'a', 'reader'); h.sync('b', 'c'); h.grant('c', 'a', 'owner'); h.sync('c', 'a'); h.revoke('a', 'd'); h.revoke('f', 'c'); h.revoke('s', 'b'); }, [C, C, C, C, V, V, C, C, C], { a: 'owner', b: null, c: null, d: null }, ['b', 'c', 'd']],
];

function judged([name, write, verdicts, roles, revoked = []]: Case): object {
  const history = new Members();
  write(history);
  if (verdicts.length + 1 !== history.commits.length) throw new Error(`${name}: a verdict for each commit`);
  return { name, commits: history.json(), orders: history.orders(), verdicts: [C, ...verdicts], roles, revoked };
}

/** Chains that have forked, and from which seq: of such a chain the kept branch is among the commits, and nothing else. */
type ForkedCase = [name: string, forks: Partial<Record<Letter, number>>, write: (h: Members) => void, verdicts: Verdict[], roles: Roles, revoked?: Letter[]]; // prettier-ignore

const note = set('note/1', { by: 'somebody' });

// prettier-ignore
const FORKED: readonly ForkedCase[] = [
  ['by all that it may have seen: the branch that is kept makes it an owner', { b: 2 }, (h) => { h.grant('f', 'b', 'owner'); h.grant('f', 'a', 'writer'); h.sync('f', 'b'); h.data('b'); h.grant('b', 'a', 'owner'); h.writePast('a', [['f', 3], ['b', 2]], [grant('desk', 'writer')]); }, [C, C, C, C, C], { a: 'owner', c: 'writer' }],
  ['by what it surely had seen: that branch makes the owner a writer, and what it grants counts, and what comes of it', { b: 2 }, (h) => { h.owners('b', 'a'); h.data('b'); h.grant('b', 'a', 'writer'); h.writePast('a', [['f', 3], ['b', 2]], [grant('desk', 'writer')]); h.writePast('c', [['a', 1]], [note]); }, [C, C, C, C, C, C], { a: 'writer', c: 'writer' }],
  ['by the id that it names, where it names more without', { b: 2 }, (h) => { h.grant('f', 'b', 'owner'); h.grant('f', 'a', 'writer'); h.sync('f', 'b'); h.data('b'); h.grant('b', 'a', 'owner'); h.grant('b', 'a', 'writer'); h.writePast('a', [['f', 3], ['b', 3]], [note]); h.writePast('a', [['b', 2, true]], [grant('desk', 'writer')]); }, [C, C, C, C, C, C, C], { a: 'writer', c: 'writer' }],
  ['without that id nothing allows it', { b: 2 }, (h) => { h.grant('f', 'b', 'owner'); h.grant('f', 'a', 'writer'); h.sync('f', 'b'); h.data('b'); h.grant('b', 'a', 'owner'); h.grant('b', 'a', 'writer'); h.writePast('a', [['f', 3], ['b', 3]], [note]); h.writePast('a', [], [grant('desk', 'writer')]); }, [C, C, C, C, C, C, U], { a: 'writer', c: null }],
  ['less of the branch is there than it names: what it surely had seen must allow it', { b: 2 }, (h) => { h.grant('f', 'b', 'owner'); h.sync('f', 'b'); h.data('b'); h.grant('b', 'a', 'writer'); h.writePast('a', [['f', 2], ['b', 3]], [note]); }, [C, C, C, U], { a: 'writer' }],
  ['void by all that it may have seen, and not by what it surely had', { b: 2 }, (h) => { h.owners('b', 'a'); h.grant('f', 'c', 'writer'); h.sync('f', 'b'); h.data('b'); h.grant('b', 'c', 'reader'); h.sync('b', 'a'); h.grant('a', 'c', 'writer'); h.writePast('c', [['f', 4], ['a', 1], ['b', 2]], [note]); h.revoke('f', 'a'); }, [C, C, C, C, C, V, C, C], { a: null, c: 'reader' }, ['a']],
  ['a change that had not surely seen the other: of two the later', { b: 2 }, (h) => { h.owners('b', 'a'); h.data('b'); h.writePast('a', [['f', 3], ['b', 2]], [grant('desk', 'writer')]); h.grant('b', 'c', 'reader'); }, [C, C, C, C, C], { c: 'reader' }],
  ['two that claim to have seen each other: each by what it surely had seen', { b: 2 }, (h) => { h.owners('b', 'a'); h.data('b'); h.writePast('a', [['f', 3], ['b', 2]], [grant('tablet', 'owner')]); h.writePast('b', [['a', 1]], [grant('phone', 'owner')]); h.writePast('a', [['b', 2, true]], [grant('desk', 'writer')]); }, [C, C, C, C, C, C], { a: 'owner', b: 'owner', c: 'writer' }],
];

function judgedPastFork([name, forks, write, verdicts, roles, revoked = []]: ForkedCase): object {
  const history = new Members();
  write(history);
  if (verdicts.length + 1 !== history.commits.length) throw new Error(`${name}: a verdict for each commit`);
  return { name, forks, commits: history.json(), orders: history.orders(forks), verdicts: [C, ...verdicts], roles, revoked }; // prettier-ignore
}

// ---- logs as bytes

const at = (chain: Chain, seq: number): Dependency => ({ chain: chain.id, seq });

/** The laptop founds, lets the phone write and the tablet read; the phone writes. */
function home(): { laptop: Chain; phone: Chain; held: Batch } {
  const laptop = new Chain('laptop');
  const phone = new Chain('phone');
  laptop.write({ time: TIME, deps: [], changes: FOUNDING });
  laptop.write({ time: TIME + 1, deps: [], changes: [grant('phone', 'writer')] });
  laptop.write({ time: TIME + 2, deps: [], changes: [grant('tablet', 'reader')] });
  phone.write({ time: TIME + 3, deps: [at(laptop, 3)], changes: [set('note/1', { title: 'Milk' })] });
  const held = {
    chains: [laptop.after(0), phone.after(0)],
    entries: [laptop.entry(1), laptop.entry(2), laptop.entry(3), phone.entry(1, 1)],
  };
  return { laptop, phone, held };
}

function digestOf(...chains: Chain[]): string {
  return toHex(digest(crypto, chains.map((chain) => ({ chain: chain.id, seq: chain.seq, id: chain.commits.at(-1)!.id })))); // prettier-ignore
}

export function membership(): object {
  const { laptop, phone, held } = home();
  phone.write({ time: TIME + 4, deps: [], changes: [set('note/1', { title: 'Bread' })] });
  const more = { chains: [phone.after(0)], entries: [phone.entry(1), phone.entry(2)] };
  laptop.write({ time: TIME + 5, deps: [at(phone, 1)], changes: [{ subject: memberSubject('phone'), ops: { set: { revoked: { [toHex(phone.id)]: 1 } } } }] }); // prettier-ignore
  phone.write({ time: TIME + 6, deps: [], changes: [set('note/2', { title: 'Void' })] });
  const revoked: Batch = {
    chains: [laptop.after(3), phone.after(1)],
    entries: [laptop.entry(4), phone.entry(2, 1), phone.erased(3, 1)],
  };
  const entries = (...rows: [Chain, number, Verdict][]): object[] =>
    rows.map(([chain, seq, verdict]) => ({ chain: toHex(chain.id), seq, id: toHex(chain.at(seq).id), verdict }));
  return {
    chains: Object.fromEntries(Object.entries(DEVICES).map(([letter, name]) => [letter, { device: toHex(deviceOf(name).public), chain: chainHex(letter) }])), // prettier-ignore
    founder: toHex(deviceOf('laptop').public),
    cases: CASES.map(judged),
    forked: FORKED.map(judgedPastFork),
    logs: [
      {
        name: 'a revocation that comes first: what it makes void is taken erased',
        space: toHex(SPACE),
        batches: [batchHex(held), batchHex(revoked)],
        entries: entries([laptop, 1, C], [laptop, 2, C], [laptop, 3, C], [phone, 1, C], [laptop, 4, C], [phone, 2, V], [phone, 3, V]), // prettier-ignore
        digest: digestOf(laptop, phone),
      },
      {
        name: 'a revocation that comes last, and entries that are there already',
        space: toHex(SPACE),
        batches: [batchHex(held), batchHex(more), batchHex(revoked)],
        entries: entries([laptop, 1, C], [laptop, 2, C], [laptop, 3, C], [phone, 1, C], [phone, 2, V], [laptop, 4, C], [phone, 3, V]), // prettier-ignore
        digest: digestOf(laptop, phone),
      },
    ],
  };
}

export function membershipInvalid(): object {
  const { laptop, phone, held } = home();
  laptop.write({ time: TIME + 4, deps: [], changes: [grant('desk', 'writer')] });
  const logs: object[] = [];
  const refuse = (name: string, code: string, why: string, batch: Batch, holds: Batch[] = [held]): void => {
    logs.push({ name, space: toHex(SPACE), holds: holds.map(batchHex), batch: batchHex(batch), code, why });
  };
  /** The next commit of a device, in a batch of its own. */
  const next = (device: string, deps: Dependency[], changes: readonly Change[], nonce?: Uint8Array): Batch => {
    if (device === 'laptop') return tail('laptop', laptop, 3, deps, changes);
    if (device === 'phone' && nonce === undefined) return tail('phone', phone, 1, deps, changes);
    const chain = new Chain(device, nonce ? { nonce } : {});
    chain.write({ time: TIME + 9, deps, changes });
    return chain.batch();
  };
  const data = [set('note/2', { x: 1 })];
  const unknown = { chain: bytesOf('unknown chain', 16), seq: 1 };
  refuse('deps on a commit that has not come', 'causal-gap', 'the phone had seen the laptop’s fourth', next('phone', [at(laptop, 4)], data)); // prettier-ignore
  refuse('deps on a chain that has not come', 'causal-gap', 'the phone had seen a chain that is not here', next('phone', [unknown], data)); // prettier-ignore
  const blind = next('phone', [at(laptop, 4)], data);
  refuse('an erased commit with such deps', 'causal-gap', 'the deps of an erased commit are checked too', eraseLast(blind, 'phone', phone, [at(laptop, 4)], data)); // prettier-ignore
  refuse('the order in which a batch has them', 'causal-gap', 'it comes before what it depends on', { chains: [blind.chains[0]!, laptop.after(3)], entries: [blind.entries[0]!, laptop.entry(4, 1)] }); // prettier-ignore

  const longer = tailChain('phone', phone, 1, [], data);
  longer.write({ time: TIME + 10, deps: [], changes: data });
  refuse('a commit that is missing', 'unlinked', 'the receiver has seq 1, and this is seq 3', longer.batch(3, 3));
  const forked = new Chain('phone');
  forked.write({ time: TIME + 3, deps: [at(laptop, 3)], changes: [set('note/1', { title: 'Forked' })] });
  forked.write({ time: TIME + 4, deps: [], changes: data });
  refuse('another commit at the head', 'fork', 'one chain has two commits with seq 1', forked.batch(1, 1));
  refuse('a commit after another one than the head', 'fork', 'its prev is not the id at the receiver’s head', forked.batch(2, 2)); // prettier-ignore
  refuse('a gap', 'gap-refused', 'the receiver holds the whole space', { chains: [phone.after(1)], entries: [longer.gap(3)] }); // prettier-ignore
  refuse('a chain without an entry', 'bad-batch', 'each chain that is listed occurs', { chains: [phone.after(1), laptop.after(3)], entries: [longer.entry(2), longer.entry(3)] }); // prettier-ignore

  refuse('a stranger writes', 'unauthorized', 'it has no role', next('stranger', [at(laptop, 3)], data));
  refuse('a stranger’s erased commit', 'unauthorized', 'it is judged as any other', eraseBatch(next('stranger', [at(laptop, 3)], data), 'stranger', [at(laptop, 3)], data)); // prettier-ignore
  refuse('a reader writes', 'unauthorized', 'a reader writes nothing', next('tablet', [at(laptop, 3)], data));
  refuse('a member that has not seen its grant', 'unauthorized', 'by its past it has no role', next('phone', [], data, bytesOf('nonce phone 2', 8))); // prettier-ignore
  refuse('a member that has seen half of it', 'unauthorized', 'its grant is the laptop’s second', next('phone', [at(laptop, 1)], data, bytesOf('nonce phone 2', 8))); // prettier-ignore
  refuse('a writer changes ~', 'unauthorized', 'owners only', next('phone', [], [grant('stranger', 'writer')]));
  refuse('a writer revokes', 'unauthorized', 'owners only', next('phone', [], [{ subject: memberSubject('laptop'), ops: { set: { revoked: {} } } }])); // prettier-ignore
  refuse('good entries before a bad one', 'unauthorized', 'a batch is taken whole or not at all', twoOf(laptop.batch(4, 4), next('stranger', [at(laptop, 3)], data))); // prettier-ignore

  refuse('deps on its own chain', 'bad-commit', 'no dep names the commit’s own chain', next('phone', [at(phone, 1)], data)); // prettier-ignore
  refuse('~ and another subject', 'bad-commit', 'a commit changes only subjects that begin with ~, or none', next('laptop', [], [grant('desk', 'writer'), ...data])); // prettier-ignore
  const factless: [name: string, change: Change, why: string][] = [
    ['a device ID with a typo', { subject: memberSubject('desk').replace(/.$/, (end) => (end === 'A' ? 'B' : 'A')), ops: { set: { role: 'writer' } } }, 'what follows ~devices/ is a device ID'], // prettier-ignore
    ['a device ID in lower case', { subject: `~devices/${memberSubject('desk').slice(9).toLowerCase()}`, ops: { set: { role: 'writer' } } }, 'it is written in one way'], // prettier-ignore
    ['no device ID', { subject: '~devices/', ops: { set: { name: 'x' } } }, 'what follows ~devices/ is a device ID'],
    ['the device ID of a key of small order', { subject: '~devices/AAAAAAA-AAAAAAA-AAAAAAA-AAAAAAA-AAAAAAA-AAAAAAA-AAAAAAA-AAAAAAA', ops: { destroy: true } }, 'the key is acceptable'], // prettier-ignore
    ['an unknown role', { subject: memberSubject('desk'), ops: { set: { role: 'admin' } } }, 'there are four roles'],
    ['a role that is null', { subject: memberSubject('desk'), ops: { set: { role: null } } }, 'there are four roles'],
    ['revoked: true', { subject: memberSubject('desk'), ops: { set: { revoked: true } } }, 'revoked is a map'],
    ['revoked with a chain in upper case', { subject: memberSubject('desk'), ops: { set: { revoked: { ['AB'.repeat(16)]: 1 } } } }, '32 lower-case hex digits'], // prettier-ignore
    ['revoked with a short chain', { subject: memberSubject('desk'), ops: { set: { revoked: { abcd: 1 } } } }, '32 lower-case hex digits'], // prettier-ignore
    ['revoked at seq -1', { subject: memberSubject('desk'), ops: { set: { revoked: { ['ab'.repeat(16)]: -1 } } } }, 'a seq is a count'], // prettier-ignore
    ['revoked at seq 0.5', { subject: memberSubject('desk'), ops: { set: { revoked: { ['ab'.repeat(16)]: 0.5 } } } }, 'a seq is a count'], // prettier-ignore
  ];
  for (const [name, change, why] of factless) refuse(name, 'bad-commit', why, next('laptop', [], [change]));

  const founding = (name: string, why: string, changes: readonly Change[], device = 'laptop'): void => {
    const chain = new Chain(device);
    chain.write({ time: TIME, deps: [], changes });
    refuse(`founding: ${name}`, 'bad-space', why, chain.batch(), []);
  };
  const owner = deviceOf('laptop').public;
  const space = (values: object): Change[] => [{ subject: '~space', ops: { set: values as never } }];
  founding('data', 'the first entry founds the space', data);
  founding('a member', 'the first entry founds the space', [grant('laptop', 'owner')]);
  founding('unset', 'it sets owner, salt and name', [{ subject: '~space', ops: { unset: ['owner'] } }]);
  founding('no name', 'it sets owner, salt and name', space({ owner, salt: SALT }));
  founding('owner in hex', 'owner is 32 bytes', space({ owner: toHex(owner), salt: SALT, name: 'home' }));
  founding('a salt of 15 bytes', 'a salt has 16 bytes', space({ owner, salt: SALT.subarray(1), name: 'home' }));
  founding('another salt', 'owner and salt give the space id', space({ owner, salt: bytesOf('salt', 16), name: 'home' })); // prettier-ignore
  founding('a name of 65 bytes', 'a name has at most 64 bytes', space({ owner, salt: SALT, name: 'x'.repeat(65) }));
  founding('by another device', 'owner is the author', FOUNDING, 'phone');
  founding('another owner, who wrote it', 'owner and salt give the space id', space({ owner: deviceOf('phone').public, salt: SALT, name: 'home' }), 'phone'); // prettier-ignore
  refuse('founding: erased', 'bad-space', 'what was erased founds nothing', { chains: [laptop.after(0)], entries: [laptop.erased(1)] }, []); // prettier-ignore
  refuse('founding: the second commit first', 'unlinked', 'the receiver has nothing of the chain yet', laptop.batch(2, 2), []); // prettier-ignore
  return { logs };
}

/** A chain with the same first commits. */
function copyOf(name: string, chain: Chain, seq: number): Chain {
  const copy = new Chain(name);
  for (let i = 1; i <= seq; i++) copy.write(chain.at(i).body);
  return copy;
}

function tailChain(name: string, chain: Chain, seq: number, deps: Dependency[], changes: readonly Change[]): Chain {
  const copy = copyOf(name, chain, seq);
  copy.write({ time: TIME + 9, deps, changes });
  return copy;
}

function tail(name: string, chain: Chain, seq: number, deps: Dependency[], changes: readonly Change[]): Batch {
  return tailChain(name, chain, seq, deps, changes).batch(seq + 1);
}

function eraseLast(batch: Batch, name: string, chain: Chain, deps: Dependency[], changes: readonly Change[]): Batch {
  const copy = tailChain(name, chain, batch.chains[0]!.seq, deps, changes);
  return { chains: batch.chains, entries: [copy.erased(copy.seq)] };
}

function eraseBatch(batch: Batch, name: string, deps: Dependency[], changes: readonly Change[]): Batch {
  const chain = new Chain(name);
  chain.write({ time: TIME + 9, deps, changes });
  return { chains: batch.chains, entries: [chain.erased(1)] };
}

function twoOf(one: Batch, two: Batch): Batch {
  const second = two.entries.map((entry): BatchEntry => ({ ...entry, chain: entry.chain + one.chains.length }));
  return { chains: [...one.chains, ...two.chains], entries: [...one.entries, ...second] };
}

/** Proofs of forks: two commits of one chain with one `seq`, both signed. */
import { concat, toHex, utf8 } from '../../protocol/bytes.ts';
import { FORK_BRANCH_MAX } from '../../protocol/constants.ts';
import { proveFork, type Fork } from '../../protocol/fork.ts';
import { decodeStrict, encode } from '../../protocol/msgpack.ts';
import { bytesOf, Chain, crypto, set, SPACE, TIME, type Pieces, type SignedCommit } from './world.ts';

/** One chain twice, alike up to `shared` and then written to on both sides. */
function forked(name: string, shared: number, here: number, there: number): [Chain, Chain] {
  const nonce = bytesOf(`fork ${name}`, 8);
  const [one, other] = [new Chain('phone', { nonce }), new Chain('phone', { nonce })];
  const body = (side: string, i: number) => ({ time: TIME + i, deps: [], changes: [set(`note/${side}`, { i })] });
  for (let i = 0; i < shared; i++) for (const chain of [one, other]) chain.write(body('shared', i));
  for (let i = 0; i < here; i++) one.write(body('here', i));
  for (let i = 0; i < there; i++) other.write(body('there', i));
  return [one, other];
}

function proofOf([one, other]: [Chain, Chain], seq: number, commits = 1): Fork {
  const { device, nonce } = one;
  const at = { device: device.public, nonce, seq, prev: one.at(seq).prev };
  const branch = (chain: Chain): SignedCommit[] => chain.commits.slice(seq - 1, seq - 1 + commits);
  return proveFork(crypto, SPACE, at, [branch(one), branch(other)]);
}

/** A chain whose commit `seq` has a signature that doesn't verify, and the next one's does. */
function sloppy(): [Chain, Chain] {
  const [one, other] = forked('sloppy', 1, 0, 2);
  one.write({ time: TIME, deps: [], changes: [set('a', { x: 1 })] }, bytesOf('no signature', 64));
  one.write({ time: TIME, deps: [], changes: [set('a', { x: 2 })] });
  return [one, other];
}

function described(name: string, { device, nonce, seq, prev, chain, kept, dropped, bytes }: Fork): object {
  const hexes = { device, nonce, prev, chain, kept, dropped };
  return {
    name,
    space: toHex(SPACE),
    proof: toHex(bytes),
    seq,
    ...Object.fromEntries(Object.entries(hexes).map(([field, value]) => [field, toHex(value)])),
  };
}

export function forks(): object {
  return {
    proofs: [
      described('of the first commits', proofOf(forked('first', 0, 1, 1), 1)),
      described('after two that are shared', proofOf(forked('third', 2, 1, 3), 3)),
      described('two commits vouched for by the last', proofOf(sloppy(), 2, 2)),
    ],
  };
}

export function forksInvalid(): object {
  const pair = forked('first', 0, 1, 1);
  const [device, nonce, seq, prev, kept, dropped] = fieldsOf(proofOf(pair, 1));
  const proof = (...fields: unknown[]): string => toHex(encode(fields));
  const third = fieldsOf(proofOf(forked('third', 2, 1, 3), 3));
  const unsigned = fieldsOf(proofOf(sloppy(), 2, 2));
  const cases: [name: string, proof: string | Pieces, why: string][] = [
    ['empty', '', 'it is one array'],
    ['text', toHex(encode('fork')), 'it is one array'],
    ['five fields', proof(device, nonce, seq, prev, kept), 'it has six fields'],
    ['seven fields', proof(device, nonce, seq, prev, kept, dropped, 1), 'it has six fields'],
    ['the greater id first', proof(device, nonce, seq, prev, dropped, kept), 'the branch with the smaller id stands first'],
    ['one branch twice', proof(device, nonce, seq, prev, kept, kept), 'the ids differ'],
    ['another device', proof(bytesOf('device', 32), nonce, seq, prev, kept, dropped), 'the signatures are not its own'],
    ['a key of small order', proof(new Uint8Array(32), nonce, seq, prev, kept, dropped), 'a device key is acceptable'],
    ['another nonce', proof(device, bytesOf('nonce', 8), seq, prev, kept, dropped), 'the signatures cover the nonce'],
    ['a nonce of 7 bytes', proof(device, bytesOf('nonce', 7), seq, prev, kept, dropped), 'a nonce has 8 bytes'],
    ['seq 0', proof(device, nonce, 0, prev, kept, dropped), 'a seq is from 1'],
    ['another seq', proof(third[0], third[1], 4, third[3], third[4], third[5]), 'the signatures cover the seq'],
    ['a prev at seq 1', proof(device, nonce, 1, bytesOf('prev', 32), kept, dropped), 'at seq 1 prev is zeros'],
    ['no prev at seq 3', proof(third[0], third[1], 3, new Uint8Array(32), third[4], third[5]), 'past seq 1 prev is not zeros'],
    ['another prev', proof(third[0], third[1], 3, bytesOf('prev', 32), third[4], third[5]), 'the signatures cover prev'],
    ['an empty branch', proof(device, nonce, seq, prev, kept, []), 'a branch has one commit or more'],
    ['a branch that ends before what vouches for it', proof(...unsigned.slice(0, 4), ...(unsigned.slice(4) as unknown[][]).map((branch) => branch.slice(0, 1))), 'the last signature verifies'],
['a branch too long', tooLong(fieldsOf(proofOf(pair, 1))), 'a branch has 512 commits at the most'],
    ['a signature of 63 bytes', proof(device, nonce, seq, prev, kept, [[bytesOf('hash', 32), bytesOf('signature', 63)]]), 'a signature has 64 bytes'],
    ['a commit of three', proof(device, nonce, seq, prev, kept, [[bytesOf('hash', 32), bytesOf('signature', 64), 1]]), 'a commit is [body hash, signature]'],
    ['bytes after its end', `${proof(device, nonce, seq, prev, kept, dropped)}c0`, 'one value, and nothing after it'],
    ['of another space', proof(device, nonce, seq, prev, kept, dropped), 'the signatures cover the space'],
  ]; // prettier-ignore
  return {
    proofs: cases.map(([name, bytes, why]) => ({
      name,
      space: toHex(name === 'of another space' ? crypto.sha256(concat(utf8('another'))) : SPACE),
      proof: bytes,
      code: 'bad-fork',
      why,
    })),
  };
}

/** One commit more in the second branch than there may be. */
function tooLong(fields: readonly unknown[]): Pieces {
  const [commit] = fields[5] as unknown[];
  const before = fields.slice(0, 5).map((field) => toHex(encode(field)));
  return [`96${before.join('')}dc0201`, [toHex(encode(commit)), FORK_BRANCH_MAX + 1]];
}

function fieldsOf({ bytes }: Fork): unknown[] {
  return decodeStrict(bytes, 4, 'bad-fork') as unknown[];
}

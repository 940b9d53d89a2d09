/** Section 6.1: chains with two branches, and the message that proves it. */
import { hashBody } from '../../protocol/body.ts';
import { compare, equal } from '../../protocol/bytes.ts';
import { ChainHasher, ZERO_ID } from '../../protocol/commit.ts';
import { proveFork, type Fork, type ForkedCommit } from '../../protocol/fork.ts';
import { decodeStrict, encode } from '../../protocol/msgpack.ts';
import type { Case, Trial } from '../case.ts';
import { crypto, random } from '../device.ts';
import { keeps, offer, section, subject, type Offer } from '../offer.ts';
import { namedOf } from './batches.ts';
import { Ended, expect, Skip, Violation } from '../violation.ts';
import { set, type Author, type Commit } from '../world.ts';

const fork = section('6.1');
const message = section('11.14');
const KEPT = 'Of two different commits with one chain, one `seq` and one `prev`, the one whose id is **smaller**';

/** How much more patience there is for a log that is made anew: how long that takes goes by the length of the log, and no rule bounds it. */
const SETTLING_FACTOR = 6;

/** Two first commits of an author, the one that is kept first. Neither is in the world. */
function branches(author: Author): [kept: Commit, dropped: Commit] {
  const draft = (): Commit => author.draft([set(subject('fork'), { v: 1 })]);
  const [one, other] = [draft(), draft()];
  return compare(one.id, other.id) < 0 ? [one, other] : [other, one];
}

function proofOf(trial: Trial, author: Author, pair: readonly Commit[]): Fork {
  const { device, nonce } = author.chain;
  const branch = ({ body, signature }: Commit): ForkedCommit[] => [{ bodyHash: hashBody(crypto, body!), signature }];
  const at = { device, nonce, seq: 1, prev: ZERO_ID };
  return proveFork(crypto, trial.world.space, at, [branch(pair[0]!), branch(pair[1]!)]);
}

function tell({ line }: Offer, trial: Trial, { bytes }: Pick<Fork, 'bytes'>): void {
  line.wire.send({ type: 'FORK', space: trial.world.space, proof: bytes });
}

/** The implementation knows the author and has one of its branches, on disk. */
async function holding(
  trial: Trial,
  which: 'kept' | 'dropped',
): Promise<Offer & { kept: Commit; dropped: Commit; proof: Fork }> {
  const offered = await offer(trial);
  await offered.pull.sendAll();
  const [kept, dropped] = branches(offered.author);
  offered.pull.batch([which === 'kept' ? kept : dropped]);
  await offered.pull.acknowledged();
  return { ...offered, kept, dropped, proof: proofOf(trial, offered.author, [kept, dropped]) };
}

/** The world has the kept branch. The kit's owner, who follows the implementation live, may have heard of either by now. */
function settle({ world }: Trial, { author, kept }: { readonly author: Author; readonly kept: Commit }): void {
  world.replace(world.log.filter(({ chain }) => !equal(chain.id, author.chain.id)));
  author.add(kept, author.deps());
}

function spoilt(fields: (fields: unknown[]) => unknown): (fork: Fork) => Uint8Array {
  return ({ bytes }) => encode(fields(decodeStrict(bytes, 4, 'bad-fork') as unknown[]));
}

/** A commit with any signature, and nothing else that is wrong: its id is the larger one. */
function unsigned({ device, nonce, kept }: Fork, space: Uint8Array): [bodyHash: Uint8Array, signature: Uint8Array] {
  const hasher = new ChainHasher(crypto, { space, device, nonce });
  for (;;) {
    const [bodyHash, signature] = [random(32), random(64)];
    if (compare(kept, hasher.id(1, ZERO_ID, bodyHash, signature)) < 0) return [bodyHash, signature];
  }
}

const PROVES_NONE: readonly [what: string, spoil: (fork: Fork, space: Uint8Array) => Uint8Array][] = [
  ['that is no array', () => encode('fork')],
  ['with the larger id first', spoilt((fields) => [...fields.slice(0, 4), fields[5], fields[4]])],
  ['with one branch twice', spoilt((fields) => [...fields.slice(0, 5), fields[4]])],
  ['under another nonce', spoilt((fields) => fields.with(1, random(8)))],
  ['with another prev', spoilt((fields) => fields.with(2, 2).with(3, random(32)))],
  [
    'with a signature that does not verify',
    (fork, space) => spoilt((fields) => fields.with(5, [unsigned(fork, space)]))(fork),
  ],
  ['with an empty branch', spoilt((fields) => fields.with(5, []))],
];

export const forkCases: readonly Case[] = [
  {
    id: fork(),
    title: 'told of a fork whose kept branch it holds',
    rule: KEPT,
    // What it makes anew then, others would wait for.
    alone: true,
    async run(trial) {
      const offered = await holding(trial, 'kept');
      settle(trial, offered);
      tell(offered, trial, offered.proof);
      const { seq, line } = await namedOf(trial, offered.author.chain.id, offered.line);
      expect(seq === 1, `its vector names seq ${seq} of the chain, of which it holds the kept branch up to 1`);
      await keeps(trial, [offered.kept], line);
    },
  },
  {
    id: fork(),
    title: 'told of a fork whose dropped branch it holds',
    rule: 'If it holds a dropped branch, it takes that out of its log',
    alone: true,
    async run(trial) {
      const offered = await holding(trial, 'dropped');
      tell(offered, trial, offered.proof);
      settle(trial, offered);
      const deadline = performance.now() + trial.patienceMs * SETTLING_FACTOR;
      let { line } = offered;
      for (;;) {
        const named = await namedOf(trial, offered.author.chain.id, line).catch((thrown: unknown) => {
          // What it was told of its log goes with the log that it has made anew, and it may say so by ending the line.
          if (thrown instanceof Ended && thrown.code === 1000 && performance.now() <= deadline) return null;
          throw thrown;
        });
        if (named === null) continue;
        line = named.line;
        // The kit's owner, who follows it live, may have given it the kept one already.
        if (named.id === null || equal(named.id, offered.kept.id)) break;
        if (performance.now() <= deadline) continue;
        // A leaf may leave forks alone (20.2); but one that knows a proof from none is no such leaf.
        // What it holds is the world, whatever comes of this.
        settle(trial, { ...offered, kept: offered.dropped });
        await isNoLeaf({ line }, trial.world.space);
        throw new Violation('it goes on with the dropped branch');
      }
      await (await line.push()).sendAll();
      await keeps(trial, [offered.kept], line);
    },
  },
  ...PROVES_NONE.map(([what, spoil]): Case => ({
    id: message(),
    title: `a proof ${what}`,
    rule: 'a proof that proves none is `bad-fork`, and ends the connection',
    hostile: true,
    async run(trial) {
      const offered = await offer(trial);
      const proof = proofOf(trial, offered.author, branches(offered.author));
      tell(offered, trial, { bytes: spoil(proof, trial.world.space) });
      try {
        await offered.line.wire.refused('bad-fork');
      } catch (thrown) {
        if (!offered.line.wire.socket.closing) await isNoLeaf(offered, trial.world.space);
        throw thrown;
      }
    },
  })),
  {
    id: message(),
    title: 'a proof in a space that is not here',
    rule: "Of a space that isn't here it is ignored",
    hostile: true,
    async run(trial) {
      const { line } = await offer(trial);
      line.wire.send({ type: 'FORK', space: random(32), proof: random(300) });
      await line.serves();
    },
  },
];

/** It takes what it should not. A leaf may ignore FORK altogether (20.2): then it doesn't know a proof from none. */
async function isNoLeaf({ line }: Pick<Offer, 'line'>, space: Uint8Array): Promise<void> {
  line.wire.send({ type: 'FORK', space, proof: encode('fork') });
  try {
    await line.wire.refused('bad-fork');
  } catch (thrown) {
    if (line.wire.socket.closing) throw thrown;
    throw new Skip('it ignores FORK: it settles no forks');
  }
}

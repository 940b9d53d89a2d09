/** Chapter 7: what members.ts leaves: facts that are none, roles by way of others, and which revocations count among many. */
import { concat, toHex } from '../../protocol/bytes.ts';
import { encode } from '../../protocol/msgpack.ts';
import type { Case } from '../case.ts';
import { bodyWith, bytes, offer, refuses, writeRaw } from '../offer.ts';
import { set, type Author } from '../world.ts';
import { isServed, note, served } from './members.ts';

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

export const rightCases: readonly Case[] = [...factCases];

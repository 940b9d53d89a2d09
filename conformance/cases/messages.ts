/** Chapter 11: the messages, one section each. */
import type { Case } from '../case.ts';
import { set } from '../world.ts';

export const messageCases: readonly Case[] = [
  {
    id: '11.7/1',
    title: 'a batch is acknowledged',
    rule: 'SHOULD send one for each BATCH',
    async run(trial) {
      const line = await trial.line();
      const author = trial.author();
      const pull = await line.push();
      author.write([set('conformance/ack', { n: 1 })]);
      await pull.sendAll();
    },
  },
  {
    id: '11.5/1',
    title: 'a forged commit',
    rule: 'a run whose last signature is not acceptable',
    hostile: true,
    async run(trial) {
      const line = await trial.line();
      const author = trial.author();
      const pull = await line.push();
      const commit = author.draft([set('conformance/forged', { n: 1 })]);
      const signature = commit.signature.slice();
      signature[5]! ^= 1;
      pull.batch([author.withSignature(commit, signature)]);
      await line.wire.refused('bad-signature');
    },
  },
];

/** Chapter 10: the upgrade, the handshake, frames. */
import type { Case } from '../case.ts';
import { dial, UpgradeRefused } from '../socket.ts';
import { expect } from '../violation.ts';

export const transportCases: readonly Case[] = [
  {
    id: '10.1/1',
    title: 'the subprotocol is agreed on',
    rule: 'subprotocol `tidelog.1`, which both sides MUST name',
    stranger: true,
    async run(trial) {
      const socket = await trial.socket();
      expect(socket.subprotocol === 'tidelog.1', `the subprotocol is ${JSON.stringify(socket.subprotocol)}`);
    },
  },
  {
    id: '10.1/2',
    title: 'an upgrade without the subprotocol is refused',
    rule: '400 where the subprotocol is missing',
    side: 'server',
    stranger: true,
    async run(trial) {
      try {
        const socket = await dial(trial.url, []);
        socket.cut();
        expect(false, 'it took a connection without the subprotocol');
      } catch (thrown) {
        if (!(thrown instanceof UpgradeRefused)) throw thrown;
        expect(thrown.status === 400, `it refused with HTTP status ${thrown.status}`);
      }
    },
  },
  {
    id: '10.1/3',
    title: 'no compression, also where it is offered',
    rule: 'Compression (permessage-deflate) MUST be off.',
    side: 'server',
    stranger: true,
    async run(trial) {
      const socket = await dial(trial.url, undefined, { perMessageDeflate: true });
      expect(socket.extensions === '', `it agreed on ${socket.extensions}`);
      socket.cut();
    },
  },
  {
    id: '10.1/4',
    title: 'a text message',
    rule: 'a text message ends the connection with close code 4003',
    hostile: true,
    async run(trial) {
      const { wire } = await trial.line();
      wire.socket.sendText('hello');
      const { code } = await wire.socket.closed;
      expect(code === 4003, `it closed with ${code}`);
    },
  },
];

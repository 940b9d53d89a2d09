/** More of chapter 13: invites that are asked for again, and joiners that are told several things. */
import { setTimeout as sleep } from 'node:timers/promises';
import { HANDSHAKE_TIMEOUT_MS } from '../../protocol/constants.ts';
import { formatDeviceId } from '../../protocol/device-id.ts';
import { ERRORS, type ErrorCode } from '../../protocol/errors.ts';
import type { Fault } from '../../protocol/messages.ts';
import { pairProof, type PairInvite } from '../../protocol/pair-link.ts';
import type { Case, Trial } from '../case.ts';
import type { ClientTrial } from '../client-target.ts';
import { crypto, random, type Device } from '../device.ts';
import { Line } from '../line.ts';
import { expect, Skip } from '../violation.ts';
import type { Wire } from '../wire.ts';

const WORKS_ONCE = 'The device that has used an invite up MAY ask with it again';
const DIES = 'After `INVITE_WRONG_MAX` (3) wrong proofs an invite is dead.';
const ANEW = 'the limit begins anew, for both sides, when it is let in';
/** Less than the limit; twice as much is more. */
const MOST_OF_LIMIT_MS = 0.7 * HANDSHAKE_TIMEOUT_MS;
/** How much later than a limit the other side may come, whose clock ticks now and then: ms. */
const TICK_MS = 10_000;

function ask(wire: Wire, { id, secret }: PairInvite): void {
  const proof = pairProof(crypto, secret, wire.handshakeHash, wire.device.keys.public);
  wire.send({ type: 'PAIR', invite: { id, proof }, name: wire.device.name });
}

/** REFUSED and ERROR with one of these codes. */
async function refusedWith(wire: Wire, codes: readonly ErrorCode[]): Promise<void> {
  const { fault } = await wire.next('REFUSED');
  expect(codes.includes(fault.code as ErrorCode), `it refused with ${fault.code} instead of ${codes.join(' or ')}`);
  await wire.refused(fault.code as ErrorCode);
}

/** The kit's copy of the log has the membership that the node wrote. */
async function memberKnown(trial: Trial, before: number): Promise<void> {
  const deadline = performance.now() + trial.patienceMs;
  while (trial.world.head === before) {
    expect(performance.now() < deadline, "no commit of the inviter's makes the joiner a member");
    await sleep(20);
  }
}

/** A new device has joined with the invite, and its connection is closed. */
async function joinAndLeave(trial: Trial, invite: PairInvite): Promise<Device> {
  const { head } = trial.world;
  const wire = await trial.wire();
  ask(wire, invite);
  await wire.next('PAIRED');
  await memberKnown(trial, head);
  await wire.close();
  return wire.device;
}

const inviteCases: readonly Case[] = [
  {
    id: '13.5/70',
    title: 'the device that used an invite up asks again',
    rule: WORKS_ONCE,
    side: 'server',
    should: true,
    needs: ['invite'],
    async run(trial) {
      const invite = await trial.invite();
      const device = await joinAndLeave(trial, invite);
      const wire = await trial.wire({ device });
      ask(wire, invite);
      const { role } = await wire.next('PAIRED');
      expect(role === invite.role, `PAIRED says ${role}; the device is a ${invite.role}`);
    },
  },
  {
    id: '13.5/71',
    title: 'the device that used an invite up asks again, with another role by now',
    rule: 'The inviter SHOULD then answer PAIRED, with the role that the device has by now.',
    side: 'server',
    should: true,
    needs: ['invite'],
    async run(trial) {
      const invite = await trial.invite('writer');
      const device = await joinAndLeave(trial, invite);
      trial.world.grant(device, 'reader');
      await (await trial.line()).push();
      const wire = await trial.wire({ device });
      ask(wire, invite);
      const { role } = await wire.next('PAIRED');
      expect(role === 'reader', `PAIRED says ${role}; an owner has made the device a reader`);
    },
  },
  {
    id: '13.5/72',
    title: 'three wrong secrets, a kill, and the right one',
    rule: DIES,
    side: 'server',
    needs: ['invite', 'run'],
    alone: true,
    async run(trial) {
      const invite = await trial.invite();
      for (let i = 0; i < 3; i++) {
        const wire = await trial.wire();
        ask(wire, { ...invite, secret: random(16) });
        await refusedWith(wire, ['invite-wrong-secret', 'invite-dead']);
      }
      await trial.kill();
      const wire = await trial.wire();
      ask(wire, invite);
      await refusedWith(wire, ['invite-dead']);
    },
  },
  {
    id: '13.5/73',
    title: 'six wrong secrets at once, then the right one',
    rule: DIES,
    side: 'server',
    hostile: true,
    needs: ['invite'],
    async run(trial) {
      const invite = await trial.invite();
      const wires: Wire[] = [];
      for (let i = 0; i < 6; i++) wires.push(await trial.wire());
      for (const wire of wires) ask(wire, { ...invite, secret: random(16) });
      for (const wire of wires) await refusedWith(wire, ['invite-wrong-secret', 'invite-dead']);
      const wire = await trial.wire();
      ask(wire, invite);
      await refusedWith(wire, ['invite-dead']);
    },
  },
];

// ---- the kit lets in

/** The program's connection, on which it has sent PAIR. */
async function asked(trial: Trial): Promise<{ client: ClientTrial; wire: Wire; name: string }> {
  const client = trial as ClientTrial;
  if (client.remoteDevice !== null) throw new Skip('the program has joined already, and needs --run to join anew');
  const wire = await client.wire();
  const { name } = await wire.next('PAIR');
  return { client, wire, name };
}

function faultOf(code: ErrorCode): Fault {
  const { retry, sentence } = ERRORS[code];
  return { code, retry, afterMs: 0, text: sentence, detail: {} };
}

function refuse(wire: Wire, code: ErrorCode): void {
  wire.send({ type: 'REFUSED', fault: faultOf(code) }, { type: 'ERROR', fault: faultOf(code) });
}

/** It closes with 1000, and has said nothing but PAIR. */
async function leaves(wire: Wire): Promise<void> {
  const { code } = await wire.ended();
  expect(code === 1000, `a joiner that was refused closed with ${code}`);
  const said = wire.received.filter(({ type }) => type !== 'HEARTBEAT').map(({ type }) => type);
  expect(said.join() === 'PAIR', `a joiner that was refused said ${said.join(', ')}`);
}

const joinerCases: readonly Case[] = [
  {
    id: '11.12/70',
    title: 'a joiner that is refused closes with 1000',
    rule: "A joiner that is refused answers nothing: it closes with 1000, and needn't wait for the ERROR.",
    side: 'client',
    hostile: true,
    async run(trial) {
      const { wire } = await asked(trial);
      refuse(wire, 'invite-used');
      await leaves(wire);
    },
  },
  {
    id: '13.5/74',
    title: 'HELLO of the inviter, and then a refusal',
    rule: 'keeps that HELLO, or the last of several, and heeds it once PAIRED has come',
    side: 'client',
    hostile: true,
    async run(trial) {
      const { wire } = await asked(trial);
      new Line(wire, trial.world).sayHello();
      refuse(wire, 'pairing-rejected');
      await leaves(wire);
    },
  },
  {
    id: '13.5/75',
    title: 'another role than the link promised',
    rule: "4. The joiner checks that the space is the link's (`wrong-space` otherwise), makes an empty copy of it",
    side: 'client',
    async run(trial) {
      const { wire, name } = await asked(trial);
      const keys = { secret: new Uint8Array(32), public: wire.remoteDevice };
      trial.world.grant({ keys, id: formatDeviceId(wire.remoteDevice), name }, 'reader');
      wire.send({ type: 'PAIRED', space: trial.world.space, spaceName: 'conformance', role: 'reader' });
      await (await new Line(wire, trial.world).greet()).push();
    },
  },
  {
    id: '11.11/70',
    title: 'more answers behind PAIRED',
    rule: "Otherwise, where the receiver didn't ask, it is ignored.",
    side: 'client',
    async run(trial) {
      const { client, wire, name } = await asked(trial);
      client.welcome(wire, name);
      wire.send(
        { type: 'PAIRED', space: random(32), spaceName: 'another', role: 'owner' },
        { type: 'REFUSED', fault: faultOf('invite-used') },
      );
      await (await new Line(wire, trial.world).greet()).push();
    },
  },
  {
    id: '12.1/71',
    title: 'let in late, and greeted late',
    rule: ANEW,
    side: 'client',
    slow: true,
    async run(trial) {
      const { client, wire, name } = await asked(trial);
      await sleep(MOST_OF_LIMIT_MS);
      client.welcome(wire, name);
      await sleep(MOST_OF_LIMIT_MS);
      await (await new Line(wire, trial.world).greet()).push();
    },
  },
  {
    id: '12.1/72',
    title: 'PAIRED, and no HELLO',
    rule: ANEW,
    side: 'client',
    slow: true,
    async run(trial) {
      const { client, wire, name } = await asked(trial);
      client.welcome(wire, name);
      await wire.refused('timeout', HANDSHAKE_TIMEOUT_MS + TICK_MS);
    },
  },
];

const limitCases: readonly Case[] = [
  {
    id: '12.1/73',
    title: 'a joiner that asks late, and greets late',
    rule: ANEW,
    side: 'server',
    slow: true,
    needs: ['invite'],
    async run(trial) {
      const invite = await trial.invite();
      const wire = await trial.wire();
      await sleep(MOST_OF_LIMIT_MS);
      ask(wire, invite);
      await wire.next('PAIRED');
      await sleep(MOST_OF_LIMIT_MS);
      const line = await new Line(wire, trial.world).greet();
      await line.ping();
    },
  },
  {
    id: '12.1/74',
    title: 'a joiner that was let in and never greets',
    rule: ANEW,
    side: 'server',
    slow: true,
    needs: ['invite'],
    async run(trial) {
      const wire = await trial.wire();
      ask(wire, await trial.invite());
      await wire.next('PAIRED');
      await wire.refused('timeout', HANDSHAKE_TIMEOUT_MS + TICK_MS);
    },
  },
];

export const joiningCases: readonly Case[] = [...inviteCases, ...joinerCases, ...limitCases];

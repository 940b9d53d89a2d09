/** Chapter 13, from both sides: the kit joins a node, and lets a program in. */
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeBody } from '../../protocol/body.ts';
import { equal, toHex } from '../../protocol/bytes.ts';
import { DEVICES_PREFIX, HANDSHAKE_TIMEOUT_MS } from '../../protocol/constants.ts';
import { ERRORS, type ErrorCode } from '../../protocol/errors.ts';
import type { Role } from '../../protocol/membership.ts';
import { pairProof, syncUrl, type PairInvite } from '../../protocol/pair-link.ts';
import type { Case, Trial } from '../case.ts';
import type { ClientTrial } from '../client-target.ts';
import { crypto, newDevice, random, type Device } from '../device.ts';
import { Line } from '../line.ts';
import { dial } from '../socket.ts';
import { expect, Skip, Violation } from '../violation.ts';
import { withTimeout, type Wire } from '../wire.ts';
import type { Commit, World } from '../world.ts';

/** How long a case watches that nothing comes. */
const WATCH_MS = 1000;
/** Two machines' clocks may differ by this. */
const CLOCK_MS = 60_000;

// ---- the kit joins

interface Request {
  readonly secret?: Uint8Array;
  readonly handshakeHash?: Uint8Array;
  readonly device?: Uint8Array;
  readonly id?: Uint8Array;
}

/** PAIR with the proof of an invite; `change` makes it a wrong one. */
function ask(wire: Wire, invite: PairInvite, change: Request = {}): void {
  const {
    secret = invite.secret,
    handshakeHash = wire.handshakeHash,
    device = wire.device.keys.public,
    id = invite.id,
  } = change;
  const proof = pairProof(crypto, secret, handshakeHash, device);
  wire.send({ type: 'PAIR', invite: { id, proof }, name: wire.device.name });
}

/** REFUSED and then ERROR, both with the code. */
async function pairingRefused(wire: Wire, code: ErrorCode): Promise<void> {
  const { fault } = await wire.next('REFUSED');
  expect(fault.code === code, `it refused with ${fault.code} instead of ${code}`);
  expect(fault.retry === ERRORS[code].retry, `REFUSED ${code} said retry ${fault.retry}`);
  await wire.refused(code);
  const said = wire.received.filter(({ type }) => type !== 'HEARTBEAT').map(({ type }) => type);
  expect(said.join() === 'REFUSED,ERROR', `a joiner that is refused was sent ${said.join(', ')}`);
}

/** The commit by which a device became a member, in the kit's copy of the log. */
function membershipOf(world: World, device: Device, by: Uint8Array): Commit | undefined {
  return world.log.find(
    ({ chain, body }) =>
      body !== null &&
      equal(chain.device, by) &&
      decodeBody(body).changes.some(({ subject }) => subject === DEVICES_PREFIX + device.id),
  );
}

/** PAIRED for the invite came. */
async function paired(wire: Wire, invite: PairInvite): Promise<void> {
  const { space, role } = await wire.next('PAIRED');
  expect(equal(space, invite.space), 'PAIRED names another space than the link');
  expect(role === invite.role, `PAIRED says ${role}; the link is for a ${invite.role}`);
}

/** PAIRED came, and the commit that makes the device a member, which is in the kit's copy of the log afterwards. */
async function joined(trial: Trial, wire: Wire, invite: PairInvite): Promise<Commit> {
  await paired(wire, invite);
  const deadline = performance.now() + trial.patienceMs;
  for (;;) {
    const commit = membershipOf(trial.world, wire.device, invite.device);
    if (commit) return commit;
    expect(performance.now() < deadline, "no commit of the inviter's makes the joiner a member");
    await sleep(20);
  }
}

/** Joins with an invite; the connection is greeted. */
async function join(trial: Trial, invite: PairInvite, device = newDevice()): Promise<Line> {
  const wire = await trial.wire({ device });
  ask(wire, invite);
  await joined(trial, wire, invite);
  return new Line(wire, trial.world).greet();
}

const ROLES: readonly Role[] = ['owner', 'writer', 'reader', 'mirror'];

const linkCases: readonly Case[] = [
  ...ROLES.map((role, i): Case => ({
    id: `13.2/${1 + i}`,
    title: `a link for a ${role}`,
    rule: 'fields = MessagePack [device 32, addresses, space 32, role, invite id 8, secret 16, expiry, space name]',
    side: 'server',
    needs: ['invite'],
    async run(trial) {
      // That it has its eight fields, its checksum and its form is checked where it is read.
      const invite = await trial.invite(role, 300);
      expect(invite.role === role, `a link for a ${role} says ${invite.role}`);
      expect(equal(invite.device, trial.remoteDevice!), "the link names another device than the node's");
      expect(equal(invite.space, trial.world.space), 'the link names another space');
      const lifeMs = invite.expiresMs - Date.now();
      expect(
        Math.abs(lifeMs - 300_000) < CLOCK_MS,
        `a link that lives 300 s expires in ${Math.round(lifeMs / 1000)} s`,
      );
    },
  })),
  {
    id: '13.2/5',
    title: 'an address in the link is that of the node',
    rule: '`/sync` at an origin is `ws://…/sync` or `wss://…/sync`.',
    side: 'server',
    needs: ['invite'],
    async run(trial) {
      const invite = await trial.invite();
      const errors: string[] = [];
      for (const address of invite.addresses) {
        try {
          const socket = await dial(syncUrl(address));
          socket.cut();
          return;
        } catch (thrown) {
          errors.push((thrown as Error).message);
        }
      }
      expect(false, `none of its addresses answers: ${errors.join('; ')}`);
    },
  },
  {
    id: '13.2/6',
    title: 'two links have nothing secret in common',
    rule: 'invite id 8, secret 16',
    side: 'server',
    needs: ['invite'],
    async run(trial) {
      const [one, other] = [await trial.invite(), await trial.invite()];
      expect(!equal(one.id, other.id), 'two links have one invite id');
      expect(!equal(one.secret, other.secret), 'two links have one secret');
    },
  },
];

const joinerCases: readonly Case[] = [
  ...ROLES.map((role, i): Case => ({
    id: `13.5/${1 + i}`,
    title: `joining as a ${role}`,
    rule: '3. Otherwise it commits `~devices/<joiner>` with role and name, waits until that is on disk, and sends PAIRED and then HELLO.',
    side: 'server',
    needs: ['invite'],
    async run(trial) {
      const invite = await trial.invite(role);
      const wire = await trial.wire();
      ask(wire, invite);
      const commit = await joined(trial, wire, invite);
      await wire.next('HELLO');
      const first = wire.received.find(({ type }) => type !== 'HEARTBEAT');
      expect(first?.type === 'PAIRED', `the first that a joiner got was ${first?.type}`);
      const change = decodeBody(commit.body!).changes.find(
        ({ subject }) => subject === DEVICES_PREFIX + wire.device.id,
      )!;
      const { role: given, name } = (change.ops.set ?? {}) as Record<string, unknown>;
      expect(given === role, `the log says that the joiner is ${JSON.stringify(given)}`);
      expect(name === wire.device.name, `the log calls the joiner ${JSON.stringify(name)}`);
      const line = new Line(wire, trial.world);
      line.sayHello({ spaces: [] });
      await line.ping();
      // It reads, as every member does.
      const follow = line.follow();
      await follow.caughtUp();
      const found = follow.entries.some(({ chain, seq }) => equal(chain.id, commit.chain.id) && seq === commit.seq);
      expect(found, 'its log, as the joiner gets it, lacks the commit that made it a member');
    },
  })),
  {
    id: '13.5/5',
    title: 'HELLO offers the space to who was let in',
    rule: 'sends PAIRED and then HELLO',
    side: 'server',
    needs: ['invite'],
    async run(trial) {
      const line = await join(trial, await trial.invite());
      expect(line.offered(), 'its HELLO does not offer the space into which it let the joiner');
      await line.push();
    },
  },
  {
    id: '13.5/6',
    title: 'an invite that nobody made',
    rule: 'The inviter refuses with `invite-unknown`',
    side: 'server',
    hostile: true,
    stranger: true,
    async run(trial) {
      const wire = await trial.wire();
      wire.send({ type: 'PAIR', invite: { id: random(8), proof: random(32) }, name: 'a' });
      await pairingRefused(wire, 'invite-unknown');
    },
  },
  {
    id: '13.5/7',
    title: 'a wrong secret',
    rule: 'The inviter refuses with `invite-unknown`, `invite-expired`, `invite-used`, `invite-dead` or `invite-wrong-secret`',
    side: 'server',
    hostile: true,
    needs: ['invite'],
    async run(trial) {
      const invite = await trial.invite();
      const wire = await trial.wire();
      ask(wire, invite, { secret: random(16) });
      await pairingRefused(wire, 'invite-wrong-secret');
    },
  },
  {
    id: '13.5/8',
    title: 'two wrong secrets, then the right one',
    rule: 'After `INVITE_WRONG_MAX` (3) wrong proofs an invite is dead.',
    side: 'server',
    hostile: true,
    needs: ['invite'],
    async run(trial) {
      const invite = await trial.invite();
      for (let i = 0; i < 2; i++) {
        const wire = await trial.wire();
        ask(wire, invite, { secret: random(16) });
        await pairingRefused(wire, 'invite-wrong-secret');
      }
      await (await join(trial, invite)).push();
    },
  },
  {
    id: '13.5/9',
    title: 'three wrong secrets, then the right one',
    rule: 'After `INVITE_WRONG_MAX` (3) wrong proofs an invite is dead.',
    side: 'server',
    hostile: true,
    needs: ['invite'],
    async run(trial) {
      const invite = await trial.invite();
      for (let i = 0; i < 3; i++) {
        const wire = await trial.wire();
        ask(wire, invite, { secret: random(16) });
        // The third may be told already that the invite is dead now.
        const { fault } = await wire.next('REFUSED');
        const codes: readonly string[] = i < 2 ? ['invite-wrong-secret'] : ['invite-wrong-secret', 'invite-dead'];
        expect(codes.includes(fault.code), `wrong proof ${i + 1} was refused with ${fault.code}`);
        await wire.refused(fault.code as ErrorCode);
      }
      const wire = await trial.wire();
      ask(wire, invite);
      await pairingRefused(wire, 'invite-dead');
    },
  },
  {
    id: '13.5/10',
    title: 'an invite that was used',
    rule: 'It works once: it MUST be used up on disk before the answer.',
    side: 'server',
    hostile: true,
    needs: ['invite'],
    async run(trial) {
      const invite = await trial.invite();
      await join(trial, invite);
      const wire = await trial.wire();
      ask(wire, invite);
      await pairingRefused(wire, 'invite-used');
    },
  },
  {
    id: '13.5/11',
    title: 'four devices with one invite at once',
    rule: 'It works once: it MUST be used up on disk before the answer.',
    side: 'server',
    hostile: true,
    needs: ['invite'],
    async run(trial) {
      const invite = await trial.invite();
      const wires: Wire[] = [];
      for (let i = 0; i < 4; i++) wires.push(await trial.wire());
      for (const wire of wires) ask(wire, invite);
      const answers = await Promise.all(
        wires.map((wire) =>
          wire.until(() => wire.received.find(({ type }) => type === 'PAIRED' || type === 'REFUSED'), 'an answer'),
        ),
      );
      const winner = answers.findIndex(({ type }) => type === 'PAIRED');
      const letIn = answers.filter(({ type }) => type === 'PAIRED').length;
      expect(letIn === 1, `one invite let ${letIn} devices in`);
      for (const [i, wire] of wires.entries()) if (i !== winner) await pairingRefused(wire, 'invite-used');
      await joined(trial, wires[winner]!, invite);
      for (const [i, { device }] of wires.entries())
        expect(
          i === winner || !membershipOf(trial.world, device, invite.device),
          'a device that was refused is a member',
        );
    },
  },
  {
    id: '13.5/12',
    title: 'an invite that has expired',
    rule: 'The inviter refuses with `invite-unknown`, `invite-expired`',
    side: 'server',
    hostile: true,
    needs: ['invite'],
    async run(trial) {
      const invite = await trial.invite('writer', 2);
      await sleep(3500);
      const wire = await trial.wire();
      ask(wire, invite);
      await pairingRefused(wire, 'invite-expired');
    },
  },
  {
    id: '13.5/13',
    title: 'killed right after PAIRED',
    rule: 'It works once: it MUST be used up on disk before the answer.',
    side: 'server',
    needs: ['invite', 'run'],
    alone: true,
    async run(trial) {
      const invite = await trial.invite();
      const wire = await trial.wire();
      ask(wire, invite);
      await wire.next('PAIRED');
      await trial.kill();
      const other = await trial.wire();
      ask(other, invite);
      await pairingRefused(other, 'invite-used');
      // The membership was on disk, too.
      await trial.unharmed();
      const line = await trial.line({ device: wire.device });
      await line.ping();
    },
  },
  {
    id: '13.5/14',
    title: 'a joiner that is gone before the answer',
    rule: 'It works once: it MUST be used up on disk before the answer.',
    side: 'server',
    hostile: true,
    needs: ['invite'],
    async run(trial) {
      const invite = await trial.invite();
      const wire = await trial.wire();
      ask(wire, invite);
      wire.socket.close();
      await withTimeout(wire.socket.closed, trial.patienceMs, () => new Violation('it did not answer a close'));
      await sleep(500);
      // It was let in and can't know it, or it wasn't: both, or neither.
      const other = await trial.wire();
      ask(other, invite);
      const answer = await other.until(
        () => other.received.find(({ type }) => type === 'PAIRED' || type === 'REFUSED'),
        'an answer',
      );
      if (answer.type === 'PAIRED') {
        await joined(trial, other, invite);
        return;
      }
      await pairingRefused(other, 'invite-used');
      await trial.unharmed();
      await (await trial.line({ device: wire.device })).ping();
    },
  },
  {
    id: '13.5/15',
    title: 'PAIR on an open connection of devices that know each other',
    rule: 'Where both know each other, PAIR may be sent on a connection that is open, and PAIRED changes nothing else on it.',
    side: 'server',
    needs: ['invite'],
    async run(trial) {
      const line = await trial.line();
      const pull = await line.push();
      const invite = await trial.invite('writer');
      ask(line.wire, invite);
      await paired(line.wire, invite);
      await line.ping();
      trial.author();
      await pull.sendAll();
      expect((await line.pull()) === pull, 'its subscription did not go on');
    },
  },
  {
    id: '13.5/16',
    title: 'a refusal on an open connection ends it',
    rule: 'A refusal ends it, as any.',
    side: 'server',
    hostile: true,
    async run(trial) {
      const line = await trial.line();
      line.wire.send({ type: 'PAIR', invite: { id: random(8), proof: random(32) }, name: 'a' });
      const { fault } = await line.wire.next('REFUSED');
      expect(fault.code === 'invite-unknown', `it refused with ${fault.code}`);
      await line.wire.refused('invite-unknown');
    },
  },
  {
    id: '13.5/17',
    title: 'a known device may pair before it greets, and gets HELLO first',
    rule: 'Where the inviter knows the joiner, it has sent HELLO before PAIR came.',
    side: 'server',
    needs: ['invite'],
    async run(trial) {
      const device = await trial.device('writer');
      const wire = await trial.wire({ device });
      await wire.next('HELLO');
      const invite = await trial.invite('writer');
      ask(wire, invite);
      await paired(wire, invite);
      const line = new Line(wire, trial.world);
      line.sayHello();
      await line.push();
    },
  },
  {
    id: '13.5/18',
    title: 'HELLO and PAIR of an unknown device in one go',
    rule: "If it doesn't know the inviter, it doesn't send HELLO before PAIRED comes.",
    side: 'server',
    hostile: true,
    needs: ['invite'],
    async run(trial) {
      const invite = await trial.invite();
      const wire = await trial.wire();
      new Line(wire, trial.world).sayHello();
      ask(wire, invite);
      await wire.refused('not-paired');
      await sleep(300);
      expect(
        !membershipOf(trial.world, wire.device, invite.device),
        'what came behind a HELLO that it refused let the device in',
      );
    },
  },
  {
    id: '13.5/19',
    title: 'PAIR and HELLO of a joiner in one go',
    rule: 'sends PAIRED and then HELLO',
    side: 'server',
    needs: ['invite'],
    async run(trial) {
      // It knows the inviter, and so need not wait for PAIRED.
      const invite = await trial.invite();
      const wire = await trial.wire();
      ask(wire, invite);
      const line = new Line(wire, trial.world);
      line.sayHello();
      await joined(trial, wire, invite);
      await wire.next('HELLO');
      await line.push();
    },
  },
  {
    id: '13.3/1',
    title: 'a proof that was made for another connection',
    rule: 'It is worth nothing on another connection, or to another device.',
    side: 'server',
    hostile: true,
    needs: ['invite'],
    async run(trial) {
      const invite = await trial.invite();
      const device = newDevice();
      const before = await trial.wire({ device });
      const { handshakeHash } = before;
      before.socket.cut();
      const wire = await trial.wire({ device });
      ask(wire, invite, { handshakeHash });
      await pairingRefused(wire, 'invite-wrong-secret');
    },
  },
  {
    id: '13.3/2',
    title: 'a proof that was made for another device',
    rule: 'It is worth nothing on another connection, or to another device.',
    side: 'server',
    hostile: true,
    needs: ['invite'],
    async run(trial) {
      const invite = await trial.invite();
      const wire = await trial.wire();
      ask(wire, invite, { device: newDevice().keys.public });
      await pairingRefused(wire, 'invite-wrong-secret');
    },
  },
  {
    id: '13.3/3',
    title: "a proof with another invite's secret",
    rule: 'proof = HMAC-SHA256(secret, "tidelog/1 pair" | handshake hash 32 | joiner\'s device key 32)',
    side: 'server',
    hostile: true,
    needs: ['invite'],
    async run(trial) {
      const [invite, other] = [await trial.invite(), await trial.invite()];
      const wire = await trial.wire();
      ask(wire, invite, { secret: other.secret });
      await pairingRefused(wire, 'invite-wrong-secret');
      // That one is as good as before.
      await join(trial, other);
    },
  },
];

const approvalCases: readonly Case[] = [
  {
    id: '13.6/1',
    title: 'asking without an invite',
    rule: 'the answer is REFUSED `pairing-pending`',
    side: 'server',
    stranger: true,
    async run(trial) {
      const wire = await trial.wire();
      wire.send({ type: 'PAIR', invite: null, name: wire.device.name });
      const { fault } = await wire.next('REFUSED');
      // A list that is full is allowed to say so.
      if (fault.code === 'too-many') throw new Skip('its list of devices that wait is full');
      expect(fault.code === 'pairing-pending', `it answered ${fault.code}`);
      expect(fault.retry, 'REFUSED pairing-pending said retry false');
      await wire.without(['PAIRED', 'HELLO', 'ERROR'], WATCH_MS, 'nobody has approved the device');
    },
  },
  {
    id: '13.6/2',
    title: 'asking twice',
    rule: 'the answer is REFUSED `pairing-pending`',
    side: 'server',
    stranger: true,
    async run(trial) {
      const wire = await trial.wire();
      for (let i = 0; i < 2; i++) {
        wire.send({ type: 'PAIR', invite: null, name: wire.device.name });
        const { fault } = await wire.next('REFUSED');
        if (fault.code === 'too-many') throw new Skip('its list of devices that wait is full');
        expect(fault.code === 'pairing-pending', `it answered ${fault.code}`);
      }
    },
  },
  {
    id: '13.6/3',
    title: 'a device that waits is a stranger still',
    rule: 'PAIR with `nil` puts the device on a list that a person looks at',
    side: 'server',
    hostile: true,
    async run(trial) {
      const wire = await trial.wire();
      wire.send({ type: 'PAIR', invite: null, name: wire.device.name });
      const { fault } = await wire.next('REFUSED');
      if (fault.code === 'too-many') throw new Skip('its list of devices that wait is full');
      new Line(wire, trial.world).sayHello();
      await wire.refused('not-paired');
    },
  },
  {
    id: '13.6/4',
    title: 'a device that waits may use an invite',
    rule: 'PAIR with `nil` puts the device on a list that a person looks at',
    side: 'server',
    needs: ['invite'],
    async run(trial) {
      const invite = await trial.invite();
      const wire = await trial.wire();
      wire.send({ type: 'PAIR', invite: null, name: wire.device.name });
      const { fault } = await wire.next('REFUSED');
      if (fault.code === 'too-many') throw new Skip('its list of devices that wait is full');
      ask(wire, invite);
      await joined(trial, wire, invite);
      await wire.next('HELLO');
    },
  },
  {
    id: '13.6/5',
    title: 'a device that is known asks',
    rule: 'if it sends one it gets PAIRED at once, naming a space in which it has a role',
    side: 'server',
    async run(trial) {
      const wire = await trial.wire({ device: await trial.device('reader') });
      wire.send({ type: 'PAIR', invite: null, name: wire.device.name });
      const { space, role } = await wire.next('PAIRED');
      expect(equal(space, trial.world.space), `PAIRED names space ${toHex(space)}`);
      expect(role === 'reader', `PAIRED says ${role}; the device is a reader`);
      const line = new Line(wire, trial.world);
      line.sayHello({ spaces: [] });
      await wire.next('HELLO');
      await line.ping();
    },
  },
];

// ---- the kit lets in

/** The program's connection, on which it has sent PAIR and the kit has checked it. */
async function asked(trial: Trial): Promise<{ trial: ClientTrial; wire: Wire; name: string }> {
  const client = trial as ClientTrial;
  if (client.remoteDevice !== null) throw new Skip('the program has joined already, and needs --run to join anew');
  const wire = await client.wire();
  const { invite, name } = await wire.next('PAIR');
  expect(invite !== null, 'it has a link, and sends PAIR without the invite');
  expect(equal(invite.id, client.link.id), 'its invite is not that of the link');
  const proof = pairProof(crypto, client.link.secret, wire.handshakeHash, wire.remoteDevice);
  expect(equal(invite.proof, proof), 'its proof of the secret is wrong');
  const [first] = wire.received;
  expect(first?.type === 'PAIR' || first?.type === 'HEARTBEAT', `it sent ${first?.type} before PAIR`);
  return { trial: client, wire, name };
}

async function givesUp(wire: Wire): Promise<void> {
  await withTimeout(
    wire.socket.closed,
    wire.patienceMs,
    () => new Violation('it did not close the connection after an ERROR'),
  );
  // It may end the connection by itself when it reads REFUSED, before it has read the ERROR.
  expect(
    wire.received.every(({ type }) => type === 'PAIR' || type === 'HEARTBEAT' || type === 'ERROR'),
    'it went on although it was refused',
  );
}

function refuse(wire: Wire, code: string, retry = false): void {
  const fault = { code: code as ErrorCode, retry, afterMs: 0, text: 'Refused by the kit.', detail: {} };
  wire.send({ type: 'REFUSED', fault });
  wire.send({ type: 'ERROR', fault });
}

const REFUSALS: readonly string[] = [
  'invite-unknown',
  'invite-expired',
  'invite-used',
  'invite-dead',
  'invite-wrong-secret',
  'a-code-of-later',
];

const inviterCases: readonly Case[] = [
  {
    id: '13.5/30',
    title: 'PAIR, and nothing before PAIRED',
    rule: "If it doesn't know the inviter, it doesn't send HELLO before PAIRED comes.",
    side: 'client',
    async run(outer) {
      const { trial, wire, name } = await asked(outer);
      await wire.without(
        ['HELLO', 'SUBSCRIBE', 'SUBSCRIBE_ALL', 'BATCH', 'ACK', 'PAIR'],
        WATCH_MS,
        'it has not been let in',
      );
      trial.welcome(wire, name);
      await (await new Line(wire, trial.world).greet()).push();
    },
  },
  {
    id: '13.5/31',
    title: 'HELLO after PAIRED does not offer the empty copy',
    rule: "An empty copy knows no members, so this HELLO doesn't offer the space",
    side: 'client',
    async run(outer) {
      const { trial, wire, name } = await asked(outer);
      trial.welcome(wire, name);
      const hello = await wire.next('HELLO');
      expect(hello.spaces.length === 0, 'it offers a space of which it has nothing');
    },
  },
  {
    id: '13.5/32',
    title: 'another HELLO when the log has come',
    rule: 'another one does when the log has come',
    side: 'client',
    async run(outer) {
      const { trial, wire, name } = await asked(outer);
      trial.welcome(wire, name);
      const line = await new Line(wire, trial.world).greet();
      await line.push();
      // One that only reads offers nothing, now or later.
      let second;
      try {
        second = await wire.next('HELLO');
      } catch {
        throw new Skip('it offers no log');
      }
      const state = second.spaces.find(({ space }) => equal(space, trial.world.space));
      expect(state, 'another HELLO came, and does not offer the space');
      await line.converged();
    },
  },
  {
    id: '13.5/33',
    title: 'PAIRED for another space',
    rule: "4. The joiner checks that the space is the link's (`wrong-space` otherwise)",
    side: 'client',
    hostile: true,
    async run(outer) {
      const { wire } = await asked(outer);
      wire.send({ type: 'PAIRED', space: random(32), spaceName: 'conformance', role: 'writer' });
      await wire.refused('wrong-space');
    },
  },
  {
    id: '11.11/900',
    title: 'PAIRED with an unknown role',
    rule: "A role that isn't in",
    side: 'client',
    hostile: true,
    async run(outer) {
      const { trial, wire } = await asked(outer);
      wire.sendFields(19, trial.world.space, 'conformance', 'admin');
      await wire.refused('bad-message');
    },
  },
  {
    id: '13.5/34',
    title: 'HELLO right behind PAIRED',
    rule: 'What comes right behind PAIRED is dealt with after that.',
    side: 'client',
    async run(outer) {
      const { trial, wire, name } = await asked(outer);
      trial.welcome(wire, name);
      const line = new Line(wire, trial.world);
      line.sayHello();
      line.sayHello();
      line.hello = await wire.next('HELLO');
      await line.push();
    },
  },
  {
    id: '13.5/35',
    title: 'HELLO of the inviter long after PAIRED',
    rule: 'makes an empty copy of it, and sends HELLO',
    side: 'client',
    async run(outer) {
      const { trial, wire, name } = await asked(outer);
      trial.welcome(wire, name);
      const hello = await wire.next('HELLO');
      await sleep(2000);
      const line = new Line(wire, trial.world);
      line.sayHello();
      line.hello = hello;
      await line.push();
    },
  },
  {
    id: '13.5/36',
    title: 'HELLO before PAIRED, of an inviter that knows the joiner',
    rule: "A joiner that doesn't know the inviter keeps that HELLO, or the last of several, and heeds it once PAIRED has come and it has sent its own.",
    side: 'client',
    async run(outer) {
      const { trial, wire, name } = await asked(outer);
      const line = new Line(wire, trial.world);
      line.sayHello();
      await wire.without(['HELLO', 'SUBSCRIBE_ALL', 'ERROR'], WATCH_MS, 'it has not been let in');
      expect(wire.socket.closing === null, `it closed with ${wire.socket.closing?.code}`);
      trial.welcome(wire, name);
      line.hello = await wire.next('HELLO');
      await line.push();
    },
  },
  {
    id: '13.5/37',
    title: 'two HELLOs before PAIRED, of which the last offers the space',
    rule: 'keeps that HELLO, or the last of several',
    side: 'client',
    async run(outer) {
      const { trial, wire, name } = await asked(outer);
      const line = new Line(wire, trial.world);
      line.sayHello({ spaces: [] });
      line.sayHello();
      trial.welcome(wire, name);
      line.hello = await wire.next('HELLO');
      await line.push();
    },
  },
  {
    id: '13.5/38',
    title: 'two HELLOs before PAIRED, of which the last offers nothing',
    rule: 'keeps that HELLO, or the last of several',
    side: 'client',
    async run(outer) {
      const { trial, wire, name } = await asked(outer);
      const line = new Line(wire, trial.world);
      line.sayHello();
      line.sayHello({ spaces: [] });
      trial.welcome(wire, name);
      await wire.next('HELLO');
      // They may stand right behind its HELLO.
      await sleep(WATCH_MS);
      expect(
        !wire.received.some(({ type }) => type === 'SUBSCRIBE_ALL' || type === 'SUBSCRIBE'),
        'it subscribed, and the last HELLO offers nothing',
      );
      line.sayHello();
      await line.push();
    },
  },
  ...REFUSALS.map((code, i): Case => ({
    id: `13.5/${39 + i}`,
    title: `refused with ${code}`,
    rule: 'REFUSED, then ERROR.',
    side: 'client',
    hostile: true,
    async run(outer) {
      const { wire } = await asked(outer);
      refuse(wire, code);
      await givesUp(wire);
    },
  })),
  {
    id: '13.5/45',
    title: 'no answer, and a SUBSCRIBE_ALL in its place',
    rule: 'PAIRED and then HELLO',
    side: 'client',
    hostile: true,
    async run(outer) {
      const { trial, wire } = await asked(outer);
      wire.send({
        type: 'SUBSCRIBE_ALL',
        subscription: 1,
        space: trial.world.space,
        from: { kind: 'all' },
        live: true,
        credit: 4_194_304,
      });
      await wire.refused(['bad-message', 'not-paired']);
    },
  },
  {
    id: '13.6/10',
    title: 'a person approves after a while',
    rule: 'The connection may stay open: PAIRED follows when a person approves',
    side: 'client',
    slow: true,
    async run(outer) {
      const { trial, wire, name } = await asked(outer);
      const code = 'pairing-pending';
      const fault = { code, retry: true, afterMs: 0, text: ERRORS[code].sentence, detail: {} } as const;
      // It may come more than once.
      wire.send({ type: 'REFUSED', fault });
      wire.send({ type: 'REFUSED', fault });
      await wire.without(['HELLO', 'ERROR', 'SUBSCRIBE_ALL'], HANDSHAKE_TIMEOUT_MS + 5000, 'it was told to wait');
      expect(wire.socket.closing === null, 'it did not wait for a person');
      trial.welcome(wire, name);
      await (await new Line(wire, trial.world).greet()).push();
    },
  },
  {
    id: '13.6/11',
    title: 'a person rejects after a while',
    rule: 'REFUSED `pairing-rejected` when not',
    side: 'client',
    async run(outer) {
      const { wire } = await asked(outer);
      const code = 'pairing-pending';
      wire.send({
        type: 'REFUSED',
        fault: { code, retry: true, afterMs: 0, text: ERRORS[code].sentence, detail: {} },
      });
      await sleep(WATCH_MS);
      // Afterwards it may try again with PAIR, or with HELLO, in case that it was approved all the same: nothing is asked of that.
      refuse(wire, 'pairing-rejected');
      await givesUp(wire);
    },
  },
  {
    id: '13.6/12',
    title: 'the connection is lost while a person decides',
    rule: 'A device that comes back after it was approved is known, and needs no PAIR; if it sends one it gets PAIRED at once',
    side: 'client',
    hostile: true,
    async run(outer) {
      const { wire } = await asked(outer);
      wire.socket.cut();
    },
  },
];

export const pairingCases: readonly Case[] = [...linkCases, ...joinerCases, ...approvalCases, ...inviterCases];

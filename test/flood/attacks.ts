/** The attacks: what each one does until its time is over. Those that need to be let in are a device that an owner made a member. */
import { connect, type Socket as TcpSocket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { zstdCompressSync } from 'node:zlib';

import { newDevice, random, type Device } from '../../conformance/device.ts';
import { newHandshake, newNoiseKeys } from '../../conformance/wire.ts';
import { encodeBatch } from '../../protocol/batch.ts';
import {
  BATCH_RAW_BYTES_MAX,
  CODEC,
  CREDIT_BYTES_MAX,
  CREDIT_BYTES_MIN,
  FRAME_PAYLOAD_BYTES,
} from '../../protocol/constants.ts';
import type { Role } from '../../protocol/membership.ts';
import { encodeMessage, type Filter } from '../../protocol/messages.ts';
import { Line, openSocket } from './line.ts';
import type { Tally } from './tally.ts';
import { turn } from '../support/turn.ts';

interface Scene {
  /** `ws://…/sync` */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** Loopback addresses of this machine that the attacker comes from. */
  readonly addresses: readonly string[];
  readonly space: Uint8Array;
  /** A member, where the attack has a role. */
  readonly device: Device;
  /** An invite that is open, without its secret. */
  readonly invite: Uint8Array;
  readonly tally: Tally;
  isOver(): boolean;
}

export interface Attack {
  readonly says: string;
  /** Of the attacker's device; null: a stranger. */
  readonly role: Role | null;
  /** The node must have answered with one of these; empty where it serves the attacker like anybody. */
  readonly expects: readonly string[];
  readonly run: (scene: Scene) => Promise<void>;
}

/** So many at once, each again and again. */
async function crowd(scene: Scene, size: number, again: (address: string, i: number) => Promise<void>): Promise<void> {
  const one = async (i: number): Promise<void> => {
    while (!scene.isOver()) {
      await again(scene.addresses[i % scene.addresses.length]!, i);
      await turn();
    }
  };
  await Promise.all(Array.from({ length: size }, (_, i) => one(i)));
}

async function hold(scene: Scene, until: Promise<unknown>): Promise<void> {
  while (!scene.isOver()) if (await Promise.race([until.then(() => true), sleep(200).then(() => false)])) return;
}

/** A member's line on which both have greeted; null where it ended before. */
async function greeted(scene: Scene): Promise<Line | null> {
  const line = await Line.open(scene.url, scene.addresses[0]!, scene.device, scene.tally);
  if (!line) return null;
  const hello = line.next('HELLO');
  line.hello();
  return (await hello) ? line : null;
}

/** A member's line, again and again whenever it is ended. */
async function member(scene: Scene, attack: (line: Line) => Promise<void>): Promise<void> {
  while (!scene.isOver()) {
    const line = await greeted(scene);
    if (line) await attack(line);
    line?.socket.cut();
    await sleep(line ? 0 : 50);
  }
}

/** The same where the node follows the attacker's log: gives the number of its subscription. */
async function followed(scene: Scene, attack: (line: Line, subscription: number) => Promise<void>): Promise<void> {
  await member(scene, async (line) => {
    const subscribed = line.next('SUBSCRIBE_ALL');
    line.hello([{ space: scene.space, epoch: random(8), head: 1_000_000, digest: random(32) }]);
    const request = await subscribed;
    if (request) await attack(line, request.subscription);
  });
}

function message1(): Uint8Array {
  return newHandshake(true, newNoiseKeys()).write(new Uint8Array(0));
}

/** A WebSocket frame of a client's, masked with zeros. */
function webSocketFrame(payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([0x82, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
}

const UPGRADE = (host: string): string =>
  `GET /sync HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: tidelog.1\r\n\r\n`;

interface Tcp {
  readonly tcp: TcpSocket;
  readonly ended: Promise<void>;
}

/** A bare line to the port; the status of what the node answers is counted. */
function bare({ host, port, tally }: Scene, address: string): Tcp {
  const tcp = connect({ host, port, localAddress: address });
  tcp.on('error', () => {});
  tcp.once('data', (data: Buffer) => {
    const status = /^HTTP\/1\.1 (\d+)/.exec(data.toString('latin1'))?.[1];
    if (status && status !== '101') tally.note(`HTTP ${status}`);
  });
  const ended = new Promise<void>((resolve) => {
    tcp.once('close', () => {
      tally.note('cut');
      resolve();
    });
  });
  return { tcp, ended };
}

/** Bytes one by one, until the node has had enough. */
async function trickle(scene: Scene, { tcp, ended }: Tcp, bytes: Uint8Array, everyMs: number): Promise<void> {
  for (let i = 0; !tcp.destroyed && !scene.isOver(); i++) {
    tcp.write(bytes.subarray(i % bytes.length, (i % bytes.length) + 1));
    scene.tally.sent(1);
    await Promise.race([sleep(everyMs), ended]);
  }
  tcp.destroy();
}

async function subscribeAndDrop(scene: Scene, filter: Filter | null): Promise<void> {
  await member(scene, async (line) => {
    for (let subscription = 1; !line.closed && !scene.isOver(); subscription++) {
      const common = {
        subscription,
        space: scene.space,
        from: { kind: 'all' },
        live: true,
        credit: CREDIT_BYTES_MIN,
      } as const;
      line.send(filter ? { type: 'SUBSCRIBE', ...common, filter } : { type: 'SUBSCRIBE_ALL', ...common });
      if (subscription > 32) line.send({ type: 'UNSUBSCRIBE', subscription: subscription - 32 });
      await line.ready();
    }
  });
}

const EMPTY_HEARTBEAT = encodeMessage({ type: 'HEARTBEAT', spaces: [], time: 0 });
const FRAMES_PER_TURN = 64;

async function repeat(scene: Scene, send: (line: Line) => void): Promise<void> {
  await member(scene, async (line) => {
    while (!line.closed && !scene.isOver()) {
      for (let i = 0; i < FRAMES_PER_TURN; i++) send(line);
      await line.ready();
    }
  });
}

/** 2 GiB of zeros in 64 KiB would be refused by its header; this one says nothing of its size, as a stream doesn't. */
function bomb(declared: number): { codec: 1; rawBytes: number; data: Uint8Array } {
  const data = new Uint8Array(zstdCompressSync(new Uint8Array(64 * 1024 * 1024)));
  return { codec: CODEC.ZSTD, rawBytes: declared, data };
}

export const ATTACKS: Readonly<Record<string, Attack>> = {
  drops: {
    says: 'connections opened and dropped',
    role: null,
    expects: [],
    run: (scene) =>
      crowd(scene, 16, async (address, i) => {
        const socket = await openSocket(scene.url, address, scene.tally);
        scene.tally.sent(0);
        if (i % 2 > 0) socket?.send(message1());
        socket?.cut();
      }),
  },
  silent: {
    says: 'connections on which nothing is said',
    role: null,
    expects: ['too-many', 'HTTP 429', 'HTTP 503'],
    run: (scene) =>
      crowd(scene, 200, async (address) => {
        const socket = await openSocket(scene.url, address, scene.tally);
        scene.tally.sent(0);
        if (socket) await hold(scene, socket.closed);
        else await sleep(100);
        socket?.cut();
      }),
  },
  trickle: {
    says: 'handshakes of a byte a second, upgrades too',
    role: null,
    expects: ['cut'],
    run: (scene) =>
      crowd(scene, 60, async (address, i) => {
        const line = bare(scene, address);
        const upgrade = Buffer.from(UPGRADE(`${scene.host}:${scene.port}`));
        if (i % 2 > 0) {
          line.tcp.write(upgrade);
          await trickle(scene, line, webSocketFrame(message1()), 1000);
        } else {
          await trickle(scene, line, upgrade, 1000);
        }
      }),
  },
  handshakes: {
    says: 'whole handshakes by ever new strangers, and then nothing',
    role: null,
    expects: [],
    run: (scene) =>
      crowd(scene, 8, async (address) => {
        const line = await Line.open(scene.url, address, newDevice(), scene.tally);
        scene.tally.sent(0);
        line?.socket.cut();
      }),
  },
  guesses: {
    says: 'pairing attempts with wrong secrets, at an invite that is open and at others',
    role: null,
    expects: ['REFUSED invite-unknown', 'REFUSED invite-dead'],
    run: (scene) =>
      crowd(scene, 8, async (address, i) => {
        const line = await Line.open(scene.url, address, newDevice(), scene.tally);
        if (!line) return;
        const refused = line.next('REFUSED');
        const id = i % 2 > 0 ? scene.invite : random(8);
        line.send({ type: 'PAIR', invite: { id, proof: random(32) }, name: 'mallory' });
        await refused;
        line.socket.cut();
      }),
  },
  asking: {
    says: 'strangers that ask to be let in, and stay',
    role: null,
    expects: ['too-many', 'HTTP 429', 'HTTP 503'],
    run: (scene) =>
      crowd(scene, 200, async (address) => {
        const line = await Line.open(scene.url, address, newDevice(), scene.tally);
        if (!line) return sleep(100).then(() => {});
        line.send({ type: 'PAIR', invite: null, name: 'x'.repeat(64) });
        await hold(scene, line.socket.closed);
        line.socket.cut();
      }),
  },
  subscribe: {
    says: 'a reader that subscribes and unsubscribes without end',
    role: 'reader',
    expects: [],
    run: (scene) => subscribeAndDrop(scene, null),
  },
  scan: {
    says: 'the same for subjects that there are none of',
    role: 'reader',
    expects: [],
    run: (scene) => subscribeAndDrop(scene, { kind: 'prefix', prefix: 'nothing/' }),
  },
  scans: {
    says: 'a reader with 64 filtered subscriptions at once, each read to its end, again and again',
    role: 'reader',
    expects: [],
    run: (scene) =>
      member(scene, async (line) => {
        let next = 1;
        const subscribe = (): void => {
          line.send({
            type: 'SUBSCRIBE',
            subscription: next++,
            space: scene.space,
            from: { kind: 'all' },
            live: false,
            credit: CREDIT_BYTES_MIN,
            filter: { kind: 'prefix', prefix: 'nothing/' },
          });
        };
        line.onMessage = (message) => {
          if (message.type === 'BATCH')
            line.send({
              type: 'ACK',
              subscription: message.subscription,
              last: message.last,
              credit: message.data.length,
            });
          if (message.type === 'CAUGHT_UP')
            line.send({ type: 'ACK', subscription: message.subscription, last: message.last, credit: 0 });
          if (message.type === 'UNSUBSCRIBED' && !scene.isOver()) subscribe();
        };
        for (let i = 0; i < 60; i++) subscribe();
        await hold(scene, line.socket.closed);
      }),
  },
  deaf: {
    says: 'a reader with all the credit that there is, that reads nothing',
    role: 'reader',
    expects: [],
    run: (scene) =>
      member(scene, async (line) => {
        line.socket.pause();
        for (let subscription = 1; subscription <= 60; subscription++)
          line.send({
            type: 'SUBSCRIBE_ALL',
            subscription,
            space: scene.space,
            from: { kind: 'all' },
            live: true,
            credit: CREDIT_BYTES_MAX,
          });
        await hold(scene, line.socket.closed);
      }),
  },
  frames: {
    says: 'frames of one byte',
    role: 'writer',
    expects: [],
    run: (scene) => repeat(scene, (line) => line.sendFrame(Uint8Array.of(1, 0x97))),
  },
  heartbeats: {
    says: 'HEARTBEATs without end',
    role: 'reader',
    expects: [],
    run: (scene) => repeat(scene, (line) => line.sendRaw(EMPTY_HEARTBEAT)),
  },
  hellos: {
    says: 'HELLOs without end, with 256 spaces each',
    role: 'writer',
    expects: [],
    run: (scene) => {
      const spaces = Array.from({ length: 256 }, () => ({
        space: random(32),
        epoch: random(8),
        head: 7,
        digest: random(32),
      }));
      return repeat(scene, (line) => line.hello(spaces));
    },
  },
  sizes: {
    says: 'batches that declare what there can be none of',
    role: 'writer',
    expects: ['batch-too-large', 'bad-batch', 'bad-message'],
    run: (scene) =>
      followed(scene, async (line, subscription) => {
        const data = random(40);
        const rawBytes = Number.MAX_SAFE_INTEGER;
        line.send({ type: 'BATCH', subscription, prev: 0, last: 9, codec: CODEC.ZSTD, rawBytes, data });
        await hold(scene, line.socket.closed);
      }),
  },
  bombs: {
    says: 'batches of zstd that unpack to 64 MiB',
    role: 'writer',
    expects: ['bad-batch', 'batch-too-large'],
    run: (scene) => {
      const small = bomb(BATCH_RAW_BYTES_MAX);
      return followed(scene, async (line, subscription) => {
        line.send({ type: 'BATCH', subscription, prev: 0, last: 9, ...small });
        await hold(scene, line.socket.closed);
      });
    },
  },
  forged: {
    says: 'batches of 4,096 entries without a good signature',
    role: 'writer',
    expects: ['bad-signature', 'bad-batch', 'bad-commit', 'unlinked', 'bad-key'],
    run: (scene) => {
      const body = Uint8Array.of(
        0x93,
        1,
        0x90,
        0x91,
        0x92,
        0xa1,
        0x61,
        0x81,
        0xa3,
        0x73,
        0x65,
        0x74,
        0x81,
        0xa1,
        0x61,
        1,
      );
      const entries = Array.from({ length: 4096 }, () => ({
        kind: 'commit' as const,
        chain: 0,
        signature: new Uint8Array(64).fill(7),
        body,
      }));
      const chains = [{ device: scene.device.keys.public, nonce: random(8), seq: 0, id: new Uint8Array(32) }];
      const data = encodeBatch({ chains, entries });
      return followed(scene, async (line, subscription) => {
        line.send({
          type: 'BATCH',
          subscription,
          prev: 0,
          last: 4096,
          codec: CODEC.NONE,
          rawBytes: data.length,
          data,
        });
        await hold(scene, line.socket.closed);
      });
    },
  },
  dribble: {
    says: 'messages of 4 MiB, in frames that come one by one and never the last',
    role: 'writer',
    expects: ['message-too-large'],
    run: (scene) =>
      repeat(scene, (line) => {
        const part = new Uint8Array(1 + FRAME_PAYLOAD_BYTES);
        part[0] = 1;
        line.sendFrame(part);
      }),
  },
  http: {
    says: 'HTTP without a token: requests, bodies a byte a second, heads of 64 KiB, lines that say nothing',
    role: null,
    expects: ['HTTP 401'],
    run: (scene) => {
      const head = (length: number): string =>
        `POST /v1/import HTTP/1.1\r\nHost: ${scene.host}:${scene.port}\r\nContent-Length: ${length}\r\n`;
      return crowd(scene, 64, async (address, i) => {
        const line = bare(scene, address);
        if (i % 4 === 0) {
          line.tcp.write(`${head(1_000_000)}\r\n`);
          await trickle(scene, line, Buffer.from('x'), 1000);
        } else if (i % 4 === 1) {
          line.tcp.write(`${head(1)}X: ${'x'.repeat(64 * 1024)}\r\n\r\n`);
          scene.tally.sent(64 * 1024);
          await hold(scene, line.ended);
          line.tcp.destroy();
        } else if (i % 4 === 2) {
          await trickle(scene, line, Buffer.from('GET /'), 5000);
        } else {
          const request = Buffer.from(`GET /v1/status HTTP/1.1\r\nHost: ${scene.host}:${scene.port}\r\n\r\n`);
          while (!line.tcp.destroyed && !scene.isOver()) {
            line.tcp.write(Buffer.concat(Array.from({ length: 16 }, () => request)));
            scene.tally.sent(16 * request.length, 16);
            await sleep(5);
          }
          line.tcp.destroy();
        }
      });
    },
  },
};

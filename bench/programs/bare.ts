/**
 * The least that a signed live log can be, on either side: a record is signed, appended and fsynced; goes over one TCP connection; is verified, appended
 * and fsynced there. No encryption, no members, no state, no reader. What live sync takes is held against this.
 *
 *   fork('bench/programs/bare.ts', [FOLDER])
 */
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, open } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { answerCalls, sharedNowMs } from '../calls.ts';

const [folder] = process.argv.slice(2);
if (!folder) throw new Error('usage: bare.ts FOLDER');
await mkdir(folder, { recursive: true });
const file = await open(join(folder, 'log'), 'a');

const RECORD_BYTES = 200;
const FRAME_BYTES = RECORD_BYTES + 64;
/** PKCS #8 of an Ed25519 key, up to its 32 bytes: both sides make the same one. */
const privateKey = createPrivateKey({
  key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.alloc(32, 7)]),
  format: 'der',
  type: 'pkcs8',
});
const publicKey = createPublicKey(privateKey);

async function append(frame: Uint8Array): Promise<void> {
  await file.write(frame);
  await file.sync();
}

const seenMs: number[] = [];

async function follow(socket: Socket): Promise<void> {
  socket.setNoDelay(true);
  for await (const frame of frames(socket, FRAME_BYTES)) {
    if (!verify(null, frame.subarray(0, RECORD_BYTES), publicKey, frame.subarray(RECORD_BYTES)))
      throw new Error('a record whose signature is wrong');
    await append(frame);
    seenMs.push(sharedNowMs());
    socket.write('.');
  }
}

async function* frames(socket: Socket, bytes: number): AsyncGenerator<Buffer> {
  let held = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    for (held = Buffer.concat([held, chunk]); held.length >= bytes; held = held.subarray(bytes))
      yield held.subarray(0, bytes);
  }
}

answerCalls(
  {
    async listen(): Promise<number> {
      const server = createServer((socket) => void follow(socket));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      return (server.address() as AddressInfo).port;
    },
    /** When each write began. The next one begins when the other side has this one. */
    async write({ port, count }: { port: number; count: number }): Promise<number[]> {
      const socket = connect(port, '127.0.0.1');
      socket.setNoDelay(true);
      await once(socket, 'connect');
      const answers = frames(socket, 1);
      const beganMs: number[] = [];
      for (let i = 0; i < count; i++) {
        beganMs.push(sharedNowMs());
        const record = Buffer.alloc(RECORD_BYTES, i);
        const frame = Buffer.concat([record, sign(null, record, privateKey)]);
        await append(frame);
        socket.write(frame);
        await answers.next();
      }
      socket.end();
      return beganMs;
    },
    seen: () => seenMs,
  },
  () => file.close(),
);

import { createHash } from 'node:crypto';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { dialWebSocket } from '../../../client/platform/websocket.ts';

/** A server of one connection: what a client sends after the upgrade, frame by frame, unmasked. */
async function serve(): Promise<{ url: string; socket: Promise<Socket>; frames: Buffer[]; close: () => void }> {
  const frames: Buffer[] = [];
  const opened = Promise.withResolvers<Socket>();
  const server = createServer((socket) => {
    let isOpen = false;
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      if (isOpen) {
        // Small frames only, each written at once.
        const length = bytes[1]! & 0x7f;
        const mask = bytes.subarray(2, 6);
        frames.push(Buffer.concat([bytes.subarray(0, 1), bytes.subarray(6, 6 + length).map((byte, i) => byte ^ mask[i % 4]!)])); // prettier-ignore
        return;
      }
      isOpen = true;
      const key = /^sec-websocket-key: (.*)\r$/im.exec(bytes.toString('latin1'))![1];
      const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: tidelog.1\r\n\r\n`,
      );
      opened.resolve(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `ws://127.0.0.1:${port}/sync`, socket: opened.promise, frames, close: () => server.close() };
}

test('a text message is refused with its close code, and is an empty message to the channel', async () => {
  const server = await serve();
  const transport = await dialWebSocket(server.url);
  const socket = await server.socket;
  const received: Uint8Array[] = [];
  const closed = Promise.withResolvers<void>();
  transport.start({ onMessage: (bytes) => received.push(bytes), onDrain: () => {}, onClose: () => closed.resolve() });
  socket.write(Buffer.from([0x82, 1, 7]));
  socket.write(Buffer.from([0x81, 2, 0x68, 0x69]));
  await new Promise<void>((resolve) => {
    const look = (): void => (server.frames.length > 0 ? resolve() : void setImmediate(look));
    look();
  });
  expect(server.frames[0]!.toString('hex')).toBe(`880fa3${Buffer.from('bad-message').toString('hex')}`);
  expect(received).toEqual([Uint8Array.of(7), new Uint8Array(0)]);
  // What it is told afterwards goes nowhere.
  transport.send(Uint8Array.of(1));
  transport.close(4002, 'bad-frame');
  socket.end(Buffer.from([0x88, 2, 0x0f, 0xa3]));
  await closed.promise;
  expect(server.frames).toHaveLength(1);
  server.close();
});

test('what waits is counted, and its leaving is told', async () => {
  const server = await serve();
  const transport = await dialWebSocket(server.url);
  const socket = await server.socket;
  socket.pause();
  const drained = Promise.withResolvers<void>();
  transport.start({
    onMessage: () => {},
    onDrain: () => transport.bufferedBytes === 0 && drained.resolve(),
    onClose: () => {},
  });
  // More than the system's buffers take.
  for (let i = 0; i < 400; i++) transport.send(new Uint8Array(60_000));
  expect(transport.bufferedBytes).toBeGreaterThan(1_000_000);
  socket.removeAllListeners('data');
  socket.resume();
  await drained.promise;
  socket.destroy();
  server.close();
});

test('where nobody listens, and where it is given up, it says so', async () => {
  const server = await serve();
  server.close();
  await expect(dialWebSocket(server.url)).rejects.toMatchObject({ code: 'unreachable' });
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as AddressInfo;
  const giveUp = new AbortController();
  const dialled = dialWebSocket(`ws://127.0.0.1:${port}/sync`, giveUp.signal);
  void setTimeout(20).then(() => giveUp.abort());
  await expect(dialled).rejects.toMatchObject({ code: 'aborted' });
  await expect(dialWebSocket(server.url, giveUp.signal)).rejects.toMatchObject({ code: 'aborted' });
  silent.close();
});

test('what comes before the start waits for it, the end too', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (bytes) => {
      const key = /^sec-websocket-key: (.*)\r$/im.exec(bytes.toString('latin1'))![1];
      const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
      const head = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: tidelog.1\r\n\r\n`;
      socket.end(Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from([0x82, 1, 7, 0x82, 1, 8, 0x88, 0])]));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const transport = await dialWebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/sync`);
  await setTimeout(50);
  const received: number[] = [];
  await new Promise<void>((resolve) =>
    transport.start({ onMessage: ([byte]) => received.push(byte!), onDrain: () => {}, onClose: resolve }),
  );
  expect(received).toEqual([7, 8]);
  server.close();
});

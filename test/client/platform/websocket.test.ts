import { createHash } from 'node:crypto';
import { createServer, type AddressInfo, type Socket } from 'node:net';
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

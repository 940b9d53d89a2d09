/** Section 19 of docs/PROTOCOL.md against a real node: what the page says of the bytes below the channel, RFC 6455's, which no other part of the code makes. */
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { concat, toHex, utf8 } from '../../protocol/bytes.ts';
import { startTestNode, type TestNode } from '../support/node.ts';
import { hex } from '../support/protocol.ts';

const page = readFileSync(new URL('../../docs/PROTOCOL.md', import.meta.url), 'utf8');

function block(name: string): string {
  const match = new RegExp(`<!-- exchange: ${name} -->\\n\\n\`\`\`[a-z]+\\n(?<text>[^]*?)\`\`\``).exec(page);
  if (!match) throw new Error(`PROTOCOL.md has no exchange ${name}`);
  return match.groups!['text']!;
}

let node: TestNode | null = null;
let socket: Socket | null = null;
afterEach(async () => {
  socket?.destroy();
  await node?.dispose();
  node = socket = null;
});

/** Bytes as they come, to be taken in pieces. */
class Incoming {
  #bytes: Uint8Array = new Uint8Array(0);
  #closed = false;
  #wake = (): void => {};

  constructor(from: Socket) {
    from.on('data', (more) => {
      this.#bytes = concat(this.#bytes, more as Buffer);
      this.#wake();
    });
    from.on('error', () => {});
    from.on('close', () => {
      this.#closed = true;
      this.#wake();
    });
  }

  async #until(isDone: () => boolean): Promise<void> {
    while (!isDone()) {
      if (this.#closed) throw new Error(`closed after ${toHex(this.#bytes)}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async take(length: number): Promise<Uint8Array> {
    await this.#until(() => this.#bytes.length >= length);
    const taken = this.#bytes.slice(0, length);
    this.#bytes = this.#bytes.slice(length);
    return taken;
  }

  async takeHead(): Promise<string> {
    const end = (): number => Buffer.from(this.#bytes).indexOf('\r\n\r\n');
    await this.#until(() => end() >= 0);
    return Buffer.from(await this.take(end() + 4)).toString('latin1');
  }
}

async function upgraded(): Promise<{ send: (bytes: Uint8Array) => void; incoming: Incoming; head: string }> {
  node = await startTestNode();
  const { host, hostname, port } = new URL(node.url);
  const open = connect(Number(port), hostname);
  socket = open;
  const incoming = new Incoming(open);
  const lines = block('upgrade request')
    .replace(/^Host: .*$/m, `Host: ${host}`)
    .replaceAll('\n', '\r\n');
  open.write(`${lines}\r\n`);
  return { send: (bytes) => void open.write(bytes), incoming, head: await incoming.takeHead() };
}

/** A frame of a client, with the mask of the page. */
function frame(first: number, payload: Uint8Array): Uint8Array {
  const mask = [1, 2, 3, 4];
  return concat(
    Uint8Array.of(first, 0x80 | payload.length, ...mask),
    payload.map((byte, i) => byte ^ mask[i % 4]!),
  );
}

/** The page's lines of bytes, joined. */
function bytesOf(of: string, name: string): Uint8Array {
  const lines = block(of).split('\n');
  const at = lines.findIndex((line) => line.startsWith(name));
  const rest = lines.slice(at + 1);
  const end = rest.findIndex((line) => !line.startsWith(' '));
  return hex([lines[at]!.slice(name.length), ...rest.slice(0, end)].join('').replaceAll(' ', ''));
}

test('the node answers the upgrade as the page says, and the first WebSocket frame with one of the size that stands there', async () => {
  const { send, incoming, head } = await upgraded();
  const lines = head.split('\r\n');
  for (const line of block('upgrade response').trimEnd().split('\n')) expect(lines).toContain(line);
  send(
    concat(
      ...['WebSocket: binary, length', 'WebSocket: mask', 'WebSocket: payload, masked'].map((name) =>
        bytesOf('message 1', name),
      ),
    ),
  );
  const answer = bytesOf('message 2', 'WebSocket: binary, length');
  expect(toHex(await incoming.take(answer.length))).toBe(toHex(answer));
  expect(await incoming.take(192)).toHaveLength(192);
});

test('pings are answered, before the handshake and between the frames of a message, and the message is put together', async () => {
  const { send, incoming } = await upgraded();
  send(frame(0x89, utf8('one')));
  expect(toHex(await incoming.take(5))).toBe(toHex(concat(hex('8a03'), utf8('one'))));
  const message = bytesOf('message 1', 'e, the public ephemeral key');
  // Binary, and not the last; a ping; the rest.
  send(frame(0x02, message.subarray(0, 10)));
  send(frame(0x89, utf8('two')));
  expect(toHex(await incoming.take(5))).toBe(toHex(concat(hex('8a03'), utf8('two'))));
  send(frame(0x80, message.subarray(10)));
  expect(toHex(await incoming.take(4))).toBe('827e00c0');
});

test('a text message ends the connection with 4003', async () => {
  const { send, incoming } = await upgraded();
  send(frame(0x81, utf8('hello')));
  const [first, length] = await incoming.take(2);
  expect(first).toBe(0x88);
  const payload = await incoming.take(length!);
  expect(payload[0]! * 256 + payload[1]!).toBe(4003);
});

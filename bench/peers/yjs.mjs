/** Yjs with y-protocols' sync over a WebSocket, in memory on both sides: a Y.Map of maps. `send N FOLDER` and `receive N FOLDER PORT`. */
import * as decoding from 'lib0/decoding';
import * as encoding from 'lib0/encoding';
import { WebSocket, WebSocketServer } from 'ws';
import * as sync from 'y-protocols/sync';
import * as Y from 'yjs';
import { records, say } from './common.mjs';

const [side, count, , port] = process.argv.slice(2);
const N = Number(count);
const doc = new Y.Doc();
const notes = doc.getMap('notes');

function answer(socket, data) {
  const encoder = encoding.createEncoder();
  sync.readSyncMessage(decoding.createDecoder(new Uint8Array(data)), encoder, doc, socket);
  if (encoding.length(encoder) > 0) socket.send(encoding.toUint8Array(encoder));
}

if (side === 'send') {
  const all = [...records(N)];
  const started = performance.now();
  for (const { key, ...rest } of all) doc.transact(() => notes.set(key, rest));
  const writeSeconds = (performance.now() - started) / 1000;
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' }, () =>
    say({ port: server.address().port, writeSeconds }),
  );
  server.on('connection', (socket) => socket.on('message', (data) => answer(socket, data)));
} else {
  const started = performance.now();
  const socket = new WebSocket(`ws://127.0.0.1:${port}`);
  socket.on('open', () => {
    const encoder = encoding.createEncoder();
    sync.writeSyncStep1(encoder, doc);
    socket.send(encoding.toUint8Array(encoder));
  });
  socket.on('message', (data) => {
    answer(socket, data);
    if (notes.size < N) return;
    say({ seconds: (performance.now() - started) / 1000, has: notes.size });
    process.exit(0);
  });
}

/** Hypercore 10 replicating over TCP with its own Noise, files on both sides. `send N FOLDER` and `receive N FOLDER PORT KEY`. */
import { connect, createServer } from 'node:net';
import Hypercore from 'hypercore';
import { records, say } from './common.mjs';

const [side, count, folder, port, key] = process.argv.slice(2);
const N = Number(count);
if (side === 'send') {
  const core = new Hypercore(`${folder}/core`);
  await core.ready();
  const all = [...records(N)].map((record) => Buffer.from(JSON.stringify(record)));
  const started = performance.now();
  for (let from = 0; from < N; from += 1000) await core.append(all.slice(from, from + 1000));
  const writeSeconds = (performance.now() - started) / 1000;
  const server = createServer((socket) => {
    const stream = core.replicate(false);
    socket.on('error', () => {});
    stream.on('error', () => {});
    stream.pipe(socket).pipe(stream);
  });
  server.listen(0, '127.0.0.1', () =>
    say({ port: server.address().port, key: core.key.toString('hex'), writeSeconds }),
  );
} else {
  const core = new Hypercore(`${folder}/copy`, Buffer.from(key, 'hex'));
  await core.ready();
  const socket = connect(Number(port), '127.0.0.1');
  const stream = core.replicate(true);
  stream.on('error', () => {});
  socket.on('error', () => {});
  const started = performance.now();
  stream.pipe(socket).pipe(stream);
  await core.update({ wait: true });
  await core.download({ start: 0, end: N }).done();
  const seconds = (performance.now() - started) / 1000;
  await core.close();
  say({ seconds, has: core.contiguousLength });
  process.exit(0);
}

/**
 * NATS JetStream: file storage on both servers; the receiver's server holds a mirror of the sender's stream, over a leaf node's connection.
 * `send N FOLDER` and `receive N FOLDER PORT`. Needs `nats-server`, as Debian has it.
 */
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { connect } from 'nats';
import { records, say } from './common.mjs';

const [side, count, folder, leafPort] = process.argv.slice(2);
const N = Number(count);
const free = async () => {
  const { createServer } = await import('node:net');
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
};

async function server(name, domain, more) {
  const port = await free();
  const config = `port: ${port}\nhost: 127.0.0.1\nserver_name: ${name}\njetstream { store_dir: "${folder}/${name}", domain: ${domain} }\n${more}\n`;
  await writeFile(`${folder}/${name}.conf`, config);
  const child = spawn('nats-server', ['-c', `${folder}/${name}.conf`, '-l', `${folder}/${name}.log`], {
    stdio: 'ignore',
  });
  process.on('exit', () => child.kill('SIGKILL'));
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(1));
  for (let tries = 0; ; tries++) {
    try {
      return await connect({ servers: `127.0.0.1:${port}` });
    } catch (error) {
      if (tries > 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

if (side === 'send') {
  const port = await free();
  const nc = await server('hub', 'hub', `leafnodes { port: ${port}, host: 127.0.0.1 }`);
  const manager = await nc.jetstreamManager();
  await manager.streams.add({ name: 'NOTES', subjects: ['notes'] });
  const js = nc.jetstream();
  const all = [...records(N)].map((record) => Buffer.from(JSON.stringify(record)));
  const started = performance.now();
  for (let from = 0; from < N; from += 500)
    await Promise.all(all.slice(from, from + 500).map((data) => js.publish('notes', data)));
  say({ port, writeSeconds: (performance.now() - started) / 1000 });
} else {
  const nc = await server('leaf', 'leaf', `leafnodes { remotes: [ { url: "nats://127.0.0.1:${leafPort}" } ] }`);
  const manager = await nc.jetstreamManager();
  const started = performance.now();
  await manager.streams.add({ name: 'COPY', mirror: { name: 'NOTES', external: { api: '$JS.hub.API', deliver: '' } } });
  for (;;) {
    const { state } = await manager.streams.info('COPY');
    if (state.messages >= N) {
      say({ seconds: (performance.now() - started) / 1000, has: state.messages });
      process.exit(0);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/**
 * NATS JetStream: file storage on both servers; the receiver's server is a leaf node and holds a mirror of the sender's stream.
 * Needs `nats-server`, as Debian has it.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, DeliverPolicy } from 'nats';
import { BULK, freePort, versionsOf } from '../common.mjs';

export const versions = {
  ...versionsOf('nats'),
  'nats-server': execFileSync('nats-server', ['--version'], { encoding: 'utf8' }).trim().split(' v').at(-1),
};
/** As it is run here. */
export const does = {
  signs: 'no',
  verifies: 'no',
  encrypts: 'no',
  flushes: 'every two minutes',
  keeps: 'log',
};

class Server {
  /** `more` is the rest of its configuration. */
  static async start(name, folder, more) {
    const server = new Server();
    const port = await freePort();
    const path = `${folder}/${name}`;
    await writeFile(
      `${path}.conf`,
      `port: ${port}\nhost: 127.0.0.1\nserver_name: ${name}\njetstream { store_dir: "${path}", domain: ${name} }\n${more}\n`,
    );
    // It ends when its standard input does, and so with this process, however that ends.
    server.child = spawn('sh', ['-c', 'nats-server -c "$0" -l /dev/null & read _; kill $!; wait $!', `${path}.conf`], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    server.exited = once(server.child, 'exit');
    for (let tries = 0; ; tries++) {
      try {
        server.connection = await connect({ servers: `127.0.0.1:${port}`, reconnect: false });
        return server;
      } catch (error) {
        if (tries > 500) throw error;
        await sleep(10);
      }
    }
  }
  async stop() {
    await this.connection.close();
    this.child.stdin.end();
    await this.exited;
  }
}

const dataOf = (record) => Buffer.from(JSON.stringify(record));

export class Sender {
  static async open(folder) {
    const side = new Sender();
    side.port = await freePort();
    side.server = await Server.start('hub', folder, `leafnodes { port: ${side.port}, host: 127.0.0.1 }`);
    const manager = await side.server.connection.jetstreamManager();
    await manager.streams.add({ name: 'NOTES', subjects: ['notes'] });
    side.stream = side.server.connection.jetstream();
    return side;
  }
  async bulk(all) {
    for (let from = 0; from < all.length; from += BULK)
      await Promise.all(all.slice(from, from + BULK).map((record) => this.stream.publish('notes', dataOf(record))));
  }
  async write(record) {
    await this.stream.publish('notes', dataOf(record));
  }
  address() {
    return { port: this.port };
  }
  async close() {
    await this.server.stop();
  }
}

export class Receiver {
  static async open(folder, address) {
    const side = new Receiver();
    side.folder = folder;
    await side.#start(address);
    await side.#connected();
    return side;
  }
  async #start({ port }) {
    const remote = `leafnodes { remotes: [ { url: "nats://127.0.0.1:${port}" } ] }`;
    this.server = await Server.start('leaf', this.folder, remote);
    this.manager = await this.server.connection.jetstreamManager();
  }
  async #makeMirror() {
    const mirror = { name: 'NOTES', external: { api: '$JS.hub.API', deliver: '' } };
    await this.manager.streams.add({ name: 'COPY', mirror });
    this.made = true;
  }
  /** Until the other server answers through this one: a mirror that is made before that tries again only after seconds. */
  async #connected() {
    for (let tries = 0; ; tries++) {
      try {
        await this.server.connection.request('$JS.hub.API.INFO', '', { timeout: 100 });
        return;
      } catch (error) {
        if (tries > 100) throw error;
        await sleep(10);
      }
    }
  }
  /**
   * After an absence its server is started anew, and waits 5 s until it asks for the mirror again. One that goes on isn't faster, where the connection
   * was down for more than a few seconds: after 4 s without it, it took 4.7 s here; after half a second 0.4. nats-io/nats-server#6454, and #6981 for
   * newer ones.
   */
  async catchUp(address, count) {
    if (!this.server) await this.#start(address);
    if (!this.made) await this.#makeMirror();
    while ((await this.has()) < count) await sleep(2);
  }
  async has() {
    return (await this.manager.streams.info('COPY')).state.messages;
  }
  async follow(address, count, seen) {
    await this.catchUp(address, count);
    let has = count;
    const stream = this.server.connection.jetstream();
    const consumer = await stream.consumers.get('COPY', { deliver_policy: DeliverPolicy.New });
    this.messages = await consumer.consume({ callback: () => seen(++has) });
  }
  async leave() {
    this.messages?.stop();
    await this.server?.stop();
    this.server = null;
  }
  async close() {
    await this.leave();
  }
}

/** Hypercore 11 replicating over TCP with its own Noise, RocksDB on both sides. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import Hypercore from 'hypercore';
import { BULK, versionsOf } from '../common.mjs';

export const versions = versionsOf('hypercore');
/** As it is run here. */
export const does = {
  signs: 'each append',
  verifies: 'each record, by the tree',
  encrypts: 'yes',
  flushes: 'no',
  keeps: 'log',
};

const blockOf = (record) => Buffer.from(JSON.stringify(record));

/** An end of either is the end of both, and no error: that is how an absence begins. */
function join(stream, socket) {
  stream.on('error', () => socket.destroy());
  socket.on('error', () => stream.destroy());
  socket.setNoDelay(true);
  stream.pipe(socket).pipe(stream);
}

export class Sender {
  static async open(folder) {
    const side = new Sender();
    side.core = new Hypercore(`${folder}/core`);
    await side.core.ready();
    side.server = createServer((socket) => join(side.core.replicate(false), socket)).listen(0, '127.0.0.1');
    await once(side.server, 'listening');
    return side;
  }
  async bulk(all) {
    for (let from = 0; from < all.length; from += BULK)
      await this.core.append(all.slice(from, from + BULK).map(blockOf));
  }
  async write(record) {
    await this.core.append(blockOf(record));
  }
  address() {
    return { port: this.server.address().port, key: this.core.key.toString('hex') };
  }
  async close() {
    this.server.close();
    await this.core.close();
  }
}

export class Receiver {
  static open(folder) {
    const side = new Receiver();
    side.folder = folder;
    return side;
  }
  async #connect({ port, key }) {
    this.core ??= new Hypercore(`${this.folder}/copy`, Buffer.from(key, 'hex'));
    await this.core.ready();
    this.socket = connect(port, '127.0.0.1');
    join(this.core.replicate(true), this.socket);
  }
  async catchUp(address, count) {
    await this.#connect(address);
    while (this.core.length < count) await this.core.update({ wait: true });
    await this.core.download({ start: this.core.contiguousLength, end: this.core.length }).done();
  }
  has() {
    return this.core.contiguousLength;
  }
  async follow(address, count, seen) {
    await this.catchUp(address, count);
    this.core.download({ start: count, end: -1 });
    const read = async () => {
      for (let i = count; ; i++) {
        await this.core.get(i);
        seen(i + 1);
      }
    };
    // It ends when the core is closed.
    read().catch(() => {});
  }
  async leave() {
    const { socket } = this;
    this.socket = null;
    if (!socket || socket.destroyed) return;
    socket.destroy();
    await once(socket, 'close');
  }
  async close() {
    await this.leave();
    await this.core?.close();
  }
}

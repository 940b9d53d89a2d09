/** Secure Scuttlebutt: ssb-db2 on both sides, replicated by EBT over secret-handshake and box-stream. */
import { createRequire } from 'node:module';
import { freePort, versionsOf } from '../common.mjs';

const require = createRequire(import.meta.url);
const SecretStack = require('secret-stack');
const caps = require('ssb-caps');
const ssbKeys = require('ssb-keys');

export const versions = versionsOf('ssb-db2', 'ssb-ebt');
/** As it is run here. */
export const does = {
  signs: 'each record',
  verifies: 'each record',
  encrypts: 'yes',
  flushes: 'yes',
  keeps: 'log',
};

const AT_ONCE = 1000;
const called = (method, ...args) =>
  new Promise((resolve, reject) => method(...args, (error, result) => (error ? reject(error) : resolve(result))));

async function open(folder) {
  const port = await freePort();
  const stack = SecretStack({ appKey: caps.shs })
    .use(require('ssb-db2'))
    .use(require('ssb-db2/compat/ebt'))
    .use(require('ssb-ebt'));
  const connections = {
    incoming: { net: [{ scope: 'private', transform: 'shs', host: '127.0.0.1', port }] },
    outgoing: { net: [{ transform: 'shs' }] },
  };
  const keys = ssbKeys.generate();
  const ssb = stack({ path: folder, keys, connections });
  ssb.ebt.request(ssb.id, true);
  return { ssb, port, keys };
}

const contentOf = ({ key, ...rest }) => ({ type: 'note', key, ...rest });
/** Until what is appended is in the log's file. */
const drained = (ssb) => new Promise((resolve) => ssb.db.getLog().onDrain(resolve));

export class Sender {
  static async open(folder) {
    return Object.assign(new Sender(), await open(folder));
  }
  #create(record) {
    return called(this.ssb.db.create, { content: contentOf(record), keys: this.keys });
  }
  async bulk(all) {
    for (let from = 0; from < all.length; from += AT_ONCE)
      await Promise.all(all.slice(from, from + AT_ONCE).map((record) => this.#create(record)));
    await drained(this.ssb);
  }
  async write(record) {
    await this.#create(record);
  }
  address() {
    return { port: this.port, feed: this.ssb.id, key: this.ssb.id.slice(1, -'.ed25519'.length) };
  }
  async close() {
    await called(this.ssb.close, true);
  }
}

export class Receiver {
  static async open(folder) {
    const side = Object.assign(new Receiver(), await open(folder));
    side.added = 0;
    side.seen = () => {};
    // A listener that returns false isn't called again.
    side.ssb.db.onMsgAdded(() => void side.seen(++side.added), false);
    return side;
  }
  async #connect({ port, feed, key }) {
    this.ssb.ebt.request(feed, true);
    this.rpc = await called(this.ssb.connect, `net:127.0.0.1:${port}~shs:${key}`);
  }
  async catchUp(address, count) {
    const arrived = new Promise((resolve) => {
      this.seen = (has) => has >= count && resolve();
      this.seen(this.added);
    });
    await this.#connect(address);
    await arrived;
    await drained(this.ssb);
  }
  has() {
    return this.added;
  }
  async follow(address, count, seen) {
    await this.catchUp(address, count);
    this.seen = seen;
  }
  async leave() {
    const { rpc } = this;
    this.rpc = null;
    if (!rpc || rpc.closed) return;
    await called(rpc.close, true);
  }
  async close() {
    await this.leave();
    await called(this.ssb.close, true);
  }
}

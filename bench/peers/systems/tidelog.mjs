/** Tidelog: a node that writes, and one that joins it as a full node. LMDB on both sides. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { open } from '../../../client/node.ts';
import { initDevice, openLmdbStore, silentLog, startNode } from '../../../server/index.ts';
import { BULK } from '../common.mjs';

export const versions = {
  tidelog: JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')).version,
};
/** As it is run here. */
export const does = {
  signs: 'each commit',
  verifies: 'each run of commits',
  encrypts: 'yes',
  flushes: 'yes',
  keeps: 'log and state',
};

const changeOf = ({ key, ...set }) => ({ subject: key, ops: { set } });
/** Records to a commit where they are packed. */
const PACKED = 100;

export class Sender {
  role = 'writer';
  static async open(folder) {
    const side = new this();
    const dataDir = join(folder, 'node');
    await initDevice(dataDir, 'sender');
    side.node = await startNode({ dataDir, log: silentLog(), port: 0 });
    side.space = await side.node.peer.homeSpace();
    return side;
  }
  /** One record to a commit. */
  async bulk(all) {
    await this.#commit(all.map((record) => [changeOf(record)]));
  }
  async packed(all) {
    const commits = [];
    for (let from = 0; from < all.length; from += PACKED) commits.push(all.slice(from, from + PACKED).map(changeOf));
    await this.#commit(commits);
  }
  async #commit(commits) {
    for (let from = 0; from < commits.length; from += BULK)
      await Promise.all(commits.slice(from, from + BULK).map((changes) => this.space.commit(changes).stored));
  }
  async write(record) {
    await this.space.commit([changeOf(record)]).stored;
  }
  async address() {
    const { url, port, peer } = this.node;
    const { link } = await peer.invite(this.space, { role: this.role, addresses: [url] });
    return { port, fragment: link.slice(link.indexOf('#')) };
  }
  async close() {
    await this.node.stop();
  }
}

const urlOf = ({ port }) => `http://127.0.0.1:${port}`;

export class Receiver {
  #urls = new Set();
  static async open(folder) {
    const side = new this();
    side.onAppended = () => {};
    side.db = await open({
      store: await openLmdbStore(join(folder, 'store')),
      name: 'receiver',
      // It comes when the commits are on this disk.
      onEvent: (event) => event.type === 'appended' && side.onAppended(),
    });
    return side;
  }
  async catchUp(address) {
    const { peer } = this.db;
    const url = urlOf(address);
    this.#urls.add(url);
    if (this.space) {
      const connection = await peer.connect(url);
      await connection.caughtUp({ space: this.space });
    } else {
      // The link's address is tried first: it may be the proxy's.
      const { synced, space } = await peer.join(`${url}/${address.fragment}`);
      this.space = space;
      await synced;
    }
  }
  /** How many records are here: the sender's are of one chain, so that with the last of them all are. */
  async has(count) {
    const { subjects } = this.space.stats();
    return (await this.space.get(`note/${count - 1}`)) ? subjects : Math.min(subjects, count - 1);
  }
  async follow(address, count, seen) {
    await this.catchUp(address);
    let next = count;
    let looks = Promise.resolve();
    const look = async () => {
      while (await this.space.get(`note/${next}`)) seen(++next);
    };
    this.onAppended = () => (looks = looks.then(look));
  }
  leave() {
    for (const url of this.#urls) this.db.peer.undial(url);
    for (const connection of this.db.peer.connections()) connection.close();
  }
  async close() {
    await this.db.close();
  }
}

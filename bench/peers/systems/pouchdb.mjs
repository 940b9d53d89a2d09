/** PouchDB replicating over HTTP from an Express server, LevelDB on both sides. */
import { once } from 'node:events';
import express from 'express';
import expressPouchDB from 'express-pouchdb';
import PouchDB from 'pouchdb';
import { BULK, versionsOf } from '../common.mjs';

export const versions = versionsOf('pouchdb', 'express-pouchdb');
/** As it is run here. */
export const does = {
  signs: 'no',
  verifies: 'no',
  encrypts: 'no',
  flushes: 'no',
  keeps: 'documents and their revisions',
};

const documentOf = ({ key, ...rest }) => ({ _id: key, ...rest });
const urlOf = ({ port }) => `http://127.0.0.1:${port}/notes`;

export class Sender {
  static async open(folder) {
    const side = new Sender();
    const Local = PouchDB.defaults({ prefix: `${folder}/` });
    side.db = new Local('notes');
    await side.db.info();
    const options = { mode: 'minimumForPouchDB', inMemoryConfig: true, logPath: `${folder}/log.txt` };
    side.server = express().use('/', expressPouchDB(Local, options)).listen(0, '127.0.0.1');
    await once(side.server, 'listening');
    return side;
  }
  async bulk(all) {
    for (let from = 0; from < all.length; from += BULK)
      await this.db.bulkDocs(all.slice(from, from + BULK).map(documentOf));
  }
  async write(record) {
    await this.db.put(documentOf(record));
  }
  address() {
    return { port: this.server.address().port };
  }
  async close() {
    this.server.closeAllConnections();
    this.server.close();
    await this.db.close();
  }
}

export class Receiver {
  static async open(folder) {
    const side = new Receiver();
    side.db = new PouchDB(`${folder}/copy`);
    await side.db.info();
    return side;
  }
  async catchUp(address) {
    await this.db.replicate.from(urlOf(address), { batch_size: BULK });
  }
  async has() {
    return (await this.db.info()).doc_count;
  }
  async follow(address, count, seen) {
    let has = count;
    this.changes = this.db.changes({ live: true, since: 'now' }).on('change', () => seen(++has));
    this.replication = this.db.replicate.from(urlOf(address), { live: true });
    // At its first pause it has asked for what comes next.
    await once(this.replication, 'paused');
  }
  leave() {
    this.changes?.cancel();
    this.replication?.cancel();
  }
  async close() {
    this.leave();
    await this.db.close();
  }
}

/**
 * Yjs over y-websocket: a Y.Map of maps in the server's document, y-leveldb on both sides. The document stays in the server's memory while nobody
 * is connected, so that nobody waits for it to be read again.
 */
import { once } from 'node:events';
import { getYDoc, setupWSConnection } from '@y/websocket-server/utils';
import { WebSocket, WebSocketServer } from 'ws';
import { LeveldbPersistence } from 'y-leveldb';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';
import { BULK, versionsOf } from '../common.mjs';

export const versions = versionsOf('yjs', 'y-websocket', '@y/websocket-server', 'y-leveldb');
/** As it is run here. */
export const does = {
  signs: 'no',
  verifies: 'no',
  encrypts: 'no',
  flushes: 'no',
  keeps: 'state, no deleted values',
};

const ROOM = 'notes';

/** Each update goes to the disk as it comes; `stored` is the last. */
class Stored {
  constructor(doc, folder) {
    this.level = new LeveldbPersistence(folder);
    this.stored = Promise.resolve();
    doc.on('update', (update) => (this.stored = this.level.storeUpdate(ROOM, update)));
  }
  async close() {
    await this.stored;
    await this.level.destroy();
  }
}

export class Sender {
  static async open(folder) {
    const side = new Sender();
    side.doc = getYDoc(ROOM);
    side.notes = side.doc.getMap('notes');
    side.disk = new Stored(side.doc, `${folder}/level`);
    side.server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    side.server.on('connection', setupWSConnection);
    await once(side.server, 'listening');
    return side;
  }
  async bulk(all) {
    for (let from = 0; from < all.length; from += BULK)
      this.doc.transact(() => {
        for (const { key, ...rest } of all.slice(from, from + BULK)) this.notes.set(key, rest);
      });
    await this.disk.stored;
  }
  async write({ key, ...rest }) {
    this.notes.set(key, rest);
    await this.disk.stored;
  }
  address() {
    return { port: this.server.address().port };
  }
  async close() {
    this.server.close();
    await this.disk.close();
  }
}

export class Receiver {
  static open(folder) {
    const side = new Receiver();
    side.doc = new Y.Doc();
    side.notes = side.doc.getMap('notes');
    side.disk = new Stored(side.doc, `${folder}/level`);
    return side;
  }
  #connect({ port }) {
    const options = { WebSocketPolyfill: WebSocket, disableBc: true };
    this.provider = new WebsocketProvider(`ws://127.0.0.1:${port}`, ROOM, this.doc, options);
  }
  async catchUp(address, count) {
    this.#connect(address);
    if (!this.provider.synced) await new Promise((resolve) => this.provider.once('sync', resolve));
    while (!this.notes.has(`note/${count - 1}`)) await new Promise((resolve) => this.doc.once('update', resolve));
    await this.disk.stored;
  }
  /** `size` walks through all of them: asked in each live write, it took 1.2 of 1.5 ms. Nothing asks it while a clock runs. */
  has() {
    return this.notes.size;
  }
  async follow(address, count, seen) {
    await this.catchUp(address, count);
    let has = count;
    this.notes.observe(({ keysChanged }) => seen((has += keysChanged.size)));
  }
  leave() {
    this.provider?.destroy();
    this.provider = null;
  }
  async close() {
    this.leave();
    await this.disk.close();
  }
}

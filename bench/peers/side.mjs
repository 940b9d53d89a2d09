/**
 * One side of a system in a process of its own: `side.mjs SYSTEM`, then calls from run.mjs. A system is a file of systems/ with
 *
 *   Sender.open(folder)               → bulk(records), packed?(records), write(record), address(), close()
 *   Receiver.open(folder, address)    → catchUp(address, count), has(count), follow(address, count, seen), leave(), close()
 *
 * The sender serves from the start, and `address` is for one receiver. `catchUp` connects, and ends when the receiver has `count` records as far as the
 * system stores them, how many `has` tells; `follow` stays connected and calls `seen(count)` when a reader at the receiver sees one record more; `leave` ends the connection.
 * `packed` is for a system that has another way for many records, which makes another log of them. `versions` are of what it is made of.
 */
import { mkdir } from 'node:fs/promises';
import { answerCalls, sharedNowMs } from '../calls.ts';
import { records } from './common.mjs';

const { Sender, Receiver, does, versions } = await import(new URL(`systems/${process.argv[2]}.mjs`, import.meta.url));
let side = null;
let toWrite = [];
/** Of a follower: when each record was visible, by the count with it; and who waits for which. */
const seenMs = new Map();
let waiting = null;

/** The records are made before the clock starts. */
async function secondsOf(work, all) {
  const began = performance.now();
  await work(all);
  return (performance.now() - began) / 1000;
}

answerCalls(
  {
    async sender(folder) {
      await mkdir(folder, { recursive: true });
      side = await Sender.open(folder);
    },
    async receiver({ folder, address }) {
      await mkdir(folder, { recursive: true });
      side = await Receiver.open(folder, address);
    },
    about: () => ({ does, versions, packs: 'packed' in Sender.prototype }),
    bulk: ({ from, count }) => secondsOf((all) => side.bulk(all), records(from, count)),
    packed: (count) => secondsOf((all) => side.packed(all), records(0, count)),
    address: () => side.address(),
    /** Makes the records for `write`. */
    prepare({ from, count }) {
      toWrite = records(from, count);
    },
    /** When the call of the write began. */
    async write() {
      const record = toWrite.shift();
      const began = sharedNowMs();
      await side.write(record);
      return began;
    },
    /** ms from the connect until all is there. */
    async catchUp({ address, count }) {
      const began = performance.now();
      await side.catchUp(address, count);
      const ms = performance.now() - began;
      const has = await side.has(count);
      if (has < count) throw new Error(`${has} of ${count} records`);
      return ms;
    },
    follow: ({ address, count }) =>
      side.follow(address, count, (has) => {
        if (!seenMs.has(has)) seenMs.set(has, sharedNowMs());
        if (waiting && has >= waiting.count) {
          waiting.resolve();
          waiting = null;
        }
      }),
    /** When a reader here saw the record that made it so many. */
    async seen(count) {
      if (!seenMs.has(count)) await new Promise((resolve) => (waiting = { count, resolve }));
      return seenMs.get(count);
    },
    leave: () => side.leave(),
  },
  () => side?.close(),
);

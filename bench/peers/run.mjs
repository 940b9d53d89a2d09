/**
 * The same records through other systems and through Tidelog, sender and receiver in two processes over loopback.
 *
 *   npm ci --prefix bench/peers
 *   node bench/peers/run.mjs [--quick] [--only tidelog,pouchdb,…] [--json FILE]
 *
 * A full run of all of them writes results.json beside this file; `node scripts/comparison.ts` makes the picture and the table from it.
 */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { machineHere } from '../report.ts';
import { folderBytes, median, quantile, runProgram, withFolder } from '../support.ts';
import { countingProxy, Side } from './common.mjs';

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, only: { type: 'string' }, json: { type: 'string' } },
});
const sized = (quick, full) => (values.quick ? quick : full);
const RUNS = sized(1, 3);
/** Written in an absence. */
const MISSED = 1000;
const ABSENCES = 3;
/** Live writes that aren't counted: code is still being compiled in them. */
const WARM = sized(50, 200);

const MANY = { records: sized(20_000, 100_000), live: sized(100, 1000) };
/** For those that would take minutes. */
const FEWER = { records: sized(5_000, 20_000), live: sized(100, 1000) };
const SYSTEMS = [
  { id: 'tidelog', name: 'Tidelog, full node', ...MANY },
  { id: 'tidelog-mirror', name: 'Tidelog, mirror', ...MANY },
  { id: 'nats', name: 'NATS JetStream', ...MANY },
  { id: 'yjs', name: 'Yjs', ...MANY },
  { id: 'hypercore', name: 'Hypercore', ...FEWER },
  { id: 'pouchdb', name: 'PouchDB', ...FEWER },
  // Each live write takes it a third of a second.
  { id: 'ssb', name: 'ssb-db2', ...FEWER, live: sized(20, 100) },
];

/** A system's sender, its receivers one after the other, and what is measured of them. */
class Measurement {
  #system;
  #path;
  #sender;
  /** Those that run, and are to run. */
  #sides = new Set();
  /** Rejects when one of them ends by itself: the other would wait for it. */
  #died = Promise.withResolvers();

  constructor(system, path) {
    this.#system = system;
    this.#path = path;
    // It may have ended after the last call.
    this.#died.promise.catch(() => {});
  }

  async all() {
    try {
      return await Promise.race([this.#measure(), this.#died.promise]);
    } finally {
      const left = [...this.#sides];
      this.#sides.clear();
      await Promise.all(left.map((side) => side.kill()));
    }
  }

  async #measure() {
    const { id, name, records } = this.#system;
    const { sender, bulkSeconds } = await this.#filledSender();
    this.#sender = sender;
    const { does, versions, packs } = await sender.call('about');
    const packedSeconds = packs ? await this.#packedSeconds() : null;
    const cold = [];
    for (let i = 0; i < RUNS; i++) cold.push(await this.#coldSync());
    const { receiver, address, wireBytes } = await this.#countedSync();
    const resumeMs = [];
    for (let i = 1; i <= ABSENCES; i++) {
      await sender.call('bulk', { from: records + (i - 1) * MISSED, count: MISSED });
      resumeMs.push(await receiver.call('catchUp', { address, count: records + i * MISSED }));
      await receiver.call('leave');
    }
    const liveMs = await this.#liveMs(receiver, address, records + ABSENCES * MISSED);
    await this.#stop(receiver);
    await this.#stop(sender);
    const bulkPerSecond = round(records / bulkSeconds);
    return {
      id,
      name,
      does,
      versions,
      records,
      recordsPerSecond: round(records / median(cold.map(({ ms }) => ms / 1000))),
      wireBytes: round(wireBytes / records),
      diskBytes: round(median(cold.map(({ diskBytes }) => diskBytes)) / records),
      resumeMs: round(median(resumeMs), 1),
      liveWrites: liveMs.length,
      liveP50Ms: round(quantile(liveMs, 0.5), 2),
      liveP99Ms: round(quantile(liveMs, 0.99), 2),
      ...(packs
        ? { bulkPerSecond: round(records / packedSeconds), bulkSinglePerSecond: bulkPerSecond }
        : { bulkPerSecond }),
    };
  }

  async #start(call, argument) {
    const side = new Side(this.#system.id);
    this.#sides.add(side);
    side.exited.then((how) => {
      if (this.#sides.has(side)) this.#died.reject(new Error(`a process of ${this.#system.id} ended with ${how}`));
    });
    await side.call(call, argument);
    return side;
  }

  async #stop(side) {
    this.#sides.delete(side);
    await side.stop();
  }

  async #filledSender() {
    const sender = await this.#start('sender', this.#path('sender'));
    return { sender, bulkSeconds: await sender.call('bulk', { from: 0, count: this.#system.records }) };
  }

  /** Into a log of its own: what the receivers get has one record to a commit. */
  async #packedSeconds() {
    const sender = await this.#start('sender', this.#path('packed'));
    const seconds = await sender.call('packed', this.#system.records);
    await this.#stop(sender);
    return seconds;
  }

  async #coldSync() {
    const folder = this.#path('receiver');
    const address = await this.#sender.call('address');
    const receiver = await this.#start('receiver', { folder, address });
    const ms = await receiver.call('catchUp', { address, count: this.#system.records });
    await this.#stop(receiver);
    const diskBytes = await folderBytes(folder);
    await rm(folder, { recursive: true, force: true });
    return { ms, diskBytes };
  }

  /** The receiver stays, without a connection. */
  async #countedSync() {
    const address = await this.#sender.call('address');
    const proxy = await countingProxy(address.port);
    const through = { ...address, port: proxy.port };
    const receiver = await this.#start('receiver', { folder: this.#path('follower'), address: through });
    await receiver.call('catchUp', { address: through, count: this.#system.records });
    await receiver.call('leave');
    proxy.close();
    return { receiver, address, wireBytes: proxy.count.bytes };
  }

  async #liveMs(receiver, address, count) {
    const writes = WARM + this.#system.live;
    await this.#sender.call('prepare', { from: count, count: writes });
    await receiver.call('follow', { address, count });
    const all = [];
    for (let i = 1; i <= writes; i++) {
      const seen = receiver.call('seen', count + i);
      // If the write fails, that is told, and not what becomes of this.
      seen.catch(() => {});
      const began = await this.#sender.call('write');
      all.push((await seen) - began);
    }
    return all.slice(WARM);
  }
}

function round(value, digits = 0) {
  return Number(value.toFixed(digits));
}

/** Plain LMDB, with the same records. */
async function floorOf(path) {
  const rates = [];
  for (let i = 0; i < RUNS; i++) {
    const { records, seconds } = await runProgram('floor', [path('floor'), MANY.records, 1]);
    rates.push(records / seconds);
  }
  return { name: 'plain LMDB, no network', recordsPerSecond: round(median(rates)) };
}

const COLUMNS = {
  records: 'records',
  recordsPerSecond: 'cold/s',
  wireBytes: 'B wire',
  diskBytes: 'B disk',
  resumeMs: 'resume ms',
  liveP50Ms: 'live p50',
  liveP99Ms: 'live p99',
  bulkPerSecond: 'bulk/s',
};
function printLine(result) {
  const cells = Object.keys(COLUMNS).map((key) => result[key].toLocaleString('en').padStart(11));
  process.stdout.write(`${result.name.padEnd(18)}${cells.join('')}\n`);
}

const known = SYSTEMS.map(({ id }) => id);
const wanted = values.only?.split(',') ?? known;
const unknown = wanted.filter((id) => !known.includes(id));
if (unknown.length > 0) throw new Error(`--only takes ${known.join(', ')}, not ${unknown.join(', ')}`);

const began = performance.now();
const results = [];
const failed = [];
let floor;
printLine({ name: '', ...COLUMNS });
await withFolder(async (folder) => {
  let made = 0;
  const path = (name) => join(folder, `${++made}-${name}`);
  floor = await floorOf(path);
  for (const system of SYSTEMS.filter(({ id }) => wanted.includes(id))) {
    // One that isn't installed, or fails, doesn't take the others with it; but the run has failed then.
    try {
      const result = await new Measurement(system, path).all();
      results.push(result);
      printLine(result);
    } catch (error) {
      failed.push(system.name);
      process.stderr.write(`${system.name}: ${error.stack}\n`);
    }
  }
});
const report = {
  date: new Date().toISOString().slice(0, 10),
  mode: sized('quick', 'full'),
  machine: machineHere(),
  runs: RUNS,
  warmWrites: WARM,
  floor,
  results,
};
const whole = !values.quick && !values.only && failed.length === 0;
const target = values.json ?? (whole ? fileURLToPath(new URL('results.json', import.meta.url)) : null);
if (target) await writeFile(target, `${JSON.stringify(report, null, 2)}\n`);
process.stderr.write(`${((performance.now() - began) / 1000).toFixed(0)} s; plain LMDB ${floor.recordsPerSecond}/s\n`);
if (failed.length > 0) process.stderr.write(`failed: ${failed.join(', ')}\n`);
process.exit(failed.length > 0 ? 1 : 0);

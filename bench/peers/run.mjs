/**
 * The same records through other systems and through Tidelog, sender and receiver in two processes over loopback.
 *
 *   cd bench/peers && npm ci && cd ../.. && npm run bench:peers          [-- --quick] [-- --only pouchdb,yjs]
 *
 * A whole run writes results.json beside this file; `node scripts/comparison.ts` makes the picture and the table from it.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { coldSync } from '../cold-sync.ts';
import { machineHere } from '../report.ts';
import { folderBytes, median, tidelog, withFolder, writeNdjson } from '../support.ts';
import { countingProxy, start } from './common.mjs';

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, only: { type: 'string' } } });
/** Records: fewer for those that would take minutes. */
const FULL = values.quick ? 20_000 : 100_000;
const FEWER = values.quick ? 5_000 : 20_000;
const RUNS = values.quick ? 1 : 3;

/** `extra` are the arguments that the receiver takes from what the sender said. */
const SYSTEMS = [
  { id: 'yjs', name: 'Yjs', records: FULL, extra: () => [] },
  { id: 'nats', name: 'NATS JetStream', records: FULL, extra: () => [] },
  { id: 'hypercore', name: 'Hypercore', records: FEWER, extra: ({ key }) => [key] },
  { id: 'pouchdb', name: 'PouchDB', records: FEWER, extra: () => [] },
];

async function fresh(folder) {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  return folder;
}

async function other({ id, name, records: N, extra }, root) {
  const sender = start(`${id}.mjs`, 'send', N, await fresh(join(root, 'send')));
  try {
    const said = await sender.next();
    const receive = async (port) => {
      const folder = await fresh(join(root, 'receive'));
      const receiver = start(`${id}.mjs`, 'receive', N, folder, port, ...extra(said));
      try {
        const { seconds, has } = await receiver.next();
        if (has < N) throw new Error(`${name}: the receiver has ${has} of ${N}`);
        return { seconds, diskBytes: await folderBytes(folder) };
      } finally {
        await receiver.stop();
      }
    };
    const runs = [];
    for (let i = 0; i < RUNS; i++) runs.push(await receive(said.port));
    const proxy = await countingProxy(said.port);
    await receive(proxy.port);
    proxy.close();
    const disk = runs[0].diskBytes;
    return result({ id, name, records: N }, runs, proxy.count.bytes, disk < N ? null : disk, N / said.writeSeconds);
  } finally {
    await sender.stop();
  }
}

function result({ id, name, records: N }, runs, wireBytes, diskBytes, writesPerSecond) {
  return {
    id,
    name,
    records: N,
    recordsPerSecond: Math.round(N / median(runs.map(({ seconds }) => seconds))),
    wireBytes: Math.round(wireBytes / N),
    diskBytes: diskBytes === null ? null : Math.round(diskBytes / N),
    writesPerSecond: Math.round(writesPerSecond),
  };
}

/** Tidelog by its own benchmark's programs; the floor is taken in the same runs. */
async function ours(root) {
  const N = FULL;
  const dataDir = join(root, 'tidelog');
  const input = join(root, 'input.ndjson');
  await writeNdjson(input, N / 100, 100);
  await tidelog('--data', join(root, 'packed'), 'init');
  const started = performance.now();
  await tidelog('--data', join(root, 'packed'), 'import', input);
  const imported = N / ((performance.now() - started) / 1000);
  await writeNdjson(input, N, 1);
  await tidelog('--data', dataDir, 'init');
  await tidelog('--data', dataDir, 'import', input);
  const bench = { dataDir, runs: RUNS, path: (name) => join(root, name) };
  const full = await coldSync(bench, { commits: N, perCommit: 1 }, 'writer');
  const mirror = await coldSync(bench, { commits: N, perCommit: 1 }, 'mirror');
  const of = (id, name, { received, wireBytes }) =>
    result(
      { id, name, records: N },
      received,
      wireBytes,
      median(received.map(({ storeBytes }) => storeBytes)),
      imported,
    );
  return {
    floor: { id: 'floor', name: 'plain LMDB, no network', recordsPerSecond: Math.round(full.recordsPerSecond) },
    results: [of('tidelog-mirror', 'Tidelog, mirror', mirror), of('tidelog', 'Tidelog, full node', full)],
  };
}

const wanted = values.only?.split(',');
const results = [];
let floor = null;
await withFolder(async (root) => {
  if (!wanted || wanted.includes('tidelog')) {
    const own = await ours(root);
    floor = own.floor;
    results.push(...own.results);
  }
  for (const system of SYSTEMS) {
    if (wanted && !wanted.includes(system.id)) continue;
    process.stderr.write(`${system.name}…\n`);
    results.push(await other(system, root));
  }
});
for (const { name, recordsPerSecond, wireBytes, diskBytes, writesPerSecond } of results)
  process.stdout.write(
    `${name.padEnd(24)} ${String(recordsPerSecond).padStart(9)} records/s  ${String(wireBytes).padStart(5)} B wire  ${String(diskBytes ?? '–').padStart(5)} B disk  ${String(writesPerSecond).padStart(9)} writes/s\n`,
  );
const report = { date: new Date().toISOString().slice(0, 10), machine: machineHere(), runs: RUNS, floor, results };
// Fewer records or systems are for a look; the picture and the table are of a whole run.
if (!wanted && !values.quick)
  await writeFile(new URL('results.json', import.meta.url), `${JSON.stringify(report, null, 2)}\n`);
process.exit(0);

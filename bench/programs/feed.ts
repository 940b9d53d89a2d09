/**
 * Makes a space of many devices, each with a chain of its own, and gives it to a node by the way that anything takes into a node: as a peer, over a socket.
 * Afterwards the node has the log and is an owner.
 *
 *   node bench/programs/feed.ts '{"url", "node", "seed", "chains", "commits", "run"}'
 */
import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { dial } from '../../conformance/socket.ts';
import { Line } from '../../conformance/line.ts';
import { initiate } from '../../conformance/wire.ts';
import { World, type Author } from '../../conformance/world.ts';
import type { Dependency } from '../../protocol/body.ts';
import { fromHex } from '../../protocol/bytes.ts';
import { formatDeviceId, parseDeviceId } from '../../protocol/device-id.ts';
import { syncUrl } from '../../protocol/pair-link.ts';
import { makeCommits } from '../support.ts';

export interface FeedJob {
  readonly url: string;
  /** Device ID of the node, which trusts the feeder. */
  readonly node: string;
  /** Of the feeder's key, hex. */
  readonly seed: string;
  readonly chains: number;
  readonly commits: number;
  /** Commits that a device writes in a row before the next one's turn. */
  readonly run: number;
}

/** Of a busy machine, ms. */
const PATIENCE_MS = 300_000;

const job = JSON.parse(process.argv[2]!) as FeedJob;
const feeder = { keys: nodeCrypto.ed25519KeyPair(fromHex(job.seed)!), id: '', name: 'feeder' };
const world = World.found({ ...feeder, id: formatDeviceId(feeder.keys.public) }, 'many devices');
const nodeKey = parseDeviceId(job.node);
world.grant({ keys: { ...feeder.keys, public: nodeKey }, id: job.node, name: 'node' }, 'owner');

const authors: Author[] = [];
for (let i = 0; i < job.chains; i++) {
  const seed = new Uint8Array(32);
  new DataView(seed.buffer).setUint32(0, i + 1);
  const keys = nodeCrypto.ed25519KeyPair(seed);
  const device = { keys, id: formatDeviceId(keys.public), name: `device ${i}` };
  world.grant(device, 'writer');
  authors.push(world.author(device));
}

/**
 * A run begins with what its author has seen since its last: here the run before it, and at first the owner's chain, which made it a writer.
 * To name the heads of all others each time would be legal too, and the bytes of a thousand names would be what is measured.
 */
let before: Author = world.owner;
let written = 0;
const changesOf = makeCommits(job.commits, 1);
const headOf = ({ chain, commits }: Author): Dependency => ({ chain: chain.id, seq: commits.length });
while (written < job.commits) {
  for (const author of authors) {
    const seen = new Set(author.commits.length === 0 ? [world.owner, before] : [before]);
    seen.delete(author);
    for (let i = 0; i < job.run && written < job.commits; i++, written++)
      author.write(changesOf.next().value!, { deps: i === 0 ? [...seen].map(headOf) : [] });
    before = author;
    if (written === job.commits) break;
  }
}

const socket = await dial(syncUrl(job.url));
const wire = await initiate(socket, { ...feeder, id: formatDeviceId(feeder.keys.public) }, { patienceMs: PATIENCE_MS });
const line = new Line(wire, world);
await line.greet();
await line.push();
await wire.close();
process.stdout.write(`${JSON.stringify({ head: world.head })}\n`);
process.exit(0);

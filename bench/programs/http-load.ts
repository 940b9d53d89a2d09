/**
 * Load on a node's HTTP interface, by autocannon.
 *
 *   node bench/programs/http-load.ts '{"url", "token", "kind", "connections", "seconds", "resources"}'
 */
import autocannon from 'autocannon';
import { makeCommits, randomOf } from '../support.ts';

export type Kind = 'healthz' | 'get' | 'scan' | 'put';
export interface LoadJob {
  readonly url: string;
  readonly token: string;
  readonly kind: Kind;
  readonly connections: number;
  readonly seconds: number;
  /** `note/0` to `note/<n-1>` are there. */
  readonly resources: number;
}
export interface Load {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const job = JSON.parse(process.argv[2]!) as LoadJob;
const random = randomOf(1);
const [changes] = makeCommits(1, 1);
const body = JSON.stringify(changes![0]!.ops.set);
let next = 0;

const REQUESTS: Readonly<Record<Kind, () => { method?: 'GET' | 'PUT'; path: string; body?: string }>> = {
  healthz: () => ({ path: '/healthz' }),
  get: () => ({ path: `/v1/resources/note/${random(job.resources)}` }),
  scan: () => ({ path: `/v1/resources?prefix=note/${100 + random(900)}&limit=100` }),
  put: () => ({ method: 'PUT', path: `/v1/resources/put/${job.connections}-${next++}`, body }),
};

const result = await autocannon({
  url: job.url,
  connections: job.connections,
  duration: job.seconds,
  headers: { authorization: `Bearer ${job.token}` },
  requests: [{ setupRequest: (request) => ({ ...request, ...REQUESTS[job.kind]() }) }],
});
if (result.non2xx + result.errors > 0)
  throw new Error(`${job.kind}: ${result.non2xx} answers that are no success, ${result.errors} errors`);
const load: Load = {
  perSecond: result.requests.total / result.duration,
  p50Ms: result.latency.p50,
  p99Ms: result.latency.p99,
};
process.stdout.write(`${JSON.stringify(load)}\n`);
process.exit(0);

/** Reads and writes over HTTP, by autocannon in a process of its own. A write's answer means that it is on the disk. */
import { fsyncRates, rateOf } from '../disk.ts';
import type { Row } from '../lab.ts';
import { BenchNode } from '../node.ts';
import type { Kind, Load, LoadJob } from '../programs/http-load.ts';
import type { Figure } from '../report.ts';
import { runProgram } from '../support.ts';

const LOADS: readonly { kind: Kind; connections: number; what: string }[] = [
  { kind: 'get', connections: 1, what: 'HTTP: get' },
  { kind: 'get', connections: 64, what: 'HTTP: get' },
  { kind: 'scan', connections: 64, what: 'HTTP: prefix scan, up to 100 resources' },
  { kind: 'put', connections: 1, what: 'HTTP: put, durable' },
  { kind: 'put', connections: 64, what: 'HTTP: put, durable' },
];

export const httpRow: Row = {
  name: 'http',
  async run(lab) {
    const resources = lab.sizes.commits[0]!;
    const dataDir = await lab.copyOf(await lab.sender({ commits: resources, perCommit: 1 }));
    const node = await BenchNode.start(dataDir);
    try {
      const load = (kind: Kind, connections: number): Promise<Load> => {
        const job: LoadJob = {
          url: node.url,
          token: node.token,
          kind,
          connections,
          seconds: lab.sizes.httpSeconds,
          resources,
        };
        return runProgram<Load>('http-load', [JSON.stringify(job)]);
      };
      const { appendMs } = await fsyncRates(lab.folder, lab.sizes.localWrites);
      const fsync = { what: 'append of 200 bytes with fsync', value: rateOf(appendMs) };
      const bare = new Map<number, number>();
      const figures: Figure[] = [];
      for (const { kind, connections, what } of LOADS) {
        if (kind !== 'put' && !bare.has(connections))
          bare.set(connections, (await load('healthz', connections)).perSecond);
        const { perSecond, p50Ms, p99Ms } = await load(kind, connections);
        figures.push({
          what: `${what}, ${connections} at a time`,
          value: perSecond,
          unit: '/s',
          better: 'more',
          floor: kind === 'put' ? fsync : { what: 'GET /healthz of the same node', value: bare.get(connections)! },
          note: `p50 ${p50Ms} ms, p99 ${p99Ms} ms`,
        });
      }
      return figures;
    } finally {
      await node.stop();
    }
  },
};

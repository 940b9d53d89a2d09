/** Cold sync of an empty full node over loopback, both nodes in their own processes, all of it on the receiver's disk at the end. */
import { join } from 'node:path';
import type { Received } from '../receive.ts';
import {
  median,
  peakMemoryOf,
  runScript,
  startNode,
  tidelog,
  withFolder,
  writeNdjson,
  type Figure,
} from '../support.ts';

export async function coldSync(commits: number, perCommit: number, runs: number): Promise<Figure[]> {
  return withFolder(async (folder) => {
    const sender = join(folder, 'sender');
    const work = join(folder, 'work.ndjson');
    await writeNdjson(work, commits, perCommit);
    await tidelog('--data', sender, 'init', '--name', 'sender');
    const importStarted = performance.now();
    await tidelog('--data', sender, 'import', work);
    const importSeconds = (performance.now() - importStarted) / 1000;
    const node = await startNode(sender);
    const received: Received[] = [];
    try {
      for (let i = 0; i < runs; i++) {
        const invite = JSON.parse(await tidelog('--data', sender, '--json', 'pair', 'invite', '--no-wait')) as {
          link: string;
        };
        received.push(await runScript<Received>('receive.ts', [invite.link, join(folder, `receiver-${i}`)]));
      }
      const of = (pick: (one: Received) => number): number => median(received.map(pick));
      const label = `${commits.toLocaleString('en')} × ${perCommit}`;
      const resources = commits * perCommit;
      return [
        { what: `cold sync ${label}`, value: of((r) => r.commits / r.seconds), unit: 'commits/s' },
        ...(perCommit > 1
          ? [{ what: `cold sync ${label}`, value: of((r) => r.subjects / r.seconds), unit: 'resources/s' }]
          : []),
        {
          what: `wire ${label}`,
          value: of((r) => r.wireBytes / resources),
          unit: perCommit > 1 ? 'bytes/resource' : 'bytes/commit',
        },
        {
          what: `log on disk ${label}`,
          value: of((r) => r.logBytes / resources),
          unit: perCommit > 1 ? 'bytes/resource' : 'bytes/commit',
        },
        {
          what: `whole store on disk ${label}`,
          value: of((r) => r.diskBytes / resources),
          unit: perCommit > 1 ? 'bytes/resource' : 'bytes/commit',
        },
        {
          what: `receiver's CPU ${label}`,
          value: of((r) => (r.cpuSeconds * 1e6) / resources),
          unit: perCommit > 1 ? 'µs/resource' : 'µs/commit',
        },
        { what: `receiver's memory ${label}`, value: of((r) => (r.peakBytes ?? 0) / 1e6), unit: 'MB peak' },
        {
          what: `sender's memory ${label}`,
          value: ((await peakMemoryOf(node.process.pid!)) ?? 0) / 1e6,
          unit: 'MB peak',
          note: `${runs} receivers, one after another`,
        },
        {
          what: `import ${label}`,
          value: resources / importSeconds,
          unit: perCommit > 1 ? 'resources/s' : 'commits/s',
          note: 'the whole command, start and end included',
        },
      ];
    } finally {
      await node.stop();
    }
  });
}

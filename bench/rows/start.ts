/** The start of a node with all its commits: from the spawn of its process to the line that says that it takes connections. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Row } from '../lab.ts';
import { BenchNode } from '../node.ts';
import { median } from '../support.ts';

const STARTS = 5;

export const startRow: Row = {
  name: 'start',
  async run(lab) {
    const commits = lab.sizes.commits.at(-1)!;
    const { dataDir } = await lab.sender({ commits, perCommit: 1 });
    const ms: number[] = [];
    const nodeMs: number[] = [];
    for (let i = 0; i < STARTS; i++) {
      const before = performance.now();
      await once(spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' }), 'exit');
      nodeMs.push(performance.now() - before);
      const node = await BenchNode.start(dataDir);
      ms.push(node.startMs);
      await node.stop();
    }
    return [
      {
        what: `start with ${commits.toLocaleString('en')} commits`,
        value: median(ms),
        unit: 'ms',
        better: 'less',
        target: 500,
        floor: { what: "Node's own start and end, with nothing to do", value: median(nodeMs) },
      },
    ];
  },
};

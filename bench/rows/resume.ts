/** Back after an absence in which 1,000 commits were written, and nothing else to say: from connect to caught up, on the disk. */
import type { Row } from '../lab.ts';
import { runProgram, median } from '../support.ts';
import type { Floor } from '../programs/floor.ts';
import { Together } from '../together.ts';

const ROUNDS = 5;

export const resumeRow: Row = {
  name: 'resume',
  async run(lab) {
    const { commits, missed } = lab.sizes;
    const dataDir = await lab.copyOf(await lab.sender({ commits: commits[0]!, perCommit: 1 }));
    const both = await Together.start(lab, dataDir);
    try {
      const rounds: number[] = [];
      const floors: number[] = [];
      const fresh: number[] = [];
      for (let i = 0; i < ROUNDS; i++) {
        floors.push((await runProgram<Floor>('floor', [lab.path('floor'), missed, 1])).seconds * 1000);
        rounds.push(await both.resume(missed));
      }
      for (let i = 0; i < Math.ceil(ROUNDS / 2); i++) fresh.push(await both.resume(missed, true));
      const floor = { what: 'plain lmdb putting as many records', value: median(floors) };
      const what = `resume, ${missed.toLocaleString('en')} new commits`;
      return [
        {
          what,
          value: median(rounds),
          unit: 'ms',
          better: 'less',
          target: 40,
          floor,
          note: `a process that was offline; ${ROUNDS} absences, the first ${rounds[0]!.toFixed(0)} ms`,
        },
        { what: `${what}, in a new process`, value: median(fresh), unit: 'ms', better: 'less', floor },
      ];
    } finally {
      await both.stop();
    }
  },
};

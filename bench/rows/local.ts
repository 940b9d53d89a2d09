/** Local writes, durable: one at a time, 64 at a time, and in bulk. */
import type { Lab, Row } from '../lab.ts';
import { fsyncRates, rateOf } from '../disk.ts';
import type { Local } from '../programs/local.ts';
import type { Figure } from '../report.ts';
import { median, runProgram } from '../support.ts';
import { PER_COMMIT } from './packed.ts';

const AT_ONCE = 64;

export const localRow: Row = {
  name: 'local',
  async run(lab) {
    const { localWrites, warmUp, runs } = lab.sizes;
    const appends: number[] = [];
    const inPlace: number[] = [];
    const newlyStarted: number[] = [];
    const single: number[] = [];
    const many: number[] = [];
    for (let i = 0; i < runs; i++) {
      const rates = await fsyncRates(lab.folder, localWrites);
      appends.push(rateOf(rates.appendMs));
      inPlace.push(rateOf(rates.inPlaceMs));
      newlyStarted.push(await writeRate(lab, warmUp, 1, 0));
      single.push(await writeRate(lab, localWrites, 1, warmUp));
      many.push(await writeRate(lab, localWrites * 20, AT_ONCE, warmUp));
    }
    const floor = { what: 'append of 200 bytes with fsync', value: median(appends) };
    return [
      { what: 'disk: append of 200 bytes, fsync', value: median(appends), unit: '/s' },
      { what: 'disk: 200 bytes in place, fdatasync', value: median(inPlace), unit: '/s' },
      {
        what: 'local writes, one at a time',
        value: median(single),
        unit: 'commits/s',
        better: 'more',
        floor,
        ratioTarget: 0.8,
      },
      {
        what: `local writes, one at a time, the first ${warmUp.toLocaleString('en')} of a new process`,
        value: median(newlyStarted),
        unit: 'commits/s',
      },
      {
        what: `local writes, ${AT_ONCE} at a time`,
        value: median(many),
        unit: 'commits/s',
        better: 'more',
        target: 25_000,
        floor,
      },
      ...(await imports(lab)),
    ];
  },
};

async function writeRate(lab: Lab, count: number, atOnce: number, warmUp: number): Promise<number> {
  return count / (await runProgram<Local>('local', [lab.path('local'), count, atOnce, warmUp])).seconds;
}

async function imports(lab: Lab): Promise<Figure[]> {
  const { commits, packed, runs } = lab.sizes;
  const figures: Figure[] = [];
  for (const work of [
    { commits: packed, perCommit: PER_COMMIT },
    { commits: commits[0]!, perCommit: 1 },
  ]) {
    const resources = work.commits * work.perCommit;
    const seconds = [(await lab.sender(work)).importSeconds];
    for (let i = 1; i < runs; i++) seconds.push((await lab.buildSender(work)).importSeconds);
    figures.push({
      what: `import, ${work.commits.toLocaleString('en')} × ${work.perCommit}`,
      value: resources / median(seconds),
      unit: 'resources/s',
      ...(work.perCommit > 1 && { better: 'more' as const, target: 250_000 }),
      note: 'the whole command, start and end included',
    });
  }
  return figures;
}

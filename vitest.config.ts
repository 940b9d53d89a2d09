import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const report = process.env['TIDELOG_TEST_REPORT'];

/** They take minutes, most of it waiting: begun first, they go on beside all others. */
const LONGEST = ['conformance/kit.test.ts', 'examples/python.test.ts', 'flood/flood.test.ts'];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification): boolean => LONGEST.some((name) => moduleId.endsWith(name));
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Two cores and real processes: what takes 5 s alone may take four times that beside others.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Many wait for processes, disks and clocks most of their time: with a worker for each core two fifths of both cores were idle.
    maxWorkers: availableParallelism() + 1,
    // Of tests that start processes of their own.
    maxConcurrency: 2,
    sequence: { sequencer: LongestFirst },
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
  },
});

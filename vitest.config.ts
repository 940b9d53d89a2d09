import { defineConfig } from 'vitest/config';

const report = process.env['TIDELOG_TEST_REPORT'];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Two cores and real processes: what takes 5 s alone may take four times that beside others.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // Of tests that start processes of their own.
    maxConcurrency: 2,
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
  },
});

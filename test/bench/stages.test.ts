/** A profile added up by stages: files say the stage, Node's own code belongs to its caller, and only the window counts. */
import { expect, test } from 'vitest';
import { stagesOf, WAITING, type CpuProfile } from '../../bench/stages.ts';

const frame = (functionName: string, url = ''): { functionName: string; url: string } => ({ functionName, url });
const profile: CpuProfile = {
  nodes: [
    { id: 1, callFrame: frame('(root)'), children: [2, 3, 4, 6] },
    { id: 2, callFrame: frame('(idle)') },
    { id: 3, callFrame: frame('(garbage collector)') },
    { id: 4, callFrame: frame('apply', 'file:///x/client/replica/state.ts'), children: [5] },
    { id: 5, callFrame: frame('slice'), children: [] },
    { id: 6, callFrame: frame('run', 'node:internal/something'), children: [7] },
    { id: 7, callFrame: frame('hash', 'node:internal/crypto/hash') },
  ],
  startTime: 1_000_000,
  endTime: 1_001_000,
  samples: [2, 4, 5, 3, 7, 6, 4],
  timeDeltas: [0, 100, 100, 100, 100, 100, 100],
};

test('stages are found by file, and by the caller where there is no file', () => {
  expect(Object.fromEntries(stagesOf(profile, { fromMs: 0, toMs: 10_000 }))).toEqual({
    [WAITING]: 100,
    'state and merging': 200,
    'garbage collection': 100,
    'SHA-256': 100,
    'all else': 100,
  });
});

test('what is outside the window is left out', () => {
  expect(Object.fromEntries(stagesOf(profile, { fromMs: 1000.15, toMs: 1000.35 }))).toEqual({
    'state and merging': 100,
    'garbage collection': 100,
  });
});

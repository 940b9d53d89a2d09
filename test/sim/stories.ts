/** Histories that once went wrong, or that no seed comes upon easily: each is played as it stands. */
import type { Role } from '../../protocol/membership.ts';
import type { Action, DeviceSpec, Scenario } from './scenario.ts';

const TRAITS = { readsPending: false, slowReads: false, latencyUs: 100 };

function device(role: Role): DeviceSpec {
  return { role, traits: TRAITS, dials: 'own' };
}

function write(gapMs: number, who: number, times: number): Action {
  return { gapMs, do: 'write', who, times, changes: [['a', { set: { x: 1 } }]] };
}

export interface Story {
  readonly name: string;
  readonly scenario: Scenario;
}

/**
 * d0 stands between d1 and d2. What it writes while d2 is away reaches d1 alone, whose cursor in its log moves with that. Then its disk goes back, and what d2
 * wrote takes the places in its log that d1's cursor has passed. Told from there on, d1 lacked that for ever: the epoch was the same.
 */
function cursorPastARollback(count: number, where: string): Story {
  const actions: Action[] = [
    write(1000, 1, 3),
    { gapMs: 2000, do: 'backup', who: 0 },
    { gapMs: 0, do: 'isolate', who: 2, forMs: 45_000 },
    write(1000, 0, 5),
    { gapMs: 20_000, do: 'isolate', who: 1, forMs: 150_000 },
    { gapMs: 0, do: 'rollback', who: 0, downMs: 40_000, waits: true },
    write(1000, 2, count),
    { gapMs: 160_000, do: 'look', who: 1 },
  ];
  const devices = [device('owner'), device('writer'), device('writer')];
  return {
    name: `a log goes back and grows again ${where} the cursor of one who was away`,
    scenario: { seed: `cursor past a rollback ${count}`, topology: 'star', devices, actions },
  };
}

export const STORIES: readonly Story[] = [
  cursorPastARollback(4, 'to below'),
  cursorPastARollback(5, 'just to'),
  cursorPastARollback(6, 'past'),
];

/** What a target is met by, and what the guard calls a regression. */
import { describe, expect, test } from 'vitest';
import {
  cellsOf,
  compare,
  guardedRatios,
  isMet,
  lineOf,
  ratioOf,
  TOLERANCE,
  type RowFigure,
} from '../../bench/report.ts';

const speed: RowFigure = {
  row: 'cold-sync',
  what: 'cold sync',
  value: 160_000,
  unit: 'commits/s',
  better: 'more',
  target: 150_000,
  floor: { what: 'plain lmdb', value: 1_000_000 },
  ratioTarget: 0.2,
};
const latency: RowFigure = {
  row: 'live',
  what: 'live',
  value: 2,
  unit: 'ms p50',
  better: 'less',
  target: 1,
  floor: { what: 'fsync', value: 0.5 },
};
const bytes: RowFigure = { row: 'wire', what: 'wire', value: 100, unit: 'bytes', better: 'less', target: 110 };
const told: RowFigure = { row: 'disk', what: 'disk', value: 5000, unit: '/s' };

describe('a target', () => {
  test('is met only where both its number and its share of the floor are', () => {
    expect(isMet(speed)).toBe(false);
    expect(isMet({ ...speed, value: 200_000 })).toBe(true);
    expect(isMet({ ...speed, floor: { what: 'plain lmdb', value: 800_000 } })).toBe(true);
    expect(isMet({ ...speed, value: 149_999, floor: { what: 'plain lmdb', value: 1 } })).toBe(false);
  });

  test('is an upper bound where less is better', () => {
    expect([latency, bytes].map(isMet)).toEqual([false, true]);
    expect(isMet({ ...latency, value: 1 })).toBe(true);
  });

  test('is not judged where there is none', () => {
    expect(isMet(told)).toBe(null);
    expect(cellsOf(told)).toEqual(['disk', '5,000', '/s', '', '', '', '']);
  });
});

test('a ratio to the floor grows as we get better, whichever way that is', () => {
  expect(ratioOf(speed)).toBeCloseTo(0.16);
  expect(ratioOf(latency)).toBeCloseTo(0.25);
  expect(ratioOf({ ...latency, value: 1 })).toBeCloseTo(0.5);
});

test('colours are for terminals', () => {
  expect(lineOf(speed, false)).not.toContain('\u001B');
  expect(lineOf(speed, true)).toContain('\u001B');
  expect(lineOf(told, true)).not.toContain('\u001B');
});

describe('the guard', () => {
  const recorded = guardedRatios([speed, latency, bytes, told]);

  test('compares with the floor, with the target where there is no floor, and nothing else', () => {
    expect(recorded).toEqual({
      'cold-sync: cold sync (commits/s)': 0.16,
      'live: live (ms p50)': 0.25,
      'wire: wire (bytes)': 1.1,
    });
  });

  test('lets noise pass', () => {
    const slower = { ...speed, value: speed.value * (TOLERANCE + 0.01) };
    expect(compare(recorded, [slower, latency, bytes])).toEqual({ compared: 3, regressions: [] });
  });

  test('names what fell too far, in either direction of better', () => {
    const fallen = [
      { ...speed, value: speed.value * (TOLERANCE - 0.01) },
      { ...latency, value: latency.value / (TOLERANCE - 0.01) },
      bytes,
    ];
    const { compared, regressions } = compare(recorded, fallen);
    expect(compared).toBe(3);
    expect(regressions.map(({ key }) => key)).toEqual(['cold-sync: cold sync (commits/s)', 'live: live (ms p50)']);
  });

  test('sees a machine that is slower as a whole as no regression', () => {
    const slowMachine = {
      ...speed,
      value: speed.value / 3,
      floor: { what: 'plain lmdb', value: speed.floor!.value / 3 },
    };
    expect(compare(recorded, [slowMachine]).regressions).toEqual([]);
  });

  test('does not judge what was never recorded', () => {
    expect(compare({}, [speed])).toEqual({ compared: 0, regressions: [] });
  });
});

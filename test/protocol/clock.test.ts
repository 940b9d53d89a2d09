import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isFromTheFuture, observe, tick, type Clock } from '../../protocol/clock.ts';

const DAY_US = 24 * 3600 * 1e6;
const NOW = 1_700_000_000_000_000;

test('follows the platform, and never stands still or goes back', () => {
  expect(tick({ last: 0 }, NOW)).toEqual({ last: NOW });
  expect(tick({ last: NOW - 1 }, NOW)).toEqual({ last: NOW });
  expect(tick({ last: NOW }, NOW)).toEqual({ last: NOW + 1 });
  expect(tick({ last: NOW + 5000 }, NOW)).toEqual({ last: NOW + 5001 });
});

test('is later than what it has seen', () => {
  expect(tick(observe({ last: NOW }, NOW + 7, NOW), NOW)).toEqual({ last: NOW + 8 });
  expect(observe({ last: NOW + 7 }, NOW, NOW)).toEqual({ last: NOW + 7 });
});

test('24 hours ahead are believed, and a microsecond more is not', () => {
  expect(isFromTheFuture(NOW + DAY_US, NOW)).toBe(false);
  expect(isFromTheFuture(NOW + DAY_US + 1, NOW)).toBe(true);
  expect(observe({ last: NOW }, NOW + DAY_US, NOW)).toEqual({ last: NOW + DAY_US });
  expect(observe({ last: NOW }, NOW + DAY_US + 1, NOW)).toEqual({ last: NOW });
});

test('ends at the last number that counts', () => {
  expect(tick({ last: Number.MAX_SAFE_INTEGER }, NOW).last).toBe(Number.MAX_SAFE_INTEGER);
});

test('whatever happens, times of one device rise, and stay within a day of its clock', () => {
  const step = fc.oneof(
    fc.record({ op: fc.constant('tick' as const), us: fc.integer({ min: -1e9, max: 1e9 }) }),
    fc.record({ op: fc.constant('observe' as const), us: fc.integer({ min: -3 * DAY_US, max: 3 * DAY_US }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
      let clock: Clock = { last: 0 };
      let seen = 0;
      let now = NOW;
      let latest = NOW;
      for (const { op, us } of steps) {
        if (op === 'tick') {
          now += us;
          latest = Math.max(latest, now);
          const next = tick(clock, now);
          expect(next.last).toBeGreaterThan(clock.last);
          expect(next.last).toBeGreaterThan(seen);
          clock = next;
        } else {
          if (us <= DAY_US) seen = Math.max(seen, now + us);
          clock = observe(clock, now + us, now);
        }
        expect(clock.last).toBeLessThanOrEqual(latest + DAY_US + steps.length);
      }
    }),
  );
});

/**
 * The hybrid logical clock: one integer, microseconds since 1970, that never runs backwards and is later than anything
 * its device has seen. It decides only between writes that had not seen each other.
 */
import { CLOCK_AHEAD_MAX_US, INTEGER_MAX } from './constants.ts';

export interface Clock {
  /** The latest of: what this device has written, and what it has seen and believed. µs. */
  readonly last: number;
}

/** The time of the next commit: `max(now, last + 1)`. `nowUs` is the platform's clock. */
export function tick(clock: Clock, nowUs: number): Clock {
  return { last: Math.min(INTEGER_MAX, Math.max(nowUs, clock.last + 1)) };
}

/** A commit from more than 24 h ahead of the local clock: one wrong clock must not drag every other one along. */
export function isFromTheFuture(timeUs: number, nowUs: number): boolean {
  return timeUs > nowUs + CLOCK_AHEAD_MAX_US;
}

/** Merges the time of a commit that was seen, unless it is from the future. */
export function observe(clock: Clock, timeUs: number, nowUs: number): Clock {
  return timeUs <= clock.last || isFromTheFuture(timeUs, nowUs) ? clock : { last: timeUs };
}

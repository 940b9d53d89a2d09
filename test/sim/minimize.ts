/** Makes a failing history small: drops actions, and shortens what is left, as long as the same property fails. */
import type { Action, Scenario } from './scenario.ts';
import { play, type PlayOptions } from './simulation.ts';
import type { Violation } from './world.ts';

export interface Minimized {
  readonly scenario: Scenario;
  readonly violation: Violation;
  readonly tries: number;
}

const TRIES_MAX = 300;

export async function minimize(failed: Scenario, violation: Violation, options: PlayOptions = {}): Promise<Minimized> {
  let best = failed;
  let last = violation;
  let tries = 0;
  const attempt = async (actions: readonly Action[]): Promise<boolean> => {
    if (tries >= TRIES_MAX) return false;
    tries++;
    const scenario = { ...best, actions };
    const outcome = await play(scenario, options);
    if (outcome.violation?.property !== violation.property) return false;
    best = scenario;
    last = outcome.violation;
    return true;
  };

  // The end first: what came after the failure had no part in it.
  for (let size = Math.ceil(best.actions.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = best.actions.length - size; at > -size; at -= size) {
      const from = Math.max(0, at);
      // What an action waited for, the next one waits for too: the rest stays where it was in time.
      const isDropped = await attempt(without(best.actions, from, at + size, true));
      if (!isDropped) await attempt(without(best.actions, from, at + size, false));
    }
  }
  for (let i = 0; i < best.actions.length; i++) {
    const action = best.actions[i]!;
    if (action.do === 'write' && action.times > 1) await attempt(best.actions.with(i, { ...action, times: 1 }));
    if (action.gapMs > 0) await attempt(best.actions.with(i, { ...best.actions[i]!, gapMs: 0 }));
  }
  return { scenario: best, violation: last, tries };
}

function without(actions: readonly Action[], from: number, to: number, keepTime: boolean): readonly Action[] {
  const kept = actions.toSpliced(from, to - from);
  const next = kept[from];
  if (!next || !keepTime) return kept;
  const gapMs = actions.slice(from, to).reduce((sum, action) => sum + action.gapMs, next.gapMs);
  return kept.with(from, { ...next, gapMs });
}

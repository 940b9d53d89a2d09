/** Long work in pieces: whoever asks between two steps is told to wait once it has had its few milliseconds. */

/** null: go on. A promise: others are let run, and then it goes on. */
export type Pace = () => Promise<void> | null;

/** Longer, and a request that comes in the middle waits for it noticeably. */
const WORK_MS = 4;

/** `rest` is told for how long was worked, ms. */
export function newPace(nowMs: () => number, rest: (workedMs: number) => Promise<void>): Pace {
  let begunMs = nowMs();
  return () => {
    const workedMs = nowMs() - begunMs;
    if (workedMs < WORK_MS) return null;
    return rest(workedMs).then(() => {
      begunMs = nowMs();
    });
  };
}

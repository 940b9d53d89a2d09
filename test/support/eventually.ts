import { setTimeout as sleep } from 'node:timers/promises';

/** Waits without fixed sleeps: looks again and again, up to a deadline. */
export async function eventually(
  holds: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`in vain: ${what}`);
    await sleep(10);
  }
}

/** Web Locks, where the page has them: it has none that is no secure context, and then nothing here tells anything. See tabs.ts. */

function locks(): LockManager | undefined {
  return globalThis.navigator?.locks as LockManager | undefined;
}

function leadName(name: string, number: number): string {
  return `${name} lead ${number}`;
}

/** False: surely nobody. */
export async function someoneLeads(name: string): Promise<boolean> {
  const { held } = (await locks()?.query()) ?? {};
  return held === undefined || held.some((lock) => lock.name?.startsWith(`${name} lead `));
}

/** Of all tabs, one at a time does it; but nobody waits longer than `waitMs` for one that stands still. */
export async function oneAtATime(name: string, waitMs: number, work: () => Promise<void>): Promise<void> {
  const manager = locks();
  if (!manager) return work();
  const signal = AbortSignal.timeout(waitMs);
  let isBegun = false;
  const begin = (): Promise<void> => {
    isBegun = true;
    return work();
  };
  try {
    await manager.request(`${name} take`, { signal }, begin);
  } catch (thrown) {
    if (isBegun || !signal.aborted) throw thrown;
    await work();
  }
}

/** Held until the answer is called, or the tab is gone. */
export function leadLock(name: string, number: number): Promise<() => void> {
  const manager = locks();
  if (!manager) return Promise.resolve(() => {});
  return new Promise((resolve, reject) => {
    manager.request(leadName(name, number), () => new Promise<void>((release) => resolve(release))).catch(reject);
  });
}

/** Calls when the tab with a number has let go of its lock. */
export function whenReleased(name: string, number: number, call: () => void): void {
  locks()
    ?.request(leadName(name, number), { mode: 'shared' }, call)
    .catch(() => {});
}

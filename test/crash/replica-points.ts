/**
 * Stands in the place of sweep.ts, rebuild.ts and repair.ts in a program that points.ts was loaded into: the same, and each of their writes is a point to be
 * killed at.
 */
import type { GroupContext } from '../../client/replica/context.ts';
import { rebuild as rebuildReal } from '../../client/replica/rebuild.ts';
import { removeWhatIsLeft as removeReal, repair as repairReal } from '../../client/replica/repair.ts';
import { sweep as sweepReal } from '../../client/replica/sweep.ts';
import type { Store } from '../../client/store.ts';
import { hit } from './points.ts';

type Work = 'rebuild' | 'repair' | 'clearing';

/** What is under way, innermost last. */
const works: Work[] = [];
const watched = new WeakSet<Store>();

function watch(store: Store): void {
  if (watched.has(store)) return;
  watched.add(store);
  const write = store.write.bind(store);
  store.write = async (ops) => {
    const work = works.at(-1);
    if (work) hit(`${work}-write`);
    await write(ops);
    if (work) hit(`${work}-written`);
  };
}

async function within<T>(work: Work, store: Store, run: () => Promise<T>): Promise<T> {
  watch(store);
  works.push(work);
  try {
    return await run();
  } finally {
    works.pop();
  }
}

export function rebuild(...args: Parameters<typeof rebuildReal>): Promise<void> {
  return within('rebuild', args[0].store, () => rebuildReal(...args));
}

export function repair(context: GroupContext): Promise<number> {
  return within('repair', context.store, () => repairReal(context));
}

export function removeWhatIsLeft(store: Store): Promise<void> {
  return within('clearing', store, () => removeReal(store));
}

/** It makes one transaction, which the writer writes. */
export async function sweep(context: GroupContext): ReturnType<typeof sweepReal> {
  hit('sweep-begun');
  const swept = await sweepReal(context);
  hit('sweep-made');
  return swept;
}

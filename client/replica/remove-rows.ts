/** Deleting much of a space, in many transactions: whoever asks for it leaves a note, so that one that was interrupted is done again. */
import type { Store, Table } from '../store.ts';
import { spaceEnd, spaceKey } from '../tables.ts';

const ROWS_PER_WRITE = 5000;

/** Every row of one space in tables whose keys begin with its number. */
export async function removeRows(store: Store, tables: readonly Table[], space: number): Promise<void> {
  for (const table of tables) {
    for (;;) {
      const page = await store.scan(table, { gte: spaceKey(space), lt: spaceEnd(space), limit: ROWS_PER_WRITE });
      if (page.length === 0) break;
      await store.write(page.map(([key]) => ({ table, key, value: null })));
    }
  }
}

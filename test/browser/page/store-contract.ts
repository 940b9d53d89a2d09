/** Runs the store's contract in a page: `await runAll()`. */
import { deleteDB } from 'idb';
import { openIndexedDbStore } from '../../../client/platform/indexeddb-store.ts';
import { storeContract } from '../../contract/store.ts';
import { runAll } from './vitest.ts';

let number = 0;

storeContract('indexeddb', async () => {
  const name = `contract-${++number}`;
  const store = await openIndexedDbStore(name);
  const opened = [store];
  return {
    store,
    async reopen() {
      await store.close();
      const again = await openIndexedDbStore(name);
      opened.push(again);
      return again;
    },
    async dispose() {
      for (const each of opened) await each.close();
      await deleteDB(name);
    },
  };
});

Object.assign(globalThis, { runAll });

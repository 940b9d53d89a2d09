import { MemoryStore } from '../../client/memory-store.ts';
import { storeContract } from '../contract/store.ts';

storeContract('memory', async () => {
  const store = new MemoryStore();
  return { store, dispose: () => store.close() };
});

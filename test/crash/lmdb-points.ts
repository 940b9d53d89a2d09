/** Stands in the place of `lmdb` in a program that points.ts was loaded into: the same, and its writes are points to be killed at. */
import { open as openReal } from 'lmdb';

import { hit, spinUs } from './points.ts';

export function open(options: Parameters<typeof openReal>[0] & object): ReturnType<typeof openReal> {
  const root = openReal(options);
  const batch = root.batch.bind(root);
  root.batch = ((action: () => void) => {
    hit('tables-before');
    const written = batch(action);
    // It is on its way in a thread of its own: pages, flush, meta page.
    const during = spinUs('tables-during');
    if (during !== null) {
      // The thread begins when the loop turns.
      setImmediate(() => {
        const until = performance.now() + during / 1000;
        while (performance.now() < until);
        process.kill(process.pid, 'SIGKILL');
      });
    }
    return Promise.resolve(written).then((value) => {
      hit('tables-after');
      return value;
    });
  }) as typeof root.batch;
  const close = root.close.bind(root);
  root.close = async () => {
    hit('close-before');
    await close();
    hit('close-after');
  };
  return root;
}

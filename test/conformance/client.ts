/**
 * A program on the library, as the client kit wants one:
 *
 *   client.ts DIR run LINK                     joins if DIR has not joined yet; then stays and syncs until it is told to stop
 *   client.ts DIR set SUBJECT PROPERTY JSON    one commit, while it isn't running
 *   client.ts DIR get SUBJECT                  the resource as JSON, or null
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { open, toJson, TidelogError, type Value } from '../../client/node.ts';
import { openLmdbStore } from '../../server/lmdb-store.ts';

const [folder, command, ...args] = process.argv.slice(2);
const db = await open({ store: await openLmdbStore(folder!), name: 'client under test' });

switch (command) {
  case 'run': {
    const ended = new Promise<void>((resolve) => process.once('SIGTERM', () => resolve()));
    if (db.peer.spaces.length === 0) void join(args[0]!);
    // Holds the process: the library's own timers don't.
    const timer = setInterval(() => {}, 1000);
    await ended;
    clearInterval(timer);
    break;
  }
  case 'set':
    await db.set(args[0]!, { [args[1]!]: JSON.parse(args[2]!) as Value }).stored;
    break;
  case 'get':
    console.log(JSON.stringify(toJson((await db.get(args[0]!))?.value ?? null)));
    break;
  default:
    console.error('run, set or get');
    process.exitCode = 2;
}
await db.close();

async function join(link: string): Promise<void> {
  for (;;) {
    try {
      await db.connect(link);
      return;
    } catch (thrown) {
      console.error(thrown instanceof TidelogError ? `${thrown.code}: ${thrown.message}` : thrown);
      if (thrown instanceof TidelogError && !thrown.retry) return;
      await sleep(200);
    }
  }
}

/** What test/server/lmdb-store.test.ts needs a process of its own for: `node lmdb-child.ts SCENARIO FOLDER`. */

import { existsSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import { utf8 } from '../../protocol/bytes.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { openLmdbStore } from '../../server/lmdb-store.ts';
import { beginJournal } from './stores.ts';

const [scenario, folder] = process.argv.slice(2) as [string, string];
/** Past Node's buffers, so that a line is out before the process can be killed or traced any further. */
const say = (line: string): void => void writeSync(1, `${line}\n`);
const codeOf = (error: unknown): string =>
  error instanceof TidelogError ? error.code : `not a TidelogError: ${String(error)}`;
const store = await openLmdbStore(folder);
if (scenario.includes('small')) await beginJournal(store);

switch (scenario) {
  case 'write-for-ever':
    for (let i = 0; ; i++) {
      await store.write([
        { table: 'blocks', key: utf8(`${i}`), value: new Uint8Array(100 + i).fill(i) },
        { table: 'chains', key: utf8(`${i}`), value: utf8(`${i}`) },
      ]);
      say(`${i}`);
    }

  case 'one-small-write':
  case 'one-write':
    say('write begins');
    await store.write([
      { table: 'state', key: utf8('a'), value: new Uint8Array(scenario === 'one-write' ? 200_000 : 1) },
    ]);
    say('write resolved');
    break;

  // Small ones go by the journal, large ones straight to the tables.
  case 'three-small-writes':
  case 'three-writes':
    for (const i of [1, 2, 3]) {
      const value = new Uint8Array(scenario === 'three-writes' ? 200_000 : 1).fill(i);
      const outcome = await store.write([{ table: 'state', key: utf8('a'), value }]).then(() => 'ok', codeOf);
      let read: string;
      try {
        read = String((await store.get('state', utf8('a')))?.[0]);
      } catch (error) {
        read = codeOf(error);
      }
      say(`${i} ${outcome}, reads ${read}`);
    }
    // Closing would write what the journal holds to the tables.
    if (scenario === 'three-small-writes') process.kill(process.pid, 'SIGKILL');
    break;

  case 'fill-with-small-writes':
  case 'fill': {
    const each = scenario === 'fill' ? 100 : 20;
    const write = (i: number) =>
      store.write(
        Array.from({ length: each }, (_, j) => ({
          table: 'state',
          key: utf8(`${i} ${j}`),
          value: new Uint8Array(1000),
        })),
      );
    let groups = 0;
    let refusal: unknown;
    while (refusal === undefined && groups < 1000) {
      try {
        await write(groups);
        groups += 1;
      } catch (error) {
        refusal = error;
      }
    }
    if (groups > 2) say('wrote some');
    say(`refused as ${codeOf(refusal)}`);
    const keys = (await store.scan('state', { limit: 1e6 })).map(([key]) => key);
    if (keys.length === groups * each) say('all or nothing');
    const ballast = join(folder, 'ballast');
    if (!existsSync(ballast)) break;
    rmSync(ballast);
    say('made room');
    await write(groups);
    say('wrote again');
    break;
  }
}
await store.close();
say('closed');

/** What test/server/lmdb-store.test.ts needs a process of its own for: `node lmdb-child.ts SCENARIO FOLDER`. */

import { existsSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import { utf8 } from '../../protocol/bytes.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { openLmdbStore } from '../../server/lmdb-store.ts';

const [scenario, folder] = process.argv.slice(2) as [string, string];
/** Past Node's buffers, so that a line is out before the process can be killed or traced any further. */
const say = (line: string): void => void writeSync(1, `${line}\n`);
const codeOf = (error: unknown): string =>
  error instanceof TidelogError ? error.code : `not a TidelogError: ${String(error)}`;
const store = await openLmdbStore(folder);

switch (scenario) {
  case 'write-for-ever':
    for (let i = 0; ; i++) {
      await store.write([
        { table: 'blocks', key: utf8(`${i}`), value: new Uint8Array(100 + i).fill(i) },
        { table: 'chains', key: utf8(`${i}`), value: utf8(`${i}`) },
      ]);
      say(`${i}`);
    }

  case 'one-write':
    say('write begins');
    await store.write([{ table: 'state', key: utf8('a'), value: utf8('1') }]);
    say('write resolved');
    break;

  case 'three-writes':
    for (const i of [1, 2, 3]) {
      const outcome = await store
        .write([{ table: 'state', key: utf8('a'), value: Uint8Array.of(i) }])
        .then(() => 'ok', codeOf);
      let read: string;
      try {
        read = String((await store.get('state', utf8('a')))?.[0]);
      } catch (error) {
        read = codeOf(error);
      }
      say(`${i} ${outcome}, reads ${read}`);
    }
    break;

  case 'fill': {
    const write = (i: number) =>
      store.write(
        Array.from({ length: 100 }, (_, j) => ({
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
    if (keys.length === groups * 100) say('all or nothing');
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

/** A device that may be reached in several ways: by each of them, and by one at a time. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { decodePairLink, encodePairLink } from '../../protocol/pair-link.ts';
import { eventually, newLab } from './support.ts';

const lab = newLab();

const COMMITS = 3000;

test('two addresses of one node: both are dialled after a restart, nothing is sent twice, and either one will do', async () => {
  const [laptop, phone] = await Promise.all([lab.start('laptop'), lab.start('phone')]);
  const detour = await lab.proxy(laptop.port, Infinity);
  const invite = decodePairLink(nodeCrypto, await laptop.invite());
  const addresses = [laptop.url, `http://127.0.0.1:${detour.port}`];
  await phone.run('pair', 'join', encodePairLink(nodeCrypto, { ...invite, addresses }));
  await phone.kill('SIGKILL');

  const file = join(await lab.folder(), 'lines.ndjson');
  const lines = Array.from({ length: COMMITS }, (_, n) => {
    return JSON.stringify({ changes: [{ subject: `line/${n}`, set: { text: `${n} `.repeat(50) } }] });
  });
  await writeFile(file, lines.join('\n'));
  await laptop.run('import', file);

  await phone.start();
  const isLevel = async (): Promise<boolean> => (await phone.head()) === (await laptop.head());
  await eventually(isLevel, 'all is there');
  expect(await phone.metric('tidelog_entries_received_total')).toBe(COMMITS);
  expect(await phone.metric('tidelog_entries_duplicate_total')).toBe(0);

  // Whichever it is that is in use, after this only the direct one is left.
  await detour.close();
  await laptop.set('note/1', { title: 'Milk' });
  await eventually(isLevel, 'what came later is there');
});

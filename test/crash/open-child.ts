/**
 * Opens data folders, one after the other, as commands do, and says what it found: a folder on each line of standard input, a JSON object on each line
 * of standard output. A process of its own, because LMDB may end it.
 */
import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';

import { asTidelogError } from '../../protocol/errors.ts';
import { openPeer, type OpenedPeer } from '../../server/open-peer.ts';

/** What a folder shows: equal for equal content. */
export interface Shown {
  readonly export: string;
  readonly log: string;
  readonly digest: string;
}

export type Found =
  /** The opening said that something is wrong, or a read after it. */
  | { readonly outcome: 'refused' | 'refused later'; readonly code: string; readonly message: string }
  | { readonly outcome: 'opened'; readonly shown: Shown };

export async function show({ peer }: Pick<OpenedPeer, 'peer'>): Promise<Shown> {
  const hashes = { export: createHash('sha256'), log: createHash('sha256') };
  const digests: string[] = [];
  for (const space of peer.spaces) {
    for await (const line of space.export()) hashes.export.update(`${line}\n`);
    for await (const { id, changes } of space.log()) hashes.log.update(JSON.stringify([id, changes?.length ?? null]));
    digests.push(Buffer.from(space.digest()).toString('hex'));
  }
  return { export: hashes.export.digest('hex'), log: hashes.log.digest('hex'), digest: digests.join(' ') };
}

export async function look(folder: string): Promise<Found> {
  let opened: OpenedPeer;
  try {
    opened = await openPeer(folder);
  } catch (thrown) {
    const { code, message } = asTidelogError(thrown);
    return { outcome: 'refused', code, message };
  }
  try {
    return { outcome: 'opened', shown: await show(opened) };
  } catch (thrown) {
    const { code, message } = asTidelogError(thrown);
    return { outcome: 'refused later', code, message };
  } finally {
    await opened.close().catch(() => {});
  }
}

if (process.argv[1] === import.meta.filename) {
  for await (const folder of createInterface({ input: process.stdin })) {
    // Past Node's buffers: it may be the last thing that this process says.
    writeSync(1, `${JSON.stringify(await look(folder))}\n`);
  }
}

/** Reading blocks of a log that is written meanwhile. A store that answers later has other writes between a block's record and its data. */
import { equal, toHex } from '../../protocol/bytes.ts';
import { TidelogError } from '../../protocol/errors.ts';
import type { MaybePromise, Store } from '../store.ts';
import { decodeSpace } from '../tables.ts';
import type { View } from './view.ts';

/** What a block's record says was so, and is no more: the block was merged with its neighbours, or swept. By position it is found again. */
export class BlockMoved extends TidelogError {
  constructor(last: number) {
    super('data-damaged', `the block that ended at ${last} was merged or swept while it was read`);
  }
}

/**
 * Reads anew as often as blocks move under the reader, however often that is: it isn't damage, and each time somebody's write has come about. Whoever reads
 * many blocks keeps what it has of them, or it has no end while others write.
 */
export async function thoughMoving<T>(read: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await read();
    } catch (thrown) {
      if (!(thrown instanceof BlockMoved)) throw thrown;
    }
  }
}

/** Throws `cursor-epoch` where the log has been made anew since it had this epoch (repair.ts). */
export function checkEpoch({ epoch: now, storedHead: head }: View, epoch: Uint8Array): void {
  if (equal(now, epoch)) return;
  const detail = { epoch: toHex(now), floor: 0, head };
  throw new TidelogError('cursor-epoch', `the epoch here is ${detail.epoch}`, detail);
}

/**
 * What is read of the log that has this epoch. Throws `cursor-epoch` where the log is made anew meanwhile: by then positions and chain numbers are others, so what
 * was read may be of two logs, and what looks damaged isn't.
 */
export async function ofOneLog<T>(view: View, epoch: Uint8Array, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } finally {
    checkEpoch(view, epoch);
  }
}

/**
 * Does the log still have this number, under which its rows stand? They go once it has another: what isn't there under this one may be there under that. A tab
 * that follows, or has just begun to lead, may not have heard of it; it asks the disk.
 */
export function isStillNumber(store: Store, view: View, number: number): MaybePromise<boolean> {
  const { shared } = store;
  return !shared || view.number !== number ? view.number === number : isOnDisk();

  async function isOnDisk(): Promise<boolean> {
    const record = await store.get('spaces', view.recordKey);
    if (record && decodeSpace(record).number !== number) await shared!.catchUp();
    return view.number === number;
  }
}

/** What the disk itself does, by the two ways in which a program can make 200 bytes durable. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';

const RECORD_BYTES = 200;

export interface FsyncRates {
  /** 200 bytes at the end of a file, then fsync, which writes the file's new length too: what a log that grows costs. ms of each. */
  readonly appendMs: number[];
  /** 200 bytes in a file that has its length and its blocks already, then fdatasync. ms of each. */
  readonly inPlaceMs: number[];
}

export async function fsyncRates(folder: string, times: number): Promise<FsyncRates> {
  const record = new Uint8Array(RECORD_BYTES).fill(7);
  const appendMs: number[] = [];
  const inPlaceMs: number[] = [];
  const grows = await open(join(folder, 'fsync-append'), 'w');
  const stays = await open(join(folder, 'fsync-in-place'), 'w');
  await stays.write(new Uint8Array(times * RECORD_BYTES).fill(1));
  await stays.sync();
  // By turns: a disk of a shared machine is faster at one moment than at another.
  for (let i = 0; i < times; i++) {
    const started = performance.now();
    await grows.write(record, 0, record.length, i * record.length);
    await grows.sync();
    const between = performance.now();
    await stays.write(record, 0, record.length, i * record.length);
    await stays.datasync();
    appendMs.push(between - started);
    inPlaceMs.push(performance.now() - between);
  }
  await grows.close();
  await stays.close();
  return { appendMs, inPlaceMs };
}

/** By the sum, and not the median: a rate has its slow ones in it. */
export function rateOf(ms: readonly number[]): number {
  return (ms.length * 1000) / ms.reduce((sum, each) => sum + each, 0);
}

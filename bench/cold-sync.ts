/**
 * One measurement that several rows read: an empty receiver joins a node that has the work, both in processes of their own over loopback, all of it
 * on the receiver's disk at the end; the floor beside each.
 */
import { rm } from 'node:fs/promises';
import type { Lab, Work } from './lab.ts';
import { BenchNode } from './node.ts';
import type { Floor } from './programs/floor.ts';
import type { Received } from './programs/receive.ts';
import { median, runProgram } from './support.ts';
import { CountingProxy } from './proxy.ts';

export interface ColdSync {
  readonly received: readonly Received[];
  /** Of the floor. */
  readonly recordsPerSecond: number;
  /** Counted at the TCP socket of one more receiver, in both directions. */
  readonly wireBytes: number;
  /** The log's bytes at that receiver. */
  readonly logBytes: number;
}

export async function coldSync(lab: Lab, work: Work, role: 'writer' | 'mirror'): Promise<ColdSync> {
  const { dataDir } = await lab.sender(work);
  const node = await BenchNode.start(dataDir);
  const received: Received[] = [];
  const floors: number[] = [];
  try {
    for (let i = 0; i < lab.sizes.runs; i++) {
      floors.push(await floorRate(lab, work));
      received.push(await receive(lab, await node.invite(role)));
    }
    const proxy = await CountingProxy.to(node.url);
    const counted = await receive(lab, proxy.through(await node.invite(role)));
    await proxy.close();
    const complete = [...received, counted].every(({ entries }) => entries >= work.commits);
    if (!complete) throw new Error(`a receiver ended with less than ${work.commits} commits`);
    return { received, recordsPerSecond: median(floors), wireBytes: proxy.bytes, logBytes: counted.logBytes };
  } finally {
    await node.stop();
  }
}

async function receive(lab: Lab, link: string): Promise<Received> {
  const folder = lab.path('receiver');
  try {
    return await runProgram<Received>('receive', [link, folder]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Records per second of plain lmdb for the same resources. */
async function floorRate(lab: Lab, { commits, perCommit }: Work): Promise<number> {
  const folder = lab.path('floor');
  try {
    const { records, seconds } = await runProgram<Floor>('floor', [folder, commits, perCommit]);
    return records / seconds;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * One measurement that several rows read: an empty receiver joins a node that has the work, both in processes of their own over loopback, all of it
 * on the receiver's disk at the end; the floor beside each.
 */
import { rm } from 'node:fs/promises';
import { BenchNode } from './node.ts';
import { cpuSecondsOf } from './proc.ts';
import type { Floor } from './programs/floor.ts';
import type { Received } from './programs/receive.ts';
import { median, runProgram } from './support.ts';
import { CountingProxy } from './proxy.ts';

export interface Work {
  readonly commits: number;
  readonly perCommit: number;
}

/** Where it is measured. */
export interface Bench {
  /** A sender with the work. */
  readonly dataDir: string;
  /** Measurements of which the median is told. */
  readonly runs: number;
  /** A path that nobody else has. */
  path(name: string): string;
}

export interface ColdSync {
  readonly received: readonly Received[];
  /** Of the node that they synced from, all its threads: one for each of `received`. */
  readonly senderCpuSeconds: readonly number[];
  /** Of the floor. */
  readonly recordsPerSecond: number;
  /** Counted at the TCP socket of one more receiver, in both directions. */
  readonly wireBytes: number;
  /** The log's bytes at that receiver. */
  readonly logBytes: number;
}

export async function coldSync(bench: Bench, work: Work, role: 'writer' | 'mirror'): Promise<ColdSync> {
  const node = await BenchNode.start(bench.dataDir);
  const received: Received[] = [];
  const senderCpuSeconds: number[] = [];
  const floors: number[] = [];
  try {
    for (let i = 0; i < bench.runs; i++) {
      floors.push(await floorRate(bench, work));
      const link = await node.invite(role);
      const before = cpuSecondsOf(node.pid);
      received.push(await receive(bench, link));
      senderCpuSeconds.push(cpuSecondsOf(node.pid) - before);
    }
    const proxy = await CountingProxy.to(node.url);
    const counted = await receive(bench, proxy.through(await node.invite(role)));
    await proxy.close();
    const complete = [...received, counted].every(({ entries }) => entries >= work.commits);
    if (!complete) throw new Error(`a receiver ended with less than ${work.commits} commits`);
    return {
      received,
      senderCpuSeconds,
      recordsPerSecond: median(floors),
      wireBytes: proxy.bytes,
      logBytes: counted.logBytes,
    };
  } finally {
    await node.stop();
  }
}

async function receive(bench: Bench, link: string): Promise<Received> {
  const folder = bench.path('receiver');
  try {
    return await runProgram<Received>('receive', [link, folder]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Records per second of plain lmdb for the same resources. */
async function floorRate(bench: Bench, { commits, perCommit }: Work): Promise<number> {
  const folder = bench.path('floor');
  try {
    const { records, seconds } = await runProgram<Floor>('floor', [folder, commits, perCommit]);
    return records / seconds;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

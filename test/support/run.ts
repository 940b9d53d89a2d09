/** When and where a run was made: what a figure needs beside it. */
import { machineHere, type Machine } from '../../bench/report.ts';

export interface Run {
  readonly date: string;
  readonly machine: Machine;
  readonly seconds: number;
}

export function describeRun(startedMs: number): Run {
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: machineHere(),
    seconds: Math.round((performance.now() - startedMs) / 1000),
  };
}

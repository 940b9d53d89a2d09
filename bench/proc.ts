/** What Linux tells of a process: CPU time and memory. */
import { readdirSync, readFileSync } from 'node:fs';

/** CPU seconds of all its threads that live, from the scheduler's own count in ns: /proc/PID/stat counts in steps of 10 ms. */
export function cpuSecondsOf(pid: number): number {
  let ns = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      ns += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
    } catch {
      // The thread ended between the two calls.
    }
  }
  return ns / 1e9;
}

export interface Memory {
  /** What the process has for itself, bytes: it goes only when the process lets it go. */
  readonly ownBytes: number;
  /** With the pages of files that it has mapped. LMDB maps its whole file, so these are the page cache, which the system takes back when it needs it. */
  readonly residentBytes: number;
}

export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kB = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? Number.NaN);
  const residentBytes = kB('VmRSS') * 1024;
  return { ownBytes: residentBytes - kB('RssFile') * 1024, residentBytes };
}

/** The largest values seen until `stop`. */
export class MemoryWatch {
  readonly #pid: number;
  readonly #timer: NodeJS.Timeout;
  #ownBytes = 0;
  #residentBytes = 0;

  constructor(pid: number, everyMs = 20) {
    this.#pid = pid;
    this.#look();
    this.#timer = setInterval(() => this.#look(), everyMs);
  }

  #look(): void {
    const { ownBytes, residentBytes } = memoryOf(this.#pid);
    this.#ownBytes = Math.max(this.#ownBytes, ownBytes);
    this.#residentBytes = Math.max(this.#residentBytes, residentBytes);
  }

  stop(): Memory {
    this.#look();
    clearInterval(this.#timer);
    return { ownBytes: this.#ownBytes, residentBytes: this.#residentBytes };
  }
}

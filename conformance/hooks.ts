/** Commands of the person who runs the kit: what can't be done over the wire, such as making the implementation write, is done by them. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

import { TidelogError } from '../protocol/errors.ts';

export interface Hooks {
  /** Prints a new pairing link; `{role}` and `{life}` (seconds) are filled in. */
  readonly invite?: string | undefined;
  /** `{subject}`, `{property}`, `{value}` (JSON). */
  readonly write?: string | undefined;
  /** `{subject}`; prints the resource as JSON. */
  readonly read?: string | undefined;
  /** Starts the implementation and stays. */
  readonly run?: string | undefined;
}

type Values = Readonly<Record<string, string>>;

const HOOK_TIMEOUT_MS = 30_000;
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;
/** What is kept of a program's output, for the report of a case that fails. */
const OUTPUT_KEPT_CHARACTERS = 4000;
/** How long a program that is asked to stop may take. */
const STOP_MS = 5000;

/** `{name}` becomes the value as one word of the shell, whatever is in it. */
function fill(command: string, values: Values): string {
  return command.replaceAll(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name];
    return value === undefined ? whole : `'${value.replaceAll("'", `'\\''`)}'`;
  });
}

/** Runs a command to its end; what it prints. Throws where it fails. */
export async function runHook(command: string, values: Values): Promise<string> {
  const filled = fill(command, values);
  return new Promise((resolve, reject) => {
    execFile(
      'sh',
      ['-c', filled],
      { timeout: HOOK_TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX },
      (error, stdout, stderr) => {
        if (error)
          reject(
            new TidelogError('bad-argument', `the command \`${command}\` failed: ${(stderr || error.message).trim()}`),
          );
        else resolve(stdout);
      },
    );
  });
}

function groupRuns(pid: number): boolean {
  try {
    return process.kill(-pid, 0);
  } catch {
    return false;
  }
}

/** A program that goes on by itself, with all that it starts. */
export class Program {
  readonly #command: string;
  readonly #values: Values;
  #child: ChildProcess | null = null;
  #exited: Promise<void> = Promise.resolve();
  output = '';

  constructor(command: string, values: Values = {}) {
    this.#command = command;
    this.#values = values;
  }

  get running(): boolean {
    return this.#child !== null;
  }

  start(): void {
    // A group of its own, so that what a shell or a wrapper starts ends with it.
    const child = spawn('sh', ['-c', fill(this.#command, this.#values)], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.output += `$ ${this.#command}\n`;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output = (this.output + text).slice(-OUTPUT_KEPT_CHARACTERS);
      });
    }
    this.#exited = new Promise((resolve) => {
      const done = (): void => {
        if (this.#child === child) this.#child = null;
        resolve();
      };
      child.once('exit', done);
      child.once('error', done);
    });
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const { pid } = this.#child ?? {};
    if (pid === undefined) return;
    const end = (how: NodeJS.Signals): void => {
      try {
        process.kill(-pid, how);
      } catch {
        // It has ended already.
      }
    };
    end(signal);
    const late = setTimeout(() => end('SIGKILL'), STOP_MS);
    await this.#exited;
    // The shell may end before what it started, which is given its time, too.
    const endMs = performance.now() + STOP_MS;
    if (signal === 'SIGTERM') while (groupRuns(pid) && performance.now() < endMs) await sleep(20);
    clearTimeout(late);
    end('SIGKILL');
  }
}

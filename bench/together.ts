/** Two devices at work, each in a process of its own: one writes, the other follows. What several rows measure of them. */
import { Program } from './calls.ts';
import type { Lab } from './lab.ts';
import type { Written } from './programs/writer.ts';
import { quantile } from './support.ts';

/** Written in an absence by so many at once: live blocks of several commits, as a busy day leaves them. */
const MISSED_AT_ONCE = 8;

/** Node's, for the two processes. */
interface Flags {
  readonly writer?: readonly string[];
  readonly follower?: readonly string[];
}

export class Together {
  readonly writer: Program;
  follower: Program;
  /** The follower's. */
  readonly folder: string;
  /** What the first sync took, ms. */
  joinMs = 0;
  #url = '';
  #rounds = 0;

  private constructor(dataDir: string, folder: string, flags: Flags) {
    this.folder = folder;
    this.writer = new Program('writer', [dataDir], flags.writer);
    this.follower = new Program('follower', [folder], flags.follower);
  }

  /** The follower has joined and has all. */
  static async start(lab: Lab, dataDir: string, flags: Flags = {}): Promise<Together> {
    const both = new Together(dataDir, lab.path('follower'), flags);
    both.#url = await both.writer.call('url');
    both.joinMs = await both.follower.call('join', await both.writer.call('invite', 'writer'));
    return both;
  }

  async stop(): Promise<void> {
    await this.follower.stop();
    await this.writer.stop();
  }

  /** Writes one after the other, each awaited there: ms one way, until it is on the follower's disk and a reader there sees it. */
  async live(writes: number): Promise<{ oneWay: number[]; stored: number[] }> {
    const prefix = `live/${++this.#rounds}/`;
    await this.follower.call('await', { prefix, count: writes });
    const { beganMs, storedMs } = await this.writer.call<Written>('write', {
      prefix,
      count: writes,
      atOnce: 1,
      reach: true,
    });
    const seenMs = await this.follower.call<number[]>('seen');
    return {
      oneWay: seenMs.map((ms, i) => ms - beganMs[i]!),
      stored: storedMs.map((ms, i) => ms - beganMs[i]!),
    };
  }

  /** The follower is away while so many commits are written. ms from its connect until it has them; `restart`: its process is new. */
  async resume(commits: number, restart = false): Promise<number> {
    await this.follower.call('leave', this.#url);
    if (restart) await this.follower.stop();
    const prefix = `missed/${++this.#rounds}/`;
    await this.writer.call('write', { prefix, count: commits, atOnce: MISSED_AT_ONCE, reach: false });
    if (restart) this.follower = new Program('follower', [this.folder]);
    const head = await this.writer.call<number>('head');
    return this.follower.call('comeBack', { url: this.#url, head });
  }
}

/** p50 of what is left when the first tenth, in which code is still being compiled, is put aside. */
function settled(values: readonly number[]): number[] {
  return values.slice(Math.floor(values.length / 10));
}

export function p50(values: readonly number[]): number {
  return quantile(settled(values), 0.5);
}

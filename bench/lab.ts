/**
 * What the rows of one run share. A sender of so many commits is built once, whoever asks first, and so is what a cold sync from it measured: the rows for
 * speed, wire and disk read one and the same measurement.
 */
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { coldSync, type ColdSync, type Work } from './cold-sync.ts';
import type { Figure } from './report.ts';
import { tidelog, writeNdjson } from './support.ts';

export interface Sizes {
  /** Of one resource each; every size is a figure of its own. */
  readonly commits: readonly number[];
  /** Commits of 100 resources. */
  readonly packed: number;
  /** Measurements of which the median is told. */
  readonly runs: number;
  readonly liveWrites: number;
  readonly localWrites: number;
  /** Before the writes that are counted, one at a time: a node runs for weeks, and V8 is done with its code after some thousands. */
  readonly warmUp: number;
  /** Of an absence. */
  readonly missed: number;
  /** The sender's memory with few and with many commits. */
  readonly memory: readonly [few: number, many: number];
  readonly followers: number;
  /** null: the row is left out. */
  readonly growth: readonly [small: number, large: number] | null;
  readonly chains: number;
  readonly chainCommits: number;
  /** Measure also a log in which every commit is by another device than the one before. */
  readonly byTurns: boolean;
  readonly httpSeconds: number;
}

export interface Sender {
  readonly dataDir: string;
  /** What `tidelog import` took for it: the whole command. */
  readonly importSeconds: number;
}

export class Lab {
  readonly folder: string;
  readonly sizes: Sizes;
  readonly #senders = new Map<string, Promise<Sender>>();
  readonly #coldSyncs = new Map<string, Promise<ColdSync>>();
  #made = 0;

  constructor(folder: string, sizes: Sizes) {
    this.folder = folder;
    this.sizes = sizes;
  }

  /** A path that nobody else has. */
  path(name: string): string {
    return join(this.folder, `${++this.#made}-${name}`);
  }

  /** A node's folder with the work in it. Rows may add members to it; whoever writes more takes a copy. */
  sender({ commits, perCommit }: Work): Promise<Sender> {
    return once(this.#senders, `${commits} × ${perCommit}`, () => this.buildSender({ commits, perCommit }));
  }

  async buildSender({ commits, perCommit }: Work): Promise<Sender> {
    const work = this.path('work.ndjson');
    const dataDir = this.path('sender');
    await writeNdjson(work, commits, perCommit);
    await tidelog('--data', dataDir, 'init', '--name', 'sender');
    const started = performance.now();
    await tidelog('--data', dataDir, 'import', work);
    return { dataDir, importSeconds: (performance.now() - started) / 1000 };
  }

  async copyOf({ dataDir }: Sender): Promise<string> {
    const copy = this.path('copy');
    await cp(dataDir, copy, { recursive: true });
    return copy;
  }

  coldSync(work: Work, role: 'writer' | 'mirror' = 'writer'): Promise<ColdSync> {
    return once(this.#coldSyncs, `${work.commits} × ${work.perCommit} ${role}`, async () => {
      const { dataDir } = await this.sender(work);
      return coldSync({ dataDir, runs: this.sizes.runs, path: (name) => this.path(name) }, work, role);
    });
  }
}

function once<T>(made: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const before = made.get(key);
  if (before) return before;
  const making = make();
  made.set(key, making);
  return making;
}

export interface Row {
  /** For `--only`. */
  readonly name: string;
  run(lab: Lab): Promise<Figure[]>;
}

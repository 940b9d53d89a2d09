/** Data folders with something wrong in them, and what an opening makes of each. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { initDevice } from '../../server/device.ts';
import { openPeer } from '../../server/open-peer.ts';
import { show, type Found, type Shown } from './open-child.ts';

const CHILD = fileURLToPath(new URL('./open-child.ts', import.meta.url));

/** `died`: without a word, by a signal. */
export type Outcome = Found | { readonly outcome: 'died'; readonly signal: string };

/** Opens folders in a process that may die of it, and is then replaced. */
export class Opener {
  #child: ChildProcess | null = null;
  #lines: Interface | null = null;

  async open(folder: string): Promise<Outcome> {
    if (!this.#child) {
      this.#child = spawn(process.execPath, [CHILD], { stdio: ['pipe', 'pipe', 'ignore'] });
      this.#lines = createInterface({ input: this.#child.stdout! });
    }
    const child = this.#child;
    const lines = this.#lines!;
    const outcome = await new Promise<Outcome>((resolve) => {
      const onLine = (text: string): void => {
        child.off('close', onClose);
        resolve(JSON.parse(text) as Found);
      };
      const onClose = (code: number | null, signal: string | null): void => {
        lines.off('line', onLine);
        resolve({ outcome: 'died', signal: String(signal ?? code) });
      };
      lines.once('line', onLine);
      child.once('close', onClose);
      child.stdin!.write(`${folder}\n`);
    });
    if (outcome.outcome === 'died') this.#child = null;
    return outcome;
  }

  async close(): Promise<void> {
    this.#child?.stdin!.end();
    if (this.#child) await once(this.#child, 'close');
  }
}

export interface Sample {
  readonly folder: string;
  /** Closed as it should be. */
  readonly closed: string;
  /** As a crash leaves it: what was written last is in its journal only. */
  readonly crashed: string;
  readonly shown: Shown;
  /** Of the crashed one before its last writes, which are in its journal. */
  readonly shownBefore: Shown;
  remove(): Promise<void>;
}

/** A space with two hundred resources, a hundred commits, blocks of several sizes, and a journal. */
export async function makeSample(): Promise<Sample> {
  const folder = await mkdtemp(join(tmpdir(), 'tidelog-damage-'));
  const data = join(folder, 'data');
  await initDevice(data, 'laptop');
  const opened = await openPeer(data);
  const space = await opened.peer.homeSpace();
  for (let i = 0; i < 60; i++) await space.set(`note/${i}`, { title: `title ${i}`, text: 'x'.repeat(i * 7) }).stored;
  const many = Array.from({ length: 150 }, (_, i) => ({
    subject: `bulk/${i}`,
    ops: { set: { text: 'y'.repeat(1000) } },
  }));
  await space.commit(many).stored;
  // All of it in the tables, so that what follows is in the journal alone.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const shownBefore = await show(opened);
  for (let i = 0; i < 20; i++) await space.set(`late/${i}`, { title: `late ${i}` }).stored;
  const crashed = join(folder, 'crashed');
  await cp(data, crashed, { recursive: true, filter: (path) => !path.includes('node') });
  const shown = await show(opened);
  await opened.close();
  return {
    folder,
    closed: data,
    crashed,
    shown,
    shownBefore,
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** A copy of a data folder in which one file is changed. */
export async function damaged(
  from: string,
  to: string,
  file: string,
  change: (bytes: Buffer) => Buffer | null,
): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await cp(from, to, { recursive: true });
  const path = join(to, file);
  const handle = await open(path, 'r+');
  try {
    const bytes = await handle.readFile();
    const changed = change(Buffer.from(bytes));
    if (changed === null) {
      await rm(path);
      return;
    }
    if (changed.length < bytes.length) await handle.truncate(changed.length);
    await handle.write(changed, 0, changed.length, 0);
  } finally {
    await handle.close();
  }
}

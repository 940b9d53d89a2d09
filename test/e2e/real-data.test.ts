/** Years of real history by many authors, through three nodes, one of which is killed on the way. */
import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';

import type { StatusJson } from '../../server/http/status.ts';
import { sharedFile } from '../support/shared.ts';
import { eventually, newLab, type Device } from './support.ts';

const lab = newLab();

const HISTORY = sharedFile('data/tldr-history-2013-2020.ndjson.gz');
const PAGES = sharedFile('data/tldr-pages.ndjson.gz');
/** Slow enough to be killed on the way: the whole history takes about two seconds. */
const SLOW_BYTES_PER_SECOND = 700_000;

interface Line {
  readonly author?: number;
  readonly time?: number;
  readonly changes: readonly { subject: string; set?: Record<string, unknown>; destroy?: boolean }[];
}

async function linesOf(path: string): Promise<unknown[]> {
  const text = gunzipSync(await readFile(path)).toString();
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
}

/** What the state must be, without any of our code: the last value of each property that nothing removed. */
class Replay {
  readonly #bySubject = new Map<string, Record<string, unknown>>();

  apply({ author, time, changes }: Line): void {
    for (const { subject, set, destroy } of changes) {
      if (destroy) this.#bySubject.delete(subject);
      if (!set) continue;
      const origin = time === undefined ? {} : { importedAuthor: author, importedTime: time };
      this.#bySubject.set(subject, { ...this.#bySubject.get(subject), ...origin, ...set });
    }
  }

  get size(): number {
    return this.#bySubject.size;
  }

  /** As `export` says it: by subject in the order of UTF-8 bytes, properties sorted. */
  export(): string {
    return [...this.#bySubject.keys()]
      .toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      .map((subject) => {
        const properties = this.#bySubject.get(subject)!;
        const set = Object.fromEntries(
          Object.keys(properties)
            .toSorted()
            .map((name) => [name, properties[name]]),
        );
        return `${JSON.stringify({ subject, set })}\n`;
      })
      .join('');
  }
}

function expectSame(actual: string, expected: string): void {
  // Not toBe: its report of two texts of 2 MB that differ would take minutes.
  if (actual === expected) return;
  const [a, b] = [actual.split('\n'), expected.split('\n')];
  const at = a.findIndex((line, i) => line !== b[i]);
  throw new Error(`line ${at + 1} of ${a.length} and ${b.length} differs:\n${a[at]}\n${b[at]}`);
}

async function sameHead(devices: readonly Device[]): Promise<boolean> {
  const heads = await Promise.all(devices.map((device) => device.head()));
  return heads.every((head) => head === heads[0]);
}

test.skipIf(!HISTORY || !PAGES)(
  'a real history: sync, kill -9 half-way, resume, a third through the second; skipped without ../shared/data',
  async () => {
    const history = (await linesOf(HISTORY!)) as Line[];
    const replay = new Replay();
    for (const line of history) replay.apply(line);

    const first = await lab.start('first');
    await first.run('import', HISTORY!);
    const total = await first.head();
    // One commit founds the space; each line is one.
    expect(total).toBe(history.length + 1);

    const second = await lab.start('second');
    const proxy = await lab.proxy(first.port, SLOW_BYTES_PER_SECOND);
    // The command waits until all is here, and this kill is before that.
    const joining = second.join(first, { role: 'owner', through: proxy.port }).catch(() => {});
    let seen = 0;
    await eventually(async () => (seen = await second.head()) > total * 0.3, 'a third of the history is there');
    await second.kill('SIGKILL');
    await joining;
    expect(seen).toBeGreaterThan(total * 0.2);
    expect(seen).toBeLessThan(total * 0.8);

    // The command opens the store itself: nothing comes in while it looks.
    const [{ spaces }] = (await second.json<StatusJson>('status')) as [StatusJson];
    const resumed = spaces[0]!.head;
    expect(resumed, 'what it was seen to have, it still has').toBeGreaterThanOrEqual(seen);
    expect(resumed).toBeLessThan(total * 0.8);
    proxy.bytesPerSecond = Infinity;
    await second.start();
    // The join added one commit, by which the second is a member.
    await eventually(async () => (await second.head()) === total + 1, 'the rest of the history is there');

    const third = await lab.start('third');
    await third.join(second);
    await eventually(() => sameHead([first, second, third]), 'all three are level');

    for (const device of [first, second, third]) expectSame(await device.export(), replay.export());
    expect((await first.status()).spaces[0]!.subjects).toBe(replay.size);

    // Nothing was sent twice: what the second took in after its restart is what it lacked then.
    expect(await second.metric('tidelog_entries_duplicate_total')).toBe(0);
    expect(await second.metric('tidelog_entries_received_total')).toBe(total + 1 - resumed);
    expect(await third.metric('tidelog_entries_duplicate_total')).toBe(0);
    expect(await third.metric('tidelog_entries_received_total')).toBe(await third.head());
    expect(await first.metric('tidelog_entries_duplicate_total')).toBe(0);
    // The third's membership, which the second wrote, is all that the first lacked.
    expect(await first.metric('tidelog_entries_received_total')).toBe(1);
    const peersOfThird = (await third.status()).peers.filter(({ connected }) => connected).map(({ name }) => name);
    expect(peersOfThird).toEqual(['second']);

    // Who wrote it, and when, is kept, although the first has signed it.
    const { subject } = history.at(-1)!.changes.find(({ set }) => set)!;
    const properties = await third.get<Record<string, unknown>>(`/v1/resources/${encodeURIComponent(subject)}`);
    expect(properties).toMatchObject({
      importedAuthor: history.at(-1)!.author,
      importedTime: history.at(-1)!.time,
    });

    // Written on the second, it arrives at both ends.
    await second.run('import', PAGES!);
    for (const page of (await linesOf(PAGES!)) as Line['changes']) replay.apply({ changes: [page] });
    await eventually(() => sameHead([first, second, third]), 'the pages are everywhere');
    for (const device of [first, second, third]) {
      expectSame(await device.export(), replay.export());
      expect(await device.metric('tidelog_entries_duplicate_total')).toBe(0);
    }
  },
);

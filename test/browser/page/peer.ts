/** A page with a peer, and what tests have it do: `await page.evaluate(({ name, args }) => globalThis.peer[name](...args))`. */
import { changeToJson, deleteDevice, open, toJson, type Database, type Notice } from '../../../client/browser.ts';
import { toHex } from '../../../protocol/bytes.ts';

let database: Database | null = null;
const writer = { isOn: false, written: 0 };
let writing: Promise<number | string> = Promise.resolve(0);
const notices: unknown[] = [];
const told: unknown[] = [];

function db(): Database {
  if (!database) throw new Error('it is not open');
  return database;
}

const codeOf = (thrown: unknown): string => (thrown as { code?: string }).code ?? String(thrown);

const peer = {
  async open(name: string): Promise<string> {
    const onNotice = (notice: Notice): void => {
      notices.push(notice.type === 'lost' ? { type: 'lost', code: notice.error.code } : notice);
    };
    database = await open({ name, onNotice });
    return database.id;
  },
  notices: () => notices,
  /** Bytes that don't compress. */
  async setLarge(subject: string, bytes: number): Promise<string | null> {
    const value = new Uint8Array(bytes);
    for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(value.subarray(at, at + 65_536));
    try {
      await db().set(subject, { value }).stored;
      return null;
    } catch (thrown) {
      return codeOf(thrown);
    }
  },
  isSecure: () => globalThis.isSecureContext,
  async close(): Promise<void> {
    await db().close();
    database = null;
  },
  async join(link: string): Promise<void> {
    await (await db().connect(link)).caughtUp();
  },
  async invite(): Promise<string> {
    const home = await db().peer.homeSpace();
    return (await db().peer.invite(home, { role: 'writer', addresses: ['http://127.0.0.1:9'] })).link;
  },
  /** The code of the error, or null once it is on disk. */
  async set(subject: string, values: Record<string, string | number>): Promise<string | null> {
    try {
      await db().set(subject, values).stored;
      return null;
    } catch (thrown) {
      return codeOf(thrown);
    }
  },
  async setMany(prefix: string, count: number): Promise<void> {
    for (let i = 0; i < count; i++) await db().set(`${prefix}/${i}`, { i }).stored;
  },
  /** Resolves when another device has it too. */
  async setReached(subject: string, values: Record<string, string | number>): Promise<string | null> {
    try {
      await db()
        .set(subject, values)
        .reached({ peers: 1, signal: AbortSignal.timeout(60_000) });
      return null;
    } catch (thrown) {
      return codeOf(thrown);
    }
  },
  /** Adds 1 so many times, some at once; answers how many are stored, and the codes of those that aren't. */
  async count(subject: string, times: number): Promise<{ stored: number; codes: string[] }> {
    const codes: string[] = [];
    const add = (): Promise<unknown> =>
      db()
        .commit((tx) => tx.inc(subject, 'n'))
        .stored.catch((thrown: unknown) => codes.push(codeOf(thrown)));
    for (let i = 0; i < times; i += 4) await Promise.all([add(), add(), add(), add()]);
    return { stored: times - codes.length, codes };
  },
  /** What is wrong with log and state, as they lie on the disk. */
  async findings(): Promise<unknown> {
    return (await db().space.audit()).findings;
  },
  /** Writes one commit after another, until `endWriting`, which answers how many were stored, or with the code of what ended it. */
  beginWriting(prefix: string): void {
    writer.isOn = true;
    writer.written = 0;
    writing = (async () => {
      try {
        for (; writer.isOn; writer.written++)
          await db().set(`${prefix}/${writer.written}`, { i: writer.written }).stored;
        return writer.written;
      } catch (thrown) {
        return codeOf(thrown);
      }
    })();
  },
  written: () => writer.written,
  async endWriting(): Promise<number | string> {
    writer.isOn = false;
    return writing;
  },
  async get(subject: string): Promise<unknown> {
    const found = await db().get(subject);
    return found && toJson(found.value);
  },
  async conflicts(): Promise<unknown> {
    const { items } = await db().space.conflicts({ limit: 100 });
    return items.map(({ subject, property, alternatives }) => ({
      subject,
      property,
      values: alternatives.map(({ value, deviceName }) => [toJson(value), deviceName]),
    }));
  },
  state(): { spaces: number; commits: number; subjects: number; forks: number; chains: number; digest: string } {
    const { spaces } = db().peer;
    const space = spaces[0];
    if (!space) return { spaces: 0, commits: 0, subjects: 0, forks: 0, chains: 0, digest: '' };
    const { commits, subjects, chains } = space.stats();
    return {
      spaces: spaces.length,
      commits,
      subjects,
      chains,
      forks: space.forks().length,
      digest: toHex(space.digest()),
    };
  },
  leads: () => notices.findLast((notice) => (notice as Notice).type === 'leads'),
  /** Keeps what a live query and the log tell of, for `told`. */
  follow(subject: string): void {
    told.length = 0;
    db()
      .live(subject)
      .subscribe((resource) => told.push(['live', resource && toJson(resource.value)]));
    void (async () => {
      for await (const { changes } of db().log({ live: true, subject })) told.push(['log', changes.map(changeToJson)]);
    })();
  },
  told: () => told,
  connected: () => db().peer.connections().length,
  async log(): Promise<unknown[]> {
    const commits: unknown[] = [];
    for await (const { device, changes } of db().log()) commits.push({ device, changes: changes.map(changeToJson) });
    return commits;
  },
  /** As if the browser had run short of room: what is remembered beside the database stays. */
  async evict(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const deleting = indexedDB.deleteDatabase('tidelog');
      deleting.onsuccess = () => resolve();
      deleting.onerror = () => reject(new Error('it is not deleted'));
    });
  },
  deleteDevice: () => deleteDevice(),
};

Object.assign(globalThis, { peer });
